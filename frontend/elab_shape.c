/* elab_shape.c: functions that move elements or make constant tensors, and those on values known
 * now. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

static Val like(const BuiltinCall *q, uint32_t i, NodeId y)
{
    Val v = val_node(y);
    v.untyped = q->at[i].val.kind == VAL_TENSOR && q->at[i].val.untyped && y != NODE_NONE;
    return v;
}

static Val call_reshape(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    Shape s;
    if (x == NODE_NONE)
        return val_error();
    int64_t infer = -1;
    for (uint32_t i = 0; i < q->rest.n; i++) /* one -1 takes what is left */
        if (q->rest.at[i].val.kind == VAL_INT && q->rest.at[i].val.i == -1 && infer < 0) {
            infer = i;
            q->rest.at[i].val = val_int(1);
        }
    if (!vals_to_shape(q->e, q->rest.at, q->rest.n, q->loc, &s))
        return val_error();
    if (infer >= 0 && s.rank == q->rest.n) {
        Dim all, rest;
        const Shape *own = graph_shape(q->e->g, x);
        if (shape_product(own, 0, own->rank, &all) && shape_product(&s, 0, s.rank, &rest) &&
            rest.n) {
            if (all.k && !rest.k && all.k % rest.n == 0)
                s.dim[infer] = (Dim){ all.n / rest.n, all.k / rest.n };
            else if (!!all.k == !!rest.k)
                s.dim[infer] = dim_of(all.n / rest.n);
        }
    }
    return like(q, 0, b_reshape(q->e->g, x, &s));
}

static Val call_broadcast(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    Shape s, joined;
    if (x == NODE_NONE || !vals_to_shape(q->e, q->rest.at, q->rest.n, q->loc, &s))
        return val_error();
    if (!shape_join(graph_shape(q->e->g, x), &s, &joined) || !shape_equal(&joined, &s)) {
        diag_report(q->e->cx, DIAG_E0306, loc_here(q->e, q->loc), "%s cannot be repeated to %s",
                    val_text(q->e, val_node(x)), shape_text(q->e->a, &s));
        return val_error();
    }
    return like(q, 0, node_broadcast(q->e, x, &s));
}

static Val call_transpose(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    if (x == NODE_NONE)
        return val_error();
    uint32_t rank = graph_shape(q->e->g, x)->rank, n = rank;
    int64_t perm[MAX_RANK];
    for (uint32_t i = 0; i < rank; i++)
        perm[i] = i;
    if (arg_given(q, 1)) {
        if (!arg_axes(q, 1, rank, perm, &n))
            return val_error();
    } else if (rank >= 2) {
        perm[rank - 2] = rank - 1, perm[rank - 1] = rank - 2;
    }
    if (n != rank || rank < 2) {
        diag_report(q->e->cx, DIAG_E0307, loc_here(q->e, q->loc), "`transpose` of %s needs %s",
                    val_text(q->e, val_node(x)),
                    rank < 2 ? "at least two axes" : "every axis once");
        return val_error();
    }
    return like(q, 0, b_transpose(q->e->g, x, perm));
}

static Val call_flatten(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    int64_t axis;
    Dim tail;
    if (x == NODE_NONE)
        return val_error();
    Shape own = *graph_shape(q->e->g, x), s = own;
    if (!arg_int(q, 1, 1, &axis))
        return val_error();
    if (axis < 0 || axis > own.rank || !shape_product(&own, (uint32_t)axis, own.rank, &tail)) {
        diag_report(q->e->cx, DIAG_E0307, loc_here(q->e, q->loc), "`flatten` from axis %lld of %s",
                    (long long)axis, val_text(q->e, val_node(x)));
        return val_error();
    }
    s.rank = (uint32_t)axis + 1;
    s.dim[axis] = tail;
    return like(q, 0, b_reshape(q->e->g, x, &s));
}

static Val call_squeeze(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    int64_t axis;
    if (x == NODE_NONE || !arg_axis(q, 1, graph_shape(q->e->g, x)->rank, -1, &axis))
        return val_error();
    if (!dim_equal(graph_shape(q->e->g, x)->dim[axis], dim_of(1))) {
        diag_report(q->e->cx, DIAG_E0338, loc_here(q->e, q->loc),
                    "`squeeze` drops an axis of extent 1; axis %lld of %s is another",
                    (long long)axis, val_text(q->e, val_node(x)));
        return val_error();
    }
    return like(q, 0, b_squeeze(q->e->g, x, (uint32_t)axis));
}

