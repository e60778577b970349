/* The toy model: init, step, train, eval, keys, threads, views, failing calls. */
#include "tests/runtime/toy.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

static const void *const *fields_of(const ToyData *d, const void **out)
{
    out[0] = d->x, out[1] = d->y, out[2] = d->t;
    return out;
}

static void test_verified(void **state)
{
    char why[256] = "";
    (void)state;
    if (!dlrt_verify(&toy_model, why, sizeof why))
        fail_msg("%s", why);
}

static void test_init(void **state)
{
    (void)state;
    float w[TOY_D], expected;
    DlrtContext *cx = toy_new(&toy_model, 42), *again = toy_new(&toy_model, 42);
    DlrtContext *other = toy_new(&toy_model, 43);
    assert_int_equal(dlrt_read(cx, "w", w, TOY_D), DLRT_OK);
    expected = dlrt_normal_f32(dlrt_random(42, 0, 1, 0, 2));
    assert_true(w[2] == expected);
    assert_same_state(cx, again);
    assert_memory_not_equal((char *)cx + AT_W, (char *)other + AT_W, 12);

    _Alignas(64) static char mem[CONTEXT_BYTES + 64];
    DlrtContext *placed;
    memset(mem, 0xff, sizeof mem);
    assert_int_equal(dlrt_init(&toy_model, TOY_ABI, mem, CONTEXT_BYTES, 42, &placed), DLRT_OK);
    assert_ptr_equal(placed, mem);
    assert_same_state(cx, placed);
    assert_int_equal(mem[CONTEXT_BYTES] & 0xff, 0xff);
    dlrt_free(placed);
    assert_int_equal(dlrt_init(&toy_model, TOY_ABI, mem, CONTEXT_BYTES - 1, 42, &placed),
                     DLRT_E_SIZE);
    assert_null(placed);
    assert_int_equal(dlrt_init(&toy_model, TOY_ABI, mem + 32, CONTEXT_BYTES, 42, &placed),
                     DLRT_E_ARG);
    assert_int_equal(dlrt_init(&toy_model, TOY_ABI + 1, NULL, 0, 42, &placed), DLRT_E_ABI);
    assert_int_equal(dlrt_init(NULL, TOY_ABI, NULL, 0, 42, &placed), DLRT_E_ARG);
    DlrtModel foreign = toy_model;
    foreign.cpu_features = UINT64_C(1) << 63;
    assert_int_equal(dlrt_init(&foreign, TOY_ABI, NULL, 0, 42, &placed), DLRT_E_CPU);
    dlrt_free(cx);
    dlrt_free(again);
    dlrt_free(other);
    dlrt_free(NULL);
}

static void test_learns(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    float first, last, w[TOY_D];
    double sums[3] = { 0 }, epoch;
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, 1);
    assert_int_equal(dlrt_train(cx, TOY_N, fields_of(&data, f), 1, &first), DLRT_OK);
    assert_int_equal(dlrt_train(cx, TOY_N, f, 499, NULL), DLRT_OK);
    assert_int_equal(dlrt_train(cx, TOY_N, f, 10, &last), DLRT_OK);
    assert_true(last < first / 1000);
    assert_int_equal(dlrt_read(cx, "w", w, TOY_D), DLRT_OK);
    assert_true(fabsf(w[0] - 0.5f) < 0.02f && fabsf(w[1] + 1) < 0.02f && fabsf(w[2] - 2) < 0.02f);
    for (int i = 0; i < TOY_N; i += TOY_B) {
        int64_t n = TOY_N - i < TOY_B ? TOY_N - i : TOY_B;
        const void *part[3] = { data.x[i], data.y + i, data.t + i };
        assert_int_equal(dlrt_eval(cx, n, part, sums), DLRT_OK);
    }
    assert_true(sums[2] == TOY_N);
    double loss = dlrt_metric(&toy_model, sums, 0);
    assert_true(loss < 0.0004 && loss > 0 && loss == sums[0] / TOY_N);
    float root = sqrtf((float)loss), magnitude = (float)(sums[1] / TOY_N);
    assert_true(dlrt_metric(&toy_model, sums, 1) == (double)(root * magnitude));
    assert_true(dlrt_metric(&toy_model, sums, 2) == (double)(magnitude * (float)TOY_N));
    assert_true(isnan(dlrt_metric(&toy_model, sums, 3)));
    assert_true(isnan(dlrt_metric(&toy_model, sums, -1)));
    assert_true(isnan(dlrt_metric(&toy_model, NULL, 0)));
    /* 6 whole batches of 16 in 100: 510 steps are 85 epochs */
    assert_int_equal(dlrt_get(cx, "epoch", &epoch), DLRT_OK);
    assert_true(epoch == 85);
    dlrt_free(cx);
}

