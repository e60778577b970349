/* map_fused.c: operators that a widely used runtime makes of two: a product and what is done to its
 * result. */
#include "frontend/onnx/map.h"

#include <string.h>

/* The function of this name at x, an identifier; a and b are its numbers where they are given. */
static const char *activated(OnnxNode *q, const char *name, const char *x, uint32_t n,
                             const double *given)
{
    static const struct {
        const char *name, *call;
        double a, b; /* where they are not given */
    } table[] = {
        { "Clip", "clamp", 0, 0 },        { "Elu", "elu", 1, 0 },
        { "HardSigmoid", "", 0.2, 0.5 },  { "LeakyRelu", "leaky_relu", 0.01, 0 },
        { "Relu", "relu", 0, 0 },         { "Sigmoid", "sigmoid", 0, 0 },
        { "Softplus", "softplus", 0, 0 }, { "Softsign", "", 0, 0 },
        { "Tanh", "tanh", 0, 0 },         { "ThresholdedRelu", "", 1, 0 },
    };
    enum { ROWS = sizeof table / sizeof *table };
    size_t i = 0;
    while (i < ROWS && strcmp(table[i].name, name))
        i++;
    if (i == ROWS || (n < 2 && !strcmp(name, "Clip"))) {
        node_unsupported(q, "the activation %s", onnx_escape(q->im->a, name));
        return NULL;
    }
    const char *call = table[i].call, *a = text_float(q, n > 0 ? given[0] : table[i].a),
               *b = text_float(q, n > 1 ? given[1] : table[i].b);
    if (!strcmp(name, "HardSigmoid"))
        return text_printf(q, "clamp(%s*%s + %s, 0, 1)", a, x, b);
    if (!strcmp(name, "Softsign"))
        return text_printf(q, "%s/(1 + abs(%s))", x, x);
    if (!strcmp(name, "ThresholdedRelu"))
        return text_printf(q, "select(%s > %s, %s, 0)", x, a, x);
    if (!strcmp(name, "Clip"))
        return text_printf(q, "clamp(%s, %s, %s)", x, a, b);
    if (!strcmp(name, "Elu") || !strcmp(name, "LeakyRelu"))
        return text_printf(q, "%s(%s, %s)", call, x, a);
    return text_printf(q, "%s(%s)", call, x);
}

/* The sum, and the activation that the node names. */
static bool let_activated(OnnxNode *q, const char *sum, uint32_t n, const double *given)
{
    const char *name = attribute_string(q, "activation", "");
    if (!*name)
        return node_let(q, 0, "%s", sum);
    const char *x = node_tmp(q, "sum", "%s", sum);
    const char *y = x ? activated(q, name, x, n, given) : NULL;
    return y && node_let(q, 0, "%s", y);
}

/* Input 3 is added before the activation. */
bool map_fused_conv(OnnxNode *q)
{
    uint32_t n;
    const double *given;
    const char *sum = onnx_conv_text(q), *more = node_has(q, 3) ? node_arg(q, 3) : "";
    attribute_floats(q, "activation_params", &n, &given);
    if (!sum || !more)
        return false;
    return let_activated(q, *more ? text_printf(q, "%s + %s", sum, more) : sum, n, given);
}

bool map_fused_gemm(OnnxNode *q)
{
    uint32_t n = attribute_has(q, "activation_beta")    ? 2
                 : attribute_has(q, "activation_alpha") ? 1
                                                        : 0;
    const double given[] = { attribute_float(q, "activation_alpha", 0),
                             attribute_float(q, "activation_beta", 0) };
    const char *sum = onnx_gemm_text(q);
    return sum && let_activated(q, sum, n, given);
}

/* A factor with its first axis moved behind the other batch axes, and its last two exchanged. */
static const char *factor(OnnxNode *q, uint32_t input, bool batch, bool last)
{
    const char *x = node_arg(q, input);
    int64_t perm[MAX_RANK];
    uint32_t rank = node_shape(q, input)->rank;
    if (!x || rank < 2 || (!batch && !last))
        return x;
    for (uint32_t i = 0; i < rank; i++)
        perm[i] = i;
    for (uint32_t i = 0; batch && i + 1 < rank; i++)
        perm[i] = i + 2 < rank ? i + 1 : 0;
    if (last) {
        int64_t row = perm[rank - 2];
        perm[rank - 2] = perm[rank - 1];
        perm[rank - 1] = row;
    }
    return text_printf(q, "transpose(%s, %s)", x, text_ints(q, perm, rank));
}

bool map_fused_matmul(OnnxNode *q)
{
    double alpha = attribute_float(q, "alpha", 1);
    const char *a = factor(q, 0, attribute_int(q, "transBatchA", 0), attribute_int(q, "transA", 0));
    const char *b = factor(q, 1, attribute_int(q, "transBatchB", 0), attribute_int(q, "transB", 0));
    if (!a || !b)
        return false;
    return alpha == 1 ? node_let(q, 0, "%s @ %s", a, b)
                      : node_let(q, 0, "%s*(%s @ %s)", text_float(q, alpha), a, b);
}
