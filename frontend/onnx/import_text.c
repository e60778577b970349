/* import_text.c: lines of the text: expressions, templates, and the model that they make up.
 *
 * A template is an expression with holes: {0} is an input, {alpha:1.0} an attribute and what it is
 * where it is absent. Braces of the language do not occur in expressions. */
#include "frontend/name.h"
#include "frontend/onnx/map.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *text_printf(OnnxNode *q, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(q->im->a, format, args);
    va_end(args);
    return text;
}

void text_add(Arena *a, Text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (t->n + (size_t)n + 1 > t->cap) {
        t->cap = 2 * (t->n + (size_t)n) + 64;
        char *wider = arena_alloc(a, t->cap);
        if (t->n)
            memcpy(wider, t->at, t->n);
        t->at = wider;
    }
    va_start(args, format);
    vsnprintf(t->at + t->n, (size_t)n + 1, format, args);
    va_end(args);
    t->n += (size_t)n;
}

const char *text_ints(OnnxNode *q, const int64_t *at, uint32_t n)
{
    Text t = { 0 };
    for (uint32_t i = 0; i < n; i++)
        text_add(q->im->a, &t, "%s%lld", i ? ", " : "[", (long long)at[i]);
    text_add(q->im->a, &t, n ? "]" : "[]");
    return t.at;
}

static const char *dim_text(Import *im, Dim d)
{
    if (!d.k)
        return arena_printf(im->a, "%lld", (long long)d.n);
    return d.k == 1 ? im->batch_ident
                    : arena_printf(im->a, "%lld*%s", (long long)d.k, im->batch_ident);
}

static const char *dims_text(Import *im, const Shape *s)
{
    char *text = arena_printf(im->a, "[");
    for (uint32_t i = 0; i < s->rank; i++)
        text = arena_printf(im->a, "%s%s%s", text, i ? ", " : "", dim_text(im, s->dim[i]));
    return arena_printf(im->a, "%s]", text);
}

const char *text_dims(OnnxNode *q, const Shape *s)
{
    return dims_text(q->im, s);
}

const char *import_string(Arena *a, const char *s)
{
    char *out = arena_alloc(a, strlen(s) * 8 + 1), *to = out;
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            *to++ = '\\', *to++ = (char)c;
        else if (c < 32 || c == 127)
            to += sprintf(to, "\\u{%02X}", c);
        else
            *to++ = (char)c;
    }
    *to = 0;
    return out;
}

/* ---- Lines ---- */

uint32_t import_line(Import *im, LineKind kind, OnnxNode *q, const char *text)
{
    Line line = { .kind = kind, .text = text };
    if (q) {
        uint32_t *needs = arena_new_array(im->a, uint32_t, q->needs.n + 1);
        if (q->needs.n)
            memcpy(needs, q->needs.at, q->needs.n * sizeof *needs);
        line.needs = needs;
        line.n_needs = q->needs.n;
    }
    vec_push(im->a, &im->lines, line);
    return im->lines.n - 1;
}

/* What went wrong in the scratch graph is said of the node, and not of the expression. */
static void refuse(OnnxNode *q, uint32_t diags, uint32_t errors, uint32_t warnings)
{
    Compiler *cx = q->im->e->cx;
    const char *message =
        diags < cx->diags.n ? cx->diags.at[diags].message : "cannot be translated";
    DiagCode code = diags < cx->diags.n ? cx->diags.at[diags].code : DIAG_E0721;
    cx->diags.n = diags, cx->errors = errors, cx->warnings = warnings;
    if (q->im->batch && !q->im->static_batch) {
        node_pins_batch(q);
        q->im->pinned_why = message;
    } else if (diag_rows[code].exit == 4) {
        node_unsupported(q, "%s", message);
    } else {
        node_wrong(q, "%s", message);
    }
}

bool import_eval(Import *im, OnnxNode *q, const char *text, Val *out, uint32_t n)
{
    Elab *e = im->e;
    uint32_t diags = e->cx->diags.n, errors = e->cx->errors, warnings = e->cx->warnings;
    AstExpr *x = parse_value(e, im->path, text);
    Val v = x ? eval_multi(e, x, im->scope) : val_error();
    bool ok = n == 1 || (v.kind == VAL_TUPLE && v.list.n >= n);
    for (uint32_t i = 0; ok && i < n; i++) {
        Val part = val_deref(e, v.kind == VAL_TUPLE ? v.list.at[i] : v);
        if (part.kind == VAL_DIM || val_is_number(part) || part.kind == VAL_BOOL || part.untyped)
            part = val_node(val_to_tensor(e, part, import_dtype(im, DT_F32), 0));
        out[i] = part;
        ok = part.kind == VAL_TENSOR;
    }
    if (ok && e->cx->errors == errors && !e->wants_pin)
        return true;
    e->wants_pin = false;
    refuse(q, diags, errors, warnings);
    return false;
}

