/* report.h: what a training run did, as one page of HTML that needs no network. */
#ifndef DLCC_DRIVER_REPORT_H
#define DLCC_DRIVER_REPORT_H
#include "driver/train.h"

/* NULL: neither --report nor the recipe asks for one. Lives in the run's arena. */
Report *report_new(const Train *t);
/* All take NULL and do nothing. */
void report_step(Report *r, uint32_t update, int64_t step, double loss);
void report_round(Report *r, int64_t step, const Eval *eval);
/* Writes the page, so far or at the end of the run. At the end, false: a diagnostic is recorded. */
bool report_write(Report *r, const Train *t, bool last);

#endif
