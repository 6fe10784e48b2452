
/*
 * Weir's core: what takes long of an answer.  A large document or event, and a
 * text that was held until its end, go through the pipeline on a thread; all
 * else in the event loop, where answers have a part of each turn.  Meanwhile
 * input stays where it is, unconsumed: so the upstream stops sending.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


/* bytes that the event loop goes through at once: a millisecond at most */

#define NGX_HTTP_WEIR_HEAVY  8192

#define NGX_HTTP_WEIR_BLOCK  65536

/* microseconds that answers have in each turn of the event loop */

#define NGX_HTTP_WEIR_TURN   500


/*
 * What a thread has written.  Not of malloc(), which at times gives megabytes
 * of a thread's back in the free() of the last of them: that would be the
 * event loop's.
 */

typedef struct {
    ngx_queue_t                     queue;
    u_char                         *last;
    u_char                          data[1];
} ngx_http_weir_block_t;

#define NGX_HTTP_WEIR_BLOCK_DATA                                              \
    (NGX_HTTP_WEIR_BLOCK - offsetof(ngx_http_weir_block_t, data))


static void ngx_http_weir_begin_turn(ngx_http_weir_core_main_conf_t *wmcf);
static int64_t ngx_http_weir_microseconds(void);
static void ngx_http_weir_turn_over(ngx_event_t *ev);
static void ngx_http_weir_turn_handler(ngx_event_t *ev);
static ngx_uint_t ngx_http_weir_heavy(ngx_http_weir_core_ctx_t *ctx,
    ngx_uint_t task);
