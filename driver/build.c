/* build.c: `dlcc FILE -o OUT`: a library and its header, or one of the forms in between (--emit);
 * a model for other runtimes (.onnx) is export.c's. */
#include "driver/verbs.h"

#include "backend/aot.h"
#include "backend/object.h"
#include "ir/text.h"
#include "runtime/dlrt.h"

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
    } kinds[] = {
        { ".a", AOT_ARCHIVE }, { ".h", AOT_HEADER }, { ".o", AOT_OBJECT }, { ".so", AOT_SHARED }
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].suffix, suffix_of(path))) {
            *out_kind = kinds[i].kind;
            return true;
        }
    return false;
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
            printf("# %u %s %s\n%s\n", i, k->name, loc_text(r->cx, k->loc),
                   kernel_text(r->arena, k));
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
        { "ir", "" },     { "grad-ir", "autodiff" }, { "opt-ir", "simplify" }, { "kernels", NULL },
        { "plan", NULL }, { "llvm", NULL },          { "asm", NULL },
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (strcmp(forms[i].form, form))
            continue;
        bool raw = forms[i].stop_after && !*forms[i].stop_after;
        Unit *u =
            raw ? frontend_load(r->cx, path, o) : run_load(r, path, o, forms[i].stop_after, NULL);
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
    fprintf(stderr, "dlcc: no form `%s` to emit: ir, grad-ir, opt-ir, kernels, plan, llvm or asm\n",
            form);
    return EXIT_USAGE;
}

static void print_passes(const PipelineReport *report)
{
    for (uint32_t i = 0; i < report->passes.n; i++)
        fprintf(stderr, "%-10s %8.2f ms  %u nodes\n", report->passes.at[i].name,
                1e3 * report->passes.at[i].seconds, report->passes.at[i].nodes);
}

static const char *with_suffix(Run *r, const char *path, const char *suffix)
{
    return arena_printf(r->arena, "%.*s%s", (int)(strlen(path) - strlen(suffix_of(path))), path,
                        suffix);
}

/* A file of weights is tried before it is embedded: a program that has it should not be the first
 * to know. */
static bool check_weights(void *user, const DlrtModel *model)
{
    Run *r = user;
    const char *path = option_value(&r->options, OPT_WEIGHTS, NULL);
    DlrtModel bare = *model; /* as no code is needed to load */
    DlrtContext *cx;
    bare.init_entry = DLRT_NONE;
    bare.cpu_features = 0;
    if (!path)
        return true;
    int code = dlrt_init(&bare, bare.abi, NULL, 0, 0, &cx);
    if (!code) {
        code = dlrt_load(cx, DLRT_FILE_WEIGHTS, path);
        if (code)
            fprintf(stderr, "dlcc: %s\n", dlrt_message(cx));
        dlrt_free(cx);
        return !code;
    }
    fprintf(stderr, "dlcc: %s: %s\n", path, dlrt_error(code));
    return false;
}

typedef struct {
    Run *run;
    int64_t context_bytes, batch;
} Built;

static bool note_tables(void *user, const DlrtModel *m)
{
    Built *b = user;
    char why[200];
    if (!dlrt_verify(m, why, sizeof why)) {
        diag_report(b->run->cx, DIAG_E0001, 0, "internal: the tables of the library: %s", why);
        return false;
    }
    b->context_bytes = m->context_bytes;
    b->batch = 1;
    for (uint32_t i = 0; i < m->entry_count; i++)
        if (m->entries[i].max_batch > b->batch)
            b->batch = m->entries[i].max_batch;
    return check_weights(b->run, m);
}

/* 2834432 as 2,834,432 */
static const char *grouped(Arena *a, int64_t n)
{
    return n < 1000 ? arena_printf(a, "%lld", (long long)n)
                    : arena_printf(a, "%s,%03lld", grouped(a, n / 1000), (long long)(n % 1000));
}

