/* gradcheck_entry.h: the gradient check on a whole model: each trained tensor of an entry. */
#ifndef DLCC_PASSES_GRADCHECK_ENTRY_H
#define DLCC_PASSES_GRADCHECK_ENTRY_H
#include "passes/gradcheck.h"

typedef struct {
    uint32_t tensor; /* in unit->tensors */
    bool read;       /* the loss depends on it */
    Gradcheck check; /* in directions of this tensor alone */
} TensorCheck;

typedef struct {
    VEC(TensorCheck) tensors; /* every trained float tensor, in order */
    uint32_t worst;           /* index of the one with the largest error */
} EntryCheck;

/* Checks the derivative of the first result of `e`, a float scalar, at run-time batch B, by each
 * trained tensor, in `directions` random directions each. Tensors have the values that the unit's
 * init entry gives with this seed, moved by up to 0.05 at random, off the ties that zeros make;
 * float inputs are drawn from [-1, 1] (from [0.5, 1.5] where the loss is then not finite), integers
 * from their bound or 0..255. Works before and after autodiff. NULL, or what went wrong in words.
 */
const char *gradcheck_entry(Arena *a, Unit *u, const Entry *e, int64_t batch, uint32_t directions,
                            uint64_t seed, EntryCheck *out_check);

#endif
