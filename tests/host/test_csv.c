/* Delimited text: quoting, headers, columns, labels, missing cells, numbers; and what is refused.
 */
#include "tests/host/host_test.h"

#include <locale.h>
#include <math.h>

static bool parse(const char *text, const HostCsvOptions *o, HostData *d, HostError *e)
{
    return host_csv_parse("t.csv", text, strlen(text), o, d, e);
}

static const HostField *field(const HostData *d, const char *name)
{
    int i = host_table_find(&d->tables[0], name);
    assert_true(i >= 0);
    return &d->tables[0].fields[i];
}

static const HostColumns xy[] = { { .field = "x", .range = true, .begin = 0, .end = 2 },
                                  { .field = "y", .begin = 2 } };
static const HostCsvOptions with_xy = { .columns = xy, .column_count = 2 };

/* Parses `text` with x = cols(0..2), y = col(2), which must fail so. */
static void refuse(const char *text, const char *code, const char *part)
{
    HostData d;
    HostError e;
    if (parse(text, &with_xy, &d, &e))
        fail_msg("accepted: %s", text);
    expect_error(&e, code, part);
}

static void reads_columns(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    assert_true(parse("1,2.5,7\n3,-4e1,8\n", &with_xy, &d, &e));
    const HostField *x = field(&d, "x"), *y = field(&d, "y");
    assert_int_equal(d.tables[0].count, 2);
    assert_int_equal(x->dtype, DLRT_F64);
    assert_int_equal(x->rank, 1);
    assert_int_equal(x->dims[0], 2);
    const double want[] = { 1, 2.5, 3, -40 };
    assert_memory_equal(x->data, want, sizeof want);
    assert_int_equal(y->dtype, DLRT_I64);
    assert_int_equal(y->rank, 0);
    assert_int_equal(((int64_t *)y->data)[1], 8);
    host_data_free(&d);

    static const HostColumns last[] = { { .field = "x", .range = true, .begin = 1,
                                          .end = HOST_TO_LAST },
                                        { .field = "y", .begin = -1 },
                                        { .field = "z", .range = true, .begin = 0, .end = -1 } };
    HostCsvOptions o = { .columns = last, .column_count = 3, .delimiter = ';' };
    assert_true(parse("\xef\xbb\xbf" "1;2;3\r\n\r\n 4 ;5;6", &o, &d, &e));
    const int64_t x2[] = { 2, 3, 5, 6 }, z2[] = { 1, 2, 4, 5 };
    assert_memory_equal(field(&d, "x")->data, x2, sizeof x2);
    assert_memory_equal(field(&d, "z")->data, z2, sizeof z2);
    assert_int_equal(((int64_t *)field(&d, "y")->data)[1], 6);
    host_data_free(&d);
}

static void reads_header_and_names(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    static const char text[] =
        "len,\"wid, mm\",kind\n1,2,oak\n3,4,ash\n5,6,oak\n7,8,\"elm \"\"x\"\"\"\n";
    assert_true(parse(text, NULL, &d, &e));
    assert_int_equal(d.tables[0].field_count, 3);
    assert_int_equal(((int64_t *)field(&d, "wid, mm")->data)[3], 8);
    const HostField *kind = field(&d, "kind");
    assert_int_equal(kind->dtype, DLRT_I32);
    assert_int_equal(kind->class_count, 3);
    assert_string_equal(kind->class_names[0], "ash");
    assert_string_equal(kind->class_names[1], "elm \"x\"");
    assert_string_equal(kind->class_names[2], "oak");
    const int32_t want[] = { 2, 0, 2, 1 };
    assert_memory_equal(kind->data, want, sizeof want);
    host_data_free(&d);

    static const HostColumns named[] = {
        { .field = "x", .range = true, .column = "len", .column_last = "wid, mm" },
        { .field = "y", .column = "kind" },
    };
    static const char *const classes[] = { "oak", "elm \"x\"", "ash", "fir" };
    HostCsvOptions o = { .columns = named, .column_count = 2, .classes = classes,
                         .class_count = 4 };
    assert_true(parse(text, &o, &d, &e));
    const int32_t given[] = { 0, 2, 0, 1 };
    assert_memory_equal(field(&d, "y")->data, given, sizeof given);
    assert_int_equal(field(&d, "y")->class_count, 4);
    assert_int_equal(field(&d, "x")->dims[0], 2);
    host_data_free(&d);
    o.class_count = 2;
    assert_false(parse(text, &o, &d, &e));
    expect_error(&e, "E0610", "`ash`");
    static const HostColumns absent[] = { { .field = "x", .column = "height" } };
    o = (HostCsvOptions){ .columns = absent, .column_count = 1 };
    assert_false(parse(text, &o, &d, &e));
    expect_error(&e, "E0607", "it has len, wid, mm, kind");
}

