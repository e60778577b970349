/* libFuzzer target: IR text. What reads must verify (the reader checks), pass through the pipeline
 * with every check on, and print to a text that reads back; what does not must leave a diagnostic.
 *
 *   clang -fsanitize=fuzzer,address,undefined -I. tests/fuzz/fuzz_ir.c LIBRARIES && ./a.out CORPUS
 */
#include "ir/text.h"
#include "passes/pipeline.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Half of the time one number becomes another: damaged syntax rarely gets as far as the type rules.
 */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const char *const numbers[] = { "0", "1", "2", "3", "5", "7", "-1", "64", "4294967296",
                                           "9223372036854775807", "-9223372036854775808", "2B" };
    if (seed % 2 || !size)
        return LLVMFuzzerMutate(data, size, max_size);
    const char *number = numbers[seed / 2 % 12];
    size_t n = strlen(number), at = seed / 24 % size, end;
    while (at < size && !isdigit(data[at]))
        at++;
    for (end = at; end < size && isdigit(data[end]);)
        end++;
    if (at == end || size - (end - at) + n > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memmove(data + at + n, data + end, size - end);
    memcpy(data + at, number, n);
    return size - (end - at) + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Compiler *cx = compiler_new();
    Unit *u = unit_read(cx, "fuzz.ir", (const char *)data, size);
    PipelineOptions o = { .verify = true, .read_back = true };
    if (u ? !pipeline_run(u, &o, NULL) && !cx->diags.n : !cx->diags.n)
        abort();
    for (uint32_t i = 0; u && i < cx->diags.n; i++)
        if (cx->diags.at[i].code == DIAG_E0001)
            abort();
    compiler_free(cx);
    return 0;
}
