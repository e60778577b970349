/* text.c: text into a stream of token numbers, and a stream into rows. */
#include "runtime/host/text.h"

#include "runtime/host/files.h"
#include "runtime/host/internal.h"
#include "runtime/host/token.h"

#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

/* Takes `text` (from malloc). */
static bool text_table(const char *origin, char *text, size_t size, HostData *out_data,
                       HostError *out_error)
{
    HostTable t = { 0 };
    *out_data = (HostData){ 0 };
    char *from = text, *to = text, *end = text + size;
    if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        from += 3;
    for (; from < end; from++)
        if (*from != '\r' || from + 1 == end || from[1] != '\n')
            *to++ = *from;
    size = (size_t)(to - text);
    const char *nul = memchr(text, 0, size);
    bool ok = true;
    if (nul)
        ok = host_fail(out_error, "E0603", "%s is no text: byte %zu is NUL", origin,
                       (size_t)(nul - text));
    else if (!size)
        ok = host_fail(out_error, "E0608", "%s is empty", origin);
    ok = ok && host_table_new(origin, (int64_t)size, &t, out_error);
    if (!ok) {
        free(text);
        return false;
    }
    if (host_table_adopt(&t, text, out_error)
        && host_table_add_field(&t, "text", DLRT_U8, 0, NULL, text, out_error))
        return host_data_from_table(&t, out_data, out_error);
    host_table_free(&t);
    return false;
}

bool host_text_read(const char *path, HostData *out_data, HostError *out_error)
{
    char *text;
    size_t size;
    *out_data = (HostData){ 0 };
    return host_file_read(path, 0, &text, &size, out_error)
        && text_table(path, text, size, out_data, out_error);
}

bool host_text_string(const char *text, HostData *out_data, HostError *out_error)
{
    char *copy = strdup(text);
    *out_data = (HostData){ 0 };
    return copy ? text_table("string", copy, strlen(text), out_data, out_error)
                : host_fail_memory(out_error, "string", (int64_t)strlen(text));
}

/* ---- Tokens ---- */

static bool in_word(uint8_t c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
        || c == '\'';
}

bool token_next(HostTokenKind kind, const char **p, const char *end, Token *out)
{
    const char *s = *p;
    if (kind == HOST_WORDS)
        while (s < end && (*s == ' ' || (*s >= '\t' && *s <= '\r')))
            s++;
    if (s == end)
        return false;
    size_t n = 0;
    if (kind == HOST_WORDS)
        while (s + n < end && in_word((uint8_t)s[n]))
            n++;
    if (!n)
        n = host_utf8_length(s, (size_t)(end - s));
    *out = n ? (Token){ s, n } : (Token){ "\xef\xbf\xbd", 3 };
    *p = s + (n ? n : 1);
    return true;
}

int token_compare(const Token *a, const Token *b)
{
    int c = memcmp(a->at, b->at, a->size < b->size ? a->size : b->size);
    return c ? c : (a->size > b->size) - (a->size < b->size);
}

typedef struct {
    Token token; /* first, so that a node compares as its token */
    int32_t id;
} Node;

/* Numbers tokens as they come. A balanced tree, because a hostile text can fill a hash table. */
typedef struct {
    void *tree;
    Node **nodes;
    int32_t count, capacity;
    int32_t byte[256]; /* id + 1 of the token of that one byte: most of a text, without the tree */
} Numbering;

static int compare_nodes(const void *a, const void *b)
{
    return token_compare(a, b);
}

static bool number_token(Numbering *n, const Token *token, int32_t *out_id)
{
    int32_t *quick = token->size == 1 ? &n->byte[(uint8_t)token->at[0]] : NULL;
    if (quick && *quick) {
        *out_id = *quick - 1;
        return true;
    }
    Node **found = tfind(token, &n->tree, compare_nodes);
    if (!found) {
        if (n->count == n->capacity) {
            int32_t capacity = n->capacity ? n->capacity * 2 : 1024;
            Node **nodes = n->capacity > INT32_MAX / 2
                             ? NULL
                             : realloc(n->nodes, (size_t)capacity * sizeof *nodes);
            if (!nodes)
                return false;
            n->nodes = nodes;
            n->capacity = capacity;
        }
        Node *node = malloc(sizeof *node);
        if (!node)
            return false;
        *node = (Node){ *token, n->count };
        found = tsearch(node, &n->tree, compare_nodes);
        if (!found) {
            free(node);
            return false;
        }
        n->nodes[n->count++] = node;
    }
    *out_id = (*found)->id;
    if (quick)
        *quick = *out_id + 1;
    return true;
}

static void numbering_free(Numbering *n)
{
    tdestroy(n->tree, free);
    free(n->nodes);
}

/* The streams of all parts behind one another, as bytes or as tokens. */
static bool stream_parts(const HostData *data, const char *field, DlrtDtype dtype, const void **out,
                         HostError *out_error)
{
    const HostTable *t = &data->tables[0];
    int index = data->table_count == 1 ? host_table_find(t, field) : -1;
    if (index < 0 || t->fields[index].dtype != dtype || t->fields[index].rank)
        return host_fail(out_error, "E0612", "%s is no %s", t->origin,
                         dtype == DLRT_U8 ? "text" : "stream of tokens");
    for (int i = 0; i < data->part_count; i++)
        if (data->parts[i].view.rows)
            return host_fail(out_error, "E0611",
                             "%s: text is split where it stands; leave out the seed of split",
                             t->origin);
    *out = t->fields[index].data;
    return true;
}

