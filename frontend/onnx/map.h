/* map.h: the mappings of ops.def, and what several of them share. */
#ifndef DLCC_FRONTEND_ONNX_MAP_H
#define DLCC_FRONTEND_ONNX_MAP_H
#include "frontend/onnx/import.h"

#define TEXT(op, since, text)
#define MOVE(op, since, text)
#define MAP(op, since, name) OnnxMap map_##name;
#define MIXED(op, since, name) OnnxMap map_##name;
#define FORM(op, since, name) OnnxMap map_##name;
#include "frontend/onnx/ops.def"
#undef TEXT
#undef MOVE
#undef MAP
#undef MIXED
#undef FORM

/* reshape(x, dims of `to`) as an output. False for x NULL. */
bool onnx_reshape_to(OnnxNode *q, uint32_t output, const char *x, const Shape *to);
/* Input 0 so as output 0, where rows may have to change places: see import_rows.c. */
bool onnx_reshape_rows(OnnxNode *q, const Shape *to);
/* Input 1 beside input 0 in arithmetic, as the opset broadcasts it; NULL: as for node_arg. */
const char *onnx_operand(OnnxNode *q);
/* An operand of a product, and the product as output 0: any integers. NULL: as for node_arg. */
const char *onnx_factor(OnnxNode *q, uint32_t input);
bool onnx_let_product(OnnxNode *q, const char *text);
/* x cut along axes: x[a..b, :]. */
const char *onnx_slice(OnnxNode *q, const char *x, const Shape *s, uint32_t axis, int64_t begin,
                       int64_t end);
const char *onnx_slices(OnnxNode *q, const char *x, const Shape *s, const int64_t *begin,
                        const int64_t *end, const int64_t *step);
/* What an operator of this name says of its inputs; NULL: reported. */
const char *onnx_conv_text(OnnxNode *q);
const char *onnx_gemm_text(OnnxNode *q);
const char *onnx_average_pool_text(OnnxNode *q, const char *x);

#endif
