/* safetensors_read.c: reads a safetensors file, believing nothing: every number is checked against
 * the size of the file, every byte of data belongs to exactly one tensor, and where there are
 * checksums they are compared. Memory is a small multiple of the header's size, which is at most
 * 100 MB as the format says. */
#include "runtime/checksum.h"
#include "runtime/json.h"
#include "runtime/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_BYTES = 8, DIGITS = 16, HEADER_MOST = 100000000, WINDOW = 1 << 16 };
static const char opening[] = "{\"__metadata__\":{\"dlcc.header\":\"";

struct DlrtSafeFile {
    DlrtIo io;
    bool owns_io;  /* opened by path */
    bool has_sums;
    char *header;
    DlrtSafeTensor *tensors; /* by name */
    size_t count, cap;
    DlrtPair *pairs; /* by key */
    size_t pair_count, pair_cap;
};

typedef struct {
    char *message;
    size_t size;
    DlrtSafeFile *f;
    uint64_t data; /* where the data begins */
} Reader;

static int bad(const Reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int bad(const Reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->message, r->size, format, args);
    va_end(args);
    return DLRT_E_FORMAT;
}

static int no_memory(const Reader *r)
{
    snprintf(r->message, r->size, "not enough memory");
    return DLRT_E_NOMEM;
}

/* ---- Lists ---- */

/* Room for one more; the arrays double. */
static bool grow(void **at, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t wider = *cap ? *cap * 2 : 64;
    void *p = realloc(*at, wider * size);
    if (!p)
        return false;
    *at = p;
    *cap = wider;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const DlrtSafeTensor *)a)->name, ((const DlrtSafeTensor *)b)->name);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const DlrtPair *)a)->key, ((const DlrtPair *)b)->key);
}

