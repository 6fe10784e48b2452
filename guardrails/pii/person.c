/*
 * Names of persons, by form: capitalised words behind a title, behind words that introduce a name,
 * or beginning with a common given name. A heuristic that misses most names and takes some places
 * for persons; what needs more is a model's work.
 */
#include "guardrails/pii/words.h"

#include <strings.h>

#define MAX_NAME 24

static const char titles[] = "|mr|mrs|ms|miss|dr|prof|professor|sir|madam|lord|lady|herr|frau|mme|"
                             "monsieur|madame|señor|señora|sr|sra|rev|father|sister|capt|captain|"
                             "sgt|col|gen|judge|senator|";
static const char particles[] = "|de|da|di|van|von|der|den|la|le|el|bin|al|dos|del|af|";
static const char not_names[] =
    "|i|the|a|an|it|this|that|there|here|what|who|how|why|when|where|if|and|but|or|so|no|yes|not|"
    "my|your|his|her|our|their|he|she|we|you|they|monday|tuesday|wednesday|thursday|friday|"
    "saturday|sunday|january|february|march|april|may|june|july|august|september|october|november|"
    "december|english|french|german|spanish|american|street|road|avenue|university|college|"
    "school|hospital|company|inc|ltd|llc|please|thanks|thank|hello|hi|dear|best|regards|";

/* Words that introduce a name, as they end before it. */
static bool introduced(const weir_guard_scan_t *scan, size_t at)
{
    static const char *const leads[] = {
        "name is ",  "name: ",   "name's ",   "named ",   "called ",   "i am ",       "i'm ",
        "dear ",     "name:",    "contact: ", "mother ",  "father ",   "wife ",       "husband ",
        "customer ", "patient ", "employee ", "signed, ", "regards, ", "sincerely, ", "from: "};
    if (at < 5 || memchr(" :", scan->text[at - 1], 2) == NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
        size_t n = strlen(leads[i]);
        if (at >= n && strncasecmp(scan->text + at - n, leads[i], n) == 0 &&
            (at == n || !weir_guard_letter(scan->text[at - n - 1]))) {
            return true;
        }
    }
    return false;
}

/* Further capitalised words, initials and particles behind a name's first word. */
static size_t rest_of_name(const weir_guard_scan_t *scan, size_t end, unsigned *words)
{
    size_t last = end;
    size_t i = end;
    for (int w = 0; w < 5 && *words < 4; w++) {
        i += i < scan->len && scan->text[i] == '.' && i >= 2 &&
             !weir_guard_letter(scan->text[i - 2]);
        if (i + 1 >= scan->len || scan->text[i] != ' ') {
            break;
        }
        size_t start = i + 1;
        size_t stop = weir_guard_word_end(scan, start, MAX_NAME);
        if (stop == start) {
            break;
        }
        if (weir_guard_word_in(scan->text + start, stop - start, particles) &&
            !weir_guard_capital(scan, start)) {
            i = stop;
            continue;
        }
        if (!weir_guard_capital(scan, start) ||
            weir_guard_word_in(scan->text + start, stop - start, not_names)) {
            break;
        }
        (*words)++;
        last = stop;
        i = stop;
    }
    return last;
}

void weir_guard_at_capital(weir_guard_scan_t *scan, size_t at)
{
    if (at < scan->name_cursor) {
        return;
    }
    size_t end = weir_guard_word_end(scan, at, MAX_NAME);
    size_t len = end - at;
    if (len < 2 || (end < scan->len && weir_is(scan->text[end], WEIR_C_ALNUM))) {
        return;
    }
    if (weir_guard_word_in(scan->text + at, len, titles)) {
        size_t name = end;
        name += name < scan->len && scan->text[name] == '.';
        name += name < scan->len && scan->text[name] == ' ';
        if (name > end && weir_guard_capital(scan, name)) {
            size_t first = weir_guard_word_end(scan, name, MAX_NAME);
            unsigned words = 1;
            size_t stop = rest_of_name(scan, first, &words);
            scan->name_cursor = stop;
            weir_guard_emit(scan, WEIR_RULE_PERSON, name, stop, 0.75f);
        }
        return;
    }
    bool given = weir_guard_given_name(scan->text + at, len);
    if (!given && !introduced(scan, at)) {
        return;
    }
    if (weir_guard_word_in(scan->text + at, len, not_names)) {
        return;
    }
    unsigned words = 1;
    size_t stop = rest_of_name(scan, end, &words);
    if (given && words >= 2) {
        scan->name_cursor = stop;
        weir_guard_emit(scan, WEIR_RULE_PERSON, at, stop, 0.65f);
    } else if (introduced(scan, at)) {
        scan->name_cursor = stop;
        weir_guard_emit(scan, WEIR_RULE_PERSON, at, stop, given || words >= 2 ? 0.7f : 0.5f);
    } else {
        weir_guard_emit(scan, WEIR_RULE_PERSON, at, stop, 0.4f);
    }
}
