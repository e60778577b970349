/* fuzz_parse.c: libFuzzer target: any bytes are parsed; errors are printed both ways; what parses
 * is formatted, and the result must be stable. tests/fuzz/build.sh builds it and says how to run
 * it. */
#include "frontend/diag_print.h"
#include "frontend/syntax.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_format(Compiler *cx, const AstFile *file)
{
    AstFile *again;
    const char *once = syntax_format(cx, file);
    if (!once || !syntax_parse(cx, compiler_add_source(cx, "g.dl", once, strlen(once)), &again))
        abort();
    const char *twice = syntax_format(cx, again);
    if (!twice || strcmp(once, twice))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Compiler *cx = compiler_new();
    AstFile *file;
    char *text;
    size_t text_size;
    if (syntax_parse(cx, compiler_add_source(cx, "f.dl", (const char *)data, size), &file)) {
        check_format(cx, file);
    } else {
        FILE *out = open_memstream(&text, &text_size);
        diag_print_all(cx, out, true);
        diag_print_json(cx, out);
        fclose(out);
        free(text);
    }
    compiler_free(cx);
    return 0;
}
