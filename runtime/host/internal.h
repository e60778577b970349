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
char *host_type_text(char out[160], DlrtDtype dtype, const char *lead, int rank,
                     const int64_t *dims);

/* 16-bit floats, rounding to nearest even. */
double host_f16_value(uint16_t bits);
double host_bf16_value(uint16_t bits);
uint16_t host_f16_bits(double value);
uint16_t host_bf16_bits(double value);

/* Element `i` of an array of `dtype` as a double. */
double host_value_at(DlrtDtype dtype, const void *data, int64_t i);

/* malloc of at least 1 byte, NULL also for sizes beyond PTRDIFF_MAX. */
void *host_malloc(size_t size);
bool host_fail_memory(HostError *out_error, const char *origin, int64_t bytes);

/* Bytes of this machine's memory: what a file may unpack to at most. A bomb must end in a message,
 * not in the kernel's OOM killer. */
size_t host_memory_size(void);

/* True if `packed` bytes of deflate can become `bytes`: it packs at most 1032 to 1. */
static inline bool host_plausible_deflate(uint64_t packed, uint64_t bytes)
{
    return bytes / 1032 <= packed + 1;
}

/* A file in the making: pieces go to `path.tmp-PID`, which becomes `path` at the end. A device or a
 * pipe is written in place. After the first failure nothing more is written. */
typedef struct {
    const char *path;
    char *temporary; /* NULL: in place */
    int fd, error;
} HostWriter;
void host_writer_open(HostWriter *w, const char *path);
void host_writer_put(HostWriter *w, const void *bytes, size_t size);
/* Commits if `keep` and all went well, else leaves what was at `path`. */
bool host_writer_close(HostWriter *w, bool keep, HostError *out_error);

/* Bytes of the UTF-8 sequence that begins the n bytes at `s`; 0 if none does (cut off, overlong, a
 * surrogate, beyond U+10FFFF). n >= 1. */
size_t host_utf8_length(const char *s, size_t n);

/* The last component of a path. */
const char *host_base_name(const char *path);

/* Converts items rows[0..count) of `field` to `dtype` (see host_convert); the message of a failure
 * names the row. */
bool host_convert_rows(const char *origin, const HostField *field, const int64_t *rows,
                       int64_t count, DlrtDtype dtype, int64_t limit, void *target,
                       HostError *out_error);

/* The index of the field that a binding names, its shape and kind checked; -1 when it does not
 * fit. */
struct HostBinding;
int host_bind(const HostTable *table, const struct HostBinding *binding, HostError *out_error);

/* Class names of the known data set whose folder or file is called so; count 0 when unknown. */
const char *const *host_known_classes(const char *base_name, int *out_count);

/* The view's rows [from, from + count) of a field into `target`, contiguous. */
void host_gather(const HostView *view, const HostField *field, int64_t from, int64_t count,
                 void *target);

#endif
