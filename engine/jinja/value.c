/* Making, comparing and walking over values. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/utf8.h"
#include "engine/jinja/interp.h"

#define MAX_NESTING 200u /* of lists and dicts, when they are compared or printed */

bool weir_jv_undefined(weir_ji_t *in, const char *hint, weir_jv_t *out)
{
    weir_jundef_t *u = weir_ji_alloc(in, sizeof(*u));
    if (u == NULL) {
        return false;
    }
    *u = (weir_jundef_t){.hint = hint};
    *out = (weir_jv_t){.type = WEIR_JV_UNDEFINED, .u.undef = u};
    return true;
}

bool weir_jv_missing(weir_ji_t *in, weir_jv_t obj, weir_jv_t name, weir_jv_t *out)
{
    if (!weir_jv_undefined(in, NULL, out)) {
        return false;
    }
    out->u.undef->name = name;
    out->u.undef->obj_type = weir_jv_is(obj, WEIR_JV_NONE) ? "None" : weir_jv_type_name(obj);
    return true;
}

void weir_jv_set_undefined_error(weir_ji_t *in, weir_jv_t v)
{
    const weir_jundef_t *u = v.u.undef;
    if (u == NULL) {
        weir_ji_set_error(in, WEIR_ERR_INVALID, "a value is undefined");
        return;
    }
    if (u->hint != NULL) {
        weir_ji_set_error(in, WEIR_ERR_INVALID, "%s", u->hint);
        return;
    }
    weir_jb_t b;
    weir_jv_t name;
    weir_jb_init(&b, in);
    if (!weir_jv_repr(&b, u->name, 0) || !weir_jb_finish(&b, &name)) {
        return;
    }
    int n = (int)(name.u.s->len < 120 ? name.u.s->len : 120);
    if (u->obj_type == NULL) {
        weir_ji_set_error(in, WEIR_ERR_INVALID, "%.*s is undefined", n, name.u.s->data);
        return;
    }
    bool none = strcmp(u->obj_type, "None") == 0;
    if (weir_jv_is(u->name, WEIR_JV_STRING)) {
        weir_ji_set_error(in, WEIR_ERR_INVALID, "'%s%s' has no attribute %.*s", u->obj_type,
                          none ? "" : " object", n, name.u.s->data);
        return;
    }
    weir_ji_set_error(in, WEIR_ERR_INVALID, "%s%s has no element %.*s", u->obj_type,
                      none ? "" : " object", n, name.u.s->data);
}

weir_jlist_t *weir_jlist_new(weir_ji_t *in, uint32_t cap)
{
    weir_jlist_t *list = weir_ji_alloc(in, sizeof(*list));
    if (list == NULL) {
        return NULL;
    }
    *list = (weir_jlist_t){0};
    if (cap > 0) {
        list->items = weir_ji_alloc(in, (size_t)cap * sizeof(*list->items));
        list->cap = cap;
        if (list->items == NULL) {
            return NULL;
        }
    }
    return list;
}

