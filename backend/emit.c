/* emit.c: the module of one kernel, and the small operations emitters are made of. See emit.h.
 *
 * Loops are made in their rotated form (test at the end, values in phis), since no pass runs
 * between here and instruction selection: what is written here is what runs. */
#include "backend/emit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_attribute(Emit *e, LLVMValueRef fn, const char *name, const char *value)
{
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(e->cx, name, (unsigned)strlen(name), value,
                                                      (unsigned)strlen(value)));
}

void emit_attributes(Emit *e, LLVMValueRef fn)
{
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateEnumAttribute(e->cx, nounwind, 0));
    set_attribute(e, fn, "target-cpu", e->target->llvm_cpu);
    set_attribute(e, fn, "target-features", e->target->llvm_features);
    set_attribute(e, fn, "prefer-vector-width",
                  e->target->vector_bytes == 64   ? "512"
                  : e->target->vector_bytes == 32 ? "256"
                                                  : "128");
}

static void open_function(Emit *e, const char *symbol)
{
    LLVMTypeRef params[] = { e->ptr, e->i64, e->i64, e->i64 };
    e->fn = LLVMAddFunction(e->module, symbol, LLVMFunctionType(e->none, params, 4, 0));
    emit_attributes(e, e->fn);
    e->bufs = LLVMGetParam(e->fn, 0);
    e->batch = LLVMGetParam(e->fn, 1);
    e->begin = LLVMGetParam(e->fn, 2);
    e->end = LLVMGetParam(e->fn, 3);
}

void emit_open_module(Emit *e, const Target *t, const char *name)
{
    LLVMContextRef cx = LLVMContextCreate();
    *e = (Emit){
        .target = t,
        .cx = cx,
        .module = LLVMModuleCreateWithNameInContext(name, cx),
        .b = LLVMCreateBuilderInContext(cx),
        .i1 = LLVMInt1TypeInContext(cx),
        .i8 = LLVMInt8TypeInContext(cx),
        .i16 = LLVMInt16TypeInContext(cx),
        .i32 = LLVMInt32TypeInContext(cx),
        .i64 = LLVMInt64TypeInContext(cx),
        .f32 = LLVMFloatTypeInContext(cx),
        .f64 = LLVMDoubleTypeInContext(cx),
        .ptr = LLVMPointerTypeInContext(cx, 0),
        .none = LLVMVoidTypeInContext(cx),
    };
}

static void open_body(Emit *e, const Kernel *k, const char *symbol)
{
    e->kernel = k;
    open_function(e, symbol);
    e->entry = LLVMAppendBasicBlockInContext(e->cx, e->fn, "entry");
    LLVMBasicBlockRef start = LLVMAppendBasicBlockInContext(e->cx, e->fn, "start");
    LLVMPositionBuilderAtEnd(e->b, e->entry);
    e->buffer = calloc(k->operands + 1, sizeof *e->buffer);
    for (uint32_t i = 0; e->buffer && i < k->operands; i++) {
        LLVMValueRef at = emit_i64(e, i);
        e->buffer[i] = LLVMBuildLoad2(e->b, e->ptr,
                                      LLVMBuildGEP2(e->b, e->ptr, e->bufs, &at, 1, ""), "");
    }
    LLVMBuildBr(e->b, start);
    LLVMPositionBuilderAtEnd(e->b, start);
    if (!e->buffer)
        emit_fail(e, "out of memory");
}

void emit_open(Emit *e, const Kernel *k, const Target *t, const char *symbol)
{
    emit_open_module(e, t, symbol);
    open_body(e, k, symbol);
}

void emit_open_beside(Emit *e, const Emit *host, const Kernel *k, const char *symbol)
{
    *e = *host;
    e->b = LLVMCreateBuilderInContext(e->cx);
    e->zero = NULL;
    e->stack_bytes = 0;
    e->error[0] = 0;
    open_body(e, k, symbol);
}

void emit_close_beside(Emit *e)
{
    free(e->buffer);
    LLVMDisposeBuilder(e->b);
}

