/* map_arith.c: arithmetic whose form follows from dtypes or from the number of inputs. */
#include "frontend/onnx/map.h"

#include <float.h>
#include <string.h>

/* Integers divide toward zero; the language's `/` is of floats. */
bool map_div(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *b = onnx_operand(q);
    if (!a || !b)
        return false;
    return dtype_is_float(node_dtype(q, 0)) ? node_let(q, 0, "%s/%s", a, b)
                                            : node_let(q, 0, "div(%s, %s)", a, b);
}

bool map_mod(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *b = node_arg(q, 1);
    return a && b &&
           node_let(q, 0, attribute_int(q, "fmod", 0) ? "fmod(%s, %s)" : "mod(%s, %s)", a, b);
}

/* Pow: the result has the dtype of the base. */
bool map_pow(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *b = onnx_operand(q);
    if (!a || !b)
        return false;
    Dtype base = node_dtype(q, 0), power = node_dtype(q, 1);
    const char *own = q->narrow != DT_COUNT ? "f32" : dtype_name(base);
    bool wide = dtype_is_float(base) && (power == DT_F16 || power == DT_BF16);
    if (dtype_is_float(base) && node_is_known(q, 1) &&
        node_shape(q, 1)->rank == 0) {
        const char *known = node_number_text(q, 1);
        return known && node_let(q, 0, *known == '-' ? "%s^(%s)" : "%s^%s", a, known);
    }
    if (base == power && !wide)
        return node_let(q, 0, "%s^%s", a, b);
    if (dtype_is_float(base) || !dtype_is_float(power))
        return node_let(q, 0, "%s^%s(%s)", a, own, b);
    return node_let(q, 0, "%s(f64(%s)^f64(%s))", own, a, b);
}

static bool fold_inputs(OnnxNode *q, const char *pattern)
{
    const char *first = node_arg(q, 0), *a = strchr(pattern, '$'), *b = strchr(a + 1, '$');
    Text t = { 0 };
    for (uint32_t i = 1; i < node_inputs(q); i++) /* the first `$` is what comes before */
        text_add(q->im->a, &t, "%.*s", (int)(a - pattern), pattern);
    text_add(q->im->a, &t, "%s", first ? first : "");
    for (uint32_t i = 1; i < node_inputs(q); i++) {
        const char *x = node_arg(q, i);
        if (!x)
            return false;
        text_add(q->im->a, &t, "%.*s%s%s", (int)(b - a - 1), a + 1, x, b + 1);
    }
    return first && node_let(q, 0, "%s", t.at);
}

bool map_max(OnnxNode *q)
{
    return fold_inputs(q, "maximum($, $)");
}

bool map_min(OnnxNode *q)
{
    return fold_inputs(q, "minimum($, $)");
}

bool map_sum(OnnxNode *q)
{
    return fold_inputs(q, "$ + $");
}

bool map_mean(OnnxNode *q)
{
    const char *text = node_arg(q, 0);
    uint32_t n = node_inputs(q);
    for (uint32_t i = 1; text && i < n; i++) {
        const char *x = node_arg(q, i);
        text = x ? text_printf(q, "%s + %s", text, x) : NULL;
    }
    return text && node_let(q, 0, n > 1 ? "(%s)/%u" : "%s", text, n);
}

bool map_cast(OnnxNode *q)
{
    Dtype to;
    int64_t type = attribute_int(q, "to", 0);
    const char *x = node_arg(q, 0);
    if (!x)
        return false;
    if (!onnx_dtype((int32_t)type, &to))
        return node_unsupported(q, "a cast to %s", onnx_type_name(q->im->a, (int32_t)type));
    return node_let(q, 0, "%s(%s)", dtype_name(to), x);
}

bool map_cast_like(OnnxNode *q)
{
    const char *x = node_arg(q, 0);
    Dtype to = node_dtype(q, 1);
    return x && !q->failed && node_let(q, 0, "%s(%s)", dtype_name(to), x);
}

bool map_bit_shift(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *b = node_arg(q, 1);
    bool left = !strcmp(attribute_string(q, "direction", ""), "LEFT");
    return a && b && node_let(q, 0, left ? "shl(%s, %s)" : "shr(%s, %s)", a, b);
}

bool map_is_inf(OnnxNode *q)
{
    bool negative = attribute_int(q, "detect_negative", 1);
    bool positive = attribute_int(q, "detect_positive", 1);
    const char *x = node_arg(q, 0);
    if (!x)
        return false;
    if (negative && positive)
        return node_let(q, 0, "is_inf(%s)", x);
    if (!negative && !positive)
        return node_let(q, 0, "is_inf(%s) and false", x);
    return node_let(q, 0, "is_inf(%s) and %s %s 0", x, x, negative ? "<" : ">");
}

/* A bound of Clip; "" for none. One that is left out is the largest number from opset 6 to 10. */
static const char *bound(OnnxNode *q, const char *name, uint32_t input, double otherwise)
{
    if (node_version(q) >= 11)
        return node_has(q, input) ? node_arg(q, input) : "";
    return attribute_has(q, name) || node_version(q) >= 6
               ? text_float(q, attribute_float(q, name, otherwise))
               : "";
}

/* Clip: bounds are attributes before opset 11, optional inputs since; min > max gives max. */
bool map_clip(OnnxNode *q)
{
    const char *text = node_arg(q, 0);
    const char *low = bound(q, "min", 1, -FLT_MAX), *high = bound(q, "max", 2, FLT_MAX);
    if (!text || !low || !high)
        return false;
    if (*low)
        text = text_printf(q, "maximum(%s, %s)", text, low);
    if (*high)
        text = text_printf(q, "minimum(%s, %s)", text, high);
    return node_let(q, 0, "%s", text);
}

bool map_gelu(OnnxNode *q)
{
    const char *x = node_arg(q, 0);
    bool fast = !strcmp(attribute_string(q, "approximate", "none"), "tanh");
    return x && node_let(q, 0, fast ? "gelu_tanh(%s)" : "gelu(%s)", x);
}

/* Shrink of integers: its attributes are fractions. */
bool map_shrink(OnnxNode *q)
{
    const char *x = node_arg(q, 0);
    const char *lambda = text_float(q, attribute_float(q, "lambd", 0.5));
    const char *bias = text_float(q, attribute_float(q, "bias", 0));
    if (!x)
        return false;
    bool whole = !dtype_is_float(node_dtype(q, 0));
    if (whole && !(x = node_tmp(q, "wide", "f64(%s)", x)))
        return false;
    const char *text =
        text_printf(q, "select(%s < -(%s), %s + (%s), select(%s > (%s), %s - (%s), 0))", x, lambda,
                    x, bias, x, lambda, x, bias);
    return whole ? node_let(q, 0, "%s(%s)", dtype_name(node_dtype(q, 0)), text)
                 : node_let(q, 0, "%s", text);
}
