/* The loops over a kernel's shape must unroll completely, or its sums leave the registers. */
#ifndef WEIR_CPU_VEC_UNROLL_H
#define WEIR_CPU_VEC_UNROLL_H

#ifdef __clang__
#define VEC_UNROLL _Pragma("clang loop unroll(full)")
#else
#define VEC_UNROLL _Pragma("GCC unroll 8")
#endif

#endif
