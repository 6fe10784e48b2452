
/*
 * Weir's core: refusals and error bodies in the shape of the caller's API.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


#define NGX_HTTP_WEIR_MAX_MESSAGE  1024


typedef struct {
    ngx_uint_t                     status;
    ngx_str_t                      type;
    ngx_str_t                      code;
    ngx_str_t                      message;
} ngx_http_weir_status_t;


typedef struct {
    ngx_uint_t                     status;
    const char                    *type;
} ngx_http_weir_anthropic_t;


static ngx_int_t ngx_http_weir_envelope(ngx_http_weir_core_ctx_t *ctx,
    ngx_uint_t status, const ngx_str_t *type, const ngx_str_t *code,
    const ngx_str_t *message, const ngx_str_t *param, ngx_str_t *body);
static void ngx_http_weir_string(weir_buf_t *buf, const char *name,
    const ngx_str_t *value);
static const char *ngx_http_weir_anthropic_type(ngx_uint_t status);
static ngx_uint_t ngx_http_weir_upstream_answered(ngx_http_request_t *r,
    ngx_uint_t status);
static ngx_int_t ngx_http_weir_authenticate_header(ngx_http_request_t *r);
static ngx_table_elt_t *ngx_http_weir_push_header(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_weir_allow_header(ngx_http_request_t *r,
    const char *methods);


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


/* what Anthropic's clients know, from the status alone */

static const ngx_http_weir_anthropic_t  ngx_http_weir_anthropic_types[] = {
    { NGX_HTTP_UNAUTHORIZED, "authentication_error" },
    { 402, "billing_error" },
    { NGX_HTTP_FORBIDDEN, "permission_error" },
    { NGX_HTTP_NOT_FOUND, "not_found_error" },
    { NGX_HTTP_CONFLICT, "conflict_error" },
    { NGX_HTTP_REQUEST_ENTITY_TOO_LARGE, "request_too_large" },
    { NGX_HTTP_TOO_MANY_REQUESTS, "rate_limit_error" },
    { NGX_HTTP_SERVICE_UNAVAILABLE, "overloaded_error" },
    { NGX_HTTP_GATEWAY_TIME_OUT, "timeout_error" },
    { 529, "overloaded_error" },
    { 0, NULL }
};


static ngx_str_t  ngx_http_weir_json_type = ngx_string("application/json");
static ngx_str_t  ngx_http_weir_retry_name = ngx_string("Retry-After");
static ngx_str_t  ngx_http_weir_should_name = ngx_string("X-Should-Retry");


ngx_int_t
ngx_http_weir_refuse(ngx_http_request_t *r,
    const ngx_http_weir_refusal_t *why)
{
    ngx_str_t                  body;
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

    if (ngx_http_weir_envelope(ctx, why->status, &why->type, &why->code,
                               &why->message, &why->param, &body)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (why->status == NGX_HTTP_UNAUTHORIZED
        && ngx_http_weir_authenticate_header(r) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (why->status == NGX_HTTP_NOT_ALLOWED
        && ctx->public.endpoint.allow
        && ngx_http_weir_allow_header(r, ctx->public.endpoint.allow) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_weir_retry_headers(r, why) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_weir_send(r, why->status, &ngx_http_weir_json_type,
                              &body);
}


ngx_int_t
ngx_http_weir_deny(ngx_http_weir_ctx_t *public,
    const ngx_http_weir_refusal_t *why, const char *fmt, ...)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    u_char                   *p, *last;
    va_list                   args;
    u_char                    message[NGX_HTTP_WEIR_MAX_MESSAGE];
    ngx_http_weir_refusal_t  *refusal;

    va_start(args, fmt);
    last = ngx_vslprintf(message, message + sizeof(message), fmt, args);
    va_end(args);

    refusal = weir_arena_alloc(&ctx->arena, sizeof(ngx_http_weir_refusal_t));
    p = (u_char *) weir_arena_strndup(&ctx->arena, (const char *) message,
                                      last - message);

    if (refusal == NULL || p == NULL) {
        return NGX_ERROR;
    }

    *refusal = *why;

    refusal->message.data = p;
    refusal->message.len = last - message;

    public->refusal = refusal;

    return NGX_ABORT;
}


/*
 * A whole answer of ours, as NGINX sends its own error pages, and whatever
 * error_page says.
 */

ngx_int_t
ngx_http_weir_send(ngx_http_request_t *r, ngx_uint_t status, ngx_str_t *type,
    ngx_str_t *body)
{
    ngx_int_t                  rc;
    ngx_buf_t                 *b;
    ngx_chain_t                out;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);

    ctx->refusing = 1;

    r->err_status = 0;
    r->headers_out.status = status;
    r->headers_out.status_line.len = 0;

    r->expect_tested = 1;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        r->keepalive = 0;
    }

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);
    r->headers_out.content_length_n = body->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = (body->len != 0);
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* an error page of NGINX's, or an upstream's that is not JSON */

