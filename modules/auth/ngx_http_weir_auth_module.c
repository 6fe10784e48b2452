
/*
 * Weir: who asks?  API keys, tokens and certificates, by the documents.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_auth.h"


#define NGX_HTTP_WEIR_AUTH_ZONE  (8 * ngx_pagesize)


static ngx_int_t ngx_http_weir_auth_preconf(ngx_conf_t *cf);
static void *ngx_http_weir_auth_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_auth_init_main_conf(ngx_conf_t *cf, void *conf);
static ngx_int_t ngx_http_weir_auth_add_zone(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf);
static ngx_int_t ngx_http_weir_auth_find_client(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf);
static ngx_int_t ngx_http_weir_auth_variables(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf);
static char *ngx_http_weir_auth_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_weir_auth_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_weir_auth_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_auth_exit_process(ngx_cycle_t *cycle);
static void ngx_http_weir_auth_free(void *data);


static ngx_conf_num_bounds_t  ngx_http_weir_auth_entries = {
    ngx_conf_check_num_bounds, 0, 1048576
};


static ngx_command_t  ngx_http_weir_auth_commands[] = {

    { ngx_string("weir_tenants"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_auth_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_auth_main_conf_t, files[NGX_HTTP_WEIR_TENANTS]),
      NULL },

    { ngx_string("weir_policies"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_auth_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_auth_main_conf_t, files[NGX_HTTP_WEIR_POLICIES]),
      NULL },

    { ngx_string("weir_identity"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_auth_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_auth_main_conf_t, files[NGX_HTTP_WEIR_IDENTITY]),
      NULL },

    { ngx_string("weir_routes"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_auth_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_auth_main_conf_t, files[NGX_HTTP_WEIR_ROUTES]),
      NULL },

    { ngx_string("weir_prices"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_auth_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_auth_main_conf_t, files[NGX_HTTP_WEIR_PRICES]),
      NULL },

    { ngx_string("weir_journal"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_auth_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_auth_main_conf_t, journal_file),
      NULL },

    { ngx_string("weir_jwks_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_auth_main_conf_t, jwks_timeout),
      NULL },

    { ngx_string("weir_token_cache"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_num_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_auth_main_conf_t, cache_entries),
      &ngx_http_weir_auth_entries },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_auth_module_ctx = {
    ngx_http_weir_auth_preconf,            /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_weir_auth_create_main_conf,   /* create main configuration */
    ngx_http_weir_auth_init_main_conf,     /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_auth_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_auth_module_ctx,        /* module context */
    ngx_http_weir_auth_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_weir_auth_init_module,        /* init module */
    ngx_http_weir_auth_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_auth_exit_process,       /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_weir_auth_preconf(ngx_conf_t *cf)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_auth_module);

    wamcf->weir = ngx_http_weir_find_core(cf, "ngx_http_weir_auth_module");

    return (wamcf->weir == NULL) ? NGX_ERROR : NGX_OK;
}


static void *
ngx_http_weir_auth_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_auth_main_conf_t));
    if (wamcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     wamcf->weir = NULL;
     *     wamcf->client = NULL;
     *     wamcf->files = { { 0, NULL }, ... };
     *     wamcf->journal_file = { 0, NULL };
     *     wamcf->state = { NULL, ... };
     *     wamcf->zone = NULL;
     *     wamcf->sh = NULL;
     *     wamcf->pid = 0;
     *     wamcf->journal = NULL;
     *     wamcf->cache = NULL;
     */

    wamcf->api = &ngx_http_weir_auth_api;
    wamcf->jwks_timeout = NGX_CONF_UNSET_MSEC;
    wamcf->cache_entries = NGX_CONF_UNSET;
    wamcf->client_verify = NGX_ERROR;
    wamcf->client_subject = NGX_ERROR;

    ngx_queue_init(&wamcf->sources);

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_weir_auth_free;
    cln->data = wamcf;

    return wamcf;
}


