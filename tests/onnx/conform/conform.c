/* conform.c: runs the standard ONNX tests as they are published, in this process' children.
 *
 *   onnx_conform DIR.. [--list FILE [--update]] [--jobs N] [--only GLOB] [-v]
 *   onnx_conform --matrix TITLE=LIST ..
 *
 * Every folder below DIR with a model.onnx is a test, named by its path from DIR. Each one runs in
 * a child of its own with bounds on time and memory, so that a crash is counted and ends nothing.
 * The children write into shared memory; what is printed is in the order of the names, whoever ends
 * first. With a list, a test that passes there must pass; `--update` writes the list anew, but
 * never loses a pass. Exit codes: 0; 1 when a listed pass is lost or, without a list, something is
 * wrong, crashes or is slow; 2 usage. */
#include "tests/onnx/conform/list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_JOBS = 64, MAX_FOLDERS = 16, MAX_TESTS = 1 << 16, WALL_SECONDS = 60 };

typedef struct {
    const char *folders[MAX_FOLDERS], *list, *only;
    int n_folders, jobs;
    bool update, matrix, verbose;
} Arguments;

typedef struct {
    const char *name, *folder;
} Test;

typedef struct {
    Arena *arena;
    VEC(Test) tests;
    CaseResult *results; /* shared with the children */
} Suite;

/* ---- Finding ---- */

static void find(Suite *s, const char *folder, size_t root, const char *only)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);
    if (n < 0)
        fprintf(stderr, "%s: %s\n", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char *path = arena_printf(s->arena, "%s/%s", folder, name);
        struct stat st;
        if (!strcmp(name, "model.onnx")) {
            Test t = { folder + root, folder };
            if (s->tests.n < MAX_TESTS && (!only || !fnmatch(only, t.name, 0)))
                vec_push(s->arena, &s->tests, t);
        } else if (*name != '.' && !stat(path, &st) && S_ISDIR(st.st_mode)) {
            find(s, path, root, only);
        }
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const Test *)a)->name, ((const Test *)b)->name);
}

/* ---- Running ---- */

static void limit(int what, rlim_t soft, rlim_t hard)
{
    setrlimit(what, &(struct rlimit){ soft, hard });
}

static void child(const char *folder, CaseResult *result)
{
    int null = open("/dev/null", O_RDWR);
    limit(RLIMIT_CPU, CASE_SECONDS + 1, CASE_SECONDS + 2);
    if (CASE_MEGABYTES)
        limit(RLIMIT_AS, (rlim_t)CASE_MEGABYTES << 20, (rlim_t)CASE_MEGABYTES << 20);
    limit(RLIMIT_CORE, 0, 0);
    alarm(WALL_SECONDS); /* a deadlock takes no time of the processor */
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
    }
    case_run(folder, result);
    _exit(0);
}

