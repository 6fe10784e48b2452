#include "engine/cpu/pack.h"

#include <string.h>

/* One tile's source: a pointer to the current block of each of its rows. */
typedef struct {
    const uint8_t *row[WEIR_TILE_ROWS]; /* NULL behind the last row */
} tile_source_t;

bool weir_dtype_is_quantized(weir_dtype_t type)
{
    return type != WEIR_DTYPE_F32 && type != WEIR_DTYPE_F16 && type != WEIR_DTYPE_BF16;
}

static size_t tile_bytes(weir_dtype_t type, size_t cols)
{
    size_t blocks = cols / WEIR_BLOCK, supers = cols / WEIR_SUPER_BLOCK;

    switch (type) {
    case WEIR_DTYPE_F32:
        return cols * WEIR_TILE_ROWS * 4;
    case WEIR_DTYPE_F16:
    case WEIR_DTYPE_BF16:
        return cols * WEIR_TILE_ROWS * 2;
    case WEIR_DTYPE_Q4_0:
        return blocks * WEIR_Q4_0_BYTES;
    case WEIR_DTYPE_Q4_1:
        return blocks * WEIR_Q4_1_BYTES;
    case WEIR_DTYPE_Q5_0:
        return blocks * WEIR_Q5_0_BYTES;
    case WEIR_DTYPE_Q8_0:
        return blocks * WEIR_Q8_0_BYTES;
    case WEIR_DTYPE_Q4_K:
        return supers * (WEIR_Q4_K_HEAD_BYTES + 8 * WEIR_Q4_K_BYTES);
    case WEIR_DTYPE_Q6_K:
        return supers * (WEIR_Q6_K_HEAD_BYTES + 8 * WEIR_Q6_K_BYTES);
    }
    return 0;
}

void weir_packed_shape(weir_packed_t *packed, const weir_weight_t *weight)
{
    packed->type = weight->type;
    packed->rows = weight->rows;
    packed->cols = weight->cols;
    packed->n_tiles = (weight->rows + WEIR_TILE_ROWS - 1) / WEIR_TILE_ROWS;
    packed->tile_bytes = tile_bytes(weight->type, weight->cols);
}

size_t weir_packed_bytes(const weir_packed_t *packed)
{
    return (size_t)packed->n_tiles * packed->tile_bytes;
}

/* dst[i][lane] = the i-th u32 of the lane's bytes at offset: registers of 16 lanes x 4 bytes. */
static uint8_t *interleave4(const tile_source_t *src, size_t offset, size_t n_words, uint8_t *dst)
{
    for (size_t i = 0; i < n_words; i++) {
        for (int lane = 0; lane < WEIR_TILE_ROWS; lane++) {
            if (src->row[lane] != NULL) {
                memcpy(dst, src->row[lane] + offset + 4 * i, 4);
            } else {
                memset(dst, 0, 4);
            }
            dst += 4;
        }
    }
    return dst;
}

/* The same with elements of 2 bytes. */
static uint8_t *interleave2(const tile_source_t *src, size_t offset, size_t n, uint8_t *dst)
{
    for (size_t i = 0; i < n; i++) {
        for (int lane = 0; lane < WEIR_TILE_ROWS; lane++) {
            if (src->row[lane] != NULL) {
                memcpy(dst, src->row[lane] + offset + 2 * i, 2);
            } else {
                memset(dst, 0, 2);
            }
            dst += 2;
        }
    }
    return dst;
}

/* Q5_0: d at 0, high bits at 2 (bit j: value j), nibbles at 6. */
static uint8_t *pack_q5_0(const tile_source_t *src, uint8_t *dst)
{
    uint8_t *qh = interleave4(src, 6, 4, dst);

    memset(qh, 0, 64);
    for (int lane = 0; lane < WEIR_TILE_ROWS; lane++) {
        if (src->row[lane] == NULL) {
            continue;
        }
        uint32_t high;
        memcpy(&high, src->row[lane] + 2, 4);
        for (int k = 0; k < WEIR_BLOCK; k++) {
            qh[lane * 4 + k % 4] |= (uint8_t)(((high >> k) & 1u) << (k / 4));
        }
    }
    return interleave2(src, 0, 1, qh + 64);
}

/* Six-bit scale and minimum number i of a Q4_K block (ggml's packing of 8 + 8 into 12 bytes). */
static void q4_k_scale(const uint8_t *s, int i, uint8_t *scale, uint8_t *min)
{
    if (i < 4) {
        *scale = s[i] & 63;
        *min = s[i + 4] & 63;
    } else {
        *scale = (uint8_t)((s[i + 4] & 15) | ((s[i - 4] >> 6) << 4));
        *min = (uint8_t)((s[i + 4] >> 4) | ((s[i] >> 6) << 4));
    }
}

/* Q4_K: d at 0, dmin at 2, scales at 4 (12 bytes), nibbles at 16: each 32 bytes hold sub-block
 * 2i low and 2i + 1 high. */
