/*
 * What codes hide: base64 (RFC 4648, both alphabets), hexadecimal, percent (RFC 3986 section 2.1),
 * HTML character references, and the escapes \xHH and \uHHHH. All codes of one text go into one
 * layer, a line for each; the layer is folded and searched for codes again, to a depth of two.
 */
#include "guardrails/decode.h"

#include "engine/base/hex.h"
#include "engine/base/utf8.h"
#include "guardrails/matcher.h"
#include "guardrails/views.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define MAX_TOKEN 2048 /* bytes around an escape that are decoded together */

static int value64(char c)
{
    if (weir_is(c, WEIR_C_UPPER)) {
        return c - 'A';
    }
    if (weir_is(c, WEIR_C_LOWER)) {
        return c - 'a' + 26;
    }
    if (weir_is(c, WEIR_C_DIGIT)) {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Is it text rather than something binary? Nine of ten bytes are printable or above ASCII. */
static bool readable(const char *text, size_t len)
{
    size_t good = 0;
    size_t high = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        good += (c >= 0x20 && c != 0x7f) || (c >= '\t' && c <= '\r');
        high += c >= 0x80;
    }
    return len >= 6 && good * 10 >= len * 9 && high * 4 <= len * 3;
}

/* Could bytes that decode like this be UTF-8? Random bytes above ASCII almost never are. */
static bool plausible_utf8(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        size_t n = c < 0x80                ? 1
                   : c >= 0xc2 && c < 0xe0 ? 2
                   : c >= 0xe0 && c < 0xf0 ? 3
                   : c >= 0xf0 && c < 0xf5 ? 4
                                           : 0;
        if (n == 0) {
            return false;
        }
        for (size_t k = 1; k < n && i + k < len; k++) {
            if (((unsigned char)text[i + k] & 0xc0) != 0x80) {
                return false;
            }
        }
        i += n;
    }
    return true;
}

/* The layer under construction, and where its text comes from. */
typedef struct {
    weir_guard_build_t build;
    const weir_guard_view_t *from;
    weir_guard_cursor_t cursor; /* in from */
    size_t room;
    bool cut;
} layer_t;

static void put(layer_t *layer, const char *text, size_t len, size_t start, size_t end)
{
    size_t a = 0;
    size_t b = 0;
    if (len > layer->room) {
        layer->cut = true;
        len = layer->room;
    }
    layer->room -= len;
    weir_guard_cursor_span(&layer->cursor, start, end, &a, &b);
    weir_guard_build_replace(&layer->build, text, len, a, b);
}

static void end_line(layer_t *layer, size_t at)
{
    size_t a = 0;
    size_t b = 0;
    weir_guard_cursor_span(&layer->cursor, at, at + 1, &a, &b);
    weir_guard_build_replace(&layer->build, "\n", 1, a, a);
}

/* A run of base64 characters, [start, end), at least MIN_BASE64 long. */
static void base64_run(layer_t *layer, size_t start, size_t end)
{
    char out[1024];
    const char *text = layer->from->text;
    bool hex = (end - start) % 2 == 0;
    for (size_t i = start; i < end && hex; i++) {
        hex = weir_hex_digit(text[i]) >= 0;
    }
    size_t whole = hex ? (end - start) / 2 : (end - start) * 3 / 4;
    size_t put_so_far = 0;
    size_t n = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    if ((end - start) % 4 == 1 && !hex) {
        return;
    }
    for (size_t i = start; i < end; i++) {
        bits = hex ? bits << 4 | (uint32_t)weir_hex_digit(text[i])
                   : bits << 6 | (uint32_t)value64(text[i]);
        have += hex ? 4 : 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have);
        }
        if (n == sizeof(out) || (i + 1 == end && n > 0)) {
            if (!readable(out, n) || (put_so_far == 0 && !plausible_utf8(out, n))) {
                break;
            }
            put(layer, out, n, start, end);
            put_so_far += n;
            n = 0;
        }
    }
    if (put_so_far > 0 && whole > 0) {
        end_line(layer, end - 1);
    }
}

