/*
 * For tests: cuts a stream at seeded random places and says how long to wait before each piece, so
 * that what stands behind it sees every way in which a network may deliver bytes.
 */
#ifndef WEIR_FILTERS_CHAOS_H
#define WEIR_FILTERS_CHAOS_H

#include "engine/base/arena.h"

typedef struct {
    uint64_t state;
    uint32_t max_piece;    /* bytes; 0: 64 */
    uint32_t max_delay_ms; /* 0: never a delay */
} weir_chaos_t;

/* The same seed gives the same cuts and delays. */
void weir_chaos_init(weir_chaos_t *chaos, uint64_t seed, uint32_t max_piece, uint32_t max_delay_ms);

/*
 * How many of the len (> 0) bytes at hand the next piece has, 1..len, and how many milliseconds to
 * wait before it is sent (often 0).
 */
size_t weir_chaos_next(weir_chaos_t *chaos, size_t len, uint32_t *delay_ms);

#endif
