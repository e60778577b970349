/* checkpoint.c: saving, resuming, and loading weights.
 *
 * The runtime verifies and loads; this file decides which file, and says in words what does not
 * fit. A run that died while it was replacing its checkpoint has the previous one: resuming falls
 * back to it, with a note. */
#include "driver/checkpoint.h"

#include "frontend/elab.h"
#include "runtime/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *prev_path(Engine *e, const char *path)
{
    return arena_printf(e->run->arena, "%s.prev", path);
}

static CheckpointKind look_at(const char *path)
{
    char why[320];
    DlrtSafeFile *f;
    if (access(path, F_OK))
        return CHECKPOINT_NONE;
    if (dlrt_safe_open_path(path, why, sizeof why, &f))
        return CHECKPOINT_FOREIGN;
    const char *finished = dlrt_safe_meta(f, "dlrun.finished");
    CheckpointKind kind = !finished                 ? CHECKPOINT_FOREIGN
                          : !strcmp(finished, "no") ? CHECKPOINT_UNFINISHED
                                                    : CHECKPOINT_FINISHED;
    dlrt_safe_close(f);
    return kind;
}

/* ---- Saving ---- */

static const char *recipe_text(Engine *e)
{
    const Recipe *r = &e->unit->recipe;
    return arena_printf(e->run->arena,
                        "batch=%lld epochs=%lld steps=%lld seed=%llu shuffle=%d program=%s",
                        (long long)r->batch, (long long)r->epochs, (long long)r->steps,
                        (unsigned long long)e->cx->clock.seed, r->shuffle, e->steps);
}

static const char *classes_text(Engine *e)
{
    int n;
    const char *const *names = engine_classes(e, &n);
    char *text = NULL;
    for (int i = 0; names && i < n; i++)
        text = arena_printf(e->run->arena, "%s%s%s", text ? text : "", i ? "\n" : "", names[i]);
    return text;
}

/* A link to the finished checkpoint at `path`.prev, while a save of a run that has not come far
 * puts its own predecessor there: for who trained a model and then began anew by mistake. NULL:
 * nothing is to be held. */
static const char *hold_finished(Engine *e, const char *path, const CheckpointState *state)
{
    const char *prev = prev_path(e, path), *held = arena_printf(e->run->arena, "%s.held", path);
    if (state->finished || e->cx->data_epoch > 0 || look_at(path) == CHECKPOINT_FINISHED)
        return NULL;
    if (look_at(held) == CHECKPOINT_FINISHED) /* of a process that died in between */
        return held;
    unlink(held);
    return look_at(prev) == CHECKPOINT_FINISHED && !link(prev, held) ? held : NULL;
}

bool checkpoint_save(Engine *e, const char *path, const CheckpointState *state, const char **why)
{
    char best[40], bad[24];
    snprintf(best, sizeof best, "%a", state->best);
    snprintf(bad, sizeof bad, "%lld", (long long)state->bad);
    const char *classes = classes_text(e);
    DlrtPair pairs[] = {
        { "dlrun.bad", bad },
        { "dlrun.best", best },
        { "dlrun.finished", state->finished ? "yes" : "no" },
        { "dlrun.program", e->program },
        { "dlrun.recipe", recipe_text(e) },
        { "dlrun.classes", classes },
    };
    const char *held = hold_finished(e, path, state);
    int rc = dlrt_save_with(e->cx, DLRT_FILE_STATE, path, pairs,
                            sizeof pairs / sizeof *pairs - (classes ? 0 : 1));
    if (held && rename(held, prev_path(e, path)) && !rc) {
        *why = arena_printf(e->run->arena, "cannot rename %s", held);
        return false;
    }
    if (rc)
        *why = arena_printf(e->run->arena, "%s", dlrt_message(e->cx));
    return !rc;
}

/* ---- Looking ---- */

CheckpointKind checkpoint_look(Engine *e, const char *path)
{
    CheckpointKind kind = look_at(path);
    if (kind != CHECKPOINT_NONE && kind != CHECKPOINT_FOREIGN)
        return kind;
    CheckpointKind before = look_at(prev_path(e, path));
    return before == CHECKPOINT_UNFINISHED ? before : kind;
}

/* ---- Differences in words ---- */

static const char *shape_words(Engine *e, int rank, const int64_t *dims)
{
    char *text = arena_printf(e->run->arena, "[");
    for (int d = 0; d < rank; d++)
        text = arena_printf(e->run->arena, "%s%s%lld", text, d ? ", " : "", (long long)dims[d]);
    return arena_printf(e->run->arena, "%s]", text);
}

