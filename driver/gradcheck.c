/* gradcheck.c: the verb `gradcheck`: the gradient of the loss against difference quotients.
 *
 * The model is elaborated in f64, the outputs of its step are replaced by the loss and its
 * derivatives by each parameter, and the passes run as far as derivatives are made. The reference
 * interpreter computes both sides, so that what is judged is the derivative and not the code
 * generator. Inputs are random; parameters are those of the seed, moved a little, since initial
 * zeros stand exactly on the kinks of relu and abs. */
#include "driver/verbs.h"
#include "ir/cases.h"
#include "passes/gradcheck.h"
#include "runtime/host/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIRECTIONS = 8, ITEMS = 3 };
#define TOLERANCE 1e-6
#define SECONDS 60.0 /* a parameter of a large model gets fewer directions */

typedef struct {
    Run *run;
    Unit *unit;
    Graph *graph;
    VEC(uint32_t) points; /* tensors, in the order of the outputs after the loss */
    InterpArgs args;
    Value *tensors;
} Check;

/* The entry's outputs become the loss and, for each trained tensor, its derivative. */
static bool make_derivatives(Compiler *cx, Entry *step)
{
    Graph *g = step->graph;
    NodeId loss = g->outputs.at[0].node;
    Unit *u = g->unit;
    uint8_t *updated = arena_alloc(u->arena, u->tensors.n + 1);
    for (uint32_t i = 1; i < g->outputs.n; i++)
        if (g->outputs.at[i].updates >= 0)
            updated[g->outputs.at[i].updates] = 1;
    g->outputs.n = 1;
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        const Tensor *t = &u->tensors.at[i];
        if (t->kind != TENSOR_PARAM || !updated[i] || !dtype_is_float(t->dtype))
            continue;
        g->loc = t->loc;
        NodeId x = graph_emit(g, OP_tensor, NULL, 0, &(AttrValue){ .kind = ATTR_INT, .i = i }, 1);
        NodeId in[] = { loss, x };
        NodeId d = graph_emit(g, OP_grad, in, 2, NULL, 0);
        if (d == NODE_NONE)
            return false;
        graph_output(g, arena_printf(u->arena, "d_%u", i), d, -1);
    }
    return !cx->errors;
}

static void fill_tensors(Check *c, uint64_t seed)
{
    Unit *u = c->unit;
    Arena *a = c->run->arena;
    CaseRng r = case_rng(a, seed);
    c->tensors = arena_new_array(a, Value, u->tensors.n + 1);
    for (uint32_t i = 0; i < u->tensors.n; i++)
        c->tensors[i] = value_new(a, u->tensors.at[i].dtype, &u->tensors.at[i].shape, 1);
    Entry *init = unit_entry(u, "init");
    InterpArgs args = { .batch = 1, .seed = seed };
    const char *bad = init ? interp_entry(a, init->graph, &args, c->tensors, NULL) : NULL;
    if (bad)
        diag_report(c->run->cx, DIAG_E0001, 0, "the initial values: %s", bad);
    for (uint32_t i = 0; i < u->tensors.n; i++)
        for (int64_t k = 0; u->tensors.at[i].kind == TENSOR_PARAM &&
                            dtype_is_float(u->tensors.at[i].dtype) && k < c->tensors[i].count;
             k++)
            c->tensors[i].f[k] += case_uniform(&r, -0.05, 0.05);
}

static void fill_inputs(Check *c, uint64_t seed)
{
    const Graph *g = c->graph;
    Arena *a = c->run->arena;
    CaseRng r = case_rng(a, seed + 1);
    Value *inputs = arena_new_array(a, Value, g->inputs.n + 1);
    c->args.batch = g->batch_max > 0 && g->batch_max < ITEMS ? g->batch_max : ITEMS;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Input *in = &g->inputs.at[i];
        double range = in->bound > 0 ? (double)in->bound : in->dtype == DT_U8 ? 256 : 2;
        inputs[i] = value_new(a, in->dtype, &in->shape, c->args.batch);
        for (int64_t k = 0; k < inputs[i].count; k++)
            if (dtype_is_float(in->dtype))
                inputs[i].f[k] = case_uniform(&r, -1, 1);
            else
                inputs[i].i[k] = (int64_t)(case_uniform(&r, 0, 1) * range);
    }
    c->args.inputs = inputs;
    c->args.tensors = c->tensors;
    c->args.seed = seed;
    c->args.clock[CLOCK_LR] = NAN;
    c->args.clock[CLOCK_LR_SCALE] = 1;
}

/* Seconds that one direction of one derivative takes, as measured on the whole gradient: some
 * twelve values of the loss, each a third of this. */
static double seconds_of_direction(Check *c)
{
    double start = host_clock();
    Arena *a = arena_new();
    Graph *g = interp_prepare(c->graph);
    Value *out = arena_new_array(a, Value, c->graph->outputs.n);
    const char *bad = g ? interp_run(a, g, &c->args, out) : "an expansion failed";
    if (bad)
        diag_report(c->run->cx, DIAG_E0001, 0, "%s", bad);
    arena_free(a);
    return 4 * (host_clock() - start);
}

