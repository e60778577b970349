/* host_test.h: what the tests of runtime/host share: a scratch folder, files of given bytes, and
 * expectations on errors. */
#ifndef DLCC_TESTS_HOST_TEST_H
#define DLCC_TESTS_HOST_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/host/files.h"
#include "runtime/host/host.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Allocations that cannot succeed are part of what is tested. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static char folder[64];
static char path_text[512];

static inline int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/dlcc-host-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int drop_folder(void **state)
{
    (void)state;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.' || strlen(e->d_name) > 2)
            unlink(path);
    }
    if (d)
        closedir(d);
    return rmdir(folder);
}

/* A path in the scratch folder; valid until the next call. */
static inline const char *in_folder(const char *name)
{
    snprintf(path_text, sizeof path_text, "%s/%s", folder, name);
    return path_text;
}

static inline const char *write_file(const char *name, const void *bytes, size_t size)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
    return path_text;
}

static inline const char *write_gzip(const char *name, const void *bytes, size_t size)
{
    gzFile f = gzopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(f), Z_OK);
    return path_text;
}

/* The exit code that the table of diagnostics gives to a code; -1: it has no such row. */
static inline int exit_of(const char *code)
{
    static const struct {
        const char *code;
        int exit;
    } rows[] = {
#define DIAG(c, e, title, explain) { #c, e },
#include "ir/diag.def"
#undef DIAG
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].code, code))
            return rows[i].exit;
    return -1;
}

/* The failure has this code and says this; it can be explained, and the exit code agrees. */
static inline void expect_error(const HostError *e, const char *code, const char *part)
{
    if (strcmp(e->code, code) || !strstr(e->text, part))
        fail_msg("expected %s with \"%s\", got %s: %s", code, part, e->code, e->text);
    assert_int_equal(e->exit, exit_of(code));
    assert_null(strchr(e->text, '\n'));
}

#endif
