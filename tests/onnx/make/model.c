/* model.c: an ONNX file from a description, so that scripts can make models of any size:
 *
 *   input NAME DIMS..
 *   output NAME
 *   data NAME SEED DIMS..                 random weights, inside the file
 *   near NAME SEED MIDDLE DIMS..          numbers near MIDDLE
 *   away NAME LOCATION OFFSET DIMS..      weights in another file, which is not written
 *   node OP RESULT OPERANDS.. [axis=i:1] [epsilon=f:1e-5] [pads=l:1,1,1,1]
 *
 * All f32, opset 17. Reads standard input, writes the file named. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS = 64 };

typedef struct {
    char *at;
    size_t n, cap;
} Bytes;

static void die(const char *what)
{
    fprintf(stderr, "model: %s\n", what);
    exit(1);
}

static void *room(Bytes *b, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = 2 * (b->n + n) + 256;
        b->at = realloc(b->at, b->cap);
        if (!b->at)
            die("no memory");
    }
    b->n += n;
    return b->at + b->n - n;
}

static void varint(Bytes *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *(uint8_t *)room(b, 1) = (uint8_t)(v | 0x80);
    *(uint8_t *)room(b, 1) = (uint8_t)v;
}

static void number(Bytes *b, unsigned field, int64_t v)
{
    varint(b, (uint64_t)field << 3);
    varint(b, (uint64_t)v);
}

static void bytes(Bytes *b, unsigned field, const void *data, size_t n)
{
    varint(b, (uint64_t)field << 3 | 2);
    varint(b, n);
    memcpy(room(b, n), data, n);
}

static void text(Bytes *b, unsigned field, const char *s)
{
    bytes(b, field, s, strlen(s));
}

static void message(Bytes *b, unsigned field, Bytes *inner)
{
    bytes(b, field, inner->at ? inner->at : "", inner->n);
    free(inner->at);
    *inner = (Bytes){ 0 };
}

/* ---- Parts of a model ---- */

static void put_value(Bytes *graph, unsigned field, char **w, int dims)
{
    Bytes shape = { 0 }, tensor = { 0 }, type = { 0 }, value = { 0 };
    for (int i = 0; i < dims; i++) {
        Bytes dim = { 0 };
        number(&dim, 1, strtoll(w[1 + i], NULL, 10));
        message(&shape, 1, &dim);
    }
    number(&tensor, 1, 1);
    if (dims)
        message(&tensor, 2, &shape);
    message(&type, 1, &tensor);
    text(&value, 1, w[0]);
    message(&value, 2, &type);
    message(graph, field, &value);
}

static size_t put_dims(Bytes *tensor, char **w, int n)
{
    size_t count = 1;
    for (int i = 0; i < n; i++) {
        number(tensor, 1, strtoll(w[i], NULL, 10));
        count *= strtoull(w[i], NULL, 10);
    }
    number(tensor, 2, 1);
    return count;
}

/* Even in [middle - scale, middle + scale). */
static void put_data(Bytes *graph, const char *name, uint64_t seed, float middle, float scale,
                     char **dims, int n)
{
    Bytes t = { 0 };
    size_t count = put_dims(&t, dims, n);
    uint64_t x = seed * 2 + 1;
    text(&t, 8, name);
    varint(&t, 9 << 3 | 2);
    varint(&t, count * sizeof(float));
    char *to = room(&t, count * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        float v = middle + scale * ((float)(x >> 40) / (1 << 23) - 1);
        memcpy(to + i * sizeof v, &v, sizeof v);
    }
    message(graph, 5, &t);
}

static void put_entry(Bytes *tensor, const char *key, const char *value)
{
    Bytes pair = { 0 };
    text(&pair, 1, key);
    text(&pair, 2, value);
    message(tensor, 13, &pair);
}

static void put_away(Bytes *graph, char **w, int dims)
{
    Bytes t = { 0 };
    put_dims(&t, w + 3, dims);
    text(&t, 8, w[0]);
    put_entry(&t, "location", w[1]);
    put_entry(&t, "offset", w[2]);
    number(&t, 14, 1);
    message(graph, 5, &t);
}

static void put_attribute(Bytes *node, char *w)
{
    Bytes a = { 0 };
    char *value = strchr(w, '=');
    *value++ = 0;
    text(&a, 1, w);
    char kind = *value;
    value += 2;
    if (kind == 'f') {
        float f = strtof(value, NULL);
        varint(&a, 2 << 3 | 5);
        memcpy(room(&a, 4), &f, 4);
        number(&a, 20, 1);
    } else if (kind == 'i') {
        number(&a, 3, strtoll(value, NULL, 10));
        number(&a, 20, 2);
    } else {
        for (char *p = strtok(value, ","); p; p = strtok(NULL, ","))
            number(&a, 8, strtoll(p, NULL, 10));
        number(&a, 20, 7);
    }
    message(node, 5, &a);
}

static void put_node(Bytes *graph, char **w, int n)
{
    Bytes node = { 0 };
    for (int i = 2; i < n; i++)
        if (!strchr(w[i], '='))
            text(&node, 1, w[i]);
    text(&node, 2, w[1]);
    text(&node, 4, w[0]);
    for (int i = 2; i < n; i++)
        if (strchr(w[i], '='))
            put_attribute(&node, w[i]);
    message(graph, 1, &node);
}

static void put_line(Bytes *graph, char **w, int n)
{
    if (!strcmp(w[0], "input") && n >= 2)
        put_value(graph, 11, w + 1, n - 2);
    else if (!strcmp(w[0], "output") && n == 2)
        put_value(graph, 12, w + 1, 0);
    else if (!strcmp(w[0], "data") && n >= 3)
        put_data(graph, w[1], strtoull(w[2], NULL, 10), 0, 0.1f, w + 3, n - 3);
    else if (!strcmp(w[0], "near") && n >= 4)
        put_data(graph, w[1], strtoull(w[2], NULL, 10), strtof(w[3], NULL), 0.3f, w + 4, n - 4);
    else if (!strcmp(w[0], "away") && n >= 4)
        put_away(graph, w + 1, n - 4);
    else if (!strcmp(w[0], "node") && n >= 3)
        put_node(graph, w + 1, n - 1);
    else
        die(w[0]);
}

int main(int argc, char **argv)
{
    char line[4096], *w[WORDS];
    Bytes graph = { 0 }, model = { 0 }, opset = { 0 };
    while (fgets(line, sizeof line, stdin)) {
        int n = 0;
        for (char *p = strtok(line, " \n"); p && n < WORDS; p = strtok(NULL, " \n"))
            w[n++] = p;
        if (n)
            put_line(&graph, w, n);
    }
    text(&graph, 2, "g");
    number(&model, 1, 8);
    number(&opset, 2, 17);
    message(&model, 8, &opset);
    message(&model, 7, &graph);
    FILE *f = argc == 2 ? fopen(argv[1], "wb") : NULL;
    if (!f || fwrite(model.at, 1, model.n, f) != model.n || fclose(f))
        die(argc == 2 ? strerror(errno) : "which file?");
    free(model.at);
    return 0;
}
