/* tool.c: the shared main of dlcc and dlrun. */
#include "driver/verbs.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* A model's file is mapped. When another process makes it shorter, reading on is a signal, in the
 * middle of anything: what is said then may only be constant. */
static void on_cut_file(int number, siginfo_t *info, void *unused)
{
    static const char said[] = "error: a file was made shorter while it was read\n";
    (void)unused;
    if (info->si_code == BUS_ADRERR) {
        ssize_t n = write(STDERR_FILENO, said, sizeof said - 1);
        _exit(n < 0 ? EXIT_INTERNAL : EXIT_FILE);
    }
    signal(number, SIG_DFL); /* it happens again, and ends the process as it would have */
}

static void watch_files(void)
{
    struct sigaction action = { .sa_sigaction = on_cut_file, .sa_flags = SA_SIGINFO };
    sigaction(SIGBUS, &action, NULL);
}

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
    watch_files();
    signal(SIGXFSZ, SIG_IGN); /* a file too large is a failed write */
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
