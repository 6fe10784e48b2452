#include "engine/cpu/pool.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/*
 * The state of the current loop in one word, so that taking a chunk is one compare-and-swap that
 * cannot mix two loops: [epoch 28][units 18][next unit 18]. A thread that comes late finds next
 * equal to units and leaves; one that took a chunk keeps the loop open until it adds to `done`, so
 * fn, ctx and base are stable while it runs.
 */
#define FIELD_BITS 18
#define FIELD_MASK ((UINT64_C(1) << FIELD_BITS) - 1)

#define SPIN_WORKER_NS 60000 /* between loops of one step, and short serial parts */
#define SPIN_CALLER_NS 30000 /* for the others' last chunks */

typedef struct {
    weir_pool_t *pool;
    uint32_t index;
    pthread_t thread;
} worker_t;

struct weir_pool {
    _Alignas(64) atomic_uint_fast64_t word;
    _Alignas(64) atomic_uint done;
    atomic_uint caller_waits;
    _Alignas(64) atomic_uint sleepers;
    atomic_uint wake;
    atomic_bool stop;
    weir_pool_fn_t fn;
    void *ctx;
    uint32_t base; /* the loop's first unit */
    uint32_t epoch;
    uint32_t threads;
    uint32_t started; /* workers that exist */
    worker_t *workers;
};

