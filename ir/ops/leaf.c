/* leaf.c: values that come from outside the graph, and marks that passes resolve.
 *
 * input    the entry's argument number `index`
 * tensor   unit->tensors[index] as it was when the entry began
 * constant raw elements
 * clock    a scalar of the training clock, by name
 * batch    k*B as a scalar of `dtype`: the run-time extent of a dim
 * var      its operand, kept apart: the point with respect to which `grad` differentiates
 * grad     d(operand 0)/d(operand 1), resolved by the autodiff pass
 * stop_gradient  its operand, as a constant to `grad` */
#include "ir/op.h"

#include <string.h>

static const AttrDecl index_attrs[] = { { .name = "index", .kind = ATTR_INT, .required = true },
                                        { 0 } };

static bool index_in_range(Infer *q, uint32_t n)
{
    return (q->attrs[0].i >= 0 && q->attrs[0].i < n) ||
           infer_fail(q, DIAG_E0302, "there is no %s number %lld", op_defs[q->op]->name,
                      (long long)q->attrs[0].i);
}

static bool input_infer(Infer *q)
{
    if (!index_in_range(q, q->g->inputs.n))
        return false;
    const Input *in = &q->g->inputs.at[q->attrs[0].i];
    q->dtype = in->dtype;
    q->shape = in->shape;
    return true;
}

static bool tensor_infer(Infer *q)
{
    if (!index_in_range(q, q->g->unit->tensors.n))
        return false;
    const Tensor *t = &q->g->unit->tensors.at[q->attrs[0].i];
    q->dtype = t->dtype;
    q->shape = t->shape;
    return true;
}

const OpDef op_input = {
    .name = "input",
    .doc = "an argument of the entry",
    .attrs = index_attrs,
    .infer = input_infer,
    .internal = true,
};

const OpDef op_tensor = {
    .name = "tensor", .doc = "a parameter or state at the start of the entry", .attrs = index_attrs,
    .infer = tensor_infer, .internal = true,
};

static const AttrDecl constant_attrs[] = {
    { .name = "data", .kind = ATTR_DATA, .required = true },
    { .name = "dtype", .kind = ATTR_DTYPE, .required = true },
    { .name = "shape", .kind = ATTR_SHAPE, .required = true },
    { 0 },
};

static bool constant_infer(Infer *q)
{
    q->dtype = (Dtype)q->attrs[1].i;
    q->shape = *q->attrs[2].shape;
    int64_t n;
    for (uint32_t i = 0; i < q->shape.rank; i++)
        if (q->shape.dim[i].k)
            return infer_fail(q, DIAG_E0302, "the shape of a constant depends on the batch");
    if (!shape_elements(&q->shape, &n) || n > UINT32_MAX ||
        q->attrs[0].count != (size_t)n * dtype_size(q->dtype))
        return infer_fail(q, DIAG_E0302, "the bytes of a constant do not fill its shape");
    return true;
}

const OpDef op_constant = {
    .name = "constant",
    .doc = "known elements",
    .attrs = constant_attrs,
    .infer = constant_infer,
    .internal = true,
};

/* The fields of the runtime's clock, in its order; the last two key random numbers. */
static const char *const clock_fields[] = {
    "step",  "steps", "own_step", "own_steps", "epoch", "epochs",
    "evals", "lr",    "lr_scale", "seed",      "key",
};
static const AttrDecl clock_attrs[] = { { .name = "field", .kind = ATTR_STRING, .required = true },
                                        { 0 } };

int clock_field(const char *name)
{
    for (size_t i = 0; i < sizeof clock_fields / sizeof *clock_fields; i++)
        if (!strcmp(clock_fields[i], name))
            return (int)i;
    return -1;
}

static bool clock_infer(Infer *q)
{
    int field = clock_field(q->attrs[0].s);
    if (field < 0)
        return infer_fail(q, DIAG_E0303, "the clock has no `%s`", q->attrs[0].s);
    q->dtype = field >= CLOCK_SEED ? DT_U64 : DT_F64;
    return true;
}

const OpDef op_clock = {
    .name = "clock",
    .doc = "a scalar of the training clock",
    .attrs = clock_attrs,
    .infer = clock_infer,
    .internal = true,
};

static const AttrDecl batch_attrs[] = {
    { .name = "k", .kind = ATTR_INT, .required = true },
    { .name = "dtype", .kind = ATTR_DTYPE, .i = DT_I64 },
    { 0 },
};

static bool batch_infer(Infer *q)
{
    q->dtype = (Dtype)q->attrs[1].i;
    return true;
}

const OpDef op_batch = {
    .name = "batch",
    .doc = "k*B, the run-time extent of a dim",
    .attrs = batch_attrs,
    .infer = batch_infer,
    .zero_grad = true,
    .internal = true,
};

static const AttrDecl var_attrs[] = { { .name = "site", .kind = ATTR_INT, .required = true },
                                      { 0 } };

static bool same_infer(Infer *q)
{
    q->dtype = infer_dtype(q, 0);
    q->shape = *infer_shape(q, 0);
    return true;
}

static void same_ref(Ref *q)
{
    size_t element = dtype_is_float(q->out->dtype) ? sizeof *q->out->f : sizeof *q->out->i;
    memcpy(q->out->f, q->in[0].f, (size_t)q->out->count * element);
}

static void var_grad(Grad *q)
{
    q->add(q, 0, q->dy);
}

const OpDef op_var = {
    .name = "var",
    .doc = "its operand, as a variable to differentiate by",
    .min_in = 1,
    .max_in = 1,
    .attrs = var_attrs,
    .infer = same_infer,
    .grad = var_grad,
    .ref = same_ref,
    .internal = true,
};

const OpDef op_stop_gradient = {
    .name = "stop_gradient",
    .doc = "its operand, as a constant to grad",
    .min_in = 1,
    .max_in = 1,
    .infer = same_infer,
    .ref = same_ref,
    .zero_grad = true,
};

static bool grad_infer(Infer *q)
{
    if (infer_shape(q, 0)->rank)
        return infer_fail(q, DIAG_E0501, "`grad` differentiates a scalar; this is %s%s",
                          dtype_name(infer_dtype(q, 0)),
                          shape_text(q->g->unit->arena, infer_shape(q, 0)));
    if (!dtype_is_float(infer_dtype(q, 1)) || !dtype_is_float(infer_dtype(q, 0)))
        return infer_fail(q, DIAG_E0502, "`grad` needs float values");
    q->dtype = infer_dtype(q, 1);
    q->shape = *infer_shape(q, 1);
    return true;
}

const OpDef op_grad = {
    .name = "grad",
    .doc = "d operand 0 / d operand 1",
    .min_in = 2,
    .max_in = 2,
    .infer = grad_infer,
    .internal = true,
};
