/* conv_transpose.c: what a convolution does to its input, backwards: every element of x adds its
 * multiple of the window where the convolution would have read it.
 *
 *     y[b, o, p stride + k dilation - low] sums w[c, o, k] x[b, c, p] over c, p and k
 *
 * It is the derivative of `conv` by its input and has the attributes of that convolution, and the
 * extents `space` of the result, which these leave open where the stride is not 1. It expands to
 * convolutions of stride 1, one for each remainder of e by the stride, whose results interleave: a
 * convolution of x with zeros between its elements would multiply mostly zeros. */
#include "ir/ops/conv.h"

#include <string.h>

enum { MAX_PHASES = 16 };

/* [O, C/G, K...] as [C, O/G, K...]: within each group outputs and inputs change places. */
static NodeId swap_channels(Graph *g, NodeId w, int64_t groups)
{
    Shape s = *graph_shape(g, w);
    uint32_t n = s.rank - 2;
    int64_t perm[MAX_RANK] = { 0, 2, 1 }, outs = s.dim[0].n / groups;
    for (uint32_t i = 0; i < n; i++)
        perm[3 + i] = 3 + i;
    s.dim[0] = dim_of(s.dim[1].n * groups);
    s.dim[1] = dim_of(outs);
    return b_reshape(g, b_transpose(g, conv_split_groups(g, w, 0, groups), perm), &s);
}

/* Axis i of dx by phases: element x[e] with e + low = stride q + phase receives through those
 * places k of the window whose k dilation leaves the same remainder, `step` places apart, from the
 * elements q - (k dilation - phase) / stride of dy. So each phase is a convolution with stride 1 of
 * dy with every step-th weight, turned around, and the phases lie side by side. */
typedef struct {
    int64_t first, step; /* places of the window; first = -1: no place has this phase */
    int64_t dilation;    /* between their elements of dy */
    int64_t low, high;   /* padding of dy, after cutting it to [begin, end) */
    int64_t begin, end;
} Phase;

