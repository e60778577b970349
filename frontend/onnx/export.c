/* export.c: see export.h. The two walks over the graph, and the model around the nodes. */
#include "frontend/onnx/export_node.h"
#include "frontend/onnx/export_write.h"

#include <string.h>

const ExportRow export_rows[OP_COUNT] = {
#define EXPORT(op, onnx, types, say) [OP_##op] = { say, onnx, types },
#include "frontend/onnx/export.def"
#undef EXPORT
};

/* ---- Ops without a row, said in others ---- */

/* Whether the node's op is said by ONNX in the node's type. */
static bool is_said(const Graph *g, const Node *node)
{
    const ExportRow *row = &export_rows[node->op];
    Dtype t = node->count ? graph_dtype(g, g->operands.at[node->first]) : (Dtype)node->dtype;
    return row->say && ex_wider(row->types, t) != DT_COUNT;
}

/* One round: every op that is not said, by its expand. False: there may be more of them. */
static bool expand_once(const Graph *old, Graph **out_g)
{
    Graph *g = graph_new(old->unit, old->name, old->batch_max);
    Arena *a = old->unit->arena;
    NodeId *map = arena_new_array(a, NodeId, old->nodes.n + 1);
    const uint8_t *live = graph_live(a, old);
    NodeId *in = arena_new_array(a, NodeId, old->operands.n + 1);
    bool done = true;
    for (uint32_t i = 0; i < old->inputs.n; i++)
        graph_input(g, old->inputs.at[i]);
    for (NodeId id = 0; id < old->nodes.n; id++) {
        const Node *node = graph_node(old, id);
        if (!live[id])
            continue;
        for (uint32_t i = 0; i < node->count; i++)
            in[i] = map[graph_operand(old, id, i)];
        map[id] = graph_copy_node(g, old, id, in);
        const OpDef *def = op_defs[node->op];
        if (map[id] == NODE_NONE || !def->expand || is_said(old, node) ||
            graph_node(g, map[id])->op != node->op)
            continue;
        g->loc = node->loc;
        map[id] = def->expand(g, map[id], in);
        done = false;
    }
    for (uint32_t i = 0; i < old->outputs.n; i++) {
        const Output *o = &old->outputs.at[i];
        graph_output(g, o->name, map[o->node], o->updates);
    }
    *out_g = g;
    return done;
}

static const Graph *expand_unsaid(const Graph *g)
{
    enum { ROUNDS = 16 };
    Graph *next;
    for (int i = 0; i < ROUNDS && !g->unit->cx->errors; i++) {
        bool done = expand_once(g, &next);
        if (done)
            break;
        g = next;
    }
    return g;
}

/* ---- The walks ---- */

static void say(Export *x, NodeId id)
{
    const ExportRow *row = &export_rows[ex_op(x, id)];
    x->at = id;
    x->said_from = x->nodes.n;
    if (row->say)
        row->say(x, id);
    else
        ex_unsupported(x, id, "`%s`", op_defs[ex_op(x, id)]->name);
}

static void count_uses(Export *x)
{
    const uint8_t *live = graph_live(x->arena, x->g);
    for (NodeId id = 0; id < x->g->nodes.n; id++)
        for (uint32_t i = 0; live[id] && i < graph_node(x->g, id)->count; i++)
            x->uses[graph_operand(x->g, id, i)]++;
    for (uint32_t i = 0; i < x->g->outputs.n; i++)
        x->uses[x->g->outputs.at[i].node]++;
}

static void walk(Export *x)
{
    NodeId n = x->g->nodes.n;
    for (uint32_t i = 0; i < x->g->outputs.n; i++)
        ex_full(x, x->g->outputs.at[i].node);
    for (NodeId id = n; id-- > 0;)
        if (x->need[id])
            say(x, id);
    if (x->unit->cx->errors)
        return;
    x->writing = true;
    for (NodeId id = 0; id < n; id++)
        if (x->need[id])
            say(x, id);
}

/* ---- The model ---- */

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static Onnx__ValueInfoProto *value_info(Arena *a, const char *name, Dtype t, const Shape *s)
{
    Onnx__ValueInfoProto *info = arena_make(a, Onnx__ValueInfoProto);
    Onnx__TypeProto *type = arena_make(a, Onnx__TypeProto);
    Onnx__TypeProto__Tensor *tensor = arena_make(a, Onnx__TypeProto__Tensor);
    Onnx__TensorShapeProto *shape = arena_make(a, Onnx__TensorShapeProto);
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(tensor);
    onnx__tensor_shape_proto__init(shape);
    info->name = text(name);
    info->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = true;
    tensor->elem_type = ex_type(t);
    tensor->shape = shape;
    shape->dim = arena_new_array(a, Onnx__TensorShapeProto__Dimension *, s->rank);
    for (shape->n_dim = 0; shape->n_dim < s->rank; shape->n_dim++) {
        Dim d = s->dim[shape->n_dim];
        Onnx__TensorShapeProto__Dimension *dim = arena_make(a, Onnx__TensorShapeProto__Dimension);
        onnx__tensor_shape_proto__dimension__init(dim);
        dim->value_case = d.k ? ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
                              : ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        if (!d.k)
            dim->dim_value = d.n;
        else
            dim->dim_param = d.k == 1 ? text("B") : arena_printf(a, "%lldB", (long long)d.k);
        shape->dim[shape->n_dim] = dim;
    }
    return info;
}

