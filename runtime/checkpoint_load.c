/* checkpoint_load.c: a context from a safetensors file. The file is verified whole and its
 * tensors are staged in memory of their own; the context is touched last, when nothing can fail
 * any more. */
#include "runtime/checkpoint.h"
#include "runtime/parallel.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    DlrtContext *cx;
    const DlrtSafeFile *file;
    int what;
    char why[320];
    char *stage;
    const char **at; /* for each tensor of the model: where its bytes were staged, or NULL */
    bool *staged;    /* for each tensor of the file */
    _Atomic uint32_t next;
    uint64_t words[DLRT_RUN_WORDS];
} Load;

static bool is_float(int dtype)
{
    return dtype == DLRT_F64 || dtype == DLRT_F32 || dtype == DLRT_F16 || dtype == DLRT_BF16;
}

static void put_shape(char *out, size_t size, int rank, const int64_t *dims)
{
    size_t n = (size_t)snprintf(out, size, "[");
    for (int d = 0; d < rank && n < size; d++)
        n += (size_t)snprintf(out + n, size - n, d ? ", %lld" : "%lld", (long long)dims[d]);
    if (n < size)
        snprintf(out + n, size - n, "]");
}

/* Whether what the file has under a tensor's name may become that tensor. */
static int check_tensor(Load *l, const DlrtTensor *t, const DlrtSafeTensor *s)
{
    char want[100], have[100];
    if (s->rank != t->rank || memcmp(s->dims, t->dims, sizeof *t->dims * t->rank) != 0) {
        put_shape(want, sizeof want, t->rank, t->dims);
        put_shape(have, sizeof have, s->rank, s->dims);
        snprintf(l->why, sizeof l->why, "\"%.80s\" is %s in the file and %s in the model", t->name,
                 have, want);
        return DLRT_E_FORMAT;
    }
    if (s->dtype != t->dtype &&
        (l->what == DLRT_FILE_STATE || !is_float(s->dtype) || !is_float(t->dtype))) {
        snprintf(l->why, sizeof l->why, "\"%.80s\" is %s in the file and %s in the model", t->name,
                 dlrt_dtype_name(s->dtype), dlrt_dtype_name(t->dtype));
        return DLRT_E_FORMAT;
    }
    return DLRT_OK;
}

/* Bytes to stage. */
static int check_tensors(Load *l, size_t *out_bytes)
{
    const DlrtModel *m = l->cx->model;
    size_t bytes = 0;
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const DlrtTensor *t = &m->tensors[i];
        if (!dlrt_is_in_file(t, l->what))
            continue;
        const DlrtSafeTensor *s = dlrt_safe_find(l->file, t->name);
        if (!s && (l->what == DLRT_FILE_STATE || t->kind == DLRT_PARAM)) {
            snprintf(l->why, sizeof l->why, "no tensor \"%.80s\" in the file", t->name);
            return DLRT_E_FORMAT;
        }
        int rc = s ? check_tensor(l, t, s) : DLRT_OK;
        if (rc)
            return rc;
        /* Its shape is that of a tensor in memory: no overflow, but many may be. */
        if (s && __builtin_add_overflow(bytes, (size_t)(s->end - s->begin + 63) / 64 * 64, &bytes))
            return DLRT_E_NOMEM;
    }
    *out_bytes = bytes;
    return DLRT_OK;
}

static bool parse_word(const char *s, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < DLRT_WORD_CHARS - 1; i++) {
        const char *digits = "0123456789abcdef", *p = s[i] ? strchr(digits, s[i]) : NULL;
        if (!p)
            return false;
        v = v << 4 | (uint64_t)(p - digits);
    }
    *out = v;
    return true;
}

/* The clock decides which update runs: a checksum proves that it was written, not that it makes
 * sense. */
static bool clock_is_sane(const DlrtClock *c)
{
    const double exact = 9007199254740992.0;
    return c->step >= 0 && c->step <= exact && c->step == floor(c->step) && c->steps >= 0 &&
           c->steps <= exact && c->epoch >= 0 && isfinite(c->epoch) && c->epochs >= 0 &&
           isfinite(c->epochs) && isfinite(c->lr_scale) && !isinf(c->lr) && isfinite(c->evals);
}

static int parse_run(Load *l)
{
    const char *kind = dlrt_safe_meta(l->file, "dlcc.kind");
    const char *hash = dlrt_safe_meta(l->file, "dlcc.model_hash");
    const char *run = dlrt_safe_meta(l->file, "dlcc.run");
    uint64_t model_hash;
    DlrtClock clock;
    if (!kind || strcmp(kind, "state") != 0 || !hash || !run) {
        snprintf(l->why, sizeof l->why, "not the state of a training run, only weights");
        return DLRT_E_FORMAT;
    }
    if (strlen(hash) != DLRT_WORD_CHARS - 1 || !parse_word(hash, &model_hash) ||
        model_hash != l->cx->model->model_hash) {
        snprintf(l->why, sizeof l->why, "the state of another model than %.80s",
                 l->cx->model->name);
        return DLRT_E_FORMAT;
    }
    bool right = strlen(run) == DLRT_RUN_WORDS * DLRT_WORD_CHARS - 1;
    for (int i = 0; i < DLRT_RUN_WORDS && right; i++)
        right = parse_word(run + i * DLRT_WORD_CHARS, &l->words[i]) &&
                (i == DLRT_RUN_WORDS - 1 || run[(i + 1) * DLRT_WORD_CHARS - 1] == ' ');
    if (right)
        memcpy(&clock, l->words, sizeof clock);
    if (!right || !clock_is_sane(&clock) || l->words[DLRT_RUN_WORDS - 1] > INT64_MAX) {
        snprintf(l->why, sizeof l->why, "its clock makes no sense");
        return DLRT_E_FORMAT;
    }
    return DLRT_OK;
}

