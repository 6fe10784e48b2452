
/*
 * For tests only: a content handler that makes outgoing calls with
 * ngx_http_weir_client.h and answers with what came of them, as JSON.
 *
 *     weir_fetch <url> [ca=FILE] [cert=FILE] [key=FILE] [name=NAME] [insecure]
 *         the request's method and body are sent on; arguments of the request:
 *         suffix, deadline (ms), max (bytes), once, background, header
 *         ("Name:value"), again (so many calls, one after another), abandon
 *         (the call is cancelled with the client's request), self_cancel
 *     weir_fetch_any
 *         the argument "url" says where to; "trusted" lifts the guard
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_client.h"


typedef struct {
    const ngx_http_weir_client_api_t  *client;
} ngx_http_weir_fetch_main_conf_t;


typedef struct {
    ngx_http_weir_client_target_t     *target;
    ngx_uint_t                         any;
} ngx_http_weir_fetch_loc_conf_t;


typedef struct {
    ngx_http_request_t                *request;
    ngx_http_weir_client_call_t       *call;
    ngx_http_weir_client_request_t     rq;
    ngx_http_weir_client_header_t      header;
    ngx_int_t                          again;
    unsigned                           self_cancel:1;
    unsigned                           in_start:1;
    unsigned                           too_early:1;
} ngx_http_weir_fetch_ctx_t;


static ngx_int_t ngx_http_weir_fetch_handler(ngx_http_request_t *r);
static void ngx_http_weir_fetch_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_fetch_gather(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_int_t ngx_http_weir_fetch_arguments(ngx_http_request_t *r,
    ngx_http_weir_fetch_ctx_t *ctx);
static ngx_int_t ngx_http_weir_fetch_arg(ngx_http_request_t *r, char *name,
    ngx_str_t *value);
static void ngx_http_weir_fetch_start(ngx_http_weir_fetch_ctx_t *ctx);
static void ngx_http_weir_fetch_done(
    const ngx_http_weir_client_answer_t *answer, void *data);
static ngx_buf_t *ngx_http_weir_fetch_write(ngx_http_weir_fetch_ctx_t *ctx,
    const ngx_http_weir_client_answer_t *answer);
static u_char *ngx_http_weir_fetch_string(u_char *p, ngx_str_t *s);
static void ngx_http_weir_fetch_cleanup(void *data);
static void *ngx_http_weir_fetch_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_fetch_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_fetch(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_fetch_profile(ngx_conf_t *cf,
    const ngx_http_weir_client_api_t *client,
    ngx_http_weir_client_profile_t **profile);
static char *ngx_http_weir_fetch_any(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_weir_fetch_commands[] = {

    { ngx_string("weir_fetch"),
      NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_fetch,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_fetch_any"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_fetch_any,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_fetch_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_weir_fetch_create_main_conf,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_fetch_create_loc_conf,   /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_fetch_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_fetch_module_ctx,       /* module context */
    ngx_http_weir_fetch_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_weir_fetch_handler(ngx_http_request_t *r)
{
    ngx_int_t  rc;

    rc = ngx_http_read_client_request_body(r, ngx_http_weir_fetch_body);

    return (rc >= NGX_HTTP_SPECIAL_RESPONSE) ? rc : NGX_DONE;
}


static void
ngx_http_weir_fetch_body(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_weir_fetch_ctx_t       *ctx;
    ngx_http_weir_fetch_loc_conf_t  *flcf;

    flcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_fetch_module);

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_fetch_ctx_t));
    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_fetch_ctx_t));

    ctx->request = r;
    ctx->rq.target = flcf->target;
    ctx->rq.method = r->method_name;

    if (ngx_http_weir_fetch_gather(r, &ctx->rq.body) != NGX_OK
        || ngx_http_weir_fetch_arguments(r, ctx) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    cln->handler = ngx_http_weir_fetch_cleanup;

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    /* an end that came with the request makes no further event */

    if (r->connection->read->pending_eof || r->connection->read->ready) {
        ngx_post_event(r->connection->read, &ngx_posted_events);
    }

    ngx_http_weir_fetch_start(ctx);
}


/* the configuration keeps bodies in memory */

