/* verify.h: the rules every graph keeps, checked from outside. */
#ifndef DLCC_IR_VERIFY_H
#define DLCC_IR_VERIFY_H
#include "ir/unit.h"

/* NULL when g is sound, else what is wrong, in words, in `a`: operands come before users; counts
 * and attributes are as the op declares; every type is what the op's rule says; outputs exist,
 * updates have their tensor's type and no tensor is updated twice; dims that depend on B agree with
 * the maximal batch. Reports no diagnostics. */
const char *graph_verify(Arena *a, const Graph *g);
/* The same for all entries of u, whose names are also unique, and for its tensors. */
const char *unit_verify(Arena *a, const Unit *u);

#endif
