/* inst_convert.c: conversions between dtypes, and the Philox generator.
 *
 * bf16 is rounded with integers: LLVM's own casts call functions of libgcc that few systems have.
 * f16 uses the F16C instructions where the target has them, else integers. What comes from f64 or
 * i64 passes through f32 rounded to odd (the last bit says whether anything was lost), so that the
 * second rounding decides as if it were the only one (Boldo, Melquiond: "When double rounding is
 * odd", 2005). */
#include "backend/inst.h"
#include "backend/math.h"

#include <math.h>

static LLVMValueRef int_like(Emit *e, LLVMValueRef like, Dtype t, int64_t v)
{
    return emit_int(e, t, v, emit_lanes(like));
}

static LLVMValueRef select_of(Emit *e, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(e->b, c, a, b, "");
}

static LLVMValueRef to_type(Emit *e, LLVMValueRef v, Dtype t)
{
    return LLVMBuildBitCast(e->b, v, emit_type(e, t, emit_lanes(v)), "");
}

static LLVMValueRef half_type_cast(Emit *e, LLVMValueRef v)
{
    return LLVMBuildBitCast(e->b, v, emit_vector(LLVMHalfTypeInContext(e->cx), emit_lanes(v)), "");
}

/* ---- f16 and bf16 to f32 ---- */

/* Exponent and mantissa moved into place; subnormals become normal by a subtraction, which is
 * exact. */
static LLVMValueRef widen_f16(Emit *e, LLVMValueRef h)
{
    int lanes = emit_lanes(h);
    if (e->target->f16c)
        return LLVMBuildFPExt(e->b, half_type_cast(e, h), emit_type(e, DT_F32, lanes), "");
    LLVMValueRef w = LLVMBuildZExt(e->b, h, emit_type(e, DT_U32, lanes), "");
    LLVMValueRef thirteen = int_like(e, h, DT_U32, 13), top = int_like(e, h, DT_U32, 0x7c00 << 13);
    LLVMValueRef body =
        LLVMBuildShl(e->b, LLVMBuildAnd(e->b, w, int_like(e, h, DT_U32, 0x7fff), ""), thirteen, "");
    LLVMValueRef exponent = LLVMBuildAnd(e->b, body, top, "");
    LLVMValueRef normal = LLVMBuildAdd(e->b, body, int_like(e, h, DT_U32, 112 << 23), "");
    LLVMValueRef infinite = LLVMBuildAdd(e->b, normal, int_like(e, h, DT_U32, 112 << 23), "");
    LLVMValueRef tiny =
        to_type(e, LLVMBuildAdd(e->b, normal, int_like(e, h, DT_U32, 1 << 23), ""), DT_F32);
    tiny = to_type(e, LLVMBuildFSub(e->b, tiny, emit_float(e, DT_F32, 0x1p-14, lanes), ""), DT_U32);
    LLVMValueRef r =
        select_of(e, LLVMBuildICmp(e->b, LLVMIntEQ, exponent, top, ""), infinite, normal);
    r = select_of(e, LLVMBuildICmp(e->b, LLVMIntEQ, exponent, int_like(e, h, DT_U32, 0), ""), tiny,
                  r);
    LLVMValueRef sign = LLVMBuildAnd(e->b, w, int_like(e, h, DT_U32, 0x8000), "");
    sign = LLVMBuildShl(e->b, sign, int_like(e, h, DT_U32, 16), "");
    return to_type(e, LLVMBuildOr(e->b, r, sign, ""), DT_F32);
}

LLVMValueRef inst_widen(Emit *e, Dtype t, LLVMValueRef v)
{
    if (t == DT_F16)
        return widen_f16(e, v);
    if (t != DT_BF16)
        return v;
    LLVMValueRef w = LLVMBuildZExt(e->b, v, emit_type(e, DT_U32, emit_lanes(v)), "");
    return to_type(e, LLVMBuildShl(e->b, w, int_like(e, v, DT_U32, 16), ""), DT_F32);
}

/* ---- f32 to f16 and bf16 ---- */

