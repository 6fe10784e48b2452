/* AVX2: 32 bytes or eight grams at a time. */
#include "guardrails/classifier/paths.h"

#ifdef WEIR_CLASSIFY_X86

#include <immintrin.h>

#define AVX2  __attribute__((target("avx2,bmi,bmi2,popcnt")))
#define CHUNK 32

/*
 * For each mask of eight bits the indices of those that are set, a byte each, the lowest first:
 * what shuffles the elements of a mask to the front. Each level says whether its bit is set.
 */
#define BIT0(v) (v), (v) << 8
#define BIT1(v) BIT0(v), BIT0((v) << 8 | 1)
#define BIT2(v) BIT1(v), BIT1((v) << 8 | 2)
#define BIT3(v) BIT2(v), BIT2((v) << 8 | 3)
#define BIT4(v) BIT3(v), BIT3((v) << 8 | 4)
#define BIT5(v) BIT4(v), BIT4((v) << 8 | 5)
#define BIT6(v) BIT5(v), BIT5((v) << 8 | 6)
#define BIT7(v) BIT6(v), BIT6((v) << 8 | 7)
static const uint64_t FRONT[256] = {BIT7((uint64_t)0)};

/* --- bytes into words --- */

/* 32 bytes of text: what stands in the window for them, and bits of those that are what. */
typedef struct {
    __m256i bytes;
    uint32_t words;
    uint32_t marks;
} weir_chunk_t;

/* What weir_classify_class says. */
AVX2 static inline weir_chunk_t read_chunk(const char *text)
{
    weir_chunk_t chunk;
    /* Separators among the sixteen characters from the space on. */
    const __m256i from_space = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, 0, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, -1, -1, 0));
    const __m256i space = _mm256_set1_epi8(' '); /* also the bit that lower-cases */
    __m256i c = _mm256_loadu_si256((const __m256i *)text);
    __m256i letter = _mm256_sub_epi8(_mm256_or_si256(c, space), _mm256_set1_epi8('a'));
    letter = _mm256_cmpeq_epi8(_mm256_min_epu8(letter, _mm256_set1_epi8(25)), letter);
    __m256i digit = _mm256_sub_epi8(c, _mm256_set1_epi8('0'));
    digit = _mm256_cmpeq_epi8(_mm256_min_epu8(digit, _mm256_set1_epi8(9)), digit);
    __m256i lower = _mm256_or_si256(c, _mm256_and_si256(letter, space));
    __m256i word = _mm256_or_si256(_mm256_or_si256(letter, digit), c); /* the sign bit counts */
    __m256i offset = _mm256_sub_epi8(c, space);
    __m256i near = _mm256_cmpeq_epi8(_mm256_min_epu8(offset, _mm256_set1_epi8(15)), offset);
    __m256i none = _mm256_and_si256(near, _mm256_shuffle_epi8(from_space, offset));
    none = _mm256_or_si256(none, _mm256_cmpgt_epi8(space, c));
    none = _mm256_or_si256(none, _mm256_cmpeq_epi8(c, _mm256_set1_epi8('_')));
    none = _mm256_or_si256(none, _mm256_cmpeq_epi8(c, _mm256_set1_epi8(127)));
    chunk.bytes = _mm256_blendv_epi8(space, lower, word);
    chunk.words = (uint32_t)_mm256_movemask_epi8(word);
    chunk.marks = ~(chunk.words | (uint32_t)_mm256_movemask_epi8(none));
    return chunk;
}

/*
 * Where the first word begins that needs another window; CHUNK or more: none does. keep holds the
 * bytes that make the window longer.
 */
AVX2 static inline uint32_t overflow(const weir_classify_stream_t *s, uint32_t keep,
                                     uint32_t begins)
{
    uint32_t fill = s->len - 1 + s->mark_bytes;
    uint32_t room = fill < WEIR_CLASSIFY_WINDOW ? WEIR_CLASSIFY_WINDOW - fill : 0;
    if ((uint32_t)_mm_popcnt_u32(keep) < room) {
        return CHUNK;
    }
    while (begins != 0 && (uint32_t)_mm_popcnt_u32(keep & ((begins & -begins) - 1)) < room) {
        begins &= begins - 1;
    }
    return _tzcnt_u32(begins);
}

