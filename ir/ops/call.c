/* call.c: what is no loop nest: bits as another type, linear systems, orthogonal factors. The
 * runtime has a function for each, which takes dense matrices one after another. */
#include "ir/ops/rules.h"

#include <math.h>
#include <string.h>

/* ---- bitcast ---- */

static bool bitcast_infer(Infer *q)
{
    Dtype to = (Dtype)q->attrs[0].i;
    if (dtype_size(infer_dtype(q, 0)) != dtype_size(to) || to == DT_BOOL) /* C1, C2 */
        return infer_fail(q, DIAG_E0304, "the bits of %s are not those of %s values",
                          rule_type(q, 0), dtype_name(to));
    rule_like(q, 0);
    q->dtype = to;
    return true;
}

static void bitcast_ref(Ref *q)
{
    const Value *x = q->in;
    Shape flat = { .rank = 1, .dim = { dim_of(x->count) } };
    void *bytes = arena_alloc(q->arena, (size_t)x->count * dtype_size(x->dtype));
    value_to_bytes(x, bytes);
    Value y = value_from_bytes(q->arena, q->out->dtype, &flat, bytes);
    for (int64_t i = 0; i < y.count; i++)
        element_copy(q->out, i, &y, i);
}

FOLD(bitcast_fold)
{
    FOLD_UNUSED;
    return graph_dtype(g, in[0]) == dtype ? in[0] : NODE_NONE;
}

static NodeId bitcast_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype pairs[][2] = {
        { DT_F32, DT_I32 }, { DT_I32, DT_F32 }, { DT_F64, DT_U64 }, { DT_I64, DT_F64 },
        { DT_F16, DT_U16 }, { DT_I16, DT_BF16 }, { DT_BOOL, DT_U8 }, { DT_U8, DT_I8 },
    };
    static const int64_t dims[][2] = { { 3, 7 }, { -1, 5 }, { 0, 4 } };
    if (i >= 24)
        return NODE_NONE;
    Dtype from = pairs[i / 3][0];
    double hi = from == DT_BOOL ? 1 : 9, lo = dtype_is_signed(from) ? -9 : 0;
    if (from == DT_I32)
        lo = 0x1p29, hi = 0x1p30; /* numbers of a moderate size as f32 */
    if (from == DT_I64)
        lo = 0x1p61, hi = 0x1p62;
    if (from == DT_I16)
        lo = 0x3000, hi = 0x4000;
    NodeId x = case_input(g, r, from, 2, dims[i % 3], lo, hi, false);
    AttrValue to = attr_dtype(pairs[i / 3][1]);
    return graph_emit(g, OP_bitcast, &x, 1, &to, 1);
}

static const AttrDecl bitcast_attrs[] = {
    { .name = "dtype", .kind = ATTR_DTYPE, .required = true }, { 0 }
};
const OpDef op_bitcast = {
    .name = "bitcast", .doc = "the same bits as another type of that size", .min_in = 1,
    .max_in = 1, .attrs = bitcast_attrs, .infer = bitcast_infer,
    .ref = bitcast_ref, .fold = bitcast_fold, .lower = LOWER_CALL, .call = "dlrt_call_copy",
    .cases = bitcast_cases,
};

/* ---- solve ---- */

static bool linear_float(Infer *q)
{
    Dtype t = infer_dtype(q, 0);
    return t == DT_F32 || t == DT_F64 ||
           infer_fail(q, DIAG_E0304, "%s needs f32 or f64 matrices; this is %s", rule_name(q),
                      rule_type(q, 0));
}

static bool solve_infer(Infer *q)
{
    const Shape *a = infer_shape(q, 0), *b = infer_shape(q, 1);
    if (!linear_float(q) || !rule_same_dtype(q, 0, 1)) /* C1, C2 */
        return false;
    bool fits = a->rank >= 2 && a->rank == b->rank;
    uint32_t row = a->rank - 2;
    for (uint32_t i = 0; fits && i < row; i++)
        fits = dim_equal(a->dim[i], b->dim[i]);
    fits = fits && dim_equal(a->dim[row], a->dim[row + 1]) && dim_equal(a->dim[row], b->dim[row]);
    if (!fits) /* C3: [..., n, n] and [..., n, m] */
        return infer_fail(q, DIAG_E0321, "solve needs a [n, n] and b [n, m], not %s and %s",
                          rule_type(q, 0), rule_type(q, 1));
    return rule_pinned(q, 0, row) && rule_pinned(q, 1, row + 1) && rule_like(q, 1); /* C4 */
}