static LLVMValueRef narrow_f16(Emit *e, LLVMValueRef f)
{
    int lanes = emit_lanes(f);
    LLVMTypeRef i16 = emit_type(e, DT_F16, lanes);
    if (e->target->f16c) {
        LLVMTypeRef half = emit_vector(LLVMHalfTypeInContext(e->cx), lanes);
        return LLVMBuildBitCast(e->b, LLVMBuildFPTrunc(e->b, f, half, ""), i16, "");
    }
    LLVMValueRef bits = to_type(e, f, DT_U32), thirteen = int_like(e, f, DT_U32, 13);
    LLVMValueRef sign = LLVMBuildAnd(e->b, bits, int_like(e, f, DT_U32, 0x80000000), "");
    LLVMValueRef a = LLVMBuildXor(e->b, bits, sign, "");
    /* Normal: rebase the exponent and round, ties to even; a carry goes into the exponent, where it
     * belongs. */
    LLVMValueRef odd =
        LLVMBuildAnd(e->b, LLVMBuildLShr(e->b, a, thirteen, ""), int_like(e, f, DT_U32, 1), "");
    LLVMValueRef normal = LLVMBuildAdd(e->b, a, int_like(e, f, DT_U32, 0xfff - (112ll << 23)), "");
    normal = LLVMBuildLShr(e->b, LLVMBuildAdd(e->b, normal, odd, ""), thirteen, "");
    /* Subnormal: adding 0.5 puts the last bit of the result at the last bit of the sum. */
    LLVMValueRef tiny =
        LLVMBuildFAdd(e->b, to_type(e, a, DT_F32), emit_float(e, DT_F32, 0.5, lanes), "");
    tiny = LLVMBuildSub(e->b, to_type(e, tiny, DT_U32), int_like(e, f, DT_U32, 126 << 23), "");
    LLVMValueRef nan = LLVMBuildICmp(e->b, LLVMIntUGT, a, int_like(e, f, DT_U32, 0x7f800000), "");
    LLVMValueRef beyond =
        select_of(e, nan, int_like(e, f, DT_U32, 0x7e00), int_like(e, f, DT_U32, 0x7c00));
    LLVMValueRef r = select_of(
        e, LLVMBuildICmp(e->b, LLVMIntULT, a, int_like(e, f, DT_U32, 113 << 23), ""), tiny, normal);
    r = select_of(e, LLVMBuildICmp(e->b, LLVMIntUGE, a, int_like(e, f, DT_U32, 143 << 23), ""),
                  beyond, r);
    sign = LLVMBuildLShr(e->b, sign, int_like(e, f, DT_U32, 16), "");
    return LLVMBuildTrunc(e->b, LLVMBuildOr(e->b, r, sign, ""), i16, "");
}

static LLVMValueRef narrow_bf16(Emit *e, LLVMValueRef f)
{
    LLVMValueRef bits = to_type(e, f, DT_U32), sixteen = int_like(e, f, DT_U32, 16);
    LLVMValueRef high = LLVMBuildLShr(e->b, bits, sixteen, "");
    LLVMValueRef odd = LLVMBuildAnd(e->b, high, int_like(e, f, DT_U32, 1), "");
    LLVMValueRef r =
        LLVMBuildAdd(e->b, LLVMBuildAdd(e->b, bits, int_like(e, f, DT_U32, 0x7fff), ""), odd, "");
    r = LLVMBuildLShr(e->b, r, sixteen, "");
    LLVMValueRef quiet = LLVMBuildOr(e->b, high, int_like(e, f, DT_U32, 0x40),
                                     ""); /* rounding could turn NaN into infinity */
    r = select_of(e, LLVMBuildFCmp(e->b, LLVMRealUNO, f, f, ""), quiet, r);
    return LLVMBuildTrunc(e->b, r, emit_type(e, DT_BF16, emit_lanes(f)), "");
}

LLVMValueRef inst_narrow(Emit *e, Dtype t, LLVMValueRef v)
{
    return t == DT_F16 ? narrow_f16(e, v) : t == DT_BF16 ? narrow_bf16(e, v) : v;
}

