/* check.c: the arguments of a run, checked before anything is touched: null, misaligned,
 * overlapping, B out of range, labels out of range. */
#include "runtime/core.h"

static const char *value_name(const DlrtValue *v)
{
    return v->name && *v->name ? v->name : "argument";
}

/* A pointer to no bytes may be anything. */
static int check_pointer(const DlrtContext *cx, const DlrtValue *v, int64_t B, const void *p)
{
    if (!p && dlrt_value_bytes(v, B) > 0)
        return dlrt_fail(cx, DLRT_E_ARG, "%s is NULL", value_name(v));
    if ((uintptr_t)p & (uintptr_t)(dlrt_value_size(v) - 1))
        return dlrt_fail(cx, DLRT_E_ARG, "%s is not aligned to its elements (%s)", value_name(v),
                         dlrt_dtype_name(v->dtype));
    return DLRT_OK;
}

static bool overlap(const void *a, int64_t a_bytes, const void *b, int64_t b_bytes)
{
    uintptr_t p = (uintptr_t)a, q = (uintptr_t)b;
    return a_bytes > 0 && b_bytes > 0 && p < q + (uint64_t)b_bytes && q < p + (uint64_t)a_bytes;
}

static int check_overlap(const DlrtContext *cx, const DlrtEntry *e, int64_t B,
                         const void *const *inputs, void *const *outputs, uint32_t o)
{
    const DlrtValue *out = &e->outputs[o];
    int64_t bytes = dlrt_value_bytes(out, B);
    for (uint32_t i = 0; i < e->input_count; i++)
        if (overlap(outputs[o], bytes, inputs[i], dlrt_value_bytes(&e->inputs[i], B)))
            return dlrt_fail(cx, DLRT_E_ARG, "output %s overlaps input %s", value_name(out),
                             value_name(&e->inputs[i]));
    for (uint32_t i = 0; i < o; i++)
        if (overlap(outputs[o], bytes, outputs[i], dlrt_value_bytes(&e->outputs[i], B)))
            return dlrt_fail(cx, DLRT_E_ARG, "outputs %s and %s overlap",
                             value_name(&e->outputs[i]), value_name(out));
    if (overlap(outputs[o], bytes, cx->shared, cx->model->context_bytes) ||
        overlap(outputs[o], bytes, cx, cx->model->view_bytes))
        return dlrt_fail(cx, DLRT_E_ARG, "output %s overlaps the context", value_name(out));
    return DLRT_OK;
}

/* Whether all satisfy 0 <= v < bound. A negative number is a large unsigned one. */
#define ALL_BELOW(T, U)                                                                          \
    do {                                                                                         \
        const T *x = p;                                                                          \
        uint64_t most = 0;                                                                       \
        for (int64_t i = 0; i < n; i++)                                                          \
            most = (U)x[i] > most ? (U)x[i] : most;                                              \
        return most < (uint64_t)bound;                                                           \
    } while (0)

static bool all_below(const void *p, DlrtDtype dtype, int64_t n, int64_t bound)
{
    if (n == 0)
        return true;
    switch (dtype) {
    case DLRT_I64: ALL_BELOW(int64_t, uint64_t);
    case DLRT_I32: ALL_BELOW(int32_t, uint64_t);
    case DLRT_I16: ALL_BELOW(int16_t, uint64_t);
    case DLRT_I8: ALL_BELOW(int8_t, uint64_t);
    case DLRT_U64: ALL_BELOW(uint64_t, uint64_t);
    case DLRT_U32: ALL_BELOW(uint32_t, uint64_t);
    case DLRT_U16: ALL_BELOW(uint16_t, uint64_t);
    case DLRT_U8: case DLRT_BOOL: ALL_BELOW(uint8_t, uint64_t);
    case DLRT_F64: case DLRT_F32: case DLRT_F16: case DLRT_BF16: case DLRT_DTYPE_COUNT: break;
    }
    return true;
}

/* The slow way, to say which. */
static int label_error(const DlrtContext *cx, const DlrtValue *v, int64_t n, const void *p)
{
    int64_t size = (int64_t)dlrt_dtype_size(v->dtype);
    for (int64_t i = 0; i < n; i++) {
        const void *at = (const char *)p + i * size;
        int64_t value;
        if (all_below(at, (DlrtDtype)v->dtype, 1, v->bound))
            continue;
        dlrt_convert(&value, DLRT_I64, at, v->dtype, 1);
        return dlrt_fail(cx, DLRT_E_LABEL, "%s[%lld] is %lld: must be at least 0 and below %lld",
                         value_name(v), (long long)i, (long long)value, (long long)v->bound);
    }
    return DLRT_OK;
}

int dlrt_check_arguments(const DlrtContext *cx, const DlrtEntry *e, int64_t B,
                         const void *const *inputs, void *const *outputs)
{
    int rc;
    if (B < 1 || B > e->max_batch)
        return dlrt_fail(cx, DLRT_E_SIZE, "%s: a batch of %lld is not in 1..%lld", e->name,
                         (long long)B, (long long)e->max_batch);
    if (e->flags & DLRT_ENTRY_PINNED && B != e->max_batch)
        return dlrt_fail(cx, DLRT_E_SIZE, "%s was compiled for a batch of exactly %lld", e->name,
                         (long long)e->max_batch);
    if (e->flags & DLRT_ENTRY_WRITES && cx->shared != cx)
        return dlrt_fail(cx, DLRT_E_ARG, "%s changes the weights, which a view may not", e->name);
    if ((e->input_count && !inputs) || (e->output_count && !outputs))
        return dlrt_fail(cx, DLRT_E_ARG, "%s: no arguments", e->name);
    for (uint32_t i = 0; i < e->input_count; i++)
        if ((rc = check_pointer(cx, &e->inputs[i], B, inputs[i])))
            return rc;
    for (uint32_t i = 0; i < e->output_count; i++)
        if ((rc = check_pointer(cx, &e->outputs[i], B, outputs[i])) ||
            (rc = check_overlap(cx, e, B, inputs, outputs, i)))
            return rc;
    for (uint32_t i = 0; i < e->input_count; i++) {
        const DlrtValue *v = &e->inputs[i];
        if (v->bound < 0)
            continue;
        int64_t n = dlrt_value_count(v, B);
        if (!all_below(inputs[i], (DlrtDtype)v->dtype, n, v->bound))
            return label_error(cx, v, n, inputs[i]);
    }
    return DLRT_OK;
}
