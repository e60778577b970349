/* autodiff.h: reverse mode with rules from outside: how tests put a wrong derivative in the place
 * of a right one, to see that the gradient check catches it. */
#ifndef DLCC_PASSES_AUTODIFF_H
#define DLCC_PASSES_AUTODIFF_H
#include "ir/op.h"

/* Applies the derivative rule of q->node, whose op has one. */
typedef void GradApply(Grad *q, void *state);

/* pass_autodiff, with `apply` in place of each op's own rule. */
bool autodiff_with(Unit *u, GradApply *apply, void *state);

#endif
