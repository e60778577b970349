/* kernel_interp.h: what ir/kernel.h says, literally: plain loops, one point at a time, in double
 * and int64. */
#ifndef DLCC_IR_KERNEL_INTERP_H
#define DLCC_IR_KERNEL_INTERP_H
#include "ir/kernel.h"

/* Someone who looks on. */
typedef struct {
    void *user;
    /* Only grid points that store at a wanted element are run. NULL: all. */
    bool (*wants)(void *user, uint32_t buffer, int64_t element);
    /* Instruction x, of SCALAR or ACC, has made `out`, a float, of the n numbers `in`: for an
     * accumulator one, NaN or else infinite if any was that was folded. True ends the run. */
    bool (*seen)(void *user, const KernelInst *x, const double *in, int n, double out);
    bool ran; /* there was such a grid point */
} KernelWatch;

/* Runs all units of `k` on raw memory: bufs[i] holds `elements[i]` elements of operand i. Values
 * are rounded to their dtype after each instruction, sums are kept in double. Operands are copied
 * in and written ones out, so they must not overlap. CONTRACT stages included. `watch` may be NULL.
 * NULL, or what went wrong: an access outside of its buffer, an instruction that is not known. */
const char *kernel_interp(const Kernel *k, void *const *bufs, const int64_t *elements,
                          int64_t batch, KernelWatch *watch);

#endif
