/* tool.c: the shared main of dlcc and dlrun. */
#include "driver/verbs.h"

#include <string.h>

static void print_help(unsigned tool, const char *usage, const Verb *verbs, uint32_t n)
{
    fputs(usage, stdout);
    fputs("\nVerbs\n", stdout);
    for (uint32_t i = 0; i < n; i++)
        printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
    fputs("\nOptions\n", stdout);
    options_print(stdout, tool);
}

static const Verb *find_verb(const Verb *verbs, uint32_t n, const char *word)
{
    for (uint32_t i = 0; i < n; i++)
        if (!strcmp(verbs[i].name, word))
            return &verbs[i];
    return NULL;
}

static int dispatch(Run *r, const char *usage, const Verb *verbs, uint32_t n,
                    int (*otherwise)(Run *r))
{
    const char *name = r->options.tool == DLCC ? "dlcc" : "dlrun";
    if (option_given(&r->options, OPT_HELP)) {
        print_help(r->options.tool, usage, verbs, n);
        return 0;
    }
    if (option_given(&r->options, OPT_VERSION)) {
        printf("%s %s\n", name, DLCC_VERSION);
        return 0;
    }
    if (!r->options.words.n) {
        fprintf(stderr, "%s: nothing to do. `%s --help` shows examples.\n", name, name);
        return EXIT_USAGE;
    }
    const char *word = r->options.words.at[0];
    const Verb *verb = find_verb(verbs, n, word);
    if (verb)
        return verb->run(r);
    if (otherwise && (strchr(word, '.') || strchr(word, '/')))
        return otherwise(r);
    const char *names[32];
    for (uint32_t i = 0; i < n && i < 32; i++)
        names[i] = verbs[i].name;
    const char *near = diag_nearest(word, names, n < 32 ? n : 32);
    fprintf(stderr, "%s: no verb `%s`%s%s%s\n", name, word, near ? "; did you mean `" : "",
            near ? near : "", near ? "`?" : "");
    return EXIT_USAGE;
}

int tool_main(unsigned tool, const char *usage, const Verb *verbs, uint32_t n_verbs,
              int (*otherwise)(Run *r), int argc, char **argv)
{
    Run r = { .arena = arena_new(), .cx = compiler_new(), .verbs = verbs, .n_verbs = n_verbs };
    int code = EXIT_USAGE;
    if (options_parse(&r.options, r.arena, tool, argc, argv))
        code = dispatch(&r, usage, verbs, n_verbs, otherwise);
    compiler_free(r.cx);
    arena_free(r.arena);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "%s: cannot write the output\n", tool == DLCC ? "dlcc" : "dlrun");
        code = code ? code : EXIT_FILE;
    }
    return code;
}
