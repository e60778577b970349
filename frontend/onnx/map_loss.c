/* map_loss.c: losses of classes. */
#include "frontend/onnx/map.h"

static bool loss(OnnxNode *q, const char *log_p)
{
    const char *label = node_arg(q, 1), *weight = node_has(q, 2) ? node_arg(q, 2) : "";
    if (!label || !weight)
        return false;
    const char *text = text_printf(q, "nll_loss(%s, %s", log_p, label);
    if (*weight)
        text = text_printf(q, "%s, weight=%s", text, weight);
    if (attribute_has(q, "ignore_index"))
        text = text_printf(q, "%s, ignore=%lld", text,
                           (long long)attribute_int(q, "ignore_index", 0));
    return node_let(q, 0, "%s, reduce=\"%s\")", text,
                    import_string(q->im->a, attribute_string(q, "reduction", "mean")));
}

bool map_nll_loss(OnnxNode *q)
{
    const char *x = node_arg(q, 0);
    return x && loss(q, x);
}

/* Also gives the log-probabilities. */
bool map_softmax_loss(OnnxNode *q)
{
    const char *x = node_arg(q, 0);
    const char *log_p = x ? node_tmp(q, "log_p", "log_softmax(%s, axis=1)", x) : NULL;
    return log_p && loss(q, log_p) && node_let(q, 1, "%s", log_p);
}
