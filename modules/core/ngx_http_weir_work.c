
/*
 * Weir's core: work that takes milliseconds, the scan of a large body for
 * one, on a thread of NGINX's pool "default".  The request waits, the event
 * loop does not.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


#if (NGX_THREADS)


/* a worker that is told to end waits for those with a timer */

#define NGX_HTTP_WEIR_STILL  60000


typedef struct {
    ngx_http_weir_core_ctx_t       *ctx;
    ngx_http_weir_work_pt           work;
    ngx_http_weir_work_pt           done;
    void                           *data;
} ngx_http_weir_job_t;


typedef struct {
    weir_arena_t                    arena;
    weir_json_node_t               *nodes;
} ngx_http_weir_waste_t;


static ngx_int_t ngx_http_weir_watch(ngx_http_weir_core_ctx_t *ctx);
static void ngx_http_weir_on_thread(void *data, ngx_log_t *log);
static void ngx_http_weir_worked(ngx_event_t *ev);
static void ngx_http_weir_gone(void *data);
static void ngx_http_weir_still(ngx_event_t *ev);
static ngx_int_t ngx_http_weir_free_later(ngx_http_weir_core_ctx_t *ctx,
    weir_arena_t *arena);
static void ngx_http_weir_free_work(void *data, ngx_log_t *log);
static void ngx_http_weir_freed(ngx_event_t *ev);


/* the pool's threads are made with the workers, its size is the operator's */

ngx_int_t
ngx_http_weir_add_threads(ngx_conf_t *cf, ngx_http_weir_core_main_conf_t *wmcf)
{
    ngx_uint_t                      i;
    const ngx_http_weir_plugin_t  **p;

    p = wmcf->plugins.elts;

    for (i = 0; i < wmcf->plugins.nelts; i++) {
        if (p[i] != &ngx_http_weir_policy_plugin
            && (p[i]->needs
                & (NGX_HTTP_WEIR_NEEDS_BODY|NGX_HTTP_WEIR_NEEDS_VIEW)))
        {
            wmcf->bodies = 1;
        }
    }

    /* a process with threads pays for locks in each request */

    if (!wmcf->bodies) {
        return NGX_OK;
    }

    wmcf->threads = ngx_thread_pool_add(cf, NULL);

    return (wmcf->threads == NULL) ? NGX_ERROR : NGX_OK;
}


ngx_int_t
ngx_http_weir_work(ngx_http_weir_ctx_t *public,
    ngx_http_weir_work_pt work, ngx_http_weir_work_pt done, void *data)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    ngx_thread_task_t    *task;
    ngx_http_weir_job_t  *job;

    if (ctx->wmcf->threads == NULL || ctx->working
        || ngx_http_weir_watch(ctx) != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (ctx->task == NULL) {
        ctx->task = ngx_thread_task_alloc(ctx->request->pool,
                                          sizeof(ngx_http_weir_job_t));
        if (ctx->task == NULL) {
            return NGX_DECLINED;
        }
    }

    task = ctx->task;
    job = task->ctx;

    job->ctx = ctx;
    job->work = work;
    job->done = done;
    job->data = data;

    task->handler = ngx_http_weir_on_thread;
    task->event.handler = ngx_http_weir_worked;
    task->event.data = job;
    task->event.log = ctx->request->connection->log;

    ctx->working = 1;

    if (ngx_thread_task_post(ctx->wmcf->threads, task) != NGX_OK) {
        ctx->working = 0;
        return NGX_DECLINED;
    }

    /* until then NGINX does not free the request, whatever becomes of it */

    ctx->request->main->blocked++;
    public->works++;

    ctx->still.handler = ngx_http_weir_still;
    ctx->still.data = ctx;
    ctx->still.log = ctx->request->connection->log;

    ngx_add_timer(&ctx->still, NGX_HTTP_WEIR_STILL);

    return NGX_AGAIN;
}


/* a client that goes: NGINX ends the request when the thread is done */

