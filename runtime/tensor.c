/* tensor.c: parameters, states and moments by name. Users see them dense and row-major; storage may
 * be permuted, blocked or padded. */
#include "runtime/core.h"

#include <stdlib.h>
#include <string.h>

int64_t dlrt_find_tensor(const DlrtModel *model, const char *name)
{
    if (!name)
        return -1;
    for (uint32_t i = 0; i < model->tensor_count; i++)
        if (strcmp(model->tensors[i].name, name) == 0)
            return i;
    return -1;
}

int64_t dlrt_tensor_count(const DlrtTensor *t)
{
    int64_t n = 1;
    for (int d = 0; d < t->rank; d++)
        n *= t->dims[d];
    return n;
}

void *dlrt_tensor_data(const DlrtContext *cx, const DlrtTensor *t)
{
    const DlrtContext *owner = t->flags & DLRT_TENSOR_PRIVATE ? cx : cx->shared;
    return (char *)(uintptr_t)owner + t->offset;
}

/* ---- Storage layout ---- */

/* Goes through the elements in row-major order and knows where each is stored: by runs along the
 * last axis that has any length, in each of which the steps are equal. */
typedef struct {
    const DlrtTensor *t;
    int last;
    int64_t index[DLRT_MAX_RANK];
    int64_t at[DLRT_MAX_RANK + 1]; /* at[d]: contribution of the axes before d */
} Cursor;

static int64_t axis_offset(const DlrtLayout *l, int d, int64_t i)
{
    int64_t block = l->block[d];
    return block ? i / block * l->stride[d] + i % block * l->inner[d] : i * l->stride[d];
}

static void cursor_update(Cursor *c, int from)
{
    for (int d = from; d < c->t->rank; d++)
        c->at[d + 1] = c->at[d] + axis_offset(c->t->layout, d, c->index[d]);
}

static Cursor cursor_at(const DlrtTensor *t, int64_t first)
{
    Cursor c = { .t = t, .last = t->rank - 1 };
    for (int d = t->rank - 1; d >= 0; d--) {
        c.index[d] = first % t->dims[d];
        first /= t->dims[d];
    }
    while (c.last > 0 && t->dims[c.last] == 1)
        c.last--;
    cursor_update(&c, 0);
    return c;
}

/* Elements from here on, at most n, each `*out_step` behind the one before. */
static int64_t cursor_run(const Cursor *c, int64_t n, int64_t *out_step)
{
    *out_step = 0;
    if (c->last < 0)
        return 1;
    const DlrtLayout *l = c->t->layout;
    int64_t i = c->index[c->last], block = l->block[c->last], run = c->t->dims[c->last] - i;
    *out_step = block ? l->inner[c->last] : l->stride[c->last];
    if (block && run > block - i % block)
        run = block - i % block;
    return run < n ? run : n;
}

static void cursor_next(Cursor *c, int64_t run)
{
    int d = c->last;
    if (d >= 0)
        c->index[d] += run;
    while (d >= 0 && c->index[d] == c->t->dims[d]) {
        c->index[d] = 0;
        if (--d >= 0)
            c->index[d]++;
    }
    cursor_update(c, d < 0 ? 0 : d);
}

/* n elements of `size` bytes; steps in elements. */
static void copy_steps(void *to, int64_t to_step, const void *from, int64_t from_step, int64_t n,
                       size_t size)
{
    if (size == 4) { /* nearly all: worth a loop without a call in it */
        for (int64_t i = 0; i < n; i++)
            memcpy((char *)to + 4 * i * to_step, (const char *)from + 4 * i * from_step, 4);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)to + (size_t)(i * to_step) * size,
               (const char *)from + (size_t)(i * from_step) * size, size);
}

void dlrt_tensor_gather(const DlrtContext *cx, const DlrtTensor *t, int64_t first, int64_t n,
                        void *out)
{
    size_t size = dlrt_dtype_size(t->dtype);
    const char *data = dlrt_tensor_data(cx, t);
    if (n <= 0)
        return;
    if (!t->layout) {
        memcpy(out, data + (size_t)first * size, (size_t)n * size);
        return;
    }
    if (n == dlrt_tensor_count(t) &&
        dlrt_layout_move(t, (char *)(uintptr_t)data, out, true))
        return;
    Cursor c = cursor_at(t, first);
    for (int64_t i = 0, run, step; i < n; i += run, cursor_next(&c, run)) {
        run = cursor_run(&c, n - i, &step);
        copy_steps((char *)out + (size_t)i * size, 1, data + (size_t)c.at[t->rank] * size, step,
                   run, size);
    }
}

