/* infer.c: what type rules are written with. */
#include "ir/op.h"

#include <string.h>

const Shape *infer_shape(const Infer *q, uint32_t i)
{
    return graph_shape(q->g, q->in[i]);
}

Dtype infer_dtype(const Infer *q, uint32_t i)
{
    return graph_dtype(q->g, q->in[i]);
}

const AttrValue *infer_attr(const Infer *q, const char *name)
{
    const AttrDecl *d = op_defs[q->op]->attrs;
    for (uint32_t i = 0; d && d[i].name; i++)
        if (!strcmp(d[i].name, name))
            return &q->attrs[i];
    assert(!"attribute not declared");
    return NULL;
}

bool infer_fail(Infer *q, DiagCode code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *message = arena_vprintf(q->g->unit->arena, format, args);
    va_end(args);
    diag_report(q->g->unit->cx, code, q->g->loc, "%s", message);
    return false;
}
