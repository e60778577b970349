/* data.c: the sources of a recipe: reads them, runs their stages, fits statistics.
 *
 * Needs a context: `map` stages are compiled entries, run here row by row with the row's number as
 * the key of their random numbers, and statistics are tensors of the model, so that its entries
 * take raw inputs. The frontend's question (what fields has this file?) is answered from the file's
 * first bytes; that the rest is there shows when the data are loaded. */
#include "driver/engine.h"

#include "frontend/elab.h"
#include "runtime/host/loader.h"
#include "runtime/host/progress.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAP_CHUNK = 256 };

typedef struct {
    Engine *e;
    const DataSource *source;
    const DataStage *stage;
    HostData *data;
    HostError error;
} Reader;

/* ---- Reading ---- */

static bool find_path(Reader *q, char *out, size_t size)
{
    const DataStage *st = q->stage;
    if (st->find)
        return host_find(st->path, q->e->folder, out, size, &q->error);
    bool plain = st->path[0] == '/' || !strcmp(q->e->folder, ".");
    int n = snprintf(out, size, "%s%s%s", plain ? "" : q->e->folder, plain ? "" : "/", st->path);
    return (n >= 0 && (size_t)n < size) || host_fail(&q->error, "E0601", "the path is too long");
}

/* What can be read a second time is asked for its headers only. */
static bool idx_fields(Reader *q, HostField fields[2], int *out_count)
{
    char path[4096];
    struct stat st;
    HostIdxOptions o = { 0 };
    if (!find_path(q, path, sizeof path))
        return false;
    if (stat(path, &st) || !S_ISFIFO(st.st_mode))
        return host_idx_fields(path, fields, out_count, &q->error);
    if (!q->data->table_count && !host_idx_read(path, &o, q->data, &q->error))
        return false;
    *out_count = 1;
    fields[0] = q->data->tables[0].fields[0];
    return true;
}

static bool read_idx(Reader *q)
{
    char path[4096];
    HostIdxOptions o = { 0 };
    return find_path(q, path, sizeof path) && host_idx_read(path, &o, q->data, &q->error);
}

static bool read_csv(Reader *q)
{
    char path[4096];
    const DataStage *st = q->stage;
    HostColumns *columns = arena_new_array(q->e->run->arena, HostColumns, st->columns.n + 1);
    for (uint32_t i = 0; i < st->columns.n; i++) {
        const DataColumns *c = &st->columns.at[i];
        columns[i] = (HostColumns){ .field = c->field,
                                    .range = c->many,
                                    .begin = (int)c->first,
                                    .end = (int)c->last,
                                    .column = c->column,
                                    .column_last = c->many ? c->column : NULL };
        if (!c->column && (c->first > INT32_MAX - 1 || c->last > INT32_MAX - 1))
            return host_fail(&q->error, "E0607", "`%s` asks for a column that no file has",
                             c->field);
    }
    HostCsvOptions o = { .delimiter = st->separator,
                         .columns = columns,
                         .column_count = (int)st->columns.n };
    return find_path(q, path, sizeof path) && host_csv_read(path, &o, q->data, &q->error);
}

static bool read_table(Reader *q)
{
    const DataStage *st = q->stage;
    HostArray *arrays = arena_new_array(q->e->run->arena, HostArray, st->literals.n + 1);
    for (uint32_t i = 0; i < st->literals.n; i++) {
        const DataLiteral *l = &st->literals.at[i];
        arrays[i] = (HostArray){
            .name = l->field, .rank = (int)l->rank, .values = l->values, .strings = l->strings
        };
        memcpy(arrays[i].dims, l->dims, l->rank * sizeof *l->dims);
    }
    return host_table_from_arrays(arrays, (int)st->literals.n, q->data, &q->error);
}

/* ---- Stages ---- */

static bool run_split(Reader *q)
{
    const DataStage *st = q->stage;
    HostSplit split = { .count = (int)st->fractions.n, .seeded = st->has_seed, .seed = st->seed };
    for (uint32_t i = 0; i < st->fractions.n && i < HOST_MAX_PARTS; i++)
        split.fractions[i] = st->fractions.at[i];
    return host_split(q->data, &split, &q->error);
}

/* Writes one statistic if the model has it: a field that no entry takes has none. */
static bool write_stat(Reader *q, const char *field, const char *what, const double *values,
                       int64_t n)
{
    Engine *e = q->e;
    const char *name = arena_printf(e->run->arena, "data.%s.%s", field, what);
    int32_t t = unit_tensor(e->unit, name);
    int64_t count;
    if (t < 0)
        return true;
    if (!shape_elements(&e->unit->tensors.at[t].shape, &count) || count != n)
        return host_fail(&q->error, "E0604",
                         "%s has %lld numbers per example, the model's `%s` %lld", field,
                         (long long)n, field, (long long)count);
    void *raw = arena_alloc(e->run->arena, (size_t)n * 8);
    Dtype dtype = e->unit->tensors.at[t].dtype;
    dlrt_convert(raw, (int)dtype, values, DLRT_F64, (size_t)n);
    int rc = dlrt_write_raw(e->cx, name, raw, (size_t)n * dtype_size(dtype));
    return !rc || host_fail(&q->error, "E0604", "%s: %s", name, dlrt_message(e->cx));
}

