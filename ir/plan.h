/* plan.h: an entry as a list of kernels on buffers, in order, with offsets in one arena. The last
 * form before machine code.
 *
 * Backend turns each unique Kernel into an object and each Plan into a constant table that the
 * runtime walks. */
#ifndef DLCC_IR_PLAN_H
#define DLCC_IR_PLAN_H
#include "ir/kernel.h"
#include "ir/unit.h"

typedef enum {
    BUFFER_ARENA,  /* offset planned by plan_memory */
    BUFFER_TENSOR, /* unit->tensors[index] */
    BUFFER_INPUT,
    BUFFER_OUTPUT,
    BUFFER_CLOCK,  /* a field of the runtime's clock: CLOCK_* of ir/op.h */
    BUFFER_STATUS, /* the u32 where kernels say that an index was out of range */
    BUFFER_CONST,  /* bytes of the model: `data` */
} BufferKind;

typedef struct {
    BufferKind kind;
    uint32_t index;
    Dtype dtype;
    int64_t bytes;
    int64_t offset; /* in the arena, 256-byte aligned; in the model's constants for CONST */
    const void *data;
    uint32_t first_use, last_use; /* items */
    const char *name;             /* of the value's source, for reports */
    LocId loc;
} PlanBuffer;

typedef enum { PLAN_KERNEL, PLAN_CALL, PLAN_GUARD } PlanItemKind;

typedef struct {
    PlanItemKind kind;
    uint32_t kernel;     /* into Program.kernels */
    const Kernel *formed; /* KERNEL: the same, with the places of this use's instructions */
    int64_t units; /* KERNEL: how many to run, where the kernel serves any length; 0: as many as its
                      grid has */
    double flops, bytes; /* KERNEL: as of Kernel, of this use of it */
    const char *call;    /* CALL: the runtime's symbol */
    Dim rows;            /* CALL: how often it runs: for each matrix or row of its operands */
    VEC(int64_t) args;   /* CALL: integer arguments: rank, dims, axis, ... as the call documents */
    VEC(uint32_t) buffers; /* operands in order; GUARD: the loss */
    LocId loc;
} PlanItem;

typedef struct {
    Entry *entry;
    VEC(PlanBuffer) buffers;
    VEC(PlanItem) items;
    int64_t arena_bytes; /* exact peak */
    bool tiny; /* small enough to be emitted inline as one function */
} Plan;

/* All of a Unit, ready for the backend. Equal kernels (as text without names) are one. */
typedef struct Program {
    Unit *unit;
    VEC(Kernel *) kernels;
    VEC(const char *) texts; /* of the kernels: equal texts are one kernel */
    VEC(Plan) plans;        /* one for each entry of the unit, in order */
    int64_t arena_bytes;    /* maximum over the plans */
    VEC(int64_t) tensor_offsets; /* of unit->tensors within the tensor region of the context */
    int64_t tensor_bytes;
    const uint8_t *consts;  /* the model's constants, together */
    int64_t const_bytes;
} Program;

const char *plan_text(Arena *a, const Plan *p);

#endif
