/* Numbers for people, the progress line, events, the lock. */
#include "tests/host/host_test.h"

#include "runtime/host/progress.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

static void numbers(void **state)
{
    (void)state;
    char s[HOST_NUMBER_SIZE];
#define IS(call, want) assert_string_equal(call, want)
    IS(host_format_count(s, 0), "0");
    IS(host_format_count(s, 999), "999");
    IS(host_format_count(s, 61706), "61,706");
    IS(host_format_count(s, -1234567), "-1,234,567");
    IS(host_format_count(s, INT64_MIN), "-9,223,372,036,854,775,808");
    IS(host_format_rate(s, 812), "812");
    IS(host_format_rate(s, 0.34), "0.3");
    IS(host_format_rate(s, 61234), "61k");
    IS(host_format_rate(s, 999.6), "1.0k");
    IS(host_format_rate(s, 1.44e6), "1.4M");
    IS(host_format_rate(s, INFINITY), "?");
    IS(host_format_bytes(s, 512), "512 B");
    IS(host_format_bytes(s, 2834432), "2.7 MiB");
    IS(host_format_bytes(s, 331 * 1024), "331 KiB");
    IS(host_format_bytes(s, INT64_MAX), "8.0 EiB");
    IS(host_format_duration(s, 0.084), "84 ms");
    IS(host_format_duration(s, 0.0004), "0.4 ms");
    IS(host_format_duration(s, 0.9999), "1.0 s");
    IS(host_format_duration(s, 1.44), "1.4 s");
    IS(host_format_duration(s, 59.4), "59 s");
    IS(host_format_duration(s, 59.6), "1:00");
    IS(host_format_duration(s, 125), "2:05");
    IS(host_format_duration(s, 11400), "3:10:00");
    IS(host_format_duration(s, NAN), "?");
    IS(host_format_value(s, 0.3412), "0.341");
    IS(host_format_value(s, 0.99996), "1.00");
    IS(host_format_value(s, 2.302585), "2.30");
    IS(host_format_value(s, 1234.5), "1234");
    IS(host_format_value(s, 23600), "2.36e4");
    IS(host_format_value(s, 0.0014), "1.4e-3");
    IS(host_format_value(s, 0.001), "1e-3");
    IS(host_format_value(s, -1e-300), "-1e-300");
    IS(host_format_value(s, 0), "0");
    IS(host_format_value(s, NAN), "nan");
    IS(host_format_value(s, -INFINITY), "-inf");
}

static HostStatus lenet(void)
{
    return (HostStatus){ .epoch = 2, .step = 1461, .steps = 2811, .steps_left = -1, .loss = 0.341,
                         .loss_average = 0.362, .lr = 1.4e-3, .items_per_step = 64,
                         .flop_per_step = 145e6, .unit = "img" };
}

static void line(void **state)
{
    (void)state;
    char s[512];
    HostStatus st = lenet();
    host_progress_text(&st, 953, true, 0, s, sizeof s);
    assert_string_equal(s,
                        "epoch 2  [#######--------]  1461/2811  loss 0.341 (avg 0.362)  lr 1.4e-3  "
                           "61k img/s  138 GFLOP/s  ETA 1.4 s");
    st.metric = "accuracy";
    st.metric_value = 0.8691;
    st.metric_percent = true;
    host_progress_text(&st, 953, false, 0, s, sizeof s);
    assert_non_null(strstr(s, "loss 0.341 (avg 0.362)  accuracy 86.9 %  lr 1.4e-3"));
    /* Narrower and narrower: never over, and place and loss stay to the last. */
    for (int columns = 200; columns > 0; columns--) {
        host_progress_text(&st, 953, true, columns, s, sizeof s);
        assert_true(strlen(s) <= (size_t)columns);
        if (columns > 45)
            assert_non_null(strstr(s, "1461/2811  loss 0.341"));
    }
    st = (HostStatus){ .step = 7, .steps_left = -1, .loss = NAN, .loss_average = NAN, .lr = NAN };
    host_progress_text(&st, 0, true, 0, s, sizeof s);
    assert_string_equal(s, "step 7  loss nan");
    st.steps = INT64_MAX;
    st.step = INT64_MIN;
    st.flop_per_step = 1e300;
    st.metric = "a name much longer than any line that one would want to look at in a terminal";
    host_progress_text(&st, 1e300, true, 0, s, sizeof s);
    assert_true(strlen(s) < sizeof s);
    char tiny[8];
    host_progress_text(&st, 1e300, true, 0, tiny, sizeof tiny);
    assert_true(strlen(tiny) < sizeof tiny);
}