static ngx_int_t
ngx_http_weir_fetch_gather(ngx_http_request_t *r, ngx_str_t *body)
{
    u_char       *p;
    size_t        len;
    ngx_chain_t  *cl;

    if (r->request_body == NULL) {
        return NGX_OK;
    }

    len = 0;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        len += cl->buf->last - cl->buf->pos;
    }

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = len;

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        if (cl->buf->last > cl->buf->pos) {
            p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_fetch_arguments(ngx_http_request_t *r,
    ngx_http_weir_fetch_ctx_t *ctx)
{
    u_char                          *colon;
    ngx_str_t                        value;
    ngx_http_weir_client_request_t  *rq;

    rq = &ctx->rq;

    if (ngx_http_weir_fetch_arg(r, "url", &value) == NGX_OK
        && rq->target == NULL)
    {
        rq->url = value;
    }

    if (ngx_http_weir_fetch_arg(r, "suffix", &value) == NGX_OK) {
        rq->suffix = value;
    }

    if (ngx_http_weir_fetch_arg(r, "method", &value) == NGX_OK) {
        rq->method = value;
    }

    if (ngx_http_weir_fetch_arg(r, "deadline", &value) == NGX_OK) {
        rq->deadline = ngx_atoi(value.data, value.len);
    }

    if (ngx_http_weir_fetch_arg(r, "max", &value) == NGX_OK) {
        rq->max_body = ngx_atoi(value.data, value.len);
    }

    if (ngx_http_weir_fetch_arg(r, "again", &value) == NGX_OK) {
        ctx->again = ngx_atoi(value.data, value.len);
    }

    rq->once = ngx_http_weir_fetch_arg(r, "once", &value) == NGX_OK;
    rq->trusted = ngx_http_weir_fetch_arg(r, "trusted", &value) == NGX_OK;
    rq->background = ngx_http_weir_fetch_arg(r, "background", &value)
                     == NGX_OK;
    ctx->self_cancel = ngx_http_weir_fetch_arg(r, "self_cancel", &value)
                       == NGX_OK;

    if (ngx_http_weir_fetch_arg(r, "header", &value) == NGX_OK) {
        colon = ngx_strlchr(value.data, value.data + value.len, ':');
        if (colon == NULL) {
            return NGX_ERROR;
        }

        ctx->header.name.data = value.data;
        ctx->header.name.len = colon - value.data;
        ctx->header.value.data = colon + 1;
        ctx->header.value.len = value.data + value.len - colon - 1;

        rq->headers = &ctx->header;
        rq->nheaders = 1;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_fetch_arg(ngx_http_request_t *r, char *name, ngx_str_t *value)
{
    u_char  *dst, *src;

    if (ngx_http_arg(r, (u_char *) name, ngx_strlen(name), value) != NGX_OK) {
        return NGX_DECLINED;
    }

    src = value->data;

    dst = ngx_pnalloc(r->pool, value->len + 1);
    if (dst == NULL) {
        return NGX_DECLINED;
    }

    value->data = dst;
    ngx_unescape_uri(&dst, &src, value->len, 0);
    value->len = dst - value->data;

    return NGX_OK;
}


static void
ngx_http_weir_fetch_start(ngx_http_weir_fetch_ctx_t *ctx)
{
    ngx_http_weir_fetch_main_conf_t  *fmcf;

    fmcf = ngx_http_get_module_main_conf(ctx->request,
                                         ngx_http_weir_fetch_module);

    ctx->in_start = 1;
    ctx->call = fmcf->client->start(&ctx->rq, ngx_http_weir_fetch_done, ctx);
    ctx->in_start = 0;

    if (ctx->call == NULL) {
        ngx_http_finalize_request(ctx->request,
                                  NGX_HTTP_INTERNAL_SERVER_ERROR);
    }
}


static void
ngx_http_weir_fetch_done(const ngx_http_weir_client_answer_t *answer,
    void *data)
{
    ngx_http_weir_fetch_ctx_t *ctx = data;

    ngx_int_t                         rc;
    ngx_buf_t                        *b;
    ngx_chain_t                       out;
    ngx_connection_t                 *c;
    ngx_http_request_t               *r;
    ngx_http_weir_fetch_main_conf_t  *fmcf;

    r = ctx->request;
    c = r->connection;

    ctx->too_early |= ctx->in_start;

    if (ctx->self_cancel) {
        fmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_fetch_module);
        fmcf->client->cancel(ctx->call);
    }

    ctx->call = NULL;

    if (ctx->again > 1 && answer->error == NGX_HTTP_WEIR_CLIENT_OK) {
        ctx->again--;
        ngx_http_weir_fetch_start(ctx);
        return;
    }

    b = ngx_http_weir_fetch_write(ctx, answer);
    if (b == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        ngx_http_run_posted_requests(c);
        return;
    }

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_OK && !r->header_only) {
        rc = ngx_http_output_filter(r, &out);
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


static ngx_buf_t *
ngx_http_weir_fetch_write(ngx_http_weir_fetch_ctx_t *ctx,
    const ngx_http_weir_client_answer_t *answer)
{
    u_char      *p;
    size_t       size;
    ngx_buf_t   *b;
    ngx_str_t    name, text, body;
    ngx_uint_t   i;

    name = answer->name;
    text = answer->text;
    body = answer->body;

    size = 256 + name.len + 6 * (text.len + body.len);

    for (i = 0; i < answer->nheaders; i++) {
        size += 6 * (answer->headers[i].name.len
                     + answer->headers[i].value.len) + 16;
    }

    b = ngx_create_temp_buf(ctx->request->pool, size);
    if (b == NULL) {
        return NULL;
    }

    p = ngx_sprintf(b->last, "{\"error\":\"%V\",\"status\":%ui,"
                    "\"reused\":%s,\"too_early\":%s,\"text\":", &name,
                    answer->status, answer->reused ? "true" : "false",
                    ctx->too_early ? "true" : "false");
    p = ngx_http_weir_fetch_string(p, &text);
    p = ngx_sprintf(p, ",\"headers\":[");

    for (i = 0; i < answer->nheaders; i++) {
        p = ngx_sprintf(p, "%s[", i ? "," : "");
        p = ngx_http_weir_fetch_string(p, &answer->headers[i].name);
        *p++ = ',';
        p = ngx_http_weir_fetch_string(p, &answer->headers[i].value);
        *p++ = ']';
    }

    p = ngx_sprintf(p, "],\"body\":");
    p = ngx_http_weir_fetch_string(p, &body);
    *p++ = '}';

    b->last = p;
    b->last_buf = 1;
    b->last_in_chain = 1;

    return b;
}


/* bytes as Latin-1 */

static u_char *
ngx_http_weir_fetch_string(u_char *p, ngx_str_t *s)
{
    u_char  ch;
    size_t  i;

    *p++ = '"';

    for (i = 0; i < s->len; i++) {
        ch = s->data[i];

        if (ch < ' ' || ch > '~' || ch == '"' || ch == '\\') {
            p = ngx_sprintf(p, "\\u%04Xd", (ngx_uint_t) ch);

        } else {
            *p++ = ch;
        }
    }

    *p++ = '"';

    return p;
}


static void
ngx_http_weir_fetch_cleanup(void *data)
{
    ngx_http_weir_fetch_ctx_t *ctx = data;

    ngx_http_weir_fetch_main_conf_t  *fmcf;

    if (ctx->call) {
        fmcf = ngx_http_get_module_main_conf(ctx->request,
                                             ngx_http_weir_fetch_module);
        fmcf->client->cancel(ctx->call);
    }
}


static void *
ngx_http_weir_fetch_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_fetch_main_conf_t));
}


