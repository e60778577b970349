/* gradcheck_given.c: inputs of a gradient check that -i gives, in the place of random ones. */
#include "driver/examples.h"
#include "driver/gradcheck.h"
#include "driver/known.h"
#include "runtime/host/loader.h"

#include <string.h>

static const char of_input[] = "input "; /* how the tensors begin that stand for inputs */

/* The array as the value: with as many rows as there are, or more. False: reported. */
static bool take(GradCode *c, const char *name, bool rows, const FrontendValue *f, Value *v)
{
    HostError error;
    bool fits = f->rank == v->rank;
    for (uint32_t d = 0; fits && d < v->rank; d++)
        fits = rows && !d ? f->dim[d] >= v->dim[d] : f->dim[d] == v->dim[d];
    if (!fits) {
        uint32_t d = diag_report(c->run->cx, DIAG_E0604, 0,
                                 "the array for `%s` does not have its shape", name);
        if (rows)
            diag_add(c->run->cx, d, DIAG_NOTE, 0, "%lld rows are taken, and more may be there",
                     (long long)v->dim[0]);
        return false;
    }
    bool number = dtype_is_float(v->dtype);
    if (host_convert(name, (DlrtDtype)f->dtype, f->data, number ? DLRT_F64 : DLRT_I64,
                     number ? (void *)v->f : (void *)v->i, v->count, 0, &error))
        return true;
    engine_report_host(c->given, 0, &error);
    return false;
}

int64_t grad_given_rows(GradCode *c, const Graph *g, int64_t most)
{
    FrontendValue f;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Shape *s = &g->inputs.at[i].shape;
        if (s->rank && s->dim[0].k && known_value(c->given, g->inputs.at[i].name, &f) &&
            f.rank == s->rank && f.dim[0] > 0 && f.dim[0] < most)
            most = f.dim[0];
    }
    return most;
}

bool grad_given(GradCode *c, GradStep *step)
{
    const Graph *g = step->check.graph;
    Value *in = (Value *)(uintptr_t)step->check.args.inputs; /* drawn for this step alone */
    FrontendValue f;
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const Input *x = &g->inputs.at[i];
        bool rows = x->shape.rank && x->shape.dim[0].k;
        if (known_value(c->given, x->name, &f) && !take(c, x->name, rows, &f, &in[i]))
            return false;
    }
    for (uint32_t i = 0; i < step->check.n_tensors; i++) {
        const char *name = c->unit->tensors.at[i].name;
        if (strncmp(name, of_input, sizeof of_input - 1))
            continue;
        name += sizeof of_input - 1;
        if (known_value(c->given, name, &f) &&
            !take(c, name, false, &f, &step->check.values[i]))
            return false;
    }
    return !c->run->cx->errors;
}

bool grad_given_names(GradCode *c, const char *path)
{
    const Unit *u = c->unit;
    VEC(const char *) names = { 0 };
    for (uint32_t i = 0; i < u->by_value.n; i++)
        vec_push(u->arena, &names, u->by_value.at[i]);
    for (uint32_t i = 0; i < c->steps.n; i++)
        for (uint32_t k = 0; k < c->steps.at[i].check.graph->inputs.n; k++)
            vec_push(u->arena, &names, c->steps.at[i].check.graph->inputs.at[k].name);
    for (uint32_t i = 0; i < u->tensors.n; i++)
        if (!strncmp(u->tensors.at[i].name, of_input, sizeof of_input - 1) &&
            u->tensors.at[i].kind == TENSOR_PARAM)
            vec_push(u->arena, &names, u->tensors.at[i].name + sizeof of_input - 1);
    c->given->n_inputs = names.n;
    return given_names(c->run, path, names.at, names.n);
}
