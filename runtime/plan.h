/* plan.h: the constant tables of a compiled model. Generated code fills them, dlrt walks them.
 *
 * A model is a set of entries; an entry is a list of items (kernels, calls, guards, loops); an
 * item names its buffers as operands: base + offset + trips × strides. Nothing here is written
 * after the model was built: all that changes lives in one caller-owned block of memory, the
 * context, which begins with DlrtContext and holds clock, arena and tensors:
 *
 *     | DlrtContext | private: arena, a batch, states | shared: parameters, states, moments |
 *     0             DLRT_CONTEXT_HEADER               view_bytes                context_bytes
 *
 * A view is a context of view_bytes whose `shared` points at another one. All structs are made
 * of fixed-size fields without hidden padding, so that an ahead-of-time compiler can lay them
 * out as data; their sizes are asserted below. */
#ifndef DLCC_RUNTIME_PLAN_H
#define DLCC_RUNTIME_PLAN_H
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define DLRT_MAGIC UINT64_C(0x314c45444f4d4c44) /* "DLMODEL1" */
#define DLRT_CONTEXT_MAGIC UINT64_C(0x3154584554434c44)
enum {
    DLRT_VERSION = 1,          /* of these tables */
    DLRT_MAX_RANK = 8,
    DLRT_MAX_DEPTH = 3,        /* nested loops of a plan */
    DLRT_MAX_OPERANDS = 256,   /* of one item */
    DLRT_MAX_VALUES = 512,     /* inputs, or outputs, of one entry; fields of a model */
    DLRT_MAX_SUMS = 256,       /* of all metrics */
    DLRT_ALIGN = 64,           /* of a context and of every tensor in it */
    DLRT_CONTEXT_HEADER = 1024, /* bytes of DlrtContext: the first offset a planner may use */
    DLRT_FINISH_BYTES = 4096   /* header and arena of a metric's `finish` */
};

typedef enum {
    DLRT_F64, DLRT_F32, DLRT_F16, DLRT_BF16,
    DLRT_I64, DLRT_I32, DLRT_I16, DLRT_I8,
    DLRT_U64, DLRT_U32, DLRT_U16, DLRT_U8, DLRT_BOOL,
    DLRT_DTYPE_COUNT
} DlrtDtype;

/* ---- Code ---- */

/* Executes the grid tiles [begin, end). Tiles are independent and of fixed shape, so that any
 * split gives the same bits. */
typedef void DlrtKernel(void *const *bufs, int64_t B, int64_t begin, int64_t end);

/* A function of dlrt (sort, solve, ...): like a kernel, with constants. See call.h. */
typedef void DlrtCall(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                      int64_t end);

/* A whole entry as one function. It does its own guarding and returns a DLRT_ code, or DLRT_WALK,
 * having done nothing: walk the items instead. dlrt_run has checked the arguments. */
#define DLRT_WALK (-1)
typedef int DlrtTiny(void *context, int64_t B, const void *const *inputs, void *const *outputs);

/* ---- Operands ---- */

typedef enum {
    DLRT_BASE_CONTEXT, /* this context: header, clock, arena, private states */
    DLRT_BASE_SHARED,  /* the context that owns the tensors: itself, or what a view looks at */
    DLRT_BASE_INPUT,   /* the caller's array inputs[index] */
    DLRT_BASE_OUTPUT,  /* the caller's array outputs[index] */
    DLRT_BASE_CONST,   /* the model's read-only data */
    DLRT_BASE_TRIP     /* int64_t: the trip of enclosing loop `index`, 0 the innermost */
} DlrtBase;

typedef enum {
    DLRT_PHASE_NONE,
    DLRT_PHASE_SAME, /* stride[0] counts trip & 1: a double-buffered carry as this trip reads it */
    DLRT_PHASE_NEXT  /* stride[0] counts (trip + 1) & 1: the same carry as this trip writes it */
} DlrtPhase;

/* address = base + offset + Σ trip[d] * stride[d]; d = 0 is the innermost enclosing loop. Bytes. */
typedef struct {
    uint8_t base;   /* DlrtBase */
    uint8_t phase;  /* DlrtPhase */
    uint8_t dtype;  /* DlrtDtype of the elements */
    uint8_t writes; /* the item writes it */
    uint32_t index;
    int64_t offset;
    int64_t stride[DLRT_MAX_DEPTH];
    int64_t count; /* elements at the largest B; 0 if they are not contiguous. For tracing only. */
} DlrtOperand;
static_assert(sizeof(DlrtOperand) == 48, "laid out by code generation");