static void *
ngx_http_weir_fetch_create_loc_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_fetch_loc_conf_t));
}


static char *
ngx_http_weir_fetch(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_fetch_loc_conf_t *flcf = conf;

    char                             *rv;
    ngx_str_t                        *value;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_weir_client_profile_t   *profile;
    ngx_http_weir_fetch_main_conf_t  *fmcf;

    rv = ngx_http_weir_fetch_any(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    flcf->any = 0;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_fetch_module);

    rv = ngx_http_weir_fetch_profile(cf, fmcf->client, &profile);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    value = cf->args->elts;

    flcf->target = fmcf->client->parse(cf, &value[1], profile);
    if (flcf->target == NULL) {
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_weir_fetch_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_fetch_profile(ngx_conf_t *cf,
    const ngx_http_weir_client_api_t *client,
    ngx_http_weir_client_profile_t **profile)
{
    size_t                          len;
    ngx_str_t                      *value, *field;
    ngx_uint_t                      i;
    ngx_http_weir_client_options_t  o;

    *profile = NULL;

    if (cf->args->nelts == 2) {
        return NGX_CONF_OK;
    }

    ngx_memzero(&o, sizeof(ngx_http_weir_client_options_t));

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "insecure") == 0) {
            o.no_verify = 1;
            continue;
        }

        if (ngx_strncmp(value[i].data, "ca=", 3) == 0) {
            field = &o.ca_file;
            len = 3;

        } else if (ngx_strncmp(value[i].data, "cert=", 5) == 0) {
            field = &o.certificate;
            len = 5;

        } else if (ngx_strncmp(value[i].data, "key=", 4) == 0) {
            field = &o.certificate_key;
            len = 4;

        } else if (ngx_strncmp(value[i].data, "name=", 5) == 0) {
            field = &o.server_name;
            len = 5;

        } else {
            return "has an unknown parameter";
        }

        field->data = value[i].data + len;
        field->len = value[i].len - len;
    }

    *profile = client->profile(cf, &o);

    return (*profile == NULL) ? NGX_CONF_ERROR : NGX_CONF_OK;
}


static char *
ngx_http_weir_fetch_any(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_fetch_loc_conf_t *flcf = conf;

    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_weir_fetch_main_conf_t  *fmcf;

    fmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_fetch_module);

    if (fmcf->client == NULL) {
        fmcf->client = ngx_http_weir_find_client(cf, "the test module");
        if (fmcf->client == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    flcf->any = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_weir_fetch_handler;

    return NGX_CONF_OK;
}
