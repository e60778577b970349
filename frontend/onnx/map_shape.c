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

/* Shape, from 15 with start and end. */
bool map_shape(OnnxNode *q)
{
    const Shape *s = node_shape(q, 0);
    int64_t rank = s->rank, start = attribute_int(q, "start", 0),
            end = attribute_int(q, "end", rank);
    Shape dims = { 0 };
    if (q->failed)
        return false;
    start = start < 0 ? start + rank : start;
    end = end < 0 ? end + rank : end;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end > rank ? rank : end < start ? start : end;
    for (int64_t i = start; i < end; i++)
        dims.dim[dims.rank++] = s->dim[i];
    return node_let(q, 0, dims.rank ? "i64(%s)" : "zeros(0, dtype=i64)", text_dims(q, &dims));
}

bool onnx_reshape_to(OnnxNode *q, uint32_t output, const char *x, const Shape *to)
{
    return x && node_let(q, output, "reshape(%s, %s)", x, text_dims(q, to));
}

/* The dim that a reshape leaves open: all elements by those of the other dims. */
static bool fill_hole(OnnxNode *q, const Shape *x, Shape *to, uint32_t hole)
{
    Dim all, rest;
    if (!shape_product(x, 0, x->rank, &all) || !shape_product(to, 0, to->rank, &rest))
        return q->im->batch && !q->im->static_batch ? node_pins_batch(q)
                                                    : node_wrong(q, "too many elements");
    bool whole = rest.n && all.n % rest.n == 0;
    if (whole && rest.k ? all.k % rest.k : whole && all.k % rest.n) /* for some batches only */
        return node_pins_batch(q);
    if (!whole || (rest.k && !all.k)) {
        to->dim[hole] = dim_of(-1);
        return node_wrong(q, "%s cannot become %s", shape_text(q->im->a, x), text_dims(q, to));
    }
    to->dim[hole] = rest.k ? dim_of(all.k / rest.k) : (Dim){ all.n / rest.n, all.k / rest.n };
    return true;
}

/* Reshape: 0 copies a dim (but for allowzero), one -1 takes what is left. */
bool map_reshape(OnnxNode *q)
{
    Ints attribute;
    const Shape *x = node_shape(q, 0);
    Shape to = { 0 };
    bool allow_zero = attribute_int(q, "allowzero", 0), by_attribute;
    int32_t hole = -1;
    if ((by_attribute = attribute_ints(q, "shape", &attribute)))
        for (; to.rank < attribute.n && to.rank < MAX_RANK; to.rank++)
            to.dim[to.rank] = dim_of(attribute.at[to.rank]);
    if (attribute.n > MAX_RANK)
        return node_unsupported(q, "more than %d dims", MAX_RANK);
    if (!by_attribute && !node_dims(q, 1, &to))
        return false;
    for (uint32_t i = 0; i < to.rank; i++) {
        Dim *d = &to.dim[i];
        if (d->n == 0 && !allow_zero) {
            if (i >= x->rank)
                return node_wrong(q, "a dim of 0 beyond the rank of the input");
            *d = x->dim[i];
        } else if (d->n == -1 && hole < 0) {
            hole = (int32_t)i;
            *d = dim_of(1);
        } else if (d->n < 0) {
            return node_wrong(q, "a dim of %lld", (long long)d->n);
        }
    }
    if (hole >= 0 && !fill_hole(q, x, &to, (uint32_t)hole))
        return false;
    return onnx_reshape_rows(q, &to);
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

/* Squeeze: without axes all of extent 1. */
bool map_squeeze(OnnxNode *q)
{
    Ints axes;
    const Shape *x = node_shape(q, 0);
    Shape to = { 0 };
    bool drop[MAX_RANK] = { 0 };
    if (q->failed || !node_axes(q, "axes", 1, x->rank, &axes))
        return false;
    bool all = !axes.n && !attribute_has(q, "axes") && !node_has(q, 1);
    for (uint32_t i = 0; i < axes.n; i++)
        drop[axes.at[i]] = true;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool one = x->dim[i].n == 1 && !x->dim[i].k;
        if (drop[i] && x->dim[i].k)
            return node_pins_batch(q); /* it may be 1 */
        if (drop[i] && !one)
            return node_wrong(q, "axis %u has the extent %lld and not 1", i,
                              (long long)x->dim[i].n);
        if (!(drop[i] || (all && one)))
            to.dim[to.rank++] = x->dim[i];
    }
    return onnx_reshape_to(q, 0, node_arg(q, 0), &to);
}