/* ---- Items ---- */

typedef enum {
    DLRT_KERNEL, /* code: index into model.kernels */
    DLRT_CALL,   /* code: index into model.calls */
    DLRT_GUARD,  /* operands: f32 or f64 scalars (losses). Ends the run with DLRT_E_NAN if one is
                  * not finite, with DLRT_E_LABEL if the context's status says that an index was
                  * out of range. Stands before the first write of any state. */
    DLRT_LOOP,   /* tiles: trips; match: its END */
    DLRT_IF,     /* operand 0: bool; skips to its END (match) if false */
    DLRT_WHILE,  /* operand 0: bool, read before each trip; tiles: the most trips; match: its END */
    DLRT_END     /* match: its LOOP, IF or WHILE */
} DlrtItemKind;

enum {
    DLRT_ITEM_NOWAIT = 1, /* a run of such items and the one after it share no storage that any of
                           * them writes: no barrier between them */
    DLRT_ITEM_INVERT = 2  /* IF: skips if true */
};

typedef struct {
    uint8_t kind;  /* DlrtItemKind */
    uint8_t flags; /* DLRT_ITEM_* */
    uint16_t operand_count;
    uint32_t operand_first; /* into entry.operands */
    uint32_t code;
    uint32_t match;
    uint32_t note;  /* into model.notes: where in the source this comes from; 0: nowhere */
    uint32_t grain; /* tiles worth giving to one more thread: fewer than two such: one thread */
    int64_t tiles;  /* number = tiles * (batch_scale ? ceil(batch_scale * B / batch_tile) : 1) */
    int64_t batch_scale;
    int64_t batch_tile;
    const int64_t *args; /* CALL */
} DlrtItem;
static_assert(sizeof(DlrtItem) == 56, "laid out by code generation");

/* ---- Entries ---- */

/* An argument: a dense row-major array with at least element alignment. */
typedef struct {
    const char *name;
    uint8_t dtype;
    uint8_t rank;
    uint8_t reserved[6];
    int64_t dims[DLRT_MAX_RANK];
    int64_t batch[DLRT_MAX_RANK]; /* extent of dim d = batch[d] > 0 ? batch[d] * B : dims[d] */
    int64_t bound;                /* integers: 0 <= v < bound, checked before all else; -1: any */
} DlrtValue;
static_assert(sizeof(DlrtValue) == 152, "laid out by code generation");

enum {
    DLRT_ENTRY_PINNED = 1, /* B must be max_batch */
    DLRT_ENTRY_WRITES = 2  /* writes shared tensors: refused on a view */
};

typedef struct {
    const char *name; /* "init", "step", "eval", the name of an exported function */
    const DlrtItem *items;
    const DlrtOperand *operands;
    const DlrtValue *inputs;
    const DlrtValue *outputs;
    DlrtTiny *tiny;    /* NULL, or what replaces the walk */
    int64_t max_batch; /* B = 1..max_batch */
    int64_t cost;      /* estimated ns on one thread at max_batch: a cheap plan wakes no threads */
    uint32_t item_count;
    uint32_t operand_count;
    uint32_t input_count;
    uint32_t output_count;
    uint32_t flags; /* DLRT_ENTRY_* */
    uint32_t reserved;
} DlrtEntry;
static_assert(sizeof(DlrtEntry) == 88, "laid out by code generation");

/* ---- Tensors that outlive a call ---- */

/* A moment is the state of an optimizer: kept in state files only. */
typedef enum { DLRT_PARAM, DLRT_STATE, DLRT_MOMENT } DlrtTensorKind;

/* Each view has its own copy (a KV cache); lies below view_bytes. */
enum { DLRT_TENSOR_PRIVATE = 1 };

/* Where element (i0, i1, ...) lies, in elements: Σ block[d] ? i/block[d] * stride[d] +
 * i%block[d] * inner[d] : i * stride[d]. */
typedef struct {
    int64_t stride[DLRT_MAX_RANK];
    int64_t block[DLRT_MAX_RANK];
    int64_t inner[DLRT_MAX_RANK];
} DlrtLayout;
static_assert(sizeof(DlrtLayout) == 192, "laid out by code generation");

