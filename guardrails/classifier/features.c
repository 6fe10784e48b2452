#include "guardrails/classifier/features.h"

#include "guardrails/classifier/paths.h"
#include "guardrails/classifier/window.h"

#include <string.h>

#define BLOCK 64

static uint64_t mix(uint64_t x)
{
    x *= WEIR_MIX_A;
    x ^= x >> 32;
    return x * WEIR_MIX_B;
}

static inline uint64_t load(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

/* A hash's top 16 bits stand for it until all of a window's are turned into buckets together. */
static inline uint16_t key_of(uint64_t hash)
{
    return (uint16_t)(hash >> 48);
}

static inline uint16_t bucket_of(uint16_t key, uint32_t buckets)
{
    return (uint16_t)((uint32_t)key * buckets >> 16);
}

/* Hash of word[0..len), len > 0; 7 bytes behind the word may be read. Never 0. */
static inline uint64_t word_hash(const uint8_t *word, uint32_t len)
{
    uint64_t hash = len;
    while (len > 8) {
        hash = mix(hash ^ load(word));
        word += 8;
        len -= 8;
    }
    return mix(hash ^ (load(word) & (UINT64_MAX >> (64 - 8 * len)))) | 1;
}

uint16_t weir_mark_bucket(const uint8_t *mark, uint32_t len, uint32_t buckets)
{
    return bucket_of(key_of(mix(word_hash(mark, len))), buckets);
}

/* Bit i: byte i of the 64 is a space. */
static uint64_t spaces(const uint8_t *p)
{
    const uint64_t low = 0x7F7F7F7F7F7F7F7Fu;
    uint64_t mask = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t x = load(p + 8 * i) ^ 0x2020202020202020u;
        uint64_t zero = ~(((x & low) + low) | x | low);
        mask |= ((zero >> 7) * 0x0102040810204080u >> 56) << 8 * i;
    }
    return mask;
}

/*
 * A gram's hash is its bytes, as a number of up to 40 bits, times WEIR_MIX_A; the product of five
 * bytes is that of four plus the fifth's own, so that two small tables save two multiplications of
 * three.
 */
#define TIMES(b, shift) (((uint64_t)(b) << (shift)) * WEIR_MIX_A)
#define TIMES4(b, s)    TIMES(b, s), TIMES((b) + 1, s), TIMES((b) + 2, s), TIMES((b) + 3, s)
#define TIMES16(b, s)   TIMES4(b, s), TIMES4((b) + 4, s), TIMES4((b) + 8, s), TIMES4((b) + 12, s)
#define TIMES64(b, s) \
    TIMES16(b, s), TIMES16((b) + 16, s), TIMES16((b) + 32, s), TIMES16((b) + 48, s)
static const uint64_t FOURTH[256] = {TIMES64(0, 24), TIMES64(64, 24), TIMES64(128, 24),
                                     TIMES64(192, 24)};
static const uint64_t FIFTH[256] = {TIMES64(0, 32), TIMES64(64, 32), TIMES64(128, 32),
                                    TIMES64(192, 32)};

/*
 * Grams of the first positions of a block of 64: one of n bytes may begin and end with a space, but
 * holds none inside. Everything is computed and written; what is no gram is overwritten by the
 * next.
 */
static uint32_t grams(const uint8_t *p, uint64_t solid, uint64_t solid_next, uint32_t positions,
                      uint16_t *out)
{
    uint64_t three = solid >> 1 | solid_next << 63;
    uint64_t four = three & (solid >> 2 | solid_next << 62);
    uint64_t five = four & (solid >> 3 | solid_next << 61);
    uint16_t *to = out;
    for (uint32_t i = 0; i < positions; i++) {
        uint64_t hash = (load(p + i) & 0xFFFFFF) * WEIR_MIX_A;
        *to = key_of(hash);
        to += three & 1;
        hash += FOURTH[p[i + 3]];
        *to = key_of(hash);
        to += four & 1;
        hash += FIFTH[p[i + 4]];
        *to = key_of(hash);
        to += five & 1;
        three >>= 1;
        four >>= 1;
        five >>= 1;
    }
    return (uint32_t)(to - out);
}

/* Keys of a word by itself and with the one before. */
static uint32_t word_keys(uint64_t hash, uint64_t *previous, uint16_t *out)
{
    out[0] = key_of(mix(hash));
    out[1] = key_of(mix(hash ^ (*previous * WEIR_PAIR_A)));
    out[2] = key_of(mix((hash + WEIR_PAIR_C) ^ (*previous * WEIR_PAIR_B)));
    *previous = hash;
    return 3;
}

/*
 * Buckets of all words, and once those words that the window holds more than once: their grams say
 * nothing the second time. A word that met its table's slot in use stands twice, which is harmless.
 */
