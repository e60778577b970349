/* call_detect.c: which of overlapping boxes stay, greedily in order. */
#include "runtime/call.h"
#include "runtime/dlrt.h"

#include <math.h>

/* One row of n boxes: OVERLAPS says whether two (as opposite corners) share more of their union. */
#define SUPPRESS(name, type) \
    static type name##_shared(type a0, type a1, type b0, type b1) \
    { \
        type a_lo = a0 < a1 ? a0 : a1, a_hi = a0 < a1 ? a1 : a0; \
        type b_lo = b0 < b1 ? b0 : b1, b_hi = b0 < b1 ? b1 : b0; \
        return (a_hi < b_hi ? a_hi : b_hi) - (a_lo > b_lo ? a_lo : b_lo); \
    } \
    static type name##_area(const type *a) \
    { \
        type area = (a[2] - a[0]) * (a[3] - a[1]); \
        return area < 0 ? -area : area; \
    } \
    static bool name##_overlap(const type *a, const type *b, type most) \
    { \
        type height = name##_shared(a[0], a[2], b[0], b[2]); \
        type width = name##_shared(a[1], a[3], b[1], b[3]); \
        if (!(height > 0 && width > 0)) \
            return false; \
        type both = height * width; \
        return both / (name##_area(a) + name##_area(b) - both) > most; \
    } \
    static void name(const type *box, const uint8_t *valid, type most, uint8_t *keep, int64_t n) \
    { \
        for (int64_t i = 0; i < n; i++) { \
            bool stays = valid[i]; \
            for (int64_t j = 0; stays && j < i; j++) \
                stays = !keep[j] || !name##_overlap(box + 4 * i, box + 4 * j, most); \
            keep[i] = stays; \
        } \
    }
SUPPRESS(suppress_f64, double)
SUPPRESS(suppress_f32, float)

void dlrt_call_suppress(void *const *bufs, const int64_t *args, int64_t B, int64_t begin,
                        int64_t end)
{
    int64_t n = args[1];
    (void)B;
    for (int64_t row = begin; row < end; row++) {
        const uint8_t *valid = (const uint8_t *)bufs[1] + row * n;
        uint8_t *keep = (uint8_t *)bufs[3] + row * n;
        if (args[0] == DLRT_F64)
            suppress_f64((const double *)bufs[0] + row * n * 4, valid, *(const double *)bufs[2],
                         keep, n);
        else
            suppress_f32((const float *)bufs[0] + row * n * 4, valid, *(const float *)bufs[2],
                         keep, n);
    }
}
