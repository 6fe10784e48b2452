#include "guardrails/classifier/classifier.h"

#include "guardrails/classifier/features.h"
#include "guardrails/classifier/paths.h"
#include "guardrails/classifier/window.h"

#include <float.h>
#include <math.h>
#include <string.h>

weir_classify_path_t weir_classify_best_path(void)
{
#ifdef WEIR_CLASSIFY_X86
    /* This asks cpuid and xgetbv: the system must save the registers too. */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")) {
        bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2");
        return wide ? WEIR_PATH_AVX512 : WEIR_PATH_AVX2;
    }
#endif
    return WEIR_PATH_SCALAR;
}

static void sum_weights(const weir_classifier_t *model, const uint16_t *bucket, uint32_t n,
                        int32_t sum[WEIR_HEADS])
{
#ifdef WEIR_CLASSIFY_X86
    if (model->path != WEIR_PATH_SCALAR) {
        weir_sum_avx2(model->weights, bucket, n, sum);
        return;
    }
#endif
    weir_add_weights(model->weights, bucket, n, sum);
}

/* Takes the spans that end in the open window. */
static void score_spans(weir_classify_stream_t *s)
{
    weir_window_parts_t parts;
    int32_t sum[WEIR_HEADS];
    uint32_t from = 0;
    weir_window_parts(s, &parts);
    for (uint32_t k = 0; k < parts.count; k++) {
        uint32_t n = parts.end[k] - from;
        float norm = weir_window_norm(s->tail_features[0] + s->tail_features[1] + n);
        sum_weights(s->model, parts.bucket + from, n, sum);
        for (int h = 0; h < WEIR_HEADS; h++) {
            float x = (float)(s->tail[0][h] + s->tail[1][h] + sum[h]) * norm;
            s->span[h] = x > s->span[h] ? x : s->span[h];
        }
        memcpy(s->tail[0], s->tail[1], sizeof(s->tail[0]));
        memcpy(s->tail[1], sum, sizeof(s->tail[1]));
        s->tail_features[0] = s->tail_features[1];
        s->tail_features[1] = (uint16_t)n;
        from = parts.end[k];
    }
}

/* No span of the window is asked for, nor one that goes on from it. */
static void skip_spans(weir_classify_stream_t *s)
{
    memset(s->tail, 0, sizeof(s->tail));
    memset(s->tail_features, 0, sizeof(s->tail_features));
}

/* Takes the open window into the closed ones' scores. */
static void score_window(weir_classify_stream_t *s)
{
    uint16_t bucket[WEIR_WINDOW_FEATURES];
    int32_t sum[WEIR_HEADS];
    uint64_t previous;
    bool near = false;
    uint32_t n = weir_window_buckets(s, &previous, bucket);
    if (n == 0) {
        return;
    }
    sum_weights(s->model, bucket, n, sum);
    float norm = weir_window_norm(n);
    for (int h = 0; h < WEIR_HEADS; h++) {
        const weir_head_params_t *head = &s->model->head[h];
        float logit = head->bias + head->scale * (float)sum[h] * norm;
        if (s->windows == 0 || logit > s->top[h]) {
            s->top[h] = logit;
        }
        s->total[h] += (double)logit;
        near = near || logit >= head->gate;
    }
    if (near) {
        score_spans(s);
    } else {
        skip_spans(s);
    }
    s->previous = previous;
    s->windows++;
}

void weir_classify_begin(weir_classify_stream_t *s, const weir_classifier_t *model)
{
    memset(s, 0, offsetof(weir_classify_stream_t, mark));
    s->model = model;
    for (int h = 0; h < WEIR_HEADS; h++) {
        s->span[h] = -FLT_MAX;
    }
    weir_window_open(s);
}

void weir_classify_feed(weir_classify_stream_t *s, const char *text, size_t len)
{
    while (len > 0) {
        size_t taken = weir_window_take(s, text, len);
        text += taken;
        len -= taken;
        if (len > 0) {
            score_window(s);
            weir_window_open(s);
        }
    }
}

void weir_classify_logits(const weir_classify_stream_t *stream, weir_logits_t *logits)
{
    weir_classify_stream_t s = *stream;
    score_window(&s);
    logits->windows = s.windows;
    for (int h = 0; h < WEIR_HEADS; h++) {
        const weir_head_params_t *head = &s.model->head[h];
        logits->top[h] = s.windows > 0 ? s.top[h] : head->bias;
        logits->mean[h] = s.windows > 0 ? s.total[h] / s.windows : (double)head->bias;
        logits->span[h] = head->bias + head->scale * (s.windows > 0 ? s.span[h] : 0);
    }
}

void weir_classify_scores(const weir_classify_stream_t *stream, weir_scores_t *scores)
{
    weir_logits_t logits;
    weir_classify_logits(stream, &logits);
    for (int h = 0; h < WEIR_HEADS; h++) {
        const weir_head_params_t *head = &stream->model->head[h];
        double mean = logits.mean[h];
        double logit = mean + (double)head->max_part * ((double)logits.top[h] - mean);
        double span = (double)logits.span[h] - (double)head->margin;
        logit = span > logit ? span : logit;
        logit = (double)head->platt_a * logit + (double)head->platt_b;
        scores->p[h] = logits.windows == 0 ? 0 : (float)(1.0 / (1.0 + exp(-logit)));
    }
}

void weir_classify(const weir_classifier_t *model, const char *text, size_t len,
                   weir_scores_t *scores)
{
    weir_classify_stream_t s;
    weir_classify_begin(&s, model);
    weir_classify_feed(&s, text, len);
    weir_classify_scores(&s, scores);
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
