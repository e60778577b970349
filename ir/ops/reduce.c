/* reduce.c: along axes: sums, products, extremes, their places, running sums.
 *
 * Of nothing: sum 0, product 1, maximum the least value of the type, minimum the greatest; argmax
 * has no answer (E0319). A gradient of an extreme goes to the first of equal ones along the
 * flattened reduced axes. */
#include "ir/ops/rules.h"

#include <math.h>
#include <string.h>

static const AttrDecl reduce_attrs[] = {
    { .name = "axes", .kind = ATTR_INTS, .required = true },
    { .name = "keep", .kind = ATTR_INT },
    { 0 },
};

static Shape reduced_shape(const Shape *x, const AttrValue *axes, bool keep)
{
    Shape s = { 0 };
    for (uint32_t i = 0; i < x->rank; i++)
        if (!axes_has(axes, i))
            s.dim[s.rank++] = x->dim[i];
        else if (keep)
            s.dim[s.rank++] = dim_of(1);
    return s;
}

static bool reduce_infer(Infer *q)
{
    if (!rule_axes(q, "axes", 0) || !rule_range(q, "keep", 0, 1)) /* C1, C2 */
        return false;
    q->dtype = infer_dtype(q, 0);
    q->shape = reduced_shape(infer_shape(q, 0), &q->attrs[0], q->attrs[1].i);
    return true;
}

static bool number_infer(Infer *q)
{
    return rule_number(q, 0) && reduce_infer(q); /* C3 */
}

/* ---- reference ---- */

/* The greatest or least value of a type, as its integer bits. */
static int64_t extreme_int(Dtype t, bool greatest)
{
    int bits = (int)dtype_size(t) * 8;
    if (t == DT_BOOL)
        return greatest;
    if (!dtype_is_signed(t))
        return greatest ? (int64_t)(UINT64_MAX >> (64 - bits)) : 0;
    int64_t top = (int64_t)(UINT64_MAX >> (65 - bits));
    return greatest ? top : -top - 1;
}

static void set_initial(Value *out, ScalarOp op)
{
    bool least = op == SC_MAXIMUM;
    for (int64_t i = 0; i < out->count; i++)
        if (op == SC_ADD || op == SC_MUL)
            element_set(out, i, op == SC_MUL);
        else if (dtype_is_float(out->dtype))
            out->f[i] = least ? -INFINITY : INFINITY;
        else
            out->i[i] = extreme_int(out->dtype, !least);
}

/* Where an operand's index goes: the same index with 0 on the reduced axes, in the result's
 * row-major order. */
static int64_t reduced_offset(const Value *x, const AttrValue *axes, const int64_t *at)
{
    int64_t o = 0;
    for (uint32_t i = 0; i < x->rank; i++)
        if (!axes_has(axes, i))
            o = o * x->dim[i] + at[i];
    return o;
}

static void reduce_ref(Ref *q)
{
    const AttrValue *axes = graph_attr(q->g, q->node, "axes");
    ScalarOp op = op_defs[graph_node(q->g, q->node)->op]->scalar;
    const Value *x = q->in;
    Value *out = q->out;
    int64_t at[MAX_RANK] = { 0 }, i = 0;
    set_initial(out, op);
    if (!x->count)
        return;
    do {
        int64_t o = reduced_offset(x, axes, at);
        if (dtype_is_float(x->dtype))
            out->f[o] = scalar_float(op, (double[]){ out->f[o], x->f[i] });
        else
            out->i[o] = scalar_int(op, x->dtype, (int64_t[]){ out->i[o], x->i[i] });
        i++;
    } while (index_next(x, at));
}

/* ---- derivatives ---- */

/* A value of the result's shape over the operand's. */
static NodeId spread(Graph *g, NodeId y, NodeId reduce, NodeId x)
{
    Shape wide = *graph_shape(g, x),
          kept = reduced_shape(&wide, graph_attr(g, reduce, "axes"), true);
    return b_broadcast(g, b_reshape(g, y, &kept), &wide);
}

