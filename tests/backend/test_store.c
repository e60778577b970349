/* Parameters in the order that products want: the numbers are those of the reference interpreter on
 * the program as written, and whoever reads or writes a tensor by name sees it as written. The same
 * where the batch is a plain number, whose images are stored with their channels innermost too. */
#include "backend/session.h"
#include "frontend/frontend.h"
#include "ir/interp.h"
#include "passes/pipeline.h"
#include "runtime/dlrt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Output channels in blocks of 64, 48 and 32, short, and odd; windows, stride, groups, products of
 * any batch; a weight that two products read alike, one that they read differently, one that
 * something else reads too. */
#define PROGRAM(BATCH)                                                                             \
    "model Net {\n"                                                                                \
    "  layer tied = Linear(40)\n"                                                                  \
    "  param both: f32[40, 40] = normal(0.2)\n"                                                    \
    "  param seen: f32[40, 40] = normal(0.2)\n"                                                    \
    "  export fn logits(x: f32[" BATCH ", 3, 9, 9]) -> f32[" BATCH ", 7] {\n"                      \
    "    x = x |> Conv2d(128, 3, pad=1) |> relu |> Conv2d(48, 1) |> relu\n"                        \
    "    x = x |> Conv2d(32, 3, stride=2, groups=2) |> tanh |> Conv2d(6, 2) |> flatten\n"          \
    "    x = x |> Linear(40) |> tied |> tanh |> tied |> tanh\n"                                    \
    "    y = x @ both + x @ transpose(both)\n"                                                     \
    "    z = x @ seen + sum(seen, axis=0)\n"                                                       \
    "    tanh(y) + tanh(z) |> Linear(192) |> Linear(7)\n"                                          \
    "  }\n"                                                                                        \
    "}\n"

enum { FIXED_BATCH = 2 };

typedef struct {
    Compiler *cx;
    Unit *unit;
    Graph *written; /* `logits` before any pass */
    Session *session;
    const DlrtModel *model;
    DlrtContext *context;
    int64_t only; /* the one batch it takes, or 0 */
} Net;

static DlrtCall *no_call(const char *symbol)
{
    (void)symbol;
    return NULL;
}

static int open_program(void **state, const char *program, int64_t only)
{
    static Net n;
    Target t;
    FrontendOptions options = { 0 };
    PipelineOptions passes = { .verify = true, .read_back = false };
    n = (Net){ .cx = compiler_new(), .only = only };
    *state = &n;
    n.unit = frontend_load_text(n.cx, "net.dl", program, strlen(program), &options);
    for (uint32_t i = 0; i < n.cx->diags.n; i++)
        print_message("%s\n", n.cx->diags.at[i].message);
    if (!n.unit || !target_parse("native", &t))
        return -1;
    n.written = unit_entry(n.unit, "logits")->graph;
    if (!pipeline_run(n.unit, &passes, NULL) ||
        !(n.session = session_new(n.unit, &t, no_call)))
        return -1;
    n.model = session_model(n.session);
    return dlrt_init(n.model, n.model->abi, NULL, 0, 1, &n.context);
}

static int open_any(void **state)
{
    return open_program(state, PROGRAM("B"), 0);
}

static int open_fixed(void **state)
{
    return open_program(state, PROGRAM("2"), FIXED_BATCH);
}

static int close_net(void **state)
{
    Net *n = *state;
    dlrt_free(n->context);
    session_free(n->session);
    compiler_free(n->cx);
    return 0;
}

static const DlrtTensor *tensor(const Net *n, const char *name)
{
    for (uint32_t i = 0; i < n->model->tensor_count; i++)
        if (!strcmp(n->model->tensors[i].name, name))
            return &n->model->tensors[i];
    return NULL;
}

