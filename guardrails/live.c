/*
 * The liveness of a text's end: the first byte at which some rule could still begin a match, or
 * extend one, if more text came. Rules come in kinds by what their matches can span:
 *
 * - tokens (e-mail, URL, IP, wallets, secrets): no byte up to 0x20 and no character of a script
 *   without spaces: live from the start of the last token;
 * - number groups (telephone, card, IBAN, identity numbers): alphanumeric groups with one space
 *   between them, or two, 64 bytes in all: live from the first group that hangs together with the
 *   end; groups of four letters in lower case only behind the beginning of an IBAN;
 * - values of lists with spaces: live where the end is the beginning of one;
 * - expressions and key blocks: the matcher of PCRE2 says where a partial match begins;
 * - all other rules, and right context: a fixed window, in sets that are not for streams.
 */
#include "guardrails/matcher.h"

#define MAX_TOKEN          4400 /* more than the longest match of a token rule */
#define MAX_LETTERS_BEHIND 2    /* alone at the end of an identity number, in any case */
#define MAX_GROUPS         64
#define MAX_WINDOW         512

#define MAX_IBAN_SPAN 44 /* 34 characters and the blanks between */

/* The start of the token that ends at end. */
static size_t token_start(const weir_guard_scan_t *scan, size_t end)
{
    size_t limit = end > MAX_TOKEN ? end - MAX_TOKEN : 0;
    size_t at = end;
    while (at > limit) {
        unsigned char c = (unsigned char)scan->text[at - 1];
        if (c <= ' ') {
            return at;
        }
        if (c >= 0xe0) {
            /* The character's own continuation bytes stay with it. */
            size_t behind = at + (c >= 0xf0 ? 3 : 2);
            return behind < end ? behind : end;
        }
        at--;
    }
    return at;
}

static bool has_digit(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (weir_is(text[i], WEIR_C_DIGIT)) {
            return true;
        }
    }
    return false;
}

/* Letters alone, as they stand inside a grouped IBAN: upper-case, four of them (or up to). */
static bool capitals(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!weir_is(text[i], WEIR_C_UPPER)) {
            return false;
        }
    }
    return len <= 4;
}

/* Could the last token carry on number groups that stand before it? */
static bool carries_on(const char *text, size_t len)
{
    size_t letters = 0;
    while (letters < len && weir_is(text[letters], WEIR_C_ALPHA)) {
        letters++;
    }
    return letters <= MAX_LETTERS_BEHIND || capitals(text, letters) ||
           has_digit(text, len < MAX_GROUPS ? len : MAX_GROUPS);
}

/* Could the letters in [start, end) be the first group of a number whose digits are still to come?
 * Numbers of one letter and few digits need words to their left that are there, or not. */
static bool is_front(weir_guard_scan_t *scan, size_t start, size_t end)
{
    const weir_guard_rules_t *rules = scan->rules;
    bool lower = false;
    for (size_t i = start; i < end; i++) {
        lower |= weir_is(scan->text[i], WEIR_C_LOWER);
    }
    for (size_t i = 0; i < rules->front_count; i++) {
        const weir_guard_layout_t *layout = &rules->layouts[rules->fronts[i]];
        const weir_guard_rule_t *rule = &rules->rule[layout->rule];
        if (layout->len[0] != end - start) {
            continue;
        }
        float bare = rule->number->bare;
        bare = lower && bare > WEIR_SMALL_LETTERS ? WEIR_SMALL_LETTERS : bare;
        if (!rules->streaming || bare >= rule->min_score ||
            (rule->number->known >= rule->min_score &&
             weir_guard_near(scan, start, end, rule->context))) {
            return true;
        }
    }
    return rules->front_count == WEIR_MAX_FRONTS && end - start <= 6;
}

