/* Methods of strings. */
#include "engine/base/utf8.h"
#include "engine/jinja/methods.h"
#include "engine/jinja/unicode.h"

#define METHOD(name) \
    static bool name(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, weir_jv_t *out)
/* Binds call's arguments to the names given, at least min of them, as `args`. */
#define BIND(name, min, ...)                                              \
    static const weir_jbuiltin_t spec = {name, NULL, min, {__VA_ARGS__}}; \
    weir_jv_t args[5];                                                    \
    if (!weir_jbind(in, &spec, call, args)) {                             \
        return false;                                                     \
    }

static bool given(weir_jv_t v)
{
    return weir_jgiven(v) && !weir_jv_is(v, WEIR_JV_NONE);
}

/* A string argument that may be none or missing. */
static bool optional_str(weir_ji_t *in, weir_jv_t v, const weir_js_t **out)
{
    *out = NULL;
    return !given(v) || weir_jarg_str(in, v, out);
}

/* --- case and strip --------------------------------------------------------------------- */

#define CASE_METHOD(name, how)                         \
    METHOD(str_##name)                                 \
    {                                                  \
        BIND(#name, 0, NULL)                           \
        return weir_jstr_case(in, self.u.s, how, out); \
    }

CASE_METHOD(lower, WEIR_JCASE_LOWER)
CASE_METHOD(upper, WEIR_JCASE_UPPER)
CASE_METHOD(title, WEIR_JCASE_TITLE)
CASE_METHOD(capitalize, WEIR_JCASE_CAPITALIZE)
CASE_METHOD(swapcase, WEIR_JCASE_SWAP)

static bool strip(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, int sides,
                  weir_jv_t *out)
{
    const weir_js_t *chars;
    BIND("strip", 0, "chars")
    return optional_str(in, args[0], &chars) && weir_jstr_strip(in, self.u.s, chars, sides, out);
}

METHOD(str_strip)
{
    return strip(in, self, call, WEIR_JSTRIP_LEFT | WEIR_JSTRIP_RIGHT, out);
}

METHOD(str_lstrip)
{
    return strip(in, self, call, WEIR_JSTRIP_LEFT, out);
}

METHOD(str_rstrip)
{
    return strip(in, self, call, WEIR_JSTRIP_RIGHT, out);
}

/* --- searching -------------------------------------------------------------------------- */

/* The bytes that [start:end] of s, in characters, covers; false when it is empty and start lies
 * behind the end, where even "" is not found. */
static bool window(weir_ji_t *in, const weir_js_t *s, weir_jv_t start, weir_jv_t end,
                   uint32_t *from, uint32_t *to, bool *valid)
{
    int64_t a = 0;
    int64_t b = s->chars;
    if ((given(start) && !weir_jarg_int(in, start, 0, &a)) ||
        (given(end) && !weir_jarg_int(in, end, 0, &b))) {
        return false;
    }
    int64_t n = s->chars;
    a = a < 0 ? (a + n < 0 ? 0 : a + n) : a;
    b = b < 0 ? (b + n < 0 ? 0 : b + n) : b > n ? n : b;
    *valid = a <= b;
    *from = *valid ? weir_js_offset(s, (uint32_t)a) : 0;
    *to = *valid ? weir_js_offset(s, (uint32_t)b) : 0;
    return weir_ji_work(in, s->len / 64);
}

/* s cut to bytes from..to, for searching only. */
static weir_js_t cut(const weir_js_t *s, uint32_t from, uint32_t to)
{
    return (weir_js_t){.data = s->data + from, .len = to - from};
}

static uint32_t chars_before(const weir_js_t *s, uint32_t at)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < at; i++) {
        n += ((uint8_t)s->data[i] & 0xC0) != 0x80;
    }
    return n;
}

static bool find(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, bool right, bool must,
                 weir_jv_t *out)
{
    const weir_js_t *needle;
    uint32_t from;
    uint32_t to;
    bool valid;
    BIND("find", 1, "sub", "start", "end")
    if (!weir_jarg_str(in, args[0], &needle) ||
        !window(in, self.u.s, args[1], args[2], &from, &to, &valid)) {
        return false;
    }
    weir_js_t part = cut(self.u.s, from, to);
    uint32_t hit = !valid  ? UINT32_MAX
                   : right ? weir_js_rfind(&part, needle, part.len)
                           : weir_js_find(&part, needle, 0);
    if (hit == UINT32_MAX && must) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "substring not found");
    }
    int64_t at = hit == UINT32_MAX ? -1 : (int64_t)chars_before(self.u.s, from + hit);
    *out = weir_jv_int(at, false);
    return true;
}

