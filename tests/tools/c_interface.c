/* c_interface.c: a program that uses two generated libraries (net.dl, line.dl) as somebody else's
 * would: training, metrics, files, views, threads, fork, and every call that must fail. Prints each
 * expectation that does not hold; exit code 1 then. Compiled and run by test_c_interface.sh. */
#include "line.h"
#include "net.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 90, X = 6, CLASSES = 3 };

static int failures;
#define EXPECT(c)                                                                                  \
    ((c) ? (void)0 : (void)(printf("%s:%d: %s\n", __FILE__, __LINE__, #c), failures++))

typedef struct {
    float x[N][X];
    uint8_t y[N];
} Data;

static Data data;

static void make_data(void)
{
    uint32_t r = 1;
    for (int i = 0; i < N; i++) {
        data.y[i] = (uint8_t)(i % CLASSES);
        for (int d = 0; d < X; d++) {
            r = r * 1664525u + 1013904223u;
            data.x[i][d] = (float)(r >> 8) / 16777216.0f + (d == data.y[i] ? 0.8f : 0.0f);
        }
    }
}

static net *fresh(uint64_t seed)
{
    net *cx = NULL;
    EXPECT(net_init(NET_ABI, NULL, 0, seed, &cx) == DLCC_OK);
    return cx;
}

/* Every tensor, in the order of the names. */
static size_t tensors(const net *cx, float *out)
{
    size_t total = 0;
    const char *name;
    for (size_t i = 0; (name = net_name(i)) != NULL; i++) {
        size_t rank, dims[8], n = 1;
        EXPECT(net_shape(name, &rank, dims) == DLCC_OK);
        for (size_t d = 0; d < rank; d++)
            n *= dims[d];
        EXPECT(net_read(cx, name, out + total, n) == DLCC_OK);
        total += n;
    }
    return total;
}

static int same_tensors(const net *a, const net *b)
{
    static _Thread_local float p[4096], q[4096];
    size_t n = tensors(a, p), m = tensors(b, q);
    return n == m && n > 0 && memcmp(p, q, n * sizeof *p) == 0;
}

/* ---- What works ---- */

static void test_training(void)
{
    net *cx = fresh(1);
    float first, last, loss;
    EXPECT(net_step(cx, 16, data.x[0], data.y, &first) == DLCC_OK);
    EXPECT(fabsf(first - logf(3)) < 0.7f);
    EXPECT(net_train(cx, N, data.x[0], data.y, 400, &loss) == DLCC_OK);
    EXPECT(net_step(cx, 16, data.x[0], data.y, &last) == DLCC_OK);
    EXPECT(last < 0.5f * first);
    double step;
    EXPECT(net_get(cx, "step", &step) == DLCC_OK && step == 402);
    EXPECT(net_step(cx, 3, data.x[0], data.y, NULL) == DLCC_OK);
    net_free(cx);
}

/* Metrics against what the logits say, over batches of unequal size. */
static void test_metrics(void)
{
    net *cx = fresh(2);
    double sums[NET_SUMS] = { 0 }, loss = 0, squares = 0;
    int right = 0;
    EXPECT(net_train(cx, N, data.x[0], data.y, 100, NULL) == DLCC_OK);
    for (size_t at = 0, n; at < N; at += n) {
        float logits[16][CLASSES];
        n = at + 13 < N ? 13 : N - at;
        EXPECT(net_eval(cx, n, data.x[at], data.y + at, sums) == DLCC_OK);
        EXPECT(net_logits(cx, n, data.x[at], logits[0]) == DLCC_OK);
        for (size_t i = 0; i < n; i++) {
            int best = 0;
            double total = 0;
            for (int c = 0; c < CLASSES; c++) {
                best = logits[i][c] > logits[i][best] ? c : best;
                total += exp((double)logits[i][c]);
                squares += (double)logits[i][c] * (double)logits[i][c];
            }
            right += best == data.y[at + i];
            loss += log(total) - (double)logits[i][data.y[at + i]];
        }
    }
    EXPECT(sums[NET_SUMS - 1] == N);
    EXPECT(fabs(net_metric(sums, NET_LOSS) - loss / N) < 1e-5 * loss / N);
    EXPECT(fabs(net_metric(sums, NET_ACCURACY) - (double)right / N) < 1e-6);
    EXPECT(right > N / 2);
    EXPECT(fabs(net_metric(sums, NET_PERPLEXITY) - exp(loss / N)) < 1e-5 * exp(loss / N));
    EXPECT(fabs(net_metric(sums, NET_RIGHT) - right) < 1e-4 * right);
    EXPECT(fabs(net_metric(sums, NET_SIZE_) - 2 * squares / (N * CLASSES)) < 1e-5 * squares / N);
    EXPECT(isnan(net_metric(sums, -1)) && isnan(net_metric(sums, NET_SIZE_ + 1)) &&
           isnan(net_metric(NULL, 0)));
    net_free(cx);
}

static void test_own_memory(void)
{
    static _Alignas(64) char mem[NET_SIZE + 64];
    net *cx = NULL, *same = fresh(4);
    mem[NET_SIZE] = 77; /* SIZE is exact: nothing beyond is touched */
    EXPECT(net_init(NET_ABI, mem, NET_SIZE, 4, &cx) == DLCC_OK);
    EXPECT((void *)cx == (void *)mem);
    EXPECT(net_train(cx, N, data.x[0], data.y, 20, NULL) == DLCC_OK);
    EXPECT(net_train(same, N, data.x[0], data.y, 20, NULL) == DLCC_OK);
    EXPECT(same_tensors(cx, same) && mem[NET_SIZE] == 77);
    cx = NULL;
    EXPECT(net_init(NET_ABI, mem, NET_SIZE - 1, 4, &cx) == DLCC_E_SIZE && !cx);
    EXPECT(net_init(NET_ABI, mem + 8, NET_SIZE, 4, &cx) == DLCC_E_ARG && !cx);
    net_free(same);
}

typedef struct {
    char bytes[1 << 16];
    size_t size, room;
} Memory;

static int write_memory(void *user, const void *from, size_t size)
{
    Memory *m = user;
    if (size > m->room - m->size)
        return 1;
    memcpy(m->bytes + m->size, from, size);
    m->size += size;
    return 0;
}

static int read_memory(void *user, uint64_t offset, void *to, size_t size)
{
    Memory *m = user;
    if (offset > m->size || size > m->size - offset)
        return 1;
    memcpy(to, m->bytes + offset, size);
    return 0;
}

static void test_files(void)
{
    static Memory memory = { .room = sizeof memory.bytes };
    net *cx = fresh(5), *resumed = fresh(6), *from_memory = fresh(7), *weights = fresh(8);
    float a, b, c;
    EXPECT(net_train(cx, N, data.x[0], data.y, 23, NULL) == DLCC_OK);
    EXPECT(net_save(cx, DLCC_STATE, "state.safetensors") == DLCC_OK);
    EXPECT(net_save(cx, DLCC_WEIGHTS, "net.safetensors") == DLCC_OK);
    dlcc_io io = { &memory, write_memory, read_memory, 0 };
    EXPECT(net_save_to(cx, DLCC_STATE, &io) == DLCC_OK);
    io.size = memory.size;
    EXPECT(net_load(resumed, DLCC_STATE, "state.safetensors") == DLCC_OK);
    EXPECT(net_load_from(from_memory, DLCC_STATE, &io) == DLCC_OK);
    EXPECT(net_load(weights, DLCC_WEIGHTS, "net.safetensors") == DLCC_OK);
    EXPECT(net_train(cx, N, data.x[0], data.y, 40, &a) == DLCC_OK);
    EXPECT(net_train(resumed, N, data.x[0], data.y, 40, &b) == DLCC_OK);
    EXPECT(net_train(from_memory, N, data.x[0], data.y, 40, &c) == DLCC_OK);
    EXPECT(memcmp(&a, &b, sizeof a) == 0 && memcmp(&a, &c, sizeof a) == 0);
    EXPECT(same_tensors(cx, resumed) && same_tensors(cx, from_memory) &&
           !same_tensors(cx, weights));
    /* What cannot be read or written leaves the context as it was. */
    memory.bytes[memory.size - 1] ^= 1;
    EXPECT(net_load_from(resumed, DLCC_STATE, &io) == DLCC_E_FORMAT && *net_message(resumed));
    EXPECT(net_load(resumed, DLCC_STATE, "net.safetensors") == DLCC_E_FORMAT);
    EXPECT(net_load(resumed, DLCC_STATE, "there-is-none") == DLCC_E_IO);
    EXPECT(net_load(resumed, 7, "state.safetensors") == DLCC_E_ARG);
    EXPECT(net_save(resumed, DLCC_STATE, "no/such/folder") == DLCC_E_IO);
    memory.size = 0, memory.room = 100;
    EXPECT(net_save_to(cx, DLCC_STATE, &io) == DLCC_E_IO);
    EXPECT(same_tensors(cx, resumed));
    net_free(cx), net_free(resumed), net_free(from_memory), net_free(weights);
}

static void test_views(void)
{
    net *cx = fresh(9), *view = NULL;
    float a[16][CLASSES], b[16][CLASSES], one[X] = { 1 };
    EXPECT(net_view(cx, NULL, 0, &view) == DLCC_OK);
    EXPECT(net_logits(cx, 16, data.x[0], a[0]) == DLCC_OK &&
           net_logits(view, 16, data.x[0], b[0]) == DLCC_OK);
    EXPECT(memcmp(a, b, sizeof a) == 0);
    EXPECT(net_step(view, 16, data.x[0], data.y, NULL) == DLCC_E_ARG);
    EXPECT(net_step(cx, 16, data.x[0], data.y, NULL) == DLCC_OK);
    EXPECT(net_logits(cx, 16, data.x[0], a[0]) == DLCC_OK &&
           net_logits(view, 16, data.x[0], b[0]) == DLCC_OK);
    EXPECT(memcmp(a, b, sizeof a) == 0); /* the weights are the same ones, not a copy */
    EXPECT(net_write(view, net_name(0), one, X) != DLCC_OK);
    EXPECT(net_view(NULL, NULL, 0, &view) == DLCC_E_ARG);
    net_free(view), net_free(cx);
}

typedef struct {
    net *cx;
    int ok;
} Worker;

enum { WORKERS = 8, CALLS = 10000 };

static void *work(void *arg)
{
    Worker *w = arg;
    float out[16][CLASSES];
    w->ok = net_init(NET_ABI, NULL, 0, 10, &w->cx) == DLCC_OK;
    for (int i = 0; w->ok && i < CALLS; i++)
        w->ok = i % 4 ? net_logits(w->cx, 1 + (size_t)i % 16, data.x[0], out[0]) == DLCC_OK
                      : net_step(w->cx, 1 + (size_t)i % 16, data.x[0], data.y, NULL) == DLCC_OK;
    return NULL;
}

static void test_threads(void)
{
    Worker w[WORKERS] = { { 0 } };
    pthread_t thread[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        EXPECT(pthread_create(&thread[i], NULL, work, &w[i]) == 0);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < WORKERS; i++) {
        EXPECT(w[i].ok && same_tensors(w[0].cx, w[i].cx));
        if (i)
            net_free(w[i].cx);
    }
    net_free(w[0].cx);
}

static void team(void *user, int n, void (*job)(void *arg, int i), void *arg)
{
    ++*(int *)user;
    while (n-- > 0)
        job(arg, n);
}

static void test_thread_counts(void)
{
    net *a = fresh(11), *b = fresh(11), *c = fresh(11);
    int asked = 0;
    EXPECT(net_set_threads(a, 1, NULL, NULL) == DLCC_OK &&
           net_set_threads(b, 3, NULL, NULL) == DLCC_OK);
    EXPECT(net_set_threads(c, 4, team, &asked) == DLCC_OK);
    EXPECT(net_set_threads(c, -1, NULL, NULL) == DLCC_E_SIZE);
    EXPECT(net_train(a, N, data.x[0], data.y, 20, NULL) == DLCC_OK);
    EXPECT(net_train(b, N, data.x[0], data.y, 20, NULL) == DLCC_OK);
    EXPECT(net_train(c, N, data.x[0], data.y, 20, NULL) == DLCC_OK);
    EXPECT(same_tensors(a, b) && same_tensors(a, c));
    net_free(a), net_free(b), net_free(c);
}

static void test_fork(void)
{
    net *cx = fresh(12), *same = fresh(12);
    EXPECT(net_train(cx, N, data.x[0], data.y, 5, NULL) == DLCC_OK);
    EXPECT(net_train(same, N, data.x[0], data.y, 15, NULL) == DLCC_OK);
    fflush(stdout);
    pid_t child = fork();
    if (!child) {
        alarm(30);
        int ok = net_train(cx, N, data.x[0], data.y, 10, NULL) == DLCC_OK && same_tensors(cx, same);
        _exit(!ok || failures);
    }
    int status = -1;
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    net_free(cx), net_free(same);
}

/* ---- Two models in one program ---- */

static void test_both(void)
{
    float x[8][4], y[8], w[4], b, loss = 1;
    xor_t *cx = NULL;
    for (int i = 0; i < 8; i++) {
        y[i] = 0.5f;
        for (int d = 0; d < 4; d++) {
            x[i][d] = data.x[i][d] - 0.5f;
            y[i] += x[i][d] * (float)d;
        }
    }
    EXPECT(xor_init(XOR_ABI, NULL, 0, 1, &cx) == DLCC_OK);
    EXPECT(xor_init(NET_ABI, NULL, 0, 1, &cx) == DLCC_E_ABI);
    EXPECT(xor_init(XOR_ABI, NULL, 0, 1, &cx) == DLCC_OK);
    EXPECT(xor_train(cx, 8, x[0], y, 4000, NULL) == DLCC_OK);
    EXPECT(xor_step(cx, 8, x[0], y, &loss) == DLCC_OK && loss < 1e-3f);
    EXPECT(xor_read(cx, "w", w, 4) == DLCC_OK && xor_read(cx, "b", &b, 1) == DLCC_OK);
    EXPECT(fabsf(b - 0.5f) < 0.2f);
    EXPECT(net_logits((net *)(void *)cx, 1, data.x[0], x[0]) !=
           DLCC_OK); /* another model's context */
    xor_free(cx);
}

/* ---- Calls that must fail, and change nothing ---- */

static void test_bad_calls(void)
{
    net *cx = fresh(13), *same = fresh(13), *none = NULL;
    float out[16 * CLASSES], loss;
    double sums[NET_SUMS] = { 0 }, value;
    uint8_t y[16] = { 0 };
    _Alignas(8) char shifted[sizeof(float) * 16 * X + 1] = { 0 };
    const float *odd = (const float *)(void *)(shifted + 1);
    EXPECT(net_abi() == NET_ABI);
    EXPECT(net_init(NET_ABI ^ 1, NULL, 0, 1, &none) == DLCC_E_ABI && !none);
    EXPECT(net_init(NET_ABI, NULL, 0, 1, NULL) == DLCC_E_ARG);
    EXPECT(net_step(cx, 0, data.x[0], data.y, &loss) == DLCC_E_SIZE &&
           strstr(net_message(cx), "1..16"));
    EXPECT(net_step(cx, NET_B + 1, data.x[0], data.y, &loss) == DLCC_E_SIZE);
    EXPECT(net_step(cx, SIZE_MAX, data.x[0], data.y, &loss) == DLCC_E_SIZE);
    EXPECT(net_step(cx, 16, NULL, data.y, &loss) == DLCC_E_ARG &&
           strstr(net_message(cx), "x is NULL"));
    EXPECT(net_step(cx, 16, data.x[0], NULL, &loss) == DLCC_E_ARG);
    EXPECT(net_step(cx, 16, odd, data.y, &loss) == DLCC_E_ARG &&
           strstr(net_message(cx), "aligned"));
    EXPECT(net_step(NULL, 16, data.x[0], data.y, &loss) == DLCC_E_ARG);
    y[5] = CLASSES;
    EXPECT(net_step(cx, 16, data.x[0], y, &loss) == DLCC_E_LABEL &&
           strstr(net_message(cx), "y[5] is 3"));
    EXPECT(net_eval(cx, 16, data.x[0], y, sums) == DLCC_E_LABEL);
    EXPECT(net_eval(cx, 17, data.x[0], data.y, sums) == DLCC_E_SIZE);
    EXPECT(net_eval(cx, 16, data.x[0], data.y, NULL) == DLCC_E_ARG);
    for (int i = 0; i < NET_SUMS; i++)
        EXPECT(sums[i] == 0);
    EXPECT(net_train(cx, 0, data.x[0], data.y, 1, &loss) == DLCC_E_SIZE);
    EXPECT(net_train(cx, SIZE_MAX, data.x[0], data.y, 1, &loss) == DLCC_E_SIZE);
    EXPECT(net_train(cx, N, NULL, data.y, 1, &loss) == DLCC_E_ARG);
    EXPECT(net_logits(cx, 16, data.x[0], NULL) == DLCC_E_ARG);
    EXPECT(net_logits(cx, 0, data.x[0], out) == DLCC_E_SIZE);
    EXPECT(net_save_(cx, 2, data.x[0], out, out + 3) == DLCC_E_ARG &&
           strstr(net_message(cx), "overlap"));
    EXPECT(net_logits(cx, 16, data.x[0], (float *)(void *)cx) == DLCC_E_ARG);
    EXPECT(net_set(cx, "learning_rate", 1) == DLCC_E_NAME &&
           net_get(cx, NULL, &value) == DLCC_E_NAME);
    EXPECT(net_set(cx, "lr", INFINITY) == DLCC_E_SIZE && net_get(cx, "lr", NULL) == DLCC_E_ARG);
    EXPECT(net_read(cx, "nothing", out, 1) == DLCC_E_NAME &&
           net_read(cx, net_name(0), out, 1) == DLCC_E_SIZE);
    EXPECT(net_read(cx, net_name(0), NULL, 96) == DLCC_E_ARG &&
           net_read(cx, NULL, out, 1) == DLCC_E_NAME);
    size_t rank, dims[8];
    EXPECT(net_shape("nothing", &rank, dims) == DLCC_E_NAME && !net_name(1000000));
    for (int code = -1; code <= DLCC_E_NAN + 1; code++)
        EXPECT(net_error(code) && *net_error(code));
    EXPECT(*net_message(NULL) == 0);
    net_free(NULL);
    EXPECT(same_tensors(cx, same));
    /* A loss that is not finite updates nothing. */
    data.x[3][1] = NAN;
    EXPECT(net_step(cx, 16, data.x[0], data.y, &loss) == DLCC_E_NAN &&
           strstr(net_message(cx), "loss"));
    data.x[3][1] = 0.25f;
    EXPECT(same_tensors(cx, same));
    EXPECT(net_get(cx, "step", &value) == DLCC_OK && value == 0);
    net_free(cx), net_free(same);
}

int main(void)
{
    make_data();
    test_training();
    test_metrics();
    test_own_memory();
    test_files();
    test_views();
    test_threads();
    test_thread_counts();
    test_fork();
    test_both();
    test_bad_calls();
    if (!failures)
        printf("ok\n");
    return failures != 0;
}
