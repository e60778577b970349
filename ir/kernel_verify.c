/* kernel_verify.c: the rules of kernel.h, checked. What a kernel may not do is found here and not
 * in machine code. */
#include "ir/kernel.h"

typedef struct {
    Arena *a;
    const Kernel *k;
    const KernelStage *s;
    uint32_t number;
    const char *error;
} Check;

static bool expect(Check *c, bool ok, const char *what)
{
    if (!ok && !c->error)
        c->error = arena_printf(c->a, "stage %u: %s", c->number, what);
    return ok;
}

static bool axis_in(const uint32_t *list, uint32_t n, uint32_t axis)
{
    for (uint32_t i = 0; i < n; i++)
        if (list[i] == axis)
            return true;
    return false;
}

/* Axes an expression may use: the grid's, the free ones, and within the body the reduced ones. */
static void check_affine(Check *c, const Affine *e, bool body)
{
    for (uint32_t i = 0; i < KERNEL_MAX_AXES; i++)
        if (e->coef[i])
            expect(c, i < c->k->grid || axis_in(c->s->free_axes, c->s->n_free, i) ||
                          (body && axis_in(c->s->reduced_axes, c->s->n_reduced, i)),
                   "an index uses an axis that does not run there");
}

static void check_access(Check *c, uint32_t number, bool body, bool written)
{
    if (!expect(c, number < c->s->accesses.n, "no such access"))
        return;
    const KernelAccess *x = &c->s->accesses.at[number];
    if (!expect(c, x->buffer < c->k->buffers.n, "no such buffer"))
        return;
    expect(c, !written || c->k->buffers.at[x->buffer].written,
           "a store into a buffer not marked as written");
    check_affine(c, &x->offset, body);
    for (uint32_t i = 0; i < x->guards.n; i++)
        check_affine(c, &x->guards.at[i].e, body);
}

static void check_operand(Check *c, InstId user, InstId operand)
{
    expect(c, operand < user, "an instruction reads one that comes after it");
    expect(c, user < c->s->body_insts || operand >= c->s->body_insts || !c->s->n_reduced,
           "the epilogue reads a value of the body");
}

static void check_inst(Check *c, InstId id)
{
    const KernelInst *i = &c->s->insts.at[id];
    bool body = id < c->s->body_insts;
    switch (i->kind) {
    case INST_LOAD: {
        check_access(c, i->access, body, false);
        const KernelAccess *x = &c->s->accesses.at[i->access];
        if (!c->error && x->index != INST_NONE) {
            check_operand(c, id, x->index);
            expect(c, c->k->status >= 0, "an indexed load without a status word");
        }
        if (!c->error)
            expect(c, c->k->buffers.at[x->buffer].dtype == i->dtype,
                   "a load of another dtype than its buffer's");
        break;
    }
    case INST_SCALAR: {
        InstId in[3] = { i->a, i->b, i->c };
        for (int j = 0; j < scalar_operands(i->op); j++)
            check_operand(c, id, in[j]);
        break;
    }
    case INST_GUARD: expect(c, i->access < c->s->accesses.n, "no such access"); break;
    case INST_INDEX: check_affine(c, &i->affine, body); break;
    case INST_ACC:
        expect(c, !body, "an accumulator is read in the body");
        expect(c, c->s->kind == STAGE_CONTRACT || i->i <= (int64_t)c->s->accums.n,
               "no such accumulator");
        break;
    case INST_UNIT_VALUE:
        expect(c, i->access < c->number && !c->k->stages.at[i->access].n_free,
               "no such unit value");
        break;
    case INST_RANDOM:
        check_operand(c, id, i->a);
        check_operand(c, id, i->b);
        check_operand(c, id, i->c);
        break;
    case INST_CONST:
    case INST_BATCH: break;
    }
}

static void check_stage(Check *c)
{
    const KernelStage *s = c->s;
    for (uint32_t i = 0; i < s->n_free + s->n_reduced; i++) {
        uint32_t axis = i < s->n_free ? s->free_axes[i] : s->reduced_axes[i - s->n_free];
        expect(c, axis >= c->k->grid && axis < c->k->axes.n, "an axis of its own that is none");
    }
    for (InstId i = 0; i < s->insts.n && !c->error; i++)
        check_inst(c, i);
    for (uint32_t i = 0; i < s->accums.n; i++)
        expect(c, s->accums.at[i].value < s->body_insts,
               "an accumulator of a value outside the body");
    for (uint32_t i = 0; i < s->stores.n && !c->error; i++) {
        const KernelStore *t = &s->stores.at[i];
        check_access(c, t->access, t->in_body, true);
        expect(c,
               t->value < s->insts.n && (t->in_body == (t->value < s->body_insts) || !s->n_reduced),
               "a store of a value that is not there");
    }
    if (s->kind == STAGE_CONTRACT)
        expect(c, s->a < s->body_insts && s->b < s->body_insts, "a contraction without operands");
}

const char *kernel_verify(Arena *a, const Kernel *k)
{
    Check c = { .a = a, .k = k };
    if (!k->grid || k->grid > k->axes.n || k->axes.n > KERNEL_MAX_AXES || k->block < 1)
        return "a kernel without a grid or a block";
    if (k->vector >= 0 && k->vector != (int32_t)k->grid - 1)
        return "the vector axis is not the last of the grid";
    for (c.number = 0; c.number < k->stages.n && !c.error; c.number++) {
        c.s = &k->stages.at[c.number];
        check_stage(&c);
    }
    return c.error;
}
