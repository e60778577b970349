/* format.c: numbers for people: short, three digits, no locale. */
#include "runtime/host/progress.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

char *host_format_count(char out[HOST_NUMBER_SIZE], int64_t n)
{
    char digits[HOST_NUMBER_SIZE];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, n < 0 ? -(uint64_t)n : (uint64_t)n);
    char *p = out;
    if (n < 0)
        *p++ = '-';
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            *p++ = ',';
        *p++ = digits[i];
    }
    *p = 0;
    return out;
}

/* One of v, v/base, v/base^2, ... below base, with its suffix. */
static char *scaled(char out[HOST_NUMBER_SIZE], double v, double base, const char *const *suffixes,
                    int last)
{
    int i = 0;
    /* What rounds up to the next unit belongs to it: 999.6k is 1.0M. */
    while (i < last && v >= base - 0.5) {
        v /= base;
        i++;
    }
    snprintf(out, HOST_NUMBER_SIZE, v < 9.95 && (i || v != floor(v)) ? "%.1f%s" : "%.0f%s", v,
             suffixes[i]);
    return out;
}

char *host_format_rate(char out[HOST_NUMBER_SIZE], double per_second)
{
    static const char *const suffixes[] = { "", "k", "M", "G", "T", "P" };
    if (!isfinite(per_second) || per_second < 0 || per_second >= 1e19)
        return strcpy(out, "?");
    return scaled(out, per_second, 1000, suffixes, 5);
}

char *host_format_bytes(char out[HOST_NUMBER_SIZE], int64_t bytes)
{
    static const char *const suffixes[] = { " B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB" };
    return scaled(out, bytes < 0 ? 0 : (double)bytes, 1024, suffixes, 6);
}

char *host_format_duration(char out[HOST_NUMBER_SIZE], double seconds)
{
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e9)
        return strcpy(out, "?");
    int64_t s = llround(seconds);
    if (seconds < 0.00995)
        snprintf(out, HOST_NUMBER_SIZE, "%.1f ms", seconds * 1e3);
    else if (seconds < 0.9995)
        snprintf(out, HOST_NUMBER_SIZE, "%.0f ms", seconds * 1e3);
    else if (seconds < 9.95)
        snprintf(out, HOST_NUMBER_SIZE, "%.1f s", seconds);
    else if (s < 60)
        snprintf(out, HOST_NUMBER_SIZE, "%" PRId64 " s", s);
    else if (s < 3600)
        snprintf(out, HOST_NUMBER_SIZE, "%" PRId64 ":%02d", s / 60, (int)(s % 60));
    else
        snprintf(out, HOST_NUMBER_SIZE, "%" PRId64 ":%02d:%02d", s / 3600, (int)(s / 60 % 60),
                 (int)(s % 60));
    return out;
}

char *host_format_value(char out[HOST_NUMBER_SIZE], double value)
{
    if (isnan(value))
        return strcpy(out, "nan");
    if (isinf(value))
        return strcpy(out, value < 0 ? "-inf" : "inf");
    if (value == 0)
        return strcpy(out, "0");
    /* The exponent after rounding to three digits: 0.9999 is 1.00. */
    char text[HOST_NUMBER_SIZE];
    snprintf(text, sizeof text, "%.2e", value);
    char *e = strchr(text, 'e');
    int exponent = 0;
    sscanf(e + 1, "%d", &exponent);
    if (exponent >= -2 && exponent < 4) {
        int decimals = exponent > 2 ? 0 : 2 - exponent;
        snprintf(out, HOST_NUMBER_SIZE, "%.*f", decimals, value);
        return out;
    }
    while (e[-1] == '0' || e[-1] == '.') {
        bool point = *--e == '.';
        *e = 0;
        if (point)
            break;
    }
    *e = 0;
    snprintf(out, HOST_NUMBER_SIZE, "%.16se%d", text, exponent);
    return out;
}
