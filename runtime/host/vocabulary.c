/* vocabulary.c: which tokens have a number of their own.
 *
 * Saved as text: a line `chars` or `words` (` lower`), then a line per token from number 1, with
 * \n, \r and \\ escaped. */
#include "runtime/host/internal.h"
#include "runtime/host/text.h"
#include "runtime/host/token.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void host_vocabulary_free(HostVocabulary *vocabulary)
{
    for (int i = 0; vocabulary->names && i < vocabulary->count; i++)
        free(vocabulary->names[i]);
    free(vocabulary->names);
    *vocabulary = (HostVocabulary){ 0 };
}

/* Room for `count` names; the first is there. */
static bool vocabulary_start(HostVocabulary *v, HostTokenKind kind, bool lower, int64_t count,
                             HostError *out_error)
{
    *v = (HostVocabulary){ .kind = kind, .lower = lower };
    v->names = calloc((size_t)count + 1, sizeof *v->names);
    if (v->names && (v->names[0] = strdup("")))
        v->count = 1;
    return v->count || host_fail_memory(out_error, "vocabulary", count);
}

static HostField *token_field(HostData *data, HostError *out_error)
{
    HostTable *t = data->tables;
    int index = data->table_count == 1 ? host_table_find(t, "tok") : -1;
    if (index >= 0 && !t->fields[index].rank && t->fields[index].class_count)
        return &t->fields[index];
    host_fail(out_error, "E0612", "%s has no tokens: chars(..) or words(..) makes them", t->origin);
    return NULL;
}

/* ---- Fitting ---- */

typedef struct {
    int64_t count;
    const char *name;
} Frequency;

static int compare_frequencies(const void *a, const void *b)
{
    const Frequency *f = a, *g = b;
    if (f->count != g->count)
        return f->count < g->count ? 1 : -1;
    return strcmp(f->name, g->name);
}

bool host_vocabulary_fit(HostData *data, HostTokenKind kind, bool lower, int limit,
                         HostVocabulary *out_vocabulary, HostError *out_error)
{
    *out_vocabulary = (HostVocabulary){ 0 };
    const HostField *f = token_field(data, out_error);
    if (!f)
        return false;
    if (limit < 2)
        return host_fail(out_error, "E0612", "a vocabulary of %d; token 0 is what is not known",
                         limit);
    const HostView *train = host_data_part(data, "train");
    if (!train)
        train = &data->parts[0].view;
    Frequency *all = calloc((size_t)f->class_count, sizeof *all);
    if (!all)
        return host_fail_memory(out_error, data->tables[0].origin, f->class_count);
    for (int i = 0; i < f->class_count; i++)
        all[i].name = f->class_names[i];
    for (int64_t i = 0; i < train->count; i++)
        all[((const int32_t *)f->data)[host_view_row(train, i)]].count++;
    qsort(all, (size_t)f->class_count, sizeof *all, compare_frequencies);
    bool ok = vocabulary_start(out_vocabulary, kind, lower, limit, out_error);
    for (int i = 0; ok && i < f->class_count && i < limit - 1 && all[i].count; i++) {
        char *name = strdup(all[i].name);
        ok = name || host_fail_memory(out_error, data->tables[0].origin, limit);
        if (name)
            out_vocabulary->names[out_vocabulary->count++] = name;
    }
    free(all);
    ok = ok && host_vocabulary_apply(data, out_vocabulary, out_error);
    if (!ok)
        host_vocabulary_free(out_vocabulary);
    return ok;
}

/* ---- Names to numbers ---- */

typedef struct {
    Token token; /* first: an entry compares as its token */
    int32_t id;
} Entry;

static int compare_entries(const void *a, const void *b)
{
    return token_compare(a, b);
}

/* Entries in byte order, [count - 1]; from malloc. */
static Entry *index_names(const HostVocabulary *v, HostError *out_error)
{
    Entry *entries = calloc((size_t)v->count, sizeof *entries);
    if (!entries) {
        host_fail_memory(out_error, "vocabulary", v->count);
        return NULL;
    }
    for (int i = 1; i < v->count; i++)
        entries[i - 1] = (Entry){ { v->names[i], strlen(v->names[i]) }, i };
    qsort(entries, (size_t)v->count - 1, sizeof *entries, compare_entries);
    return entries;
}

static int32_t number_of(const HostVocabulary *v, const Entry *entries, const Token *token)
{
    const Entry *found = bsearch(token, entries, (size_t)v->count - 1, sizeof *entries,
                                 compare_entries);
    return found ? found->id : 0;
}

