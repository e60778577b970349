/* dlrt.h: the runtime in every compiled model: runs plans, trains, evaluates, saves and loads.
 * Thin generated functions (lenet_step, ...) and the tools call it.
 *
 * It needs libc, libm and an OpenMP runtime. No globals, no output, no exit. A context is used
 * by one thread at a time; any number of contexts work side by side. A failing call returns a
 * code, changes nothing, and says why in dlrt_message. */
#ifndef DLCC_RUNTIME_DLRT_H
#define DLCC_RUNTIME_DLRT_H
#include "runtime/plan.h"

#include <stdbool.h>

/* The numbers are those of the generated headers (DLCC_OK, DLCC_E_ABI, ...). */
typedef enum {
    DLRT_OK,
    DLRT_E_ABI,    /* header, library or context belong to different models or versions */
    DLRT_E_CPU,    /* the processor lacks what the kernels need */
    DLRT_E_ARG,    /* null, misaligned or overlapping argument, unknown choice */
    DLRT_E_SIZE,   /* B, a count or a size out of range */
    DLRT_E_NAME,   /* no tensor, key or entry of that name */
    DLRT_E_LABEL,  /* an integer input, or an index computed inside the model, out of range */
    DLRT_E_NOMEM,
    DLRT_E_IO,     /* a file cannot be read or written */
    DLRT_E_FORMAT, /* a file is damaged, or does not fit the model */
    DLRT_E_NAN,    /* the loss is NaN or infinite: nothing was updated */
    DLRT_ERROR_COUNT
} DlrtError;

/* ---- Contexts ---- */

/* Whether the tables of a model are consistent: indices, nesting, sizes, offsets within the
 * context. Says in `message` (of `size` bytes) what is wrong. dlrt_init does it too. */
bool dlrt_verify(const DlrtModel *model, char *message, size_t size);

/* Makes a context in `mem` (DLRT_ALIGN-aligned, `size` >= model->context_bytes; NULL: allocated)
 * and runs the entry that fills parameters and states from `seed`. `abi` is compared with
 * model->abi. */
int dlrt_init(const DlrtModel *model, uint64_t abi, void *mem, size_t size, uint64_t seed,
              DlrtContext **out_cx);

/* A context that shares the tensors of `base` and has its own arena and private states (copied).
 * `base` must outlive it. Entries that write shared tensors are refused on it. */
int dlrt_view(const DlrtContext *base, void *mem, size_t size, DlrtContext **out_cx);
void dlrt_free(DlrtContext *cx);

/* Threads to use at most; 0: as many as affinity, OMP_NUM_THREADS and the cgroup's quota allow.
 * With a team, work is given to it instead of to OpenMP. The bits of all results are the same at
 * any n. */
int dlrt_set_threads(DlrtContext *cx, int n, DlrtTeam *team, void *user);

/* Called after each item of every later run, NULL: none. For profiles and NaN traps. */
void dlrt_observe(DlrtContext *cx, DlrtObserver *observer, void *user);

/* Words for a code; words for the last failure on this context ("" if none). */
const char *dlrt_error(int code);
const char *dlrt_message(const DlrtContext *cx);

/* ---- Running ---- */

/* Walks one entry of the context's model. Checks the arguments before anything is touched:
 * DLRT_E_ARG (null, misaligned, output overlapping another argument, a view that would write),
 * DLRT_E_SIZE (B), DLRT_E_LABEL (a bounded integer). Then DLRT_E_LABEL, DLRT_E_NAN from guards.
 * Does not touch the clock. No allocation. */
int dlrt_run(DlrtContext *cx, const DlrtEntry *entry, int64_t B, const void *const *inputs,
             void *const *outputs);

/* Entry number `entry` called from outside: counts as a call for random numbers. */
int dlrt_call_entry(DlrtContext *cx, uint32_t entry, int64_t B, const void *const *inputs,
                    void *const *outputs);

/* The update that is due, on one batch: fields[i] holds B examples of model->fields[i]. Advances
 * the clock if it succeeds. out_loss may be NULL. */
int dlrt_step(DlrtContext *cx, int64_t B, const void *const *fields, float *out_loss);

/* `steps` updates with the recipe's batch over N examples, shuffled anew each epoch if the
 * recipe says so; a last partial batch is dropped (one batch of N if N is smaller). Continues
 * where the last call or a loaded STATE ended. out_loss: the mean loss of these steps; may be
 * NULL. On failure the steps before the failing one stand. */
