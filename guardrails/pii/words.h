/* Word helpers that the name and the address heuristics share. */
#ifndef WEIR_GUARDRAILS_PII_WORDS_H
#define WEIR_GUARDRAILS_PII_WORDS_H

#include "guardrails/matcher.h"

/* A letter of any script that is written with spaces, or an apostrophe or hyphen inside a word. */
static inline bool weir_guard_letter(char c)
{
    return weir_is(c, WEIR_C_ALPHA) || (unsigned char)c >= 0x80;
}

/* End of the word at start: letters, with single apostrophes and hyphens between them. */
size_t weir_guard_word_end(const weir_guard_scan_t *scan, size_t start, size_t limit);

/* Does a word that begins here look like a proper noun? */
static inline bool weir_guard_capital(const weir_guard_scan_t *scan, size_t at)
{
    return at < scan->len &&
           (weir_is(scan->text[at], WEIR_C_UPPER) || (unsigned char)scan->text[at] >= 0xc3);
}

/* Is the word in a sorted '|'-terminated list: "|ave|st|"? Case of ASCII aside. */
bool weir_guard_word_in(const char *text, size_t len, const char *list);

/* A given name of the built-in list (person_names.c). */
bool weir_guard_given_name(const char *text, size_t len);

#endif
