/* Sorting against a plain stable sort; solve and QR against their definitions. */
#include "runtime/call.h"
#include "runtime/dlrt.h"
#include "runtime/random.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Sort ---- */

/* Before in the wanted order; equal ones are neither. */
static bool before(double a, double b, bool descending)
{
    if (isnan(a) || isnan(b))
        return !isnan(a) && isnan(b);
    return descending ? a > b : a < b;
}

enum { MOST = 3000 };

static void fill(int dtype, void *x, int64_t n, int64_t rows, uint32_t kind)
{
    static const double odd[] = { NAN, INFINITY, -INFINITY, 0.0, -0.0, 1, -1, FLT_MIN, -FLT_MAX };
    for (int64_t i = 0; i < n * rows; i++) {
        DlrtWords w = dlrt_random(kind, (uint64_t)n, 5, 0, (uint64_t)i);
        double v = kind == 0 ? dlrt_normal_f64(w)
                 : kind == 1 ? odd[w.word[0] % 9]
                 : kind == 2 ? (double)(w.word[0] % 7)        /* many ties */
                 : kind == 3 ? (double)i                      /* sorted */
                 : kind == 4 ? (double)-i
                 : kind == 5 ? fabs((double)(i - n / 2))      /* organ pipe */
                             : (double)(int32_t)w.word[0] * (double)(w.word[1] & 1 ? 1 : 65536);
        if (isnan(v) && (dtype == DLRT_I32 || dtype == DLRT_I64))
            v = 0;
        if (kind == 1 && w.word[1] % 5 == 0)
            v = -v;
        dlrt_convert((char *)x + i * (int64_t)dlrt_dtype_size(dtype), dtype, &v, DLRT_F64, 1);
    }
}

static void check_sorted(int dtype, const void *x, const void *values, const int64_t *places,
                         int64_t n, int64_t k, bool descending)
{
    static uint8_t seen[MOST];
    size_t size = dlrt_dtype_size(dtype);
    double last = 0, v;
    memset(seen, 0, sizeof seen);
    for (int64_t i = 0; i < k; i++) {
        int64_t at = places[i];
        assert_true(at >= 0 && at < n);
        assert_int_equal(seen[at]++, 0);
        assert_memory_equal((const char *)values + (size_t)i * size,
                            (const char *)x + (size_t)at * size, size);
        dlrt_convert(&v, DLRT_F64, (const char *)x + (size_t)at * size, dtype, 1);
        if (i) {
            assert_false(before(v, last, descending));
            if (!before(last, v, descending))
                assert_true(places[i - 1] < at);
        }
        last = v;
    }
    for (int64_t i = 0; i < n && k; i++) { /* what was left out comes after the last, or ties */
        dlrt_convert(&v, DLRT_F64, (const char *)x + (size_t)i * size, dtype, 1);
        if (!seen[i])
            assert_true(before(last, v, descending) ||
                        (!before(v, last, descending) && i > places[k - 1]));
    }
}

static void test_sort(void **state)
{
    (void)state;
    static const int dtypes[] = { DLRT_F32, DLRT_F64, DLRT_I32, DLRT_I64 };
    static uint64_t x[MOST], values[MOST], copy[MOST];
    static int64_t places[MOST];
    void *bufs[] = { x, values, places };
    for (size_t d = 0; d < 4; d++)
        for (uint32_t kind = 0; kind < 7; kind++)
            for (int64_t n = 0; n <= 1000; n = n < 40 ? n + 1 : n * 5)
                for (int64_t rows = 1; rows <= 3; rows += 2)
                    for (int down = 0; down < 2; down++) {
                        size_t size = dlrt_dtype_size(dtypes[d]);
                        fill(dtypes[d], x, n, rows, kind);
                        memcpy(copy, x, sizeof copy);
                        dlrt_call_sort(bufs, (int64_t[]){ dtypes[d], n, down }, 1, 0, rows);
                        for (int64_t r = 0; r < rows; r++)
                            check_sorted(dtypes[d], (char *)x + (size_t)(r * n) * size,
                                         (char *)values + (size_t)(r * n) * size, places + r * n,
                                         n, n, down);
                        for (int64_t k = 0; k <= n; k = k * 3 + 1) {
                            dlrt_call_top_k(bufs, (int64_t[]){ dtypes[d], n, k, !down }, 1, 0,
                                            rows);
                            for (int64_t r = 0; r < rows; r++)
                                check_sorted(dtypes[d], (char *)x + (size_t)(r * n) * size,
                                             (char *)values + (size_t)(r * k) * size,
                                             places + r * k, n, k, down);
                        }
                        assert_memory_equal(copy, x, sizeof copy);
                    }
}

