/* verify.c: whether the tables of a model are what plan.h says, before anything relies on them.
 * They come from a compiler, but also from a library of another version, or from one with a bug:
 * an error is better than a wild pointer. Costs microseconds, once per context. */
#include "runtime/core.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct {
    const DlrtModel *m;
    char *message;
    size_t size;
} Check;

static bool bad(const Check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool bad(const Check *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (c->size)
        vsnprintf(c->message, c->size, format, args);
    va_end(args);
    return false;
}

/* Bytes of an array, or -1 if they do not fit in an int64. */
static int64_t array_bytes(int dtype, int rank, const int64_t *dims)
{
    int64_t n = (int64_t)dlrt_dtype_size(dtype);
    bool empty = false;
    for (int d = 0; d < rank; d++) {
        if (dims[d] < 0)
            return -1;
        empty |= dims[d] == 0;
        if (dims[d] && __builtin_mul_overflow(n, dims[d], &n))
            return -1;
    }
    return empty ? 0 : n;
}

static bool check_value(const Check *c, const char *where, const DlrtValue *v, int64_t max_batch)
{
    int64_t dims[DLRT_MAX_RANK];
    if (!v->name || v->dtype >= DLRT_DTYPE_COUNT || v->rank > DLRT_MAX_RANK)
        return bad(c, "%s: an argument has no name, dtype or rank", where);
    for (int d = 0; d < v->rank; d++) {
        dims[d] = v->dims[d];
        if (v->batch[d] > 0 && __builtin_mul_overflow(v->batch[d], max_batch, &dims[d]))
            return bad(c, "%s: %s is too large", where, v->name);
    }
    if (array_bytes(v->dtype, v->rank, dims) < 0)
        return bad(c, "%s: %s has a wrong size", where, v->name);
    return true;
}

static bool check_operand(const Check *c, const DlrtEntry *e, const DlrtOperand *o, int depth)
{
    if (o->dtype >= DLRT_DTYPE_COUNT || o->phase > DLRT_PHASE_NEXT)
        return bad(c, "%s: an operand has no dtype or phase", e->name);
    switch ((DlrtBase)o->base) {
    case DLRT_BASE_CONTEXT:
        if (o->offset < 0 || o->offset > c->m->view_bytes)
            return bad(c, "%s: an operand lies outside the context", e->name);
        return true;
    case DLRT_BASE_SHARED:
        if (o->offset < c->m->view_bytes || o->offset > c->m->context_bytes)
            return bad(c, "%s: an operand lies outside the shared tensors", e->name);
        return true;
    case DLRT_BASE_INPUT: return o->index < e->input_count || bad(c, "%s: no such input", e->name);
    case DLRT_BASE_OUTPUT:
        return o->index < e->output_count || bad(c, "%s: no such output", e->name);
    case DLRT_BASE_CONST: return c->m->constants || bad(c, "%s: no constants", e->name);
    case DLRT_BASE_TRIP:
        return (int)o->index < depth || bad(c, "%s: an operand names a loop that is not", e->name);
    }
    return bad(c, "%s: an operand has no base", e->name);
}

static bool check_item(const Check *c, const DlrtEntry *e, uint32_t at, int depth)
{
    const DlrtItem *item = &e->items[at];
    uint32_t have = item->operand_count, want = 0;
    if (have > DLRT_MAX_OPERANDS || item->operand_first > e->operand_count ||
        have > e->operand_count - item->operand_first)
        return bad(c, "%s: item %u has operands that are not", e->name, at);
    if (item->tiles < 0 || item->batch_scale < 0 || (item->batch_scale && item->batch_tile < 1))
        return bad(c, "%s: item %u has a wrong number of tiles", e->name, at);
    if ((item->kind == DLRT_KERNEL && item->code >= c->m->kernel_count) ||
        (item->kind == DLRT_CALL && item->code >= c->m->call_count))
        return bad(c, "%s: item %u has no code", e->name, at);
    if (item->kind == DLRT_IF || item->kind == DLRT_WHILE)
        want = 1;
    if (have < want)
        return bad(c, "%s: item %u has no condition", e->name, at);
    for (uint32_t i = 0; i < have; i++) {
        const DlrtOperand *o = &e->operands[item->operand_first + i];
        if (!check_operand(c, e, o, depth))
            return false;
        if (item->kind == DLRT_GUARD && o->dtype != DLRT_F32 && o->dtype != DLRT_F64)
            return bad(c, "%s: item %u guards what is no loss", e->name, at);
    }
    return true;
}

/* Blocks nest: each opening item and its END name each other. IF nests as deep as it likes. */
static bool check_items(const Check *c, const DlrtEntry *e)
{
    int depth = 0;
    uint32_t open = UINT32_MAX; /* innermost block; its predecessor is found by walking back */
    for (uint32_t at = 0; at < e->item_count; at++) {
        const DlrtItem *item = &e->items[at];
        bool loop = item->kind == DLRT_LOOP || item->kind == DLRT_WHILE;
        if (item->kind > DLRT_END)
            return bad(c, "%s: item %u is of no kind", e->name, at);
        if (item->kind == DLRT_END) {
            if (open == UINT32_MAX || item->match != open || e->items[open].match != at)
                return bad(c, "%s: item %u ends what was not begun", e->name, at);
            depth -= e->items[open].kind != DLRT_IF;
            /* The block around: the last earlier opening item whose END is still to come. */
            uint32_t back = open;
            open = UINT32_MAX;
            while (back-- > 0 && open == UINT32_MAX)
                if (e->items[back].kind >= DLRT_LOOP && e->items[back].kind < DLRT_END &&
                    e->items[back].match > at)
                    open = back;
        } else if (loop || item->kind == DLRT_IF) {
            if (item->match <= at || item->match >= e->item_count)
                return bad(c, "%s: item %u is not ended", e->name, at);
            open = at;
            depth += loop;
            if (depth > DLRT_MAX_DEPTH)
                return bad(c, "%s: loops nest deeper than %d", e->name, DLRT_MAX_DEPTH);
        }
        if (!check_item(c, e, at, depth))
            return false;
    }
    return open == UINT32_MAX || bad(c, "%s: item %u is not ended", e->name, open);
}

static bool check_entry(const Check *c, const DlrtEntry *e)
{
    if (!e->name || e->max_batch < 1 || (!e->items && e->item_count) ||
        (!e->operands && e->operand_count) || (!e->item_count && !e->tiny && e->output_count))
        return bad(c, "an entry is not complete");
    if (e->input_count > DLRT_MAX_VALUES || e->output_count > DLRT_MAX_VALUES)
        return bad(c, "%s has more than %d arguments", e->name, DLRT_MAX_VALUES);
    for (uint32_t i = 0; i < e->input_count; i++)
        if (!check_value(c, e->name, &e->inputs[i], e->max_batch))
            return false;
    for (uint32_t i = 0; i < e->output_count; i++)
        if (!check_value(c, e->name, &e->outputs[i], e->max_batch))
            return false;
    return check_items(c, e);
}

/* Bytes that the layout reaches, or -1. */
static int64_t layout_bytes(const DlrtTensor *t)
{
    const DlrtLayout *l = t->layout;
    int64_t last = 0;
    for (int d = 0; d < t->rank; d++) {
        int64_t i = t->dims[d] - 1, a = l->stride[d], b = 0;
        if (l->stride[d] < 0 || l->inner[d] < 0 || l->block[d] < 0)
            return -1;
        if (l->block[d]) {
            int64_t most = i < l->block[d] ? i : l->block[d] - 1;
            if (__builtin_mul_overflow(most, l->inner[d], &b))
                return -1;
            i /= l->block[d];
        }
        if (__builtin_mul_overflow(i, a, &a) || __builtin_add_overflow(last, a, &last) ||
            __builtin_add_overflow(last, b, &last))
            return -1;
    }
    if (__builtin_mul_overflow(last + 1, (int64_t)dlrt_dtype_size(t->dtype), &last))
        return -1;
    return last;
}

static bool check_tensor(const Check *c, const DlrtTensor *t)
{
    if (!t->name || t->dtype >= DLRT_DTYPE_COUNT || t->rank > DLRT_MAX_RANK ||
        t->kind > DLRT_MOMENT)
        return bad(c, "a tensor has no name, dtype, rank or kind");
    bool private = t->flags & DLRT_TENSOR_PRIVATE;
    int64_t low = private ? DLRT_CONTEXT_HEADER : c->m->view_bytes;
    int64_t high = private ? c->m->view_bytes : c->m->context_bytes;
    int64_t bytes = array_bytes(t->dtype, t->rank, t->dims);
    if (bytes > 0 && t->layout)
        bytes = layout_bytes(t);
    if (bytes < 0 || t->bytes < bytes)
        return bad(c, "%s: its storage is too small", t->name);
    if (t->offset % DLRT_ALIGN || t->offset < low || t->offset > high ||
        t->bytes > high - t->offset)
        return bad(c, "%s lies outside the context", t->name);
    return true;
}

/* Whether an entry's inputs can be given the fields that `map` says. */
static bool check_fields(const Check *c, const DlrtEntry *e, const uint32_t *map)
{
    if (e->input_count && !map)
        return bad(c, "%s: its inputs have no fields", e->name);
    for (uint32_t i = 0; i < e->input_count; i++) {
        const DlrtValue *in = &e->inputs[i];
        if (map[i] >= c->m->field_count)
            return bad(c, "%s: no field for %s", e->name, in->name);
        const DlrtValue *v = &c->m->fields[map[i]].value;
        if (v->dtype != in->dtype || dlrt_value_count(v, 1) != dlrt_value_count(in, 1))
            return bad(c, "%s: %s differs from field %s", e->name, in->name, v->name);
    }
    return true;
}

static bool is_scalar(const DlrtValue *v)
{
    return dlrt_value_count(v, 1) == 1 && (v->dtype == DLRT_F32 || v->dtype == DLRT_F64);
}

static bool check_scalars(const Check *c, const DlrtEntry *e, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const DlrtValue *v = &e->outputs[i];
        if (!is_scalar(v))
            return bad(c, "%s: output %s must be an f32 or f64 scalar", e->name, v->name);
    }
    return true;
}

