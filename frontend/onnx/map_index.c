/* map_index.c: slices, padding, and what indices choose. */
#include "frontend/onnx/map.h"

#include <string.h>

/* ---- Slice ---- */

/* begin, end and step of one axis as Python counts them, for a step of either sign, as a range with
 * a positive step; true when it runs backward. */
static bool cut(int64_t n, int64_t from, int64_t to, int64_t step, int64_t *begin, int64_t *end,
                int64_t *by)
{
    bool back = step < 0;
    int64_t low = back ? -1 : 0, high = back ? n - 1 : n;
    from = from < 0 ? (from < -n ? -1 : from + n) : from;
    to = to < 0 ? (to < -n ? -1 : to + n) : to;
    from = from < low ? low : from > high ? high : from;
    to = to < low ? low : to > high ? high : to;
    int64_t size = back ? -(step + 1) : step - 1; /* |step| - 1, which cannot overflow */
    int64_t span = back ? from - to : to - from;
    *by = size >= n ? n + 1 : size + 1;
    if (span <= 0) {
        *begin = *end = 0;
        *by = 1;
        return false;
    }
    int64_t count = (span - 1) / *by + 1;
    *begin = back ? from - (count - 1) * *by : from;
    *end = *begin + (count - 1) * *by + 1;
    return back;
}

/* Where slices end. To the end of the batch, as exported files say it by its Shape, is to the end.
 */
static bool read_ends(OnnxNode *q, const Shape *s, Ints axes, Ints *out)
{
    Shape to;
    if (node_is_known(q, 2))
        return node_ints(q, 2, out);
    if (!node_dims(q, 2, &to))
        return false;
    int64_t *ends = arena_new_array(q->im->a, int64_t, MAX_RANK);
    for (uint32_t i = 0; i < to.rank; i++) {
        uint32_t axis = axes.n > i ? (uint32_t)axes.at[i] : i;
        if (to.dim[i].k && (axis >= s->rank || !dim_equal(to.dim[i], s->dim[axis])))
            return node_pins_batch(q);
        ends[i] = to.dim[i].n;
    }
    *out = (Ints){ to.rank, ends };
    return true;
}

bool map_slice(OnnxNode *q)
{
    Ints from, to, axes, steps = { 0 };
    const char *x = node_arg(q, 0);
    const Shape *s = node_shape(q, 0);
    if (!x)
        return false;
    bool old = attribute_ints(q, "starts", &from);
    if (!node_axes(q, "axes", 3, s->rank, &axes))
        return false;
    if (old ? !attribute_ints(q, "ends", &to)
            : !node_ints(q, 1, &from) || !read_ends(q, s, axes, &to))
        return false;
    if (!old && node_has(q, 4) && !node_ints(q, 4, &steps))
        return false;
    bool given = axes.n || (old ? attribute_has(q, "axes") : node_has(q, 3));
    uint32_t n = given ? axes.n : from.n;
    if (from.n != n || to.n != n || (steps.n && steps.n != n) || n > s->rank)
        return node_wrong(q, "starts, ends, axes and steps differ in number");
    int64_t begin[MAX_RANK], end[MAX_RANK], by[MAX_RANK], back[MAX_RANK];
    uint32_t backs = 0;
    for (uint32_t i = 0; i < s->rank; i++)
        begin[i] = 0, end[i] = s->dim[i].n, by[i] = 1;
    for (uint32_t i = 0; i < n; i++) {
        int64_t a = given ? axes.at[i] : i, step = steps.n ? steps.at[i] : 1;
        if (!step)
            return node_wrong(q, "a step of 0");
        if (cut(s->dim[a].n, from.at[i], to.at[i], step, &begin[a], &end[a], &by[a]))
            back[backs++] = a;
        if (s->dim[a].k && (begin[a] || end[a] != s->dim[a].n || by[a] != 1))
            return node_pins_batch(q);
    }
    const char *text = onnx_slices(q, x, s, begin, end, by);
    if (backs)
        text = text_printf(q, "flip(%s, axis=%s)", text, text_ints(q, back, backs));
    return node_let(q, 0, "%s", text);
}

/* x[a..b, :]: where all steps are 1; else the op with all its numbers. */
const char *onnx_slices(OnnxNode *q, const char *x, const Shape *s, const int64_t *begin,
                        const int64_t *end, const int64_t *step)
{
    char *items = (char *)text_printf(q, "%s", "");
    bool whole = true, steps = false;
    uint32_t last = 0;
    for (uint32_t i = 0; i < s->rank; i++) {
        bool all = !begin[i] && end[i] == s->dim[i].n && step[i] == 1;
        whole &= all;
        steps |= step[i] != 1;
        last = all ? last : i;
    }
    if (whole)
        return x;
    Shape to = { .rank = s->rank };
    for (uint32_t i = 0; i < s->rank; i++)
        to.dim[i] = s->dim[i].k ? s->dim[i] : dim_of(end[i]);
    if (steps)
        return text_printf(q, "slice(%s, begin=%s, end=%s, step=%s)", x,
                           text_ints(q, begin, s->rank), text_dims(q, &to),
                           text_ints(q, step, s->rank));
    for (uint32_t i = 0; i <= last; i++) {
        bool all = !begin[i] && end[i] == s->dim[i].n;
        items = (char *)(all ? text_printf(q, "%s%s:", items, i ? ", " : "")
                             : text_printf(q, "%s%s%lld..%lld", items, i ? ", " : "",
                                           (long long)begin[i], (long long)end[i]));
    }
    return text_printf(q, "%s[%s]", x, items);
}

