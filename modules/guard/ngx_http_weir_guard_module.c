
/*
 * Weir: guardrails on requests and answers, by the guards document.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard.h"

#include <openssl/rand.h>


static ngx_int_t ngx_http_weir_guard_preconf(ngx_conf_t *cf);
static void *ngx_http_weir_guard_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_guard_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_weir_guard_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_guard_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_weir_guard_add_zone(ngx_conf_t *cf,
    ngx_http_weir_guard_main_conf_t *wgmcf);
static ngx_int_t ngx_http_weir_guard_in_force(ngx_cycle_t *cycle);
static ngx_uint_t ngx_http_weir_guard_wants(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
static char *ngx_http_weir_guard_set_file(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_guard_set_endpoint(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static void ngx_http_weir_guard_turn_handler(ngx_event_t *ev);
static void ngx_http_weir_guard_exit_process(ngx_cycle_t *cycle);
static void ngx_http_weir_guard_free(void *data);


static ngx_command_t  ngx_http_weir_guard_commands[] = {

    { ngx_string("weir_guards"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_guard_set_file,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_guard_timeout"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_MAIN_CONF_OFFSET,
      offsetof(ngx_http_weir_guard_main_conf_t, timeout),
      NULL },

    { ngx_string("weir_guard"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_guard_loc_conf_t, enable),
      NULL },

    { ngx_string("weir_guard_endpoint"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_guard_set_endpoint,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_guard_module_ctx = {
    ngx_http_weir_guard_preconf,           /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_weir_guard_create_main_conf,  /* create main configuration */
    ngx_http_weir_guard_init_main_conf,    /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_guard_create_loc_conf,   /* create location configuration */
    ngx_http_weir_guard_merge_loc_conf     /* merge location configuration */
};


ngx_module_t  ngx_http_weir_guard_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_guard_module_ctx,       /* module context */
    ngx_http_weir_guard_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_weir_guard_in_force,          /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_guard_exit_process,      /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_weir_guard_preconf(ngx_conf_t *cf)
{
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_guard_module);

    wgmcf->weir = ngx_http_weir_find_core(cf, "ngx_http_weir_guard_module");

    return (wgmcf->weir == NULL) ? NGX_ERROR : NGX_OK;
}


static void *
ngx_http_weir_guard_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t               *cln;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_guard_main_conf_t));
    if (wgmcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     wgmcf->weir = NULL;
     *     wgmcf->client = NULL;
     *     wgmcf->file = { 0, NULL };
     *     wgmcf->guards = NULL;
     *     wgmcf->tier2 = NULL;
     *     wgmcf->rules = NULL;
     *     wgmcf->endpoint = 0;
     *     wgmcf->zone = NULL;
     *     wgmcf->sh = NULL;
     *     wgmcf->scratch = NULL;
     *     wgmcf->spare = NULL;
     *     wgmcf->fold = { { NULL, ... } };
     *     wgmcf->used = 0;
     *     wgmcf->scanned = 0;
     *     wgmcf->serving = 0;
     */

    wgmcf->counters = &ngx_http_weir_guard_counters;
    wgmcf->timeout = NGX_CONF_UNSET_MSEC;

    weir_arena_init(&wgmcf->arena, 0, 0);

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_weir_guard_free;
    cln->data = wgmcf;

    return wgmcf;
}


static char *
ngx_http_weir_guard_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = conf;

    size_t                i;
    ngx_msec_t            longest;
    weir_error_t          err;
    weir_guard_options_t  options;

    ngx_conf_init_msec_value(wgmcf->timeout, 5000);

    if (wgmcf->file.len == 0 && !wgmcf->endpoint) {
        return NGX_CONF_OK;
    }

    if (weir_classifier_open_builtin(&wgmcf->model, &err) != WEIR_OK) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "weir_guards: %s",
                      err.message);
        return NGX_CONF_ERROR;
    }

    if (wgmcf->endpoint) {
        ngx_memzero(&options, sizeof(weir_guard_options_t));

        options.pii = 1;
        options.secrets = 1;

        if (weir_guard_rules_compile(&options, &wgmcf->rules, &err)
            != WEIR_OK)
        {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "weir_guard_endpoint: %s", err.message);
            return NGX_CONF_ERROR;
        }
    }

    if (RAND_bytes(wgmcf->salt, sizeof(wgmcf->salt)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "weir_guards: no random bytes");
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_guard_add_zone(cf, wgmcf) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (wgmcf->guards == NULL) {
        return NGX_CONF_OK;
    }

    /* a second opinion that fails is told before the core's deadline */

    longest = 0;

    for (i = 0; i < weir_guards_count(wgmcf->guards); i++) {
        longest = ngx_max(longest, (ngx_msec_t)
                          weir_guards_at(wgmcf->guards, i)->tier2.timeout_ms);
    }

    wgmcf->plugin.timeout = wgmcf->timeout + longest;

    if (ngx_http_weir_guard_find_tier2(cf, wgmcf) != NGX_OK) {
        ngx_http_weir_guard_blame(cf->cycle->old_cycle);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_weir_guard_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_guard_loc_conf_t  *wglcf;

    wglcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_guard_loc_conf_t));
    if (wglcf == NULL) {
        return NULL;
    }

    /*
     * set by ngx_pcalloc():
     *
     *     wglcf->endpoint = 0;
     */

    wglcf->enable = NGX_CONF_UNSET;

    return wglcf;
}


