/* fuse.h: what the files of kernel formation share. Private to passes/.
 *
 *   fuse_roots.c   which values are stored, and what each kernel computes on the way
 *   fuse_build.c   one kernel: axes, the anchor's body, the epilogue
 *   fuse_expr.c    a value at an index, as scalar instructions
 *   fuse_shape.c   collapsing axes, choosing grid, block and vector axis
 *   fuse_merge.c   kernels over the same units become one
 *   fuse_flat.c    kernels that differ in a length alone become one
 *   layout.c       in which order the axes of a stored value lie
 *   fuse.c         a Unit's graphs to Plans */
#ifndef DLCC_PASSES_FUSE_H
#define DLCC_PASSES_FUSE_H
#include "ir/op.h"
#include "ir/plan.h"

#define BUFFER_NONE UINT32_MAX

typedef VEC(uint32_t) BufferList;

/* A kernel or call on its way into the plan. */
typedef struct {
    Kernel *kernel;     /* NULL: a call */
    const char *call;
    Dim rows;           /* calls */
    VEC(int64_t) args;
    BufferList buffers; /* plan buffers of the operands, in order */
    int32_t writes;     /* tensor that it updates, or -1 */
    LocId loc;
} Draft;

typedef struct {
    int64_t at[MAX_RANK]; /* elements */
} Strides;

typedef struct Fuse {
    Program *program;
    Plan *plan;
    const Graph *g;
    Arena *arena;
    const uint8_t *live;
    uint32_t *users;     /* live users by node; outputs count */
    uint8_t *root;       /* the value is stored */
    uint8_t *forced;     /* stored because something asked for it while building */
    uint8_t *called;     /* stored in dense rows: runtime calls and some reshapes want it */
    NodeId *anchor;      /* of a root: the reduction or contraction its kernel is built around, or
                            NODE_NONE */
    NodeId *below;       /* of a value in an epilogue: the operand that leads down to the anchor, or
                            NODE_NONE */
    uint32_t *buffer;    /* by node, of roots and leaves; BUFFER_NONE elsewhere */
    Strides *strides;    /* by node, of what has a buffer */
    uint32_t status_buffer;
    VEC(Draft) drafts;
    bool restart;        /* `forced` changed: choose roots again */
} Fuse;

/* Chooses f->root and f->anchor. */
void fuse_choose_roots(Fuse *f);
/* Whether a dot is worth the micro-kernel: it has rows, columns and a sum. Others are plain
 * reductions of products. */
bool fuse_is_gemm(const Graph *g, NodeId dot);

/* Builds what stores `root` into buffer `to` with these strides, as one draft or several. False:
 * f->restart is set. */
bool fuse_build(Fuse *f, NodeId root, uint32_t to, const Strides *strides);
/* The draft that copies a stored value or a leaf into buffer `to`. */
void fuse_build_copy(Fuse *f, NodeId node, uint32_t to, const Strides *strides);
/* The drafts of an op that is a function of the runtime. */
void fuse_build_call(Fuse *f, NodeId node, uint32_t to);
/* A new buffer of the plan in the arena. */
uint32_t fuse_scratch(Fuse *f, Dtype dtype, int64_t elements, LocId loc);

/* The order of axes for values of the arena, and the strides of one. */
typedef enum { LAYOUT_ROW_MAJOR, LAYOUT_BATCH_INNERMOST, LAYOUT_CHANNELS_INNERMOST } Layout;
Layout layout_choose(const Fuse *f);
void layout_row_major(const Shape *s, Strides *out);
void layout_stored(const Fuse *f, const Shape *s, Layout layout, Strides *out);

/* ---- one kernel being built ---- */

typedef struct {
    NodeId node;
    IndexMap map;
    InstId inst;
} Memo;

typedef struct {
    Fuse *f;
    Kernel *k;
    KernelStage *s;
    BufferList operands;
    VEC(Memo) memo;
    NodeId anchor;         /* computed in this kernel */
    InstId anchor_value;   /* the ACC instruction, once in post */
    NodeId root;           /* the value this kernel stores: computed even though it has a buffer */
    bool failed;
    int32_t split_axis;    /* failed: split this axis of the kernel and begin again; or -1 */
    int64_t split_inner;
} Build;

/* The value of `node` at `map` as an instruction of b->s. INST_NONE when b->failed. */
InstId expr_value(Build *b, NodeId node, const IndexMap *map);
/* Applies a movement op to a copy of `map`; false: b->failed is set as the op said. */
bool expr_move(Build *b, NodeId node, const IndexMap *map, IndexMap *out_map);
/* An access to plan buffer `buffer` at an index, as number in b->s->accesses. */
uint32_t expr_access(Build *b, uint32_t buffer, const Strides *strides, const IndexMap *map,
                     bool written);
InstId expr_push(Build *b, KernelInst inst);
/* Instructions from `first` on that have no place yet are part of `node`: those of its operands
 * have theirs. */
void expr_locate(Build *b, uint32_t first, NodeId node);
InstId expr_scalar(Build *b, ScalarOp op, Dtype dtype, InstId x, InstId y, InstId z);
/* The kernel's operand number for a plan buffer. */
uint32_t expr_operand(Build *b, uint32_t buffer, bool written);

/* Collapses neighbouring axes where every access allows it, then chooses grid, block and vector
 * axis. All axes of the stage but the reduced ones are listed in s->free_axes, in the order of the
 * result's storage. */
void fuse_shape_nest(Build *b);
/* The same for a contraction: axes of both operands and the result go to the grid. */
void fuse_shape_contract(Build *b);

/* For a scatter: `grid` lists the axes that index and result share; stages keep their own. */
void fuse_shape_scatter(Build *b, const uint32_t *grid, uint32_t n_grid);

/* Puts drafts in an order in which they may run: those before the guard first. Returns how many
 * those are, or UINT32_MAX for a circle, whose first write of a tensor is given up (no_tensor, by
 * node). */
uint32_t fuse_order(Fuse *f, uint8_t *no_tensor);
/* Merges drafts over the same units, from the first on. */
void fuse_merge(Fuse *f);

/* Buffers of tensors and of the arena are padded so that a loop over blocks of FLAT_BLOCK elements
 * of up to 4 bytes may end with a whole block. */
enum { FLAT_BLOCK = 64, FLAT_ALIGNMENT = 256 };
/* Makes d's kernel one for any length, if it is a flat loop over padded buffers: the units that
 * this length takes, else 0. */
int64_t fuse_make_flat(const Fuse *f, const Draft *d);

#endif
