/* Trying patterns and lists at the places that the literals draw attention to. */
#include "guardrails/matcher.h"

#include <math.h>
#include <strings.h>

#define MIN_KEY_RUN 24 /* base64 characters in a row that make a block a key's */
#define MAX_CODED_BLOCK                                                       \
    8192 /* of a block inside a code, so that a stream need not wait for more \
          */

float weir_guard_entropy(const char *text, size_t len)
{
    uint32_t counts[256] = {0};
    float sum = 0;
    if (len == 0) {
        return 0;
    }
    for (size_t i = 0; i < len; i++) {
        counts[(unsigned char)text[i]]++;
    }
    for (size_t i = 0; i < len; i++) {
        uint32_t n = counts[(unsigned char)text[i]];
        if (n > 0) {
            float p = (float)n / (float)len;
            sum -= p * log2f(p);
            counts[(unsigned char)text[i]] = 0;
        }
    }
    return sum;
}

/* Seven of the same character in a row; base64 of zeros may be a key's, when there are not many. */
static bool filler(const char *text, size_t len)
{
    size_t run = 1;
    for (size_t i = 1; i < len; i++) {
        run = text[i] == text[i - 1] ? run + 1 : 1;
        if (run >= (text[i] == 'A' ? 20 : 7)) {
            return true;
        }
    }
    return false;
}

/* Words of examples, by their first character: what holds one is not a secret. */
static const char *const stop_words[][4] = {
    {"example"},
    {"sample"},
    {"placeholder"},
    {"changeme", "change_me"},
    {"your_", "your-", "yourkey"},
    {"xxxxx"},
    {"dummy"},
    {"redacted", "replace"},
    {"<"},
    {"${"},
    {"{{"},
    {"00000000"},
    {"12345678901"},
    {"abcdefgh"},
    {"insert"},
    {"....."},
};
static const uint8_t stop_word_of[128] = {
    ['e'] = 1, ['s'] = 2,  ['p'] = 3,  ['c'] = 4,  ['y'] = 5,  ['x'] = 6,  ['d'] = 7,  ['r'] = 8,
    ['<'] = 9, ['$'] = 10, ['{'] = 11, ['0'] = 12, ['1'] = 13, ['a'] = 14, ['i'] = 15, ['.'] = 16};

static bool stop_word(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        unsigned group =
            c >= 0x80 ? 0 : stop_word_of[weir_is(text[i], WEIR_C_UPPER) ? c | 0x20 : c];
        for (size_t w = 0; group > 0 && stop_words[group - 1][w] != NULL; w++) {
            const char *word = stop_words[group - 1][w];
            size_t n = strlen(word);
            if (n <= len - i && strncasecmp(text + i, word, n) == 0) {
                return true;
            }
        }
    }
    return false;
}

/*
 * The end of a key block whose first line ends at `at`: behind the END line, or where the body
 * stops being one. *closed: there was an END line; *body: something like a key stands in it.
 */
static size_t block_end(const weir_guard_scan_t *scan, size_t at, bool *closed, bool *body)
{
    size_t run = 0;
    *closed = false;
    *body = false;
    size_t begin = at;
    size_t most = scan->len;
    if ((scan->flags & WEIR_GUARD_DECODED) != 0 && most - at > MAX_CODED_BLOCK) {
        most = at + MAX_CODED_BLOCK;
    }
    weir_guard_same_code(scan, at, &begin, &most);
    for (size_t i = at; i < most; i++) {
        char c = scan->text[i];
        if (weir_is(c, WEIR_C_ALNUM) || c == '+' || c == '/' || c == '=') {
            *body |= ++run >= MIN_KEY_RUN;
            continue;
        }
        run = 0;
        if (c == '-' && i + 5 <= most && memcmp(scan->text + i, "-----", 5) == 0) {
            if (i + 8 > most || memcmp(scan->text + i + 5, "END", 3) != 0) {
                return i;
            }
            size_t limit = i + 80 < most ? i + 80 : most;
            for (size_t j = i + 8; j + 5 <= limit; j++) {
                if (memcmp(scan->text + j, "-----", 5) == 0) {
                    *closed = true;
                    return j + 5;
                }
            }
            return limit;
        }
        if (c != ' ' && (c < '\t' || c > '\r') && !weir_one_of(c, "-:,\\.\"'()<>@_*")) {
            return i;
        }
    }
    return most;
}

