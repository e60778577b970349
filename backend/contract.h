/* contract.h: how a contraction is cut into tiles, and the parts of its emitter. Private to
 * backend/contract*.c.
 *
 *   unit   a box of the free axes, `block[a]` wide along axis a; the grid counts boxes
 *   tile   a box inside it whose sums stay in registers: `tile[a]` along a few axes ("rows"), and
 * `nv` vectors along axis v panel  the values of operand `packed` for one tile's columns and one
 * block of the reduction, copied side by side
 *
 * Each sum is one chain over the reduced axes, those of the longest steps through both operands
 * outermost, whatever the blocks (dot form: one chain for each lane, then a tree). So blocks may
 * follow from caches and shapes without a trace in the bits. */
#ifndef DLCC_BACKEND_CONTRACT_H
#define DLCC_BACKEND_CONTRACT_H
#include "backend/access.h"
#include "backend/emitters.h"

enum { CONTRACT_MAX_TILE = 32 }; /* accumulators of one tile */
enum { OPERAND_A, OPERAND_B, OPERAND_NONE = -1 };

typedef struct {
    const KernelAccess *x;
    Dtype dtype;  /* in memory */
    int64_t lane; /* elements between neighbours along the vector axis; 0: the same value for all
                     lanes */
} ContractOperand;

typedef struct {
    /* The kernel with axes of extent 1 gone and neighbouring axes merged. */
    Kernel kernel;
    KernelStage stage;
    uint32_t free[KERNEL_MAX_AXES], n_free;
    uint32_t reduced[KERNEL_MAX_AXES], n_reduced;
    ContractOperand operand[2];
    Dtype acc;
    int lanes;

    /* Shape */
    bool dot;         /* v is the last reduced axis: lanes hold partial sums of one result */
    uint32_t v;       /* the vector axis */
    int nv;           /* vectors of a tile along v */
    bool mask_always; /* the last vector of each tile is masked: only that of the last tile is
                         partial */
    int64_t tile[KERNEL_MAX_AXES]; /* of a free axis; nv * lanes for v */
    int64_t block[KERNEL_MAX_AXES];
    int packed;       /* operand, or OPERAND_NONE */
    int64_t ahead[2]; /* elements from what a tile reads of each operand to what the next reads:
                         fetched early; 0: nothing */
    uint32_t order[KERNEL_MAX_AXES], n_order; /* free axes as nested in a unit */
    uint32_t n_outside; /* order[0 .. n_outside) stand outside the blocks of the reduction and the
                           panel */
    /* Blocks of the reduction: axes before reduced[split] one index at a time, that one
     * `split_block` at a time. */
    bool blocked;
    bool far;    /* the vector operand comes from beyond the second cache */
    bool stream; /* nothing is used twice: blocks of a few rows of the operand, each read along the
                    vector axis to its end */
    uint32_t split;
    int64_t split_block;
    int64_t panel_coef[KERNEL_MAX_AXES]; /* of reduced axes, in elements */
    int64_t panel_elements;
    int64_t
        sums_coef[KERNEL_MAX_AXES]; /* of free axes: where a unit keeps its sums between blocks */
    int64_t sums_elements;
    KernelGrid grid;
} Contract;

/* Fills the shape of a contraction from its kernel. False with e->error set when it is not one this
 * emitter can do. Memory from `a` lives as long as the Contract. A larger `attempt` takes a smaller
 * tile. */
bool contract_plan(Emit *e, Arena *a, const Kernel *k, int attempt, Contract *c);

/* The rest of it: all fields from `dot` on. */
void contract_shape(Contract *c, const Target *t, int attempt);
/* Whether the access or one of its guards varies along the axis. */
bool contract_depends(const KernelAccess *x, uint32_t axis);
/* Whether only a guard does. */
bool contract_guarded(const KernelAccess *x, uint32_t axis);
static inline Dim contract_extent(const Contract *c, uint32_t axis)
{
    return c->kernel.axes.at[axis].extent;
}
static inline double contract_n(const Contract *c, uint32_t axis)
{
    return (double)contract_extent(c, axis).n;
}
/* Product of the extents of a list of axes. */
double contract_product(const Contract *c, const uint32_t *list, uint32_t n);

/* Emission */
typedef struct {
    Emit *e;
    const Contract *c;
    LLVMValueRef at[KERNEL_MAX_AXES]; /* current index of every axis: origin of the tile */
    LLVMValueRef lo[KERNEL_MAX_AXES],
        hi[KERNEL_MAX_AXES];       /* range of the unit; of reduced axes: of the block */
    bool fixed[KERNEL_MAX_AXES];   /* reduced axes whose index the block fixes */
    int64_t size[KERNEL_MAX_AXES]; /* of the tile at hand along each free axis */
    int nv;                        /* vectors of the tile at hand */
    LLVMValueRef mask;             /* of its last vector, NULL: all lanes */
    LLVMValueRef panel, sums;      /* stack */
    bool partial;                  /* sums go to `sums`, not to the epilogue */
    bool entered;                  /* inside the blocks of the reduction */
    LLVMValueRef stage;            /* stack for one tile of sums, made on first use */
} ContractEmit;

/* The sums of the tile at c->at over the current ranges of the reduced axes, then the epilogue, or
 * back into `sums`. */
void contract_tile(ContractEmit *m);
/* The epilogue on sums in registers: acc[row * nv + vector], rows in lexicographic order of the
 * tile. */
void contract_post(ContractEmit *m, LLVMValueRef *acc);
/* The epilogue on sums in memory: those of vector j at index i[] of the tile's axes lie at `from` +
 * sum coef[a] * i[a] + j * lanes elements. One copy of the code, in loops. */
void contract_post_memory(ContractEmit *m, LLVMValueRef from, const int64_t coef[KERNEL_MAX_AXES]);
/* Fills the panel for the current tile columns and ranges of the reduced axes. */
void contract_pack(ContractEmit *m);
/* Where in `sums` the tile at hand begins. */
LLVMValueRef contract_sums_at(ContractEmit *m);
/* v of dtype `from` as the accumulator's type. */
LLVMValueRef contract_widen(ContractEmit *m, Dtype from, LLVMValueRef v);
/* Rows of the tile at hand, and the index offset of row r along each axis. */
int contract_rows(const ContractEmit *m);
void contract_row(const ContractEmit *m, int r, int64_t out_index[KERNEL_MAX_AXES]);

#endif
