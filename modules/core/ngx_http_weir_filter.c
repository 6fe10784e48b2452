
/*
 * Weir's core: the only header and body filter.  It reads the usage of answers
 * as they pass, without changing a byte, and puts error pages of NGINX and
 * errors of an upstream that are no JSON into OpenAI's shape.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


static ngx_int_t ngx_http_weir_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_weir_request_id_header(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_must_replace(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_replace(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_open_tap(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static void ngx_http_weir_read_hints(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_type_is(ngx_http_request_t *r,
    ngx_str_t *type);
static ngx_int_t ngx_http_weir_feed(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in);
static ngx_int_t ngx_http_weir_send_replacement(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in);


static ngx_str_t  ngx_http_weir_json_type = ngx_string("application/json");
static ngx_str_t  ngx_http_weir_sse_type = ngx_string("text/event-stream");

static ngx_str_t  ngx_http_weir_request_id_name = ngx_string("X-Request-Id");
static ngx_str_t  ngx_http_weir_prompt_name =
    ngx_string("X-Weir-Prompt-Tokens");
static ngx_str_t  ngx_http_weir_cached_name =
    ngx_string("X-Weir-Cached-Tokens");


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_weir_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_core_ctx_t       *ctx;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    if (r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);

    if (wlcf->enable) {
        ctx = ngx_http_weir_core_get_ctx(r);

        if (ctx == NULL) {
            return NGX_ERROR;
        }

    } else {
        ctx = ngx_http_weir_find_ctx(r);

        if (ctx == NULL) {
            return ngx_http_next_header_filter(r);
        }
    }

    if (ngx_http_weir_request_id_header(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->replace = 0;

    if (r->headers_out.status >= NGX_HTTP_BAD_REQUEST) {

        if (wlcf->enable
            && !ctx->refusing
            && ngx_http_weir_must_replace(r)
            && ngx_http_weir_replace(r, ctx) != NGX_OK)
        {
            return NGX_ERROR;
        }

        return ngx_http_next_header_filter(r);
    }

    if (ctx->public.governed
        && ngx_http_weir_open_tap(r, ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_weir_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_http_weir_core_ctx_t  *ctx;

    if (r != r->main || in == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_core_module);

    if (ctx == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->replace) {
        return ngx_http_weir_send_replacement(r, ctx, in);
    }

    if (ngx_http_weir_feed(r, ctx, in) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_next_body_filter(r, in);
}


static ngx_int_t
ngx_http_weir_request_id_header(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    ngx_table_elt_t  *h;

    /* the upstream's own: there is one id, and the usage line has it */

    for ( ;; ) {
        h = ngx_http_weir_find_header(&r->headers_out.headers,
                                      &ngx_http_weir_request_id_name);
        if (h == NULL) {
            break;
        }

        h->hash = 0;
    }

    return ngx_http_weir_add_header(r, &ngx_http_weir_request_id_name,
                                    &ctx->public.request_id);
}


/* an upstream's errors pass when they are JSON or a stream */

static ngx_uint_t
ngx_http_weir_must_replace(ngx_http_request_t *r)
{
    return !ngx_http_weir_type_is(r, &ngx_http_weir_json_type)
           && !ngx_http_weir_type_is(r, &ngx_http_weir_sse_type);
}


