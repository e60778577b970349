/* Every numbered constraint of every op's type rule, provoked: the code, and for some the words. */
#include "ops_help.h"

typedef struct {
    const char *what; /* op and constraint, for the failure's message */
    Op op;
    NodeId in[3];
    uint32_t n;
    AttrValue attrs[5];
    uint32_t n_attrs;
    DiagCode code;
    const char *words; /* in the message, or NULL */
} Violation;

static void check(Bench *b, const Violation *v)
{
    uint32_t before = b->cx->diags.n;
    b->g->loc = loc_make(b->cx, (Loc){ .file = 0, .begin = before + 1, .end = before + 2 });
    NodeId node = graph_emit(b->g, v->op, v->in, v->n, v->attrs, v->n_attrs);
    if (node != NODE_NONE || b->cx->diags.n != before + 1)
        fail_msg("%s: %u messages", v->what, b->cx->diags.n - before);
    const Diag *d = &b->cx->diags.at[before];
    if (d->code != v->code)
        fail_msg("%s: %s %s", v->what, diag_rows[d->code].code, d->message);
    if (v->words && !strstr(d->message, v->words))
        fail_msg("%s: \"%s\" lacks \"%s\"", v->what, d->message, v->words);
}

#define CHECK(b, ...) check(b, &(Violation){ __VA_ARGS__ })

static void test_operands(void **state)
{
    Bench *b = *state;
    NodeId f = INPUT(b->g, DT_F32, 3), i = INPUT(b->g, DT_I32, 3), t = INPUT(b->g, DT_BOOL, 3);
    NodeId f4 = INPUT(b->g, DT_F32, 4);
    CHECK(b, "one operand too few", OP_add, { f }, 1, { { 0 } }, 0, DIAG_E0301, "takes 2 operands");
    CHECK(b, "no dtype", OP_cast, { f }, 1, { { 0 } }, 0, DIAG_E0302, NULL);
    CHECK(b, "unary C1", OP_sqrt, { i }, 1, { { 0 } }, 0, DIAG_E0304,
          "`sqrt` needs float values; this is i32[3]");
    CHECK(b, "unary C1 number", OP_neg, { t }, 1, { { 0 } }, 0, DIAG_E0304, "bool[3]");
    CHECK(b, "not C1", OP_not, { f }, 1, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "is_nan C1", OP_is_nan, { i }, 1, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "add C1", OP_add, { t, t }, 2, { { 0 } }, 0, DIAG_E0304, "`+` needs numbers");
    CHECK(b, "add C2", OP_add, { f, i }, 2, { { 0 } }, 0, DIAG_E0305,
          "`+` needs operands of one type: f32[3] and i32[3]");
    CHECK(b, "add C3", OP_add, { f, f4 }, 2, { { 0 } }, 0, DIAG_E0306, "f32[3] and f32[4]");
    CHECK(b, "atan2 C1", OP_atan2, { i, i }, 2, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "shl C1", OP_shl, { f, f }, 2, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "and C1", OP_and, { f, f }, 2, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "eq C2", OP_eq, { f, i }, 2, { { 0 } }, 0, DIAG_E0305, "`==`");
    CHECK(b, "select C1", OP_select, { f, f, f }, 3, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "select C2", OP_select, { t, f, i }, 3, { { 0 } }, 0, DIAG_E0305, NULL);
    CHECK(b, "select C3", OP_select, { t, f, f4 }, 3, { { 0 } }, 0, DIAG_E0306, NULL);
    CHECK(b, "select C4", OP_select, { t, f4, f4 }, 3, { { 0 } }, 0, DIAG_E0306, NULL);
    CHECK(b, "relu C1", OP_relu, { t }, 1, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "softplus C1", OP_softplus, { i }, 1, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "softmax C1", OP_softmax, { i }, 1, { attr_i(0) }, 1, DIAG_E0304, NULL);
    CHECK(b, "softmax C2", OP_softmax, { f }, 1, { attr_i(1) }, 1, DIAG_E0307,
          "f32[3] has no axis 1");
    CHECK(b, "softmax C2", OP_log_softmax, { f }, 1, { attr_i(-1) }, 1, DIAG_E0307, NULL);
}

