/* export.c: `dlcc FILE -w WEIGHTS -o MODEL.onnx`: one export of a model as an ONNX file, with the
 * weights and the statistics of the data in it. */
#include "driver/verbs.h"

#include "backend/aot.h"
#include "frontend/onnx/export.h"
#include "ir/value.h"
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The export that --entries names, or the only one. NULL: a diagnostic is recorded. */
static const char *chosen_entry(Run *r, Unit *u)
{
    const char *wanted = option_value(&r->options, OPT_ENTRIES, NULL), *names[64], *list = "";
    uint32_t n = 0;
    if (wanted && !(wanted = entries_add(r, u, wanted)))
        return NULL;
    for (uint32_t i = 0; i < u->entries.n; i++) {
        const char *name = u->entries.at[i].name;
        if (!aot_is_export(u, i))
            continue;
        if (wanted && !strcmp(wanted, name))
            return name;
        list = arena_printf(r->arena, "%s%s`%s`", list, n ? ", " : "", name);
        if (n < 64)
            names[n++] = name;
    }
    if (n == 1 && !wanted)
        return names[0];
    if (!n) {
        diag_report(r->cx, DIAG_E0909, 0, "the model %s exports no function: write `export fn`",
                    u->name);
    } else if (wanted) {
        const char *near = diag_nearest(wanted, names, n);
        diag_report(r->cx, DIAG_E0909, 0,
                    near ? "no export `%s`; did you mean `%s`?" : "no export `%s`", wanted, near);
    } else {
        uint32_t d = diag_report(r->cx, DIAG_E0909, 0, "the model %s exports several functions: %s",
                                 u->name, list);
        diag_add(r->cx, d, DIAG_HELP, 0, "choose one: --entries %s", names[0]);
    }
    return NULL;
}

/* ---- Weights ---- */

static bool fits(const Tensor *t, const DlrtSafeTensor *s)
{
    Dtype dtype;
    bool same = dtype_parse(dlrt_dtype_name(s->dtype), &dtype) && dtype == t->dtype &&
                (uint32_t)s->rank == t->shape.rank;
    for (uint32_t i = 0; same && i < t->shape.rank; i++)
        same = s->dims[i] == t->shape.dim[i].n;
    return same;
}

static bool read_tensor(Run *r, const DlrtSafeFile *f, const char *path, const Tensor *t,
                        const void **out_elements)
{
    char message[256];
    const DlrtSafeTensor *s = dlrt_safe_find(f, t->name);
    if (!s || !fits(t, s)) {
        diag_report(r->cx, DIAG_E0905, 0,
                    s ? "%s: `%s` is of another type or shape than the model's %s%s"
                      : "%s has no `%s`, which the model has as %s%s",
                    path, t->name, dtype_name(t->dtype), shape_text(r->arena, &t->shape));
        return false;
    }
    void *to = arena_alloc(r->arena, s->end - s->begin);
    *out_elements = to;
    if (!dlrt_safe_read(f, s, to, message, sizeof message))
        return true;
    diag_report(r->cx, DIAG_E0905, 0, "%s", message);
    return false;
}

static void mark_read(const Graph *g, Arena *a, bool *read)
{
    const uint8_t *live = graph_live(a, g);
    for (NodeId id = 0; id < g->nodes.n; id++)
        if (live[id] && graph_node(g, id)->op == OP_tensor)
            read[graph_attr(g, id, "index")->i] = true;
}

/* The start value of a tensor of an imported file, in the tensor's type. */
static const void *start_value(Run *r, const Tensor *t)
{
    if (!t->data || t->data_dtype == t->dtype)
        return t->data;
    Value from = value_from_bytes(r->arena, t->data_dtype, &t->shape, t->data),
          to = value_new(r->arena, t->dtype, &t->shape, 1);
    for (int64_t i = 0; i < to.count; i++)
        value_cast(&from, i, &to);
    void *bytes = arena_alloc_array(r->arena, (size_t)to.count, dtype_size(t->dtype));
    value_to_bytes(&to, bytes);
    return bytes;
}

/* The elements of the tensors that the entry reads; NULL: a diagnostic is recorded. */
static const void **read_weights(Run *r, Unit *u, const char *entry)
{
    const char *path = option_value(&r->options, OPT_WEIGHTS, NULL);
    const void **elements = arena_new_array(r->arena, const void *, u->tensors.n);
    bool *read = arena_new_array(r->arena, bool, u->tensors.n), any = false;
    char message[256];
    DlrtSafeFile *f;
    mark_read(unit_entry(u, entry)->graph, r->arena, read);
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        elements[i] = read[i] && !path ? start_value(r, &u->tensors.at[i]) : NULL;
        any |= read[i] && !elements[i];
    }
    if (!any)
        return elements;
    if (!path) {
        uint32_t d =
            diag_report(r->cx, DIAG_E0905, 0, "an ONNX file holds its weights, and there are none");
        diag_add(r->cx, d, DIAG_HELP, 0, "`-w FILE.safetensors`, which `dlrun train` writes");
        return NULL;
    }
    if (dlrt_safe_open_path(path, message, sizeof message, &f)) {
        diag_report(r->cx, DIAG_E0905, 0, "%s", message);
        return NULL;
    }
    bool ok = true;
    for (uint32_t i = 0; i < u->tensors.n; i++)
        if (read[i])
            ok &= read_tensor(r, f, path, &u->tensors.at[i], &elements[i]);
    dlrt_safe_close(f);
    return ok ? elements : NULL;
}

/* ---- The whole ---- */

static void report(const Run *r, const Unit *u, const OnnxExport *o)
{
    const char *weights = option_value(&r->options, OPT_WEIGHTS, NULL);
    struct stat s;
    if (option_given(&r->options, OPT_QUIET) || stat(o->path, &s))
        return;
    fprintf(stderr, "%s  %lld KiB, ONNX opset %d: %s of %s%s%s\n", o->path,
            (long long)(s.st_size + 1023) / 1024, ONNX_OPSET, o->entry, u->name,
            weights ? "; weights of " : "", weights ? weights : "");
}

int export_model(Run *r, const char *path, const char *out)
{
    const char *slash = strrchr(path, '/');
    OnnxExport o = { .path = out, .source = slash ? slash + 1 : path };
    FrontendOptions fo = run_frontend_options(r);
    Unit *u = frontend_load(r->cx, path, &fo);
    if (!u || r->cx->errors || !(o.entry = chosen_entry(r, u)))
        return run_finish(r);
    int code = entries_select(r, u, o.entry);
    if (code)
        return code;
    bool ok = run_passes(r, u, "autodiff", NULL) && !r->cx->errors &&
              (o.elements = read_weights(r, u, o.entry)) && onnx_export(u, &o);
    code = run_finish(r);
    if (ok && !code)
        report(r, u, &o);
    return ok || code ? code : EXIT_INTERNAL;
}

int verb_export(Run *r)
{
    const char *path = run_file(r, 1), *out = option_value(&r->options, OPT_OUTPUT, NULL);
    size_t n = out ? strlen(out) : 0;
    if (!path)
        return EXIT_USAGE;
    if (n < 6 || strcmp(out + n - 5, ".onnx")) {
        fprintf(stderr, "dlcc: where to? `dlcc export %s -w FILE.safetensors -o model.onnx`\n",
                path);
        return EXIT_USAGE;
    }
    return export_model(r, path, out);
}
