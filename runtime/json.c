/* json.c: see json.h. No recursion, no allocation: its user knows the shape of what it reads. */
#include "runtime/json.h"

#include <string.h>

static bool fail(Json *j, const char *error)
{
    if (!j->error)
        j->error = error;
    return false;
}

static void skip_space(Json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

bool dlrt_json_take(Json *j, char c)
{
    if (j->error)
        return false;
    skip_space(j);
    if (j->at == j->end || *j->at != c)
        return false;
    j->at++;
    return true;
}

bool dlrt_json_need(Json *j, char c)
{
    return dlrt_json_take(j, c) || fail(j, "JSON: not what the format has here");
}

bool dlrt_json_more(Json *j, char close)
{
    if (dlrt_json_take(j, ','))
        return true;
    dlrt_json_need(j, close);
    return false;
}

bool dlrt_json_whole(Json *j, uint64_t *out)
{
    uint64_t v = 0;
    if (j->error)
        return false;
    skip_space(j);
    char *first = j->at;
    for (; j->at < j->end && *j->at >= '0' && *j->at <= '9'; j->at++) {
        uint64_t digit = (uint64_t)(*j->at - '0');
        if (v > (INT64_MAX - digit) / 10)
            return fail(j, "JSON: a number is too large");
        v = v * 10 + digit;
    }
    if (j->at == first)
        return fail(j, "JSON: a number is missing");
    if (*first == '0' && j->at - first > 1)
        return fail(j, "JSON: a number begins with 0");
    if (j->at < j->end && strchr(".eE", *j->at) && *j->at)
        return fail(j, "JSON: a number is not whole");
    *out = v;
    return true;
}

/* ---- Strings ---- */

static int hex(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9' ? c - '0'
                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                  : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                         : -1;
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static char *put_utf8(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
    } else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

/* \uXXXX at j->at (after the u), as one or two units. 0: wrong. */
static uint32_t unicode_escape(Json *j)
{
    int a = hex(j->at, j->end), b;
    if (a < 0)
        return 0;
    j->at += 4;
    if (a < 0xd800 || a > 0xdfff)
        return (uint32_t)a;
    if (a > 0xdbff || j->end - j->at < 6 || j->at[0] != '\\' || j->at[1] != 'u')
        return 0;
    b = hex(j->at + 2, j->end);
    if (b < 0xdc00 || b > 0xdfff)
        return 0;
    j->at += 6;
    return 0x10000 + (((uint32_t)a - 0xd800) << 10) + ((uint32_t)b - 0xdc00);
}

/* Bytes of the character at p if it is well-formed (Unicode, table 3-7), else 0. */
static int utf8_length(const unsigned char *p, const unsigned char *end)
{
    if (*p < 0x80)
        return 1;
    int n = *p >= 0xc2 && *p <= 0xdf ? 2 : *p >> 4 == 0xe ? 3 : *p >= 0xf0 && *p <= 0xf4 ? 4 : 0;
    if (n == 0 || end - p < n)
        return 0;
    for (int i = 1; i < n; i++)
        if (p[i] >> 6 != 2)
            return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) ||
        (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

/* What follows a backslash, decoded to *to; never longer than it was. */
static bool escape(Json *j, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    if (j->at == j->end)
        return false;
    char c = *j->at++;
    if (c == 'u') {
        uint32_t unit = unicode_escape(j);
        if (!unit)
            return false;
        *to = put_utf8(*to, unit);
        return true;
    }
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return false;
    *(*to)++ = into[known - from];
    return true;
}

const char *dlrt_json_string(Json *j)
{
    if (!dlrt_json_need(j, '"'))
        return NULL;
    char *start = j->at, *to = start;
    while (j->at < j->end) {
        unsigned char c = (unsigned char)*j->at;
        if (c == '"') {
            j->at++;
            *to = 0; /* at most where the quote was */
            return start;
        }
        if (c == '\\') {
            j->at++;
            if (!escape(j, &to)) {
                fail(j, "JSON: a wrong escape in a string");
                return NULL;
            }
            continue;
        }
        int n = utf8_length((unsigned char *)j->at, (unsigned char *)j->end);
        if (c < 32 || n == 0) {
            fail(j, "JSON: a string is not UTF-8 or has a control character");
            return NULL;
        }
        while (n--)
            *to++ = *j->at++;
    }
    fail(j, "JSON: a string has no end");
    return NULL;
}
