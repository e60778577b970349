/* map_product.c: sums of products. */
#include "frontend/onnx/map.h"

/* alpha * A' * B' + beta * C */
const char *onnx_gemm_text(OnnxNode *q)
{
    const char *a = node_arg(q, 0), *b = node_arg(q, 1), *c = node_has(q, 2) ? node_arg(q, 2) : "";
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
    return text && node_let(q, 0, "%s", text);
}
