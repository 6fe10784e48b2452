/* Operators, calls, filters and tests. */
#include "engine/jinja/parser.h"

#include "engine/jinja/builtins.h"

static weir_jn_t *unary(weir_jparser_t *p, bool with_filter);

static weir_jn_t *sealed(weir_jparser_t *p, weir_jn_t *node)
{
    return weir_jparse_seal(p, node) ? node : NULL;
}

/* --- postfix ---------------------------------------------------------------------------- */

static bool keyword_argument(weir_jparser_t *p, weir_jargs_t *args, weir_jnodes_t *kw,
                             uint32_t *cap_names)
{
    const weir_js_t *name = weir_jparse_str(p, p->tok->text.data, p->tok->text.len);
    p->tok += 2;
    if (name == NULL || !weir_jparse_push(p, kw, weir_jparse_expression(p, true))) {
        return false;
    }
    if (kw->n > *cap_names) {
        uint32_t cap = kw->cap;
        const weir_js_t **grown = weir_arena_alloc(p->arena, cap * sizeof(const weir_js_t *));
        if (grown == NULL) {
            return weir_jparse_fail(p, WEIR_ERR_NOMEM, p->tok, "out of memory");
        }
        for (uint32_t i = 0; i + 1 < kw->n; i++) {
            grown[i] = args->kw_names[i];
        }
        args->kw_names = grown;
        *cap_names = cap;
    }
    args->kw_names[kw->n - 1] = name;
    return true;
}

static bool star_argument(weir_jparser_t *p, weir_jargs_t *args)
{
    bool two = weir_jparse_is_op(p, '*', '*');
    weir_jn_t **slot = two ? &args->star_star : &args->star;
    if (*slot != NULL) {
        return weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "a second * or ** argument");
    }
    p->tok++;
    *slot = weir_jparse_expression(p, true);
    return *slot != NULL;
}

/* "(...)" of a call, filter or test. */
static weir_jargs_t *call_args(weir_jparser_t *p)
{
    weir_jargs_t *args = weir_arena_calloc(p->arena, 1, sizeof(*args));
    weir_jnodes_t pos = {0};
    weir_jnodes_t kw = {0};
    uint32_t cap_names = 0;
    bool first = true;
    p->tok++;
    while (args != NULL && !weir_jparse_is_op(p, ')', 0)) {
        if (!first && !weir_jparse_expect_op(p, ',')) {
            return NULL;
        }
        first = false;
        if (weir_jparse_is_op(p, ')', 0)) {
            break;
        }
        bool good;
        if (weir_jparse_is_op(p, '*', 0) || weir_jparse_is_op(p, '*', '*')) {
            good = star_argument(p, args);
        } else if (p->tok->type == WEIR_JT_NAME && p->tok[1].type == WEIR_JT_OP &&
                   p->tok[1].op == WEIR_JOPCHAR('=', 0)) {
            good = keyword_argument(p, args, &kw, &cap_names);
        } else if (kw.n > 0 || args->star != NULL || args->star_star != NULL) {
            good = weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok,
                                    "a positional argument behind a keyword argument");
        } else {
            good = weir_jparse_push(p, &pos, weir_jparse_expression(p, true));
        }
        if (!good) {
            return NULL;
        }
    }
    if (args == NULL || !weir_jparse_expect_op(p, ')')) {
        return NULL;
    }
    args->pos = pos.items;
    args->n_pos = pos.n;
    args->kw = kw.items;
    args->n_kw = kw.n;
    return args;
}

static weir_jn_t *call(weir_jparser_t *p, weir_jn_t *callee)
{
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_CALL, p->tok);
    if (node == NULL) {
        return NULL;
    }
    if (callee->kind == WEIR_JN_ATTR && weir_jmethod_unsupported(callee->str)) {
        weir_jparse_error(p, WEIR_ERR_UNSUPPORTED, p->tok - 1, "method %.*s() is unsupported",
                          (int)callee->str->len, callee->str->data);
        return NULL;
    }
    node->a = callee;
    node->x.args = call_args(p);
    return node->x.args == NULL ? NULL : sealed(p, node);
}

static weir_jn_t *slice_part(weir_jparser_t *p, bool *good)
{
    if (weir_jparse_is_op(p, ':', 0) || weir_jparse_is_op(p, ']', 0)) {
        return NULL;
    }
    weir_jn_t *node = weir_jparse_expression(p, true);
    *good = *good && node != NULL;
    return node;
}