/* Binds ident to the expression; its line. */
static uint32_t bind_line(OnnxNode *q, const char *ident, const char *text, Val *out_v)
{
    Import *im = q->im;
    Val v;
    if (!import_eval(im, q, text, &v, 1))
        return LINE_NONE;
    *out_v = v;
    if (q->narrow != DT_COUNT && graph_dtype(im->g, v.node) == import_dtype(im, DT_F32)) {
        text = arena_printf(im->a, "%s(%s)", dtype_name(q->narrow), text);
        *out_v = v = tensor_cast(im->e, v, q->narrow, 0);
    }
    scope_bind(im->e, im->scope, ident, v, 0);
    return import_line(im, LINE_LET, q, arena_printf(im->a, "%s = %s", ident, text));
}

static OnnxValue *new_output(OnnxNode *q, uint32_t i)
{
    Import *im = q->im;
    if (names_find(im, im->names, q->proto->output[i])) {
        node_wrong(q, "the value `%s` is given twice", onnx_escape(im->a, q->proto->output[i]));
        return NULL;
    }
    return names_add(im, im->names, q->proto->output[i]);
}

static void stop_at(OnnxNode *q, OnnxValue *v, const char *output)
{
    Import *im = q->im;
    if (im->until && !im->names->function && !strcmp(output, im->until)) {
        im->stopped = true;
        im->outputs.n = 0;
        vec_push(im->a, &im->outputs, v);
    }
}

/* A short constant is written where it is used. */
static void note_known(Import *im, OnnxValue *v)
{
    OnnxTensor t;
    if (!value_elements(im, v, &t) || !value_literal(im, &t, 64))
        return;
    OnnxTensor *own = arena_make(im->a, OnnxTensor);
    *own = t;
    v->data = own;
    v->kind = VALUE_KNOWN;
    v->ident = NULL;
    v->line = LINE_NONE;
}

bool node_let(OnnxNode *q, uint32_t output, const char *format, ...)
{
    Import *im = q->im;
    va_list args;
    va_start(args, format);
    const char *text = q->failed ? "" : arena_vprintf(q->im->a, format, args);
    va_end(args);
    if (q->failed)
        return false;
    if (!node_wants(q, output))
        return true;
    OnnxValue *v = new_output(q, output);
    if (!v)
        return false;
    v->ident = import_ident(im, v->name);
    v->line = bind_line(q, v->ident, text, &v->val);
    v->kind = v->line == LINE_NONE ? VALUE_MISSING : VALUE_NODE;
    v->turned = q->turn;
    if (v->kind == VALUE_MISSING)
        return false;
    note_known(im, v);
    stop_at(q, v, q->proto->output[output]);
    return true;
}

bool node_let_as(OnnxNode *q, uint32_t output, Dtype t, const char *text)
{
    Dtype narrow = q->narrow;
    q->narrow = DT_COUNT;
    bool ok = node_let(q, output, "%s(%s)", dtype_name(t), text);
    q->narrow = narrow;
    return ok;
}

const char *node_tmp(OnnxNode *q, const char *hint, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = q->failed ? "" : arena_vprintf(q->im->a, format, args);
    va_end(args);
    if (q->failed)
        return NULL;
    Val v;
    Dtype narrow = q->narrow;
    q->narrow = DT_COUNT; /* inside the node everything stays wide */
    const char *ident = import_ident(
        q->im, q->proto->n_output ? text_printf(q, "%s_%s", q->proto->output[0], hint) : hint);
    uint32_t line = bind_line(q, ident, text, &v);
    q->narrow = narrow;
    if (line == LINE_NONE)
        return NULL;
    vec_push(q->im->a, &q->needs, line);
    return ident;
}

