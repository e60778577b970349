/* conv.c: convolution over one to three spatial axes, as cross-correlation, channels before space.
 *
 *     y[b, o, p] = sum over c, k of w[o, c, k] * x[b, c, p * stride + k * dilation - low]
 *
 * It expands to padding, windows of each spatial axis, and one contraction; only indices move, so
 * nothing like an im2col matrix need be stored. Its derivatives are convolutions and contractions
 * again. */
#include "ir/ops/rules.h"

#include <string.h>

enum { MAX_SPACE = 3, MAX_PHASES = 16 };

static const AttrDecl conv_attrs[] = {
    { .name = "stride", .kind = ATTR_INTS, .required = true },
    { .name = "low", .kind = ATTR_INTS, .required = true },
    { .name = "high", .kind = ATTR_INTS, .required = true },
    { .name = "dilation", .kind = ATTR_INTS, .required = true },
    { .name = "groups", .kind = ATTR_INT, .i = 1 },
    { 0 },
};

/* A convolution's numbers. n: spatial axes; space: extents of x; window: of w; out: of y. */
typedef struct {
    uint32_t n;
    int64_t stride[MAX_SPACE], low[MAX_SPACE], high[MAX_SPACE], dilation[MAX_SPACE], groups;
    int64_t space[MAX_SPACE], window[MAX_SPACE], out[MAX_SPACE];
} Conv;

static bool conv_channels(Infer *q)
{
    const Shape *x = infer_shape(q, 0), *w = infer_shape(q, 1);
    int64_t groups = q->attrs[4].i;
    for (uint32_t i = 0; i < x->rank; i++)
        if ((i && !rule_pinned(q, 0, i)) ||
            !rule_pinned(q, 1, i)) /* C4: only x's first axis may be the batch */
            return false;
    int64_t taken;
    if (__builtin_mul_overflow(w->dim[1].n, groups, &taken))
        taken = INT64_MAX;
    if ((groups > 1 && groups > x->dim[1].n) || x->dim[1].n % groups || w->dim[0].n % groups ||
        x->dim[1].n / groups != w->dim[1].n) /* C5 */
        return infer_fail(q, DIAG_E0318,
                          "a convolution of %s with weights %s in %lld group%s: %lld input "
                          "channels, weights for %lld",
                          rule_type(q, 0), rule_type(q, 1), (long long)groups,
                          groups == 1 ? "" : "s", (long long)x->dim[1].n, (long long)taken);
    return true;
}

/* Padded x and its windows can be counted. */
static bool conv_sizes(Infer *q, const int64_t *padded)
{
    const Shape result = q->shape, *w = infer_shape(q, 1);
    q->shape = *infer_shape(q, 0);
    memcpy(q->shape.dim + 2, result.dim + 2, (result.rank - 2) * sizeof *q->shape.dim);
    int64_t places = 1;
    bool fits = true;
    for (uint32_t i = 2; i < result.rank; i++)
        fits &= !__builtin_mul_overflow(places, w->dim[i].n, &places);
    fits &= !__builtin_mul_overflow(q->shape.dim[1].n, places, &q->shape.dim[1].n);
    fits = fits ? rule_result(q) : infer_fail(q, DIAG_E0309, "`conv`: too many windows");
    q->shape = *infer_shape(q, 0);
    for (uint32_t i = 2; i < result.rank; i++)
        q->shape.dim[i] = dim_of(padded[i - 2]);
    fits = fits && rule_result(q);
    q->shape = result;
    return fits;
}

