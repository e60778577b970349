/* parse_item.c: what stands at the top level, in layers and in recipes. */
#include "frontend/parse.h"

#include <string.h>

/* ---- Members of layers ---- */

AstString parse_as(Parser *p)
{
    if (parse_accept_word(p, KW_as))
        return parse_string(p, "a name in quotes");
    return (AstString){ 0 };
}

/* ("param"|"state") ID ["as" STR] ":" type "=" expr */
static void parse_param_member(Parser *p, AstMember *m)
{
    bool state = m->kind == AST_MEMBER_STATE;
    parse_advance(p);
    m->param.name = parse_name(p, state ? "the name of the state" : "the name of the parameter");
    m->param.as = parse_as(p);
    parse_expect(p, TOK_COLON, "`:` and a type");
    m->param.type = parse_type(p);
    if (!p->panic && !at(p, TOK_ASSIGN)) {
        uint32_t d = parse_expected(p, "`=` and the initial value");
        parse_help(p, d, state ? "every state says how it begins, as in `= zeros`"
                               : "every parameter says how it begins, as in `= zeros` or `= he`");
    }
    parse_accept(p, TOK_ASSIGN);
    m->param.value = parse_expr(p);
}

/* "layer" ID ["as" STR] "=" expr */
static void parse_layer_member(Parser *p, AstMember *m)
{
    parse_advance(p);
    m->layer.name = parse_name(p, "the name of the layer");
    m->layer.as = parse_as(p);
    parse_expect(p, TOK_ASSIGN, "`=` and a layer");
    m->layer.value = parse_expr(p);
}

/* "layers" ID "[" [ID "in"] expr "]" ["as" STR] "=" expr */
static void parse_layers_member(Parser *p, AstMember *m)
{
    parse_advance(p);
    m->layers.name = parse_name(p, "the name of the layers");
    LocId open = parse_token_loc(p, peek(p));
    parse_expect(p, TOK_LBRACKET, "`[` and how many");
    if (at(p, TOK_ID) && token_is(p, peek_second(p), KW_in)) {
        m->layers.index = parse_name(p, "a name");
        parse_advance(p);
    }
    m->layers.count = parse_expr(p);
    parse_close(p, TOK_RBRACKET, open, NULL);
    m->layers.as = parse_as(p);
    parse_expect(p, TOK_ASSIGN, "`=` and a layer");
    m->layers.value = parse_expr(p);
}

static AstMembers parse_members(Parser *p, const char *what)
{
    VEC(AstMember *) list = { 0 };
    AstMembers members = { 0 };
    LocId open;
    if (!parse_open_block(p, what, &open) || !parse_enter(p)) {
        members.loc = parse_token_loc(p, peek(p));
        return members;
    }
    while (!parse_block_ends(p, open, true)) {
        uint32_t begin = p->at;
        AstMember *m = parse_member(p);
        parse_end(p, begin, "declaration");
        if (m)
            vec_push(p->a, &list, m);
    }
    parse_leave(p);
    members.at = list.at;
    members.n = list.n;
    members.loc = parse_since(p, loc_get(p->cx, open)->begin);
    return members;
}

/* "if" expr members ["else" members]; `else if` is not in the grammar: `else { if .. }` says the
 * same. */
static void parse_if_member(Parser *p, AstMember *m)
{
    parse_advance(p);
    m->branch.cond = parse_expr(p);
    m->branch.then = parse_members(p, "the `if`");
    if (parse_accept_word(p, KW_else)) {
        m->branch.otherwise = arena_make(p->a, AstMembers);
        *m->branch.otherwise = parse_members(p, "the `else`");
    }
}

static void fail_member(Parser *p)
{
    static const char *const heads[] = { "param", "state", "layer",  "layers",
                                         "const", "fn",    "export", "if" };
    const Token *t = peek(p);
    if (parse_at_bad(p)) {
        p->panic = true;
        return;
    }
    uint32_t d = parse_fail(p, DIAG_E0204, parse_token_loc(p, t),
                            "expected param, state, layer, layers, const, fn or if, found %s",
                            parse_found(p));
    const char *near =
        t->kind == TOK_ID ? diag_nearest(t->name, heads, sizeof heads / sizeof *heads) : NULL;
    if (t->kind == TOK_ID &&
        (!strcmp(t->name, "def") || !strcmp(t->name, "func") || !strcmp(t->name, "function")))
        parse_help(p, d, "a function is `fn f(x: f32[B]) -> f32[B] { .. }`");
    else if (t->kind == TOK_ID && peek_second(p)->kind == TOK_ASSIGN)
        parse_help(p, d,
                   "a constant is `const x = ..`; computation stands in a function: `fn (x: "
                   "f32[B]) -> f32[B] { .. }`");
    else if (near)
        parse_help(p, d, arena_printf(p->a, "did you mean `%s`?", near));
    else
        parse_help(p, d, "computation stands in a function: `fn (x: f32[B]) -> f32[B] { .. }`");
}

