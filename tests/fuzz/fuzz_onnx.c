/* fuzz_onnx.c: libFuzzer target: any bytes are opened as an ONNX file, and all that it holds is
 * read, as an importer would; errors are printed. tests/fuzz/build.sh builds it and says how to run
 * it; tests/onnx/test_hostile.c replays tests/onnx/corpus. */
#include "frontend/diag_print.h"
#include "tests/onnx/walk.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open_memory(cx, "f.onnx", data, size);
    if (f)
        walk_model(f, cx->arena);
    else if (!cx->errors)
        abort();
    char *text;
    size_t text_size;
    FILE *out = open_memstream(&text, &text_size);
    diag_print_all(cx, out, true);
    fclose(out);
    free(text);
    int code = diag_exit_code(cx);
    if (code != 0 && code != 3 && code != 4)
        abort();
    compiler_free(cx);
    return 0;
}
