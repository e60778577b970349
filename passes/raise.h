/* raise.h: what the files of pass_raise share. */
#ifndef DLCC_PASSES_RAISE_H
#define DLCC_PASSES_RAISE_H
#include "ir/builder.h"

/* The whole that node id says in steps, if it is of the normal distribution function; else
 * NODE_NONE. id and what it is computed from are raised already. See raise_normal.c. */
NodeId raise_normal(Graph *g, NodeId id);

#endif
