/* checkpoint.h: files of weights and of unfinished runs, as the tools see them. */
#ifndef DLCC_DRIVER_CHECKPOINT_H
#define DLCC_DRIVER_CHECKPOINT_H
#include "driver/engine.h"

/* What a run keeps with its tensors besides the clock, which the runtime keeps. */
typedef struct {
    bool finished;
    double best;      /* of early stopping; NaN: none yet */
    int64_t bad;      /* evaluations since it was reached */
    const char *note; /* read: what changed in the recipe since, or NULL */
    const char *from; /* read: the file, `path` or its predecessor */
} CheckpointState;

typedef enum {
    CHECKPOINT_NONE,
    CHECKPOINT_UNFINISHED,
    CHECKPOINT_FINISHED,
    CHECKPOINT_FOREIGN
} CheckpointKind;

/* What stands at the path (FOREIGN: damaged, or not written by a run), or at its predecessor where
 * the path itself is missing or damaged. */
CheckpointKind checkpoint_look(Engine *e, const char *path);
/* Writes the whole state; the predecessor is kept as `path`.prev. But a finished checkpoint stays
 * there until this run has finished, or has saved a whole epoch. False with words in `why`: what
 * was there still is. */
bool checkpoint_save(Engine *e, const char *path, const CheckpointState *state, const char **why);
/* Goes on from `path`, or from `path`.prev when that is missing or damaged. False: diagnostics are
 * recorded. */
bool checkpoint_resume(Engine *e, const char *path, CheckpointState *out);
/* Weights from -w, else from `path`, else from the engine's own checkpoint. Missing or unfitting:
 * diagnostics are recorded. */
bool checkpoint_load_weights(Engine *e, const char *path);
/* The recipe's `load` before training: all parameters of the file but those that `fresh` names,
 * which keep their initial values. */
bool checkpoint_load_pretrained(Engine *e, const char *path, const char *fresh);
/* The same for one part of the model, "policy" of "policy.*", from a file of that part alone. */
bool checkpoint_load_part(Engine *e, const char *path, const char *part, const char *fresh,
                          LocId loc);
/* Names of classes kept in a file, one a line, or NULL. In the arena. */
const char *checkpoint_classes(Engine *e, const char *path);

#endif
