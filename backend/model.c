/* model.c: lays out the context and fills the tables that the runtime walks.
 *
 * Needs: plans with offsets, kernels with grids. Gives: a DlrtModel that lacks only the addresses
 * of code. context: | header | arena | a gathered batch | tensors | The arena comes first so that a
 * view, which shares the tensors, is a prefix of a context. */
#include "backend/model.h"

#include "ir/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* The runtime's enumerations are those of the IR: tables carry the numbers over. */
static_assert((int)DT_BOOL == (int)DLRT_BOOL && (int)DT_I64 == (int)DLRT_I64 &&
                  (int)DT_COUNT == (int)DLRT_DTYPE_COUNT,
              "dtypes have one numbering");
static_assert((int)TENSOR_MOMENT == 2 && (int)DLRT_MOMENT == 2 &&
                  (int)TENSOR_PARAM == (int)DLRT_PARAM,
              "kinds of tensors");
static_assert(offsetof(DlrtClock, own_step) == CLOCK_OWN_STEP * 8 &&
                  offsetof(DlrtClock, lr_scale) == CLOCK_LR_SCALE * 8 &&
                  offsetof(DlrtClock, key_step) == CLOCK_KEY * 8,
              "the clock has one order");

typedef struct {
    Program *p;
    Arena *a;
    const Compiled *compiled;
    ModelTables *out;
    DlrtModel *m;
    VEC(const char *) notes;
    uint32_t *note_slots, note_cap; /* hash by text: numbers + 1; cap is a power of two */
    VEC(const char *) calls;
    VEC(DlrtField) fields;
    int64_t tensors_at;
} Layout;

static int64_t align_up(int64_t n)
{
    return (n + DLRT_ALIGN - 1) / DLRT_ALIGN * DLRT_ALIGN;
}

static uint32_t *note_slot(const Layout *l, const char *text)
{
    uint32_t i = (uint32_t)XXH3_64bits(text, strlen(text)) & (l->note_cap - 1);
    while (l->note_slots[i] && strcmp(l->notes.at[l->note_slots[i] - 1], text))
        i = (i + 1) & (l->note_cap - 1);
    return &l->note_slots[i];
}

static uint32_t intern_note(Layout *l, const char *text)
{
    if (2 * l->notes.n >= l->note_cap) {
        l->note_cap = l->note_cap ? 2 * l->note_cap : 64;
        l->note_slots = arena_new_array(l->a, uint32_t, l->note_cap);
        for (uint32_t i = 0; i < l->notes.n; i++)
            *note_slot(l, l->notes.at[i]) = i + 1;
    }
    uint32_t *slot = note_slot(l, text);
    if (*slot)
        return *slot - 1;
    vec_push(l->a, &l->notes, text);
    *slot = l->notes.n;
    return l->notes.n - 1;
}

static uint32_t note_of(Layout *l, LocId loc)
{
    if (!loc)
        return 0;
    Compiler *cx = l->p->unit->cx;
    const Loc *place = loc_get(cx, loc);
    const char *where = loc_text(cx, loc), *slash = strrchr(where, '/');
    if (slash && strncmp(where, "std/", 4)) /* the folder of a build is no part of what it makes */
        where = slash + 1;
    const char *text =
        place->owner && *place->owner ? arena_printf(l->a, "%s (%s)", place->owner, where) : where;
    return intern_note(l, text);
}

static DlrtOperand operand_of(const Layout *l, const PlanBuffer *b, bool writes)
{
    DlrtOperand o = { .dtype = (uint8_t)b->dtype,
                      .writes = writes,
                      .count = b->bytes / (int64_t)dtype_size(b->dtype) };
    switch (b->kind) {
    case BUFFER_ARENA:
        o.base = DLRT_BASE_CONTEXT;
        o.offset = l->m->arena_offset + b->offset;
        break;
    case BUFFER_TENSOR:
        o.base = DLRT_BASE_SHARED;
        o.offset = l->tensors_at + l->p->tensor_offsets.at[b->index];
        break;
    case BUFFER_INPUT:
        o.base = DLRT_BASE_INPUT;
        o.index = b->index;
        break;
    case BUFFER_OUTPUT:
        o.base = DLRT_BASE_OUTPUT;
        o.index = b->index;
        break;
    case BUFFER_CLOCK:
        o.base = DLRT_BASE_CONTEXT;
        o.offset = DLRT_CLOCK_OFFSET + 8 * (int64_t)b->index;
        break;
    case BUFFER_STATUS:
        o.base = DLRT_BASE_CONTEXT;
        o.offset = DLRT_STATUS_OFFSET;
        break;
    case BUFFER_CONST:
        o.base = DLRT_BASE_CONST;
        o.offset = b->offset;
        break;
    }
    return o;
}

