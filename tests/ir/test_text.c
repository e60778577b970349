/* The text of Units: what it says, that it reads back, and that no bytes break the reader. */
#include "ir/builder.h"
#include "ir/cases.h"
#include "ir/text.h"
#include "ir/verify.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char sample[] =
    "unit \"Lin \\\"R\\\" \\x0a\"\n"
    "tensor 0 \"w\" : f32[13, 1] param trained\n"
    "tensor 1 \"w/m\" : f32[13, 1] moment owner=0\n"
    "entry step \"step\" batch=32 pinned {\n"
    "  input 0 \"x\" : f32[B, 13]\n"
    "  input 1 \"y\" : u8[2B] bound=10\n"
    "  %0 = input index=0 : f32[B, 13]\n"
    "  %1 = tensor index=0 : f32[13, 1]\n"
    "  %2 = dot %0, %1 spec=\"ij,jk->ik\" : f32[B, 1]\n"
    "  %3 = reduce_sum %2 axes=[0, 1] : f32\n"
    "  %4 = constant {-0} : f32\n"
    "  %5 = maximum %3, %4 : f32\n"
    "  %6 = constant 0x0000c07f : f32\n"
    "  %7 = mul %5, %6 : f32\n"
    "  output \"loss\" %7\n"
    "  output \"w/m\" %1 updates=1\n"
    "}\n";

static Unit *read(Compiler *cx, const char *text)
{
    return unit_read(cx, "test.ir", text, strlen(text));
}

static void text_reads_back(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    Unit *u = read(cx, sample);
    if (!u)
        fail_msg("%s: %s", loc_text(cx, cx->diags.at[0].loc), cx->diags.at[0].message);
    assert_string_equal(unit_text(cx->arena, u, TEXT_EXACT), sample);
    assert_null(unit_verify(cx->arena, u));
    assert_int_equal(u->entries.at[0].graph->inputs.at[1].bound, 10);
    compiler_free(cx);
}

static void spaces_and_comments_do_not_matter(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    Unit *u =
        read(cx, "#!\nunit\"u\"entry export\"e\"{%0=constant{ 1 ,# one\n 2}:i8[2]output\"y\"%0}");
    assert_non_null(u);
    assert_string_equal(
        unit_text(cx->arena, u, TEXT_EXACT),
        "unit \"u\"\nentry export \"e\" {\n  %0 = constant {1, 2} : i8[2]\n  output \"y\" %0\n}\n");
    compiler_free(cx);
}

static void extreme_constants_read_back(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    Unit *u = unit_new(cx, "u");
    Graph *g = graph_new(u, "g", 0);
    const double f64[] = { 5e-324, -1.7976931348623157e308, 0.1, -INFINITY, -0.0 };
    const float f32[] = { 1e-45f, 3.40282347e38f, 0.1f, INFINITY, 16777217.0f };
    const int64_t i64[] = { INT64_MIN, INT64_MAX, 0, -1, 1 };
    const uint64_t u64[] = { UINT64_MAX, 1ull << 63, 0, 1, 2 };
    const int8_t i8[] = { -128, 127, 0, -1, 1 };
    const void *data[] = { f64, f32, i64, u64, i8 };
    const Dtype types[] = { DT_F64, DT_F32, DT_I64, DT_U64, DT_I8 };
    for (int i = 0; i < 5; i++)
        graph_output(g, dtype_name(types[i]),
                     b_data(g, types[i], &(Shape){ 1, { { 5, 0 } } }, data[i]), -1);
    vec_push(u->arena, &u->entries, (Entry){ .kind = ENTRY_EXPORT, .name = "g", .graph = g });
    const char *text = unit_text(cx->arena, u, TEXT_EXACT);
    Unit *back = read(cx, text);
    assert_non_null(back);
    const Graph *h = back->entries.at[0].graph;
    for (uint32_t i = 0; i < 5; i++)
        assert_memory_equal(graph_attr(h, h->outputs.at[i].node, "data")->data, data[i],
                            5 * dtype_size(types[i]));
    compiler_free(cx);
}

static void long_constants_are_cut_for_people_only(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    Unit *u = unit_new(cx, "u");
    Graph *g = graph_new(u, "g", 0);
    int32_t v[100] = { 7, 8 };
    graph_output(g, "y", b_data(g, DT_I32, &(Shape){ 1, { { 100, 0 } } }, v), -1);
    assert_non_null(strstr(graph_text(cx->arena, g, TEXT_SHORT),
                           "{7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ... 100 in all}"));
    assert_non_null(strstr(graph_text(cx->arena, g, TEXT_EXACT), "0x0700000008000000"));
    compiler_free(cx);
}

