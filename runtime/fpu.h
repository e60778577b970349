/* fpu.h: the floating-point environment in which all generated code runs: round to nearest,
 * subnormals kept, nothing traps. A caller may have set flush-to-zero (many audio and game
 * programs do), and worker threads inherit whatever was set when they were made: hence it is set
 * in each thread at the start of each run, and put back. */
#ifndef DLCC_RUNTIME_FPU_H
#define DLCC_RUNTIME_FPU_H
#include <stdint.h>

#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>

static inline uint64_t fpu_enter(void)
{
    uint32_t old = _mm_getcsr();
    if ((old & ~0x3fu) != 0x1f80)
        _mm_setcsr(0x1f80);
    return old;
}

static inline void fpu_leave(uint64_t old)
{
    if ((old & ~0x3fu) != 0x1f80)
        _mm_setcsr((uint32_t)old);
}

#elif defined(__aarch64__)

static inline uint64_t fpu_enter(void)
{
    uint64_t old, clear = 0;
    __asm__ volatile("mrs %0, fpcr" : "=r"(old));
    if (old)
        __asm__ volatile("msr fpcr, %0" : : "r"(clear));
    return old;
}

static inline void fpu_leave(uint64_t old)
{
    if (old)
        __asm__ volatile("msr fpcr, %0" : : "r"(old));
}

#else

static inline uint64_t fpu_enter(void)
{
    return 0;
}

static inline void fpu_leave(uint64_t old)
{
    (void)old;
}

#endif
#endif
