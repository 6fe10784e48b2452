/*
 * Matrix products over packed tiles, written on the lanes of vec_*.h; each kernels_*.c includes
 * this file once. An output is accumulated block by block in ascending order, the same way in
 * each kernel shape below, so the number of rows in a call does not change it.
 *
 * With w ~ s * q + m and a ~ d * p per block:  sum w a = s * d * sum(q p) + m * d * sum(p).
 */
#ifndef WEIR_CPU_KERNELS_MATMUL_H
#define WEIR_CPU_KERNELS_MATMUL_H

#include "engine/cpu/kernels.h"
#include "engine/cpu/vec_unroll.h"

/* How a type's blocks enter the sum: with a minimum, or with an offset in its unsigned weights
 * that the sums of the activations take out again. */
enum {
    KIND_MIN,
    KIND_OFFSET_8,
    KIND_OFFSET_16,
    KIND_Q8,
    KIND_HALVES /* two scales per block, offset 32 */
};

typedef struct {
    vb w[8];
    vf s[2];
    vf m;
} wblock_t;

/* A block unpacked to bytes, for use by many rows. */
typedef struct {
    uint8_t w[8][64];
    float s[2][16];
    float m[16];
} bytes_block_t;

VEC_INLINE int kind_of(weir_dtype_t type)
{
    switch (type) {
    case WEIR_DTYPE_Q4_0:
        return KIND_OFFSET_8;
    case WEIR_DTYPE_Q5_0:
        return KIND_OFFSET_16;
    case WEIR_DTYPE_Q8_0:
        return KIND_Q8;
    case WEIR_DTYPE_Q6_K:
        return KIND_HALVES;
    default:
        return KIND_MIN;
    }
}

VEC_INLINE size_t block_bytes(weir_dtype_t type)
{
    switch (type) {
    case WEIR_DTYPE_Q4_0:
        return WEIR_Q4_0_BYTES;
    case WEIR_DTYPE_Q4_1:
        return WEIR_Q4_1_BYTES;
    case WEIR_DTYPE_Q5_0:
        return WEIR_Q5_0_BYTES;
    case WEIR_DTYPE_Q8_0:
        return WEIR_Q8_0_BYTES;
    case WEIR_DTYPE_Q4_K:
        return WEIR_Q4_K_BYTES;
    default:
        return WEIR_Q6_K_BYTES;
    }
}

/* The head of block b's super-block, and block b itself. */
VEC_INLINE const uint8_t *super_at(weir_dtype_t type, const uint8_t *tile, size_t b)
{
    size_t head = type == WEIR_DTYPE_Q4_K ? WEIR_Q4_K_HEAD_BYTES : WEIR_Q6_K_HEAD_BYTES;
    return tile + b / 8 * (head + 8 * block_bytes(type));
}

VEC_INLINE const uint8_t *block_at(weir_dtype_t type, const uint8_t *tile, size_t b)
{
    if (type == WEIR_DTYPE_Q4_K) {
        return super_at(type, tile, b) + WEIR_Q4_K_HEAD_BYTES + b % 8 * WEIR_Q4_K_BYTES;
    }
    if (type == WEIR_DTYPE_Q6_K) {
        return super_at(type, tile, b) + WEIR_Q6_K_HEAD_BYTES + b % 8 * WEIR_Q6_K_BYTES;
    }
    return tile + b * block_bytes(type);
}

VEC_INLINE void unpack_nibbles(const uint8_t *p, vb w[8])
{
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        vb x = vb_load(p + 64 * i);
        w[i] = vb_shr_and(x, 0, 15);
        w[i + 4] = vb_shr_and(x, 4, 15);
    }
}

VEC_INLINE void unpack_q5_0(const uint8_t *p, wblock_t *o)
{
    vb h = vb_load(p + 256);

    unpack_nibbles(p, o->w);
    VEC_UNROLL
    for (int g = 0; g < 8; g++) {
        vb bit = g < 5 ? vb_shl_and(h, 4 - g, 16) : vb_shr_and(h, g - 4, 16);
        o->w[g] = vb_or(o->w[g], bit);
    }
    o->s[0] = vf_load_f16(p + 320);
}

