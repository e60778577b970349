/* import_input.c: the inputs of the graph, and what their dims are.
 *
 * A dim without a number is the batch when it is the first of the first input that has such a one;
 * the same name elsewhere is the same dim. Others come from -D NAME=.., or from the arrays that are
 * at hand. Where neither says it, the first dim of another input is the batch by another name:
 * an exporter so names that of a mask which it did not find to be as long. Arrays of another length
 * are then refused. */
#include "frontend/name.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/onnx.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Import *im;
    const Onnx__ValueInfoProto *info;
    const char *name;
    FrontendValue given; /* what is at hand, when has_given */
    bool has_given;
} GraphInput;

static bool input_fail(GraphInput *q, const char *what)
{
    diag_report(q->im->e->cx, DIAG_E0722, onnx_loc(q->im->file), "the input `%s` %s",
                onnx_escape(q->im->a, q->name), what);
    return false;
}

/* The name of a dim that is not a number: its own, or made from its place. */
static const char *dim_name(GraphInput *q, const Onnx__TensorShapeProto__Dimension *d,
                            uint32_t axis)
{
    if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && *d->dim_param)
        return d->dim_param;
    return axis ? arena_printf(q->im->a, "%s_%u", q->name, axis) : "B";
}

static bool defined(GraphInput *q, const char *name, int64_t *out)
{
    const OnnxPart *part = q->im->part;
    for (uint32_t i = 0; part && i < part->dims.n; i++)
        if (!strcmp(part->dims.at[i].name, name)) {
            *out = strtoll(part->dims.at[i].value, NULL, 10);
            return true;
        }
    const FrontendSetting *d = find_define(q->im->e, name);
    if (!d)
        return false;
    Val v = define_value(q->im->e, d);
    *out = v.kind == VAL_INT ? v.i : -1;
    if (*out < 0 && v.kind != VAL_ERROR)
        diag_report(q->im->e->cx, DIAG_E0335, 0, "-D %s=%s: a dim is a whole number, at least 0",
                    onnx_escape(q->im->a, name), d->value);
    return true;
}

bool import_is_given(const Import *im)
{
    return im->e->options->known && !im->e->main;
}

bool import_given(const Import *im, const char *input, FrontendValue *out_value)
{
    const FrontendOptions *o = im->e->options;
    return import_is_given(im) && o->known(o->user, input, out_value);
}

/* What the array at hand has on an axis of the input; an array may lack the first, of examples. */
static bool given_dim(const GraphInput *q, uint32_t axis, int64_t *out)
{
    const Onnx__TensorShapeProto *s = q->info->type->tensor_type->shape;
    uint32_t rank = (uint32_t)s->n_dim, own = q->given.rank;
    if (!q->has_given || (own != rank && own + 1 != rank) || axis + own < rank)
        return false;
    *out = q->given.dim[axis + own - rank];
    return true;
}

static const NamedDim *find_dim(const Import *im, const char *name)
{
    for (uint32_t i = 0; i < im->dims.n; i++)
        if (!strcmp(im->dims.at[i].name, name))
            return &im->dims.at[i];
    return NULL;
}

static void report_open_dim(GraphInput *q, const char *name)
{
    Import *im = q->im;
    const FrontendOptions *o = im->e->options;
    const char *names[64], *near;
    uint32_t n = 0;
    for (; n < o->n_defines && n < 64; n++)
        names[n] = o->defines[n].name;
    near = diag_nearest(name, names, n);
    uint32_t r = diag_report(im->e->cx, DIAG_E0722, onnx_loc(im->file),
                             "the dim `%s` of the input `%s` is not known",
                             onnx_escape(im->a, name), onnx_escape(im->a, q->name));
    if (q->has_given)
        diag_add(im->e->cx, r, DIAG_NOTE, 0, "the input has %zu axes, the array for it %u",
                 q->info->type->tensor_type->shape->n_dim, q->given.rank);
    if (near)
        diag_add(im->e->cx, r, DIAG_HELP, 0, "no dim is called `%s`; did you mean -D %s?",
                 onnx_escape(im->a, near), onnx_escape(im->a, name));
    else
        diag_add(im->e->cx, r, DIAG_HELP, 0, "give it on the command line: -D %s=128%s",
                 onnx_escape(im->a, name),
                 import_is_given(im)
                     ? arena_printf(im->a, ", or the array: -i %s=FILE",
                                                         onnx_escape(im->a, q->name))
                                          : "");
}

static bool is_batch(GraphInput *q, const char *name, uint32_t axis)
{
    Import *im = q->im;
    if (!im->batch && axis == 0 && !im->static_batch)
        im->batch = name;
    return im->batch && !strcmp(im->batch, name);
}

/* Whether a name stands for first dims only. */
static bool comes_first(const Import *im, const char *name)
{
    const Onnx__GraphProto *g = im->model->graph;
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__TypeProto *t = g->input[i]->type;
        const Onnx__TensorShapeProto *s =
            t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && t->tensor_type
                ? t->tensor_type->shape
                : NULL;
        for (size_t k = 1; s && k < s->n_dim; k++)
            if (s->dim[k]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
                !strcmp(s->dim[k]->dim_param, name))
                return false;
    }
    return true;
}

