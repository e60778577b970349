/* contract_post.c: what happens to a sum once it is complete: the stage's post instructions and
 * stores, a vector at a time.
 *
 * A short epilogue is written out for every register of the tile, and what does not vary with the
 * row (a bias) is computed once. A long one would be written out 24 times: it runs in loops over
 * the tile stored on the stack instead. */
#include "backend/contract.h"
#include "backend/inst.h"

#include <string.h>

/* Weights in simple instructions, by the time that LLVM takes over them. */
enum { WRITTEN_OUT = 160, FUNCTION_WEIGHT = 30, SCATTER_WEIGHT = 16, POST_INSTS = 512 };

static bool is_function(ScalarOp op)
{
    static const bool functions[SC_COUNT] = {
#define SCALAR(name, operands, function) [SC_##name] = function,
        SCALAR_TABLE(SCALAR)
#undef SCALAR
    };
    return functions[op];
}

/* Neighbouring lanes are not neighbours in memory. */
static bool is_scattered(const Contract *c, const KernelAccess *x)
{
    int64_t lane = c->dot ? 1 : x->offset.coef[c->v];
    return (lane != 0 && lane != 1) || (x->index != INST_NONE && !c->dot);
}

static int post_weight(const Contract *c)
{
    const KernelStage *s = &c->stage;
    int weight = 0;
    for (uint32_t i = 0; i < s->stores.n; i++)
        weight += is_scattered(c, &s->accesses.at[s->stores.at[i].access]) ? SCATTER_WEIGHT : 2;
    for (uint32_t i = s->body_insts; i < s->insts.n; i++) {
        const KernelInst *n = &s->insts.at[i];
        ScalarOp op = n->kind == INST_SCALAR ? n->op : SC_NONE;
        if (is_function(op) || n->kind == INST_RANDOM)
            weight += FUNCTION_WEIGHT;
        else
            weight += n->kind == INST_LOAD && is_scattered(c, &s->accesses.at[n->access])
                          ? SCATTER_WEIGHT
                          : 1;
    }
    return weight;
}

/* Whether an access sees which row of the tile it is in. */
static bool sees_row(const ContractEmit *m, const KernelAccess *x)
{
    const Contract *c = m->c;
    for (uint32_t i = 0; i < c->n_order; i++)
        if ((c->dot || c->order[i] != c->v) && m->size[c->order[i]] > 1 &&
            contract_depends(x, c->order[i]))
            return true;
    return c->kernel.buffers.at[x->buffer].written;
}

/* varies[i]: instruction i differs between rows of the tile. */
static void find_row_values(const ContractEmit *m, bool *varies)
{
    const KernelStage *s = &m->c->stage;
    for (uint32_t i = s->body_insts; i < s->insts.n; i++) {
        const KernelInst *n = &s->insts.at[i];
        bool v = n->kind == INST_ACC || n->kind == INST_RANDOM;
        if (n->kind == INST_LOAD || n->kind == INST_GUARD) {
            const KernelAccess *x = &s->accesses.at[n->access];
            v = sees_row(m, x) || (x->index != INST_NONE && varies[x->index]);
        }
        for (uint32_t j = 0; n->kind == INST_INDEX && j < m->c->n_order; j++)
            v = v || n->affine.coef[m->c->order[j]] != 0;
        const InstId operands[] = { n->a, n->b, n->c };
        int count = n->kind == INST_SCALAR ? scalar_operands(n->op) : 0;
        for (int j = 0; j < count; j++)
            v = v || varies[operands[j]];
        varies[i] = v;
    }
}

typedef struct {
    ContractEmit *m;
    LLVMValueRef values[POST_INSTS];
    bool varies[POST_INSTS];
    InstRandom random;
} Post;

/* Post instructions and stores for one vector of sums. `again`: the last call was for the same
 * columns in another row. */
static void emit_one(Post *p, const AccessPoint *at, LLVMValueRef acc, bool again)
{
    const KernelStage *s = &p->m->c->stage;
    InstEnv env = {
        .stage = s, .point = *at, .values = p->values, .accs = &acc, .random = &p->random
    };
    for (uint32_t i = s->body_insts; i < s->insts.n; i++)
        if (!again || p->varies[i])
            p->values[i] = inst_emit(p->m->e, &env, i);
    for (uint32_t i = 0; i < s->stores.n; i++)
        inst_store(p->m->e, &env, &s->stores.at[i]);
}

static void begin_post(ContractEmit *m, Post *p)
{
    *p = (Post){ .m = m };
    if (m->c->stage.insts.n > POST_INSTS)
        emit_fail(m->e, "%s: too long an epilogue", m->c->kernel.name);
    else
        find_row_values(m, p->varies);
}

static AccessPoint tile_point(const ContractEmit *m)
{
    const Contract *c = m->c;
    AccessPoint at = { .lane_axis = (int)c->v,
                       .lanes = c->dot ? 1 : c->lanes,
                       .base = m->e->buffer };
    memcpy(at.at, m->at, sizeof at.at);
    return at;
}

