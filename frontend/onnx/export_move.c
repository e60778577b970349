/* export_move.c: values from outside, and the same elements elsewhere. */
#include "frontend/onnx/export_node.h"

#include <string.h>

/* ---- Leaves ---- */

void say_input(Export *x, NodeId id)
{
    ex_result(x, id, x->g->inputs.at[ex_attr(x, id, "index")].name);
}

/* An initializer under the tensor's own name, its elements where they lie. */
void say_tensor(Export *x, NodeId id)
{
    uint32_t index = (uint32_t)ex_attr(x, id, "index");
    const Tensor *t = &x->unit->tensors.at[index];
    Onnx__TensorProto *p = arena_make(x->arena, Onnx__TensorProto);
    size_t bytes = dtype_size(t->dtype);
    if (!x->writing)
        return;
    onnx__tensor_proto__init(p);
    p->dims = arena_new_array(x->arena, int64_t, t->shape.rank);
    for (p->n_dims = 0; p->n_dims < t->shape.rank; p->n_dims++)
        bytes *= (size_t)(p->dims[p->n_dims] = t->shape.dim[p->n_dims].n);
    p->has_data_type = true;
    p->data_type = ex_type(t->dtype);
    p->has_raw_data = true;
    p->raw_data = (ProtobufCBinaryData){ bytes, (uint8_t *)(uintptr_t)x->options->elements[index] };
    p->name = (char *)(uintptr_t)ex_name(x, t->name);
    vec_push(x->arena, &x->tensors, p);
    ex_result(x, id, p->name);
}

void say_constant(Export *x, NodeId id)
{
    const Shape *s = graph_shape(x->g, id);
    int64_t dims[MAX_RANK];
    for (uint32_t i = 0; i < s->rank; i++)
        dims[i] = s->dim[i].n;
    ex_result(
        x, id,
        ex_tensor(x, graph_dtype(x->g, id), dims, s->rank, graph_attr(x->g, id, "data")->data));
}

void say_clock(Export *x, NodeId id)
{
    ex_unsupported(x, id, "`%s` of the training clock", graph_attr(x->g, id, "field")->s);
}

void say_batch(Export *x, NodeId id)
{
    const char *v = ex_batch(x, ex_attr(x, id, "k"));
    v = EX(x, "Reshape", v, ex_ints(x, NULL, 0));
    ex_result(x, id, ex_cast(x, v, DT_I64, graph_dtype(x->g, id)));
}

void say_same(Export *x, NodeId id)
{
    ex_result(x, id, ex_full(x, ex_operand(x, id, 0)));
}

/* ---- Moves ---- */

void say_reshape(Export *x, NodeId id)
{
    NodeId from = ex_operand(x, id, 0);
    ex_result(x, id,
              ex_reshape(x, ex_full(x, from), graph_shape(x->g, from), graph_shape(x->g, id)));
}

void say_transpose(Export *x, NodeId id)
{
    const AttrValue *perm = graph_attr(x->g, id, "perm");
    ex_result(x, id, ex_transpose(x, ex_full(x, ex_operand(x, id, 0)), perm->ints, perm->count));
}

void say_broadcast(Export *x, NodeId id)
{
    ex_result(x, id, ex_expand(x, ex_spread(x, id), graph_shape(x->g, id)));
}

/* Starts, ends and steps along some axes. */
static const char *sliced(Export *x, const char *v, const int64_t *from, const int64_t *to,
                          const int64_t *step, const int64_t *axes, uint32_t n)
{
    return EX(x, "Slice", v, ex_ints(x, from, n), ex_ints(x, to, n), ex_ints(x, axes, n),
              ex_ints(x, step, n));
}

void say_slice(Export *x, NodeId id)
{
    const Shape *from = graph_shape(x->g, ex_operand(x, id, 0)), *s = graph_shape(x->g, id);
    const int64_t *begin = graph_attr(x->g, id, "begin")->ints,
                  *end = graph_attr(x->g, id, "end")->ints,
                  *step = graph_attr(x->g, id, "step")->ints;
    int64_t b[MAX_RANK], e[MAX_RANK], by[MAX_RANK], axes[MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->rank; i++) {
        if (dim_equal(from->dim[i], s->dim[i]))
            continue;
        axes[n] = i;
        b[n] = begin[i];
        e[n] = end[i];
        by[n++] = step[i];
    }
    const char *v = ex_full(x, ex_operand(x, id, 0));
    ex_result(x, id, n ? sliced(x, v, b, e, by, axes, n) : v);
}

