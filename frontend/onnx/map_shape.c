/* map_shape.c: constants, shapes, and what gives the same elements another shape. */
#include "frontend/onnx/map.h"

#include <string.h>

/* Constant: one of several attributes holds the value. */
bool map_constant(OnnxNode *q)
{
    const Onnx__TensorProto *t = attribute_tensor(q, "value");
    const double *floats;
    Ints ints;
    uint32_t n;
    if (t) {
        OnnxTensor own;
        Shape s = { 0 };
        if (!onnx_tensor(q->im->file, t, node_title(q), &own))
            return false;
        for (; s.rank < own.rank; s.rank++)
            s.dim[s.rank] = dim_of(own.dim[s.rank]);
        return node_known(q, 0, own.dtype, &s, own.data);
    }
    if (attribute_ints(q, "value_ints", &ints))
        return node_known_ints(q, 0, ints.at, ints.n);
    const Shape scalar = { 0 };
    if (attribute_has(q, "value_int")) {
        int64_t i = attribute_int(q, "value_int", 0);
        return node_known(q, 0, DT_I64, &scalar, &i);
    }
    bool one = attribute_has(q, "value_float");
    if (one || attribute_floats(q, "value_floats", &n, &floats)) {
        double f = attribute_float(q, "value_float", 0);
        n = one ? 1 : n;
        Shape s = { .rank = !one, .dim = { dim_of(n) } };
        float *at = arena_new_array(q->im->a, float, n + 1);
        for (uint32_t i = 0; i < n; i++)
            at[i] = (float)(one ? f : floats[i]);
        return node_known(q, 0, DT_F32, &s, at);
    }
    return node_unsupported(q, "a constant of strings or of sparse elements");
}

/* Shape, from 15 with start and end. Dims that follow from the batch need it to be a number. */
bool map_shape(OnnxNode *q)
{
    const Shape *s = node_shape(q, 0);
    int64_t rank = s->rank, start = attribute_int(q, "start", 0), end = attribute_int(q, "end", rank);
    int64_t dims[MAX_RANK];
    if (q->failed)
        return false;
    start = start < 0 ? start + rank : start;
    end = end < 0 ? end + rank : end;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end > rank ? rank : end < start ? start : end;
    for (int64_t i = start; i < end; i++) {
        if (s->dim[i].k) {
            q->im->again = q->im->static_batch = true;
            return false;
        }
        dims[i - start] = s->dim[i].n;
    }
    return node_known_ints(q, 0, dims, (uint32_t)(end - start));
}

bool onnx_reshape_to(OnnxNode *q, uint32_t output, const char *x, const Shape *to)
{
    return x && node_let(q, output, "reshape(%s, %s)", x, text_dims(q, to));
}

/* Reshape: 0 copies a dim (but for allowzero), one -1 takes what is left. */
bool map_reshape(OnnxNode *q)
{
    Ints want;
    const Shape *x = node_shape(q, 0);
    Shape to = { 0 };
    bool allow_zero = attribute_int(q, "allowzero", 0);
    int32_t hole = -1;
    if (!attribute_ints(q, "shape", &want) && !node_ints(q, 1, &want))
        return false;
    if (want.n > MAX_RANK)
        return node_unsupported(q, "more than %d dims", MAX_RANK);
    for (; to.rank < want.n; to.rank++) {
        int64_t d = want.at[to.rank];
        if (d == 0 && !allow_zero) {
            if (to.rank >= x->rank)
                return node_wrong(q, "a dim of 0 beyond the rank of the input");
            to.dim[to.rank] = x->dim[to.rank];
        } else if (d == -1 && hole < 0) {
            hole = (int32_t)to.rank;
            to.dim[to.rank] = dim_of(1);
        } else if (d < 0) {
            return node_wrong(q, "a dim of %lld", (long long)d);
        } else {
            to.dim[to.rank] = dim_of(d);
        }
    }
    if (hole >= 0) {
        Dim all, rest;
        if (!shape_product(x, 0, x->rank, &all) || !shape_product(&to, 0, to.rank, &rest))
            return node_wrong(q, "too many elements");
        if (!rest.n || all.n % rest.n || (rest.k && all.k != rest.k * (all.n / rest.n)) )
            return node_wrong(q, "%s cannot become %s", shape_text(q->im->a, x),
                              text_ints(q, want.at, want.n));
        to.dim[hole] = rest.k ? dim_of(all.n / rest.n)
                              : (Dim){ all.n / rest.n, all.k / rest.n };
        if (all.k && !rest.k && all.k % rest.n) {
            q->im->again = q->im->static_batch = true;
            return false;
        }
    }
    return onnx_reshape_to(q, 0, node_arg(q, 0), &to);
}

bool map_flatten(OnnxNode *q)
{
    const Shape *x = node_shape(q, 0);
    int64_t axis = attribute_int(q, "axis", 1);
    axis = axis < 0 ? axis + x->rank : axis;
    if (axis < 0 || axis > x->rank)
        return node_wrong(q, "axis %lld of a tensor of rank %u", (long long)axis, x->rank);
    Shape to = { .rank = 2 };
    if (!shape_product(x, 0, (uint32_t)axis, &to.dim[0]) ||
        !shape_product(x, (uint32_t)axis, x->rank, &to.dim[1]))
        return node_wrong(q, "too many elements");
    return onnx_reshape_to(q, 0, node_arg(q, 0), &to);
}
