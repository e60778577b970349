/* import_node.c: what a mapping may ask of its node: inputs, attributes, what is known of them. */
#include "frontend/onnx/import.h"
#include "ir/value.h"

#include <math.h>
#include <string.h>

/* ---- Inputs and outputs ---- */

bool node_has(OnnxNode *q, uint32_t i)
{
    return i < q->proto->n_input && *q->proto->input[i];
}

uint32_t node_inputs(OnnxNode *q)
{
    size_t n = q->proto->n_input;
    while (n && !*q->proto->input[n - 1])
        n--;
    return (uint32_t)n;
}

uint32_t node_outputs(OnnxNode *q)
{
    size_t n = q->proto->n_output;
    while (n && !*q->proto->output[n - 1])
        n--;
    return (uint32_t)n;
}

bool node_wants(OnnxNode *q, uint32_t i)
{
    return i < q->proto->n_output && *q->proto->output[i];
}

OnnxValue *node_value(OnnxNode *q, uint32_t i)
{
    q->reads->inputs |= i < 64 ? UINT64_C(1) << i : 0;
    if (!node_has(q, i)) {
        node_wrong(q, "input %u is missing", i);
        return NULL;
    }
    OnnxValue *v = names_find(q->im, q->im->names, q->proto->input[i]);
    if (!v)
        node_wrong(q, "no node, input or initializer before it gives `%s`",
                   onnx_escape(q->im->a, q->proto->input[i]));
    else if (v->kind != VALUE_MISSING)
        return v;
    q->failed = true;
    return NULL;
}

static const Shape no_shape;

Dtype node_dtype(OnnxNode *q, uint32_t i)
{
    OnnxValue *v = node_value(q, i);
    return v ? graph_dtype(q->im->g, v->val.node) : DT_F32;
}

const Shape *node_shape(OnnxNode *q, uint32_t i)
{
    OnnxValue *v = node_value(q, i);
    return v ? graph_shape(q->im->g, v->val.node) : &no_shape;
}

static bool is_half(Dtype t)
{
    return t == DT_F16 || t == DT_BF16;
}

/* The type of input 0; a boolean where it is not there. */
static Dtype first_dtype(OnnxNode *q)
{
    OnnxValue *v = node_has(q, 0) ? names_find(q->im, q->im->names, q->proto->input[0]) : NULL;
    return v && v->kind != VALUE_MISSING ? graph_dtype(q->im->g, v->val.node) : DT_BOOL;
}

static const char *node_read(OnnxNode *q, uint32_t i, bool as_state)
{
    OnnxValue *v = node_value(q, i);
    if (!v)
        return NULL;
    if (v->count) {
        node_unsupported(q, "the size of its input `%s` follows from data",
                         onnx_escape(q->im->a, v->name));
        return NULL;
    }
    const char *text = value_expression(q, v, as_state);
    Dtype t = graph_dtype(q->im->g, v->val.node), first = first_dtype(q);
    if (!(q->row->flags & ROW_WIDE) || !dtype_is_float(t))
        return text;
    if (is_half(t)) {
        if (i == 0 || !dtype_is_float(first))
            q->narrow = t;
        text = text_printf(q, "f32(%s)", text);
        t = import_dtype(q->im, DT_F32);
    }
    if (is_half(first))
        first = import_dtype(q->im, DT_F32);
    bool other = q->row->flags & ROW_MIXED && dtype_is_float(first) && t != first;
    return other ? text_printf(q, "%s(%s)", dtype_name(first), text) : text;
}

const char *node_arg(OnnxNode *q, uint32_t i)
{
    return node_read(q, i, false);
}

const char *node_state(OnnxNode *q, uint32_t i)
{
    return node_read(q, i, true);
}

/* ---- Elements known now ---- */

/* Marks the graph inputs that a node of the scratch graph follows from as needed by value. */
static bool fix_inputs(OnnxNode *q, NodeId from, const char **out_name)
{
    Import *im = q->im;
    uint8_t *seen = arena_new_array(im->a, uint8_t, from + 1);
    bool all = true, any = false;
    seen[from] = 1;
    for (NodeId id = from + 1; id-- > 0;) {
        if (!seen[id])
            continue;
        for (uint32_t k = 0; k < graph_node(im->g, id)->count; k++)
            seen[graph_operand(im->g, id, k)] = 1;
        for (uint32_t k = 0; k < im->inputs.n; k++) {
            if (im->inputs.at[k]->val.node != id || im->inputs.at[k]->kind != VALUE_NODE)
                continue;
            any = true;
            *out_name = im->inputs.at[k]->name;
            bool given = import_given(im, *out_name, NULL);
            if (given)
                im->fixed[im->inputs.at[k]->input] = 1;
            all &= given;
        }
    }
    return any && all;
}

bool node_pins_batch(OnnxNode *q)
{
    q->im->pinned_by = node_title(q);
    q->failed = q->im->again = q->im->static_batch = true;
    return false;
}