static NodeId matrix_transpose(Graph *g, NodeId x)
{
    int64_t perm[MAX_RANK];
    uint32_t rank = graph_shape(g, x)->rank;
    for (uint32_t i = 0; i < rank; i++)
        perm[i] = i;
    perm[rank - 2] = rank - 1;
    perm[rank - 1] = rank - 2;
    return b_transpose(g, x, perm);
}

/* db = solve(a^T, dy), da = -db y^T */
static void solve_grad(Grad *q)
{
    Graph *g = q->g;
    static const char batch[] = "abcdef";
    uint32_t rank = graph_shape(g, q->node)->rank;
    int letters = (int)rank - 2;
    NodeId db = b_binary(g, OP_solve, matrix_transpose(g, q->in[0]), q->dy);
    q->add(q, 1, db);
    if (!q->needs(q, 0))
        return;
    const char *spec = arena_printf(g->unit->arena, "%.*sik,%.*sjk->%.*sij", letters, batch,
                                    letters, batch, letters, batch);
    q->add(q, 0, b_neg(g, b_dot(g, db, q->node, spec)));
}

/* Gauss elimination with the largest pivot, of one matrix; a and b are overwritten, b by the
 * result. */
static void solve_one(double *a, double *b, int64_t n, int64_t m)
{
    for (int64_t k = 0; k < n; k++) {
        int64_t p = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[p * n + k]))
                p = i;
        for (int64_t j = 0; j < n + m; j++) {
            double *x = j < n ? &a[k * n + j] : &b[k * m + j - n],
                   *y = j < n ? &a[p * n + j] : &b[p * m + j - n], t = *x;
            *x = *y;
            *y = t;
        }
        for (int64_t i = 0; i < n; i++) {
            double f = a[i * n + k] / a[k * n + k];
            for (int64_t j = 0; i != k && j < n + m; j++)
                *(j < n ? &a[i * n + j] : &b[i * m + j - n]) -=
                    f * (j < n ? a[k * n + j] : b[k * m + j - n]);
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++)
            b[i * m + j] /= a[i * n + i];
}

static void solve_ref(Ref *q)
{
    const Value *a = &q->in[0], *b = &q->in[1];
    int64_t n = b->dim[b->rank - 2], m = b->dim[b->rank - 1];
    if (!b->count)
        return;
    double *copy = arena_new_array(q->arena, double, (size_t)a->count);
    memcpy(copy, a->f, (size_t)a->count * sizeof *copy);
    memcpy(q->out->f, b->f, (size_t)b->count * sizeof *copy);
    for (int64_t i = 0; i < b->count / (n * m); i++)
        solve_one(copy + i * n * n, q->out->f + i * n * m, n, m);
}

/* a + 4 I keeps the matrix well away from singular ones. */
static NodeId well_conditioned(Graph *g, NodeId a)
{
    Shape s = *graph_shape(g, a);
    NodeId diagonal =
        b_binary(g, OP_eq, b_iota(g, &s, s.rank - 2, DT_I32), b_iota(g, &s, s.rank - 1, DT_I32));
    return b_add(g, a, b_select(g, diagonal, b_like(g, a, 4), b_like(g, a, 0)));
}

static NodeId solve_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t rank;
        int64_t a[3], b[3];
    } t[] = { { 2, { 3, 3 }, { 3, 2 } },
              { 2, { 1, 1 }, { 1, 1 } },
              { 3, { 2, 5, 5 }, { 2, 5, 3 } },
              { 3, { -1, 3, 3 }, { -1, 3, 1 } },
              { 2, { 4, 4 }, { 4, 0 } } };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 2 * COUNT)
        return NODE_NONE;
    Dtype type = i < COUNT ? DT_F64 : DT_F32;
    i %= COUNT;
    NodeId a = case_input(g, r, type, t[i].rank, t[i].a, -1, 1, false);
    return b_binary(g, OP_solve, well_conditioned(g, a),
                    case_input(g, r, type, t[i].rank, t[i].b, -1, 1, false));
}

const OpDef op_solve = {
    .name = "solve", .doc = "the x with a x = b, for matrices along the last two axes", .min_in = 2,
    .max_in = 2, .infer = solve_infer, .grad = solve_grad, .ref = solve_ref, .lower = LOWER_CALL,
    .call = "dlrt_call_solve", .cases = solve_cases,
};

