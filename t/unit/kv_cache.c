/* Block bookkeeping: hits only for equal prefixes of one scope, eviction from the leaves, and the
 * invariants under a random load. */
#include "engine/llm/kv_cache.h"

#include <stdlib.h>

#include "t/support/tap.h"

#define MOST_BLOCKS 40

static weir_kv_cache_t *open_cache(uint32_t n)
{
    weir_kv_cache_t *kv;
    weir_error_t err = {0};
    if (weir_kv_cache_open(n, 99, &kv, &err) != WEIR_OK) {
        abort();
    }
    return kv;
}

static void fill(int32_t *tokens, uint32_t n, int32_t salt)
{
    for (uint32_t i = 0; i < n; i++) {
        tokens[i] = (int32_t)i * 3 + salt;
    }
}

/* Takes and publishes the blocks of n tokens; returns how many are full. */
static uint32_t make(weir_kv_cache_t *kv, uint64_t scope, const int32_t *tokens, uint32_t n,
                     uint32_t *blocks)
{
    uint32_t n_blocks = n / WEIR_KV_BLOCK;
    for (uint32_t i = 0; i < n_blocks; i++) {
        blocks[i] = weir_kv_cache_publish(kv, scope, i == 0 ? WEIR_KV_NONE : blocks[i - 1],
                                          tokens + i * WEIR_KV_BLOCK, weir_kv_cache_alloc(kv));
    }
    return n_blocks;
}

static void drop(weir_kv_cache_t *kv, const uint32_t *blocks, uint32_t n)
{
    while (n > 0) {
        weir_kv_cache_unref(kv, blocks[--n]);
    }
}

static void test_hits(void)
{
    weir_kv_cache_t *kv = open_cache(8);
    int32_t tokens[64];
    uint32_t blocks[8];
    uint32_t found[8];
    fill(tokens, 64, 0);
    uint32_t n = make(kv, 1, tokens, 50, blocks);
    is_int(n, 3, "three full blocks of 50 tokens");
    is_int(weir_kv_cache_match(kv, 1, tokens, 47, found), 2, "47 tokens hit two");
    ok(found[0] == blocks[0] && found[1] == blocks[1], "the same ones");
    is_int(weir_kv_cache_refcount(kv, found[0]), 2, "with a reference each");
    ok(!weir_kv_cache_writable(kv, found[0]), "a shared block is not writable");
    drop(kv, found, 2);
    ok(!weir_kv_cache_writable(kv, found[0]), "neither is a published one");
    is_int(weir_kv_cache_match(kv, 2, tokens, 50, found), 0, "another scope hits nothing");
    tokens[20]++;
    is_int(weir_kv_cache_match(kv, 1, tokens, 50, found), 1, "a changed token ends the hit");
    drop(kv, found, 1);
    is_int(weir_kv_cache_match(kv, 1, tokens + 16, 32, found), 0, "a middle piece is no beginning");
    is_int(weir_kv_cache_used(kv), 3, "three in use");
    drop(kv, blocks, 3);
    is_int(weir_kv_cache_used(kv), 0, "none in use after the sequence");
    is_int(weir_kv_cache_available(kv), 8, "all can be handed out");
    tokens[20]--;
    is_int(weir_kv_cache_match(kv, 1, tokens, 64, found), 3, "and yet all are found");
    drop(kv, found, 3);
    ok(weir_kv_cache_check(kv), "invariants");
    weir_kv_cache_close(kv);
}

static void test_same_twice(void)
{
    weir_kv_cache_t *kv = open_cache(8);
    int32_t tokens[32];
    uint32_t a[2];
    uint32_t b[2];
    fill(tokens, 32, 5);
    make(kv, 0, tokens, 32, a);
    make(kv, 0, tokens, 32, b);
    ok(a[0] == b[0] && a[1] == b[1], "equal blocks become one");
    is_int(weir_kv_cache_used(kv), 2, "and the copies are free again");
    weir_kv_cache_forget(kv, a[1]);
    uint32_t found[2];
    is_int(weir_kv_cache_match(kv, 0, tokens, 32, found), 1, "a forgotten block is not found");
    drop(kv, found, 1);
    drop(kv, a, 2);
    drop(kv, b, 2);
    ok(weir_kv_cache_check(kv) && weir_kv_cache_available(kv) == 8, "invariants");
    weir_kv_cache_close(kv);
}

