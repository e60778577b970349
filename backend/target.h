/* target.h: the machine code is made for, as features and sizes, never as the name of a CPU.
 *
 * All choices of the code generator (vector width, blocking, fma or multiply and add) read this
 * record. Equal records give equal code, and the record's text is part of every cache key. */
#ifndef DLCC_BACKEND_TARGET_H
#define DLCC_BACKEND_TARGET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits in the order of the runtime's DLRT_CPU_*, so that a model can say what it needs. */
typedef enum {
    TARGET_V2 = 1 << 0,
    TARGET_V3 = 1 << 1,
    TARGET_V4 = 1 << 2,
    TARGET_AVX_VNNI = 1 << 3,
    TARGET_AVX512_VNNI = 1 << 4,
    TARGET_AVX512_BF16 = 1 << 5,
    TARGET_AVX512_FP16 = 1 << 6,
    TARGET_AMX_TILE = 1 << 7,
    TARGET_AMX_BF16 = 1 << 8,
    TARGET_AMX_INT8 = 1 << 9,
    TARGET_AVX512_VBMI = 1 << 10
} TargetFeature;

typedef struct {
    char name[32];  /* as asked for: "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "native" */
    char text[192]; /* all that code depends on: level, features, caches; equal text, equal code */
    char llvm_cpu[16];          /* "x86-64-v4" */
    char llvm_features[160];    /* "+avx512bf16,+avx512vnni" */
    uint64_t features;          /* TargetFeature */
    int vector_bytes;           /* of a register: 16, 32, 64 */
    int vector_registers;       /* 16 or 32 */
    bool fma;                   /* a fused multiply-add instruction */
    bool f16c;                  /* conversions between f16 and f32 */
    bool masks;                 /* AVX-512: masked loads and stores cost nothing */
    int64_t l1_bytes, l2_bytes; /* of one core */
} Target;

/* Fills *out_target from a name. "native" is this machine, as far as its features are of use. False
 * when the name is not known. */
bool target_parse(const char *name, Target *out_target);
/* True when this machine can run code made for `t`. */
bool target_runs_here(const Target *t);
/* Lanes of a vector register for elements of `bytes` bytes. */
static inline int target_lanes(const Target *t, size_t bytes)
{
    return t->vector_bytes / (int)bytes;
}

#endif