static void sum_grad(Grad *q)
{
    q->add(q, 0, spread(q->g, q->dy, q->node, q->in[0]));
}

static NodeId reduce_like(Graph *g, Op op, NodeId x, NodeId like)
{
    const AttrValue *axes = graph_attr(g, like, "axes");
    return b_reduce(g, op, x, axes->ints, axes->count, true);
}

/* dx = dy times the product of all others. With p the product of the nonzero elements of the row,
 * that is p / x without a zero in the row, p at a single zero, and 0 everywhere else; y / x would
 * be 0 / 0 there. */
static void prod_grad(Grad *q)
{
    Graph *g = q->g;
    NodeId x = q->in[0], one = b_like(g, x, 1), zero = b_like(g, x, 0);
    Shape shape = *graph_shape(g, x);
    NodeId is_zero = b_binary(g, OP_eq, x, zero), filled = b_select(g, is_zero, one, x);
    NodeId zeros = b_broadcast(
        g, reduce_like(g, OP_reduce_sum, b_select(g, is_zero, one, zero), q->node), &shape);
    NodeId p = b_broadcast(g, reduce_like(g, OP_reduce_prod, filled, q->node), &shape);
    NodeId others = b_select(g, b_binary(g, OP_eq, zeros, zero), b_div(g, p, filled), zero);
    NodeId at_zero = b_select(g, b_binary(g, OP_eq, zeros, one), p, zero);
    q->add(q, 0, b_mul(g, spread(g, q->dy, q->node, x), b_select(g, is_zero, at_zero, others)));
}

/* dy at the first extreme along one axis, which argmax names; 0 elsewhere. dy has the extent 1. */
static NodeId axis_extreme(Graph *g, Op arg, NodeId x, uint32_t axis, NodeId dy)
{
    Shape wide = *graph_shape(g, x);
    Dtype t = wide.dim[axis].n > INT32_MAX ? DT_I64 : DT_I32;
    AttrValue attrs[] = { attr_i(axis), attr_i(1), attr_dtype(t) };
    NodeId place = graph_emit(g, arg, &x, 1, attrs, 3), position = b_iota(g, &wide, axis, t);
    NodeId first = b_binary(g, OP_eq, position, b_broadcast(g, place, &wide));
    return b_select(g, first, b_broadcast(g, dy, &wide), b_like(g, x, 0));
}

/* The axes of the list in order, after those that are not in it. Returns how many are not. */
static uint32_t listed_last(const AttrValue *axes, uint32_t rank, int64_t *out_perm)
{
    uint32_t n = 0;
    for (int listed = 0; listed < 2; listed++)
        for (uint32_t i = 0; i < rank; i++)
            if (axes_has(axes, i) == listed)
                out_perm[n++] = i;
    return rank - axes->count;
}

/* dx of an extreme along several axes, dy with their extents 1. They are made one, so that there is
 * one place to find; or, where an axis of the batch keeps them apart, the last is reduced before
 * the others: the first extreme row and its first extreme are the first in row-major order too. */
static NodeId extreme_slope(Graph *g, Op reduce, NodeId x, const int64_t *axes, uint32_t n,
                            NodeId dy)
{
    Op arg = reduce == OP_reduce_max ? OP_argmax : OP_argmin;
    uint32_t rank = graph_shape(g, x)->rank;
    int64_t perm[MAX_RANK], back[MAX_RANK];
    if (n == 1)
        return axis_extreme(g, arg, x, (uint32_t)axes[0], dy);
    uint32_t kept = listed_last(&(AttrValue){ .count = n, .ints = axes }, rank, perm);
    Shape apart, merged = { .rank = kept + 1 };
    for (uint32_t i = 0; i < rank; i++) {
        back[perm[i]] = i;
        apart.dim[i] = merged.dim[i] = graph_shape(g, x)->dim[perm[i]];
    }
    apart.rank = rank;
    if (!shape_product(&apart, kept, rank, &merged.dim[kept]) ||
        !shape_groups(&apart, &merged, NULL, NULL)) {
        const int64_t last = perm[rank - 1];
        NodeId rows = b_reduce(g, reduce, x, &last, 1, true);
        return axis_extreme(g, arg, x, (uint32_t)last,
                            extreme_slope(g, reduce, rows, perm + kept, n - 1, dy));
    }
    Shape one = merged;
    one.dim[kept] = dim_of(1);
    NodeId flat = b_reshape(g, b_transpose(g, x, perm), &merged);
    NodeId dx = axis_extreme(g, arg, flat, kept, b_reshape(g, dy, &one));
    return b_transpose(g, b_reshape(g, dx, &apart), back);
}

