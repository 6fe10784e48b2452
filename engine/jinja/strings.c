/* Operations on strings that filters and methods share. */
#include "engine/base/utf8.h"
#include "engine/jinja/interp.h"
#include "engine/jinja/unicode.h"

static uint32_t char_at(const weir_js_t *s, uint32_t at, uint32_t *cp)
{
    int n = weir_utf8_decode(s->data + at, s->len - at, cp);
    return (uint32_t)(n < 0 ? -n : n);
}

static uint32_t char_before(const weir_js_t *s, uint32_t at, uint32_t *cp)
{
    uint32_t p = at - 1;
    while (p > 0 && ((uint8_t)s->data[p] & 0xC0) == 0x80) {
        p--;
    }
    weir_utf8_decode(s->data + p, at - p, cp);
    return at - p;
}

/* Whether character cp is stripped: white space, or one of chars. */
static bool stripped(const weir_js_t *chars, uint32_t cp)
{
    if (chars == NULL) {
        return weir_ju_is_space(cp);
    }
    for (uint32_t i = 0; i < chars->len;) {
        uint32_t c;
        i += char_at(chars, i, &c);
        if (c == cp) {
            return true;
        }
    }
    return false;
}

bool weir_jstr_strip(weir_ji_t *in, const weir_js_t *s, const weir_js_t *chars, int sides,
                     weir_jv_t *out)
{
    uint32_t from = 0;
    uint32_t to = s->len;
    uint32_t cp;
    while ((sides & WEIR_JSTRIP_LEFT) != 0 && from < to) {
        uint32_t n = char_at(s, from, &cp);
        if (!stripped(chars, cp)) {
            break;
        }
        from += n;
    }
    while ((sides & WEIR_JSTRIP_RIGHT) != 0 && to > from) {
        uint32_t n = char_before(s, to, &cp);
        if (!stripped(chars, cp)) {
            break;
        }
        to -= n;
    }
    uint64_t work = (uint64_t)(s->len - (to - from)) * (chars == NULL ? 1 : chars->len + 1);
    return weir_ji_work(in, work / 16) && weir_js_slice(in, s, from, to, out);
}

bool weir_jstr_replace(weir_ji_t *in, const weir_js_t *s, const weir_js_t *from,
                       const weir_js_t *to, int64_t count, weir_jv_t *out)
{
    weir_jb_t b;
    weir_jb_init(&b, in);
    uint32_t at = 0;
    if (from->len == 0) {
        /* Python puts the replacement before every character and at the end. */
        for (; count != 0 && !b.failed; count--) {
            uint32_t cp;
            weir_jb_str(&b, to);
            if (at == s->len) {
                break;
            }
            uint32_t n = char_at(s, at, &cp);
            weir_jb_sub(&b, s, at, at + n);
            at += n;
            b.failed |= !weir_ji_work(in, 1);
        }
        weir_jb_sub(&b, s, at, s->len);
        return weir_jb_finish(&b, out);
    }
    while (count != 0 && !b.failed) {
        uint32_t hit = weir_js_find(s, from, at);
        if (hit == UINT32_MAX) {
            break;
        }
        weir_jb_sub(&b, s, at, hit);
        weir_jb_str(&b, to);
        at = hit + from->len;
        count--;
        b.failed |= !weir_ji_work(in, 1);
    }
    weir_jb_sub(&b, s, at, s->len);
    return weir_jb_finish(&b, out);
}

bool weir_jstr_splitlines(weir_ji_t *in, const weir_js_t *s, bool keep, weir_jlist_t *out)
{
    uint32_t start = 0;
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        uint32_t n = char_at(s, i, &cp);
        if (!weir_ju_is_line_break(cp)) {
            i += n;
            continue;
        }
        uint32_t end = i;
        i += n;
        if (cp == '\r' && i < s->len && s->data[i] == '\n') {
            i++;
        }
        weir_jv_t line;
        if (!weir_js_slice(in, s, start, keep ? i : end, &line) ||
            !weir_jlist_push(in, out, line)) {
            return false;
        }
        start = i;
    }
    weir_jv_t line;
    return start == s->len ||
           (weir_js_slice(in, s, start, s->len, &line) && weir_jlist_push(in, out, line));
}

/* Whether the capital sigma at `at` ends a word (Unicode's Final_Sigma). */
static bool final_sigma(const weir_js_t *s, uint32_t at)
{
    uint32_t cp;
    uint32_t i = at;
    bool before = false;
    while (i > 0) {
        i -= char_before(s, i, &cp);
        if (!weir_ju_is_case_ignorable(cp)) {
            before = weir_ju_is_cased(cp);
            break;
        }
    }
    if (!before) {
        return false;
    }
    for (i = at + 2; i < s->len;) {
        i += char_at(s, i, &cp);
        if (!weir_ju_is_case_ignorable(cp)) {
            return !weir_ju_is_cased(cp);
        }
    }
    return true;
}

bool weir_jstr_case(weir_ji_t *in, const weir_js_t *s, weir_jcase_t how, weir_jv_t *out)
{
    weir_jb_t b;
    weir_jb_init(&b, in);
    b.markup = s->markup;
    bool in_word = false;
    for (uint32_t i = 0; i < s->len;) {
        uint32_t cp;
        uint32_t step = char_at(s, i, &cp);
        uint32_t to[3];
        int n;
        bool start = how == WEIR_JCASE_TITLE ? !in_word : i == 0;
        bool upper = how == WEIR_JCASE_UPPER || (how == WEIR_JCASE_SWAP && weir_ju_is_lower(cp));
        bool lower = how == WEIR_JCASE_SWAP ? weir_ju_is_upper(cp) : !upper;
        if ((how == WEIR_JCASE_TITLE || how == WEIR_JCASE_CAPITALIZE) && start) {
            n = weir_ju_to_title(cp, to);
        } else if (upper) {
            n = weir_ju_to_upper(cp, to);
        } else if (lower) {
            n = weir_ju_to_lower(cp, to);
            if (cp == 0x3A3 && final_sigma(s, i)) {
                to[0] = 0x3C2;
            }
        } else {
            to[0] = cp;
            n = 1;
        }
        for (int k = 0; k < n; k++) {
            weir_jb_char_like(&b, to[k], s, i);
        }
        in_word = weir_ju_is_cased(cp) || weir_ju_is_upper(cp) || weir_ju_is_lower(cp);
        i += step;
    }
    return weir_ji_work(in, s->len / 16) && weir_jb_finish(&b, out);
}

bool weir_jstr_escape(weir_ji_t *in, weir_jv_t v, weir_jv_t *out)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const weir_js_t *s;
    weir_jb_t b;
    weir_jb_init(&b, in);
    b.markup = true;
    if (!weir_jv_to_string(in, v, &s)) {
        return false;
    }
    if (s->markup) {
        *out = weir_jv_str(s);
        return true;
    }
    uint32_t plain = 0;
    for (uint32_t i = 0; i < s->len; i++) {
        const char *hit = s->data[i] == '\0' ? NULL : strchr(from, s->data[i]);
        if (hit != NULL) {
            weir_jb_sub(&b, s, plain, i);
            weir_jb_addz(&b, to[hit - from], weir_js_trusted_at(s, i));
            plain = i + 1;
        }
    }
    weir_jb_sub(&b, s, plain, s->len);
    return weir_jb_finish(&b, out);
}
