/* engine.c: from a file to a model that can run: elaborate, compile, link in memory, initialise.
 *
 * The hash of the program is taken before any pass, so that it says what the model computes and not
 * how; a checkpoint of another program is refused by it even where all tensors agree (tanh for
 * relu). */
#include "driver/engine.h"

#include "driver/known.h"
#include "driver/verbs.h"

#include "frontend/onnx/file.h"
#include "ir/text.h"
#include "runtime/checksum.h"
#include "runtime/host/progress.h"

#include <ctype.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *folder_of(Arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(a, path, (size_t)(slash - path)) : ".";
}

static bool is_finish(const Unit *u, const char *name)
{
    for (uint32_t i = 0; i < u->recipe.metrics.n; i++)
        if (u->recipe.metrics.at[i].finish && !strcmp(u->recipe.metrics.at[i].finish, name))
            return true;
    return false;
}

static uint64_t hash_text(const char *text)
{
    DlrtChecksum c = dlrt_checksum_new();
    dlrt_checksum_add(&c, text, strlen(text));
    return dlrt_checksum_end(&c);
}

static void hash_programs(Engine *e)
{
    uint64_t program = 0, steps = 0;
    for (uint32_t i = 0; i < e->unit->entries.n; i++) {
        const Entry *x = &e->unit->entries.at[i];
        bool model =
            !strcmp(x->name, "eval") || (x->kind == ENTRY_EXPORT && !is_finish(e->unit, x->name));
        if (!model && x->kind != ENTRY_STEP)
            continue;
        const char *text = graph_text(e->run->arena, x->graph, TEXT_EXACT);
        uint64_t *hash = model ? &program : &steps;
        *hash = *hash * UINT64_C(0x9e3779b97f4a7c15) + hash_text(text);
    }
    snprintf(e->program, sizeof e->program, "%016llx", (unsigned long long)program);
    snprintf(e->steps, sizeof e->steps, "%016llx", (unsigned long long)steps);
}

/* What nobody calls while training goes before the passes run, and costs nothing. */
static void drop_exports(Unit *u)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < u->entries.n; i++) {
        const Entry *x = &u->entries.at[i];
        bool wanted = x->kind != ENTRY_EXPORT || is_finish(u, x->name);
        for (uint32_t k = 0; k < u->recipe.metrics.n && !wanted; k++)
            wanted = !strcmp(u->recipe.metrics.at[k].entry, x->name);
        if (wanted)
            u->entries.at[kept++] = *x;
    }
    u->entries.n = kept;
}

static bool load_unit(Engine *e, const FrontendOptions *fo)
{
    Compiler *cx = e->run->cx;
    PipelineOptions p = { .verify = true };
    e->unit = e->text ? frontend_load_text(cx, e->path, e->text, strlen(e->text), fo)
                      : frontend_load(cx, e->path, fo);
    if (!e->unit || cx->errors)
        return false;
    hash_programs(e);
    const char *list = e->text ? NULL : option_value(&e->run->options, OPT_ENTRIES, NULL);
    if (list && !(e->entries = entries_add(e->run, e->unit, list)))
        return false;
    if (fo->no_exports && !list)
        drop_exports(e->unit);
    engine_find_rates(e);
    return pipeline_run(e->unit, &p, NULL) && !cx->errors;
}

static bool start_context(Engine *e)
{
    long long threads = 0, seed = (long long)e->model->seed;
    if (!option_number(&e->run->options, OPT_THREADS, 1, 4096, &threads))
        return false;
    bool recipe = e->unit ? e->unit->recipe.present : e->model->update_count > 0;
    if (!recipe && !option_number(&e->run->options, OPT_SEED, 0, INT64_MAX, &seed))
        return false;
    int rc = dlrt_init(e->model, e->model->abi, NULL, 0, (uint64_t)seed, &e->cx);
    if (!rc && threads)
        rc = dlrt_set_threads(e->cx, (int)threads, NULL, NULL);
    char why[200] = "";
    if (rc && !e->cx && dlrt_verify(e->model, why, sizeof why))
        snprintf(why, sizeof why, "%s", dlrt_error(rc));
    if (rc)
        diag_report(e->run->cx, rc == DLRT_E_NOMEM ? DIAG_E0609 : DIAG_E0802, 0, "%s",
                    e->cx ? dlrt_message(e->cx) : why);
    return !rc;
}

/* What is compiled already cannot be told what it is compiled with. */
static bool check_library_options(Run *r)
{
    static const OptionId compiling[] = { OPT_DEFINE, OPT_MODEL, OPT_MARCH };
    for (size_t i = 0; i < sizeof compiling / sizeof *compiling; i++)
        if (option_given(&r->options, compiling[i])) {
            diag_report(r->cx, DIAG_E0909, 0, "--%s is for compiling, and a library is compiled",
                        option_rows[compiling[i]].name);
            return false;
        }
    return true;
}

static int open_library(Engine *e)
{
    DlrtIo io;
    HostError error;
    e->entries = option_value(&e->run->options, OPT_ENTRIES, NULL);
    bool ok = check_library_options(e->run);
    if (ok && !(ok = library_open(e->path, e->run->arena, &e->library, &error)))
        engine_report_host(e, 0, &error);
    if (ok) {
        e->model = e->library.table->model;
        ok = start_context(e);
    }
    if (ok && library_weights(&e->library, &io)) {
        int rc = dlrt_load_from(e->cx, DLRT_FILE_WEIGHTS, &io);
        if (rc)
            engine_report_runtime(e, DIAG_E0905, rc);
        ok = !rc;
    }
    if (ok)
        return 0;
    int code = run_finish(e->run);
    return code ? code : EXIT_INTERNAL;
}

