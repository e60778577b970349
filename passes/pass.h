/* pass.h: the passes, one exported function and one file each, and what they promise one another.
 *
 * A pass reads every graph of the Unit, emits a new one through the builder, and puts it in the old
 * one's place; or it fills unit->program. False: diagnostics are recorded in unit->cx, of code
 * E0001 when the compiler is at fault. */
#ifndef DLCC_PASSES_PASS_H
#define DLCC_PASSES_PASS_H
#include "ir/builder.h"

/* What is true of a Unit. A pass names the facts it needs and the facts it gives; it may not break
 * any. */
enum {
    FACT_NO_GRAD = 1 << 0,   /* no `grad` node */
    FACT_PRIMITIVE = 1 << 1, /* no node of an op that is lowered by its expand */
    FACT_SIMPLE = 1 << 2,    /* no `var` node; scalar math stands before its broadcasts */
    FACT_KERNELS = 1 << 3,   /* unit->program has the kernels of every entry */
    FACT_ORDERED = 1 << 4,   /* its plans are in order of execution */
    FACT_PLANNED = 1 << 5,   /* offsets and peaks are set */
};

/* Softmax, log-softmax and normal_cdf written in steps become the operations. See raise.c. */
bool pass_raise(Unit *u);
/* Resolves `grad` nodes: each becomes ordinary nodes that compute the derivative. See autodiff.c.
 */
bool pass_autodiff(Unit *u);
/* Says ops that are lowered by their expand in other ops, until none is left. */
bool pass_expand(Unit *u);
/* Every float of the unit, tensors included, as f64: for comparisons that rounding would spoil. Not
 * part of the pipeline; before pass_autodiff. See widen.c. */
bool pass_widen(Unit *u);
/* Exact rewrites: removes `var`, computes before broadcasting, drops movements that cancel. */
bool pass_simplify(Unit *u);

/* Parameters that only products read are stored as those read them, where no entry trains: the
 * `storage` of tensors. See store.c. */
bool pass_store(Unit *u);
/* Long sums of products with few results: partial sums side by side. May change float results:
 * another order of addition. See split.c. */
bool pass_split(Unit *u);
/* Forms the kernels of every entry, in order of execution: unit->program. See fuse.c. */
bool pass_fuse(Unit *u);
/* Offsets and peaks of unit->program. See memplan.c. */
bool pass_memplan(Unit *u);

/* An empty graph with old's name, batch and inputs, into which a pass emits. */
Graph *pass_begin(const Graph *old);
/* Gives g the outputs of old, whose nodes are renamed through map. False, with an internal error,
 * when one has no new node. */
bool pass_end(Graph *g, const Graph *old, const NodeId *map);
/* Emits into g a copy of node `id` of old, operands renamed through map; records and returns it. */
NodeId pass_copy(Graph *g, const Graph *old, NodeId id, NodeId *map);
/* The whole of that: a graph like old in which `emit` said each live node again, recording in map
 * what it gave. NULL where emit was false or an output was lost, which is recorded. */
typedef bool PassNode(Graph *g, const Graph *old, NodeId id, NodeId *map);
Graph *pass_rebuild(const Graph *old, PassNode *emit);
/* The same of every entry's graph. */
bool pass_rebuild_entries(Unit *u, PassNode *emit);
/* A map of n entries, all NODE_NONE. */
NodeId *pass_new_map(Arena *a, uint32_t n);
/* Records an internal error (E0001) of a pass at a place; returns false. */
bool pass_internal(Unit *u, LocId loc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
