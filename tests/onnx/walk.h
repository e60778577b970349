/* walk.h: reads all that a model holds, as an importer might: every name, every tensor. For tests
 * and the fuzzer. */
#ifndef DLCC_TESTS_ONNX_WALK_H
#define DLCC_TESTS_ONNX_WALK_H
#include "frontend/onnx/file.h"

#include <string.h>

typedef struct {
    OnnxFile *f;
    Arena *a;
    size_t names, tensors; /* that could be read */
    uint64_t sum;          /* of bytes of elements */
} Walk;

static inline void walk_name(Walk *w, const char *s)
{
    for (const char *c = onnx_escape(w->a, s); *c; c++)
        if ((unsigned char)*c < 0x20)
            __builtin_trap();
    w->names++;
}

static inline void walk_tensor(Walk *w, const Onnx__TensorProto *t)
{
    OnnxTensor out;
    walk_name(w, t->name);
    if (onnx_tensor(w->f, t, "a tensor", &out)) {
        for (size_t i = 0; i < out.bytes; i++)
            w->sum += ((const unsigned char *)out.data)[i];
        w->tensors++;
    }
}

static inline void walk_sparse(Walk *w, const Onnx__SparseTensorProto *t)
{
    if (t->values)
        walk_tensor(w, t->values);
    if (t->indices)
        walk_tensor(w, t->indices);
}

static inline void walk_nodes(Walk *w, Onnx__NodeProto **node, size_t n);

static inline void walk_values(Walk *w, Onnx__ValueInfoProto **value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        walk_name(w, value[i]->name);
        const Onnx__TypeProto *type = value[i]->type;
        if (!type || type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE ||
            !type->tensor_type->shape)
            continue;
        const Onnx__TensorShapeProto *s = type->tensor_type->shape;
        for (size_t k = 0; k < s->n_dim; k++)
            if (s->dim[k]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
                walk_name(w, s->dim[k]->dim_param);
    }
}

static inline void walk_graph(Walk *w, const Onnx__GraphProto *g)
{
    walk_name(w, g->name);
    for (size_t i = 0; i < g->n_initializer; i++)
        walk_tensor(w, g->initializer[i]);
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        walk_sparse(w, g->sparse_initializer[i]);
    walk_values(w, g->input, g->n_input);
    walk_values(w, g->output, g->n_output);
    walk_values(w, g->value_info, g->n_value_info);
    walk_nodes(w, g->node, g->n_node);
}

static inline void walk_attribute(Walk *w, const Onnx__AttributeProto *a)
{
    walk_name(w, a->name);
    walk_name(w, a->ref_attr_name);
    for (size_t i = 0; i < a->n_ints; i++)
        w->sum += (uint64_t)a->ints[i];
    for (size_t i = 0; i < a->n_strings; i++)
        w->sum += a->strings[i].len;
    if (a->t)
        walk_tensor(w, a->t);
    for (size_t i = 0; i < a->n_tensors; i++)
        walk_tensor(w, a->tensors[i]);
    if (a->sparse_tensor)
        walk_sparse(w, a->sparse_tensor);
    if (a->g)
        walk_graph(w, a->g);
    for (size_t i = 0; i < a->n_graphs; i++)
        walk_graph(w, a->graphs[i]);
}

static inline void walk_nodes(Walk *w, Onnx__NodeProto **node, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        walk_name(w, node[i]->name);
        walk_name(w, node[i]->op_type);
        walk_name(w, node[i]->domain);
        for (size_t k = 0; k < node[i]->n_input; k++)
            walk_name(w, node[i]->input[k]);
        for (size_t k = 0; k < node[i]->n_output; k++)
            walk_name(w, node[i]->output[k]);
        for (size_t k = 0; k < node[i]->n_attribute; k++)
            walk_attribute(w, node[i]->attribute[k]);
    }
}

static inline Walk walk_model(OnnxFile *f, Arena *a)
{
    Walk w = { .f = f, .a = a };
    const Onnx__ModelProto *m = onnx_model(f);
    walk_name(&w, m->producer_name);
    walk_graph(&w, m->graph);
    for (size_t i = 0; i < m->n_functions; i++) {
        walk_name(&w, m->functions[i]->name);
        walk_nodes(&w, m->functions[i]->node, m->functions[i]->n_node);
        for (size_t k = 0; k < m->functions[i]->n_attribute_proto; k++)
            walk_attribute(&w, m->functions[i]->attribute_proto[k]);
    }
    return w;
}

#endif
