#include "engine/cpu/vec_avx512.h"

#include "engine/cpu/kernels_table.h"

static const weir_kernels_t table = KERNELS_TABLE("avx512-vnni");

const weir_kernels_t *weir_kernels_avx512(void)
{
    return &table;
}
