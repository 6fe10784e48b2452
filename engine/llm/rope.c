#include "engine/llm/model.h"

#include <math.h>

#define TWO_PI 6.283185307179586476925

/*
 * YaRN (Peng et al., 2023, section 3.2): the pair whose wave makes `rotations` turns within the
 * original context, as a real number of pairs.
 */
static double pair_of_rotations(const weir_rope_t *rope, double rotations)
{
    return rope->dims * log(rope->original_context / (rotations * TWO_PI)) /
           (2 * log((double)rope->base));
}

void weir_rope_frequencies(const weir_rope_t *rope, double *frequencies, double *scale)
{
    bool yarn = rope->scaling == WEIR_ROPE_SCALING_YARN;
    double factor = rope->scaling == WEIR_ROPE_SCALING_NONE ? 1 : (double)rope->factor;
    double low = 0;
    double high = 0;
    *scale = 1;
    if (yarn) {
        *scale = (double)rope->yarn_attn_factor * (factor > 1 ? 1 + 0.1 * log(factor) : 1);
        low = fmax(0, floor(pair_of_rotations(rope, (double)rope->yarn_beta_fast)));
        high = fmin(rope->dims - 1, ceil(pair_of_rotations(rope, (double)rope->yarn_beta_slow)));
    }
    for (uint32_t i = 0; i < rope->dims / 2; i++) {
        double full = pow((double)rope->base, -2.0 * i / rope->dims);
        if (rope->freq_divisors != NULL) {
            full /= (double)rope->freq_divisors[i];
        }
        /* Fast pairs stay as they were trained, slow ones are stretched, a ramp between. */
        double ramp = (i - low) / fmax(0.001, high - low);
        double stretched = yarn ? fmin(1, fmax(0, ramp)) : 1;
        frequencies[i] = full * (1 - stretched) + full / factor * stretched;
    }
}
