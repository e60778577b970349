/* gradcheck.h: compares derivatives with difference quotients of what they are derivatives of, in
 * f64, whoever computes both. */
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

/* A scalar function of many numbers, and what is to be judged: its derivatives at a place. */
typedef struct {
    uint32_t n;            /* points: arrays of numbers */
    const Value *at;       /* the place, by point */
    const Value *gradient; /* by point */
    double value;          /* there */
    /* The value where the points are moved to. NULL, or what went wrong in words. */
    const char *(*evaluate)(void *user, const Value *moved, double *out_value);
    void *user;
} GradFunction;

/* Takes `directions` random directions of all points together, and, where the points have at most
 * that many elements, each element alone. The function must be smooth but for kinks and jumps: f64
 * throughout (see pass_widen), since within one stair of a narrower float's rounding the quotient
 * misses what passes through it. NULL, or what evaluate said. */
const char *gradcheck_function(Arena *a, const GradFunction *f, uint32_t directions, uint64_t seed,
                               Gradcheck *out_result);

/* The same of a graph by the reference interpreter: output 0 of g is a float scalar, outputs 1..n
 * are its derivatives by the points; args holds all that g reads. */
const char *gradcheck(Arena *a, Graph *g, const InterpArgs *args, const GradPoint *points,
                      uint32_t n, uint32_t directions, uint64_t seed, Gradcheck *out_result);

#endif