/* ---- Wide to f32, rounded to odd ---- */

static LLVMValueRef f64_to_odd_f32(Emit *e, LLVMValueRef d)
{
    int lanes = emit_lanes(d);
    LLVMValueRef f = LLVMBuildFPTrunc(e->b, d, emit_type(e, DT_F32, lanes), "");
    LLVMValueRef back = LLVMBuildFPExt(e->b, f, LLVMTypeOf(d), "");
    LLVMValueRef inexact = LLVMBuildFCmp(e->b, LLVMRealONE, back, d, "");
    LLVMValueRef above = LLVMBuildFCmp(e->b, LLVMRealOGT, math_abs(e, back), math_abs(e, d), "");
    LLVMValueRef bits = to_type(e, f, DT_U32);
    LLVMValueRef down =
        LLVMBuildSub(e->b, bits, LLVMBuildZExt(e->b, above, LLVMTypeOf(bits), ""), "");
    LLVMValueRef odd = LLVMBuildOr(e->b, down, int_like(e, d, DT_U32, 1), "");
    return to_type(e, select_of(e, inexact, odd, bits), DT_F32);
}

/* i64 and u64 of more than 53 bits, with the bits that f64 has no room for gathered in the last
 * that it has. */
static LLVMValueRef keep_sticky(Emit *e, LLVMValueRef v)
{
    LLVMValueRef low = LLVMBuildAnd(e->b, v, int_like(e, v, DT_I64, 0x7ff), ""),
                 zero = int_like(e, v, DT_I64, 0);
    LLVMValueRef lost = LLVMBuildICmp(e->b, LLVMIntNE, low, zero, "");
    LLVMValueRef cut = LLVMBuildAnd(e->b, v, int_like(e, v, DT_I64, ~INT64_C(0x7ff)), "");
    LLVMValueRef sticky = select_of(e, lost, int_like(e, v, DT_I64, 0x800), zero);
    LLVMValueRef top =
        LLVMBuildAShr(e->b, v, int_like(e, v, DT_I64, 53), ""); /* 0 or -1: few bits */
    LLVMValueRef few =
        LLVMBuildICmp(e->b, LLVMIntULE, LLVMBuildAdd(e->b, top, int_like(e, v, DT_I64, 1), ""),
                      int_like(e, v, DT_I64, 1), "");
    return select_of(e, few, v, LLVMBuildOr(e->b, cut, sticky, ""));
}

/* ---- Casts ---- */

/* Truncates and saturates; NaN gives 0. The limits are exact in the float type, and what fptosi
 * sees is inside them. */
static LLVMValueRef float_to_integer(Emit *e, Dtype from, Dtype to, LLVMValueRef v)
{
    int lanes = emit_lanes(v), bits = (int)dtype_size(to) * 8;
    bool sign = dtype_is_signed(to);
    double low = sign ? -ldexp(1, bits - 1) : 0, high = ldexp(1, sign ? bits - 1 : bits);
    LLVMValueRef lo = emit_float(e, from, low, lanes), hi = emit_float(e, from, high, lanes);
    LLVMValueRef above = LLVMBuildFCmp(e->b, LLVMRealOGE, v, hi, ""),
                 below = LLVMBuildFCmp(e->b, LLVMRealOLE, v, lo, "");
    LLVMValueRef inside = LLVMBuildAnd(e->b, LLVMBuildFCmp(e->b, LLVMRealOGT, v, lo, ""),
                                       LLVMBuildFCmp(e->b, LLVMRealOLT, v, hi, ""), "");
    LLVMValueRef safe = select_of(e, inside, v, emit_float(e, from, 0, lanes));
    LLVMTypeRef wide = emit_type(e, bits == 64 ? DT_I64 : DT_I32, lanes);
    LLVMValueRef r = sign || bits < 32 ? LLVMBuildFPToSI(e->b, safe, wide, "")
                                       : LLVMBuildFPToUI(e->b, safe, wide, "");
    if (bits < 32)
        r = LLVMBuildTrunc(e->b, r, emit_type(e, to, lanes), "");
    int64_t max = sign ? (int64_t)(UINT64_MAX >> (65 - bits)) : -1;
    r = select_of(e, above, emit_int(e, to, max, lanes), r);
    return select_of(e, below,
                     emit_int(e, to, sign ? (int64_t)(UINT64_C(1) << (bits - 1)) : 0, lanes), r);
}

