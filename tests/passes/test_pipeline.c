/* The pipeline: order, reports, printing, and what simplify does to a graph. */
#include "ir/builder.h"
#include "ir/text.h"
#include "passes/pipeline.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Unit *read(Compiler *cx, const char *text)
{
    Unit *u = unit_read(cx, "test.ir", text, strlen(text));
    if (!u)
        fail_msg("%s", cx->diags.at[0].message);
    return u;
}

static const PipelineOptions up_to_simplify = { .stop_after = "simplify",
                                                .verify = true,
                                                .read_back = true };

/* The text of the only entry's graph after simplify. */
static void expect_simplified(const char *body, const char *expected)
{
    Compiler *cx = compiler_new();
    Unit *u =
        read(cx, arena_printf(cx->arena, "unit \"u\"\nentry export \"e\" batch=8 {\n%s}\n", body));
    assert_true(pipeline_run(u, &up_to_simplify, NULL));
    assert_string_equal(graph_text(cx->arena, u->entries.at[0].graph, TEXT_EXACT), expected);
    compiler_free(cx);
}

static void marks_go(void **state)
{
    (void)state;
    expect_simplified("  input 0 \"x\" : f32\n"
                      "  %0 = input index=0 : f32\n"
                      "  %1 = var %0 site=3 : f32\n"
                      "  %2 = stop_gradient %1 : f32\n"
                      "  %3 = mul %2, %2 : f32\n"
                      "  %4 = grad %3, %1 : f32\n"
                      "  %5 = exp %2 : f32\n"
                      "  output \"y\" %5\n"
                      "  output \"dx\" %4\n",
                      "  input 0 \"x\" : f32\n"
                      "  %0 = input index=0 : f32\n"
                      "  %1 = constant {0} : f32\n"
                      "  %2 = exp %0 : f32\n"
                      "  output \"y\" %2\n"
                      "  output \"dx\" %1\n");
}

/* lr * s is computed once, not for each element; and s + b on [1, 3], not on [B, 3]. */
static void scalar_math_stands_before_its_broadcast(void **state)
{
    (void)state;
    expect_simplified("  input 0 \"x\" : f32[B, 3]\n"
                      "  input 1 \"b\" : f32[1, 3]\n"
                      "  input 2 \"s\" : f32[1, 1]\n"
                      "  %0 = input index=0 : f32[B, 3]\n"
                      "  %1 = input index=1 : f32[1, 3]\n"
                      "  %2 = input index=2 : f32[1, 1]\n"
                      "  %3 = broadcast %1 shape=[B, 3] : f32[B, 3]\n"
                      "  %4 = broadcast %2 shape=[B, 3] : f32[B, 3]\n"
                      "  %5 = exp %4 : f32[B, 3]\n"
                      "  %6 = add %3, %5 : f32[B, 3]\n"
                      "  %7 = mul %0, %6 : f32[B, 3]\n"
                      "  output \"y\" %7\n",
                      "  input 0 \"x\" : f32[B, 3]\n"
                      "  input 1 \"b\" : f32[1, 3]\n"
                      "  input 2 \"s\" : f32[1, 1]\n"
                      "  %0 = input index=0 : f32[B, 3]\n"
                      "  %1 = input index=1 : f32[1, 3]\n"
                      "  %2 = input index=2 : f32[1, 1]\n"
                      "  %3 = exp %2 : f32[1, 1]\n"
                      "  %4 = broadcast %3 shape=[1, 3] : f32[1, 3]\n"
                      "  %5 = add %1, %4 : f32[1, 3]\n"
                      "  %6 = broadcast %5 shape=[B, 3] : f32[B, 3]\n"
                      "  %7 = mul %0, %6 : f32[B, 3]\n"
                      "  output \"y\" %7\n");
}

static const char squares[] = "unit \"u\"\nentry export \"e\" batch=4 {\n"
                              "  input 0 \"x\" : f32[B]\n"
                              "  %0 = input index=0 : f32[B]\n"
                              "  %1 = relu %0 : f32[B]\n"
                              "  %2 = reduce_sum %1 axes=[0] : f32\n"
                              "  %3 = grad %2, %0 : f32[B]\n"
                              "  output \"dx\" %3\n}\n";

static void report_names_passes_in_order(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    Unit *u = read(cx, squares);
    PipelineReport report;
    assert_true(pipeline_run(u, &up_to_simplify, &report));
    assert_int_equal(report.passes.n, 4);
    assert_string_equal(report.passes.at[0].name, "raise");
    assert_string_equal(report.passes.at[3].name, "simplify");
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(report.passes.at[i].name, pipeline_pass_name(i));
        assert_true(report.passes.at[i].seconds >= 0 && report.passes.at[i].nodes > 0);
    }
    compiler_free(cx);
}

static void printing_goes_to_the_given_stream(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    char *printed = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&printed, &size);
    PipelineOptions o = { .stop_after = "simplify", .print_after = "autodiff", .print_to = f };
    assert_true(pipeline_run(read(cx, squares), &o, NULL));
    fclose(f);
    assert_int_equal(strncmp(printed, "# after autodiff\nunit \"u\"\n", 26), 0);
    assert_null(strstr(printed, "= grad"));
    assert_null(strstr(printed + 1, "# after"));
    free(printed);
    compiler_free(cx);
}

/* The same Unit, the same text: nothing depends on addresses or time. */
static void result_is_deterministic(void **state)
{
    (void)state;
    const char *texts[2];
    Compiler *cx[2];
    for (int i = 0; i < 2; i++) {
        cx[i] = compiler_new();
        arena_alloc(cx[i]->arena, (size_t)i * 1000);
        Unit *u = read(cx[i], squares);
        assert_true(pipeline_run(u, &up_to_simplify, NULL));
        texts[i] = unit_text(cx[i]->arena, u, TEXT_EXACT);
    }
    assert_string_equal(texts[0], texts[1]);
    compiler_free(cx[0]);
    compiler_free(cx[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_go),
        cmocka_unit_test(scalar_math_stands_before_its_broadcast),
        cmocka_unit_test(report_names_passes_in_order),
        cmocka_unit_test(printing_goes_to_the_given_stream),
        cmocka_unit_test(result_is_deterministic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