static bool conv_infer(Infer *q)
{
    const Shape *x = infer_shape(q, 0), *w = infer_shape(q, 1);
    if (!rule_float(q, 0) || !rule_same_dtype(q, 0, 1)) /* C1 */
        return false;
    if (x->rank < 3 || x->rank > 2 + MAX_SPACE || w->rank != x->rank) /* C2 */
        return infer_fail(q, DIAG_E0318,
                          "a convolution takes x [batch, channels, space...] and weights of as "
                          "many axes, not %s and %s",
                          rule_type(q, 0), rule_type(q, 1));
    uint32_t n = x->rank - 2;
    int64_t padded[MAX_SPACE];
    if (!rule_list(q, "stride", n, 1) || !rule_list(q, "low", n, 0) ||
        !rule_list(q, "high", n, 0) || !rule_list(q, "dilation", n, 1) ||
        !rule_range(q, "groups", 1, INT64_MAX) || !conv_channels(q)) /* C3 */
        return false;
    rule_like(q, 0);
    q->shape.dim[1] = w->dim[0];
    for (uint32_t i = 0; i < n; i++) {
        int64_t span, size = w->dim[i + 2].n;
        bool fits = size >= 1 &&
                    !__builtin_add_overflow(x->dim[i + 2].n, q->attrs[1].ints[i], &padded[i]) &&
                    !__builtin_add_overflow(padded[i], q->attrs[2].ints[i], &padded[i]) &&
                    !__builtin_mul_overflow(size - 1, q->attrs[3].ints[i], &span) &&
                    span < padded[i];
        if (!fits) /* C6: the window fits into the padded axis */
            return infer_fail(q, DIAG_E0316, "a window of %lld does not fit into axis %u of %s",
                              (long long)size, i + 2, rule_type(q, 0));
        q->shape.dim[i + 2] = dim_of((padded[i] - span - 1) / q->attrs[0].ints[i] + 1);
    }
    return rule_result(q) && conv_sizes(q, padded); /* C7 */
}

static Conv conv_of(const Graph *g, NodeId node)
{
    const Shape *x = graph_shape(g, graph_operand(g, node, 0)),
                *w = graph_shape(g, graph_operand(g, node, 1));
    Conv c = { .n = x->rank - 2, .groups = node_int(g, node, "groups") };
    for (uint32_t i = 0; i < c.n; i++) {
        c.stride[i] = graph_attr(g, node, "stride")->ints[i];
        c.low[i] = graph_attr(g, node, "low")->ints[i];
        c.high[i] = graph_attr(g, node, "high")->ints[i];
        c.dilation[i] = graph_attr(g, node, "dilation")->ints[i];
        c.space[i] = x->dim[i + 2].n;
        c.window[i] = w->dim[i + 2].n;
        c.out[i] = graph_shape(g, node)->dim[i + 2].n;
    }
    return c;
}

/* ---- as windows and a contraction ---- */

/* [B, C, S...] as padded windows [B, C, P, K, P, K, ...], or [B, G, C/G, P, K, ...] in groups. */
static NodeId conv_windows(Graph *g, NodeId x, const Conv *c)
{
    int64_t low[MAX_RANK] = { 0 }, high[MAX_RANK] = { 0 }, none[MAX_RANK] = { 0 };
    memcpy(low + 2, c->low, c->n * sizeof *low);
    memcpy(high + 2, c->high, c->n * sizeof *high);
    x = b_pad(g, x, low, high, none, 0);
    for (uint32_t i = 0; i < c->n; i++) {
        AttrValue attrs[] = { attr_i(2 + 2 * i), attr_i(c->window[i]), attr_i(c->stride[i]),
                              attr_i(c->dilation[i]) };
        x = graph_emit(g, OP_windows, &x, 1, attrs, 4);
    }
    return x;
}

/* Axis `axis` in two: groups and what is left. */
static NodeId split_groups(Graph *g, NodeId x, uint32_t axis, int64_t groups)
{
    if (x == NODE_NONE)
        return NODE_NONE;
    Shape s = *graph_shape(g, x);
    for (uint32_t i = s.rank++; i > axis + 1; i--)
        s.dim[i] = s.dim[i - 1];
    s.dim[axis + 1] = dim_of(s.dim[axis].n / groups);
    s.dim[axis] = dim_of(groups);
    return b_reshape(g, x, &s);
}