void emit_close(Emit *e)
{
    free(e->buffer);
    LLVMDisposeBuilder(e->b);
    LLVMDisposeModule(e->module);
    LLVMContextDispose(e->cx);
}

bool emit_fail(Emit *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!*e->error)
        vsnprintf(e->error, sizeof e->error, format, args);
    va_end(args);
    return false;
}

/* ---- Types and constants ---- */

LLVMTypeRef emit_vector(LLVMTypeRef t, int lanes)
{
    return lanes > 1 ? LLVMVectorType(t, (unsigned)lanes) : t;
}

LLVMTypeRef emit_type(Emit *e, Dtype t, int lanes)
{
    return t == DT_BOOL ? emit_vector(e->i1, lanes) : emit_memory_type(e, t, lanes);
}

LLVMTypeRef emit_memory_type(Emit *e, Dtype t, int lanes)
{
    switch (t) {
    case DT_F64: return emit_vector(e->f64, lanes);
    case DT_F32: return emit_vector(e->f32, lanes);
    case DT_I64:
    case DT_U64: return emit_vector(e->i64, lanes);
    case DT_I32:
    case DT_U32: return emit_vector(e->i32, lanes);
    case DT_F16:
    case DT_BF16:
    case DT_I16:
    case DT_U16: return emit_vector(e->i16, lanes);
    case DT_I8:
    case DT_U8:
    case DT_BOOL: return emit_vector(e->i8, lanes);
    case DT_COUNT: break;
    }
    return NULL;
}

LLVMValueRef emit_float(Emit *e, Dtype t, double v, int lanes)
{
    return emit_splat(e, LLVMConstReal(emit_type(e, t, 1), v), lanes);
}

LLVMValueRef emit_int(Emit *e, Dtype t, int64_t v, int lanes)
{
    return emit_splat(e, LLVMConstInt(emit_type(e, t, 1), (unsigned long long)v, 1), lanes);
}

LLVMValueRef emit_null(Emit *e, Dtype t, int lanes)
{
    return LLVMConstNull(emit_type(e, t, lanes));
}

LLVMValueRef emit_splat(Emit *e, LLVMValueRef scalar, int lanes)
{
    if (lanes == 1)
        return scalar;
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef each[64];
        for (int i = 0; i < lanes && i < 64; i++)
            each[i] = scalar;
        return LLVMConstVector(each, (unsigned)lanes);
    }
    LLVMTypeRef vector = emit_vector(LLVMTypeOf(scalar), lanes);
    LLVMValueRef one = LLVMBuildInsertElement(e->b, LLVMGetPoison(vector), scalar,
                                              LLVMConstNull(e->i32), "");
    return LLVMBuildShuffleVector(e->b, one, LLVMGetPoison(vector),
                                  LLVMConstNull(emit_vector(e->i32, lanes)), "");
}

LLVMValueRef emit_iota(Emit *e, LLVMTypeRef t, int lanes)
{
    LLVMValueRef each[64];
    (void)e;
    for (int i = 0; i < lanes && i < 64; i++)
        each[i] = LLVMConstInt(t, (unsigned long long)i, 1);
    return lanes == 1 ? each[0] : LLVMConstVector(each, (unsigned)lanes);
}

int emit_lanes(LLVMValueRef v)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 1;
}

/* ---- Integers ---- */

LLVMValueRef emit_extent(Emit *e, Dim d)
{
    if (d.k == 0)
        return emit_i64(e, d.n);
    return d.k == 1 ? e->batch : LLVMBuildMul(e->b, e->batch, emit_i64(e, d.k), "");
}

LLVMValueRef emit_affine(Emit *e, const Affine *f, const LLVMValueRef *at)
{
    LLVMValueRef sum = emit_i64(e, f->c);
    for (int a = 0; a < KERNEL_MAX_AXES; a++)
        if (f->coef[a]) {
            LLVMValueRef term = f->coef[a] == 1
                                    ? at[a]
                                    : LLVMBuildMul(e->b, at[a], emit_i64(e, f->coef[a]), "");
            bool none = LLVMIsAConstantInt(sum) && LLVMConstIntGetSExtValue(sum) == 0;
            sum = none ? term : LLVMBuildAdd(e->b, sum, term, "");
        }
    return sum;
}

