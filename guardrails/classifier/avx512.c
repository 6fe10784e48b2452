/* AVX-512 (with VBMI and VBMI2, as in processors since 2019): 64 bytes or eight words at a time. */
#include "guardrails/classifier/paths.h"

#ifdef WEIR_CLASSIFY_X86

#include <immintrin.h>

#define AVX512      \
    __attribute__(( \
        target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi,avx512vbmi2,bmi,bmi2,popcnt")))
#define CHUNK 64

/* --- bytes into words --- */

/* Up to 64 bytes of text: what stands in the window for them, and bits of those that are what. */
typedef struct {
    __m512i bytes;
    uint64_t words;
    uint64_t marks;
} weir_chunk_t;

AVX512 static inline weir_chunk_t read_chunk(const char *text, size_t n)
{
    weir_chunk_t chunk;
    __m512i c = n == CHUNK ? _mm512_loadu_si512(text)
                           : _mm512_maskz_loadu_epi8(_bzhi_u64(UINT64_MAX, (unsigned)n), text);
    __m512i class = _mm512_permutex2var_epi8(_mm512_loadu_si512(weir_classify_class), c,
                                             _mm512_loadu_si512(weir_classify_class + CHUNK));
    class = _mm512_mask_mov_epi8(class, _mm512_movepi8_mask(c), c);
    chunk.words = _mm512_cmpgt_epu8_mask(class, _mm512_set1_epi8(WEIR_CLASS_MARK));
    chunk.marks = _mm512_cmpeq_epu8_mask(class, _mm512_set1_epi8(WEIR_CLASS_MARK));
    chunk.bytes = _mm512_mask_mov_epi8(_mm512_set1_epi8(' '), chunk.words, class);
    return chunk;
}

/* Where the first run of more than 32 bits begins, open bits of it being before; 64: there is none.
 */
AVX512 static inline uint64_t long_run(uint64_t words, uint32_t open)
{
    uint64_t x = words & words >> 1;
    if (open + _tzcnt_u64(~words) > WEIR_CLASSIFY_WORD && (words & 1) != 0) {
        return 0;
    }
    x &= x >> 2;
    x &= x >> 4;
    x &= x >> 8;
    x &= x >> 16;
    return _tzcnt_u64(x & words >> WEIR_CLASSIFY_WORD);
}

/*
 * Where the first word begins that needs another window; 64: none does. keep holds the bytes that
 * make the window longer.
 */
AVX512 static inline uint64_t overflow(const weir_classify_stream_t *s, uint64_t keep,
                                       uint64_t begins)
{
    uint32_t fill = s->len - 1 + s->mark_bytes;
    uint32_t room = fill < WEIR_CLASSIFY_WINDOW ? WEIR_CLASSIFY_WINDOW - fill : 0;
    if ((uint64_t)_mm_popcnt_u64(keep) < room) {
        return CHUNK;
    }
    uint64_t last = room == 0 ? 0 : _pdep_u64((uint64_t)1 << (room - 1), keep);
    return _tzcnt_u64(begins & (room == 0 ? UINT64_MAX : ~(last | (last - 1))));
}

AVX512 size_t weir_take_avx512(weir_classify_stream_t *s, const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = len - i < CHUNK ? len - i : CHUNK;
        weir_chunk_t chunk = read_chunk(text + i, n);
        uint64_t words = chunk.words, before = words << 1 | (s->word > 0);
        uint64_t end = _tzcnt_u64(chunk.marks), stop = long_run(words, s->word);
        end = end < n ? end : n;
        end = stop < end ? stop : end;
        uint64_t keep = _bzhi_u64(words | before, (unsigned)end);
        stop = overflow(s, keep, words & ~before);
        end = stop < end ? stop : end;
        if (end == 0) {
            return i;
        }
        keep = _bzhi_u64(keep, (unsigned)end);
        _mm512_storeu_si512(s->text + s->len, _mm512_maskz_compress_epi8(keep, chunk.bytes));
        s->len += (uint32_t)_mm_popcnt_u64(keep);
        uint32_t run = (uint32_t)__builtin_clzll(~(words << (CHUNK - end)));
        s->word = run == end ? s->word + run : run;
        i += end;
        if (end < n) {
            return i;
        }
    }
    return len;
}

/* --- words into buckets --- */

/* Eight lanes at once of what features.c does one by one. */
AVX512 static inline __m512i mix(__m512i x)
{
    x = _mm512_mullo_epi64(x, _mm512_set1_epi64((long long)WEIR_MIX_A));
    x = _mm512_xor_si512(x, _mm512_srli_epi64(x, 32));
    return _mm512_mullo_epi64(x, _mm512_set1_epi64((long long)WEIR_MIX_B));
}

/* Hashes of eight words. */
AVX512 static inline __m512i word_hashes(const uint8_t *text, __m512i start, __m512i len)
{
    const __m512i eight = _mm512_set1_epi64(8);
    __m512i hash = len, bytes = _mm512_i64gather_epi64(start, text, 1);
    __mmask8 more = _mm512_cmpgt_epi64_mask(len, eight);
    while (more != 0) {
        hash = _mm512_mask_mov_epi64(hash, more, mix(_mm512_xor_si512(hash, bytes)));
        start = _mm512_add_epi64(start, eight);
        len = _mm512_mask_sub_epi64(len, more, len, eight);
        bytes = _mm512_mask_i64gather_epi64(bytes, more, start, text, 1);
        more = _mm512_cmpgt_epi64_mask(len, eight);
    }
    __m512i unused = _mm512_slli_epi64(_mm512_sub_epi64(eight, len), 3);
    bytes = _mm512_and_si512(bytes, _mm512_srlv_epi64(_mm512_set1_epi64(-1), unused));
    return _mm512_or_si512(mix(_mm512_xor_si512(hash, bytes)), _mm512_set1_epi64(1));
}

/* Three buckets for each of eight words. */
AVX512 static inline void word_buckets(__m512i hash, __m512i previous, __m512i buckets,
                                       uint16_t *out)
{
    __m512i a = _mm512_mullo_epi64(previous, _mm512_set1_epi64((long long)WEIR_PAIR_A));
    __m512i b = _mm512_mullo_epi64(previous, _mm512_set1_epi64((long long)WEIR_PAIR_B));
    __m512i c = _mm512_add_epi64(hash, _mm512_set1_epi64((long long)WEIR_PAIR_C));
    __m512i keys = _mm512_srli_epi64(mix(_mm512_xor_si512(c, b)), 48);
    keys = _mm512_shldi_epi64(keys, mix(_mm512_xor_si512(hash, a)), 16);
    keys = _mm512_shldi_epi64(keys, mix(hash), 16);
    keys = _mm512_mulhi_epu16(keys, buckets);
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi16(0x77777777, keys));
}