static bool known_fail(OnnxNode *q, uint32_t i, const OnnxValue *v)
{
    const char *input = NULL;
    q->failed = true;
    if (q->im->batch && !q->im->static_batch)
        return node_pins_batch(q);
    if (fix_inputs(q, v->val.node, &input)) {
        q->im->again = true;
        return false;
    }
    if (input)
        return node_unsupported(q,
                                "the value of the model's input `%s` must be known to build it%s",
                                onnx_escape(q->im->a, input),
                                import_is_given(q->im) ? arena_printf(q->im->a, " (-i %s=FILE)",
                                                                      onnx_escape(q->im->a, input))
                                                       : "");
    return node_unsupported(q, "input %u must be known at compile time", i);
}

bool node_is_known(OnnxNode *q, uint32_t i)
{
    OnnxTensor t;
    OnnxValue *v = node_has(q, i) ? node_value(q, i) : NULL;
    return v && value_elements(q->im, v, &t);
}

static bool node_elements(OnnxNode *q, uint32_t i, OnnxTensor *out)
{
    OnnxValue *v = node_value(q, i);
    if (!v)
        return false;
    if (!value_elements(q->im, v, out))
        return known_fail(q, i, v);
    return out->count <= ONNX_MAX_INTS ||
           node_unsupported(q, "input %u has too many elements to be known at compile time", i);
}

/* The elements of t as a list of numbers. */
static Value list_of(Import *im, const OnnxTensor *t)
{
    Shape s = { .rank = 1, .dim = { dim_of(t->count) } };
    return value_from_bytes(im->a, t->dtype, &s, t->data);
}

bool node_ints(OnnxNode *q, uint32_t i, Ints *out)
{
    OnnxTensor t;
    *out = (Ints){ 0 };
    if (!node_elements(q, i, &t))
        return false;
    if (dtype_is_float(t.dtype))
        return node_wrong(q, "input %u is %s, an integer is needed", i, dtype_name(t.dtype));
    *out = (Ints){ (uint32_t)t.count, list_of(q->im, &t).i };
    return true;
}

bool node_numbers(OnnxNode *q, uint32_t i, uint32_t *out_n, const double **out_at)
{
    OnnxTensor t;
    *out_n = 0;
    if (!node_elements(q, i, &t))
        return false;
    Value v = list_of(q->im, &t);
    double *at = dtype_is_float(t.dtype) ? v.f : arena_new_array(q->im->a, double, (size_t)v.count);
    for (int64_t k = 0; !dtype_is_float(t.dtype) && k < v.count; k++)
        at[k] = (double)v.i[k];
    *out_n = (uint32_t)t.count;
    *out_at = at;
    return true;
}

bool node_number(OnnxNode *q, uint32_t i, double *out)
{
    uint32_t n;
    const double *at;
    if (!node_numbers(q, i, &n, &at))
        return false;
    if (n != 1)
        return node_wrong(q, "input %u has %u elements, one is needed", i, n);
    *out = *at;
    return true;
}

/* ---- Attributes ---- */

static const Onnx__AttributeProto *find_attr(Onnx__AttributeProto *const *at, size_t n,
                                             const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (at[i]->name && !strcmp(at[i]->name, name))
            return at[i];
    return NULL;
}

/* In the body of a function an attribute may refer to one of the calling node, which may refer to
 * one of its caller. */
const Onnx__AttributeProto *node_attr(const OnnxNode *q, const char *name)
{
    const Onnx__AttributeProto *a = find_attr(q->proto->attribute, q->proto->n_attribute, name);
    for (size_t i = 0; a && i < q->proto->n_attribute && i < 64; i++)
        if (q->proto->attribute[i] == a)
            q->reads->attributes |= UINT64_C(1) << i;
    if (!a || !a->ref_attr_name || !*a->ref_attr_name)
        return a;
    const Names *n = q->im->names;
    if (!n->function || !n->caller)
        return NULL;
    Names *inner = q->im->names;
    q->im->names = n->caller->scope;
    const Onnx__AttributeProto *outer = node_attr(n->caller, a->ref_attr_name);
    q->im->names = inner;
    return outer ? outer
                 : find_attr(n->function->attribute_proto, n->function->n_attribute_proto,
                             a->ref_attr_name);
}

bool attribute_has(const OnnxNode *q, const char *name)
{
    return node_attr(q, name) != NULL;
}

typedef Onnx__AttributeProto__AttributeType AttributeType;

/* The attribute, if it is of this type; the oldest files do not say the type. */
static const Onnx__AttributeProto *typed_attr(const OnnxNode *q, const char *name,
                                              AttributeType type)
{
    const Onnx__AttributeProto *a = node_attr(q, name);
    if (!a || a->type == type || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED)
        return a;
    q->reads->mistyped = name;
    return NULL;
}

