/* gradcheck_entry.h: the gradient check on a whole model: what a training step differentiates, and
 * where. */
#ifndef DLCC_PASSES_GRADCHECK_ENTRY_H
#define DLCC_PASSES_GRADCHECK_ENTRY_H
#include "ir/interp.h"

typedef struct {
    Unit *unit;
    Graph *graph;          /* outputs: the loss, then its derivative by each of `tensors` */
    VEC(uint32_t) tensors; /* in unit->tensors: the floats that the entry trains, in order */
    uint32_t n_tensors;    /* of the unit, when this was made: it may get more */
    bool small;            /* integers of which nothing is known are 0 or 1 */
    Value *initial;        /* by tensor of the unit: as the init entry leaves them */
    Value *values;         /* the same, the trained ones moved */
    InterpArgs args;       /* values, and inputs */
} EntryCheck;

/* An export of a unit in f64 as a step to check, for a model without a recipe: its loss is a sum of
 * all float results with fixed weights; its float inputs of fixed shapes become parameters, which
 * are added to the unit. False: no float result, or nothing to differentiate by. */
bool gradcheck_export(Unit *u, const Entry *e, Entry *out_step);

/* What there is to check in `e`, whose first result is the loss, a float scalar, at run-time batch
 * B, with the unit's init entry run with this seed. Works before and after autodiff, on a unit in
 * f64 (see pass_widen). NULL, or what went wrong in words. */
const char *gradcheck_entry(Arena *a, Unit *u, const Entry *e, int64_t batch, uint64_t seed,
                            EntryCheck *out_check);
/* Draws values and inputs, of which there are as many as numbers `draw`: a derivative may stand too
 * near a kink at one place, hardly at all. Trained tensors are moved by up to 0.05, off the ties
 * that zeros make; integers are drawn from their bound, the axis that they index, or 0..255, and
 * without a recipe 0 and 1; floats from [-1, 1], or from [0.5, 1.5] for a loss that takes
 * logarithms. */
void gradcheck_entry_draw(Arena *a, EntryCheck *check, uint32_t draw, bool positive);

#endif
