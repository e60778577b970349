/* Builds every case of every op, in graphs with and without a batch, and computes it by the
 * reference. */
#include "ir/cases.h"
#include "ir/interp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { BATCH_MAX = 6 };

static void run_case(Op op, uint32_t number, bool *out_past)
{
    Compiler *cx = compiler_new();
    Unit *u = unit_new(cx, "case");
    Graph *g = graph_new(u, "case", BATCH_MAX);
    CaseRng r = case_rng(cx->arena, number);
    NodeId result = op_defs[op]->cases(g, &r, number);
    *out_past = result == NODE_NONE;
    if (cx->diags.n)
        fail_msg("%s case %u: %s", op_defs[op]->name, number, cx->diags.at[0].message);
    for (int64_t batch = 1; !*out_past && batch <= BATCH_MAX; batch += BATCH_MAX - 1) {
        Value *inputs = arena_new_array(cx->arena, Value, g->inputs.n), out;
        for (uint32_t i = 0; i < g->inputs.n; i++)
            inputs[i] = case_value(cx->arena, &r, g, i, batch);
        if (!g->outputs.n)
            graph_output(g, "y", result, -1);
        InterpArgs args = { .batch = batch, .inputs = inputs };
        const char *bad = interp_run(cx->arena, g, &args, &out);
        if (bad)
            fail_msg("%s case %u: %s", op_defs[op]->name, number, bad);
        Value like = value_new(cx->arena, graph_dtype(g, result), graph_shape(g, result), batch);
        assert_int_equal(out.count, like.count);
    }
    compiler_free(cx);
}

static void test_every_case_computes(void **state)
{
    (void)state;
    for (int op = 0; op < OP_COUNT; op++) {
        bool past = !op_defs[op]->cases;
        if (past && op_defs[op]->lower != LOWER_NONE)
            fail_msg("%s has no cases", op_defs[op]->name);
        uint32_t n = 0;
        for (; !past; n++)
            run_case((Op)op, n, &past);
        if (n == 1)
            fail_msg("%s has no cases", op_defs[op]->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_case_computes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
