/* gradcheck_code.c: see gradcheck.h.
 *
 * The unit's entries are replaced by two for each step: the loss, and the loss with its
 * derivatives. These are written to tensors made for them, since there may be more than a call has
 * results. The code that is checked so is generated like that of training, but for f64. */
#include "driver/engine.h"
#include "driver/gradcheck.h"
#include "driver/known.h"
#include "passes/pass.h"

#include <math.h>
#include <string.h>

enum { ITEMS = 3 };

static bool fail(GradCode *c, LocId loc, const char *why)
{
    diag_report(c->run->cx, DIAG_E0001, loc, "%s", why);
    return false;
}

void grad_report(GradCode *c, LocId loc, const char *bad)
{
    uint32_t d = diag_report(c->run->cx, c->outside ? DIAG_E0908 : DIAG_E0001, loc, "%s%s",
                             c->outside ? "at random inputs " : "", bad);
    if (c->outside)
        diag_add(c->run->cx, d, DIAG_HELP, 0,
                 "an input is drawn within the axis that it indexes, where that is seen; "
                 "`bounded(i, n)` tells it, and -i NAME=FILE gives one");
}

/* ---- What is compiled ---- */

static void push_entry(Unit *u, const char *what, uint32_t number, Graph *g, const Entry *step)
{
    Entry e = { .kind = ENTRY_EXPORT,
                .name = arena_printf(u->arena, "%s_%u", what, number),
                .graph = g,
                .pinned = step->pinned,
                .loc = step->loc };
    vec_push(u->arena, &u->entries, e);
}

/* The loss alone, and everything, its derivatives going to new tensors. */
static void push_entries(GradCode *c, GradStep *s, const Entry *step)
{
    Unit *u = c->unit;
    Graph *loss = arena_make(u->arena, Graph), *all = arena_make(u->arena, Graph);
    *loss = *all = *s->check.graph;
    loss->outputs.n = 1;
    all->outputs.at = NULL;
    all->outputs.n = all->outputs.cap = 0;
    s->stored = u->tensors.n;
    graph_output(all, "loss", loss->outputs.at[0].node, -1);
    for (uint32_t i = 0; i < s->check.tensors.n; i++) {
        Tensor t = u->tensors.at[s->check.tensors.at[i]];
        t.name = arena_printf(u->arena, "%s/slope_%u", t.name, c->steps.n);
        t.kind = TENSOR_STATE;
        t.trained = false;
        graph_output(all, t.name, s->check.graph->outputs.at[1 + i].node, (int32_t)u->tensors.n);
        vec_push(u->arena, &u->tensors, t);
    }
    push_entry(u, "loss", c->steps.n, loss, step);
    push_entry(u, "slope", c->steps.n, all, step);
    vec_push(c->run->arena, &c->steps, *s);
}

/* A model without a recipe has no step: its exports are taken for steps. */
static void take_exports(GradCode *c)
{
    Unit *u = c->unit;
    for (uint32_t i = 0; i < u->entries.n; i++)
        if (u->entries.at[i].kind == ENTRY_STEP)
            return;
    for (uint32_t i = 0; i < u->entries.n; i++) {
        Entry step;
        if (u->entries.at[i].kind == ENTRY_EXPORT && gradcheck_export(u, &u->entries.at[i], &step))
            u->entries.at[i] = step;
    }
}

static bool make_steps(GradCode *c, const char *path)
{
    Unit *u = c->unit;
    take_exports(c);
    VEC(Entry) old = { .at = u->entries.at, .n = u->entries.n };
    VEC(GradStep) steps = { 0 };
    for (uint32_t i = 0; i < old.n; i++) {
        const Entry *e = &old.at[i];
        int64_t most = e->graph->batch_max > 0 ? e->graph->batch_max : 1,
                batch = e->pinned || most < ITEMS ? most : ITEMS;
        GradStep s = { 0 };
        if (e->kind != ENTRY_STEP)
            continue;
        if (!e->pinned)
            batch = grad_given_rows(c, e->graph, batch);
        const char *bad =
            gradcheck_entry(c->run->arena, u, e, batch, u->recipe.seed, &s.check);
        if (c->run->cx->errors)
            return false;
        if (bad)
            return fail(c, e->loc, bad);
        vec_push(c->run->arena, &steps, s);
    }
    if (!steps.n)
        diag_report(c->run->cx, DIAG_E0419, 0,
                    "%s has nothing to differentiate by: no `train` block for %s, and no export "
                    "with parameters or float inputs of a fixed shape",
                    path, u->name);
    u->entries.at = NULL;
    u->entries.n = u->entries.cap = 0;
    u->recipe = (Recipe){ .loc = u->recipe.loc };
    for (uint32_t i = 0, k = 0; i < old.n; i++)
        if (old.at[i].kind == ENTRY_STEP)
            push_entries(c, &steps.at[k++], &old.at[i]);
    return steps.n > 0;
}

