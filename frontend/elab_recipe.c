/* elab_recipe.c: train blocks. A closed set of keys; --set lays values over them before anything is
 * read, so that whatever the file says can be said on the command line. */
#include "frontend/elab.h"

#include <math.h>
#include <string.h>

typedef VEC(const AstEntry *) Entries;
typedef struct {
    Elab *e;
    Recipe *r;
    Scope *scope;
    Entries entries;
    LocId loc;
} RecipeReader;

static const char *const keys[] = {
    "accumulate", "batch", "checkpoint", "clip_norm", "clip_value", "early_stop", "ema",
    "epochs",     "fresh", "load",       "loss",      "optimizer",  "params",     "precision",
    "report",     "seed",  "shuffle",    "steps",     "times",
};

static const AstEntry *find_entry(const Entries *list, const char *name)
{
    const AstEntry *found = NULL;
    for (uint32_t i = 0; i < list->n; i++)
        if (list->at[i]->kind == AST_ENTRY_SET && !list->at[i]->glob.text &&
            list->at[i]->name.text && !strcmp(list->at[i]->name.text, name))
            found = list->at[i];
    return found;
}

/* ---- --set ---- */

static AstExpr *with_argument(Elab *e, const AstExpr *call, const char *name, AstExpr *value)
{
    AstExpr *x = arena_make(e->a, AstExpr);
    *x = *call;
    if (call->kind != AST_EXPR_CALL) { /* optimizer = adam */
        x->kind = AST_EXPR_CALL;
        x->call.callee = (AstExpr *)(uintptr_t)call;
        x->call.n_args = 0;
        x->call.args_loc = call->loc;
    }
    uint32_t n = x->call.n_args, at = n;
    AstArg *args = arena_new_array(e->a, AstArg, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        args[i] = x->call.args[i];
        if (args[i].name.text && !strcmp(args[i].name.text, name))
            at = i;
        else if (!args[i].name.text && i == 0 && !strcmp(name, "lr"))
            at = 0;
    }
    args[at] = (AstArg){ { name_of(e->cx, name), value->loc }, value, value->loc };
    x->call.args = args;
    x->call.n_args = at == n ? n + 1 : n;
    return x;
}

static bool apply_setting(RecipeReader *q, const FrontendSetting *set)
{
    Elab *e = q->e;
    AstExpr *value = parse_value(e, arena_printf(e->a, "--set %s", set->name), set->value);
    if (!value)
        return false;
    const char *key = strcmp(set->name, "lr") ? set->name : "optimizer.lr";
    const char *dot = strchr(key, '.');
    const char *base = name_of(e->cx, dot ? arena_strndup(e->a, key, (size_t)(dot - key)) : key);
    const AstEntry *old = find_entry(&q->entries, base);
    AstEntry *entry = arena_make(e->a, AstEntry);
    if (dot && !old) {
        diag_report(e->cx, DIAG_E0416, value->loc, "--set %s: the recipe has no `%s`", set->name,
                    base);
        return false;
    }
    *entry =
        old ? *old
            : (AstEntry){ .kind = AST_ENTRY_SET, .name = { base, value->loc }, .loc = value->loc };
    entry->value = dot ? with_argument(e, old->value, dot + 1, value) : value;
    for (uint32_t i = 0; i < q->entries.n; i++)
        if (q->entries.at[i] == old) {
            q->entries.at[i] = entry;
            return true;
        }
    vec_push(e->a, &q->entries, entry);
    return true;
}

/* ---- values ---- */

static bool fail_value(RecipeReader *q, const AstEntry *entry, const char *wanted, Val got)
{
    if (got.kind != VAL_ERROR)
        diag_report(q->e->cx, DIAG_E0417, entry->value->loc, "`%s` must be %s, not %s",
                    entry->name.text, wanted, val_text(q->e, got));
    return false;
}

static bool get_int(RecipeReader *q, const char *key, int64_t min, int64_t *out)
{
    const AstEntry *entry = find_entry(&q->entries, key);
    if (!entry)
        return true;
    Val v = eval_static(q->e, entry->value, q->scope);
    if (v.kind == VAL_FLOAT && v.f == (double)(int64_t)v.f)
        v = val_int((int64_t)v.f);
    if (v.kind != VAL_INT || v.i < min || v.i > INT64_C(1) << 50)
        return fail_value(q, entry, min ? "a whole number above 0" : "a whole number", v);
    *out = v.i;
    return true;
}

