/* map_old.c: what some operators meant before opset 7: operands that must say how they broadcast,
 * types by their names, numbers that became inputs. */
#include "frontend/onnx/map.h"

#include <strings.h>

/* Input 1 as an operand beside input 0. Before opset 7 the shapes are equal, or `broadcast` is set:
 * then the axes of input 1 lie on those of input 0 from `axis` on, else on the last. */
const char *onnx_operand(OnnxNode *q)
{
    const char *b = node_arg(q, 1);
    if (!b || node_version(q) >= 7)
        return b;
    const Shape *x = node_shape(q, 0), *y = node_shape(q, 1);
    int64_t axis = attribute_int(q, "axis", (int64_t)x->rank - y->rank);
    axis = axis < 0 ? axis + x->rank : axis;
    if (!attribute_int(q, "broadcast", 0)) {
        if (!shape_equal(x, y))
            node_wrong(q, "shapes %s and %s without broadcast", shape_text(q->im->a, x),
                       shape_text(q->im->a, y));
        return q->failed ? NULL : b;
    }
    if (!y->rank || axis + y->rank == x->rank)
        return b;
    if (axis < 0 || axis + y->rank > x->rank) {
        node_wrong(q, "%s does not fit on the axes of %s from %lld on", shape_text(q->im->a, y),
                   shape_text(q->im->a, x), (long long)axis);
        return NULL;
    }
    Shape to = { .rank = x->rank - (uint32_t)axis };
    for (uint32_t i = 0; i < to.rank; i++)
        to.dim[i] = i < y->rank ? y->dim[i] : dim_of(1);
    return text_printf(q, "reshape(%s, %s)", b, text_dims(q, &to));
}

/* PRelu: one slope, or one for each channel. */
bool map_old_prelu(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *slope = node_arg(q, 1);
    const Shape *s = node_shape(q, 0), *w = node_shape(q, 1);
    if (!x || !slope)
        return false;
    Shape to = { .rank = s->rank < 2 ? 1 : s->rank - 1 };
    for (uint32_t d = 0; d < to.rank; d++)
        to.dim[d] = d ? dim_of(1) : w->dim[0];
    if (w->rank == 1 && w->dim[0].n > 1)
        slope = text_printf(q, "reshape(%s, %s)", slope, text_dims(q, &to));
    return node_let(q, 0, "select(%s < 0, %s*%s, %s)", x, slope, x, x);
}

/* Cast: `to` is the name of the type, FLOAT. */
bool map_old_cast(OnnxNode *q)
{
    const char *x = node_arg(q, 0), *name = attribute_string(q, "to", "");
    Dtype to;
    for (int32_t code = 1; x && code <= ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16; code++)
        if (onnx_dtype(code, &to) && !strcasecmp(name, onnx_type_name(q->im->a, code)))
            return node_let(q, 0, "%s(%s)", dtype_name(to), x);
    return x && node_unsupported(q, "a cast to `%s`", onnx_escape(q->im->a, name));
}

/* Tile: so many copies along one axis. */
bool map_old_tile(OnnxNode *q)
{
    Ints tiles, at;
    int64_t repeats[MAX_RANK], axis;
    const char *x = node_arg(q, 0);
    uint32_t rank = node_shape(q, 0)->rank;
    if (!x || !node_ints(q, 1, &tiles) || !node_ints(q, 2, &at))
        return false;
    if (tiles.n != 1 || at.n != 1)
        return node_wrong(q, "one number of tiles, and one axis, are needed");
    if (!node_axis(q, at.at[0], rank, &axis))
        return false;
    for (uint32_t i = 0; i < rank; i++)
        repeats[i] = i == axis ? tiles.at[0] : 1;
    return node_let(q, 0, "tile(%s, %s)", x, text_ints(q, repeats, rank));
}
