/* checkpoint_save.c: a context into a safetensors file. The tensors are written from where they
 * lie; the metadata is in checkpoint.h. */
#include "runtime/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OWN_PAIRS = 8 };

bool dlrt_is_in_file(const DlrtTensor *t, int what)
{
    return what == DLRT_FILE_STATE ||
           (t->kind != DLRT_MOMENT && !(t->flags & DLRT_TENSOR_PRIVATE));
}

int dlrt_check_file(const DlrtContext *cx, int what, const void *target)
{
    if (what != DLRT_FILE_WEIGHTS && what != DLRT_FILE_STATE)
        return dlrt_fail(cx, DLRT_E_ARG, "neither weights nor state: %d", what);
    if (!target)
        return dlrt_fail(cx, DLRT_E_ARG, "no file");
    return DLRT_OK;
}

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

static void run_words(const DlrtContext *cx, uint64_t words[DLRT_RUN_WORDS])
{
    memcpy(words, &cx->clock, sizeof cx->clock);
    words[DLRT_CLOCK_WORDS] = cx->calls;
    words[DLRT_CLOCK_WORDS + 1] = cx->data_epoch;
    words[DLRT_CLOCK_WORDS + 2] = cx->data_cursor;
}

typedef struct {
    char run[DLRT_RUN_WORDS * DLRT_WORD_CHARS + 1];
    char step[32], seed[32], model[DLRT_WORD_CHARS], recipe[DLRT_WORD_CHARS];
} OwnText;

/* Metadata of ours; step and seed once more for people. */
static void own_pairs(const DlrtContext *cx, int what, OwnText *text, DlrtPair pairs[OWN_PAIRS])
{
    const DlrtModel *m = cx->model;
    uint64_t words[DLRT_RUN_WORDS];
    run_words(cx, words);
    for (int i = 0; i < DLRT_RUN_WORDS; i++)
        snprintf(text->run + i * DLRT_WORD_CHARS, DLRT_WORD_CHARS + 1, "%016llx ",
                 (unsigned long long)words[i]);
    text->run[DLRT_RUN_WORDS * DLRT_WORD_CHARS - 1] = 0;
    snprintf(text->step, sizeof text->step, "%llu", (unsigned long long)cx->clock.step);
    snprintf(text->seed, sizeof text->seed, "%llu", (unsigned long long)cx->clock.seed);
    snprintf(text->model, DLRT_WORD_CHARS, "%016llx", (unsigned long long)m->model_hash);
    snprintf(text->recipe, DLRT_WORD_CHARS, "%016llx", (unsigned long long)m->recipe_hash);
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
            if (dlrt_is_in_file(&m->tensors[i], s->what))
                saved.tensors[source.count++] = &m->tensors[i];
        rc = dlrt_safe_write(io, &source, s->why, sizeof s->why);
    } else {
        snprintf(s->why, sizeof s->why, "not enough memory");
    }
    free(saved.tensors);
    free(pairs);
    return rc;
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
    int rc = dlrt_check_file(cx, what, path);
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
    int rc = dlrt_check_file(cx, what, io);
    if (rc)
        return rc;
    if (!io->write)
        return dlrt_fail(cx, DLRT_E_ARG, "no write function");
    Save s = { .cx = cx, .what = what };
    rc = save_io(&s, io);
    return rc ? dlrt_fail(cx, rc, "%s", s.why) : DLRT_OK;
}
