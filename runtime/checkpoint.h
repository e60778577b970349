/* checkpoint.h: what saving and loading agree about.
 *
 * A WEIGHTS file has parameters and model states; a STATE file has all tensors, and in its metadata
 * what else a run needs to go on with the same bits: the clock, the number of calls, the place in
 * the data, as words of 16 hexadecimal digits under "dlcc.run". */
#ifndef DLCC_RUNTIME_CHECKPOINT_H
#define DLCC_RUNTIME_CHECKPOINT_H
#include "runtime/core.h"
#include "runtime/safetensors.h"

/* The words of DlrtClock, then calls, data_epoch, data_cursor. A space follows each but the
 * last. */
enum {
    DLRT_CLOCK_WORDS = sizeof(DlrtClock) / 8,
    DLRT_RUN_WORDS = DLRT_CLOCK_WORDS + 3,
    DLRT_WORD_CHARS = 17
};
static_assert(sizeof(DlrtClock) == 8 * DLRT_CLOCK_WORDS, "all words of 8 bytes");

/* Whether a tensor belongs into that kind of file. */
bool dlrt_is_in_file(const DlrtTensor *t, int what);

/* DLRT_E_ARG if `what` is no kind of file, or `target` is NULL. */
int dlrt_check_file(const DlrtContext *cx, int what, const void *target);

#endif
