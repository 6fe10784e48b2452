/*
 * Work on single rows: norms, quantisation of activations, the gated activation, rotary embedding
 * and writing K and V; on the lanes of vec_*.h, included once by each kernels_*.c.
 */
#ifndef WEIR_CPU_KERNELS_ROWS_H
#define WEIR_CPU_KERNELS_ROWS_H

#include "engine/cpu/kernels.h"

#include <math.h>

/*
 * exp(x) to about 2 units in the last place: x = n ln 2 + r, |r| <= ln 2 / 2, a polynomial in r
 * (the Taylor series, whose next term is below 2^-26 there), times 2^n. Arguments are clamped to
 * where 2^n is a normal number: below -87.3 the result is about 1e-38, not 0.
 */
VEC_INLINE vf vf_exp(vf x)
{
    x = vf_min(vf_set1(88.0f), vf_max(vf_set1(-87.3f), x));
    vf n = vf_round(vf_mul(x, vf_set1(1.44269504089f)));
    vf r = vf_fma(n, vf_set1(-0.693359375f), x); /* ln 2 in two parts */
    r = vf_fma(n, vf_set1(2.12194440e-4f), r);
    vf y = vf_set1(1.0f / 5040.0f);
    y = vf_fma(y, r, vf_set1(1.0f / 720.0f));
    y = vf_fma(y, r, vf_set1(1.0f / 120.0f));
    y = vf_fma(y, r, vf_set1(1.0f / 24.0f));
    y = vf_fma(y, r, vf_set1(1.0f / 6.0f));
    y = vf_fma(y, r, vf_set1(0.5f));
    y = vf_fma(y, r, vf_set1(1.0f));
    y = vf_fma(y, r, vf_set1(1.0f));
    return vf_mul(y, vf_exp2i(n));
}

/* The lanes of x from i on: 16, or the n - i that are left, zeros behind them. */
VEC_INLINE vf load_tail(const float *x, size_t i, size_t n)
{
    return n - i >= 16 ? vf_load(x + i) : vf_load_n(x + i, (unsigned)(n - i));
}

VEC_INLINE void store_tail(float *x, size_t i, size_t n, vf v)
{
    if (n - i >= 16) {
        vf_store(x + i, v);
    } else {
        vf_store_n(x + i, v, (unsigned)(n - i));
    }
}

static void kernel_rms_norm(const float *x, const float *weight, float *out, size_t n, float eps)
{
    vf sum = vf_zero();

    for (size_t i = 0; i < n; i += 16) {
        vf v = load_tail(x, i, n);
        sum = vf_fma(v, v, sum);
    }
    vf scale = vf_set1(1.0f / sqrtf(vf_hsum(sum) / (float)n + eps));
    for (size_t i = 0; i < n; i += 16) {
        vf v = vf_mul(vf_mul(load_tail(x, i, n), scale), load_tail(weight, i, n));
        store_tail(out, i, n, v);
    }
}

/* A block with NaN or infinity becomes NaN as a whole; one of zeros and near-zeros zero. */
VEC_INLINE void quantize_block(vf lo, vf hi, int8_t *q, weir_xblock_t *b)
{
    vf zero = vf_zero();
    vf alo = vf_max(vf_sub(zero, lo), lo), ahi = vf_max(vf_sub(zero, hi), hi);
    float top = vf_hmax(vf_max(alo, ahi));
    bool finite = vf_hsum(vf_fma(lo, zero, vf_mul(hi, zero))) == 0.0f;
    bool use = finite && top > 1e-30f; /* the inverse must be finite too */

    if (!finite) {
        lo = hi = zero;
    }
    vf scale = vf_set1(use ? 127.0f / top : 0.0f);
    int32_t sum_lo = vf_store_s8(q, vf_mul(lo, scale));
    int32_t sum_hi = vf_store_s8(q + 16, vf_mul(hi, scale));
    b->d = finite ? (use ? top / 127.0f : 0.0f) : NAN;
    b->s = b->d * (float)(sum_lo + sum_hi);
    b->neg_sum = -(sum_lo + sum_hi);
    b->neg_half[0] = -sum_lo;
    b->neg_half[1] = -sum_hi;
}

static void kernel_quantize(const float *x, int8_t *q, weir_xblock_t *b, size_t n)
{
    for (size_t i = 0; i < n; i += WEIR_BLOCK) {
        quantize_block(vf_load(x + i), vf_load(x + i + 16), q + i, b + i / WEIR_BLOCK);
    }
}

static void kernel_silu_mul(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        vf g = load_tail(gate, i, n);
        vf e = vf_exp(vf_sub(vf_zero(), g));
        vf y = vf_div(g, vf_add(vf_set1(1.0f), e));
        store_tail(gate, i, n, vf_mul(y, load_tail(up, i, n)));
    }
}

static void kernel_add(float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        store_tail(x, i, n, vf_add(load_tail(x, i, n), load_tail(y, i, n)));
    }
}

static void kernel_rope(float *x, const float *restrict cos, const float *restrict sin,
                        uint32_t dims, weir_rope_style_t style)
{
    uint32_t half = dims / 2;

    if (style == WEIR_ROPE_SPLIT) {
        for (uint32_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half];
            x[i] = a * cos[i] - b * sin[i];
            x[i + half] = b * cos[i] + a * sin[i];
        }
    } else {
        for (uint32_t i = 0; i < half; i++) {
            float a = x[2 * i], b = x[2 * i + 1];
            x[2 * i] = a * cos[i] - b * sin[i];
            x[2 * i + 1] = b * cos[i] + a * sin[i];
        }
    }
}

/* To f16, held inside its finite range; NaN stays. */
VEC_INLINE vf half_range(vf x)
{
    return vf_min(vf_set1(65504.0f), vf_max(vf_set1(-65504.0f), x));
}

static void kernel_kv_write(const weir_attn_shape_t *shape, const float *k, const float *v,
                            uint16_t *block, uint32_t slot)
{
    uint16_t *values = block + (size_t)shape->head_dim * 16 + (size_t)slot * shape->v_stride;

    for (uint32_t i = 0; i < shape->head_dim; i += 16) {
        uint16_t h[16];
        uint32_t n = shape->head_dim - i < 16 ? shape->head_dim - i : 16;
        vf_store_f16(h, half_range(load_tail(k, i, shape->head_dim)));
        for (uint32_t j = 0; j < n; j++) {
            block[(size_t)(i + j) * 16 + slot] = h[j];
        }
        vf_store_f16(values + i, half_range(load_tail(v, i, shape->head_dim)));
    }
}

#endif
