/*
 * Check digits and borders that the number rules share. Digit arguments are ASCII digits of the
 * length that the name or the comment says; callers have checked the shape.
 */
#ifndef WEIR_GUARDRAILS_PII_CHECKS_H
#define WEIR_GUARDRAILS_PII_CHECKS_H

#include "guardrails/matcher.h"

/* ISO/IEC 7812-1 annex B over all digits. */
bool weir_guard_luhn(const char *digits, size_t len);

/* All characters are the same. */
bool weir_guard_same_digits(const char *digits, size_t len);

/* Sum of digits times weights. */
unsigned weir_guard_weighted(const char *digits, const int8_t *weights, size_t len);

/* Remainder of a decimal number of any length; m below 2^28. */
uint32_t weir_guard_mod(const char *digits, size_t len, uint32_t m);

/* ISO 7064 MOD 97-10 over letters and digits, A = 10 (no rotation); 1 is right. */
uint32_t weir_guard_mod97(const char *text, size_t len);

/* ISO 7064 MOD 11,10 over all digits, the last the check digit. */
bool weir_guard_mod11_10(const char *digits, size_t len);

/* Verhoeff's dihedral check over all digits, the last the check digit. */
bool weir_guard_verhoeff(const char *digits, size_t len);

/* Is it a day of the calendar? year 0: 29 February passes. */
bool weir_guard_is_date(unsigned year, unsigned month, unsigned day);

/* The number in text[0..n), n <= 9. */
static inline unsigned weir_guard_value(const char *text, size_t n)
{
    unsigned v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v * 10 + (unsigned)(text[i] - '0');
    }
    return v;
}

/*
 * Borders of a number: to the left no letter, digit or underscore, no sign, currency or path mark,
 * and no separator with a digit before it; to the right the like.
 */
bool weir_guard_free_left(const weir_guard_scan_t *scan, size_t start);
bool weir_guard_free_right(const weir_guard_scan_t *scan, size_t end);

/*
 * The same for values that are told from amounts by their groups or their check digits: lists and
 * columns may stand beside them ("7,536-22-8145,12", "4111111111111111:12/27"). A comma between
 * thousands still refuses, and one in front of cents where the value may be an amount.
 */
bool weir_guard_column_left(const weir_guard_scan_t *scan, size_t start);
bool weir_guard_column_right(const weir_guard_scan_t *scan, size_t end, bool cents);

#endif
