#include "engine/jinja/parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/utf8.h"

#define DEFAULT_MAX_SOURCE (1u << 20)
#define DEFAULT_MAX_NODES  200000u

static weir_jn_t *statements(weir_jparser_t *p, const char *const *ends);

void weir_jparse_error(weir_jparser_t *p, weir_status_t status, const weir_jtoken_t *where,
                       const char *fmt, ...)
{
    if (p->status == WEIR_OK) {
        char text[160];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        p->status = weir_error(p->err, status, "template line %u, column %u: %s", where->line,
                               where->col, text);
    }
}

bool weir_jparse_enter(weir_jparser_t *p)
{
    if (++p->depth > WEIR_JPARSE_MAX_DEPTH) {
        return weir_jparse_fail(p, WEIR_ERR_LIMIT, p->tok, "nested more than %d deep",
                                WEIR_JPARSE_MAX_DEPTH);
    }
    return true;
}

void weir_jparse_leave(weir_jparser_t *p)
{
    p->depth--;
}

weir_jn_t *weir_jparse_node(weir_jparser_t *p, weir_jnode_kind_t kind, const weir_jtoken_t *where)
{
    if (++p->tmpl->n_nodes > p->max_nodes) {
        weir_jparse_error(p, WEIR_ERR_LIMIT, where, "the template has more than %u parts",
                          p->max_nodes);
        return NULL;
    }
    weir_jn_t *node = weir_arena_calloc(p->arena, 1, sizeof(*node));
    if (node == NULL) {
        weir_jparse_error(p, WEIR_ERR_NOMEM, where, "out of memory");
        return NULL;
    }
    node->kind = (uint8_t)kind;
    node->depth = 1;
    node->line = where->line;
    node->col = where->col;
    return node;
}

static void raise_depth(weir_jn_t *node, const weir_jn_t *child)
{
    if (child != NULL && child->depth >= node->depth) {
        node->depth = (uint16_t)(child->depth + 1);
    }
}

bool weir_jparse_seal(weir_jparser_t *p, weir_jn_t *node)
{
    raise_depth(node, node->a);
    raise_depth(node, node->b);
    raise_depth(node, node->c);
    for (uint32_t i = 0; i < node->n; i++) {
        raise_depth(node, node->list[i]);
    }
    bool has_args =
        node->kind == WEIR_JN_CALL || node->kind == WEIR_JN_FILTER || node->kind == WEIR_JN_TEST;
    if (has_args) {
        const weir_jargs_t *args = node->x.args;
        for (uint32_t i = 0; i < args->n_pos; i++) {
            raise_depth(node, args->pos[i]);
        }
        for (uint32_t i = 0; i < args->n_kw; i++) {
            raise_depth(node, args->kw[i]);
        }
        raise_depth(node, args->star);
        raise_depth(node, args->star_star);
    }
    if (node->depth > WEIR_JPARSE_MAX_DEPTH) {
        weir_jtoken_t where = {.line = node->line, .col = node->col};
        return weir_jparse_fail(p, WEIR_ERR_LIMIT, &where, "nested more than %d deep",
                                WEIR_JPARSE_MAX_DEPTH);
    }
    return true;
}

const weir_js_t *weir_jparse_str(weir_jparser_t *p, const char *data, size_t len)
{
    weir_js_t *s = weir_arena_calloc(p->arena, 1, sizeof(*s));
    char *copy = weir_arena_strndup(p->arena, data, len);
    if (s == NULL || copy == NULL) {
        weir_jparse_error(p, WEIR_ERR_NOMEM, p->tok, "out of memory");
        return NULL;
    }
    s->data = copy;
    s->len = (uint32_t)len;
    for (size_t i = 0; i < len; i++) {
        s->chars += ((uint8_t)data[i] & 0xC0) != 0x80;
    }
    s->trusted = true;
    return s;
}

