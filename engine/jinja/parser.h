/*
 * Shared by the parts of the parser: parser.c (statements), parse_expr.c (operators, calls,
 * filters) and parse_literal.c (literals, names, tuples). Internal to this folder. All functions
 * return NULL or false once the error is set.
 */
#ifndef WEIR_JINJA_PARSER_H
#define WEIR_JINJA_PARSER_H

#include "engine/jinja/ast.h"
#include "engine/jinja/lexer.h"

/* The most that statements and expressions may nest, left-leaning chains included. */
#define WEIR_JPARSE_MAX_DEPTH 200

typedef struct {
    weir_jinja_template_t *tmpl;
    weir_arena_t *arena;
    const weir_jtoken_t *tok; /* the current one */
    weir_error_t *err;
    weir_status_t status;
    uint32_t max_nodes;
    uint32_t depth; /* of the recursive descent */
    uint32_t loops; /* enclosing for loops, for break and continue */
    weir_jfn_t *fn; /* the macro being read */
    uint32_t sym_varargs;
    uint32_t sym_kwargs;
    uint32_t sym_caller;
} weir_jparser_t;

/* Sets the error unless one is set; the macro is false, for `return weir_jparse_fail(...)`. */
void weir_jparse_error(weir_jparser_t *p, weir_status_t status, const weir_jtoken_t *where,
                       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define weir_jparse_fail(p, status, where, ...) \
    (weir_jparse_error(p, status, where, __VA_ARGS__), false)
bool weir_jparse_enter(weir_jparser_t *p);
void weir_jparse_leave(weir_jparser_t *p);

weir_jn_t *weir_jparse_node(weir_jparser_t *p, weir_jnode_kind_t kind, const weir_jtoken_t *where);
/* Sets the node's height from its children's; false when that is too much. */
bool weir_jparse_seal(weir_jparser_t *p, weir_jn_t *node);
const weir_js_t *weir_jparse_str(weir_jparser_t *p, const char *data, size_t len);
bool weir_jparse_symbol(weir_jparser_t *p, weir_str_t name, uint32_t *sym);

/* A growing array of nodes. */
typedef struct {
    weir_jn_t **items;
    uint32_t n;
    uint32_t cap;
} weir_jnodes_t;
bool weir_jparse_push(weir_jparser_t *p, weir_jnodes_t *list, weir_jn_t *node);

bool weir_jparse_is_op(const weir_jparser_t *p, char a, char b);
bool weir_jparse_is_name(const weir_jparser_t *p, const char *name);
bool weir_jparse_skip_op(weir_jparser_t *p, char a);
bool weir_jparse_skip_name(weir_jparser_t *p, const char *name);
bool weir_jparse_expect_op(weir_jparser_t *p, char a);

/* At a token of that kind (parse_literal.c). */
weir_jn_t *weir_jparse_string_literal(weir_jparser_t *p);
weir_jn_t *weir_jparse_number_literal(weir_jparser_t *p);
weir_jn_t *weir_jparse_list_literal(weir_jparser_t *p);
weir_jn_t *weir_jparse_dict_literal(weir_jparser_t *p);
weir_jn_t *weir_jparse_name(weir_jparser_t *p);

/* An expression; with_cond: an inline if may follow. */
weir_jn_t *weir_jparse_expression(weir_jparser_t *p, bool with_cond);
/* What stands in a print tag or behind `set x =`: one expression, or a tuple without brackets.
 * end_name: a name that ends it ("recursive"), or NULL. */
weir_jn_t *weir_jparse_tuple(weir_jparser_t *p, bool with_cond, const char *end_name);
/* The same; explicit: it stands in parentheses and may be empty. */
weir_jn_t *weir_jparse_any_tuple(weir_jparser_t *p, bool with_cond, const char *end_name,
                                 bool explicit);
/* An assignment target: a name, namespace attribute, or tuple of these. */
weir_jn_t *weir_jparse_target(weir_jparser_t *p, const char *end_name, bool with_namespace);
/* Filters "|a|b(1)" applied to input; with `first`, the first name has no bar before it. */
weir_jn_t *weir_jparse_filters(weir_jparser_t *p, weir_jn_t *input, bool first);
weir_jn_t *weir_jparse_postfix(weir_jparser_t *p, weir_jn_t *node);

#endif