static char *
ngx_http_weir_guard_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_guard_loc_conf_t *prev = parent;
    ngx_http_weir_guard_loc_conf_t *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 1);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_guard_add_zone(ngx_conf_t *cf,
    ngx_http_weir_guard_main_conf_t *wgmcf)
{
    size_t     size;
    ngx_str_t  name = ngx_string("weir_guard");

    size = ngx_align(sizeof(ngx_http_weir_guard_shm_t), ngx_pagesize)
           + 8 * ngx_pagesize;

    wgmcf->zone = ngx_shared_memory_add(cf, &name, size,
                                        &ngx_http_weir_guard_module);
    if (wgmcf->zone == NULL) {
        return NGX_ERROR;
    }

    wgmcf->zone->init = ngx_http_weir_guard_init_zone;
    wgmcf->zone->data = wgmcf;

    return NGX_OK;
}


/* the configuration is good */

static ngx_int_t
ngx_http_weir_guard_in_force(ngx_cycle_t *cycle)
{
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = ngx_http_weir_zone_data(cycle, &ngx_http_weir_guard_module);

    if (wgmcf && wgmcf->sh) {
        wgmcf->sh->bad = 0;
        wgmcf->sh->loaded = ngx_time();
    }

    return NGX_OK;
}


/* bodies of calls that the core does not understand are read here */

static ngx_uint_t
ngx_http_weir_guard_wants(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = data;

    if (ngx_http_weir_guard_policy(r, ctx, wgmcf) == NULL) {
        return 0;
    }

    return NGX_HTTP_WEIR_NEEDS_BODY|NGX_HTTP_WEIR_NEEDS_VIEW
           |NGX_HTTP_WEIR_NEEDS_EDITED|NGX_HTTP_WEIR_NEEDS_RESPONSE;
}


/* NULL: the request is not guarded */

const weir_guard_policy_t *
ngx_http_weir_guard_policy(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    ngx_http_weir_guard_main_conf_t *wgmcf)
{
    ngx_http_weir_guard_loc_conf_t  *wglcf;

    wglcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_guard_module);

    if (!wglcf->enable || wglcf->endpoint) {
        return NULL;
    }

    return weir_guards_find(wgmcf->guards,
                            weir_str((char *) ctx->tenant.data,
                                     ctx->tenant.len),
                            weir_str((char *) ctx->team.data, ctx->team.len),
                            weir_str((char *) ctx->key_id.data,
                                     ctx->key_id.len));
}