static void print_result(const Check *c, const char *name, const char *line, const Gradcheck *g)
{
    const Options *o = &c->run->options;
    if (option_given(o, OPT_JSON)) {
        HostEvent event;
        host_event_begin(&event, stdout, "gradient");
        host_event_string(&event, "parameter", name);
        host_event_string(&event, "at", line);
        host_event_double(&event, "error", g->error);
        host_event_double(&event, "norm", g->gradient);
        host_event_int(&event, "directions", g->directions);
        host_event_int(&event, "kinks", g->kinks);
        host_event_end(&event);
        return;
    }
    if (!option_given(o, OPT_QUIET))
        printf("%-28s |gradient| %-9.3g error %-8.1e %u direction%s%s  %s\n", name, g->gradient,
               g->error, g->directions, g->directions == 1 ? "" : "s",
               g->kinks ? arena_printf(c->run->arena, ", %u at kinks", g->kinks) : "", line);
    fflush(stdout);
}

static void check_point(Check *c, uint32_t index, uint32_t directions)
{
    const Tensor *t = &c->unit->tensors.at[c->points.at[index]];
    Graph one = *c->graph; /* the loss, and this derivative alone */
    Output outputs[2] = { c->graph->outputs.at[0], c->graph->outputs.at[1 + index] };
    GradPoint point = { .tensor = true, .index = c->points.at[index] };
    Gradcheck result;
    Arena *a = arena_new();
    one.outputs.at = outputs;
    one.outputs.n = one.outputs.cap = 2;
    const char *bad = gradcheck(a, &one, &c->args, &point, 1, directions, 20 + index, &result);
    if (bad) {
        diag_report(c->run->cx, DIAG_E0001, t->loc, "`%s`: %s", t->name, bad);
    } else {
        print_result(c, t->name, loc_text(c->run->cx, t->loc), &result);
        if (!(result.error <= TOLERANCE))
            diag_report(c->run->cx, DIAG_E0910, t->loc,
                        "the derivative by `%s` is %.9g along a direction where differences give "
                        "%.9g (relative error %.1e)",
                        t->name, result.derivative, result.quotient, result.error);
    }
    arena_free(a);
}

/* All derivatives at once, for models where each alone would take too long. Whether they agree. */
static bool check_together(Check *c, uint32_t directions)
{
    GradPoint *points = arena_new_array(c->run->arena, GradPoint, c->points.n);
    Gradcheck result;
    Arena *a = arena_new();
    for (uint32_t i = 0; i < c->points.n; i++)
        points[i] = (GradPoint){ .tensor = true, .index = c->points.at[i] };
    const char *bad =
        gradcheck(a, c->graph, &c->args, points, c->points.n, directions, 20, &result);
    if (bad)
        diag_report(c->run->cx, DIAG_E0001, 0, "%s", bad);
    else
        print_result(c, arena_printf(c->run->arena, "all %u together", c->points.n), "", &result);
    arena_free(a);
    return bad || result.error <= TOLERANCE;
}

static bool prepare(Check *c, const char *path, FrontendOptions *fo)
{
    Compiler *cx = c->run->cx;
    PipelineOptions p = { .stop_after = "autodiff", .verify = true };
    bool any = false;
    fo->f64 = true;
    c->unit = frontend_load(cx, path, fo);
    if (!c->unit || cx->errors)
        return false;
    for (uint32_t i = 0; i < c->unit->entries.n; i++)
        if (c->unit->entries.at[i].kind == ENTRY_STEP) {
            any = true;
            if (!make_derivatives(cx, &c->unit->entries.at[i]))
                return false;
        }
    if (!any)
        diag_report(cx, DIAG_E0419, 0, "%s has no `train` block for %s, and so no gradient", path,
                    c->unit->name);
    return any && pipeline_run(c->unit, &p, NULL) && !cx->errors;
}

/* One update of the recipe. */
static void check_step(Check *c, const Entry *step)
{
    c->graph = step->graph;
    c->points.n = 0;
    for (uint32_t i = 1; i < c->graph->outputs.n; i++)
        vec_push(c->run->arena, &c->points,
                 (uint32_t)strtoul(c->graph->outputs.at[i].name + 2, NULL, 10));
    fill_inputs(c, c->unit->recipe.seed);
    double one = seconds_of_direction(c), all = one * (double)c->points.n;
    if (c->run->cx->errors || !c->points.n)
        return;
    if (all > SECONDS) {
        uint32_t directions = one * DIRECTIONS <= SECONDS ? DIRECTIONS : 1;
        if (check_together(c, directions))
            return;
    }
    uint32_t each = all * DIRECTIONS <= SECONDS ? DIRECTIONS : all < SECONDS ? 2 : 1;
    for (uint32_t i = 0; i < c->points.n; i++)
        check_point(c, i, each);
}

int verb_gradcheck(Run *r)
{
    const char *path = run_file(r, 1);
    if (!path)
        return EXIT_USAGE;
    FrontendOptions fo = run_frontend_options(r);
    Check c = { .run = r };
    if (prepare(&c, path, &fo)) {
        fill_tensors(&c, c.unit->recipe.seed);
        for (uint32_t i = 0; i < c.unit->entries.n && !r->cx->errors; i++)
            if (c.unit->entries.at[i].kind == ENTRY_STEP)
                check_step(&c, &c.unit->entries.at[i]);
    }
    return run_finish(r);
}