bool map_unsqueeze(OnnxNode *q)
{
    Ints given, axes;
    const Shape *x = node_shape(q, 0);
    if (!attribute_ints(q, "axes", &given) && !node_ints(q, 1, &given))
        return false;
    if (x->rank + given.n > MAX_RANK)
        return node_unsupported(q, "more than %d dims", MAX_RANK);
    if (!node_axes(q, "axes", 1, x->rank + given.n, &axes))
        return false;
    Shape to = { .rank = x->rank + given.n };
    bool one[MAX_RANK] = { 0 };
    for (uint32_t i = 0; i < axes.n; i++)
        one[axes.at[i]] = true;
    for (uint32_t i = 0, k = 0; i < to.rank; i++)
        to.dim[i] = one[i] ? dim_of(1) : x->dim[k++];
    return onnx_reshape_to(q, 0, node_arg(q, 0), &to);
}

bool map_transpose(OnnxNode *q)
{
    Ints perm;
    const char *x = node_arg(q, 0);
    uint32_t rank = node_shape(q, 0)->rank;
    int64_t back[MAX_RANK];
    if (!x)
        return false;
    if (!attribute_ints(q, "perm", &perm)) {
        for (uint32_t i = 0; i < rank; i++)
            back[i] = rank - 1 - i;
        perm = (Ints){ rank, back };
    }
    bool seen[MAX_RANK] = { 0 };
    for (uint32_t i = 0; i < perm.n; i++) {
        if (perm.n != rank || perm.at[i] < 0 || perm.at[i] >= rank || seen[perm.at[i]])
            return node_wrong(q, "perm is no permutation of %u axes", rank);
        seen[perm.at[i]] = true;
    }
    return rank < 2 ? node_let(q, 0, "%s", x)
                    : node_let(q, 0, "transpose(%s, %s)", x, text_ints(q, perm.at, perm.n));
}

/* Expand: both shapes are joined, as operands of arithmetic are. */
bool map_expand(OnnxNode *q)
{
    Shape to, all;
    const char *x = node_arg(q, 0);
    if (!x || !node_dims(q, 1, &to))
        return false;
    for (uint32_t i = 0; i < to.rank; i++)
        if (to.dim[i].n < 0)
            return node_wrong(q, "a dim of %lld", (long long)to.dim[i].n);
    if (!shape_join(node_shape(q, 0), &to, &all))
        return node_wrong(q, "%s does not broadcast to %s", shape_text(q->im->a, node_shape(q, 0)),
                          shape_text(q->im->a, &to));
    return node_let(q, 0, "broadcast(%s, %s)", x, text_dims(q, &all));
}

