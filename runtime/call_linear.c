/* call_linear.c: linear systems and QR, matrix by matrix. The methods are in call_linear_real.h. */
#include "runtime/call.h"
#include "runtime/dlrt.h"

#include <math.h>
#include <string.h>

#define REAL float
#define NAME(x) x##_f32
#define ABS fabsf
#define SQRT sqrtf
#include "runtime/call_linear_real.h"
#undef REAL
#undef NAME
#undef ABS
#undef SQRT
#define REAL double
#define NAME(x) x##_f64
#define ABS fabs
#define SQRT sqrt
#include "runtime/call_linear_real.h"

/* Row `i` of a buffer with `n` elements a row. */
static void *at(void *buffer, int64_t dtype, int64_t i, int64_t n)
{
    return (char *)buffer + i * n * (int64_t)dlrt_dtype_size((int)dtype);
}

/* x = b, unless they are the same. */
static void start(void *x, const void *b, int64_t dtype, int64_t n)
{
    if (x != b && n)
        memcpy(x, b, (size_t)n * dlrt_dtype_size((int)dtype));
}

void dlrt_call_solve(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end)
{
    int64_t dtype = args[0], n = args[1], m = args[2];
    bool transposed = args[3] != 0;
    (void)B;
    for (int64_t i = begin; i < end; i++) {
        void *a = at(bufs[0], dtype, i, n * n), *b = at(bufs[1], dtype, i, n * m);
        void *x = at(bufs[2], dtype, i, n * m), *lu = at(bufs[3], dtype, i, n * n);
        start(x, b, dtype, n * m);
        if (dtype == DLRT_F32) {
            copy_f32(lu, a, n, transposed);
            solve_f32(lu, x, n, m);
        } else {
            copy_f64(lu, a, n, transposed);
            solve_f64(lu, x, n, m);
        }
    }
}

void dlrt_call_solve_triangle(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                              int64_t end)
{
    int64_t dtype = args[0], n = args[1], m = args[2];
    bool transposed = args[4] != 0, upper = (args[3] != 0) != transposed, unit = args[5] != 0;
    int64_t row = transposed ? 1 : n, column = transposed ? n : 1;
    (void)B;
    for (int64_t i = begin; i < end; i++) {
        void *a = at(bufs[0], dtype, i, n * n), *x = at(bufs[2], dtype, i, n * m);
        start(x, at(bufs[1], dtype, i, n * m), dtype, n * m);
        if (dtype == DLRT_F32)
            solve_triangle_f32(a, row, column, x, n, m, upper, unit);
        else
            solve_triangle_f64(a, row, column, x, n, m, upper, unit);
    }
}

void dlrt_call_qr(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end)
{
    int64_t dtype = args[0], m = args[1], n = args[2], k = m < n ? m : n;
    (void)B;
    for (int64_t i = begin; i < end; i++) {
        void *h = at(bufs[3], dtype, i, m * (n + 1)), *tau = at(h, dtype, 1, m * n);
        void *q = at(bufs[1], dtype, i, m * k), *r = at(bufs[2], dtype, i, k * n);
        start(h, at(bufs[0], dtype, i, m * n), dtype, m * n);
        if (dtype == DLRT_F32)
            qr_f32(h, tau, q, r, m, n);
        else
            qr_f64(h, tau, q, r, m, n);
    }
}

void dlrt_call_triangle(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                        int64_t end)
{
    int64_t size = (int64_t)dlrt_dtype_size((int)args[0]), m = args[1], n = args[2];
    int64_t diagonal = args[3];
    bool lower = args[4] != 0;
    (void)B;
    for (int64_t i = begin * m; i < end * m; i++) {
        const char *x = (const char *)bufs[0] + i * n * size;
        char *y = (char *)bufs[1] + i * n * size;
        /* The first column beyond the diagonal (lower), or the first on it (upper). */
        int64_t edge = i % m + diagonal + lower;
        edge = edge < 0 ? 0 : edge > n ? n : edge;
        int64_t from = lower ? 0 : edge, to = lower ? edge : n;
        if (x != y)
            memcpy(y + from * size, x + from * size, (size_t)((to - from) * size));
        memset(y, 0, (size_t)(from * size));
        memset(y + to * size, 0, (size_t)((n - to) * size));
    }
}

void dlrt_call_copy(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end)
{
    (void)B;
    if (end > begin)
        memcpy((char *)bufs[1] + begin * args[1], (const char *)bufs[0] + begin * args[1],
               (size_t)((end - begin) * args[1]));
}
