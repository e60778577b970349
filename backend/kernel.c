/* kernel.c: from a kernel to an object: which emitter, and the next smaller shape after a spill. */
#include "backend/emitters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_contract(const Kernel *k)
{
    for (uint32_t i = 0; i < k->stages.n; i++)
        if (k->stages.at[i].kind == STAGE_CONTRACT)
            return true;
    return false;
}

static bool emit_body(Emit *e, const Kernel *k, int attempt, KernelGrid *out_grid)
{
    return !*e->error &&
           (is_contract(k) ? contract_emit(e, k, attempt, out_grid) : nest_emit(e, k, out_grid));
}

bool kernel_emit(const Kernel *k, const Target *t, const char *symbol, KernelObject *out_object)
{
    return kernel_emit_on(NULL, k, t, symbol, out_object);
}

bool kernel_emit_on(ObjectMachine *m, const Kernel *k, const Target *t, const char *symbol,
                    KernelObject *out_object)
{
    bool contract = is_contract(k);
    *out_object = (KernelObject){ 0 };
    for (int attempt = 0; attempt < CONTRACT_ATTEMPTS; attempt++) {
        KernelObject o = { 0 };
        Emit e;
        emit_open(&e, k, t, symbol);
        e.machine = m;
        bool ok = emit_body(&e, k, attempt, &o.grid) && object_emit(&e, OBJECT_PLAIN, &o);
        snprintf(o.error, sizeof o.error, "%s", e.error);
        emit_close(&e);
        if (!ok && out_object->bytes) /* no smaller shape: the one that spills */
            return true;
        kernel_object_free(out_object);
        *out_object = o;
        if (!ok || !contract || !o.spilled)
            return ok;
    }
    return true;
}

char *kernel_emit_text(const Kernel *k, const Target *t, const char *symbol, bool assembly,
                       char error[200])
{
    Emit e;
    KernelGrid grid;
    emit_open(&e, k, t, symbol);
    char *text = emit_body(&e, k, 0, &grid) ? object_emit_text(&e, assembly) : NULL;
    snprintf(error, 200, "%s", e.error);
    emit_close(&e);
    return text;
}

void kernel_object_free(KernelObject *o)
{
    free(o->bytes);
    o->bytes = NULL;
}