/* A metric's `finish` gets all sums of its entry, and runs in DLRT_FINISH_BYTES without tensors. */
static bool check_finish(const Check *c, const DlrtMetric *metric, uint32_t sums)
{
    const DlrtModel *m = c->m;
    if (metric->finish == DLRT_NONE)
        return true;
    if (metric->finish >= m->entry_count)
        return bad(c, "metric %s has no entry to finish with", metric->name);
    const DlrtEntry *e = &m->entries[metric->finish];
    if (e->output_count != 1 || (e->input_count != sums && e->input_count != sums + 1))
        return bad(c, "%s: must take the means of %s", e->name, metric->name);
    for (uint32_t i = 0; i < e->input_count; i++)
        if (!is_scalar(&e->inputs[i]))
            return bad(c, "%s: input %s must be an f32 or f64 scalar", e->name, e->inputs[i].name);
    for (uint32_t i = 0; i < e->operand_count; i++) {
        const DlrtOperand *o = &e->operands[i];
        int64_t count = o->count > 0 ? o->count : 1;
        if (o->base == DLRT_BASE_SHARED ||
            (o->base == DLRT_BASE_CONTEXT && (count > DLRT_FINISH_BYTES ||
             o->offset + count * (int64_t)dlrt_dtype_size(o->dtype) > DLRT_FINISH_BYTES)))
            return bad(c, "%s: reads tensors, or needs too much room", e->name);
    }
    return check_scalars(c, e, 1);
}