void say_flip(Export *x, NodeId id)
{
    const AttrValue *axes = graph_attr(x->g, id, "axes");
    int64_t begin[MAX_RANK], end[MAX_RANK], step[MAX_RANK];
    for (uint32_t i = 0; i < axes->count; i++) {
        begin[i] = step[i] = -1;
        end[i] = INT64_MIN;
    }
    const char *v = ex_full(x, ex_operand(x, id, 0));
    ex_result(x, id, axes->count ? sliced(x, v, begin, end, step, axes->ints, axes->count) : v);
}

/* Between the elements there is nothing to add: such pads are said in others when they are made,
 * but for axes of one element. */
void say_pad(Export *x, NodeId id)
{
    uint32_t rank = graph_shape(x->g, id)->rank;
    const AttrValue *low = graph_attr(x->g, id, "low"), *high = graph_attr(x->g, id, "high");
    int64_t pads[2 * MAX_RANK];
    Dtype t = graph_dtype(x->g, id), as = ex_compute(x, id, export_rows[OP_pad].types, t);
    for (uint32_t i = 0; i < rank; i++) {
        pads[i] = low->ints[i];
        pads[rank + i] = high->ints[i];
    }
    const char *v = ex_cast(x, ex_full(x, ex_operand(x, id, 0)), t, as);
    if (as != DT_COUNT)
        v = EX(x, "Pad", v, ex_ints(x, pads, 2 * rank),
               ex_scalar(x, as, graph_attr(x->g, id, "value")->f));
    ex_result(x, id, ex_cast(x, v, as, t));
}

void say_concat(Export *x, NodeId id)
{
    uint32_t n = graph_node(x->g, id)->count;
    const char **in = arena_new_array(x->arena, const char *, n);
    for (uint32_t i = 0; i < n; i++)
        in[i] = ex_full(x, ex_operand(x, id, i));
    const char *v = ex_node(x, "Concat", in, n);
    ex_int(x, "axis", ex_attr(x, id, "axis"));
    ex_result(x, id, v);
}

/* ---- Windows ---- */

/* Element (o, j) is o stride + j dilation: the places that windows reads and overlap_add adds to.
 */
static const char *window_places(Export *x, Dim windows, Dim size, int64_t stride, int64_t dilation,
                                 bool in_rows)
{
    int64_t n = windows.n * size.n, *at = arena_new_array(x->arena, int64_t, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        at[i] = i / size.n * stride + i % size.n * dilation;
    int64_t places[] = { windows.n, size.n }, rows[] = { n, 1 };
    return ex_tensor(x, DT_I64, in_rows ? rows : places, 2, at);
}

void say_windows(Export *x, NodeId id)
{
    int64_t axis = ex_attr(x, id, "axis");
    const Shape *s = graph_shape(x->g, id);
    const char *at = window_places(x, s->dim[axis], s->dim[axis + 1], ex_attr(x, id, "stride"),
                                   ex_attr(x, id, "dilation"), false);
    const char *v = EX(x, "Gather", ex_full(x, ex_operand(x, id, 0)), at);
    ex_int(x, "axis", axis);
    ex_result(x, id, v);
}

/* The two axes of the windows first and as one, added to zeros, and the axis back to its place. */
void say_overlap_add(Export *x, NodeId id)
{
    NodeId from = ex_operand(x, id, 0);
    uint32_t axis = (uint32_t)ex_attr(x, id, "axis");
    const Shape *y = graph_shape(x->g, from), *s = graph_shape(x->g, id);
    Dtype t = graph_dtype(x->g, id), as = ex_compute(x, id, export_rows[OP_overlap_add].types, t);
    Shape first = { .rank = y->rank }, flat = { .rank = s->rank }, zeros = { .rank = s->rank };
    int64_t there[MAX_RANK], back[MAX_RANK];
    for (uint32_t i = 0; i < y->rank; i++) {
        there[i] = i < 2 ? axis + i : i - 2 < axis ? i - 2 : i;
        first.dim[i] = y->dim[there[i]];
    }
    flat.dim[0] = dim_of(first.dim[0].n * first.dim[1].n);
    for (uint32_t i = 0; i < s->rank; i++) {
        back[i] = i < axis ? i + 1 : i == axis ? 0 : i;
        zeros.dim[back[i]] = s->dim[i];
        if (i)
            flat.dim[i] = first.dim[i + 1];
    }
    const char *v = ex_cast(x, ex_full(x, from), t, as);
    v = ex_reshape(x, ex_transpose(x, v, there, y->rank), &first, &flat);
    const char *at = window_places(x, first.dim[0], first.dim[1], ex_attr(x, id, "stride"),
                                   ex_attr(x, id, "dilation"), true);
    if (as != DT_COUNT)
        v = EX(x, "ScatterND", ex_expand(x, ex_scalar(x, as, 0), &zeros), at, v);
    ex_text(x, "reduction", "add");
    ex_result(x, id, ex_cast(x, ex_transpose(x, v, back, s->rank), as, t));
}
