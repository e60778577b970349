/* inputs.h: arrays for the inputs and outputs of an entry. */
#ifndef DLCC_DRIVER_INPUTS_H
#define DLCC_DRIVER_INPUTS_H
#include "driver/engine.h"

/* Elements of a value at batch B, and bytes. False when they do not fit 2^62. */
bool value_bytes(const DlrtValue *v, int64_t B, int64_t *out_elements, int64_t *out_bytes);
/* Fills an array: floats uniform in [-1, 1), integers in [0, bound), or in all of u8, or else 0
 * and 1. A function of the seed and the place alone. */
void value_random(const DlrtValue *v, int64_t elements, uint64_t seed, void *out);
/* "f32[B, 28, 28]", in the arena. */
const char *value_text(Engine *e, const DlrtValue *v);
/* The export that is meant: of --entries, or the only one. DLRT_NONE: a diagnostic is recorded. */
uint32_t export_chosen(Engine *e);

#endif
