/* Random graphs: sound, the same from the same seed, and of the same values before and after every
 * pass. */
#include "ir/interp.h"
#include "ir/random_graph.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/gradcheck.h"
#include "passes/pass.h"
#include "passes/pipeline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 150, GRADIENT_SEEDS = 800, BATCH = 4 };

typedef struct {
    Compiler *cx;
    Unit *u;
    CaseRng r;
} Fixture;

static Fixture random_unit(uint64_t seed, bool differentiable)
{
    Fixture f = { .cx = compiler_new() };
    f.u = unit_new(f.cx, "random");
    f.r = case_rng(f.cx->arena, seed);
    RandomOptions o = { .size = 2 + (uint32_t)(seed % 14),
                        .batch_max = BATCH,
                        .differentiable = differentiable };
    Graph *g = random_graph(f.u, &f.r, &o);
    vec_push(f.u->arena, &f.u->entries,
             (Entry){ .kind = ENTRY_EXPORT, .name = "random", .graph = g });
    return f;
}

static InterpArgs draw(Fixture *f, int64_t batch)
{
    const Graph *g = f->u->entries.at[0].graph;
    CaseRng r = f->r;
    Value *in = arena_new_array(f->cx->arena, Value, g->inputs.n);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        in[i] = case_value(f->cx->arena, &r, g, i, batch);
    return (InterpArgs){
        .batch = batch, .inputs = in, .seed = 3, .key = 5, .clock = { 1, 2, 3, 4, 5, 6, 7, 0.5 }
    };
}

static Value *run(Fixture *f, Graph *g, const InterpArgs *args)
{
    Value *out = arena_new_array(f->cx->arena, Value, g->outputs.n);
    const char *bad = interp_run(f->cx->arena, g, args, out);
    if (bad)
        fail_msg("%s", bad);
    return out;
}

static bool close(const Value *a, const Value *b)
{
    for (int64_t i = 0; i < a->count; i++) {
        if (!dtype_is_float(a->dtype) && a->i[i] != b->i[i])
            return false;
        if (dtype_is_float(a->dtype) && !(fabs(a->f[i] - b->f[i]) <= 1e-9 * (1 + fabs(a->f[i]))) &&
            a->f[i] != b->f[i] && !(isnan(a->f[i]) && isnan(b->f[i])))
            return false;
    }
    return a->dtype == b->dtype && a->count == b->count;
}

static void simplify(Fixture *f, uint64_t seed)
{
    PipelineOptions o = { .stop_after = "simplify", .verify = true, .read_back = true };
    if (!pipeline_run(f->u, &o, NULL))
        fail_msg("seed %llu: %s", (unsigned long long)seed, f->cx->diags.at[0].message);
}

static void passes_keep_values(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        Fixture f = random_unit(seed, false);
        Graph *before = f.u->entries.at[0].graph;
        const char *bad = unit_verify(f.cx->arena, f.u);
        if (bad || f.cx->diags.n)
            fail_msg("seed %llu: %s", (unsigned long long)seed,
                     bad ? bad : f.cx->diags.at[0].message);
        simplify(&f, seed);
        for (int64_t batch = 1; batch <= BATCH; batch += 3) {
            InterpArgs args = draw(&f, batch);
            Value *a = run(&f, before, &args), *b = run(&f, f.u->entries.at[0].graph, &args);
            for (uint32_t i = 0; i < before->outputs.n; i++)
                if (!close(&a[i], &b[i]))
                    fail_msg("seed %llu: output %u differs\n%s", (unsigned long long)seed, i,
                             graph_text(f.cx->arena, before, TEXT_SHORT));
        }
        compiler_free(f.cx);
    }
}

/* In f64: any narrower float makes a staircase, of which a difference quotient measures the
 * steps. */
