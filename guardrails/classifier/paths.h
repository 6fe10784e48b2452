/*
 * What is computed many bytes at a time, once for each set of instructions. All give the same as
 * the scalar code in window.c, features.c and classifier.c. Internal to guardrails/classifier.
 */
#ifndef WEIR_GUARD_PATHS_H
#define WEIR_GUARD_PATHS_H

#include "guardrails/classifier/classifier.h"

#include <stddef.h>
#include <string.h>

/* Odd constants with bits well mixed: fractions of the golden ratio and others of that kind. */
#define WEIR_MIX_A \
    0x9E3779B97F4A7C15u /* also what a gram's bytes, as a number, are multiplied by */
#define WEIR_MIX_B  0xD6E8FEB86659FD93u
#define WEIR_PAIR_A 0xC2B2AE3D27D4EB4Fu
#define WEIR_PAIR_B 0xA0761D6478BD642Fu
#define WEIR_PAIR_C 0x5851F42D4C957F2Du

/* Spaces behind a window's words, so that whole vectors may be read there. */
#define WEIR_WORDS_PAD 144

/* Words of a window, each followed by one space, with a space in front of the first. */
typedef struct {
    uint8_t text[sizeof(((weir_classify_stream_t *)0)->text) + WEIR_WORDS_PAD + WEIR_CLASSIFY_WORD];
    uint32_t len;
} weir_words_t;

static inline void weir_words_pad(weir_words_t *words)
{
    memset(words->text + words->len, ' ', WEIR_WORDS_PAD);
}

/* Words met in a window, by hash; one that meets its slot in use counts as new. */
#define WEIR_WORD_SLOTS 256
typedef struct {
    uint64_t hash[WEIR_WORD_SLOTS];
} weir_met_t;

/* Appends a word with the space behind it, unless it has been met. */
static inline void weir_words_add(weir_words_t *once, weir_met_t *met, const uint8_t *word,
                                  uint32_t len, uint64_t hash)
{
    uint64_t *slot = &met->hash[hash >> 56 & (WEIR_WORD_SLOTS - 1)];
    memcpy(once->text + once->len, word, WEIR_CLASSIFY_WORD + 1);
    once->len += *slot == hash ? 0 : len + 1;
    *slot = hash;
}

/* Which buckets a window has met, a bit each. */
#define WEIR_SEEN_WORDS (WEIR_CLASSIFIER_MAX_BUCKETS / 32)
typedef struct {
    uint32_t word[WEIR_SEEN_WORDS];
} weir_seen_t;

/*
 * Moves the distinct ones of n buckets to the front, without branches, and returns their number.
 * All bits of seen must be 0.
 */
static inline __attribute__((always_inline)) uint32_t weir_distinct(weir_seen_t *seen,
                                                                    uint16_t *bucket, uint32_t n)
{
    uint32_t kept = 0;
#pragma GCC unroll 4
    for (uint32_t i = 0; i < n; i++) {
        uint32_t b = bucket[i];
        uint32_t word = seen->word[b / 32];
        bucket[kept] = (uint16_t)b;
#if defined(__x86_64__)
        /* The bit that was there comes to stand in the carry: kept += 1 - carry. */
        __asm__("btsl %2, %0\n\tsbbl $-1, %1" : "+r"(word), "+r"(kept) : "r"(b) : "cc");
#else
        kept += ~(word >> b % 32) & 1;
        word |= (uint32_t)1 << b % 32;
#endif
        seen->word[b / 32] = word;
    }
    return kept;
}

typedef int8_t weir_i8x8_t __attribute__((vector_size(8)));
typedef int16_t weir_i16x8_t __attribute__((vector_size(16)));

/* A lane of 16 bits holds this many int8 weights without overflow: 128 * 255 < 2^15. */
#define WEIR_LANE_SAFE 255

static inline __attribute__((always_inline)) void
weir_add_weights(const int8_t *weights, const uint16_t *bucket, uint32_t n, int32_t sum[WEIR_HEADS])
{
    memset(sum, 0, WEIR_HEADS * sizeof(*sum));
    for (uint32_t from = 0; from < n; from += WEIR_LANE_SAFE) {
        uint32_t to = n - from < WEIR_LANE_SAFE ? n : from + WEIR_LANE_SAFE;
        weir_i16x8_t lane = {0};
#pragma GCC unroll 4
        for (uint32_t i = from; i < to; i++) {
            weir_i8x8_t w;
            memcpy(&w, weights + (size_t)bucket[i] * WEIR_HEADS, sizeof(w));
            lane += __builtin_convertvector(w, weir_i16x8_t);
        }
        for (int h = 0; h < WEIR_HEADS; h++) {
            sum[h] += lane[h];
        }
    }
}

/*
 * What a byte is: 0 a separator, WEIR_CLASS_MARK, else a word's byte, lower-cased. Quotes, commas,
 * full stops, hyphens and underscores separate words and say nothing by themselves.
 */
#define WEIR_CLASS_MARK 1
extern const uint8_t weir_classify_class[256];

#if defined(__x86_64__)
#define WEIR_CLASSIFY_X86 1

/*
 * weir_take_*: takes bytes of text[0..len) into the window up to a mark, a word that is too long,
 * or one that needs another window; returns their number. No mark may be open. AVX2 leaves what is
 * less than 32 bytes.
 */
size_t weir_take_avx2(weir_classify_stream_t *s, const char *text, size_t len);
size_t weir_take_avx512(weir_classify_stream_t *s, const char *text, size_t len);

/*
 * weir_words_avx512: buckets of the words by themselves and with the one before, and in *once,
 * whose padding is left to the caller, each word that the window holds, once. Returns the number of
 * buckets; *previous becomes the last word's hash.
 */
uint32_t weir_words_avx512(const weir_words_t *all, weir_words_t *once, uint64_t *previous,
                           uint32_t buckets, uint16_t *out);

/*
 * weir_grams_*: buckets of the grams that begin in text[0..len), where words and WEIR_WORDS_PAD
 * bytes go on behind it; up to 31 entries behind the buckets are written too.
 */
uint32_t weir_grams_avx2(const uint8_t *text, uint32_t len, uint32_t buckets, uint16_t *out);
uint32_t weir_grams_avx512(const uint8_t *text, uint32_t len, uint32_t buckets, uint16_t *out);

/* weir_sum_*: sums of the heads' weights over n distinct buckets. */
void weir_sum_avx2(const int8_t *weights, const uint16_t *bucket, uint32_t n,
                   int32_t sum[WEIR_HEADS]);
#endif

#endif