static void detects_headers(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    assert_true(parse("a,b\nc,d\n", NULL, &d, &e)); /* all text: rows */
    assert_int_equal(d.tables[0].count, 2);
    host_data_free(&d);
    HostCsvOptions o = { .header = HOST_HEADER_YES };
    assert_true(parse("1,2\n3,4\n", &o, &d, &e));
    assert_int_equal(d.tables[0].count, 1);
    assert_int_equal(*(int64_t *)field(&d, "1")->data, 3);
    host_data_free(&d);
    o.header = HOST_HEADER_NO;
    assert_false(parse("a,b\n3,4\n", &o, &d, &e) && field(&d, "c0")->dtype != DLRT_I32);
    host_data_free(&d);
    assert_false(parse("a,b\n", &(HostCsvOptions){ .header = HOST_HEADER_YES }, &d, &e));
    expect_error(&e, "E0608", "below its header");
}

static void reads_count_lines(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    assert_true(parse("3,2,no,yes\n1,2,0\n3,4,1\n5,6,1\n", &with_xy, &d, &e));
    assert_int_equal(d.tables[0].count, 3);
    assert_int_equal(field(&d, "y")->class_count, 2);
    assert_string_equal(field(&d, "y")->class_names[1], "yes");
    host_data_free(&d);
    assert_true(parse("2,2,\na,b,c\n1,2,0\n3,4,1\n", &with_xy, &d, &e));
    assert_int_equal(d.tables[0].count, 2);
    assert_int_equal(field(&d, "y")->class_count, 0);
    host_data_free(&d);
    refuse("3,2,no,yes\n1,2,0\n3,4,1\n", "E0607", "counts 3 rows, but 2 follow");
    refuse("2,2,no,yes\n1,2,0\n3,4,2\n", "E0610", "label 2");
    /* Counts that are wrong, or one class only: rows like any other. */
    assert_true(parse("5,2,a\n1,2,b\n", &with_xy, &d, &e));
    assert_int_equal(d.tables[0].count, 2);
    host_data_free(&d);
    assert_true(parse("1,2,a\n1,2,b\n", &with_xy, &d, &e));
    assert_int_equal(d.tables[0].count, 2);
    host_data_free(&d);
}

static void treats_missing_cells(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    HostCsvOptions o = with_xy;
    static const char text[] = "1,2,3\n4,,6\n7,NA,9\n";
    refuse(text, "E0606", "t.csv:2: col(1): the value is missing");
    refuse("a,b,c\n1,2,3\n4,5,nan\n", "E0606", "t.csv:3: col(2) `c`: the value is missing");
    o.missing = HOST_MISSING_NAN;
    assert_true(parse(text, &o, &d, &e));
    assert_int_equal(field(&d, "x")->dtype, DLRT_F64);
    assert_true(isnan(((double *)field(&d, "x")->data)[3]));
    assert_true(((double *)field(&d, "x")->data)[4] == 7);
    assert_int_equal(field(&d, "y")->dtype, DLRT_I64);
    host_data_free(&d);
    /* A label is never NaN, though a number before it in the row may be. */
    assert_false(parse(",2,\n3,4,a\n", &o, &d, &e));
    expect_error(&e, "E0606", "t.csv:1: col(2): the label is missing");
    o.missing = HOST_MISSING_DROP;
    assert_true(parse(text, &o, &d, &e));
    assert_int_equal(d.tables[0].count, 1);
    assert_int_equal(field(&d, "x")->dtype, DLRT_I64);
    host_data_free(&d);
    assert_false(parse("1,2,\n", &o, &d, &e));
    expect_error(&e, "E0608", "every row");
    /* A label is missing only when it is empty: NA is a country. */
    assert_true(parse("1,2,NA\n1,2,FR\n", &with_xy, &d, &e));
    assert_string_equal(field(&d, "y")->class_names[1], "NA");
    host_data_free(&d);
    refuse("1,2,FR\n1,2,\n", "E0606", "the label is missing");
}

