/* elab_metric.c: evaluation entries. The outermost mean, sum or loss of a metric is what combines
 * over batches: each becomes a sum over the items of a batch, and what stands around them is a
 * graph of its own, applied once (exp(loss) is perplexity).
 *
 * An entry's output i is sum i of the batch; the driver adds them up, and the weight is the number
 * of items. A max stays the largest of its batches', and a min is one of the negated values.
 * `finish` takes m0, m1, .. (sum i / weight) and, where a `sum` is asked for, `weight`. Without
 * `finish` the metric is m0. */
#include "frontend/elab.h"

#include <string.h>

typedef enum {
    AGGREGATE_MEAN,
    AGGREGATE_SUM,
    AGGREGATE_LOSS,
    AGGREGATE_MAX,
    AGGREGATE_MIN,
    AGGREGATE_NONE
} Aggregate;

typedef struct {
    const AstExpr *at[16];
    Aggregate kind[16];
    uint32_t n;
    const AstEntry *entry;
    uint32_t outputs;
} MetricPlan;

/* The value of a field of the data: an input made when it is first named. */
static Val field_value(Elab *e, void *user, const char *name)
{
    Scope *s = user;
    for (uint32_t l = 0; l < e->losses.n; l++) {
        const AstFn *fn = e->losses.at[l];
        for (uint32_t i = 0; i < fn->sig.n_params; i++)
            if (fn->sig.params[i].name.text == name && type_is_tensor(e, fn->sig.params[i].type)) {
                Val v = entry_input(e, &fn->sig.params[i], fn, s);
                scope_bind(e, s, name, v, fn->sig.params[i].loc);
                return v;
            }
    }
    return val_none();
}

/* A scope in which the fields of the data are names, and B is bound. */
static Scope *field_scope(Elab *e)
{
    Scope *s = scope_new(e, e->root->scope);
    if (e->losses.n && !entry_batch(e, e->losses.at[0], e->root, s))
        return NULL;
    s->lazy = field_value;
    s->lazy_user = s;
    return s;
}

static Val loss_value(Elab *e, const AstFn *loss, Scope *s)
{
    Args args = { arena_new_array(e->a, Arg, loss->sig.n_params), 0 };
    for (uint32_t i = 0; i < loss->sig.n_params; i++) {
        const AstParam *p = &loss->sig.params[i];
        if (!p->name.text || !type_is_tensor(e, p->type))
            continue;
        Val v = scope_lookup(e, s, &p->name);
        if (v.kind == VAL_ERROR)
            return v;
        args.at[args.n++] = (Arg){ p->name.text, v, p->loc };
    }
    return call_fn(e, fn_value(e, loss, e->root->scope, e->root).fn, &args, NULL, 0);
}

static bool output_sum(Elab *e, const char *name, Val v, bool times_items, LocId loc)
{
    NodeId x = v.kind == VAL_ERROR ? NODE_NONE : entry_result(e, v, NULL, loc);
    if (x == NODE_NONE)
        return false;
    if (graph_shape(e->g, x)->rank) {
        diag_report(e->cx, DIAG_E0340, loc_here(e, loc), "a metric is one number, this is %s",
                    val_text(e, val_node(x)));
        return false;
    }
    Dtype t = e->options->f64 ? DT_F64 : DT_F32;
    if (graph_dtype(e->g, x) != t)
        x = b_cast(e->g, x, t);
    if (times_items && e->batch_max && e->g->inputs.n) {
        Val items = e->pinned ? val_int(e->batch_max) : (Val){ .kind = VAL_DIM, .i = 1 };
        x = b_mul(e->g, x, val_to_node(e, items, t, loc));
    }
    graph_output(e->g, name, x, -1);
    return true;
}

static bool eval_body(Elab *e, void *user)
{
    const AstFn *loss = user;
    Scope *s = scope_new(e, e->root->scope);
    Args args;
    if (!entry_inputs(e, loss, e->root, s, &args))
        return false;
    Val v = call_fn(e, fn_value(e, loss, e->root->scope, e->root).fn, &args, NULL, 0);
    return output_sum(e, "loss", v, true, loss->loc);
}

bool eval_elaborate(Elab *e, const AstFn *loss)
{
    return entry_build(e, ENTRY_EVAL, "eval", loss->loc, eval_body, (void *)(uintptr_t)loss);
}

/* ---- metrics ---- */

static Aggregate aggregate_of(const Elab *e, const AstExpr *x)
{
    const AstExpr *callee = x->kind == AST_EXPR_CALL   ? x->call.callee
                            : x->kind == AST_EXPR_PIPE ? x->pipe.right
                                                       : NULL;
    if (callee && callee->kind == AST_EXPR_CALL)
        callee = callee->call.callee;
    if (x->kind == AST_EXPR_NAME && x->name.text)
        return !strcmp(x->name.text, "loss") && e->losses.n ? AGGREGATE_LOSS : AGGREGATE_NONE;
    if (!callee || callee->kind != AST_EXPR_NAME || !callee->name.text)
        return AGGREGATE_NONE;
    const char *name = callee->name.text;
    return !strcmp(name, "mean")  ? AGGREGATE_MEAN
           : !strcmp(name, "sum") ? AGGREGATE_SUM
           : !strcmp(name, "max") ? AGGREGATE_MAX
           : !strcmp(name, "min") ? AGGREGATE_MIN
                                  : AGGREGATE_NONE;
}

