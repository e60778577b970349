/* Softmax and log-softmax in steps become the operations; what only looks like them does not. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_of_softmax),      cmocka_unit_test(its_logarithm),
        cmocka_unit_test(logarithm_of_the_sum),  cmocka_unit_test(no_maximum_no_softmax),
        cmocka_unit_test(axes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
