/* Softmax, log-softmax and GELU in steps become the operations; what only looks like them does not.
 */
#include "frontend/frontend.h"
#include "ir/builder.h"
#include "ir/op.h"
#include "ir/text.h"
#include "passes/pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const PipelineOptions raised = { .stop_after = "raise", .verify = true, .read_back = true };

#define LOWERED                                                                                    \
    "  input 0 \"x\" : f32[B, 5]\n"                                                             \
    "  %0 = input index=0 : f32[B, 5]\n"                                                          \
    "  %1 = reduce_max %0 axes=[1] keep=1 : f32[B, 1]\n"                                          \
    "  %2 = broadcast %1 shape=[B, 5] : f32[B, 5]\n"                                              \
    "  %3 = sub %0, %2 : f32[B, 5]\n"                                                             \
    "  %4 = exp %3 : f32[B, 5]\n"                                                                 \
    "  %5 = reduce_sum %4 axes=[1] keep=1 : f32[B, 1]\n"

static void expect(const char *body, const char *operation)
{
    Compiler *cx = compiler_new();
    const char *text =
        arena_printf(cx->arena, "unit \"u\"\nentry export \"e\" batch=4 {\n%s}\n", body);
    Unit *u = unit_read(cx, "test.ir", text, strlen(text));
    if (!u)
        fail_msg("%s", cx->diags.at[0].message);
    assert_true(pipeline_run(u, &raised, NULL));
    const Graph *g = u->entries.at[0].graph;
    const Node *n = graph_node(g, g->outputs.at[0].node);
    assert_string_equal(op_defs[n->op]->name, operation);
    compiler_free(cx);
}

static void steps_of_softmax(void **state)
{
    (void)state;
    expect(LOWERED "  %6 = broadcast %5 shape=[B, 5] : f32[B, 5]\n"
                   "  %7 = div %4, %6 : f32[B, 5]\n  output \"y\" %7\n",
           "softmax");
}

static void its_logarithm(void **state)
{
    (void)state;
    expect(LOWERED "  %6 = broadcast %5 shape=[B, 5] : f32[B, 5]\n"
                   "  %7 = div %4, %6 : f32[B, 5]\n"
                   "  %8 = log %7 : f32[B, 5]\n  output \"y\" %8\n",
           "log_softmax");
}

static void logarithm_of_the_sum(void **state)
{
    (void)state;
    expect(LOWERED "  %6 = log %5 : f32[B, 1]\n"
                   "  %7 = broadcast %6 shape=[B, 5] : f32[B, 5]\n"
                   "  %8 = sub %3, %7 : f32[B, 5]\n  output \"y\" %8\n",
           "log_softmax");
}

/* Its sum may overflow where softmax's does not: another function. */
static void no_maximum_no_softmax(void **state)
{
    (void)state;
    expect("  input 0 \"x\" : f32[B, 5]\n"
           "  %0 = input index=0 : f32[B, 5]\n"
           "  %1 = exp %0 : f32[B, 5]\n"
           "  %2 = reduce_sum %1 axes=[1] keep=1 : f32[B, 1]\n"
           "  %3 = broadcast %2 shape=[B, 5] : f32[B, 5]\n"
           "  %4 = div %1, %3 : f32[B, 5]\n  output \"y\" %4\n",
           "div");
}

/* The maximum of one axis, the sum of another. */
static void axes_differ(void **state)
{
    (void)state;
    expect("  input 0 \"x\" : f32[5, 5]\n"
           "  %0 = input index=0 : f32[5, 5]\n"
           "  %1 = reduce_max %0 axes=[0] keep=1 : f32[1, 5]\n"
           "  %2 = broadcast %1 shape=[5, 5] : f32[5, 5]\n"
           "  %3 = sub %0, %2 : f32[5, 5]\n"
           "  %4 = exp %3 : f32[5, 5]\n"
           "  %5 = reduce_sum %4 axes=[1] keep=1 : f32[5, 1]\n"
           "  %6 = broadcast %5 shape=[5, 5] : f32[5, 5]\n"
           "  %7 = div %4, %6 : f32[5, 5]\n  output \"y\" %7\n",
           "div");
}

