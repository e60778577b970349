/* import_value.c: ONNX values by name, their identifiers, and their text.
 *
 * A value of few known elements is written where it is used, f32(0.5) or i64([1, -1]); a longer one
 * is a line of its own, and a long one a `state`, whose elements stay in the file. A float
 * initializer is a `param`: it is what training changes. One number alone is not: it is a constant
 * of a formula, an epsilon or a half. */
#include "frontend/name.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/onnx.h"
#include "ir/value.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INLINE_ELEMENTS = 8, LINE_ELEMENTS = 64, IDENT_MAX = 60 };

/* ---- Names ---- */

static uint32_t bucket_of(const Names *n, const char *name)
{
    return (uint32_t)(((uintptr_t)name >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 40) %
           n->n_buckets;
}

static void names_grow(Import *im, Names *n)
{
    n->n_buckets = n->n_buckets ? n->n_buckets * 2 : 64;
    n->buckets = arena_new_array(im->a, uint32_t, n->n_buckets);
    for (uint32_t i = 0; i < n->values.n; i++) {
        uint32_t b = bucket_of(n, n->values.at[i]->name);
        while (n->buckets[b])
            b = (b + 1) % n->n_buckets;
        n->buckets[b] = i + 1;
    }
}

OnnxValue *names_find(Import *im, Names *n, const char *name)
{
    name = name_of(im->e->cx, name);
    if (!n->n_buckets)
        return n->around ? names_find(im, n->around, name) : NULL;
    for (uint32_t b = bucket_of(n, name); n->buckets[b]; b = (b + 1) % n->n_buckets)
        if (n->values.at[n->buckets[b] - 1]->name == name)
            return n->values.at[n->buckets[b] - 1];
    return n->around ? names_find(im, n->around, name) : NULL;
}

OnnxValue *names_add(Import *im, Names *n, const char *name)
{
    OnnxValue *v = arena_make(im->a, OnnxValue);
    *v = (OnnxValue){ .name = name_of(im->e->cx, name), .line = LINE_NONE, .input = -1 };
    if (2 * (n->values.n + 1) > n->n_buckets)
        names_grow(im, n);
    vec_push(im->a, &n->values, v);
    uint32_t b = bucket_of(n, v->name);
    while (n->buckets[b])
        b = (b + 1) % n->n_buckets;
    n->buckets[b] = n->values.n;
    return v;
}

/* ---- Identifiers ---- */

static bool is_taken(Import *im, const char *ident)
{
    static const char *const words[] = {
        "import", "const", "fn",   "extern", "train", "data",     "layer", "layers", "model",
        "param",  "state", "if",   "else",   "scan",  "over",     "along", "repeat", "in",
        "while",  "limit", "not",  "and",    "or",    "training", "yield", "export", "optimizer",
        "as",     "on",    "where", "metric", "update", "grad",   "forward", "lr", "lr_scale",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i], ident))
            return true;
    return names_find(im, im->taken, ident) ||
           global_lookup(im->e, name_of(im->e->cx, ident)).kind != VAL_NONE;
}

/* Letters of `name` that may stand in an identifier; others become one `_`. */
static char *plain(Import *im, const char *name)
{
    char *out = arena_alloc(im->a, IDENT_MAX + 24);
    size_t n = 0;
    for (const char *c = name; *c && n < IDENT_MAX; c++) {
        if (isalnum((unsigned char)*c) && (unsigned char)*c < 128)
            out[n++] = *c;
        else if (n && out[n - 1] != '_')
            out[n++] = '_';
    }
    while (n && out[n - 1] == '_')
        n--;
    out[n] = 0;
    if (!n || isdigit((unsigned char)*out)) {
        memmove(out + 1, out, n + 1);
        *out = 'v';
    }
    return out;
}

const char *import_ident(Import *im, const char *name)
{
    const char *base = plain(im, name), *ident = base;
    if (is_taken(im, ident))
        ident = arena_printf(im->a, "%s_", base);
    /* After a few tries a number that is likely free: thousands of names may look alike. */
    for (uint32_t k = 2; is_taken(im, ident); k++)
        ident = arena_printf(im->a, "%s_%u", base, k < 10 ? k : im->taken->values.n + k);
    return names_add(im, im->taken, ident)->name;
}

/* ---- Elements ---- */

/* Elements that do not depend on the batch although they were taken from what does. */
static const void *plain_sizes(Import *im, NodeId id)
{
    const Sized *x = import_sized(im, id);
    for (int64_t i = 0; x && i < x->k.count; i++)
        if (x->k.i[i])
            return NULL;
    if (!x)
        return NULL;
    void *bytes = arena_alloc(im->a, (size_t)x->c.count * dtype_size(x->c.dtype) + 1);
    value_to_bytes(&x->c, bytes);
    return bytes;
}