/* "[...]" behind an expression. */
static weir_jn_t *subscript(weir_jparser_t *p, weir_jn_t *object)
{
    const weir_jtoken_t *where = p->tok++;
    bool good = true;
    weir_jn_t *first = slice_part(p, &good);
    if (!good) {
        return NULL;
    }
    weir_jn_t *node;
    if (weir_jparse_skip_op(p, ':')) {
        node = weir_jparse_node(p, WEIR_JN_SLICE, where);
        weir_jn_t **parts = weir_arena_calloc(p->arena, 3, sizeof(weir_jn_t *));
        if (node == NULL || parts == NULL) {
            return NULL;
        }
        parts[0] = first;
        parts[1] = slice_part(p, &good);
        if (good && weir_jparse_skip_op(p, ':')) {
            parts[2] = slice_part(p, &good);
        }
        if (!good) {
            return NULL;
        }
        node->list = parts;
        node->n = 3;
    } else {
        if (first == NULL) {
            weir_jparse_error(p, WEIR_ERR_INVALID, where, "expected an index");
            return NULL;
        }
        node = weir_jparse_node(p, WEIR_JN_ITEM, where);
        if (node == NULL) {
            return NULL;
        }
        node->b = first;
    }
    if (weir_jparse_is_op(p, ',', 0)) {
        weir_jparse_error(p, WEIR_ERR_UNSUPPORTED, p->tok, "an index of several parts");
        return NULL;
    }
    node->a = object;
    return weir_jparse_expect_op(p, ']') ? sealed(p, node) : NULL;
}

static weir_jn_t *attribute(weir_jparser_t *p, weir_jn_t *object)
{
    const weir_jtoken_t *where = ++p->tok;
    if (where->type == WEIR_JT_NAME) {
        weir_jn_t *node = weir_jparse_node(p, WEIR_JN_ATTR, where);
        if (node == NULL) {
            return NULL;
        }
        node->a = object;
        node->str = weir_jparse_str(p, where->text.data, where->text.len);
        p->tok++;
        return node->str == NULL ? NULL : sealed(p, node);
    }
    if (where->type != WEIR_JT_INT) {
        weir_jparse_error(p, WEIR_ERR_INVALID, where, "expected a name or number behind '.'");
        return NULL;
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_ITEM, where);
    if (node == NULL || (node->b = weir_jparse_number_literal(p)) == NULL) {
        return NULL;
    }
    node->a = object;
    return sealed(p, node);
}

weir_jn_t *weir_jparse_postfix(weir_jparser_t *p, weir_jn_t *node)
{
    while (node != NULL) {
        if (weir_jparse_is_op(p, '.', 0)) {
            node = attribute(p, node);
        } else if (weir_jparse_is_op(p, '[', 0)) {
            node = subscript(p, node);
        } else if (weir_jparse_is_op(p, '(', 0)) {
            node = call(p, node);
        } else {
            break;
        }
    }
    return node;
}

/* --- filters and tests ------------------------------------------------------------------ */

static weir_jargs_t *no_args(weir_jparser_t *p)
{
    return weir_arena_calloc(p->arena, 1, sizeof(weir_jargs_t));
}

static weir_jn_t *filter(weir_jparser_t *p, weir_jn_t *input)
{
    const weir_jtoken_t *where = p->tok++;
    if (where->type != WEIR_JT_NAME) {
        weir_jparse_error(p, WEIR_ERR_INVALID, where, "expected a filter's name");
        return NULL;
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_FILTER, where);
    if (node == NULL) {
        return NULL;
    }
    int id = weir_jfilter_find(where->text);
    if (id < 0) {
        weir_jparse_error(p, WEIR_ERR_UNSUPPORTED, where, "filter '%.*s' is unsupported",
                          (int)where->text.len, where->text.data);
        return NULL;
    }
    node->op = (uint8_t)id;
    node->a = input;
    node->x.args = weir_jparse_is_op(p, '(', 0) ? call_args(p) : no_args(p);
    return node->x.args == NULL ? NULL : sealed(p, node);
}