/* The shuffled order is that of dlrt_shuffle: the same steps by hand give the same bits. */
static void test_train_is_steps(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    toy_data(&data);
    DlrtContext *a = toy_new(&toy_model, 7), *b = toy_new(&toy_model, 7);
    assert_int_equal(dlrt_train(a, TOY_N, fields_of(&data, f), 15, NULL), DLRT_OK);
    for (uint64_t s = 0; s < 15; s++) {
        ToyData batch;
        const void *g[3] = { batch.x, batch.y, batch.t };
        for (uint64_t i = 0; i < TOY_B; i++) {
            uint64_t from = dlrt_shuffle(s % 6 * TOY_B + i, TOY_N, 7, s / 6);
            memcpy(batch.x[i], data.x[from], sizeof batch.x[i]);
            batch.y[i] = data.y[from];
            batch.t[i] = data.t[from];
        }
        assert_int_equal(dlrt_step(b, TOY_B, g, NULL), DLRT_OK);
    }
    b->clock.steps = a->clock.steps, b->clock.own_steps = a->clock.own_steps;
    b->clock.epoch = a->clock.epoch;
    assert_same_state(a, b);

    /* In order: no copies */
    DlrtModel straight = toy_model;
    straight.shuffle = 0;
    DlrtContext *c = toy_new(&straight, 7), *d = toy_new(&toy_model, 7);
    assert_int_equal(dlrt_train(c, TOY_N, f, 8, NULL), DLRT_OK);
    for (int s = 0; s < 8; s++) {
        int at = s % 6 * TOY_B;
        const void *g[3] = { data.x[at], data.y + at, data.t + at };
        assert_int_equal(dlrt_step(d, TOY_B, g, NULL), DLRT_OK);
    }
    assert_memory_equal((char *)c + VIEW_BYTES, (char *)d + VIEW_BYTES, CONTEXT_BYTES - VIEW_BYTES);

    /* Fewer examples than a batch: all of them, each step */
    assert_int_equal(dlrt_train(c, 5, f, 2, NULL), DLRT_OK);
    dlrt_free(a);
    dlrt_free(b);
    dlrt_free(c);
    dlrt_free(d);
}

/* A team that runs its parts one after another, backwards, on the calling thread. */
static void backwards(void *user, int n, void (*work)(void *arg, int i), void *arg)
{
    *(int *)user += 1;
    while (n-- > 0)
        work(arg, n);
}

