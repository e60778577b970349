/* The op table: what must hold of every row, and the verifier that relies on it. */
#include "ir/builder.h"
#include "ir/cases.h"
#include "ir/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const row_names[OP_COUNT] = {
#define OP(name) #name,
#include "ir/ops.def"
#undef OP
};

static void rows_have_their_names(void **state)
{
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        assert_string_equal(op_defs[op]->name, row_names[op]);
        assert_int_equal(op_find(row_names[op]), op_defs[op]->internal ? OP_COUNT : op);
    }
}

static void rows_are_complete(void **state)
{
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        const OpDef *def = op_defs[op];
        uint32_t attrs = 0;
        while (def->attrs && def->attrs[attrs].name)
            attrs++;
        bool leaf = def->lower == LOWER_NONE;
        if (attrs > 16)
            fail_msg("%s has more attributes than a node can", def->name);
        if (!def->doc || !def->infer)
            fail_msg("%s lacks its formula or type rule", def->name);
        if (def->grad && def->zero_grad)
            fail_msg("%s has a derivative that is zero by definition", def->name);
        if ((def->lower == LOWER_EXPAND) > (def->expand != NULL))
            fail_msg("%s lacks its expansion", def->name);
        if (!leaf && (!def->cases || (!def->ref && !def->expand)))
            fail_msg("%s lacks cases or a reference", def->name);
        if (def->lower == LOWER_CALL && !def->call)
            fail_msg("%s lacks its function", def->name);
        if (def->lower == LOWER_MOVE && !def->move)
            fail_msg("%s lacks its movement", def->name);
    }
}

typedef struct {
    Compiler *cx;
    Unit *u;
    Graph *g;
    NodeId x, y;
} Sound;

static Sound sound(void)
{
    Sound s = { .cx = compiler_new() };
    s.u = unit_new(s.cx, "u");
    vec_push(s.u->arena, &s.u->tensors,
             (Tensor){ .name = "w", .dtype = DT_F32, .shape = { 1, { { 3, 0 } } }, .owner = -1 });
    s.g = graph_new(s.u, "g", 4);
    s.x = graph_input(
        s.g, (Input){ .name = "x", .dtype = DT_F32, .shape = { 2, { { 4, 1 }, { 3, 0 } } } });
    s.y = b_unary(s.g, OP_exp, s.x);
    graph_output(s.g, "y", s.y, -1);
    vec_push(s.u->arena, &s.u->entries, (Entry){ .kind = ENTRY_EXPORT, .name = "g", .graph = s.g });
    return s;
}

static void expect_broken(Sound *s, const char *words)
{
    const char *bad = unit_verify(s->cx->arena, s->u);
    assert_non_null(bad);
    if (!strstr(bad, words))
        fail_msg("expected `%s` in: %s", words, bad);
    assert_int_equal(s->cx->diags.n, 0);
    compiler_free(s->cx);
}

static void verifier_sees_what_is_broken(void **state)
{
    (void)state;
    Sound s = sound();
    assert_null(unit_verify(s.cx->arena, s.u));
    s.g->operands.at[s.g->nodes.at[s.y].first] = s.y;
    expect_broken(&s, "does not come before it");
    s = sound();
    s.g->nodes.at[s.y].dtype = DT_F64;
    expect_broken(&s, "its type is f64[B, 3], its rule says f32[B, 3]");
    s = sound();
    s.g->nodes.at[s.y].count = 0;
    expect_broken(&s, "0 operands");
    s = sound();
    s.g->nodes.at[s.y].op = OP_not;
    expect_broken(&s, "it breaks its type rule");
    s = sound();
    s.g->nodes.at[s.x].attrs = 0;
    expect_broken(&s, "0 attributes, 1 declared");
    s = sound();
    s.g->batch_max = 5;
    expect_broken(&s, "axis 0 is 1B but 4 at the maximal batch 5");
    s = sound();
    s.g->outputs.at[0].node = 77;
    expect_broken(&s, "it names no node");
    s = sound();
    s.g->outputs.at[0].updates = 0;
    expect_broken(&s, "the tensor `w` it updates f32[3]");
    s = sound();
    AttrValue w = attr_i(0);
    for (int i = 0; i < 2; i++)
        graph_output(s.g, "w", graph_emit(s.g, OP_tensor, NULL, 0, &w, 1), 0);
    expect_broken(&s, "`w` is updated twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_have_their_names),
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(verifier_sees_what_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