/* Rows chosen against the median of three (Musser's) must not take quadratic time. */
static void test_sort_worst_case(void **state)
{
    (void)state;
    enum { N = 1 << 19 };
    int32_t *x = malloc(N * sizeof *x), *values = malloc(N * sizeof *values);
    int64_t *places = malloc(N * sizeof *places);
    for (int32_t i = 0; i < N / 2; i++) {
        x[i] = i & 1 ? N / 2 + i - 1 + (i == 0) : i + 1;
        x[N / 2 + i] = 2 * (i + 1);
    }
    dlrt_call_sort((void *[]){ x, values, places }, (int64_t[]){ DLRT_I32, N, 0 }, 1, 0, 1);
    for (int32_t i = 1; i < N; i++)
        assert_true(values[i - 1] <= values[i]);
    free(x);
    free(values);
    free(places);
}

/* ---- Scatter ---- */

/* Rows in order, later ones over earlier ones; rows outside skipped; an extent that follows B. */
static void test_scatter(void **state)
{
    (void)state;
    static const int64_t index[] = { 2, 0, -1, 2, 4, 3 };
    static const int32_t x[] = { 1, 2, 3, 4, 5, 6, 7, -8 };
    static const int32_t u[] = { 9, -9, 5, 5, 7, 7, 2, 3, 8, 8, INT32_MIN, 2 };
    static const int32_t want[4][8] = { { 5, 5, 3, 4, 2, 3, INT32_MIN, 2 },
                                        { 5, 10, 3, 4, 90, -162, INT32_MIN, -16 },
                                        { 5, 5, 3, 4, 9, 6, 7, 2 },
                                        { 1, 2, 3, 4, 2, -9, INT32_MIN, -8 } };
    for (int64_t mode = 0; mode < 4; mode++)
        for (int64_t follows = 0; follows < 2; follows++) {
            int32_t y[9] = { 0 };
            y[8] = 77;
            int64_t args[] = { DLRT_I32, mode, 2, follows ? 6 : 4, follows ? 2 : 0, 6, 0 };
            dlrt_call_scatter((void *[]){ (void *)x, (void *)index, (void *)u, y }, args, 2, 0, 1);
            assert_memory_equal(y, want[mode], sizeof want[mode]);
            assert_int_equal(y[8], 77);
        }
    static const double a[] = { NAN, 1 }, b[] = { 1, NAN };
    double y[2];
    dlrt_call_scatter((void *[]){ (void *)a, (void *)(int64_t[]){ 0, 1 }, (void *)b, y },
                      (int64_t[]){ DLRT_F64, 2, 1, 2, 0, 2, 0 }, 1, 0, 1);
    assert_true(isnan(y[0]) && isnan(y[1]));
}

/* ---- Overlapping boxes ---- */

/* Unit squares every half along a line: each shares a third of its union with the next. A box that
 * is not valid takes none away; corners may be given in any order. */
static void test_suppress(void **state)
{
    (void)state;
    float box[6][4];
    uint8_t valid[6] = { 1, 1, 1, 0, 1, 1 }, keep[7] = { 9, 9, 9, 9, 9, 9, 9 };
    for (int i = 0; i < 6; i++) {
        float at = 0.5f * (float)i, corners[] = { (float)(i & 1), at, (float)!(i & 1), at + 1 };
        memcpy(box[i], corners, sizeof corners);
    }
    float most = 0.25f;
    void *bufs[] = { box, valid, &most, keep };
    dlrt_call_suppress(bufs, (int64_t[]){ DLRT_F32, 6 }, 1, 0, 1);
    assert_memory_equal(keep, ((uint8_t[]){ 1, 0, 1, 0, 1, 0, 9 }), 7);
    most = 0.5f;
    dlrt_call_suppress(bufs, (int64_t[]){ DLRT_F32, 3 }, 1, 0, 2);
    assert_memory_equal(keep, ((uint8_t[]){ 1, 1, 1, 0, 1, 1, 9 }), 7);
    most = 0;
    dlrt_call_suppress(bufs, (int64_t[]){ DLRT_F32, 3 }, 1, 0, 2); /* touching is no overlap */
    assert_memory_equal(keep, ((uint8_t[]){ 1, 0, 1, 0, 1, 0, 9 }), 7);
}

/* ---- Linear algebra; matrices as doubles, rounded to the dtype ---- */

enum { DIM = 24 };
static double A[DIM * DIM], X[DIM * DIM], Y[DIM * DIM], Z[DIM * DIM];
static uint64_t raw[4][DIM * (DIM + 1)];

