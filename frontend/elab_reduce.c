/* elab_reduce.c: functions along axes: reductions, positions of extremes, sorting, gathers along an
 * axis. */
#include "frontend/elab.h"

static Val reduce(BuiltinCall *q, Op op, NodeId x)
{
    int64_t axes[MAX_RANK];
    uint32_t n;
    bool keep;
    if (x == NODE_NONE || !arg_axes(q, 1, graph_shape(q->e->g, x)->rank, axes, &n) ||
        !arg_bool(q, 2, false, &keep))
        return val_error();
    if (!n)
        return val_node(x);
    Val v = val_node(b_reduce(q->e->g, op, x, axes, n, keep));
    v.untyped = q->at[0].val.kind == VAL_TENSOR && q->at[0].val.untyped;
    return v;
}

/* Sums of bools and small integers are i32. */
static NodeId summable(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    Dtype t = x == NODE_NONE ? DT_F32 : graph_dtype(q->e->g, x);
    return !dtype_is_float(t) && dtype_size(t) < 4 ? b_cast(q->e->g, x, DT_I32) : x;
}

static Val call_sum(BuiltinCall *q)
{
    return reduce(q, OP_reduce_sum, summable(q));
}

static Val call_prod(BuiltinCall *q)
{
    return reduce(q, OP_reduce_prod, summable(q));
}

static Val call_max(BuiltinCall *q)
{
    return reduce(q, OP_reduce_max, arg_tensor(q, 0));
}

static Val call_min(BuiltinCall *q)
{
    return reduce(q, OP_reduce_min, arg_tensor(q, 0));
}

static Val any_all(BuiltinCall *q, Op op)
{
    NodeId x = arg_tensor(q, 0);
    if (x != NODE_NONE && graph_dtype(q->e->g, x) != DT_BOOL) {
        report_kind(q->e, q->at[0].loc, "a bool tensor", val_node(x));
        return val_error();
    }
    return reduce(q, op, x);
}

static Val call_any(BuiltinCall *q)
{
    return any_all(q, OP_reduce_max);
}

static Val call_all(BuiltinCall *q)
{
    return any_all(q, OP_reduce_min);
}

/* The divisor is the run-time extent where an axis is the batch. */
static Val call_mean(BuiltinCall *q)
{
    Elab *e = q->e;
    NodeId x = arg_tensor(q, 0);
    int64_t axes[MAX_RANK];
    uint32_t n;
    if (x == NODE_NONE)
        return val_error();
    if (!dtype_is_float(graph_dtype(e->g, x)))
        x = b_cast(e->g, x, e->options->f64 ? DT_F64 : DT_F32);
    if (x == NODE_NONE || !arg_axes(q, 1, graph_shape(e->g, x)->rank, axes, &n))
        return val_error();
    Val sum = reduce(q, OP_reduce_sum, x);
    if (sum.kind == VAL_ERROR || !n)
        return sum;
    NodeId count = b_extent(e->g, x, axes, n, graph_dtype(e->g, x));
    if (count == NODE_NONE)
        return val_error();
    Val by = val_node(count);
    by.untyped = false;
    Val v = tensor_elementwise(e, OP_div, (Val[]){ val_node(sum.node), by }, 2, q->loc);
    v.untyped = sum.untyped;
    return v;
}

/* The last of several equal ones is the first from the end. */
static Val arg_reduce(BuiltinCall *q, Op op)
{
    Graph *g = q->e->g;
    NodeId x = arg_tensor(q, 0);
    int64_t axis;
    bool keep, last;
    if (x == NODE_NONE || !arg_axis(q, 1, graph_shape(g, x)->rank, -1, &axis) ||
        !arg_bool(q, 2, false, &keep) || !arg_bool(q, 3, false, &last))
        return val_error();
    AttrValue attrs[] = { attr_i(axis), attr_i(keep) };
    if (!last)
        return val_node(graph_emit(g, op, &x, 1, attrs, 2));
    NodeId end = b_extent(g, x, &axis, 1, DT_I32);
    NodeId y = graph_emit(g, op, (NodeId[]){ b_flip(g, x, &axis, 1) }, 1, attrs, 2);
    if (y == NODE_NONE || end == NODE_NONE)
        return val_error();
    Shape s = *graph_shape(g, y);
    end = b_spread_scalar(g, b_sub(g, end, b_const(g, DT_I32, 1)), &s);
    return val_node(b_sub(g, end, y));
}

static Val call_argmax(BuiltinCall *q)
{
    return arg_reduce(q, OP_argmax);
}

static Val call_argmin(BuiltinCall *q)
{
    return arg_reduce(q, OP_argmin);
}

