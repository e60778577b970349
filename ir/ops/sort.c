/* sort.c: places of elements in the order of their values: of all, or of the first few.
 *
 * The runtime sorts dense rows of f64 f32 i64 i32: the folds bring other axes and types into that
 * form, so that a node of these ops is always one call. */
#include "ir/ops/rules.h"

#include <math.h>
#include <string.h>

/* ---- argsort ---- */

static const AttrDecl argsort_attrs[] = {
    { .name = "axis", .kind = ATTR_INT, .required = true },
    { .name = "descending", .kind = ATTR_INT },
    { .name = "dtype", .kind = ATTR_DTYPE, .i = DT_I32 },
    { 0 },
};

static bool argsort_infer(Infer *q)
{
    if (!rule_axis(q, "axis", 0) || !rule_range(q, "descending", 0, 1) ||
        !rule_pinned(q, 0, (uint32_t)q->attrs[0].i)) /* C1-C3 */
        return false;
    rule_like(q, 0);
    q->dtype = (Dtype)q->attrs[2].i;
    return dtype_is_integer(q->dtype) || /* C4 */
           infer_fail(q, DIAG_E0304, "%s gives places, which are integers, not %s", rule_name(q),
                      dtype_name(q->dtype));
}

/* x[i] sorts before x[j]; NaN last either way */
static bool sorts_before(const Value *x, int64_t i, int64_t j, bool descending)
{
    if (x->dtype == DT_U64)
        return descending ? (uint64_t)x->i[i] > (uint64_t)x->i[j]
                          : (uint64_t)x->i[i] < (uint64_t)x->i[j];
    if (!dtype_is_float(x->dtype))
        return descending ? x->i[i] > x->i[j] : x->i[i] < x->i[j];
    if (isnan(x->f[i]) || isnan(x->f[j]))
        return !isnan(x->f[i]);
    return descending ? x->f[i] > x->f[j] : x->f[i] < x->f[j];
}

/* The place of each element: how many sort before it, or are equal and stand before it. Places past
 * the result's extent are left out. */
static void places_ref(Ref *q)
{
    int64_t axis = node_int(q->g, q->node, "axis"), at[MAX_RANK] = { 0 }, i = 0;
    bool descending = node_int(q->g, q->node, "descending");
    const Value *x = q->in;
    int64_t stride = index_stride(x, axis);
    if (!x->count)
        return;
    do {
        int64_t row = i - at[axis] * stride, place = 0, to[MAX_RANK];
        for (int64_t j = 0; j < x->dim[axis]; j++) {
            int64_t other = row + j * stride;
            place += sorts_before(x, other, i, descending) ||
                     (j < at[axis] && !sorts_before(x, i, other, descending));
        }
        memcpy(to, at, sizeof to);
        to[axis] = place;
        if (place < q->out->dim[axis])
            q->out->i[index_offset(q->out, to)] = at[axis];
        i++;
    } while (index_next(x, at));
}

static Dtype sortable(Dtype t)
{
    if (t == DT_F16 || t == DT_BF16)
        return DT_F32;
    if (dtype_is_float(t) || t == DT_I64)
        return t;
    return t == DT_U32 || t == DT_U64 ? DT_I64 : DT_I32;
}

/* In a type that can be sorted, in the same order: u64 with its first bit turned is an i64. */
static NodeId as_sortable(Graph *g, NodeId x)
{
    Dtype t = graph_dtype(g, x);
    NodeId y = b_cast(g, x, sortable(t));
    return t == DT_U64 ? b_binary(g, OP_xor, y, b_like(g, y, -0x1p63)) : y;
}

/* Along the last axis, of a sortable type, with i64 places: attributes axis, descending, dtype, and
 * more. */
