/* call.h: the runtime's own kernels, for ops that are no loop nests: CALL items of a plan name
 * them.
 *
 * Each runs rows (or matrices) [begin, end) of a batch; rows are dense and follow one another in
 * every buffer. Results are a function of the operands alone. args[0] is always the dtype
 * (DlrtDtype) of the data. Scratch operands are as long as said, per row, so that rows can run
 * side by side. */
#ifndef DLCC_RUNTIME_CALL_H
#define DLCC_RUNTIME_CALL_H
#include "runtime/plan.h"

/* f64 f32 i64 i32. bufs: x[n], values[n], indices i64[n]. args: dtype, n, descending. Stable:
 * ties keep their order, NaN comes last in both directions. x stays as it is: it shares no
 * memory with the others. */
void dlrt_call_sort(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end);

/* f64 f32 i64 i32. bufs: x[n], values[k], indices i64[k]. args: dtype, n, k, smallest. The k
 * first of dlrt_call_sort (descending unless smallest), in that order. 0 <= k <= n. */
void dlrt_call_top_k(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end);

/* f64 f32. bufs: a[n,n], b[n,m], x[n,m], scratch[n,n]. args: dtype, n, m, transposed. Solves a·x
 * = b (aᵀ·x = b) by LU with partial pivoting; the first of equal pivots is taken. A singular a
 * gives infinities and NaN. x may be b. */
void dlrt_call_solve(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end);

/* f64 f32. bufs: a[m,n], q[m,k], r[k,n], scratch[m,n + 1]. args: dtype, m, n, where k =
 * min(m,n). Householder; the diagonal of r is not negative, which makes the result unique for
 * full rank. */
void dlrt_call_qr(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end);

/* Any dtype. bufs: x[m,n], y[m,n]. args: dtype, m, n, diagonal, lower. Keeps j - i <= diagonal
 * (lower) or >= diagonal, zero elsewhere. y may be x. */
void dlrt_call_triangle(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                        int64_t end);

/* Any. bufs: x, y. args: dtype, bytes a row. y = x; the two may not overlap. */
void dlrt_call_copy(void *const *bufs, const int64_t *args, int64_t B, int64_t begin, int64_t end);

/* bufs: x[n, width], index i64[m], updates[m, width], y like x. args: dtype, mode, width, n, kn, m,
 * km, where n is kn*B if kn > 0, and m likewise. One row of work: all of it. y = x, then
 * y[index[i]] = updates[i] in order of i (mode 0, any dtype), or the product, larger or smaller of
 * both (1, 2, 3; f64 f32 i64 i32 u64, NaN wins). Other indices than 0 <= i < n are skipped. */
void dlrt_call_scatter(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                       int64_t end);

/* f64 f32. bufs: boxes[n,4], valid bool[n], most (one number for all rows), keep bool[n]. args:
 * dtype, n. A valid box stays unless it shares more than `most` of the union with one that stays
 * before it. A box is two opposite corners. */
void dlrt_call_suppress(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                        int64_t end);

/* Solves over a triangle only, as the gradient of solve and of QR need. f64 f32. bufs: a[n,n],
 * b[n,m], x[n,m]. args: dtype, n, m, upper, transposed, unit diagonal. Reads one triangle of a.
 * x may be b. */
void dlrt_call_solve_triangle(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                              int64_t end);

#endif