static ngx_int_t
ngx_http_weir_watch(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_cleanup_t  *cln;

    if (ctx->watched) {
        return NGX_OK;
    }

    cln = ngx_http_cleanup_add(ctx->request, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_gone;
    cln->data = ctx;

    ctx->watched = 1;

    return NGX_OK;
}


static void
ngx_http_weir_on_thread(void *data, ngx_log_t *log)
{
    ngx_http_weir_job_t *job = data;

    job->work(job->data);
}


static void
ngx_http_weir_worked(ngx_event_t *ev)
{
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_weir_job_t       *job;
    ngx_http_weir_core_ctx_t  *ctx;

    job = ev->data;
    ctx = job->ctx;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ngx_del_timer(&ctx->still);

    r->main->blocked--;

    ctx->working = 0;
    ctx->public.unwanted = 0;

    if (ctx->answering) {
        job->done(job->data);
        return;
    }

    if (ctx->gone) {
        ngx_http_finalize_request(r, NGX_ERROR);
        ngx_http_run_posted_requests(c);
        return;
    }

    if (ctx->stop_why) {
        ctx->public.refusal = ctx->stop_why;
        ctx->public.admitted = 0;
        ctx->refused = 1;
    }

    if (ctx->holder && ctx->stop_why) {
        ctx->late = 0;
        ngx_http_weir_release(ctx);
        ngx_http_weir_go_on(ctx);
        return;
    }

    if (ctx->late) {
        ngx_http_weir_deadline(&ctx->deadline);
        return;
    }

    job->done(job->data);
}


static void
ngx_http_weir_gone(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ctx->gone = 1;
    ctx->public.unwanted = 1;

    (void) ngx_http_weir_abort_answer(ctx);
}


static void
ngx_http_weir_still(ngx_event_t *ev)
{
    ngx_add_timer(ev, NGX_HTTP_WEIR_STILL);
}


/*
 * Megabytes go back to the system page by page, which takes milliseconds.
 * arena: NULL: the nodes only.
 */

static ngx_int_t
ngx_http_weir_free_later(ngx_http_weir_core_ctx_t *ctx, weir_arena_t *arena)
{
    ngx_thread_task_t      *task;
    ngx_http_weir_waste_t  *waste;

    /* the request's pool is being destroyed */

    task = ngx_calloc(sizeof(ngx_thread_task_t)
                      + sizeof(ngx_http_weir_waste_t), ngx_cycle->log);
    if (task == NULL) {
        return NGX_ERROR;
    }

    waste = (ngx_http_weir_waste_t *) (task + 1);

    if (arena) {
        waste->arena = *arena;
    }

    waste->nodes = ctx->nodes;

    task->ctx = waste;
    task->handler = ngx_http_weir_free_work;
    task->event.handler = ngx_http_weir_freed;
    task->event.data = task;
    task->event.log = ngx_cycle->log;

    if (ngx_thread_task_post(ctx->wmcf->threads, task) != NGX_OK) {
        ngx_free(task);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_weir_free_work(void *data, ngx_log_t *log)
{
    ngx_http_weir_waste_t *waste = data;

    if (waste->nodes) {
        ngx_free(waste->nodes);
    }

    weir_arena_free(&waste->arena);
}


static void
ngx_http_weir_freed(ngx_event_t *ev)
{
    ngx_free(ev->data);
}


void
ngx_http_weir_free_body(ngx_http_weir_core_ctx_t *ctx)
{
    if (ctx->nodes == NULL) {
        return;
    }

    if (ctx->nodes_size <= NGX_HTTP_WEIR_FREE
        || ctx->wmcf->threads == NULL
        || ngx_http_weir_free_later(ctx, NULL) != NGX_OK)
    {
        ngx_free(ctx->nodes);
    }

    ctx->nodes = NULL;
    ctx->view.doc = NULL;
}


void
ngx_http_weir_free_memory(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_free_blocks(ctx, 1);

    if (ctx->arena.total > NGX_HTTP_WEIR_FREE && ctx->wmcf->threads
        && ngx_http_weir_free_later(ctx, &ctx->arena) == NGX_OK)
    {
        ctx->nodes = NULL;
        return;
    }

    ngx_http_weir_free_body(ctx);
    weir_arena_free(&ctx->arena);
}


#else


ngx_int_t
ngx_http_weir_add_threads(ngx_conf_t *cf, ngx_http_weir_core_main_conf_t *wmcf)
{
    return NGX_OK;
}


ngx_int_t
ngx_http_weir_work(ngx_http_weir_ctx_t *public,
    ngx_http_weir_work_pt work, ngx_http_weir_work_pt done, void *data)
{
    return NGX_DECLINED;
}


void
ngx_http_weir_free_body(ngx_http_weir_core_ctx_t *ctx)
{
    if (ctx->nodes) {
        ngx_free(ctx->nodes);
        ctx->nodes = NULL;
        ctx->view.doc = NULL;
    }
}


void
ngx_http_weir_free_memory(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_free_blocks(ctx, 1);

    ngx_http_weir_free_body(ctx);
    weir_arena_free(&ctx->arena);
}


#endif
