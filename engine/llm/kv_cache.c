#include "engine/llm/kv_cache.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint32_t refcount;
    uint32_t chain;     /* next in the same bucket; for a free block, the next free one */
    uint32_t lru_newer; /* neighbours in the list of cached blocks that nobody uses */
    uint32_t lru_older;
    uint64_t uid;        /* 0: not published; never used twice */
    uint64_t parent_uid; /* 0: a sequence's first block */
    uint64_t scope;
    uint64_t hash;
    int32_t tokens[WEIR_KV_BLOCK];
} block_t;

struct weir_kv_cache {
    uint32_t n_blocks;
    uint32_t n_free;
    uint32_t n_idle; /* published and unused */
    uint32_t free_head;
    uint32_t lru_newest;
    uint32_t lru_oldest;
    uint32_t bucket_mask;
    uint32_t *buckets;
    uint64_t hash_key;
    uint64_t last_uid;
    block_t *blocks;
};

/* The finaliser of splitmix64 (Steele, Lea, Flood, 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static uint64_t hash_block(const weir_kv_cache_t *kv, uint64_t parent_uid, uint64_t scope,
                           const int32_t *tokens)
{
    uint64_t h = mix(kv->hash_key ^ mix(parent_uid + 0x9e3779b97f4a7c15ull) ^ scope);
    for (uint32_t i = 0; i < WEIR_KV_BLOCK; i += 2) {
        h = mix(h + ((uint64_t)(uint32_t)tokens[i] << 32 | (uint32_t)tokens[i + 1]));
    }
    return h;
}

weir_status_t weir_kv_cache_open(uint32_t n_blocks, uint64_t hash_key, weir_kv_cache_t **out,
                                 weir_error_t *err)
{
    *out = NULL;
    if (n_blocks == 0 || n_blocks >= 1u << 30) {
        return weir_error(err, WEIR_ERR_INVALID, "a KV cache of %u blocks is not possible",
                          n_blocks);
    }
    weir_kv_cache_t *kv = calloc(1, sizeof(*kv));
    if (kv == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for the KV cache's table");
    }
    uint32_t n_buckets = 1;
    while (n_buckets < 2 * n_blocks) {
        n_buckets *= 2;
    }
    kv->n_blocks = n_blocks;
    kv->n_free = n_blocks;
    kv->bucket_mask = n_buckets - 1;
    kv->hash_key = hash_key;
    kv->lru_newest = WEIR_KV_NONE;
    kv->lru_oldest = WEIR_KV_NONE;
    kv->blocks = calloc(n_blocks, sizeof(*kv->blocks));
    kv->buckets = malloc(n_buckets * sizeof(*kv->buckets));
    if (kv->blocks == NULL || kv->buckets == NULL) {
        weir_kv_cache_close(kv);
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for a KV cache of %u blocks", n_blocks);
    }
    memset(kv->buckets, 0xff, n_buckets * sizeof(*kv->buckets));
    for (uint32_t i = 0; i < n_blocks; i++) {
        kv->blocks[i].chain = i + 1 < n_blocks ? i + 1 : WEIR_KV_NONE;
    }
    *out = kv;
    return WEIR_OK;
}

void weir_kv_cache_close(weir_kv_cache_t *kv)
{
    if (kv != NULL) {
        free(kv->blocks);
        free(kv->buckets);
        free(kv);
    }
}

uint32_t weir_kv_cache_available(const weir_kv_cache_t *kv)
{
    return kv->n_free + kv->n_idle;
}

uint32_t weir_kv_cache_used(const weir_kv_cache_t *kv)
{
    return kv->n_blocks - kv->n_free - kv->n_idle;
}

static void lru_push(weir_kv_cache_t *kv, uint32_t i)
{
    block_t *b = &kv->blocks[i];
    b->lru_newer = WEIR_KV_NONE;
    b->lru_older = kv->lru_newest;
    if (kv->lru_newest != WEIR_KV_NONE) {
        kv->blocks[kv->lru_newest].lru_newer = i;
    } else {
        kv->lru_oldest = i;
    }
    kv->lru_newest = i;
    kv->n_idle++;
}

static void lru_remove(weir_kv_cache_t *kv, uint32_t i)
{
    block_t *b = &kv->blocks[i];
    if (b->lru_newer != WEIR_KV_NONE) {
        kv->blocks[b->lru_newer].lru_older = b->lru_older;
    } else {
        kv->lru_newest = b->lru_older;
    }
    if (b->lru_older != WEIR_KV_NONE) {
        kv->blocks[b->lru_older].lru_newer = b->lru_newer;
    } else {
        kv->lru_oldest = b->lru_newer;
    }
    kv->n_idle--;
}

static void free_push(weir_kv_cache_t *kv, uint32_t i)
{
    kv->blocks[i].chain = kv->free_head;
    kv->free_head = i;
    kv->n_free++;
}

static void unpublish(weir_kv_cache_t *kv, uint32_t i)
{
    block_t *b = &kv->blocks[i];
    uint32_t *link = &kv->buckets[b->hash & kv->bucket_mask];
    while (*link != i) {
        link = &kv->blocks[*link].chain;
    }
    *link = b->chain;
    b->uid = 0;
}

uint32_t weir_kv_cache_alloc(weir_kv_cache_t *kv)
{
    uint32_t i;
    if (kv->n_free > 0) {
        i = kv->free_head;
        kv->free_head = kv->blocks[i].chain;
        kv->n_free--;
    } else if (kv->n_idle > 0) {
        i = kv->lru_oldest;
        lru_remove(kv, i);
        unpublish(kv, i);
    } else {
        return WEIR_KV_NONE;
    }
    kv->blocks[i].refcount = 1;
    return i;
}

void weir_kv_cache_ref(weir_kv_cache_t *kv, uint32_t block)
{
    block_t *b = &kv->blocks[block];
    if (b->refcount == 0) {
        lru_remove(kv, block);
    }
    b->refcount++;
}

void weir_kv_cache_unref(weir_kv_cache_t *kv, uint32_t block)
{
    block_t *b = &kv->blocks[block];
    if (--b->refcount > 0) {
        return;
    }
    if (b->uid != 0) {
        lru_push(kv, block);
    } else {
        free_push(kv, block);
    }
}

static uint32_t find(const weir_kv_cache_t *kv, uint64_t hash, uint64_t parent_uid, uint64_t scope,
                     const int32_t *tokens)
{
    uint32_t i = kv->buckets[hash & kv->bucket_mask];
    while (i != WEIR_KV_NONE) {
        const block_t *b = &kv->blocks[i];
        if (b->hash == hash && b->parent_uid == parent_uid && b->scope == scope &&
            memcmp(b->tokens, tokens, sizeof(b->tokens)) == 0) {
            return i;
        }
        i = b->chain;
    }
    return WEIR_KV_NONE;
}

uint32_t weir_kv_cache_match(weir_kv_cache_t *kv, uint64_t scope, const int32_t *tokens,
                             uint32_t n_tokens, uint32_t *blocks)
{
    uint32_t n = 0;
    uint64_t parent_uid = 0;
    while ((n + 1) * WEIR_KV_BLOCK <= n_tokens) {
        const int32_t *t = tokens + n * WEIR_KV_BLOCK;
        uint32_t i = find(kv, hash_block(kv, parent_uid, scope, t), parent_uid, scope, t);
        if (i == WEIR_KV_NONE) {
            break;
        }
        weir_kv_cache_ref(kv, i);
        parent_uid = kv->blocks[i].uid;
        blocks[n++] = i;
    }
    return n;
}

uint32_t weir_kv_cache_publish(weir_kv_cache_t *kv, uint64_t scope, uint32_t parent,
                               const int32_t *tokens, uint32_t block)
{
    block_t *b = &kv->blocks[block];
    uint64_t parent_uid = parent == WEIR_KV_NONE ? 0 : kv->blocks[parent].uid;
    if (b->uid != 0 || (parent != WEIR_KV_NONE && parent_uid == 0)) {
        return block;
    }
    uint64_t hash = hash_block(kv, parent_uid, scope, tokens);
    uint32_t known = find(kv, hash, parent_uid, scope, tokens);
    if (known != WEIR_KV_NONE) {
        weir_kv_cache_ref(kv, known);
        weir_kv_cache_unref(kv, block);
        return known;
    }
    b->uid = ++kv->last_uid;
    b->parent_uid = parent_uid;
    b->scope = scope;
    b->hash = hash;
    memcpy(b->tokens, tokens, sizeof(b->tokens));
    b->chain = kv->buckets[hash & kv->bucket_mask];
    kv->buckets[hash & kv->bucket_mask] = block;
    return block;
}

bool weir_kv_cache_writable(const weir_kv_cache_t *kv, uint32_t block)
{
    return kv->blocks[block].refcount == 1 && kv->blocks[block].uid == 0;
}

uint32_t weir_kv_cache_refcount(const weir_kv_cache_t *kv, uint32_t block)
{
    return kv->blocks[block].refcount;
}

void weir_kv_cache_forget(weir_kv_cache_t *kv, uint32_t block)
{
    if (kv->blocks[block].uid == 0) {
        return;
    }
    unpublish(kv, block);
    if (kv->blocks[block].refcount == 0) {
        lru_remove(kv, block);
        free_push(kv, block);
    }
}

static bool check_lru(const weir_kv_cache_t *kv)
{
    uint32_t n = 0;
    uint32_t newer = WEIR_KV_NONE;
    for (uint32_t i = kv->lru_newest; i != WEIR_KV_NONE; i = kv->blocks[i].lru_older) {
        const block_t *b = &kv->blocks[i];
        if (++n > kv->n_blocks || b->refcount != 0 || b->uid == 0 || b->lru_newer != newer) {
            return false;
        }
        newer = i;
    }
    return n == kv->n_idle && kv->lru_oldest == newer;
}

bool weir_kv_cache_check(const weir_kv_cache_t *kv)
{
    uint32_t n_free = 0;
    for (uint32_t i = kv->free_head; n_free < kv->n_free; i = kv->blocks[i].chain) {
        if (i >= kv->n_blocks || kv->blocks[i].refcount != 0 || kv->blocks[i].uid != 0) {
            return false;
        }
        n_free++;
    }
    uint32_t n_unused = 0;
    uint32_t n_published = 0;
    for (uint32_t i = 0; i < kv->n_blocks; i++) {
        n_unused += kv->blocks[i].refcount == 0;
        n_published += kv->blocks[i].uid != 0;
    }
    uint32_t n_indexed = 0;
    for (uint32_t k = 0; k <= kv->bucket_mask; k++) {
        for (uint32_t i = kv->buckets[k]; i != WEIR_KV_NONE; i = kv->blocks[i].chain) {
            if (++n_indexed > kv->n_blocks || (kv->blocks[i].hash & kv->bucket_mask) != k) {
                return false;
            }
        }
    }
    return n_indexed == n_published && n_unused == kv->n_free + kv->n_idle && check_lru(kv);
}
