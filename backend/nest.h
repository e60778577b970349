/* nest.h: what the emitter of loop nests knows about a kernel before and while it emits it. Private
 * to nest*.c. */
#ifndef DLCC_BACKEND_NEST_H
#define DLCC_BACKEND_NEST_H
#include "backend/emitters.h"
#include "backend/inst.h"

enum {
    NEST_REDUCE_LANES = 64, /* virtual lanes of a reduction over the vector axis, on every target */
    NEST_MAX_COPIES = 16,
    NEST_MAX_MEMOS = 1000,
    NEST_SCRATCH_BYTES = 256 << 10 /* on the stack of a thread */
};

/* Where an instruction is emitted: as far out as what it depends on allows. */
typedef enum {
    LEVEL_ENTRY, /* once a call */
    LEVEL_UNIT,  /* once a unit: depends on grid axes but the last */
    LEVEL_POINT, /* once for each value of the last grid axis, when its stage begins */
    LEVEL_LOOP,  /* LEVEL_LOOP + i: in the stage's i-th loop */
    LEVEL_POST = LEVEL_LOOP + KERNEL_MAX_AXES /* after the reduction */
} NestLevel;

/* A stage's loops are its free axes, then its reduced ones. A vector holds `lanes` neighbours along
 * lane_axis, and `copies` such vectors side by side make one step of that loop. */
typedef struct {
    const KernelStage *s;
    uint32_t loops[KERNEL_MAX_AXES], n_loops, n_free;
    bool reduces;
    int vector;    /* position in loops of the vectorised axis; -1: none of them */
    int lane_axis; /* that axis, or the last grid axis when that is vectorised; -1: scalar */
    int lanes, copies;
    uint32_t *depends; /* by instruction: bit a: on axis a */
    uint8_t *level;    /* by instruction: NestLevel */
    uint32_t n_accs;   /* ARG* are two */
    LLVMValueRef
        *values[NEST_MAX_COPIES]; /* by copy and instruction; what all copies share is in each */
    bool light;        /* few instructions and no loop within the vector loop */
    double cost;       /* rough ns of one point of the grid */
} NestStage;

/* An instruction emitted outside of its stage's loops, which later stages may share. */
typedef struct {
    const NestStage *stage;
    InstId inst;
    int copy;
} NestMemo;

typedef struct {
    Emit *e;
    const Kernel *k;
    Arena *arena;
    NestStage *stages;
    bool grid_lanes; /* the last grid axis is the vector axis of all stages */
    int grid_copies, grid_width; /* then: vectors a step, lanes a vector */

    /* Where emission stands. */
    LLVMValueRef at[KERNEL_MAX_AXES];
    int active, width; /* copies and lanes open now; 1 and 1 outside of the vector loop */
    int lane_axis;     /* while width > 1 */
    LLVMValueRef lane_at[NEST_MAX_COPIES], mask[NEST_MAX_COPIES];
    LLVMValueRef *base[NEST_MAX_COPIES]; /* by buffer */
    LLVMValueRef *scratch;               /* by buffer: the allocation */
    LLVMValueRef **stage_values[NEST_MAX_COPIES];
    InstRandom random[NEST_MAX_COPIES];
    VEC(NestMemo) memos;
    bool reducing;
    LLVMValueRef *acc;                    /* running: [copy * n_accs + number] */
    LLVMValueRef *total[NEST_MAX_COPIES]; /* final, for post */
} Nest;

/* Chooses vector axes, lanes, copies and levels of all stages. False with e->error set when the
 * kernel is malformed. */
bool nest_plan(Nest *n);
static inline bool nest_varies(const NestStage *s, InstId i)
{
    return s->lane_axis >= 0 && (s->depends[i] >> s->lane_axis & 1);
}

/* Accumulators: n->acc set to their start, for `copies` copies of `lanes` lanes; the values at the
 * current point of copy `c` folded in (lanes off in `mask` keep what they had); all copies and
 * lanes of one accumulator combined into scalars: lane j with j + 32, then 16, 8, 4, 2, 1. */
void nest_reduce_init(Nest *n, const NestStage *s, int copies, int lanes);
void nest_reduce_fold(Nest *n, const NestStage *s, int copy, LLVMValueRef mask);
void nest_reduce_lanes(Nest *n, const NestStage *s, int copies, int lanes);
/* n->acc of each copy as the types of the accumulators, into n->total. */
void nest_reduce_finish(Nest *n, const NestStage *s, int copies);

#endif