/* Where the spaces of words stand; entries behind the last are such that vectors may be read. */
typedef struct {
    uint16_t at[sizeof(((weir_words_t *)0)->text) / 2 + CHUNK];
    uint32_t count;
} weir_spaces_t;

AVX512 static inline void find_spaces(const weir_words_t *words, weir_spaces_t *spaces)
{
    static const uint8_t each[CHUNK] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    uint32_t n = 0;
    for (uint32_t at = 0; at < words->len; at += CHUNK) {
        __m512i bytes = _mm512_loadu_si512(words->text + at);
        uint64_t space = _mm512_cmpeq_epu8_mask(bytes, _mm512_set1_epi8(' '));
        space = _bzhi_u64(space, words->len - at < CHUNK ? words->len - at : CHUNK);
        __m512i where = _mm512_maskz_compress_epi8(space, _mm512_loadu_si512(each));
        where = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(where));
        _mm512_storeu_si512(spaces->at + n, _mm512_add_epi16(where, _mm512_set1_epi16((short)at)));
        n += (uint32_t)_mm_popcnt_u64(space);
    }
    _mm512_storeu_si512(spaces->at + n, _mm512_set1_epi16((short)words->len));
    spaces->count = n;
}

AVX512 uint32_t weir_words_avx512(const weir_words_t *all, weir_words_t *once, uint64_t *previous,
                                  uint32_t buckets, uint16_t *out)
{
    weir_spaces_t spaces;
    weir_met_t met = {{0}};
    uint64_t hash[8];
    find_spaces(all, &spaces);
    uint32_t words = spaces.count - 1;
    __m512i carry = _mm512_set1_epi64((long long)*previous);
    once->text[0] = ' ';
    once->len = 1;
    for (uint32_t w = 0; w < words; w += 8) {
        const uint16_t *at = spaces.at + w;
        __m512i start = _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)at));
        __m512i end = _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)(at + 1)));
        start = _mm512_add_epi64(start, _mm512_set1_epi64(1));
        __m512i hashes = word_hashes(all->text, start, _mm512_sub_epi64(end, start));
        word_buckets(hashes, _mm512_alignr_epi64(hashes, carry, 7),
                     _mm512_set1_epi16((short)buckets), out + 3 * (size_t)w);
        carry = hashes;
        _mm512_storeu_si512(hash, hashes);
        uint32_t n = words - w < 8 ? words - w : 8;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t from = at[i] + 1u;
            weir_words_add(once, &met, all->text + from, at[i + 1] - from, hash[i]);
        }
        *previous = hash[n - 1];
    }
    return 3 * words;
}

