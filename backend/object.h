/* object.h: a module as object code in memory, and the entry point of the code generator. */
#ifndef DLCC_BACKEND_OBJECT_H
#define DLCC_BACKEND_OBJECT_H
#include "backend/target.h"
#include "ir/kernel.h"

/* The units of a kernel: tiles * (batch_scale ? ceil(batch_scale * B / batch_tile) : 1), numbered
 * from 0. Fixed by the kernel and the target. `grain` units are worth one more thread. */
typedef struct {
    int64_t tiles, batch_scale, batch_tile;
    uint32_t grain;
} KernelGrid;

typedef struct {
    uint8_t *bytes; /* a relocatable ELF object; freed by kernel_object_free */
    size_t size;
    KernelGrid grid;
    bool spilled;    /* a vector register was spilled: slow, not wrong */
    char error[200]; /* after false: why */
} KernelObject;

/* What code generation sets up once for a target; for one thread at a time. */
typedef struct ObjectMachine ObjectMachine;
ObjectMachine *object_machine_new(const Target *t); /* NULL: out of memory */
void object_machine_free(ObjectMachine *m);

/* Machine code of `k` under `symbol`. Deterministic: equal kernels, targets and symbols give equal
 * bytes. May run on several threads at once. False when the kernel cannot be compiled, with the
 * reason in out_object->error. */
bool kernel_emit(const Kernel *k, const Target *t, const char *symbol, KernelObject *out_object);
/* The same on a machine made for t (NULL: one of its own): saves a third of a millisecond. */
bool kernel_emit_on(ObjectMachine *m, const Kernel *k, const Target *t, const char *symbol,
                    KernelObject *out_object);
/* The same as assembly (`assembly`) or LLVM IR text, for people. free() it. NULL on failure, with
 * the reason in `error`. */
char *kernel_emit_text(const Kernel *k, const Target *t, const char *symbol, bool assembly,
                       char error[200]);
void kernel_object_free(KernelObject *o);

#endif
