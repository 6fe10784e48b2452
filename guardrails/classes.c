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

/* Latin Extended-A, where the case of most letters is their lowest bit. */
static uint32_t lower_extended(uint32_t code)
{
    if (code == 0x130 || code == 0x138 || code == 0x149 || code == 0x178 || code == 0x17f) {
        return code == 0x178 ? 0xff : code; /* dotted I, kra, 'n and long s have no pair */
    }
    bool odd_upper = (code >= 0x139 && code <= 0x148) || code >= 0x179;
    return (code & 1) == (odd_upper ? 1 : 0) ? code + 1 : code;
}

void weir_guard_lower_two(const char text[2], char lower[2])
{
    uint32_t code = ((unsigned char)text[0] & 0x1fu) << 6 | ((unsigned char)text[1] & 0x3fu);
    bool latin = code >= 0xc0 && code <= 0xde && code != 0xd7;
    bool greek = code >= 0x391 && code <= 0x3ab && code != 0x3a2;
    if (latin || greek || (code >= 0x410 && code <= 0x42f)) {
        code += 0x20;
    } else if (code >= 0x100 && code <= 0x17f) {
        code = lower_extended(code);
    } else if (code == 0x386) {
        code = 0x3ac;
    } else if (code >= 0x388 && code <= 0x38a) {
        code += 0x25;
    } else if (code == 0x38c) {
        code = 0x3cc;
    } else if (code == 0x38e || code == 0x38f) {
        code += 0x3f;
    } else if (code >= 0x400 && code <= 0x40f) {
        code += 0x50;
    } else if (code >= 0x460 && code <= 0x4bf && (code < 0x482 || code > 0x489)) {
        code |= 1;
    }
    lower[0] = (char)(0xc0 | code >> 6);
    lower[1] = (char)(0x80 | (code & 0x3f));
}

/* len bytes, 1 to 8, and what stands in them twice where they are not 8 or 4. */
static uint64_t up_to_eight(const char *text, size_t len)
{
    uint64_t eight = 0;
    if (len >= 8) {
        memcpy(&eight, text, 8);
    } else if (len >= 4) {
        uint32_t first = 0;
        uint32_t last = 0;
        memcpy(&first, text, 4);
        memcpy(&last, text + len - 4, 4);
        eight = first | (uint64_t)last << 32;
    } else {
        eight = (uint64_t)(unsigned char)text[0] | (uint64_t)(unsigned char)text[len / 2] << 8 |
                (uint64_t)(unsigned char)text[len - 1] << 16;
    }
    return eight;
}

uint64_t weir_guard_hash_word(const char *text, size_t len)
{
    uint64_t hash = len * 0xcbf29ce484222325ull;
    for (size_t i = 0; i + 8 < len; i += 8) {
        hash = (hash ^ weir_guard_lower_eight(up_to_eight(text + i, 8))) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 32;
    }
    size_t rest = len < 8 ? len : 8;
    hash = (hash ^ weir_guard_lower_eight(up_to_eight(text + len - rest, rest))) *
           0x9e3779b97f4a7c15ull;
    return hash ^ hash >> 29;
}
