/* score.h: results of an export against what they should be: `dlrun eval FILE -i .. -t .. --metric
 * ..`.
 *
 * Metrics are functions of the language. One program is made of all that are asked for, over all
 * rows at once, so that no mean depends on how rows went through in batches; it is compiled like
 * any other. */
#ifndef DLCC_DRIVER_SCORE_H
#define DLCC_DRIVER_SCORE_H
#include "driver/eval.h"
#include "driver/infer.h"

/* What kind of thing a result is, seen from its target. */
typedef enum {
    SCORE_CLASSES = 1, /* scores of classes, and class numbers */
    SCORE_NUMBERS = 2, /* class numbers both */
    SCORE_VALUES = 4,  /* of the same shape */
    SCORE_CHANCES = 8  /* the same, where the target is 0 and 1 only */
} ScoreKind;

/* A result with its target. */
typedef struct {
    uint32_t output; /* of the entry */
    const char *name, *path;
    ScoreKind kind;
    bool probabilities;   /* the result holds such, in its rows or in each element */
    const char *reshaped; /* in the language: `result`, its classes last, no extent of 1 */
    const char *retarget; /* the same of `given` */
    HostNpy file;         /* as read */
    void *numbers;        /* of the file as i64 or f64 */
} ScorePair;

typedef struct {
    Infer *q;
    ScorePair pairs[DLRT_MAX_VALUES];
    uint32_t n;
} Score;

/* Each step: false with diagnostics recorded. Reads the targets that -t gives, and notes in q which
 * results they are of; ... */
bool score_targets(Score *s);
/* ... after the run, says what kind each is, ... */
bool score_kinds(Score *s);
/* ... and computes the metrics of --metric, or those that fit. */
bool score_metrics(Score *s, Eval *out);
void score_close(Score *s);

#endif
