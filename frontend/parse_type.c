/* parse_type.c: types, parameters, signatures, functions and constants. */
#include "frontend/parse.h"

static AstDim parse_dim(Parser *p)
{
    const Token *t = peek(p), *second = peek_second(p);
    AstDim dim = { .kind = AST_DIM_EXPR };
    if (parse_accept(p, TOK_ELLIPSIS)) {
        dim.kind = AST_DIM_ELLIPSIS;
    } else if (at_word(p, KW__) && (second->kind == TOK_COMMA || second->kind == TOK_RBRACKET)) {
        parse_advance(p);
        dim.kind = AST_DIM_INFER;
    } else {
        dim.expr = parse_sum(p);
    }
    dim.loc = parse_since(p, t->begin);
    return dim;
}

static void parse_dims(Parser *p, AstType *type)
{
    VEC(AstDim) dims = { 0 };
    LocId open = parse_token_loc(p, peek(p));
    uint32_t ellipses = 0;
    parse_advance(p);
    if (at(p, TOK_RBRACKET)) {
        uint32_t d = parse_expected(p, "a dim");
        parse_help(p, d, "a scalar has no brackets, as in `x: f32`");
    }
    do {
        AstDim dim = parse_dim(p);
        if (dim.kind == AST_DIM_ELLIPSIS && ellipses++)
            parse_complain(p, DIAG_E0214, dim.loc, "more than one `...` in a type");
        vec_push(p->a, &dims, dim);
    } while (parse_accept(p, TOK_COMMA));
    parse_close(p, TOK_RBRACKET, open, "`,`");
    type->dims = dims.at;
    type->n_dims = dims.n;
}

AstType *parse_type(Parser *p)
{
    AstType *type = arena_make(p->a, AstType);
    const Token *t = peek(p);
    type->loc = parse_token_loc(p, t);
    if (p->panic || !parse_enter(p))
        return type;
    if (parse_accept(p, TOK_LBRACKET)) {
        type->kind = AST_TYPE_LIST;
        type->element = parse_type(p);
        parse_close(p, TOK_RBRACKET, parse_token_loc(p, t), NULL);
    } else if (at(p, TOK_ID)) {
        type->kind = AST_TYPE_NAMED;
        type->name = parse_name(p, "a type");
        if (at(p, TOK_LBRACKET))
            parse_dims(p, type);
    } else {
        uint32_t d = parse_expected(p, "a type");
        parse_help(p, d,
                   "types are f32, i32[B, T], ..; kinds of arguments are int, float, bool, str, "
                   "[int], fn, layer, init");
    }
    parse_leave(p);
    type->loc = parse_since(p, t->begin);
    return type;
}

static AstParam parse_param(Parser *p)
{
    const Token *t = peek(p);
    AstParam param = { .name = parse_name(p, "the name of an argument") };
    param.as = parse_as(p);
    if (!p->panic && !at(p, TOK_COLON)) {
        uint32_t d = parse_expected(p, "`:` and a type");
        if (at(p, TOK_ID) && param.name.text)
            parse_help(p, d,
                       arena_printf(p->a, "a type follows its name: `%s: %s`", peek(p)->name,
                                    param.name.text));
        else if (param.name.text)
            parse_help(
                p, d,
                arena_printf(p->a,
                             "every argument has a type or kind, as in `%s: f32[B]` or `%s: int`",
                             param.name.text, param.name.text));
    }
    parse_accept(p, TOK_COLON);
    param.type = parse_type(p);
    if (parse_accept(p, TOK_ASSIGN))
        param.value = parse_expr(p);
    param.loc = parse_since(p, t->begin);
    return param;
}

