/*
 * Combining marks that hide a word: struck through, underlined, heaped up, or one on each letter. A
 * mark that makes a letter of some orthography of its base (Unicode's canonical compositions) stays
 * where the letters beside it have none, so that Vietnamese or Czech in decomposed form is left
 * alone; others are no writing of any language on a Latin letter, a digit or a sign.
 */
#include "guardrails/unicode.h"
#include "guardrails/views.h"

#define FIRST    0x300
#define LAST     0x36f
#define MOST     2 /* marks on one letter that languages write */
#define TOGETHER 3 /* letters with marks in a row that they do not */
#define REACH    8 /* marks looked at on one letter */

bool weir_guard_is_mark(uint32_t code)
{
    return (code >= FIRST && code <= LAST) || (code >= 0x1ab0 && code <= 0x1aff) ||
           (code >= 0x1dc0 && code <= 0x1dff) || (code >= 0x20d0 && code <= 0x20ff) ||
           (code >= 0xfe20 && code <= 0xfe2f);
}

/* Of the marks at FIRST to LAST, which have two bytes; 0: there is none at text[at]. */
static uint32_t mark_at(const char *text, size_t len, size_t at)
{
    if (at + 1 >= len) {
        return 0;
    }
    uint32_t lead = (unsigned char)text[at];
    uint32_t next = (unsigned char)text[at + 1];
    uint32_t code = (lead & 0x1f) << 6 | (next & 0x3f);
    bool two = (lead & 0xe0) == 0xc0 && (next & 0xc0) == 0x80;
    return two && code >= FIRST && code <= LAST ? code : 0;
}

static bool composes(char base, uint32_t mark)
{
    unsigned letter = ((unsigned char)base | 0x20u) - 'a';
    unsigned bit = letter + ((base & 0x20) != 0 ? 26 : 0);
    return letter < 26 && (weir_guard_unicode_compositions[mark - FIRST] >> bit & 1) != 0;
}

/* How many marks stand behind the base at text[at]; *hides: those that hide it. */
static unsigned marks_on(const char *text, size_t len, size_t at, bool *hides)
{
    unsigned n = 0;
    *hides = false;
    for (uint32_t mark; n < REACH && (mark = mark_at(text, len, at + 1 + 2 * n)) != 0; n++) {
        *hides = *hides || !composes(text[at], mark);
    }
    *hides = *hides || n > MOST;
    return n;
}

static bool is_base(char c)
{
    return c >= ' ' && c < 0x7f;
}

/* What comes in the next word does not matter: a stream would have to wait for it. */
static bool in_word(char c)
{
    return is_base(c) && c != ' ';
}

/* The base of the marks that end at `at`; SIZE_MAX: there is none near. */
static size_t base_before(const char *text, size_t len, size_t at)
{
    for (unsigned n = 0; n <= REACH && at > 0; n++) {
        if (is_base(text[at - 1])) {
            return at - 1;
        }
        if (at < 2 || mark_at(text, len, at - 2) == 0) {
            return SIZE_MAX;
        }
        at -= 2;
    }
    return SIZE_MAX;
}

bool weir_guard_mark_hides(const char *text, size_t len, size_t at, uint32_t code)
{
    size_t base = base_before(text, len, at);
    if (base == SIZE_MAX) {
        /* Behind many marks, or on another script's letter. */
        return at >= 2 * REACH && mark_at(text, len, at - 2) != 0 &&
               mark_at(text, len, at - 2 * REACH) != 0;
    }
    bool hides = code < FIRST || code > LAST;
    unsigned n = hides ? 0 : marks_on(text, len, base, &hides);
    if (hides) {
        return true;
    }
    unsigned row = 1;
    bool hides_before = false;
    for (size_t next = base + 1 + 2 * n; row < TOGETHER && next < len && in_word(text[next]);
         row++) {
        n = marks_on(text, len, next, &hides);
        if (n == 0 || hides) {
            break;
        }
        next += 1 + 2 * n;
    }
    for (size_t front = base; row < TOGETHER && front > 0; row++) {
        size_t before = base_before(text, len, front);
        if (before == SIZE_MAX || before + 1 == front || text[before] == ' ') {
            break;
        }
        marks_on(text, len, before, &hides_before);
        front = before;
    }
    return row >= TOGETHER || hides || hides_before;
}
