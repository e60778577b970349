/* rules.h: what op definitions are written with: type rules in the user's terms, loops of
 * references, case inputs.
 *
 * Every rule reports the constraint it finds violated, with the op's name as the user writes it,
 * and returns false. */
#ifndef DLCC_IR_OPS_RULES_H
#define DLCC_IR_OPS_RULES_H
#include "ir/builder.h"
#include "ir/kernel.h"
#include "ir/value.h"

/* "f32[3, 4]" */
const char *rule_type(const Infer *q, uint32_t i);
/* The op as written: "`+`", "`@`", "`sqrt`". */
const char *rule_name(const Infer *q);

/* Operand i holds floats; numbers (not bool); integers; bools. */
bool rule_float(Infer *q, uint32_t i);
bool rule_number(Infer *q, uint32_t i);
bool rule_integer(Infer *q, uint32_t i);
bool rule_bool(Infer *q, uint32_t i);
bool rule_same_dtype(Infer *q, uint32_t i, uint32_t j);
bool rule_same_shape(Infer *q, uint32_t i, uint32_t j);
/* The named integer lies in lo..hi. */
bool rule_range(Infer *q, const char *attr, int64_t lo, int64_t hi);
/* The named integer is an axis of operand i. */
bool rule_axis(Infer *q, const char *attr, uint32_t i);
/* The named list holds axes of operand i, none twice. */
bool rule_axes(Infer *q, const char *attr, uint32_t i);
/* The named list has one number for each of `n` axes, each at least `least`. */
bool rule_list(Infer *q, const char *attr, uint32_t n, int64_t least);
/* Operand i's axis has an extent that does not depend on B. */
bool rule_pinned(Infer *q, uint32_t i, uint32_t axis);
bool rule_rank(Infer *q, uint32_t rank);
/* The result in q has no negative extent, and its bytes fit an int64. */
bool rule_result(Infer *q);
/* The result is like operand i. */
bool rule_like(Infer *q, uint32_t i);
/* type rule of ops that keep type and shape of a float operand */
bool rule_float_map(Infer *q);

/* The attribute of a node in the reference, a gradient or a rewrite. */
static inline int64_t node_int(const Graph *g, NodeId id, const char *name)
{
    return graph_attr(g, id, name)->i;
}

/* Steps a row-major index; false past the last. Start from zeros, and only where v->count > 0. */
bool index_next(const Value *v, int64_t *at);
int64_t index_offset(const Value *v, const int64_t *at);
/* Elements from one place to the next along an axis. */
int64_t index_stride(const Value *v, int64_t axis);
void element_copy(Value *out, int64_t to, const Value *x, int64_t from);
void element_set(Value *out, int64_t to, double v);
/* An integer or float element as a double, an integer element as it is. */
double element_float(const Value *x, int64_t at);

/* A reference by index: `source` gives the operand's index for the result's; false: a fill. */
typedef bool (*SourceIndex)(const Ref *q, const int64_t *at, int64_t *source);
void ref_move(Ref *q, SourceIndex source, double fill);

/* True where axis is in the list. */
bool axes_has(const AttrValue *axes, uint32_t axis);
/* All attributes of a node as they are, to emit it again. */
const AttrList *node_attrs(const Graph *g, NodeId id);

/* Axes x0..x1 of one shape hold the elements of axes y0..y1 of another. */
typedef struct {
    uint32_t x0, x1, y0, y1;
} AxisGroup;
/* Splits two shapes of equal elements into the finest such groups; at most 2 * MAX_RANK. False
 * where the elements would differ at another B than the largest, or change their places: B has to
 * be the outermost axis of its group on both sides. Shapes without elements have no groups. */
bool shape_groups(const Shape *x, const Shape *y, AxisGroup *out_groups, uint32_t *out_n);

/* An input of a test case of any kind: f64, f32, i32, bool by `kind` modulo 4. */
NodeId case_of_kind(Graph *g, CaseRng *r, uint32_t kind, uint32_t rank, const int64_t *dims);

/* What the definitions of movement ops have in common. */
#define MOVE(id)                                                                                   \
    .min_in = 1, .max_in = 1, .attrs = id##_attrs, .infer = id##_infer, .grad = id##_grad,         \
    .ref = id##_ref, .fold = id##_fold, .lower = LOWER_MOVE, .move = id##_move, .cases = id##_cases

/* An exact rewrite (OpDef.fold); FOLD_UNUSED says that it needs only some of its arguments. */
#define FOLD(name)                                                                            \
    static NodeId name(Graph *g, Op op, const NodeId *in, uint32_t n, const AttrValue *attrs, \
                       const Shape *shape, Dtype dtype)
#define FOLD_UNUSED (void)g, (void)op, (void)in, (void)n, (void)attrs, (void)shape, (void)dtype

#endif