static LLVMValueRef moved(Emit *e, LLVMValueRef from, int64_t by)
{
    return by ? LLVMBuildAdd(e->b, from, emit_i64(e, by), "") : from;
}

static void post_written_out(ContractEmit *m, LLVMValueRef *acc)
{
    const Contract *c = m->c;
    Post p;
    begin_post(m, &p);
    int rows = contract_rows(m);
    for (int j = 0; j < m->nv && !*m->e->error; j++)
        for (int r = 0; r < rows; r++) {
            int64_t index[KERNEL_MAX_AXES];
            AccessPoint at = tile_point(m);
            contract_row(m, r, index);
            for (uint32_t i = 0; i < c->n_order; i++)
                at.at[c->order[i]] = moved(m->e, at.at[c->order[i]], index[c->order[i]]);
            if (!c->dot)
                at.at[c->v] = moved(m->e, at.at[c->v], (int64_t)j * c->lanes);
            at.mask = j == m->nv - 1 ? m->mask : NULL;
            emit_one(&p, &at, acc[r * m->nv + j], r > 0);
        }
}

void contract_post(ContractEmit *m, LLVMValueRef *acc)
{
    Emit *e = m->e;
    const Contract *c = m->c;
    int rows = contract_rows(m), width = c->dot ? 1 : c->lanes;
    if (post_weight(c) * rows * m->nv <= WRITTEN_OUT || rows * m->nv == 1) {
        post_written_out(m, acc);
        return;
    }
    if (!m->stage)
        m->stage = emit_alloca(e, (int64_t)CONTRACT_MAX_TILE * width * (int64_t)dtype_size(c->acc));
    int64_t coef[KERNEL_MAX_AXES] = { 0 }, step = (int64_t)m->nv * width;
    for (uint32_t i = c->n_order; i-- > 0;)
        if (c->dot || c->order[i] != c->v) {
            coef[c->order[i]] = step;
            step *= m->size[c->order[i]];
        }
    for (int i = 0; i < rows * m->nv; i++)
        emit_store(e, c->acc, emit_element(e, c->acc, m->stage, emit_i64(e, (int64_t)i * width)),
                   acc[i], NULL);
    contract_post_memory(m, m->stage, coef);
}

/* Loops over the tile's axes from order[level] on; `from` moves along. */
static void post_rows(Post *p, uint32_t level, AccessPoint *at, LLVMValueRef from,
                      const int64_t *coef)
{
    ContractEmit *m = p->m;
    Emit *e = m->e;
    const Contract *c = m->c;
    while (level < c->n_order &&
           (m->size[c->order[level]] == 1 || (!c->dot && c->order[level] == c->v)))
        level++;
    if (level == c->n_order) {
        LLVMValueRef acc = emit_load(e, c->acc, from, c->dot ? 1 : c->lanes, NULL);
        emit_one(p, at, acc, false);
        return;
    }
    uint32_t axis = c->order[level];
    LLVMValueRef origin = at->at[axis];
    EmitLoop l;
    emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, m->size[axis]), 1, NULL, 0);
    at->at[axis] = LLVMBuildAdd(e->b, origin, l.i, "");
    LLVMValueRef offset = LLVMBuildMul(e->b, l.i, emit_i64(e, coef[axis]), "");
    p->random = (InstRandom){ 0 };
    post_rows(p, level + 1, at, emit_element(e, c->acc, from, offset), coef);
    emit_loop_end(e, &l);
    p->random = (InstRandom){ 0 };
    at->at[axis] = origin;
}

void contract_post_memory(ContractEmit *m, LLVMValueRef from, const int64_t coef[KERNEL_MAX_AXES])
{
    Emit *e = m->e;
    const Contract *c = m->c;
    Post p;
    begin_post(m, &p);
    if (*e->error)
        return;
    AccessPoint at = tile_point(m);
    if (c->dot) {
        post_rows(&p, 0, &at, from, coef);
        return;
    }
    EmitLoop l;
    emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, m->nv), 1, NULL, 0);
    LLVMValueRef column = LLVMBuildMul(e->b, l.i, emit_i64(e, c->lanes), "");
    at.at[c->v] = LLVMBuildAdd(e->b, m->at[c->v], column, "");
    at.mask = m->mask;
    if (m->mask && m->nv > 1) { /* only the last vector is partial */
        LLVMValueRef inner = LLVMBuildICmp(e->b, LLVMIntSLT, l.i, emit_i64(e, m->nv - 1), "");
        at.mask = LLVMBuildOr(e->b, m->mask, emit_splat(e, inner, c->lanes), "");
    }
    post_rows(&p, 0, &at, emit_element(e, c->acc, from, column), coef);
    emit_loop_end(e, &l);
}
