/* case.c: one published test in this process: load and compile as `dlrun infer` does it, call with
 * the inputs of each data set, compare with its outputs. The engine is the one of the tools, so
 * that what is tested is what people run. */
#include "tests/onnx/conform/case.h"

#include "driver/counted.h"
#include "driver/engine.h"
#include "driver/inputs.h"
#include "frontend/onnx/file.h"
#include "tests/onnx/conform/compare.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The arrays of one data set, in the order of the model's inputs or outputs. */
typedef struct {
    Array at[DLRT_MAX_VALUES];
    uint32_t n;
} Arrays;

typedef struct {
    Run run;
    const char *folder, *model;
    const Onnx__GraphProto *graph;
    CaseResult *result;
    Arrays in, out;
} Case;

static bool end(Case *c, CaseStatus status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool end(Case *c, CaseStatus status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->result->message, sizeof c->result->message, format, args);
    va_end(args);
    c->result->status = status;
    return false;
}

/* One word of letters that a list can hold. */
static void set_word(char out[64], const char *text, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n && at < 63; i++)
        if (isalnum((unsigned char)text[i]) || strchr("_.-", text[i]))
            out[at++] = text[i];
    out[at] = 0;
}

static bool refuse(Case *c, const char *reason, const char *what)
{
    set_word(c->result->reason, reason, strlen(reason));
    return end(c, CASE_UNSUPPORTED, "%s", what);
}

/* What the diagnostics mean: a refusal, or a failure. The reason of a refusal is the first op of
 * the importer's list, `1 x Abs (opset 13): ..`, else the first name in quotes, else the first
 * word. */
static bool diagnosed(Case *c)
{
    Compiler *cx = c->run.cx;
    const Diag *first = NULL;
    for (uint32_t i = cx->diags.n; i-- > 0;)
        if (diag_rows[cx->diags.at[i].code].exit)
            first = &cx->diags.at[i];
    const char *message = first ? first->message : "no diagnostic";
    const char *note = first && first->parts.n ? first->parts.at[0].text : "";
    if (diag_exit_code(cx) != EXIT_UNSUPPORTED)
        return end(c, CASE_FAIL, "exit %d: %s %s", diag_exit_code(cx), message, note);
    const char *op = strstr(note, " x "), *open = strchr(message, '`');
    const char *close = open ? strchr(open + 1, '`') : NULL;
    if (op)
        set_word(c->result->reason, op + 3, strcspn(op + 3, " "));
    else if (close)
        set_word(c->result->reason, open + 1, (size_t)(close - open) - 1);
    if (!*c->result->reason)
        set_word(c->result->reason, message, strcspn(message, " "));
    return end(c, CASE_UNSUPPORTED, "%s", op ? op + 3 : message);
}

/* ---- The model ---- */

static bool has_initializer(const Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (g->initializer[i]->name && !strcmp(g->initializer[i]->name, name))
            return true;
    return false;
}

/* The op that the test is about: the only one of the graph, or the one of another domain. */
static void find_op(Case *c)
{
    char *op = c->result->op;
    bool several = false, foreign = false;
    *op = 0;
    for (size_t i = 0; i < c->graph->n_node; i++) {
        const Onnx__NodeProto *n = c->graph->node[i];
        char word[64];
        bool own = !n->domain || !*n->domain || !strcmp(n->domain, "ai.onnx");
        const char *full = own ? n->op_type
                               : arena_printf(c->run.arena, "%s.%s", n->domain, n->op_type);
        if (!full || foreign)
            continue;
        set_word(word, full, strlen(full));
        several = *op && strcmp(op, word);
        if (!*op || !own)
            memcpy(op, word, sizeof word);
        foreign = !own;
        if (several && own)
            break;
    }
    if (!*op || (several && !foreign))
        strcpy(op, "-");
}

/* Values of kinds that we have no type for. */
static bool check_types(Case *c, Onnx__ValueInfoProto **values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const Onnx__TypeProto *t = values[i]->type;
        Dtype dtype;
        if (!t || t->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE) {
            int32_t elem = t ? t->tensor_type->elem_type : 0;
            if (t && elem && !onnx_dtype(elem, &dtype))
                return refuse(c, onnx_type_name(c->run.arena, elem), "an element type");
            continue;
        }
        return refuse(c,
                      t->value_case == ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE   ? "sequence"
                      : t->value_case == ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE ? "optional"
                      : t->value_case == ONNX__TYPE_PROTO__VALUE_MAP_TYPE      ? "map"
                                                                               : "type",
                      "an input or output that is no tensor");
    }
    return true;
}