LLVMValueRef emit_min(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    if (LLVMIsAConstantInt(a) && LLVMIsAConstantInt(b))
        return LLVMConstIntGetSExtValue(a) < LLVMConstIntGetSExtValue(b) ? a : b;
    return LLVMBuildSelect(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, a, b, ""), a, b, "");
}

LLVMValueRef emit_element(Emit *e, Dtype t, LLVMValueRef base, LLVMValueRef offset)
{
    if (LLVMIsAConstantInt(offset) && LLVMConstIntGetSExtValue(offset) == 0)
        return base;
    return LLVMBuildGEP2(e->b, emit_memory_type(e, t, 1), base, &offset, 1, "");
}

LLVMValueRef emit_tail_mask(Emit *e, LLVMValueRef count, int lanes)
{
    /* Compared as i32: half the registers of i64, and a count is clamped to the lanes first. */
    LLVMValueRef n = LLVMBuildTrunc(e->b, emit_min(e, count, emit_i64(e, lanes)), e->i32, "");
    return LLVMBuildICmp(e->b, LLVMIntSLT, emit_iota(e, e->i32, lanes), emit_splat(e, n, lanes),
                         "");
}

LLVMValueRef emit_and(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    if (!a || !b)
        return a ? a : b;
    int la = emit_lanes(a), lb = emit_lanes(b), lanes = la > lb ? la : lb;
    if (la != lanes)
        a = emit_splat(e, a, lanes);
    if (lb != lanes)
        b = emit_splat(e, b, lanes);
    return LLVMBuildAnd(e->b, a, b, "");
}

/* ---- Memory ---- */

LLVMValueRef emit_alloca(Emit *e, int64_t bytes)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->b);
    LLVMPositionBuilderBefore(e->b, LLVMGetFirstInstruction(e->entry));
    LLVMValueRef p = LLVMBuildAlloca(e->b, LLVMArrayType2(e->i8, (uint64_t)bytes), "");
    LLVMSetAlignment(p, 64);
    LLVMPositionBuilderAtEnd(e->b, here);
    e->stack_bytes += bytes + 64;
    return p;
}

LLVMValueRef emit_zero(Emit *e)
{
    if (!e->zero) {
        LLVMTypeRef t = LLVMArrayType2(e->i8, 64);
        e->zero = LLVMAddGlobal(e->module, t, "zero");
        LLVMSetInitializer(e->zero, LLVMConstNull(t));
        LLVMSetGlobalConstant(e->zero, 1);
        LLVMSetLinkage(e->zero, LLVMPrivateLinkage);
        LLVMSetAlignment(e->zero, 64);
    }
    return e->zero;
}

/* From memory to SSA and back: bool is a byte in memory. */
static LLVMValueRef from_memory(Emit *e, Dtype t, LLVMValueRef v)
{
    return t == DT_BOOL ? LLVMBuildICmp(e->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "") : v;
}

static LLVMValueRef to_memory(Emit *e, Dtype t, LLVMValueRef v)
{
    return t == DT_BOOL ? LLVMBuildZExt(e->b, v, emit_memory_type(e, t, emit_lanes(v)), "") : v;
}

LLVMValueRef emit_load(Emit *e, Dtype t, LLVMValueRef p, int lanes, LLVMValueRef mask)
{
    LLVMTypeRef type = emit_memory_type(e, t, lanes);
    LLVMValueRef v;
    if (mask && lanes > 1) {
        LLVMTypeRef types[] = { type, e->ptr };
        LLVMValueRef args[] = { p, LLVMConstInt(e->i32, dtype_size(t), 0), mask,
                                LLVMConstNull(type) };
        v = emit_intrinsic(e, "llvm.masked.load", types, 2, args, 4);
    } else {
        if (mask) /* a scalar under a condition: reads zeros instead, no branch */
            p = LLVMBuildSelect(e->b, mask, p, emit_zero(e), "");
        v = LLVMBuildLoad2(e->b, type, p, "");
        LLVMSetAlignment(v, (unsigned)dtype_size(t));
    }
    return from_memory(e, t, v);
}

