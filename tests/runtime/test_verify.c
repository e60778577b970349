/* The checks of a model's tables: every way in which one can be wrong is refused with words, by
 * dlrt_verify and so by dlrt_init. And what a step may not do: allocate. */
#include "tests/runtime/toy.h"

#include "runtime/core.h"

#include <sched.h>
#include <stdio.h>

/* ---- Allocations, counted. Sanitizers have allocators of their own. ---- */

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define COUNTS_ALLOCATIONS 1
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
static volatile unsigned allocations;

void *malloc(size_t size)
{
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    return __libc_realloc(p, size);
}
#endif

/* ---- A model whose tables can be changed ---- */

typedef struct {
    DlrtModel m;
    DlrtEntry entries[TOY_ENTRIES];
    DlrtTensor tensors[TOY_TENSORS];
    DlrtField fields[3];
    DlrtUpdate updates[1];
    DlrtMetric metrics[3];
    uint32_t map[3];
    DlrtItem items[8];          /* of the entry under test */
    DlrtOperand operands[24];
    DlrtValue inputs[3], outputs[2];
    DlrtLayout layout;
} Clone;

/* The toy with entry `at` in writable tables. */
static void clone_make(Clone *c, uint32_t at)
{
    c->m = toy_model;
    memcpy(c->entries, toy_entries, sizeof c->entries);
    memcpy(c->tensors, toy_tensors, sizeof c->tensors);
    memcpy(c->fields, toy_fields, sizeof c->fields);
    memcpy(c->updates, toy_updates, sizeof c->updates);
    memcpy(c->metrics, toy_metrics, sizeof c->metrics);
    memcpy(c->map, toy_map, sizeof c->map);
    c->layout = packed_layout;
    c->tensors[2].layout = &c->layout;
    c->updates[0].fields = c->map;
    DlrtEntry *e = &c->entries[at];
    memcpy(c->items, e->items, e->item_count * sizeof *c->items);
    memcpy(c->operands, e->operands, e->operand_count * sizeof *c->operands);
    if (e->input_count)
        memcpy(c->inputs, e->inputs, e->input_count * sizeof *c->inputs);
    if (e->output_count)
        memcpy(c->outputs, e->outputs, e->output_count * sizeof *c->outputs);
    e->items = c->items;
    e->operands = c->operands;
    e->inputs = c->inputs;
    e->outputs = c->outputs;
    c->m.entries = c->entries;
    c->m.tensors = c->tensors;
    c->m.fields = c->fields;
    c->m.updates = c->updates;
    c->m.metrics = c->metrics;
}

