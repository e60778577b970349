/* interp.c: evaluates graphs node by node. A value is dropped after its last use, each in an arena
 * of its own, so that whole models fit. */
#include "ir/interp.h"

#include <string.h>

typedef struct {
    Graph *g;
    const InterpArgs *args;
    Arena *out;         /* messages and results */
    Value *values;      /* by node */
    Arena **arenas;     /* by node, NULL before and after its life */
    NodeId *last_user;  /* by node; NODE_NONE: an output, never dropped */
} Interp;

static bool lacks_reference(const Node *n)
{
    const OpDef *def = op_defs[n->op];
    return !def->ref && def->expand;
}

static NodeId copy_expanded(Graph *g, const Graph *from, NodeId id, NodeId *map)
{
    const Node *n = graph_node(from, id);
    NodeId *in = arena_new_array(g->unit->arena, NodeId, n->count);
    for (uint32_t i = 0; i < n->count; i++)
        in[i] = map[graph_operand(from, id, i)];
    NodeId copy = graph_copy_node(g, from, id, in);
    if (copy == NODE_NONE || !lacks_reference(graph_node(g, copy)))
        return map[id] = copy;
    for (uint32_t i = 0; i < graph_node(g, copy)->count; i++)
        in[i] = graph_operand(g, copy, i);
    g->loc = n->loc;
    return map[id] = op_defs[graph_node(g, copy)->op]->expand(g, copy, in);
}

static bool all_have_reference(const Graph *g)
{
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, g);
    bool all = true;
    for (NodeId id = 0; id < g->nodes.n && all; id++)
        all = !live[id] || !lacks_reference(graph_node(g, id));
    arena_free(a);
    return all;
}

static Graph *expand_once(const Graph *from)
{
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, from);
    NodeId *map = arena_new_array(a, NodeId, from->nodes.n);
    Graph *g = graph_new(from->unit, from->name, from->batch_max);
    for (uint32_t i = 0; i < from->inputs.n; i++)
        vec_push(g->unit->arena, &g->inputs, from->inputs.at[i]);
    bool ok = true;
    for (NodeId id = 0; ok && id < from->nodes.n; id++)
        ok = !live[id] || copy_expanded(g, from, id, map) != NODE_NONE;
    for (uint32_t i = 0; ok && i < from->outputs.n; i++)
        graph_output(g, from->outputs.at[i].name, map[from->outputs.at[i].node],
                     from->outputs.at[i].updates);
    arena_free(a);
    return ok ? g : NULL;
}

Graph *interp_prepare(Graph *g)
{
    enum { MAX_ROUNDS = 16 };
    for (int round = 0; g && !all_have_reference(g); round++)
        g = round < MAX_ROUNDS ? expand_once(g) : NULL;
    return g;
}

static const char *check_argument(const Interp *t, const Value *v, Dtype dtype, const Shape *s,
                                  const char *name)
{
    bool fits = v->dtype == dtype && v->rank == s->rank;
    for (uint32_t i = 0; fits && i < s->rank; i++)
        fits = v->dim[i] == (s->dim[i].k ? s->dim[i].k * t->args->batch : s->dim[i].n);
    return fits ? NULL : arena_printf(t->out, "the value of `%s` does not fit its type", name);
}

static const char *take_argument(Interp *t, NodeId id)
{
    int64_t index = graph_attr(t->g, id, "index")->i;
    bool input = graph_node(t->g, id)->op == OP_input;
    const char *name = input ? t->g->inputs.at[index].name : t->g->unit->tensors.at[index].name;
    const Value *v = input ? &t->args->inputs[index] : &t->args->tensors[index];
    t->values[id] = *v;
    return check_argument(t, v, graph_dtype(t->g, id), graph_shape(t->g, id), name);
}

/* clock and batch: scalars of the run. */
static void take_scalar(Interp *t, NodeId id, Value *v)
{
    const InterpArgs *args = t->args;
    if (graph_node(t->g, id)->op == OP_batch) {
        int64_t n = graph_attr(t->g, id, "k")->i * args->batch;
        if (dtype_is_float(v->dtype))
            v->f[0] = (double)n;
        else
            v->i[0] = value_wrap(v->dtype, n);
        return;
    }
    int field = clock_field(graph_attr(t->g, id, "field")->s);
    if (field < CLOCK_SEED)
        v->f[0] = args->clock[field];
    else
        v->i[0] = (int64_t)(field == CLOCK_SEED ? args->seed : args->key);
}