/* Runs of base64 characters, found by halves of 16 bytes that are nothing else. */
static bool all64(const char *text)
{
#if defined(__SSE2__)
    __m128i v = _mm_loadl_epi64((const __m128i *)(const void *)text);
    __m128i folded = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
    __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('/')); /* '/' and the digits */
    __m128i ok =
        _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(folded, _mm_set1_epi8(25)), folded),
                                  _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(10)), digit)),
                     _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('+')),
                                  _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('-')),
                                               _mm_cmpeq_epi8(v, _mm_set1_epi8('_')))));
    return (_mm_movemask_epi8(ok) & 0xff) == 0xff;
#else
    for (int i = 0; i < 8; i++) {
        if (value64(text[i]) < 0) {
            return false;
        }
    }
    return true;
#endif
}

static void find_base64(layer_t *layer)
{
    const char *text = layer->from->text;
    size_t len = layer->from->len;
    for (size_t at = 0; at + 8 <= len; at += 16) {
        /* Every run of 24 covers an eight that begins at a multiple of sixteen. */
        if (!all64(text + at)) {
            continue;
        }
        size_t start = at;
        while (start > 0 && at - start < 16 && value64(text[start - 1]) >= 0) {
            start--;
        }
        size_t end = at + 8;
        while (end < len && value64(text[end]) >= 0) {
            end++;
        }
        /* "key=<base64>" and "/path/<base64>": a name in front that its '=' ends is not in it. */
        if (end - start >= WEIR_GUARD_MIN_BASE64) {
            base64_run(layer, start, end);
        }
        at = end / 16 * 16;
    }
}

/* Hexadecimal digits at text: their value, *used of them, at most most. */
static uint32_t hex_value(const char *text, size_t len, size_t most, size_t *used)
{
    uint32_t v = 0;
    size_t n = 0;
    while (n < len && n < most && weir_hex_digit(text[n]) >= 0) {
        v = v << 4 | (uint32_t)weir_hex_digit(text[n++]);
    }
    *used = n;
    return v;
}

static const struct {
    const char *name;
    char c;
} references[] = {{"amp", '&'},    {"lt", '<'},   {"gt", '>'},      {"quot", '"'},
                  {"apos", '\''},  {"nbsp", ' '}, {"commat", '@'},  {"period", '.'},
                  {"colon", ':'},  {"sol", '/'},  {"num", '#'},     {"lowbar", '_'},
                  {"hyphen", '-'}, {"dash", '-'}, {"plus", '+'},    {"equals", '='},
                  {"lpar", '('},   {"rpar", ')'}, {"excl", '!'},    {"semi", ';'},
                  {"comma", ','},  {"Tab", '\t'}, {"NewLine", '\n'}};

/* A character reference at text ("&#64;", "&#x40;", "&commat;"): its code, *used bytes; 0: none. */
static uint32_t reference(const char *text, size_t len, size_t *used)
{
    uint32_t code = 0;
    size_t i = 1;
    if (len > 3 && text[1] == '#') {
        size_t n = 0;
        if ((text[2] | 0x20) == 'x') {
            code = hex_value(text + 3, len - 3, 6, &n);
            i = 3 + n;
        } else {
            for (i = 2; i < len && n < 7 && weir_is(text[i], WEIR_C_DIGIT); i++, n++) {
                code = code * 10 + (uint32_t)(text[i] - '0');
            }
        }
        if (n == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return 0;
        }
        *used = i + (i < len && text[i] == ';');
        return code;
    }
    while (i < len && i < 9 && weir_is(text[i], WEIR_C_ALPHA)) {
        i++;
    }
    for (size_t r = 0; r < sizeof(references) / sizeof(references[0]); r++) {
        size_t n = strlen(references[r].name);
        if (i < len && text[i] == ';' && i == n + 1 &&
            memcmp(text + 1, references[r].name, n) == 0) {
            *used = i + 1;
            return (uint32_t)(unsigned char)references[r].c;
        }
    }
    return 0;
}