AstParam *parse_params(Parser *p, uint32_t *out_n)
{
    VEC(AstParam) params = { 0 };
    LocId open = parse_token_loc(p, peek(p));
    *out_n = 0;
    if (!parse_expect(p, TOK_LPAREN, "`(` and the arguments"))
        return NULL;
    if (!at(p, TOK_RPAREN)) {
        do
            vec_push(p->a, &params, parse_param(p));
        while (parse_accept(p, TOK_COMMA));
    }
    parse_close(p, TOK_RPAREN, open, "`,`");
    *out_n = params.n;
    return params.at;
}

static AstResult parse_result(Parser *p, bool may_have_name)
{
    const Token *t = peek(p);
    AstResult result = { 0 };
    bool named = peek_second(p)->kind == TOK_COLON || token_is(p, peek_second(p), KW_as);
    if (may_have_name && at(p, TOK_ID) && named) {
        result.name = parse_name(p, "a name");
        result.as = parse_as(p);
        parse_expect(p, TOK_COLON, "`:` and a type");
    }
    result.type = parse_type(p);
    result.loc = parse_since(p, t->begin);
    return result;
}

static void parse_results(Parser *p, AstSig *sig)
{
    VEC(AstResult) results = { 0 };
    LocId open = parse_token_loc(p, peek(p));
    if (parse_accept(p, TOK_LPAREN)) {
        do
            vec_push(p->a, &results, parse_result(p, true));
        while (parse_accept(p, TOK_COMMA));
        parse_close(p, TOK_RPAREN, open, "`,`");
    } else {
        vec_push(p->a, &results, parse_result(p, false));
        if (at(p, TOK_COMMA) && !p->panic)
            parse_help(p,
                       parse_fail(p, DIAG_E0212, parse_token_loc(p, peek(p)),
                                  "several results without parentheses"),
                       "write `-> (f32[B], f32[B])`");
    }
    sig->results = results.at;
    sig->n_results = results.n;
}

static AstSig parse_sig(Parser *p)
{
    AstSig sig = { 0 };
    const Token *t = peek(p);
    sig.params = parse_params(p, &sig.n_params);
    if (parse_accept(p, TOK_ARROW))
        parse_results(p, &sig);
    else if (at(p, TOK_COLON) && !p->panic)
        parse_help(p, parse_expected(p, "`->` and the result, or the block"),
                   "the result follows `->`; blocks stand in { }");
    if (parse_accept_word(p, KW_where))
        parse_exprs(p, &sig.wheres, &sig.n_wheres);
    sig.loc = parse_since(p, t->begin);
    return sig;
}

/* ["export"] "fn" [ID] sig block, or "extern" "fn" ID sig "=" STR ["grad" STR]; stands before the
 * first word. */
AstFn *parse_fn(Parser *p)
{
    AstFn *fn = arena_make(p->a, AstFn);
    const Token *t = peek(p);
    bool external = parse_accept_word(p, KW_extern);
    fn->exported = parse_accept_word(p, KW_export);
    parse_expect_word(p, KW_fn);
    if (at(p, TOK_ID) || external || fn->exported)
        fn->name = parse_name(p, "the name of the function");
    fn->sig = parse_sig(p);
    if (external) {
        parse_expect(p, TOK_ASSIGN, "`=` and the symbol of the function");
        fn->symbol = parse_string(p, "the symbol of the function, a string");
        if (parse_accept_word(p, KW_grad))
            fn->grad = parse_string(p, "the symbol of the gradient, a string");
    } else {
        fn->body = parse_block(p, "the function");
    }
    fn->loc = parse_since(p, t->begin);
    return fn;
}

/* "const" ID [":" kind] "=" expr */
AstConst parse_const(Parser *p)
{
    const Token *t = peek(p);
    AstConst constant = { 0 };
    parse_advance(p);
    constant.name = parse_name(p, "the name of the constant");
    if (parse_accept(p, TOK_COLON))
        constant.kind = parse_type(p);
    parse_expect(p, TOK_ASSIGN, "`=` and a value");
    constant.value = parse_expr(p);
    constant.loc = parse_since(p, t->begin);
    return constant;
}