static void stores_what_products_read(void **state)
{
    Net *n = *state;
    static const struct {
        const char *name;
        int64_t block; /* of the first axis; -1: as written */
    } cases[] = {
        { "conv2d_0.weight", 64 }, { "conv2d_1.weight", 48 }, { "conv2d_3.weight", 6 },
        { "tied.weight", 40 },     { "linear_1.weight", 64 }, { "linear_2.weight", 7 },
        { "both", -1 },            { "seen", -1 },            { "tied.bias", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const DlrtTensor *t = tensor(n, cases[i].name);
        if (!t)
            fail_msg("no tensor %s", cases[i].name);
        assert_int_equal(t->layout ? t->layout->block[0] : -1, cases[i].block);
    }
    assert_int_equal(tensor(n, "conv2d_0.weight")->rank, 4);
    assert_int_equal(tensor(n, "conv2d_0.weight")->dims[0], 128);
    assert_int_equal(tensor(n, "conv2d_0.weight")->layout->stride[0], 3 * 3 * 3 * 64);
    assert_int_equal(tensor(n, "conv2d_0.weight")->layout->stride[1], 64);
    assert_int_equal(tensor(n, "conv2d_0.weight")->layout->stride[3], 3 * 64);
}

static float *read_tensor(const Net *n, const DlrtTensor *t, size_t *out_count)
{
    size_t count = 1;
    for (int d = 0; d < t->rank; d++)
        count *= (size_t)t->dims[d];
    float *p = malloc(count * sizeof *p);
    assert_non_null(p);
    assert_int_equal(dlrt_read(n->context, t->name, p, count), DLRT_OK);
    *out_count = count;
    return p;
}

static void names_give_what_is_written(void **state)
{
    Net *n = *state;
    for (uint32_t i = 0; i < n->model->tensor_count; i++) {
        const DlrtTensor *t = &n->model->tensors[i];
        size_t count, again;
        float *was = read_tensor(n, t, &count), *p = malloc(count * sizeof *p);
        for (size_t k = 0; k < count; k++)
            p[k] = (float)k + 0.5f;
        assert_int_equal(dlrt_write(n->context, t->name, p, count), DLRT_OK);
        float *q = read_tensor(n, t, &again);
        assert_memory_equal(p, q, count * sizeof *p);
        /* Element (i0, i1, ...) is where the layout says. */
        for (size_t k = 0; t->layout && k < count; k++) {
            int64_t left = (int64_t)k, at = 0;
            for (int d = t->rank - 1; d >= 0; d--) {
                int64_t j = left % t->dims[d], b = t->layout->block[d];
                at += b ? j / b * t->layout->stride[d] + j % b * t->layout->inner[d]
                        : j * t->layout->stride[d];
                left /= t->dims[d];
            }
            assert_true(((const float *)(const void *)((const char *)n->context + t->offset))[at] ==
                        p[k]);
        }
        assert_int_equal(dlrt_write(n->context, t->name, was, count), DLRT_OK);
        free(was);
        free(p);
        free(q);
    }
}

static void computes_as_written(void **state)
{
    Net *n = *state;
    static const int64_t batches[] = { 1, 2, 7, 32 };
    Arena *a = arena_new();
    uint32_t count = n->model->tensor_count;
    Value *tensors = arena_new_array(a, Value, count);
    for (uint32_t i = 0; i < count; i++) {
        const DlrtTensor *t = &n->model->tensors[i];
        size_t elements;
        Shape s = { .rank = t->rank };
        for (uint32_t d = 0; d < s.rank; d++)
            s.dim[d] = dim_of(t->dims[d]);
        float *p = read_tensor(n, t, &elements);
        tensors[i] = value_from_bytes(a, DT_F32, &s, p);
        free(p);
    }
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        int64_t batch = n->only ? n->only : batches[b];
        float x[32 * 3 * 9 * 9], y[32 * 7];
        uint32_t r = 3;
        for (size_t i = 0; i < sizeof x / sizeof *x; i++)
            x[i] = (float)(int32_t)(r = r * 1664525u + 1013904223u) / 2147483648.0f;
        Shape s = { .rank = 4, .dim = { dim_of(batch), dim_of(3), dim_of(9), dim_of(9) } };
        Value in = value_from_bytes(a, DT_F32, &s, x), want;
        InterpArgs args = { .batch = batch, .inputs = &in, .tensors = tensors };
        const char *bad = interp_run(a, n->written, &args, &want);
        if (bad)
            fail_msg("%s", bad);
        const void *inputs[] = { x };
        void *outputs[] = { y };
        assert_int_equal(dlrt_run(n->context, &n->model->entries[0], n->only ? 1 : batch, inputs,
                                  outputs),
                         DLRT_OK);
        for (int64_t i = 0; i < want.count; i++)
            assert_true(fabs(want.f[i] - (double)y[i]) <= 2e-5);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stores_what_products_read),
        cmocka_unit_test(names_give_what_is_written),
        cmocka_unit_test(computes_as_written),
    };
    return cmocka_run_group_tests_name("any batch", tests, open_any, close_net) +
           cmocka_run_group_tests_name("a fixed one", tests, open_fixed, close_net);
}
