/* builder.c: see builder.h. Nothing here knows a type rule: graph_emit checks, folds and
 * interns. */
#include "ir/builder.h"

#include "ir/value.h"

#include <string.h>

NodeId b_data(Graph *g, Dtype dtype, const Shape *shape, const void *bytes)
{
    int64_t n;
    if (!shape_elements(shape, &n))
        return NODE_NONE;
    AttrValue attrs[] = { attr_data(bytes, (uint32_t)((size_t)n * dtype_size(dtype))),
                          attr_dtype(dtype), attr_shape(shape) };
    return graph_emit(g, OP_constant, NULL, 0, attrs, 3);
}

NodeId b_const(Graph *g, Dtype dtype, double v)
{
    double f = 0;
    int64_t i = 0;
    char bytes[8];
    Value given = { .dtype = DT_F64, .count = 1, .f = &v }, scalar = { .dtype = dtype, .count = 1 };
    if (dtype_is_float(dtype))
        scalar.f = &f;
    else
        scalar.i = &i;
    value_cast(&given, 0, &scalar);
    value_to_bytes(&scalar, bytes);
    return b_data(g, dtype, &(Shape){ 0 }, bytes);
}

NodeId b_const_i64(Graph *g, int64_t v)
{
    return b_data(g, DT_I64, &(Shape){ 0 }, &v);
}

NodeId b_spread_scalar(Graph *g, NodeId x, const Shape *shape)
{
    Shape ones = { .rank = shape->rank }, result = *shape;
    for (uint32_t i = 0; i < ones.rank; i++)
        ones.dim[i] = dim_of(1);
    return b_broadcast(g, b_reshape(g, x, &ones), &result);
}

NodeId b_splat(Graph *g, Dtype dtype, const Shape *shape, double v)
{
    return b_spread_scalar(g, b_const(g, dtype, v), shape);
}

NodeId b_like(Graph *g, NodeId x, double v)
{
    return x == NODE_NONE ? NODE_NONE : b_splat(g, graph_dtype(g, x), graph_shape(g, x), v);
}

bool b_is_splat(const Graph *g, NodeId x, double *out_v)
{
    while (graph_node(g, x)->op == OP_broadcast || graph_node(g, x)->op == OP_reshape)
        x = graph_operand(g, x, 0);
    if (graph_node(g, x)->op != OP_constant)
        return false;
    const AttrValue *data = graph_attr(g, x, "data");
    Dtype dtype = graph_dtype(g, x);
    size_t size = dtype_size(dtype);
    if (data->count < size)
        return false;
    for (size_t i = size; i < data->count; i++)
        if (((const char *)data->data)[i] != ((const char *)data->data)[i - size])
            return false;
    return value_number(dtype, data->data, out_v);
}

NodeId b_unary(Graph *g, Op op, NodeId x)
{
    return graph_emit(g, op, &x, 1, NULL, 0);
}

NodeId b_binary(Graph *g, Op op, NodeId a, NodeId b)
{
    return graph_emit(g, op, (NodeId[]){ a, b }, 2, NULL, 0);
}

NodeId b_add(Graph *g, NodeId a, NodeId b)
{
    return b_binary(g, OP_add, a, b);
}

NodeId b_sub(Graph *g, NodeId a, NodeId b)
{
    return b_binary(g, OP_sub, a, b);
}

NodeId b_mul(Graph *g, NodeId a, NodeId b)
{
    return b_binary(g, OP_mul, a, b);
}

NodeId b_div(Graph *g, NodeId a, NodeId b)
{
    return b_binary(g, OP_div, a, b);
}

NodeId b_neg(Graph *g, NodeId a)
{
    return b_unary(g, OP_neg, a);
}

NodeId b_scale(Graph *g, NodeId a, double v)
{
    return b_mul(g, a, b_like(g, a, v));
}

NodeId b_select(Graph *g, NodeId cond, NodeId a, NodeId b)
{
    return graph_emit(g, OP_select, (NodeId[]){ cond, a, b }, 3, NULL, 0);
}

NodeId b_cast(Graph *g, NodeId x, Dtype dtype)
{
    AttrValue attr = attr_dtype(dtype);
    return graph_emit(g, OP_cast, &x, 1, &attr, 1);
}

NodeId b_reshape(Graph *g, NodeId x, const Shape *shape)
{
    AttrValue attr = attr_shape(shape);
    return graph_emit(g, OP_reshape, &x, 1, &attr, 1);
}

NodeId b_transpose(Graph *g, NodeId x, const int64_t *perm)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    AttrValue attr = attr_ints(perm, graph_shape(g, x)->rank);
    return graph_emit(g, OP_transpose, &x, 1, &attr, 1);
}

NodeId b_broadcast(Graph *g, NodeId x, const Shape *shape)
{
    AttrValue attr = attr_shape(shape);
    return graph_emit(g, OP_broadcast, &x, 1, &attr, 1);
}