bool weir_jparse_symbol(weir_jparser_t *p, weir_str_t name, uint32_t *sym)
{
    weir_jinja_template_t *t = p->tmpl;
    for (uint32_t i = 0; i < t->n_symbols; i++) {
        if (weir_str_eq(weir_str(t->symbols[i]->data, t->symbols[i]->len), name)) {
            *sym = i;
            return true;
        }
    }
    if (t->n_symbols == 4096) {
        return weir_jparse_fail(p, WEIR_ERR_LIMIT, p->tok, "more than 4096 variables");
    }
    if (t->n_symbols == t->cap_symbols) {
        uint32_t cap = t->cap_symbols == 0 ? 32 : t->cap_symbols * 2;
        const weir_js_t **grown = weir_arena_alloc(p->arena, cap * sizeof(const weir_js_t *));
        if (grown == NULL) {
            return weir_jparse_fail(p, WEIR_ERR_NOMEM, p->tok, "out of memory");
        }
        if (t->n_symbols > 0) {
            memcpy(grown, t->symbols, t->n_symbols * sizeof(const weir_js_t *));
        }
        t->symbols = grown;
        t->cap_symbols = cap;
    }
    const weir_js_t *s = weir_jparse_str(p, name.data, name.len);
    if (s == NULL) {
        return false;
    }
    *sym = t->n_symbols;
    t->symbols[t->n_symbols++] = s;
    return true;
}

bool weir_jparse_push(weir_jparser_t *p, weir_jnodes_t *list, weir_jn_t *node)
{
    if (node == NULL) {
        return false;
    }
    if (list->n == list->cap) {
        uint32_t cap = list->cap == 0 ? 4 : list->cap * 2;
        weir_jn_t **grown = weir_arena_alloc(p->arena, cap * sizeof(weir_jn_t *));
        if (grown == NULL) {
            return weir_jparse_fail(p, WEIR_ERR_NOMEM, p->tok, "out of memory");
        }
        if (list->n > 0) {
            memcpy(grown, list->items, list->n * sizeof(weir_jn_t *));
        }
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->n++] = node;
    return true;
}

bool weir_jparse_is_op(const weir_jparser_t *p, char a, char b)
{
    return p->tok->type == WEIR_JT_OP && p->tok->op == WEIR_JOPCHAR(a, b);
}

bool weir_jparse_is_name(const weir_jparser_t *p, const char *name)
{
    return p->tok->type == WEIR_JT_NAME && weir_str_is(p->tok->text, name);
}

bool weir_jparse_skip_op(weir_jparser_t *p, char a)
{
    bool found = weir_jparse_is_op(p, a, 0);
    p->tok += found;
    return found;
}

bool weir_jparse_skip_name(weir_jparser_t *p, const char *name)
{
    bool found = weir_jparse_is_name(p, name);
    p->tok += found;
    return found;
}

bool weir_jparse_expect_op(weir_jparser_t *p, char a)
{
    return weir_jparse_skip_op(p, a) ||
           weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "expected '%c'", a);
}

/* --- statements ------------------------------------------------------------------------- */

static bool expect_tag_end(weir_jparser_t *p)
{
    if (p->tok->type != WEIR_JT_TAG_END) {
        return weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "expected the end of the tag, '%%}'");
    }
    p->tok++;
    return true;
}

/* The end of the opening tag, then statements up to a tag that begins with one of ends; the
 * current token is then that name. */
static weir_jn_t *body(weir_jparser_t *p, const char *const *ends)
{
    weir_jparse_skip_op(p, ':');
    return expect_tag_end(p) ? statements(p, ends) : NULL;
}

static weir_jn_t *sealed(weir_jparser_t *p, weir_jn_t *node)
{
    return weir_jparse_seal(p, node) ? node : NULL;
}

static weir_jn_t *if_statement(weir_jparser_t *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const last[] = {"endif", NULL};
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_IF, p->tok);
    weir_jnodes_t arms = {0};
    while (node != NULL) {
        p->tok++; /* "if" or "elif" */
        if (!weir_jparse_push(p, &arms, weir_jparse_tuple(p, false, NULL)) ||
            !weir_jparse_push(p, &arms, body(p, ends))) {
            return NULL;
        }
        if (weir_jparse_is_name(p, "elif")) {
            continue;
        }
        bool has_else = weir_jparse_is_name(p, "else");
        p->tok++;
        if (has_else) {
            node->a = body(p, last);
            if (node->a == NULL) {
                return NULL;
            }
            p->tok++;
        }
        break;
    }
    if (node == NULL) {
        return NULL;
    }
    node->list = arms.items;
    node->n = arms.n;
    return sealed(p, node);
}

