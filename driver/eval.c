/* eval.c: metrics over whole splits.
 *
 * An entry gives sums over the items of a batch; they are added up in double in the order of the
 * data, the partial last batch included, and divided by the number of items once. What stands
 * around the means (exp for perplexity) is an entry of its own, run once. */
#include "driver/eval.h"

#include "driver/feed.h"
#include "runtime/host/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A metric that is the mean of bools: the one value it is computed from, followed back through
 * numbers, is a bool. */
static bool is_share(const Engine *e, const Metric *m)
{
    const Entry *x = unit_entry(e->unit, m->entry);
    if (m->finish || !x || x->graph->outputs.n != 1)
        return false;
    const Graph *g = x->graph;
    NodeId at = g->outputs.at[0].node;
    while (dtype_is_float(graph_dtype(g, at))) {
        NodeId next = NODE_NONE;
        for (uint32_t i = 0; i < graph_node(g, at)->count; i++) {
            NodeId in = graph_operand(g, at, i);
            if (!graph_shape(g, in)->rank && !graph_node(g, in)->count)
                continue; /* a number: a divisor, a weight */
            if (next != NODE_NONE && next != in)
                return false;
            next = in;
        }
        if (next == NODE_NONE)
            return false;
        at = next;
    }
    return graph_dtype(g, at) == DT_BOOL;
}

static bool open_metric(Eval *v, const Metric *m)
{
    Engine *e = v->engine;
    EvalMetric out = { .name = m->name,
                       .loc = m->loc,
                       .entry = engine_entry(e, m->entry),
                       .finish = DLRT_NONE,
                       .maxima = m->maxima,
                       .percent = !m->maxima && is_share(e, m),
                       .value = NAN };
    if (m->finish)
        out.finish = engine_entry(e, m->finish);
    const DlrtEntry *x = &e->model->entries[out.entry];
    if (x->input_count) {
        const DlrtValue *values[DLRT_MAX_VALUES];
        HostView view;
        if (!m->on.source) {
            diag_report(e->run->cx, DIAG_E0623, m->loc,
                        "the metric `%s` needs data: `on data.part`", m->name);
            return false;
        }
        for (uint32_t i = 0; i < x->input_count; i++)
            values[i] = &x->inputs[i];
        if (!data_open(e, &m->on, &view) ||
            !feed_open(e, &view, values, x->input_count, x->max_batch, false, m->loc, &out.loader))
            return false;
    }
    vec_push(e->run->arena, &v->metrics, out);
    return true;
}

bool eval_open(Engine *e, bool with_loss, Eval *out)
{
    const Recipe *r = &e->unit->recipe;
    *out = (Eval){ .engine = e };
    Metric loss = { .name = "loss", .on = r->on, .entry = "eval", .loc = r->loc };
    bool own = false;
    for (uint32_t i = 0; i < r->metrics.n; i++)
        own |= !strcmp(r->metrics.at[i].name, "loss");
    bool ok = !with_loss || own || engine_entry(e, "eval") == DLRT_NONE || open_metric(out, &loss);
    for (uint32_t i = 0; ok && i < r->metrics.n; i++)
        ok = open_metric(out, &r->metrics.at[i]);
    return ok;
}

void eval_close(Eval *v)
{
    for (uint32_t i = 0; i < v->metrics.n; i++)
        host_loader_free(v->metrics.at[i].loader);
}

static bool fail_run(const Engine *e, const EvalMetric *m, int rc)
{
    DiagCode code = rc == DLRT_E_LABEL ? DIAG_E0908 : rc == DLRT_E_SIZE ? DIAG_E0490 : DIAG_E0604;
    const char *message = dlrt_message(e->cx);
    diag_report(e->run->cx, code, m->loc, "the metric `%s`: %s", m->name,
                *message ? message : dlrt_error(rc));
    return false;
}

static bool is_maximum(const EvalMetric *m, uint32_t sum)
{
    return sum < 32 && m->maxima >> sum & 1;
}

/* One call; the sums of the batch are added to sums[], of what is a largest value the larger one
 * stays. */
static bool add_batch(Eval *v, const EvalMetric *m, int64_t items, const void *const *inputs,
                      bool first, double *sums)
{
    Engine *e = v->engine;
    const DlrtEntry *x = &e->model->entries[m->entry];
    union {
        float f32;
        double f64;
    } value[DLRT_MAX_VALUES];
    void *outputs[DLRT_MAX_VALUES];
    for (uint32_t i = 0; i < x->output_count; i++)
        outputs[i] = &value[i];
    bool rest = x->flags & DLRT_ENTRY_PINNED && items != x->max_batch;
    Engine *on = rest ? engine_rest(e, items, e->unit->recipe.loc) : e;
    if (!on)
        return false;
    int rc = dlrt_call_entry(on->cx, rest ? engine_entry(on, x->name) : m->entry, items, inputs,
                             outputs);
    e->cx->calls = on->cx->calls;
    if (rc)
        return fail_run(on, m, rc);
    for (uint32_t i = 0; i < x->output_count; i++) {
        double one = x->outputs[i].dtype == DLRT_F64 ? value[i].f64 : (double)value[i].f32;
        if (!is_maximum(m, i))
            sums[i] += one;
        else if (first || (!isnan(sums[i]) && !(one <= sums[i])))
            sums[i] = one;
    }
    return true;
}

