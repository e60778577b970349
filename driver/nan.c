/* nan.c: where a loss that is not finite comes from.
 *
 * The failed step changed nothing, so it can be run again. An observer looks at what each kernel
 * wrote; at the first that holds a NaN the step is run once more, up to there, and the kernel is
 * interpreted on the memory that it would have found: the first instruction that makes a NaN of
 * numbers knows its place in the source, however many operations the kernel is made of. Where its
 * operands were infinite the same is asked of infinities: exp overflowed, and inf / inf is only
 * what came of it. Looking for both at once would blame the -inf that masks are made of, which is
 * no result of any instruction. */
#include "driver/train.h"
#include "ir/kernel_interp.h"
#include "ir/value.h"

#include <math.h>
#include <string.h>

/* One way through the step. */
typedef struct {
    Engine *e;
    int64_t B;
    const void *const *fields;
    const DlrtEntry *entry;
    const Plan *plan;
} Step;

/* What is looked for, and what was found. */
typedef struct {
    const Step *step;
    bool infinities;
    int64_t from;                  /* the first item to look at */
    int64_t item;                  /* of the entry; -1: none found */
    void *bufs[DLRT_MAX_OPERANDS]; /* its operands */
    void *after[DLRT_MAX_OPERANDS]; /* copies of those it wrote; NULL */
} Search;

/* An instruction that made something bad of something good. */
typedef struct {
    bool infinities;
    const KernelInst *inst; /* NULL: none was seen */
    double in[3], out;
    int n;
    const Search *search; /* for the memory as the kernel left it */
} Culprit;

static bool is_bad(bool infinities, double v)
{
    return infinities ? !isfinite(v) : isnan(v);
}

static bool bad_at(bool infinities, int dtype, const void *data, int64_t i)
{
    double v = 0;
    if (dtype <= DLRT_BF16)
        dlrt_convert(&v, DLRT_F64, (const char *)data + (size_t)i * dlrt_dtype_size(dtype), dtype,
                     1);
    return is_bad(infinities, v);
}

static bool has_bad(bool infinities, int dtype, const void *data, int64_t count)
{
    for (int64_t i = 0; i < count && dtype <= DLRT_BF16; i++)
        if (bad_at(infinities, dtype, data, i))
            return true;
    return false;
}

/* ---- The step again ---- */

static const DlrtOperand *operand(const Step *s, int64_t item, uint32_t i)
{
    return &s->entry->operands[s->entry->items[item].operand_first + i];
}

static int look(void *user, const DlrtContext *cx, const DlrtEntry *entry, uint32_t item, int64_t B,
                void *const *bufs)
{
    Search *s = user;
    uint32_t n = entry->items[item].operand_count;
    Arena *a = s->step->e->run->arena;
    bool bad = false;
    (void)cx;
    (void)B;
    if (item < s->from)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        const DlrtOperand *o = operand(s->step, item, i);
        bad |= o->writes && has_bad(s->infinities, o->dtype, bufs[i], o->count);
    }
    if (!bad)
        return 0;
    s->item = item;
    memcpy(s->bufs, bufs, n * sizeof *bufs);
    for (uint32_t i = 0; i < n; i++) {
        const DlrtOperand *o = operand(s->step, item, i);
        size_t bytes = (size_t)o->count * dlrt_dtype_size(o->dtype);
        s->after[i] = o->writes ? memcpy(arena_alloc(a, bytes + 1), bufs[i], bytes) : NULL;
    }
    return DLRT_E_NAN;
}

static int stop_at(void *user, const DlrtContext *cx, const DlrtEntry *entry, uint32_t item,
                   int64_t B, void *const *bufs)
{
    (void)cx;
    (void)entry;
    (void)B;
    (void)bufs;
    return item == *(const uint32_t *)user ? DLRT_E_NAN : 0;
}

static void run(const Step *s, DlrtObserver *observer, void *user)
{
    float loss;
    dlrt_observe(s->e->cx, observer, user);
    dlrt_step(s->e->cx, s->B, s->fields, &loss);
    dlrt_observe(s->e->cx, NULL, NULL);
}

/* ---- One kernel ---- */

static bool wants(void *user, uint32_t buffer, int64_t element)
{
    const Culprit *c = user;
    const DlrtOperand *o = operand(c->search->step, c->search->item, buffer);
    return o->writes && element >= 0 && element < o->count &&
           bad_at(c->infinities, o->dtype, c->search->after[buffer], element);
}