static bool target_is_loop(const weir_jparser_t *p, const weir_jn_t *target)
{
    if (target->kind == WEIR_JN_NAME) {
        return weir_js_is(p->tmpl->symbols[target->sym], "loop");
    }
    for (uint32_t i = 0; i < target->n; i++) {
        if (target_is_loop(p, target->list[i])) {
            return true;
        }
    }
    return false;
}

static weir_jn_t *for_head(weir_jparser_t *p)
{
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_FOR, p->tok++);
    if (node == NULL || (node->a = weir_jparse_target(p, "in", false)) == NULL) {
        return NULL;
    }
    if (target_is_loop(p, node->a)) {
        weir_jparse_error(p, WEIR_ERR_INVALID, p->tok,
                          "Can't assign to special loop variable in for-loop target");
        return NULL;
    }
    if (!weir_jparse_skip_name(p, "in")) {
        weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "expected 'in'");
        return NULL;
    }
    node->b = weir_jparse_tuple(p, false, "recursive");
    if (node->b == NULL) {
        return NULL;
    }
    if (weir_jparse_skip_name(p, "if") && (node->c = weir_jparse_expression(p, true)) == NULL) {
        return NULL;
    }
    if (weir_jparse_is_name(p, "recursive")) {
        weir_jparse_error(p, WEIR_ERR_UNSUPPORTED, p->tok, "recursive loops are unsupported");
        return NULL;
    }
    return node;
}

static weir_jn_t *for_statement(weir_jparser_t *p)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    static const char *const last[] = {"endfor", NULL};
    weir_jn_t *node = for_head(p);
    weir_jn_t **parts = weir_arena_calloc(p->arena, 2, sizeof(weir_jn_t *));
    if (node == NULL || parts == NULL) {
        return NULL;
    }
    p->loops++;
    parts[0] = body(p, ends);
    p->loops--;
    if (parts[0] == NULL) {
        return NULL;
    }
    bool has_else = weir_jparse_is_name(p, "else");
    p->tok++;
    if (has_else) {
        parts[1] = body(p, last);
        if (parts[1] == NULL) {
            return NULL;
        }
        p->tok++;
    }
    node->list = parts;
    node->n = 2;
    return sealed(p, node);
}

static weir_jn_t *set_statement(weir_jparser_t *p)
{
    static const char *const ends[] = {"endset", NULL};
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_SET, p->tok++);
    if (node == NULL || (node->a = weir_jparse_target(p, NULL, true)) == NULL) {
        return NULL;
    }
    if (weir_jparse_skip_op(p, '=')) {
        node->b = weir_jparse_tuple(p, true, NULL);
        return node->b == NULL ? NULL : sealed(p, node);
    }
    node->kind = WEIR_JN_SETBLOCK;
    if (weir_jparse_is_op(p, '|', 0)) {
        node->c = weir_jparse_node(p, WEIR_JN_PIPED, p->tok);
        node->c = node->c == NULL ? NULL : weir_jparse_filters(p, node->c, false);
        if (node->c == NULL) {
            return NULL;
        }
    }
    node->b = body(p, ends);
    if (node->b == NULL) {
        return NULL;
    }
    p->tok++;
    return sealed(p, node);
}

static weir_jn_t *with_statement(weir_jparser_t *p)
{
    static const char *const ends[] = {"endwith", NULL};
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_WITH, p->tok++);
    weir_jnodes_t items = {0};
    while (node != NULL && p->tok->type != WEIR_JT_TAG_END) {
        if ((items.n > 0 && !weir_jparse_expect_op(p, ',')) ||
            !weir_jparse_push(p, &items, weir_jparse_target(p, NULL, false)) ||
            !weir_jparse_expect_op(p, '=') ||
            !weir_jparse_push(p, &items, weir_jparse_expression(p, true))) {
            return NULL;
        }
    }
    if (node == NULL || !weir_jparse_push(p, &items, body(p, ends))) {
        return NULL;
    }
    p->tok++;
    node->list = items.items;
    node->n = items.n;
    return sealed(p, node);
}

