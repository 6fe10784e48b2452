
/*
 * Weir's core: the only header and body filter.  It reads the usage of answers
 * as they pass, runs them through the plugins' filters, and puts error pages of
 * NGINX and errors of an upstream that are no JSON into the caller's shape.
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
static void ngx_http_weir_check_too_large(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_must_replace(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_replace(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, const ngx_http_weir_refusal_t *why);
static ngx_int_t ngx_http_weir_open(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_shapes_errors(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_change_headers(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_uint_t sse);
static void ngx_http_weir_read_hints(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);


static ngx_str_t  ngx_http_weir_json_type = ngx_string("application/json");
static ngx_str_t  ngx_http_weir_sse_type = ngx_string("text/event-stream");

static ngx_str_t  ngx_http_weir_request_id_name = ngx_string("X-Request-Id");
static ngx_str_t  ngx_http_weir_anthropic_id_name = ngx_string("Request-Id");
static ngx_str_t  ngx_http_weir_prompt_name =
    ngx_string("X-Weir-Prompt-Tokens");
static ngx_str_t  ngx_http_weir_cached_name =
    ngx_string("X-Weir-Cached-Tokens");


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


static ngx_int_t
ngx_http_weir_header_filter(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
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

    if (!ctx->public.governed && r->unparsed_uri.len) {

        /* refused by NGINX before it came to us: whose client is it? */

        ngx_http_weir_recognise(ctx);
    }

    if (ngx_http_weir_request_id_header(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    ctx->replace = 0;

    if (ctx->answering) {

        /* the one that a thread is at cannot be replaced */

        return NGX_ERROR;
    }

    if (ctx->header_held) {

        /* another answer, in the place of the one whose header was held */

        ctx->header_held = 0;
        ctx->judging = 0;
        ctx->pipeline = NULL;
    }

    if (ctx->public.governed) {

        rc = ngx_http_weir_response_hooks(ctx);

        if (rc == NGX_OK && !ctx->refusing && !ctx->public.responded) {
            rc = ngx_http_weir_open(r, ctx);
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        /* the answer of another is not sent */

        if (rc != NGX_OK && !ctx->refusing) {
            ctx->pipeline = NULL;
            r->headers_out.status = ctx->public.refusal->status;
            r->headers_out.status_line.len = 0;

            if (ngx_http_weir_replace(r, ctx, ctx->public.refusal) != NGX_OK)
            {
                return NGX_ERROR;
            }

            return ngx_http_next_header_filter(r);
        }
    }

    if (r->err_status == NGX_HTTP_REQUEST_ENTITY_TOO_LARGE
        && wlcf->enable && !ctx->refusing)
    {
        ngx_http_weir_check_too_large(r, ctx);
    }

    if (r->headers_out.status >= NGX_HTTP_BAD_REQUEST
        && wlcf->enable
        && !ctx->refusing
        && ctx->pipeline == NULL
        && ngx_http_weir_must_replace(r)
        && ngx_http_weir_replace(r, ctx, NULL) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (wlcf->enable && !ctx->refusing && !ctx->replace
        && (r->headers_out.status == NGX_HTTP_TOO_MANY_REQUESTS
            || r->headers_out.status == NGX_HTTP_SERVICE_UNAVAILABLE)
        && ngx_http_weir_retry_headers(r, NULL) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->pipeline && !ctx->public.stream
        && (!ctx->watching || ctx->judging))
    {
        /* whether the document can be sent is known later */

        ctx->header_held = 1;
        return NGX_OK;
    }

    return ngx_http_next_header_filter(r);
}


/* the header of a document, when its body is known: an error has its status */

ngx_int_t
ngx_http_weir_send_held_header(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    ngx_uint_t          status, vain;
    const weir_stop_t  *stop;

    static const ngx_http_weir_refusal_t  not_again =
        ngx_http_weir_final_refusal(NGX_HTTP_BAD_GATEWAY, "", "", "", "");

    ctx->header_held = 0;

    status = 0;
    vain = 0;
    stop = weir_pipeline_stopped(ctx->pipeline);

    if (stop) {
        if (stop->reason == WEIR_STOP_ERROR) {
            status = stop->status ? stop->status : NGX_HTTP_BAD_GATEWAY;

            /* an answer that is whole, but not understood */

            vain = (status == NGX_HTTP_BAD_GATEWAY && !ctx->cut);
        }

    } else if (ctx->cut || ngx_http_weir_is_error(ctx)) {
        status = NGX_HTTP_BAD_GATEWAY;
    }

    if (status && r->headers_out.status < NGX_HTTP_BAD_REQUEST) {
        r->headers_out.status = status;
        r->headers_out.status_line.len = 0;

        if (ngx_http_weir_retry_headers(r, vain ? &not_again : NULL)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_next_header_filter(r);
}


/* the upstream has broken off, and nothing of its answer has left */

ngx_int_t
ngx_http_weir_send_cut(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_int_t  rc;

    ctx->cut = 1;
    ctx->header_held = 0;
    ctx->judging = 0;

    r->headers_out.status = NGX_HTTP_BAD_GATEWAY;
    r->headers_out.status_line.len = 0;

    if (ngx_http_weir_replace(r, ctx, NULL) != NGX_OK) {
        return NGX_ERROR;
    }

    rc = ngx_http_next_header_filter(r);

    if (rc == NGX_ERROR || rc > NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_weir_send_replacement(r, ctx, in);
}


static ngx_int_t
ngx_http_weir_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t               *cl;
    ngx_http_weir_core_ctx_t  *ctx;

    if (r != r->main) {
        return ngx_http_next_body_filter(r, in);
    }

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_core_module);

    if (ctx == NULL) {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->replace) {
        return ngx_http_weir_send_replacement(r, ctx, in);
    }

    if (ctx->pipeline) {
        return ngx_http_weir_answer_body(r, ctx, in);
    }

    for (cl = in; cl; cl = cl->next) {
        if (cl->buf->last_buf) {
            ctx->public.complete = 1;
        }
    }

    return ngx_http_next_body_filter(r, in);
}


ngx_int_t
ngx_http_weir_next_body(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_chain_t *in)
{
    return ngx_http_next_body_filter(r, in);
}


static ngx_int_t
ngx_http_weir_request_id_header(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_drop_headers(r, ctx);

    /* one name for OpenAI's clients, one for Anthropic's */

    if (ctx->public.endpoint.dialect == WEIR_DIALECT_ANTHROPIC
        && ngx_http_weir_add_header(r, &ngx_http_weir_anthropic_id_name,
                                    &ctx->public.request_id)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_weir_add_header(r, &ngx_http_weir_request_id_name,
                                    &ctx->public.request_id);
}


/*
 * A body over client_max_body_size: with a length NGINX refuses it as soon as
 * it knows the location, before any phase, else while it is read.  Such a
 * request was for a governed location, so it has its usage line, too.
 */

static void
ngx_http_weir_check_too_large(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    static const ngx_http_weir_refusal_t  too_large =
        ngx_http_weir_refusal(NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                              "invalid_request_error", "request_too_large",
                              "The request body is larger than the gateway "
                              "accepts.",
                              "body_too_large");

    /* an error of the upstream's that proxy_intercept_errors has taken */

    if (r->upstream && r->upstream->headers_in.status_n) {
        return;
    }

    if (!ctx->public.governed) {
        ngx_http_weir_govern(ctx);
    }

    if (ctx->public.refusal == NULL) {
        ctx->public.refusal = &too_large;
    }
}


/* an upstream's errors pass when they are JSON or a stream */

static ngx_uint_t
ngx_http_weir_must_replace(ngx_http_request_t *r)
{
    return !ngx_http_weir_type_is(r, &ngx_http_weir_json_type)
           && !ngx_http_weir_type_is(r, &ngx_http_weir_sse_type);
}


static ngx_int_t
ngx_http_weir_replace(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_refusal_t *why)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *h;

    static ngx_str_t  said[] = {
        ngx_string("X-Should-Retry"),
        ngx_string("Retry-After"),
        ngx_string("Retry-After-Ms")
    };

    if (why == NULL && ctx->public.governed) {
        ngx_http_weir_translate_status(r, &ctx->public);
    }

    if (why) {

        /* what the upstream has said about an answer that is not sent */

        for (i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
            h = ngx_http_weir_find_header(&r->headers_out.headers, &said[i]);

            if (h) {
                h->hash = 0;
            }
        }
    }

    if (ngx_http_weir_retry_headers(r, why) != NGX_OK) {
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


/* NGX_DECLINED: ctx->public.refusal says why the answer cannot pass */

static ngx_int_t
ngx_http_weir_open(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_int_t                       rc;
    ngx_uint_t                      sse, readable, status, error;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    status = r->headers_out.status;

    if (ctx->pipeline) {
        return NGX_OK;
    }

    rc = ngx_http_weir_check_upstream(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    sse = ngx_http_weir_type_is(r, &ngx_http_weir_sse_type);
    readable = sse || ngx_http_weir_type_is(r, &ngx_http_weir_json_type);

    rc = ngx_http_weir_check_readable(r, ctx, readable);
    if (rc != NGX_OK || !readable) {
        return rc;
    }

    error = (status >= NGX_HTTP_BAD_REQUEST);

    /* errors pass, but for those in another protocol or shape */

    if (error && ctx->public.upstream == ctx->public.endpoint.protocol
        && (sse || !ngx_http_weir_shapes_errors(r, ctx)))
    {
        return NGX_OK;
    }

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);

    if (!error && !wlcf->read_usage && !ctx->view.stream
        && !(ctx->needs & NGX_HTTP_WEIR_NEEDS_RESPONSE))
    {
        return NGX_OK;
    }

    if (sse && !error) {
        rc = ngx_http_weir_check_unasked(r, ctx);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    ngx_http_weir_read_hints(r, ctx);

    if (r->header_only || r->method == NGX_HTTP_HEAD
        || status == NGX_HTTP_NO_CONTENT || status == NGX_HTTP_NOT_MODIFIED)
    {
        return NGX_OK;
    }

    rc = ngx_http_weir_open_answer(r, ctx, sse, error);

    if (rc != NGX_OK || ctx->pipeline == NULL) {
        return rc;
    }

    ctx->good = !error;
    ctx->judging = (ctx->watching && !sse && !error
                    && ctx->public.endpoint.why == WEIR_UNDERSTOOD);

    return ngx_http_weir_change_headers(r, ctx, sse);
}


/*
 * Clients of Anthropic's read its errors only, and not all servers that have
 * its calls have those, too.
 */

static ngx_uint_t
ngx_http_weir_shapes_errors(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    return ctx->public.endpoint.dialect == WEIR_DIALECT_ANTHROPIC
           && r->upstream
           && r->headers_out.content_encoding == NULL;
}


static ngx_int_t
ngx_http_weir_change_headers(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_uint_t sse)
{
    static ngx_str_t  cache_control = ngx_string("Cache-Control");
    static ngx_str_t  no_cache = ngx_string("no-cache");
    static ngx_str_t  buffering = ngx_string("X-Accel-Buffering");
    static ngx_str_t  no = ngx_string("no");

    if (!ctx->watching) {
        ngx_http_clear_content_length(r);
        ngx_http_clear_accept_ranges(r);
        ngx_http_clear_etag(r);
    }

    if (!ctx->public.stream) {
        return NGX_OK;
    }

    if (!sse) {
        r->headers_out.content_type = ngx_http_weir_sse_type;
        r->headers_out.content_type_len = ngx_http_weir_sse_type.len;
        r->headers_out.content_type_lowcase = NULL;
        ngx_str_null(&r->headers_out.charset);
    }

    if (ngx_http_weir_find_header(&r->headers_out.headers, &cache_control)
        == NULL
        && ngx_http_weir_add_header(r, &cache_control, &no_cache) != NGX_OK)
    {
        return NGX_ERROR;
    }

    /* for an NGINX between the client and this one */

    return ngx_http_weir_add_header(r, &buffering, &no);
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


ngx_uint_t
ngx_http_weir_type_is(ngx_http_request_t *r, ngx_str_t *type)
{
    u_char      ch;
    ngx_str_t  *value;

    value = &r->headers_out.content_type;

    if (value->len < type->len) {
        return 0;
    }

    /* in lower case, as a rule */

    if (ngx_memcmp(value->data, type->data, type->len) != 0
        && ngx_strncasecmp(value->data, type->data, type->len) != 0)
    {
        return 0;
    }

    if (value->len == type->len) {
        return 1;
    }

    ch = value->data[type->len];

    return ch == ';' || ch == ' ' || ch == '\t';
}


ngx_int_t
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
