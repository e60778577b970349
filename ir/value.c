/* value.c: values of the reference interpreter, their bytes, and the scalar operations on them.
 *
 * Needs nothing but libm. Floats are held as double whatever their type, and only a cast or leaving
 * the interpreter rounds: the reference has to be better than what it judges. Rounding to f16, bf16
 * and f32 goes straight from the exact value, through the 64-bit significand of long double:
 * rounding twice (i64 to double to float) would be wrong in the last bit. */
#include "ir/value.h"

#include <math.h>
#include <string.h>

Value value_new(Arena *a, Dtype dtype, const Shape *shape, int64_t batch)
{
    Value v = { .dtype = dtype, .rank = shape->rank, .count = 1 };
    for (uint32_t i = 0; i < shape->rank; i++) {
        v.dim[i] = shape->dim[i].k ? shape->dim[i].k * batch : shape->dim[i].n;
        v.count *= v.dim[i];
    }
    v.i = arena_new_array(a, int64_t, (size_t)v.count);
    return v;
}

/* v to `digits` significant bits, ties to even; least normal exponent `least`; infinite from
 * 2^past on. */
static double round_bits(long double v, int digits, int least, int past)
{
    if (v == 0 || isnan(v) || isinf(v))
        return (double)v;
    int e = ilogbl(v);
    int ulp = (e < least ? least : e) - (digits - 1);
    long double r = ldexpl(rintl(ldexpl(v, -ulp)), ulp);
    return fabsl(r) >= ldexpl(1, past) ? copysign(INFINITY, (double)v) : (double)r;
}

static double round_exact(Dtype t, long double v)
{
    switch (t) {
    case DT_F64: return (double)v;
    case DT_F32: return (double)(float)v;
    case DT_F16: return round_bits(v, 11, -14, 16);
    case DT_BF16: return round_bits(v, 8, -126, 128);
    case DT_I64: case DT_I32: case DT_I16: case DT_I8:
    case DT_U64: case DT_U32: case DT_U16: case DT_U8: case DT_BOOL: case DT_COUNT: break;
    }
    return (double)v;
}

double value_round(Dtype t, double v)
{
    return round_exact(t, v);
}

int64_t value_wrap(Dtype t, int64_t v)
{
    switch (t) {
    case DT_I32: return (int32_t)v;
    case DT_I16: return (int16_t)v;
    case DT_I8: return (int8_t)v;
    case DT_U32: return (uint32_t)v;
    case DT_U16: return (uint16_t)v;
    case DT_U8: return (uint8_t)v;
    case DT_BOOL: return v != 0;
    case DT_I64: case DT_U64: case DT_F64: case DT_F32:
    case DT_F16: case DT_BF16: case DT_COUNT: break;
    }
    return v;
}

static uint16_t half_bits(double v)
{
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    double m = fabs(v);
    if (isnan(v))
        return 0x7e00;
    if (isinf(v))
        return sign | 0x7c00;
    if (m < 0x1p-14)
        return sign | (uint16_t)(m * 0x1p24);
    int e = ilogb(m);
    return sign | (uint16_t)((e + 15) << 10) | (uint16_t)((ldexp(m, -e) - 1) * 1024);
}

static double half_value(uint16_t bits)
{
    int e = bits >> 10 & 31, m = bits & 1023;
    double v = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return bits & 0x8000 ? -v : v;
}

#define LOAD_AS(T) (memcpy(&u.T, p, sizeof u.T), u.T)
static double load_float(Dtype t, const char *p)
{
    union { double f64; float f32; uint16_t u16; uint32_t u32; } u;
    switch (t) {
    case DT_F64: return LOAD_AS(f64);
    case DT_F32: return LOAD_AS(f32);
    case DT_F16: return half_value(LOAD_AS(u16));
    case DT_BF16:
        u.u32 = (uint32_t)LOAD_AS(u16) << 16;
        return u.f32;
    case DT_I64: case DT_I32: case DT_I16: case DT_I8:
    case DT_U64: case DT_U32: case DT_U16: case DT_U8: case DT_BOOL: case DT_COUNT: break;
    }
    return 0;
}

