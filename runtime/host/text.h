/* text.h: text as streams of tokens, vocabularies, and windows to train on.
 *
 *     text(path) |> chars(V) |> split(0.95) |> windows(128)
 *
 * is: host_text_read, host_tokenize, host_split, host_vocabulary_fit, host_windows. A stream is a
 * table whose rows are its bytes (field `text`) or tokens (field `tok`); its parts must be
 * contiguous. The vocabulary is fitted after the split, on the part train (else all), whatever
 * order they were written in: until then token numbers are provisional, one for every text that
 * occurs. */
#ifndef DLCC_RUNTIME_HOST_TEXT_H
#define DLCC_RUNTIME_HOST_TEXT_H
#include "runtime/host/host.h"

/* A file (.gz too), or a string. CRLF becomes LF; a BOM is dropped. NUL bytes are E0603. */
bool host_text_read(const char *path, HostData *out_data, HostError *out_error);
bool host_text_string(const char *text, HostData *out_data, HostError *out_error);

/* CHARS: code points; a byte that is not UTF-8 is U+FFFD. WORDS: runs of letters, digits,
 * apostrophes (all of non-ASCII counts as letters); any other character but white space is a word
 * by itself. */
typedef enum { HOST_CHARS, HOST_WORDS } HostTokenKind;
/* Field `text` becomes field `tok`: i32. `lower` maps A-Z to a-z. */
bool host_tokenize(HostData *data, HostTokenKind kind, bool lower, HostError *out_error);

/* Token 0 is whatever is not known, and padding; 1, 2, ... by falling frequency, then byte order.
 */
typedef struct {
    HostTokenKind kind;
    bool lower;
    int count;    /* with token 0 */
    char **names; /* [count], from malloc; names[0] is "" */
} HostVocabulary;
void host_vocabulary_free(HostVocabulary *vocabulary);
/* The `limit` - 1 most frequent tokens of train, applied to all of `data`. limit >= 2. */
bool host_vocabulary_fit(HostData *data, HostTokenKind kind, bool lower, int limit,
                         HostVocabulary *out_vocabulary, HostError *out_error);
/* Numbers the tokens of `data` by an existing vocabulary (a checkpoint's). */
bool host_vocabulary_apply(HostData *data, const HostVocabulary *vocabulary, HostError *out_error);
/* A vocabulary as one string for a checkpoint (from malloc), and back. */
char *host_vocabulary_save(const HostVocabulary *vocabulary);
bool host_vocabulary_load(const char *text, HostVocabulary *out_vocabulary, HostError *out_error);
/* Text to token numbers (from malloc), and back to text (from malloc; words are joined by blanks
 * except before , . ; : ! ? ). Numbers out of range are token 0. */
bool host_encode(const HostVocabulary *vocabulary, const char *text, int32_t **out_tokens,
                 int64_t *out_count, HostError *out_error);
char *host_decode(const HostVocabulary *vocabulary, const int32_t *tokens, int64_t count);

/* Fields tok: i32[length] and next: i32[length], shifted by one, from pieces of length + 1 tokens
 * that share their ends; every part becomes a table. With lanes > 1 each part is cut into so many
 * stretches, and row k * lanes + l is piece k of stretch l: batches of `lanes` rows in order read
 * every stretch without a gap. A part too short for one row (of every lane) is E0608. */
bool host_windows(HostData *data, int64_t length, int64_t lanes, HostError *out_error);

#endif