METHOD(str_find)
{
    return find(in, self, call, false, false, out);
}

METHOD(str_rfind)
{
    return find(in, self, call, true, false, out);
}

METHOD(str_index)
{
    return find(in, self, call, false, true, out);
}

METHOD(str_rindex)
{
    return find(in, self, call, true, true, out);
}

METHOD(str_count)
{
    const weir_js_t *needle;
    uint32_t from;
    uint32_t to;
    bool valid;
    int64_t n = 0;
    BIND("count", 1, "sub", "start", "end")
    if (!weir_jarg_str(in, args[0], &needle) ||
        !window(in, self.u.s, args[1], args[2], &from, &to, &valid)) {
        return false;
    }
    weir_js_t part = cut(self.u.s, from, to);
    if (valid && needle->len == 0) {
        n = (int64_t)chars_before(&part, part.len) + 1;
    } else if (valid) {
        for (uint32_t at = 0; (at = weir_js_find(&part, needle, at)) != UINT32_MAX;
             at += needle->len) {
            n++;
        }
    }
    *out = weir_jv_int(n, false);
    return true;
}

static bool matches(weir_ji_t *in, const weir_js_t *part, weir_jv_t affix, bool ends, bool *out)
{
    const weir_js_t *a;
    if (!weir_jv_is(affix, WEIR_JV_STRING)) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "%s first arg must be str or a tuple of str, not %s",
                            ends ? "endswith" : "startswith", weir_jv_type_name(affix));
    }
    a = affix.u.s;
    *out = a->len <= part->len &&
           memcmp(ends ? part->data + part->len - a->len : part->data, a->data, a->len) == 0;
    return true;
}

static bool starts_or_ends(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, bool ends,
                           weir_jv_t *out)
{
    uint32_t from;
    uint32_t to;
    bool valid;
    bool hit = false;
    BIND("startswith", 1, "prefix", "start", "end")
    if (!window(in, self.u.s, args[1], args[2], &from, &to, &valid)) {
        return false;
    }
    weir_js_t part = cut(self.u.s, from, to);
    if (weir_jv_is(args[0], WEIR_JV_TUPLE)) {
        for (uint32_t i = 0; i < args[0].u.list->n && !hit; i++) {
            if (!matches(in, &part, args[0].u.list->items[i], ends, &hit)) {
                return false;
            }
        }
    } else if (!matches(in, &part, args[0], ends, &hit)) {
        return false;
    }
    *out = weir_jv_bool(hit && valid);
    return true;
}

METHOD(str_startswith)
{
    return starts_or_ends(in, self, call, false, out);
}

METHOD(str_endswith)
{
    return starts_or_ends(in, self, call, true, out);
}

/* --- cutting up ------------------------------------------------------------------------- */

static bool push_cut(weir_ji_t *in, weir_jlist_t *list, const weir_js_t *s, uint32_t from,
                     uint32_t to)
{
    weir_jv_t v;
    return weir_js_slice(in, s, from, to, &v) && weir_jlist_push(in, list, v);
}

static bool space_at(const weir_js_t *s, uint32_t at, uint32_t *len)
{
    uint32_t cp;
    int n = weir_utf8_decode(s->data + at, s->len - at, &cp);
    *len = (uint32_t)(n < 0 ? -n : n);
    return weir_ju_is_space(cp);
}

static bool split_space(weir_ji_t *in, const weir_js_t *s, int64_t max, weir_jlist_t *list)
{
    uint32_t i = 0;
    uint32_t n;
    for (;;) {
        while (i < s->len && space_at(s, i, &n)) {
            i += n;
        }
        if (i == s->len) {
            return true;
        }
        uint32_t start = i;
        if (max-- == 0) {
            return push_cut(in, list, s, start, s->len);
        }
        while (i < s->len && !space_at(s, i, &n)) {
            i += n;
        }
        if (!push_cut(in, list, s, start, i)) {
            return false;
        }
    }
}

static void reverse_list(weir_jlist_t *list)
{
    for (uint32_t i = 0; i < list->n / 2; i++) {
        weir_jv_t swap = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swap;
    }
}

