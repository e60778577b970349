/* feed.c: what inputs want, as bindings of a loader. */
#include "driver/feed.h"

#include <string.h>

bool feed_open(Engine *e, const HostView *view, const DlrtValue *const *values, uint32_t count,
               int64_t batch, bool training, LocId loc, HostLoader **out_loader)
{
    HostBinding bindings[DLRT_MAX_VALUES];
    HostError error;
    *out_loader = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const DlrtValue *v = values[i];
        bool pinned = v->rank && !v->batch[0] && v->dims[0] == batch;
        if (!v->rank || (v->batch[0] != 1 && !pinned)) {
            diag_report(e->run->cx, DIAG_E0490, loc,
                        "`%s` comes from data, but its leading dim is not the batch", v->name);
            return false;
        }
        bindings[i] = (HostBinding){ .field = v->name,
                                     .dtype = (DlrtDtype)v->dtype,
                                     .rank = v->rank - 1,
                                     .limit = v->bound > 0 ? v->bound : 0 };
        memcpy(bindings[i].dims, v->dims + 1, (size_t)(v->rank - 1) * sizeof *v->dims);
    }
    HostLoaderOptions o = { .view = *view,
                            .bindings = bindings,
                            .binding_count = (int)count,
                            .batch = batch,
                            .shuffle = training && e->model->shuffle,
                            .seed = e->cx->clock.seed,
                            .drop_last = training };
    if (host_loader_new(&o, out_loader, &error))
        return true;
    engine_report_host(e, loc, &error);
    return false;
}
