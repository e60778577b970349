/* test_file.c: reading ONNX files: what a model holds, every encoding of tensors, external data,
 * and the message of every error. */
#include "tests/onnx/wire_build.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static bool provoked[DIAG_COUNT];

/* The only diagnostic of cx has this code and message. */
static void check_diag(Compiler *cx, DiagCode code, const char *message)
{
    assert_int_equal(cx->diags.n, 1);
    assert_string_equal(cx->diags.at[0].message, message);
    assert_int_equal(cx->diags.at[0].code, code);
    provoked[code] = true;
}

/* ---- models ---- */

/* The bytes, which are freed, are refused so. */
static void refused(Bytes *b, DiagCode code, const char *message)
{
    Compiler *cx = compiler_new();
    assert_null(onnx_open_memory(cx, "m.onnx", b->at, b->n));
    check_diag(cx, code, message);
    compiler_free(cx);
    b_free(b);
}

static void test_model(void **state)
{
    (void)state;
    Bytes graph = { 0 }, node = { 0 }, attr = { 0 };
    b_text(&attr, 1, "axis");
    b_int(&attr, 20, 2);
    b_int(&attr, 3, -1);
    b_text(&node, 1, "x");
    b_text(&node, 2, "y");
    b_text(&node, 4, "Softmax");
    b_text(&node, 6, "a documentation that is skipped");
    b_message(&node, 5, &attr);
    b_message(&graph, 1, &node);
    b_value(&graph, 11, "x", 1, (int64_t[]){ -1, 10 }, 2);
    Bytes b = b_model_of(&graph);
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open_memory(cx, "m.onnx", b.at, b.n);
    assert_non_null(f);
    const Onnx__ModelProto *m = onnx_model(f);
    assert_int_equal(m->ir_version, 8);
    assert_int_equal(m->opset_import[0]->version, 17);
    assert_string_equal(m->opset_import[0]->domain, "");
    const Onnx__NodeProto *n = m->graph->node[0];
    assert_int_equal(m->graph->n_node, 1);
    assert_string_equal(n->op_type, "Softmax");
    assert_string_equal(n->name, ""); /* not NULL, though it is not there */
    assert_string_equal(n->input[0], "x");
    assert_int_equal(n->attribute[0]->i, -1);
    assert_int_equal(n->attribute[0]->type, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    const Onnx__TensorShapeProto *s = m->graph->input[0]->type->tensor_type->shape;
    assert_string_equal(s->dim[0]->dim_param, "N");
    assert_int_equal(s->dim[1]->dim_value, 10);
    assert_string_equal(loc_text(cx, onnx_loc(f)), "m.onnx");
    compiler_free(cx);
    b_free(&b);
}

static void test_model_checks(void **state)
{
    (void)state;
    Bytes b = { 0 }, inner = { 0 };
    refused(&b, DIAG_E0702, "the file is empty");
    b_text(&b, 2, "a producer");
    refused(&b, DIAG_E0703, "the model does not say its IR version");
    b_int(&b, 1, 0);
    refused(&b, DIAG_E0703, "the model does not say its IR version");
    b_int(&b, 1, 14);
    refused(&b, DIAG_E0711, "IR version 14; known are 1 to 13");
    b = b_model();
    refused(&b, DIAG_E0703, "the model has no graph");
    for (int k = 0; k < 2; k++) { /* of the model, of one of its functions */
        Bytes opset = { 0 }, function = { 0 };
        b = b_model();
        b_text(&opset, 1, k ? "ai.onnx" : "");
        b_int(&opset, 2, 28);
        b_message(k ? &function : &b, k ? 9 : 8, &opset);
        b_message(&b, 25, &function);
        b_message(&b, 7, &inner);
        refused(&b, DIAG_E0711, "opset 28; known are 1 to 27");
    }
    b_int(&b, 1, 3);
    b_message(&b, 7, &inner);
    refused(&b, DIAG_E0703, "the model does not say which versions of operators it uses "
                            "(opset_import)");
    b_int(&b, 1, 2); /* before there were opsets */
    b_message(&b, 7, &inner);
    Compiler *cx = compiler_new();
    assert_non_null(onnx_open_memory(cx, "m.onnx", b.at, b.n));
    compiler_free(cx);
    b_free(&b);
}

static void test_no_onnx_file(void **state)
{
    (void)state;
    Bytes b = { 0 };
    b_raw(&b, "version https://git-lfs.github.com/spec/v1\n", 43);
    refused(&b, DIAG_E0702,
            "this is no ONNX file: it is a Git LFS pointer: the model itself is not "
            "here yet (`git lfs pull`)");
    b_raw(&b, "a page of text,\tsay\n", 20);
    refused(&b, DIAG_E0702, "this is no ONNX file: it is text");
    b_raw(&b, "\x93NUMPY\x01", 7);
    refused(&b, DIAG_E0702, "this is no ONNX file: it is an array (.npy)");
    b_raw(&b, "\x0b\x00", 2);
    refused(&b, DIAG_E0702, "byte 0, in ModelProto: a field of a kind that ONNX does not use");
    b_int(&b, 1, 8);
    b_tag(&b, 7, 2);
    b_varint(&b, 1000);
    refused(&b, DIAG_E0702, "byte 2, in ModelProto: a length that goes past the end of what "
                            "holds it");
    b_raw(&b, "\x08\x80", 2);
    refused(&b, DIAG_E0702, "byte 0, in ModelProto: a number that is cut short");
    b_raw(&b, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11);
    refused(&b, DIAG_E0702, "byte 0, in ModelProto: a number of more than 64 bits");
    b_raw(&b, "\x02\x01", 2);
    refused(&b, DIAG_E0702, "byte 0, in ModelProto: a field whose number is out of range");
    b_raw(&b, "\x12\x80\x80\x80\x80\x80\x00", 7);
    refused(&b, DIAG_E0702, "byte 0, in ModelProto: a length of more than 32 bits");
    b_text(&b, 1, "8");
    refused(&b, DIAG_E0702, "byte 0, in ModelProto: a field of the wrong kind");
    b_bytes(&b, 2, "\xc3(", 2);
    refused(&b, DIAG_E0702, "byte 0, in ModelProto: a text that is not UTF-8, or contains a NUL");
    b_bytes(&b, 2, "a\0b", 3);
    refused(&b, DIAG_E0702, "byte 0, in ModelProto: a text that is not UTF-8, or contains a NUL");
    Bytes empty = { 0 };
    b_message(&b, 7, &empty);
    b_message(&b, 7, &empty);
    refused(&b, DIAG_E0702, "byte 2, in ModelProto: a message that is given twice");
}

/* ---- tensors ---- */

/* The tensor, which is freed, as the initializer of a model; wants these elements. */
static void gives(Bytes *tensor, Dtype dtype, int64_t count, const void *elements)
{
    Bytes b = b_model_with(tensor);
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open_memory(cx, "m.onnx", b.at, b.n);
    assert_non_null(f);
    const Onnx__TensorProto *t = onnx_model(f)->graph->initializer[0];
    OnnxTensor out, again;
    if (!onnx_tensor(f, t, "initializer `t`", &out))
        fail_msg("%s", cx->diags.at[0].message);
    assert_int_equal(out.dtype, dtype);
    assert_int_equal(out.count, count);
    assert_int_equal(out.bytes, (size_t)count * dtype_size(dtype));
    assert_memory_equal(out.data, elements, out.bytes);
    assert_true(onnx_tensor(f, t, "initializer `t`", &again));
    assert_ptr_equal(out.data, again.data); /* converted once */
    compiler_free(cx);
    b_free(&b);
}

static void tensor_refused(Bytes *tensor, DiagCode code, const char *message)
{
    Bytes b = b_model_with(tensor);
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open_memory(cx, "m.onnx", b.at, b.n);
    assert_non_null(f);
    OnnxTensor out;
    assert_false(onnx_tensor(f, onnx_model(f)->graph->initializer[0], "initializer `t`", &out));
    check_diag(cx, code, message);
    compiler_free(cx);
    b_free(&b);
}

static Bytes vector_of(int32_t type, int64_t n)
{
    return b_tensor(type, &n, 1);
}

static void test_raw(void **state)
{
    (void)state;
    const unsigned char bytes[24] = { 1, 2, 3, 4, 5, 6, 7, 8, 0xFF, 0xFE, 0xFD, 0xFC,
                                      0, 0, 0x80, 0x3F, 0, 0, 0xC0, 0x7F, 9, 8, 7, 6 };
    static const struct {
        int32_t type;
        Dtype dtype;
    } all[] = {
        { 1, DT_F32 }, { 2, DT_U8 }, { 3, DT_I8 }, { 4, DT_U16 }, { 5, DT_I16 }, { 6, DT_I32 },
        { 7, DT_I64 }, { 10, DT_F16 }, { 11, DT_F64 }, { 12, DT_U32 }, { 13, DT_U64 },
        { 16, DT_BF16 },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t shift = 0; shift < 9; shift++) { /* aligned and not */
            int64_t n = (int64_t)(sizeof bytes / dtype_size(all[i].dtype));
            Bytes t = vector_of(all[i].type, n);
            b_bytes(&t, 500, bytes, shift); /* skipped */
            b_bytes(&t, 9, bytes, sizeof bytes);
            gives(&t, all[i].dtype, n, bytes);
        }
    Bytes t = vector_of(9, 4);
    b_bytes(&t, 9, "\0\1\2\xff", 4);
    gives(&t, DT_BOOL, 4, "\0\1\1\1");
    t = vector_of(1, 1); /* the last one counts */
    b_bytes(&t, 9, bytes, 8);
    b_bytes(&t, 9, bytes + 12, 4);
    gives(&t, DT_F32, 1, &(float){ 1 });
}

/* The values in the field `field`, in one packed list, as single ones, and in both ways. */
static void varints(int32_t type, uint32_t field, const int64_t *values, int64_t n, Dtype dtype,
                    const void *elements)
{
    for (int64_t split = 0; split <= n; split++) {
        Bytes t = vector_of(type, n), packed = { 0 };
        for (int64_t i = 0; i < split; i++)
            b_varint(&packed, (uint64_t)values[i]);
        if (split || !n)
            b_bytes(&t, field, packed.at, packed.n);
        b_free(&packed);
        for (int64_t i = split; i < n; i++)
            b_int(&t, field, values[i]);
        gives(&t, dtype, n, elements);
    }
}

static void fixed(int32_t type, uint32_t field, const void *values, int64_t n, Dtype dtype)
{
    size_t size = dtype_size(dtype);
    for (int64_t split = 0; split <= n; split++) {
        Bytes t = vector_of(type, n);
        for (int64_t i = 0; i < split; i++) {
            b_tag(&t, field, size == 4 ? 5 : 1);
            b_raw(&t, (const char *)values + (size_t)i * size, size);
        }
        if (split < n || !n)
            b_bytes(&t, field, (const char *)values + (size_t)split * size,
                    (size_t)(n - split) * size);
        gives(&t, dtype, n, values);
    }
}

static void test_typed(void **state)
{
    (void)state;
    fixed(1, 4, (float[]){ 1, -2.5f, INFINITY, 1e-40f }, 4, DT_F32);
    fixed(11, 10, (double[]){ 1, -2.5, NAN }, 3, DT_F64);
    fixed(1, 4, "", 0, DT_F32);
    varints(6, 5, (int64_t[]){ 1, -1, INT32_MAX, INT32_MIN }, 4, DT_I32,
            (int32_t[]){ 1, -1, INT32_MAX, INT32_MIN });
    varints(6, 5, (int64_t[]){ 0xFFFFFFFF }, 1, DT_I32, (int32_t[]){ -1 }); /* low 32 bits */
    varints(3, 5, (int64_t[]){ 127, -128, 0 }, 3, DT_I8, (int8_t[]){ 127, -128, 0 });
    varints(2, 5, (int64_t[]){ 255, 0 }, 2, DT_U8, (uint8_t[]){ 255, 0 });
    varints(5, 5, (int64_t[]){ 32767, -32768 }, 2, DT_I16, (int16_t[]){ 32767, -32768 });
    varints(4, 5, (int64_t[]){ 65535, 1 }, 2, DT_U16, (uint16_t[]){ 65535, 1 });
    varints(9, 5, (int64_t[]){ 1, 0, 1 }, 3, DT_BOOL, "\1\0\1");
    varints(10, 5, (int64_t[]){ 0x3C00, 0xBC00 }, 2, DT_F16, (uint16_t[]){ 0x3C00, 0xBC00 });
    varints(16, 5, (int64_t[]){ 0x3F80 }, 1, DT_BF16, (uint16_t[]){ 0x3F80 });
    varints(7, 7, (int64_t[]){ INT64_MAX, INT64_MIN, 0 }, 3, DT_I64,
            (int64_t[]){ INT64_MAX, INT64_MIN, 0 });
    varints(13, 11, (int64_t[]){ -1, 5 }, 2, DT_U64, (uint64_t[]){ UINT64_MAX, 5 });
    varints(12, 11, (int64_t[]){ UINT32_MAX, 5 }, 2, DT_U32, (uint32_t[]){ UINT32_MAX, 5 });
}

static void test_shapes(void **state)
{
    (void)state;
    OnnxTensor out;
    Bytes t = b_tensor(1, NULL, 0);
    b_bytes(&t, 9, &(float){ 3 }, 4);
    gives(&t, DT_F32, 1, &(float){ 3 });
    t = b_tensor(7, (int64_t[]){ 2, 0, 3 }, 3);
    gives(&t, DT_I64, 0, "");
    t = b_tensor(1, (int64_t[]){ 1, 1, 2, 1, 1, 1, 1, 1 }, 8);
    b_bytes(&t, 9, (float[]){ 3, 4 }, 8);
    Bytes b = b_model_with(&t);
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open_memory(cx, "m.onnx", b.at, b.n);
    assert_true(f && onnx_tensor(f, onnx_model(f)->graph->initializer[0], "t", &out));
    assert_int_equal(out.rank, 8);
    assert_int_equal(out.dim[2], 2);
    compiler_free(cx);
    b_free(&b);
}

/* A tensor that was made in memory, as for the body of a function. */
static void test_made(void **state)
{
    (void)state;
    Bytes empty = { 0 }, b = b_model_of(&empty);
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open_memory(cx, "m.onnx", b.at, b.n);
    Onnx__TensorProto t = ONNX__TENSOR_PROTO__INIT;
    int64_t dims[] = { 2 };
    float values[] = { 1, 2 };
    OnnxTensor out;
    t.n_dims = 1, t.dims = dims, t.has_data_type = 1, t.data_type = 1;
    t.n_float_data = 2, t.float_data = values;
    assert_true(onnx_tensor(f, &t, "t", &out));
    assert_memory_equal(out.data, values, sizeof values);
    compiler_free(cx);
    b_free(&b);
}

static void test_strings(void **state)
{
    (void)state;
    Bytes t = vector_of(8, 1);
    b_text(&t, 6, "a");
    tensor_refused(&t, DIAG_E0712,
                   "initializer `t`: elements of type string are not supported here");
}

static void test_contradictions(void **state)
{
    (void)state;
    Bytes t = b_tensor(1, (int64_t[]){ 2, 3 }, 2);
    tensor_refused(&t, DIAG_E0704,
                   "initializer `t`: the shape [2, 3] has 6 elements, but 0 are there");
    t = b_tensor(1, (int64_t[]){ 2, 3 }, 2);
    b_bytes(&t, 4, (float[]){ 1, 2, 3 }, 12);
    tensor_refused(&t, DIAG_E0704,
                   "initializer `t`: the shape [2, 3] has 6 elements, but 3 are there");
    t = b_tensor(1, (int64_t[]){ 2, 3 }, 2);
    b_bytes(&t, 9, "12345678", 8);
    tensor_refused(&t, DIAG_E0704, "initializer `t`: the shape [2, 3] of float takes 24 bytes, "
                                   "but 8 are there");
    t = vector_of(1, 0);
    b_bytes(&t, 9, "1234", 4);
    tensor_refused(&t, DIAG_E0704, "initializer `t`: the shape [0] of float takes 0 bytes, "
                                   "but 4 are there");
    t = vector_of(1, 1);
    b_bytes(&t, 9, "1234", 4);
    b_bytes(&t, 4, "1234", 4);
    tensor_refused(&t, DIAG_E0704, "initializer `t` has elements both in raw_data and in "
                                   "float_data");
    t = vector_of(1, 1);
    b_int(&t, 7, 5);
    tensor_refused(&t, DIAG_E0704,
                   "initializer `t`: float elements cannot be in int64_data");
    t = vector_of(2, 1);
    b_int(&t, 5, 256);
    tensor_refused(&t, DIAG_E0704, "initializer `t`: 256 is no element of uint8");
    t = vector_of(3, 1);
    b_int(&t, 5, -129);
    tensor_refused(&t, DIAG_E0704, "initializer `t`: -129 is no element of int8");
    t = vector_of(12, 1);
    b_int(&t, 11, (int64_t)1 << 32);
    tensor_refused(&t, DIAG_E0704, "initializer `t`: 4294967296 is no element of uint32");
    t = vector_of(9, 1);
    b_int(&t, 5, 2);
    tensor_refused(&t, DIAG_E0704, "initializer `t`: 2 is no element of bool");
    t = vector_of(7, 1);
    b_bytes(&t, 7, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
    tensor_refused(&t, DIAG_E0702,
                   "initializer `t`: int64_data: a number of more than 64 bits");
    t = vector_of(1, -1);
    tensor_refused(&t, DIAG_E0704, "initializer `t` has a dimension of -1");
    t = (Bytes){ 0 };
    tensor_refused(&t, DIAG_E0704, "initializer `t` does not say the type of its elements");
}

static void test_large_shapes(void **state)
{
    (void)state;
    Bytes t = b_tensor(1, (int64_t[]){ 1LL << 31, 1LL << 31 }, 2);
    tensor_refused(&t, DIAG_E0704, "initializer `t` has the shape [2147483648, 2147483648], which "
                                   "is too large");
    t = b_tensor(2, (int64_t[]){ INT64_MAX, 3 }, 2);
    tensor_refused(&t, DIAG_E0704, "initializer `t` has the shape [9223372036854775807, 3], which "
                                   "is too large");
    t = b_tensor(2, (int64_t[]){ INT64_MAX, 0, INT64_MAX }, 3);
    tensor_refused(&t, DIAG_E0704, "initializer `t` has the shape [9223372036854775807, 0, "
                                   "9223372036854775807], which is too large");
    t = vector_of(2, INT64_MAX);
    tensor_refused(&t, DIAG_E0704, "initializer `t`: the shape [9223372036854775807] has "
                                   "9223372036854775807 elements, but 0 are there");
    t = vector_of(1, 1LL << 31);
    tensor_refused(&t, DIAG_E0704, "initializer `t`: the shape [2147483648] has 2147483648 "
                                   "elements, but 0 are there");
}

static void test_unsupported(void **state)
{
    (void)state;
    static const struct {
        int32_t type;
        const char *name;
    } all[] = {
        { 14, "complex64" }, { 15, "complex128" }, { 17, "float8e4m3fn" }, { 22, "int4" },
        { 26, "int2" }, { 27, "#27" }, { 1000000, "#1000000" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char message[100];
        Bytes t = vector_of(all[i].type, 1);
        b_bytes(&t, 9, "12345678", 8);
        snprintf(message, sizeof message,
                 "initializer `t`: elements of type %s are not supported here", all[i].name);
        tensor_refused(&t, DIAG_E0712, message);
    }
    Bytes t = vector_of(-1, 1);
    tensor_refused(&t, DIAG_E0704, "initializer `t` does not say the type of its elements");
    t = b_tensor(1, (int64_t[]){ 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 9);
    tensor_refused(&t, DIAG_E0712, "initializer `t` has 9 dimensions; at most 8 are supported");
    t = vector_of(1, 1);
    Bytes segment = { 0 };
    b_message(&t, 3, &segment);
    tensor_refused(&t, DIAG_E0712, "initializer `t`: tensors in segments are not supported");
}

/* The fields that the scan adds are its own: those of the file are dropped. */
static void test_private_fields(void **state)
{
    (void)state;
    Bytes t = vector_of(1, 1);
    b_bytes(&t, 9, &(float){ 1 }, 4);
    b_tag(&t, 1000, 1);
    b_raw(&t, "\xff\xff\xff\xff\xff\xff\xff\x7f", 8);
    b_int(&t, 1001, 7); /* and of the wrong kind */
    gives(&t, DT_F32, 1, &(float){ 1 });
}

/* ---- files ---- */

static char folder[64], path[128];

static void write_file(const char *name, const void *bytes, size_t n)
{
    char full[256];
    snprintf(full, sizeof full, "%s/%s", folder, name);
    FILE *f = fopen(full, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void in_folder(char full[256], const char *name)
{
    snprintf(full, 256, "%s/%s", folder, name);
}

static int set_up(void **state)
{
    (void)state;
    char full[256];
    snprintf(folder, sizeof folder, "/tmp/dlcc-onnx-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/m/m.onnx", folder);
    static const char *const folders[] = { "m", "m/sub", "m/d" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        in_folder(full, folders[i]);
        if (mkdir(full, 0700))
            return -1;
    }
    float values[] = { 1, 2, 3, 4 };
    write_file("m/w.bin", values, sizeof values);
    write_file("m/sub/w.bin", values, sizeof values);
    write_file("out.bin", values, sizeof values);
    in_folder(full, "m/link");
    if (symlink("../out.bin", full))
        return -1;
    in_folder(full, "m/linked");
    if (symlink("sub", full))
        return -1;
    in_folder(full, "m/fifo");
    return mkfifo(full, 0600);
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* Opens the model with one tensor, which is freed, from the file at `path`. */
static OnnxFile *open_with(Compiler *cx, Bytes *tensor)
{
    Bytes b = b_model_with(tensor);
    write_file("m/m.onnx", b.at, b.n);
    b_free(&b);
    return onnx_open(cx, path);
}

static Bytes external_of(int64_t n, const char *location, const char *offset, const char *length)
{
    Bytes t = vector_of(1, n);
    b_int(&t, 14, 1);
    if (location)
        b_external(&t, "location", location);
    if (offset)
        b_external(&t, "offset", offset);
    if (length)
        b_external(&t, "length", length);
    return t;
}

static void external_gives(int64_t n, const char *location, const char *offset, const char *length,
                           float first)
{
    Compiler *cx = compiler_new();
    Bytes t = external_of(n, location, offset, length);
    OnnxFile *f = open_with(cx, &t);
    OnnxTensor out;
    assert_non_null(f);
    if (!onnx_tensor(f, onnx_model(f)->graph->initializer[0], "`t`", &out))
        fail_msg("%s", cx->diags.at[0].message);
    assert_int_equal(out.count, n);
    assert_memory_equal(out.data, &first, sizeof first);
    compiler_free(cx);
}

static void external_refused(Bytes *t, DiagCode code, const char *message)
{
    Compiler *cx = compiler_new();
    OnnxFile *f = open_with(cx, t);
    OnnxTensor out;
    assert_non_null(f);
    assert_false(onnx_tensor(f, onnx_model(f)->graph->initializer[0], "`t`", &out));
    check_diag(cx, code, message);
    compiler_free(cx);
}

static void test_external(void **state)
{
    (void)state;
    external_gives(4, "w.bin", NULL, NULL, 1);
    external_gives(4, "./w.bin", "0", "16", 1);
    external_gives(2, "sub/w.bin", "8", "8", 3);
    external_gives(1, "sub/./w.bin", "12", NULL, 4);
    write_file("m/odd.bin", "x\0\0\x80\x3f", 5); /* not aligned */
    external_gives(1, "odd.bin", "1", "4", 1);
}

static void test_external_paths(void **state)
{
    (void)state;
    static const struct {
        const char *location, *why;
    } all[] = {
        { "/etc/passwd", "the path is absolute" },
        { "../out.bin", "`..` may lead out of the model's folder" },
        { "sub/../../out.bin", "`..` may lead out of the model's folder" },
        { "..", "`..` may lead out of the model's folder" },
        { "link", "it is a link, which may lead out of the model's folder" },
        { "linked/w.bin", "it is a link, which may lead out of the model's folder" },
        { "fifo", "it is not a regular file" },
        { "sub", "it is not a regular file" },
        { ".", "a component of the path is empty" },
        { "sub/", "a component of the path is empty" },
        { "sub//w.bin", "a component of the path is empty" },
        { "w.bin/x", "a component of the path is not a folder" },
        { "none.bin", "No such file or directory" },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char message[200];
        Bytes t = external_of(4, all[i].location, NULL, NULL);
        snprintf(message, sizeof message, "`t`: its external data `%s` is refused: %s",
                 all[i].location, all[i].why);
        external_refused(&t, DIAG_E0705, message);
    }
    char name[400];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    Bytes t = external_of(4, name, NULL, NULL);
    external_refused(&t, DIAG_E0705, "`t`: its external data "
                     "`aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa..."
                     "aaaaaaaaaaaaaaaaaaaaaaaaa` is refused: File name too long");
    t = external_of(4, "a\x1b[2Jb", NULL, NULL);
    external_refused(&t, DIAG_E0705, "`t`: its external data `a\\x1b[2Jb` is refused: "
                                     "No such file or directory");
    /* From memory there is no folder. */
    t = external_of(4, "w.bin", NULL, NULL);
    tensor_refused(&t, DIAG_E0705, "initializer `t`: its external data `w.bin` is refused: "
                                   "the model has no folder");
}

static void test_external_places(void **state)
{
    (void)state;
    Bytes t = external_of(4, NULL, NULL, NULL);
    external_refused(&t, DIAG_E0705, "`t`: its external data has no location");
    t = external_of(4, "", NULL, NULL);
    external_refused(&t, DIAG_E0705, "`t`: its external data has no location");
    t = external_of(4, "w.bin", "-4", NULL);
    external_refused(&t, DIAG_E0705, "`t`: wrong value of `offset` for its external data: `-4`");
    t = external_of(4, "w.bin", "18446744073709551616", NULL);
    external_refused(&t, DIAG_E0705, "`t`: wrong value of `offset` for its external data: "
                                     "`18446744073709551616`");
    t = external_of(4, "w.bin", NULL, "");
    external_refused(&t, DIAG_E0705, "`t`: wrong value of `length` for its external data: ``");
    t = external_of(4, "w.bin", NULL, NULL);
    b_external(&t, "location", "sub/w.bin");
    external_refused(&t, DIAG_E0705, "`t`: wrong value of `location` for its external data: "
                                     "`sub/w.bin`");
    t = external_of(4, "w.bin", "18446744073709551612", NULL);
    external_refused(&t, DIAG_E0704, "`t`: 16 bytes by its shape, at 18446744073709551612 of its "
                                     "external data `w.bin`, which has 16");
    t = external_of(4, "w.bin", "4", NULL);
    external_refused(&t, DIAG_E0704, "`t`: 16 bytes by its shape, at 4 of its external data "
                                     "`w.bin`, which has 16");
    t = external_of(4, "w.bin", NULL, "12");
    external_refused(&t, DIAG_E0704, "`t`: 16 bytes by its shape, 12 by the length of its external "
                                     "data");
    t = external_of(1, "w.bin", NULL, NULL);
    b_bytes(&t, 9, "1234", 4);
    external_refused(&t, DIAG_E0704, "`t` has elements both here and in another file");
}

/* A file of 4 GiB, of which nothing is read but what is asked for. */
static void test_external_large(void **state)
{
    (void)state;
    char full[256];
    in_folder(full, "m/large.bin");
    int fd = open(full, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, 1LL << 32), 0);
    assert_int_equal(pwrite(fd, &(float){ 5 }, 4, (1LL << 32) - 4), 4);
    close(fd);
    external_gives(1, "large.bin", "4294967292", "4", 5);
    external_gives(1 << 30, "large.bin", "0", NULL, 0);
}

static void test_paths(void **state)
{
    (void)state;
    static const char *const names[] = { "m/none.onnx", "m/sub", "m/fifo" };
    static const char *const why[] = { "No such file or directory", "it is a folder",
                                       "it is not a regular file" };
    for (int i = 0; i < 3; i++) {
        char full[256], message[512];
        in_folder(full, names[i]);
        snprintf(message, sizeof message, "cannot read `%s`: %s", full, why[i]);
        Compiler *cx = compiler_new();
        assert_null(onnx_open(cx, full));
        check_diag(cx, DIAG_E0701, message);
        compiler_free(cx);
    }
    char full[256];
    in_folder(full, "m/huge.onnx");
    int fd = open(full, O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(fd, 1LL << 31), 0);
    close(fd);
    Compiler *cx = compiler_new();
    assert_null(onnx_open(cx, full));
    check_diag(cx, DIAG_E0701, "the file has more than 2 GiB: such models keep their weights in "
                               "files of their own");
    compiler_free(cx);
}

static void test_tensor_file(void **state)
{
    (void)state;
    char full[256];
    Bytes t = vector_of(7, 2);
    b_int(&t, 7, 5);
    b_int(&t, 7, -6);
    in_folder(full, "input_0.pb");
    write_file("input_0.pb", t.at, t.n);
    b_free(&t);
    Compiler *cx = compiler_new();
    OnnxTensor out;
    assert_true(onnx_read_tensor_file(cx, full, &out));
    assert_memory_equal(out.data, ((int64_t[]){ 5, -6 }), 16);
    write_file("empty.pb", "", 0);
    in_folder(full, "empty.pb");
    assert_false(onnx_read_tensor_file(cx, full, &out));
    check_diag(cx, DIAG_E0702, "the file is empty");
    compiler_free(cx);
}

/* ---- names, codes ---- */

static void test_escape(void **state)
{
    (void)state;
    Arena *a = arena_new();
    assert_string_equal(onnx_escape(a, NULL), "");
    const char *plain = "conv1.weight \xc3\xa4";
    assert_ptr_equal(onnx_escape(a, plain), plain);
    assert_string_equal(onnx_escape(a, "a\nb\x1b[31m\x7f"), "a\\x0ab\\x1b[31m\\x7f");
    assert_string_equal(onnx_escape(a, "\xff\xc3("), "\\xff\\xc3(");
    assert_string_equal(onnx_escape(a, "\xe2\x80\xae" "abc"), "\\u{202e}abc");
    assert_string_equal(onnx_escape(a, "\xc2\x85"), "\\u{85}");
    assert_string_equal(onnx_escape(a, "%n%s"), "%n%s");
    char many[5001];
    memset(many, '\n', 5000);
    many[5000] = 0;
    assert_int_equal(strlen(onnx_escape(a, many)), 75 * 4 + 3);
    arena_free(a);
}

static void test_failures_bounded(void **state)
{
    (void)state;
    Bytes graph = { 0 };
    for (int i = 0; i < 1000; i++) {
        Bytes t = b_tensor(i + 100, NULL, 0);
        b_message(&graph, 5, &t);
    }
    Bytes b = b_model_of(&graph);
    Compiler *cx = compiler_new();
    OnnxFile *f = onnx_open_memory(cx, "m.onnx", b.at, b.n);
    assert_non_null(f);
    for (size_t i = 0; i < 1000; i++) {
        OnnxTensor out;
        assert_false(onnx_tensor(f, onnx_model(f)->graph->initializer[i], "t", &out));
    }
    assert_int_equal(cx->diags.n, DIAG_MAX_ERRORS);
    compiler_free(cx);
    b_free(&b);
}

/* Attribute lists of one byte a number, which take eight: more than is granted. */
static void test_memory(void **state)
{
    (void)state;
    Bytes ints = { 0 }, attr = { 0 }, node = { 0 }, graph = { 0 };
    size_t n = (size_t)40 << 20;
    ints.at = calloc(1, n);
    ints.n = n;
    b_message(&attr, 8, &ints);
    b_message(&node, 5, &attr);
    b_message(&graph, 1, &node);
    Bytes b = b_model_of(&graph);
    refused(&b, DIAG_E0706, "to read this file takes more than 176 MiB");
}

/* The last test: each code of the reader was met above. */
static void test_every_code(void **state)
{
    (void)state;
    for (int i = DIAG_E0701; i <= DIAG_E0712; i++)
        if (!provoked[i])
            fail_msg("%s: %s was not provoked", diag_rows[i].code, diag_rows[i].title);
    assert_int_equal(diag_rows[DIAG_E0712].exit, 4);
    assert_int_equal(diag_rows[DIAG_E0711].exit, 4);
    assert_int_equal(diag_rows[DIAG_E0702].exit, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_model_checks),
        cmocka_unit_test(test_no_onnx_file),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_typed),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_large_shapes),
        cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_private_fields),
        cmocka_unit_test(test_external),
        cmocka_unit_test(test_external_paths),
        cmocka_unit_test(test_external_places),
        cmocka_unit_test(test_external_large),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_tensor_file),
        cmocka_unit_test(test_escape),
        cmocka_unit_test(test_failures_bounded),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_every_code),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
