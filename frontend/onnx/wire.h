/* wire.h: protobuf's wire format: steps over the fields of a message, and the scan that untrusted
 * bytes pass before protobuf-c sees them. */
#ifndef DLCC_FRONTEND_ONNX_WIRE_H
#define DLCC_FRONTEND_ONNX_WIRE_H
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 } WireType;

typedef struct {
    const uint8_t *at, *end;
} WireCursor;

/* One field: its tag at `from`, then from `body` to `end` what the tag announces. Of WIRE_BYTES
 * `bytes` and `size` are what follows the length; of the others `value` holds the bits. */
typedef struct {
    uint32_t number;
    WireType type;
    uint64_t value;
    const uint8_t *from, *body, *end;
    const uint8_t *bytes;
    size_t size;
} WireField;

/* Where and why bytes are refused. */
typedef struct {
    const char *why;      /* "a length that goes past the end" */
    const char *message;  /* type of the innermost message: "NodeProto" */
    size_t at;            /* byte in the file */
} WireFault;

/* Steps over the next field, or varint. False at the end, with *out_why NULL, or where the bytes
 * make no sense, with *out_why. The cursor then stays where it was. */
bool wire_next(WireCursor *c, WireField *out_field, const char **out_why);
bool wire_varint(WireCursor *c, uint64_t *out_value, const char **out_why);

/* No NUL, no overlong form, no surrogate, nothing cut short. */
bool wire_utf8(const uint8_t *bytes, size_t size);

enum {
    WIRE_MAX_DEPTH = 64,           /* messages inside one another */
    WIRE_MAX_MESSAGES = 1 << 24,
    WIRE_PRIVATE = 1000,           /* fields from here on are our own */
};

/* Scans a message of type `root` and measures or writes the form of it that protobuf-c gets: known
 * fields only, and of a TensorProto no elements, but file_at and file_size. `out` NULL: measures.
 * *out_size is what is (to be) written. False: see *out_fault.
 *
 * After a scan that succeeds protobuf-c fails for lack of memory only. Linear time; recursion up to
 * WIRE_MAX_DEPTH. */
bool wire_scan(const ProtobufCMessageDescriptor *root, const uint8_t *bytes, size_t size,
               uint8_t *out, size_t *out_size, WireFault *out_fault);

#endif
