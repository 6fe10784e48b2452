
/*
 * Weir's core: variables.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


typedef struct {
    ngx_str_t                      name;
    ngx_http_get_variable_pt       handler;
    uintptr_t                      data;
} ngx_http_weir_variable_t;


static ngx_int_t ngx_http_weir_request_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_who_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_one_line(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, ngx_str_t *s);
static ngx_int_t ngx_http_weir_tokens_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_ttft_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_works_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_endpoint_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_tag_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_weir_variable_t  ngx_http_weir_variables[] = {

    { ngx_string("weir_request_id"),
      ngx_http_weir_request_id_variable, 0 },

    { ngx_string("weir_tenant"),
      ngx_http_weir_who_variable,
      offsetof(ngx_http_weir_ctx_t, tenant) },

    { ngx_string("weir_team"),
      ngx_http_weir_string_variable,
      offsetof(ngx_http_weir_ctx_t, team) },

    { ngx_string("weir_user"),
      ngx_http_weir_string_variable,
      offsetof(ngx_http_weir_ctx_t, user) },

    { ngx_string("weir_route"),
      ngx_http_weir_string_variable,
      offsetof(ngx_http_weir_ctx_t, route) },

    { ngx_string("weir_model_asked"),
      ngx_http_weir_string_variable,
      offsetof(ngx_http_weir_ctx_t, model_asked) },

    { ngx_string("weir_endpoint"),
      ngx_http_weir_endpoint_variable, 0 },

    { ngx_string("weir_tag_"),
      ngx_http_weir_tag_variable, 0 },

    { ngx_string("weir_key_id"),
      ngx_http_weir_who_variable,
      offsetof(ngx_http_weir_ctx_t, key_id) },

    { ngx_string("weir_model"),
      ngx_http_weir_string_variable,
      offsetof(ngx_http_weir_ctx_t, model) },

    { ngx_string("weir_prompt_tokens"),
      ngx_http_weir_tokens_variable,
      offsetof(ngx_http_weir_ctx_t, prompt_tokens) },

    { ngx_string("weir_cached_tokens"),
      ngx_http_weir_tokens_variable,
      offsetof(ngx_http_weir_ctx_t, cached_tokens) },

    { ngx_string("weir_cache_write_tokens"),
      ngx_http_weir_tokens_variable,
      offsetof(ngx_http_weir_ctx_t, cache_write_tokens) },

    { ngx_string("weir_reasoning_tokens"),
      ngx_http_weir_tokens_variable,
      offsetof(ngx_http_weir_ctx_t, reasoning_tokens) },

    { ngx_string("weir_completion_tokens"),
      ngx_http_weir_tokens_variable,
      offsetof(ngx_http_weir_ctx_t, completion_tokens) },

    { ngx_string("weir_ttft_ms"),
      ngx_http_weir_ttft_variable, 0 },

    { ngx_string("weir_thread_works"),
      ngx_http_weir_works_variable, 0 },

    { ngx_null_string, NULL, 0 }
};


static ngx_int_t
ngx_http_weir_request_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_core_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    v->len = ctx->public.request_id.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = ctx->public.request_id.data;

    return NGX_OK;
}


/*
 * Ids of documents and keys, which hold no byte that could end a line.  They
 * stay as they are once somebody is admitted, so that NGINX need not ask again
 * when it writes the header whose length it has asked for.
 */

static ngx_int_t
ngx_http_weir_who_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                 *s;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);

    v->no_cacheable = (ctx == NULL || !ctx->public.admitted);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    s = (ngx_str_t *) ((char *) &ctx->public + data);

    if (s->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = s->len;
    v->valid = 1;
    v->not_found = 0;
    v->data = s->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                 *s;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);
    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_weir_read_usage(ctx);

    s = (ngx_str_t *) ((char *) &ctx->public + data);

    if (s->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    return ngx_http_weir_one_line(r, v, s);
}


/*
 * Names of models come from bodies, where "\r\n" is as good as any other text.
 * NGINX puts variables into headers as they are: no byte may end a line.
 */

static ngx_int_t
ngx_http_weir_one_line(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    ngx_str_t *s)
{
    u_char  *p;
    size_t   i, odd;

    odd = 0;

    for (i = 0; i < s->len; i++) {
        odd += (s->data[i] < 0x20 || s->data[i] == 0x7f);
    }

    p = s->data;

    if (odd) {
        p = ngx_pnalloc(r->pool, s->len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < s->len; i++) {
            p[i] = (s->data[i] < 0x20 || s->data[i] == 0x7f) ? '?'
                                                             : s->data[i];
        }
    }

    v->len = s->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_tokens_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *p;
    uint64_t                  *n;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);
    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_weir_read_usage(ctx);

    if (ctx->public.usage == NGX_HTTP_WEIR_USAGE_NONE) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    n = (uint64_t *) ((char *) &ctx->public + data);

    v->len = ngx_sprintf(p, "%uL", *n) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_ttft_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *p;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);

    if (ctx == NULL || ctx->public.ttft < 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%M", (ngx_msec_t) ctx->public.ttft) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_works_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *p;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%ui", ctx->public.works) - p;
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = 0;
    v->data = p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_endpoint_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    const char                *name;
    weir_endpoint_info_t      *call;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);

    if (ctx == NULL || !ctx->public.governed) {
        v->not_found = 1;
        return NGX_OK;
    }

    call = &ctx->public.endpoint;

    name = (call->endpoint == WEIR_ENDPOINT_OTHER)
               ? weir_endpoint_group_name(call->group)
               : weir_endpoint_name(call->endpoint);

    v->len = ngx_strlen(name);
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = (u_char *) name;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_tag_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                     len;
    u_char                    *name;
    ngx_str_t                 *whole;
    ngx_http_weir_tag_t       *tag;
    ngx_http_weir_core_ctx_t  *ctx;

    whole = (ngx_str_t *) data;

    name = whole->data + sizeof("weir_tag_") - 1;
    len = whole->len - (sizeof("weir_tag_") - 1);

    ctx = ngx_http_weir_find_ctx(r);

    for (tag = ctx ? ctx->tags : NULL; tag; tag = tag->next) {

        if (tag->name.len != len
            || ngx_strncmp(tag->name.data, name, len) != 0)
        {
            continue;
        }

        if (ngx_http_weir_one_line(r, v, &tag->value) != NGX_OK) {
            return NGX_ERROR;
        }

        v->no_cacheable = 1;

        return NGX_OK;
    }

    v->not_found = 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_add_variables(ngx_conf_t *cf)
{
    ngx_uint_t                 flags;
    ngx_http_variable_t       *var;
    ngx_http_weir_variable_t  *v;

    for (v = ngx_http_weir_variables; v->name.len; v++) {
        flags = NGX_HTTP_VAR_NOCACHEABLE;

        if (v->handler == ngx_http_weir_request_id_variable
            || v->handler == ngx_http_weir_who_variable)
        {
            flags = 0;
        }

        if (v->handler == ngx_http_weir_tag_variable) {
            flags |= NGX_HTTP_VAR_PREFIX;
        }

        var = ngx_http_add_variable(cf, &v->name, flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->handler;
        var->data = v->data;
    }

    return NGX_OK;
}
