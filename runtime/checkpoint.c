/* checkpoint.c: contexts to and from safetensors files.
 *
 * A WEIGHTS file has parameters and model states; a STATE file has all tensors, and in its metadata
 * what else a run needs to go on with the same bits: the clock, the number of calls, the place in
 * the data. Loading stages the tensors in memory of its own and touches the context last, when
 * nothing can fail any more. */
#include "runtime/core.h"
#include "runtime/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The words of DlrtClock, then calls, data_epoch, data_cursor: 16 hexadecimal digits each. */
enum {
    CLOCK_WORDS = sizeof(DlrtClock) / 8, RUN_WORDS = CLOCK_WORDS + 3, WORD_CHARS = 17,
    OWN_PAIRS = 8
};
static_assert(sizeof(DlrtClock) == 8 * CLOCK_WORDS, "all words of 8 bytes");

static bool in_file(const DlrtTensor *t, int what)
{
    return what == DLRT_FILE_STATE ||
           (t->kind != DLRT_MOMENT && !(t->flags & DLRT_TENSOR_PRIVATE));
}

/* ---- Saving ---- */

typedef struct {
    const DlrtContext *cx;
    const DlrtTensor **tensors;
} Saved;

static void describe(void *user, size_t i, DlrtSafeTensor *out)
{
    const DlrtTensor *t = ((Saved *)user)->tensors[i];
    *out = (DlrtSafeTensor){ .name = t->name, .dtype = t->dtype, .rank = t->rank };
    memcpy(out->dims, t->dims, sizeof out->dims);
}

static const void *fetch(void *user, size_t i, int64_t first, int64_t n, void *room)
{
    const Saved *s = user;
    const DlrtTensor *t = s->tensors[i];
    if (!t->layout)
        return (char *)dlrt_tensor_data(s->cx, t) + (size_t)first * dlrt_dtype_size(t->dtype);
    dlrt_tensor_gather(s->cx, t, first, n, room);
    return room;
}

static void run_words(const DlrtContext *cx, uint64_t words[RUN_WORDS])
{
    memcpy(words, &cx->clock, sizeof cx->clock);
    words[CLOCK_WORDS] = cx->calls;
    words[CLOCK_WORDS + 1] = cx->data_epoch;
    words[CLOCK_WORDS + 2] = cx->data_cursor;
}

typedef struct {
    char run[RUN_WORDS * WORD_CHARS + 1];
    char step[32], seed[32], model[WORD_CHARS], recipe[WORD_CHARS];
} OwnText;

/* Metadata of ours; step and seed once more for people. */
static void own_pairs(const DlrtContext *cx, int what, OwnText *text, DlrtPair pairs[OWN_PAIRS])
{
    const DlrtModel *m = cx->model;
    uint64_t words[RUN_WORDS];
    run_words(cx, words);
    for (int i = 0; i < RUN_WORDS; i++)
        snprintf(text->run + i * WORD_CHARS, WORD_CHARS + 1, "%016llx ",
                 (unsigned long long)words[i]);
    text->run[RUN_WORDS * WORD_CHARS - 1] = 0;
    snprintf(text->step, sizeof text->step, "%llu", (unsigned long long)cx->clock.step);
    snprintf(text->seed, sizeof text->seed, "%llu", (unsigned long long)cx->clock.seed);
    snprintf(text->model, WORD_CHARS, "%016llx", (unsigned long long)m->model_hash);
    snprintf(text->recipe, WORD_CHARS, "%016llx", (unsigned long long)m->recipe_hash);
    const DlrtPair own[OWN_PAIRS] = {
        { "dlcc.kind", what == DLRT_FILE_STATE ? "state" : "weights" },
        { "dlcc.march", m->march },
        { "dlcc.model", m->name },
        { "dlcc.model_hash", text->model },
        { "dlcc.recipe_hash", text->recipe },
        { "dlcc.run", text->run },
        { "dlcc.seed", text->seed },
        { "dlcc.step", text->step },
    };
    memcpy(pairs, own, sizeof own);
}

