/* reshape.c: other axes over the same row-major order.
 *
 * Both shapes fall into groups of axes with equal products; within a group an index is flattened
 * and divided again. A kernel index divides by n only where each of its axes either is a multiple
 * of n or stays below n together with the others; where an axis of the kernel runs across a
 * boundary, it has to be split there first, which reshape_move asks for. */
#include "ir/ops/rules.h"

#include <string.h>

/* The product of some extents: `m`, times B to the power `e`. */
typedef struct {
    int64_t m;
    uint32_t e;
} Product;

static bool product_take(Product *p, Dim d)
{
    p->e += d.k != 0;
    return !__builtin_mul_overflow(p->m, d.k ? d.k : d.n, &p->m);
}

/* In a group with a batch axis, only axes of extent 1 come before it. */
static bool batch_first(const Shape *s, uint32_t first, uint32_t last)
{
    bool outer = true;
    for (uint32_t i = first; i < last; i++) {
        if (s->dim[i].k && !outer)
            return false;
        outer &= !s->dim[i].k && s->dim[i].n == 1;
    }
    return true;
}

bool shape_groups(const Shape *x, const Shape *y, AxisGroup *out_groups, uint32_t *out_n)
{
    int64_t elements;
    uint32_t i = 0, j = 0, n = 0;
    if (out_n)
        *out_n = 0;
    if (shape_elements(x, &elements) && elements == 0)
        return true;
    while (i < x->rank || j < y->rank) {
        AxisGroup group = { i, i, j, j };
        Product p = { 1, 0 }, q = { 1, 0 };
        bool fits = true;
        do {
            bool from_x =
                j == y->rank || (i < x->rank && (p.m < q.m || (p.m == q.m && p.e <= q.e)));
            fits = from_x ? i < x->rank && product_take(&p, x->dim[i++])
                          : product_take(&q, y->dim[j++]);
        } while (fits && (p.m != q.m || p.e != q.e));
        group.x1 = i;
        group.y1 = j;
        if (!fits || p.e > 1 || !batch_first(x, group.x0, i) || !batch_first(y, group.y0, j))
            return false;
        if (out_groups)
            out_groups[n] = group;
        n++;
    }
    if (out_n)
        *out_n = n;
    return true;
}

static const AttrDecl reshape_attrs[] = { { .name = "shape", .kind = ATTR_SHAPE, .required = true },
                                          { 0 } };

/* C1 as many elements before as after   C2 at every batch too: an axis that depends on B stays
 * outermost of the axes it is split from or merged with, because strides are those of the maximal
 * batch. */
static bool reshape_infer(Infer *q)
{
    const Shape *x = infer_shape(q, 0), *y = q->attrs[0].shape;
    Arena *a = q->g->unit->arena;
    int64_t before, after;
    q->dtype = infer_dtype(q, 0);
    q->shape = *y;
    if (!rule_result(q))
        return false;
    if (!shape_elements(x, &before) || !shape_elements(y, &after) || before != after)
        return infer_fail(q, DIAG_E0311, "reshape of %s to %s: the number of elements differs",
                          rule_type(q, 0), y->rank ? shape_text(a, y) : "a scalar"); /* C1 */
    if (!shape_groups(x, y, NULL, NULL))
        return infer_fail(
            q, DIAG_E0310,
            "reshape of %s to %s needs the batch to be pinned: B would not stay outermost",
            rule_type(q, 0), y->rank ? shape_text(a, y) : "a scalar"); /* C2 */
    return true;
}

static void reshape_grad(Grad *q)
{
    q->add(q, 0, b_reshape(q->g, q->dy, graph_shape(q->g, q->in[0])));
}