static void report(const Built *b, const AotOptions *o, const Unit *u, const Target *t)
{
    Arena *a = b->run->arena;
    const char *weights = option_value(&b->run->options, OPT_WEIGHTS, NULL);
    struct stat s;
    if (o->kind != AOT_HEADER && !stat(o->path, &s)) {
        fprintf(stderr, "%s  %lld KiB, %s, B = 1..%lld:", o->path,
                (long long)(s.st_size + 1023) / 1024, t->name, (long long)b->batch);
        for (uint32_t i = 0; i < u->entries.n; i++)
            if (aot_is_export(u, i))
                fprintf(stderr, " %s", aot_function(a, u->entries.at[i].name));
        fprintf(stderr, "%s%s%s%s\n", u->recipe.updates.n ? " step train" : "",
                unit_entry((Unit *)(uintptr_t)u, "eval") ? " eval" : "",
                weights ? "; weights of " : "", weights ? weights : "");
    }
    fprintf(stderr, "%s  context %s bytes\n", o->header, grouped(a, b->context_bytes));
    if (o->kind != AOT_HEADER)
        fprintf(stderr, "use  %s\n", aot_use(a, o->kind, o->path));
}

/* The name of the functions; NULL, with a message, when --prefix cannot be one. */
static const char *prefix_of(Run *r, const Unit *u)
{
    const char *given = option_value(&r->options, OPT_PREFIX, NULL);
    if (given && !aot_is_prefix(given)) {
        fprintf(
            stderr,
            "dlcc: --prefix `%s` cannot begin a C function's name: letters, digits and _ only\n",
            given);
        return NULL;
    }
    return given ? given : aot_prefix(r->arena, u->name);
}

static int build_library(Run *r, const char *path, AotOptions *o)
{
    Target t;
    FrontendOptions fo = run_frontend_options(r);
    PipelineReport passes = { 0 };
    if (!run_target(r, "x86-64-v3", &t))
        return EXIT_USAGE;
    Unit *u = frontend_load(r->cx, path, &fo);
    int code = u && !r->cx->errors
                   ? entries_select(r, u, option_value(&r->options, OPT_ENTRIES, NULL))
                   : 0;
    if (code)
        return code;
    bool ok = u && !r->cx->errors && run_passes(r, u, NULL, &passes);
    if (option_given(&r->options, OPT_TIME_PASSES))
        print_passes(&passes);
    if (!ok)
        return run_finish(r);
    const char *weights = option_value(&r->options, OPT_WEIGHTS, NULL);
    if (weights && !(o->weights = (const uint8_t *)run_read_file(r, weights, &o->weights_size)))
        return EXIT_FILE;
    Built built = { .run = r };
    o->check = note_tables;
    o->user = &built;
    if (!(o->prefix = prefix_of(r, u)))
        return EXIT_USAGE;
    ok = aot_build(u, &t, o);
    code = run_finish(r);
    if (ok && !code && !option_given(&r->options, OPT_QUIET))
        report(&built, o, u, &t);
    return ok || code ? code : EXIT_FILE;
}

int verb_build(Run *r)
{
    bool named = !strcmp(r->options.words.at[0], "build");
    const char *path = run_file(r, named ? 1 : 0),
               *out = option_value(&r->options, OPT_OUTPUT, NULL);
    const char *form = option_value(&r->options, OPT_EMIT, NULL);
    if (!path)
        return EXIT_USAGE;
    if (form) {
        FrontendOptions fo = run_frontend_options(r);
        return emit_form(r, path, &fo, form);
    }
    if (out && !strcmp(suffix_of(out), ".onnx"))
        return export_model(r, path, out);
    AotOptions o = { .path = out, .source = path, .cc = option_value(&r->options, OPT_CC, "cc") };
    if (!out || !kind_of(out, &o.kind)) {
        fprintf(stderr,
                out ? "dlcc: what is %s to be? The suffix says: .so, .a, .o, .h or .onnx\n"
                    : "dlcc: where to? `dlcc %s -o model.so`\n",
                out ? out : path);
        return EXIT_USAGE;
    }
    o.header = with_suffix(r, out, ".h");
    if (o.kind == AOT_HEADER)
        o.path = with_suffix(r, out, ".so");
    return build_library(r, path, &o);
}