static Val call_unsqueeze(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    int64_t axis;
    if (x == NODE_NONE || !arg_axis(q, 1, graph_shape(q->e->g, x)->rank + 1, -1, &axis))
        return val_error();
    return like(q, 0, b_unsqueeze(q->e->g, x, (uint32_t)axis));
}

static Val call_flip(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    int64_t axes[MAX_RANK];
    uint32_t n;
    if (x == NODE_NONE || !arg_axes(q, 1, graph_shape(q->e->g, x)->rank, axes, &n))
        return val_error();
    return like(q, 0, b_flip(q->e->g, x, axes, n));
}

/* Operands of one dtype, given one by one or as a list. */
static bool same_operands(BuiltinCall *q, NodeId **out, uint32_t *out_n, bool *out_untyped)
{
    Elab *e = q->e;
    Args in = q->rest;
    Dtype t = DT_COUNT;
    if (in.n == 1 && (in.at[0].val.kind == VAL_LIST || in.at[0].val.kind == VAL_TUPLE))
        in = args_of(e, in.at[0].val.list.at, in.at[0].val.list.n, in.at[0].loc);
    for (uint32_t i = 0; i < in.n && t == DT_COUNT; i++)
        t = val_dtype_of(e, in.at[i].val);
    *out_untyped = t == DT_COUNT;
    *out = arena_new_array(e->a, NodeId, in.n);
    *out_n = in.n;
    for (uint32_t i = 0; i < in.n; i++)
        if (((*out)[i] = val_to_node(e, in.at[i].val, t == DT_COUNT ? DT_F64 : t, in.at[i].loc)) ==
            NODE_NONE)
            return false;
    if (!in.n)
        diag_report(e->cx, DIAG_E0404, loc_here(e, q->loc), "`%s` needs at least one tensor",
                    q->def->name);
    set_loc(e, q->loc);
    return in.n;
}

static Val call_concat(BuiltinCall *q)
{
    NodeId *in;
    uint32_t n;
    int64_t axis;
    bool untyped;
    if (!same_operands(q, &in, &n, &untyped) ||
        !arg_axis(q, 1, graph_shape(q->e->g, in[0])->rank, 0, &axis))
        return val_error();
    Val v = val_node(n == 1 ? in[0] : b_concat(q->e->g, in, n, (uint32_t)axis));
    v.untyped = untyped;
    return v;
}

static Val call_stack(BuiltinCall *q)
{
    NodeId *in;
    uint32_t n;
    int64_t axis;
    bool untyped;
    if (!same_operands(q, &in, &n, &untyped) ||
        !arg_axis(q, 1, graph_shape(q->e->g, in[0])->rank + 1, 0, &axis))
        return val_error();
    for (uint32_t i = 0; i < n; i++)
        in[i] = b_unsqueeze(q->e->g, in[i], (uint32_t)axis);
    Val v = val_node(n == 1 ? in[0] : b_concat(q->e->g, in, n, (uint32_t)axis));
    v.untyped = untyped;
    return v;
}

/* split(x, 4) into equal parts, split(x, [2, 3]) into parts of these sizes. */
static Val call_split(BuiltinCall *q)
{
    Elab *e = q->e;
    NodeId x = arg_tensor(q, 0);
    int64_t axis, sizes[64], at = 0;
    uint32_t n;
    if (x == NODE_NONE || !arg_ints(q, 1, sizes, 64, &n) ||
        !arg_axis(q, 2, graph_shape(e->g, x)->rank, 0, &axis))
        return val_error();
    Dim d = graph_shape(e->g, x)->dim[axis];
    if (q->at[1].val.kind != VAL_LIST) {
        int64_t parts = sizes[0];
        if (parts < 1 || parts > 64 || d.n % parts) {
            diag_report(e->cx, DIAG_E0338, loc_here(e, q->loc),
                        "`split` of an axis with %lld elements into %lld equal parts",
                        (long long)d.n, (long long)parts);
            return val_error();
        }
        n = (uint32_t)parts;
        for (uint32_t i = 0; i < n; i++)
            sizes[i] = d.n / parts;
    }
    Val parts[64];
    for (uint32_t i = 0; i < n; i++) {
        if (sizes[i] < 0 || sizes[i] > d.n - at) {
            diag_report(e->cx, DIAG_E0338, loc_here(e, q->loc),
                        "the parts of `split` are more than the axis's %lld elements",
                        (long long)d.n);
            return val_error();
        }
        parts[i] = like(q, 0, b_slice_axis(e->g, x, (uint32_t)axis, at, at + sizes[i]));
        at += sizes[i];
    }
    if (at != d.n) {
        diag_report(e->cx, DIAG_E0338, loc_here(e, q->loc),
                    "the parts of `split` have %lld elements, the axis %lld", (long long)at,
                    (long long)d.n);
        return val_error();
    }
    return val_tuple(e, parts, n);
}

