/* scalar.h: the operations on single elements that kernel bodies are made of. A closed set: the
 * reference interpreter and the code generator each have one exhaustive switch over it, and a test
 * compares the two.
 *
 * Semantics, for all dtypes: floats follow IEEE 754, ties to even, NaN in gives NaN out but for
 * comparisons; MAXIMUM and MINIMUM give NaN if either is NaN, and treat -0 < +0 as equal (the first
 * operand is kept). Integers wrap; division and modulus by zero give 0; INT_MIN / -1 wraps; shifts
 * by the width or more give 0 (or the sign, for arithmetic right shifts). CAST float to integer
 * truncates and saturates, NaN gives 0; to bool is x != 0; f16 and bf16 round once, ties to even.
 * DIV on integers truncates; FLOORDIV and MOD floor (the sign of MOD is the divisor's). SIGN keeps
 * zeros. POW of integers with a negative exponent is the truncated reciprocal, also of 0. */
#ifndef DLCC_IR_SCALAR_H
#define DLCC_IR_SCALAR_H

/* SCALAR(name, operands, function): `function` marks those that are more than an instruction, with
 * an accuracy of their own. */
#define SCALAR_TABLE(SCALAR)                                                                       \
    SCALAR(COPY, 1, 0)                                                                             \
    SCALAR(NEG, 1, 0) SCALAR(ABS, 1, 0) SCALAR(SIGN, 1, 0) SCALAR(NOT, 1, 0) SCALAR(               \
        FLOOR, 1, 0) SCALAR(CEIL, 1, 0) SCALAR(ROUND, 1, 0) SCALAR(TRUNC, 1, 0) SCALAR(SQRT, 1, 0) \
        SCALAR(RSQRT, 1, 1) SCALAR(EXP, 1, 1) SCALAR(EXPM1, 1, 1) SCALAR(LOG, 1, 1) SCALAR(        \
            LOG1P, 1, 1) SCALAR(SIN, 1, 1) SCALAR(COS, 1, 1) SCALAR(TAN, 1, 1) SCALAR(ASIN, 1, 1)  \
            SCALAR(ACOS, 1, 1) SCALAR(ATAN, 1, 1) SCALAR(SINH, 1, 1) SCALAR(COSH, 1, 1)            \
                SCALAR(TANH, 1, 1) SCALAR(ASINH, 1, 1) SCALAR(ACOSH, 1, 1) SCALAR(ATANH, 1, 1)     \
                    SCALAR(SIGMOID, 1, 1) SCALAR(ERF, 1, 1) SCALAR(ERFC, 1, 1)                     \
                        SCALAR(NORMAL_CDF, 1, 1) SCALAR(NORMAL_CDF_TANH, 1, 1)                     \
                        SCALAR(IS_NAN, 1, 0)                                                       \
                        SCALAR(IS_INF, 1, 0) SCALAR(CAST, 1, 0) SCALAR(ADD, 2, 0)                  \
                            SCALAR(SUB, 2, 0) SCALAR(MUL, 2, 0) SCALAR(DIV, 2, 0)                  \
                                SCALAR(FLOORDIV, 2, 0) SCALAR(MOD, 2, 0)                           \
                                    SCALAR(POW, 2, 1) SCALAR(ATAN2, 2, 1) SCALAR(MAXIMUM, 2, 0)    \
                                        SCALAR(MINIMUM, 2, 0) SCALAR(AND, 2, 0) SCALAR(OR, 2, 0)   \
                                            SCALAR(XOR, 2, 0) SCALAR(SHL, 2, 0) SCALAR(SHR, 2, 0)  \
                                                SCALAR(EQ, 2, 0) SCALAR(NE, 2, 0) SCALAR(LT, 2, 0) \
                                                    SCALAR(LE, 2, 0) SCALAR(GT, 2, 0)              \
                                                        SCALAR(GE, 2, 0) SCALAR(SELECT, 3, 0)

typedef enum {
    SC_NONE,
#define SCALAR(name, operands, function) SC_##name,
    SCALAR_TABLE(SCALAR)
#undef SCALAR
    SC_COUNT
} ScalarOp;

int scalar_operands(ScalarOp op);
const char *scalar_name(ScalarOp op); /* "maximum" */

#endif
