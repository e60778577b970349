/* emitters.h: the emitters of kernels and the way from their module to an object. Private to
 * backend/. */
#ifndef DLCC_BACKEND_EMITTERS_H
#define DLCC_BACKEND_EMITTERS_H
#include "backend/emit.h"
#include "backend/object.h"

/* Fill the function that `e` has open and end it with a return; set *out_grid. False with e->error
 * set when the kernel is not one they can do. `attempt` counts from 0: a larger one asks for fewer
 * registers after a spill; CONTRACT_ATTEMPTS is the first that is refused. */
enum { CONTRACT_ATTEMPTS = 4 };
bool contract_emit(Emit *e, const Kernel *k, int attempt, KernelGrid *out_grid);
bool nest_emit(Emit *e, const Kernel *k, KernelGrid *out_grid);

typedef enum {
    OBJECT_PLAIN, /* kernels: passes change nothing of their speed, and take as long as the rest */
    OBJECT_INLINE /* functions marked alwaysinline go into their callers, and what they share is
                   * done once */
} ObjectPasses;

/* e's module to object code. out_object->spilled says that the stack frame exceeds what was asked
 * for by allocas. */
bool object_emit(Emit *e, ObjectPasses passes, KernelObject *out_object);
char *object_emit_text(Emit *e, bool assembly);

#endif
