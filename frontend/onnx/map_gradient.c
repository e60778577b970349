/* map_gradient.c: Gradient: what the nodes before it compute, differentiated.
 *
 * The lines from `xs` (and `zs`, which are held) to `y` become a function of the model, and each
 * output is grad(that function, wrt=x)(inputs): the same derivative that a .dl program asks for. A
 * y with several elements is summed. Inputs of the graph, which a line may read without saying so,
 * are arguments too. */
#include "frontend/onnx/map.h"

#include <string.h>

typedef struct {
    OnnxNode *node;
    VEC(OnnxValue *) params; /* xs, zs, then inputs of the graph */
    uint32_t n_x, n_given;   /* of them xs; xs and zs */
    OnnxValue *y;
} Gradient;

static bool is_param(const Gradient *g, const OnnxValue *v)
{
    for (uint32_t i = 0; i < g->params.n; i++)
        if (!strcmp(g->params.at[i]->ident, v->ident))
            return true;
    return false;
}

static OnnxValue *find(OnnxNode *q, const char *name)
{
    OnnxValue *v = names_find(q->im, q->im->names, name);
    if (!v)
        node_wrong(q, "no node, input or initializer before it gives `%s`",
                   onnx_escape(q->im->a, name));
    else if (v->kind != VALUE_MISSING && v->val.kind == VAL_TENSOR)
        return v;
    q->failed = true;
    return NULL;
}

static bool add_params(Gradient *g, const char *attr)
{
    OnnxNode *q = g->node;
    uint32_t n;
    const char *const *names;
    attribute_strings(q, attr, &n, &names);
    for (uint32_t i = 0; i < n; i++) {
        OnnxValue *v = find(q, names[i]);
        if (!v)
            return false;
        if (!v->ident && v->kind == VALUE_WEIGHT)
            value_expression(q, v, false);
        if (!v->ident || is_param(g, v))
            return node_unsupported(q, "a derivative by a constant, or twice by one value");
        vec_push(q->im->a, &g->params, v);
    }
    return true;
}

static bool read_params(Gradient *g)
{
    OnnxNode *q = g->node;
    if (!add_params(g, "xs"))
        return false;
    g->n_x = g->params.n;
    if (!add_params(g, "zs") || !(g->y = find(q, attribute_string(q, "y", ""))))
        return false;
    g->n_given = g->params.n;
    for (uint32_t i = 0; i < q->im->inputs.n; i++) {
        OnnxValue *v = q->im->inputs.at[i];
        if (v->kind == VALUE_NODE && v->ident && !is_param(g, v))
            vec_push(q->im->a, &g->params, v);
    }
    if (!g->n_x || node_inputs(q) != g->n_given)
        return node_wrong(q, "%u inputs for the %u names of xs and zs", node_inputs(q), g->n_given);
    return g->y->ident || node_unsupported(q, "the derivative of a constant");
}

/* The lines that y needs, but for those that give the arguments. Declarations are the model's. */
static const char *body_text(Gradient *g)
{
    OnnxNode *q = g->node;
    Import *im = q->im;
    uint8_t *in = arena_new_array(im->a, uint8_t, im->lines.n + 1);
    const char *text = "";
    if (!is_param(g, g->y) && g->y->line != LINE_NONE)
        in[g->y->line] = 1;
    for (uint32_t i = 0; i < g->params.n; i++)
        if (g->params.at[i]->line != LINE_NONE)
            in[g->params.at[i]->line] = 2; /* given */
    for (uint32_t i = im->lines.n; i-- > 0;)
        for (uint32_t k = 0; in[i] == 1 && k < im->lines.at[i].n_needs; k++)
            if (!in[im->lines.at[i].needs[k]])
                in[im->lines.at[i].needs[k]] = 1;
    for (uint32_t i = 0; i < im->lines.n; i++) {
        if (in[i] == 1 && im->lines.at[i].kind == LINE_LET)
            text = text_printf(q, "%s    %s\n", text, im->lines.at[i].text);
        else if (in[i] == 1)
            vec_push(im->a, &q->needs, i);
    }
    return text;
}

static const char *type_of(OnnxNode *q, const OnnxValue *v)
{
    const Shape *s = graph_shape(q->im->g, v->val.node);
    return text_printf(q, "%s%s", dtype_name(graph_dtype(q->im->g, v->val.node)),
                       s->rank ? text_dims(q, s) : "");
}

/* Declares the function; its name. */
static const char *declare(Gradient *g)
{
    OnnxNode *q = g->node;
    const char *name = import_ident(q->im, text_printf(q, "to_%s", g->y->name)), *args = "";
    for (uint32_t i = 0; i < g->params.n; i++)
        args = text_printf(q, "%s%s%s: %s", args, i ? ", " : "", g->params.at[i]->ident,
                           type_of(q, g->params.at[i]));
    const char *text = text_printf(
        q, "fn %s(%s) -> %s {\n%s    sum(%s)\n  }", name, args,
        dtype_name(graph_dtype(q->im->g, g->y->val.node)), body_text(g), g->y->ident);
    uint32_t line = import_line(q->im, LINE_FN, q, text);
    vec_push(q->im->a, &q->needs, line);
    return name;
}

/* One output. Its value in the scratch graph is unknown, of the type of x. */
static bool give(Gradient *g, uint32_t i, const char *name, const char *args)
{
    OnnxNode *q = g->node;
    Import *im = q->im;
    const OnnxValue *x = g->params.at[i];
    if (!node_wants(q, i))
        return true;
    if (names_find(im, im->names, q->proto->output[i]))
        return node_wrong(q, "the value `%s` is given twice",
                          onnx_escape(im->a, q->proto->output[i]));
    OnnxValue *v = names_add(im, im->names, q->proto->output[i]);
    v->kind = VALUE_NODE;
    v->ident = import_ident(im, v->name);
    v->val = val_node(graph_input(im->g, (Input){ .name = v->name,
                                                  .dtype = graph_dtype(im->g, x->val.node),
                                                  .shape = *graph_shape(im->g, x->val.node) }));
    scope_bind(im->e, im->scope, v->ident, v->val, 0);
    v->line = import_line(im, LINE_LET, q,
                          text_printf(q, "%s = grad(%s, wrt=%s)(%s)", v->ident, name, x->ident,
                                      args));
    return true;
}

bool map_gradient(OnnxNode *q)
{
    Gradient g = { .node = q };
    const char *args = "", *name;
    if (!read_params(&g))
        return false;
    for (uint32_t i = 0; i < g.params.n; i++) {
        const char *x = i < g.n_given ? node_arg(q, i) : g.params.at[i]->ident;
        if (!x)
            return false;
        if (i < g.n_given && !shape_equal(node_shape(q, i),
                                          graph_shape(q->im->g, g.params.at[i]->val.node)))
            return node_wrong(q, "input %u has another shape than `%s`", i,
                              onnx_escape(q->im->a, g.params.at[i]->name));
        args = text_printf(q, "%s%s%s", args, i ? ", " : "", x);
    }
    name = declare(&g);
    for (uint32_t i = 0; i < g.n_x; i++)
        if (!give(&g, i, name, args))
            return false;
    return true;
}