static size_t lines_in(FILE *f, char *text, size_t size)
{
    size_t lines = 0, n = (fflush(f), rewind(f), fread(text, 1, size - 1, f));
    text[n] = 0;
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    return lines;
}

static void plain_pace(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    char text[8000];
    HostProgress p;
    HostStatus st = lenet();
    st.epoch = 0;
    host_progress_start(&p, f, false, 100);
    assert_false(p.terminal);
    /* 10 steps a second for 35 s: a line at 10, 20 and 30 s */
    for (int i = 1; i <= 350; i++) {
        st.step = i;
        if (host_progress_due(&p, 100 + 0.1 * i + 1e-6))
            host_progress_update(&p, &st, 100 + 0.1 * i + 1e-6);
    }
    host_progress_say(&p, "epoch %d", 1);
    assert_int_equal(lines_in(f, text, sizeof text), 4);
    assert_non_null(strstr(text, "100/2811"));
    assert_non_null(strstr(text, "300/2811"));
    assert_non_null(strstr(text, "640 img/s"));
    assert_non_null(strstr(text, "ETA 4:11"));
    assert_null(strchr(text, '\r'));
    fclose(f);
}

static void terminal_pace(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    char text[8000];
    HostProgress p;
    HostStatus st = lenet();
    host_progress_start(&p, f, false, 0);
    p.terminal = true;
    p.columns = 80;
    for (int i = 1; i <= 1000; i++)
        if (host_progress_due(&p, 0.001 * i))
            host_progress_update(&p, &st, 0.001 * i);
    host_progress_say(&p, "done");
    lines_in(f, text, sizeof text);
    int drawn = 0;
    for (char *s = text; (s = strchr(s, '\r')); s++)
        drawn++;
    assert_in_range(drawn, 9, 11); /* ten drawings at most and one erasure */
    assert_non_null(strstr(text, "\r\033[Kdone\n"));
    fclose(f);
    f = tmpfile();
    host_progress_start(&p, f, true, 0);
    assert_false(host_progress_due(&p, 1000));
    host_progress_say(&p, "done");
    lines_in(f, text, sizeof text);
    assert_string_equal(text, "");
    fclose(f);
}

