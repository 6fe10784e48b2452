/* Buckets of character grams, eight positions at a time. Internal to guardrails/classifier. */
#ifndef WEIR_GUARD_GRAMS_H
#define WEIR_GUARD_GRAMS_H

#include <stdbool.h>
#include <stdint.h>

/* What a gram's bytes, as a little-endian number, are multiplied with; see features.c. */
#define WEIR_GRAM_MULTIPLIER 0x9E3779B97F4A7C15u

/* Positions are done in groups of this many; text must be readable for 16 bytes behind a group. */
#define WEIR_GRAMS_GROUP 16

#if defined(__x86_64__)
#define WEIR_GRAMS_AVX2 1

static inline bool weir_grams_have_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

/*
 * Writes three buckets for each position of text[0..len), len rounded up to whole groups, and
 * returns their number. What is no gram, having a space inside, is written as `buckets`. Spaces
 * must follow the text.
 */
uint32_t weir_grams_avx2(const uint8_t *text, uint32_t len, uint32_t buckets, uint16_t *out);
#endif

#endif
