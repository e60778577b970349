/* require.c: --require 'accuracy>=0.88': conditions that a run must meet, for scripts and tests. */
#include "driver/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name, *op;
    double bound;
} Condition;

static bool parse(Run *r, const char *text, Condition *out)
{
    static const char *const ops[] = { ">=", "<=", "==", "!=", ">", "<" };
    size_t n = strcspn(text, "<>=!");
    const char *from = text, *end = text + n;
    while (*from == ' ')
        from++;
    while (end > from && end[-1] == ' ')
        end--;
    out->name = arena_strndup(r->arena, from, (size_t)(end - from));
    out->op = NULL;
    for (size_t i = 0; i < sizeof ops / sizeof *ops && !out->op; i++)
        if (!strncmp(text + n, ops[i], strlen(ops[i])))
            out->op = ops[i];
    char *rest = NULL;
    if (out->op && end > from)
        out->bound = strtod(text + n + strlen(out->op), &rest);
    if (rest && rest != text + n + strlen(out->op) && !*rest && !isnan(out->bound))
        return true;
    diag_report(r->cx, DIAG_E0909, 0,
                "--require '%s' is no condition; write it as 'accuracy>=0.88'", text);
    return false;
}

static bool holds(const Condition *c, double v)
{
    return !strcmp(c->op, ">=")   ? v >= c->bound
           : !strcmp(c->op, "<=") ? v <= c->bound
           : !strcmp(c->op, "==") ? v == c->bound
           : !strcmp(c->op, "!=") ? v != c->bound && !isnan(v)
           : !strcmp(c->op, ">")  ? v > c->bound
                                  : v < c->bound;
}

bool require_parse(Run *r, const Eval *v, bool with_loss)
{
    bool ok = true;
    for (uint32_t i = 0; i < r->options.given[OPT_REQUIRE].n; i++) {
        Condition c;
        if (!parse(r, r->options.given[OPT_REQUIRE].at[i].text, &c)) {
            ok = false;
            continue;
        }
        if ((with_loss && !strcmp(c.name, "loss")) || eval_find(v, c.name))
            continue;
        const char *names[64];
        uint32_t n = 0;
        for (; n < v->metrics.n && n < 64; n++)
            names[n] = v->metrics.at[n].name;
        const char *near = diag_nearest(c.name, names, n);
        diag_report(r->cx, DIAG_E0909, 0,
                    near ? "--require: no metric `%s`; did you mean `%s`?"
                         : "--require: no metric `%s`",
                    c.name, near);
        ok = false;
    }
    return ok;
}

bool require_check(Run *r, const Eval *v, double loss)
{
    bool ok = true;
    for (uint32_t i = 0; i < r->options.given[OPT_REQUIRE].n; i++) {
        Condition c;
        if (!parse(r, r->options.given[OPT_REQUIRE].at[i].text, &c))
            return false;
        const EvalMetric *m = eval_find(v, c.name);
        double value = m ? m->value : loss;
        if (holds(&c, value))
            continue;
        diag_report(r->cx, DIAG_E0906, m ? m->loc : 0, "%s is %.9g, required is %s %.9g", c.name,
                    value, c.op, c.bound);
        ok = false;
    }
    return ok;
}
