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

/*
 * Scores of nq queries at the positions of nb blocks; consecutive queries' scores lie
 * WEIR_ATTN_PARTITION apart. Blocks lie anywhere in the cache, in pages of their own, so the
 * processor cannot foresee them: on the way, a line per dimension is asked for, of ahead[i]'s keys
 * and of block i's values.
 */
VEC_INLINE void scores_step(const int nq, const int nb, const uint16_t *const *blocks,
                            const uint16_t *const *ahead, uint32_t head_dim, const float *const *q,
                            float *scores)
{
    vf acc[2][VEC_ATTN_QUERIES];

    for (int i = 0; i < nb; i++) {
        for (int j = 0; j < nq; j++) {
            acc[i][j] = vf_zero();
        }
    }
    for (uint32_t d = 0; d < head_dim; d++) {
        vf k[2];
        VEC_UNROLL
        for (int i = 0; i < nb; i++) {
            const uint16_t *from = d % 2 == 0 ? ahead[i] : blocks[i] + (size_t)head_dim * KV_BLOCK;
            vec_prefetch(from + (size_t)(d / 2) * 32);
            k[i] = vf_load_f16(blocks[i] + (size_t)d * KV_BLOCK);
        }
        VEC_UNROLL
        for (int j = 0; j < nq; j++) {
            vf x = vf_set1(q[j][d]);
            VEC_UNROLL
            for (int i = 0; i < nb; i++) {
                acc[i][j] = vf_fma(k[i], x, acc[i][j]);
            }
        }
    }
    VEC_UNROLL
    for (int i = 0; i < nb; i++) {
        VEC_UNROLL
        for (int j = 0; j < nq; j++) {
            vf_store(scores + (size_t)j * WEIR_ATTN_PARTITION + KV_BLOCK * i, acc[i][j]);
        }
    }
}

/* n queries at nb blocks, 1 or 2. */
#define SCORES(nq, nb)                                                  \
    for (; n >= (nq); n -= (nq)) {                                      \
        scores_step(nq, nb, blocks, ahead, shape->head_dim, q, scores); \
        q += (nq);                                                      \
        scores += (size_t)(nq)*WEIR_ATTN_PARTITION;                     \
    }

static void scores_pair(const weir_attn_shape_t *shape, const uint16_t *const *blocks,
                        const uint16_t *const *ahead, uint32_t n, const float *const *q,
                        float *scores)
{
#if VEC_ATTN_QUERIES >= 6
    SCORES(6, 2)
#endif
#if VEC_ATTN_QUERIES >= 3
    SCORES(3, 2)
#endif
    SCORES(1, 2)
}

static void scores_single(const weir_attn_shape_t *shape, const uint16_t *const *blocks,
                          const uint16_t *const *ahead, uint32_t n, const float *const *q,
                          float *scores)
{
#if VEC_ATTN_QUERIES >= 6
    SCORES(6, 1)
#endif
#if VEC_ATTN_QUERIES >= 3
    SCORES(3, 1)
#endif
    SCORES(1, 1)
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

static void kernel_attend(const weir_attn_shape_t *shape, const uint16_t *const *blocks,
                          uint32_t n_queries, const float *const *q, const uint32_t *limit,
                          weir_attn_state_t *state, float *scores)
{
    uint32_t first = 0; /* the first query that sees the block */
    uint32_t n_blocks = (limit[n_queries - 1] + KV_BLOCK - 1) / KV_BLOCK;

    for (uint32_t i = 0; i < n_blocks;) {
        while (limit[first] <= i * KV_BLOCK) {
            first++;
        }
        /* A pair of blocks when the same queries see both. */
        bool pair = i + 1 < n_blocks && limit[first] > (i + 1) * KV_BLOCK;
        uint32_t step = pair ? 2 : 1, last = n_blocks - 1;
        const uint16_t *ahead[2] = {blocks[i + step < last ? i + step : last],
                                    blocks[i + step + 1 < last ? i + step + 1 : last]};
        float *to = scores + (size_t)first * WEIR_ATTN_PARTITION + (size_t)i * KV_BLOCK;
        if (pair) {
            scores_pair(shape, blocks + i, ahead, n_queries - first, q + first, to);
        } else {
            scores_single(shape, blocks + i, ahead, n_queries - first, q + first, to);
        }
        i += step;
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