static Val call_pad2d(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    int64_t p, low[MAX_RANK] = { 0 }, none[MAX_RANK] = { 0 };
    Val value = q->at[2].val;
    if (x == NODE_NONE || !arg_int(q, 1, 0, &p))
        return val_error();
    uint32_t rank = graph_shape(q->e->g, x)->rank;
    if (rank < 2 || p < 0 || (arg_given(q, 2) && !val_is_number(value))) {
        diag_report(q->e->cx, DIAG_E0338, loc_here(q->e, q->loc),
                    "`pad2d` pads the last two axes by a number that is not negative");
        return val_error();
    }
    low[rank - 1] = low[rank - 2] = p;
    return like(q, 0, b_pad(q->e->g, x, low, low, none, arg_given(q, 2) ? val_double(value) : 0));
}

/* ---- constants ---- */

static Val fill(BuiltinCall *q, double v)
{
    Shape s;
    Dtype t = DT_F64;
    bool typed = arg_given(q, 1);
    if (!vals_to_shape(q->e, q->rest.at, q->rest.n, q->loc, &s))
        return val_error();
    if (typed && q->at[1].val.kind != VAL_DTYPE) {
        report_kind(q->e, q->at[1].loc, "a dtype", q->at[1].val);
        return val_error();
    }
    if (typed)
        t = q->at[1].val.dtype;
    Val out = val_node(b_splat(q->e->g, t, &s, v));
    out.untyped = !typed;
    return out;
}

static Val call_zeros(BuiltinCall *q)
{
    return fill(q, 0);
}

static Val call_ones(BuiltinCall *q)
{
    return fill(q, 1);
}

static Val call_full(BuiltinCall *q)
{
    Shape s;
    Val v = val_deref(q->e, q->at[0].val);
    if (!vals_to_shape(q->e, q->rest.at, q->rest.n, q->loc, &s))
        return val_error();
    Dtype own = val_dtype_of(q->e, v);
    Val out = val_node(node_broadcast(
        q->e, val_to_node(q->e, v, own == DT_COUNT ? DT_F64 : own, q->at[0].loc), &s));
    out.untyped = own == DT_COUNT;
    return out;
}

static Val call_iota(BuiltinCall *q)
{
    Shape s;
    if (!vals_to_shape(q->e, q->at, 1, q->loc, &s))
        return val_error();
    if (s.rank != 1) {
        report_kind(q->e, q->at[0].loc, "one extent", q->at[0].val);
        return val_error();
    }
    return val_node(b_iota(q->e->g, &s, 0, DT_I32));
}

/* bool[T, T]: position i sees j <= i. */
static Val call_causal(BuiltinCall *q)
{
    Shape s;
    Arg twice[2] = { q->at[0], q->at[0] };
    if (!vals_to_shape(q->e, twice, 2, q->loc, &s) || s.rank != 2)
        return val_error();
    NodeId row = b_iota(q->e->g, &s, 0, DT_I32), column = b_iota(q->e->g, &s, 1, DT_I32);
    return val_node(b_binary(q->e->g, OP_le, column, row));
}

static Val call_one_hot(BuiltinCall *q)
{
    NodeId x = val_to_tensor(q->e, q->at[0].val, DT_I32, q->at[0].loc);
    int64_t depth;
    if (x == NODE_NONE || !arg_int(q, 1, 0, &depth))
        return val_error();
    AttrValue attrs[] = { attr_i(depth), attr_dtype(q->e->options->f64 ? DT_F64 : DT_F32) };
    if (arg_given(q, 2) && q->at[2].val.kind == VAL_DTYPE)
        attrs[1] = attr_dtype(q->at[2].val.dtype);
    return val_node(graph_emit(q->e->g, OP_one_hot, &x, 1, attrs, 2));
}