static void refuses_bad_text(void **state)
{
    (void)state;
    refuse("", "E0608", "no rows");
    refuse("\n\r\n\n", "E0608", "no rows");
    refuse("1,2,3\n4,5\n", "E0607", "t.csv:2: 2 cells, but line 1 has 3");
    refuse("1,2,3\n\n4,5,6,7\n", "E0607", "t.csv:3");
    refuse("1,2\n", "E0607", "columns 0..2, but field `y` wants 2..3");
    refuse("1,2,3\n4,five,6\n", "E0605", "t.csv:2: col(1): text `five`");
    refuse("1,2,3\n4,0x10,6\n", "E0605", "`0x10`");
    refuse("1,2,3\n4,1e,6\n", "E0605", "`1e`");
    refuse("1,2,3\n4,1 2,6\n", "E0605", "`1 2`");
    refuse("1,2,3\n4,inf,6\n", "E0605", "`inf`");
    refuse("1,2,3\n4,1e999,6\n", "E0610", "larger than any f64");
    refuse("a,2,3\n4,5,6\n", "E0605", "takes several columns");
    refuse("1,2,3\n1,2,\"open\n\n", "E0603", "t.csv:2: a quote is never closed");
    refuse("1,2,3\n1,2,\"a\"b\n", "E0603", "t.csv:2: text after a closing quote");
    HostData d;
    HostError e;
    assert_false(host_csv_parse("t.csv", "1,2\0,3\n", 7, NULL, &d, &e));
    expect_error(&e, "E0603", "byte 3 is NUL");
    assert_false(parse("1,2\n", &(HostCsvOptions){ .delimiter = '"' }, &d, &e));
    expect_error(&e, "E0612", "cannot separate");
    assert_false(parse("a,a\n1,2\n", NULL, &d, &e));
    expect_error(&e, "E0612", "two definitions of field `a`");
    /* What a message quotes from the data stays on one line. */
    refuse("1,2,3\n4,\"x\ny\",6\n", "E0605", "`x?y`");
}

static void quotes(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    /* Doubled quotes in several cells of one row, more each time, so that the scratch has to
     * move. */
    char text[4000], *p = text;
    for (int row = 1; row < 20; row++) {
        p += sprintf(p, "\"a\"\"%d\",\"", row);
        for (int i = 0; i < row * 4; i++)
            p += sprintf(p, "\"\"");
        p += sprintf(p, "\",\"%d\"\"b\"\"\"\n", row);
    }
    assert_true(parse(text, NULL, &d, &e));
    for (int k = 0; k < 3; k++) {
        const HostField *f = &d.tables[0].fields[k];
        assert_int_equal(f->class_count, 19);
        for (int row = 1; row < 20; row++) {
            char want[100];
            if (k == 1)
                memset(want, '"', sizeof want), want[row * 4] = 0;
            else
                snprintf(want, sizeof want, k ? "%d\"b\"" : "a\"%d", row);
            assert_string_equal(f->class_names[((int32_t *)f->data)[row - 1]], want);
        }
    }
    host_data_free(&d);
    /* Line breaks inside quotes count as lines; numbers may be quoted. */
    assert_false(parse("\"a\nb\",\"1\"\nc,\"2\"\nd,x\n", NULL, &d, &e));
    expect_error(&e, "E0605", "t.csv:4");
}

