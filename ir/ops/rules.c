/* rules.c: see rules.h. */
#include "ir/ops/rules.h"

#include <string.h>

const char *rule_type(const Infer *q, uint32_t i)
{
    Arena *a = q->g->unit->arena;
    return arena_printf(a, "%s%s", dtype_name(infer_dtype(q, i)), shape_text(a, infer_shape(q, i)));
}

const char *rule_name(const Infer *q)
{
    const OpDef *def = op_defs[q->op];
    return arena_printf(q->g->unit->arena, "`%s`", def->written ? def->written : def->name);
}

bool rule_float(Infer *q, uint32_t i)
{
    return dtype_is_float(infer_dtype(q, i)) ||
           infer_fail(q, DIAG_E0304, "%s needs float values; this is %s", rule_name(q),
                      rule_type(q, i));
}

bool rule_number(Infer *q, uint32_t i)
{
    return infer_dtype(q, i) != DT_BOOL ||
           infer_fail(q, DIAG_E0304, "%s needs numbers; this is %s", rule_name(q), rule_type(q, i));
}

bool rule_integer(Infer *q, uint32_t i)
{
    return dtype_is_integer(infer_dtype(q, i)) ||
           infer_fail(q, DIAG_E0304, "%s needs integers; this is %s", rule_name(q),
                      rule_type(q, i));
}

bool rule_bool(Infer *q, uint32_t i)
{
    return infer_dtype(q, i) == DT_BOOL ||
           infer_fail(q, DIAG_E0304, "%s needs a bool; this is %s", rule_name(q), rule_type(q, i));
}

bool rule_same_dtype(Infer *q, uint32_t i, uint32_t j)
{
    return infer_dtype(q, i) == infer_dtype(q, j) ||
           infer_fail(q, DIAG_E0305, "%s needs operands of one type: %s and %s", rule_name(q),
                      rule_type(q, i), rule_type(q, j));
}

bool rule_same_shape(Infer *q, uint32_t i, uint32_t j)
{
    return shape_equal(infer_shape(q, i), infer_shape(q, j)) ||
           infer_fail(q, DIAG_E0306, "%s needs operands of one shape: %s and %s", rule_name(q),
                      rule_type(q, i), rule_type(q, j));
}

bool rule_range(Infer *q, const char *attr, int64_t lo, int64_t hi)
{
    int64_t v = infer_attr(q, attr)->i;
    if (v >= lo && v <= hi)
        return true;
    if (hi == INT64_MAX)
        return infer_fail(q, DIAG_E0315, "%s needs `%s` of at least %lld, not %lld", rule_name(q),
                          attr, (long long)lo, (long long)v);
    return infer_fail(q, DIAG_E0315, "%s needs `%s` from %lld to %lld, not %lld", rule_name(q),
                      attr, (long long)lo, (long long)hi, (long long)v);
}

static bool axis_in(Infer *q, int64_t axis, uint32_t i)
{
    return (axis >= 0 && axis < infer_shape(q, i)->rank) ||
           infer_fail(q, DIAG_E0307, "%s: %s has no axis %lld", rule_name(q), rule_type(q, i),
                      (long long)axis);
}

bool rule_axis(Infer *q, const char *attr, uint32_t i)
{
    return axis_in(q, infer_attr(q, attr)->i, i);
}

bool rule_axes(Infer *q, const char *attr, uint32_t i)
{
    const AttrValue *v = infer_attr(q, attr);
    uint32_t seen = 0;
    for (uint32_t j = 0; j < v->count; j++) {
        if (!axis_in(q, v->ints[j], i))
            return false;
        if (seen >> v->ints[j] & 1)
            return infer_fail(q, DIAG_E0307, "%s names axis %lld twice", rule_name(q),
                              (long long)v->ints[j]);
        seen |= 1u << v->ints[j];
    }
    return true;
}

bool rule_list(Infer *q, const char *attr, uint32_t n, int64_t least)
{
    const AttrValue *v = infer_attr(q, attr);
    if (v->count != n)
        return infer_fail(q, DIAG_E0315, "%s needs %u number%s in `%s`, not %u", rule_name(q), n,
                          n == 1 ? "" : "s", attr, v->count);
    for (uint32_t i = 0; i < n; i++)
        if (v->ints[i] < least)
            return infer_fail(q, DIAG_E0315, "%s needs `%s` of at least %lld, not %lld",
                              rule_name(q), attr, (long long)least, (long long)v->ints[i]);
    return true;
}

