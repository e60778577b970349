/* fuse_flat.c: kernels that differ only in how long their one flat axis is become one kernel.
 *
 * An optimizer is applied to each parameter, a moment is filled with zeros for each: the same loop
 * over sixty lengths, sixty compilations. Tensors and the arena's buffers are padded to whole
 * blocks of FLAT_BLOCK elements, so such a loop may run over the last block whole, beyond the end
 * into padding that nobody reads; then the length is the number of units alone, which the plan
 * says, and the kernel is the same for all. Inputs, outputs and constants are not padded: what
 * touches them keeps its own length. */
#include "passes/fuse.h"

#include <string.h>

/* Elements of a length that stands for any. */
static const int64_t ANY_LENGTH = INT64_C(1) << 40;

static bool is_padded(const PlanBuffer *b)
{
    return (b->kind == BUFFER_ARENA || b->kind == BUFFER_TENSOR) &&
           dtype_size(b->dtype) * FLAT_BLOCK <= FLAT_ALIGNMENT;
}

static bool access_is_flat(const Fuse *f, const Draft *d, const KernelAccess *a)
{
    if (a->index != INST_NONE || a->guards.n)
        return false;
    if (!a->offset.coef[0])
        return true;
    return a->offset.coef[0] == 1 && !a->offset.c &&
           is_padded(&f->plan->buffers.at[d->buffers.at[a->buffer]]);
}

static bool stage_is_flat(const Fuse *f, const Draft *d, const KernelStage *s)
{
    if (s->kind != STAGE_NEST || s->n_free || s->n_reduced)
        return false;
    for (uint32_t i = 0; i < s->accesses.n; i++)
        if (!access_is_flat(f, d, &s->accesses.at[i]))
            return false;
    for (uint32_t i = 0; i < s->stores.n; i++)
        if (s->stores.at[i].kind != STORE_SET ||
            !s->accesses.at[s->stores.at[i].access].offset.coef[0])
            return false;
    for (uint32_t i = 0; i < s->insts.n; i++)
        if (s->insts.at[i].kind == INST_GUARD)
            return false;
    return true;
}

int64_t fuse_make_flat(const Fuse *f, const Draft *d)
{
    Kernel *k = d->kernel;
    if (!k || k->grid != 1 || k->axes.n != 1 || k->vector != 0 || k->axes.at[0].extent.k ||
        k->axes.at[0].extent.n < 1 || k->status >= 0)
        return 0;
    for (uint32_t i = 0; i < k->stages.n; i++)
        if (!stage_is_flat(f, d, &k->stages.at[i]))
            return 0;
    int64_t n = k->axes.at[0].extent.n;
    k->axes.at[0].extent = dim_of(ANY_LENGTH);
    k->block = FLAT_BLOCK;
    return (n + FLAT_BLOCK - 1) / FLAT_BLOCK;
}
