/* feed.h: batches of a view for the inputs that an entry, or the training step, wants. */
#ifndef DLCC_DRIVER_FEED_H
#define DLCC_DRIVER_FEED_H
#include "driver/engine.h"
#include "runtime/host/loader.h"

/* A loader over `view` for values (DlrtValue with a leading batch axis each). The map, if any, is
 * of the caller. False: a diagnostic at `loc` is recorded. */
bool feed_open(Engine *e, const HostView *view, const DlrtValue *const *values, uint32_t count,
               int64_t batch, bool training, LocId loc, HostLoader **out_loader);

#endif
