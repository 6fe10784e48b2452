
/*
 * Weir: bytes to the client.  A stream's frames are gathered in buffers of
 * the request that are used again once they have been sent.
 */


#include "ngx_http_weir_engine.h"


#define NGX_HTTP_WEIR_ENGINE_BUFFER  4096


static void ngx_http_weir_engine_write_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_engine_output(ngx_http_weir_engine_ctx_t *ctx,
    ngx_chain_t *out);
static ngx_int_t ngx_http_weir_engine_add_buffer(
    ngx_http_weir_engine_ctx_t *ctx);


/* from now on notice when the client goes away; r may be gone afterwards */

void
ngx_http_weir_engine_watch(ngx_http_request_t *r)
{
    ngx_connection_t          *c;
    ngx_http_core_loc_conf_t  *clcf;

    c = r->connection;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_weir_engine_write_handler;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->tcp_nodelay && ngx_tcp_nodelay(c) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    /* an end that came while the body was read makes no further event */

    if (c->read->pending_eof || c->read->ready) {
        ngx_post_event(c->read, &ngx_posted_events);
    }
}


ngx_int_t
ngx_http_weir_engine_append(ngx_http_weir_engine_ctx_t *ctx,
    weir_buf_t *bytes)
{
    char       *p;
    size_t      len, n;
    ngx_buf_t  *b;

    p = bytes->data;
    len = bytes->len;

    ctx->pending += len;

    while (len) {
        b = ctx->tail ? ctx->tail->buf : NULL;

        if (b == NULL || b->last == b->end) {
            if (ngx_http_weir_engine_add_buffer(ctx) != NGX_OK) {
                return NGX_ERROR;
            }

            b = ctx->tail->buf;
        }

        n = ngx_min(len, (size_t) (b->end - b->last));

        b->last = ngx_cpymem(b->last, p, n);
        p += n;
        len -= n;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_engine_add_buffer(ngx_http_weir_engine_ctx_t *ctx)
{
    ngx_buf_t           *b;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = ctx->request;

    cl = ngx_chain_get_free_buf(r->pool, &ctx->free);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    b = cl->buf;

    if (b->start == NULL) {
        b->start = ngx_palloc(r->pool, NGX_HTTP_WEIR_ENGINE_BUFFER);
        if (b->start == NULL) {
            return NGX_ERROR;
        }

        b->end = b->start + NGX_HTTP_WEIR_ENGINE_BUFFER;
        b->tag = (ngx_buf_tag_t) &ngx_http_weir_engine_module;
    }

    b->pos = b->start;
    b->last = b->start;
    b->temporary = 1;
    b->flush = 0;
    b->last_buf = 0;
    b->last_in_chain = 0;

    cl->next = NULL;

    if (ctx->tail) {
        ctx->tail->next = cl;

    } else {
        ctx->out = cl;
    }

    ctx->tail = cl;

    return NGX_OK;
}


/* sends what has been appended; last also ends and finalizes the request */

ngx_int_t
ngx_http_weir_engine_flush(ngx_http_weir_engine_ctx_t *ctx, ngx_uint_t last)
{
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    r = ctx->request;
    out = ctx->out;

    if (out == NULL) {
        return NGX_OK;
    }

    ctx->tail->buf->flush = 1;
    ctx->tail->buf->last_in_chain = 1;
    ctx->tail->buf->last_buf = last;

    ctx->out = NULL;
    ctx->tail = NULL;
    ctx->last_sent = ngx_current_msec;

    if (last) {
        ctx->done = 1;

        if (ctx->timer.timer_set) {
            ngx_del_timer(&ctx->timer);
        }
    }

    rc = ngx_http_weir_engine_output(ctx, out);

    if (last || rc == NGX_ERROR) {
        ngx_http_finalize_request(r, rc);
        return NGX_DONE;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_engine_output(ngx_http_weir_engine_ctx_t *ctx, ngx_chain_t *out)
{
    ngx_int_t                  rc;
    ngx_chain_t               *cl;
    ngx_event_t               *wev;
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = ctx->request;
    c = r->connection;
    wev = c->write;

    rc = ngx_http_output_filter(r, out);

    ngx_chain_update_chains(r->pool, &ctx->free, &ctx->busy, &out,
                            (ngx_buf_tag_t) &ngx_http_weir_engine_module);

    if (rc == NGX_ERROR || ctx->done) {
        return rc;
    }

    ctx->pending = 0;

    for (cl = ctx->busy; cl; cl = cl->next) {
        ctx->pending += ngx_buf_size(cl->buf);
    }

    if (ctx->pending > ctx->wmcf->request_memory) {
        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "client reads too slowly: %uz bytes wait for it, "
                      "request_memory allows %uz", ctx->pending,
                      ctx->wmcf->request_memory);

        ctx->wmcf->metrics.slow_clients++;

        return NGX_ERROR;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->buffered || c->buffered) {

        if (!wev->delayed && !wev->timer_set) {
            ngx_add_timer(wev, clcf->send_timeout);
        }

    } else if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_weir_engine_write_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_event_t                 *wev;
    ngx_connection_t            *c;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_weir_engine_ctx_t  *ctx;

    c = r->connection;
    wev = c->write;

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                      "client timed out");
        c->timedout = 1;
        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (wev->delayed) {
        if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
        }

        return;
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_engine_module);

    if (ctx->busy == NULL) {
        return;
    }

    /* the timer is for each stretch without progress, not for the whole */

    if (wev->timer_set) {
        ngx_del_timer(wev);
    }

    rc = ngx_http_weir_engine_output(ctx, NULL);

    if (rc == NGX_ERROR) {
        ngx_http_finalize_request(r, rc);
    }
}
