/* wire.c: the scan of untrusted bytes, before protobuf-c.
 *
 * protobuf-c has no bound on depth, takes any bytes for text, and merges a message that is given
 * twice by packing and parsing it anew, which is quadratic. The scan refuses what would lead there,
 * and hands on a copy of the message without the elements of tensors: weights are then neither
 * copied nor looked at. In their stead stands where the tensor lies in the file, from which it is
 * decoded on demand (tensor.c).
 *
 * Driven by protobuf-c's descriptors, so that onnx.proto alone says what is known. Lengths of
 * messages in the copy are varints of five bytes, which need not be known in advance. */
#include "frontend/onnx/wire.h"

#include "frontend/lex.h"
#include "frontend/onnx/onnx.pb-c.h"

#include <string.h>

/* ---- steps ---- */

bool wire_varint(WireCursor *c, uint64_t *out_value, const char **out_why)
{
    uint64_t value = 0;
    for (int i = 0; i < 10; i++) {
        if (c->at + i == c->end) {
            *out_why = "a number that is cut short";
            return false;
        }
        uint8_t byte = c->at[i];
        if (i == 9 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            c->at += i + 1;
            *out_value = value;
            return true;
        }
    }
    *out_why = "a number of more than 64 bits";
    return false;
}

/* The tag: at most five bytes, since protobuf-c reads no more. */
static bool read_tag(WireCursor *c, uint64_t *out_tag, const char **out_why)
{
    const uint8_t *from = c->at;
    if (!wire_varint(c, out_tag, out_why))
        return false;
    if (c->at - from > 5 || *out_tag >> 3 > 0x1FFFFFFF || *out_tag >> 3 == 0) {
        *out_why = "a field whose number is out of range";
        return false;
    }
    return true;
}

static bool read_fixed(WireCursor *c, size_t size, uint64_t *out_value, const char **out_why)
{
    if ((size_t)(c->end - c->at) < size) {
        *out_why = "a number that is cut short";
        return false;
    }
    *out_value = 0;
    memcpy(out_value, c->at, size); /* little endian, as are all machines we know */
    c->at += size;
    return true;
}

static bool read_bytes(WireCursor *c, WireField *f, const char **out_why)
{
    uint64_t size;
    const uint8_t *from = c->at;
    if (!wire_varint(c, &size, out_why))
        return false;
    if (c->at - from > 5) {
        *out_why = "a length of more than 32 bits";
        return false;
    }
    if (size > (size_t)(c->end - c->at)) {
        *out_why = "a length that goes past the end of what holds it";
        return false;
    }
    f->bytes = c->at;
    f->size = (size_t)size;
    c->at += size;
    return true;
}

bool wire_next(WireCursor *c, WireField *out_field, const char **out_why)
{
    WireCursor now = *c;
    WireField f = { .from = c->at };
    uint64_t tag;
    bool ok;
    *out_why = NULL;
    if (c->at == c->end || !read_tag(&now, &tag, out_why))
        return false;
    f.body = now.at;
    f.number = (uint32_t)(tag >> 3);
    f.type = (WireType)(tag & 7);
    switch (tag & 7) {
    case WIRE_VARINT: ok = wire_varint(&now, &f.value, out_why); break;
    case WIRE_FIXED64: ok = read_fixed(&now, 8, &f.value, out_why); break;
    case WIRE_FIXED32: ok = read_fixed(&now, 4, &f.value, out_why); break;
    case WIRE_BYTES: ok = read_bytes(&now, &f, out_why); break;
    default:
        *out_why = "a field of a kind that ONNX does not use";
        ok = false;
    }
    if (!ok)
        return false;
    *c = now;
    f.end = now.at;
    *out_field = f;
    return true;
}

/* ---- text ---- */

bool wire_utf8(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes;
    for (size_t i = 0, n; i < size; i += n)
        if (!bytes[i] || !(n = lex_utf8_size(text + i, size - i)))
            return false;
    return true;
}

/* ---- the scan ---- */

typedef struct {
    const uint8_t *file;
    uint8_t *out;
    size_t n; /* bytes of the copy */
    uint32_t depth, messages;
    WireFault *fault;
} Scan;

static bool refuse(Scan *s, const ProtobufCMessageDescriptor *type, const uint8_t *at,
                   const char *why)
{
    *s->fault = (WireFault){ why, type->short_name, (size_t)(at - s->file) };
    return false;
}

static void put(Scan *s, const void *bytes, size_t size)
{
    if (s->out && size)
        memcpy(s->out + s->n, bytes, size);
    s->n += size;
}

