/*
 * Sixteen lanes as plain arrays: the vocabulary in which the kernels are written (kernels_*.h),
 * here in portable C. It runs anywhere and is the reading help for the other two. See
 * vec_avx512.h for what each call means. Nothing here fuses a multiplication with an addition.
 */
#ifndef WEIR_CPU_VEC_SCALAR_H
#define WEIR_CPU_VEC_SCALAR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/llm/quant.h"

#define VEC_INLINE static inline __attribute__((always_inline))

#define VEC_GEMM_TILES   1
#define VEC_GEMM_ROWS    1
#define VEC_ATTN_QUERIES 1
#define VEC_ATTN_COLUMNS 1
#define VEC_Q8_OFFSET    0

typedef struct {
    float v[16];
} vf;
typedef struct {
    int32_t v[16];
} vi;
typedef struct {
    uint8_t v[64];
} vb;

#define VEC_EACH(type, expr)       \
    type r;                        \
    for (int i = 0; i < 16; i++) { \
        r.v[i] = (expr);           \
    }                              \
    return r

VEC_INLINE vf vf_set1(float x)
{
    VEC_EACH(vf, x);
}

VEC_INLINE vf vf_zero(void)
{
    return vf_set1(0.0f);
}

VEC_INLINE vf vf_load(const float *p)
{
    vf r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
}

VEC_INLINE void vf_store(float *p, vf x)
{
    memcpy(p, x.v, sizeof(x.v));
}

VEC_INLINE vf vf_load_n(const float *p, unsigned n)
{
    vf r = vf_zero();
    memcpy(r.v, p, n * sizeof(float));
    return r;
}

VEC_INLINE void vf_store_n(float *p, vf x, unsigned n)
{
    memcpy(p, x.v, n * sizeof(float));
}

VEC_INLINE vf vf_keep_n(vf x, unsigned n, float fill)
{
    VEC_EACH(vf, (unsigned)i < n ? x.v[i] : fill);
}

VEC_INLINE vf vf_add(vf a, vf b)
{
    VEC_EACH(vf, a.v[i] + b.v[i]);
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    VEC_EACH(vf, a.v[i] - b.v[i]);
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    VEC_EACH(vf, a.v[i] * b.v[i]);
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    VEC_EACH(vf, a.v[i] / b.v[i]);
}

VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    VEC_EACH(vf, a.v[i] * b.v[i] + c.v[i]);
}

VEC_INLINE vf vf_max(vf a, vf b)
{
    VEC_EACH(vf, a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    VEC_EACH(vf, a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
}

VEC_INLINE vf vf_round(vf x)
{
    VEC_EACH(vf, nearbyintf(x.v[i]));
}

VEC_INLINE vf vf_exp2i(vf n)
{
    vf r;
    for (int i = 0; i < 16; i++) {
        uint32_t bits = n.v[i] >= -126.0f && n.v[i] <= 127.0f
                            ? (uint32_t)((int32_t)n.v[i] + 127) << 23
                            : 0x7fc00000u;
        memcpy(&r.v[i], &bits, 4);
    }
    return r;
}

VEC_INLINE float vf_hsum(vf x)
{
    float s = 0.0f;
    for (int i = 0; i < 16; i++) {
        s += x.v[i];
    }
    return s;
}

VEC_INLINE float vf_hmax(vf x)
{
    float m = x.v[0];
    for (int i = 1; i < 16; i++) {
        m = x.v[i] > m ? x.v[i] : m;
    }
    return m;
}

VEC_INLINE vf vf_load_f16(const void *p)
{
    uint16_t h[16];
    memcpy(h, p, sizeof(h));
    VEC_EACH(vf, weir_f16_to_f32(h[i]));
}

VEC_INLINE vf vf_load_bf16(const void *p)
{
    uint16_t h[16];
    memcpy(h, p, sizeof(h));
    VEC_EACH(vf, weir_bf16_to_f32(h[i]));
}

VEC_INLINE void vf_store_f16(void *p, vf x)
{
    uint16_t h[16];
    for (int i = 0; i < 16; i++) {
        h[i] = weir_f32_to_f16(x.v[i]);
    }
    memcpy(p, h, sizeof(h));
}

VEC_INLINE vf vf_load_u8(const void *p)
{
    VEC_EACH(vf, (float)((const uint8_t *)p)[i]);
}

VEC_INLINE vf vf_load_s8(const void *p)
{
    VEC_EACH(vf, (float)((const int8_t *)p)[i]);
}

VEC_INLINE int32_t vf_store_s8(int8_t *p, vf x)
{
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) {
        float v = nearbyintf(x.v[i]);
        p[i] = v >= -127.0f && v <= 127.0f ? (int8_t)v : 0; /* 0 for NaN */
        sum += p[i];
    }
    return sum;
}

VEC_INLINE vi vi_zero(void)
{
    VEC_EACH(vi, 0);
}

VEC_INLINE vi vi_set1_shl(int32_t x, int shift)
{
    VEC_EACH(vi, x * (1 << shift));
}

VEC_INLINE vf vf_from_vi(vi x)
{
    VEC_EACH(vf, (float)x.v[i]);
}

VEC_INLINE vb vb_load(const void *p)
{
    vb r;
    memcpy(r.v, p, sizeof(r.v));
    return r;
}

VEC_INLINE void vb_store(void *p, vb x)
{
    memcpy(p, x.v, sizeof(x.v));
}

VEC_INLINE vb vb_set4(const int8_t *p)
{
    vb r;
    for (int i = 0; i < 16; i++) {
        memcpy(r.v + 4 * i, p, 4);
    }
    return r;
}

VEC_INLINE vb vb_or(vb a, vb b)
{
    for (int i = 0; i < 64; i++) {
        a.v[i] |= b.v[i];
    }
    return a;
}

VEC_INLINE vb vb_shr_and(vb x, int shift, int mask)
{
    for (int i = 0; i < 64; i++) {
        x.v[i] = (uint8_t)((x.v[i] >> shift) & mask);
    }
    return x;
}

VEC_INLINE vb vb_shl_and(vb x, int shift, int mask)
{
    for (int i = 0; i < 64; i++) {
        x.v[i] = (uint8_t)((x.v[i] << shift) & mask);
    }
    return x;
}

VEC_INLINE vb vb_flip(vb x)
{
    for (int i = 0; i < 64; i++) {
        x.v[i] ^= 0x80;
    }
    return x;
}

VEC_INLINE vb vb_weights8(vb x)
{
    return x;
}

VEC_INLINE vi vi_dot7(vi acc, vb w, vb x)
{
    for (int i = 0; i < 16; i++) {
        for (int j = 4 * i; j < 4 * i + 4; j++) {
            acc.v[i] += (int32_t)w.v[j] * (int8_t)x.v[j];
        }
    }
    return acc;
}

VEC_INLINE vi vi_dot8(vi acc, vb w, vb x)
{
    for (int i = 0; i < 16; i++) {
        for (int j = 4 * i; j < 4 * i + 4; j++) {
            acc.v[i] += (int32_t)(int8_t)w.v[j] * (int8_t)x.v[j];
        }
    }
    return acc;
}

VEC_INLINE vf vf_byte(vb x, int i)
{
    vf r;
    for (int j = 0; j < 16; j++) {
        r.v[j] = (float)x.v[4 * j + i];
    }
    return r;
}

VEC_INLINE void vec_prefetch(const void *p)
{
    (void)p;
}

#endif