AstMember *parse_member(Parser *p)
{
    static const struct {
        Keyword word;
        AstMemberKind kind;
    } table[] = {
        { KW_param, AST_MEMBER_PARAM }, { KW_state, AST_MEMBER_STATE },
        { KW_layer, AST_MEMBER_LAYER }, { KW_layers, AST_MEMBER_LAYERS },
        { KW_const, AST_MEMBER_CONST }, { KW_fn, AST_MEMBER_FN },
        { KW_export, AST_MEMBER_FN },   { KW_if, AST_MEMBER_IF },
    };
    const Token *t = peek(p);
    AstMember *m = arena_make(p->a, AstMember);
    size_t i = 0;
    while (i < sizeof table / sizeof *table && !at_word(p, table[i].word))
        i++;
    if (i == sizeof table / sizeof *table) {
        fail_member(p);
        return NULL;
    }
    m->kind = table[i].kind;
    switch (m->kind) {
    case AST_MEMBER_PARAM:
    case AST_MEMBER_STATE: parse_param_member(p, m); break;
    case AST_MEMBER_LAYER: parse_layer_member(p, m); break;
    case AST_MEMBER_LAYERS: parse_layers_member(p, m); break;
    case AST_MEMBER_CONST: m->constant = parse_const(p); break;
    case AST_MEMBER_FN: m->fn = parse_fn(p); break;
    case AST_MEMBER_IF: parse_if_member(p, m); break;
    }
    m->loc = parse_since(p, t->begin);
    return m;
}

/* ---- Recipes ---- */

static AstRecipe parse_recipe(Parser *p, const char *what);

/* ID ["[" STR "]"] "=" expr | "metric" ID "=" expr ["on" expr] | "update" ID recipe */
static AstEntry parse_entry(Parser *p)
{
    const Token *t = peek(p);
    AstEntry entry = { .kind = AST_ENTRY_SET };
    if (t->kind != TOK_ID) {
        parse_fail(p, DIAG_E0205, parse_token_loc(p, t),
                   "expected `key = value`, `metric` or `update`, found %s", parse_found(p));
    } else if (peek_second(p)->kind == TOK_ID && at_word(p, KW_update)) {
        entry.kind = AST_ENTRY_UPDATE;
        parse_advance(p);
        entry.name = parse_name(p, "the name of the update");
        entry.recipe = arena_make(p->a, AstRecipe);
        *entry.recipe = parse_recipe(p, "the `update`");
    } else if (peek_second(p)->kind == TOK_ID && at_word(p, KW_metric)) {
        entry.kind = AST_ENTRY_METRIC;
        parse_advance(p);
        entry.name = parse_name(p, "the name of the metric");
    } else {
        entry.name = parse_name(p, "a key");
        LocId open = parse_token_loc(p, peek(p));
        if (parse_accept(p, TOK_LBRACKET)) {
            entry.glob = parse_string(p, "a pattern of names, a string");
            parse_close(p, TOK_RBRACKET, open, NULL);
        }
    }
    if (entry.kind != AST_ENTRY_UPDATE) {
        if (!p->panic && at(p, TOK_COLON))
            parse_help(p, parse_expected(p, "`=` and a value"), "a recipe has `key = value`");
        parse_expect(p, TOK_ASSIGN, "`=` and a value");
        entry.value = parse_expr(p);
    }
    if (entry.kind == AST_ENTRY_METRIC && parse_accept_word(p, KW_on))
        entry.on = parse_expr(p);
    if (entry.kind == AST_ENTRY_SET && entry.name.text == p->words[KW_metric] &&
        at_word(p, KW_on) && !p->panic)
        parse_help(p, parse_fail(p, DIAG_E0201, entry.name.loc, "expected a name for this metric"),
                   "write `metric val = loss on ..`");
    if (entry.kind != AST_ENTRY_UPDATE && parse_accept(p, TOK_COMMA))
        parse_help(p,
                   parse_fail(p, DIAG_E0212, parse_span(p, p->prev_end - 1, p->prev_end),
                              "expected the end of the entry, found `,`"),
                   "entries are parted by a new line or `;`");
    entry.loc = parse_since(p, t->begin);
    return entry;
}

