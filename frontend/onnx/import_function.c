/* import_function.c: a model-local function, translated in place of the node that calls it.
 *
 * Its names are its own; inputs and outputs are the caller's values. Recursion ends at a depth, and
 * the work as a whole at the elaborator's budget. */
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

static bool bind_outputs(OnnxNode *q, const Onnx__FunctionProto *f, Names *body)
{
    Import *im = q->im;
    for (uint32_t i = 0; i < q->proto->n_output; i++) {
        if (!node_wants(q, i))
            continue;
        OnnxValue *v = i < f->n_output ? names_find(im, body, f->output[i]) : NULL;
        if (!v)
            return node_wrong(q, "the function gives no output %u", i);
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
    }
    return true;
}

bool import_call(OnnxNode *q, const Onnx__FunctionProto *f)
{
    Import *im = q->im;
    Names *body = arena_make(im->a, Names);
    *body = (Names){ .function = f, .caller = q, .depth = im->names->depth + 1 };
    if (body->depth > MAX_CALL_DEPTH)
        return node_wrong(q, "functions call each other more than %d deep, or themselves",
                          MAX_CALL_DEPTH);
    static const OnnxRow as_is = { .op = "", .flags = 0 };
    q->row = &as_is;
    return bind_inputs(q, f, body) && (import_nodes(im, body, f->node, f->n_node), !im->again) &&
           im->n_nodes <= ONNX_MAX_NODES &&
           bind_outputs(q, f, body);
}