static int64_t load_int(Dtype t, const char *p)
{
    int64_t v = 0;
    memcpy(&v, p, dtype_size(t));
    return value_wrap(t, v);
}

Value value_copy(Arena *a, const Value *v)
{
    Value c = *v;
    size_t bytes = (size_t)v->count * (dtype_is_float(v->dtype) ? sizeof *v->f : sizeof *v->i);
    c.f = arena_alloc(a, bytes);
    if (bytes)
        memcpy(c.f, v->f, bytes);
    return c;
}

Value value_from_bytes(Arena *a, Dtype dtype, const Shape *shape, const void *bytes)
{
    Value v = value_new(a, dtype, shape, 0);
    size_t size = dtype_size(dtype);
    const char *p = bytes;
    for (int64_t i = 0; i < v.count; i++, p += size) {
        if (dtype_is_float(dtype))
            v.f[i] = load_float(dtype, p);
        else
            v.i[i] = load_int(dtype, p);
    }
    return v;
}

bool value_number(Dtype dtype, const void *bytes, double *out_number)
{
    if (dtype_is_float(dtype)) {
        *out_number = load_float(dtype, bytes);
        return true;
    }
    const int64_t limit = INT64_C(1) << 53;
    int64_t v = load_int(dtype, bytes);
    *out_number = (double)v;
    return v <= limit && v >= (dtype == DT_U64 ? 0 : -limit);
}

void value_to_bytes(const Value *v, void *out_bytes)
{
    size_t size = dtype_size(v->dtype);
    char *p = out_bytes;
    for (int64_t i = 0; i < v->count; i++, p += size) {
        if (!dtype_is_float(v->dtype)) {
            int64_t n = value_wrap(v->dtype, v->i[i]);
            memcpy(p, &n, size);
            continue;
        }
        double r = value_round(v->dtype, v->f[i]);
        float f = (float)r;
        uint32_t word;
        memcpy(&word, &f, 4);
        uint16_t brain = isnan(r) ? 0x7fc0 : (uint16_t)(word >> 16);
        uint16_t half = v->dtype == DT_F16 ? half_bits(r) : brain;
        const void *single = v->dtype == DT_F32 ? (void *)&f : (void *)&half;
        memcpy(p, v->dtype == DT_F64 ? &r : single, size);
    }
}

static int64_t saturate(Dtype t, double v)
{
    if (isnan(v))
        return 0;
    int bits = (int)dtype_size(t) * 8;
    double end = dtype_is_signed(t) ? ldexp(1, bits - 1) : ldexp(1, bits);
    double least = dtype_is_signed(t) ? -end : 0;
    if (v <= least)
        return dtype_is_signed(t) ? (int64_t)least : 0;
    if (v >= end)
        return (int64_t)(UINT64_MAX >> (dtype_is_signed(t) ? 65 - bits : 64 - bits));
    return dtype_is_signed(t) ? (int64_t)v : (int64_t)(uint64_t)v;
}

void value_cast(const Value *x, int64_t at, Value *out)
{
    Dtype from = x->dtype, to = out->dtype;
    if (dtype_is_float(from) && dtype_is_float(to))
        out->f[at] = value_round(to, x->f[at]);
    else if (dtype_is_float(from))
        out->i[at] = to == DT_BOOL ? x->f[at] != 0 : saturate(to, x->f[at]);
    else if (dtype_is_float(to))
        out->f[at] = round_exact(to, from == DT_U64 ? (uint64_t)x->i[at] : (long double)x->i[at]);
    else
        out->i[at] = value_wrap(to, x->i[at]);
}

static double floor_mod(double a, double b)
{
    double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r == 0 ? copysign(0.0, b) : r;
}

