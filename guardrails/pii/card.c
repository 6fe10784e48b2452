/*
 * Payment cards: ISO/IEC 7812-1 (issuer number, 12 to 19 digits, the Luhn digit of its annex B).
 * Issuer ranges and lengths from the networks' public BIN tables: Visa 4; Mastercard 51-55 and
 * 2221-2720; American Express 34, 37; Discover 6011, 644-649, 65; Diners 300-305, 3095, 36, 38, 39;
 * JCB 3528-3589 and the old 15-digit 1800, 2131; UnionPay 62; Maestro 50, 56-58, 6; Mir 2200-2204.
 * Outside of these a number that passes Luhn still counts where words about cards stand near.
 */
#include "guardrails/matcher.h"
#include "guardrails/pii/checks.h"

/* Does the number fall into an issuer's range with one of its lengths? 2: beyond doubt. */
static int issuer(const char *d, size_t n)
{
    unsigned first = (unsigned)(d[0] - '0');
    unsigned two = first * 10 + (unsigned)(d[1] - '0');
    unsigned three = two * 10 + (unsigned)(d[2] - '0');
    unsigned four = three * 10 + (unsigned)(d[3] - '0');
    if (first == 4) {
        return n == 16 ? 2 : n == 13 || n == 19;
    }
    if ((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) {
        return n == 16 ? 2 : 0;
    }
    if (two == 34 || two == 37) {
        return n == 15 ? 2 : 0;
    }
    if (four == 6011 || (three >= 644 && three <= 649) || two == 65) {
        return n == 16 ? 2 : n == 19;
    }
    if ((three >= 300 && three <= 305) || four == 3095 || two == 36 || two == 38 || two == 39) {
        return n == 14 ? 1 : n >= 16;
    }
    if (four >= 3528 && four <= 3589) {
        return n == 16 ? 2 : n > 16;
    }
    if (four == 1800 || four == 2131) {
        return n == 15;
    }
    if (two == 62) {
        return n >= 16;
    }
    if (four >= 2200 && four <= 2204) {
        return n >= 16;
    }
    /* Of Maestro's 6 only what the issuers publish: 604 to 608 are RuPay, Elo, Hipercard. */
    bool six =
        four == 6304 || four == 6390 || two == 67 || (three >= 604 && three <= 608) || three == 636;
    return (six || two == 50 || (two >= 56 && two <= 58)) && n <= 16;
}

/* Groups in which cards are printed. */
static const uint8_t groupings[][5] = {{4, 4, 4, 4, 0}, {4, 6, 5, 0, 0}, {4, 6, 4, 0, 0},
                                       {4, 4, 4, 4, 3}, {4, 4, 4, 1, 0}, {4, 4, 5, 0, 0}};

/* Groups of digits from a place on, with the same separator between them. */
typedef struct {
    char digits[24];
    size_t count;
    uint8_t groups[6]; /* lengths */
    size_t ends[5];
    unsigned parts;
    bool odd; /* dots, strokes or two blanks between: only with an issuer's number */
} printed_t;

static void read_printed(const weir_guard_scan_t *scan, size_t start, printed_t *p)
{
    size_t i = start;
    char separator = '\0';
    while (p->parts < 5) {
        size_t from = i;
        while (i < scan->len && weir_is(scan->text[i], WEIR_C_DIGIT) && i - from < 7) {
            p->digits[p->count < 23 ? p->count++ : 23] = scan->text[i];
            i++;
        }
        if (i == from || i - from > 6 || p->count > 19) {
            return;
        }
        p->groups[p->parts] = (uint8_t)(i - from);
        p->ends[p->parts++] = i;
        if (i + 1 >= scan->len || !weir_one_of(scan->text[i], " -./") ||
            (separator != '\0' && scan->text[i] != separator)) {
            return;
        }
        separator = scan->text[i++];
        p->odd |= separator == '.' || separator == '/';
        if (separator == ' ' && scan->text[i] == ' ') {
            p->odd = true;
            i++;
        }
    }
}

static bool four_digits(const weir_guard_scan_t *scan, size_t at)
{
    bool all = at + 4 <= scan->len;
    for (size_t i = at; all && i < at + 4; i++) {
        all = weir_is(scan->text[i], WEIR_C_DIGIT);
    }
    return all;
}

/* "3208 3848 4488 5128 5768 6408": groups of four on both sides are a row of numbers. */
static bool in_row(const weir_guard_scan_t *scan, size_t start, size_t end)
{
    return start >= 5 && scan->text[start - 1] == ' ' && four_digits(scan, start - 5) &&
           end < scan->len && scan->text[end] == ' ' && four_digits(scan, end + 1);
}

static void judge(weir_guard_scan_t *scan, size_t start, size_t end, const char *digits, size_t n,
                  bool grouped, bool odd)
{
    if (!weir_guard_luhn(digits, n) || weir_guard_same_digits(digits, n)) {
        return;
    }
    int known = issuer(digits, n);
    if (odd && known == 0) {
        return;
    }
    bool near = weir_guard_near(scan, start, end, WEIR_CONTEXT_CARD);
    if (odd && known == 1 && !near) {
        return;
    }
    /* Of 19 digits any 64-bit number has as many, and half of them a sign. */
    bool negative = n > 16 && start > 0 && scan->text[start - 1] == '-';
    bool likely = grouped || n == 15 || n == 16 || (n == 19 && !negative);
    float score = known == 2 ? 0.8f : known == 1 ? (likely ? 0.6f : 0.45f) : 0.2f;
    if (grouped && !near && in_row(scan, start, end)) {
        return;
    }
    if (near) {
        score = known == 2 ? 0.98f : known == 1 ? 0.9f : 0.6f;
    }
    weir_guard_emit(scan, WEIR_RULE_CARD, start, end, score);
}

void weir_guard_find_card(weir_guard_scan_t *scan, size_t start, size_t end)
{
    size_t n = end - start;
    if (n >= 12 && n <= 19) {
        if (weir_guard_column_left(scan, start) && weir_guard_column_right(scan, end, false)) {
            judge(scan, start, end, scan->text + start, n, false, false);
        }
        return;
    }
    /* Four groups at least, or three with a long one: twelve digits in all. */
    if (n != 4 || end + 10 > scan->len) {
        return;
    }
    size_t next = end + 1 + (scan->text[end] == ' ' && scan->text[end + 1] == ' ');
    if (!weir_is(scan->text[next], WEIR_C_DIGIT) || !weir_is(scan->text[next + 3], WEIR_C_DIGIT) ||
        !weir_one_of(scan->text[end], " -./")) {
        return;
    }
    if (!weir_guard_column_left(scan, start)) {
        return;
    }
    scan->work += WEIR_WORK_CARD;
    printed_t printed = {.count = 0};
    read_printed(scan, start, &printed);
    for (size_t g = 0; g < sizeof(groupings) / sizeof(groupings[0]) && printed.parts >= 3; g++) {
        size_t parts = strnlen((const char *)groupings[g], 5);
        size_t total = 0;
        for (size_t k = 0; k < parts; k++) {
            total += groupings[g][k];
        }
        if (parts <= printed.parts && memcmp(groupings[g], printed.groups, parts) == 0 &&
            weir_guard_column_right(scan, printed.ends[parts - 1], false)) {
            judge(scan, start, printed.ends[parts - 1], printed.digits, total, true, printed.odd);
        }
    }
}