/* An escape at text: its bytes into out, *used of the text; 0: no escape. */
static size_t escape(const char *text, size_t len, char out[4], size_t *used)
{
    size_t n = 0;
    uint32_t code = 0;
    if (text[0] == '%' && len >= 3 && weir_hex_digit(text[1]) >= 0 &&
        weir_hex_digit(text[2]) >= 0) {
        out[0] = (char)((unsigned)weir_hex_digit(text[1]) << 4 | (unsigned)weir_hex_digit(text[2]));
        *used = 3;
        return 1;
    }
    if (text[0] == '\\' && len >= 4 && text[1] == 'x') {
        code = hex_value(text + 2, len - 2, 2, &n);
        out[0] = (char)code;
        *used = 4;
        return n == 2 ? 1 : 0;
    }
    if (text[0] == '\\' && len >= 6 && text[1] == 'u') {
        code = hex_value(text + 2, len - 2, 4, &n);
        *used = 6;
        return n == 4 && (code < 0xd800 || code > 0xdfff) ? (size_t)weir_utf8_encode(code, out) : 0;
    }
    if (text[0] == '&' && len >= 4) {
        code = reference(text, len, used);
        return code == 0 ? 0 : (size_t)weir_utf8_encode(code, out);
    }
    return 0;
}

/* The token around an escape, decoded; returns its end. */
static size_t escaped_token(layer_t *layer, size_t at, size_t done)
{
    const char *text = layer->from->text;
    size_t len = layer->from->len;
    size_t start = at;
    size_t end = at;
    while (start > done && at - start < MAX_TOKEN && (unsigned char)text[start - 1] > ' ') {
        start--;
    }
    while (end < len && end - at < MAX_TOKEN && (unsigned char)text[end] > ' ') {
        end++;
    }
    for (size_t i = start; i < end;) {
        char out[4];
        size_t used = 1;
        size_t n = escape(text + i, end - i, out, &used);
        if (n > 0) {
            put(layer, out, n, i, i + used);
            i += used;
        } else {
            put(layer, text + i, 1, i, i + 1);
            i++;
        }
    }
    end_line(layer, end - 1);
    return end;
}

/* The escapes of all kinds in one walk, so that a token with several kinds is decoded once. */
static void find_escapes(layer_t *layer)
{
    static const char marks[] = "%&\\";
    const char *text = layer->from->text;
    size_t len = layer->from->len;
    size_t next[sizeof(marks) - 1] = {0}; /* where each mark stands next */
    size_t done = 0;
    size_t at = 0;
    for (bool first = true; layer->room > 0; first = false) {
        size_t hit = len;
        for (size_t m = 0; m < sizeof(next) / sizeof(next[0]); m++) {
            if (first || next[m] < at) {
                const char *found = at < len ? memchr(text + at, marks[m], len - at) : NULL;
                next[m] = found == NULL ? len : (size_t)(found - text);
            }
            hit = next[m] < hit ? next[m] : hit;
        }
        char out[4];
        size_t used = 0;
        if (hit == len) {
            return;
        }
        if (escape(text + hit, len - hit, out, &used) == 0) {
            at = hit + 1;
            continue;
        }
        done = escaped_token(layer, hit, done);
        at = done;
    }
}

/* inner maps into the text of outer; *view will map inner's text to where outer's comes from. */
static void compose(weir_guard_build_t *build, const weir_guard_view_t *inner,
                    const weir_guard_view_t *outer)
{
    weir_guard_cursor_t cursor = {.view = outer};
    for (size_t r = 0; r < inner->run_count; r++) {
        const weir_guard_run_t *run = &inner->runs[r];
        size_t end = r + 1 < inner->run_count ? inner->runs[r + 1].view : inner->len;
        for (size_t i = run->view; i < end; i++) {
            size_t a = run->origin + (i - run->view) * run->step;
            size_t b = run->step == 0 ? run->origin_end : a + run->step;
            size_t start = 0;
            size_t stop = 0;
            weir_guard_cursor_span(&cursor, a, b, &start, &stop);
            weir_guard_build_replace(build, inner->text + i, 1, start, stop);
        }
    }
}