static void test_threads(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    float in[TOY_T][TOY_B], out[TOY_T][TOY_B], first[TOY_T][TOY_B];
    const void *scan_in[] = { in };
    int team_calls = 0;
    toy_data(&data);
    memcpy(in, data.x, sizeof in);
    DlrtContext *one = toy_new(&toy_model, 3);
    dlrt_set_threads(one, 1, NULL, NULL);
    assert_int_equal(dlrt_train(one, TOY_N, fields_of(&data, f), 50, NULL), DLRT_OK);
    assert_int_equal(dlrt_call_entry(one, E_SCAN, TOY_B, scan_in, (void *[]){ first }), DLRT_OK);
    for (int n = 2; n <= 9; n++) {
        DlrtContext *cx = toy_new(&toy_model, 3);
        if (n == 9)
            dlrt_set_threads(cx, 3, backwards, &team_calls);
        else
            dlrt_set_threads(cx, n, NULL, NULL);
        assert_int_equal(dlrt_train(cx, TOY_N, f, 50, NULL), DLRT_OK);
        assert_same_state(one, cx);
        memset(out, 0xff, sizeof out);
        assert_int_equal(dlrt_call_entry(cx, E_SCAN, TOY_B, scan_in, (void *[]){ out }), DLRT_OK);
        assert_memory_equal(out, first, sizeof out);
        dlrt_free(cx);
    }
    assert_true(team_calls >= 100);
    /* by hand */
    for (int r = 0; r < TOY_B; r++) {
        float h = 0;
        for (int t = 0; t < TOY_T; t++) {
            h = h * 0.5f + in[t][r] + (float)t;
            assert_true(first[t][r] == h);
        }
    }
    assert_int_equal(dlrt_set_threads(one, -1, NULL, NULL), DLRT_E_SIZE);
    assert_int_equal(dlrt_set_threads(one, 0, NULL, NULL), DLRT_OK);
    assert_int_equal(one->threads, dlrt_default_threads());
    dlrt_free(one);
}

static void test_control(void **state)
{
    (void)state;
    DlrtContext *cx = toy_new(&toy_model, 3);
    for (int threads = 1; threads <= 3; threads++) {
        dlrt_set_threads(cx, threads, NULL, NULL);
        for (int B = 1; B <= TOY_B; B++) {
            int32_t n = -1;
            int trips = (B + 2) / 3 < 4 ? (B + 2) / 3 : 4; /* at most 4 */
            assert_int_equal(dlrt_call_entry(cx, E_COUNT, B, NULL, (void *[]){ &n }), DLRT_OK);
            assert_int_equal(n, trips + (B > 12 ? 100 : 0));
        }
    }
    dlrt_free(cx);
}

static void test_tiny(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    float a[TOY_B], b[TOY_B];
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, 3);
    for (int B = 1; B <= TOY_B; B++) {
        memset(a, 0, sizeof a);
        memset(b, 0, sizeof b);
        assert_int_equal(
            dlrt_call_entry(cx, E_PREDICT, B, fields_of(&data, f), (void *[]){ a }), DLRT_OK);
        assert_int_equal(dlrt_call_entry(cx, E_TINY, B, f, (void *[]){ b }), DLRT_OK);
        assert_memory_equal(a, b, sizeof a);
    }
    dlrt_free(cx);
}

/* Every failing call leaves all bytes of the context but its message as they were. */
static void assert_fails(DlrtContext *cx, int code, int rc, const char *before, const char *words)
{
    static char now[CONTEXT_BYTES], then[CONTEXT_BYTES];
    size_t message = offsetof(DlrtContext, message);
    assert_int_equal(rc, code);
    if (words && !strstr(dlrt_message(cx), words))
        fail_msg("message \"%s\" lacks \"%s\"", dlrt_message(cx), words);
    memcpy(now, cx, CONTEXT_BYTES);
    memcpy(then, before, CONTEXT_BYTES);
    memset(now + message, 0, sizeof cx->message);
    memset(then + message, 0, sizeof cx->message);
    assert_memory_equal(now, then, CONTEXT_BYTES);
}

static void test_bad_arguments(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3], *g[3];
    static char before[CONTEXT_BYTES];
    _Alignas(16) float out[TOY_B * 4];
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, 3);
    fields_of(&data, f);
    memcpy(before, cx, CONTEXT_BYTES);
