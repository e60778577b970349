/* dtype.c: sizes and conversion of element types.
 *
 * Conversion goes through double or through a 64-bit integer, whichever holds the value exactly,
 * and rounds once. */
#include "runtime/core.h"
#include "runtime/fpu.h"

#include <math.h>
#include <string.h>

size_t dlrt_dtype_size(int dtype)
{
    switch ((DlrtDtype)dtype) {
    case DLRT_F64: case DLRT_I64: case DLRT_U64: return 8;
    case DLRT_F32: case DLRT_I32: case DLRT_U32: return 4;
    case DLRT_F16: case DLRT_BF16: case DLRT_I16: case DLRT_U16: return 2;
    case DLRT_I8: case DLRT_U8: case DLRT_BOOL: return 1;
    case DLRT_DTYPE_COUNT: break;
    }
    return 0;
}

const char *dlrt_dtype_name(int dtype)
{
    static const char names[DLRT_DTYPE_COUNT][5] = {
        "f64", "f32", "f16", "bf16", "i64", "i32", "i16", "i8", "u64", "u32", "u16", "u8", "bool",
    };
    return dtype >= 0 && dtype < DLRT_DTYPE_COUNT ? names[dtype] : "?";
}

/* ---- One element ---- */

static double f16_to_double(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent == 31 ? (fraction ? NAN : INFINITY)
             : exponent ? ldexp(1024 + fraction, exponent - 25)
                        : ldexp(fraction, -24);
    return h & 0x8000 ? -v : v;
}

/* Scales to a unit in the last place of 1 and lets rint round to even. */
static uint16_t double_to_f16(double v)
{
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    if (isnan(v))
        return sign | 0x7e00;
    v = fabs(v);
    if (v >= 65520.0) /* half way between 65504 and 65536 */
        return sign | 0x7c00;
    int exponent;
    frexp(v, &exponent); /* v in [2^(exponent-1), 2^exponent) */
    if (exponent < -13 || v == 0)
        exponent = -13; /* subnormal: the unit is 2^-24 */
    uint32_t units = (uint32_t)rint(ldexp(v, 11 - exponent));
    /* A carry out of the fraction runs into the exponent, as it should. */
    return (uint16_t)(sign | (((uint32_t)(exponent + 13) << 10) + units));
}

