/* gradcheck.c: see gradcheck.h.
 *
 * Along a direction d, f(t) = value at x + t d. The central difference D(h) = (f(h) - f(-h)) / 2h
 * has error h^2 c + h^4 e + ...; Richardson's (4 D(h/2) - D(h)) / 3 has h^4 e' + ...: with h =
 * 2^-10 about 1e-12 from truncation and 1e-13 from rounding, well under the 1e-6 that is asked for.
 * The quotient is taken at h, h/2 and h/4; where they differ there is a kink within reach (a tie of
 * maximum, a step of floor), and shorter steps are tried, down to 2^-22, where rounding is 1e-10. A
 * direction in which none converges says nothing. Nor does a step in which rounding decides: seen
 * closely the value is a staircase, and on one stair all quotients agree on 0. Errors are relative
 * to |gradient| |direction|, since the derivative along d may be small by cancellation while the
 * gradient is not. */
#include "passes/gradcheck.h"

#include "ir/cases.h"

#include <float.h>
#include <math.h>
#include <string.h>

typedef struct {
    const GradFunction *f;
    Value *moved;     /* by point */
    Value *direction; /* by point */
    const char *bad;
} Check;

static double value_at(Check *c, double t)
{
    double value = NAN;
    for (uint32_t p = 0; p < c->f->n; p++)
        for (int64_t i = 0; i < c->moved[p].count; i++)
            c->moved[p].f[i] = c->f->at[p].f[i] + t * c->direction[p].f[i];
    const char *bad = c->bad ? NULL : c->f->evaluate(c->f->user, c->moved, &value);
    c->bad = bad ? bad : c->bad;
    return value;
}

static double central(Check *c, double h)
{
    return (value_at(c, h) - value_at(c, -h)) / (2 * h);
}

/* False where the quotient does not converge to `tolerance` at any step that rounding leaves. */
static bool difference_quotient(Check *c, double tolerance, double *out_q)
{
    for (int e = -10; e >= -22; e -= 4) {
        double d[4], rounding = fabs(c->f->value) * DBL_EPSILON / ldexp(1, e - 3);
        if (rounding > tolerance)
            return false;
        for (int i = 0; i < 4; i++)
            d[i] = central(c, ldexp(1, e - i));
        double coarse = (4 * d[1] - d[0]) / 3, fine = (4 * d[2] - d[1]) / 3,
               finest = (4 * d[3] - d[2]) / 3;
        *out_q = fine;
        if (fabs(coarse - fine) <= tolerance && fabs(fine - finest) <= tolerance)
            return true;
    }
    return false;
}

/* Where the gradient is 0 exactly: the points may not matter at all, which no rounding hides. */
static bool is_flat(Check *c)
{
    return central(c, 0x1p-10) == 0 && central(c, 0x1p-12) == 0;
}

static double norm(const Value *v, uint32_t n)
{
    double sum = 0;
    for (uint32_t p = 0; p < n; p++)
        for (int64_t i = 0; i < v[p].count; i++)
            sum += v[p].f[i] * v[p].f[i];
    return sqrt(sum);
}

static double inner(const Value *a, const Value *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t p = 0; p < n; p++)
        for (int64_t i = 0; i < a[p].count; i++)
            sum += a[p].f[i] * b[p].f[i];
    return sum;
}

static void compare(Check *c, Gradcheck *result)
{
    uint32_t n = c->f->n;
    double derivative = inner(c->f->gradient, c->direction, n), quotient = 0,
           size = norm(c->direction, n);
    double scale = result->gradient * size;
    if (size == 0)
        return;
    /* Rounding of the value itself is what is left where the gradient vanishes. */
    double unit = scale + 1e-3 * size;
    bool flat = result->gradient == 0 && is_flat(c);
    if (!flat && !difference_quotient(c, 1e-7 * unit, &quotient)) {
        result->kinks++;
        return;
    }
    double error = fabs(derivative - quotient) / unit;
    result->directions++;
    if (!(error <= result->error)) {
        result->error = isnan(error) ? INFINITY : error;
        result->derivative = derivative;
        result->quotient = quotient;
    }
}

static void clear_direction(Check *c)
{
    for (uint32_t p = 0; p < c->f->n; p++)
        memset(c->direction[p].f, 0, (size_t)c->direction[p].count * sizeof(double));
}

