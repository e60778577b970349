/* move.c: the same elements elsewhere: transpose, broadcast, flip.
 *
 * None of these computes: a kernel reads through them. `move` rewrites an index of the result,
 * affine in the kernel's axes, into an index of the operand. Joining them into copies first, as a
 * library of tensors would, costs a pass over memory each. */
#include "ir/ops/rules.h"

#include <string.h>

/* ---- transpose ---- */

static const AttrDecl transpose_attrs[] = { { .name = "perm", .kind = ATTR_INTS, .required = true },
                                            { 0 } };

static bool transpose_infer(Infer *q)
{
    const Shape *x = infer_shape(q, 0);
    const AttrValue *perm = &q->attrs[0];
    if (perm->count != x->rank)
        return infer_fail(q, DIAG_E0320, "transpose of %s names %u axes", rule_type(q, 0),
                          perm->count); /* C1 */
    if (!rule_axes(q, "perm", 0))       /* C2: each axis once */
        return false;
    rule_like(q, 0);
    for (uint32_t i = 0; i < x->rank; i++)
        q->shape.dim[i] = x->dim[perm->ints[i]];
    return true;
}

static void transpose_grad(Grad *q)
{
    const AttrValue *perm = graph_attr(q->g, q->node, "perm");
    int64_t back[MAX_RANK];
    for (uint32_t i = 0; i < perm->count; i++)
        back[perm->ints[i]] = i;
    q->add(q, 0, b_transpose(q->g, q->dy, back));
}

static bool transpose_source(const Ref *q, const int64_t *at, int64_t *source)
{
    const AttrValue *perm = graph_attr(q->g, q->node, "perm");
    for (uint32_t i = 0; i < perm->count; i++)
        source[perm->ints[i]] = at[i];
    return true;
}

static void transpose_ref(Ref *q)
{
    ref_move(q, transpose_source, 0);
}

static bool transpose_move(const Graph *g, NodeId node, IndexMap *map)
{
    const AttrValue *perm = graph_attr(g, node, "perm");
    Affine at[MAX_RANK];
    for (uint32_t i = 0; i < perm->count; i++)
        at[perm->ints[i]] = map->at[i];
    memcpy(map->at, at, perm->count * sizeof *at);
    return true;
}

/* The identity; two in a row; and where only axes of extent 1 change places, a reshape. */
FOLD(transpose_fold)
{
    FOLD_UNUSED;
    const Shape *x = graph_shape(g, in[0]);
    const AttrValue *perm = &attrs[0];
    int64_t last = -1;
    bool ordered = true;
    for (uint32_t i = 0; i < perm->count; i++) {
        Dim d = x->dim[perm->ints[i]];
        if (d.n == 1 && !d.k)
            continue;
        ordered &= perm->ints[i] > last;
        last = perm->ints[i];
    }
    if (ordered)
        return b_reshape(g, in[0], shape);
    if (graph_node(g, in[0])->op != OP_transpose)
        return NODE_NONE;
    const AttrValue *inner = graph_attr(g, in[0], "perm");
    int64_t both[MAX_RANK];
    for (uint32_t i = 0; i < perm->count; i++)
        both[i] = inner->ints[perm->ints[i]];
    return b_transpose(g, graph_operand(g, in[0], 0), both);
}

/* ---- broadcast ---- */

static const AttrDecl broadcast_attrs[] = {
    { .name = "shape", .kind = ATTR_SHAPE, .required = true }, { 0 }
};

static bool broadcast_infer(Infer *q)
{
    const Shape *x = infer_shape(q, 0), *y = q->attrs[0].shape;
    Arena *a = q->g->unit->arena;
    q->dtype = infer_dtype(q, 0);
    q->shape = *y;
    if (x->rank != y->rank) /* C1: equal rank */
        return infer_fail(q, DIAG_E0313, "cannot repeat %s as %s: the number of axes differs",
                          rule_type(q, 0), shape_text(a, y));
    for (uint32_t i = 0; i < x->rank; i++)
        if (!dim_equal(x->dim[i], y->dim[i]) &&
            (x->dim[i].n != 1 || x->dim[i].k)) /* C2: only 1 is repeated */
            return infer_fail(q, DIAG_E0313, "cannot repeat %s as %s: axis %u is not 1",
                              rule_type(q, 0), shape_text(a, y), i);
    return rule_result(q);
}

static void broadcast_grad(Grad *q)
{
    const Shape *x = graph_shape(q->g, q->in[0]), *y = graph_shape(q->g, q->node);
    int64_t axes[MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->rank; i++)
        if (!dim_equal(x->dim[i], y->dim[i]))
            axes[n++] = i;
    q->add(q, 0, b_reduce(q->g, OP_reduce_sum, q->dy, axes, n, true));
}

static bool broadcast_source(const Ref *q, const int64_t *at, int64_t *source)
{
    for (uint32_t i = 0; i < q->in->rank; i++)
        source[i] = q->in->dim[i] == 1 ? 0 : at[i];
    return true;
}

static void broadcast_ref(Ref *q)
{
    ref_move(q, broadcast_source, 0);
}

static bool broadcast_move(const Graph *g, NodeId node, IndexMap *map)
{
    const Shape *x = graph_shape(g, graph_operand(g, node, 0)), *y = graph_shape(g, node);
    for (uint32_t i = 0; i < x->rank; i++)
        if (!dim_equal(x->dim[i], y->dim[i]))
            map->at[i] = affine_const(0);
    return true;
}

