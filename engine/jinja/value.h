/*
 * The values a template computes with, and strings that know which of their bytes the template
 * wrote. For this folder and for who makes variables out of a request. Every value lives in the
 * scratch arena of one rendering (weir_ji_t) or, for literals, in the compiled template; nothing
 * here is freed singly.
 */
#ifndef WEIR_JINJA_VALUE_H
#define WEIR_JINJA_VALUE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/jinja/jinja.h"

typedef struct weir_ji weir_ji_t; /* one rendering: interp.h */

typedef enum {
    WEIR_JV_UNDEFINED,
    WEIR_JV_NONE,
    WEIR_JV_BOOL,
    WEIR_JV_INT,
    WEIR_JV_BIGINT, /* an integer beyond 64 bits, kept as its decimal digits */
    WEIR_JV_FLOAT,
    WEIR_JV_STRING,
    WEIR_JV_LIST,
    WEIR_JV_TUPLE,
    WEIR_JV_DICT,
    WEIR_JV_VIEW,      /* dict.keys(), .values(), .items(); aux is a weir_jview_t */
    WEIR_JV_GENERATOR, /* can be walked once, as the lazy filters' results */
    WEIR_JV_RANGE,
    WEIR_JV_NAMESPACE,
    WEIR_JV_LOOP,
    WEIR_JV_MACRO,
    WEIR_JV_FUNCTION, /* aux indexes the table of functions */
    WEIR_JV_METHOD,
    WEIR_JV_CYCLER,
    WEIR_JV_JOINER
} weir_jtype_t;

enum { WEIR_JVIEW_KEYS, WEIR_JVIEW_VALUES, WEIR_JVIEW_ITEMS };

/* Bytes up to `end` (from the previous segment's end) have this provenance. */
typedef struct {
    uint32_t end;
    bool trusted;
} weir_jseg_t;

/* A string: valid UTF-8. n_segs 0 means that `trusted` holds for all of it. */
typedef struct weir_js {
    const char *data;
    uint32_t len;
    uint32_t chars; /* code points */
    const weir_jseg_t *segs;
    uint32_t n_segs;
    bool trusted;
    bool markup; /* came from `safe` or `escape`: + escapes the other operand */
} weir_js_t;

typedef struct weir_jlist weir_jlist_t;
typedef struct weir_jdict weir_jdict_t;
typedef struct weir_jundef weir_jundef_t;
typedef struct weir_jgen weir_jgen_t;
typedef struct weir_jrange weir_jrange_t;
typedef struct weir_jloop weir_jloop_t;
typedef struct weir_jmacro weir_jmacro_t;
typedef struct weir_jmethod weir_jmethod_t;
typedef struct weir_jjoiner weir_jjoiner_t;

/* trusted is the provenance of a scalar's digits once it is printed. */
typedef struct weir_jv {
    uint8_t type; /* weir_jtype_t */
    bool trusted;
    uint16_t aux;
    union {
        bool b;
        int64_t i;
        double f;
        const weir_js_t *s; /* STRING; BIGINT: the digits */
        weir_jlist_t *list; /* LIST, TUPLE, CYCLER (items) */
        weir_jdict_t *dict; /* DICT, VIEW, NAMESPACE */
        weir_jundef_t *undef;
        weir_jgen_t *gen;
        weir_jrange_t *range;
        weir_jloop_t *loop;
        weir_jmacro_t *macro;
        weir_jmethod_t *method;
        weir_jjoiner_t *joiner;
    } u;
} weir_jv_t;

struct weir_jlist {
    weir_jv_t *items;
    uint32_t n;
    uint32_t cap;
    uint32_t pos; /* CYCLER: the next item */
};

typedef struct {
    weir_jv_t key;
    weir_jv_t value;
    uint32_t hash;
} weir_jentry_t;

/* Insertion order; an index of hashes above eight entries. */
struct weir_jdict {
    weir_jentry_t *entries;
    uint32_t n;
    uint32_t cap;
    uint32_t *index; /* open addressing, entry number + 1; 0 is free */
    uint32_t index_size;
};

/* Why a value is undefined: a ready sentence, or what was asked of what. */
struct weir_jundef {
    const char *hint;
    weir_jv_t name;       /* the name, key or index asked for */
    const char *obj_type; /* as Jinja names it ("dict object"); NULL: a variable */
};

