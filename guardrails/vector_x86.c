/* The vector loops for AVX2, and for AVX-512 with VBMI (AMD64 Architecture Programmer's Manual,
 * volumes 4 and 5; Intel SDM volume 2). */
#include "guardrails/vector.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2   __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi")))

/* ---- AVX2: two halves of 32 bytes a block ---- */

AVX2 static inline __m256i load32(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

AVX2 static inline __m256i is32(__m256i v, char c)
{
    return _mm256_cmpeq_epi8(v, _mm256_set1_epi8(c));
}

AVX2 static inline __m256i range32(__m256i v, char low, char span)
{
    __m256i d = _mm256_sub_epi8(v, _mm256_set1_epi8(low));
    return _mm256_cmpeq_epi8(_mm256_min_epu8(d, _mm256_set1_epi8(span)), d);
}

AVX2 static inline uint64_t bits32(__m256i v)
{
    return (uint32_t)_mm256_movemask_epi8(v);
}

AVX2 static inline __m256i marks32(const char *text, __m256i v)
{
    __m256i next = load32(text + 1);
    __m256i space = _mm256_set1_epi8(' ');
    __m256i ends = _mm256_cmpeq_epi8(_mm256_min_epu8(next, space), next);
    return _mm256_or_si256(_mm256_or_si256(is32(v, '@'), is32(v, ':')),
                           _mm256_andnot_si256(ends, is32(v, '.')));
}

AVX2 static void classify_avx2(const char *text, size_t blocks, weir_guard_bits_t *bits)
{
    for (size_t b = 0; b < blocks; b++, text += WEIR_BLOCK) {
        __m256i v = load32(text);
        __m256i w = load32(text + 32);
        __m256i fold = _mm256_set1_epi8(0x20);
        bits[b].digit = bits32(range32(v, '0', 9)) | bits32(range32(w, '0', 9)) << 32;
        bits[b].mark = bits32(marks32(text, v)) | bits32(marks32(text + 32, w)) << 32;
        bits[b].upper = bits32(range32(v, 'A', 25)) | bits32(range32(w, 'A', 25)) << 32;
        bits[b].alpha = bits32(range32(_mm256_or_si256(v, fold), 'a', 25)) |
                        bits32(range32(_mm256_or_si256(w, fold), 'a', 25)) << 32;
    }
}

/*
 * A table of 64 bytes (without the bits 0x80 and 0x20 there are 64 values) is four tables of 16:
 * a shuffle gives 0 where an index has its top bit, which (byte ^ part) + 0x70 has for the bytes of
 * the other parts.
 */
typedef struct {
    __m256i part2, part3, part6, part7;
} index_t;

AVX2 static inline __m256i index_of(__m256i v, char part)
{
    return _mm256_add_epi8(_mm256_xor_si256(v, _mm256_set1_epi8(part)), _mm256_set1_epi8(0x70));
}

AVX2 static inline index_t index32(const char *text)
{
    __m256i v = _mm256_or_si256(_mm256_and_si256(load32(text), _mm256_set1_epi8(0x7f)),
                                _mm256_set1_epi8(0x20));
    return (index_t){index_of(v, 0x20), index_of(v, 0x30), index_of(v, 0x60), index_of(v, 0x70)};
}

AVX2 static inline __m256i shuffle32(const uint8_t *table, __m256i index)
{
    const __m128i *sixteen = (const __m128i *)(const void *)table;
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(sixteen)), index);
}

AVX2 static inline __m256i look32(const uint8_t table[128], const index_t *index)
{
    __m256i low = _mm256_or_si256(shuffle32(table + 0x20, index->part2),
                                  shuffle32(table + 0x30, index->part3));
    __m256i high = _mm256_or_si256(shuffle32(table + 0x60, index->part6),
                                   shuffle32(table + 0x70, index->part7));
    return _mm256_or_si256(low, high);
}

