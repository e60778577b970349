/* contract.c: CONTRACT stages: sums of products over any axes. */
#include "backend/emitters.h"

bool contract_emit(Emit *e, const Kernel *k, int attempt, KernelGrid *out_grid)
{
    (void)attempt;
    (void)out_grid;
    return emit_fail(e, "contractions are not supported yet (%s)", k->name);
}
