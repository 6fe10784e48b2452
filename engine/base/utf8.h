/*
 * One step of UTF-8 decoding (Unicode 15, section 3.9, table 3-7); everything that walks over text
 * builds on it.
 */
#ifndef WEIR_BASE_UTF8_H
#define WEIR_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/*
 * Looks at the bytes data[0..len), len > 0. A well-formed character gives its length (1..4) and the
 * code point in *cp. Otherwise the result is minus the length of the maximal ill-formed subpart
 * (-1..-3), which a reader replaces by one U+FFFD; *cp is then 0xFFFD. When that subpart reaches
 * the end of the data, more bytes might still have completed it.
 */
int weir_utf8_decode(const char *data, size_t len, uint32_t *cp);

/* Writes cp (below 0x110000, no surrogate) to out; returns the length 1..4. */
int weir_utf8_encode(uint32_t cp, char out[4]);

#endif
