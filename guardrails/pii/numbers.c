/*
 * Identity numbers: matches the groups around a place against the layouts of all numbers. The
 * layouts lie in buckets by the lengths of the first two groups, so that most places cost a look.
 */
#include "guardrails/pii/checks.h"

#define NAMED_BELOW 0.6f

/* Groups from a place on, with single separators between them. */
typedef struct {
    uint32_t start[8];
    uint8_t len[8];
    char separator[8]; /* before group i; [0] unused */
    unsigned count;
    uint64_t lens;   /* len, the first group in the lowest byte */
    uint8_t digits;  /* bit i: group i has a digit */
    uint8_t letters; /* bit i: group i has a letter */
    bool all;        /* there are no more */
    /* Their characters one behind the other, letters as capitals. */
    char text[WEIR_MAX_GROUP + 7 * WEIR_MAX_LAYOUT];
    size_t text_len;
    /* Does a number end behind group i (bit i), or one that may have cents behind it (i + 8)? */
    uint16_t asked;
    uint16_t ends;
} groups_t;

/* The alphanumeric run [start, end), separator before it, is the next group. */
static void add_group(const weir_guard_scan_t *scan, groups_t *groups, size_t start, size_t end,
                      char separator)
{
    unsigned g = groups->count++;
    unsigned classes = 0;
    char *to = groups->text + groups->text_len;
    for (size_t i = start; i < end; i++) {
        char c = scan->text[i];
        unsigned class = weir_guard_class[(unsigned char)c];
        classes |= class;
        *to++ = (class & WEIR_C_LOWER) != 0 ? (char)(c & 0x5f) : c;
    }
    groups->text_len += end - start;
    groups->start[g] = (uint32_t)start;
    groups->len[g] = (uint8_t)(end - start);
    groups->separator[g] = separator;
    groups->lens |= (uint64_t)(end - start) << 8 * g;
    groups->digits |= (classes & WEIR_C_DIGIT) != 0 ? (uint8_t)(1u << g) : 0;
    groups->letters |= (classes & WEIR_C_ALPHA) != 0 ? (uint8_t)(1u << g) : 0;
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

/* Shape, score and checksum, in the order of their cost: most numbers fail before the last. A
 * layout of digits has been compared with digits alone. */
static void judge(weir_guard_scan_t *scan, const weir_guard_layout_t *layout, size_t start,
                  size_t end, const char *text, size_t n)
{
    const weir_guard_rule_t *rule = &scan->rules->rule[layout->rule];
    const weir_guard_id_t *id = rule->number;
    if (!layout->digits && !shape_fits(id->shape, text, n)) {
        return;
    }
    bool checked = id->check == NULL;
    if (!checked && !weir_guard_near_known(scan, start, end)) {
        checked = id->check(text, n);
        if (!checked) {
            return;
        }
    }
    float score = weir_guard_near(scan, start, end, rule->context) ? id->known : id->bare;
    /* Where nothing but words speaks for it, they must name it: "the account number is ...". */
    if (id->check == NULL && id->known < NAMED_BELOW && score > id->bare &&
        weir_guard_names(scan, start, rule->context) == 0) {
        score = id->bare;
    }
    if (score >= rule->min_score && (checked || id->check(text, n))) {
        weir_guard_emit(scan, layout->rule, start, end, score);
    }
}

/* Reads the next group. */
static void read_group(const weir_guard_scan_t *scan, groups_t *groups)
{
    unsigned last = groups->count - 1;
    size_t start = (size_t)groups->start[last] + groups->len[last] + 1;
    size_t end = start;
    while (end < scan->len && end - start <= WEIR_MAX_LAYOUT &&
           weir_is(scan->text[end], WEIR_C_ALNUM)) {
        end++;
    }
    if (end == start || end - start > WEIR_MAX_LAYOUT) {
        groups->all = true;
        return;
    }
    add_group(scan, groups, start, end, scan->text[start - 1]);
    groups->all = groups->count == 8;
}

/* Exactly n digits at start, and no letter or digit behind them. */
static bool digit_group(const weir_guard_scan_t *scan, size_t start, size_t n)
{
    size_t i = start;
    while (i < scan->len && i - start < n && weir_is(scan->text[i], WEIR_C_DIGIT)) {
        i++;
    }
    return i - start == n && (i == scan->len || !weir_is(scan->text[i], WEIR_C_ALNUM));
}

/*
 * Another group of the same length behind the same separator, on either side: these are groups of
 * a longer number ("4111 1111 1111 1111" has three times twelve digits in a row).
 */
static bool part_of_longer(const weir_guard_scan_t *scan, const groups_t *groups, unsigned last)
{
    size_t end = (size_t)groups->start[last] + groups->len[last];
    size_t n = groups->len[last];
    if (end < scan->len && scan->text[end] == groups->separator[last] &&
        digit_group(scan, end + 1, n)) {
        return true;
    }
    size_t start = groups->start[0];
    n = groups->len[0];
    return start >= n + 1 && scan->text[start - 1] == groups->separator[1] &&
           digit_group(scan, start - 1 - n, n) &&
           (start == n + 1 || !weir_is(scan->text[start - n - 2], WEIR_C_ALNUM));
}

/* A word beside numbers ("after 262144 steps") is none of their groups. */
static bool has_word(const weir_guard_scan_t *scan, const weir_guard_layout_t *layout,
                     const groups_t *groups)
{
    for (unsigned g = 0; g < layout->groups; g++) {
        const char *text = scan->text + groups->start[g];
        size_t n = layout->len[g];
        size_t i = 0;
        while (i < n && weir_is(text[i], WEIR_C_LOWER)) {
            i++;
        }
        if (i == n && n >= (g == 0 ? 3u : 2u)) {
            return true;
        }
    }
    return false;
}

static void try_layout(weir_guard_scan_t *scan, const weir_guard_layout_t *layout, groups_t *groups)
{
    char chosen = '\0';
    while (groups->count < layout->groups && !groups->all) {
        read_group(scan, groups);
    }
    if (layout->groups == 0 || groups->count < layout->groups ||
        ((groups->lens ^ layout->lens) & layout->care) != 0 ||
        (groups->letters & layout->digit_groups) != 0 ||
        (groups->digits & layout->letter_groups) != 0) {
        return;
    }
    for (unsigned g = 1; g < layout->groups; g++) {
        if (!separator_fits(layout->separator[g], groups->separator[g], &chosen)) {
            return;
        }
    }
    if (groups->letters != 0 && has_word(scan, layout, groups)) {
        return;
    }
    unsigned last = layout->groups - 1u;
    size_t end = (size_t)groups->start[last] + groups->len[last];
    scan->work += WEIR_WORK_LAYOUT;
    bool cents = layout->separator[last] != '-' && chosen != '-';
    unsigned bit = 1u << (last + (cents ? 8 : 0));
    if ((groups->asked & bit) == 0) {
        bool ends =
            weir_guard_column_right(scan, end, cents) && !part_of_longer(scan, groups, last);
        groups->asked |= (uint16_t)bit;
        groups->ends |= ends ? (uint16_t)bit : 0;
    }
    if ((groups->ends & bit) != 0) {
        judge(scan, layout, groups->start[0], end, groups->text, layout->characters);
    }
}

/* Layouts of one group: its characters are the same for all of them. */
static void try_single(weir_guard_scan_t *scan, uint16_t first, const groups_t *groups)
{
    size_t start = groups->start[0];
    size_t n = groups->len[0];
    bool letters = (groups->letters & 1) != 0;
    for (uint16_t l = first; l != WEIR_NO_LAYOUT; l = scan->rules->layouts[l].next) {
        const weir_guard_layout_t *layout = &scan->rules->layouts[l];
        if (!letters || !layout->digits) {
            judge(scan, layout, start, start + n, groups->text, n);
        }
    }
}

static void try_start(weir_guard_scan_t *scan, size_t start, size_t end)
{
    const weir_guard_rules_t *rules = scan->rules;
    size_t first = end - start;
    groups_t groups = {.count = 0};
    uint16_t layout = WEIR_NO_LAYOUT;
    if (first > WEIR_MAX_GROUP) {
        return;
    }
    add_group(scan, &groups, start, end, '\0');
    if (end + 1 < scan->len && weir_is(scan->text[end + 1], WEIR_C_ALNUM)) {
        read_group(scan, &groups);
        layout = groups.count == 2 ? rules->buckets[first][groups.len[1]] : WEIR_NO_LAYOUT;
    }
    uint16_t single = rules->buckets[first][0];
    if ((single == WEIR_NO_LAYOUT && layout == WEIR_NO_LAYOUT) ||
        !weir_guard_column_left(scan, start)) {
        return;
    }
    if (single != WEIR_NO_LAYOUT && weir_guard_column_right(scan, end, true)) {
        try_single(scan, single, &groups);
    }
    for (; layout != WEIR_NO_LAYOUT; layout = rules->layouts[layout].next) {
        try_layout(scan, &rules->layouts[layout], &groups);
    }
}

void weir_guard_find_numbers(weir_guard_scan_t *scan, size_t start, size_t end)
{
    try_start(scan, start, end);
    /* Letters in front that belong to the number: "AB 12 34 56 C", "CHE-123.456.788"; two groups of
     * them only with dots: "ZA.ECV.917/5I8H-65". */
    for (int groups = 0; groups < 2; groups++) {
        if (start < 2 || !weir_is(scan->text[start - 2], WEIR_C_ALPHA) ||
            !weir_one_of(scan->text[start - 1], groups == 0 ? " -." : ".")) {
            return;
        }
        size_t first = start - 1;
        while (first > 0 && start - first < 7 && weir_is(scan->text[first - 1], WEIR_C_ALNUM)) {
            if (!weir_is(scan->text[first - 1], WEIR_C_ALPHA)) {
                return;
            }
            first--;
        }
        if (start - first >= 7) {
            return;
        }
        try_start(scan, first, start - 1);
        start = first;
    }
}
