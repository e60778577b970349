/* dtype.c: element types: 16-bit floats, and checked conversion of arrays.
 *
 * Conversion is one typed loop per pair of dtypes, made by one macro per kind of source, because
 * a per-element switch is slower than the training step it feeds. f16 and bf16 go through double,
 * which holds every other value they meet exactly (integers up to 2^53, and f16 ends at 2^16) and
 * is rounded once. */
#include "runtime/dlrt.h"
#include "runtime/host/internal.h"
#include "runtime/host/loader.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

bool host_dtype_parse(const char *name, DlrtDtype *out_dtype)
{
    for (int i = 0; i < DLRT_DTYPE_COUNT; i++)
        if (!strcmp(dlrt_dtype_name(i), name)) {
            *out_dtype = (DlrtDtype)i;
            return true;
        }
    return false;
}

bool host_dtype_is_float(DlrtDtype dtype)
{
    return dtype == DLRT_F64 || dtype == DLRT_F32 || dtype == DLRT_F16 || dtype == DLRT_BF16;
}

double host_f16_value(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double v = exponent == 31 ? (mantissa ? NAN : INFINITY)
             : exponent       ? ldexp(1024 + mantissa, exponent - 25)
                              : ldexp(mantissa, -24);
    return bits >> 15 ? -v : v;
}

uint16_t host_f16_bits(double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    double v = fabs(value);
    if (isnan(v))
        return sign | 0x7e00;
    if (v >= 65520) /* halfway to the value after the largest, 65504 */
        return sign | 0x7c00;
    int exponent;
    frexp(v, &exponent); /* v = m * 2^exponent, m in [1/2, 1) */
    int scale = v == 0 || exponent < -13 ? -24 : exponent - 11;
    /* The quotient is exact, nearbyint rounds to even; a carry runs into the exponent field. */
    int units = (int)nearbyint(ldexp(v, -scale));
    return sign | (uint16_t)(units + ((scale + 24) << 10));
}

double host_bf16_value(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float v;
    memcpy(&v, &wide, sizeof v);
    return v;
}