static uint32_t call_number(Layout *l, const char *symbol)
{
    for (uint32_t i = 0; i < l->calls.n; i++)
        if (!strcmp(l->calls.at[i], symbol))
            return i;
    vec_push(l->a, &l->calls, symbol);
    return l->calls.n - 1;
}

static DlrtItem item_of(Layout *l, const Plan *plan, const PlanItem *item, DlrtOperand *operands,
                        uint32_t first)
{
    DlrtItem out = { .operand_first = first,
                     .operand_count = (uint16_t)item->buffers.n,
                     .note = note_of(l, item->loc),
                     .grain = 1,
                     .tiles = 1 };
    const Kernel *k = item->kind == PLAN_KERNEL ? l->p->kernels.at[item->kernel] : NULL;
    switch (item->kind) {
    case PLAN_KERNEL: {
        static const KernelGrid none;
        const KernelGrid *g = l->compiled ? &l->compiled->objects[item->kernel].grid : &none;
        out.kind = DLRT_KERNEL;
        out.code = item->kernel;
        out.tiles = item->units ? item->units : g->tiles;
        out.batch_scale = item->units ? 0 : g->batch_scale;
        out.batch_tile = g->batch_tile > 0 ? g->batch_tile : 1;
        out.grain = g->grain ? g->grain : 1;
        break;
    }
    case PLAN_CALL: {
        int64_t *args = arena_new_array(l->a, int64_t, item->args.n);
        memcpy(args, item->args.at, item->args.n * sizeof *args);
        out.kind = DLRT_CALL;
        out.code = call_number(l, item->call);
        out.args = args;
        out.tiles = item->rows.k ? 1 : item->rows.n;
        out.batch_scale = item->rows.k;
        out.batch_tile = 1;
        break;
    }
    case PLAN_GUARD: out.kind = DLRT_GUARD; break;
    }
    for (uint32_t i = 0; i < item->buffers.n; i++) {
        bool writes = k ? k->buffers.at[i].written : item->kind == PLAN_CALL && i > 0;
        operands[first + i] = operand_of(l, &plan->buffers.at[item->buffers.at[i]], writes);
    }
    return out;
}

static DlrtValue value_of(const char *name, Dtype dtype, const Shape *s, int64_t bound)
{
    DlrtValue v = { .name = name ? name : "",
                    .dtype = (uint8_t)dtype,
                    .rank = (uint8_t)s->rank,
                    .bound = bound > 0 ? bound : -1 };
    for (uint32_t i = 0; i < s->rank; i++) {
        v.dims[i] = s->dim[i].n;
        v.batch[i] = s->dim[i].k;
    }
    return v;
}

/* Nanoseconds on one thread, roughly: 16 operations and 8 bytes a nanosecond. */
static int64_t plan_cost(const Plan *plan)
{
    double ns = 0;
    for (uint32_t i = 0; i < plan->items.n; i++)
        if (plan->items.at[i].kind == PLAN_KERNEL) {
            const PlanItem *t = &plan->items.at[i];
            ns += 5 + t->flops / 16 + t->bytes / 8;
        }
    return ns < 1e15 ? (int64_t)ns : (int64_t)1e15;
}

/* The examples that a call takes at most; exactly, when the entry is pinned. */
static int64_t most_items(const Entry *entry)
{
    const Graph *g = entry->graph;
    bool batched = false;
    for (uint32_t i = 0; i < g->inputs.n; i++)
        for (uint32_t d = 0; d < g->inputs.at[i].shape.rank; d++)
            batched |= g->inputs.at[i].shape.dim[d].k != 0;
    for (uint32_t i = 0; i < g->inputs.n && entry->pinned && !batched; i++)
        if (g->inputs.at[i].shape.rank)
            return g->inputs.at[i].shape.dim[0].n;
    return g->batch_max > 0 ? g->batch_max : 1;
}

/* A pinned entry has its batch as a plain extent; to callers it is an array of examples like any
 * other. */
static DlrtValue input_of(const Entry *entry, const Input *in)
{
    DlrtValue v = value_of(in->name, in->dtype, &in->shape, in->bound);
    if (entry->pinned && v.rank && !v.batch[0] && v.dims[0] == most_items(entry))
        v.batch[0] = 1;
    return v;
}

