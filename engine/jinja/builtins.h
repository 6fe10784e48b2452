/*
 * Filters, tests, functions and methods by name. Internal to this folder.
 */
#ifndef WEIR_JINJA_BUILTINS_H
#define WEIR_JINJA_BUILTINS_H

#include "engine/jinja/value.h"

/* Evaluated arguments. */
typedef struct {
    const weir_jv_t *pos;
    uint32_t n_pos;
    const weir_js_t *const *kw_names;
    const weir_jv_t *kw;
    uint32_t n_kw;
} weir_jcall_t;

typedef bool (*weir_jbuiltin_fn)(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call,
                                 weir_jv_t *out);

/* Parameter names, for arguments by position or keyword; NULL: any number by position. */
typedef struct {
    const char *name;
    weir_jbuiltin_fn fn;
    uint8_t min; /* arguments that must be there */
    const char *params[5];
} weir_jbuiltin_t;

int weir_jfilter_find(weir_str_t name); /* -1: none */
int weir_jtest_find(weir_str_t name);
const weir_jbuiltin_t *weir_jfilter(int id);
const weir_jbuiltin_t *weir_jtest(int id);

/* Global functions: name by index, NULL behind the last one. */
const weir_jbuiltin_t *weir_jfunction(uint32_t index);

/* A method that Python's str, list or dict has and this component has not. */
bool weir_jmethod_unsupported(const weir_js_t *name);
/* The method `name` of v; *found false: v's type has none of that name in Python either. */
bool weir_jmethod_get(weir_ji_t *in, weir_jv_t v, const weir_js_t *name, weir_jv_t *out,
                      bool *found);
const weir_jbuiltin_t *weir_jmethod_of(const weir_jmethod_t *m, weir_jv_t *self);

/*
 * Binds call to the parameters of b: args[i] holds the value of parameter i, or type UNDEFINED
 * with u.undef NULL where none was given. Fails with Python's kind of TypeError.
 */
bool weir_jbind(weir_ji_t *in, const weir_jbuiltin_t *b, const weir_jcall_t *call,
                weir_jv_t args[5]);
static inline bool weir_jgiven(weir_jv_t v)
{
    return v.type != WEIR_JV_UNDEFINED || v.u.undef != NULL;
}

/* Arguments with conversions; `fallback` when not given. Fail on other types. */
bool weir_jarg_int(weir_ji_t *in, weir_jv_t v, int64_t fallback, int64_t *out);
bool weir_jarg_str(weir_ji_t *in, weir_jv_t v, const weir_js_t **out);

/* Used by several files. */
bool weir_jformat_percent(weir_ji_t *in, const weir_js_t *format, weir_jv_t args, weir_jv_t *out);
bool weir_jformat_method(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out);
bool weir_jstr_strip(weir_ji_t *in, const weir_js_t *s, const weir_js_t *chars, int sides,
                     weir_jv_t *out);
bool weir_jstr_replace(weir_ji_t *in, const weir_js_t *s, const weir_js_t *from,
                       const weir_js_t *to, int64_t count, weir_jv_t *out);
bool weir_jstr_splitlines(weir_ji_t *in, const weir_js_t *s, bool keep, weir_jlist_t *out);
typedef enum {
    WEIR_JCASE_LOWER,
    WEIR_JCASE_UPPER,
    WEIR_JCASE_CAPITALIZE,
    WEIR_JCASE_TITLE,
    WEIR_JCASE_SWAP
} weir_jcase_t;
bool weir_jstr_case(weir_ji_t *in, const weir_js_t *s, weir_jcase_t how, weir_jv_t *out);
bool weir_jstr_escape(weir_ji_t *in, weir_jv_t v, weir_jv_t *out);
bool weir_jv_contains(weir_ji_t *in, weir_jv_t item, weir_jv_t container, bool *out);
bool weir_jsort(weir_ji_t *in, weir_jlist_t *list, const weir_jv_t *keys, bool reverse);

#define WEIR_JSTRIP_LEFT  1
#define WEIR_JSTRIP_RIGHT 2

#endif
