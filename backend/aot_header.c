/* aot_header.c: the C header of a model: what a person reads first, so it says in words what the
 * arguments are. */
#include "backend/aot.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const c_types[DLRT_DTYPE_COUNT] = {
    [DLRT_F64] = "double",    [DLRT_F32] = "float",    [DLRT_F16] = "uint16_t",
    [DLRT_BF16] = "uint16_t", [DLRT_I64] = "int64_t",  [DLRT_I32] = "int32_t",
    [DLRT_I16] = "int16_t",   [DLRT_I8] = "int8_t",    [DLRT_U64] = "uint64_t",
    [DLRT_U32] = "uint32_t",  [DLRT_U16] = "uint16_t", [DLRT_U8] = "uint8_t",
    [DLRT_BOOL] = "uint8_t",
};

typedef struct {
    FILE *out;
    Arena *a;
    const Unit *u;
    const DlrtModel *m;
    const char *prefix, *upper;
    const char *type; /* of a context */
} Header;

/* Names that C or C++ keep for themselves, or that the signatures use: sorted. */
static const char *const taken[] = {
    "B",        "N",        "and",      "asm",     "auto",      "bool",      "case",     "catch",
    "char",     "class",    "const",    "cx",      "default",   "delete",    "do",       "double",
    "else",     "enum",     "export",   "extern",  "false",     "float",     "for",      "friend",
    "goto",     "if",       "inline",   "int",     "long",      "namespace", "new",      "not",
    "operator", "or",       "out_loss", "private", "protected", "public",    "register", "restrict",
    "return",   "short",    "signed",   "sizeof",  "static",    "steps",     "struct",   "sums",
    "switch",   "template", "this",     "throw",   "true",      "try",       "typedef",  "union",
    "unsigned", "using",    "virtual",  "void",    "volatile",  "while",     "xor",
};

/* Functions of the C library that a model may be named after. */
static const char *const functions[] = {
    "abs",    "clock",  "div",  "exp",    "free",  "gamma",  "index",  "link", "log", "pipe",
    "pow",    "printf", "rand", "random", "read",  "select", "signal", "sin",  "cos", "sqrt",
    "system", "tan",    "tanh", "time",   "write", "y0",     "y1",     "j0",   "j1",
};

static bool is_one_of(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], name))
            return true;
    return false;
}

static const char *argument(Header *h, const char *name)
{
    return is_one_of(name, taken, sizeof taken / sizeof *taken) ? arena_printf(h->a, "%s_", name)
                                                                : name;
}

/* The prefix, but where that is a word of C, of C++ (a model Xor), or a function that everyone
 * includes. */
static const char *type_name(Header *h)
{
    bool clash = is_one_of(h->prefix, taken, sizeof taken / sizeof *taken) ||
                 is_one_of(h->prefix, functions, sizeof functions / sizeof *functions);
    return clash ? arena_printf(h->a, "%s_t", h->prefix) : h->prefix;
}

/* LENET_ACCURACY; the constants of the header itself have their names already. */
static const char *metric_name(Header *h, const char *name)
{
    static const char *const own[] = { "ABI", "B", "H", "SIZE", "SUMS" };
    const char *upper = aot_upper(h->a, name);
    return is_one_of(upper, own, sizeof own / sizeof *own) ? arena_printf(h->a, "%s_", upper)
                                                           : upper;
}

static const char *shape_of(Header *h, const DlrtValue *v)
{
    const char *text = dtype_name((Dtype)v->dtype);
    for (uint32_t d = 0; d < v->rank; d++) {
        const char *open = d ? "," : "[";
        if (!v->batch[d])
            text = arena_printf(h->a, "%s%s%lld", text, open, (long long)v->dims[d]);
        else if (v->batch[d] == 1)
            text = arena_printf(h->a, "%s%sB", text, open);
        else
            text = arena_printf(h->a, "%s%s%lldB", text, open, (long long)v->batch[d]);
    }
    return v->rank ? arena_printf(h->a, "%s]", text) : text;
}

