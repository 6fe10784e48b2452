/*
 * Attention over one partition of the paged KV cache, on the lanes of vec_*.h, included once by
 * each kernels_*.c. A lane is a position while scores are made (K lies transposed) and a
 * dimension while values are summed, so nothing is reduced across lanes but maximum and sum.
 */
#ifndef WEIR_CPU_KERNELS_ATTENTION_H
#define WEIR_CPU_KERNELS_ATTENTION_H

#include "engine/cpu/kernels.h"
#include "engine/cpu/kernels_rows.h"
#include "engine/cpu/vec_unroll.h"

#include <string.h>

#define KV_BLOCK 16

/* Scores of nq queries at the 16 positions of a block; consecutive queries' scores lie
 * WEIR_ATTN_PARTITION apart. */
VEC_INLINE void scores_step(const int nq, const uint16_t *block, uint32_t head_dim,
                            const float *const *q, float *scores)
{
    vf acc[VEC_ATTN_QUERIES];

    for (int j = 0; j < nq; j++) {
        acc[j] = vf_zero();
    }
    for (uint32_t d = 0; d < head_dim; d++) {
        vf k = vf_load_f16(block + (size_t)d * 16);
        VEC_UNROLL
        for (int j = 0; j < nq; j++) {
            acc[j] = vf_fma(k, vf_set1(q[j][d]), acc[j]);
        }
    }
    VEC_UNROLL
    for (int j = 0; j < nq; j++) {
        vf_store(scores + (size_t)j * WEIR_ATTN_PARTITION, acc[j]);
    }
}

static void scores_block(const uint16_t *block, uint32_t head_dim, uint32_t n,
                         const float *const *q, float *scores)
{
    while (n > 0) {
        uint32_t step = 1;
        if (VEC_ATTN_QUERIES >= 6 && n >= 6) {
            step = 6;
            scores_step(VEC_ATTN_QUERIES >= 6 ? 6 : 1, block, head_dim, q, scores);
        } else if (VEC_ATTN_QUERIES >= 3 && n >= 3) {
            step = 3;
            scores_step(VEC_ATTN_QUERIES >= 3 ? 3 : 1, block, head_dim, q, scores);
        } else {
            scores_step(1, block, head_dim, q, scores);
        }
        n -= step;
        q += step;
        scores += (size_t)step * WEIR_ATTN_PARTITION;
    }
}

/* exp(score - max) in place over the first n positions, zeros to the end of their block. */
static void softmax_partition(float *scores, uint32_t n, weir_attn_state_t *state)
{
    vf top = vf_set1(-INFINITY), sum = vf_zero();
    uint32_t full = n / 16 * 16, rest = n % 16;

    for (uint32_t i = 0; i < full; i += 16) {
        top = vf_max(top, vf_load(scores + i));
    }
    if (rest > 0) {
        top = vf_max(top, vf_keep_n(vf_load(scores + full), rest, -INFINITY));
    }
    state->max = vf_hmax(top);
    vf max = vf_set1(state->max);
    for (uint32_t i = 0; i < full; i += 16) {
        vf e = vf_exp(vf_sub(vf_load(scores + i), max));
        vf_store(scores + i, e);
        sum = vf_add(sum, e);
    }
    if (rest > 0) {
        vf e = vf_keep_n(vf_exp(vf_sub(vf_load(scores + full), max)), rest, 0.0f);
        vf_store(scores + full, e);
        sum = vf_add(sum, e);
    }
    state->sum = vf_hsum(sum);
}

/* Weighted sums of nq queries over n positions in nc * 16 columns from column on. */
VEC_INLINE void values_step(const int nq, const int nc, const weir_attn_shape_t *shape,
                            const uint16_t *const *blocks, uint32_t n, uint32_t column,
                            const float *scores, weir_attn_state_t *state)
{
    vf acc[VEC_ATTN_QUERIES][VEC_ATTN_COLUMNS];

    for (int j = 0; j < nq; j++) {
        for (int c = 0; c < nc; c++) {
            acc[j][c] = vf_zero();
        }
    }
    for (uint32_t at = 0; at < n; at += KV_BLOCK) {
        const uint16_t *v = blocks[at / KV_BLOCK] + (size_t)shape->head_dim * 16 + column;
        uint32_t end = n - at < KV_BLOCK ? n - at : KV_BLOCK;
        for (uint32_t t = 0; t < end; t++) {
            vf x[VEC_ATTN_COLUMNS];
            VEC_UNROLL
            for (int c = 0; c < nc; c++) {
                x[c] = vf_load_f16(v + (size_t)t * shape->v_stride + 16 * c);
            }
            VEC_UNROLL
            for (int j = 0; j < nq; j++) {
                vf p = vf_set1(scores[(size_t)j * WEIR_ATTN_PARTITION + at + t]);
                VEC_UNROLL
                for (int c = 0; c < nc; c++) {
                    acc[j][c] = vf_fma(p, x[c], acc[j][c]);
                }
            }
        }
    }
    VEC_UNROLL
    for (int j = 0; j < nq; j++) {
        VEC_UNROLL
        for (int c = 0; c < nc; c++) {
            vf_store(state[j].acc + column + 16 * c, acc[j][c]);
        }
    }
}