/* Writes the bytes that keep has bits of, and up to eight more at a time; returns their number. */
AVX2 static inline uint32_t compress(__m256i bytes, uint32_t keep, uint8_t *out)
{
    uint8_t from[CHUNK];
    uint32_t n = 0;
    _mm256_storeu_si256((__m256i *)from, bytes);
    for (int i = 0; i < CHUNK; i += 8, keep >>= 8) {
        __m128i order = _mm_loadl_epi64((const __m128i *)&FRONT[keep & 255]);
        __m128i eight = _mm_loadl_epi64((const __m128i *)(from + i));
        _mm_storel_epi64((__m128i *)(out + n), _mm_shuffle_epi8(eight, order));
        n += (uint32_t)_mm_popcnt_u32(keep & 255);
    }
    return n;
}

AVX2 size_t weir_take_avx2(weir_classify_stream_t *s, const char *text, size_t len)
{
    size_t i = 0;
    while (len - i >= CHUNK) {
        weir_chunk_t chunk = read_chunk(text + i);
        uint32_t words = chunk.words, before = words << 1 | (s->word > 0);
        uint32_t end = _tzcnt_u32(chunk.marks), stop;
        if (s->word + _tzcnt_u32(~words) > WEIR_CLASSIFY_WORD && (words & 1) != 0) {
            return i;
        }
        uint32_t keep = _bzhi_u32(words | before, end);
        stop = overflow(s, keep, words & ~before);
        end = stop < end ? stop : end;
        if (end == 0) {
            return i;
        }
        keep = _bzhi_u32(keep, end);
        s->len += compress(chunk.bytes, keep, s->text + s->len);
        uint32_t run = (uint32_t)__builtin_clzll(~((uint64_t)words << (64 - end)));
        s->word = run == end ? s->word + run : run;
        i += end;
        if (end < CHUNK) {
            return i;
        }
    }
    return i;
}

/* --- grams --- */

/* The multiplier's halves. Only the upper 32 bits of a product modulo 2^64 are wanted. */
#define LOW  _mm256_set1_epi32((int)(WEIR_MIX_A & UINT32_MAX))
#define HIGH _mm256_set1_epi32((int)(WEIR_MIX_A >> 32))

/* Upper 32 bits of x times the multiplier. */
AVX2 static inline __m256i upper(__m256i x)
{
    __m256i even = _mm256_srli_epi64(_mm256_mul_epu32(x, LOW), 32);
    __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), LOW);
    return _mm256_add_epi32(_mm256_blend_epi32(even, odd, 0xAA), _mm256_mullo_epi32(x, HIGH));
}

/* Hashes of the grams of three, four and five bytes at eight positions. */
typedef struct {
    __m256i hash[3];
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
}

/* Eight of 16 bits, those of the mask first; returns how many they are. */
AVX2 static inline uint32_t put(__m128i bucket, uint32_t mask, uint16_t *out)
{
    __m128i order = _mm_cvtepu8_epi16(_mm_loadl_epi64((const __m128i *)&FRONT[mask & 255]));
    /* Byte indices 2 k and 2 k + 1 for index k. */
    order = _mm_add_epi16(_mm_mullo_epi16(order, _mm_set1_epi16(0x0202)), _mm_set1_epi16(0x0100));
    _mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(bucket, order));
    return (uint32_t)_mm_popcnt_u32(mask & 255);
}

AVX2 uint32_t weir_grams_avx2(const uint8_t *text, uint32_t len, uint32_t buckets, uint16_t *out)
{
    const __m256i all = _mm256_set1_epi16((short)buckets);
    uint32_t n = 0;
    for (uint32_t at = 0; at < len; at += 16) {
        const uint8_t *p = text + at;
        __m256i bytes = _mm256_loadu_si256((const __m256i *)p);
        weir_eight_t x, y;
        uint32_t grams =
            ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(' '))) >> 1;
        eight(p, &x);
        eight(p + 8, &y);
        for (int size = 0; size < 3; size++) {
            __m256i keys = _mm256_packus_epi32(_mm256_srli_epi32(x.hash[size], 16),
                                               _mm256_srli_epi32(y.hash[size], 16));
            keys = _mm256_mulhi_epu16(_mm256_permute4x64_epi64(keys, 0xD8), all);
            n += put(_mm256_castsi256_si128(keys), grams, out + n);
            n += put(_mm256_extracti128_si256(keys, 1), grams >> 8, out + n);
            grams &= grams >> 1;
        }
    }
    return n;
}

AVX2 void weir_sum_avx2(const int8_t *weights, const uint16_t *bucket, uint32_t n,
                        int32_t sum[WEIR_HEADS])
{
    weir_add_weights(weights, bucket, n, sum);
}

#endif
