/* source_verbs.c: the verbs that only read the source: check, explain, fmt. */
#include "driver/verbs.h"
#include "frontend/syntax.h"
#include "ir/op.h"
#include "passes/op_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int verb_check(Run *r)
{
    const char *path = run_file(r, 1);
    if (!path)
        return EXIT_USAGE;
    FrontendOptions o = run_frontend_options(r);
    Unit *u = run_load(r, path, &o, "autodiff", NULL);
    int code = run_finish(r);
    if (u && !code && !option_given(&r->options, OPT_QUIET) &&
        !option_given(&r->options, OPT_JSON)) {
        int64_t parameters = 0;
        for (uint32_t i = 0; i < u->tensors.n; i++) {
            int64_t n = 0;
            if (u->tensors.at[i].kind == TENSOR_PARAM &&
                shape_elements(&u->tensors.at[i].shape, &n))
                parameters += n;
        }
        fprintf(stderr, "%s: %s is right: %u entries, %lld parameters\n", path, u->name,
                u->entries.n, (long long)parameters);
    }
    return code;
}

static int explain_op(const OpDef *d)
{
    printf("%s: %s\n\noperands: %u", d->name, d->doc, d->min_in);
    if (d->max_in != d->min_in)
        printf(d->max_in == 255 ? " or more" : " to %u", d->max_in);
    for (const AttrDecl *a = d->attrs; a && a->name; a++)
        printf("%s%s%s", a == d->attrs ? "\narguments: " : ", ", a->name,
               a->required ? "" : " (optional)");
    printf("\nderivative: %s\n", d->grad || d->expand ? "yes"
                                 : d->zero_grad       ? "zero by definition"
                                                      : "none");
    return 0;
}

int verb_explain(Run *r)
{
    if (r->options.words.n < 2) {
        for (int i = 0; i < DIAG_COUNT; i++)
            printf("%s  %s\n", diag_rows[i].code, diag_rows[i].title);
        return 0;
    }
    const char *word = r->options.words.at[1];
    if (!strcmp(word, "ops")) /* every operation, tried here and now against its reference */
        return ops_matrix(stdout) ? EXIT_CHECK : 0;
    const DiagRow *row = diag_find(word);
    if (row) {
        printf("%s: %s\n\n%s\n", row->code, row->title, row->explain);
        return 0;
    }
    if (op_find(word) != OP_COUNT)
        return explain_op(op_defs[op_find(word)]);
    fprintf(stderr, "dlcc: no error code and no operation `%s`. `dlcc explain` lists the codes.\n",
            word);
    return EXIT_USAGE;
}

static char *read_standard_input(Run *r, size_t *out_size)
{
    char *text = arena_alloc(r->arena, SYNTAX_MAX_BYTES + 2);
    *out_size = fread(text, 1, SYNTAX_MAX_BYTES + 1, stdin);
    return text;
}

static int format_one(Run *r, const char *path)
{
    size_t size;
    bool from_stdin = !strcmp(path, "-");
    char *text = from_stdin ? read_standard_input(r, &size) : run_read_file(r, path, &size);
    AstFile *file;
    if (!text)
        return EXIT_FILE;
    uint32_t source = compiler_add_source(r->cx, from_stdin ? "standard input" : path, text, size);
    if (!syntax_parse(r->cx, source, &file))
        return run_finish(r);
    const char *formatted = syntax_format(r->cx, file);
    if (from_stdin)
        return fputs(formatted, stdout) < 0 ? EXIT_FILE : 0;
    if (!strcmp(formatted, text))
        return 0;
    return run_replace_file(r, path, formatted) ? 0 : EXIT_FILE;
}

int verb_fmt(Run *r)
{
    int code = 0;
    if (r->options.words.n < 2) {
        fputs("dlcc: which files? `dlcc fmt model.dl`, or `-` for standard input\n", stderr);
        return EXIT_USAGE;
    }
    for (uint32_t i = 1; i < r->options.words.n; i++) {
        int one = format_one(r, r->options.words.at[i]);
        code = code ? code : one;
    }
    return code;
}
