/* context.c: making contexts, and what they remember: threads, failure, the values behind keys. */
#include "runtime/core.h"
#include "runtime/parallel.h"

#include <math.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

const char *dlrt_error(int code)
{
    switch ((DlrtError)code) {
    case DLRT_OK: return "ok";
    case DLRT_E_ABI: return "library, header or context belong to different models or versions";
    case DLRT_E_CPU: return "this processor lacks instructions that the model was compiled for";
    case DLRT_E_ARG: return "an argument is null, misaligned, overlapping or not allowed";
    case DLRT_E_SIZE: return "a batch, count or size is out of range";
    case DLRT_E_NAME: return "no such name";
    case DLRT_E_LABEL: return "an index or label is out of range";
    case DLRT_E_NOMEM: return "not enough memory";
    case DLRT_E_IO: return "a file could not be read or written";
    case DLRT_E_FORMAT: return "a file is damaged or does not fit the model";
    case DLRT_E_NAN: return "the loss is not finite; nothing was updated";
    case DLRT_ERROR_COUNT: break;
    }
    return "unknown error";
}

bool dlrt_is_context(const DlrtContext *cx)
{
    return cx && (uintptr_t)cx % DLRT_ALIGN == 0 && cx->magic == DLRT_CONTEXT_MAGIC;
}

int dlrt_fail(const DlrtContext *cx, int code, const char *format, ...)
{
    DlrtContext *writable = (DlrtContext *)(uintptr_t)cx;
    va_list args;
    va_start(args, format);
    vsnprintf(writable->message, sizeof writable->message, format, args);
    va_end(args);
    return code;
}

const char *dlrt_message(const DlrtContext *cx)
{
    return dlrt_is_context(cx) ? cx->message : "";
}

/* ---- Making ---- */

void dlrt_advise_large(void *memory, size_t size)
{
    const uintptr_t page = (uintptr_t)2 << 20;
    uintptr_t from = ((uintptr_t)memory + page - 1) / page * page,
              to = ((uintptr_t)memory + size) / page * page;
    if (from < to)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
}

/* `mem`, or fresh memory. Large callocs come from the system already zero, and untouched. */
static int make(const DlrtModel *model, void *mem, size_t size, int64_t need, DlrtContext **out_cx)
{
    void *allocated = NULL;
    if (!mem) {
        allocated = calloc(1, (size_t)need + DLRT_ALIGN);
        if (!allocated)
            return DLRT_E_NOMEM;
        mem = (void *)(((uintptr_t)allocated + DLRT_ALIGN - 1) / DLRT_ALIGN * DLRT_ALIGN);
    } else {
        if ((uintptr_t)mem % DLRT_ALIGN)
            return DLRT_E_ARG;
        if (size < (size_t)need)
            return DLRT_E_SIZE;
        memset(mem, 0, (size_t)need);
    }
    DlrtContext *cx = mem;
    cx->magic = DLRT_CONTEXT_MAGIC;
    cx->model = model;
    cx->allocated = allocated;
    cx->pid = dlrt_process_mark();
    *out_cx = cx;
    return DLRT_OK;
}

static void write_start(DlrtContext *cx, const DlrtStart *s)
{
    enum { PIECE = 512 };
    const DlrtTensor *t = &cx->model->tensors[s->tensor];
    const char *from = s->data;
    int64_t n = dlrt_tensor_count(t), size = (int64_t)dlrt_dtype_size(s->dtype);
    if (s->dtype == t->dtype) {
        dlrt_tensor_scatter(cx, t, 0, n, from);
        return;
    }
    for (int64_t first = 0; first < n; first += PIECE) {
        uint64_t read[PIECE], piece[PIECE];
        int64_t part = n - first < PIECE ? n - first : PIECE;
        memcpy(read, from + first * size, (size_t)(part * size));
        dlrt_convert(piece, t->dtype, read, s->dtype, (size_t)part);
        dlrt_tensor_scatter(cx, t, first, part, piece);
    }
}

typedef struct {
    DlrtContext *cx;
    _Atomic uint32_t next;
} Starts;

static void start_thread(void *arg, int thread, int threads)
{
    Starts *s = arg;
    const DlrtModel *m = s->cx->model;
    (void)thread, (void)threads;
    for (uint32_t i; (i = atomic_fetch_add(&s->next, 1)) < m->start_count;)
        write_start(s->cx, &m->starts[i]);
}

static void write_starts(DlrtContext *cx)
{
    bool several = cx->model->context_bytes - cx->model->view_bytes >= DLRT_WORTH_THREADS &&
                   dlrt_threads_are_safe(cx->pid);
    Starts s = { .cx = cx };
    dlrt_parallel(several ? cx->threads : 1, start_thread, &s);
}

int dlrt_init(const DlrtModel *model, uint64_t abi, void *mem, size_t size, uint64_t seed,
              DlrtContext **out_cx)
{
    char why[256];
    DlrtContext *cx;
    if (!model || !out_cx)
        return DLRT_E_ARG;
    *out_cx = NULL;
    if (model->magic != DLRT_MAGIC || model->abi != abi || !dlrt_verify(model, why, sizeof why))
        return DLRT_E_ABI;
    if (model->cpu_features & ~dlrt_cpu_features())
        return DLRT_E_CPU;
    int rc = make(model, mem, size, model->context_bytes, &cx);
    if (rc)
        return rc;
    if (cx->allocated)
        dlrt_advise_large((char *)cx + model->view_bytes,
                          (size_t)(model->context_bytes - model->view_bytes));
    cx->shared = cx;
    cx->threads = cx->pid ? dlrt_default_threads() : 1;
    cx->clock.steps = (double)model->steps;
    cx->clock.own_steps = cx->clock.steps;
    cx->clock.epochs = (double)model->epochs;
    cx->clock.lr = NAN;
    cx->clock.lr_scale = 1;
    cx->clock.seed = seed;
    if (model->init_entry != DLRT_NONE) {
        const DlrtEntry *e = &model->entries[model->init_entry];
        rc = dlrt_run(cx, e, e->max_batch, NULL, NULL);
        if (rc) {
            dlrt_free(cx);
            return rc;
        }
    }
    write_starts(cx);
    *out_cx = cx;
    return DLRT_OK;
}

