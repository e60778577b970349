/* train_library.c: trains by a built library what dlrun trains in memory, and saves its weights:
 * app WEIGHTS SEED STEPS N [FILE..]
 *
 * Compiled once for each example with -DHEADER=".." -DNAME=.. -DFIELDS=0..2; the files hold the
 * fields of N items as raw numbers. The recipe's batches and order are the library's own, so that
 * the same seed must leave the same bits. */
#include HEADER
#include <stdio.h>
#include <stdlib.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define CALL(f) JOIN(NAME, f)

static void *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        return NULL;
    long size = ftell(f);
    void *bytes = size > 0 ? malloc((size_t)size) : NULL;
    rewind(f);
    if (bytes && fread(bytes, 1, (size_t)size, f) != (size_t)size)
        bytes = NULL;
    fclose(f);
    return bytes;
}

int main(int argc, char **argv)
{
    if (argc < 5 + FIELDS)
        return 2;
    unsigned long long seed = strtoull(argv[2], NULL, 10);
    size_t steps = strtoull(argv[3], NULL, 10), n = strtoull(argv[4], NULL, 10);
    void *field[3] = { NULL };
    float loss = 0;
    struct NAME *cx;
    for (int i = 0; i < FIELDS; i++)
        if (!(field[i] = read_file(argv[5 + i])))
            return 3;
    int code = CALL(init)(CALL(abi)(), NULL, 0, seed, &cx);
    if (!code)
        code = CALL(set)(cx, "steps", (double)steps); /* schedules look at it */
#if FIELDS == 0
    (void)n;
    for (size_t i = 0; i < steps && !code; i++)
        code = CALL(step)(cx, 1, &loss);
#elif FIELDS == 1
    if (!code)
        code = CALL(train)(cx, n, field[0], steps, &loss);
#else
    if (!code)
        code = CALL(train)(cx, n, field[0], field[1], steps, &loss);
#endif
    if (!code)
        code = CALL(save)(cx, DLCC_WEIGHTS, argv[1]);
    if (code)
        fprintf(stderr, "%s: %s\n", CALL(error)(code), cx ? CALL(message)(cx) : "");
    return code != 0;
}
