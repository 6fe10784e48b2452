
/*
 * Weir's core: answers whose status says success and whose content does not,
 * or that are of another kind than what was asked for.  Clients look at the
 * status and at nothing else.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"

#include "lua-free-filters/error_document.h"


static ngx_int_t ngx_http_weir_judge_chain(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t **in);
static ngx_int_t ngx_http_weir_judge_bytes(ngx_http_weir_core_ctx_t *ctx,
    u_char *data, size_t len);


/*
 * The header of a document that passes in NGINX's own buffers waits until its
 * first bytes tell that it is no error; then *in is what is to be passed on.
 * NGX_AGAIN: they have not all come yet, nothing is to be passed on.
 * NGX_ABORT: nor will they, the upstream has broken off.
 */

ngx_int_t
ngx_http_weir_judge(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_chain_t **in)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    rc = ngx_http_weir_judge_chain(r, ctx, in);

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->judging = 0;

    rc = ngx_http_weir_send_held_header(r, ctx);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->judged.len == 0) {
        return NGX_OK;
    }

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->judged.data;
    b->last = b->pos + ctx->judged.len;
    b->memory = 1;
    b->flush = 1;

    cl->buf = b;
    cl->next = *in;

    *in = cl;

    return NGX_OK;
}


/* as a rule the first buffer tells; else the bytes are kept and it is free */

static ngx_int_t
ngx_http_weir_judge_chain(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t **in)
{
    size_t        size;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    for (cl = *in; cl; cl = cl->next) {
        b = cl->buf;
        size = ngx_buf_in_memory(b) ? b->last - b->pos : 0;

        if (ngx_http_weir_was_cut(r, b)) {
            return NGX_ABORT;
        }

        if (size) {

            if (ctx->judged.len == 0) {

                if (ngx_http_weir_judge_bytes(ctx, b->pos, size) == NGX_OK) {
                    *in = cl;
                    return NGX_OK;
                }

                ctx->judged.data = ngx_pnalloc(r->pool,
                                               WEIR_ERROR_DOCUMENT_BYTES);
                if (ctx->judged.data == NULL) {
                    return NGX_ERROR;
                }
            }

            size = ngx_min(size,
                           WEIR_ERROR_DOCUMENT_BYTES - ctx->judged.len);

            ngx_memcpy(ctx->judged.data + ctx->judged.len, b->pos, size);
            ctx->judged.len += size;
            b->pos += size;

            if (b->in_file) {
                b->file_pos += size;
            }

            if (ngx_http_weir_judge_bytes(ctx, ctx->judged.data,
                                          ctx->judged.len)
                == NGX_OK)
            {
                /* an empty buffer must not go on, unless it says something */

                *in = (b->pos == b->last && !b->last_buf) ? cl->next : cl;
                return NGX_OK;
            }
        }

        if (b->last_buf) {
            *in = cl;
            return NGX_OK;
        }
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_http_weir_judge_bytes(ngx_http_weir_core_ctx_t *ctx, u_char *data,
    size_t len)
{
    switch (weir_error_document((char *) data, len)) {

    case WEIR_ERROR_DOCUMENT_YES:
        ctx->told_error = 1;
        return NGX_OK;

    case WEIR_ERROR_DOCUMENT_NO:
        return NGX_OK;

    default: /* WEIR_ERROR_DOCUMENT_MORE */
        return NGX_AGAIN;
    }
}


/* whether the document that the pipeline has read whole is an error */

ngx_uint_t
ngx_http_weir_is_error(ngx_http_weir_core_ctx_t *ctx)
{
    const weir_usage_t  *usage;

    if (ctx->told_error) {
        return 1;
    }

    if (ctx->usage == NULL) {
        return 0;
    }

    usage = weir_usage_of(ctx->usage);

    /* a response that has failed is an answer: it has an id, and a status */

    return usage->error && usage->id.len == 0 && !usage->first_content;
}


/*
 * Nobody who has not asked for a stream can read one: a client takes it for a
 * text that is no JSON.  NGX_DECLINED: refused.
 */

ngx_int_t
ngx_http_weir_check_unasked(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    static const ngx_http_weir_refusal_t  unasked =
        ngx_http_weir_final_refusal(NGX_HTTP_BAD_GATEWAY, "server_error",
                                    "unexpected_stream",
                                    "The model server answered with an event "
                                    "stream, which the request did not ask "
                                    "for.",
                                    "unexpected_stream");

    if (ctx->public.endpoint.why != WEIR_UNDERSTOOD
        || ctx->public.view == NULL
        || ctx->view.stream
        || r->upstream == NULL)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "upstream sent an event stream that was not asked for");

    ngx_http_weir_end_upstream(ctx, 0);

    ctx->public.refusal = &unasked;

    return NGX_DECLINED;
}


/*
 * An upstream that broke off is finalized without a last buffer: all that
 * comes is a flush.
 */

ngx_uint_t
ngx_http_weir_was_cut(ngx_http_request_t *r, ngx_buf_t *b)
{
    return b->flush && !b->last_buf && ngx_buf_size(b) == 0
           && r->upstream && r->upstream->cleanup == NULL;
}