static void ngx_http_weir_answer_work(void *data);
static void ngx_http_weir_answer_feed(ngx_http_weir_core_ctx_t *ctx);
static void ngx_http_weir_answer_done(void *data);
static ngx_int_t ngx_http_weir_land(ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_take_blocks(ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_untake(ngx_http_weir_core_ctx_t *ctx);


/*
 * Whether there is time for the answer in this turn of the event loop.  If
 * not, it is gone on with in a later one.
 */

ngx_uint_t
ngx_http_weir_turn(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_core_main_conf_t  *wmcf;

    wmcf = ctx->wmcf;

    ngx_http_weir_begin_turn(wmcf);

    if ((wmcf->turn_serves || ngx_queue_empty(&wmcf->turn_waiting))
        && ngx_http_weir_in_time(ctx))
    {
        return 1;
    }

    ngx_http_weir_next_turn(ctx);

    return 0;
}


static void
ngx_http_weir_begin_turn(ngx_http_weir_core_main_conf_t *wmcf)
{
    if (wmcf->turn_ends) {
        return;
    }

    wmcf->turn_ends = ngx_http_weir_microseconds() + NGX_HTTP_WEIR_TURN;
    wmcf->turn_bytes = 0;

    wmcf->turn.handler = ngx_http_weir_turn_over;
    wmcf->turn.data = wmcf;
    wmcf->turn.log = ngx_cycle->log;

    ngx_post_event(&wmcf->turn, &ngx_posted_events);
}


void
ngx_http_weir_next_turn(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_core_main_conf_t  *wmcf;

    wmcf = ctx->wmcf;

    ngx_post_event(&ctx->turn, &wmcf->turn_waiting);

    if (!wmcf->turn_next.posted) {
        wmcf->turn_next.handler = ngx_http_weir_turn_handler;
        wmcf->turn_next.data = wmcf;
        wmcf->turn_next.log = ngx_cycle->log;

        ngx_post_event(&wmcf->turn_next, &ngx_posted_next_events);
    }
}


ngx_uint_t
ngx_http_weir_in_time(ngx_http_weir_core_ctx_t *ctx)
{
    /* the clock goes on while others have the processor */

    return ctx->wmcf->turn_bytes < NGX_HTTP_WEIR_HEAVY
           || ngx_http_weir_microseconds() < ctx->wmcf->turn_ends;
}


static int64_t
ngx_http_weir_microseconds(void)
{
    struct timespec  now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}


/* the turn's last events */

static void
ngx_http_weir_turn_over(ngx_event_t *ev)
{
    ngx_http_weir_core_main_conf_t *wmcf = ev->data;

    wmcf->turn_ends = 0;
}


/* the next turn: those that wait come first */

static void
ngx_http_weir_turn_handler(ngx_event_t *ev)
{
    ngx_queue_t                      queue;
    ngx_event_t                     *next;
    ngx_http_weir_core_main_conf_t  *wmcf;

    wmcf = ev->data;

    ngx_http_weir_begin_turn(wmcf);

    wmcf->turn_serves = 1;

    /* those that ask again have their next turn behind the others' */

    ngx_queue_init(&queue);
    ngx_queue_add(&queue, &wmcf->turn_waiting);
    ngx_queue_init(&wmcf->turn_waiting);

    while (!ngx_queue_empty(&queue)) {
        next = ngx_queue_data(ngx_queue_head(&queue), ngx_event_t, queue);

        ngx_delete_posted_event(next);

        next->handler(next);

        if (ngx_http_weir_microseconds() >= wmcf->turn_ends) {
            break;
        }
    }

    ngx_queue_add(&queue, &wmcf->turn_waiting);
    ngx_queue_init(&wmcf->turn_waiting);

    if (!ngx_queue_empty(&queue)) {
        ngx_queue_add(&wmcf->turn_waiting, &queue);
    }

    wmcf->turn_serves = 0;

    if (!ngx_queue_empty(&wmcf->turn_waiting) && !ev->posted) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}


/*
 * NGX_AGAIN: a thread does it, and the answer goes on by itself.
 * NGX_DECLINED: the event loop may, or has to.
 */

ngx_int_t
ngx_http_weir_answer_on_thread(ngx_http_weir_core_ctx_t *ctx, ngx_uint_t task)
{
    if (ctx->threadless || !ngx_http_weir_heavy(ctx, task)) {
        return NGX_DECLINED;
    }

    if (!weir_pipeline_movable(ctx->pipeline)) {
        ctx->threadless = 1;
        return NGX_DECLINED;
    }

    if (ctx->scratch == NULL) {

        ctx->scratch = weir_scratch_new();
        if (ctx->scratch == NULL) {
            ctx->threadless = 1;
            return NGX_DECLINED;
        }

        ngx_queue_init(&ctx->blocks);
    }

    ngx_queue_init(&ctx->made_blocks);

    if (task == NGX_HTTP_WEIR_ANSWER_FEED) {
        ctx->taken = ctx->in;
        ctx->in = NULL;

    } else {
        ctx->taken_end = NGX_HTTP_WEIR_ANSWER_GOES_ON;
    }

    ctx->taken_left = NULL;
    ctx->answering = task;
    ctx->public.on_thread = 1;

    weir_pipeline_move(ctx->pipeline, ctx->scratch);

    if (ngx_http_weir_work(&ctx->public, ngx_http_weir_answer_work,
                           ngx_http_weir_answer_done, ctx)
        == NGX_AGAIN)
    {
        return NGX_AGAIN;
    }

    /* there are no threads, or too much waits for them */

    weir_pipeline_move(ctx->pipeline, ctx->wmcf->scratch);

    if (task == NGX_HTTP_WEIR_ANSWER_FEED) {
        ctx->in = ctx->taken;
        ctx->taken = NULL;
    }

    ctx->threadless = 1;
    ctx->answering = 0;
    ctx->public.on_thread = 0;

    return NGX_DECLINED;
}


static ngx_uint_t
ngx_http_weir_heavy(ngx_http_weir_core_ctx_t *ctx, ngx_uint_t task)
{
    size_t        load;
    ngx_chain_t  *cl;

    if (task != NGX_HTTP_WEIR_ANSWER_FEED) {
        return weir_pipeline_load(ctx->pipeline, 0) > NGX_HTTP_WEIR_HEAVY;
    }

    load = 0;

    ctx->taken_end = NGX_HTTP_WEIR_ANSWER_GOES_ON;

    for (cl = ctx->in; cl; cl = cl->next) {

        if (ctx->collects && ngx_buf_in_memory(cl->buf)) {
            load += cl->buf->last - cl->buf->pos;
        }

        if (cl->buf->last_buf) {
            ctx->taken_end = NGX_HTTP_WEIR_ANSWER_COMPLETE;
            break;
        }

        if (ngx_http_weir_was_cut(ctx->request, cl->buf)) {
            ctx->taken_end = NGX_HTTP_WEIR_ANSWER_CUT;
            break;
        }
    }

    if (ctx->collects && ctx->taken_end != NGX_HTTP_WEIR_ANSWER_COMPLETE) {
        return 0;
    }

    load += weir_pipeline_load(ctx->pipeline, 1);

    return load > NGX_HTTP_WEIR_HEAVY;
}


/* on a thread */

static void
ngx_http_weir_answer_work(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    switch (ctx->answering) {

    case NGX_HTTP_WEIR_ANSWER_WAKE:
        ctx->answered = weir_pipeline_wake(ctx->pipeline);
        break;

    case NGX_HTTP_WEIR_ANSWER_ABORT:
        ctx->answered = weir_pipeline_finish(ctx->pipeline, WEIR_END_ABORT);
        break;

    default: /* NGX_HTTP_WEIR_ANSWER_FEED */
        ngx_http_weir_answer_feed(ctx);
    }
}


static void
ngx_http_weir_answer_feed(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_buf_t        *b;
    ngx_uint_t        end;
    ngx_chain_t      *cl;
    weir_status_t     rc;
    weir_pipeline_t  *p;

    p = ctx->pipeline;

    end = ctx->taken_end;
    ctx->taken_end = NGX_HTTP_WEIR_ANSWER_GOES_ON;

    rc = WEIR_OK;

    for (cl = ctx->taken; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b) && b->last > b->pos) {
            rc = weir_pipeline_feed(p, (char *) b->pos, b->last - b->pos);
        }

        if (rc != WEIR_OK || ngx_http_weir_over(ctx) || ctx->public.unwanted) {
            break;
        }

        /* a cut is told by the chain's last buffer */

        if (b->last_buf
            || (end == NGX_HTTP_WEIR_ANSWER_CUT && cl->next == NULL))
        {
            ctx->taken_end = end;

            rc = weir_pipeline_finish(p, end == NGX_HTTP_WEIR_ANSWER_CUT
                                         ? WEIR_END_CUT : WEIR_END_COMPLETE);
            break;
        }

        if (weir_pipeline_waiting(p)) {
            break;
        }
    }

    ctx->taken_left = cl ? cl->next : NULL;
    ctx->answered = rc;
}


