/* cases.h: draws values for the test graphs that ops define (OpDef.cases), and for random graphs.
 */
#ifndef DLCC_IR_CASES_H
#define DLCC_IR_CASES_H
#include "ir/value.h"

/* What an input of a test graph may hold. */
typedef struct {
    double lo, hi;
    bool distinct;
} CaseRange;

struct CaseRng {
    Arena *arena;
    uint64_t state;
    VEC(CaseRange) ranges; /* by input number, as case_input declared them */
};

/* A generator whose draws depend on `seed` alone. */
CaseRng case_rng(Arena *a, uint64_t seed);
/* Uniform in [lo, hi). */
double case_uniform(CaseRng *r, double lo, double hi);
/* Uniform in lo..hi, both included. */
int64_t case_integer(CaseRng *r, int64_t lo, int64_t hi);
/* A value for input `number` of g at batch B, within the range it was declared with ([-1, 1] where
 * it was not). Floats are rounded to the input's dtype; distinct ones keep at least (hi - lo) / 2n
 * between any two. */
Value case_value(Arena *a, CaseRng *r, const Graph *g, uint32_t number, int64_t batch);

#endif