static char *
ngx_http_weir_guard_set_file(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = conf;

    ngx_str_t               *value;
    weir_error_t             err;
    ngx_http_weir_plugin_t  *plugin;

    if (wgmcf->file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs the name of a file";
    }

    wgmcf->file = value[1];

    if (ngx_conf_full_name(cf->cycle, &wgmcf->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (weir_guards_load((char *) wgmcf->file.data, &wgmcf->arena,
                         &wgmcf->guards, &err)
        != WEIR_OK)
    {
        ngx_http_weir_guard_blame(cf->cycle->old_cycle);

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "weir_guards: %s",
                           err.message);
        return NGX_CONF_ERROR;
    }

    plugin = &wgmcf->plugin;

    ngx_str_set(&plugin->name, "guard");

    plugin->stage = NGX_HTTP_WEIR_STAGE_GUARD;
    plugin->needs = NGX_HTTP_WEIR_NEEDS_BODY|NGX_HTTP_WEIR_NEEDS_VIEW
                    |NGX_HTTP_WEIR_NEEDS_EDITED|NGX_HTTP_WEIR_NEEDS_RESPONSE;
    plugin->on_failure = NGX_HTTP_WEIR_FAIL_CLOSED;
    plugin->data = wgmcf;
    plugin->wants = ngx_http_weir_guard_wants;
    plugin->request = ngx_http_weir_guard_request;
    plugin->route = ngx_http_weir_guard_route;
    plugin->cancel = ngx_http_weir_guard_cancel;
    plugin->response_headers = ngx_http_weir_guard_headers;
    plugin->open_filter = ngx_http_weir_guard_open;
    plugin->settled = ngx_http_weir_guard_settled;

    if (wgmcf->weir->add_plugin(cf, plugin) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_guard_set_endpoint(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_guard_loc_conf_t *wglcf = conf;

    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    if (wglcf->endpoint) {
        return "is duplicate";
    }

    wglcf->endpoint = 1;

    wgmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_guard_module);
    wgmcf->endpoint = 1;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_weir_guard_endpoint;

    return NGX_CONF_OK;
}


/* what a worker needs to scan, one scan at a time */

ngx_int_t
ngx_http_weir_guard_worker(ngx_http_weir_guard_main_conf_t *wgmcf)
{
    if (wgmcf->scratch) {
        return NGX_OK;
    }

    wgmcf->turn.handler = ngx_http_weir_guard_turn_handler;
    wgmcf->turn.data = wgmcf;
    wgmcf->turn.log = ngx_cycle->log;

    ngx_queue_init(&wgmcf->waiting);

    wgmcf->spare = weir_guard_scratch_create();
    if (wgmcf->spare == NULL) {
        return NGX_ERROR;
    }

    wgmcf->scratch = weir_guard_scratch_create();
    if (wgmcf->scratch == NULL) {
        weir_guard_scratch_free(wgmcf->spare);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/*
 * Whether a text of the size, or a slice of it, may be scanned in this turn of
 * the event loop.  If not, the event is posted in a later one.
 */

ngx_uint_t
ngx_http_weir_guard_turn(ngx_http_weir_guard_main_conf_t *wgmcf,
    ngx_event_t *ev, size_t size)
{
    size = ngx_min(size, NGX_HTTP_WEIR_GUARD_STEP);

    if (!wgmcf->turn.posted) {
        ngx_post_event(&wgmcf->turn, &ngx_posted_next_events);
    }

    if ((!ngx_queue_empty(&wgmcf->waiting) && !wgmcf->serving)
        || (wgmcf->used && wgmcf->used + size > NGX_HTTP_WEIR_GUARD_STEP))
    {
        wgmcf->used = NGX_HTTP_WEIR_GUARD_STEP;
        ngx_post_event(ev, &wgmcf->waiting);
        return 0;
    }

    wgmcf->used += size;

    return 1;
}


void
ngx_http_weir_guard_did(ngx_http_weir_guard_main_conf_t *wgmcf, size_t size)
{
    wgmcf->scanned += size;

    if (wgmcf->scanned > wgmcf->sh->longest) {
        wgmcf->sh->longest = wgmcf->scanned;
    }
}


static void
ngx_http_weir_guard_turn_handler(ngx_event_t *ev)
{
    ngx_queue_t                      *q;
    ngx_event_t                      *next;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = ev->data;

    wgmcf->used = 0;
    wgmcf->scanned = 0;
    wgmcf->serving = 1;

    while (!ngx_queue_empty(&wgmcf->waiting)
           && wgmcf->used < NGX_HTTP_WEIR_GUARD_STEP)
    {
        q = ngx_queue_head(&wgmcf->waiting);
        next = ngx_queue_data(q, ngx_event_t, queue);

        ngx_delete_posted_event(next);

        next->handler(next);
    }

    wgmcf->serving = 0;

    if (!ngx_queue_empty(&wgmcf->waiting) && !ev->posted) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}


static void
ngx_http_weir_guard_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                                ngx_http_weir_guard_module);

    if (wgmcf == NULL) {
        return;
    }

    if (wgmcf->scratch) {
        weir_guard_scratch_free(wgmcf->scratch);
        weir_guard_scratch_free(wgmcf->spare);
        wgmcf->scratch = NULL;
    }

    weir_guard_fold_free(&wgmcf->fold);
}


static void
ngx_http_weir_guard_free(void *data)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = data;

    weir_guards_free(wgmcf->guards);
    weir_guard_rules_free(wgmcf->rules);
    weir_arena_free(&wgmcf->arena);
}
