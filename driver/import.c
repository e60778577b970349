/* import.c: the verb `import`: an ONNX model as a .dl program and a file of its weights. */
#include "driver/load.h"
#include "driver/verbs.h"
#include "frontend/syntax.h"
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The tensors of a Unit that come with elements. */
typedef struct {
    const Unit *u;
    const Tensor **at;
    size_t n;
} Weights;

static void describe(void *user, size_t i, DlrtSafeTensor *out)
{
    const Tensor *t = ((Weights *)user)->at[i];
    *out = (DlrtSafeTensor){ .name = t->name,
                             .dtype = (int)t->data_dtype,
                             .rank = (int)t->shape.rank };
    for (uint32_t d = 0; d < t->shape.rank; d++)
        out->dims[d] = t->shape.dim[d].n;
}

static const void *fetch(void *user, size_t i, int64_t first, int64_t n, void *room)
{
    const Tensor *t = ((Weights *)user)->at[i];
    (void)n, (void)room;
    return (const char *)t->data + (size_t)first * dtype_size(t->data_dtype);
}

static int write_weights(void *arg, const DlrtIo *io)
{
    char why[320];
    static const DlrtPair pairs[] = { { "format", "pt" } };
    DlrtSafeSource source = { .user = arg,
                              .count = ((Weights *)arg)->n,
                              .describe = describe,
                              .fetch = fetch,
                              .pairs = pairs,
                              .pair_count = 1 };
    return dlrt_safe_write(io, &source, why, sizeof why);
}

static bool save_weights(Run *r, const Unit *u, const char *path, size_t *out_n)
{
    Weights w = { u, arena_new_array(r->arena, const Tensor *, u->tensors.n + 1), 0 };
    char why[320];
    for (uint32_t i = 0; i < u->tensors.n; i++)
        if (u->tensors.at[i].data)
            w.at[w.n++] = &u->tensors.at[i];
    *out_n = w.n;
    if (!w.n || !dlrt_replace_file(path, write_weights, &w, why, sizeof why))
        return true;
    fprintf(stderr, "dlcc: %s\n", why);
    return false;
}

/* What a run has trained is not written over. */
static bool is_checkpoint(const char *path)
{
    char why[320];
    DlrtSafeFile *f;
    if (dlrt_safe_open_path(path, why, sizeof why, &f))
        return false;
    bool found = dlrt_safe_meta(f, "dlrun.finished");
    dlrt_safe_close(f);
    return found;
}

/* The text the model was made from, in the one format. */
static const char *program_text(Run *r, const Unit *u)
{
    for (uint32_t i = 0; i < u->entries.n; i++) {
        const Entry *e = &u->entries.at[i];
        AstFile *file;
        if (e->kind == ENTRY_EXPORT && syntax_parse(r->cx, loc_get(r->cx, e->loc)->file, &file))
            return syntax_format(r->cx, file);
    }
    return NULL;
}

int verb_import(Run *r)
{
    const char *path = run_file(r, 1), *out = option_value(&r->options, OPT_OUTPUT, NULL);
    const char *dot = path ? strrchr(path, '.') : NULL;
    if (!path)
        return EXIT_USAGE;
    if (!dot || strcmp(dot, ".onnx")) {
        fprintf(stderr, "dlcc: import takes an .onnx file, not %s\n", path);
        return EXIT_USAGE;
    }
    const char *end = out ? strrchr(out, '.') : NULL;
    if (out && (!end || strcmp(end, ".dl"))) {
        fprintf(stderr, "dlcc: import writes a .dl file: -o model.dl\n");
        return EXIT_USAGE;
    }
    FrontendOptions fo = run_frontend_options(r);
    Unit *u = frontend_load(r->cx, path, &fo);
    const char *text = u && !r->cx->errors ? program_text(r, u) : NULL;
    if (!text)
        return run_finish(r);
    if (!out)
        return fputs(text, stdout) < 0 ? EXIT_FILE : 0;
    const char *weights = arena_printf(r->arena, "%.*s.safetensors", (int)(end - out), out);
    size_t n;
    if (is_checkpoint(weights)) {
        fprintf(stderr, "dlcc: %s is the checkpoint of a run: move it away, or take another name\n",
                weights);
        return EXIT_USAGE;
    }
    if (!save_weights(r, u, weights, &n) || !run_replace_file(r, out, text))
        return EXIT_FILE;
    if (!option_given(&r->options, OPT_QUIET))
        fprintf(stderr, n ? "%s and %s\nuse  dlrun infer %s -w %s --random\n"
                          : "%s\n%.0s" "use  dlrun infer %s --random\n",
                out, weights, out, weights);
    return run_finish(r);
}
