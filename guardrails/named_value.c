/*
 * A value that is recognised by the name it is given to (LOGGLY_TOKEN = "2f9c..."). What the text
 * has few of is looked for first, the value; then what connects it with a name is read backwards
 * once for all rules, and a rule's name is looked for only where it would have to end. Names
 * without values, which cost nothing to write, so cost little to scan.
 *
 *     name, at most 24 letters, digits or "_ .-", a quote, an assignment, the value
 *     name, at most 48 bytes, a word for keys, at most 12 letters or digits, a quote, an
 *         assignment or none, the value
 *
 * In front of the value a quote may stand, and before that "bearer ", "basic ", "token " or "key ".
 */
#include "guardrails/matcher.h"

#define MORE_NAME   24 /* between the name and the assignment */
#define TO_KEY_WORD 48 /* between the name and a word for keys */
#define MORE_WORD   12 /* behind that word */
#define MAX_BLANKS  4  /* on either side of an assignment */
#define MAX_SPACES  6  /* line ends count too, behind the assignment of a word for keys */
#define MAX_CALL    20 /* of the argument's name in a call: "login(token=" */
#define MAX_BETWEEN 24 /* line ends, quotes, commas between "name: X" and "value: v" */
#define LONGEST     64 /* of a name */

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool quote(char c)
{
    return c == '"' || c == '\'' || c == '`';
}

static bool word(char c)
{
    return weir_is(c, WEIR_C_ALNUM) || c == '_';
}

/* Behind the last byte in front of `at` that is_it refuses; no further than most bytes. */
static size_t back(const char *text, size_t at, size_t most, bool (*is_it)(char c))
{
    size_t limit = at > most ? at - most : 0;
    while (at > limit && is_it(text[at - 1])) {
        at--;
    }
    return at;
}

/* Does the word, in any case, end at `at`? Mostly its last letter says no. */
static bool ends_with(const char *text, size_t at, const char *lower)
{
    size_t n = strlen(lower);
    if (at < n) {
        return false;
    }
    while (n > 0 && (text[at - 1] | 0x20) == lower[n - 1]) {
        at--;
        n--;
    }
    return n == 0;
}

/* Ends of names in [low, high]: joined with a range that overlaps. */
static void add_range(weir_guard_known_value_t *known, size_t low, size_t high)
{
    for (unsigned i = 0; i < known->count; i++) {
        if (low <= known->high[i] && high >= known->low[i]) {
            known->low[i] = low < known->low[i] ? (uint32_t)low : known->low[i];
            known->high[i] = high > known->high[i] ? (uint32_t)high : known->high[i];
            return;
        }
    }
    if (known->count < WEIR_NAME_ENDS) {
        known->low[known->count] = (uint32_t)low;
        known->high[known->count++] = (uint32_t)high;
    }
}

/* "is" with borders ends at `at`. */
static bool is_is(const weir_guard_scan_t *scan, size_t at)
{
    return ends_with(scan->text, at, "is") && (at == 2 || !word(scan->text[at - 3])) &&
           (at == scan->len || !word(scan->text[at]));
}

/* Where the assignment that ends at `at` begins; `at` itself: there is none. marks: those of one
 * character. */
static size_t assignment(const weir_guard_scan_t *scan, size_t at, const char *marks)
{
    const char *text = scan->text;
    if (at == 0) {
        return at;
    }
    char c = text[at - 1];
    if (c == '>' && at > 1 && (text[at - 2] == '=' || text[at - 2] == '-')) {
        return at - 2;
    }
    if (weir_one_of(c, marks)) {
        return at - 1;
    }
    if ((c | 0x20) == 's' && is_is(scan, at)) {
        return at - 2;
    }
    return at;
}

static bool call_word(char c)
{
    return weir_is(c, WEIR_C_ALPHA) || c == '_';
}

/* The bracket of the call whose argument's '=' stands at `at`, or at. */
static size_t call(const char *text, size_t at)
{
    size_t end = at > 0 && text[at - 1] == ' ' ? at - 1 : at;
    size_t start = back(text, end, MAX_CALL, call_word);
    return start < end && start > 0 && text[start - 1] == '(' ? start - 1 : at;
}

static bool more_name(char c)
{
    return word(c) || c == ' ' || c == '.' || c == '-';
}

/* Names in front of the assignment that begins at start. */
static void before_assignment(const char *text, size_t start, weir_guard_known_value_t *known)
{
    size_t at = back(text, start, MAX_BLANKS, blank);
    at -= at > 0 && quote(text[at - 1]);
    add_range(known, back(text, at, MORE_NAME, more_name), start);
}

static bool between(char c)
{
    return space(c) || quote(c) || c == ',';
}

/* What names may stand in front of in `name: X_KEY, value: v` and `key="XKey" value="v"`, when the
 * assignment of the value begins at start; start: it is no such one. */
static size_t value_member(const char *text, size_t start)
{
    size_t at = back(text, start, MAX_BLANKS, blank);
    at -= at > 0 && quote(text[at - 1]);
    if (!ends_with(text, at, "value") || at < 6) {
        return start;
    }
    size_t front = back(text, at - 5, MAX_BETWEEN, between);
    return front < at - 5 ? front : start;
}

