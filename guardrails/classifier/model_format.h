/*
 * The weights file, little-endian:
 *
 *   0   8 bytes  "WEIRGRD2"
 *   8   u32      buckets, 256 to WEIR_CLASSIFIER_MAX_BUCKETS
 *   12  u32      heads (8)
 *   16  8 x 9 f32  of each head: scale, bias, max_part, gate, margin, platt_a, platt_b, review,
 * block 304 16 bytes zero 320 i8[buckets][8]
 */
#ifndef WEIR_GUARD_MODEL_FORMAT_H
#define WEIR_GUARD_MODEL_FORMAT_H

#define WEIR_MODEL_MAGIC   "WEIRGRD2"
#define WEIR_MODEL_HEADER  320
#define WEIR_MODEL_PARAMS  16
#define WEIR_MODEL_FLOATS  9
#define WEIR_MODEL_BUCKETS 256 /* the fewest */

/* The library's own weights, made from guardrails/weights/tier1.bin by the build. */
extern const unsigned char weir_builtin_weights[];
extern const unsigned long weir_builtin_weights_len;

#endif