uint16_t host_bf16_bits(double value)
{
    if (isnan(value))
        return signbit(value) ? 0xffc0 : 0x7fc0;
    /* Rounding to odd at f32 first makes the second rounding, to even, the only one that counts. */
    float near = (float)value;
    uint32_t bits;
    if (isinf(near) && !isinf(value)) {
        near = copysignf(3.40282347e38f, near);
    } else if ((double)near != value) {
        if (fabs((double)near) > fabs(value))
            near = nextafterf(near, 0);
        memcpy(&bits, &near, sizeof bits);
        bits |= 1;
        memcpy(&near, &bits, sizeof bits);
    }
    memcpy(&bits, &near, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

double host_value_at(DlrtDtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case DLRT_F64: return ((const double *)data)[i];
    case DLRT_F32: return ((const float *)data)[i];
    case DLRT_F16: return host_f16_value(((const uint16_t *)data)[i]);
    case DLRT_BF16: return host_bf16_value(((const uint16_t *)data)[i]);
    case DLRT_I64: return (double)((const int64_t *)data)[i];
    case DLRT_I32: return ((const int32_t *)data)[i];
    case DLRT_I16: return ((const int16_t *)data)[i];
    case DLRT_I8: return ((const int8_t *)data)[i];
    case DLRT_U64: return (double)((const uint64_t *)data)[i];
    case DLRT_U32: return ((const uint32_t *)data)[i];
    case DLRT_U16: return ((const uint16_t *)data)[i];
    case DLRT_U8:
    case DLRT_BOOL: return ((const uint8_t *)data)[i];
    case DLRT_DTYPE_COUNT: break;
    }
    return 0;
}

/* Each loop ends at the first value that does not fit and returns its index, or n. */
#define TO_INT(T)                                               \
    for (int64_t i = 0; i < n; i++)                             \
        if (__builtin_add_overflow(s[i], 0, &((T *)target)[i])) \
            return i;                                           \
    return n
#define TO_BOOL                              \
    for (int64_t i = 0; i < n; i++) {        \
        if (s[i] != 0 && s[i] != 1)          \
            return i;                        \
        ((uint8_t *)target)[i] = s[i] != 0;  \
    }                                        \
    return n
#define TO_FLOAT(T)                       \
    for (int64_t i = 0; i < n; i++)       \
        ((T *)target)[i] = (T)s[i];       \
    return n
#define TO_HALF(bits)                                                            \
    for (int64_t i = 0; i < n; i++) {                                            \
        uint16_t h = bits((double)s[i]);                                         \
        if (isinf(bits##_back(h)) && !isinf((double)s[i]))                       \
            return i;                                                            \
        ((uint16_t *)target)[i] = h;                                             \
    }                                                                            \
    return n
#define host_f16_bits_back host_f16_value
#define host_bf16_bits_back host_bf16_value

#define FROM_INT(name, S)                                                            \
    static int64_t name(const S *s, DlrtDtype to, void *target, int64_t n)           \
    {                                                                                \
        switch (to) {                                                                \
        case DLRT_F64: TO_FLOAT(double);                                             \
        case DLRT_F32: TO_FLOAT(float);                                              \
        case DLRT_F16: TO_HALF(host_f16_bits);                                       \
        case DLRT_BF16: TO_HALF(host_bf16_bits);                                     \
        case DLRT_I64: TO_INT(int64_t);                                              \
        case DLRT_I32: TO_INT(int32_t);                                              \
        case DLRT_I16: TO_INT(int16_t);                                              \
        case DLRT_I8: TO_INT(int8_t);                                                \
        case DLRT_U64: TO_INT(uint64_t);                                             \
        case DLRT_U32: TO_INT(uint32_t);                                             \
        case DLRT_U16: TO_INT(uint16_t);                                             \
        case DLRT_U8: TO_INT(uint8_t);                                               \
        case DLRT_BOOL: TO_BOOL;                                                     \
        case DLRT_DTYPE_COUNT: break;                                                \
        }                                                                            \
        return 0;                                                                    \
    }
FROM_INT(from_i64, int64_t)
FROM_INT(from_i32, int32_t)
FROM_INT(from_i16, int16_t)
FROM_INT(from_i8, int8_t)
FROM_INT(from_u64, uint64_t)
FROM_INT(from_u32, uint32_t)
FROM_INT(from_u16, uint16_t)
FROM_INT(from_u8, uint8_t)

#define TO_NARROW(T)                                            \
    for (int64_t i = 0; i < n; i++) {                           \
        ((T *)target)[i] = (T)s[i];                             \
        if (isinf(((T *)target)[i]) && !isinf(s[i]))            \
            return i;                                           \
    }                                                           \
    return n
#define FROM_FLOAT(name, S)                                                          \
    static int64_t name(const S *s, DlrtDtype to, void *target, int64_t n)           \
    {                                                                                \
        if (to == DLRT_F64) {                                                        \
            TO_FLOAT(double);                                                        \
        } else if (to == DLRT_F32) {                                                 \
            TO_NARROW(float);                                                        \
        } else if (to == DLRT_F16) {                                                 \
            TO_HALF(host_f16_bits);                                                  \
        } else {                                                                     \
            TO_HALF(host_bf16_bits);                                                 \
        }                                                                            \
    }
FROM_FLOAT(from_f64, double)
FROM_FLOAT(from_f32, float)

static int64_t from_half(DlrtDtype from, const uint16_t *s, DlrtDtype to, void *target, int64_t n)
{
    double chunk[256];
    for (int64_t at = 0; at < n;) {
        int64_t m = n - at < 256 ? n - at : 256;
        for (int64_t i = 0; i < m; i++)
            chunk[i] = from == DLRT_F16 ? host_f16_value(s[at + i]) : host_bf16_value(s[at + i]);
        int64_t done = from_f64(chunk, to, (char *)target + at * (int64_t)dlrt_dtype_size(to), m);
        if (done < m)
            return at + done;
        at += m;
    }
    return n;
}

static int64_t convert(DlrtDtype from, const void *s, DlrtDtype to, void *target, int64_t n)
{
    switch (from) {
    case DLRT_F64: return from_f64(s, to, target, n);
    case DLRT_F32: return from_f32(s, to, target, n);
    case DLRT_F16:
    case DLRT_BF16: return from_half(from, s, to, target, n);
    case DLRT_I64: return from_i64(s, to, target, n);
    case DLRT_I32: return from_i32(s, to, target, n);
    case DLRT_I16: return from_i16(s, to, target, n);
    case DLRT_I8: return from_i8(s, to, target, n);
    case DLRT_U64: return from_u64(s, to, target, n);
    case DLRT_U32: return from_u32(s, to, target, n);
    case DLRT_U16: return from_u16(s, to, target, n);
    case DLRT_U8:
    case DLRT_BOOL: return from_u8(s, to, target, n);
    case DLRT_DTYPE_COUNT: break;
    }
    return 0;
}

static bool check_limit(const char *what, DlrtDtype from, const void *source, int64_t count,
                        int64_t limit, HostError *out_error)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t v = 0;
        bool fits = convert(from, (const char *)source + i * (int64_t)dlrt_dtype_size(from),
                            DLRT_I64, &v, 1) == 1;
        if (!fits || v < 0 || v >= limit)
            return host_fail(out_error, "E0610",
                             "%s: value %.0f of element %" PRId64 " is not in 0..%" PRId64
                             " (end excluded)",
                             what, host_value_at(from, source, i), i, limit);
    }
    return true;
}

bool host_convert(const char *what, DlrtDtype from, const void *source, DlrtDtype to,
                  void *target, int64_t count, int64_t limit, HostError *out_error)
{
    if (host_dtype_is_float(from) && !host_dtype_is_float(to))
        return host_fail(out_error, "E0604",
                         "%s is %s, but %s is wanted: a number with a fraction is no integer",
                         what, dlrt_dtype_name(from), dlrt_dtype_name(to));
    if (limit > 0 && !host_dtype_is_float(from)
        && !check_limit(what, from, source, count, limit, out_error))
        return false;
    if (from == to) {
        if (count)
            memcpy(target, source, (size_t)count * dlrt_dtype_size(from));
        return true;
    }
    int64_t done = convert(from, source, to, target, count);
    if (done < count)
        return host_fail(out_error, "E0610",
                         "%s: value %.9g of element %" PRId64 " does not fit %s",
                         what, host_value_at(from, source, done), done, dlrt_dtype_name(to));
    return true;
}
