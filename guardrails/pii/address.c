/*
 * Street addresses, by form: a house number, one to five words and a kind of street (USPS
 * Publication 28 appendix C1 and its common words), post office and military boxes (the same,
 * sections 28 and 225), and names of streets with the number behind them as most of Europe writes
 * (UPU S42 templates). A heuristic: there is no register to check against, and other numbers can
 * stand in front of such words.
 */
#include "guardrails/pii/checks.h"
#include "guardrails/pii/words.h"

#define MAX_WORD  24
#define MAX_WORDS 5

static unsigned kind_of(const weir_guard_scan_t *scan, size_t start, size_t end)
{
    return weir_guard_word_kind(scan->rules, scan->text + start, end - start);
}

/* Behind a street: ", Apt. 971", " Suite 282", "#12". Returns the end with it, or at. */
static size_t unit_end(const weir_guard_scan_t *scan, size_t at)
{
    size_t i = at;
    while (i < scan->len && i - at < 4 && weir_one_of(scan->text[i], " ,.\n")) {
        i++;
    }
    size_t word = weir_guard_word_end(scan, i, MAX_WORD);
    if ((kind_of(scan, i, word) & WEIR_WORD_UNIT) == 0) {
        return at;
    }
    i = word;
    while (i < scan->len && i - word < 3 && weir_one_of(scan->text[i], " .#")) {
        i++;
    }
    size_t number = i;
    while (i < scan->len && i - number < 8 && weir_is(scan->text[i], WEIR_C_ALNUM)) {
        i++;
    }
    return i > number && weir_is(scan->text[number], WEIR_C_ALNUM) ? i : at;
}

/* Behind the letter of a house number: "221B", "12-a", not of "3D"; else at. */
static size_t letter_end(const weir_guard_scan_t *scan, size_t start, size_t at)
{
    size_t letter = at + (at < scan->len && scan->text[at] == '-');
    bool alone = letter + 1 < scan->len && weir_is(scan->text[letter], WEIR_C_ALPHA) &&
                 weir_one_of(scan->text[letter + 1], " ,");
    bool kind = alone && at - start == 1 && scan->text[letter] > 'C' &&
                weir_is(scan->text[letter], WEIR_C_UPPER);
    return alone && !kind ? letter + 1 : at;
}

/* The number first: "72 Acheron Road", "9 Avenue Foch", "221B Baker Street". */
static void number_first(weir_guard_scan_t *scan, size_t start, size_t end)
{
    size_t i = letter_end(scan, start, end);
    size_t stop = 0;
    bool proper = false;
    i += i < scan->len && scan->text[i] == ',';
    for (int w = 0; w <= MAX_WORDS && i + 1 < scan->len && scan->text[i] == ' '; w++) {
        i++;
        size_t word = weir_guard_word_end(scan, i, MAX_WORD);
        if (word == i) {
            break;
        }
        bool capital = weir_guard_capital(scan, i);
        unsigned kind = kind_of(scan, i, word);
        if (w == 0 && capital && (kind & WEIR_WORD_STREET_START) != 0 && word + 1 < scan->len &&
            weir_guard_capital(scan, word + 1)) {
            stop = weir_guard_word_end(scan, word + 1, MAX_WORD);
        } else if (w > 0 && (kind & WEIR_WORD_STREET_KIND) != 0 && capital && proper) {
            stop = word;
        }
        if (!capital && (kind & WEIR_WORD_JOINER) == 0) {
            break;
        }
        proper |= capital;
        i = word;
        i += i < scan->len && scan->text[i] == '.';
    }
    if (stop > 0) {
        weir_guard_emit(scan, WEIR_RULE_ADDRESS, start, unit_end(scan, stop), 0.6f);
    }
}

/* Does the word end like a street of one word ("Hauptstrasse")? */
static bool ends_like_street(const weir_guard_scan_t *scan, size_t start, size_t end)
{
    const char *text = scan->text + start;
    size_t len = end - start;
    /* The last letters of those of three letters and more. */
    bool may = len >= 6 && weir_one_of(text[len - 1], "aegijnrtuz");
    for (const char *s = weir_guard_street_ends; may && *s != '\0';) {
        size_t n = strcspn(s, "|");
        if (n >= 3 && len >= n + 3 && text[len - 1] == s[n - 1] &&
            memcmp(text + len - n, s, n) == 0) {
            return true;
        }
        s += n + (s[n] == '|');
    }
    return (kind_of(scan, start, end) & WEIR_WORD_STREET_END) != 0;
}

/* The number last: "Hauptstrasse 12", "Rua Igreja 25", "ul. Długa 7". */
static void number_last(weir_guard_scan_t *scan, size_t start, size_t end)
{
    size_t at = start;
    size_t stop = end;
    size_t limit = start > 80 ? start - 80 : 0;
    stop += stop < scan->len && weir_is(scan->text[stop], WEIR_C_LOWER);
    for (int w = 0; w < 4 && at > limit + 2 && scan->text[at - 1] == ' '; w++) {
        size_t behind = at - 1;
        behind -= behind > 0 && weir_one_of(scan->text[behind - 1], ",.");
        size_t word = behind;
        while (word > limit &&
               (weir_guard_letter(scan->text[word - 1]) || scan->text[word - 1] == '\'')) {
            word--;
        }
        if (word == behind) {
            return;
        }
        unsigned kind = kind_of(scan, word, behind);
        bool capital = weir_guard_capital(scan, word);
        bool starts = w > 0 && (kind & WEIR_WORD_STREET_START) != 0;
        if (starts || (w == 0 && capital && ends_like_street(scan, word, behind))) {
            weir_guard_emit(scan, WEIR_RULE_ADDRESS, word, unit_end(scan, stop), 0.6f);
            return;
        }
        if (!capital && (kind & WEIR_WORD_JOINER) == 0) {
            return;
        }
        at = word;
    }
}

/* "P.O. Box 123", "PSC 3294, Box 9168", "Unit 1009 Box 0219": at the number of the box. */
static void box(weir_guard_scan_t *scan, size_t start, size_t end)
{
    if (start < 7 || (memcmp(scan->text + start - 4, "Box ", 4) != 0 &&
                      memcmp(scan->text + start - 4, "BOX ", 4) != 0)) {
        return;
    }
    size_t at = start - 5;
    size_t limit = at > 16 ? at - 16 : 0;
    while (at > limit && scan->text[at] != '\n') {
        at--;
        if ((weir_is(scan->text[at], WEIR_C_UPPER)) &&
            (at == 0 || !weir_is(scan->text[at - 1], WEIR_C_ALNUM)) &&
            (memcmp(scan->text + at, "PO ", 3) == 0 || memcmp(scan->text + at, "P.O", 3) == 0 ||
             memcmp(scan->text + at, "PSC ", 4) == 0 || memcmp(scan->text + at, "Unit ", 5) == 0 ||
             memcmp(scan->text + at, "Post ", 5) == 0)) {
            weir_guard_emit(scan, WEIR_RULE_ADDRESS, at, end, 0.6f);
            return;
        }
    }
}

void weir_guard_find_address(weir_guard_scan_t *scan, size_t start, size_t end)
{
    if (end - start > 6 || !weir_guard_free_left(scan, start)) {
        return;
    }
    number_first(scan, start, end);
    if (start > 0 && scan->text[start - 1] == ' ') {
        number_last(scan, start, end);
        box(scan, start, end);
    }
}
