/* file.c: opens an ONNX file: maps it, has it scanned (wire.c) and parsed by protobuf-c, and checks
 * what every use relies on. */
#include "frontend/onnx/file.h"

#include "frontend/onnx/internal.h"
#include "frontend/onnx/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NEWEST_IR = 13, NEWEST_OPSET = 27 };

/* Peak memory is at most 64 MiB + 4x the file: the map is 1x, and 8 MiB are the program's. */
static size_t pool_limit(size_t file_size)
{
    return ((size_t)56 << 20) + 3 * file_size;
}

bool onnx_fail(OnnxFile *f, DiagCode code, const char *format, ...)
{
    va_list args;
    if (f->failures++ >= DIAG_MAX_ERRORS)
        return false;
    va_start(args, format);
    const char *message = arena_vprintf(f->cx->arena, format, args);
    va_end(args);
    diag_report(f->cx, code, f->loc, "%s", message);
    return false;
}

bool onnx_fail_memory(OnnxFile *f)
{
    return onnx_fail(f, DIAG_E0706, "to read this file takes more than %zu MiB",
                     f->pool.limit >> 20);
}

/* ---- the file ---- */

const char *onnx_map(int fd, OnnxBytes *out_bytes)
{
    struct stat st;
    *out_bytes = (OnnxBytes){ (const uint8_t *)"", 0 };
    if (fstat(fd, &st))
        return strerror(errno);
    if (S_ISDIR(st.st_mode))
        return "it is a folder";
    if (!S_ISREG(st.st_mode))
        return "it is not a regular file";
    if (!st.st_size)
        return NULL;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (at == MAP_FAILED)
        return strerror(errno);
    *out_bytes = (OnnxBytes){ at, (size_t)st.st_size };
    return NULL;
}

void onnx_unmap(OnnxBytes bytes)
{
    if (bytes.size)
        munmap((void *)bytes.bytes, bytes.size);
}

static void release(void *what)
{
    OnnxFile *f = what;
    for (uint32_t i = 0; i < f->external.n; i++)
        onnx_unmap(f->external.at[i].map);
    if (f->mapped)
        onnx_unmap(f->bytes);
    if (f->folder >= 0)
        close(f->folder);
    pool_release(&f->pool);
}

static void drop(OnnxBytes map)
{
    if (map.size)
        madvise((void *)map.bytes, map.size, MADV_DONTNEED); /* never written: nothing is lost */
}

void onnx_drop_pages(Compiler *cx)
{
    for (uint32_t i = 0; i < cx->kept.n; i++) {
        const OnnxFile *f = cx->kept.at[i].what;
        if (cx->kept.at[i].release != release)
            continue;
        for (uint32_t k = 0; k < f->external.n; k++)
            drop(f->external.at[k].map);
        if (f->mapped)
            drop(f->bytes);
    }
}

static OnnxFile *file_new(Compiler *cx, const char *path)
{
    OnnxFile *f = arena_make(cx->arena, OnnxFile);
    uint32_t source = compiler_add_source(cx, path, NULL, 0);
    f->cx = cx;
    f->path = cx->sources.at[source].path;
    f->loc = loc_make(cx, (Loc){ .file = source });
    f->folder = -1;
    compiler_keep(cx, release, f);
    return f;
}

static OnnxFile *file_map(Compiler *cx, const char *path)
{
    OnnxFile *f = file_new(cx, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *why = fd < 0 ? strerror(errno) : onnx_map(fd, &f->bytes);
    if (fd >= 0)
        close(fd);
    if (why) {
        onnx_fail(f, DIAG_E0701, "cannot read `%s`: %s", path, why);
        return NULL;
    }
    f->mapped = true;
    return f;
}

/* ---- the messages ---- */

/* What a file that is not ONNX begins like, in words, or NULL. */
static const char *other_kind(const OnnxBytes *b)
{
    static const struct {
        const char *begins, *is;
    } kinds[] = { { "\177ELF", "a program or a library" },
                  { "\223NUMPY", "an array (.npy)" },
                  { "PK\3\4", "a zip archive, as .npz files and PyTorch's checkpoints are" },
                  { "\211HDF", "an HDF5 file" },
                  { "version https://git-lfs",
                    "a Git LFS pointer: the model itself is not here yet (`git lfs pull`)" } };
    size_t n = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        n = strlen(kinds[i].begins);
        if (b->size >= n && !memcmp(b->bytes, kinds[i].begins, n))
            return kinds[i].is;
    }
    for (n = 0; n < b->size && n < 256; n++)
        if ((b->bytes[n] < ' ' && !memchr("\t\r\n", b->bytes[n], 3)) || b->bytes[n] == 127)
            return NULL;
    return "text";
}

