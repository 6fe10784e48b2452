/*
 * Runs of digits, and of letters and digits, from a place in a text on: the parsers of numbers read
 * groups by them instead of byte after byte. Bit i of a mask is the byte at + i.
 */
#ifndef WEIR_GUARDRAILS_RUNS_H
#define WEIR_GUARDRAILS_RUNS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define WEIR_RUNS       64 /* bytes that the masks know */
#define WEIR_RUNS_SHARE 32 /* that a look from the middle of them still knows */

typedef struct {
    size_t at; /* SIZE_MAX: of no place yet */
    uint64_t digit;
    uint64_t alnum;
} weir_guard_runs_t;

static inline void weir_guard_runs_of(const char block[WEIR_RUNS], weir_guard_runs_t *runs)
{
    uint64_t digit = 0;
    uint64_t alnum = 0;
#if defined(__SSE2__)
    for (unsigned i = 0; i < WEIR_RUNS; i += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(block + i));
        __m128i d = _mm_sub_epi8(v, _mm_set1_epi8('0'));
        __m128i a = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i digits = _mm_cmpeq_epi8(_mm_min_epu8(d, _mm_set1_epi8(9)), d);
        __m128i letters = _mm_cmpeq_epi8(_mm_min_epu8(a, _mm_set1_epi8(25)), a);
        digit |= (uint64_t)(uint32_t)_mm_movemask_epi8(digits) << i;
        alnum |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_or_si128(digits, letters)) << i;
    }
#else
    for (unsigned i = 0; i < WEIR_RUNS; i++) {
        unsigned c = (unsigned char)block[i];
        uint64_t is_digit = c - '0' < 10u;
        digit |= is_digit << i;
        alnum |= (is_digit | ((c | 0x20) - 'a' < 26u)) << i;
    }
#endif
    runs->digit = digit;
    runs->alnum = alnum;
}

/* The masks from at on, at least WEIR_RUNS_SHARE bytes of them; what lies behind the text's end is
 * neither letter nor digit. *known is what an earlier call left. */
static inline weir_guard_runs_t weir_guard_runs_from(weir_guard_runs_t *known, const char *text,
                                                     size_t len, size_t at)
{
    if (at < known->at || at - known->at > WEIR_RUNS - WEIR_RUNS_SHARE) {
        known->at = at;
        if (at < len && len - at >= WEIR_RUNS) {
            weir_guard_runs_of(text + at, known);
        } else {
            char rest[WEIR_RUNS] = {0};
            memcpy(rest, text + (at < len ? at : len), at < len ? len - at : 0);
            weir_guard_runs_of(rest, known);
        }
    }
    unsigned skip = (unsigned)(at - known->at);
    return (weir_guard_runs_t){at, known->digit >> skip, known->alnum >> skip};
}

/* How many of a mask's lowest bits are set. */
static inline size_t weir_guard_run_length(uint64_t mask)
{
    return ~mask == 0 ? WEIR_RUNS : (size_t)__builtin_ctzll(~mask);
}

#endif