/* Number groups that hang together with the last token, whose start is at. */
static size_t groups_start(weir_guard_scan_t *scan, size_t at)
{
    size_t limit = scan->len > MAX_GROUPS ? scan->len - MAX_GROUPS : 0;
    size_t live = at;
    if (!carries_on(scan->text + at, scan->len - at)) {
        return at;
    }
    while (at > limit + 1 && scan->text[at - 1] == ' ') {
        size_t end = at - 1;
        end -= end > limit && scan->text[end - 1] == ' '; /* cards may have two blanks */
        size_t start = token_start(scan, end);
        size_t len = end - start;
        size_t skip = len > MAX_GROUPS ? len - MAX_GROUPS : 0;
        if (has_digit(scan->text + start + skip, len - skip)) {
            live = start + skip;
        } else if (len == 0 || (len > MAX_LETTERS_BEHIND && !capitals(scan->text + start, len))) {
            break;
        }
        at = start;
    }
    /* A letter group in front of the first digits belongs to some numbers. */
    if (live > limit + 1 && scan->text[live - 1] == ' ' &&
        (live == scan->len || weir_is(scan->text[live], WEIR_C_DIGIT))) {
        size_t tail = live - 1;
        while (tail > limit && weir_is(scan->text[tail - 1], WEIR_C_ALPHA)) {
            tail--;
        }
        live = is_front(scan, tail, live - 1) ? tail : live;
    }
    return live;
}

/* An IBAN in groups of four, of any case, of which the last token, whose start is at, may be part.
 */
static size_t iban_start(const weir_guard_scan_t *scan, size_t at, size_t live)
{
    size_t limit = at > MAX_IBAN_SPAN ? at - MAX_IBAN_SPAN : 0;
    if (scan->len - at > 4) {
        return live;
    }
    for (size_t i = at; i < scan->len; i++) {
        if (!weir_is(scan->text[i], WEIR_C_ALNUM)) {
            return live;
        }
    }
    while (at >= limit + 5 && scan->text[at - 1] == ' ') {
        const char *group = scan->text + at - 5;
        for (size_t i = 0; i < 4; i++) {
            if (!weir_is(group[i], WEIR_C_ALNUM)) {
                return live;
            }
        }
        at -= 5;
        if (at > 0 && weir_is(scan->text[at - 1], WEIR_C_ALNUM)) {
            return live;
        }
        if (weir_is(group[0], WEIR_C_ALPHA) && weir_is(group[1], WEIR_C_ALPHA) &&
            weir_is(group[2], WEIR_C_DIGIT) && weir_is(group[3], WEIR_C_DIGIT)) {
            live = at < live ? at : live;
        }
    }
    return live;
}

/* Is text[at..) the beginning of a list value, case aside? */
static bool begins_value(const weir_guard_rules_t *rules, const char *text, size_t len)
{
    size_t low = 0;
    size_t high = rules->beginning_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const weir_guard_literal_t *literal = rules->beginnings[mid].literal;
        size_t n = literal->len < len ? literal->len : len;
        int order = 0;
        for (size_t i = 0; i < n && order == 0; i++) {
            char c = text[i];
            c = weir_is(c, WEIR_C_UPPER) ? (char)(c | 0x20) : c;
            order = (int)(unsigned char)c - (int)(unsigned char)literal->text[i];
        }
        if (order == 0 && literal->len >= len) {
            return true;
        }
        if (order < 0 || (order == 0 && len < literal->len)) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return false;
}

static size_t values_start(const weir_guard_scan_t *scan, size_t live)
{
    const weir_guard_rules_t *rules = scan->rules;
    size_t reach = rules->longest_literal < scan->len ? rules->longest_literal : scan->len;
    for (size_t at = scan->len - reach; at < live; at++) {
        if (begins_value(rules, scan->text + at, scan->len - at)) {
            return at;
        }
    }
    return live;
}

size_t weir_guard_live(weir_guard_scan_t *scan)
{
    size_t live = token_start(scan, scan->len);
    if (scan->rules->digits) {
        live = iban_start(scan, live, groups_start(scan, live));
    }
    if (scan->rules->beginning_count > 0) {
        live = values_start(scan, live);
    }
    live = scan->live < live ? scan->live : live;
    if (!scan->rules->streaming) {
        size_t window = scan->len > MAX_WINDOW ? scan->len - MAX_WINDOW : 0;
        live = window < live ? window : live;
    }
    return live;
}
