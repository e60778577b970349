/* test_inst.c: every scalar operation on every dtype, compiled for every level this machine has,
 * against the reference scalars of ir/value.h: bit for bit but for the functions (exp, pow, ...),
 * which have their bound. And the same bits whatever the lane. */
#include "ir/value.h"
#include "tests/backend/nest_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { N = 1003 }; /* not a multiple of any vector */

static const char *const marches[] = { "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4" };

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15;
    uint64_t x = *state;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static const double float_edges[] = { 0.0,       -0.0,      1,        -1,        0.5,
                                      -0.5,      1.5,       2.5,      -2.5,      3,
                                      7.75,      -8,        0x1p-149, -0x1p-126, 0x1p-24,
                                      0x1.8p-14, 65504,     65520,    -1e10,     0x1.fffffep127,
                                      0x1p31,    -0x1p63,   0x1p64,   255.5,     -128.99,
                                      INFINITY,  -INFINITY, NAN };
static const int64_t integer_edges[] = { 0,          1,
                                         -1,         2,
                                         -2,         3,
                                         7,          -8,
                                         31,         32,
                                         63,         64,
                                         65,         127,
                                         128,        -128,
                                         255,        32767,
                                         -32768,     65535,
                                         INT32_MAX,  INT32_MIN,
                                         UINT32_MAX, INT64_MAX,
                                         INT64_MIN,  0x1000000010000001 };

/* Operand `which`: all pairs of edges, then values of all magnitudes. */
static Value operand(Arena *a, Dtype t, int which)
{
    Shape shape = { 1, { dim_of(N) } };
    uint64_t state = (uint64_t)which * 77 + t;
    Value v = value_new(a, t, &shape, 0);
    int floats = sizeof float_edges / sizeof *float_edges,
        integers = sizeof integer_edges / sizeof *integer_edges;
    for (int i = 0; i < N; i++) {
        uint64_t r = next_random(&state);
        if (dtype_is_float(t)) {
            int edge = which == 0   ? i % floats
                       : which == 1 ? i / floats % floats
                                    : (i * 5) % floats;
            double x = ldexp((double)(int64_t)r, -63), big = ldexp(x, (int)(r >> 8 & 63) - 32);
            v.f[i] = value_round(t, i < floats * floats ? float_edges[edge] : r & 1 ? x * 8 : big);
        } else {
            int edge = which == 0   ? i % integers
                       : which == 1 ? i / integers % integers
                                    : (i * 5) % integers;
            v.i[i] = value_wrap(t, i < integers * integers ? integer_edges[edge]
                                                           : (int64_t)(r >> (r & 63)));
        }
    }
    return v;
}

static bool is_bitwise(ScalarOp op)
{
    return op == SC_NOT || op == SC_AND || op == SC_OR || op == SC_XOR;
}

static bool is_test(ScalarOp op)
{
    return op == SC_IS_NAN || op == SC_IS_INF || (op >= SC_EQ && op <= SC_GE);
}

static bool is_function(ScalarOp op)
{
    static const bool functions[] = {
#define SCALAR(name, operands, function) [SC_##name] = function,
        SCALAR_TABLE(SCALAR)
#undef SCALAR
    };
    return functions[op];
}

static bool applies(ScalarOp op, Dtype t)
{
    if (op == SC_NONE || op == SC_CAST)
        return false;
    if (dtype_is_float(t))
        return !is_bitwise(op) && op != SC_SHL && op != SC_SHR;
    if (t == DT_BOOL)
        return is_bitwise(op) || (op >= SC_EQ && op <= SC_GE) || op == SC_MAXIMUM ||
               op == SC_MINIMUM || op == SC_SELECT;
    return !(is_function(op) && op != SC_POW) && op != SC_SQRT && op != SC_IS_NAN &&
           op != SC_IS_INF;
}

/* A kernel of all results side by side: operands three inputs and a condition, then one output for
 * each entry of `ops`. */
typedef struct {
    ScalarOp op;
    Dtype to;
} Result;

