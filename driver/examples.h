/* examples.h: arrays for inputs from files: what -i and --random give. */
#ifndef DLCC_DRIVER_EXAMPLES_H
#define DLCC_DRIVER_EXAMPLES_H
#include "driver/engine.h"
#include "runtime/host/files.h"

typedef struct {
    Engine *e;
    const char *who; /* whose inputs they are: "logits" */
    const DlrtValue *values[DLRT_MAX_VALUES];
    uint32_t n;
    int64_t pinned;                    /* a batch that is not of this size is refused; 0: any */
    HostNpy file[DLRT_MAX_VALUES];     /* as read; dtype and shape are the file's */
    const char *path[DLRT_MAX_VALUES]; /* NULL: none is given */
    int64_t group;                     /* rows that each call takes, a number of the model; or 0 */
    bool each[DLRT_MAX_VALUES];        /* set by examples_take: it has an item for each example */
    int64_t count;                     /* examples; -1 before it is known */
    void *at[DLRT_MAX_VALUES];         /* converted, row-major, aligned to 64 */
} Examples;

/* Each step: false with diagnostics recorded. First the files are read, ... */
bool examples_read(Examples *x);
/* ... then what they have must fit the values, which may have been changed in between. */
bool examples_take(Examples *x);
void examples_close(Examples *x);

/* The number of examples that the files read have, where `values` are of a batch of x->pinned and
 * a file differs from its value in that extent alone; else x->pinned. */
int64_t examples_wanted(const Examples *x);

/* Bytes of one example of an input that was taken; 0: all examples share it. */
size_t examples_row_bytes(const Examples *x, uint32_t i);

/* The file that -i gives for an input of n: under its name, or without one where that is clear;
 * NULL: none. */
const char *given_file(const Run *r, const char *name, uint32_t n);
/* Whether -i names inputs of `who` only, and each once. False: reported. */
bool given_names(Run *r, const char *who, const char *const *names, uint32_t n);

/* An array from a file of one: .npy, .pb or IDX. False: reported. */
bool read_array_file(Engine *e, const char *path, HostNpy *out);

/* The array `name` of an archive. False: reported. */
bool read_npz_array(Engine *e, const char *path, const char *name, HostNpy *out);

/* An array from a file that is one TensorProto. False: reported. */
bool read_tensor_file(Engine *e, const char *path, HostNpy *out);

bool ends_with(const char *s, const char *suffix);

/* Whether the value has an axis of examples. */
bool value_has_batch(const DlrtValue *v);

#endif
