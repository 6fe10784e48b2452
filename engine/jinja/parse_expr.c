#include "engine/jinja/parser.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/base/utf8.h"
#include "engine/jinja/builtins.h"

static weir_jn_t *unary(weir_jparser_t *p, bool with_filter);

static weir_jn_t *sealed(weir_jparser_t *p, weir_jn_t *node)
{
    return weir_jparse_seal(p, node) ? node : NULL;
}

static weir_jn_t *constant(weir_jparser_t *p, const weir_jtoken_t *where, weir_jv_t value)
{
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_CONST, where);
    weir_jv_t *v = node == NULL ? NULL : weir_arena_alloc(p->arena, sizeof(*v));
    if (v == NULL) {
        return NULL;
    }
    *v = value;
    node->x.value = v;
    return node;
}

/* --- literals --------------------------------------------------------------------------- */

static int hex_value(char c)
{
    char low = (char)(c | 0x20);
    return c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

/* \xHH, \uHHHH, \UHHHHHHHH at s[i] (behind the backslash): moves *i behind it. */
static bool hex_escape(weir_jparser_t *p, weir_str_t s, size_t *i, weir_buf_t *out)
{
    int want = s.data[*i] == 'x' ? 2 : s.data[*i] == 'u' ? 4 : 8;
    uint32_t cp = 0;
    for (int k = 1; k <= want; k++) {
        int h = *i + (size_t)k < s.len ? hex_value(s.data[*i + (size_t)k]) : -1;
        if (h < 0 || cp > 0x10FFFF) {
            return weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "truncated \\%c escape",
                                    s.data[*i]);
        }
        cp = cp * 16 + (uint32_t)h;
    }
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000)) {
        return weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "escape names no character");
    }
    char utf8[4];
    weir_buf_append(out, utf8, (size_t)weir_utf8_encode(cp, utf8));
    *i += (size_t)want + 1;
    return true;
}

static void octal_escape(weir_str_t s, size_t *i, weir_buf_t *out)
{
    uint32_t cp = 0;
    size_t stop = *i + 3;
    while (*i < s.len && *i < stop && s.data[*i] >= '0' && s.data[*i] <= '7') {
        cp = cp * 8 + (uint32_t)(s.data[(*i)++] - '0');
    }
    char utf8[4];
    weir_buf_append(out, utf8, (size_t)weir_utf8_encode(cp, utf8));
}

/* jinja2 reads escapes in the backslash-replaced ASCII form of the literal: a backslash before a
 * character outside ASCII therefore leaves "\" and the character's code in letters. */
static void foreign_escape(weir_str_t s, size_t *i, weir_buf_t *out)
{
    uint32_t cp;
    int n = weir_utf8_decode(s.data + *i, s.len - *i, &cp);
    *i += (size_t)(n < 0 ? -n : n);
    weir_buf_printf(out, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
}

static bool unescape(weir_jparser_t *p, weir_str_t s, weir_buf_t *out)
{
    static const char from[] = "abfnrtv\\'\"";
    static const char to[] = "\a\b\f\n\r\t\v\\'\"";
    for (size_t i = 0; i < s.len;) {
        if (s.data[i] != '\\') {
            weir_buf_append_char(out, s.data[i++]);
            continue;
        }
        i++;
        char c = s.data[i];
        const char *simple = c == '\0' ? NULL : strchr(from, c);
        if (simple != NULL) {
            weir_buf_append_char(out, to[simple - from]);
            i++;
        } else if (c == '\n') {
            i++;
        } else if (c == 'x' || c == 'u' || c == 'U') {
            if (!hex_escape(p, s, &i, out)) {
                return false;
            }
        } else if (c >= '0' && c <= '7') {
            octal_escape(s, &i, out);
        } else if (c == 'N') {
            return weir_jparse_fail(p, WEIR_ERR_UNSUPPORTED, p->tok, "\\N{...} is unsupported");
        } else if ((uint8_t)c >= 0x80) {
            foreign_escape(s, &i, out);
        } else {
            weir_buf_append_char(out, '\\');
        }
    }
    return true;
}

static weir_jn_t *string_literal(weir_jparser_t *p)
{
    const weir_jtoken_t *where = p->tok;
    weir_buf_t out;
    weir_buf_init(&out, p->arena);
    for (; p->tok->type == WEIR_JT_STRING; p->tok++) {
        weir_str_t inner = weir_str(p->tok->text.data + 1, p->tok->text.len - 2);
        if (!unescape(p, inner, &out)) {
            return NULL;
        }
    }
    const weir_js_t *s =
        out.failed ? NULL : weir_jparse_str(p, out.data == NULL ? "" : out.data, out.len);
    return s == NULL ? NULL : constant(p, where, weir_jv_str(s));
}

/* Digits without underscores, NUL-terminated. */
static char *plain_digits(weir_jparser_t *p, weir_str_t text)
{
    char *z = weir_arena_alloc(p->arena, text.len + 1);
    if (z == NULL) {
        weir_jparse_fail(p, WEIR_ERR_NOMEM, p->tok, "out of memory");
        return NULL;
    }
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '_') {
            z[n++] = text.data[i];
        }
    }
    z[n] = '\0';
    return z;
}

