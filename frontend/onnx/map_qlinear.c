/* map_qlinear.c: functions of quantized tensors as a widely used runtime writes them, beyond those
 * of the standard. A function is computed of the real numbers that its inputs stand for; a sum of
 * products is one of integers, so that it is exact. */
#include "frontend/onnx/map.h"

/* The real numbers of a tensor whose scale and zero point follow it. NULL: reported. */
static const char *real(OnnxNode *q, uint32_t input)
{
    const char *x = node_arg(q, input), *scale = node_arg(q, input + 1);
    const char *zero = node_has(q, input + 2)
                           ? node_arg(q, input + 2)
                           : text_printf(q, "%s(0)", dtype_name(node_dtype(q, input)));
    return x && scale && zero ? text_printf(q, "dequantize_linear(%s, %s, %s)", x, scale, zero)
                              : NULL;
}

/* Output 0 is y by the scale of an input and the zero point after it; `like` has its dtype. */
static bool let_quantized(OnnxNode *q, const char *y, uint32_t scale_input, uint32_t like)
{
    const char *scale = y ? node_arg(q, scale_input) : NULL;
    const char *zero = node_has(q, scale_input + 1)
                           ? node_arg(q, scale_input + 1)
                           : text_printf(q, "%s(0)", dtype_name(node_dtype(q, like)));
    return scale && zero && node_let(q, 0, "quantize_linear(%s, %s, %s)", y, scale, zero);
}

static bool pair(OnnxNode *q, char sign)
{
    const char *a = real(q, 0), *b = real(q, 3);
    return a && b && let_quantized(q, text_printf(q, "%s %c %s", a, sign, b), 6, 0);
}

bool map_qlinear_add(OnnxNode *q)
{
    return pair(q, '+');
}

bool map_qlinear_mul(OnnxNode *q)
{
    return pair(q, '*');
}

bool map_qlinear_sigmoid(OnnxNode *q)
{
    const char *x = real(q, 0);
    return x && let_quantized(q, text_printf(q, "sigmoid(%s)", x), 3, 0);
}

bool map_qlinear_leaky_relu(OnnxNode *q)
{
    const char *x = real(q, 0), *slope = text_float(q, attribute_float(q, "alpha", 0.01f));
    return x && let_quantized(q, text_printf(q, "leaky_relu(%s, slope=%s)", x, slope), 3, 0);
}

/* The attribute `opset` says which Softmax it was: before 13 all axes from one on were one. */
bool map_qlinear_softmax(OnnxNode *q)
{
    int64_t axis, opset = attribute_int(q, "opset", 13);
    const char *x = real(q, 0);
    uint32_t rank = node_shape(q, 0)->rank;
    if (!x || !node_axis(q, attribute_int(q, "axis", opset < 13 ? 1 : -1), rank, &axis))
        return false;
    if (opset < 13 && axis + 1 != rank)
        return node_unsupported(q, "several axes as one");
    return let_quantized(q, text_printf(q, "softmax(%s, axis=%lld)", x, (long long)axis), 3, 0);
}

/* Scale and zero point of the result come first, then those of each part behind it. */
bool map_qlinear_concat(OnnxNode *q)
{
    uint32_t n = node_inputs(q);
    int64_t axis;
    Text list = { 0 };
    if (n < 4 || !node_axis(q, attribute_int(q, "axis", 1), node_shape(q, 2)->rank, &axis))
        return n >= 4 ? false : node_wrong(q, "%u inputs", n);
    for (uint32_t i = 2; i < n; i += 3) {
        const char *x = real(q, i);
        if (!x)
            return false;
        text_add(q->im->a, &list, "%s%s", i > 2 ? ", " : "", x);
    }
    return let_quantized(q, n < 6 ? list.at
                                  : text_printf(q, "concat(%s, axis=%lld)", list.at,
                                                (long long)axis),
                         0, 2);
}

static bool channels_come_first(OnnxNode *q)
{
    return !attribute_int(q, "channels_last", 0) || node_unsupported(q, "channels_last=1");
}

