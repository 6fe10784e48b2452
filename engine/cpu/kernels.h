/*
 * The kernels that exist once per instruction set: one table of functions, chosen at start.
 * Every output is computed by one call in an order that depends on its row and column alone, so
 * that batch, chunk and threads do not show in the result. Nothing here allocates or fails.
 */
#ifndef WEIR_CPU_KERNELS_H
#define WEIR_CPU_KERNELS_H

#include "engine/cpu/pack.h"

/* Positions of one attention partition: scores and softmax are computed per partition and merged
 * in order. A multiple of WEIR_KV_BLOCK. */
#define WEIR_ATTN_PARTITION 128

/* What goes with 32 activations a ~ d * q: s = d * sum(q), and the negated sums of q, of all 32
 * and of each half, which undo the offsets of unsigned weights. */
typedef struct {
    float d;
    float s;
    int32_t neg_sum;
    int32_t neg_half[2];
} weir_xblock_t;

/* Activation rows, as floats, as int8, or both; the strides are in elements. */
typedef struct {
    const float *f;
    const int8_t *q;
    const weir_xblock_t *b;
    size_t f_stride;
    size_t q_stride;
    size_t b_stride;
    uint32_t n_rows;
} weir_xrows_t;

/* Online state of one attention query: running maximum, sum of exponentials, and the weighted sum
 * of values (v_stride floats). */
typedef struct {
    float max;
    float sum;
    float *acc;
} weir_attn_state_t;

/* A KV block of one head: K transposed [head_dim][16] f16, then V [16][v_stride] f16, v_stride
 * being head_dim rounded up to 16. */
typedef struct {
    uint32_t head_dim;
    uint32_t v_stride;
} weir_attn_shape_t;

typedef struct {
    const char *name; /* "avx512-vnni", "avx2", "scalar" */

    /*
     * Output rows of tiles first .. last - 1 for all rows of x: out[r * out_stride + i] becomes
     * (or, with add, has added to it) the product for output row first * 16 + i. int8 chooses
     * quantised activations (quantised types only; x->q and x->b), else x->f is read.
     * scratch: weir_matmul_scratch(cols) bytes, aligned to 64.
     */
    void (*matmul)(const weir_packed_t *w, const weir_xrows_t *x, bool int8, uint32_t first,
                   uint32_t last, float *out, size_t out_stride, bool add, void *scratch);

    /* out = x / rms(x) * weight; out may be x. */
    void (*rms_norm)(const float *x, const float *weight, float *out, size_t n, float eps);

    /* n a multiple of 32. */
    void (*quantize)(const float *x, int8_t *q, weir_xblock_t *b, size_t n);

    /* gate = silu(gate) * up */
    void (*silu_mul)(float *gate, const float *up, size_t n);

    /* x += y */
    void (*add)(float *x, const float *y, size_t n);

    /* Rotates the leading dims of a head in place; cos and sin hold dims / 2 values each. */
    void (*rope)(float *x, const float *cos, const float *sin, uint32_t dims,
                 weir_rope_style_t style);

    /* Writes one token's K and V of one head (floats) as position slot of a KV block. */
    void (*kv_write)(const weir_attn_shape_t *shape, const float *k, const float *v,
                     uint16_t *block, uint32_t slot);

    /*
     * One partition: blocks of one KV head (up to WEIR_ATTN_PARTITION / 16), n_queries queries
     * q[i] of head_dim floats, already scaled, of which query i sees the first limit[i] > 0
     * positions of the partition; the limits do not decrease. Fills state[i]. scores: n_queries *
     * WEIR_ATTN_PARTITION floats.
     */
    void (*attend)(const weir_attn_shape_t *shape, const uint16_t *const *blocks,
                   uint32_t n_queries, const float *const *q, const uint32_t *limit,
                   weir_attn_state_t *state, float *scores);

    /* Merges the state of the next partition into that of all before it. */
    void (*attn_merge)(const weir_attn_shape_t *shape, weir_attn_state_t *into,
                       const weir_attn_state_t *next);

    /* out[head_dim] = acc / sum */
    void (*attn_finish)(const weir_attn_shape_t *shape, const weir_attn_state_t *state, float *out);
} weir_kernels_t;

/* Bytes of scratch that one thread needs for products with up to cols columns. */
size_t weir_matmul_scratch(size_t cols);

/*
 * The table for isa ("scalar", "avx2", "avx512"), or with NULL the best that this machine runs;
 * NULL when it is unknown or the machine lacks it.
 */
const weir_kernels_t *weir_kernels(const char *isa);

const weir_kernels_t *weir_kernels_scalar(void);
const weir_kernels_t *weir_kernels_avx2(void);
const weir_kernels_t *weir_kernels_avx512(void);

#endif