static void futex_wait(atomic_uint *word, unsigned expected)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake_all(atomic_uint *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint32_t word_units(uint64_t word)
{
    return (uint32_t)((word >> FIELD_BITS) & FIELD_MASK);
}

static uint32_t word_next(uint64_t word)
{
    return (uint32_t)(word & FIELD_MASK);
}

/* Takes the next chunk: an even share of three quarters of what is left, at least one unit. */
static bool take(weir_pool_t *pool, uint32_t *first, uint32_t *last)
{
    uint64_t word = atomic_load_explicit(&pool->word, memory_order_acquire);

    for (;;) {
        uint32_t next = word_next(word), left = word_units(word) - next;
        if (left == 0) {
            return false;
        }
        uint32_t size = left * 3 / (4 * pool->threads);
        size = size > 0 ? size : 1;
        if (atomic_compare_exchange_weak_explicit(&pool->word, &word, word + size,
                                                  memory_order_acq_rel, memory_order_acquire)) {
            *first = next;
            *last = next + size;
            return true;
        }
    }
}

static void work(weir_pool_t *pool, uint32_t thread)
{
    uint32_t first, last;

    while (take(pool, &first, &last)) {
        pool->fn(pool->ctx, thread, pool->base + first, pool->base + last);
        atomic_fetch_add(&pool->done, last - first);
        if (thread != 0 && atomic_load(&pool->caller_waits) != 0) {
            futex_wake_all(&pool->done);
        }
    }
}

static bool has_work(weir_pool_t *pool)
{
    uint64_t word = atomic_load(&pool->word);

    return word_next(word) < word_units(word) || atomic_load(&pool->stop);
}

/* Returns when there may be work: after a spin, or asleep until the caller wakes all. */
static void wait_for_work(weir_pool_t *pool)
{
    uint64_t end = now_ns() + SPIN_WORKER_NS;

    do {
        for (int i = 0; i < 32; i++) {
            if (has_work(pool)) {
                return;
            }
            relax();
        }
    } while (now_ns() < end);
    /* The caller publishes work, then looks at sleepers; here in the opposite order. */
    atomic_fetch_add(&pool->sleepers, 1);
    unsigned seen = atomic_load(&pool->wake);
    if (!has_work(pool)) {
        futex_wait(&pool->wake, seen);
    }
    atomic_fetch_sub(&pool->sleepers, 1);
}

static void *worker_main(void *arg)
{
    worker_t *worker = arg;
    weir_pool_t *pool = worker->pool;

    while (!atomic_load(&pool->stop)) {
        wait_for_work(pool);
        work(pool, worker->index);
    }
    return NULL;
}

static void wake_sleepers(weir_pool_t *pool)
{
    if (atomic_load(&pool->sleepers) != 0) {
        atomic_fetch_add(&pool->wake, 1);
        futex_wake_all(&pool->wake);
    }
}

static void wait_until_done(weir_pool_t *pool, uint32_t n)
{
    uint64_t end = 0;

    for (int i = 1;; i++) {
        if (atomic_load_explicit(&pool->done, memory_order_acquire) == n) {
            return;
        }
        relax();
        if (i % 32 != 0) {
            continue;
        }
        uint64_t now = now_ns();
        if (end == 0) {
            end = now + SPIN_CALLER_NS;
        } else if (now >= end) {
            break;
        }
    }
    atomic_store(&pool->caller_waits, 1);
    for (;;) {
        unsigned done = atomic_load(&pool->done);
        if (done == n) {
            break;
        }
        futex_wait(&pool->done, done);
    }
    atomic_store(&pool->caller_waits, 0);
}

static void run_part(weir_pool_t *pool, uint32_t base, uint32_t n)
{
    pool->base = base;
    pool->epoch++;
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    atomic_store(&pool->word,
                 (uint64_t)pool->epoch << (2 * FIELD_BITS) | (uint64_t)n << FIELD_BITS);
    wake_sleepers(pool);
    work(pool, 0);
    wait_until_done(pool, n);
}

void weir_pool_run(weir_pool_t *pool, uint32_t n, weir_pool_fn_t fn, void *ctx)
{
    if (pool->threads == 1 || n <= 1) {
        if (n > 0) {
            fn(ctx, 0, 0, n);
        }
        return;
    }
    pool->fn = fn;
    pool->ctx = ctx;
    for (uint32_t base = 0; base < n;) {
        uint32_t part = n - base < FIELD_MASK ? n - base : (uint32_t)FIELD_MASK;
        run_part(pool, base, part);
        base += part;
    }
}

uint32_t weir_pool_threads(const weir_pool_t *pool)
{
    return pool->threads;
}

static uint32_t allowed_cores(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        return (uint32_t)CPU_COUNT(&set);
    }
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

/* The threads must not run the process's signal handlers. */
static int start_workers(weir_pool_t *pool)
{
    sigset_t all, old;
    int rc = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    for (uint32_t i = 0; rc == 0 && i + 1 < pool->threads; i++) {
        worker_t *worker = &pool->workers[i];
        *worker = (worker_t){.pool = pool, .index = i + 1};
        rc = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (rc == 0) {
            pool->started++;
            pthread_setname_np(worker->thread, "weir-cpu");
        }
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

weir_status_t weir_pool_create(uint32_t threads, weir_pool_t **out, weir_error_t *err)
{
    if (threads == 0) {
        threads = allowed_cores();
        threads = threads < WEIR_POOL_MAX_THREADS ? threads : WEIR_POOL_MAX_THREADS;
    }
    if (threads > WEIR_POOL_MAX_THREADS) {
        return weir_error(err, WEIR_ERR_LIMIT, "%u compute threads asked for; at most %d", threads,
                          WEIR_POOL_MAX_THREADS);
    }
    weir_pool_t *pool = aligned_alloc(64, sizeof(*pool));
    if (pool != NULL) {
        memset(pool, 0, sizeof(*pool));
        pool->workers = calloc(threads, sizeof(*pool->workers));
    }
    if (pool == NULL || pool->workers == NULL) {
        free(pool);
        return weir_error(err, WEIR_ERR_NOMEM, "no memory for %u compute threads", threads);
    }
    pool->threads = threads;
    int rc = start_workers(pool);
    if (rc != 0) {
        uint32_t started = pool->started;
        weir_pool_destroy(pool);
        return weir_error(err, WEIR_ERR_IO, "the system refused compute thread %u of %u: %s",
                          started + 2, threads, strerror(rc));
    }
    *out = pool;
    return WEIR_OK;
}

void weir_pool_destroy(weir_pool_t *pool)
{
    if (pool == NULL) {
        return;
    }
    atomic_store(&pool->stop, true);
    atomic_fetch_add(&pool->wake, 1);
    futex_wake_all(&pool->wake);
    for (uint32_t i = 0; i < pool->started; i++) {
        pthread_join(pool->workers[i].thread, NULL);
    }
    free(pool->workers);
    free(pool);
}