static bool same_shape(const DlrtSafeTensor *s, const DlrtTensor *t)
{
    return s->rank == t->rank && !memcmp(s->dims, t->dims, sizeof *t->dims * t->rank);
}

static bool has_tensor(const Engine *e, const char *name)
{
    for (uint32_t i = 0; i < e->model->tensor_count; i++)
        if (!strcmp(e->model->tensors[i].name, name))
            return true;
    return false;
}

/* Up to four differences between a file's tensors and the model's, as notes. Moments only if `all`.
 * Their number. */
static uint32_t report_differences(Engine *e, const DlrtSafeFile *f, uint32_t diag, bool all,
                                   bool extra)
{
    const DlrtModel *m = e->model;
    Compiler *cx = e->run->cx;
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->tensor_count && n < 4; i++) {
        const DlrtTensor *t = &m->tensors[i];
        const DlrtSafeTensor *s = dlrt_safe_find(f, t->name);
        LocId loc = engine_tensor_loc(e, i);
        if (t->kind == DLRT_MOMENT && !all)
            continue;
        if (!s)
            diag_add(cx, diag, DIAG_NOTE, loc, "`%s` %s is not in the file", t->name,
                     shape_words(e, t->rank, t->dims));
        else if (!same_shape(s, t))
            diag_add(cx, diag, DIAG_NOTE, loc, "`%s` is %s in the file, %s in the model", t->name,
                     shape_words(e, s->rank, s->dims), shape_words(e, t->rank, t->dims));
        else if (s->dtype != t->dtype)
            diag_add(cx, diag, DIAG_NOTE, loc, "`%s` is %s in the file, %s in the model", t->name,
                     dlrt_dtype_name(s->dtype), dlrt_dtype_name(t->dtype));
        else
            continue;
        n++;
    }
    const DlrtSafeTensor *s;
    for (size_t i = 0; extra && n < 4 && (s = dlrt_safe_tensor(f, i)); i++) {
        if (has_tensor(e, s->name))
            continue;
        diag_add(cx, diag, DIAG_NOTE, 0, "`%.80s` %s is only in the file", s->name,
                 shape_words(e, s->rank, s->dims));
        n++;
    }
    return n;
}

/* Whether parameters, states and program are those the run began with. */
static bool check_model(Engine *e, const DlrtSafeFile *f, const char *path)
{
    const char *program = dlrt_safe_meta(f, "dlrun.program"),
               *kind = dlrt_safe_meta(f, "dlcc.kind");
    Compiler *cx = e->run->cx;
    bool same = true;
    for (uint32_t i = 0; i < e->model->tensor_count; i++) {
        const DlrtTensor *t = &e->model->tensors[i];
        const DlrtSafeTensor *s = dlrt_safe_find(f, t->name);
        same &= s && same_shape(s, t) && s->dtype == t->dtype;
    }
    const DlrtSafeTensor *s;
    for (size_t i = 0; (s = dlrt_safe_tensor(f, i)); i++)
        same &= has_tensor(e, s->name);
    uint32_t d;
    if (!kind || strcmp(kind, "state")) {
        d = diag_report(cx, DIAG_E0904, 0, "%s has weights, but not the state of a run", path);
        diag_add(cx, d, DIAG_HELP, 0, "begin with these weights: `-w %s --fresh`", path);
        return false;
    }
    if (same && program && !strcmp(program, e->program))
        return true;
    d = diag_report(cx, DIAG_E0904, 0, "%s is of another model than %s", path, e->model->name);
    if (same)
        diag_add(cx, d, DIAG_NOTE, 0,
                 "the tensors are the same, but the model computes something else with them");
    else
        report_differences(e, f, d, true, true);
    diag_add(cx, d, DIAG_HELP, 0,
             "begin anew with --fresh, or with its weights where they fit: `-w FILE --fresh`");
    return false;
}

