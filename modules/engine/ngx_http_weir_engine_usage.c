
/*
 * Weir: what requests have used, for who could not read it from the answer.
 * A gateway whose client went away before a whole answer began cancels it and
 * asks GET /usage/{request id}; the worker remembers the last requests, and
 * what the engine tells of a cancelled one after its request has gone.
 */


#include "ngx_http_weir_engine.h"


#define NGX_HTTP_WEIR_ENGINE_SPENT  1024

/* a request that is not known may be on its way; one that runs will end */

#define NGX_HTTP_WEIR_ENGINE_EARLY  250
#define NGX_HTTP_WEIR_ENGINE_WAIT   5000


/* one prompt that is being cancelled: the engine has not told its end yet */

typedef struct {
    ngx_queue_t                        queue;    /* in wmcf->orphans */
    uint64_t                           id;       /* in the engine */
    uint64_t                           number;   /* of the remembered request */
    uint32_t                           open;     /* choices */
    uint32_t                           counts[WEIR_ENGINE_MAX_CHOICES];
    unsigned                           begun:1;
} ngx_http_weir_engine_orphan_t;


/* a question that waits for its answer; lives in its request's pool */

typedef struct {
    ngx_queue_t                        queue;    /* in wmcf->askers */
    ngx_http_weir_engine_ctx_t        *ctx;
    ngx_str_t                          id;
    uint64_t                           scope;
    ngx_event_t                        timer;
    ngx_msec_t                         since;
} ngx_http_weir_engine_asker_t;


static void ngx_http_weir_engine_adopt(
    ngx_http_weir_engine_main_conf_t *wmcf, ngx_http_weir_engine_ctx_t *ctx,
    ngx_http_weir_engine_gen_t *gen, ngx_http_weir_engine_spent_t *spent);
static ngx_http_weir_engine_orphan_t *ngx_http_weir_engine_find_orphan(
    ngx_http_weir_engine_main_conf_t *wmcf, uint64_t id);
static void ngx_http_weir_engine_told(ngx_http_weir_engine_main_conf_t *wmcf);
static ngx_http_weir_engine_spent_t *ngx_http_weir_engine_find_spent(
    ngx_http_weir_engine_asker_t *asker);
static ngx_uint_t ngx_http_weir_engine_is_live(
    ngx_http_weir_engine_asker_t *asker);
static ngx_uint_t ngx_http_weir_engine_same(u_char *id, size_t len,
    uint64_t scope, ngx_http_weir_engine_asker_t *asker);
static ngx_int_t ngx_http_weir_engine_send_spent(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, ngx_http_weir_engine_spent_t *spent);
static ngx_int_t ngx_http_weir_engine_send_unknown(ngx_http_request_t *r);
static void ngx_http_weir_engine_asker_timer(ngx_event_t *ev);
static void ngx_http_weir_engine_asker_cleanup(void *data);
static void ngx_http_weir_engine_told_handler(ngx_event_t *ev);


ngx_int_t
ngx_http_weir_engine_usage_init(ngx_cycle_t *cycle,
    ngx_http_weir_engine_main_conf_t *wmcf)
{
    wmcf->spent = ngx_pcalloc(cycle->pool,
                              NGX_HTTP_WEIR_ENGINE_SPENT
                              * sizeof(ngx_http_weir_engine_spent_t));
    if (wmcf->spent == NULL) {
        return NGX_ERROR;
    }

    wmcf->nspent = 0;

    ngx_queue_init(&wmcf->live);
    ngx_queue_init(&wmcf->orphans);
    ngx_queue_init(&wmcf->askers);

    wmcf->told.handler = ngx_http_weir_engine_told_handler;
    wmcf->told.data = wmcf;
    wmcf->told.log = cycle->log;

    return NGX_OK;
}