int dlrt_view(const DlrtContext *base, void *mem, size_t size, DlrtContext **out_cx)
{
    DlrtContext *cx;
    if (!dlrt_is_context(base) || !out_cx)
        return DLRT_E_ARG;
    *out_cx = NULL;
    const DlrtModel *m = base->model;
    int rc = make(m, mem, size, m->view_bytes, &cx);
    if (rc)
        return rc;
    cx->shared = base->shared;
    cx->threads = base->threads;
    cx->team = base->team;
    cx->team_user = base->team_user;
    cx->clock = base->clock;
    cx->calls = base->calls;
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const DlrtTensor *t = &m->tensors[i];
        if (t->flags & DLRT_TENSOR_PRIVATE)
            memcpy(dlrt_tensor_data(cx, t), dlrt_tensor_data(base, t), (size_t)t->bytes);
    }
    *out_cx = cx;
    return DLRT_OK;
}

void dlrt_free(DlrtContext *cx)
{
    if (!dlrt_is_context(cx))
        return;
    cx->magic = 0; /* a call after this one is refused while the memory is still there */
    free(cx->allocated);
}

int dlrt_set_threads(DlrtContext *cx, int n, DlrtTeam *team, void *user)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    if (n < 0 || n > 4096)
        return dlrt_fail(cx, DLRT_E_SIZE, "%d threads", n);
    cx->threads = n ? n : dlrt_default_threads();
    cx->team = team;
    cx->team_user = user;
    return DLRT_OK;
}

void dlrt_observe(DlrtContext *cx, DlrtObserver *observer, void *user)
{
    if (!dlrt_is_context(cx))
        return;
    cx->observer = observer;
    cx->observer_user = user;
}

/* ---- Keys ---- */

typedef enum { KEY_REAL, KEY_LR, KEY_WHOLE } KeyKind;
typedef struct {
    const char *name;
    size_t offset; /* in DlrtContext */
    KeyKind kind;
} Key;

static const Key keys[] = {
    { "epoch", offsetof(DlrtContext, clock.epoch), KEY_REAL },
    { "epochs", offsetof(DlrtContext, clock.epochs), KEY_REAL },
    { "evals", offsetof(DlrtContext, clock.evals), KEY_REAL },
    { "lr", offsetof(DlrtContext, clock.lr), KEY_LR },
    { "lr_scale", offsetof(DlrtContext, clock.lr_scale), KEY_REAL },
    { "step", offsetof(DlrtContext, clock.step), KEY_REAL },
    { "steps", offsetof(DlrtContext, clock.steps), KEY_REAL },
    { "calls", offsetof(DlrtContext, calls), KEY_WHOLE },
    { "cursor", offsetof(DlrtContext, data_cursor), KEY_WHOLE },
    { "seed", offsetof(DlrtContext, clock.seed), KEY_WHOLE },
};

static const Key *find_key(const char *name)
{
    for (size_t i = 0; name && i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

int dlrt_set(DlrtContext *cx, const char *name, double value)
{
    const double exact = 9007199254740992.0; /* 2^53: beyond, doubles skip whole numbers */
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    if (name && strcmp(name, "threads") == 0)
        return value >= 0 && value <= 4096
                   ? dlrt_set_threads(cx, (int)value, cx->team, cx->team_user)
                   : dlrt_fail(cx, DLRT_E_SIZE, "threads cannot be %g", value);
    const Key *k = find_key(name);
    if (!k)
        return dlrt_fail(cx, DLRT_E_NAME, "no key \"%s\"", name ? name : "NULL");
    bool given = k->kind == KEY_LR ? isnan(value) || isfinite(value)
               : k->kind == KEY_WHOLE || strncmp(name, "step", 4) == 0
                   ? value >= 0 && value <= exact && value == floor(value)
                   : isfinite(value) && value >= 0;
    if (!given)
        return dlrt_fail(cx, DLRT_E_SIZE, "%s cannot be %g", name, value);
    if (k->kind == KEY_WHOLE)
        *(uint64_t *)((char *)cx + k->offset) = (uint64_t)value;
    else
        *(double *)((char *)cx + k->offset) = value;
    if (strcmp(name, "epoch") == 0)
        cx->data_epoch = value < exact ? (uint64_t)value : 0;
    return DLRT_OK;
}

int dlrt_get(const DlrtContext *cx, const char *name, double *out_value)
{
    if (!dlrt_is_context(cx) || !out_value)
        return DLRT_E_ARG;
    if (name && strcmp(name, "threads") == 0) {
        *out_value = cx->threads;
        return DLRT_OK;
    }
    const Key *k = find_key(name);
    if (!k)
        return dlrt_fail(cx, DLRT_E_NAME, "no key \"%s\"", name ? name : "NULL");
    const char *at = (const char *)cx + k->offset;
    *out_value = k->kind == KEY_WHOLE ? (double)*(const uint64_t *)at : *(const double *)at;
    return DLRT_OK;
}
