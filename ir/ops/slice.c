/* slice.c: part of an axis, and more than it: slice and pad, which are each other's adjoints.
 *
 * A pad between elements is said at once in pads and reshapes, because kernels read through affine
 * indices only, and dividing by the distance is none. */
#include "ir/ops/rules.h"

#include <math.h>

/* ---- slice ---- */

static const AttrDecl slice_attrs[] = {
    { .name = "begin", .kind = ATTR_INTS, .required = true },
    { .name = "end", .kind = ATTR_INTS, .required = true },
    { .name = "step", .kind = ATTR_INTS, .required = true },
    { 0 },
};

static bool slice_infer(Infer *q)
{
    const Shape *x = infer_shape(q, 0);
    const int64_t *begin = q->attrs[0].ints, *end = q->attrs[1].ints, *step = q->attrs[2].ints;
    if (!rule_list(q, "begin", x->rank, 0) || !rule_list(q, "end", x->rank, 0) ||
        !rule_list(q, "step", x->rank, 1)) /* C1 */
        return false;
    rule_like(q, 0);
    for (uint32_t i = 0; i < x->rank; i++) {
        Dim d = x->dim[i];
        if (begin[i] > end[i] || end[i] > d.n) /* C2: 0 <= begin <= end <= extent */
            return infer_fail(
                q, DIAG_E0314, "slice %lld..%lld of an axis of %lld elements (axis %u of %s)",
                (long long)begin[i], (long long)end[i], (long long)d.n, i, rule_type(q, 0));
        if (d.k && (begin[i] || end[i] != d.n || step[i] != 1)) /* C3: the batch only whole */
            return rule_pinned(q, 0, i);
        q->shape.dim[i] =
            d.k ? d : dim_of(end[i] > begin[i] ? (end[i] - begin[i] - 1) / step[i] + 1 : 0);
    }
    return true;
}

/* Zeros before, between and after. */
static void slice_grad(Grad *q)
{
    const Shape *x = graph_shape(q->g, q->in[0]), *y = graph_shape(q->g, q->node);
    const int64_t *begin = graph_attr(q->g, q->node, "begin")->ints,
                  *step = graph_attr(q->g, q->node, "step")->ints;
    int64_t low[MAX_RANK], high[MAX_RANK], interior[MAX_RANK];
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t n = y->dim[i].n, covered = n ? (n - 1) * step[i] + 1 : 0;
        low[i] = begin[i];
        interior[i] = n > 1 ? step[i] - 1 : 0;
        high[i] = x->dim[i].k ? 0 : x->dim[i].n - begin[i] - covered;
    }
    q->add(q, 0, b_pad(q->g, q->dy, low, high, interior, 0));
}

static bool slice_source(const Ref *q, const int64_t *at, int64_t *source)
{
    const int64_t *begin = graph_attr(q->g, q->node, "begin")->ints,
                  *step = graph_attr(q->g, q->node, "step")->ints;
    for (uint32_t i = 0; i < q->in->rank; i++)
        source[i] = begin[i] + at[i] * step[i];
    return true;
}

static void slice_ref(Ref *q)
{
    ref_move(q, slice_source, 0);
}

static bool slice_move(const Graph *g, NodeId node, IndexMap *map)
{
    const int64_t *begin = graph_attr(g, node, "begin")->ints,
                  *step = graph_attr(g, node, "step")->ints;
    for (uint32_t i = 0; i < map->rank; i++)
        map->at[i] = affine_add(affine_scale(map->at[i], step[i]), affine_const(begin[i]));
    return true;
}

/* The whole; a slice of a slice. */
FOLD(slice_fold)
{
    FOLD_UNUSED;
    if (shape_equal(graph_shape(g, in[0]), shape))
        return in[0];
    if (graph_node(g, in[0])->op != OP_slice)
        return NODE_NONE;
    const int64_t *begin = graph_attr(g, in[0], "begin")->ints,
                  *step = graph_attr(g, in[0], "step")->ints;
    int64_t from[MAX_RANK], to[MAX_RANK], by[MAX_RANK];
    NodeId source = graph_operand(g, in[0], 0);
    for (uint32_t i = 0; i < shape->rank; i++) {
        int64_t count = shape->dim[i].n;
        by[i] = count > 1 ? step[i] * attrs[2].ints[i] : 1;
        from[i] = count ? begin[i] + attrs[0].ints[i] * step[i] : 0;
        to[i] = count ? from[i] + (count - 1) * by[i] + 1 : 0;
    }
    return b_slice(g, source, from, to, by);
}