static bool make_context(GradCode *c)
{
    const DlrtModel *m = session_model(c->session);
    long long threads = 1; /* three items are too few to share: threads would wait, not work */
    if (!option_number(&c->run->options, OPT_THREADS, 1, 4096, &threads))
        return false;
    int rc = dlrt_init(m, m->abi, NULL, 0, 0, &c->cx);
    if (rc)
        return fail(c, 0, dlrt_error(rc));
    dlrt_set_threads(c->cx, (int)threads, NULL, NULL);
    for (uint32_t i = 0; i < c->steps.n; i++) {
        c->steps.at[i].loss = &m->entries[2 * i];
        c->steps.at[i].slope = &m->entries[2 * i + 1];
    }
    return true;
}

bool grad_open(Run *r, const char *path, GradCode *out)
{
    *out = (GradCode){ .run = r };
    FrontendOptions fo = run_frontend_options(r);
    PipelineOptions p = { .verify = true };
    Target target;
    fo.f64 = true;
    fo.known = known_value;
    fo.inputs = known_inputs;
    fo.user = out->given = arena_make(r->arena, Engine);
    *out->given = (Engine){ .run = r, .path = path };
    if (library_is_path(path)) {
        diag_report(r->cx, DIAG_E0909, 0,
                    "%s is built, for the types it was written in: derivatives are checked in f64, "
                    "of the .dl file",
                    path);
        return false;
    }
    if (!run_target(r, "native", &target))
        return false;
    out->unit = frontend_load(r->cx, path, &fo);
    return out->unit && !r->cx->errors && pass_widen(out->unit) && make_steps(out, path) &&
           pipeline_run(out->unit, &p, NULL) && !r->cx->errors &&
           (out->session = session_new(out->unit, &target, engine_call)) && make_context(out) &&
           grad_given_names(out, path);
}

void grad_close(GradCode *code)
{
    dlrt_free(code->cx);
    session_free(code->session);
}

/* ---- Running ---- */

static void *bytes_of(Arena *a, const Value *v)
{
    void *bytes = arena_alloc(a, (size_t)v->count * dtype_size(v->dtype) + 1);
    value_to_bytes(v, bytes);
    return bytes;
}

void grad_move(GradCode *code, uint32_t tensor, const Value *v)
{
    const char *name = code->unit->tensors.at[tensor].name;
    size_t bytes = (size_t)v->count * dtype_size(v->dtype);
    if (v->dtype == DT_F64) {
        dlrt_write_raw(code->cx, name, v->f, bytes);
        return;
    }
    Arena *a = arena_new();
    dlrt_write_raw(code->cx, name, bytes_of(a, v), bytes);
    arena_free(a);
}

static const char *run(GradCode *c, const GradStep *s, const DlrtEntry *e, double *out_value)
{
    int rc = dlrt_run(c->cx, e, s->check.args.batch, s->inputs, (void *[]){ out_value });
    const char *message = dlrt_message(c->cx);
    c->outside = rc == DLRT_E_LABEL;
    return rc ? arena_printf(c->run->arena, "%s", *message ? message : dlrt_error(rc)) : NULL;
}

const char *grad_loss(GradCode *code, const GradStep *step, double *out_value)
{
    return run(code, step, step->loss, out_value);
}

const char *grad_slopes(GradCode *code, const GradStep *step, Arena *a, Value *out_slopes)
{
    double loss;
    const char *bad = run(code, step, step->slope, &loss);
    for (uint32_t i = 0; i < step->check.tensors.n && !bad; i++) {
        const Tensor *t = &code->unit->tensors.at[step->stored + i];
        Value *v = &out_slopes[i];
        *v = value_new(a, t->dtype, &t->shape, 1);
        dlrt_read_raw(code->cx, t->name, v->f, (size_t)v->count * sizeof *v->f);
    }
    return bad;
}

static void put(GradCode *c, GradStep *s)
{
    for (uint32_t i = 0; i < c->steps.at[0].stored; i++)
        grad_move(c, i, &s->check.values[i]);
    for (uint32_t i = 0; i < s->loss->input_count; i++)
        s->inputs[i] = bytes_of(c->run->arena, &s->check.args.inputs[i]);
}

bool grad_start(GradCode *code, GradStep *step, uint32_t draw)
{
    static_assert(offsetof(DlrtClock, seed) == CLOCK_SEED * sizeof(double),
                  "the clock's numbers are those of the reference, in its order");
    const InterpArgs *args = &step->check.args;
    memcpy(&code->cx->clock, args->clock, sizeof args->clock);
    code->cx->clock.seed = args->seed;
    code->cx->clock.key_step = args->key;
    for (int positive = 0; positive < 2; positive++) {
        gradcheck_entry_draw(code->run->arena, &step->check, draw, positive);
        if (!grad_given(code, step))
            return false;
        put(code, step);
        const char *bad = grad_loss(code, step, &step->value);
        if (bad) {
            grad_report(code, 0, bad);
            return false;
        }
        if (isfinite(step->value))
            return true;
    }
    diag_report(code->run->cx, DIAG_E0910, 0,
                "the loss is %g at random inputs, both from [-1, 1] and from [0.5, 1.5]: there is "
                "nothing to compare",
                step->value);
    return false;
}
