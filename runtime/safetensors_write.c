/* safetensors_write.c: writes a safetensors file with checksums. Two passes over the tensors: their
 * checksums stand in the header, which comes first. Wider elements come first, so that every tensor
 * is aligned to its elements without holes, which the format forbids. */
#include "runtime/checksum.h"
#include "runtime/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtype_names[DLRT_DTYPE_COUNT] = {
    "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL",
};

/* ---- A string that grows; once memory is out it stays empty. ---- */

typedef struct {
    char *at;
    size_t n, cap;
    bool failed;
} Text;

static void put(Text *t, const char *s, size_t n)
{
    if (t->failed)
        return;
    if (t->n + n > t->cap) {
        size_t cap = (t->n + n) * 2 + 256;
        char *at = realloc(t->at, cap);
        if (!at) {
            t->failed = true;
            return;
        }
        t->at = at;
        t->cap = cap;
    }
    memcpy(t->at + t->n, s, n);
    t->n += n;
}

static void put_format(Text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put_format(Text *t, const char *format, ...)
{
    char s[128];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(s, sizeof s, format, args);
    va_end(args);
    put(t, s, (size_t)n);
}

/* The characters of a JSON string, without its quotes. */
static void put_escaped(Text *t, const char *s)
{
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            put_format(t, "\\%c", *s);
        else if ((unsigned char)*s < 32)
            put_format(t, "\\u%04x", (unsigned)*s);
        else
            put(t, s, 1);
    }
}

static void put_pair(Text *t, const char *prefix, const char *key, const char *value)
{
    put(t, ",\"", 2);
    put_escaped(t, prefix);
    put_escaped(t, key);
    put(t, "\":\"", 3);
    put_escaped(t, value);
    put(t, "\"", 1);
}

/* ---- Tensors ---- */

typedef struct {
    const DlrtIo *io;
    const DlrtSafeSource *source;
    DlrtSafeTensor *tensors;
    size_t *order; /* as they lie in the file */
    void *room;
} Writer;

static int64_t element_count(const DlrtSafeTensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->rank; d++)
        n *= t->dims[d];
    return n;
}

/* All bytes of tensor i: into a checksum, or out. */
static int each_piece(const Writer *w, size_t i, DlrtChecksum *sum)
{
    const DlrtSafeTensor *t = &w->tensors[i];
    int64_t size = (int64_t)dlrt_dtype_size(t->dtype), n = element_count(t);
    int64_t most = DLRT_SAFE_ROOM / size;
    for (int64_t first = 0; first < n; first += most) {
        int64_t part = n - first < most ? n - first : most;
        const void *p = w->source->fetch(w->source->user, i, first, part, w->room);
        if (sum)
            dlrt_checksum_add(sum, p, (size_t)(part * size));
        else if (w->io->write(w->io->user, p, (size_t)(part * size)))
            return DLRT_E_IO;
    }
    return DLRT_OK;
}

static void describe_all(Writer *w)
{
    size_t placed = 0;
    uint64_t at = 0;
    for (size_t i = 0; i < w->source->count; i++) {
        w->source->describe(w->source->user, i, &w->tensors[i]);
        DlrtChecksum sum = dlrt_checksum_new();
        each_piece(w, i, &sum);
        w->tensors[i].sum = dlrt_checksum_end(&sum);
    }
    for (size_t width = 8; width; width /= 2)
        for (size_t i = 0; i < w->source->count; i++) {
            DlrtSafeTensor *t = &w->tensors[i];
            if (dlrt_dtype_size(t->dtype) != width)
                continue;
            t->begin = at;
            at += (uint64_t)element_count(t) * width;
            t->end = at;
            w->order[placed++] = i;
        }
}

/* ---- The header ---- */

static const char opening[] = "{\"__metadata__\":{\"dlcc.header\":\"";
enum { SIZE_BYTES = 8, DIGITS = 16 };

static void put_header(const Writer *w, Text *t)
{
    const DlrtSafeSource *s = w->source;
    put(t, "\0\0\0\0\0\0\0\0", SIZE_BYTES);
    put(t, opening, sizeof opening - 1);
    put(t, "0000000000000000\"", DIGITS + 1);
    for (size_t i = 0; i < s->pair_count; i++)
        put_pair(t, "", s->pairs[i].key, s->pairs[i].value);
    for (size_t i = 0; i < s->count; i++) {
        char digits[DIGITS + 1];
        snprintf(digits, sizeof digits, "%016llx", (unsigned long long)w->tensors[i].sum);
        put_pair(t, "dlcc.sum.", w->tensors[i].name, digits);
    }
    put(t, "}", 1);
    for (size_t i = 0; i < s->count; i++) {
        const DlrtSafeTensor *x = &w->tensors[w->order[i]];
        put(t, ",\"", 2);
        put_escaped(t, x->name);
        put_format(t, "\":{\"dtype\":\"%s\",\"shape\":[", dtype_names[x->dtype]);
        for (int d = 0; d < x->rank; d++)
            put_format(t, "%s%lld", d ? "," : "", (long long)x->dims[d]);
        put_format(t, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)x->begin,
                   (unsigned long long)x->end);
    }
    put(t, "}", 1);
    while (!t->failed && t->n % DLRT_ALIGN)
        put(t, " ", 1);
}

static void seal_header(Text *t)
{
    char digits[DIGITS + 1];
    uint64_t size = t->n - SIZE_BYTES;
    for (int i = 0; i < SIZE_BYTES; i++)
        t->at[i] = (char)(size >> (8 * i));
    DlrtChecksum sum = dlrt_checksum_new();
    dlrt_checksum_add(&sum, t->at, t->n);
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)dlrt_checksum_end(&sum));
    memcpy(t->at + SIZE_BYTES + sizeof opening - 1, digits, DIGITS);
}

int dlrt_safe_write(const DlrtIo *io, const DlrtSafeSource *source, char *message, size_t size)
{
    Writer w = { .io = io, .source = source };
    Text header = { 0 };
    int rc = DLRT_E_NOMEM;
    w.tensors = calloc(source->count + 1, sizeof *w.tensors);
    w.order = calloc(source->count + 1, sizeof *w.order);
    w.room = malloc(DLRT_SAFE_ROOM);
    if (w.tensors && w.order && w.room) {
        describe_all(&w);
        put_header(&w, &header);
        if (!header.failed) {
            seal_header(&header);
            rc = io->write(io->user, header.at, header.n) ? DLRT_E_IO : DLRT_OK;
            for (size_t i = 0; i < source->count && !rc; i++)
                rc = each_piece(&w, w.order[i], NULL);
        }
    }
    free(header.at);
    free(w.tensors);
    free(w.order);
    free(w.room);
    if (rc)
        snprintf(message, size, rc == DLRT_E_NOMEM ? "not enough memory" : "writing failed");
    return rc;
}
