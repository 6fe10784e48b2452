/*
 * The state of one rendering, and evaluation. Internal to this folder.
 */
#ifndef WEIR_JINJA_INTERP_H
#define WEIR_JINJA_INTERP_H

#include "engine/jinja/ast.h"
#include "engine/jinja/builtins.h"

typedef struct weir_jscope weir_jscope_t;

typedef struct {
    uint32_t sym;
    weir_jv_t value;
} weir_jvar_t;

/* Variables of a block; lookup goes outwards. */
struct weir_jscope {
    weir_jscope_t *outer;
    weir_jvar_t *vars;
    uint32_t n;
    uint32_t cap;
};

struct weir_jmacro {
    const weir_jfn_t *fn;
    weir_jscope_t *scope; /* where it was defined */
};

struct weir_jmethod {
    weir_jv_t self;
    const weir_jbuiltin_t *builtin;
};

struct weir_ji {
    const weir_jinja_template_t *tmpl;
    weir_arena_t arena; /* everything that the rendering makes */
    weir_jinja_limits_t limits;
    weir_error_t error;
    weir_status_t status;
    weir_jscope_t *scope;
    weir_jb_t *out;  /* where statements print to */
    weir_jv_t piped; /* the text that a filter block has captured */
    uint64_t steps;
    uint32_t depth;
    const weir_jn_t *where;
    time_t now;
    uint32_t loop_depth;
    uint32_t sym_loop;
    uint32_t sym_caller;
    uint32_t sym_varargs;
    uint32_t sym_kwargs;
};

/* Sets the error unless one is set. The macros are false, which a compiler or checker can see, for
 * `return weir_ji_fail(...)`. */
void weir_ji_set_error(weir_ji_t *in, weir_status_t status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void weir_ji_set_nomem(weir_ji_t *in);
#define weir_ji_fail(in, status, ...) (weir_ji_set_error(in, status, __VA_ARGS__), false)
#define weir_ji_nomem(in)             (weir_ji_set_nomem(in), false)
bool weir_ji_enter(weir_ji_t *in);
void weir_ji_leave(weir_ji_t *in);
void *weir_ji_alloc(weir_ji_t *in, size_t size);

bool weir_ji_eval(weir_ji_t *in, const weir_jn_t *node, weir_jv_t *out);
bool weir_ji_call(weir_ji_t *in, weir_jv_t callee, const weir_jcall_t *call, weir_jv_t *out);
bool weir_ji_call_builtin(weir_ji_t *in, const weir_jbuiltin_t *b, weir_jv_t self,
                          const weir_jcall_t *call, weir_jv_t *out);
/* obj.name and obj[key] as Jinja resolves them. */
bool weir_ji_attr(weir_ji_t *in, weir_jv_t obj, const weir_js_t *name, weir_jv_t *out);
bool weir_ji_item(weir_ji_t *in, weir_jv_t obj, weir_jv_t key, weir_jv_t *out);
bool weir_ji_binary(weir_ji_t *in, weir_jop_t op, weir_jv_t a, weir_jv_t b, weir_jv_t *out);
bool weir_ji_slice(weir_ji_t *in, weir_jv_t obj, const weir_jv_t parts[3], weir_jv_t *out);
bool weir_ji_args(weir_ji_t *in, const weir_jargs_t *args, weir_jcall_t *call);
bool weir_ji_macro(weir_ji_t *in, const weir_jmacro_t *macro, const weir_jcall_t *call,
                   weir_jv_t *out);

bool weir_ji_set(weir_ji_t *in, uint32_t sym, weir_jv_t value);
const weir_jv_t *weir_ji_lookup(const weir_ji_t *in, uint32_t sym);
bool weir_ji_push_scope(weir_ji_t *in);

#endif
