/* score.c: targets from files, and how each stands to its result: by shape and type, and, where
 * these leave it open, by whether all its elements are probabilities, or 0 and 1. */
#include "driver/score.h"

#include "driver/counted.h"
#include "driver/inputs.h"
#include "runtime/host/loader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SUM_TOLERANCE 1e-3 /* of a row of probabilities, as f16 gives it */

static bool fail(Score *s, DiagCode code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool fail(Score *s, DiagCode code, const char *format, ...)
{
    Run *r = s->q->e->run;
    va_list args;
    va_start(args, format);
    diag_report(r->cx, code, 0, "%s", arena_vprintf(r->arena, format, args));
    va_end(args);
    return false;
}

static Arena *arena(const Score *s)
{
    return s->q->e->run->arena;
}

/* ---- Which result ---- */

static const char *result_list(const Score *s, const char **names, uint32_t *out_n)
{
    const DlrtEntry *x = s->q->entry;
    char *text = arena_printf(arena(s), "%s", "");
    *out_n = 0;
    for (uint32_t i = 0; i < x->output_count; i++) {
        if (counted_is_count(x, i))
            continue;
        text = arena_printf(arena(s), "%s%s`%s`", text, *out_n ? ", " : "", x->outputs[i].name);
        names[(*out_n)++] = x->outputs[i].name;
    }
    return text;
}

static bool add_pair(Score *s, uint32_t output, const char *path)
{
    const char *name = s->q->entry->outputs[output].name;
    if (s->q->wanted[output])
        return fail(s, DIAG_E0909, "-t: two targets for the result `%s`", name);
    s->q->wanted[output] = true;
    s->pairs[s->n++] = (ScorePair){ .output = output, .name = name, .path = path };
    return true;
}

static bool choose_result(Score *s, const OptionValue *given)
{
    const char *names[DLRT_MAX_VALUES];
    uint32_t n;
    const char *list = result_list(s, names, &n), *who = s->q->entry->name;
    const char *path = given->name ? given->value : given->text;
    for (uint32_t i = 0; i < s->q->entry->output_count; i++) {
        const char *name = s->q->entry->outputs[i].name;
        if (given->name ? !strcmp(given->name, name) : n == 1 && name == names[0])
            return add_pair(s, i, path);
    }
    if (!given->name)
        return fail(s, DIAG_E0909, "-t: `%s` has several results: %s; say -t %s=%s", who, list,
                    n ? names[0] : "", path);
    const char *near = diag_nearest(given->name, names, n);
    return near ? fail(s, DIAG_E0909, "-t: `%s` has no result `%s`; did you mean `%s`?", who,
                       given->name, near)
                : fail(s, DIAG_E0909, "-t: `%s` has no result `%s`; there is %s", who, given->name,
                       list);
}

/* ---- Files ---- */

static bool is_input(const Score *s, const char *name)
{
    for (uint32_t i = 0; i < s->q->entry->input_count; i++)
        if (!strcmp(s->q->entry->inputs[i].name, name))
            return true;
    return false;
}

/* The array of the result's name, or the only one that is not an input's. */
static bool read_npz(Score *s, ScorePair *p)
{
    HostNpy *arrays;
    HostError error;
    int n, found = -1, others = 0;
    if (!host_npz_read(p->path, &arrays, &n, &error)) {
        engine_report_host(s->q->e, 0, &error);
        return false;
    }
    for (int i = 0; i < n; i++)
        if (!strcmp(arrays[i].name, p->name))
            found = i, others = 1, i = n;
        else if (!is_input(s, arrays[i].name))
            found = i, others++;
    if (others == 1) {
        p->file = arrays[found];
        arrays[found].data = malloc(1); /* the archive keeps an array that it can free */
        arrays[found].name = NULL;
    }
    host_npz_free(arrays, n);
    return others == 1 || fail(s, DIAG_E0909, "%s has no array `%s`", p->path, p->name);
}

static bool read_target(Score *s, ScorePair *p)
{
    static const char *const known[] = { ".npy", ".pb", "ubyte", "ubyte.gz", ".idx", ".idx.gz" };
    if (ends_with(p->path, ".npz"))
        return read_npz(s, p);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (ends_with(p->path, known[i]))
            return read_array_file(s->q->e, p->path, &p->file);
    return fail(s, DIAG_E0909, "what is %s? A target is .npy, .npz, .pb, or IDX (..-ubyte.gz)",
                p->path);
}

bool score_targets(Score *s)
{
    const Options *o = &s->q->e->run->options;
    s->q->rows = true;
    if (option_given(o, OPT_RANDOM))
        return fail(s, DIAG_E0909, "--random has no targets: give the inputs with -i");
    if (!o->given[OPT_TARGET].n)
        return fail(s, DIAG_E0909, "what should `%s` have given? -t FILE", s->q->entry->name);
    for (uint32_t k = 0; k < o->given[OPT_TARGET].n; k++)
        if (!choose_result(s, &o->given[OPT_TARGET].at[k]) ||
            !read_target(s, &s->pairs[s->n - 1]))
            return false;
    return true;
}

void score_close(Score *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        host_npy_free(&s->pairs[i].file);
        free(s->pairs[i].numbers);
    }
}

