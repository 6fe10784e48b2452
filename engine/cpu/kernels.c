#include "engine/cpu/kernels.h"

#include <cpuid.h>
#include <string.h>

/* clang 14 does not know the name "f16c". */
static bool has_f16c(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

/* __builtin_cpu_supports asks cpuid and xgetbv: the system must save the registers too. */
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vnni");
}

const weir_kernels_t *weir_kernels(const char *isa)
{
    bool any = isa == NULL;

    if ((any || strcmp(isa, "avx512") == 0) && has_avx512()) {
        return weir_kernels_avx512();
    }
    if ((any || strcmp(isa, "avx2") == 0) && has_avx2()) {
        return weir_kernels_avx2();
    }
    if (any || strcmp(isa, "scalar") == 0) {
        return weir_kernels_scalar();
    }
    return NULL;
}

size_t weir_matmul_scratch(size_t cols)
{
    /* Two tiles as floats, the widest form; a block of 32 columns as bytes takes 704 of 2048. */
    return 2 * cols * WEIR_TILE_ROWS * sizeof(float) + 4096;
}
