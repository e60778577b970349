/* elab_step.c: the training step: loss, gradients, clipping, and the optimizer applied to each
 * trained parameter.
 *
 * An optimizer is a layer made once for each parameter, with `...` as its shape; what it keeps are
 * moments of that parameter. Nothing here knows an optimizer: the standard library's are written
 * like a user's. */
#include "frontend/elab.h"

#include <string.h>

typedef struct {
    int32_t tensor;
    NodeId gradient;
} Trained;
typedef VEC(Trained) TrainedList;

static bool find_trained(Elab *e, StepPlan *p, NodeId loss, TrainedList *out)
{
    for (uint32_t i = 0; i < e->u->tensors.n; i++) {
        Tensor *t = &e->u->tensors.at[i];
        if (t->kind != TENSOR_PARAM || (p->params && !glob_match(p->params, t->name)))
            continue;
        t->trained = true;
        e->g->loc = t->loc;
        NodeId in[] = { loss, tensor_read(e, (int32_t)i) };
        NodeId g = graph_emit(e->g, OP_grad, in, 2, NULL, 0);
        if (g == NODE_NONE)
            return false;
        vec_push(e->a, out, (Trained){ (int32_t)i, g });
    }
    if (!out->n && e->u->tensors.n && p->params && *p->params) {
        diag_report(e->cx, DIAG_E0418, p->loc, "`params = \"%s\"` names no parameter of %s",
                    p->params, e->u->name);
        return false;
    }
    return true;
}

static bool recipe_number(Elab *e, const AstEntry *entry, Scope *s, double *out)
{
    Val v = eval_static(e, entry->value, s);
    if (val_is_number(v) && val_double(v) > 0) {
        *out = val_double(v);
        return true;
    }
    if (v.kind != VAL_ERROR)
        diag_report(e->cx, DIAG_E0417, entry->value->loc, "`%s` must be a number above 0, not %s",
                    entry->name.text, val_text(e, v));
    return false;
}

/* All gradients scaled by min(1, limit / norm), the norm over all of them together. */
static bool clip_by_norm(Elab *e, const TrainedList *list, double limit)
{
    Graph *g = e->g;
    NodeId sum = NODE_NONE;
    Dtype t = e->options->f64 ? DT_F64 : DT_F32;
    for (uint32_t i = 0; i < list->n; i++) {
        NodeId x = list->at[i].gradient;
        int64_t axes[MAX_RANK];
        uint32_t rank = graph_shape(g, x)->rank;
        for (uint32_t k = 0; k < rank; k++)
            axes[k] = k;
        NodeId square = b_mul(g, x, x);
        NodeId s = rank ? b_reduce(g, OP_reduce_sum, square, axes, rank, false) : square;
        if (graph_dtype(g, x) != t)
            s = b_cast(g, s, t);
        sum = sum == NODE_NONE ? s : b_add(g, sum, s);
    }
    if (sum == NODE_NONE)
        return true;
    NodeId norm = b_add(g, b_unary(g, OP_sqrt, sum), b_const(g, t, 1e-6));
    NodeId scale = b_binary(g, OP_minimum, b_const(g, t, 1), b_div(g, b_const(g, t, limit), norm));
    for (uint32_t i = 0; i < list->n; i++) {
        NodeId x = list->at[i].gradient;
        NodeId s = graph_dtype(g, x) == t ? scale : b_cast(g, scale, graph_dtype(g, x));
        Shape shape = *graph_shape(g, x);
        list->at[i].gradient = b_mul(g, x, b_spread_scalar(g, s, &shape));
    }
    return true;
}

static void clip_by_value(Elab *e, const TrainedList *list, double limit)
{
    for (uint32_t i = 0; i < list->n; i++) {
        NodeId x = list->at[i].gradient;
        x = b_binary(e->g, OP_minimum, x, b_like(e->g, x, limit));
        list->at[i].gradient = b_binary(e->g, OP_maximum, x, b_like(e->g, x, -limit));
    }
}

/* ---- accumulation ---- */

/* Sums gradients over n executions; the last one of n gives their mean to the optimizer and starts
 * anew. The others compute it too and drop it: what they wrote is chosen away in `keep_until_due`.
 */
