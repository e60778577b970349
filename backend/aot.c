/* aot.c: objects, tables and the runtime to one library.
 *
 * Works in a temporary folder: kernels' objects, the C source of tables, the runtime's object
 * (embedded in this program). `ld -r` makes one relocatable object in which only the model's own
 * functions stay visible: so that two models, each with its runtime, live in one program. The
 * result is renamed into place when it is whole. */
#include "backend/aot.h"

#include "backend/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    Unit *u;
    const AotOptions *o;
    Arena *a;
    const char *folder;
    VEC(const char *) made; /* files to remove, in order */
} Build;

typedef VEC(char *) Command;

/* Messages call the file `shown`. */
static bool write_file(Build *b, const char *path, const void *data, size_t size,
                       const char *shown)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const char *p = data;
    size_t left = size;
    while (fd >= 0 && left) {
        ssize_t n = write(fd, p, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        p += n;
        left -= (size_t)n;
    }
    if (fd >= 0 && !close(fd) && !left)
        return true;
    diag_report(b->u->cx, DIAG_E0811, 0, "cannot write %s: %s", shown, strerror(errno));
    return false;
}

static const char *in_folder(Build *b, const char *name)
{
    const char *path = arena_printf(b->a, "%s/%s", b->folder, name);
    vec_push(b->a, &b->made, path);
    return path;
}

static bool put_file(Build *b, const char *name, const void *data, size_t size)
{
    const char *path = in_folder(b, name);
    return write_file(b, path, data, size, path);
}

static bool put_starts(Build *b, const DlrtModel *m)
{
    const char *path = in_folder(b, "starts");
    FILE *f = fopen(path, "wb");
    bool ok = f && aot_put_starts(f, m, b->o);
    if (f && fclose(f))
        ok = false;
    if (!ok)
        diag_report(b->u->cx, DIAG_E0811, 0, "cannot write %s: %s", path, strerror(errno));
    return ok;
}

/* Runs a command in the folder; its errors go to a file, the first line of which the diagnostic
 * shows. */
static bool run(Build *b, Command *c)
{
    const char *log = in_folder(b, "log");
    vec_push(b->a, c, NULL);
    pid_t pid = fork();
    if (!pid) {
        int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(b->folder))
            _exit(126);
        execvp(c->at[0], c->at);
        _exit(127);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    char line[300] = "";
    FILE *f = fopen(log, "r");
    if (f && !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        fclose(f);
    line[strcspn(line, "\n")] = 0;
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127)
        diag_report(b->u->cx, DIAG_E0810, 0, "`%s` is needed to link a library and was not found",
                    c->at[0]);
    else
        diag_report(b->u->cx, DIAG_E0810, 0, "`%s` failed: %s", c->at[0], line);
    return false;
}

static void push(Build *b, Command *c, const char *word)
{
    vec_push(b->a, c, arena_strndup(b->a, word, strlen(word)));
}

static void push_all(Build *b, Command *c, const char *const *words)
{
    for (; *words; words++)
        push(b, c, *words);
}

static bool write_objects(Build *b, const Compiled *c, const TinyEntries *tiny, Command *link)
{
    for (uint32_t i = 0; i < tiny->n; i++) {
        const char *name = arena_printf(b->a, "t%u.o", i);
        if (!put_file(b, name, tiny->at[i].object.bytes, tiny->at[i].object.size))
            return false;
        push(b, link, name);
    }
    for (uint32_t i = 0; i < c->n; i++) {
        const char *name = arena_printf(b->a, "k%u.o", i);
        if (!put_file(b, name, c->objects[i].bytes, c->objects[i].size))
            return false;
        push(b, link, name);
    }
    return true;
}

static bool compile_tables(Build *b, const ModelTables *tables, const TinyEntries *tiny)
{
    const char *source = aot_source(b->u, tables, tiny, b->o);
    Command c = { 0 };
    push_all(b, &c,
             (const char *const[]){ b->o->cc, "-std=gnu11", "-O1", "-fPIC", "-fvisibility=hidden",
                                    "-w", "-I.", "-c", "model.c", "-o", "model.o", NULL });
    const char *runtime = arena_printf(b->a, "%s/runtime", b->folder);
    if (mkdir(runtime, 0755) && errno != EEXIST) {
        diag_report(b->u->cx, DIAG_E0811, 0, "cannot write %s: %s", runtime, strerror(errno));
        return false;
    }
    return put_file(b, "runtime/dlrt.h", embedded_dlrt_h,
                    embedded_size(embedded_dlrt_h, embedded_dlrt_h_end)) &&
           put_file(b, "runtime/plan.h", embedded_plan_h,
                    embedded_size(embedded_plan_h, embedded_plan_h_end)) &&
           put_file(b, "dlrt.o", embedded_dlrt_o,
                    embedded_size(embedded_dlrt_o, embedded_dlrt_o_end)) &&
           (!b->o->weights || put_file(b, "weights", b->o->weights, b->o->weights_size)) &&
           put_starts(b, &tables->model) &&
           put_file(b, "model.c", source, strlen(source)) && in_folder(b, "model.o") && run(b, &c);
}