static bool run_standardize(Reader *q)
{
    const HostView *view = host_data_part(q->data, "train");
    bool found = false;
    if (!view)
        view = host_data_part(q->data, "all");
    if (!view || !view->table)
        return host_fail(&q->error, "E0611", "no part of the data to fit statistics on");
    for (int i = 0; i < view->table->field_count; i++) {
        const char *name = view->table->fields[i].name;
        HostStats stats;
        if (!glob_match(q->stage->fields, name))
            continue;
        found = true;
        if (!host_stats_fit(view, name, &stats, &q->error))
            return false;
        const char *on = q->e->unit->recipe.on.source;
        bool mine = on && !strcmp(on, q->source->name);
        bool ok = !mine || (write_stat(q, name, "mean", stats.mean, stats.elements) &&
                            write_stat(q, name, "scale", stats.scale, stats.elements));
        host_stats_free(&stats);
        if (!ok)
            return false;
    }
    return found || host_fail(&q->error, "E0612", "standardize(\"%s\") names no field of the data",
                              q->stage->fields);
}

typedef struct {
    Engine *e;
    const DlrtEntry *entry;
    size_t in_bytes[DLRT_MAX_VALUES], out_bytes[DLRT_MAX_VALUES];
} MapCall;

static size_t value_bytes(const DlrtValue *v)
{
    size_t n = dlrt_dtype_size(v->dtype);
    for (int d = 0; d < v->rank; d++)
        n *= (size_t)v->dims[d];
    return n;
}

static bool map_rows(void *user, int64_t count, const int64_t *rows, void *const *inputs,
                     void *const *outputs, HostError *out_error)
{
    MapCall *m = user;
    DlrtContext *cx = m->e->cx;
    uint64_t before = cx->clock.key_step;
    int rc = 0;
    for (int64_t i = 0; i < count && !rc; i++) {
        const void *in[DLRT_MAX_VALUES];
        void *out[DLRT_MAX_VALUES];
        for (uint32_t k = 0; k < m->entry->input_count; k++)
            in[k] = (const char *)inputs[k] + (size_t)i * m->in_bytes[k];
        for (uint32_t k = 0; k < m->entry->output_count; k++)
            out[k] = (char *)outputs[k] + (size_t)i * m->out_bytes[k];
        cx->clock.key_step = (uint64_t)rows[i];
        rc = dlrt_run(cx, m->entry, 1, in, out);
    }
    cx->clock.key_step = before;
    return !rc || host_fail(out_error, "E0610", "map: %s", dlrt_message(cx));
}

static bool run_map(Reader *q)
{
    Engine *e = q->e;
    uint32_t number = engine_entry(e, q->stage->entry);
    if (number == DLRT_NONE)
        return host_fail(&q->error, "E0613",
                         "`map` over data whose fields are not known before it is read");
    MapCall m = { .e = e, .entry = &e->model->entries[number] };
    HostBinding inputs[DLRT_MAX_VALUES];
    HostField outputs[DLRT_MAX_VALUES];
    for (uint32_t i = 0; i < m.entry->input_count; i++) {
        const DlrtValue *v = &m.entry->inputs[i];
        inputs[i] =
            (HostBinding){ .field = v->name, .dtype = (DlrtDtype)v->dtype, .rank = v->rank };
        memcpy(inputs[i].dims, v->dims, sizeof v->dims);
        m.in_bytes[i] = value_bytes(v);
    }
    for (uint32_t i = 0; i < m.entry->output_count; i++) {
        const DlrtValue *v = &m.entry->outputs[i];
        outputs[i] = (HostField){ .name = v->name, .dtype = (DlrtDtype)v->dtype, .rank = v->rank };
        memcpy(outputs[i].dims, v->dims, sizeof v->dims);
        m.out_bytes[i] = value_bytes(v);
    }
    return host_data_map(q->data, inputs, (int)m.entry->input_count, outputs,
                         (int)m.entry->output_count, MAP_CHUNK, map_rows, &m, &q->error);
}

/* The label: an integer per example; `y` where there are several. */
static const char *label_field(const HostTable *t)
{
    const char *found = NULL;
    for (int i = 0; i < t->field_count; i++) {
        const HostField *f = &t->fields[i];
        if (f->rank || host_dtype_is_float(f->dtype))
            continue;
        if (!strcmp(f->name, "y"))
            return f->name;
        found = f->name;
    }
    return found;
}