VEC_INLINE void unpack_q6_k(const uint8_t *super, const uint8_t *p, wblock_t *o)
{
    unpack_nibbles(p, o->w);
    VEC_UNROLL
    for (int i = 0; i < 2; i++) {
        vb h = vb_load(p + 256 + 64 * i);
        o->w[4 * i] = vb_or(o->w[4 * i], vb_shl_and(h, 4, 48));
        o->w[4 * i + 1] = vb_or(o->w[4 * i + 1], vb_shl_and(h, 2, 48));
        o->w[4 * i + 2] = vb_or(o->w[4 * i + 2], vb_shr_and(h, 0, 48));
        o->w[4 * i + 3] = vb_or(o->w[4 * i + 3], vb_shr_and(h, 2, 48));
    }
    vf d = vf_load_f16(super);
    o->s[0] = vf_mul(d, vf_load_s8(p + 384));
    o->s[1] = vf_mul(d, vf_load_s8(p + 400));
}

/* Block b of a tile. All scales and minimums are exact in float32. */
VEC_INLINE void unpack(weir_dtype_t type, const uint8_t *tile, size_t b, wblock_t *o)
{
    const uint8_t *p = block_at(type, tile, b);

    switch (type) {
    case WEIR_DTYPE_Q4_0:
        unpack_nibbles(p, o->w);
        o->s[0] = vf_load_f16(p + 256);
        break;
    case WEIR_DTYPE_Q4_1:
        unpack_nibbles(p, o->w);
        o->s[0] = vf_load_f16(p + 256);
        o->m = vf_load_f16(p + 288);
        break;
    case WEIR_DTYPE_Q5_0:
        unpack_q5_0(p, o);
        break;
    case WEIR_DTYPE_Q8_0:
        VEC_UNROLL
        for (int g = 0; g < 8; g++) {
            o->w[g] = vb_weights8(vb_load(p + 64 * g));
        }
        o->s[0] = vf_load_f16(p + 512);
        break;
    case WEIR_DTYPE_Q4_K:
        unpack_nibbles(p, o->w);
        o->s[0] = vf_mul(vf_load_f16(super_at(type, tile, b)), vf_load_u8(p + 256));
        o->m = vf_sub(vf_zero(),
                      vf_mul(vf_load_f16(super_at(type, tile, b) + 32), vf_load_u8(p + 272)));
        break;
    default:
        unpack_q6_k(super_at(type, tile, b), p, o);
        break;
    }
}

VEC_INLINE vi dot(const int kind, vi c, vb w, const int8_t *x)
{
    return kind == KIND_Q8 ? vi_dot8(c, w, vb_set4(x)) : vi_dot7(c, w, vb_set4(x));
}

/* The integer sum's start: minus the weights' offset times the activations. */
VEC_INLINE vi dot_init(const int kind, const weir_xblock_t *b, int half)
{
    switch (kind) {
    case KIND_OFFSET_8:
        return vi_set1_shl(b->neg_sum, 3);
    case KIND_OFFSET_16:
        return vi_set1_shl(b->neg_sum, 4);
    case KIND_Q8:
        return VEC_Q8_OFFSET ? vi_set1_shl(b->neg_sum, 7) : vi_zero();
    case KIND_HALVES:
        return vi_set1_shl(b->neg_half[half], 5);
    default:
        return vi_zero();
    }
}

/* acc + s * (d * c) */
VEC_INLINE vf scaled(vf acc, vi c, vf s, const weir_xblock_t *b)
{
    return vf_fma(s, vf_mul(vf_from_vi(c), vf_set1(b->d)), acc);
}

VEC_INLINE vf block_mac(const int kind, vf acc, const wblock_t *w, const int8_t *x,
                        const weir_xblock_t *b)
{
    vi c = dot_init(kind, b, 0);

    VEC_UNROLL
    for (int g = 0; g < 8; g++) {
        if (kind == KIND_HALVES && g == 4) {
            acc = scaled(acc, c, w->s[0], b);
            c = dot_init(kind, b, 1);
        }
        c = dot(kind, c, w->w[g], x + 4 * g);
    }
    acc = scaled(acc, c, w->s[kind == KIND_HALVES], b);
    if (kind == KIND_MIN) {
        acc = vf_fma(w->m, vf_set1(b->s), acc);
    }
    return acc;
}

