/* pool.h: memory that a file from a stranger makes us take: bounded, and dropped whole. */
#ifndef DLCC_FRONTEND_ONNX_POOL_H
#define DLCC_FRONTEND_ONNX_POOL_H
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct PoolBlock PoolBlock;
typedef struct {
    size_t limit, used;       /* bytes, with our own overhead */
    bool full;                /* something was refused for the limit, or for lack of memory */
    PoolBlock *blocks;        /* doubly linked; the first is where small pieces come from */
    PoolBlock *small;
    size_t small_left;
    ProtobufCAllocator proto; /* allocates here; to be given to protobuf-c */
} Pool;

void pool_init(Pool *p, size_t limit);
/* `size` bytes, aligned to 64 where they are 4 KiB or more, else to 8; not cleared. NULL: full. */
void *pool_alloc(Pool *p, size_t size);
/* Gives back what pool_alloc gave; small pieces stay until the end. NULL is allowed. */
void pool_give_back(Pool *p, void *piece);
void pool_release(Pool *p);

#endif
