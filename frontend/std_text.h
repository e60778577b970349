/* std_text.h: the standard library's files, embedded at build time by cmake/embed_std.cmake. */
#ifndef DLCC_FRONTEND_STD_TEXT_H
#define DLCC_FRONTEND_STD_TEXT_H
#include <stddef.h>

typedef struct {
    const char *name; /* "layers.dl" */
    const char *text; /* NUL-terminated */
    size_t size;
} StdFile;
extern const StdFile std_files[];
extern const size_t std_file_count;

#endif