void
ngx_http_weir_engine_usage_free(ngx_http_weir_engine_main_conf_t *wmcf)
{
    ngx_queue_t  *q, *next;

    if (wmcf->spent == NULL) {
        return;
    }

    for (q = ngx_queue_head(&wmcf->orphans);
         q != ngx_queue_sentinel(&wmcf->orphans);
         q = next)
    {
        next = ngx_queue_next(q);
        ngx_free(ngx_queue_data(q, ngx_http_weir_engine_orphan_t, queue));
    }

    ngx_queue_init(&wmcf->orphans);
}


/*
 * The request ends, for whatever reason, before what it still has in the
 * engine is cancelled.
 */

void
ngx_http_weir_engine_remember(ngx_http_weir_engine_ctx_t *ctx)
{
    uint32_t                           i, k, n;
    ngx_http_weir_engine_gen_t        *gen;
    ngx_http_weir_engine_spent_t      *spent;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    if (ctx->next == 0) {
        return;                 /* the engine took nothing */
    }

    wmcf = ctx->wmcf;
    n = ctx->req.generate.n;

    spent = &wmcf->spent[wmcf->nspent % NGX_HTTP_WEIR_ENGINE_SPENT];
    ngx_memzero(spent, sizeof(ngx_http_weir_engine_spent_t));

    /* 0 is of a place never used */

    spent->number = ++wmcf->nspent;
    spent->scope = ctx->req.generate.cache_scope;
    spent->len = ngx_min(ctx->request_id.len, sizeof(spent->id));
    ngx_memcpy(spent->id, ctx->request_id.data, spent->len);

    for (i = 0; i < ctx->next; i++) {
        gen = &ctx->gens[i];

        if (gen->begun) {
            spent->prompt_tokens += ctx->req.prompts[i].n_ids;
            spent->cached_tokens += gen->cached;
        }

        for (k = 0; k < n; k++) {
            spent->completion_tokens += ctx->counts[i * n + k];
        }

        if (gen->open) {
            ngx_http_weir_engine_adopt(wmcf, ctx, gen, spent);
        }
    }

    if (spent->open == 0) {
        ngx_http_weir_engine_told(wmcf);
    }
}


static void
ngx_http_weir_engine_adopt(ngx_http_weir_engine_main_conf_t *wmcf,
    ngx_http_weir_engine_ctx_t *ctx, ngx_http_weir_engine_gen_t *gen,
    ngx_http_weir_engine_spent_t *spent)
{
    uint32_t                        n;
    ngx_http_weir_engine_orphan_t  *orphan;

    orphan = ngx_calloc(sizeof(ngx_http_weir_engine_orphan_t),
                        ngx_cycle->log);
    if (orphan == NULL) {
        return;                 /* what is known so far has to do */
    }

    n = ctx->req.generate.n;

    orphan->id = gen->id;
    orphan->number = spent->number;
    orphan->open = gen->open;
    orphan->begun = gen->begun;
    ngx_memcpy(orphan->counts, &ctx->counts[gen->prompt * n],
               n * sizeof(uint32_t));

    spent->open += gen->open;

    ngx_queue_insert_tail(&wmcf->orphans, &orphan->queue);
}


/* an event of a prompt whose request has gone */

void
ngx_http_weir_engine_orphan_event(ngx_http_weir_engine_main_conf_t *wmcf,
    const weir_event_t *event)
{
    ngx_http_weir_engine_spent_t   *spent, unused;
    ngx_http_weir_engine_orphan_t  *orphan;

    orphan = ngx_http_weir_engine_find_orphan(wmcf, event->request);

    if (orphan == NULL || event->choice >= WEIR_ENGINE_MAX_CHOICES) {
        return;
    }

    /* so many requests may have ended since that it is forgotten */

    spent = &wmcf->spent[(orphan->number - 1) % NGX_HTTP_WEIR_ENGINE_SPENT];

    if (spent->number != orphan->number) {
        spent = &unused;
        ngx_memzero(spent, sizeof(ngx_http_weir_engine_spent_t));
        spent->open = orphan->open;
    }

    if (event->type == WEIR_EVENT_STARTED && !orphan->begun) {
        orphan->begun = 1;
        spent->prompt_tokens += event->prompt_tokens;
        spent->cached_tokens += event->cached_tokens;
    }

    if (event->completion_tokens > orphan->counts[event->choice]) {
        spent->completion_tokens += event->completion_tokens
                                    - orphan->counts[event->choice];
        orphan->counts[event->choice] = event->completion_tokens;
    }

    if (event->type != WEIR_EVENT_FINISH) {
        return;
    }

    if (--spent->open == 0) {
        ngx_http_weir_engine_told(wmcf);
    }

    if (--orphan->open == 0) {
        ngx_queue_remove(&orphan->queue);
        ngx_free(orphan);
    }
}