bool map_qlinear_global_pool(OnnxNode *q)
{
    const char *x = channels_come_first(q) ? real(q, 0) : NULL;
    if (!x)
        return false;
    if (node_shape(q, 0)->rank < 3)
        return node_wrong(q, "no axes to pool over");
    return let_quantized(q, text_printf(q, "mean(%s, axis=2.., keep=true)", x), 3, 0);
}

bool map_qlinear_average_pool(OnnxNode *q)
{
    const char *x = channels_come_first(q) ? real(q, 0) : NULL;
    return x && let_quantized(q, onnx_average_pool_text(q, x), 3, 0);
}

/* ---- Sums of products ---- */

static const char *transposed(OnnxNode *q, uint32_t input, const char *attribute)
{
    const char *x = node_arg(q, input);
    return x && attribute_int(q, attribute, 0) ? text_printf(q, "transpose(%s)", x) : x;
}

static const char *zero_of(OnnxNode *q, uint32_t input)
{
    return node_has(q, input) ? node_arg(q, input) : "0";
}

/* a, its scale and zero; b, its own; a bias of both scales; those of the result, or real numbers.
 */
bool map_qgemm(OnnxNode *q)
{
    const char *a = transposed(q, 0, "transA"), *b = transposed(q, 3, "transB");
    const char *a_scale = node_arg(q, 1), *a_zero = zero_of(q, 2), *b_scale = node_arg(q, 4),
               *b_zero = zero_of(q, 5), *bias = node_has(q, 6) ? node_arg(q, 6) : "";
    if (!a || !b || !a_scale || !a_zero || !b_scale || !b_zero || !bias)
        return false;
    const char *sum = text_printf(q, "matmul_integer(%s, %s, %s, %s)%s%s", a, b, a_zero, b_zero,
                                  *bias ? " + " : "", bias);
    const char *scale = text_printf(q, "%s*reshape(%s, [])*of_columns(%s)",
                                    text_float(q, attribute_float(q, "alpha", 1)), a_scale,
                                    b_scale);
    if (!node_has(q, 7))
        return node_let(q, 0, "f32(%s)*(%s)", sum, scale);
    const char *y_scale = node_arg(q, 7);
    const char *y_zero = node_has(q, 8) ? node_arg(q, 8)
                                        : text_printf(q, "%s(0)", dtype_name(node_dtype(q, 0)));
    return y_scale && y_zero &&
           node_let(q, 0, "requantize(%s, %s/reshape(%s, []), reshape(%s, []))", sum, scale,
                    y_scale, y_zero);
}

/* The product of integers by its scales, plus an optional bias of real numbers. */
static bool let_scaled(OnnxNode *q, const char *sum, const char *a_scale, uint32_t b_scale_input,
                       uint32_t bias_input)
{
    const char *b_scale = node_arg(q, b_scale_input),
               *bias = node_has(q, bias_input) ? node_arg(q, bias_input) : "";
    return b_scale && bias &&
           node_let(q, 0, "f32(%s)*(%s*of_columns(%s))%s%s", sum, a_scale, b_scale,
                    *bias ? " + " : "", bias);
}

bool map_matmul_to_float(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *b = node_arg(q, 1), *a_scale = node_arg(q, 2),
               *a_zero = zero_of(q, 4), *b_zero = zero_of(q, 5);
    return a && b && a_scale && a_zero && b_zero &&
           let_scaled(q,
                      text_printf(q, "matmul_integer(%s, %s, %s, %s)", a, b, a_zero, b_zero),
                      text_printf(q, "of_rows(%s)", a_scale), 3, 6);
}

/* The left factor is quantized by its own range. */
bool map_matmul_dynamic(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *b = node_arg(q, 1), *b_zero = zero_of(q, 3), *parts[3];
    return a && b && b_zero &&
           node_tmps(q, 3, (const char *const[]){ "q", "scale", "zero" }, parts,
                     "quantize_dynamic(%s)", a) &&
           let_scaled(q,
                      text_printf(q, "matmul_integer(%s, %s, %s, %s)", parts[0], b, parts[2],
                                  b_zero),
                      parts[1], 2, 4);
}
