/* onnx.h: what the elaborator knows of ONNX: a file becomes the text of a model. */
#ifndef DLCC_FRONTEND_ONNX_ONNX_H
#define DLCC_FRONTEND_ONNX_ONNX_H
#include "frontend/elab.h"

typedef struct OnnxWeights OnnxWeights;

/* What of a file is wanted: up to the value or node `until` (NULL: whole), with these dims. */
typedef struct OnnxPart {
    const char *until;
    LocId loc; /* of until, or of the dims */
    VEC(FrontendSetting) dims;
} OnnxPart;

/* The model in the file at `path`, or the part of it (NULL: the whole), as text of one .dl `model`.
 * NULL: reported. The weights are those of the `param` and `state` lines. */
const char *onnx_import(Elab *e, const char *path, const OnnxPart *part,
                        OnnxWeights **out_weights);

/* The elements of the tensor that the text calls `name` (after `as`), and their dtype; NULL: none.
 * They live as long as the Compiler. */
const void *onnx_weight(const OnnxWeights *w, const char *name, Dtype *out_dtype);

#endif
