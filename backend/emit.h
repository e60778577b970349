/* emit.h: one kernel as one LLVM module: its context, types, and the small operations that all
 * emitters are made of.
 *
 * A kernel is `void symbol(ptr bufs, i64 B, i64 begin, i64 end)`: run the units [begin, end) of its
 * grid. Values of the SSA: floats f64 and f32 as themselves; f16 and bf16 as i16 (bits as stored;
 * convert by inst.h); integers by their width, signedness in the operations; bool as i1, in memory
 * one byte. `lanes` 1 means a scalar, more a vector. A mask is an i1 of the same number of lanes;
 * NULL means all. No operation here sets a fast-math or contract flag: what is rounded where is
 * explicit. */
#ifndef DLCC_BACKEND_EMIT_H
#define DLCC_BACKEND_EMIT_H
#include "backend/target.h"
#include "ir/kernel.h"

#include <llvm-c/Core.h>

typedef struct Emit {
    const Kernel *kernel;
    const Target *target;
    LLVMContextRef cx;
    LLVMModuleRef module;
    LLVMBuilderRef b;
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, none;
    LLVMValueRef fn;
    LLVMValueRef bufs, batch, begin, end; /* parameters */
    LLVMValueRef *buffer;                 /* base of each operand, loaded at entry */
    LLVMBasicBlockRef entry; /* allocas and operand loads; falls into the first block of the body */
    LLVMValueRef zero;       /* 64 readable bytes of zeros, made on first use; see emit_zero */
    struct ObjectMachine *machine;        /* to generate code with; NULL: one of its own */
    int64_t stack_bytes;     /* asked for by emit_alloca */
    char error[200];         /* why emission is not possible, or "" */
} Emit;

/* Opens a module with the function `symbol`, positioned in its body. Disposed by emit_close. */
void emit_open(Emit *e, const Kernel *k, const Target *t, const char *symbol);
void emit_close(Emit *e);
/* A module without a function yet; a kernel as a further function of host's module. */
void emit_open_module(Emit *e, const Target *t, const char *name);
void emit_open_beside(Emit *e, const Emit *host, const Kernel *k, const char *symbol);
void emit_close_beside(Emit *e);
/* Gives a further function of the module the target's attributes. */
void emit_attributes(Emit *e, LLVMValueRef fn);
/* Records why this kernel cannot be emitted; returns false. The first reason stays. */
bool emit_fail(Emit *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- Types and constants ---- */
LLVMTypeRef emit_vector(LLVMTypeRef t, int lanes);
LLVMTypeRef emit_type(Emit *e, Dtype t, int lanes);        /* as an SSA value */
LLVMTypeRef emit_memory_type(Emit *e, Dtype t, int lanes); /* bool as i8 */
static inline LLVMValueRef emit_i64(Emit *e, int64_t v)
{
    return LLVMConstInt(e->i64, (unsigned long long)v, 1);
}
LLVMValueRef emit_float(Emit *e, Dtype t, double v, int lanes); /* f64 or f32 */
LLVMValueRef emit_int(Emit *e, Dtype t, int64_t v, int lanes); /* integers, bool; f16, bf16: bits */
LLVMValueRef emit_null(Emit *e, Dtype t, int lanes);
LLVMValueRef emit_splat(Emit *e, LLVMValueRef scalar, int lanes); /* lanes 1: itself */
LLVMValueRef emit_iota(Emit *e, LLVMTypeRef t, int lanes); /* <0, 1, 2, ...> of an integer type */
int emit_lanes(LLVMValueRef v);                            /* 1 for a scalar */

/* ---- Integers ---- */
LLVMValueRef emit_extent(Emit *e, Dim d); /* d.n, or d.k * B at run time */
/* c + sum coef[a] * at[a], for axes with a value; at[a] may be NULL where coef[a] is 0. */
LLVMValueRef emit_affine(Emit *e, const Affine *f, const LLVMValueRef *at);
LLVMValueRef emit_min(Emit *e, LLVMValueRef a, LLVMValueRef b); /* signed */
LLVMValueRef emit_element(Emit *e, Dtype t, LLVMValueRef base,
                          LLVMValueRef offset); /* address of element `offset` */
/* i1 of `lanes`: lane number < count, an i64. */
LLVMValueRef emit_tail_mask(Emit *e, LLVMValueRef count, int lanes);
LLVMValueRef emit_and(
    Emit *e, LLVMValueRef a,
    LLVMValueRef b); /* of masks; NULL is all; splats a scalar to the other's lanes */

/* ---- Memory ---- */
LLVMValueRef emit_alloca(Emit *e, int64_t bytes); /* in the entry block, aligned to 64 */
LLVMValueRef emit_zero(Emit *e);
/* Neighbouring elements at p; lanes off in `mask` are neither touched nor other than 0. */
LLVMValueRef emit_load(Emit *e, Dtype t, LLVMValueRef p, int lanes, LLVMValueRef mask);
void emit_store(Emit *e, Dtype t, LLVMValueRef p, LLVMValueRef v, LLVMValueRef mask);
/* Elements at base + offsets[lane], a vector of i64. */
LLVMValueRef emit_gather(Emit *e, Dtype t, LLVMValueRef base, LLVMValueRef offsets,
                         LLVMValueRef mask);
void emit_scatter(Emit *e, Dtype t, LLVMValueRef base, LLVMValueRef offsets, LLVMValueRef v,
                  LLVMValueRef mask);
void emit_prefetch(Emit *e, LLVMValueRef p, int locality); /* 3: all caches, 2: from L2 on */

/* ---- Arithmetic and calls ---- */
/* a * b + c: rounded once where the target has the instruction, else twice. */
LLVMValueRef emit_fma(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* Calls the LLVM intrinsic `name` overloaded on `types`. */
LLVMValueRef emit_intrinsic(Emit *e, const char *name, LLVMTypeRef *types, int n_types,
                            LLVMValueRef *args, int n_args);

/* ---- Control ---- */
/* for (i = begin; i < end; i += step) with carried values:
 *     EmitLoop l; LLVMValueRef v[2] = { initial values };
 *     emit_loop_begin(e, &l, begin, end, step, v, 2);   v[] are now this trip's
 *     v[0] = ...;
 *     emit_loop_end(e, &l);                             v[] are now the final ones
 * `v` must stay where it is between the two. A loop whose constant bounds give exactly one trip is
 * straight-line code. */
typedef struct {
    LLVMValueRef i, end;
    LLVMBasicBlockRef before, body, exit;
    LLVMValueRef *carried, *phis;
    int n;
    int64_t step;
    bool once, entered; /* entered: constant bounds with at least one trip, so that no test stands
                           before it */
} EmitLoop;
void emit_loop_begin(Emit *e, EmitLoop *l, LLVMValueRef begin, LLVMValueRef end, int64_t step,
                     LLVMValueRef *carried, int n);
void emit_loop_end(Emit *e, EmitLoop *l);

/* if (cond) { ... } without else: EmitIf f; emit_if_begin(e, &f, cond); ...; emit_if_end(e, &f); */
typedef struct {
    LLVMBasicBlockRef exit;
} EmitIf;
void emit_if_begin(Emit *e, EmitIf *f, LLVMValueRef cond);
void emit_if_end(Emit *e, EmitIf *f);

#endif