static weir_jn_t *number_literal(weir_jparser_t *p)
{
    const weir_jtoken_t *where = p->tok++;
    char *z = plain_digits(p, where->text);
    if (z == NULL) {
        return NULL;
    }
    if (where->type == WEIR_JT_FLOAT) {
        return constant(p, where, weir_jv_float(strtod(z, NULL), true));
    }
    int base = 10;
    if (z[0] == '0' && z[1] != '\0' && (z[1] | 0x20) != '0') {
        base = (z[1] | 0x20) == 'x' ? 16 : (z[1] | 0x20) == 'o' ? 8 : (z[1] | 0x20) == 'b' ? 2 : 10;
    }
    errno = 0;
    long long value = strtoll(base == 10 ? z : z + 2, NULL, base);
    if (errno != 0) {
        weir_jparse_fail(p, WEIR_ERR_UNSUPPORTED, where, "integer literal beyond 64 bits");
        return NULL;
    }
    return constant(p, where, weir_jv_int(value, true));
}

static weir_jn_t *list_literal(weir_jparser_t *p)
{
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_LIST, p->tok++);
    weir_jnodes_t items = {0};
    while (node != NULL && !weir_jparse_is_op(p, ']', 0)) {
        if (items.n > 0 && !weir_jparse_expect_op(p, ',')) {
            return NULL;
        }
        if (weir_jparse_is_op(p, ']', 0)) {
            break;
        }
        if (!weir_jparse_push(p, &items, weir_jparse_expression(p, true))) {
            return NULL;
        }
    }
    if (node == NULL || !weir_jparse_expect_op(p, ']')) {
        return NULL;
    }
    node->list = items.items;
    node->n = items.n;
    return sealed(p, node);
}

static weir_jn_t *dict_literal(weir_jparser_t *p)
{
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_DICT, p->tok++);
    weir_jnodes_t items = {0};
    while (node != NULL && !weir_jparse_is_op(p, '}', 0)) {
        if (items.n > 0 && !weir_jparse_expect_op(p, ',')) {
            return NULL;
        }
        if (weir_jparse_is_op(p, '}', 0)) {
            break;
        }
        if (!weir_jparse_push(p, &items, weir_jparse_expression(p, true)) ||
            !weir_jparse_expect_op(p, ':') ||
            !weir_jparse_push(p, &items, weir_jparse_expression(p, true))) {
            return NULL;
        }
    }
    if (node == NULL || !weir_jparse_expect_op(p, '}')) {
        return NULL;
    }
    node->list = items.items;
    node->n = items.n;
    return sealed(p, node);
}

