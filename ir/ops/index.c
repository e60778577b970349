/* index.c: by position, and by indices that are data.
 *
 * An index outside of its axis is the user's mistake, found only at run time: reading there gives
 * 0, adding there is skipped, and kernels set the call's status. No index wraps from the end. */
#include "ir/ops/rules.h"

#include <string.h>

/* ---- iota ---- */

static const AttrDecl iota_attrs[] = {
    { .name = "shape", .kind = ATTR_SHAPE, .required = true },
    { .name = "axis", .kind = ATTR_INT, .required = true },
    { .name = "dtype", .kind = ATTR_DTYPE, .i = DT_I32 },
    { 0 },
};

static bool iota_infer(Infer *q)
{
    q->shape = *q->attrs[0].shape;
    q->dtype = (Dtype)q->attrs[2].i;
    if (q->attrs[1].i < 0 || q->attrs[1].i >= q->shape.rank) /* C1 */
        return infer_fail(q, DIAG_E0307, "iota of shape %s has no axis %lld",
                          shape_text(q->g->unit->arena, &q->shape), (long long)q->attrs[1].i);
    if (q->dtype == DT_BOOL) /* C2 */
        return infer_fail(q, DIAG_E0304, "iota counts in numbers, not bool");
    return rule_result(q);
}

static void iota_ref(Ref *q)
{
    int64_t axis = node_int(q->g, q->node, "axis"), at[MAX_RANK] = { 0 }, o = 0;
    if (!q->out->count)
        return;
    do
        element_set(q->out, o++, (double)at[axis]);
    while (index_next(q->out, at));
}

static NodeId iota_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_I32, DT_I64, DT_F32, DT_F64 };
    static const Shape shapes[] = {
        { 1, { { 7, 0 } } },
        { 2, { { 3, 0 }, { 5, 0 } } },
        { 2, { { 4, 0 }, { 0, 0 } } },
        { 3, { { 2, 0 }, { 3, 0 }, { 1, 0 } } },
    };
    (void)r;
    return i < 16 ? b_iota(g, &shapes[i % 4], shapes[i % 4].rank - 1 - (i % 4 == 3), types[i / 4])
                  : NODE_NONE;
}

const OpDef op_iota = {
    .name = "iota", .doc = "0, 1, 2, ... along axis", .attrs = iota_attrs, .infer = iota_infer,
    .zero_grad = true, .ref = iota_ref, .lower = LOWER_INDEX, .scalar = SC_CAST, .cost = 1,
    .cases = iota_cases,
};

/* ---- one_hot ---- */

static const AttrDecl one_hot_attrs[] = {
    { .name = "depth", .kind = ATTR_INT, .required = true },
    { .name = "dtype", .kind = ATTR_DTYPE, .i = DT_F32 },
    { 0 },
};

static bool one_hot_infer(Infer *q)
{
    if (!rule_integer(q, 0) || !rule_rank(q, infer_shape(q, 0)->rank + 1) ||
        !rule_range(q, "depth", 0, INT64_MAX)) /* C1-C3 */
        return false;
    rule_like(q, 0);
    q->shape.dim[q->shape.rank++] = dim_of(q->attrs[0].i);
    q->dtype = (Dtype)q->attrs[1].i;
    return rule_result(q);
}

static void one_hot_ref(Ref *q)
{
    int64_t depth = node_int(q->g, q->node, "depth");
    for (int64_t i = 0; i < q->in->count; i++)
        if (q->in->i[i] >= 0 && q->in->i[i] < depth)
            element_set(q->out, i * depth + q->in->i[i], 1);
}

/* True where the position along axis is the index, which has an extent of 1 there. Compared in a
 * type that holds both. */
static NodeId is_position(Graph *g, NodeId index, uint32_t axis, const Shape *shape)
{
    Dtype t = graph_dtype(g, index),
          wide = dtype_size(t) == 8 || shape->dim[axis].n > INT32_MAX ? DT_I64 : DT_I32;
    wide = t == DT_U32 ? DT_I64 : wide;
    Shape s = *shape;
    NodeId position = b_iota(g, &s, axis, wide);
    return b_binary(g, OP_eq, position, b_broadcast(g, b_cast(g, index, wide), &s));
}

