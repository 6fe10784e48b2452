#include "guardrails/classifier/classifier.h"

#include "guardrails/classifier/features.h"

#include <math.h>
#include <stddef.h>

typedef int8_t weir_i8x8_t __attribute__((vector_size(8)));
typedef int16_t weir_i16x8_t __attribute__((vector_size(16)));

/* A lane of 16 bits holds this many int8 weights without overflow: 127 * 256 < 2^15. */
#define LANE_SAFE 256

#define W      WEIR_KIND_WORD
#define M      WEIR_KIND_MARK
#define X16(v) v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v

/* Quotes, commas, full stops, hyphens and underscores separate words and say nothing. */
const uint8_t weir_classify_kind[256] = {X16(0), X16(0), 0,      M,      0,      M,      M,
                                         M,      M,      0,      M,      M,      M,      M,
                                         0,      0,      0,      M, /* SP ! " # $ % & ' ( ) * + , -
                                                                       . / */
                                         W,      W,      W,      W,      W,      W,      W,
                                         W,      W,      W,      M,      M,      M,      M,
                                         M,      M, /* 0-9 : ; < = > ? */
                                         M,      W,      W,      W,      W,      W,      W,
                                         W,      W,      W,      W,      W,      W,      W,
                                         W,      W, /* @ A-O */
                                         W,      W,      W,      W,      W,      W,      W,
                                         W,      W,      W,      W,      M,      M,      M,
                                         M,      0, /* P-Z [ \ ] ^ _ */
                                         M,      W,      W,      W,      W,      W,      W,
                                         W,      W,      W,      W,      W,      W,      W,
                                         W,      W, /* ` a-o */
                                         W,      W,      W,      W,      W,      W,      W,
                                         W,      W,      W,      W,      M,      M,      M,
                                         M,      0, /* p-z { | } ~ DEL */
                                         X16(W), X16(W), X16(W), X16(W), X16(W), X16(W), X16(W),
                                         X16(W)};

#undef W
#undef M
#undef X16

static uint8_t lower(uint8_t c)
{
    return (uint8_t)(c + ((uint8_t)(c - 'A') < 26 ? 32 : 0));
}

static void close_window(weir_classify_stream_t *s)
{
    if (s->features == 0) {
        return;
    }
    float norm = weir_window_norm(s->features);
    for (int h = 0; h < WEIR_HEADS; h++) {
        float logit = s->model->head[h].bias + s->model->head[h].scale * (float)s->sum[h] * norm;
        if (s->windows == 0 || logit > s->top[h]) {
            s->top[h] = logit;
        }
        s->total[h] += (double)logit;
        s->sum[h] = 0;
    }
    s->windows++;
    s->features = 0;
    s->bytes = 0;
    memset(s->seen, 0, (s->model->buckets + 63) / 64 * sizeof(s->seen[0]));
}

/* Adds the weights of the buckets not yet met in this window. */
static void add_buckets(weir_classify_stream_t *s, const uint16_t *bucket, uint32_t n)
{
    const int8_t *weights = s->model->weights;
    weir_i16x8_t lane = {0};
    uint32_t fresh = 0;
    _Static_assert(WEIR_WORD_FEATURES <= LANE_SAFE, "a word's weights fit the lanes");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t b = bucket[i];
        uint64_t old = s->seen[b >> 6];
        uint64_t is_new = (~old >> (b & 63)) & 1;
        s->seen[b >> 6] = old | (uint64_t)1 << (b & 63);
        weir_i8x8_t w;
        memcpy(&w, weights + (size_t)b * WEIR_HEADS, sizeof(w));
        lane += __builtin_convertvector(w, weir_i16x8_t) & (int16_t) - (int16_t)is_new;
        fresh += (uint32_t)is_new;
    }
    for (int h = 0; h < WEIR_HEADS; h++) {
        s->sum[h] += lane[h];
    }
    s->features += fresh;
}

/* Ends the word in s->word, whose bytes behind word_len are zero, and scores it. */
static void end_word(weir_classify_stream_t *s)
{
    uint16_t bucket[WEIR_WORD_FEATURES + 2];
    uint32_t len = s->word_len;
    if (s->bytes >= WEIR_CLASSIFY_WINDOW) {
        close_window(s);
    }
    memset(s->word + 1 + len, 0, 15);
    uint32_t n =
        weir_word_features(s->word, len, s->word_kind, s->model->buckets, &s->previous, bucket);
    add_buckets(s, bucket, n);
    s->bytes += len + 1;
    s->word_len = 0;
    s->word_kind = WEIR_KIND_NONE;
}

void weir_classify_begin(weir_classify_stream_t *s, const weir_classifier_t *model)
{
    memset(s, 0, offsetof(weir_classify_stream_t, seen));
    s->model = model;
    memset(s->seen, 0, (model->buckets + 63) / 64 * sizeof(s->seen[0]));
    memset((char *)s + offsetof(weir_classify_stream_t, sum), 0,
           sizeof(*s) - offsetof(weir_classify_stream_t, sum));
    s->word[0] = ' ';
}

void weir_classify_feed(weir_classify_stream_t *s, const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    const uint8_t *end = p + len;
    while (p < end) {
        uint8_t kind = weir_classify_kind[*p];
        if (s->word_len != 0 && (kind != s->word_kind || s->word_len == WEIR_CLASSIFY_WORD)) {
            end_word(s);
        }
        if (kind == WEIR_KIND_NONE) {
            p++;
            continue;
        }
        s->word_kind = kind;
        uint32_t n = s->word_len;
        do {
            s->word[1 + n++] = lower(*p++);
        } while (p < end && n < WEIR_CLASSIFY_WORD && weir_classify_kind[*p] == kind);
        s->word_len = n;
    }
}

static void finish(weir_classify_stream_t *s, weir_scores_t *scores)
{
    if (s->word_len != 0) {
        end_word(s);
    }
    close_window(s);
    for (int h = 0; h < WEIR_HEADS; h++) {
        const weir_head_params_t *head = &s->model->head[h];
        if (s->windows == 0) {
            scores->p[h] = 0;
            continue;
        }
        double mean = s->total[h] / s->windows;
        double logit =
            (double)head->max_part * (double)s->top[h] + (1.0 - (double)head->max_part) * mean;
        scores->p[h] =
            (float)(1.0 / (1.0 + exp(-((double)head->platt_a * logit + (double)head->platt_b))));
    }
}

void weir_classify_scores(const weir_classify_stream_t *stream, weir_scores_t *scores)
{
    weir_classify_stream_t copy = *stream;
    finish(&copy, scores);
}

void weir_classify(const weir_classifier_t *model, const char *text, size_t len,
                   weir_scores_t *scores)
{
    weir_classify_stream_t s;
    weir_classify_begin(&s, model);
    weir_classify_feed(&s, text, len);
    finish(&s, scores);
}

weir_zone_t weir_classify_zone(const weir_classifier_t *model, weir_head_t head, float p)
{
    const weir_head_params_t *params = &model->head[head];
    return p >= params->block    ? WEIR_ZONE_BLOCK
           : p >= params->review ? WEIR_ZONE_REVIEW
                                 : WEIR_ZONE_PASS;
}

const char *weir_head_name(weir_head_t head)
{
    static const char *const names[WEIR_HEADS] = {"toxicity",  "insult",          "threat",
                                                  "sexual",    "identity_attack", "self_harm",
                                                  "injection", "jailbreak"};
    return (unsigned)head < WEIR_HEADS ? names[head] : "";
}
