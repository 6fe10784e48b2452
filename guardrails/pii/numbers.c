/*
 * Identity numbers: matches the groups around a place against the layouts of all numbers. The
 * layouts lie in buckets by the lengths of the first two groups, so that most places cost a look.
 */
#include "guardrails/pii/checks.h"

#define NAMED_BELOW 0.6f

#define COPIED 24 /* bytes that are copied at once; more than most groups have */

/* Groups from a place on, with single separators between them. */
typedef struct {
    uint32_t start[8];
    uint8_t len[8];
    char separator[8]; /* before group i; [0] unused */
    unsigned count;
    uint64_t lens;     /* len, the first group in the lowest byte */
    uint64_t shape;    /* bit i: character i is a digit; else it is a letter */
    size_t characters; /* in all groups together */
    bool all;          /* there are no more */
    /* Does a number end behind group i (bit i), or one that may have cents behind it (i + 8)? */
    uint16_t asked;
    uint16_t ends;
    /* The characters of the first groups one behind the other, letters as capitals. */
    unsigned copied;
    size_t text_len;
    char text[WEIR_MAX_SHAPE + COPIED];
} groups_t;

static void add_group(groups_t *groups, size_t start, size_t len, char separator, uint64_t digits)
{
    unsigned g = groups->count++;
    groups->start[g] = (uint32_t)start;
    groups->len[g] = (uint8_t)len;
    groups->separator[g] = separator;
    groups->lens |= (uint64_t)len << 8 * g;
    groups->shape |= (digits & ((1ull << len) - 1)) << groups->characters;
    groups->characters += len;
}

/* The alphanumeric run [start, end), at most WEIR_MAX_GROUP long. */
static void first_group(weir_guard_scan_t *scan, groups_t *groups, size_t start, size_t end)
{
    groups->count = 0;
    groups->lens = 0;
    groups->shape = 0;
    groups->characters = 0;
    groups->all = false;
    groups->asked = 0;
    groups->ends = 0;
    groups->copied = 0;
    groups->text_len = 0;
    uint64_t digits = weir_guard_runs(scan, start).digit;
    for (size_t i = WEIR_RUNS_SHARE; i < end - start; i++) {
        uint64_t bit = 1ull << i;
        digits = weir_is(scan->text[start + i], WEIR_C_DIGIT) ? digits | bit : digits & ~bit;
    }
    add_group(groups, start, end - start, '\0', digits);
}

static uint64_t ones(size_t n)
{
    return n == 64 ? UINT64_MAX : (1ull << n) - 1;
}

/* Is one of the first n characters a letter? */
static bool has_letter(const groups_t *groups, size_t n)
{
    return (~groups->shape & ones(n)) != 0;
}