/* "(a, b=1)" of a macro or call block. */
static bool signature(weir_jparser_t *p, weir_jfn_t *fn)
{
    uint32_t params[64] = {0};
    weir_jnodes_t defaults = {0};
    if (!weir_jparse_expect_op(p, '(')) {
        return false;
    }
    while (!weir_jparse_is_op(p, ')', 0)) {
        if (fn->n_params > 0 && !weir_jparse_expect_op(p, ',')) {
            return false;
        }
        if (p->tok->type != WEIR_JT_NAME) {
            return weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "expected a parameter's name");
        }
        if (fn->n_params == sizeof(params) / sizeof(params[0])) {
            return weir_jparse_fail(p, WEIR_ERR_LIMIT, p->tok, "more than 64 parameters");
        }
        if (!weir_jparse_symbol(p, p->tok->text, &params[fn->n_params])) {
            return false;
        }
        fn->n_params++;
        p->tok++;
        if (weir_jparse_skip_op(p, '=')) {
            if (!weir_jparse_push(p, &defaults, weir_jparse_expression(p, true))) {
                return false;
            }
        } else if (defaults.n > 0) {
            return weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok,
                                    "non-default argument follows default argument");
        }
    }
    fn->params = weir_arena_calloc(p->arena, fn->n_params, sizeof(*fn->params));
    if (fn->params == NULL) {
        return weir_jparse_fail(p, WEIR_ERR_NOMEM, p->tok, "out of memory");
    }
    for (uint32_t i = 0; i < fn->n_params; i++) {
        fn->params[i] = params[i];
    }
    fn->defaults = defaults.items;
    fn->n_defaults = defaults.n;
    return weir_jparse_expect_op(p, ')');
}

static bool macro_body(weir_jparser_t *p, weir_jfn_t *fn, const char *const *ends)
{
    weir_jfn_t *outer = p->fn;
    uint32_t loops = p->loops;
    p->fn = fn;
    p->loops = 0;
    fn->body = body(p, ends);
    p->fn = outer;
    p->loops = loops;
    if (fn->body == NULL) {
        return false;
    }
    if (outer != NULL) {
        outer->uses_varargs |= fn->uses_varargs;
        outer->uses_kwargs |= fn->uses_kwargs;
        outer->uses_caller |= fn->uses_caller;
    }
    p->tok++;
    return true;
}

static weir_jn_t *macro_statement(weir_jparser_t *p)
{
    static const char *const ends[] = {"endmacro", NULL};
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_MACRO, p->tok++);
    weir_jfn_t *fn = weir_arena_calloc(p->arena, 1, sizeof(*fn));
    if (node == NULL || fn == NULL) {
        return NULL;
    }
    node->x.fn = fn;
    if (p->tok->type != WEIR_JT_NAME) {
        weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "expected the macro's name");
        return NULL;
    }
    if (!weir_jparse_symbol(p, p->tok->text, &fn->sym)) {
        return NULL;
    }
    fn->name = p->tmpl->symbols[fn->sym];
    p->tok++;
    if (!signature(p, fn) || !macro_body(p, fn, ends)) {
        return NULL;
    }
    raise_depth(node, fn->body);
    return sealed(p, node);
}

static weir_jn_t *call_statement(weir_jparser_t *p)
{
    static const char *const ends[] = {"endcall", NULL};
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_CALLBLOCK, p->tok++);
    weir_jfn_t *fn = weir_arena_calloc(p->arena, 1, sizeof(*fn));
    if (node == NULL || fn == NULL) {
        return NULL;
    }
    node->x.fn = fn;
    if (weir_jparse_is_op(p, '(', 0) && !signature(p, fn)) {
        return NULL;
    }
    fn->name = weir_jparse_str(p, "caller", 6);
    const weir_jtoken_t *where = p->tok;
    node->a = weir_jparse_expression(p, true);
    if (node->a == NULL) {
        return NULL;
    }
    if (node->a->kind != WEIR_JN_CALL) {
        weir_jparse_error(p, WEIR_ERR_INVALID, where, "expected call");
        return NULL;
    }
    if (!macro_body(p, fn, ends)) {
        return NULL;
    }
    raise_depth(node, fn->body);
    return sealed(p, node);
}