static void emit_block(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, size_t start,
                       size_t end)
{
    bool closed = false;
    bool body = false;
    size_t stop = block_end(scan, end, &closed, &body);
    /* With more text the END line may be cut: the last bytes are not decided either. */
    bool open = !closed && stop + 80 > scan->len;
    if (open && scan->more) {
        scan->live = start < scan->live ? start : scan->live;
    }
    if (body) {
        uint16_t flags = scan->flags;
        scan->flags |= open ? WEIR_GUARD_OPEN : 0;
        while (stop > end && (unsigned char)scan->text[stop - 1] <= ' ') {
            stop--;
        }
        weir_guard_emit(scan, c->rule, start, stop, c->score);
        scan->flags = flags;
    }
}

/* One match: gates, then the candidate. */
static void judge(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, const PCRE2_SIZE *spans,
                  int count)
{
    size_t start = spans[0];
    size_t end = spans[1];
    if (count > 1 && spans[2] != PCRE2_UNSET) {
        start = spans[2];
        end = spans[3];
    }
    const weir_guard_pattern_t *p = c->source;
    if (start >= end) {
        return;
    }
    if (p == NULL) {
        uint16_t flags = scan->flags;
        scan->flags |= WEIR_GUARD_CUSTOM;
        weir_guard_emit(scan, c->rule, start, end, c->score);
        scan->flags = flags;
        return;
    }
    const char *text = scan->text + start;
    size_t len = end - start;
    scan->work += WEIR_WORK_GATES + len / WEIR_WORK_GATED;
    /* In the order of their cost. */
    if ((p->stop_words && filler(text, len)) || (p->check != NULL && !p->check(text, len)) ||
        (p->stop_words && stop_word(text, len)) ||
        (p->entropy > 0 && weir_guard_entropy(text, len) < p->entropy)) {
        return;
    }
    if (p->span == WEIR_GUARD_SPAN_BLOCK) {
        emit_block(scan, c, start, end);
    } else {
        weir_guard_emit(scan, c->rule, start, end, c->score);
    }
}

void weir_guard_judge_value(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, size_t start,
                            size_t end)
{
    PCRE2_SIZE value[2] = {start, end};
    judge(scan, c, value, 1);
}

/* All matches of a pattern that begin in [start, end), with nothing behind end seen. */
static void match_window(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, size_t start,
                         size_t end)
{
    weir_guard_scratch_t *s = scan->scratch;
    uint32_t flags = c->custom ? PCRE2_NO_UTF_CHECK : 0;
    /* A key block's first line may be cut behind its keyword. */
    bool spans_text = c->custom || c->source->span == WEIR_GUARD_SPAN_BLOCK;
    uint32_t partial = spans_text && scan->more && end == scan->len ? PCRE2_PARTIAL_HARD : 0;
    /* What stands in front of a code's text is another one's. */
    size_t base = c->custom && (scan->flags & WEIR_GUARD_DECODED) != 0 ? start : 0;
    while (start < end) {
        scan->work += WEIR_WORK_MATCH;
        int rc = pcre2_match(c->code, (PCRE2_SPTR)scan->text + base, end - base, start - base,
                             flags | partial, s->match, s->context);
        PCRE2_SIZE *spans = pcre2_get_ovector_pointer(s->match);
        for (int i = 0; base > 0 && i < 4 && (rc > i / 2 || (rc == PCRE2_ERROR_PARTIAL && i < 2));
             i++) {
            spans[i] += spans[i] == PCRE2_UNSET ? 0 : base;
        }
        if (rc == PCRE2_ERROR_PARTIAL) {
            scan->live = spans[0] < scan->live ? spans[0] : scan->live;
            partial = 0;
            continue;
        }
        if (rc < 0) {
            scan->timeouts += rc != PCRE2_ERROR_NOMATCH;
            return;
        }
        judge(scan, c, spans, rc);
        start = spans[1] > start ? spans[1] : start + 1;
    }
}

/* All values in [start, end) with a name in front that begins there too. */
static void match_given(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, size_t start,
                        size_t end)
{
    weir_guard_scratch_t *s = scan->scratch;
    for (size_t at = start; at < end;) {
        scan->work += WEIR_WORK_MATCH;
        int rc = pcre2_match(c->code, (PCRE2_SPTR)scan->text, end, at, PCRE2_NO_UTF_CHECK, s->match,
                             s->context);
        if (rc < 0) {
            scan->timeouts += rc != PCRE2_ERROR_NOMATCH;
            return;
        }
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(s->match);
        PCRE2_SIZE value[2] = {found[0], found[1]};
        bool given = weir_guard_is_given(scan, c, start, value[0]);
        if (given) {
            judge(scan, c, value, 1);
        }
        at = given ? value[1] : value[0] + 1;
    }
}

