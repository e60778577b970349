/* model.c: every kernel of a model's entries on one thread: where a step's time goes.
 *
 * bench_model FILE.dl [TARGET [NAME=VALUE...]]: compiles the model, runs each kernel alone on
 * random data at the largest batch, and prints them by their share of all items' time:
 * microseconds, GFLOP/s and GB/s, milliseconds to compile. */
#include "backend/jit.h"
#include "backend/object.h"
#include "frontend/frontend.h"
#include "ir/plan.h"
#include "passes/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { COMPILE_RUNS = 5 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    const Kernel *kernel;
    const char *where;
    double seconds, compile, total; /* total: over all its items */
    int64_t units;
    uint32_t items;
    size_t size;
    bool spilled;
} Row;

/* Small values: floats in [-1, 1], integers 0 or 1. */
static void *random_buffer(const PlanBuffer *b, uint32_t seed)
{
    size_t n = (size_t)b->bytes / dtype_size(b->dtype);
    uint8_t *p = aligned_alloc(64, ((size_t)b->bytes + 4096) / 64 * 64);
    if (!p)
        abort();
    memset(p, 0, ((size_t)b->bytes + 4096) / 64 * 64);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        double v = (double)(seed >> 8) / 8388608.0 - 1;
        if (b->dtype == DT_F32)
            ((float *)(void *)p)[i] = (float)v;
        else if (b->dtype == DT_F64)
            ((double *)(void *)p)[i] = v;
        else if (dtype_is_integer(b->dtype))
            p[i * dtype_size(b->dtype)] = (uint8_t)(seed >> 31);
    }
    return p;
}

static int64_t batch_of(const Kernel *k)
{
    for (uint32_t i = 0; i < k->axes.n; i++)
        if (k->axes.at[i].extent.k)
            return k->axes.at[i].extent.n / k->axes.at[i].extent.k;
    return 1;
}

static void measure(Row *row, const Plan *plan, const PlanItem *item, const Target *t,
                    ObjectMachine *machine)
{
    KernelObject object;
    row->compile = 1e9;
    for (int i = 0; i < COMPILE_RUNS; i++) {
        double start = now();
        if (i)
            kernel_object_free(&object);
        if (!kernel_emit_on(machine, row->kernel, t, "k", &object)) {
            printf("%s: %s\n", row->where, object.error);
            return;
        }
        double took = now() - start;
        row->compile = took < row->compile ? took : row->compile;
    }
    row->size = object.size;
    row->spilled = object.spilled;
    JitObject linked = { object.bytes, object.size };
    const char *symbol = "k";
    void *address, *bufs[256] = { NULL };
    char error[200];
    Jit *jit = jit_link(&linked, 1, &symbol, 1, &address, error);
    if (!jit) {
        printf("%s: %s\n", row->where, error);
        return;
    }
    void (*fn)(void *const *, int64_t, int64_t, int64_t);
    memcpy(&fn, &address, sizeof fn);
    for (uint32_t i = 0; i < item->buffers.n && i < 256; i++)
        bufs[i] = random_buffer(&plan->buffers.at[item->buffers.at[i]], i + 1);
    int64_t batch = batch_of(row->kernel), scale = object.grid.batch_scale;
    row->units = object.grid.tiles *
                 (scale ? (scale * batch + object.grid.batch_tile - 1) / object.grid.batch_tile
                        : 1);
    if (item->units)
        row->units = item->units;
    row->seconds = 1e9;
    for (int i = 0; i < 8; i++) {
        int reps = row->seconds < 1e8 ? (int)(0.005 / row->seconds) + 1 : 1;
        double start = now();
        for (int r = 0; r < reps; r++)
            fn(bufs, batch, 0, row->units);
        double each = (now() - start) / reps;
        row->seconds = each < row->seconds ? each : row->seconds;
    }
    for (uint32_t i = 0; i < item->buffers.n && i < 256; i++)
        free(bufs[i]);
    jit_free(jit);
    kernel_object_free(&object);
}