static void random_matrix(double *a, int64_t n, uint32_t site, int dtype)
{
    for (int64_t i = 0; i < n; i++) {
        a[i] = dlrt_normal_f64(dlrt_random(1, (uint64_t)n, site, 0, (uint64_t)i));
        if (dtype == DLRT_F32)
            a[i] = (double)(float)a[i];
    }
}

static double largest(const double *a, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fabs(a[i]) > most ? fabs(a[i]) : most;
    return most;
}

static void test_solve(void **state)
{
    (void)state;
    for (int dtype = DLRT_F64; dtype <= DLRT_F32; dtype++)
        for (int64_t n = 0; n <= DIM; n++)
            for (int64_t m = 1; m <= 3; m++)
                for (int transposed = 0; transposed < 2; transposed++) {
                    double eps = dtype == DLRT_F32 ? FLT_EPSILON : DBL_EPSILON;
                    size_t nn = (size_t)(n * n), nm = (size_t)(n * m);
                    random_matrix(A, n * n, 1, dtype);
                    random_matrix(Y, n * m, 2, dtype);
                    if (n > 2)
                        A[0] = 0; /* needs a pivot */
                    dlrt_convert(raw[0], dtype, A, DLRT_F64, nn);
                    dlrt_convert(raw[1], dtype, Y, DLRT_F64, nm);
                    void *bufs[] = { raw[0], raw[1], raw[2], raw[3] };
                    dlrt_call_solve(bufs, (int64_t[]){ dtype, n, m, transposed }, 1, 0, 1);
                    dlrt_convert(X, DLRT_F64, raw[2], dtype, nm);
                    /* backward stable: the residual is small next to |a| |x| */
                    double scale = largest(A, n * n) * largest(X, n * m) * (double)(n * n);
                    for (int64_t i = 0; i < n; i++)
                        for (int64_t k = 0; k < m; k++) {
                            double sum = -Y[i * m + k];
                            for (int64_t c = 0; c < n; c++)
                                sum += (transposed ? A[c * n + i] : A[i * n + c]) * X[c * m + k];
                            assert_true(fabs(sum) <= 4 * eps * scale);
                        }
                    /* in place, and as one of several */
                    memcpy(raw[2], raw[1], sizeof raw[1]);
                    void *same[] = { raw[0], raw[2], raw[2], raw[3] };
                    dlrt_call_solve(same, (int64_t[]){ dtype, n, m, transposed }, 1, 0, 1);
                    dlrt_convert(Z, DLRT_F64, raw[2], dtype, nm);
                    assert_memory_equal(X, Z, nm * sizeof *X);
                }
    double singular[4] = { 1, 2, 2, 4 }, b[2] = { 1, 1 }, x[2], lu[4];
    dlrt_call_solve((void *[]){ singular, b, x, lu }, (int64_t[]){ DLRT_F64, 2, 1, 0 }, 1, 0, 1);
    assert_false(isfinite(x[0]) && isfinite(x[1]));
}

static void test_solve_triangle(void **state)
{
    (void)state;
    const int64_t n = 7, m = 2;
    for (int dtype = DLRT_F64; dtype <= DLRT_F32; dtype++)
        for (int flags = 0; flags < 8; flags++) {
            bool upper = flags & 1, transposed = flags & 2, unit = flags & 4;
            double eps = dtype == DLRT_F32 ? FLT_EPSILON : DBL_EPSILON;
            random_matrix(A, n * n, 3, dtype);
            random_matrix(Y, n * m, 4, dtype);
            for (int64_t i = 0; i < n; i++)
                A[i * n + i] = 3;
            dlrt_convert(raw[0], dtype, A, DLRT_F64, (size_t)(n * n));
            dlrt_convert(raw[1], dtype, Y, DLRT_F64, (size_t)(n * m));
            dlrt_call_solve_triangle((void *[]){ raw[0], raw[1], raw[2] },
                                     (int64_t[]){ dtype, n, m, upper, transposed, unit }, 1, 0, 1);
            dlrt_convert(X, DLRT_F64, raw[2], dtype, (size_t)(n * m));
            double scale = largest(A, n * n) * largest(X, n * m) * (double)(n * n);
            for (int64_t i = 0; i < n; i++)
                for (int64_t k = 0; k < m; k++) {
                    double sum = -Y[i * m + k];
                    for (int64_t c = 0; c < n; c++) {
                        int64_t row = transposed ? c : i, column = transposed ? i : c;
                        bool inside = upper ? column >= row : column <= row;
                        double v = !inside ? 0 : row == column && unit ? 1 : A[row * n + column];
                        sum += v * X[c * m + k];
                    }
                    assert_true(fabs(sum) <= 4 * eps * scale);
                }
        }
}

