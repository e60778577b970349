/* builder.h: one short function per common op, so that rules and passes read like formulas. All go
 * through graph_emit, and all give NODE_NONE for NODE_NONE. Nothing broadcasts by itself: operands
 * of arithmetic have equal shapes. */
#ifndef DLCC_IR_BUILDER_H
#define DLCC_IR_BUILDER_H
#include "ir/op.h"

/* A scalar (rank 0) constant: v as a cast to dtype gives it. */
NodeId b_const(Graph *g, Dtype dtype, double v);
NodeId b_const_i64(Graph *g, int64_t v);
/* A constant tensor from raw elements of dtype, row-major. */
NodeId b_data(Graph *g, Dtype dtype, const Shape *shape, const void *bytes);
/* v everywhere: broadcast of a constant. */
NodeId b_splat(Graph *g, Dtype dtype, const Shape *shape, double v);
/* A splat of x's dtype and shape. */
NodeId b_like(Graph *g, NodeId x, double v);
/* If every element of the node is the same known number: true and the number. */
bool b_is_splat(const Graph *g, NodeId x, double *out_v);

NodeId b_unary(Graph *g, Op op, NodeId x);
NodeId b_binary(Graph *g, Op op, NodeId a, NodeId b);
NodeId b_add(Graph *g, NodeId a, NodeId b);
NodeId b_sub(Graph *g, NodeId a, NodeId b);
NodeId b_mul(Graph *g, NodeId a, NodeId b);
NodeId b_div(Graph *g, NodeId a, NodeId b);
NodeId b_neg(Graph *g, NodeId a);
/* a * v with v a constant of a's dtype. */
NodeId b_scale(Graph *g, NodeId a, double v);
NodeId b_select(Graph *g, NodeId cond, NodeId a, NodeId b);
NodeId b_cast(Graph *g, NodeId x, Dtype dtype);

NodeId b_reshape(Graph *g, NodeId x, const Shape *shape);
NodeId b_transpose(Graph *g, NodeId x,
                   const int64_t *perm); /* result axis i is operand axis perm[i] */
NodeId b_broadcast(Graph *g, NodeId x, const Shape *shape); /* equal rank; extents 1 are repeated */
/* Rank 0 to `shape`, through a reshape to all ones. */
NodeId b_spread_scalar(Graph *g, NodeId x, const Shape *shape);
/* Inserts an axis of extent 1 before `axis`; removes an axis of extent 1. */
NodeId b_unsqueeze(Graph *g, NodeId x, uint32_t axis);
NodeId b_squeeze(Graph *g, NodeId x, uint32_t axis);
NodeId b_slice(Graph *g, NodeId x, const int64_t *begin, const int64_t *end, const int64_t *step);
NodeId b_slice_axis(Graph *g, NodeId x, uint32_t axis, int64_t begin, int64_t end);
NodeId b_pad(Graph *g, NodeId x, const int64_t *low, const int64_t *high, const int64_t *interior,
             double value);
NodeId b_concat(Graph *g, const NodeId *x, uint32_t n, uint32_t axis);
NodeId b_flip(Graph *g, NodeId x, const int64_t *axes, uint32_t n);
NodeId b_iota(Graph *g, const Shape *shape, uint32_t axis, Dtype dtype);
NodeId b_reduce(Graph *g, Op op, NodeId x, const int64_t *axes, uint32_t n, bool keep);
/* Sum over all axes: rank 0. */
NodeId b_sum_all(Graph *g, NodeId x);
/* Sum over one axis, kept with extent 1. */
NodeId b_sum_axis(Graph *g, NodeId x, uint32_t axis);
/* The run-time product of the given axes of x as a scalar of `dtype`: constant where no dim depends
 * on B. */
NodeId b_extent(Graph *g, NodeId x, const int64_t *axes, uint32_t n, Dtype dtype);
/* Sum of products in einsum notation without spaces: "bik,bjk->bij". */
NodeId b_dot(Graph *g, NodeId a, NodeId b, const char *spec);

#endif
