/* test_elab_dynamic.c: the library's functions whose results have a size that only the data tell:
 * buffers, what follows the elements that count, and counts. */
#include "tests/frontend/said.h"

/* One of the results of a call. */
#define OF(call, names, what) names " = " call "\n " what

static void kept_elements(void **state)
{
    (void)state;
    static const Said t[] = {
        { OF("compress(n, n % 3 == 0, 0)", "y, c", "y"), 1, { 8 }, { -3, 3, 0, 0, 0, 0, 0, 0 } },
        { OF("compress(n, n % 3 == 0, 0)", "y, c", "c"), 0, { 0 }, { 2 } },
        { OF("compress(x, i[0] > 0, -1)", "y, c", "y"), 2, { 2, 3 }, { 0, 0, 0, 3, 0, 0 } },
        { OF("compress(x, n > 2, 0)", "y, c", "c"), 0, { 0 }, { 0 } },
        { OF("nonzero(x % 2)", "y, c", "y"),
          2, { 2, 6 }, { 0, 1, 1, 0, 0, 0, 1, 0, 2, 0, 0, 0 } },
        { OF("nonzero(x > 9)", "y, c", "c"), 0, { 0 }, { 0 } },
    };
    EXPECT(t);
}

static void different_elements(void **state)
{
    (void)state;
    static const Said t[] = {
        { OF("unique(n*n)", "y, f, w, o, c", "y"), 1, { 8 }, { 1, 9, 25, 49, 0, 0, 0, 0 } },
        { OF("unique(n*n)", "y, f, w, o, c", "f"), 1, { 8 }, { 3, 2, 1, 0, 0, 0, 0, 0 } },
        { OF("unique(n*n)", "y, f, w, o, c", "w"), 1, { 8 }, { 3, 2, 1, 0, 0, 1, 2, 3 } },
        { OF("unique(n*n)", "y, f, w, o, c", "o"), 1, { 8 }, { 2, 2, 2, 2, 0, 0, 0, 0 } },
        { OF("unique(n*n)", "y, f, w, o, c", "c"), 0, { 0 }, { 4 } },
        { OF("unique(n % 3, sorted=false)", "y, f, w, o, c", "y"),
          1, { 8 }, { 2, 1, 0, 0, 0, 0, 0, 0 } },
        { OF("unique(n % 3, sorted=false)", "y, f, w, o, c", "f"),
          1, { 8 }, { 0, 1, 2, 0, 0, 0, 0, 0 } },
        { OF("unique(n % 3, sorted=false)", "y, f, w, o, c", "w"),
          1, { 8 }, { 0, 1, 2, 0, 1, 2, 0, 1 } },
        { OF("unique(n % 3, sorted=false)", "y, f, w, o, c", "o"),
          1, { 8 }, { 3, 3, 2, 0, 0, 0, 0, 0 } },
        /* columns (0, 4) (1, 3) (0, 4) */
        { OF("unique(x % 2 + 3*unsqueeze(f32(iota(2))), axis=1)", "y, f, w, o, c",
                "y"), 2, { 2, 3 }, { 0, 1, 0, 4, 3, 0 } },
        { OF("unique(x % 2, axis=1)", "y, f, w, o, c", "w"), 1, { 3 }, { 0, 1, 0 } },
        { OF("unique(x % 2, axis=1)", "y, f, w, o, c", "c"), 0, { 0 }, { 2 } },
    };
    EXPECT(t);
}

/* Three boxes along a line: 0..2, 1..3, 4..5, all as high; 1/3 of the first two is shared. */
#define BOXES                                                                                \
    "z = f32(iota(3))\n a = z*(z + 1)/2 + select(z > 1, 1, 0)\n"                            \
    "b = unsqueeze(stack(0*z, a, 0*z + 1, a + 2 - select(z > 1, 1, 0), axis=1), axis=0)\n "
#define SCORES "s = reshape(3 + z, 1, 1, 3)\n "

static void boxes_that_stay(void **state)
{
    (void)state;
    static const Said t[] = {
        { BOXES SCORES "y, c = non_max_suppression(b, s, 9, 0.3)\n y",
          2, { 3, 3 }, { 0, 0, 2, 0, 0, 1, 0, 0, 0 } },
        { BOXES SCORES "y, c = non_max_suppression(b, s, 9, 0.3)\n c", 0, { 0 }, { 2 } },
        { BOXES SCORES "y, c = non_max_suppression(b, s, 9, 0.4)\n c", 0, { 0 }, { 3 } },
        { BOXES SCORES "y, c = non_max_suppression(b, s, 9223372036854775807, 0.4)\n c",
          0, { 0 }, { 3 } },
        { BOXES SCORES "y, c = non_max_suppression(b, s, 1, 0.4)\n y", 2, { 1, 3 }, { 0, 0, 2 } },
        { BOXES SCORES "y, c = non_max_suppression(b, s, 9, 0.3, least=4.5)\n c",
          0, { 0 }, { 1 } },
        { BOXES SCORES "y, c = non_max_suppression(b, concat(-s, s, axis=1), 2, 0.3)\n y",
          2, { 4, 3 }, { 0, 0, 0, 0, 0, 2, 0, 1, 2, 0, 1, 1 } },
    };
    EXPECT(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_elements),
        cmocka_unit_test(different_elements),
        cmocka_unit_test(boxes_that_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