static void extreme_grad(Grad *q)
{
    Graph *g = q->g;
    NodeId x = q->in[0];
    const AttrValue *axes = graph_attr(g, q->node, "axes");
    Shape kept = reduced_shape(graph_shape(g, x), axes, true);
    for (uint32_t i = 0; i < axes->count; i++)
        if (!graph_shape(g, x)->dim[axes->ints[i]].n)
            return; /* the extreme of nothing depends on nothing */
    NodeId dy = b_reshape(g, q->dy, &kept);
    q->add(q, 0, extreme_slope(g, (Op)graph_node(g, q->node)->op, x, axes->ints, axes->count, dy));
}

/* ---- folding ---- */

/* Over no axes, or over axes of one element: the elements themselves. */
FOLD(reduce_fold)
{
    FOLD_UNUSED;
    const Shape *x = graph_shape(g, in[0]);
    for (uint32_t i = 0; i < attrs[0].count; i++)
        if (x->dim[attrs[0].ints[i]].n != 1 || x->dim[attrs[0].ints[i]].k)
            return NODE_NONE;
    return b_reshape(g, in[0], shape);
}

/* ---- cases ---- */

static const struct {
    uint32_t rank;
    int64_t dims[3];
    uint32_t n;
    int64_t axes[3];
} table[] = {
    { 1, { 7 }, 1, { 0 } },
    { 2, { 3, 37 }, 1, { 1 } },
    { 2, { 5, 3 }, 1, { 0 } },
    { 3, { 2, 3, 5 }, 2, { 0, 2 } },
    { 3, { 3, 2, 5 }, 1, { 1 } },
    { 2, { 4, 3 }, 2, { 0, 1 } },
    { 2, { -1, 5 }, 1, { 0 } },
    { 2, { -1, 5 }, 1, { 1 } },
    { 3, { 2, -1, 3 }, 2, { 1, 2 } },
    { 2, { 3, 1 }, 1, { 1 } },
    { 1, { 1031 }, 1, { 0 } },
    { 2, { 3, 2 }, 0, { 0 } },
    { 2, { 2, 0 }, 1, { 1 } },
    { 2, { -1, -2 }, 2, { 1, 0 } },
    { 3, { 3, -1, 2 }, 3, { 0, 1, 2 } },
};
enum { TABLE = sizeof table / sizeof *table };

/* Every shape in f64 and f32; some in the other types, bools only for extremes. */
static NodeId reduce_cases(Graph *g, CaseRng *r, uint32_t i, Op op, double lo, double hi)
{
    static const Dtype others[] = { DT_I32, DT_F16, DT_BF16, DT_I64, DT_U8, DT_BOOL };
    enum { SOME = 4 };
    bool extreme = op == OP_reduce_max || op == OP_reduce_min;
    Dtype t = i < TABLE ? DT_F64 : DT_F32;
    if (i >= 2 * TABLE) {
        i -= 2 * TABLE;
        if (i >= (extreme ? 6 : 5) * SOME)
            return NODE_NONE;
        t = others[i / SOME];
        i = i % SOME * 2 + 1;
    }
    i %= TABLE;
    double least = t == DT_BOOL || (t == DT_U8 && lo < 0) ? 0 : lo;
    NodeId x =
        case_input(g, r, t, table[i].rank, table[i].dims, least, t == DT_BOOL ? 1 : hi, extreme);
    return b_reduce(g, op, x, table[i].axes, table[i].n, i % 2);
}

