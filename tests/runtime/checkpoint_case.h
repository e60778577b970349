/* checkpoint_case.h: for tests of files: a folder of their own, a trained toy, a file in memory. */
#ifndef DLCC_TESTS_RUNTIME_CHECKPOINT_CASE_H
#define DLCC_TESTS_RUNTIME_CHECKPOINT_CASE_H
#include "runtime/safetensors.h"
#include "tests/runtime/toy.h"

#include <stdio.h>
#include <unistd.h>

static char folder[64];

static inline const char *in_folder(const char *name)
{
    static char path[4][128];
    static int turn;
    char *p = path[turn++ & 3];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/dlrt-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static inline DlrtContext *trained(uint64_t seed, int steps)
{
    static ToyData data;
    const void *f[3] = { data.x, data.y, data.t };
    float cache[2] = { 3, (float)seed };
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, seed);
    assert_int_equal(dlrt_write(cx, "cache", cache, 2), DLRT_OK);
    assert_int_equal(dlrt_train(cx, TOY_N, f, steps, NULL), DLRT_OK);
    return cx;
}

/* A file in memory. */
typedef struct {
    char *data;
    size_t size;
} Bytes;

static inline int bytes_write(void *user, const void *data, size_t size)
{
    Bytes *b = user;
    b->data = realloc(b->data, b->size + size);
    memcpy(b->data + b->size, data, size);
    b->size += size;
    return 0;
}

static inline int bytes_read(void *user, uint64_t offset, void *data, size_t size)
{
    const Bytes *b = user;
    assert_true(offset + size <= b->size);
    memcpy(data, b->data + offset, size);
    return 0;
}

static inline DlrtIo bytes_io(Bytes *b)
{
    return (DlrtIo){ .user = b, .write = bytes_write, .read = bytes_read, .size = b->size };
}

static inline void assert_same_bytes(const DlrtContext *cx, const char *before)
{
    size_t message = offsetof(DlrtContext, message);
    assert_memory_equal(cx, before, message);
    assert_memory_equal((const char *)cx + sizeof *cx, before + sizeof *cx,
                        CONTEXT_BYTES - sizeof *cx);
}

#endif
