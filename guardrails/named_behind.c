/*
 * The name behind the value: "2f9c... is my loggly token", "use 2f9c... as the loggly token". Only
 * for sets with right context. A service's keyword is looked at; in front of it must stand an
 * article or none, a word that connects, and the value; behind it a word for keys.
 */
#include "guardrails/matcher.h"

#include <strings.h>

#define LONGEST_VALUE 200 /* ordinary named values have at most 128 */
#define LONGEST_NAME  32
#define TO_KEY_WORD   16 /* characters between the name and a word for keys */

static bool word(char c)
{
    return weir_is(c, WEIR_C_ALNUM) || c == '_';
}

/* Steps back over one of the words and the blanks in front of it; at: there is none. */
static size_t step_back(const char *text, size_t at, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(words[i]);
        if (at > n && strncasecmp(text + at - n, words[i], n) == 0 && text[at - n - 1] == ' ') {
            return at - n - 1;
        }
    }
    return at;
}

/* Where a value in front of the name at `at` would have to end; 0: there is none. */
static size_t value_end(const char *text, size_t at)
{
    static const char *const articles[] = {"my",  "our",   "the", "your", "his",
                                           "her", "their", "its", "a",    "an"};
    static const char *const connect[] = {"is", "as", "for", "was"};
    if (at < 4 || text[at - 1] != ' ') {
        return 0;
    }
    size_t end = at - 1;
    end = step_back(text, end, articles, sizeof(articles) / sizeof(articles[0]));
    size_t behind = step_back(text, end, connect, sizeof(connect) / sizeof(connect[0]));
    if (behind == end) {
        return 0;
    }
    behind -= behind > 0 && weir_one_of(text[behind - 1], ",)");
    behind -= behind > 0 && weir_one_of(text[behind - 1], "\"'`");
    return behind;
}

/* A word for keys within reach behind the name that ends at `at`. */
static bool key_word_behind(const weir_guard_scan_t *scan, size_t at)
{
    static const char *const words[] = {"key", "token", "secret", "password", "credential"};
    size_t limit = at + TO_KEY_WORD < scan->len ? at + TO_KEY_WORD : scan->len;
    for (; at < limit; at++) {
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            size_t n = strlen(words[i]);
            if (scan->len - at >= n && strncasecmp(scan->text + at, words[i], n) == 0) {
                return true;
            }
        }
        if (!word(scan->text[at]) && !weir_one_of(scan->text[at], " -.'")) {
            return false;
        }
    }
    return false;
}

void weir_guard_named_behind_value(weir_guard_scan_t *scan, const weir_guard_compiled_t *c,
                                   size_t at, size_t len)
{
    size_t from = 0;
    size_t to = scan->len;
    size_t end = value_end(scan->text, at);
    weir_guard_same_code(scan, at, &from, &to);
    if (end <= from || !key_word_behind(scan, at + len)) {
        return;
    }
    weir_guard_scratch_t *s = scan->scratch;
    size_t limit = at + LONGEST_NAME < to ? at + LONGEST_NAME : to;
    scan->work += WEIR_WORK_NAME + WEIR_WORK_MATCH;
    if (pcre2_match(c->name, (PCRE2_SPTR)scan->text, limit, at, PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED,
                    s->match, s->context) < 0) {
        return;
    }
    size_t start = end - from > LONGEST_VALUE ? end - LONGEST_VALUE : from;
    while (start < end && pcre2_match(c->code, (PCRE2_SPTR)scan->text, scan->len, start,
                                      PCRE2_NO_UTF_CHECK, s->match, s->context) >= 0) {
        const PCRE2_SIZE *found = pcre2_get_ovector_pointer(s->match);
        if (found[0] >= end) {
            return;
        }
        if (found[1] == end) {
            weir_guard_judge_value(scan, c, found[0], found[1]);
            return;
        }
        start = found[0] + 1;
    }
}