static AstRecipe parse_recipe(Parser *p, const char *what)
{
    VEC(AstEntry) entries = { 0 };
    AstRecipe recipe = { 0 };
    LocId open;
    if (!parse_open_block(p, what, &open) || !parse_enter(p)) {
        recipe.loc = parse_token_loc(p, peek(p));
        return recipe;
    }
    while (!parse_block_ends(p, open, false)) {
        uint32_t begin = p->at;
        AstEntry entry = parse_entry(p);
        bool named = entry.name.text != NULL;
        parse_end(p, begin, "entry");
        if (named)
            vec_push(p->a, &entries, entry);
    }
    parse_leave(p);
    recipe.entries = entries.at;
    recipe.n_entries = entries.n;
    recipe.loc = parse_since(p, loc_get(p->cx, open)->begin);
    return recipe;
}

/* ---- Items ---- */

/* "import" STR ["as" ID] */
static void parse_import(Parser *p, AstItem *item)
{
    parse_advance(p);
    if (at(p, TOK_ID))
        parse_help(p, parse_expected(p, "the path of a file, a string"),
                   "write `import \"file.dl\" as name`");
    item->import.path = parse_string(p, "the path of a file, a string");
    if (parse_accept_word(p, KW_as))
        item->import.as = parse_name(p, "the name it gets here");
}

/* ("layer"|"model"|"optimizer") ID ["[" ids "]"] ["(" [params] ")"] members */
static void parse_layer_item(Parser *p, AstItem *item, AstLayerKind kind)
{
    AstLayer *layer = &item->layer;
    layer->kind = kind;
    parse_advance(p);
    layer->name = parse_name(p, "a name");
    LocId open = parse_token_loc(p, peek(p));
    if (parse_accept(p, TOK_LBRACKET)) {
        VEC(AstName) dims = { 0 };
        do
            vec_push(p->a, &dims, parse_name(p, "the name of a dim"));
        while (parse_accept(p, TOK_COMMA));
        parse_close(p, TOK_RBRACKET, open, "`,`");
        layer->dims = dims.at;
        layer->n_dims = dims.n;
    }
    if (at(p, TOK_LPAREN))
        layer->params = parse_params(p, &layer->n_params);
    if (!p->panic && at(p, TOK_ASSIGN))
        parse_help(p, parse_expected(p, "`{` and the parts of the layer"),
                   "at the top level a layer is declared; an instance of it stands in a model: "
                   "`layer x = Linear(10)`");
    layer->members = parse_members(p, kind == AST_MODEL   ? "the model"
                                      : kind == AST_LAYER ? "the layer"
                                                          : "the optimizer");
}

/* "train" ID [args] ["as" ID] ["on" expr] recipe */
static void parse_train(Parser *p, AstItem *item)
{
    AstTrain *train = &item->train;
    parse_advance(p);
    train->model = parse_name(p, "the name of a model");
    if (at(p, TOK_LPAREN) && !p->panic)
        parse_args(p, &train->args, &train->n_args);
    if (parse_accept_word(p, KW_as))
        train->as = parse_name(p, "a name for this training");
    if (parse_accept_word(p, KW_on))
        train->on = parse_expr(p);
    train->recipe = parse_recipe(p, "the recipe");
}

static void parse_data(Parser *p, AstItem *item)
{
    parse_advance(p);
    item->data.name = parse_name(p, "the name of the data");
    parse_expect(p, TOK_ASSIGN, "`=` and a source of data");
    item->data.value = parse_expr(p);
}