/* An assignment that ends at `end`, or before blanks there. */
static void by_assignment(const weir_guard_scan_t *scan, size_t end,
                          weir_guard_known_value_t *known)
{
    const char *text = scan->text;
    size_t at = back(text, end, MAX_BLANKS, blank);
    size_t start = assignment(scan, at, "=:,|(");
    if (start == at) {
        return;
    }
    before_assignment(text, start, known);
    size_t member = value_member(text, start);
    if (member < start) {
        before_assignment(text, member, known);
    }
    if (text[start] != '=') {
        return;
    }
    if (start > 0 && (text[start - 1] == '=' || text[start - 1] == ':')) {
        before_assignment(text, start - 1, known);
    }
    size_t bracket = call(text, start);
    if (bracket < start) {
        before_assignment(text, bracket, known);
    }
}

/* Where the word for keys that ends at `at`, without an s, begins; `at`: there is none. */
static size_t key_word(const char *text, size_t at)
{
    const char *word = "";
    switch (at == 0 ? '\0' : text[at - 1] | 0x20) {
    case 'y':
        word = "key";
        break;
    case 'n':
        word = "token";
        break;
    case 't':
        word = "secret";
        break;
    case 'd':
        word = ends_with(text, at, "passwd") ? "passwd" : "password";
        break;
    case 'l':
        word = "credential";
        break;
    case 'r':
        word = "bearer";
        break;
    default:
        return at;
    }
    return ends_with(text, at, word) ? at - strlen(word) : at;
}

/* The same of "api_key" for what begins with key at start. */
static size_t long_key_word(const char *text, size_t start)
{
    size_t at = start;
    at -= at > 0 && weir_one_of(text[at - 1], " _-");
    return ends_with(text, at, "api") ? at - 3 : ends_with(text, at, "access") ? at - 6 : start;
}

/* Names in front of a word for keys that ends at `end`. */
static void before_key_word(const char *text, size_t end, weir_guard_known_value_t *known)
{
    size_t stem = end - (end > 0 && (text[end - 1] | 0x20) == 's');
    size_t start = key_word(text, stem);
    if (start == stem) {
        return;
    }
    size_t first = (text[start] | 0x20) == 'k' ? long_key_word(text, start) : start;
    size_t low = first > TO_KEY_WORD ? first - TO_KEY_WORD : 0;
    const char *nul = memrchr(text + low, '\0', start - low);
    add_range(known, nul == NULL ? low : (size_t)(nul - text) + 1, start);
}

/* Words for keys whose further letters, quote and spaces end at `end`. */
static void by_key_word(const weir_guard_scan_t *scan, size_t end, weir_guard_known_value_t *known)
{
    const char *text = scan->text;
    size_t spaced = back(text, end, MAX_BLANKS, space);
    size_t at = spaced - (spaced > 0 && quote(text[spaced - 1]));
    size_t last = back(text, at, MORE_WORD, word);
    for (; at >= last; at--) {
        before_key_word(text, at, known);
        if (at == 0) {
            break;
        }
    }
}

/* What connects a name with what begins at `end`. */
static void connected(const weir_guard_scan_t *scan, size_t end, weir_guard_known_value_t *known)
{
    by_assignment(scan, end, known);
    by_key_word(scan, end, known);
    size_t at = back(scan->text, end, MAX_SPACES, space);
    size_t start = assignment(scan, at, "=:|(");
    bool arrow = at >= 3 && memcmp(scan->text + at - 3, "\xe2\x86\x92", 3) == 0;
    if (start < at || arrow) {
        by_key_word(scan, arrow ? at - 3 : start, known);
    }
}

/* "bearer " and the like, with one blank or two, before `at`. */
static void qualified(const weir_guard_scan_t *scan, size_t at, weir_guard_known_value_t *known)
{
    static const char *const words[] = {"bearer", "basic", "token", "key"};
    for (size_t end = at; end > 0 && at - end < 2 && blank(scan->text[end - 1]);) {
        end--;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            if (ends_with(scan->text, end, words[i])) {
                connected(scan, end - strlen(words[i]), known);
            }
        }
    }
}

/* Where names of the value at `at` may end. */
static const weir_guard_known_value_t *name_ends(weir_guard_scan_t *scan, size_t at)
{
    weir_guard_known_value_t *known = &scan->scratch->values[at % WEIR_KNOWN_VALUES];
    if (known->pass == scan->pass && known->start == at) {
        return known;
    }
    known->pass = scan->pass;
    known->start = (uint32_t)at;
    known->count = 0;
    scan->work += WEIR_WORK_NAME;
    connected(scan, at, known);
    qualified(scan, at, known);
    if (at > 0 && quote(scan->text[at - 1])) {
        connected(scan, at - 1, known);
        qualified(scan, at - 1, known);
    }
    return known;
}

/* Does a name begin at `from` or behind it, and end in [low, high]? */
static bool name_within(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, size_t from,
                        size_t low, size_t high)
{
    weir_guard_scratch_t *s = scan->scratch;
    size_t start = low > from + LONGEST ? low - LONGEST : from;
    while (start < high) {
        scan->work += WEIR_WORK_NAME;
        int rc = pcre2_match(c->name, (PCRE2_SPTR)scan->text, high, start, PCRE2_NO_UTF_CHECK,
                             s->match, s->context);
        if (rc < 0) {
            scan->timeouts += rc != PCRE2_ERROR_NOMATCH;
            return false;
        }
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(s->match);
        if (span[1] >= low) {
            return true;
        }
        start = span[0] + 1;
    }
    return false;
}

bool weir_guard_is_given(weir_guard_scan_t *scan, const weir_guard_compiled_t *c, size_t from,
                         size_t at)
{
    const weir_guard_known_value_t *known = name_ends(scan, at);
    for (unsigned i = 0; i < known->count; i++) {
        if (known->high[i] > from && name_within(scan, c, from, known->low[i], known->high[i])) {
            return true;
        }
    }
    return false;
}
