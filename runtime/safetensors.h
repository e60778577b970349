/* safetensors.h: reading and writing the safetensors format.
 *
 *     u64 header size, little-endian | JSON header | data
 *
 * The header maps each name to dtype, shape and its range of the data; "__metadata__" maps
 * strings to strings. Files written here carry checksums there: "dlcc.sum.NAME" (XXH64 of the
 * tensor's bytes) and, always first, "dlcc.header" (XXH64 of size and header, with its own 16
 * digits taken as zeros). So a change of any single byte is found. Files by others have none,
 * and are taken as they are if their structure is right. */
#ifndef DLCC_RUNTIME_SAFETENSORS_H
#define DLCC_RUNTIME_SAFETENSORS_H
#include "runtime/dlrt.h"

typedef struct {
    const char *name;
    int dtype; /* DlrtDtype */
    int rank;
    int64_t dims[DLRT_MAX_RANK];
    uint64_t begin, end; /* in the file */
    uint64_t sum;
    bool has_sum;
} DlrtSafeTensor;

/* A file whose header was read and found right. */
typedef struct DlrtSafeFile DlrtSafeFile;

/* DLRT_E_IO, DLRT_E_FORMAT or DLRT_E_NOMEM with words in `message`. Checks everything but the
 * checksums of the tensors. `io` and what it refers to must outlive the file. */
int dlrt_safe_open(const DlrtIo *io, char *message, size_t size, DlrtSafeFile **out_file);
int dlrt_safe_open_path(const char *path, char *message, size_t size, DlrtSafeFile **out_file);
void dlrt_safe_close(DlrtSafeFile *f);

/* Tensors sorted by name; NULL past the end, or if there is none of that name. */
const DlrtSafeTensor *dlrt_safe_tensor(const DlrtSafeFile *f, size_t i);
size_t dlrt_safe_count(const DlrtSafeFile *f);
const DlrtSafeTensor *dlrt_safe_find(const DlrtSafeFile *f, const char *name);
/* The metadata string, or NULL. */
const char *dlrt_safe_meta(const DlrtSafeFile *f, const char *key);
/* Metadata number i, sorted by key; NULL past the end. */
const DlrtPair *dlrt_safe_pair(const DlrtSafeFile *f, size_t i);
/* Whether the file has checksums. */
bool dlrt_safe_has_sums(const DlrtSafeFile *f);

/* Reads all bytes of a tensor and compares the checksum, if there is one. `out` NULL: only that. */
int dlrt_safe_read(const DlrtSafeFile *f, const DlrtSafeTensor *t, void *out, char *message,
                   size_t size);

/* ---- Writing ---- */

/* What is to be written: tensor i of `count` as described, and its elements [first, first + n) in
 * row-major order: either where they lie or copied to `room` (DLRT_SAFE_ROOM bytes). */
typedef struct {
    void *user;
    size_t count;
    void (*describe)(void *user, size_t i, DlrtSafeTensor *out);
    const void *(*fetch)(void *user, size_t i, int64_t first, int64_t n, void *room);
    const DlrtPair *pairs; /* metadata */
    size_t pair_count;
} DlrtSafeSource;
enum { DLRT_SAFE_ROOM = 1 << 18 };

int dlrt_safe_write(const DlrtIo *io, const DlrtSafeSource *source, char *message, size_t size);

/* ---- file.c: whole files, replaced at once ---- */

/* Calls write(arg, io) to fill a new file, which then takes the place of `path`; the old one is
 * kept as `path`.prev. If anything fails, `path` is what it was. */
int dlrt_replace_file(const char *path, int (*write)(void *arg, const DlrtIo *io), void *arg,
                      char *message, size_t size);

/* Files to read from: io->user is owned by the caller, who ends with dlrt_close_read. */
int dlrt_open_read(const char *path, DlrtIo *out_io, char *message, size_t size);
void dlrt_close_read(DlrtIo *io);

#endif