#define FAILS(code, call, words) assert_fails(cx, code, call, before, words)
    FAILS(DLRT_E_SIZE, dlrt_step(cx, 0, f, NULL), "batch of 0");
    FAILS(DLRT_E_SIZE, dlrt_step(cx, -1, f, NULL), "-1");
    FAILS(DLRT_E_SIZE, dlrt_step(cx, TOY_B + 1, f, NULL), "1..16");
    FAILS(DLRT_E_ARG, dlrt_step(cx, 4, NULL, NULL), "data");
    for (int i = 0; i < 3; i++) {
        memcpy(g, f, sizeof g);
        g[i] = NULL;
        FAILS(DLRT_E_ARG, dlrt_step(cx, 4, g, NULL), "NULL");
        FAILS(DLRT_E_ARG, dlrt_train(cx, TOY_N, g, 1, NULL), "NULL");
        FAILS(DLRT_E_ARG, dlrt_eval(cx, 4, g, (double[3]){ 0 }), "NULL");
    }
    memcpy(g, f, sizeof g);
    g[0] = (const char *)f[0] + 2;
    FAILS(DLRT_E_ARG, dlrt_step(cx, 4, g, NULL), "x is not aligned");
    FAILS(DLRT_E_ARG, dlrt_train(cx, TOY_N - 1, g, 1, NULL), "x is not aligned");
    data.y[2] = TOY_K;
    FAILS(DLRT_E_LABEL, dlrt_step(cx, 4, f, NULL), "y[2] is 4");
    FAILS(DLRT_E_LABEL, dlrt_eval(cx, 4, f, (double[3]){ 0 }), "y[2] is 4");
    data.y[2] = 0;
    FAILS(DLRT_E_ARG, dlrt_eval(cx, 4, f, NULL), "sums");
    FAILS(DLRT_E_SIZE, dlrt_train(cx, 0, f, 1, NULL), "example");
    FAILS(DLRT_E_SIZE, dlrt_train(cx, TOY_N, f, -1, NULL), "-1");
    FAILS(DLRT_E_SIZE, dlrt_train(cx, INT64_MAX, f, 1, NULL), "examples");
    FAILS(DLRT_E_NAME, dlrt_call_entry(cx, 99, 1, f, NULL), "99");
    FAILS(DLRT_E_ARG, dlrt_call_entry(cx, E_PREDICT, 4, f, NULL), "arguments");
    FAILS(DLRT_E_ARG, dlrt_call_entry(cx, E_PREDICT, 4, f, (void *[]){ NULL }), "out is NULL");
    FAILS(DLRT_E_ARG, dlrt_call_entry(cx, E_PREDICT, 4, f, (void *[]){ (char *)out + 1 }),
          "aligned");
    FAILS(DLRT_E_ARG, dlrt_call_entry(cx, E_PREDICT, 4, f, (void *[]){ data.t + 3 }), "overlaps");
    FAILS(DLRT_E_ARG, dlrt_call_entry(cx, E_PREDICT, 4, f, (void *[]){ (char *)cx + AT_W }),
          "context");
    FAILS(DLRT_E_SIZE, dlrt_call_entry(cx, E_SCAN, 3, f, (void *[]){ out }), "exactly 16");
    FAILS(DLRT_E_NAME, dlrt_set(cx, "learning_rate", 1), "learning_rate");
    FAILS(DLRT_E_NAME, dlrt_set(cx, NULL, 1), "NULL");
    FAILS(DLRT_E_SIZE, dlrt_set(cx, "lr", INFINITY), "lr");
    FAILS(DLRT_E_SIZE, dlrt_set(cx, "step", -1), "step");
    FAILS(DLRT_E_SIZE, dlrt_set(cx, "step", 1.5), "step");
    FAILS(DLRT_E_SIZE, dlrt_set(cx, "seed", NAN), "seed");
    FAILS(DLRT_E_NAME, dlrt_read(cx, "nothing", out, 3), "nothing");
    FAILS(DLRT_E_SIZE, dlrt_read(cx, "w", out, 4), "3 elements");
    FAILS(DLRT_E_ARG, dlrt_write(cx, "w", NULL, 3), "NULL");
    /* one past the end in the address, the neighbour of an input is no overlap */
    assert_int_equal(dlrt_call_entry(cx, E_PREDICT, 4, f, (void *[]){ data.t + 4 }), DLRT_OK);
    assert_int_equal(dlrt_step(NULL, 4, f, NULL), DLRT_E_ARG);
    assert_int_equal(dlrt_run(NULL, NULL, 1, NULL, NULL), DLRT_E_ARG);
    assert_string_equal(dlrt_message(NULL), "");
    assert_string_equal(dlrt_error(-5), "unknown error");
    for (int i = 0; i < DLRT_ERROR_COUNT; i++)
        assert_string_not_equal(dlrt_error(i), "unknown error");
    dlrt_free(cx);
}

