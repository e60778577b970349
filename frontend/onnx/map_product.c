/* map_product.c: sums of products. */
#include "frontend/onnx/map.h"

/* Integers that have no products here are multiplied as i64: of that their bits are the lowest. */
static bool has_products(Dtype t)
{
    return dtype_is_float(t) || t == DT_I32 || t == DT_I64;
}

const char *onnx_factor(OnnxNode *q, uint32_t input)
{
    const char *x = node_arg(q, input);
    return !x || has_products(node_dtype(q, input)) ? x : text_printf(q, "i64(%s)", x);
}

bool onnx_let_product(OnnxNode *q, const char *text)
{
    Dtype t = node_dtype(q, 0);
    return has_products(t) ? node_let(q, 0, "%s", text)
                           : node_let(q, 0, "%s(%s)", dtype_name(t), text);
}

bool map_matmul(OnnxNode *q)
{
    const char *a = onnx_factor(q, 0), *b = onnx_factor(q, 1);
    return a && b && onnx_let_product(q, text_printf(q, "%s @ %s", a, b));
}

/* alpha * A' * B' + beta * C */
const char *onnx_gemm_text(OnnxNode *q)
{
    const char *a = onnx_factor(q, 0), *b = onnx_factor(q, 1);
    const char *c = node_has(q, 2) ? onnx_factor(q, 2) : "";
    double alpha = attribute_float(q, "alpha", 1), beta = attribute_float(q, "beta", 1);
    if (!a || !b || !c)
        return NULL;
    const char *text = text_printf(q, attribute_int(q, "transA", 0) ? "transpose(%s)" : "%s", a);
    text =
        text_printf(q, attribute_int(q, "transB", 0) ? "%s @ transpose(%s)" : "%s @ %s", text, b);
    if (alpha != 1)
        text = text_printf(q, "%s*(%s)", text_float(q, alpha), text);
    if (*c && beta != 0)
        text = beta == 1 ? text_printf(q, "%s + %s", text, c)
                         : text_printf(q, "%s + (%s)*%s", text, text_float(q, beta), c);
    return text;
}

bool map_gemm(OnnxNode *q)
{
    const char *text = onnx_gemm_text(q);
    return text && onnx_let_product(q, text);
}
