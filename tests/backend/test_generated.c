/* Generated code against the reference interpreter, for every op and each of its cases: forward,
 * and for real-valued cases also backward (the gradient of a weighted sum by all inputs), at the
 * maximal batch and at a smaller one, on one and on three threads with the same bits. */
#include "backend/session.h"
#include "ir/cases.h"
#include "ir/builder.h"
#include "ir/interp.h"
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

/* Chosen from the depth of sums in the cases (below 200 terms) and the accuracy promised for
 * functions (2 ULP). */
static const double RELATIVE = 2e-5, ABSOLUTE = 2e-6;

DlrtCall *test_call_address(const char *symbol)
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
    Compiler *cx;
    Unit *unit;
    Graph *reference; /* as built: what the interpreter runs, after autodiff */
    CaseRng rng;
    char what[80];
} Case;

static int failures, compared;

static void complain(const Case *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", c->what);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    failures++;
    for (uint32_t i = 0; i < c->cx->diags.n && i < 3; i++)
        fprintf(stderr, "    %s\n", c->cx->diags.at[i].message);
}

/* Case i of op on a fresh unit, as an exported entry; with `backward`, its results are the
 * gradients of sum(w * result). */
static bool build_case(Case *c, Op op, uint32_t i, bool backward)
{
    c->cx = compiler_new();
    c->unit = unit_new(c->cx, "case");
    c->rng = case_rng(c->cx->arena, 1000 * (uint64_t)op + i);
    snprintf(c->what, sizeof c->what, "%s case %u%s", op_defs[op]->name, i,
             backward ? " backward" : "");
    Graph *g = graph_new(c->unit, "case", 4);
    NodeId y = op_defs[op]->cases ? op_defs[op]->cases(g, &c->rng, i) : NODE_NONE;
    if (y == NODE_NONE)
        return false;
    if (!backward) {
        graph_output(g, "y", y, -1);
    } else {
        if (!dtype_is_float(graph_dtype(g, y)))
            return false;
        const Shape *s = graph_shape(g, y);
        Input weights = { .name = "weights", .dtype = graph_dtype(g, y), .shape = *s };
        uint32_t n_in = g->inputs.n;
        NodeId w = graph_input(g, weights);
        int64_t axes[MAX_RANK];
        for (uint32_t d = 0; d < s->rank; d++)
            axes[d] = d;
        NodeId loss = s->rank ? b_reduce(g, OP_reduce_sum, b_mul(g, w, y), axes, s->rank, false)
                              : b_mul(g, w, y);
        uint32_t made = 0;
        for (uint32_t d = 0; d < n_in; d++) {
            AttrValue number = attr_i(d);
            NodeId x = graph_emit(g, OP_input, NULL, 0, &number, 1), in[2] = { loss, x };
            if (!dtype_is_float(graph_dtype(g, x)) || graph_dtype(g, x) != graph_dtype(g, y))
                continue;
            graph_output(g, "dx", graph_emit(g, OP_grad, in, 2, NULL, 0), -1);
            made++;
        }
        if (!made)
            return false;
    }
    vec_push(c->unit->arena, &c->unit->entries,
             (Entry){ .kind = ENTRY_EXPORT, .name = "case", .graph = g });
    return true;
}

static void *to_memory(const Value *v)
{
    size_t n = (size_t)v->count * dtype_size(v->dtype);
    void *p = aligned_alloc(64, (n + 127) / 64 * 64);
    memset(p, 0, (n + 127) / 64 * 64);
    value_to_bytes(v, p);
    return p;
}

static bool close_enough(const Value *want, const Value *got)
{
    for (int64_t i = 0; i < want->count; i++) {
        if (!dtype_is_float(want->dtype)) {
            if (want->i[i] != got->i[i])
                return false;
            continue;
        }
        double a = want->f[i], b = got->f[i];
        if ((isnan(a) && isnan(b)) || a == b)
            continue;
        double size = fabs(a) > 1 ? fabs(a) : 1, slack = want->dtype == DT_F16    ? 100
                                                         : want->dtype == DT_BF16 ? 1000
                                                                                  : 1;
        if (!(fabs(a - b) <= slack * (RELATIVE * size + ABSOLUTE)))
            return false;
    }
    return true;
}

