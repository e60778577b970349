/* syntax_help.h: what the tests of the syntax share: reading files, listing folders. */
#ifndef DLCC_TESTS_SYNTAX_HELP_H
#define DLCC_TESTS_SYNTAX_HELP_H
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PROGRAMS DLCC_SOURCE_DIR "/tests/frontend/programs"

typedef struct {
    char *name, *text;
    size_t size;
} TestFile;

static inline TestFile test_read(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    TestFile file = { .name = strdup(name), .text = calloc(1, 1 << 20) };
    file.size = fread(file.text, 1, (1 << 20) - 1, f);
    fclose(f);
    return file;
}

static inline int test_is_dl(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 3 && !strcmp(e->d_name + n - 3, ".dl");
}

/* Calls `use` on every .dl file of the folder, by name; returns how many. */
static inline int test_each(const char *folder, void (*use)(const TestFile *file))
{
    struct dirent **names;
    int n = scandir(folder, &names, test_is_dl, alphasort);
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        TestFile file = test_read(folder, names[i]->d_name);
        use(&file);
        free(file.name);
        free(file.text);
        free(names[i]);
    }
    free(names);
    return n;
}

#endif