static uint32_t each_word(const weir_words_t *all, weir_words_t *once, uint64_t *previous,
                          uint32_t buckets, uint16_t *out)
{
    weir_met_t met = {{0}};
    uint32_t n = 0, start = 1;
    once->text[0] = ' ';
    once->len = 1;
    for (uint32_t at = 0; at < all->len; at += BLOCK) {
        uint64_t ends = spaces(all->text + at) & (at == 0 ? UINT64_MAX - 1 : UINT64_MAX);
        for (; ends != 0; ends &= ends - 1) {
            uint32_t end = at + (uint32_t)__builtin_ctzll(ends);
            if (end >= all->len) {
                break;
            }
            uint64_t hash = word_hash(all->text + start, end - start);
            weir_words_add(once, &met, all->text + start, end - start, hash);
            n += word_keys(hash, previous, out + n);
            start = end + 1;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        out[i] = bucket_of(out[i], buckets);
    }
    return n;
}

/* Buckets of the grams that begin in text[0..len); see paths.h. */
static uint32_t word_grams(const uint8_t *text, uint32_t len, uint32_t buckets, uint16_t *out)
{
    uint32_t n = 0;
    uint64_t space = spaces(text);
    for (uint32_t at = 0; at < len; at += BLOCK) {
        uint64_t next = spaces(text + at + BLOCK);
        uint32_t positions = len - at < BLOCK ? len - at : BLOCK;
        n += grams(text + at, ~space, ~next, positions, out + n);
        space = next;
    }
    for (uint32_t i = 0; i < n; i++) {
        out[i] = bucket_of(out[i], buckets);
    }
    return n;
}

static uint32_t gram_buckets(const weir_classifier_t *model, const uint8_t *text, uint32_t len,
                             uint16_t *out)
{
#ifdef WEIR_CLASSIFY_X86
    if (model->path == WEIR_PATH_AVX512) {
        return weir_grams_avx512(text, len, model->buckets, out);
    }
    if (model->path == WEIR_PATH_AVX2) {
        return weir_grams_avx2(text, len, model->buckets, out);
    }
#endif
    return word_grams(text, len, model->buckets, out);
}

/* Buckets of all words, three each; in *once each word that the window holds, once. */
static uint32_t word_buckets(const weir_classifier_t *model, const weir_words_t *all,
                             weir_words_t *once, uint64_t *previous, uint16_t *out)
{
#ifdef WEIR_CLASSIFY_X86
    if (model->path == WEIR_PATH_AVX512) {
        return weir_words_avx512(all, once, previous, model->buckets, out);
    }
#endif
    return each_word(all, once, previous, model->buckets, out);
}

/* The open window's words, with the open one. */
static void read_words(const weir_classify_stream_t *s, weir_words_t *all)
{
    memcpy(all->text, s->text, s->len);
    all->len = s->len;
    if (s->word > 0 && !s->mark_open) {
        all->text[all->len++] = ' ';
    }
    weir_words_pad(all);
}

uint32_t weir_window_buckets(const weir_classify_stream_t *s, uint64_t *previous, uint16_t *out)
{
    weir_seen_t seen;
    weir_words_t all, once;
    read_words(s, &all);
    *previous = s->previous;
    uint32_t n = word_buckets(s->model, &all, &once, previous, out);
    weir_words_pad(&once);
    n += gram_buckets(s->model, once.text, once.len, out + n);
    memcpy(out + n, s->mark_bucket, s->marks * sizeof(*out));
    n += s->marks;
    if (s->mark_open && s->word > 0) {
        out[n++] = weir_mark_bucket(s->mark, s->word, s->model->buckets);
    }
    memset(&seen, 0, sizeof(seen));
    return weir_distinct(&seen, out, n);
}

/* --- parts --- */

/* In which part of its window a bucket was met last, counted from WEIR_CLASSIFY_SPAN; 0: in none.
 */
typedef struct {
    uint8_t part[WEIR_CLASSIFIER_MAX_BUCKETS];
} weir_last_met_t;

/* Keeps those of n buckets that the part and the parts of a span before it have not met. */
static void keep_fresh(weir_last_met_t *met, const uint16_t *bucket, uint32_t n,
                       weir_window_parts_t *parts, uint32_t part)
{
    uint32_t kept = parts->end[part];
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *last = &met->part[bucket[i]];
        parts->bucket[kept] = bucket[i];
        kept += *last <= part;
        *last = (uint8_t)(part + WEIR_CLASSIFY_SPAN);
    }
    parts->end[part] = (uint16_t)kept;
}

void weir_window_parts(const weir_classify_stream_t *s, weir_window_parts_t *parts)
{
    weir_last_met_t met;
    weir_words_t all, once;
    uint16_t words[WEIR_WINDOW_FEATURES], grams_here[8 * WEIR_CLASSIFY_PART];
    uint64_t previous = s->previous;
    uint32_t word = 0, mark = 0;
    read_words(s, &all);
    word_buckets(s->model, &all, &once, &previous, words);
    memset(&met, 0, sizeof(met));
    parts->count = 0;
    for (uint32_t at = 0; at < all.len; at += WEIR_CLASSIFY_PART) {
        uint32_t part = parts->count++;
        uint32_t len = all.len - at < WEIR_CLASSIFY_PART ? all.len - at : WEIR_CLASSIFY_PART;
        /* A word ends at each space but the first. */
        uint64_t ends = spaces(all.text + at) & (((uint64_t)1 << len) - 1);
        uint32_t ended = (uint32_t)__builtin_popcountll(ends) - (at == 0);
        parts->end[part] = part == 0 ? 0 : parts->end[part - 1];
        keep_fresh(&met, words + 3 * (size_t)word, 3 * ended, parts, part);
        word += ended;
        uint32_t n = gram_buckets(s->model, all.text + at, len, grams_here);
        keep_fresh(&met, grams_here, n, parts, part);
        uint32_t first = mark;
        while (mark < s->marks && s->mark_part[mark] == part) {
            mark++;
        }
        keep_fresh(&met, s->mark_bucket + first, mark - first, parts, part);
    }
    if (s->mark_open && s->word > 0) {
        uint16_t last = weir_mark_bucket(s->mark, s->word, s->model->buckets);
        keep_fresh(&met, &last, 1, parts, parts->count - 1);
    }
}