ngx_int_t
ngx_http_weir_status_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_uint_t status, ngx_str_t *body)
{
    u_char                         *p;
    ngx_str_t                       code, message;
    ngx_uint_t                      answered;
    const ngx_http_weir_status_t   *s;
    const ngx_http_weir_refusal_t  *why;
    u_char                          text[NGX_HTTP_WEIR_MAX_MESSAGE];

    static const ngx_str_t  none = ngx_null_string;

    /* one of our own that could not be sent any other way */

    why = ctx->public.refusal;

    if (why && why->status == status) {
        return ngx_http_weir_envelope(ctx, status, &why->type, &why->code,
                                      &why->message, &why->param, body);
    }

    for (s = ngx_http_weir_statuses; s->status; s++) {
        if (s->status == status) {
            break;
        }
    }

    if (s->status == 0) {
        s = (status < NGX_HTTP_INTERNAL_SERVER_ERROR)
                ? &ngx_http_weir_client_error : &ngx_http_weir_server_error;
    }

    answered = ngx_http_weir_upstream_answered(r, status);

    if (answered == 0) {
        return ngx_http_weir_envelope(ctx, status, &s->type, &s->code,
                                      &s->message, &none, body);
    }

    /* its page is for people, and may tell more than clients should know */

    ngx_str_set(&code, "upstream_error");

    p = ngx_sprintf(text, "The model server answered with status %ui.",
                    answered);

    message.data = text;
    message.len = p - text;

    return ngx_http_weir_envelope(ctx, status, &s->type, &code, &message,
                                  &none, body);
}


/* the status, when it is the upstream's and not NGINX's; else 0 */

static ngx_uint_t
ngx_http_weir_upstream_answered(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_uint_t  answered;

    if (r->upstream == NULL) {
        return 0;
    }

    answered = r->upstream->headers_in.status_n;

    /* which translation gives to clients of OpenAI's API as 503 */

    return (answered == status
            || (answered == 529 && status == NGX_HTTP_SERVICE_UNAVAILABLE))
               ? answered : 0;
}


/*
 * Clients that retry by themselves do so on 408, 409, 429 and all from 500.
 * Without Retry-After they fall back on longer waits, or on none.
 */

