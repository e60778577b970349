/* options.h: the command line of dlcc and dlrun, from one table. */
#ifndef DLCC_DRIVER_OPTIONS_H
#define DLCC_DRIVER_OPTIONS_H
#include "ir/arena.h"

#include <stdbool.h>
#include <stdio.h>

enum { DLCC = 1, DLRUN = 2, BOTH = 3 };

typedef enum {
#define OPTION(id, letter, name, argument, tools, help) OPT_##id,
#include "driver/options.def"
#undef OPTION
    OPT_COUNT
} OptionId;

typedef struct {
    char letter;
    const char *name, *argument, *help;
    unsigned tools;
} OptionRow;
extern const OptionRow option_rows[OPT_COUNT];

typedef struct {
    const char *text;
    const char *name, *value; /* of NAME=VALUE arguments, split; name NULL when there is no `=` */
} OptionValue;

typedef struct {
    Arena *arena;
    unsigned tool;
    VEC(OptionValue) given[OPT_COUNT]; /* flags: n counts */
    VEC(const char *) words;           /* what is not an option */
} Options;

/* Reads argv, with `@file` arguments replaced by the file's words. On a mistake prints one line to
 * stderr and returns false: exit 2. */
bool options_parse(Options *o, Arena *arena, unsigned tool, int argc, char **argv);
/* Whether the option was given; its last value, or `otherwise`. */
bool option_given(const Options *o, OptionId id);
const char *option_value(const Options *o, OptionId id, const char *otherwise);
/* The option as a whole number in [low, high]; false, with a message, when it is none. Unchanged
 * when not given. */
bool option_number(const Options *o, OptionId id, long long low, long long high,
                   long long *inout_n);
/* The options of a tool, a line each. */
void options_print(FILE *out, unsigned tool);

#endif
