/*
 * The folded view: Unicode TR 15's compatibility mappings per code point, TR 36 and 39 for what is
 * invisible or confusable. ASCII text passes at the speed of a test for high bytes.
 */
#include "guardrails/normalise.h"

#include "engine/base/utf8.h"
#include "guardrails/unicode.h"
#include "guardrails/vector.h"
#include "guardrails/views.h"

#include <stdlib.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define MAX_LEN    ((size_t)1 << 30)
#define WORD_REACH 8 /* characters on either side that decide whether a word mixes scripts */

void weir_guard_fold_free(weir_guard_fold_t *fold)
{
    for (size_t i = 0; i < WEIR_GUARD_MAX_VIEWS + 2; i++) {
        free(fold->slots[i].data);
        free(fold->slots[i].runs);
    }
    free(fold->atoms);
    memset(fold, 0, sizeof(*fold));
}

static bool grow(weir_guard_build_t *b, size_t need)
{
    size_t cap = b->fold->slots[b->slot].cap;
    if (need <= cap) {
        return true;
    }
    cap = need + need / 2 + 64;
    char *grown = realloc(b->fold->slots[b->slot].data, cap);
    if (grown == NULL) {
        b->failed = true;
        return false;
    }
    b->fold->slots[b->slot].data = grown;
    b->fold->slots[b->slot].cap = cap;
    return true;
}

void weir_guard_build_begin(weir_guard_build_t *b, weir_guard_fold_t *fold, unsigned slot,
                            size_t expect)
{
    *b = (weir_guard_build_t){.fold = fold, .slot = slot};
    grow(b, expect);
}

/* Adds a run, or lets the last one go on. */
static void add_run(weir_guard_build_t *b, size_t origin, size_t origin_end, uint32_t step)
{
    weir_guard_run_t *runs = b->fold->slots[b->slot].runs;
    if (b->run_count > 0 && step > 0) {
        const weir_guard_run_t *last = &runs[b->run_count - 1];
        if (last->step == step && last->origin + (b->len - last->view) * step == origin) {
            return;
        }
    }
    if (b->run_count == b->fold->slots[b->slot].run_cap) {
        size_t cap = b->run_count * 2 + 32;
        runs = realloc(b->fold->slots[b->slot].runs, cap * sizeof(*runs));
        if (runs == NULL) {
            b->failed = true;
            return;
        }
        b->fold->slots[b->slot].runs = runs;
        b->fold->slots[b->slot].run_cap = cap;
    }
    runs[b->run_count++] =
        (weir_guard_run_t){(uint32_t)b->len, (uint32_t)origin, (uint32_t)origin_end, step};
}

void weir_guard_build_copy(weir_guard_build_t *b, const char *text, size_t len, size_t origin)
{
    if (len == 0 || b->failed || !grow(b, b->len + len)) {
        return;
    }
    add_run(b, origin, 0, 1);
    memcpy(b->fold->slots[b->slot].data + b->len, text, len);
    b->len += len;
}

void weir_guard_build_replace(weir_guard_build_t *b, const char *text, size_t len, size_t origin,
                              size_t origin_end)
{
    if (len == 0 || b->failed || !grow(b, b->len + len)) {
        return;
    }
    if (len == 1 && origin_end > origin) {
        add_run(b, origin, 0, (uint32_t)(origin_end - origin));
    } else {
        add_run(b, origin, origin_end, 0);
    }
    memcpy(b->fold->slots[b->slot].data + b->len, text, len);
    b->len += len;
}

void weir_guard_build_end(const weir_guard_build_t *b, uint32_t flags, weir_guard_view_t *view)
{
    *view = (weir_guard_view_t){.text = b->fold->slots[b->slot].data,
                                .len = b->len,
                                .runs = b->fold->slots[b->slot].runs,
                                .run_count = b->run_count,
                                .flags = flags};
    if (b->len == 0) {
        view->text = "";
    }
}

