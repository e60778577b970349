/* inspect_layers.c: see inspect_layers.h. One walk up a graph: what follows from the tensors of one
 * layer alone (a weight that is cast, transposed, scaled) belongs to that layer; where it meets
 * what follows from an input is the layer's result: the product, then the sum with the bias. */
#include "driver/inspect_layers.h"

#include "frontend/name.h"
#include "ir/op.h"

#include <string.h>

enum { NOBODY = -1, SEVERAL = -2 };

typedef struct {
    Unit *u;
    const Graph *g;
    ModelLayers *out;
    NameMap names;     /* of layers, to their numbers */
    int32_t *layer_of; /* by tensor */
    int32_t *owner;    /* by node: a layer's alone, NOBODY (constants), SEVERAL */
    uint8_t *input;    /* by node: follows from an input */
} Walk;

static int32_t layer_of(Walk *w, const Tensor *t)
{
    const char *dot = strrchr(t->name, '.');
    size_t n = dot ? (size_t)(dot - t->name) : strlen(t->name);
    const char *name = name_intern(w->u->cx, t->name, n);
    int64_t known = name_map_get(&w->names, name);
    if (known >= 0)
        return (int32_t)known;
    name_map_put(w->u->arena, &w->names, name, w->out->layers.n);
    vec_push(w->u->arena, &w->out->layers, (ModelLayer){ .name = name });
    return (int32_t)w->out->layers.n - 1;
}

static double elements(const Shape *s)
{
    double n = 1;
    for (uint32_t i = 0; i < s->rank; i++)
        n *= (double)s->dim[i].n;
    return n;
}

/* Products of a dot: the extents of all its letters. */
static double dot_products(const Graph *g, NodeId id)
{
    const char *spec = graph_attr(g, id, "spec")->s;
    double n = 1;
    bool seen[256] = { 0 };
    for (uint32_t k = 0; k < 2; k++, spec++) {
        const Shape *s = graph_shape(g, graph_operand(g, id, k));
        for (uint32_t i = 0; *spec && *spec != ',' && *spec != '-'; spec++, i++)
            if (!seen[(unsigned char)*spec]) {
                seen[(unsigned char)*spec] = true;
                n *= (double)s->dim[i].n;
            }
    }
    return n;
}

static double node_flops(const Graph *g, NodeId id)
{
    const Node *n = graph_node(g, id);
    double result = elements(graph_shape(g, id));
    if (n->op == OP_dot)
        return 2 * dot_products(g, id);
    if (n->op != OP_conv && n->op != OP_conv_transpose)
        return op_defs[n->op]->lower == LOWER_ELEMENTWISE ? result : 0;
    /* each element of the one is multiplied with the part of the weights that it meets */
    const Shape *w = graph_shape(g, graph_operand(g, id, 1));
    if (n->op == OP_conv_transpose)
        result = elements(graph_shape(g, graph_operand(g, id, 0)));
    return w->dim[0].n ? 2 * result * elements(w) / (double)w->dim[0].n : 0;
}

static void meet(Walk *w, NodeId id)
{
    for (uint32_t k = 0; k < graph_node(w->g, id)->count; k++) {
        int32_t owner = w->owner[graph_operand(w->g, id, k)];
        if (owner < 0)
            continue;
        ModelLayer *layer = &w->out->layers.at[owner];
        layer->dtype = graph_dtype(w->g, id);
        layer->shape = *graph_shape(w->g, id);
        layer->flops += node_flops(w->g, id);
        return;
    }
}

static void visit(Walk *w, NodeId id)
{
    const Node *n = graph_node(w->g, id);
    int32_t owner = NOBODY;
    bool input = n->op == OP_input;
    if (n->op == OP_tensor) {
        const Tensor *t = &w->u->tensors.at[graph_attr(w->g, id, "index")->i];
        owner = w->layer_of[graph_attr(w->g, id, "index")->i];
        if (owner == NOBODY && (t->kind == TENSOR_PARAM || t->kind == TENSOR_STATE)) {
            owner = w->layer_of[graph_attr(w->g, id, "index")->i] = layer_of(w, t);
            if (t->kind == TENSOR_PARAM)
                w->out->layers.at[owner].params += (int64_t)elements(&t->shape);
        }
    }
    for (uint32_t k = 0; k < n->count; k++) {
        NodeId x = graph_operand(w->g, id, k);
        input |= w->input[x];
        if (w->owner[x] != NOBODY)
            owner = owner == NOBODY || owner == w->owner[x] ? w->owner[x] : SEVERAL;
    }
    w->input[id] = input;
    w->owner[id] = input ? NOBODY : owner;
    if (input)
        meet(w, id);
}

static ModelLayers entry_layers(Unit *u, const Entry *e)
{
    ModelLayers all = { .entry = e->name };
    const Graph *g = e->graph;
    uint8_t *live = graph_live(u->arena, g);
    Walk w = { .u = u,
               .g = g,
               .out = &all,
               .layer_of = arena_new_array(u->arena, int32_t, u->tensors.n + 1),
               .owner = arena_new_array(u->arena, int32_t, g->nodes.n + 1),
               .input = arena_new_array(u->arena, uint8_t, g->nodes.n + 1) };
    for (uint32_t i = 0; i < u->tensors.n; i++)
        w.layer_of[i] = NOBODY;
    for (NodeId id = 0; id < g->nodes.n; id++)
        if (live[id])
            visit(&w, id);
    return all;
}

ModelLayers inspect_layers(Unit *u)
{
    ModelLayers most = { 0 };
    for (uint32_t i = 0; i < u->entries.n; i++) {
        if (u->entries.at[i].kind != ENTRY_EXPORT)
            continue;
        ModelLayers own = entry_layers(u, &u->entries.at[i]);
        most = own.layers.n > most.layers.n ? own : most;
    }
    return most;
}
