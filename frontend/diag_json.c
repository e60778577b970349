/* diag_json.c: diagnostics as JSON lines, for editors and scripts. Always valid JSON: what is not
 * UTF-8 becomes U+FFFD. */
#include "frontend/diag_print.h"

#include "frontend/lex.h"

#include <string.h>

static void print_string(FILE *out, const char *s)
{
    size_t n = strlen(s);
    fputc('"', out);
    for (uint32_t size; n; s += size, n -= size) {
        unsigned char c = (unsigned char)*s;
        size = lex_utf8_size(s, n);
        if (!size)
            size = 1, fputs("\\ufffd", out);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7F)
            fprintf(out, "\\u%04x", c);
        else
            fwrite(s, 1, size, out);
    }
    fputc('"', out);
}

static void print_field(FILE *out, const char *name, const char *value)
{
    fprintf(out, "\"%s\":", name);
    print_string(out, value);
}

/* ,"file":..,"line":..,"column":..,"end_line":..,"end_column":.. and, for a source without text,
 * "node". */
static void print_place(Compiler *cx, FILE *out, LocId loc)
{
    const Loc l = *loc_get(cx, loc);
    const Source *s = &cx->sources.at[l.file];
    if (!loc)
        return;
    fputc(',', out);
    print_field(out, "file", s->path);
    if (!s->text) {
        if (l.owner)
            fputc(',', out), print_field(out, "node", l.owner);
        return;
    }
    uint32_t line, column, end_line, end_column;
    Loc end = { .file = l.file, .begin = l.end, .end = l.end };
    loc_line_column(cx, loc, &line, &column);
    loc_line_column(cx, loc_make(cx, end), &end_line, &end_column);
    fprintf(out, ",\"line\":%u,\"column\":%u,\"end_line\":%u,\"end_column\":%u", line, column,
            end_line, end_column);
}

static void print_part(Compiler *cx, FILE *out, const char *kind, const char *text, LocId loc,
                       bool *first)
{
    fputs(*first ? "{" : ",{", out);
    *first = false;
    print_field(out, "kind", kind);
    fputc(',', out);
    print_field(out, "text", text);
    print_place(cx, out, loc);
    fputc('}', out);
}

void diag_print_json(Compiler *cx, FILE *out)
{
    static const char *const kinds[] = {
        [DIAG_LABEL] = "label", [DIAG_NOTE] = "note", [DIAG_HELP] = "help"
    };
    for (uint32_t i = 0; i < cx->diags.n; i++) {
        const Diag *d = &cx->diags.at[i];
        bool first = true;
        fputs("{\"v\":1,\"event\":\"diagnostic\",", out);
        print_field(out, "severity", diag_rows[d->code].exit ? "error" : "warning");
        fputc(',', out);
        print_field(out, "code", diag_rows[d->code].code);
        fputc(',', out);
        print_field(out, "message", d->message);
        print_place(cx, out, d->loc);
        fputs(",\"parts\":[", out);
        for (uint32_t k = 0; k < d->parts.n; k++)
            print_part(cx, out, kinds[d->parts.at[k].kind], d->parts.at[k].text, d->parts.at[k].loc,
                       &first);
        for (LocId loc = d->loc; loc_get(cx, loc)->parent; loc = loc_get(cx, loc)->parent) {
            const char *owner = loc_get(cx, loc)->owner;
            print_part(cx, out, "from", owner ? owner : "", loc_get(cx, loc)->parent, &first);
        }
        fputs("]}\n", out);
    }
}
