/*
 * The weights file, little-endian:
 *
 *   0   8 bytes  "WEIRGRD1"
 *   8   u32      buckets, 256 to WEIR_CLASSIFIER_MAX_BUCKETS
 *   12  u32      heads (8)
 *   16  8 x 7 f32  scale, bias, max_part, platt_a, platt_b, review, block of each head
 *   240 16 bytes zero
 *   256 i8[buckets][8]
 */
#ifndef WEIR_GUARD_MODEL_FORMAT_H
#define WEIR_GUARD_MODEL_FORMAT_H

#define WEIR_MODEL_MAGIC   "WEIRGRD1"
#define WEIR_MODEL_HEADER  256
#define WEIR_MODEL_PARAMS  16
#define WEIR_MODEL_FLOATS  7
#define WEIR_MODEL_BUCKETS 256 /* the fewest */

/* The library's own weights, made from guardrails/weights/tier1.bin by the build. */
extern const unsigned char weir_builtin_weights[];
extern const unsigned long weir_builtin_weights_len;

#endif