static NodeId one_hot_expand(Graph *g, NodeId node, const NodeId *in)
{
    uint32_t axis = graph_shape(g, node)->rank - 1;
    Dtype dtype = graph_dtype(g, node);
    return b_cast(g, is_position(g, b_unsqueeze(g, in[0], axis), axis, graph_shape(g, node)),
                  dtype);
}

static NodeId one_hot_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        Dtype index, dtype;
        uint32_t rank;
        int64_t dims[2], depth;
    } t[] = {
        { DT_I32, DT_F32, 1, { 7 }, 5 },   { DT_I64, DT_F64, 2, { 3, 5 }, 3 },
        { DT_U8, DT_F32, 1, { -1 }, 300 }, { DT_I32, DT_BOOL, 0, { 0 }, 7 },
        { DT_I32, DT_I32, 1, { 0 }, 4 },   { DT_U32, DT_I64, 1, { 5 }, 1 },
    };
    if (i >= sizeof t / sizeof *t)
        return NODE_NONE;
    double lo = dtype_is_signed(t[i].index) ? -2 : 0;
    NodeId x = case_input(g, r, t[i].index, t[i].rank, t[i].dims, lo, 6, false); /* also outside */
    return graph_emit(g, OP_one_hot, &x, 1,
                      (AttrValue[]){ attr_i(t[i].depth), attr_dtype(t[i].dtype) }, 2);
}

const OpDef op_one_hot = {
    .name = "one_hot", .doc = "1 at the index along a new last axis, else 0", .min_in = 1,
    .max_in = 1, .attrs = one_hot_attrs, .infer = one_hot_infer, .zero_grad = true,
    .ref = one_hot_ref, .expand = one_hot_expand, .lower = LOWER_EXPAND, .cases = one_hot_cases,
};

/* ---- gather and its adjoint ---- */

static const AttrDecl axis_attrs[] = { { .name = "axis", .kind = ATTR_INT, .required = true },
                                       { 0 } };

/* Attributes of the adjoints: the extent of what was read, and k where it is k*B. */
static const AttrDecl scatter_attrs[] = {
    { .name = "axis", .kind = ATTR_INT, .required = true },
    { .name = "extent", .kind = ATTR_INT, .required = true },
    { .name = "k", .kind = ATTR_INT },
    { 0 },
};

static bool gather_infer(Infer *q)
{
    if (!rule_integer(q, 1) || !rule_axis(q, "axis", 0)) /* C1, C2 */
        return false;
    const Shape *x = infer_shape(q, 0), *index = infer_shape(q, 1);
    uint32_t axis = (uint32_t)q->attrs[0].i, rank = x->rank - 1 + index->rank;
    if (!rule_rank(q, rank)) /* C3 */
        return false;
    q->dtype = infer_dtype(q, 0);
    q->shape.rank = rank;
    for (uint32_t i = 0; i < rank; i++)
        q->shape.dim[i] = i < axis                 ? x->dim[i]
                          : i < axis + index->rank ? index->dim[i - axis]
                                                   : x->dim[i + 1 - index->rank];
    return rule_result(q);
}

/* Calls `visit` with each of `wide`'s elements: wide's shape is narrow's with the axis replaced by
 * index's axes. `from` is the place in narrow, or -1 where the index is outside. */
static void each_indexed(const Value *wide, const Value *narrow, const Value *index, int64_t axis,
                         void (*visit)(Ref *, int64_t, int64_t), Ref *q)
{
    int64_t at[MAX_RANK] = { 0 }, from[MAX_RANK] = { 0 }, o = 0;
    if (!wide->count)
        return;
    do {
        int64_t place = index->i[index_offset(index, at + axis)];
        for (uint32_t i = 0; i < narrow->rank; i++)
            from[i] = i < axis ? at[i] : i == axis ? place : at[i - 1 + index->rank];
        visit(q, o++, place >= 0 && place < narrow->dim[axis] ? index_offset(narrow, from) : -1);
    } while (index_next(wide, at));
}

static void visit_read(Ref *q, int64_t o, int64_t from)
{
    if (from >= 0)
        element_copy(q->out, o, q->in, from);
}

static void visit_add(Ref *q, int64_t o, int64_t to)
{
    if (to < 0)
        return;
    if (dtype_is_float(q->out->dtype))
        q->out->f[to] += q->in[1].f[o];
    else
        q->out->i[to] =
            scalar_int(SC_ADD, q->out->dtype, (int64_t[]){ q->out->i[to], q->in[1].i[o] });
}

