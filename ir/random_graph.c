/* random_graph.c: see random_graph.h.
 *
 * Op knowledge stays in the op table: a random case of a random op is built in a scratch graph and
 * copied, each of its inputs replaced by a value that is there already, shaped and squeezed to what
 * the case declared: of the right dtype by a cast, of the right extents by flattening, cutting and
 * repeating, in the range by lo + (hi - lo) sigmoid(x) or, for integers, lo + x mod n. So every op
 * gets valid operands, and no value grows without bound however deep the graph. */
#include "ir/random_graph.h"

#include "ir/builder.h"

#include <math.h>

typedef struct {
    Graph *g;
    CaseRng *r;
    const RandomOptions *options;
    VEC(NodeId) pool; /* results so far */
} Maker;

static int64_t below(Maker *m, int64_t n)
{
    return case_integer(m->r, 0, n - 1);
}

static bool has_batch(const Shape *s)
{
    for (uint32_t i = 0; i < s->rank; i++)
        if (s->dim[i].k)
            return true;
    return false;
}

/* [B, m] with everything but a leading B flattened; only for shapes whose B is outermost and plain.
 */
static bool leading_batch(const Shape *s)
{
    for (uint32_t i = 1; i < s->rank; i++)
        if (s->dim[i].k)
            return false;
    return s->rank && s->dim[0].k == 1;
}

/* The last axis of x, [n] or [B, n], to extent m: cut, or repeated and cut. NODE_NONE where there
 * is nothing to repeat. */
static NodeId fit_last_axis(Graph *g, NodeId x, int64_t m)
{
    enum { MAX_REPEATS = 64 };
    uint32_t axis = graph_shape(g, x)->rank - 1;
    int64_t n = graph_shape(g, x)->dim[axis].n, times = n ? (m + n - 1) / n : MAX_REPEATS + 1;
    NodeId parts[MAX_REPEATS];
    if (times > MAX_REPEATS && m)
        return NODE_NONE;
    for (int64_t i = 0; i < times && m; i++)
        parts[i] = x;
    if (m && times > 1)
        x = b_concat(g, parts, (uint32_t)times, axis);
    return graph_shape(g, x)->dim[axis].n == m ? x : b_slice_axis(g, x, axis, 0, m);
}

/* x's elements in another shape. A batch that the target lacks is summed away; one that x lacks is
 * repeated. */
static NodeId fit_shape(Graph *g, NodeId x, const Shape *target)
{
    Shape s = *graph_shape(g, x);
    bool to_batch = has_batch(target);
    Dim per_row;
    if (shape_equal(&s, target))
        return x;
    if ((has_batch(&s) && !leading_batch(&s)) || (to_batch && !leading_batch(target)))
        return NODE_NONE;
    if (leading_batch(&s) && !to_batch) {
        if (graph_dtype(g, x) == DT_BOOL)
            return NODE_NONE;
        x = b_reduce(g, OP_reduce_sum, x, (int64_t[]){ 0 }, 1, false);
        s = *graph_shape(g, x);
    }
    bool from_batch = has_batch(&s);
    if (!shape_product(&s, from_batch, s.rank, &per_row))
        return NODE_NONE;
    Shape flat = { .rank = 2, .dim = { from_batch ? s.dim[0] : dim_of(1), per_row } };
    x = b_reshape(g, x, &flat);
    shape_product(target, to_batch, target->rank, &per_row);
    x = fit_last_axis(g, x, per_row.n);
    if (x == NODE_NONE)
        return x;
    if (to_batch && !from_batch)
        x = b_broadcast(g, x, &(Shape){ .rank = 2, .dim = { target->dim[0], per_row } });
    return b_reshape(g, x, target);
}

/* x of dtype t; NODE_NONE from float to anything else, where rounding would decide. */
static NodeId fit_dtype(Graph *g, NodeId x, Dtype t)
{
    Dtype from = graph_dtype(g, x);
    if (from == t)
        return x;
    return dtype_is_float(from) && !dtype_is_float(t) ? NODE_NONE : b_cast(g, x, t);
}

static NodeId fit_range(Graph *g, NodeId x, CaseRange range)
{
    Dtype t = graph_dtype(g, x);
    if (t == DT_BOOL)
        return x;
    if (dtype_is_float(t))
        return b_add(g, b_scale(g, b_unary(g, OP_sigmoid, x), range.hi - range.lo),
                     b_like(g, x, range.lo));
    double lo = ceil(range.lo), n = floor(range.hi) - lo + 1;
    if (n < 1 || n > 100)
        return NODE_NONE;
    return b_add(g, b_binary(g, OP_mod, x, b_like(g, x, n)), b_like(g, x, lo));
}

static NodeId fresh_input(Maker *m, const Input *like, CaseRange range)
{
    Graph *g = m->g;
    Input in = *like;
    in.name = arena_printf(g->unit->arena, "x%u", g->inputs.n);
    while (m->r->ranges.n < g->inputs.n)
        vec_push(m->r->arena, &m->r->ranges, (CaseRange){ -1, 1, false });
    vec_push(m->r->arena, &m->r->ranges, range);
    return graph_input(g, in);
}