static void test_movement(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId x = INPUT(g, DT_F32, 4, 6), batch = INPUT(g, DT_F32, -1, 6),
           inner = INPUT(g, DT_F32, 6, -1);
    NodeId i = INPUT(g, DT_I32, 5);
    Shape five = SHAPE(g, 5, 5), flat = SHAPE(g, -6), wide = SHAPE(g, 4, 12), vector = SHAPE(g, 4);
    Shape negative = SHAPE(g, 4, 6), huge = SHAPE(g, INT64_C(1) << 40, INT64_C(1) << 40);
    negative.dim[1].n = -6;
    NodeId one = INPUT(g, DT_F32, 1, 1), narrow = INPUT(g, DT_F32, 1, 2, 3, 1, 2, 3, 1, 2);
    CHECK(b, "reshape C1", OP_reshape, { x }, 1, { attr_shape(&five) }, 1, DIAG_E0311,
          "f32[4, 6] to [5, 5]");
    CHECK(b, "reshape negative", OP_reshape, { x }, 1, { attr_shape(&negative) }, 1, DIAG_E0309,
          NULL);
    CHECK(b, "reshape C2", OP_reshape, { inner }, 1, { attr_shape(&flat) }, 1, DIAG_E0310,
          "pinned");
    CHECK(b, "transpose C1", OP_transpose, { x }, 1, { LIST(0) }, 1, DIAG_E0320, NULL);
    CHECK(b, "transpose C2 twice", OP_transpose, { x }, 1, { LIST(1, 1) }, 1, DIAG_E0307, "twice");
    CHECK(b, "transpose C2 axis", OP_transpose, { x }, 1, { LIST(0, 2) }, 1, DIAG_E0307,
          "no axis 2");
    CHECK(b, "broadcast C1", OP_broadcast, { x }, 1, { attr_shape(&vector) }, 1, DIAG_E0313, NULL);
    CHECK(b, "broadcast C2", OP_broadcast, { x }, 1, { attr_shape(&wide) }, 1, DIAG_E0313,
          "axis 1 is not 1");
    CHECK(b, "broadcast size", OP_broadcast, { one }, 1, { attr_shape(&huge) }, 1, DIAG_E0309,
          NULL);
    CHECK(b, "slice C1 count", OP_slice, { x }, 1, { LIST(0), LIST(1), LIST(1) }, 3, DIAG_E0315,
          NULL);
    CHECK(b, "slice C1 below", OP_slice, { x }, 1, { LIST(-1, 0), LIST(1, 1), LIST(1, 1) }, 3,
          DIAG_E0315, NULL);
    CHECK(b, "slice C1 step", OP_slice, { x }, 1, { LIST(0, 0), LIST(1, 1), LIST(1, 0) }, 3,
          DIAG_E0315, "`step`");
    CHECK(b, "slice C2 end", OP_slice, { x }, 1, { LIST(0, 0), LIST(4, 7), LIST(1, 1) }, 3,
          DIAG_E0314, "0..7");
    CHECK(b, "slice C2 order", OP_slice, { x }, 1, { LIST(3, 0), LIST(2, 6), LIST(1, 1) }, 3,
          DIAG_E0314, NULL);
    CHECK(b, "slice C3", OP_slice, { batch }, 1, { LIST(1, 0), LIST(6, 6), LIST(1, 1) }, 3,
          DIAG_E0310, NULL);
    CHECK(b, "pad C1", OP_pad, { x }, 1, { LIST(-1, 0), LIST(0, 0), LIST(0, 0) }, 3, DIAG_E0315,
          NULL);
    CHECK(b, "pad C2", OP_pad, { batch }, 1, { LIST(1, 0), LIST(0, 0), LIST(0, 0) }, 3, DIAG_E0310,
          NULL);
    CHECK(b, "pad C3", OP_pad, { x }, 1, { LIST(INT64_MAX, 0), LIST(0, 0), LIST(0, 0) }, 3,
          DIAG_E0309, NULL);
    CHECK(b, "pad C3 gap", OP_pad, { x }, 1, { LIST(0, 0), LIST(0, 0), LIST(0, INT64_MAX) }, 3,
          DIAG_E0309, NULL);
    CHECK(b, "pad C4", OP_pad, { i }, 1, { LIST(1), LIST(0), LIST(0), attr_f(0.5) }, 4, DIAG_E0315,
          NULL);
    CHECK(b, "pad C5", OP_pad, { narrow }, 1,
          { LIST(0, 0, 0, 0, 0, 0, 0, 0), LIST(0, 0, 0, 0, 0, 0, 0, 0),
            LIST(0, 1, 0, 0, 0, 0, 0, 0) },
          3, DIAG_E0308, NULL);
    CHECK(b, "flip C1", OP_flip, { x }, 1, { LIST(2) }, 1, DIAG_E0307, NULL);
    CHECK(b, "flip C2", OP_flip, { batch }, 1, { LIST(0) }, 1, DIAG_E0310, NULL);
    CHECK(b, "windows C1", OP_windows, { x }, 1, { attr_i(2), attr_i(1) }, 2, DIAG_E0307, NULL);
    CHECK(b, "windows C1 rank", OP_windows, { narrow }, 1, { attr_i(1), attr_i(1) }, 2, DIAG_E0308,
          NULL);
    CHECK(b, "windows C2", OP_windows, { x }, 1, { attr_i(1), attr_i(0) }, 2, DIAG_E0315, NULL);
    CHECK(b, "windows C2 stride", OP_windows, { x }, 1, { attr_i(1), attr_i(2), attr_i(0) }, 3,
          DIAG_E0315, NULL);
    CHECK(b, "windows C3", OP_windows, { batch }, 1, { attr_i(0), attr_i(2) }, 2, DIAG_E0310, NULL);
    CHECK(b, "windows C4", OP_windows, { x }, 1, { attr_i(1), attr_i(3), attr_i(1), attr_i(3) }, 4,
          DIAG_E0316, "7 elements");
    CHECK(b, "windows C4 huge", OP_windows, { x }, 1,
          { attr_i(1), attr_i(INT64_MAX), attr_i(1), attr_i(INT64_MAX) }, 4, DIAG_E0316, NULL);
    CHECK(b, "overlap C3", OP_overlap_add, { x }, 1, { attr_i(1), attr_i(6) }, 2, DIAG_E0307, NULL);
    CHECK(b, "overlap C4", OP_overlap_add, { batch }, 1, { attr_i(0), attr_i(6) }, 2, DIAG_E0310,
          NULL);
    CHECK(b, "overlap C5", OP_overlap_add, { x }, 1, { attr_i(0), attr_i(8) }, 2, DIAG_E0316, NULL);
    CHECK(b, "concat C1", OP_concat, { x, x }, 2, { attr_i(2) }, 1, DIAG_E0307, NULL);
    CHECK(b, "concat C2", OP_concat, { x, INPUT(g, DT_F64, 4, 6) }, 2, { attr_i(0) }, 1, DIAG_E0305,
          NULL);
    CHECK(b, "concat C3", OP_concat, { x, INPUT(g, DT_F32, 4, 5) }, 2, { attr_i(0) }, 1, DIAG_E0306,
          NULL);
    CHECK(b, "concat C4", OP_concat, { batch, batch }, 2, { attr_i(0) }, 1, DIAG_E0310, NULL);
}

