/* The three ways to run a model have the same bits: a library, the same objects linked in memory,
 * and that with every plan walked instead of run as one function. */
#include "backend/aot.h"
#include "backend/session.h"
#include "frontend/frontend.h"
#include "passes/pipeline.h"
#include "runtime/call.h"
#include "runtime/dlrt.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 64, MAX_TENSOR = 4096 };

static float x[N][6], y_line[N];
static uint8_t y_net[N];

static void make_data(void)
{
    uint32_t r = 7;
    for (int i = 0; i < N; i++) {
        y_net[i] = (uint8_t)(i % 3);
        y_line[i] = (float)(i % 5) - 2;
        for (int d = 0; d < 6; d++) {
            r = r * 1664525u + 1013904223u;
            x[i][d] = (float)(r >> 8) / 16777216.0f - 0.5f;
        }
    }
}

static DlrtCall *call_address(const char *symbol)
{
    return strcmp(symbol, "dlrt_call_sort") ? NULL : dlrt_call_sort;
}

/* ---- One model, three ways ---- */

typedef struct {
    Compiler *cx;
    Unit *unit;
    Target target;
    Session *session;
    DlrtModel walked;
    DlrtEntry entries[16]; /* of `walked` */
    uint32_t tiny;         /* entries that are one function */
    char folder[64], path[96];
    void *library;
    const char *prefix;
} Ways;

static void *symbol(const Ways *w, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s_%s", w->prefix, name);
    void *p = dlsym(w->library, full);
    assert_non_null(p);
    return p;
}

static void ways_open(Ways *w, const char *source, const char *text, const char *prefix)
{
    *w = (Ways){ .cx = compiler_new(), .prefix = prefix };
    w->unit = text ? frontend_load_text(w->cx, source, text, strlen(text), NULL)
                   : frontend_load(w->cx, source, NULL);
    assert_non_null(w->unit);
    assert_true(pipeline_run(w->unit, &(PipelineOptions){ .verify = true }, NULL));
    assert_true(target_parse("x86-64-v3", &w->target));
    w->session = session_new(w->unit, &w->target, call_address);
    assert_non_null(w->session);
    w->walked = *session_model(w->session);
    assert_true(w->walked.entry_count <= 16);
    for (uint32_t i = 0; i < w->walked.entry_count; i++) {
        w->entries[i] = w->walked.entries[i];
        w->tiny += w->entries[i].tiny != NULL;
        w->entries[i].tiny = NULL;
    }
    w->walked.entries = w->entries;
    strcpy(w->folder, "/tmp/test_aotXXXXXX");
    assert_non_null(mkdtemp(w->folder));
    snprintf(w->path, sizeof w->path, "%s/m.so", w->folder);
    AotOptions o = { .kind = AOT_SHARED, .path = w->path, .source = source, .prefix = prefix,
                     .cc = "cc" };
    assert_true(aot_build(w->unit, &w->target, &o));
    w->library = dlopen(w->path, RTLD_NOW | RTLD_LOCAL);
    if (!w->library)
        fail_msg("%s", dlerror());
}

static void ways_close(Ways *w)
{
    dlclose(w->library);
    unlink(w->path);
    rmdir(w->folder);
    session_free(w->session);
    compiler_free(w->cx);
}

typedef int Init(uint64_t abi, void *mem, size_t size, uint64_t seed, void **out_cx);
typedef int Step(void *cx, size_t B, const void *a, const void *b, float *out_loss);
typedef int Train(void *cx, size_t n, const void *a, const void *b, size_t steps, float *out_loss);
typedef int Read(const void *cx, const char *name, float *out, size_t count);
typedef void Free(void *cx);

static void same_tensors(const Ways *w, const DlrtContext *a, const DlrtContext *b, const void *c)
{
    static float p[MAX_TENSOR], q[MAX_TENSOR], r[MAX_TENSOR];
    Read *read = (Read *)symbol(w, "read");
    const DlrtModel *m = &w->walked;
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        size_t n = 1;
        for (int d = 0; d < m->tensors[i].rank; d++)
            n *= (size_t)m->tensors[i].dims[d];
        assert_true(n <= MAX_TENSOR);
        assert_int_equal(dlrt_read(a, m->tensors[i].name, p, n), DLRT_OK);
        assert_int_equal(dlrt_read(b, m->tensors[i].name, q, n), DLRT_OK);
        assert_int_equal(read(c, m->tensors[i].name, r, n), DLRT_OK);
        assert_memory_equal(p, q, n * sizeof *p);
        assert_memory_equal(p, r, n * sizeof *p);
    }
}

