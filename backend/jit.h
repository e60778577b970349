/* jit.h: objects linked in memory, to be run in this process. */
#ifndef DLCC_BACKEND_JIT_H
#define DLCC_BACKEND_JIT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *bytes;
    size_t size;
} JitObject;

typedef struct Jit Jit;

/* Links `objects` with one another and with the symbols of this process, and looks up `n_symbols`
 * names. The addresses are valid until jit_free. NULL on failure, with the reason in `error`. */
Jit *jit_link(const JitObject *objects, size_t n_objects, const char *const *symbols,
              size_t n_symbols, void **out_addresses, char error[200]);
void jit_free(Jit *j);

#endif
