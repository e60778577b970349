/* train.c: trains the model of spirals.dl on arrays of its own, and saves the weights.
 *
 *   dlcc spirals.dl -o spirals.so
 *   cc train.c -I. ./spirals.so -Wl,-rpath,'$ORIGIN' -lm -o train && ./train spirals.safetensors */
#include "spirals.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ARMS = 3, POINTS = 300, N = ARMS * POINTS, STEPS = 3000, ROUND = 500 };

static float points[N][2];
static unsigned char arms[N];

static void make_points(void)
{
    for (int i = 0; i < N; i++) {
        double t = (double)(i / ARMS) / POINTS, noise = (double)rand() / RAND_MAX - 0.5;
        double angle = 2 * 3.14159265 * (i % ARMS) / ARMS + 5 * t + 0.3 * noise;
        points[i][0] = (float)(t * sin(angle));
        points[i][1] = (float)(t * cos(angle));
        arms[i] = (unsigned char)(i % ARMS);
    }
}

static int failed(const spirals *cx, int code)
{
    if (code)
        fprintf(stderr, "train: %s: %s\n", spirals_error(code), spirals_message(cx));
    return code;
}

/* The share of points whose arm the model tells. */
static int accuracy(spirals *cx, double *out)
{
    double sums[SPIRALS_SUMS] = { 0 };
    for (size_t i = 0; i < N; i += SPIRALS_B) {
        size_t B = N - i < SPIRALS_B ? N - i : SPIRALS_B;
        int code = spirals_eval(cx, B, points[i], arms + i, sums);
        if (code)
            return code;
    }
    *out = spirals_metric(sums, SPIRALS_ACCURACY);
    return 0;
}

int main(int argc, char **argv)
{
    spirals *cx = NULL;
    int code = spirals_init(SPIRALS_ABI, NULL, 0, 1, &cx);
    if (code)
        return failed(cx, code);
    make_points();
    for (int done = 0; done < STEPS && !code; done += ROUND) {
        float loss;
        double share;
        code = spirals_train(cx, N, points[0], arms, ROUND, &loss);
        if (!code && !(code = accuracy(cx, &share)))
            printf("step %4d  loss %.3f  accuracy %.1f %%\n", done + ROUND, (double)loss,
                   100 * share);
    }
    if (!code && argc > 1)
        code = spirals_save(cx, DLCC_WEIGHTS, argv[1]);
    failed(cx, code);
    spirals_free(cx);
    return code;
}