static uint16_t double_to_bf16(double v)
{
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if (isnan(v))
        return (uint16_t)(bits >> 16 | 0x40);
    /* Rounding twice would go wrong where the first step made a tie: round to odd first. */
    if (isfinite(f) && f != v) {
        double up = fabs((double)f) > fabs(v);
        if (up)
            bits -= 1;
        bits |= 1;
    } else if (isinf(f) && isfinite(v)) {
        return (uint16_t)(bits >> 16); /* beyond f32: beyond bf16 */
    }
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

typedef struct {
    bool whole, negative; /* whole: the value is bits, as int64 if negative, else as uint64 */
    uint64_t bits;
    double real;
} Number;

#define AT(T) (((const T *)from)[i])
static Number number_load(const void *from, DlrtDtype dtype, size_t i)
{
    int64_t v = 0;
    uint32_t bits;
    float f;
    switch (dtype) {
    case DLRT_F64: return (Number){ .real = AT(double) };
    case DLRT_F32: return (Number){ .real = (double)AT(float) };
    case DLRT_F16: return (Number){ .real = f16_to_double(AT(uint16_t)) };
    case DLRT_BF16:
        bits = (uint32_t)AT(uint16_t) << 16;
        memcpy(&f, &bits, 4);
        return (Number){ .real = (double)f };
    case DLRT_I64: v = AT(int64_t); break;
    case DLRT_I32: v = AT(int32_t); break;
    case DLRT_I16: v = AT(int16_t); break;
    case DLRT_I8: v = AT(int8_t); break;
    case DLRT_U64: return (Number){ .whole = true, .bits = AT(uint64_t) };
    case DLRT_U32: v = AT(uint32_t); break;
    case DLRT_U16: v = AT(uint16_t); break;
    case DLRT_U8: v = AT(uint8_t); break;
    case DLRT_BOOL: v = AT(uint8_t) != 0; break;
    case DLRT_DTYPE_COUNT: break;
    }
    return (Number){ .whole = true, .negative = v < 0, .bits = (uint64_t)v };
}
#undef AT

static double number_real(Number n)
{
    return !n.whole ? n.real : n.negative ? (double)(int64_t)n.bits : (double)n.bits;
}

/* Low bits that a double cannot hold become one sticky bit: right for a later rounding to few
 * bits. */
static double number_sticky(Number n)
{
    if (!n.whole)
        return n.real;
    uint64_t m = n.negative ? -n.bits : n.bits;
    if (m >> 53 && m & 0x7ff)
        m = (m & ~UINT64_C(0x7ff)) | 0x800;
    return n.negative ? -(double)m : (double)m;
}

/* 64-bit integers to f32 directly: by way of double they would round twice. */
static float number_single(Number n)
{
    return !n.whole ? (float)n.real : n.negative ? (float)(int64_t)n.bits : (float)n.bits;
}

static int64_t number_signed(Number n, int64_t low, int64_t high)
{
    if (!n.whole) {
        if (isnan(n.real))
            return 0;
        if (n.real < 0)
            return n.real <= (double)low ? low : (int64_t)n.real;
        return n.real >= (double)high ? high : (int64_t)n.real;
    }
    if (n.negative)
        return (int64_t)n.bits < low ? low : (int64_t)n.bits;
    return n.bits > (uint64_t)high ? high : (int64_t)n.bits;
}

static uint64_t number_unsigned(Number n, uint64_t high)
{
    if (!n.whole)
        return !(n.real > 0) ? 0 : n.real >= (double)high ? high : (uint64_t)n.real;
    return n.negative ? 0 : n.bits > high ? high : n.bits;
}

static void number_store(void *to, DlrtDtype dtype, size_t i, Number n)
{
    switch (dtype) {
    case DLRT_F64: ((double *)to)[i] = number_real(n); break;
    case DLRT_F32: ((float *)to)[i] = number_single(n); break;
    case DLRT_F16: ((uint16_t *)to)[i] = double_to_f16(number_real(n)); break;
    case DLRT_BF16: ((uint16_t *)to)[i] = double_to_bf16(number_sticky(n)); break;
    case DLRT_I64: ((int64_t *)to)[i] = number_signed(n, INT64_MIN, INT64_MAX); break;
    case DLRT_I32: ((int32_t *)to)[i] = (int32_t)number_signed(n, INT32_MIN, INT32_MAX); break;
    case DLRT_I16: ((int16_t *)to)[i] = (int16_t)number_signed(n, INT16_MIN, INT16_MAX); break;
    case DLRT_I8: ((int8_t *)to)[i] = (int8_t)number_signed(n, INT8_MIN, INT8_MAX); break;
    case DLRT_U64: ((uint64_t *)to)[i] = number_unsigned(n, UINT64_MAX); break;
    case DLRT_U32: ((uint32_t *)to)[i] = (uint32_t)number_unsigned(n, UINT32_MAX); break;
    case DLRT_U16: ((uint16_t *)to)[i] = (uint16_t)number_unsigned(n, UINT16_MAX); break;
    case DLRT_U8: ((uint8_t *)to)[i] = (uint8_t)number_unsigned(n, UINT8_MAX); break;
    case DLRT_BOOL: ((uint8_t *)to)[i] = n.whole ? n.bits != 0 : n.real != 0; break;
    case DLRT_DTYPE_COUNT: break;
    }
}

void dlrt_convert(void *to, int to_dtype, const void *from, int from_dtype, size_t n)
{
    if (to_dtype == from_dtype) {
        if (n)
            memcpy(to, from, n * dlrt_dtype_size(to_dtype));
        return;
    }
    uint64_t fpu = fpu_enter(); /* a caller may flush subnormals, or round otherwise */
    for (size_t i = 0; i < n; i++)
        number_store(to, (DlrtDtype)to_dtype, i, number_load(from, (DlrtDtype)from_dtype, i));
    fpu_leave(fpu);
}
