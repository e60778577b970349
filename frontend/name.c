/* name.c: interned names: an open hash of pointers (FNV-1a), doubled at three quarters full. It is
 * never iterated, so that hash order reaches no output; nor are the maps, which hash the pointers
 * themselves. */
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

/* ---- Maps ---- */

struct NameSlot {
    const char *name; /* NULL: free */
    uint32_t number;
};

static struct NameSlot *map_slot(const NameMap *m, const char *name)
{
    uint32_t i = (uint32_t)(((uintptr_t)name >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32);
    for (i &= m->cap - 1; m->slots[i].name && m->slots[i].name != name;)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

int64_t name_map_get(const NameMap *m, const char *name)
{
    const struct NameSlot *s = m->cap && name ? map_slot(m, name) : NULL;
    return s && s->name ? (int64_t)s->number : -1;
}

void name_map_put(Arena *a, NameMap *m, const char *name, uint32_t number)
{
    if (2 * m->n >= m->cap) {
        NameMap wider = { NULL, m->n, m->cap ? 2 * m->cap : 32 };
        wider.slots = arena_new_array(a, struct NameSlot, wider.cap);
        for (uint32_t i = 0; i < m->cap; i++)
            if (m->slots[i].name)
                *map_slot(&wider, m->slots[i].name) = m->slots[i];
        *m = wider;
    }
    struct NameSlot *s = map_slot(m, name);
    if (s->name)
        return;
    *s = (struct NameSlot){ name, number };
    m->n++;
}