/* An index of one axis less than x takes one element along the axis: labels. */
static NodeId take_along(BuiltinCall *q, NodeId x, NodeId index, uint32_t axis)
{
    Graph *g = q->e->g;
    AttrValue at = attr_i(axis);
    bool drop = x != NODE_NONE && index != NODE_NONE &&
                graph_shape(g, index)->rank + 1 == graph_shape(g, x)->rank;
    if (drop)
        index = b_unsqueeze(g, index, axis);
    NodeId y = graph_emit(g, OP_take_along, (NodeId[]){ x, index }, 2, &at, 1);
    return drop ? b_squeeze(g, y, axis) : y;
}

static Val call_take_along(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0), index = val_to_tensor(q->e, q->at[1].val, DT_I32, q->at[1].loc);
    int64_t axis;
    if (x == NODE_NONE || index == NODE_NONE ||
        !arg_axis(q, 2, graph_shape(q->e->g, x)->rank, -1, &axis))
        return val_error();
    set_loc(q->e, q->loc);
    return val_node(take_along(q, x, index, (uint32_t)axis));
}

static Val call_gather(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0), index = val_to_tensor(q->e, q->at[1].val, DT_I32, q->at[1].loc);
    int64_t axis;
    if (x == NODE_NONE || index == NODE_NONE ||
        !arg_axis(q, 2, graph_shape(q->e->g, x)->rank, 0, &axis))
        return val_error();
    AttrValue at = attr_i(axis);
    return val_node(graph_emit(q->e->g, OP_gather, (NodeId[]){ x, index }, 2, &at, 1));
}

/* Values and where they stood; alone it is the values. count < 0: all of them. */
static Val sorted(BuiltinCall *q, NodeId x, int64_t axis, bool descending, int64_t count)
{
    Graph *g = q->e->g;
    AttrValue attrs[] = { attr_i(axis), attr_i(descending), attr_dtype(DT_I32), attr_i(count) };
    NodeId order = count < 0 ? graph_emit(g, OP_argsort, &x, 1, attrs, 3)
                             : graph_emit(g, OP_argtop, &x, 1, attrs, 4);
    Val both[] = { val_node(take_along(q, x, order, (uint32_t)axis)), val_node(order) };
    Val v = val_tuple(q->e, both, 2);
    v.first = true;
    return v;
}

static Val call_sort(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    int64_t axis;
    bool descending;
    if (x == NODE_NONE || !arg_axis(q, 1, graph_shape(q->e->g, x)->rank, -1, &axis) ||
        !arg_bool(q, 2, false, &descending))
        return val_error();
    return sorted(q, x, axis, descending, -1);
}

static Val call_topk(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    int64_t axis, k;
    bool largest;
    if (x == NODE_NONE || !arg_int(q, 1, 1, &k) ||
        !arg_axis(q, 2, graph_shape(q->e->g, x)->rank, -1, &axis) ||
        !arg_bool(q, 3, true, &largest))
        return val_error();
    Dim d = graph_shape(q->e->g, x)->dim[axis];
    if (k < 0 || k > d.n) {
        diag_report(q->e->cx, DIAG_E0338, loc_here(q->e, q->at[1].loc),
                    "the first %lld of %lld elements", (long long)k, (long long)d.n);
        return val_error();
    }
    return sorted(q, x, axis, largest, k);
}

/* a x = b; a vector b gives a vector x. */
static Val call_solve(BuiltinCall *q)
{
    NodeId a = arg_tensor(q, 0), b = arg_tensor(q, 1);
    if (a == NODE_NONE || b == NODE_NONE)
        return val_error();
    Graph *g = q->e->g;
    uint32_t rank = graph_shape(g, b)->rank;
    bool vector = rank + 1 == graph_shape(g, a)->rank;
    if (vector)
        b = b_unsqueeze(g, b, rank);
    NodeId x = graph_emit(g, OP_solve, (NodeId[]){ a, b }, 2, NULL, 0);
    return val_node(vector ? b_squeeze(g, x, rank) : x);
}

const Builtin reduce_builtins[] = {
    { "all", "x, axis=, keep=", call_all },
    { "any", "x, axis=, keep=", call_any },
    { "argmax", "x, axis=, keep=, last=", call_argmax },
    { "argmin", "x, axis=, keep=, last=", call_argmin },
    { "gather", "x, index, axis=", call_gather },
    { "max", "x, axis=, keep=", call_max },
    { "mean", "x, axis=, keep=", call_mean },
    { "min", "x, axis=, keep=", call_min },
    { "prod", "x, axis=, keep=", call_prod },
    { "solve", "a, b", call_solve },
    { "sort", "x, axis=, descending=", call_sort },
    { "sum", "x, axis=, keep=", call_sum },
    { "take_along", "x, index, axis=", call_take_along },
    { "topk", "x, k, axis=, largest=", call_topk },
    { NULL, NULL, NULL },
};
