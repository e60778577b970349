/* gradcheck.c: the verb `gradcheck`: the gradient of the loss against difference quotients.
 *
 * Loss and derivatives are computed in f64 by generated code, at random inputs and at the
 * parameters of the seed, moved a little, since initial zeros stand exactly on the kinks of relu
 * and abs. Where the two disagree the reference interpreter says whose fault it is: if it has the
 * same derivative, a rule is wrong, else the code generator. Interpreting all of it instead would
 * take a hundred times as long. A place near a kink says little, so there are several. */
#include "driver/gradcheck.h"
#include "driver/verbs.h"
#include "passes/gradcheck.h"
#include "runtime/host/progress.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { DIRECTIONS = 8, DRAWS = 4, CALLS = 8 /* of the loss in one direction, at least */ };
#define TOLERANCE 1e-6
#define CODE_TOLERANCE 1e-9 /* between generated code and the reference, in f64 */
#define SECONDS 120.0       /* where each parameter alone is likely to take longer: all together */

typedef struct {
    GradCode *code;
    GradStep *step;
    Value *slopes;           /* by trained tensor, where the step was drawn last */
    Gradcheck *results;      /* by trained tensor, of all draws so far */
    bool *done;
    const uint32_t *tensors; /* in unit->tensors: the points of the comparison that is running */
    uint32_t n;
    const char *name;
    double drawn; /* when the line on the terminal was */
} Check;

/* ---- Talk ---- */

static void print_result(const Check *c, const char *line, const Gradcheck *g)
{
    const Options *o = &c->code->run->options;
    if (option_given(o, OPT_JSON)) {
        HostEvent event;
        host_event_begin(&event, stdout, "gradient");
        host_event_string(&event, "parameter", c->name);
        host_event_string(&event, "at", line);
        host_event_double(&event, "error", g->error);
        host_event_double(&event, "norm", g->gradient);
        host_event_int(&event, "directions", g->directions);
        host_event_int(&event, "kinks", g->kinks);
        host_event_end(&event);
        return;
    }
    if (!option_given(o, OPT_QUIET))
        printf("%-28s |gradient| %-9.3g error %-8.1e %u direction%s%s  %s\n", c->name, g->gradient,
               g->error, g->directions, g->directions == 1 ? "" : "s",
               g->kinks ? arena_printf(c->code->run->arena, ", %u at kinks", g->kinks) : "", line);
    fflush(stdout);
}

/* On a terminal, what is being compared, for as long as it takes. */
static void draw(Check *c)
{
    const Options *o = &c->code->run->options;
    double now = host_clock();
    if (!isatty(2) || option_given(o, OPT_QUIET) || now - c->drawn < 0.1)
        return;
    fprintf(stderr, "\r%s ...\033[K", c->name);
    c->drawn = now;
}

static void clear(Check *c)
{
    if (c->drawn > 0)
        fputs("\r\033[K", stderr);
    c->drawn = 0;
}

/* ---- One comparison ---- */

static const char *evaluate(void *user, const Value *moved, double *out_value)
{
    Check *c = user;
    draw(c);
    for (uint32_t p = 0; p < c->n; p++)
        grad_move(c->code, c->tensors[p], &moved[p]);
    return grad_loss(c->code, c->step, out_value);
}

/* Compares by trained tensors [first, first + n) of the step together. */
static const char *compare(Check *c, uint32_t first, uint32_t n, uint32_t directions,
                           Gradcheck *out_result)
{
    const EntryCheck *e = &c->step->check;
    Arena *a = arena_new();
    Value *at = arena_new_array(a, Value, n);
    c->tensors = e->tensors.at + first;
    c->n = n;
    for (uint32_t p = 0; p < n; p++)
        at[p] = e->values[c->tensors[p]];
    GradFunction f = { .n = n,
                       .at = at,
                       .gradient = c->slopes + first,
                       .value = c->step->value,
                       .evaluate = evaluate,
                       .user = c };
    const char *bad = gradcheck_function(a, &f, directions, 20 + first, out_result);
    for (uint32_t p = 0; p < n; p++)
        grad_move(c->code, c->tensors[p], &at[p]);
    arena_free(a);
    clear(c);
    return bad;
}

/* What is no number in both is the same. */
static bool is_near(const Value *a, const Value *b)
{
    double sum = 0, difference = 0;
    for (int64_t i = 0; i < a->count; i++) {
        if (isnan(a->f[i]) && isnan(b->f[i]))
            continue;
        sum += a->f[i] * a->f[i];
        difference += (a->f[i] - b->f[i]) * (a->f[i] - b->f[i]);
    }
    return sqrt(difference) <= CODE_TOLERANCE * (sqrt(sum) + 1e-3);
}

/* Whether the reference has the loss and the derivative that generated code has. */
static bool reference_agrees(Check *c, uint32_t index)
{
    const EntryCheck *e = &c->step->check;
    Graph one = *e->graph;
    Output outputs[] = { one.outputs.at[0], one.outputs.at[1 + index] };
    Arena *a = arena_new();
    Value out[2], loss = { .count = 1, .f = &c->step->value };
    one.outputs.at = outputs;
    one.outputs.n = one.outputs.cap = 2;
    bool agrees = !interp_run(a, &one, &e->args, out) && is_near(&out[0], &loss) &&
                  is_near(&out[1], &c->slopes[index]);
    arena_free(a);
    return agrees;
}