bool host_vocabulary_apply(HostData *data, const HostVocabulary *vocabulary, HostError *out_error)
{
    HostField *f = token_field(data, out_error);
    Entry *entries = f ? index_names(vocabulary, out_error) : NULL;
    if (!entries)
        return false;
    int32_t *numbers = calloc((size_t)f->class_count, sizeof *numbers);
    bool ok = numbers || host_fail_memory(out_error, data->tables[0].origin, f->class_count);
    for (int i = 0; ok && i < f->class_count; i++) {
        Token token = { f->class_names[i], strlen(f->class_names[i]) };
        numbers[i] = number_of(vocabulary, entries, &token);
    }
    int32_t *tok = f->data;
    for (int64_t i = 0; ok && i < data->tables[0].count; i++)
        tok[i] = numbers[tok[i]];
    ok = ok && host_table_set_classes(data->tables, (int)(f - data->tables[0].fields),
                                      (const char *const *)vocabulary->names, vocabulary->count,
                                      out_error);
    free(numbers);
    free(entries);
    return ok;
}

bool host_encode(const HostVocabulary *vocabulary, const char *text, int32_t **out_tokens,
                 int64_t *out_count, HostError *out_error)
{
    size_t size = strlen(text);
    char *copy = strdup(text);
    Entry *entries = copy ? index_names(vocabulary, out_error) : NULL;
    *out_count = 0;
    *out_tokens = entries ? calloc(size + 1, sizeof **out_tokens) : NULL;
    if (!*out_tokens) {
        free(copy);
        free(entries);
        return host_fail_memory(out_error, "text", (int64_t)size);
    }
    for (size_t i = 0; vocabulary->lower && i < size; i++)
        copy[i] += copy[i] >= 'A' && copy[i] <= 'Z' ? 'a' - 'A' : 0;
    const char *p = copy;
    for (Token token; token_next(vocabulary->kind, &p, copy + size, &token);)
        (*out_tokens)[(*out_count)++] = number_of(vocabulary, entries, &token);
    free(copy);
    free(entries);
    return true;
}

char *host_decode(const HostVocabulary *vocabulary, const int32_t *tokens, int64_t count)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    for (int64_t i = 0; i < count; i++) {
        bool known = tokens[i] > 0 && tokens[i] < vocabulary->count;
        const char *name = known ? vocabulary->names[tokens[i]] : "\xef\xbf\xbd";
        bool stop = !name[1] && strchr(",.;:!?", name[0]);
        if (vocabulary->kind == HOST_WORDS && i && !stop)
            fputc(' ', f);
        fputs(name, f);
    }
    bool ok = !ferror(f);
    if (fclose(f) || !ok) {
        free(text);
        return NULL;
    }
    return text;
}

/* ---- In a checkpoint ---- */

char *host_vocabulary_save(const HostVocabulary *vocabulary)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    fprintf(f, "%s%s\n", vocabulary->kind == HOST_CHARS ? "chars" : "words",
            vocabulary->lower ? " lower" : "");
    for (int i = 1; i < vocabulary->count; i++) {
        for (const char *p = vocabulary->names[i]; *p; p++)
            if (*p == '\n' || *p == '\r' || *p == '\\')
                fprintf(f, "\\%c", *p == '\n' ? 'n' : *p == '\r' ? 'r' : '\\');
            else
                fputc(*p, f);
        fputc('\n', f);
    }
    bool ok = !ferror(f);
    if (fclose(f) || !ok) {
        free(text);
        return NULL;
    }
    return text;
}

static char *unescape(const char *from, size_t size)
{
    char *name = malloc(size + 1), *to = name;
    for (const char *p = from; name && p < from + size; p++) {
        bool escape = *p == '\\' && p + 1 < from + size;
        p += escape;
        *to++ = !escape ? *p : *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p;
    }
    if (name)
        *to = 0;
    return name;
}

bool host_vocabulary_load(const char *text, HostVocabulary *out_vocabulary, HostError *out_error)
{
    static const char *const heads[] = { "chars", "chars lower", "words", "words lower" };
    *out_vocabulary = (HostVocabulary){ 0 };
    size_t head = strcspn(text, "\n"), lines = 0;
    int which = 0;
    while (which < 4 && (strlen(heads[which]) != head || strncmp(text, heads[which], head)))
        which++;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    if (which == 4 || !lines || lines > INT32_MAX)
        return host_fail(out_error, "E0603", "a vocabulary is damaged");
    if (!vocabulary_start(out_vocabulary, which < 2 ? HOST_CHARS : HOST_WORDS, which & 1,
                          (int64_t)lines, out_error))
        return false;
    for (const char *p = text + head + 1; *p;) {
        size_t n = strcspn(p, "\n");
        char *name = p[n] && n ? unescape(p, n) : NULL;
        if (!name) {
            host_vocabulary_free(out_vocabulary);
            return host_fail(out_error, "E0603", "a vocabulary is damaged");
        }
        out_vocabulary->names[out_vocabulary->count++] = name;
        p += n + 1;
    }
    return true;
}
