/* inspect.c: `dlcc inspect FILE`: what a model is made of (entries, parameters, memory, kernels) or
 * what a .safetensors file holds. As text, or as one JSON object a line (--json).
 *
 * Sizes are those of the tables that a library of the model would have; FLOPs and bytes are counted
 * from the kernels at the largest batch, no code is generated. A kernel's share is by the greater
 * of its arithmetic and its traffic, on a machine of 16 operations and 8 bytes a nanosecond. */
#include "driver/inspect_layers.h"
#include "driver/verbs.h"

#include "backend/model.h"
#include "ir/op.h"
#include "passes/trainable.h"
#include "runtime/host/progress.h"
#include "runtime/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { KERNELS_SHOWN = 12 };
#define FLOPS_A_NS 16.0
#define BYTES_A_NS 8.0

/* A name that others chose, fit for a terminal. */
static const char *plain(Arena *a, const char *text)
{
    char *copy = arena_strndup(a, text, strlen(text));
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return copy;
}

static const char *counted(Arena *a, int64_t n)
{
    char text[HOST_NUMBER_SIZE];
    return arena_printf(a, "%s", host_format_count(text, n));
}

static const char *bytes_text(Arena *a, int64_t n)
{
    char text[HOST_NUMBER_SIZE];
    return arena_printf(a, "%s", host_format_bytes(text, n));
}

/* 145 MFLOP */
static const char *flops_text(Arena *a, double flops)
{
    static const char *const units[] = { "FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP" };
    int u = 0;
    for (; flops >= 1000 && u < 4; u++)
        flops /= 1000;
    return arena_printf(a, flops < 10 && u ? "%.1f %s" : "%.0f %s", flops, units[u]);
}

/* f32[B, 10] < 10 */
static const char *value_text(Arena *a, Dtype dtype, const Shape *shape, int64_t bound)
{
    const char *dims = shape->rank ? shape_text(a, shape) : "";
    const char *below = bound > 0 ? arena_printf(a, " < %lld", (long long)bound) : "";
    return arena_printf(a, "%s%s%s", dtype_name(dtype), dims, below);
}

static const char *inputs_text(Arena *a, const Graph *g)
{
    const char *text = "";
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Input *in = &g->inputs.at[i];
        text = arena_printf(a, "%s%s%s %s", text, i ? ", " : "", in->name,
                            value_text(a, in->dtype, &in->shape, in->bound));
    }
    return text;
}

static const char *outputs_text(Arena *a, const Graph *g)
{
    const char *text = "";
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        const Output *o = &g->outputs.at[i];
        if (o->updates < 0)
            text = arena_printf(a, "%s%s%s %s", text, *text ? ", " : "", o->name ? o->name : "",
                                value_text(a, graph_dtype(g, o->node), graph_shape(g, o->node), 0));
    }
    return text;
}

/* ---- Counts ---- */

typedef struct {
    double flops, bytes;
    uint32_t kernels;
} Work;

static Work plan_work(const Program *p, const Plan *plan)
{
    Work w = { 0 };
    for (uint32_t i = 0; i < plan->items.n; i++) {
        if (plan->items.at[i].kind != PLAN_KERNEL)
            continue;
        const Kernel *k = p->kernels.at[plan->items.at[i].kernel];
        w.flops += k->flops;
        w.bytes += k->bytes;
        w.kernels++;
    }
    return w;
}

static double kernel_ns(const Kernel *k)
{
    double work = k->flops / FLOPS_A_NS, traffic = k->bytes / BYTES_A_NS;
    return work > traffic ? work : traffic;
}

static int64_t tensor_count(const Tensor *t)
{
    int64_t n = 0;
    return shape_elements(&t->shape, &n) ? n : 0;
}

static const char *tensor_role(const Tensor *t)
{
    switch (t->kind) {
    case TENSOR_PARAM: return t->trained ? "trained" : "frozen";
    case TENSOR_STATE: return "state";
    case TENSOR_MOMENT: return "optimizer";
    case TENSOR_STAT: return "statistic";
    }
    return "";
}

typedef struct {
    const char *entry;
    const Kernel *kernel;
    double ns;
    uint32_t place; /* among all, to keep equal ones in order */
} Cost;

static int compare_costs(const void *a, const void *b)
{
    const Cost *p = a, *q = b;
    return p->ns != q->ns ? (p->ns < q->ns) - (p->ns > q->ns)
                          : (p->place > q->place) - (p->place < q->place);
}