static bool get_ema(RecipeReader *q)
{
    const AstEntry *entry = find_entry(&q->entries, "ema");
    if (!entry)
        return true;
    Val v = eval_static(q->e, entry->value, q->scope);
    if (!val_is_number(v) || !(val_double(v) > 0) || !(val_double(v) < 1))
        return fail_value(q, entry, "a number between 0 and 1", v);
    q->e->ema = val_double(v);
    return true;
}

static bool get_string(RecipeReader *q, const char *key, const char **out)
{
    const AstEntry *entry = find_entry(&q->entries, key);
    if (!entry)
        return true;
    Val v = eval_static(q->e, entry->value, q->scope);
    if (v.kind != VAL_STRING)
        return fail_value(q, entry, "a string", v);
    *out = v.string.text;
    return true;
}

static bool get_bool(RecipeReader *q, const char *key, bool *out)
{
    const AstEntry *entry = find_entry(&q->entries, key);
    if (!entry)
        return true;
    Val v = eval_static(q->e, entry->value, q->scope);
    if (v.kind != VAL_BOOL)
        return fail_value(q, entry, "true or false", v);
    *out = v.b;
    return true;
}

static bool has_part(const Elab *e, const char *part)
{
    size_t n = strlen(part);
    for (uint32_t i = 0; i < e->u->tensors.n; i++)
        if (!strncmp(e->u->tensors.at[i].name, part, n) && e->u->tensors.at[i].name[n] == '.')
            return true;
    return false;
}

/* load["policy"] = "sft.safetensors"; asked when all tensors are known. */
static bool get_part_loads(RecipeReader *q)
{
    for (uint32_t i = 0; i < q->entries.n; i++) {
        const AstEntry *entry = q->entries.at[i];
        if (entry->kind != AST_ENTRY_SET || !entry->glob.text || strcmp(entry->name.text, "load"))
            continue;
        Val v = eval_static(q->e, entry->value, q->scope);
        if (v.kind != VAL_STRING)
            return fail_value(q, entry, "a string", v);
        PartLoad load = { entry->glob.text, v.string.text, entry->loc };
        if (!has_part(q->e, load.part)) {
            diag_report(q->e->cx, DIAG_E0418, entry->loc, "%s has no part `%s` with parameters",
                        q->e->u->name, load.part);
            return false;
        }
        vec_push(q->e->a, &q->r->part_loads, load);
    }
    return true;
}

static const AstExpr *form(const AstEntry *entry, const char *name)
{
    const AstExpr *x = entry->value;
    bool named = x->kind == AST_EXPR_CALL && x->call.callee->kind == AST_EXPR_NAME &&
                 x->call.callee->name.text && !strcmp(x->call.callee->name.text, name);
    return named ? x : NULL;
}

/* checkpoint = every(steps=1000, path="bert.safetensors") */
static bool get_checkpoint(RecipeReader *q)
{
    const AstEntry *entry = find_entry(&q->entries, "checkpoint");
    const AstExpr *x = entry ? form(entry, "every") : NULL;
    if (!entry)
        return true;
    if (!x) {
        diag_report(q->e->cx, DIAG_E0417, entry->value->loc,
                    "`checkpoint` must be every(epochs=1, path=\"model.safetensors\")");
        return false;
    }
    for (uint32_t i = 0; i < x->call.n_args; i++) {
        const AstArg *a = &x->call.args[i];
        Val v = a->value ? eval_static(q->e, a->value, q->scope) : val_error();
        if (a->name.text && !strcmp(a->name.text, "path") && v.kind == VAL_STRING)
            q->r->checkpoint_path = v.string.text;
        else if (a->name.text && !strcmp(a->name.text, "steps") && v.kind == VAL_INT && v.i > 0)
            q->r->checkpoint_steps = v.i;
        else if (a->name.text && !strcmp(a->name.text, "epochs") && v.kind == VAL_INT && v.i > 0)
            q->r->checkpoint_epochs = v.i;
        else
            return v.kind != VAL_ERROR &&
                   fail_value(q, entry, "every(steps=.., epochs=.., path=\"..\")", v);
    }
    return true;
}