typedef struct {
    const DlrtContext *cx;
    int what;
    const DlrtPair *pairs;
    size_t pair_count;
    char why[320];
} Save;

static int save_io(void *arg, const DlrtIo *io)
{
    Save *s = arg;
    const DlrtModel *m = s->cx->model;
    OwnText text;
    Saved saved = { .cx = s->cx, .tensors = calloc(m->tensor_count + 1, sizeof(DlrtTensor *)) };
    DlrtPair *pairs = calloc(OWN_PAIRS + s->pair_count, sizeof *pairs);
    int rc = DLRT_E_NOMEM;
    if (saved.tensors && pairs) {
        DlrtSafeSource source = { .user = &saved, .describe = describe, .fetch = fetch,
                                  .pairs = pairs, .pair_count = OWN_PAIRS + s->pair_count };
        own_pairs(s->cx, s->what, &text, pairs);
        if (s->pair_count)
            memcpy(pairs + OWN_PAIRS, s->pairs, s->pair_count * sizeof *pairs);
        for (uint32_t i = 0; i < m->tensor_count; i++)
            if (in_file(&m->tensors[i], s->what))
                saved.tensors[source.count++] = &m->tensors[i];
        rc = dlrt_safe_write(io, &source, s->why, sizeof s->why);
    } else {
        snprintf(s->why, sizeof s->why, "not enough memory");
    }
    free(saved.tensors);
    free(pairs);
    return rc;
}

static int check_what(const DlrtContext *cx, int what, const void *target)
{
    if (what != DLRT_FILE_WEIGHTS && what != DLRT_FILE_STATE)
        return dlrt_fail(cx, DLRT_E_ARG, "neither weights nor state: %d", what);
    if (!target)
        return dlrt_fail(cx, DLRT_E_ARG, "no file");
    return DLRT_OK;
}

static int check_pairs(const DlrtContext *cx, const DlrtPair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!pairs || !pairs[i].key || !pairs[i].value)
            return dlrt_fail(cx, DLRT_E_ARG, "metadata without key or value");
        if (strncmp(pairs[i].key, "dlcc.", 5) == 0)
            return dlrt_fail(cx, DLRT_E_ARG, "the key \"%s\" is reserved", pairs[i].key);
        for (size_t k = 0; k < i; k++)
            if (strcmp(pairs[i].key, pairs[k].key) == 0)
                return dlrt_fail(cx, DLRT_E_ARG, "the key \"%s\" is there twice", pairs[i].key);
    }
    return DLRT_OK;
}

int dlrt_save_with(const DlrtContext *cx, int what, const char *path, const DlrtPair *pairs,
                   size_t pair_count)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    int rc = check_what(cx, what, path);
    if (!rc)
        rc = check_pairs(cx, pairs, pair_count);
    if (rc)
        return rc;
    Save s = { .cx = cx, .what = what, .pairs = pairs, .pair_count = pair_count };
    char why[320] = "";
    rc = dlrt_replace_file(path, save_io, &s, why, sizeof why);
    return rc ? dlrt_fail(cx, rc, "%s", *why ? why : s.why) : DLRT_OK;
}

int dlrt_save(const DlrtContext *cx, int what, const char *path)
{
    return dlrt_save_with(cx, what, path, NULL, 0);
}

int dlrt_save_to(const DlrtContext *cx, int what, const DlrtIo *io)
{
    if (!dlrt_is_context(cx))
        return DLRT_E_ARG;
    int rc = check_what(cx, what, io);
    if (rc)
        return rc;
    if (!io->write)
        return dlrt_fail(cx, DLRT_E_ARG, "no write function");
    Save s = { .cx = cx, .what = what };
    rc = save_io(&s, io);
    return rc ? dlrt_fail(cx, rc, "%s", s.why) : DLRT_OK;
}

