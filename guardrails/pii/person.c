/*
 * Names of persons, by form: capitalised words behind a title, behind words that introduce a name,
 * or beginning with a common given name. A heuristic that misses most names and takes some places
 * for persons; what needs more is a model's work.
 */
#include "guardrails/pii/words.h"

#include <strings.h>

#define MAX_NAME 24

/* Could one of the words below end in these two characters and one more? Mostly none does. */
static bool may_introduce(char before_last, char third_last)
{
    switch (before_last) {
    case 's':
        return third_last == 'i' || third_last == '\'';
    case ':':
        return third_last == 'e' || third_last == 't' || third_last == 'm';
    case 'd':
        return third_last == 'e' || third_last == 'n';
    case 'm':
        return third_last == 'a' || third_last == '\'';
    case 'r':
        return third_last == 'a' || third_last == 'e';
    case 'e':
        return third_last == 'f' || third_last == 'e' || third_last == 'm';
    case 't':
        return third_last == 'n';
    case ',':
        return third_last == 'd' || third_last == 's' || third_last == 'y';
    default:
        return false;
    }
}

/* Words that introduce a name, as they end before it. */
static bool introduced(const weir_guard_scan_t *scan, size_t at)
{
    static const weir_str_t leads[] = {
        {"name is ", 8},     {"name: ", 6},    {"name's ", 7},  {"named ", 6},    {"called ", 7},
        {"i am ", 5},        {"i'm ", 4},      {"dear ", 5},    {"name:", 5},     {"contact: ", 9},
        {"mother ", 7},      {"father ", 7},   {"wife ", 5},    {"husband ", 8},  {"customer ", 9},
        {"patient ", 8},     {"employee ", 9}, {"signed, ", 8}, {"regards, ", 9}, {"from: ", 6},
        {"sincerely, ", 11},
    };
    if (at < 5) {
        return false;
    }
    const char *behind = scan->text + at;
    if ((behind[-1] != ' ' && behind[-1] != ':') ||
        !may_introduce(behind[-2], (char)(behind[-3] | 0x20))) {
        return false;
    }
    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
        size_t n = leads[i].len;
        const char *lead = leads[i].data;
        if (behind[-2] == lead[n - 2] && (behind[-3] | 0x20) == (lead[n - 3] | 0x20) && at >= n &&
            strncasecmp(behind - n, lead, n) == 0 &&
            (at == n || !weir_guard_letter(behind[-(ptrdiff_t)n - 1]))) {
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
        unsigned kind = weir_guard_word_kind(scan->rules, scan->text + start, stop - start);
        if ((kind & WEIR_WORD_PARTICLE) != 0 && !weir_guard_capital(scan, start)) {
            i = stop;
            continue;
        }
        if (!weir_guard_capital(scan, start) || (kind & WEIR_WORD_NO_NAME) != 0) {
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
    unsigned kind = weir_guard_word_kind(scan->rules, scan->text + at, len);
    if ((kind & WEIR_WORD_TITLE) != 0) {
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
    bool given = (kind & WEIR_WORD_GIVEN) != 0;
    bool lead = introduced(scan, at);
    if ((!given && !lead) || (kind & WEIR_WORD_NO_NAME) != 0) {
        return;
    }
    unsigned words = 1;
    size_t stop = rest_of_name(scan, end, &words);
    if (given && words >= 2) {
        scan->name_cursor = stop;
        weir_guard_emit(scan, WEIR_RULE_PERSON, at, stop, 0.65f);
    } else if (lead) {
        scan->name_cursor = stop;
        weir_guard_emit(scan, WEIR_RULE_PERSON, at, stop, given || words >= 2 ? 0.7f : 0.5f);
    } else {
        weir_guard_emit(scan, WEIR_RULE_PERSON, at, stop, 0.4f);
    }
}