/* early_stop = patience(10, val) */
static bool get_early_stop(RecipeReader *q)
{
    const AstEntry *entry = find_entry(&q->entries, "early_stop");
    const AstExpr *x = entry ? form(entry, "patience") : NULL;
    if (!entry)
        return true;
    bool ok = x && x->call.n_args == 2 && x->call.args[0].value && x->call.args[1].value &&
              x->call.args[1].value->kind == AST_EXPR_NAME;
    Val n = ok ? eval_static(q->e, x->call.args[0].value, q->scope) : val_none();
    if (n.kind != VAL_INT || n.i < 1) {
        if (n.kind != VAL_ERROR)
            diag_report(q->e->cx, DIAG_E0417, entry->value->loc,
                        "`early_stop` must be patience(evaluations, metric)");
        return false;
    }
    q->r->early_stop_patience = n.i;
    q->r->early_stop_metric = x->call.args[1].value->name.text;
    const char *names[32];
    uint32_t metrics = 0;
    for (uint32_t i = 0; i < q->entries.n; i++)
        if (q->entries.at[i]->kind == AST_ENTRY_METRIC && q->entries.at[i]->name.text &&
            metrics < 32) {
            if (q->entries.at[i]->name.text == q->r->early_stop_metric)
                return true;
            names[metrics++] = q->entries.at[i]->name.text;
        }
    const char *near = diag_nearest(q->r->early_stop_metric, names, metrics);
    diag_report(q->e->cx, DIAG_E0416, x->call.args[1].value->loc,
                near ? "no metric `%s`; did you mean `%s`?" : "no metric `%s`",
                q->r->early_stop_metric, near);
    return false;
}

static bool check_keys(RecipeReader *q)
{
    bool ok = true;
    for (uint32_t i = 0; i < q->entries.n; i++) {
        const AstEntry *entry = q->entries.at[i];
        const char *name = entry->name.text;
        bool known = entry->kind != AST_ENTRY_SET || !name;
        for (size_t k = 0; !known && k < sizeof keys / sizeof *keys; k++)
            known = !strcmp(name, keys[k]);
        if (!known) {
            const char *near = diag_nearest(name, keys, sizeof keys / sizeof *keys);
            diag_report(q->e->cx, DIAG_E0416, entry->name.loc,
                        near ? "a recipe has no key `%s`; did you mean `%s`?"
                             : "a recipe has no key `%s`",
                        name, near);
            ok = false;
            continue;
        }
        for (uint32_t k = 0; k < i && entry->kind == AST_ENTRY_SET; k++)
            if (q->entries.at[k]->kind == AST_ENTRY_SET && q->entries.at[k]->name.text == name &&
                !q->entries.at[k]->glob.text && !entry->glob.text) {
                diag_report(q->e->cx, DIAG_E0406, entry->loc, "`%s` is given twice", name);
                ok = false;
            }
        bool parts = name && (!strcmp(name, "optimizer") || !strcmp(name, "load"));
        if (entry->glob.text && !parts) {
            unsupported(q->e, entry->loc,
                        arena_printf(q->e->a, "`%s` for a part of the model", name ? name : ""));
            ok = false;
        }
    }
    return ok;
}

static bool check_precision(RecipeReader *q)
{
    const AstEntry *entry = find_entry(&q->entries, "precision");
    if (!entry)
        return true;
    Val v = eval_static(q->e, entry->value, q->scope);
    if ((v.kind == VAL_DTYPE && dtype_size(v.dtype) >= 4) ||
        (v.kind == VAL_STRING && !strcmp(v.string.text, "f32")))
        return true;
    return v.kind != VAL_ERROR &&
           unsupported(q->e, entry->value->loc, "another precision than f32").kind != VAL_ERROR;
}

/* A schedule may read the last value of a metric, `plateau(0.1)(val)`: a tensor of the run that
 * whoever evaluates writes, infinite before. */