static ngx_http_weir_engine_orphan_t *
ngx_http_weir_engine_find_orphan(ngx_http_weir_engine_main_conf_t *wmcf,
    uint64_t id)
{
    ngx_queue_t                    *q;
    ngx_http_weir_engine_orphan_t  *orphan;

    for (q = ngx_queue_head(&wmcf->orphans);
         q != ngx_queue_sentinel(&wmcf->orphans);
         q = ngx_queue_next(q))
    {
        orphan = ngx_queue_data(q, ngx_http_weir_engine_orphan_t, queue);

        if (orphan->id == id) {
            return orphan;
        }
    }

    return NULL;
}


/* answers are sent from the event loop, not from another request's end */

static void
ngx_http_weir_engine_told(ngx_http_weir_engine_main_conf_t *wmcf)
{
    if (!ngx_queue_empty(&wmcf->askers)) {
        ngx_post_event(&wmcf->told, &ngx_posted_events);
    }
}


/* GET /usage/{request id}: answered at once, or when it is known */

ngx_int_t
ngx_http_weir_engine_usage(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, ngx_str_t *id)
{
    ngx_http_cleanup_t                *cln;
    ngx_http_weir_engine_spent_t      *spent;
    ngx_http_weir_engine_asker_t      *asker;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = ctx->wmcf;

    if (wmcf->spent == NULL) {
        return ngx_http_weir_engine_send_unknown(r);
    }

    asker = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_engine_asker_t));
    if (asker == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    asker->ctx = ctx;
    asker->id = *id;
    asker->scope = ngx_http_weir_engine_scope(r);

    spent = ngx_http_weir_engine_find_spent(asker);

    if (spent && spent->open == 0) {
        return ngx_http_weir_engine_send_spent(r, ctx, spent);
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln->handler = ngx_http_weir_engine_asker_cleanup;
    cln->data = asker;

    asker->since = ngx_current_msec;
    asker->timer.handler = ngx_http_weir_engine_asker_timer;
    asker->timer.data = asker;
    asker->timer.log = r->connection->log;

    ngx_queue_insert_tail(&wmcf->askers, &asker->queue);
    ngx_add_timer(&asker->timer, NGX_HTTP_WEIR_ENGINE_EARLY);

    r->main->count++;
    ngx_http_weir_engine_watch(r);

    return NGX_DONE;
}


/* of requests that chose the same id, the one that was asked for least */

static ngx_http_weir_engine_spent_t *
ngx_http_weir_engine_find_spent(ngx_http_weir_engine_asker_t *asker)
{
    ngx_uint_t                         i;
    ngx_http_weir_engine_spent_t      *spent, *found;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = asker->ctx->wmcf;
    found = NULL;

    for (i = 0; i < NGX_HTTP_WEIR_ENGINE_SPENT; i++) {
        spent = &wmcf->spent[i];

        if (spent->number == 0
            || !ngx_http_weir_engine_same(spent->id, spent->len, spent->scope,
                                          asker))
        {
            continue;
        }

        if (found == NULL
            || spent->asked < found->asked
            || (spent->asked == found->asked
                && spent->number < found->number))
        {
            found = spent;
        }
    }

    return found;
}


static ngx_uint_t
ngx_http_weir_engine_is_live(ngx_http_weir_engine_asker_t *asker)
{
    ngx_queue_t                       *q;
    ngx_http_weir_engine_ctx_t        *ctx;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = asker->ctx->wmcf;

    for (q = ngx_queue_head(&wmcf->live);
         q != ngx_queue_sentinel(&wmcf->live);
         q = ngx_queue_next(q))
    {
        ctx = ngx_queue_data(q, ngx_http_weir_engine_ctx_t, live);

        if (ngx_http_weir_engine_same(ctx->request_id.data,
                                      ctx->request_id.len,
                                      ctx->req.generate.cache_scope, asker))
        {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_weir_engine_same(u_char *id, size_t len, uint64_t scope,
    ngx_http_weir_engine_asker_t *asker)
{
    return scope == asker->scope
           && len == asker->id.len
           && ngx_memcmp(id, asker->id.data, len) == 0;
}


static ngx_int_t
ngx_http_weir_engine_send_spent(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, ngx_http_weir_engine_spent_t *spent)
{
    weir_buf_t  out;

    spent->asked++;

    weir_buf_init(&out, &ctx->arena);
    weir_buf_append_z(&out, "{\"request_id\":");
    weir_json_write_string(&out, weir_str((char *) spent->id, spent->len));
    weir_buf_append_z(&out, ",\"model\":");
    weir_json_write_string(&out, ctx->wmcf->names.id);
    weir_buf_printf(&out, ",\"prompt_tokens\":%llu,\"cached_tokens\":%llu,"
                    "\"completion_tokens\":%llu}",
                    (unsigned long long) spent->prompt_tokens,
                    (unsigned long long) spent->cached_tokens,
                    (unsigned long long) spent->completion_tokens);

    return ngx_http_weir_engine_send(r, NGX_HTTP_OK, &out);
}


static ngx_int_t
ngx_http_weir_engine_send_unknown(ngx_http_request_t *r)
{
    return ngx_http_weir_engine_send_status(r, NGX_HTTP_NOT_FOUND,
               "No request of this id and cache scope is known; the engine "
               "remembers the last 1024", "unknown_request");
}


static void
ngx_http_weir_engine_asker_timer(ngx_event_t *ev)
{
    ngx_int_t                      rc;
    ngx_connection_t              *c;
    ngx_http_request_t            *r;
    ngx_http_weir_engine_spent_t  *spent;
    ngx_http_weir_engine_asker_t  *asker;

    asker = ev->data;
    r = asker->ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    spent = ngx_http_weir_engine_find_spent(asker);

    if (spent && spent->open == 0) {
        rc = ngx_http_weir_engine_send_spent(r, asker->ctx, spent);

    } else if ((spent || ngx_http_weir_engine_is_live(asker))
               && ngx_current_msec - asker->since < NGX_HTTP_WEIR_ENGINE_WAIT)
    {
        ngx_add_timer(ev, NGX_HTTP_WEIR_ENGINE_EARLY);
        return;

    } else {
        rc = ngx_http_weir_engine_send_unknown(r);
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_weir_engine_asker_cleanup(void *data)
{
    ngx_http_weir_engine_asker_t *asker = data;

    ngx_queue_remove(&asker->queue);

    if (asker->timer.timer_set) {
        ngx_del_timer(&asker->timer);
    }
}


static void
ngx_http_weir_engine_told_handler(ngx_event_t *ev)
{
    ngx_uint_t                         again;
    ngx_queue_t                       *q;
    ngx_http_weir_engine_spent_t      *spent;
    ngx_http_weir_engine_asker_t      *asker;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = ev->data;

    /* ending one may end others: begin again after each */

    do {
        again = 0;

        for (q = ngx_queue_head(&wmcf->askers);
             q != ngx_queue_sentinel(&wmcf->askers);
             q = ngx_queue_next(q))
        {
            asker = ngx_queue_data(q, ngx_http_weir_engine_asker_t, queue);
            spent = ngx_http_weir_engine_find_spent(asker);

            /* finalized requests leave the queue with their last reference */

            if (spent && spent->open == 0 && asker->timer.timer_set) {
                ngx_del_timer(&asker->timer);
                ngx_http_weir_engine_asker_timer(&asker->timer);

                again = 1;
                break;
            }
        }

    } while (again);
}
