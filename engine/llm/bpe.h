/*
 * Byte-pair merging: replaces, again and again, the adjacent pair of lowest rank (the leftmost of
 * equals) by the token that it merges to. O(n log n) in the length of a piece. The table is filled
 * once and then immutable; the scratch memory belongs to one call chain at a time.
 */
#ifndef WEIR_LLM_BPE_H
#define WEIR_LLM_BPE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct {
    uint32_t left; /* token ids; left is UINT32_MAX in an empty slot */
    uint32_t right;
    uint32_t rank;
    uint32_t merged;
} weir_bpe_merge_t;

typedef struct {
    weir_bpe_merge_t *slots; /* open addressing, linear probing, at most half full */
    uint32_t mask;
    uint64_t seed;
    uint32_t bytes[256]; /* the token of each byte, or WEIR_BPE_NONE: such a byte is left out */
} weir_bpe_t;

#define WEIR_BPE_NONE UINT32_MAX

typedef struct {
    weir_arena_t *arena;
    uint32_t *ids; /* the result of the last weir_bpe_encode */
    uint32_t *prev;
    uint32_t *next;
    uint32_t *rank; /* of the pair that starts here, WEIR_BPE_NONE when it does not merge */
    uint32_t *merged;
    uint64_t *heap; /* rank << 32 | position */
    size_t cap;
} weir_bpe_scratch_t;

/*
 * An empty table with room for n merges, in arena. seed keys the hash, so that no file can be made
 * to collide. Errors: NOMEM.
 */
weir_status_t weir_bpe_init(weir_bpe_t *bpe, uint32_t n, uint64_t seed, weir_arena_t *arena);

/* Adds a merge; a pair that is already there keeps its first rank. At most n calls. */
void weir_bpe_add(weir_bpe_t *bpe, uint32_t left, uint32_t right, uint32_t rank, uint32_t merged);

void weir_bpe_scratch_init(weir_bpe_scratch_t *scratch, weir_arena_t *arena);

/*
 * Merges the piece; *count ids lie in scratch->ids until the next call. max_symbols bounds the
 * bytes that take part: LIMIT when there are more. NOMEM.
 */
weir_status_t weir_bpe_encode(const weir_bpe_t *bpe, weir_str_t piece, size_t max_symbols,
                              weir_bpe_scratch_t *scratch, size_t *count);

#endif
