/*
 * Identity numbers: matches the groups around a place against the layouts of all numbers. The
 * layouts lie in buckets by the lengths of the first two groups, so that most places cost a look.
 */
#include "guardrails/pii/checks.h"

typedef struct {
    size_t start;
    size_t end;
} group_t;

/* The alphanumeric run at start, at most one longer than a group may be. */
static size_t run_end(const weir_guard_scan_t *scan, size_t start)
{
    size_t end = start;
    while (end < scan->len && end - start <= WEIR_MAX_GROUP &&
           weir_is(scan->text[end], WEIR_C_ALNUM)) {
        end++;
    }
    return end;
}

static bool separator_fits(char want, char got, char *chosen)
{
    if (want != '~') {
        return got == want;
    }
    if (got != ' ' && got != '-' && got != '.') {
        return false;
    }
    if (*chosen != '\0' && *chosen != got) {
        return false;
    }
    *chosen = got;
    return true;
}

static bool shape_fits(const char *shape, const char *text, size_t len)
{
    size_t i = 0;
    for (; i < len && shape[i] != '\0'; i++) {
        unsigned want = shape[i] == '9'   ? WEIR_C_DIGIT
                        : shape[i] == 'A' ? WEIR_C_UPPER
                                          : WEIR_C_DIGIT | WEIR_C_UPPER;
        if (!weir_is(text[i], want)) {
            return false;
        }
    }
    return i == len && shape[i] == '\0';
}

/* Shape, score and checksum, in the order of their cost: most numbers fail before the last. */
static void judge(weir_guard_scan_t *scan, const weir_guard_layout_t *layout, size_t start,
                  size_t end, const char *text, size_t n)
{
    const weir_guard_rule_t *rule = &scan->rules->rule[layout->rule];
    const weir_guard_id_t *id = rule->number;
    float score = weir_guard_near(scan, start, end, rule->context) ? id->known : id->bare;
    if (score >= rule->min_score && shape_fits(id->shape, text, n) &&
        (id->check == NULL || id->check(text, n))) {
        weir_guard_emit(scan, layout->rule, start, end, score);
    }
}

static void try_layout(weir_guard_scan_t *scan, const weir_guard_layout_t *layout, size_t start)
{
    char text[WEIR_MAX_GROUP + 1];
    size_t n = 0;
    size_t at = start;
    char chosen = '\0';
    for (unsigned g = 0; g < layout->groups; g++) {
        if (g > 0) {
            if (at >= scan->len || !separator_fits(layout->separator[g], scan->text[at], &chosen)) {
                return;
            }
            at++;
        }
        for (unsigned k = 0; k < layout->len[g]; k++, at++) {
            if (at >= scan->len || !weir_is(scan->text[at], WEIR_C_ALNUM)) {
                return;
            }
            char c = scan->text[at];
            text[n++] = weir_is(c, WEIR_C_LOWER) ? (char)(c & 0x5f) : c;
        }
        if (at < scan->len && weir_is(scan->text[at], WEIR_C_ALNUM)) {
            return;
        }
    }
    if (weir_guard_free_right(scan, at)) {
        judge(scan, layout, start, at, text, n);
    }
}

/* Layouts of one group: its characters are the same for all of them. */
static void try_single(weir_guard_scan_t *scan, uint16_t first, size_t start, size_t end)
{
    char text[WEIR_MAX_GROUP + 1];
    size_t n = end - start;
    bool digits = true;
    for (size_t i = 0; i < n; i++) {
        char c = scan->text[start + i];
        digits &= weir_is(c, WEIR_C_DIGIT);
        text[i] = weir_is(c, WEIR_C_LOWER) ? (char)(c & 0x5f) : c;
    }
    if (first == WEIR_NO_LAYOUT || !weir_guard_free_right(scan, end)) {
        return;
    }
    for (uint16_t l = first; l != WEIR_NO_LAYOUT; l = scan->rules->layouts[l].next) {
        const weir_guard_layout_t *layout = &scan->rules->layouts[l];
        if (digits || !layout->digits) {
            judge(scan, layout, start, end, text, n);
        }
    }
}

static void try_start(weir_guard_scan_t *scan, size_t start, size_t end)
{
    size_t first = end - start;
    if (first > WEIR_MAX_GROUP || !weir_guard_free_left(scan, start)) {
        return;
    }
    const weir_guard_rules_t *rules = scan->rules;
    try_single(scan, rules->buckets[first][0], start, end);
    if (end + 1 >= scan->len || !weir_is(scan->text[end + 1], WEIR_C_ALNUM)) {
        return;
    }
    size_t second = run_end(scan, end + 1) - (end + 1);
    if (second > WEIR_MAX_LAYOUT) {
        return;
    }
    for (uint16_t l = rules->buckets[first][second]; l != WEIR_NO_LAYOUT;
         l = rules->layouts[l].next) {
        try_layout(scan, &rules->layouts[l], start);
    }
}

void weir_guard_find_numbers(weir_guard_scan_t *scan, size_t start, size_t end)
{
    try_start(scan, start, end);
    /* Letters in front that belong to the number: "AB 12 34 56 C", "CHE-123.456.788". */
    if (start < 2 || !weir_is(scan->text[start - 2], WEIR_C_ALPHA) ||
        memchr(" -.", scan->text[start - 1], 3) == NULL) {
        return;
    }
    size_t first = start - 1;
    while (first > 0 && start - first < 7 && weir_is(scan->text[first - 1], WEIR_C_ALNUM)) {
        if (!weir_is(scan->text[first - 1], WEIR_C_ALPHA)) {
            return;
        }
        first--;
    }
    if (start - first < 7) {
        try_start(scan, first, start - 1);
    }
}
