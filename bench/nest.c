/* nest.c: loop nests on one thread: time per element, bytes per second where memory is the bound,
 * and time to compile.
 *
 *   bench_nest [-m MARCH] [case ...]
 *
 * Each figure is the fastest of several rounds. */
#include "tests/backend/nest_case.h"

#include <string.h>
#include <time.h>

typedef struct {
    Arena *a;
    Kernel *k;
    int64_t elements[16]; /* by operand */
    int64_t points;       /* what "an element" counts */
} Case;

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint32_t operand(Case *c, Dtype t, int64_t n, bool written)
{
    uint32_t b = nest_operand(c->a, c->k, t, written);
    c->elements[b] = n;
    return b;
}

static InstId constant(Case *c, KernelStage *s, double v)
{
    return nest_inst(c->a, s, (KernelInst){ .kind = INST_CONST, .dtype = DT_F32, .f = v });
}

static InstId binary(Case *c, KernelStage *s, ScalarOp op, InstId x, InstId y)
{
    return nest_scalar(c->a, s, op, DT_F32, x, y, INST_NONE);
}

/* ---- Element-wise ---- */

static void flat(Case *c, int64_t n)
{
    Dim d = dim_of(n);
    c->k = nest_kernel(c->a, &d, 1, 1, n < 1024 ? n : 1024, 0);
    c->points = n;
}

static void unary(Case *c, int64_t n, ScalarOp op)
{
    flat(c, n);
    KernelStage s = { 0 };
    InstId x = nest_load(c->a, c->k, &s, operand(c, DT_F32, n, false), affine_axis(0)),
           y = binary(c, &s, op, x, INST_NONE);
    s.body_insts = s.insts.n;
    nest_store(c->a, &s, operand(c, DT_F32, n, true), affine_axis(0), y, STORE_SET, false);
    vec_push(c->a, &c->k->stages, s);
}

static void case_add(Case *c, int64_t n)
{
    flat(c, n);
    KernelStage s = { 0 };
    InstId x = nest_load(c->a, c->k, &s, operand(c, DT_F32, n, false), affine_axis(0));
    InstId y = nest_load(c->a, c->k, &s, operand(c, DT_F32, n, false), affine_axis(0)),
           z = binary(c, &s, SC_ADD, x, y);
    s.body_insts = s.insts.n;
    nest_store(c->a, &s, operand(c, DT_F32, n, true), affine_axis(0), z, STORE_SET, false);
    vec_push(c->a, &c->k->stages, s);
}

static void case_exp(Case *c, int64_t n) { unary(c, n, SC_EXP); }
static void case_log(Case *c, int64_t n) { unary(c, n, SC_LOG); }
static void case_tanh(Case *c, int64_t n) { unary(c, n, SC_TANH); }
static void case_sigmoid(Case *c, int64_t n) { unary(c, n, SC_SIGMOID); }
static void case_erf(Case *c, int64_t n) { unary(c, n, SC_ERF); }
static void case_erfc(Case *c, int64_t n) { unary(c, n, SC_ERFC); }
static void case_normal_cdf(Case *c, int64_t n) { unary(c, n, SC_NORMAL_CDF); }
static void case_normal_cdf_tanh(Case *c, int64_t n) { unary(c, n, SC_NORMAL_CDF_TANH); }
static void case_sin(Case *c, int64_t n) { unary(c, n, SC_SIN); }
static void case_log1p(Case *c, int64_t n) { unary(c, n, SC_LOG1P); }

static void case_u8(Case *c, int64_t n)
{
    flat(c, n);
    KernelStage s = { 0 };
    InstId x = nest_load(c->a, c->k, &s, operand(c, DT_U8, n, false), affine_axis(0));
    x = binary(c, &s, SC_MUL, binary(c, &s, SC_CAST, x, INST_NONE), constant(c, &s, 1.0 / 255));
    s.body_insts = s.insts.n;
    nest_store(c->a, &s, operand(c, DT_F32, n, true), affine_axis(0), x, STORE_SET, false);
    vec_push(c->a, &c->k->stages, s);
}

