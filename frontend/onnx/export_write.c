/* export_write.c: see export_write.h. Elements of tensors go from where they lie to the file: the
 * message is packed piece by piece, never as a whole in memory. */
#include "frontend/onnx/export_write.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OUTSIDE_LEAST = 1024, ALIGNMENT = 4096 }; /* bytes of a tensor that moves; of its place */

typedef struct {
    ProtobufCBuffer base;
    FILE *f;
} FileBuffer;

static void append(ProtobufCBuffer *buffer, size_t n, const uint8_t *bytes)
{
    FILE *f = ((FileBuffer *)(void *)buffer)->f;
    if (n && fwrite(bytes, 1, n, f) != n)
        return; /* the stream remembers */
}

static bool close_file(FILE *f, const char *path)
{
    bool ok = !fflush(f) && !ferror(f) && !fsync(fileno(f));
    int e = errno;
    ok = !fclose(f) && ok;
    if (!ok) {
        unlink(path);
        errno = e;
    }
    return ok;
}

static bool write_model(const Onnx__ModelProto *m, const char *path)
{
    FileBuffer out = { { append }, fopen(path, "wb") };
    if (!out.f)
        return false;
    protobuf_c_message_pack_to_buffer(&m->base, &out.base);
    return close_file(out.f, path);
}

static bool moves_out(const Onnx__TensorProto *t)
{
    return t->has_raw_data && t->raw_data.len >= OUTSIDE_LEAST;
}

static bool write_elements(const Onnx__GraphProto *g, const char *path)
{
    static const uint8_t zeros[ALIGNMENT];
    uint64_t at = 0;
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    for (size_t i = 0; i < g->n_initializer; i++) {
        const ProtobufCBinaryData *d = &g->initializer[i]->raw_data;
        if (!moves_out(g->initializer[i]))
            continue;
        size_t gap = (size_t)(-at % ALIGNMENT);
        fwrite(zeros, 1, gap, f);
        fwrite(d->data, 1, d->len, f);
        at += gap + d->len;
    }
    return close_file(f, path);
}

static Onnx__StringStringEntryProto *pair(Arena *a, const char *key, const char *value)
{
    Onnx__StringStringEntryProto *p = arena_make(a, Onnx__StringStringEntryProto);
    onnx__string_string_entry_proto__init(p);
    p->key = (char *)(uintptr_t)key;
    p->value = (char *)(uintptr_t)value;
    return p;
}

/* Large tensors of the model become references to where write_elements put them. */
static void refer(Arena *a, Onnx__GraphProto *g, const char *path)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    uint64_t at = 0;
    for (size_t i = 0; i < g->n_initializer; i++) {
        Onnx__TensorProto *t = g->initializer[i];
        if (!moves_out(t))
            continue;
        at += -at % ALIGNMENT;
        t->external_data = arena_new_array(a, Onnx__StringStringEntryProto *, 3);
        t->n_external_data = 3;
        t->external_data[0] = pair(a, "location", file);
        t->external_data[1] = pair(a, "offset", arena_printf(a, "%llu", (unsigned long long)at));
        t->external_data[2] = pair(a, "length", arena_printf(a, "%zu", t->raw_data.len));
        t->has_data_location = true;
        t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
        at += t->raw_data.len;
        t->has_raw_data = false;
    }
}

static bool fail(Compiler *cx, const char *path)
{
    diag_report(cx, DIAG_E0811, 0, "cannot write %s: %s", path, strerror(errno));
    return false;
}

bool export_write(Compiler *cx, Onnx__ModelProto *m, const OnnxExport *o)
{
    Arena *a = cx->arena;
    uint64_t limit = o->max_bytes ? o->max_bytes : INT32_MAX;
    const char *temporary = arena_printf(a, "%s.tmp%ld", o->path, (long)getpid()),
               *data = arena_printf(a, "%s.data", o->path),
               *data_temporary = arena_printf(a, "%s.tmp%ld", data, (long)getpid());
    bool outside = protobuf_c_message_get_packed_size(&m->base) > limit;
    if (outside && !write_elements(m->graph, data_temporary))
        return fail(cx, data);
    if (outside)
        refer(a, m->graph, data);
    bool ok = write_model(m, temporary);
    if (ok && outside && rename(data_temporary, data))
        ok = false;
    if (ok && rename(temporary, o->path))
        ok = false;
    if (ok)
        return true;
    fail(cx, o->path);
    unlink(temporary);
    if (outside)
        unlink(data_temporary);
    return false;
}