static int by_total(const void *a, const void *b)
{
    double x = ((const Row *)a)->total, y = ((const Row *)b)->total;
    return x > y ? -1 : x < y;
}

/* "64x10x10 over 6x5x5": the axes outside reductions, and those of the first stage's reduction */
static void print_axes(const Kernel *k)
{
    const KernelStage *s = &k->stages.at[0];
    bool reduced[KERNEL_MAX_AXES] = { false };
    for (uint32_t i = 0; i < s->n_reduced; i++)
        reduced[s->reduced_axes[i]] = true;
    const char *between = "  ";
    for (int side = 0; side < 2; side++, between = " over ")
        for (uint32_t i = 0; i < k->axes.n; i++)
            if (reduced[i] == (side == 1)) {
                printf("%s%lld", between, (long long)k->axes.at[i].extent.n);
                between = "x";
            }
    puts("");
}

static void measure_all(Compiler *cx, const Program *p, const Target *t)
{
    Row *rows = calloc(p->kernels.n, sizeof *rows);
    ObjectMachine *machine = object_machine_new(t);
    for (uint32_t i = 0; i < p->plans.n; i++) {
        const Plan *plan = &p->plans.at[i];
        for (uint32_t j = 0; j < plan->items.n; j++) {
            const PlanItem *item = &plan->items.at[j];
            if (item->kind != PLAN_KERNEL)
                continue;
            Row *row = &rows[item->kernel];
            row->kernel = p->kernels.at[item->kernel];
            row->where = loc_text(cx, row->kernel->loc);
            if (!row->items++)
                measure(row, plan, item, t, machine);
        }
    }
    double all = 0, compile = 0;
    for (uint32_t i = 0; i < p->kernels.n; i++) {
        rows[i].total = rows[i].seconds * rows[i].items;
        all += rows[i].total;
        compile += rows[i].compile;
    }
    qsort(rows, p->kernels.n, sizeof *rows, by_total);
    for (uint32_t i = 0; i < p->kernels.n; i++) {
        const Row *r = &rows[i];
        if (!r->kernel)
            continue;
        printf("%5.1f %% %9.1f us x %-3u %7.1f GFLOP/s %6.1f GB/s ", 100 * r->total / all,
               1e6 * r->seconds, r->items, r->kernel->flops / r->seconds * 1e-9,
               r->kernel->bytes / r->seconds * 1e-9);
        printf("%5lld units %6.1f ms %6zu B%s  %s %s", (long long)r->units, 1e3 * r->compile,
               r->size, r->spilled ? " SPILLED" : "", r->kernel->name, r->where);
        print_axes(r->kernel);
    }
    printf("%u kernels, %.1f us in all, %.1f ms to compile\n", p->kernels.n, 1e6 * all,
           1e3 * compile);
    free(rows);
    object_machine_free(machine);
}

int main(int argc, char **argv)
{
    Target t;
    if (argc < 2 || !target_parse(argc > 2 ? argv[2] : "native", &t) || !target_runs_here(&t)) {
        fprintf(
            stderr,
            "bench_model FILE.dl [TARGET]: native, x86-64-v4, x86-64-v3, x86-64-v2 or x86-64\n");
        return 2;
    }
    Compiler *cx = compiler_new();
    FrontendSetting *defines = calloc((size_t)argc, sizeof *defines);
    FrontendOptions options = { .defines = defines };
    for (int i = 3; defines && i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals)
            continue;
        *equals = '\0';
        defines[options.n_defines++] = (FrontendSetting){ argv[i], equals + 1 };
    }
    Unit *u = frontend_load(cx, argv[1], &options);
    PipelineOptions passes = { 0 };
    if (u && pipeline_run(u, &passes, NULL) && u->program)
        measure_all(cx, u->program, &t);
    for (uint32_t i = 0; i < cx->diags.n; i++)
        fprintf(stderr, "%s\n", cx->diags.at[i].message);
    int code = u && u->program ? 0 : 1;
    compiler_free(cx);
    free(defines);
    return code;
}