double scalar_float(ScalarOp op, const double *in)
{
    double a = in[0], b = scalar_operands(op) > 1 ? in[1] : 0;
    switch (op) {
    case SC_COPY: case SC_CAST: return a;
    case SC_NEG: return -a;
    case SC_ABS: return fabs(a);
    case SC_SIGN: return a > 0 ? 1 : a < 0 ? -1 : a;
    case SC_FLOOR: return floor(a);
    case SC_CEIL: return ceil(a);
    case SC_ROUND: return rint(a);
    case SC_TRUNC: return trunc(a);
    case SC_SQRT: return sqrt(a);
    case SC_RSQRT: return 1 / sqrt(a);
    case SC_EXP: return exp(a);
    case SC_EXPM1: return expm1(a);
    case SC_LOG: return log(a);
    case SC_LOG1P: return log1p(a);
    case SC_SIN: return sin(a);
    case SC_COS: return cos(a);
    case SC_TAN: return tan(a);
    case SC_ASIN: return asin(a);
    case SC_ACOS: return acos(a);
    case SC_ATAN: return atan(a);
    case SC_SINH: return sinh(a);
    case SC_COSH: return cosh(a);
    case SC_TANH: return tanh(a);
    case SC_ASINH: return asinh(a);
    case SC_ACOSH: return acosh(a);
    case SC_ATANH: return atanh(a);
    case SC_SIGMOID: return a >= 0 ? 1 / (1 + exp(-a)) : exp(a) / (1 + exp(a));
    case SC_ERF: return erf(a);
    case SC_ERFC: return erfc(a);
    case SC_NORMAL_CDF: return 0.5 * erfc(-M_SQRT1_2 * a);
    case SC_NORMAL_CDF_TANH:
        a *= 2 * sqrt(M_2_PI) * (1 + 0.044715 * a * a);
        return a >= 0 ? 1 / (1 + exp(-a)) : exp(a) / (1 + exp(a));
    case SC_ADD: return a + b;
    case SC_SUB: return a - b;
    case SC_MUL: return a * b;
    case SC_DIV: return a / b;
    case SC_FLOORDIV: return floor(a / b);
    case SC_MOD: return floor_mod(a, b);
    case SC_POW: return pow(a, b);
    case SC_ATAN2: return atan2(a, b);
    case SC_MAXIMUM: return isnan(a) || a >= b ? a : b;
    case SC_MINIMUM: return isnan(a) || a <= b ? a : b;
    case SC_SELECT: return a != 0 ? in[1] : in[2];
    case SC_IS_NAN: case SC_IS_INF:
    case SC_EQ: case SC_NE: case SC_LT: case SC_LE: case SC_GT: case SC_GE:
        return scalar_compare_float(op, a, b);
    case SC_NONE: case SC_COUNT:
    case SC_NOT: case SC_AND: case SC_OR: case SC_XOR: case SC_SHL: case SC_SHR: break;
    }
    return NAN;
}

bool scalar_compare_float(ScalarOp op, double a, double b)
{
    switch ((int)op) {
    case SC_EQ: return a == b;
    case SC_NE: return a != b;
    case SC_LT: return a < b;
    case SC_LE: return a <= b;
    case SC_GT: return a > b;
    case SC_GE: return a >= b;
    case SC_IS_NAN: return isnan(a);
    case SC_IS_INF: return isinf(a);
    }
    return false;
}

/* Quotient and remainder, truncated or floored; 0 for a zero divisor. All but the unsigned 64-bit
 * type fit an int64. */
static int64_t divide(ScalarOp op, Dtype t, int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    if (t == DT_U64) {
        uint64_t q = (uint64_t)a / (uint64_t)b;
        return (int64_t)(op == SC_MOD ? (uint64_t)a - q * (uint64_t)b : q);
    }
    if (b == -1)
        return op == SC_MOD ? 0 : (int64_t)(0 - (uint64_t)a);
    bool below = op != SC_DIV && a % b != 0 && (a < 0) != (b < 0);
    if (op == SC_MOD)
        return a % b + (below ? b : 0);
    return a / b - below;
}

