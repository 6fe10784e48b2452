
/*
 * Weir: one asynchronous HTTP/1.1 client for every module that has to ask
 * somebody; this file has the directives and the table of functions.
 */


#include "ngx_http_weir_client_module.h"


static void *ngx_http_weir_client_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_client_init_main_conf(ngx_conf_t *cf, void *conf);
static char *ngx_http_weir_client_resolver(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_client_allow(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_weir_client_init(ngx_conf_t *cf);
static void ngx_http_weir_client_exit_process(ngx_cycle_t *cycle);


static const ngx_http_weir_client_api_t  ngx_http_weir_client_api = {
    NGX_HTTP_WEIR_CLIENT_ABI,
    sizeof(ngx_http_weir_client_api_t),
    ngx_http_weir_client_profile,
    ngx_http_weir_client_parse,
    ngx_http_weir_client_start,
    ngx_http_weir_client_cancel
};


static ngx_command_t  ngx_http_weir_client_commands[] = {

    { ngx_string("weir_client_resolver"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_weir_client_resolver,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_client_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, timeout),
      NULL },

    { ngx_string("weir_client_connect_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, connect_timeout),
      NULL },

    { ngx_string("weir_client_keepalive"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, keepalive),
      NULL },

    { ngx_string("weir_client_keepalive_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, keepalive_timeout),
      NULL },

    { ngx_string("weir_client_max_calls"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, max_calls),
      NULL },

    { ngx_string("weir_client_max_body"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, max_body),
      NULL },

    { ngx_string("weir_client_max_header"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, max_header),
      NULL },

    { ngx_string("weir_client_ca_file"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, profile.options.ca_file),
      NULL },

    { ngx_string("weir_client_certificate"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, profile.options.certificate),
      NULL },

    { ngx_string("weir_client_certificate_key"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_str_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t,
               profile.options.certificate_key),
      NULL },

    { ngx_string("weir_client_verify"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_client_main_conf_t, verify),
      NULL },

    { ngx_string("weir_client_allow"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_weir_client_allow,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_client_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_weir_client_init,             /* postconfiguration */

    ngx_http_weir_client_create_main_conf, /* create main configuration */
    ngx_http_weir_client_init_main_conf,   /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_client_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_client_module_ctx,      /* module context */
    ngx_http_weir_client_commands,         /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_client_exit_process,     /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_weir_client_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_client_main_conf_t  *wmcf;

    wmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_client_main_conf_t));
    if (wmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     wmcf->profile = { 0 };
     *     wmcf->allow = NULL;
     *     wmcf->resolver = NULL;
     *     wmcf->profiled = 0;
     *     wmcf->resolved = 0;
     *     wmcf->ncalls = 0;
     *     wmcf->nidle = 0;
     */

    wmcf->api = &ngx_http_weir_client_api;
    wmcf->timeout = NGX_CONF_UNSET_MSEC;
    wmcf->connect_timeout = NGX_CONF_UNSET_MSEC;
    wmcf->keepalive_timeout = NGX_CONF_UNSET_MSEC;
    wmcf->keepalive = NGX_CONF_UNSET_UINT;
    wmcf->max_calls = NGX_CONF_UNSET_UINT;
    wmcf->max_body = NGX_CONF_UNSET_SIZE;
    wmcf->max_header = NGX_CONF_UNSET_SIZE;
    wmcf->verify = NGX_CONF_UNSET;

    if (ngx_array_init(&wmcf->targets, cf->pool, 4,
                       sizeof(ngx_http_weir_client_target_t *))
        != NGX_OK
        || ngx_array_init(&wmcf->profiles, cf->pool, 4,
                          sizeof(ngx_http_weir_client_profile_t *))
           != NGX_OK)
    {
        return NULL;
    }

    wmcf->buffer = ngx_palloc(cf->pool, NGX_HTTP_WEIR_CLIENT_BUFFER);
    if (wmcf->buffer == NULL) {
        return NULL;
    }

    ngx_queue_init(&wmcf->calls);
    ngx_queue_init(&wmcf->idle);

    return wmcf;
}


static char *
ngx_http_weir_client_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_client_main_conf_t *wmcf = conf;

    ngx_conf_init_msec_value(wmcf->timeout, 10000);
    ngx_conf_init_msec_value(wmcf->connect_timeout, 3000);
    ngx_conf_init_msec_value(wmcf->keepalive_timeout, 20000);
    ngx_conf_init_uint_value(wmcf->keepalive, 16);
    ngx_conf_init_uint_value(wmcf->max_calls, 256);
    ngx_conf_init_size_value(wmcf->max_body, 1024 * 1024);
    ngx_conf_init_size_value(wmcf->max_header, 32 * 1024);
    ngx_conf_init_value(wmcf->verify, 1);

    wmcf->profile.options.no_verify = !wmcf->verify;

    if (wmcf->timeout == 0 || wmcf->connect_timeout == 0
        || wmcf->max_calls == 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_client_timeout\", "
                      "\"weir_client_connect_timeout\" and "
                      "\"weir_client_max_calls\" must not be zero");
        return NGX_CONF_ERROR;
    }

    if (wmcf->max_header < 1024) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_client_max_header\" must be at least 1k");
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_client_init_profiles(cf, wmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_client_resolver(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_client_main_conf_t *wmcf = conf;

    ngx_str_t  *value;

    if (wmcf->resolver) {
        return "is duplicate";
    }

    value = cf->args->elts;

    wmcf->resolver = ngx_resolver_create(cf, &value[1], cf->args->nelts - 1);
    if (wmcf->resolver == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_client_allow(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_client_main_conf_t *wmcf = conf;

    ngx_int_t    rc;
    ngx_str_t   *value;
    ngx_uint_t   i;
    ngx_cidr_t  *cidr;

    if (wmcf->allow == NULL) {
        wmcf->allow = ngx_array_create(cf->pool, 4, sizeof(ngx_cidr_t));
        if (wmcf->allow == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        cidr = ngx_array_push(wmcf->allow);
        if (cidr == NULL) {
            return NGX_CONF_ERROR;
        }

        rc = ngx_ptocidr(&value[i], cidr);

        if (rc == NGX_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid network \"%V\": write it like "
                               "10.1.0.0/16", &value[i]);
            return NGX_CONF_ERROR;
        }

        if (rc == NGX_DONE) {
            ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                               "low address bits of \"%V\" are meaningless",
                               &value[i]);
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_client_init(ngx_conf_t *cf)
{
    ngx_http_core_loc_conf_t          *clcf;
    ngx_http_weir_client_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_client_module);

    if (wmcf->resolver == NULL) {
        clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

        /* without a "resolver" there may be an empty one */

        if (clcf->resolver && clcf->resolver->connections.nelts) {
            wmcf->resolver = clcf->resolver;
        }
    }

    return ngx_http_weir_client_resolve_targets(cf, wmcf);
}


static void
ngx_http_weir_client_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_client_main_conf_t  *wmcf;

    wmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_client_module);

    if (wmcf) {
        ngx_http_weir_client_exit(wmcf);
    }
}