static void collect(const Elab *e, MetricPlan *p, const AstExpr *x)
{
    Aggregate a = aggregate_of(e, x);
    if (a != AGGREGATE_NONE && p->n < 16) {
        p->kind[p->n] = a;
        p->at[p->n++] = x;
        return;
    }
    if (x->kind == AST_EXPR_UNARY) {
        collect(e, p, x->unary.x);
    } else if (x->kind == AST_EXPR_BINARY) {
        collect(e, p, x->binary.left);
        collect(e, p, x->binary.right);
    } else if (x->kind == AST_EXPR_PIPE) {
        collect(e, p, x->pipe.left);
    } else if (x->kind == AST_EXPR_CALL) {
        for (uint32_t i = 0; i < x->call.n_args; i++)
            if (x->call.args[i].value)
                collect(e, p, x->call.args[i].value);
    }
}

/* In the dtype of the sums: an unsigned one has no negative. */
static Val negated(Elab *e, Val v, LocId loc)
{
    Val x = tensor_cast(e, val_deref(e, v), e->options->f64 ? DT_F64 : DT_F32, loc);
    return x.kind == VAL_ERROR ? x : tensor_binary(e, AST_MUL, val_int(-1), x, loc, loc, loc);
}

static bool metric_body(Elab *e, void *user)
{
    MetricPlan *p = user;
    Scope *s = field_scope(e);
    if (!s)
        return false;
    if (!p->n) {
        Val v = eval(e, p->entry->value, s);
        return output_sum(e, p->entry->name.text, v, true, p->entry->value->loc);
    }
    for (uint32_t i = 0; i < p->n; i++) {
        Val v =
            p->kind[i] == AGGREGATE_LOSS ? loss_value(e, e->losses.at[0], s) : eval(e, p->at[i], s);
        if (p->kind[i] == AGGREGATE_MIN && v.kind != VAL_ERROR)
            v = negated(e, v, p->at[i]->loc);
        bool divided = p->kind[i] == AGGREGATE_MEAN || p->kind[i] == AGGREGATE_LOSS;
        const char *name =
            p->n == 1 ? p->entry->name.text : arena_printf(e->a, "%s_%u", p->entry->name.text, i);
        if (!output_sum(e, name, v, divided, p->at[i]->loc))
            return false;
    }
    return true;
}

static bool finish_body(Elab *e, void *user)
{
    MetricPlan *p = user;
    Dtype t = e->options->f64 ? DT_F64 : DT_F32;
    Shape scalar = { 0 };
    Override over[16];
    for (uint32_t i = 0; i < p->n; i++) {
        NodeId m = graph_input(e->g, (Input){ .name = arena_printf(e->a, "m%u", i),
                                              .dtype = t,
                                              .shape = scalar,
                                              .loc = p->at[i]->loc });
        over[i] = (Override){ p->at[i], val_node(m) };
    }
    NodeId weight = NODE_NONE;
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->kind[i] == AGGREGATE_SUM) {
            if (weight == NODE_NONE)
                weight = graph_input(
                    e->g,
                    (Input){ .name = "weight", .dtype = t, .shape = scalar, .loc = p->at[i]->loc });
            over[i].val = val_node(b_mul(e->g, over[i].val.node, weight));
        }
        if (p->kind[i] == AGGREGATE_MIN)
            over[i].val = val_node(b_scale(e->g, over[i].val.node, -1));
        vec_push(e->a, &e->overrides, over[i]);
    }
    Val v = eval(e, p->entry->value, e->root->scope);
    e->overrides.n = 0;
    return output_sum(e, p->entry->name.text, v, false, p->entry->value->loc);
}

bool metric_elaborate(Elab *e, const AstEntry *entry)
{
    MetricPlan p = { .entry = entry };
    if (!entry->name.text)
        return false;
    Metric m = { .name = entry->name.text, .loc = entry->loc };
    if (entry->on && !data_view(e, entry->on, e->main->scope, &m.on))
        return false;
    collect(e, &p, entry->value);
    bool whole = p.n == 1 && p.at[0] == entry->value && p.kind[0] != AGGREGATE_SUM &&
                 p.kind[0] != AGGREGATE_MIN;
    for (uint32_t i = 0; i < p.n; i++)
        if (p.kind[i] == AGGREGATE_MAX || p.kind[i] == AGGREGATE_MIN)
            m.maxima |= UINT32_C(1) << i;
    if (p.n == 1 && p.kind[0] == AGGREGATE_LOSS) { /* the entry of the loss gives it already */
        m.entry = "eval";
    } else {
        m.entry = arena_printf(e->a, "eval_%s", m.name);
        if (!entry_build(e, ENTRY_EVAL, m.entry, entry->loc, metric_body, &p))
            return false;
    }
    if (p.n && !whole) {
        m.finish = arena_printf(e->a, "finish_%s", m.name);
        if (!entry_build(e, ENTRY_EXPORT, m.finish, entry->loc, finish_body, &p))
            return false;
    }
    const Entry *eval_entry = unit_entry(e->u, m.entry);
    if (!entry->on && eval_entry && eval_entry->graph->inputs.n)
        m.on = e->u->recipe.on;
    vec_push(e->a, &e->u->recipe.metrics, m);
    return true;
}
