/* infer.c: draws which arm of the spirals each place belongs to, by a library that only infers.
 *
 *   dlcc spirals.dl -o spirals.a --entries=classify
 *   cc infer.c -I. spirals.a -fopenmp -lm -o infer && ./infer spirals.safetensors */
#include "spirals.h"

#include <stdint.h>
#include <stdio.h>

enum { WIDTH = 64, HEIGHT = 32 };

/* The context lies in this program's own memory: nothing is allocated. */
static _Alignas(64) char memory[SPIRALS_SIZE];

int main(int argc, char **argv)
{
    spirals *cx = NULL;
    int code = spirals_init(SPIRALS_ABI, memory, sizeof memory, 1, &cx);
    if (!code && argc > 1)
        code = spirals_load(cx, DLCC_WEIGHTS, argv[1]);
    for (int y = 0; y < HEIGHT && !code; y++) {
        float row[WIDTH][2];
        int32_t arm[WIDTH];
        for (int x = 0; x < WIDTH; x++) {
            row[x][0] = 2.0f * ((float)x + 0.5f) / WIDTH - 1;
            row[x][1] = 1 - 2.0f * ((float)y + 0.5f) / HEIGHT;
        }
        code = spirals_classify(cx, WIDTH, row[0], arm);
        for (int x = 0; x < WIDTH && !code; x++)
            putchar(".o#"[arm[x]]);
        putchar('\n');
    }
    if (code)
        fprintf(stderr, "infer: %s: %s\n", spirals_error(code), spirals_message(cx));
    spirals_free(cx);
    return code;
}