static bool has_nan(const Value *v)
{
    int64_t i = 0;
    while (i < v->count && !isnan(v->f[i]))
        i++;
    return i < v->count;
}

static void report_wrong(Check *c, uint32_t index, const Gradcheck *g)
{
    Compiler *cx = c->code->run->cx;
    const Tensor *t = &c->code->unit->tensors.at[c->step->check.tensors.at[index]];
    if (g->error <= TOLERANCE)
        diag_report(cx, DIAG_E0910, t->loc,
                    "the derivative by `%s` cannot be compared: differences do not converge in any "
                    "of %u directions",
                    t->name, g->kinks);
    else if (reference_agrees(c, index) && has_nan(&c->slopes[index]))
        diag_report(cx, DIAG_E0910, t->loc,
                    "the derivative by `%s` is not a number at random inputs, where the loss is %g",
                    t->name, c->step->value);
    else if (reference_agrees(c, index))
        diag_report(cx, DIAG_E0910, t->loc,
                    "the derivative by `%s` is %.9g along a direction where differences give %.9g "
                    "(relative error %.1e)",
                    t->name, g->derivative, g->quotient, g->error);
    else
        diag_report(cx, DIAG_E0001, t->loc,
                    "generated code and reference have other derivatives by `%s`", t->name);
}

static void add_result(Gradcheck *total, const Gradcheck *g)
{
    uint32_t directions = total->directions + g->directions, kinks = total->kinks + g->kinks;
    if (g->error >= total->error)
        *total = *g;
    total->directions = directions;
    total->kinks = kinks;
}

/* Compares by one tensor at this draw, and tells the result if it is the last. */
static void check_one(Check *c, uint32_t index, uint32_t directions, bool last)
{
    Run *r = c->code->run;
    const Tensor *t = &c->code->unit->tensors.at[c->step->check.tensors.at[index]];
    Gradcheck result, *total = &c->results[index];
    c->name = t->name;
    const char *bad = compare(c, index, 1, directions, &result);
    if (bad) {
        grad_report(c->code, t->loc, arena_printf(r->arena, "`%s`: %s", t->name, bad));
        c->done[index] = true;
        return;
    }
    add_result(total, &result);
    bool wrong = !(total->error <= TOLERANCE);
    c->done[index] = wrong || last || total->directions >= directions;
    if (!c->done[index])
        return;
    print_result(c, loc_text(r->cx, t->loc), total);
    if (wrong || !total->directions)
        report_wrong(c, index, total);
}

/* All at once. Whether they agree. */
static bool check_together(Check *c)
{
    Gradcheck result;
    uint32_t n = c->step->check.tensors.n;
    c->name = arena_printf(c->code->run->arena, "all %u together", n);
    const char *bad = compare(c, 0, n, DIRECTIONS, &result);
    if (bad) {
        grad_report(c->code, 0, bad);
        return true;
    }
    print_result(c, "", &result);
    return result.error <= TOLERANCE && result.directions;
}

/* ---- A step ---- */

/* Whether every tensor in DIRECTIONS directions is likely to take too long. */
static bool is_large(const GradStep *s)
{
    double call = 1e-9 * (double)s->loss->cost * (double)s->check.args.batch /
                  (double)s->loss->max_batch;
    return call * CALLS * DIRECTIONS * s->check.tensors.n > SECONDS;
}

/* One place after another, until no tensor lacks directions for its being near kinks. */
static void check_step(GradCode *code, GradStep *step)
{
    Run *r = code->run;
    uint32_t n = step->check.tensors.n, each = DIRECTIONS, open = n;
    Check c = { .code = code, .step = step };
    c.slopes = arena_new_array(r->arena, Value, n);
    c.results = arena_new_array(r->arena, Gradcheck, n);
    c.done = arena_new_array(r->arena, bool, n);
    for (uint32_t draw = 0; draw < DRAWS && open; draw++) {
        if (!grad_start(code, step, draw))
            return;
        const char *bad = grad_slopes(code, step, r->arena, c.slopes);
        if (bad) {
            grad_report(code, 0, bad);
            return;
        }
        if (!draw && is_large(step)) {
            if (check_together(&c))
                return;
            each = 1; /* to name the one that is wrong */
        }
        for (uint32_t i = 0; i < n; i++)
            if (!c.done[i]) {
                check_one(&c, i, each, draw + 1 == DRAWS);
                open -= c.done[i];
            }
    }
}

int verb_gradcheck(Run *r)
{
    const char *path = run_file(r, 1);
    if (!path)
        return EXIT_USAGE;
    GradCode code;
    bool ok = grad_open(r, path, &code);
    for (uint32_t i = 0; ok && i < code.steps.n; i++)
        check_step(&code, &code.steps.at[i]);
    int exit_code = run_finish(r);
    grad_close(&code);
    return ok || exit_code ? exit_code : EXIT_USAGE;
}