static void events(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    char text[4000];
    assert_true(host_event_step(f, 12, 1, 0.1f, 1e-3f, 0.1));
    assert_true(host_event_step(f, 13, 1, 0.1f, NAN, 0.1));
    assert_true(host_event_metric(f, 12, 1, "accuracy", 1. / 3));
    assert_true(host_event_save(f, 12, 1, "a \"b\"\\\n\x01\xff\xc3\xa9\xed\xa0\x80.st"));
    assert_true(host_event_diagnostic(f, "E0907", "error", NULL));
    assert_true(host_event_stop(f, INT64_MAX, INT64_MIN, "done", 0));
    HostEvent e;
    host_event_begin(&e, f, "start");
    host_event_float(&e, "nan", NAN);
    host_event_double(&e, "inf", -INFINITY);
    host_event_bool(&e, "jit", true);
    assert_true(host_event_end(&e));
    lines_in(f, text, sizeof text);
    assert_string_equal(
        text,
        "{\"v\":1,\"event\":\"step\",\"step\":12,\"epoch\":1,\"loss\":0.100000001,"
        "\"lr\":0.00100000005,\"seconds\":0.10000000000000001}\n"
        "{\"v\":1,\"event\":\"step\",\"step\":13,\"epoch\":1,\"loss\":0.100000001,"
        "\"lr\":null,\"seconds\":0.10000000000000001}\n"
        "{\"v\":1,\"event\":\"metric\",\"step\":12,\"epoch\":1,\"name\":\"accuracy\","
        "\"value\":0.33333333333333331}\n"
        "{\"v\":1,\"event\":\"save\",\"step\":12,\"epoch\":1,\"path\":\"a \\\"b\\\""
        "\\\\\\u000a\\u0001\\ufffd\xc3\xa9\\ufffd\\ufffd\\ufffd.st\"}\n"
        "{\"v\":1,\"event\":\"diagnostic\",\"code\":\"E0907\",\"severity\":\"error\","
        "\"message\":null}\n"
        "{\"v\":1,\"event\":\"end\",\"step\":9223372036854775807,\"epoch\":-9223372036854775808,"
        "\"reason\":\"done\",\"exit\":0}\n"
        "{\"v\":1,\"event\":\"start\",\"nan\":\"nan\",\"inf\":\"-inf\",\"jit\":true}\n");
    fclose(f);
    if (!access("/dev/full", W_OK)) {
        f = fopen("/dev/full", "w");
        assert_false(host_event_save(f, 1, 1, "x"));
        fclose(f);
    }
}

static void locks(void **state)
{
    (void)state;
    HostLock a, b;
    HostError e;
    char pid[40];
    assert_true(host_lock_take(folder, &a, &e));
    assert_false(host_lock_take(folder, &b, &e));
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    expect_error(&e, "E0901", pid);
    host_lock_release(&b);
    host_lock_release(&a);
    assert_int_equal(access(in_folder(".dlrun.lock"), F_OK), -1);
    assert_true(host_lock_take(folder, &a, &e));
    host_lock_release(&a);
    assert_false(host_lock_take("/nonexistent", &a, &e));
    expect_error(&e, "E0902", "/nonexistent");
    assert_int_equal(a.fd, -1);
    host_lock_release(&a);
}

/* A holder that is killed leaves its file, and nobody minds. */
static void outlives_the_dead(void **state)
{
    (void)state;
    int pipe_ends[2], status;
    char byte;
    HostLock a;
    HostError e;
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (!child) {
        if (host_lock_take(folder, &a, &e) && write(pipe_ends[1], "x", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    assert_int_equal(read(pipe_ends[0], &byte, 1), 1);
    assert_false(host_lock_take(folder, &a, &e));
    expect_error(&e, "E0901", "training");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_int_equal(access(in_folder(".dlrun.lock"), F_OK), 0);
    assert_true(host_lock_take(folder, &a, &e));
    host_lock_release(&a);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

/* Many at once: never two holders. Each child holds the lock and a file that only one may create.
 */
static void excludes(void **state)
{
    (void)state;
    enum { CHILDREN = 4, ROUNDS = 200 };
    for (int c = 0; c < CHILDREN; c++)
        if (!fork()) {
            for (int i = 0; i < ROUNDS;) {
                HostLock a;
                HostError e;
                char path[600];
                if (!host_lock_take(folder, &a, &e))
                    continue;
                snprintf(path, sizeof path, "%s/only", folder);
                FILE *f = fopen(path, "wx");
                if (!f)
                    _exit(1);
                fclose(f);
                unlink(path);
                host_lock_release(&a);
                i++;
            }
            _exit(0);
        }
    for (int c = 0; c < CHILDREN; c++) {
        int status;
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(line),
        cmocka_unit_test(plain_pace),
        cmocka_unit_test(terminal_pace),
        cmocka_unit_test(events),
        cmocka_unit_test_setup_teardown(locks, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(outlives_the_dead, make_folder, drop_folder),
        cmocka_unit_test_setup_teardown(excludes, make_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