static bool check_metrics(const Check *c)
{
    const DlrtModel *m = c->m;
    uint32_t sums = 0;
    if (m->sum_count > DLRT_MAX_SUMS)
        return bad(c, "the metrics have more than %d sums", DLRT_MAX_SUMS);
    for (uint32_t i = 0; i < m->metric_count; i++) {
        const DlrtMetric *metric = &m->metrics[i];
        if (!metric->name || metric->entry >= m->entry_count)
            return bad(c, "metric %u has no name or entry", i);
        const DlrtEntry *e = &m->entries[metric->entry];
        if (e->output_count < 1 || e->flags & DLRT_ENTRY_WRITES)
            return bad(c, "metric %s: its entry has no sums, or writes tensors", metric->name);
        if (metric->first == sums)
            sums += e->output_count;
        if (metric->first + e->output_count > sums || sums > m->sum_count)
            return bad(c, "metric %s has no place among the sums", metric->name);
        if (!check_fields(c, e, metric->fields) || !check_scalars(c, e, e->output_count) ||
            !check_finish(c, metric, e->output_count))
            return false;
    }
    return sums == m->sum_count || bad(c, "sums that no metric has");
}

static bool check_recipe(const Check *c)
{
    const DlrtModel *m = c->m;
    for (uint32_t i = 0; i < m->field_count; i++) {
        const DlrtField *f = &m->fields[i];
        if (!check_value(c, "fields", &f->value, m->batch > 0 ? m->batch : 1))
            return false;
        int64_t bytes = dlrt_value_count(&f->value, m->batch > 0 ? m->batch : 1) *
                        (int64_t)dlrt_dtype_size(f->value.dtype);
        if (f->gather && (f->gather < DLRT_CONTEXT_HEADER || f->gather > m->view_bytes ||
                          bytes > m->view_bytes - f->gather))
            return bad(c, "field %s has no room for a batch", f->value.name);
    }
    for (uint32_t i = 0; i < m->update_count; i++) {
        const DlrtUpdate *u = &m->updates[i];
        if (u->entry >= m->entry_count || u->times < 1)
            return bad(c, "update %u has no entry", i);
        const DlrtEntry *e = &m->entries[u->entry];
        if (e->output_count != 1 || m->batch < 1 || m->batch > e->max_batch)
            return bad(c, "%s: must have one output, and a batch", e->name);
        if (!check_fields(c, e, u->fields) || !check_scalars(c, e, 1))
            return false;
    }
    return check_metrics(c);
}

