#include "guardrails/classifier/text.h"

#include "guardrails/classifier/paths.h"

#include <string.h>
#ifdef WEIR_CLASSIFY_X86
#include <immintrin.h>
#endif

/* Text is judged, and turned, in pieces of this many bytes: one sentence may hide in a page. */
#define PIECE 512

/*
 * A piece is turned when that makes it likelier by this much, in tenths of a natural logarithm; a
 * text of a few words, whose letters say little, unless that makes it much less likely.
 */
#define ROT13_MARGIN  20
#define ROT13_LETTERS 8
#define ROT13_SHORT   96
#define ROT13_DOUBT   (-80)

/*
 * For each letter: how much likelier, in tenths of a natural logarithm, the letter 13 places on is
 * in English (shares as published by Lewand, Cryptological Mathematics, 2000), and one LETTER, so
 * that one sum holds both the gain and the number of letters.
 */
#define LETTER        (1 << 16)
#define GAIN(in, out) (LETTER + (out) - (in))
#define A_M                                                                             \
    GAIN(-25, -27), GAIN(-42, -26), GAIN(-36, -39), GAIN(-32, -70), GAIN(-21, -28),     \
        GAIN(-38, -28), GAIN(-39, -24), GAIN(-28, -36), GAIN(-27, -46), GAIN(-65, -37), \
        GAIN(-49, -65), GAIN(-32, -39), GAIN(-37, -72)
#define N_Z                                                                             \
    GAIN(-27, -25), GAIN(-26, -42), GAIN(-39, -36), GAIN(-70, -32), GAIN(-28, -21),     \
        GAIN(-28, -38), GAIN(-24, -39), GAIN(-36, -28), GAIN(-46, -27), GAIN(-37, -65), \
        GAIN(-65, -49), GAIN(-39, -32), GAIN(-72, -37)
static const int32_t TURN[256] = {['A'] = A_M, N_Z, ['a'] = A_M, N_Z};

static void take_larger(weir_scores_t *into, const weir_scores_t *other)
{
    for (int h = 0; h < WEIR_HEADS; h++) {
        into->p[h] = other->p[h] > into->p[h] ? other->p[h] : into->p[h];
    }
}

#ifdef WEIR_CLASSIFY_X86
#define CHUNK 32

/* The sum of TURN over text[0..len), len a multiple of CHUNK. */
__attribute__((target("avx2"))) static int32_t turn_chunks(const char *text, size_t len)
{
    uint8_t gain[CHUNK]; /* of each letter, and 0, above 128 */
    for (int i = 0; i < CHUNK; i++) {
        gain[i] = (uint8_t)(i < 26 ? TURN['a' + i] - LETTER + 128 : 128);
    }
    const __m256i first = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)gain));
    const __m256i last = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)gain + 1));
    const __m256i end = _mm256_set1_epi8(CHUNK - 1); /* no letter: what stands there is 0 */
    __m256i sum = _mm256_setzero_si256(), letters = sum;
    for (size_t at = 0; at < len; at += CHUNK) {
        __m256i c = _mm256_loadu_si256((const __m256i *)(text + at));
        c = _mm256_sub_epi8(_mm256_or_si256(c, _mm256_set1_epi8(32)), _mm256_set1_epi8('a'));
        c = _mm256_min_epu8(c, end);
        __m256i high = _mm256_slli_epi16(c, 3); /* bit 4 of each byte comes to stand on top */
        __m256i g =
            _mm256_blendv_epi8(_mm256_shuffle_epi8(first, c), _mm256_shuffle_epi8(last, c), high);
        sum = _mm256_add_epi64(sum, _mm256_sad_epu8(g, _mm256_setzero_si256()));
        __m256i yes =
            _mm256_and_si256(_mm256_cmpgt_epi8(_mm256_set1_epi8(26), c), _mm256_set1_epi8(1));
        letters = _mm256_add_epi64(letters, _mm256_sad_epu8(yes, _mm256_setzero_si256()));
    }
    int64_t g[4], n[4];
    _mm256_storeu_si256((__m256i *)g, sum);
    _mm256_storeu_si256((__m256i *)n, letters);
    return (int32_t)(g[0] + g[1] + g[2] + g[3] - 128 * (int64_t)len) +
           LETTER * (int32_t)(n[0] + n[1] + n[2] + n[3]);
}
#endif

/* Whether the text turned is likelier by more than the margin. */
static bool turned_is_likelier(const weir_classifier_t *model, const char *text, size_t len,
                               int32_t margin)
{
    int32_t sum[4] = {0};
    size_t i = 0;
#ifdef WEIR_CLASSIFY_X86
    if (model->path != WEIR_PATH_SCALAR) {
        i = len - len % CHUNK;
        sum[1] = turn_chunks(text, i);
    }
#endif
    for (; i + 4 <= len; i += 4) {
        for (int k = 0; k < 4; k++) {
            sum[k] += TURN[(uint8_t)text[i + (size_t)k]];
        }
    }
    for (; i < len; i++) {
        sum[0] += TURN[(uint8_t)text[i]];
    }
    /* PIECE letters and their gains fit 32 bits; the gain is the signed low half. */
    int32_t all = sum[0] + sum[1] + sum[2] + sum[3];
    int32_t letters = (all + LETTER / 2) / LETTER;
    return letters >= ROT13_LETTERS && all - letters * LETTER > margin;
}

