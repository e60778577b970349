/* math.h: the functions among the scalar operations (exp, tanh, pow, ...) as straight-line code.
 *
 * Scalars and vectors of any number of lanes get the same operations in the same order, so a result
 * depends neither on the lane nor on how many lanes there are. */
#ifndef DLCC_BACKEND_MATH_H
#define DLCC_BACKEND_MATH_H
#include "backend/emit.h"

/* `op` (one marked as a function in scalar.h) on operands of one float type, f32 or f64, and one
 * number of lanes. f32: polynomials, at most 2 ULP (exp and log 1.1; see bench/README.md); NaN
 * stays NaN, infinities, signed zeros and subnormals as in C; sin, cos and tan beyond 2^27 call
 * libm. f64: calls libm for each lane. */
LLVMValueRef math_function(Emit *e, ScalarOp op, const LLVMValueRef *in);

/* Private to math*.c. Constants and conversions for the lanes of `like`, a float value. */
LLVMValueRef math_const(Emit *e, LLVMValueRef like, double v);
LLVMValueRef math_bits(Emit *e, LLVMValueRef x); /* float to integer of its width, bits kept */
LLVMValueRef math_float(Emit *e, LLVMValueRef like, LLVMValueRef x); /* and back */
LLVMValueRef math_int(Emit *e, LLVMValueRef like, int64_t v); /* an integer as math_bits gives */
LLVMValueRef math_abs(Emit *e, LLVMValueRef x);
LLVMValueRef math_copysign(Emit *e, LLVMValueRef magnitude,
                           LLVMValueRef sign); /* the magnitude is not negative */
LLVMValueRef math_less(Emit *e, LLVMValueRef a, LLVMValueRef b);     /* ordered */
LLVMValueRef math_select(Emit *e, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b);
/* x held to [lo, hi]; NaN stays. */
LLVMValueRef math_clamp(Emit *e, LLVMValueRef x, double lo, double hi);
/* c[0] + c[1] x + ... + c[n-1] x^(n-1) by Horner. */
LLVMValueRef math_poly(Emit *e, LLVMValueRef x, const double *c, int n);
LLVMValueRef math_sqrt(Emit *e, LLVMValueRef x);
/* e^x = 2^n (1 + head + tail), |head| < 0.35 exact, for f32 x in [-106, 89]; t is n + 1.5 * 2^23.
 * `low`, or NULL, is added to x: less than an ulp of it. */
typedef struct {
    LLVMValueRef t, n, head, tail;
} MathExp;
MathExp math_exp_parts(Emit *e, LLVMValueRef x, LLVMValueRef low);
/* p 2^n of those parts, rounded once, p in [2^-7, 2). */
LLVMValueRef math_exp_scale(Emit *e, LLVMValueRef p, const MathExp *y);
/* e^(x + low) in [-106, 89] to 0.7 ULP: head enters the last additions on its own, and the error of
 * adding it to 1 is kept. */
LLVMValueRef math_exp_fine(Emit *e, LLVMValueRef x, LLVMValueRef low);
/* sigmoid(x) of power = e^-|x| in f32. */
LLVMValueRef math_sigmoid_of(Emit *e, LLVMValueRef power, LLVMValueRef x);
/* ERFC, NORMAL_CDF, NORMAL_CDF_TANH of f32 x. */
LLVMValueRef math_normal(Emit *e, ScalarOp op, LLVMValueRef x);
/* sin or cos of f32 x (`op` may be TAN), from the range reduction that they share. */
LLVMValueRef math_trig(Emit *e, ScalarOp op, LLVMValueRef x);
/* f32 functions that compute in f64. */
LLVMValueRef math_wide(Emit *e, ScalarOp op, const LLVMValueRef *in);
/* Calls libm's `name` for each lane. */
LLVMValueRef math_call(Emit *e, const char *name, const LLVMValueRef *in, int n);

#endif