static void test_indices(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    Shape s = SHAPE(g, 3);
    NodeId x = INPUT(g, DT_F32, 4, 6), i = INPUT(g, DT_I32, 3), f = INPUT(g, DT_F32, 3);
    NodeId along = INPUT(g, DT_I32, 3, 1), updates = INPUT(g, DT_F32, 3, 6),
           eight = INPUT(g, DT_I32, 1, 1, 1, 1, 1, 1, 1, 1);
    CHECK(b, "iota C1", OP_iota, { 0 }, 0, { attr_shape(&s), attr_i(1) }, 2, DIAG_E0307, NULL);
    CHECK(b, "iota C2", OP_iota, { 0 }, 0, { attr_shape(&s), attr_i(0), attr_dtype(DT_BOOL) }, 3,
          DIAG_E0304, NULL);
    CHECK(b, "one_hot C1", OP_one_hot, { f }, 1, { attr_i(3) }, 1, DIAG_E0304, NULL);
    CHECK(b, "one_hot C2", OP_one_hot, { eight }, 1, { attr_i(3) }, 1, DIAG_E0308, NULL);
    CHECK(b, "one_hot C3", OP_one_hot, { i }, 1, { attr_i(-1) }, 1, DIAG_E0315, NULL);
    CHECK(b, "gather C1", OP_gather, { x, f }, 2, { attr_i(0) }, 1, DIAG_E0304, NULL);
    CHECK(b, "gather C2", OP_gather, { x, i }, 2, { attr_i(2) }, 1, DIAG_E0307, NULL);
    CHECK(b, "gather C3", OP_gather, { x, eight }, 2, { attr_i(0) }, 1, DIAG_E0308, NULL);
    CHECK(b, "take_along C1", OP_take_along, { x, x }, 2, { attr_i(0) }, 1, DIAG_E0304, NULL);
    CHECK(b, "take_along C3", OP_take_along, { x, along }, 2, { attr_i(1) }, 1, DIAG_E0306, NULL);
    CHECK(b, "scatter C1", OP_scatter_add, { f, updates }, 2, { attr_i(0), attr_i(4) }, 2,
          DIAG_E0304, NULL);
    CHECK(b, "scatter C2", OP_scatter_add, { i, INPUT(g, DT_BOOL, 3) }, 2, { attr_i(0), attr_i(4) },
          2, DIAG_E0304, NULL);
    CHECK(b, "scatter C3", OP_scatter_add, { i, updates }, 2, { attr_i(0), attr_i(-4) }, 2,
          DIAG_E0315, NULL);
    CHECK(b, "scatter C3 k", OP_scatter_add, { i, updates }, 2, { attr_i(0), attr_i(4), attr_i(1) },
          3, DIAG_E0315, NULL);
    CHECK(b, "scatter C4", OP_scatter_add, { i, updates }, 2, { attr_i(2), attr_i(4) }, 2,
          DIAG_E0307, NULL);
    CHECK(b, "scatter C5", OP_scatter_add, { i, updates }, 2, { attr_i(1), attr_i(4) }, 2,
          DIAG_E0306, NULL);
    CHECK(b, "scatter_along C5", OP_scatter_add_along, { along, updates }, 2,
          { attr_i(1), attr_i(4) }, 2, DIAG_E0306, NULL);
    AttrValue set = attr_s("none"), add = attr_s("add");
    NodeId flags = INPUT(g, DT_BOOL, 4), some = INPUT(g, DT_BOOL, 3);
    CHECK(b, "scatter rows C1", OP_scatter, { x, i, updates }, 3, { attr_s("sum") }, 1, DIAG_E0315,
          "none, add, mul");
    CHECK(b, "scatter rows C2", OP_scatter, { x, f, updates }, 3, { set }, 1, DIAG_E0304, NULL);
    CHECK(b, "scatter rows C3", OP_scatter, { x, i, along }, 3, { set }, 1, DIAG_E0305, NULL);
    CHECK(b, "scatter rows C4", OP_scatter, { flags, i, some }, 3, { add }, 1, DIAG_E0304, NULL);
    CHECK(b, "scatter rows C5", OP_scatter, { x, i, f }, 3, { set }, 1, DIAG_E0306, NULL);
    CHECK(b, "scatter rows C5 rank", OP_scatter, { INPUT(g, DT_F32), i, f }, 3, { set }, 1,
          DIAG_E0306, NULL);
    CHECK(b, "scatter rows C6", OP_scatter,
          { INPUT(g, DT_F32, 2, -1), INPUT(g, DT_I32, 2), INPUT(g, DT_F32, 2, -1) }, 3, { set }, 1,
          DIAG_E0310, NULL);
}