struct weir_jgen {
    weir_jlist_t *list;
    uint32_t pos;
};

struct weir_jrange {
    int64_t start;
    int64_t stop; /* as it was asked for */
    int64_t step;
    int64_t n;
};

struct weir_jloop {
    const weir_jlist_t *items;
    uint32_t i;
    uint32_t depth;
    weir_jlist_t *last_changed; /* arguments of the last changed() call */
};

struct weir_jjoiner {
    weir_jv_t sep;
    bool used;
};

/* --- construction ----------------------------------------------------------------------- */

static inline weir_jv_t weir_jv_none(void)
{
    return (weir_jv_t){.type = WEIR_JV_NONE, .trusted = true};
}

static inline weir_jv_t weir_jv_bool(bool b)
{
    return (weir_jv_t){.type = WEIR_JV_BOOL, .u.b = b};
}

static inline weir_jv_t weir_jv_int(int64_t i, bool trusted)
{
    return (weir_jv_t){.type = WEIR_JV_INT, .trusted = trusted, .u.i = i};
}

static inline weir_jv_t weir_jv_float(double f, bool trusted)
{
    return (weir_jv_t){.type = WEIR_JV_FLOAT, .trusted = trusted, .u.f = f};
}

static inline weir_jv_t weir_jv_str(const weir_js_t *s)
{
    return (weir_jv_t){.type = WEIR_JV_STRING, .u.s = s};
}

static inline bool weir_jv_is(weir_jv_t v, weir_jtype_t type)
{
    return v.type == (uint8_t)type;
}

/* The scratch memory of the rendering; counting n steps of work against its limit. */
weir_arena_t *weir_ji_arena(weir_ji_t *in);
bool weir_ji_work(weir_ji_t *in, uint64_t n);

/* All functions below that return bool or a pointer report failure through weir_ji_fail: false or
 * NULL means that the rendering's error is set and the caller must give up. */

/* A string value over bytes that outlive the rendering; not copied. */
bool weir_jv_string(weir_ji_t *in, const char *data, size_t len, bool trusted, weir_jv_t *out);
bool weir_jv_stringz(weir_ji_t *in, const char *z, bool trusted, weir_jv_t *out);
bool weir_jv_undefined(weir_ji_t *in, const char *hint, weir_jv_t *out);
/* The undefined that obj.name or obj[name] gives. */
bool weir_jv_missing(weir_ji_t *in, weir_jv_t obj, weir_jv_t name, weir_jv_t *out);

weir_jlist_t *weir_jlist_new(weir_ji_t *in, uint32_t cap);
bool weir_jlist_push(weir_ji_t *in, weir_jlist_t *list, weir_jv_t v);
weir_jv_t weir_jv_list(weir_jlist_t *list);
weir_jv_t weir_jv_tuple(weir_jlist_t *list);
bool weir_jv_pair(weir_ji_t *in, weir_jv_t a, weir_jv_t b, weir_jv_t *out);
bool weir_jv_generator(weir_ji_t *in, weir_jlist_t *list, weir_jv_t *out);

weir_jdict_t *weir_jdict_new(weir_ji_t *in);
weir_jv_t weir_jv_dict(weir_jdict_t *dict);
/* Sets key to value; fails on keys that Python cannot hash. */
bool weir_jdict_set(weir_ji_t *in, weir_jdict_t *dict, weir_jv_t key, weir_jv_t value);
/* Looks key up: *found tells; fails only on unhashable keys. */
bool weir_jdict_get(weir_ji_t *in, const weir_jdict_t *dict, weir_jv_t key, weir_jv_t *out,
                    bool *found);
/* The value under an ASCII name, or NULL. */
const weir_jv_t *weir_jdict_getz(weir_ji_t *in, const weir_jdict_t *dict, const char *name);
/* Removes key; *found tells whether it was there and *out is then its value. */
bool weir_jdict_pop(weir_ji_t *in, weir_jdict_t *dict, weir_jv_t key, weir_jv_t *out, bool *found);

/* The value of a JSON node; strings, numbers and keys in it are of the given provenance. */
bool weir_jv_from_json(weir_ji_t *in, const weir_json_doc_t *doc, uint32_t node, bool trusted,
                       weir_jv_t *out);

/* --- properties ------------------------------------------------------------------------- */

