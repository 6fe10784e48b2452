/*
 * Sixteen lanes as two 256-bit registers: the vocabulary in which the kernels are written
 * (kernels_*.h), here for AVX2 with FMA and F16C. See vec_avx512.h for what each call means.
 */
#ifndef WEIR_CPU_VEC_AVX2_H
#define WEIR_CPU_VEC_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VEC_INLINE static inline __attribute__((always_inline))

/* Kernel shapes that fit 16 registers. */
#define VEC_GEMM_TILES   1
#define VEC_GEMM_ROWS    2
#define VEC_ATTN_QUERIES 3
#define VEC_ATTN_COLUMNS 1
#define VEC_Q8_OFFSET    0

typedef struct {
    __m256 a, b;
} vf;
typedef struct {
    __m256i a, b;
} vi;
typedef struct {
    __m256i a, b;
} vb;

VEC_INLINE vf vf_zero(void)
{
    return (vf){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

VEC_INLINE vf vf_set1(float x)
{
    return (vf){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

VEC_INLINE vf vf_load(const float *p)
{
    return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

VEC_INLINE void vf_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}

VEC_INLINE __m256i vec_mask(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

VEC_INLINE vf vf_load_n(const float *p, unsigned n)
{
    vf x = {_mm256_maskload_ps(p, vec_mask((int)n)), _mm256_setzero_ps()};
    if (n > 8) {
        x.b = _mm256_maskload_ps(p + 8, vec_mask((int)n - 8));
    }
    return x;
}

VEC_INLINE void vf_store_n(float *p, vf x, unsigned n)
{
    _mm256_maskstore_ps(p, vec_mask((int)n), x.a);
    if (n > 8) {
        _mm256_maskstore_ps(p + 8, vec_mask((int)n - 8), x.b);
    }
}

VEC_INLINE vf vf_keep_n(vf x, unsigned n, float fill)
{
    __m256 f = _mm256_set1_ps(fill);
    return (vf){_mm256_blendv_ps(f, x.a, _mm256_castsi256_ps(vec_mask((int)n))),
                _mm256_blendv_ps(f, x.b, _mm256_castsi256_ps(vec_mask((int)n - 8)))};
}

VEC_INLINE vf vf_add(vf a, vf b)
{
    return (vf){_mm256_add_ps(a.a, b.a), _mm256_add_ps(a.b, b.b)};
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    return (vf){_mm256_sub_ps(a.a, b.a), _mm256_sub_ps(a.b, b.b)};
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    return (vf){_mm256_mul_ps(a.a, b.a), _mm256_mul_ps(a.b, b.b)};
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    return (vf){_mm256_div_ps(a.a, b.a), _mm256_div_ps(a.b, b.b)};
}

VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return (vf){_mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b)};
}

VEC_INLINE vf vf_max(vf a, vf b)
{
    return (vf){_mm256_max_ps(a.a, b.a), _mm256_max_ps(a.b, b.b)};
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    return (vf){_mm256_min_ps(a.a, b.a), _mm256_min_ps(a.b, b.b)};
}

VEC_INLINE vf vf_round(vf x)
{
    return (vf){_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}

VEC_INLINE __m256 vec_exp2i_half(__m256 n)
{
    __m256i e = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(e, 23));
}

VEC_INLINE vf vf_exp2i(vf n)
{
    return (vf){vec_exp2i_half(n.a), vec_exp2i_half(n.b)};
}

VEC_INLINE float vf_hsum(vf x)
{
    __m256 s = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

VEC_INLINE float vf_hmax(vf x)
{
    __m256 s = _mm256_max_ps(x.a, x.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

VEC_INLINE vf vf_load_f16(const void *p)
{
    const __m128i *q = (const __m128i *)p;
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128(q)), _mm256_cvtph_ps(_mm_loadu_si128(q + 1))};
}

VEC_INLINE vf vf_load_bf16(const void *p)
{
    const __m128i *q = (const __m128i *)p;
    __m256i a = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(q)), 16);
    __m256i b = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(q + 1)), 16);
    return (vf){_mm256_castsi256_ps(a), _mm256_castsi256_ps(b)};
}