FOLD(places_fold)
{
    FOLD_UNUSED;
    NodeId x = in[0];
    uint32_t axis = (uint32_t)attrs[0].i, last = shape->rank - 1;
    if (axis == last && dtype == DT_I64 && sortable(graph_dtype(g, x)) == graph_dtype(g, x))
        return NODE_NONE;
    int64_t perm[MAX_RANK];
    for (uint32_t i = 0; i < shape->rank; i++)
        perm[i] = i == axis ? last : i == last ? axis : i;
    x = b_transpose(g, as_sortable(g, x), perm);
    AttrValue plain[] = { attr_i(last), attrs[1], attr_dtype(DT_I64), { 0 } };
    if (op == OP_argtop)
        plain[3] = attrs[3];
    NodeId y = graph_emit(g, op, &x, 1, plain, op == OP_argtop ? 4 : 3);
    return b_cast(g, b_transpose(g, y, perm), dtype);
}

static const struct {
    uint32_t rank, axis;
    int64_t dims[3], k;
} cases[] = { { 1, 0, { 13 }, 4 },    { 2, 1, { 3, 37 }, 1 }, { 2, 0, { 5, 3 }, 5 },
              { 2, 1, { -1, 7 }, 3 }, { 2, 1, { 4, 0 }, 0 },  { 1, 0, { 1 }, 1 },
              { 2, 0, { 9, 4 }, 2 } };
enum { CASES = sizeof cases / sizeof *cases };

static NodeId places_cases(Graph *g, CaseRng *r, uint32_t i, Op op)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_I64, DT_U8, DT_BOOL, DT_U64 };
    if (i >= 7 * CASES)
        return NODE_NONE;
    Dtype type = types[i / CASES];
    uint32_t c = i % CASES;
    double hi = type == DT_BOOL ? 1 : type == DT_U64 ? 0x1.8p63 : 9;
    NodeId x = case_input(g, r, type, cases[c].rank, cases[c].dims, 0, hi, false);
    AttrValue attrs[] = { attr_i(cases[c].axis), attr_i(i & 1),
                          attr_dtype(i % 3 ? DT_I32 : DT_I64), attr_i(cases[c].k) };
    return graph_emit(g, op, &x, 1, attrs, op == OP_argtop ? 4 : 3);
}

static NodeId argsort_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return places_cases(g, r, i, OP_argsort);
}

const OpDef op_argsort = {
    .name = "argsort", .doc = "places of the elements in sorted order along axis, stable, NaN last",
    .min_in = 1, .max_in = 1, .attrs = argsort_attrs, .infer = argsort_infer, .zero_grad = true,
    .ref = places_ref, .fold = places_fold, .lower = LOWER_CALL, .call = "dlrt_call_sort",
    .cases = argsort_cases,
};

/* ---- argtop ---- */

static const AttrDecl argtop_attrs[] = {
    { .name = "axis", .kind = ATTR_INT, .required = true },
    { .name = "descending", .kind = ATTR_INT, .i = 1 },
    { .name = "dtype", .kind = ATTR_DTYPE, .i = DT_I32 },
    { .name = "k", .kind = ATTR_INT, .required = true },
    { 0 },
};

static bool argtop_infer(Infer *q)
{
    if (!argsort_infer(q)) /* C1-C4 */
        return false;
    Dim *d = &q->shape.dim[q->attrs[0].i];
    if (!rule_range(q, "k", 0, d->n)) /* C5 */
        return false;
    *d = dim_of(q->attrs[3].i);
    return true;
}

static NodeId argtop_cases(Graph *g, CaseRng *r, uint32_t i)
{
    return places_cases(g, r, i, OP_argtop);
}

const OpDef op_argtop = {
    .name = "argtop", .doc = "the first k places of argsort", .min_in = 1, .max_in = 1,
    .attrs = argtop_attrs, .infer = argtop_infer, .zero_grad = true, .ref = places_ref,
    .fold = places_fold, .lower = LOWER_CALL, .call = "dlrt_call_top_k", .cases = argtop_cases,
};