static weir_jn_t *name_node(weir_jparser_t *p)
{
    static const char *const words[] = {"true", "True", "false", "False", "none", "None"};
    const weir_jtoken_t *where = p->tok++;
    for (size_t i = 0; i < 6; i++) {
        if (weir_str_is(where->text, words[i])) {
            weir_jv_t v = i < 4 ? weir_jv_bool(i < 2) : weir_jv_none();
            v.trusted = true;
            return constant(p, where, v);
        }
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_NAME, where);
    if (node == NULL || !weir_jparse_symbol(p, where->text, &node->sym)) {
        return NULL;
    }
    if (p->fn != NULL) {
        p->fn->uses_varargs |= node->sym == p->sym_varargs;
        p->fn->uses_kwargs |= node->sym == p->sym_kwargs;
        p->fn->uses_caller |= node->sym == p->sym_caller;
    }
    return node;
}

/* --- tuples and targets ----------------------------------------------------------------- */

static bool tuple_ends(const weir_jparser_t *p, const char *end_name)
{
    return p->tok->type == WEIR_JT_PRINT_END || p->tok->type == WEIR_JT_TAG_END ||
           weir_jparse_is_op(p, ')', 0) || (end_name != NULL && weir_jparse_is_name(p, end_name));
}

static weir_jn_t *target_primary(weir_jparser_t *p, bool with_namespace)
{
    const weir_jtoken_t *where = p->tok;
    if (where->type == WEIR_JT_NAME) {
        weir_jn_t *node = name_node(p);
        if (node == NULL || node->kind != WEIR_JN_NAME) {
            if (node != NULL) {
                weir_jparse_fail(p, WEIR_ERR_INVALID, where, "can't assign to a constant");
            }
            return NULL;
        }
        if (with_namespace && weir_jparse_skip_op(p, '.')) {
            if (p->tok->type != WEIR_JT_NAME) {
                weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "expected an attribute's name");
                return NULL;
            }
            node->kind = WEIR_JN_NSREF;
            node->str = weir_jparse_str(p, p->tok->text.data, p->tok->text.len);
            p->tok++;
            return node->str == NULL ? NULL : node;
        }
        return node;
    }
    if (weir_jparse_is_op(p, '(', 0)) {
        p->tok++;
        weir_jn_t *node = weir_jparse_enter(p) ? weir_jparse_target(p, NULL, with_namespace) : NULL;
        weir_jparse_leave(p);
        return node != NULL && weir_jparse_expect_op(p, ')') ? node : NULL;
    }
    weir_jparse_fail(p, WEIR_ERR_INVALID, where, "expected a variable to assign to");
    return NULL;
}

weir_jn_t *weir_jparse_target(weir_jparser_t *p, const char *end_name, bool with_namespace)
{
    const weir_jtoken_t *where = p->tok;
    weir_jnodes_t items = {0};
    bool is_tuple = false;
    for (;;) {
        if (items.n > 0 && !weir_jparse_expect_op(p, ',')) {
            return NULL;
        }
        if (tuple_ends(p, end_name)) {
            break;
        }
        if (!weir_jparse_push(p, &items, target_primary(p, with_namespace))) {
            return NULL;
        }
        if (!weir_jparse_is_op(p, ',', 0)) {
            break;
        }
        is_tuple = true;
    }
    if (items.n == 0) {
        weir_jparse_fail(p, WEIR_ERR_INVALID, where, "expected a variable to assign to");
        return NULL;
    }
    if (!is_tuple) {
        return items.items[0];
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_TUPLE, where);
    if (node == NULL) {
        return NULL;
    }
    node->list = items.items;
    node->n = items.n;
    return sealed(p, node);
}

