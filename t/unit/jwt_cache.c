/* The cache of decisions on tokens, against a plain model of it; and when key sets are fetched. */
#include "policies/jwt_cache.h"

#include "policies/jwks_state.h"

#include "t/support/jwt_make.h"
#include "t/support/tap.h"

#include <string.h>

#define ROOM 8

static void digest_of(uint32_t n, uint8_t digest[WEIR_JWT_DIGEST_LEN])
{
    memset(digest, 0, WEIR_JWT_DIGEST_LEN);
    /* few buckets, so that chains grow */
    digest[0] = (uint8_t)(n % 3);
    memcpy(digest + 8, &n, sizeof(n));
}

static bool holds(weir_jwt_cache_t *cache, uint32_t n, int64_t now, uint32_t want)
{
    uint8_t digest[WEIR_JWT_DIGEST_LEN];
    size_t len = 0;
    uint32_t value = 0;

    digest_of(n, digest);
    const void *data = weir_jwt_cache_get(cache, digest, now, &len);
    if (data != NULL && len == sizeof(value)) {
        memcpy(&value, data, len);
    }
    return data != NULL && value == want;
}

static void put(weir_jwt_cache_t *cache, uint32_t n, int64_t expires, uint32_t value)
{
    uint8_t digest[WEIR_JWT_DIGEST_LEN];
    digest_of(n, digest);
    weir_jwt_cache_put(cache, digest, expires, &value, sizeof(value));
}

static void test_basics(void)
{
    weir_jwt_cache_t *cache = weir_jwt_cache_new(ROOM, sizeof(uint32_t));
    uint8_t digest[WEIR_JWT_DIGEST_LEN];

    ok(cache != NULL, "a cache");
    ok(!holds(cache, 1, 0, 10), "nothing at first");
    put(cache, 1, 100, 10);
    ok(holds(cache, 1, 99, 10), "found before its end");
    ok(!holds(cache, 1, 100, 10), "not from its end on");
    is_int((long long)weir_jwt_cache_count(cache), 0, "and gone then");
    put(cache, 1, 100, 10);
    put(cache, 1, 100, 11);
    ok(holds(cache, 1, 0, 11), "the later one counts");
    is_int((long long)weir_jwt_cache_count(cache), 1, "as one");
    digest_of(2, digest);
    weir_jwt_cache_put(cache, digest, 100, "12345", 5);
    is_int((long long)weir_jwt_cache_count(cache), 1, "too long data is not kept");
    for (uint32_t i = 0; i < ROOM; i++) {
        put(cache, 100 + i, 100, i);
    }
    ok(!holds(cache, 1, 0, 11), "the oldest goes when there is no room");
    ok(holds(cache, 100, 0, 0), "the next is still there, and now the newest");
    put(cache, 200, 100, 1);
    ok(holds(cache, 100, 0, 0), "so it stays");
    ok(!holds(cache, 101, 0, 1), "and the one after it goes");
    weir_jwt_cache_clear(cache);
    ok(!holds(cache, 100, 0, 0) && weir_jwt_cache_count(cache) == 0, "cleared");
    weir_jwt_cache_free(cache);
    weir_jwt_cache_free(NULL);
}

/* The model: an array in the order of use, newest first. */
static void test_against_model(void)
{
    weir_jwt_cache_t *cache = weir_jwt_cache_new(ROOM, sizeof(uint32_t));
    struct {
        uint32_t n;
        uint32_t value;
        int64_t expires;
    } model[ROOM + 1] = {0};
    size_t count = 0;
    rng_t rng;
    bool same = true;

    rng_init(&rng);
    for (int step = 0; step < 20000 && same; step++) {
        uint32_t n = rng_below(&rng, 2 * ROOM);
        size_t at = 0;
        while (at < count && model[at].n != n) {
            at++;
        }
        if (rng_below(&rng, 2) == 0) {
            int64_t expires = step + (int64_t)rng_below(&rng, 64);
            put(cache, n, expires, (uint32_t)step);
            if (at == count) {
                count++;
            }
            memmove(model + 1, model, at * sizeof(model[0]));
            model[0].n = n;
            model[0].value = (uint32_t)step;
            model[0].expires = expires;
            count = count > ROOM ? ROOM : count;
        } else {
            bool want = at < count && step < model[at].expires;
            same = holds(cache, n, step, want ? model[at].value : 0) == want;
            if (at < count) {
                model[ROOM] = model[at];
                if (want) {
                    memmove(model + 1, model, at * sizeof(model[0]));
                    model[0] = model[ROOM];
                } else {
                    memmove(model + at, model + at + 1, (count - at - 1) * sizeof(model[0]));
                    count--;
                }
            }
        }
        same = same && weir_jwt_cache_count(cache) == count;
    }
    ok(same, "20,000 steps as the model says");
    weir_jwt_cache_free(cache);
}

