/* score_metrics.c: the program of the metrics: its text, and its run.
 *
 * A metric is a name of the table below, or any expression in `output` and `target`. Each is one
 * function of one pair of arrays, f64 inside. */
#include "driver/score.h"

#include "runtime/host/progress.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { MOST_METRICS = 32 };

/* The functions of the standard library that compare a result with a target. */
typedef struct {
    const char *name;
    unsigned kinds;
    const char *text;
    bool share; /* of something true */
} Known;

enum { LIKE_VALUES = SCORE_VALUES | SCORE_CHANCES };
static const Known known[] = {
    { "accuracy", SCORE_CLASSES | SCORE_NUMBERS | SCORE_CHANCES, "accuracy(output, target)", true },
    { "top_k", SCORE_CLASSES, "top_k(output, target)", true },
    { "cross_entropy", SCORE_CLASSES, "cross_entropy(output, target)", false },
    { "nll_loss", SCORE_CLASSES,
      "nll_loss(move_axis(output, rank(output) - 1, 1), target)", false },
    { "bce", SCORE_CHANCES, "bce(output, target)", false },
    { "bce_with_logits", SCORE_CHANCES, "bce_with_logits(output, target)", false },
    { "mse", LIKE_VALUES, "mse(output, target)", false },
    { "mae", LIKE_VALUES, "mae(output, target)", false },
    { "rmse", LIKE_VALUES, "rmse(output, target)", false },
    { "r2", LIKE_VALUES, "r2(output, target)", false },
    { "huber", LIKE_VALUES, "huber(output, target)", false },
    { "smooth_l1", LIKE_VALUES, "smooth_l1(output, target)", false },
    { "hinge", LIKE_VALUES, "hinge(output, target)", false },
    { "kl", LIKE_VALUES, "kl(target, output)", false },
};
enum { KNOWN = sizeof known / sizeof *known };

/* One function of the program. */
typedef struct {
    const ScorePair *pair;
    const char *name, *text;
    bool share;
} Asked;

typedef struct {
    Score *s;
    Arena *a;
    Asked at[MOST_METRICS];
    uint32_t n;
} Metrics;

/* ---- What is asked for ---- */

static const char *kind_text(ScoreKind k)
{
    return k == SCORE_CLASSES   ? "scores of classes and class numbers"
           : k == SCORE_NUMBERS ? "class numbers both"
           : k == SCORE_CHANCES ? "numbers, and 0 or 1"
                                : "numbers of the same shape";
}

static const char *metric_list(Arena *a, unsigned kinds)
{
    char *text = arena_printf(a, "%s", "");
    for (size_t i = 0; i < KNOWN; i++)
        if (known[i].kinds & kinds)
            text = arena_printf(a, "%s%s%s", text, *text ? ", " : "", known[i].name);
    return text;
}

static bool refuse(Metrics *g, const ScorePair *p, const char *name)
{
    Compiler *cx = g->s->q->e->run->cx;
    const char *names[KNOWN];
    bool exists = false;
    for (size_t i = 0; i < KNOWN; i++) {
        names[i] = known[i].name;
        exists |= !strcmp(names[i], name);
    }
    const char *near = exists ? NULL : diag_nearest(name, names, KNOWN);
    const char *why =
        exists ? arena_printf(g->a, "is not for the result `%s` and its target: they are %s",
                              p->name, kind_text(p->kind))
        : near ? arena_printf(g->a, "is not known; did you mean `%s`?", near)
               : "is not known";
    uint32_t d = diag_report(cx, DIAG_E0909, 0, "--metric: `%s` %s", name, why);
    diag_add(cx, d, DIAG_HELP, 0, "for %s: %s; or an expression in `output` and `target`",
             kind_text(p->kind), metric_list(g->a, p->kind));
    return false;
}

static bool is_name(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)text[i]) && text[i] != '_')
            return false;
    return n && !isdigit((unsigned char)*text);
}

static bool add(Metrics *g, const ScorePair *p, const char *name, const char *text, bool share)
{
    if (g->n == MOST_METRICS) {
        diag_report(g->s->q->e->run->cx, DIAG_E0909, 0, "--metric: at most %d at once",
                    MOST_METRICS);
        return false;
    }
    if (g->s->n > 1)
        name = arena_printf(g->a, "%s.%s", p->name, name);
    g->at[g->n++] = (Asked){ p, name, text, share };
    return true;
}

/* A name of the table, as it is said for this pair. */
static bool add_known(Metrics *g, const ScorePair *p, const char *name)
{
    for (size_t i = 0; i < KNOWN; i++) {
        const Known *k = &known[i];
        if (strcmp(k->name, name) || !(k->kinds & p->kind))
            continue;
        const char *text = k->text;
        if (p->kind == SCORE_CHANCES && i == 0)
            text = p->probabilities ? "binary_accuracy(output, target)"
                                    : "binary_accuracy(output, target, threshold=0)";
        else if (p->probabilities && !strcmp(name, "cross_entropy"))
            text = "cross_entropy(maximum(log(output), -100), target)";
        return add(g, p, name, text, k->share);
    }
    return refuse(g, p, name);
}