static weir_jn_t *tuple(weir_jparser_t *p, bool with_cond, const char *end_name, bool explicit)
{
    const weir_jtoken_t *where = p->tok;
    weir_jnodes_t items = {0};
    bool is_tuple = false;
    for (;;) {
        if (items.n > 0 && !weir_jparse_expect_op(p, ',')) {
            return NULL;
        }
        if (tuple_ends(p, end_name)) {
            break;
        }
        if (!weir_jparse_push(p, &items, weir_jparse_expression(p, with_cond))) {
            return NULL;
        }
        if (!weir_jparse_is_op(p, ',', 0)) {
            break;
        }
        is_tuple = true;
    }
    if (!is_tuple && items.n > 0) {
        return items.items[0];
    }
    if (!is_tuple && !explicit) {
        weir_jparse_fail(p, WEIR_ERR_INVALID, where, "expected an expression");
        return NULL;
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_TUPLE, where);
    if (node == NULL) {
        return NULL;
    }
    node->list = items.items;
    node->n = items.n;
    return sealed(p, node);
}

weir_jn_t *weir_jparse_tuple(weir_jparser_t *p, bool with_cond, const char *end_name)
{
    return tuple(p, with_cond, end_name, false);
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
        const weir_js_t **grown = weir_arena_alloc(p->arena, cap * sizeof(*grown));
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
        weir_jparse_fail(p, WEIR_ERR_UNSUPPORTED, p->tok - 1, "method %.*s() is unsupported",
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
        weir_jn_t **parts = weir_arena_calloc(p->arena, 3, sizeof(*parts));
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
            weir_jparse_fail(p, WEIR_ERR_INVALID, where, "expected an index");
            return NULL;
        }
        node = weir_jparse_node(p, WEIR_JN_ITEM, where);
        if (node == NULL) {
            return NULL;
        }
        node->b = first;
    }
    if (weir_jparse_is_op(p, ',', 0)) {
        weir_jparse_fail(p, WEIR_ERR_UNSUPPORTED, p->tok, "an index of several parts");
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
        weir_jparse_fail(p, WEIR_ERR_INVALID, where, "expected a name or number behind '.'");
        return NULL;
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_ITEM, where);
    if (node == NULL || (node->b = number_literal(p)) == NULL) {
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
        weir_jparse_fail(p, WEIR_ERR_INVALID, where, "expected a filter's name");
        return NULL;
    }
    weir_jn_t *node = weir_jparse_node(p, WEIR_JN_FILTER, where);
    if (node == NULL) {
        return NULL;
    }
    int id = weir_jfilter_find(where->text);
    if (id < 0) {
        weir_jparse_fail(p, WEIR_ERR_UNSUPPORTED, where, "filter '%.*s' is unsupported",
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
        weir_jparse_fail(p, WEIR_ERR_INVALID, name, "expected a test's name behind 'is'");
        return NULL;
    }
    int id = weir_jtest_find(name->text);
    if (id < 0) {
        weir_jparse_fail(p, WEIR_ERR_UNSUPPORTED, name, "test '%.*s' is unsupported",
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
        return name_node(p);
    case WEIR_JT_STRING:
        return string_literal(p);
    case WEIR_JT_INT:
    case WEIR_JT_FLOAT:
        return number_literal(p);
    default:
        break;
    }
    if (weir_jparse_is_op(p, '(', 0)) {
        p->tok++;
        weir_jn_t *node = tuple(p, true, NULL, true);
        return node != NULL && weir_jparse_expect_op(p, ')') ? node : NULL;
    }
    if (weir_jparse_is_op(p, '[', 0)) {
        return list_literal(p);
    }
    if (weir_jparse_is_op(p, '{', 0)) {
        return dict_literal(p);
    }
    if (p->tok->type == WEIR_JT_OP) {
        weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "unexpected '%.*s'", (int)p->tok->text.len,
                         p->tok->text.data);
    } else {
        weir_jparse_fail(p, WEIR_ERR_INVALID, p->tok, "expected an expression");
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
            weir_jparse_fail(p, WEIR_ERR_LIMIT, p->tok, "more than 64 comparisons in a chain");
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
