/*
 * Dates of birth: a calendar date (ISO 8601-1 and the usual national orders) with a word of birth
 * near it. Dates with the month in words can span several words, and a stream cannot decide them in
 * time: they count only in sets with a window.
 */
#include "guardrails/pii/checks.h"

#include <strings.h>

static const char *const months[] = {"january",   "february", "march",    "april",
                                     "may",       "june",     "july",     "august",
                                     "september", "october",  "november", "december"};

/* Month number of the word of letters at text (three of them, "sept", or in full), 0: none. */
static unsigned month_of(const char *text, size_t len)
{
    if (len < 3 || len > 9) {
        return 0;
    }
    char first = (char)(text[0] | 0x20);
    char second = (char)(text[1] | 0x20);
    char third = (char)(text[2] | 0x20);
    for (unsigned m = 0; m < 12; m++) {
        if (third == months[m][2] && second == months[m][1] && first == months[m][0]) {
            bool full = len == strlen(months[m]) && strncasecmp(text, months[m], len) == 0;
            bool sept = m == 8 && len == 4 && (text[3] | 0x20) == 't';
            return len == 3 || full || sept ? m + 1 : 0;
        }
    }
    return 0;
}

static bool plausible(unsigned year, unsigned month, unsigned day)
{
    return year >= 1900 && year <= 2099 && weir_guard_is_date(year, month, day);
}

static size_t digits_at(const weir_guard_scan_t *scan, size_t at)
{
    size_t n = 0;
    while (at + n < scan->len && n < 9 && weir_is(scan->text[at + n], WEIR_C_DIGIT)) {
        n++;
    }
    return n;
}

/* A date of three numbers with the same separator: returns its end, or start. */
static size_t numeric_end(const weir_guard_scan_t *scan, size_t start)
{
    const char *t = scan->text;
    size_t n1 = digits_at(scan, start);
    size_t at = start + n1;
    if (n1 == 8) {
        bool year_first =
            plausible(weir_guard_value(t + start, 4), weir_guard_value(t + start + 4, 2),
                      weir_guard_value(t + start + 6, 2));
        return year_first ? at : start;
    }
    if ((n1 != 4 && n1 != 1 && n1 != 2) || at + 2 >= scan->len || !weir_one_of(t[at], "-/.")) {
        return start;
    }
    size_t n2 = digits_at(scan, at + 1);
    size_t second = at + 1 + n2;
    if (n2 < 1 || n2 > 2 || second + 1 >= scan->len || t[second] != t[at]) {
        return start;
    }
    size_t n3 = digits_at(scan, second + 1);
    size_t end = second + 1 + n3;
    unsigned a = weir_guard_value(t + start, n1);
    unsigned b = weir_guard_value(t + at + 1, n2);
    unsigned c = n3 <= 4 ? weir_guard_value(t + second + 1, n3) : 0;
    if (n1 == 4) {
        return n3 >= 1 && n3 <= 2 && plausible(a, b, c) ? end : start;
    }
    if (n3 == 2) {
        c += c > 30 ? 1900 : 2000;
    } else if (n3 != 4) {
        return start;
    }
    return plausible(c, b, a) || plausible(c, a, b) ? end : start;
}

/* "12 March 1980", "12th of March, 1980": day, month in words, year. */
static size_t worded_end(const weir_guard_scan_t *scan, size_t start)
{
    const char *t = scan->text;
    size_t n = digits_at(scan, start);
    unsigned day = weir_guard_value(t + start, n > 2 ? 0 : n);
    size_t at = start + n;
    if (n < 1 || n > 2) {
        return start;
    }
    if (at + 2 < scan->len && weir_is(t[at], WEIR_C_LOWER) && weir_is(t[at + 1], WEIR_C_LOWER)) {
        at += 2;
    }
    at += at < scan->len && t[at] == '.';
    at += at < scan->len && (t[at] == ' ' || t[at] == '-');
    if (at + 3 < scan->len && memcmp(t + at, "of ", 3) == 0) {
        at += 3;
    }
    size_t word = at;
    while (at < scan->len && at - word < 10 && weir_is(t[at], WEIR_C_ALPHA)) {
        at++;
    }
    unsigned month = month_of(t + word, at - word);
    while (month != 0 && at < scan->len && weir_one_of(t[at], " ,.-") && at - word < 14) {
        at++;
    }
    if (month == 0 || digits_at(scan, at) != 4 ||
        !plausible(weir_guard_value(t + at, 4), month, day)) {
        return start;
    }
    return at + 4;
}

/* "March 12, 1980": start is the day's first digit; *first becomes the month's first letter. */
static size_t american_end(const weir_guard_scan_t *scan, size_t start, size_t *first)
{
    const char *t = scan->text;
    size_t n = digits_at(scan, start);
    if (n < 1 || n > 2 || start < 4 || t[start - 1] != ' ') {
        return start;
    }
    size_t stop = start - 1 - (t[start - 2] == '.');
    size_t word = stop;
    while (word > 0 && stop - word < 10 && weir_is(t[word - 1], WEIR_C_ALPHA)) {
        word--;
    }
    unsigned month = month_of(t + word, stop - word);
    size_t at = start + n;
    if (at + 2 < scan->len && weir_is(t[at], WEIR_C_LOWER) && weir_is(t[at + 1], WEIR_C_LOWER)) {
        at += 2;
    }
    for (int skip = 0; skip < 2 && at < scan->len && (t[at] == ',' || t[at] == ' '); skip++) {
        at++;
    }
    if (month == 0 || digits_at(scan, at) != 4 ||
        !plausible(weir_guard_value(t + at, 4), month, weir_guard_value(t + start, n))) {
        return start;
    }
    *first = word;
    return at + 4;
}

void weir_guard_find_date(weir_guard_scan_t *scan, size_t start, size_t end)
{
    if (end - start > 8 || !weir_guard_column_left(scan, start)) {
        return;
    }
    size_t first = start;
    size_t stop = numeric_end(scan, start);
    if (stop == start && !scan->rules->streaming) {
        stop = worded_end(scan, start);
        if (stop == start) {
            stop = american_end(scan, start, &first);
        }
    }
    if (stop == start || !weir_guard_column_right(scan, stop, false)) {
        return;
    }
    bool born = weir_guard_near(scan, first, stop, WEIR_CONTEXT_BIRTH);
    weir_guard_emit(scan, WEIR_RULE_BIRTH, first, stop, born ? 0.85f : 0.2f);
    if (end - start != 8) {
        weir_guard_emit(scan, WEIR_RULE_DATE, first, stop, 0.6f);
    }
}