static void fail_item(Parser *p)
{
    static const char *const heads[] = { "import", "const",     "fn",   "extern", "layer",
                                         "model",  "optimizer", "data", "train" };
    static const char *const inside[] = { "param",  "state", "layers", "if",
                                          "repeat", "while", "metric", "update" };
    const Token *t = peek(p);
    const char *name = t->kind == TOK_ID ? t->name : "";
    if (t->kind == TOK_RBRACE || t->kind == TOK_RPAREN || t->kind == TOK_RBRACKET) {
        parse_fail(p, DIAG_E0202, parse_token_loc(p, t), "this %s closes nothing", parse_found(p));
        return;
    }
    if (parse_at_bad(p)) {
        p->panic = true;
        return;
    }
    uint32_t d =
        parse_fail(p, DIAG_E0203, parse_token_loc(p, t),
                   "expected import, const, fn, layer, model, optimizer, data or train, found %s",
                   parse_found(p));
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        if (!strcmp(name, inside[i])) {
            parse_help(p, d,
                       arena_printf(p->a, "`%s` stands inside a layer, model or recipe", name));
            return;
        }
    const char *near = *name ? diag_nearest(name, heads, sizeof heads / sizeof *heads) : NULL;
    if (!strcmp(name, "def") || !strcmp(name, "func") || !strcmp(name, "function"))
        parse_help(p, d, "a function is `fn f(x: f32[B]) -> f32[B] { .. }`");
    else if (!strcmp(name, "class") || !strcmp(name, "struct"))
        parse_help(p, d, "write `layer Name { .. }` or `model Name { .. }`");
    else if (peek_second(p)->kind == TOK_ASSIGN)
        parse_help(p, d, arena_printf(p->a, "a constant is `const %s = ..`", *name ? name : "x"));
    else if (t->kind == TOK_FLOORDIV)
        parse_help(p, d, "a comment begins with `#`");
    else if (near)
        parse_help(p, d, arena_printf(p->a, "did you mean `%s`?", near));
}

static bool at_item_head(const Parser *p)
{
    static const Keyword heads[] = { KW_import, KW_const,     KW_fn,   KW_extern, KW_export,
                                     KW_layer,  KW_optimizer, KW_model, KW_data,  KW_train };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (at_word(p, heads[i]))
            return true;
    return false;
}

static bool at_leftmost(const Parser *p)
{
    uint32_t begin = peek(p)->begin;
    return begin == 0 || p->text[begin - 1] == '\n';
}

/* Skips what is unreadable at the top level, braces counted, to the next line that begins an item
 * or stands leftmost; what is indented belongs to the line above. */
static void skip_to_item(Parser *p)
{
    uint32_t depth = 0;
    for (bool line_begins = false; !at(p, TOK_EOF); parse_advance(p)) {
        if ((line_begins && !depth && ((at_leftmost(p) && at(p, TOK_ID)) || at_item_head(p))) ||
            (depth && parse_at_item(p)))
            return;
        depth += at(p, TOK_LBRACE);
        depth -= depth && at(p, TOK_RBRACE);
        line_begins = at(p, TOK_END) || at(p, TOK_RBRACE);
    }
}

static AstItem *parse_item(Parser *p)
{
    const Token *t = peek(p);
    AstItem *item = arena_make(p->a, AstItem);
    if (at_word(p, KW_import)) {
        item->kind = AST_ITEM_IMPORT;
        parse_import(p, item);
    } else if (at_word(p, KW_const)) {
        item->kind = AST_ITEM_CONST;
        item->constant = parse_const(p);
    } else if (at_word(p, KW_fn) || at_word(p, KW_extern) || at_word(p, KW_export)) {
        item->kind = AST_ITEM_FN;
        item->fn = parse_fn(p);
        if (!item->fn->name.text)
            parse_complain(p, DIAG_E0201, parse_token_loc(p, t),
                           "expected a name for this function: it stands at the top level");
    } else if (at_word(p, KW_layer) || at_word(p, KW_model) || at_word(p, KW_optimizer)) {
        item->kind = AST_ITEM_LAYER;
        parse_layer_item(p, item,
                         at_word(p, KW_layer)   ? AST_LAYER
                         : at_word(p, KW_model) ? AST_MODEL
                                                : AST_OPTIMIZER);
    } else if (at_word(p, KW_data)) {
        item->kind = AST_ITEM_DATA;
        parse_data(p, item);
    } else {
        item->kind = AST_ITEM_TRAIN;
        parse_train(p, item);
    }
    item->loc = parse_since(p, t->begin);
    return item;
}

void parse_items(Parser *p, AstFile *file)
{
    VEC(AstItem *) items = { 0 };
    while (parse_accept(p, TOK_END))
        continue;
    while (!at(p, TOK_EOF)) {
        uint32_t begin = p->at;
        p->odd_open = p->odd_close = 0;
        if (at_item_head(p)) {
            uint32_t errors = p->errors;
            vec_push(p->a, &items, parse_item(p));
            parse_end(p, begin, "declaration");
            bool remains = !at_leftmost(p) || at(p, TOK_RBRACE);
            if (p->errors > errors && remains && !at_item_head(p))
                skip_to_item(p);
        } else {
            fail_item(p);
            skip_to_item(p);
            p->panic = false;
        }
        while (parse_accept(p, TOK_END))
            continue;
    }
    file->items = items.at;
    file->n_items = items.n;
}