/* ---- pad ---- */

static const AttrDecl pad_attrs[] = {
    { .name = "low", .kind = ATTR_INTS, .required = true },
    { .name = "high", .kind = ATTR_INTS, .required = true },
    { .name = "interior", .kind = ATTR_INTS, .required = true },
    { .name = "value", .kind = ATTR_FLOAT },
    { 0 },
};

static bool pad_infer(Infer *q)
{
    const Shape *x = infer_shape(q, 0);
    if (!rule_list(q, "low", x->rank, 0) || !rule_list(q, "high", x->rank, 0) ||
        !rule_list(q, "interior", x->rank, 0)) /* C1 */
        return false;
    double value = q->attrs[3].f;
    if (!dtype_is_float(infer_dtype(q, 0)) &&
        !(fabs(value) < 0x1p53 && value == trunc(value))) /* C4: an integer among integers */
        return infer_fail(q, DIAG_E0315, "pad of %s with %g", rule_type(q, 0), value);
    rule_like(q, 0);
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t low = q->attrs[0].ints[i], high = q->attrs[1].ints[i], gap = q->attrs[2].ints[i],
                n = x->dim[i].n;
        if (x->dim[i].k && (low || high || gap)) /* C2: not along the batch */
            return rule_pinned(q, 0, i);
        if (gap && n > 1 && !rule_rank(q, x->rank + 1)) /* C5: an axis is left to spread with */
            return false;
        if ((n > 1 &&
             (__builtin_mul_overflow(n - 1, gap, &gap) || __builtin_add_overflow(n, gap, &n))) ||
            __builtin_add_overflow(n, low, &n) ||
            __builtin_add_overflow(n, high, &n)) /* C3: the extent can be counted */
            return infer_fail(q, DIAG_E0309, "pad of %s: an extent beyond 2^63", rule_type(q, 0));
        q->shape.dim[i].n = n;
    }
    return rule_result(q);
}

static void pad_grad(Grad *q)
{
    const Shape *x = graph_shape(q->g, q->in[0]), *y = graph_shape(q->g, q->node);
    int64_t end[MAX_RANK], step[MAX_RANK];
    const int64_t *low = graph_attr(q->g, q->node, "low")->ints,
                  *gap = graph_attr(q->g, q->node, "interior")->ints;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t n = x->dim[i].n;
        step[i] = gap[i] + 1;
        end[i] = y->dim[i].k ? y->dim[i].n : low[i] + (n ? (n - 1) * step[i] + 1 : 0);
    }
    q->add(q, 0, b_slice(q->g, q->dy, low, end, step));
}

static bool pad_source(const Ref *q, const int64_t *at, int64_t *source)
{
    const int64_t *low = graph_attr(q->g, q->node, "low")->ints,
                  *gap = graph_attr(q->g, q->node, "interior")->ints;
    for (uint32_t i = 0; i < q->in->rank; i++) {
        int64_t from = at[i] - low[i];
        if (from < 0 || from % (gap[i] + 1) || from / (gap[i] + 1) >= q->in->dim[i])
            return false;
        source[i] = from / (gap[i] + 1);
    }
    return true;
}

static void pad_ref(Ref *q)
{
    ref_move(q, pad_source, graph_attr(q->g, q->node, "value")->f);
}

/* The fill is this pad's: a pad around it, with another fill, has guards of its own and overrides
 * it where they fail. */
static bool pad_move(const Graph *g, NodeId node, IndexMap *map)
{
    const Shape *x = graph_shape(g, graph_operand(g, node, 0)), *y = graph_shape(g, node);
    const int64_t *low = graph_attr(g, node, "low")->ints;
    map->fill = graph_attr(g, node, "value")->f;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (x->dim[i].n == y->dim[i].n)
            continue;
        map->at[i] = affine_add(map->at[i], affine_const(-low[i]));
        vec_push(map->arena, &map->guards,
                 (KernelGuard){ .e = map->at[i], .lo = 0, .hi = x->dim[i] });
    }
    return true;
}

