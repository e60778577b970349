/* aot_source.c: the tables of a model as C data, and the functions of its interface.
 *
 * C and not object code, because the system's compiler has to be there for the link anyway: it
 * knows relocations, and a person can read what a library is made of. Each table is a static const
 * array; pointers between tables are addresses. */
#include "backend/aot.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *aot_prefix(Arena *a, const char *name)
{
    char *p = arena_strndup(a, name, strlen(name));
    for (char *c = p; *c; c++)
        *c = isalnum((unsigned char)*c) ? (char)tolower((unsigned char)*c) : '_';
    return isdigit((unsigned char)*p) || !*p ? arena_printf(a, "m%s", p) : p;
}

bool aot_is_prefix(const char *name)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

bool aot_is_export(const Unit *u, uint32_t i)
{
    const Entry *e = &u->entries.at[i];
    for (uint32_t k = 0; k < u->recipe.metrics.n; k++)
        if (u->recipe.metrics.at[k].finish && !strcmp(u->recipe.metrics.at[k].finish, e->name))
            return false;
    return e->kind == ENTRY_EXPORT;
}

const char *aot_function(Arena *a, const char *name)
{
    static const char *const own[] = {
        "abi",       "error",       "eval",   "free", "get",   "init", "library", "load",
        "load_from", "message",     "metric", "name", "read",  "save", "save_to",
        "set",       "set_threads", "shape",  "step", "train", "view", "write",
    };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(own[i], name))
            return arena_printf(a, "%s_", name);
    return name;
}

bool aot_has_batch(const DlrtEntry *e)
{
    for (uint32_t i = 0; i < e->input_count + e->output_count; i++) {
        const DlrtValue *v = i < e->input_count ? &e->inputs[i] : &e->outputs[i - e->input_count];
        for (uint32_t d = 0; d < v->rank; d++)
            if (v->batch[d])
                return true;
    }
    return false;
}

static void put_string(FILE *out, const char *s)
{
    fputc('"', out);
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else if ((unsigned char)*s < 0x20 || (unsigned char)*s >= 0x7f || *s == '?')
            fprintf(out, "\\%03o", (unsigned char)*s);
        else
            fputc(*s, out);
    fputc('"', out);
}

static void put_i64(FILE *out, int64_t v)
{
    if (v == INT64_MIN)
        fputs("INT64_MIN", out);
    else
        fprintf(out, "INT64_C(%lld)", (long long)v);
}

static void put_i64s(FILE *out, const int64_t *v, uint32_t n)
{
    fputc('{', out);
    for (uint32_t i = 0; i < n; i++) {
        fputs(i ? ", " : "", out);
        put_i64(out, v[i]);
    }
    fputs(n ? "}" : "0}", out);
}

static void put_value(FILE *out, const DlrtValue *v)
{
    fputs("{ ", out);
    put_string(out, v->name);
    fprintf(out, ", %u, %u, { 0 }, ", v->dtype, v->rank);
    put_i64s(out, v->dims, DLRT_MAX_RANK);
    fputs(", ", out);
    put_i64s(out, v->batch, DLRT_MAX_RANK);
    fputs(", ", out);
    put_i64(out, v->bound);
    fputs(" }", out);
}

/* An array of `n` elements (one more where C wants at least one). */
static void open_array(FILE *out, const char *type, const char *name, int64_t number)
{
    fprintf(out, "static const %s %s", type, name);
    if (number >= 0)
        fprintf(out, "_%lld", (long long)number);
    fputs("[] = {\n", out);
}

static void put_values(FILE *out, const char *name, uint32_t number, const DlrtValue *v, uint32_t n)
{
    open_array(out, "DlrtValue", name, number);
    for (uint32_t i = 0; i < n; i++) {
        fputs("    ", out);
        put_value(out, &v[i]);
        fputs(",\n", out);
    }
    fputs(n ? "};\n" : "    { 0 },\n};\n", out);
}

