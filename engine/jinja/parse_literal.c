/* Literals, names, tuples and assignment targets. */
#include "engine/base/hex.h"
#include "engine/jinja/parser.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/base/utf8.h"

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

/* \xHH, \uHHHH, \UHHHHHHHH at s[i] (behind the backslash): moves *i behind it. */
static bool hex_escape(weir_jparser_t *p, weir_str_t s, size_t *i, weir_buf_t *out)
{
    int want = s.data[*i] == 'x' ? 2 : s.data[*i] == 'u' ? 4 : 8;
    uint32_t cp = 0;
    for (int k = 1; k <= want; k++) {
        int h = *i + (size_t)k < s.len ? weir_hex_digit(s.data[*i + (size_t)k]) : -1;
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

weir_jn_t *weir_jparse_string_literal(weir_jparser_t *p)
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
        weir_jparse_error(p, WEIR_ERR_NOMEM, p->tok, "out of memory");
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

weir_jn_t *weir_jparse_number_literal(weir_jparser_t *p)
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
        weir_jparse_error(p, WEIR_ERR_UNSUPPORTED, where, "integer literal beyond 64 bits");
        return NULL;
    }
    return constant(p, where, weir_jv_int(value, true));
}

weir_jn_t *weir_jparse_list_literal(weir_jparser_t *p)
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

weir_jn_t *weir_jparse_dict_literal(weir_jparser_t *p)
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

weir_jn_t *weir_jparse_name(weir_jparser_t *p)
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
        weir_jn_t *node = weir_jparse_name(p);
        if (node == NULL || node->kind != WEIR_JN_NAME) {
            if (node != NULL) {
                weir_jparse_error(p, WEIR_ERR_INVALID, where, "can't assign to a constant");
            }
            return NULL;
        }
        if (with_namespace && weir_jparse_skip_op(p, '.')) {
            if (p->tok->type != WEIR_JT_NAME) {
                weir_jparse_error(p, WEIR_ERR_INVALID, p->tok, "expected an attribute's name");
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
    weir_jparse_error(p, WEIR_ERR_INVALID, where, "expected a variable to assign to");
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
        weir_jparse_error(p, WEIR_ERR_INVALID, where, "expected a variable to assign to");
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

weir_jn_t *weir_jparse_any_tuple(weir_jparser_t *p, bool with_cond, const char *end_name,
                                 bool explicit)
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
        weir_jparse_error(p, WEIR_ERR_INVALID, where, "expected an expression");
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
    return weir_jparse_any_tuple(p, with_cond, end_name, false);
}