bool rule_pinned(Infer *q, uint32_t i, uint32_t axis)
{
    return !infer_shape(q, i)->dim[axis].k ||
           infer_fail(q, DIAG_E0310,
                      "%s along axis %u of %s needs the batch to be pinned: its extent is known "
                      "only at run time",
                      rule_name(q), axis, rule_type(q, i));
}

bool rule_rank(Infer *q, uint32_t rank)
{
    return rank <= MAX_RANK || infer_fail(q, DIAG_E0308, "%s would have %u axes; the most is %d",
                                          rule_name(q), rank, MAX_RANK);
}

bool rule_result(Infer *q)
{
    int64_t n;
    Shape filled = q->shape; /* extents of 0 hide nothing: a reduction takes them away */
    for (uint32_t i = 0; i < q->shape.rank; i++) {
        if (q->shape.dim[i].n < 0 || q->shape.dim[i].k < 0)
            return infer_fail(q, DIAG_E0309, "%s: an extent of %lld", rule_name(q),
                              (long long)q->shape.dim[i].n);
        filled.dim[i].n += !filled.dim[i].n;
    }
    return (shape_elements(&filled, &n) && n <= INT64_MAX / 16) ||
           infer_fail(q, DIAG_E0309, "%s: %s%s has more elements than can be counted", rule_name(q),
                      dtype_name(q->dtype), shape_text(q->g->unit->arena, &q->shape));
}

bool rule_like(Infer *q, uint32_t i)
{
    q->dtype = infer_dtype(q, i);
    q->shape = *infer_shape(q, i);
    return true;
}

bool rule_float_map(Infer *q)
{
    return rule_float(q, 0) && rule_like(q, 0);
}

bool index_next(const Value *v, int64_t *at)
{
    for (uint32_t i = v->rank; i-- > 0; at[i] = 0)
        if (++at[i] < v->dim[i])
            return true;
    return false;
}

int64_t index_offset(const Value *v, const int64_t *at)
{
    int64_t o = 0;
    for (uint32_t i = 0; i < v->rank; i++)
        o = o * v->dim[i] + at[i];
    return o;
}

int64_t index_stride(const Value *v, int64_t axis)
{
    int64_t stride = 1;
    for (uint32_t i = (uint32_t)axis + 1; i < v->rank; i++)
        stride *= v->dim[i];
    return stride;
}

void element_copy(Value *out, int64_t to, const Value *x, int64_t from)
{
    if (dtype_is_float(x->dtype))
        out->f[to] = x->f[from];
    else
        out->i[to] = x->i[from];
}

void element_set(Value *out, int64_t to, double v)
{
    if (dtype_is_float(out->dtype))
        out->f[to] = v;
    else
        out->i[to] = value_wrap(out->dtype, (int64_t)v);
}

double element_float(const Value *x, int64_t at)
{
    return dtype_is_float(x->dtype) ? x->f[at] : (double)x->i[at];
}

bool axes_has(const AttrValue *axes, uint32_t axis)
{
    for (uint32_t i = 0; i < axes->count; i++)
        if (axes->ints[i] == axis)
            return true;
    return false;
}

const AttrList *node_attrs(const Graph *g, NodeId id)
{
    return &g->unit->attrs.at[graph_node(g, id)->attrs];
}

void ref_move(Ref *q, SourceIndex source, double fill)
{
    int64_t at[MAX_RANK] = { 0 }, from[MAX_RANK], o = 0;
    if (!q->out->count)
        return;
    do {
        if (source(q, at, from))
            element_copy(q->out, o, q->in, index_offset(q->in, from));
        else
            element_set(q->out, o, fill);
        o++;
    } while (index_next(q->out, at));
}

NodeId case_of_kind(Graph *g, CaseRng *r, uint32_t kind, uint32_t rank, const int64_t *dims)
{
    static const Dtype types[] = { DT_F64, DT_F32, DT_I32, DT_BOOL };
    Dtype t = types[kind % 4];
    return case_input(g, r, t, rank, dims, 0, t == DT_BOOL ? 1 : 50, false);
}
