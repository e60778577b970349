/* case.h: one published test: a folder with model.onnx and test_data_set_K/{input,output}_J.pb. */
#ifndef DLCC_TESTS_ONNX_CASE_H
#define DLCC_TESTS_ONNX_CASE_H
#include <stdbool.h>

typedef enum {
    CASE_PASS,
    CASE_FAIL,        /* other numbers, or an error that is no refusal */
    CASE_UNSUPPORTED, /* refused with exit code 4, or its data have no type of ours */
    CASE_CRASH,       /* ended by a signal */
    CASE_SLOW,        /* more than CASE_SECONDS of the processor */
    CASE_STATUS_COUNT
} CaseStatus;

#ifdef __SANITIZE_ADDRESS__ /* slow, and its shadow is larger than any bound */
enum { CASE_SECONDS = 20, CASE_MEGABYTES = 0 };
#else
enum { CASE_SECONDS = 2, CASE_MEGABYTES = 4096 };
#endif

/* Of a fixed size: it lies in memory shared with the process of the test. */
typedef struct {
    CaseStatus status;
    double seconds;
    char op[64];       /* the op that the test is about, "-" when its model has several */
    char reason[64];   /* unsupported: one word: the op, or what kind of thing it is */
    char message[700]; /* what went wrong, one line */
} CaseResult;

const char *case_status_name(CaseStatus s);
bool case_status_parse(const char *name, CaseStatus *out_status);

/* Runs the test in this process. `out_result` is written as things become known, so that a caller
 * sees how far a test came that never returned. */
void case_run(const char *folder, CaseResult *out_result);

#endif