/* The bytes at which no literal's lead stands, as 0xff. */
AVX2 static inline __m256i none32(const weir_guard_filter_t *filter, const char *text)
{
    index_t index = index32(text);
    __m256i low = look32(filter->table[0][0], &index);
    __m256i high = look32(filter->table[1][0], &index);
    index = index32(text + 1);
    low = _mm256_and_si256(low, look32(filter->table[0][1], &index));
    high = _mm256_and_si256(high, look32(filter->table[1][1], &index));
    index = index32(text + 2);
    low = _mm256_and_si256(low, look32(filter->table[0][2], &index));
    high = _mm256_and_si256(high, look32(filter->table[1][2], &index));
    return _mm256_cmpeq_epi8(_mm256_or_si256(low, high), _mm256_setzero_si256());
}

AVX2 static void literals_avx2(const weir_guard_filter_t *filter, const char *text, size_t blocks,
                               uint64_t *found)
{
    for (size_t b = 0; b < blocks; b++, text += WEIR_BLOCK) {
        found[b] = ~(bits32(none32(filter, text)) | bits32(none32(filter, text + 32)) << 32);
    }
}

AVX2 static inline __m256i base64_32(__m256i v)
{
    __m256i letters = range32(_mm256_or_si256(v, _mm256_set1_epi8(0x20)), 'a', 25);
    return _mm256_or_si256(
        _mm256_or_si256(letters, range32(v, '/', 10)), /* and the digits */
        _mm256_or_si256(_mm256_or_si256(is32(v, '+'), is32(v, '-')), is32(v, '_')));
}

/* Two eights of base64 characters in a row; *last: the text ended with one (bit 0). */
static inline uint64_t eights(uint64_t base64, uint64_t *last)
{
    base64 &= base64 >> 1;
    base64 &= base64 >> 2;
    base64 &= base64 >> 4;
    base64 &= 0x0101010101010101;
    uint64_t twice = base64 & (base64 << 8 | *last);
    *last = base64 >> 56;
    return twice;
}

AVX2 static unsigned survey_avx2(const char *text, size_t blocks)
{
    __m256i high = _mm256_setzero_si256();
    __m256i escapes = high;
    uint64_t twice = 0;
    uint64_t last = 0;
    for (size_t b = 0; b < blocks; b++, text += WEIR_BLOCK) {
        __m256i v = load32(text);
        __m256i w = load32(text + 32);
        high = _mm256_or_si256(high, _mm256_or_si256(v, w));
        escapes = _mm256_or_si256(escapes, _mm256_or_si256(is32(v, '%'), is32(w, '%')));
        escapes = _mm256_or_si256(escapes, _mm256_or_si256(is32(v, '&'), is32(w, '&')));
        escapes = _mm256_or_si256(escapes, _mm256_or_si256(is32(v, '\\'), is32(w, '\\')));
        twice |= eights(bits32(base64_32(v)) | bits32(base64_32(w)) << 32, &last);
    }
    return (bits32(high) != 0 ? WEIR_SURVEY_HIGH : 0u) |
           (bits32(escapes) != 0 ? WEIR_SURVEY_ESCAPE : 0u) |
           (twice != 0 ? WEIR_SURVEY_BASE64 : 0u);
}

AVX2 static void lower_avx2(char *out, const char *text, size_t blocks)
{
    for (size_t i = 0; i < blocks * WEIR_BLOCK; i += 32) {
        __m256i v = load32(text + i);
        __m256i up = _mm256_and_si256(range32(v, 'A', 25), _mm256_set1_epi8(0x20));
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm256_or_si256(v, up));
    }
}

const weir_guard_vector_t *weir_guard_vector_avx2(void)
{
    static const weir_guard_vector_t avx2 = {"avx2", classify_avx2, literals_avx2, survey_avx2,
                                             lower_avx2};
    return __builtin_cpu_supports("avx2") ? &avx2 : NULL;
}

/* ---- AVX-512: a block at a time ---- */

AVX512 static inline __m512i load64(const void *from)
{
    return _mm512_loadu_si512(from);
}

AVX512 static inline uint64_t is64(__m512i v, char c)
{
    return _mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8(c));
}

