/* infer.h: one call of an export over any number of examples. */
#ifndef DLCC_DRIVER_INFER_H
#define DLCC_DRIVER_INFER_H
#include "driver/examples.h"

typedef struct {
    Engine *e;       /* whose entry runs: that of the file, or one compiled for so many examples */
    uint32_t number; /* of the entry */
    const DlrtEntry *entry;
    Examples inputs;
    int64_t count; /* examples */
    void *out[DLRT_MAX_VALUES];
    int64_t out_dims[DLRT_MAX_VALUES][DLRT_MAX_RANK]; /* set by infer_output */
} Infer;

/* Writes the results where -o says, or prints them. False: diagnostics are recorded. */
bool infer_output(Infer *q);

#endif
