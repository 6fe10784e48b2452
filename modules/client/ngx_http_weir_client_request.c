
/*
 * Weir: the bytes of a request.  What callers pass in may come from data: no
 * byte of it can end a line.
 */


#include "ngx_http_weir_client_module.h"


static ngx_uint_t ngx_http_weir_client_is_token(const ngx_str_t *s);
static ngx_uint_t ngx_http_weir_client_is_value(const ngx_str_t *s);
static ngx_uint_t ngx_http_weir_client_is_name(
    const ngx_http_weir_client_header_t *h, const char *name);
static ngx_uint_t ngx_http_weir_client_has(
    const ngx_http_weir_client_request_t *rq, const char *name);
static ngx_uint_t ngx_http_weir_client_tells_length(
    const ngx_http_weir_client_request_t *rq);
static size_t ngx_http_weir_client_size(
    const ngx_http_weir_client_request_t *rq,
    ngx_http_weir_client_call_t *call);


/* NULL, or what is wrong */

const char *
ngx_http_weir_client_check(const ngx_http_weir_client_request_t *rq)
{
    size_t                          i;
    ngx_uint_t                      k;
    ngx_http_weir_client_header_t  *h;

    if (rq->method.len > 32
        || (rq->method.len && !ngx_http_weir_client_is_token(&rq->method))
        || ngx_http_weir_client_is_name(
               &(ngx_http_weir_client_header_t) { rq->method, rq->method },
               "CONNECT"))
    {
        return "the method is not one of HTTP that can be called";
    }

    for (i = 0; i < rq->suffix.len; i++) {
        if (rq->suffix.data[i] <= ' ' || rq->suffix.data[i] > '~'
            || rq->suffix.data[i] == '#')
        {
            return "the path holds a byte that must be percent-encoded";
        }
    }

    for (k = 0; k < rq->nheaders; k++) {
        h = &rq->headers[k];

        if (h->name.len == 0
            || !ngx_http_weir_client_is_token(&h->name)
            || !ngx_http_weir_client_is_value(&h->value))
        {
            return "a header holds a byte that no header may have";
        }

        if (ngx_http_weir_client_is_name(h, "Host")
            || ngx_http_weir_client_is_name(h, "Connection")
            || ngx_http_weir_client_is_name(h, "Content-Length")
            || ngx_http_weir_client_is_name(h, "Transfer-Encoding")
            || ngx_http_weir_client_is_name(h, "Upgrade")
            || ngx_http_weir_client_is_name(h, "Expect"))
        {
            return "a header is one that only the client itself writes";
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_weir_client_is_token(const ngx_str_t *s)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < s->len; i++) {
        ch = s->data[i];

        if ((ch >= '0' && ch <= '9')
            || (ch >= 'a' && ch <= 'z')
            || (ch >= 'A' && ch <= 'Z')
            || (ch && ngx_strchr("!#$%&'*+-.^_`|~", ch)))
        {
            continue;
        }

        return 0;
    }

    return 1;
}


static ngx_uint_t
ngx_http_weir_client_is_value(const ngx_str_t *s)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < s->len; i++) {
        ch = s->data[i];

        if ((ch < ' ' && ch != '\t') || ch == 0x7f) {
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_http_weir_client_is_name(const ngx_http_weir_client_header_t *h,
    const char *name)
{
    return h->name.len == ngx_strlen(name)
           && h->name.len
           && ngx_strncasecmp(h->name.data, (u_char *) name, h->name.len) == 0;
}


static ngx_uint_t
ngx_http_weir_client_has(const ngx_http_weir_client_request_t *rq,
    const char *name)
{
    ngx_uint_t  i;

    for (i = 0; i < rq->nheaders; i++) {
        if (ngx_http_weir_client_is_name(&rq->headers[i], name)) {
            return 1;
        }
    }

    return 0;
}


/* RFC 9110, 8.6: methods that usually have content say so without it, too */

static ngx_uint_t
ngx_http_weir_client_tells_length(const ngx_http_weir_client_request_t *rq)
{
    const ngx_http_weir_client_header_t  method = { rq->method, rq->method };

    return rq->body.len
           || ngx_http_weir_client_is_name(&method, "POST")
           || ngx_http_weir_client_is_name(&method, "PUT")
           || ngx_http_weir_client_is_name(&method, "PATCH");
}


static size_t
ngx_http_weir_client_size(const ngx_http_weir_client_request_t *rq,
    ngx_http_weir_client_call_t *call)
{
    size_t      size;
    ngx_uint_t  i;

    /* all that is constant, and a length, fit in 256 bytes */

    size = 256 + rq->method.len + call->url.path.len + rq->suffix.len
           + call->url.authority.len + rq->body.len;

    for (i = 0; i < rq->nheaders; i++) {
        size += rq->headers[i].name.len + rq->headers[i].value.len + 4;
    }

    return size;
}


ngx_buf_t *
ngx_http_weir_client_write(ngx_http_weir_client_call_t *call,
    const ngx_http_weir_client_request_t *rq)
{
    u_char           *p;
    ngx_buf_t        *b;
    ngx_str_t         method, path, authority;
    ngx_uint_t        i;
    weir_http_url_t  *url;

    b = ngx_create_temp_buf(call->pool, ngx_http_weir_client_size(rq, call));
    if (b == NULL) {
        return NULL;
    }

    url = &call->url;

    method = rq->method;

    if (method.len == 0) {
        ngx_str_set(&method, "GET");
    }

    path.data = (u_char *) url->path.data;
    path.len = url->path.len;

    authority.data = (u_char *) url->authority.data;
    authority.len = url->authority.len;

    if (authority.len == 0) {
        ngx_str_set(&authority, "localhost");
    }

    p = ngx_sprintf(b->last, "%V %s%V%V HTTP/1.1" CRLF "Host: %V" CRLF,
                    &method, (path.len && path.data[0] == '/') ? "" : "/",
                    &path, &rq->suffix, &authority);

    if (call->once || call->wmcf->keepalive == 0) {
        p = ngx_cpymem(p, "Connection: close" CRLF,
                       sizeof("Connection: close" CRLF) - 1);
    }

    if (!ngx_http_weir_client_has(rq, "User-Agent")) {
        p = ngx_cpymem(p, "User-Agent: weir" CRLF,
                       sizeof("User-Agent: weir" CRLF) - 1);
    }

    /* nothing here decompresses */

    if (!ngx_http_weir_client_has(rq, "Accept-Encoding")) {
        p = ngx_cpymem(p, "Accept-Encoding: identity" CRLF,
                       sizeof("Accept-Encoding: identity" CRLF) - 1);
    }

    if (ngx_http_weir_client_tells_length(rq)) {
        p = ngx_sprintf(p, "Content-Length: %uz" CRLF, rq->body.len);
    }

    for (i = 0; i < rq->nheaders; i++) {
        p = ngx_sprintf(p, "%V: %V" CRLF, &rq->headers[i].name,
                        &rq->headers[i].value);
    }

    p = ngx_cpymem(p, CRLF, sizeof(CRLF) - 1);

    if (rq->body.len) {
        p = ngx_cpymem(p, rq->body.data, rq->body.len);
    }

    b->last = p;

    return b;
}