/* Stores one tile's outputs of one row; n of the 16 exist. */
VEC_INLINE void put(float *out, vf y, unsigned n, bool add)
{
    if (n >= 16) {
        vf_store(out, add ? vf_add(vf_load(out), y) : y);
    } else {
        vf_store_n(out, add ? vf_add(vf_load_n(out, n), y) : y, n);
    }
}

/* Where the outputs of a call go. */
typedef struct {
    float *out;
    size_t stride;
    unsigned n_last; /* outputs in the last tile of the step */
    bool add;
} sink_t;

/* How far ahead of its use a tile's data is asked for. */
#define PREFETCH_AHEAD 8192

VEC_INLINE void prefetch(const uint8_t *p, size_t bytes)
{
    for (size_t line = 0; line < bytes; line += 64) {
        vec_prefetch(p + PREFETCH_AHEAD + line);
    }
}

/*
 * Few rows: a tile is unpacked into registers and used at once. One tile at a time, so that memory
 * is read as one ascending stream: two streams half as far apart as the prefetch distance read at
 * half the speed.
 */
VEC_INLINE void direct_step(weir_dtype_t type, const int mt, const uint8_t *tile, size_t n_blocks,
                            const weir_xrows_t *x, const sink_t *sink)
{
    vf acc[4];

    for (int t = 0; t < mt; t++) {
        acc[t] = vf_zero();
    }
    for (size_t i = 0; i < n_blocks; i++) {
        wblock_t w;
        prefetch(block_at(type, tile, i), block_bytes(type));
        unpack(type, tile, i, &w);
        VEC_UNROLL
        for (int t = 0; t < mt; t++) {
            acc[t] = block_mac(kind_of(type), acc[t], &w,
                               x->q + (size_t)t * x->q_stride + i * WEIR_BLOCK,
                               x->b + (size_t)t * x->b_stride + i);
        }
    }
    VEC_UNROLL
    for (int t = 0; t < mt; t++) {
        put(sink->out + (size_t)t * sink->stride, acc[t], sink->n_last, sink->add);
    }
}

VEC_INLINE void unpack_tile(weir_dtype_t type, const uint8_t *tile, size_t n_blocks,
                            bytes_block_t *buf)
{
    for (size_t i = 0; i < n_blocks; i++) {
        wblock_t w;
        prefetch(block_at(type, tile, i), block_bytes(type));
        unpack(type, tile, i, &w);
        for (int g = 0; g < 8; g++) {
            vb_store(buf[i].w[g], w.w[g]);
        }
        vf_store(buf[i].s[0], w.s[0]);
        if (kind_of(type) == KIND_HALVES) {
            vf_store(buf[i].s[1], w.s[1]);
        }
        if (kind_of(type) == KIND_MIN) {
            vf_store(buf[i].m, w.m);
        }
    }
}

/* Many rows: nt unpacked tiles by mt rows. */
VEC_INLINE void bytes_step(const int kind, const int nt, const int mt, const bytes_block_t *buf,
                           size_t n_blocks, const weir_xrows_t *x, uint32_t row, const sink_t *sink)
{
    vf acc[VEC_GEMM_TILES][VEC_GEMM_ROWS];
    vi c[VEC_GEMM_TILES][VEC_GEMM_ROWS];
    const int8_t *q = x->q + row * x->q_stride;
    const weir_xblock_t *b = x->b + row * x->b_stride;

    for (int n = 0; n < nt; n++) {
        for (int t = 0; t < mt; t++) {
            acc[n][t] = vf_zero();
        }
    }
    for (size_t i = 0; i < n_blocks; i++) {
        const bytes_block_t *w = buf + i;
        VEC_UNROLL
        for (int t = 0; t < mt; t++) {
            VEC_UNROLL
            for (int n = 0; n < nt; n++) {
                c[n][t] = dot_init(kind, b + (size_t)t * x->b_stride + i, 0);
            }
        }
        VEC_UNROLL
        for (int g = 0; g < 8; g++) {
            if (kind == KIND_HALVES && g == 4) {
                VEC_UNROLL
                for (int t = 0; t < mt; t++) {
                    const weir_xblock_t *xb = b + (size_t)t * x->b_stride + i;
                    VEC_UNROLL
                    for (int n = 0; n < nt; n++) {
                        vf s = vf_load(w[(size_t)n * n_blocks].s[0]);
                        acc[n][t] = scaled(acc[n][t], c[n][t], s, xb);
                        c[n][t] = dot_init(kind, xb, 1);
                    }
                }
            }
            VEC_UNROLL
            for (int t = 0; t < mt; t++) {
                const int8_t *xq = q + (size_t)t * x->q_stride + i * WEIR_BLOCK + 4 * g;
                VEC_UNROLL
                for (int n = 0; n < nt; n++) {
                    c[n][t] = dot(kind, c[n][t], vb_load(w[(size_t)n * n_blocks].w[g]), xq);
                }
            }
        }
        VEC_UNROLL
        for (int t = 0; t < mt; t++) {
            const weir_xblock_t *xb = b + (size_t)t * x->b_stride + i;
            VEC_UNROLL
            for (int n = 0; n < nt; n++) {
                const bytes_block_t *wn = w + (size_t)n * n_blocks;
                acc[n][t] = scaled(acc[n][t], c[n][t], vf_load(wn->s[kind == KIND_HALVES]), xb);
                if (kind == KIND_MIN) {
                    acc[n][t] = vf_fma(vf_load(wn->m), vf_set1(xb->s), acc[n][t]);
                }
            }
        }
    }
    VEC_UNROLL
    for (int n = 0; n < nt; n++) {
        VEC_UNROLL
        for (int t = 0; t < mt; t++) {
            put(sink->out + (row + (size_t)t) * sink->stride + 16 * n, acc[n][t],
                n == nt - 1 ? sink->n_last : 16, sink->add);
        }
    }
}

