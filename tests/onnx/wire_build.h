/* wire_build.h: writes protobuf's wire format, right or wrong, for tests of the reader of ONNX
 * files. */
#ifndef DLCC_TESTS_ONNX_WIRE_BUILD_H
#define DLCC_TESTS_ONNX_WIRE_BUILD_H
#include "tests/onnx/onnx_help.h"

typedef struct {
    uint8_t *at;
    size_t n, cap;
} Bytes;

static inline void b_raw(Bytes *b, const void *bytes, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n) + 64;
        b->at = realloc(b->at, b->cap);
        assert_non_null(b->at);
    }
    if (n)
        memcpy(b->at + b->n, bytes, n);
    b->n += n;
}

static inline void b_free(Bytes *b)
{
    free(b->at);
    *b = (Bytes){ 0 };
}

static inline void b_varint(Bytes *b, uint64_t v)
{
    uint8_t byte;
    for (; v >= 0x80; v >>= 7) {
        byte = (uint8_t)(v | 0x80);
        b_raw(b, &byte, 1);
    }
    byte = (uint8_t)v;
    b_raw(b, &byte, 1);
}

static inline void b_tag(Bytes *b, uint32_t field, uint32_t type)
{
    b_varint(b, (uint64_t)field << 3 | type);
}

static inline void b_int(Bytes *b, uint32_t field, int64_t v)
{
    b_tag(b, field, 0);
    b_varint(b, (uint64_t)v);
}

static inline void b_bytes(Bytes *b, uint32_t field, const void *bytes, size_t n)
{
    b_tag(b, field, 2);
    b_varint(b, n);
    b_raw(b, bytes, n);
}

static inline void b_text(Bytes *b, uint32_t field, const char *s)
{
    b_bytes(b, field, s, strlen(s));
}

/* Appends `inner` as a message, and frees it. */
static inline void b_message(Bytes *b, uint32_t field, Bytes *inner)
{
    b_bytes(b, field, inner->at, inner->n);
    b_free(inner);
}

/* ---- ONNX ---- */

/* Header of a model: IR version 8, opset 17. */
static inline Bytes b_model(void)
{
    Bytes b = { 0 }, opset = { 0 };
    b_int(&b, 1, 8);
    b_int(&opset, 2, 17);
    b_message(&b, 8, &opset);
    return b;
}

/* A model of this graph, which is freed. */
static inline Bytes b_model_of(Bytes *graph)
{
    Bytes b = b_model();
    b_message(&b, 7, graph);
    return b;
}

/* A tensor without elements yet; its name is "t". */
static inline Bytes b_tensor(int32_t type, const int64_t *dims, size_t rank)
{
    Bytes b = { 0 };
    for (size_t i = 0; i < rank; i++)
        b_int(&b, 1, dims[i]);
    b_int(&b, 2, type);
    b_text(&b, 8, "t");
    return b;
}

/* A model with this tensor, which is freed, as its one initializer. */
static inline Bytes b_model_with(Bytes *tensor)
{
    Bytes graph = { 0 };
    b_text(&graph, 2, "g");
    b_message(&graph, 5, tensor);
    return b_model_of(&graph);
}

static inline void b_value(Bytes *graph, uint32_t field, const char *name, int32_t type,
                           const int64_t *dims, size_t rank)
{
    Bytes shape = { 0 }, tensor = { 0 }, any = { 0 }, value = { 0 };
    for (size_t i = 0; i < rank; i++) {
        Bytes dim = { 0 };
        if (dims[i] < 0)
            b_text(&dim, 2, dims[i] == -1 ? "N" : "M");
        else
            b_int(&dim, 1, dims[i]);
        b_message(&shape, 1, &dim);
    }
    b_int(&tensor, 1, type);
    b_message(&tensor, 2, &shape);
    b_message(&any, 1, &tensor);
    b_text(&value, 1, name);
    b_message(&value, 2, &any);
    b_message(graph, field, &value);
}

/* One key of a tensor's external data. */
static inline void b_external(Bytes *tensor, const char *key, const char *value)
{
    Bytes entry = { 0 };
    b_text(&entry, 1, key);
    b_text(&entry, 2, value);
    b_message(tensor, 13, &entry);
}

#endif
