/* token.h: a token as a slice of text. */
#ifndef DLCC_RUNTIME_HOST_TOKEN_H
#define DLCC_RUNTIME_HOST_TOKEN_H
#include "runtime/host/text.h"

typedef struct {
    const char *at; /* not ended by NUL */
    size_t size;
} Token;

/* The next token between *p and end, moving *p behind it; false when there is none. */
bool token_next(HostTokenKind kind, const char **p, const char *end, Token *out);
/* Byte order. */
int token_compare(const Token *a, const Token *b);

#endif