bool dlrt_verify(const DlrtModel *m, char *message, size_t size)
{
    Check c = { m, message, size };
    if (m->magic != DLRT_MAGIC || m->version != DLRT_VERSION)
        return bad(&c, "not a model of this version");
    if (m->view_bytes < DLRT_CONTEXT_HEADER || m->view_bytes > m->context_bytes ||
        m->view_bytes % DLRT_ALIGN)
        return bad(&c, "the context has a wrong size");
    if (m->arena_bytes < 0 || m->arena_offset < DLRT_CONTEXT_HEADER ||
        m->arena_offset > m->view_bytes || m->arena_bytes > m->view_bytes - m->arena_offset)
        return bad(&c, "the arena lies outside the context");
    if (!m->name || !m->march || (m->field_count > DLRT_MAX_VALUES))
        return bad(&c, "the model has no name, or too many fields");
    for (uint32_t i = 0; i < m->tensor_count; i++)
        if (!check_tensor(&c, &m->tensors[i]))
            return false;
    for (uint32_t i = 0; i < m->start_count; i++)
        if (m->starts[i].tensor >= m->tensor_count || m->starts[i].dtype < 0 ||
            m->starts[i].dtype >= DLRT_DTYPE_COUNT || !m->starts[i].data)
            return bad(&c, "a start value of no tensor");
    for (uint32_t i = 0; i < m->entry_count; i++)
        if (!check_entry(&c, &m->entries[i]))
            return false;
    if (m->init_entry != DLRT_NONE &&
        (m->init_entry >= m->entry_count || m->entries[m->init_entry].input_count ||
         m->entries[m->init_entry].output_count))
        return bad(&c, "the init entry must have no arguments");
    return check_recipe(&c);
}