static bool open_model(Case *c)
{
    OnnxFile *file = onnx_open(c->run.cx, c->model);
    if (!file)
        return diagnosed(c);
    c->graph = onnx_model(file)->graph;
    find_op(c);
    return check_types(c, c->graph->input, c->graph->n_input) &&
           check_types(c, c->graph->output, c->graph->n_output);
}

/* ---- Data ---- */

static const DlrtDtype dtypes[DT_COUNT] = {
    [DT_F64] = DLRT_F64, [DT_F32] = DLRT_F32, [DT_F16] = DLRT_F16, [DT_BF16] = DLRT_BF16,
    [DT_I64] = DLRT_I64, [DT_I32] = DLRT_I32, [DT_I16] = DLRT_I16, [DT_I8] = DLRT_I8,
    [DT_U64] = DLRT_U64, [DT_U32] = DLRT_U32, [DT_U16] = DLRT_U16, [DT_U8] = DLRT_U8,
    [DT_BOOL] = DLRT_BOOL,
};

static bool read_arrays(Case *c, const char *set, const char *kind, Arrays *out)
{
    for (out->n = 0;; out->n++) {
        const char *path = arena_printf(c->run.arena, "%s/%s_%u.pb", set, kind, out->n);
        OnnxTensor t;
        if (access(path, F_OK))
            return true;
        if (out->n == DLRT_MAX_VALUES)
            return refuse(c, "many", "more inputs or outputs than an entry may have");
        if (!onnx_read_tensor_file(c->run.cx, path, &t))
            return diagnosed(c);
        Array *a = &out->at[out->n];
        void *own = arena_alloc(c->run.arena, t.bytes); /* aligned, as an entry wants it */
        memcpy(own, t.data, t.bytes);
        *a = (Array){ .dtype = dtypes[t.dtype], .rank = (int)t.rank, .data = own };
        memcpy(a->dims, t.dim, sizeof a->dims);
    }
}

/* Names an array after the model's value. The published data of bfloat16 are of before such arrays
 * could be written: they say uint16, and hold the bits. */
static void name_array(Array *a, const Onnx__ValueInfoProto *v)
{
    const Onnx__TypeProto__Tensor *t = v->type ? v->type->tensor_type : NULL;
    a->name = v->name;
    if (t && t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16 && a->dtype == DLRT_U16)
        a->dtype = DLRT_BF16;
}

/* Gives the arrays the names of the graph's inputs and outputs. Old files list weights among the
 * inputs; the data sets have no arrays for these. */
static bool name_arrays(Case *c)
{
    const Onnx__GraphProto *g = c->graph;
    bool all = c->in.n == g->n_input;
    uint32_t n = 0;
    for (size_t i = 0; i < g->n_input; i++)
        if (all || !has_initializer(g, g->input[i]->name)) {
            if (n < c->in.n)
                name_array(&c->in.at[n], g->input[i]);
            n++;
        }
    if (n != c->in.n || g->n_output != c->out.n)
        return end(c, CASE_FAIL, "the data have %u inputs and %u outputs, the model %u and %zu",
                   c->in.n, c->out.n, n, g->n_output);
    for (uint32_t i = 0; i < c->out.n; i++)
        name_array(&c->out.at[i], g->output[i]);
    return true;
}

/* ---- Running ---- */

static const Array *find_input(const Case *c, const char *name)
{
    for (uint32_t i = 0; i < c->in.n; i++)
        if (c->in.at[i].name && !strcmp(c->in.at[i].name, name))
            return &c->in.at[i];
    return NULL;
}

/* The number of examples, by the first input that has an axis of them. */
static int64_t batch_of(const Case *c, const DlrtEntry *x)
{
    for (uint32_t i = 0; i < x->input_count; i++) {
        const DlrtValue *v = &x->inputs[i];
        const Array *have = find_input(c, v->name);
        for (int d = 0; have && have->rank == v->rank && d < v->rank; d++)
            if (v->batch[d] > 0)
                return have->dims[d] / v->batch[d];
    }
    return x->max_batch > 0 ? x->max_batch : 1;
}