static DlrtEntry entry_of(Layout *l, const Plan *plan)
{
    const Graph *g = plan->entry->graph;
    uint32_t n_operands = 0, n_outputs = 0;
    for (uint32_t i = 0; i < plan->items.n; i++)
        n_operands += plan->items.at[i].buffers.n;
    DlrtItem *items = arena_new_array(l->a, DlrtItem, plan->items.n);
    DlrtOperand *operands = arena_new_array(l->a, DlrtOperand, n_operands);
    DlrtValue *inputs = arena_new_array(l->a, DlrtValue, g->inputs.n);
    DlrtValue *outputs = arena_new_array(l->a, DlrtValue, g->outputs.n);
    uint32_t at = 0, flags = plan->entry->pinned ? DLRT_ENTRY_PINNED : 0;
    for (uint32_t i = 0; i < plan->items.n; i++) {
        items[i] = item_of(l, plan, &plan->items.at[i], operands, at);
        at += plan->items.at[i].buffers.n;
    }
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Input *in = &g->inputs.at[i];
        inputs[i] = input_of(plan->entry, in);
    }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        const Output *o = &g->outputs.at[i];
        if (o->updates >= 0)
            flags |= DLRT_ENTRY_WRITES;
        else
            outputs[n_outputs++] =
                value_of(o->name, graph_dtype(g, o->node), graph_shape(g, o->node), 0);
    }
    return (DlrtEntry){ .name = plan->entry->name,
                        .items = items,
                        .operands = operands,
                        .inputs = inputs,
                        .outputs = outputs,
                        .max_batch = most_items(plan->entry),
                        .cost = plan_cost(plan),
                        .item_count = plan->items.n,
                        .operand_count = n_operands,
                        .input_count = g->inputs.n,
                        .output_count = n_outputs,
                        .flags = flags };
}

static const DlrtLayout *layout_of(Layout *l, const Tensor *t)
{
    if (!t->storage)
        return NULL;
    DlrtLayout *out = arena_make(l->a, DlrtLayout);
    memcpy(out->stride, t->storage->stride, sizeof out->stride);
    memcpy(out->block, t->storage->block, sizeof out->block);
    memcpy(out->inner, t->storage->inner, sizeof out->inner);
    return out;
}

static void lay_out_tensors(Layout *l)
{
    const Unit *u = l->p->unit;
    DlrtTensor *t = arena_new_array(l->a, DlrtTensor, u->tensors.n);
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        const Tensor *from = &u->tensors.at[i];
        const Shape *shape = tensor_shape(from);
        int64_t n = 1;
        shape_elements(shape, &n);
        t[i] = (DlrtTensor){ .name = from->name,
                             .kind = from->kind == TENSOR_STAT ? DLRT_STATE : (uint8_t)from->kind,
                             .dtype = (uint8_t)from->dtype,
                             .rank = (uint8_t)shape->rank,
                             .offset = l->tensors_at + l->p->tensor_offsets.at[i],
                             .bytes = n * (int64_t)dtype_size(from->dtype),
                             .layout = layout_of(l, from) };
        for (uint32_t d = 0; d < shape->rank; d++)
            t[i].dims[d] = shape->dim[d].n;
    }
    l->m->tensors = t;
    l->m->tensor_count = u->tensors.n;
    DlrtStart *starts = arena_new_array(l->a, DlrtStart, u->tensors.n);
    for (uint32_t i = 0; i < u->tensors.n; i++)
        if (u->tensors.at[i].data)
            starts[l->m->start_count++] =
                (DlrtStart){ u->tensors.at[i].data, i, (int32_t)u->tensors.at[i].data_dtype };
    l->m->starts = starts;
}

static uint32_t field_number(Layout *l, const Entry *entry, const Input *in)
{
    for (uint32_t i = 0; i < l->fields.n; i++)
        if (!strcmp(l->fields.at[i].value.name, in->name))
            return i;
    vec_push(l->a, &l->fields, (DlrtField){ .value = input_of(entry, in) });
    return l->fields.n - 1;
}

static const uint32_t *fields_of(Layout *l, const Entry *entry)
{
    const Graph *g = entry->graph;
    uint32_t *fields = arena_new_array(l->a, uint32_t, g->inputs.n);
    for (uint32_t i = 0; i < g->inputs.n; i++)
        fields[i] = field_number(l, entry, &g->inputs.at[i]);
    return fields;
}

