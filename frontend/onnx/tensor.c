/* tensor.c: the elements of a tensor, from the place in the file where its message lies.
 *
 * ONNX has one way for bytes as they are (raw_data), five typed lists, each in packed or single
 * form, and other files. What the shape claims is compared with what is there before anything is
 * allocated. Bytes that are right as they are are not copied, wherever they lie: weights aligned by
 * copying would be in memory twice. */
#include "frontend/onnx/internal.h"
#include "frontend/onnx/wire.h"

#include <inttypes.h>
#include <string.h>

/* Fields of a TensorProto. */
enum {
    FLOAT_DATA = 4, INT32_DATA, STRING_DATA, INT64_DATA,
    RAW_DATA = 9, DOUBLE_DATA, UINT64_DATA,
};

/* By the number of the field. */
static const char *const field_names[] = {
    [FLOAT_DATA] = "float_data", [INT32_DATA] = "int32_data", [STRING_DATA] = "string_data",
    [INT64_DATA] = "int64_data", [RAW_DATA] = "raw_data", [DOUBLE_DATA] = "double_data",
    [UINT64_DATA] = "uint64_data",
};
enum { FIELD_COUNT = UINT64_DATA + 1 };

/* ---- types ---- */

/* Which dtype it is, and in which field its elements are where they are not raw; 0: neither. */
static const struct {
    Dtype dtype;
    uint32_t field;
} types[] = {
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT] = { DT_F32, FLOAT_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT8] = { DT_U8, INT32_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT8] = { DT_I8, INT32_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT16] = { DT_U16, INT32_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT16] = { DT_I16, INT32_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT32] = { DT_I32, INT32_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__INT64] = { DT_I64, INT64_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__BOOL] = { DT_BOOL, INT32_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16] = { DT_F16, INT32_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE] = { DT_F64, DOUBLE_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT32] = { DT_U32, UINT64_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__UINT64] = { DT_U64, UINT64_DATA },
    [ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16] = { DT_BF16, INT32_DATA },
};

bool onnx_dtype(int32_t data_type, Dtype *out_dtype)
{
    if (data_type < 0 || (size_t)data_type >= sizeof types / sizeof *types ||
        !types[data_type].field)
        return false;
    *out_dtype = types[data_type].dtype;
    return true;
}

const char *onnx_type_name(Arena *a, int32_t data_type)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
        &onnx__tensor_proto__data_type__descriptor, data_type);
    if (!v)
        return arena_printf(a, "#%" PRId32, data_type);
    char *name = arena_strndup(a, v->name, strlen(v->name));
    for (char *c = name; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    return name;
}

/* ---- what is there ---- */

typedef struct {
    OnnxFile *f;
    const Onnx__TensorProto *t;
    const char *what;
    OnnxTensor *to;
    uint32_t typed;                /* field for elements that are not raw */
    WireCursor message;
    uint64_t elements[FIELD_COUNT]; /* by field; of RAW_DATA bytes */
    uint32_t pieces;               /* fields with elements of `typed` or RAW_DATA */
    OnnxBytes piece;               /* the last of them, if it is a run of bytes */
} Decode;

static const char *shape_of(const Decode *d)
{
    Arena *a = d->f->cx->arena;
    const char *text = "";
    for (uint32_t i = 0; i < d->to->rank; i++)
        text = arena_printf(a, "%s%s%" PRId64, text, i ? ", " : "", d->to->dim[i]);
    return arena_printf(a, "[%s]", text);
}

static const char *type_of(const Decode *d)
{
    return onnx_type_name(d->f->cx->arena, d->t->data_type);
}

static bool read_shape(Decode *d)
{
    const Onnx__TensorProto *t = d->t;
    OnnxTensor *to = d->to;
    if (t->n_dims > MAX_RANK)
        return onnx_fail(d->f, DIAG_E0712, "%s has %zu dimensions; at most %d are supported",
                         d->what, t->n_dims, MAX_RANK);
    to->rank = (uint32_t)t->n_dims;
    /* The product of all that are not 0 must fit, too: a part must not be larger than the whole. */
    int64_t count = 1;
    bool empty = false, fits = true;
    for (uint32_t i = 0; i < to->rank; i++) {
        int64_t dim = to->dim[i] = t->dims[i];
        if (dim < 0)
            return onnx_fail(d->f, DIAG_E0704, "%s has a dimension of %" PRId64, d->what, dim);
        empty |= !dim;
        fits &= !dim || !__builtin_mul_overflow(count, dim, &count);
    }
    if (!fits || __builtin_mul_overflow(count, dtype_size(to->dtype), &to->bytes) ||
        to->bytes > PTRDIFF_MAX)
        return onnx_fail(d->f, DIAG_E0704, "%s has the shape %s, which is too large", d->what,
                         shape_of(d));
    to->count = empty ? 0 : count;
    to->bytes = empty ? 0 : to->bytes;
    return true;
}

static bool is_fixed(uint32_t field)
{
    return field == FLOAT_DATA || field == DOUBLE_DATA;
}