/* ---- Kinds ---- */

static double number_at(const void *data, int dtype, int64_t i)
{
    double x;
    dlrt_convert(&x, DLRT_F64, (const char *)data + (size_t)i * dlrt_dtype_size((uint8_t)dtype),
                 (uint8_t)dtype, 1);
    return x;
}

/* Dims of the result: rows, then those of an item. */
static DlrtValue result_shape(const Score *s, const ScorePair *p)
{
    DlrtValue v = s->q->entry->outputs[p->output];
    memset(v.batch, 0, sizeof v.batch);
    v.dims[0] = s->q->count;
    return v;
}

static bool same_dims(const int64_t *a, const int64_t *b, int n)
{
    return !memcmp(a, b, (size_t)n * sizeof *a);
}

/* Whether b has the dims of a but for one of them. */
static bool lacks_axis(const DlrtValue *a, const DlrtValue *b, int axis)
{
    return a->rank == b->rank + 1 && axis < a->rank && same_dims(a->dims, b->dims, axis) &&
           same_dims(a->dims + axis + 1, b->dims + axis, b->rank - axis);
}

/* A column is as good as a row of numbers: [N, 1] and [N] are the same, on either side. */
static void drop_column(const DlrtValue *other, DlrtValue *v, const char **text)
{
    if (v->rank < 2 || v->dims[v->rank - 1] != 1 || other->rank > v->rank)
        return;
    if (other->rank == v->rank && other->dims[v->rank - 1] == 1)
        return;
    v->rank--;
    *text = *text[0] == 'r' ? "squeeze(result, axis=-1)" : "squeeze(given, axis=-1)";
}

/* By shapes and types alone; 0: they do not fit. */
static ScoreKind kind_of(ScorePair *p, DlrtValue *y, DlrtValue *t)
{
    bool floats = host_dtype_is_float((DlrtDtype)y->dtype);
    bool labels = !host_dtype_is_float((DlrtDtype)t->dtype);
    p->reshaped = "result", p->retarget = "given";
    if (y->rank != t->rank || !same_dims(y->dims, t->dims, y->rank)) {
        drop_column(t, y, &p->reshaped);
        drop_column(y, t, &p->retarget);
    }
    if (y->rank == t->rank && same_dims(y->dims, t->dims, y->rank))
        return !floats && labels ? SCORE_NUMBERS : SCORE_VALUES;
    if (!floats || !labels)
        return 0;
    if (lacks_axis(y, t, y->rank - 1))
        return SCORE_CLASSES;
    if (!lacks_axis(y, t, 1))
        return 0;
    p->reshaped = "move_axis(result, 1, rank(result) - 1)";
    return SCORE_CLASSES;
}