bool weir_jv_truth(weir_jv_t v);
/* Python's type name ("str", "dict", "NoneType"). */
const char *weir_jv_type_name(weir_jv_t v);
/* len(v); fails with Python's TypeError where there is none. */
bool weir_jv_len(weir_ji_t *in, weir_jv_t v, int64_t *out);
/* ==, for any two values. */
bool weir_jv_equal(weir_ji_t *in, weir_jv_t a, weir_jv_t b, bool *out);
/* Order for < and sorting: *out below, equal to or above 0 (2: unordered, NaN). op names the
 * operator for the error. */
bool weir_jv_order(weir_ji_t *in, weir_jv_t a, weir_jv_t b, const char *op, int *out);
/* Numbers as Python mixes them: bool counts as int. */
bool weir_jv_as_int(weir_jv_t v, int64_t *out);
bool weir_jv_as_double(weir_jv_t v, double *out);
/* The items that iterating v gives (a list's own items, not copied). */
bool weir_jv_iterate(weir_ji_t *in, weir_jv_t v, const weir_jlist_t **out);
/* Fails with the message that using this undefined value raises; always false. */
void weir_jv_set_undefined_error(weir_ji_t *in, weir_jv_t v);
#define weir_jv_fail_undefined(in, v) (weir_jv_set_undefined_error(in, v), false)

/* --- strings ---------------------------------------------------------------------------- */

/* Builds a string piece by piece with the provenance of each piece. */
typedef struct {
    weir_ji_t *in;
    weir_buf_t buf;
    weir_jseg_t *segs;
    uint32_t n_segs;
    uint32_t cap_segs;
    bool markup;
    bool failed;
} weir_jb_t;

void weir_jb_init(weir_jb_t *b, weir_ji_t *in);
void weir_jb_add(weir_jb_t *b, const char *data, size_t len, bool trusted);
void weir_jb_addz(weir_jb_t *b, const char *z, bool trusted);
void weir_jb_str(weir_jb_t *b, const weir_js_t *s);
/* Bytes from..to of s, which must be character borders. */
void weir_jb_sub(weir_jb_t *b, const weir_js_t *s, uint32_t from, uint32_t to);
/* One character with the provenance of byte `at` of s. */
void weir_jb_char_like(weir_jb_t *b, uint32_t cp, const weir_js_t *s, uint32_t at);
/* The result; fails when any addition failed. */
bool weir_jb_finish(weir_jb_t *b, weir_jv_t *out);

/* Provenance of the byte at offset `at`. */
bool weir_js_trusted_at(const weir_js_t *s, uint32_t at);
bool weir_js_all_trusted(const weir_js_t *s);
bool weir_js_is(const weir_js_t *s, const char *z);
bool weir_js_equal(const weir_js_t *a, const weir_js_t *b);
/* Bytes from..to as a string value sharing the data. */
bool weir_js_slice(weir_ji_t *in, const weir_js_t *s, uint32_t from, uint32_t to, weir_jv_t *out);
/* Byte offset of character number c (0..chars). */
uint32_t weir_js_offset(const weir_js_t *s, uint32_t c);
/* Byte offset of needle in s at or after from, or UINT32_MAX. */
uint32_t weir_js_find(const weir_js_t *s, const weir_js_t *needle, uint32_t from);
uint32_t weir_js_rfind(const weir_js_t *s, const weir_js_t *needle, uint32_t to);

/* str(v): strings as they are, others as Python prints them. */
bool weir_jv_to_string(weir_ji_t *in, weir_jv_t v, const weir_js_t **out);
bool weir_jv_print(weir_jb_t *b, weir_jv_t v);
bool weir_jv_repr(weir_jb_t *b, weir_jv_t v, uint32_t depth);
/* A double as Python's repr writes it; returns the length. */
int weir_jv_float_repr(double f, char out[40]);
/* json.dumps(v, ensure_ascii=False, ...). indent -1: none. */
typedef struct {
    const weir_js_t *indent; /* NULL: one line */
    const weir_js_t *item_sep;
    const weir_js_t *key_sep;
    bool ensure_ascii;
    bool sort_keys;
} weir_jjson_t;
bool weir_jv_to_json(weir_jb_t *b, weir_jv_t v, const weir_jjson_t *how, uint32_t depth);

#endif
