/* export.h: one entry of a Unit as an ONNX file (IR version 8, opset 17), for inference.
 *
 *   graph, walked down: what each node's saying needs --> walked up: ONNX nodes --> file
 *
 * Parameters and states become initializers of their names, B becomes the symbolic dim "B", nodes
 * are named after the layers that they come from.
 *
 *   export.c        the two walks, inputs and outputs    export.def  how each op is said
 *   export_node.c   nodes, constants, names              export_shape.c  types and shapes
 *   export_math.c, export_move.c, export_index.c, export_reduce.c, export_contract.c,
 *   export_quant.c  the ops                              export_write.c  the file */
#ifndef DLCC_FRONTEND_ONNX_EXPORT_H
#define DLCC_FRONTEND_ONNX_EXPORT_H
#include "ir/unit.h"

enum { ONNX_OPSET = 17, ONNX_IR_VERSION = 8 };

typedef struct {
    const char *entry;           /* an entry of the Unit, without `grad` nodes and updates */
    const void *const *elements; /* by tensor of the Unit, row-major: of those it reads */
    const char *path;            /* of the file to write */
    const char *source;          /* what the model is made from, for its description, or NULL */
    uint64_t max_bytes; /* a larger file keeps its tensors beside it, in PATH.data; 0: what the
                           format allows, 2 GiB */
} OnnxExport;

/* Writes the file, whole or not at all. False: diagnostics are recorded: an E0741 for each thing
 * that ONNX cannot say, or E0811 when the file cannot be written. */
bool onnx_export(Unit *u, const OnnxExport *o);

#endif