static weir_jn_t *filter_statement(weir_jparser_t *p)
{
    static const char *const ends[] = {"endfilter", NULL};
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_FILTERBLOCK, p->tok++);
    weir_jn_t *piped = node == NULL ? NULL : weir_jparse_node(p, WEIR_JN_PIPED, p->tok);
    if (piped == NULL || (node->a = weir_jparse_filters(p, piped, true)) == NULL) {
        return NULL;
    }
    node->b = body(p, ends);
    if (node->b == NULL) {
        return NULL;
    }
    p->tok++;
    return sealed(p, node);
}

static weir_jn_t *generation_statement(weir_jparser_t *p)
{
    static const char *const ends[] = {"endgeneration", NULL};
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_SCOPE, p->tok++);
    uint32_t loops = p->loops;
    p->loops = 0;
    if (node == NULL || (node->a = body(p, ends)) == NULL) {
        return NULL;
    }
    p->loops = loops;
    p->tok++;
    return sealed(p, node);
}

static weir_jn_t *loop_control(weir_jparser_t *p)
{
    bool is_break = weir_jparse_is_name(p, "break");
    if (p->loops == 0) {
        weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "'%s' outside a loop",
                          is_break ? "break" : "continue");
        return NULL;
    }
    return weir_jparse_node(p, is_break ? WEIR_JN_BREAK : WEIR_JN_CONTINUE, p->tok++);
}

static weir_jn_t *unknown_tag(weir_jparser_t *p)
{
    static const char *const known[] = {"extends", "include", "import", "from",  "block",
                                        "print",   "do",      "trans",  "debug", "autoescape"};
    weir_str_t name = p->tok->text;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (weir_str_is(name, known[i])) {
            weir_jparse_error(p, WEIR_ERR_UNSUPPORTED, p->tok, "tag '%s' is unsupported", known[i]);
            return NULL;
        }
    }
    weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "Encountered unknown tag '%.*s'", (int)name.len,
                      name.data);
    return NULL;
}

static weir_jn_t *statement(weir_jparser_t *p)
{
    static const struct {
        const char *name;
        weir_jn_t *(*parse)(weir_jparser_t *p);
    } table[] = {{"if", if_statement},         {"for", for_statement},
                 {"set", set_statement},       {"with", with_statement},
                 {"macro", macro_statement},   {"call", call_statement},
                 {"filter", filter_statement}, {"generation", generation_statement},
                 {"break", loop_control},      {"continue", loop_control}};
    if (p->tok->type != WEIR_JT_NAME) {
        weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "tag name expected");
        return NULL;
    }
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (weir_str_is(p->tok->text, table[i].name)) {
            weir_jn_t *node = weir_jparse_enter(p) ? table[i].parse(p) : NULL;
            weir_jparse_leave(p);
            return node != NULL && expect_tag_end(p) ? node : NULL;
        }
    }
    return unknown_tag(p);
}

static bool at_end(const weir_jparser_t *p, const char *const *ends)
{
    for (; ends != NULL && *ends != NULL; ends++) {
        if (p->tok[1].type == WEIR_JT_NAME && weir_str_is(p->tok[1].text, *ends)) {
            return true;
        }
    }
    return false;
}

static weir_jn_t *print_statement(weir_jparser_t *p)
{
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_PRINT, p->tok++);
    if (node == NULL || (node->a = weir_jparse_tuple(p, true, NULL)) == NULL) {
        return NULL;
    }
    if (p->tok->type != WEIR_JT_PRINT_END) {
        weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "expected '}}', got '%.*s'",
                          (int)(p->tok->text.len < 40 ? p->tok->text.len : 40), p->tok->text.data);
        return NULL;
    }
    p->tok++;
    return sealed(p, node);
}

/* One text, print or tag; NULL on errors. */
static weir_jn_t *piece(weir_jparser_t *p)
{
    if (p->tok->type == WEIR_JT_PRINT_BEGIN) {
        return print_statement(p);
    }
    if (p->tok->type == WEIR_JT_TAG_BEGIN) {
        p->tok++;
        return statement(p);
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_TEXT, p->tok);
    if (node != NULL) {
        node->str = weir_jparse_str(p, p->tok->text.data, p->tok->text.len);
        p->tok++;
        node = node->str == NULL ? NULL : node;
    }
    return node;
}

