/*
 * Weight types of GGUF and their scalar reference conversion to float32. The block layouts are
 * those of ggml-org/ggml (ggml-common.h); the back ends repack them, these functions define them.
 */
#ifndef WEIR_LLM_QUANT_H
#define WEIR_LLM_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are GGUF's. */
typedef enum {
    WEIR_DTYPE_F32 = 0,
    WEIR_DTYPE_F16 = 1,
    WEIR_DTYPE_Q4_0 = 2,
    WEIR_DTYPE_Q4_1 = 3,
    WEIR_DTYPE_Q5_0 = 6,
    WEIR_DTYPE_Q8_0 = 8,
    WEIR_DTYPE_Q4_K = 12,
    WEIR_DTYPE_Q6_K = 14,
    WEIR_DTYPE_BF16 = 30
} weir_dtype_t;

/* True for the types above. */
bool weir_dtype_supported(uint32_t type);

/* "Q4_1" and so on; "?" for others. */
const char *weir_dtype_name(uint32_t type);

/* Values per block (1, 32 or 256) and bytes per block. 0 for unsupported types. */
uint32_t weir_dtype_block_values(uint32_t type);
uint32_t weir_dtype_block_bytes(uint32_t type);

/* Bytes of one row of cols values; cols must be a multiple of the block. */
size_t weir_dtype_row_bytes(weir_dtype_t type, size_t cols);

/* Converts n values (a multiple of the block) from src to float32. */
void weir_dequantize(weir_dtype_t type, const void *src, float *dst, size_t n);

/* Quantises n floats into the type's blocks by simple rounding (absmax or min/max per block): for
 * tests and the model generator, not for quality. */
void weir_quantize(weir_dtype_t type, const float *src, void *dst, size_t n);

float weir_f16_to_f32(uint16_t h);
uint16_t weir_f32_to_f16(float f); /* round to nearest even */
float weir_bf16_to_f32(uint16_t h);
uint16_t weir_f32_to_bf16(float f); /* round to nearest even; NaN stays NaN */

#endif