static Kernel *results_kernel(Arena *a, Dtype from, const Result *results, int n, int32_t vector)
{
    Dim extent = dim_of(N);
    Kernel *k = nest_kernel(a, &extent, 1, 1, N, vector);
    KernelStage s = { 0 };
    InstId in[4];
    for (int i = 0; i < 4; i++)
        in[i] =
            nest_load(a, k, &s, nest_operand(a, k, i == 3 ? DT_BOOL : from, false), affine_axis(0));
    for (int i = 0; i < n; i++) {
        bool select = results[i].op == SC_SELECT;
        InstId y = nest_scalar(a, &s, results[i].op, results[i].to, in[select ? 3 : 0],
                               in[select ? 0 : 1], in[select ? 1 : 2]);
        nest_store(a, &s, nest_operand(a, k, results[i].to, true), affine_axis(0), y, STORE_SET,
                   false);
    }
    s.body_insts = s.insts.n;
    vec_push(a, &k->stages, s);
    return k;
}

static Value expected(Arena *a, const Value *in, Result r)
{
    Shape shape = { 1, { dim_of(N) } };
    Value v = value_new(a, r.to, &shape, 0);
    bool floats = dtype_is_float(in[0].dtype), select = r.op == SC_SELECT;
    for (int i = 0; i < N; i++) {
        if (r.op == SC_CAST) {
            value_cast(&in[0], i, &v);
        } else if (floats) {
            double x[3] = { select ? (double)in[3].i[i] : in[0].f[i], in[select ? 0 : 1].f[i],
                            in[select ? 1 : 2].f[i] };
            double y = scalar_float(r.op, x);
            if (dtype_is_float(r.to))
                v.f[i] = y;
            else
                v.i[i] = y != 0;
        } else {
            int64_t x[3] = { in[select ? 3 : 0].i[i], in[select ? 0 : 1].i[i],
                             in[select ? 1 : 2].i[i] };
            v.i[i] = scalar_int(r.op, in[0].dtype, x);
        }
    }
    return v;
}

/* Units in the last place of `t` allowed for a function: 2 in f32; narrower types round a result
 * that good once; f64 is libm's, but for the sigmoids, which are put together. */
static double allowed(ScalarOp op, Dtype t)
{
    bool composed = op == SC_SIGMOID || op == SC_NORMAL_CDF_TANH;
    return !is_function(op) || t == DT_F64 ? (composed ? 2 : 0) : t == DT_F32 ? 2 : 0.51;
}

static bool agrees(ScalarOp op, Dtype t, double y, double truth)
{
    double want = value_round(t, truth);
    if (isnan(want) || isnan(y))
        return isnan(want) && isnan(y);
    if (y == want && (y != 0 || signbit(y) == signbit(want)))
        return true;
    int digits = t == DT_F64   ? 53
                 : t == DT_F32 ? 24
                 : t == DT_F16 ? 11
                               : 8,
        least = t == DT_F64   ? -1021
                : t == DT_F16 ? -13
                              : -125,
        e;
    frexp(truth, &e);
    return fabs(y - truth) <= allowed(op, t) * ldexp(1, (e < least ? least : e) - digits);
}

static void compare(const Value *in, Result r, const Value *want, const Value *got,
                    const char *march)
{
    for (int i = 0; i < N; i++) {
        bool ok = dtype_is_float(r.to) ? agrees(r.op, r.to, got->f[i], want->f[i])
                                       : want->i[i] == got->i[i];
        if (ok)
            continue;
        bool f = dtype_is_float(in[0].dtype);
        if (f)
            print_error("%s of %s on %s: in %a, %a", scalar_name(r.op), dtype_name(in[0].dtype),
                        march, in[0].f[i], in[1].f[i]);
        else
            print_error("%s of %s on %s: in %lld, %lld", scalar_name(r.op), dtype_name(in[0].dtype),
                        march, (long long)in[0].i[i], (long long)in[1].i[i]);
        if (dtype_is_float(r.to))
            fail_msg(" -> %s %a, want %a", dtype_name(r.to), got->f[i], want->f[i]);
        fail_msg(" -> %s %lld, want %lld", dtype_name(r.to), (long long)got->i[i],
                 (long long)want->i[i]);
    }
}

