/* Filters on text and JSON. */
#include "engine/jinja/filters.h"

#include "engine/base/utf8.h"
#include "engine/jinja/unicode.h"

/* soft_str(v): the string itself, or v printed. */
static bool soft(weir_ji_t *in, weir_jv_t v, const weir_js_t **s)
{
    return weir_jv_to_string(in, v, s);
}

WEIR_JFILTER(string)
{
    (void)args;
    const weir_js_t *s;
    if (!soft(in, v, &s)) {
        return false;
    }
    *out = weir_jv_str(s);
    return true;
}

WEIR_JFILTER(safe)
{
    const weir_js_t *s;
    (void)args;
    weir_js_t *copy = weir_ji_alloc(in, sizeof(*copy));
    if (copy == NULL || !soft(in, v, &s)) {
        return false;
    }
    *copy = *s;
    copy->markup = true;
    *out = weir_jv_str(copy);
    return true;
}

WEIR_JFILTER(escape)
{
    (void)args;
    return weir_jstr_escape(in, v, out);
}

WEIR_JFILTER(forceescape)
{
    const weir_js_t *s;
    (void)args;
    if (!soft(in, v, &s)) {
        return false;
    }
    weir_js_t plain = *s;
    plain.markup = false;
    return weir_jstr_escape(in, weir_jv_str(&plain), out);
}

static bool change_case(weir_ji_t *in, weir_jv_t v, weir_jcase_t how, weir_jv_t *out)
{
    const weir_js_t *s;
    return soft(in, v, &s) && weir_jstr_case(in, s, how, out);
}

WEIR_JFILTER(lower)
{
    (void)args;
    return change_case(in, v, WEIR_JCASE_LOWER, out);
}

WEIR_JFILTER(upper)
{
    (void)args;
    return change_case(in, v, WEIR_JCASE_UPPER, out);
}

WEIR_JFILTER(capitalize)
{
    (void)args;
    return change_case(in, v, WEIR_JCASE_CAPITALIZE, out);
}

/* Words of jinja2's title filter begin behind these. */
static bool separates(uint32_t cp)
{
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' || weir_ju_is_space(cp);
}

static bool title_word(weir_jb_t *b, const weir_js_t *s, uint32_t from, uint32_t to)
{
    uint32_t cp;
    weir_jv_t part;
    int n = weir_utf8_decode(s->data + from, to - from, &cp);
    uint32_t second = from + (uint32_t)(n < 0 ? -n : n);
    if (!weir_js_slice(b->in, s, from, second, &part) ||
        !weir_jstr_case(b->in, part.u.s, WEIR_JCASE_UPPER, &part)) {
        return false;
    }
    weir_jb_str(b, part.u.s);
    if (!weir_js_slice(b->in, s, second, to, &part) ||
        !weir_jstr_case(b->in, part.u.s, WEIR_JCASE_LOWER, &part)) {
        return false;
    }
    weir_jb_str(b, part.u.s);
    return !b->failed;
}

WEIR_JFILTER(title)
{
    const weir_js_t *s;
    weir_jb_t b;
    (void)args;
    weir_jb_init(&b, in);
    if (!soft(in, v, &s)) {
        return false;
    }
    uint32_t word = 0;
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        int n = weir_utf8_decode(s->data + i, s->len - i, &cp);
        uint32_t next = i + (uint32_t)(n < 0 ? -n : n);
        if (separates(cp)) {
            if (word < i && !title_word(&b, s, word, i)) {
                return false;
            }
            weir_jb_sub(&b, s, i, next);
            word = next;
        }
        i = next;
    }
    return (word == s->len || title_word(&b, s, word, s->len)) && weir_jb_finish(&b, out);
}

WEIR_JFILTER(trim)
{
    const weir_js_t *s;
    const weir_js_t *chars = NULL;
    if (!soft(in, v, &s)) {
        return false;
    }
    bool given = weir_jgiven(args[0]) && !weir_jv_is(args[0], WEIR_JV_NONE);
    if (given && !weir_jarg_str(in, args[0], &chars)) {
        return false;
    }
    return weir_jstr_strip(in, s, chars, WEIR_JSTRIP_LEFT | WEIR_JSTRIP_RIGHT, out);
}