/* x * (word < p) / (1 - p) */
static void case_dropout(Case *c, int64_t n)
{
    flat(c, n);
    KernelStage s = { 0 };
    InstId i = nest_index(c->a, &s, affine_axis(0));
    InstId step = nest_load(c->a, c->k, &s, operand(c, DT_I64, 1, false), affine_const(0));
    InstId key = nest_load(c->a, c->k, &s, operand(c, DT_I64, 1, false), affine_const(0));
    InstId w = nest_inst(
        c->a, &s,
        (KernelInst){
            .kind = INST_RANDOM, .dtype = DT_U32, .a = i, .b = step, .c = key, .site = 7 });
    InstId limit =
        nest_inst(c->a, &s, (KernelInst){ .kind = INST_CONST, .dtype = DT_U32, .i = 1 << 30 });
    InstId keep = nest_scalar(c->a, &s, SC_GE, DT_BOOL, w, limit, INST_NONE);
    InstId x = nest_load(c->a, c->k, &s, operand(c, DT_F32, n, false), affine_axis(0));
    x = binary(c, &s, SC_MUL, x, constant(c, &s, 4.0 / 3));
    x = nest_scalar(c->a, &s, SC_SELECT, DT_F32, keep, x, constant(c, &s, 0));
    s.body_insts = s.insts.n;
    nest_store(c->a, &s, operand(c, DT_F32, n, true), affine_axis(0), x, STORE_SET, false);
    vec_push(c->a, &c->k->stages, s);
}

/* m, v and p updated in place from g; the learning rate is a scalar in memory. */
static void case_adam(Case *c, int64_t n)
{
    flat(c, n);
    KernelStage s = { 0 };
    uint32_t pb = operand(c, DT_F32, n, true), mb = operand(c, DT_F32, n, true),
             vb = operand(c, DT_F32, n, true);
    InstId g = nest_load(c->a, c->k, &s, operand(c, DT_F32, n, false), affine_axis(0));
    InstId lr = nest_load(c->a, c->k, &s, operand(c, DT_F32, 1, false), affine_const(0));
    InstId p = nest_load(c->a, c->k, &s, pb, affine_axis(0)),
           m = nest_load(c->a, c->k, &s, mb, affine_axis(0));
    InstId v = nest_load(c->a, c->k, &s, vb, affine_axis(0));
    m = binary(c, &s, SC_ADD, binary(c, &s, SC_MUL, m, constant(c, &s, 0.9)),
               binary(c, &s, SC_MUL, g, constant(c, &s, 0.1)));
    InstId g2 = binary(c, &s, SC_MUL, g, g);
    v = binary(c, &s, SC_ADD, binary(c, &s, SC_MUL, v, constant(c, &s, 0.999)),
               binary(c, &s, SC_MUL, g2, constant(c, &s, 0.001)));
    InstId d = binary(c, &s, SC_ADD, binary(c, &s, SC_SQRT, v, INST_NONE), constant(c, &s, 1e-8));
    p = binary(c, &s, SC_SUB, p, binary(c, &s, SC_DIV, binary(c, &s, SC_MUL, lr, m), d));
    s.body_insts = s.insts.n;
    nest_store(c->a, &s, pb, affine_axis(0), p, STORE_SET, false);
    nest_store(c->a, &s, mb, affine_axis(0), m, STORE_SET, false);
    nest_store(c->a, &s, vb, affine_axis(0), v, STORE_SET, false);
    vec_push(c->a, &c->k->stages, s);
}

/* ---- Rows ---- */

typedef struct {
    Affine row, element;
} Row;

/* grid: rows; axis 1, 2, 3: the columns of three stages */
static void rows(Case *c, int64_t n, int64_t columns, Row *out)
{
    Dim d[] = { dim_of(n / columns), dim_of(columns), dim_of(columns), dim_of(columns) };
    c->k = nest_kernel(c->a, d, 4, 1, 1, VECTOR_INNER);
    c->points = n;
    for (int i = 0; i < 3; i++) {
        out[i].row = affine_axis(0);
        out[i].element = affine_axis((uint32_t)i + 1);
        out[i].element.coef[0] = columns;
    }
}

