/* random.h: the one random generator: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel
 * random numbers: as easy as 1, 2, 3", 2011). Counter-based: a number is a function of its key
 * and place, so that it is the same on any thread, in any order, in generated kernels and here.
 *
 * The mapping that everybody uses:
 *     key     = seed lo, seed hi
 *     counter = element lo, element hi ^ loop, step lo, site ^ (step hi * 0x9e3779b9)
 * element: row-major index of the result's element; one Philox call per element, words 0.. used
 * as said below; loop: trip of the innermost enclosing scan, shifted left by 12 (so that 2^44
 * elements and 2^20 trips never meet), 0 outside; site: 32 bits that tell random ops of a model
 * apart (a hash of the call path). */
#ifndef DLCC_RUNTIME_RANDOM_H
#define DLCC_RUNTIME_RANDOM_H
#include <stdint.h>

typedef struct {
    uint32_t word[4];
} DlrtWords;

/* The raw function: ten rounds. */
DlrtWords dlrt_philox(const uint32_t counter[4], const uint32_t key[2]);

/* The mapping above. */
DlrtWords dlrt_random(uint64_t seed, uint64_t step, uint32_t site, uint32_t loop, uint64_t element);

/* [0, 1): word 0 >> 8, times 2^-24. */
float dlrt_uniform_f32(DlrtWords w);
/* [0, 1): (word 1 : word 0) >> 11, times 2^-53. */
double dlrt_uniform_f64(DlrtWords w);
/* Box-Muller: sqrt(-2 ln(1 - u0)) * cos(2π u1), u0 and u1 in [0, 1) as dlrt_uniform_f32 from
 * words 0 and 1; computed in double and rounded once (dlrt_normal_f32), or from 53-bit uniforms
 * of words 0, 1 and 2, 3 (dlrt_normal_f64). */
float dlrt_normal_f32(DlrtWords w);
double dlrt_normal_f64(DlrtWords w);
/* [0, n), 0 < n < 2^63: the high word of (word 1 : word 0) * n. */
uint64_t dlrt_randint(DlrtWords w, uint64_t n);

#endif