void emit_store(Emit *e, Dtype t, LLVMValueRef p, LLVMValueRef v, LLVMValueRef mask)
{
    int lanes = emit_lanes(v);
    v = to_memory(e, t, v);
    if (mask && lanes > 1) {
        LLVMTypeRef types[] = { LLVMTypeOf(v), e->ptr };
        LLVMValueRef args[] = { v, p, LLVMConstInt(e->i32, dtype_size(t), 0), mask };
        emit_intrinsic(e, "llvm.masked.store", types, 2, args, 4);
        return;
    }
    EmitIf f;
    if (mask)
        emit_if_begin(e, &f, mask);
    LLVMSetAlignment(LLVMBuildStore(e->b, v, p), (unsigned)dtype_size(t));
    if (mask)
        emit_if_end(e, &f);
}

static LLVMValueRef lane_addresses(Emit *e, Dtype t, LLVMValueRef base, LLVMValueRef offsets)
{
    return LLVMBuildGEP2(e->b, emit_memory_type(e, t, 1), base, &offsets, 1, "");
}

static LLVMValueRef all_lanes(Emit *e, int lanes)
{
    return emit_splat(e, LLVMConstInt(e->i1, 1, 0), lanes);
}

/* Lane by lane: what the machine has no gather for, LLVM would do with a branch for each lane.
 * Lanes off read zeros instead. */
static LLVMValueRef gather_lanes(Emit *e, LLVMTypeRef type, LLVMValueRef addresses,
                                 LLVMValueRef mask)
{
    int lanes = emit_lanes(addresses);
    LLVMValueRef v = LLVMGetPoison(type);
    if (mask)
        addresses = LLVMBuildSelect(e->b, mask, addresses, emit_splat(e, emit_zero(e), lanes), "");
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef n = LLVMConstInt(e->i32, (unsigned)i, 0);
        LLVMValueRef x = LLVMBuildLoad2(e->b, LLVMGetElementType(type),
                                        LLVMBuildExtractElement(e->b, addresses, n, ""), "");
        LLVMSetAlignment(x, 1);
        v = LLVMBuildInsertElement(e->b, v, x, n, "");
    }
    return v;
}

LLVMValueRef emit_gather(Emit *e, Dtype t, LLVMValueRef base, LLVMValueRef offsets,
                         LLVMValueRef mask)
{
    int lanes = emit_lanes(offsets);
    LLVMTypeRef type = emit_memory_type(e, t, lanes);
    LLVMTypeRef types[] = { type, emit_vector(e->ptr, lanes) };
    LLVMValueRef addresses = lane_addresses(e, t, base, offsets);
    if (!e->target->masks || dtype_size(t) < 4)
        return from_memory(e, t, gather_lanes(e, type, addresses, mask));
    LLVMValueRef args[] = { addresses, LLVMConstInt(e->i32, dtype_size(t), 0),
                            mask ? mask : all_lanes(e, lanes), LLVMConstNull(type) };
    return from_memory(e, t, emit_intrinsic(e, "llvm.masked.gather", types, 2, args, 4));
}

void emit_scatter(Emit *e, Dtype t, LLVMValueRef base, LLVMValueRef offsets, LLVMValueRef v,
                  LLVMValueRef mask)
{
    int lanes = emit_lanes(offsets);
    v = to_memory(e, t, v);
    LLVMTypeRef types[] = { LLVMTypeOf(v), emit_vector(e->ptr, lanes) };
    LLVMValueRef args[] = { v, lane_addresses(e, t, base, offsets),
                            LLVMConstInt(e->i32, dtype_size(t), 0),
                            mask ? mask : all_lanes(e, lanes) };
    emit_intrinsic(e, "llvm.masked.scatter", types, 2, args, 4);
}

void emit_prefetch(Emit *e, LLVMValueRef p, int locality)
{
    LLVMValueRef args[] = { p, LLVMConstInt(e->i32, 0, 0),
                            LLVMConstInt(e->i32, (unsigned)locality, 0),
                            LLVMConstInt(e->i32, 1, 0) };
    emit_intrinsic(e, "llvm.prefetch", &e->ptr, 1, args, 4);
}

