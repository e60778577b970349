/* internal.h: what the files of runtime/host share with one another and with nobody else. */
#ifndef DLCC_RUNTIME_HOST_INTERNAL_H
#define DLCC_RUNTIME_HOST_INTERNAL_H
#include "runtime/host/host.h"

/* a * b in *out, false on overflow or a negative factor. */
static inline bool host_mul(int64_t a, int64_t b, int64_t *out)
{
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, out);
}

/* Product of the dims times `size` bytes; false when one is negative or it does not fit 2^62. */
bool host_bytes_of(int rank, const int64_t *dims, size_t size, int64_t *out_bytes);

/* "f32[N, 28, 28]" for messages; returns `out`. `lead` is the first dimension's text, or NULL. */
char *host_type_text(char out[160], HostDtype dtype, const char *lead, int rank,
                     const int64_t *dims);

/* 16-bit floats, rounding to nearest even. */
double host_f16_value(uint16_t bits);
double host_bf16_value(uint16_t bits);
uint16_t host_f16_bits(double value);
uint16_t host_bf16_bits(double value);

/* Element `i` of an array of `dtype` as a double. */
double host_value_at(HostDtype dtype, const void *data, int64_t i);

/* malloc of at least 1 byte, NULL also for sizes beyond PTRDIFF_MAX. */
void *host_malloc(size_t size);
bool host_fail_memory(HostError *out_error, const char *origin, int64_t bytes);

/* The last component of a path. */
const char *host_base_name(const char *path);

/* Class names of the known data set whose folder or file is called so; count 0 when unknown. */
const char *const *host_known_classes(const char *base_name, int *out_count);

/* The view's rows [from, from + count) of a field into `target`, contiguous. */
void host_gather(const HostView *view, const HostField *field, int64_t from, int64_t count,
                 void *target);

/* The i-th row of the order in which (seed, stream) shuffles n rows: a bijection of [0, n). */
int64_t host_shuffle(uint64_t seed, uint64_t stream, int64_t n, int64_t i);

#endif
