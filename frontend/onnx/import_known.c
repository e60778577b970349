/* import_known.c: elements that follow from constants.
 *
 * What the graph folds by itself as it is built is not all: a range, a sum, a comparison of
 * constants stay nodes. Shapes in exported files are computed by such nodes, so that what depends
 * on nothing from outside, and is small, is evaluated here by the reference interpreter. */
#include "frontend/onnx/import.h"
#include "ir/interp.h"

#include <string.h>

enum { MOST_NODES = 4096 };

/* Whether a node follows from constants alone, and no tensor on the way is large. */
static bool is_constant(Import *im, NodeId id)
{
    Graph *g = im->g;
    const Node *n = graph_node(g, id);
    int64_t elements;
    const Shape *s = graph_shape(g, id);
    for (uint32_t d = 0; d < s->rank; d++)
        if (s->dim[d].k)
            return false;
    switch ((int)n->op) {
    case OP_input:
    case OP_tensor:
    case OP_clock:
    case OP_batch:
    case OP_var:
    case OP_grad: return false;
    default: break;
    }
    if (!shape_elements(s, &elements) || elements > ONNX_MAX_INTS)
        return false;
    for (uint32_t i = 0; i < n->count; i++)
        if (!im->constant.at[graph_operand(g, id, i)])
            return false;
    return true;
}

static bool depends_on_nothing(Import *im, NodeId id)
{
    while (im->constant.n <= id) {
        uint8_t yes = is_constant(im, im->constant.n);
        vec_push(im->a, &im->constant, yes);
    }
    return im->constant.at[id];
}

/* The nodes that `id` needs, in a graph of their own. */
static Graph *cone(Import *im, NodeId id)
{
    Graph *g = graph_new(im->e->u, "known", 0);
    uint8_t *needed = arena_new_array(im->a, uint8_t, id + 1);
    NodeId *map = arena_new_array(im->a, NodeId, id + 1), in[64];
    uint32_t nodes = 0;
    needed[id] = 1;
    for (NodeId k = id + 1; k-- > 0;) {
        nodes += needed[k];
        for (uint32_t i = 0; needed[k] && i < graph_node(im->g, k)->count; i++)
            needed[graph_operand(im->g, k, i)] = 1;
    }
    if (nodes > MOST_NODES)
        return NULL;
    for (NodeId k = 0; k <= id; k++) {
        const Node *n = graph_node(im->g, k);
        if (!needed[k])
            continue;
        if (n->count > sizeof in / sizeof *in)
            return NULL;
        for (uint32_t i = 0; i < n->count; i++)
            in[i] = map[graph_operand(im->g, k, i)];
        map[k] = graph_copy_node(g, im->g, k, in);
        if (map[k] == NODE_NONE)
            return NULL;
    }
    graph_output(g, "known", map[id], -1);
    return g;
}

const void *import_evaluate(Import *im, NodeId id)
{
    if (!depends_on_nothing(im, id) || !spend(im->e, 0, 1024))
        return NULL;
    InterpArgs args = { .batch = 1 };
    Value v;
    Graph *g = cone(im, id);
    if (!g || interp_run(im->a, g, &args, &v))
        return NULL;
    void *bytes = arena_alloc(im->a, (size_t)v.count * dtype_size(v.dtype) + 1);
    value_to_bytes(&v, bytes);
    return bytes;
}
