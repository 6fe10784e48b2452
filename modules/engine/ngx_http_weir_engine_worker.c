
/*
 * Weir: the engine in its worker process.  The engine's thread reports
 * through an eventfd, which is an ordinary level-triggered event here; it is
 * not marked idle, and each request that waits for it holds a timer, so that
 * a worker that shuts down gracefully finishes its streams.
 */


#include "ngx_http_weir_engine.h"

#include <signal.h>


static void ngx_http_weir_engine_notify_handler(ngx_event_t *ev);
static void ngx_http_weir_engine_empty_handler(ngx_event_t *ev);
static ngx_http_weir_engine_gen_t *ngx_http_weir_engine_find(
    ngx_http_weir_engine_main_conf_t *wmcf, uint64_t id);


ngx_int_t
ngx_http_weir_engine_start(ngx_cycle_t *cycle,
    ngx_http_weir_engine_main_conf_t *wmcf)
{
    sigset_t           all, old;
    uint32_t           hash;
    ngx_uint_t         i;
    weir_status_t      status;
    ngx_connection_t  *c;

    wmcf->buckets = ngx_palloc(cycle->pool,
                         NGX_HTTP_WEIR_ENGINE_BUCKETS * sizeof(ngx_queue_t));
    wmcf->events = ngx_palloc(cycle->pool,
                         NGX_HTTP_WEIR_ENGINE_EVENTS * sizeof(weir_event_t));

    if (wmcf->buckets == NULL || wmcf->events == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_HTTP_WEIR_ENGINE_BUCKETS; i++) {
        ngx_queue_init(&wmcf->buckets[i]);
    }

    if (ngx_http_weir_engine_usage_init(cycle, wmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_queue_init(&wmcf->touched);
    weir_arena_init(&wmcf->scratch, 64 * 1024, 0);
    ngx_http_weir_engine_metrics_init(&wmcf->metrics);

    /*
     * The threads inherit the signal mask: signals must reach the thread
     * that waits in the event loop.
     */

    sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old);

    status = weir_engine_open(&wmcf->options, &wmcf->engine, &wmcf->failure);

    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);

    if (status != WEIR_OK) {

        /* stay up and say so: an exit would make the master try for ever */

        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "weir engine: %s", wmcf->failure.message);
        wmcf->engine = NULL;
        return NGX_OK;
    }

    c = ngx_get_connection(weir_engine_event_fd(wmcf->engine), cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->data = wmcf;
    c->log = cycle->log;

    c->read->handler = ngx_http_weir_engine_notify_handler;
    c->read->log = cycle->log;
    c->write->handler = ngx_http_weir_engine_empty_handler;
    c->write->log = cycle->log;

    wmcf->notify = c;

    if (ngx_add_event(c->read, NGX_READ_EVENT, NGX_LEVEL_EVENT) != NGX_OK) {
        return NGX_ERROR;
    }

    hash = ngx_crc32_long(wmcf->path.data, wmcf->path.len)
           ^ (uint32_t) wmcf->created;

    ngx_sprintf(wmcf->fingerprint, "fp_weir_%08xD%Z", hash);

    return NGX_OK;
}


void
ngx_http_weir_engine_stop(ngx_http_weir_engine_main_conf_t *wmcf)
{
    ngx_connection_t  *c;

    c = wmcf->notify;

    if (c) {
        if (c->read->active) {
            (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
        }

        ngx_free_connection(c);
        c->fd = (ngx_socket_t) -1;

        wmcf->notify = NULL;
    }

    if (wmcf->engine) {
        weir_engine_close(wmcf->engine);
        wmcf->engine = NULL;
    }

    ngx_http_weir_engine_usage_free(wmcf);
    weir_arena_free(&wmcf->scratch);
}


void
ngx_http_weir_engine_track(ngx_http_weir_engine_gen_t *gen)
{
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = gen->ctx->wmcf;

    ngx_queue_insert_tail(
        &wmcf->buckets[gen->id % NGX_HTTP_WEIR_ENGINE_BUCKETS], &gen->queue);
}


static ngx_http_weir_engine_gen_t *
ngx_http_weir_engine_find(ngx_http_weir_engine_main_conf_t *wmcf, uint64_t id)
{
    ngx_queue_t                 *q, *bucket;
    ngx_http_weir_engine_gen_t  *gen;

    bucket = &wmcf->buckets[id % NGX_HTTP_WEIR_ENGINE_BUCKETS];

    for (q = ngx_queue_head(bucket);
         q != ngx_queue_sentinel(bucket);
         q = ngx_queue_next(q))
    {
        gen = ngx_queue_data(q, ngx_http_weir_engine_gen_t, queue);

        if (gen->id == id) {
            return gen;
        }
    }

    return NULL;
}


static void
ngx_http_weir_engine_notify_handler(ngx_event_t *ev)
{
    size_t                             i, n;
    ngx_queue_t                       *q;
    ngx_connection_t                  *c;
    ngx_http_weir_engine_ctx_t        *ctx;
    ngx_http_weir_engine_gen_t        *gen;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    c = ev->data;
    wmcf = c->data;

    /* what is left over makes the level-triggered event come again */

    n = weir_engine_poll(wmcf->engine, wmcf->events,
                         NGX_HTTP_WEIR_ENGINE_EVENTS);

    for (i = 0; i < n; i++) {
        gen = ngx_http_weir_engine_find(wmcf, wmcf->events[i].request);

        /* a request that has gone still gets its last events */

        if (gen) {
            ngx_http_weir_engine_deliver(gen, &wmcf->events[i]);

        } else {
            ngx_http_weir_engine_orphan_event(wmcf, &wmcf->events[i]);
        }
    }

    /* one write for all that came for a request; any may go away meanwhile */

    while (!ngx_queue_empty(&wmcf->touched)) {
        q = ngx_queue_head(&wmcf->touched);
        ngx_queue_remove(q);

        ctx = ngx_queue_data(q, ngx_http_weir_engine_ctx_t, touched);
        ctx->queued = 0;

        c = ctx->request->connection;
        ngx_http_set_log_request(c->log, ctx->request);

        ngx_http_weir_engine_advance(ctx);
        ngx_http_run_posted_requests(c);
    }
}


static void
ngx_http_weir_engine_empty_handler(ngx_event_t *ev)
{
    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, ev->log, 0, "weir engine: write event");
}
