/* scatter.c: rows of a tensor written, or combined with what is there, at indices that are data.
 *
 * x [N, W..] with updates [M, W..] at index [M], in order, so that of several updates of one row
 * the last one stays. Any number of indexed axes is one axis of rows here: who emits makes one
 * number of several. Adding is an op of its own (scatter_add), whose kernel is a loop nest; the
 * other ways have a function of the runtime, which takes f64 f32 i64 i32 u64, and for overwriting
 * anything: the fold brings other types there. An index outside is skipped. */
#include "ir/ops/rules.h"

#include <string.h>

typedef enum { SET, ADD, MUL, MAX, MIN, MODES } Mode;
static const char *const mode_names[MODES] = { "none", "add", "mul", "max", "min" };

static Mode mode_of(const char *name)
{
    Mode m = SET;
    while (m < MODES && strcmp(name, mode_names[m]))
        m++;
    return m;
}

static const AttrDecl scatter_attrs[] = { { .name = "mode", .kind = ATTR_STRING, .s = "none" },
                                          { 0 } };

static bool scatter_infer(Infer *q)
{
    Mode mode = mode_of(q->attrs[0].s);
    if (mode == MODES) /* C1 */
        return infer_fail(q, DIAG_E0315, "`scatter` has no mode \"%s\"; there are none, add, mul, "
                                         "max, min", q->attrs[0].s);
    if (!rule_integer(q, 1) || !rule_same_dtype(q, 0, 2) ||
        (mode == ADD && !rule_number(q, 0))) /* C2-C4 */
        return false;
    const Shape *x = infer_shape(q, 0), *index = infer_shape(q, 1), *updates = infer_shape(q, 2);
    bool fits = x->rank >= 1 && index->rank == 1 && updates->rank == x->rank &&
                dim_equal(updates->dim[0], index->dim[0]);
    for (uint32_t i = 1; fits && i < x->rank; i++)
        fits = dim_equal(updates->dim[i], x->dim[i]);
    if (!fits) /* C5: rows like x's, one for each index */
        return infer_fail(q, DIAG_E0306, "scatter into %s: %s at the indices %s do not fit",
                          rule_type(q, 0), rule_type(q, 2), rule_type(q, 1));
    for (uint32_t i = 1; i < x->rank; i++)
        if (!rule_pinned(q, 0, i)) /* C6 */
            return false;
    return rule_like(q, 0);
}

static void combine(Ref *q, ScalarOp op, int64_t to, int64_t from)
{
    Value *y = q->out;
    const Value *u = &q->in[2];
    if (op == SC_COPY)
        element_copy(y, to, u, from);
    else if (dtype_is_float(y->dtype))
        y->f[to] = scalar_float(op, (double[]){ y->f[to], u->f[from] });
    else
        y->i[to] = scalar_int(op, y->dtype, (int64_t[]){ y->i[to], u->i[from] });
}

static void scatter_ref(Ref *q)
{
    static const ScalarOp ops[MODES] = { SC_COPY, SC_ADD, SC_MUL, SC_MAXIMUM, SC_MINIMUM };
    Mode mode = mode_of(graph_attr(q->g, q->node, "mode")->s);
    const Value *x = &q->in[0], *index = &q->in[1];
    int64_t width = x->dim[0] ? x->count / x->dim[0] : 0;
    for (int64_t i = 0; i < x->count; i++)
        element_copy(q->out, i, x, i);
    for (int64_t m = 0; m < index->count; m++)
        for (int64_t w = 0; index->i[m] >= 0 && index->i[m] < x->dim[0] && w < width; w++)
            combine(q, ops[mode], index->i[m] * width + w, m * width + w);
}

static NodeId emit_scatter(Graph *g, NodeId x, NodeId index, NodeId updates, Mode mode)
{
    AttrValue name = attr_s(mode_names[mode]);
    return graph_emit(g, OP_scatter, (NodeId[]){ x, index, updates }, 3, &name, 1);
}

