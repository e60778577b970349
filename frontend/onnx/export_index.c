/* export_index.c: by position, by indices that are data, and in sorted order.
 *
 * ONNX counts negative indices from the end and leaves others outside to the runtime; ours read 0
 * there and add nothing. Within the axis, all that a right program asks for, they agree. */
#include "frontend/onnx/export_node.h"

#include <string.h>

/* 0, 1, 2, ... with the axes of extent 1 behind it: it broadcasts to the shape of an iota. */
static const char *counted(Export *x, Dim n, uint32_t axes_behind, Dtype t)
{
    Shape line = { .rank = 1, .dim = { n } }, s = { .rank = 1 + axes_behind };
    const char *v;
    for (uint32_t i = 1; i < s.rank; i++)
        s.dim[i] = dim_of(1);
    s.dim[0] = n;
    if (n.k) {
        const char *end = EX(x, "Reshape", ex_batch(x, n.k), ex_ints(x, NULL, 0));
        v = EX(x, "Range", ex_scalar(x, DT_I64, 0), end, ex_scalar(x, DT_I64, 1));
    } else {
        int64_t *at = arena_new_array(x->arena, int64_t, (size_t)n.n);
        for (int64_t i = 0; i < n.n; i++)
            at[i] = i;
        v = ex_ints(x, at, (uint32_t)n.n);
    }
    return ex_cast(x, ex_reshape(x, v, &line, &s), DT_I64, t);
}

void say_iota(Export *x, NodeId id)
{
    const Shape *s = graph_shape(x->g, id);
    uint32_t axis = (uint32_t)ex_attr(x, id, "axis");
    const char *v = counted(x, s->dim[axis], s->rank - axis - 1, graph_dtype(x->g, id));
    bool whole = true;
    for (uint32_t i = 0; i < s->rank; i++)
        whole &= i == axis || (i > axis && dim_equal(s->dim[i], dim_of(1)));
    x->spread[id] = v;
    if (x->need[id] & NEED_FULL)
        ex_result(x, id, whole ? v : ex_expand(x, v, s));
}

/* Gather takes i32 and i64. */
static const char *index_of(Export *x, NodeId id)
{
    Dtype t = graph_dtype(x->g, id);
    return ex_cast(x, ex_full(x, id), t, t == DT_I32 ? t : DT_I64);
}

/* Compared with every place rather than OneHot, for which -1 is the last one. */
void say_one_hot(Export *x, NodeId id)
{
    NodeId index = ex_operand(x, id, 0);
    const Shape *s = graph_shape(x->g, id);
    Shape column = *s;
    column.dim[s->rank - 1] = dim_of(1);
    const char *v = ex_cast(x, ex_full(x, index), graph_dtype(x->g, index), DT_I64);
    v = ex_reshape(x, v, graph_shape(x->g, index), &column);
    v = EX(x, "Equal", v, counted(x, s->dim[s->rank - 1], 0, DT_I64));
    ex_result(x, id, ex_cast(x, v, DT_BOOL, graph_dtype(x->g, id)));
}

void say_gather(Export *x, NodeId id)
{
    const char *v =
        EX(x, "Gather", ex_full(x, ex_operand(x, id, 0)), index_of(x, ex_operand(x, id, 1)));
    ex_int(x, "axis", ex_attr(x, id, "axis"));
    ex_result(x, id, v);
}

void say_take_along(Export *x, NodeId id)
{
    const char *v = EX(x, "GatherElements", ex_full(x, ex_operand(x, id, 0)),
                       index_of(x, ex_operand(x, id, 1)));
    ex_int(x, "axis", ex_attr(x, id, "axis"));
    ex_result(x, id, v);
}

