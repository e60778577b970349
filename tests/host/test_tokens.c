/* Text: tokens, vocabularies, windows and lanes, and back to text. */
#include "tests/host/host_test.h"

#include "runtime/host/text.h"

static void open_text(const char *text, HostTokenKind kind, bool lower, HostData *d)
{
    HostError e;
    if (!host_text_string(text, d, &e) || !host_tokenize(d, kind, lower, &e))
        fail_msg("%s", e.text);
}

static const int32_t *tok(const HostData *d)
{
    return d->tables[0].fields[0].data;
}

/* The stream as its provisional names, each in brackets. */
static void expect_tokens(const char *text, HostTokenKind kind, bool lower, const char *want)
{
    HostData d;
    char have[500] = "";
    open_text(text, kind, lower, &d);
    for (int64_t i = 0; i < d.tables[0].count; i++) {
        strcat(have, "[");
        strcat(have, d.tables[0].fields[0].class_names[tok(&d)[i]]);
        strcat(have, "]");
    }
    assert_string_equal(have, want);
    host_data_free(&d);
}

static void tokens(void **state)
{
    (void)state;
    expect_tokens("ab\xc3\xa9" "b\n", HOST_CHARS, false, "[a][b][\xc3\xa9][b][\n]");
    expect_tokens("\xef\xbb\xbf" "a\r\nb\rc", HOST_CHARS, false, "[a][\n][b][\r][c]");
    expect_tokens("a\xff\xc3(\xed\xa0\x80", HOST_CHARS, false,
                  "[a][\xef\xbf\xbd][\xef\xbf\xbd][(][\xef\xbf\xbd][\xef\xbf\xbd][\xef\xbf\xbd]");
    expect_tokens("The man's 2 hats,\n\tTHE end.--", HOST_WORDS, true,
                  "[the][man's][2][hats][,][the][end][.][-][-]");
    expect_tokens("\xc3\x89tude \xf0\x9f\x98\x80!", HOST_WORDS, true,
                  "[\xc3\x89tude][\xf0\x9f\x98\x80][!]");
    HostData d;
    HostError e;
    assert_false(host_text_string("", &d, &e));
    expect_error(&e, "E0608", "empty");
    assert_false(host_text_read(write_file("nul", "a\0b", 3), &d, &e));
    expect_error(&e, "E0603", "byte 1 is NUL");
    assert_true(host_text_read(write_gzip("t.gz", "a\r\nb", 4), &d, &e));
    assert_int_equal(d.tables[0].count, 3);
    host_data_free(&d);
    assert_true(host_rows(3, &d, &e));
    assert_false(host_tokenize(&d, HOST_CHARS, false, &e));
    expect_error(&e, "E0612", "no text");
    host_data_free(&d);
}

static void vocabularies(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    HostVocabulary v;
    open_text("b a c b a b z z z z z", HOST_WORDS, false, &d);
    HostSplit s = { .count = 1, .fractions = { 6. / 11 } }; /* train: b a c b a b */
    assert_true(host_split(&d, &s, &e));
    assert_true(host_vocabulary_fit(&d, HOST_WORDS, false, 3, &v, &e));
    assert_int_equal(v.count, 3);
    assert_string_equal(v.names[1], "b");
    assert_string_equal(v.names[2], "a");
    static const int32_t want[] = { 1, 2, 0, 1, 2, 1, 0, 0, 0, 0, 0 };
    assert_memory_equal(tok(&d), want, sizeof want);
    host_data_free(&d);

    int32_t *ids;
    int64_t n;
    assert_true(host_encode(&v, "a b q a", &ids, &n, &e));
    static const int32_t code[] = { 2, 1, 0, 2 };
    assert_int_equal(n, 4);
    assert_memory_equal(ids, code, sizeof code);
    char *text = host_decode(&v, ids, n);
    assert_string_equal(text, "a b \xef\xbf\xbd a");
    free(text);
    free(ids);
    open_text("a q b", HOST_WORDS, false, &d);
    assert_true(host_vocabulary_apply(&d, &v, &e));
    static const int32_t applied[] = { 2, 0, 1 };
    assert_memory_equal(tok(&d), applied, sizeof applied);
    host_data_free(&d);
    host_vocabulary_free(&v);

    /* Equal counts: byte order; unseen tokens have no number even when there is room. */
    open_text("dcbad", HOST_CHARS, false, &d);
    s.fractions[0] = 0.8;
    assert_true(host_split(&d, &s, &e));
    assert_true(host_vocabulary_fit(&d, HOST_CHARS, false, 96, &v, &e));
    assert_int_equal(v.count, 5);
    assert_string_equal(v.names[1], "a");
    assert_string_equal(v.names[4], "d");
    host_vocabulary_free(&v);
    assert_false(host_vocabulary_fit(&d, HOST_CHARS, false, 1, &v, &e));
    expect_error(&e, "E0612", "vocabulary of 1");
    host_data_free(&d);
}