VEC_INLINE vf load_column(weir_dtype_t type, const uint8_t *tile, size_t k)
{
    if (type == WEIR_DTYPE_F32) {
        return vf_load((const float *)(const void *)tile + k * 16);
    }
    return type == WEIR_DTYPE_F16 ? vf_load_f16(tile + k * 32) : vf_load_bf16(tile + k * 32);
}

/*
 * Float activations: nt tiles of [cols][16] floats, f16 or bf16 by mt rows. Even and odd columns
 * have sums of their own, so that one addition need not wait for the one before.
 */
VEC_INLINE void float_step(weir_dtype_t type, const int nt, const int mt, const uint8_t *tile,
                           size_t tile_bytes, size_t cols, const weir_xrows_t *x, uint32_t row,
                           const sink_t *sink)
{
    const float *f = x->f + row * x->f_stride;
    vf acc[2][VEC_GEMM_TILES][VEC_GEMM_ROWS];

    for (int n = 0; n < nt; n++) {
        for (int t = 0; t < mt; t++) {
            acc[0][n][t] = acc[1][n][t] = vf_zero();
        }
    }
    for (size_t k = 0; k < cols; k += 2) {
        vec_prefetch(tile + k * (type == WEIR_DTYPE_F32 ? 64 : 32) + PREFETCH_AHEAD);
        VEC_UNROLL
        for (int odd = 0; odd < 2; odd++) {
            if (k + (size_t)odd == cols) {
                break;
            }
            vf w[VEC_GEMM_TILES];
            VEC_UNROLL
            for (int n = 0; n < nt; n++) {
                w[n] = load_column(type, tile + (size_t)n * tile_bytes, k + (size_t)odd);
            }
            VEC_UNROLL
            for (int t = 0; t < mt; t++) {
                vf a = vf_set1(f[(size_t)t * x->f_stride + k + (size_t)odd]);
                VEC_UNROLL
                for (int n = 0; n < nt; n++) {
                    acc[odd][n][t] = vf_fma(w[n], a, acc[odd][n][t]);
                }
            }
        }
    }
    VEC_UNROLL
    for (int n = 0; n < nt; n++) {
        VEC_UNROLL
        for (int t = 0; t < mt; t++) {
            put(sink->out + (row + (size_t)t) * sink->stride + 16 * n,
                vf_add(acc[0][n][t], acc[1][n][t]), n == nt - 1 ? sink->n_last : 16, sink->add);
        }
    }
}