VEC_INLINE void vf_store_f16(void *p, vf x)
{
    __m128i *q = (__m128i *)p;
    _mm_storeu_si128(q, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(q + 1, _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}

VEC_INLINE vf vf_load_u8(const void *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    return (vf){_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)),
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(x, 8)))};
}

VEC_INLINE vf vf_load_s8(const void *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    return (vf){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8)))};
}

VEC_INLINE int32_t vf_store_s8(int8_t *p, vf x)
{
    __m256i a = _mm256_cvtps_epi32(x.a), b = _mm256_cvtps_epi32(x.b);
    __m256i w = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    _mm_storeu_si128((__m128i *)p,
                     _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
    __m256i s = _mm256_add_epi32(a, b);
    __m128i q = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xb1)));
}

VEC_INLINE vi vi_zero(void)
{
    return (vi){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

VEC_INLINE vi vi_set1_shl(int32_t x, int shift)
{
    __m256i v = _mm256_slli_epi32(_mm256_set1_epi32(x), shift);
    return (vi){v, v};
}

VEC_INLINE vf vf_from_vi(vi x)
{
    return (vf){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}

VEC_INLINE vb vb_load(const void *p)
{
    const __m256i *q = (const __m256i *)p;
    return (vb){_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}

VEC_INLINE void vb_store(void *p, vb x)
{
    __m256i *q = (__m256i *)p;
    _mm256_storeu_si256(q, x.a);
    _mm256_storeu_si256(q + 1, x.b);
}

VEC_INLINE vb vb_set4(const int8_t *p)
{
    int32_t x;
    __builtin_memcpy(&x, p, 4);
    __m256i v = _mm256_set1_epi32(x);
    return (vb){v, v};
}

VEC_INLINE vb vb_or(vb a, vb b)
{
    return (vb){_mm256_or_si256(a.a, b.a), _mm256_or_si256(a.b, b.b)};
}

VEC_INLINE vb vb_shr_and(vb x, int shift, int mask)
{
    __m256i m = _mm256_set1_epi8((char)mask);
    return (vb){_mm256_and_si256(_mm256_srli_epi16(x.a, shift), m),
                _mm256_and_si256(_mm256_srli_epi16(x.b, shift), m)};
}

VEC_INLINE vb vb_shl_and(vb x, int shift, int mask)
{
    __m256i m = _mm256_set1_epi8((char)mask);
    return (vb){_mm256_and_si256(_mm256_slli_epi16(x.a, shift), m),
                _mm256_and_si256(_mm256_slli_epi16(x.b, shift), m)};
}

VEC_INLINE vb vb_flip(vb x)
{
    __m256i m = _mm256_set1_epi8((char)0x80);
    return (vb){_mm256_xor_si256(x.a, m), _mm256_xor_si256(x.b, m)};
}

VEC_INLINE vb vb_weights8(vb x)
{
    return x;
}

/* vpmaddubsw saturates at 16 bits: 127 * 127 * 2 = 32258 fits. */
VEC_INLINE vi vi_dot7(vi acc, vb w, vb x)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i a = _mm256_madd_epi16(_mm256_maddubs_epi16(w.a, x.a), ones);
    __m256i b = _mm256_madd_epi16(_mm256_maddubs_epi16(w.b, x.b), ones);
    return (vi){_mm256_add_epi32(acc.a, a), _mm256_add_epi32(acc.b, b)};
}

/* Signed weights: |w| <= 128 times sign(w) * x, and 128 * 127 * 2 = 32512 fits. */
VEC_INLINE vi vi_dot8(vi acc, vb w, vb x)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i a = _mm256_maddubs_epi16(_mm256_abs_epi8(w.a), _mm256_sign_epi8(x.a, w.a));
    __m256i b = _mm256_maddubs_epi16(_mm256_abs_epi8(w.b), _mm256_sign_epi8(x.b, w.b));
    return (vi){_mm256_add_epi32(acc.a, _mm256_madd_epi16(a, ones)),
                _mm256_add_epi32(acc.b, _mm256_madd_epi16(b, ones))};
}

VEC_INLINE vf vf_byte(vb x, int i)
{
    __m256i m = _mm256_set1_epi32(0xff);
    return (vf){_mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(x.a, 8 * i), m)),
                _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(x.b, 8 * i), m))};
}

VEC_INLINE void vec_prefetch(const void *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}

#endif