static char *
ngx_http_weir_auth_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_auth_main_conf_t *wamcf = conf;

    ngx_uint_t  i;

    ngx_conf_init_msec_value(wamcf->jwks_timeout, 3000);
    ngx_conf_init_value(wamcf->cache_entries, 4096);

    if (wamcf->files[NGX_HTTP_WEIR_TENANTS].len == 0) {

        for (i = 0; i < NGX_HTTP_WEIR_FILES; i++) {
            if (wamcf->files[i].len) {
                break;
            }
        }

        if (i == NGX_HTTP_WEIR_FILES && wamcf->journal_file.len == 0) {
            return NGX_CONF_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "documents and \"weir_journal\" need \"weir_tenants\" "
                      "beside them");
        return NGX_CONF_ERROR;
    }

    /* a fetch that fails answers before the core's deadline does */

    wamcf->plugin.timeout = wamcf->jwks_timeout + 1000;

    if (ngx_http_weir_auth_load(cf, wamcf) != NGX_OK
        || ngx_http_weir_auth_find_client(cf, wamcf) != NGX_OK
        || ngx_http_weir_auth_variables(cf, wamcf) != NGX_OK
        || ngx_http_weir_auth_add_zone(cf, wamcf) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_http_weir_auth_try_files(cf, wamcf);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_auth_add_zone(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf)
{
    ngx_str_t  name = ngx_string("weir_auth");

    wamcf->zone = ngx_shared_memory_add(cf, &name, NGX_HTTP_WEIR_AUTH_ZONE,
                                        &ngx_http_weir_auth_module);
    if (wamcf->zone == NULL) {
        return NGX_ERROR;
    }

    wamcf->zone->init = ngx_http_weir_auth_init_zone;
    wamcf->zone->data = wamcf;

    return NGX_OK;
}


/*
 * Needed for keys at a URL.  A document that is read later may name the first
 * one, so it is looked for in any case.
 */

static ngx_int_t
ngx_http_weir_auth_find_client(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf)
{
    size_t                  i;
    const weir_identity_t  *identity;

    if (ngx_http_weir_find_module(cf, NGX_HTTP_WEIR_CLIENT)) {
        wamcf->client = ngx_http_weir_find_client(cf,
                                                "ngx_http_weir_auth_module");
        return (wamcf->client == NULL) ? NGX_ERROR : NGX_OK;
    }

    identity = weir_registry_identity(wamcf->state.current);

    for (i = 0; identity && i < identity->n_issuers; i++) {

        if (identity->issuers[i].jwks_url.len) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"jwks_url\" in \"%V\" needs "
                          NGX_HTTP_WEIR_CLIENT ": add \"load_module "
                          "modules/" NGX_HTTP_WEIR_CLIENT ".so;\"",
                          &wamcf->files[NGX_HTTP_WEIR_IDENTITY]);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_auth_variables(ngx_conf_t *cf,
    ngx_http_weir_auth_main_conf_t *wamcf)
{
#if (NGX_HTTP_SSL)

    ngx_str_t  verify = ngx_string("ssl_client_verify");
    ngx_str_t  subject = ngx_string("ssl_client_s_dn");

    if (wamcf->files[NGX_HTTP_WEIR_IDENTITY].len == 0) {
        return NGX_OK;
    }

    wamcf->client_verify = ngx_http_get_variable_index(cf, &verify);
    wamcf->client_subject = ngx_http_get_variable_index(cf, &subject);

    if (wamcf->client_verify == NGX_ERROR
        || wamcf->client_subject == NGX_ERROR)
    {
        return NGX_ERROR;
    }

#endif

    return NGX_OK;
}


static char *
ngx_http_weir_auth_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_auth_main_conf_t *wamcf = conf;

    ngx_str_t  *value, *file;

    file = (ngx_str_t *) ((char *) conf + cmd->offset);

    if (file->data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs the name of a file";
    }

    *file = value[1];

    if (ngx_conf_full_name(cf->cycle, file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (file != &wamcf->files[NGX_HTTP_WEIR_TENANTS]) {
        return NGX_CONF_OK;
    }

    /* the core refuses a governed location that no plugin can admit to */

    ngx_str_set(&wamcf->plugin.name, "auth");

    wamcf->plugin.stage = NGX_HTTP_WEIR_STAGE_IDENTITY;
    wamcf->plugin.on_failure = NGX_HTTP_WEIR_FAIL_CLOSED;
    wamcf->plugin.data = wamcf;
    wamcf->plugin.admit = ngx_http_weir_auth_admit;
    wamcf->plugin.cancel = ngx_http_weir_auth_cancel;

    if (wamcf->weir->add_plugin(cf, &wamcf->plugin) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_auth_init_module(ngx_cycle_t *cycle)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_cycle_get_module_main_conf(cycle,
                                                ngx_http_weir_auth_module);

    if (wamcf == NULL || wamcf->zone == NULL) {
        return NGX_OK;
    }

    return ngx_http_weir_auth_in_force(cycle, wamcf);
}


static ngx_int_t
ngx_http_weir_auth_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_cycle_get_module_main_conf(cycle,
                                                ngx_http_weir_auth_module);

    if (wamcf == NULL
        || wamcf->zone == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    return ngx_http_weir_auth_start(cycle, wamcf);
}


static void
ngx_http_weir_auth_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_auth_main_conf_t  *wamcf;

    wamcf = ngx_http_cycle_get_module_main_conf(cycle,
                                                ngx_http_weir_auth_module);

    if (wamcf && wamcf->zone) {
        ngx_http_weir_auth_stop(wamcf);
    }
}


static void
ngx_http_weir_auth_free(void *data)
{
    ngx_http_weir_auth_main_conf_t *wamcf = data;

    weir_registry_unref(wamcf->state.current);
    wamcf->state.current = NULL;
}