/* "batch 64 -> 32" for each word that differs. */
static const char *recipe_changes(Engine *e, const char *before)
{
    Arena *a = e->run->arena;
    char *old = arena_strndup(a, before, strlen(before)),
         *new = arena_printf(a, "%s", recipe_text(e)), *text = NULL;
    char *save_old = NULL, *save_new = NULL;
    char *x = strtok_r(old, " ", &save_old), *y = strtok_r(new, " ", &save_new);
    for (; x && y; x = strtok_r(NULL, " ", &save_old), y = strtok_r(NULL, " ", &save_new)) {
        size_t n = strcspn(x, "=");
        if (!strcmp(x, y) || strncmp(x, y, n + 1))
            continue;
        if (!strncmp(x, "program", 7))
            text = arena_printf(a, "%s%sthe step", text ? text : "", text ? ", " : "");
        else
            text = arena_printf(a, "%s%s%.*s %s -> %s", text ? text : "", text ? ", " : "", (int)n,
                                x, x + n + 1, y + n + 1);
    }
    return text;
}

/* ---- Resuming ---- */

static void read_state(Engine *e, const DlrtSafeFile *f, const char *path, CheckpointState *out)
{
    const char *best = dlrt_safe_meta(f, "dlrun.best"), *bad = dlrt_safe_meta(f, "dlrun.bad");
    const char *recipe = dlrt_safe_meta(f, "dlrun.recipe"),
               *finished = dlrt_safe_meta(f, "dlrun.finished");
    *out = (CheckpointState){ .best = best ? strtod(best, NULL) : NAN,
                              .bad = bad ? strtoll(bad, NULL, 10) : 0,
                              .finished = finished && !strcmp(finished, "yes"),
                              .from = path };
    if (recipe)
        out->note = recipe_changes(e, recipe);
    const char *march = dlrt_safe_meta(f, "dlcc.march");
    if (march && strcmp(march, e->model->march))
        out->note =
            arena_printf(e->run->arena, "%s%scompiled for %s, not %s", out->note ? out->note : "",
                         out->note ? ", " : "", e->model->march, march);
}

/* 0: loaded; 1: this file cannot be read, another may; 2: reported. */
static int resume_from(Engine *e, const char *path, CheckpointState *out, const char **why)
{
    char words[320];
    DlrtSafeFile *f;
    uint64_t seed = e->cx->clock.seed;
    if (dlrt_safe_open_path(path, words, sizeof words, &f)) {
        *why = arena_printf(e->run->arena, "%s", words);
        return 1;
    }
    bool fits = check_model(e, f, path);
    if (fits)
        read_state(e, f, path, out);
    dlrt_safe_close(f);
    if (!fits)
        return 2;
    int rc = dlrt_load(e->cx, DLRT_FILE_STATE, path);
    if (rc)
        *why = arena_printf(e->run->arena, "%s", dlrt_message(e->cx));
    else
        e->cx->clock.seed = seed; /* the recipe's: it may have been changed on purpose */
    return rc ? 1 : 0;
}

bool checkpoint_resume(Engine *e, const char *path, CheckpointState *out)
{
    const char *why = "", *why_prev = "";
    int first = resume_from(e, path, out, &why);
    if (first != 1)
        return first == 0;
    const char *prev = prev_path(e, path);
    int second = access(prev, F_OK) ? 1 : resume_from(e, prev, out, &why_prev);
    if (second == 0 && !option_given(&e->run->options, OPT_QUIET))
        fprintf(stderr, "warning: %s; going on from the previous checkpoint\n", why);
    if (second == 1)
        diag_report(e->run->cx, DIAG_E0905, 0, "%s", why);
    return second == 0;
}

/* ---- Weights ---- */

static bool fail_weights(Engine *e, const char *path)
{
    char why[320];
    DlrtSafeFile *f;
    const char *message = arena_printf(e->run->arena, "%s", dlrt_message(e->cx));
    uint32_t d = diag_report(e->run->cx, DIAG_E0905, 0, "%s", message);
    if (!dlrt_safe_open_path(path, why, sizeof why, &f)) {
        report_differences(e, f, d, false, false);
        dlrt_safe_close(f);
    }
    return false;
}

bool checkpoint_load_weights(Engine *e, const char *path)
{
    const char *given = option_value(&e->run->options, OPT_WEIGHTS, path);
    const char *own = given ? given : engine_checkpoint_path(e);
    DlrtIo io;
    if (!given && library_weights(&e->library, &io))
        return true; /* it began with them */
    bool trains = e->unit && e->unit->recipe.present; /* and what it has become is in its file */
    if (!given && engine_has_start_values(e) && !(trains && !access(own, F_OK)))
        return true;
    if (!given && access(own, F_OK)) {
        uint32_t d =
            diag_report(e->run->cx, DIAG_E0905, 0, "there are no weights: %s does not exist", own);
        diag_add(e->run->cx, d, DIAG_HELP, 0,
                 "train first: `dlrun train %s`, or name a file with -w", engine_words(e));
        return false;
    }
    return !dlrt_load(e->cx, DLRT_FILE_WEIGHTS, own) || fail_weights(e, own);
}