static uint8_t *pack_q4_k(const tile_source_t *src, uint8_t *dst)
{
    dst = interleave2(src, 0, 2, dst);
    for (int sub = 0; sub < 8; sub++) {
        uint8_t *scales = dst + 256, *mins = dst + 272;
        memset(dst, 0, WEIR_Q4_K_BYTES);
        for (int lane = 0; lane < WEIR_TILE_ROWS; lane++) {
            const uint8_t *block = src->row[lane];
            if (block == NULL) {
                continue;
            }
            const uint8_t *q = block + 16 + (sub / 2) * 32;
            int shift = 4 * (sub % 2);
            for (int j = 0; j < 16; j++) {
                int low = (q[j] >> shift) & 15, high = (q[j + 16] >> shift) & 15;
                dst[(j / 4) * 64 + lane * 4 + j % 4] = (uint8_t)(low | high << 4);
            }
            q4_k_scale(block + 4, sub, &scales[lane], &mins[lane]);
        }
        dst += WEIR_Q4_K_BYTES;
    }
    return dst;
}

/* Value k (0..31) of sub-block sub of a Q6_K block: low nibbles at 0 (128 bytes), high pairs of
 * bits at 128 (64 bytes), each half of 128 values by itself. */
static uint8_t q6_k_value(const uint8_t *block, int sub, int k)
{
    int half = sub / 4, part = sub % 4;
    const uint8_t *ql = block + half * 64 + (part % 2) * 32;
    const uint8_t *qh = block + 128 + half * 32;
    int low = (ql[k] >> (4 * (part / 2))) & 15;

    return (uint8_t)(low | ((qh[k] >> (2 * part)) & 3) << 4);
}

/* Q6_K: scales at 192 (16 int8, one per 16 values), d at 208. */
static uint8_t *pack_q6_k(const tile_source_t *src, uint8_t *dst)
{
    dst = interleave2(src, 208, 1, dst);
    for (int sub = 0; sub < 8; sub++) {
        uint8_t *qh = dst + 256, *scales = dst + 384;
        memset(dst, 0, WEIR_Q6_K_BYTES);
        for (int lane = 0; lane < WEIR_TILE_ROWS; lane++) {
            const uint8_t *block = src->row[lane];
            if (block == NULL) {
                continue;
            }
            for (int k = 0; k < WEIR_BLOCK; k++) {
                int g = k / 4, at = lane * 4 + k % 4;
                uint8_t v = q6_k_value(block, sub, k);
                dst[(g % 4) * 64 + at] |= (uint8_t)((v & 15) << (4 * (g / 4)));
                qh[(g / 4) * 64 + at] |= (uint8_t)((v >> 4) << (2 * (g % 4)));
            }
            memcpy(&scales[lane], block + 192 + 2 * sub, 1);
            memcpy(&scales[16 + lane], block + 192 + 2 * sub + 1, 1);
        }
        dst += WEIR_Q6_K_BYTES;
    }
    return dst;
}

/* Packs the current block of every row; returns the end of what it wrote. */
static uint8_t *pack_block(weir_dtype_t type, const tile_source_t *src, uint8_t *dst)
{
    switch (type) {
    case WEIR_DTYPE_F32:
        return interleave4(src, 0, 1, dst);
    case WEIR_DTYPE_F16:
    case WEIR_DTYPE_BF16:
        return interleave2(src, 0, 1, dst);
    case WEIR_DTYPE_Q4_0: /* d at 0, nibbles at 2: value j low, value j + 16 high */
        return interleave2(src, 0, 1, interleave4(src, 2, 4, dst));
    case WEIR_DTYPE_Q4_1: /* d at 0, m at 2, nibbles at 4 */
        return interleave2(src, 0, 2, interleave4(src, 4, 4, dst));
    case WEIR_DTYPE_Q5_0:
        return pack_q5_0(src, dst);
    case WEIR_DTYPE_Q8_0: /* d at 0, int8 at 2 */
        return interleave2(src, 0, 1, interleave4(src, 2, 8, dst));
    case WEIR_DTYPE_Q4_K:
        return pack_q4_k(src, dst);
    case WEIR_DTYPE_Q6_K:
        return pack_q6_k(src, dst);
    }
    return dst;
}

void weir_pack_tiles(const weir_packed_t *packed, const weir_weight_t *weight, uint8_t *data,
                     uint32_t first, uint32_t last)
{
    size_t row_bytes = weir_dtype_row_bytes(weight->type, weight->cols);
    size_t block_bytes = weir_dtype_block_bytes(weight->type);
    size_t n_blocks = weight->cols / weir_dtype_block_values(weight->type);

    for (uint32_t tile = first; tile < last; tile++) {
        tile_source_t src = {{NULL}};
        uint8_t *dst = data + tile * packed->tile_bytes;
        for (uint32_t lane = 0; lane < WEIR_TILE_ROWS; lane++) {
            uint32_t row = tile * WEIR_TILE_ROWS + lane;
            if (row < weight->rows) {
                src.row[lane] = (const uint8_t *)weight->data + row * row_bytes;
            }
        }
        for (size_t b = 0; b < n_blocks; b++) {
            dst = pack_block(weight->type, &src, dst);
            for (int lane = 0; lane < WEIR_TILE_ROWS; lane++) {
                if (src.row[lane] != NULL) {
                    src.row[lane] += block_bytes;
                }
            }
        }
    }
}
