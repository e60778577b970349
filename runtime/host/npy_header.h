/* npy_header.h: what npz shares with npy: the bytes before the values. */
#ifndef DLCC_RUNTIME_HOST_NPY_HEADER_H
#define DLCC_RUNTIME_HOST_NPY_HEADER_H
#include "runtime/host/files.h"
#include "runtime/host/internal.h"

enum { NPY_HEADER_MAX = 512 };
/* The version 1 header of an array, padded to a multiple of 64, and the bytes of its values. */
bool host_npy_header(const char *origin, const HostNpy *array, char out[NPY_HEADER_MAX],
                     size_t *out_size, int64_t *out_bytes, HostError *out_error);

#endif
