/* plan.c: plans as text, for people. */
#include "ir/plan.h"

#include <stdio.h>
#include <stdlib.h>

static const char *buffer_name(Arena *a, const PlanBuffer *b, uint32_t number)
{
    switch (b->kind) {
    case BUFFER_ARENA: return arena_printf(a, "arena+%lld", (long long)b->offset);
    case BUFFER_TENSOR: return arena_printf(a, "tensor %u", b->index);
    case BUFFER_INPUT: return arena_printf(a, "input %u", b->index);
    case BUFFER_OUTPUT: return arena_printf(a, "output %u", b->index);
    case BUFFER_CLOCK: return arena_printf(a, "clock %u", b->index);
    case BUFFER_STATUS: return "status";
    case BUFFER_CONST: return arena_printf(a, "const+%lld", (long long)b->offset);
    }
    return arena_printf(a, "%u", number);
}

const char *plan_text(Arena *a, const Plan *p)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return "";
    fprintf(out, "plan %s: arena %lld bytes\n", p->entry->name, (long long)p->arena_bytes);
    for (uint32_t i = 0; i < p->items.n; i++) {
        const PlanItem *t = &p->items.at[i];
        switch (t->kind) {
        case PLAN_KERNEL: fprintf(out, "  %3u kernel %u", i, t->kernel); break;
        case PLAN_CALL: fprintf(out, "  %3u %s", i, t->call); break;
        case PLAN_GUARD: fprintf(out, "  %3u guard", i); break;
        }
        for (uint32_t j = 0; j < t->buffers.n; j++)
            fprintf(out, "%s %s", j ? "," : "",
                    buffer_name(a, &p->buffers.at[t->buffers.at[j]], t->buffers.at[j]));
        fputc('\n', out);
    }
    fclose(out);
    const char *copy = arena_strndup(a, text, n);
    free(text);
    return copy;
}