static void run_results(Arena *a, const Value *in, const Result *results, int n, const char *march,
                        bool scalar_too)
{
    Target t;
    NestCode code, one;
    Shape shape = { 1, { dim_of(N) } };
    assert_true(target_parse(march, &t));
    if (!target_runs_here(&t))
        return;
    void *bufs[80], *again[80];
    assert_true(n + 4 <= 80);
    for (int i = 0; i < n + 4; i++) {
        bufs[i] = arena_alloc(a, N * 8);
        again[i] = i < 4 ? bufs[i] : arena_alloc(a, N * 8);
        if (i < 4)
            value_to_bytes(&in[i], bufs[i]);
    }
    if (!nest_compile(results_kernel(a, in[0].dtype, results, n, 0), &t, &code))
        fail_msg("%s", code.error);
    code.run(bufs, 1, 0, 1);
    for (int i = 0; i < n; i++) {
        Value want = expected(a, in, results[i]),
              got = value_from_bytes(a, results[i].to, &shape, bufs[4 + i]);
        compare(in, results[i], &want, &got, march);
    }
    nest_code_free(&code);
    if (!scalar_too)
        return;
    if (!nest_compile(results_kernel(a, in[0].dtype, results, n, VECTOR_NONE), &t, &one))
        fail_msg("%s", one.error);
    one.run(again, 1, 0, 1);
    for (int i = 0; i < n; i++)
        if (memcmp(bufs[4 + i], again[4 + i], N * dtype_size(results[i].to)))
            fail_msg("%s of %s on %s: scalar and vector differ", scalar_name(results[i].op),
                     dtype_name(in[0].dtype), march);
    nest_code_free(&one);
}

static void test_operations(void **state)
{
    (void)state;
    for (Dtype t = 0; t < DT_COUNT; t++) {
        Result results[SC_COUNT];
        int n = 0;
        for (ScalarOp op = SC_NONE; op < SC_COUNT; op++)
            if (applies(op, t))
                results[n++] = (Result){ op, is_test(op) ? DT_BOOL : t };
        for (size_t m = 0; m < sizeof marches / sizeof *marches; m++) {
            Arena *a = arena_new();
            Value in[4] = { operand(a, t, 0), operand(a, t, 1), operand(a, t, 2),
                            operand(a, DT_BOOL, 0) };
            run_results(a, in, results, n, marches[m], m >= 2 && (t == DT_F32 || t == DT_I32));
            arena_free(a);
        }
    }
}

static void test_casts(void **state)
{
    (void)state;
    for (Dtype t = 0; t < DT_COUNT; t++) {
        Result results[DT_COUNT];
        for (Dtype to = 0; to < DT_COUNT; to++)
            results[to] = (Result){ SC_CAST, to };
        for (size_t m = 0; m < sizeof marches / sizeof *marches; m++) {
            Arena *a = arena_new();
            Value in[4] = { operand(a, t, 0), operand(a, t, 1), operand(a, t, 2),
                            operand(a, DT_BOOL, 0) };
            run_results(a, in, results, DT_COUNT, marches[m], m == 3);
            arena_free(a);
        }
    }
}

/* The f32 functions on a sample of all bit patterns; bench_ulp does all of them. */
static void test_function_samples(void **state)
{
    (void)state;
    Result results[SC_COUNT];
    int n = 0;
    for (ScalarOp op = SC_NONE; op < SC_COUNT; op++)
        if (applies(op, DT_F32) && is_function(op))
            results[n++] = (Result){ op, DT_F32 };
    uint64_t seed = 1;
    for (int round = 0; round < 4; round++) {
        Arena *a = arena_new();
        Value in[4] = { operand(a, DT_F32, 0), operand(a, DT_F32, 1), operand(a, DT_F32, 2),
                        operand(a, DT_BOOL, 0) };
        for (int i = 0; i < N; i++) {
            uint64_t r = next_random(&seed);
            uint32_t x = (uint32_t)r, y = (uint32_t)(r >> 32);
            float fx, fy;
            memcpy(&fx, &x, 4);
            memcpy(&fy, &y, 4);
            in[0].f[i] = (double)fx;
            in[1].f[i] = (double)fy;
        }
        run_results(a, in, results, n, marches[round], false);
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_function_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
