/* Random graphs: generated code against the reference interpreter, forward and backward, at several
 * batches, and on one and three threads with the same bits.
 *
 * RANDOM_FIRST and RANDOM_COUNT in the environment choose other seeds, RANDOM_SIZE larger graphs,
 * RANDOM_MARCH another target, RANDOM_SHOW prints what differs: for campaigns. */
#include "backend/session.h"
#include "ir/interp.h"
#include "ir/random_graph.h"
#include "ir/text.h"
#include "passes/pipeline.h"
#include "runtime/call.h"
#include "runtime/dlrt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 4 };

/* Of the largest element of a result: a few dozen roundings of f32 through slopes of up to 100. */
static const double TOLERANCE = 2e-4;

static DlrtCall *call_address(const char *symbol)
{
    static const struct {
        const char *name;
        DlrtCall *call;
    } calls[] = {
        { "dlrt_call_sort", dlrt_call_sort },
        { "dlrt_call_suppress", dlrt_call_suppress },
        { "dlrt_call_top_k", dlrt_call_top_k },
        { "dlrt_call_scatter", dlrt_call_scatter },
        { "dlrt_call_solve", dlrt_call_solve },
        { "dlrt_call_copy", dlrt_call_copy },
        { "dlrt_call_qr", dlrt_call_qr },
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!strcmp(calls[i].name, symbol))
            return calls[i].call;
    return NULL;
}

typedef struct {
    uint64_t seed;
    Compiler *cx;
    Unit *u;
    CaseRng r;
    Graph *reference; /* after autodiff: what the interpreter runs */
    const DlrtModel *model;
} Trial;

static int failures, compared;

static void complain(const Trial *t, const char *what)
{
    fprintf(stderr, "seed %llu: %s%s%s\n", (unsigned long long)t->seed, what,
            t->cx->diags.n ? ": " : "", t->cx->diags.n ? t->cx->diags.at[0].message : "");
    failures++;
}

enum { FENCE = 256 };

/* Bytes for v, 64-byte aligned, with a fence behind them; all 0xA5. */
static void *bytes_of(Arena *a, const Value *v)
{
    size_t bytes = (size_t)v->count * dtype_size(v->dtype) + FENCE;
    void *p = (void *)(((uintptr_t)arena_alloc(a, bytes + 64) + 63) / 64 * 64);
    return memset(p, 0xA5, bytes);
}

static bool fence_stands(const Value *v, const void *p)
{
    const unsigned char *fence = (const unsigned char *)p + (size_t)v->count * dtype_size(v->dtype);
    for (size_t i = 0; i < FENCE; i++)
        if (fence[i] != 0xA5)
            return false;
    return true;
}

static bool is_close(const Value *want, const Value *got)
{
    double size = 1;
    for (int64_t i = 0; i < want->count; i++)
        if (dtype_is_float(want->dtype) && isfinite(want->f[i]))
            size = fmax(size, fabs(want->f[i]));
    double slack = want->dtype == DT_BF16 ? 100 : want->dtype == DT_F16 ? 10 : 1;
    for (int64_t i = 0; i < want->count; i++) {
        if (!dtype_is_float(want->dtype)
                ? want->i[i] != got->i[i]
                : want->f[i] != got->f[i] && !(isnan(want->f[i]) && isnan(got->f[i])) &&
                      !(fabs(want->f[i] - got->f[i]) <= slack * TOLERANCE * size))
            return false;
    }
    return true;
}

static void compare(Trial *t, Arena *a, uint32_t i, const Value *want, const void *bytes,
                    int64_t batch)
{
    Shape s = { .rank = want->rank };
    for (uint32_t d = 0; d < s.rank; d++)
        s.dim[d] = dim_of(want->dim[d]);
    Value got = value_from_bytes(a, want->dtype, &s, bytes);
    compared++;
    if (!is_close(want, &got)) {
        char what[80];
        snprintf(what, sizeof what, "result %u (%s) differs at B=%lld", i,
                 t->reference->outputs.at[i].name, (long long)batch);
        complain(t, what);
        for (int64_t k = 0; k < got.count && k < 100; k++)
            if (dtype_is_float(got.dtype) && got.f[k] != want->f[k])
                fprintf(stderr, "    [%lld] %.9g, reference %.9g\n", (long long)k, got.f[k],
                        want->f[k]);
            else if (!dtype_is_float(got.dtype) && got.i[k] != want->i[k])
                fprintf(stderr, "    [%lld] %lld, reference %lld\n", (long long)k,
                        (long long)got.i[k], (long long)want->i[k]);
        if (getenv("RANDOM_SHOW"))
            fputs(graph_text(a, t->reference, TEXT_SHORT), stderr);
    }
}

