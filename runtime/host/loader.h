/* loader.h: batches out of a view, prepared by a thread of their own while the caller computes.
 *
 * The order of rows depends on (seed, epoch) only, never on timing; every batch says where it
 * stands, and a loader can start at any such place, so that a resumed run sees what the
 * interrupted one would have seen. Values are converted to what the model's inputs want and
 * checked on the way. */
#ifndef DLCC_RUNTIME_HOST_LOADER_H
#define DLCC_RUNTIME_HOST_LOADER_H
#include "runtime/host/host.h"

/* A field of the table as an input of the model. Integers and bool convert to any integer dtype
 * that holds the value and to any float; floats convert to floats (a finite value that becomes
 * infinite is an error), never to integers. */
typedef struct HostBinding {
    const char *field;
    DlrtDtype dtype;
    int rank; /* of one item, without the batch; must agree with the field's */
    int64_t dims[HOST_MAX_RANK];
    int64_t limit; /* > 0: integer values must be in [0, limit) */
} HostBinding;

/* Computes outputs (buffers of `output_bytes[k]` per item) from converted inputs, in the loader's
 * thread. `rows` are the table's row numbers, to key randomness with. Must depend on its
 * arguments only. */
typedef bool (*HostMapFn)(void *user, int64_t epoch, int64_t count, const int64_t *rows,
                          void *const *inputs,
                          void *const *outputs, HostError *out_error);
typedef struct {
    HostMapFn fn; /* NULL: batches are the bindings */
    void *user;
    int output_count;
    const size_t *output_bytes;
} HostMap;

typedef struct {
    HostView view; /* the table must outlive the loader */
    const HostBinding *bindings;
    int binding_count;
    int64_t batch;
    bool shuffle;
    uint64_t seed;
    bool drop_last; /* training: drops the partial batch of an epoch; evaluation keeps it */
    HostMap map;
} HostLoaderOptions;

typedef struct {
    int64_t epoch, index; /* of the first item: index items of this epoch came before it */
    int64_t count;        /* 1 .. batch */
    const int64_t *rows;  /* [count] */
    void *const *inputs;  /* one buffer per binding, or per output of the map; aligned to 64 */
} HostBatch;
typedef enum { HOST_LOADER_BATCH, HOST_LOADER_END, HOST_LOADER_FAILED } HostLoaderStatus;

typedef struct HostLoader HostLoader;
/* Checks the bindings (names, shapes, dtypes; whole columns of integers against `limit`), and
 * that at least one batch comes out. The arrays in `options` are copied; strings are not. Starts
 * at epoch 0, index 0. */
bool host_loader_new(const HostLoaderOptions *options, HostLoader **out_loader,
                     HostError *out_error);
void host_loader_free(HostLoader *loader);
/* Goes to `index` items into `epoch`; cancels what was prepared. index: a multiple of the batch
 * size, at most the items. */
bool host_loader_seek(HostLoader *loader, int64_t epoch, int64_t index, HostError *out_error);
/* The next batch, valid until the next call on this loader. END once after the last of each
 * epoch; the call after that gives the first of the next epoch, which has been prepared
 * meanwhile. After FAILED: seek or free. */
HostLoaderStatus host_loader_next(HostLoader *loader, HostBatch *out_batch, HostError *out_error);
/* Batches an epoch has. */
int64_t host_loader_batches(const HostLoader *loader);

/* Converts `count` values at `from` to `to`, checked as above. `what` and `row` are for messages;
 * `per_row` values make a row. */
bool host_convert(const char *what, DlrtDtype from, const void *source, DlrtDtype to,
                  void *target, int64_t count,
                  int64_t limit, HostError *out_error);

#endif