static void run_at(Case *c, const DlrtModel *model, int64_t batch)
{
    Arena *a = arena_new();
    Graph *g = c->reference;
    uint32_t n_in = g->inputs.n, n_out = g->outputs.n;
    Value *in = arena_new_array(a, Value, n_in), *out = arena_new_array(a, Value, n_out);
    const void **inputs = arena_new_array(a, const void *, n_in + 1);
    void **outputs = arena_new_array(a, void *, n_out + 1),
         **again = arena_new_array(a, void *, n_out + 1);
    for (uint32_t i = 0; i < n_in; i++) {
        in[i] = case_value(a, &c->rng, g, i, batch);
        inputs[i] = to_memory(&in[i]);
    }
    InterpArgs args = { .batch = batch, .inputs = in, .seed = 7, .key = 3 };
    const char *bad = interp_run(a, g, &args, out);
    if (bad) {
        complain(c, "interpreter: %s", bad);
        arena_free(a);
        return;
    }
    DlrtContext *cx;
    int code = dlrt_init(model, model->abi, NULL, 0, 7, &cx);
    assert_int_equal(code, DLRT_OK);
    cx->clock.seed = 7;
    cx->clock.key_step = 3;
    for (uint32_t i = 0; i < n_out; i++) {
        outputs[i] = to_memory(&out[i]);
        again[i] = to_memory(&out[i]);
        memset(outputs[i], 0xA5, (size_t)out[i].count * dtype_size(out[i].dtype));
    }
    dlrt_set_threads(cx, 1, NULL, NULL);
    code = dlrt_run(cx, &model->entries[0], batch, inputs, outputs);
    dlrt_set_threads(cx, 3, NULL, NULL);
    int code3 = dlrt_run(cx, &model->entries[0], batch, inputs, again);
    if (code || code3)
        complain(c, "B=%lld: %s %s", (long long)batch, dlrt_error(code ? code : code3),
                 dlrt_message(cx));
    for (uint32_t i = 0; i < n_out && !code; i++) {
        Shape s = { .rank = out[i].rank };
        for (uint32_t d = 0; d < s.rank; d++)
            s.dim[d] = dim_of(out[i].dim[d]);
        Value got = value_from_bytes(a, out[i].dtype, &s, outputs[i]);
        compared++;
        if (!close_enough(&out[i], &got)) {
            complain(c, "B=%lld, result %u differs", (long long)batch, i);
            for (int64_t e = 0, shown = 0; e < got.count && shown < 4; e++)
                if (dtype_is_float(got.dtype) ? got.f[e] != out[i].f[e] : got.i[e] != out[i].i[e]) {
                    if (dtype_is_float(got.dtype))
                        fprintf(stderr, "    [%lld] %g, reference %g\n", (long long)e, got.f[e],
                                out[i].f[e]);
                    else
                        fprintf(stderr, "    [%lld] %lld, reference %lld\n", (long long)e,
                                (long long)got.i[e], (long long)out[i].i[e]);
                    shown++;
                }
        }
        if (memcmp(outputs[i], again[i], (size_t)out[i].count * dtype_size(out[i].dtype)))
            complain(c, "B=%lld, result %u: other bits on three threads", (long long)batch, i);
    }
    dlrt_free(cx);
    for (uint32_t i = 0; i < n_in; i++)
        free((void *)(uintptr_t)inputs[i]);
    for (uint32_t i = 0; i < n_out; i++) {
        free(outputs[i]);
        free(again[i]);
    }
    arena_free(a);
}

static void run_case(Op op, uint32_t i, bool backward, const Target *t)
{
    Case c;
    bool built = build_case(&c, op, i, backward);
    if (built) {
        PipelineOptions grads = { .stop_after = "autodiff", .verify = true },
                        all = { .verify = true };
        if (!pipeline_run(c.unit, &grads, NULL)) {
            /* an op without a derivative says so: that is its published state */
            if (!(backward && c.cx->diags.n && c.cx->diags.at[0].code == DIAG_E0503))
                complain(&c, "autodiff");
        } else {
            c.reference = c.unit->entries.at[0].graph;
            Session *s = NULL;
            if (!pipeline_run(c.unit, &all, NULL))
                complain(&c, "passes");
            else if (!(s = session_new(c.unit, t, test_call_address)))
                complain(&c, "code generation");
            if (s) {
                run_at(&c, session_model(s),
                       c.reference->batch_max > 0 ? c.reference->batch_max : 4);
                if (c.reference->batch_max > 1 && !c.unit->entries.at[0].pinned)
                    run_at(&c, session_model(s), c.reference->batch_max - 1);
                session_free(s);
            }
        }
    }
    compiler_free(c.cx);
}

static void test_every_op(void **state)
{
    (void)state;
    Target t;
    assert_true(target_parse("native", &t));
    const char *only = getenv("OP");
    for (int op = 0; op < OP_COUNT; op++) {
        if (!op_defs[op]->cases || (only && strcmp(only, op_defs[op]->name)))
            continue;
        for (uint32_t i = 0; i < 200; i++) {
            Case probe;
            bool there = build_case(&probe, (Op)op, i, false);
            compiler_free(probe.cx);
            if (!there)
                break;
            run_case((Op)op, i, false, &t);
            run_case((Op)op, i, true, &t);
        }
    }
    fprintf(stderr, "%d results compared, %d complaints\n", compared, failures);
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_op) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