bool weir_jlist_push(weir_ji_t *in, weir_jlist_t *list, weir_jv_t v)
{
    if (list->n == list->cap) {
        if (list->cap > UINT32_MAX / 4) {
            return weir_ji_fail(in, WEIR_ERR_LIMIT, "a list is too long");
        }
        uint32_t cap = list->cap == 0 ? 4 : list->cap * 2;
        weir_jv_t *grown = weir_ji_alloc(in, (size_t)cap * sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        if (list->n > 0) {
            memcpy(grown, list->items, list->n * sizeof(*grown));
        }
        list->items = grown;
        list->cap = cap;
    }
    list->items[list->n++] = v;
    return weir_ji_work(in, 1);
}

weir_jv_t weir_jv_list(weir_jlist_t *list)
{
    return (weir_jv_t){.type = WEIR_JV_LIST, .u.list = list};
}

weir_jv_t weir_jv_tuple(weir_jlist_t *list)
{
    return (weir_jv_t){.type = WEIR_JV_TUPLE, .u.list = list};
}

bool weir_jv_pair(weir_ji_t *in, weir_jv_t a, weir_jv_t b, weir_jv_t *out)
{
    weir_jlist_t *list = weir_jlist_new(in, 2);
    if (list == NULL || !weir_jlist_push(in, list, a) || !weir_jlist_push(in, list, b)) {
        return false;
    }
    *out = weir_jv_tuple(list);
    return true;
}

bool weir_jv_generator(weir_ji_t *in, weir_jlist_t *list, weir_jv_t *out)
{
    weir_jgen_t *gen = weir_ji_alloc(in, sizeof(*gen));
    if (gen == NULL) {
        return false;
    }
    *gen = (weir_jgen_t){.list = list};
    *out = (weir_jv_t){.type = WEIR_JV_GENERATOR, .u.gen = gen};
    return true;
}

/* --- properties ------------------------------------------------------------------------- */

bool weir_jv_as_int(weir_jv_t v, int64_t *out)
{
    if (weir_jv_is(v, WEIR_JV_BOOL)) {
        *out = v.u.b;
        return true;
    }
    *out = weir_jv_is(v, WEIR_JV_INT) ? v.u.i : 0;
    return weir_jv_is(v, WEIR_JV_INT);
}

bool weir_jv_as_double(weir_jv_t v, double *out)
{
    int64_t i;
    if (weir_jv_is(v, WEIR_JV_FLOAT)) {
        *out = v.u.f;
        return true;
    }
    if (weir_jv_is(v, WEIR_JV_BIGINT)) {
        char z[400];
        if (v.u.s->len >= sizeof(z)) {
            *out = v.u.s->data[0] == '-' ? -INFINITY : INFINITY;
            return true;
        }
        memcpy(z, v.u.s->data, v.u.s->len);
        z[v.u.s->len] = '\0';
        *out = strtod(z, NULL);
        return true;
    }
    if (weir_jv_as_int(v, &i)) {
        *out = (double)i;
        return true;
    }
    return false;
}

bool weir_jv_truth(weir_jv_t v)
{
    switch ((weir_jtype_t)v.type) {
    case WEIR_JV_UNDEFINED:
    case WEIR_JV_NONE:
        return false;
    case WEIR_JV_BOOL:
        return v.u.b;
    case WEIR_JV_INT:
        return v.u.i != 0;
    case WEIR_JV_FLOAT:
        return v.u.f != 0;
    case WEIR_JV_STRING:
        return v.u.s->len > 0;
    case WEIR_JV_LIST:
    case WEIR_JV_TUPLE:
        return v.u.list->n > 0;
    case WEIR_JV_DICT:
    case WEIR_JV_VIEW:
        return v.u.dict->n > 0;
    case WEIR_JV_RANGE:
        return v.u.range->n > 0;
    case WEIR_JV_LOOP:
        return v.u.loop->items->n > 0;
    default:
        return true;
    }
}

const char *weir_jv_type_name(weir_jv_t v)
{
    static const char *const views[] = {"dict_keys", "dict_values", "dict_items"};
    switch ((weir_jtype_t)v.type) {
    case WEIR_JV_UNDEFINED:
        return "jinja2.runtime.Undefined";
    case WEIR_JV_NONE:
        return "NoneType";
    case WEIR_JV_BOOL:
        return "bool";
    case WEIR_JV_INT:
    case WEIR_JV_BIGINT:
        return "int";
    case WEIR_JV_FLOAT:
        return "float";
    case WEIR_JV_STRING:
        return v.u.s->markup ? "markupsafe.Markup" : "str";
    case WEIR_JV_LIST:
        return "list";
    case WEIR_JV_TUPLE:
        return "tuple";
    case WEIR_JV_DICT:
        return "dict";
    case WEIR_JV_VIEW:
        return views[v.aux];
    case WEIR_JV_GENERATOR:
        return "generator";
    case WEIR_JV_RANGE:
        return "range";
    case WEIR_JV_NAMESPACE:
        return "jinja2.utils.Namespace";
    case WEIR_JV_LOOP:
        return "jinja2.runtime.LoopContext";
    case WEIR_JV_MACRO:
        return "jinja2.runtime.Macro";
    case WEIR_JV_FUNCTION:
        return "function";
    case WEIR_JV_METHOD:
        return "builtin_function_or_method";
    case WEIR_JV_CYCLER:
        return "jinja2.utils.Cycler";
    case WEIR_JV_JOINER:
        return "jinja2.utils.Joiner";
    }
    return "object";
}

bool weir_jv_len(weir_ji_t *in, weir_jv_t v, int64_t *out)
{
    switch ((weir_jtype_t)v.type) {
    case WEIR_JV_UNDEFINED:
        *out = 0;
        return true;
    case WEIR_JV_STRING:
        *out = v.u.s->chars;
        return true;
    case WEIR_JV_LIST:
    case WEIR_JV_TUPLE:
        *out = v.u.list->n;
        return true;
    case WEIR_JV_DICT:
    case WEIR_JV_VIEW:
        *out = v.u.dict->n;
        return true;
    case WEIR_JV_RANGE:
        *out = v.u.range->n;
        return true;
    case WEIR_JV_LOOP:
        *out = v.u.loop->items->n;
        return true;
    default:
        return weir_ji_fail(in, WEIR_ERR_INVALID, "object of type '%s' has no len()",
                            weir_jv_type_name(v));
    }
}

static bool is_number(weir_jv_t v)
{
    return weir_jv_is(v, WEIR_JV_BOOL) || weir_jv_is(v, WEIR_JV_INT) ||
           weir_jv_is(v, WEIR_JV_BIGINT) || weir_jv_is(v, WEIR_JV_FLOAT);
}

/* Exact comparison of an integer with a double: -1, 0, 1, or 2 for NaN. */
static int compare_int_double(int64_t i, double f)
{
    if (isnan(f)) {
        return 2;
    }
    if (f >= 9223372036854775808.0) {
        return -1;
    }
    if (f < -9223372036854775808.0) {
        return 1;
    }
    double whole = trunc(f);
    int64_t w = (int64_t)whole;
    if (i != w) {
        return i < w ? -1 : 1;
    }
    return f > whole ? -1 : f < whole ? 1 : 0;
}

static int compare_bigint(weir_jv_t a, weir_jv_t b)
{
    bool neg_a = a.u.s->data[0] == '-';
    bool neg_b = b.u.s->data[0] == '-';
    if (neg_a != neg_b) {
        return neg_a ? -1 : 1;
    }
    int c = a.u.s->len != b.u.s->len ? (a.u.s->len < b.u.s->len ? -1 : 1)
                                     : memcmp(a.u.s->data, b.u.s->data, a.u.s->len);
    c = c < 0 ? -1 : c > 0;
    return neg_a ? -c : c;
}

static int compare_numbers(weir_jv_t a, weir_jv_t b)
{
    int64_t i;
    int64_t k;
    if (weir_jv_as_int(a, &i) && weir_jv_as_int(b, &k)) {
        return i < k ? -1 : i > k;
    }
    if (weir_jv_is(a, WEIR_JV_BIGINT) && weir_jv_is(b, WEIR_JV_BIGINT)) {
        return compare_bigint(a, b);
    }
    if (weir_jv_is(a, WEIR_JV_BIGINT) && weir_jv_as_int(b, &k)) {
        return a.u.s->data[0] == '-' ? -1 : 1;
    }
    if (weir_jv_is(b, WEIR_JV_BIGINT) && weir_jv_as_int(a, &i)) {
        return b.u.s->data[0] == '-' ? 1 : -1;
    }
    if (weir_jv_as_int(a, &i) && weir_jv_is(b, WEIR_JV_FLOAT)) {
        return compare_int_double(i, b.u.f);
    }
    if (weir_jv_as_int(b, &k) && weir_jv_is(a, WEIR_JV_FLOAT)) {
        int c = compare_int_double(k, a.u.f);
        return c == 2 ? 2 : -c;
    }
    double x = 0;
    double y = 0;
    weir_jv_as_double(a, &x);
    weir_jv_as_double(b, &y);
    return isnan(x) || isnan(y) ? 2 : x < y ? -1 : x > y;
}

static bool equal(weir_ji_t *in, weir_jv_t a, weir_jv_t b, uint32_t depth, bool *out);

static bool equal_lists(weir_ji_t *in, const weir_jlist_t *a, const weir_jlist_t *b, uint32_t depth,
                        bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++) {
        if (!equal(in, a->items[i], b->items[i], depth + 1, out)) {
            return false;
        }
    }
    return true;
}

