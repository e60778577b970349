/* simplify.c: exact rewrites that need to see a node together with its operands.
 *
 * Needs: primitive graphs without `grad`. Gives: no `var` or `stop_gradient`; element-wise math on
 * repeated values is done before they are repeated. Movements that undo or continue one another,
 * equal nodes and dead ones go by the rebuild itself, the first two by the folds of the ops, which
 * see through the marks now. Nothing here changes a bit of any result: what rounds differently has
 * no place in this file.
 *
 * Hoisting goes as far as every operand agrees: with a[1, C] and b[1, 1] both repeated to [B, C], a
 * + b is computed on [1, C]. Operands go before users, so one walk suffices: a hoisted broadcast is
 * seen by the next node up. */
#include "passes/pass.h"

static NodeId emit_like(Graph *g, NodeId like, const NodeId *in)
{
    const Node *n = graph_node(g, like);
    const AttrList *l = &g->unit->attrs.at[n->attrs];
    return graph_emit(g, (Op)n->op, in, n->count, l->at, l->n);
}

static bool has_op(const Graph *g, NodeId id, Op op)
{
    return graph_node(g, id)->op == op;
}

/* True when all that operands say about `axis` of the result shape is one value repeated. */
static bool repeated_axis(const Graph *g, NodeId id, uint32_t axis)
{
    const Node *n = graph_node(g, id);
    Dim d = graph_shape(g, id)->dim[axis];
    for (uint32_t i = 0; i < n->count; i++) {
        NodeId x = graph_operand(g, id, i);
        if (!has_op(g, x, OP_broadcast) ||
            dim_equal(graph_shape(g, graph_operand(g, x, 0))->dim[axis], d))
            return false;
    }
    return true;
}

static NodeId hoist_over_broadcast(Graph *g, NodeId id)
{
    enum { MAX_OPERANDS = 4 };
    uint32_t count = graph_node(g, id)->count;
    Shape whole = *graph_shape(g, id), small = whole;
    if (!count || count > MAX_OPERANDS)
        return id;
    for (uint32_t axis = 0; axis < whole.rank; axis++)
        if (repeated_axis(g, id, axis))
            small.dim[axis] = dim_of(1);
    if (shape_equal(&small, &whole))
        return id;
    NodeId in[MAX_OPERANDS];
    for (uint32_t i = 0; i < count; i++) {
        NodeId source = graph_operand(g, graph_operand(g, id, i), 0);
        in[i] =
            shape_equal(graph_shape(g, source), &small) ? source : b_broadcast(g, source, &small);
    }
    return b_broadcast(g, emit_like(g, id, in), &whole);
}

/* A scalar that x is a reshape of, as far as it is one. */
static NodeId scalar_behind(Graph *g, NodeId x)
{
    int64_t elements;
    if (has_op(g, x, OP_reshape) && !graph_shape(g, graph_operand(g, x, 0))->rank)
        return graph_operand(g, x, 0);
    if (has_op(g, x, OP_constant) && shape_elements(graph_shape(g, x), &elements) && elements == 1)
        return b_reshape(g, x, &(Shape){ 0 });
    return NODE_NONE;
}

static NodeId hoist_over_scalars(Graph *g, NodeId id)
{
    enum { MAX_OPERANDS = 4 };
    uint32_t count = graph_node(g, id)->count;
    Shape whole = *graph_shape(g, id);
    NodeId in[MAX_OPERANDS];
    if (!count || count > MAX_OPERANDS || !whole.rank)
        return id;
    for (uint32_t i = 0; i < count; i++)
        if ((in[i] = scalar_behind(g, graph_operand(g, id, i))) == NODE_NONE)
            return id;
    return b_reshape(g, emit_like(g, id, in), &whole);
}

static NodeId rewrite(Graph *g, NodeId id)
{
    if (op_defs[graph_node(g, id)->op]->lower != LOWER_ELEMENTWISE)
        return id;
    NodeId hoisted = hoist_over_broadcast(g, id);
    return hoisted == id ? hoist_over_scalars(g, id) : hoisted;
}

static bool simplify_node(Graph *g, const Graph *old, NodeId id, NodeId *map)
{
    const Node *n = graph_node(old, id);
    if (n->op == OP_var || n->op == OP_stop_gradient) {
        map[id] = map[graph_operand(old, id, 0)];
        return true;
    }
    NodeId copy = pass_copy(g, old, id, map);
    if (copy == NODE_NONE)
        return pass_internal(g->unit, n->loc, "a node cannot be emitted again");
    g->loc = n->loc;
    map[id] = rewrite(g, copy);
    return map[id] != NODE_NONE ||
           pass_internal(g->unit, n->loc, "a rewrite of `%s` is ill-typed", op_defs[n->op]->name);
}

bool pass_simplify(Unit *u)
{
    return pass_rebuild_entries(u, simplify_node);
}