static void put_items(FILE *out, const DlrtEntry *e, uint32_t number, const Plan *plan)
{
    for (uint32_t i = 0; i < e->item_count; i++)
        if (e->items[i].args) {
            fprintf(out, "static const int64_t args_%u_%u[] = ", number, i);
            put_i64s(out, e->items[i].args, plan->items.at[i].args.n);
            fputs(";\n", out);
        }
    open_array(out, "DlrtItem", "items", number);
    for (uint32_t i = 0; i < e->item_count; i++) {
        const DlrtItem *t = &e->items[i];
        fprintf(out, "    { %u, %u, %u, %u, %u, %u, %u, %u, ", t->kind, t->flags, t->operand_count,
                t->operand_first, t->code, t->match, t->note, t->grain);
        put_i64(out, t->tiles);
        fputs(", ", out);
        put_i64(out, t->batch_scale);
        fputs(", ", out);
        put_i64(out, t->batch_tile);
        if (t->args)
            fprintf(out, ", args_%u_%u },\n", number, i);
        else
            fputs(", 0 },\n", out);
    }
    fputs(e->item_count ? "};\n" : "    { 0 },\n};\n", out);
}

static void put_operands(FILE *out, const DlrtEntry *e, uint32_t number)
{
    open_array(out, "DlrtOperand", "operands", number);
    for (uint32_t i = 0; i < e->operand_count; i++) {
        const DlrtOperand *o = &e->operands[i];
        fprintf(out, "    { %u, %u, %u, %u, %u, ", o->base, o->phase, o->dtype, o->writes,
                o->index);
        put_i64(out, o->offset);
        fputs(", ", out);
        put_i64s(out, o->stride, DLRT_MAX_DEPTH);
        fputs(", ", out);
        put_i64(out, o->count);
        fputs(" },\n", out);
    }
    fputs(e->operand_count ? "};\n" : "    { 0 },\n};\n", out);
}

static const char *tiny_symbol(const TinyEntries *tiny, uint32_t entry)
{
    for (uint32_t i = 0; i < tiny->n; i++)
        if (tiny->at[i].entry == entry)
            return tiny->at[i].symbol;
    return "0";
}

static void put_entries(FILE *out, const Program *p, const DlrtModel *m, const TinyEntries *tiny)
{
    for (uint32_t i = 0; i < tiny->n; i++)
        fprintf(out, "extern DlrtTiny %s;\n", tiny->at[i].symbol);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const DlrtEntry *e = &m->entries[i];
        put_items(out, e, i, &p->plans.at[i]);
        put_operands(out, e, i);
        put_values(out, "inputs", i, e->inputs, e->input_count);
        put_values(out, "outputs", i, e->outputs, e->output_count);
    }
    open_array(out, "DlrtEntry", "entries", -1);
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const DlrtEntry *e = &m->entries[i];
        fputs("    { ", out);
        put_string(out, e->name);
        fprintf(out, ", items_%u, operands_%u, inputs_%u, outputs_%u, %s, ", i, i, i, i,
                tiny_symbol(tiny, i));
        put_i64(out, e->max_batch);
        fputs(", ", out);
        put_i64(out, e->cost);
        fprintf(out, ", %u, %u, %u, %u, %u, 0 },\n", e->item_count, e->operand_count,
                e->input_count, e->output_count, e->flags);
    }
    fputs("};\n", out);
}

static void put_layouts(FILE *out, const DlrtModel *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->tensor_count; i++)
        n += m->tensors[i].layout != NULL;
    if (!n)
        return;
    open_array(out, "DlrtLayout", "layouts", -1);
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const DlrtLayout *l = m->tensors[i].layout;
        if (!l)
            continue;
        fputs("    { ", out);
        put_i64s(out, l->stride, DLRT_MAX_RANK);
        fputs(", ", out);
        put_i64s(out, l->block, DLRT_MAX_RANK);
        fputs(", ", out);
        put_i64s(out, l->inner, DLRT_MAX_RANK);
        fputs(" },\n", out);
    }
    fputs("};\n", out);
}

static void put_tensors(FILE *out, const DlrtModel *m)
{
    uint32_t layouts = 0;
    put_layouts(out, m);
    open_array(out, "DlrtTensor", "tensors", -1);
    for (uint32_t i = 0; i < m->tensor_count; i++) {
        const DlrtTensor *t = &m->tensors[i];
        fputs("    { ", out);
        put_string(out, t->name);
        fprintf(out, ", %u, %u, %u, %u, 0, ", t->kind, t->dtype, t->rank, t->flags);
        put_i64s(out, t->dims, DLRT_MAX_RANK);
        fputs(", ", out);
        put_i64(out, t->offset);
        fputs(", ", out);
        put_i64(out, t->bytes);
        if (t->layout)
            fprintf(out, ", &layouts[%u] },\n", layouts++);
        else
            fputs(", 0 },\n", out);
    }
    fputs(m->tensor_count ? "};\n" : "    { 0 },\n};\n", out);
}