static Val metric_value(Elab *e, void *user, const char *name)
{
    const RecipeReader *q = user;
    for (uint32_t i = 0; i < q->entries.n; i++) {
        const AstEntry *entry = q->entries.at[i];
        if (entry->kind != AST_ENTRY_METRIC || entry->name.text != name)
            continue;
        const char *path = arena_printf(e->a, "metric/%s", name);
        int32_t known = unit_tensor(e->u, path);
        if (known < 0)
            known = tensor_declare(e, path, TENSOR_MOMENT, e->options->f64 ? DT_F64 : DT_F32,
                                   &(Shape){ 0 }, val_float(INFINITY), -1, entry->loc);
        return (Val){ .kind = VAL_STORED, .i = known };
    }
    return val_none();
}

/* ---- updates ---- */

static const AstFn *find_loss(RecipeReader *q, const Entries *own)
{
    const AstEntry *entry = find_entry(own, "loss");
    const char *name = name_of(q->e->cx, "loss");
    LocId loc = q->loc;
    if (entry && entry->value->kind == AST_EXPR_NAME && entry->value->name.text)
        name = entry->value->name.text, loc = entry->value->loc;
    const AstFn *fn = instance_find_fn(q->e, q->e->root, name);
    if (!fn)
        diag_report(q->e->cx, DIAG_E0419, loc, "the model `%s` has no fn `%s` to train with",
                    q->e->u->name, name);
    return fn;
}

static const char *update_params(RecipeReader *q, const Entries *own)
{
    RecipeReader local = *q;
    const char *params = NULL;
    local.entries = *own;
    get_string(&local, "params", &params);
    return params ? params : q->r->params;
}

static bool plan_update(RecipeReader *q, const char *name, const Entries *own, LocId loc,
                        StepPlan *p)
{
    *p = (StepPlan){ .name = name, .scope = q->scope, .loc = loc };
    p->loss = find_loss(q, own);
    p->params = update_params(q, own);
    const AstEntry *plain = find_entry(own, "optimizer");
    if (!plain)
        plain = find_entry(&q->entries, "optimizer");
    if (!plain) {
        uint32_t d = diag_report(q->e->cx, DIAG_E0419, loc, "no optimizer is given");
        diag_add(q->e->cx, d, DIAG_HELP, 0, "for example `optimizer = adam(lr=1e-3)`");
        return false;
    }
    vec_push(q->e->a, &p->optimizers, plain);
    const Entries *lists[] = { &q->entries, own };
    for (int l = own == &q->entries; l < 2; l++)
        for (uint32_t i = 0; i < lists[l]->n; i++)
            if (lists[l]->at[i]->glob.text && !strcmp(lists[l]->at[i]->name.text, "optimizer"))
                vec_push(q->e->a, &p->optimizers, lists[l]->at[i]);
    p->clip_norm = find_entry(own, "clip_norm") ? find_entry(own, "clip_norm")
                                                : find_entry(&q->entries, "clip_norm");
    p->clip_value = find_entry(own, "clip_value") ? find_entry(own, "clip_value")
                                                  : find_entry(&q->entries, "clip_value");
    if (p->loss)
        vec_push(q->e->a, &q->e->losses, p->loss);
    return p->loss;
}

static bool build_updates(RecipeReader *q)
{
    Elab *e = q->e;
    VEC(StepPlan) plans = { 0 };
    bool ok = true;
    for (uint32_t i = 0; i < q->entries.n; i++) {
        const AstEntry *u = q->entries.at[i];
        if (u->kind != AST_ENTRY_UPDATE || !u->name.text)
            continue;
        RecipeReader local = *q;
        StepPlan p;
        int64_t times = 1;
        local.entries = (Entries){ 0 };
        for (uint32_t k = 0; k < u->recipe->n_entries; k++)
            vec_push(e->a, &local.entries, &u->recipe->entries[k]);
        ok &= check_keys(&local) && get_int(&local, "times", 1, &times) &&
              plan_update(q, u->name.text, &local.entries, u->loc, &p);
        if (!ok)
            return false;
        vec_push(e->a, &plans, p);
        Update up = { u->name.text, arena_printf(e->a, "step_%s", u->name.text), times, NULL };
        vec_push(e->a, &q->r->updates, up);
    }
    if (!plans.n) {
        StepPlan p;
        if (!plan_update(q, NULL, &q->entries, q->loc, &p))
            return false;
        vec_push(e->a, &plans, p);
        vec_push(e->a, &q->r->updates, (Update){ "step", "step", 1, NULL });
    }
    for (uint32_t i = 0; i < plans.n; i++)
        vec_push(e->a, &e->ema_params, plans.at[i].params);
    for (uint32_t i = 0; i < plans.n && ok; i++) {
        if (q->r->on.source)
            ok &= data_check(e, &q->r->on, plans.at[i].loss, q->loc);
        ok = ok && step_elaborate(e, &plans.at[i], q->r->updates.at[i].entry);
    }
    return ok;
}