static NodeId gather_rows(Graph *g, NodeId x, NodeId index)
{
    AttrValue axis = attr_i(0);
    return graph_emit(g, OP_gather, (NodeId[]){ x, index }, 2, &axis, 1);
}

/* ---- derivatives ---- */

/* True at the elements of the updates that have the rank `wanted` (SET: last, else first) among
 * those at one place for which `meant` holds; meant is NODE_NONE for all of them. */
static NodeId chosen(Grad *q, NodeId meant, Mode mode)
{
    Graph *g = q->g;
    Shape x = *graph_shape(g, q->in[0]), u = *graph_shape(g, q->in[2]);
    double none = mode == SET ? -1 : 0x1p53;
    NodeId order = b_iota(g, &u, 0, DT_I64);
    NodeId candidate =
        meant == NODE_NONE ? order : b_select(g, meant, order, b_like(g, order, none));
    NodeId best =
        emit_scatter(g, b_splat(g, DT_I64, &x, none), q->in[1], candidate, mode);
    return b_binary(g, OP_eq, gather_rows(g, best, q->in[1]), order);
}

/* y_i = x_i where nothing is written, else the last update. */
static void set_grad(Grad *q)
{
    Graph *g = q->g;
    NodeId zero = b_like(g, q->in[2], 0);
    if (q->needs(q, 0))
        q->add(q, 0, emit_scatter(g, q->dy, q->in[1], zero, SET));
    if (q->needs(q, 2))
        q->add(q, 2, b_select(g, chosen(q, NODE_NONE, SET), gather_rows(g, q->dy, q->in[1]), zero));
}

/* y_i = x_i times its updates. For an update it is dy times the product of the others, which is y
 * over it; where there are zeros, that of the rest, unless another one is zero too. */
static void mul_grad(Grad *q)
{
    Graph *g = q->g;
    NodeId u = q->in[2], index = q->in[1], one = b_like(g, u, 1), zero = b_like(g, u, 0);
    if (q->needs(q, 0))
        q->add(q, 0,
               b_mul(g, q->dy, emit_scatter(g, b_like(g, q->in[0], 1), index, u, MUL)));
    if (!q->needs(q, 2))
        return;
    NodeId is_zero = b_binary(g, OP_eq, u, zero), divisor = b_select(g, is_zero, one, u);
    NodeId rest = emit_scatter(g, q->in[0], index, divisor, MUL);
    NodeId zeros = emit_scatter(g, b_like(g, q->in[0], 0), index, b_select(g, is_zero, one, zero),
                                ADD);
    NodeId own = b_select(g, is_zero, one, zero);
    NodeId alone = b_binary(g, OP_eq, gather_rows(g, zeros, index), own);
    NodeId slope = b_div(g, gather_rows(g, b_mul(g, q->dy, rest), index), divisor);
    q->add(q, 2, b_select(g, alone, slope, zero));
}

/* To x where it is the extreme itself, else to the first update that is. */
static void extreme_grad(Grad *q)
{
    Graph *g = q->g;
    NodeId u = q->in[2], index = q->in[1], kept = b_binary(g, OP_eq, q->in[0], q->node);
    if (q->needs(q, 0))
        q->add(q, 0, b_select(g, kept, q->dy, b_like(g, q->dy, 0)));
    if (!q->needs(q, 2))
        return;
    NodeId dy = b_select(g, kept, b_like(g, q->dy, 0), q->dy);
    NodeId equal = b_binary(g, OP_eq, u, gather_rows(g, q->node, index));
    NodeId first = b_binary(g, OP_and, equal, chosen(q, equal, MIN));
    q->add(q, 2, b_select(g, first, gather_rows(g, dy, index), b_like(g, u, 0)));
}

static void scatter_grad(Grad *q)
{
    switch (mode_of(graph_attr(q->g, q->node, "mode")->s)) {
    case SET: set_grad(q); break;
    case MUL: mul_grad(q); break;
    case MAX:
    case MIN: extreme_grad(q); break;
    case ADD: /* never in a graph: see the fold */
    case MODES: break;
    }
}

