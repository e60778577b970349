/* text.c: prints Units and graphs in the form that read.c reads; see text.h for its grammar by
 * example.
 *
 * Only what the outputs reach is printed, numbered densely: two graphs that differ in dead nodes
 * alone have equal texts, and reading a text gives a graph that prints to the same text. Numbers
 * are printed so that they read back bit for bit: f32 with 9 digits, f64 with 17, and long
 * constants or those with a NaN as the hexadecimal bytes of their elements. */
#include "ir/text.h"

#include "ir/value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHORT_ELEMENTS = 16 };

typedef struct {
    Arena *arena;
    TextStyle style;
    VEC(char) chars;
    const Graph *g;
    uint32_t *number; /* by node */
} Printer;

static void put_bytes(Printer *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vec_push(p->arena, &p->chars, s[i]);
}

__attribute__((format(printf, 2, 3))) static void put(Printer *p, const char *format, ...)
{
    char line[256];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof line);
    put_bytes(p, line, (size_t)n);
}

static void put_string(Printer *p, const char *s, size_t n)
{
    put(p, "\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            put(p, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            put(p, "\\x%02x", c);
        else
            put_bytes(p, s + i, 1);
    }
    put(p, "\"");
}

static void put_name(Printer *p, const char *s)
{
    put_string(p, s, strlen(s));
}

static void put_type(Printer *p, Dtype dtype, const Shape *s)
{
    put(p, "%s", dtype_name(dtype));
    const char *shape = shape_text(p->arena, s);
    put_bytes(p, shape, strlen(shape));
}

static void put_double(Printer *p, double v)
{
    put(p, "%.17g", v);
}

static void put_element(Printer *p, const Value *v, int64_t i)
{
    if (!dtype_is_float(v->dtype))
        put(p, v->dtype == DT_U64 ? "%llu" : "%lld", (long long)v->i[i]);
    else if (v->dtype == DT_F64)
        put_double(p, v->f[i]);
    else
        put(p, "%.9g", v->f[i]);
}

static void put_hex(Printer *p, const AttrValue *data)
{
    const unsigned char *bytes = data->data;
    put(p, "0x");
    for (uint32_t i = 0; i < data->count; i++)
        put(p, "%02x", bytes[i]);
}

static void put_constant(Printer *p, NodeId id)
{
    const AttrValue *data = graph_attr(p->g, id, "data");
    Arena *a = arena_new();
    Value v = value_from_bytes(a, graph_dtype(p->g, id), graph_shape(p->g, id), data->data);
    bool nan = false;
    for (int64_t i = 0; dtype_is_float(v.dtype) && i < v.count; i++)
        nan |= isnan(v.f[i]) != 0;
    bool cut = p->style != TEXT_EXACT && v.count > SHORT_ELEMENTS;
    if (p->style == TEXT_EXACT && (nan || v.count > SHORT_ELEMENTS)) {
        put_hex(p, data);
    } else {
        put(p, "{");
        for (int64_t i = 0; i < v.count && i < SHORT_ELEMENTS; i++) {
            put(p, i ? ", " : "");
            put_element(p, &v, i);
        }
        if (cut)
            put(p, ", ... %lld in all", (long long)v.count);
        put(p, "}");
    }
    arena_free(a);
}

static void put_ints(Printer *p, const int64_t *v, uint32_t n)
{
    put(p, "[");
    for (uint32_t i = 0; i < n; i++)
        put(p, "%s%lld", i ? ", " : "", (long long)v[i]);
    put(p, "]");
}

static void put_attr(Printer *p, const AttrValue *v)
{
    switch (v->kind) {
    case ATTR_INT: put(p, "%lld", (long long)v->i); break;
    case ATTR_FLOAT: put_double(p, v->f); break;
    case ATTR_STRING: put_string(p, v->s, v->count); break;
    case ATTR_INTS: put_ints(p, v->ints, v->count); break;
    case ATTR_DTYPE: put(p, "%s", dtype_name((Dtype)v->i)); break;
    case ATTR_SHAPE: put(p, "%s", v->shape->rank ? shape_text(p->arena, v->shape) : "[]"); break;
    case ATTR_DATA: put_hex(p, v); break;
    case ATTR_END: break;
    }
}

