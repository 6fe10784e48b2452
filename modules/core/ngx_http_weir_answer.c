
/*
 * Weir's core: the body of an answer on its way through the pipeline of
 * filters.  With filters that only watch, NGINX's own buffers pass as they are;
 * else the pipeline's output is copied into buffers of ours.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"

#include "lua-free-filters/include_usage.h"
#include "lua-free-filters/translate/translate.h"


/* goes through the pipeline before it is asked for the time again */

#define NGX_HTTP_WEIR_PIECE         4096

/* sent on before more is read when this much has been made of one chain */

#define NGX_HTTP_WEIR_ENOUGH        65536

/* how long an upstream may take to end its body after the answer's end */

#define NGX_HTTP_WEIR_LINGER        500


static ngx_int_t ngx_http_weir_collect_filters(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, weir_filter_t *filters, ngx_uint_t *n,
    ngx_uint_t error);
static ngx_int_t ngx_http_weir_error_filter(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, weir_filter_t *filter);
static ngx_int_t ngx_http_weir_watch(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in);
static ngx_int_t ngx_http_weir_watch_end(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in, ngx_chain_t *last);
static ngx_int_t ngx_http_weir_transform(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in);
static ngx_uint_t ngx_http_weir_should_rest(ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_take(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_buf_t *b);
static ngx_int_t ngx_http_weir_finish(ngx_http_weir_core_ctx_t *ctx,
    weir_end_t why);
static ngx_int_t ngx_http_weir_add_last(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static void ngx_http_weir_consume(ngx_chain_t *in);


/*
 * Opens the pipeline for an answer of events or JSON.  NGX_DECLINED: the
 * answer cannot be read, but must be; ctx->public.refusal says why.
 */

ngx_int_t
ngx_http_weir_open_answer(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_uint_t sse, ngx_uint_t error)
{
    ngx_int_t                rc;
    ngx_uint_t               i, n, must_see;
    weir_filter_t           *filters;
    weir_pipeline_config_t   config;

    static const ngx_http_weir_refusal_t  encoded =
        ngx_http_weir_final_refusal(NGX_HTTP_BAD_GATEWAY, "server_error",
                                    "encoded_answer",
                                    "The model server's answer is "
                                    "compressed, so the gateway cannot check "
                                    "it.",
                                    "encoded_answer");

    filters = weir_arena_alloc(&ctx->arena, (ctx->wmcf->plugins.nelts + 2)
                                            * sizeof(weir_filter_t));

    if (filters == NULL
        || weir_usage_open(&ctx->arena, &ctx->usage) != WEIR_OK)
    {
        return NGX_ERROR;
    }

    n = 0;
    filters[n++] = weir_usage_filter(ctx->usage);

    must_see = 0;

    rc = ngx_http_weir_collect_filters(r, ctx, filters, &n, error);
    if (rc != NGX_OK) {
        return rc;
    }

    if (error && ctx->public.upstream == ctx->public.endpoint.protocol
        && ngx_http_weir_error_filter(r, ctx, &filters[n++]) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (sse && ctx->hide_usage && !error) {
        filters[n++] = weir_include_usage_filter();
    }

    ngx_memzero(&config, sizeof(weir_pipeline_config_t));

    config.tap = 1;

    for (i = 0; i < n; i++) {
        if (!(filters[i].table->flags & WEIR_FILTER_WATCHES)) {
            config.tap = 0;
        }

        if (filters[i].table->flags & WEIR_FILTER_MUST_SEE) {
            must_see = 1;
        }
    }

    config.protocol = ctx->public.endpoint.protocol;
    config.upstream = ctx->public.upstream;
    config.in = sse ? WEIR_BODY_SSE : WEIR_BODY_JSON;
    config.out = config.in;

    if (!sse && !error && ctx->view.stream
        && config.protocol != WEIR_PROTOCOL_OTHER
        && config.protocol != WEIR_PROTOCOL_DOCUMENT)
    {
        config.out = WEIR_BODY_SSE;
        config.tap = 0;
    }

    if (r->headers_out.content_encoding
        && r->headers_out.content_encoding->value.len)
    {
        if (must_see || !config.tap) {
            ctx->public.refusal = &encoded;
            return NGX_DECLINED;
        }

        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "the answer is encoded as \"%V\": its usage cannot be "
                      "read; clear Accept-Encoding towards the upstream",
                      &r->headers_out.content_encoding->value);
        return NGX_OK;
    }

    /*
     * An event that was cut cannot be taken back once it has left, and what
     * clients choke on ("id:", "retry:", a byte-order mark) must not leave.
     */

    if (sse && config.protocol != WEIR_PROTOCOL_OTHER) {
        config.tap = 0;
    }

    if (ctx->wmcf->scratch == NULL) {
        ctx->wmcf->scratch = weir_scratch_new();

        if (ctx->wmcf->scratch == NULL) {
            return NGX_ERROR;
        }
    }

    config.max_event = ctx->wmcf->max_event;
    config.max_document = ctx->wmcf->max_document;
    config.request_id = weir_arena_strndup(&ctx->arena,
                                     (char *) ctx->public.request_id.data,
                                     ctx->public.request_id.len);
    config.now = ngx_time();
    config.anthropic = (ctx->public.endpoint.dialect
                        == WEIR_DIALECT_ANTHROPIC);
    config.usage = weir_usage_of(ctx->usage);
    config.usage_asked = ctx->view.include_usage;
    config.write = ngx_http_weir_write;
    config.write_ctx = ctx;

    if (config.request_id == NULL
        || weir_pipeline_open(&ctx->arena, ctx->wmcf->scratch, &config,
                              filters, n, &ctx->pipeline)
           != WEIR_OK)
    {
        return NGX_ERROR;
    }

    ctx->watching = config.tap;
    ctx->collects = (config.in == WEIR_BODY_JSON);

    ctx->turn.handler = ngx_http_weir_turn_answer;
    ctx->turn.data = ctx;
    ctx->turn.log = r->connection->log;
    ctx->public.stream = (config.out == WEIR_BODY_SSE);

    r->filter_need_in_memory = 1;

    return NGX_OK;
}


/* an upstream of the client's API with errors of another */

static ngx_int_t
ngx_http_weir_error_filter(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, weir_filter_t *filter)
{
    char  *id;

    id = weir_arena_strndup(&ctx->arena,
                            (char *) ctx->public.request_id.data,
                            ctx->public.request_id.len);

    if (id == NULL
        || weir_error_filter(WEIR_PROTOCOL_MESSAGES,
                             (unsigned) r->headers_out.status, id,
                             &ctx->arena, filter)
           != WEIR_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* NGX_DECLINED: nobody has to see the answer, so it may pass unread */

ngx_int_t
ngx_http_weir_must_see(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_uint_t      i, n;
    weir_filter_t  *filters;

    filters = weir_arena_alloc(&ctx->arena, (ctx->wmcf->plugins.nelts + 1)
                                            * sizeof(weir_filter_t));
    if (filters == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    switch (ngx_http_weir_collect_filters(r, ctx, filters, &n, 0)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        return NGX_OK;

    default:
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        if (filters[i].table->flags & WEIR_FILTER_MUST_SEE) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* answers come down the stages */

static ngx_int_t
ngx_http_weir_collect_filters(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, weir_filter_t *filters, ngx_uint_t *n,
    ngx_uint_t error)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    const ngx_http_weir_plugin_t  **p;

    p = ctx->wmcf->plugins.elts;

    for (i = ctx->wmcf->plugins.nelts; i > 0; i--) {

        if (p[i - 1]->open_filter == NULL
            || !(ctx->slots[i - 1].wants & NGX_HTTP_WEIR_NEEDS_RESPONSE)
            || (error && p[i - 1]->stage != NGX_HTTP_WEIR_STAGE_TRANSLATE))
        {
            continue;
        }

        rc = p[i - 1]->open_filter(r, &ctx->public, &filters[*n],
                                   p[i - 1]->data);

        if (rc == NGX_OK) {
            (*n)++;
            continue;
        }

        if (rc == NGX_DECLINED) {
            continue;
        }

        if (ngx_http_weir_verdict(ctx, p[i - 1], rc) != NGX_OK) {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_answer_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in)
{
    if (ctx->ended) {
        ngx_http_weir_consume(in);

        return ngx_http_weir_next_body(r, ctx, NULL);
    }

    if (ctx->watching) {
        return ngx_http_weir_watch(r, ctx, in);
    }

    return ngx_http_weir_transform(r, ctx, in);
}


static ngx_int_t
ngx_http_weir_watch(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (ctx->judging) {
        rc = ngx_http_weir_judge(r, ctx, &in);

        if (rc == NGX_AGAIN) {
            return NGX_OK;
        }

        if (rc == NGX_ABORT) {
            ctx->cut = 1;
            return ngx_http_weir_send_cut(r, ctx, in);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    for (cl = in; cl; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b) && b->last > b->pos
            && weir_pipeline_feed(ctx->pipeline, (char *) b->pos,
                                  b->last - b->pos)
               != WEIR_OK)
        {
            return NGX_ERROR;
        }

        if (b->last_buf) {
            ctx->public.complete = 1;

            if (ngx_http_weir_finish(ctx, WEIR_END_COMPLETE) == NGX_ERROR) {
                return NGX_ERROR;
            }

            /* as a rule nothing is missing */

            if (ctx->out == NULL && !weir_pipeline_broken(ctx->pipeline)) {
                ctx->ended = 1;
                break;
            }

            return ngx_http_weir_watch_end(r, ctx, in, cl);
        }

        if (ngx_http_weir_was_cut(r, b)) {

            if (ngx_http_weir_finish(ctx, WEIR_END_CUT) == NGX_ERROR) {
                return NGX_ERROR;
            }

            return ngx_http_weir_watch_end(r, ctx, in, cl);
        }

        if (weir_pipeline_ended(ctx->pipeline)) {
            return ngx_http_weir_watch_end(r, ctx, in, cl);
        }
    }

    ngx_http_weir_look(r, ctx);

    return ngx_http_weir_next_body(r, ctx, in);
}


/*
 * The answer ends with the buffer of "last": what is behind it is not the
 * client's, and what the pipeline has written goes before the end.
 */

static ngx_int_t
ngx_http_weir_watch_end(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_chain_t *in, ngx_chain_t *last)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl, *head, *tail, *ending;

    ending = ctx->out;
    tail = ctx->out_last;

    ctx->out = NULL;
    ctx->out_last = NULL;

    for (head = in; head; head = head->next) {
        b = head->buf;

        if (b->last_buf) {
            b->last_buf = 0;
            b->last_in_chain = 0;
        }

        if (ngx_buf_size(b) || b->flush || b->sync) {
            cl = ngx_alloc_chain_link(r->pool);
            if (cl == NULL) {
                return NGX_ERROR;
            }

            cl->buf = b;
            ngx_http_weir_append(ctx, cl);
        }

        if (head == last) {
            break;
        }
    }

    ngx_http_weir_consume(last->next);

    if (ending) {
        if (ctx->out_last) {
            ctx->out_last->next = ending;

        } else {
            ctx->out = ending;
        }

        ctx->out_last = tail;
    }

    if (ngx_http_weir_add_last(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_weir_look(r, ctx);

    return ngx_http_weir_send_out(r, ctx);
}


/*
 * Input stays where it is, unconsumed, while the client does not take the
 * output: so the upstream stops sending.
 */

static ngx_int_t
ngx_http_weir_transform(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_int_t     rc;
    ngx_chain_t  *cl;

    if (in && ngx_chain_add_copy(r->pool, &ctx->in, in) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->answering) {
        r->buffered |= NGX_HTTP_WEIR_BUFFERED;

        rc = ngx_http_weir_send_out(r, ctx);

        return (rc == NGX_ERROR) ? NGX_ERROR : NGX_AGAIN;
    }

    /* while a verdict is awaited the end is still to come */

    if (!ctx->finishing) {
        r->buffered &= ~NGX_HTTP_WEIR_BUFFERED;
    }

    rc = NGX_OK;

    if (ctx->in == NULL) {
        return ngx_http_weir_send_out(r, ctx);
    }

    while (ctx->in) {

        if (ctx->busy) {
            rc = ngx_http_weir_send_out(r, ctx);

            if (rc == NGX_ERROR) {
                return NGX_ERROR;
            }

            if (ctx->busy) {
                r->buffered |= NGX_HTTP_WEIR_BUFFERED;
                return NGX_AGAIN;
            }
        }

        if (weir_pipeline_waiting(ctx->pipeline)
            || !ngx_http_weir_turn(ctx)
            || ngx_http_weir_answer_on_thread(ctx, NGX_HTTP_WEIR_ANSWER_FEED)
               == NGX_AGAIN)
        {
            r->buffered |= NGX_HTTP_WEIR_BUFFERED;
            return NGX_AGAIN;
        }

        ctx->made = 0;

        do {
            cl = ctx->in;

            switch (ngx_http_weir_take(r, ctx, cl->buf)) {

            case NGX_OK:
                ctx->in = cl->next;
                ngx_free_chain(r->pool, cl);
                break;

            case NGX_AGAIN:
                break;

            default:
                return NGX_ERROR;
            }

            if (ctx->ended) {
                ngx_http_weir_consume(ctx->in);
                ctx->in = NULL;
            }

        } while (ctx->in && ctx->made < NGX_HTTP_WEIR_ENOUGH
                 && !ngx_http_weir_should_rest(ctx));

        ngx_http_weir_look(r, ctx);

        rc = ngx_http_weir_send_out(r, ctx);

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }
    }

    return rc;
}


/* whether what comes next may be another turn's, a thread's, or a waker's */

static ngx_uint_t
ngx_http_weir_should_rest(ngx_http_weir_core_ctx_t *ctx)
{
    return !ngx_http_weir_in_time(ctx)
           || weir_pipeline_waiting(ctx->pipeline)
           || weir_pipeline_load(ctx->pipeline, 0) > NGX_HTTP_WEIR_PIECE
           || (ctx->collects && ctx->in->buf->last_buf);
}


/*
 * One piece of one buffer of the input.  NGX_OK: it is free again afterwards;
 * NGX_AGAIN: there is more in it.
 */

static ngx_int_t
ngx_http_weir_take(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_buf_t *b)
{
    size_t        size;
    ngx_uint_t    cut;
    ngx_chain_t  *cl;

    cut = ngx_http_weir_was_cut(r, b);

    if (ngx_buf_in_memory(b) && b->last > b->pos) {

        size = ngx_min(b->last - b->pos, NGX_HTTP_WEIR_PIECE);

        if (weir_pipeline_feed(ctx->pipeline, (char *) b->pos, size)
            != WEIR_OK)
        {
            return NGX_ERROR;
        }

        b->pos += size;
        ctx->wmcf->turn_bytes += size;

        if (b->pos < b->last && !ngx_http_weir_over(ctx)) {
            return NGX_AGAIN;
        }

        b->pos = b->last;
        b->file_pos = b->file_last;

        /* buffered proxying marks its pieces "recycled", not "flush" */

        if ((b->flush || b->recycled || ctx->public.stream) && ctx->out_last) {
            ctx->out_last->buf->flush = 1;
        }

    } else if ((b->flush || b->sync) && !b->last_buf && !cut
               && !ctx->header_held)
    {

        /* the header is waiting, for one */

        cl = ngx_alloc_chain_link(r->pool);
        if (cl == NULL) {
            return NGX_ERROR;
        }

        cl->buf = b;
        ngx_http_weir_append(ctx, cl);
    }

    if (b->last_buf) {
        ctx->public.complete = 1;
    }

    if (b->last_buf || cut) {
        switch (ngx_http_weir_finish(ctx, cut ? WEIR_END_CUT
                                              : WEIR_END_COMPLETE))
        {
        case NGX_OK:
            return ngx_http_weir_add_last(r, ctx);

        case NGX_AGAIN:
            r->buffered |= NGX_HTTP_WEIR_BUFFERED;
            return NGX_OK;

        default:
            return NGX_ERROR;
        }
    }

    return ngx_http_weir_over(ctx) ? ngx_http_weir_add_last(r, ctx) : NGX_OK;
}


/* the answer's last byte is written, or none can be any more */

ngx_uint_t
ngx_http_weir_over(ngx_http_weir_core_ctx_t *ctx)
{
    return weir_pipeline_ended(ctx->pipeline)
           || weir_pipeline_stopped(ctx->pipeline)
           || weir_pipeline_broken(ctx->pipeline);
}


/* NGX_AGAIN: a filter waits for a verdict */

static ngx_int_t
ngx_http_weir_finish(ngx_http_weir_core_ctx_t *ctx, weir_end_t why)
{
    if (why == WEIR_END_CUT) {
        ctx->cut = 1;
    }

    switch (weir_pipeline_finish(ctx->pipeline, why)) {

    case WEIR_OK:
        return NGX_OK;

    case WEIR_ERR_BUSY:
        ctx->finishing = 1;
        return NGX_AGAIN;

    default:
        return NGX_ERROR;
    }
}


/* ends the body, in the same write as its last piece where that is possible */

static ngx_int_t
ngx_http_weir_add_last(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_buf_t          *b;
    ngx_chain_t        *cl;
    const weir_stop_t  *stop;

    ctx->ended = 1;
    ctx->finishing = 0;

    stop = weir_pipeline_stopped(ctx->pipeline);

    if (ctx->cut || stop) {
        r->keepalive = 0;
    }

    if (stop) {
        ctx->public.stopped = 1;
    }

    if (stop || !ctx->public.complete) {
        ngx_http_weir_end_upstream(ctx, stop ? 0 : NGX_HTTP_WEIR_LINGER);
    }

    if (weir_pipeline_broken(ctx->pipeline)) {

        /* a client must not take the answer for a whole one */

        r->keepalive = 0;
        ctx->broken = 1;

        if (ctx->out_last) {
            ctx->out_last->buf->flush = 1;
        }

        return NGX_OK;
    }

    b = ctx->out_last ? ctx->out_last->buf : NULL;

    if (b == NULL || b->tag != (ngx_buf_tag_t) &ngx_http_weir_core_module) {
        b = ngx_calloc_buf(r->pool);
        cl = ngx_alloc_chain_link(r->pool);

        if (b == NULL || cl == NULL) {
            return NGX_ERROR;
        }

        cl->buf = b;
        ngx_http_weir_append(ctx, cl);
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    return NGX_OK;
}


void
ngx_http_weir_look(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    if (ctx->public.ttft < 0 && weir_usage_of(ctx->usage)->first_content) {
        ctx->public.ttft = ngx_http_weir_elapsed(r);
    }
}


/* an upstream's only buffer becomes free again */

static void
ngx_http_weir_consume(ngx_chain_t *in)
{
    for ( /* void */ ; in; in = in->next) {
        in->buf->pos = in->buf->last;
        in->buf->file_pos = in->buf->file_last;
    }
}


/* a verdict that a filter waited for is there, or the answer was stopped */

ngx_int_t
ngx_http_weir_pump(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    if (!ctx->ended && ngx_http_weir_over(ctx)) {
        ngx_http_weir_consume(ctx->in);
        ctx->in = NULL;

        if (ngx_http_weir_add_last(r, ctx) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (ctx->ended) {
        r->buffered &= ~NGX_HTTP_WEIR_BUFFERED;
    }

    if (ctx->out_last) {
        ctx->out_last->buf->flush = 1;
    }

    return ngx_http_weir_send_out(r, ctx);
}