#define REDUCE(id, sc, rule, derivative, lo, hi, text)         \
    static NodeId id##_cases(Graph *g, CaseRng *r, uint32_t i) \
    {                                                          \
        return reduce_cases(g, r, i, OP_##id, lo, hi);         \
    }                                                          \
    const OpDef op_##id = {                                    \
        .name = #id,                                           \
        .doc = text,                                           \
        .min_in = 1,                                           \
        .max_in = 1,                                           \
        .attrs = reduce_attrs,                                 \
        .infer = rule,                                         \
        .grad = derivative,                                    \
        .ref = reduce_ref,                                     \
        .fold = reduce_fold,                                   \
        .lower = LOWER_REDUCE,                                 \
        .scalar = sc,                                          \
        .cases = id##_cases,                                   \
    };

REDUCE(reduce_sum, SC_ADD, number_infer, sum_grad, -3, 3, "sum along axes")
REDUCE(reduce_prod, SC_MUL, number_infer, prod_grad, 0.9, 1.1, "product along axes")
REDUCE(reduce_max, SC_MAXIMUM, reduce_infer, extreme_grad, -9, 9,
       "largest along axes; of bools, whether any is true")
REDUCE(reduce_min, SC_MINIMUM, reduce_infer, extreme_grad, -9, 9,
       "smallest along axes; of bools, whether all are true")

/* ---- argmax, argmin ---- */

static const AttrDecl arg_attrs[] = {
    { .name = "axis", .kind = ATTR_INT, .required = true },
    { .name = "keep", .kind = ATTR_INT },
    { .name = "dtype", .kind = ATTR_DTYPE, .i = DT_I32 },
    { 0 },
};

static bool arg_infer(Infer *q)
{
    if (!rule_axis(q, "axis", 0) || !rule_range(q, "keep", 0, 1)) /* C1, C2 */
        return false;
    const Shape *x = infer_shape(q, 0);
    if (x->dim[q->attrs[0].i].n == 0) /* C3 */
        return infer_fail(q, DIAG_E0319, "%s along an axis without elements: %s", rule_name(q),
                          rule_type(q, 0));
    q->dtype = (Dtype)q->attrs[2].i;
    if (!dtype_is_integer(q->dtype)) /* C4 */
        return infer_fail(q, DIAG_E0304, "%s gives places, which are integers, not %s",
                          rule_name(q), dtype_name(q->dtype));
    q->shape = reduced_shape(x, &(AttrValue){ .count = 1, .ints = &q->attrs[0].i }, q->attrs[1].i);
    return true;
}

/* Whether x[i] comes before x[j] as an extreme; NaN before all. */
static bool beats(const Value *x, int64_t i, int64_t j, bool greatest)
{
    if (!dtype_is_float(x->dtype))
        return scalar_int(greatest ? SC_GT : SC_LT, x->dtype, (int64_t[]){ x->i[i], x->i[j] });
    if (isnan(x->f[i]) || isnan(x->f[j]))
        return isnan(x->f[i]) && !isnan(x->f[j]);
    return greatest ? x->f[i] > x->f[j] : x->f[i] < x->f[j];
}

static void arg_ref(Ref *q)
{
    int64_t axis = node_int(q->g, q->node, "axis"), at[MAX_RANK] = { 0 };
    bool greatest = graph_node(q->g, q->node)->op == OP_argmax;
    AttrValue axes = { .count = 1, .ints = &axis };
    const Value *x = q->in;
    if (!x->count)
        return;
    int64_t i = 0, stride = index_stride(x, axis);
    do {
        int64_t o = reduced_offset(x, &axes, at), best = i + (q->out->i[o] - at[axis]) * stride;
        if (beats(x, i, best, greatest))
            q->out->i[o] = at[axis];
        i++;
    } while (index_next(x, at));
}

