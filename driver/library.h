/* library.h: a built .so in this process. */
#ifndef DLCC_DRIVER_LIBRARY_H
#define DLCC_DRIVER_LIBRARY_H
#include "ir/arena.h"
#include "runtime/dlrt.h"
#include "runtime/host/host.h"

typedef struct {
    void *handle;
    const DlrtLibrary *table; /* NULL: none is open */
} Library;

bool library_is_path(const char *path);
/* Refuses, before any of its code runs, what is no library of a model: E0490. */
bool library_open(const char *path, Arena *a, Library *out, HostError *out_error);
void library_close(Library *l);
/* The weights in the library as a file; false: it has none. */
bool library_weights(const Library *l, DlrtIo *out_io);

#endif
