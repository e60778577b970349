/* value.h: values of the reference interpreter and of constants: floats as double, everything else
 * as int64. */
#ifndef DLCC_IR_VALUE_H
#define DLCC_IR_VALUE_H
#include "ir/op.h"

/* A zeroed value of the given type at run-time batch B. Sizes are those of a checked shape. */
Value value_new(Arena *a, Dtype dtype, const Shape *shape, int64_t batch);
/* The same elements in `a`. */
Value value_copy(Arena *a, const Value *v);
/* Raw little-endian elements (bool: one byte, 0 or 1) to a value, and back; floats round once, ties
 * to even; integers wrap. */
Value value_from_bytes(Arena *a, Dtype dtype, const Shape *shape, const void *bytes);
void value_to_bytes(const Value *v, void *out_bytes);
/* One raw element as a double; false where a double cannot hold it. */
bool value_number(Dtype dtype, const void *bytes, double *out_number);
/* v as dtype t would hold it: rounded to f32, f16, bf16, wrapped to the integer's width. */
double value_round(Dtype t, double v);
int64_t value_wrap(Dtype t, int64_t v);
/* Element `at` of x as out's type into out (see CAST in scalar.h). */
void value_cast(const Value *x, int64_t at, Value *out);

/* The scalar operations on reference values (see scalar.h). Floats compute in double and are not
 * rounded to narrower types but by CAST: the reference is meant to be better than what it judges.
 */
double scalar_float(ScalarOp op, const double *in);
int64_t scalar_int(ScalarOp op, Dtype t, const int64_t *in);
bool scalar_compare_float(ScalarOp op, double a, double b);

/* Word 0..3 of the random block of an element: see ir/ops/random.c. */
uint32_t value_random_word(uint64_t seed, uint64_t key, uint32_t site, uint64_t element,
                           uint32_t word);

/* Evaluates one node by its definition's `ref` (or, lacking one, by nothing: false). */
bool value_of_node(Ref *q);

#endif
