/* escape.c: names from a file of a stranger, for a terminal. A name may hold escape sequences that
 * move the cursor, new lines that fake a message, marks that turn the direction of text. */
#include "frontend/lex.h"
#include "frontend/onnx/file.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 80, SHOWN_FIRST = 50, SHOWN_LAST = 25 };

/* The code point of `size` well-formed bytes. */
static uint32_t code_point(const char *s, uint32_t size)
{
    const unsigned char *u = (const unsigned char *)s;
    uint32_t c = size == 1 ? u[0] : u[0] & (0xFFu >> (size + 1));
    for (uint32_t i = 1; i < size; i++)
        c = c << 6 | (u[i] & 0x3F);
    return c;
}

/* Controls, line and paragraph separators, marks of direction, zero-width and tag characters. */
static bool is_invisible(uint32_t c)
{
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0xAD || c == 0x61C ||
           (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
           (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xE0000 && c <= 0xE0FFF);
}

/* The character at *s as it is shown, into `to` (at most 9 bytes and a NUL); moves *s on. */
static void show(const char **s, char to[16])
{
    uint32_t size = lex_utf8_size(*s, strnlen(*s, 4));
    uint32_t c = size ? code_point(*s, size) : (unsigned char)**s;
    if (!size || c < 0x80)
        snprintf(to, 16, size && !is_invisible(c) ? "%c" : "\\x%02x", (int)c);
    else if (is_invisible(c))
        snprintf(to, 16, "\\u{%x}", c);
    else
        snprintf(to, 16, "%.*s", (int)size, *s);
    *s += size ? size : 1;
}

const char *onnx_escape(Arena *a, const char *s)
{
    char text[(SHOWN + 1) * 16], *to = text, one[16];
    bool clean = true;
    uint32_t n = 0, i = 0;
    if (!s)
        return "";
    for (const char *at = s, *next = s; *at; at = next, n++) {
        show(&next, one);
        clean &= !strncmp(one, at, (size_t)(next - at));
    }
    if (clean && n <= SHOWN)
        return s;
    for (const char *at = s; *at; i++) {
        show(&at, one);
        if (n <= SHOWN || i < SHOWN_FIRST || i >= n - SHOWN_LAST)
            to = stpcpy(to, one);
        else if (i == SHOWN_FIRST)
            to = stpcpy(to, "...");
    }
    return arena_strndup(a, text, (size_t)(to - text));
}
