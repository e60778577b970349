/* counted.c: see counted.h. */
#include "driver/counted.h"

#include <string.h>

/* The axis that `count` (y.count.AXIS) names of a result called name, or -1. */
static int axis_of(const char *count, const char *name)
{
    static const char mark[] = ".count.";
    size_t n = strlen(name);
    if (strncmp(count, name, n) || strncmp(count + n, mark, sizeof mark - 1))
        return -1;
    const char *digit = count + n + sizeof mark - 1;
    return *digit >= '0' && *digit < '0' + DLRT_MAX_RANK && !digit[1] ? *digit - '0' : -1;
}

/* The number of the result that says how long result i is, and of which axis; DLRT_NONE: none. */
static uint32_t count_of(const DlrtEntry *x, uint32_t i, int *out_axis)
{
    for (uint32_t k = 0; k < x->output_count; k++) {
        const DlrtValue *c = &x->outputs[k];
        int axis = axis_of(c->name, x->outputs[i].name);
        if (axis < 0 || axis >= x->outputs[i].rank || c->rank || c->dtype != DLRT_I64)
            continue;
        *out_axis = axis;
        return k;
    }
    return DLRT_NONE;
}

bool counted_is_count(const DlrtEntry *x, uint32_t i)
{
    int axis;
    for (uint32_t k = 0; k < x->output_count; k++)
        if (count_of(x, k, &axis) == i)
            return true;
    return false;
}

void counted_cut(const DlrtEntry *x, uint32_t i, void *const *outputs, int64_t *dims)
{
    int axis;
    uint32_t by = count_of(x, i, &axis);
    if (by == DLRT_NONE)
        return;
    int64_t count, outer = 1, inner = 1, whole = dims[axis];
    memcpy(&count, outputs[by], sizeof count);
    count = count < 0 ? 0 : count > whole ? whole : count;
    for (int d = 0; d < axis; d++)
        outer *= dims[d];
    for (int d = axis + 1; d < x->outputs[i].rank; d++)
        inner *= dims[d];
    size_t row = (size_t)inner * dlrt_dtype_size(x->outputs[i].dtype);
    char *data = outputs[i];
    for (int64_t r = 1; r < outer; r++)
        memmove(data + (size_t)(r * count) * row, data + (size_t)(r * whole) * row,
                (size_t)count * row);
    dims[axis] = count;
}
