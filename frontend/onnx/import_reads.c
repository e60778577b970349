/* import_reads.c: what a node gives and its mapping did not look at.
 *
 * An attribute or an input that is ignored is a wrong result without a word: a newer version of an
 * operator that got an attribute more, or an older one that had another. So that a node is refused
 * when something of it was not looked at, but for what is listed here: what has no effect on the
 * result, or only in a case that is not this one. */
#include "frontend/onnx/import.h"

#include <string.h>

/* op; attributes, and inputs by their number */
static const struct {
    const char *op, *attributes, *inputs;
} without_effect[] = {
    { "", "consumed_inputs", "" }, /* opset 1: which memory may be written again */
    { "Attention", "softmax_precision", "" }, /* 16 bits are computed in 32 */
    { "BatchNormalization", "momentum", "" }, /* of inference */
    { "Bernoulli", "seed", "" },              /* numbers are keyed by the seed of the run */
    { "Cast", "saturate round_mode", "" },    /* of 8-bit floats, which are refused */
    { "CastLike", "saturate round_mode", "" },
    { "Dropout", "ratio seed", "1" }, /* a ratio counts in training only */
    { "Gemm", "broadcast", "" }, /* before opset 7; C fits A*B or it does not */
    { "GroupNormalization", "stash_type", "" },
    { "If", "then_branch else_branch", "" }, /* the one that is not taken */
    { "LayerNormalization", "stash_type", "" },
    { "LinearAttention", "chunk_size", "4 5" }, /* decay and beta belong to some update rules */
    { "MatMulNBits", "accuracy_level", "" }, /* which sums may be of integers */
    { "MaxPool", "storage_order", "" },         /* of the indices */
    { "Multinomial", "seed", "" },
    { "Pad", "value", "2" }, /* of the mode `constant` */
    { "QuantizeLinear", "saturate", "" },
    { "RMSNormalization", "stash_type", "" },
    { "RandomNormal", "seed", "" },
    { "RandomNormalLike", "seed", "" },
    { "RandomUniform", "seed", "" },
    { "RandomUniformLike", "seed", "" },
    { "Range", "stash_type", "" },
    { "ReduceL1", "noop_with_empty_axes", "" }, /* axes are not empty */
    { "ReduceL2", "noop_with_empty_axes", "" },
    { "ReduceLogSum", "noop_with_empty_axes", "" },
    { "ReduceLogSumExp", "noop_with_empty_axes", "" },
    { "ReduceMax", "noop_with_empty_axes", "" },
    { "ReduceMean", "noop_with_empty_axes", "" },
    { "ReduceMin", "noop_with_empty_axes", "" },
    { "ReduceProd", "noop_with_empty_axes", "" },
    { "ReduceSum", "noop_with_empty_axes", "" },
    { "ReduceSumSquare", "noop_with_empty_axes", "" },
    { "Resize", "extrapolation_value keep_aspect_ratio_policy", "1 2" }, /* roi; scales or sizes */
    { "RotaryEmbedding", "num_heads", "" }, /* of rank 3 */
    { "SimplifiedLayerNormalization", "stash_type", "" },
    { "TopK", "sorted", "" }, /* any order is allowed */
};

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; n && (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

static bool is_idle(const OnnxNode *q, const char *attribute, const char *input)
{
    for (size_t i = 0; i < sizeof without_effect / sizeof *without_effect; i++)
        if ((!*without_effect[i].op || !strcmp(without_effect[i].op, q->proto->op_type)) &&
            (has_word(without_effect[i].attributes, attribute) ||
             has_word(without_effect[i].inputs, input)))
            return true;
    return false;
}

bool import_check_reads(OnnxNode *q)
{
    const Onnx__NodeProto *n = q->proto;
    if (q->reads->mistyped)
        return node_wrong(q, "the attribute `%s` is of another type", q->reads->mistyped);
    for (size_t i = 0; i < n->n_attribute && i < 64; i++) {
        const char *name = n->attribute[i]->name ? n->attribute[i]->name : "";
        if (!(q->reads->attributes >> i & 1) && !is_idle(q, name, ""))
            return node_unsupported(q, "the attribute `%s`", onnx_escape(q->im->a, name));
    }
    for (uint32_t i = 0; i < n->n_input && i < 64; i++)
        if (node_has(q, i) && !(q->reads->inputs >> i & 1) &&
            !is_idle(q, "", text_printf(q, "%u", i)))
            return node_unsupported(q, "its input %u", i);
    return true;
}
