/* npy.c: numpy's array files, versions 1 to 3.
 *
 *     \x93NUMPY major minor | u16 (v1) or u32 (v2, v3) header length | header | values
 *
 * The header is a Python dictionary of three keys; it is parsed as that and nothing else, since
 * it comes from anywhere. The values must be exactly as long as the shape says. */
#include "runtime/dlrt.h"
#include "runtime/host/files.h"
#include "runtime/host/npy_header.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *origin, *p, *end;
    HostError *error;
} Parser;

typedef struct {
    DlrtDtype dtype;
    bool swapped, fortran;
    int rank;
    int64_t dims[HOST_MAX_RANK];
} Header;

/* numpy's letter and size, by dtype. */
static const struct {
    char kind, size;
    DlrtDtype dtype;
} kinds[] = {
    { 'b', 1, DLRT_BOOL }, { 'f', 2, DLRT_F16 }, { 'f', 4, DLRT_F32 }, { 'f', 8, DLRT_F64 },
    { 'i', 1, DLRT_I8 },   { 'i', 2, DLRT_I16 }, { 'i', 4, DLRT_I32 }, { 'i', 8, DLRT_I64 },
    { 'u', 1, DLRT_U8 },   { 'u', 2, DLRT_U16 }, { 'u', 4, DLRT_U32 }, { 'u', 8, DLRT_U64 },
    { 'V', 2, DLRT_BF16 },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

void host_npy_free(HostNpy *array)
{
    free(array->name);
    free(array->data);
    *array = (HostNpy){ 0 };
}

int64_t host_npy_elements(const HostNpy *array)
{
    int64_t n = 1;
    for (int i = 0; i < array->rank; i++)
        n *= array->dims[i];
    return n;
}

/* ---- The header ---- */

static bool bad_header(Parser *p, const char *what)
{
    return host_fail(p->error, "E0603", "%s is no npy file: %s", p->origin, what);
}

static void blanks(Parser *p)
{
    while (p->p < p->end && (*p->p == ' ' || *p->p == '\n' || *p->p == '\t'))
        p->p++;
}

static bool accept(Parser *p, char c)
{
    blanks(p);
    if (p->p == p->end || *p->p != c)
        return false;
    p->p++;
    return true;
}

static bool word(Parser *p, const char *w)
{
    size_t n = strlen(w);
    blanks(p);
    if ((size_t)(p->end - p->p) < n || memcmp(p->p, w, n))
        return false;
    p->p += n;
    return true;
}

/* A quoted string without escapes, of at most 31 bytes. */
static bool string(Parser *p, char out[32])
{
    blanks(p);
    if (p->p == p->end || (*p->p != '\'' && *p->p != '"'))
        return false;
    char quote = *p->p++;
    for (int n = 0; n < 31 && p->p < p->end; n++) {
        char c = *p->p++;
        out[n] = c == quote ? 0 : c;
        if (c == quote)
            return true;
        if (c == '\\')
            return false;
    }
    return false;
}

static bool parse_dtype(Parser *p, Header *h)
{
    char s[32];
    if (accept(p, '['))
        return host_fail(p->error, "E0613", "%s: structured dtypes are not supported", p->origin);
    if (!string(p, s))
        return bad_header(p, "`descr` is no string");
    const char *t = s;
    char order = strchr("<>|=", *t) && *t ? *t++ : '=';
    for (int i = 0; i < KINDS; i++)
        if (t[0] == kinds[i].kind && t[1] == '0' + kinds[i].size && !t[2]) {
            h->dtype = kinds[i].dtype;
            bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
            h->swapped = order == (big ? '<' : '>');
            return true;
        }
    return host_fail(p->error, "E0613", "%s: dtype '%s' is not supported", p->origin, s);
}

static bool parse_shape(Parser *p, Header *h)
{
    if (!accept(p, '('))
        return bad_header(p, "`shape` is no tuple");
    h->rank = 0;
    while (!accept(p, ')')) {
        int64_t v = 0;
        const char *start = p->p;
        for (; p->p < p->end && *p->p >= '0' && *p->p <= '9'; p->p++)
            if (!host_mul(v, 10, &v) || __builtin_add_overflow(v, *p->p - '0', &v))
                return host_fail(p->error, "E0609", "%s: a dimension overflows", p->origin);
        if (p->p == start)
            return bad_header(p, "a dimension is no number of 0 or more");
        if (h->rank == HOST_MAX_RANK)
            return host_fail(p->error, "E0613", "%s: more than %d axes", p->origin, HOST_MAX_RANK);
        h->dims[h->rank++] = v;
        accept(p, 'L'); /* Python 2 */
        blanks(p);
        if (!accept(p, ',') && (p->p == p->end || *p->p != ')'))
            return bad_header(p, "`shape` is not closed");
        blanks(p);
    }
    return true;
}

static bool parse_header(Parser *p, Header *h)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    int seen = 0;
    if (!accept(p, '{'))
        return bad_header(p, "the header is no dictionary");
    while (!accept(p, '}')) {
        char key[32];
        if (!string(p, key) || !accept(p, ':'))
            return bad_header(p, "a key is missing in the header");
        int bit = !strcmp(key, "descr")           ? DESCR
                : !strcmp(key, "fortran_order") ? ORDER
                : !strcmp(key, "shape")         ? SHAPE
                                                : 0;
        if (!bit || seen & bit)
            return bad_header(p, bit ? "a key stands twice" : "unknown key");
        seen |= bit;
        if (bit == DESCR && !parse_dtype(p, h))
            return false;
        if (bit == SHAPE && !parse_shape(p, h))
            return false;
        if (bit == ORDER && !(h->fortran = word(p, "True")) && !word(p, "False"))
            return bad_header(p, "`fortran_order` is neither True nor False");
        if (!accept(p, ',')) {
            if (accept(p, '}'))
                break;
            return bad_header(p, "the header is not closed");
        }
    }
    blanks(p);
    if (p->p != p->end)
        return bad_header(p, "text after the header");
    return seen == (DESCR | ORDER | SHAPE) || bad_header(p, "a key is missing in the header");
}