/* The axes of x's windows, of the weights and of the result in einsum notation: b batch, g groups,
 * c and o channels, p q r places of the result, u v w of the window. */
typedef struct {
    char x[12], w[12], y[12];
} Letters;

static Letters letters_of(const Conv *c)
{
    static const char places[] = "pqr", taps[] = "uvw";
    const char *g = c->groups > 1 ? "g" : "";
    Letters l;
    char *x = stpcpy(stpcpy(stpcpy(l.x, "b"), g), "c"), *w = stpcpy(stpcpy(l.w, g), "oc");
    char *y = stpcpy(stpcpy(stpcpy(l.y, "b"), g), "o");
    for (uint32_t i = 0; i < c->n; i++) {
        *x++ = *y++ = places[i];
        *x++ = *w++ = taps[i];
    }
    *x = *y = *w = 0;
    return l;
}

static NodeId letters_dot(Graph *g, NodeId a, NodeId b, const char *la, const char *lb,
                          const char *out)
{
    return b_dot(g, a, b, arena_printf(g->unit->arena, "%s,%s->%s", la, lb, out));
}

/* split_groups where there are groups */
static NodeId grouped(Graph *g, NodeId x, uint32_t axis, const Conv *c)
{
    return c->groups > 1 ? split_groups(g, x, axis, c->groups) : x;
}

/* Three spatial axes in groups would need nine axes of windows: each group by itself then. */
FOLD(conv_fold)
{
    FOLD_UNUSED;
    int64_t groups = attrs[4].i, channels = graph_shape(g, in[1])->dim[1].n,
            outs = graph_shape(g, in[1])->dim[0].n / groups;
    if (groups == 1 || shape->rank < 2 + MAX_SPACE)
        return NODE_NONE;
    AttrValue alone[5];
    memcpy(alone, attrs, sizeof alone);
    alone[4] = attr_i(1);
    NodeId *parts = arena_new_array(g->unit->arena, NodeId, (size_t)groups);
    for (int64_t i = 0; i < groups; i++) {
        NodeId pair[] = { b_slice_axis(g, in[0], 1, i * channels, (i + 1) * channels),
                          b_slice_axis(g, in[1], 0, i * outs, (i + 1) * outs) };
        parts[i] = graph_emit(g, OP_conv, pair, 2, alone, 5);
    }
    return b_concat(g, parts, (uint32_t)groups, 1);
}

static NodeId conv_expand(Graph *g, NodeId node, const NodeId *in)
{
    Conv c = conv_of(g, node);
    Letters l = letters_of(&c);
    NodeId x = grouped(g, conv_windows(g, in[0], &c), 1, &c), w = grouped(g, in[1], 0, &c);
    return b_reshape(g, letters_dot(g, x, w, l.x, l.w, l.y), graph_shape(g, node));
}

/* ---- derivatives ---- */

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
    return b_reshape(g, b_transpose(g, split_groups(g, w, 0, groups), perm), &s);
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
static NodeId phase_grad(Grad *q, const Conv *c, const Phase *p)
{
    Graph *g = q->g;
    NodeId dy = q->dy, w = q->in[1];
    Shape result = *graph_shape(g, q->in[0]);
    int64_t low[MAX_SPACE], high[MAX_SPACE], ones[MAX_SPACE], dilation[MAX_SPACE], axes[MAX_SPACE];
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
        return b_splat(g, graph_dtype(g, q->dy), &result, 0);
    w = b_flip(g, swap_channels(g, b_slice(g, w, first, end, step), c->groups), axes, c->n);
    AttrValue attrs[] = { attr_ints(ones, c->n), attr_ints(low, c->n), attr_ints(high, c->n),
                          attr_ints(dilation, c->n), attr_i(c->groups) };
    return graph_emit(g, OP_conv, (NodeId[]){ dy, w }, 2, attrs, 5);
}