/* ---- the normal distribution function ---- */

/* The graph of an expression of x, printed in the order of its nodes: ops only, constants by their
 * value. */
static void expect_normal(const char *x, const char *nodes)
{
    Compiler *cx = compiler_new();
    const char *text = arena_printf(cx->arena, "model M { export fn f(x: f32[B, 4]) -> f32[B, 4] "
                                               "{ %s } }\n", x);
    Unit *u = frontend_load_text(cx, "said.dl", text, strlen(text), NULL);
    if (!u)
        fail_msg("%s: %s", x, cx->diags.at[0].message);
    assert_true(pipeline_run(u, &raised, NULL));
    const Graph *g = u->entries.at[0].graph;
    const uint8_t *live = graph_live(cx->arena, g);
    const char *got = "";
    for (NodeId id = 0; id < g->nodes.n; id++)
        if (live[id] && graph_node(g, id)->op != OP_broadcast &&
            graph_node(g, id)->op != OP_reshape) {
            double v;
            bool known = b_is_splat(g, id, &v);
            got = known ? arena_printf(cx->arena, "%s %g", got, v)
                        : arena_printf(cx->arena, "%s %s", got,
                                       op_defs[graph_node(g, id)->op]->name);
        }
    if (strcmp(got, nodes))
        fail_msg("%s:%s, not%s", x, got, nodes);
    compiler_free(cx);
}

static void gelu_in_any_order(void **state)
{
    (void)state;
    static const char *const exact[] = {
        "0.5*x*(1 + erf(x/2^0.5))",           "x*(erf(x*0.70710678) + 1)*0.5",
        "x*(0.5*(1 + erf(x/1.4142135)))",     "x*(0.5 + 0.5*erf(0.5^0.5*x))",
        "x*(1 + erf(x/2^0.5))/2",             "(x/2)*(1 - erf(-x/2^0.5))",
        "0.5*(x*(1 + erf(x/2^0.5)))",         "x/2*(1 - erf(x*(-0.70710678)))",
    };
    static const char *const tanh[] = {
        "0.5*x*(1 + tanh((2/pi)^0.5*(x + 0.044715*x^3)))",
        "0.5*x*(1 + tanh(0.7978845608*x*(1 + 0.044715*x*x)))",
        "x*(0.5*(1 + tanh(0.79788458*x + 0.035677407*(x*x*x))))",
        "x*sigmoid(1.5957691*(x + 0.044715*x*x*x))",
    };
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        expect_normal(exact[i], " input normal_cdf mul");
    for (size_t i = 0; i < sizeof tanh / sizeof *tanh; i++)
        expect_normal(tanh[i], " input normal_cdf_tanh mul");
}

static void sums_with_erf(void **state)
{
    (void)state;
    expect_normal("1 + erf(x)", " input neg erfc");
    expect_normal("1 - erf(3*x)", " input 3 mul erfc");
    expect_normal("1 - erf(x/2^0.5)", " input neg normal_cdf 2 mul");
    expect_normal("1 + erf(x^2)", " input mul neg erfc");
}

static void only_the_likes_of_gelu(void **state)
{
    (void)state;
    expect_normal("2 + erf(x)", " input erf 2 add");
    expect_normal("1 + tanh(x)", " input tanh 1 add");
    expect_normal("x*sigmoid(1.702*x)", " input 1.702 mul sigmoid mul");
    expect_normal("1 + tanh(0.7978845608*(x + 0.05*x^3))",
                  " input mul mul 0.05 mul add 0.797885 mul tanh 1 add");
    expect_normal("1 + tanh(0.7978845608*(1 + x + 0.044715*x^3))",
                  " input 1 add mul mul 0.044715 mul add 0.797885 mul tanh add");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_softmax),      cmocka_unit_test(its_logarithm),
        cmocka_unit_test(logarithm_of_the_sum),  cmocka_unit_test(no_maximum_no_softmax),
        cmocka_unit_test(axes_differ),           cmocka_unit_test(gelu_in_any_order),
        cmocka_unit_test(sums_with_erf),         cmocka_unit_test(only_the_likes_of_gelu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
