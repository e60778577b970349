/* compare.h: two arrays under the rule of the standard ONNX tests. */
#ifndef DLCC_TESTS_ONNX_COMPARE_H
#define DLCC_TESTS_ONNX_COMPARE_H
#include "runtime/plan.h"

#include <stdbool.h>

/* A dense row-major array; the data may be NULL where it has no elements. */
typedef struct {
    const char *name;
    DlrtDtype dtype;
    int rank;
    int64_t dims[DLRT_MAX_RANK];
    const void *data;
} Array;

enum { COMPARE_TEXT = 300 };

/* "f32[2, 3]" */
void array_text(const Array *a, char out[COMPARE_TEXT]);
/* Product of the extents; -1 when it overflows. */
int64_t array_elements(const Array *a);
/* Whether `have` is `want`: the same dtype and shape, and for each element |have - want| <= 1e-7 +
 * 1e-3 * |want|, NaN only with NaN, an infinity only with itself. Else the first difference, in
 * words. */
bool array_equal(const Array *have, const Array *want, char out_difference[COMPARE_TEXT]);

#endif