static bool input_dim(GraphInput *q, const Onnx__TensorShapeProto__Dimension *d, uint32_t axis,
                      Dim *out)
{
    Import *im = q->im;
    if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
        d->dim_value >= 0) {
        *out = dim_of(d->dim_value);
        return true;
    }
    const char *name = dim_name(q, d, axis);
    const NamedDim *learnt = find_dim(im, name);
    int64_t n = learnt ? learnt->n : -1;
    bool has_array = given_dim(q, axis, &n) || learnt, known = defined(q, name, &n) || has_array;
    if (im->e->cx->errors)
        return false;
    if (known && n == 0) { /* no examples: nothing to take one at a time */
        *out = dim_of(0);
        return true;
    }
    if (is_batch(q, name, axis)) {
        int64_t most = known ? n : 1;
        im->batch_given = known;
        if (!im->static_batch && has_array && most > 64)
            most = 64;
        if (most < 1 || most > INT32_MAX)
            return input_fail(q, "has a batch that is not a whole number above 0");
        im->batch_max = im->g->batch_max = im->e->batch_max = most;
        *out = im->static_batch ? dim_of(most) : (Dim){ most, 1 };
        return true;
    }
    if (!known && axis == 0 && im->batch && comes_first(im, name)) {
        *out = im->static_batch ? dim_of(im->batch_max) : (Dim){ im->batch_max, 1 };
        return true;
    }
    if (!known) {
        report_open_dim(q, name);
        return false;
    }
    *out = dim_of(n);
    return true;
}

static bool input_type(GraphInput *q, Dtype *out_dtype, Shape *out_shape)
{
    const Onnx__TypeProto *t = q->info->type;
    if (!t || t->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !t->tensor_type) {
        vec_push(q->im->a, &q->im->refusals,
                 (Refusal){ "an input that is not a tensor", "no such values here",
                            onnx_escape(q->im->a, q->name), 1 });
        return false;
    }
    if (!onnx_dtype(t->tensor_type->elem_type, out_dtype)) {
        vec_push(q->im->a, &q->im->refusals,
                 (Refusal){ arena_printf(q->im->a, "an input of %s",
                                         onnx_type_name(q->im->a, t->tensor_type->elem_type)),
                            "no such numbers here", onnx_escape(q->im->a, q->name), 1 });
        return false;
    }
    *out_shape = (Shape){ 0 };
    const Onnx__TensorShapeProto *s = t->tensor_type->shape;
    if (!s && q->has_given) {
        for (uint32_t i = 0; i < q->given.rank; i++)
            out_shape->dim[out_shape->rank++] = dim_of(q->given.dim[i]);
        return true;
    }
    if (!s)
        return input_fail(q, "has no shape in this file");
    if (s->n_dim > MAX_RANK)
        return input_fail(q, "has too many dims: at most 8");
    for (uint32_t i = 0; i < s->n_dim; i++)
        if (!input_dim(q, s->dim[i], i, &out_shape->dim[out_shape->rank++]))
            return false;
    return true;
}

/* An input taken by its value is a constant of the model. */
static bool fixed_input(GraphInput *q, OnnxValue *v)
{
    OnnxTensor *t = arena_make(q->im->a, OnnxTensor);
    *t = (OnnxTensor){ .dtype = q->given.dtype, .rank = q->given.rank, .count = 1 };
    for (uint32_t i = 0; i < t->rank; i++) {
        t->dim[i] = q->given.dim[i];
        if (__builtin_mul_overflow(t->count, t->dim[i], &t->count))
            return input_fail(q, "is too large");
    }
    t->bytes = (size_t)t->count * dtype_size(t->dtype);
    t->data = q->given.data;
    v->kind = VALUE_KNOWN;
    v->data = t;
    import_constant(q->im, v);
    return true;
}

static GraphInput graph_input_of(Import *im, uint32_t number)
{
    GraphInput q = { .im = im, .info = im->model->graph->input[number] };
    q.name = q.info->name ? q.info->name : "";
    q.has_given = import_given(im, q.name, &q.given);
    return q;
}

/* Dims of one name are one dim. False: two arrays have it otherwise, which is reported. */
static bool learn_dims(Import *im, uint32_t number)
{
    GraphInput q = graph_input_of(im, number);
    const Onnx__TypeProto *t = q.info->type;
    bool tensor = t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && t->tensor_type;
    const Onnx__TensorShapeProto *s = tensor ? t->tensor_type->shape : NULL;
    if (im->e->cx->errors)
        return false;
    for (uint32_t i = 0; s && i < s->n_dim; i++) {
        NamedDim d = { .input = q.name };
        if (s->dim[i]->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM ||
            !*s->dim[i]->dim_param || !given_dim(&q, i, &d.n))
            continue;
        d.name = s->dim[i]->dim_param;
        const NamedDim *same = find_dim(im, d.name);
        if (!same)
            vec_push(im->a, &im->dims, d);
        else if (same->n != d.n) {
            diag_report(im->e->cx, DIAG_E0604, onnx_loc(im->file),
                        "the dim `%s` is %" PRId64 " in the array for `%s`, and %" PRId64
                        " in the one for `%s`",
                        onnx_escape(im->a, d.name), same->n, onnx_escape(im->a, same->input), d.n,
                        onnx_escape(im->a, d.input));
            return false;
        }
    }
    return true;
}