static NodeId arg_cases(Graph *g, CaseRng *r, uint32_t i, Op op)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_BOOL, DT_U8 };
    static const struct {
        uint32_t rank, axis;
        int64_t dims[3];
    } t[] = {
        { 1, 0, { 11 } },     { 2, 1, { 3, 37 } }, { 2, 0, { 5, 3 } },  { 3, 1, { 2, 3, 5 } },
        { 2, 1, { -1, 10 } }, { 1, 0, { 1 } },     { 2, 0, { -1, 3 } }, { 2, 1, { 0, 3 } },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 5 * COUNT)
        return NODE_NONE;
    Dtype type = types[i / COUNT];
    AttrValue attrs[] = { attr_i(t[i % COUNT].axis), attr_i(i % 2),
                          attr_dtype(i % 3 ? DT_I32 : DT_I64) };
    NodeId x = case_input(g, r, type, t[i % COUNT].rank, t[i % COUNT].dims, 0,
                          type == DT_BOOL ? 1 : 7, false); /* ties of integers */
    return graph_emit(g, op, &x, 1, attrs, 3);
}

static NodeId argmax_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return arg_cases(g, r, i, OP_argmax);
}

static NodeId argmin_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return arg_cases(g, r, i, OP_argmin);
}

const OpDef op_argmax = {
    .name = "argmax", .doc = "place of the first largest along axis", .min_in = 1, .max_in = 1,
    .attrs = arg_attrs, .infer = arg_infer, .zero_grad = true, .ref = arg_ref,
    .lower = LOWER_ARG_REDUCE, .scalar = SC_MAXIMUM, .cases = argmax_cases,
};
const OpDef op_argmin = {
    .name = "argmin", .doc = "place of the first smallest along axis", .min_in = 1, .max_in = 1,
    .attrs = arg_attrs, .infer = arg_infer, .zero_grad = true, .ref = arg_ref,
    .lower = LOWER_ARG_REDUCE, .scalar = SC_MINIMUM, .cases = argmin_cases,
};

/* ---- cumsum ---- */

static const AttrDecl cumsum_attrs[] = {
    { .name = "axis", .kind = ATTR_INT, .required = true },
    { .name = "exclusive", .kind = ATTR_INT },
    { .name = "reverse", .kind = ATTR_INT },
    { 0 },
};

static bool cumsum_infer(Infer *q)
{
    return rule_number(q, 0)                   /* C1 */
           && rule_axis(q, "axis", 0)          /* C2 */
           && rule_range(q, "exclusive", 0, 1) /* C3 */
           && rule_range(q, "reverse", 0, 1) && rule_like(q, 0);
}

/* The same sum from the other end. */
static void cumsum_grad(Grad *q)
{
    AttrValue attrs[] = { attr_i(node_int(q->g, q->node, "axis")),
                          attr_i(node_int(q->g, q->node, "exclusive")),
                          attr_i(!node_int(q->g, q->node, "reverse")) };
    q->add(q, 0, graph_emit(q->g, OP_cumsum, &q->dy, 1, attrs, 3));
}

static void cumsum_ref(Ref *q)
{
    int64_t axis = node_int(q->g, q->node, "axis"), at[MAX_RANK] = { 0 }, i = 0;
    bool exclusive = node_int(q->g, q->node, "exclusive"),
         reverse = node_int(q->g, q->node, "reverse");
    const Value *x = q->in;
    int64_t stride = index_stride(x, axis);
    if (!x->count)
        return;
    do {
        int64_t first = reverse ? at[axis] + exclusive : 0,
                end = reverse ? x->dim[axis] : at[axis] + !exclusive;
        for (int64_t j = first; j < end; j++) {
            int64_t from = i + (j - at[axis]) * stride;
            if (dtype_is_float(x->dtype))
                q->out->f[i] += x->f[from];
            else
                q->out->i[i] =
                    scalar_int(SC_ADD, x->dtype, (int64_t[]){ q->out->i[i], x->i[from] });
        }
        i++;
    } while (index_next(x, at));
}