static void feed_turned(weir_classify_stream_t *stream, const char *text, size_t len)
{
    char piece[PIECE];
    for (size_t i = 0; i < len; i++) {
        uint8_t lower = (uint8_t)((text[i] | 32) - 'a');
        piece[i] = lower < 26 ? (char)(text[i] + (lower < 13 ? 13 : -13)) : text[i];
    }
    weir_classify_feed(stream, piece, len);
}

static void classify_turned(const weir_classifier_t *model, const char *text, size_t len,
                            weir_scores_t *scores)
{
    weir_classify_stream_t stream;
    int32_t margin = len < ROT13_SHORT ? ROT13_DOUBT : ROT13_MARGIN;
    bool begun = false;
    for (size_t at = 0; at < len; at += PIECE) {
        size_t n = len - at < PIECE ? len - at : PIECE;
        if (!turned_is_likelier(model, text + at, n, margin)) {
            continue;
        }
        if (!begun) {
            weir_classify_begin(&stream, model);
            begun = true;
        }
        feed_turned(&stream, text + at, n);
    }
    if (begun) {
        weir_scores_t turned;
        weir_classify_scores(&stream, &turned);
        take_larger(scores, &turned);
    }
}

bool weir_classify_view_counts(const weir_guard_view_t *views, size_t count, size_t view)
{
    if (view > 0) {
        return views[view].len >= WEIR_CLASSIFY_MIN_LAYER;
    }
    for (size_t v = 1; v < count; v++) {
        if ((views[v].flags & WEIR_GUARD_FOLD_JOINED) != 0) {
            return false;
        }
    }
    return true;
}

void weir_classify_views(const weir_classifier_t *model, const weir_guard_view_t *views,
                         size_t count, weir_scores_t *scores)
{
    memset(scores, 0, sizeof(*scores));
    for (size_t v = 0; v < count; v++) {
        weir_scores_t one;
        if (weir_classify_view_counts(views, count, v)) {
            weir_classify(model, views[v].text, views[v].len, &one);
            take_larger(scores, &one);
        }
        if (v == 0 || (views[v].flags & WEIR_GUARD_FOLD_DECODED) == 0) {
            classify_turned(model, views[v].text, views[v].len, scores);
        }
    }
}

/* --- pages --- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* A sentence seems to end before byte i. */
static bool sentence_ends(const char *text, size_t i)
{
    char c = text[i - 1], end = i >= 2 ? text[i - 2] : ' ';
    return c == '\n' || (is_space(c) && (end == '.' || end == '!' || end == '?'));
}

/* Where a page that holds a run without spaces ends: on a border of four, as codes have them. */
static size_t cut_run(const char *text)
{
    size_t start = WEIR_CLASSIFY_PAGE;
    while (start > 0 && !is_space(text[start - 1])) {
        start--;
    }
    size_t end = WEIR_CLASSIFY_PAGE - (WEIR_CLASSIFY_PAGE - start) % 4;
    while (end > WEIR_CLASSIFY_PAGE - 8 && ((unsigned char)text[end] & 0xC0) == 0x80) {
        end--;
    }
    return end;
}

size_t weir_classify_page(const char *text, size_t len, bool more)
{
    if (len <= WEIR_CLASSIFY_PAGE) {
        return more ? 0 : len;
    }
    size_t space = 0;
    for (size_t i = WEIR_CLASSIFY_PAGE; i > WEIR_CLASSIFY_PAGE / 2; i--) {
        if (i > WEIR_CLASSIFY_PAGE - PIECE && sentence_ends(text, i)) {
            return i;
        }
        if (space == 0 && is_space(text[i - 1])) {
            space = i;
        }
    }
    return space > 0 ? space : cut_run(text);
}

weir_status_t weir_classify_text(const weir_classifier_t *model, weir_guard_fold_t *fold,
                                 const char *text, size_t len, weir_scores_t *scores,
                                 weir_error_t *err)
{
    weir_status_t status = WEIR_OK;
    memset(scores, 0, sizeof(*scores));
    for (size_t at = 0, n; status == WEIR_OK && at < len; at += n) {
        weir_guard_view_t views[WEIR_GUARD_MAX_VIEWS];
        weir_scores_t page;
        size_t count = 0;
        n = weir_classify_page(text + at, len - at, false);
        status = weir_guard_views(fold, text + at, n, 0, views, &count, err);
        if (status == WEIR_OK) {
            weir_classify_views(model, views, count, &page);
            take_larger(scores, &page);
        }
    }
    if (status != WEIR_OK) {
        memset(scores, 0, sizeof(*scores));
    }
    return status;
}
