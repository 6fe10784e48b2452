/*
 * Sixteen lanes as one 512-bit register: the vocabulary in which the kernels are written
 * (kernels_*.h), here for AVX-512 with VNNI. vf: 16 floats, vi: 16 int32, vb: 16 lanes of 4 bytes.
 */
#ifndef WEIR_CPU_VEC_AVX512_H
#define WEIR_CPU_VEC_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define VEC_INLINE static inline __attribute__((always_inline))

/* Kernel shapes that fit 32 registers. */
#define VEC_GEMM_TILES   2
#define VEC_GEMM_ROWS    6
#define VEC_ATTN_QUERIES 6
#define VEC_ATTN_COLUMNS 4
/* vpdpbusd takes unsigned weights: int8 weights are stored with 128 added on load. */
#define VEC_Q8_OFFSET 1

typedef __m512 vf;
typedef __m512i vi;
typedef __m512i vb;

VEC_INLINE vf vf_zero(void)
{
    return _mm512_setzero_ps();
}

VEC_INLINE vf vf_set1(float x)
{
    return _mm512_set1_ps(x);
}

VEC_INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

VEC_INLINE void vf_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}

/* The first n lanes, n in 0..16; vf_load_n gives zeros in the others. */
VEC_INLINE vf vf_load_n(const float *p, unsigned n)
{
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}

VEC_INLINE void vf_store_n(float *p, vf x, unsigned n)
{
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}

/* Lanes n.. become fill. */
VEC_INLINE vf vf_keep_n(vf x, unsigned n, float fill)
{
    return _mm512_mask_blend_ps((__mmask16)((1u << n) - 1), _mm512_set1_ps(fill), x);
}

VEC_INLINE vf vf_add(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}

VEC_INLINE vf vf_sub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}

VEC_INLINE vf vf_mul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}

VEC_INLINE vf vf_div(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}

/* a * b + c, rounded once. */
VEC_INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* The second operand where either is NaN. */
VEC_INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

VEC_INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

VEC_INLINE vf vf_round(vf x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^n for integral n in -126..127. */
VEC_INLINE vf vf_exp2i(vf n)
{
    __m512i e = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(e, 23));
}

VEC_INLINE float vf_hsum(vf x)
{
    return _mm512_reduce_add_ps(x);
}

VEC_INLINE float vf_hmax(vf x)
{
    return _mm512_reduce_max_ps(x);
}

VEC_INLINE vf vf_load_f16(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

VEC_INLINE vf vf_load_bf16(const void *p)
{
    __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16));
}

VEC_INLINE void vf_store_f16(void *p, vf x)
{
    _mm256_storeu_si256((__m256i *)p,
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

VEC_INLINE vf vf_load_u8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

VEC_INLINE vf vf_load_s8(const void *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/* Rounds to int8 (the values are in range), stores, and returns the sum of the stored values. */
VEC_INLINE int32_t vf_store_s8(int8_t *p, vf x)
{
    __m512i i = _mm512_cvtps_epi32(x);
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(i));
    return _mm512_reduce_add_epi32(i);
}

VEC_INLINE vi vi_zero(void)
{
    return _mm512_setzero_si512();
}

/* x * 2^shift in every lane. */
VEC_INLINE vi vi_set1_shl(int32_t x, int shift)
{
    return _mm512_slli_epi32(_mm512_set1_epi32(x), (unsigned)shift);
}

VEC_INLINE vf vf_from_vi(vi x)
{
    return _mm512_cvtepi32_ps(x);
}

VEC_INLINE vb vb_load(const void *p)
{
    return _mm512_loadu_si512(p);
}

VEC_INLINE void vb_store(void *p, vb x)
{
    _mm512_storeu_si512(p, x);
}

/* The same four bytes in every lane. */
VEC_INLINE vb vb_set4(const int8_t *p)
{
    int32_t x;
    __builtin_memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

VEC_INLINE vb vb_or(vb a, vb b)
{
    return _mm512_or_si512(a, b);
}

/* (x >> shift) & mask per byte; mask keeps what crossed from the next byte out. */
VEC_INLINE vb vb_shr_and(vb x, int shift, int mask)
{
    return _mm512_and_si512(_mm512_srli_epi16(x, (unsigned)shift), _mm512_set1_epi8((char)mask));
}

VEC_INLINE vb vb_shl_and(vb x, int shift, int mask)
{
    return _mm512_and_si512(_mm512_slli_epi16(x, (unsigned)shift), _mm512_set1_epi8((char)mask));
}

/* x + 128 per byte: int8 to unsigned. */
VEC_INLINE vb vb_flip(vb x)
{
    return _mm512_xor_si512(x, _mm512_set1_epi8((char)0x80));
}

/* Stored int8 weights in the form that vi_dot8 takes. */
VEC_INLINE vb vb_weights8(vb x)
{
    return vb_flip(x);
}

/* acc + dot of four weights of at most 7 bits, unsigned, with four int8 in -127..127, per lane. */
VEC_INLINE vi vi_dot7(vi acc, vb w, vb x)
{
    return _mm512_dpbusd_epi32(acc, w, x);
}

/* The same for weights from vb_weights8. */
VEC_INLINE vi vi_dot8(vi acc, vb w, vb x)
{
    return _mm512_dpbusd_epi32(acc, w, x);
}

/* Byte i of each lane as float. */
VEC_INLINE vf vf_byte(vb x, int i)
{
    return _mm512_cvtepi32_ps(
        _mm512_and_si512(_mm512_srli_epi32(x, (unsigned)(8 * i)), _mm512_set1_epi32(0xff)));
}

VEC_INLINE void vec_prefetch(const void *p)
{
    _mm_prefetch((const char *)p, _MM_HINT_T0);
}

#endif
