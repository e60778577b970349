/* build.c: `dlcc FILE -o OUT`: a library and its header, or one of the forms in between (--emit). */
#include "driver/verbs.h"

#include "backend/aot.h"
#include "backend/object.h"
#include "ir/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *suffix_of(const char *path)
{
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    return dot && (!slash || dot > slash) ? dot : "";
}

static bool kind_of(const char *path, AotKind *out_kind)
{
    static const struct {
        const char *suffix;
        AotKind kind;
    } kinds[] = { { ".a", AOT_ARCHIVE }, { ".o", AOT_OBJECT }, { ".so", AOT_SHARED } };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].suffix, suffix_of(path))) {
            *out_kind = kinds[i].kind;
            return true;
        }
    return false;
}

/* The names of --entries. False when one is `step` or `eval`, which are what training is. */
static bool select_entries(Run *r, FrontendOptions *o)
{
    const char *list = option_value(&r->options, OPT_ENTRIES, NULL);
    bool training = !list;
    if (!list)
        return true;
    char *copy = arena_strndup(r->arena, list, strlen(list));
    const char **names = arena_new_array(r->arena, const char *, strlen(list) + 1);
    for (char *save = NULL, *w = strtok_r(copy, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        if (!strcmp(w, "step") || !strcmp(w, "eval"))
            training = true;
        else
            names[o->n_entries++] = w;
    }
    o->entries = names;
    o->no_training = !training;
    return training;
}

static int print_kernels(Run *r, Unit *u, bool machine_code, bool assembly)
{
    Target t;
    if (!run_target(r, "x86-64-v3", &t))
        return EXIT_USAGE;
    for (uint32_t i = 0; i < u->program->kernels.n; i++) {
        char error[200];
        const Kernel *k = u->program->kernels.at[i];
        if (!machine_code) {
            printf("# %u %s %s\n%s\n", i, k->name, loc_text(r->cx, k->loc), kernel_text(r->arena, k));
            continue;
        }
        char *text = kernel_emit_text(k, &t, arena_printf(r->arena, "k%u", i), assembly, error);
        printf("%s\n", text ? text : error);
        free(text);
    }
    return 0;
}

/* --emit=FORM: what to run, and what to print then. */
static int emit_form(Run *r, const char *path, const FrontendOptions *o, const char *form)
{
    static const struct {
        const char *form, *stop_after;
    } forms[] = {
        { "ir", "" }, { "grad-ir", "autodiff" }, { "opt-ir", "simplify" }, { "kernels", NULL }, { "plan", NULL },
        { "llvm", NULL }, { "asm", NULL },
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strcmp(forms[i].form, form))
            continue;
        bool raw = forms[i].stop_after && !*forms[i].stop_after;
        Unit *u = raw ? frontend_load(r->cx, path, o) : run_load(r, path, o, forms[i].stop_after, NULL);
        int code = run_finish(r);
        if (!u || code)
            return code ? code : EXIT_INTERNAL;
        if (forms[i].stop_after)
            fputs(unit_text(r->arena, u, TEXT_LOCATIONS), stdout);
        else if (!strcmp(form, "plan"))
            for (uint32_t p = 0; p < u->program->plans.n; p++)
                fputs(plan_text(r->arena, &u->program->plans.at[p]), stdout);
        else
            return print_kernels(r, u, strcmp(form, "kernels"), !strcmp(form, "asm"));
        return 0;
    }
    fprintf(stderr, "dlcc: no form `%s` to emit: ir, grad-ir, opt-ir, kernels, plan, llvm or asm\n", form);
    return EXIT_USAGE;
}

static void print_passes(const PipelineReport *report)
{
    for (uint32_t i = 0; i < report->passes.n; i++)
        fprintf(stderr, "%-10s %8.2f ms  %u nodes\n", report->passes.at[i].name, 1e3 * report->passes.at[i].seconds,
                report->passes.at[i].nodes);
}

static const char *header_path(Run *r, const char *path)
{
    return arena_printf(r->arena, "%.*s.h", (int)(strlen(path) - strlen(suffix_of(path))), path);
}

static void report(const AotOptions *o, const Unit *u, const Target *t)
{
    struct stat s;
    if (stat(o->path, &s))
        return;
    fprintf(stderr, "%s  %lld KiB, %s:", o->path, (long long)(s.st_size + 1023) / 1024, t->name);
    for (uint32_t i = 0; i < u->entries.n; i++)
        fprintf(stderr, " %s", u->entries.at[i].name);
    fprintf(stderr, "\n%s\n", o->header);
    if (o->kind == AOT_SHARED)
        fprintf(stderr, "use  cc app.c -I. ./%s -Wl,-rpath,'$ORIGIN' -o app\n", o->path);
    else
        fprintf(stderr, "use  cc app.c -I. %s -fopenmp -lm -o app\n", o->path);
}

int verb_build(Run *r)
{
    bool named = !strcmp(r->options.words.at[0], "build");
    const char *path = run_file(r, named ? 1 : 0), *out = option_value(&r->options, OPT_OUTPUT, NULL);
    if (!path)
        return EXIT_USAGE;
    FrontendOptions fo = run_frontend_options(r);
    select_entries(r, &fo);
    const char *form = option_value(&r->options, OPT_EMIT, NULL);
    if (form)
        return emit_form(r, path, &fo, form);
    AotOptions o = { .path = out, .source = path, .cc = "cc" };
    if (!out || !kind_of(out, &o.kind)) {
        fprintf(stderr, out ? "dlcc: what is %s to be? The suffix says: .so, .a or .o\n" : "dlcc: where to? `dlcc %s -o model.so`\n",
                out ? out : path);
        return EXIT_USAGE;
    }
    Target t;
    if (!run_target(r, "x86-64-v3", &t))
        return EXIT_USAGE;
    PipelineReport passes = { 0 };
    Unit *u = run_load(r, path, &fo, NULL, &passes);
    if (option_given(&r->options, OPT_TIME_PASSES))
        print_passes(&passes);
    if (!u)
        return run_finish(r);
    const char *weights = option_value(&r->options, OPT_WEIGHTS, NULL);
    if (weights && !(o.weights = (const uint8_t *)run_read_file(r, weights, &o.weights_size)))
        return EXIT_FILE;
    o.prefix = aot_prefix(r->arena, option_value(&r->options, OPT_PREFIX, u->name));
    o.header = header_path(r, out);
    bool ok = aot_build(u, &t, &o);
    int code = run_finish(r);
    if (ok && !code && !option_given(&r->options, OPT_QUIET))
        report(&o, u, &t);
    return ok || code ? code : EXIT_INTERNAL;
}
