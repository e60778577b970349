/* map_training.c: steps of optimizers. Each takes the rate, how many steps went before, and then
 * all values, all gradients and what is remembered of each. */
#include "frontend/onnx/map.h"

#include <string.h>

enum { MOST_PARTS = 3 };

/* A call of `name` for each of n values, with `lists` tensors a value, of which the first, then all
 * after the second, come back. */
static bool steps(OnnxNode *q, const char *name, uint32_t lists, const char *more)
{
    static const char *const hints[MOST_PARTS] = { "value", "first", "second" };
    uint32_t n = node_inputs(q) < 2 ? 0 : (node_inputs(q) - 2) / lists;
    const char *rate = node_arg(q, 0), *count = node_arg(q, 1), *parts[MOST_PARTS];
    if (!rate || !count)
        return false;
    if (!n || node_inputs(q) != 2 + n * lists)
        return node_wrong(q, "%u inputs", node_inputs(q));
    for (uint32_t i = 0; i < n; i++) {
        const char *args = "";
        for (uint32_t k = 0; k < lists; k++) {
            const char *x = node_arg(q, 2 + k * n + i);
            if (!x)
                return false;
            args = text_printf(q, "%s%s, ", args, x);
        }
        if (!node_tmps(q, lists - 1, hints, parts, "%s(%s%s, %s%s)", name, args, rate, count, more))
            return false;
        for (uint32_t k = 0; k + 1 < lists; k++)
            if (!node_let(q, k * n + i, "%s", parts[k]))
                return false;
    }
    return true;
}

static const char *setting(OnnxNode *q, const char *text, const char *name, const char *attr,
                           double otherwise)
{
    double v = attribute_float(q, attr, (double)(float)otherwise);
    return text_printf(q, "%s, %s=%s", text, name, text_float(q, v));
}

bool map_adagrad(OnnxNode *q)
{
    const char *text = setting(q, "", "decay", "decay_factor", 0);
    text = setting(q, text, "eps", "epsilon", 1e-6);
    return steps(q, "adagrad_step", 3, setting(q, text, "norm", "norm_coefficient", 0));
}

bool map_adam(OnnxNode *q)
{
    const char *text = setting(q, "", "alpha", "alpha", 0.9);
    text = setting(q, text, "beta", "beta", 0.999);
    text = setting(q, text, "eps", "epsilon", 1e-6);
    text = setting(q, text, "norm", "norm_coefficient", 0);
    return steps(q, "adam_step", 4, setting(q, text, "after", "norm_coefficient_post", 0));
}

bool map_momentum(OnnxNode *q)
{
    bool nesterov = !strcmp(attribute_string(q, "mode", ""), "nesterov");
    const char *text = setting(q, "", "alpha", "alpha", 0);
    text = setting(q, text, "beta", "beta", 0);
    text = setting(q, text, "norm", "norm_coefficient", 0);
    return steps(q, "momentum_step", 3,
                 text_printf(q, "%s, nesterov=%s", text, nesterov ? "true" : "false"));
}