static weir_jwks_t *set_of(void *key, const char *kid)
{
    weir_arena_t arena;
    weir_buf_t text;
    weir_jwks_t *set = NULL;

    weir_arena_init(&arena, 0, 0);
    weir_str_t jwk = jwt_make_jwk(&arena, key, MAKE_ED25519, kid);
    weir_buf_init(&text, &arena);
    weir_buf_append_z(&text, "{\"keys\":[");
    weir_buf_append_str(&text, jwk);
    weir_buf_append_z(&text, "]}");
    (void)weir_jwks_parse(text.data, text.len, NULL, &set, NULL);
    weir_arena_free(&arena);
    return set;
}

static void step_is(const weir_jwks_state_t *s, const char *kid, bool waited, int64_t now,
                    weir_jwks_step_t want, const char *name)
{
    is_int(weir_jwks_state_step(s, weir_str(kid, strlen(kid)), waited, now), want, "%s", name);
}

static void test_fetching(void)
{
    weir_jwks_state_t s;
    void *key = jwt_make_key(MAKE_ED25519);

    weir_jwks_state_init(&s, 300, 3600);
    step_is(&s, "a", false, 1000, WEIR_JWKS_FETCH_AND_WAIT, "no keys: fetch and wait");
    weir_jwks_state_begin(&s);
    step_is(&s, "a", false, 1000, WEIR_JWKS_WAIT, "the next token waits too");
    weir_jwks_state_end(&s, NULL, 1001);
    step_is(&s, "a", true, 1001, WEIR_JWKS_UNAVAILABLE, "failed: unavailable for who waited");
    step_is(&s, "a", false, 1001, WEIR_JWKS_UNAVAILABLE, "and for others at once");
    step_is(&s, "a", false, 1002, WEIR_JWKS_FETCH_AND_WAIT, "a second later it is tried again");
    weir_jwks_state_begin(&s);
    weir_jwks_state_end(&s, NULL, 1002);
    step_is(&s, "a", false, 1003, WEIR_JWKS_UNAVAILABLE, "the second pause is longer");
    for (int i = 0; i < 20; i++) {
        weir_jwks_state_end(&s, NULL, 2000);
    }
    step_is(&s, "a", false, 2059, WEIR_JWKS_UNAVAILABLE, "up to a minute");
    step_is(&s, "a", false, 2060, WEIR_JWKS_FETCH_AND_WAIT, "and no longer");

    weir_jwks_state_begin(&s);
    weir_jwks_state_end(&s, set_of(key, "\"kid\":\"a\","), 3000);
    step_is(&s, "a", false, 3000, WEIR_JWKS_USE, "fetched: use");
    step_is(&s, "", false, 3000, WEIR_JWKS_USE, "also without an id");
    step_is(&s, "b", false, 3000, WEIR_JWKS_USE, "an unknown id right after a fetch stays unknown");
    step_is(&s, "b", false, 3009, WEIR_JWKS_USE, "for ten seconds");
    step_is(&s, "b", false, 3010, WEIR_JWKS_FETCH_AND_WAIT, "then it is worth a fetch");
    step_is(&s, "a", false, 3299, WEIR_JWKS_USE, "a known id needs none");
    step_is(&s, "a", false, 3300, WEIR_JWKS_USE_AND_FETCH, "until the set is old");
    weir_jwks_state_begin(&s);
    step_is(&s, "a", false, 3300, WEIR_JWKS_USE, "one fetch at a time, nobody waits");
    weir_jwks_state_end(&s, NULL, 3301);
    step_is(&s, "a", false, 3301, WEIR_JWKS_USE, "it fails: the old set serves");
    step_is(&s, "b", false, 3301, WEIR_JWKS_UNAVAILABLE, "but does not say who is unknown");
    step_is(&s, "a", false, 3302, WEIR_JWKS_USE_AND_FETCH, "and is fetched again");
    step_is(&s, "a", false, 6900, WEIR_JWKS_USE_AND_FETCH, "the old set serves up to its end");
    step_is(&s, "a", false, 6901, WEIR_JWKS_FETCH_AND_WAIT, "and no longer");
    step_is(&s, "a", true, 6901, WEIR_JWKS_UNAVAILABLE, "then it is unavailable");
    weir_jwks_state_end(&s, set_of(key, "\"kid\":\"b\","), 7000);
    step_is(&s, "b", false, 7000, WEIR_JWKS_USE, "a new set");
    step_is(&s, "a", true, 7000, WEIR_JWKS_USE, "in which the old key is unknown");
    step_is(&s, "b", false, 100, WEIR_JWKS_USE_AND_FETCH, "a clock set back leads to a fetch");
    weir_jwks_state_free(&s);
    jwt_free_key(key);
}

int main(void)
{
    test_basics();
    test_against_model();
    test_fetching();
    return done_testing();
}