/* Fields of the data are the arguments of the losses, by name, in the order of the updates. */
static void lay_out_updates(Layout *l)
{
    const Recipe *r = &l->p->unit->recipe;
    DlrtUpdate *updates = arena_new_array(l->a, DlrtUpdate, r->updates.n);
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->updates.n; i++)
        for (uint32_t e = 0; e < l->p->plans.n; e++) {
            const Entry *entry = l->p->plans.at[e].entry;
            if (strcmp(entry->name, r->updates.at[i].entry))
                continue;
            updates[n++] = (DlrtUpdate){ r->updates.at[i].name, fields_of(l, entry), e,
                                         (uint32_t)r->updates.at[i].times };
        }
    l->m->updates = updates;
    l->m->update_count = n;
}

static uint32_t plan_number(const Program *p, const char *name)
{
    for (uint32_t i = 0; name && i < p->plans.n; i++)
        if (!strcmp(p->plans.at[i].entry->name, name))
            return i;
    return DLRT_NONE;
}

static uint32_t sum_count(const Plan *plan)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < plan->entry->graph->outputs.n; i++)
        n += plan->entry->graph->outputs.at[i].updates < 0;
    return n;
}

/* A metric runs without tensors once the sums are there: what it makes of them may not read any. */
static bool reads_tensors(const Plan *plan)
{
    for (uint32_t i = 0; i < plan->buffers.n; i++)
        if (plan->buffers.at[i].kind == BUFFER_TENSOR)
            return true;
    return DLRT_CONTEXT_HEADER + plan->arena_bytes > DLRT_FINISH_BYTES;
}

typedef VEC(DlrtMetric) Metrics;

/* Metrics of one entry share its sums. */
static void add_metric(Layout *l, Metrics *metrics, const char *name, uint32_t entry,
                       uint32_t finish, uint32_t maxima)
{
    const Plan *plan = &l->p->plans.at[entry];
    DlrtMetric metric = {
        .name = name, .entry = entry, .finish = finish, .first = l->m->sum_count, .maxima = maxima
    };
    for (uint32_t i = 0; i < metrics->n; i++)
        if (metrics->at[i].entry == entry)
            metric.first = metrics->at[i].first;
    if (metric.first == l->m->sum_count)
        l->m->sum_count += sum_count(plan);
    metric.fields = fields_of(l, plan->entry);
    vec_push(l->a, metrics, metric);
}

/* The loss, then the metrics of the recipe. */
static void lay_out_metrics(Layout *l)
{
    const Recipe *r = &l->p->unit->recipe;
    Metrics metrics = { 0 };
    uint32_t loss = plan_number(l->p, "eval");
    for (uint32_t i = 0; i < r->metrics.n; i++)
        if (!strcmp(r->metrics.at[i].name, "loss"))
            loss = DLRT_NONE;
    if (loss != DLRT_NONE && l->p->plans.at[loss].entry->kind == ENTRY_EVAL)
        add_metric(l, &metrics, "loss", loss, DLRT_NONE, 0);
    for (uint32_t i = 0; i < r->metrics.n; i++) {
        const Metric *from = &r->metrics.at[i];
        uint32_t entry = plan_number(l->p, from->entry), finish = plan_number(l->p, from->finish);
        if (entry == DLRT_NONE || (from->finish && finish == DLRT_NONE))
            continue;
        if (finish != DLRT_NONE && reads_tensors(&l->p->plans.at[finish])) {
            diag_report(l->p->unit->cx, DIAG_W0812, from->loc,
                        "metric `%s` is left out of the library: it reads the model's tensors",
                        from->name);
            continue;
        }
        add_metric(l, &metrics, from->name, entry, finish, from->maxima);
    }
    l->m->metrics = metrics.at;
    l->m->metric_count = metrics.n;
}

/* One gathered batch, for training with shuffling. */
static int64_t lay_out_gather(Layout *l, int64_t at)
{
    for (uint32_t i = 0; i < l->fields.n; i++) {
        DlrtValue *v = &l->fields.at[i].value;
        int64_t n = (int64_t)dtype_size((Dtype)v->dtype);
        for (uint32_t d = 0; d < v->rank; d++)
            n *= v->dims[d];
        if (!v->rank || v->batch[0] != 1)
            continue;
        l->fields.at[i].gather = at;
        at += align_up(n);
    }
    return at;
}

static uint64_t hash_tensors(const Unit *u)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        const Tensor *t = &u->tensors.at[i];
        h = XXH3_64bits_withSeed(t->name, strlen(t->name), h);
        const Shape *s = tensor_shape(t);
        h = XXH3_64bits_withSeed(&s->dim, s->rank * sizeof(Dim), h + t->dtype);
    }
    return h;
}

