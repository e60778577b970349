/* target.c: target records from names and from CPUID.
 *
 * Virtual machines report wrong model names, so only feature bits count, and only those that the
 * operating system has enabled (XCR0). A named level is the same everywhere, caches included:
 * objects made for it do not depend on where they were made. */
#include "backend/target.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *name;
    uint64_t features;
    int vector_bytes, vector_registers;
    int64_t l1_bytes, l2_bytes;
} Level;

/* Highest first: the host takes the first it has. */
static const Level levels[] = {
    { "x86-64-v4", TARGET_V2 | TARGET_V3 | TARGET_V4, 64, 32, 32 << 10, 1 << 20 },
    { "x86-64-v3", TARGET_V2 | TARGET_V3, 32, 16, 32 << 10, 512 << 10 },
    { "x86-64-v2", TARGET_V2, 16, 16, 32 << 10, 256 << 10 },
    { "x86-64", 0, 16, 16, 32 << 10, 256 << 10 },
};

typedef struct {
    TargetFeature feature;
    const char *llvm;
} Extra;

/* Features above the levels, as LLVM names them. */
static const Extra extras[] = {
    { TARGET_AMX_BF16, "amx-bf16" },      { TARGET_AMX_INT8, "amx-int8" },
    { TARGET_AMX_TILE, "amx-tile" },      { TARGET_AVX512_BF16, "avx512bf16" },
    { TARGET_AVX512_FP16, "avx512fp16" }, { TARGET_AVX512_VBMI, "avx512vbmi" },
    { TARGET_AVX512_VNNI, "avx512vnni" }, { TARGET_AVX_VNNI, "avxvnni" },
};

enum { REG_A, REG_B, REG_C, REG_D };

static bool cpuid_bit(const unsigned *regs, int reg, int bit)
{
    return regs[reg] >> bit & 1;
}

static bool cpuid_bits(const unsigned *regs, int reg, unsigned mask)
{
    return (regs[reg] & mask) == mask;
}

static uint64_t read_xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static uint64_t host_features(void)
{
    unsigned one[4] = { 0 }, seven[4] = { 0 }, seven1[4] = { 0 }, ext[4] = { 0 };
    if (!__get_cpuid(1, &one[0], &one[1], &one[2], &one[3]))
        return 0;
    __get_cpuid_count(7, 0, &seven[0], &seven[1], &seven[2], &seven[3]);
    __get_cpuid_count(7, 1, &seven1[0], &seven1[1], &seven1[2], &seven1[3]);
    __get_cpuid(0x80000001, &ext[0], &ext[1], &ext[2], &ext[3]);
    uint64_t f = 0, xcr0 = cpuid_bit(one, REG_C, 27) ? read_xcr0() : 0;
    /* SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT; LAHF */
    if (cpuid_bits(one, REG_C, 1u << 0 | 1u << 9 | 1u << 13 | 1u << 19 | 1u << 20 | 1u << 23) &&
        cpuid_bit(ext, REG_C, 0))
        f |= TARGET_V2;
    /* FMA, MOVBE, AVX, F16C; BMI, AVX2, BMI2; LZCNT; the upper halves of YMM enabled */
    if ((f & TARGET_V2) && (xcr0 & 6) == 6 &&
        cpuid_bits(one, REG_C, 1u << 12 | 1u << 22 | 1u << 28 | 1u << 29) &&
        cpuid_bits(seven, REG_B, 1u << 3 | 1u << 5 | 1u << 8) && cpuid_bit(ext, REG_C, 5))
        f |= TARGET_V3;
    if (!(f & TARGET_V3))
        return f;
    if (cpuid_bit(seven1, REG_A, 4))
        f |= TARGET_AVX_VNNI;
    /* AVX-512 F, DQ, CD, BW, VL; masks and both halves of ZMM enabled */
    if ((xcr0 & 0xe6) != 0xe6 ||
        !cpuid_bits(seven, REG_B, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31))
        return f;
    f |= TARGET_V4;
    f |= cpuid_bit(seven, REG_C, 11) ? TARGET_AVX512_VNNI : 0;
    f |= cpuid_bit(seven, REG_C, 1) ? TARGET_AVX512_VBMI : 0;
    f |= cpuid_bit(seven1, REG_A, 5) ? TARGET_AVX512_BF16 : 0;
    f |= cpuid_bit(seven, REG_D, 23) ? TARGET_AVX512_FP16 : 0;
    if ((xcr0 & 0x60000) == 0x60000 && cpuid_bit(seven, REG_D, 24)) {
        f |= TARGET_AMX_TILE;
        f |= cpuid_bit(seven, REG_D, 22) ? TARGET_AMX_BF16 : 0;
        f |= cpuid_bit(seven, REG_D, 25) ? TARGET_AMX_INT8 : 0;
    }
    return f;
}

static void set_level(Target *t, const Level *level)
{
    snprintf(t->llvm_cpu, sizeof t->llvm_cpu, "%s", level->name);
    t->features = level->features;
    t->vector_bytes = level->vector_bytes;
    t->vector_registers = level->vector_registers;
    t->fma = t->f16c = (level->features & TARGET_V3) != 0;
    t->masks = (level->features & TARGET_V4) != 0;
    t->l1_bytes = level->l1_bytes;
    t->l2_bytes = level->l2_bytes;
}

/* Adds the features of `f` beyond the level to the record and to LLVM's string. */
static void add_extras(Target *t, uint64_t f)
{
    size_t at = 0;
    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++)
        if (f & (uint64_t)extras[i].feature) {
            t->features |= (uint64_t)extras[i].feature;
            at += (size_t)snprintf(t->llvm_features + at, sizeof t->llvm_features - at, "%s+%s",
                                   at ? "," : "", extras[i].llvm);
        }
}

static void set_native(Target *t)
{
    uint64_t f = host_features();
    const Level *level = levels;
    while ((level->features & f) != level->features)
        level++;
    set_level(t, level);
    add_extras(t, f);
    long l1 = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (l1 >= 16 << 10 && l1 <= 1 << 20)
        t->l1_bytes = l1;
    if (l2 >= 128 << 10 && l2 <= 64 << 20)
        t->l2_bytes = l2;
}

bool target_parse(const char *name, Target *out_target)
{
    Target t = { 0 };
    if (!strcmp(name, "native"))
        set_native(&t);
    else {
        size_t i = 0;
        while (i < sizeof levels / sizeof *levels && strcmp(levels[i].name, name))
            i++;
        if (i == sizeof levels / sizeof *levels)
            return false;
        set_level(&t, &levels[i]);
    }
    snprintf(t.name, sizeof t.name, "%s", name);
    snprintf(t.text, sizeof t.text, "%s%s%s l1=%lld l2=%lld", t.llvm_cpu,
             *t.llvm_features ? "," : "", t.llvm_features, (long long)t.l1_bytes,
             (long long)t.l2_bytes);
    *out_target = t;
    return true;
}

bool target_runs_here(const Target *t)
{
    return (t->features & ~host_features()) == 0;
}
