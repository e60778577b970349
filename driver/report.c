/* report.c: curves of losses and metrics over the steps of a run, as SVG inside a page of HTML.
 *
 * A run of any length is at most some thousand points a curve: a point is the mean over `width`
 * steps, and when a curve is full, neighbours join and the width doubles. The page has neither
 * times nor speeds, so that equal runs give equal pages. A loss that falls over more than two
 * decades is drawn by its logarithm. */
#include "driver/report.h"

#include "runtime/host/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 1024, WIDTH = 720, HEIGHT = 240, LEFT = 70, RIGHT = 12, TOP = 12, BOTTOM = 28 };
#define LOG_RANGE 100.0 /* largest over smallest: from here on by the logarithm */

typedef struct {
    double step, value; /* at the end of the point's steps; their mean */
} Point;

typedef struct {
    const char *name;
    bool percent;
    Point at[POINTS];
    int n;
    int64_t width, pending; /* values of a point; of them in the last one */
} Curve;

struct Report {
    const char *path;
    Arena *arena;
    VEC(Curve *) losses, metrics;
};

Report *report_new(const Train *t)
{
    const Run *run = t->engine->run;
    const char *path = option_value(&run->options, OPT_REPORT, t->engine->unit->recipe.report);
    if (!path)
        return NULL;
    Report *r = arena_make(run->arena, Report);
    *r = (Report){ .path = path, .arena = run->arena };
    return r;
}

/* ---- Curves ---- */

static Curve *curve_new(Report *r, const char *name, bool percent)
{
    Curve *c = arena_make(r->arena, Curve);
    c->name = name;
    c->percent = percent;
    c->n = 0;
    c->width = 1;
    c->pending = 0;
    return c;
}

static void halve(Curve *c)
{
    for (int i = 0; i < POINTS / 2; i++)
        c->at[i] =
            (Point){ c->at[2 * i + 1].step, 0.5 * (c->at[2 * i].value + c->at[2 * i + 1].value) };
    c->n = POINTS / 2;
    c->width *= 2;
}

static void curve_add(Curve *c, int64_t step, double value)
{
    if (!c->pending && c->n == POINTS)
        halve(c);
    if (!c->pending)
        c->at[c->n++] = (Point){ 0, 0 };
    Point *p = &c->at[c->n - 1];
    c->pending++;
    p->value += (value - p->value) / (double)c->pending;
    p->step = (double)step;
    if (c->pending == c->width)
        c->pending = 0;
}

void report_step(Report *r, uint32_t update, int64_t step, double loss)
{
    if (!r)
        return;
    while (r->losses.n <= update)
        vec_push(r->arena, &r->losses, curve_new(r, NULL, false));
    curve_add(r->losses.at[update], step, loss);
}

void report_round(Report *r, int64_t step, const Eval *eval)
{
    for (uint32_t i = 0; r && i < eval->metrics.n; i++) {
        const EvalMetric *m = &eval->metrics.at[i];
        if (r->metrics.n <= i)
            vec_push(r->arena, &r->metrics, curve_new(r, m->name, m->percent));
        curve_add(r->metrics.at[i], step, m->percent ? 100 * m->value : m->value);
    }
}

/* ---- Text ---- */

static void put_text(FILE *out, const char *s)
{
    for (; *s; s++)
        if (*s == '<')
            fputs("&lt;", out);
        else if (*s == '>')
            fputs("&gt;", out);
        else if (*s == '&')
            fputs("&amp;", out);
        else if (*s == '"')
            fputs("&quot;", out);
        else
            fputc(*s, out);
}

static void put_row(FILE *out, const char *name, const char *value)
{
    fputs("<tr><th>", out);
    put_text(out, name);
    fputs("</th><td>", out);
    put_text(out, value);
    fputs("</td></tr>\n", out);
}

/* ---- Plots ---- */

typedef struct {
    double x0, x1, y0, y1; /* of the data; y by its logarithm where `log` */
    bool log;
} Scale;

static double place_x(const Scale *s, double x)
{
    return LEFT + (x - s->x0) / (s->x1 - s->x0) * (WIDTH - LEFT - RIGHT);
}

static double place_y(const Scale *s, double y)
{
    return HEIGHT - BOTTOM -
           ((s->log ? log10(y) : y) - s->y0) / (s->y1 - s->y0) * (HEIGHT - TOP - BOTTOM);
}

static bool find_scale(const Curve *c, Scale *s)
{
    double low = INFINITY, high = -INFINITY;
    for (int i = 0; i < c->n; i++) {
        if (!isfinite(c->at[i].value))
            continue;
        low = fmin(low, c->at[i].value);
        high = fmax(high, c->at[i].value);
    }
    if (!c->n || low > high)
        return false;
    *s = (Scale){ .x0 = c->at[0].step - 1, .x1 = c->at[c->n - 1].step, .y0 = low, .y1 = high };
    s->log = low > 0 && high / low > LOG_RANGE;
    if (s->log)
        s->y0 = log10(low), s->y1 = log10(high);
    double room = s->y1 - s->y0;
    if (!(room > 1e-12 * fmax(fabs(s->y0), fabs(s->y1))))
        room = fabs(s->y0) > 0 ? fabs(s->y0) : 1;
    s->y0 -= 0.05 * room;
    s->y1 += 0.05 * room;
    return isfinite(s->y0) && isfinite(s->y1) && s->x1 > s->x0;
}

/* 1, 2 or 5 times a power of ten: about `n` of them in the range. */
static double tick_step(double range, int n)
{
    double rough = range / n, power = pow(10, floor(log10(rough))), rest = rough / power;
    return power * (rest < 1.5 ? 1 : rest < 3.5 ? 2 : rest < 7.5 ? 5 : 10);
}