/* What the end of the process adds to what it wrote itself. */
static void judge(CaseResult *r, int status, const struct rusage *used)
{
    r->seconds = (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
                 1e-6 * (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec);
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (signal == SIGXCPU || signal == SIGALRM || signal == SIGKILL ||
        (!signal && r->status == CASE_PASS && r->seconds > CASE_SECONDS)) {
        r->status = CASE_SLOW;
        snprintf(r->message, sizeof r->message, "%s after %.1f s of the processor",
                 signal ? "ended" : "passed", r->seconds);
    } else if (signal || WEXITSTATUS(status)) {
        r->status = CASE_CRASH;
        snprintf(r->message, sizeof r->message, "%s",
                 signal ? strsignal(signal) : "exits by itself");
    }
}

static void run_all(Suite *s, int jobs)
{
    pid_t pids[MAX_JOBS] = { 0 };
    uint32_t numbers[MAX_JOBS], next = 0, running = 0;
    while (next < s->tests.n || running) {
        while (running < (uint32_t)jobs && next < s->tests.n) {
            int slot = 0;
            while (pids[slot])
                slot++;
            fflush(NULL);
            s->results[next].status = CASE_CRASH; /* until it says something else */
            snprintf(s->results[next].op, sizeof s->results[next].op, "-");
            pid_t pid = fork();
            if (!pid)
                child(s->tests.at[next].folder, &s->results[next]);
            if (pid < 0) {
                snprintf(s->results[next].message, sizeof s->results[next].message,
                         "cannot fork: %s", strerror(errno));
                next++;
                continue;
            }
            pids[slot] = pid, numbers[slot] = next++, running++;
        }
        int status;
        struct rusage used;
        pid_t pid = running ? wait4(-1, &status, 0, &used) : 0;
        for (int slot = 0; pid > 0 && slot < jobs; slot++)
            if (pids[slot] == pid) {
                judge(&s->results[numbers[slot]], status, &used);
                pids[slot] = 0, running--;
            }
        if (isatty(2) && next % 16 == 0)
            fprintf(stderr, "\r%u of %u ", next, s->tests.n);
    }
    if (isatty(2))
        fprintf(stderr, "\r%20s\r", "");
}

/* ---- Saying ---- */

static void print_results(const Suite *s, bool verbose)
{
    uint32_t counts[CASE_STATUS_COUNT] = { 0 };
    for (uint32_t i = 0; i < s->tests.n; i++) {
        const CaseResult *r = &s->results[i];
        counts[r->status]++;
        if (r->status == CASE_PASS || (r->status == CASE_UNSUPPORTED && !verbose))
            continue;
        printf("%-11s %s%s%s%s%s\n", case_status_name(r->status), s->tests.at[i].name,
               *r->reason ? " " : "", r->reason, verbose ? ": " : "", verbose ? r->message : "");
    }
    printf("passed %u failed %u unsupported %u crashed %u slow %u of %u\n", counts[CASE_PASS],
           counts[CASE_FAIL], counts[CASE_UNSUPPORTED], counts[CASE_CRASH], counts[CASE_SLOW],
           s->tests.n);
}

static List list_of(const Suite *s)
{
    List list = { 0 };
    for (uint32_t i = 0; i < s->tests.n; i++) {
        const CaseResult *r = &s->results[i];
        vec_push(s->arena, &list.rows,
                 (ListRow){ s->tests.at[i].name, r->op, r->reason, r->status });
    }
    return list;
}

/* What the list promises and what there is. The number of passes that were lost. */
static int compare(const Suite *s, const List *listed, bool partial)
{
    List now = list_of(s);
    int lost = 0, gained = 0;
    for (uint32_t i = 0; i < listed->rows.n; i++) {
        const ListRow *was = &listed->rows.at[i], *is = list_find(&now, was->name);
        if (was->status != CASE_PASS || (partial && !is))
            continue;
        if (!is || is->status != CASE_PASS) {
            printf("lost: %s is %s\n", was->name, is ? case_status_name(is->status) : "not there");
            lost++;
        }
    }
    for (uint32_t i = 0; i < now.rows.n; i++) {
        const ListRow *was = list_find(listed, now.rows.at[i].name);
        gained += now.rows.at[i].status == CASE_PASS && (!was || was->status != CASE_PASS);
    }
    if (gained)
        printf("%d more than listed pass: --update keeps them\n", gained);
    return lost;
}

static int conclude(const Suite *s, const Arguments *a)
{
    List listed = { 0 };
    int lost = 0;
    if (!a->list) {
        for (uint32_t i = 0; i < s->tests.n; i++)
            lost += s->results[i].status != CASE_PASS && s->results[i].status != CASE_UNSUPPORTED;
        return lost > 0;
    }
    bool old = !access(a->list, R_OK);
    if ((old || !a->update) && !list_read(s->arena, a->list, &listed))
        return 2;
    lost = compare(s, &listed, a->only != NULL);
    if (a->update && !lost && !a->only) {
        List now = list_of(s);
        const char *slash = strrchr(a->list, '/');
        const char *title = arena_printf(s->arena, "The standard ONNX tests, %s",
                                         slash ? slash + 1 : a->list);
        return list_write(&now, a->list, title) ? 0 : 2;
    }
    return lost > 0;
}

/* ---- The command line ---- */

static int matrix(Arena *arena, const Arguments *a)
{
    List lists[MAX_FOLDERS];
    const char *titles[MAX_FOLDERS];
    for (int i = 0; i < a->n_folders; i++) {
        const char *equal = strchr(a->folders[i], '=');
        if (!equal || !list_read(arena, equal + 1, &lists[i]))
            return 2;
        titles[i] = arena_strndup(arena, a->folders[i], (size_t)(equal - a->folders[i]));
    }
    list_matrix(arena, lists, titles, a->n_folders);
    return 0;
}

static bool parse(int argc, char **argv, Arguments *a)
{
    for (int i = 1; i < argc; i++) {
        const char *w = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!strcmp(w, "-v"))
            a->verbose = true;
        else if (!strcmp(w, "--update"))
            a->update = true;
        else if (!strcmp(w, "--matrix"))
            a->matrix = true;
        else if (!strcmp(w, "--list") && value)
            a->list = argv[++i];
        else if (!strcmp(w, "--only") && value)
            a->only = argv[++i];
        else if (!strcmp(w, "--jobs") && value)
            a->jobs = atoi(argv[++i]);
        else if (*w != '-' && a->n_folders < MAX_FOLDERS)
            a->folders[a->n_folders++] = w;
        else
            return false;
    }
    return a->n_folders && a->jobs >= 1 && a->jobs <= MAX_JOBS && (!a->update || a->list);
}

int main(int argc, char **argv)
{
    Arguments a = { .jobs = 2 };
    if (!parse(argc, argv, &a)) {
        fprintf(stderr, "usage: onnx_conform DIR.. [--list FILE [--update]] [--jobs N] "
                        "[--only GLOB] [-v]\n"
                        "       onnx_conform --matrix TITLE=LIST..\n");
        return 2;
    }
    Suite s = { .arena = arena_new() };
    int code;
    if (a.matrix) {
        code = matrix(s.arena, &a);
    } else {
        for (int i = 0; i < a.n_folders; i++)
            find(&s, a.folders[i], strlen(a.folders[i]) + 1, a.only);
        if (s.tests.n)
            qsort(s.tests.at, s.tests.n, sizeof *s.tests.at, by_name);
        size_t bytes = sizeof *s.results * (s.tests.n + 1);
        s.results = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (s.results == MAP_FAILED) {
            fprintf(stderr, "no memory for %u tests\n", s.tests.n);
            return 2;
        }
        run_all(&s, a.jobs);
        print_results(&s, a.verbose);
        code = conclude(&s, &a);
    }
    arena_free(s.arena);
    return fflush(stdout) || ferror(stdout) ? 2 : code;
}