/* All columns for nq queries that see the same n positions. */
#define VALUES(nq)                                                                      \
    do {                                                                                \
        uint32_t column = 0;                                                            \
        for (; column + 16 * VEC_ATTN_COLUMNS <= shape->v_stride;                       \
             column += 16 * VEC_ATTN_COLUMNS) {                                         \
            values_step(nq, VEC_ATTN_COLUMNS, shape, blocks, n, column, scores, state); \
        }                                                                               \
        for (; column < shape->v_stride; column += 16) {                                \
            values_step(nq, 1, shape, blocks, n, column, scores, state);                \
        }                                                                               \
    } while (0)

static void values_partition(const weir_attn_shape_t *shape, const uint16_t *const *blocks,
                             uint32_t n_queries, uint32_t n, const float *scores,
                             weir_attn_state_t *state)
{
    while (n_queries > 0) {
        uint32_t step = 1;
        if (VEC_ATTN_QUERIES >= 6 && n_queries >= 6) {
            step = 6;
            VALUES((VEC_ATTN_QUERIES >= 6 ? 6 : 1));
        } else if (VEC_ATTN_QUERIES >= 3 && n_queries >= 3) {
            step = 3;
            VALUES((VEC_ATTN_QUERIES >= 3 ? 3 : 1));
        } else {
            VALUES(1);
        }
        n_queries -= step;
        state += step;
        scores += (size_t)step * WEIR_ATTN_PARTITION;
    }
}

/* Blocks lie anywhere in the cache, in pages of their own: the processor cannot foresee them. The
 * keys of the next block and the values of this one are asked for while this one's keys are read.
 */
static void prefetch_blocks(const weir_attn_shape_t *shape, const uint16_t *block,
                            const uint16_t *next)
{
    size_t keys = (size_t)shape->head_dim * KV_BLOCK, values = (size_t)shape->v_stride * KV_BLOCK;

    for (size_t i = 0; next != NULL && i < keys; i += 32) {
        vec_prefetch(next + i);
    }
    for (size_t i = 0; i < values; i += 32) {
        vec_prefetch(block + keys + i);
    }
}

static void kernel_attend(const weir_attn_shape_t *shape, const uint16_t *const *blocks,
                          uint32_t n_queries, const float *const *q, const uint32_t *limit,
                          weir_attn_state_t *state, float *scores)
{
    uint32_t first = 0; /* the first query that sees the block */

    for (uint32_t at = 0, end = limit[n_queries - 1]; at < end; at += KV_BLOCK) {
        const uint16_t *const *block = &blocks[at / KV_BLOCK];
        prefetch_blocks(shape, *block, at + KV_BLOCK < end ? block[1] : NULL);
        while (limit[first] <= at) {
            first++;
        }
        scores_block(*block, shape->head_dim, n_queries - first, q + first,
                     scores + (size_t)first * WEIR_ATTN_PARTITION + at);
    }
    for (uint32_t i = 0; i < n_queries; i++) {
        softmax_partition(scores + (size_t)i * WEIR_ATTN_PARTITION, limit[i], &state[i]);
    }
    for (uint32_t i = 0; i < n_queries;) {
        uint32_t same = 1;
        while (i + same < n_queries && limit[i + same] == limit[i]) {
            same++;
        }
        values_partition(shape, blocks, same, limit[i], scores + (size_t)i * WEIR_ATTN_PARTITION,
                         state + i);
        i += same;
    }
}

static void kernel_attn_merge(const weir_attn_shape_t *shape, weir_attn_state_t *into,
                              const weir_attn_state_t *next)
{
    float max = next->max > into->max ? next->max : into->max, scale[16] = {0};

    scale[0] = into->max - max;
    scale[1] = next->max - max;
    vf_store(scale, vf_exp(vf_load(scale)));
    vf a = vf_set1(scale[0]), b = vf_set1(scale[1]);
    for (uint32_t i = 0; i < shape->v_stride; i += 16) {
        vf sum = vf_mul(vf_load(into->acc + i), a);
        vf_store(into->acc + i, vf_fma(vf_load(next->acc + i), b, sum));
    }
    into->sum = into->sum * scale[0] + next->sum * scale[1];
    into->max = max;
}

static void kernel_attn_finish(const weir_attn_shape_t *shape, const weir_attn_state_t *state,
                               float *out)
{
    vf scale = vf_set1(1.0f / state->sum);

    for (uint32_t i = 0; i < shape->head_dim; i += 16) {
        store_tail(out, i, shape->head_dim, vf_mul(vf_load(state->acc + i), scale));
    }
}

#endif
