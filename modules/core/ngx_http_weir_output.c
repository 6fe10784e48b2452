
/*
 * Weir's core: the buffers that the pipeline's output is copied into, and how
 * they leave.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


#define NGX_HTTP_WEIR_EVENT_BUFFER  2048
#define NGX_HTTP_WEIR_BODY_BUFFER   16384


/* leaves in one turn of the event loop */

#define NGX_HTTP_WEIR_AT_ONCE       262144


static ngx_buf_t *ngx_http_weir_get_buf(ngx_http_weir_core_ctx_t *ctx,
    size_t len);
static ngx_chain_t *ngx_http_weir_detach(ngx_http_weir_core_ctx_t *ctx);


/* the pipeline's output: into ctx->out */

weir_status_t
ngx_http_weir_write(void *data, const char *text, size_t len, bool stable)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    size_t      n;
    ngx_buf_t  *b;

    if (ctx->answering) {
        return ngx_http_weir_write_block(ctx, text, len);
    }

    ctx->made += len;

    while (len) {
        b = ngx_http_weir_get_buf(ctx, len);
        if (b == NULL) {
            return WEIR_ERR_NOMEM;
        }

        n = ngx_min(len, (size_t) (b->end - b->last));

        b->last = ngx_cpymem(b->last, text, n);

        text += n;
        len -= n;
    }

    return WEIR_OK;
}


/* the last buffer of ctx->out while it has room, else a new last one */

static ngx_buf_t *
ngx_http_weir_get_buf(ngx_http_weir_core_ctx_t *ctx, size_t len)
{
    size_t               size;
    ngx_buf_t           *b;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->out_last) {
        b = ctx->out_last->buf;

        if (b->tag == (ngx_buf_tag_t) &ngx_http_weir_core_module
            && b->last < b->end)
        {
            return b;
        }
    }

    cl = ngx_chain_get_free_buf(r->pool, &ctx->free);
    if (cl == NULL) {
        return NULL;
    }

    b = cl->buf;

    if (b->start == NULL) {
        size = (len > NGX_HTTP_WEIR_EVENT_BUFFER) ? NGX_HTTP_WEIR_BODY_BUFFER
                                                  : NGX_HTTP_WEIR_EVENT_BUFFER;

        b->start = ngx_palloc(r->pool, size);
        if (b->start == NULL) {
            return NULL;
        }

        b->end = b->start + size;
        b->temporary = 1;
        b->tag = (ngx_buf_tag_t) &ngx_http_weir_core_module;
    }

    b->pos = b->start;
    b->last = b->start;
    b->flush = 0;
    b->last_buf = 0;
    b->last_in_chain = 0;

    ngx_http_weir_append(ctx, cl);

    return b;
}


void
ngx_http_weir_append(ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *cl)
{
    cl->next = NULL;

    if (ctx->out_last) {
        ctx->out_last->next = cl;

    } else {
        ctx->out = cl;
    }

    ctx->out_last = cl;
}


/* what the pipeline has made so far, or NULL for what is on its way */

ngx_int_t
ngx_http_weir_send_out(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_int_t     rc;
    ngx_chain_t  *out;

    if (ctx->header_held) {

        if (ctx->out == NULL) {
            return NGX_OK;
        }

        rc = ngx_http_weir_send_held_header(r, ctx);

        if (rc == NGX_ERROR || rc > NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* detached first: a later filter may call back */

    out = ngx_http_weir_detach(ctx);

    rc = ngx_http_weir_next_body(r, ctx, out);

    ngx_chain_update_chains(r->pool, &ctx->free, &ctx->busy, &out,
                            (ngx_buf_tag_t) &ngx_http_weir_core_module);

    ngx_http_weir_free_blocks(ctx, 0);

    if (ctx->out && rc != NGX_ERROR) {
        r->buffered |= NGX_HTTP_WEIR_BUFFERED;

        ngx_http_weir_next_turn(ctx);
    }

    return rc;
}


/* what is to leave now; megabytes leave in more than one turn */

static ngx_chain_t *
ngx_http_weir_detach(ngx_http_weir_core_ctx_t *ctx)
{
    off_t         size;
    ngx_chain_t  *cl, *out;

    if (ctx->turn.posted) {
        return NULL;
    }

    out = ctx->out;
    size = 0;

    for (cl = out; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);

        if (size >= NGX_HTTP_WEIR_AT_ONCE && cl->next) {
            ctx->out = cl->next;
            cl->next = NULL;
            return out;
        }
    }

    ctx->out = NULL;
    ctx->out_last = NULL;

    return out;
}