/*
 * One layer of what the codes in *from hide, into slots slot and slot + 1. False: there is none.
 */
static bool make_layer(weir_guard_fold_t *fold, unsigned slot, unsigned options,
                       const weir_guard_view_t *from, size_t *room, weir_guard_view_t *view,
                       weir_status_t *status, weir_error_t *err)
{
    layer_t layer = {.from = from, .cursor = {.view = from}, .room = *room};
    weir_guard_build_begin(&layer.build, fold, slot, 0);
    find_base64(&layer);
    find_escapes(&layer);
    *room = layer.room;
    if (layer.build.failed) {
        *status = weir_error(err, WEIR_ERR_NOMEM, "no memory for decoded text");
        return false;
    }
    if (layer.build.len == 0) {
        return false;
    }
    uint32_t flags = WEIR_GUARD_FOLD_DECODED | (layer.cut ? WEIR_GUARD_FOLD_TRUNCATED : 0);
    weir_guard_view_t raw;
    weir_guard_view_t folded;
    weir_guard_build_end(&layer.build, flags, &raw);
    *status = weir_guard_normalise_into(fold, slot + 1, raw.text, raw.len, options, &folded, err);
    if (*status != WEIR_OK) {
        return false;
    }
    if (folded.run_count == 0) {
        *view = raw;
        view->text = folded.text;
    } else {
        weir_guard_build_t build;
        weir_guard_build_begin(&build, fold, slot + 2, folded.len);
        compose(&build, &folded, &raw);
        weir_guard_build_end(&build, flags | folded.flags, view);
        if (build.failed) {
            *status = weir_error(err, WEIR_ERR_NOMEM, "no memory for decoded text");
            return false;
        }
    }
    return true;
}

weir_status_t weir_guard_decoded_views(weir_guard_fold_t *fold, const char *text, size_t len,
                                       unsigned options,
                                       weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS], size_t *count,
                                       weir_error_t *err)
{
    size_t room = WEIR_GUARD_MAX_LAYER;
    weir_status_t status = weir_guard_normalise_into(fold, 0, text, len, options, &views[0], err);
    *count = 1;
    /* Base64 minds its case: codes are looked for before anything is lower-cased. */
    weir_guard_view_t cased = views[0];
    if (status == WEIR_OK && (options & WEIR_GUARD_FOLD_LOWER) != 0) {
        status = weir_guard_normalise_into(fold, 1, text, len, options & ~WEIR_GUARD_FOLD_LOWER,
                                           &cased, err);
    }
    for (unsigned depth = 0; depth < WEIR_GUARD_MAX_DEPTH && status == WEIR_OK; depth++) {
        weir_guard_view_t *view = &views[*count];
        unsigned slot = 2 + depth * 4;
        if (!make_layer(fold, slot, options & ~WEIR_GUARD_FOLD_LOWER, &cased, &room, view, &status,
                        err)) {
            break;
        }
        cased = *view;
        if ((options & WEIR_GUARD_FOLD_LOWER) != 0) {
            weir_guard_build_t build;
            weir_guard_build_begin(&build, fold, slot + 3, view->len);
            if (build.failed) {
                return weir_error(err, WEIR_ERR_NOMEM, "no memory for decoded text");
            }
            weir_guard_lower_ascii(fold->slots[slot + 3].data, view->text, view->len);
            view->text = fold->slots[slot + 3].data;
        }
        (*count)++;
    }
    return status;
}