/* Wraps; a negative exponent is the truncated reciprocal: 1 and -1 keep their powers, all else is 0
 * (0 too, as by division). */
static int64_t power(Dtype t, int64_t a, int64_t b)
{
    if (b < 0 && t != DT_U64)
        return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
    uint64_t r = 1, base = (uint64_t)a;
    for (uint64_t e = (uint64_t)b; e; e >>= 1, base *= base)
        if (e & 1)
            r *= base;
    return (int64_t)r;
}

static int64_t shift(ScalarOp op, Dtype t, int64_t a, int64_t b)
{
    uint64_t width = dtype_size(t) * 8, by = (uint64_t)b;
    bool sign = op == SC_SHR && dtype_is_signed(t) && a < 0;
    if (by >= width)
        return sign ? -1 : 0;
    if (op == SC_SHL)
        return (int64_t)((uint64_t)a << by);
    return sign ? ~(int64_t)(~(uint64_t)a >> by) : (int64_t)((uint64_t)a >> by);
}

static bool less(Dtype t, int64_t a, int64_t b)
{
    return t == DT_U64 ? (uint64_t)a < (uint64_t)b : a < b;
}

int64_t scalar_int(ScalarOp op, Dtype t, const int64_t *in)
{
    int64_t a = in[0], b = scalar_operands(op) > 1 ? in[1] : 0;
    uint64_t ua = (uint64_t)a, ub = (uint64_t)b;
    bool negative = dtype_is_signed(t) && a < 0;
    switch (op) {
    case SC_COPY: case SC_CAST: case SC_FLOOR: case SC_CEIL: case SC_ROUND: case SC_TRUNC: return a;
    case SC_NEG: return value_wrap(t, (int64_t)(0 - ua));
    case SC_ABS: return value_wrap(t, negative ? (int64_t)(0 - ua) : a);
    case SC_SIGN: return negative ? -1 : a != 0;
    case SC_NOT: return t == DT_BOOL ? !a : value_wrap(t, ~a);
    case SC_ADD: return value_wrap(t, (int64_t)(ua + ub));
    case SC_SUB: return value_wrap(t, (int64_t)(ua - ub));
    case SC_MUL: return value_wrap(t, (int64_t)(ua * ub));
    case SC_DIV: case SC_FLOORDIV: case SC_MOD: return value_wrap(t, divide(op, t, a, b));
    case SC_POW: return value_wrap(t, power(t, a, b));
    case SC_MAXIMUM: return less(t, a, b) ? b : a;
    case SC_MINIMUM: return less(t, b, a) ? b : a;
    case SC_AND: return a & b;
    case SC_OR: return a | b;
    case SC_XOR: return a ^ b;
    case SC_SHL: case SC_SHR: return value_wrap(t, shift(op, t, a, b));
    case SC_EQ: return a == b;
    case SC_NE: return a != b;
    case SC_LT: return less(t, a, b);
    case SC_LE: return !less(t, b, a);
    case SC_GT: return less(t, b, a);
    case SC_GE: return !less(t, a, b);
    case SC_SELECT: return a ? in[1] : in[2];
    case SC_NONE: case SC_COUNT: case SC_SQRT: case SC_RSQRT: case SC_EXP: case SC_EXPM1:
    case SC_LOG: case SC_LOG1P: case SC_SIN: case SC_COS: case SC_TAN:
    case SC_ASIN: case SC_ACOS: case SC_ATAN:
    case SC_SINH: case SC_COSH: case SC_TANH: case SC_ASINH: case SC_ACOSH: case SC_ATANH:
    case SC_SIGMOID: case SC_ERF: case SC_ERFC: case SC_NORMAL_CDF: case SC_NORMAL_CDF_TANH:
    case SC_IS_NAN: case SC_IS_INF: case SC_ATAN2: break;
    }
    return 0;
}

bool value_of_node(Ref *q)
{
    const OpDef *def = op_defs[graph_node(q->g, q->node)->op];
    if (!def->ref)
        return false;
    def->ref(q);
    return true;
}