/* ---- Pad ---- */

bool map_pad(OnnxNode *q)
{
    Ints pads, axes = { 0 };
    const char *x = node_arg(q, 0), *mode = attribute_string(q, "mode", "constant");
    const Shape *s = node_shape(q, 0);
    int64_t low[MAX_RANK] = { 0 }, high[MAX_RANK] = { 0 };
    bool old = attribute_ints(q, "pads", &pads) || attribute_ints(q, "paddings", &pads);
    if (!x || (!old && !node_ints(q, 1, &pads)) || !node_axes(q, "", 3, s->rank, &axes))
        return false;
    bool given = !old && node_has(q, 3);
    uint32_t n = given ? axes.n : s->rank;
    if (pads.n != 2 * n)
        return node_wrong(q, "%u pads for %u axes", pads.n, n);
    for (uint32_t i = 0; i < n; i++) {
        low[given ? axes.at[i] : i] = pads.at[i];
        high[given ? axes.at[i] : i] = pads.at[n + i];
    }
    const char *l = text_ints(q, low, s->rank), *h = text_ints(q, high, s->rank);
    if (strcmp(mode, "constant"))
        return !strcmp(mode, "reflect") || !strcmp(mode, "edge") || !strcmp(mode, "wrap")
                   ? node_let(q, 0, "pad_%s(%s, %s, %s)", mode, x, l, h)
                   : node_wrong(q, "a mode `%s`", onnx_escape(q->im->a, mode));
    if (old)
        return node_let(q, 0, "pad_with(%s, %s, %s, value=%s)", x, l, h,
                        text_float(q, attribute_float(q, "value", 0)));
    if (!node_has(q, 2))
        return node_let(q, 0, "pad_with(%s, %s, %s)", x, l, h);
    if (node_is_known(q, 2)) {
        const char *known = node_number_text(q, 2);
        return known && node_let(q, 0, "pad_with(%s, %s, %s, value=%s)", x, l, h, known);
    }
    const char *value = node_arg(q, 2);
    return value && node_let(q, 0, "pad_value(%s, %s, %s, %s)", x, l, h, value);
}

/* ---- Gather and scatter ---- */

bool map_gather(OnnxNode *q)
{
    int64_t axis;
    Ints known;
    const char *x = node_arg(q, 0);
    const Shape *s = node_shape(q, 0);
    if (!x || !node_axis(q, attribute_int(q, "axis", 0), s->rank, &axis))
        return false;
    if (node_is_known(q, 1) && node_shape(q, 1)->rank == 0 && node_ints(q, 1, &known)) {
        int64_t i = known.at[0] < 0 ? known.at[0] + s->dim[axis].n : known.at[0];
        if (i < 0 || i >= s->dim[axis].n)
            return node_wrong(q, "index %lld of %lld", (long long)known.at[0],
                              (long long)s->dim[axis].n);
        char *items = (char *)text_printf(q, "%s", "");
        for (int64_t k = 0; k < axis; k++)
            items = (char *)text_printf(q, "%s:, ", items);
        return node_let(q, 0, "%s[%s%lld]", x, items, (long long)i);
    }
    const char *index = node_arg(q, 1);
    return index && node_let(q, 0, "gather(%s, wrap(%s, %lld), axis=%lld)", x, index,
                             (long long)s->dim[axis].n, (long long)axis);
}

bool map_gather_elements(OnnxNode *q)
{
    int64_t axis;
    const char *x = node_arg(q, 0), *index = node_arg(q, 1);
    return x && index && node_axis(q, attribute_int(q, "axis", 0), node_shape(q, 0)->rank, &axis) &&
           node_let(q, 0, "gather_elements(%s, %s, axis=%lld)", x, index, (long long)axis);
}

bool map_gather_nd(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *index = node_arg(q, 1);
    return x && index &&
           node_let(q, 0, "gather_nd(%s, %s, batch=%lld)", x, index,
                    (long long)attribute_int(q, "batch_dims", 0));
}

bool map_scatter_elements(OnnxNode *q)
{
    int64_t axis;
    const char *x = node_arg(q, 0), *index = node_arg(q, 1), *update = node_arg(q, 2);
    return x && index && update &&
           node_axis(q, attribute_int(q, "axis", 0), node_shape(q, 0)->rank, &axis) &&
           node_let(q, 0, "scatter_elements(%s, %s, %s, axis=%lld, mode=\"%s\")", x, index, update,
                    (long long)axis,
                    import_string(q->im->a, attribute_string(q, "reduction", "none")));
}

