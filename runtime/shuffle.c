/* shuffle.c: the order of the examples in an epoch, as a keyed bijection.
 *
 * A Feistel network permutes the numbers of k bits, 2^k the least power of two >= N; a result
 * outside [0, N) goes through again until it is inside (cycle walking, Black and Rogaway 2002),
 * on average less than twice, and the map stays a bijection of [0, N). The halves may differ by
 * a bit: each round xors one half with a keyed hash of the other, which any widths invert. A
 * table (Fisher-Yates) would need memory that grows with the data, and a resumed run would have
 * to make it anew. */
#include "runtime/shuffle.h"

#include "runtime/dlrt.h"
#include "runtime/random.h"

/* Bits of a 64-bit product's upper half depend on all bits below: twice is enough here. */
static uint64_t mix(uint64_t key, uint64_t half)
{
    uint64_t x = (half + key) * UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 32;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x >> 32;
}

DlrtShuffle dlrt_shuffle_new(uint64_t N, uint64_t seed, uint64_t epoch)
{
    /* "shuf", so that these keys meet no other use of the generator */
    const uint32_t site = 0x73687566;
    DlrtShuffle s = { .N = N };
    uint32_t bits = 2;
    while (bits < 64 && N > UINT64_C(1) << bits)
        bits++;
    s.low_bits = bits / 2;
    s.high_bits = bits - s.low_bits;
    for (uint32_t i = 0; i < DLRT_SHUFFLE_ROUNDS; i++) {
        DlrtWords w = dlrt_random(seed, epoch, site, 0, i);
        s.key[i] = (uint64_t)w.word[1] << 32 | w.word[0];
    }
    return s;
}

uint64_t dlrt_shuffle_at(const DlrtShuffle *s, uint64_t i)
{
    uint64_t low_mask = (UINT64_C(1) << s->low_bits) - 1;
    uint64_t high_mask = (UINT64_C(1) << s->high_bits) - 1;
    do {
        uint64_t low = i & low_mask, high = i >> s->low_bits;
        for (int r = 0; r < DLRT_SHUFFLE_ROUNDS; r += 2) {
            low ^= mix(s->key[r], high) & low_mask;
            high ^= mix(s->key[r + 1], low) & high_mask;
        }
        i = high << s->low_bits | low;
    } while (i >= s->N);
    return i;
}

uint64_t dlrt_shuffle(uint64_t i, uint64_t N, uint64_t seed, uint64_t epoch)
{
    if (N == 0)
        return 0;
    DlrtShuffle s = dlrt_shuffle_new(N, seed, epoch);
    return dlrt_shuffle_at(&s, i % N);
}