static LLVMValueRef integer_to_float(Emit *e, Dtype from, Dtype to, LLVMValueRef v)
{
    LLVMTypeRef t = emit_type(e, to, emit_lanes(v));
    bool sign = dtype_is_signed(from) && from != DT_BOOL;
    if (dtype_size(from) < 4) { /* through i32: conversions from it are the cheapest */
        LLVMTypeRef wide = emit_type(e, DT_I32, emit_lanes(v));
        v = sign ? LLVMBuildSExt(e->b, v, wide, "") : LLVMBuildZExt(e->b, v, wide, "");
        sign = true;
    }
    return sign ? LLVMBuildSIToFP(e->b, v, t, "") : LLVMBuildUIToFP(e->b, v, t, "");
}

static LLVMValueRef integer_to_integer(Emit *e, Dtype from, Dtype to, LLVMValueRef v)
{
    LLVMTypeRef t = emit_type(e, to, emit_lanes(v));
    if (from != DT_BOOL && dtype_size(to) < dtype_size(from))
        return LLVMBuildTrunc(e->b, v, t, "");
    if (from != DT_BOOL && dtype_size(to) == dtype_size(from))
        return v;
    return dtype_is_signed(from) && from != DT_BOOL ? LLVMBuildSExt(e->b, v, t, "")
                                                    : LLVMBuildZExt(e->b, v, t, "");
}

static LLVMValueRef to_bool(Emit *e, Dtype from, LLVMValueRef v)
{
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(v));
    return dtype_is_float(from) ? LLVMBuildFCmp(e->b, LLVMRealUNE, v, zero, "")
                                : LLVMBuildICmp(e->b, LLVMIntNE, v, zero, "");
}

/* From an integer or f32 or f64 to f16 or bf16. */
static LLVMValueRef to_half(Emit *e, Dtype from, Dtype to, LLVMValueRef v)
{
    if (from == DT_I64)
        v = keep_sticky(e, v);
    if (from ==
        DT_U64) { /* the value with its halves joined by "or" keeps the top bit out of the sign */
        LLVMValueRef one = int_like(e, v, DT_I64, 1), half = LLVMBuildLShr(e->b, v, one, "");
        half = keep_sticky(e, LLVMBuildOr(e->b, half, LLVMBuildAnd(e->b, v, one, ""), ""));
        LLVMValueRef d = integer_to_float(e, DT_I64, DT_F64, half);
        LLVMValueRef twice = LLVMBuildFAdd(e->b, d, d, "");
        LLVMValueRef large = LLVMBuildICmp(e->b, LLVMIntSLT, v, int_like(e, v, DT_I64, 0), "");
        LLVMValueRef small = integer_to_float(e, DT_I64, DT_F64, keep_sticky(e, v));
        return inst_narrow(e, to, f64_to_odd_f32(e, select_of(e, large, twice, small)));
    }
    if (from == DT_F32)
        return inst_narrow(e, to, v);
    if (from == DT_F64)
        return inst_narrow(e, to, f64_to_odd_f32(e, v));
    if (dtype_size(from) < 4)
        return inst_narrow(e, to, integer_to_float(e, from, DT_F32, v));
    return inst_narrow(e, to, f64_to_odd_f32(e, integer_to_float(e, from, DT_F64, v)));
}

