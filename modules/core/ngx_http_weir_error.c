
/*
 * Weir's core: errors in OpenAI's shape.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


#define NGX_HTTP_WEIR_ENVELOPE                                                \
    "{\"error\":{\"message\":\"%V\",\"type\":\"%V\",\"param\":null,"          \
    "\"code\":\"%V\"}}" CRLF


typedef struct {
    ngx_uint_t                     status;
    ngx_str_t                      type;
    ngx_str_t                      code;
    ngx_str_t                      message;
} ngx_http_weir_status_t;


static ngx_int_t ngx_http_weir_envelope(ngx_pool_t *pool,
    const ngx_str_t *message, const ngx_str_t *type, const ngx_str_t *code,
    ngx_str_t *body);
static ngx_int_t ngx_http_weir_authenticate_header(ngx_http_request_t *r);


/* the last entry is for all that are not listed */

static const ngx_http_weir_status_t  ngx_http_weir_statuses[] = {

    { NGX_HTTP_BAD_REQUEST,
      ngx_string("invalid_request_error"),
      ngx_string("bad_request"),
      ngx_string("The request is not valid HTTP, or a header of it is too "
                 "large.") },

    { NGX_HTTP_UNAUTHORIZED,
      ngx_string("invalid_request_error"),
      ngx_string("unauthorized"),
      ngx_string("The request was not authorized.") },

    { NGX_HTTP_FORBIDDEN,
      ngx_string("permission_error"),
      ngx_string("forbidden"),
      ngx_string("The gateway does not allow this request.") },

    { NGX_HTTP_NOT_FOUND,
      ngx_string("invalid_request_error"),
      ngx_string("not_found"),
      ngx_string("There is nothing at this path. The API base URL of this "
                 "gateway ends in /v1.") },

    { NGX_HTTP_NOT_ALLOWED,
      ngx_string("invalid_request_error"),
      ngx_string("method_not_allowed"),
      ngx_string("This path does not take this method.") },

    { NGX_HTTP_REQUEST_TIME_OUT,
      ngx_string("invalid_request_error"),
      ngx_string("request_timeout"),
      ngx_string("The request did not arrive in time.") },

    { NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
      ngx_string("invalid_request_error"),
      ngx_string("request_too_large"),
      ngx_string("The request body is larger than the gateway accepts.") },

    { NGX_HTTP_REQUEST_URI_TOO_LARGE,
      ngx_string("invalid_request_error"),
      ngx_string("uri_too_long"),
      ngx_string("The request line is longer than the gateway accepts.") },

    { NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
      ngx_string("invalid_request_error"),
      ngx_string("unsupported_media_type"),
      ngx_string("The type or encoding of the request body is not "
                 "supported.") },

    { NGX_HTTP_TOO_MANY_REQUESTS,
      ngx_string("rate_limit_error"),
      ngx_string("rate_limit_exceeded"),
      ngx_string("Too many requests. Try again later.") },

    { NGX_HTTP_NOT_IMPLEMENTED,
      ngx_string("invalid_request_error"),
      ngx_string("not_implemented"),
      ngx_string("The gateway does not support this method or transfer "
                 "encoding.") },

    { NGX_HTTP_BAD_GATEWAY,
      ngx_string("server_error"),
      ngx_string("bad_gateway"),
      ngx_string("The model server cannot be reached or ended the connection "
                 "without an answer. Try again.") },

    { NGX_HTTP_SERVICE_UNAVAILABLE,
      ngx_string("server_error"),
      ngx_string("service_unavailable"),
      ngx_string("The service is overloaded or not ready. Try again.") },

    { NGX_HTTP_GATEWAY_TIME_OUT,
      ngx_string("server_error"),
      ngx_string("gateway_timeout"),
      ngx_string("The model server did not answer in time. Try again.") },

    { 0,
      ngx_null_string,
      ngx_null_string,
      ngx_null_string }
};


static const ngx_http_weir_status_t  ngx_http_weir_client_error = {
    0,
    ngx_string("invalid_request_error"),
    ngx_string("request_refused"),
    ngx_string("The gateway refused the request.")
};


static const ngx_http_weir_status_t  ngx_http_weir_server_error = {
    0,
    ngx_string("server_error"),
    ngx_string("internal_error"),
    ngx_string("The gateway failed to answer the request.")
};


ngx_int_t
ngx_http_weir_refuse(ngx_http_request_t *r,
    const ngx_http_weir_refusal_t *why)
{
    ngx_int_t                  rc;
    ngx_buf_t                 *b;
    ngx_str_t                  body;
    ngx_chain_t                out;
    ngx_http_weir_core_ctx_t  *ctx;

    if (r != r->main) {
        return why->status;
    }

    ctx = ngx_http_weir_core_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_log_error(ctx->wmcf->refusal_level, r->connection->log, 0,
                  "request \"%V\" of key \"%V\" refused: %V",
                  &ctx->public.request_id, &ctx->public.key_id, &why->reason);

    /* a refusal of ours is answered here, whatever error_page says */

    ctx->refusing = 1;

    r->err_status = 0;
    r->headers_out.status = why->status;
    r->headers_out.status_line.len = 0;

    /* as NGINX does it for its own error pages */

    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        r->keepalive = 0;
    }

    if (ngx_http_weir_envelope(r->pool, &why->message, &why->type, &why->code,
                               &body)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (why->status == NGX_HTTP_UNAUTHORIZED
        && ngx_http_weir_authenticate_header(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.content_length_n = body.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body.data;
    b->last = body.data + body.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_weir_status_body(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body)
{
    const ngx_http_weir_status_t  *s;

    for (s = ngx_http_weir_statuses; s->status; s++) {
        if (s->status == status) {
            return ngx_http_weir_envelope(r->pool, &s->message, &s->type,
                                          &s->code, body);
        }
    }

    s = (status < NGX_HTTP_INTERNAL_SERVER_ERROR) ? &ngx_http_weir_client_error
                                                  : &ngx_http_weir_server_error;

    return ngx_http_weir_envelope(r->pool, &s->message, &s->type, &s->code,
                                  body);
}


static ngx_int_t
ngx_http_weir_envelope(ngx_pool_t *pool, const ngx_str_t *message,
    const ngx_str_t *type, const ngx_str_t *code, ngx_str_t *body)
{
    size_t   len;
    u_char  *p;

    len = sizeof(NGX_HTTP_WEIR_ENVELOPE) - 1
          + message->len + type->len + code->len;

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = ngx_snprintf(p, len, NGX_HTTP_WEIR_ENVELOPE, message, type,
                             code)
                - p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_authenticate_header(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    ngx_str_set(&h->key, "WWW-Authenticate");
    ngx_str_set(&h->value, "Bearer realm=\"weir\"");

    r->headers_out.www_authenticate = h;

    return NGX_OK;
}
