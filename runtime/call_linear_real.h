/* call_linear_real.h: dense linear algebra for one REAL (float or double), included once for
 * each by call_linear.c. Row-major, inner loops along rows; sums in order of index; NAME(x) adds
 * the suffix. Nothing here is fused by the compiler (-ffp-contract=off): the bits are those of
 * the formulas. */

static void NAME(add_row)(REAL *to, const REAL *from, REAL factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] -= factor * from[i];
}

static void NAME(swap_rows)(REAL *a, REAL *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        REAL t = a[i];
        a[i] = b[i];
        b[i] = t;
    }
}

/* lu (n, n) is destroyed, x (n, m) holds b and becomes the solution: elimination with partial
 * pivoting on both at once, then back substitution. */
static void NAME(solve)(REAL *lu, REAL *x, int64_t n, int64_t m)
{
    for (int64_t c = 0; c < n; c++) {
        int64_t best = c;
        for (int64_t i = c + 1; i < n; i++)
            if (ABS(lu[i * n + c]) > ABS(lu[best * n + c]))
                best = i;
        if (best != c) {
            NAME(swap_rows)(lu + best * n + c, lu + c * n + c, n - c);
            NAME(swap_rows)(x + best * m, x + c * m, m);
        }
        for (int64_t i = c + 1; i < n; i++) {
            REAL factor = lu[i * n + c] / lu[c * n + c];
            NAME(add_row)(lu + i * n + c + 1, lu + c * n + c + 1, factor, n - c - 1);
            NAME(add_row)(x + i * m, x + c * m, factor, m);
        }
    }
    for (int64_t i = n; i-- > 0;) {
        for (int64_t k = i + 1; k < n; k++)
            NAME(add_row)(x + i * m, x + k * m, lu[i * n + k], m);
        for (int64_t k = 0; k < m; k++)
            x[i * m + k] /= lu[i * n + i];
    }
}

/* x (n, m) holds b. Element (i, k) of the matrix is a[i * row + k * column]. */
static void NAME(solve_triangle)(const REAL *a, int64_t row, int64_t column, REAL *x, int64_t n,
                                 int64_t m, bool upper, bool unit)
{
    for (int64_t s = 0; s < n; s++) {
        int64_t i = upper ? n - 1 - s : s;
        int64_t from = upper ? i + 1 : 0, to = upper ? n : i;
        for (int64_t k = from; k < to; k++)
            NAME(add_row)(x + i * m, x + k * m, a[i * row + k * column], m);
        for (int64_t k = 0; k < m && !unit; k++)
            x[i * m + k] /= a[i * row + i * column];
    }
}

/* Makes the reflector I - tau v vT, v = (1, v1, ...), that maps column c of h (m, n), from row c
 * down, to (beta, 0, ...). Leaves beta on the diagonal and v below it; returns tau. Scaled by the
 * largest element, so that squares neither overflow nor vanish. */
static REAL NAME(reflector)(REAL *h, int64_t m, int64_t n, int64_t c)
{
    REAL scale = 0, sum = 0, alpha = h[c * n + c];
    for (int64_t i = c; i < m; i++) {
        REAL v = ABS(h[i * n + c]);
        scale = v > scale || v != v ? v : scale;
    }
    bool below = false;
    for (int64_t i = c + 1; i < m; i++)
        below |= h[i * n + c] != 0;
    if (!below) /* zero below already, or the last row */
        return 0;
    for (int64_t i = c; i < m; i++) {
        REAL v = h[i * n + c] / scale;
        sum += v * v;
    }
    REAL norm = scale * SQRT(sum), beta = alpha > 0 ? -norm : norm;
    REAL top = alpha - beta; /* no cancellation: their signs differ */
    for (int64_t i = c + 1; i < m; i++)
        h[i * n + c] /= top;
    h[c * n + c] = beta;
    return -top / beta;
}

/* Applies reflector c of h to columns [from, width) of t (m, width). `w` has room for width. */
static void NAME(reflect)(const REAL *h, int64_t m, int64_t n, int64_t c, REAL tau, REAL *t,
                          int64_t from, int64_t width, REAL *w)
{
    for (int64_t k = from; k < width; k++)
        w[k] = t[c * width + k];
    for (int64_t i = c + 1; i < m; i++)
        for (int64_t k = from; k < width; k++)
            w[k] += h[i * n + c] * t[i * width + k];
    for (int64_t k = from; k < width; k++)
        t[c * width + k] -= tau * w[k];
    for (int64_t i = c + 1; i < m; i++)
        for (int64_t k = from; k < width; k++)
            t[i * width + k] -= h[i * n + c] * (tau * w[k]);
}

/* h (m, n) holds a; tau has room for m. q (m, k), r (k, n), k = min(m, n). r serves as the
 * reflections' workspace before it is written. */
static void NAME(qr)(REAL *h, REAL *tau, REAL *q, REAL *r, int64_t m, int64_t n)
{
    int64_t k = m < n ? m : n;
    for (int64_t c = 0; c < k; c++) {
        tau[c] = NAME(reflector)(h, m, n, c);
        if (tau[c] != 0)
            NAME(reflect)(h, m, n, c, tau[c], h, c + 1, n, r);
    }
    for (int64_t i = 0; i < m * k; i++)
        q[i] = i / k == i % k;
    for (int64_t c = k; c-- > 0;)
        if (tau[c] != 0)
            NAME(reflect)(h, m, n, c, tau[c], q, c, k, r);
    for (int64_t i = 0; i < k; i++) {
        bool negative = h[i * n + i] < 0;
        for (int64_t c = 0; c < n; c++)
            r[i * n + c] = c < i ? 0 : negative ? -h[i * n + c] : h[i * n + c];
        for (int64_t row = 0; row < m && negative; row++)
            q[row * k + i] = -q[row * k + i];
    }
}

static void NAME(copy)(REAL *to, const REAL *from, int64_t n, bool transposed)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < n; k++)
            to[i * n + k] = transposed ? from[k * n + i] : from[i * n + k];
}
