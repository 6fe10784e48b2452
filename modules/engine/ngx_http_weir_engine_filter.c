
/*
 * Weir: NGINX's own refusals in an engine location (a body that is too large
 * or malformed, a failed allocation) in OpenAI's shape instead of HTML.
 */


#include "ngx_http_weir_engine.h"


static ngx_int_t ngx_http_weir_engine_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_engine_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_buf_t *ngx_http_weir_engine_replacement(ngx_http_request_t *r);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_weir_engine_header_filter(ngx_http_request_t *r)
{
    ngx_buf_t                   *b;
    ngx_http_core_loc_conf_t    *clcf;
    ngx_http_weir_engine_ctx_t  *ctx;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->handler != ngx_http_weir_engine_handler
        || r != r->main
        || r->headers_out.status < NGX_HTTP_BAD_REQUEST)
    {
        return ngx_http_next_header_filter(r);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_engine_module);

    if (ctx == NULL) {

        /* refused before the handler ran; for the filters and the metrics */

        ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_engine_ctx_t));
        if (ctx == NULL) {
            return NGX_ERROR;
        }

        ctx->wmcf = ngx_http_get_module_main_conf(r,
                                                  ngx_http_weir_engine_module);
        ctx->request = r;
        ctx->route = NGX_HTTP_WEIR_ENGINE_OTHER;

        ngx_http_set_ctx(r, ctx, ngx_http_weir_engine_module);
    }

    if (ctx->own) {
        return ngx_http_next_header_filter(r);
    }

    b = ngx_http_weir_engine_replacement(r);
    if (b == NULL) {
        return NGX_ERROR;
    }

    ctx->replacement = b;

    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);
    ngx_http_clear_content_length(r);

    r->headers_out.content_length_n = b->last - b->pos;

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_weir_engine_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                 *cl, out;
    ngx_http_weir_engine_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_engine_module);

    if (ctx == NULL || ctx->replacement == NULL || in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }

    if (ctx->replaced) {
        return NGX_OK;
    }

    ctx->replaced = 1;

    out.buf = ctx->replacement;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}


static ngx_buf_t *
ngx_http_weir_engine_replacement(ngx_http_request_t *r)
{
    char          *code, *message;
    ngx_buf_t     *b;
    ngx_uint_t     status;
    weir_buf_t     text;
    weir_arena_t   arena;

    status = r->headers_out.status;
    code = NULL;

    switch (status) {

    case NGX_HTTP_BAD_REQUEST:
        message = "The request is not valid HTTP";
        code = "bad_request";
        break;

    case NGX_HTTP_FORBIDDEN:
        message = "Access to this engine is forbidden";
        code = "forbidden";
        break;

    case NGX_HTTP_REQUEST_TIME_OUT:
        message = "The request did not arrive in time";
        code = "timeout";
        break;

    case NGX_HTTP_REQUEST_ENTITY_TOO_LARGE:
        message = "The request's body is larger than this engine takes "
                  "(client_max_body_size)";
        code = "request_too_large";
        break;

    case NGX_HTTP_TOO_MANY_REQUESTS:
        message = "Too many requests";
        break;

    default:
        message = (status >= NGX_HTTP_INTERNAL_SERVER_ERROR)
                  ? "The engine could not handle the request; its error log "
                    "says why"
                  : "The request was refused";
    }

    weir_arena_init(&arena, 1024, 0);
    weir_buf_init(&text, &arena);
    weir_api_write_error_text(&text, (int) status, message, NULL, code);

    b = text.failed ? NULL : ngx_create_temp_buf(r->pool, text.len);

    if (b) {
        b->last = ngx_cpymem(b->last, text.data, text.len);
        b->last_buf = 1;
        b->last_in_chain = 1;
    }

    weir_arena_free(&arena);

    return b;
}


void
ngx_http_weir_engine_filter_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_engine_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_engine_body_filter;
}