static const struct {
    const char *text;
    uint32_t line;
    const char *message;
} mistakes[] = {
    { "", 1, "`unit` expected" },
    { "unit \"u\"\nfoo", 2, "`tensor` or `entry` expected" },
    { "unit \"u", 1, "`\"` expected" },
    { "unit \"u\" tensor 1", 1, "`\"` expected" },
    { "unit \"u\"\ntensor 1 \"w\" : f32 param\n", 3, "the next tensor is 0" },
    { "unit \"u\"\ntensor 0 \"w\" : f99 param\n", 2, "a dtype expected" },
    { "unit \"u\"\ntensor 0 \"w\" : f32[1, 1, 1, 1, 1, 1, 1, 1, 1] param\n", 2,
      "more than 8 axes" },
    { "unit \"u\"\ntensor 0 \"w\" : f32[4294967296, 4294967296] param\n", 2,
      "a shape of more than 2^63 bytes" },
    { "unit \"u\"\ntensor 0 \"w\" : f32[-1] param\n", 2, "a number out of range" },
    { "unit \"u\"\ntensor 0 \"w\" : f32[99999999999999999999] param\n", 2,
      "a number beyond 64 bits" },
    { "unit \"u\"\ntensor 0 \"w\" : f32[B] param\n", 2,
      "B where the batch has no maximum, or none of it" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = wibble : f32 }", 3, "no such op" },
    { "unit \"u\"\nentry export \"e\" {\n %1 = constant {1} : f32 }", 3, "the next node is %0" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = neg %0 : f32 }", 3,
      "%0 does not come before its use" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = constant {1} : f32[2] }", 3,
      "fewer elements than the shape says" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = constant {300} : u8 }", 3,
      "an element beyond its dtype" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = constant {1} : f32\n %1 = neg %0 : f64 }", 4,
      "this `neg` is f32" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = constant {1} : f32\n %1 = neg %0 axis=1 : f32 }", 4,
      "`neg` has no attribute of this name" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = input index=5 : f32 }", 3,
      "there is no input number 5" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = tensor index=-1 : f32 }", 3,
      "there is no tensor number -1" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = constant 0x00 : f32 }", 3,
      "the bytes of a constant do not fill its shape" },
    { "unit \"u\"\nentry export \"e\" {\n input 0 \"x\" : f32[1, 4, 5] %0 = input index=0 : f32[1, "
      "4, 5]\n"
      " %1 = conv %0, %0 stride=[1] low=[0] high=[0] dilation=[1] groups=9223372036854775807 : "
      "f32[1, 1, 1] }",
      4,
      "a convolution of f32[1, 4, 5] with weights f32[1, 4, 5] in 9223372036854775807 groups: 4 "
      "input channels, "
      "weights for 9223372036854775807" },
    { "unit \"u\"\nentry export \"e\" {\n %0 = constant {1} : f32\n output \"y\" %0 updates=0 }", 1,
      "in `e`, output `y`: it updates no tensor" },
    { "unit \"u\"\nentry map \"e\" {}\nentry map \"e\" {}\n", 1, "two entries `e`" },
};

static void mistakes_are_told_with_their_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        Compiler *cx = compiler_new();
        uint32_t line, column;
        assert_null(read(cx, mistakes[i].text));
        assert_int_equal(cx->diags.n, 1);
        assert_string_equal(cx->diags.at[0].message, mistakes[i].message);
        loc_line_column(cx, cx->diags.at[0].loc, &line, &column);
        assert_int_equal(line, mistakes[i].line);
        compiler_free(cx);
    }
}

/* Either a sound unit whose text reads back, or an error. */
static void read_hostile(const char *text, size_t size)
{
    Compiler *cx = compiler_new();
    char *exact =
        malloc(size + 1); /* of this size, so that reading past it is seen by a sanitizer */
    memcpy(exact, text, size);
    Unit *u = unit_read(cx, "hostile.ir", exact, size);
    if (u) {
        const char *again = unit_text(cx->arena, u, TEXT_EXACT);
        if (!read(cx, again))
            fail_msg("does not read back: %s\n%s", cx->diags.at[0].message, again);
    } else {
        assert_true(cx->diags.n > 0);
    }
    free(exact);
    compiler_free(cx);
}

static void every_prefix_is_an_error_or_a_unit(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof sample; n++)
        read_hostile(sample, n);
}

static const char *case_text(Arena *a, Op op, uint32_t i)
{
    Compiler *cx = compiler_new();
    Unit *u = unit_new(cx, "u");
    Graph *g = graph_new(u, "g", 4);
    CaseRng r = case_rng(cx->arena, i);
    NodeId y = op_defs[op]->cases ? op_defs[op]->cases(g, &r, i) : NODE_NONE;
    const char *text = NULL;
    if (y != NODE_NONE) {
        graph_output(g, "y", y, -1);
        vec_push(u->arena, &u->entries, (Entry){ .kind = ENTRY_EXPORT, .name = "g", .graph = g });
        text = unit_text(a, u, TEXT_EXACT);
    }
    compiler_free(cx);
    return text;
}

/* Numbers are what type rules must not trust. */
static void replace_number(CaseRng *r, char *text, size_t n)
{
    static const char *const numbers[] = {
        "0", "-1", "7", "9223372036854775807", "-9223372036854775808", "4294967296", "1"
    };
    char *at = text + case_random(r) % n, changed[4096];
    at += strcspn(at, "0123456789");
    size_t digits = strspn(at, "0123456789");
    const char *number = numbers[case_random(r) % 7];
    if (!digits || n + 32 > sizeof changed)
        return;
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, number, at + digits);
    read_hostile(changed, strlen(changed));
}

static void damaged_texts_are_errors_or_units(void **state)
{
    (void)state;
    Arena *a = arena_new();
    CaseRng r = case_rng(a, 42);
    for (int op = 0; op < OP_COUNT; op++) {
        const char *text;
        for (uint32_t i = 0; i < 6 && (text = case_text(a, (Op)op, i)); i++) {
            size_t n = strlen(text);
            for (int k = 0; k < 40; k++) {
                char *damaged = arena_strndup(a, text, n);
                replace_number(&r, damaged, n);
                for (uint64_t j = case_random(&r) % 3; j < 3; j++)
                    damaged[case_random(&r) % n] =
                        " \n%[]{}\"=:,0123456789Bxaf#\\"[case_random(&r) % 28];
                read_hostile(damaged, n);
            }
        }
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_reads_back),
        cmocka_unit_test(spaces_and_comments_do_not_matter),
        cmocka_unit_test(extreme_constants_read_back),
        cmocka_unit_test(long_constants_are_cut_for_people_only),
        cmocka_unit_test(mistakes_are_told_with_their_line),
        cmocka_unit_test(every_prefix_is_an_error_or_a_unit),
        cmocka_unit_test(damaged_texts_are_errors_or_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