static void flush(weir_guard_scan_t *scan, uint32_t pattern)
{
    weir_guard_window_t *w = &scan->scratch->windows[pattern];
    const weir_guard_compiled_t *c = &scan->rules->patterns[pattern];
    if (w->end > 0) {
        scan->work += (w->end - w->start) / WEIR_WORK_TRIED;
        if (c->name == NULL) {
            match_window(scan, c, w->start, w->end);
        } else if (weir_guard_has_run(&c->run, scan->text + w->start, w->end - w->start)) {
            match_given(scan, c, w->start, w->end);
        }
        w->end = 0;
    }
}

/* A keyword stands at [at, at + len): its window joins the pending one, or takes its place. */
static void want(weir_guard_scan_t *scan, uint32_t pattern, size_t at, size_t len)
{
    const weir_guard_compiled_t *c = &scan->rules->patterns[pattern];
    weir_guard_window_t *w = &scan->scratch->windows[pattern];
    size_t start = at > c->before ? at - c->before : 0;
    size_t end = at + len + c->after < scan->len ? at + len + c->after : scan->len;
    weir_guard_same_code(scan, at, &start, &end);
    if (w->end > 0 && start > w->end) {
        flush(scan, pattern);
    }
    if (w->end == 0) {
        w->start = (uint32_t)start;
        scan->scratch->pending[pattern / 64] |= 1ull << pattern % 64;
    }
    w->end = (uint32_t)end;
}

static bool word_beside(const weir_guard_scan_t *scan, size_t at, bool before)
{
    if (before ? at == 0 : at >= scan->len) {
        return false;
    }
    char c = scan->text[before ? at - 1 : at];
    return weir_is(c, WEIR_C_ALNUM) || c == '_' ||
           ((unsigned char)c >= 0x80 && (before || (unsigned char)c >= 0xc0));
}

static void emit_value(weir_guard_scan_t *scan, const weir_guard_literal_t *l, size_t at)
{
    size_t end = at + l->len;
    /* Scripts without spaces have no word borders to look for. */
    bool spaced = (unsigned char)l->text[0] < 0xe0;
    if (spaced && (word_beside(scan, at, true) || word_beside(scan, end, false))) {
        return;
    }
    uint16_t flags = scan->flags;
    scan->flags |= WEIR_GUARD_CUSTOM;
    weir_guard_emit(scan, l->rule, at, end, l->score);
    scan->flags = flags;
}

void weir_guard_at_literal(weir_guard_scan_t *scan, const weir_guard_literal_t *literal, size_t at,
                           size_t len)
{
    if (literal->pattern == UINT32_MAX) {
        emit_value(scan, literal, at);
    } else {
        const weir_guard_compiled_t *c = &scan->rules->patterns[literal->pattern];
        want(scan, literal->pattern, at, len);
        if (c->name != NULL && !scan->rules->streaming) {
            weir_guard_named_behind_value(scan, c, at, len);
        }
    }
}

void weir_guard_try_patterns(weir_guard_scan_t *scan)
{
    const weir_guard_rules_t *rules = scan->rules;
    size_t first = rules->no_prefilter ? 0 : rules->custom_from;
    for (size_t word = 0; word * 64 < rules->custom_from; word++) {
        uint64_t bits = scan->scratch->pending[word];
        scan->scratch->pending[word] = 0;
        for (; bits != 0; bits &= bits - 1) {
            uint32_t pattern = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(bits);
            scan->truncated |= scan->work > scan->limit;
            if (rules->no_prefilter || scan->truncated) {
                scan->scratch->windows[pattern].end = 0;
            } else {
                flush(scan, pattern);
            }
        }
    }
    for (size_t i = first; i < rules->pattern_count; i++) {
        size_t at = scan->begin;
        for (;;) {
            size_t end = scan->len;
            weir_guard_same_code(scan, at, &at, &end);
            if (rules->patterns[i].name == NULL) {
                match_window(scan, &rules->patterns[i], at, end);
            } else {
                match_given(scan, &rules->patterns[i], at, end);
            }
            if (end == scan->len) {
                break;
            }
            at = end + 1;
        }
    }
}
