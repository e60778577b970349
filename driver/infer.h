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
    /* Rows: the results that are wanted have an item for each row. A model of a fixed batch takes
     * that many at a time, the last ones filled up with copies; other results are not kept. */
    bool rows, wanted[DLRT_MAX_VALUES];
    void *out[DLRT_MAX_VALUES];
    int64_t out_dims[DLRT_MAX_VALUES][DLRT_MAX_RANK]; /* set by infer_output */
} Infer;

/* Each step: false with diagnostics recorded. The export that is meant, with its weights; ... */
bool infer_open(Infer *q);
/* ... its inputs, and all calls. */
bool infer_run(Infer *q);
void infer_close(Infer *q);

/* Writes the results where -o says, or prints them. False: diagnostics are recorded. */
bool infer_output(Infer *q);

#endif
