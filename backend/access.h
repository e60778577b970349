/* access.h: loads and stores of a kernel's accesses, for one point of the axes or for a vector of
 * neighbouring ones. */
#ifndef DLCC_BACKEND_ACCESS_H
#define DLCC_BACKEND_ACCESS_H
#include "backend/emit.h"

/* A point of the kernel's axes. With lanes > 1, lane i stands at at[lane_axis] + i. Axes without a
 * value are NULL; an access must not depend on them. */
typedef struct {
    LLVMValueRef at[KERNEL_MAX_AXES]; /* i64 */
    int lane_axis, lanes;             /* lanes 1: lane_axis is not read */
    LLVMValueRef mask;                /* lanes that exist; NULL: all. At least one does. */
    const LLVMValueRef *base; /* base address of each of the kernel's buffers, scratch included */
} AccessPoint;

/* An affine value at p: scalar when it is the same for all lanes, else a vector of i64. */
LLVMValueRef access_affine(Emit *e, const Affine *f, const AccessPoint *p);
/* i1, scalar or of p's lanes: all guards of `x` hold; NULL when it has none. */
LLVMValueRef access_guards(Emit *e, const KernelAccess *x, const AccessPoint *p);
/* The value at the access, of the buffer's dtype: scalar when it is the same for all lanes, else a
 * vector. `index` is the value of x->index, scalar or vector, or NULL. Where a guard fails or the
 * index is out of range: 0; the latter sets the kernel's status word. */
LLVMValueRef access_load(Emit *e, const KernelAccess *x, const AccessPoint *p, LLVMValueRef index);
/* Stores v (scalar or vector), or adds it to what is there. Lanes must stand at different elements.
 */
void access_store(Emit *e, const KernelAccess *x, const AccessPoint *p, LLVMValueRef index,
                  LLVMValueRef v, StoreKind kind);

#endif
