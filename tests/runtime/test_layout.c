/* Whole tensors between rows and storage: every element where the layout says, both ways. */
#include "runtime/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static int64_t place(const DlrtTensor *t, const int64_t *index)
{
    const DlrtLayout *l = t->layout;
    int64_t at = 0;
    for (int d = 0; d < t->rank; d++) {
        int64_t i = index[d], block = l->block[d];
        at += block ? i / block * l->stride[d] + i % block * l->inner[d] : i * l->stride[d];
    }
    return at;
}

/* The tensor by `dlrt_layout_move`, and element by element. False: not a layout that it moves. */
static bool moves(const DlrtTensor *t)
{
    int64_t n = dlrt_tensor_count(t), index[DLRT_MAX_RANK] = { 0 };
    uint32_t *dense = malloc((size_t)n * 4), *stored = calloc((size_t)n, 4),
             *back = calloc((size_t)n, 4);
    assert_true(dense && stored && back);
    for (int64_t i = 0; i < n; i++)
        dense[i] = (uint32_t)i * 2654435761u + 1;
    bool done = dlrt_layout_move(t, stored, dense, false);
    if (done) {
        for (int64_t i = 0; i < n; i++) {
            assert_int_equal(stored[place(t, index)], dense[i]);
            for (int d = t->rank - 1; d >= 0 && ++index[d] == t->dims[d]; d--)
                index[d] = 0;
        }
        assert_true(dlrt_layout_move(t, stored, back, true));
        assert_memory_equal(back, dense, (size_t)n * 4);
    }
    free(dense);
    free(stored);
    free(back);
    return done;
}

/* Dims in an order, one axis in blocks that stand innermost. */
static bool layout(const int64_t *dims, int rank, const int *order, int blocked, int64_t block)
{
    DlrtLayout l = { 0 };
    DlrtTensor t = { .dtype = DLRT_F32, .rank = (uint8_t)rank, .layout = &l };
    int64_t step = block ? block : 1;
    for (int d = 0; d < rank; d++)
        t.dims[d] = dims[d];
    for (int i = rank - 1; i >= 0; i--) {
        int d = order[i];
        l.stride[d] = step;
        step *= block && d == blocked ? dims[d] / block : dims[d];
    }
    if (block) {
        l.block[blocked] = block;
        l.inner[blocked] = 1;
    }
    return moves(&t);
}

static void test_moves(void **state)
{
    (void)state;
    assert_true(layout((int64_t[]){ 128, 48, 3, 3 }, 4, (int[]){ 0, 2, 3, 1 }, 0, 64));
    assert_true(layout((int64_t[]){ 128, 50, 1, 1 }, 4, (int[]){ 0, 2, 3, 1 }, 0, 64));
    assert_true(layout((int64_t[]){ 10, 84 }, 2, (int[]){ 0, 1 }, 0, 10));
    assert_true(layout((int64_t[]){ 1000, 33 }, 2, (int[]){ 0, 1 }, 0, 40));
    assert_true(layout((int64_t[]){ 33, 96 }, 2, (int[]){ 1, 0 }, 1, 48)); /* rows stay together */
    assert_true(layout((int64_t[]){ 5, 7, 11 }, 3, (int[]){ 2, 0, 1 }, 0, 0));
    assert_true(layout((int64_t[]){ 5, 7, 11 }, 3, (int[]){ 0, 1, 2 }, 0, 0));
    assert_true(layout((int64_t[]){ 17, 1 }, 2, (int[]){ 1, 0 }, 0, 17));
}

static void test_refuses(void **state)
{
    (void)state;
    DlrtLayout apart = { .stride = { 14, 2 } }, blocks = { .stride = { 35, 1 }, .block = { 3 } };
    assert_false(moves(&(DlrtTensor){ .dtype = DLRT_F32, .rank = 2, .dims = { 5, 7 },
                                      .layout = &apart }));
    assert_false(moves(&(DlrtTensor){ .dtype = DLRT_F32, .rank = 2, .dims = { 5, 7 },
                                      .layout = &blocks }));
    assert_false(layout((int64_t[]){ 1, 1 }, 2, (int[]){ 0, 1 }, 0, 0));
    DlrtLayout wide = { .stride = { 1, 5 } };
    assert_false(moves(&(DlrtTensor){ .dtype = DLRT_BF16, .rank = 2, .dims = { 5, 7 },
                                      .layout = &wide }));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