static void gather_ref(Ref *q)
{
    each_indexed(q->out, &q->in[0], &q->in[1], node_int(q->g, q->node, "axis"), visit_read, q);
}

static void scatter_ref(Ref *q)
{
    each_indexed(&q->in[1], q->out, &q->in[0], node_int(q->g, q->node, "axis"), visit_add, q);
}

static NodeId emit_scatter(Graph *g, Op op, NodeId index, NodeId updates, int64_t axis, Dim extent)
{
    AttrValue attrs[] = { attr_i(axis), attr_i(extent.n), attr_i(extent.k) };
    return graph_emit(g, op, (NodeId[]){ index, updates }, 2, attrs, 3);
}

static void gather_grad(Grad *q)
{
    int64_t axis = node_int(q->g, q->node, "axis");
    if (q->needs(q, 0))
        q->add(q, 0,
               emit_scatter(q->g, OP_scatter_add, q->in[1], q->dy, axis,
                            graph_shape(q->g, q->in[0])->dim[axis]));
}

/* The extent of a scatter's result. */
static bool scatter_extent(Infer *q, Dim *out_dim)
{
    int64_t extent;
    *out_dim = (Dim){ q->attrs[1].i, q->attrs[2].i };
    if (!rule_range(q, "extent", 0, INT64_MAX) || !rule_range(q, "k", 0, INT64_MAX))
        return false;
    return !out_dim->k ||
           (!__builtin_mul_overflow(out_dim->k, q->g->batch_max, &extent) &&
            extent == out_dim->n) ||
           infer_fail(q, DIAG_E0315, "%s needs `extent` to be k*B", rule_name(q));
}

static bool scatter_infer(Infer *q)
{
    Dim extent;
    if (!rule_integer(q, 0) || !rule_number(q, 1) || !scatter_extent(q, &extent)) /* C1-C3 */
        return false;
    const Shape *index = infer_shape(q, 0), *updates = infer_shape(q, 1);
    uint32_t rank = updates->rank + 1 - index->rank;
    if (updates->rank < index->rank || q->attrs[0].i < 0 || q->attrs[0].i >= rank) /* C4 */
        return infer_fail(q, DIAG_E0307, "scatter_add of %s at %s has no axis %lld",
                          rule_type(q, 1), rule_type(q, 0), (long long)q->attrs[0].i);
    uint32_t axis = (uint32_t)q->attrs[0].i;
    if (!rule_rank(q, rank))
        return false;
    for (uint32_t i = 0; i < index->rank; i++)
        if (!dim_equal(updates->dim[axis + i],
                       index->dim[i])) /* C5: updates has index's axes at the axis */
            return infer_fail(q, DIAG_E0306,
                              "scatter_add along axis %u: %s does not fit the indices %s", axis,
                              rule_type(q, 1), rule_type(q, 0));
    q->dtype = infer_dtype(q, 1);
    q->shape.rank = rank;
    for (uint32_t i = 0; i < rank; i++)
        q->shape.dim[i] = i < axis    ? updates->dim[i]
                          : i == axis ? extent
                                      : updates->dim[i - 1 + index->rank];
    return rule_result(q);
}

static void scatter_grad(Grad *q)
{
    AttrValue axis = attr_i(node_int(q->g, q->node, "axis"));
    if (q->needs(q, 1))
        q->add(q, 1, graph_emit(q->g, OP_gather, (NodeId[]){ q->dy, q->in[0] }, 2, &axis, 1));
}

/* ---- take_along and its adjoint ---- */

/* a and b have equal axes but for one. */
static bool equal_but(Infer *q, uint32_t i, uint32_t j, uint32_t axis)
{
    const Shape *a = infer_shape(q, i), *b = infer_shape(q, j);
    bool fits = a->rank == b->rank;
    for (uint32_t d = 0; fits && d < a->rank; d++)
        fits = d == axis || dim_equal(a->dim[d], b->dim[d]);
    return fits || infer_fail(q, DIAG_E0306, "%s along axis %u of %s and %s: the other axes differ",
                              rule_name(q), axis, rule_type(q, i), rule_type(q, j));
}

