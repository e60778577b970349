/* kernel_interp.h: what ir/kernel.h says, literally: plain loops, one point at a time, in double
 * and int64. */
#ifndef DLCC_TESTS_KERNEL_INTERP_H
#define DLCC_TESTS_KERNEL_INTERP_H
#include "ir/kernel.h"

/* Runs all units of `k` on raw memory: bufs[i] holds `elements[i]` elements of operand i. Values
 * are rounded to their dtype after each instruction, sums are kept in double. Operands are copied
 * in and written ones out, so they must not overlap. CONTRACT stages included. NULL, or what went
 * wrong: an access outside of its buffer, an instruction that is not known. */
const char *kernel_interp(const Kernel *k, void *const *bufs, const int64_t *elements,
                          int64_t batch);

#endif