static bool seen(void *user, const KernelInst *x, const double *in, int n, double out)
{
    Culprit *c = user;
    bool bad = is_bad(c->infinities, out);
    for (int i = 0; i < n; i++)
        bad &= !is_bad(c->infinities, in[i]);
    if (!bad || !x->loc || (n && (x->op == SC_COPY || x->op == SC_SELECT)))
        return false;
    c->inst = x;
    c->n = n;
    c->out = out;
    for (int i = 0; i < n; i++)
        c->in[i] = in[i];
    return true;
}

/* Elements of operand i that may be read: of the caller's arrays, B items. */
static int64_t elements_of(const Step *s, int64_t item, uint32_t i)
{
    const PlanBuffer *b = &s->plan->buffers.at[s->plan->items.at[item].buffers.at[i]];
    int64_t n = b->bytes / (int64_t)dtype_size(b->dtype);
    if (b->kind == BUFFER_INPUT) {
        const DlrtValue *v = &s->entry->inputs[b->index];
        n = 1;
        for (int d = 0; d < v->rank; d++)
            n *= v->batch[d] > 0 ? v->batch[d] * s->B : v->dims[d];
    }
    return n;
}

/* A kernel's operand: what it will write is not to be touched; results, of which there is but the
 * loss, are gone with the call that had a place for them. */
static void *memory_of(Arena *a, const Search *search, uint32_t i, bool written, size_t bytes)
{
    const Step *s = search->step;
    const PlanItem *item = &s->plan->items.at[search->item];
    bool gone = s->plan->buffers.at[item->buffers.at[i]].kind == BUFFER_OUTPUT;
    if (!written && !gone)
        return search->bufs[i];
    void *copy = arena_alloc(a, bytes + 1);
    return gone ? copy : memcpy(copy, search->bufs[i], bytes);
}

/* Interprets the kernel of the item that was found. False: it did not write what is bad there,
 * which was left from before, beyond a batch that is not full. */
static bool interpret(const Search *search, Culprit *out)
{
    const Step *s = search->step;
    const PlanItem *item = &s->plan->items.at[search->item];
    *out = (Culprit){ .infinities = search->infinities, .search = search };
    if (item->kind != PLAN_KERNEL)
        return true;
    uint32_t before = (uint32_t)search->item - 1;
    if (search->item > 0)
        run(s, stop_at, &before);
    Arena *a = arena_new();
    Kernel k = *item->formed;
    int64_t elements[DLRT_MAX_OPERANDS], length = INT64_MAX;
    void *bufs[DLRT_MAX_OPERANDS];
    for (uint32_t i = 0; i < k.operands; i++) {
        const KernelBuffer *b = &k.buffers.at[i];
        elements[i] = elements_of(s, search->item, i);
        bufs[i] = memory_of(a, search, i, b->written, (size_t)elements[i] * dtype_size(b->dtype));
        if (b->written && elements[i] < length)
            length = elements[i];
    }
    KernelAxis axis = { dim_of(length) };
    if (item->units) /* a loop of any length */
        k.axes.at = &axis;
    KernelWatch watch = { .user = out, .wants = wants, .seen = seen };
    const char *error = kernel_interp(&k, bufs, elements, s->B, &watch);
    arena_free(a);
    return error || watch.ran;
}

/* The first kernel, up to item `last`, whose results are bad, and its culprit. With `made`, the
 * first that has a culprit. False: there is none. */
static bool find(const Step *s, bool infinities, int64_t last, bool made, Search *search,
                 Culprit *out)
{
    *search = (Search){ .step = s, .infinities = infinities };
    for (;;) {
        search->item = -1;
        run(s, look, search);
        if (search->item < 0 || search->item > last)
            return false;
        if (interpret(search, out) && (out->inst || !made))
            return true;
        search->from = search->item + 1;
    }
}

/* ---- What there is to say ---- */

/* A parameter that is bad already names the step before as the cause. */
static const DlrtTensor *bad_tensor(const Engine *e)
{
    for (uint32_t i = 0; i < e->model->tensor_count; i++) {
        const DlrtTensor *t = &e->model->tensors[i];
        if (!t->layout && has_bad(true, t->dtype, (const char *)e->cx->shared + t->offset,
                                  t->bytes / (int64_t)dlrt_dtype_size(t->dtype)))
            return t;
    }
    return NULL;
}

