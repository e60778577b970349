/* Philox against its published vectors, the distributions made of it, the shuffle, the dtypes. */
#include "runtime/dlrt.h"
#include "runtime/random.h"
#include "runtime/shuffle.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* kat_vectors of Random123, philox4x32 with 10 rounds */
static void test_philox_vectors(void **state)
{
    (void)state;
    static const struct { uint32_t counter[4], key[2], words[4]; } rows[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        DlrtWords w = dlrt_philox(rows[i].counter, rows[i].key);
        assert_memory_equal(w.word, rows[i].words, sizeof w.word);
    }
}

static void test_mapping(void **state)
{
    (void)state;
    const uint32_t counter[4] = { 0x55667788, 0x11223344 ^ 5u << 12, 0xddeeff00,
                                  42 ^ 0x99aabbccu * 0x9e3779b9u };
    const uint32_t key[2] = { 0x76543210, 0xfedcba98 };
    DlrtWords a = dlrt_philox(counter, key);
    DlrtWords b = dlrt_random(0xfedcba9876543210u, 0x99aabbccddeeff00u, 42, 5, 0x1122334455667788u);
    assert_memory_equal(&a, &b, sizeof a);
}

static void test_ranges(void **state)
{
    (void)state;
    DlrtWords most = { { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX } }, least = { { 0 } };
    assert_true(dlrt_uniform_f32(most) == 1 - 0x1p-24f);
    assert_true(dlrt_uniform_f64(most) == 1 - 0x1p-53);
    assert_true(dlrt_uniform_f32(least) == 0 && dlrt_uniform_f64(least) == 0);
    assert_true(isfinite(dlrt_normal_f32(most)) && isfinite(dlrt_normal_f64(most)));
    assert_true(dlrt_normal_f32(least) == 0);
    assert_true(dlrt_randint(most, 10) == 9 && dlrt_randint(least, 10) == 0);
    assert_true(dlrt_randint(most, INT64_MAX) == INT64_MAX - 1);
    for (uint64_t i = 0; i < 1000; i++) {
        DlrtWords w = dlrt_random(1, 2, 3, 0, i);
        uint64_t n = (uint64_t)w.word[2] << 31 | w.word[3];
        unsigned __int128 product = (unsigned __int128)((uint64_t)w.word[1] << 32 | w.word[0]) * n;
        assert_true(dlrt_randint(w, n) == (uint64_t)(product >> 64));
    }
}

/* Means of n samples are within 5 standard errors: a wrong formula is far outside. */
static void test_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    double u = 0, u2 = 0, z = 0, z2 = 0, z4 = 0, d = 0;
    for (uint64_t i = 0; i < N; i++) {
        DlrtWords w = dlrt_random(11, 0, 1, 0, i);
        double a = dlrt_uniform_f32(w), b = dlrt_normal_f32(w);
        u += a, u2 += a * a, z += b, z2 += b * b, z4 += b * b * b * b;
        d += dlrt_normal_f64(w) * dlrt_normal_f64(w);
    }
    double e = 5 / sqrt(N);
    assert_true(fabs(u / N - 0.5) < e * sqrt(1 / 12.0));
    assert_true(fabs(u2 / N - 1 / 3.0) < e * sqrt(4 / 45.0));
    assert_true(fabs(z / N) < e);
    assert_true(fabs(z2 / N - 1) < e * sqrt(2));
    assert_true(fabs(d / N - 1) < e * sqrt(2));
    assert_true(fabs(z4 / N - 3) < e * sqrt(96));
}

/* ---- Shuffle ---- */

static void test_shuffle_is_bijection(void **state)
{
    (void)state;
    static uint8_t seen[5000];
    for (uint64_t N = 1; N <= 3000; N++) {
        DlrtShuffle s = dlrt_shuffle_new(N, 99, N);
        memset(seen, 0, N);
        for (uint64_t i = 0; i < N; i++) {
            uint64_t at = dlrt_shuffle_at(&s, i);
            assert_true(at < N);
            assert_int_equal(seen[at]++, 0);
        }
    }
    assert_int_equal(dlrt_shuffle(0, 0, 1, 1), 0);
    assert_int_equal(dlrt_shuffle(5, 1, 1, 1), 0);
    /* The largest domains end too. */
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true(dlrt_shuffle(i, (UINT64_C(1) << 40) + 1, 7, 0) <= UINT64_C(1) << 40);
        assert_true(dlrt_shuffle(i, UINT64_MAX, 7, 0) < UINT64_MAX);
    }
}

