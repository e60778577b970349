/* shuffle.h: a permutation of [0, N) from (seed, epoch), one place at a time: nothing is stored. */
#ifndef DLCC_RUNTIME_SHUFFLE_H
#define DLCC_RUNTIME_SHUFFLE_H
#include <stdint.h>

enum { DLRT_SHUFFLE_ROUNDS = 10 };

typedef struct {
    uint64_t N;
    uint64_t key[DLRT_SHUFFLE_ROUNDS];
    uint32_t low_bits, high_bits; /* halves of the domain, 2^(low_bits + high_bits) >= N */
} DlrtShuffle;

DlrtShuffle dlrt_shuffle_new(uint64_t N, uint64_t seed, uint64_t epoch);
/* For i < N: a bijection. About 20 ns. */
uint64_t dlrt_shuffle_at(const DlrtShuffle *s, uint64_t i);

#endif
