/* import.c: from an ONNX file to the text of a model: the walk over its nodes.
 *
 * The walk begins anew when it learns that the batch must be a number after all (a shape computed
 * from it), or that the value of an input decides a shape and is given: each at most once, so that
 * it ends. What cannot be translated is noted and what follows from it is passed over, so that one
 * run tells all of it. */
#include "frontend/name.h"
#include "frontend/onnx/import.h"
#include "frontend/onnx/onnx.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct OnnxWeights {
    VEC(OnnxValue *) values; /* by title */
};

/* ---- Rows ---- */

static bool is_default(const char *domain)
{
    return !domain || !*domain || !strcmp(domain, "ai.onnx");
}

static int64_t opset_in(Onnx__OperatorSetIdProto *const *at, size_t n, const char *domain)
{
    for (size_t i = 0; i < n; i++)
        if (is_default(domain) ? is_default(at[i]->domain)
                               : at[i]->domain && !strcmp(at[i]->domain, domain))
            return at[i]->version;
    return -1;
}

int64_t node_version(const OnnxNode *q)
{
    const Onnx__ModelProto *m = q->im->model;
    const Onnx__FunctionProto *f = q->scope ? q->scope->function : NULL;
    int64_t v = f ? opset_in(f->opset_import, f->n_opset_import, q->proto->domain) : -1;
    if (v < 0)
        v = opset_in(m->opset_import, m->n_opset_import, q->proto->domain);
    return v < 0 ? 1 : v;
}

static const OnnxRow *find_row(const OnnxNode *q)
{
    const OnnxRow *best = NULL;
    const char *domain = is_default(q->proto->domain) ? NULL : q->proto->domain;
    size_t n = domain ? strlen(domain) : 0;
    int64_t version = node_version(q);
    for (uint32_t i = 0; i < onnx_row_count; i++) {
        const OnnxRow *r = &onnx_rows[i];
        const char *op = r->op;
        if (domain) {
            if (strncmp(op, domain, n) || strncmp(op + n, "::", 2))
                continue;
            op += n + 2;
        }
        if (!strcmp(op, q->proto->op_type) && r->since <= version &&
            (!best || r->since > best->since))
            best = r;
    }
    return best;
}

static const Onnx__FunctionProto *find_function(const OnnxNode *q)
{
    const Onnx__ModelProto *m = q->im->model;
    for (size_t i = 0; i < m->n_functions; i++) {
        const Onnx__FunctionProto *f = m->functions[i];
        bool same = is_default(q->proto->domain)
                        ? is_default(f->domain)
                        : f->domain && !strcmp(f->domain, q->proto->domain);
        if (same && f->name && !strcmp(f->name, q->proto->op_type))
            return f;
    }
    return NULL;
}

/* ---- Nodes ---- */

/* Values that a failed node leaves: what follows from them is passed over. */
static void leave_missing(OnnxNode *q)
{
    for (size_t i = 0; i < q->proto->n_output; i++) {
        if (!*q->proto->output[i])
            continue;
        OnnxValue *v = names_find(q->im, q->im->names, q->proto->output[i]);
        if (!v)
            v = names_add(q->im, q->im->names, q->proto->output[i]);
        v->kind = VALUE_MISSING;
    }
}

static bool has_missing_input(OnnxNode *q)
{
    for (uint32_t i = 0; i < q->proto->n_input; i++) {
        OnnxValue *v = node_has(q, i) ? names_find(q->im, q->im->names, q->proto->input[i]) : NULL;
        if (v && v->kind == VALUE_MISSING)
            return true;
    }
    return false;
}

