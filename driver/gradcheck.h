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
    struct Engine *given; /* where arrays of -i are kept */
    bool outside; /* the last call failed by an index out of range */
} GradCode;

/* Elaborates and compiles the file. False: diagnostics are recorded. */
bool grad_open(Run *r, const char *path, GradCode *out);
void grad_close(GradCode *code);

/* ---- gradcheck_given.c ---- */

/* The rows of the arrays that -i gives, at most so many. */
int64_t grad_given_rows(GradCode *code, const Graph *g, int64_t most);
/* Puts the arrays of -i in the place of what was drawn. False: reported. */
bool grad_given(GradCode *code, GradStep *step);
/* Whether -i names inputs that are there. False: reported. */
bool grad_given_names(GradCode *code, const char *path);

/* ---- gradcheck_code.c ---- */

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
