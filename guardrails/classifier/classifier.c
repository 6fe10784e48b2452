#include "guardrails/classifier/classifier.h"

#include "guardrails/classifier/features.h"
#include "guardrails/classifier/grams.h"
#include "guardrails/classifier/window.h"

#include <math.h>
#include <string.h>

typedef int8_t weir_i8x8_t __attribute__((vector_size(8)));
typedef int16_t weir_i16x8_t __attribute__((vector_size(16)));

/* A lane of 16 bits holds this many int8 weights without overflow: 128 * 255 < 2^15. */
#define LANE_SAFE 255

static inline __attribute__((always_inline)) void
add_weights(const int8_t *weights, const uint16_t *bucket, uint32_t n, int32_t sum[WEIR_HEADS])
{
    memset(sum, 0, WEIR_HEADS * sizeof(*sum));
    for (uint32_t from = 0; from < n; from += LANE_SAFE) {
        uint32_t to = n - from < LANE_SAFE ? n : from + LANE_SAFE;
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

#ifdef WEIR_GRAMS_AVX2
__attribute__((target("avx2"))) static void
sum_weights_avx2(const int8_t *weights, const uint16_t *bucket, uint32_t n, int32_t sum[WEIR_HEADS])
{
    add_weights(weights, bucket, n, sum);
}
#endif

static void sum_weights(const int8_t *weights, const uint16_t *bucket, uint32_t n,
                        int32_t sum[WEIR_HEADS])
{
#ifdef WEIR_GRAMS_AVX2
    if (weir_grams_have_avx2()) {
        sum_weights_avx2(weights, bucket, n, sum);
        return;
    }
#endif
    add_weights(weights, bucket, n, sum);
}

/* Takes the open window into the closed ones' scores. */
static void score_window(weir_classify_stream_t *s, weir_seen_t *seen)
{
    uint16_t bucket[WEIR_WINDOW_FEATURES];
    int32_t sum[WEIR_HEADS];
    uint32_t n = weir_window_buckets(s, &s->previous, seen, bucket);
    if (n == 0) {
        return;
    }
    sum_weights(s->model->weights, bucket, n, sum);
    float norm = weir_window_norm(n);
    for (int h = 0; h < WEIR_HEADS; h++) {
        const weir_head_params_t *head = &s->model->head[h];
        float logit = head->bias + head->scale * (float)sum[h] * norm;
        if (s->windows == 0 || logit > s->top[h]) {
            s->top[h] = logit;
        }
        s->total[h] += (double)logit;
    }
    s->windows++;
}

void weir_classify_begin(weir_classify_stream_t *s, const weir_classifier_t *model)
{
    memset(s, 0, offsetof(weir_classify_stream_t, mark));
    s->model = model;
    weir_window_open(s);
}

static void feed(weir_classify_stream_t *s, const char *text, size_t len, weir_seen_t *seen)
{
    while (len > 0) {
        size_t taken = weir_window_take(s, text, len);
        text += taken;
        len -= taken;
        if (len > 0) {
            score_window(s, seen);
            weir_window_open(s);
        }
    }
}

void weir_classify_feed(weir_classify_stream_t *s, const char *text, size_t len)
{
    weir_seen_t seen;
    seen.epoch = 0;
    feed(s, text, len, &seen);
}

/* Ends the stream. */
static void finish(weir_classify_stream_t *s, weir_scores_t *scores, weir_seen_t *seen)
{
    score_window(s, seen);
    for (int h = 0; h < WEIR_HEADS; h++) {
        const weir_head_params_t *head = &s->model->head[h];
        if (s->windows == 0) {
            scores->p[h] = 0;
            continue;
        }
        double mean = s->total[h] / s->windows;
        double logit = mean + (double)head->max_part * ((double)s->top[h] - mean);
        scores->p[h] =
            (float)(1.0 / (1.0 + exp(-((double)head->platt_a * logit + (double)head->platt_b))));
    }
}

void weir_classify_scores(const weir_classify_stream_t *stream, weir_scores_t *scores)
{
    weir_classify_stream_t copy = *stream;
    weir_seen_t seen;
    seen.epoch = 0;
    finish(&copy, scores, &seen);
}

void weir_classify(const weir_classifier_t *model, const char *text, size_t len,
                   weir_scores_t *scores)
{
    weir_classify_stream_t s;
    weir_seen_t seen;
    seen.epoch = 0;
    weir_classify_begin(&s, model);
    feed(&s, text, len, &seen);
    finish(&s, scores, &seen);
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
