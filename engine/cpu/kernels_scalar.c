#include "engine/cpu/vec_scalar.h"

#include "engine/cpu/kernels_table.h"

static const weir_kernels_t table = KERNELS_TABLE("scalar");

const weir_kernels_t *weir_kernels_scalar(void)
{
    return &table;
}
