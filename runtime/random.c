/* random.c: Philox4x32-10 and what is made of its words. See random.h for the paper and the
 * mapping. */
#include "runtime/random.h"

#include <math.h>

enum { PHILOX_ROUNDS = 10 };
#define PHILOX_M0 UINT32_C(0xd2511f53)
#define PHILOX_M1 UINT32_C(0xcd9e8d57)
#define PHILOX_W0 UINT32_C(0x9e3779b9) /* golden ratio */
#define PHILOX_W1 UINT32_C(0xbb67ae85) /* sqrt(3) - 1 */
#define TWO_PI 6.283185307179586476925286766559

DlrtWords dlrt_philox(const uint32_t counter[4], const uint32_t key[2])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int i = 0; i < PHILOX_ROUNDS; i++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0, p1 = (uint64_t)PHILOX_M1 * c2;
        uint32_t next0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, next2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = next0;
        c2 = next2;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    return (DlrtWords){ { c0, c1, c2, c3 } };
}

DlrtWords dlrt_random(uint64_t seed, uint64_t step, uint32_t site, uint32_t loop, uint64_t element)
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t counter[4] = {
        (uint32_t)element,
        (uint32_t)(element >> 32) ^ loop << 12,
        (uint32_t)step,
        site ^ (uint32_t)(step >> 32) * PHILOX_W0,
    };
    return dlrt_philox(counter, key);
}

static double uniform24(uint32_t word)
{
    return (double)(word >> 8) * 0x1p-24;
}

static double uniform53(uint32_t low, uint32_t high)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

float dlrt_uniform_f32(DlrtWords w)
{
    return (float)uniform24(w.word[0]);
}

double dlrt_uniform_f64(DlrtWords w)
{
    return uniform53(w.word[0], w.word[1]);
}

static double normal(double u0, double u1)
{
    return sqrt(-2.0 * log(1.0 - u0)) * cos(TWO_PI * u1);
}

float dlrt_normal_f32(DlrtWords w)
{
    return (float)normal(uniform24(w.word[0]), uniform24(w.word[1]));
}

double dlrt_normal_f64(DlrtWords w)
{
    return normal(uniform53(w.word[0], w.word[1]), uniform53(w.word[2], w.word[3]));
}

uint64_t dlrt_randint(DlrtWords w, uint64_t n)
{
    uint64_t x = (uint64_t)w.word[1] << 32 | w.word[0];
    uint64_t low = (x & UINT32_MAX) * (n & UINT32_MAX);
    uint64_t a = (x >> 32) * (n & UINT32_MAX), b = (x & UINT32_MAX) * (n >> 32);
    uint64_t middle = (low >> 32) + (a & UINT32_MAX) + (b & UINT32_MAX);
    return (x >> 32) * (n >> 32) + (a >> 32) + (b >> 32) + (middle >> 32);
}
