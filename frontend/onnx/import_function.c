/* import_function.c: bodies, translated in place of the node that stands for them.
 *
 * The names of a model-local function are its own; inputs and outputs are the caller's values. The
 * branch of an If reads those around it, too. Which branch it is must be known: exporters ask of
 * shapes what they did not see when they traced, and here the shapes are known. Recursion ends at a
 * depth, and the work as a whole at the elaborator's budget. */
#include "frontend/onnx/import.h"

#include <string.h>

enum { MAX_CALL_DEPTH = 32 };

static bool bind_inputs(OnnxNode *q, const Onnx__FunctionProto *f, Names *body)
{
    if (q->proto->n_input > f->n_input)
        return node_wrong(q, "%zu inputs, the function takes %zu", q->proto->n_input, f->n_input);
    for (uint32_t i = 0; i < f->n_input; i++) {
        if (!node_has(q, i))
            continue; /* an optional input that is not given: its name stays unknown */
        OnnxValue *v = node_value(q, i);
        if (!v)
            return false;
        if (names_find(q->im, body, f->input[i]))
            return node_wrong(q, "the function has two inputs `%s`",
                              onnx_escape(q->im->a, f->input[i]));
        if (!v->ident && v->kind == VALUE_WEIGHT)
            value_expression(q, v, false); /* once, not in each body that reads it */
        OnnxValue *own = names_add(q->im, body, f->input[i]);
        const char *name = own->name;
        *own = *v;
        own->name = name;
    }
    return true;
}

/* Output i of the node is the body's value of this name. */
static bool bind_output(OnnxNode *q, uint32_t i, Names *body, const char *name_inside)
{
    Import *im = q->im;
    OnnxValue *v = name_inside ? names_find(im, body, name_inside) : NULL;
    if (!v)
        return node_wrong(q, "the body gives no output %u", i);
    if (names_find(im, im->names, q->proto->output[i]))
        return node_wrong(q, "the value `%s` is given twice",
                          onnx_escape(im->a, q->proto->output[i]));
    OnnxValue *own = names_add(im, im->names, q->proto->output[i]);
    const char *name = own->name;
    *own = *v;
    own->name = name;
    if (im->until && !im->names->function && !strcmp(im->until, q->proto->output[i])) {
        im->stopped = true;
        im->outputs.n = 0;
        vec_push(im->a, &im->outputs, own);
    }
    return true;
}

/* What a body needs in order to be walked; false where it lies too deep. */
static bool enter(OnnxNode *q, Names *body)
{
    static const OnnxRow as_is = { .op = "", .flags = 0 };
    body->depth = q->im->names->depth + 1;
    if (body->depth > MAX_CALL_DEPTH)
        return node_wrong(q, "bodies lie more than %d deep in one another, or in themselves",
                          MAX_CALL_DEPTH);
    q->row = &as_is;
    return true;
}

/* False: nothing is to be bound, for the import ends or starts anew. */
static bool walk_body(OnnxNode *q, Names *body, Onnx__NodeProto *const *nodes, size_t n)
{
    import_nodes(q->im, body, nodes, n);
    return !q->im->again && q->im->n_nodes <= ONNX_MAX_NODES;
}

bool import_call(OnnxNode *q, const Onnx__FunctionProto *f)
{
    Names *body = arena_make(q->im->a, Names);
    *body = (Names){ .function = f, .caller = q };
    if (!enter(q, body) || !bind_inputs(q, f, body) || !walk_body(q, body, f->node, f->n_node))
        return false;
    for (uint32_t i = 0; i < q->proto->n_output; i++)
        if (node_wants(q, i) &&
            !bind_output(q, i, body, i < f->n_output ? f->output[i] : NULL))
            return false;
    return true;
}

bool map_if(OnnxNode *q)
{
    double yes;
    if (!node_number(q, 0, &yes))
        return false;
    const char *which = yes != 0 ? "then_branch" : "else_branch";
    const Onnx__AttributeProto *a = node_attr(q, which);
    const Onnx__GraphProto *g = a ? a->g : NULL;
    if (!g)
        return node_wrong(q, "the attribute `%s` is missing", which);
    Names *around = q->im->names, *body = arena_make(q->im->a, Names);
    *body = (Names){ .function = around->function, .caller = around->caller, .around = around };
    if (!enter(q, body) || !import_initializers(q->im, body, g) ||
        !walk_body(q, body, g->node, g->n_node))
        return false;
    for (uint32_t i = 0; i < q->proto->n_output; i++)
        if (node_wants(q, i) &&
            !bind_output(q, i, body, i < g->n_output ? g->output[i]->name : NULL))
            return false;
    return true;
}
