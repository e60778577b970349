/* infer.h: one call of an export over any number of examples. */
#ifndef DLCC_DRIVER_INFER_H
#define DLCC_DRIVER_INFER_H
#include "driver/engine.h"

typedef struct {
    Engine *e;
    uint32_t number; /* of the entry */
    const DlrtEntry *entry;
    int64_t count; /* examples; -1 before it is known */
    void *in[DLRT_MAX_VALUES], *out[DLRT_MAX_VALUES];
} Infer;

/* Writes the results where -o says, or prints them. False: diagnostics are recorded. */
bool infer_output(Infer *q);

#endif
