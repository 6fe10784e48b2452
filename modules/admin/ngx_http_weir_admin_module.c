
/*
 * Weir: the gateway's state at run time, for operators.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_admin.h"


static ngx_int_t ngx_http_weir_admin_handler(ngx_http_request_t *r);
static void ngx_http_weir_admin_cleanup(void *data);
static const weir_admin_t *ngx_http_weir_admin_who(ngx_http_request_t *r,
    ngx_http_weir_admin_loc_conf_t *walcf);
static void ngx_http_weir_admin_body(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_admin_read_body(
    ngx_http_weir_admin_ctx_t *actx, ngx_int_t *rc);
static void *ngx_http_weir_admin_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_admin_init_main_conf(ngx_conf_t *cf, void *conf);
static void *ngx_http_weir_admin_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_admin_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_admin_set_log(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_admin_set_threads(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static void ngx_http_weir_admin_free(void *data);


static ngx_command_t  ngx_http_weir_admin_commands[] = {

    { ngx_string("weir_admin"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_admin_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_admin_log"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_admin_set_log,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_admin_threads"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_admin_set_threads,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_admin_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_weir_admin_create_main_conf,  /* create main configuration */
    ngx_http_weir_admin_init_main_conf,    /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_admin_create_loc_conf,   /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_admin_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_admin_module_ctx,       /* module context */
    ngx_http_weir_admin_commands,          /* module directives */
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


/*
 * Who asks is looked at before what for: without credentials all paths are
 * alike.
 */

static ngx_int_t
ngx_http_weir_admin_handler(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_pool_cleanup_t               *cln;
    ngx_http_weir_admin_ctx_t        *actx;
    ngx_http_weir_admin_loc_conf_t   *walcf;
    ngx_http_weir_admin_main_conf_t  *wamcf;

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    walcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_admin_module);
    wamcf = ngx_http_get_module_main_conf(r, ngx_http_weir_admin_module);

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_admin_ctx_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    actx = cln->data;
    ngx_memzero(actx, sizeof(ngx_http_weir_admin_ctx_t));

    actx->request = r;
    actx->wamcf = wamcf;

    weir_arena_init(&actx->arena, 0, 0);
    weir_buf_init(&actx->answer, &actx->arena);

    cln->handler = ngx_http_weir_admin_cleanup;

    ngx_http_set_ctx(r, actx, ngx_http_weir_admin_module);

    actx->admin = ngx_http_weir_admin_who(r, walcf);

    if (actx->admin == NULL) {
        ngx_http_weir_admin_log(actx, NGX_HTTP_UNAUTHORIZED, "no_credentials");
        rc = ngx_http_weir_admin_error(actx, NGX_HTTP_UNAUTHORIZED,
                                       "invalid_credentials",
                                       "Send an admin's token in the header "
                                       "Authorization: Bearer TOKEN.", NULL);
        return (rc == NGX_ERROR) ? NGX_HTTP_INTERNAL_SERVER_ERROR : rc;
    }

    if (r->headers_in.content_length_n > NGX_HTTP_WEIR_ADMIN_BODY) {
        return ngx_http_weir_admin_error(actx,
                                         NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                         "request_too_large",
                                         "The body is longer than 16384 "
                                         "bytes.", NULL);
    }

    if (ngx_http_weir_admin_find_verb(r, actx, &rc) != NGX_OK) {
        return rc;
    }

    if (actx->admin->role < actx->verb->role) {
        ngx_http_weir_admin_log(actx, NGX_HTTP_FORBIDDEN, "role");
        return ngx_http_weir_admin_error(actx, NGX_HTTP_FORBIDDEN,
                                         "role_too_low",
                                         "Your role may not do this; "
                                         "docs/admin.md says which may.",
                                         NULL);
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r, ngx_http_weir_admin_body);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_weir_admin_cleanup(void *data)
{
    ngx_http_weir_admin_ctx_t *actx = data;

    if (actx->retry.timer_set) {
        ngx_del_timer(&actx->retry);
    }

    weir_arena_free(&actx->arena);
}