static const char *eval_node(Interp *t, NodeId id)
{
    Graph *g = t->g;
    const Node *n = graph_node(g, id);
    const OpDef *def = op_defs[n->op];
    if (n->op == OP_input || n->op == OP_tensor)
        return take_argument(t, id);
    Arena *a = t->arenas[id] = arena_new();
    Value *out = &t->values[id];
    if (n->op == OP_constant) {
        *out = value_from_bytes(a, graph_dtype(g, id), graph_shape(g, id),
                                graph_attr(g, id, "data")->data);
        return NULL;
    }
    *out = value_new(a, graph_dtype(g, id), graph_shape(g, id), t->args->batch);
    if (n->op == OP_clock || n->op == OP_batch) {
        take_scalar(t, id, out);
        return NULL;
    }
    if (!def->ref)
        return arena_printf(t->out, "`%s` has no reference", def->name);
    Value *in = arena_new_array(a, Value, n->count);
    for (uint32_t i = 0; i < n->count; i++)
        in[i] = t->values[graph_operand(g, id, i)];
    Ref q = { .g = g,
              .node = id,
              .arena = a,
              .in = in,
              .n = n->count,
              .batch = t->args->batch,
              .seed = t->args->seed,
              .step = t->args->key,
              .out = out };
    def->ref(&q);
    return NULL;
}

static void drop_operands(Interp *t, NodeId id)
{
    for (uint32_t i = 0; i < graph_node(t->g, id)->count; i++) {
        NodeId x = graph_operand(t->g, id, i);
        if (t->last_user[x] == id) {
            arena_free(t->arenas[x]);
            t->arenas[x] = NULL;
        }
    }
}

static void find_last_users(Interp *t, const uint8_t *live)
{
    const Graph *g = t->g;
    for (NodeId id = 0; id < g->nodes.n; id++)
        for (uint32_t i = 0; live[id] && i < graph_node(g, id)->count; i++)
            t->last_user[graph_operand(g, id, i)] = id;
    for (uint32_t i = 0; i < g->outputs.n; i++)
        t->last_user[g->outputs.at[i].node] = NODE_NONE;
}

const char *interp_run(Arena *a, Graph *g, const InterpArgs *args, Value *out_values)
{
    g = interp_prepare(g);
    if (!g)
        return "an expansion failed";
    Arena *scratch = arena_new();
    const uint8_t *live = graph_live(scratch, g);
    Interp t = { .g = g, .args = args, .out = a };
    t.values = arena_new_array(scratch, Value, g->nodes.n);
    t.arenas = arena_new_array(scratch, Arena *, g->nodes.n);
    t.last_user = arena_new_array(scratch, NodeId, g->nodes.n);
    find_last_users(&t, live);
    const char *bad = NULL;
    for (NodeId id = 0; id < g->nodes.n && !bad; id++)
        if (live[id] && !(bad = eval_node(&t, id)))
            drop_operands(&t, id);
    for (uint32_t i = 0; i < g->outputs.n && !bad; i++)
        out_values[i] = value_copy(a, &t.values[g->outputs.at[i].node]);
    for (NodeId id = 0; id < g->nodes.n; id++)
        arena_free(t.arenas[id]);
    arena_free(scratch);
    return bad;
}

const char *interp_entry(Arena *a, Graph *g, const InterpArgs *args, Value *tensors,
                         Value *out_results)
{
    InterpArgs mine = *args;
    mine.tensors = tensors;
    Value *values = arena_new_array(a, Value, g->outputs.n);
    const char *bad = interp_run(a, g, &mine, values);
    uint32_t results = 0;
    for (uint32_t i = 0; i < g->outputs.n && !bad; i++) {
        int32_t target = g->outputs.at[i].updates;
        if (target >= 0)
            tensors[target] = values[i];
        else if (out_results)
            out_results[results++] = values[i];
    }
    return bad;
}
