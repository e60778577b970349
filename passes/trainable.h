/* trainable.h: which parameters of a model can get a gradient from its exports, and what is in the
 * way of the others. */
#ifndef DLCC_PASSES_TRAINABLE_H
#define DLCC_PASSES_TRAINABLE_H
#include "ir/unit.h"

/* An operation without a derivative, through which parameters reach a result. */
typedef struct {
    Op op;
    LocId loc;
    uint32_t count; /* nodes of this op, all entries together */
} Blocker;

typedef struct {
    uint8_t *reached; /* by tensor: a float result depends on it through derivatives alone */
    VEC(Blocker) blockers;
} Trainable;

/* Looks at the exports, as they are before any pass. In the unit's arena. */
Trainable trainable_find(Unit *u);

#endif