/* The kernels of the entry that costs most: a step, where there is one. */
static const Plan *costly_plan(const Program *p)
{
    const Plan *most = NULL;
    double ns = -1;
    for (uint32_t i = 0; i < p->plans.n; i++) {
        Work w = plan_work(p, &p->plans.at[i]);
        if (p->plans.at[i].entry->kind != ENTRY_INIT && w.flops + w.bytes > ns) {
            ns = w.flops + w.bytes;
            most = &p->plans.at[i];
        }
    }
    return most;
}

static uint32_t sort_costs(Arena *a, const Program *p, const Plan *plan, Cost **out_costs,
                           double *out_total)
{
    uint32_t n = 0;
    Cost *costs = arena_new_array(a, Cost, plan->items.n);
    *out_total = 0;
    for (uint32_t i = 0; i < plan->items.n; i++) {
        if (plan->items.at[i].kind != PLAN_KERNEL)
            continue;
        const Kernel *k = p->kernels.at[plan->items.at[i].kernel];
        costs[n] = (Cost){ plan->entry->name, k, kernel_ns(k), n };
        *out_total += costs[n++].ns;
    }
    qsort(costs, n, sizeof *costs, compare_costs);
    *out_costs = costs;
    return n;
}

/* ---- Text ---- */

static void print_entries(Arena *a, const Program *p)
{
    printf("entries\n");
    for (uint32_t i = 0; i < p->plans.n; i++) {
        const Plan *plan = &p->plans.at[i];
        const Graph *g = plan->entry->graph;
        Work w = plan_work(p, plan);
        const char *out = outputs_text(a, g), *in = inputs_text(a, g);
        printf("  %-10s %s%s%s\n", plan->entry->name, in, *in && *out ? " -> " : "", out);
        printf("  %-10s %s, %s moved, %u kernels, arena %s", "", flops_text(a, w.flops),
               bytes_text(a, (int64_t)w.bytes), w.kernels, bytes_text(a, plan->arena_bytes));
        if (g->batch_max)
            printf(plan->entry->pinned ? ", B = %lld exactly" : ", B = 1..%lld",
                   (long long)g->batch_max);
        printf("\n");
    }
}

static void print_tensors(Arena *a, const Unit *u)
{
    int64_t params = 0, trained = 0, moments = 0;
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        const Tensor *t = &u->tensors.at[i];
        params += t->kind == TENSOR_PARAM ? tensor_count(t) : 0;
        trained += t->kind == TENSOR_PARAM && t->trained ? tensor_count(t) : 0;
        moments += t->kind == TENSOR_MOMENT ? tensor_count(t) : 0;
    }
    printf("parameters  %s, of which %s are trained\n", counted(a, params), counted(a, trained));
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        const Tensor *t = &u->tensors.at[i];
        if (t->kind == TENSOR_MOMENT)
            continue;
        printf("  %-28s %-22s %12s  %s\n", t->name, value_text(a, t->dtype, tensor_shape(t), 0),
               counted(a, tensor_count(t)), tensor_role(t));
    }
    if (moments)
        printf("  %-28s %-22s %12s\n", "the optimizer's state", "", counted(a, moments));
}

static void print_layers(Arena *a, const ModelLayers *all)
{
    if (!all->layers.n)
        return;
    printf("layers of %s, with what they compute\n", all->entry);
    for (uint32_t i = 0; i < all->layers.n; i++) {
        const ModelLayer *l = &all->layers.at[i];
        printf("  %-28s %-22s %12s  %s\n", plain(a, l->name), value_text(a, l->dtype, &l->shape, 0),
               counted(a, l->params), flops_text(a, l->flops));
    }
}

/* For a model without a recipe, which may be somebody's to train: what could be. */
static void print_trainable(Run *r, const Unit *u, const Trainable *t)
{
    uint32_t all = 0, reached = 0;
    for (uint32_t i = 0; i < u->tensors.n; i++)
        if (u->tensors.at[i].kind == TENSOR_PARAM) {
            all++;
            reached += t->reached[i];
        }
    if (u->recipe.present || !all)
        return;
    printf("trainable   %u of %u parameters get a gradient from the results\n", reached, all);
    for (uint32_t i = 0; i < t->blockers.n; i++)
        printf("  in the way: `%s`, %u time%s, first at %s: it has no derivative\n",
               op_defs[t->blockers.at[i].op]->name, t->blockers.at[i].count,
               t->blockers.at[i].count == 1 ? "" : "s", loc_text(r->cx, t->blockers.at[i].loc));
}

static void print_memory(Arena *a, const Program *p, const DlrtModel *m)
{
    int64_t gather = m->view_bytes - m->arena_offset - m->arena_bytes;
    printf("memory      context %s bytes: arena %s", counted(a, m->context_bytes),
           bytes_text(a, m->arena_bytes));
    if (gather)
        printf(", shuffled batch %s", bytes_text(a, gather));
    printf(", tensors %s; constants %s\n", bytes_text(a, m->context_bytes - m->view_bytes),
           bytes_text(a, p->const_bytes));
}