/* A pad inside: [n] as [n, 1], padded to [n, gap + 1], flat again, and cut; each step moves indices
 * affinely, which dividing by gap + 1 does not. */
static NodeId spread_axis(Graph *g, NodeId x, uint32_t axis, int64_t gap, double value)
{
    int64_t zero[MAX_RANK] = { 0 }, high[MAX_RANK] = { 0 };
    int64_t n = graph_shape(g, x)->dim[axis].n;
    NodeId wide = b_unsqueeze(g, x, axis + 1);
    high[axis + 1] = gap;
    wide = b_pad(g, wide, zero, high, zero, value);
    Shape flat = *graph_shape(g, x);
    flat.dim[axis].n = n * (gap + 1);
    return b_slice_axis(g, b_reshape(g, wide, &flat), axis, 0, n * (gap + 1) - gap);
}

FOLD(pad_fold)
{
    FOLD_UNUSED;
    if (shape_equal(graph_shape(g, in[0]), shape))
        return in[0];
    int64_t zero[MAX_RANK] = { 0 };
    NodeId x = in[0];
    bool spread = false;
    for (uint32_t i = 0; i < shape->rank; i++) {
        if (!attrs[2].ints[i])
            continue;
        spread = true;
        if (graph_shape(g, x)->dim[i].n > 1)
            x = spread_axis(g, x, i, attrs[2].ints[i], attrs[3].f);
    }
    return spread ? b_pad(g, x, attrs[0].ints, attrs[1].ints, zero, attrs[3].f) : NODE_NONE;
}

/* ---- cases ---- */

static NodeId slice_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t rank;
        int64_t dims[2], begin[2], end[2], step[2];
    } t[] = {
        { 1, { 11 }, { 3 }, { 8 }, { 1 } },
        { 1, { 11 }, { 0 }, { 11 }, { 2 } },
        { 2, { 5, 7 }, { 1, 2 }, { 5, 6 }, { 3, 1 } },
        { 1, { 4 }, { 2 }, { 2 }, { 1 } },
        { 2, { 3, 13 }, { 0, 1 }, { 3, 13 }, { 1, 5 } },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i == 3 * COUNT)
        return b_slice_axis(g, case_of_kind(g, r, 0, 2, (int64_t[]){ -1, 7 }), 1, 2, 6);
    if (i > 3 * COUNT)
        return NODE_NONE;
    NodeId x = case_of_kind(g, r, i / COUNT, t[i % COUNT].rank, t[i % COUNT].dims);
    return b_slice(g, x, t[i % COUNT].begin, t[i % COUNT].end, t[i % COUNT].step);
}

static NodeId pad_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t rank;
        int64_t dims[2], low[2], high[2], interior[2];
        double value;
    } t[] = {
        { 1, { 5 }, { 2 }, { 3 }, { 0 }, 0 },
        { 2, { 3, 7 }, { 1, 0 }, { 0, 2 }, { 0, 0 }, 1 },
        { 1, { 0 }, { 2 }, { 1 }, { 0 }, 0 },
        { 1, { 5 }, { 0 }, { 0 }, { 2 }, 0 },
        { 2, { 3, 4 }, { 1, 2 }, { 2, 0 }, { 1, 2 }, 1 },
        { 2, { -1, 3 }, { 0, 1 }, { 0, 1 }, { 0, 1 }, 0 },
        { 1, { 1 }, { 0 }, { 4 }, { 3 }, 0 },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 4 * COUNT)
        return NODE_NONE;
    NodeId x = case_of_kind(g, r, i / COUNT, t[i % COUNT].rank, t[i % COUNT].dims);
    return b_pad(g, x, t[i % COUNT].low, t[i % COUNT].high, t[i % COUNT].interior,
                 t[i % COUNT].value);
}

/* ---- definitions ---- */

const OpDef op_slice = {
    .name = "slice", .doc = "elements begin, begin + step, ... before end, on each axis",
    MOVE(slice),
};
const OpDef op_pad = {
    .name = "pad", .doc = "value added before, after and between the elements", MOVE(pad),
};