bool weir_guard_is_ascii(const char *text, size_t len)
{
    size_t i = 0;
#if defined(__SSE2__)
    for (; i + 64 <= len; i += 64) {
        const __m128i *v = (const __m128i *)(const void *)(text + i);
        __m128i any = _mm_or_si128(_mm_or_si128(_mm_loadu_si128(v), _mm_loadu_si128(v + 1)),
                                   _mm_or_si128(_mm_loadu_si128(v + 2), _mm_loadu_si128(v + 3)));
        if (_mm_movemask_epi8(any) != 0) {
            return false;
        }
    }
#endif
    for (; i + 8 <= len; i += 8) {
        uint64_t eight;
        memcpy(&eight, text + i, 8);
        if ((eight & 0x8080808080808080) != 0) {
            return false;
        }
    }
    for (; i < len; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

void weir_guard_lower_ascii(char *out, const char *text, size_t len)
{
    size_t blocks = len / WEIR_BLOCK;
    if (blocks > 0) {
        weir_guard_vector(NULL)->lower(out, text, blocks);
    }
    for (size_t i = blocks * WEIR_BLOCK; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        out[i] = (char)(c | ((unsigned char)(c - 'A') < 26 ? 0x20 : 0));
    }
}

/* Controls other than tabulators and line ends; DEL. */
static bool is_control(char c)
{
    unsigned char u = (unsigned char)c;
    return (u < 0x20 && (u < '\t' || u > '\r')) || u == 0x7f;
}

#if defined(__SSE2__)
/* Of sixteen bytes those that are controls; for bytes above 0x7f: none. */
static __m128i controls_of(__m128i v)
{
    const __m128i four = _mm_set1_epi8('\r' - '\t');
    __m128i low = _mm_cmpeq_epi8(_mm_subs_epu8(v, _mm_set1_epi8(0x1f)), _mm_setzero_si128());
    __m128i line = _mm_sub_epi8(v, _mm_set1_epi8('\t'));
    __m128i kept = _mm_cmpeq_epi8(_mm_min_epu8(line, four), line);
    return _mm_or_si128(_mm_andnot_si128(kept, low), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
}

/* Is there a byte in v that is not printable ASCII or a line feed? Its sign bit is set. */
static __m128i odd_of(__m128i v)
{
    __m128i low = _mm_cmplt_epi8(v, _mm_set1_epi8(0x20)); /* and those above 0x7f */
    __m128i feed = _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'));
    return _mm_or_si128(_mm_andnot_si128(feed, low), _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
}
#endif

static bool has_controls(const char *text, size_t len)
{
    size_t i = 0;
#if defined(__SSE2__)
    for (; i + 16 <= len; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(text + i));
        if (_mm_movemask_epi8(controls_of(v)) != 0) {
            return true;
        }
    }
#endif
    for (; i < len; i++) {
        if (is_control(text[i])) {
            return true;
        }
    }
    return false;
}

/* ASCII without controls: its own view. */
static bool is_plain(const char *text, size_t len)
{
    size_t i = 0;
#if defined(__SSE2__)
    for (; i + 64 <= len; i += 64) {
        const __m128i *v = (const __m128i *)(const void *)(text + i);
        __m128i a = _mm_or_si128(odd_of(_mm_loadu_si128(v)), odd_of(_mm_loadu_si128(v + 1)));
        __m128i b = _mm_or_si128(odd_of(_mm_loadu_si128(v + 2)), odd_of(_mm_loadu_si128(v + 3)));
        if (_mm_movemask_epi8(_mm_or_si128(a, b)) != 0 &&
            (has_controls(text + i, 64) || !weir_guard_is_ascii(text + i, 64))) {
            return false;
        }
    }
#endif
    return weir_guard_is_ascii(text + i, len - i) && !has_controls(text + i, len - i);
}

/* Decodes one character; *used is 1 and the result 0xfffd for what is no UTF-8. */
static uint32_t decode(const char *text, size_t len, size_t *used)
{
    const unsigned char *t = (const unsigned char *)text;
    *used = 1;
    if (t[0] < 0x80) {
        return t[0];
    }
    unsigned n = t[0] >= 0xf0 ? 4 : t[0] >= 0xe0 ? 3 : 2;
    if (t[0] < 0xc2 || t[0] > 0xf4 || n > len) {
        return 0xfffd;
    }
    uint32_t code = t[0] & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if ((t[i] & 0xc0) != 0x80) {
            return 0xfffd;
        }
        code = code << 6 | (t[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return 0xfffd;
    }
    *used = n;
    return code;
}

/* What a character says about the word that it stands in: 0 ends it, 1 Latin, 2 other, 3 neither.
 */
static int script(uint32_t code)
{
    if (code < 0x80) {
        bool letter = (code | 0x20) - 'a' < 26;
        return letter ? 1 : code - '0' < 10 ? 3 : 0;
    }
    const weir_guard_unicode_t *u = weir_guard_unicode(code);
    if (u->kind == WEIR_UNICODE_STRIP || u->kind == WEIR_UNICODE_BIDI) {
        return 3;
    }
    if (u->kind == WEIR_UNICODE_TAG || u->kind == WEIR_UNICODE_COMPAT) {
        return u->len == 1 ? 1 : 3;
    }
    if (u->kind == WEIR_UNICODE_NONE || u->kind == WEIR_UNICODE_DIGIT) {
        return u->kind == WEIR_UNICODE_NONE ? 0 : 3;
    }
    return code < 0x250 ? 1 : 2;
}

/* The last word that was asked about, when it was short enough to be seen whole; and how far its
 * letters of both kinds reach, when it mixes them: in front of both, the answer is the same. */
typedef struct {
    size_t start;
    size_t end;
    bool mixed;
    size_t asked;
    size_t sure;
} word_t;

/* Does the word around text[at] have letters of Latin and of another script? */
static bool mixed_word(const char *text, size_t len, size_t at, word_t *word)
{
    bool latin = false;
    bool other = false;
    bool ends[2] = {at == 0, false};
    size_t i = at;
    if (at >= word->start && at < word->end) {
        return word->mixed;
    }
    if (at >= word->asked && at < word->sure) {
        return true;
    }
    for (int n = 0; n < WORD_REACH && i > 0; n++) {
        size_t back = i - 1;
        while (back > 0 && i - back < 4 && ((unsigned char)text[back] & 0xc0) == 0x80) {
            back--;
        }
        size_t used;
        int s = script(decode(text + back, len - back, &used));
        if (s == 0) {
            ends[0] = true;
            break;
        }
        latin |= s == 1;
        other |= s == 2;
        i = back;
    }
    size_t start = i;
    ends[0] |= i == 0;
    i = at;
    size_t last[2] = {0, 0}; /* behind a Latin letter, and another, from here on */
    for (int n = 0; n < WORD_REACH && i < len; n++) {
        size_t used;
        int s = script(decode(text + i, len - i, &used));
        if (s == 0) {
            ends[1] = true;
            break;
        }
        latin |= s == 1;
        other |= s == 2;
        if (s < 3) {
            last[s - 1] = i + 1;
        }
        i += used;
    }
    if (ends[0] && (ends[1] || i >= len)) {
        word->start = start;
        word->end = i;
        word->mixed = latin && other;
    }
    word->asked = at;
    word->sure = last[0] < last[1] ? last[0] : last[1];
    return latin && other;
}

/*
 * Hyphens and dashes as typography writes them between the groups of a number: U+2010 to U+2013 and
 * the minus sign. Behind a digit, a capital or a bracket they part groups; what follows does not
 * matter, so that a stream folds them as the whole text does.
 */
static bool parts_groups(const weir_guard_build_t *b, uint32_t code)
{
    if (code != 0x2212 && (code < 0x2010 || code > 0x2013)) {
        return false;
    }
    char c = b->len == 0 ? ' ' : b->fold->slots[b->slot].data[b->len - 1];
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == ')';
}

/* Digits are no part of it: between numbers a control is a separator. */
static bool in_word(char c)
{
    return (unsigned char)c > ' ' && !is_control(c) && (unsigned)(c - '0') > 9;
}

/* Do the controls at text[at] part letters of one word? At the end of the text they may. */
static bool parts_word(const weir_guard_build_t *b, const char *text, size_t len, size_t at)
{
    if (b->len == 0 || !in_word(b->fold->slots[b->slot].data[b->len - 1])) {
        return false;
    }
    while (at < len && is_control(text[at])) {
        at++;
    }
    return at == len || in_word(text[at]);
}

#define MAX_REVERSED 256 /* bytes of one override that are turned */

/* Where the text reversed by the override at `at` ends: in front of the next direction control, the
 * line's end, or the limit. */
static size_t reversed_end(const char *text, size_t len, size_t at)
{
    size_t limit = len - at > MAX_REVERSED ? at + MAX_REVERSED : len;
    size_t i = at + 3;
    while (i < limit) {
        size_t used;
        uint32_t code = decode(text + i, len - i, &used);
        bool control = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
        if (control || code == '\n' || code == '\r' || i + used > limit) {
            break;
        }
        i += used;
    }
    return i;
}

/*
 * Adds the characters of text[start, end) in the order in which they are seen, on a line of their
 * own; invisible ones not. In front of the text as it stands, which a model may read, too: so
 * origins ascend.
 */
static void add_reversed(weir_guard_build_t *b, const char *text, size_t start, size_t end)
{
    char turned[MAX_REVERSED + 2] = {'\n'};
    size_t n = 1;
    for (size_t at = end; at > start;) {
        size_t first = at - 1;
        size_t used;
        while (first > start && at - first < 4 && ((unsigned char)text[first] & 0xc0) == 0x80) {
            first--;
        }
        uint32_t code = decode(text + first, at - first, &used);
        const weir_guard_unicode_t *u = weir_guard_unicode(code);
        if (used < at - first || (used == 1 && code >= 0x80)) {
            first = at - 1; /* no UTF-8 */
        } else if (u->kind == WEIR_UNICODE_COMPAT && u->len <= at - first) {
            memcpy(turned + n, weir_guard_unicode_pool + u->offset, u->len);
            n += u->len;
        } else if (u->kind != WEIR_UNICODE_STRIP && u->kind != WEIR_UNICODE_BIDI) {
            memcpy(turned + n, text + first, at - first);
            n += at - first;
        }
        at = first;
    }
    turned[n++] = '\n';
    if (n > 2) {
        weir_guard_build_replace(b, turned, n, start, end);
    }
}

/* One character above ASCII: text[at .. at + used). */
static uint32_t fold_one(weir_guard_build_t *b, const char *text, size_t len, size_t at,
                         size_t used, uint32_t code, unsigned options, word_t *word)
{
    const weir_guard_unicode_t *u = weir_guard_unicode(code);
    const char *replacement = (const char *)weir_guard_unicode_pool + u->offset;
    bool take = false;
    uint32_t flag = 0;
    if (weir_guard_is_mark(code) && weir_guard_mark_hides(text, len, at, code)) {
        return WEIR_GUARD_FOLD_INVISIBLE;
    }
    if (parts_groups(b, code)) {
        weir_guard_build_replace(b, "-", 1, at, at + used);
        return WEIR_GUARD_FOLD_COMPAT;
    }
    switch ((weir_guard_unicode_kind_t)u->kind) {
    case WEIR_UNICODE_STRIP:
        return WEIR_GUARD_FOLD_INVISIBLE;
    case WEIR_UNICODE_BIDI:
        return WEIR_GUARD_FOLD_BIDI;
    case WEIR_UNICODE_TAG:
        take = true;
        flag = WEIR_GUARD_FOLD_TAGS;
        break;
    case WEIR_UNICODE_COMPAT:
        take = true;
        flag = WEIR_GUARD_FOLD_COMPAT;
        break;
    case WEIR_UNICODE_DIGIT:
        take = (options & WEIR_GUARD_FOLD_KEEP_DIGITS) == 0;
        flag = take ? WEIR_GUARD_FOLD_DIGITS : 0;
        break;
    case WEIR_UNICODE_CONFUSABLE:
        take = (options & WEIR_GUARD_FOLD_CONFUSABLES) != 0 || mixed_word(text, len, at, word);
        flag = take ? WEIR_GUARD_FOLD_CONFUSED : 0;
        break;
    case WEIR_UNICODE_UPPER:
        take = (options & WEIR_GUARD_FOLD_LOWER) != 0;
        break;
    case WEIR_UNICODE_NONE:
    case WEIR_UNICODE_LETTER:
        break;
    }
    if (take) {
        weir_guard_build_replace(b, replacement, u->len, at, at + used);
    } else if (used == 1) {
        char bytes[4];
        weir_guard_build_replace(b, bytes, (size_t)weir_utf8_encode(code, bytes), at, at + 1);
        flag = WEIR_GUARD_FOLD_BROKEN;
    } else {
        weir_guard_build_copy(b, text + at, used, at);
    }
    return flag;
}

/* Is the finished view the original, byte for byte? */
static bool unchanged(const weir_guard_view_t *view, size_t len)
{
    return view->len == len &&
           (view->run_count == 0 ||
            (view->run_count == 1 && view->runs[0].step == 1 && view->runs[0].origin == 0));
}

weir_status_t weir_guard_normalise_into(weir_guard_fold_t *fold, unsigned slot, const char *text,
                                        size_t len, unsigned options, weir_guard_view_t *view,
                                        weir_error_t *err)
{
    weir_guard_build_t b;
    bool lower = (options & WEIR_GUARD_FOLD_LOWER) != 0;
    uint32_t flags = 0;
    word_t word = {0};
    if (len > MAX_LEN) {
        return weir_error_at(err, WEIR_ERR_LIMIT, "text", "text_too_long",
                             "a text of %zu bytes is too long to fold", len);
    }
    bool plain = is_plain(text, len);
    if (plain && !lower) {
        *view = (weir_guard_view_t){.text = len == 0 ? "" : text, .len = len};
        return WEIR_OK;
    }
    bool controls = !plain && has_controls(text, len);
    weir_guard_build_begin(&b, fold, slot, len + len / 8);
    if (plain && !b.failed && len > 0) {
        weir_guard_lower_ascii(fold->slots[slot].data, text, len);
        *view = (weir_guard_view_t){.text = fold->slots[slot].data, .len = len};
        return WEIR_OK;
    }
    for (size_t i = 0; i < len && !b.failed;) {
        size_t run = i;
        while (run < len && (unsigned char)text[run] < 0x80 &&
               !(controls && is_control(text[run]))) {
            run++;
        }
        weir_guard_build_copy(&b, text + i, run - i, i);
        if (run < len && (unsigned char)text[run] < 0x80) {
            if (parts_word(&b, text, len, run)) {
                flags |= WEIR_GUARD_FOLD_INVISIBLE;
            } else {
                weir_guard_build_copy(&b, text + run, 1, run);
            }
            run++;
        } else if (run < len) {
            size_t used;
            uint32_t code = decode(text + run, len - run, &used);
            if (code == 0x202e && (options & WEIR_GUARD_FOLD_IN_PLACE) == 0) {
                add_reversed(&b, text, run + used, reversed_end(text, len, run));
            }
            flags |= WEIR_GUARD_FOLD_NON_ASCII |
                     fold_one(&b, text, len, run, used, code, options, &word);
            run += used;
        }
        i = run;
    }
    if (b.failed) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory to fold %zu bytes", len);
    }
    if (lower && b.len > 0) {
        char *data = fold->slots[slot].data;
        weir_guard_lower_ascii(data, data, b.len);
    }
    weir_guard_build_end(&b, flags, view);
    if (unchanged(view, len)) {
        /* The capitals of other scripts may have changed, at the same length. */
        view->run_count = 0;
        view->text = lower ? view->text : text;
    }
    return WEIR_OK;
}

weir_status_t weir_guard_normalise(weir_guard_fold_t *fold, const char *text, size_t len,
                                   unsigned options, weir_guard_view_t *view, weir_error_t *err)
{
    return weir_guard_normalise_into(fold, 0, text, len, options, view, err);
}

/* Index of the run that holds view byte at. */
static size_t run_of(const weir_guard_view_t *view, size_t at)
{
    size_t low = 0;
    size_t high = view->run_count;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (view->runs[mid].view <= at) {
            low = mid;
        } else {
            high = mid;
        }
    }
    return low;
}

/* As run_of, from a run on that is tried first, and those behind it. */
static size_t run_from(const weir_guard_view_t *view, size_t run, size_t at)
{
    if (run >= view->run_count || view->runs[run].view > at) {
        return run_of(view, at);
    }
    for (unsigned tries = 0; tries < 4; tries++) {
        if (run + 1 == view->run_count || view->runs[run + 1].view > at) {
            return run;
        }
        run++;
    }
    return run_of(view, at);
}

void weir_guard_build_mapped(weir_guard_build_t *b, const char *text, size_t len,
                             weir_guard_cursor_t *cursor, size_t start)
{
    const weir_guard_view_t *view = cursor->view;
    if (view->run_count == 0) {
        weir_guard_build_copy(b, text, len, start);
        return;
    }
    if (len == 0 || b->failed || !grow(b, b->len + len)) {
        return;
    }
    memcpy(b->fold->slots[b->slot].data + b->len, text, len);
    cursor->run = run_from(view, cursor->run, start);
    for (size_t at = start; !b->failed; cursor->run++) {
        const weir_guard_run_t *run = &view->runs[cursor->run];
        size_t end = cursor->run + 1 < view->run_count ? run[1].view : view->len;
        size_t n = end < start + len ? end - at : start + len - at;
        size_t origin = run->origin + (at - run->view) * run->step;
        bool one = run->step == 0 && n == 1 && run->origin_end > run->origin;
        add_run(b, origin, run->step == 0 && !one ? run->origin_end : 0,
                one ? run->origin_end - run->origin : run->step);
        b->len += n;
        at += n;
        if (at == start + len) {
            return;
        }
    }
}

void weir_guard_cursor_span(weir_guard_cursor_t *cursor, size_t start, size_t end,
                            size_t *origin_start, size_t *origin_end)
{
    const weir_guard_view_t *view = cursor->view;
    if (view->run_count == 0) {
        *origin_start = start;
        *origin_end = end;
        return;
    }
    cursor->run = run_from(view, cursor->run, start);
    const weir_guard_run_t *first = &view->runs[cursor->run];
    const weir_guard_run_t *last = &view->runs[run_from(view, cursor->run, end - 1)];
    *origin_start = first->origin + (start - first->view) * first->step;
    *origin_end =
        last->step == 0 ? last->origin_end : last->origin + (end - last->view) * last->step;
}

void weir_guard_view_span(const weir_guard_view_t *view, size_t start, size_t end,
                          size_t *origin_start, size_t *origin_end)
{
    weir_guard_cursor_t cursor = {.view = view, .run = view->run_count};
    weir_guard_cursor_span(&cursor, start, end, origin_start, origin_end);
}

size_t weir_guard_view_origin(const weir_guard_view_t *view, size_t at, size_t original_len)
{
    if (at >= view->len) {
        return original_len;
    }
    if (view->run_count == 0) {
        return at;
    }
    const weir_guard_run_t *run = &view->runs[run_of(view, at)];
    return run->origin + (at - run->view) * run->step;
}

size_t weir_guard_view_at(const weir_guard_view_t *view, size_t origin)
{
    if (view->run_count == 0) {
        return origin < view->len ? origin : view->len;
    }
    size_t low = 0;
    size_t high = view->run_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (view->runs[mid].origin <= origin) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    /* The last run that begins at or before it; several bytes may have come from one. */
    while (low > 0 && view->runs[low - 1].origin == origin) {
        low--;
    }
    if (low < view->run_count && view->runs[low].origin == origin) {
        return view->runs[low].view;
    }
    if (low == 0) {
        return 0;
    }
    const weir_guard_run_t *run = &view->runs[low - 1];
    size_t end = low < view->run_count ? view->runs[low].view : view->len;
    size_t at =
        run->step == 0 ? end : run->view + (origin - run->origin + run->step - 1) / run->step;
    return at < end ? at : end;
}
