
/*
 * Weir: metrics and health of the gateway, for this machine only.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_metrics.h"
#include "ngx_http_weir_counters.h"


#define NGX_HTTP_WEIR_HEALTH                                                  \
    "{\"status\":\"ok\",\"version\":\"" NGX_HTTP_WEIR_VERSION "\"}" CRLF


typedef struct {
    const ngx_http_weir_api_t          *weir;
    const ngx_http_weir_registry_api_t *registry;
    const ngx_http_weir_counters_t     *guard;
    ngx_http_weir_plugin_t              plugin;
    size_t                              size;
    ngx_shm_zone_t                     *shm_zone;
} ngx_http_weir_metrics_main_conf_t;


static ngx_int_t ngx_http_weir_metrics_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_metrics_add(ngx_http_request_t *r,
    const ngx_http_weir_counters_t *counters, ngx_chain_t *out, off_t *size);
static ngx_int_t ngx_http_weir_health_handler(ngx_http_request_t *r);
static const ngx_http_weir_refusal_t *ngx_http_weir_metrics_check(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_metrics_refuse(ngx_http_request_t *r,
    ngx_http_weir_metrics_main_conf_t *wmmcf,
    const ngx_http_weir_refusal_t *why);
static ngx_uint_t ngx_http_weir_metrics_local(ngx_connection_t *c);
static ngx_int_t ngx_http_weir_metrics_send(ngx_http_request_t *r,
    ngx_str_t *type, ngx_chain_t *out, off_t size);
static ngx_int_t ngx_http_weir_metrics_preconf(ngx_conf_t *cf);
static void *ngx_http_weir_metrics_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_metrics_init_main_conf(ngx_conf_t *cf,
    void *conf);
static char *ngx_http_weir_metrics_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_health_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static const ngx_http_weir_refusal_t  ngx_http_weir_metrics_not_local =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "forbidden",
                          "This path is served to the gateway's own "
                          "machine only.",
                          "not_local");


static const ngx_http_weir_refusal_t  ngx_http_weir_metrics_method =
    ngx_http_weir_refusal(NGX_HTTP_NOT_ALLOWED, "invalid_request_error",
                          "method_not_allowed",
                          "This path takes GET and HEAD only.",
                          "method");


static ngx_str_t  ngx_http_weir_metrics_type =
    ngx_string("text/plain; version=0.0.4; charset=utf-8");
static ngx_str_t  ngx_http_weir_health_type = ngx_string("application/json");
static ngx_str_t  ngx_http_weir_metrics_zone = ngx_string("weir_metrics");


static ngx_command_t  ngx_http_weir_metrics_commands[] = {

    { ngx_string("weir_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_metrics_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_metrics_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_metrics_main_conf_t, size),
      NULL },

    { ngx_string("weir_health"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_health_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_metrics_module_ctx = {
    ngx_http_weir_metrics_preconf,         /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_weir_metrics_create_main_conf, /* create main configuration */
    ngx_http_weir_metrics_init_main_conf,  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_metrics_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_metrics_module_ctx,     /* module context */
    ngx_http_weir_metrics_commands,        /* module directives */
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
ngx_http_weir_metrics_handler(ngx_http_request_t *r)
{
    off_t                               size;
    ngx_chain_t                        *out;
    ngx_http_weir_documents_t           documents;
    const ngx_http_weir_refusal_t      *why;
    ngx_http_weir_metrics_main_conf_t  *wmmcf;

    wmmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_metrics_module);

    why = ngx_http_weir_metrics_check(r);
    if (why) {
        return ngx_http_weir_metrics_refuse(r, wmmcf, why);
    }

    documents.loads = 0;

    if (wmmcf->registry) {
        wmmcf->registry->documents(&documents);
    }

    out = ngx_http_weir_metrics_text(r->pool, wmmcf->shm_zone->data,
                                     documents.loads ? &documents : NULL,
                                     &size);
    if (out == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (wmmcf->guard
        && ngx_http_weir_metrics_add(r, wmmcf->guard, out, &size) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_weir_metrics_send(r, &ngx_http_weir_metrics_type, out,
                                      size);
}


/* what another module has counted, behind our own */

static ngx_int_t
ngx_http_weir_metrics_add(ngx_http_request_t *r,
    const ngx_http_weir_counters_t *counters, ngx_chain_t *out, off_t *size)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_str_t     text;
    ngx_chain_t  *cl;

    rc = counters->text(r, &text);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->pos = text.data;
    b->last = text.data + text.len;
    b->memory = 1;

    cl->buf = b;
    cl->next = NULL;

    while (out->next) {
        out = out->next;
    }

    out->next = cl;
    *size += text.len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_health_handler(ngx_http_request_t *r)
{
    ngx_buf_t                          *b;
    ngx_chain_t                         out;
    const ngx_http_weir_refusal_t      *why;
    ngx_http_weir_metrics_main_conf_t  *wmmcf;

    wmmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_metrics_module);

    why = ngx_http_weir_metrics_check(r);
    if (why) {
        return ngx_http_weir_metrics_refuse(r, wmmcf, why);
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = (u_char *) NGX_HTTP_WEIR_HEALTH;
    b->last = b->pos + sizeof(NGX_HTTP_WEIR_HEALTH) - 1;
    b->memory = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_weir_metrics_send(r, &ngx_http_weir_health_type, &out,
                                      b->last - b->pos);
}


static const ngx_http_weir_refusal_t *
ngx_http_weir_metrics_check(ngx_http_request_t *r)
{
    if (!ngx_http_weir_metrics_local(r->connection)) {
        return &ngx_http_weir_metrics_not_local;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return &ngx_http_weir_metrics_method;
    }

    return NULL;
}


static ngx_int_t
ngx_http_weir_metrics_refuse(ngx_http_request_t *r,
    ngx_http_weir_metrics_main_conf_t *wmmcf,
    const ngx_http_weir_refusal_t *why)
{
    static ngx_str_t  allow = ngx_string("Allow");
    static ngx_str_t  methods = ngx_string("GET, HEAD");

    if (why->status == NGX_HTTP_NOT_ALLOWED
        && wmmcf->weir->add_header(r, &allow, &methods) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return wmmcf->weir->refuse(r, why);
}


static ngx_uint_t
ngx_http_weir_metrics_local(ngx_connection_t *c)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    u_char               *p;
    struct sockaddr_in6  *sin6;
#endif

    switch (c->sockaddr->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) c->sockaddr;
        p = sin6->sin6_addr.s6_addr;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            return p[12] == 127;
        }

        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr) ? 1 : 0;
