/* gradcheck.h: a model's steps as functions of their parameters, compiled in f64. */
#ifndef DLCC_DRIVER_GRADCHECK_H
#define DLCC_DRIVER_GRADCHECK_H
#include "backend/session.h"
#include "driver/load.h"
#include "passes/gradcheck_entry.h"
#include "runtime/dlrt.h"

/* One training step. */
typedef struct {
    EntryCheck check;
    uint32_t stored; /* in unit->tensors: where `slope` puts the derivatives, one after another */
    const DlrtEntry *loss, *slope;
    const void *inputs[DLRT_MAX_VALUES];
    double value; /* of the loss, as drawn last */
} GradStep;

typedef struct {
    Run *run;
    Unit *unit;
    Session *session;
    DlrtContext *cx;
    VEC(GradStep) steps;
    bool outside; /* the last call failed by an index out of range */
} GradCode;

/* Elaborates and compiles the file. False: diagnostics are recorded. */
bool grad_open(Run *r, const char *path, GradCode *out);
void grad_close(GradCode *code);

/* Records what went wrong in a call just made. */
void grad_report(GradCode *code, LocId loc, const char *bad);

/* Draws a step's tensors and inputs, such that the loss is finite if it can be, puts them into
 * place and sets its value. False: diagnostics are recorded. */
bool grad_start(GradCode *code, GradStep *step, uint32_t draw);
/* A tensor of the unit at other values, for the calls after this one. */
void grad_move(GradCode *code, uint32_t tensor, const Value *v);
/* The loss; or it and its derivatives, in the order of check.tensors, in `a`. NULL, or what went
 * wrong in words. */
const char *grad_loss(GradCode *code, const GradStep *step, double *out_value);
const char *grad_slopes(GradCode *code, const GradStep *step, Arena *a, Value *out_slopes);

#endif