static bool add_asked(Metrics *g, const ScorePair *p, const char *text)
{
    size_t n = strcspn(text, "="), end = n;
    while (end && text[end - 1] == ' ')
        end--;
    if (is_name(text, strlen(text)))
        return add_known(g, p, text);
    if (text[n] && text[n + 1] != '=' && is_name(text, end))
        return add(g, p, arena_strndup(g->a, text, end), text + n + 1, false);
    return add(g, p, text, text, false);
}

static bool add_fitting(Metrics *g, const ScorePair *p)
{
    switch (p->kind) {
    case SCORE_CLASSES:
        return add_known(g, p, "accuracy") && add_known(g, p, "cross_entropy");
    case SCORE_NUMBERS:
        return add_known(g, p, "accuracy");
    case SCORE_CHANCES:
        return add_known(g, p, "accuracy") &&
               add_known(g, p, p->probabilities ? "bce" : "bce_with_logits");
    case SCORE_VALUES:
        return add_known(g, p, "mse") && add_known(g, p, "mae");
    }
    return false;
}

static bool gather(Metrics *g)
{
    const Options *o = &g->s->q->e->run->options;
    for (uint32_t i = 0; i < g->s->n; i++) {
        const ScorePair *p = &g->s->pairs[i];
        if (!o->given[OPT_METRIC].n && !add_fitting(g, p))
            return false;
        for (uint32_t k = 0; k < o->given[OPT_METRIC].n; k++)
            if (!add_asked(g, p, o->given[OPT_METRIC].at[k].text))
                return false;
    }
    return true;
}

/* ---- Its text ---- */

static const char *type_text(Arena *a, const char *dtype, const int64_t *dims, int rank)
{
    char *text = arena_printf(a, "%s[", dtype);
    for (int d = 0; d < rank; d++)
        text = arena_printf(a, "%s%s%lld", text, d ? ", " : "", (long long)dims[d]);
    return arena_printf(a, "%s]", text);
}

static const char *function_text(const Metrics *g, uint32_t i)
{
    const ScorePair *p = g->at[i].pair;
    const DlrtValue *v = &g->s->q->entry->outputs[p->output];
    const char *own = p->kind == SCORE_NUMBERS ? "i64" : "f64";
    const char *other = p->kind == SCORE_VALUES || p->kind == SCORE_CHANCES ? "f64" : "i64";
    int64_t dims[DLRT_MAX_RANK];
    memcpy(dims, v->dims, sizeof dims);
    dims[0] = g->s->q->count;
    return arena_printf(g->a,
                        "  export fn m%u(result: %s, given: %s) -> f64 {\n"
                        "    output = %s(%s)\n"
                        "    target = %s\n"
                        "    f64(%s)\n"
                        "  }\n",
                        i, type_text(g->a, dlrt_dtype_name(v->dtype), dims, v->rank),
                        type_text(g->a, other, p->file.dims, p->file.rank), own, p->reshaped,
                        p->retarget, g->at[i].text);
}

/* ---- Its run ---- */

static bool run(const Metrics *g, Engine *m, Eval *out)
{
    for (uint32_t i = 0; i < g->n; i++) {
        const ScorePair *p = g->at[i].pair;
        EvalMetric v = { .name = g->at[i].name,
                         .entry = DLRT_NONE,
                         .finish = DLRT_NONE,
                         .percent = g->at[i].share,
                         .value = NAN };
        uint32_t entry = engine_entry(m, arena_printf(g->a, "m%u", i));
        const DlrtEntry *x = &m->model->entries[entry];
        const void *in[DLRT_MAX_VALUES] = { NULL };
        for (uint32_t k = 0; k < x->input_count; k++)
            in[k] = strcmp(x->inputs[k].name, "given") ? g->s->q->out[p->output] : p->numbers;
        int rc = dlrt_call_entry(m->cx, entry, 1, in, (void *[]){ &v.value });
        if (rc) {
            const char *message = dlrt_message(m->cx);
            diag_report(m->run->cx, rc == DLRT_E_LABEL ? DIAG_E0908 : DIAG_E0604, 0,
                        "the metric `%s`: %s: %s", v.name, p->path,
                        *message ? message : dlrt_error(rc));
            return false;
        }
        vec_push(g->a, &out->metrics, v);
    }
    return true;
}

bool score_metrics(Score *s, Eval *out)
{
    Metrics g = { .s = s, .a = s->q->e->run->arena };
    Engine m = { 0 };
    if (!gather(&g))
        return false;
    char *text = arena_printf(g.a, "model Metrics {\n");
    for (uint32_t i = 0; i < g.n; i++)
        text = arena_printf(g.a, "%s%s", text, function_text(&g, i));
    text = arena_printf(g.a, "%s}\n", text);
    bool ok = !engine_open_text(s->q->e->run, "--metric", text, &m) && run(&g, &m, out);
    engine_close(&m);
    return ok;
}