static void reshape_ref(Ref *q)
{
    for (int64_t i = 0; i < q->out->count; i++)
        element_copy(q->out, i, q->in, i);
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* flat = quotient * by + remainder with 0 <= remainder < by for every index of the kernel; or
 * false, with a split that would help. */
static bool divide_affine(IndexMap *map, const Affine *flat, int64_t by, Affine *quotient,
                          Affine *remainder)
{
    int64_t lo = flat->c, hi = flat->c;
    *quotient = *remainder = affine_const(0);
    for (uint32_t a = 0; a < map->n_axes; a++) {
        int64_t c = flat->coef[a], last = map->axes[a].extent.n - 1;
        if (c % by == 0) {
            quotient->coef[a] = c / by;
            continue;
        }
        remainder->coef[a] = c;
        if (last > 0)
            *(c > 0 ? &hi : &lo) += c * last;
    }
    quotient->c = floor_divide(lo, by);
    remainder->c = flat->c - quotient->c * by;
    if (floor_divide(hi, by) == quotient->c)
        return true;
    for (uint32_t a = 0; a < map->n_axes; a++) {
        int64_t c = remainder->coef[a] < 0 ? -remainder->coef[a] : remainder->coef[a];
        Dim extent = map->axes[a].extent;
        if (!c || by % c || by / c >= extent.n || (extent.k ? extent.k : extent.n) % (by / c))
            continue;
        map->split_axis = (int32_t)a;
        map->split_inner = by / c;
        break;
    }
    return false;
}

static bool is_one(Dim d)
{
    return d.n == 1 && !d.k;
}

/* The flat index of one group, divided among the operand's axes x0..x1. Axes of extent 1 have the
 * index 0. */
static bool divide_group(IndexMap *map, const Shape *x, AxisGroup group, Affine flat, Affine *at)
{
    int64_t inner = 1;
    uint32_t left = 0;
    for (uint32_t i = group.x0; i < group.x1; i++) {
        inner *= x->dim[i].n;
        left += !is_one(x->dim[i]);
    }
    for (uint32_t i = group.x0; i < group.x1; i++) {
        at[i] = affine_const(0);
        if (is_one(x->dim[i]))
            continue;
        inner /= x->dim[i].n;
        if (--left == 0) {
            at[i] = flat;
            continue;
        }
        Affine rest;
        if (!divide_affine(map, &flat, inner, &at[i], &rest))
            return false;
        flat = rest;
    }
    return true;
}

static bool reshape_move(const Graph *g, NodeId node, IndexMap *map)
{
    const Shape *x = graph_shape(g, graph_operand(g, node, 0)), *y = graph_shape(g, node);
    AxisGroup groups[2 * MAX_RANK];
    Affine at[MAX_RANK] = { 0 };
    uint32_t n;
    map->split_axis = -1;
    shape_groups(x, y, groups, &n);
    for (uint32_t i = 0; i < n; i++) {
        Affine flat = affine_const(0);
        for (uint32_t j = groups[i].y0; j < groups[i].y1; j++)
            flat = affine_add(affine_scale(flat, y->dim[j].n),
                              is_one(y->dim[j]) ? affine_const(0) : map->at[j]);
        if (!divide_group(map, x, groups[i], flat, at))
            return false;
    }
    memcpy(map->at, at, sizeof at);
    map->rank = x->rank;
    return true;
}

/* To the same shape; after another reshape. */
FOLD(reshape_fold)
{
    FOLD_UNUSED;
    if (shape_equal(graph_shape(g, in[0]), shape))
        return in[0];
    if (graph_node(g, in[0])->op != OP_reshape)
        return NODE_NONE;
    NodeId source = graph_operand(g, in[0], 0);
    return shape_groups(graph_shape(g, source), shape, NULL, NULL) ? b_reshape(g, source, shape)
                                                                   : NODE_NONE;
}

static NodeId reshape_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_BOOL };
    static const struct {
        uint32_t rank;
        int64_t dims[4];
        uint32_t new_rank;
        int64_t new_dims[4];
    } t[] = {
        { 0, { 0 }, 2, { 1, 1 } },         { 1, { 12 }, 2, { 3, 4 } },
        { 2, { 6, 4 }, 2, { 8, 3 } },      { 3, { 2, 3, 5 }, 1, { 30 } },
        { 2, { 7, 6 }, 3, { 7, 2, 3 } },   { 2, { 0, 3 }, 1, { 0 } },
        { 2, { -1, 6 }, 3, { -1, 2, 3 } }, { 2, { -1, 5 }, 1, { -5 } },
        { 1, { -6 }, 3, { -2, 3, 1 } },    { 3, { 2, 1, 5 }, 2, { 2, 5 } },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 4 * COUNT)
        return NODE_NONE;
    Dtype type = types[i / COUNT];
    i %= COUNT;
    Shape s = { .rank = t[i].new_rank };
    for (uint32_t a = 0; a < s.rank; a++) {
        int64_t d = t[i].new_dims[a];
        s.dim[a] = d < 0 ? (Dim){ -d * g->batch_max, -d } : dim_of(d);
    }
    return b_reshape(
        g, case_input(g, r, type, t[i].rank, t[i].dims, 0, type == DT_BOOL ? 1 : 50, false), &s);
}

const OpDef op_reshape = {
    .name = "reshape", .doc = "the elements of x in order, under another shape", .min_in = 1,
    .max_in = 1, .attrs = reshape_attrs, .infer = reshape_infer, .grad = reshape_grad,
    .ref = reshape_ref, .fold = reshape_fold, .lower = LOWER_MOVE, .move = reshape_move,
    .cases = reshape_cases,
};