static const char *described(Header *h, const DlrtValue *v)
{
    const char *bound = v->bound > 0 ? arena_printf(h->a, " < %lld", (long long)v->bound) : "";
    return arena_printf(h->a, "%s %s%s", v->name, shape_of(h, v), bound);
}

/* A word of a shell's line. */
static const char *quoted(Arena *a, const char *word)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-+,:@%=";
    if (*word && word[strspn(word, plain)] == 0)
        return word;
    const char *text = "'";
    for (; *word; word++)
        text =
            *word == '\'' ? arena_printf(a, "%s'\\''", text) : arena_printf(a, "%s%c", text, *word);
    return arena_printf(a, "%s'", text);
}

/* The library is found when the program starts: where it lies, told from the program's folder or
 * absolutely. */
const char *aot_use(Arena *a, AotKind kind, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *folder = slash ? arena_strndup(a, path, (size_t)(slash - path)) : ".";
    const char *library = slash ? path : arena_printf(a, "./%s", path);
    if (slash == path)
        folder = "/";
    const char *begin = arena_printf(
        a, "cc app.c %s %s", quoted(a, arena_printf(a, "-I%s", folder)), quoted(a, library));
    if (kind == AOT_ARCHIVE || kind == AOT_OBJECT)
        return arena_printf(a, "%s -fopenmp -lm -o app", begin);
    const char *from = *folder == '/' ? folder
                       : slash        ? arena_printf(a, "$ORIGIN/%s", folder)
                                      : "$ORIGIN";
    if (strchr(from, ',')) /* which -Wl would split at */
        return arena_printf(a, "%s -Xlinker -rpath -Xlinker %s -o app", begin, quoted(a, from));
    return arena_printf(a, "%s -Wl,-rpath,%s -o app", begin, quoted(a, from));
}

