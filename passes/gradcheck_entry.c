/* gradcheck_entry.c: see gradcheck_entry.h. The loss is copied out of the entry's graph with a
 * `grad` for each tensor, so that what is checked is the derivative and not what an optimizer makes
 * of it. */
#include "passes/gradcheck_entry.h"

#include "ir/cases.h"
#include "passes/autodiff.h"
#include "passes/pass.h"

#include <math.h>
#include <string.h>

/* Nodes that the first output needs, with outputs loss, d loss / d tensor ... */
static Graph *loss_graph(Arena *a, const Graph *from, const EntryCheck *check)
{
    Graph first = *from;
    first.outputs.n = 1;
    const uint8_t *live = graph_live(a, &first);
    NodeId *map = pass_new_map(a, from->nodes.n);
    Graph *g = pass_begin(from);
    for (NodeId id = 0; id < from->nodes.n; id++)
        if (live[id] && pass_copy(g, from, id, map) == NODE_NONE)
            return NULL;
    NodeId loss = map[from->outputs.at[0].node];
    graph_output(g, "loss", loss, -1);
    for (uint32_t i = 0; i < check->tensors.n; i++) {
        AttrValue index = attr_i(check->tensors.at[i].tensor);
        NodeId t = graph_emit(g, OP_tensor, NULL, 0, &index, 1);
        graph_output(g, "d", graph_emit(g, OP_grad, (NodeId[]){ loss, t }, 2, NULL, 0), -1);
    }
    return autodiff_graph(g);
}

static void find_tensors(Arena *a, const Unit *u, const Graph *g, EntryCheck *out_check)
{
    Graph first = *g;
    first.outputs.n = 1;
    const uint8_t *live = graph_live(a, &first);
    for (uint32_t i = 0; i < u->tensors.n; i++)
        if (u->tensors.at[i].trained && dtype_is_float(u->tensors.at[i].dtype))
            vec_push(a, &out_check->tensors, (TensorCheck){ .tensor = i });
    for (NodeId id = 0; id < g->nodes.n; id++)
        for (uint32_t i = 0; i < out_check->tensors.n && live[id]; i++)
            if (graph_node(g, id)->op == OP_tensor &&
                graph_attr(g, id, "index")->i == out_check->tensors.at[i].tensor)
                out_check->tensors.at[i].read = true;
}

static const char *draw_tensors(Arena *a, Unit *u, CaseRng *r, const InterpArgs *args, Value *out)
{
    for (uint32_t i = 0; i < u->tensors.n; i++)
        out[i] = value_new(a, u->tensors.at[i].dtype, &u->tensors.at[i].shape, 1);
    for (uint32_t i = 0; i < u->entries.n; i++) {
        Graph *init = u->entries.at[i].kind == ENTRY_INIT ? u->entries.at[i].graph : NULL;
        const char *bad = init ? interp_entry(a, init, args, out, NULL) : NULL;
        if (bad)
            return bad;
    }
    for (uint32_t i = 0; i < u->tensors.n; i++)
        for (int64_t k = 0; u->tensors.at[i].trained && k < out[i].count; k++)
            if (dtype_is_float(out[i].dtype))
                out[i].f[k] += case_uniform(r, -0.05, 0.05);
    return NULL;
}

static Value *draw_inputs(Arena *a, CaseRng *r, const Graph *g, int64_t batch, bool positive)
{
    CaseRange floats = positive ? (CaseRange){ 0.5, 1.5, false } : (CaseRange){ -1, 1, false };
    Value *in = arena_new_array(a, Value, g->inputs.n);
    r->ranges.n = 0;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Input *x = &g->inputs.at[i];
        double hi = x->bound ? (double)x->bound - 1 : x->dtype == DT_BOOL ? 1 : 255;
        bool number = dtype_is_float(x->dtype);
        vec_push(a, &r->ranges, number ? floats : (CaseRange){ 0, hi, false });
        in[i] = case_value(a, r, g, i, batch);
    }
    return in;
}

/* Inputs for which the loss is finite, if either range gives them. */
static const char *draw_finite(Arena *a, CaseRng *r, const Graph *g, InterpArgs *args)
{
    Graph only = *g;
    Value loss;
    only.outputs.n = 1;
    for (int positive = 0; positive < 2; positive++) {
        args->inputs = draw_inputs(a, r, g, args->batch, positive);
        const char *bad = interp_run(a, &only, args, &loss);
        if (bad || isfinite(loss.f[0]))
            return bad;
    }
    return NULL;
}

static const char *check_tensor(Arena *a, const Graph *g, const InterpArgs *args, uint32_t i,
                                uint32_t directions, uint64_t seed, TensorCheck *t)
{
    Graph one = *g;
    Output outputs[] = { g->outputs.at[0], g->outputs.at[1 + i] };
    GradPoint point = { .tensor = true, .index = t->tensor };
    one.outputs.at = outputs;
    one.outputs.n = 2;
    return gradcheck(a, &one, args, &point, 1, directions, seed + i, &t->check);
}

static bool is_scalar_float(const Graph *g)
{
    NodeId y = g->outputs.n ? g->outputs.at[0].node : NODE_NONE;
    return y != NODE_NONE && !graph_shape(g, y)->rank && dtype_is_float(graph_dtype(g, y));
}

const char *gradcheck_entry(Arena *a, Unit *u, const Entry *e, int64_t batch, uint32_t directions,
                            uint64_t seed, EntryCheck *out_check)
{
    CaseRng r = case_rng(a, seed);
    *out_check = (EntryCheck){ 0 };
    if (!is_scalar_float(e->graph))
        return "the entry's first result is not a float scalar";
    find_tensors(a, u, e->graph, out_check);
    Graph *g = loss_graph(a, e->graph, out_check);
    if (!g)
        return "the loss has no derivative";
    InterpArgs args = { .batch = batch, .seed = seed, .key = 1 };
    for (int f = 0; f < CLOCK_SEED; f++)
        args.clock[f] = 1;
    Value *tensors = arena_new_array(a, Value, u->tensors.n);
    const char *bad = draw_tensors(a, u, &r, &args, tensors);
    args.tensors = tensors;
    bad = bad ? bad : draw_finite(a, &r, g, &args);
    for (uint32_t i = 0; i < out_check->tensors.n && !bad; i++) {
        TensorCheck *t = &out_check->tensors.at[i];
        bad = check_tensor(a, g, &args, i, directions, seed, t);
        if (t->check.error > out_check->tensors.at[out_check->worst].check.error)
            out_check->worst = i;
    }
    return bad;
}