/* Of the phases together, along one axis: `count` elements each from place `start` on. */
static void phase_range(const Conv *c, uint32_t i, int64_t *out_start, int64_t *out_count)
{
    *out_start = c->low[i] / c->stride[i];
    *out_count = (c->low[i] + c->space[i] - 1) / c->stride[i] + 1 - *out_start;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static Phase phase_of(const Conv *c, uint32_t i, int64_t phase)
{
    int64_t stride = c->stride[i], start, count;
    Phase p = { .first = -1, .step = 1 };
    while (p.step * c->dilation[i] % stride)
        p.step++;
    for (int64_t k = c->window[i] < p.step ? c->window[i] : p.step; k-- > 0;)
        if (k * c->dilation[i] % stride == phase)
            p.first = k;
    if (p.first < 0)
        return p;
    phase_range(c, i, &start, &count);
    p.dilation = p.step * c->dilation[i] / stride;
    int64_t span = (c->window[i] - 1 - p.first) / p.step * p.dilation;
    int64_t before =
        (p.first * c->dilation[i] - phase) / stride + span - start; /* may be negative */
    p.begin = clamp(-before, 0, c->out[i]);
    p.end = clamp(count + span - before, p.begin, c->out[i]);
    p.low = before + p.begin > 0 ? before + p.begin : 0;
    p.high = count + span - p.low - (p.end - p.begin);
    return p;
}

/* One phase of each axis: a convolution, or zeros where a phase has no place. */
static NodeId phase_part(Graph *g, NodeId dy, NodeId w, const Conv *c, const Phase *p)
{
    Dtype dtype = graph_dtype(g, w);
    Shape result = *graph_shape(g, dy);
    result.dim[1] = dim_of(graph_shape(g, w)->dim[1].n * c->groups);
    int64_t low[CONV_MAX_SPACE], high[CONV_MAX_SPACE], ones[CONV_MAX_SPACE],
        dilation[CONV_MAX_SPACE], axes[CONV_MAX_SPACE];
    int64_t first[MAX_RANK] = { 0 }, end[MAX_RANK], step[MAX_RANK], start;
    bool empty = false;
    for (uint32_t i = 0; i < 2 + c->n; i++) {
        end[i] = graph_shape(g, w)->dim[i].n;
        step[i] = 1;
    }
    for (uint32_t i = 0; i < c->n; i++) {
        phase_range(c, i, &start, &result.dim[2 + i].n);
        empty |= p[i].first < 0;
        dy = b_slice_axis(g, dy, 2 + i, p[i].begin, p[i].end);
        first[2 + i] = p[i].first;
        step[2 + i] = p[i].step;
        low[i] = p[i].low;
        high[i] = p[i].high;
        dilation[i] = p[i].dilation;
        axes[i] = 2 + i;
        ones[i] = 1;
    }
    if (empty)
        return b_splat(g, dtype, &result, 0);
    w = b_flip(g, swap_channels(g, b_slice(g, w, first, end, step), c->groups), axes, c->n);
    AttrValue attrs[] = { attr_ints(ones, c->n), attr_ints(low, c->n), attr_ints(high, c->n),
                          attr_ints(dilation, c->n), attr_i(c->groups) };
    return graph_emit(g, OP_conv, (NodeId[]){ dy, w }, 2, attrs, 5);
}

/* dx with the phases of axes before i chosen in `chosen`, and those from i on joined. */
static NodeId join_phases(Graph *g, NodeId dy, NodeId w, const Conv *c, uint32_t i, Phase *chosen)
{
    NodeId parts[MAX_PHASES];
    int64_t stride = c->stride[i < c->n ? i : 0], start, count;
    if (i == c->n)
        return phase_part(g, dy, w, c, chosen);
    for (int64_t phase = 0; phase < stride; phase++) {
        chosen[i] = phase_of(c, i, phase);
        parts[phase] = b_unsqueeze(g, join_phases(g, dy, w, c, i + 1, chosen), 3 + i);
        if (parts[phase] == NODE_NONE)
            return NODE_NONE;
    }
    phase_range(c, i, &start, &count);
    NodeId all = b_concat(g, parts, (uint32_t)stride, 3 + i);
    Shape flat = *graph_shape(g, parts[0]);
    flat.dim[2 + i].n = count * stride;
    flat.rank--;
    for (uint32_t a = 3 + i; a < flat.rank; a++)
        flat.dim[a] = flat.dim[a + 1];
    int64_t begin = c->low[i] - start * stride;
    return b_slice_axis(g, b_reshape(g, all, &flat), 2 + i, begin, begin + c->space[i]);
}

/* dx by the steps of the forward pass backwards: each window's gradient, and the windows added
 * where they lie. */
static NodeId spread_windows(Graph *g, NodeId dy, NodeId w, const Conv *c)
{
    ConvLetters l = conv_letters(c);
    NodeId dx = conv_dot(g, conv_grouped(g, dy, 1, c), conv_grouped(g, w, 0, c), l.y, l.w, l.x);
    if (c->groups > 1 && dx != NODE_NONE) {
        Shape s = *graph_shape(g, dx);
        s.rank--;
        s.dim[1].n *= s.dim[2].n;
        for (uint32_t i = 2; i < s.rank; i++)
            s.dim[i] = s.dim[i + 1];
        dx = b_reshape(g, dx, &s);
    }
    for (uint32_t i = c->n; i-- > 0;) {
        AttrValue attrs[] = { attr_i(2 + 2 * i), attr_i(c->low[i] + c->space[i] + c->high[i]),
                              attr_i(c->stride[i]), attr_i(c->dilation[i]) };
        dx = graph_emit(g, OP_overlap_add, &dx, 1, attrs, 4);
    }
    for (uint32_t i = 0; i < c->n; i++)
        dx = b_slice_axis(g, dx, 2 + i, c->low[i], c->low[i] + c->space[i]);
    return dx;
}

/* Windows that lie side by side are best added where they lie, many phases are many kernels. */
NodeId conv_spread(Graph *g, NodeId dy, NodeId w, const Conv *c)
{
    int64_t phases = 1;
    bool apart = true;
    for (uint32_t i = 0; i < c->n; i++) {
        phases = c->stride[i] > MAX_PHASES ? MAX_PHASES + 1 : phases * c->stride[i];
        apart &= c->stride[i] > (c->window[i] - 1) * c->dilation[i];
    }
    Phase chosen[CONV_MAX_SPACE];
    bool alone = phases == 1;
    return !alone && (apart || phases > MAX_PHASES) ? spread_windows(g, dy, w, c)
                                                    : join_phases(g, dy, w, c, 0, chosen);
}

/* ---- the op ---- */

static const AttrDecl transpose_attrs[] = {
    { .name = "space", .kind = ATTR_INTS, .required = true },
    { .name = "stride", .kind = ATTR_INTS, .required = true },
    { .name = "low", .kind = ATTR_INTS, .required = true },
    { .name = "high", .kind = ATTR_INTS, .required = true },
    { .name = "dilation", .kind = ATTR_INTS, .required = true },
    { .name = "groups", .kind = ATTR_INT, .i = 1 },
    { 0 },
};

/* The places of the convolution along axis i, (space + low + high - span) / stride + 1; -1: none.
 */
static int64_t places(const Infer *q, uint32_t i)
{
    int64_t padded, span, size = infer_shape(q, 1)->dim[i + 2].n;
    bool fits = size >= 1 &&
                !__builtin_add_overflow(q->attrs[0].ints[i], q->attrs[2].ints[i], &padded) &&
                !__builtin_add_overflow(padded, q->attrs[3].ints[i], &padded) &&
                !__builtin_mul_overflow(size - 1, q->attrs[4].ints[i], &span) && span < padded;
    return fits ? (padded - span - 1) / q->attrs[1].ints[i] + 1 : -1;
}

/* The windows of all places, and the padded result, can be counted. */
static bool transpose_sizes(Infer *q)
{
    const Shape result = q->shape, *w = infer_shape(q, 1);
    int64_t taps = 1;
    bool fits = true;
    for (uint32_t i = 2; i < w->rank; i++) {
        fits &= !__builtin_mul_overflow(taps, w->dim[i].n, &taps);
        q->shape.dim[i] = dim_of(places(q, i - 2));
    }
    fits &= !__builtin_mul_overflow(taps, result.dim[1].n, &q->shape.dim[1].n);
    fits = fits ? rule_result(q) : infer_fail(q, DIAG_E0309, "`conv_transpose`: too many windows");
    q->shape = *infer_shape(q, 0);
    for (uint32_t i = 2; i < w->rank; i++)
        q->shape.dim[i] = dim_of(places(q, i - 2));
    fits = fits && rule_result(q);
    q->shape = result;
    for (uint32_t i = 2; i < w->rank; i++)
        q->shape.dim[i].n += q->attrs[2].ints[i - 2] + q->attrs[3].ints[i - 2];
    fits = fits && rule_result(q);
    q->shape = result;
    return fits;
}

static bool transpose_infer(Infer *q)
{
    const Shape *x = infer_shape(q, 0), *w = infer_shape(q, 1);
    if (!rule_float(q, 0) || !rule_same_dtype(q, 0, 1)) /* C1 */
        return false;
    if (x->rank < 3 || x->rank > 2 + CONV_MAX_SPACE || w->rank != x->rank) /* C2 */
        return infer_fail(q, DIAG_E0318,
                          "conv_transpose takes x [batch, channels, space...] and weights of as "
                          "many axes, not %s and %s",
                          rule_type(q, 0), rule_type(q, 1));
    uint32_t n = x->rank - 2;
    if (!rule_list(q, "space", n, 0) || !rule_list(q, "stride", n, 1) ||
        !rule_list(q, "low", n, 0) || !rule_list(q, "high", n, 0) ||
        !rule_list(q, "dilation", n, 1) || !rule_range(q, "groups", 1, INT64_MAX)) /* C3 */
        return false;
    for (uint32_t i = 0; i < x->rank; i++)
        if ((i && !rule_pinned(q, 0, i)) || !rule_pinned(q, 1, i)) /* C4 */
            return false;
    int64_t groups = q->attrs[5].i, outs;
    if (w->dim[0].n != x->dim[1].n || x->dim[1].n % groups ||
        __builtin_mul_overflow(w->dim[1].n, groups, &outs)) /* C5 */
        return infer_fail(
            q, DIAG_E0318,
            "conv_transpose of %s with weights %s in %lld group%s: the weights' first "
            "axis is that of the channels",
            rule_type(q, 0), rule_type(q, 1), (long long)groups, groups == 1 ? "" : "s");
    rule_like(q, 0);
    q->shape.dim[1] = dim_of(outs);
    for (uint32_t i = 0; i < n; i++) {
        if (places(q, i) < x->dim[i + 2].n) /* C6: every window lies in the padded result */
            return infer_fail(q, DIAG_E0316,
                              "conv_transpose: windows from each of the %lld elements of axis %u "
                              "of %s go past the %lld of the result and its padding",
                              (long long)x->dim[i + 2].n, i + 2, rule_type(q, 0),
                              (long long)q->attrs[0].ints[i]);
        q->shape.dim[i + 2] = dim_of(q->attrs[0].ints[i]);
    }
    return rule_result(q) && transpose_sizes(q); /* C7 */
}

/* The convolution that this is the derivative of. */
static Conv transposed_of(const Graph *g, NodeId node)
{
    const Shape *w = graph_shape(g, graph_operand(g, node, 1));
    Conv c = { .n = w->rank - 2, .groups = node_int(g, node, "groups") };
    for (uint32_t i = 0; i < c.n; i++) {
        c.stride[i] = graph_attr(g, node, "stride")->ints[i];
        c.low[i] = graph_attr(g, node, "low")->ints[i];
        c.high[i] = graph_attr(g, node, "high")->ints[i];
        c.dilation[i] = graph_attr(g, node, "dilation")->ints[i];
        c.space[i] = graph_attr(g, node, "space")->ints[i];
        c.window[i] = w->dim[i + 2].n;
        c.out[i] = (c.low[i] + c.space[i] + c.high[i] - (c.window[i] - 1) * c.dilation[i] - 1) /
                       c.stride[i] +
                   1;
    }
    return c;
}

/* x with zeros for the places of the convolution that it does not have. */
static NodeId at_all_places(Graph *g, NodeId x, const Conv *c)
{
    int64_t none[MAX_RANK] = { 0 }, high[MAX_RANK] = { 0 };
    for (uint32_t i = 0; i < c->n; i++)
        high[2 + i] = c->out[i] - graph_shape(g, x)->dim[2 + i].n;
    return b_pad(g, x, none, high, none, 0);
}

static NodeId transpose_expand(Graph *g, NodeId node, const NodeId *in)
{
    Conv c = transposed_of(g, node);
    return conv_spread(g, at_all_places(g, in[0], &c), in[1], &c);
}

/* Three spatial axes in groups: each group by itself, as in conv. */
FOLD(transpose_fold)
{
    FOLD_UNUSED;
    return attrs[5].i == 1 || shape->rank < 2 + CONV_MAX_SPACE
               ? NODE_NONE
               : conv_each_group(g, OP_conv_transpose, in, attrs, 6);
}

/* dx is the convolution of dy at x's places; dw is that of the convolution, dy for its input. */
static void transpose_grad(Grad *q)
{
    Graph *g = q->g;
    Conv c = transposed_of(g, q->node);
    if (q->needs(q, 0)) {
        AttrValue attrs[] = { attr_ints(c.stride, c.n), attr_ints(c.low, c.n),
                              attr_ints(c.high, c.n), attr_ints(c.dilation, c.n),
                              attr_i(c.groups) };
        NodeId dx = graph_emit(g, OP_conv, (NodeId[]){ q->dy, q->in[1] }, 2, attrs, 5);
        for (uint32_t i = 0; i < c.n; i++)
            dx = b_slice_axis(g, dx, 2 + i, 0, graph_shape(g, q->in[0])->dim[2 + i].n);
        q->add(q, 0, dx);
    }
    if (q->needs(q, 1))
        q->add(q, 1, conv_weights_part(g, q->dy, at_all_places(g, q->in[0], &c), &c,
                                       graph_shape(g, q->in[1])));
}

/* Each element of x times each of its weights, added where it belongs. */
static void transpose_ref(Ref *q)
{
    Conv c = transposed_of(q->g, q->node);
    const Value *x = &q->in[0], *w = &q->in[1];
    int64_t at[MAX_RANK] = { 0 }, outs = w->dim[1], per_group = w->dim[0] / c.groups;
    Value taps = *w; /* of one input channel, to walk over */
    taps.dim[0] = 1;
    if (!x->count || !w->count || !q->out->count)
        return;
    do {
        int64_t walk[MAX_RANK] = { 0 }, to[MAX_RANK] = { at[0] }, tap[MAX_RANK];
        do {
            bool inside = true;
            memcpy(tap, walk, sizeof tap);
            tap[0] = at[1];
            to[1] = at[1] / per_group * outs + walk[1];
            for (uint32_t i = 0; i < c.n; i++) {
                to[2 + i] = at[2 + i] * c.stride[i] + walk[2 + i] * c.dilation[i] - c.low[i];
                inside &= to[2 + i] >= 0 && to[2 + i] < c.space[i];
            }
            if (inside)
                q->out->f[index_offset(q->out, to)] +=
                    x->f[index_offset(x, at)] * w->f[index_offset(w, tap)];
        } while (index_next(&taps, walk));
    } while (index_next(x, at));
}

static NodeId transpose_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t n;
        int64_t x[5], w[5], space[3], stride[3], low[3], high[3], dilation[3], groups;
    } t[] = {
        { 1, { 2, 3, 5 }, { 3, 4, 3 }, { 7 }, { 1 }, { 0 }, { 0 }, { 1 }, 1 },
        { 1, { 2, 3, 5 }, { 3, 2, 3 }, { 9 }, { 2 }, { 1 }, { 1 }, { 1 }, 1 },
        { 1, { -1, 2, 4 }, { 2, 3, 2 }, { 11 }, { 3 }, { 0 }, { 0 }, { 1 }, 1 },
        { 1, { 2, 2, 4 }, { 2, 3, 3 }, { 9 }, { 2 }, { 2 }, { 1 }, { 2 }, 1 },
        { 1, { 1, 2, 3 }, { 2, 1, 2 }, { 12 }, { 2 }, { 0 }, { 1 }, { 3 }, 1 },
        { 1, { 1, 1, 2 }, { 1, 2, 4 }, { 40 }, { 18 }, { 1 }, { 0 }, { 1 }, 1 },
        { 2, { 2, 3, 3, 4 }, { 3, 2, 3, 3 }, { 5, 6 }, { 1, 1 }, { 0, 0 }, { 0, 0 }, { 1, 1 }, 1 },
        { 2, { -1, 2, 3, 3 }, { 2, 3, 3, 2 }, { 6, 4 }, { 2, 1 }, { 1, 0 }, { 0, 0 }, { 1, 1 }, 1 },
        { 2, { 2, 4, 3, 2 }, { 4, 3, 2, 3 }, { 6, 5 }, { 2, 2 }, { 0, 0 }, { 0, 0 }, { 1, 1 }, 2 },
        { 2, { 1, 3, 2, 2 }, { 3, 1, 3, 3 }, { 5, 5 }, { 2, 2 }, { 1, 0 }, { 0, 1 }, { 1, 1 }, 3 },
        { 3, { 1, 2, 2, 3, 2 }, { 2, 3, 2, 2, 3 }, { 3, 4, 7 }, { 1, 1, 2 }, { 0, 0, 0 },
          { 0, 0, 0 }, { 1, 1, 2 }, 1 },
        { 3, { 1, 4, 2, 2, 2 }, { 4, 1, 2, 2, 2 }, { 4, 3, 3 }, { 2, 1, 1 }, { 0, 0, 0 },
          { 0, 0, 0 }, { 1, 1, 1 }, 2 },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 2 * COUNT)
        return NODE_NONE;
    Dtype type = i < COUNT ? DT_F64 : DT_F32;
    i %= COUNT;
    uint32_t n = t[i].n;
    NodeId x = case_input(g, r, type, n + 2, t[i].x, -1, 1, false),
           w = case_input(g, r, type, n + 2, t[i].w, -1, 1, false);
    AttrValue attrs[] = { attr_ints(t[i].space, n), attr_ints(t[i].stride, n),
                          attr_ints(t[i].low, n), attr_ints(t[i].high, n),
                          attr_ints(t[i].dilation, n), attr_i(t[i].groups) };
    return graph_emit(g, OP_conv_transpose, (NodeId[]){ x, w }, 2, attrs, 6);
}

const OpDef op_conv_transpose = {
    .name = "conv_transpose",
    .doc = "y[b, o, p stride + k dilation - low] sums w[c, o, k] x[b, c, p]: conv backwards",
    .min_in = 2, .max_in = 2, .attrs = transpose_attrs, .infer = transpose_infer,
    .grad = transpose_grad, .ref = transpose_ref, .fold = transpose_fold,
    .expand = transpose_expand, .lower = LOWER_EXPAND, .cases = transpose_cases,
};
