/*
 * What codes hide: base64 (RFC 4648, both alphabets; lines as of RFC 2045 section 6.8 and RFC
 * 7468), hexadecimal, percent (RFC 3986 section 2.1), HTML character references, and the escapes
 * \xHH and \uHHHH.
 *
 * A stream must find in codes what the whole text has in them. So every code is decoded by itself,
 * and what is found in it does not depend on other codes. A run of at most MAX_SHORT characters is
 * decoded as a whole, and is one span. A longer one is decoded in cells, each its own span: a
 * stream may be cut between cells, and goes on with those before the cut as left context. Escapes
 * are decoded with REACH bytes of their token to either side.
 */
#include "guardrails/codes.h"

#include "engine/base/base64.h"
#include "engine/base/hex.h"
#include "engine/base/utf8.h"
#include "guardrails/matcher.h"

#include <stdlib.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define MAX_SHORT    8192
#define CELL         64   /* characters of a long run without lines */
#define LEFT_RUN     1024 /* characters of a long run in front of what is wanted */
#define MIN_LINE     40   /* of a run in lines */
#define MAX_LINE     128
#define MAX_BREAK    8 /* white space between two lines */
#define REACH        2048
#define REACH_NESTED 256

/*
 * Could bytes that decode like this be UTF-8, cut at the end, and with `inside` at the beginning?
 * Random bytes above ASCII almost never are.
 */
