/* The table of byte classes. */
#include "guardrails/matcher.h"

#define TIED    (WEIR_C_NO_LEFT | WEIR_C_NO_RIGHT)
#define JOINS   (WEIR_C_JOIN_LEFT | WEIR_C_JOIN_RIGHT)
#define DIGIT   (WEIR_C_DIGIT | WEIR_C_HEX | WEIR_C_ATEXT | WEIR_C_HOST | WEIR_C_URL | TIED)
#define LETTER  (WEIR_C_ATEXT | WEIR_C_HOST | WEIR_C_URL | TIED)
#define UPPER   (WEIR_C_UPPER | LETTER | WEIR_C_B58)
#define LOWER   (WEIR_C_LOWER | LETTER | WEIR_C_B58)
#define FOREIGN (WEIR_C_ATEXT | WEIR_C_HOST | WEIR_C_URL)

/*
 * Bytes of two-byte UTF-8 sequences (Latin, Greek, Cyrillic, ...) may stand in addresses; those of
 * longer ones end a token, because scripts such as Chinese write no spaces around it. Continuation
 * bytes are common to both: a parser that walks left must step over them at its end.
 */
const uint16_t weir_guard_class[256] = {
    ['0'] = DIGIT,
    ['1' ... '9'] = DIGIT | WEIR_C_B58,
    ['A' ... 'F'] = UPPER | WEIR_C_HEX,
    ['G' ... 'H'] = UPPER,
    ['I'] = WEIR_C_UPPER | LETTER,
    ['J' ... 'N'] = UPPER,
    ['O'] = WEIR_C_UPPER | LETTER,
    ['P' ... 'Z'] = UPPER,
    ['a' ... 'f'] = LOWER | WEIR_C_HEX,
    ['g' ... 'k'] = LOWER,
    ['l'] = WEIR_C_LOWER | LETTER,
    ['m' ... 'z'] = LOWER,
    ['\\'] = WEIR_C_NO_LEFT,
    ['-'] = WEIR_C_ATEXT | WEIR_C_HOST | WEIR_C_URL | JOINS,
    ['.'] = WEIR_C_ATEXT | WEIR_C_URL | JOINS,
    ['_'] = WEIR_C_ATEXT | WEIR_C_URL | TIED,
    ['+'] = WEIR_C_ATEXT | WEIR_C_URL | WEIR_C_NO_LEFT,
    ['%'] = WEIR_C_ATEXT | WEIR_C_URL | TIED,
    ['\''] = WEIR_C_ATEXT | WEIR_C_URL,
    ['~'] = WEIR_C_URL,
    [':'] = WEIR_C_URL | WEIR_C_JOIN_RIGHT,
    ['/'] = WEIR_C_URL | JOINS,
    ['?'] = WEIR_C_URL,
    ['#'] = WEIR_C_URL,
    ['['] = WEIR_C_URL,
    [']'] = WEIR_C_URL,
    ['@'] = WEIR_C_URL | WEIR_C_NO_RIGHT,
    ['!'] = WEIR_C_ATEXT | WEIR_C_URL,
    ['$'] = WEIR_C_URL | WEIR_C_NO_LEFT,
    ['&'] = WEIR_C_ATEXT | WEIR_C_URL,
    ['('] = WEIR_C_URL,
    [')'] = WEIR_C_URL,
    ['*'] = WEIR_C_URL,
    [','] = WEIR_C_URL | JOINS,
    [';'] = WEIR_C_URL,
    ['='] = WEIR_C_URL,
    [0x80 ... 0xbf] = FOREIGN,
    [0xc2 ... 0xdf] = FOREIGN,
};
