/* map_window.h: the numbers of convolutions and poolings. */
#ifndef DLCC_FRONTEND_ONNX_MAP_WINDOW_H
#define DLCC_FRONTEND_ONNX_MAP_WINDOW_H
#include "frontend/onnx/map.h"

typedef struct {
    uint32_t n; /* spatial axes */
    int64_t window[MAX_RANK], stride[MAX_RANK], dilation[MAX_RANK], low[MAX_RANK], high[MAX_RANK];
    int64_t space[MAX_RANK];
} Window;

bool window_read(OnnxNode *q, const Shape *x, const int64_t *window, Window *out_w);

#endif
