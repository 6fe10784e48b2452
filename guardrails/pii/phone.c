/*
 * Telephone numbers: ITU-T E.164 (at most 15 digits, country codes of its annex), E.123 (how they
 * are written: groups, brackets, a plus), the North American plan (ATIS-0300051: area and exchange
 * code begin with 2 to 9). A national number looks like any number, so its score depends on how it
 * is grouped and on words near it.
 */
#include "guardrails/pii/checks.h"

#include <strings.h>

#define MAX_DIGITS 15
#define MAX_PARTS  7
#define MAX_SINGLE 2 /* groups of one digit: more are counting */
#define MAX_SPAN   48

typedef struct {
    size_t start;
    size_t end;
    uint8_t groups[MAX_PARTS];       /* digits of each group */
    char separators[MAX_PARTS];      /* before each group */
    char digits[2 * MAX_DIGITS + 2]; /* without the trunk zero in brackets; MAX_DIGITS of them */
    unsigned parts;
    unsigned count;
    bool plus;
    bool brackets;
    bool extension;
} phone_t;

/* E.164 country codes: those of one digit, of two, and the first two digits of those of three. */
static bool country_code(const char *d)
{
    static const char two[] =
        "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 "
        "56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98";
    static const char three[] = "21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 85 88 96 97 99";
    if (d[0] == '1' || d[0] == '7') {
        return true;
    }
    for (size_t i = 0; i + 1 < sizeof(two); i += 3) {
        if (memcmp(two + i, d, 2) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i + 1 < sizeof(three); i += 3) {
        if (memcmp(three + i, d, 2) == 0) {
            return true;
        }
    }
    return false;
}

static bool separator(char c)
{
    return c == ' ' || c == '-' || c == '.' || c == '/';
}

/* Reads "x123" behind a number, and " ext. 123" where words to the right may be read. */
static size_t extension_end(const weir_guard_scan_t *scan, size_t at)
{
    static const char *const names[] = {"extension", "ext.", "ext", "x"};
    size_t i = at;
    if (!scan->rules->streaming) {
        i += i < scan->len && scan->text[i] == ',';
        i += i < scan->len && scan->text[i] == ' ';
    }
    size_t from = i;
    if (i >= scan->len || !weir_one_of((char)(scan->text[i] | 0x20), "ex")) {
        return at;
    }
    for (size_t k = 0; k < sizeof(names) / sizeof(names[0]) && i == from; k++) {
        size_t n = strlen(names[k]);
        if ((n == 1 || !scan->rules->streaming) && scan->len - i > n &&
            strncasecmp(scan->text + i, names[k], n) == 0) {
            i += n;
        }
    }
    if (i == from) {
        return at;
    }
    i += !scan->rules->streaming && i < scan->len && scan->text[i] == ' ';
    size_t digits = i;
    while (i < scan->len && i - digits <= 6 && weir_is(scan->text[i], WEIR_C_DIGIT)) {
        i++;
    }
    return i > digits && i - digits <= 6 ? i : at;
}

/* Does a number whose groups so far are p's end before this separator? "212-555-0199/212-...", but
 * "06-24/259 2077". */
static bool ends_before(const phone_t *p, char c)
{
    if (c == '/') {
        bool again = false;
        for (unsigned i = 1; i < p->parts; i++) {
            again |= p->separators[i] == '/';
        }
        return again || (p->count >= 7 && p->parts > (p->plus ? 2u : 1u));
    }
    char last = p->separators[p->parts - 1];
    return c == ' ' && p->parts >= 3 && p->count >= 10 && (last == '-' || last == '.') &&
           p->separators[p->parts - 2] == last;
}

/* Is the group of digits at start the only thing in its bracket? */
static bool closes(const weir_guard_scan_t *scan, size_t start)
{
    size_t i = start;
    while (i < scan->len && i - start < MAX_DIGITS && weir_is(scan->text[i], WEIR_C_DIGIT)) {
        i++;
    }
    return i > start && i < scan->len && scan->text[i] == ')';
}

/*
 * Collects groups from at on while they hang together. Stops before the sixteenth digit. Returns
 * false when the last group is cut, or when what follows says that this is no number of its own.
 */
static bool collect(weir_guard_scan_t *scan, size_t at, phone_t *p)
{
    size_t i = at;
    bool open = false;
    unsigned small = 0;
    char before = '\0';
    if (i + 1 < scan->len && scan->text[i] == '(' && scan->text[i + 1] == '+') {
        open = true; /* "(+57) 6086003390" */
        before = '(';
        i++;
    }
    if (i < scan->len && scan->text[i] == '+') {
        p->plus = true;
        i++;
    }
    while (i < scan->len && i - at < MAX_SPAN) {
        char c = scan->text[i];
        if (c == '(' && !open && p->parts < 4) {
            if (!closes(scan, i + 1)) {
                break;
            }
            open = true;
            p->brackets = true;
            before = '(';
            i++;
            continue;
        }
        if (!weir_is(c, WEIR_C_DIGIT)) {
            break;
        }
        size_t start = i;
        size_t n = weir_guard_run_length(weir_guard_runs(scan, i).digit);
        i += n;
        bool trunk = before == '(' && n == 1 && scan->text[start] == '0';
        small += n == 1 && !trunk;
        if (small > MAX_SINGLE || (p->parts == MAX_PARTS && !trunk)) {
            return false;
        }
        if (n > MAX_DIGITS || p->count + n > MAX_DIGITS) {
            /* One more group of four: a card or an account. */
            return p->parts > 0 && !(n == 4 && p->groups[p->parts - 1] == 4);
        }
        if (!trunk) {
            if (scan->len - start > MAX_DIGITS) {
                memcpy(p->digits + p->count, scan->text + start, MAX_DIGITS + 1);
            } else {
                memcpy(p->digits + p->count, scan->text + start, n);
            }
            p->count += (unsigned)n;
            p->groups[p->parts] = (uint8_t)n;
            p->separators[p->parts++] = before;
        }
        p->end = i;
        if (open) {
            if (i >= scan->len || scan->text[i] != ')') {
                return false;
            }
            open = false;
            i++;
            before = ')';
        } else {
            before = '\0';
        }
        if (i < scan->len && p->parts > 0 && ends_before(p, scan->text[i])) {
            break;
        }
        if (i < scan->len &&
            (separator(scan->text[i]) || (scan->text[i] == '(' && before == '\0'))) {
            before = before == ')' ? ')' : scan->text[i];
            i += scan->text[i] != '(';
            if (i < scan->len && scan->text[i] == ' ' && scan->text[i - 1] == ')') {
                i++;
            }
        } else if (before != ')') {
            break;
        }
    }
    return p->parts > 0 && !open;
}

static bool is_year(const char *d)
{
    return memcmp(d, "19", 2) == 0 || memcmp(d, "20", 2) == 0;
}

/* Shapes of numbers that are dates, years, decimals, quads or US social security numbers. */
static bool other_number(const phone_t *p)
{
    const uint8_t *g = p->groups;
    if (p->plus) {
        return false;
    }
    /* ISO 2108: an ISBN. */
    if (p->count == 13 && (memcmp(p->digits, "978", 3) == 0 || memcmp(p->digits, "979", 3) == 0)) {
        return true;
    }
    if (p->parts == 2 && g[0] == 4 && g[1] == 4 && is_year(p->digits) && is_year(p->digits + 4)) {
        return true;
    }
    if (p->parts == 2 && (p->separators[1] == '.' || p->separators[1] == '/')) {
        return p->separators[1] == '.' || g[0] < 3;
    }
    if (p->parts >= 3 && g[0] == 4 && g[1] == 2 && g[2] == 2 && is_year(p->digits) &&
        weir_guard_is_date(2000, weir_guard_value(p->digits + 4, 2),
                           weir_guard_value(p->digits + 6, 2))) {
        return true;
    }
    if (p->parts >= 3 && g[0] <= 2 && g[1] <= 2 && g[2] == 4 && is_year(p->digits + g[0] + g[1])) {
        return true;
    }
    if (p->parts == 3 && g[0] == 3 && g[1] == 2 && g[2] == 4) {
        return true;
    }
    unsigned dots = 0;
    for (unsigned i = 1; i < p->parts; i++) {
        dots += p->separators[i] == '.';
        /* "7 2023-02-05" */
        if (i + 2 < p->parts && g[i] == 4 && g[i + 1] == 2 && g[i + 2] == 2 &&
            p->separators[i + 1] == '-' && p->separators[i + 2] == '-') {
            return true;
        }
    }
    if (p->parts >= 2 && g[0] == 1 && p->digits[0] == '0' && p->separators[1] == '.') {
        return true; /* "0.0341797 0" */
    }
    if (dots > 0 && dots + 1 < p->parts && !p->brackets && p->separators[p->parts - 1] == '.') {
        return true;
    }
    /* Thousands: "1 200 000". */
    bool thousands = p->parts >= 2 && g[0] <= 3 && p->digits[0] != '0' && !p->brackets;
    bool round = p->count >= 7;
    for (unsigned i = 1; i < p->parts; i++) {
        thousands &= g[i] == 3 && p->separators[i] == ' ';
    }
    for (unsigned i = p->count >= 3 ? p->count - 3 : 0; i < p->count; i++) {
        round &= p->digits[i] == '0';
    }
    return thousands && round;
}

/* The North American form: 3-3-4, with or without the country code. 2: both codes are possible. */
static int north_american(const phone_t *p)
{
    unsigned first = p->parts == 4 ? 1 : 0;
    if (p->parts != first + 3 || p->groups[first] != 3 || p->groups[first + 1] != 3 ||
        p->groups[first + 2] != 4) {
        return 0;
    }
    unsigned skip = 0;
    if (first == 1) {
        skip = p->groups[0];
        bool one = p->digits[skip - 1] == '1' &&
                   (skip == 1 || (skip == 3 && memcmp(p->digits, "001", 3) == 0));
        if (!one) {
            return 0;
        }
    }
    const char *d = p->digits + skip;
    return d[0] >= '2' && d[3] >= '2' ? 2 : d[0] >= '2';
}

/* "694 205 666": as many amounts are written. */
static bool thousands(const phone_t *p)
{
    for (unsigned i = 1; i < p->parts; i++) {
        if (p->groups[i] != 3 || p->separators[i] != ' ') {
            return false;
        }
    }
    return p->parts > 1 && p->groups[0] <= 3 && !p->plus && !p->brackets;
}

/* "CO 80202-1234": a ZIP+4 behind its state. */
static bool zip_code(const weir_guard_scan_t *scan, const phone_t *p)
{
    const char *t = scan->text + p->start;
    return p->parts == 2 && p->groups[0] == 5 && p->groups[1] == 4 && p->start >= 3 &&
           t[-1] == ' ' && weir_is(t[-2], WEIR_C_UPPER) && weir_is(t[-3], WEIR_C_UPPER);
}

/* Postcodes with a hyphen: "8731-545", "26824-912", "11534-4565". */
static bool like_postcode(const phone_t *p)
{
    unsigned first = p->groups[0];
    unsigned second = p->groups[1];
    return p->parts == 2 && p->separators[1] == '-' && p->digits[0] != '0' && !p->brackets &&
           ((second == 3 && (first == 4 || first == 5)) || (second == 4 && first == 5));
}

/* "reach Anna on 473 48 628". */
static bool after_preposition(const weir_guard_scan_t *scan, size_t start)
{
    const char *t = scan->text + start;
    return start >= 4 && t[-1] == ' ' && t[-4] == ' ' &&
           (memcmp(t - 3, "on", 2) == 0 || memcmp(t - 3, "at", 2) == 0);
}

/* "5550199000 office": whose telephone it is. */
static bool place_behind(const weir_guard_scan_t *scan, size_t end)
{
    static const char *const places[] = {"office", "desk", "home", "work", "direct", "switchboard"};
    size_t at = end;
    while (at < scan->len && at - end < 3 && weir_one_of(scan->text[at], " -(,")) {
        at++;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && at > end; i++) {
        size_t n = strlen(places[i]);
        if (!scan->rules->streaming && scan->len - at >= n &&
            strncasecmp(scan->text + at, places[i], n) == 0) {
            return at + n == scan->len || !weir_is(scan->text[at + n], WEIR_C_ALNUM);
        }
    }
    return false;
}

/* Do words in front name a telephone, with a comma between perhaps: "my landline, 5550199000"? */
static bool named_in_front(weir_guard_scan_t *scan, const phone_t *p)
{
    size_t at = p->start;
    for (int comma = 0; comma < 2; comma++) {
        if (weir_guard_names(scan, at, WEIR_CONTEXT_PHONE) > 0 ||
            weir_guard_names(scan, at, WEIR_CONTEXT_PHONE_CALL) > 0) {
            return true;
        }
        if (p->count < 8 || at < 2 || scan->text[at - 1] != ' ' || scan->text[at - 2] != ',') {
            return false;
        }
        at -= 2;
    }
    return false;
}

/* "Call 5550199": the word in front begins a sentence. */
static bool imperative(const weir_guard_scan_t *scan, size_t start)
{
    size_t at = start;
    while (at > 0 && scan->text[at - 1] == ' ') {
        at--;
    }
    while (at > 0 && weir_is(scan->text[at - 1], WEIR_C_ALPHA)) {
        at--;
    }
    return weir_is(scan->text[at], WEIR_C_UPPER);
}

/*
 * A national number of no known form, with words about telephones near it. What could be an amount,
 * or amounts in a row, needs a word that names it as a telephone number.
 */
static float national(weir_guard_scan_t *scan, const phone_t *p)
{
    bool phone = weir_guard_near(scan, p->start, p->end, WEIR_CONTEXT_PHONE);
    bool amount = weir_guard_near(scan, p->start, p->end, WEIR_CONTEXT_AMOUNT);
    bool grouped = p->parts > 1 || p->brackets;
    bool shaped = p->brackets || p->digits[0] == '0';
    for (unsigned i = 1; i < p->parts; i++) {
        shaped |= p->separators[i] != ' ';
    }
    if (zip_code(scan, p)) {
        return 0.25f;
    }
    bool named = named_in_front(scan, p);
    if (!named && like_postcode(p)) {
        return 0.25f;
    }
    if (!named) {
        int weak = weir_guard_names(scan, p->start, WEIR_CONTEXT_PHONE_WEAK);
        bool verb = p->count >= 9 && weir_guard_names(scan, p->start, WEIR_CONTEXT_PHONE_VERB) == 1;
        named =
            weak == 2 || (weak == 1 && (shaped || verb || imperative(scan, p->start)) && !amount);
    }
    bool long_enough = p->count >= 9 && (shaped || (!amount && !thousands(p)));
    if (grouped && (long_enough || (shaped && (named || phone)))) {
        return 0.6f;
    }
    if (shaped && p->count >= 9 && !amount) {
        return 0.5f;
    }
    named = named || weir_guard_named_behind(scan, p->end, WEIR_CONTEXT_PHONE) ||
            (p->count >= 8 && !amount &&
             (place_behind(scan, p->end) ||
              (after_preposition(scan, p->start) && (p->count >= 9 || grouped))));
    if (!named && (!grouped || thousands(p) || !phone || amount)) {
        return 0.25f;
    }
    return grouped ? 0.6f : p->count >= 9 && p->count <= 12 ? 0.55f : 0.5f;
}

/* "32 32 85": six digits are a number of the smallest networks, and mostly something else. */
static bool three_pairs(const phone_t *p)
{
    return p->count == 6 && p->parts == 3 && p->groups[0] == 2 && p->groups[1] == 2 &&
           p->separators[1] == ' ' && p->separators[2] == ' ';
}

static float score_of(weir_guard_scan_t *scan, const phone_t *p)
{
    unsigned n = p->count;
    if (n < 7) {
        return named_in_front(scan, p) ? 0.6f : 0.0f;
    }
    bool near = weir_guard_near(scan, p->start, p->end, WEIR_CONTEXT_PHONE) ||
                weir_guard_near(scan, p->start, p->end, WEIR_CONTEXT_PHONE_WEAK);
    bool other = weir_guard_near(scan, p->start, p->end, WEIR_CONTEXT_NOT_PHONE) && !near;
    if (p->plus) {
        return n >= 8 && country_code(p->digits) ? near ? 0.95f : 0.8f : 0.0f;
    }
    int american = north_american(p);
    if (american > 0) {
        float bare = american == 2 ? 0.7f : 0.4f;
        return near || p->extension ? 0.9f : other ? bare - 0.3f : bare;
    }
    size_t prefix =
        memcmp(p->digits, "011", 3) == 0 ? 3 : 2; /* from North America, from elsewhere */
    if (p->groups[0] >= 2 && (prefix == 3 || memcmp(p->digits, "00", 2) == 0) && n >= 9 + prefix &&
        country_code(p->digits + prefix)) {
        return near ? 0.85f : p->parts > 1 && !other ? 0.55f : 0.3f;
    }
    /* Five pairs from 01 to 09 (France), or a trunk zero and groups of a national number. */
    bool pairs = p->parts == 5 && n == 10 && p->digits[0] == '0' && p->digits[1] != '0';
    for (unsigned i = 0; i < p->parts; i++) {
        pairs &= p->groups[i] == 2;
    }
    if (pairs && !other) {
        return near ? 0.9f : 0.6f;
    }
    bool trunk =
        p->digits[0] == '0' && n >= 9 && n <= 12 && p->parts >= 3 && p->groups[p->parts - 1] > 1;
    if (trunk && !other && (near || p->groups[0] > 1)) {
        return near ? 0.85f : 0.5f;
    }
    return near && n >= 7 && n <= 13 ? national(scan, p) : 0.25f;
}

/* Groups of four on both sides: an account or a card, whose every group would be tried. */
static bool four_digits(const weir_guard_scan_t *scan, size_t at)
{
    return at + 4 <= scan->len && weir_is(scan->text[at], WEIR_C_DIGIT) &&
           weir_is(scan->text[at + 1], WEIR_C_DIGIT) && weir_is(scan->text[at + 2], WEIR_C_DIGIT) &&
           weir_is(scan->text[at + 3], WEIR_C_DIGIT);
}

/* start is a digit that begins a group. */
void weir_guard_find_phone(weir_guard_scan_t *scan, size_t start)
{
    phone_t p = {0};
    size_t at = start;
    if (at > 0 && scan->text[at - 1] == '+') {
        at--;
    }
    if (at > 0 && scan->text[at - 1] == '(' && closes(scan, start)) {
        at--;
        at -= at > 0 && scan->text[at - 1] == '+'; /* "+(371) 92707821" */
    }
    bool column = false;
    bool assigned = at > 0 && scan->text[at - 1] == '=';
    if (at > 0) {
        char c = scan->text[at - 1];
        if (weir_is(c, WEIR_C_ALNUM) || weir_one_of(c, "_$%#&@~")) {
            return;
        }
        if (at > 1 && (separator(c) || c == ',' || c == ')') &&
            weir_is(scan->text[at - 2], WEIR_C_DIGIT) && c != ' ') {
            column = c == ',' || c == '/';
            if (!column) {
                return;
            }
        } else if (c == '/' && at > 1 && scan->text[at - 2] != ' ') {
            return;
        }
    }
    if (at >= 5 && at == start && scan->text[at - 1] == ' ' && four_digits(scan, at - 5) &&
        four_digits(scan, at)) {
        return;
    }
    p.start = at;
    if (!collect(scan, at, &p) || (p.count < 7 && !three_pairs(&p))) {
        return;
    }
    scan->work += WEIR_WORK_PHONE;
    size_t end = extension_end(scan, p.end);
    p.extension = end > p.end;
    p.end = end;
    if (end < scan->len) {
        char c = scan->text[end];
        if (weir_is(c, WEIR_C_ALNUM) || weir_one_of(c, "_@%=+")) {
            return;
        }
        if (end + 1 < scan->len && weir_one_of(c, "-./,:") &&
            weir_is(scan->text[end + 1], WEIR_C_DIGIT)) {
            if (c == '-' || c == '.') {
                return;
            }
            column = true;
        }
    }
    /* The end of "9 049 213 373". */
    if (at > 1 && scan->text[at - 1] == ' ' && weir_is(scan->text[at - 2], WEIR_C_DIGIT) &&
        p.groups[0] == 3 && thousands(&p)) {
        return;
    }
    /* Beside commas and strokes only what cannot be an amount. */
    bool clear = p.plus || (north_american(&p) == 2 && p.separators[p.parts - 1] != ' ');
    if (other_number(&p) || weir_guard_same_digits(p.digits, p.count) || (column && !clear) ||
        (assigned && !p.plus && weir_guard_names(scan, at, WEIR_CONTEXT_PHONE) == 0)) {
        return;
    }
    float score = score_of(scan, &p);
    if (score > 0) {
        weir_guard_emit(scan, WEIR_RULE_PHONE, p.start, p.end, score);
        if (score >= 0.5f) {
            scan->phone_cursor = p.end;
        }
    }
}