static InstId unit(Case *c, KernelStage *s, uint32_t stage, InstId v)
{
    return nest_inst(
        c->a, s, (KernelInst){ .kind = INST_UNIT_VALUE, .dtype = DT_F32, .access = stage, .a = v });
}

static InstId reduce(Case *c, KernelStage *s, uint32_t axis, Combine combine, InstId v)
{
    s->reduced_axes[s->n_reduced++] = axis;
    s->body_insts = s->insts.n;
    vec_push(c->a, &s->accums, (KernelAccum){ combine, v, INST_NONE, DT_F32 });
    return nest_inst(c->a, s, (KernelInst){ .kind = INST_ACC, .dtype = DT_F32 });
}

static void softmax(Case *c, int64_t n, int64_t columns)
{
    Row at[3];
    rows(c, n, columns, at);
    uint32_t x = operand(c, DT_F32, n, false), y = operand(c, DT_F32, n, true);
    KernelStage s[3] = { { 0 } };
    InstId max = reduce(c, &s[0], 1, COMBINE_MAX, nest_load(c->a, c->k, &s[0], x, at[0].element));
    InstId v = nest_load(c->a, c->k, &s[1], x, at[1].element);
    v = binary(c, &s[1], SC_EXP, binary(c, &s[1], SC_SUB, v, unit(c, &s[1], 0, max)), INST_NONE);
    nest_store(c->a, &s[1], y, at[1].element, v, STORE_SET, true);
    InstId sum = reduce(c, &s[1], 2, COMBINE_SUM, v);
    sum = binary(c, &s[1], SC_DIV, constant(c, &s[1], 1), sum);
    s[2].free_axes[s[2].n_free++] = 3;
    v = binary(c, &s[2], SC_MUL, nest_load(c->a, c->k, &s[2], y, at[2].element),
               unit(c, &s[2], 1, sum));
    s[2].body_insts = s[2].insts.n;
    nest_store(c->a, &s[2], y, at[2].element, v, STORE_SET, false);
    for (int i = 0; i < 3; i++)
        vec_push(c->a, &c->k->stages, s[i]);
}

static void case_softmax10(Case *c, int64_t n) { softmax(c, n, 10); }
static void case_softmax1000(Case *c, int64_t n) { softmax(c, n, 1000); }
static void case_softmax50257(Case *c, int64_t n) { softmax(c, n, 50257); }

/* Sums of columns: the grid is the columns, the rows are reduced. */
static void case_columns(Case *c, int64_t n)
{
    int64_t columns = 768;
    Dim d[] = { dim_of(columns), dim_of(n / columns) };
    c->k = nest_kernel(c->a, d, 2, 1, 64, 0);
    c->points = n;
    Affine at = affine_axis(0);
    at.coef[1] = columns;
    KernelStage s = { 0 };
    InstId sum =
        reduce(c, &s, 1, COMBINE_SUM, nest_load(c->a, c->k, &s, operand(c, DT_F32, n, false), at));
    nest_store(c->a, &s, operand(c, DT_F32, columns, true), affine_axis(0), sum, STORE_SET, false);
    vec_push(c->a, &c->k->stages, s);
}

/* 2x2 maximum of NHWC images of 32 channels. */
static void case_pool(Case *c, int64_t n)
{
    int64_t channels = 32, w = 28, images = n / channels / w / w;
    Dim d[] = { dim_of(images * 14), dim_of(14), dim_of(channels), dim_of(2), dim_of(2) };
    c->k = nest_kernel(c->a, d, 5, 1, 1, VECTOR_INNER);
    c->points = n;
    Affine at = { .coef = { 2 * w * channels, 2 * channels, 1, w * channels, channels } },
           to = { .coef = { 14 * channels, channels, 1 } };
    KernelStage s = { .free_axes = { 1, 2 }, .n_free = 2, .reduced_axes = { 3 }, .n_reduced = 1 };
    InstId max =
        reduce(c, &s, 4, COMBINE_MAX, nest_load(c->a, c->k, &s, operand(c, DT_F32, n, false), at));
    nest_store(c->a, &s, operand(c, DT_F32, n / 4, true), to, max, STORE_SET, false);
    vec_push(c->a, &c->k->stages, s);
}