WEIR_JFILTER(replace)
{
    const weir_js_t *s;
    const weir_js_t *from;
    const weir_js_t *to;
    int64_t count = -1;
    if (!soft(in, v, &s) || !soft(in, args[0], &from) || !soft(in, args[1], &to)) {
        return false;
    }
    if (!weir_jv_is(args[2], WEIR_JV_NONE) && !weir_jarg_int(in, args[2], -1, &count)) {
        return false;
    }
    return weir_jstr_replace(in, s, from, to, count, out);
}

/* The string that indents: spaces, or the given one. */
static bool indention(weir_ji_t *in, weir_jv_t width, const weir_js_t **out)
{
    int64_t n;
    weir_jv_t space;
    weir_jv_t text;
    if (weir_jgiven(width) && weir_jv_is(width, WEIR_JV_STRING)) {
        *out = width.u.s;
        return true;
    }
    if (!weir_jarg_int(in, width, 4, &n) || !weir_jv_stringz(in, " ", true, &space) ||
        !weir_ji_binary(in, WEIR_JOP_MUL, space, weir_jv_int(n, true), &text)) {
        return false;
    }
    *out = text.u.s;
    return true;
}

WEIR_JFILTER(indent)
{
    const weir_js_t *pad;
    weir_jlist_t *lines = weir_jlist_new(in, 0);
    weir_jv_t newline;
    weir_jb_t b;
    weir_jb_init(&b, in);
    /* As in jinja2, a newline is added first: "" becomes one empty line. */
    if (lines == NULL || !indention(in, args[0], &pad) ||
        !weir_jv_stringz(in, "\n", true, &newline) ||
        !weir_ji_binary(in, WEIR_JOP_ADD, v, newline, &v) ||
        !weir_jstr_splitlines(in, v.u.s, false, lines)) {
        return false;
    }
    bool first = weir_jgiven(args[1]) && weir_jv_truth(args[1]);
    bool blank = weir_jgiven(args[2]) && weir_jv_truth(args[2]);
    for (uint32_t i = 0; i < lines->n; i++) {
        const weir_js_t *line = lines->items[i].u.s;
        if (i > 0) {
            weir_jb_add(&b, "\n", 1, false);
        }
        if (i == 0 ? first : blank || line->len > 0) {
            weir_jb_str(&b, pad);
        }
        weir_jb_str(&b, line);
    }
    b.markup = v.u.s->markup;
    return weir_jb_finish(&b, out);
}

WEIR_JFILTER(center)
{
    const weir_js_t *s;
    int64_t width;
    weir_jb_t b;
    weir_jb_init(&b, in);
    if (!soft(in, v, &s) || !weir_jarg_int(in, args[0], 80, &width)) {
        return false;
    }
    int64_t pad = width - s->chars;
    int64_t left = pad <= 0 ? 0 : pad / 2 + (pad & width & 1);
    for (int64_t i = 0; i < left && !b.failed; i++) {
        weir_jb_add(&b, " ", 1, true);
    }
    weir_jb_str(&b, s);
    for (int64_t i = left; i < pad && !b.failed; i++) {
        weir_jb_add(&b, " ", 1, true);
    }
    return weir_jb_finish(&b, out);
}

/* s[:chars] without the last word: what stands before the last space in it. */
static uint32_t before_last_word(const weir_js_t *s, uint32_t end)
{
    for (uint32_t i = end; i > 0; i--) {
        if (s->data[i - 1] == ' ') {
            return i - 1;
        }
    }
    return end;
}