bool engine_has_start_values(const Engine *e)
{
    const DlrtModel *m = e->model;
    uint32_t n = 0; /* of starts, which are in the order of tensors */
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        while (n < m->start_count && m->starts[n].tensor < i)
            n++;
        bool found = n < m->start_count && m->starts[n].tensor == i;
        if (!found && m->tensors[i].kind != DLRT_MOMENT)
            return false;
    }
    return true;
}

/* Gives back what compiling took, before data are loaded: its heap, and the pages of this program
 * that were mapped for it. The code generator is most of the program; what of it is needed again
 * comes back from the file. */
static void forget_compiler(void)
{
    extern const char __executable_start[], etext[]; /* by the linker */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE),
              from = ((uintptr_t)__executable_start + page - 1) / page * page,
              to = (uintptr_t)etext / page * page;
    malloc_trim(0);
    if (from < to)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

static int open_program(Run *r, FrontendOptions *fo, Engine *e)
{
    double start = host_clock();
    fo->probe = data_probe;
    fo->known = known_value;
    fo->inputs = known_inputs;
    fo->user = e;
    e->options = *fo;
    bool ok = load_unit(e, fo);
    e->load_seconds = host_clock() - start;
    if (ok && (e->session = session_new(e->unit, &e->target, engine_call))) {
        forget_compiler();
        e->model = session_model(e->session);
        ok = start_context(e);
        onnx_drop_pages(r->cx); /* the context has the weights now */
    }
    if (ok && e->cx)
        return 0;
    int code = run_finish(r);
    return code ? code : EXIT_INTERNAL;
}

int engine_open(Run *r, const char *path, FrontendOptions *fo, Engine *e)
{
    *e = (Engine){ .run = r, .path = path, .folder = folder_of(r->arena, path) };
    long long threads = 0;
    if (!run_target(r, "native", &e->target) ||
        !option_number(&r->options, OPT_THREADS, 1, 4096, &threads))
        return EXIT_USAGE;
    return library_is_path(path) ? open_library(e) : open_program(r, fo, e);
}

int engine_open_text(Run *r, const char *name, const char *text, Engine *e)
{
    FrontendOptions fo = { 0 };
    *e = (Engine){ .run = r, .path = name, .text = text, .folder = "." };
    return run_target(r, "native", &e->target) ? open_program(r, &fo, e) : EXIT_USAGE;
}

int engine_open_named(Run *r, Engine *out)
{
    const char *path = run_file(r, 1);
    FrontendOptions fo = run_frontend_options(r);
    *out = (Engine){ .run = r };
    return path ? engine_open(r, path, &fo, out) : EXIT_USAGE;
}

void engine_close(Engine *e)
{
    for (uint32_t i = 0; i < e->rests.n; i++)
        engine_close(e->rests.at[i].engine);
    for (uint32_t i = 0; i < e->data.n; i++)
        host_data_free(&e->data.at[i].data);
    dlrt_free(e->cx);
    session_free(e->session);
    library_close(&e->library);
}

const char *engine_checkpoint_path(Engine *e)
{
    const Recipe *r = e->unit ? &e->unit->recipe : NULL;
    if (r && r->checkpoint_path)
        return r->checkpoint_path;
    char *path = arena_printf(e->run->arena, "./%s.safetensors",
                              r && r->present && r->name ? r->name : e->model->name);
    for (char *c = path; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    return path;
}

const char *engine_words(const Engine *e)
{
    const Options *o = &e->run->options;
    Arena *a = e->run->arena;
    const char *model = option_value(o, OPT_MODEL, NULL);
    char *text = arena_printf(a, "%s%s%s", e->path, model ? " --model " : "", model ? model : "");
    for (uint32_t i = 0; i < o->given[OPT_DEFINE].n; i++)
        text = arena_printf(a, "%s -D %s", text, o->given[OPT_DEFINE].at[i].text);
    return text;
}

uint32_t engine_entry(const Engine *e, const char *name)
{
    for (uint32_t i = 0; i < e->model->entry_count; i++)
        if (!strcmp(e->model->entries[i].name, name))
            return i;
    return DLRT_NONE;
}

bool engine_is_export(const Engine *e, uint32_t entry)
{
    const DlrtModel *m = e->model;
    const char *name = m->entries[entry].name;
    bool other = entry == m->init_entry;
    for (uint32_t i = 0; !e->unit && i < m->update_count; i++)
        other |= entry == m->updates[i].entry;
    for (uint32_t i = 0; !e->unit && i < m->metric_count; i++)
        other |= entry == m->metrics[i].entry || entry == m->metrics[i].finish;
    if (!e->unit)
        return !other;
    const Entry *x = unit_entry(e->unit, name);
    return x && x->kind == ENTRY_EXPORT && !is_finish(e->unit, name);
}

double engine_flops(const Engine *e, uint32_t entry)
{
    const Program *p = e->unit ? e->unit->program : NULL;
    double flops = 0;
    for (uint32_t i = 0; p && i < p->plans.at[entry].items.n; i++)
        if (p->plans.at[entry].items.at[i].kind == PLAN_KERNEL)
            flops += p->plans.at[entry].items.at[i].flops;
    return flops;
}

LocId engine_tensor_loc(const Engine *e, uint32_t i)
{
    return e->unit ? e->unit->tensors.at[i].loc : 0;
}

void engine_report_host(Engine *e, LocId loc, const HostError *error)
{
    const DiagRow *row = diag_find(error->code);
    DiagCode code = row ? (DiagCode)(row - diag_rows) : DIAG_E0602;
    diag_report(e->run->cx, code, loc, "%s", error->text);
}

void engine_report_runtime(Engine *e, DiagCode code, int rc)
{
    const char *message = dlrt_message(e->cx);
    diag_report(e->run->cx, code, 0, "%s", *message ? message : dlrt_error(rc));
}