/* The indexed axes of the updates first, added to zeros, and the axis back to its place. */
void say_scatter_add(Export *x, NodeId id)
{
    NodeId index = ex_operand(x, id, 0), updates = ex_operand(x, id, 1);
    const Shape *places = graph_shape(x->g, index), *from = graph_shape(x->g, updates),
                *s = graph_shape(x->g, id);
    uint32_t axis = (uint32_t)ex_attr(x, id, "axis");
    Dtype t = graph_dtype(x->g, id), as = ex_compute(x, id, export_rows[OP_scatter_add].types, t);
    Shape zeros = { .rank = s->rank }, column = *places;
    int64_t there[MAX_RANK], back[MAX_RANK];
    for (uint32_t i = 0; i < from->rank; i++)
        there[i] = i < places->rank ? axis + i : i < places->rank + axis ? i - places->rank : i;
    for (uint32_t i = 0; i < s->rank; i++) {
        back[i] = i < axis ? i + 1 : i == axis ? 0 : i;
        zeros.dim[back[i]] = s->dim[i];
    }
    column.dim[column.rank++] = dim_of(1);
    const char *at = ex_cast(x, ex_full(x, index), graph_dtype(x->g, index), DT_I64);
    const char *v = ex_cast(x, ex_full(x, updates), t, as);
    at = ex_reshape(x, at, places, &column);
    v = ex_transpose(x, v, there, from->rank);
    if (as != DT_COUNT)
        v = EX(x, "ScatterND", ex_expand(x, ex_scalar(x, as, 0), &zeros), at, v);
    ex_text(x, "reduction", "add");
    ex_result(x, id, ex_cast(x, ex_transpose(x, v, back, s->rank), as, t));
}

void say_scatter_along(Export *x, NodeId id)
{
    NodeId index = ex_operand(x, id, 0), updates = ex_operand(x, id, 1);
    Dtype t = graph_dtype(x->g, id),
          as = ex_compute(x, id, export_rows[OP_scatter_add_along].types, t);
    const char *at = index_of(x, index), *v = ex_cast(x, ex_full(x, updates), t, as);
    if (as != DT_COUNT)
        v = EX(x, "ScatterElements", ex_expand(x, ex_scalar(x, as, 0), graph_shape(x->g, id)), at,
               v);
    ex_int(x, "axis", ex_attr(x, id, "axis"));
    ex_text(x, "reduction", "add");
    ex_result(x, id, ex_cast(x, v, as, t));
}

void say_scatter(Export *x, NodeId id)
{
    NodeId to = ex_operand(x, id, 0), index = ex_operand(x, id, 1), updates = ex_operand(x, id, 2);
    const char *mode = graph_attr(x->g, id, "mode")->s;
    Dtype t = graph_dtype(x->g, id), as = ex_compute(x, id, export_rows[OP_scatter].types, t);
    Shape column = { .rank = 2, .dim = { graph_shape(x->g, index)->dim[0], dim_of(1) } };
    const char *v = ex_cast(x, ex_full(x, to), t, as);
    const char *at = ex_cast(x, ex_full(x, index), graph_dtype(x->g, index), DT_I64);
    const char *by = ex_cast(x, ex_full(x, updates), t, as);
    at = ex_reshape(x, at, graph_shape(x->g, index), &column);
    if (!strcmp(mode, "max") || !strcmp(mode, "min"))
        ex_unsupported(x, id, "`scatter` with mode \"%s\" in opset %d", mode, ONNX_OPSET);
    v = EX(x, "ScatterND", v, at, by);
    ex_text(x, "reduction", mode);
    ex_result(x, id, ex_cast(x, v, as, t));
}

/* TopK of all, or of the first few; of equal elements, both keep the order. */
void say_argsort(Export *x, NodeId id)
{
    NodeId from = ex_operand(x, id, 0);
    int64_t axis = ex_attr(x, id, "axis");
    Dim n = graph_shape(x->g, id)->dim[axis];
    Dtype t = graph_dtype(x->g, from), as = ex_compute(x, id, export_rows[OP_argsort].types, t);
    const char *v = ex_cast(x, ex_full(x, from), t, as);
    EX(x, "TopK", v, n.k ? ex_batch(x, n.k) : ex_ints(x, &n.n, 1));
    ex_int(x, "axis", axis);
    ex_int(x, "largest", ex_attr(x, id, "descending"));
    ex_int(x, "sorted", 1);
    ex_result(x, id, ex_cast(x, ex_second(x), DT_I64, graph_dtype(x->g, id)));
}
