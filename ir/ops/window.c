/* window.c: windows of an axis, their adjoint, and values side by side.
 *
 * Pooling is windows and a reduction, convolution is windows and a contraction; windows itself only
 * moves indices, so that no im2col matrix is ever stored. */
#include "ir/ops/rules.h"

#include <string.h>

static const AttrDecl windows_attrs[] = {
    { .name = "axis", .kind = ATTR_INT, .required = true },
    { .name = "size", .kind = ATTR_INT, .required = true },
    { .name = "stride", .kind = ATTR_INT, .i = 1 },
    { .name = "dilation", .kind = ATTR_INT, .i = 1 },
    { 0 },
};

/* The extent that a window of `size` elements covers, or a huge number. */
static int64_t window_span(int64_t size, int64_t dilation)
{
    int64_t span;
    return __builtin_mul_overflow(size - 1, dilation, &span) || span == INT64_MAX ? INT64_MAX
                                                                                  : span + 1;
}

static bool windows_infer(Infer *q)
{
    if (!rule_axis(q, "axis", 0) || !rule_rank(q, infer_shape(q, 0)->rank + 1) || /* C1 */
        !rule_range(q, "size", 1, INT64_MAX) || !rule_range(q, "stride", 1, INT64_MAX) ||
        !rule_range(q, "dilation", 1, INT64_MAX)) /* C2 */
        return false;
    uint32_t axis = (uint32_t)q->attrs[0].i;
    int64_t n = infer_shape(q, 0)->dim[axis].n, span = window_span(q->attrs[1].i, q->attrs[3].i);
    if (!rule_pinned(q, 0, axis)) /* C3: not along the batch */
        return false;
    if (span > n) /* C4: the window fits */
        return infer_fail(q, DIAG_E0316,
                          "a window over %lld elements does not fit into axis %u of %s",
                          (long long)span, axis, rule_type(q, 0));
    rule_like(q, 0);
    q->shape.rank++;
    for (uint32_t i = q->shape.rank - 1; i > axis + 1; i--)
        q->shape.dim[i] = q->shape.dim[i - 1];
    q->shape.dim[axis] = dim_of((n - span) / q->attrs[2].i + 1);
    q->shape.dim[axis + 1] = dim_of(q->attrs[1].i);
    return rule_result(q);
}

static void windows_grad(Grad *q)
{
    Graph *g = q->g;
    int64_t axis = node_int(g, q->node, "axis");
    AttrValue attrs[] = {
        attr_i(axis),
        attr_i(graph_shape(g, q->in[0])->dim[axis].n),
        attr_i(node_int(g, q->node, "stride")),
        attr_i(node_int(g, q->node, "dilation")),
    };
    q->add(q, 0, graph_emit(g, OP_overlap_add, &q->dy, 1, attrs, 4));
}

static void windows_ref(Ref *q)
{
    int64_t axis = node_int(q->g, q->node, "axis"), stride = node_int(q->g, q->node, "stride");
    int64_t dilation = node_int(q->g, q->node, "dilation"), at[MAX_RANK] = { 0 }, from[MAX_RANK],
            o = 0;
    if (!q->out->count)
        return;
    do {
        for (uint32_t i = 0; i < q->in->rank; i++)
            from[i] = i < axis    ? at[i]
                      : i == axis ? at[i] * stride + at[i + 1] * dilation
                                  : at[i + 1];
        element_copy(q->out, o++, q->in, index_offset(q->in, from));
    } while (index_next(q->out, at));
}

static bool windows_move(const Graph *g, NodeId node, IndexMap *map)
{
    int64_t axis = node_int(g, node, "axis");
    map->at[axis] = affine_add(affine_scale(map->at[axis], node_int(g, node, "stride")),
                               affine_scale(map->at[axis + 1], node_int(g, node, "dilation")));
    map->rank--;
    for (uint32_t i = (uint32_t)axis + 1; i < map->rank; i++)
        map->at[i] = map->at[i + 1];
    return true;
}

/* Windows that do not overlap and leave nothing over are a reshape; so are windows of one
 * element. */
