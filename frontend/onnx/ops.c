/* ops.c: the table of operators, from ops.def. */
#include "frontend/onnx/map.h"

const OnnxRow onnx_rows[] = {
#define TEXT(op, since, text) { op, since, text, NULL, ROW_WIDE },
#define MOVE(op, since, text) { op, since, text, NULL, 0 },
#define MAP(op, since, name) { op, since, NULL, map_##name, ROW_WIDE },
#define MIXED(op, since, name) { op, since, NULL, map_##name, ROW_WIDE | ROW_MIXED },
#define FORM(op, since, name) { op, since, NULL, map_##name, 0 },
#include "frontend/onnx/ops.def"
#undef TEXT
#undef MOVE
#undef MAP
#undef MIXED
#undef FORM
};
const uint32_t onnx_row_count = sizeof onnx_rows / sizeof *onnx_rows;