/* The characters of the first n groups. */
static const char *characters(const weir_guard_scan_t *scan, groups_t *groups, unsigned n)
{
    for (; groups->copied < n; groups->copied++) {
        size_t start = groups->start[groups->copied];
        size_t len = groups->len[groups->copied];
        char *to = groups->text + groups->text_len;
        groups->text_len += len;
        if (len <= COPIED && scan->len - start >= COPIED) {
            memcpy(to, scan->text + start, COPIED);
        } else {
            memcpy(to, scan->text + start, len);
        }
        size_t letters = has_letter(groups, groups->text_len) ? len : 0;
        for (size_t i = 0; i < letters; i++) {
            to[i] = weir_is(to[i], WEIR_C_LOWER) ? (char)(to[i] & 0x5f) : to[i];
        }
    }
    return groups->text;
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

static bool has_small(const weir_guard_scan_t *scan, size_t start, size_t end)
{
    bool small = false;
    for (size_t i = start; i < end; i++) {
        small |= weir_is(scan->text[i], WEIR_C_LOWER);
    }
    return small;
}

/* Checksum and score of a number of the layout's shape, in the order of their cost. Issuers write
 * capitals: small letters, as in digests, count only beside words. */
static void judge(weir_guard_scan_t *scan, const weir_guard_layout_t *layout, size_t start,
                  size_t end, const char *text, size_t n)
{
    const weir_guard_rule_t *rule = &scan->rules->rule[layout->rule];
    const weir_guard_id_t *id = rule->number;
    bool checked = id->check == NULL;
    if (!checked && !weir_guard_near_known(scan, start, end)) {
        checked = id->check(text, n);
        if (!checked) {
            return;
        }
    }
    float score = weir_guard_near(scan, start, end, rule->context) ? id->known : id->bare;
    if (score == id->bare && score > WEIR_SMALL_LETTERS && has_small(scan, start, end)) {
        score = WEIR_SMALL_LETTERS;
    }
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
static void read_group(weir_guard_scan_t *scan, groups_t *groups)
{
    unsigned last = groups->count - 1;
    size_t start = (size_t)groups->start[last] + groups->len[last] + 1;
    weir_guard_runs_t runs = weir_guard_runs(scan, start);
    size_t len = weir_guard_run_length(runs.alnum);
    if (len == 0 || len > WEIR_MAX_LAYOUT || groups->characters + len > WEIR_MAX_SHAPE) {
        groups->all = true;
        return;
    }
    add_group(groups, start, len, scan->text[start - 1], runs.digit);
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

/* "6f844acc-5512-4265-8339-f8c4e55f1883": three groups of four with twelve digits behind them. */
static bool in_uuid(const weir_guard_scan_t *scan, const groups_t *groups, size_t end)
{
    size_t i = end + 1;
    while (i < scan->len && i - end < 14 && weir_is(scan->text[i], WEIR_C_HEX)) {
        i++;
    }
    return scan->text[end] == '-' && i - end == 13 && groups->len[0] == 4 && groups->len[1] == 4;
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
        (digit_group(scan, end + 1, n) || in_uuid(scan, groups, end))) {
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

/* Are groups and characters those of the layout, separators aside? */
static bool groups_fit(weir_guard_scan_t *scan, const weir_guard_layout_t *layout, groups_t *groups)
{
    while (groups->count < layout->groups && !groups->all) {
        read_group(scan, groups);
    }
    return layout->groups > 0 && groups->count >= layout->groups &&
           ((groups->lens ^ layout->lens) & layout->care) == 0 &&
           ((groups->shape ^ layout->shape) & layout->shape_care) == 0;
}

/* A layout whose groups fit. */
static void try_layout(weir_guard_scan_t *scan, const weir_guard_layout_t *layout, groups_t *groups)
{
    char chosen = '\0';
    for (unsigned g = 1; g < layout->groups; g++) {
        if (!separator_fits(layout->separator[g], groups->separator[g], &chosen)) {
            return;
        }
    }
    if (has_letter(groups, layout->characters) && has_word(scan, layout, groups)) {
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
        judge(scan, layout, groups->start[0], end, characters(scan, groups, layout->groups),
              layout->characters);
    }
}

/* Layouts of one group: its characters are the same for all of them. */
static void try_single(weir_guard_scan_t *scan, uint16_t first, groups_t *groups)
{
    size_t start = groups->start[0];
    size_t n = groups->len[0];
    const char *text = characters(scan, groups, 1);
    for (uint16_t l = first; l != WEIR_NO_LAYOUT;) {
        const weir_guard_layout_t *layout = &scan->rules->layouts[l];
        bool fits = ((groups->shape ^ layout->shape) & layout->shape_care) == 0;
        if (fits) {
            judge(scan, layout, start, start + n, text, n);
        }
        l = fits ? layout->next : layout->other;
    }
}

static void try_start(weir_guard_scan_t *scan, size_t start, size_t end)
{
    const weir_guard_rules_t *rules = scan->rules;
    size_t first = end - start;
    groups_t groups;
    uint16_t layout = WEIR_NO_LAYOUT;
    if (first > WEIR_MAX_GROUP) {
        return;
    }
    first_group(scan, &groups, start, end);
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
    while (layout != WEIR_NO_LAYOUT) {
        const weir_guard_layout_t *l = &rules->layouts[layout];
        bool fits = groups_fit(scan, l, &groups);
        if (fits) {
            try_layout(scan, l, &groups);
        }
        /* Those of the same shape, which stand behind it, fit as well. */
        layout = fits ? l->next : l->other;
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