/* A tile of any type as [cols][16] floats. */
VEC_INLINE void expand_quantized(weir_dtype_t type, const uint8_t *tile, size_t n_blocks,
                                 float *dst)
{
    static const float offsets[] = {0.0f, 8.0f, 16.0f, 128.0f, 32.0f};
    const int kind = kind_of(type);
    const vf offset = vf_set1(offsets[kind]);

    for (size_t i = 0; i < n_blocks; i++) {
        wblock_t w;
        unpack(type, tile, i, &w);
        for (int g = 0; g < 8; g++) {
            vb bytes = kind == KIND_Q8 && !VEC_Q8_OFFSET ? vb_flip(w.w[g]) : w.w[g];
            vf s = w.s[kind == KIND_HALVES && g >= 4];
            VEC_UNROLL
            for (int j = 0; j < 4; j++) {
                vf v = vf_mul(s, vf_sub(vf_byte(bytes, j), offset));
                vf_store(dst, kind == KIND_MIN ? vf_add(v, w.m) : v);
                dst += 16;
            }
        }
    }
}

VEC_INLINE void expand_half(weir_dtype_t type, const uint8_t *tile, size_t cols, float *dst)
{
    for (size_t k = 0; k < cols; k++) {
        const uint8_t *p = tile + k * 32;
        vf_store(dst + k * 16, type == WEIR_DTYPE_F16 ? vf_load_f16(p) : vf_load_bf16(p));
    }
}

/*
 * A step function for nt tiles and all rows of x: CALL(nt, mt) is run for as many rows at a time
 * as the registers hold, then for the rest.
 */
#define ROWS_LOOP(nt, max_mt, CALL)                               \
    do {                                                          \
        uint32_t row = 0, left = x->n_rows;                       \
        for (; (max_mt) >= 6 && left >= 6; row += 6, left -= 6) { \
            CALL(nt, ((max_mt) >= 6 ? 6 : 1));                    \
        }                                                         \
        for (; (max_mt) >= 4 && left >= 4; row += 4, left -= 4) { \
            CALL(nt, ((max_mt) >= 4 ? 4 : 1));                    \
        }                                                         \
        for (; (max_mt) >= 2 && left >= 2; row += 2, left -= 2) { \
            CALL(nt, ((max_mt) >= 2 ? 2 : 1));                    \
        }                                                         \
        for (; left >= 1; row += 1, left -= 1) {                  \
            CALL(nt, 1);                                          \
        }                                                         \
    } while (0)

