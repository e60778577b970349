/* vjp.c: see vjp.h. The entry's graph is copied, the input marked as a variable, and one `grad`
 * node added: the rest is the pass that differentiates. */
#include "passes/vjp.h"

#include "passes/pass.h"

#include <ctype.h>
#include <string.h>

typedef struct {
    Unit *u;
    const Entry *from;
    uint32_t output;
    int32_t input, tensor; /* one of them, the other -1 */
} Vjp;

static int32_t find_input(const Graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->inputs.n; i++)
        if (!strcmp(g->inputs.at[i].name, name))
            return (int32_t)i;
    return -1;
}

/* Of the inputs and parameters where the export is found, else of all results. */
static const char *nearest(const Vjp *q, const char *name)
{
    const Unit *u = q->u;
    VEC(const char *) names = { 0 };
    for (uint32_t i = 0; q->from && i < q->from->graph->inputs.n; i++)
        vec_push(u->arena, &names, q->from->graph->inputs.at[i].name);
    for (uint32_t i = 0; q->from && i < u->tensors.n; i++)
        if (u->tensors.at[i].kind == TENSOR_PARAM)
            vec_push(u->arena, &names, u->tensors.at[i].name);
    for (uint32_t i = 0; !q->from && i < u->entries.n; i++)
        for (uint32_t k = 0; k < u->entries.at[i].graph->outputs.n; k++)
            if (u->entries.at[i].kind == ENTRY_EXPORT)
                vec_push(u->arena, &names, u->entries.at[i].graph->outputs.at[k].name);
    return diag_nearest(name, names.at, names.n);
}

static bool find(Vjp *q, const char *output, const char *input)
{
    for (uint32_t i = 0; i < q->u->entries.n; i++) {
        const Entry *e = &q->u->entries.at[i];
        for (uint32_t k = 0; e->kind == ENTRY_EXPORT && k < e->graph->outputs.n; k++) {
            if (strcmp(e->graph->outputs.at[k].name, output))
                continue;
            q->from = e;
            q->output = k;
            q->input = find_input(e->graph, input);
            q->tensor = q->input < 0 ? unit_tensor(q->u, input) : -1;
            if (q->input >= 0 || q->tensor >= 0)
                return true;
        }
    }
    const char *near = nearest(q, q->from ? input : output);
    const char *hint = near ? arena_printf(q->u->arena, "; did you mean `%s`?", near) : "";
    if (q->from)
        diag_report(q->u->cx, DIAG_E0506, 0,
                    "no input or parameter `%s` for a derivative of `%s`%s", input, output, hint);
    else
        diag_report(q->u->cx, DIAG_E0506, 0, "no export has the output `%s`%s", output, hint);
    return false;
}

/* The nodes of the entry, the variable marked. */
static NodeId copy_body(Vjp *q, Graph *g, NodeId *map)
{
    const Graph *old = q->from->graph;
    const uint8_t *live = graph_live(q->u->arena, old);
    NodeId x = NODE_NONE;
    for (NodeId id = 0; id < old->nodes.n; id++) {
        const Node *n = graph_node(old, id);
        bool is_input = n->op == OP_input && graph_attr(old, id, "index")->i == q->input;
        if (!live[id] && !is_input)
            continue;
        pass_copy(g, old, id, map);
        if (is_input) {
            AttrValue site = attr_i(INT32_MAX); /* no site of the program has this number */
            x = map[id] = graph_emit(g, OP_var, &map[id], 1, &site, 1);
        } else if (n->op == OP_tensor && graph_attr(old, id, "index")->i == q->tensor) {
            x = map[id];
        }
    }
    if (x == NODE_NONE && q->tensor >= 0) { /* the export does not read it: the derivative is 0 */
        AttrValue index = attr_i(q->tensor);
        x = graph_emit(g, OP_tensor, NULL, 0, &index, 1);
    }
    return x;
}

static const char *entry_name(Vjp *q, const char *output, const char *input)
{
    char *name = arena_printf(q->u->arena, "vjp_%s_%s", output, input);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) || (unsigned char)*c > 127)
            *c = '_';
    return name;
}

Entry *vjp_add(Unit *u, const char *output, const char *input)
{
    Vjp q = { .u = u };
    if (!find(&q, output, input))
        return NULL;
    const Graph *old = q.from->graph;
    Graph *g = pass_begin(old);
    NodeId *map = pass_new_map(u->arena, old->nodes.n);
    NodeId y = old->outputs.at[q.output].node;
    Dtype t = graph_dtype(old, y);
    NodeId dy = graph_input(g, (Input){ .name = arena_printf(u->arena, "d_%s", output),
                                        .dtype = t,
                                        .shape = *graph_shape(old, y),
                                        .loc = q.from->loc });
    NodeId x = copy_body(&q, g, map);
    if (!dtype_is_float(t) || x == NODE_NONE || !dtype_is_float(graph_dtype(g, x))) {
        diag_report(u->cx, DIAG_E0506, q.from->loc, "`%s` and `%s` must be floats", output, input);
        return NULL;
    }
    int64_t axes[MAX_RANK];
    uint32_t rank = graph_shape(old, y)->rank;
    for (uint32_t i = 0; i < rank; i++)
        axes[i] = i;
    g->loc = q.from->loc;
    NodeId product = b_mul(g, map[y], dy);
    NodeId sum = rank ? b_reduce(g, OP_reduce_sum, product, axes, rank, false) : product;
    NodeId both[] = { sum, x };
    NodeId dx = graph_emit(g, OP_grad, both, 2, NULL, 0);
    if (dx == NODE_NONE)
        return NULL;
    g->name = entry_name(&q, output, input);
    graph_output(g, arena_printf(u->arena, "d_%s", input), dx, -1);
    Entry e = { ENTRY_EXPORT, g->name, g, q.from->pinned, q.from->loc };
    vec_push(u->arena, &u->entries, e);
    return &u->entries.at[u->entries.n - 1];
}
