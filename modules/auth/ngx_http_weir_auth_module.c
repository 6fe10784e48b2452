
/*
 * Weir: who asks?  API keys of the tenants document.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir.h"

#include "policies/tenants.h"


typedef struct {
    const ngx_http_weir_api_t  *weir;

    ngx_str_t                   tenants_file;
    weir_tenants_t             *tenants;
    weir_arena_t                arena;
} ngx_http_weir_auth_main_conf_t;


typedef enum {
    NGX_HTTP_WEIR_AUTHORIZATION = 0,
    NGX_HTTP_WEIR_X_API_KEY,
    NGX_HTTP_WEIR_API_KEY,
    NGX_HTTP_WEIR_CREDENTIALS
} ngx_http_weir_credential_e;


static ngx_int_t ngx_http_weir_auth_admit(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
static const ngx_http_weir_refusal_t *ngx_http_weir_auth_find_key(
    ngx_http_request_t *r, ngx_str_t *key);
static ngx_int_t ngx_http_weir_auth_bearer(ngx_str_t *value, ngx_str_t *key);
static ngx_int_t ngx_http_weir_auth_preconf(ngx_conf_t *cf);
static void *ngx_http_weir_auth_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_auth_tenants(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static void ngx_http_weir_auth_free(void *data);


static ngx_str_t  ngx_http_weir_credentials[] = {
    ngx_string("authorization"),
    ngx_string("x-api-key"),
    ngx_string("api-key")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_missing = {
    NGX_HTTP_UNAUTHORIZED,
    ngx_string("invalid_request_error"),
    ngx_string("invalid_api_key"),
    ngx_string("You did not provide an API key. Send it in the header "
               "Authorization: Bearer YOUR_KEY."),
    ngx_string("missing_key")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_scheme = {
    NGX_HTTP_UNAUTHORIZED,
    ngx_string("invalid_request_error"),
    ngx_string("invalid_api_key"),
    ngx_string("The Authorization header must read: Bearer YOUR_KEY."),
    ngx_string("bad_scheme")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_conflict = {
    NGX_HTTP_BAD_REQUEST,
    ngx_string("invalid_request_error"),
    ngx_string("conflicting_credentials"),
    ngx_string("The request carries more than one API key. Send one, in the "
               "header Authorization: Bearer YOUR_KEY."),
    ngx_string("conflicting_keys")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_invalid = {
    NGX_HTTP_UNAUTHORIZED,
    ngx_string("invalid_request_error"),
    ngx_string("invalid_api_key"),
    ngx_string("Incorrect API key provided."),
    ngx_string("invalid_key")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_expired = {
    NGX_HTTP_UNAUTHORIZED,
    ngx_string("invalid_request_error"),
    ngx_string("invalid_api_key"),
    ngx_string("This API key has expired. Ask for a new one."),
    ngx_string("expired_key")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_key_disabled = {
    NGX_HTTP_FORBIDDEN,
    ngx_string("permission_error"),
    ngx_string("api_key_disabled"),
    ngx_string("This API key is disabled."),
    ngx_string("disabled_key")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_tenant_disabled = {
    NGX_HTTP_FORBIDDEN,
    ngx_string("permission_error"),
    ngx_string("tenant_disabled"),
    ngx_string("The account that this API key belongs to is disabled."),
    ngx_string("disabled_tenant")
};


static const ngx_http_weir_refusal_t  ngx_http_weir_auth_failed = {
    NGX_HTTP_INTERNAL_SERVER_ERROR,
    ngx_string("server_error"),
    ngx_string("internal_error"),
    ngx_string("The gateway could not check the API key, so the request was "
               "not forwarded."),
    ngx_string("internal_error")
};


static ngx_command_t  ngx_http_weir_auth_commands[] = {

    { ngx_string("weir_tenants"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_auth_tenants,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_auth_module_ctx = {
    ngx_http_weir_auth_preconf,            /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_weir_auth_create_main_conf,   /* create main configuration */
    NULL,                                  /* init main configuration */

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
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_weir_auth_admit(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_auth_main_conf_t *wamcf = data;

    ngx_str_t              presented;
    weir_auth_verdict_t    verdict;
    const weir_api_key_t  *key;

    ctx->refusal = ngx_http_weir_auth_find_key(r, &presented);

    if (ctx->refusal) {
        return NGX_ABORT;
    }

    verdict = weir_tenants_authenticate(wamcf->tenants,
                                        weir_str((char *) presented.data,
                                                 presented.len),
                                        ngx_time(), &key);

    if (key) {
        ctx->key_id.data = (u_char *) key->id;
        ctx->key_id.len = ngx_strlen(key->id);

        ctx->tenant.data = (u_char *) key->tenant->id.data;
        ctx->tenant.len = key->tenant->id.len;
    }

    switch (verdict) {

    case WEIR_AUTH_OK:
        return NGX_OK;

    case WEIR_AUTH_INVALID:
        ctx->refusal = &ngx_http_weir_auth_invalid;
        break;

    case WEIR_AUTH_EXPIRED:
        ctx->refusal = &ngx_http_weir_auth_expired;
        break;

    case WEIR_AUTH_KEY_DISABLED:
        ctx->refusal = &ngx_http_weir_auth_key_disabled;
        break;

    case WEIR_AUTH_TENANT_DISABLED:
        ctx->refusal = &ngx_http_weir_auth_tenant_disabled;
        break;

    default: /* WEIR_AUTH_ERROR */
        ctx->refusal = &ngx_http_weir_auth_failed;
    }

    return NGX_ABORT;
}