/* ---- Loading ---- */

typedef struct {
    DlrtContext *cx;
    const DlrtSafeFile *file;
    int what;
    char why[320];
    char *stage;
    const char **at; /* for each tensor of the model: where its bytes were staged, or NULL */
    uint64_t words[RUN_WORDS];
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
        if (!in_file(t, l->what))
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
    for (int i = 0; i < WORD_CHARS - 1; i++) {
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
    if (strlen(hash) != WORD_CHARS - 1 || !parse_word(hash, &model_hash) ||
        model_hash != l->cx->model->model_hash) {
        snprintf(l->why, sizeof l->why, "the state of another model than %.80s",
                 l->cx->model->name);
        return DLRT_E_FORMAT;
    }
    bool right = strlen(run) == RUN_WORDS * WORD_CHARS - 1;
    for (int i = 0; i < RUN_WORDS && right; i++)
        right = parse_word(run + i * WORD_CHARS, &l->words[i]) &&
                (i == RUN_WORDS - 1 || run[(i + 1) * WORD_CHARS - 1] == ' ');
    if (right)
        memcpy(&clock, l->words, sizeof clock);
    if (!right || !clock_is_sane(&clock) || l->words[RUN_WORDS - 1] > INT64_MAX) {
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
        const DlrtSafeTensor *s = in_file(t, l->what) ? dlrt_safe_find(l->file, t->name) : NULL;
        if (!s)
            continue;
        int rc = dlrt_safe_read(l->file, s, l->stage + used, l->why, sizeof l->why);
        if (rc)
            return rc;
        l->at[i] = l->stage + used;
        used += (size_t)(s->end - s->begin + 63) / 64 * 64;
    }
    const DlrtSafeTensor *s;
    for (size_t i = 0; dlrt_safe_has_sums(l->file) && (s = dlrt_safe_tensor(l->file, i)); i++) {
        int64_t known = dlrt_find_tensor(m, s->name);
        if (known >= 0 && l->at[known])
            continue;
        int rc = dlrt_safe_read(l->file, s, NULL, l->why, sizeof l->why);
        if (rc)
            return rc;
    }
    return DLRT_OK;
}

/* From here on nothing fails. */
static void commit(Load *l)
{
    enum { PIECE = 512 };
    const DlrtModel *m = l->cx->model;
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const DlrtTensor *t = &m->tensors[i];
        if (!l->at[i])
            continue;
        int dtype = dlrt_safe_find(l->file, t->name)->dtype;
        int64_t n = dlrt_tensor_count(t), size = (int64_t)dlrt_dtype_size(dtype);
        if (dtype == t->dtype) {
            dlrt_tensor_scatter(l->cx, t, 0, n, l->at[i]);
            continue;
        }
        for (int64_t first = 0; first < n; first += PIECE) {
            uint64_t piece[PIECE];
            int64_t part = n - first < PIECE ? n - first : PIECE;
            dlrt_convert(piece, t->dtype, l->at[i] + first * size, dtype, (size_t)part);
            dlrt_tensor_scatter(l->cx, t, first, part, piece);
        }
    }
    if (l->what != DLRT_FILE_STATE)
        return;
    memcpy(&l->cx->clock, l->words, sizeof l->cx->clock);
    l->cx->calls = l->words[CLOCK_WORDS];
    l->cx->data_epoch = l->words[CLOCK_WORDS + 1];
    l->cx->data_cursor = l->words[CLOCK_WORDS + 2];
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
    if (l->stage && l->at) {
        rc = stage_tensors(l);
        if (!rc)
            commit(l);
    } else {
        snprintf(l->why, sizeof l->why, "not enough memory");
        rc = DLRT_E_NOMEM;
    }
    free(l->stage);
    free(l->at);
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
    int rc = check_what(cx, what, source);
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