static void test_guards(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    double step, evals;
    char before[CONTEXT_BYTES - VIEW_BYTES];
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, 3);
    assert_int_equal(dlrt_train(cx, TOY_N, fields_of(&data, f), 3, NULL), DLRT_OK);
    for (int threads = 1; threads <= 3; threads++) {
        DlrtClock clock = cx->clock;
        dlrt_set_threads(cx, threads, NULL, NULL);
        memcpy(before, (char *)cx + VIEW_BYTES, sizeof before);
        float keep = data.x[1][1];
        data.x[1][1] = threads == 2 ? INFINITY : NAN;
        assert_int_equal(dlrt_step(cx, 4, f, NULL), DLRT_E_NAN);
        assert_non_null(strstr(dlrt_message(cx), "toy.dl:7: the loss is"));
        data.x[1][1] = keep;
        assert_int_equal(dlrt_call_entry(cx, E_BAD, 4, NULL, NULL), DLRT_E_LABEL);
        assert_int_equal(cx->status, 0);
        assert_memory_equal(before, (char *)cx + VIEW_BYTES, sizeof before);
        assert_memory_equal(&clock, &cx->clock, sizeof clock);
        assert_int_equal(dlrt_step(cx, 4, f, NULL), DLRT_OK);
    }
    assert_int_equal(dlrt_get(cx, "step", &step), DLRT_OK);
    assert_true(step == 6);
    assert_int_equal(dlrt_set(cx, "evals", 2), DLRT_OK);
    assert_int_equal(dlrt_get(cx, "evals", &evals), DLRT_OK);
    assert_true(evals == 2);
    dlrt_free(cx);
}

/* lr: NaN is the schedule, a number replaces it, lr_scale multiplies. */
static void test_keys(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    float w[TOY_D], then[TOY_D];
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, 3);
    fields_of(&data, f);
    assert_int_equal(dlrt_set(cx, "lr", 0), DLRT_OK);
    assert_int_equal(dlrt_read(cx, "w", then, TOY_D), DLRT_OK);
    assert_int_equal(dlrt_step(cx, 8, f, NULL), DLRT_OK);
    assert_int_equal(dlrt_read(cx, "w", w, TOY_D), DLRT_OK);
    assert_memory_equal(w, then, sizeof w);
    assert_int_equal(dlrt_set(cx, "lr", NAN), DLRT_OK);
    assert_int_equal(dlrt_set(cx, "lr_scale", 0), DLRT_OK);
    assert_int_equal(dlrt_step(cx, 8, f, NULL), DLRT_OK);
    assert_int_equal(dlrt_read(cx, "w", w, TOY_D), DLRT_OK);
    assert_memory_equal(w, then, sizeof w);
    assert_int_equal(dlrt_set(cx, "lr_scale", 1), DLRT_OK);
    assert_int_equal(dlrt_step(cx, 8, f, NULL), DLRT_OK);
    assert_int_equal(dlrt_read(cx, "w", w, TOY_D), DLRT_OK);
    assert_memory_not_equal(w, then, sizeof w);
    assert_int_equal(dlrt_set(cx, "threads", 2), DLRT_OK);
    assert_int_equal(cx->threads, 2);
    dlrt_free(cx);
}

