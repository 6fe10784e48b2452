#include "guardrails/classifier/window.h"

#include "guardrails/classifier/features.h"
#include "guardrails/classifier/grams.h"

#include <string.h>
#ifdef WEIR_GRAMS_AVX2
#include <immintrin.h>
#endif

#define MARK 1

/*
 * 0: separator; MARK; else the lower-cased byte of a word. Quotes, commas, full stops, hyphens and
 * underscores separate words and say nothing by themselves.
 */
#define SAME4(c)  (c), (c) + 1, (c) + 2, (c) + 3
#define SAME16(c) SAME4(c), SAME4((c) + 4), SAME4((c) + 8), SAME4((c) + 12)
#define NONE8     0, 0, 0, 0, 0, 0, 0, 0
#define M         MARK
static const uint8_t CLASS[256] = {NONE8, NONE8, NONE8, NONE8, /* controls */
                                   /* space ! " # $ % & ' ( ) * + , - . / */
                                   0, M, 0, M, M, M, M, 0, M, M, M, M, 0, 0, 0, M,
                                   /* 0 to 9 : ; < = > ? */
                                   SAME4('0'), SAME4('4'), '8', '9', M, M, M, M, M, M,
                                   /* @ A to O */
                                   M, 'a', 'b', 'c', SAME4('d'), SAME4('h'), SAME4('l'),
                                   /* P to Z [ \ ] ^ _ */
                                   SAME4('p'), SAME4('t'), 'x', 'y', 'z', M, M, M, M, 0,
                                   /* ` a to o */
                                   M, 'a', 'b', 'c', SAME4('d'), SAME4('h'), SAME4('l'),
                                   /* p to z { | } ~ delete */
                                   SAME4('p'), SAME4('t'), 'x', 'y', 'z', M, M, M, M, 0,
                                   /* bytes of characters beyond ASCII */
                                   SAME16(0x80), SAME16(0x90), SAME16(0xA0), SAME16(0xB0),
                                   SAME16(0xC0), SAME16(0xD0), SAME16(0xE0), SAME16(0xF0)};
#undef M

void weir_window_open(weir_classify_stream_t *s)
{
    s->len = 1;
    s->word = 0;
    s->mark_bytes = 0;
    s->marks = 0;
    s->mark_open = false;
    s->text[0] = ' ';
}

static void end_mark(weir_classify_stream_t *s)
{
    memset(s->mark + s->word, 0, 8);
    s->mark_bucket[s->marks++] = weir_mark_bucket(s->mark, s->word, s->model->buckets);
    s->mark_bytes += s->word + 1;
    s->word = 0;
    s->mark_open = false;
}

/* Ends the open word or mark, if there is one. */
static void end_open(weir_classify_stream_t *s)
{
    if (s->mark_open) {
        end_mark(s);
    } else if (s->word > 0) {
        s->text[s->len++] = ' ';
        s->word = 0;
    }
}

static bool is_full(const weir_classify_stream_t *s)
{
    return s->len - 1 + s->mark_bytes >= WEIR_CLASSIFY_WINDOW;
}

#ifdef WEIR_GRAMS_AVX2

#define CHUNK 32

/* A chunk's bytes, lower-cased, with room to read a whole chunk from any of them. */
typedef struct {
    uint8_t lower[2 * CHUNK];
    uint32_t words;  /* bit i: byte i belongs to a word */
    uint32_t unmark; /* bytes in front of the first that belongs to a mark */
} weir_chunk_t;

/* What CLASS says, in bits. */
__attribute__((target("avx2"))) static inline void read_chunk(const char *text, weir_chunk_t *out)
{
    /* Separators among the sixteen characters from the space on. */
    const __m256i from_space = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(-1, 0, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, -1, -1, 0));
    const __m256i case_bit = _mm256_set1_epi8(32);
    __m256i c = _mm256_loadu_si256((const __m256i *)text);
    __m256i letter = _mm256_sub_epi8(_mm256_or_si256(c, case_bit), _mm256_set1_epi8('a'));
    letter = _mm256_cmpeq_epi8(_mm256_min_epu8(letter, _mm256_set1_epi8(25)), letter);
    __m256i digit = _mm256_sub_epi8(c, _mm256_set1_epi8('0'));
    digit = _mm256_cmpeq_epi8(_mm256_min_epu8(digit, _mm256_set1_epi8(9)), digit);
    __m256i lower = _mm256_or_si256(c, _mm256_and_si256(letter, case_bit));
    __m256i word = _mm256_or_si256(_mm256_or_si256(letter, digit), c); /* the sign bit counts */
    __m256i offset = _mm256_sub_epi8(c, case_bit);
    __m256i near = _mm256_cmpeq_epi8(_mm256_min_epu8(offset, _mm256_set1_epi8(15)), offset);
    __m256i none = _mm256_and_si256(near, _mm256_shuffle_epi8(from_space, offset));
    none = _mm256_or_si256(none, _mm256_cmpgt_epi8(case_bit, c));
    none = _mm256_or_si256(none, _mm256_cmpeq_epi8(c, _mm256_set1_epi8('_')));
    none = _mm256_or_si256(none, _mm256_cmpeq_epi8(c, _mm256_set1_epi8(127)));
    _mm256_storeu_si256((__m256i *)out->lower, lower);
    out->words = (uint32_t)_mm256_movemask_epi8(word);
    uint32_t marks = ~(out->words | (uint32_t)_mm256_movemask_epi8(none));
    out->unmark = marks == 0 ? CHUNK : (uint32_t)__builtin_ctz(marks);
}