WEIR_JFILTER(truncate)
{
    const weir_js_t *s;
    const weir_js_t *end;
    int64_t length;
    int64_t leeway;
    weir_jv_t dots = args[2];
    weir_jb_t b;
    weir_jb_init(&b, in);
    if (!weir_jarg_str(in, v, &s) || !weir_jarg_int(in, args[0], 255, &length) ||
        !weir_jarg_int(in, args[3], 5, &leeway) ||
        (!weir_jgiven(dots) && !weir_jv_stringz(in, "...", true, &dots)) ||
        !weir_jarg_str(in, dots, &end)) {
        return false;
    }
    if (length < end->chars || leeway < 0) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "expected length >= %u and leeway >= 0",
                            end->chars);
    }
    if (length > INT32_MAX || leeway > INT32_MAX || s->chars <= length + leeway) {
        *out = v;
        return true;
    }
    uint32_t cut = weir_js_offset(s, (uint32_t)(length - end->chars));
    bool kill = weir_jgiven(args[1]) && weir_jv_truth(args[1]);
    weir_jb_sub(&b, s, 0, kill ? cut : before_last_word(s, cut));
    weir_jb_str(&b, end);
    return weir_jb_finish(&b, out);
}

/* Runs of letters, digits and underscores, as the expression \w+ finds them. */
WEIR_JFILTER(wordcount)
{
    const weir_js_t *s;
    int64_t n = 0;
    bool in_word = false;
    (void)args;
    if (!soft(in, v, &s)) {
        return false;
    }
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        int step = weir_utf8_decode(s->data + i, s->len - i, &cp);
        bool word = cp == '_' || weir_ju_is_alpha(cp) || weir_ju_is_numeric(cp);
        n += word && !in_word;
        in_word = word;
        i += (uint32_t)(step < 0 ? -step : step);
    }
    *out = weir_jv_int(n, false);
    return true;
}

/* --- JSON ------------------------------------------------------------------------------- */

static bool json_indent(weir_ji_t *in, weir_jv_t v, const weir_js_t **out)
{
    *out = NULL;
    if (!weir_jgiven(v) || weir_jv_is(v, WEIR_JV_NONE)) {
        return true;
    }
    int64_t n;
    if (weir_jv_as_int(v, &n) && n <= 0) {
        v = weir_jv_int(0, true);
    }
    return indention(in, v, out);
}

static bool json_separators(weir_ji_t *in, weir_jv_t v, weir_jjson_t *how)
{
    weir_jv_t item;
    weir_jv_t key;
    if (!weir_jgiven(v) || weir_jv_is(v, WEIR_JV_NONE)) {
        if (!weir_jv_stringz(in, how->indent == NULL ? ", " : ",", false, &item) ||
            !weir_jv_stringz(in, ": ", false, &key)) {
            return false;
        }
    } else {
        const weir_jlist_t *two;
        if (!weir_jv_iterate(in, v, &two)) {
            return false;
        }
        if (two->n != 2 || !weir_jv_is(two->items[0], WEIR_JV_STRING) ||
            !weir_jv_is(two->items[1], WEIR_JV_STRING)) {
            return weir_ji_fail(in, WEIR_ERR_INVALID, "separators must be two strings");
        }
        item = two->items[0];
        key = two->items[1];
    }
    how->item_sep = item.u.s;
    how->key_sep = key.u.s;
    return true;
}

WEIR_JFILTER(tojson)
{
    weir_jjson_t how = {.ensure_ascii = weir_jgiven(args[0]) && weir_jv_truth(args[0]),
                        .sort_keys = weir_jgiven(args[3]) && weir_jv_truth(args[3])};
    weir_jb_t b;
    weir_jb_init(&b, in);
    return json_indent(in, args[1], &how.indent) && json_separators(in, args[2], &how) &&
           weir_jv_to_json(&b, v, &how, 0) && weir_jb_finish(&b, out);
}

WEIR_JFILTER(from_json)
{
    static const weir_json_limits_t limits = {.allow_duplicate_keys = true};
    const weir_js_t *s;
    weir_json_doc_t doc;
    weir_error_t err;
    (void)args;
    if (!weir_jarg_str(in, v, &s)) {
        return false;
    }
    if (!weir_ji_work(in, s->len / 8)) {
        return false;
    }
    if (weir_json_parse(s->data, s->len, &limits, &in->arena, &doc, &err) != WEIR_OK) {
        return weir_ji_fail(in, WEIR_ERR_INVALID, "from_json: %s", err.message);
    }
    return weir_jv_from_json(in, &doc, 0, weir_js_all_trusted(s), out);
}
