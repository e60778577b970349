/* conv.c: convolution over one to three spatial axes, as cross-correlation, channels before space.
 *
 *     y[b, o, p] = sum over c, k of w[o, c, k] * x[b, c, p * stride + k * dilation - low]
 *
 * It expands to padding, windows of each spatial axis, and one contraction; only indices move, so
 * nothing like an im2col matrix need be stored. Its derivatives are convolutions and contractions
 * again. */
#include "ir/ops/conv.h"

#include <string.h>

static const AttrDecl conv_attrs[] = {
    { .name = "stride", .kind = ATTR_INTS, .required = true },
    { .name = "low", .kind = ATTR_INTS, .required = true },
    { .name = "high", .kind = ATTR_INTS, .required = true },
    { .name = "dilation", .kind = ATTR_INTS, .required = true },
    { .name = "groups", .kind = ATTR_INT, .i = 1 },
    { 0 },
};

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
    Dtype t = infer_dtype(q, 0);
    if (!rule_same_dtype(q, 0, 1)) /* C1 */
        return false;
    if (!dtype_is_float(t) && t != DT_I32 && t != DT_I64) /* C1 */
        return infer_fail(q, DIAG_E0304, "`conv` needs floats, i32 or i64; this is %s",
                          rule_type(q, 0));
    if (x->rank < 3 || x->rank > 2 + CONV_MAX_SPACE || w->rank != x->rank) /* C2 */
        return infer_fail(q, DIAG_E0318,
                          "a convolution takes x [batch, channels, space...] and weights of as "
                          "many axes, not %s and %s",
                          rule_type(q, 0), rule_type(q, 1));
    uint32_t n = x->rank - 2;
    int64_t padded[CONV_MAX_SPACE];
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

NodeId conv_windows(Graph *g, NodeId x, const Conv *c)
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

NodeId conv_split_groups(Graph *g, NodeId x, uint32_t axis, int64_t groups)
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

ConvLetters conv_letters(const Conv *c)
{
    static const char places[] = "pqr", taps[] = "uvw";
    const char *g = c->groups > 1 ? "g" : "";
    ConvLetters l;
    char *x = stpcpy(stpcpy(stpcpy(l.x, "b"), g), "c"), *w = stpcpy(stpcpy(l.w, g), "oc");
    char *y = stpcpy(stpcpy(stpcpy(l.y, "b"), g), "o");
    for (uint32_t i = 0; i < c->n; i++) {
        *x++ = *y++ = places[i];
        *x++ = *w++ = taps[i];
    }
    *x = *y = *w = 0;
    return l;
}

NodeId conv_dot(Graph *g, NodeId a, NodeId b, const char *la, const char *lb,
                          const char *out)
{
    return b_dot(g, a, b, arena_printf(g->unit->arena, "%s,%s->%s", la, lb, out));
}

NodeId conv_grouped(Graph *g, NodeId x, uint32_t axis, const Conv *c)
{
    return c->groups > 1 ? conv_split_groups(g, x, axis, c->groups) : x;
}

NodeId conv_each_group(Graph *g, Op op, const NodeId *in, const AttrValue *attrs, uint32_t n)
{
    int64_t groups = attrs[n - 1].i, channels = graph_shape(g, in[0])->dim[1].n / groups,
            rows = graph_shape(g, in[1])->dim[0].n / groups;
    AttrValue alone[8];
    memcpy(alone, attrs, n * sizeof *attrs);
    alone[n - 1] = attr_i(1);
    NodeId *parts = arena_new_array(g->unit->arena, NodeId, (size_t)groups);
    for (int64_t i = 0; i < groups; i++) {
        NodeId pair[] = { b_slice_axis(g, in[0], 1, i * channels, (i + 1) * channels),
                          b_slice_axis(g, in[1], 0, i * rows, (i + 1) * rows) };
        parts[i] = graph_emit(g, op, pair, 2, alone, n);
    }
    return b_concat(g, parts, (uint32_t)groups, 1);
}

/* Three spatial axes in groups would need nine axes of windows: each group by itself then. */
FOLD(conv_fold)
{
    FOLD_UNUSED;
    return attrs[4].i == 1 || shape->rank < 2 + CONV_MAX_SPACE
               ? NODE_NONE
               : conv_each_group(g, OP_conv, in, attrs, 5);
}

static NodeId conv_expand(Graph *g, NodeId node, const NodeId *in)
{
    Conv c = conv_of(g, node);
    ConvLetters l = conv_letters(&c);
    NodeId x = conv_grouped(g, conv_windows(g, in[0], &c), 1, &c),
           w = conv_grouped(g, in[1], 0, &c);
    return b_reshape(g, conv_dot(g, x, w, l.x, l.w, l.y), graph_shape(g, node));
}

/* ---- derivatives ---- */

NodeId conv_weights_part(Graph *g, NodeId x, NodeId dy, const Conv *c, const Shape *w)
{
    ConvLetters l = conv_letters(c);
    x = conv_grouped(g, conv_windows(g, x, c), 1, c);
    return b_reshape(g, conv_dot(g, conv_grouped(g, dy, 1, c), x, l.y, l.x, l.w), w);
}

static void conv_grad(Grad *q)
{
    Conv c = conv_of(q->g, q->node);
    if (q->needs(q, 0))
        q->add(q, 0, conv_spread(q->g, q->dy, q->in[1], &c));
    if (q->needs(q, 1))
        q->add(q, 1, conv_weights_part(q->g, q->in[0], q->dy, &c,
                                       graph_shape(q->g, q->in[1])));
}

/* ---- reference ---- */

/* The sum over output place o; `at` is its index in y. */
static void conv_sum(const Value *x, const Value *w, const Conv *c, const int64_t *at, Value *y,
                     int64_t o)
{
    int64_t channels = w->dim[1], outs = w->dim[0] / c->groups, from[MAX_RANK] = { at[0] };
    int64_t place[MAX_RANK] = { at[1] };
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
        int64_t a = inside ? index_offset(x, from) : 0, b = index_offset(w, place);
        if (inside && dtype_is_float(y->dtype))
            y->f[o] += x->f[a] * w->f[b];
        else if (inside)
            y->i[o] = value_wrap(y->dtype, (int64_t)((uint64_t)y->i[o] +
                                                     (uint64_t)x->i[a] * (uint64_t)w->i[b]));
    } while (index_next(&part, walk));
}

static void conv_ref(Ref *q)
{
    Conv c = conv_of(q->g, q->node);
    int64_t at[MAX_RANK] = { 0 }, o = 0;
    if (!q->out->count || !q->in[1].count)
        return;
    do
        conv_sum(&q->in[0], &q->in[1], &c, at, q->out, o++);
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
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_I64 };
    if (i >= 4 * COUNT)
        return NODE_NONE;
    Dtype type = types[i / COUNT];
    double most = dtype_is_float(type) ? 1 : 9;
    i %= COUNT;
    uint32_t n = t[i].n;
    NodeId x = case_input(g, r, type, n + 2, t[i].x, -most, most, false),
           w = case_input(g, r, type, n + 2, t[i].w, -most, most, false);
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