FOLD(windows_fold)
{
    FOLD_UNUSED;
    int64_t axis = attrs[0].i, size = attrs[1].i, stride = attrs[2].i,
            extent = graph_shape(g, in[0])->dim[axis].n;
    bool single = size == 1 && stride == 1;
    return single || (attrs[3].i == 1 && stride == size && extent % size == 0)
               ? b_reshape(g, in[0], shape)
               : NODE_NONE;
}

/* ---- overlap_add ---- */

enum { MAX_LINES = 64 }; /* of windows that are added as moved lines */

static const AttrDecl overlap_attrs[] = {
    { .name = "axis", .kind = ATTR_INT, .required = true },
    { .name = "extent", .kind = ATTR_INT, .required = true },
    { .name = "stride", .kind = ATTR_INT, .i = 1 },
    { .name = "dilation", .kind = ATTR_INT, .i = 1 },
    { 0 },
};

static bool overlap_infer(Infer *q)
{
    if (!rule_float(q, 0) || !rule_axis(q, "axis", 0) ||
        !rule_range(q, "stride", 1, INT64_MAX) || /* C1, C2 */
        !rule_range(q, "dilation", 1, INT64_MAX) || !rule_range(q, "extent", 0, INT64_MAX))
        return false;
    const Shape *y = infer_shape(q, 0);
    uint32_t axis = (uint32_t)q->attrs[0].i;
    if (axis + 1 >= y->rank) /* C3: an axis of windows and one of their elements */
        return infer_fail(q, DIAG_E0307, "overlap_add of %s: no axis after axis %u",
                          rule_type(q, 0), axis);
    if (!rule_pinned(q, 0, axis) || !rule_pinned(q, 0, axis + 1)) /* C4 */
        return false;
    int64_t size = y->dim[axis + 1].n, extent = q->attrs[1].i,
            span = window_span(size, q->attrs[3].i);
    if (size < 1 || span > extent ||
        y->dim[axis].n != (extent - span) / q->attrs[2].i + 1) /* C5: it is windows' result */
        return infer_fail(q, DIAG_E0316,
                          "overlap_add of %s: axis %u is not the windows of %lld elements",
                          rule_type(q, 0), axis, (long long)extent);
    rule_like(q, 0);
    q->shape.rank--;
    q->shape.dim[axis] = dim_of(extent);
    for (uint32_t i = axis + 1; i < q->shape.rank; i++)
        q->shape.dim[i] = y->dim[i + 1];
    return rule_result(q);
}

static void overlap_grad(Grad *q)
{
    Graph *g = q->g;
    int64_t axis = node_int(g, q->node, "axis");
    AttrValue attrs[] = {
        attr_i(axis),
        attr_i(graph_shape(g, q->in[0])->dim[axis + 1].n),
        attr_i(node_int(g, q->node, "stride")),
        attr_i(node_int(g, q->node, "dilation")),
    };
    q->add(q, 0, graph_emit(g, OP_windows, &q->dy, 1, attrs, 4));
}

static void overlap_ref(Ref *q)
{
    int64_t axis = node_int(q->g, q->node, "axis"), stride = node_int(q->g, q->node, "stride");
    int64_t dilation = node_int(q->g, q->node, "dilation"), at[MAX_RANK] = { 0 }, to[MAX_RANK],
            o = 0;
    if (!q->in->count)
        return;
    do {
        for (uint32_t i = 0; i < q->out->rank; i++)
            to[i] = i < axis    ? at[i]
                    : i == axis ? at[i] * stride + at[i + 1] * dilation
                                : at[i + 1];
        q->out->f[index_offset(q->out, to)] += q->in->f[o++];
    } while (index_next(q->in, at));
}

/* Windows that do not overlap: the reshape back, and zeros where windows left elements over. */
static NodeId overlap_disjoint(Graph *g, NodeId y, uint32_t axis, int64_t extent)
{
    Shape flat = *graph_shape(g, y);
    flat.dim[axis].n *= flat.dim[axis + 1].n;
    flat.rank--;
    for (uint32_t i = axis + 1; i < flat.rank; i++)
        flat.dim[i] = flat.dim[i + 1];
    int64_t zero[MAX_RANK] = { 0 }, high[MAX_RANK] = { 0 };
    high[axis] = extent - flat.dim[axis].n;
    return b_pad(g, b_reshape(g, y, &flat), zero, high, zero, 0);
}

