/*
 * Weights in the order in which the kernels read them. A matrix becomes tiles of 16 output rows;
 * a tile holds its columns in order, in blocks of 32 for quantised types:
 *
 *   Q4_0  [qs 256][d 16 f16]                       Q4_1  [qs 256][d 16 f16][m 16 f16]
 *   Q5_0  [qs 256][qh 64][d 16 f16]                Q8_0  [q 512][d 16 f16]
 *   Q4_K  per 256: [d 16 f16][dmin 16 f16], then 8 x [qs 256][scale 16 u8][min 16 u8]
 *   Q6_K  per 256: [d 16 f16], then 8 x [ql 256][qh 128][scale 2 x 16 s8]
 *   F32, F16, BF16  [cols][16]
 *
 * q: eight groups of four columns, each 16 rows x 4 bytes (one 512-bit register for vpdpbusd).
 * qs and ql: register i holds group i in the low nibbles and group i + 4 in the high ones.
 * qh of Q5_0: bit g belongs to group g. qh of Q6_K: register g / 4 holds bits 2 (g % 4) .. + 1.
 * The sizes equal those of the file (Q4_K: 18.5 instead of 18 bytes per 32 values). Rows behind
 * the last one are zeros.
 */
#ifndef WEIR_CPU_PACK_H
#define WEIR_CPU_PACK_H

#include "engine/llm/model.h"

#define WEIR_TILE_ROWS   16
#define WEIR_BLOCK       32  /* columns that share an activation scale */
#define WEIR_SUPER_BLOCK 256 /* columns of a K-quant block */

#define WEIR_Q4_0_BYTES      288
#define WEIR_Q4_1_BYTES      320
#define WEIR_Q5_0_BYTES      352
#define WEIR_Q8_0_BYTES      544
#define WEIR_Q4_K_HEAD_BYTES 64
#define WEIR_Q4_K_BYTES      288
#define WEIR_Q6_K_HEAD_BYTES 32
#define WEIR_Q6_K_BYTES      416

typedef struct {
    const uint8_t *data; /* n_tiles * tile_bytes, aligned to 64 */
    size_t tile_bytes;
    weir_dtype_t type;
    uint32_t rows;
    uint32_t cols;
    uint32_t n_tiles;
} weir_packed_t;

/* Fills all but data; cols must be a multiple of the type's block. */
void weir_packed_shape(weir_packed_t *packed, const weir_weight_t *weight);

/* Bytes that data needs. */
size_t weir_packed_bytes(const weir_packed_t *packed);

/* Packs tiles first .. last - 1 of weight into data, the memory that packed->data will name. */
void weir_pack_tiles(const weir_packed_t *packed, const weir_weight_t *weight, uint8_t *data,
                     uint32_t first, uint32_t last);

/* True for the types whose products can use int8 activations. */
bool weir_dtype_is_quantized(weir_dtype_t type);

#endif
