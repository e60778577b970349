/* op_check.h: what the op table promises, tried on the cases that each op defines. Tests fail on
 * it, and tools print it. */
#ifndef DLCC_PASSES_OP_CHECK_H
#define DLCC_PASSES_OP_CHECK_H
#include "passes/autodiff.h"

#include <stdio.h>

typedef enum {
    CHECK_NONE,   /* does not apply: no expansion, no float operand, no derivative */
    CHECK_ZERO,   /* the derivative is zero by definition, and came out so */
    CHECK_OK,
    CHECK_FAILED,
} CheckState;

typedef struct {
    uint32_t cases;
    CheckState text;     /* the graph verifies, prints, reads back and prints the same */
    CheckState forward;  /* the reference runs at the maximal and at a smaller batch */
    CheckState expand;   /* the expansion has the reference's values: floats to 1e-12, else exactly;
                            simplified to the bit */
    CheckState gradient; /* first derivatives against difference quotients: 1e-6 */
    CheckState second;   /* derivatives of a random combination of the first ones */
    double gradient_error, second_error; /* the worst */
    const char *failure; /* the first one in words, or NULL */
} OpCheck;

/* Runs all checks of one op. Texts are in `a`. */
OpCheck op_check(Arena *a, Op op);
/* The check of first derivatives on case i of op, with `apply` in place of the rules; NULL: the
 * ops' own. */
CheckState op_check_gradient(Arena *a, Op op, uint32_t i, GradApply *apply, void *state,
                             double *out_error, const char **out_failure);
/* The first derivatives of case i at one draw of its inputs, one value per float input, in `a`;
 * NULL where there are none. */
const Value *op_case_derivatives(Arena *a, Op op, uint32_t i, GradApply *apply, void *state,
                                 uint32_t *out_n);
/* The number of cases that op defines. */
uint32_t op_case_count(Op op);

/* Prints the matrix of ops and checks. Returns the number of ops with a failure. */
uint32_t ops_matrix(FILE *f);

#endif