static bool finish_metric(Eval *v, EvalMetric *m, const double *sums, double weight)
{
    Engine *e = v->engine;
    m->value = is_maximum(m, 0) ? sums[0] : sums[0] / weight;
    if (m->finish == DLRT_NONE)
        return true;
    const DlrtEntry *x = &e->model->entries[m->finish];
    union {
        float f32;
        double f64;
    } in[DLRT_MAX_VALUES], value = { .f64 = 0 };
    const void *inputs[DLRT_MAX_VALUES];
    for (uint32_t i = 0; i < x->input_count; i++) {
        const char *name = x->inputs[i].name; /* m0, m1, ..., weight */
        uint32_t sum = name[0] == 'm' ? (uint32_t)strtoul(name + 1, NULL, 10) : 0;
        double mean = is_maximum(m, sum) ? sums[sum] : sums[sum] / weight;
        double number = name[0] == 'm' ? mean : weight;
        dlrt_convert(&in[i], x->inputs[i].dtype, &number, DLRT_F64, 1);
        inputs[i] = &in[i];
    }
    int rc = dlrt_call_entry(e->cx, m->finish, 1, inputs, (void *[]){ &value });
    if (rc)
        return fail_run(e, m, rc);
    m->value = x->outputs[0].dtype == DLRT_F64 ? value.f64 : (double)value.f32;
    return true;
}

static bool run_metric(Eval *v, EvalMetric *m)
{
    Engine *e = v->engine;
    const DlrtEntry *x = &e->model->entries[m->entry];
    double sums[DLRT_MAX_VALUES] = { 0 }, weight = 0;
    HostBatch batch;
    HostError error;
    HostLoaderStatus status = HOST_LOADER_END;
    if (!m->loader) {
        weight = (double)(x->flags & DLRT_ENTRY_PINNED ? x->max_batch : 1);
        return add_batch(v, m, (int64_t)weight, NULL, true, sums) &&
               finish_metric(v, m, sums, weight);
    }
    while ((status = host_loader_next(m->loader, &batch, &error)) == HOST_LOADER_BATCH) {
        if (!add_batch(v, m, batch.count, (const void *const *)batch.inputs, weight == 0, sums))
            return false;
        weight += (double)batch.count;
    }
    if (status == HOST_LOADER_FAILED) {
        engine_report_host(e, m->loc, &error);
        return false;
    }
    return finish_metric(v, m, sums, weight);
}

/* Schedules read the values of metrics where the frontend made room for them. */
static bool publish(const Eval *v)
{
    Engine *e = v->engine;
    for (uint32_t i = 0; i < v->metrics.n; i++) {
        const EvalMetric *m = &v->metrics.at[i];
        const char *name = arena_printf(e->run->arena, "metric/%s", m->name);
        float value = (float)m->value;
        if (unit_tensor(e->unit, name) < 0)
            continue;
        int rc = dlrt_write(e->cx, name, &value, 1);
        if (rc)
            return fail_run(e, m, rc);
    }
    return true;
}

bool eval_run(Eval *v)
{
    for (uint32_t i = 0; i < v->metrics.n; i++)
        if (!run_metric(v, &v->metrics.at[i]))
            return false;
    v->engine->cx->clock.evals += 1;
    return publish(v);
}

const EvalMetric *eval_find(const Eval *v, const char *name)
{
    for (uint32_t i = 0; i < v->metrics.n; i++)
        if (!strcmp(v->metrics.at[i].name, name))
            return &v->metrics.at[i];
    return NULL;
}

const char *eval_text(const Eval *v)
{
    Arena *a = v->engine->run->arena;
    char *text = arena_printf(a, "%s", "");
    for (uint32_t i = 0; i < v->metrics.n; i++) {
        const EvalMetric *m = &v->metrics.at[i];
        char number[HOST_NUMBER_SIZE];
        if (m->percent)
            snprintf(number, sizeof number, "%.1f %%", 100 * m->value);
        else
            host_format_value(number, m->value);
        text = arena_printf(a, "%s  %s %s", text, m->name, number);
    }
    return text;
}
