/* elab_help.h: what the tests of the elaborator share: a model from text, and its entries run by
 * the reference interpreter. */
#ifndef DLCC_TESTS_ELAB_HELP_H
#define DLCC_TESTS_ELAB_HELP_H
#include "frontend/diag_print.h"
#include "frontend/frontend.h"
#include "ir/interp.h"
#include "ir/verify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    Compiler *cx;
    Unit *u;
    Value *tensors;
} Model;

/* Elaborates; fails the test with the messages if that fails. */
static inline Model model_load(const char *text, const FrontendOptions *options)
{
    Model m = { .cx = compiler_new() };
    m.u = frontend_load_text(m.cx, "test.dl", text, strlen(text), options);
    if (!m.u) {
        diag_print_all(m.cx, stderr, false);
        fail_msg("the model does not elaborate");
    }
    const char *wrong = unit_verify(m.cx->arena, m.u);
    if (wrong)
        fail_msg("%s", wrong);
    m.tensors = arena_new_array(m.cx->arena, Value, m.u->tensors.n);
    return m;
}

/* Runs an entry on inputs given in its order; updates go to m->tensors. The results are those that
 * update nothing. */
static inline Value *model_run(Model *m, const char *entry, const Value *inputs, int64_t batch,
                               const double *clock)
{
    Entry *e = unit_entry(m->u, entry);
    if (!e)
        fail_msg("no entry %s", entry);
    InterpArgs args = { .batch = batch, .inputs = inputs, .seed = 7 };
    args.clock[CLOCK_LR] = NAN;
    args.clock[CLOCK_LR_SCALE] = 1;
    if (clock)
        memcpy(args.clock, clock, sizeof args.clock);
    Value *out = arena_new_array(m->cx->arena, Value, e->graph->outputs.n);
    const char *wrong = interp_entry(m->cx->arena, e->graph, &args, m->tensors, out);
    if (wrong)
        fail_msg("%s: %s", entry, wrong);
    return out;
}

static inline void model_init(Model *m)
{
    model_run(m, "init", NULL, 1, NULL);
}

static inline void model_free(Model *m)
{
    compiler_free(m->cx);
}

/* A value for input number i of an entry, from numbers in row-major order. */
static inline Value model_input(Model *m, const char *entry, uint32_t i, int64_t batch,
                                const double *numbers)
{
    const Input *in = &unit_entry(m->u, entry)->graph->inputs.at[i];
    Value v = value_new(m->cx->arena, in->dtype, &in->shape, batch);
    for (int64_t k = 0; k < v.count; k++)
        if (dtype_is_float(in->dtype))
            v.f[k] = numbers[k];
        else
            v.i[k] = (int64_t)numbers[k];
    return v;
}

static inline void expect_numbers(const Value *v, const double *want, int64_t n, double tolerance)
{
    assert_int_equal(v->count, n);
    for (int64_t i = 0; i < n; i++) {
        double got = dtype_is_float(v->dtype) ? v->f[i] : (double)v->i[i];
        if (!(fabs(got - want[i]) <= tolerance * fmax(1, fabs(want[i]))))
            fail_msg("element %d is %.9g, not %.9g", (int)i, got, want[i]);
    }
}

#endif