#endif

#if (NGX_HAVE_UNIX_DOMAIN)
    case AF_UNIX:
        return 1;
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) c->sockaddr;

        return (ntohl(sin->sin_addr.s_addr) >> 24) == 127;

    default:
        return 0;
    }
}


static ngx_int_t
ngx_http_weir_metrics_send(ngx_http_request_t *r, ngx_str_t *type,
    ngx_chain_t *out, off_t size)
{
    ngx_int_t     rc;
    ngx_chain_t  *cl;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    for (cl = out; cl->next; cl = cl->next) { /* void */ }

    cl->buf->last_buf = (r == r->main) ? 1 : 0;
    cl->buf->last_in_chain = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = size;
    r->headers_out.content_type = *type;
    r->headers_out.content_type_len = type->len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, out);
}


static ngx_int_t
ngx_http_weir_metrics_preconf(ngx_conf_t *cf)
{
    ngx_http_weir_metrics_main_conf_t  *wmmcf;

    wmmcf = ngx_http_conf_get_module_main_conf(cf,
                                               ngx_http_weir_metrics_module);

    wmmcf->weir = ngx_http_weir_find_core(cf, "ngx_http_weir_metrics_module");

    if (wmmcf->weir == NULL) {
        return NGX_ERROR;
    }

    ngx_str_set(&wmmcf->plugin.name, "metrics");
    wmmcf->plugin.stage = NGX_HTTP_WEIR_STAGE_AUDIT;
    wmmcf->plugin.settled = ngx_http_weir_metrics_count;

    return wmmcf->weir->add_plugin(cf, &wmmcf->plugin);
}


static void *
ngx_http_weir_metrics_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_metrics_main_conf_t  *wmmcf;

    wmmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_metrics_main_conf_t));
    if (wmmcf == NULL) {
        return NULL;
    }

    wmmcf->size = NGX_CONF_UNSET_SIZE;

    return wmmcf;
}


static char *
ngx_http_weir_metrics_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_metrics_main_conf_t *wmmcf = conf;

    wmmcf->registry = ngx_http_weir_find_registry(cf);
    wmmcf->guard = ngx_http_weir_find_counters(cf, NGX_HTTP_WEIR_GUARD);

    ngx_conf_init_size_value(wmmcf->size, 512 * 1024);

    if (wmmcf->size < 8 * ngx_pagesize) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_metrics_zone\" must be at least %uz bytes",
                           8 * ngx_pagesize);
        return NGX_CONF_ERROR;
    }

    wmmcf->shm_zone = ngx_shared_memory_add(cf, &ngx_http_weir_metrics_zone,
                                            wmmcf->size,
                                            &ngx_http_weir_metrics_module);
    if (wmmcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    wmmcf->shm_zone->init = ngx_http_weir_metrics_init_zone;

    wmmcf->plugin.data = wmmcf->shm_zone;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_metrics_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_weir_metrics_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_health_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_weir_health_handler;

    return NGX_CONF_OK;
}
