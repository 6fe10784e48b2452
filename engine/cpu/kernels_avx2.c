#include "engine/cpu/vec_avx2.h"

#include "engine/cpu/kernels_table.h"

static const weir_kernels_t table = KERNELS_TABLE("avx2");

const weir_kernels_t *weir_kernels_avx2(void)
{
    return &table;
}
