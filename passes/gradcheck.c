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
    Arena *arena;
    Graph loss;          /* g with its first output alone */
    InterpArgs args;     /* whose points are copies that move */
    Value *inputs, *tensors;
    const GradPoint *points;
    uint32_t n;
    const Value *at;     /* the points as given */
    Value *direction;    /* by point */
    double value;        /* there */
    const char *bad;
} Check;

static Value copy_value(Arena *a, const Value *v)
{
    Value c = *v;
    c.f = arena_new_array(a, double, (size_t)v->count);
    if (v->count)
        memcpy(c.f, v->f, (size_t)v->count * sizeof *c.f);
    return c;
}

static Value *place_of(Check *c, uint32_t point)
{
    return c->points[point].tensor ? &c->tensors[c->points[point].index]
                                   : &c->inputs[c->points[point].index];
}

static double value_at(Check *c, double t)
{
    for (uint32_t p = 0; p < c->n; p++) {
        Value *v = place_of(c, p);
        for (int64_t i = 0; i < v->count; i++)
            v->f[i] = c->at[p].f[i] + t * c->direction[p].f[i];
    }
    Arena *a = arena_new();
    Value out = { 0 };
    const char *bad = interp_run(a, &c->loss, &c->args, &out);
    if (bad && !c->bad)
        c->bad = arena_strndup(c->arena, bad, strlen(bad));
    double v = bad ? NAN : out.f[0];
    arena_free(a);
    return v;
}

static double central(Check *c, double h)
{
    return (value_at(c, h) - value_at(c, -h)) / (2 * h);
}

/* False where the quotient does not converge to `tolerance` at any step that rounding leaves. */
static bool difference_quotient(Check *c, double tolerance, double *out_q)
{
    for (int e = -10; e >= -22; e -= 4) {
        double d[4], rounding = fabs(c->value) * DBL_EPSILON / ldexp(1, e - 3);
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

static void compare(Check *c, const Value *gradient, Gradcheck *result)
{
    double derivative = inner(gradient, c->direction, c->n), quotient,
           size = norm(c->direction, c->n);
    double scale = result->gradient * size;
    if (size == 0)
        return;
    /* Rounding of the value itself is what is left where the gradient vanishes. */
    double unit = scale + 1e-3 * size;
    if (!difference_quotient(c, 1e-7 * unit, &quotient)) {
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
    for (uint32_t p = 0; p < c->n; p++)
        memset(c->direction[p].f, 0, (size_t)c->direction[p].count * sizeof(double));
}

static void try_directions(Check *c, const Value *gradient, uint32_t directions, uint64_t seed,
                           Gradcheck *result)
{
    CaseRng r = case_rng(c->arena, seed);
    int64_t elements = 0;
    for (uint32_t p = 0; p < c->n; p++)
        elements += c->direction[p].count;
    for (uint32_t d = 0; d < directions && !c->bad; d++) {
        for (uint32_t p = 0; p < c->n; p++)
            for (int64_t i = 0; i < c->direction[p].count; i++)
                c->direction[p].f[i] = case_uniform(&r, -1, 1);
        compare(c, gradient, result);
    }
    for (uint32_t p = 0; p < c->n && elements <= directions; p++)
        for (int64_t i = 0; i < c->direction[p].count && !c->bad; i++) {
            clear_direction(c);
            c->direction[p].f[i] = 1;
            compare(c, gradient, result);
        }
}

static void copy_places(Check *c, const Graph *g, const InterpArgs *args)
{
    uint32_t inputs = g->inputs.n, tensors = g->unit->tensors.n;
    c->args = *args;
    c->inputs = arena_new_array(c->arena, Value, inputs);
    c->tensors = arena_new_array(c->arena, Value, tensors);
    if (inputs)
        memcpy(c->inputs, args->inputs, inputs * sizeof *c->inputs);
    if (tensors && args->tensors)
        memcpy(c->tensors, args->tensors, tensors * sizeof *c->tensors);
    Value *at = arena_new_array(c->arena, Value, c->n);
    c->direction = arena_new_array(c->arena, Value, c->n);
    for (uint32_t p = 0; p < c->n; p++) {
        at[p] = *place_of(c, p);
        *place_of(c, p) = copy_value(c->arena, &at[p]);
        c->direction[p] = copy_value(c->arena, &at[p]);
    }
    c->at = at;
    c->args.inputs = c->inputs;
    c->args.tensors = c->tensors;
}

const char *gradcheck(Arena *a, Graph *g, const InterpArgs *args, const GradPoint *points,
                      uint32_t n, uint32_t directions, uint64_t seed, Gradcheck *out_result)
{
    *out_result = (Gradcheck){ 0 };
    g = interp_prepare(g);
    if (!g)
        return "an expansion failed";
    Value *outputs = arena_new_array(a, Value, g->outputs.n);
    const char *bad = interp_run(a, g, args, outputs);
    if (bad)
        return bad;
    Check c = { .arena = a, .loss = *g, .points = points, .n = n };
    c.loss.outputs.n = 1;
    copy_places(&c, g, args);
    for (uint32_t p = 0; p < n; p++)
        if (!dtype_is_float(c.at[p].dtype) || outputs[1 + p].count != c.at[p].count)
            return "a derivative does not fit its point";
    out_result->gradient = norm(outputs + 1, n);
    if (!isfinite(out_result->gradient) || !isfinite(outputs[0].f[0]))
        out_result->error = INFINITY;
    c.value = outputs[0].f[0];
    try_directions(&c, outputs + 1, directions, seed, out_result);
    return c.bad;
}