/* Tensor t from what the file has as `name`. */
static bool load_one(Engine *e, const DlrtSafeFile *f, const DlrtTensor *t, const char *name,
                     const char *path)
{
    const DlrtSafeTensor *s = dlrt_safe_find(f, name);
    char why[320];
    if (!s && t->kind != DLRT_PARAM)
        return true;
    if (!s || !same_shape(s, t)) {
        uint32_t d = diag_report(e->run->cx, DIAG_E0905, 0,
                                 "%s does not have the weights that are to be loaded", path);
        if (name == t->name)
            report_differences(e, f, d, false, false);
        else
            diag_add(e->run->cx, d, DIAG_NOTE, 0, "`%s` %s would become `%s`, and is %s", name,
                     shape_words(e, t->rank, t->dims), t->name,
                     s ? shape_words(e, s->rank, s->dims) : "not there");
        return false;
    }
    size_t n = (size_t)(s->end - s->begin) / dlrt_dtype_size(s->dtype);
    char *raw = malloc((size_t)(s->end - s->begin) + 1),
         *own = malloc(n * dlrt_dtype_size(t->dtype) + 1);
    bool ok = raw && own;
    if (ok && dlrt_safe_read(f, s, raw, why, sizeof why)) {
        diag_report(e->run->cx, DIAG_E0905, 0, "%s: %s", path, why);
        ok = false;
    }
    if (ok && s->dtype != t->dtype)
        dlrt_convert(own, t->dtype, raw, s->dtype, n);
    if (ok && dlrt_write_raw(e->cx, t->name, s->dtype == t->dtype ? raw : own,
                             n * dlrt_dtype_size(t->dtype))) {
        engine_report_runtime(e, DIAG_E0905, DLRT_E_FORMAT);
        ok = false;
    }
    free(raw);
    free(own);
    return ok;
}

bool checkpoint_load_pretrained(Engine *e, const char *path, const char *fresh)
{
    char why[320];
    DlrtSafeFile *f;
    if (!fresh)
        return !dlrt_load(e->cx, DLRT_FILE_WEIGHTS, path) || fail_weights(e, path);
    if (dlrt_safe_open_path(path, why, sizeof why, &f)) {
        diag_report(e->run->cx, DIAG_E0905, 0, "%s", why);
        return false;
    }
    bool ok = true;
    for (uint32_t i = 0; ok && i < e->model->tensor_count; i++) {
        const DlrtTensor *t = &e->model->tensors[i];
        if (t->kind != DLRT_MOMENT && !glob_match(fresh, t->name))
            ok = load_one(e, f, t, t->name, path);
    }
    dlrt_safe_close(f);
    return ok;
}

bool checkpoint_load_part(Engine *e, const char *path, const char *part, const char *fresh,
                          LocId loc)
{
    char why[320];
    DlrtSafeFile *f;
    size_t n = strlen(part);
    if (dlrt_safe_open_path(path, why, sizeof why, &f)) {
        diag_report(e->run->cx, DIAG_E0905, loc, "%s", why);
        return false;
    }
    bool ok = true;
    for (uint32_t i = 0; ok && i < e->model->tensor_count; i++) {
        const DlrtTensor *t = &e->model->tensors[i];
        bool inside = !strncmp(t->name, part, n) && t->name[n] == '.';
        if (inside && t->kind != DLRT_MOMENT && !(fresh && glob_match(fresh, t->name)))
            ok = load_one(e, f, t, t->name + n + 1, path);
    }
    dlrt_safe_close(f);
    return ok;
}

const char *checkpoint_classes(Engine *e, const char *path)
{
    char why[320];
    DlrtSafeFile *f;
    const char *own = option_value(&e->run->options, OPT_WEIGHTS, path);
    DlrtIo io;
    bool inside = !own && library_weights(&e->library, &io);
    if (inside ? dlrt_safe_open(&io, why, sizeof why, &f)
               : dlrt_safe_open_path(own ? own : engine_checkpoint_path(e), why, sizeof why, &f))
        return NULL;
    const char *text = dlrt_safe_meta(f, "dlrun.classes");
    text = text ? arena_strndup(e->run->arena, text, strlen(text)) : NULL;
    dlrt_safe_close(f);
    return text;
}