static bool run_classes(Reader *q)
{
    const char *field = q->data->table_count ? label_field(&q->data->tables[0]) : NULL;
    if (!field)
        return host_fail(&q->error, "E0612", "classes: the data has no integer label");
    return host_data_set_classes(q->data, field, q->stage->names.at, (int)q->stage->names.n,
                                 &q->error);
}

static bool run_stage(Reader *q)
{
    switch (q->stage->kind) {
    case DATA_IDX:
        return q->data->table_count || read_idx(q); /* a pipe, kept from the question */
    case DATA_CSV:
        return read_csv(q);
    case DATA_TABLE:
        return read_table(q);
    case DATA_ROWS:
        return host_rows(q->stage->count, q->data, &q->error);
    case DATA_SPLIT:
        return run_split(q);
    case DATA_STANDARDIZE:
        return run_standardize(q);
    case DATA_MAP:
        return run_map(q);
    case DATA_CLASSES:
        return run_classes(q);
    }
    return false;
}

/* ---- The interface ---- */

static EngineData *find_data(Engine *e, const char *name)
{
    for (uint32_t i = 0; i < e->data.n; i++)
        if (!strcmp(e->data.at[i].name, name))
            return &e->data.at[i];
    vec_push(e->run->arena, &e->data, (EngineData){ .name = name });
    return &e->data.at[e->data.n - 1];
}

int data_probe(void *user, const DataSource *source, FrontendField *fields, int max)
{
    Engine *e = user;
    EngineData *d = find_data(e, source->name);
    Reader q = { .e = e,
                 .source = source,
                 .stage = &source->stages.at[source->stages.n - 1],
                 .data = &d->data };
    if (q.stage->kind != DATA_IDX)
        return -1;
    HostField found[2];
    int n;
    if (!idx_fields(&q, found, &n)) {
        engine_report_host(e, q.stage->loc, &q.error);
        return -1;
    }
    for (int i = 0; i < n && i < max; i++) {
        const HostField *f = &found[i];
        fields[i] =
            (FrontendField){ .name = f->name, .dtype = (Dtype)f->dtype, .rank = (uint32_t)f->rank };
        memcpy(fields[i].dim, f->dims, sizeof fields[i].dim);
    }
    return n < max ? n : max;
}

static const DataSource *find_source(const Engine *e, const char *name)
{
    for (uint32_t i = 0; i < e->unit->recipe.sources.n; i++)
        if (!strcmp(e->unit->recipe.sources.at[i].name, name))
            return &e->unit->recipe.sources.at[i];
    return NULL;
}

bool data_open(Engine *e, const DataView *view, HostView *out_view)
{
    EngineData *d = find_data(e, view->source);
    Reader q = { .e = e, .source = find_source(e, view->source), .data = &d->data };
    for (uint32_t i = 0; !d->ready && i < q.source->stages.n; i++) {
        q.stage = &q.source->stages.at[i];
        if (!run_stage(&q)) {
            engine_report_host(e, q.stage->loc, &q.error);
            return false;
        }
    }
    d->ready = true;
    const HostView *part = host_data_part(&d->data, view->part);
    if (part) {
        *out_view = *part;
        return true;
    }
    diag_report(e->run->cx, DIAG_E0621, q.source->loc, "`%s` has no part `%s`", view->source,
                view->part);
    return false;
}

const char *data_text(Engine *e, const char *source)
{
    const EngineData *d = find_data(e, source);
    Arena *a = e->run->arena;
    const char *origin = d->data.table_count ? d->data.tables[0].origin : source;
    const DataStage *reader = &find_source(e, source)->stages.at[0];
    const char *slash = strrchr(origin, '/');
    char *text = arena_printf(a, "%s:", source);
    for (int i = 0; i < d->data.part_count; i++) {
        char count[HOST_NUMBER_SIZE];
        host_format_count(count, d->data.parts[i].view.count);
        text = arena_printf(a, "%s%s %s %s", text, i ? "," : "", count, d->data.parts[i].name);
    }
    if (reader->kind == DATA_IDX && slash) /* images and labels: their folder */
        return arena_printf(a, "%s (%.*s)", text, (int)(slash - origin), origin);
    return reader->path ? arena_printf(a, "%s (%s)", text, origin) : text;
}

const char *const *engine_classes(Engine *e, int *out_n)
{
    const char *on = e->unit->recipe.on.source;
    EngineData *d = on ? find_data(e, on) : NULL;
    *out_n = 0;
    if (!d || !d->data.table_count)
        return NULL;
    const HostTable *t = &d->data.tables[0];
    const char *label = label_field(t);
    int i = label ? host_table_find(t, label) : -1;
    if (i < 0 || !t->fields[i].class_names)
        return NULL;
    *out_n = t->fields[i].class_count;
    return t->fields[i].class_names;
}
