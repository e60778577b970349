/* autodiff.h: reverse mode on single graphs, and with rules from outside: how tests put a wrong
 * derivative in the place of a right one, to see that the gradient check catches it. */
#ifndef DLCC_PASSES_AUTODIFF_H
#define DLCC_PASSES_AUTODIFF_H
#include "ir/op.h"

/* Applies the derivative rule of q->node, whose op has one. */
typedef void GradApply(Grad *q, void *state);

/* A graph like old in which `grad` nodes are resolved; NULL with diagnostics where one has no
 * derivative. */
Graph *autodiff_graph(const Graph *old);
/* pass_autodiff, with `apply` in place of each op's own rule. */
bool autodiff_with(Unit *u, GradApply *apply, void *state);

#endif