int64_t attribute_int(const OnnxNode *q, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a =
        typed_attr(q, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    return a ? a->i : otherwise;
}

double attribute_float(const OnnxNode *q, const char *name, double otherwise)
{
    const Onnx__AttributeProto *a = node_attr(q, name);
    if (a && a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT)
        return (double)a->i;
    a = typed_attr(q, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    return a ? (double)a->f : otherwise;
}

const char *attribute_string(OnnxNode *q, const char *name, const char *otherwise)
{
    const Onnx__AttributeProto *a =
        typed_attr(q, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    return a ? arena_strndup(q->im->a, (const char *)a->s.data, a->s.len) : otherwise;
}

bool attribute_ints(OnnxNode *q, const char *name, Ints *out)
{
    const Onnx__AttributeProto *a =
        typed_attr(q, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    *out = (Ints){ 0 };
    if (!a)
        return false;
    *out = (Ints){ (uint32_t)a->n_ints, a->ints };
    if (a->n_ints > ONNX_MAX_INTS)
        *out = (Ints){ 0 };
    return true;
}

bool attribute_floats(OnnxNode *q, const char *name, uint32_t *out_n, const double **out_at)
{
    const Onnx__AttributeProto *a =
        typed_attr(q, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS);
    *out_n = 0;
    if (!a)
        return false;
    double *at = arena_new_array(q->im->a, double, a->n_floats + 1);
    for (size_t i = 0; i < a->n_floats; i++)
        at[i] = (double)a->floats[i];
    *out_n = (uint32_t)a->n_floats;
    *out_at = at;
    return true;
}

bool attribute_strings(OnnxNode *q, const char *name, uint32_t *out_n, const char *const **out_at)
{
    const Onnx__AttributeProto *a =
        typed_attr(q, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS);
    *out_n = 0;
    if (!a)
        return false;
    const char **at = arena_new_array(q->im->a, const char *, a->n_strings + 1);
    for (size_t i = 0; i < a->n_strings; i++)
        at[i] = arena_strndup(q->im->a, (const char *)a->strings[i].data, a->strings[i].len);
    *out_n = (uint32_t)a->n_strings;
    *out_at = at;
    return true;
}

const Onnx__TensorProto *attribute_tensor(const OnnxNode *q, const char *name)
{
    const Onnx__AttributeProto *a =
        typed_attr(q, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
    return a ? a->t : NULL;
}

bool node_axis(OnnxNode *q, int64_t axis, uint32_t rank, int64_t *out)
{
    *out = axis < 0 ? axis + rank : axis;
    return (*out >= 0 && *out < rank) ||
           node_wrong(q, "axis %lld of a tensor of rank %u", (long long)axis, rank);
}

bool node_axes(OnnxNode *q, const char *attr, uint32_t input, uint32_t rank, Ints *out)
{
    Ints given;
    *out = (Ints){ 0 };
    if (!attribute_ints(q, attr, &given) && node_has(q, input) && !node_ints(q, input, &given))
        return false;
    int64_t *at = arena_new_array(q->im->a, int64_t, given.n + 1);
    for (uint32_t i = 0; i < given.n; i++) {
        if (!node_axis(q, given.at[i], rank, &at[i]))
            return false;
        for (uint32_t k = 0; k < i; k++)
            if (at[k] == at[i])
                return node_wrong(q, "axis %lld is named twice", (long long)at[i]);
    }
    *out = (Ints){ given.n, at };
    return true;
}

/* ---- What cannot be done ---- */

const char *node_title(OnnxNode *q)
{
    Arena *a = q->im->a;
    const Onnx__NodeProto *n = q->proto;
    const char *name = n->name && *n->name ? n->name : n->n_output ? n->output[0] : "";
    return arena_printf(a, "node `%s` (%s)", onnx_escape(a, name), onnx_escape(a, n->op_type));
}

bool node_wrong(OnnxNode *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(q->im->a, format, args);
    va_end(args);
    q->failed = true;
    diag_report(q->im->e->cx, DIAG_E0721, onnx_loc(q->im->file), "%s: %s", node_title(q), text);
    return false;
}

bool node_unsupported(OnnxNode *q, const char *format, ...)
{
    Import *im = q->im;
    va_list args;
    va_start(args, format);
    const char *why = arena_vprintf(im->a, format, args);
    va_end(args);
    q->failed = true;
    const char *domain = q->proto->domain && *q->proto->domain ? q->proto->domain : NULL;
    const char *op = onnx_escape(im->a, q->proto->op_type);
    if (domain && strcmp(domain, "ai.onnx"))
        op = arena_printf(im->a, "%s::%s", onnx_escape(im->a, domain), op);
    op = arena_printf(im->a, "%s (opset %lld)", op, (long long)node_version(q));
    for (uint32_t i = 0; i < im->refusals.n; i++) {
        Refusal *r = &im->refusals.at[i];
        if (!strcmp(r->op, op) && !strcmp(r->why, why)) {
            r->count++;
            return false;
        }
    }
    bool full = im->refusals.n >= ONNX_MAX_REFUSALS; /* all others together */
    if (im->refusals.n > ONNX_MAX_REFUSALS)
        im->refusals.at[ONNX_MAX_REFUSALS].count++;
    else
        vec_push(im->a, &im->refusals,
                 (Refusal){ full ? "others" : op, full ? "as is said of some above" : why,
                            node_title(q), 1 });
    return false;
}