static bool is_embedded(const DlrtModel *m, const DlrtStart *s, const AotOptions *o)
{
    return !o->weights || m->tensors[s->tensor].kind != DLRT_PARAM; /* the weights file has it */
}

static uint64_t start_bytes(const DlrtModel *m, const DlrtStart *s)
{
    uint64_t n = dtype_size((Dtype)s->dtype);
    for (int d = 0; d < m->tensors[s->tensor].rank; d++)
        n *= (uint64_t)m->tensors[s->tensor].dims[d];
    return n;
}

bool aot_put_starts(FILE *out, const DlrtModel *m, const AotOptions *o)
{
    static const char zeros[64];
    for (uint32_t i = 0; i < m->start_count; i++) {
        uint64_t n = is_embedded(m, &m->starts[i], o) ? start_bytes(m, &m->starts[i]) : 0;
        if (n && (fwrite(m->starts[i].data, 1, n, out) != n ||
                  fwrite(zeros, 1, -n % 64, out) != -n % 64))
            return false;
    }
    return true;
}

/* Start values: a file of them, and where each lies in it. */
static uint32_t put_start_table(FILE *out, const DlrtModel *m, const AotOptions *o)
{
    uint64_t at = 0;
    uint32_t count = 0;
    fputs("__asm__(\".section .rodata\\n.balign 64\\nstart_bytes:\\n.incbin "
          "\\\"starts\\\"\\n.text\\n\");\n"
          "extern const unsigned char start_bytes[] __attribute__((visibility(\"hidden\")));\n",
          out);
    open_array(out, "DlrtStart", "starts", -1);
    for (uint32_t i = 0; i < m->start_count; i++) {
        const DlrtStart *s = &m->starts[i];
        if (!is_embedded(m, s, o))
            continue;
        fprintf(out, "    { start_bytes + %llu, %u, %d },\n", (unsigned long long)at, s->tensor,
                s->dtype);
        at += (start_bytes(m, s) + 63) / 64 * 64;
        count++;
    }
    fputs(count ? "};\n" : "    { 0 },\n};\n", out);
    return count;
}

static void put_numbers(FILE *out, const char *name, int64_t number, const uint32_t *v, uint32_t n)
{
    open_array(out, "uint32_t", name, number);
    for (uint32_t i = 0; i < n; i++)
        fprintf(out, "    %u,\n", v[i]);
    fputs(n ? "};\n" : "    0,\n};\n", out);
}

static void put_recipe(FILE *out, const DlrtModel *m)
{
    open_array(out, "DlrtField", "fields", -1);
    for (uint32_t i = 0; i < m->field_count; i++) {
        fputs("    { ", out);
        put_value(out, &m->fields[i].value);
        fputs(", ", out);
        put_i64(out, m->fields[i].gather);
        fputs(" },\n", out);
    }
    fputs(m->field_count ? "};\n" : "    { { 0 }, 0 },\n};\n", out);
    for (uint32_t i = 0; i < m->update_count; i++)
        put_numbers(out, "update_fields", i, m->updates[i].fields,
                    m->entries[m->updates[i].entry].input_count);
    open_array(out, "DlrtUpdate", "updates", -1);
    for (uint32_t i = 0; i < m->update_count; i++) {
        fputs("    { ", out);
        put_string(out, m->updates[i].name);
        fprintf(out, ", update_fields_%u, %u, %u },\n", i, m->updates[i].entry,
                m->updates[i].times);
    }
    fputs(m->update_count ? "};\n" : "    { 0 },\n};\n", out);
    open_array(out, "char *const", "notes", -1);
    for (uint32_t i = 0; i < m->note_count; i++) {
        fputs("    ", out);
        put_string(out, m->notes[i]);
        fputs(",\n", out);
    }
    fputs("};\n", out);
}

