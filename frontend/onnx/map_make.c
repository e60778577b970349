/* map_make.c: tensors from numbers: fills, ranges, unit matrices. */
#include "frontend/onnx/map.h"

#include <math.h>
#include <string.h>

bool map_constant_of_shape(OnnxNode *q)
{
    Shape to;
    const Onnx__TensorProto *t = attribute_tensor(q, "value");
    const char *value = "f32(0)";
    if (!node_dims(q, 0, &to))
        return false;
    if (t) {
        OnnxTensor own;
        if (!onnx_tensor(q->im->file, t, node_title(q), &own))
            return false;
        if (own.count != 1)
            return node_wrong(q, "a value of %lld elements", (long long)own.count);
        own.rank = 0;
        if (!(value = value_literal(q->im, &own, 1)))
            return node_unsupported(q, "a value that cannot be written");
    }
    for (uint32_t i = 0; i < to.rank; i++)
        if (to.dim[i].n < 0)
            return node_wrong(q, "a dim of %lld", (long long)to.dim[i].n);
    return to.rank ? node_let(q, 0, "full(%s, %s)", value, text_dims(q, &to))
                   : node_let(q, 0, "%s", value);
}

/* A range to a multiple of the batch, from 0 by 1. */
static bool batch_range(OnnxNode *q, bool *out_done)
{
    double from, step;
    Shape to = { 0 };
    OnnxValue *limit = node_value(q, 1);
    *out_done = false;
    if (!limit || node_is_known(q, 1) || !import_sized(q->im, limit->val.node))
        return limit != NULL;
    if (!node_dims(q, 1, &to) || !node_number(q, 0, &from) || !node_number(q, 2, &step))
        return false;
    if (to.rank != 1 || !to.dim[0].k || from != 0 || step != 1)
        return node_pins_batch(q);
    *out_done = true;
    return node_let(q, 0, "%s(iota(%s))", dtype_name(node_dtype(q, 1)), text_dims(q, &to));
}

/* Range: as many elements as fit below the limit. */
bool map_range(OnnxNode *q)
{
    bool done;
    if (!batch_range(q, &done) || done)
        return done;
    double from, to, step;
    const char *start = node_arg(q, 0), *delta = node_arg(q, 2);
    if (!start || !delta || !node_number(q, 0, &from) || !node_number(q, 1, &to) ||
        !node_number(q, 2, &step))
        return false;
    double n = ceil((to - from) / step);
    if (!(fabs(n) < 1e9))
        return node_wrong(q, "a range of too many elements");
    return node_let(q, 0, "range(%s, %lld, %s)", start, n > 0 ? (long long)n : 0, delta);
}

bool map_eye_like(OnnxNode *q)
{
    const Shape *s = node_shape(q, 0);
    Dtype to = node_dtype(q, 0);
    int64_t type = attribute_int(q, "dtype", 0);
    if (q->failed)
        return false;
    if (s->rank != 2 || (type && !onnx_dtype((int32_t)type, &to)))
        return node_wrong(q, "a matrix of a known type is needed");
    return node_let(q, 0, "%s(eye_matrix(%lld, %lld, k=%lld))", dtype_name(to),
                    (long long)s->dim[0].n, (long long)s->dim[1].n,
                    (long long)attribute_int(q, "k", 0));
}

/* Size: the number of elements, as one i64. */
bool map_size(OnnxNode *q)
{
    const Shape *s = node_shape(q, 0), scalar = { 0 };
    Shape all = { .rank = 1 };
    if (q->failed || !shape_product(s, 0, s->rank, &all.dim[0]))
        return false;
    if (all.dim[0].k)
        return node_let(q, 0, "reshape(i64(%s), [])", text_dims(q, &all));
    return node_known(q, 0, DT_I64, &scalar, &all.dim[0].n);
}
