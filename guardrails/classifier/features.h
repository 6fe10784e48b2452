/*
 * From bytes to hashed features, shared by scoring and training so that both see the same: words
 * (runs of letters, digits and bytes over 0x7F; runs of other printable characters), their
 * character 3- to 5-grams with one space on each side, the word itself and the pair with the word
 * before. A pair counts under two hashes, so that what it says outweighs what its two words say by
 * themselves, and is not lost where one of its buckets is shared. Internal to guardrails/classifier
 * and guardrails/training.
 */
#ifndef WEIR_GUARD_FEATURES_H
#define WEIR_GUARD_FEATURES_H

#include "guardrails/classifier/classifier.h"

#include <string.h>

/* Text between two closings of a window, counted as word bytes plus one each. */
#define WEIR_CLASSIFY_WINDOW 512

/* A window with few features is not trusted as one with many: its length is never taken below the
 * square root of this. */
#define WEIR_CLASSIFY_DAMPING 48

/* 32 bytes with two spaces: 32 + 31 + 30 grams, the word, the pair twice. */
#define WEIR_WORD_FEATURES 96

enum { WEIR_KIND_NONE, WEIR_KIND_WORD, WEIR_KIND_MARK };

/* WEIR_KIND_* of every byte. */
extern const uint8_t weir_classify_kind[256];

static inline uint64_t weir_feature_mix(uint64_t x)
{
    x *= 0x9E3779B97F4A7C15u;
    x ^= x >> 32;
    return x * 0xD6E8FEB86659FD93u;
}

static inline uint64_t weir_feature_load(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

static inline uint32_t weir_feature_bucket(uint64_t hash, uint32_t buckets)
{
    return (uint32_t)(((hash >> 32) * buckets) >> 32);
}

/* Hash of word[0..len); up to 8 bytes behind it are read and must be 0. Never 0. */
static inline uint64_t weir_feature_word(const uint8_t *word, uint32_t len)
{
    uint64_t hash = len;
    for (uint32_t i = 0; i < len; i += 8) {
        hash = weir_feature_mix(hash ^ weir_feature_load(word + i));
    }
    return hash | 1;
}

/*
 * Features of one word: word[0] is a space, word[1..len] the lower-cased bytes, word[len + 1..]
 * at least 15 zero bytes. Writes bucket numbers, not yet made distinct, to out (room for
 * WEIR_WORD_FEATURES) and returns their number. *previous is the chain of pairs.
 */
static inline uint32_t weir_word_features(uint8_t *word, uint32_t len, uint8_t kind,
                                          uint32_t buckets, uint64_t *previous, uint16_t *out)
{
    const uint64_t k = 0x9E3779B97F4A7C15u;
    uint64_t hash = weir_feature_word(word + 1, len);
    uint32_t n = 0;
    out[n++] = (uint16_t)weir_feature_bucket(weir_feature_mix(hash), buckets);
    if (kind == WEIR_KIND_MARK) {
        return n;
    }
    out[n++] = (uint16_t)weir_feature_bucket(
        weir_feature_mix(hash ^ (*previous * 0xC2B2AE3D27D4EB4Fu)), buckets);
    out[n++] = (uint16_t)weir_feature_bucket(
        weir_feature_mix((hash + 0x5851F42D4C957F2Du) ^ (*previous * 0xA0761D6478BD642Fu)),
        buckets);
    *previous = hash;
    word[len + 1] = ' ';
    uint32_t padded = len + 2;
    for (uint32_t i = 0; i + 3 <= padded; i++) {
        uint64_t x = weir_feature_load(word + i);
        out[n] = (uint16_t)weir_feature_bucket((x & 0xFFFFFF) * k, buckets);
        out[n + 1] = (uint16_t)weir_feature_bucket((x & 0xFFFFFFFF) * k, buckets);
        out[n + 2] = (uint16_t)weir_feature_bucket((x & 0xFFFFFFFFFF) * k, buckets);
        n += i + 5 <= padded ? 3 : i + 4 <= padded ? 2 : 1;
    }
    word[len + 1] = 0;
    return n;
}

/* The share of a window's weight sum that one unit of it has in the logit. */
static inline float weir_window_norm(uint32_t features)
{
    float n = (float)(features + WEIR_CLASSIFY_DAMPING);
    return 1.0f / __builtin_sqrtf(n);
}

#endif
