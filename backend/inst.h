/* inst.h: the instructions of kernel bodies as LLVM values, scalar or vector. Used by every
 * emitter.
 *
 * Values are as emit.h says: f16 and bf16 as their bits in i16, bool as i1. A value that is the
 * same for all lanes may be a scalar; where a scalar meets a vector it is spread. Operations have
 * the semantics of ir/scalar.h; none traps. */
#ifndef DLCC_BACKEND_INST_H
#define DLCC_BACKEND_INST_H
#include "backend/access.h"

/* `op` on operands of dtype `from` (SELECT: of the two values), with a result of dtype `to`: of
 * comparisons and IS_*, bool; of CAST, any; else the same. */
LLVMValueRef inst_scalar(Emit *e, ScalarOp op, Dtype from, Dtype to, const LLVMValueRef *in);
LLVMValueRef inst_cast(Emit *e, Dtype from, Dtype to, LLVMValueRef v);
/* Any dtype's value as f32 or f64 when it is a float of another width; itself else. */
LLVMValueRef inst_widen(Emit *e, Dtype t, LLVMValueRef v); /* f16, bf16 to f32 */
LLVMValueRef inst_narrow(Emit *e, Dtype t,
                         LLVMValueRef v); /* f32 to f16, bf16: once, ties to even */

/* The four words of the Philox block of INST_RANDOM: u32, scalar or vector like `element`; element,
 * step and key are i64. */
void inst_philox(Emit *e, LLVMValueRef element, LLVMValueRef step, uint64_t site, LLVMValueRef key,
                 LLVMValueRef out_words[4]);

/* The last Philox block, since words of one block are different instructions. */
typedef struct {
    LLVMValueRef element, step, key, words[4];
    uint64_t site;
} InstRandom;

/* Where an instruction is emitted. */
typedef struct {
    const KernelStage *stage;
    AccessPoint point;
    LLVMValueRef
        *values; /* by InstId: of this stage; operands of an emitted instruction are there */
    LLVMValueRef *const
        *stage_values; /* by stage: their values, for UNIT_VALUE; NULL when the stage has none */
    const LLVMValueRef *accs;          /* for post */
    InstRandom *random;                /* zeroed at first; NULL when there is no INST_RANDOM */
} InstEnv;

/* Instruction `id` of env->stage at env->point. The caller keeps the result in env->values[id]. */
LLVMValueRef inst_emit(Emit *e, const InstEnv *env, InstId id);
/* Carries out `store`, whose value and index are in env->values. Lanes that would meet at one
 * element go one by one. */
void inst_store(Emit *e, const InstEnv *env, const KernelStore *store);

#endif
