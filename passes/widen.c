/* widen.c: the unit as it would be if every float in it were f64.
 *
 * Needs: any graphs, `grad` nodes too. Gives: graphs of the same nodes in which no float is
 * narrower than f64; casts between floats are gone by folding.
 * It is what difference quotients judge. The reference rounds where a value is cast to a narrower
 * float: such a graph is a staircase, flat on each step, whose quotient measures how many steps a
 * move happens to cross, and no step size nor tolerance mends that. Derivatives must be taken
 * after, not before: constants that a rule makes in 16 bits carry 16-bit roundings of their own. */
#include "passes/pass.h"

#include "ir/value.h"

static Dtype wide(Dtype t)
{
    return dtype_is_float(t) ? DT_F64 : t;
}

/* The elements of a float constant as f64. */
static NodeId widen_constant(Graph *g, const Graph *old, NodeId id)
{
    const Shape *s = graph_shape(old, id);
    Arena *a = arena_new();
    Value v = value_from_bytes(a, graph_dtype(old, id), s, graph_attr(old, id, "data")->data);
    NodeId c = b_data(g, DT_F64, s, v.f);
    arena_free(a);
    return c;
}

/* Bits mean something at their own width only. */
static NodeId widen_bitcast(Graph *g, const Graph *old, NodeId id, NodeId x)
{
    Dtype from = graph_dtype(old, graph_operand(old, id, 0)), to = graph_dtype(old, id);
    AttrValue as = attr_dtype(to);
    if (graph_dtype(g, x) != from)
        x = b_cast(g, x, from);
    NodeId y = graph_emit(g, OP_bitcast, &x, 1, &as, 1);
    return y == NODE_NONE || wide(to) == to ? y : b_cast(g, y, wide(to));
}

static bool widen_node(Graph *g, const Graph *old, NodeId id, NodeId *map)
{
    const Node *n = graph_node(old, id);
    const AttrList *l = &old->unit->attrs.at[n->attrs];
    Arena *a = arena_new();
    AttrValue *attrs = arena_new_array(a, AttrValue, l->n);
    NodeId *in = arena_new_array(a, NodeId, n->count);
    uint32_t n_attrs = l->n;
    for (uint32_t i = 0; i < n_attrs; i++) {
        attrs[i] = l->at[i];
        if (attrs[i].kind == ATTR_DTYPE)
            attrs[i].i = wide((Dtype)attrs[i].i);
    }
    for (uint32_t i = 0; i < n->count; i++)
        in[i] = map[graph_operand(old, id, i)];
    g->loc = n->loc;
    if (n->op == OP_input) { /* its dtype is not an attribute */
        Dtype *t = &g->inputs.at[graph_attr(old, id, "index")->i].dtype;
        *t = wide(*t);
    }
    map[id] = n->op == OP_constant && dtype_is_float((Dtype)n->dtype) ? widen_constant(g, old, id)
              : n->op == OP_bitcast ? widen_bitcast(g, old, id, in[0])
                                    : graph_emit(g, (Op)n->op, in, n->count, attrs, n_attrs);
    arena_free(a);
    return map[id] != NODE_NONE ||
           pass_internal(g->unit, n->loc, "a `%s` has no form in f64", op_defs[n->op]->name);
}

bool pass_widen(Unit *u)
{
    for (uint32_t i = 0; i < u->tensors.n; i++)
        u->tensors.at[i].dtype = wide(u->tensors.at[i].dtype);
    if (!pass_rebuild_entries(u, widen_node))
        return false;
    for (uint32_t i = 0; i < u->entries.n; i++) { /* those that nothing reads */
        Graph *g = u->entries.at[i].graph;
        for (uint32_t k = 0; k < g->inputs.n; k++)
            g->inputs.at[k].dtype = wide(g->inputs.at[k].dtype);
    }
    return true;
}