static void check_qr(int dtype, int64_t m, int64_t n, double tolerance)
{
    int64_t k = m < n ? m : n;
    dlrt_convert(raw[0], dtype, A, DLRT_F64, (size_t)(m * n));
    dlrt_call_qr((void *[]){ raw[0], raw[1], raw[2], raw[3] }, (int64_t[]){ dtype, m, n }, 1, 0, 1);
    dlrt_convert(X, DLRT_F64, raw[1], dtype, (size_t)(m * k));
    dlrt_convert(Y, DLRT_F64, raw[2], dtype, (size_t)(k * n));
    double scale = largest(A, m * n);
    for (int64_t i = 0; i < m; i++) /* q r = a */
        for (int64_t c = 0; c < n; c++) {
            double sum = -A[i * n + c];
            for (int64_t j = 0; j < k; j++)
                sum += X[i * k + j] * Y[j * n + c];
            assert_true(fabs(sum) <= tolerance * (scale + 1e-300));
        }
    for (int64_t i = 0; i < k; i++) /* qT q = 1 */
        for (int64_t c = 0; c < k; c++) {
            double sum = i == c ? -1 : 0;
            for (int64_t j = 0; j < m; j++)
                sum += X[j * k + i] * X[j * k + c];
            assert_true(fabs(sum) <= tolerance);
        }
    for (int64_t i = 0; i < k; i++) {
        assert_true(Y[i * n + i] >= 0);
        for (int64_t c = 0; c < i; c++)
            assert_true(Y[i * n + c] == 0);
    }
}

static void test_qr(void **state)
{
    (void)state;
    for (int dtype = DLRT_F64; dtype <= DLRT_F32; dtype++) {
        double eps = dtype == DLRT_F32 ? FLT_EPSILON : DBL_EPSILON;
        for (int64_t m = 1; m <= DIM; m += m < 6 ? 1 : 6)
            for (int64_t n = 1; n <= DIM; n += n < 6 ? 1 : 6) {
                double tolerance = 8 * eps * (double)(m + n);
                random_matrix(A, m * n, 7, dtype);
                check_qr(dtype, m, n, tolerance);
                for (int64_t i = 0; i < m * n; i++) /* squares that overflow and vanish */
                    A[i] *= dtype == DLRT_F32 ? 0x1p100 : 0x1p900;
                check_qr(dtype, m, n, tolerance);
                for (int64_t i = 0; i < m * n; i++)
                    A[i] = dtype == DLRT_F32 ? A[i] * 0x1p-200 : A[i] * 0x1p-900 * 0x1p-900;
                check_qr(dtype, m, n, tolerance);
                memset(A, 0, sizeof A); /* rank 0, rank 1, triangular already */
                check_qr(dtype, m, n, tolerance);
                for (int64_t i = 0; i < m * n; i++)
                    A[i] = 1;
                check_qr(dtype, m, n, tolerance);
                for (int64_t i = 0; i < m * n; i++)
                    A[i] = i / n <= i % n ? -1 : 0;
                check_qr(dtype, m, n, tolerance);
            }
    }
}

static void test_triangle_and_copy(void **state)
{
    (void)state;
    uint16_t x[24], y[24];
    for (uint16_t i = 0; i < 24; i++)
        x[i] = i + 1;
    for (int lower = 0; lower < 2; lower++)
        for (int64_t diagonal = -5; diagonal <= 6; diagonal++) {
            int64_t args[] = { DLRT_I16, 3, 4, diagonal, lower };
            memset(y, 0xff, sizeof y);
            dlrt_call_triangle((void *[]){ x, y }, args, 1, 0, 2);
            for (int64_t i = 0; i < 24; i++) {
                int64_t row = i / 4 % 3, column = i % 4;
                bool keep = lower ? column - row <= diagonal : column - row >= diagonal;
                assert_int_equal(y[i], keep ? x[i] : 0);
            }
        }
    memset(y, 0, sizeof y);
    dlrt_call_copy((void *[]){ x, y }, (int64_t[]){ DLRT_I16, 8 }, 1, 1, 3);
    assert_int_equal(y[3], 0);
    assert_memory_equal(y + 4, x + 4, 16);
    assert_int_equal(y[12], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sort),  cmocka_unit_test(test_sort_worst_case),
        cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_suppress),
        cmocka_unit_test(test_solve), cmocka_unit_test(test_solve_triangle),
        cmocka_unit_test(test_qr),    cmocka_unit_test(test_triangle_and_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
