#include "guardrails/training/model_write.h"

#include "guardrails/classifier/model_format.h"
#include "guardrails/training/calibrate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CUT_SHARE 0.0002

static void put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> 8 * i);
    }
}

static void put_f32(uint8_t *p, float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof(bits));
    put_u32(p, bits);
}

/* The weight that becomes 127. */
static float full_scale(const weir_linear_t *m, int head, double *scratch)
{
    for (uint32_t b = 0; b < m->buckets; b++) {
        double w = (double)m->weight[b][head];
        scratch[b] = w < 0 ? -w : w;
    }
    double limit = weir_upper_quantile(scratch, m->buckets, CUT_SHARE);
    return limit > 1e-6 ? (float)limit : 1e-6f;
}

static int8_t quantised(float weight, float scale)
{
    float x = weight / scale;
    x = x > 127 ? 127 : x < -127 ? -127 : x;
    return (int8_t)(x < 0 ? x - 0.5f : x + 0.5f);
}

weir_status_t weir_model_encode(const weir_linear_t *m, const weir_head_params_t params[WEIR_HEADS],
                                weir_arena_t *arena, weir_str_t *out, weir_error_t *err)
{
    size_t len = WEIR_MODEL_HEADER + (size_t)m->buckets * WEIR_HEADS;
    uint8_t *data = weir_arena_calloc(arena, len, 1);
    double *scratch = weir_arena_calloc(arena, m->buckets, sizeof(*scratch));
    if (data == NULL || scratch == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory to encode %zu bytes of weights", len);
    }
    static const uint8_t magic[8] = WEIR_MODEL_MAGIC;
    memcpy(data, magic, sizeof(magic));
    put_u32(data + 8, m->buckets);
    put_u32(data + 12, WEIR_HEADS);
    for (int h = 0; h < WEIR_HEADS; h++) {
        float scale = full_scale(m, h, scratch) / 127;
        const weir_head_params_t *p = &params[h];
        float number[WEIR_MODEL_FLOATS] = {scale,      m->bias[h], p->max_part, p->gate, p->margin,
                                           p->platt_a, p->platt_b, p->review,   p->block};
        for (int i = 0; i < WEIR_MODEL_FLOATS; i++) {
            put_f32(data + WEIR_MODEL_PARAMS + 4 * (WEIR_MODEL_FLOATS * h + i), number[i]);
        }
        for (uint32_t b = 0; b < m->buckets; b++) {
            data[WEIR_MODEL_HEADER + (size_t)b * WEIR_HEADS + (size_t)h] =
                (uint8_t)quantised(m->weight[b][h], scale);
        }
    }
    *out = weir_str((const char *)data, len);
    return WEIR_OK;
}

weir_status_t weir_write_file(const char *path, weir_str_t data, weir_error_t *err)
{
    char temporary[4096];
    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary)) {
        return weir_error(err, WEIR_ERR_LIMIT, "the file's name is too long");
    }
    FILE *file = fopen(temporary, "wb");
    if (file == NULL) {
        return weir_error(err, WEIR_ERR_IO, "%s: %s", temporary, strerror(errno));
    }
    bool good = fwrite(data.data, 1, data.len, file) == data.len;
    good = fclose(file) == 0 && good;
    if (!good || rename(temporary, path) != 0) {
        int saved = errno;
        unlink(temporary);
        return weir_error(err, WEIR_ERR_IO, "%s: %s", path, strerror(saved));
    }
    return WEIR_OK;
}
