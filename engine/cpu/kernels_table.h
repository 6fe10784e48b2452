/* The table of one instruction set's kernels; included last by each kernels_*.c. */
#ifndef WEIR_CPU_KERNELS_TABLE_H
#define WEIR_CPU_KERNELS_TABLE_H

#include "engine/cpu/kernels_attention.h"
#include "engine/cpu/kernels_matmul.h"
#include "engine/cpu/kernels_rows.h"

#define KERNELS_TABLE(isa)                                                           \
    {                                                                                \
        .name = (isa), .matmul = kernel_matmul, .rms_norm = kernel_rms_norm,         \
        .quantize = kernel_quantize, .silu_mul = kernel_silu_mul, .add = kernel_add, \
        .rope = kernel_rope, .kv_write = kernel_kv_write, .attend = kernel_attend,   \
        .attn_merge = kernel_attn_merge, .attn_finish = kernel_attn_finish           \
    }

#endif
