/* Tables of the normaliser, written by unicode_tables.py: what to do with a code point. */
#ifndef WEIR_GUARDRAILS_UNICODE_H
#define WEIR_GUARDRAILS_UNICODE_H

#include <stdint.h>

typedef enum {
    WEIR_UNICODE_NONE,
    WEIR_UNICODE_STRIP,
    WEIR_UNICODE_BIDI,
    WEIR_UNICODE_TAG,
    WEIR_UNICODE_COMPAT,
    WEIR_UNICODE_DIGIT,
    WEIR_UNICODE_CONFUSABLE, /* a letter; the text is the Latin look-alike */
    WEIR_UNICODE_UPPER,      /* a letter; the text is its lower case */
    WEIR_UNICODE_LETTER      /* a letter or a mark */
} weir_guard_unicode_kind_t;

typedef struct {
    uint16_t offset; /* of the replacement in the pool, UTF-8 */
    uint8_t len;
    uint8_t kind;
} weir_guard_unicode_t;

extern const uint16_t weir_guard_unicode_index[0x110000 / 128];
extern const uint16_t weir_guard_unicode_cells[];
extern const weir_guard_unicode_t weir_guard_unicode_actions[];
extern const uint8_t weir_guard_unicode_pool[];
/* Of each mark at U+0300 to U+036F, the letters that it makes one character with: bit 0 is A, bit
 * 26 is a. */
extern const uint64_t weir_guard_unicode_compositions[];

/* code is below 0x110000. */
static inline const weir_guard_unicode_t *weir_guard_unicode(uint32_t code)
{
    uint32_t cell = (uint32_t)weir_guard_unicode_index[code >> 7] * 128 + (code & 127);
    return &weir_guard_unicode_actions[weir_guard_unicode_cells[cell]];
}

#endif