typedef struct {
    const char *name; /* "conv2d_1.weight"; unique, moments included: "conv2d_1.weight/m" */
    uint8_t kind;     /* DlrtTensorKind */
    uint8_t dtype;
    uint8_t rank;
    uint8_t flags; /* DLRT_TENSOR_* */
    uint32_t reserved;
    int64_t dims[DLRT_MAX_RANK];
    int64_t offset;           /* in the context, multiple of DLRT_ALIGN */
    int64_t bytes;            /* of its storage, padding included */
    const DlrtLayout *layout; /* NULL: dense, row-major */
} DlrtTensor;
static_assert(sizeof(DlrtTensor) == 104, "laid out by code generation");

/* What a tensor begins with, where it is not computed: elements as they lie in a file that was
 * imported. `init` copies them, converting where dtypes differ. */
typedef struct {
    const void *data; /* row-major, as many as the tensor has, at any address */
    uint32_t tensor;
    int32_t dtype; /* DlrtDtype, of data */
} DlrtStart;

/* ---- Recipe ---- */

/* One array of the caller's data, N examples long; a loss argument. `value.batch[0]` is 1,
 * `value.dims[0]` is not used. */
typedef struct {
    DlrtValue value;
    int64_t gather; /* offset in the context of `model.batch` rows for a shuffled batch; 0: none */
} DlrtField;
static_assert(sizeof(DlrtField) == 160, "laid out by code generation");

/* Updates take turns: the first `times` steps, then the second, ..., then from the start. Its
 * entry's output 0 is the loss (f32 or f64 scalar). */
typedef struct {
    const char *name;
    const uint32_t *fields; /* for each input of the entry: index into model.fields */
    uint32_t entry;
    uint32_t times;
} DlrtUpdate;
static_assert(sizeof(DlrtUpdate) == 24, "laid out by code generation");

/* Its entry gives sums over the items of a batch (f32 or f64 scalars, in an update's fields). They
 * add up over calls in sums[first ...], and sums[model.sum_count] counts the items. A sum in
 * `maxima` is the largest value of all batches instead, and is a mean as it is. The value is
 * sum 0 / items, or what `finish` makes of the means: an entry of scalars, whose inputs are all
 * sum i / items, then, if it has one more, the items; it reads no tensors, and its share of the
 * arena ends below DLRT_FINISH_BYTES. Metrics of one entry have the same `first`. */
typedef struct {
    const char *name;
    const uint32_t *fields; /* for each input of the entry: index into model.fields */
    uint32_t entry;
    uint32_t finish; /* entry, or DLRT_NONE */
    uint32_t first;
    uint32_t maxima; /* bit i: sum i of the entry */
} DlrtMetric;
static_assert(sizeof(DlrtMetric) == 32, "laid out by code generation");

/* What a machine must have to run the kernels. */
enum {
    DLRT_CPU_V2 = 1 << 0, /* x86-64-v2 */
    DLRT_CPU_V3 = 1 << 1, /* x86-64-v3: AVX2, FMA, F16C, BMI, MOVBE, LZCNT */
    DLRT_CPU_V4 = 1 << 2, /* x86-64-v4: AVX-512 F BW CD DQ VL */
    DLRT_CPU_AVX_VNNI = 1 << 3,
    DLRT_CPU_AVX512_VNNI = 1 << 4,
    DLRT_CPU_AVX512_BF16 = 1 << 5,
    DLRT_CPU_AVX512_FP16 = 1 << 6,
    DLRT_CPU_AMX_TILE = 1 << 7, /* with the kernel's leave to use tiles, which dlrt_init asks for */
    DLRT_CPU_AMX_BF16 = 1 << 8,
    DLRT_CPU_AMX_INT8 = 1 << 9,
    DLRT_CPU_AVX512_VBMI = 1 << 10
};

#define DLRT_NONE UINT32_MAX /* no such entry */