/* The rows of one or VEC_GEMM_TILES unpacked tiles. */
#define DEFINE_BYTES_ROWS(name, kind)                                                \
    static void bytes_rows_##name(int nt, const bytes_block_t *buf, size_t n_blocks, \
                                  const weir_xrows_t *x, const sink_t *sink)         \
    {                                                                                \
        if (nt == 2) {                                                               \
            ROWS_LOOP(VEC_GEMM_TILES, VEC_GEMM_ROWS, BYTES_##name);                  \
        } else {                                                                     \
            ROWS_LOOP(1, VEC_GEMM_ROWS, BYTES_##name);                               \
        }                                                                            \
    }

#define BYTES_min(nt, mt)    bytes_step(KIND_MIN, nt, mt, buf, n_blocks, x, row, sink)
#define BYTES_off8(nt, mt)   bytes_step(KIND_OFFSET_8, nt, mt, buf, n_blocks, x, row, sink)
#define BYTES_off16(nt, mt)  bytes_step(KIND_OFFSET_16, nt, mt, buf, n_blocks, x, row, sink)
#define BYTES_q8(nt, mt)     bytes_step(KIND_Q8, nt, mt, buf, n_blocks, x, row, sink)
#define BYTES_halves(nt, mt) bytes_step(KIND_HALVES, nt, mt, buf, n_blocks, x, row, sink)

DEFINE_BYTES_ROWS(min, KIND_MIN)
DEFINE_BYTES_ROWS(off8, KIND_OFFSET_8)
DEFINE_BYTES_ROWS(off16, KIND_OFFSET_16)
DEFINE_BYTES_ROWS(q8, KIND_Q8)
DEFINE_BYTES_ROWS(halves, KIND_HALVES)

static void bytes_rows(int kind, int nt, const bytes_block_t *buf, size_t n_blocks,
                       const weir_xrows_t *x, const sink_t *sink)
{
    switch (kind) {
    case KIND_MIN:
        bytes_rows_min(nt, buf, n_blocks, x, sink);
        break;
    case KIND_OFFSET_8:
        bytes_rows_off8(nt, buf, n_blocks, x, sink);
        break;
    case KIND_OFFSET_16:
        bytes_rows_off16(nt, buf, n_blocks, x, sink);
        break;
    case KIND_Q8:
        bytes_rows_q8(nt, buf, n_blocks, x, sink);
        break;
    default:
        bytes_rows_halves(nt, buf, n_blocks, x, sink);
        break;
    }
}

/* Rows up to which a tile is unpacked in registers. */
#define DIRECT_ROWS (VEC_GEMM_ROWS >= 4 ? 4 : VEC_GEMM_ROWS)

#define DIRECT(type, mt) direct_step(type, mt, tile, w->cols / WEIR_BLOCK, x, sink)

#define DEFINE_QUANT(name, type)                                                                  \
    static void direct_##name(const weir_packed_t *w, const uint8_t *tile, const weir_xrows_t *x, \
                              const sink_t *sink)                                                 \
    {                                                                                             \
        if (x->n_rows == 1) {                                                                     \
            DIRECT(type, 1);                                                                      \
        } else if (DIRECT_ROWS >= 2 && x->n_rows == 2) {                                          \
            DIRECT(type, (DIRECT_ROWS >= 2 ? 2 : 1));                                             \
        } else if (DIRECT_ROWS >= 4 && x->n_rows == 3) {                                          \
            DIRECT(type, (DIRECT_ROWS >= 4 ? 3 : 1));                                             \
        } else if (DIRECT_ROWS >= 4) {                                                            \
            DIRECT(type, (DIRECT_ROWS >= 4 ? 4 : 1));                                             \
        }                                                                                         \
    }                                                                                             \
    static void unpack_tile_##name(const weir_packed_t *w, const uint8_t *tile, void *buf)        \
    {                                                                                             \
        unpack_tile(type, tile, w->cols / WEIR_BLOCK, (bytes_block_t *)buf);                      \
    }                                                                                             \
    static void expand_##name(const weir_packed_t *w, const uint8_t *tile, void *buf)             \
    {                                                                                             \
        expand_quantized(type, tile, w->cols / WEIR_BLOCK, (float *)buf);                         \
    }

DEFINE_QUANT(q4_0, WEIR_DTYPE_Q4_0)
DEFINE_QUANT(q4_1, WEIR_DTYPE_Q4_1)
DEFINE_QUANT(q5_0, WEIR_DTYPE_Q5_0)
DEFINE_QUANT(q8_0, WEIR_DTYPE_Q8_0)
DEFINE_QUANT(q4_k, WEIR_DTYPE_Q4_K)
DEFINE_QUANT(q6_k, WEIR_DTYPE_Q6_K)

typedef struct {
    weir_dtype_t type;
    void (*direct)(const weir_packed_t *w, const uint8_t *tile, const weir_xrows_t *x,
                   const sink_t *sink);
    void (*unpack)(const weir_packed_t *w, const uint8_t *tile, void *buf);
    void (*expand)(const weir_packed_t *w, const uint8_t *tile, void *buf);
} quant_kernels_t;

static const quant_kernels_t quant_kernels[] = {
    {WEIR_DTYPE_Q4_0, direct_q4_0, unpack_tile_q4_0, expand_q4_0},
    {WEIR_DTYPE_Q4_1, direct_q4_1, unpack_tile_q4_1, expand_q4_1},
    {WEIR_DTYPE_Q5_0, direct_q5_0, unpack_tile_q5_0, expand_q5_0},
    {WEIR_DTYPE_Q8_0, direct_q8_0, unpack_tile_q8_0, expand_q8_0},
    {WEIR_DTYPE_Q4_K, direct_q4_k, unpack_tile_q4_k, expand_q4_k},
    {WEIR_DTYPE_Q6_K, direct_q6_k, unpack_tile_q6_k, expand_q6_k},
};

static const quant_kernels_t *quant_of(weir_dtype_t type)
{
    size_t i = 0;

    while (i + 1 < sizeof(quant_kernels) / sizeof(quant_kernels[0]) &&
           quant_kernels[i].type != type) {
        i++;
    }
    return &quant_kernels[i];
}

static void matmul_int8(const weir_packed_t *w, const uint8_t *tile, int nt, const weir_xrows_t *x,
                        const sink_t *sink, void *scratch)
{
    const quant_kernels_t *kernels = quant_of(w->type);
    size_t n_blocks = w->cols / WEIR_BLOCK;
    bytes_block_t *buf = scratch;

    if (x->n_rows <= DIRECT_ROWS) {
        kernels->direct(w, tile, x, sink);
        return;
    }
    for (int n = 0; n < nt; n++) {
        kernels->unpack(w, tile + (size_t)n * w->tile_bytes, buf + (size_t)n * n_blocks);
    }
    bytes_rows(kind_of(w->type), nt, buf, n_blocks, x, sink);
}

#define FEW_ROWS                        (VEC_GEMM_ROWS >= 2 ? 2 : 1)
#define FLOAT_STEP(type, bytes, nt, mt) float_step(type, nt, mt, tile, bytes, w->cols, x, row, sink)
#define FLOAT_F32(nt, mt)               FLOAT_STEP(WEIR_DTYPE_F32, w->cols * 64, nt, mt)
#define FLOAT_F16(nt, mt)               FLOAT_STEP(WEIR_DTYPE_F16, w->cols * 32, nt, mt)
#define FLOAT_BF16(nt, mt)              FLOAT_STEP(WEIR_DTYPE_BF16, w->cols * 32, nt, mt)

static void float_rows(weir_dtype_t type, const weir_packed_t *w, const uint8_t *tile, int nt,
                       const weir_xrows_t *x, const sink_t *sink)
{
    if (type == WEIR_DTYPE_F16 && nt == 2) {
        ROWS_LOOP(VEC_GEMM_TILES, FEW_ROWS, FLOAT_F16);
    } else if (type == WEIR_DTYPE_F16) {
        ROWS_LOOP(1, FEW_ROWS, FLOAT_F16);
    } else if (type == WEIR_DTYPE_BF16 && nt == 2) {
        ROWS_LOOP(VEC_GEMM_TILES, FEW_ROWS, FLOAT_BF16);
    } else if (type == WEIR_DTYPE_BF16) {
        ROWS_LOOP(1, FEW_ROWS, FLOAT_BF16);
    } else if (nt == 2) {
        ROWS_LOOP(VEC_GEMM_TILES, VEC_GEMM_ROWS, FLOAT_F32);
    } else {
        ROWS_LOOP(1, VEC_GEMM_ROWS, FLOAT_F32);
    }
}

/* Rows from which on half-precision tiles are converted once instead of per use. */
#define CONVERT_ROWS 5

static void matmul_float(const weir_packed_t *w, const uint8_t *tile, int nt, const weir_xrows_t *x,
                         const sink_t *sink, void *scratch)
{
    float *buf = scratch;

    if (w->type == WEIR_DTYPE_F32 ||
        (!weir_dtype_is_quantized(w->type) && x->n_rows < CONVERT_ROWS)) {
        float_rows(w->type, w, tile, nt, x, sink);
        return;
    }
    for (int n = 0; n < nt; n++) {
        const uint8_t *src = tile + (size_t)n * w->tile_bytes;
        float *dst = buf + (size_t)n * w->cols * 16;
        if (weir_dtype_is_quantized(w->type)) {
            quant_of(w->type)->expand(w, src, dst);
        } else {
            expand_half(w->type, src, w->cols, dst);
        }
    }
    float_rows(WEIR_DTYPE_F32, w, (const uint8_t *)buf, nt, x, sink);
}

static void kernel_matmul(const weir_packed_t *w, const weir_xrows_t *x, bool int8, uint32_t first,
                          uint32_t last, float *out, size_t out_stride, bool add, void *scratch)
{
    sink_t sink = {out, out_stride, 16, add};

    for (uint32_t tile = first; tile < last;) {
        const uint8_t *data = w->data + tile * w->tile_bytes;
        bool pair = VEC_GEMM_TILES == 2 && x->n_rows > DIRECT_ROWS && last - tile >= 2;
        int nt = pair ? 2 : 1;
        uint32_t end = (tile + (uint32_t)nt) * WEIR_TILE_ROWS;
        sink.n_last = end > w->rows ? 16 - (end - w->rows) : 16;
        if (int8 && weir_dtype_is_quantized(w->type)) {
            matmul_int8(w, data, nt, x, &sink, scratch);
        } else {
            matmul_float(w, data, nt, x, &sink, scratch);
        }
        tile += (uint32_t)nt;
        sink.out += nt * WEIR_TILE_ROWS;
    }
}

#endif
