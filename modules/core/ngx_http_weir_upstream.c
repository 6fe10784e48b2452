
/*
 * Weir's core: what an upstream's header says that no client may get: its
 * redirects, its view of the gateway's own key, its cookies, and answers that
 * are none of the call's.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


static ngx_int_t ngx_http_weir_check_interim(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_reject(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, const ngx_http_weir_refusal_t *why);
static ngx_uint_t ngx_http_weir_dropped(ngx_str_t *name);


/* the names in lower case */

static const ngx_str_t  ngx_http_weir_dropped_names[] = {
    ngx_string("set-cookie"),
    ngx_string("www-authenticate"),
    ngx_string("proxy-authenticate"),
    ngx_string("alt-svc"),
    ngx_string("clear-site-data"),
    ngx_string("refresh"),
    ngx_string("strict-transport-security")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_interim =
    ngx_http_weir_refusal(NGX_HTTP_BAD_GATEWAY, "server_error",
                          "bad_gateway",
                          "The model server sent an interim answer, which "
                          "nobody asked for.",
                          "bad_gateway");


static const ngx_http_weir_refusal_t  ngx_http_weir_redirect =
    ngx_http_weir_final_refusal(NGX_HTTP_BAD_GATEWAY, "server_error",
                                "upstream_redirect",
                                "The model server answered with a redirect, "
                                "which the gateway neither follows nor hands "
                                "on.",
                                "upstream_redirect");


static const ngx_http_weir_refusal_t  ngx_http_weir_bad_key =
    ngx_http_weir_final_refusal(NGX_HTTP_BAD_GATEWAY, "server_error",
                                "provider_error",
                                "The model server does not accept the "
                                "gateway's own key. The key of this request "
                                "is good.",
                                "provider_error");


static const ngx_http_weir_refusal_t  ngx_http_weir_unreadable =
    ngx_http_weir_final_refusal(NGX_HTTP_BAD_GATEWAY, "server_error",
                                "unreadable_answer",
                                "The model server's answer is neither JSON "
                                "nor an event stream.",
                                "unreadable_answer");


/* NGX_DECLINED: ctx->public.refusal says why the answer cannot pass */

ngx_int_t
ngx_http_weir_check_upstream(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    ngx_uint_t                      status;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    status = r->headers_out.status;

    /* not an answer of NGINX's own that error_page has put in its place */

    if (r->upstream == NULL || r->upstream->headers_in.status_n != status) {
        return NGX_OK;
    }

    if (status < NGX_HTTP_OK) {
        return ngx_http_weir_check_interim(r, ctx);
    }

    /*
     * Clients follow a redirect and send the whole request again, past the
     * gateway if the address is another's.
     */

    if (status >= NGX_HTTP_SPECIAL_RESPONSE && status < NGX_HTTP_BAD_REQUEST) {

        if (status == NGX_HTTP_NOT_MODIFIED
            && (r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD)))
        {
            return NGX_OK;
        }

        return ngx_http_weir_reject(r, ctx, &ngx_http_weir_redirect);
    }

    if (status == NGX_HTTP_UNAUTHORIZED || status == NGX_HTTP_FORBIDDEN) {
        wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);

        if (wlcf->upstream_bearer.len) {
            return ngx_http_weir_reject(r, ctx, &ngx_http_weir_bad_key);
        }
    }

    return NGX_OK;
}


/*
 * NGINX takes an interim answer for the final one: what follows, the real one
 * with its header, would pass as a body that nobody reads.
 */

static ngx_int_t
ngx_http_weir_check_interim(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    if (r->upstream->upgrade) {
        return NGX_OK;
    }

    return ngx_http_weir_reject(r, ctx, &ngx_http_weir_interim);
}


/*
 * A good status with a body that no client of this call can read: official
 * clients take it for an empty stream, or hand on the text in place of an
 * answer.  Calls of single model servers may answer with other types.
 */

