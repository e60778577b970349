/* ops_help.h: what the tests of ops share: a graph on its own, inputs, constants, values. */
#ifndef DLCC_TESTS_OPS_HELP_H
#define DLCC_TESTS_OPS_HELP_H
#include "ir/builder.h"
#include "ir/interp.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    Compiler *cx;
    Graph *g;
} Bench;

static inline int bench_setup(void **state)
{
    Compiler *cx = compiler_new();
    Bench *b = arena_make(cx->arena, Bench);
    b->cx = cx;
    b->g = graph_new(unit_new(cx, "test"), "test", 6);
    *state = b;
    return 0;
}

static inline int bench_teardown(void **state)
{
    compiler_free(((Bench *)*state)->cx);
    return 0;
}

/* A shape from extents; a negative one -k is k*B. */
static inline Shape shape_of(const Graph *g, uint32_t rank, const int64_t *dims)
{
    Shape s = { .rank = rank };
    for (uint32_t i = 0; i < rank; i++)
        s.dim[i] = dims[i] < 0 ? (Dim){ -dims[i] * g->batch_max, -dims[i] } : dim_of(dims[i]);
    return s;
}

#define SHAPE(g, ...)                                                                              \
    shape_of(g, sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t), (int64_t[]){ __VA_ARGS__ })

static inline NodeId input_of(Graph *g, Dtype t, Shape s)
{
    return graph_input(g, (Input){ .name = arena_printf(g->unit->arena, "x%u", g->inputs.n),
                                   .dtype = t, .shape = s });
}

#define INPUT(g, t, ...) input_of(g, t, SHAPE(g, __VA_ARGS__))
#define LIST(...)                                                                                  \
    attr_ints((int64_t[]){ __VA_ARGS__ }, sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t))

/* An f64 constant of the given numbers. */
static inline NodeId numbers(Graph *g, Shape s, const double *v)
{
    return b_data(g, DT_F64, &s, v);
}

/* The value of a node that depends on no input. */
static inline Value value_of(Bench *b, NodeId node)
{
    Value out;
    b->g->outputs.n = 0;
    graph_output(b->g, "y", node, -1);
    InterpArgs args = { .batch = b->g->batch_max };
    const char *bad = interp_run(b->cx->arena, b->g, &args, &out);
    if (bad)
        fail_msg("%s", bad);
    return out;
}

static inline double number_of(Bench *b, NodeId node)
{
    Value v = value_of(b, node);
    assert_int_equal(v.count, 1);
    return dtype_is_float(v.dtype) ? v.f[0] : (double)v.i[0];
}

#endif
