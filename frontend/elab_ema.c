/* elab_ema.c: `ema = 0.999`: the parameters that the model shows are moving averages of those that
 * training moves.
 *
 * The parameter itself is the average, so that metrics, exports, files of weights and libraries
 * have it without knowing; what the optimizer moves is a state of the run, NAME/raw. A step reads
 * that one wherever the model says NAME, and in its first execution the parameter instead: so
 * weights that were loaded are where both begin. The first averages are shorter, min(ema, (1 +
 * t)/(10 + t)) after t updates, or the random beginning would be in them for long. */
#include "frontend/elab.h"

#include <string.h>

static bool is_averaged(const Elab *e, int32_t tensor)
{
    const Tensor *t = &e->u->tensors.at[tensor];
    if (!e->in_step || e->ema <= 0 || t->kind != TENSOR_PARAM)
        return false;
    for (uint32_t i = 0; i < e->ema_params.n; i++)
        if (!e->ema_params.at[i] || glob_match(e->ema_params.at[i], t->name))
            return true;
    return false;
}

static NodeId parameter(Elab *e, int32_t tensor)
{
    AttrValue index = attr_i(tensor);
    return graph_emit(e->g, OP_tensor, NULL, 0, &index, 1);
}

static int32_t raw_of(Elab *e, int32_t tensor)
{
    Tensor t = e->u->tensors.at[tensor];
    const char *name = arena_printf(e->a, "%s/raw", t.name);
    int32_t raw = unit_tensor(e->u, name);
    return raw >= 0 ? raw
                    : tensor_declare(e, name, TENSOR_MOMENT, t.dtype, &t.shape, val_int(0), tensor,
                                     t.loc);
}

NodeId ema_read(Elab *e, int32_t tensor)
{
    if (!is_averaged(e, tensor))
        return NODE_NONE;
    LocId loc = e->u->tensors.at[tensor].loc;
    NodeId raw = tensor_read(e, raw_of(e, tensor));
    Val first =
        tensor_binary(e, AST_EQ, val_untyped(clock_node(e, "step")), val_int(0), loc, loc, loc);
    Val in[] = { first, val_node(parameter(e, tensor)), val_node(raw) };
    Val v = tensor_elementwise(e, OP_select, in, 3, loc);
    return v.kind == VAL_ERROR ? NODE_NONE : v.node;
}

/* How much of the difference the average takes over: 1 - min(ema, (1 + t)/(10 + t)). */
static Val share(Elab *e, LocId loc)
{
    Val t = val_untyped(clock_node(e, "step"));
    if (e->accumulate > 1)
        t = tensor_binary(e, AST_FLOORDIV, t, val_int(e->accumulate), loc, loc, loc);
    Val above = tensor_binary(e, AST_ADD, t, val_int(1), loc, loc, loc);
    Val below = tensor_binary(e, AST_ADD, t, val_int(10), loc, loc, loc);
    Val quotient = tensor_binary(e, AST_DIV, above, below, loc, loc, loc);
    Val kept = tensor_elementwise(e, OP_minimum, (Val[]){ quotient, val_float(e->ema) }, 2, loc);
    return tensor_binary(e, AST_SUB, val_int(1), kept, loc, loc, loc);
}

bool ema_finish(Elab *e, Val due, LocId loc)
{
    uint32_t n = e->current.n;
    for (uint32_t i = 0; e->ema > 0 && i < n; i++) {
        NodeId now = e->current.at[i];
        if (now == NODE_NONE || !is_averaged(e, (int32_t)i))
            continue;
        tensor_write(e, raw_of(e, (int32_t)i), now);
        if (!e->written.at[i])
            continue;
        Val w = val_node(parameter(e, (int32_t)i));
        Val step = tensor_binary(e, AST_SUB, val_node(now), w, loc, loc, loc);
        Val part = tensor_binary(e, AST_MUL, share(e, loc), step, loc, loc, loc);
        Val average = tensor_binary(e, AST_ADD, w, part, loc, loc, loc);
        if (due.kind != VAL_NONE)
            average = tensor_elementwise(e, OP_select, (Val[]){ due, average, w }, 3, loc);
        if (average.kind == VAL_ERROR)
            return false;
        e->current.at[i] = average.node;
    }
    return true;
}