/* ---- values known now ---- */

static Val call_int(BuiltinCall *q)
{
    Val v = q->at[0].val;
    if (v.kind == VAL_RATIO || v.kind == VAL_FLOAT) {
        double d = trunc(val_double(v));
        if (fabs(d) < 9e15)
            return val_int((int64_t)d);
    }
    int64_t i;
    return val_integer(q->e, v, q->at[0].loc, "int(..)", &i) ? val_int(i) : val_error();
}

static Val call_float(BuiltinCall *q)
{
    Val v = q->at[0].val;
    if (val_is_number(v) || (v.kind == VAL_TENSOR && dtype_is_float(graph_dtype(q->e->g, v.node))))
        return v;
    return tensor_cast(q->e, v, q->e->options->f64 ? DT_F64 : DT_F32, q->at[0].loc);
}

static Val call_len(BuiltinCall *q)
{
    Val v = q->at[0].val;
    if (v.kind == VAL_LIST || v.kind == VAL_TUPLE)
        return val_int(v.list.n);
    report_kind(q->e, q->at[0].loc, "a list", v);
    return val_error();
}

static Val call_rank(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    return x == NODE_NONE ? val_error() : val_int(graph_shape(q->e->g, x)->rank);
}

static Val call_shape(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    if (x == NODE_NONE)
        return val_error();
    const Shape *s = graph_shape(q->e->g, x);
    Val v = { .kind = VAL_LIST, .list = { arena_new_array(q->e->a, Val, s->rank), s->rank } };
    for (uint32_t i = 0; i < s->rank; i++)
        v.list.at[i] = val_of_dim(s->dim[i]);
    return v;
}

static Val call_dtype(BuiltinCall *q)
{
    NodeId x = arg_tensor(q, 0);
    return x == NODE_NONE ? val_error() : val_dtype(graph_dtype(q->e->g, x));
}

/* Fans of a weight [O, I, window..]: what the variance of its start is scaled by. */
static Val fan(BuiltinCall *q, bool in)
{
    Shape s;
    int64_t n = 1;
    if (!vals_to_shape(q->e, q->rest.at, q->rest.n, q->loc, &s))
        return val_error();
    for (uint32_t i = 0; i < s.rank; i++)
        if (!(s.rank >= 2 && i == (in ? 0 : 1)) && __builtin_mul_overflow(n, s.dim[i].n, &n))
            n = INT64_MAX;
    return val_int(n < 1 ? 1 : n);
}

static Val call_fan_in(BuiltinCall *q)
{
    return fan(q, true);
}

static Val call_fan_out(BuiltinCall *q)
{
    return fan(q, false);
}

const Builtin shape_builtins[] = {
    { "broadcast", "x, dims*", call_broadcast },
    { "causal", "n", call_causal },
    { "concat", "tensors*, axis=", call_concat },
    { "dtype", "x", call_dtype },
    { "fan_in", "dims*", call_fan_in },
    { "fan_out", "dims*", call_fan_out },
    { "flatten", "x, axis=", call_flatten },
    { "flip", "x, axis=", call_flip },
    { "float", "x", call_float },
    { "full", "value, dims*", call_full },
    { "int", "x", call_int },
    { "iota", "n", call_iota },
    { "len", "list", call_len },
    { "one_hot", "index, depth, dtype=", call_one_hot },
    { "ones", "dims*, dtype=", call_ones },
    { "pad2d", "x, pad, value=", call_pad2d },
    { "rank", "x", call_rank },
    { "reshape", "x, dims*", call_reshape },
    { "shape", "x", call_shape },
    { "split", "x, parts, axis=", call_split },
    { "squeeze", "x, axis=", call_squeeze },
    { "stack", "tensors*, axis=", call_stack },
    { "transpose", "x, perm?", call_transpose },
    { "unsqueeze", "x, axis=", call_unsqueeze },
    { "zeros", "dims*, dtype=", call_zeros },
    { NULL, NULL, NULL },
};