AVX512 static inline uint64_t range64(__m512i v, char low, char span)
{
    return _mm512_cmple_epu8_mask(_mm512_sub_epi8(v, _mm512_set1_epi8(low)),
                                  _mm512_set1_epi8(span));
}

AVX512 static void classify_avx512(const char *text, size_t blocks, weir_guard_bits_t *bits)
{
    for (size_t b = 0; b < blocks; b++, text += WEIR_BLOCK) {
        __m512i v = load64(text);
        uint64_t goes_on = _mm512_cmpgt_epu8_mask(load64(text + 1), _mm512_set1_epi8(' '));
        bits[b].digit = range64(v, '0', 9);
        bits[b].mark = is64(v, '@') | is64(v, ':') | (is64(v, '.') & goes_on);
        bits[b].upper = range64(v, 'A', 25);
        bits[b].alpha = range64(_mm512_or_si512(v, _mm512_set1_epi8(0x20)), 'a', 25);
    }
}

AVX512 static void literals_avx512(const weir_guard_filter_t *filter, const char *text,
                                   size_t blocks, uint64_t *found)
{
    __m512i low[2][3];
    __m512i high[2][3];
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned place = 0; place < 3; place++) {
            low[t][place] = load64(filter->table[t][place]);
            high[t][place] = load64(filter->table[t][place] + 64);
        }
    }
    for (size_t b = 0; b < blocks; b++, text += WEIR_BLOCK) {
        __m512i v[3] = {load64(text), load64(text + 1), load64(text + 2)};
        __m512i any[2];
        for (unsigned t = 0; t < 2; t++) {
            __m512i all = _mm512_permutex2var_epi8(low[t][0], v[0], high[t][0]);
            __m512i second = _mm512_permutex2var_epi8(low[t][1], v[1], high[t][1]);
            __m512i third = _mm512_permutex2var_epi8(low[t][2], v[2], high[t][2]);
            any[t] = _mm512_and_si512(_mm512_and_si512(all, second), third);
        }
        __m512i both = _mm512_or_si512(any[0], any[1]);
        found[b] = _mm512_test_epi8_mask(both, both);
    }
}

AVX512 static unsigned survey_avx512(const char *text, size_t blocks)
{
    uint64_t high = 0;
    uint64_t escapes = 0;
    uint64_t twice = 0;
    uint64_t last = 0;
    for (size_t b = 0; b < blocks; b++, text += WEIR_BLOCK) {
        __m512i v = load64(text);
        high |= _mm512_movepi8_mask(v);
        escapes |= is64(v, '%') | is64(v, '&') | is64(v, '\\');
        uint64_t base64 = range64(_mm512_or_si512(v, _mm512_set1_epi8(0x20)), 'a', 25) |
                          range64(v, '/', 10) | is64(v, '+') | is64(v, '-') | is64(v, '_');
        twice |= eights(base64, &last);
    }
    return (high != 0 ? WEIR_SURVEY_HIGH : 0u) | (escapes != 0 ? WEIR_SURVEY_ESCAPE : 0u) |
           (twice != 0 ? WEIR_SURVEY_BASE64 : 0u);
}

AVX512 static void lower_avx512(char *out, const char *text, size_t blocks)
{
    for (size_t i = 0; i < blocks * WEIR_BLOCK; i += WEIR_BLOCK) {
        __m512i v = load64(text + i);
        v = _mm512_mask_add_epi8(v, range64(v, 'A', 25), v, _mm512_set1_epi8(0x20));
        _mm512_storeu_si512(out + i, v);
    }
}

const weir_guard_vector_t *weir_guard_vector_avx512(void)
{
    static const weir_guard_vector_t avx512 = {"avx512", classify_avx512, literals_avx512,
                                               survey_avx512, lower_avx512};
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi")
               ? &avx512
               : NULL;
}

#else

const weir_guard_vector_t *weir_guard_vector_avx2(void)
{
    return NULL;
}

const weir_guard_vector_t *weir_guard_vector_avx512(void)
{
    return NULL;
}

#endif
