/* files.h: arrays and images in files: npy 1-3, npz (zip, stored or deflated), PNG.
 *
 * Readers take hostile files: every size in a header is checked against the bytes that are there
 * before memory is asked for, and decompression stops at the size announced. Writers go through a
 * temporary file and rename. */
#ifndef DLCC_RUNTIME_HOST_FILES_H
#define DLCC_RUNTIME_HOST_FILES_H
#include "runtime/host/host.h"

/* One array, row-major. f16 and bf16 are their 16 bits; bf16 is written as numpy's '<V2' (numpy
 * has no bf16) and '<V2' reads as bf16. */
typedef struct {
    char *name; /* from malloc; NULL for a lone npy */
    DlrtDtype dtype;
    int rank;
    int64_t dims[HOST_MAX_RANK];
    void *data; /* from malloc; never NULL */
} HostNpy;
void host_npy_free(HostNpy *array);
/* Elements; fits by construction for what a reader gave. */
int64_t host_npy_elements(const HostNpy *array);

/* Little and big endian, C and Fortran order (converted). Object, string, complex and structured
 * dtypes are E0613. */
bool host_npy_read(const char *path, HostNpy *out_array, HostError *out_error);
bool host_npy_parse(const char *origin, const void *bytes, size_t size, HostNpy *out_array,
                    HostError *out_error);
bool host_npy_write(const char *path, const HostNpy *array, HostError *out_error);

/* All .npy members in the order of the archive, names without ".npy". Encrypted, multi-disk and
 * unknown methods are E0613. */
bool host_npz_read(const char *path, HostNpy **out_arrays, int *out_count, HostError *out_error);
void host_npz_free(HostNpy *arrays, int count);
/* Stored, or deflated when `compress`. Dates are zero, so that equal arrays give equal bytes.
 * Zip64 where sizes need it. */
bool host_npz_write(const char *path, const HostNpy *arrays, int count, bool compress,
                    HostError *out_error);

/* A PNG as u8: [H, W] when `channels` is 1, else [H, W, channels] with 3 (RGB) or 4 (RGBA); 0
 * takes what the file has (palettes as RGB, 16 bits as 8). Gray becomes RGB by repetition; colour
 * does not become gray: E0604. `height`, `width` > 0 must match: E0604, as nothing is resized. At
 * most 2^28 pixels. E0613 in a build without libpng. */
bool host_png_read(const char *path, int64_t height, int64_t width, int channels,
                   HostNpy *out_image, HostError *out_error);
/* u8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]. */
bool host_png_write(const char *path, const HostNpy *image, HostError *out_error);

/* The whole file, gunzipped if it is a gzip file, with a NUL after its end. From malloc. Fails
 * beyond `limit` bytes (0: the memory of the machine). */
bool host_file_read(const char *path, size_t limit, char **out_bytes, size_t *out_size,
                    HostError *out_error);
/* The first `size` bytes of what host_file_read would give, or all, if there are fewer. */
bool host_file_head(const char *path, void *out_bytes, size_t size, size_t *out_size,
                    HostError *out_error);
/* Writes to `path.tmp-PID` and renames, so that a full disk leaves the old file. */
bool host_file_write(const char *path, const void *bytes, size_t size, HostError *out_error);

#endif
