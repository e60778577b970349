/* gradcheck_entry.c: see gradcheck_entry.h. The loss is copied out of the entry's graph with a
 * `grad` for each tensor, so that what is checked is the derivative and not what an optimizer makes
 * of it. */
#include "passes/gradcheck_entry.h"

#include "ir/cases.h"
#include "passes/autodiff.h"
#include "passes/index_range.h"
#include "passes/pass.h"

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
        const Tensor *tensor = &g->unit->tensors.at[check->tensors.at[i]];
        AttrValue index = attr_i(check->tensors.at[i]);
        g->loc = tensor->loc;
        NodeId t = graph_emit(g, OP_tensor, NULL, 0, &index, 1);
        graph_output(g, arena_printf(g->unit->arena, "d %s", tensor->name),
                     graph_emit(g, OP_grad, (NodeId[]){ loss, t }, 2, NULL, 0), -1);
    }
    return autodiff_graph(g);
}

/* A GAN's step for one half reads the other half's parameters, and leaves them alone. */
static void find_tensors(Arena *a, const Graph *g, EntryCheck *check)
{
    const Unit *u = g->unit;
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        const Tensor *t = &u->tensors.at[i];
        bool updated = false;
        for (uint32_t k = 0; k < g->outputs.n; k++)
            updated |= g->outputs.at[k].updates == (int32_t)i;
        if (t->kind == TENSOR_PARAM && t->trained && updated && dtype_is_float(t->dtype))
            vec_push(a, &check->tensors, i);
    }
}

static const char *run_init(Arena *a, EntryCheck *check)
{
    Unit *u = check->unit;
    const Entry *init = unit_entry(u, "init");
    check->n_tensors = u->tensors.n;
    Value *v = check->initial = arena_new_array(a, Value, u->tensors.n);
    for (uint32_t i = 0; i < u->tensors.n; i++)
        v[i] = value_new(a, u->tensors.at[i].dtype, &u->tensors.at[i].shape, 1);
    check->values = arena_new_array(a, Value, u->tensors.n);
    check->args.tensors = check->values;
    const char *bad = init ? interp_entry(a, init->graph, &check->args, v, NULL) : NULL;
    for (uint32_t i = 0; !bad && i < u->tensors.n; i++) {
        const Tensor *t = &u->tensors.at[i];
        if (!t->data)
            continue;
        v[i] = value_from_bytes(a, t->data_dtype, &t->shape, t->data);
        v[i].dtype = t->dtype;
    }
    return bad;
}

/* One that stands for an input (see gradcheck_export): no tensor of a program has a blank in its
 * name. */
static bool is_input(const Tensor *t)
{
    return !strncmp(t->name, "input ", 6);
}

static void draw_tensors(Arena *a, CaseRng *r, EntryCheck *check, CaseRange inputs)
{
    const Unit *u = check->unit;
    for (uint32_t i = 0; i < check->n_tensors; i++) {
        Value *v = &check->values[i];
        *v = check->initial[i];
        if (!u->tensors.at[i].trained || !dtype_is_float(v->dtype))
            continue;
        v->f = arena_new_array(a, double, (size_t)v->count);
        for (int64_t k = 0; k < v->count; k++)
            v->f[k] = is_input(&u->tensors.at[i])
                          ? case_uniform(r, inputs.lo, inputs.hi)
                          : check->initial[i].f[k] + case_uniform(r, -0.05, 0.05);
    }
}

/* The largest integer that an input may have. */
static double largest(Arena *a, const EntryCheck *check, uint32_t input)
{
    const Input *x = &check->graph->inputs.at[input];
    int64_t range = dtype_is_integer(x->dtype)
                        ? index_range(a, check->graph, input, check->args.batch)
                        : 0;
    if (x->bound && (!range || x->bound < range))
        range = x->bound;
    return range ? (double)range - 1 : x->dtype == DT_BOOL || check->small ? 1 : 255;
}

void gradcheck_entry_draw(Arena *a, EntryCheck *check, uint32_t draw, bool positive)
{
    const Graph *g = check->graph;
    CaseRange floats = positive ? (CaseRange){ 0.5, 1.5, false } : (CaseRange){ -1, 1, false };
    CaseRng r = case_rng(a, check->args.seed + draw * UINT64_C(1000003));
    Value *in = arena_new_array(a, Value, g->inputs.n);
    draw_tensors(a, &r, check, floats);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Input *x = &g->inputs.at[i];
        double hi = largest(a, check, i);
        bool number = dtype_is_float(x->dtype);
        vec_push(a, &r.ranges, number ? floats : (CaseRange){ 0, hi, false });
        in[i] = case_value(a, &r, g, i, check->args.batch);
    }
    check->args.inputs = in;
}

static bool is_scalar_float(const Graph *g)
{
    NodeId y = g->outputs.n ? g->outputs.at[0].node : NODE_NONE;
    return y != NODE_NONE && !graph_shape(g, y)->rank && dtype_is_float(graph_dtype(g, y));
}

const char *gradcheck_entry(Arena *a, Unit *u, const Entry *e, int64_t batch, uint64_t seed,
                            EntryCheck *out_check)
{
    *out_check = (EntryCheck){ .unit = u, .args = { .batch = batch, .seed = seed, .key = 1 } };
    if (!is_scalar_float(e->graph))
        return "the entry's first result is not a float scalar";
    out_check->small = !u->recipe.present; /* they may be sizes or choices */
    find_tensors(a, e->graph, out_check);
    out_check->graph = loss_graph(a, e->graph, out_check);
    if (!out_check->graph)
        return "the loss has no derivative";
    for (int f = 0; f < CLOCK_SEED; f++)
        out_check->args.clock[f] = 1;
    return run_init(a, out_check);
}