static bool import_node(Import *im, const Onnx__NodeProto *proto)
{
    NodeReads reads = { 0 };
    OnnxNode q = { .im = im, .proto = proto, .reads = &reads, .scope = im->names,
                   .narrow = DT_COUNT };
    bool ok = false;
    if (++im->n_nodes > ONNX_MAX_NODES) {
        if (im->n_nodes == ONNX_MAX_NODES + 1)
            diag_report(im->e->cx, DIAG_E0720, onnx_loc(im->file),
                        "more than %d nodes, those of its functions counted where they are called",
                        ONNX_MAX_NODES);
        return false;
    }
    if (!spend(im->e, 0, 64))
        return false;
    if (has_missing_input(&q)) {
        leave_missing(&q);
        return false;
    }
    if (!import_turned(&q)) {
        leave_missing(&q);
        return false;
    }
    reads = (NodeReads){ 0 }; /* from here on, by the mapping */
    const Onnx__FunctionProto *f = find_function(&q);
    q.row = f ? NULL : find_row(&q);
    if (f)
        ok = import_call(&q, f);
    else if (!q.row)
        node_unsupported(&q, "no such operator here");
    else if (q.row->text)
        ok = import_template(&q, q.row->text);
    else
        ok = q.row->map(&q);
    if (ok && !q.failed && !f && !im->again)
        ok = import_check_reads(&q);
    if (!ok || q.failed)
        leave_missing(&q);
    bool at_name = im->until && !im->names->function && proto->name &&
                   !strcmp(proto->name, im->until) && proto->n_output;
    OnnxValue *first = at_name ? names_find(im, im->names, proto->output[0]) : NULL;
    if (first && !im->stopped) {
        im->stopped = true;
        im->outputs.n = 0;
        vec_push(im->a, &im->outputs, first);
    }
    return ok && !q.failed;
}

bool import_nodes(Import *im, Names *names, Onnx__NodeProto *const *nodes, size_t n)
{
    Names *outer = im->names;
    bool ok = true;
    im->names = names;
    nodes = import_order(im, nodes, n);
    for (size_t i = 0; i < n && !im->stopped && !im->again; i++)
        ok &= import_node(im, nodes[i]);
    im->names = outer;
    return ok;
}

/* ---- Initializers and outputs ---- */

bool import_initializers(Import *im, Names *names, const Onnx__GraphProto *g)
{
    for (size_t i = 0; i < g->n_initializer; i++) {
        const Onnx__TensorProto *t = g->initializer[i];
        const char *name = t->name ? t->name : "";
        if (names_find(im, names, name)) {
            diag_report(im->e->cx, DIAG_E0721, onnx_loc(im->file),
                        "the initializer `%s` is given twice", onnx_escape(im->a, name));
            return false;
        }
        OnnxTensor *own = arena_make(im->a, OnnxTensor);
        Dtype dtype;
        if (!onnx_dtype(t->data_type, &dtype)) { /* refused where it is used */
            names_add(im, names, name)->kind = VALUE_MISSING;
            vec_push(im->a, &im->refusals,
                     (Refusal){ arena_printf(im->a, "a tensor of %s",
                                             onnx_type_name(im->a, t->data_type)),
                                "no such numbers here", onnx_escape(im->a, name), 1 });
            continue;
        }
        if (!onnx_tensor(im->file, t,
                         arena_printf(im->a, "initializer `%s`", onnx_escape(im->a, name)), own))
            return false;
        OnnxValue *v = names_add(im, names, name);
        v->kind = VALUE_WEIGHT;
        v->data = own;
        import_constant(im, v);
    }
    return true;
}

/* Constants fold; parameters, and what is too long to be asked for, stand as inputs do. */
void import_constant(Import *im, OnnxValue *v)
{
    Shape s = { .rank = v->data->rank };
    for (uint32_t i = 0; i < s.rank; i++)
        s.dim[i] = dim_of(v->data->dim[i]);
    bool fold = v->data->count <= ONNX_MAX_INTS &&
                (v->kind == VALUE_KNOWN || !dtype_is_float(v->data->dtype) || v->data->count <= 1);
    v->val = val_node(fold ? import_data(im, v->data->dtype, &s, v->data->data)
                           : graph_input(im->g, (Input){ .name = v->name,
                                                         .dtype = import_dtype(im, v->data->dtype),
                                                         .shape = s }));
}

