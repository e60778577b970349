/* cases.c: see cases.h. The generator is splitmix64: one word of state, any seed is good. */
#include "ir/cases.h"

#include <math.h>

CaseRng case_rng(Arena *a, uint64_t seed)
{
    return (CaseRng){ .arena = a, .state = seed };
}

uint64_t case_random(CaseRng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double case_uniform(CaseRng *r, double lo, double hi)
{
    return lo + (hi - lo) * ((double)(case_random(r) >> 11) * 0x1p-53);
}

int64_t case_integer(CaseRng *r, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(case_random(r) % ((uint64_t)(hi - lo) + 1));
}

NodeId case_input(Graph *g, CaseRng *r, Dtype dtype, uint32_t rank, const int64_t *dims, double lo,
                  double hi, bool distinct)
{
    Input in = { .name = arena_printf(g->unit->arena, "x%u", g->inputs.n),
                 .dtype = dtype,
                 .shape = { .rank = rank } };
    for (uint32_t i = 0; i < rank; i++)
        in.shape.dim[i] =
            dims[i] < 0 ? (Dim){ -dims[i] * g->batch_max, -dims[i] } : dim_of(dims[i]);
    while (r->ranges.n < g->inputs.n)
        vec_push(r->arena, &r->ranges, (CaseRange){ -1, 1, false });
    vec_push(r->arena, &r->ranges, (CaseRange){ lo, hi, distinct });
    return graph_input(g, in);
}

/* n places of a grid over the range, in random order, each moved a little. */
static void draw_distinct(CaseRng *r, Value *v, double lo, double hi)
{
    double step = (hi - lo) / (double)v->count;
    for (int64_t i = 0; i < v->count; i++) {
        int64_t j = case_integer(r, 0, i);
        v->f[i] = v->f[j];
        v->f[j] = lo + step * ((double)i + case_uniform(r, 0.25, 0.75));
    }
}

Value case_value(Arena *a, CaseRng *r, const Graph *g, uint32_t number, int64_t batch)
{
    const Input *in = &g->inputs.at[number];
    CaseRange range = number < r->ranges.n ? r->ranges.at[number] : (CaseRange){ -1, 1, false };
    Value v = value_new(a, in->dtype, &in->shape, batch);
    if (!dtype_is_float(in->dtype)) {
        int64_t lo = (int64_t)ceil(range.lo), hi = (int64_t)floor(range.hi);
        for (int64_t i = 0; i < v.count; i++)
            v.i[i] = value_wrap(in->dtype, case_integer(r, lo, hi < lo ? lo : hi));
        return v;
    }
    if (range.distinct)
        draw_distinct(r, &v, range.lo, range.hi);
    for (int64_t i = 0; i < v.count; i++)
        v.f[i] =
            value_round(in->dtype, range.distinct ? v.f[i] : case_uniform(r, range.lo, range.hi));
    return v;
}