/* ---- All ---- */

typedef struct {
    const char *name;
    void (*make)(Case *c, int64_t n);
    int64_t n;
} Row2;

static const Row2 cases[] = {
    { "add 4Ki", case_add, 4096 },
    { "add 16Mi", case_add, 16 << 20 },
    { "u8 1Mi", case_u8, 1 << 20 },
    { "exp 4Ki", case_exp, 4096 },
    { "log 4Ki", case_log, 4096 },
    { "tanh 4Ki", case_tanh, 4096 },
    { "sigmoid 4Ki", case_sigmoid, 4096 },
    { "erf 4Ki", case_erf, 4096 },
    { "erfc 4Ki", case_erfc, 4096 },
    { "normal_cdf 4Ki", case_normal_cdf, 4096 },
    { "normal_cdf_tanh 4Ki", case_normal_cdf_tanh, 4096 },
    { "sin 4Ki", case_sin, 4096 },
    { "log1p 4Ki", case_log1p, 4096 },
    { "dropout 64Ki", case_dropout, 65536 },
    { "adam 4Mi", case_adam, 4 << 20 },
    { "softmax 10", case_softmax10, 10240 },
    { "softmax 1000", case_softmax1000, 1000000 },
    { "softmax 50257", case_softmax50257, 256 * 50257 },
    { "columns", case_columns, 768 * 1024 },
    { "pool 2x2", case_pool, 32 * 784 * 16 },
};

static void measure(const Row2 *row, const Target *t)
{
    Case c = { .a = arena_new() };
    NestCode code;
    row->make(&c, row->n);
    double compile = 1e9, best = 1e9, bytes = 0;
    for (int i = 0; i < 5; i++) {
        double start = now(CLOCK_PROCESS_CPUTIME_ID);
        if (!nest_compile(c.k, t, &code)) {
            printf("%-14s %s\n", row->name, code.error);
            return;
        }
        double took = now(CLOCK_PROCESS_CPUTIME_ID) - start;
        compile = took < compile ? took : compile;
        if (i < 4)
            nest_code_free(&code);
    }
    void *bufs[16];
    for (uint32_t i = 0; i < c.k->operands; i++) {
        size_t size = (size_t)c.elements[i] * dtype_size(c.k->buffers.at[i].dtype);
        bufs[i] = aligned_alloc(64, (size + 127) / 64 * 64);
        bytes += (double)size;
        memset(bufs[i], 0, size);
        for (int64_t j = 0; j < c.elements[i] && c.k->buffers.at[i].dtype == DT_F32; j++)
            ((float *)bufs[i])[j] = (float)(j * 2654435761 % 1000) * 0.004f - 2;
    }
    int64_t units = nest_units(&code.object.grid, 1), repeat = 1 + 2000000 / c.points;
    for (int round = 0; round < 20; round++) {
        double start = now(CLOCK_MONOTONIC);
        for (int64_t i = 0; i < repeat; i++)
            code.run(bufs, 1, 0, units);
        double took = (now(CLOCK_MONOTONIC) - start) / (double)repeat;
        best = took < best ? took : best;
    }
    printf("%-14s %8.3f ns an element %8.2f GB/s   compiled in %6.2f ms   %zu bytes  grain %u of "
           "%lld\n",
           row->name, best * 1e9 / (double)c.points, bytes / best * 1e-9, compile * 1e3,
           code.object.size, code.object.grid.grain, (long long)units);
    for (uint32_t i = 0; i < c.k->operands; i++)
        free(bufs[i]);
    nest_code_free(&code);
    arena_free(c.a);
}

int main(int argc, char **argv)
{
    Target t;
    int first = argc > 2 && !strcmp(argv[1], "-m") ? 3 : 1;
    if (!target_parse(first == 3 ? argv[2] : "native", &t) || !target_runs_here(&t)) {
        fprintf(stderr, "usage: bench_nest [-m MARCH] [case ...]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool wanted = first >= argc;
        for (int j = first; j < argc; j++)
            wanted |= strstr(cases[i].name, argv[j]) != NULL;
        if (wanted)
            measure(&cases[i], &t);
    }
    return 0;
}