static bool is_default(const AttrDecl *d, const AttrValue *v)
{
    if (d->required)
        return false;
    switch (d->kind) {
    case ATTR_INT:
    case ATTR_DTYPE: return v->i == d->i;
    case ATTR_FLOAT: return !memcmp(&v->f, &d->f, sizeof v->f);
    case ATTR_STRING:
        return v->count == strlen(d->s ? d->s : "") && !memcmp(v->s, d->s ? d->s : "", v->count);
    case ATTR_INTS:
    case ATTR_DATA: return !v->count;
    case ATTR_SHAPE:
    case ATTR_END: return false;
    }
    return false;
}

static void put_node(Printer *p, NodeId id)
{
    const Node *n = graph_node(p->g, id);
    const OpDef *def = op_defs[n->op];
    const AttrValue *values = p->g->unit->attrs.at[n->attrs].at;
    put(p, "  %%%u = %s", p->number[id], def->name);
    for (uint32_t i = 0; i < n->count; i++)
        put(p, "%s %%%u", i ? "," : "", p->number[graph_operand(p->g, id, i)]);
    if (n->op == OP_constant) {
        put(p, " ");
        put_constant(p, id);
    }
    for (uint32_t i = 0; n->op != OP_constant && def->attrs && def->attrs[i].name; i++)
        if (!is_default(&def->attrs[i], &values[i])) {
            put(p, " %s=", def->attrs[i].name);
            put_attr(p, &values[i]);
        }
    put(p, " : ");
    put_type(p, (Dtype)n->dtype, graph_shape(p->g, id));
    if (p->style == TEXT_LOCATIONS && n->loc) {
        const char *at = loc_text(p->g->unit->cx, n->loc);
        put(p, "  # ");
        put_bytes(p, at, strlen(at));
    }
    put(p, "\n");
}

static void put_graph(Printer *p, const Graph *g)
{
    const uint8_t *live = graph_live(p->arena, g);
    uint32_t count = 0;
    p->g = g;
    p->number = arena_new_array(p->arena, uint32_t, g->nodes.n);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Input *in = &g->inputs.at[i];
        put(p, "  input %u ", i);
        put_name(p, in->name);
        put(p, " : ");
        put_type(p, in->dtype, &in->shape);
        if (in->bound)
            put(p, " bound=%lld", (long long)in->bound);
        put(p, "\n");
    }
    for (NodeId id = 0; id < g->nodes.n; id++)
        if (live[id]) {
            p->number[id] = count++;
            put_node(p, id);
        }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        put(p, "  output ");
        put_name(p, g->outputs.at[i].name);
        put(p, " %%%u", p->number[g->outputs.at[i].node]);
        if (g->outputs.at[i].updates >= 0)
            put(p, " updates=%d", g->outputs.at[i].updates);
        put(p, "\n");
    }
}

const char *const entry_kind_names[ENTRY_SCHEDULE + 1] = { "init",   "step", "eval",
                                                           "export", "map",  "schedule" };
const char *const tensor_kind_names[TENSOR_STAT + 1] = { "param", "state", "moment", "stat" };

static void put_entry(Printer *p, const Entry *e)
{
    put(p, "entry %s ", entry_kind_names[e->kind]);
    put_name(p, e->name);
    if (e->graph->batch_max)
        put(p, " batch=%lld", (long long)e->graph->batch_max);
    put(p, "%s {\n", e->pinned ? " pinned" : "");
    put_graph(p, e->graph);
    put(p, "}\n");
}

static void put_tensor(Printer *p, const Tensor *t, uint32_t i)
{
    put(p, "tensor %u ", i);
    put_name(p, t->name);
    put(p, " : ");
    put_type(p, t->dtype, &t->shape);
    put(p, " %s", tensor_kind_names[t->kind]);
    if (t->owner >= 0)
        put(p, " owner=%d", t->owner);
    put(p, "%s\n", t->trained ? " trained" : "");
}

static const char *finish(Printer *p, Arena *a)
{
    const char *text = arena_strndup(a, p->chars.at ? p->chars.at : "", p->chars.n);
    arena_free(p->arena);
    return text;
}

const char *unit_text(Arena *a, const Unit *u, TextStyle style)
{
    Printer p = { .arena = arena_new(), .style = style };
    put(&p, "unit ");
    put_name(&p, u->name);
    put(&p, "\n");
    for (uint32_t i = 0; i < u->tensors.n; i++)
        put_tensor(&p, &u->tensors.at[i], i);
    for (uint32_t i = 0; i < u->entries.n; i++)
        put_entry(&p, &u->entries.at[i]);
    return finish(&p, a);
}

const char *graph_text(Arena *a, const Graph *g, TextStyle style)
{
    Printer p = { .arena = arena_new(), .style = style };
    put_graph(&p, g);
    return finish(&p, a);
}
