/* pipeline.h: runs the passes in their one order. */
#ifndef DLCC_PASSES_PIPELINE_H
#define DLCC_PASSES_PIPELINE_H
#include "ir/unit.h"

#include <stdio.h>

typedef struct {
    const char *stop_after;  /* the last pass to run; NULL: all */
    const char *print_after; /* a pass, or "all"; NULL: none */
    FILE *print_to;          /* where print_after goes */
    bool verify;             /* check every graph after every pass */
    bool read_back; /* after every pass print the Unit, read the text, print that, and compare */
} PipelineOptions;

typedef struct {
    const char *name;
    double seconds; /* wall time of the pass alone */
    uint32_t nodes; /* live nodes of all graphs after it */
} PassReport;

typedef struct {
    VEC(PassReport) passes; /* those that ran, in order; in the unit's arena */
    double verify_seconds;  /* spent on checks, all passes together */
} PipelineReport;

/* Runs the passes over u. False: diagnostics are recorded in u->cx and u is unusable; internal
 * errors have code E0001. out_report may be NULL. */
bool pipeline_run(Unit *u, const PipelineOptions *options, PipelineReport *out_report);
/* The name of pass number i, or NULL past the end. */
const char *pipeline_pass_name(uint32_t i);

#endif