/*
 * Takes words of a whole chunk up to the first mark, word that is too long, or word that needs
 * another window; returns the bytes taken. No mark may be open.
 */
static size_t take_chunk(weir_classify_stream_t *s, const char *text)
{
    weir_chunk_t chunk;
    read_chunk(text, &chunk);
    uint64_t words = chunk.words & (((uint64_t)1 << chunk.unmark) - 1);
    uint32_t at = 0;
    if (chunk.unmark > 0 && (words & 1) == 0) {
        end_open(s);
    }
    while (words >> at != 0) {
        uint32_t begin = at + (uint32_t)__builtin_ctzll(words >> at);
        uint32_t run = (uint32_t)__builtin_ctzll(~(words >> begin));
        if (s->word + run > WEIR_CLASSIFY_WORD || (s->word == 0 && is_full(s))) {
            return begin;
        }
        memcpy(s->text + s->len, chunk.lower + begin, CHUNK);
        s->len += run;
        s->word += run;
        at = begin + run;
        if (at == chunk.unmark) {
            return at;
        }
        s->text[s->len++] = ' ';
        s->word = 0;
    }
    return chunk.unmark;
}

#endif

/* Takes what chunks can take from text[i..len) on; returns the index behind it. */
static size_t take_chunks(weir_classify_stream_t *s, const char *text, size_t i, size_t len)
{
#ifdef WEIR_GRAMS_AVX2
    if (!weir_grams_have_avx2()) {
        return i;
    }
    while (!s->mark_open && len - i >= CHUNK) {
        size_t taken = take_chunk(s, text + i);
        i += taken;
        if (taken < CHUNK) {
            break;
        }
    }
#else
    (void)s;
    (void)text;
    (void)len;
#endif
    return i;
}

size_t weir_window_take(weir_classify_stream_t *s, const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t i = 0;
    for (;;) {
        i = take_chunks(s, text, i, len);
        if (i == len) {
            return i;
        }
        uint8_t c = CLASS[p[i]];
        if (c == 0) {
            end_open(s);
            i++;
            continue;
        }
        if (s->word > 0 && ((c == MARK) != s->mark_open || s->word == WEIR_CLASSIFY_WORD)) {
            end_open(s);
        }
        if (s->word == 0 && is_full(s)) {
            return i;
        }
        if (c == MARK) {
            s->mark_open = true;
            s->mark[s->word++] = p[i++];
            continue;
        }
        /* A word's bytes, as many as there are and as fit. */
        uint32_t n = s->word;
        uint8_t *out = s->text + s->len;
        do {
            *out++ = c;
            n++;
            i++;
        } while (i < len && n < WEIR_CLASSIFY_WORD && (c = CLASS[p[i]]) > MARK);
        s->len += n - s->word;
        s->word = n;
    }
}

void weir_each_window(const weir_classifier_t *model, const char *text, size_t len,
                      weir_window_fn fn, void *context)
{
    uint16_t bucket[WEIR_WINDOW_FEATURES];
    weir_classify_stream_t s;
    weir_seen_t seen;
    seen.epoch = 0;
    memset(&s, 0, sizeof(s));
    s.model = model;
    weir_window_open(&s);
    for (;;) {
        size_t taken = weir_window_take(&s, text, len);
        uint32_t n = weir_window_buckets(&s, &s.previous, &seen, bucket);
        if (n > 0) {
            fn(context, bucket, n);
        }
        if (taken == len) {
            return;
        }
        text += taken;
        len -= taken;
        weir_window_open(&s);
    }
}
