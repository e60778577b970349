/* arena.c: bump allocation in blocks of growing size. Needs nothing, gives arenas and growable
 * arrays. */
#include "ir/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Block Block;
struct Block {
    Block *next;
    size_t used, size;
};

struct Arena {
    Block *head;
    size_t block_size;
};

enum { BLOCK_FIRST = 1 << 14, BLOCK_MAX = 1 << 20, ALIGN = 16 };
#define BLOCK_HEADER ((sizeof(Block) + ALIGN - 1) / ALIGN * ALIGN)

static void *must(void *p)
{
    if (!p) {
        fputs("dlcc: out of memory\n", stderr);
        abort();
    }
    return p;
}

Arena *arena_new(void)
{
    Arena *a = must(calloc(1, sizeof *a));
    a->block_size = BLOCK_FIRST;
    return a;
}

void arena_free(Arena *a)
{
    if (!a)
        return;
    for (Block *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void *arena_alloc(Arena *a, size_t size)
{
    if (size > SIZE_MAX - BLOCK_HEADER - ALIGN)
        must(NULL);
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    Block *b = a->head;
    if (!b || b->size - b->used < size) {
        size_t n = size > a->block_size ? size : a->block_size;
        b = must(malloc(BLOCK_HEADER + n));
        b->used = 0;
        b->size = n;
        b->next = a->head;
        a->head = b;
        if (a->block_size < BLOCK_MAX)
            a->block_size *= 2;
    }
    void *p = (char *)b + BLOCK_HEADER + b->used;
    b->used += size;
    return memset(p, 0, size);
}

void *arena_alloc_array(Arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        must(NULL);
    return arena_alloc(a, bytes);
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    char *p = arena_alloc(a, n + 1);
    if (n)
        memcpy(p, s, n);
    return p;
}

char *arena_vprintf(Arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    char *p = arena_alloc(a, (size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0)
        vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

char *arena_printf(Arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *p = arena_vprintf(a, format, args);
    va_end(args);
    return p;
}

void *vec_grow(Arena *a, void *at, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return at;
    uint32_t wider = *cap ? *cap * 2 : 8;
    void *p = arena_alloc_array(a, wider, size);
    if (n)
        memcpy(p, at, (size_t)n * size);
    *cap = wider;
    return p;
}