static uint64_t hash_signatures(const DlrtModel *m, uint64_t h)
{
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const DlrtEntry *e = &m->entries[i];
        h = XXH3_64bits_withSeed(e->name, strlen(e->name), h + (uint64_t)e->max_batch);
        for (uint32_t j = 0; j < e->input_count + e->output_count; j++) {
            const DlrtValue *v =
                j < e->input_count ? &e->inputs[j] : &e->outputs[j - e->input_count];
            h = XXH3_64bits_withSeed(v->name, strlen(v->name), h + v->dtype);
            h = XXH3_64bits_withSeed(v->dims, sizeof v->dims, h + v->rank);
            h = XXH3_64bits_withSeed(v->batch, sizeof v->batch, h + (uint64_t)v->bound);
        }
    }
    for (uint32_t i = 0; i < m->field_count; i++)
        h = XXH3_64bits_withSeed(m->fields[i].value.name, strlen(m->fields[i].value.name), h);
    for (uint32_t i = 0; i < m->metric_count; i++)
        h = XXH3_64bits_withSeed(m->metrics[i].name, strlen(m->metrics[i].name), h + m->sum_count);
    return h;
}

static void fill_recipe(Layout *l)
{
    const Recipe *r = &l->p->unit->recipe;
    DlrtModel *m = l->m;
    m->batch = 0;
    for (uint32_t i = 0; i < m->update_count; i++) {
        int64_t most = m->entries[m->updates[i].entry].max_batch;
        int64_t wanted = r->batch > 0 && r->batch < most ? r->batch : most;
        m->batch = i && m->batch < wanted ? m->batch : wanted;
    }
    m->steps = r->steps > 0 ? r->steps : 0;
    m->epochs = r->epochs > 0 ? r->epochs : 0;
    m->seed = r->seed;
    m->shuffle = r->shuffle;
    int64_t numbers[] = { r->batch, r->epochs, r->steps, (int64_t)r->seed, r->shuffle };
    m->recipe_hash = XXH3_64bits(numbers, sizeof numbers);
}

/* What equal bits depend on: a level's name says it all, "native" nothing. */
static const char *march_text(Program *p, const Target *t)
{
    const char *text = strcmp(t->name, "native") ? t->name : t->text;
    return arena_strndup(p->unit->arena, text, strlen(text));
}

ModelTables *model_tables(Program *p, const Compiled *c, const Target *t)
{
    Arena *a = p->unit->arena;
    ModelTables *out = arena_make(a, ModelTables);
    Layout l = { .p = p, .a = a, .compiled = c, .out = out, .m = &out->model };
    DlrtModel *m = l.m;
    *m = (DlrtModel){ .magic = DLRT_MAGIC,
                      .version = DLRT_VERSION,
                      .cpu_features = t->features,
                      .name = p->unit->name,
                      .triple = "x86_64-linux-gnu",
                      .march = march_text(p, t),
                      .constants = p->consts,
                      .init_entry = DLRT_NONE };
    vec_push(a, &l.notes, "");
    m->arena_offset = DLRT_CONTEXT_HEADER;
    m->arena_bytes = align_up(p->arena_bytes);
    lay_out_updates(&l);
    lay_out_metrics(&l);
    m->view_bytes = lay_out_gather(&l, m->arena_offset + m->arena_bytes);
    l.tensors_at = m->view_bytes;
    m->context_bytes = l.tensors_at + align_up(p->tensor_bytes);
    lay_out_tensors(&l);
    DlrtEntry *entries = arena_new_array(a, DlrtEntry, p->plans.n);
    for (uint32_t i = 0; i < p->plans.n; i++) {
        entries[i] = entry_of(&l, &p->plans.at[i]);
        if (p->plans.at[i].entry->kind == ENTRY_INIT)
            m->init_entry = i;
    }
    m->entries = out->entries = entries;
    m->entry_count = p->plans.n;
    m->fields = l.fields.at;
    m->field_count = l.fields.n;
    m->notes = l.notes.at;
    m->note_count = l.notes.n;
    m->kernel_count = p->kernels.n;
    m->call_count = l.calls.n;
    out->kernel_symbols = c ? c->symbols : NULL;
    out->call_symbols = l.calls.at;
    m->kernels = out->kernels = arena_new_array(a, DlrtKernel *, p->kernels.n);
    m->calls = out->calls = arena_new_array(a, DlrtCall *, l.calls.n);
    fill_recipe(&l);
    m->model_hash = hash_tensors(p->unit);
    m->abi = hash_signatures(m, m->model_hash);
    return out;
}
