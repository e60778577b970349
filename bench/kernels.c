/* kernels.c: generated contraction kernels on one thread against the machine's multiply-add peak.
 *
 * bench_kernels [TARGET] [NAME]: compiles each shape for the target (native), runs it on random
 * data and prints microseconds, GFLOP/s, percent of peak, units, and milliseconds to compile. With
 * NAME, only shapes whose name contains it, and --asm in front of it prints their assembly. */
#include "tests/backend/contract_case.h"

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Seconds of this thread on a core: others on the machine count for less. */
static double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { CHAINS = 12, ROUNDS = 2000000 };

/* The barrier keeps the compiler from folding the chains away. */
#define CHAIN_LOOP(TYPE, SET, FMA, LANES)                                                          \
    TYPE x = SET(0.999f), y = SET(0.001f);                                                         \
    TYPE a = y, b = y, c = y, d = y, e = y, f = y, g = y, h = y, i = y, j = y, k = y, l = y;       \
    double t = bench_now();                                                                        \
    for (long n = 0; n < ROUNDS; n++) {                                                            \
        a = FMA(a, x, y), b = FMA(b, x, y), c = FMA(c, x, y), d = FMA(d, x, y);                    \
        e = FMA(e, x, y), f = FMA(f, x, y), g = FMA(g, x, y), h = FMA(h, x, y);                    \
        i = FMA(i, x, y), j = FMA(j, x, y), k = FMA(k, x, y), l = FMA(l, x, y);                    \
        __asm__ volatile(""                                                                        \
                         : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), \
                           "+v"(i), "+v"(j), "+v"(k), "+v"(l));                                    \
    }                                                                                              \
    t = bench_now() - t;                                                                           \
    return 2.0 * ROUNDS * CHAINS * LANES / t * 1e-9

__attribute__((target("avx512f"))) static double rate_512(void)
{
    CHAIN_LOOP(__m512, _mm512_set1_ps, _mm512_fmadd_ps, 16);
}

__attribute__((target("avx2,fma"))) static double rate_256(void)
{
    CHAIN_LOOP(__m256, _mm256_set1_ps, _mm256_fmadd_ps, 8);
}

static __m128 mul_add(__m128 a, __m128 b, __m128 c)
{
    return _mm_add_ps(_mm_mul_ps(a, b), c);
}

static double rate_128(void)
{
    CHAIN_LOOP(__m128, _mm_set1_ps, mul_add, 4);
}

/* GFLOP/s of independent multiply-add chains in registers of that many bytes. */
static double bench_peak(int vector_bytes)
{
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double r = vector_bytes == 64 ? rate_512() : vector_bytes == 32 ? rate_256() : rate_128();
        best = r > best ? r : best;
    }
    return best;
}

typedef struct {
    const char *name;
    ContractCase shape;
} BenchShape;

static ContractCase empty(void)
{
    return (ContractCase){ .a = DT_F32, .b = DT_F32, .c = DT_F32 };
}

/* C[m, n] = A[m, k] B[k, n]; ta, tb: stored the other way round. */
static ContractCase matmul(int64_t m, int64_t n, int64_t k, bool ta, bool tb)
{
    ContractCase t = empty();
    case_axis(&t, dim_of(m), false, ta ? 1 : k, 0, n);
    case_axis(&t, dim_of(n), false, 0, tb ? k : 1, 1);
    case_axis(&t, dim_of(k), true, ta ? m : 1, tb ? 1 : n, 0);
    return t;
}

/* y[b, oh, ow, oc] = sum x[b, oh + kh, ow + kw, ic] w[kh, kw, ic, oc], x with its border */
static ContractCase conv(int64_t b, int64_t out, int64_t ic, int64_t oc, int64_t kernel)
{
    ContractCase t = empty();
    int64_t size = out + kernel - 1;
    case_axis(&t, dim_of(b), false, size * size * ic, 0, out * out * oc);
    case_axis(&t, dim_of(out), false, size * ic, 0, out * oc);
    case_axis(&t, dim_of(out), false, ic, 0, oc);
    case_axis(&t, dim_of(oc), false, 0, 1, 1);
    case_axis(&t, dim_of(kernel), true, size * ic, kernel * ic * oc, 0);
    case_axis(&t, dim_of(kernel), true, ic, ic * oc, 0);
    case_axis(&t, dim_of(ic), true, 1, oc, 0);
    return t;
}