/* exactly one Authorization header; what NGINX keeps of two differs */

static const weir_admin_t *
ngx_http_weir_admin_who(ngx_http_request_t *r,
    ngx_http_weir_admin_loc_conf_t *walcf)
{
    u_char           *p, *last;
    ngx_uint_t        i;
    ngx_str_t        *value;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    value = NULL;

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len != sizeof("authorization") - 1
            || ngx_memcmp(header[i].lowcase_key, "authorization",
                          sizeof("authorization") - 1)
               != 0)
        {
            continue;
        }

        if (value) {
            return NULL;
        }

        value = &header[i].value;
    }

    if (value == NULL
        || value->len < sizeof("Bearer ") - 1
        || ngx_strncasecmp(value->data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return NULL;
    }

    p = value->data + sizeof("Bearer ") - 1;
    last = value->data + value->len;

    while (p < last && *p == ' ') {
        p++;
    }

    return weir_admins_authenticate(walcf->admins,
                                    weir_str((char *) p, last - p),
                                    ngx_time());
}


static void
ngx_http_weir_admin_body(ngx_http_request_t *r)
{
    ngx_int_t                   rc;
    ngx_http_weir_admin_ctx_t  *actx;

    actx = ngx_http_get_module_ctx(r, ngx_http_weir_admin_module);

    if (ngx_http_weir_admin_read_body(actx, &rc) == NGX_OK) {
        rc = actx->verb->handler(actx);
    }

    /* NGX_DONE: a change is under way and finalizes the request itself */

    if (rc != NGX_DONE) {
        ngx_http_finalize_request(r, rc);
    }
}


/*
 * NGX_OK: actx->body is an object.  NGX_DECLINED: answered, *rc is what to
 * finalize with.
 */

static ngx_int_t
ngx_http_weir_admin_read_body(ngx_http_weir_admin_ctx_t *actx, ngx_int_t *rc)
{
    char                *text;
    size_t               len;
    u_char              *p;
    weir_error_t         err;
    weir_status_t        status;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;
    weir_json_limits_t   limits;

    r = actx->request;
    len = 0;

    for (cl = r->request_body ? r->request_body->bufs : NULL;
         cl;
         cl = cl->next)
    {
        if (cl->buf->in_file) {
            len = NGX_HTTP_WEIR_ADMIN_BODY + 1;
            break;
        }

        len += ngx_buf_size(cl->buf);
    }

    if (len > NGX_HTTP_WEIR_ADMIN_BODY) {
        *rc = ngx_http_weir_admin_error(actx,
                                        NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                                        "request_too_large",
                                        "The body is longer than 16384 "
                                        "bytes or \"client_body_buffer_"
                                        "size\".", NULL);
        return NGX_DECLINED;
    }

    if (len && !actx->verb->body) {
        *rc = ngx_http_weir_admin_error(actx, NGX_HTTP_BAD_REQUEST,
                                        "unexpected_body",
                                        "This call takes no body.", NULL);
        return NGX_DECLINED;
    }

    if (len == 0) {
        text = weir_arena_strndup(&actx->arena, "{}", 2);
        len = 2;

    } else {
        text = weir_arena_alloc(&actx->arena, len);
        p = (u_char *) text;

        for (cl = r->request_body->bufs; text && cl; cl = cl->next) {
            p = ngx_cpymem(p, cl->buf->pos, ngx_buf_size(cl->buf));
        }
    }

    if (text == NULL) {
        *rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
        return NGX_DECLINED;
    }

    ngx_memzero(&limits, sizeof(weir_json_limits_t));
    limits.max_depth = 16;

    status = weir_json_parse(text, len, &limits, &actx->arena, &actx->body,
                             &err);

    if (status != WEIR_OK) {
        *rc = ngx_http_weir_admin_error(actx, NGX_HTTP_BAD_REQUEST,
                                        "invalid_json", err.message, NULL);
        return NGX_DECLINED;
    }

    if (weir_json_type(&actx->body, 0) != WEIR_JSON_OBJECT) {
        *rc = ngx_http_weir_admin_error(actx, NGX_HTTP_BAD_REQUEST,
                                        "invalid_json",
                                        "The body must be a JSON object.",
                                        NULL);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


static void *
ngx_http_weir_admin_create_main_conf(ngx_conf_t *cf)
{
    /*
     * set by ngx_pcalloc():
     *
     *     conf->registry = NULL;
     *     conf->log = NULL;
     *     conf->used = 0;
     *     conf->threads = NULL;
     */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_admin_main_conf_t));
}