NodeId b_unsqueeze(Graph *g, NodeId x, uint32_t axis)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    Shape s = *graph_shape(g, x);
    if (s.rank == MAX_RANK) /* the reshape's own type rule cannot say it */
        return diag_report(g->unit->cx, DIAG_E0308, g->loc, "more than %d axes", MAX_RANK),
               g->failed = true, NODE_NONE;
    for (uint32_t i = s.rank++; i > axis; i--)
        s.dim[i] = s.dim[i - 1];
    s.dim[axis] = dim_of(1);
    return b_reshape(g, x, &s);
}

NodeId b_squeeze(Graph *g, NodeId x, uint32_t axis)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    Shape s = *graph_shape(g, x);
    s.rank--;
    for (uint32_t i = axis; i < s.rank; i++)
        s.dim[i] = s.dim[i + 1];
    return b_reshape(g, x, &s);
}

NodeId b_slice(Graph *g, NodeId x, const int64_t *begin, const int64_t *end, const int64_t *step)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    uint32_t n = graph_shape(g, x)->rank;
    AttrValue attrs[] = { attr_ints(begin, n), attr_ints(end, n), attr_ints(step, n) };
    return graph_emit(g, OP_slice, &x, 1, attrs, 3);
}

NodeId b_slice_axis(Graph *g, NodeId x, uint32_t axis, int64_t begin, int64_t end)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    int64_t from[MAX_RANK] = { 0 }, to[MAX_RANK], step[MAX_RANK];
    const Shape *s = graph_shape(g, x);
    for (uint32_t i = 0; i < s->rank; i++) {
        to[i] = s->dim[i].n;
        step[i] = 1;
    }
    from[axis] = begin;
    to[axis] = end;
    return b_slice(g, x, from, to, step);
}

NodeId b_pad(Graph *g, NodeId x, const int64_t *low, const int64_t *high, const int64_t *interior,
             double value)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    uint32_t n = graph_shape(g, x)->rank;
    AttrValue attrs[] = { attr_ints(low, n), attr_ints(high, n), attr_ints(interior, n),
                          attr_f(value) };
    return graph_emit(g, OP_pad, &x, 1, attrs, 4);
}

NodeId b_concat(Graph *g, const NodeId *x, uint32_t n, uint32_t axis)
{
    AttrValue attr = attr_i(axis);
    return graph_emit(g, OP_concat, x, n, &attr, 1);
}

NodeId b_flip(Graph *g, NodeId x, const int64_t *axes, uint32_t n)
{
    AttrValue attr = attr_ints(axes, n);
    return graph_emit(g, OP_flip, &x, 1, &attr, 1);
}

NodeId b_iota(Graph *g, const Shape *shape, uint32_t axis, Dtype dtype)
{
    AttrValue attrs[] = { attr_shape(shape), attr_i(axis), attr_dtype(dtype) };
    return graph_emit(g, OP_iota, NULL, 0, attrs, 3);
}

NodeId b_reduce(Graph *g, Op op, NodeId x, const int64_t *axes, uint32_t n, bool keep)
{
    AttrValue attrs[] = { attr_ints(axes, n), attr_i(keep) };
    return graph_emit(g, op, &x, 1, attrs, 2);
}

NodeId b_sum_all(Graph *g, NodeId x)
{
    static const int64_t axes[MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    uint32_t rank = x == NODE_NONE ? 0 : graph_shape(g, x)->rank;
    return rank ? b_reduce(g, OP_reduce_sum, x, axes, rank, false) : x;
}

NodeId b_sum_axis(Graph *g, NodeId x, uint32_t axis)
{
    return b_reduce(g, OP_reduce_sum, x, &(int64_t){ axis }, 1, true);
}

NodeId b_extent(Graph *g, NodeId x, const int64_t *axes, uint32_t n, Dtype dtype)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    const Shape *s = graph_shape(g, x);
    NodeId product = NODE_NONE;
    int64_t known = 1;
    for (uint32_t i = 0; i < n; i++) {
        Dim d = s->dim[axes[i]];
        if (!d.k) {
            known *= d.n; /* a factor of the elements of x, which were counted */
            continue;
        }
        AttrValue attrs[] = { attr_i(d.k), attr_dtype(dtype) };
        NodeId extent = graph_emit(g, OP_batch, NULL, 0, attrs, 2);
        product = product == NODE_NONE ? extent : b_mul(g, product, extent);
    }
    NodeId constant = b_const(g, dtype, (double)known);
    return product == NODE_NONE ? constant : known == 1 ? product : b_mul(g, product, constant);
}

NodeId b_dot(Graph *g, NodeId a, NodeId b, const char *spec)
{
    AttrValue attr = attr_s(spec);
    return graph_emit(g, OP_dot, (NodeId[]){ a, b }, 2, &attr, 1);
}
