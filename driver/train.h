/* train.h: one training run, shared by what sets it up (train.c), what loops (train_loop.c) and
 * what explains a loss that is not a number (nan.c). */
#ifndef DLCC_DRIVER_TRAIN_H
#define DLCC_DRIVER_TRAIN_H
#include "driver/checkpoint.h"
#include "driver/eval.h"
#include "runtime/host/progress.h"

enum { TRAIN_MAX_UPDATES = 16 };

typedef struct Report Report;

typedef struct {
    Engine *engine;
    Eval eval;
    HostLoader *loader; /* NULL: the recipe needs no data */
    int64_t items;      /* examples of the training part */
    int64_t batch;      /* examples of a step */
    int64_t per_epoch;  /* steps of an epoch; 0: no data */
    int64_t steps;      /* of the whole run, those done before resuming included */
    int64_t round;      /* steps between evaluations */
    double flops;       /* of a step, mean over the updates' turns */
    const char *path;   /* of the checkpoint */
    CheckpointState state;
    HostProgress progress;
    Report *report; /* or NULL */
    bool json, quiet, verbose;
    double saved_at; /* seconds */
    bool unsaved;    /* the last save failed */
    DlrtClock clock; /* as the latest step saw it */
    uint32_t entry;  /* that step's */
    double loss;     /* mean of the last round */
    double first_loss;
} Train;

typedef enum { TRAIN_DONE, TRAIN_EARLY, TRAIN_INTERRUPTED, TRAIN_FAILED } TrainEnd;

/* Steps to the end, to a signal (whose number is in *out_signal), or to a failure, which is
 * recorded. The state is saved. */
TrainEnd train_loop(Train *t, int *out_signal);
/* Catches SIGINT and SIGTERM: the first is remembered, the second ends the process. */
void train_catch_signals(void);
/* The signal that was caught, or 0. */
int train_caught_signal(void);

/* Records E0907 for the step that just failed on `fields`, and where the first value that is not
 * finite arises. */
void train_explain_nan(Train *t, int64_t B, const void *const *fields);

#endif