static void put_ticks(FILE *out, const Scale *s)
{
    double step = tick_step(s->y1 - s->y0, 4);
    if (s->log && step < 1)
        step = s->y1 - s->y0 < 1.5 ? step : 1;
    for (double k = ceil(s->y0 / step); k * step <= s->y1; k++) {
        double y = s->log ? pow(10, k * step) : k * step;
        fprintf(out,
                "<line class='g' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/>"
                "<text x='%d' y='%.1f' class='y'>%.4g</text>\n",
                LEFT, WIDTH - RIGHT, place_y(s, y), place_y(s, y), LEFT - 6, place_y(s, y) + 4, y);
    }
    step = fmax(1, tick_step(s->x1 - s->x0, 6));
    for (double k = ceil(s->x0 / step); k * step <= s->x1; k++)
        fprintf(out, "<text x='%.1f' y='%d' class='x'>%.0f</text>\n", place_x(s, k * step),
                HEIGHT - 8, k * step);
}

static void put_curve(FILE *out, const Curve *c, const char *title)
{
    Scale s;
    fputs("<h2>", out);
    put_text(out, title);
    if (c->n)
        fprintf(out, " <small>%.5g%s at step %.0f</small>", c->at[c->n - 1].value,
                c->percent ? " %" : "", c->at[c->n - 1].step);
    fputs("</h2>\n", out);
    if (!find_scale(c, &s)) {
        fputs("<p>no finite values</p>\n", out);
        return;
    }
    fprintf(out, "<svg viewBox='0 0 %d %d' role='img'>\n", WIDTH, HEIGHT);
    put_ticks(out, &s);
    bool open = false; /* a value that is not finite interrupts the line */
    for (int i = 0; i < c->n; i++) {
        bool finite = isfinite(c->at[i].value);
        if (finite)
            fprintf(out, "%s%.1f,%.1f", open ? " " : "<polyline points='",
                    place_x(&s, c->at[i].step), place_y(&s, c->at[i].value));
        else if (open)
            fputs("'/>\n", out);
        open = finite;
    }
    fputs(open ? "'/>\n</svg>\n" : "</svg>\n", out);
}

/* ---- The page ---- */

static const char head[] =
    "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
    "<meta name='viewport' content='width=device-width'>\n<style>\n"
    "body{font:15px/1.5 sans-serif;max-width:760px;margin:2em auto;padding:0 1em;color:#222}\n"
    "h2{font-size:1.1em;margin:1.6em 0 .2em}small{color:#666;font-weight:normal}\n"
    "table{border-collapse:collapse}th{text-align:left;padding-right:2em;font-weight:normal;"
    "color:#666}\n"
    "svg{width:100%}polyline{fill:none;stroke:#1763b6;stroke-width:1.5}\n"
    ".g{stroke:#ddd}text{font-size:11px;fill:#666}.y{text-anchor:end}.x{text-anchor:middle}\n"
    "pre{background:#f6f6f6;padding:1em;overflow:auto}\n</style>\n";

static void put_facts(FILE *out, const Train *t)
{
    Engine *e = t->engine;
    Arena *a = e->run->arena;
    char number[HOST_NUMBER_SIZE];
    int64_t parameters = 0;
    for (uint32_t i = 0; i < e->unit->tensors.n; i++) {
        int64_t n = 0;
        if (e->unit->tensors.at[i].kind == TENSOR_PARAM &&
            shape_elements(&e->unit->tensors.at[i].shape, &n))
            parameters += n;
    }
    fputs("<table>\n", out);
    put_row(out, "parameters", host_format_count(number, parameters));
    put_row(out, "memory", host_format_bytes(number, e->model->context_bytes));
    if (t->loader) {
        put_row(out, "data", data_text(e, e->unit->recipe.on.source));
        put_row(out, "batch", host_format_count(number, t->batch));
    }
    put_row(out, "steps",
            arena_printf(a, "%lld of %lld", (long long)e->cx->clock.step, (long long)t->steps));
    put_row(out, "seed", arena_printf(a, "%llu", (unsigned long long)e->cx->clock.seed));
    put_row(out, "code for", e->model->march);
    fputs("</table>\n", out);
}

static void put_page(FILE *out, const Report *r, const Train *t)
{
    Engine *e = t->engine;
    const DlrtModel *m = e->model;
    fprintf(out, "%s<title>", head);
    put_text(out, e->unit->name);
    fputs("</title>\n</head>\n<body>\n<h1>", out);
    put_text(out, e->unit->name);
    fputs("</h1>\n", out);
    put_facts(out, t);
    for (uint32_t i = 0; i < r->losses.n; i++)
        put_curve(out, r->losses.at[i],
                  m->update_count == 1 ? "loss"
                                       : arena_printf(r->arena, "loss of %s", m->updates[i].name));
    for (uint32_t i = 0; i < r->metrics.n; i++)
        put_curve(out, r->metrics.at[i], r->metrics.at[i]->name);
    HostError error;
    char *text;
    size_t size;
    if (host_file_read(e->path, 0, &text, &size, &error)) {
        fputs("<h2>the program</h2>\n<pre>", out);
        put_text(out, text);
        fputs("</pre>\n", out);
        free(text);
    }
    fputs("</body>\n</html>\n", out);
}

bool report_write(Report *r, const Train *t, bool last)
{
    char *text = NULL;
    size_t size = 0;
    HostError error;
    if (!r)
        return true;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return false;
    put_page(out, r, t);
    fclose(out);
    bool ok = host_file_write(r->path, text, size, &error);
    free(text);
    if (!ok && last)
        engine_report_host(t->engine, 0, &error);
    return ok;
}
