/* map.h: the mappings of ops.def, and what several of them share. */
#ifndef DLCC_FRONTEND_ONNX_MAP_H
#define DLCC_FRONTEND_ONNX_MAP_H
#include "frontend/onnx/import.h"

#define TEXT(op, since, text)
#define MOVE(op, since, text)
#define MAP(op, since, name) OnnxMap map_##name;
#define FORM(op, since, name) OnnxMap map_##name;
#include "frontend/onnx/ops.def"
#undef TEXT
#undef MOVE
#undef MAP
#undef FORM

#endif
