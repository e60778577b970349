/* ulp.c: the largest error of the generated f32 functions, in units of the last place, over all
 * 2^32 inputs.
 *
 *   bench_ulp [-s STRIDE] [-m MARCH] [function ...]      STRIDE > 1 takes every STRIDE-th input
 *
 * The truth is libm's double (good to 1 unit of double). An error is |y - truth| over the distance
 * between the floats around the truth; beyond the largest float that distance is the last binade's.
 * NaN, infinities and the sign of zero must agree exactly. pow and atan2 take random pairs. Two
 * threads. */
#include "tests/backend/nest_case.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

enum { CHUNK = 1 << 16, THREADS = 2 };

typedef struct {
    const char *name;
    ScalarOp op;
    double (*truth)(double);
    double (*truth2)(double, double);
} Function;

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static double rsqrt(double x)
{
    return 1 / sqrt(x);
}

static double normal_cdf(double x)
{
    return 0.5 * erfc(-M_SQRT1_2 * x);
}

static double normal_cdf_tanh(double x)
{
    return sigmoid(2 * sqrt(M_2_PI) * (x + 0.044715 * x * x * x));
}

static const Function functions[] = {
    { "exp", SC_EXP, exp, 0 },       { "log", SC_LOG, log, 0 },
    { "tanh", SC_TANH, tanh, 0 },    { "sigmoid", SC_SIGMOID, sigmoid, 0 },
    { "erf", SC_ERF, erf, 0 },       { "sin", SC_SIN, sin, 0 },
    { "cos", SC_COS, cos, 0 },       { "rsqrt", SC_RSQRT, rsqrt, 0 },
    { "expm1", SC_EXPM1, expm1, 0 }, { "log1p", SC_LOG1P, log1p, 0 },
    { "tan", SC_TAN, tan, 0 },       { "asin", SC_ASIN, asin, 0 },
    { "acos", SC_ACOS, acos, 0 },    { "atan", SC_ATAN, atan, 0 },
    { "sinh", SC_SINH, sinh, 0 },    { "cosh", SC_COSH, cosh, 0 },
    { "asinh", SC_ASINH, asinh, 0 }, { "acosh", SC_ACOSH, acosh, 0 },
    { "atanh", SC_ATANH, atanh, 0 }, { "pow", SC_POW, 0, pow },
    { "atan2", SC_ATAN2, 0, atan2 }, { "erfc", SC_ERFC, erfc, 0 },
    { "normal_cdf", SC_NORMAL_CDF, normal_cdf, 0 },
    { "normal_cdf_tanh", SC_NORMAL_CDF_TANH, normal_cdf_tanh, 0 },
};

typedef struct {
    const Function *f;
    NestFn *run;
    uint64_t begin, end, stride; /* of inputs */
    double worst;
    float worst_in[2], worst_out;
    uint64_t wrong; /* NaN, infinity or sign */
    float wrong_in[2], wrong_out;
} Job;