/* --- grams --- */

/*
 * Buckets of the grams of n bytes at 32 positions: lane i of hash j is position 4 i + j, so that
 * shifting the four together brings the positions into order.
 */
AVX512 static inline __m512i gram_buckets(__m512i bytes, __mmask64 used, __m512i buckets)
{
    const __m512i times = _mm512_set1_epi64((long long)WEIR_MIX_A);
    const __m512i one = _mm512_set1_epi8(1);
    __m512i from = _mm512_set_epi64(0x232221201F1E1D1C, 0x1F1E1D1C1B1A1918, 0x1B1A191817161514,
                                    0x1716151413121110, 0x131211100F0E0D0C, 0x0F0E0D0C0B0A0908,
                                    0x0B0A090807060504, 0x0706050403020100);
    __m512i hash[4];
    for (int j = 0; j < 4; j++) {
        hash[j] = _mm512_mullo_epi64(_mm512_maskz_permutexvar_epi8(used, from, bytes), times);
        from = _mm512_add_epi8(from, one);
    }
    __m512i keys = _mm512_srli_epi64(hash[3], 48);
    keys = _mm512_shldi_epi64(keys, hash[2], 16);
    keys = _mm512_shldi_epi64(keys, hash[1], 16);
    keys = _mm512_shldi_epi64(keys, hash[0], 16);
    return _mm512_mulhi_epu16(keys, buckets);
}

AVX512 static inline uint32_t put(__m512i bucket, uint32_t is_gram, uint16_t *out)
{
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi16(is_gram, bucket));
    return (uint32_t)_mm_popcnt_u32(is_gram);
}

AVX512 uint32_t weir_grams_avx512(const uint8_t *text, uint32_t len, uint32_t buckets,
                                  uint16_t *out)
{
    const __m512i all = _mm512_set1_epi16((short)buckets);
    uint32_t n = 0;
    for (uint32_t at = 0; at < len; at += 32) {
        __m512i bytes = _mm512_loadu_si512(text + at);
        uint64_t solid = _mm512_cmpneq_epu8_mask(bytes, _mm512_set1_epi8(' '));
        uint64_t three = solid >> 1, four = three & solid >> 2, five = four & solid >> 3;
        n += put(gram_buckets(bytes, 0x0707070707070707, all), (uint32_t)three, out + n);
        n += put(gram_buckets(bytes, 0x0F0F0F0F0F0F0F0F, all), (uint32_t)four, out + n);
        n += put(gram_buckets(bytes, 0x1F1F1F1F1F1F1F1F, all), (uint32_t)five, out + n);
    }
    return n;
}

#endif