/* A field of the data that is bad. */
static const char *bad_field(const Engine *e, int64_t B, const void *const *fields)
{
    for (uint32_t i = 0; i < e->model->field_count; i++) {
        const DlrtValue *v = &e->model->fields[i].value;
        int64_t n = B;
        for (int d = 1; d < v->rank; d++)
            n *= v->dims[d];
        if (has_bad(true, v->dtype, fields[i], n))
            return v->name;
    }
    return NULL;
}

/* -0.5, inf, nan */
static const char *number_text(Arena *a, double v)
{
    return isnan(v) ? "nan" : arena_printf(a, "%.9g", v);
}

/* "`log` of -1 is nan in f32" */
static const char *culprit_text(Arena *a, const Culprit *c)
{
    const char *text = "", *out = number_text(a, c->out);
    if (c->inst->kind == INST_ACC)
        return arena_printf(a, "what many elements%s add up or multiply to is %s",
                            isinf(c->in[0]) ? ", some of them infinite," : "", out);
    for (int i = 0; i < c->n; i++)
        text = arena_printf(a, "%s%s%s", text, !i ? "" : i + 1 < c->n ? ", " : " and ",
                            number_text(a, c->in[i]));
    return arena_printf(a, "`%s` of %s is %s in %s", scalar_name(c->inst->op), text, out,
                        dtype_name(c->inst->dtype));
}

static LocId place_of(const Search *s, const Culprit *c)
{
    return c->inst ? c->inst->loc : s->step->plan->items.at[s->item].loc;
}

/* The diagnostic with its place, and what happened there. */
static uint32_t report(const Step *s, uint64_t step)
{
    Compiler *cx = s->e->run->cx;
    Search nan, inf;
    Culprit made, source;
    bool is_nan = find(s, false, INT64_MAX, false, &nan, &made);
    bool is_inf = find(s, true, is_nan ? nan.item : INT64_MAX, true, &inf, &source);
    bool operand = !is_nan || !made.inst;
    for (int i = 0; is_nan && i < made.n; i++)
        operand |= isinf(made.in[i]);
    if (!is_nan && !is_inf)
        is_nan = find(s, true, INT64_MAX, false, &nan, &made);
    if (is_inf && !operand)
        is_inf = false;
    LocId loc = is_inf ? place_of(&inf, &source) : is_nan ? place_of(&nan, &made) : 0;
    const char *owner = loc ? loc_get(cx, loc)->owner : NULL;
    bool found = is_inf || is_nan, named = found && owner && *owner;
    uint32_t d = diag_report(cx, DIAG_E0907, loc, "the loss is not finite at step %llu%s%s%s",
                             (unsigned long long)step + 1, found ? ", first " : "",
                             named   ? "in "
                             : found ? "here"
                                     : "",
                             named ? owner : "");
    if (is_inf)
        diag_add(cx, d, DIAG_NOTE, 0, "%s", culprit_text(s->e->run->arena, &source));
    if (is_nan && made.inst && (!is_inf || made.inst->loc != loc))
        diag_add(cx, d, DIAG_NOTE, is_inf ? made.inst->loc : 0, "%s%s", is_inf ? "then " : "",
                 culprit_text(s->e->run->arena, &made));
    return d;
}

void train_explain_nan(Train *t, int64_t B, const void *const *fields)
{
    Engine *e = t->engine;
    Compiler *cx = e->run->cx;
    uint64_t step = (uint64_t)e->cx->clock.step;
    const DlrtTensor *tensor = bad_tensor(e);
    const char *field = fields ? bad_field(e, B, fields) : NULL;
    uint32_t entry = e->model->updates[dlrt_due_update(e->model, step, NULL)].entry;
    Step s = { .e = e,
               .B = B,
               .fields = fields,
               .entry = &e->model->entries[entry],
               .plan = &e->unit->program->plans.at[entry] };
    uint32_t d = report(&s, step);
    if (tensor)
        diag_add(cx, d, DIAG_NOTE, 0, "`%s` itself is not finite since step %llu", tensor->name,
                 (unsigned long long)step);
    if (field)
        diag_add(cx, d, DIAG_NOTE, 0, "the data's field `%s` holds values that are not finite",
                 field);
    diag_add(cx, d, DIAG_NOTE, 0, "step %llu stands: this one changed nothing",
             (unsigned long long)step);
    double lr;
    if (!dlrt_get(e->cx, "lr", &lr))
        diag_add(cx, d, DIAG_HELP, 0, "try a smaller learning rate: --set lr=..%s",
                 t->state.finished ? "" : ", or clip_norm");
}
