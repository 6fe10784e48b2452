/*
 * Compute threads that share loops with their caller. A loop's units go out in chunks that shrink
 * towards the end; a loop is over when its units are done, so a thread that the system has taken
 * off its core holds up no more than the chunk it has in hand. Waiting is a short spin, then a
 * futex.
 */
#ifndef WEIR_CPU_POOL_H
#define WEIR_CPU_POOL_H

#include "engine/base/error.h"

#include <stdint.h>

typedef struct weir_pool weir_pool_t;

/* Units first .. last - 1; thread is 0 (the caller) .. threads - 1. */
typedef void (*weir_pool_fn_t)(void *ctx, uint32_t thread, uint32_t first, uint32_t last);

#define WEIR_POOL_MAX_THREADS 256

/* Starts threads - 1 threads, with all signals blocked; threads 0 means the cores allowed to this
 * process. Errors: LIMIT, NOMEM, IO (the system refused a thread). */
weir_status_t weir_pool_create(uint32_t threads, weir_pool_t **out, weir_error_t *err);

/* Joins the threads. NULL is allowed. */
void weir_pool_destroy(weir_pool_t *pool);

uint32_t weir_pool_threads(const weir_pool_t *pool);

/*
 * Runs fn over units 0 .. n - 1 and returns when all are done; what fn wrote is then visible to
 * the caller. Only one thread may call this at a time, and fn may not.
 */
void weir_pool_run(weir_pool_t *pool, uint32_t n, weir_pool_fn_t fn, void *ctx);

#endif
