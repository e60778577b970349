/* rebuild.c: what passes are written with: a new graph beside the old one, and a map from old nodes
 * to new. */
#include "passes/pass.h"

#include <string.h>

Graph *pass_begin(const Graph *old)
{
    Graph *g = graph_new(old->unit, old->name, old->batch_max);
    for (uint32_t i = 0; i < old->inputs.n; i++)
        vec_push(g->unit->arena, &g->inputs, old->inputs.at[i]);
    return g;
}

bool pass_end(Graph *g, const Graph *old, const NodeId *map)
{
    for (uint32_t i = 0; i < old->outputs.n; i++) {
        const Output *o = &old->outputs.at[i];
        if (map[o->node] == NODE_NONE)
            return pass_internal(g->unit, graph_node(old, o->node)->loc,
                                 "output `%s` of `%s` was lost", o->name, old->name);
        graph_output(g, o->name, map[o->node], o->updates);
    }
    g->loc = 0;
    return true;
}

NodeId pass_copy(Graph *g, const Graph *old, NodeId id, NodeId *map)
{
    const Node *n = graph_node(old, id);
    NodeId few[8], *in = n->count <= 8 ? few : arena_new_array(g->unit->arena, NodeId, n->count);
    for (uint32_t i = 0; i < n->count; i++)
        in[i] = map[graph_operand(old, id, i)];
    return map[id] = graph_copy_node(g, old, id, in);
}

Graph *pass_rebuild(const Graph *old, PassNode *emit)
{
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, old);
    NodeId *map = pass_new_map(a, old->nodes.n);
    Graph *g = pass_begin(old);
    bool ok = true;
    for (NodeId id = 0; ok && id < old->nodes.n; id++)
        ok = !live[id] || emit(g, old, id, map);
    ok = ok && pass_end(g, old, map);
    arena_free(a);
    return ok ? g : NULL;
}

bool pass_rebuild_entries(Unit *u, PassNode *emit)
{
    for (uint32_t i = 0; i < u->entries.n; i++) {
        Graph *g = pass_rebuild(u->entries.at[i].graph, emit);
        if (!g)
            return false;
        u->entries.at[i].graph = g;
    }
    return true;
}

NodeId *pass_new_map(Arena *a, uint32_t n)
{
    NodeId *map = arena_new_array(a, NodeId, n);
    memset(map, 0xff, n * sizeof *map);
    static_assert(NODE_NONE == 0xffffffffu, "a map of bytes 0xff is empty");
    return map;
}

bool pass_internal(Unit *u, LocId loc, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(u->arena, format, args);
    va_end(args);
    diag_report(u->cx, DIAG_E0001, loc, "internal: %s", message);
    return false;
}
