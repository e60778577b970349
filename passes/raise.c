/* raise.c: what a model says step by step and an operation says whole: softmax and log-softmax;
 * the normal distribution function in raise_normal.c.
 *
 * The operation has a derivative that reuses its result and is stable where the steps' is not: the
 * derivative of log(sum(exp(x))) by its steps divides by what may have underflowed. Files of other
 * frameworks hold the steps, and so may a .dl program.
 *
 *     exp(x - max(x)) / sum(exp(x - max(x)))            softmax(x)
 *     log(softmax(x))                                   log_softmax(x), which rounds less
 *     (x - max(x)) - log(sum(exp(x - max(x))))          log_softmax(x)
 *     x / sqrt(e), one e for many x                     x rsqrt(e): the derivative is products
 *
 * Norms beyond that, attention and rotary embedding need nothing here: no operation of the graph
 * says them whole, so that their steps, whoever wrote them, are the same nodes already, and fusion
 * makes kernels of those. */
#include "passes/pass.h"
#include "passes/raise.h"

static bool is(const Graph *g, NodeId x, Op op)
{
    return x != NODE_NONE && graph_node(g, x)->op == op;
}

/* A reduction along one axis, kept or put back by a reshape, repeated over the shape of its
 * operand: its operand, and the axis. */
static NodeId row_reduction(const Graph *g, NodeId x, Op op, int64_t *out_axis)
{
    const Shape *whole = graph_shape(g, x);
    if (!is(g, x, OP_broadcast))
        return NODE_NONE;
    x = graph_operand(g, x, 0);
    const Shape *kept = graph_shape(g, x);
    while (is(g, x, OP_reshape))
        x = graph_operand(g, x, 0);
    if (!is(g, x, op))
        return NODE_NONE;
    const AttrValue *axes = graph_attr(g, x, "axes");
    NodeId of = graph_operand(g, x, 0);
    if (axes->count != 1 || !shape_equal(graph_shape(g, of), whole) || kept->rank != whole->rank)
        return NODE_NONE;
    for (uint32_t i = 0; i < kept->rank; i++)
        if (!dim_equal(kept->dim[i], i == axes->ints[0] ? dim_of(1) : whole->dim[i]))
            return NODE_NONE;
    *out_axis = axes->ints[0];
    return of;
}

/* x - max(x) along the axis: x; else NODE_NONE. */
static NodeId lowered(const Graph *g, NodeId y, int64_t axis)
{
    int64_t own;
    if (!is(g, y, OP_sub))
        return NODE_NONE;
    NodeId x = graph_operand(g, y, 0);
    return row_reduction(g, graph_operand(g, y, 1), OP_reduce_max, &own) == x && own == axis
               ? x
               : NODE_NONE;
}

static NodeId emit_row(Graph *g, Op op, NodeId x, int64_t axis)
{
    AttrValue a = attr_i(axis);
    return graph_emit(g, op, &x, 1, &a, 1);
}

/* d = sqrt(e), perhaps repeated, as rsqrt(e) in the same places. */
static NodeId inverse_root(Graph *g, NodeId d)
{
    if (is(g, d, OP_sqrt))
        return b_unary(g, OP_rsqrt, graph_operand(g, d, 0));
    NodeId inner = inverse_root(g, graph_operand(g, d, 0));
    const Node *n = graph_node(g, d);
    const AttrList *l = &g->unit->attrs.at[n->attrs];
    return graph_emit(g, (Op)n->op, &inner, 1, l->at, l->n);
}

/* 1 / sqrt(e), and x / sqrt(e) where one root divides many elements. */
static NodeId raise_quotient(Graph *g, NodeId id)
{
    NodeId x = graph_operand(g, id, 0), d = graph_operand(g, id, 1), root = d;
    double v;
    bool repeated = false, one = b_is_splat(g, x, &v) && v == 1;
    for (; is(g, root, OP_broadcast) || is(g, root, OP_reshape); root = graph_operand(g, root, 0))
        repeated |= is(g, root, OP_broadcast);
    if (!is(g, root, OP_sqrt) || !(one || repeated) || b_is_splat(g, root, &v))
        return NODE_NONE;
    NodeId r = inverse_root(g, d);
    return one ? r : b_mul(g, x, r);
}

static NodeId raise_div(Graph *g, NodeId id)
{
    int64_t axis;
    NodeId e = graph_operand(g, id, 0);
    if (!is(g, e, OP_exp) ||
        row_reduction(g, graph_operand(g, id, 1), OP_reduce_sum, &axis) != e)
        return raise_quotient(g, id);
    NodeId x = lowered(g, graph_operand(g, e, 0), axis);
    return x == NODE_NONE ? x : emit_row(g, OP_softmax, x, axis);
}

static NodeId raise_log(Graph *g, NodeId id)
{
    NodeId s = graph_operand(g, id, 0);
    return is(g, s, OP_softmax) ? emit_row(g, OP_log_softmax, graph_operand(g, s, 0),
                                           graph_attr(g, s, "axis")->i)
                                : NODE_NONE;
}

/* y - log(sum(exp(y))), y = x - max(x): the logarithm before or after the repetition. */
static NodeId raise_sub(Graph *g, NodeId id)
{
    int64_t axis;
    NodeId y = graph_operand(g, id, 0), b = graph_operand(g, id, 1), sum = NODE_NONE;
    if (is(g, b, OP_log)) {
        sum = row_reduction(g, graph_operand(g, b, 0), OP_reduce_sum, &axis);
    } else if (is(g, b, OP_broadcast) && is(g, graph_operand(g, b, 0), OP_log)) {
        NodeId small = graph_operand(g, graph_operand(g, b, 0), 0);
        NodeId spread = b_broadcast(g, small, graph_shape(g, b));
        sum = row_reduction(g, spread, OP_reduce_sum, &axis);
    }
    if (sum == NODE_NONE || !is(g, sum, OP_exp) || graph_operand(g, sum, 0) != y)
        return NODE_NONE;
    NodeId x = lowered(g, y, axis);
    return x == NODE_NONE ? x : emit_row(g, OP_log_softmax, x, axis);
}

static NodeId raise_node(Graph *g, NodeId id)
{
    NodeId whole = is(g, id, OP_div)   ? raise_div(g, id)
                   : is(g, id, OP_log) ? raise_log(g, id)
                   : is(g, id, OP_sub) ? raise_sub(g, id)
                                       : NODE_NONE;
    return whole != NODE_NONE ? whole : raise_normal(g, id);
}

static Graph *raise_graph(const Graph *old)
{
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, old);
    NodeId *map = pass_new_map(a, old->nodes.n);
    Graph *g = pass_begin(old);
    for (NodeId id = 0; id < old->nodes.n; id++) {
        if (!live[id] || pass_copy(g, old, id, map) == NODE_NONE)
            continue;
        g->loc = graph_node(old, id)->loc;
        NodeId whole = raise_node(g, map[id]);
        if (whole != NODE_NONE)
            map[id] = whole;
    }
    bool ok = pass_end(g, old, map);
    arena_free(a);
    return ok ? g : NULL;
}

bool pass_raise(Unit *u)
{
    for (uint32_t i = 0; i < u->entries.n; i++) {
        Graph *g = raise_graph(u->entries.at[i].graph);
        if (!g)
            return false;
        u->entries.at[i].graph = g;
    }
    return true;
}