/* Row or column `at` of the windows, padded to `extent` elements with `low` before and `gap`
 * between. */
static NodeId spread_line(Graph *g, NodeId y, uint32_t axis, uint32_t line, int64_t at, int64_t low,
                          int64_t gap, int64_t extent)
{
    int64_t before[MAX_RANK] = { 0 }, after[MAX_RANK] = { 0 }, between[MAX_RANK] = { 0 };
    NodeId x = b_squeeze(g, b_slice_axis(g, y, line, at, at + 1), line);
    if (x == NODE_NONE)
        return NODE_NONE;
    before[axis] = low;
    between[axis] = gap;
    after[axis] = extent - low - ((graph_shape(g, x)->dim[axis].n - 1) * (gap + 1) + 1);
    return b_pad(g, x, before, after, between, 0);
}

static NodeId plus(Graph *g, NodeId sum, NodeId term)
{
    return sum == NODE_NONE ? term : b_add(g, sum, term);
}

/* Of the result, the elements whose place leaves `phase` when divided by the stride: column j of
 * the windows adds to them, moved by (j dilation - phase) / stride, where that is whole. */
static NodeId overlap_phase(Graph *g, NodeId y, uint32_t axis, int64_t phase, int64_t stride,
                            int64_t dilation, int64_t extent)
{
    NodeId sum = NODE_NONE;
    Shape s = *graph_shape(g, y);
    for (int64_t j = 0; j < s.dim[axis + 1].n; j++)
        if (j * dilation % stride == phase)
            sum = plus(g, sum,
                       spread_line(g, y, axis, axis + 1, j, j * dilation / stride, 0, extent));
    s.dim[axis] = dim_of(extent);
    s.dim[axis + 1] = dim_of(1);
    return sum == NODE_NONE ? b_splat(g, graph_dtype(g, y), &s, 0) : b_reshape(g, sum, &s);
}

/* Every element added where it lies, one after another: for so many lines that a sum of them would
 * be a large graph. */
static NodeId overlap_scatter(Graph *g, NodeId y, uint32_t axis, int64_t stride, int64_t dilation,
                              int64_t extent)
{
    const Shape *s = graph_shape(g, y);
    Shape windows = { 2, { s->dim[axis], s->dim[axis + 1] } };
    NodeId place = b_add(g, b_scale(g, b_iota(g, &windows, 0, DT_I64), (double)stride),
                         b_scale(g, b_iota(g, &windows, 1, DT_I64), (double)dilation));
    AttrValue attrs[] = { attr_i(axis), attr_i(extent) };
    return graph_emit(g, OP_scatter_add, (NodeId[]){ place, y }, 2, attrs, 2);
}

/* Sums of moved lines, one kernel of guarded reads each: no element is written twice, so nothing
 * has to be ordered. With few windows, a line is a window. Else it is a column of all windows;
 * where the stride leaves places between its elements, the result is made by phases, which only
 * side by side leave none. */
static NodeId overlap_expand(Graph *g, NodeId node, const NodeId *in)
{
    NodeId y = in[0], sum = NODE_NONE, phases[MAX_LINES];
    uint32_t axis = (uint32_t)node_int(g, node, "axis");
    int64_t stride = node_int(g, node, "stride"), dilation = node_int(g, node, "dilation");
    Shape result = *graph_shape(g, node);
    int64_t extent = result.dim[axis].n, count = graph_shape(g, y)->dim[axis].n;
    int64_t size = graph_shape(g, y)->dim[axis + 1].n, whole = (extent - 1) / stride + 1;
    if (dilation == 1 && stride == size)
        return overlap_disjoint(g, y, axis, extent);
    if (count > MAX_LINES && (size > MAX_LINES || stride > MAX_LINES))
        return overlap_scatter(g, y, axis, stride, dilation, extent);
    if (count <= size || stride > MAX_LINES) {
        for (int64_t o = 0; o < count; o++)
            sum = plus(g, sum, spread_line(g, y, axis, axis, o, o * stride, dilation - 1, extent));
        return sum;
    }
    for (int64_t p = 0; p < stride; p++)
        phases[p] = overlap_phase(g, y, axis, p, stride, dilation, whole);
    result.dim[axis] = dim_of(whole * stride);
    sum = b_reshape(g, b_concat(g, phases, (uint32_t)stride, axis + 1), &result);
    return b_slice_axis(g, sum, axis, 0, extent);
}

