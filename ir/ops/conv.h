/* conv.h: what convolution and transposed convolution share. */
#ifndef DLCC_IR_OPS_CONV_H
#define DLCC_IR_OPS_CONV_H
#include "ir/ops/rules.h"

enum { CONV_MAX_SPACE = 3 };

/* A convolution's numbers. n: spatial axes; space: extents of x; window: of w; out: of y. */
typedef struct {
    uint32_t n;
    int64_t stride[CONV_MAX_SPACE], low[CONV_MAX_SPACE], high[CONV_MAX_SPACE];
    int64_t dilation[CONV_MAX_SPACE], groups;
    int64_t space[CONV_MAX_SPACE], window[CONV_MAX_SPACE], out[CONV_MAX_SPACE];
} Conv;

/* The axes of x's windows, of the weights and of the result in einsum notation: b batch, g groups,
 * c and o channels, p q r places of the result, u v w of the window. */
typedef struct {
    char x[12], w[12], y[12];
} ConvLetters;
ConvLetters conv_letters(const Conv *c);
NodeId conv_dot(Graph *g, NodeId a, NodeId b, const char *la, const char *lb, const char *out);
/* Axis `axis` in two: groups and what is left. conv_grouped: where there are groups. */
NodeId conv_split_groups(Graph *g, NodeId x, uint32_t axis, int64_t groups);
NodeId conv_grouped(Graph *g, NodeId x, uint32_t axis, const Conv *c);
/* `op` with groups, a group at a time and laid side by side: attrs as the op declares them, the
 * last of the n the groups. */
NodeId conv_each_group(Graph *g, Op op, const NodeId *in, const AttrValue *attrs, uint32_t n);
/* [B, C, S...] as padded windows [B, C, P, K, P, K, ...]. */
NodeId conv_windows(Graph *g, NodeId x, const Conv *c);
/* The derivative by x, of x's extents c->space: dy [B, O, out...], w [O, C/G, K...]. */
NodeId conv_spread(Graph *g, NodeId dy, NodeId w, const Conv *c);
/* The derivative by w: sums dy times x's windows over the batch and the places of the output. */
NodeId conv_weights_part(Graph *g, NodeId x, NodeId dy, const Conv *c, const Shape *w);

#endif