FOLD(broadcast_fold)
{
    FOLD_UNUSED;
    if (shape_equal(graph_shape(g, in[0]), shape))
        return in[0];
    return graph_node(g, in[0])->op == OP_broadcast
               ? b_broadcast(g, graph_operand(g, in[0], 0), shape)
               : NODE_NONE;
}

/* ---- flip ---- */

static const AttrDecl flip_attrs[] = { { .name = "axes", .kind = ATTR_INTS, .required = true },
                                       { 0 } };

static bool flip_infer(Infer *q)
{
    if (!rule_axes(q, "axes", 0)) /* C1 */
        return false;
    for (uint32_t i = 0; i < q->attrs[0].count; i++)
        if (!rule_pinned(q, 0, (uint32_t)q->attrs[0].ints[i])) /* C2 */
            return false;
    return rule_like(q, 0);
}

static void flip_grad(Grad *q)
{
    const AttrValue *axes = graph_attr(q->g, q->node, "axes");
    q->add(q, 0, b_flip(q->g, q->dy, axes->ints, axes->count));
}

static bool flip_source(const Ref *q, const int64_t *at, int64_t *source)
{
    const AttrValue *axes = graph_attr(q->g, q->node, "axes");
    for (uint32_t i = 0; i < q->in->rank; i++)
        source[i] = axes_has(axes, i) ? q->in->dim[i] - 1 - at[i] : at[i];
    return true;
}

static void flip_ref(Ref *q)
{
    ref_move(q, flip_source, 0);
}

static bool flip_move(const Graph *g, NodeId node, IndexMap *map)
{
    const AttrValue *axes = graph_attr(g, node, "axes");
    const Shape *x = graph_shape(g, node);
    for (uint32_t i = 0; i < axes->count; i++) {
        Affine *at = &map->at[axes->ints[i]];
        *at = affine_add(affine_scale(*at, -1), affine_const(x->dim[axes->ints[i]].n - 1));
    }
    return true;
}

/* Axes of one element have no order. */
FOLD(flip_fold)
{
    FOLD_UNUSED;
    int64_t rest[MAX_RANK];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < attrs[0].count; i++)
        if (shape->dim[attrs[0].ints[i]].n > 1)
            rest[kept++] = attrs[0].ints[i];
    if (!kept)
        return in[0];
    if (graph_node(g, in[0])->op == OP_flip) {
        const AttrValue *inner = graph_attr(g, in[0], "axes");
        if (inner->count == kept && !memcmp(inner->ints, rest, kept * sizeof *rest))
            return graph_operand(g, in[0], 0);
    }
    return kept < attrs[0].count ? b_flip(g, in[0], rest, kept) : NODE_NONE;
}

/* ---- cases: rank 0 to 4, extents 0 and 1, primes, an axis of the batch ---- */

static NodeId transpose_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t rank;
        int64_t dims[4], perm[4];
    } t[] = {
        { 2, { 3, 5 }, { 1, 0 } },
        { 3, { 2, 3, 7 }, { 2, 0, 1 } },
        { 4, { 2, 1, 3, 5 }, { 0, 2, 1, 3 } },
        { 3, { -1, 3, 2 }, { 1, 0, 2 } },
        { 2, { 0, 4 }, { 1, 0 } },
        { 4, { -1, 5, 2, 3 }, { 0, 2, 1, 3 } },
    };
    enum { COUNT = sizeof t / sizeof *t };
    return i < 4 * COUNT
               ? b_transpose(g, case_of_kind(g, r, i / COUNT, t[i % COUNT].rank, t[i % COUNT].dims),
                             t[i % COUNT].perm)
               : NODE_NONE;
}

static NodeId broadcast_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t rank;
        int64_t dims[3], wide[3];
    } t[] = {
        { 1, { 1 }, { 7 } },         { 2, { 1, 3 }, { 5, 3 } },
        { 2, { 3, 1 }, { 3, 17 } },  { 3, { 2, 1, 1 }, { 2, 3, 5 } },
        { 2, { 1, 4 }, { 0, 4 } },   { 2, { 1, 3 }, { -1, 3 } },
        { 2, { -1, 1 }, { -1, 5 } },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 3 * COUNT)
        return NODE_NONE;
    Shape wide = { .rank = t[i % COUNT].rank };
    for (uint32_t a = 0; a < wide.rank; a++) {
        int64_t d = t[i % COUNT].wide[a];
        wide.dim[a] = d < 0 ? (Dim){ -d * g->batch_max, -d } : dim_of(d);
    }
    return b_broadcast(g, case_of_kind(g, r, i / COUNT, wide.rank, t[i % COUNT].dims), &wide);
}

static NodeId flip_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t rank;
        int64_t dims[3], axes[2];
        uint32_t n;
    } t[] = {
        { 1, { 7 }, { 0 }, 1 },     { 2, { 3, 5 }, { 1 }, 1 }, { 3, { 2, 3, 5 }, { 0, 2 }, 2 },
        { 2, { -1, 5 }, { 1 }, 1 }, { 2, { 0, 3 }, { 1 }, 1 },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 4 * COUNT)
        return NODE_NONE;
    NodeId x = case_of_kind(g, r, i / COUNT, t[i % COUNT].rank, t[i % COUNT].dims);
    return b_flip(g, x, t[i % COUNT].axes, t[i % COUNT].n);
}

/* ---- definitions ---- */

const OpDef op_transpose = {
    .name = "transpose", .doc = "axis i of the result is axis perm[i] of x",
    MOVE(transpose),
};
const OpDef op_broadcast = {
    .name = "broadcast", .doc = "x repeated along its axes of extent 1",
    MOVE(broadcast),
};
const OpDef op_flip = {
    .name = "flip", .doc = "x backwards along axes", MOVE(flip),
};