Dtype import_dtype(const Import *im, Dtype t)
{
    return t == DT_F32 && im->e->options->f64 ? DT_F64 : t;
}

NodeId import_data(Import *im, Dtype t, const Shape *s, const void *elements)
{
    NodeId x = b_data(im->g, t, s, elements);
    return x == NODE_NONE || import_dtype(im, t) == t ? x : b_cast(im->g, x, import_dtype(im, t));
}

/* After the results come the counts of those whose size only the data tell: `y.count.1` says how
 * many of y's axis 1 count. */
static void import_counts(Import *im)
{
    for (uint32_t i = 0, n = im->outputs.n; i < n; i++) {
        const OnnxValue *of = im->outputs.at[i];
        if (!of->count)
            continue;
        OnnxValue *v = arena_make(im->a, OnnxValue);
        Binding *b = scope_find_here(im->scope, of->count);
        *v = (OnnxValue){ .name = arena_printf(im->a, "%s.count.%u", of->name, of->axis),
                          .ident = of->count,
                          .kind = VALUE_NODE,
                          .val = b->val,
                          .line = of->line,
                          .input = -1 };
        vec_push(im->a, &im->outputs, v);
    }
}

/* A result has its rows in the order of the file. */
static void turn_back(Import *im, const OnnxValue *v)
{
    if (v->turned) {
        im->pinned_by = arena_printf(im->a, "the order of rows in `%s`", v->name);
        im->again = im->static_batch = true;
    }
}

static bool import_outputs(Import *im)
{
    const Onnx__GraphProto *g = im->model->graph;
    if (im->stopped)
        turn_back(im, im->outputs.at[0]);
    if (im->stopped)
        return true;
    if (im->until)
        return import_nowhere(im);
    for (size_t i = 0; i < g->n_output; i++) {
        const char *name = g->output[i]->name ? g->output[i]->name : "";
        OnnxValue *v = names_find(im, im->names, name);
        if (!v) {
            diag_report(im->e->cx, DIAG_E0721, onnx_loc(im->file), "nothing gives the output `%s`",
                        onnx_escape(im->a, name));
            return false;
        }
        turn_back(im, v);
        if (v->kind != VALUE_MISSING)
            vec_push(im->a, &im->outputs, v);
    }
    import_counts(im);
    if (!g->n_output)
        diag_report(im->e->cx, DIAG_E0721, onnx_loc(im->file), "the graph has no output");
    return g->n_output > 0;
}

/* ---- The walk ---- */

static bool walk(Import *im)
{
    const Onnx__GraphProto *g = im->model->graph;
    im->g = graph_new(im->e->u, "onnx", 0);
    im->e->g = im->g;
    im->scope = scope_new(im->e, NULL);
    im->names = im->top = arena_make(im->a, Names);
    im->taken = arena_make(im->a, Names);
    im->titles = arena_make(im->a, Names);
    im->constant.n = im->sized.n = im->lines.n = im->refusals.n = im->inputs.n = im->outputs.n = 0;
    im->n_nodes = 0;
    im->again = im->stopped = false;
    if (!import_inputs(im) || !import_initializers(im, im->names, g))
        return false;
    import_nodes(im, im->names, g->node, g->n_node);
    return im->again || (im->n_nodes <= ONNX_MAX_NODES && import_outputs(im));
}

/* What is cut off may be anything. */
static bool report_refusals(Import *im)
{
    bool cut = im->stopped && im->outputs.n && im->outputs.at[0]->kind != VALUE_MISSING;
    if (!im->refusals.n || cut)
        return true;
    uint32_t nodes = 0;
    for (uint32_t i = 0; i < im->refusals.n; i++)
        nodes += im->refusals.at[i].count;
    uint32_t d = diag_report(im->e->cx, DIAG_E0720, onnx_loc(im->file),
                             "%u node%s of this model cannot be translated", nodes,
                             nodes == 1 ? "" : "s");
    for (uint32_t i = 0; i < im->refusals.n; i++) {
        const Refusal *r = &im->refusals.at[i];
        diag_add(im->e->cx, d, DIAG_NOTE, 0, "%u x %s: %s; first %s", r->count, r->op, r->why,
                 r->first);
    }
    return false;
}

