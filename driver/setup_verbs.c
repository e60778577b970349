/* setup_verbs.c: the verbs for the first minutes: new, doctor, completions.
 *
 * `doctor` does what the other verbs will do (links a library, writes to the cache's folder)
 * instead of asking for versions: what matters is whether it works. */
#include "driver/verbs.h"
#include "runtime/dlrt.h"
#include "runtime/host/files.h"
#include "runtime/host/progress.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- new ---- */

static const char template[] =
    "# A wave from its points. `dlrun train %s.dl` trains it; `--set epochs=50` says otherwise.\n"
    "data waves = rows(2000)\n"
    "          |> map(x=6*rand() - 3)\n"
    "          |> map(y=sin(2*x) + 0.1*randn())\n"
    "          |> split(0.8)\n"
    "\n"
    "model %s(width: int = 32) {\n"
    "  export fn predict(x: f32[B]) -> f32[B] {\n"
    "    x |> unsqueeze |> Linear(width) |> tanh |> Linear(width) |> tanh |> Linear(1)\n"
    "      |> squeeze(axis=1)\n"
    "  }\n"
    "  fn loss(x: f32[B], y: f32[B]) -> f32 { mse(predict(x), y) }\n"
    "}\n"
    "train %s on waves.train {\n"
    "  batch = 32; epochs = 30; seed = 1; optimizer = adam(lr=cosine(1e-2))\n"
    "  metric error = loss on waves.test\n"
    "}\n";

/* two_words as TwoWords; NULL when it is no name. */
static const char *model_name(Run *r, const char *name)
{
    char *out = arena_strndup(r->arena, name, strlen(name)), *to = out;
    bool upper = true;
    if (!isalpha((unsigned char)*name))
        return NULL;
    for (; *name; name++) {
        if (!isalnum((unsigned char)*name) && *name != '_' && *name != '-')
            return NULL;
        if (isalnum((unsigned char)*name))
            *to++ = upper ? (char)toupper((unsigned char)*name) : *name;
        upper = *name == '_' || *name == '-';
    }
    *to = 0;
    return out;
}

int verb_new(Run *r)
{
    const char *name = r->options.words.n == 2 ? r->options.words.at[1] : NULL;
    const char *model = name ? model_name(r, name) : NULL;
    if (!model) {
        fprintf(stderr,
                name ? "dlcc: `%s` is no name: letters, digits, _ and -\n"
                     : "dlcc: how is it to be called? `dlcc new NAME`%s\n",
                name ? name : "");
        return EXIT_USAGE;
    }
    const char *path = arena_printf(r->arena, "%s.dl", name);
    const char *text = arena_printf(r->arena, template, name, model, model);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    size_t size = strlen(text);
    bool ok = fd >= 0 && write(fd, text, size) == (ssize_t)size;
    if (fd >= 0)
        ok &= !close(fd);
    if (!ok) {
        fprintf(stderr, "dlcc: cannot write %s: %s\n", path, strerror(errno));
        return EXIT_FILE;
    }
    if (!option_given(&r->options, OPT_QUIET))
        fprintf(stderr, "%s  written. Next: dlrun train %s\n", path, path);
    return 0;
}

/* ---- doctor ---- */

static bool report(const char *what, bool ok, bool needed, const char *text)
{
    printf("%-4s %-10s %s\n", ok ? "ok" : needed ? "BAD" : "no", what, text);
    return ok || !needed;
}

/* Whether the command ends with 0; its output is dropped. */
static bool runs(char *const *words)
{
    pid_t pid = fork();
    if (!pid) {
        int fd = open("/dev/null", O_RDWR);
        if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
            _exit(126);
        execvp(words[0], words);
        _exit(127);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool try_link(Run *r, const char *cc)
{
    static const char source[] = "#include <math.h>\nint omp_get_max_threads(void);\n"
                                 "double f(double x) { return exp(x) + omp_get_max_threads(); }\n";
    const char *tmp = getenv("TMPDIR");
    char *folder = arena_printf(r->arena, "%s/dlccXXXXXX", tmp && *tmp ? tmp : "/tmp");
    HostError error;
    if (!mkdtemp(folder))
        return report("linking", false, true, arena_printf(r->arena, "cannot write to %s", folder));
    char *c = arena_printf(r->arena, "%s/try.c", folder),
         *so = arena_printf(r->arena, "%s/try.so", folder);
    char *command[] = { arena_strndup(r->arena, cc, strlen(cc)),
                        "-shared",
                        "-fPIC",
                        "-fopenmp",
                        "-o",
                        so,
                        c,
                        "-lm",
                        NULL };
    bool ok = host_file_write(c, source, sizeof source - 1, &error) && runs(command);
    unlink(c);
    unlink(so);
    rmdir(folder);
    return report("linking", ok, true,
                  ok ? arena_printf(r->arena, "%s links a library with OpenMP", cc)
                     : arena_printf(r->arena,
                                    "`%s -shared -fopenmp` fails: install gcc, or name another "
                                    "compiler with --cc. dlrun does not need it",
                                    cc));
}

static bool has_program(Run *r, const char *name, const char *for_what)
{
    char *command[] = { arena_strndup(r->arena, name, strlen(name)), "--version", NULL };
    bool ok = runs(command);
    return report(name, ok, true, ok ? for_what : "not found: install binutils");
}

int verb_doctor(Run *r)
{
    Target native;
    char path[4096];
    HostError error;
    Arena *a = r->arena;
    const char *cc = option_value(&r->options, OPT_CC, "cc");
    bool ok = target_parse("native", &native);
    int threads = dlrt_default_threads();
    const char *level = arena_printf(a, "%s%s%s", native.llvm_cpu, *native.llvm_features ? " " : "",
                                     native.llvm_features);
    ok &= report("processor", ok, true, level);
    report("threads", true, false,
           arena_printf(a, "%d, by affinity, OMP_NUM_THREADS and the quota", threads));
    ok &= try_link(r, cc);
    ok &= has_program(r, "objcopy", "keeps the names in a library apart");
    ok &= has_program(r, "ar", "makes .a");
    bool data = host_find("fashion-mnist", NULL, path, sizeof path, &error);
    report("data", data, false,
           data ? path : "no fashion-mnist for the examples: install dataset-fashion-mnist");
    return ok ? 0 : EXIT_FILE;
}

/* ---- completions ---- */

int verb_completions(Run *r)
{
    const char *name = r->options.tool == DLCC ? "dlcc" : "dlrun";
    const char *shell = r->options.words.n > 1 ? r->options.words.at[1] : "bash";
    if (strcmp(shell, "bash")) {
        fprintf(stderr, "%s: completions for bash only (zsh reads them after bashcompinit)\n",
                name);
        return EXIT_USAGE;
    }
    printf("# %s: completion for bash: source <(%s completions)\n_%s() {\n", name, name, name);
    printf("  local word=${COMP_WORDS[COMP_CWORD]} verbs='");
    for (uint32_t i = 0; i < r->n_verbs; i++)
        printf("%s%s", i ? " " : "", r->verbs[i].name);
    printf("' options='");
    for (int i = 0, n = 0; i < OPT_COUNT; i++)
        if (option_rows[i].tools & r->options.tool)
            printf("%s--%s", n++ ? " " : "", option_rows[i].name);
    printf("'\n"
           "  COMPREPLY=()\n"
           "  case $word in\n"
           "  -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
           "  *) [ \"$COMP_CWORD\" = 1 ] && COMPREPLY=($(compgen -W \"$verbs\" -- \"$word\")) ;;\n"
           "  esac\n"
           "}\ncomplete -o default -F _%s %s\n",
           name, name);
    return 0;
}
