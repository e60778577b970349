/* load.c: what every verb begins with. */
#include "driver/load.h"

#include "frontend/diag_print.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *tool(const Run *r)
{
    return r->options.tool == DLCC ? "dlcc" : "dlrun";
}

const char *run_file(Run *r, uint32_t verb_words)
{
    if (r->options.words.n == verb_words + 1)
        return r->options.words.at[verb_words];
    if (r->options.words.n <= verb_words)
        fprintf(stderr, "%s: which file? `%s --help` shows examples.\n", tool(r), tool(r));
    else
        fprintf(stderr, "%s: one file at a time, not also `%s`\n", tool(r),
                r->options.words.at[verb_words + 1]);
    return NULL;
}

static const FrontendSetting *settings(Run *r, OptionId id, uint32_t *out_n)
{
    uint32_t n = r->options.given[id].n;
    FrontendSetting *s = arena_new_array(r->arena, FrontendSetting, n + 1);
    for (uint32_t i = 0; i < n; i++)
        s[i] = (FrontendSetting){ r->options.given[id].at[i].name ? r->options.given[id].at[i].name
                                                                  : "",
                                  r->options.given[id].at[i].value };
    *out_n = n;
    return s;
}

FrontendOptions run_frontend_options(Run *r)
{
    FrontendOptions o = { .model = option_value(&r->options, OPT_MODEL, NULL) };
    uint32_t n;
    o.defines = settings(r, OPT_DEFINE, &o.n_defines);
    FrontendSetting *sets = (FrontendSetting *)settings(r, OPT_SET, &n);
    if (option_given(&r->options, OPT_SEED))
        sets[n++] = (FrontendSetting){ "seed", option_value(&r->options, OPT_SEED, NULL) };
    o.sets = sets;
    o.n_sets = n;
    return o;
}

bool run_passes(Run *r, Unit *u, const char *stop_after, PipelineReport *out_report)
{
    PipelineOptions p = { .stop_after = stop_after,
                          .print_after = option_value(&r->options, OPT_PRINT_AFTER, NULL),
                          .print_to = stdout,
                          .verify = true };
    return pipeline_run(u, &p, out_report);
}

Unit *run_load(Run *r, const char *path, const FrontendOptions *options, const char *stop_after,
               PipelineReport *out_report)
{
    Unit *u = frontend_load(r->cx, path, options);
    return u && !r->cx->errors && run_passes(r, u, stop_after, out_report) ? u : NULL;
}

bool run_target(Run *r, const char *otherwise, Target *out_target)
{
    const char *name = option_value(&r->options, OPT_MARCH, otherwise);
    if (target_parse(name, out_target))
        return true;
    fprintf(stderr, "%s: no target `%s`: native, x86-64, x86-64-v2, x86-64-v3 or x86-64-v4\n",
            tool(r), name);
    return false;
}

int run_finish(Run *r)
{
    bool news = r->cx->diags.n > r->said;
    if (news && option_given(&r->options, OPT_JSON))
        diag_print_json(r->cx, stdout);
    else if (news)
        diag_print_all(r->cx, stderr, isatty(2));
    r->said = r->cx->diags.n;
    return diag_exit_code(r->cx);
}

char *run_read_file(Run *r, const char *path, size_t *out_size)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    long size = -1;
    if (f && !fseek(f, 0, SEEK_END) && (size = ftell(f)) >= 0 && !fseek(f, 0, SEEK_SET)) {
        text = arena_alloc(r->arena, (size_t)size + 1);
        if (fread(text, 1, (size_t)size, f) != (size_t)size)
            text = NULL;
    }
    if (!text)
        fprintf(stderr, "%s: cannot read %s: %s\n", tool(r), path, strerror(errno));
    if (f)
        fclose(f);
    *out_size = size > 0 ? (size_t)size : 0;
    return text;
}

bool run_replace_file(Run *r, const char *path, const char *text)
{
    const char *temporary = arena_printf(r->arena, "%s.tmp%ld", path, (long)getpid());
    FILE *f = fopen(temporary, "wb");
    bool ok =
        f && fwrite(text, 1, strlen(text), f) == strlen(text) && !fflush(f) && !fsync(fileno(f));
    if (f && fclose(f))
        ok = false;
    if (ok && !rename(temporary, path))
        return true;
    fprintf(stderr, "%s: cannot write %s: %s\n", tool(r), path, strerror(errno));
    if (f)
        unlink(temporary);
    return false;
}