/* ---- Arithmetic and calls ---- */

LLVMValueRef emit_fma(Emit *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (!e->target->fma)
        return LLVMBuildFAdd(e->b, LLVMBuildFMul(e->b, a, b, ""), c, "");
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef args[] = { a, b, c };
    return emit_intrinsic(e, "llvm.fma", &type, 1, args, 3);
}

LLVMValueRef emit_intrinsic(Emit *e, const char *name, LLVMTypeRef *types, int n_types,
                            LLVMValueRef *args, int n_args)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(e->module, id, types, (size_t)n_types);
    LLVMTypeRef type = LLVMGlobalGetValueType(fn);
    return LLVMBuildCall2(e->b, type, fn, args, (unsigned)n_args, "");
}

/* ---- Control ---- */

static LLVMBasicBlockRef new_block(Emit *e)
{
    return LLVMAppendBasicBlockInContext(e->cx, e->fn, "");
}

void emit_loop_begin(Emit *e, EmitLoop *l, LLVMValueRef begin, LLVMValueRef end, int64_t step,
                     LLVMValueRef *carried, int n)
{
    *l = (EmitLoop){ .end = end, .carried = carried, .n = n, .step = step };
    if (LLVMIsAConstantInt(begin) && LLVMIsAConstantInt(end)) {
        int64_t from = LLVMConstIntGetSExtValue(begin), to = LLVMConstIntGetSExtValue(end);
        l->entered = from < to;
        l->once = l->entered && from + step >= to;
    }
    if (l->once) {
        l->i = begin;
        return;
    }
    l->before = LLVMGetInsertBlock(e->b);
    l->body = new_block(e);
    l->exit = new_block(e);
    if (l->entered)
        LLVMBuildBr(e->b, l->body);
    else
        LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, begin, end, ""), l->body, l->exit);
    LLVMPositionBuilderAtEnd(e->b, l->body);
    l->i = LLVMBuildPhi(e->b, e->i64, "");
    LLVMAddIncoming(l->i, &begin, &l->before, 1);
    l->phis = n ? malloc(2 * (size_t)n * sizeof *l->phis) : NULL;
    for (int j = 0; j < n; j++) {
        l->phis[j] = LLVMBuildPhi(e->b, LLVMTypeOf(carried[j]), "");
        LLVMAddIncoming(l->phis[j], &carried[j], &l->before, 1);
        l->phis[n + j] = carried[j]; /* the initial value */
        carried[j] = l->phis[j];
    }
}

void emit_loop_end(Emit *e, EmitLoop *l)
{
    if (l->once)
        return;
    LLVMValueRef next = LLVMBuildAdd(e->b, l->i, emit_i64(e, l->step), "");
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(e->b);
    LLVMBuildCondBr(e->b, LLVMBuildICmp(e->b, LLVMIntSLT, next, l->end, ""), l->body, l->exit);
    LLVMAddIncoming(l->i, &next, &latch, 1);
    LLVMPositionBuilderAtEnd(e->b, l->exit);
    for (int j = 0; j < l->n; j++) {
        LLVMValueRef last = l->carried[j];
        LLVMAddIncoming(l->phis[j], &last, &latch, 1);
        l->carried[j] = LLVMBuildPhi(e->b, LLVMTypeOf(last), "");
        LLVMAddIncoming(l->carried[j], &last, &latch, 1);
        if (!l->entered)
            LLVMAddIncoming(l->carried[j], &l->phis[l->n + j], &l->before, 1);
    }
    free(l->phis);
}

void emit_if_begin(Emit *e, EmitIf *f, LLVMValueRef cond)
{
    LLVMBasicBlockRef then = new_block(e);
    f->exit = new_block(e);
    LLVMBuildCondBr(e->b, cond, then, f->exit);
    LLVMPositionBuilderAtEnd(e->b, then);
}

void emit_if_end(Emit *e, EmitIf *f)
{
    LLVMBuildBr(e->b, f->exit);
    LLVMPositionBuilderAtEnd(e->b, f->exit);
}