static void put_code(FILE *out, const ModelTables *t)
{
    const DlrtModel *m = &t->model;
    for (uint32_t i = 0; i < m->kernel_count; i++)
        fprintf(out, "extern DlrtKernel %s;\n", t->kernel_symbols[i]);
    fputs("static DlrtKernel *const kernels[] = {\n", out);
    for (uint32_t i = 0; i < m->kernel_count; i++)
        fprintf(out, "    %s,\n", t->kernel_symbols[i]);
    fputs("    0,\n};\n", out);
    for (uint32_t i = 0; i < m->call_count; i++)
        fprintf(out, "extern DlrtCall %s;\n", t->call_symbols[i]);
    fputs("static DlrtCall *const calls[] = {\n", out);
    for (uint32_t i = 0; i < m->call_count; i++)
        fprintf(out, "    %s,\n", t->call_symbols[i]);
    fputs("    0,\n};\n", out);
}

static void put_constants(FILE *out, const Program *p)
{
    fputs("static const uint64_t constants[] __attribute__((aligned(64))) = {\n", out);
    for (int64_t i = 0; i < p->const_bytes; i += 8) {
        uint64_t word = 0;
        memcpy(&word, p->consts + i, (size_t)(p->const_bytes - i < 8 ? p->const_bytes - i : 8));
        fprintf(out, "    0x%llx,\n", (unsigned long long)word);
    }
    fputs("    0,\n};\n", out);
}

static void put_model(FILE *out, const DlrtModel *m, uint32_t starts)
{
    fprintf(out,
            "static const DlrtModel model = {\n"
            "    .magic = DLRT_MAGIC, .version = DLRT_VERSION, .abi = UINT64_C(0x%016llx),\n"
            "    .model_hash = UINT64_C(0x%016llx), .recipe_hash = UINT64_C(0x%016llx),\n"
            "    .cpu_features = UINT64_C(0x%llx), .name = ",
            (unsigned long long)m->abi, (unsigned long long)m->model_hash,
            (unsigned long long)m->recipe_hash, (unsigned long long)m->cpu_features);
    put_string(out, m->name);
    fputs(", .triple = ", out);
    put_string(out, m->triple);
    fputs(", .march = ", out);
    put_string(out, m->march);
    fprintf(out,
            ", .constants = constants,\n    .context_bytes = %lld, .view_bytes = %lld, "
            ".arena_offset = %lld, .arena_bytes = %lld,\n",
            (long long)m->context_bytes, (long long)m->view_bytes, (long long)m->arena_offset,
            (long long)m->arena_bytes);
    fprintf(out,
            "    .kernels = kernels, .calls = calls, .entries = entries, .tensors = tensors, "
            ".notes = notes, .starts = starts, .start_count = %u,\n"
            "    .fields = fields, .updates = updates, .metrics = metrics,\n"
            "    .kernel_count = %u, .call_count = %u, .entry_count = %u, .tensor_count = %u, "
            ".note_count = %u,\n"
            "    .field_count = %u, .update_count = %u, .metric_count = %u, .sum_count = %u, "
            ".init_entry = %uu,\n",
            starts, m->kernel_count, m->call_count, m->entry_count, m->tensor_count, m->note_count,
            m->field_count, m->update_count, m->metric_count, m->sum_count, m->init_entry);
    fprintf(out,
            "    .batch = %lld, .steps = %lld, .epochs = %lld, .seed = UINT64_C(%llu), .shuffle = "
            "%u,\n};\n",
            (long long)m->batch, (long long)m->steps, (long long)m->epochs,
            (unsigned long long)m->seed, m->shuffle);
}

static void put_metrics(FILE *out, const DlrtModel *m)
{
    for (uint32_t i = 0; i < m->metric_count; i++)
        put_numbers(out, "metric_fields", i, m->metrics[i].fields,
                    m->entries[m->metrics[i].entry].input_count);
    open_array(out, "DlrtMetric", "metrics", -1);
    for (uint32_t i = 0; i < m->metric_count; i++) {
        fputs("    { ", out);
        put_string(out, m->metrics[i].name);
        fprintf(out, ", metric_fields_%u, %u, %uu, %u, %uu },\n", i, m->metrics[i].entry,
                m->metrics[i].finish, m->metrics[i].first, m->metrics[i].maxima);
    }
    fputs(m->metric_count ? "};\n" : "    { 0 },\n};\n", out);
}

