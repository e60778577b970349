/* Derivatives far out, where a careless formula divides infinities, and at singular points. */
#include "ir/interp.h"
#include "ir/text.h"
#include "passes/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    const char *what;
    const char *y; /* an f64[3] as %1 from x as %0, summed */
    double x[3], dx[3];
} Point;

static const Point points[] = {
    { "softplus", "%1 = softplus %0", { -1000, 0, 1000 }, { 0, 0.5, 1 } },
    { "tanh", "%1 = tanh %0", { -1000, 0, 1000 }, { 0, 1, 0 } },
    { "sigmoid", "%1 = sigmoid %0", { -1000, 0, 1000 }, { 0, 0.25, 0 } },
    { "erf", "%1 = erf %0", { -1000, 1e300, 1000 }, { 0, 0, 0 } },
    { "erfc", "%1 = erfc %0", { -1000, 1e300, 1000 }, { 0, 0, 0 } },
    { "normal_cdf", "%1 = normal_cdf %0", { -1000, 1e300, 1000 }, { 0, 0, 0 } },
    { "normal_cdf_tanh", "%1 = normal_cdf_tanh %0", { -1e300, 1e200, 1000 }, { 0, 0, 0 } },
    { "atan", "%1 = atan %0", { -1e300, 0, 1e300 }, { 0, 1, 0 } },
    { "softmax", "%1 = softmax %0 axis=0", { -1000, 0, 1000 }, { 0, 0, 0 } },
    { "log_softmax", "%1 = log_softmax %0 axis=0", { -1000, 0, 1000 }, { 1, 1, -2 } },
    { "sqrt at 0", "%1 = sqrt %0", { 0, 1, 4 }, { INFINITY, 0.5, 0.25 } },
    { "log at 0", "%1 = log %0", { 0, 1, 4 }, { INFINITY, 1, 0.25 } },
    { "exp", "%1 = exp %0", { -1000, 0, 1000 }, { 0, 1, INFINITY } },
};

static void run(const char *text, const Point *p, double *out_dx)
{
    Compiler *cx = compiler_new();
    Unit *u = unit_read(cx, p->what, text, strlen(text));
    if (!u)
        fail_msg("%s: %s", p->what, cx->diags.at[0].message);
    assert_true(pass_autodiff(u) && pass_expand(u) && pass_simplify(u));
    Value in = value_new(cx->arena, DT_F64, &(Shape){ 1, { { 3, 0 } } }, 1), out;
    memcpy(in.f, p->x, sizeof p->x);
    InterpArgs args = { .batch = 1, .inputs = &in };
    const char *bad = interp_run(cx->arena, u->entries.at[0].graph, &args, &out);
    if (bad)
        fail_msg("%s: %s", p->what, bad);
    memcpy(out_dx, out.f, 3 * sizeof(double));
    compiler_free(cx);
}

static void slopes_far_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        const Point *p = &points[i];
        char text[512];
        double dx[3];
        snprintf(
            text, sizeof text,
            "unit \"u\" entry export \"e\" { input 0 \"x\" : f64[3] %%0 = input index=0 : f64[3]\n"
            "%s : f64[3] %%2 = reduce_sum %%1 axes=[0] : f64\n"
            "%%3 = grad %%2, %%0 : f64[3] output \"dx\" %%3 }",
            p->y);
        run(text, p, dx);
        for (int k = 0; k < 3; k++)
            if (!(fabs(dx[k] - p->dx[k]) <= 1e-15) && dx[k] != p->dx[k])
                fail_msg("%s: derivative %d is %g, not %g", p->what, k, dx[k], p->dx[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slopes_far_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