/* One object of everything, in which only the model's functions are global. */
static bool join_objects(Build *b, Command *objects)
{
    Command join = { 0 }, hide = { 0 };
    push_all(b, &join,
             (const char *const[]){ b->o->cc, "-r", "-nostdlib", "-o", "joined.o", "model.o",
                                    "dlrt.o", NULL });
    for (uint32_t i = 0; i < objects->n; i++)
        push(b, &join, objects->at[i]);
    push_all(b, &hide,
             (const char *const[]){ "objcopy", "-w",
                                    arena_printf(b->a, "--keep-global-symbol=%s_*", b->o->prefix),
                                    "joined.o", "final.o", NULL });
    return in_folder(b, "joined.o") && run(b, &join) && in_folder(b, "final.o") && run(b, &hide);
}

static bool link_library(Build *b, const char **out_made)
{
    const char *slash = strrchr(b->o->path, '/'), *soname = slash ? slash + 1 : b->o->path;
    Command c = { 0 };
    switch (b->o->kind) {
    case AOT_HEADER: return true;
    case AOT_OBJECT: *out_made = "final.o"; return true;
    case AOT_ARCHIVE:
        *out_made = "final.a";
        push_all(b, &c, (const char *const[]){ "ar", "rcsD", "final.a", "final.o", NULL });
        break;
    case AOT_SHARED:
        *out_made = "final.so";
        push_all(b, &c,
                 (const char *const[]){ b->o->cc, "-shared", "-fopenmp", "-Wl,-z,noexecstack",
                                        "-Wl,-z,defs", "-Wl,-z,relro", "-Wl,--build-id=none",
                                        arena_printf(b->a, "-Wl,-soname,%s", soname), "-o",
                                        "final.so", "final.o", "-lm", NULL });
        break;
    }
    return in_folder(b, *out_made) && run(b, &c);
}

/* Copies a made file beside its place and renames it there. */
static bool deliver(Build *b, const char *from, const void *text, size_t size, const char *to)
{
    const char *temporary = arena_printf(b->a, "%s.tmp%ld", to, (long)getpid());
    char *bytes = NULL;
    if (from) {
        FILE *f = fopen(arena_printf(b->a, "%s/%s", b->folder, from), "rb");
        struct stat s;
        if (f && !fstat(fileno(f), &s) && (bytes = malloc((size_t)s.st_size + 1)) != NULL)
            size = fread(bytes, 1, (size_t)s.st_size, f);
        if (f)
            fclose(f);
        text = bytes;
    }
    bool ok = text && write_file(b, temporary, text, size, to);
    free(bytes);
    if (ok && b->o->kind == AOT_SHARED && from)
        chmod(temporary, 0755);
    if (ok && rename(temporary, to)) {
        diag_report(b->u->cx, DIAG_E0811, 0, "cannot write %s: %s", to, strerror(errno));
        ok = false;
    }
    if (!ok)
        unlink(temporary);
    return ok;
}

static void clean(Build *b)
{
    for (uint32_t i = b->made.n; i-- > 0;)
        unlink(b->made.at[i]);
    rmdir(arena_printf(b->a, "%s/runtime", b->folder));
    rmdir(b->folder);
}

static bool build_library(Build *b, const Compiled *compiled, const ModelTables *tables,
                          const TinyEntries *tiny)
{
    char *folder = arena_printf(b->a, "%s/dlccXXXXXX",
                                getenv("TMPDIR") && *getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    const char *made = NULL;
    if (!mkdtemp(folder)) {
        diag_report(b->u->cx, DIAG_E0811, 0, "cannot make a temporary folder %s: %s", folder,
                    strerror(errno));
        return false;
    }
    b->folder = folder;
    Command objects = { 0 };
    bool ok = write_objects(b, compiled, tiny, &objects) && compile_tables(b, tables, tiny) &&
              join_objects(b, &objects) && link_library(b, &made) &&
              deliver(b, made, NULL, 0, b->o->path);
    clean(b);
    return ok;
}

bool aot_build(Unit *u, const Target *t, const AotOptions *o)
{
    Build b = { .u = u, .o = o, .a = u->arena };
    Compiled compiled;
    if (!program_compile(u->program, t, &compiled))
        return false;
    ModelTables *tables = model_tables(u->program, &compiled, t);
    const char *header = o->header ? aot_header(u, tables, o) : NULL;
    TinyEntries tiny = tiny_compile(u->program, &compiled, tables, t);
    bool ok = (!o->check || o->check(o->user, &tables->model)) &&
              (o->kind == AOT_HEADER || build_library(&b, &compiled, tables, &tiny)) &&
              (!header || deliver(&b, NULL, header, strlen(header), o->header));
    tiny_free(&tiny);
    compiled_free(&compiled);
    return ok;
}