static uint64_t mix(uint64_t x) /* splitmix64 */
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static float as_float(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Error of y in units of the last place of `t`; -1 when they differ in kind. */
static double error_of(float y, double t)
{
    if (isnan(t) || isnan(y))
        return isnan(t) && isnan(y) ? 0 : -1;
    double limit = 0x1.ffffffp127; /* from here on the nearest float is infinity */
    if (fabs(t) >= limit)
        return isinf(y) && (y > 0) == (t > 0)               ? 0
               : isfinite(y) && fabsf(y) == 0x1.fffffep127f ? 1
                                                            : -1;
    if (isinf(y))
        return fabs(t) > 0x1.fffffdp127 ? 1 : -1;
    if ((t == 0 || y == 0) && !signbit(t) != !signbit(y))
        return -1;
    int e;
    frexp(t, &e);
    double unit = ldexp(1, (e < -125 ? -125 : e) - 24);
    return fabs(y - t) / unit;
}

static void judge(Job *j, const float *x0, const float *x1, const float *y, int n)
{
    for (int i = 0; i < n; i++) {
        double t = j->f->truth ? j->f->truth(x0[i]) : j->f->truth2(x0[i], x1[i]),
               e = error_of(y[i], t);
        if (e < 0 && !j->wrong++) {
            j->wrong_in[0] = x0[i];
            j->wrong_in[1] = x1[i];
            j->wrong_out = y[i];
        }
        if (e > j->worst) {
            j->worst = e;
            j->worst_in[0] = x0[i];
            j->worst_in[1] = x1[i];
            j->worst_out = y[i];
        }
    }
}

static void *work(void *arg)
{
    Job *j = arg;
    static _Thread_local float x0[CHUNK], x1[CHUNK], y[CHUNK];
    uint64_t i = j->begin;
    while (i < j->end) {
        int n = 0;
        for (; n < CHUNK && i < j->end; n++, i += j->stride) {
            uint64_t r = mix(i);
            x0[n] = as_float(j->f->truth ? (uint32_t)i : (uint32_t)r);
            x1[n] = as_float((uint32_t)(r >> 32));
            if (!j->f->truth &&
                i & 1) { /* half of the pairs in a range where pow is neither 0 nor infinite */
                x0[n] = (float)ldexp((double)(r & 0xffffff), -20);
                x1[n] = (float)(ldexp((double)(r >> 40), -18) - 32);
            }
        }
        for (int m = n; m < CHUNK; m++)
            x0[m] = x1[m] = 1;
        void *bufs[] = { x0, j->f->truth ? y : x1, y };
        j->run(bufs, 1, 0, 1);
        judge(j, x0, x1, y, n);
    }
    return NULL;
}

static bool campaign(const Function *f, const Target *t, uint64_t stride)
{
    Arena *a = arena_new();
    NestCode code;
    if (!nest_compile(nest_scalar_kernel(a, f->op, DT_F32, DT_F32, CHUNK, CHUNK), t, &code)) {
        fprintf(stderr, "%s: %s\n", f->name, code.error);
        arena_free(a);
        return false;
    }
    Job jobs[THREADS];
    pthread_t threads[THREADS];
    uint64_t all = f->truth ? UINT64_C(1) << 32 : UINT64_C(1) << 28;
    for (int i = 0; i < THREADS; i++) {
        uint64_t part = all / THREADS;
        jobs[i] = (Job){ .f = f,
                         .run = code.run,
                         .begin = part * (unsigned)i,
                         .end = part * (unsigned)(i + 1),
                         .stride = stride };
        pthread_create(&threads[i], NULL, work, &jobs[i]);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    Job *w = &jobs[jobs[1].worst > jobs[0].worst], *bad = &jobs[jobs[0].wrong == 0];
    printf("%-8s %6.3f ULP at %a", f->name, w->worst, (double)w->worst_in[0]);
    if (!f->truth)
        printf(", %a", (double)w->worst_in[1]);
    printf(" -> %a", (double)w->worst_out);
    if (bad->wrong)
        printf("   WRONG %llu, e.g. %a, %a -> %a",
               (unsigned long long)(jobs[0].wrong + jobs[1].wrong), (double)bad->wrong_in[0],
               (double)bad->wrong_in[1], (double)bad->wrong_out);
    printf("\n");
    fflush(stdout);
    nest_code_free(&code);
    arena_free(a);
    return !bad->wrong;
}

int main(int argc, char **argv)
{
    Target t;
    uint64_t stride = 1;
    const char *march = "native";
    int first = 1;
    for (; first + 1 < argc && argv[first][0] == '-'; first += 2)
        if (!strcmp(argv[first], "-s"))
            stride = strtoull(argv[first + 1], NULL, 10);
        else if (!strcmp(argv[first], "-m"))
            march = argv[first + 1];
    if (!target_parse(march, &t) || !target_runs_here(&t) || !stride) {
        fprintf(stderr, "usage: bench_ulp [-s STRIDE] [-m MARCH] [function ...]\n");
        return 2;
    }
    bool ok = true;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        bool wanted = first >= argc;
        for (int j = first; j < argc; j++)
            wanted |= !strcmp(argv[j], functions[i].name);
        if (wanted)
            ok &= campaign(&functions[i], &t, stride);
    }
    return ok ? 0 : 1;
}
