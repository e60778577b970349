/* import_order.c: nodes in an order in which each reads what is there.
 *
 * The standard wants files written so. Converters append the casts that they insert, runtimes sort,
 * and nobody notices: such files are common. The order is that of the file, but for nodes that
 * somebody before them reads, which come just before their first reader. Of nodes that go in a ring
 * the one that comes first says, when it is translated, what it misses.
 *
 * Depth first by a stack of our own: a chain written backward is as deep as it is long. */
#include "frontend/onnx/import.h"

#include <string.h>

enum { NEW = 0, OPEN, DONE };

typedef struct {
    Import *im;
    Onnx__NodeProto *const *nodes;
    Names *givers;                /* a value's `line`: the node that gives it */
    VEC(uint32_t) stack;
    uint8_t *state;               /* by node */
} Order;

/* Puts the giver of a value on the stack, when it has not been reached. */
static void want(Order *o, const char *name)
{
    const OnnxValue *v = *name ? names_find(o->im, o->givers, name) : NULL;
    if (v && o->state[v->line] == NEW)
        vec_push(o->im->a, &o->stack, v->line);
}

/* What a node reads: its inputs, and whatever the bodies of its attributes name. Their depth is
 * bounded by that of messages in a file. */
static void want_inputs(Order *o, const Onnx__NodeProto *n)
{
    for (size_t i = n->n_input; i-- > 0;)
        want(o, n->input[i]);
    for (size_t i = 0; i < n->n_attribute; i++) {
        const Onnx__GraphProto *g = n->attribute[i]->g;
        for (size_t k = 0; g && k < g->n_node; k++)
            want_inputs(o, g->node[k]);
        for (size_t k = 0; g && k < g->n_output; k++)
            want(o, g->output[k]->name ? g->output[k]->name : "");
    }
}

/* True when some node reads what only a later one gives. */
static bool is_disordered(Order *o, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        o->state[i] = DONE; /* a node that reads itself is no matter of order */
        want_inputs(o, o->nodes[i]);
        if (o->stack.n)
            return true;
    }
    return false;
}

Onnx__NodeProto *const *import_order(Import *im, Onnx__NodeProto *const *nodes, size_t n)
{
    Order o = { .im = im, .nodes = nodes, .givers = arena_make(im->a, Names) };
    if (n < 2)
        return nodes;
    o.state = arena_new_array(im->a, uint8_t, n);
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < nodes[i]->n_output; k++)
            if (*nodes[i]->output[k] && !names_find(im, o.givers, nodes[i]->output[k]))
                names_add(im, o.givers, nodes[i]->output[k])->line = i;
    if (!is_disordered(&o, n))
        return nodes;
    Onnx__NodeProto **out = arena_new_array(im->a, Onnx__NodeProto *, n);
    size_t done = 0;
    memset(o.state, NEW, n);
    o.stack.n = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (o.state[i] == NEW)
            vec_push(im->a, &o.stack, i);
        while (o.stack.n) {
            uint32_t at = o.stack.at[o.stack.n - 1];
            if (o.state[at] == NEW) {
                o.state[at] = OPEN;
                want_inputs(&o, nodes[at]);
                continue;
            }
            o.stack.n--;
            if (o.state[at] == OPEN) {
                o.state[at] = DONE;
                out[done++] = nodes[at];
            }
        }
    }
    return out;
}