static weir_jn_t *statements(weir_jparser_t *p, const char *const *ends)
{
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_BLOCK, p->tok);
    weir_jnodes_t items = {0};
    for (;;) {
        if (node == NULL) {
            return NULL;
        }
        if (p->tok->type == WEIR_JT_END) {
            if (ends != NULL) {
                weir_jparse_error(p, WEIR_ERR_INVALID, p->tok,
                                  "Unexpected end of template: {%% %s %%} is missing", ends[0]);
                return NULL;
            }
            break;
        }
        if (p->tok->type == WEIR_JT_TAG_BEGIN && at_end(p, ends)) {
            p->tok++;
            break;
        }
        if (!weir_jparse_push(p, &items, piece(p))) {
            return NULL;
        }
    }
    node->list = items.items;
    node->n = items.n;
    return sealed(p, node);
}

/* --- the compiled template -------------------------------------------------------------- */

static weir_status_t check_utf8(weir_str_t s, weir_error_t *err)
{
    for (size_t i = 0; i < s.len;) {
        uint32_t cp;
        int n = weir_utf8_decode(s.data + i, s.len - i, &cp);
        if (n < 0) {
            return weir_error(err, WEIR_ERR_INVALID, "the template is not valid UTF-8 at byte %zu",
                              i);
        }
        i += (size_t)n;
    }
    return WEIR_OK;
}

static weir_status_t compile(weir_jinja_template_t *t, weir_str_t source, uint32_t max_nodes,
                             weir_error_t *err)
{
    weir_arena_t scratch;
    weir_arena_init(&scratch, 64 * 1024, 256u << 20);
    weir_jtoken_t *tokens = NULL;
    size_t count = 0;
    weir_status_t status = weir_jlex_normalise(source, &t->arena, &t->source);
    if (status == WEIR_OK) {
        status = weir_jlex(t->source, &scratch, &tokens, &count, err);
    }
    if (status == WEIR_OK) {
        weir_jparser_t p = {
            .tmpl = t, .arena = &t->arena, .tok = tokens, .err = err, .max_nodes = max_nodes};
        if (weir_jparse_symbol(&p, WEIR_STR("varargs"), &p.sym_varargs) &&
            weir_jparse_symbol(&p, WEIR_STR("kwargs"), &p.sym_kwargs) &&
            weir_jparse_symbol(&p, WEIR_STR("caller"), &p.sym_caller)) {
            t->root = statements(&p, NULL);
        }
        status = p.status;
        if (status == WEIR_OK && t->root == NULL) {
            status = weir_error(err, WEIR_ERR_NOMEM, "out of memory while compiling a template");
        }
    }
    weir_arena_free(&scratch);
    return status;
}

weir_status_t weir_jinja_compile(weir_str_t source, const weir_jinja_limits_t *limits,
                                 weir_jinja_template_t **out, weir_error_t *err)
{
    size_t max_source = limits == NULL ? 0 : limits->max_source;
    uint32_t max_nodes = limits == NULL ? 0 : limits->max_nodes;
    max_source = max_source == 0 ? DEFAULT_MAX_SOURCE : max_source;
    if (source.len > max_source) {
        return weir_error(err, WEIR_ERR_LIMIT, "the template has %zu bytes, the limit is %zu",
                          source.len, max_source);
    }
    weir_status_t status = check_utf8(source, err);
    if (status != WEIR_OK) {
        return status;
    }
    weir_jinja_template_t *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory while compiling a template");
    }
    weir_arena_init(&t->arena, 64 * 1024, 1u << 30);
    status = compile(t, source, max_nodes == 0 ? DEFAULT_MAX_NODES : max_nodes, err);
    if (status != WEIR_OK) {
        weir_jinja_free(t);
        return status;
    }
    *out = t;
    return WEIR_OK;
}

void weir_jinja_free(weir_jinja_template_t *tmpl)
{
    if (tmpl != NULL) {
        weir_arena_free(&tmpl->arena);
        free(tmpl);
    }
}
