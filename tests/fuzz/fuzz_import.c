/* fuzz_import.c: libFuzzer target: any bytes as an ONNX file are translated and elaborated like a
 * .dl file; errors are printed. tests/fuzz/build.sh builds it and says how to run it. */
#include "frontend/diag_print.h"
#include "frontend/frontend.h"
#include "frontend/onnx/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Import goes by path: one file in memory per process. */
static const char *write_model(const uint8_t *data, size_t size)
{
    static char path[64];
    if (!*path)
        snprintf(path, sizeof path, "/dev/shm/fuzz-import-%d.onnx", (int)getpid());
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
    return path;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Compiler *cx = compiler_new();
    bool opens = onnx_open_memory(cx, "f.onnx", data, size);
    compiler_free(cx);
    if (!opens) /* fuzz_onnx */
        return -1;
    const char *path = write_model(data, size);
    cx = compiler_new();
    FrontendSetting batch = { "B", "2" };
    FrontendOptions options = { .defines = &batch, .n_defines = 1 };
    Unit *unit = frontend_load(cx, path, &options);
    if (!unit != !!cx->errors)
        abort();
    char *text;
    size_t text_size;
    FILE *out = open_memstream(&text, &text_size);
    diag_print_all(cx, out, true);
    fclose(out);
    free(text);
    if (diag_exit_code(cx) == 70)
        abort();
    compiler_free(cx);
    unlink(path);
    return 0;
}