weir_jn_t *weir_jparse_filters(weir_jparser_t *p, weir_jn_t *input, bool first)
{
    weir_jn_t *node = input;
    if (first) {
        node = filter(p, node);
    }
    while (node != NULL && weir_jparse_skip_op(p, '|')) {
        node = filter(p, node);
    }
    return node;
}

/* Whether the current token can begin a test's bare argument ("x is divisibleby 3"). */
static bool bare_argument(const weir_jparser_t *p)
{
    switch ((weir_jtoken_type_t)p->tok->type) {
    case WEIR_JT_NAME:
        return !weir_jparse_is_name(p, "else") && !weir_jparse_is_name(p, "or") &&
               !weir_jparse_is_name(p, "and");
    case WEIR_JT_STRING:
    case WEIR_JT_INT:
    case WEIR_JT_FLOAT:
        return true;
    default:
        return weir_jparse_is_op(p, '(', 0) || weir_jparse_is_op(p, '[', 0) ||
               weir_jparse_is_op(p, '{', 0);
    }
}

static weir_jn_t *primary(weir_jparser_t *p);

static bool test_args(weir_jparser_t *p, weir_jn_t *node)
{
    if (weir_jparse_is_op(p, '(', 0)) {
        node->x.args = call_args(p);
        return node->x.args != NULL;
    }
    node->x.args = no_args(p);
    if (node->x.args == NULL) {
        return false;
    }
    if (!bare_argument(p)) {
        return true;
    }
    if (weir_jparse_is_name(p, "is")) {
        return weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok,
                                "You cannot chain multiple tests with is");
    }
    weir_jnodes_t pos = {0};
    weir_jn_t *arg = primary(p);
    arg = arg == NULL ? NULL : weir_jparse_postfix(p, arg);
    if (!weir_jparse_push(p, &pos, arg)) {
        return false;
    }
    node->x.args->pos = pos.items;
    node->x.args->n_pos = pos.n;
    return true;
}

static weir_jn_t *test(weir_jparser_t *p, weir_jn_t *input)
{
    const weir_jtoken_t *where = p->tok++;
    bool negated = weir_jparse_skip_name(p, "not");
    const weir_jtoken_t *name = p->tok++;
    if (name->type != WEIR_JT_NAME) {
        weir_jparse_error(p, WEIR_ERR_INVALID, name, "expected a test's name behind 'is'");
        return NULL;
    }
    int id = weir_jtest_find(name->text);
    if (id < 0) {
        weir_jparse_error(p, WEIR_ERR_UNSUPPORTED, name, "test '%.*s' is unsupported",
                          (int)name->text.len, name->text.data);
        return NULL;
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_TEST, where);
    if (node == NULL) {
        return NULL;
    }
    node->op = (uint8_t)id;
    node->a = input;
    if (!test_args(p, node) || !weir_jparse_seal(p, node)) {
        return NULL;
    }
    if (!negated) {
        return node;
    }
    weir_jn_t *outer = weir_jparse_node(p, WEIR_JN_NOT, where);
    if (outer == NULL) {
        return NULL;
    }
    outer->a = node;
    return sealed(p, outer);
}

static weir_jn_t *filter_expression(weir_jparser_t *p, weir_jn_t *node)
{
    while (node != NULL) {
        if (weir_jparse_skip_op(p, '|')) {
            node = filter(p, node);
        } else if (weir_jparse_is_name(p, "is")) {
            node = test(p, node);
        } else if (weir_jparse_is_op(p, '(', 0)) {
            node = call(p, node);
        } else {
            break;
        }
    }
    return node;
}

/* --- operators -------------------------------------------------------------------------- */

static weir_jn_t *primary_inner(weir_jparser_t *p)
{
    switch ((weir_jtoken_type_t)p->tok->type) {
    case WEIR_JT_NAME:
        return weir_jparse_name(p);
    case WEIR_JT_STRING:
        return weir_jparse_string_literal(p);
    case WEIR_JT_INT:
    case WEIR_JT_FLOAT:
        return weir_jparse_number_literal(p);
    default:
        break;
    }
    if (weir_jparse_is_op(p, '(', 0)) {
        p->tok++;
        weir_jn_t *node = weir_jparse_any_tuple(p, true, NULL, true);
        return node != NULL && weir_jparse_expect_op(p, ')') ? node : NULL;
    }
    if (weir_jparse_is_op(p, '[', 0)) {
        return weir_jparse_list_literal(p);
    }
    if (weir_jparse_is_op(p, '{', 0)) {
        return weir_jparse_dict_literal(p);
    }
    if (p->tok->type == WEIR_JT_OP) {
        weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "unexpected '%.*s'", (int)p->tok->text.len,
                          p->tok->text.data);
    } else {
        weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "expected an expression");
    }
    return NULL;
}