/* Names that are promised go first: inputs, results, tensors. */
static void take_names(Export *x)
{
    for (uint32_t i = 0; i < x->g->inputs.n; i++)
        ex_name(x, x->g->inputs.at[i].name);
    for (uint32_t i = 0; i < x->g->outputs.n; i++) {
        const Output *o = &x->g->outputs.at[i];
        const char *name = ex_name(x, o->name);
        if (!x->outputs[o->node])
            x->outputs[o->node] = name;
    }
}

/* A result that is an input, a tensor, or another result is copied. */
static const char *finish_output(Export *x, uint32_t i, const char *name)
{
    NodeId id = x->g->outputs.at[i].node;
    if (strcmp(x->full[id], name)) {
        x->at = id;
        EX(x, "Identity", x->full[id]);
        x->nodes.at[x->nodes.n - 1]->output[0] = text(name);
    }
    return name;
}

/* Types of the values between, for those who show or check the file: of each node that was said by
 * ONNX nodes, and is no result of the whole. */
static void add_value_infos(Export *x, Onnx__GraphProto *graph)
{
    graph->value_info = arena_new_array(x->arena, Onnx__ValueInfoProto *, x->values.n);
    for (uint32_t i = 0; i < x->values.n; i++) {
        NodeId id = x->values.at[i];
        graph->value_info[graph->n_value_info++] =
            value_info(x->arena, x->full[id], graph_dtype(x->g, id), graph_shape(x->g, id));
    }
}

static Onnx__GraphProto *make_graph(Export *x)
{
    const Graph *g = x->g;
    Onnx__GraphProto *graph = arena_make(x->arena, Onnx__GraphProto);
    onnx__graph_proto__init(graph);
    graph->name = text(x->unit->name);
    graph->input = arena_new_array(x->arena, Onnx__ValueInfoProto *, g->inputs.n);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        graph->input[graph->n_input++] = value_info(x->arena, g->inputs.at[i].name,
                                                    g->inputs.at[i].dtype, &g->inputs.at[i].shape);
    graph->output = arena_new_array(x->arena, Onnx__ValueInfoProto *, g->outputs.n);
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        NodeId id = g->outputs.at[i].node;
        const char *name = x->outputs[id];
        for (uint32_t k = 0; k < i; k++)
            if (g->outputs.at[k].node == id)
                name = ex_name(x, g->outputs.at[i].name);
        graph->output[graph->n_output++] =
            value_info(x->arena, finish_output(x, i, name), graph_dtype(g, id), graph_shape(g, id));
    }
    add_value_infos(x, graph);
    graph->node = x->nodes.at;
    graph->n_node = x->nodes.n;
    graph->initializer = x->tensors.at;
    graph->n_initializer = x->tensors.n;
    return graph;
}

static Onnx__ModelProto *make_model(Export *x)
{
    Onnx__ModelProto *m = arena_make(x->arena, Onnx__ModelProto);
    Onnx__OperatorSetIdProto *opset = arena_make(x->arena, Onnx__OperatorSetIdProto);
    onnx__model_proto__init(m);
    onnx__operator_set_id_proto__init(opset);
    opset->domain = text("");
    opset->has_version = true;
    opset->version = ONNX_OPSET;
    m->has_ir_version = true;
    m->ir_version = ONNX_IR_VERSION;
    m->producer_name = text("dlcc");
    m->producer_version = text(DLCC_VERSION);
    const char *source = x->options->source;
    m->doc_string = arena_printf(x->arena, "%s of the model %s%s%s", x->options->entry,
                                 x->unit->name, source ? " in " : "", source ? source : "");
    m->graph = make_graph(x);
    m->opset_import = arena_new_array(x->arena, Onnx__OperatorSetIdProto *, 1);
    m->opset_import[m->n_opset_import++] = opset;
    return m;
}

bool onnx_export(Unit *u, const OnnxExport *o)
{
    const Entry *e = unit_entry(u, o->entry);
    const Graph *g = expand_unsaid(e->graph);
    if (u->cx->errors)
        return false;
    Export x = { .unit = u, .arena = u->arena, .g = g, .options = o };
    x.need = arena_new_array(u->arena, uint8_t, g->nodes.n);
    x.uses = arena_new_array(u->arena, uint32_t, g->nodes.n);
    x.outputs = arena_new_array(u->arena, const char *, g->nodes.n);
    x.full = arena_new_array(u->arena, const char *, g->nodes.n);
    x.spread = arena_new_array(u->arena, const char *, g->nodes.n);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        if (g->outputs.at[i].updates >= 0)
            diag_report(u->cx, DIAG_E0741, e->loc, "ONNX cannot say that `%s` changes `%s`",
                        o->entry, u->tensors.at[g->outputs.at[i].updates].name);
    count_uses(&x);
    take_names(&x);
    walk(&x);
    return !u->cx->errors && export_write(u->cx, make_model(&x), o);
}
