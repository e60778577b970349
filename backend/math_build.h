/* math_build.h: the four operations on floats, by short names, for the files math*.c alone. */
#ifndef DLCC_BACKEND_MATH_BUILD_H
#define DLCC_BACKEND_MATH_BUILD_H
#include "backend/emit.h"

static inline LLVMValueRef add(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFAdd(e->b, a, b, "");
}

static inline LLVMValueRef sub(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFSub(e->b, a, b, "");
}

static inline LLVMValueRef mul(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFMul(e->b, a, b, "");
}

static inline LLVMValueRef divide(Emit *e, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildFDiv(e->b, a, b, "");
}

static inline LLVMValueRef negate(Emit *e, LLVMValueRef a)
{
    return LLVMBuildFNeg(e->b, a, "");
}

#endif