/* ---- Values ---- */

static void copy_swapped(char *to, const char *from, size_t bytes, size_t size)
{
    for (size_t at = 0; at < bytes; at += size)
        for (size_t i = 0; i < size; i++)
            to[at + i] = from[at + size - 1 - i];
}

/* Column-major to row-major: walks the target, keeping the source's offset as an odometer. */
static void copy_fortran(char *to, const char *from, const Header *h, int64_t elements, size_t size)
{
    int64_t index[HOST_MAX_RANK] = { 0 }, stride[HOST_MAX_RANK], step = 1, at = 0;
    for (int i = 0; i < h->rank; i++) {
        stride[i] = step;
        step *= h->dims[i];
    }
    for (int64_t e = 0; e < elements; e++) {
        memcpy(to + (size_t)e * size, from + (size_t)at * size, size);
        for (int i = h->rank - 1; i >= 0; i--) {
            at += stride[i];
            if (++index[i] < h->dims[i])
                break;
            at -= stride[i] * h->dims[i];
            index[i] = 0;
        }
    }
}

static bool copy_values(const char *origin, const Header *h, const char *from, int64_t bytes,
                        void **out_data, HostError *out_error)
{
    size_t size = dlrt_dtype_size((int)h->dtype);
    char *data = host_malloc((size_t)bytes);
    char *swapped = h->swapped && h->fortran && h->rank > 1 ? host_malloc((size_t)bytes) : data;
    if (!data || !swapped) {
        free(data);
        return host_fail_memory(out_error, origin, bytes);
    }
    if (h->swapped) {
        copy_swapped(swapped, from, (size_t)bytes, size);
        from = swapped;
    }
    if (h->fortran && h->rank > 1)
        copy_fortran(data, from, h, bytes / (int64_t)size, size);
    else if (!h->swapped && bytes)
        memcpy(data, from, (size_t)bytes);
    if (swapped != data)
        free(swapped);
    for (int64_t i = 0; h->dtype == DLRT_BOOL && i < bytes; i++)
        data[i] = data[i] != 0;
    *out_data = data;
    return true;
}