/* dw[kh, kw, ic, oc] = sum over b, oh, ow of x[b, oh + kh, ow + kw, ic] dy[b, oh, ow, oc] */
static ContractCase conv_dw(int64_t b, int64_t out, int64_t ic, int64_t oc, int64_t kernel)
{
    ContractCase t = empty();
    int64_t size = out + kernel - 1;
    case_axis(&t, dim_of(kernel), false, size * ic, 0, kernel * ic * oc);
    case_axis(&t, dim_of(kernel), false, ic, 0, ic * oc);
    case_axis(&t, dim_of(ic), false, 1, 0, oc);
    case_axis(&t, dim_of(oc), false, 0, 1, 1);
    case_axis(&t, dim_of(b), true, size * size * ic, out * out * oc, 0);
    case_axis(&t, dim_of(out), true, size * ic, out * oc, 0);
    case_axis(&t, dim_of(out), true, ic, oc, 0);
    return t;
}

/* NCHW: y[b, oc, oh, ow] = sum x[b, ic, oh + kh, ow + kw] w[oc, ic, kh, kw] */
static ContractCase conv_nchw(int64_t b, int64_t out, int64_t ic, int64_t oc, int64_t kernel)
{
    ContractCase t = empty();
    int64_t size = out + kernel - 1;
    case_axis(&t, dim_of(b), false, size * size * ic, 0, out * out * oc);
    case_axis(&t, dim_of(oc), false, 0, ic * kernel * kernel, out * out);
    case_axis(&t, dim_of(out), false, size, 0, out);
    case_axis(&t, dim_of(out), false, 1, 0, 1);
    case_axis(&t, dim_of(ic), true, size * size, kernel * kernel, 0);
    case_axis(&t, dim_of(kernel), true, size, kernel, 0);
    case_axis(&t, dim_of(kernel), true, 1, 1, 0);
    return t;
}

static ContractCase conv_nchw_dw(int64_t b, int64_t out, int64_t ic, int64_t oc, int64_t kernel)
{
    ContractCase t = empty();
    int64_t size = out + kernel - 1;
    case_axis(&t, dim_of(oc), false, 0, out * out, ic * kernel * kernel);
    case_axis(&t, dim_of(ic), false, size * size, 0, kernel * kernel);
    case_axis(&t, dim_of(kernel), false, size, 0, kernel);
    case_axis(&t, dim_of(kernel), false, 1, 0, 1);
    case_axis(&t, dim_of(b), true, size * size * ic, out * out * oc, 0);
    case_axis(&t, dim_of(out), true, size, out, 0);
    case_axis(&t, dim_of(out), true, 1, 1, 0);
    return t;
}

/* Batch innermost: y[oc, oh, ow, b] = sum w[oc, ic, kh, kw] x[ic, oh + kh, ow + kw, b] */
static ContractCase conv_inner(int64_t b, int64_t out, int64_t ic, int64_t oc, int64_t kernel)
{
    ContractCase t = empty();
    int64_t size = out + kernel - 1;
    case_axis(&t, dim_of(oc), false, ic * kernel * kernel, 0, out * out * b);
    case_axis(&t, dim_of(out), false, 0, size * b, out * b);
    case_axis(&t, dim_of(out), false, 0, b, b);
    case_axis(&t, (Dim){ b, 1 }, false, 0, 1, 1);
    case_axis(&t, dim_of(ic), true, kernel * kernel, size * size * b, 0);
    case_axis(&t, dim_of(kernel), true, kernel, size * b, 0);
    case_axis(&t, dim_of(kernel), true, 1, b, 0);
    return t;
}

static ContractCase conv_inner_dw(int64_t b, int64_t out, int64_t ic, int64_t oc, int64_t kernel)
{
    ContractCase t = empty();
    int64_t size = out + kernel - 1;
    case_axis(&t, dim_of(oc), false, out * out * b, 0, ic * kernel * kernel);
    case_axis(&t, dim_of(ic), false, 0, size * size * b, kernel * kernel);
    case_axis(&t, dim_of(kernel), false, 0, size * b, kernel);
    case_axis(&t, dim_of(kernel), false, 0, b, 1);
    case_axis(&t, dim_of(out), true, out * b, size * b, 0);
    case_axis(&t, dim_of(out), true, b, b, 0);
    case_axis(&t, (Dim){ b, 1 }, true, 1, 1, 0);
    return t;
}