/* The fields that the recipe's data standardises. */
static void find_statistics(Elab *e)
{
    const Recipe *r = &e->u->recipe;
    for (uint32_t i = 0; r->on.source && i < r->sources.n; i++)
        for (uint32_t k = 0;
             k < r->sources.at[i].stages.n && !strcmp(r->sources.at[i].name, r->on.source); k++)
            if (r->sources.at[i].stages.at[k].kind == DATA_STANDARDIZE)
                vec_push(e->a, &e->stats, r->sources.at[i].stages.at[k].fields);
}

static bool standardizes(const AstExpr *x)
{
    for (; x->kind == AST_EXPR_PIPE; x = x->pipe.left) {
        const AstExpr *stage = x->pipe.right;
        if (stage->kind == AST_EXPR_CALL && stage->call.callee->kind == AST_EXPR_NAME &&
            stage->call.callee->name.text && !strcmp(stage->call.callee->name.text, "standardize"))
            return true;
    }
    return false;
}

bool recipe_statistics(Elab *e, const AstTrain *train)
{
    Val data = train->on ? eval_static(e, train->on, e->main->scope) : val_none();
    if (data.kind != VAL_DATA || !standardizes(data.data.item->data.value))
        return data.kind != VAL_ERROR;
    if (!data_view(e, train->on, e->main->scope, &e->u->recipe.on))
        return false;
    find_statistics(e);
    return true;
}

bool recipe_elaborate(Elab *e, const AstTrain *train, LocId loc)
{
    Recipe *r = &e->u->recipe;
    RecipeReader q = { e, r, scope_new(e, e->root->scope), { 0 }, loc };
    int64_t seed = 0;
    q.scope->lazy = metric_value;
    q.scope->lazy_user = &q;
    r->present = true;
    r->loc = loc;
    r->name = train->as.text ? train->as.text : train->model.text;
    r->batch = r->epochs = r->steps = -1;
    r->shuffle = true;
    r->accumulate = 1;
    for (uint32_t i = 0; i < train->recipe.n_entries; i++)
        vec_push(e->a, &q.entries, &train->recipe.entries[i]);
    bool ok = true;
    for (uint32_t i = 0; i < e->options->n_sets; i++)
        ok &= apply_setting(&q, &e->options->sets[i]);
    ok = ok && check_keys(&q);
    ok = ok && get_int(&q, "batch", 1, &r->batch) && get_int(&q, "epochs", 1, &r->epochs) &&
         get_int(&q, "steps", 1, &r->steps) && get_int(&q, "seed", 0, &seed) &&
         get_int(&q, "accumulate", 1, &r->accumulate) && get_bool(&q, "shuffle", &r->shuffle) &&
         get_string(&q, "params", &r->params) && get_string(&q, "load", &r->load) &&
         get_string(&q, "fresh", &r->fresh) && get_string(&q, "report", &r->report) &&
         get_ema(&q) && check_precision(&q) && get_checkpoint(&q) && get_early_stop(&q);
    r->seed = (uint64_t)seed;
    e->accumulate = r->accumulate;
    e->data_failed = ok && train->on && !data_view(e, train->on, e->main->scope, &r->on);
    if (e->data_failed)
        return false;
    find_statistics(e);
    if (!ok || !build_updates(&q) || !get_part_loads(&q))
        return false;
    ok = eval_elaborate(e, e->losses.at[0]);
    for (uint32_t i = 0; i < q.entries.n; i++)
        if (q.entries.at[i]->kind == AST_ENTRY_METRIC)
            ok &= metric_elaborate(e, q.entries.at[i]);
    return ok;
}
