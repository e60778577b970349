/* export_shape.c: types and shapes in the ONNX file being made.
 *
 * Shapes that depend on B are computed by the file itself from the shape of an input. Where B
 * stands alone, Reshape's 0 and -1 say it without computing. */
#include "frontend/onnx/export_node.h"

/* ---- Types ---- */

Dtype ex_wider(uint32_t types, Dtype t)
{
    static const Dtype floats[] = { DT_F32, DT_F64 }, ints[] = { DT_I32, DT_I64 };
    if (types >> t & 1)
        return t;
    if (t == DT_U64 && types & X_WRAPS && types & X_I64)
        return DT_I64;
    const Dtype *wider = dtype_is_float(t) ? floats : ints;
    for (int i = 0; i < 2; i++)
        if (dtype_size(wider[i]) > dtype_size(t) && types >> wider[i] & 1)
            return wider[i];
    return DT_COUNT;
}

Dtype ex_compute(Export *x, NodeId id, uint32_t types, Dtype t)
{
    Dtype as = ex_wider(types, t);
    if (as == DT_COUNT)
        ex_unsupported(x, id, "`%s` of %s in opset %d", op_defs[ex_op(x, id)]->name, dtype_name(t),
                       ONNX_OPSET);
    return as;
}

const char *ex_cast(Export *x, const char *v, Dtype from, Dtype to)
{
    if (from == to || to == DT_COUNT)
        return v;
    v = EX(x, "Cast", v);
    ex_int(x, "to", ex_type(to));
    return v;
}

/* ---- Shapes ---- */

/* The extent k*B of some input along some axis, as one element. */
static const char *find_batch(Export *x, int64_t *out_k)
{
    for (uint32_t i = 0; i < x->g->inputs.n; i++) {
        const Input *in = &x->g->inputs.at[i];
        for (uint32_t axis = 0; axis < in->shape.rank; axis++) {
            if (!in->shape.dim[axis].k)
                continue;
            *out_k = in->shape.dim[axis].k;
            const char *v = EX(x, "Shape", in->name);
            ex_int(x, "start", axis);
            ex_int(x, "end", axis + 1);
            return v;
        }
    }
    ex_unsupported(x, x->at, "a batch that is not an extent of any input");
    return NULL;
}

const char *ex_batch(Export *x, int64_t k)
{
    if (!x->writing)
        return "";
    for (uint32_t i = 0; i < x->batches.n; i++)
        if (x->batches.at[i].k == k)
            return x->batches.at[i].name;
    int64_t input_k = 1;
    if (!x->batches.n) {
        const char *found = find_batch(x, &input_k);
        if (!found)
            return "";
        vec_push(x->arena, &x->batches, (BatchValue){ input_k, found });
        return ex_batch(x, k);
    }
    input_k = x->batches.at[0].k;
    const char *v = x->batches.at[0].name;
    if (input_k != 1)
        v = EX(x, "Div", v, ex_ints(x, &input_k, 1));
    if (k != 1)
        v = EX(x, "Mul", v, ex_ints(x, &k, 1));
    vec_push(x->arena, &x->batches, (BatchValue){ k, v });
    return v;
}

const char *ex_shape(Export *x, const Shape *s)
{
    const char *parts[MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->rank;) {
        int64_t run[MAX_RANK];
        uint32_t length = 0;
        if (s->dim[i].k) {
            parts[n++] = ex_batch(x, s->dim[i++].k);
            continue;
        }
        while (i < s->rank && !s->dim[i].k)
            run[length++] = s->dim[i++].n;
        parts[n++] = ex_ints(x, run, length);
    }
    if (!n)
        return ex_ints(x, NULL, 0);
    if (n == 1)
        return parts[0];
    const char *v = ex_node(x, "Concat", parts, n);
    ex_int(x, "axis", 0);
    return v;
}

const char *ex_reshape(Export *x, const char *v, const Shape *from, const Shape *to)
{
    int64_t dims[MAX_RANK];
    bool empty = false, computed = false, open = false;
    for (uint32_t i = 0; i < to->rank; i++)
        empty |= !to->dim[i].k && !to->dim[i].n;
    for (uint32_t i = 0; i < to->rank; i++) {
        dims[i] = to->dim[i].n;
        if (!to->dim[i].k)
            continue;
        bool copied = i < from->rank && dim_equal(from->dim[i], to->dim[i]);
        computed |= empty || (!copied && open);
        open |= !copied;
        dims[i] = copied ? 0 : -1;
    }
    if (shape_equal(from, to))
        return v;
    v = EX(x, "Reshape", v, computed ? ex_shape(x, to) : ex_ints(x, dims, to->rank));
    if (empty)
        ex_int(x, "allowzero", 1);
    return v;
}

const char *ex_expand(Export *x, const char *v, const Shape *s)
{
    return EX(x, "Expand", v, ex_shape(x, s));
}

const char *ex_transpose(Export *x, const char *v, const int64_t *perm, uint32_t rank)
{
    bool same = true;
    for (uint32_t i = 0; i < rank; i++)
        same &= perm[i] == i;
    if (same)
        return v;
    v = EX(x, "Transpose", v);
    ex_list(x, "perm", perm, rank);
    return v;
}
