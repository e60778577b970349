/* name.c: interned names: an open hash of pointers (FNV-1a), doubled at three quarters full. It is
 * never iterated, so that hash order reaches no output. */
#include "frontend/name.h"

#include <string.h>

struct NameTable {
    const char **at; /* NULL: free */
    uint32_t n, cap; /* cap is a power of two */
};

static uint32_t name_hash(const char *text, size_t size)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h ^ h >> 15;
}

static const char **find_slot(const struct NameTable *t, const char *text, size_t size)
{
    uint32_t i = name_hash(text, size) & (t->cap - 1);
    while (t->at[i] && (strncmp(t->at[i], text, size) || t->at[i][size]))
        i = (i + 1) & (t->cap - 1);
    return &t->at[i];
}

static void grow(Compiler *cx, struct NameTable *t)
{
    struct NameTable wider = { arena_new_array(cx->arena, const char *, (size_t)t->cap * 2), t->n,
                               t->cap * 2 };
    for (uint32_t i = 0; i < t->cap; i++)
        if (t->at[i])
            *find_slot(&wider, t->at[i], strlen(t->at[i])) = t->at[i];
    *t = wider;
}

const char *name_intern(Compiler *cx, const char *text, size_t size)
{
    struct NameTable *t = cx->names;
    if (!t) {
        t = cx->names = arena_make(cx->arena, struct NameTable);
        t->cap = 256;
        t->at = arena_new_array(cx->arena, const char *, t->cap);
    }
    const char **slot = find_slot(t, text, size);
    if (*slot)
        return *slot;
    const char *copy = *slot = arena_strndup(cx->arena, text, size);
    if (++t->n > t->cap / 4 * 3)
        grow(cx, t);
    return copy;
}

const char *name_of(Compiler *cx, const char *text)
{
    return name_intern(cx, text, strlen(text));
}