static weir_jn_t *primary(weir_jparser_t *p)
{
    if (!weir_jparse_enter(p)) {
        return NULL;
    }
    weir_jn_t *node = primary_inner(p);
    weir_jparse_leave(p);
    return node;
}

static weir_jn_t *unary(weir_jparser_t *p, bool with_filter)
{
    weir_jn_t *node;
    if (weir_jparse_is_op(p, '-', 0) || weir_jparse_is_op(p, '+', 0)) {
        bool neg = weir_jparse_is_op(p, '-', 0);
        node = weir_jparse_node(p, neg ? WEIR_JN_NEG : WEIR_JN_POS, p->tok++);
        if (node == NULL || !weir_jparse_enter(p)) {
            return NULL;
        }
        node->a = unary(p, false);
        weir_jparse_leave(p);
        node = node->a == NULL ? NULL : sealed(p, node);
    } else {
        node = primary(p);
    }
    node = node == NULL ? NULL : weir_jparse_postfix(p, node);
    return node != NULL && with_filter ? filter_expression(p, node) : node;
}

static weir_jn_t *binary(weir_jparser_t *p, const weir_jtoken_t *where, weir_jop_t op, weir_jn_t *a,
                         weir_jn_t *b)
{
    weir_jn_t *node = b == NULL ? NULL : weir_jparse_node(p, WEIR_JN_BINARY, where);
    if (node == NULL) {
        return NULL;
    }
    node->op = (uint8_t)op;
    node->a = a;
    node->b = b;
    return sealed(p, node);
}

static weir_jn_t *power(weir_jparser_t *p)
{
    weir_jn_t *node = unary(p, true);
    while (node != NULL && weir_jparse_is_op(p, '*', '*')) {
        const weir_jtoken_t *where = p->tok++;
        node = binary(p, where, WEIR_JOP_POW, node, unary(p, true));
    }
    return node;
}

static weir_jn_t *product(weir_jparser_t *p)
{
    weir_jn_t *node = power(p);
    while (node != NULL && p->tok->type == WEIR_JT_OP) {
        const weir_jtoken_t *where = p->tok;
        weir_jop_t op;
        if (weir_jparse_is_op(p, '*', 0)) {
            op = WEIR_JOP_MUL;
        } else if (weir_jparse_is_op(p, '/', 0)) {
            op = WEIR_JOP_DIV;
        } else if (weir_jparse_is_op(p, '/', '/')) {
            op = WEIR_JOP_FLOORDIV;
        } else if (weir_jparse_is_op(p, '%', 0)) {
            op = WEIR_JOP_MOD;
        } else {
            break;
        }
        p->tok++;
        node = binary(p, where, op, node, power(p));
    }
    return node;
}

static weir_jn_t *concat(weir_jparser_t *p)
{
    const weir_jtoken_t *where = p->tok;
    weir_jn_t *node = product(p);
    if (node == NULL || !weir_jparse_is_op(p, '~', 0)) {
        return node;
    }
    weir_jnodes_t items = {0};
    if (!weir_jparse_push(p, &items, node)) {
        return NULL;
    }
    while (weir_jparse_skip_op(p, '~')) {
        if (!weir_jparse_push(p, &items, product(p))) {
            return NULL;
        }
    }
    node = weir_jparse_node(p, WEIR_JN_CONCAT, where);
    if (node == NULL) {
        return NULL;
    }
    node->list = items.items;
    node->n = items.n;
    return sealed(p, node);
}

static weir_jn_t *sum(weir_jparser_t *p)
{
    weir_jn_t *node = concat(p);
    while (node != NULL && (weir_jparse_is_op(p, '+', 0) || weir_jparse_is_op(p, '-', 0))) {
        const weir_jtoken_t *where = p->tok;
        weir_jop_t op = weir_jparse_is_op(p, '+', 0) ? WEIR_JOP_ADD : WEIR_JOP_SUB;
        p->tok++;
        node = binary(p, where, op, node, concat(p));
    }
    return node;
}