static Graph *widened(Fixture *f, uint64_t seed)
{
    assert_true(pass_widen(f->u));
    simplify(f, seed);
    Graph *g = f->u->entries.at[0].graph;
    const uint8_t *live = graph_live(f->cx->arena, g);
    for (NodeId id = 0; id < g->nodes.n; id++)
        assert_true(!live[id] || !dtype_is_float(graph_dtype(g, id)) ||
                    graph_dtype(g, id) == DT_F64);
    return g;
}

static Gradcheck compare(Fixture *f, Graph *g, uint64_t seed)
{
    InterpArgs args = draw(f, 3);
    GradPoint *points = arena_new_array(f->cx->arena, GradPoint, g->inputs.n + 1);
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->inputs.n; i++)
        if (dtype_is_float(g->inputs.at[i].dtype))
            points[n++] = (GradPoint){ false, i };
    Gradcheck result;
    const char *bad = gradcheck(f->cx->arena, g, &args, points, n, 8, seed, &result);
    if (bad || result.error > 1e-6) {
        fputs(graph_text(f->cx->arena, g, TEXT_SHORT), stderr);
        fail_msg("seed %llu: %s, derivative %.9g, quotient %.9g, error %g",
                 (unsigned long long)seed, bad, result.derivative, result.quotient, result.error);
    }
    return result;
}

/* Of nearly all graphs: few have no float input, or a derivative that rounding hides. */
static void derivatives_of_random_graphs(void **state)
{
    (void)state;
    uint32_t graphs = 0, directions = 0, silent = 0;
    for (uint64_t seed = 0; seed < GRADIENT_SEEDS; seed++) {
        Fixture narrow = random_unit(seed, true), f = random_unit(seed, true);
        simplify(&narrow, seed);
        compiler_free(narrow.cx);
        Gradcheck result = compare(&f, widened(&f, seed), seed);
        graphs += result.directions > 0;
        directions += result.directions;
        silent += result.kinks;
        compiler_free(f.cx);
    }
    print_message("%u directions of %u graphs compared; %u say nothing\n", directions, graphs,
                  silent);
    assert_true(graphs >= GRADIENT_SEEDS * 9 / 10);
    assert_true(silent <= directions / 100);
}

/* The check itself where rounding is all there is to see: f = 100 + tanh(x), flat but for the last
 * bits; its quotients agree on 0 at short steps, its derivative is 1.5e-8. */
static void rounding_is_not_a_derivative(void **state)
{
    (void)state;
    static const char text[] =
        "unit \"u\" entry export \"e\" { input 0 \"x\" : f64 %0 = input index=0 : f64\n"
        "%1 = tanh %0 : f64 %2 = constant {100} : f64 %3 = add %1, %2 : f64\n"
        "%4 = grad %3, %0 : f64 output \"y\" %3 output \"dx\" %4 }";
    Fixture f = { .cx = compiler_new() };
    f.u = unit_read(f.cx, "flat", text, strlen(text));
    assert_non_null(f.u);
    assert_true(pass_autodiff(f.u));
    Value x = value_new(f.cx->arena, DT_F64, &(Shape){ 0 }, 1);
    x.f[0] = 9.7;
    InterpArgs args = { .batch = 1, .inputs = &x };
    GradPoint point = { false, 0 };
    Gradcheck result;
    assert_null(gradcheck(f.cx->arena, f.u->entries.at[0].graph, &args, &point, 1, 8, 1, &result));
    assert_true(result.gradient > 1e-8 && result.error <= 1e-6);
    compiler_free(f.cx);
}

static void a_seed_is_a_graph(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        Fixture f = random_unit(seed, false), h = random_unit(seed, false);
        assert_string_equal(unit_text(f.cx->arena, f.u, TEXT_EXACT),
                            unit_text(h.cx->arena, h.u, TEXT_EXACT));
        compiler_free(f.cx);
        compiler_free(h.cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_a_graph),
        cmocka_unit_test(passes_keep_values),
        cmocka_unit_test(derivatives_of_random_graphs),
        cmocka_unit_test(rounding_is_not_a_derivative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