/* Leet: the letter that a digit or mark stands for between letters; '\0': none. */
static char leet(char c)
{
    static const char from[] = "013457@$!|+";
    static const char to[] = "oieastasilt";
    const char *at = memchr(from, c, sizeof(from) - 1);
    return at == NULL ? '\0' : to[at - from];
}

/* Words that mix letters with leet: the view is made when there are two, or one in a short text. */
static bool leet_view(weir_guard_fold_t *fold, unsigned slot, const weir_guard_view_t *from,
                      weir_guard_view_t *view)
{
    weir_guard_build_t b;
    weir_guard_cursor_t cursor = {.view = from};
    unsigned words = 0;
    const char *text = from->text;
    weir_guard_build_begin(&b, fold, slot, from->len);
    for (size_t i = 0; i < from->len && !b.failed;) {
        size_t start = i;
        size_t letters = 0;
        size_t signs = 0;
        while (i < from->len && (weir_is(text[i], WEIR_C_ALPHA) || leet(text[i]) != '\0')) {
            letters += weir_is(text[i], WEIR_C_ALPHA);
            signs += !weir_is(text[i], WEIR_C_ALPHA);
            i++;
        }
        bool fold_word = letters >= 1 && signs >= 1 && letters + signs >= 3;
        words += fold_word && letters >= 2 && weir_is(text[i - 1], WEIR_C_ALPHA);
        if (!fold_word && from->run_count == 0) {
            i += i == start;
            weir_guard_build_copy(&b, text + start, i - start, start);
            continue;
        }
        for (size_t k = start; k < i; k++) {
            char c = fold_word && leet(text[k]) != '\0' ? leet(text[k]) : text[k];
            size_t a = 0;
            size_t z = 0;
            weir_guard_cursor_span(&cursor, k, k + 1, &a, &z);
            weir_guard_build_replace(&b, &c, 1, a, z);
        }
        if (i == start) {
            size_t a = 0;
            size_t z = 0;
            weir_guard_cursor_span(&cursor, i, i + 1, &a, &z);
            weir_guard_build_replace(&b, text + i, 1, a, z);
            i++;
        }
    }
    weir_guard_build_end(&b, from->flags | WEIR_GUARD_FOLD_LEET, view);
    return !b.failed && words >= (from->len < 160 ? 1 : 2);
}

/* Does a single letter stand at text[i], with the separator behind it that all of a run share? */
static bool lone(const weir_guard_view_t *from, size_t i, char separator)
{
    return i < from->len && weir_is(from->text[i], WEIR_C_ALNUM) &&
           (i + 1 >= from->len || from->text[i + 1] == separator ||
            !weir_is(from->text[i + 1], WEIR_C_ALNUM));
}

/* Letters with one separator between, five or more, joined; more separators part words. */
static bool joined_view(weir_guard_fold_t *fold, unsigned slot, const weir_guard_view_t *from,
                        weir_guard_view_t *view)
{
    weir_guard_build_t b;
    weir_guard_cursor_t cursor = {.view = from};
    bool any = false;
    const char *text = from->text;
    weir_guard_build_begin(&b, fold, slot, from->len);
    for (size_t i = 0; i < from->len && !b.failed;) {
        size_t n = 0;
        char separator = i + 1 < from->len ? text[i + 1] : '\0';
        bool first = i == 0 || !weir_is(text[i - 1], WEIR_C_ALNUM);
        if (first && separator != '\0' && weir_one_of(separator, " .-_*|")) {
            while (lone(from, i + 2 * n, separator) && i + 2 * n + 1 < from->len &&
                   text[i + 2 * n + 1] == separator) {
                n++;
            }
            n += lone(from, i + 2 * n, separator);
        }
        size_t step = n >= 5 ? 2 : 1;
        any |= n >= 5;
        n = n >= 5 ? n : 1;
        for (size_t k = 0; k < n; k++) {
            size_t a = 0;
            size_t z = 0;
            weir_guard_cursor_span(&cursor, i + k * step, i + k * step + 1, &a, &z);
            weir_guard_build_replace(&b, text + i + k * step, 1, a, z);
        }
        i += n > 1 ? 2 * n - 1 : 1;
    }
    weir_guard_build_end(&b, from->flags | WEIR_GUARD_FOLD_JOINED, view);
    return any && !b.failed;
}

