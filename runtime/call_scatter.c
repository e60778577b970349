/* call_scatter.c: rows written, or combined with what is there, at indices that are data. Updates
 * are taken in order, so that of several at one place the last one stays; an index outside is
 * skipped. */
#include "runtime/call.h"
#include "runtime/dlrt.h"

#include <math.h>
#include <string.h>

typedef enum { SET, MUL, MAX, MIN } Mode;

/* y[i] = y[i] with u[i] for one row; NaN wins */
#define ROW(name, type, nan)                                                                   \
    static void name(void *y, const void *u, int64_t n, Mode mode)                             \
    {                                                                                          \
        type *a = y;                                                                           \
        const type *b = u;                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                      \
            bool more = mode == MAX ? !(a[i] >= b[i]) : !(a[i] <= b[i]);                       \
            if (mode == MUL)                                                                   \
                a[i] = (type)(a[i] * b[i]);                                                    \
            else if (more && !(nan))                                                           \
                a[i] = b[i];                                                                   \
        }                                                                                      \
    }
ROW(row_f64, double, isnan(a[i]))
ROW(row_f32, float, isnan(a[i]))
ROW(row_u64, uint64_t, false)

/* Signed products wrap, which only unsigned ones do in C. */
#define SIGNED_ROW(name, type, wide)                                                           \
    static void name(void *y, const void *u, int64_t n, Mode mode)                             \
    {                                                                                          \
        type *a = y;                                                                           \
        const type *b = u;                                                                     \
        for (int64_t i = 0; i < n; i++) {                                                      \
            if (mode == MUL)                                                                   \
                a[i] = (type)((wide)a[i] * (wide)b[i]);                                        \
            else if (mode == MAX ? b[i] > a[i] : b[i] < a[i])                                  \
                a[i] = b[i];                                                                   \
        }                                                                                      \
    }
SIGNED_ROW(row_i64, int64_t, uint64_t)
SIGNED_ROW(row_i32, int32_t, uint32_t)

static void combine_row(int dtype, void *y, const void *u, int64_t n, Mode mode)
{
    if (dtype == DLRT_F64)
        row_f64(y, u, n, mode);
    else if (dtype == DLRT_F32)
        row_f32(y, u, n, mode);
    else if (dtype == DLRT_U64)
        row_u64(y, u, n, mode);
    else if (dtype == DLRT_I64)
        row_i64(y, u, n, mode);
    else
        row_i32(y, u, n, mode);
}

void dlrt_call_scatter(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                       int64_t end)
{
    int64_t width = args[2], n = args[4] ? args[4] * B : args[3],
            m = args[6] ? args[6] * B : args[5];
    size_t row = (size_t)width * dlrt_dtype_size((int)args[0]);
    const int64_t *index = bufs[1];
    char *y = bufs[3];
    if (begin >= end)
        return;
    memcpy(y, bufs[0], (size_t)n * row);
    for (int64_t i = 0; i < m; i++) {
        const char *u = (const char *)bufs[2] + (size_t)i * row;
        if (index[i] < 0 || index[i] >= n)
            continue;
        char *to = y + (size_t)index[i] * row;
        if (args[1] == SET)
            memcpy(to, u, row);
        else
            combine_row((int)args[0], to, u, width, (Mode)args[1]);
    }
}