/* Kernels sum each element's whole past, which is quadratic. A long axis is cut into blocks:
 * running sums within each, and before each block the sum of those before it, by the same rule. */
enum { SCAN_BLOCK = 32, SCAN_LONG = 64 };

static NodeId running_sum(Graph *g, NodeId x, uint32_t axis, bool exclusive, bool reverse)
{
    AttrValue plain[] = { attr_i(axis), attr_i(exclusive), attr_i(reverse) };
    if (x == NODE_NONE)
        return NODE_NONE;
    Shape s = *graph_shape(g, x), cut = s;
    int64_t n = s.dim[axis].n, none[MAX_RANK] = { 0 }, high[MAX_RANK] = { 0 };
    if (n <= SCAN_LONG || s.dim[axis].k || s.rank == MAX_RANK)
        return graph_emit(g, OP_cumsum, &x, 1, plain, 3);
    int64_t blocks = (n - 1) / SCAN_BLOCK + 1;
    high[axis] = blocks * SCAN_BLOCK - n;
    for (uint32_t i = cut.rank++; i > axis + 1; i--)
        cut.dim[i] = cut.dim[i - 1];
    cut.dim[axis] = dim_of(blocks);
    cut.dim[axis + 1] = dim_of(SCAN_BLOCK);
    x = b_reshape(g, b_pad(g, x, none, high, none, 0), &cut);
    NodeId inner = running_sum(g, x, axis + 1, exclusive, reverse);
    NodeId sums = b_reduce(g, OP_reduce_sum, x, &(int64_t){ axis + 1 }, 1, false);
    NodeId before = b_unsqueeze(g, running_sum(g, sums, axis, true, reverse), axis + 1);
    NodeId y = b_add(g, inner, b_broadcast(g, before, &cut));
    s.dim[axis] = dim_of(blocks * SCAN_BLOCK);
    return b_slice_axis(g, b_reshape(g, y, &s), axis, 0, n);
}

static NodeId cumsum_expand(Graph *g, NodeId node, const NodeId *in)
{
    return running_sum(g, in[0], (uint32_t)node_int(g, node, "axis"),
                       node_int(g, node, "exclusive"), node_int(g, node, "reverse"));
}

static NodeId cumsum_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32 };
    static const struct {
        uint32_t rank, axis;
        int64_t dims[3];
    } t[] = { { 1, 0, { 11 } },    { 2, 1, { 3, 7 } }, { 2, 0, { 5, 3 } },
              { 2, 1, { -1, 4 } }, { 2, 0, { 0, 3 } }, { 1, 0, { 1 } },
              { 2, 1, { -1, 71 } } };
    enum { COUNT = sizeof t / sizeof *t, LONG = 12 * COUNT };
    if (i == LONG) { /* blocks of blocks */
        NodeId line = case_input(g, r, DT_F32, 1, &(int64_t){ 2085 }, -1, 1, false);
        return graph_emit(g, OP_cumsum, &line, 1, (AttrValue[]){ attr_i(0) }, 1);
    }
    if (i > LONG)
        return NODE_NONE;
    uint32_t c = i % COUNT, mode = i / COUNT;
    AttrValue attrs[] = { attr_i(t[c].axis), attr_i(mode & 1), attr_i(mode >> 1 & 1) };
    NodeId x = case_input(g, r, types[mode / 4], t[c].rank, t[c].dims, -9, 9, false);
    return graph_emit(g, OP_cumsum, &x, 1, attrs, 3);
}

const OpDef op_cumsum = {
    .name = "cumsum", .doc = "running sum along axis", .min_in = 1, .max_in = 1,
    .attrs = cumsum_attrs, .infer = cumsum_infer, .grad = cumsum_grad, .ref = cumsum_ref,
    .expand = cumsum_expand, .lower = LOWER_SCAN, .scalar = SC_ADD, .cases = cumsum_cases,
};