FOLD(overlap_fold)
{
    FOLD_UNUSED;
    int64_t axis = attrs[0].i, size = graph_shape(g, in[0])->dim[axis + 1].n, stride = attrs[2].i;
    bool single = size == 1 && stride == 1;
    return single || (attrs[3].i == 1 && stride == size && attrs[1].i % size == 0)
               ? b_reshape(g, in[0], shape)
               : NODE_NONE;
}

/* ---- concat ---- */

static const AttrDecl concat_attrs[] = { { .name = "axis", .kind = ATTR_INT, .required = true },
                                         { 0 } };

static bool concat_infer(Infer *q)
{
    if (!rule_axis(q, "axis", 0)) /* C1 */
        return false;
    uint32_t axis = (uint32_t)q->attrs[0].i;
    rule_like(q, 0);
    for (uint32_t i = 0; i < q->n; i++) {
        const Shape *x = infer_shape(q, i);
        if (!rule_same_dtype(q, 0, i)) /* C2 */
            return false;
        bool fits = x->rank == q->shape.rank;
        for (uint32_t a = 0; fits && a < x->rank; a++)
            fits = a == axis || dim_equal(x->dim[a], q->shape.dim[a]);
        if (!fits) /* C3: equal but along the axis */
            return infer_fail(q, DIAG_E0306,
                              "concat along axis %u of %s and %s: the other axes differ", axis,
                              rule_type(q, 0), rule_type(q, i));
        if (q->n > 1 && !rule_pinned(q, i, axis)) /* C4: not along the batch */
            return false;
        if (i &&
            __builtin_add_overflow(q->shape.dim[axis].n, x->dim[axis].n, &q->shape.dim[axis].n))
            return infer_fail(q, DIAG_E0309, "concat: an extent beyond 2^63");
    }
    return rule_result(q);
}

static void concat_grad(Grad *q)
{
    uint32_t axis = (uint32_t)node_int(q->g, q->node, "axis");
    int64_t begin = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        int64_t end = begin + graph_shape(q->g, q->in[i])->dim[axis].n;
        if (q->needs(q, i))
            q->add(q, i, b_slice_axis(q->g, q->dy, axis, begin, end));
        begin = end;
    }
}

static void concat_ref(Ref *q)
{
    int64_t axis = node_int(q->g, q->node, "axis"), begin = 0;
    for (uint32_t i = 0; i < q->n; begin += q->in[i].dim[axis], i++) {
        int64_t at[MAX_RANK] = { 0 }, to[MAX_RANK], o = 0;
        if (!q->in[i].count)
            continue;
        do {
            memcpy(to, at, sizeof to);
            to[axis] += begin;
            element_copy(q->out, index_offset(q->out, to), &q->in[i], o++);
        } while (index_next(&q->in[i], at));
    }
}

/* Of one; and without parts that are empty along the axis. */
FOLD(concat_fold)
{
    FOLD_UNUSED;
    NodeId *kept = arena_new_array(g->unit->arena, NodeId, n);
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++)
        if (graph_shape(g, in[i])->dim[attrs[0].i].n)
            kept[count++] = in[i];
    if (count == 0 || n == 1)
        return in[0];
    return count == 1  ? kept[0]
           : count < n ? b_concat(g, kept, count, (uint32_t)attrs[0].i)
                       : NODE_NONE;
}

/* ---- cases ---- */

static const struct {
    uint32_t rank;
    int64_t dims[3], axis, size, stride, dilation;
} window_table[] = {
    { 1, { 7 }, 0, 3, 1, 1 },       { 1, { 8 }, 0, 2, 2, 1 },       { 1, { 9 }, 0, 2, 2, 1 },
    { 2, { 3, 11 }, 1, 3, 2, 2 },   { 2, { 13, 2 }, 0, 4, 3, 1 },   { 2, { -1, 6 }, 1, 3, 1, 1 },
    { 1, { 10 }, 0, 1, 3, 1 },      { 1, { 29 }, 0, 5, 2, 1 },      { 1, { 31 }, 0, 3, 4, 2 },
    { 3, { 2, 5, 0 }, 1, 2, 1, 1 }, { 2, { 300, 2 }, 0, 70, 3, 1 }, { 1, { 205 }, 0, 70, 1, 1 },
};
enum { WINDOWS = sizeof window_table / sizeof *window_table };

