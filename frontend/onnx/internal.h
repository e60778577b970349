/* internal.h: what the files of the reader share. */
#ifndef DLCC_FRONTEND_ONNX_INTERNAL_H
#define DLCC_FRONTEND_ONNX_INTERNAL_H
#include "frontend/onnx/file.h"
#include "frontend/onnx/pool.h"

typedef struct {
    const uint8_t *bytes;
    size_t size;
} OnnxBytes;

/* A file that tensors lie in, mapped once. */
typedef struct {
    const char *location; /* as the model names it */
    OnnxBytes map;
} OnnxExternal;

/* A tensor whose elements were converted, by where it lies in the file. */
typedef struct {
    uint64_t at; /* file_at + 1; 0: free */
    const void *data;
} OnnxConverted;

struct OnnxFile {
    Compiler *cx;
    LocId loc;
    uint32_t failures;  /* after DIAG_MAX_ERRORS nothing more is recorded */
    const char *path;
    OnnxBytes bytes;
    bool mapped;        /* by us */
    int folder;         /* of the model; -1: none, or not opened yet */
    Pool pool;
    const Onnx__ModelProto *model;
    VEC(OnnxExternal) external;
    OnnxConverted *converted; /* open addressing, converted_cap a power of two */
    uint32_t n_converted, converted_cap;
};

/* Records the diagnostic at the file; returns false. */
bool onnx_fail(OnnxFile *f, DiagCode code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* E0706: the pool is full. Returns false. */
bool onnx_fail_memory(OnnxFile *f);

/* The bytes of a tensor with data_location EXTERNAL, of which `size` are wanted. */
bool onnx_external(OnnxFile *f, const Onnx__TensorProto *t, const char *what, size_t size,
                   const uint8_t **out_bytes);

/* Maps an open regular file, which may be empty. The descriptor stays open. NULL, or why not. */
const char *onnx_map(int fd, OnnxBytes *out_bytes);
void onnx_unmap(OnnxBytes bytes);

#endif