static bool name_tokens(HostTable *t, const Numbering *n, HostError *out_error)
{
    char **names = calloc((size_t)n->count + 1, sizeof *names);
    bool ok = names != NULL;
    for (int32_t i = 0; ok && i < n->count; i++)
        ok = (names[i] = strndup(n->nodes[i]->token.at, n->nodes[i]->token.size)) != NULL;
    if (ok)
        ok = host_table_set_classes(t, 0, (const char *const *)names, n->count, out_error);
    else
        host_fail_memory(out_error, t->origin, n->count);
    for (int32_t i = 0; names && i < n->count; i++)
        free(names[i]);
    free(names);
    return ok;
}

/* Tokens of each part in turn, into a table of their own; views[] is where the parts lie in it. */
static bool tokenize_parts(const HostData *data, HostTokenKind kind, const char *text, Numbering *n,
                           HostTable *out_table, HostView *views, HostError *out_error)
{
    int64_t count = 0;
    Token token;
    for (int pass = 0; pass < 2; pass++) {
        int32_t *tok = NULL;
        if (pass) {
            if (!host_table_new(data->tables[0].origin, count, out_table, out_error)
                || !host_table_add_field(out_table, "tok", DLRT_I32, 0, NULL, NULL, out_error))
                return false;
            tok = out_table->fields[0].data;
        }
        count = 0;
        for (int i = 0; i < data->part_count; i++) {
            const HostView *v = &data->parts[i].view;
            const char *p = text + v->begin, *end = p + v->count;
            views[i] = (HostView){ .begin = count };
            for (; token_next(kind, &p, end, &token); count++)
                if (pass && !number_token(n, &token, &tok[count]))
                    return host_fail_memory(out_error, data->tables[0].origin, n->count);
            views[i].count = count - views[i].begin;
        }
    }
    return name_tokens(out_table, n, out_error);
}

bool host_tokenize(HostData *data, HostTokenKind kind, bool lower, HostError *out_error)
{
    const void *stream;
    HostTable t = { 0 };
    HostView views[HOST_MAX_PARTS];
    Numbering n = { 0 };
    if (!stream_parts(data, "text", DLRT_U8, &stream, out_error))
        return false;
    char *text = (char *)(uintptr_t)stream;
    for (int64_t i = 0; lower && i < data->tables[0].count; i++)
        text[i] += text[i] >= 'A' && text[i] <= 'Z' ? 'a' - 'A' : 0;
    bool ok = tokenize_parts(data, kind, text, &n, &t, views, out_error);
    numbering_free(&n);
    if (!ok) {
        host_table_free(&t);
        return false;
    }
    host_table_free(&data->tables[0]);
    data->tables[0] = t;
    for (int i = 0; i < data->part_count; i++) {
        views[i].table = &data->tables[0];
        data->parts[i].view = views[i];
    }
    return true;
}

/* ---- Windows ---- */

static bool window_table(const HostTable *from, const HostView *v, int64_t length, int64_t lanes,
                         const char *part, HostTable *out, HostError *out_error)
{
    int64_t row, pieces;
    if (!host_mul(length, lanes, &row))
        return host_fail(out_error, "E0609", "windows(%" PRId64 "): too long", length);
    pieces = v->count > 0 ? (v->count - 1) / row : 0; /* of every lane */
    if (!pieces)
        return host_fail(out_error, "E0608",
                         "%s: %s has %" PRId64 " tokens, too few for one window of %" PRId64
                         " and the token after it%s",
                         from->origin, part, v->count, length, lanes > 1 ? " in every lane" : "");
    if (!host_table_new(from->origin, pieces * lanes, out, out_error)
        || !host_table_add_field(out, "tok", DLRT_I32, 1, &length, NULL, out_error)
        || !host_table_add_field(out, "next", DLRT_I32, 1, &length, NULL, out_error))
        return false;
    const int32_t *stream = (const int32_t *)from->fields[0].data + v->begin;
    int32_t *tok = out->fields[0].data, *next = out->fields[1].data;
    for (int64_t k = 0; k < pieces; k++)
        for (int64_t l = 0; l < lanes; l++) {
            const int32_t *piece = stream + (l * pieces + k) * length;
            int64_t at = (k * lanes + l) * length;
            memcpy(tok + at, piece, (size_t)length * sizeof *tok);
            memcpy(next + at, piece + 1, (size_t)length * sizeof *next);
        }
    const HostField *f = &from->fields[0];
    for (int i = 0; f->class_count && i < 2; i++)
        if (!host_table_set_classes(out, i, f->class_names, f->class_count, out_error))
            return false;
    return true;
}

bool host_windows(HostData *data, int64_t length, int64_t lanes, HostError *out_error)
{
    const void *stream;
    if (length < 1 || lanes < 1)
        return host_fail(out_error, "E0612", "windows(%" PRId64 ", lanes=%" PRId64 "): at least 1",
                         length, lanes);
    if (!stream_parts(data, "tok", DLRT_I32, &stream, out_error))
        return false;
    HostTable *tables = calloc(HOST_MAX_PARTS, sizeof *tables);
    if (!tables)
        return host_fail_memory(out_error, data->tables[0].origin, (int64_t)sizeof *tables);
    bool ok = true;
    for (int i = 0; ok && i < data->part_count; i++)
        ok = window_table(&data->tables[0], &data->parts[i].view, length, lanes,
                          data->parts[i].name,
                          &tables[i], out_error);
    if (!ok) {
        for (int i = 0; i < HOST_MAX_PARTS; i++)
            host_table_free(&tables[i]);
        free(tables);
        return false;
    }
    host_table_free(&data->tables[0]);
    free(data->tables);
    data->tables = tables;
    data->table_count = data->part_count;
    for (int i = 0; i < data->part_count; i++)
        data->parts[i].view = host_view_all(&tables[i]);
    return true;
}
