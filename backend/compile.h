/* compile.h: all kernels of a Program to objects. */
#ifndef DLCC_BACKEND_COMPILE_H
#define DLCC_BACKEND_COMPILE_H
#include "backend/object.h"
#include "ir/plan.h"

typedef struct {
    KernelObject *objects;      /* one for each kernel of the program, in order */
    const char *const *symbols; /* their names: a hash of text and target, so that equal kernels of
                                   two models are one */
    uint32_t n;
    uint32_t cached;            /* taken from the cache */
    double seconds;
} Compiled;

/* Compiles every kernel of `p` for `t`, on two threads. Names live in p's arena; objects are freed
 * by compiled_free. False: a diagnostic is recorded. */
bool program_compile(Program *p, const Target *t, Compiled *out_compiled);
void compiled_free(Compiled *c);

#endif