LLVMValueRef inst_cast(Emit *e, Dtype from, Dtype to, LLVMValueRef v)
{
    if (from == to)
        return v;
    if (from == DT_F16 || from == DT_BF16) { /* exact in f32 */
        v = inst_widen(e, from, v);
        from = DT_F32;
    }
    if (from == to)
        return v;
    if (to == DT_BOOL)
        return to_bool(e, from, v);
    if (to == DT_F16 || to == DT_BF16)
        return to_half(e, from, to, v);
    if (!dtype_is_float(from))
        return dtype_is_float(to) ? integer_to_float(e, from, to, v)
                                  : integer_to_integer(e, from, to, v);
    if (!dtype_is_float(to))
        return float_to_integer(e, from, to, v);
    LLVMTypeRef t = emit_type(e, to, emit_lanes(v));
    return to == DT_F64 ? LLVMBuildFPExt(e->b, v, t, "") : LLVMBuildFPTrunc(e->b, v, t, "");
}

/* ---- Philox4x32-10 ---- */

/* Counter c[0..4) and key c[4..6), as one round leaves them.
 * Words live in the low halves of i64 lanes and whatever is above them is ignored: the machine's
 * product of low halves is then a word to the next round as it is, and its other word one shift
 * away. */
static void philox_round(Emit *e, LLVMValueRef *c, int lanes)
{
    LLVMValueRef up = int_like(e, c[0], DT_I64, 32), low = int_like(e, c[0], DT_I64, 0xffffffff),
                 k[2];
    for (int i = 0; i < 2; i++) {
        k[i] = emit_lanes(c[4 + i]) < lanes ? emit_splat(e, c[4 + i], lanes) : c[4 + i];
        c[4 + i] = LLVMBuildAdd(e->b, c[4 + i],
                                int_like(e, c[4 + i], DT_I64, i ? 0xbb67ae85 : 0x9e3779b9), "");
    }
    LLVMValueRef p0 = LLVMBuildMul(e->b, LLVMBuildAnd(e->b, c[0], low, ""),
                                   int_like(e, c[0], DT_I64, 0xd2511f53), "");
    LLVMValueRef p1 = LLVMBuildMul(e->b, LLVMBuildAnd(e->b, c[2], low, ""),
                                   int_like(e, c[0], DT_I64, 0xcd9e8d57), "");
    c[0] =
        LLVMBuildXor(e->b, LLVMBuildXor(e->b, LLVMBuildLShr(e->b, p1, up, ""), c[1], ""), k[0], "");
    c[2] =
        LLVMBuildXor(e->b, LLVMBuildXor(e->b, LLVMBuildLShr(e->b, p0, up, ""), c[3], ""), k[1], "");
    c[1] = p1;
    c[3] = p0;
}

void inst_philox(Emit *e, LLVMValueRef element, LLVMValueRef step, uint64_t site, LLVMValueRef key,
                 LLVMValueRef out_words[4])
{
    int lanes = emit_lanes(element);
    lanes = emit_lanes(step) > lanes ? emit_lanes(step) : lanes;
    lanes = emit_lanes(key) > lanes ? emit_lanes(key) : lanes;
    LLVMValueRef in[] = { element, step }, key_up = int_like(e, key, DT_I64, 32);
    for (int i = 0; i < 2; i++)
        if (emit_lanes(in[i]) < lanes)
            in[i] = emit_splat(e, in[i], lanes);
    LLVMValueRef up = int_like(e, in[0], DT_I64, 32);
    LLVMValueRef stir = LLVMBuildMul(e->b, LLVMBuildLShr(e->b, in[1], up, ""),
                                     int_like(e, in[1], DT_I64, 0x9e3779b9), "");
    stir = LLVMBuildXor(e->b, stir, int_like(e, in[1], DT_I64, (int64_t)(uint32_t)site), "");
    LLVMValueRef c[6] = { in[0], LLVMBuildLShr(e->b, in[0], up, ""),  in[1], stir,
                          key,   LLVMBuildLShr(e->b, key, key_up, "") };
    EmitLoop l; /* two rounds a trip: ten in a row would be most of a kernel's code */
    emit_loop_begin(e, &l, emit_i64(e, 0), emit_i64(e, 5), 1, c, 6);
    philox_round(e, c, lanes);
    philox_round(e, c, lanes);
    emit_loop_end(e, &l);
    for (int i = 0; i < 4; i++)
        out_words[i] = LLVMBuildTrunc(e->b, c[i], emit_type(e, DT_U32, lanes), "");
}