static NodeId windows_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32 };
    if (i >= 3 * WINDOWS)
        return NODE_NONE;
    Dtype t = types[i / WINDOWS];
    i %= WINDOWS;
    AttrValue attrs[] = { attr_i(window_table[i].axis), attr_i(window_table[i].size),
                          attr_i(window_table[i].stride), attr_i(window_table[i].dilation) };
    NodeId x = case_input(g, r, t, window_table[i].rank, window_table[i].dims, -9, 9, false);
    return graph_emit(g, OP_windows, &x, 1, attrs, 4);
}

static NodeId overlap_cases(Graph *g, CaseRng *r, uint32_t i)
{
    if (i >= 2 * WINDOWS)
        return NODE_NONE;
    Dtype t = i < WINDOWS ? DT_F64 : DT_F32;
    i %= WINDOWS;
    int64_t axis = window_table[i].axis, extent = window_table[i].dims[axis], dims[4] = { 0 };
    for (uint32_t a = 0; a < window_table[i].rank; a++)
        dims[a < axis ? a : a + 1] = window_table[i].dims[a];
    dims[axis] = (extent - window_span(window_table[i].size, window_table[i].dilation)) /
                     window_table[i].stride +
                 1;
    dims[axis + 1] = window_table[i].size;
    AttrValue attrs[] = { attr_i(axis), attr_i(extent), attr_i(window_table[i].stride),
                          attr_i(window_table[i].dilation) };
    NodeId y = case_input(g, r, t, window_table[i].rank + 1, dims, -3, 3, false);
    return graph_emit(g, OP_overlap_add, &y, 1, attrs, 4);
}

static NodeId concat_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_BOOL };
    static const struct {
        uint32_t n, rank, axis;
        int64_t dims[3][2];
    } t[] = {
        { 2, 1, 0, { { 3 }, { 5 } } },
        { 3, 2, 0, { { 1, 3 }, { 2, 3 }, { 5, 3 } } },
        { 3, 2, 1, { { 4, 2 }, { 4, 0 }, { 4, 7 } } },
        { 2, 2, 1, { { -1, 3 }, { -1, 1 } } },
        { 1, 1, 0, { { 3 } } },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 4 * COUNT)
        return NODE_NONE;
    Dtype type = types[i / COUNT];
    i %= COUNT;
    NodeId x[3];
    for (uint32_t j = 0; j < t[i].n; j++)
        x[j] = case_input(g, r, type, t[i].rank, t[i].dims[j], 0, type == DT_BOOL ? 1 : 9, false);
    return b_concat(g, x, t[i].n, t[i].axis);
}

const OpDef op_windows = {
    .name = "windows", .doc = "element (o, j) is x[o * stride + j * dilation] along axis",
    .min_in = 1, .max_in = 1, .attrs = windows_attrs, .infer = windows_infer, .grad = windows_grad,
    .ref = windows_ref, .fold = windows_fold, .lower = LOWER_MOVE, .move = windows_move,
    .cases = windows_cases,
};
const OpDef op_overlap_add = {
    .name = "overlap_add", .doc = "the sum of windows at their places: adjoint of windows",
    .min_in = 1, .max_in = 1, .attrs = overlap_attrs, .infer = overlap_infer, .grad = overlap_grad,
    .ref = overlap_ref, .fold = overlap_fold, .expand = overlap_expand, .lower = LOWER_EXPAND,
    .cases = overlap_cases,
};
const OpDef op_concat = {
    .name = "concat", .doc = "operands side by side along axis", .min_in = 1, .max_in = 255,
    .attrs = concat_attrs, .infer = concat_infer, .grad = concat_grad, .ref = concat_ref,
    .fold = concat_fold, .lower = LOWER_CONCAT, .cases = concat_cases,
};