static void print_kernels(Run *r, const Program *p)
{
    Arena *a = r->arena;
    Cost *costs;
    double total;
    const Plan *plan = costly_plan(p);
    uint32_t n = plan ? sort_costs(a, p, plan, &costs, &total) : 0;
    if (!n || total <= 0)
        return;
    printf("kernels of %s, by estimated time\n", plan->entry->name);
    for (uint32_t i = 0; i < n && i < KERNELS_SHOWN; i++) {
        const Kernel *k = costs[i].kernel;
        const char *slash = strrchr(loc_text(r->cx, k->loc), '/');
        printf("  %5.1f %%  %-24s %11s  %9s  %s\n", 100 * costs[i].ns / total,
               k->name ? k->name : "", flops_text(a, k->flops), bytes_text(a, (int64_t)k->bytes),
               slash ? slash + 1 : loc_text(r->cx, k->loc));
    }
    if (n > KERNELS_SHOWN)
        printf("  and %u more\n", n - KERNELS_SHOWN);
}

/* ---- JSON ---- */

static bool json_model(Run *r, const Unit *u, const DlrtModel *m)
{
    HostEvent e;
    const Program *p = u->program;
    bool ok = true;
    host_event_begin(&e, stdout, "model");
    host_event_string(&e, "name", u->name);
    host_event_int(&e, "context_bytes", m->context_bytes);
    host_event_int(&e, "arena_bytes", m->arena_bytes);
    host_event_int(&e, "tensor_bytes", m->context_bytes - m->view_bytes);
    host_event_int(&e, "constant_bytes", p->const_bytes);
    ok &= host_event_end(&e);
    for (uint32_t i = 0; i < p->plans.n; i++) {
        const Plan *plan = &p->plans.at[i];
        Work w = plan_work(p, plan);
        host_event_begin(&e, stdout, "entry");
        host_event_string(&e, "name", plan->entry->name);
        host_event_string(&e, "inputs", inputs_text(r->arena, plan->entry->graph));
        host_event_string(&e, "outputs", outputs_text(r->arena, plan->entry->graph));
        host_event_int(&e, "batch", plan->entry->graph->batch_max);
        host_event_double(&e, "flops", w.flops);
        host_event_double(&e, "bytes", w.bytes);
        host_event_int(&e, "kernels", w.kernels);
        host_event_int(&e, "arena_bytes", plan->arena_bytes);
        ok &= host_event_end(&e);
    }
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        const Tensor *t = &u->tensors.at[i];
        host_event_begin(&e, stdout, "tensor");
        host_event_string(&e, "name", t->name);
        host_event_string(&e, "type", value_text(r->arena, t->dtype, tensor_shape(t), 0));
        host_event_int(&e, "count", tensor_count(t));
        host_event_string(&e, "role", tensor_role(t));
        ok &= host_event_end(&e);
    }
    Cost *costs;
    double total;
    const Plan *plan = costly_plan(p);
    for (uint32_t i = 0, n = plan ? sort_costs(r->arena, p, plan, &costs, &total) : 0; i < n; i++) {
        host_event_begin(&e, stdout, "kernel");
        host_event_string(&e, "entry", costs[i].entry);
        host_event_string(&e, "name", costs[i].kernel->name);
        host_event_string(&e, "source", loc_text(r->cx, costs[i].kernel->loc));
        host_event_double(&e, "flops", costs[i].kernel->flops);
        host_event_double(&e, "bytes", costs[i].kernel->bytes);
        host_event_double(&e, "share", total > 0 ? costs[i].ns / total : 0);
        ok &= host_event_end(&e);
    }
    return ok;
}

static bool json_layers(Run *r, const ModelLayers *all)
{
    bool ok = true;
    for (uint32_t i = 0; i < all->layers.n; i++) {
        HostEvent e;
        const ModelLayer *l = &all->layers.at[i];
        host_event_begin(&e, stdout, "layer");
        host_event_string(&e, "name", l->name);
        host_event_string(&e, "result", value_text(r->arena, l->dtype, &l->shape, 0));
        host_event_int(&e, "parameters", l->params);
        host_event_double(&e, "flops", l->flops);
        ok &= host_event_end(&e);
    }
    return ok;
}