ngx_int_t
ngx_http_weir_retry_headers(ngx_http_request_t *r,
    const ngx_http_weir_refusal_t *why)
{
    u_char     *p;
    ngx_str_t   value, *should;
    ngx_uint_t  status, seconds;

    static ngx_str_t  yes = ngx_string("true");
    static ngx_str_t  no = ngx_string("false");

    status = why ? why->status : r->headers_out.status;
    seconds = why ? why->retry_after : 0;

    should = NULL;

    /* an upstream may have said it already */

    if (why == NULL
        && ngx_http_weir_find_header(&r->headers_out.headers,
                                     &ngx_http_weir_should_name))
    {
        return NGX_OK;
    }

    if (why && why->retry == NGX_HTTP_WEIR_RETRY_YES) {
        should = &yes;

    } else if ((why && why->retry == NGX_HTTP_WEIR_RETRY_NO)
               || status == NGX_HTTP_NOT_IMPLEMENTED)
    {
        should = &no;
    }

    if (should
        && ngx_http_weir_add_header(r, &ngx_http_weir_should_name, should)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (should == &no) {
        return NGX_OK;
    }

    if (seconds == 0) {

        if (status != NGX_HTTP_TOO_MANY_REQUESTS
            && status != NGX_HTTP_SERVICE_UNAVAILABLE)
        {
            return NGX_OK;
        }

        seconds = 1;
    }

    if (ngx_http_weir_find_header(&r->headers_out.headers,
                                  &ngx_http_weir_retry_name))
    {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;
    value.len = ngx_sprintf(p, "%ui", seconds) - p;

    return ngx_http_weir_add_header(r, &ngx_http_weir_retry_name, &value);
}


static ngx_int_t
ngx_http_weir_envelope(ngx_http_weir_core_ctx_t *ctx, ngx_uint_t status,
    const ngx_str_t *type, const ngx_str_t *code, const ngx_str_t *message,
    const ngx_str_t *param, ngx_str_t *body)
{
    weir_buf_t   buf;
    ngx_str_t    anthropic;

    weir_buf_init(&buf, &ctx->arena);

    if (ctx->public.endpoint.dialect == WEIR_DIALECT_ANTHROPIC) {

        anthropic.data = (u_char *) ngx_http_weir_anthropic_type(status);
        anthropic.len = ngx_strlen(anthropic.data);

        weir_buf_append_z(&buf, "{\"type\":\"error\",\"error\":{");
        ngx_http_weir_string(&buf, "type", &anthropic);
        weir_buf_append_char(&buf, ',');
        ngx_http_weir_string(&buf, "message", message);
        weir_buf_append_z(&buf, ",\"details\":{");
        ngx_http_weir_string(&buf, "error_code", code);
        weir_buf_append_z(&buf, "}},");
        ngx_http_weir_string(&buf, "request_id", &ctx->public.request_id);
        weir_buf_append_z(&buf, "}" CRLF);

    } else {
        weir_buf_append_z(&buf, "{\"error\":{");
        ngx_http_weir_string(&buf, "message", message);
        weir_buf_append_char(&buf, ',');
        ngx_http_weir_string(&buf, "type", type);
        weir_buf_append_char(&buf, ',');
        ngx_http_weir_string(&buf, "param", param);
        weir_buf_append_char(&buf, ',');
        ngx_http_weir_string(&buf, "code", code);
        weir_buf_append_z(&buf, "}}" CRLF);
    }

    if (buf.failed) {
        return NGX_ERROR;
    }

    body->data = (u_char *) buf.data;
    body->len = buf.len;

    return NGX_OK;
}


static void
ngx_http_weir_string(weir_buf_t *buf, const char *name,
    const ngx_str_t *value)
{
    weir_buf_append_char(buf, '"');
    weir_buf_append_z(buf, name);
    weir_buf_append_z(buf, "\":");

    if (value->len == 0) {
        weir_buf_append_z(buf, "null");
        return;
    }

    weir_json_write_string(buf, weir_str((const char *) value->data,
                                         value->len));
}


static const char *
ngx_http_weir_anthropic_type(ngx_uint_t status)
{
    const ngx_http_weir_anthropic_t  *t;

    for (t = ngx_http_weir_anthropic_types; t->status; t++) {
        if (t->status == status) {
            return t->type;
        }
    }

    return (status < NGX_HTTP_INTERNAL_SERVER_ERROR) ? "invalid_request_error"
                                                     : "api_error";
}


static ngx_int_t
ngx_http_weir_authenticate_header(ngx_http_request_t *r)
{
    static ngx_str_t  name = ngx_string("WWW-Authenticate");
    static ngx_str_t  value = ngx_string("Bearer realm=\"weir\"");

    r->headers_out.www_authenticate = ngx_http_weir_push_header(r, &name,
                                                                &value);

    return (r->headers_out.www_authenticate == NULL) ? NGX_ERROR : NGX_OK;
}


/* RFC 9110, 15.5.6: what a path takes instead */

static ngx_int_t
ngx_http_weir_allow_header(ngx_http_request_t *r, const char *methods)
{
    ngx_str_t  value;

    static ngx_str_t  name = ngx_string("Allow");

    value.data = (u_char *) methods;
    value.len = ngx_strlen(methods);

    return ngx_http_weir_add_header(r, &name, &value);
}


ngx_int_t
ngx_http_weir_add_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    return (ngx_http_weir_push_header(r, name, value) == NULL) ? NGX_ERROR
                                                               : NGX_OK;
}


static ngx_table_elt_t *
ngx_http_weir_push_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NULL;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key = *name;
    h->value = *value;

    return h;
}


ngx_table_elt_t *
ngx_http_weir_find_header(ngx_list_t *headers, ngx_str_t *name)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &headers->part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].hash != 0 && ngx_http_weir_name_is(&h[i].key, name)) {
            return &h[i];
        }
    }

    return NULL;
}


ngx_uint_t
ngx_http_weir_name_is(const ngx_str_t *name, const ngx_str_t *other)
{
    return name->len == other->len
           && ngx_strncasecmp(name->data, other->data, name->len) == 0;
}