/* The elements of a node of the scratch graph, where folding has left a constant. */
static bool constant_elements(Import *im, NodeId id, OnnxTensor *out)
{
    const Shape *s = graph_shape(im->g, id);
    int64_t n;
    for (uint32_t i = 0; i < s->rank; i++)
        if (s->dim[i].k)
            return false;
    if (!shape_elements(s, &n) || n > ONNX_MAX_INTS)
        return false;
    Dtype t = graph_dtype(im->g, id);
    size_t size = dtype_size(t);
    *out = (OnnxTensor){ .dtype = t, .rank = s->rank, .count = n, .bytes = (size_t)n * size };
    for (uint32_t i = 0; i < s->rank; i++)
        out->dim[i] = s->dim[i].n;
    NodeId root = id;
    while (graph_node(im->g, root)->op == OP_reshape)
        root = graph_operand(im->g, root, 0);
    if (graph_node(im->g, root)->op == OP_constant) {
        out->data = graph_attr(im->g, root, "data")->data;
        return true;
    }
    double unused;
    if (n && !b_is_splat(im->g, id, &unused))
        return (out->data = import_evaluate(im, id)) || (out->data = plain_sizes(im, id));
    char *bytes = arena_alloc(im->a, (size_t)n * size + 1);
    while (n && graph_node(im->g, root)->op != OP_constant)
        root = graph_operand(im->g, root, 0);
    for (int64_t i = 0; i < n; i++)
        memcpy(bytes + (size_t)i * size, graph_attr(im->g, root, "data")->data, size);
    out->data = bytes;
    return true;
}

bool value_elements(Import *im, const OnnxValue *v, OnnxTensor *out)
{
    if (v->data) {
        *out = *v->data;
        return true;
    }
    return v->kind == VALUE_NODE && v->val.kind == VAL_TENSOR &&
           constant_elements(im, v->val.node, out);
}

/* ---- Text ---- */

/* Shortest text that reads back as the same number of this dtype. */
static const char *number_text(Arena *a, Dtype t, double v)
{
    if (isnan(v))
        return "nan";
    if (isinf(v))
        return v < 0 ? "-inf" : "inf";
    for (int digits = 1;; digits++) {
        char *text = arena_printf(a, "%.*g", digits, v);
        double back = strtod(text, NULL);
        bool same = t == DT_F64 ? back == v : (float)back == (float)v;
        if (!same && digits < 17)
            continue;
        char *plus = strchr(text, '+'); /* 1e+10 is written 1e10 */
        if (plus)
            memmove(plus, plus + 1, strlen(plus));
        return text;
    }
}

const char *text_float(OnnxNode *q, double v)
{
    return number_text(q->im->a, DT_F32, v);
}

static const char *element_text(Import *im, Dtype t, const Value *v, int64_t i)
{
    if (dtype_is_float(t))
        return signbit(v->f[i]) && v->f[i] == 0 ? "-0.0" : number_text(im->a, t, v->f[i]);
    if (t == DT_BOOL)
        return v->i[i] ? "true" : "false";
    if (v->i[i] == INT64_MIN)
        return "-9223372036854775807 - 1";
    return arena_printf(im->a, "%lld", (long long)v->i[i]);
}

const char *node_number_text(OnnxNode *q, uint32_t input)
{
    OnnxTensor t;
    double unused; /* node_number says what is wrong, or that the value is needed */
    OnnxValue *v = node_number(q, input, &unused) ? node_value(q, input) : NULL;
    if (!v || !value_elements(q->im, v, &t))
        return NULL;
    Shape one = { .rank = 1, .dim = { dim_of(1) } };
    Value number = value_from_bytes(q->im->a, t.dtype, &one, t.data);
    return t.dtype == DT_BOOL ? (number.i[0] ? "1" : "0")
                              : element_text(q->im, t.dtype, &number, 0);
}

static void add_list(Import *im, Text *to, const OnnxTensor *t, const Value *v, uint32_t axis,
                     int64_t *at)
{
    if (axis == t->rank) {
        text_add(im->a, to, "%s", element_text(im, t->dtype, v, (*at)++));
        return;
    }
    for (int64_t i = 0; i < t->dim[axis]; i++) {
        text_add(im->a, to, i ? ", " : "[");
        add_list(im, to, t, v, axis + 1, at);
    }
    text_add(im->a, to, "]");
}