bool node_tmps(OnnxNode *q, uint32_t n, const char *const *hints, const char **out_idents,
               const char *format, ...)
{
    Import *im = q->im;
    Val parts[8];
    va_list args;
    va_start(args, format);
    const char *text = q->failed ? "" : arena_vprintf(q->im->a, format, args);
    va_end(args);
    if (q->failed || !import_eval(im, q, text, parts, n))
        return false;
    char *line = arena_printf(im->a, "%s", "");
    for (uint32_t i = 0; i < n; i++) {
        out_idents[i] = import_ident(im, text_printf(q, "%s_%s", q->proto->output[0], hints[i]));
        scope_bind(im->e, im->scope, out_idents[i], parts[i], 0);
        line = arena_printf(im->a, "%s%s%s", line, i ? ", " : "", out_idents[i]);
    }
    vec_push(im->a, &q->needs,
             import_line(im, LINE_LET, q, arena_printf(im->a, "%s = %s", line, text)));
    return true;
}

static NodeId tmp_node(OnnxNode *q, const char *ident)
{
    Binding *b = scope_find_here(q->im->scope, name_of(q->im->e->cx, ident));
    return b->val.node;
}

const Shape *tmp_shape(OnnxNode *q, const char *ident)
{
    return graph_shape(q->im->g, tmp_node(q, ident));
}

Dtype tmp_dtype(OnnxNode *q, const char *ident)
{
    return graph_dtype(q->im->g, tmp_node(q, ident));
}

bool node_let_counted(OnnxNode *q, uint32_t output, const char *ident, uint32_t axis,
                      const char *count)
{
    if (!node_wants(q, output))
        return true;
    const int64_t *known = import_evaluate(q->im, tmp_node(q, count));
    if (known && tmp_dtype(q, count) == DT_I64)
        return node_let(q, output, "part(%s, %u, 0, %lld)", ident, axis, (long long)*known);
    if (!node_let(q, output, "%s", ident))
        return false;
    if (!tmp_shape(q, ident)->dim[axis].n) /* nothing can count */
        return true;
    OnnxValue *v = names_find(q->im, q->im->names, q->proto->output[output]);
    v->count = count;
    v->axis = axis;
    return true;
}

bool node_alias(OnnxNode *q, uint32_t output, uint32_t input)
{
    OnnxValue *from = node_value(q, input);
    if (!from || !node_wants(q, output))
        return from != NULL;
    OnnxValue *to = new_output(q, output);
    if (!to)
        return false;
    const char *name = to->name;
    if (!from->ident && from->kind == VALUE_WEIGHT)
        value_expression(q, from, false);
    *to = *from;
    to->name = name;
    stop_at(q, to, q->proto->output[output]);
    return true;
}

bool node_known(OnnxNode *q, uint32_t output, Dtype dtype, const Shape *shape, const void *elements)
{
    Import *im = q->im;
    int64_t n;
    if (!node_wants(q, output))
        return true;
    if (!shape_elements(shape, &n) || n > INT32_MAX / 8)
        return node_wrong(q, "a constant with too many elements");
    OnnxValue *v = new_output(q, output);
    if (!v)
        return false;
    OnnxTensor *t = arena_make(im->a, OnnxTensor);
    size_t bytes = (size_t)n * dtype_size(dtype);
    void *own = arena_alloc(im->a, bytes + 1);
    if (bytes)
        memcpy(own, elements, bytes);
    *t = (OnnxTensor){
        .dtype = dtype, .rank = shape->rank, .count = n, .data = own, .bytes = bytes
    };
    for (uint32_t i = 0; i < shape->rank; i++)
        t->dim[i] = shape->dim[i].n;
    v->kind = VALUE_KNOWN;
    v->data = t;
    v->val = val_node(import_data(im, dtype, shape, own));
    stop_at(q, v, q->proto->output[output]);
    return v->val.kind == VAL_TENSOR;
}

bool node_known_ints(OnnxNode *q, uint32_t output, const int64_t *at, uint32_t n)
{
    Shape s = { .rank = 1, .dim = { dim_of(n) } };
    return node_known(q, output, DT_I64, &s, at);
}

/* ---- Templates ---- */

static const char *attribute_text(OnnxNode *q, const char *name, const char *otherwise)
{
    const Onnx__AttributeProto *a = node_attr(q, name);
    if (!a && otherwise)
        return otherwise;
    if (!a) {
        node_wrong(q, "the attribute `%s` is missing", name);
        return NULL;
    }
    if (a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT)
        return text_float(q, (double)a->f);
    if (a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS)
        return text_ints(q, a->ints, (uint32_t)a->n_ints);
    if (a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING)
        return attribute_string(q, name, "");
    return text_printf(q, "%lld", (long long)a->i);
}