ngx_int_t
ngx_http_weir_check_readable(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_uint_t readable)
{
    static ngx_str_t  bytes = ngx_string("application/octet-stream");

    if (ctx->public.endpoint.why != WEIR_UNDERSTOOD
        || r->upstream == NULL
        || r->headers_out.status < NGX_HTTP_OK
        || r->headers_out.status >= NGX_HTTP_SPECIAL_RESPONSE
        || r->method == NGX_HTTP_HEAD)
    {
        return NGX_OK;
    }

    if (r->headers_out.status == NGX_HTTP_NO_CONTENT
        || r->headers_out.content_length_n == 0)
    {
        return ngx_http_weir_reject(r, ctx, &ngx_http_weir_unreadable);
    }

    if (readable) {
        return NGX_OK;
    }

    if (ctx->public.endpoint.group == WEIR_GROUP_ENGINE
        || (ctx->public.endpoint.endpoint == WEIR_ENDPOINT_EMBEDDINGS
            && ngx_http_weir_type_is(r, &bytes)))
    {
        if (!(ctx->needs & NGX_HTTP_WEIR_NEEDS_RESPONSE)) {
            return NGX_OK;
        }

        switch (ngx_http_weir_must_see(r, ctx)) {

        case NGX_OK:
            break;

        case NGX_DECLINED:
            return NGX_OK;

        default:
            return NGX_ERROR;
        }
    }

    return ngx_http_weir_reject(r, ctx, &ngx_http_weir_unreadable);
}


static ngx_int_t
ngx_http_weir_reject(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_refusal_t *why)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "the upstream's answer with status %ui and type \"%V\" is "
                  "not sent: %V", r->headers_out.status,
                  &r->headers_out.content_type, &why->code);

    ngx_http_weir_end_upstream(ctx, 0);

    ctx->public.refusal = why;

    return NGX_DECLINED;
}


/* most names differ from all of them in their length and first letter */

static ngx_inline ngx_uint_t
ngx_http_weir_may_drop(ngx_str_t *name)
{
    switch (name->len) {

    case sizeof("refresh") - 1:
    case sizeof("location") - 1:
    case sizeof("set-cookie") - 1:
    case sizeof("x-request-id") - 1:
    case sizeof("clear-site-data") - 1:
    case sizeof("www-authenticate") - 1:
    case sizeof("proxy-authenticate") - 1:
    case sizeof("strict-transport-security") - 1:
        return 1;

    default:
        return name->len > sizeof("access-control-") - 1
               && (name->data[0] | 0x20) == 'a';
    }
}


/*
 * There is one id, the gateway's, and the usage line has it.  Cookies, demands
 * for credentials and grants to browsers are the gateway's to make: add_header
 * comes later.
 */

void
ngx_http_weir_drop_headers(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    ngx_uint_t        i, upstream, moved;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    static const ngx_str_t  id = ngx_string("request-id");
    static const ngx_str_t  x_id = ngx_string("x-request-id");
    static const ngx_str_t  location = ngx_string("location");

    upstream = (ctx->public.governed && r->upstream && !ctx->refusing);

    /* of an answer that created something it may pass */

    moved = (upstream
             && r->headers_out.status >= NGX_HTTP_SPECIAL_RESPONSE
             && r->headers_out.status == r->upstream->headers_in.status_n);

    part = &r->headers_out.headers.part;
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

        if (h[i].hash == 0 || !ngx_http_weir_may_drop(&h[i].key)) {
            continue;
        }

        if (ngx_http_weir_name_is(&h[i].key, &id)
            || ngx_http_weir_name_is(&h[i].key, &x_id)
            || (upstream && ngx_http_weir_dropped(&h[i].key))
            || (moved && ngx_http_weir_name_is(&h[i].key, &location)))
        {
            h[i].hash = 0;
        }
    }

    if (moved) {
        r->headers_out.location = NULL;
    }

    if (upstream) {
        r->headers_out.www_authenticate = NULL;
        r->headers_out.refresh = NULL;
    }
}


static ngx_uint_t
ngx_http_weir_dropped(ngx_str_t *name)
{
    ngx_uint_t  i;

    static u_char  access[] = "access-control-";

    if (name->len >= sizeof(access) - 1
        && ngx_strncasecmp(name->data, access, sizeof(access) - 1) == 0)
    {
        return 1;
    }

    for (i = 0;
         i < sizeof(ngx_http_weir_dropped_names) / sizeof(ngx_str_t);
         i++)
    {
        if (ngx_http_weir_name_is(name, &ngx_http_weir_dropped_names[i])) {
            return 1;
        }
    }

    return 0;
}
