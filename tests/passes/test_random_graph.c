/* Random graphs: sound, the same from the same seed, and of the same values before and after every
 * pass. */
#include "ir/interp.h"
#include "ir/random_graph.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "passes/gradcheck.h"
#include "passes/pipeline.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 150, GRADIENT_SEEDS = 40, BATCH = 4 };

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
        PipelineOptions o = { .stop_after = "simplify", .verify = true, .read_back = true };
        if (!pipeline_run(f.u, &o, NULL))
            fail_msg("seed %llu: %s", (unsigned long long)seed, f.cx->diags.at[0].message);
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

/* The reference rounds where a value is cast to 16 bits: a staircase, of which a difference
 * quotient measures the steps. */
static bool rounds_to_16_bits(const Graph *g)
{
    Arena *a = arena_new();
    const uint8_t *live = graph_live(a, g);
    bool found = false;
    for (NodeId id = 0; id < g->nodes.n; id++)
        found |= live[id] && dtype_is_float(graph_dtype(g, id)) &&
                 dtype_size(graph_dtype(g, id)) == 2;
    arena_free(a);
    return found;
}

static void derivatives_of_random_graphs(void **state)
{
    (void)state;
    uint32_t compared = 0;
    /* Graphs that are passed over are made up for by further ones. */
    for (uint64_t seed = 0; seed < 2 * GRADIENT_SEEDS && compared < 4 * GRADIENT_SEEDS; seed++) {
        Fixture f = random_unit(seed, true);
        PipelineOptions o = { .stop_after = "simplify", .verify = true, .read_back = true };
        if (!pipeline_run(f.u, &o, NULL))
            fail_msg("seed %llu: %s", (unsigned long long)seed, f.cx->diags.at[0].message);
        Graph *g = f.u->entries.at[0].graph;
        if (rounds_to_16_bits(g)) {
            compiler_free(f.cx);
            continue;
        }
        InterpArgs args = draw(&f, 3);
        GradPoint points[256];
        uint32_t n = 0;
        for (uint32_t i = 0; i < g->inputs.n && n < 256; i++)
            if (dtype_is_float(g->inputs.at[i].dtype))
                points[n++] = (GradPoint){ false, i };
        Gradcheck result;
        const char *bad = gradcheck(f.cx->arena, g, &args, points, n, 8, seed, &result);
        if (bad || result.error > 1e-6)
            fail_msg("seed %llu: %s, derivative %.9g, quotient %.9g, error %g\n%s",
                     (unsigned long long)seed, bad, result.derivative, result.quotient,
                     result.error, graph_text(f.cx->arena, g, TEXT_SHORT));
        compared += result.directions;
        compiler_free(f.cx);
    }
    print_message("%u directions compared\n", compared);
    assert_true(compared >= GRADIENT_SEEDS * 4);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
