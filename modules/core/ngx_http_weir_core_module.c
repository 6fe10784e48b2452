
/*
 * Weir's core: which locations are governed, the only handler per phase, and
 * the hooks of the other modules.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


static ngx_int_t ngx_http_weir_preaccess_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_precontent_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_log_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_core_preconf(ngx_conf_t *cf);
static void *ngx_http_weir_core_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_core_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_weir_core_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_core_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static char *ngx_http_weir_on(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_weir_api_prefix(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_pass_through(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_usage_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_weir_core_init(ngx_conf_t *cf);
static void ngx_http_weir_core_exit_process(ngx_cycle_t *cycle);


static const ngx_http_weir_api_t  ngx_http_weir_api = {
    NGX_HTTP_WEIR_ABI,
    sizeof(ngx_http_weir_api_t),
    ngx_http_weir_add_plugin,
    ngx_http_weir_get_ctx,
    ngx_http_weir_slot,
    ngx_http_weir_arena,
    ngx_http_weir_refuse,
    ngx_http_weir_deny,
    ngx_http_weir_respond,
    ngx_http_weir_edit,
    ngx_http_weir_replace_body,
    ngx_http_weir_resume,
    ngx_http_weir_stop,
    ngx_http_weir_wake,
    ngx_http_weir_walk,
    ngx_http_weir_tag,
    ngx_http_weir_work,
    ngx_http_weir_add_header
};


static ngx_conf_enum_t  ngx_http_weir_refusal_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_weir_upstream_apis[] = {
    { ngx_string("same"), NGX_HTTP_WEIR_API_SAME },
    { ngx_string("openai"), NGX_HTTP_WEIR_API_OPENAI },
    { ngx_string("chat"), NGX_HTTP_WEIR_API_CHAT },
    { ngx_string("anthropic"), NGX_HTTP_WEIR_API_ANTHROPIC },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_weir_core_commands[] = {

    { ngx_string("weir"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_weir_on,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_core_loc_conf_t, enable),
      NULL },

    { ngx_string("weir_api_prefix"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_api_prefix,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_pass_through"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_pass_through,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_upstream_api"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_core_loc_conf_t, upstream_api),
      &ngx_http_weir_upstream_apis },

    { ngx_string("weir_translate_options"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_translate_options,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_upstream_key"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_upstream_key,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_ask_usage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_core_loc_conf_t, ask_usage),
      NULL },

    { ngx_string("weir_read_usage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_core_loc_conf_t, read_usage),
      NULL },

    { ngx_string("weir_usage_log"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_usage_log,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_plugin"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_weir_foreign_plugin,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cancelled_usage"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cancelled_usage,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_refusal_log_level"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_enum_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_core_main_conf_t, refusal_level),
      &ngx_http_weir_refusal_levels },

    { ngx_string("weir_usage_max_event"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_core_main_conf_t, max_event),
      NULL },

    { ngx_string("weir_max_document"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_size_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_core_main_conf_t, max_document),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_core_module_ctx = {
    ngx_http_weir_core_preconf,            /* preconfiguration */
    ngx_http_weir_core_init,               /* postconfiguration */

    ngx_http_weir_core_create_main_conf,   /* create main configuration */
    ngx_http_weir_core_init_main_conf,     /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_core_create_loc_conf,    /* create location configuration */
    ngx_http_weir_core_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_weir_core_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_core_module_ctx,        /* module context */
    ngx_http_weir_core_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_foreign_start,           /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_core_exit_process,       /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_weir_preaccess_handler(ngx_http_request_t *r)
{
    return ngx_http_weir_enforce(r, NGX_HTTP_WEIR_STEP_ADMIT);
}


static ngx_int_t
ngx_http_weir_precontent_handler(ngx_http_request_t *r)
{
    return ngx_http_weir_enforce(r, NGX_HTTP_WEIR_STEP_ROUTE);
}


static ngx_int_t
ngx_http_weir_log_handler(ngx_http_request_t *r)
{
    ngx_http_weir_core_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_OK;
    }

    ctx = ngx_http_weir_find_ctx(r);

    if (ctx) {
        ngx_http_weir_settle(ctx);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_core_preconf(ngx_conf_t *cf)
{
    if (ngx_http_weir_add_variables(cf) != NGX_OK
        || ngx_http_weir_add_key_variables(cf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_weir_add_plugin(cf, &ngx_http_weir_policy_plugin)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_weir_add_plugin(cf, &ngx_http_weir_translate_plugin);
}


static void *
ngx_http_weir_core_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_core_main_conf_t  *wmcf;

    wmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_core_main_conf_t));
    if (wmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     wmcf->usage_log = NULL;
     *     wmcf->usage_log_failed = 0;
     *     wmcf->used = 0;
     */

    wmcf->api = &ngx_http_weir_api;
    wmcf->max_event = NGX_CONF_UNSET_SIZE;
    wmcf->max_document = NGX_CONF_UNSET_SIZE;
    wmcf->refusal_level = NGX_CONF_UNSET_UINT;

    if (ngx_array_init(&wmcf->plugins, cf->pool, 16,
                       sizeof(ngx_http_weir_plugin_t *))
        != NGX_OK)
    {
        return NULL;
    }

    ngx_queue_init(&wmcf->live);
    ngx_queue_init(&wmcf->turn_waiting);

    return wmcf;
}


static char *
ngx_http_weir_core_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_core_main_conf_t *wmcf = conf;

    ngx_conf_init_size_value(wmcf->max_event, 4 * 1024 * 1024);
    ngx_conf_init_size_value(wmcf->max_document, 16 * 1024 * 1024);
    ngx_conf_init_uint_value(wmcf->refusal_level, NGX_LOG_NOTICE);

    if (wmcf->max_event < 1024) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_usage_max_event\" must be at least 1k");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_weir_core_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_core_loc_conf_t  *wlcf;

    wlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_core_loc_conf_t));
    if (wlcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     wlcf->prefix = { 0, NULL };
     *     wlcf->pass_through = 0;
     */

    wlcf->question = NGX_CONF_UNSET_PTR;
    wlcf->enable = NGX_CONF_UNSET;
    wlcf->ask_usage = NGX_CONF_UNSET;
    wlcf->read_usage = NGX_CONF_UNSET;
    wlcf->upstream_api = NGX_CONF_UNSET_UINT;
    wlcf->translate = NGX_CONF_UNSET_PTR;

    return wlcf;
}


