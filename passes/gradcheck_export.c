/* gradcheck_export.c: an export as if it were a step, for models without a recipe, such as those of
 * ONNX files: what there is to differentiate is its results, summed with a weight for each element
 * so that none cancels another, by every parameter and by every float input of a fixed shape. */
#include "passes/gradcheck_entry.h"
#include "passes/pass.h"

/* cos(1 + sum over axes of 0.7 (axis + 1) index): no two neighbours alike, none 0. */
static NodeId weights(Graph *g, const Shape *s)
{
    NodeId phase = b_splat(g, DT_F64, s, 1);
    for (uint32_t i = 0; i < s->rank; i++)
        phase = b_add(g, phase, b_scale(g, b_iota(g, s, i, DT_F64), 0.7 * (i + 1)));
    return b_unary(g, OP_cos, phase);
}

static NodeId weighted_sum(Graph *g, NodeId y)
{
    const Shape s = *graph_shape(g, y);
    int64_t axes[MAX_RANK];
    for (uint32_t i = 0; i < s.rank; i++)
        axes[i] = i;
    NodeId product = b_mul(g, y, weights(g, &s));
    return s.rank ? b_reduce(g, OP_reduce_sum, product, axes, s.rank, false) : product;
}

static bool is_fixed(const Shape *s)
{
    for (uint32_t i = 0; i < s->rank; i++)
        if (s->dim[i].k)
            return false;
    return true;
}

static NodeId emit_tensor(Graph *g, int64_t index)
{
    AttrValue a = attr_i(index);
    return graph_emit(g, OP_tensor, NULL, 0, &a, 1);
}

/* A tensor in the input's place, which is drawn and moved like a parameter. */
static int64_t tensor_of_input(Unit *u, const Input *x)
{
    Tensor t = { .name = arena_printf(u->arena, "input %s", x->name),
                 .kind = TENSOR_PARAM,
                 .dtype = x->dtype,
                 .shape = x->shape,
                 .owner = -1,
                 .loc = x->loc };
    vec_push(u->arena, &u->tensors, t);
    return (int64_t)u->tensors.n - 1;
}

static void copy_nodes(Graph *g, const Graph *old, NodeId *map)
{
    const uint8_t *live = graph_live(g->unit->arena, old);
    for (NodeId id = 0; id < old->nodes.n; id++) {
        const Node *n = graph_node(old, id);
        if (!live[id])
            continue;
        if (n->op == OP_input && dtype_is_float((Dtype)n->dtype) && is_fixed(graph_shape(old, id)))
            map[id] = emit_tensor(
                g, tensor_of_input(g->unit, &old->inputs.at[graph_attr(old, id, "index")->i]));
        else
            pass_copy(g, old, id, map);
    }
}

bool gradcheck_export(Unit *u, const Entry *e, Entry *out_step)
{
    const Graph *old = e->graph;
    Graph *g = pass_begin(old);
    NodeId *map = pass_new_map(u->arena, old->nodes.n), loss = NODE_NONE;
    copy_nodes(g, old, map);
    for (uint32_t i = 0; i < old->outputs.n; i++) {
        NodeId y = map[old->outputs.at[i].node];
        if (y == NODE_NONE || graph_dtype(g, y) != DT_F64)
            continue;
        NodeId part = weighted_sum(g, y);
        loss = loss == NODE_NONE ? part : b_add(g, loss, part);
    }
    if (loss == NODE_NONE)
        return false;
    graph_output(g, "loss", loss, -1);
    for (uint32_t i = 0; i < u->tensors.n; i++)
        if (u->tensors.at[i].kind == TENSOR_PARAM && dtype_is_float(u->tensors.at[i].dtype)) {
            u->tensors.at[i].trained = true;
            graph_output(g, u->tensors.at[i].name, emit_tensor(g, i), (int32_t)i);
        }
    *out_step = *e;
    out_step->kind = ENTRY_STEP;
    out_step->graph = g;
    return g->outputs.n > 1;
}