static void parses_numbers_like_strtod(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "0.1", "1e22", "1e23", "123456789012345678", "1234567890123456789012", "4.9e-324", ".5",
        "5.", "+7.25", "-0.0", "0.30000000000000004", "9007199254740993.0", "1e-400", "00012.5",
        "2.2250738585072011e-308", "179769313486231570000000000000000000000e270", "1E+05", "1e-05",
        "0.000000000000000000000000000000000000000000000000000000000000000012345678901234567890",
        "8.5e1", "72057594037927945.0", "123456789.123456789123456789",
    };
    HostData d;
    HostError e;
    setlocale(LC_ALL, "de_DE.UTF-8");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s\n0.5\n", texts[i]);
        assert_true(parse(text, NULL, &d, &e));
        setlocale(LC_ALL, "C");
        double want = strtod(texts[i], NULL), have = *(double *)field(&d, "c0")->data;
        if (memcmp(&want, &have, sizeof want))
            fail_msg("%s: %.17g, not %.17g", texts[i], have, want);
        host_data_free(&d);
    }
    /* 2,000 random decimals, against the C library */
    uint64_t s = 1;
    for (int i = 0; i < 2000; i++) {
        char text[100], number[64];
        s = s * 6364136223846793005u + 1442695040888963407u;
        snprintf(number, sizeof number, "%s%.*fe%d", s >> 63 ? "-" : "", (int)(s >> 20 & 15),
                 (double)(s >> 30) / 1e5, (int)(s >> 8 & 63) - 32);
        snprintf(text, sizeof text, "%s\n", number);
        assert_true(parse(text, NULL, &d, &e));
        double want = strtod(number, NULL), have = host_field_value(field(&d, "c0"), 0);
        if (want != have)
            fail_msg("%s: %.17g, not %.17g", number, have, want);
        host_data_free(&d);
    }
}

/* Whatever is cut off or changed: an answer, not a crash. */
static void survives_damage(void **state)
{
    (void)state;
    static const char text[] = "3,2,\"n\"\"o\",yes\n1,2.5e3,0\n3,\"4\",1\n-5,6,1\r\n";
    HostData d;
    HostError e;
    for (size_t n = 0; n < sizeof text; n++) {
        char copy[sizeof text] = { 0 };
        memcpy(copy, text, n);
        if (host_csv_parse("t", copy, n, &with_xy, &d, &e))
            host_data_free(&d);
    }
    static const char bytes[] = "\",\n\r\0e.-9x";
    int accepted = 0;
    for (size_t at = 0; at < sizeof text - 1; at++)
        for (size_t k = 0; k < sizeof bytes - 1; k++) {
            char copy[sizeof text];
            memcpy(copy, text, sizeof text);
            copy[at] = bytes[k];
            if (host_csv_parse("t", copy, sizeof text - 1, &with_xy, &d, &e)) {
                accepted++;
                host_data_free(&d);
            } else {
                assert_true(e.code[0] == 'E' && e.text[0]);
            }
        }
    assert_true(accepted > 0);
}

static void reads_files(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    assert_true(host_csv_read(write_file("a.tsv", "1\t2\n3\t4\n", 8), NULL, &d, &e));
    assert_int_equal(d.tables[0].field_count, 2);
    host_data_free(&d);
    assert_true(host_csv_read(write_gzip("a.csv.gz", "1,2\n3,4\n", 8), NULL, &d, &e));
    assert_int_equal(((int64_t *)field(&d, "c1")->data)[1], 4);
    host_data_free(&d);
    assert_false(host_csv_read(in_folder("none.csv"), NULL, &d, &e));
    expect_error(&e, "E0601", "none.csv");
    assert_false(host_csv_read(folder, NULL, &d, &e));
    expect_error(&e, "E0602", "a folder");
}

static void reads_iris(void **state)
{
    (void)state;
    HostData d;
    HostError e;
    char path[256];
    if (!host_find("iris", NULL, path, sizeof path, &e))
        skip();
    static const HostColumns columns[] = { { .field = "x", .range = true, .begin = 0, .end = 4 },
                                           { .field = "y", .begin = 4 } };
    HostCsvOptions o = { .columns = columns, .column_count = 2 };
    assert_true(host_csv_read(path, &o, &d, &e));
    assert_int_equal(d.tables[0].count, 150);
    const HostField *x = field(&d, "x"), *y = field(&d, "y");
    assert_true(((double *)x->data)[0] == 5.1 && ((double *)x->data)[599] == 1.8);
    assert_int_equal(y->class_count, 3);
    assert_string_equal(y->class_names[((int64_t *)y->data)[149]], "virginica");
    host_data_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_columns),
        cmocka_unit_test(reads_header_and_names),
        cmocka_unit_test(detects_headers),
        cmocka_unit_test(reads_count_lines),
        cmocka_unit_test(treats_missing_cells),
        cmocka_unit_test(refuses_bad_text),
        cmocka_unit_test(quotes),
        cmocka_unit_test(parses_numbers_like_strtod),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test_setup_teardown(reads_files, make_folder, drop_folder),
        cmocka_unit_test(reads_iris),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