/* Elements in one field; a varint ends with a byte without its top bit. The scan has seen that
 * the field is of a kind that fits. */
static uint64_t count_in(const WireField *w)
{
    if (w->number == RAW_DATA)
        return w->size;
    if (w->type != WIRE_BYTES || w->number == STRING_DATA)
        return 1;
    if (is_fixed(w->number))
        return w->size / (w->number == FLOAT_DATA ? 4 : 8);
    uint64_t n = 0;
    for (size_t i = 0; i < w->size; i++)
        n += w->bytes[i] < 0x80;
    return n;
}

static void count_elements(Decode *d)
{
    WireCursor c = d->message;
    WireField w;
    const char *why;
    while (wire_next(&c, &w, &why)) {
        if (w.number >= FIELD_COUNT || !field_names[w.number])
            continue;
        uint64_t n = count_in(&w);
        if (w.number == RAW_DATA)
            d->elements[RAW_DATA] = 0; /* of a field that is no list the last one counts */
        d->elements[w.number] += n;
        if ((w.number == RAW_DATA || w.number == d->typed) && (n || w.number == RAW_DATA)) {
            d->pieces++;
            d->piece = (OnnxBytes){ w.bytes, w.type == WIRE_BYTES ? w.size : 0 };
        }
    }
}

/* Exactly one field has elements, and as many as the shape says. */
static bool check_elements(Decode *d)
{
    uint64_t raw = d->elements[RAW_DATA], typed = d->elements[d->typed];
    for (uint32_t i = 0; i < FIELD_COUNT; i++)
        if (d->elements[i] && i != d->typed && i != RAW_DATA)
            return onnx_fail(d->f, DIAG_E0704, "%s: %s elements cannot be in %s", d->what,
                             type_of(d), field_names[i]);
    if (raw && typed)
        return onnx_fail(d->f, DIAG_E0704, "%s has elements both in raw_data and in %s", d->what,
                         field_names[d->typed]);
    if (raw && raw != d->to->bytes)
        return onnx_fail(d->f, DIAG_E0704, "%s: the shape %s of %s takes %zu bytes, but %" PRIu64
                         " are there", d->what, shape_of(d), type_of(d), d->to->bytes, raw);
    if (!raw && typed != (uint64_t)d->to->count)
        return onnx_fail(d->f, DIAG_E0704, "%s: the shape %s has %" PRId64 " elements, but %" PRIu64
                         " are there", d->what, shape_of(d), d->to->count, typed);
    return true;
}

/* ---- conversion ---- */

/* Low bits of a varint as the field has them: an int32 is what its low 32 bits say. */
static int64_t value_of(uint32_t field, uint64_t bits)
{
    return field == INT32_DATA ? (int32_t)(uint32_t)bits : (int64_t)bits;
}

static bool fits_dtype(Dtype t, int64_t v)
{
    switch (t) {
    case DT_I8: return v >= INT8_MIN && v <= INT8_MAX;
    case DT_I16: return v >= INT16_MIN && v <= INT16_MAX;
    case DT_U8: return v >= 0 && v <= UINT8_MAX;
    case DT_U16: case DT_F16: case DT_BF16: return v >= 0 && v <= UINT16_MAX;
    case DT_U32: return v >= 0 && v <= UINT32_MAX;
    case DT_BOOL: return v == 0 || v == 1;
    case DT_F64: case DT_F32: case DT_I64: case DT_I32: case DT_U64: case DT_COUNT: break;
    }
    return true;
}

/* Appends one element; its dtype's bytes are the low ones. */
static bool put_value(Decode *d, uint8_t **to, uint64_t bits)
{
    int64_t v = value_of(d->typed, bits);
    if (!fits_dtype(d->to->dtype, v))
        return onnx_fail(d->f, DIAG_E0704, "%s: %" PRId64 " is no element of %s", d->what, v,
                         type_of(d));
    size_t size = dtype_size(d->to->dtype);
    memcpy(*to, &v, size);
    *to += size;
    return true;
}

static bool convert_field(Decode *d, const WireField *w, uint8_t **to)
{
    uint64_t bits;
    const char *why;
    if (is_fixed(d->typed)) {
        size_t size = dtype_size(d->to->dtype);
        memcpy(*to, w->type == WIRE_BYTES ? w->bytes : (const uint8_t *)&w->value,
               w->type == WIRE_BYTES ? w->size : size);
        *to += w->type == WIRE_BYTES ? w->size : size;
        return true;
    }
    if (w->type != WIRE_BYTES)
        return put_value(d, to, w->value);
    WireCursor c = { w->bytes, w->bytes + w->size };
    while (c.at < c.end) {
        if (!wire_varint(&c, &bits, &why))
            return onnx_fail(d->f, DIAG_E0702, "%s: %s: %s", d->what, field_names[d->typed], why);
        if (!put_value(d, to, bits))
            return false;
    }
    return true;
}

static bool convert_lists(Decode *d, uint8_t *to)
{
    WireCursor c = d->message;
    WireField w;
    const char *why;
    while (wire_next(&c, &w, &why))
        if (w.number == d->typed && !convert_field(d, &w, &to))
            return false;
    return true;
}