static ngx_int_t
ngx_http_weir_replace(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    if (ngx_http_weir_retry_headers(r, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_weir_status_body(r, ctx, r->headers_out.status, &ctx->error)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->replace = 1;
    ctx->replaced = 0;

    if (r->headers_out.content_encoding) {
        r->headers_out.content_encoding->hash = 0;
        r->headers_out.content_encoding = NULL;
    }

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    r->headers_out.content_type = ngx_http_weir_json_type;
    r->headers_out.content_type_len = ngx_http_weir_json_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);
    r->headers_out.content_length_n = ctx->error.len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_open_tap(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    weir_tap_kind_t  kind;

    if (ctx->tap || r->headers_out.status < NGX_HTTP_OK) {
        return NGX_OK;
    }

    if (ngx_http_weir_type_is(r, &ngx_http_weir_sse_type)) {
        kind = WEIR_TAP_SSE;
        ctx->public.stream = 1;

    } else if (ngx_http_weir_type_is(r, &ngx_http_weir_json_type)) {
        kind = WEIR_TAP_JSON;

    } else {
        return NGX_OK;
    }

    ngx_http_weir_read_hints(r, ctx);

    if (r->header_only) {
        return NGX_OK;
    }

    if (r->headers_out.content_encoding
        && r->headers_out.content_encoding->value.len)
    {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "the answer is encoded as \"%V\": its usage cannot be "
                      "read; clear Accept-Encoding towards the upstream",
                      &r->headers_out.content_encoding->value);
        return NGX_OK;
    }

    if (weir_usage_tap_open(&ctx->arena, kind, ctx->wmcf->max_event,
                            &ctx->tap)
        != WEIR_OK)
    {
        return NGX_ERROR;
    }

    r->filter_need_in_memory = 1;

    return NGX_OK;
}


/* our engine tells these before the first token, for streams that are cut */

static void
ngx_http_weir_read_hints(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_int_t         n;
    ngx_list_t       *headers;
    ngx_table_elt_t  *h;

    headers = r->upstream ? &r->upstream->headers_in.headers
                          : &r->headers_out.headers;

    h = ngx_http_weir_find_header(headers, &ngx_http_weir_prompt_name);
    if (h == NULL) {
        return;
    }

    n = ngx_atoi(h->value.data, h->value.len);
    if (n == NGX_ERROR) {
        return;
    }

    ctx->hinted = 1;
    ctx->public.usage = NGX_HTTP_WEIR_USAGE_COUNTED;
    ctx->public.prompt_tokens = n;

    h = ngx_http_weir_find_header(headers, &ngx_http_weir_cached_name);
    if (h == NULL) {
        return;
    }

    n = ngx_atoi(h->value.data, h->value.len);

    if (n != NGX_ERROR && (uint64_t) n <= ctx->public.prompt_tokens) {
        ctx->public.cached_tokens = n;
    }
}


static ngx_uint_t
ngx_http_weir_type_is(ngx_http_request_t *r, ngx_str_t *type)
{
    u_char      ch;
    ngx_str_t  *value;

    value = &r->headers_out.content_type;

    if (value->len < type->len
        || ngx_strncasecmp(value->data, type->data, type->len) != 0)
    {
        return 0;
    }

    if (value->len == type->len) {
        return 1;
    }

    ch = value->data[type->len];

    return ch == ';' || ch == ' ' || ch == '\t';
}


static ngx_int_t
ngx_http_weir_feed(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_buf_t                *b;
    weir_status_t             rc;
    const weir_tap_result_t  *result;

    for ( /* void */ ; in; in = in->next) {
        b = in->buf;

        if (ctx->tap && ngx_buf_in_memory(b) && b->last > b->pos) {

            rc = weir_usage_tap_feed(ctx->tap, (const char *) b->pos,
                                     b->last - b->pos);
            if (rc != WEIR_OK) {
                return NGX_ERROR;
            }
        }

        if (b->last_buf) {
            ctx->public.complete = 1;

            if (ctx->tap && weir_usage_tap_finish(ctx->tap) != WEIR_OK) {
                return NGX_ERROR;
            }
        }
    }

    if (ctx->tap && ctx->public.ttft < 0) {
        result = weir_usage_tap_result(ctx->tap);

        if (result->first_content) {
            ctx->public.ttft = ngx_http_weir_elapsed(r);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_send_replacement(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in)
{
    ngx_buf_t    *b;
    ngx_chain_t  *cl;
    ngx_chain_t   out;

    /* consumed, so that an upstream's only buffer becomes free again */

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;

        if (cl->buf->last_buf) {
            ctx->public.complete = 1;
        }
    }

    if (ctx->replaced) {
        return ngx_http_next_body_filter(r, NULL);
    }

    /* the body is ours: it is whole, whether the upstream's is or not */

    ctx->replaced = 1;

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = ctx->error.data;
    b->last = ctx->error.data + ctx->error.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_next_body_filter(r, &out);
}


void
ngx_http_weir_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_body_filter;
}


void
ngx_http_weir_stop(ngx_http_weir_ctx_t *public, weir_stop_reason_t how,
    const ngx_http_weir_refusal_t *why)
{
}


void
ngx_http_weir_wake(ngx_http_weir_ctx_t *public)
{
}