static void
ngx_http_weir_answer_done(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ngx_int_t            rc;
    ngx_uint_t           task;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    task = ctx->answering;

    rc = ngx_http_weir_land(ctx);

    if (ctx->gone) {

        if (task == NGX_HTTP_WEIR_ANSWER_ABORT
            || ngx_http_weir_abort_answer(ctx) != NGX_AGAIN)
        {
            ngx_http_finalize_request(r, NGX_ERROR);
            ngx_http_run_posted_requests(c);
        }

        return;
    }

    if (ctx->stop_why) {
        ngx_http_weir_stop_answer(ctx, ctx->stop_how, ctx->stop_why);
        return;
    }

    if (ctx->woken) {
        ctx->woken = 0;
        ngx_post_event(&ctx->turn, &ngx_posted_events);
    }

    ngx_http_weir_go_on_answer(ctx, rc);
}


/* the pipeline is the event loop's again, and what it has made, too */

static ngx_int_t
ngx_http_weir_land(ngx_http_weir_core_ctx_t *ctx)
{
    ctx->answering = 0;
    ctx->public.on_thread = 0;

    weir_pipeline_move(ctx->pipeline, ctx->wmcf->scratch);

    if (ngx_http_weir_take_blocks(ctx) != NGX_OK
        || ngx_http_weir_untake(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    weir_pipeline_landed(ctx->pipeline);

    return (ctx->answered == WEIR_OK || ctx->answered == WEIR_ERR_BUSY)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_take_blocks(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_buf_t              *b;
    ngx_queue_t            *q;
    ngx_chain_t            *cl;
    ngx_http_request_t     *r;
    ngx_http_weir_block_t  *block;

    r = ctx->request;

    while (!ngx_queue_empty(&ctx->made_blocks)) {
        q = ngx_queue_head(&ctx->made_blocks);
        block = ngx_queue_data(q, ngx_http_weir_block_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ctx->blocks, q);

        b = ngx_calloc_buf(r->pool);
        cl = ngx_alloc_chain_link(r->pool);

        if (b == NULL || cl == NULL) {
            ngx_queue_add(&ctx->blocks, &ctx->made_blocks);
            ngx_queue_init(&ctx->made_blocks);
            return NGX_ERROR;
        }

        b->start = block->data;
        b->pos = b->start;
        b->last = block->last;
        b->end = b->start + NGX_HTTP_WEIR_BLOCK_DATA;
        b->tag = (ngx_buf_tag_t) &ngx_http_weir_core_module;

        /* this, too, tells them from those of the request's pool */

        b->memory = 1;

        cl->buf = b;
        ngx_http_weir_append(ctx, cl);
    }

    return NGX_OK;
}


/* the input that was read is free again, the rest comes first */

static ngx_int_t
ngx_http_weir_untake(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl, *next, *last;

    for (cl = ctx->taken; cl != ctx->taken_left; cl = next) {
        next = cl->next;
        b = cl->buf;

        if (ngx_buf_special(b) && !b->last_buf && next && !ctx->header_held) {
            ngx_http_weir_append(ctx, cl);
            continue;
        }

        b->pos = b->last;
        b->file_pos = b->file_last;

        ngx_free_chain(ctx->request->pool, cl);
    }

    ctx->taken = NULL;

    if (ctx->taken_left) {

        for (last = ctx->taken_left; last->next; last = last->next) {
            /* void */
        }

        last->next = ctx->in;
        ctx->in = ctx->taken_left;
        ctx->taken_left = NULL;
    }

    switch (ctx->taken_end) {

    case NGX_HTTP_WEIR_ANSWER_COMPLETE:
        ctx->public.complete = 1;
        break;

    case NGX_HTTP_WEIR_ANSWER_CUT:
        ctx->cut = 1;
        break;

    default: /* NGX_HTTP_WEIR_ANSWER_GOES_ON */
        return NGX_OK;
    }

    ctx->taken_end = NGX_HTTP_WEIR_ANSWER_GOES_ON;
    ctx->finishing = (ctx->answered == WEIR_ERR_BUSY);

    return NGX_OK;
}


/* the client has gone: what is held until its end is still looked at */

ngx_int_t
ngx_http_weir_abort_answer(ngx_http_weir_core_ctx_t *ctx)
{
    if (ctx->pipeline == NULL || ctx->ended || ctx->answering
        || ctx->public.settled || ctx->request->main->count == 0)
    {
        return NGX_DECLINED;
    }

    return ngx_http_weir_answer_on_thread(ctx, NGX_HTTP_WEIR_ANSWER_ABORT);
}


/* on a thread: r->pool is the event loop's */

weir_status_t
ngx_http_weir_write_block(ngx_http_weir_core_ctx_t *ctx, const char *text,
    size_t len)
{
    size_t                  n;
    ngx_queue_t            *q;
    ngx_http_weir_block_t  *block;

    block = NULL;

    if (!ngx_queue_empty(&ctx->made_blocks)) {
        q = ngx_queue_last(&ctx->made_blocks);
        block = ngx_queue_data(q, ngx_http_weir_block_t, queue);
    }

    while (len) {

        if (block == NULL
            || block->last == block->data + NGX_HTTP_WEIR_BLOCK_DATA)
        {
            block = mmap(NULL, NGX_HTTP_WEIR_BLOCK, PROT_READ|PROT_WRITE,
                         MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
            if (block == MAP_FAILED) {
                return WEIR_ERR_NOMEM;
            }

            block->last = block->data;

            /* NOLINTNEXTLINE(clang-analyzer-*): its ends are never NULL */
            ngx_queue_insert_tail(&ctx->made_blocks, &block->queue);
        }

        n = ngx_min(len, (size_t) (block->data + NGX_HTTP_WEIR_BLOCK_DATA
                                   - block->last));

        block->last = ngx_cpymem(block->last, text, n);

        text += n;
        len -= n;
    }

    return WEIR_OK;
}


/* blocks that have left; all: those as well that have not */

void
ngx_http_weir_free_blocks(ngx_http_weir_core_ctx_t *ctx, ngx_uint_t all)
{
    ngx_queue_t            *q;
    ngx_chain_t            *cl, **ll;
    ngx_http_weir_block_t  *block;

    if (ctx->scratch == NULL) {
        return;
    }

    if (all) {

        while (!ngx_queue_empty(&ctx->blocks)) {
            q = ngx_queue_head(&ctx->blocks);
            ngx_queue_remove(q);
            (void) munmap(ngx_queue_data(q, ngx_http_weir_block_t, queue),
                          NGX_HTTP_WEIR_BLOCK);
        }

        weir_scratch_free(ctx->scratch);
        ctx->scratch = NULL;

        return;
    }

    if (ngx_queue_empty(&ctx->blocks)) {
        return;
    }

    ll = &ctx->free;

    while (*ll) {
        cl = *ll;

        if (!cl->buf->memory) {
            ll = &cl->next;
            continue;
        }

        *ll = cl->next;

        block = (ngx_http_weir_block_t *)
                (cl->buf->start - offsetof(ngx_http_weir_block_t, data));

        ngx_queue_remove(&block->queue);
        (void) munmap(block, NGX_HTTP_WEIR_BLOCK);

        ngx_free_chain(ctx->request->pool, cl);
    }
}


/* behind a call that came from outside, with what it has made */

void
ngx_http_weir_go_on_answer(ngx_http_weir_core_ctx_t *ctx, ngx_int_t rc)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    if (rc == NGX_OK) {
        rc = ngx_http_weir_pump(r, ctx);
    }

    if (rc != NGX_ERROR && !ctx->ended && !ctx->finishing) {
        rc = ngx_http_weir_answer_body(r, ctx, NULL);
    }

    ngx_http_weir_look(r, ctx);

    if (rc == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);

    } else {

        /* who waits for the output to be gone finds it so */

        r->write_event_handler(r);
    }

    ngx_http_run_posted_requests(c);
}


/* its turn has come */

void
ngx_http_weir_turn_answer(ngx_event_t *ev)
{
    ngx_http_weir_core_ctx_t *ctx = ev->data;

    ngx_http_set_log_request(ctx->request->connection->log, ctx->request);

    if (ctx->woken) {
        ctx->woken = 0;
        ngx_http_weir_wake(&ctx->public);
        return;
    }

    if (!ctx->ended || ctx->out) {
        ngx_http_weir_go_on_answer(ctx, NGX_OK);
    }
}
