/* pool.c: small pieces one after the other from blocks of 64 KiB, large ones each a block.
 *
 * An arena alone would not do: protobuf-c's lists of scanned fields are large and short-lived, and
 * would all stay. Malloc alone would not either: its overhead on a million short strings is more
 * than they are. Every piece has its size before it, by which giving back knows the kind. */
#include "frontend/onnx/pool.h"

#include <stdint.h>
#include <stdlib.h>

enum { POOL_BLOCK = 1 << 16, POOL_LARGE = 1 << 12, POOL_ALIGN = 64 };

/* A block is its own header in 64 bytes, then pieces. A large piece has it just before it. */
struct PoolBlock {
    PoolBlock *next, *before;
    size_t size;      /* of all */
    char space[POOL_ALIGN - 4 * sizeof(size_t)];
    size_t piece;     /* of a large one: what was asked for; where small pieces have it too */
};
_Static_assert(sizeof(PoolBlock) == POOL_ALIGN, "a large piece stays aligned");

static void *proto_alloc(void *user, size_t size)
{
    return pool_alloc(user, size);
}

static void proto_free(void *user, void *piece)
{
    pool_give_back(user, piece);
}

void pool_init(Pool *p, size_t limit)
{
    *p = (Pool){ .limit = limit, .proto = { proto_alloc, proto_free, p } };
}

static PoolBlock *new_block(Pool *p, size_t size)
{
    PoolBlock *b = NULL;
    size_t all = (size + sizeof *b + POOL_ALIGN - 1) & ~(size_t)(POOL_ALIGN - 1);
    if (size > p->limit || all > p->limit - p->used || !(b = aligned_alloc(POOL_ALIGN, all))) {
        p->full = true;
        return NULL;
    }
    p->used += all;
    *b = (PoolBlock){ .next = p->blocks, .size = all, .piece = size };
    if (p->blocks)
        p->blocks->before = b;
    p->blocks = b;
    return b;
}

void *pool_alloc(Pool *p, size_t size)
{
    if (size >= POOL_LARGE) {
        PoolBlock *b = new_block(p, size);
        return b ? b + 1 : NULL;
    }
    size_t need = ((size + 7) & ~(size_t)7) + sizeof(size_t);
    if (need > p->small_left) {
        PoolBlock *b = new_block(p, POOL_BLOCK - sizeof *b);
        if (!b)
            return NULL;
        p->small = b;
        p->small_left = POOL_BLOCK - sizeof *b;
    }
    size_t *piece = (size_t *)((char *)p->small + POOL_BLOCK - p->small_left);
    p->small_left -= need;
    *piece = size;
    return piece + 1;
}

void pool_give_back(Pool *p, void *piece)
{
    if (!piece || ((size_t *)piece)[-1] < POOL_LARGE)
        return;
    PoolBlock *b = (PoolBlock *)piece - 1;
    if (b->before)
        b->before->next = b->next;
    else
        p->blocks = b->next;
    if (b->next)
        b->next->before = b->before;
    p->used -= b->size;
    free(b);
}

void pool_release(Pool *p)
{
    for (PoolBlock *b = p->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *p = (Pool){ 0 };
}
