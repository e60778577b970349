/* The arena's planned size against what is touched: LeNet's entries run over an arena filled with a
 * pattern. The highest byte that changed lies in the last 256 of the planned size (buffers begin at
 * such multiples), and nothing beyond it changes, nor the batch behind the arena, nor the memory
 * behind the context. Two patterns: a byte that happens to be written as one of them differs from
 * the other. */
#include "backend/session.h"
#include "frontend/frontend.h"
#include "passes/pipeline.h"
#include "runtime/call.h"
#include "runtime/dlrt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { STEP = 256, BEHIND = 1 << 16 };

static DlrtCall *no_call(const char *symbol)
{
    (void)symbol;
    return NULL;
}

static size_t value_bytes(const DlrtValue *v)
{
    size_t n = dlrt_dtype_size(v->dtype);
    for (int d = 0; d < v->rank; d++)
        n *= (size_t)v->dims[d];
    return n;
}

/* Floats in [-1, 1], integers within their bound. */
static void *random_value(const DlrtValue *v)
{
    size_t bytes = value_bytes(v), size = dlrt_dtype_size(v->dtype);
    char *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    uint32_t r = 1;
    assert_non_null(p);
    memset(p, 0, bytes);
    for (size_t i = 0; i < bytes / size; i++) {
        r = r * 1664525u + 1013904223u;
        if (v->dtype == DLRT_F32)
            ((float *)(void *)p)[i] = (float)(int32_t)r / 2147483648.0f;
        else
            p[i * size] = (char)(r >> 24) & 7;
    }
    return p;
}

static int64_t highest_changed(const unsigned char *p, int64_t n, int pattern)
{
    while (n > 0 && p[n - 1] == pattern)
        n--;
    return n;
}

typedef struct {
    const DlrtModel *model;
    unsigned char *memory;
    DlrtContext *cx;
} Run;

/* Bytes of the arena up to the highest that the entry writes. */
static int64_t touched(Run *r, const DlrtEntry *entry, int pattern)
{
    const DlrtModel *m = r->model;
    unsigned char *arena = r->memory + m->arena_offset, *end = r->memory + m->context_bytes;
    size_t to_tensors = (size_t)(m->view_bytes - m->arena_offset);
    const void *in[DLRT_MAX_VALUES];
    void *out[DLRT_MAX_VALUES];
    memset(arena, pattern, to_tensors);
    memset(end, pattern, BEHIND);
    for (uint32_t i = 0; i < entry->input_count; i++)
        in[i] = random_value(&entry->inputs[i]);
    for (uint32_t i = 0; i < entry->output_count; i++)
        out[i] = random_value(&entry->outputs[i]);
    assert_int_equal(dlrt_run(r->cx, entry, entry->max_batch, in, out), DLRT_OK);
    for (uint32_t i = 0; i < entry->input_count; i++)
        free((void *)(uintptr_t)in[i]);
    for (uint32_t i = 0; i < entry->output_count; i++)
        free(out[i]);
    assert_int_equal(highest_changed(end, BEHIND, pattern), 0);
    return highest_changed(arena, (int64_t)to_tensors, pattern);
}

static void measures_what_is_planned(void **state)
{
    (void)state;
    Compiler *cx = compiler_new();
    FrontendOptions options = { 0 };
    PipelineOptions passes = { .verify = true };
    Target t;
    assert_true(target_parse("native", &t));
    Unit *u = frontend_load(cx, DLCC_SOURCE_DIR "/bench/models/lenet_train.dl", &options);
    assert_non_null(u);
    assert_true(pipeline_run(u, &passes, NULL));
    Session *s = session_new(u, &t, no_call);
    assert_non_null(s);
    Run r = { .model = session_model(s) };
    const DlrtModel *m = r.model;
    r.memory = aligned_alloc(64, (size_t)m->context_bytes + BEHIND);
    assert_non_null(r.memory);
    assert_int_equal(
        dlrt_init(m, m->abi, r.memory, (size_t)m->context_bytes, 1, &r.cx), DLRT_OK);
    int64_t most = 0;
    bool stepped = false;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const Plan *plan = &u->program->plans.at[i];
        int64_t planned = plan->arena_bytes;
        stepped |= plan->entry->kind == ENTRY_STEP;
        for (int threads = 1; threads <= 2; threads++) {
            dlrt_set_threads(r.cx, threads, NULL, NULL);
            int64_t a = touched(&r, &m->entries[i], 0xA5), b = touched(&r, &m->entries[i], 0x5A),
                    high = a > b ? a : b;
            assert_int_equal((high + STEP - 1) / STEP * STEP, planned);
        }
        most = planned > most ? planned : most;
    }
    assert_true(stepped && most > 1000000);
    assert_int_equal(m->arena_bytes, most);
    dlrt_free(r.cx);
    free(r.memory);
    session_free(s);
    compiler_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(measures_what_is_planned) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
