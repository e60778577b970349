/* arena.h: memory that is dropped whole, and growable arrays in it.
 *
 * Nothing in the compiler is freed piece by piece: a Unit, a syntax tree, a pass's tables each live
 * in one arena and go with it. That removes ownership from every signature. */
#ifndef DLCC_IR_ARENA_H
#define DLCC_IR_ARENA_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Arena Arena;

/* A new, empty arena. Out of memory anywhere in an arena ends the process with a message (abort):
 * the compiler has nothing of the user's to save. Sizes that come from input are bounded before
 * they get here. */
Arena *arena_new(void);
void arena_free(Arena *a);

/* `size` zeroed bytes, aligned to 16. Never NULL; size 0 gives a valid pointer. */
void *arena_alloc(Arena *a, size_t size);
/* n * size zeroed bytes; the product is checked. */
void *arena_alloc_array(Arena *a, size_t n, size_t size);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(Arena *a, const char *format, va_list args);

#define arena_new_array(a, T, n) ((T *)arena_alloc_array((a), (n), sizeof(T)))
#define arena_make(a, T) ((T *)arena_alloc((a), sizeof(T)))

/* A growable array in an arena: VEC(int) v = {0}; vec_push(a, &v, 3); v.at[0]; v.n. */
#define VEC(T) struct { T *at; uint32_t n, cap; }
#define vec_push(a, v, ...)                                                                        \
    ((v)->at = vec_grow((a), (v)->at, (v)->n, &(v)->cap, sizeof *(v)->at),                         \
     (v)->at[(v)->n++] = (__VA_ARGS__))
void *vec_grow(Arena *a, void *at, uint32_t n, uint32_t *cap, size_t size);

#endif