/*
 * All headers are looked at: what NGINX keeps of a repeated header depends on
 * its version, and an upstream may keep another one.  Some clients send one
 * key in two headers; that is no conflict.
 */

static const ngx_http_weir_refusal_t *
ngx_http_weir_auth_find_key(ngx_http_request_t *r, ngx_str_t *key)
{
    ngx_str_t         sent[NGX_HTTP_WEIR_CREDENTIALS];
    ngx_uint_t        i, n;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    ngx_memzero(sent, sizeof(sent));

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

        for (n = 0; n < NGX_HTTP_WEIR_CREDENTIALS; n++) {

            if (header[i].key.len != ngx_http_weir_credentials[n].len
                || ngx_memcmp(header[i].lowcase_key,
                              ngx_http_weir_credentials[n].data,
                              header[i].key.len)
                   != 0)
            {
                continue;
            }

            if (sent[n].data) {
                return &ngx_http_weir_auth_conflict;
            }

            sent[n] = header[i].value;

            if (n == NGX_HTTP_WEIR_AUTHORIZATION
                && ngx_http_weir_auth_bearer(&header[i].value, &sent[n])
                   != NGX_OK)
            {
                return &ngx_http_weir_auth_scheme;
            }

            break;
        }
    }

    ngx_str_null(key);

    for (n = 0; n < NGX_HTTP_WEIR_CREDENTIALS; n++) {

        if (sent[n].data == NULL) {
            continue;
        }

        if (key->data == NULL) {
            *key = sent[n];
            continue;
        }

        if (key->len != sent[n].len
            || ngx_memcmp(key->data, sent[n].data, key->len) != 0)
        {
            return &ngx_http_weir_auth_conflict;
        }
    }

    return (key->len == 0) ? &ngx_http_weir_auth_missing : NULL;
}


/* RFC 9110, section 11.4: the scheme's case does not matter, blanks may be */

static ngx_int_t
ngx_http_weir_auth_bearer(ngx_str_t *value, ngx_str_t *key)
{
    u_char  *p, *last;

    if (value->len < sizeof("Bearer ") - 1
        || ngx_strncasecmp(value->data, (u_char *) "Bearer ",
                           sizeof("Bearer ") - 1)
           != 0)
    {
        return NGX_DECLINED;
    }

    p = value->data + sizeof("Bearer ") - 1;
    last = value->data + value->len;

    while (p < last && *p == ' ') {
        p++;
    }

    if (p == last) {
        return NGX_DECLINED;
    }

    key->data = p;
    key->len = last - p;

    return NGX_OK;
}


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
    /*
     * set by ngx_pcalloc():
     *
     *     conf->weir = NULL;
     *     conf->tenants_file = { 0, NULL };
     *     conf->tenants = NULL;
     */

    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_auth_main_conf_t));
}


/*
 * The document is read with the configuration and never changes while that is
 * in force: a bad one fails "nginx -t" and a reload, and the old stays.
 */

static char *
ngx_http_weir_auth_tenants(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_auth_main_conf_t *wamcf = conf;

    ngx_str_t           *value;
    weir_error_t         err;
    ngx_pool_cleanup_t  *cln;

    if (wamcf->tenants_file.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    wamcf->tenants_file = value[1];

    if (ngx_conf_full_name(cf->cycle, &wamcf->tenants_file, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    weir_arena_init(&wamcf->arena, 0, 0);

    cln->handler = ngx_http_weir_auth_free;
    cln->data = wamcf;

    if (weir_tenants_load((const char *) wamcf->tenants_file.data,
                          &wamcf->arena, &wamcf->tenants, &err)
        != WEIR_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s%s%s", err.message,
                           err.field[0] ? ", at " : "", err.field);
        return NGX_CONF_ERROR;
    }

    /* the core refuses a governed location that no hook can admit to */

    if (wamcf->weir->add_hook(cf, NGX_HTTP_WEIR_ADMIT,
                              ngx_http_weir_auth_admit, wamcf)
        != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static void
ngx_http_weir_auth_free(void *data)
{
    ngx_http_weir_auth_main_conf_t *wamcf = data;

    weir_arena_free(&wamcf->arena);
}
