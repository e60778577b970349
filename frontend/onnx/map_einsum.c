/* map_einsum.c: Einsum in the language's notation.
 *
 * ONNX names axes by letters without blanks, may leave the result out, and has `...` for any axes,
 * which broadcast. The language wants each axis named, no name twice in an operand. So `...` become
 * letters of their own; a letter that an operand has twice is its diagonal: what is beside it is
 * cleared, and the second axis gets a name that is summed. */
#include "frontend/onnx/map.h"

#include <ctype.h>
#include <string.h>

enum { LABELS = 4 * MAX_RANK, MOST_OPERANDS = 16, DOTS = 128 };

/* Axes of one operand: letters, or DOTS + k for axis k of `...`, counted from the right. */
typedef struct {
    uint8_t at[LABELS];
    uint32_t n;
} Labels;

/* Reads letters up to `end`; `dots` is how many axes `...` stands for. */
static bool read_labels(OnnxNode *q, const char *c, const char *end, uint32_t dots, Labels *out)
{
    bool seen = false;
    *out = (Labels){ 0 };
    for (; c < end; c++) {
        if (*c == ' ')
            continue;
        if (out->n + dots >= LABELS)
            return node_wrong(q, "an equation of too many axes");
        if (*c == '.' && !seen && end - c >= 3 && c[1] == '.' && c[2] == '.') {
            for (uint32_t k = dots; k-- > 0;)
                out->at[out->n++] = (uint8_t)(DOTS + k);
            seen = true;
            c += 2;
        } else if (isalpha((unsigned char)*c) && (unsigned char)*c < DOTS) {
            out->at[out->n++] = (uint8_t)*c;
        } else {
            return node_wrong(q, "an equation that cannot be read");
        }
    }
    return true;
}

static uint32_t letters(const char *c, const char *end, bool *out_dots)
{
    uint32_t n = 0;
    *out_dots = false;
    for (; c < end; c++) {
        n += isalpha((unsigned char)*c) != 0;
        *out_dots |= *c == '.';
    }
    return n;
}

/* A name of the language: the letter; `...` are r0, r1, ..; `other` makes it one of its own. */
static const char *label_text(OnnxNode *q, uint8_t label, uint32_t other)
{
    const char *name = label >= DOTS ? text_printf(q, "r%d", label - DOTS)
                                     : text_printf(q, "%c", label);
    return other ? text_printf(q, "%s_%u", name, other) : name;
}

/* The operand with its diagonals alone, and its names. */
static const char *operand(OnnxNode *q, uint32_t input, Labels *l, const char **out_names)
{
    const char *x = onnx_factor(q, input), *names = "";
    const Shape *s = node_shape(q, input);
    for (uint32_t i = 0; x && i < l->n; i++) {
        uint32_t first = 0;
        while (l->at[first] != l->at[i])
            first++;
        names = text_printf(q, "%s%s%s", names, i ? " " : "",
                            label_text(q, l->at[i], first < i ? i : 0));
        if (first == i)
            continue;
        Shape to = { .rank = s->rank };
        for (uint32_t d = 0; d < s->rank; d++)
            to.dim[d] = d == first || d == i ? s->dim[d] : dim_of(1);
        if (s->dim[i].k || s->dim[first].k) {
            node_pins_batch(q);
            return NULL;
        }
        if (!dim_equal(s->dim[i], s->dim[first])) {
            node_wrong(q, "the diagonal of %s", shape_text(q->im->a, s));
            return NULL;
        }
        x = text_printf(q, "select(reshape(iota(%lld) == unsqueeze(iota(%lld)), %s), %s, 0)",
                        (long long)s->dim[i].n, (long long)s->dim[i].n, text_dims(q, &to), x);
    }
    *out_names = names;
    return x;
}

/* The result that is not written: letters that occur once, sorted, after `...`. */
static void implied(const Labels *all, uint32_t n, uint32_t dots, Labels *out)
{
    uint32_t count[DOTS] = { 0 };
    *out = (Labels){ 0 };
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < all[i].n; k++)
            if (all[i].at[k] < DOTS)
                count[all[i].at[k]]++;
    for (uint32_t k = dots; k-- > 0;)
        out->at[out->n++] = (uint8_t)(DOTS + k);
    for (uint32_t c = 0; c < DOTS && out->n < LABELS; c++)
        if (count[c] == 1)
            out->at[out->n++] = (uint8_t)c;
}

bool map_einsum(OnnxNode *q)
{
    const char *equation = attribute_string(q, "equation", ""), *arrow = strstr(equation, "->");
    const char *end = arrow ? arrow : equation + strlen(equation), *c = equation;
    Labels all[MOST_OPERANDS], result;
    uint32_t n = node_inputs(q), dots = 0;
    const char *pattern = "", *operands = "";
    if (n > MOST_OPERANDS)
        return node_unsupported(q, "%u operands", n);
    for (uint32_t i = 0; i < n; i++) {
        const char *comma = memchr(c, ',', (size_t)(end - c)), *stop = comma ? comma : end, *names;
        bool has_dots;
        uint32_t own = letters(c, stop, &has_dots), rank = node_shape(q, i)->rank;
        if (q->failed || (i + 1 < n) != (comma != NULL) || own > rank || (own < rank && !has_dots))
            return q->failed ? false : node_wrong(q, "an equation for other operands");
        if (!read_labels(q, c, stop, rank - own, &all[i]))
            return false;
        dots = dots > rank - own ? dots : rank - own;
        const char *x = operand(q, i, &all[i], &names);
        if (!x)
            return false;
        pattern = text_printf(q, "%s%s%s", pattern, i ? ", " : "", names);
        operands = text_printf(q, "%s, %s", operands, x);
        c = stop + (comma != NULL);
    }
    if (!arrow)
        implied(all, n, dots, &result);
    else if (!read_labels(q, arrow + 2, arrow + strlen(arrow), dots, &result))
        return false;
    const char *names = "";
    for (uint32_t i = 0; i < result.n; i++)
        names = text_printf(q, "%s%s%s", names, i ? " " : "", label_text(q, result.at[i], 0));
    return onnx_let_product(q, text_printf(q, "einsum(\"%s -> %s\"%s)", pattern, names, operands));
}