/* Those of the interface that are the runtime's functions under the model's name. */
static void put_common(FILE *out, const char *p)
{
    fprintf(out, "EXPORT uint64_t %s_abi(void) { return model.abi; }\n", p);
    fprintf(out,
            "EXPORT int %s_view(const DlrtContext *base, void *mem, size_t size, DlrtContext "
            "**out_cx) { return dlrt_view(base, mem, size, out_cx); }\n",
            p);
    fprintf(out, "EXPORT void %s_free(DlrtContext *cx) { dlrt_free(cx); }\n", p);
    fprintf(out,
            "EXPORT int %s_set(DlrtContext *cx, const char *key, double value) { return "
            "dlrt_set(cx, key, value); }\n",
            p);
    fprintf(out,
            "EXPORT int %s_get(const DlrtContext *cx, const char *key, double *out) { return "
            "dlrt_get(cx, key, out); }\n",
            p);
    fprintf(out,
            "EXPORT int %s_set_threads(DlrtContext *cx, int n, DlrtTeam *team, void *user) { "
            "return dlrt_set_threads(cx, n, team, user); }\n",
            p);
    fprintf(out, "EXPORT const char *%s_name(size_t i) { return dlrt_name(&model, i); }\n", p);
    fprintf(out,
            "EXPORT int %s_shape(const char *name, size_t *out_rank, size_t out_dims[8]) { return "
            "dlrt_shape(&model, name, out_rank, out_dims); }\n",
            p);
    fprintf(out,
            "EXPORT int %s_read(const DlrtContext *cx, const char *name, float *out, size_t count) "
            "{ return dlrt_read(cx, name, out, count); }\n",
            p);
    fprintf(out,
            "EXPORT int %s_write(DlrtContext *cx, const char *name, const float *in, size_t count) "
            "{ return dlrt_write(cx, name, in, count); }\n",
            p);
    fprintf(out,
            "EXPORT int %s_save(const DlrtContext *cx, int what, const char *path) { return "
            "dlrt_save(cx, what, path); }\n",
            p);
    fprintf(out,
            "EXPORT int %s_load(DlrtContext *cx, int what, const char *path) { return "
            "dlrt_load(cx, what, path); }\n",
            p);
    fprintf(out,
            "EXPORT int %s_save_to(const DlrtContext *cx, int what, const DlrtIo *io) { return "
            "dlrt_save_to(cx, what, io); }\n",
            p);
    fprintf(out,
            "EXPORT int %s_load_from(DlrtContext *cx, int what, const DlrtIo *io) { return "
            "dlrt_load_from(cx, what, io); }\n",
            p);
    fprintf(out, "EXPORT const char *%s_error(int code) { return dlrt_error(code); }\n", p);
    fprintf(out,
            "EXPORT const char *%s_message(const DlrtContext *cx) { return dlrt_message(cx); }\n",
            p);
}

static void put_init(FILE *out, const AotOptions *o)
{
    fprintf(out,
            "EXPORT int %s_init(uint64_t abi, void *mem, size_t size, uint64_t seed, DlrtContext "
            "**out_cx)\n{\n",
            o->prefix);
    if (!o->weights) {
        fputs("    return dlrt_init(&model, abi, mem, size, seed, out_cx);\n}\n", out);
        return;
    }
    fputs("    static const DlrtIo io = { 0, 0, read_weights, WEIGHTS_SIZE };\n"
          "    int code = dlrt_init(&model, abi, mem, size, seed, out_cx);\n"
          "    if (code)\n        return code;\n"
          "    code = dlrt_load_from(*out_cx, DLRT_FILE_WEIGHTS, &io);\n"
          "    if (code) {\n        dlrt_free(*out_cx);\n        *out_cx = 0;\n    }\n"
          "    return code;\n}\n",
          out);
}

static void put_weights(FILE *out, const AotOptions *o)
{
    if (!o->weights)
        return;
    fprintf(out,
            "enum { WEIGHTS_SIZE = %zu };\n"
            "__asm__(\".section .rodata\\n.balign 64\\nweights_bytes:\\n.incbin "
            "\\\"weights\\\"\\n.text\\n\");\n"
            "extern const unsigned char weights_bytes[] __attribute__((visibility(\"hidden\")));\n"
            "static int read_weights(void *user, uint64_t offset, void *data, size_t size)\n{\n    "
            "(void)user;\n"
            "    memcpy(data, weights_bytes + offset, size);\n    return 0;\n}\n",
            o->weights_size);
}

/* For programs that find the model at run time: all of its tables, and its weights. */
static void put_library(FILE *out, const AotOptions *o)
{
    fprintf(out,
            "EXPORT extern const DlrtLibrary %s_library;\n"
            "const DlrtLibrary %s_library = { DLRT_LIBRARY_MAGIC, DLRT_VERSION, 0, &model, ",
            o->prefix, o->prefix);
    fputs(o->weights ? "weights_bytes, WEIGHTS_SIZE };\n" : "0, 0 };\n", out);
}