/* Fully connected with the batch innermost: y[n, b] = sum w[k, n] x[k, b] */
static ContractCase linear_inner(int64_t b, int64_t n, int64_t k, bool transposed)
{
    ContractCase t = empty();
    case_axis(&t, dim_of(n), false, transposed ? k : 1, 0, b);
    case_axis(&t, (Dim){ b, 1 }, false, 0, 1, 1);
    case_axis(&t, dim_of(k), true, transposed ? 1 : n, b, 0);
    return t;
}

/* dw[k, n] = sum over b of x[k, b] dy[n, b] */
static ContractCase linear_inner_dw(int64_t b, int64_t n, int64_t k)
{
    ContractCase t = empty();
    case_axis(&t, dim_of(k), false, b, 0, n);
    case_axis(&t, dim_of(n), false, 0, b, 1);
    case_axis(&t, (Dim){ b, 1 }, true, 1, 1, 0);
    return t;
}

static float *random_floats(int64_t n, uint32_t seed)
{
    float *x = aligned_alloc(64, ((size_t)n * 4 + 4096) / 64 * 64);
    for (int64_t i = 0; x && i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
    return x;
}

static int64_t reach(const ContractCase *t, int which)
{
    int64_t n = 1;
    for (uint32_t i = 0; i < t->n_axes; i++)
        n += (t->axes[i].extent.n - 1) * (which == 0   ? t->axes[i].a
                                          : which == 1 ? t->axes[i].b
                                                       : t->axes[i].c);
    return n;
}

static void measure(const char *name, const ContractCase *t, const Target *target, double peak)
{
    Arena *arena = arena_new();
    Kernel *k = case_kernel(arena, t);
    KernelObject object = { 0 };
    double compile = bench_now();
    bool ok = kernel_emit(k, target, "k", &object);
    compile = bench_now() - compile;
    JitObject linked = { object.bytes, object.size };
    const char *symbol = "k";
    void *address;
    char error[200];
    Jit *jit = ok ? jit_link(&linked, 1, &symbol, 1, &address, error) : NULL;
    if (!jit) {
        printf("%-28s %s\n", name, ok ? error : object.error);
        arena_free(arena);
        return;
    }
    CaseFn *fn;
    memcpy(&fn, &address, sizeof fn);
    double flops = 2, best = 1e9;
    int64_t batch = 1;
    for (uint32_t i = 0; i < t->n_axes; i++) {
        flops *= (double)t->axes[i].extent.n;
        batch = t->axes[i].extent.k ? t->axes[i].extent.n / t->axes[i].extent.k : batch;
    }
    float *bufs[4];
    for (int i = 0; i < 4; i++)
        bufs[i] = random_floats(reach(t, i < 2 ? i : 2), (uint32_t)i + 1);
    int64_t units = case_units(&object.grid, batch);
    for (int i = 0; i < 12; i++) {
        int reps = best < 1e8 ? (int)(0.02 / best) + 1 : 1;
        double start = bench_now();
        for (int r = 0; r < reps; r++)
            fn((void *const *)bufs, batch, 0, units);
        double each = (bench_now() - start) / reps;
        best = each < best ? each : best;
    }
    printf("%-28s %10.1f us %8.1f GFLOP/s %5.1f %%  %6lld units  %6.1f ms%s\n", name, best * 1e6,
           flops / best * 1e-9, flops / best * 1e-7 / peak, (long long)units, compile * 1e3,
           object.spilled ? "  SPILLED" : "");
    for (int i = 0; i < 4; i++)
        free(bufs[i]);
    jit_free(jit);
    kernel_object_free(&object);
    arena_free(arena);
}

static void print_assembly(const ContractCase *t, const Target *target)
{
    Arena *arena = arena_new();
    char error[200];
    char *text = kernel_emit_text(case_kernel(arena, t), target, "k", true, error);
    puts(text ? text : error);
    free(text);
    arena_free(arena);
}

int main(int argc, char **argv)
{
    Target target;
    const char *name = argc > 1 ? argv[1] : "native";
    bool assembly = argc > 2 && !strcmp(argv[2], "--asm");
    const char *only = argc > 2 + assembly ? argv[2 + assembly] : "";
    if (!target_parse(name, &target) || !target_runs_here(&target)) {
        printf("%s: not a target this machine runs\n", name);
        return 2;
    }
    const BenchShape shapes[] = {
        { "gemm 512x512x512", matmul(512, 512, 512, false, false) },
        { "gemm 256x768x768", matmul(256, 768, 768, false, false) },
        { "gemm 1024x1024x1024", matmul(1024, 1024, 1024, false, false) },
        { "gemm 256x768x3072", matmul(256, 768, 3072, false, false) },
        { "gemm 256x768x768 B^T", matmul(256, 768, 768, false, true) },
        { "gemm 768x768x256 A^T", matmul(768, 768, 256, true, false) },
        { "gemm 1024 B^T", matmul(1024, 1024, 1024, false, true) },
        { "gemv 4096x4096", matmul(1, 4096, 4096, false, false) },
        { "gemv 4096x4096 B^T", matmul(1, 4096, 4096, false, true) },
        { "conv 3x3 64 56x56", conv(1, 56, 64, 64, 3) },
        { "conv 3x3 256 14x14", conv(1, 14, 256, 256, 3) },
        { "conv 3x3 512 7x7", conv(1, 7, 512, 512, 3) },
        { "conv 3x3 64 56x56 dW", conv_dw(1, 56, 64, 64, 3) },
        { "conv 1x1 256-64 56x56", conv(1, 56, 256, 64, 1) },
        { "lenet1 nhwc", conv(64, 28, 1, 6, 5) },
        { "lenet1 nhwc dW", conv_dw(64, 28, 1, 6, 5) },
        { "lenet1 nchw", conv_nchw(64, 28, 1, 6, 5) },
        { "lenet1 nchw dW", conv_nchw_dw(64, 28, 1, 6, 5) },
        { "lenet1 inner", conv_inner(64, 28, 1, 6, 5) },
        { "lenet1 inner dW", conv_inner_dw(64, 28, 1, 6, 5) },
        { "lenet2 nhwc", conv(64, 10, 6, 16, 5) },
        { "lenet2 nhwc dX", conv(64, 14, 16, 6, 5) },
        { "lenet2 nhwc dW", conv_dw(64, 10, 6, 16, 5) },
        { "lenet2 nchw", conv_nchw(64, 10, 6, 16, 5) },
        { "lenet2 nchw dX", conv_nchw(64, 14, 16, 6, 5) },
        { "lenet2 nchw dW", conv_nchw_dw(64, 10, 6, 16, 5) },
        { "lenet2 inner", conv_inner(64, 10, 6, 16, 5) },
        { "lenet2 inner dX", conv_inner(64, 14, 16, 6, 5) },
        { "lenet2 inner dW", conv_inner_dw(64, 10, 6, 16, 5) },
        { "fc 400-120", matmul(64, 120, 400, false, false) },
        { "fc 400-120 dX", matmul(64, 400, 120, false, true) },
        { "fc 400-120 dW", matmul(400, 120, 64, true, false) },
        { "fc 120-84", matmul(64, 84, 120, false, false) },
        { "fc 120-84 dX", matmul(64, 120, 84, false, true) },
        { "fc 120-84 dW", matmul(120, 84, 64, true, false) },
        { "fc 84-10", matmul(64, 10, 84, false, false) },
        { "fc 84-10 dX", matmul(64, 84, 10, false, true) },
        { "fc 84-10 dW", matmul(84, 10, 64, true, false) },
        { "fc 400-120 inner", linear_inner(64, 120, 400, false) },
        { "fc 400-120 inner dX", linear_inner(64, 400, 120, true) },
        { "fc 400-120 inner dW", linear_inner_dw(64, 120, 400) },
        { "fc 84-10 inner", linear_inner(64, 10, 84, false) },
        { "fc 84-10 inner dW", linear_inner_dw(64, 10, 84) },
    };
    double peak = bench_peak(target.vector_bytes);
    printf("%s: %s; peak %.1f GFLOP/s a core\n", target.name, target.text, peak);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (!strstr(shapes[i].name, only))
            continue;
        if (assembly)
            print_assembly(&shapes[i].shape, &target);
        else
            measure(shapes[i].name, &shapes[i].shape, &target, peak);
    }
    return 0;
}
