/* nan.c: where a loss that is not finite comes from.
 *
 * The failed step changed nothing, so it can be run again: an observer looks at what each kernel
 * wrote and stops at the first that holds a NaN, or, if the step has none, an infinity. Looking for
 * both at once would blame the -inf that masks are made of. The plan of the entry says where in the
 * source a kernel's values are named. */
#include "driver/train.h"

#include <math.h>

typedef struct {
    bool infinities;
    int64_t item; /* of the entry; -1: none found */
} Search;

static bool is_bad(const Search *s, double v)
{
    return s->infinities ? !isfinite(v) : isnan(v);
}

static bool has_bad(const Search *s, int dtype, const void *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (dtype == DLRT_F32 ? is_bad(s, (double)((const float *)data)[i])
                              : dtype == DLRT_F64 && is_bad(s, ((const double *)data)[i]))
            return true;
    return false;
}

static int look(void *user, const DlrtContext *cx, const DlrtEntry *entry, uint32_t item, int64_t B,
                void *const *bufs)
{
    Search *s = user;
    const DlrtItem *it = &entry->items[item];
    (void)cx;
    (void)B;
    for (uint32_t i = 0; i < it->operand_count; i++) {
        const DlrtOperand *o = &entry->operands[it->operand_first + i];
        if (o->writes && has_bad(s, o->dtype, bufs[i], o->count)) {
            s->item = item;
            return DLRT_E_NAN;
        }
    }
    return 0;
}

/* A parameter that is bad already names the step before as the cause. */
static const DlrtTensor *bad_tensor(const Engine *e)
{
    for (uint32_t i = 0; i < e->model->tensor_count; i++) {
        const DlrtTensor *t = &e->model->tensors[i];
        Search s = { .infinities = true };
        if (!t->layout && has_bad(&s, t->dtype, (const char *)e->cx->shared + t->offset,
                                  t->bytes / (int64_t)dlrt_dtype_size(t->dtype)))
            return t;
    }
    return NULL;
}

/* A field of the data that is bad. */
static const char *bad_field(const Engine *e, int64_t B, const void *const *fields)
{
    Search s = { .infinities = true };
    for (uint32_t i = 0; i < e->model->field_count; i++) {
        const DlrtValue *v = &e->model->fields[i].value;
        int64_t n = B;
        for (int d = 1; d < v->rank; d++)
            n *= v->dims[d];
        if (has_bad(&s, v->dtype, fields[i], n))
            return v->name;
    }
    return NULL;
}

static Search search(Engine *e, int64_t B, const void *const *fields, bool infinities)
{
    Search s = { .infinities = infinities, .item = -1 };
    float loss;
    dlrt_observe(e->cx, look, &s);
    dlrt_step(e->cx, B, fields, &loss);
    dlrt_observe(e->cx, NULL, NULL);
    return s;
}

void train_explain_nan(Train *t, int64_t B, const void *const *fields)
{
    Engine *e = t->engine;
    Compiler *cx = e->run->cx;
    uint64_t step = (uint64_t)e->cx->clock.step;
    const DlrtTensor *tensor = bad_tensor(e);
    const char *field = fields ? bad_field(e, B, fields) : NULL;
    const DlrtUpdate *update = &e->model->updates[dlrt_due_update(e->model, step, NULL)];
    Search s = search(e, B, fields, false);
    if (s.item < 0)
        s = search(e, B, fields, true);
    const PlanItem *item =
        s.item >= 0 ? &e->unit->program->plans.at[update->entry].items.at[s.item] : NULL;
    LocId loc = item ? item->loc : 0;
    const char *owner = loc ? loc_get(cx, loc)->owner : NULL;
    uint32_t d = diag_report(cx, DIAG_E0907, loc, "the loss is not finite at step %llu%s%s%s",
                             (unsigned long long)step + 1, item ? ", first " : "",
                             item && owner && *owner ? "in "
                             : item                  ? "here"
                                                     : "",
                             item && owner && *owner ? owner : "");
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
