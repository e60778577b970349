/* onnx.h: what the elaborator knows of ONNX: a file becomes the text of a model. */
#ifndef DLCC_FRONTEND_ONNX_ONNX_H
#define DLCC_FRONTEND_ONNX_ONNX_H
#include "frontend/elab.h"

typedef struct OnnxWeights OnnxWeights;

/* The model in the file at `path`, as text of one .dl `model`, up to the value or node `until`,
 * which stands at loc (NULL: whole). NULL: reported. The weights are those of the `param` and
 * `state` lines. */
const char *onnx_import(Elab *e, const char *path, const char *until, LocId loc,
                        OnnxWeights **out_weights);

/* The elements of the tensor that the text calls `name` (after `as`), and their dtype; NULL: none.
 * They live as long as the Compiler. */
const void *onnx_weight(const OnnxWeights *w, const char *name, Dtype *out_dtype);

#endif
