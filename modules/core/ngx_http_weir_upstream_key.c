
/*
 * Weir's core: the key that the gateway itself shows to an upstream.  It is
 * read from a file by the master, so that it stands in no configuration, no
 * process list and no file that workers may read.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


#define NGX_HTTP_WEIR_MAX_KEY  4096


static ngx_int_t ngx_http_weir_read_key(ngx_conf_t *cf, ngx_str_t *file,
    ngx_str_t *key);
static ngx_int_t ngx_http_weir_check_key(ngx_conf_t *cf, ngx_str_t *file,
    ngx_str_t *key);
static ngx_int_t ngx_http_weir_upstream_key_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


/* the data of the variables */

#define NGX_HTTP_WEIR_KEY_BEARER  0
#define NGX_HTTP_WEIR_KEY_PLAIN   1


static ngx_str_t  ngx_http_weir_authorization =
    ngx_string("weir_upstream_authorization");
static ngx_str_t  ngx_http_weir_x_api_key =
    ngx_string("weir_upstream_x_api_key");


char *
ngx_http_weir_upstream_key(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_core_loc_conf_t *wlcf = conf;

    u_char                          *p;
    ngx_str_t                       *value, file, key;
    ngx_http_weir_core_main_conf_t  *wmcf;

    if (wlcf->upstream_bearer.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        ngx_str_set(&wlcf->upstream_bearer, "");
        return NGX_CONF_OK;
    }

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_core_module);
    wmcf->upstream_keys = 1;

    file = value[1];

    if (ngx_conf_full_name(cf->cycle, &file, 1) != NGX_OK
        || ngx_http_weir_read_key(cf, &file, &key) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    p = ngx_pnalloc(cf->pool, sizeof("Bearer ") - 1 + key.len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    wlcf->upstream_bearer.data = p;
    wlcf->upstream_bearer.len = sizeof("Bearer ") - 1 + key.len;

    p = ngx_cpymem(p, "Bearer ", sizeof("Bearer ") - 1);
    ngx_memcpy(p, key.data, key.len);

    ngx_explicit_memzero(key.data, key.len);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_read_key(ngx_conf_t *cf, ngx_str_t *file, ngx_str_t *key)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_err_t        err;
    ngx_file_info_t  fi;

    fd = ngx_open_file(file->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", file);
        return NGX_ERROR;
    }

    key->data = ngx_pnalloc(cf->pool, NGX_HTTP_WEIR_MAX_KEY + 2);
    if (key->data == NULL) {
        (void) ngx_close_file(fd);
        return NGX_ERROR;
    }

    n = ngx_read_fd(fd, key->data, NGX_HTTP_WEIR_MAX_KEY + 2);
    err = ngx_errno;

    if (ngx_fd_info(fd, &fi) != NGX_FILE_ERROR
        && (ngx_file_access(&fi) & (S_IROTH|S_IWOTH)))
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "everybody on this machine may read or write the "
                           "upstream's key in \"%V\"", file);
    }

    (void) ngx_close_file(fd);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           ngx_read_fd_n " \"%V\" failed", file);
        return NGX_ERROR;
    }

    key->len = n;

    return ngx_http_weir_check_key(cf, file, key);
}


static ngx_int_t
ngx_http_weir_check_key(ngx_conf_t *cf, ngx_str_t *file, ngx_str_t *key)
{
    size_t  i;

    while (key->len
           && (key->data[key->len - 1] == LF || key->data[key->len - 1] == CR))
    {
        key->len--;
    }

    if (key->len == 0 || key->len > NGX_HTTP_WEIR_MAX_KEY) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a key of 1 to %d bytes was expected in \"%V\", "
                           "alone on one line", NGX_HTTP_WEIR_MAX_KEY, file);
        return NGX_ERROR;
    }

    for (i = 0; i < key->len; i++) {

        if (key->data[i] <= 0x20 || key->data[i] >= 0x7f) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "byte %uz of the key in \"%V\" is none that a "
                               "key can have", i + 1, file);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* Anthropic's API reads x-api-key, OpenAI's reads Authorization */

static ngx_int_t
ngx_http_weir_upstream_key_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                       value;
    ngx_uint_t                      plain;
    ngx_http_weir_core_ctx_t       *ctx;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);
    ctx = ngx_http_weir_find_ctx(r);

    /* never for a request that nobody has admitted */

    if (ctx == NULL || !ctx->public.admitted) {
        *v = ngx_http_variable_null_value;
        v->no_cacheable = 1;
        return NGX_OK;
    }

    /* as it may be in every location, if none has a key */

    if (!ctx->wmcf->upstream_keys) {
        *v = ngx_http_variable_null_value;
        return NGX_OK;
    }

    plain = ctx->public.upstream == WEIR_PROTOCOL_MESSAGES;
    value = wlcf->upstream_bearer;

    if (value.len == 0 || plain != (data == NGX_HTTP_WEIR_KEY_PLAIN)) {
        *v = ngx_http_variable_null_value;
        v->no_cacheable = 1;
        return NGX_OK;
    }

    if (plain) {
        value.data += sizeof("Bearer ") - 1;
        value.len -= sizeof("Bearer ") - 1;
    }

    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->data = value.data;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_add_key_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var;

    /* the handler tells whether the value may be kept */

    var = ngx_http_add_variable(cf, &ngx_http_weir_authorization, 0);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_weir_upstream_key_variable;
    var->data = NGX_HTTP_WEIR_KEY_BEARER;

    var = ngx_http_add_variable(cf, &ngx_http_weir_x_api_key, 0);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_weir_upstream_key_variable;
    var->data = NGX_HTTP_WEIR_KEY_PLAIN;

    return NGX_OK;
}
