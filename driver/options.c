/* options.c: reads a command line by the table in options.def, the one source of getopt_long's list
 * and of the help. */
#include "driver/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const OptionRow option_rows[OPT_COUNT] = {
#define OPTION(id, letter, name, argument, tools, help) { letter, name, argument, help, tools },
#include "driver/options.def"
#undef OPTION
};

enum { MAX_ARGUMENT_FILE = 1 << 20, MAX_WORDS = 4096 };

static const char *tool_name(unsigned tool)
{
    return tool == DLCC ? "dlcc" : "dlrun";
}

typedef VEC(char *) Words;

/* The words of an `@file`, separated by blanks; no quoting. */
static bool read_words(Arena *a, const char *path, Words *out)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    char *text = arena_alloc(a, MAX_ARGUMENT_FILE + 1);
    size_t n = fread(text, 1, MAX_ARGUMENT_FILE, f);
    fclose(f);
    text[n] = 0;
    for (char *save = NULL, *w = strtok_r(text, " \t\r\n", &save); w;
         w = strtok_r(NULL, " \t\r\n", &save))
        if (out->n < MAX_WORDS)
            vec_push(a, out, w);
    return true;
}

static bool gather_words(Options *o, int argc, char **argv, Words *out)
{
    for (int i = 0; i < argc; i++)
        if (i && argv[i][0] == '@') {
            if (!read_words(o->arena, argv[i] + 1, out)) {
                fprintf(stderr, "%s: cannot read %s: %s\n", tool_name(o->tool), argv[i] + 1,
                        strerror(errno));
                return false;
            }
        } else {
            vec_push(o->arena, out, argv[i]);
        }
    vec_push(o->arena, out, NULL);
    return true;
}

static void keep_value(Options *o, OptionId id, const char *text)
{
    OptionValue v = { .text = text, .value = text };
    const char *equals = text ? strchr(text, '=') : NULL;
    if (equals) {
        v.name = arena_strndup(o->arena, text, (size_t)(equals - text));
        v.value = equals + 1;
    }
    vec_push(o->arena, &o->given[id], v);
}

static OptionId id_of_letter(int letter)
{
    int id = 0;
    while (id < OPT_COUNT && option_rows[id].letter != letter)
        id++;
    return (OptionId)id;
}

bool options_parse(Options *o, Arena *arena, unsigned tool, int argc, char **argv)
{
    struct option longs[OPT_COUNT + 1] = { { 0 } };
    char shorts[2 * OPT_COUNT + 2] = ":";
    int n = 0, at = 1;
    *o = (Options){ .arena = arena, .tool = tool };
    for (int id = 0; id < OPT_COUNT; id++) {
        const OptionRow *r = &option_rows[id];
        if (!(r->tools & tool))
            continue;
        longs[n++] = (struct option){ r->name, r->argument ? required_argument : no_argument, NULL,
                                      256 + id };
        if (r->letter)
            shorts[at++] = r->letter;
        if (r->letter && r->argument)
            shorts[at++] = ':';
    }
    Words words = { 0 };
    if (!gather_words(o, argc, argv, &words))
        return false;
    optind = 1;
    opterr = 0;
    for (int c; (c = getopt_long((int)words.n - 1, words.at, shorts, longs, NULL)) != -1;) {
        if (c == '?' || c == ':') {
            const char *word = words.at[optind - 1];
            fprintf(stderr, "%s: %s `%s`. `%s --help` lists the options.\n", tool_name(tool),
                    c == '?' ? "no option" : "an argument is missing after", word, tool_name(tool));
            return false;
        }
        OptionId id = c >= 256 ? (OptionId)(c - 256) : id_of_letter(c);
        const char *form = option_rows[id].argument;
        if (form && *form != '[' && strchr(form, '=') && !strchr(optarg, '=')) {
            fprintf(stderr, "%s: --%s takes %s, not `%s`\n", tool_name(tool), option_rows[id].name,
                    form, optarg);
            return false;
        }
        keep_value(o, id, optarg);
    }
    for (int i = optind; words.at[i]; i++)
        vec_push(arena, &o->words, words.at[i]);
    return true;
}

bool option_given(const Options *o, OptionId id)
{
    return o->given[id].n > 0;
}

const char *option_value(const Options *o, OptionId id, const char *otherwise)
{
    return o->given[id].n ? o->given[id].at[o->given[id].n - 1].text : otherwise;
}

bool option_number(const Options *o, OptionId id, long long low, long long high, long long *inout_n)
{
    const char *text = option_value(o, id, NULL);
    char *end;
    if (!text)
        return true;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (errno || end == text || *end || n < low || n > high) {
        fprintf(stderr, "%s: --%s takes a whole number from %lld to %lld, not `%s`\n",
                tool_name(o->tool), option_rows[id].name, low, high, text);
        return false;
    }
    *inout_n = n;
    return true;
}

void options_print(FILE *out, unsigned tool)
{
    for (int id = 0; id < OPT_COUNT; id++) {
        const OptionRow *r = &option_rows[id];
        if (!(r->tools & tool))
            continue;
        char left[48], letter[8] = "    ";
        if (r->letter)
            snprintf(letter, sizeof letter, "-%c, ", r->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, r->name, r->argument ? " " : "",
                 r->argument ? r->argument : "");
        fprintf(out, "  %-30s %s\n", left, r->help);
    }
}
