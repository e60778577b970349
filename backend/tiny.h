/* tiny.h: entries so small that walking their plan would cost more than they do, as one function
 * each. */
#ifndef DLCC_BACKEND_TINY_H
#define DLCC_BACKEND_TINY_H
#include "backend/model.h"

/* A function of the type DlrtTiny for one entry. */
typedef struct {
    uint32_t entry;
    const char *symbol;
    KernelObject object;
} TinyEntry;

typedef struct {
    TinyEntry *at;
    uint32_t n;
} TinyEntries;

/* Makes the functions of all entries that are small: kernels and guards only, a few microseconds, B
 * at its maximum (for any other they ask for the walk). Same bits as the walk. Lives in p's arena,
 * objects are freed by tiny_free. An entry that cannot be made so is walked. */
TinyEntries tiny_compile(Program *p, const Compiled *c, const ModelTables *tables, const Target *t);
void tiny_free(TinyEntries *tiny);

#endif
