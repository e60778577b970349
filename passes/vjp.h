/* vjp.h: an entry that differentiates another. */
#ifndef DLCC_PASSES_VJP_H
#define DLCC_PASSES_VJP_H
#include "ir/unit.h"

/* Adds an export that takes what the export with the output `output` takes, and then `d_OUTPUT`, of
 * the output's type: a cotangent. Its result `d_INPUT` is the vector-Jacobian product: the
 * derivative of sum(OUTPUT * d_OUTPUT) by the input or parameter called `input`. The entry is
 * called vjp_OUTPUT_INPUT, other characters than letters and digits as `_`. NULL: reported (E0506).
 * Before pass_autodiff. */
Entry *vjp_add(Unit *u, const char *output, const char *input);

#endif