static void test_reductions(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId x = INPUT(g, DT_F32, 4, 0), t = INPUT(g, DT_BOOL, 3);
    CHECK(b, "reduce C1", OP_reduce_sum, { x }, 1, { LIST(2) }, 1, DIAG_E0307, NULL);
    CHECK(b, "reduce C1 twice", OP_reduce_max, { x }, 1, { LIST(0, 0) }, 1, DIAG_E0307, "twice");
    CHECK(b, "reduce C2", OP_reduce_sum, { x }, 1, { LIST(0), attr_i(2) }, 2, DIAG_E0315, NULL);
    CHECK(b, "reduce C3", OP_reduce_sum, { t }, 1, { LIST(0) }, 1, DIAG_E0304, NULL);
    CHECK(b, "argmax C1", OP_argmax, { x }, 1, { attr_i(2) }, 1, DIAG_E0307, NULL);
    CHECK(b, "argmax C3", OP_argmax, { x }, 1, { attr_i(1) }, 1, DIAG_E0319, "without elements");
    CHECK(b, "argmin C4", OP_argmin, { t }, 1, { attr_i(0), attr_i(0), attr_dtype(DT_F32) }, 3,
          DIAG_E0304, NULL);
    CHECK(b, "cumsum C1", OP_cumsum, { t }, 1, { attr_i(0) }, 1, DIAG_E0304, NULL);
    CHECK(b, "cumsum C2", OP_cumsum, { x }, 1, { attr_i(2) }, 1, DIAG_E0307, NULL);
    CHECK(b, "cumsum C3", OP_cumsum, { x }, 1, { attr_i(0), attr_i(7) }, 2, DIAG_E0315, NULL);
}

