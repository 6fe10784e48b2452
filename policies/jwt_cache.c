#include "policies/jwt_cache.h"

#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

typedef struct {
    uint8_t digest[WEIR_JWT_DIGEST_LEN];
    int64_t expires;
    void *data;
    size_t len;
    uint32_t chain; /* next entry of the bucket, or of the free list */
    uint32_t newer; /* neighbours in the order of use */
    uint32_t older;
} entry_t;

struct weir_jwt_cache {
    entry_t *entries;
    uint32_t *buckets;
    uint32_t n_entries;
    uint32_t n_buckets; /* a power of two */
    uint32_t count;
    uint32_t free;
    uint32_t newest;
    uint32_t oldest;
    size_t max_data;
};

weir_jwt_cache_t *weir_jwt_cache_new(size_t entries, size_t max_data)
{
    weir_jwt_cache_t *cache = calloc(1, sizeof(*cache));

    if (cache == NULL || entries == 0 || entries > UINT32_MAX / 2) {
        free(cache);
        return NULL;
    }
    cache->n_entries = (uint32_t)entries;
    cache->n_buckets = 1;
    while (cache->n_buckets < cache->n_entries) {
        cache->n_buckets *= 2;
    }
    cache->max_data = max_data;
    cache->entries = calloc(cache->n_entries, sizeof(entry_t));
    cache->buckets = calloc(cache->n_buckets, sizeof(uint32_t));
    if (cache->entries == NULL || cache->buckets == NULL) {
        weir_jwt_cache_free(cache);
        return NULL;
    }
    weir_jwt_cache_clear(cache);
    return cache;
}

void weir_jwt_cache_free(weir_jwt_cache_t *cache)
{
    if (cache == NULL) {
        return;
    }
    for (uint32_t i = 0; cache->entries != NULL && i < cache->n_entries; i++) {
        free(cache->entries[i].data);
    }
    free(cache->entries);
    free(cache->buckets);
    free(cache);
}

void weir_jwt_cache_clear(weir_jwt_cache_t *cache)
{
    for (uint32_t i = 0; i < cache->n_entries; i++) {
        free(cache->entries[i].data);
        cache->entries[i].data = NULL;
        cache->entries[i].chain = i + 1 < cache->n_entries ? i + 1 : NONE;
    }
    for (uint32_t i = 0; i < cache->n_buckets; i++) {
        cache->buckets[i] = NONE;
    }
    cache->free = 0;
    cache->newest = NONE;
    cache->oldest = NONE;
    cache->count = 0;
}

/* Digests are uniform already. */
static uint32_t *bucket(weir_jwt_cache_t *cache, const uint8_t *digest)
{
    uint32_t hash;
    memcpy(&hash, digest, sizeof(hash));
    return &cache->buckets[hash & (cache->n_buckets - 1)];
}

static void unlink_use(weir_jwt_cache_t *cache, uint32_t i)
{
    entry_t *e = &cache->entries[i];

    if (e->newer == NONE) {
        cache->newest = e->older;
    } else {
        cache->entries[e->newer].older = e->older;
    }
    if (e->older == NONE) {
        cache->oldest = e->newer;
    } else {
        cache->entries[e->older].newer = e->newer;
    }
}

static void link_newest(weir_jwt_cache_t *cache, uint32_t i)
{
    entry_t *e = &cache->entries[i];

    e->newer = NONE;
    e->older = cache->newest;
    if (cache->newest == NONE) {
        cache->oldest = i;
    } else {
        cache->entries[cache->newest].newer = i;
    }
    cache->newest = i;
}

static void drop(weir_jwt_cache_t *cache, uint32_t i)
{
    entry_t *e = &cache->entries[i];
    uint32_t *at = bucket(cache, e->digest);

    while (*at != i) {
        at = &cache->entries[*at].chain;
    }
    *at = e->chain;
    unlink_use(cache, i);
    free(e->data);
    e->data = NULL;
    e->chain = cache->free;
    cache->free = i;
    cache->count--;
}

static uint32_t find(weir_jwt_cache_t *cache, const uint8_t *digest)
{
    uint32_t i = *bucket(cache, digest);

    while (i != NONE && memcmp(cache->entries[i].digest, digest, WEIR_JWT_DIGEST_LEN) != 0) {
        i = cache->entries[i].chain;
    }
    return i;
}

const void *weir_jwt_cache_get(weir_jwt_cache_t *cache, const uint8_t digest[WEIR_JWT_DIGEST_LEN],
                               int64_t now, size_t *len)
{
    uint32_t i = find(cache, digest);

    if (i == NONE) {
        return NULL;
    }
    if (now >= cache->entries[i].expires) {
        drop(cache, i);
        return NULL;
    }
    if (cache->newest != i) {
        unlink_use(cache, i);
        link_newest(cache, i);
    }
    *len = cache->entries[i].len;
    return cache->entries[i].data;
}

void weir_jwt_cache_put(weir_jwt_cache_t *cache, const uint8_t digest[WEIR_JWT_DIGEST_LEN],
                        int64_t expires, const void *data, size_t len)
{
    uint32_t old = find(cache, digest);
    void *copy = len > 0 && len <= cache->max_data ? malloc(len) : NULL;

    if (old != NONE) {
        drop(cache, old);
    }
    if (copy == NULL) {
        return;
    }
    memcpy(copy, data, len);
    if (cache->free == NONE) {
        drop(cache, cache->oldest);
    }
    uint32_t i = cache->free;
    entry_t *e = &cache->entries[i];
    cache->free = e->chain;
    memcpy(e->digest, digest, WEIR_JWT_DIGEST_LEN);
    e->expires = expires;
    e->data = copy;
    e->len = len;
    uint32_t *head = bucket(cache, digest);
    e->chain = *head;
    *head = i;
    link_newest(cache, i);
    cache->count++;
}

size_t weir_jwt_cache_count(const weir_jwt_cache_t *cache)
{
    return cache->count;
}
