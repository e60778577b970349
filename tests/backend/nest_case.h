/* nest_case.h: loop-nest kernels built by hand, and run from memory. For tests and benchmarks. */
#ifndef DLCC_TESTS_NEST_CASE_H
#define DLCC_TESTS_NEST_CASE_H
#include "backend/jit.h"
#include "backend/object.h"

#include <stdio.h>
#include <stdlib.h>

typedef void NestFn(void *const *bufs, int64_t batch, int64_t begin, int64_t end);

/* A compiled kernel. */
typedef struct {
    KernelObject object;
    Jit *jit;
    NestFn *run;
    char error[200];
} NestCode;

static inline bool nest_compile(const Kernel *k, const Target *t, NestCode *out)
{
    *out = (NestCode){ 0 };
    const char *name = "nest_case";
    void *address;
    if (!kernel_emit(k, t, name, &out->object)) {
        snprintf(out->error, sizeof out->error, "%s", out->object.error);
        return false;
    }
    JitObject o = { out->object.bytes, out->object.size };
    out->jit = jit_link(&o, 1, &name, 1, &address, out->error);
    if (!out->jit)
        return false;
    *(void **)&out->run = address;
    return true;
}

static inline void nest_code_free(NestCode *c)
{
    jit_free(c->jit);
    kernel_object_free(&c->object);
}

static inline int64_t nest_units(const KernelGrid *g, int64_t batch)
{
    int64_t n = g->batch_scale ? (g->batch_scale * batch + g->batch_tile - 1) / g->batch_tile : 1;
    return g->tiles * n;
}

/* An empty kernel of `grid` axes with these extents, then axes for stages. */
static inline Kernel *nest_kernel(Arena *a, const Dim *extents, uint32_t n_axes, uint32_t grid,
                                  int64_t block, int32_t vector)
{
    Kernel *k = arena_make(a, Kernel);
    *k = (Kernel){ .name = "case", .grid = grid, .block = block, .vector = vector, .status = -1 };
    for (uint32_t i = 0; i < n_axes; i++)
        vec_push(a, &k->axes, (KernelAxis){ extents[i] });
    return k;
}

static inline uint32_t nest_operand(Arena *a, Kernel *k, Dtype t, bool written)
{
    vec_push(a, &k->buffers, (KernelBuffer){ .dtype = t, .written = written });
    return k->operands++;
}

static inline InstId nest_inst(Arena *a, KernelStage *s, KernelInst i)
{
    vec_push(a, &s->insts, i);
    return s->insts.n - 1;
}

static inline uint32_t nest_access(Arena *a, KernelStage *s, uint32_t buffer, Affine offset)
{
    vec_push(a, &s->accesses,
             (KernelAccess){ .buffer = buffer, .offset = offset, .index = INST_NONE });
    return s->accesses.n - 1;
}

static inline InstId nest_load(Arena *a, const Kernel *k, KernelStage *s, uint32_t buffer,
                               Affine offset)
{
    uint32_t x = nest_access(a, s, buffer, offset);
    return nest_inst(
        a, s, (KernelInst){ .kind = INST_LOAD, .dtype = k->buffers.at[buffer].dtype, .access = x });
}

static inline InstId nest_scalar(Arena *a, KernelStage *s, ScalarOp op, Dtype t, InstId x, InstId y,
                                 InstId z)
{
    return nest_inst(
        a, s, (KernelInst){ .kind = INST_SCALAR, .op = op, .dtype = t, .a = x, .b = y, .c = z });
}

static inline InstId nest_index(Arena *a, KernelStage *s, Affine f)
{
    return nest_inst(a, s, (KernelInst){ .kind = INST_INDEX, .dtype = DT_I64, .affine = f });
}

static inline void nest_store(Arena *a, KernelStage *s, uint32_t buffer, Affine offset,
                              InstId value, StoreKind kind, bool in_body)
{
    uint32_t x = nest_access(a, s, buffer, offset);
    vec_push(a, &s->stores,
             (KernelStore){ .kind = kind, .in_body = in_body, .access = x, .value = value });
}

/* y[i] = op(x0[i], x1[i], x2[i]) over n elements, in blocks. Operands: the inputs, then y. */
static inline Kernel *nest_scalar_kernel(Arena *a, ScalarOp op, Dtype from, Dtype to, int64_t n,
                                         int64_t block)
{
    Dim extent = dim_of(n);
    Kernel *k = nest_kernel(a, &extent, 1, 1, block, 0);
    KernelStage s = { 0 };
    InstId in[3] = { INST_NONE, INST_NONE, INST_NONE };
    for (int i = 0; i < scalar_operands(op); i++) {
        uint32_t b = nest_operand(a, k, op == SC_SELECT && i == 0 ? DT_BOOL : from, false);
        in[i] = nest_load(a, k, &s, b, affine_axis(0));
    }
    InstId y = nest_scalar(a, &s, op, to, in[0], in[1], in[2]);
    s.body_insts = s.insts.n;
    nest_store(a, &s, nest_operand(a, k, to, true), affine_axis(0), y, STORE_SET, false);
    vec_push(a, &k->stages, s);
    return k;
}

#endif