static char *
ngx_http_weir_admin_init_main_conf(ngx_conf_t *cf, void *conf)
{
    ngx_http_weir_admin_main_conf_t *wamcf = conf;

    if (!wamcf->used) {
        return NGX_CONF_OK;
    }

    wamcf->registry = ngx_http_weir_find_registry(cf);

    if (wamcf->registry == NULL) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_admin\" needs " NGX_HTTP_WEIR_AUTH " of the "
                      "same release: add \"load_module modules/"
                      NGX_HTTP_WEIR_AUTH ".so;\"");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void *
ngx_http_weir_admin_create_loc_conf(ngx_conf_t *cf)
{
    /*
     * set by ngx_pcalloc():
     *
     *     conf->file = { 0, NULL };
     *     conf->admins = NULL;
     */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_admin_loc_conf_t));
}


static char *
ngx_http_weir_admin_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_admin_loc_conf_t *walcf = conf;

    ngx_str_t                        *value;
    ngx_uint_t                        prefix;
    weir_error_t                      err;
    ngx_pool_cleanup_t               *cln;
    ngx_http_core_loc_conf_t         *clcf;
    ngx_http_weir_admin_main_conf_t  *wamcf;

    if (walcf->file.data) {
        return "is duplicate";
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    prefix = !clcf->exact_match && !clcf->noname && !clcf->named;

#if (NGX_PCRE)
    prefix = prefix && clcf->regex == NULL;
#endif

    if (!prefix
        || clcf->name.len == 0
        || clcf->name.data[clcf->name.len - 1] != '/')
    {
        return "needs a location of a prefix that ends in \"/\", such as "
               "\"location /admin/\"";
    }

    value = cf->args->elts;

    walcf->file = value[1];

    if (ngx_conf_full_name(cf->cycle, &walcf->file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    weir_arena_init(&walcf->arena, 0, 0);

    cln->handler = ngx_http_weir_admin_free;
    cln->data = walcf;

    if (weir_admins_load((char *) walcf->file.data, &walcf->arena,
                         &walcf->admins, &err)
        != WEIR_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s", err.message);
        return NGX_CONF_ERROR;
    }

    wamcf = ngx_http_conf_get_module_main_conf(cf,
                                               ngx_http_weir_admin_module);
    wamcf->used = 1;

    clcf->handler = ngx_http_weir_admin_handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_admin_set_log(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_admin_main_conf_t *wamcf = conf;

    ngx_str_t  *value;

    if (wamcf->log) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return "needs the name of a file";
    }

    wamcf->log = ngx_conf_open_file(cf->cycle, &value[1]);

    return (wamcf->log == NULL) ? NGX_CONF_ERROR : NGX_CONF_OK;
}


static char *
ngx_http_weir_admin_set_threads(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
#if (NGX_THREADS)
    ngx_http_weir_admin_main_conf_t *wamcf = conf;

    ngx_str_t  *value;

    if (wamcf->threads) {
        return "is duplicate";
    }

    value = cf->args->elts;

    wamcf->threads = ngx_thread_pool_add(cf, &value[1]);

    return (wamcf->threads == NULL) ? NGX_CONF_ERROR : NGX_CONF_OK;

#else

    return "needs an NGINX that is built with threads";

#endif
}


static void
ngx_http_weir_admin_free(void *data)
{
    ngx_http_weir_admin_loc_conf_t *walcf = data;

    weir_arena_free(&walcf->arena);
}