static int inspect_model(Run *r, const char *path)
{
    FrontendOptions o = run_frontend_options(r);
    Target t;
    if (!run_target(r, "x86-64-v3", &t))
        return EXIT_USAGE;
    Unit *u = frontend_load(r->cx, path, &o);
    Trainable trainable = { 0 };
    ModelLayers layers = { 0 };
    if (u && !r->cx->errors) {
        trainable = trainable_find(u);
        layers = inspect_layers(u);
    }
    bool ok = u && !r->cx->errors && run_passes(r, u, NULL, NULL);
    int code = run_finish(r);
    if (!ok || code)
        return code ? code : EXIT_INTERNAL;
    const DlrtModel *m = &model_tables(u->program, NULL, &t)->model;
    if (option_given(&r->options, OPT_JSON))
        return json_model(r, u, m) && json_layers(r, &layers) ? 0 : EXIT_FILE;
    printf("model       %s\n", u->name);
    print_entries(r->arena, u->program);
    print_layers(r->arena, &layers);
    print_tensors(r->arena, u);
    print_trainable(r, u, &trainable);
    print_memory(r->arena, u->program, m);
    print_kernels(r, u->program);
    return 0;
}

/* ---- Files of weights ---- */

static const char *dims_text(Arena *a, const DlrtSafeTensor *t)
{
    const char *text = "";
    for (int d = 0; d < t->rank; d++)
        text = arena_printf(a, "%s%s%lld", text, d ? ", " : "[", (long long)t->dims[d]);
    return t->rank ? arena_printf(a, "%s%s]", dlrt_dtype_name(t->dtype), text)
                   : dlrt_dtype_name(t->dtype);
}

static int64_t safe_count(const DlrtSafeTensor *t)
{
    return (int64_t)((t->end - t->begin) / dlrt_dtype_size(t->dtype));
}

static bool json_weights(Run *r, const DlrtSafeFile *f)
{
    HostEvent e;
    const DlrtSafeTensor *t;
    const DlrtPair *pair;
    bool ok = true;
    for (size_t i = 0; (pair = dlrt_safe_pair(f, i)) != NULL; i++) {
        host_event_begin(&e, stdout, "metadata");
        host_event_string(&e, "key", pair->key);
        host_event_string(&e, "value", pair->value);
        ok &= host_event_end(&e);
    }
    for (size_t i = 0; (t = dlrt_safe_tensor(f, i)) != NULL; i++) {
        host_event_begin(&e, stdout, "tensor");
        host_event_string(&e, "name", t->name);
        host_event_string(&e, "type", dims_text(r->arena, t));
        host_event_int(&e, "count", safe_count(t));
        host_event_int(&e, "bytes", (int64_t)(t->end - t->begin));
        ok &= host_event_end(&e);
    }
    return ok;
}

static void print_weights(Run *r, const DlrtSafeFile *f, const char *path)
{
    Arena *a = r->arena;
    const DlrtSafeTensor *t;
    const DlrtPair *pair;
    int64_t total = 0, bytes = 0;
    size_t n = 0;
    for (; (t = dlrt_safe_tensor(f, n)) != NULL; n++) {
        total += safe_count(t);
        bytes += (int64_t)(t->end - t->begin);
    }
    printf("weights     %s: %zu tensors, %s numbers, %s%s\n", path, n, counted(a, total),
           bytes_text(a, bytes), dlrt_safe_has_sums(f) ? ", with checksums" : "");
    for (size_t i = 0; (pair = dlrt_safe_pair(f, i)) != NULL; i++)
        if (strncmp(pair->key, "dlcc.sum.", 9) && strcmp(pair->key, "dlcc.header"))
            printf("  %s = %s\n", plain(a, pair->key), plain(a, pair->value));
    for (size_t i = 0; (t = dlrt_safe_tensor(f, i)) != NULL; i++)
        printf("  %-36s %-22s %12s\n", plain(a, t->name), dims_text(a, t),
               counted(a, safe_count(t)));
}

static int inspect_weights(Run *r, const char *path)
{
    char message[256];
    DlrtSafeFile *f;
    if (dlrt_safe_open_path(path, message, sizeof message, &f)) {
        fprintf(stderr, "dlcc: %s\n", plain(r->arena, message));
        return EXIT_FILE;
    }
    bool ok = true;
    if (option_given(&r->options, OPT_JSON))
        ok = json_weights(r, f);
    else
        print_weights(r, f, path);
    dlrt_safe_close(f);
    return ok ? 0 : EXIT_FILE;
}

int verb_inspect(Run *r)
{
    const char *path = run_file(r, 1);
    if (!path)
        return EXIT_USAGE;
    const char *dot = strrchr(path, '.');
    return dot && !strcmp(dot, ".safetensors") ? inspect_weights(r, path) : inspect_model(r, path);
}