static void run_at(Trial *t, int64_t batch)
{
    Arena *a = arena_new();
    Graph *g = t->reference;
    Value *in = arena_new_array(a, Value, g->inputs.n),
          *out = arena_new_array(a, Value, g->outputs.n);
    const void **inputs = arena_new_array(a, const void *, g->inputs.n);
    void **outputs[2] = { arena_new_array(a, void *, g->outputs.n),
                          arena_new_array(a, void *, g->outputs.n) };
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        in[i] = case_value(a, &t->r, g, i, batch);
        inputs[i] = bytes_of(a, &in[i]);
        value_to_bytes(&in[i], (void *)(uintptr_t)inputs[i]);
    }
    InterpArgs args = { .batch = batch, .inputs = in, .seed = 7, .key = 3 };
    const char *bad = interp_run(a, g, &args, out);
    DlrtContext *cx = NULL;
    int code = bad ? DLRT_OK : dlrt_init(t->model, t->model->abi, NULL, 0, 7, &cx);
    if (bad || code != DLRT_OK) {
        complain(t, bad ? bad : dlrt_error(code));
        arena_free(a);
        return;
    }
    cx->clock.seed = 7;
    cx->clock.key_step = 3;
    for (int k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < g->outputs.n; i++)
            outputs[k][i] = bytes_of(a, &out[i]);
        dlrt_set_threads(cx, k ? 3 : 1, NULL, NULL);
        if (dlrt_run(cx, &t->model->entries[0], batch, inputs, outputs[k]))
            complain(t, dlrt_message(cx));
    }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        compare(t, a, i, &out[i], outputs[0][i], batch);
        if (memcmp(outputs[0][i], outputs[1][i], (size_t)out[i].count * dtype_size(out[i].dtype)))
            complain(t, "other bits on three threads");
        if (!fence_stands(&out[i], outputs[0][i]) || !fence_stands(&out[i], outputs[1][i]))
            complain(t, "a result is written past its end");
    }
    dlrt_free(cx);
    arena_free(a);
}

static void run_seed(uint64_t seed, const Target *target)
{
    Trial t = { .seed = seed, .cx = compiler_new() };
    t.u = unit_new(t.cx, "random");
    t.r = case_rng(t.cx->arena, seed);
    const char *size = getenv("RANDOM_SIZE");
    uint64_t most = size ? strtoull(size, NULL, 10) : 12;
    RandomOptions o = { .size = 2 + (uint32_t)(seed % (most - 1)),
                        .batch_max = BATCH,
                        .no_halves = true,
                        .differentiable = seed % 3 == 0 };
    Graph *g = random_graph(t.u, &t.r, &o);
    vec_push(t.u->arena, &t.u->entries,
             (Entry){ .kind = ENTRY_EXPORT, .name = "random", .graph = g });
    PipelineOptions grads = { .stop_after = "autodiff", .verify = true }, all = { .verify = true };
    Session *s = NULL;
    if (!pipeline_run(t.u, &grads, NULL)) {
        complain(&t, "autodiff");
    } else {
        t.reference = t.u->entries.at[0].graph;
        if (!pipeline_run(t.u, &all, NULL))
            complain(&t, "passes");
        else if (!(s = session_new(t.u, target, call_address)))
            complain(&t, "code generation");
    }
    if (s) {
        t.model = session_model(s);
        run_at(&t, BATCH);
        if (!t.u->entries.at[0].pinned)
            run_at(&t, 1 + (int64_t)(seed % 3));
        session_free(s);
    }
    compiler_free(t.cx);
}

static void random_graphs_agree(void **state)
{
    (void)state;
    Target target;
    const char *march = getenv("RANDOM_MARCH");
    assert_true(target_parse(march ? march : "native", &target));
    const char *first = getenv("RANDOM_FIRST"), *count = getenv("RANDOM_COUNT");
    uint64_t from = first ? strtoull(first, NULL, 10) : 0;
    run_seed(183, &target);  /* calls at a smaller batch wrote past the end of their result */
    run_seed(2032, &target); /* pinned by the code generator, not by numbers: still a batch of 4 */
    for (uint64_t i = 0; i < (count ? strtoull(count, NULL, 10) : 12); i++)
        run_seed(from + i, &target);
    print_message("%d results compared\n", compared);
    assert_int_equal(failures, 0);
    assert_true(compared > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(random_graphs_agree) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