static bool equal_dicts(weir_ji_t *in, const weir_jdict_t *a, const weir_jdict_t *b, uint32_t depth,
                        bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; *out && i < a->n; i++) {
        weir_jv_t other;
        bool found;
        if (!weir_jdict_get(in, b, a->entries[i].key, &other, &found)) {
            return false;
        }
        *out = found;
        if (found && !equal(in, a->entries[i].value, other, depth + 1, out)) {
            return false;
        }
    }
    return true;
}

static bool equal(weir_ji_t *in, weir_jv_t a, weir_jv_t b, uint32_t depth, bool *out)
{
    if (!weir_ji_work(in, 1)) {
        return false;
    }
    if (depth > MAX_NESTING) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "values nested more than %u deep", MAX_NESTING);
    }
    if (is_number(a) && is_number(b)) {
        *out = compare_numbers(a, b) == 0;
        return true;
    }
    *out = false;
    if (a.type != b.type) {
        return true;
    }
    switch ((weir_jtype_t)a.type) {
    case WEIR_JV_UNDEFINED:
    case WEIR_JV_NONE:
        *out = true;
        return true;
    case WEIR_JV_STRING:
        *out = weir_js_equal(a.u.s, b.u.s);
        return weir_ji_work(in, a.u.s->len / 64);
    case WEIR_JV_LIST:
    case WEIR_JV_TUPLE:
        return equal_lists(in, a.u.list, b.u.list, depth, out);
    case WEIR_JV_DICT:
        return equal_dicts(in, a.u.dict, b.u.dict, depth, out);
    case WEIR_JV_RANGE:
        *out = a.u.range->n == b.u.range->n &&
               (a.u.range->n == 0 || (a.u.range->start == b.u.range->start &&
                                      (a.u.range->n == 1 || a.u.range->step == b.u.range->step)));
        return true;
    case WEIR_JV_FUNCTION:
        *out = a.aux == b.aux;
        return true;
    default:
        *out = a.u.list == b.u.list;
        return true;
    }
}

