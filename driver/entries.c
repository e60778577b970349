/* entries.c: which of a model's entries a library gets: what --entries asks for, with the tensors
 * that it uses.
 *
 * The whole model is elaborated first, its recipe too: the recipe says what B is at most, and which
 * statistics of the data are part of the model, so that `logits` alone computes what `logits`
 * beside `step` does. What is not wanted goes before the passes run, and costs nothing. */
#include "driver/verbs.h"

#include "passes/pass.h"
#include "passes/vjp.h"

#include <string.h>

typedef struct {
    const char **at;
    bool *used;
    uint32_t n;
} Names;

static Names split_names(Run *r, const char *list)
{
    Names names = { 0 };
    size_t length = strlen(list);
    char *copy = arena_strndup(r->arena, list, length);
    names.at = arena_new_array(r->arena, const char *, length + 1);
    names.used = arena_new_array(r->arena, bool, length + 1);
    memset(names.used, 0, (length + 1) * sizeof *names.used);
    for (char *save = NULL, *w = strtok_r(copy, ", ", &save); w; w = strtok_r(NULL, ", ", &save))
        names.at[names.n++] = w;
    return names;
}

/* vjp:OUTPUT:INPUT in the list adds the entry, and is its name from then on. A colon of OUTPUT's
 * own is part of it: the names of ONNX models have them. */
static bool add_vjps(Run *r, Unit *u, Names *names)
{
    for (uint32_t i = 0; i < names->n; i++) {
        const char *text = names->at[i], *last = strrchr(text, ':');
        if (strncmp(text, "vjp:", 4) || last < text + 4)
            continue;
        const char *output = arena_strndup(r->arena, text + 4, (size_t)(last - text - 4));
        const Entry *e = vjp_add(u, output, last + 1);
        if (!e)
            return false;
        names->at[i] = e->name;
    }
    return true;
}

const char *entries_add(Run *r, Unit *u, const char *list)
{
    Names names = split_names(r, list);
    char *text = arena_printf(r->arena, "%s", "");
    if (!add_vjps(r, u, &names))
        return NULL;
    for (uint32_t i = 0; i < names.n; i++)
        text = arena_printf(r->arena, "%s%s%s", text, i ? "," : "", names.at[i]);
    return text;
}

static bool is_named(Names *names, const char *name)
{
    bool found = false;
    for (uint32_t i = 0; i < names->n; i++)
        if (!strcmp(names->at[i], name))
            found = names->used[i] = true;
    return found;
}

/* An entry of scalars that makes a metric of its sums. */
static bool is_finish(const Unit *u, const Entry *e)
{
    for (uint32_t i = 0; i < u->recipe.metrics.n; i++)
        if (u->recipe.metrics.at[i].finish && !strcmp(u->recipe.metrics.at[i].finish, e->name))
            return true;
    return false;
}

static bool is_wanted(const Unit *u, Names *names, const Entry *e)
{
    switch (e->kind) {
    case ENTRY_INIT: return true;
    case ENTRY_MAP: return false; /* the data's, which a library's caller has prepared */
    case ENTRY_STEP:
    case ENTRY_SCHEDULE: return !names->n || is_named(names, "step");
    case ENTRY_EVAL: return !names->n || is_named(names, "eval");
    case ENTRY_EXPORT: return !names->n || is_named(names, is_finish(u, e) ? "eval" : e->name);
    }
    return true;
}

static int unknown_name(const Unit *u, const Names *names)
{
    for (uint32_t i = 0; i < names->n; i++) {
        if (names->used[i])
            continue;
        if (names->at[i][0] == '+') {
            fprintf(stderr, "dlcc: --entries=%s is not supported yet\n", names->at[i]);
            return EXIT_UNSUPPORTED;
        }
        if (!strncmp(names->at[i], "vjp:", 4)) {
            fprintf(stderr, "dlcc: a derivative is vjp:RESULT:INPUT, not `%s`\n", names->at[i]);
            return EXIT_USAGE;
        }
        fprintf(stderr, "dlcc: no entry `%s` to build; there are:", names->at[i]);
        bool step = false, eval = false;
        for (uint32_t k = 0; k < u->entries.n; k++) {
            const Entry *e = &u->entries.at[k];
            step |= e->kind == ENTRY_STEP;
            eval |= e->kind == ENTRY_EVAL;
            if (e->kind == ENTRY_EXPORT && !is_finish(u, e))
                fprintf(stderr, " %s", e->name);
        }
        fprintf(stderr, "%s%s\n", step ? " step" : "", eval ? " eval" : "");
        return EXIT_USAGE;
    }
    return 0;
}

/* ---- Tensors that nothing uses any more ---- */

/* An optimizer's state goes with the steps; parameters stay, a file of weights has them all. */
static int32_t *number_tensors(Run *r, Unit *u)
{
    int32_t *number = arena_new_array(r->arena, int32_t, u->tensors.n);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < u->tensors.n; i++) {
        number[i] = u->tensors.at[i].kind == TENSOR_MOMENT ? -1 : (int32_t)kept++;
        if (number[i] >= 0)
            u->tensors.at[kept - 1] = u->tensors.at[i];
    }
    u->tensors.n = kept;
    return number;
}

/* The graph with its tensors renumbered, without what it wrote to those that are gone. */
static Graph *renumber(Run *r, const Graph *old, const int32_t *number)
{
    Graph *g = pass_begin(old);
    NodeId *map = pass_new_map(r->arena, old->nodes.n);
    const uint8_t *live = graph_live(r->arena, old);
    for (NodeId id = 0; id < old->nodes.n; id++) {
        if (!live[id])
            continue;
        if (graph_node(old, id)->op == OP_tensor) {
            int32_t to = number[graph_attr(old, id, "index")->i];
            AttrValue index = attr_i(to);
            if (to >= 0)
                map[id] = graph_emit(g, OP_tensor, NULL, 0, &index, 1);
        } else {
            pass_copy(g, old, id, map);
        }
    }
    for (uint32_t i = 0; i < old->outputs.n; i++) {
        const Output *o = &old->outputs.at[i];
        if (o->updates < 0 || number[o->updates] >= 0)
            graph_output(g, o->name, map[o->node], o->updates < 0 ? -1 : number[o->updates]);
    }
    return g;
}

int entries_select(Run *r, Unit *u, const char *list)
{
    Names names = split_names(r, list ? list : "");
    if (!add_vjps(r, u, &names))
        return run_finish(r);
    uint32_t kept = 0;
    bool step = false, eval = false;
    bool *wanted = arena_new_array(r->arena, bool, u->entries.n);
    for (uint32_t i = 0; i < u->entries.n; i++)
        wanted[i] = is_wanted(u, &names, &u->entries.at[i]);
    int code = unknown_name(u, &names);
    if (code)
        return code;
    for (uint32_t i = 0; i < u->entries.n; i++) {
        if (!wanted[i])
            continue;
        step |= u->entries.at[i].kind == ENTRY_STEP;
        eval |= u->entries.at[i].kind == ENTRY_EVAL;
        u->entries.at[kept++] = u->entries.at[i];
    }
    u->entries.n = kept;
    if (!eval)
        u->recipe.metrics.n = 0;
    if (step)
        return 0;
    u->recipe.updates.n = 0;
    const int32_t *number = number_tensors(r, u);
    for (uint32_t i = 0; i < u->entries.n; i++)
        u->entries.at[i].graph = renumber(r, u->entries.at[i].graph, number);
    return 0;
}
