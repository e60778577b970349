/* json.h: the part of JSON that safetensors headers are made of: objects, arrays, strings, whole
 * numbers. A cursor over bytes that the caller owns; strings are decoded in place. */
#ifndef DLCC_RUNTIME_JSON_H
#define DLCC_RUNTIME_JSON_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *at, *end;
    const char *error; /* the first one; all calls fail from then on */
} Json;

/* Skips white space, then takes `c` if it is next. */
bool dlrt_json_take(Json *j, char c);
/* The same, but an error if it is not there. */
bool dlrt_json_need(Json *j, char c);
/* After an element of a list ending with `close`: takes ',' and says true, or `close` and false. */
bool dlrt_json_more(Json *j, char close);
/* A string, NUL-terminated, valid UTF-8 without NUL; NULL on error. It lives in the bytes
 * parsed. */
const char *dlrt_json_string(Json *j);
/* A number without sign, fraction and exponent, at most 2^63 - 1. */
bool dlrt_json_whole(Json *j, uint64_t *out);

#endif
