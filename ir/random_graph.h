/* random_graph.h: valid graphs nobody would write, from a seed and the op table alone. */
#ifndef DLCC_IR_RANDOM_GRAPH_H
#define DLCC_IR_RANDOM_GRAPH_H
#include "ir/cases.h"

typedef struct {
    uint32_t size;       /* ops to place; the graph has more nodes, for what connects them */
    int64_t batch_max;   /* at least 1 */
    bool differentiable; /* only ops with a derivative; the graph then has `grad` nodes of its first
                            output */
    bool no_calls;       /* no op that is a function of the runtime */
    bool no_halves;      /* no f16 or bf16, whose rounding drowns what a comparison looks for */
} RandomOptions;

/* A graph in u whose inputs' ranges are in r (draw them with case_value). Outputs: what nothing
 * else reads; where differentiable, output 0 is a scalar of all of them and further ones are its
 * derivatives by every float input. What jumps or is ill-conditioned (floor, comparisons, argmax,
 * calls) reads inputs directly, so that two ways of computing the graph differ by rounding only. */
Graph *random_graph(Unit *u, CaseRng *r, const RandomOptions *options);

#endif