static void test_contractions(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    NodeId x = INPUT(g, DT_F32, -1, 256), w = INPUT(g, DT_F32, 400, 120), u = INPUT(g, DT_U8, 3, 3);
    NodeId image = INPUT(g, DT_F32, -1, 3, 8, 8), k = INPUT(g, DT_F32, 4, 3, 3, 3),
           k2 = INPUT(g, DT_F32, 4, 2, 3, 3);
    AttrValue one = LIST(1, 1), none = LIST(0, 0);
    CHECK(b, "dot C1", OP_dot, { x, u }, 2, { attr_s("ik,kj->ij") }, 1, DIAG_E0305, NULL);
    CHECK(b, "dot C2", OP_dot, { u, u }, 2, { attr_s("ik,kj->ij") }, 1, DIAG_E0304, NULL);
    CHECK(b, "dot C3", OP_dot, { w, w }, 2, { attr_s("ik kj->ij") }, 1, DIAG_E0317, NULL);
    CHECK(b, "dot C3 twice", OP_dot, { w, w }, 2, { attr_s("ii,ij->ij") }, 1, DIAG_E0317, NULL);
    CHECK(b, "dot C4", OP_dot, { w, w }, 2, { attr_s("ijk,ij->ij") }, 1, DIAG_E0317,
          "3 and 2 axes");
    CHECK(b, "dot C5", OP_dot, { x, w }, 2, { attr_s("ik,kj->ij") }, 1, DIAG_E0312,
          "`@` needs equal inner dimensions: 256 and 400");
    CHECK(b, "dot C5 batch", OP_dot, { x, w }, 2, { attr_s("ki,kj->kij") }, 1, DIAG_E0312,
          "batch dimensions: B and 400");
    CHECK(b, "dot C6", OP_dot, { w, w }, 2, { attr_s("ij,ij->k") }, 1, DIAG_E0317,
          "no operand has the axis k");
    CHECK(b, "conv C1", OP_conv, { u, u }, 2, { one, none, none, one }, 4, DIAG_E0304, NULL);
    CHECK(b, "conv C2", OP_conv, { x, w }, 2, { one, none, none, one }, 4, DIAG_E0318, NULL);
    CHECK(b, "conv C3", OP_conv, { image, k }, 2, { none, none, none, one }, 4, DIAG_E0315,
          "`stride`");
    CHECK(b, "conv C3 groups", OP_conv, { image, k }, 2, { one, none, none, one, attr_i(0) }, 5,
          DIAG_E0315, "`groups`");
    CHECK(b, "conv C4", OP_conv, { INPUT(g, DT_F32, 2, 3, -1, 8), k }, 2, { one, none, none, one },
          4, DIAG_E0310, NULL);
    CHECK(b, "conv C5", OP_conv, { image, k2 }, 2, { one, none, none, one }, 4, DIAG_E0318,
          "3 input channels, weights for 2");
    CHECK(b, "conv C6", OP_conv, { image, k }, 2, { one, none, none, LIST(4, 4) }, 4, DIAG_E0316,
          NULL);
    AttrValue far = LIST(INT64_C(1) << 40, INT64_C(1) << 40);
    CHECK(b, "conv C7", OP_conv, { image, k }, 2, { far, far, far, one }, 4, DIAG_E0309, NULL);
    CHECK(b, "conv C5 groups", OP_conv,
          { INPUT(g, DT_F32, 1, 0, 2, 2, 2), INPUT(g, DT_F32, 0, 0, 2, 2, 2) }, 2,
          { LIST(1, 1, 1), LIST(0, 0, 0), LIST(0, 0, 0), LIST(1, 1, 1), attr_i(INT64_C(1) << 40) },
          5, DIAG_E0318, NULL);
}