/* Bits of letters, of letters and digits, and of spaces, in 64 bytes. */
typedef struct {
    uint64_t letters;
    uint64_t alnum;
    uint64_t spaces;
} kinds_t;

static kinds_t kinds_of(const char *text)
{
    kinds_t k = {0};
#if defined(__SSE2__)
    for (int i = 0; i < 64; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(text + i));
        __m128i l = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i d = _mm_sub_epi8(v, _mm_set1_epi8('0'));
        __m128i s = _mm_cmpeq_epi8(v, _mm_set1_epi8(' '));
        l = _mm_cmpeq_epi8(_mm_min_epu8(l, _mm_set1_epi8(25)), l);
        d = _mm_or_si128(l, _mm_cmpeq_epi8(_mm_min_epu8(d, _mm_set1_epi8(9)), d));
        k.letters |= (uint64_t)(uint32_t)_mm_movemask_epi8(l) << i;
        k.alnum |= (uint64_t)(uint32_t)_mm_movemask_epi8(d) << i;
        k.spaces |= (uint64_t)(uint32_t)_mm_movemask_epi8(s) << i;
    }
#else
    for (int i = 0; i < 64; i++) {
        k.letters |= (uint64_t)weir_is(text[i], WEIR_C_ALPHA) << i;
        k.alnum |= (uint64_t)weir_is(text[i], WEIR_C_ALNUM) << i;
        k.spaces |= (uint64_t)(text[i] == ' ') << i;
    }
#endif
    return k;
}

/*
 * Is a second view worth making? leet: a digit or mark that stands for a letter, between letters;
 * spaced: nine bytes that are alphanumeric and not in turn; the text's end counts as one that is
 * not.
 */
static void look(const weir_guard_view_t *view, bool *leet_like, bool *spaced)
{
    char last[64] = {0};
    *leet_like = false;
    *spaced = false;
    /* Steps of eight bytes less than a block, so that none of nine falls between two. */
    for (size_t at = 0; at < view->len; at += 56) {
        const char *text = view->text + at;
        if (view->len - at < sizeof(last)) {
            memcpy(last, text, view->len - at);
            memset(last + (view->len - at), 0, sizeof(last) - (view->len - at));
            text = last;
        }
        kinds_t k = kinds_of(text);
        uint64_t between = ~(k.letters | k.spaces) & k.letters << 1 & k.letters >> 1;
        for (; between != 0 && !*leet_like; between &= between - 1) {
            *leet_like = leet(text[__builtin_ctzll(between)]) != '\0';
        }
        uint64_t turns = (k.alnum ^ k.alnum >> 1) & UINT64_MAX >> 1;
        turns &= turns >> 1;
        turns &= turns >> 2;
        turns &= turns >> 4;
        *spaced |= turns != 0;
    }
}

weir_status_t weir_guard_views(weir_guard_fold_t *fold, const char *text, size_t len,
                               unsigned options, weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS],
                               size_t *count, weir_error_t *err)
{
    weir_status_t status = weir_guard_decoded_views(fold, text, len, options, views, count, err);
    if (status != WEIR_OK) {
        return status;
    }
    bool leet_like = false;
    bool spaced = false;
    look(&views[0], &leet_like, &spaced);
    if (leet_like) {
        *count += leet_view(fold, WEIR_GUARD_MAX_VIEWS, &views[0], &views[*count]);
    }
    if (spaced) {
        *count += joined_view(fold, WEIR_GUARD_MAX_VIEWS + 1, &views[0], &views[*count]);
    }
    return WEIR_OK;
}