static void compare_training(Ways *w, const void *a, const void *b)
{
    const DlrtModel *jit = session_model(w->session);
    Step *step = (Step *)symbol(w, "step");
    Train *train = (Train *)symbol(w, "train");
    const void *fields[] = { a, b };
    DlrtContext *linked, *walked;
    void *library;
    assert_int_equal(dlrt_init(jit, jit->abi, NULL, 0, 5, &linked), DLRT_OK);
    assert_int_equal(dlrt_init(&w->walked, jit->abi, NULL, 0, 5, &walked), DLRT_OK);
    assert_int_equal(((Init *)symbol(w, "init"))(jit->abi, NULL, 0, 5, &library), DLRT_OK);
    same_tensors(w, linked, walked, library);
    for (int i = 0; i < 20; i++) {
        float loss[3];
        size_t B = 1 + (size_t)(i * 5) % (size_t)jit->batch;
        assert_int_equal(dlrt_train(linked, N, fields, 7, &loss[0]), DLRT_OK);
        assert_int_equal(dlrt_train(walked, N, fields, 7, &loss[1]), DLRT_OK);
        assert_int_equal(train(library, N, a, b, 7, &loss[2]), DLRT_OK);
        assert_memory_equal(&loss[0], &loss[1], sizeof *loss);
        assert_memory_equal(&loss[0], &loss[2], sizeof *loss);
        assert_int_equal(dlrt_step(linked, (int64_t)B, fields, NULL), DLRT_OK);
        assert_int_equal(dlrt_step(walked, (int64_t)B, fields, NULL), DLRT_OK);
        assert_int_equal(step(library, B, a, b, NULL), DLRT_OK);
    }
    same_tensors(w, linked, walked, library);
    ((Free *)symbol(w, "free"))(library);
    dlrt_free(walked);
    dlrt_free(linked);
}

static void test_net(void **state)
{
    Ways w;
    (void)state;
    ways_open(&w, DLCC_SOURCE_DIR "/tests/tools/net.dl", NULL, "net");
    compare_training(&w, x, y_net);
    ways_close(&w);
}

static void test_line(void **state)
{
    Ways w;
    (void)state;
    ways_open(&w, DLCC_SOURCE_DIR "/tests/tools/line.dl", NULL, "line");
    assert_true(w.tiny >= 2); /* a step and more are one function */
    compare_training(&w, x, y_line);
    ways_close(&w);
}

/* What one function says of a loss that is not finite is what the walk says. */
static void test_nan(void **state)
{
    Ways w;
    (void)state;
    ways_open(&w, DLCC_SOURCE_DIR "/tests/tools/line.dl", NULL, "line");
    const DlrtModel *jit = session_model(w.session);
    DlrtContext *a, *b;
    static float bad[N];
    const void *fields[] = { x, bad };
    memcpy(bad, y_line, sizeof bad);
    bad[2] = INFINITY;
    assert_int_equal(dlrt_init(jit, jit->abi, NULL, 0, 5, &a), DLRT_OK);
    assert_int_equal(dlrt_init(&w.walked, jit->abi, NULL, 0, 5, &b), DLRT_OK);
    assert_int_equal(dlrt_step(a, jit->batch, fields, NULL), DLRT_E_NAN);
    assert_int_equal(dlrt_step(b, jit->batch, fields, NULL), DLRT_E_NAN);
    assert_string_equal(dlrt_message(a), dlrt_message(b));
    assert_non_null(strstr(dlrt_message(a), "the loss is infinite"));
    dlrt_free(a);
    dlrt_free(b);
    ways_close(&w);
}

/* An op of the runtime's own, whose arguments are tables too. */
static void test_call(void **state)
{
    static const char text[] = "model Sorted {\n"
                               "  export fn order(x: f32[B, 6]) -> f32[B, 6] { sort(x) }\n"
                               "}\n";
    Ways w;
    void *cx;
    float out[8][6];
    (void)state;
    ways_open(&w, "sorted.dl", text, "sorted");
    typedef int Order(void *cx, size_t B, const void *x, void *out);
    assert_int_equal(
        ((Init *)symbol(&w, "init"))(session_model(w.session)->abi, NULL, 0, 1, &cx), DLRT_OK);
    assert_int_equal(((Order *)symbol(&w, "order"))(cx, 8, x, out), DLRT_OK);
    for (int i = 0; i < 8; i++)
        for (int d = 1; d < 6; d++)
            assert_true(out[i][d - 1] <= out[i][d]);
    ((Free *)symbol(&w, "free"))(cx);
    ways_close(&w);
}

/* A product with a matrix of one number, as the first step of a recurrence begun with zeros has. */
static void test_constant_operand(void **state)
{
    static const char text[] =
        "model Constant {\n"
        "  param w: f32[32, 64] = ones\n"
        "  export fn f(x: f32[8, 64]) -> f32[8, 64] { x + full(2.0, 8, 32) @ w }\n"
        "}\n";
    static float in[8][64], out[8][64];
    Ways w;
    void *cx;
    (void)state;
    for (int i = 0; i < 8 * 64; i++)
        in[i / 64][i % 64] = (float)i;
    ways_open(&w, "constant.dl", text, "constant");
    typedef int F(void *cx, const void *x, void *out);
    assert_int_equal(
        ((Init *)symbol(&w, "init"))(session_model(w.session)->abi, NULL, 0, 1, &cx), DLRT_OK);
    assert_int_equal(((F *)symbol(&w, "f"))(cx, in, out), DLRT_OK);
    for (int i = 0; i < 8 * 64; i++)
        assert_true(out[i / 64][i % 64] == (float)i + 64);
    ((Free *)symbol(&w, "free"))(cx);
    ways_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_net),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_call),
        cmocka_unit_test(test_constant_operand),
    };
    make_data();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
