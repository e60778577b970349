/* said.h: expressions of the library's functions on fixed inputs, with the numbers that they must
 * give. */
#ifndef DLCC_TESTS_SAID_H
#define DLCC_TESTS_SAID_H
#include "tests/frontend/elab_help.h"

/* The inputs: x = [[0, 1, 2], [3, 4, 5]], i = [[2, 0], [-1, 1]], n = -7 .. 7 by 2. */
static const char *const frame =
    "model M { export fn f(x: f32[2, 3], i: i64[2, 2], n: i32[8], v: f32) { %s } }\n";
static const double x6[] = { 0, 1, 2, 3, 4, 5 }, i4[] = { 2, 0, -1, 1 },
                    n8[] = { -7, -5, -3, -1, 1, 3, 5, 7 }, v1[] = { 9 };

typedef struct {
    const char *text;
    uint32_t rank;
    int64_t dims[4];
    double want[24];
} Said;

static inline void expect_said(const Said *s, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        char text[512];
        snprintf(text, sizeof text, frame, s[k].text);
        Model m = model_load(text, NULL);
        Value in[] = { model_input(&m, "f", 0, 1, x6), model_input(&m, "f", 1, 1, i4),
                       model_input(&m, "f", 2, 1, n8), model_input(&m, "f", 3, 1, v1) };
        Value *out = model_run(&m, "f", in, 1, NULL);
        bool fits = out->rank == s[k].rank;
        for (uint32_t d = 0; fits && d < out->rank; d++)
            fits = out->dim[d] == s[k].dims[d];
        if (!fits)
            fail_msg("%s: another shape", s[k].text);
        for (int64_t j = 0; j < out->count; j++) {
            double got = dtype_is_float(out->dtype) ? out->f[j] : (double)out->i[j];
            if (!(fabs(got - s[k].want[j]) <= 2e-6))
                fail_msg("%s: element %d is %.9g, not %.9g", s[k].text, (int)j, got, s[k].want[j]);
        }
        model_free(&m);
    }
}
/* The expressions are refused with the code, and nothing else happens. */
static inline void expect_refused(const char *const *exprs, size_t n, DiagCode code)
{
    for (size_t k = 0; k < n; k++) {
        char text[512];
        Compiler *cx = compiler_new();
        snprintf(text, sizeof text, frame, exprs[k]);
        if (frontend_load_text(cx, "test.dl", text, strlen(text), NULL))
            fail_msg("%s is accepted", exprs[k]);
        if (cx->diags.n != 1 || cx->diags.at[0].code != code)
            fail_msg("%s: %s", exprs[k], cx->diags.n ? cx->diags.at[0].message : "no message");
        compiler_free(cx);
    }
}

#define EXPECT(list) expect_said(list, sizeof list / sizeof *list)
#endif
