/* load.h: from a command line and a file to a Unit whose passes have run. */
#ifndef DLCC_DRIVER_LOAD_H
#define DLCC_DRIVER_LOAD_H
#include "backend/target.h"
#include "driver/options.h"
#include "frontend/frontend.h"
#include "passes/pipeline.h"

enum {
    EXIT_MODEL = 1,
    EXIT_USAGE = 2,
    EXIT_FILE = 3,
    EXIT_UNSUPPORTED = 4,
    EXIT_STOPPED = 5,
    EXIT_CHECK = 6,
    EXIT_INTERNAL = 70
};

/* One run of a tool. */
struct Verb;
typedef struct {
    Options options;
    Arena *arena;
    Compiler *cx;
    const struct Verb *verbs; /* of the tool */
    uint32_t n_verbs;
    uint32_t said; /* diagnostics that are printed already */
} Run;

/* The file named after the verb; NULL, with a message, when there is not exactly one. */
const char *run_file(Run *r, uint32_t verb_words);
/* The frontend's options from -D, --set, --seed, --model. */
FrontendOptions run_frontend_options(Run *r);
/* Loads the file and runs the passes up to `stop_after` (NULL: all). NULL: diagnostics wait in
 * r->cx. */
Unit *run_load(Run *r, const char *path, const FrontendOptions *options, const char *stop_after,
               PipelineReport *out_report);
/* The passes alone, on a Unit that the frontend made. */
bool run_passes(Run *r, Unit *u, const char *stop_after, PipelineReport *out_report);
/* The target of --march, or `otherwise`. False with a message. */
bool run_target(Run *r, const char *otherwise, Target *out_target);
/* Prints the diagnostics, once; the exit code they lead to. */
int run_finish(Run *r);

/* Reads a whole file into the arena; NULL with a diagnostic-like line on stderr. */
char *run_read_file(Run *r, const char *path, size_t *out_size);

/* Writes text beside the file and renames it there: a crash leaves the old file or the new one.
 * False: said on stderr. */
bool run_replace_file(Run *r, const char *path, const char *text);

#endif
