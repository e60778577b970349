/* compare.c: the rule is that of the published tests, with nothing loosened: also 16-bit floats and
 * integers get the tolerance of the formula alone. Numbers are compared as long double, which holds
 * every element of every dtype, so that large 64-bit integers are not equal by rounding. */
#include "tests/onnx/conform/compare.h"

#include "runtime/dlrt.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const long double absolute = 1e-7L, relative = 1e-3L;

void array_text(const Array *a, char out[COMPARE_TEXT])
{
    int at = snprintf(out, COMPARE_TEXT, "%s", dlrt_dtype_name(a->dtype));
    for (int d = 0; d < a->rank && at < COMPARE_TEXT; d++)
        at += snprintf(out + at, (size_t)(COMPARE_TEXT - at), "%s%lld%s", d ? ", " : "[",
                       (long long)a->dims[d], d + 1 == a->rank ? "]" : "");
}

int64_t array_elements(const Array *a)
{
    int64_t n = 1;
    for (int d = 0; d < a->rank; d++)
        if (a->dims[d] < 0 || __builtin_mul_overflow(n, a->dims[d], &n))
            return -1;
    return n;
}

static long double number_at(const Array *a, int64_t i)
{
    const char *p = (const char *)a->data + (size_t)i * dlrt_dtype_size(a->dtype);
    double x;
    if (a->dtype == DLRT_I64) {
        int64_t v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    if (a->dtype == DLRT_U64) {
        uint64_t v;
        memcpy(&v, p, sizeof v);
        return v;
    }
    dlrt_convert(&x, DLRT_F64, p, a->dtype, 1);
    return x;
}

static bool number_equal(long double have, long double want)
{
    if (isnan(have) || isnan(want))
        return isnan(have) && isnan(want);
    if (isinf(have) || isinf(want))
        return have == want;
    return fabsl(have - want) <= absolute + relative * fabsl(want);
}

bool array_equal(const Array *have, const Array *want, char difference[COMPARE_TEXT])
{
    char a[COMPARE_TEXT], b[COMPARE_TEXT];
    array_text(have, a);
    array_text(want, b);
    if (have->dtype != want->dtype || have->rank != want->rank ||
        memcmp(have->dims, want->dims, sizeof *have->dims * (size_t)have->rank)) {
        snprintf(difference, COMPARE_TEXT, "is %.120s instead of %.120s", a, b);
        return false;
    }
    int64_t n = array_elements(want), wrong = 0, first = 0;
    for (int64_t i = 0; i < n; i++)
        if (!number_equal(number_at(have, i), number_at(want, i)) && !wrong++)
            first = i;
    if (wrong)
        snprintf(difference, COMPARE_TEXT,
                 "%.120s: %lld of %lld differ, first at %lld: %.9Lg instead of %.9Lg", b,
                 (long long)wrong, (long long)n, (long long)first, number_at(have, first),
                 number_at(want, first));
    return !wrong;
}
