/* interp.h: the reference interpreter. Every other way of running a graph is judged by it, so it
 * does nothing clever: node by node, by each op's `ref`, floats in double whatever their dtype
 * (rounded only where a node is a cast). */
#ifndef DLCC_IR_INTERP_H
#define DLCC_IR_INTERP_H
#include "ir/value.h"

/* What a graph reads from outside. */
typedef struct {
    int64_t batch;            /* B; ignored by graphs without */
    const Value *inputs;      /* by input number, with run-time extents */
    const Value *tensors; /* by number in the unit; only those that the graph reads need be there */
    double clock[CLOCK_SEED]; /* CLOCK_STEP.. CLOCK_SEED-1 */
    uint64_t seed, key;       /* of random ops */
} InterpArgs;

/* A graph in which ops without a reference are said in others; g itself when there is none such. In
 * the unit's arena. NULL when an expansion fails. interp_run does it too; prepare once to run
 * often. */
Graph *interp_prepare(Graph *g);

/* Evaluates g. out_values has one place per output, filled with values in `a`. NULL, or what is
 * wrong in words: an argument whose type or extents do not fit, a node that has no value (an
 * unresolved `grad`). */
const char *interp_run(Arena *a, Graph *g, const InterpArgs *args, Value *out_values);

/* Runs an entry's graph and writes its updates into tensors (also read from there; args->tensors is
 * ignored). out_results: one value per output that updates nothing, in order; may be NULL. */
const char *interp_entry(Arena *a, Graph *g, const InterpArgs *args, Value *tensors,
                         Value *out_results);

#endif
