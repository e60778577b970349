/* export_write.h: an ONNX model in memory to a file. */
#ifndef DLCC_FRONTEND_ONNX_EXPORT_WRITE_H
#define DLCC_FRONTEND_ONNX_EXPORT_WRITE_H
#include "frontend/onnx/export.h"
#include "frontend/onnx/onnx.pb-c.h"

/* Writes the model to o->path, and tensors to o->path.data where it would be larger than
 * o->max_bytes; the model is changed then. Both appear whole or not at all. False: E0811. */
bool export_write(Compiler *cx, Onnx__ModelProto *m, const OnnxExport *o);

#endif
