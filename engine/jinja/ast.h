/*
 * The syntax tree of a template and the compiled template itself. Internal to this folder.
 */
#ifndef WEIR_JINJA_AST_H
#define WEIR_JINJA_AST_H

#include "engine/jinja/value.h"

typedef enum {
    /* statements */
    WEIR_JN_TEXT,      /* str */
    WEIR_JN_PRINT,     /* a */
    WEIR_JN_BLOCK,     /* list: statements in order */
    WEIR_JN_IF,        /* list: condition, body, condition, body, ...; a: else body or NULL */
    WEIR_JN_FOR,       /* a: target, b: iterable, c: filter or NULL, list[0]: body, list[1]: else */
    WEIR_JN_SET,       /* a: target, b: value */
    WEIR_JN_SETBLOCK,  /* a: target, b: body, c: filter chain over PIPED or NULL */
    WEIR_JN_WITH,      /* list: target, value, ..., body last */
    WEIR_JN_MACRO,     /* fn */
    WEIR_JN_CALLBLOCK, /* fn: the caller macro, a: call */
    WEIR_JN_FILTERBLOCK, /* a: filter chain over PIPED, b: body */
    WEIR_JN_SCOPE,       /* a: body in a scope of its own (generation) */
    WEIR_JN_BREAK,
    WEIR_JN_CONTINUE,
    /* expressions */
    WEIR_JN_CONST,  /* value */
    WEIR_JN_NAME,   /* sym */
    WEIR_JN_NSREF,  /* sym, str: attribute; only as a target */
    WEIR_JN_PIPED,  /* the text that a filter block or block set has captured */
    WEIR_JN_LIST,   /* list */
    WEIR_JN_TUPLE,  /* list */
    WEIR_JN_DICT,   /* list: key, value, ... */
    WEIR_JN_ATTR,   /* a, str */
    WEIR_JN_ITEM,   /* a, b */
    WEIR_JN_SLICE,  /* a: object, list[0..2]: start, stop, step or NULL */
    WEIR_JN_CALL,   /* a: callee, args */
    WEIR_JN_FILTER, /* a: input, op: filter, args */
    WEIR_JN_TEST,   /* a: input, op: test, args */
    WEIR_JN_NOT,    /* a */
    WEIR_JN_AND,
    WEIR_JN_OR,
    WEIR_JN_COND,    /* a: condition, b: then, c: else or NULL */
    WEIR_JN_COMPARE, /* a: first; list: operands; ops */
    WEIR_JN_CONCAT,  /* list */
    WEIR_JN_BINARY,  /* op, a, b */
    WEIR_JN_NEG,
    WEIR_JN_POS
} weir_jnode_kind_t;

/* Operators: of BINARY, and in COMPARE. */
typedef enum {
    WEIR_JOP_ADD,
    WEIR_JOP_SUB,
    WEIR_JOP_MUL,
    WEIR_JOP_DIV,
    WEIR_JOP_FLOORDIV,
    WEIR_JOP_MOD,
    WEIR_JOP_POW,
    WEIR_JOP_EQ,
    WEIR_JOP_NE,
    WEIR_JOP_LT,
    WEIR_JOP_LE,
    WEIR_JOP_GT,
    WEIR_JOP_GE,
    WEIR_JOP_IN,
    WEIR_JOP_NOTIN
} weir_jop_t;

typedef struct weir_jn weir_jn_t;

/* Arguments of a call, filter or test. */
typedef struct {
    weir_jn_t **pos;
    uint32_t n_pos;
    const weir_js_t **kw_names;
    weir_jn_t **kw;
    uint32_t n_kw;
    weir_jn_t *star;      /* *expr or NULL */
    weir_jn_t *star_star; /* **expr or NULL */
} weir_jargs_t;

/* A macro or the body of a call block. */
typedef struct {
    const weir_js_t *name;
    uint32_t sym;
    uint32_t *params;     /* symbols */
    weir_jn_t **defaults; /* for the last n_defaults parameters */
    uint32_t n_params;
    uint32_t n_defaults;
    weir_jn_t *body;
    bool uses_varargs;
    bool uses_kwargs;
    bool uses_caller;
} weir_jfn_t;

struct weir_jn {
    uint8_t kind; /* weir_jnode_kind_t */
    uint8_t op;
    uint16_t depth; /* height of the tree below */
    uint32_t line;
    uint32_t col;
    uint32_t sym;
    uint32_t n; /* of list */
    weir_jn_t *a;
    weir_jn_t *b;
    weir_jn_t *c;
    weir_jn_t **list;
    const weir_js_t *str;
    union {
        weir_jargs_t *args;
        weir_jfn_t *fn;
        uint8_t *ops;
        const weir_jv_t *value;
    } x;
};

struct weir_jinja_template {
    weir_arena_t arena;
    weir_str_t source; /* newlines normalised */
    weir_jn_t *root;
    const weir_js_t **symbols; /* names of variables, by symbol */
    uint32_t n_symbols;
    uint32_t cap_symbols;
    uint32_t n_nodes;
};

#endif
