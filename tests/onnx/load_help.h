/* load_help.h: a model of bytes as the tools see it: from a file, translated and elaborated. */
#ifndef DLCC_TESTS_ONNX_LOAD_HELP_H
#define DLCC_TESTS_ONNX_LOAD_HELP_H
#include "tests/onnx/wire_build.h"

#include "frontend/frontend.h"

#include <time.h>
#include <unistd.h>

typedef struct {
    Compiler *cx; /* to be freed */
    Unit *unit;
    int code;
    double seconds; /* of the processor: other work on the machine does not count */
} Loaded;

/* Frees the bytes. */
static inline Loaded load_bytes(Bytes *b)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/dlcc-load-%d.onnx", (int)getpid());
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->at, 1, b->n, f), b->n);
    fclose(f);
    FrontendSetting batch = { "N", "2" }; /* where there is such a dim */
    FrontendOptions options = { .defines = &batch };
    options.n_defines = memmem(b->at, b->n, "\x12\x01N", 3) != NULL;
    b_free(b);
    Compiler *cx = compiler_new();
    clock_t from = clock();
    Unit *u = frontend_load(cx, path, &options);
    double seconds = (double)(clock() - from) / CLOCKS_PER_SEC;
    unlink(path);
    return (Loaded){ cx, u, diag_exit_code(cx), seconds };
}

#endif