static Array array_of(const DlrtValue *v, int64_t B, const void *data)
{
    Array a = { v->name, (DlrtDtype)v->dtype, v->rank, { 0 }, data };
    for (int d = 0; d < v->rank; d++)
        a.dims[d] = v->batch[d] > 0 ? v->batch[d] * B : v->dims[d];
    return a;
}

/* Whether a result depends on the input: one that only lends its dtype, as in CastLike, may be
 * given with another shape than the model says, and in published tests is. */
static bool is_read(Case *c, Engine *e, const char *entry, uint32_t input)
{
    const Graph *g = unit_entry(e->unit, entry)->graph;
    const uint8_t *live = graph_live(c->run.arena, g);
    for (NodeId id = 0; id < g->nodes.n; id++)
        if (live[id] && graph_node(g, id)->op == OP_input &&
            graph_attr(g, id, "index")->i == input)
            return true;
    return false;
}

/* Whether a result follows from numbers that are drawn. */
static bool draws(Case *c, Engine *e, const char *entry)
{
    const Graph *g = unit_entry(e->unit, entry)->graph;
    const uint8_t *live = graph_live(c->run.arena, g);
    bool any = false;
    for (NodeId id = 0; id < g->nodes.n; id++) {
        int op = graph_node(g, id)->op;
        any |= live[id] && (op == OP_random_bits || op == OP_random_uniform ||
                            op == OP_random_normal || op == OP_random_integer);
    }
    return any;
}

static bool fill_inputs(Case *c, Engine *e, const DlrtEntry *x, int64_t B, const void **in)
{
    for (uint32_t i = 0; i < x->input_count; i++) {
        const DlrtValue *v = &x->inputs[i];
        const Array *have = find_input(c, v->name);
        Array want = array_of(v, B, NULL);
        char a[COMPARE_TEXT], b[COMPARE_TEXT] = "nothing";
        array_text(&want, a);
        if (have)
            array_text(have, b);
        in[i] = have ? have->data : NULL;
        if (have && have->dtype == want.dtype && !strcmp(a, b))
            continue;
        int64_t elements, bytes;
        if (is_read(c, e, x->name, i) || !value_bytes(v, B, &elements, &bytes) || bytes > 1 << 20)
            return end(c, CASE_FAIL, "the input %.60s is %.120s in the entry, %.120s in the data",
                       v->name, a, b);
        in[i] = arena_alloc(c->run.arena, (size_t)bytes);
    }
    return true;
}

static bool compare_outputs(Case *c, const DlrtEntry *x, int64_t B, void *const *out)
{
    for (uint32_t i = 0; i < c->out.n; i++) {
        Array have = array_of(&x->outputs[i], B, out[i]);
        counted_cut(x, i, out, have.dims);
        char difference[COMPARE_TEXT];
        if (!array_equal(&have, &c->out.at[i], difference))
            return end(c, CASE_FAIL, "output %u, %.60s: %s", i, c->out.at[i].name, difference);
    }
    return true;
}

/* Random numbers are those of another generator: where the results are not the same all the same
 * (nothing is dropped of a ratio of 0), only dtype and shape can be compared, and the test is
 * neither passed nor failed. */
static bool compare_random(Case *c, const DlrtEntry *x, int64_t B, void *const *out)
{
    if (compare_outputs(c, x, B, out))
        return true;
    for (uint32_t i = 0; i < x->output_count; i++) {
        Array have = array_of(&x->outputs[i], B, NULL);
        char a[COMPARE_TEXT], b[COMPARE_TEXT];
        array_text(&have, a);
        array_text(&c->out.at[i], b);
        if (strcmp(a, b))
            return end(c, CASE_FAIL, "output %u is %.120s instead of %.120s", i, a, b);
    }
    return refuse(c, "random", "random numbers, which are those of another generator");
}

/* The examples that the data have, where the model was built for a number of them: it is built once
 * more for theirs, as `dlrun infer` does. */
static Engine *fitting(Case *c, Engine *e, uint32_t number)
{
    const DlrtEntry *x = &e->model->entries[number];
    if (!(x->flags & DLRT_ENTRY_PINNED))
        return e;
    for (uint32_t i = 0; i < x->input_count; i++) {
        const Array *have = find_input(c, x->inputs[i].name);
        if (have && have->rank && x->inputs[i].rank && x->inputs[i].dims[0] == x->max_batch &&
            have->dims[0] != x->max_batch)
            return engine_rest(e, have->dims[0], 0);
    }
    return e;
}