/* Tile: where there is one element, repeating it is a broadcast, also as often as the batch is. */
/* A run-time number of copies stands on an axis of its own, which is then merged. */
bool map_tile(OnnxNode *q)
{
    Shape repeats, x = *node_shape(q, 0), apart = { 0 }, copied = { 0 }, merged = x;
    const char *text = node_arg(q, 0);
    if (!text || !node_dims(q, 1, &repeats))
        return false;
    for (uint32_t i = 0; i < x.rank; i++) {
        Dim n = i < repeats.rank ? repeats.dim[i] : dim_of(1);
        if (n.k) {
            if (x.dim[i].k || apart.rank + 2 > MAX_RANK ||
                __builtin_mul_overflow(x.dim[i].n, n.n, &merged.dim[i].n))
                return node_pins_batch(q);
            merged.dim[i].k = x.dim[i].n * n.k; /* less than the product above */
            apart.dim[apart.rank++] = dim_of(1);
            copied.dim[copied.rank++] = n;
            repeats.dim[i] = dim_of(1);
        }
        if (apart.rank == MAX_RANK)
            return node_pins_batch(q);
        apart.dim[apart.rank++] = copied.dim[copied.rank++] = x.dim[i];
    }
    if (apart.rank > x.rank)
        text = text_printf(q, "reshape(broadcast(reshape(%s, %s), %s), %s)", text,
                           text_dims(q, &apart), text_dims(q, &copied), text_dims(q, &merged));
    return node_let(q, 0, "tile(%s, %s)", text, text_dims(q, &repeats));
}

bool map_concat(OnnxNode *q)
{
    uint32_t n = node_inputs(q);
    int64_t axis;
    const char *list = node_arg(q, 0);
    if (!list || !node_axis(q, attribute_int(q, "axis", 1), node_shape(q, 0)->rank, &axis))
        return false;
    for (uint32_t i = 1; i < n; i++) {
        const char *x = node_arg(q, i);
        if (!x)
            return false;
        list = text_printf(q, "%s, %s", list, x);
    }
    return n == 1 ? node_let(q, 0, "%s", list)
                  : node_let(q, 0, "concat(%s, axis=%lld)", list, (long long)axis);
}

/* Split: given sizes, or as many equal parts as there are outputs, the last one smaller. */
bool map_split(OnnxNode *q)
{
    Ints sizes;
    const char *x = node_arg(q, 0);
    const Shape *s = node_shape(q, 0);
    int64_t axis, equal[256];
    uint32_t n = node_outputs(q);
    if (!x || !node_axis(q, attribute_int(q, "axis", 0), s->rank, &axis))
        return false;
    if (!attribute_ints(q, "split", &sizes)) {
        if (node_has(q, 1)) {
            if (!node_ints(q, 1, &sizes))
                return false;
        } else {
            int64_t parts = attribute_int(q, "num_outputs", n), left = s->dim[axis].n;
            if (parts < 1 || parts > 256)
                return node_unsupported(q, "%lld parts", (long long)parts);
            int64_t each = (left + parts - 1) / parts;
            for (int64_t i = 0; i < parts; i++, left -= equal[i - 1])
                equal[i] = left < each ? left : each;
            sizes = (Ints){ (uint32_t)parts, equal };
        }
    }
    if (sizes.n < n)
        return node_wrong(q, "%u outputs of %u parts", n, sizes.n);
    int64_t at = 0;
    for (uint32_t i = 0; i < sizes.n; at += sizes.at[i++])
        if (sizes.at[i] < 0 || at > s->dim[axis].n - sizes.at[i])
            return node_wrong(q, "parts do not add up to %lld", (long long)s->dim[axis].n);
    at = 0;
    for (uint32_t i = 0; i < n; at += sizes.at[i++])
        if (node_wants(q, i) &&
            !node_let(q, i, "%s", onnx_slice(q, x, s, (uint32_t)axis, at, at + sizes.at[i])))
            return false;
    return true;
}

/* x[:, a..b]: one axis cut. */
const char *onnx_slice(OnnxNode *q, const char *x, const Shape *s, uint32_t axis, int64_t begin,
                       int64_t end)
{
    if (begin == 0 && end == s->dim[axis].n)
        return x;
    char *items = (char *)text_printf(q, "%s", "");
    for (uint32_t i = 0; i < axis; i++)
        items = (char *)text_printf(q, "%s:, ", items);
    items = (char *)text_printf(q, "%s%lld..%lld", items, (long long)begin, (long long)end);
    return text_printf(q, "%s[%s]", x, items);
}