bool host_npy_parse(const char *origin, const void *bytes, size_t size, HostNpy *out_array,
                    HostError *out_error)
{
    const uint8_t *b = bytes;
    Parser p = { .origin = origin, .error = out_error };
    *out_array = (HostNpy){ 0 };
    if (size < 10 || memcmp(b, "\x93NUMPY", 6))
        return bad_header(&p, size < 10 ? "it is truncated" : "it begins otherwise");
    if (b[6] < 1 || b[6] > 3)
        return host_fail(out_error, "E0613", "%s: npy version %d.%d is not supported", origin, b[6],
                         b[7]);
    size_t start = b[6] == 1 ? 10 : 12;
    if (size < start)
        return bad_header(&p, "it is truncated");
    size_t length = b[8] | (size_t)b[9] << 8;
    if (b[6] > 1)
        length |= (size_t)b[10] << 16 | (size_t)b[11] << 24;
    if (length > size - start)
        return bad_header(&p, "it is truncated within its header");
    p.p = (const char *)b + start;
    p.end = p.p + length;
    Header h = { 0 };
    int64_t need;
    if (!parse_header(&p, &h))
        return false;
    if (!host_bytes_of(h.rank, h.dims, dlrt_dtype_size((int)h.dtype), &need))
        return host_fail(out_error, "E0609", "%s: the shape overflows", origin);
    size_t rest = size - start - length;
    if ((uint64_t)need != rest)
        return host_fail(out_error, "E0603",
                         "%s: %s: the shape says %" PRId64 " bytes, the file has %zu", origin,
                         rest < (uint64_t)need ? "truncated" : "too long", need, rest);
    out_array->dtype = h.dtype;
    out_array->rank = h.rank;
    memcpy(out_array->dims, h.dims, sizeof h.dims);
    return copy_values(origin, &h, p.end, need, &out_array->data, out_error);
}

bool host_npy_read(const char *path, HostNpy *out_array, HostError *out_error)
{
    char *bytes;
    size_t size;
    *out_array = (HostNpy){ 0 };
    if (!host_file_read(path, 0, &bytes, &size, out_error))
        return false;
    bool ok = host_npy_parse(path, bytes, size, out_array, out_error);
    free(bytes);
    return ok;
}

/* ---- Writing ---- */

bool host_npy_header(const char *origin, const HostNpy *a, char out[NPY_HEADER_MAX],
                     size_t *out_size, int64_t *out_bytes, HostError *out_error)
{
    char kind = 0, size = 0;
    for (int i = 0; i < KINDS; i++)
        if (kinds[i].dtype == a->dtype) {
            kind = kinds[i].kind;
            size = kinds[i].size;
        }
    if (!host_bytes_of(a->rank, a->dims, dlrt_dtype_size((int)a->dtype), out_bytes))
        return host_fail(out_error, "E0609", "%s: the array is too large", origin);
    char order = size == 1 ? '|' : __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? '>' : '<';
    char *text = out + 10;
    int n = sprintf(text, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (", order, kind,
                    size);
    for (int i = 0; i < a->rank; i++)
        n += sprintf(text + n, "%s%" PRId64, i ? ", " : "", a->dims[i]);
    n += sprintf(text + n, "%s), }", a->rank == 1 ? "," : "");
    while ((10 + n + 1) % 64)
        text[n++] = ' ';
    text[n++] = '\n';
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (char)(n & 255);
    out[9] = (char)(n >> 8);
    *out_size = 10 + (size_t)n;
    return true;
}

bool host_npy_write(const char *path, const HostNpy *array, HostError *out_error)
{
    char header[NPY_HEADER_MAX];
    size_t size;
    int64_t bytes;
    HostWriter w;
    if (!host_npy_header(path, array, header, &size, &bytes, out_error))
        return false;
    host_writer_open(&w, path);
    host_writer_put(&w, header, size);
    host_writer_put(&w, array->data, (size_t)bytes);
    return host_writer_close(&w, true, out_error);
}