static bool take_along_infer(Infer *q)
{
    if (!rule_integer(q, 1) || !rule_axis(q, "axis", 0) ||
        !equal_but(q, 0, 1, (uint32_t)q->attrs[0].i)) /* C1-C3 */
        return false;
    rule_like(q, 1);
    q->dtype = infer_dtype(q, 0);
    return true;
}

static bool scatter_along_infer(Infer *q)
{
    Dim extent;
    if (!rule_integer(q, 0) || !rule_number(q, 1) || !rule_axis(q, "axis", 1) ||
        !scatter_extent(q, &extent) || !rule_same_shape(q, 0, 1)) /* C1-C5 */
        return false;
    rule_like(q, 1);
    q->shape.dim[q->attrs[0].i] = extent;
    return rule_result(q);
}

static void each_along(const Value *index, const Value *x, int64_t axis,
                       void (*visit)(Ref *, int64_t, int64_t), Ref *q)
{
    int64_t at[MAX_RANK] = { 0 }, from[MAX_RANK], o = 0;
    if (!index->count)
        return;
    do {
        memcpy(from, at, sizeof from);
        from[axis] = index->i[o];
        visit(q, o, from[axis] >= 0 && from[axis] < x->dim[axis] ? index_offset(x, from) : -1);
        o++;
    } while (index_next(index, at));
}

static void take_along_ref(Ref *q)
{
    each_along(&q->in[1], &q->in[0], node_int(q->g, q->node, "axis"), visit_read, q);
}

static void scatter_along_ref(Ref *q)
{
    each_along(&q->in[0], q->out, node_int(q->g, q->node, "axis"), visit_add, q);
}

/* One index a row: every element of x compares its position with it, which fuses with whatever made
 * dy. */
static void take_along_grad(Grad *q)
{
    Graph *g = q->g;
    uint32_t axis = (uint32_t)node_int(g, q->node, "axis");
    Shape x = *graph_shape(g, q->in[0]);
    Dim extent = graph_shape(g, q->in[1])->dim[axis];
    if (!q->needs(q, 0))
        return;
    if (extent.n == 1 && !extent.k)
        q->add(q, 0,
               b_select(g, is_position(g, q->in[1], axis, &x), b_broadcast(g, q->dy, &x),
                        b_like(g, q->in[0], 0)));
    else
        q->add(q, 0, emit_scatter(g, OP_scatter_add_along, q->in[1], q->dy, axis, x.dim[axis]));
}

static void scatter_along_grad(Grad *q)
{
    AttrValue axis = attr_i(node_int(q->g, q->node, "axis"));
    if (q->needs(q, 1))
        q->add(q, 1, graph_emit(q->g, OP_take_along, (NodeId[]){ q->dy, q->in[0] }, 2, &axis, 1));
}

/* ---- cases: all indices are inside; what kernels report outside has tests of its own ---- */

static const struct {
    uint32_t rank, axis, index_rank;
    int64_t dims[3], index[2];
} gathers[] = {
    { 2, 0, 1, { 7, 3 }, { 5 } },    { 2, 0, 2, { 11, 4 }, { 3, 2 } },
    { 2, 1, 1, { 3, 5 }, { 4 } },    { 1, 0, 0, { 13 }, { 0 } },
    { 2, 0, 1, { 5, 3 }, { -1 } },   { 2, 1, 1, { -1, 7 }, { 3 } },
    { 3, 1, 1, { 2, 5, 3 }, { 1 } }, { 2, 0, 1, { 4, 2 }, { 0 } },
};
enum { GATHERS = sizeof gathers / sizeof *gathers };

static NodeId gather_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32 };
    if (i >= 3 * GATHERS)
        return NODE_NONE;
    Dtype t = types[i / GATHERS], index_type = i % 2 ? DT_I32 : DT_I64;
    i %= GATHERS;
    NodeId x = case_input(g, r, t, gathers[i].rank, gathers[i].dims, -9, 9, false);
    NodeId index = case_input(g, r, index_type, gathers[i].index_rank, gathers[i].index, 0,
                              (double)gathers[i].dims[gathers[i].axis] - 1, false);
    AttrValue axis = attr_i(gathers[i].axis);
    return graph_emit(g, OP_gather, (NodeId[]){ x, index }, 2, &axis, 1);
}

