/* rate.c: the learning rate of a step, for people to see.
 *
 * A recipe's rate is computed within its step, of the clock alone, and no result of it: the value
 * that the clock's `lr_scale` multiplies last. What computes it is copied out before the passes,
 * some twenty scalar operations, and interpreted when a line is about to show it. Of several rates
 * in a step, by name of parameter, the first is the recipe's plain one. */
#include "driver/engine.h"
#include "ir/interp.h"
#include "passes/pass.h"

#include <math.h>
#include <string.h>

static bool is_scale(const Graph *g, NodeId id)
{
    if (graph_node(g, id)->op == OP_cast)
        id = graph_operand(g, id, 0);
    return graph_node(g, id)->op == OP_clock && !strcmp(graph_attr(g, id, "field")->s, "lr_scale");
}

static NodeId find_rate(const Graph *g)
{
    for (NodeId id = 0; id < g->nodes.n; id++)
        if (graph_node(g, id)->op == OP_mul && !graph_shape(g, id)->rank &&
            (is_scale(g, graph_operand(g, id, 0)) || is_scale(g, graph_operand(g, id, 1))))
            return id;
    return NODE_NONE;
}

/* The part of `step` that computes `rate`, or NULL if it needs more than the clock. */
static Graph *copy_rate(Arena *a, const Graph *step, NodeId rate)
{
    Graph one = *step;
    Output output = { .name = "lr", .node = rate, .updates = -1 };
    NodeId *map = pass_new_map(a, step->nodes.n);
    Graph *g = pass_begin(step);
    one.outputs.at = &output;
    one.outputs.n = one.outputs.cap = 1;
    const uint8_t *live = graph_live(a, &one);
    for (NodeId id = 0; id <= rate; id++) {
        Op op = (Op)graph_node(step, id)->op;
        if (!live[id])
            continue;
        if (op == OP_input || op == OP_tensor || op == OP_grad ||
            pass_copy(g, step, id, map) == NODE_NONE)
            return NULL;
    }
    return pass_end(g, &one, map) ? g : NULL;
}

void engine_find_rates(Engine *e)
{
    Unit *u = e->unit;
    e->rates = arena_new_array(e->run->arena, Graph *, u->entries.n);
    for (uint32_t i = 0; i < u->entries.n; i++) {
        const Graph *g = u->entries.at[i].graph;
        NodeId rate = u->entries.at[i].kind == ENTRY_STEP ? find_rate(g) : NODE_NONE;
        e->rates[i] = rate == NODE_NONE ? NULL : copy_rate(e->run->arena, g, rate);
    }
}

double engine_rate(const Engine *e, uint32_t entry, const DlrtClock *clock)
{
    static_assert(offsetof(DlrtClock, seed) == CLOCK_SEED * sizeof(double),
                  "the clock's numbers are those of the reference, in its order");
    InterpArgs args = { .batch = 1, .seed = clock->seed, .key = clock->key_step };
    Value v;
    double rate = NAN;
    if (!e->rates || !e->rates[entry])
        return NAN;
    memcpy(args.clock, clock, sizeof args.clock);
    Arena *a = arena_new();
    if (!interp_run(a, e->rates[entry], &args, &v))
        rate = v.f[0];
    arena_free(a);
    return rate;
}