typedef struct {
    uint64_t magic; /* DLRT_MAGIC */
    uint32_t version;
    uint32_t flags;        /* 0 */
    uint64_t abi;          /* of the generated header: names, dims and signatures */
    uint64_t model_hash;   /* of what a checkpoint must agree with: tensors and graph */
    uint64_t recipe_hash;  /* of what may change between runs */
    uint64_t cpu_features; /* DLRT_CPU_* */
    const char *name;
    const char *triple;
    const char *march;     /* recorded in checkpoints: equal march, equal bits */
    const void *constants; /* read-only data, aligned to DLRT_ALIGN */

    int64_t context_bytes;
    int64_t view_bytes;
    int64_t arena_offset;
    int64_t arena_bytes;

    DlrtKernel *const *kernels;
    DlrtCall *const *calls;
    const DlrtEntry *entries;
    const DlrtTensor *tensors;
    const char *const *notes; /* notes[0] is "" */
    const DlrtField *fields;
    const DlrtUpdate *updates;
    const DlrtMetric *metrics;
    const DlrtStart *starts;

    uint32_t kernel_count;
    uint32_t call_count;
    uint32_t entry_count;
    uint32_t tensor_count;
    uint32_t note_count;
    uint32_t field_count;
    uint32_t update_count;
    uint32_t metric_count;
    uint32_t sum_count;  /* of all metrics, without the number of items */
    uint32_t init_entry; /* fills parameters and states; no inputs, no outputs; DLRT_NONE: zeros */

    int64_t batch;  /* of the recipe: what dlrt_train uses */
    int64_t steps;  /* default length of a run, 0: unknown */
    int64_t epochs; /* likewise; 0 if the recipe counts steps */
    uint64_t seed;  /* of the recipe; the caller's seed wins */
    uint32_t shuffle;
    uint32_t start_count;
} DlrtModel;
static_assert(sizeof(DlrtModel) == 264, "laid out by code generation");

/* What a shared library shows of itself to the tools, as the symbol PREFIX_library. */
#define DLRT_LIBRARY_MAGIC UINT64_C(0x315952424c4c4c44)
typedef struct {
    uint64_t magic;   /* DLRT_LIBRARY_MAGIC */
    uint32_t version; /* DLRT_VERSION */
    uint32_t reserved;
    const DlrtModel *model;
    const void *weights; /* a safetensors file that `init` loads, or NULL */
    uint64_t weights_size;
} DlrtLibrary;
static_assert(sizeof(DlrtLibrary) == 40, "read by other programs than the one that wrote it");

/* ---- Context ---- */

/* Time as the model sees it. Kernels read it as operands with base CONTEXT at DLRT_CLOCK_OFFSET
 * + offsetof(DlrtClock, field). */
typedef struct {
    double step;      /* updates completed */
    double steps;     /* updates planned, or 0 */
    double own_step;  /* the same two of the update that is running: an optimizer's step */
    double own_steps;
    double epoch;     /* passes over the data completed */
    double epochs;
    double evals;
    double lr;        /* NaN: by the schedule */
    double lr_scale;
    uint64_t seed;    /* random key */
    uint64_t key_step; /* random counter: the step in an update, the number of the call elsewhere */
} DlrtClock;

typedef struct DlrtContext DlrtContext;

/* Runs work(arg, i) for all i in [0, n), in any order, on any threads, and returns when all have
 * ended. */
typedef void DlrtTeam(void *user, int n, void (*work)(void *arg, int i), void *arg);

/* Called after each kernel and call, with the threads at rest; bufs are the item's operands. Not
 * 0 ends the run with it. */
typedef int DlrtObserver(void *user, const DlrtContext *cx, const DlrtEntry *entry, uint32_t item,
                         int64_t B, void *const *bufs);

struct DlrtContext {
    uint64_t magic;         /* DLRT_CONTEXT_MAGIC */
    const DlrtModel *model;
    DlrtContext *shared;    /* itself, or the context a view looks at */
    void *allocated;        /* what dlrt_free frees, or NULL */
    DlrtClock clock;        /* at DLRT_CLOCK_OFFSET */
    uint32_t status;        /* at DLRT_STATUS_OFFSET: kernels store 1: an index was out of range */
    int32_t threads;        /* the most to use */
    int64_t pid;            /* where it was initialised: a forked child runs on one thread */
    DlrtTeam *team;
    void *team_user;
    DlrtObserver *observer;
    void *observer_user;
    uint64_t calls;         /* of entries other than updates */
    uint64_t data_epoch;    /* dlrt_train: epoch, and examples of it already used */
    uint64_t data_cursor;
    char message[512];
};
enum { DLRT_CLOCK_OFFSET = 32, DLRT_STATUS_OFFSET = 120 };
static_assert(offsetof(DlrtContext, clock) == DLRT_CLOCK_OFFSET, "kernels know it");
static_assert(offsetof(DlrtContext, status) == DLRT_STATUS_OFFSET, "kernels know it");
static_assert(sizeof(DlrtContext) <= DLRT_CONTEXT_HEADER, "planners know it");

#endif
