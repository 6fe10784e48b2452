/* The CPU back end's threads: every unit of every loop runs once, whatever the timing. */
#include "engine/cpu/pool.h"
#include "t/support/tap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    atomic_uint *hits;
    atomic_uint bad_thread;
    uint32_t threads;
    uint32_t nap_every; /* 0: never */
} loop_t;

static void nap(long ns)
{
    struct timespec ts = {0, ns};

    nanosleep(&ts, NULL);
}

static void count(void *ctx, uint32_t thread, uint32_t first, uint32_t last)
{
    loop_t *loop = ctx;

    if (thread >= loop->threads) {
        atomic_fetch_add(&loop->bad_thread, 1);
    }
    for (uint32_t i = first; i < last; i++) {
        atomic_fetch_add(&loop->hits[i], 1);
        if (loop->nap_every != 0 && i % loop->nap_every == 0) {
            nap(50000);
        }
    }
}

/* Runs one loop of n units; true when each ran once. */
static bool run(weir_pool_t *pool, uint32_t n, uint32_t nap_every)
{
    loop_t loop = {calloc((size_t)n + 1, sizeof(atomic_uint)), 0, weir_pool_threads(pool),
                   nap_every};
    bool good = loop.hits != NULL;

    weir_pool_run(pool, n, count, &loop);
    for (uint32_t i = 0; good && i < n; i++) {
        good = atomic_load(&loop.hits[i]) == 1;
    }
    good = good && atomic_load(&loop.hits[n]) == 0 && atomic_load(&loop.bad_thread) == 0;
    free(loop.hits);
    return good;
}

static void check_pool(rng_t *rng, uint32_t threads)
{
    weir_error_t err;
    weir_pool_t *pool = NULL;
    bool good = true;

    if (!ok(weir_pool_create(threads, &pool, &err) == WEIR_OK, "%u threads start", threads)) {
        return;
    }
    for (int i = 0; i < 3000; i++) {
        good = good && run(pool, rng_below(rng, 40), 0);
    }
    ok(good, "%u threads: 3000 short loops, one after the other", threads);
    good = true;
    for (int i = 0; i < 30; i++) {
        nap(200000); /* long enough for the threads to fall asleep */
        good = good && run(pool, 50, 7);
    }
    ok(good, "%u threads: loops after pauses, with slow units", threads);
    ok(run(pool, 600000, 0), "%u threads: a loop longer than the counter's field", threads);
    weir_pool_destroy(pool);
}

int main(void)
{
    static const uint32_t threads[] = {1, 2, 3, 8};
    weir_error_t err;
    weir_pool_t *pool = NULL;
    rng_t rng;

    rng_init(&rng);
    for (size_t i = 0; i < sizeof(threads) / sizeof(threads[0]); i++) {
        check_pool(&rng, threads[i]);
    }
    for (int i = 0; i < 50; i++) {
        if (weir_pool_create(4, &pool, &err) == WEIR_OK) {
            weir_pool_destroy(pool);
        }
    }
    ok(true, "pools end right after their start");
    ok(weir_pool_create(0, &pool, &err) == WEIR_OK && weir_pool_threads(pool) >= 1,
       "0 threads means the cores of this process");
    weir_pool_destroy(pool);
    ok(weir_pool_create(WEIR_POOL_MAX_THREADS + 1, &pool, &err) == WEIR_ERR_LIMIT,
       "too many threads are refused: %s", err.message);
    weir_pool_destroy(NULL);
    return done_testing();
}