static bool plausible_utf8(const char *text, size_t len, bool inside)
{
    size_t i = 0;
    while (inside && i < 3 && i < len && ((unsigned char)text[i] & 0xc0) == 0x80) {
        i++;
    }
    while (i < len) {
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

/* Is it text rather than something binary? Nine of ten bytes are printable or above ASCII. */
static bool readable(const char *text, size_t len, bool inside)
{
    size_t good = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        good += (c >= 0x20 && c != 0x7f) || (c >= '\t' && c <= '\r');
    }
    return good * 10 >= len * 9 && plausible_utf8(text, len, inside);
}

typedef struct {
    weir_guard_codes_t *codes;
    weir_guard_cursor_t cursor; /* in codes->from */
    const char *text;           /* of codes->from */
    size_t len;
    size_t wanted; /* of codes->from; 0 in a layer */
    struct run_s {
        size_t start;
        size_t end;  /* as far as it is seen */
        size_t sure; /* as far as it goes whatever follows */
        bool lines;
        bool open; /* more text may belong to it */
    } late;        /* a long run that the text ends in; end 0: none */
} layer_t;

typedef struct run_s run_t;

static void put(layer_t *layer, const char *text, size_t len, size_t start, size_t end)
{
    weir_guard_codes_t *codes = layer->codes;
    size_t a = 0;
    size_t b = 0;
    if (len > codes->room) {
        codes->cut = true;
        len = codes->room;
    }
    codes->room -= len;
    weir_guard_cursor_span(&layer->cursor, start, end, &a, &b);
    weir_guard_build_replace(&codes->build, text, len, a, b);
}

/* Bytes of codes->from as they are. */
static void put_plain(layer_t *layer, size_t start, size_t len)
{
    weir_guard_codes_t *codes = layer->codes;
    if (len > codes->room) {
        codes->cut = true;
        len = codes->room;
    }
    codes->room -= len;
    weir_guard_build_mapped(&codes->build, layer->text + start, len, &layer->cursor, start);
}

/*
 * Behind what a code hides. No entity goes over it: white space ends the ones that are tokens, and
 * the separator, which is none, those with white space in them; scan.c looks for it.
 */
static void end_code(layer_t *layer, size_t at)
{
    weir_guard_codes_t *codes = layer->codes;
    size_t a = 0;
    size_t b = 0;
    weir_guard_cursor_span(&layer->cursor, at, at + 1, &a, &b);
    weir_guard_build_replace(&codes->build, (const char[]){'\n', WEIR_CODE_BORDER, '\n'},
                             codes->apart ? 3 : 1, a, a);
}

/* No hold shall come to lie inside of [start, end). */
static void keep_whole(layer_t *layer, size_t start, size_t end)
{
    weir_guard_fold_t *fold = layer->codes->build.fold;
    size_t a = 0;
    size_t b = 0;
    if (!layer->codes->atoms) {
        return;
    }
    if (fold->atom_count == fold->atom_cap) {
        size_t cap = fold->atom_cap * 2 + 64;
        weir_guard_atom_t *grown = realloc(fold->atoms, cap * sizeof(*grown));
        if (grown == NULL) {
            layer->codes->build.failed = true;
            return;
        }
        fold->atoms = grown;
        fold->atom_cap = cap;
    }
    weir_guard_cursor_span(&layer->cursor, start, end, &a, &b);
    fold->atoms[fold->atom_count++] = (weir_guard_atom_t){(uint32_t)a, (uint32_t)b};
}

/* --- base64 and hexadecimal --- */

/* Characters of the code in [start, end), white space aside; *hex: all are hexadecimal digits, in
 * pairs. */
static size_t count_code(const char *text, size_t start, size_t end, bool *hex)
{
    size_t n = 0;
    *hex = true;
    for (size_t i = start; i < end; i++) {
        if ((unsigned char)text[i] > ' ') {
            n++;
            *hex = *hex && weir_hex_digit(text[i]) >= 0;
        }
    }
    *hex = *hex && n % 2 == 0;
    return n;
}

/* Decodes from *at on until room is full or end is reached; *bits and *have go on. */
static size_t decode_some(const char *text, size_t *at, size_t end, bool hex, char *out,
                          size_t room, uint32_t *bits, unsigned *have)
{
    size_t n = 0;
    size_t i = *at;
    for (; i < end && n < room; i++) {
        if ((unsigned char)text[i] <= ' ') {
            continue;
        }
        *bits = hex ? *bits << 4 | (uint32_t)weir_hex_digit(text[i])
                    : *bits << 6 | (uint32_t)weir_base64_value(text[i]);
        *have += hex ? 4 : 6;
        if (*have >= 8) {
            *have -= 8;
            out[n++] = (char)(*bits >> *have);
        }
    }
    *at = i;
    return n;
}

/* A run that is one span. False: it hides no text. */
static bool short_run(layer_t *layer, size_t start, size_t end)
{
    char out[1024];
    bool hex = false;
    bool some = false;
    uint32_t bits = 0;
    unsigned have = 0;
    size_t count = count_code(layer->text, start, end, &hex);
    if (count % 4 == 1 && !hex) {
        return false;
    }
    for (size_t at = start; at < end;) {
        size_t n = decode_some(layer->text, &at, end, hex, out, sizeof(out), &bits, &have);
        if (n == 0 || (!some && n < 6) || !readable(out, n, some)) {
            break;
        }
        put(layer, out, n, start, end);
        some = true;
    }
    if (some) {
        end_code(layer, end - 1);
    }
    return some;
}

/* Behind the end of a line: where the next one begins, len if the text ends before; 0: it is no
 * line's end. */
static size_t next_line(const layer_t *layer, size_t at)
{
    size_t i = at;
    size_t ends = 0;
    while (i < layer->len && i - at <= MAX_BREAK &&
           (layer->text[i] == ' ' || (layer->text[i] >= '\t' && layer->text[i] <= '\r'))) {
        ends += layer->text[i] == '\n';
        i++;
    }
    if (ends > 1 || i - at > MAX_BREAK) {
        return 0;
    }
    return i == layer->len || ends == 1 ? i : 0;
}

static size_t run_end(const layer_t *layer, size_t at)
{
    while (at < layer->len && weir_base64_value(layer->text[at]) >= 0) {
        at++;
    }
    return at;
}

/* A shorter line ends the run, where it does not seem to be a word and the beginning of prose. */
static bool last_line(const layer_t *layer, size_t start, size_t end)
{
    bool lower = false;
    for (size_t i = start; i < end; i++) {
        char c = layer->text[i];
        lower = lower || weir_is(c, WEIR_C_LOWER);
        if (!weir_is(c, WEIR_C_ALPHA) || (lower && weir_is(c, WEIR_C_UPPER))) {
            return true;
        }
    }
    return weir_one_of(layer->text[end], "\n\r=\"'<)}],;`");
}

/*
 * The run that begins at run->start. It goes on over lines of full groups of four that are not
 * longer than the one before; a shorter one is the last.
 */
static void read_run(const layer_t *layer, run_t *run)
{
    size_t line = run->start;
    bool more = layer->codes->more;
    run->end = run_end(layer, line);
    run->sure = run->end;
    run->lines = false;
    run->open = more && run->end == layer->len;
    while (run->end < layer->len) {
        size_t n = run->end - line;
        size_t next = next_line(layer, run->end);
        if (n < MIN_LINE || n > MAX_LINE || n % 4 != 0 || next == 0) {
            return;
        }
        size_t end = run_end(layer, next);
        size_t m = end - next;
        if (m > n || (m == 0 && next < layer->len)) {
            return;
        }
        if (end == layer->len && (more || m == 0)) {
            run->open = more;
            run->end = m > 0 ? end : run->end;
            run->lines = run->lines || m > 0;
            return;
        }
        if (m < n && end < layer->len && !last_line(layer, next, end)) {
            return;
        }
        line = next;
        run->lines = true;
        run->end = end;
        run->sure = end;
    }
}

/* One cell of a long run. False: it is not text. */
static bool cell(layer_t *layer, size_t start, size_t end)
{
    char out[MAX_LINE];
    bool hex = false;
    uint32_t bits = 0;
    unsigned have = 0;
    size_t at = start;
    count_code(layer->text, start, end, &hex);
    size_t n = decode_some(layer->text, &at, end, hex, out, sizeof(out), &bits, &have);
    if (n == 0 || !readable(out, n, true)) {
        return false;
    }
    put(layer, out, n, start, end);
    return true;
}

static void long_run(layer_t *layer, const run_t *run)
{
    weir_guard_codes_t *codes = layer->codes;
    size_t at = run->start;
    bool text = false; /* the cell before was */
    size_t open = SIZE_MAX;
    if (!run->lines && at < layer->wanted) {
        size_t before = layer->wanted - at < LEFT_RUN ? layer->wanted - at : LEFT_RUN;
        at = layer->wanted - before / CELL * CELL;
    }
    while (at < run->end) {
        size_t end = run->lines ? run_end(layer, at) : run->end - at > CELL ? at + CELL : run->end;
        if (run->open && end == run->end && (run->lines ? end == layer->len : end < at + CELL)) {
            break;
        }
        if (end + LEFT_RUN > layer->wanted) {
            keep_whole(layer, at, end);
            size_t from = codes->build.len;
            bool good = cell(layer, at, end);
            if (text && !good) {
                end_code(layer, at);
            } else if (!text && good) {
                open = from;
            }
            text = good;
        }
        at = end;
        while (at < run->end && (unsigned char)layer->text[at] <= ' ') {
            at++;
        }
    }
    if (run->open) {
        codes->hold = at < codes->hold ? at : codes->hold;
        codes->open = text ? open : codes->open;
    } else if (text) {
        end_code(layer, run->end - 1);
    }
}

static void take_run(layer_t *layer, const run_t *run)
{
    weir_guard_codes_t *codes = layer->codes;
    size_t start = 0;
    size_t end = 0;
    if (!run->lines && run->end - run->start < WEIR_GUARD_MIN_BASE64 && !run->open) {
        return;
    }
    weir_guard_cursor_span(&layer->cursor, run->start, run->end, &start, &end);
    if (run->sure - run->start > MAX_SHORT || start < codes->wanted) {
        /* In a layer nobody knows where the cells of a run begin that has been cut. */
        if (codes->nested || (end <= codes->wanted && !run->open) ||
            run->end - run->start < WEIR_GUARD_MIN_BASE64) {
            return;
        }
        if (run->open) {
            layer->late = *run;
        } else {
            long_run(layer, run);
        }
        return;
    }
    if (run->open) {
        codes->hold = run->start < codes->hold ? run->start : codes->hold;
        return;
    }
    keep_whole(layer, run->start, run->end);
    if (short_run(layer, run->start, run->end) || !run->lines) {
        return;
    }
    for (size_t at = run->start; at < run->end;) {
        size_t stop = run_end(layer, at);
        if (stop - at >= WEIR_GUARD_MIN_BASE64) {
            short_run(layer, at, stop);
        }
        at = stop;
        while (at < run->end && (unsigned char)layer->text[at] <= ' ') {
            at++;
        }
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
        if (weir_base64_value(text[i]) < 0) {
            return false;
        }
    }
    return true;
#endif
}
static void find_runs(layer_t *layer)
{
    const char *text = layer->text;
    size_t len = layer->len;
    size_t begin =
        layer->wanted > WEIR_GUARD_LEFT_CODED ? layer->wanted - WEIR_GUARD_LEFT_CODED : 0;
    size_t behind = begin; /* the last run */
    for (size_t at = begin; at + 8 <= len; at += 16) {
        /* Every run of 24 covers an eight that begins at a multiple of sixteen. */
        if (!all64(text + at)) {
            continue;
        }
        run_t run = {.start = at};
        while (run.start > behind && at - run.start < 16 &&
               weir_base64_value(text[run.start - 1]) >= 0) {
            run.start--;
        }
        read_run(layer, &run);
        take_run(layer, &run);
        behind = run.end;
        at = begin + (run.end - begin) / 16 * 16;
    }
}

/* --- escapes --- */

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

static bool is_mark(char c)
{
    return c == '%' || c == '&' || c == '\\';
}

/*
 * The token around an escape at `at`, decoded as far as REACH bytes from its escapes; returns where
 * it ends.
 */
static size_t escaped_token(layer_t *layer, size_t at)
{
    const char *text = layer->text;
    size_t len = layer->len;
    size_t reach = layer->codes->nested ? REACH_NESTED : REACH;
    size_t least = layer->wanted > REACH ? layer->wanted - REACH : 0;
    size_t i = at;
    size_t last = at;
    size_t open = layer->codes->build.len;
    while (i > least && at - i < reach && (unsigned char)text[i - 1] > ' ') {
        i--;
    }
    size_t plain = i; /* from here to i nothing is an escape */
    while (i < len && (i < last || i - last < reach) && (unsigned char)text[i] > ' ') {
        char out[4];
        size_t used = 1;
        size_t n = is_mark(text[i]) ? escape(text + i, len - i, out, &used) : 0;
        if (n > 0) {
            put_plain(layer, plain, i - plain);
            put(layer, out, n, i, i + used);
            last = i + used;
            plain = last;
        }
        i += n > 0 ? used : 1;
    }
    put_plain(layer, plain, i - plain);
    if (i == len && layer->codes->more) {
        layer->codes->open = open;
    } else {
        end_code(layer, i - 1);
    }
    return i;
}

/* The escapes of all kinds in one walk, so that a token with several kinds is decoded once. */
static void find_escapes(layer_t *layer)
{
    static const char marks[] = "%&\\";
    const char *text = layer->text;
    size_t len = layer->len;
    size_t next[sizeof(marks) - 1] = {0}; /* where each mark stands next */
    size_t at = layer->wanted > REACH + 16 ? layer->wanted - REACH - 16 : 0;
    for (bool first = true; layer->codes->room > 0; first = false) {
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
        at = escape(text + hit, len - hit, out, &used) == 0 ? hit + 1 : escaped_token(layer, hit);
    }
}

bool weir_guard_decode_codes(weir_guard_codes_t *codes, weir_guard_fold_t *fold, unsigned slot)
{
    layer_t layer = {.codes = codes,
                     .cursor = {.view = codes->from},
                     .text = codes->from->text,
                     .len = codes->from->len};
    if (!codes->nested) {
        layer.wanted = weir_guard_view_at(codes->from, codes->wanted);
    }
    codes->hold = SIZE_MAX;
    codes->open = SIZE_MAX;
    codes->cut = false;
    weir_guard_build_begin(&codes->build, fold, slot, 0);
    if (codes->apart) {
        weir_guard_build_replace(&codes->build, "\n", 1, 0, 0);
    }
    size_t empty = codes->build.len;
    find_runs(&layer);
    find_escapes(&layer);
    if (layer.late.end > 0) {
        long_run(&layer, &layer.late);
    }
    return codes->build.len > empty;
}