/* ---- QR ---- */

static bool qr_infer(Infer *q)
{
    const Shape *a = infer_shape(q, 0);
    if (!linear_float(q)) /* C1 */
        return false;
    if (a->rank < 2) /* C2 */
        return infer_fail(q, DIAG_E0321, "%s needs a matrix [m, n], not %s", rule_name(q),
                          rule_type(q, 0));
    uint32_t row = a->rank - 2;
    if (!rule_pinned(q, 0, row) || !rule_pinned(q, 0, row + 1)) /* C3 */
        return false;
    rule_like(q, 0);
    int64_t k = a->dim[row].n < a->dim[row + 1].n ? a->dim[row].n : a->dim[row + 1].n;
    q->shape.dim[q->op == OP_qr_q ? row + 1 : row] = dim_of(k);
    return true;
}

/* Gram and Schmidt, each column made orthogonal twice, which is as good as Householder; r's
 * diagonal is not negative. a is [m, n], q [m, k], r [k, n]. */
static void qr_one(const double *a, double *q, double *r, int64_t m, int64_t n)
{
    int64_t k = m < n ? m : n;
    for (int64_t j = 0; j < k; j++) {
        for (int64_t i = 0; i < m; i++)
            q[i * k + j] = a[i * n + j];
        for (int64_t pass = 0; pass < 2 * j; pass++) {
            int64_t c = pass % j;
            double along = 0;
            for (int64_t i = 0; i < m; i++)
                along += q[i * k + c] * q[i * k + j];
            for (int64_t i = 0; i < m; i++)
                q[i * k + j] -= along * q[i * k + c];
        }
        double norm = 0;
        for (int64_t i = 0; i < m; i++)
            norm += q[i * k + j] * q[i * k + j];
        for (int64_t i = 0; i < m; i++)
            q[i * k + j] /= sqrt(norm);
    }
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i; j < n; j++)
            for (int64_t l = 0; l < m; l++)
                r[i * n + j] += q[l * k + i] * a[l * n + j];
}

static void qr_ref(Ref *q)
{
    const Value *a = q->in;
    int64_t m = a->dim[a->rank - 2], n = a->dim[a->rank - 1], k = m < n ? m : n;
    bool wants_q = graph_node(q->g, q->node)->op == OP_qr_q;
    if (!q->out->count || !a->count)
        return;
    double *other = arena_new_array(q->arena, double, (size_t)(m > n ? m : n) * (size_t)k);
    for (int64_t i = 0; i < a->count / (m * n); i++) {
        double *mine = q->out->f + i * k * (wants_q ? m : n);
        memset(other, 0, (size_t)(m > n ? m : n) * (size_t)k * sizeof *other);
        qr_one(a->f + i * m * n, wants_q ? mine : other, wants_q ? other : mine, m, n);
    }
}

static NodeId qr_cases(Graph *g, CaseRng *r, uint32_t i, Op op)
{
    static const struct {
        uint32_t rank;
        int64_t dims[3];
    } t[] = { { 2, { 3, 3 } },    { 2, { 5, 2 } },     { 2, { 2, 4 } },
              { 3, { 2, 3, 2 } }, { 3, { -1, 3, 3 } }, { 2, { 1, 1 } } };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 2 * COUNT)
        return NODE_NONE;
    NodeId a = case_input(g, r, i < COUNT ? DT_F64 : DT_F32, t[i % COUNT].rank, t[i % COUNT].dims,
                          -1, 1, false);
    return b_unary(g, op, well_conditioned(g, a));
}

static NodeId qr_q_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return qr_cases(g, r, i, OP_qr_q);
}

static NodeId qr_r_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return qr_cases(g, r, i, OP_qr_r);
}

const OpDef op_qr_q = {
    .name = "qr_q", .doc = "the factor q of a = q r: orthogonal columns [m, min(m, n)]",
    .min_in = 1, .max_in = 1, .infer = qr_infer, .ref = qr_ref, .lower = LOWER_CALL,
    .call = "dlrt_call_qr", .cases = qr_q_cases,
};
const OpDef op_qr_r = {
    .name = "qr_r",
    .doc = "the factor r of a = q r: upper triangle [min(m, n), n], its diagonal not negative",
    .min_in = 1, .max_in = 1, .infer = qr_infer, .ref = qr_ref, .lower = LOWER_CALL,
    .call = "dlrt_call_qr", .cases = qr_r_cases,
};