/* Reads every tensor of the file: those of the model to the stage, the others for their
 * checksum. */
static int stage_tensors(Load *l)
{
    const DlrtModel *m = l->cx->model;
    size_t used = 0;
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const DlrtTensor *t = &m->tensors[i];
        const DlrtSafeTensor *s = dlrt_safe_find(l->file, t->name);
        if (!s || !dlrt_is_in_file(t, l->what))
            continue;
        int rc = dlrt_safe_read(l->file, s, l->stage + used, l->why, sizeof l->why);
        if (rc)
            return rc;
        l->at[i] = l->stage + used;
        l->staged[s - dlrt_safe_tensor(l->file, 0)] = true;
        used += (size_t)(s->end - s->begin + 63) / 64 * 64;
    }
    const DlrtSafeTensor *s;
    for (size_t i = 0; dlrt_safe_has_sums(l->file) && (s = dlrt_safe_tensor(l->file, i)); i++) {
        if (l->staged[i])
            continue;
        int rc = dlrt_safe_read(l->file, s, NULL, l->why, sizeof l->why);
        if (rc)
            return rc;
    }
    return DLRT_OK;
}

static void commit_tensor(const Load *l, uint32_t i)
{
    enum { PIECE = 512 };
    const DlrtTensor *t = &l->cx->model->tensors[i];
    int dtype = dlrt_safe_find(l->file, t->name)->dtype;
    int64_t n = dlrt_tensor_count(t), size = (int64_t)dlrt_dtype_size(dtype);
    if (dtype == t->dtype) {
        dlrt_tensor_scatter(l->cx, t, 0, n, l->at[i]);
        return;
    }
    for (int64_t first = 0; first < n; first += PIECE) {
        uint64_t piece[PIECE];
        int64_t part = n - first < PIECE ? n - first : PIECE;
        dlrt_convert(piece, t->dtype, l->at[i] + first * size, dtype, (size_t)part);
        dlrt_tensor_scatter(l->cx, t, first, part, piece);
    }
}

static void commit_thread(void *arg, int thread, int threads)
{
    Load *l = arg;
    (void)thread, (void)threads;
    for (uint32_t i; (i = atomic_fetch_add(&l->next, 1)) < l->cx->model->tensor_count;)
        if (l->at[i])
            commit_tensor(l, i);
}

/* From here on nothing fails. */
static void commit(Load *l, size_t bytes)
{
    bool several = bytes >= DLRT_WORTH_THREADS && dlrt_threads_are_safe(l->cx->pid);
    dlrt_parallel(several ? l->cx->threads : 1, commit_thread, l);
    if (l->what != DLRT_FILE_STATE)
        return;
    memcpy(&l->cx->clock, l->words, sizeof l->cx->clock);
    l->cx->calls = l->words[DLRT_CLOCK_WORDS];
    l->cx->data_epoch = l->words[DLRT_CLOCK_WORDS + 1];
    l->cx->data_cursor = l->words[DLRT_CLOCK_WORDS + 2];
}

static int load_file(Load *l)
{
    size_t bytes;
    int rc = l->what == DLRT_FILE_STATE ? parse_run(l) : DLRT_OK;
    if (!rc)
        rc = check_tensors(l, &bytes);
    if (rc)
        return rc;
    l->stage = malloc(bytes + 1);
    l->at = calloc(l->cx->model->tensor_count + 1, sizeof *l->at);
    l->staged = calloc(dlrt_safe_count(l->file) + 1, sizeof *l->staged);
    if (l->stage && l->at && l->staged) {
        dlrt_advise_large(l->stage, bytes);
        rc = stage_tensors(l);
        if (!rc)
            commit(l, bytes);
    } else {
        snprintf(l->why, sizeof l->why, "not enough memory");
        rc = DLRT_E_NOMEM;
    }
    free(l->stage);
    free(l->at);
    free(l->staged);
    return rc;
}

/* `path` for the words only; may be NULL. */
static int load_from(DlrtContext *cx, int what, const DlrtIo *io, const char *path)
{
    DlrtSafeFile *file;
    Load l = { .cx = cx, .what = what };
    int rc = dlrt_safe_open(io, l.why, sizeof l.why, &file);
    if (!rc) {
        l.file = file;
        rc = load_file(&l);
        dlrt_safe_close(file);
    }
    return rc ? dlrt_fail(cx, rc, "%s%s%s", path ? path : "", path ? ": " : "", l.why) : DLRT_OK;
}

static int check_load(DlrtContext *cx, int what, const void *source)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    int rc = dlrt_check_file(cx, what, source);
    if (!rc && cx->shared != cx)
        rc = dlrt_fail(cx, DLRT_E_ARG, "a view cannot load: the weights belong to its base");
    return rc;
}

int dlrt_load(DlrtContext *cx, int what, const char *path)
{
    char why[320];
    DlrtIo io;
    int rc = check_load(cx, what, path);
    if (rc)
        return rc;
    rc = dlrt_open_read(path, &io, why, sizeof why);
    if (rc)
        return dlrt_fail(cx, rc, "%s", why);
    rc = load_from(cx, what, &io, path);
    dlrt_close_read(&io);
    return rc;
}

int dlrt_load_from(DlrtContext *cx, int what, const DlrtIo *io)
{
    int rc = check_load(cx, what, io);
    if (!rc && !io->read)
        rc = dlrt_fail(cx, DLRT_E_ARG, "no read function");
    return rc ? rc : load_from(cx, what, io, NULL);
}