/* rsplit by white space: words from the end, then what is left of it. */
static bool rsplit_space(weir_ji_t *in, const weir_js_t *s, int64_t max, weir_jlist_t *list)
{
    weir_jlist_t *words = weir_jlist_new(in, 0);
    if (words == NULL || !split_space(in, s, -1, words)) {
        return false;
    }
    if (max < 0 || words->n <= max) {
        for (uint32_t i = 0; i < words->n; i++) {
            if (!weir_jlist_push(in, list, words->items[i])) {
                return false;
            }
        }
        return true;
    }
    uint32_t end = s->len;
    for (int64_t k = 0; k < max; k++) {
        weir_js_t part = cut(s, 0, end);
        const weir_js_t *word = words->items[words->n - 1 - (uint32_t)k].u.s;
        end = weir_js_rfind(&part, word, end);
        if (!weir_jlist_push(in, list, words->items[words->n - 1 - (uint32_t)k])) {
            return false;
        }
    }
    weir_jv_t rest;
    if (!weir_js_slice(in, s, 0, end, &rest) ||
        !weir_jstr_strip(in, rest.u.s, NULL, WEIR_JSTRIP_RIGHT, &rest) ||
        !weir_jlist_push(in, list, rest)) {
        return false;
    }
    reverse_list(list);
    return true;
}

static bool split_by(weir_ji_t *in, const weir_js_t *s, const weir_js_t *sep, int64_t max,
                     weir_jlist_t *list)
{
    uint32_t from = 0;
    for (uint32_t hit; max != 0 && (hit = weir_js_find(s, sep, from)) != UINT32_MAX; max--) {
        if (!push_cut(in, list, s, from, hit)) {
            return false;
        }
        from = hit + sep->len;
    }
    return push_cut(in, list, s, from, s->len);
}

static bool rsplit_by(weir_ji_t *in, const weir_js_t *s, const weir_js_t *sep, int64_t max,
                      weir_jlist_t *list)
{
    uint32_t to = s->len;
    for (uint32_t hit; max != 0 && (hit = weir_js_rfind(s, sep, to)) != UINT32_MAX; max--) {
        if (!push_cut(in, list, s, hit + sep->len, to)) {
            return false;
        }
        to = hit;
    }
    if (!push_cut(in, list, s, 0, to)) {
        return false;
    }
    reverse_list(list);
    return true;
}

static bool split(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, bool right,
                  weir_jv_t *out)
{
    const weir_js_t *sep;
    int64_t max;
    weir_jlist_t *list = weir_jlist_new(in, 0);
    BIND("split", 0, "sep", "maxsplit")
    if (list == NULL || !optional_str(in, args[0], &sep) || !weir_jarg_int(in, args[1], -1, &max) ||
        !weir_ji_work(in, self.u.s->len / 16)) {
        return false;
    }
    if (sep != NULL && sep->len == 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "empty separator");
    }
    *out = weir_jv_list(list);
    if (sep == NULL) {
        return right ? rsplit_space(in, self.u.s, max, list) : split_space(in, self.u.s, max, list);
    }
    return right ? rsplit_by(in, self.u.s, sep, max, list) : split_by(in, self.u.s, sep, max, list);
}

METHOD(str_split)
{
    return split(in, self, call, false, out);
}

METHOD(str_rsplit)
{
    return split(in, self, call, true, out);
}

METHOD(str_splitlines)
{
    weir_jlist_t *list = weir_jlist_new(in, 0);
    BIND("splitlines", 0, "keepends")
    *out = weir_jv_list(list);
    return list != NULL &&
           weir_jstr_splitlines(in, self.u.s, weir_jgiven(args[0]) && weir_jv_truth(args[0]), list);
}

static bool partition(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, bool right,
                      weir_jv_t *out)
{
    const weir_js_t *s = self.u.s;
    const weir_js_t *sep;
    weir_jlist_t *list = weir_jlist_new(in, 3);
    BIND("partition", 1, "sep")
    if (list == NULL || !weir_jarg_str(in, args[0], &sep)) {
        return false;
    }
    if (sep->len == 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "empty separator");
    }
    *out = weir_jv_tuple(list);
    uint32_t hit = right ? weir_js_rfind(s, sep, s->len) : weir_js_find(s, sep, 0);
    if (hit == UINT32_MAX) {
        uint32_t border = right ? 0 : s->len;
        return push_cut(in, list, s, 0, border) &&
               push_cut(in, list, s, right ? 0 : s->len, right ? 0 : s->len) &&
               push_cut(in, list, s, border, s->len);
    }
    return push_cut(in, list, s, 0, hit) && push_cut(in, list, s, hit, hit + sep->len) &&
           push_cut(in, list, s, hit + sep->len, s->len);
}

