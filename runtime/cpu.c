/* cpu.c: what this machine offers: instruction sets (CPUID and what the system saves on a context
 * switch, never a model name) and processors (affinity, OMP_NUM_THREADS, the cgroup's quota). */
#include "runtime/core.h"
#include "runtime/parallel.h"

#include <sched.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>

typedef struct {
    uint32_t a, b, c, d;
} Cpuid;

static Cpuid cpuid(uint32_t leaf, uint32_t sub)
{
    Cpuid r = { 0 };
    if (leaf <= __get_cpuid_max(leaf & 0x80000000u, NULL))
        __cpuid_count(leaf, sub, r.a, r.b, r.c, r.d);
    return r;
}

static uint64_t saved_state(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* Linux gives tile registers only to processes that ask (ARCH_REQ_XCOMP_PERM of XTILEDATA). */
static bool ask_for_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA) == 0;
}

static bool has(uint32_t word, uint32_t mask)
{
    return (word & mask) == mask;
}
#define BIT(n) (UINT32_C(1) << (n))

uint64_t dlrt_cpu_features(void)
{
    Cpuid one = cpuid(1, 0), seven = cpuid(7, 0), seven1 = cpuid(7, 1);
    Cpuid extended = cpuid(0x80000001u, 0);
    uint64_t features = 0, state = has(one.c, BIT(27)) ? saved_state() : 0;
    /* SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT, LAHF */
    if (has(one.c, BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23)) && extended.c & BIT(0))
        features |= DLRT_CPU_V2;
    /* FMA MOVBE AVX F16C, BMI1 AVX2 BMI2, LZCNT; XMM and YMM state */
    if (features && (state & 0x6) == 0x6 && has(one.c, BIT(12) | BIT(22) | BIT(28) | BIT(29)) &&
        has(seven.b, BIT(3) | BIT(5) | BIT(8)) && extended.c & BIT(5))
        features |= DLRT_CPU_V3;
    if (!(features & DLRT_CPU_V3))
        return features;
    if (seven1.a & BIT(4))
        features |= DLRT_CPU_AVX_VNNI;
    /* F DQ CD BW VL; opmask and ZMM state */
    if ((state & 0xe6) == 0xe6 && has(seven.b, BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31))) {
        features |= DLRT_CPU_V4;
        features |= seven.c & BIT(11) ? DLRT_CPU_AVX512_VNNI : 0;
        features |= seven.c & BIT(1) ? DLRT_CPU_AVX512_VBMI : 0;
        features |= seven1.a & BIT(5) ? DLRT_CPU_AVX512_BF16 : 0;
        features |= seven.d & BIT(23) ? DLRT_CPU_AVX512_FP16 : 0;
    }
    if (seven.d & BIT(24) && (state & 0x60000) == 0x60000 && ask_for_tiles()) {
        features |= DLRT_CPU_AMX_TILE;
        features |= seven.d & BIT(22) ? DLRT_CPU_AMX_BF16 : 0;
        features |= seven.d & BIT(25) ? DLRT_CPU_AMX_INT8 : 0;
    }
    return features;
}

#else

uint64_t dlrt_cpu_features(void)
{
    return 0;
}

#endif

/* ---- Processors ---- */

int dlrt_default_threads(void)
{
    int n = dlrt_parallel_limit();
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) < n)
        n = CPU_COUNT(&set);
    int quota = dlrt_quota_threads("");
    if (quota && quota < n)
        n = quota;
    return n < 1 ? 1 : n;
}
