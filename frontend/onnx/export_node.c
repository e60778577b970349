/* export_node.c: nodes, names, constants and operands of the ONNX file being made. */
#include "frontend/onnx/export_node.h"

#include "ir/value.h"

#include <string.h>

/* ---- Names ---- */

enum { NAME_BUCKETS = 4096 };

struct NameCount {
    const char *name;
    uint32_t next; /* the number to try first when it is asked for again */
    NameCount *chain;
};

static NameCount *name_find(Export *x, const char *name, bool make)
{
    uint64_t h = 14695981039346656037u;
    for (const char *p = name; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    if (!x->names)
        x->names = arena_new_array(x->arena, NameCount *, NAME_BUCKETS);
    NameCount **bucket = &x->names[h % NAME_BUCKETS];
    for (NameCount *c = *bucket; c; c = c->chain)
        if (!strcmp(c->name, name))
            return c;
    if (!make)
        return NULL;
    NameCount *c = arena_make(x->arena, NameCount);
    *c = (NameCount){ name, 1, *bucket };
    return *bucket = c;
}

const char *ex_name(Export *x, const char *base)
{
    NameCount *c = name_find(x, base, false);
    if (!c)
        return name_find(x, base, true)->name;
    for (;;) {
        const char *name = arena_printf(x->arena, "%s_%u", base, c->next++);
        if (!name_find(x, name, false))
            return name_find(x, name, true)->name;
    }
}

/* The layer that a node was made in, or NULL. */
static const char *owner_of(const Compiler *cx, LocId loc)
{
    for (; loc; loc = loc_get(cx, loc)->parent)
        if (loc_get(cx, loc)->owner)
            return loc_get(cx, loc)->owner;
    return NULL;
}

/* "block.0.conv1/Conv" */
static const char *node_name(Export *x, const char *op)
{
    const char *owner = owner_of(x->unit->cx, graph_node(x->g, x->at)->loc);
    return ex_name(x, owner ? arena_printf(x->arena, "%s/%s", owner, op) : op);
}

/* ---- Nodes ---- */

static char *text(const char *s)
{
    return (char *)(uintptr_t)s; /* protobuf-c's messages have no const; packing only reads */
}

const char *ex_node(Export *x, const char *op, const char *const *in, uint32_t n)
{
    if (!x->writing)
        return "";
    Onnx__NodeProto *node = arena_make(x->arena, Onnx__NodeProto);
    onnx__node_proto__init(node);
    node->op_type = text(op);
    node->name = text(node_name(x, op));
    node->input = arena_new_array(x->arena, char *, n);
    for (node->n_input = 0; node->n_input < n; node->n_input++)
        node->input[node->n_input] = text(in[node->n_input]);
    node->output = arena_new_array(x->arena, char *, 2);
    node->output[node->n_output++] = node->name;
    vec_push(x->arena, &x->nodes, node);
    return node->name;
}

const char *ex_second(Export *x)
{
    if (!x->writing)
        return "";
    Onnx__NodeProto *node = x->nodes.at[x->nodes.n - 1];
    node->output[node->n_output++] = text(ex_name(x, node->name));
    return node->output[node->n_output - 1];
}

static Onnx__AttributeProto *add_attribute(Export *x, const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    Onnx__NodeProto *node = x->nodes.at[x->nodes.n - 1];
    Onnx__AttributeProto *a = arena_make(x->arena, Onnx__AttributeProto),
                         **all = arena_new_array(x->arena, Onnx__AttributeProto *,
                                                 node->n_attribute + 1);
    onnx__attribute_proto__init(a);
    a->name = text(name);
    a->has_type = true;
    a->type = type;
    for (size_t i = 0; i < node->n_attribute; i++)
        all[i] = node->attribute[i];
    all[node->n_attribute++] = a;
    node->attribute = all;
    return a;
}

void ex_int(Export *x, const char *attr, int64_t v)
{
    if (!x->writing)
        return;
    Onnx__AttributeProto *a = add_attribute(x, attr, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    a->has_i = true;
    a->i = v;
}

void ex_list(Export *x, const char *attr, const int64_t *v, uint32_t n)
{
    if (!x->writing)
        return;
    Onnx__AttributeProto *a = add_attribute(x, attr, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    a->ints = arena_new_array(x->arena, int64_t, n);
    a->n_ints = n;
    for (uint32_t i = 0; i < n; i++)
        a->ints[i] = v[i];
}

void ex_text(Export *x, const char *attr, const char *v)
{
    if (!x->writing)
        return;
    Onnx__AttributeProto *a = add_attribute(x, attr, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    a->has_s = true;
    a->s = (ProtobufCBinaryData){ strlen(v), (uint8_t *)text(v) };
}

/* ---- Constants ---- */

int32_t ex_type(Dtype t)
{
    static const int32_t types[DT_COUNT] = {
        [DT_F64] = ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE,
        [DT_F32] = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT,
        [DT_F16] = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16,
        [DT_BF16] = ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16,
        [DT_I64] = ONNX__TENSOR_PROTO__DATA_TYPE__INT64,
        [DT_I32] = ONNX__TENSOR_PROTO__DATA_TYPE__INT32,
        [DT_I16] = ONNX__TENSOR_PROTO__DATA_TYPE__INT16,
        [DT_I8] = ONNX__TENSOR_PROTO__DATA_TYPE__INT8,
        [DT_U64] = ONNX__TENSOR_PROTO__DATA_TYPE__UINT64,
        [DT_U32] = ONNX__TENSOR_PROTO__DATA_TYPE__UINT32,
        [DT_U16] = ONNX__TENSOR_PROTO__DATA_TYPE__UINT16,
        [DT_U8] = ONNX__TENSOR_PROTO__DATA_TYPE__UINT8,
        [DT_BOOL] = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL,
    };
    return types[t];
}

static Onnx__TensorProto *new_tensor(Export *x, Dtype t, const int64_t *dims, uint32_t rank,
                                     const void *elements)
{
    Onnx__TensorProto *tensor = arena_make(x->arena, Onnx__TensorProto);
    size_t bytes = dtype_size(t);
    onnx__tensor_proto__init(tensor);
    tensor->dims = arena_new_array(x->arena, int64_t, rank);
    tensor->n_dims = rank;
    for (uint32_t i = 0; i < rank; i++)
        bytes *= (size_t)(tensor->dims[i] = dims[i]);
    tensor->has_data_type = true;
    tensor->data_type = ex_type(t);
    tensor->has_raw_data = true;
    tensor->raw_data = (ProtobufCBinaryData){ bytes, (uint8_t *)(uintptr_t)elements };
    return tensor;
}

static bool equal_tensors(const Onnx__TensorProto *a, const Onnx__TensorProto *b)
{
    return a->data_type == b->data_type && a->n_dims == b->n_dims &&
           a->raw_data.len == b->raw_data.len &&
           (!a->n_dims || !memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims)) &&
           (!a->raw_data.len || !memcmp(a->raw_data.data, b->raw_data.data, a->raw_data.len));
}

/* Equal ones are one. Only small ones are looked for: those that shapes and axes are made of. */
const char *ex_tensor(Export *x, Dtype t, const int64_t *dims, uint32_t rank, const void *elements)
{
    enum { SMALL = 64, RECENT = 256 };
    if (!x->writing)
        return "";
    Onnx__TensorProto *tensor = new_tensor(x, t, dims, rank, elements);
    size_t bytes = tensor->raw_data.len;
    uint32_t first = x->constants.n > RECENT ? x->constants.n - RECENT : 0;
    for (uint32_t i = first; bytes <= SMALL && i < x->constants.n; i++)
        if (equal_tensors(x->constants.at[i].tensor, tensor))
            return x->constants.at[i].name;
    uint8_t *copy = arena_alloc(x->arena, bytes);
    if (bytes)
        memcpy(copy, elements, bytes);
    tensor->raw_data.data = copy;
    tensor->name = text(node_name(x, "Constant"));
    vec_push(x->arena, &x->tensors, tensor);
    if (bytes <= SMALL)
        vec_push(x->arena, &x->constants, (KnownConstant){ tensor, tensor->name });
    return tensor->name;
}

const char *ex_scalar(Export *x, Dtype t, double v)
{
    Value value = value_new(x->arena, t, &(Shape){ 0 }, 1);
    uint8_t bytes[8] = { 0 };
    if (dtype_is_float(t))
        value.f[0] = v;
    else
        value.i[0] = (int64_t)v;
    value_to_bytes(&value, bytes);
    return ex_tensor(x, t, NULL, 0, bytes);
}

const char *ex_ints(Export *x, const int64_t *v, uint32_t n)
{
    return ex_tensor(x, DT_I64, &(int64_t){ n }, 1, v);
}

/* ---- Operands and results ---- */

/* y is x with axes of extent 1 before it. */
static bool is_leading_ones(const Shape *x, const Shape *y)
{
    if (y->rank < x->rank)
        return false;
    uint32_t more = y->rank - x->rank;
    for (uint32_t i = 0; i < y->rank; i++)
        if (!dim_equal(y->dim[i], i < more ? dim_of(1) : x->dim[i - more]))
            return false;
    return true;
}

NodeId ex_stripped(const Graph *g, NodeId id)
{
    for (;; id = graph_operand(g, id, 0)) {
        Op op = (Op)graph_node(g, id)->op;
        if (op != OP_broadcast &&
            (op != OP_reshape ||
             !is_leading_ones(graph_shape(g, graph_operand(g, id, 0)), graph_shape(g, id))))
            return id;
    }
}

static bool is_one_element(const Shape *s)
{
    int64_t n;
    return shape_elements(s, &n) && n == 1 && !s->dim[0].k;
}

/* The shape of the spread value of a stripped node. */
static Shape spread_shape(const Graph *g, NodeId id)
{
    Shape s = *graph_shape(g, id);
    if (graph_node(g, id)->op == OP_constant && is_one_element(&s))
        return (Shape){ 0 };
    if (graph_node(g, id)->op != OP_iota)
        return s;
    Shape line = { .rank = s.rank - (uint32_t)graph_attr(g, id, "axis")->i };
    for (uint32_t i = 0; i < line.rank; i++)
        line.dim[i] = i ? dim_of(1) : s.dim[s.rank - line.rank];
    return line;
}

bool ex_spread_covers(const Export *x, const NodeId *ids, uint32_t n, const Shape *like)
{
    uint32_t missing = like->rank, rank = 0;
    bool has[MAX_RANK] = { false };
    for (uint32_t k = 0; k < n; k++) {
        Shape s = spread_shape(x->g, ex_stripped(x->g, ids[k]));
        rank = s.rank > rank ? s.rank : rank;
        for (uint32_t i = 0; i < s.rank; i++) {
            uint32_t axis = like->rank - s.rank + i;
            if (!has[axis] && dim_equal(s.dim[i], like->dim[axis]))
                has[axis] = true, missing--;
        }
    }
    return rank == like->rank && !missing;
}

const char *ex_full(Export *x, NodeId id)
{
    x->need[id] |= NEED_FULL;
    return x->writing ? x->full[id] : "";
}

const char *ex_spread(Export *x, NodeId id)
{
    id = ex_stripped(x->g, id);
    const Node *node = graph_node(x->g, id);
    if (node->op == OP_iota) {
        x->need[id] |= NEED_SPREAD;
        return x->writing ? x->spread[id] : "";
    }
    if (node->op == OP_constant && is_one_element(graph_shape(x->g, id)))
        return ex_tensor(x, (Dtype)node->dtype, NULL, 0, graph_attr(x->g, id, "data")->data);
    return ex_full(x, id);
}

/* A result of the whole gives its name to the node that computes it. */
void ex_result(Export *x, NodeId id, const char *name)
{
    x->full[id] = name;
    if (!x->writing || x->nodes.n == x->said_from)
        return;
    Onnx__NodeProto *last = x->nodes.at[x->nodes.n - 1];
    for (size_t i = 0; i < last->n_output; i++) {
        if (last->output[i] != name)
            continue;
        if (x->outputs[id])
            x->full[id] = last->output[i] = text(x->outputs[id]);
        else
            vec_push(x->arena, &x->values, id);
    }
}

void ex_unsupported(Export *x, NodeId id, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *what = arena_vprintf(x->arena, format, args);
    va_end(args);
    diag_report(x->unit->cx, DIAG_E0741, graph_node(x->g, id)->loc, "ONNX cannot say %s", what);
}