METHOD(str_partition)
{
    return partition(in, self, call, false, out);
}

METHOD(str_rpartition)
{
    return partition(in, self, call, true, out);
}

static bool remove_affix(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, bool suffix,
                         weir_jv_t *out)
{
    const weir_js_t *s = self.u.s;
    bool hit;
    BIND("removeprefix", 1, "affix")
    if (!matches(in, s, args[0], suffix, &hit)) {
        return false;
    }
    uint32_t n = hit ? args[0].u.s->len : 0;
    return weir_js_slice(in, s, suffix ? 0 : n, suffix ? s->len - n : s->len, out);
}

METHOD(str_removeprefix)
{
    return remove_affix(in, self, call, false, out);
}

METHOD(str_removesuffix)
{
    return remove_affix(in, self, call, true, out);
}

/* --- putting together ------------------------------------------------------------------- */

METHOD(str_replace)
{
    const weir_js_t *from;
    const weir_js_t *to;
    int64_t count;
    BIND("replace", 2, "old", "new", "count")
    return weir_jarg_str(in, args[0], &from) && weir_jarg_str(in, args[1], &to) &&
           weir_jarg_int(in, args[2], -1, &count) &&
           weir_jstr_replace(in, self.u.s, from, to, count, out);
}

METHOD(str_join)
{
    const weir_jlist_t *items;
    weir_jb_t b;
    weir_jb_init(&b, in);
    BIND("join", 1, "iterable")
    if (!weir_jv_iterate(in, args[0], &items)) {
        return false;
    }
    for (uint32_t i = 0; i < items->n; i++) {
        if (!weir_jv_is(items->items[i], WEIR_JV_STRING)) {
            return weir_ji_fail(in, WEIR_ERR_INVALID,
                                "sequence item %u: expected str instance, %s found", i,
                                weir_jv_type_name(items->items[i]));
        }
        if (i > 0) {
            weir_jb_str(&b, self.u.s);
        }
        weir_jb_str(&b, items->items[i].u.s);
    }
    return weir_jb_finish(&b, out);
}

/* side: -1 text left, 1 right, 0 centre. */
static bool justify(weir_ji_t *in, weir_jv_t self, const weir_jcall_t *call, int side,
                    weir_jv_t *out)
{
    int64_t width;
    weir_jb_t b;
    weir_jb_init(&b, in);
    BIND("justify", 1, "width", "fillchar")
    const weir_js_t *s = self.u.s;
    const weir_js_t *fill = NULL;
    if (!weir_jarg_int(in, args[0], 0, &width) ||
        (weir_jgiven(args[1]) && !weir_jarg_str(in, args[1], &fill))) {
        return false;
    }
    if (fill != NULL && fill->chars != 1) {
        return weir_ji_fail(in, WEIR_ERR_INVALID,
                            "The fill character must be exactly one character long");
    }
    int64_t pad = width - s->chars < 0 ? 0 : width - s->chars;
    int64_t left = side < 0 ? 0 : side > 0 ? pad : pad / 2 + (pad & width & 1);
    for (int64_t i = 0; i <= pad && !b.failed; i++) {
        if (i == left) {
            weir_jb_str(&b, s);
        }
        if (i < pad && fill != NULL) {
            weir_jb_str(&b, fill);
        } else if (i < pad) {
            weir_jb_add(&b, " ", 1, true);
        }
    }
    return weir_jb_finish(&b, out);
}

METHOD(str_ljust)
{
    return justify(in, self, call, -1, out);
}

METHOD(str_rjust)
{
    return justify(in, self, call, 1, out);
}

METHOD(str_center)
{
    return justify(in, self, call, 0, out);
}

METHOD(str_zfill)
{
    int64_t width;
    weir_jb_t b;
    weir_jb_init(&b, in);
    BIND("zfill", 1, "width")
    if (!weir_jarg_int(in, args[0], 0, &width)) {
        return false;
    }
    const weir_js_t *s = self.u.s;
    uint32_t sign = s->len > 0 && (s->data[0] == '-' || s->data[0] == '+');
    weir_jb_sub(&b, s, 0, sign);
    for (int64_t i = s->chars; i < width && !b.failed; i++) {
        weir_jb_add(&b, "0", 1, false);
    }
    weir_jb_sub(&b, s, sign, s->len);
    return weir_jb_finish(&b, out);
}

