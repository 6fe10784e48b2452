#include "guardrails/classifier/classifier.h"

#include "guardrails/classifier/features.h"
#include "guardrails/classifier/paths.h"
#include "guardrails/classifier/window.h"

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

/* Takes the open window into the closed ones' scores. */
static void score_window(weir_classify_stream_t *s)
{
    uint16_t bucket[WEIR_WINDOW_FEATURES];
    int32_t sum[WEIR_HEADS];
    uint32_t n = weir_window_buckets(s, &s->previous, bucket);
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
    }
    s->windows++;
}

void weir_classify_begin(weir_classify_stream_t *s, const weir_classifier_t *model)
{
    memset(s, 0, offsetof(weir_classify_stream_t, mark));
    s->model = model;
    weir_window_open(s);
}

static void feed(weir_classify_stream_t *s, const char *text, size_t len)
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

void weir_classify_feed(weir_classify_stream_t *s, const char *text, size_t len)
{
    feed(s, text, len);
}

/* Ends the stream. */
static void finish(weir_classify_stream_t *s, weir_scores_t *scores)
{
    score_window(s);
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
    finish(&copy, scores);
}

void weir_classify(const weir_classifier_t *model, const char *text, size_t len,
                   weir_scores_t *scores)
{
    weir_classify_stream_t s;
    weir_classify_begin(&s, model);
    feed(&s, text, len);
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
