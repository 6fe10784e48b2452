/*
 * A bounded cache of decisions on tokens, by digest of the whole token: what a token decided holds
 * until it expires. Entries used least recently go first. One owner; time comes from the caller.
 */
#ifndef WEIR_POLICIES_JWT_CACHE_H
#define WEIR_POLICIES_JWT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_JWT_DIGEST_LEN 32

typedef struct weir_jwt_cache weir_jwt_cache_t;

/* Room for entries of at most max_data bytes each; NULL: out of memory. entries > 0. */
weir_jwt_cache_t *weir_jwt_cache_new(size_t entries, size_t max_data);
void weir_jwt_cache_free(weir_jwt_cache_t *cache); /* NULL is allowed */

/* The data kept for the digest, aligned as from malloc, or NULL; it stays until the next put, clear
 * or free. An entry is found while now < expires. */
const void *weir_jwt_cache_get(weir_jwt_cache_t *cache, const uint8_t digest[WEIR_JWT_DIGEST_LEN],
                               int64_t now, size_t *len);

/* Copies the data, in place of what was kept for the digest; empty or too long data is not kept. */
void weir_jwt_cache_put(weir_jwt_cache_t *cache, const uint8_t digest[WEIR_JWT_DIGEST_LEN],
                        int64_t expires, const void *data, size_t len);

void weir_jwt_cache_clear(weir_jwt_cache_t *cache);
size_t weir_jwt_cache_count(const weir_jwt_cache_t *cache);

#endif