static bool accumulate(Elab *e, const StepPlan *p, const TrainedList *list, Val *out_due)
{
    Graph *g = e->g;
    Val turn = tensor_binary(e, AST_MOD, val_untyped(clock_node(e, "own_step")),
                             val_int(e->accumulate), p->loc, p->loc, p->loc);
    *out_due = tensor_binary(e, AST_EQ, turn, val_int(e->accumulate - 1), p->loc, p->loc, p->loc);
    for (uint32_t i = 0; i < list->n; i++) {
        Tensor t = e->u->tensors.at[list->at[i].tensor];
        const char *name = arena_printf(e->a, p->name ? "%s/%s/sum" : "%s/sum", t.name, p->name);
        int32_t sum = unit_tensor(e->u, name);
        if (sum < 0)
            sum = tensor_declare(e, name, TENSOR_MOMENT, t.dtype, &t.shape, val_int(0),
                                 list->at[i].tensor, t.loc);
        NodeId total = b_add(g, tensor_read(e, sum), list->at[i].gradient);
        Val next = tensor_elementwise(e, OP_select,
                                      (Val[]){ *out_due, val_int(0), val_node(total) }, 3, t.loc);
        if (next.kind == VAL_ERROR)
            return false;
        tensor_write(e, sum, next.node);
        list->at[i].gradient = b_scale(g, total, 1 / (double)e->accumulate);
    }
    return true;
}

static NodeId *values_now(Elab *e)
{
    NodeId *now = arena_new_array(e->a, NodeId, e->current.n);
    for (uint32_t i = 0; i < e->current.n; i++)
        now[i] = e->current.at[i];
    return now;
}

/* What the optimizers wrote counts in the last execution of n only. */
static bool keep_until_due(Elab *e, Val due, const NodeId *before, uint32_t n, LocId loc)
{
    for (uint32_t i = 0; i < e->current.n; i++) {
        NodeId old = i < n ? before[i] : NODE_NONE, new = e->current.at[i];
        if (!e->written.at[i] || old == new)
            continue;
        AttrValue index = attr_i(i);
        if (old == NODE_NONE)
            old = graph_emit(e->g, OP_tensor, NULL, 0, &index, 1);
        Val v =
            tensor_elementwise(e, OP_select, (Val[]){ due, val_node(new), val_node(old) }, 3, loc);
        if (v.kind == VAL_ERROR)
            return false;
        e->current.at[i] = v.node;
    }
    return true;
}

/* ---- optimizers ---- */

/* Every argument by name, so that those of a glob's entry can be laid over the plain one's. */
static bool name_args(Elab *e, const LayerVal *l, Args *out)
{
    const AstLayer *ast = l->ast;
    *out = (Args){ arena_new_array(e->a, Arg, ast->n_params + l->args.n), 0 };
    uint32_t next = 0;
    for (uint32_t i = 0; i < l->args.n; i++) {
        Arg a = l->args.at[i];
        if (!a.name && next >= ast->n_params) {
            diag_report(e->cx, DIAG_E0404, a.loc, "`%s` takes %u arguments", ast->name.text,
                        ast->n_params);
            return false;
        }
        if (!a.name)
            a.name = ast->params[next].name.text;
        next++;
        out->at[out->n++] = a;
    }
    return true;
}

static bool eval_optimizer(Elab *e, const AstEntry *entry, Scope *s, const LayerVal *plain,
                           const LayerVal **out)
{
    Val v = eval(e, entry->value, s);
    if (v.kind != VAL_LAYER || v.layer->ast->kind != AST_OPTIMIZER) {
        report_kind(e, entry->value->loc, "an optimizer, such as adam(lr=1e-3)", v);
        return false;
    }
    LayerVal *l = arena_make(e->a, LayerVal);
    Args own;
    *l = *v.layer;
    if (!name_args(e, l, &own))
        return false;
    l->args = own;
    for (uint32_t i = 0; plain && plain->ast == l->ast && i < plain->args.n; i++) {
        bool given = false;
        for (uint32_t k = 0; k < own.n; k++)
            given |= own.at[k].name == plain->args.at[i].name;
        if (!given)
            l->args.at[l->args.n++] = plain->args.at[i];
    }
    *out = l;
    return true;
}

/* What the user set at run time goes before the schedule, and lr_scale multiplies. */
static Val effective_lr(Elab *e, Val lr, LocId loc)
{
    Val clock = val_untyped(clock_node(e, "lr")), scale = val_untyped(clock_node(e, "lr_scale"));
    Val unset = tensor_elementwise(e, OP_is_nan, &clock, 1, loc);
    Val chosen = tensor_elementwise(e, OP_select, (Val[]){ unset, lr, clock }, 3, loc);
    return tensor_elementwise(e, OP_mul, (Val[]){ chosen, scale }, 2, loc);
}

static bool set_lr(Elab *e, const LayerVal *l)
{
    const char *name = name_of(e->cx, "lr");
    for (uint32_t i = 0; i < l->args.n; i++)
        if (l->args.at[i].name == name) {
            l->args.at[i].val = effective_lr(e, l->args.at[i].val, l->args.at[i].loc);
            return l->args.at[i].val.kind != VAL_ERROR;
        }
    return true;
}