static char *
ngx_http_weir_core_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_core_loc_conf_t *prev = parent;
    ngx_http_weir_core_loc_conf_t *conf = child;

    ngx_http_weir_core_main_conf_t  *wmcf;

    ngx_conf_merge_ptr_value(conf->question, prev->question, NULL);
    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_value(conf->ask_usage, prev->ask_usage, 1);
    ngx_conf_merge_value(conf->read_usage, prev->read_usage, 1);
    ngx_conf_merge_str_value(conf->upstream_bearer, prev->upstream_bearer, "");
    ngx_conf_merge_uint_value(conf->upstream_api, prev->upstream_api,
                              NGX_HTTP_WEIR_API_SAME);
    ngx_conf_merge_ptr_value(conf->translate, prev->translate,
                             &ngx_http_weir_translate_defaults);
    ngx_conf_merge_str_value(conf->prefix, prev->prefix, "");
    ngx_conf_merge_bitmask_value(conf->pass_through, prev->pass_through,
                                 NGX_CONF_BITMASK_SET);

    if (conf->enable
        && (conf->read_usage
            || conf->upstream_api != NGX_HTTP_WEIR_API_SAME))
    {
        wmcf = ngx_http_conf_get_module_main_conf(cf,
                                                  ngx_http_weir_core_module);
        wmcf->bodies = 1;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_on(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_core_loc_conf_t *wlcf = conf;

    char                            *rv;
    ngx_http_weir_core_main_conf_t  *wmcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (wlcf->enable) {
        wmcf = ngx_http_conf_get_module_main_conf(cf,
                                                  ngx_http_weir_core_module);
        wmcf->used = 1;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_api_prefix(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_core_loc_conf_t *wlcf = conf;

    u_char     *p, *last;
    ngx_str_t  *value;

    if (wlcf->prefix.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    /* "/" and "" are no prefix, as those of "location" a slash may end it */

    if (value[1].len && value[1].data[value[1].len - 1] == '/') {
        value[1].len--;
    }

    last = value[1].data + value[1].len;

    for (p = value[1].data; p < last; p++) {

        if (*p <= ' ' || *p > '~' || *p == '%' || *p == '?' || *p == '#'
            || (*p == '/' && p + 1 < last && p[1] == '/'))
        {
            break;
        }
    }

    if (p < last || (value[1].len && value[1].data[0] != '/')) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_api_prefix\" must be a plain path that "
                           "begins with \"/\", not \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    wlcf->prefix = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_pass_through(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_core_loc_conf_t *wlcf = conf;

    ngx_str_t              *value;
    ngx_uint_t              i;
    weir_endpoint_group_t   group;

    if (wlcf->pass_through) {
        return "is duplicate";
    }

    value = cf->args->elts;

    wlcf->pass_through = NGX_CONF_BITMASK_SET;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "none") == 0 && cf->args->nelts == 2) {
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(value[i].data, "all") == 0) {
            wlcf->pass_through |= ((ngx_uint_t) 2 << WEIR_GROUPS) - 1;
            continue;
        }

        group = weir_endpoint_group_find(weir_str((char *) value[i].data,
                                                  value[i].len));

        if (group == WEIR_GROUPS) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown group of paths \"%V\" in "
                               "\"weir_pass_through\": see docs/gateway.md",
                               &value[i]);
            return NGX_CONF_ERROR;
        }

        wlcf->pass_through |= (ngx_uint_t) 2 << group;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_usage_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_core_main_conf_t *wmcf = conf;

    ngx_str_t  *value;

    if (wmcf->usage_log) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs the name of a file";
    }

    /* opened by the master with O_APPEND, reopened on USR1 */

    wmcf->usage_log = ngx_conf_open_file(cf->cycle, &value[1]);
    if (wmcf->usage_log == NULL) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_core_init(ngx_conf_t *cf)
{
    ngx_http_handler_pt             *h;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_weir_core_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_core_module);

    if (!wmcf->used) {
        return NGX_OK;
    }

    if (ngx_http_weir_add_threads(cf, wmcf) != NGX_OK
        || ngx_http_weir_sort_plugins(cf, wmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_weir_preaccess_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PRECONTENT_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_weir_precontent_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_weir_log_handler;

    ngx_http_weir_filter_init();

    return NGX_OK;
}


/* a worker that is told to end at once does not end its requests */

static void
ngx_http_weir_core_exit_process(ngx_cycle_t *cycle)
{
    ngx_queue_t                     *q;
    ngx_http_weir_core_ctx_t        *ctx;
    ngx_http_weir_core_main_conf_t  *wmcf;

    wmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_core_module);
    if (wmcf == NULL) {
        return;
    }

    while (!ngx_queue_empty(&wmcf->live)) {
        q = ngx_queue_head(&wmcf->live);
        ctx = ngx_queue_data(q, ngx_http_weir_core_ctx_t, queue);

        ngx_http_weir_settle(ctx);
    }

    ngx_http_weir_foreign_stop(wmcf);

    if (wmcf->scratch) {
        weir_scratch_free(wmcf->scratch);
        wmcf->scratch = NULL;
    }
}
