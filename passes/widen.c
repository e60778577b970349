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

static NodeId widen_node(Graph *g, const Graph *old, NodeId id, NodeId *map)
{
    const Node *n = graph_node(old, id);
    if (n->op == OP_constant && dtype_is_float((Dtype)n->dtype))
        return map[id] = widen_constant(g, old, id);
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
    map[id] = graph_emit(g, (Op)n->op, in, n->count, attrs, n_attrs);
    arena_free(a);
    return map[id];
}

static Graph *widen_graph(const Graph *old)
{
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, old);
    NodeId *map = pass_new_map(a, old->nodes.n);
    Graph *g = pass_begin(old);
    bool ok = true;
    for (uint32_t i = 0; i < g->inputs.n; i++)
        g->inputs.at[i].dtype = wide(g->inputs.at[i].dtype);
    for (NodeId id = 0; ok && id < old->nodes.n; id++)
        ok = !live[id] || widen_node(g, old, id, map) != NODE_NONE ||
             pass_internal(g->unit, graph_node(old, id)->loc, "a `%s` has no form in f64",
                           op_defs[graph_node(old, id)->op]->name);
    ok = ok && pass_end(g, old, map);
    arena_free(a);
    return ok ? g : NULL;
}

bool pass_widen(Unit *u)
{
    for (uint32_t i = 0; i < u->tensors.n; i++)
        u->tensors.at[i].dtype = wide(u->tensors.at[i].dtype);
    for (uint32_t i = 0; i < u->entries.n; i++) {
        Graph *g = widen_graph(u->entries.at[i].graph);
        if (!g)
            return false;
        u->entries.at[i].graph = g;
    }
    return true;
}