/* Whether the classes of each place are probabilities; `outer` times `classes` times `inner`. */
static bool are_distributions(const void *y, int dtype, int64_t outer, int64_t classes,
                              int64_t inner)
{
    for (int64_t i = 0; i < outer * inner; i++) {
        int64_t at = i / inner * classes * inner + i % inner;
        double sum = 0;
        for (int64_t c = 0; c < classes; c++) {
            double p = number_at(y, dtype, at + c * inner);
            if (!(p >= 0))
                return false;
            sum += p;
        }
        if (!(fabs(sum - 1) < SUM_TOLERANCE))
            return false;
    }
    return true;
}

static bool all_within(const void *data, int dtype, int64_t n, bool whole)
{
    for (int64_t i = 0; i < n; i++) {
        double x = number_at(data, dtype, i);
        if (!(x >= 0 && x <= 1) || (whole && x != 0 && x != 1))
            return false;
    }
    return true;
}

static int64_t product(const int64_t *dims, int n)
{
    int64_t p = 1;
    for (int i = 0; i < n; i++)
        p *= dims[i];
    return p;
}

/* What only the elements tell. */
static void look_at_elements(const Score *s, ScorePair *p)
{
    DlrtValue y = result_shape(s, p);
    const void *out = s->q->out[p->output];
    int64_t n = product(y.dims, y.rank);
    if (p->kind == SCORE_VALUES && all_within(p->file.data, p->file.dtype, n, true))
        p->kind = SCORE_CHANCES;
    if (p->kind == SCORE_CHANCES)
        p->probabilities = all_within(out, y.dtype, n, false);
    if (p->kind != SCORE_CLASSES)
        return;
    int axis = *p->reshaped == 'm' ? 1 : y.rank - 1;
    p->probabilities = are_distributions(out, y.dtype, product(y.dims, axis), y.dims[axis],
                                         product(y.dims + axis + 1, y.rank - axis - 1));
}

/* The target's numbers in the type in which they are compared. */
static bool convert(Score *s, ScorePair *p)
{
    bool values = p->kind == SCORE_VALUES || p->kind == SCORE_CHANCES;
    DlrtDtype to = values ? DLRT_F64 : DLRT_I64;
    int64_t n = product(p->file.dims, p->file.rank);
    HostError error;
    p->numbers = aligned_alloc(64, ((size_t)n * 8 + 127) / 64 * 64);
    if (!p->numbers)
        return fail(s, DIAG_E0609, "no memory for %s", p->path);
    if (host_convert(p->path, p->file.dtype, p->file.data, to, p->numbers, n, 0, &error))
        return true;
    engine_report_host(s->q->e, 0, &error);
    return false;
}

bool score_kinds(Score *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        ScorePair *p = &s->pairs[i];
        DlrtValue y = result_shape(s, p), whole = y,
                  t = { .dtype = (uint8_t)p->file.dtype, .rank = (uint8_t)p->file.rank };
        memcpy(t.dims, p->file.dims, sizeof t.dims);
        const char *is = value_text(s->q->e, &t), *of = value_text(s->q->e, &whole);
        if (!t.rank || t.dims[0] != s->q->count)
            return fail(s, DIAG_E0604, "%s is %s, but there are %lld rows of inputs", p->path, is,
                        (long long)s->q->count);
        p->kind = kind_of(p, &y, &t);
        if (!p->kind && y.rank == t.rank + 1 && host_dtype_is_float((DlrtDtype)t.dtype))
            return fail(s, DIAG_E0604,
                        "%s is %s: numbers of classes must be integers, for `%s`, %s", p->path, is,
                        p->name, of);
        if (!p->kind)
            return fail(s, DIAG_E0604,
                        "%s is %s, but the result `%s` is %s: a target has its shape, or is the "
                        "number of the right class for each row",
                        p->path, is, p->name, of);
        look_at_elements(s, p);
        if (!convert(s, p))
            return false;
    }
    return true;
}