static bool call(Case *c, Engine *e)
{
    uint32_t number = engine_entry(e, "forward");
    if (number == DLRT_NONE)
        return end(c, CASE_FAIL, "no entry `forward`");
    if (!(e = fitting(c, e, number)))
        return diagnosed(c);
    const DlrtEntry *x = &e->model->entries[number];
    const void *in[DLRT_MAX_VALUES];
    void *out[DLRT_MAX_VALUES];
    int64_t B = batch_of(c, x), elements, bytes;
    uint32_t n_out = 0;
    for (uint32_t i = 0; i < x->output_count; i++)
        n_out += !counted_is_count(x, i); /* the counts come last */
    if (n_out != c->out.n)
        return end(c, CASE_FAIL, "%u outputs instead of %u", n_out, c->out.n);
    if (!fill_inputs(c, e, x, B, in))
        return false;
    for (uint32_t i = 0; i < x->output_count; i++)
        if (!value_bytes(&x->outputs[i], B, &elements, &bytes) || bytes > INT64_C(1) << 31 ||
            posix_memalign(&out[i], 64, (size_t)bytes + 64))
            return end(c, CASE_FAIL, "no memory for output %u", i);
        else
            memset(out[i], 0x5a, (size_t)bytes); /* what nobody writes is wrong */
    int rc = dlrt_call_entry(e->cx, number, B, in, out);
    const char *why = *dlrt_message(e->cx) ? dlrt_message(e->cx) : dlrt_error(rc);
    bool ok = rc                    ? end(c, CASE_FAIL, "the call fails: %s", why)
              : draws(c, e, x->name) ? compare_random(c, x, B, out)
                                    : compare_outputs(c, x, B, out);
    for (uint32_t i = 0; i < x->output_count; i++)
        free(out[i]);
    return ok;
}

/* The command line of `dlrun infer` with these inputs: the importer takes dims, and values that
 * decide a shape, from them. */
static bool set_options(Case *c, const char *set)
{
    VEC(char *) words = { 0 };
    Arena *a = c->run.arena;
    vec_push(a, &words, "onnx_conform");
    vec_push(a, &words, "--threads=1");
    for (uint32_t i = 0; i < c->in.n; i++) {
        vec_push(a, &words, "-i");
        vec_push(a, &words, arena_printf(a, "%s=%s/input_%u.pb", c->in.at[i].name, set, i));
    }
    return options_parse(&c->run.options, a, DLRUN, (int)words.n, words.at) ||
           end(c, CASE_CRASH, "options");
}

/* One data set. The model is compiled for it. */
static bool run_set(Case *c, const char *set)
{
    Engine e;
    FrontendOptions fo = { 0 };
    if (!read_arrays(c, set, "input", &c->in) || !read_arrays(c, set, "output", &c->out) ||
        !name_arrays(c) || !set_options(c, set))
        return false;
    bool ok = engine_open(&c->run, c->model, &fo, &e) ? diagnosed(c) : call(c, &e);
    engine_close(&e);
    return ok;
}

void case_run(const char *folder, CaseResult *result)
{
    Case c = { .run = { .arena = arena_new(), .cx = compiler_new() },
               .folder = folder,
               .result = result };
    c.model = arena_printf(c.run.arena, "%s/model.onnx", folder);
    bool ok = open_model(&c);
    int sets = 0;
    for (; ok; sets++) {
        const char *set = arena_printf(c.run.arena, "%s/test_data_set_%d", folder, sets);
        if (access(set, F_OK))
            break;
        Case one = c; /* a Run of its own: diagnostics of one set are not another's */
        one.run = (Run){ .arena = arena_new(), .cx = compiler_new() };
        ok = run_set(&one, set);
        compiler_free(one.run.cx);
        arena_free(one.run.arena);
    }
    if (ok && !sets)
        ok = end(&c, CASE_FAIL, "no data sets");
    if (ok)
        end(&c, CASE_PASS, "passes");
    compiler_free(c.run.cx);
    arena_free(c.run.arena);
}