static NodeId scatter_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32 };
    if (i >= 3 * GATHERS)
        return NODE_NONE;
    Dtype t = types[i / GATHERS];
    i %= GATHERS;
    uint32_t rank = 0, axis = gathers[i].axis;
    int64_t dims[4] = { 0 };
    for (uint32_t a = 0; a < gathers[i].rank; a++) {
        if (a != axis)
            dims[rank++] = gathers[i].dims[a];
        for (uint32_t j = 0; a == axis && j < gathers[i].index_rank; j++)
            dims[rank++] = gathers[i].index[j];
    }
    NodeId index = case_input(g, r, DT_I32, gathers[i].index_rank, gathers[i].index, 0,
                              (double)gathers[i].dims[axis] - 1, false);
    return emit_scatter(g, OP_scatter_add, index, case_input(g, r, t, rank, dims, -3, 3, false),
                        axis, dim_of(gathers[i].dims[axis]));
}

static const struct {
    uint32_t rank, axis;
    int64_t dims[3], extent;
} alongs[] = {
    { 1, 0, { 7 }, 3 },    { 2, 1, { 5, 11 }, 1 },   { 2, 1, { -1, 10 }, 1 },
    { 2, 0, { 5, 3 }, 4 }, { 3, 1, { 2, 3, 5 }, 2 }, { 2, 1, { -1, 4 }, 3 },
    { 2, 1, { 3, 1 }, 1 },
};
enum { ALONGS = sizeof alongs / sizeof *alongs };

static NodeId take_along_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32 };
    if (i >= 3 * ALONGS)
        return NODE_NONE;
    Dtype t = types[i / ALONGS], index_type = i % 2 ? DT_I32 : DT_U8;
    i %= ALONGS;
    uint32_t axis = alongs[i].axis;
    int64_t dims[3];
    memcpy(dims, alongs[i].dims, sizeof dims);
    NodeId x = case_input(g, r, t, alongs[i].rank, dims, -9, 9, false);
    dims[axis] = alongs[i].extent;
    NodeId index = case_input(g, r, index_type, alongs[i].rank, dims, 0,
                              (double)alongs[i].dims[axis] - 1, false);
    AttrValue attr = attr_i(axis);
    return graph_emit(g, OP_take_along, (NodeId[]){ x, index }, 2, &attr, 1);
}

static NodeId scatter_along_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32 };
    if (i >= 3 * ALONGS)
        return NODE_NONE;
    Dtype t = types[i / ALONGS];
    i %= ALONGS;
    uint32_t axis = alongs[i].axis;
    int64_t dims[3];
    memcpy(dims, alongs[i].dims, sizeof dims);
    dims[axis] = alongs[i].extent;
    NodeId index =
        case_input(g, r, DT_I64, alongs[i].rank, dims, 0, (double)alongs[i].dims[axis] - 1, false);
    NodeId updates = case_input(g, r, t, alongs[i].rank, dims, -3, 3, false);
    return emit_scatter(g, OP_scatter_add_along, index, updates, axis,
                        dim_of(alongs[i].dims[axis]));
}

const OpDef op_gather = {
    .name = "gather", .doc = "x at the indices along axis", .min_in = 2, .max_in = 2,
    .attrs = axis_attrs, .infer = gather_infer, .grad = gather_grad, .ref = gather_ref,
    .lower = LOWER_GATHER, .cost = 4, .cases = gather_cases,
};
const OpDef op_take_along = {
    .name = "take_along", .doc = "x at the index of each row along axis", .min_in = 2, .max_in = 2,
    .attrs = axis_attrs, .infer = take_along_infer, .grad = take_along_grad, .ref = take_along_ref,
    .lower = LOWER_GATHER, .cost = 4, .cases = take_along_cases,
};
const OpDef op_scatter_add = {
    .name = "scatter_add", .doc = "zeros plus updates at the indices along axis: adjoint of gather",
    .min_in = 2, .max_in = 2, .attrs = scatter_attrs, .infer = scatter_infer, .grad = scatter_grad,
    .ref = scatter_ref, .lower = LOWER_SCATTER, .cases = scatter_cases,
};
const OpDef op_scatter_add_along = {
    .name = "scatter_add_along",
    .doc = "zeros plus updates at the index of each row: adjoint of take_along", .min_in = 2,
    .max_in = 2, .attrs = scatter_attrs, .infer = scatter_along_infer, .grad = scatter_along_grad,
    .ref = scatter_along_ref, .lower = LOWER_SCATTER, .cases = scatter_along_cases,
};