static bool import_input(Import *im, uint32_t number)
{
    GraphInput q = graph_input_of(im, number);
    if (im->e->cx->errors)
        return false;
    if (names_find(im, im->names, q.name)) {
        diag_report(im->e->cx, DIAG_E0721, onnx_loc(im->file), "the input `%s` is declared twice",
                    onnx_escape(im->a, q.name));
        return false;
    }
    OnnxValue *v = names_add(im, im->names, q.name);
    v->input = (int32_t)number;
    if (im->fixed[number]) {
        vec_push(im->a, &im->inputs, v);
        return fixed_input(&q, v);
    }
    Dtype dtype;
    Shape shape;
    if (!input_type(&q, &dtype, &shape)) {
        v->kind = VALUE_MISSING;
        return !im->e->cx->errors;
    }
    v->kind = VALUE_NODE;
    v->ident = import_ident(im, q.name);
    v->val = val_node(graph_input(
        im->g, (Input){ .name = q.name, .dtype = import_dtype(im, dtype), .shape = shape }));
    scope_bind(im->e, im->scope, v->ident, v->val, 0);
    vec_push(im->a, &im->inputs, v);
    return v->val.kind == VAL_TENSOR;
}

/* Old files list initializers among the inputs: those are defaults, and constants for us. */
static Names *initializer_names(Import *im)
{
    const Onnx__GraphProto *g = im->model->graph;
    Names *names = arena_make(im->a, Names);
    for (size_t i = 0; i < g->n_initializer; i++)
        if (!names_find(im, names, g->initializer[i]->name))
            names_add(im, names, g->initializer[i]->name);
    return names;
}

/* Whether the dims that the program says are all there. */
static bool check_dims(Import *im)
{
    const Onnx__GraphProto *g = im->model->graph;
    VEC(const char *) names = { 0 };
    for (size_t i = 0; i < g->n_input; i++) {
        const Onnx__TypeProto *t = g->input[i]->type;
        bool tensor = t && t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && t->tensor_type;
        const Onnx__TensorShapeProto *s = tensor ? t->tensor_type->shape : NULL;
        for (size_t k = 0; s && k < s->n_dim; k++)
            if (s->dim[k]->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
                vec_push(im->a, &names, s->dim[k]->dim_param);
    }
    for (uint32_t i = 0; im->part && i < im->part->dims.n; i++) {
        const char *name = im->part->dims.at[i].name, *near;
        bool found = false;
        for (uint32_t k = 0; k < names.n; k++)
            found |= !strcmp(names.at[k], name);
        if (found)
            continue;
        near = diag_nearest(name, names.at, names.n);
        uint32_t d = diag_report(im->e->cx, DIAG_E0404, im->part->loc,
                                 "no input of %s has a dim `%s`", im->path, name);
        if (near)
            diag_add(im->e->cx, d, DIAG_HELP, 0, "did you mean `%s`?", onnx_escape(im->a, near));
        return false;
    }
    return true;
}

/* Whether what was given by name is all there. */
static bool check_names(Import *im, Names *initializers)
{
    const Onnx__GraphProto *g = im->model->graph;
    const FrontendOptions *o = im->e->options;
    const char **names = arena_new_array(im->a, const char *, g->n_input + 1);
    uint32_t n = 0;
    for (size_t i = 0; i < g->n_input; i++)
        if (g->input[i]->name && !names_find(im, initializers, g->input[i]->name))
            names[n++] = g->input[i]->name;
    return !o->inputs || im->e->main || o->inputs(o->user, names, n);
}

bool import_inputs(Import *im)
{
    const Onnx__GraphProto *g = im->model->graph;
    Names *initializers = initializer_names(im);
    if (!im->static_batch)
        im->batch = NULL;
    im->dims.n = 0;
    if (!check_names(im, initializers) || !check_dims(im))
        return false;
    for (uint32_t i = 0; i < g->n_input; i++)
        if (!names_find(im, initializers, g->input[i]->name) && !learn_dims(im, i))
            return false;
    for (uint32_t i = 0; i < g->n_input; i++)
        if (!names_find(im, initializers, g->input[i]->name) && !import_input(im, i))
            return false;
    if (im->batch) /* its name in the text */
        im->batch_ident = im->static_batch ? NULL : import_ident(im, im->batch);
    if (im->batch && !im->static_batch)
        scope_bind(im->e, im->scope, im->batch_ident, (Val){ .kind = VAL_DIM, .i = 1 }, 0);
    return true;
}