bool weir_jv_equal(weir_ji_t *in, weir_jv_t a, weir_jv_t b, bool *out)
{
    return equal(in, a, b, 0, out);
}

static bool order(weir_ji_t *in, weir_jv_t a, weir_jv_t b, const char *op, uint32_t depth,
                  int *out);

static bool order_lists(weir_ji_t *in, const weir_jlist_t *a, const weir_jlist_t *b, const char *op,
                        uint32_t depth, int *out)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        bool same;
        if (!equal(in, a->items[i], b->items[i], depth + 1, &same)) {
            return false;
        }
        if (!same) {
            return order(in, a->items[i], b->items[i], op, depth + 1, out);
        }
    }
    *out = a->n < b->n ? -1 : a->n > b->n;
    return true;
}

static bool order(weir_ji_t *in, weir_jv_t a, weir_jv_t b, const char *op, uint32_t depth, int *out)
{
    if (!weir_ji_work(in, 1)) {
        return false;
    }
    if (depth > MAX_NESTING) {
        return weir_ji_fail(in, WEIR_ERR_LIMIT, "values nested more than %u deep", MAX_NESTING);
    }
    if (is_number(a) && is_number(b)) {
        *out = compare_numbers(a, b);
        return true;
    }
    if (weir_jv_is(a, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, a);
    }
    if (weir_jv_is(b, WEIR_JV_UNDEFINED)) {
        return weir_jv_fail_undefined(in, b);
    }
    if (weir_jv_is(a, WEIR_JV_STRING) && weir_jv_is(b, WEIR_JV_STRING)) {
        uint32_t n = a.u.s->len < b.u.s->len ? a.u.s->len : b.u.s->len;
        int c = memcmp(a.u.s->data, b.u.s->data, n);
        *out = c != 0 ? (c < 0 ? -1 : 1) : a.u.s->len < b.u.s->len ? -1 : a.u.s->len > b.u.s->len;
        return weir_ji_work(in, n / 64);
    }
    if (a.type == b.type && (weir_jv_is(a, WEIR_JV_LIST) || weir_jv_is(a, WEIR_JV_TUPLE))) {
        return order_lists(in, a.u.list, b.u.list, op, depth, out);
    }
    return weir_ji_fail(in, WEIR_ERR_INVALID,
                        "'%s' not supported between instances of '%s' and '%s'", op,
                        weir_jv_type_name(a), weir_jv_type_name(b));
}