/* A bool that is not 0 becomes 1. */
static void convert_bools(const Decode *d, const uint8_t *from, uint8_t *to)
{
    for (size_t i = 0; i < d->to->bytes; i++)
        to[i] = from[i] != 0;
}

/* ---- once ---- */

static OnnxConverted *converted_slot(const OnnxFile *f, uint64_t at)
{
    uint32_t i = (uint32_t)(at * 0x9E3779B97F4A7C15u >> 32) & (f->converted_cap - 1);
    while (f->converted[i].at && f->converted[i].at != at)
        i = (i + 1) & (f->converted_cap - 1);
    return &f->converted[i];
}

static const void *converted_find(const OnnxFile *f, const Onnx__TensorProto *t)
{
    return f->converted_cap && t->has_file_at ? converted_slot(f, t->file_at + 1)->data : NULL;
}

static void converted_add(OnnxFile *f, const Onnx__TensorProto *t, const void *data)
{
    if (!t->has_file_at)
        return;
    if (2 * f->n_converted >= f->converted_cap) {
        OnnxConverted *old = f->converted;
        uint32_t n = f->converted_cap;
        f->converted_cap = n ? 2 * n : 64;
        f->converted = arena_new_array(f->cx->arena, OnnxConverted, f->converted_cap);
        for (uint32_t i = 0; i < n; i++)
            if (old[i].at)
                *converted_slot(f, old[i].at) = old[i];
    }
    *converted_slot(f, t->file_at + 1) = (OnnxConverted){ t->file_at + 1, data };
    f->n_converted++;
}

/* ---- a tensor ---- */

static bool fill(Decode *d)
{
    OnnxTensor *to = d->to;
    bool external = d->t->has_data_location &&
                    d->t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    if (external) {
        for (uint32_t i = 0; i < FIELD_COUNT; i++)
            if (d->elements[i])
                return onnx_fail(d->f, DIAG_E0704, "%s has elements both here and in another file",
                                 d->what);
        if (!onnx_external(d->f, d->t, d->what, to->bytes, &d->piece.bytes))
            return false;
    } else if (!check_elements(d)) {
        return false;
    }
    static const uint64_t nothing;
    if (!to->count) {
        to->data = &nothing;
        return true;
    }
    bool as_is = external || d->elements[RAW_DATA] || (is_fixed(d->typed) && d->pieces == 1 &&
                                                       d->piece.size == to->bytes);
    if (as_is && to->dtype != DT_BOOL) {
        to->data = d->piece.bytes;
        return true;
    }
    if ((to->data = converted_find(d->f, d->t)))
        return true;
    uint8_t *memory = pool_alloc(&d->f->pool, to->bytes);
    if (!memory)
        return onnx_fail_memory(d->f);
    if (as_is)
        convert_bools(d, d->piece.bytes, memory);
    else if (!convert_lists(d, memory))
        return false;
    to->data = memory;
    converted_add(d->f, d->t, memory);
    return true;
}

/* Where the message of `t` is: in the file, or for one that was made in memory, packed for it. */
static bool find_message(Decode *d)
{
    const Onnx__TensorProto *t = d->t;
    const OnnxBytes *b = &d->f->bytes;
    if (t->has_file_at) {
        assert(t->file_at <= b->size && t->file_size <= b->size - t->file_at);
        d->message = (WireCursor){ b->bytes + t->file_at, b->bytes + t->file_at + t->file_size };
        return true;
    }
    size_t size = protobuf_c_message_get_packed_size(&t->base);
    uint8_t *packed = pool_alloc(&d->f->pool, size);
    if (!packed)
        return onnx_fail_memory(d->f);
    protobuf_c_message_pack(&t->base, packed);
    d->message = (WireCursor){ packed, packed + size };
    return true;
}

/* Type, shape, and how many elements are in which field. */
static bool begin(Decode *d)
{
    const Onnx__TensorProto *t = d->t;
    *d->to = (OnnxTensor){ 0 };
    if (d->f->failures >= DIAG_MAX_ERRORS) /* a file of a million bad tensors */
        return false;
    if (!t->has_data_type || t->data_type <= 0)
        return onnx_fail(d->f, DIAG_E0704, "%s does not say the type of its elements", d->what);
    if (!onnx_dtype(t->data_type, &d->to->dtype))
        return onnx_fail(d->f, DIAG_E0712, "%s: elements of type %s are not supported here",
                         d->what, type_of(d));
    if (t->segment)
        return onnx_fail(d->f, DIAG_E0712, "%s: tensors in segments are not supported", d->what);
    d->typed = types[t->data_type].field;
    if (!read_shape(d) || !find_message(d))
        return false;
    count_elements(d);
    return true;
}

bool onnx_tensor(OnnxFile *f, const Onnx__TensorProto *t, const char *what, OnnxTensor *out_t)
{
    Decode d = { .f = f, .t = t, .what = what, .to = out_t };
    return begin(&d) && fill(&d);
}