const char *value_literal(Import *im, const OnnxTensor *t, uint32_t max)
{
    int64_t at = 0;
    if (t->count > max)
        return NULL;
    if (!t->count) { /* which of its dims are 0 a list cannot always say */
        char *dims = arena_printf(im->a, "%s", "");
        for (uint32_t i = 0; i < t->rank; i++)
            dims = arena_printf(im->a, "%s%s%lld", dims, i ? ", " : "", (long long)t->dim[i]);
        return arena_printf(im->a, "zeros([%s], dtype=%s)", dims, dtype_name(t->dtype));
    }
    Shape flat = { .rank = 1, .dim = { dim_of(t->count) } };
    Value v = value_from_bytes(im->a, t->dtype, &flat, t->data);
    if (t->dtype == DT_U64) /* beyond what a literal can say */
        for (int64_t i = 0; i < v.count; i++)
            if (v.i[i] < 0)
                return NULL;
    Text to = { 0 };
    text_add(im->a, &to, "%s(", dtype_name(t->dtype));
    add_list(im, &to, t, &v, 0, &at);
    text_add(im->a, &to, ")");
    return to.at;
}

static bool is_param(const OnnxTensor *t)
{
    return dtype_is_float(t->dtype) && t->count > 1;
}

/* The name of a tensor is that of its value; those of bodies give way. */
static const char *new_title(Import *im, const OnnxValue *v)
{
    const char *title = v->name;
    for (uint32_t k = 2;; k++) {
        const OnnxValue *of_model = names_find(im, im->top, title);
        if (!names_find(im, im->titles, title) && (!of_model || of_model == v))
            break;
        title = arena_printf(im->a, "%s.%u", v->name, k < 10 ? k : im->titles->values.n + k);
    }
    return names_add(im, im->titles, title)->name;
}

/* An initializer or a long constant becomes a tensor of the model. */
static void declare_weight(Import *im, OnnxValue *v, bool as_state)
{
    Shape s = { .rank = v->data->rank };
    char *dims = arena_printf(im->a, "%s", "");
    for (uint32_t i = 0; i < s.rank; i++) {
        s.dim[i] = dim_of(v->data->dim[i]);
        dims = arena_printf(im->a, "%s%s%lld", dims, i ? ", " : "[", (long long)s.dim[i].n);
    }
    bool state = as_state || v->kind == VALUE_KNOWN || !is_param(v->data);
    v->ident = import_ident(im, v->name);
    v->title = new_title(im, v);
    v->is_state = state;
    const char *text =
        arena_printf(im->a, "%s %s as \"%s\": %s%s%s = %s", state ? "state" : "param", v->ident,
                     import_string(im->a, v->title), dtype_name(v->data->dtype), dims,
                     s.rank ? "]" : "", v->data->dtype == DT_BOOL ? "false" : "zeros");
    v->line = import_line(im, state ? LINE_STATE : LINE_PARAM, NULL, text);
    im->lines.at[v->line].weight = v;
    scope_bind(im->e, im->scope, v->ident, v->val, 0);
}

const char *value_expression(OnnxNode *q, OnnxValue *v, bool as_state)
{
    Import *im = q->im;
    bool constant = v->kind == VALUE_KNOWN || (v->kind == VALUE_WEIGHT && !is_param(v->data));
    const char *literal = constant ? value_literal(im, v->data, INLINE_ELEMENTS) : NULL;
    if (literal && !v->ident)
        return literal;
    if (!v->ident) {
        literal = constant ? value_literal(im, v->data, LINE_ELEMENTS) : NULL;
        if (literal) {
            v->ident = import_ident(im, v->name);
            v->line = import_line(im, LINE_LET, NULL,
                                  arena_printf(im->a, "%s = %s", v->ident, literal));
            scope_bind(im->e, im->scope, v->ident, v->val, 0);
        } else {
            declare_weight(im, v, as_state);
        }
    }
    if (v->line != LINE_NONE)
        vec_push(im->a, &q->needs, v->line);
    return v->ident;
}

/* ---- A place in the graph ---- */

bool import_nowhere(Import *im)
{
    const Onnx__GraphProto *g = im->model->graph;
    size_t n = 0, room = 1;
    for (size_t i = 0; i < g->n_node; i++)
        room += 1 + g->node[i]->n_output;
    const char **names = arena_new_array(im->a, const char *, room);
    for (size_t i = 0; i < g->n_node; i++) {
        names[n++] = g->node[i]->name ? g->node[i]->name : "";
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            names[n++] = g->node[i]->output[k];
    }
    for (size_t i = 0; i < n && im->refusals.n; i++)
        if (!strcmp(names[i], im->until))
            return true;
    const char *near = diag_nearest(im->until, names, n);
    uint32_t d = diag_report(im->e->cx, DIAG_E0401, im->part->loc,
                             "there is no value or node `%s` in %s", onnx_escape(im->a, im->until),
                             im->path);
    if (near)
        diag_add(im->e->cx, d, DIAG_HELP, 0, "did you mean `%s`?", onnx_escape(im->a, near));
    return false;
}
