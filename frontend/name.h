/* name.h: interned names. One table per Compiler, so that names of two files compare by pointer. */
#ifndef DLCC_FRONTEND_NAME_H
#define DLCC_FRONTEND_NAME_H
#include "ir/compiler.h"

/* The one copy of the `size` bytes at `text` (no NUL among them), NUL-terminated, alive as long as
 * the Compiler. Equal bytes give equal pointers. */
const char *name_intern(Compiler *cx, const char *text, size_t size);
/* The same for a NUL-terminated string: name_of(cx, "forward"). */
const char *name_of(Compiler *cx, const char *text);

/* Numbers by interned names. {0} is empty. Never iterated. */
typedef struct {
    struct NameSlot *slots;
    uint32_t n, cap;
} NameMap;

/* The number that `name` was first put with, or -1. */
int64_t name_map_get(const NameMap *m, const char *name);
/* `name` is interned, and not NULL. */
void name_map_put(Arena *a, NameMap *m, const char *name, uint32_t number);

#endif
