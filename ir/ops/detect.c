/* detect.c: what detectors of objects need and no loop nest does: which of overlapping boxes stay.
 *
 * Greedy, in order: a box stays if it overlaps none that stays before it. So each decision waits
 * for those before, and the runtime has a function for it. */
#include "ir/ops/rules.h"

#include <math.h>

static bool suppress_infer(Infer *q)
{
    const Shape *boxes = infer_shape(q, 0), *valid = infer_shape(q, 1);
    Dtype t = infer_dtype(q, 0);
    if (t != DT_F32 && t != DT_F64) /* C1 */
        return infer_fail(q, DIAG_E0304, "`suppress` needs f32 or f64 boxes; this is %s",
                          rule_type(q, 0));
    if (!rule_bool(q, 1) || !rule_same_dtype(q, 0, 2)) /* C2, C3 */
        return false;
    bool fits = boxes->rank >= 2 && valid->rank + 1 == boxes->rank && !infer_shape(q, 2)->rank &&
                dim_equal(boxes->dim[boxes->rank - 1], dim_of(4));
    for (uint32_t i = 0; fits && i < valid->rank; i++)
        fits = dim_equal(boxes->dim[i], valid->dim[i]);
    if (!fits) /* C4: [.., n, 4], [.., n], a number */
        return infer_fail(q, DIAG_E0306,
                          "`suppress` needs boxes [.., n, 4], a bool for each and a number, not "
                          "%s, %s and %s",
                          rule_type(q, 0), rule_type(q, 1), rule_type(q, 2));
    return rule_pinned(q, 1, valid->rank - 1) && rule_like(q, 1); /* C5 */
}

static double overlap(double a0, double a1, double b0, double b1)
{
    return fmin(fmax(a0, a1), fmax(b0, b1)) - fmax(fmin(a0, a1), fmin(b0, b1));
}

/* Intersection over union is more than `most`; boxes are two opposite corners. */
static bool overlaps(const double *a, const double *b, double most)
{
    double height = overlap(a[0], a[2], b[0], b[2]), width = overlap(a[1], a[3], b[1], b[3]);
    double areas = fabs((a[2] - a[0]) * (a[3] - a[1])) + fabs((b[2] - b[0]) * (b[3] - b[1]));
    return height > 0 && width > 0 && height * width / (areas - height * width) > most;
}

static void suppress_ref(Ref *q)
{
    const Value *boxes = &q->in[0], *valid = &q->in[1];
    int64_t n = valid->dim[valid->rank - 1];
    for (int64_t i = 0; i < valid->count; i++) {
        bool stays = valid->i[i];
        for (int64_t j = i - i % n; stays && j < i; j++)
            stays = !q->out->i[j] || !overlaps(boxes->f + 4 * i, boxes->f + 4 * j, q->in[2].f[0]);
        q->out->i[i] = stays;
    }
}

static NodeId suppress_cases(Graph *g, CaseRng *r, uint32_t i)
{
    static const struct {
        uint32_t rank;
        int64_t dims[4];
    } t[] = { { 2, { 17, 4 } }, { 3, { 3, 11, 4 } }, { 3, { -1, 7, 4 } },
              { 2, { 0, 4 } },  { 2, { 1, 4 } },     { 4, { 2, -1, 5, 4 } } };
    enum { COUNT = sizeof t / sizeof *t };
    if (i >= 2 * COUNT)
        return NODE_NONE;
    Dtype type = i < COUNT ? DT_F64 : DT_F32;
    i %= COUNT;
    NodeId boxes = case_input(g, r, type, t[i].rank, t[i].dims, 0, 9, false);
    NodeId valid = case_input(g, r, DT_BOOL, t[i].rank - 1, t[i].dims, 0, 1, false);
    NodeId most = case_input(g, r, type, 0, NULL, 0.05, 0.5, false);
    return graph_emit(g, OP_suppress, (NodeId[]){ boxes, valid, most }, 3, NULL, 0);
}

const OpDef op_suppress = {
    .name = "suppress",
    .doc = "which valid boxes [.., n, 4] (opposite corners) stay, in order, where none may overlap "
           "one that stays before by more of their union than a number",
    .min_in = 3, .max_in = 3, .infer = suppress_infer, .zero_grad = true, .ref = suppress_ref,
    .lower = LOWER_CALL, .call = "dlrt_call_suppress", .cases = suppress_cases,
};
