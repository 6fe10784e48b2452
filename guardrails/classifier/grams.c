#include "guardrails/classifier/grams.h"

#ifdef WEIR_GRAMS_AVX2

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

/* The multiplier's halves. Only the upper 32 bits of a product modulo 2^64 are wanted. */
#define LOW  _mm256_set1_epi32((int)(WEIR_GRAM_MULTIPLIER & UINT32_MAX))
#define HIGH _mm256_set1_epi32((int)(WEIR_GRAM_MULTIPLIER >> 32))

/* Upper 32 bits of x times the multiplier. */
AVX2 static inline __m256i upper(__m256i x)
{
    __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, LOW), 32);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), LOW);
    return _mm256_add_epi32(_mm256_blend_epi32(even, odd, 0xAA), _mm256_mullo_epi32(x, HIGH));
}

/* Hashes of the grams of three, four and five bytes at eight positions, and all ones in no gram. */
typedef struct {
    __m256i hash[3];
    __m256i none[3];
} weir_eight_t;

AVX2 static inline void eight(const uint8_t *p, weir_eight_t *e)
{
    const __m256i each = _mm256_setr_epi8(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6, 4, 5, 6,
                                          7, 5, 6, 7, 8, 6, 7, 8, 9, 7, 8, 9, 10);
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    __m256i four = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), each);
    __m256i fifth = _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 4));
    e->hash[0] = upper(_mm256_and_si256(four, _mm256_set1_epi32(0xFFFFFF)));
    e->hash[1] = upper(four);
    e->hash[2] = _mm256_add_epi32(e->hash[1], _mm256_mullo_epi32(fifth, LOW));
    __m256i space = _mm256_cmpeq_epi8(four, _mm256_set1_epi8(' '));
    e->none[0] = _mm256_srai_epi32(_mm256_slli_epi32(space, 16), 31);
    e->none[1] = _mm256_or_si256(e->none[0], _mm256_srai_epi32(_mm256_slli_epi32(space, 8), 31));
    e->none[2] = _mm256_or_si256(e->none[1], _mm256_srai_epi32(space, 31));
}

/* Buckets of the upper halves of two vectors of hashes. */
AVX2 static inline void put(__m256i a, __m256i no_a, __m256i b, __m256i no_b, __m256i buckets,
                            uint16_t *out)
{
    __m256i key = _mm256_blend_epi16(_mm256_srli_epi32(a, 16), b, 0xAA);
    __m256i none = _mm256_blend_epi16(no_a, no_b, 0xAA);
    __m256i bucket = _mm256_or_si256(_mm256_mulhi_epu16(key, buckets), none);
    _mm256_storeu_si256((__m256i *)out, _mm256_min_epu16(bucket, buckets));
}

AVX2 uint32_t weir_grams_avx2(const uint8_t *text, uint32_t len, uint32_t buckets, uint16_t *out)
{
    const __m256i all = _mm256_set1_epi16((short)buckets);
    uint32_t n = 0;
    for (uint32_t at = 0; at < len; at += WEIR_GRAMS_GROUP, n += 3 * WEIR_GRAMS_GROUP) {
        weir_eight_t x, y;
        eight(text + at, &x);
        eight(text + at + 8, &y);
        put(x.hash[0], x.none[0], x.hash[1], x.none[1], all, out + n);
        put(y.hash[0], y.none[0], y.hash[1], y.none[1], all, out + n + 16);
        put(x.hash[2], x.none[2], y.hash[2], y.none[2], all, out + n + 32);
    }
    return n;
}

#endif
