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

/* What a word is, of the built-in lists: a set of bits. */
enum {
    WEIR_WORD_TITLE = 1,         /* in front of a name: Mr, Frau */
    WEIR_WORD_GIVEN = 2,         /* a common given name */
    WEIR_WORD_PARTICLE = 4,      /* inside a name: van, de */
    WEIR_WORD_NO_NAME = 8,       /* begins with a capital and is no name: The, Monday */
    WEIR_WORD_STREET_KIND = 16,  /* ends a street in English: Road */
    WEIR_WORD_STREET_START = 32, /* begins a street: Rue, Via */
    WEIR_WORD_STREET_END = 64,   /* ends a street of one or two words: Strasse, gatan */
    WEIR_WORD_UNIT = 128,        /* part of a house: Apt, Suite */
    WEIR_WORD_JOINER = 256       /* small words inside street names: de, of */
};

/* The bits of a word, case of ASCII aside; 0 for most words, after one look at a bitmap. */
unsigned weir_guard_word_kind(const weir_guard_rules_t *rules, const char *text, size_t len);

/* Fills the rules' table of words. False: out of memory. */
bool weir_guard_words_build(weir_guard_rules_t *rules);

/* The built-in lists, words between '|'. */
extern const char weir_guard_given_names[];
extern const char weir_guard_street_ends[];

#endif