/* A comparison operator at the current token: moves behind it. */
static bool comparison_op(weir_jparser_t *p, weir_jop_t *op)
{
    static const struct {
        char text[3];
        uint8_t op;
    } ops[] = {{"==", WEIR_JOP_EQ}, {"!=", WEIR_JOP_NE}, {"<=", WEIR_JOP_LE},
               {">=", WEIR_JOP_GE}, {"<", WEIR_JOP_LT},  {">", WEIR_JOP_GT}};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (weir_jparse_is_op(p, ops[i].text[0], ops[i].text[1])) {
            p->tok++;
            *op = (weir_jop_t)ops[i].op;
            return true;
        }
    }
    if (weir_jparse_skip_name(p, "in")) {
        *op = WEIR_JOP_IN;
        return true;
    }
    if (weir_jparse_is_name(p, "not") && p->tok[1].type == WEIR_JT_NAME &&
        weir_str_is(p->tok[1].text, "in")) {
        p->tok += 2;
        *op = WEIR_JOP_NOTIN;
        return true;
    }
    return false;
}

static weir_jn_t *comparison(weir_jparser_t *p)
{
    const weir_jtoken_t *where = p->tok;
    weir_jn_t *first = sum(p);
    weir_jnodes_t operands = {0};
    uint8_t ops[64];
    weir_jop_t op;
    while (first != NULL && comparison_op(p, &op)) {
        if (operands.n == sizeof(ops)) {
            weir_jparse_error(p, WEIR_ERR_LIMIT, p->tok, "more than 64 comparisons in a chain");
            return NULL;
        }
        ops[operands.n] = (uint8_t)op;
        if (!weir_jparse_push(p, &operands, sum(p))) {
            return NULL;
        }
    }
    if (first == NULL || operands.n == 0) {
        return first;
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_COMPARE, where);
    uint8_t *copy = weir_arena_alloc(p->arena, operands.n);
    if (node == NULL || copy == NULL) {
        return NULL;
    }
    memcpy(copy, ops, operands.n);
    node->a = first;
    node->list = operands.items;
    node->n = operands.n;
    node->x.ops = copy;
    return sealed(p, node);
}

static weir_jn_t *negation(weir_jparser_t *p)
{
    if (!weir_jparse_is_name(p, "not")) {
        return comparison(p);
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_NOT, p->tok++);
    if (node == NULL || !weir_jparse_enter(p)) {
        return NULL;
    }
    node->a = negation(p);
    weir_jparse_leave(p);
    return node->a == NULL ? NULL : sealed(p, node);
}

static weir_jn_t *logical(weir_jparser_t *p, bool is_or)
{
    weir_jn_t *node = is_or ? logical(p, false) : negation(p);
    while (node != NULL && weir_jparse_is_name(p, is_or ? "or" : "and")) {
        weir_jn_t *both = weir_jparse_node(p, is_or ? WEIR_JN_OR : WEIR_JN_AND, p->tok++);
        if (both == NULL) {
            return NULL;
        }
        both->a = node;
        both->b = is_or ? logical(p, false) : negation(p);
        node = both->b == NULL ? NULL : sealed(p, both);
    }
    return node;
}

static weir_jn_t *conditional(weir_jparser_t *p)
{
    weir_jn_t *node = logical(p, true);
    while (node != NULL && weir_jparse_is_name(p, "if")) {
        weir_jn_t *cond = weir_jparse_node(p, WEIR_JN_COND, p->tok++);
        if (cond == NULL || (cond->a = logical(p, true)) == NULL) {
            return NULL;
        }
        cond->b = node;
        if (weir_jparse_skip_name(p, "else")) {
            if (!weir_jparse_enter(p)) {
                return NULL;
            }
            cond->c = conditional(p);
            weir_jparse_leave(p);
            if (cond->c == NULL) {
                return NULL;
            }
        }
        node = sealed(p, cond);
    }
    return node;
}

weir_jn_t *weir_jparse_expression(weir_jparser_t *p, bool with_cond)
{
    if (!weir_jparse_enter(p)) {
        return NULL;
    }
    weir_jn_t *node = with_cond ? conditional(p) : logical(p, true);
    weir_jparse_leave(p);
    return node;
}
