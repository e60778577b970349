/* event.c: one JSON object a line. Lines are built whole and written at once, so that a reader of
 * a pipe never sees half of one unless the write itself fails. */
#include "runtime/host/internal.h"
#include "runtime/host/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void put(HostEvent *e, const char *s, size_t n)
{
    if (e->failed)
        return;
    if (n > e->capacity - e->size) {
        size_t capacity = e->capacity * 2 + n;
        char *text = realloc(e->text, capacity);
        if (!text) {
            e->failed = true;
            return;
        }
        e->text = text;
        e->capacity = capacity;
    }
    memcpy(e->text + e->size, s, n);
    e->size += n;
}

static void put_string(HostEvent *e, const char *value)
{
    put(e, "\"", 1);
    for (const unsigned char *s = (const unsigned char *)value; *s;) {
        char escape[8];
        size_t n = host_utf8_length((const char *)s, strnlen((const char *)s, 4));
        if (!n) {
            put(e, "\\ufffd", 6);
            s++;
        } else if (*s == '"' || *s == '\\') {
            put(e, *s == '"' ? "\\\"" : "\\\\", 2);
            s++;
        } else if (*s < 32 || *s == 127) {
            put(e, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", *s));
            s++;
        } else {
            put(e, (const char *)s, n);
            s += n;
        }
    }
    put(e, "\"", 1);
}

static void put_key(HostEvent *e, const char *key)
{
    put(e, ",", 1);
    put_string(e, key);
    put(e, ":", 1);
}

static void put_number(HostEvent *e, const char *key, double value, int digits)
{
    char text[40];
    put_key(e, key);
    int n = isnan(value)   ? snprintf(text, sizeof text, "\"nan\"")
          : isinf(value) ? snprintf(text, sizeof text, value < 0 ? "\"-inf\"" : "\"inf\"")
                         : snprintf(text, sizeof text, "%.*g", digits, value);
    for (int i = 0; i < n; i++)
        if (text[i] == ',') /* a locale's decimal point */
            text[i] = '.';
    put(e, text, (size_t)n);
}

void host_event_begin(HostEvent *event, FILE *out, const char *kind)
{
    *event = (HostEvent){ .out = out };
    put(event, "{\"v\":1", 6);
    host_event_string(event, "event", kind);
}

void host_event_int(HostEvent *event, const char *key, int64_t value)
{
    char text[24];
    put_key(event, key);
    put(event, text, (size_t)snprintf(text, sizeof text, "%" PRId64, value));
}

void host_event_float(HostEvent *event, const char *key, float value)
{
    put_number(event, key, (double)value, 9);
}

void host_event_double(HostEvent *event, const char *key, double value)
{
    put_number(event, key, value, 17);
}

void host_event_bool(HostEvent *event, const char *key, bool value)
{
    put_key(event, key);
    put(event, value ? "true" : "false", value ? 4 : 5);
}

void host_event_string(HostEvent *event, const char *key, const char *value)
{
    put_key(event, key);
    if (value)
        put_string(event, value);
    else
        put(event, "null", 4);
}

bool host_event_end(HostEvent *event)
{
    put(event, "}\n", 2);
    bool ok = !event->failed && fwrite(event->text, 1, event->size, event->out) == event->size
           && !fflush(event->out);
    free(event->text);
    *event = (HostEvent){ .failed = !ok };
    return ok;
}

static void begin_at(HostEvent *e, FILE *out, const char *kind, int64_t step, int64_t epoch)
{
    host_event_begin(e, out, kind);
    host_event_int(e, "step", step);
    host_event_int(e, "epoch", epoch);
}

bool host_event_step(FILE *out, int64_t step, int64_t epoch, float loss, float lr, double seconds)
{
    HostEvent e;
    begin_at(&e, out, "step", step, epoch);
    host_event_float(&e, "loss", loss);
    if (isnan(lr))
        host_event_string(&e, "lr", NULL);
    else
        host_event_float(&e, "lr", lr);
    host_event_double(&e, "seconds", seconds);
    return host_event_end(&e);
}

bool host_event_metric(FILE *out, int64_t step, int64_t epoch, const char *name, double value)
{
    HostEvent e;
    begin_at(&e, out, "metric", step, epoch);
    host_event_string(&e, "name", name);
    host_event_double(&e, "value", value);
    return host_event_end(&e);
}

bool host_event_save(FILE *out, int64_t step, int64_t epoch, const char *path)
{
    HostEvent e;
    begin_at(&e, out, "save", step, epoch);
    host_event_string(&e, "path", path);
    return host_event_end(&e);
}

bool host_event_diagnostic(FILE *out, const char *code, const char *severity, const char *message)
{
    HostEvent e;
    host_event_begin(&e, out, "diagnostic");
    host_event_string(&e, "code", code);
    host_event_string(&e, "severity", severity);
    host_event_string(&e, "message", message);
    return host_event_end(&e);
}

bool host_event_stop(FILE *out, int64_t step, int64_t epoch, const char *reason, int exit_code)
{
    HostEvent e;
    begin_at(&e, out, "end", step, epoch);
    host_event_string(&e, "reason", reason);
    host_event_int(&e, "exit", exit_code);
    return host_event_end(&e);
}