static void test_random_and_calls(void **state)
{
    Bench *b = *state;
    Graph *g = b->g;
    Shape s = SHAPE(g, 3);
    NodeId seed = INPUT(g, DT_U64, 1), x = INPUT(g, DT_F32, 3, 3), y = INPUT(g, DT_F32, 4, 3),
           i = INPUT(g, DT_I32, 3, 3);
    NodeId key = b_squeeze(g, seed, 0), narrow = b_cast(g, key, DT_U32);
    AttrValue shape = attr_shape(&s);
    CHECK(b, "random C1 rank", OP_random_bits, { seed, key }, 2, { shape, attr_i(1) }, 2,
          DIAG_E0304, NULL);
    CHECK(b, "random C1 type", OP_random_uniform, { key, narrow }, 2, { shape, attr_i(1) }, 2,
          DIAG_E0304, NULL);
    CHECK(b, "random word", OP_random_bits, { key, key }, 2, { shape, attr_i(1), attr_i(4) }, 3,
          DIAG_E0315, NULL);
    CHECK(b, "random C2", OP_random_normal, { key, key }, 2,
          { shape, attr_i(1), attr_dtype(DT_I32) }, 3, DIAG_E0304, NULL);
    CHECK(b, "integer C2", OP_random_integer, { key, key }, 2,
          { shape, attr_i(1), attr_i(0), attr_i(3), attr_dtype(DT_F32) }, 5, DIAG_E0304, NULL);
    CHECK(b, "integer C3", OP_random_integer, { key, key }, 2,
          { shape, attr_i(1), attr_i(3), attr_i(3) }, 4, DIAG_E0315, NULL);
    CHECK(b, "integer C3 type", OP_random_integer, { key, key }, 2,
          { shape, attr_i(1), attr_i(-1), attr_i(3), attr_dtype(DT_U8) }, 5, DIAG_E0315, NULL);
    NodeId boxes = INPUT(g, DT_F32, 2, 3, 4), valid = INPUT(g, DT_BOOL, 2, 3);
    NodeId most = INPUT(g, DT_F32), half = INPUT(g, DT_F16, 2, 3, 4);
    NodeId five = INPUT(g, DT_F32, 2, 3, 5), rows = INPUT(g, DT_F32, -1, 4);
    CHECK(b, "suppress C1", OP_suppress, { half, valid, most }, 3, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "suppress C2", OP_suppress, { boxes, boxes, most }, 3, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "suppress C3", OP_suppress, { boxes, valid, INPUT(g, DT_F64) }, 3, { { 0 } }, 0,
          DIAG_E0305, NULL);
    CHECK(b, "suppress C4", OP_suppress, { five, valid, most }, 3, { { 0 } }, 0, DIAG_E0306, NULL);
    CHECK(b, "suppress C4 number", OP_suppress, { boxes, valid, INPUT(g, DT_F32, 1) }, 3, { { 0 } },
          0, DIAG_E0306, NULL);
    CHECK(b, "suppress C5", OP_suppress, { rows, INPUT(g, DT_BOOL, -1), most }, 3, { { 0 } }, 0,
          DIAG_E0310, NULL);
    CHECK(b, "bitcast C1", OP_bitcast, { x }, 1, { attr_dtype(DT_F64) }, 1, DIAG_E0304, NULL);
    CHECK(b, "bitcast C2", OP_bitcast, { INPUT(g, DT_U8, 3) }, 1, { attr_dtype(DT_BOOL) }, 1,
          DIAG_E0304, NULL);
    CHECK(b, "argsort C1", OP_argsort, { x }, 1, { attr_i(2) }, 1, DIAG_E0307, NULL);
    CHECK(b, "argsort C2", OP_argsort, { x }, 1, { attr_i(0), attr_i(2) }, 2, DIAG_E0315, NULL);
    CHECK(b, "argsort C3", OP_argsort, { rows }, 1, { attr_i(0) }, 1, DIAG_E0310, NULL);
    CHECK(b, "argsort C4", OP_argsort, { x }, 1, { attr_i(0), attr_i(0), attr_dtype(DT_F32) }, 3,
          DIAG_E0304, NULL);
    CHECK(b, "argtop C5", OP_argtop, { x }, 1,
          { attr_i(0), attr_i(1), attr_dtype(DT_I32), attr_i(4) }, 4, DIAG_E0315, NULL);
    CHECK(b, "solve C1", OP_solve, { i, i }, 2, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "solve C3 square", OP_solve, { y, y }, 2, { { 0 } }, 0, DIAG_E0321, NULL);
    CHECK(b, "solve C3 rows", OP_solve, { x, y }, 2, { { 0 } }, 0, DIAG_E0321,
          "f32[3, 3] and f32[4, 3]");
    CHECK(b, "qr C1", OP_qr_q, { i }, 1, { { 0 } }, 0, DIAG_E0304, NULL);
    CHECK(b, "qr C2", OP_qr_r, { INPUT(g, DT_F32, 3) }, 1, { { 0 } }, 0, DIAG_E0321, NULL);
    CHECK(b, "qr C3", OP_qr_q, { INPUT(g, DT_F32, -1, 3) }, 1, { { 0 } }, 0, DIAG_E0310, NULL);
}

/* One mistake is one message: what hangs on a failed node fails silently. */
static void test_failure_is_silent_downstream(void **state)
{
    Bench *b = *state;
    NodeId bad = b_add(b->g, INPUT(b->g, DT_F32, 3), INPUT(b->g, DT_F32, 4));
    assert_int_equal(bad, NODE_NONE);
    assert_int_equal(b_neg(b->g, b_scale(b->g, b_unsqueeze(b->g, b_sum_axis(b->g, bad, 0), 0), 2)),
                     NODE_NONE);
    assert_int_equal(b->cx->diags.n, 1);
    assert_true(b->g->failed);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_operands),
        TEST(test_movement),
        TEST(test_indices),
        TEST(test_reductions),
        TEST(test_contractions),
        TEST(test_random_and_calls),
        TEST(test_failure_is_silent_downstream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