/* Chi-square of counts that should be equal, against mean + 5 standard deviations (dof, sqrt 2
 * dof), with some room for the skew at few degrees of freedom. */
static void assert_flat(const uint32_t *count, size_t cells, double expected)
{
    double chi = 0, dof = (double)cells - 1;
    for (size_t i = 0; i < cells; i++)
        chi += (count[i] - expected) * (count[i] - expected) / expected;
    if (chi > dof + 5 * sqrt(2 * dof) + 12)
        fail_msg("chi-square %g of %zu cells", chi, cells);
}

static void test_shuffle_is_uniform(void **state)
{
    (void)state;
    enum { EPOCHS = 20000, MOST = 33 };
    static const uint64_t sizes[] = { 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17, 31, 33 };
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint64_t N = sizes[k];
        static uint32_t place[MOST * MOST], apart[MOST];
        memset(place, 0, sizeof place);
        memset(apart, 0, sizeof apart);
        for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
            DlrtShuffle s = dlrt_shuffle_new(N, 4, epoch);
            for (uint64_t i = 0; i < N; i++)
                place[i * N + dlrt_shuffle_at(&s, i)]++;
            /* one pair an epoch: those of one permutation are not independent */
            apart[(dlrt_shuffle_at(&s, 1) + N - dlrt_shuffle_at(&s, 0)) % N]++;
        }
        for (uint64_t i = 0; i < N; i++)
            assert_flat(place + i * N, N, (double)EPOCHS / (double)N);
        assert_int_equal(apart[0], 0);
        assert_flat(apart + 1, N - 1, (double)EPOCHS / (double)(N - 1));
    }
}

/* All orders of few examples come equally often. */
static void test_shuffle_permutations(void **state)
{
    (void)state;
    enum { EPOCHS = 24000 };
    for (uint64_t N = 2; N <= 4; N++) {
        static const uint32_t factorial[] = { 1, 1, 2, 6, 24 };
        uint32_t count[24] = { 0 };
        for (uint64_t seed = 0; seed < EPOCHS; seed++) {
            DlrtShuffle s = dlrt_shuffle_new(N, seed, 3);
            uint32_t rank = 0;
            for (uint64_t i = 0; i < N; i++) {
                uint32_t smaller = 0;
                for (uint64_t j = i + 1; j < N; j++)
                    smaller += dlrt_shuffle_at(&s, j) < dlrt_shuffle_at(&s, i);
                rank += smaller * factorial[N - 1 - i];
            }
            count[rank]++;
        }
        assert_flat(count, factorial[N], (double)EPOCHS / factorial[N]);
    }
}

/* ---- Dtypes ---- */

static uint16_t to_half(int dtype, double v)
{
    uint16_t out;
    dlrt_convert(&out, dtype, &v, DLRT_F64, 1);
    return out;
}

static double from_half(int dtype, uint16_t h)
{
    double out;
    dlrt_convert(&out, DLRT_F64, &h, dtype, 1);
    return out;
}

/* All values survive; between neighbours the nearer wins, and at half way the even one. */
static void check_half(int dtype, uint16_t infinity)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        double v = from_half(dtype, (uint16_t)h);
        if ((h & 0x7fff) > infinity)
            assert_true(isnan(v) && isnan(from_half(dtype, to_half(dtype, v))));
        else
            assert_int_equal(to_half(dtype, v), h);
    }
    for (uint16_t h = 0; h + 1 < infinity; h++) {
        double a = from_half(dtype, h), b = from_half(dtype, (uint16_t)(h + 1));
        double middle = a + (b - a) / 2;
        assert_int_equal(to_half(dtype, middle), h & 1 ? h + 1 : h);
        assert_int_equal(to_half(dtype, -middle), (h & 1 ? h + 1 : h) | 0x8000);
        assert_int_equal(to_half(dtype, nextafter(middle, INFINITY)), h + 1);
        assert_int_equal(to_half(dtype, nextafter(middle, 0)), h);
    }
    assert_int_equal(to_half(dtype, 1e300), infinity);
    assert_int_equal(to_half(dtype, -INFINITY), infinity | 0x8000);
}

static void test_halves(void **state)
{
    (void)state;
    assert_true(from_half(DLRT_F16, 0x3c00) == 1 && from_half(DLRT_F16, 0x7bff) == 65504);
    assert_true(from_half(DLRT_BF16, 0x3f80) == 1 && from_half(DLRT_F16, 1) == 0x1p-24);
    check_half(DLRT_F16, 0x7c00);
    check_half(DLRT_BF16, 0x7f80);
    assert_int_equal(to_half(DLRT_F16, 65519.99), 0x7bff);
    assert_int_equal(to_half(DLRT_F16, 65520), 0x7c00);
}