/* Scans and parses f's bytes as a message of type `root`. NULL: reported. */
static ProtobufCMessage *parse(OnnxFile *f, const ProtobufCMessageDescriptor *root)
{
    WireFault fault;
    size_t size;
    pool_init(&f->pool, pool_limit(f->bytes.size));
    if (f->bytes.size > INT_MAX) {
        onnx_fail(f, DIAG_E0701, "the file has more than 2 GiB: such models keep their weights in "
                                 "files of their own");
        return NULL;
    }
    if (!f->bytes.size) {
        onnx_fail(f, DIAG_E0702, "the file is empty");
        return NULL;
    }
    if (!wire_scan(root, f->bytes.bytes, f->bytes.size, NULL, &size, &fault)) {
        const char *other = other_kind(&f->bytes);
        if (other)
            onnx_fail(f, DIAG_E0702, "this is no ONNX file: it is %s", other);
        else
            onnx_fail(f, DIAG_E0702, "byte %zu, in %s: %s", fault.at, fault.message, fault.why);
        return NULL;
    }
    uint8_t *copy = pool_alloc(&f->pool, size);
    if (!copy) {
        onnx_fail_memory(f);
        return NULL;
    }
    wire_scan(root, f->bytes.bytes, f->bytes.size, copy, &size, &fault);
    ProtobufCMessage *m = protobuf_c_message_unpack(root, &f->pool.proto, size, copy);
    pool_give_back(&f->pool, copy);
    if (!m && f->pool.full)
        onnx_fail_memory(f);
    else if (!m)
        onnx_fail(f, DIAG_E0702, "its messages cannot be parsed");
    return m;
}

/* A newer opset may say the same operators and mean something else. */
static bool check_opsets(OnnxFile *f, Onnx__OperatorSetIdProto *const *at, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *domain = at[i]->domain ? at[i]->domain : "";
        bool own = !*domain || !strcmp(domain, "ai.onnx");
        if (own && at[i]->version > NEWEST_OPSET)
            return onnx_fail(f, DIAG_E0711, "opset %" PRId64 "; known are 1 to %d", at[i]->version,
                             NEWEST_OPSET);
    }
    return true;
}

/* What every use of a model relies on. */
static bool check_model(OnnxFile *f)
{
    const Onnx__ModelProto *m = f->model;
    if (!m->has_ir_version || m->ir_version < 1)
        return onnx_fail(f, DIAG_E0703, "the model does not say its IR version");
    if (m->ir_version > NEWEST_IR)
        return onnx_fail(f, DIAG_E0711, "IR version %" PRId64 "; known are 1 to %d", m->ir_version,
                         NEWEST_IR);
    if (!m->graph)
        return onnx_fail(f, DIAG_E0703, "the model has no graph");
    if (m->ir_version >= 3 && !m->n_opset_import)
        return onnx_fail(f, DIAG_E0703, "the model does not say which versions of operators it "
                                        "uses (opset_import)");
    for (size_t i = 0; i < m->n_functions; i++)
        if (!check_opsets(f, m->functions[i]->opset_import, m->functions[i]->n_opset_import))
            return false;
    return check_opsets(f, m->opset_import, m->n_opset_import);
}

static OnnxFile *open_model(OnnxFile *f)
{
    if (!f || !(f->model = (const void *)parse(f, &onnx__model_proto__descriptor)))
        return NULL;
    return check_model(f) ? f : NULL;
}

OnnxFile *onnx_open(Compiler *cx, const char *path)
{
    return open_model(file_map(cx, path));
}

OnnxFile *onnx_open_memory(Compiler *cx, const char *name, const void *bytes, size_t size)
{
    OnnxFile *f = file_new(cx, name);
    f->bytes = (OnnxBytes){ bytes, size };
    return open_model(f);
}

const Onnx__ModelProto *onnx_model(const OnnxFile *f)
{
    return f->model;
}

LocId onnx_loc(const OnnxFile *f)
{
    return f->loc;
}

bool onnx_read_tensor_file(Compiler *cx, const char *path, OnnxTensor *out_t)
{
    OnnxFile *f = file_map(cx, path);
    const Onnx__TensorProto *t;
    return f && (t = (const void *)parse(f, &onnx__tensor_proto__descriptor)) &&
           onnx_tensor(f, t, "the tensor", out_t);
}