int dlrt_train(DlrtContext *cx, int64_t N, const void *const *fields, int64_t steps,
               float *out_loss);

/* The metrics' sums over B examples, added to sums[0..sum_count]: start with zeros, call any number
 * of times. A metric's value from them; NaN if there is no such metric. */
int dlrt_eval(DlrtContext *cx, int64_t B, const void *const *fields, double *sums);
double dlrt_metric(const DlrtModel *model, const double *sums, int which);

/* Keys: step steps epoch epochs evals lr (NaN: by the schedule) lr_scale seed threads; `get`
 * also calls. */
int dlrt_set(DlrtContext *cx, const char *key, double value);
int dlrt_get(const DlrtContext *cx, const char *key, double *out_value);

/* The update that step number `step` executes, and how many of the steps before it did the same.
 * Needs update_count > 0. */
uint32_t dlrt_due_update(const DlrtModel *model, uint64_t step, uint64_t *out_own_step);

/* Place in the caller's data of example i of the epoch: what dlrt_train and the data readers
 * use. A bijection of [0, N). */
uint64_t dlrt_shuffle(uint64_t i, uint64_t N, uint64_t seed, uint64_t epoch);

/* ---- Tensors by name ---- */

/* The name of tensor i (parameters, then states, then moments as in the table), NULL past the
 * end. */
const char *dlrt_name(const DlrtModel *model, size_t i);
int dlrt_shape(const DlrtModel *model, const char *name, size_t *out_rank, size_t *out_dims);
/* Copies in row-major order, converted from or to the tensor's dtype (round to nearest even,
 * integers clamped); `count` must be the tensor's. */
int dlrt_read(const DlrtContext *cx, const char *name, float *out, size_t count);
int dlrt_write(DlrtContext *cx, const char *name, const float *in, size_t count);
/* The same without conversion: `bytes` = count * size of the tensor's dtype. */
int dlrt_read_raw(const DlrtContext *cx, const char *name, void *out, size_t bytes);
int dlrt_write_raw(DlrtContext *cx, const char *name, const void *in, size_t bytes);

/* ---- Files: safetensors ---- */

/* Parameters and model states; or everything a run needs to go on bit-exactly. */
enum { DLRT_FILE_WEIGHTS, DLRT_FILE_STATE };

/* Pairs of strings kept with the tensors, for the caller's own use. Keys beginning with "dlcc."
 * are dlrt's. */
typedef struct {
    const char *key;
    const char *value;
} DlrtPair;

/* Where bytes go or come from when they are not in a file. Each returns 0, or not 0 to give up
 * (DLRT_E_IO). */
typedef struct {
    void *user;
    int (*write)(void *user, const void *data, size_t size);
    int (*read)(void *user, uint64_t offset, void *data, size_t size); /* exactly `size` bytes */
    uint64_t size;                                                    /* of what is read */
} DlrtIo;

/* Writes a temporary file beside `path`, syncs it, keeps the old file as `path`.prev, renames,
 * syncs the folder. On any failure (DLRT_E_IO) what was at `path` is still there, whole. */
int dlrt_save(const DlrtContext *cx, int what, const char *path);
int dlrt_save_with(const DlrtContext *cx, int what, const char *path, const DlrtPair *pairs,
                   size_t pair_count);
int dlrt_save_to(const DlrtContext *cx, int what, const DlrtIo *io);

/* Verifies the whole file (structure, checksums, names, shapes, dtypes), then loads it; a file
 * that fails changes nothing. WEIGHTS: every parameter must be there, states may be missing,
 * other tensors are ignored; files by others load, floating dtypes convert. STATE: all tensors
 * and the clock, of the same model. */
int dlrt_load(DlrtContext *cx, int what, const char *path);
int dlrt_load_from(DlrtContext *cx, int what, const DlrtIo *io);

/* ---- Numbers ---- */

size_t dlrt_dtype_size(int dtype);
const char *dlrt_dtype_name(int dtype);
/* n elements of one dtype into another: round to nearest even, floats to integers toward zero
 * and clamped, NaN to 0; to bool: not zero. The two may not overlap. */
void dlrt_convert(void *to, int to_dtype, const void *from, int from_dtype, size_t n);

/* DLRT_CPU_* of this machine. */
uint64_t dlrt_cpu_features(void);
/* Threads that affinity, OMP_NUM_THREADS and the cgroup's CPU quota allow, at least 1. */
int dlrt_default_threads(void);

#endif