bool weir_jv_order(weir_ji_t *in, weir_jv_t a, weir_jv_t b, const char *op, int *out)
{
    return order(in, a, b, op, 0, out);
}

/* --- iteration -------------------------------------------------------------------------- */

static bool iterate_string(weir_ji_t *in, const weir_js_t *s, weir_jlist_t *list)
{
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        int n = weir_utf8_decode(s->data + i, s->len - i, &cp);
        uint32_t step = (uint32_t)(n < 0 ? -n : n);
        weir_jv_t v;
        if (!weir_js_slice(in, s, i, i + step, &v) || !weir_jlist_push(in, list, v)) {
            return false;
        }
        i += step;
    }
    return true;
}

static bool iterate_dict(weir_ji_t *in, weir_jv_t v, weir_jlist_t *list)
{
    const weir_jdict_t *d = v.u.dict;
    int kind = weir_jv_is(v, WEIR_JV_VIEW) ? v.aux : WEIR_JVIEW_KEYS;
    for (uint32_t i = 0; i < d->n; i++) {
        weir_jv_t item = kind == WEIR_JVIEW_VALUES ? d->entries[i].value : d->entries[i].key;
        if (kind == WEIR_JVIEW_ITEMS &&
            !weir_jv_pair(in, d->entries[i].key, d->entries[i].value, &item)) {
            return false;
        }
        if (!weir_jlist_push(in, list, item)) {
            return false;
        }
    }
    return true;
}

bool weir_jv_iterate(weir_ji_t *in, weir_jv_t v, const weir_jlist_t **out)
{
    if (weir_jv_is(v, WEIR_JV_LIST) || weir_jv_is(v, WEIR_JV_TUPLE)) {
        *out = v.u.list;
        return true;
    }
    weir_jlist_t *list = weir_jlist_new(in, 0);
    if (list == NULL) {
        return false;
    }
    *out = list;
    switch ((weir_jtype_t)v.type) {
    case WEIR_JV_UNDEFINED:
        return true;
    case WEIR_JV_STRING:
        return iterate_string(in, v.u.s, list);
    case WEIR_JV_DICT:
    case WEIR_JV_VIEW:
        return iterate_dict(in, v, list);
    case WEIR_JV_RANGE:
        for (int64_t i = 0; i < v.u.range->n; i++) {
            weir_jv_t item = weir_jv_int(v.u.range->start + i * v.u.range->step, v.trusted);
            if (!weir_jlist_push(in, list, item)) {
                return false;
            }
        }
        return true;
    case WEIR_JV_GENERATOR:
        for (; v.u.gen->pos < v.u.gen->list->n; v.u.gen->pos++) {
            if (!weir_jlist_push(in, list, v.u.gen->list->items[v.u.gen->pos])) {
                return false;
            }
        }
        return true;
    default:
        return weir_ji_fail(in, WEIR_ERR_INVALID, "'%s' object is not iterable",
                            weir_jv_type_name(v));
    }
}
