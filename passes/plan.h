/* plan.h: from a Unit of primitive graphs to a Program of kernels and plans. */
#ifndef DLCC_PASSES_PLAN_H
#define DLCC_PASSES_PLAN_H
#include "ir/plan.h"

/* Kernels of one entry in an order that respects data, the guard before the first write of a
 * tensor, and readers of a tensor's old value before its writer. */
bool plan_entry(Program *program, Plan *plan);

/* Plans byte offsets for all buffers of `p` in one arena: lifetimes from the order of items, best
 * fit, 64-byte aligned. Sets p->arena_bytes to the exact peak. Deterministic. False on overflow of
 * int64, a user error. O(n log n + n * overlaps). */
bool plan_memory(Unit *u, Plan *p);
/* Places tensors and constants of all plans. */
bool plan_tensors(Unit *u, Program *p);
/* What is wrong with the offsets of p, or NULL. */
const char *plan_check(Arena *a, const Plan *p);

#endif
