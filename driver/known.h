/* known.h: arrays given with -i, before the model is built: an ONNX model takes dims, and values
 * that decide a shape, from them. */
#ifndef DLCC_DRIVER_KNOWN_H
#define DLCC_DRIVER_KNOWN_H
#include "driver/engine.h"

/* FrontendOptions.known and .inputs, with an Engine as their user. */
bool known_value(void *engine, const char *input, FrontendValue *out_value);
bool known_inputs(void *engine, const char *const *names, uint32_t n);

#endif