/* Known indices of rows that follow each other, as exporters write x[a..b] = u: a and b. */
static bool is_run(OnnxNode *q, uint32_t input, Dim rows, int64_t *begin, int64_t *end)
{
    const Shape *s = node_shape(q, input);
    Ints at;
    if (rows.k || s->rank != 2 || s->dim[0].k || s->dim[0].n < 1 || s->dim[1].n != 1 ||
        s->dim[1].k || s->dim[0].n > ONNX_MAX_INTS || !node_is_known(q, input) ||
        !node_ints(q, input, &at) || at.at[0] < -rows.n || at.at[0] >= rows.n)
        return false;
    *begin = at.at[0] < 0 ? at.at[0] + rows.n : at.at[0];
    *end = *begin + at.n;
    for (uint32_t i = 1; i < at.n; i++)
        if (at.at[i] != at.at[0] + i)
            return false;
    return *end <= rows.n;
}

/* Rows that follow each other are put between what is before and behind them. */
bool map_scatter_nd(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *update = node_arg(q, 2), *index;
    const char *mode = attribute_string(q, "reduction", "none");
    const Shape *s = node_shape(q, 0);
    int64_t begin, end;
    if (!x || !update)
        return false;
    if (s->rank && !strcmp(mode, "none") && is_run(q, 1, s->dim[0], &begin, &end) &&
        node_shape(q, 2)->rank == s->rank &&
        dim_equal(node_shape(q, 2)->dim[0], dim_of(end - begin))) {
        const char *before = text_printf(q, begin ? "%s[..%lld], " : "", x, (long long)begin);
        const char *behind = text_printf(q, end < s->dim[0].n ? ", %s[%lld..]" : "", x,
                                         (long long)end);
        return *before || *behind
                   ? node_let(q, 0, "concat(%s%s%s, axis=0)", before, update, behind)
                   : node_let(q, 0, "%s", update);
    }
    index = node_arg(q, 1);
    return index && node_let(q, 0, "scatter_nd(%s, %s, %s, mode=\"%s\")", x, index, update,
                             import_string(q->im->a, mode));
}

bool map_top_k(OnnxNode *q)
{
    Ints k;
    int64_t axis;
    const char *x = node_arg(q, 0);
    if (!x || !node_axis(q, attribute_int(q, "axis", -1), node_shape(q, 0)->rank, &axis))
        return false;
    int64_t count = attribute_int(q, "k", -1);
    if (count < 0 && !node_ints(q, 1, &k))
        return false;
    if (count < 0 && k.n != 1)
        return node_wrong(q, "one number k is needed");
    count = count < 0 ? k.at[0] : count;
    const char *call = text_printf(q, "topk(%s, %lld, axis=%lld%s)", x, (long long)count,
                                   (long long)axis,
                                   attribute_int(q, "largest", 1) ? "" : ", largest=false");
    const char *parts[2];
    return node_tmps(q, 2, (const char *const[]){ "values", "indices" }, parts, "%s", call) &&
           node_let(q, 0, "%s", parts[0]) && node_let(q, 1, "i64(%s)", parts[1]);
}

/* OneHot: indices and the depth may be floats. */
bool map_one_hot(OnnxNode *q)
{
    double depth;
    const char *x = node_arg(q, 0), *values = node_arg(q, 2);
    int64_t axis;
    if (!x || !values || !node_number(q, 1, &depth))
        return false;
    if (!(depth >= 0 && depth <= INT32_MAX))
        return node_wrong(q, "a depth of %g", depth);
    if (!node_axis(q, attribute_int(q, "axis", -1), node_shape(q, 0)->rank + 1, &axis))
        return false;
    const char *index = text_printf(q, "i64(%s)", x);
    if (node_version(q) < 11) { /* a negative index names nothing yet */
        const char *own = node_tmp(q, "index", "%s", index);
        if (!own)
            return false;
        index = text_printf(q, "select(%s < 0, %lld, %s)", own, (long long)depth, own);
    }
    return node_let(q, 0, "onehot_values(%s, %lld, %s[0], %s[1], axis=%lld)", index,
                    (long long)depth, values, values, (long long)axis);
}

bool map_trilu(OnnxNode *q)
{
    Ints k = { 0 };
    const char *x = node_arg(q, 0);
    if (!x || (node_has(q, 1) && !node_ints(q, 1, &k)))
        return false;
    return node_let(q, 0, attribute_int(q, "upper", 1) ? "triu(%s, k=%lld)" : "tril(%s, k=%lld)", x,
                    k.n ? (long long)k.at[0] : 0);
}

bool map_depth_to_space(OnnxNode *q)
{
    const char *x = node_arg(q, 0);
    return x && node_let(q, 0, "depth_to_space(%s, %lld, mode=\"%s\")", x,
                         (long long)attribute_int(q, "blocksize", 0),
                         import_string(q->im->a, attribute_string(q, "mode", "DCR")));
}