static void saves_vocabularies(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    HostVocabulary v, w;
    open_text("a\\n\\\n\r\rb \xc3\xa9", HOST_CHARS, true, &d);
    assert_true(host_vocabulary_fit(&d, HOST_CHARS, true, 96, &v, &e));
    char *text = host_vocabulary_save(&v);
    assert_true(host_vocabulary_load(text, &w, &e));
    assert_int_equal(w.kind, HOST_CHARS);
    assert_true(w.lower);
    assert_int_equal(w.count, v.count);
    for (int i = 0; i < v.count; i++)
        assert_string_equal(w.names[i], v.names[i]);
    host_vocabulary_free(&w);
    for (size_t n = strlen(text); n-- > 0;) { /* cut anywhere: an answer */
        text[n] = 0;
        if (host_vocabulary_load(text, &w, &e))
            host_vocabulary_free(&w);
        else
            expect_error(&e, "E0603", "damaged");
    }
    free(text);
    assert_false(host_vocabulary_load("runes\na\n", &w, &e));
    assert_false(host_vocabulary_load("chars\na\n\n", &w, &e));
    host_vocabulary_free(&v);
    host_data_free(&d);
}

static void windows(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    open_text("An apple a day keeps the doctor away", HOST_WORDS, false, &d);
    assert_true(host_windows(&d, 7, 1, &e));
    const HostTable *t = host_data_part(&d, "all")->table;
    assert_int_equal(t->count, 1);
    assert_string_equal(t->fields[1].name, "next");
    for (int i = 0; i < 7; i++) {
        assert_int_equal(((int32_t *)t->fields[0].data)[i], i);
        assert_int_equal(((int32_t *)t->fields[1].data)[i], i + 1);
    }
    assert_string_equal(t->fields[1].class_names[7], "away");
    host_data_free(&d);
    open_text("An apple a day keeps the doctor away", HOST_WORDS, false, &d);
    assert_false(host_windows(&d, 8, 1, &e));
    expect_error(&e, "E0608", "all has 8 tokens");
    assert_false(host_windows(&d, 0, 1, &e));
    expect_error(&e, "E0612", "windows(0");
    assert_false(host_windows(&d, INT64_MAX, 3, &e));
    expect_error(&e, "E0609", "too long");
    host_data_free(&d);
}

/* Batches of `lanes` rows in order: in each lane, token for token, without a gap. */
static void lanes_go_on(void **state)
{
    (void)state;
    enum { N = 1000, T = 7, L = 4 };
    char text[N + 1];
    for (int i = 0; i < N; i++)
        text[i] = (char)('a' + i * i % 26);
    text[N] = 0;
    HostData d;
    HostError e;
    open_text(text, HOST_CHARS, false, &d);
    int32_t *stream = malloc(N * sizeof *stream);
    memcpy(stream, tok(&d), N * sizeof *stream);
    HostSplit s = { .count = 1, .fractions = { 0.8 } };
    assert_true(host_split(&d, &s, &e));
    assert_true(host_windows(&d, T, L, &e));
    const HostView *train = host_data_part(&d, "train");
    int64_t pieces = 799 / (T * L);
    assert_int_equal(train->count, pieces * L);
    const int32_t *x = train->table->fields[0].data, *y = train->table->fields[1].data;
    for (int64_t l = 0; l < L; l++)
        for (int64_t i = 0; i < pieces * T; i++) {
            int64_t at = (i / T * L + l) * T + i % T;
            assert_int_equal(x[at], stream[l * pieces * T + i]);
            assert_int_equal(y[at], stream[l * pieces * T + i + 1]);
        }
    const HostView *test = host_data_part(&d, "test");
    assert_int_equal(*(int32_t *)test->table->fields[0].data, stream[800]);
    free(stream);
    host_data_free(&d);
    open_text(text, HOST_CHARS, false, &d);
    s.seeded = true;
    assert_true(host_split(&d, &s, &e));
    assert_false(host_windows(&d, T, 1, &e));
    expect_error(&e, "E0611", "seed");
    host_data_free(&d);
}

/* Splitting before and after making tokens gives the same when the cut is between words. */
static void splits_first(void **state)
{
    (void)state;
    HostData a, b;
    HostError e;
    HostSplit s = { .count = 1, .fractions = { 0.5 } };
    assert_true(host_text_string("one two\nsix ten.", &a, &e));
    assert_true(host_split(&a, &s, &e));
    assert_true(host_tokenize(&a, HOST_WORDS, false, &e));
    assert_int_equal(host_data_part(&a, "train")->count, 2);
    assert_int_equal(host_data_part(&a, "test")->begin, 2);
    assert_int_equal(host_data_part(&a, "test")->count, 3);
    open_text("one two\nsix ten.", HOST_WORDS, false, &b);
    assert_memory_equal(tok(&a), tok(&b), 5 * sizeof(int32_t));
    host_data_free(&a);
    host_data_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tokens, make_folder, drop_folder),
        cmocka_unit_test(vocabularies),
        cmocka_unit_test(saves_vocabularies),
        cmocka_unit_test(windows),
        cmocka_unit_test(lanes_go_on),
        cmocka_unit_test(splits_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