static int by_place(const void *a, const void *b)
{
    const DlrtSafeTensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* ---- Parsing ---- */

static int dtype_of(const char *name)
{
    static const struct { const char name[5]; int8_t dtype; } rows[] = {
        { "BF16", DLRT_BF16 }, { "BOOL", DLRT_BOOL }, { "F16", DLRT_F16 }, { "F32", DLRT_F32 },
        { "F64", DLRT_F64 },   { "I16", DLRT_I16 },   { "I32", DLRT_I32 }, { "I64", DLRT_I64 },
        { "I8", DLRT_I8 },     { "U16", DLRT_U16 },   { "U32", DLRT_U32 }, { "U64", DLRT_U64 },
        { "U8", DLRT_U8 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].dtype;
    return -1;
}

static int parse_shape(const Reader *r, Json *j, DlrtSafeTensor *t)
{
    if (!dlrt_json_need(j, '[') || dlrt_json_take(j, ']'))
        return DLRT_OK;
    do {
        uint64_t dim;
        if (!dlrt_json_whole(j, &dim))
            return DLRT_OK;
        if (t->rank == DLRT_MAX_RANK)
            return bad(r, "\"%.80s\" has more than %d dimensions", t->name, DLRT_MAX_RANK);
        t->dims[t->rank++] = (int64_t)dim;
    } while (dlrt_json_more(j, ']'));
    return DLRT_OK;
}

static void parse_offsets(Json *j, DlrtSafeTensor *t)
{
    if (dlrt_json_need(j, '[') && dlrt_json_whole(j, &t->begin) && dlrt_json_need(j, ',') &&
        dlrt_json_whole(j, &t->end))
        dlrt_json_need(j, ']');
}

/* Bytes, or UINT64_MAX if they are too many. */
static uint64_t shape_bytes(const DlrtSafeTensor *t)
{
    uint64_t n = dlrt_dtype_size(t->dtype);
    bool empty = false, huge = false;
    for (int d = 0; d < t->rank; d++) {
        empty |= t->dims[d] == 0;
        huge |= t->dims[d] && __builtin_mul_overflow(n, (uint64_t)t->dims[d], &n);
    }
    return empty ? 0 : huge ? UINT64_MAX : n;
}

/* {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, in any order, each once. */
static int parse_tensor(const Reader *r, Json *j, DlrtSafeTensor *t)
{
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4, ALL = 7 };
    int seen = 0, rc = DLRT_OK;
    if (!dlrt_json_need(j, '{'))
        return DLRT_OK;
    do {
        const char *key = dlrt_json_string(j);
        if (!key || !dlrt_json_need(j, ':'))
            return DLRT_OK;
        int which = strcmp(key, "dtype") == 0 ? DTYPE
                  : strcmp(key, "shape") == 0 ? SHAPE
                  : strcmp(key, "data_offsets") == 0 ? OFFSETS
                                                     : 0;
        if (!which || seen & which)
            return bad(r, "\"%.80s\": %s field \"%.40s\"", t->name,
                       which ? "repeated" : "unknown", key);
        seen |= which;
        if (which == DTYPE) {
            const char *name = dlrt_json_string(j);
            if (name && (t->dtype = dtype_of(name)) < 0)
                return bad(r, "\"%.80s\" has an unknown dtype \"%.40s\"", t->name, name);
        } else if (which == SHAPE) {
            rc = parse_shape(r, j, t);
        } else {
            parse_offsets(j, t);
        }
        if (rc || j->error)
            return rc;
    } while (dlrt_json_more(j, '}'));
    if (j->error)
        return DLRT_OK;
    if (seen != ALL)
        return bad(r, "\"%.80s\" lacks dtype, shape or data_offsets", t->name);
    if (t->begin > t->end || t->end > r->f->io.size - r->data)
        return bad(r, "\"%.80s\" lies outside the file: it is truncated or damaged", t->name);
    if (shape_bytes(t) != t->end - t->begin)
        return bad(r, "\"%.80s\": its shape does not fit its %llu bytes", t->name,
                   (unsigned long long)(t->end - t->begin));
    t->begin += r->data;
    t->end += r->data;
    return DLRT_OK;
}

static int parse_metadata(const Reader *r, Json *j)
{
    DlrtSafeFile *f = r->f;
    if (!dlrt_json_need(j, '{') || dlrt_json_take(j, '}'))
        return DLRT_OK;
    do {
        const char *key = dlrt_json_string(j);
        const char *value = key && dlrt_json_need(j, ':') ? dlrt_json_string(j) : NULL;
        if (!value)
            return DLRT_OK;
        if (!grow((void **)&f->pairs, f->pair_count, &f->pair_cap, sizeof *f->pairs))
            return no_memory(r);
        f->pairs[f->pair_count++] = (DlrtPair){ key, value };
    } while (dlrt_json_more(j, '}'));
    return DLRT_OK;
}

static int parse_header(const Reader *r, Json *j)
{
    DlrtSafeFile *f = r->f;
    bool metadata = false;
    if (!dlrt_json_need(j, '{') || dlrt_json_take(j, '}'))
        return DLRT_OK;
    do {
        int rc;
        const char *name = dlrt_json_string(j);
        if (!name || !dlrt_json_need(j, ':'))
            return DLRT_OK;
        if (strcmp(name, "__metadata__") == 0) {
            if (metadata)
                return bad(r, "\"__metadata__\" is there twice");
            metadata = true;
            rc = parse_metadata(r, j);
        } else {
            if (!grow((void **)&f->tensors, f->count, &f->cap, sizeof *f->tensors))
                return no_memory(r);
            f->tensors[f->count] = (DlrtSafeTensor){ .name = name };
            rc = parse_tensor(r, j, &f->tensors[f->count]);
            f->count++;
        }
        if (rc || j->error)
            return rc;
    } while (dlrt_json_more(j, '}'));
    return DLRT_OK;
}

/* ---- Checks of the whole ---- */

static int check_places(const Reader *r)
{
    DlrtSafeFile *f = r->f;
    uint64_t at = r->data;
    if (f->count)
        qsort(f->tensors, f->count, sizeof *f->tensors, by_place);
    for (size_t i = 0; i < f->count; i++) {
        const DlrtSafeTensor *t = &f->tensors[i];
        if (t->begin < at)
            return bad(r, "\"%.80s\" overlaps \"%.80s\"", t->name, f->tensors[i - 1].name);
        if (t->begin > at)
            return bad(r, "bytes before \"%.80s\" belong to no tensor", t->name);
        at = t->end;
    }
    if (at != f->io.size)
        return bad(r, "%llu bytes at the end belong to no tensor",
                   (unsigned long long)(f->io.size - at));
    return DLRT_OK;
}

static int check_names(const Reader *r)
{
    DlrtSafeFile *f = r->f;
    if (f->count)
        qsort(f->tensors, f->count, sizeof *f->tensors, by_name);
    for (size_t i = 1; i < f->count; i++)
        if (strcmp(f->tensors[i - 1].name, f->tensors[i].name) == 0)
            return bad(r, "\"%.80s\" is there twice", f->tensors[i].name);
    if (f->pair_count)
        qsort(f->pairs, f->pair_count, sizeof *f->pairs, by_key);
    for (size_t i = 1; i < f->pair_count; i++)
        if (strcmp(f->pairs[i - 1].key, f->pairs[i].key) == 0)
            return bad(r, "the key \"%.80s\" is there twice", f->pairs[i].key);
    return DLRT_OK;
}

/* Exactly 16 hexadecimal digits, lower case. */
static bool parse_digits(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < DIGITS; i++) {
        int digit = s[i] >= '0' && s[i] <= '9' ? s[i] - '0'
                  : s[i] >= 'a' && s[i] <= 'f' ? s[i] - 'a' + 10
                                               : -1;
        if (digit < 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *out = v;
    return true;
}

static const char *find_pair(const DlrtSafeFile *f, const char *key)
{
    DlrtPair wanted = { key, NULL };
    const DlrtPair *p = f->pair_count
        ? bsearch(&wanted, f->pairs, f->pair_count, sizeof *f->pairs, by_key) : NULL;
    return p ? p->value : NULL;
}

/* Files with any key of ours must have the header's checksum and one for each tensor: a damaged
 * byte must not make a file look like one that never had any. */
static int check_sums(const Reader *r)
{
    static const char prefix[] = "dlcc.sum.";
    DlrtSafeFile *f = r->f;
    size_t sums = 0;
    for (size_t i = 0; i < f->pair_count; i++) {
        const char *key = f->pairs[i].key;
        if (strncmp(key, "dlcc.", 5) == 0 && !f->has_sums)
            return bad(r, "damaged: the checksum of its header is missing");
        if (strncmp(key, prefix, sizeof prefix - 1) != 0)
            continue;
        DlrtSafeTensor wanted = { .name = key + sizeof prefix - 1 };
        DlrtSafeTensor *t = f->count
            ? bsearch(&wanted, f->tensors, f->count, sizeof *f->tensors, by_name) : NULL;
        if (!t || strlen(f->pairs[i].value) != DIGITS || !parse_digits(f->pairs[i].value, &t->sum))
            return bad(r, "damaged: a checksum of no tensor");
        t->has_sum = true;
        sums++;
    }
    if (f->has_sums && sums != f->count)
        return bad(r, "damaged: a tensor has no checksum");
    return DLRT_OK;
}

/* The header's own checksum, if it begins as ours do. */
static int check_header(const Reader *r, const char *raw, size_t size)
{
    static const char zeros[DIGITS + 1] = "0000000000000000";
    const size_t at = SIZE_BYTES + sizeof opening - 1;
    uint64_t given;
    if (size < at + DIGITS || memcmp(raw + SIZE_BYTES, opening, sizeof opening - 1) != 0)
        return DLRT_OK;
    if (!parse_digits(raw + at, &given))
        return bad(r, "damaged: the checksum of its header is no number");
    DlrtChecksum sum = dlrt_checksum_new();
    dlrt_checksum_add(&sum, raw, at);
    dlrt_checksum_add(&sum, zeros, DIGITS);
    dlrt_checksum_add(&sum, raw + at + DIGITS, size - at - DIGITS);
    if (dlrt_checksum_end(&sum) != given)
        return bad(r, "damaged: its header does not have its checksum");
    r->f->has_sums = true;
    return DLRT_OK;
}

/* ---- Opening ---- */

static int read_header(Reader *r)
{
    DlrtSafeFile *f = r->f;
    unsigned char size_bytes[SIZE_BYTES];
    uint64_t size = 0;
    if (f->io.size < SIZE_BYTES + 2)
        return bad(r, "too short to be a safetensors file");
    if (f->io.read(f->io.user, 0, size_bytes, SIZE_BYTES))
        return snprintf(r->message, r->size, "reading failed"), DLRT_E_IO;
    for (int i = 0; i < SIZE_BYTES; i++)
        size |= (uint64_t)size_bytes[i] << (8 * i);
    if (size > HEADER_MOST || size > f->io.size - SIZE_BYTES)
        return bad(r, "not a safetensors file, or truncated: its header would have %llu bytes",
                   (unsigned long long)size);
    f->header = malloc(SIZE_BYTES + size + 1);
    if (!f->header)
        return no_memory(r);
    if (f->io.read(f->io.user, 0, f->header, SIZE_BYTES + size))
        return snprintf(r->message, r->size, "reading failed"), DLRT_E_IO;
    r->data = SIZE_BYTES + size;
    int rc = check_header(r, f->header, SIZE_BYTES + size);
    if (rc)
        return rc;
    Json j = { .at = f->header + SIZE_BYTES, .end = f->header + SIZE_BYTES + size };
    if (size == 0 || *j.at != '{')
        return bad(r, "not a safetensors file: its header does not begin with {");
    rc = parse_header(r, &j);
    if (rc)
        return rc;
    if (j.error)
        return bad(r, "its header is damaged: %s at byte %lld", j.error,
                   (long long)(j.at - f->header));
    while (j.at < j.end && *j.at == ' ')
        j.at++;
    if (j.at < j.end)
        return bad(r, "its header is damaged: more after its end");
    return DLRT_OK;
}

int dlrt_safe_open(const DlrtIo *io, char *message, size_t size, DlrtSafeFile **out_file)
{
    Reader r = { .message = message, .size = size, .f = calloc(1, sizeof(DlrtSafeFile)) };
    *out_file = NULL;
    if (!r.f)
        return no_memory(&r);
    r.f->io = *io;
    int rc = read_header(&r);
    if (!rc)
        rc = check_places(&r);
    if (!rc)
        rc = check_names(&r);
    if (!rc)
        rc = check_sums(&r);
    if (rc)
        dlrt_safe_close(r.f);
    else
        *out_file = r.f;
    return rc;
}

int dlrt_safe_open_path(const char *path, char *message, size_t size, DlrtSafeFile **out_file)
{
    char why[320];
    DlrtIo io;
    *out_file = NULL;
    int rc = dlrt_open_read(path, &io, message, size);
    if (rc)
        return rc;
    rc = dlrt_safe_open(&io, why, sizeof why, out_file);
    if (rc) {
        dlrt_close_read(&io);
        snprintf(message, size, "%s: %s", path, why);
    } else {
        (*out_file)->owns_io = true;
    }
    return rc;
}

void dlrt_safe_close(DlrtSafeFile *f)
{
    if (!f)
        return;
    if (f->owns_io)
        dlrt_close_read(&f->io);
    free(f->header);
    free(f->tensors);
    free(f->pairs);
    free(f);
}

/* ---- Looking up ---- */

size_t dlrt_safe_count(const DlrtSafeFile *f)
{
    return f->count;
}

const DlrtSafeTensor *dlrt_safe_tensor(const DlrtSafeFile *f, size_t i)
{
    return i < f->count ? &f->tensors[i] : NULL;
}

const DlrtSafeTensor *dlrt_safe_find(const DlrtSafeFile *f, const char *name)
{
    DlrtSafeTensor wanted = { .name = name };
    return f->count ? bsearch(&wanted, f->tensors, f->count, sizeof *f->tensors, by_name) : NULL;
}

const char *dlrt_safe_meta(const DlrtSafeFile *f, const char *key)
{
    return find_pair(f, key);
}

const DlrtPair *dlrt_safe_pair(const DlrtSafeFile *f, size_t i)
{
    return i < f->pair_count ? &f->pairs[i] : NULL;
}

bool dlrt_safe_has_sums(const DlrtSafeFile *f)
{
    return f->has_sums;
}

int dlrt_safe_read(const DlrtSafeFile *f, const DlrtSafeTensor *t, void *out, char *message,
                   size_t size)
{
    Reader r = { .message = message, .size = size };
    DlrtChecksum sum = dlrt_checksum_new();
    char window[4096];
    char *room = out ? NULL : malloc(WINDOW);
    size_t room_size = room ? WINDOW : sizeof window; /* without memory: slower */
    bool failed = false;
    for (uint64_t at = t->begin; at < t->end && !failed;) {
        uint64_t left = t->end - at;
        size_t n = out ? (left < WINDOW ? left : WINDOW) : left < room_size ? left : room_size;
        char *to = out ? (char *)out + (at - t->begin) : room ? room : window;
        failed = f->io.read(f->io.user, at, to, n) != 0;
        if (!failed && t->has_sum)
            dlrt_checksum_add(&sum, to, n);
        at += n;
    }
    free(room);
    if (failed) {
        snprintf(message, size, "reading \"%.80s\" failed", t->name);
        return DLRT_E_IO;
    }
    if (t->has_sum && dlrt_checksum_end(&sum) != t->sum)
        return bad(&r, "damaged: \"%.80s\" does not have its checksum", t->name);
    return DLRT_OK;
}
