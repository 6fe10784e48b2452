/*
 * Bookkeeping of the paged KV cache: which blocks are free, how many sequences use each, and which
 * full blocks may be reused for a prompt that begins the same way (the prefix cache). The contents
 * live in the back end; here are only numbers. One thread (the engine's); nothing allocates after
 * open.
 *
 * The prefix cache is a tree: a published block is found by (its parent, its tokens, and for a
 * root the scope). Parents are named by a number that is never used twice and tokens are compared,
 * so a collision of hashes can never hand out another prompt's block. A block whose count falls to
 * zero stays findable until its memory is needed; the least recently used goes first, and since a
 * sequence gives its blocks back last to first, children go before their parents.
 */
#ifndef WEIR_LLM_KV_CACHE_H
#define WEIR_LLM_KV_CACHE_H

#include "engine/base/error.h"
#include "engine/llm/backend.h"

#define WEIR_KV_NONE UINT32_MAX

typedef struct weir_kv_cache weir_kv_cache_t;

/* hash_key: any number; a random one keeps clients from building collisions. Errors: NOMEM,
 * INVALID (n_blocks 0). */
weir_status_t weir_kv_cache_open(uint32_t n_blocks, uint64_t hash_key, weir_kv_cache_t **out,
                                 weir_error_t *err);
void weir_kv_cache_close(weir_kv_cache_t *kv);

/* Blocks that alloc can hand out now: free ones and cached ones that nobody uses. */
uint32_t weir_kv_cache_available(const weir_kv_cache_t *kv);

/* Blocks that sequences use now. */
uint32_t weir_kv_cache_used(const weir_kv_cache_t *kv);

/* A block with count 1 and no content, evicting the oldest cached one if need be; or NONE. */
uint32_t weir_kv_cache_alloc(weir_kv_cache_t *kv);

void weir_kv_cache_ref(weir_kv_cache_t *kv, uint32_t block);
void weir_kv_cache_unref(weir_kv_cache_t *kv, uint32_t block);

/*
 * Finds the longest chain of published blocks in scope that holds the beginning of tokens, takes a
 * reference on each, writes them to blocks (room for n_tokens / WEIR_KV_BLOCK) and returns how
 * many.
 */
uint32_t weir_kv_cache_match(weir_kv_cache_t *kv, uint64_t scope, const int32_t *tokens,
                             uint32_t n_tokens, uint32_t *blocks);

/*
 * Makes a full block findable. parent is the published block before it or NONE for a sequence's
 * first; tokens are its WEIR_KV_BLOCK tokens. Returns the block to use from now on: the same, or
 * an equal one published before, to which the caller's reference has then been moved. A block
 * whose parent is not published stays private.
 */
uint32_t weir_kv_cache_publish(weir_kv_cache_t *kv, uint64_t scope, uint32_t parent,
                               const int32_t *tokens, uint32_t block);

/* True when the caller, holding a reference, may write into the block: nobody else uses it and it
 * is not published. */
bool weir_kv_cache_writable(const weir_kv_cache_t *kv, uint32_t block);

uint32_t weir_kv_cache_refcount(const weir_kv_cache_t *kv, uint32_t block);

/* Takes the block out of the prefix cache, so that a sole user may write into it. */
void weir_kv_cache_forget(weir_kv_cache_t *kv, uint32_t block);

/* Checks every invariant (lists, counts, index); for tests. */
bool weir_kv_cache_check(const weir_kv_cache_t *kv);

#endif