static const char *hole_text(OnnxNode *q, const char *hole, size_t n)
{
    char *name = arena_strndup(q->im->a, hole, n), *colon = strchr(name, ':');
    if (isdigit((unsigned char)*name))
        return node_arg(q, (uint32_t)strtoul(name, NULL, 10));
    if (!strcmp(name, "old"))
        return onnx_operand(q);
    if (colon)
        *colon = 0;
    const char *text = attribute_text(q, name, colon ? colon + 1 : NULL);
    return text && *text == '-' ? text_printf(q, "(%s)", text) : text;
}

bool import_template(OnnxNode *q, const char *text)
{
    char *out = arena_printf(q->im->a, "%s", "");
    for (const char *at = text; *at;) {
        const char *open = strchr(at, '{'), *close = open ? strchr(open, '}') : NULL;
        if (!close) {
            out = arena_printf(q->im->a, "%s%s", out, at);
            break;
        }
        const char *hole = hole_text(q, open + 1, (size_t)(close - open - 1));
        if (!hole)
            return false;
        out = arena_printf(q->im->a, "%s%.*s%s", out, (int)(open - at), at, hole);
        at = close + 1;
    }
    return node_let(q, 0, "%s", out);
}

/* ---- The model ---- */

static void mark_live(Import *im)
{
    for (uint32_t i = im->lines.n; i-- > 0;) { /* a line reads earlier ones only */
        Line *line = &im->lines.at[i];
        for (uint32_t k = 0; line->live && k < line->n_needs; k++)
            im->lines.at[line->needs[k]].live = true;
    }
}

static char *node_type_text(Import *im, NodeId id)
{
    const Shape *s = graph_shape(im->g, id);
    const char *t = dtype_name(graph_dtype(im->g, id));
    return s->rank ? arena_printf(im->a, "%s%s", t, dims_text(im, s))
                   : arena_printf(im->a, "%s", t);
}

static const char *named(Import *im, const char *ident, const char *name)
{
    return strcmp(ident, name)
               ? arena_printf(im->a, "%s as \"%s\"", ident, import_string(im->a, name))
               : ident;
}

static void put_signature(Import *im, Text *t, const char *const *names)
{
    text_add(im->a, t, "  export fn forward(");
    bool first = true;
    for (uint32_t i = 0; i < im->inputs.n; i++) {
        OnnxValue *v = im->inputs.at[i];
        if (v->kind != VALUE_NODE)
            continue;
        text_add(im->a, t, "%s%s: %s", first ? "" : ", ", named(im, v->ident, v->name),
                 node_type_text(im, v->val.node));
        first = false;
    }
    text_add(im->a, t, ") -> (");
    for (uint32_t i = 0; i < im->outputs.n; i++)
        text_add(im->a, t, "%s%s: %s", i ? ", " : "", names[i],
                 node_type_text(im, im->outputs.at[i]->val.node));
    text_add(im->a, t, ") {\n");
}

const char *import_model_text(Import *im)
{
    Text t = { 0 };
    NodeReads reads = { 0 };
    OnnxNode q = { .im = im, .reads = &reads, .narrow = DT_COUNT };
    const char **names = arena_new_array(im->a, const char *, im->outputs.n + 1);
    const char **results = arena_new_array(im->a, const char *, im->outputs.n + 1);
    for (uint32_t i = 0; i < im->outputs.n; i++) {
        OnnxValue *v = im->outputs.at[i];
        results[i] = value_expression(&q, v, false);
        names[i] = named(im, import_ident(im, v->name), v->name);
    }
    for (uint32_t i = 0; i < q.needs.n; i++)
        im->lines.at[q.needs.at[i]].live = true;
    mark_live(im);
    text_add(im->a, &t, "model %s {\n", im->model_name);
    for (uint32_t i = 0; i < im->lines.n; i++)
        if (im->lines.at[i].live && im->lines.at[i].kind != LINE_LET)
            text_add(im->a, &t, "  %s\n", im->lines.at[i].text);
    text_add(im->a, &t, "\n");
    put_signature(im, &t, names);
    for (uint32_t i = 0; i < im->lines.n; i++)
        if (im->lines.at[i].live && im->lines.at[i].kind == LINE_LET)
            text_add(im->a, &t, "    %s\n", im->lines.at[i].text);
    text_add(im->a, &t, "%s", im->outputs.n > 1 ? "    (" : "    ");
    for (uint32_t i = 0; i < im->outputs.n; i++)
        text_add(im->a, &t, "%s%s", i ? ", " : "", results[i]);
    text_add(im->a, &t, "%s", im->outputs.n > 1 ? ")\n  }\n}\n" : "\n  }\n}\n");
    return t.at;
}