#define CONVERTS(TO, to, FROM, from, value, expected)                                            \
    do {                                                                                         \
        from x = (value);                                                                        \
        to y;                                                                                    \
        dlrt_convert(&y, TO, &x, FROM, 1);                                                       \
        assert_true(y == (to)(expected));                                                        \
    } while (0)

static void test_conversions(void **state)
{
    (void)state;
    CONVERTS(DLRT_I8, int8_t, DLRT_F32, float, 200, 127);
    CONVERTS(DLRT_I8, int8_t, DLRT_F32, float, -200, -128);
    CONVERTS(DLRT_I8, int8_t, DLRT_F32, float, -1.9f, -1);
    CONVERTS(DLRT_U8, uint8_t, DLRT_F32, float, -1, 0);
    CONVERTS(DLRT_U8, uint8_t, DLRT_F32, float, NAN, 0);
    CONVERTS(DLRT_I64, int64_t, DLRT_F64, double, NAN, 0);
    CONVERTS(DLRT_I64, int64_t, DLRT_F64, double, 1e30, INT64_MAX);
    CONVERTS(DLRT_I64, int64_t, DLRT_F64, double, -1e30, INT64_MIN);
    CONVERTS(DLRT_U64, uint64_t, DLRT_F64, double, INFINITY, UINT64_MAX);
    CONVERTS(DLRT_I32, int32_t, DLRT_U64, uint64_t, UINT64_MAX, INT32_MAX);
    CONVERTS(DLRT_U64, uint64_t, DLRT_I64, int64_t, -1, 0);
    CONVERTS(DLRT_I32, int32_t, DLRT_I64, int64_t, INT64_MIN, INT32_MIN);
    CONVERTS(DLRT_BOOL, uint8_t, DLRT_F32, float, 0.25f, 1);
    CONVERTS(DLRT_F32, float, DLRT_BOOL, uint8_t, 7, 1);
    CONVERTS(DLRT_F32, float, DLRT_I64, int64_t, (INT64_C(1) << 53) + 1, 9007199254740992.0f);
    /* 2^61 + 2^37 + 1: rounding by way of double would lose the 1 and make a tie */
    CONVERTS(DLRT_F32, float, DLRT_I64, int64_t, (INT64_C(1) << 61) + (INT64_C(1) << 37) + 1,
             0x1.000002p61f);
    int64_t big = (INT64_C(1) << 62) + (INT64_C(1) << 54) + 1; /* just above half way in bf16 */
    uint16_t bf;
    dlrt_convert(&bf, DLRT_BF16, &big, DLRT_I64, 1);
    assert_int_equal(bf, 0x5e81);
    for (int d = 0; d < DLRT_DTYPE_COUNT; d++)
        assert_true(dlrt_dtype_size(d) > 0 && dlrt_dtype_name(d)[0] != '?');
    assert_int_equal(dlrt_dtype_size(DLRT_DTYPE_COUNT), 0);
}

static void test_machine(void **state)
{
    (void)state;
    uint64_t f = dlrt_cpu_features();
    assert_true(dlrt_default_threads() >= 1);
#if defined(__x86_64__)
    /* Agrees with what the compiler's own run-time library finds. */
    __builtin_cpu_init();
    assert_int_equal((f & DLRT_CPU_V3) != 0, __builtin_cpu_supports("avx2") &&
                                                 __builtin_cpu_supports("fma") &&
                                                 __builtin_cpu_supports("bmi2"));
    assert_int_equal((f & DLRT_CPU_V4) != 0,
                     __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                         __builtin_cpu_supports("avx512cd") &&
                         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"));
    assert_int_equal((f & DLRT_CPU_AVX512_VNNI) != 0, __builtin_cpu_supports("avx512vnni") != 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_vectors),       cmocka_unit_test(test_mapping),
        cmocka_unit_test(test_ranges),               cmocka_unit_test(test_moments),
        cmocka_unit_test(test_shuffle_is_bijection), cmocka_unit_test(test_shuffle_is_uniform),
        cmocka_unit_test(test_shuffle_permutations), cmocka_unit_test(test_halves),
        cmocka_unit_test(test_conversions),          cmocka_unit_test(test_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
