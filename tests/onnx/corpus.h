/* corpus.h: the files that fuzzing begins with, and what it found: each of tests/onnx/corpus. */
#ifndef DLCC_TESTS_ONNX_CORPUS_H
#define DLCC_TESTS_ONNX_CORPUS_H
#include "tests/onnx/wire_build.h"

#include <dirent.h>

static inline int corpus_is_file(const struct dirent *e)
{
    return *e->d_name != '.';
}

/* Calls `use` with each, in the order of their names; it does not keep the bytes. */
static inline void corpus_each(void (*use)(const char *name, const Bytes *b))
{
    static const char folder[] = DLCC_SOURCE_DIR "/tests/onnx/corpus";
    struct dirent **names;
    int n = scandir(folder, &names, corpus_is_file, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        char path[512], part[4096];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        FILE *f = fopen(path, "rb");
        assert_non_null(f);
        Bytes b = { 0 };
        for (size_t size; (size = fread(part, 1, sizeof part, f));)
            b_raw(&b, part, size);
        fclose(f);
        use(names[i]->d_name, &b);
        b_free(&b);
        free(names[i]);
    }
    free(names);
}

#endif
