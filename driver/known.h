/* known.h: arrays given with -i, before the model is built: an ONNX model takes dims, and values
 * that decide a shape, from them. */
#ifndef DLCC_DRIVER_KNOWN_H
#define DLCC_DRIVER_KNOWN_H
#include "driver/engine.h"

/* FrontendOptions.known, with an Engine as its user. */
bool known_value(void *engine, const char *input, FrontendValue *out_value);

#endif