/* --- what kind of text ------------------------------------------------------------------ */

static bool all_chars(const weir_js_t *s, bool (*holds)(uint32_t cp))
{
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        int n = weir_utf8_decode(s->data + i, s->len - i, &cp);
        if (!holds(cp)) {
            return false;
        }
        i += (uint32_t)(n < 0 ? -n : n);
    }
    return true;
}

static bool alpha_or_number(uint32_t cp)
{
    return weir_ju_is_alpha(cp) || weir_ju_is_numeric(cp);
}

#define KIND_METHOD(name, holds)                                              \
    METHOD(str_##name)                                                        \
    {                                                                         \
        BIND(#name, 0, NULL)                                                  \
        *out = weir_jv_bool(self.u.s->len > 0 && all_chars(self.u.s, holds)); \
        return weir_ji_work(in, self.u.s->len / 16);                          \
    }

KIND_METHOD(isalpha, weir_ju_is_alpha)
KIND_METHOD(isdigit, weir_ju_is_digit)
KIND_METHOD(isnumeric, weir_ju_is_numeric)
KIND_METHOD(isalnum, alpha_or_number)
KIND_METHOD(isspace, weir_ju_is_space)

METHOD(str_isascii)
{
    BIND("isascii", 0, NULL)
    *out = weir_jv_bool(self.u.s->chars == self.u.s->len);
    return true;
}

METHOD(str_isupper)
{
    return weir_ji_call_builtin(in, weir_jtest(weir_jtest_find(WEIR_STR("upper"))), self, call,
                                out);
}

METHOD(str_islower)
{
    return weir_ji_call_builtin(in, weir_jtest(weir_jtest_find(WEIR_STR("lower"))), self, call,
                                out);
}

const weir_jbuiltin_t weir_jmethods_str[] = {{"split", str_split, 0, {NULL}},
                                             {"strip", str_strip, 0, {NULL}},
                                             {"lstrip", str_lstrip, 0, {NULL}},
                                             {"rstrip", str_rstrip, 0, {NULL}},
                                             {"startswith", str_startswith, 0, {NULL}},
                                             {"endswith", str_endswith, 0, {NULL}},
                                             {"replace", str_replace, 0, {NULL}},
                                             {"lower", str_lower, 0, {NULL}},
                                             {"upper", str_upper, 0, {NULL}},
                                             {"title", str_title, 0, {NULL}},
                                             {"capitalize", str_capitalize, 0, {NULL}},
                                             {"swapcase", str_swapcase, 0, {NULL}},
                                             {"format", weir_jformat_method, 0, {NULL}},
                                             {"find", str_find, 0, {NULL}},
                                             {"rfind", str_rfind, 0, {NULL}},
                                             {"index", str_index, 0, {NULL}},
                                             {"rindex", str_rindex, 0, {NULL}},
                                             {"count", str_count, 0, {NULL}},
                                             {"join", str_join, 0, {NULL}},
                                             {"rsplit", str_rsplit, 0, {NULL}},
                                             {"splitlines", str_splitlines, 0, {NULL}},
                                             {"partition", str_partition, 0, {NULL}},
                                             {"rpartition", str_rpartition, 0, {NULL}},
                                             {"removeprefix", str_removeprefix, 0, {NULL}},
                                             {"removesuffix", str_removesuffix, 0, {NULL}},
                                             {"ljust", str_ljust, 0, {NULL}},
                                             {"rjust", str_rjust, 0, {NULL}},
                                             {"center", str_center, 0, {NULL}},
                                             {"zfill", str_zfill, 0, {NULL}},
                                             {"isalpha", str_isalpha, 0, {NULL}},
                                             {"isdigit", str_isdigit, 0, {NULL}},
                                             {"isnumeric", str_isnumeric, 0, {NULL}},
                                             {"isalnum", str_isalnum, 0, {NULL}},
                                             {"isspace", str_isspace, 0, {NULL}},
                                             {"isascii", str_isascii, 0, {NULL}},
                                             {"isupper", str_isupper, 0, {NULL}},
                                             {"islower", str_islower, 0, {NULL}},
                                             {NULL, NULL, 0, {NULL}}};