static bool update_one(Elab *e, const StepPlan *p, const LayerVal *optimizer, const Trained *t)
{
    Tensor tensor = e->u->tensors.at[t->tensor];
    const char *path = p->name ? arena_printf(e->a, "%s/%s", tensor.name, p->name) : tensor.name;
    Instance *i = instance_new(e, optimizer, path, p->loc, NULL);
    if (!i)
        return false;
    i->moments = true;
    i->moment_of = t->tensor;
    i->scope->has_ellipsis = true;
    i->scope->ellipsis = tensor.shape;
    Val in[] = { val_node(tensor_read(e, t->tensor)), val_node(t->gradient) };
    Args args = args_of(e, in, 2, tensor.loc);
    Val v = instance_call(e, (Val){ .kind = VAL_INSTANCE, .instance = i }, &args, tensor.loc);
    NodeId x = v.kind == VAL_ERROR ? NODE_NONE : val_to_node(e, v, tensor.dtype, p->loc);
    if (x == NODE_NONE)
        return false;
    if (!shape_equal(graph_shape(e->g, x), &tensor.shape)) {
        diag_report(e->cx, DIAG_E0337, p->loc, "the optimizer gives %s for `%s`", val_text(e, v),
                    tensor.name);
        return false;
    }
    tensor_write(e, t->tensor, x);
    return true;
}

static bool apply_optimizers(Elab *e, const StepPlan *p, const TrainedList *list)
{
    const LayerVal *configs[64];
    uint32_t n = p->optimizers.n < 64 ? p->optimizers.n : 64;
    e->own_clock = true;
    e->site = mix(e->site, 7);
    if (!e->schedules) {
        e->schedules = arena_make(e->a, Instance);
        *e->schedules =
            (Instance){ .path = "schedule", .ast = e->root->ast, .moments = true, .moment_of = -1 };
    }
    Instance *owner = e->owner;
    bool ok = true;
    e->owner = e->schedules;
    for (uint32_t i = 0; i < n && ok; i++)
        ok = eval_optimizer(e, p->optimizers.at[i], p->scope, i ? configs[0] : NULL, &configs[i]);
    e->owner = owner;
    if (!ok)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!set_lr(e, configs[i]))
            return false;
    for (uint32_t i = 0; i < list->n; i++) {
        const LayerVal *chosen = configs[0];
        for (uint32_t k = 1; k < n; k++)
            if (glob_match(p->optimizers.at[k]->glob.text,
                           e->u->tensors.at[list->at[i].tensor].name))
                chosen = configs[k];
        e->g->loc = e->u->tensors.at[list->at[i].tensor].loc;
        if (!update_one(e, p, chosen, &list->at[i]))
            return false;
    }
    return true;
}

static bool step_body(Elab *e, void *user)
{
    StepPlan *p = user;
    Scope *s = scope_new(e, e->root->scope);
    TrainedList list = { 0 };
    Args args;
    double limit;
    e->params = p->params;
    e->training = e->in_step = true;
    if (!entry_inputs(e, p->loss, e->root, s, &args))
        return false;
    Val v = call_fn(e, fn_value(e, p->loss, e->root->scope, e->root).fn, &args, NULL, 0);
    if (v.kind == VAL_ERROR)
        return false;
    NodeId loss = entry_result(e, v, NULL, p->loss->loc);
    if (loss == NODE_NONE)
        return false;
    if (graph_shape(e->g, loss)->rank || !dtype_is_float(graph_dtype(e->g, loss))) {
        diag_report(e->cx, DIAG_E0340, p->loss->loc, "a loss must be one float, not %s",
                    val_text(e, val_node(loss)));
        return false;
    }
    graph_output(e->g, "loss", loss, -1);
    if (!find_trained(e, p, loss, &list))
        return false;
    Val due = val_none();
    if (e->accumulate > 1 && !accumulate(e, p, &list, &due))
        return false;
    if (p->clip_norm &&
        (!recipe_number(e, p->clip_norm, p->scope, &limit) || !clip_by_norm(e, &list, limit)))
        return false;
    if (p->clip_value) {
        if (!recipe_number(e, p->clip_value, p->scope, &limit))
            return false;
        clip_by_value(e, &list, limit);
    }
    if (e->accumulate <= 1)
        return apply_optimizers(e, p, &list) && ema_finish(e, due, p->loc);
    uint32_t n = e->current.n;
    const NodeId *before = values_now(e);
    return apply_optimizers(e, p, &list) && keep_until_due(e, due, before, n, p->loc) &&
           ema_finish(e, due, p->loc);
}

bool step_elaborate(Elab *e, StepPlan *p, const char *entry)
{
    bool ok = entry_build(e, ENTRY_STEP, entry, p->loc, step_body, p);
    e->params = NULL;
    return ok;
}