static void try_directions(Check *c, CaseRng *r, uint32_t directions, Gradcheck *result)
{
    uint32_t n = c->f->n;
    int64_t elements = 0;
    for (uint32_t p = 0; p < n; p++)
        elements += c->direction[p].count;
    for (uint32_t d = 0; d < directions && !c->bad; d++) {
        for (uint32_t p = 0; p < n; p++)
            for (int64_t i = 0; i < c->direction[p].count; i++)
                c->direction[p].f[i] = case_uniform(r, -1, 1);
        compare(c, result);
    }
    for (uint32_t p = 0; p < n && elements <= directions; p++)
        for (int64_t i = 0; i < c->direction[p].count && !c->bad; i++) {
            clear_direction(c);
            c->direction[p].f[i] = 1;
            compare(c, result);
        }
}

const char *gradcheck_function(Arena *a, const GradFunction *f, uint32_t directions, uint64_t seed,
                               Gradcheck *out_result)
{
    Check c = { .f = f };
    CaseRng r = case_rng(a, seed);
    *out_result = (Gradcheck){ .gradient = norm(f->gradient, f->n) };
    c.moved = arena_new_array(a, Value, f->n);
    c.direction = arena_new_array(a, Value, f->n);
    for (uint32_t p = 0; p < f->n; p++) {
        if (!dtype_is_float(f->at[p].dtype) || f->gradient[p].count != f->at[p].count)
            return "a derivative does not fit its point";
        c.moved[p] = value_copy(a, &f->at[p]);
        c.direction[p] = value_copy(a, &f->at[p]);
    }
    if (!isfinite(out_result->gradient) || !isfinite(f->value))
        out_result->error = INFINITY;
    try_directions(&c, &r, directions, out_result);
    return c.bad;
}

/* ---- By the reference ---- */

typedef struct {
    Graph loss;      /* g with its first output alone */
    InterpArgs args; /* whose points move */
    Value *inputs, *tensors;
    const GradPoint *points;
    uint32_t n;
} Reference;

static Value *place_of(Reference *r, uint32_t point)
{
    return r->points[point].tensor ? &r->tensors[r->points[point].index]
                                   : &r->inputs[r->points[point].index];
}

static const char *evaluate(void *user, const Value *moved, double *out_value)
{
    Reference *r = user;
    Arena *a = arena_new();
    Value out = { 0 };
    for (uint32_t p = 0; p < r->n; p++)
        *place_of(r, p) = moved[p];
    const char *bad = interp_run(a, &r->loss, &r->args, &out);
    *out_value = bad ? NAN : out.f[0];
    bad = bad ? arena_strndup(r->loss.unit->arena, bad, strlen(bad)) : NULL;
    arena_free(a);
    return bad;
}

static void copy_args(Arena *a, Reference *r, const Graph *g, const InterpArgs *args)
{
    uint32_t inputs = g->inputs.n, tensors = g->unit->tensors.n;
    r->inputs = arena_new_array(a, Value, inputs);
    r->tensors = arena_new_array(a, Value, tensors);
    if (inputs)
        memcpy(r->inputs, args->inputs, inputs * sizeof *r->inputs);
    if (tensors && args->tensors)
        memcpy(r->tensors, args->tensors, tensors * sizeof *r->tensors);
    r->args = *args;
    r->args.inputs = r->inputs;
    r->args.tensors = r->tensors;
}

const char *gradcheck(Arena *a, Graph *g, const InterpArgs *args, const GradPoint *points,
                      uint32_t n, uint32_t directions, uint64_t seed, Gradcheck *out_result)
{
    *out_result = (Gradcheck){ 0 };
    g = interp_prepare(g);
    if (!g)
        return "an expansion failed";
    Value *outputs = arena_new_array(a, Value, g->outputs.n), *at = arena_new_array(a, Value, n);
    const char *bad = interp_run(a, g, args, outputs);
    if (bad)
        return bad;
    Reference r = { .loss = *g, .points = points, .n = n };
    r.loss.outputs.n = 1;
    copy_args(a, &r, g, args);
    for (uint32_t p = 0; p < n; p++)
        at[p] = *place_of(&r, p);
    GradFunction f = { .n = n,
                       .at = at,
                       .gradient = outputs + 1,
                       .value = outputs[0].f[0],
                       .evaluate = evaluate,
                       .user = &r };
    return gradcheck_function(a, &f, directions, seed, out_result);
}
