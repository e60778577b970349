/* pipeline.c: the one list of passes, and what runs it: checks that each finds what it needs, times
 * it, and examines what it leaves. Nothing here prints but to the stream that the caller gives. */
#include "passes/pipeline.h"

#include "ir/text.h"
#include "ir/verify.h"
#include "passes/pass.h"

#include <string.h>
#include <time.h>

typedef struct {
    const char *name;
    bool (*run)(Unit *u);
    unsigned needs, gives;
} PassRow;

/* Read top to bottom. */
static const PassRow passes[] = {
    { "raise", pass_raise, 0, 0 },
    { "autodiff", pass_autodiff, 0, FACT_NO_GRAD },
    { "expand", pass_expand, FACT_NO_GRAD, FACT_PRIMITIVE },
    { "simplify", pass_simplify, FACT_NO_GRAD | FACT_PRIMITIVE, FACT_SIMPLE },
    { "store", pass_store, FACT_NO_GRAD | FACT_PRIMITIVE | FACT_SIMPLE, 0 },
    { "split", pass_split, FACT_NO_GRAD | FACT_PRIMITIVE | FACT_SIMPLE, 0 },
    { "fuse", pass_fuse, FACT_NO_GRAD | FACT_PRIMITIVE | FACT_SIMPLE, FACT_KERNELS | FACT_ORDERED },
    { "memplan", pass_memplan, FACT_KERNELS | FACT_ORDERED, FACT_PLANNED },
};

enum { PASS_COUNT = sizeof passes / sizeof *passes };

const char *pipeline_pass_name(uint32_t i)
{
    return i < PASS_COUNT ? passes[i].name : NULL;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint32_t count_live(const Unit *u)
{
    uint32_t n = 0;
    Arena *a = arena_new();
    for (uint32_t i = 0; i < u->entries.n; i++) {
        const Graph *g = u->entries.at[i].graph;
        const uint8_t *live = graph_live(a, g);
        for (NodeId id = 0; id < g->nodes.n; id++)
            n += live[id];
    }
    arena_free(a);
    return n;
}

/* The text of u is read into a compilation of its own and printed again: equal, or the text loses
 * something. */
static bool check_text(Unit *u, const PassRow *pass)
{
    Arena *a = arena_new();
    Compiler *cx = compiler_new();
    const char *text = unit_text(a, u, TEXT_EXACT);
    Unit *back = unit_read(cx, "read-back", text, strlen(text));
    const char *again = back ? unit_text(a, back, TEXT_EXACT) : "";
    size_t at = 0;
    while (text[at] && text[at] == again[at])
        at++;
    bool ok = text[at] == again[at];
    if (!ok) {
        uint32_t line = 1;
        for (size_t i = 0; i < at; i++)
            line += text[i] == '\n';
        pass_internal(u, 0, "after `%s` the text of the unit does not read back: line %u%s%s",
                      pass->name, line, cx->diags.n ? ": " : "",
                      cx->diags.n ? cx->diags.at[0].message : "");
    }
    compiler_free(cx);
    arena_free(a);
    return ok;
}

static bool examine(Unit *u, const PassRow *pass, const PipelineOptions *o)
{
    if (o->print_after && o->print_to &&
        (!strcmp(o->print_after, "all") || !strcmp(o->print_after, pass->name))) {
        Arena *a = arena_new();
        fprintf(o->print_to, "# after %s\n%s", pass->name, unit_text(a, u, TEXT_LOCATIONS));
        arena_free(a);
    }
    if (o->verify) {
        const char *bad = unit_verify(u->arena, u);
        if (bad)
            return pass_internal(u, 0, "after `%s`: %s", pass->name, bad);
    }
    return !o->read_back || check_text(u, pass);
}

static bool run_pass(Unit *u, const PassRow *pass, unsigned *facts, const PipelineOptions *o,
                     PipelineReport *report)
{
    if (pass->needs & ~*facts)
        return pass_internal(u, 0, "`%s` runs before what it needs", pass->name);
    uint32_t errors = u->cx->errors;
    double start = seconds_now();
    bool ok = pass->run(u);
    double end = seconds_now();
    vec_push(u->arena, &report->passes, (PassReport){ pass->name, end - start, count_live(u) });
    if (!ok)
        return u->cx->errors > errors ||
               pass_internal(u, 0, "`%s` failed and did not say why", pass->name);
    *facts |= pass->gives;
    ok = examine(u, pass, o);
    report->verify_seconds += seconds_now() - end;
    return ok;
}

bool pipeline_run(Unit *u, const PipelineOptions *options, PipelineReport *out_report)
{
    static const PipelineOptions none;
    PipelineReport mine = { 0 }, *report = out_report ? out_report : &mine;
    *report = mine;
    unsigned facts = 0;
    options = options ? options : &none;
    for (uint32_t i = 0; i < PASS_COUNT; i++) {
        uint32_t errors = u->cx->errors;
        if (!run_pass(u, &passes[i], &facts, options, report) || u->cx->errors > errors)
            return false;
        if (options->stop_after && !strcmp(options->stop_after, passes[i].name))
            break;
    }
    return true;
}
