/* gradcheck.h: compares derivatives that a graph computes with difference quotients of its value,
 * in f64 by the reference interpreter. */
#ifndef DLCC_PASSES_GRADCHECK_H
#define DLCC_PASSES_GRADCHECK_H
#include "ir/interp.h"

/* A place where the graph takes values from outside, by which it is differentiated. */
typedef struct {
    bool tensor; /* unit->tensors[index], else input number index */
    uint32_t index;
} GradPoint;

typedef struct {
    double error; /* the worst of |derivative - quotient| / (|gradient| |direction|); infinite if
                     one is not finite */
    double derivative; /* of that direction */
    double quotient;
    uint32_t directions; /* in which the quotient converged, and was compared */
    uint32_t kinks;      /* in which it did not: a kink or a jump is near, or rounding hides it */
    double gradient;     /* Euclidean norm of the gradient by all points */
} Gradcheck;

/* Output 0 of g is a float scalar, outputs 1..n are its derivatives by the points; args holds all
 * that g reads. No cast to a narrower float may lie between the points and the scalar (see
 * pass_widen): within one stair of its rounding the quotient misses what passes through it. Takes
 * `directions` random directions of all points together, and, where the points have at most that
 * many elements, each element alone. NULL, or what went wrong in words. */
const char *gradcheck(Arena *a, Graph *g, const InterpArgs *args, const GradPoint *points,
                      uint32_t n, uint32_t directions, uint64_t seed, Gradcheck *out_result);

#endif