/* Text inside a comment of one line. */
static const char *comment(Arena *a, const char *text)
{
    char *copy = arena_strndup(a, text, strlen(text));
    for (char *c = copy; *c; c++)
        if ((unsigned char)*c < 0x20 || (*c == '*' && c[1] == '/') || (*c == '/' && c[1] == '*'))
            *c = '?';
    return copy;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void put_opening(Header *h, const AotOptions *o)
{
    fprintf(h->out, "/* %s: %s from %s; %s.\n * %s\n", comment(h->a, last_part(o->header)),
            h->m->name, comment(h->a, last_part(o->source)), h->m->march,
            comment(h->a, aot_use(h->a, o->kind, last_part(o->path))));
    for (uint32_t i = 0; i < h->m->field_count; i++)
        fprintf(h->out, " * %s\n", described(h, &h->m->fields[i].value));
    fprintf(h->out, " * No prints, exits, globals. One thread at a time per context. Every failing "
                    "call touches nothing and returns a code. */\n");
    fprintf(h->out, "#ifndef %s_H\n#define %s_H\n#include <stddef.h>\n#include <stdint.h>\n\n",
            h->upper, h->upper);
    fputs("#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n"
          "#ifndef DLCC_CODES\n#define DLCC_CODES\n"
          "enum {\n    DLCC_OK, DLCC_E_ABI, DLCC_E_CPU, DLCC_E_ARG, DLCC_E_SIZE, DLCC_E_NAME, "
          "DLCC_E_LABEL, DLCC_E_NOMEM, DLCC_E_IO,\n"
          "    DLCC_E_FORMAT, DLCC_E_NAN\n};\nenum { DLCC_WEIGHTS, DLCC_STATE };\n"
          "/* Runs work(arg, i) for all i in [0, n), in any order, and returns when all have "
          "ended. */\n"
          "typedef void dlcc_team(void *user, int n, void (*work)(void *arg, int i), void *arg);\n"
          "/* Bytes that are not in a file: each function returns 0, or not 0 to give up. size: of "
          "what is read. */\n"
          "typedef struct {\n    void *user;\n    int (*write)(void *user, const void *data, "
          "size_t size);\n"
          "    int (*read)(void *user, uint64_t offset, void *data, size_t size);\n    uint64_t "
          "size;\n} dlcc_io;\n"
          "#endif\n\n",
          h->out);
}

static void put_constants(Header *h)
{
    int64_t batch = 1;
    for (uint32_t i = 0; i < h->m->entry_count; i++)
        if (h->m->entries[i].max_batch > batch)
            batch = h->m->entries[i].max_batch;
    fprintf(
        h->out,
        "#define %s_ABI UINT64_C(0x%016llx) /* an old library with a new header is DLCC_E_ABI */\n",
        h->upper, (unsigned long long)h->m->abi);
    fprintf(h->out, "#define %s_B %lld /* B = 1..%s_B */\n", h->upper, (long long)batch, h->upper);
    fprintf(h->out, "#define %s_SIZE %lld /* bytes of one context, exactly */\n", h->upper,
            (long long)h->m->context_bytes);
    if (h->m->metric_count) {
        fputs("enum {", h->out);
        for (uint32_t i = 0; i < h->m->metric_count; i++)
            fprintf(h->out, " %s_%s,", h->upper, metric_name(h, h->m->metrics[i].name));
        fprintf(h->out, " %s_SUMS = %u };\n", h->upper, h->m->sum_count + 1);
    }
    fprintf(h->out, "typedef struct %s %s;\n\n", h->type, h->type);
}

static void put_common(Header *h)
{
    const char *p = h->prefix;
    fprintf(h->out, "uint64_t %s_abi(void);\n", p);
    fprintf(h->out, "/* mem: yours, 64-byte aligned, size >= %s_SIZE; NULL allocates. */\n",
            h->upper);
    fprintf(h->out,
            "int %s_init(uint64_t abi, void *mem, size_t size, uint64_t seed, %s **out_cx);\n", p,
            h->type);
    fprintf(h->out,
            "int %s_view(const %s *base, void *mem, size_t size, %s **out_cx); /* shares weights: "
            "serving threads */\n",
            p, h->type, h->type);
    fprintf(h->out, "void %s_free(%s *cx);\n\n", p, h->type);
}

static void put_fields(Header *h)
{
    for (uint32_t i = 0; i < h->m->field_count; i++)
        fprintf(h->out, ", const %s *%s", c_types[h->m->fields[i].value.dtype],
                argument(h, h->m->fields[i].value.name));
}

static void put_training(Header *h)
{
    const char *p = h->prefix;
    if (h->m->update_count) {
        fprintf(h->out, "/* Forward, backward, update%s. */\nint %s_step(%s *cx, size_t B",
                h->m->update_count > 1 ? ": the one of the recipe that is due" : "", p, h->type);
        put_fields(h);
        fprintf(h->out,
                ", float *out_loss);\n/* `steps` steps with the recipe's batches of %lld over your "
                "N examples%s. */\nint %s_train(%s *cx, size_t N",
                (long long)h->m->batch, h->m->shuffle ? ", shuffled" : "", p, h->type);
        put_fields(h);
        fputs(", size_t steps, float *out_loss);\n", h->out);
    }
    if (h->m->metric_count) {
        fprintf(h->out,
                "/* Adds the metrics of B examples to sums: begin with zeros, call any number of "
                "times. */\nint %s_eval(%s *cx, size_t B",
                p, h->type);
        put_fields(h);
        fprintf(
            h->out,
            ", double sums[%s_SUMS]);\ndouble %s_metric(const double sums[%s_SUMS], int which);\n",
            h->upper, p, h->upper);
    }
}

static void put_exports(Header *h)
{
    for (uint32_t i = 0; i < h->m->entry_count; i++) {
        const DlrtEntry *e = &h->m->entries[i];
        if (!aot_is_export(h->u, i))
            continue;
        fputs("/* ", h->out);
        for (uint32_t j = 0; j < e->input_count; j++)
            fprintf(h->out, "%s%s", j ? ", " : "", described(h, &e->inputs[j]));
        fputs(e->input_count ? " -> " : "-> ", h->out);
        for (uint32_t j = 0; j < e->output_count; j++)
            fprintf(h->out, "%s%s", j ? ", " : "", shape_of(h, &e->outputs[j]));
        if (e->flags & DLRT_ENTRY_PINNED)
            fprintf(h->out, "; B must be %lld", (long long)e->max_batch);
        fprintf(h->out, " */\nint %s_%s(%s *cx%s", h->prefix, aot_function(h->a, e->name), h->type,
                aot_has_batch(e) ? ", size_t B" : "");
        for (uint32_t j = 0; j < e->input_count; j++)
            fprintf(h->out, ", const %s *%s", c_types[e->inputs[j].dtype],
                    argument(h, e->inputs[j].name));
        for (uint32_t j = 0; j < e->output_count; j++) {
            fprintf(h->out, ", %s *out_%s", c_types[e->outputs[j].dtype], e->name);
            if (e->output_count > 1)
                fprintf(h->out, "_%u", j);
        }
        fputs(");\n", h->out);
    }
}

static void put_rest(Header *h)
{
    const char *p = h->prefix, *t = h->type;
    fprintf(h->out,
            "\nint %s_set(%s *cx, const char *key, double value); /* \"lr\" (NaN: schedule) "
            "\"lr_scale\" \"steps\" ... */\n",
            p, t);
    fprintf(h->out, "int %s_get(const %s *cx, const char *key, double *out_value);\n", p, t);
    fprintf(h->out,
            "/* n 0: automatic; team: your thread pool, or NULL. The same bits at any n. */\n");
    fprintf(h->out, "int %s_set_threads(%s *cx, int n, dlcc_team *team, void *user);\n\n", p, t);
    if (h->m->tensor_count)
        fprintf(h->out, "const char *%s_name(size_t i); /* \"%s\"; NULL ends */\n", p,
                comment(h->a, h->m->tensors[0].name));
    else
        fprintf(h->out, "const char *%s_name(size_t i); /* NULL ends */\n", p);
    fprintf(h->out, "int %s_shape(const char *name, size_t *out_rank, size_t out_dims[8]);\n", p);
    fprintf(h->out, "/* Copies in row-major order; count is the tensor's. */\n");
    fprintf(h->out, "int %s_read(const %s *cx, const char *name, float *out, size_t count);\n", p,
            t);
    fprintf(h->out, "int %s_write(%s *cx, const char *name, const float *in, size_t count);\n", p,
            t);
    fprintf(h->out, "/* what: DLCC_WEIGHTS, or DLCC_STATE, which resumes bit-exactly. */\n");
    fprintf(h->out,
            "int %s_save(const %s *cx, int what, const char *path);\nint %s_load(%s *cx, int what, "
            "const char *path);\n",
            p, t, p, t);
    fprintf(h->out,
            "int %s_save_to(const %s *cx, int what, const dlcc_io *io);\nint %s_load_from(%s *cx, "
            "int what, const dlcc_io *io);\n",
            p, t, p, t);
    fprintf(h->out,
            "const char *%s_error(int code);\nconst char *%s_message(const %s *cx); /* the last "
            "failure in words */\n",
            p, p, t);
    fputs("\n#ifdef __cplusplus\n}\n#endif\n#endif\n", h->out);
}

const char *aot_upper(Arena *a, const char *name)
{
    char *p = arena_strndup(a, name, strlen(name));
    for (char *c = p; *c; c++)
        *c = isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_';
    return p;
}

const char *aot_header(Unit *u, const ModelTables *tables, const AotOptions *o)
{
    char *text = NULL;
    size_t n = 0;
    Header h = { .out = open_memstream(&text, &n),
                 .a = u->arena,
                 .u = u,
                 .m = &tables->model,
                 .prefix = o->prefix,
                 .upper = aot_upper(u->arena, o->prefix) };
    if (!h.out)
        return "";
    h.type = type_name(&h);
    put_opening(&h, o);
    put_constants(&h);
    put_common(&h);
    put_training(&h);
    put_exports(&h);
    put_rest(&h);
    fclose(h.out);
    const char *copy = arena_strndup(u->arena, text, n);
    free(text);
    return copy;
}