static void test_updates_take_turns(void **state)
{
    (void)state;
    static const DlrtUpdate updates[] = {
        { .name = "d", .fields = toy_map, .entry = E_STEP, .times = 5 },
        { .name = "g", .fields = toy_map, .entry = E_STEP, .times = 2 },
    };
    DlrtModel m = toy_model;
    uint64_t counts[2] = { 0 }, own;
    m.updates = updates;
    m.update_count = 2;
    for (uint64_t s = 0; s < 50; s++) {
        uint32_t u = dlrt_due_update(&m, s, &own);
        assert_int_equal(u, s % 7 >= 5);
        assert_int_equal(own, counts[u]);
        counts[u]++;
    }
    ToyData data;
    const void *f[3];
    toy_data(&data);
    DlrtContext *cx = toy_new(&m, 3);
    assert_int_equal(dlrt_set(cx, "steps", 70), DLRT_OK);
    for (int s = 0; s < 9; s++) {
        assert_int_equal(dlrt_step(cx, 4, fields_of(&data, f), NULL), DLRT_OK);
        assert_true(cx->clock.own_steps == (s % 7 >= 5 ? 20 : 50));
    }
    assert_true(cx->clock.own_step == 6); /* step 8 is the seventh of the first update */
    dlrt_free(cx);
}

static void test_view(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    float a[TOY_B], b[TOY_B], w[3] = { 1, 2, 3 }, cache[2] = { 5, 6 };
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, 3), *view, *second;
    assert_int_equal(dlrt_write(cx, "cache", cache, 2), DLRT_OK);
    assert_int_equal(dlrt_view(cx, NULL, 0, &view), DLRT_OK);
    assert_int_equal(dlrt_view(view, NULL, 0, &second), DLRT_OK);
    assert_int_equal(dlrt_call_entry(cx, E_PREDICT, 8, fields_of(&data, f), (void *[]){ a }),
                     DLRT_OK);
    assert_int_equal(dlrt_call_entry(second, E_PREDICT, 8, f, (void *[]){ b }), DLRT_OK);
    assert_memory_equal(a, b, 32);
    assert_int_equal(dlrt_step(view, 8, f, NULL), DLRT_E_ARG);
    assert_int_equal(dlrt_write(view, "w", w, 3), DLRT_E_ARG);
    assert_int_equal(dlrt_write(cx, "w", w, 3), DLRT_OK);
    memset(w, 0, sizeof w);
    assert_int_equal(dlrt_read(view, "w", w, 3), DLRT_OK);
    assert_true(w[2] == 3);
    cache[0] = 7;
    assert_int_equal(dlrt_write(view, "cache", cache, 2), DLRT_OK);
    assert_int_equal(dlrt_read(second, "cache", cache, 2), DLRT_OK);
    assert_true(cache[0] == 5 && cache[1] == 6);
    _Alignas(64) static char mem[VIEW_BYTES];
    DlrtContext *placed;
    assert_int_equal(dlrt_view(cx, mem, VIEW_BYTES - 1, &placed), DLRT_E_SIZE);
    assert_int_equal(dlrt_view(cx, mem, VIEW_BYTES, &placed), DLRT_OK);
    dlrt_free(view);
    dlrt_free(second);
    dlrt_free(cx);
}

typedef struct {
    DlrtContext *view;
    const void *const *f;
    const float *expected;
    bool same;
} Server;

static void *serve(void *arg)
{
    Server *s = arg;
    float out[TOY_B];
    s->same = true;
    for (int i = 0; i < 10000; i++) {
        if (dlrt_call_entry(s->view, E_PREDICT, 8, s->f, (void *[]){ out }) ||
            memcmp(out, s->expected, 32))
            s->same = false;
    }
    return NULL;
}

static void test_concurrent_views(void **state)
{
    (void)state;
    enum { SERVERS = 8 };
    ToyData data;
    const void *f[3];
    float expected[TOY_B];
    Server servers[SERVERS];
    pthread_t threads[SERVERS];
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, 3);
    dlrt_set_threads(cx, 1, NULL, NULL);
    assert_int_equal(dlrt_call_entry(cx, E_PREDICT, 8, fields_of(&data, f), (void *[]){ expected }),
                     DLRT_OK);
    for (int i = 0; i < SERVERS; i++) {
        servers[i] = (Server){ .f = f, .expected = expected };
        assert_int_equal(dlrt_view(cx, NULL, 0, &servers[i].view), DLRT_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, serve, &servers[i]), 0);
    }
    for (int i = 0; i < SERVERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(servers[i].same);
        dlrt_free(servers[i].view);
    }
    dlrt_free(cx);
}