void dlrt_tensor_scatter(DlrtContext *cx, const DlrtTensor *t, int64_t first, int64_t n,
                         const void *in)
{
    size_t size = dlrt_dtype_size(t->dtype);
    char *data = dlrt_tensor_data(cx, t);
    if (n <= 0)
        return;
    if (!t->layout) {
        memcpy(data + (size_t)first * size, in, (size_t)n * size);
        return;
    }
    if (n == dlrt_tensor_count(t) && dlrt_layout_move(t, data, (void *)(uintptr_t)in, false))
        return;
    Cursor c = cursor_at(t, first);
    for (int64_t i = 0, run, step; i < n; i += run, cursor_next(&c, run)) {
        run = cursor_run(&c, n - i, &step);
        copy_steps(data + (size_t)c.at[t->rank] * size, step, (const char *)in + (size_t)i * size,
                   1, run, size);
    }
}

/* ---- By name ---- */

const char *dlrt_name(const DlrtModel *model, size_t i)
{
    return i < model->tensor_count ? model->tensors[i].name : NULL;
}

int dlrt_shape(const DlrtModel *model, const char *name, size_t *out_rank, size_t *out_dims)
{
    int64_t at = dlrt_find_tensor(model, name);
    if (at < 0)
        return DLRT_E_NAME;
    const DlrtTensor *t = &model->tensors[at];
    if (out_rank)
        *out_rank = t->rank;
    for (int d = 0; out_dims && d < t->rank; d++)
        out_dims[d] = (size_t)t->dims[d];
    return DLRT_OK;
}

typedef struct {
    const DlrtTensor *t;
    int64_t n;
} Found;

/* The tensor, if `name` and `given` (elements, or bytes of `size` 1) are right. */
static int find(const DlrtContext *cx, const char *name, size_t given, bool bytes,
                const void *array, Found *out)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    int64_t at = dlrt_find_tensor(cx->model, name);
    if (at < 0)
        return dlrt_fail(cx, DLRT_E_NAME, "%s has no tensor \"%s\"", cx->model->name,
                         name ? name : "NULL");
    out->t = &cx->model->tensors[at];
    out->n = dlrt_tensor_count(out->t);
    uint64_t want = (uint64_t)out->n * (bytes ? dlrt_dtype_size(out->t->dtype) : 1);
    if (given != want)
        return dlrt_fail(cx, DLRT_E_SIZE, "\"%s\" has %llu %s, not %llu", name,
                         (unsigned long long)want, bytes ? "bytes" : "elements",
                         (unsigned long long)given);
    if (!array && given)
        return dlrt_fail(cx, DLRT_E_ARG, "\"%s\": the array is NULL", name);
    return DLRT_OK;
}

static int find_writable(const DlrtContext *cx, const char *name, size_t given, bool bytes,
                         const void *array, Found *out)
{
    int rc = find(cx, name, given, bytes, array, out);
    if (!rc && cx->shared != cx && !(out->t->flags & DLRT_TENSOR_PRIVATE))
        rc = dlrt_fail(cx, DLRT_E_ARG, "\"%s\" belongs to the context that this view looks at",
                       name);
    return rc;
}

/* Converted in pieces of so many elements, on the stack. */
enum { PIECE = 256 };

int dlrt_read(const DlrtContext *cx, const char *name, float *out, size_t count)
{
    Found f;
    int rc = find(cx, name, count, false, out, &f);
    if (rc)
        return rc;
    uint64_t piece[PIECE];
    for (int64_t i = 0; i < f.n; i += PIECE) {
        int64_t n = f.n - i < PIECE ? f.n - i : PIECE;
        dlrt_tensor_gather(cx, f.t, i, n, piece);
        dlrt_convert(out + i, DLRT_F32, piece, f.t->dtype, (size_t)n);
    }
    return DLRT_OK;
}

int dlrt_write(DlrtContext *cx, const char *name, const float *in, size_t count)
{
    Found f;
    int rc = find_writable(cx, name, count, false, in, &f);
    if (rc)
        return rc;
    uint64_t piece[PIECE];
    for (int64_t i = 0; i < f.n; i += PIECE) {
        int64_t n = f.n - i < PIECE ? f.n - i : PIECE;
        dlrt_convert(piece, f.t->dtype, in + i, DLRT_F32, (size_t)n);
        dlrt_tensor_scatter(cx, f.t, i, n, piece);
    }
    return DLRT_OK;
}

int dlrt_read_raw(const DlrtContext *cx, const char *name, void *out, size_t bytes)
{
    Found f;
    int rc = find(cx, name, bytes, true, out, &f);
    if (!rc)
        dlrt_tensor_gather(cx, f.t, 0, f.n, out);
    return rc;
}

int dlrt_write_raw(DlrtContext *cx, const char *name, const void *in, size_t bytes)
{
    Found f;
    int rc = find_writable(cx, name, bytes, true, in, &f);
    if (!rc)
        dlrt_tensor_scatter(cx, f.t, 0, f.n, in);
    return rc;
}