/* A value for one input of a case: something computed, made to fit, or an input. */
static NodeId operand_for(Maker *m, const Input *in, CaseRange range, bool direct)
{
    enum { TRIES = 4 };
    Graph *g = m->g;
    for (int i = 0; i < TRIES && m->pool.n && !direct && !range.distinct; i++) {
        NodeId x = m->pool.at[below(m, m->pool.n)];
        if ((x = fit_dtype(g, x, in->dtype)) == NODE_NONE ||
            (x = fit_shape(g, x, &in->shape)) == NODE_NONE ||
            (x = fit_range(g, x, range)) == NODE_NONE)
            continue;
        return x;
    }
    return fresh_input(m, in, range);
}

static bool usable(const Maker *m, const OpDef *def)
{
    return def->cases && !(m->options->no_calls && def->lower == LOWER_CALL) &&
           !(m->options->differentiable && !def->grad && !def->zero_grad);
}

/* What rounding may tip over, or make large. */
static bool sensitive(const Graph *t, NodeId result, const OpDef *def)
{
    return def->zero_grad || def->lower == LOWER_CALL || !dtype_is_float(graph_dtype(t, result));
}

/* Copies a case into the graph; its result joins the pool. */
static void place_case(Maker *m, const OpDef *def, const Graph *t, const CaseRng *ranges,
                       NodeId result)
{
    Arena *a = arena_new();
    Graph *g = m->g;
    const uint8_t *live = graph_live(a, t);
    NodeId *map = arena_new_array(a, NodeId, t->nodes.n);
    bool direct = sensitive(t, result, def);
    for (NodeId id = 0; id < t->nodes.n; id++) {
        const Node *n = graph_node(t, id);
        if (!live[id])
            continue;
        if (n->op == OP_input) {
            int64_t i = graph_attr(t, id, "index")->i;
            map[id] = operand_for(m, &t->inputs.at[i], ranges->ranges.at[i], direct);
            continue;
        }
        NodeId *in = arena_new_array(a, NodeId, n->count);
        for (uint32_t i = 0; i < n->count; i++)
            in[i] = map[graph_operand(t, id, i)];
        map[id] = graph_copy_node(g, t, id, in);
    }
    vec_push(g->unit->arena, &m->pool, map[result]);
    arena_free(a);
}

static bool has_halves(const Graph *t)
{
    for (NodeId id = 0; id < t->nodes.n; id++)
        if (graph_dtype(t, id) == DT_F16 || graph_dtype(t, id) == DT_BF16)
            return true;
    return false;
}

static void place_op(Maker *m)
{
    const OpDef *def;
    do
        def = op_defs[below(m, OP_COUNT)];
    while (!usable(m, def));
    Graph *t = graph_new(m->g->unit, "case", m->options->batch_max);
    CaseRng ranges = case_rng(m->r->arena, case_random(m->r));
    NodeId result = NODE_NONE;
    for (int64_t limit = 32; limit && result == NODE_NONE; limit /= 2) {
        t = graph_new(m->g->unit, "case", m->options->batch_max);
        ranges.ranges.n = 0;
        result = def->cases(t, &ranges, (uint32_t)below(m, limit));
    }
    if (result == NODE_NONE || (m->options->no_halves && has_halves(t)))
        return;
    graph_output(t, "y", result, -1);
    place_case(m, def, t, &ranges, result);
}

/* Outputs: a scalar of all float results, and its derivatives. */
static void add_gradients(Maker *m)
{
    Graph *g = m->g;
    NodeId y = b_const(g, DT_F64, 0);
    for (uint32_t i = 0; i < m->pool.n; i++)
        if (dtype_is_float(graph_dtype(g, m->pool.at[i])))
            y = b_add(g, y, b_cast(g, b_sum_all(g, b_unary(g, OP_tanh, m->pool.at[i])), DT_F64));
    graph_output(g, "y", y, -1);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        AttrValue index = attr_i(i);
        NodeId x = graph_emit(g, OP_input, NULL, 0, &index, 1);
        if (dtype_is_float(graph_dtype(g, x)))
            graph_output(g, arena_printf(g->unit->arena, "dx%u", i),
                         graph_emit(g, OP_grad, (NodeId[]){ y, x }, 2, NULL, 0), -1);
    }
}

static void add_sinks(Maker *m)
{
    Graph *g = m->g;
    Arena *a = arena_new();
    uint8_t *read = arena_alloc(a, g->nodes.n);
    for (NodeId id = 0; id < g->nodes.n; id++)
        for (uint32_t i = 0; i < graph_node(g, id)->count; i++)
            read[graph_operand(g, id, i)] = 1;
    for (uint32_t i = 0; i < m->pool.n; i++) {
        NodeId y = m->pool.at[i];
        if (!read[y])
            graph_output(g, arena_printf(g->unit->arena, "y%u", i), y, -1);
        read[y] = 1;
    }
    arena_free(a);
}

Graph *random_graph(Unit *u, CaseRng *r, const RandomOptions *options)
{
    Maker m = { .g = graph_new(u, "random", options->batch_max), .r = r, .options = options };
    for (uint32_t i = 0; i < options->size; i++)
        place_op(&m);
    if (options->differentiable)
        add_gradients(&m);
    else
        add_sinks(&m);
    return m.g;
}