/* The child of a process whose OpenMP pool is warm must not wait for threads that it has not. */
static void test_fork(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    toy_data(&data);
    DlrtContext *cx = toy_new(&toy_model, 3), *same = toy_new(&toy_model, 3);
    dlrt_set_threads(cx, 3, NULL, NULL);
    dlrt_set_threads(same, 3, NULL, NULL);
    assert_int_equal(dlrt_train(cx, TOY_N, fields_of(&data, f), 20, NULL), DLRT_OK);
    assert_int_equal(dlrt_train(same, TOY_N, f, 30, NULL), DLRT_OK);
    pid_t child = fork();
    if (child == 0) {
        alarm(20); /* a hang becomes a signal */
        DlrtContext *fresh;
        bool ok = dlrt_train(cx, TOY_N, f, 10, NULL) == DLRT_OK &&
                  memcmp((char *)cx + VIEW_BYTES, (char *)same + VIEW_BYTES,
                         CONTEXT_BYTES - VIEW_BYTES) == 0 &&
                  dlrt_init(&toy_model, TOY_ABI, NULL, 0, 3, &fresh) == DLRT_OK &&
                  dlrt_set_threads(fresh, 3, NULL, NULL) == DLRT_OK &&
                  dlrt_train(fresh, TOY_N, f, 30, NULL) == DLRT_OK &&
                  memcmp((char *)fresh + VIEW_BYTES, (char *)same + VIEW_BYTES,
                         CONTEXT_BYTES - VIEW_BYTES) == 0;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    dlrt_free(cx);
    dlrt_free(same);
}

typedef struct {
    int calls, stop_at;
    uint32_t items[32];
} Watch;

static int watch(void *user, const DlrtContext *cx, const DlrtEntry *entry, uint32_t item,
                 int64_t B, void *const *bufs)
{
    Watch *w = user;
    (void)cx, (void)B;
    assert_non_null(bufs[0]);
    assert_true(item < entry->item_count);
    w->items[w->calls++ % 32] = item;
    return w->calls == w->stop_at ? DLRT_E_NAN : 0;
}

static void test_observer(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    toy_data(&data);
    for (int threads = 1; threads <= 3; threads++) {
        DlrtContext *cx = toy_new(&toy_model, 3), *plain = toy_new(&toy_model, 3);
        Watch w = { 0 };
        dlrt_set_threads(cx, threads, NULL, NULL);
        dlrt_observe(cx, watch, &w);
        assert_int_equal(dlrt_step(cx, 9, fields_of(&data, f), NULL), DLRT_OK);
        assert_int_equal(dlrt_step(plain, 9, f, NULL), DLRT_OK);
        assert_same_state(cx, plain);
        assert_int_equal(w.calls, 4);
        assert_int_equal(w.items[0], 0);
        assert_int_equal(w.items[2], 3);
        w = (Watch){ .stop_at = 2 };
        assert_int_equal(dlrt_step(cx, 9, f, NULL), DLRT_E_NAN);
        assert_same_state(cx, plain);
        assert_int_equal(w.calls, 2);
        dlrt_free(cx);
        dlrt_free(plain);
    }
}

#if defined(__x86_64__)
/* A caller that flushes subnormals gets the same bits, and its control word back. */
static void test_control_word(void **state)
{
    (void)state;
    ToyData data;
    const void *f[3];
    float a[TOY_B], b[TOY_B];
    toy_data(&data);
    for (int i = 0; i < TOY_N; i++)
        for (int d = 0; d < TOY_D; d++)
            data.x[i][d] *= 1e-38f;
    memset(data.t, 0, sizeof data.t);
    DlrtContext *cx = toy_new(&toy_model, 3);
    float zero[TOY_K] = { 0 };
    assert_int_equal(dlrt_write(cx, "k.table", zero, TOY_K), DLRT_OK);
    assert_int_equal(dlrt_call_entry(cx, E_PREDICT, 16, fields_of(&data, f), (void *[]){ a }),
                     DLRT_OK);
    _mm_setcsr(0x9fc0 | 0x6000); /* flush, denormals are zero, round toward zero */
    for (int n = 1; n <= 3; n++) {
        dlrt_set_threads(cx, n, NULL, NULL);
        int rc = dlrt_call_entry(cx, E_PREDICT, 16, f, (void *[]){ b });
        unsigned word = _mm_getcsr() & ~0x3fu;
        assert_int_equal(word, 0xffc0);
        assert_int_equal(rc, DLRT_OK);
        assert_memory_equal(a, b, sizeof a);
    }
    _mm_setcsr(0x1f80);
    bool subnormal = false;
    for (int i = 0; i < TOY_B; i++)
        subnormal |= fpclassify(a[i]) == FP_SUBNORMAL;
    assert_true(subnormal);
    /* So do conversions. */
    uint16_t tiny = 1; /* bf16: subnormal */
    float w[3] = { 0 };
    assert_int_equal(dlrt_write_raw(cx, "half", (uint16_t[]){ tiny, 2, 3 }, 6), DLRT_OK);
    _mm_setcsr(0x9fc0);
    int rc = dlrt_read(cx, "half", w, 3);
    _mm_setcsr(0x1f80);
    assert_int_equal(rc, DLRT_OK);
    assert_true(w[0] == 0x1p-133f);
    dlrt_free(cx);
}
#endif

static void test_tensors(void **state)
{
    (void)state;
    size_t rank, dims[8];
    float packed[15], half[3] = { 1.00390625f, -3, 1e30f };
    uint16_t raw[3];
    const char *name = toy_tensors[2].name;
    DlrtContext *cx = toy_new(&toy_model, 3);
    assert_string_equal(dlrt_name(&toy_model, 0), "w");
    assert_null(dlrt_name(&toy_model, TOY_TENSORS));
    assert_int_equal(dlrt_shape(&toy_model, name, &rank, dims), DLRT_OK);
    assert_int_equal(rank, 2);
    assert_int_equal(dims[1], 5);
    assert_int_equal(dlrt_shape(&toy_model, "nothing", &rank, dims), DLRT_E_NAME);
    assert_int_equal(dlrt_read(cx, name, packed, 15), DLRT_OK);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++)
            assert_true(packed[i * 5 + j] == (float)(j / 2 * 6 + i * 2 + j % 2));
    for (int i = 0; i < 15; i++)
        packed[i] = (float)(100 + i);
    assert_int_equal(dlrt_write(cx, name, packed, 15), DLRT_OK);
    assert_true(((float *)((char *)cx + AT_PACKED))[4 / 2 * 6 + 1 * 2 + 4 % 2] == 109);
    assert_true(((float *)((char *)cx + AT_PACKED))[13] == 13); /* padding untouched */
    assert_int_equal(dlrt_write(cx, "half", half, 3), DLRT_OK);
    assert_int_equal(dlrt_read(cx, "half", half, 3), DLRT_OK);
    assert_true(half[0] == 1.0f && half[1] == -3); /* a tie goes to even */
    assert_int_equal(dlrt_read_raw(cx, "half", raw, 6), DLRT_OK);
    assert_int_equal(raw[0], 0x3f80);
    assert_int_equal(dlrt_write_raw(cx, "half", raw, 5), DLRT_E_SIZE);
    dlrt_free(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verified), cmocka_unit_test(test_init),
        cmocka_unit_test(test_learns), cmocka_unit_test(test_train_is_steps),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_control),
        cmocka_unit_test(test_tiny), cmocka_unit_test(test_bad_arguments),
        cmocka_unit_test(test_guards), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_updates_take_turns), cmocka_unit_test(test_view),
        cmocka_unit_test(test_concurrent_views), cmocka_unit_test(test_fork),
        cmocka_unit_test(test_observer),
#if defined(__x86_64__)
        cmocka_unit_test(test_control_word),
#endif
        cmocka_unit_test(test_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
