/* Whole programs, from text to simplified graphs: every pass with every check on, and the gradient
 * of the loss by each trained tensor. */
#include "frontend/frontend.h"
#include "passes/gradcheck.h"
#include "passes/gradcheck_entry.h"
#include "passes/pipeline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *file, *model;
    uint32_t directions;
} programs[] = {
    { "house", NULL, 8 },      { "iris", "Logistic", 8 },  { "iris", "Softmax", 8 },
    { "lenet", NULL, 1 },      { "linreg", NULL, 8 },      { "nn", "Norms", 8 },
    { "nn", "Pools", 8 },       { "nn", "Spread", 8 },     { "quadratic", NULL, 8 },
    { "ranks", NULL, 8 },      { "root", NULL, 8 },        { "scaling", NULL, 8 },
    { "signals", NULL, 8 },    { "xor", "Perceptron", 8 }, { "xor", "Xor", 8 },
    { "nn", "Heads", 8 },      { "nn", "State", 8 },      { "nn", "Sums", 8 },
};
enum { PROGRAMS = sizeof programs / sizeof *programs, DRAWS = 4 };

static Unit *load(Compiler *cx, size_t i)
{
    FrontendOptions options = { .model = programs[i].model, .f64 = true };
    const char *path = arena_printf(cx->arena, "%s/tests/frontend/programs/%s.dl", DLCC_SOURCE_DIR,
                                    programs[i].file);
    Unit *u = frontend_load(cx, path, &options);
    if (!u)
        fail_msg("%s: %s", programs[i].file, cx->diags.at[0].message);
    return u;
}

/* Inputs for which the loss is finite, if either range gives them. */
static void find_finite(EntryCheck *check, uint32_t draw)
{
    Graph loss = *check->graph;
    Value value;
    loss.outputs.n = 1;
    gradcheck_entry_draw(check->unit->arena, check, draw, false);
    assert_null(interp_run(check->unit->arena, &loss, &check->args, &value));
    if (!isfinite(value.f[0]))
        gradcheck_entry_draw(check->unit->arena, check, draw, true);
}

/* False: nothing to compare there: a perceptron's loss is flat where it is right, or a kink is
 * near. */
static bool check_tensor(const EntryCheck *check, uint32_t k, size_t i)
{
    Unit *u = check->unit;
    const char *name = u->tensors.at[check->tensors.at[k]].name;
    Graph one = *check->graph;
    Output outputs[] = { one.outputs.at[0], one.outputs.at[1 + k] };
    GradPoint point = { .tensor = true, .index = check->tensors.at[k] };
    Gradcheck result;
    one.outputs.at = outputs;
    one.outputs.n = 2;
    const char *bad = gradcheck(u->arena, &one, &check->args, &point, 1, programs[i].directions,
                                3 + k, &result);
    if (bad || result.error > 1e-6)
        fail_msg("%s, `%s`: %s, derivative %.9g, quotient %.9g, error %g, %u kinks",
                 programs[i].file, name, bad, result.derivative, result.quotient, result.error,
                 result.kinks);
    return result.directions && result.gradient > 0;
}

static void check_entry(Unit *u, const Entry *e, size_t i)
{
    EntryCheck check;
    int64_t batch = e->pinned || e->graph->batch_max < 3 ? e->graph->batch_max : 2;
    const char *bad = gradcheck_entry(u->arena, u, e, batch, 3, &check);
    if (bad)
        fail_msg("%s: %s", programs[i].file, bad);
    assert_true(check.tensors.n > 0);
    for (uint32_t k = 0; k < check.tensors.n; k++) {
        bool compared = false;
        for (uint32_t draw = 0; draw < DRAWS && !compared; draw++) {
            find_finite(&check, draw);
            compared = check_tensor(&check, k, i);
        }
        if (!compared)
            fail_msg("%s, `%s`: nothing to compare at %d places", programs[i].file,
                     u->tensors.at[check.tensors.at[k]].name, DRAWS);
    }
}

static void losses_have_their_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROGRAMS; i++) {
        Compiler *cx = compiler_new();
        Unit *u = load(cx, i);
        uint32_t steps = 0;
        for (uint32_t k = 0; k < u->entries.n; k++)
            if (u->entries.at[k].kind == ENTRY_STEP) {
                check_entry(u, &u->entries.at[k], i);
                steps++;
            }
        assert_true(steps > 0);
        compiler_free(cx);
    }
}

static void passes_leave_sound_graphs(void **state)
{
    (void)state;
    for (size_t i = 0; i < PROGRAMS; i++) {
        Compiler *cx = compiler_new();
        Unit *u = load(cx, i);
        PipelineOptions o = { .stop_after = "simplify", .verify = true, .read_back = true };
        if (!pipeline_run(u, &o, NULL))
            fail_msg("%s: %s", programs[i].file, cx->diags.at[0].message);
        compiler_free(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_have_their_gradients),
        cmocka_unit_test(passes_leave_sound_graphs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
