#include "lua-free-filters/chaos.h"

void weir_chaos_init(weir_chaos_t *chaos, uint64_t seed, uint32_t max_piece, uint32_t max_delay_ms)
{
    *chaos = (weir_chaos_t){
        .state = seed,
        .max_piece = max_piece == 0 ? 64 : max_piece,
        .max_delay_ms = max_delay_ms,
    };
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next(weir_chaos_t *chaos)
{
    uint64_t z = chaos->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t weir_chaos_next(weir_chaos_t *chaos, size_t len, uint32_t *delay_ms)
{
    uint64_t dice = next(chaos);
    uint64_t most = chaos->max_piece;

    /* Single bytes find most mistakes, large pieces the others. */
    switch (dice & 7) {
    case 0:
    case 1:
        most = 1;
        break;
    case 2:
        most = (uint64_t)chaos->max_piece * 16;
        break;
    default:
        break;
    }
    uint64_t n = 1 + (dice >> 8) % most;
    bool waits = chaos->max_delay_ms > 0 && (dice >> 4 & 3) == 0;
    *delay_ms = waits ? (uint32_t)(next(chaos) % ((uint64_t)chaos->max_delay_ms + 1)) : 0;
    return n < len ? (size_t)n : len;
}