/* A varint in exactly `width` bytes. */
static void put_wide(uint8_t *to, uint64_t value, size_t width)
{
    for (size_t i = 0; i < width; i++, value >>= 7)
        to[i] = (uint8_t)((value & 0x7F) | (i + 1 < width ? 0x80 : 0));
}

static void put_fixed64(Scan *s, uint32_t number, uint64_t value)
{
    uint8_t tag[2];
    put_wide(tag, number << 3 | WIRE_FIXED64, sizeof tag);
    put(s, tag, sizeof tag);
    put(s, &value, sizeof value);
}

/* How one value of a field is written. */
static WireType type_of(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return WIRE_FIXED32;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return WIRE_BYTES;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return WIRE_VARINT;
}

/* Many values in one field. */
static const char *check_packed(WireType type, const WireField *f)
{
    WireCursor c = { f->bytes, f->bytes + f->size };
    uint64_t value;
    const char *why;
    if (type == WIRE_FIXED32 || type == WIRE_FIXED64)
        return f->size % (type == WIRE_FIXED32 ? 4 : 8) ? "a list that is cut short" : NULL;
    while (c.at < c.end)
        if (!wire_varint(&c, &value, &why))
            return why;
    return NULL;
}

/* The elements of a tensor, in any of the ways to store them. */
static bool is_payload(const ProtobufCMessageDescriptor *type, uint32_t number)
{
    return type == &onnx__tensor_proto__descriptor &&
           ((number >= 4 && number <= 7) || (number >= 9 && number <= 11));
}

static bool scan_message(Scan *s, const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                         size_t size);

static bool scan_inner(Scan *s, const ProtobufCMessageDescriptor *type, const WireField *f,
                       const ProtobufCMessageDescriptor *inner)
{
    put(s, f->from, (size_t)(f->body - f->from));
    size_t length_at = s->n;
    s->n += 5;
    if (s->depth == WIRE_MAX_DEPTH)
        return refuse(s, type, f->from, "more than 64 messages inside one another");
    s->depth++;
    if (!scan_message(s, inner, f->bytes, f->size))
        return false;
    s->depth--;
    if (s->out)
        put_wide(s->out + length_at, s->n - length_at - 5, 5);
    return true;
}

/* `seen`: singular fields of this message that are messages, by index. */
static bool scan_field(Scan *s, const ProtobufCMessageDescriptor *type, const WireField *f,
                       uint64_t *seen)
{
    const ProtobufCFieldDescriptor *d = protobuf_c_message_descriptor_get_field(type, f->number);
    if (!d || f->number >= WIRE_PRIVATE)
        return true;
    WireType want = type_of(d);
    bool repeated = d->label == PROTOBUF_C_LABEL_REPEATED;
    bool packed = repeated && want != WIRE_BYTES && f->type == WIRE_BYTES;
    if (f->type != want && !packed)
        return refuse(s, type, f->from, "a field of the wrong kind");
    if (is_payload(type, f->number))
        return true;
    if (d->type == PROTOBUF_C_TYPE_MESSAGE) {
        uint64_t bit = (uint64_t)1 << (d - type->fields);
        if (!repeated && *seen & bit)
            return refuse(s, type, f->from, "a message that is given twice");
        *seen |= bit;
        return scan_inner(s, type, f, d->descriptor);
    }
    const char *why = packed ? check_packed(want, f) : NULL;
    if (d->type == PROTOBUF_C_TYPE_STRING && !wire_utf8(f->bytes, f->size))
        why = "a text that is not UTF-8, or contains a NUL";
    if (why)
        return refuse(s, type, f->from, why);
    put(s, f->from, (size_t)(f->end - f->from));
    return true;
}

static bool scan_message(Scan *s, const ProtobufCMessageDescriptor *type, const uint8_t *bytes,
                         size_t size)
{
    WireCursor c = { bytes, bytes + size };
    WireField f;
    const char *why;
    uint64_t seen = 0;
    if (++s->messages > WIRE_MAX_MESSAGES)
        return refuse(s, type, bytes, "more than 16 million messages");
    while (wire_next(&c, &f, &why))
        if (!scan_field(s, type, &f, &seen))
            return false;
    if (why)
        return refuse(s, type, c.at, why);
    if (type == &onnx__tensor_proto__descriptor) {
        put_fixed64(s, WIRE_PRIVATE, (uint64_t)(bytes - s->file));
        put_fixed64(s, WIRE_PRIVATE + 1, size);
    }
    return true;
}

bool wire_scan(const ProtobufCMessageDescriptor *root, const uint8_t *bytes, size_t size,
               uint8_t *out, size_t *out_size, WireFault *out_fault)
{
    Scan s = { .file = bytes, .out = out, .depth = 1, .fault = out_fault };
    bool ok = scan_message(&s, root, bytes, size);
    *out_size = s.n;
    return ok;
}
