/* core.h: what the files of dlrt share and nobody else sees. */
#ifndef DLCC_RUNTIME_CORE_H
#define DLCC_RUNTIME_CORE_H
#include "runtime/dlrt.h"

#include <stdbool.h>

/* Keeps the words as the context's message and returns `code`. The context may be one that the
 * caller only reads: its message is not part of its value. */
int dlrt_fail(const DlrtContext *cx, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether cx was made by dlrt_init or dlrt_view. */
bool dlrt_is_context(const DlrtContext *cx);

/* ---- cgroup.c ---- */

/* Threads that the tightest CPU quota around this process leaves it, rounded up; 0: no quota. The
 * system's files are looked for under `root`, "" for the real ones. */
int dlrt_quota_threads(const char *root);

/* ---- check.c ---- */

/* Elements of an argument at batch B, and their bytes. The tables were verified: it does not
 * overflow. Inline: a step of the smallest models is a hundred nanoseconds. */
static inline int64_t dlrt_value_count(const DlrtValue *v, int64_t B)
{
    int64_t n = 1;
    for (int d = 0; d < v->rank; d++)
        n *= v->batch[d] > 0 ? v->batch[d] * B : v->dims[d];
    return n;
}

static inline int64_t dlrt_value_size(const DlrtValue *v)
{
    static const uint8_t sizes[DLRT_DTYPE_COUNT] = {
        [DLRT_F64] = 8, [DLRT_F32] = 4, [DLRT_F16] = 2, [DLRT_BF16] = 2, [DLRT_I64] = 8,
        [DLRT_I32] = 4, [DLRT_I16] = 2, [DLRT_I8] = 1,  [DLRT_U64] = 8,  [DLRT_U32] = 4,
        [DLRT_U16] = 2, [DLRT_U8] = 1,  [DLRT_BOOL] = 1,
    };
    return sizes[v->dtype];
}

static inline int64_t dlrt_value_bytes(const DlrtValue *v, int64_t B)
{
    return dlrt_value_count(v, B) * dlrt_value_size(v);
}
/* All that dlrt_run promises to check before anything is touched. */
int dlrt_check_arguments(const DlrtContext *cx, const DlrtEntry *e, int64_t B,
                         const void *const *inputs, void *const *outputs);

/* ---- walk.c ---- */

/* dlrt_run without its checks. */
int dlrt_walk(DlrtContext *cx, const DlrtEntry *entry, int64_t B, const void *const *inputs,
              void *const *outputs);

/* ---- context.c ---- */

/* Memory of many MiB that is filled at once: large pages cost less to get and to find. Advice only:
 * what the system makes of it changes no result. */
void dlrt_advise_large(void *memory, size_t size);
/* Bytes that are worth copying by several threads. */
enum { DLRT_WORTH_THREADS = 4 << 20 };

/* ---- tensor.c ---- */

/* Index of the tensor, or -1. */
int64_t dlrt_find_tensor(const DlrtModel *model, const char *name);
int64_t dlrt_tensor_count(const DlrtTensor *t);
/* Its storage in this context, or in the one that a view looks at. */
void *dlrt_tensor_data(const DlrtContext *cx, const DlrtTensor *t);
/* Elements [first, first + n) in row-major order, out of or into the tensor's storage; the array
 * has the tensor's dtype. */
void dlrt_tensor_gather(const DlrtContext *cx, const DlrtTensor *t, int64_t first, int64_t n,
                        void *out);
void dlrt_tensor_scatter(DlrtContext *cx, const DlrtTensor *t, int64_t first, int64_t n,
                         const void *in);
/* All of a tensor with a layout, from dense rows to its storage or back. False: this layout is not
 * one that can be moved so, and nothing has been done. */
bool dlrt_layout_move(const DlrtTensor *t, void *stored, void *dense, bool to_dense);

#endif