/* dx with the phases of axes before i chosen in `chosen`, and those from i on joined. */
static NodeId join_phases(Grad *q, const Conv *c, uint32_t i, Phase *chosen)
{
    Graph *g = q->g;
    NodeId parts[MAX_PHASES];
    int64_t stride = c->stride[i < c->n ? i : 0], start, count;
    if (i == c->n)
        return phase_grad(q, c, chosen);
    for (int64_t phase = 0; phase < stride; phase++) {
        chosen[i] = phase_of(c, i, phase);
        parts[phase] = b_unsqueeze(g, join_phases(q, c, i + 1, chosen), 3 + i);
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
static NodeId spread_windows(Grad *q, const Conv *c)
{
    Graph *g = q->g;
    Letters l = letters_of(c);
    NodeId dx = letters_dot(g, grouped(g, q->dy, 1, c), grouped(g, q->in[1], 0, c), l.y, l.w, l.x);
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
static NodeId input_grad(Grad *q, const Conv *c)
{
    int64_t phases = 1;
    bool apart = true;
    for (uint32_t i = 0; i < c->n; i++) {
        phases = c->stride[i] > MAX_PHASES ? MAX_PHASES + 1 : phases * c->stride[i];
        apart &= c->stride[i] > (c->window[i] - 1) * c->dilation[i];
    }
    Phase chosen[MAX_SPACE];
    bool alone = phases == 1;
    return !alone && (apart || phases > MAX_PHASES) ? spread_windows(q, c)
                                                    : join_phases(q, c, 0, chosen);
}

/* dw sums dy times x's windows over the batch and the places of the output. */
static NodeId weight_grad(Grad *q, const Conv *c)
{
    Graph *g = q->g;
    Letters l = letters_of(c);
    NodeId x = grouped(g, conv_windows(g, q->in[0], c), 1, c), dy = grouped(g, q->dy, 1, c);
    return b_reshape(g, letters_dot(g, dy, x, l.y, l.x, l.w), graph_shape(g, q->in[1]));
}

static void conv_grad(Grad *q)
{
    Conv c = conv_of(q->g, q->node);
    if (q->needs(q, 0))
        q->add(q, 0, input_grad(q, &c));
    if (q->needs(q, 1))
        q->add(q, 1, weight_grad(q, &c));
}

/* ---- reference ---- */

/* The sum over one output place; `at` is its index in y. */
static double conv_sum(const Value *x, const Value *w, const Conv *c, const int64_t *at)
{
    int64_t channels = w->dim[1], outs = w->dim[0] / c->groups, from[MAX_RANK] = { at[0] };
    int64_t place[MAX_RANK] = { at[1] };
    double sum = 0;
    Value part = *w; /* one output's weights, to walk over */
    part.dim[0] = 1;
    int64_t walk[MAX_RANK] = { 0 };
    do {
        bool inside = true;
        for (uint32_t i = 0; i < c->n; i++) {
            int64_t s = at[2 + i] * c->stride[i] + walk[2 + i] * c->dilation[i] - c->low[i];
            inside &= s >= 0 && s < c->space[i];
            from[2 + i] = s;
        }
        from[1] = at[1] / outs * channels + walk[1];
        memcpy(place + 1, walk + 1, (w->rank - 1) * sizeof *place);
        if (inside)
            sum += x->f[index_offset(x, from)] * w->f[index_offset(w, place)];
    } while (index_next(&part, walk));
    return sum;
}

static void conv_ref(Ref *q)
{
    Conv c = conv_of(q->g, q->node);
    int64_t at[MAX_RANK] = { 0 }, o = 0;
    if (!q->out->count || !q->in[1].count)
        return;
    do
        q->out->f[o++] = conv_sum(&q->in[0], &q->in[1], &c, at);
    while (index_next(q->out, at));
}

static NodeId conv_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t n;
        int64_t x[5], w[5], stride[3], low[3], high[3], dilation[3], groups;
    } t[] = {
        { 1, { 2, 3, 11 }, { 5, 3, 3 }, { 1 }, { 0 }, { 0 }, { 1 }, 1 },
        { 1, { 2, 2, 10 }, { 3, 2, 4 }, { 2 }, { 1 }, { 2 }, { 1 }, 1 },
        { 2, { 2, 3, 5, 7 }, { 4, 3, 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 },
        { 2, { -1, 2, 8, 6 }, { 3, 2, 3, 2 }, { 2, 1 }, { 1, 0 }, { 0, 0 }, { 1, 2 }, 1 },
        { 2, { 2, 4, 6, 5 }, { 6, 2, 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 2 },
        { 2, { -1, 3, 5, 5 }, { 3, 1, 3, 3 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 3 },
        { 2, { 2, 5, 4, 3 }, { 7, 5, 1, 1 }, { 1, 1 }, { 0, 0 }, { 0, 0 }, { 1, 1 }, 1 },
        { 2, { 1, 1, 4, 4 }, { 2, 1, 2, 2 }, { 2, 2 }, { 3, 0 }, { 1, 4 }, { 1, 1 }, 1 },
        { 1, { 2, 2, 13 }, { 3, 2, 5 }, { 2 }, { 2 }, { 1 }, { 1 }, 1 },
        { 1, { 2, 2, 19 }, { 3, 2, 4 }, { 4 }, { 2 }, { 3 }, { 3 }, 1 },
        { 1, { 2, 2, 19 }, { 3, 2, 3 }, { 3 }, { 5 }, { 9 }, { 2 }, 1 },
        { 1, { 2, 2, 40 }, { 1, 2, 19 }, { 18 }, { 1 }, { 0 }, { 1 }, 1 },
        { 2, { -1, 3, 9, 7 }, { 4, 3, 3, 3 }, { 2, 2 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, 1 },
        { 2, { 2, 4, 7, 7 }, { 6, 2, 1, 1 }, { 2, 2 }, { 0, 0 }, { 0, 0 }, { 1, 1 }, 2 },
        { 1, { 1, 1, 4 }, { 2, 1, 2 }, { 10 }, { 3 }, { 0 }, { 1 }, 1 },
        { 3,
          { 1, 2, 4, 3, 5 },
          { 3, 2, 2, 2, 3 },
          { 1, 1, 2 },
          { 0, 1, 1 },
          { 1, 0, 1 },
          { 1, 1, 1 },
          1 },
        { 3,
          { 2, 4, 3, 2, 3 },
          { 2, 2, 2, 2, 2 },
          { 1, 1, 1 },
          { 0, 0, 0 },
          { 0, 0, 0 },
          { 1, 1, 1 },
          2 },
    };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 2 * COUNT)
        return NODE_NONE;
    Dtype type = i < COUNT ? DT_F64 : DT_F32;
    i %= COUNT;
    uint32_t n = t[i].n;
    NodeId x = case_input(g, r, type, n + 2, t[i].x, -1, 1, false),
           w = case_input(g, r, type, n + 2, t[i].w, -1, 1, false);
    AttrValue attrs[] = { attr_ints(t[i].stride, n), attr_ints(t[i].low, n),
                          attr_ints(t[i].high, n), attr_ints(t[i].dilation, n),
                          attr_i(t[i].groups) };
    return graph_emit(g, OP_conv, (NodeId[]){ x, w }, 2, attrs, 5);
}

const OpDef op_conv = {
    .name = "conv", .doc = "y[b, o, p] = sum of w[o, c, k] x[b, c, p stride + k dilation - low]",
    .min_in = 2, .max_in = 2, .attrs = conv_attrs, .infer = conv_infer, .grad = conv_grad,
    .ref = conv_ref, .fold = conv_fold, .expand = conv_expand, .lower = LOWER_EXPAND,
    .cases = conv_cases,
};
