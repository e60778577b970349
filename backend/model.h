/* model.h: the tables of a compiled model (runtime/plan.h) from a Program and its objects.
 *
 * The JIT hands them to the runtime as they are, ahead-of-time compilation writes the same tables
 * out as data: one way to lay out a model, so that both run the same plan. */
#ifndef DLCC_BACKEND_MODEL_H
#define DLCC_BACKEND_MODEL_H
#include "backend/compile.h"
#include "runtime/plan.h"

typedef struct {
    DlrtModel model;
    const char *const *kernel_symbols; /* of model.kernels */
    const char *const *call_symbols;   /* of model.calls */
    DlrtKernel **kernels;              /* to be filled by address; model.kernels is this */
    DlrtCall **calls;
    DlrtEntry *entries; /* likewise: entry.tiny */
} ModelTables;

/* Lays out context and tables in p's arena. Addresses of code are NULL. c NULL: no code is known,
 * and the numbers of tiles are 0; sizes are right. `march` is recorded in checkpoints. */
ModelTables *model_tables(Program *p, const Compiled *c, const Target *t);

#endif
