/* index_range.h: which values an integer input may have for the indices made of it to be right. */
#ifndef DLCC_PASSES_INDEX_RANGE_H
#define DLCC_PASSES_INDEX_RANGE_H
#include "ir/graph.h"

/* n when the values 0 .. n - 1 of the input are all within the axes that they index, at run-time
 * batch B, as far as that can be seen; 0 when it indexes nothing. Temporaries in a. */
int64_t index_range(Arena *a, const Graph *g, uint32_t input, int64_t batch);

#endif