#define REFUSED(at, change, words)                                                               \
    do {                                                                                         \
        Clone c;                                                                                 \
        char why[200] = "";                                                                      \
        DlrtContext *cx;                                                                         \
        clone_make(&c, at);                                                                      \
        assert_true(dlrt_verify(&c.m, why, sizeof why));                                         \
        change;                                                                                  \
        if (dlrt_verify(&c.m, why, sizeof why) || !strstr(why, words))                           \
            fail_msg("%s: \"%s\"", #change, why);                                                \
        assert_int_equal(dlrt_init(&c.m, TOY_ABI, NULL, 0, 1, &cx), DLRT_E_ABI);                 \
    } while (0)

static void test_model(void **state)
{
    (void)state;
    REFUSED(E_STEP, c.m.magic++, "version");
    REFUSED(E_STEP, c.m.version++, "version");
    REFUSED(E_STEP, c.m.view_bytes = 512, "wrong size");
    REFUSED(E_STEP, c.m.view_bytes = c.m.context_bytes + 64, "wrong size");
    REFUSED(E_STEP, c.m.view_bytes += 8, "wrong size");
    REFUSED(E_STEP, c.m.arena_offset = 0, "arena");
    REFUSED(E_STEP, c.m.arena_bytes = INT64_MAX, "arena");
    REFUSED(E_STEP, c.m.arena_bytes = -1, "arena");
    REFUSED(E_STEP, c.m.name = NULL, "name");
    REFUSED(E_STEP, c.m.field_count = DLRT_MAX_VALUES + 1, "fields");
    REFUSED(E_STEP, c.m.init_entry = TOY_ENTRIES, "init");
    REFUSED(E_STEP, c.m.init_entry = E_PREDICT, "init");
}

static void test_tensors(void **state)
{
    (void)state;
    REFUSED(E_STEP, c.tensors[0].name = NULL, "name");
    REFUSED(E_STEP, c.tensors[0].dtype = DLRT_DTYPE_COUNT, "dtype");
    REFUSED(E_STEP, c.tensors[0].rank = 9, "rank");
    REFUSED(E_STEP, c.tensors[0].kind = 3, "kind");
    REFUSED(E_STEP, c.tensors[0].dims[0] = 17, "too small");
    REFUSED(E_STEP, c.tensors[0].dims[0] = -1, "too small");
    REFUSED(E_STEP, c.tensors[2].dims[0] = INT64_MAX, "too small");
    REFUSED(E_STEP, c.tensors[0].offset += 4, "outside");
    REFUSED(E_STEP, c.tensors[0].offset = VIEW_BYTES - 64, "outside");
    REFUSED(E_STEP, c.tensors[0].offset = CONTEXT_BYTES, "outside");
    REFUSED(E_STEP, c.tensors[0].bytes = INT64_MAX, "outside");
    REFUSED(E_STEP, c.tensors[5].offset = VIEW_BYTES, "outside"); /* private */
    REFUSED(E_STEP, c.layout.stride[1] = 20, "too small");
    REFUSED(E_STEP, c.layout.stride[1] = INT64_MAX / 2, "too small");
    REFUSED(E_STEP, c.layout.inner[1] = -1, "too small");
}

static void test_entries(void **state)
{
    (void)state;
    REFUSED(E_STEP, c.entries[E_STEP].name = NULL, "complete");
    REFUSED(E_STEP, c.entries[E_STEP].max_batch = 0, "complete");
    REFUSED(E_STEP, c.entries[E_STEP].items = NULL, "complete");
    REFUSED(E_STEP, c.entries[E_STEP].item_count = 0, "complete");
    REFUSED(E_STEP, c.entries[E_STEP].input_count = DLRT_MAX_VALUES + 1, "arguments");
    REFUSED(E_STEP, c.inputs[0].rank = 9, "rank");
    REFUSED(E_STEP, c.inputs[0].dims[1] = INT64_MAX / 8, "size");
    REFUSED(E_STEP, c.inputs[0].dims[1] = -3, "size");
    REFUSED(E_STEP, c.inputs[0].batch[0] = INT64_MAX / 2, "too large");
    REFUSED(E_STEP, c.items[0].kind = 99, "kind");
    REFUSED(E_STEP, c.items[0].code = K_COUNT, "code");
    REFUSED(E_STEP, c.items[0].kind = DLRT_CALL, "code");
    REFUSED(E_STEP, c.items[0].operand_first = 1000, "operands");
    REFUSED(E_STEP, c.items[4].operand_count = 5, "operands");
    REFUSED(E_STEP, c.items[0].operand_count = DLRT_MAX_OPERANDS + 1, "operands");
    REFUSED(E_STEP, c.items[0].tiles = -1, "tiles");
    REFUSED(E_STEP, c.items[0].batch_tile = 0, "tiles");
    REFUSED(E_STEP, c.operands[9].dtype = DLRT_I32, "loss");
    REFUSED(E_STEP, c.operands[0].index = 3, "input");
    REFUSED(E_STEP, c.operands[21].index = 1, "output");
    REFUSED(E_STEP, c.operands[0].base = 77, "base");
    REFUSED(E_STEP, c.operands[0].base = DLRT_BASE_CONST, "constants");
    REFUSED(E_STEP, c.operands[0].base = DLRT_BASE_TRIP, "loop");
    REFUSED(E_STEP, c.operands[3].offset = 0, "shared");
    REFUSED(E_STEP, c.operands[5].offset = -1, "context");
    REFUSED(E_STEP, c.operands[5].offset = CONTEXT_BYTES, "context");
    REFUSED(E_STEP, c.operands[5].phase = 3, "phase");
}

static void test_nesting(void **state)
{
    (void)state;
    REFUSED(E_SCAN, c.items[0].match = 0, "not ended");
    REFUSED(E_SCAN, c.items[0].match = 9, "not ended");
    REFUSED(E_SCAN, c.items[0].match = 1, "not begun");
    REFUSED(E_SCAN, c.items[2].match = 1, "not begun");
    REFUSED(E_SCAN, c.items[2].kind = DLRT_KERNEL, "not ended");
    REFUSED(E_SCAN, c.operands[4].index = 1, "loop");
    REFUSED(E_COUNT, c.items[3].match = 4, "not begun");
    REFUSED(E_COUNT, c.items[1].operand_count = 0, "condition");
    REFUSED(E_COUNT, c.items[1].match = 6, "not begun"); /* crossing */

    /* Four loops around one kernel are one too many; three are not. */
    Clone c;
    char why[200];
    for (uint32_t depth = 3; depth <= 4; depth++) {
        DlrtItem items[9];
        clone_make(&c, E_SCAN);
        for (uint32_t i = 0; i < depth; i++) {
            items[i] = (DlrtItem){ .kind = DLRT_LOOP, .tiles = 2, .match = 2 * depth - i };
            items[2 * depth - i] = (DlrtItem){ .kind = DLRT_END, .match = i };
        }
        items[depth] = c.items[1];
        c.entries[E_SCAN].items = items;
        c.entries[E_SCAN].item_count = 2 * depth + 1;
        assert_int_equal(dlrt_verify(&c.m, why, sizeof why), depth == 3);
    }
    assert_non_null(strstr(why, "deeper"));
}

static void test_recipe(void **state)
{
    (void)state;
    REFUSED(E_STEP, c.fields[0].gather = 8, "room");
    REFUSED(E_STEP, c.fields[0].gather = VIEW_BYTES - 8, "room");
    REFUSED(E_STEP, c.updates[0].entry = TOY_ENTRIES, "entry");
    REFUSED(E_STEP, c.updates[0].times = 0, "entry");
    REFUSED(E_STEP, c.updates[0].fields = NULL, "fields");
    REFUSED(E_STEP, c.map[1] = 3, "no field");
    REFUSED(E_STEP, c.map[1] = 0, "differs");
    REFUSED(E_STEP, c.m.batch = TOY_B + 1, "batch");
    REFUSED(E_STEP, c.m.batch = 0, "batch");
    REFUSED(E_STEP, c.outputs[0].dtype = DLRT_I32, "scalar");
    REFUSED(E_STEP, c.outputs[0].rank = 1, "scalar");
    REFUSED(E_STEP, c.entries[E_STEP].output_count = 0, "output");
    REFUSED(E_EVAL, c.metrics[0].entry = TOY_ENTRIES, "entry");
    REFUSED(E_EVAL, c.metrics[0].entry = E_STEP, "writes");
    REFUSED(E_EVAL, c.metrics[0].fields = NULL, "fields");
    REFUSED(E_EVAL, c.metrics[1].first = 1, "place");
    REFUSED(E_EVAL, c.metrics[1].finish = TOY_ENTRIES, "finish");
    REFUSED(E_EVAL, c.metrics[1].finish = E_COUNT, "means");
    REFUSED(E_EVAL, c.m.sum_count = 1, "place");
    REFUSED(E_EVAL, c.m.sum_count = 3, "no metric");
    REFUSED(E_ROOT, c.operands[1].count = 800, "room");
    REFUSED(E_ROOT, c.operands[1].count = INT64_MAX, "room");
    REFUSED(E_ROOT, (c.operands[1].base = DLRT_BASE_SHARED, c.operands[1].offset = AT_W),
            "tensors");
    REFUSED(E_EVAL, c.outputs[1].dtype = DLRT_F16, "scalar");
}

/* ---- What a step may not do ---- */

static void test_no_allocation(void **state)
{
    (void)state;
#ifdef COUNTS_ALLOCATIONS
    ToyData data;
    const void *f[3] = { data.x, data.y, data.t };
    float out[TOY_B];
    double sums[3] = { 0 };
    toy_data(&data);
    for (int threads = 1; threads <= 3; threads++) {
        DlrtContext *cx = toy_new(&toy_model, 1);
        dlrt_set_threads(cx, threads, NULL, NULL);
        assert_int_equal(dlrt_train(cx, TOY_N, f, 3, NULL), DLRT_OK); /* OpenMP's own, once */
        unsigned before = allocations;
        for (int i = 0; i < 20; i++) {
            assert_int_equal(dlrt_train(cx, TOY_N, f, 10, NULL), DLRT_OK);
            assert_int_equal(dlrt_step(cx, TOY_B, f, NULL), DLRT_OK);
            assert_int_equal(dlrt_eval(cx, TOY_B, f, sums), DLRT_OK);
            assert_int_equal(dlrt_call_entry(cx, E_PREDICT, 7, f, (void *[]){ out }), DLRT_OK);
            assert_int_equal(dlrt_step(cx, 0, f, NULL), DLRT_E_SIZE);
        }
        assert_int_equal(allocations, before);
        assert_true(before > 0);
        dlrt_free(cx);
    }
#else
    skip();
#endif
}

static void test_affinity(void **state)
{
    (void)state;
    cpu_set_t all, one;
    int cpu = 0;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    while (!CPU_ISSET(cpu, &all))
        cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    int threads = dlrt_default_threads();
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(threads, 1);
    assert_true(dlrt_default_threads() <= CPU_COUNT(&all));
}

static void put_file(const char *root, const char *path, const char *text)
{
    char name[256], command[300];
    snprintf(name, sizeof name, "%s/%s", root, path);
    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s')\"", name);
    assert_int_equal(system(command), 0);
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_quota(void **state)
{
    (void)state;
    char root[] = "/tmp/dlrt-cgroup-XXXXXX", command[64];
    assert_non_null(mkdtemp(root));
    assert_int_equal(dlrt_quota_threads(root), 0);
    put_file(root, "proc/self/cgroup", "0::/a/b\n");
    assert_int_equal(dlrt_quota_threads(root), 0);
    put_file(root, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(dlrt_quota_threads(root), 0);
    put_file(root, "sys/fs/cgroup/a/cpu.max", "350000 100000\n");
    assert_int_equal(dlrt_quota_threads(root), 4);
    put_file(root, "sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
    assert_int_equal(dlrt_quota_threads(root), 2);
    put_file(root, "sys/fs/cgroup/cpu.max", "10000 100000\n");
    assert_int_equal(dlrt_quota_threads(root), 1);
    put_file(root, "proc/self/cgroup", "4:cpuset:/x\n3:cpuacct,cpu:/docker/17\n0::/\n");
    put_file(root, "sys/fs/cgroup/cpu.max", "max\n");
    put_file(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "500000\n");
    put_file(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "250000\n");
    assert_int_equal(dlrt_quota_threads(root), 2);
    put_file(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(dlrt_quota_threads(root), 0);
    put_file(root, "proc/self/cgroup", "nonsense\n::\n:::::\n");
    assert_int_equal(dlrt_quota_threads(root), 0);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),         cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_entries),       cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_recipe),        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_affinity),      cmocka_unit_test(test_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
