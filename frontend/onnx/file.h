/* file.h: an ONNX file: its model as a tree of messages, and its tensors on demand.
 *
 * The file comes from a stranger. It is mapped, a scan of our own (wire.h) checks it against its
 * own size and bounds, and protobuf-c sees what is left without the elements of tensors, which stay
 * in the mapped file: in a message of the model, raw_data, float_data and the like are always
 * empty, and onnx_tensor is the way to them. Peak memory is at most 64 MiB + 4x the file. Pointers
 * given out live as long as the Compiler. The model is read-only; names in it are never NULL.
 *
 * Every failure is a diagnostic E07xx; names from the file must pass onnx_escape before they are
 * printed. */
#ifndef DLCC_FRONTEND_ONNX_FILE_H
#define DLCC_FRONTEND_ONNX_FILE_H
#include "frontend/onnx/onnx.pb-c.h"
#include "ir/graph.h"

typedef struct OnnxFile OnnxFile;

/* Elements in row-major order, at any address: memcpy is the way to them. Those of a bool are 0 or
 * 1. A tensor without elements has count 0 and data that is not NULL. */
typedef struct {
    Dtype dtype;
    uint32_t rank;
    int64_t dim[MAX_RANK];
    int64_t count;
    const void *data;
    size_t bytes;
} OnnxTensor;

/* Opens the model at `path`, registered as a source of cx. Sure on success: the IR version is one
 * that we know, there is a graph, and from IR version 3 on at least one opset_import. NULL:
 * reported. */
OnnxFile *onnx_open(Compiler *cx, const char *path);

/* The same for bytes in memory, which must outlive cx; `name` stands for the path in messages.
 * Tensors with external data are refused. */
OnnxFile *onnx_open_memory(Compiler *cx, const char *name, const void *bytes, size_t size);

const Onnx__ModelProto *onnx_model(const OnnxFile *f);

/* The file as a whole, for diagnostics. */
LocId onnx_loc(const OnnxFile *f);

/* The elements of a tensor of f's model, in whatever way they are stored: they point into the
 * mapped file where that has them byte for byte, else they are converted, once. False: reported,
 * naming the tensor as `what` ("initializer `w`", escaped); after 20 failures of one file nothing
 * more is tried or reported. Tensors of strings are refused as unsupported. */
bool onnx_tensor(OnnxFile *f, const Onnx__TensorProto *t, const char *what, OnnxTensor *out_t);

/* Reads a file that is one TensorProto, as in the data sets of the standard tests (.pb). */
bool onnx_read_tensor_file(Compiler *cx, const char *path, OnnxTensor *out_t);

/* Gives back the memory that the mapped files of cx take, when their weights have been copied:
 * pages that are read again come from the files again. */
void onnx_drop_pages(Compiler *cx);

/* The dtype of an element type of ONNX (TensorProto.DataType). False: we have none for it. */
bool onnx_dtype(int32_t data_type, Dtype *out_dtype);
/* "float16", "string"; "#99" for a number that ONNX does not have. */
const char *onnx_type_name(Arena *a, int32_t data_type);

/* For messages: control characters and bytes that are not UTF-8 are written `\x1b`, and what is
 * longer than 80 characters is shortened in the middle. A text without any of this is returned as
 * it is. NULL gives "". */
const char *onnx_escape(Arena *a, const char *s);

#endif
