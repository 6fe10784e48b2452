/*
 * Character classes for the pre-tokenizers: Unicode's letters (L*), numbers (N*) and White_Space.
 * The tables are generated; see unicode_tables.py for their version. Thread-safe, no allocation.
 */
#ifndef WEIR_LLM_UNICODE_H
#define WEIR_LLM_UNICODE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    WEIR_UNICODE_OTHER = 0,
    WEIR_UNICODE_LETTER,
    WEIR_UNICODE_NUMBER,
    WEIR_UNICODE_SPACE
} weir_unicode_class_t;

#define WEIR_UNICODE_BLOCKS      1608
#define WEIR_UNICODE_LATE_RANGES 2

/* Blocks of 128 code points, two bits each. Code points behind the last block are OTHER. */
extern const uint8_t weir_unicode_index[WEIR_UNICODE_BLOCKS];
extern const uint64_t weir_unicode_blocks[][4];

/* Numbers of a later Unicode version that only the digit-isolating step knows. */
extern const uint32_t weir_unicode_late_digits[WEIR_UNICODE_LATE_RANGES][2];

static inline weir_unicode_class_t weir_unicode_class(uint32_t cp)
{
    uint32_t block = cp >> 7;
    if (block >= WEIR_UNICODE_BLOCKS) {
        return WEIR_UNICODE_OTHER;
    }
    uint64_t word = weir_unicode_blocks[weir_unicode_index[block]][(cp >> 5) & 3];
    return (weir_unicode_class_t)((word >> ((cp & 31) * 2)) & 3);
}

/* Whether the step that isolates digits takes cp: NUMBER, or one of the later ones. */
static inline bool weir_unicode_is_digit(uint32_t cp)
{
    weir_unicode_class_t class = weir_unicode_class(cp);
    if (class != WEIR_UNICODE_OTHER || cp < weir_unicode_late_digits[0][0]) {
        return class == WEIR_UNICODE_NUMBER;
    }
    for (int i = 0; i < WEIR_UNICODE_LATE_RANGES; i++) {
        if (cp >= weir_unicode_late_digits[i][0] && cp <= weir_unicode_late_digits[i][1]) {
            return true;
        }
    }
    return false;
}

#endif