static void put_field_arguments(FILE *out, const DlrtModel *m)
{
    for (uint32_t i = 0; i < m->field_count; i++)
        fprintf(out, ", const void *in_%s", m->fields[i].value.name);
}

static void put_field_array(FILE *out, const DlrtModel *m)
{
    fputs("    const void *const fields[] = { ", out);
    for (uint32_t i = 0; i < m->field_count; i++)
        fprintf(out, "%sin_%s", i ? ", " : "", m->fields[i].value.name);
    fputs(m->field_count ? " };\n" : "0 };\n", out);
}

static void put_training(FILE *out, const DlrtModel *m, const char *p)
{
    if (m->update_count) {
        fprintf(out, "EXPORT int %s_step(DlrtContext *cx, size_t B", p);
        put_field_arguments(out, m);
        fputs(", float *out_loss)\n{\n", out);
        put_field_array(out, m);
        fputs("    return dlrt_step(cx, (int64_t)B, fields, out_loss);\n}\n", out);
        fprintf(out, "EXPORT int %s_train(DlrtContext *cx, size_t N", p);
        put_field_arguments(out, m);
        fputs(", size_t steps, float *out_loss)\n{\n", out);
        put_field_array(out, m);
        fputs("    return dlrt_train(cx, (int64_t)N, fields, (int64_t)steps, out_loss);\n}\n", out);
    }
    if (m->metric_count) {
        fprintf(out, "EXPORT int %s_eval(DlrtContext *cx, size_t B", p);
        put_field_arguments(out, m);
        fputs(", double *sums)\n{\n", out);
        put_field_array(out, m);
        fputs("    return dlrt_eval(cx, (int64_t)B, fields, sums);\n}\n", out);
        fprintf(out,
                "EXPORT double %s_metric(const double *sums, int which) { return "
                "dlrt_metric(&model, sums, which); }\n",
                p);
    }
}

static void put_exports(FILE *out, const Unit *u, const DlrtModel *m, const char *p)
{
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const DlrtEntry *e = &m->entries[i];
        if (!aot_is_export(u, i))
            continue;
        fprintf(out, "EXPORT int %s_%s(DlrtContext *cx%s", p, aot_function(u->arena, e->name),
                aot_has_batch(e) ? ", size_t B" : "");
        for (uint32_t j = 0; j < e->input_count; j++)
            fprintf(out, ", const void *in_%s", e->inputs[j].name);
        for (uint32_t j = 0; j < e->output_count; j++)
            fprintf(out, ", void *out%u", j);
        fputs(")\n{\n    const void *const inputs[] = { ", out);
        for (uint32_t j = 0; j < e->input_count; j++)
            fprintf(out, "%sin_%s", j ? ", " : "", e->inputs[j].name);
        fputs(e->input_count ? " };\n    void *const outputs[] = { "
                             : "0 };\n    void *const outputs[] = { ",
              out);
        for (uint32_t j = 0; j < e->output_count; j++)
            fprintf(out, "%sout%u", j ? ", " : "", j);
        fprintf(out, "%s };\n    return dlrt_call_entry(cx, %u, %s, inputs, outputs);\n}\n",
                e->output_count ? "" : "0", i, aot_has_batch(e) ? "(int64_t)B" : "1");
    }
}

const char *aot_source(Unit *u, const ModelTables *tables, const TinyEntries *tiny,
                       const AotOptions *o)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return "";
    const DlrtModel *m = &tables->model;
    fputs("#include \"runtime/dlrt.h\"\n#include <string.h>\n#define EXPORT "
          "__attribute__((visibility(\"default\")))\n",
          out);
    put_code(out, tables);
    put_constants(out, u->program);
    put_entries(out, u->program, m, tiny);
    put_tensors(out, m);
    put_recipe(out, m);
    put_metrics(out, m);
    put_model(out, m, put_start_table(out, m, o));
    put_weights(out, o);
    put_library(out, o);
    put_common(out, o->prefix);
    put_init(out, o);
    put_training(out, m, o->prefix);
    put_exports(out, u, m, o->prefix);
    fclose(out);
    const char *copy = arena_strndup(u->arena, text, n);
    free(text);
    return copy;
}
