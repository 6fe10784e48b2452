#include "guardrails/classifier/classifier.h"
#include "guardrails/classifier/model_format.h"

#include <math.h>
#include <string.h>

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float get_f32(const uint8_t *p)
{
    uint32_t bits = get_u32(p);
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

static weir_status_t read_head(const uint8_t *p, int head, weir_head_params_t *out,
                               weir_error_t *err)
{
    float v[WEIR_MODEL_FLOATS];
    for (int i = 0; i < WEIR_MODEL_FLOATS; i++) {
        v[i] = get_f32(p + 4 * i);
        if (!isfinite(v[i]) || fabsf(v[i]) > 1e6f) {
            return weir_error(
                err, WEIR_ERR_INVALID,
                "weights: head %d, number %d is not finite or beyond 1e6; train again", head, i);
        }
    }
    *out = (weir_head_params_t){v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8]};
    if (out->scale < 0 || out->margin < 0 || out->max_part < 0 || out->max_part > 1 ||
        out->platt_a < 0 || out->review < 0 || out->review > out->block) {
        return weir_error(
            err, WEIR_ERR_INVALID,
            "weights: head %d has a share outside 0 to 1, a negative scale or margin, a "
            "falling calibration or review above block; train again",
            head);
    }
    return WEIR_OK;
}

weir_status_t weir_classifier_open(weir_classifier_t *model, const void *data, size_t len,
                                   weir_error_t *err)
{
    const uint8_t *p = data;
    if (len < WEIR_MODEL_HEADER || memcmp(p, WEIR_MODEL_MAGIC, 7) != 0) {
        return weir_error(err, WEIR_ERR_INVALID,
                          "weights: %zu bytes that do not begin with %.7s; give a file that "
                          "weir-guard train wrote",
                          len, WEIR_MODEL_MAGIC);
    }
    if (p[7] != WEIR_MODEL_MAGIC[7] || get_u32(p + 12) != WEIR_HEADS) {
        return weir_error(err, WEIR_ERR_UNSUPPORTED,
                          "weights: version %c with %u heads; this library reads version 2 with %d",
                          p[7] >= ' ' && p[7] < 127 ? p[7] : '?', get_u32(p + 12), WEIR_HEADS);
    }
    uint32_t buckets = get_u32(p + 8);
    if (buckets < WEIR_MODEL_BUCKETS || buckets > WEIR_CLASSIFIER_MAX_BUCKETS ||
        len != WEIR_MODEL_HEADER + (size_t)buckets * WEIR_HEADS) {
        return weir_error(
            err, WEIR_ERR_INVALID,
            "weights: %u buckets do not go with %zu bytes; the file is cut or damaged", buckets,
            len);
    }
    for (int h = 0; h < WEIR_HEADS; h++) {
        const uint8_t *at = p + WEIR_MODEL_PARAMS + 4 * (size_t)(WEIR_MODEL_FLOATS * h);
        weir_status_t status = read_head(at, h, &model->head[h], err);
        if (status != WEIR_OK) {
            return status;
        }
    }
    model->buckets = buckets;
    model->path = weir_classify_best_path();
    model->weights = (const int8_t *)(p + WEIR_MODEL_HEADER);
    return WEIR_OK;
}

weir_status_t weir_classifier_open_builtin(weir_classifier_t *model, weir_error_t *err)
{
    return weir_classifier_open(model, weir_builtin_weights, weir_builtin_weights_len, err);
}
