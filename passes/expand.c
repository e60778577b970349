/* expand.c: says compound ops in others.
 *
 * Needs: no `grad` nodes, since compound ops have derivatives of their own, better than those of
 * their parts. Gives: no live node of an op with LOWER_EXPAND. An op that has a kernel and an
 * expansion is asked once, and answers with itself where the kernel is right. An expansion may
 * contain compound ops again, so the rebuild repeats until none is left; the bound on its rounds
 * turns an expansion that contains itself into an error instead of a hang. */
#include "passes/pass.h"

enum { MAX_ROUNDS = 16 };

/* Ops that have kernels too are asked in the first round. */
static bool has_compound(const Graph *g, bool first)
{
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, g);
    bool found = false;
    for (NodeId id = 0; id < g->nodes.n && !found; id++) {
        const OpDef *def = op_defs[graph_node(g, id)->op];
        found = live[id] && (def->lower == LOWER_EXPAND || (first && def->expand));
    }
    arena_free(a);
    return found;
}

static bool expand_node(Graph *g, const Graph *old, NodeId id, NodeId *map)
{
    NodeId copy = pass_copy(g, old, id, map);
    const char *name = op_defs[graph_node(old, id)->op]->name;
    LocId loc = graph_node(old, id)->loc;
    if (copy == NODE_NONE)
        return pass_internal(g->unit, loc, "a `%s` cannot be emitted again", name);
    Node n = *graph_node(g, copy);
    if (!op_defs[n.op]->expand)
        return true;
    NodeId *in = arena_new_array(g->unit->arena, NodeId, n.count);
    for (uint32_t i = 0; i < n.count; i++)
        in[i] = graph_operand(g, copy, i);
    g->loc = loc;
    NodeId said = op_defs[n.op]->expand(g, copy, in);
    if (said == NODE_NONE || graph_dtype(g, said) != (Dtype)n.dtype ||
        graph_node(g, said)->shape != n.shape)
        return pass_internal(g->unit, loc, "the expansion of `%s` has another type", name);
    map[id] = said;
    return true;
}

bool pass_expand(Unit *u)
{
    for (uint32_t i = 0; i < u->entries.n; i++) {
        Graph *g = u->entries.at[i].graph;
        for (int round = 0; g && has_compound(g, round == 0); round++) {
            if (round == MAX_ROUNDS)
                return pass_internal(u, 0, "an expansion contains itself");
            g = pass_rebuild(g, expand_node);
        }
        if (!g)
            return false;
        u->entries.at[i].graph = g;
    }
    return true;
}