/* ---- fold ---- */

static Dtype wide_enough(Dtype t, Mode mode)
{
    if (mode == SET || t == DT_F64 || t == DT_I64 || t == DT_U64)
        return t;
    if (dtype_is_float(t))
        return DT_F32;
    return t == DT_U32 ? DT_I64 : DT_I32;
}

FOLD(scatter_fold)
{
    FOLD_UNUSED;
    NodeId x = in[0], index = in[1], u = in[2];
    Mode mode = mode_of(attrs[0].s);
    if (mode == ADD) {
        AttrValue to[] = { attr_i(0), attr_i(shape->dim[0].n), attr_i(shape->dim[0].k) };
        NodeId sum = graph_emit(g, OP_scatter_add, (NodeId[]){ index, u }, 2, to, 3);
        return b_add(g, x, sum);
    }
    Dtype t = wide_enough(dtype, mode);
    if (t == dtype && graph_dtype(g, index) == DT_I64)
        return NODE_NONE;
    if (graph_dtype(g, index) == DT_U64) { /* beyond i64: outside, and stays there */
        NodeId past = b_like(g, index, 0x1p62);
        index = b_binary(g, OP_minimum, index, past);
    }
    NodeId y = emit_scatter(g, b_cast(g, x, t), b_cast(g, index, DT_I64), b_cast(g, u, t), mode);
    return b_cast(g, y, dtype);
}

/* ---- cases: also places written several times ---- */

static NodeId scatter_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t rank;
        int64_t n, m, width[2];
    } t[] = { { 1, 7, 5, { 0 } },     { 2, 5, 11, { 3 } },   { 3, 3, 4, { 2, 5 } },
              { 1, -1, 6, { 0 } },    { 2, 4, 0, { 3 } },    { 2, 3, -1, { 2 } },
              { 2, 4, 3, { 0 } } };
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_U8, DT_BOOL, DT_F16, DT_U64 };
    static const Dtype index_types[] = { DT_I64, DT_I32, DT_U8 };
    enum { COUNT = sizeof t / sizeof *t, TYPES = sizeof types / sizeof *types };
    if (i >= 4 * COUNT + TYPES * MODES - 1) /* no sums of bools */
        return NODE_NONE;
    bool shapes = i < 4 * COUNT;
    uint32_t k = shapes ? i % COUNT : 1, j = shapes ? 0 : i - 4 * COUNT;
    Mode modes[] = { SET, MUL, MAX, MIN }, mode = shapes ? modes[i / COUNT] : (Mode)(j % MODES);
    Dtype type = shapes ? (i & 1 ? DT_F64 : DT_F32) : types[j / MODES];
    if (type == DT_BOOL && mode == ADD)
        mode = SET;
    double hi = type == DT_BOOL ? 1 : 3, lo = type == DT_BOOL || !dtype_is_signed(type) ? 0 : -3;
    int64_t dims[3] = { t[k].n, t[k].width[0], t[k].width[1] };
    NodeId x = case_input(g, r, type, t[k].rank, dims, lo, hi, true);
    dims[0] = t[k].m;
    NodeId updates = case_input(g, r, type, t[k].rank, dims, lo, hi, true);
    Dtype index_type = index_types[i % 3];
    NodeId index = case_input(g, r, index_type, 1, dims, 0, t[k].n < 0 ? 2 : (double)t[k].n - 1,
                              false);
    return emit_scatter(g, x, index, updates, mode);
}

const OpDef op_scatter = {
    .name = "scatter",
    .doc = "x with its rows at the indices replaced by, or combined with, those of updates",
    .min_in = 3, .max_in = 3, .attrs = scatter_attrs, .infer = scatter_infer, .grad = scatter_grad,
    .ref = scatter_ref, .fold = scatter_fold, .lower = LOWER_CALL, .call = "dlrt_call_scatter",
    .cases = scatter_cases,
};