/* The batch is 1 because nobody said another number, and any number is not possible. */
static void warn_of_batch(Import *im)
{
    if (!im->pinned_by || im->batch_given)
        return;
    uint32_t d = diag_report(im->e->cx, DIAG_W0721, onnx_loc(im->file),
                             "the batch is 1: %s needs it as a number", im->pinned_by);
    if (im->pinned_why)
        diag_add(im->e->cx, d, DIAG_NOTE, 0, "%s", im->pinned_why);
    diag_add(im->e->cx, d, DIAG_HELP, 0, "another one by -D %s=8",
             onnx_escape(im->a, im->batch));
}

static const char *model_name(Import *im)
{
    const char *slash = strrchr(im->path, '/'), *stem = slash ? slash + 1 : im->path;
    const char *dot = strrchr(stem, '.');
    char *name = arena_strndup(im->a, stem, dot ? (size_t)(dot - stem) : strlen(stem));
    if (*name >= 'a' && *name <= 'z') /* a type's name, as people write them: Model, Resnet18 */
        *name = (char)(*name - 'a' + 'A');
    return import_ident(im, name);
}

static int by_title(const void *a, const void *b)
{
    return strcmp((*(OnnxValue *const *)a)->title, (*(OnnxValue *const *)b)->title);
}

static OnnxWeights *collect_weights(Import *im)
{
    OnnxWeights *w = arena_make(im->a, OnnxWeights);
    for (uint32_t i = 0; i < im->lines.n; i++)
        if (im->lines.at[i].live && im->lines.at[i].weight)
            vec_push(im->a, &w->values, im->lines.at[i].weight);
    if (w->values.n)
        qsort(w->values.at, w->values.n, sizeof *w->values.at, by_title);
    return w;
}

const void *onnx_weight(const OnnxWeights *w, const char *name, Dtype *out_dtype)
{
    const OnnxValue wanted = { .title = name }, *key = &wanted;
    OnnxValue *const *found = NULL;
    if (w->values.n)
        found = bsearch(&key, w->values.at, w->values.n, sizeof *w->values.at, by_title);
    if (!found)
        return NULL;
    *out_dtype = (*found)->data->dtype;
    return (*found)->data->data;
}

const char *onnx_import(Elab *e, const char *path, const OnnxPart *part, OnnxWeights **out_weights)
{
    Import im = { .e = e,
                  .a = e->a,
                  .path = path,
                  .until = part ? part->until : NULL,
                  .part = part };
    Elab before = *e; /* the place in the program from which the file is imported */
    im.file = onnx_open(e->cx, path);
    if (!im.file)
        return NULL;
    im.model = onnx_model(im.file);
    if (im.model->n_functions > ONNX_MAX_FUNCTIONS) {
        diag_report(e->cx, DIAG_E0720, onnx_loc(im.file), "more than %d functions",
                    ONNX_MAX_FUNCTIONS);
        return NULL;
    }
    im.fixed = arena_new_array(e->a, uint8_t, im.model->graph->n_input + 1);
    e->call = 0;
    e->batch_max = 0;
    e->pinned = e->wants_pin = false;
    bool ok;
    do
        ok = walk(&im);
    while (ok && im.again);
    const char *text = NULL;
    for (uint32_t i = 0; i < im.inputs.n; i++)
        if (im.fixed[im.inputs.at[i]->input])
            vec_push(e->a, &e->u->by_value, im.inputs.at[i]->name);
    if (ok && report_refusals(&im) && !e->cx->errors) {
        warn_of_batch(&im);
        im.model_name = model_name(&im);
        text = import_model_text(&im);
        *out_weights = collect_weights(&im);
    }
    e->g = before.g;
    e->call = before.call;
    e->batch_max = before.batch_max;
    e->wants_pin = before.wants_pin;
    e->pinned = before.pinned;
    return text;
}