static void test_eviction(void)
{
    weir_kv_cache_t *kv = open_cache(4);
    int32_t old[32];
    int32_t young[32];
    uint32_t blocks[4];
    fill(old, 32, 0);
    fill(young, 32, 1000);
    make(kv, 0, old, 32, blocks);
    drop(kv, blocks, 2);
    make(kv, 0, young, 32, blocks);
    drop(kv, blocks, 2);
    uint32_t found[2];
    uint32_t first = weir_kv_cache_alloc(kv);
    uint32_t hits = weir_kv_cache_match(kv, 0, old, 32, found);
    is_int(hits, 1, "the oldest prompt loses its end first");
    drop(kv, found, hits);
    is_int(weir_kv_cache_match(kv, 0, young, 32, found), 2, "the younger one is whole");
    uint32_t second = weir_kv_cache_alloc(kv);
    ok(second != WEIR_KV_NONE && weir_kv_cache_alloc(kv) == WEIR_KV_NONE,
       "what is in use is not taken");
    drop(kv, found, 2);
    weir_kv_cache_unref(kv, first);
    weir_kv_cache_unref(kv, second);
    ok(weir_kv_cache_check(kv) && weir_kv_cache_used(kv) == 0, "invariants");
    weir_kv_cache_close(kv);
}

typedef struct {
    uint32_t blocks[MOST_BLOCKS];
    uint32_t n;
    int32_t tokens[MOST_BLOCKS * WEIR_KV_BLOCK];
} user_t;

/* Which tokens, with all before them, a block was last filled with; what a hit must agree with. */
typedef struct {
    int32_t tokens[MOST_BLOCKS * WEIR_KV_BLOCK];
    uint32_t n_tokens;
    uint64_t scope;
} content_t;

static bool random_turn(rng_t *rng, weir_kv_cache_t *kv, user_t *u, content_t *contents)
{
    if (u->n > 0) {
        drop(kv, u->blocks, u->n);
        u->n = 0;
        return weir_kv_cache_check(kv);
    }
    uint64_t scope = rng_below(rng, 2);
    uint32_t want = 1 + rng_below(rng, 8);
    for (uint32_t i = 0; i < want * WEIR_KV_BLOCK; i++) {
        /* Few different prompts, so that prefixes repeat. */
        u->tokens[i] = i % WEIR_KV_BLOCK == 0 ? (int32_t)rng_below(rng, 2) : 7;
    }
    u->n = weir_kv_cache_match(kv, scope, u->tokens, want * WEIR_KV_BLOCK, u->blocks);
    for (uint32_t i = 0; i < u->n; i++) {
        const content_t *c = &contents[u->blocks[i]];
        if (c->n_tokens != (i + 1) * WEIR_KV_BLOCK || c->scope != scope ||
            memcmp(c->tokens, u->tokens, c->n_tokens * sizeof(int32_t)) != 0) {
            return false;
        }
    }
    while (u->n < want) {
        uint32_t b = weir_kv_cache_alloc(kv);
        if (b == WEIR_KV_NONE) {
            return weir_kv_cache_available(kv) == 0;
        }
        content_t *c = &contents[b];
        c->n_tokens = (u->n + 1) * WEIR_KV_BLOCK;
        c->scope = scope;
        memcpy(c->tokens, u->tokens, c->n_tokens * sizeof(int32_t));
        uint32_t parent = u->n == 0 ? WEIR_KV_NONE : u->blocks[u->n - 1];
        u->blocks[u->n] =
            weir_kv_cache_publish(kv, scope, parent, u->tokens + u->n * WEIR_KV_BLOCK, b);
        u->n++;
    }
    return weir_kv_cache_check(kv);
}

static void test_random(void)
{
    rng_t rng;
    rng_init(&rng);
    static user_t users[5];
    static content_t contents[MOST_BLOCKS];
    weir_kv_cache_t *kv = open_cache(MOST_BLOCKS);
    bool good = true;
    for (uint32_t i = 0; good && i < 20000; i++) {
        good = random_turn(&rng, kv, &users[rng_below(&rng, 5)], contents);
    }
    ok(good, "20,000 random turns: hits hold what they should, invariants stand");
    for (uint32_t i = 0; i < 5; i++) {
        drop(kv, users[i].blocks, users[i].n);
    }
    is_int(weir_kv_cache_used(kv), 0, "nothing leaks");
    weir_kv_cache_close(kv);
}

int main(void)
{
    test_hits();
    test_same_twice();
    test_eviction();
    test_random();
    return done_testing();
}
