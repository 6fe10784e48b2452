
/*
 * Weir: what an admin may ask for, and the answers to questions.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_admin.h"


/* keys in one answer */

#define NGX_HTTP_WEIR_ADMIN_PAGE      1000
#define NGX_HTTP_WEIR_ADMIN_MAX_PAGE  10000


static ngx_int_t ngx_http_weir_admin_match(ngx_str_t *path,
    const ngx_str_t *pattern, ngx_str_t *id);
static ngx_int_t ngx_http_weir_admin_whoami(ngx_http_weir_admin_ctx_t *actx);
static ngx_int_t ngx_http_weir_admin_documents(
    ngx_http_weir_admin_ctx_t *actx);
static ngx_int_t ngx_http_weir_admin_state(ngx_http_weir_admin_ctx_t *actx);
static ngx_int_t ngx_http_weir_admin_tenants(ngx_http_weir_admin_ctx_t *actx);
static ngx_int_t ngx_http_weir_admin_keys(ngx_http_weir_admin_ctx_t *actx);
static ngx_int_t ngx_http_weir_admin_number(ngx_http_weir_admin_ctx_t *actx,
    const char *name, ngx_int_t absent, ngx_int_t max, ngx_int_t *out);
static ngx_int_t ngx_http_weir_admin_key(ngx_http_weir_admin_ctx_t *actx);
static ngx_int_t ngx_http_weir_admin_policy(ngx_http_weir_admin_ctx_t *actx);
static ngx_int_t ngx_http_weir_admin_no_registry(
    ngx_http_weir_admin_ctx_t *actx);


/* the roles of docs/admin.md */

static const ngx_http_weir_admin_verb_t  ngx_http_weir_admin_verbs[] = {

    { ngx_string("whoami"), NGX_HTTP_GET, ngx_string("whoami"),
      WEIR_ADMIN_VIEWER, 0, 0, ngx_http_weir_admin_whoami },

    { ngx_string("documents"), NGX_HTTP_GET, ngx_string("documents"),
      WEIR_ADMIN_VIEWER, 0, 0, ngx_http_weir_admin_documents },

    { ngx_string("state"), NGX_HTTP_GET, ngx_string("state"),
      WEIR_ADMIN_VIEWER, 0, 0, ngx_http_weir_admin_state },

    { ngx_string("tenants"), NGX_HTTP_GET, ngx_string("tenants"),
      WEIR_ADMIN_VIEWER, 0, 0, ngx_http_weir_admin_tenants },

    { ngx_string("keys"), NGX_HTTP_GET, ngx_string("keys"),
      WEIR_ADMIN_VIEWER, 0, 0, ngx_http_weir_admin_keys },

    { ngx_string("key"), NGX_HTTP_GET, ngx_string("keys/:"),
      WEIR_ADMIN_VIEWER, 0, 0, ngx_http_weir_admin_key },

    { ngx_string("policy"), NGX_HTTP_GET, ngx_string("keys/:/policy"),
      WEIR_ADMIN_VIEWER, 0, 0, ngx_http_weir_admin_policy },

    { ngx_string("enable"), NGX_HTTP_POST, ngx_string("keys/:/enable"),
      WEIR_ADMIN_OPERATOR, 0, 1, ngx_http_weir_admin_switch },

    { ngx_string("disable"), NGX_HTTP_POST, ngx_string("keys/:/disable"),
      WEIR_ADMIN_OPERATOR, 0, 1, ngx_http_weir_admin_switch },

    { ngx_string("revoke"), NGX_HTTP_POST, ngx_string("keys/:/revoke"),
      WEIR_ADMIN_OPERATOR, 0, 1, ngx_http_weir_admin_switch },

    { ngx_string("reload"), NGX_HTTP_POST, ngx_string("reload"),
      WEIR_ADMIN_OPERATOR, 0, 1, ngx_http_weir_admin_reload },

    { ngx_string("compact"), NGX_HTTP_POST, ngx_string("compact"),
      WEIR_ADMIN_ADMIN, 0, 1, ngx_http_weir_admin_compact },

    { ngx_string("create"), NGX_HTTP_POST, ngx_string("keys"),
      WEIR_ADMIN_ADMIN, 1, 1, ngx_http_weir_admin_create },

    { ngx_string("rotate"), NGX_HTTP_POST, ngx_string("keys/:/rotate"),
      WEIR_ADMIN_ADMIN, 1, 1, ngx_http_weir_admin_rotate },

    { ngx_string("delete"), NGX_HTTP_DELETE, ngx_string("keys/:"),
      WEIR_ADMIN_ADMIN, 0, 1, ngx_http_weir_admin_switch },

    { ngx_null_string, 0, ngx_null_string, WEIR_ADMIN_ADMIN, 0, 0, NULL }
};


/* NGX_DECLINED: answered, *rc is what a content handler returns */

ngx_int_t
ngx_http_weir_admin_find_verb(ngx_http_request_t *r,
    ngx_http_weir_admin_ctx_t *actx, ngx_int_t *rc)
{
    ngx_str_t                          path;
    ngx_http_core_loc_conf_t          *clcf;
    const ngx_http_weir_admin_verb_t  *v;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->uri.len < clcf->name.len) {
        *rc = NGX_HTTP_NOT_FOUND;
        return NGX_DECLINED;
    }

    path.data = r->uri.data + clcf->name.len;
    path.len = r->uri.len - clcf->name.len;

    for (v = ngx_http_weir_admin_verbs; v->name.len; v++) {

        if (ngx_http_weir_admin_match(&path, &v->path, &actx->id) != NGX_OK) {
            continue;
        }

        actx->methods |= v->method;

        if (r->method == v->method) {
            actx->verb = v;
            return NGX_OK;
        }
    }

    if (actx->methods) {
        *rc = ngx_http_weir_admin_error(actx, NGX_HTTP_NOT_ALLOWED,
                                        "method_not_allowed",
                                        "This path does not take this "
                                        "method.", NULL);
    } else {
        *rc = ngx_http_weir_admin_error(actx, NGX_HTTP_NOT_FOUND,
                                        "unknown_path",
                                        "There is nothing here; "
                                        "docs/admin.md lists all paths.",
                                        NULL);
    }

    return NGX_DECLINED;
}


/* ":" stands for the id of a key */

static ngx_int_t
ngx_http_weir_admin_match(ngx_str_t *path, const ngx_str_t *pattern,
    ngx_str_t *id)
{
    u_char      ch;
    size_t      i;
    u_char     *colon;
    ngx_str_t   found;

    colon = ngx_strlchr(pattern->data, pattern->data + pattern->len, ':');

    if (colon == NULL) {

        if (path->len != pattern->len
            || ngx_memcmp(path->data, pattern->data, path->len) != 0)
        {
            return NGX_DECLINED;
        }

        ngx_str_null(id);
        return NGX_OK;
    }

    i = colon - pattern->data;

    if (path->len != pattern->len - 1 + WEIR_KEY_ID_LEN
        || ngx_memcmp(path->data, pattern->data, i) != 0
        || ngx_memcmp(path->data + i + WEIR_KEY_ID_LEN, colon + 1,
                      pattern->len - i - 1)
           != 0)
    {
        return NGX_DECLINED;
    }

    found.data = path->data + i;
    found.len = WEIR_KEY_ID_LEN;

    for (i = 0; i < found.len; i++) {
        ch = found.data[i];

        if ((ch < '0' || ch > '9') && (ch < 'a' || ch > 'z')) {
            return NGX_DECLINED;
        }
    }

    *id = found;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_admin_whoami(ngx_http_weir_admin_ctx_t *actx)
{
    weir_buf_t  *out;
    const char  *role;

    out = &actx->answer;
    role = weir_admin_role_name(actx->admin->role);

    weir_buf_append_char(out, '{');
    ngx_http_weir_admin_append_member(out, "name", actx->admin->name);
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_member(out, "role",
                                      weir_str(role, strlen(role)));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_time(out, "expires", actx->admin->expires);
    weir_buf_append_char(out, '}');

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_weir_admin_documents(ngx_http_weir_admin_ctx_t *actx)
{
    weir_buf_t                 *out;
    const weir_registry_t      *registry;
    ngx_http_weir_documents_t   d;

    registry = actx->wamcf->registry->registry();

    if (registry == NULL) {
        return ngx_http_weir_admin_no_registry(actx);
    }

    actx->wamcf->registry->documents(&d);

    out = &actx->answer;

    weir_buf_append_z(out, d.ok ? "{\"ok\":true," : "{\"ok\":false,");
    ngx_http_weir_admin_append_member(out, "error",
                                      weir_str(d.ok ? NULL : (char *) d.error,
                                               strlen((char *) d.error)));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_member(out, "hash",
                          weir_str(weir_registry_hash(registry),
                                   strlen(weir_registry_hash(registry))));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_time(out, "loaded",
                                    weir_registry_loaded_at(registry));
    weir_buf_append_char(out, ',');
    ngx_http_weir_admin_append_time(out, "tried", d.tried);
    weir_buf_printf(out, ",\"loads\":%llu,\"failures\":%llu,"
                    "\"journal_seq\":%llu}",
                    (unsigned long long) d.loads,
                    (unsigned long long) d.failures,
                    (unsigned long long) weir_registry_seq(registry));

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_weir_admin_state(ngx_http_weir_admin_ctx_t *actx)
{
    weir_error_t            err;
    const weir_registry_t  *registry;

    registry = actx->wamcf->registry->registry();

    if (registry == NULL) {
        return ngx_http_weir_admin_no_registry(actx);
    }

    if (weir_registry_describe(registry, &actx->answer, &err) != WEIR_OK) {
        return ngx_http_weir_admin_failed(actx, &err);
    }

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_weir_admin_tenants(ngx_http_weir_admin_ctx_t *actx)
{
    size_t                  i, n;
    weir_buf_t             *out;
    const weir_tenant_t    *tenant;
    const weir_tenants_t   *tenants;
    const weir_registry_t  *registry;

    registry = actx->wamcf->registry->registry();

    if (registry == NULL) {
        return ngx_http_weir_admin_no_registry(actx);
    }

    tenants = weir_registry_tenants(registry);
    n = weir_tenants_count(tenants);
    out = &actx->answer;

    weir_buf_append_z(out, "{\"tenants\":[");

    for (i = 0; i < n; i++) {
        tenant = weir_tenants_at(tenants, i);

        weir_buf_append_z(out, i ? ",{" : "{");
        ngx_http_weir_admin_append_member(out, "id", tenant->id);
        weir_buf_append_char(out, ',');
        ngx_http_weir_admin_append_member(out, "name",
                                    tenant->name.len ? tenant->name
                                                     : weir_str(NULL, 0));
        weir_buf_append_z(out, tenant->enabled ? ",\"enabled\":true}"
                                               : ",\"enabled\":false}");
    }

    weir_buf_append_z(out, "]}");

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_weir_admin_keys(ngx_http_weir_admin_ctx_t *actx)
{
    size_t                  cursor;
    ngx_str_t               tenant;
    ngx_int_t               limit, from, n;
    ngx_uint_t              more;
    weir_buf_t             *out;
    const weir_api_key_t   *key;
    const weir_registry_t  *registry;

    registry = actx->wamcf->registry->registry();

    if (registry == NULL) {
        return ngx_http_weir_admin_no_registry(actx);
    }

    if (ngx_http_weir_admin_number(actx, "limit", NGX_HTTP_WEIR_ADMIN_PAGE,
                                   NGX_HTTP_WEIR_ADMIN_MAX_PAGE, &limit)
        != NGX_OK
        || ngx_http_weir_admin_number(actx, "from", 0,
                                      NGX_MAX_INT_T_VALUE, &from)
           != NGX_OK
        || limit == 0)
    {
        return ngx_http_weir_admin_error(actx, NGX_HTTP_BAD_REQUEST,
                                         "invalid_argument",
                                         "\"limit\" must be a number from 1 "
                                         "to 10000, \"from\" what an answer "
                                         "gave as \"next\".", NULL);
    }

    if (ngx_http_arg(actx->request, (u_char *) "tenant",
                     sizeof("tenant") - 1, &tenant)
        != NGX_OK)
    {
        ngx_str_null(&tenant);
    }

    out = &actx->answer;
    cursor = (size_t) from;
    more = 0;
    n = 0;

    weir_buf_append_z(out, "{\"keys\":[");

    for ( ;; ) {

        if (n == limit) {
            more = 1;
            break;
        }

        if (!weir_registry_next_key(registry, &cursor, &key)) {
            break;
        }

        if (tenant.data
            && !weir_str_eq(key->tenant->id,
                            weir_str((char *) tenant.data, tenant.len)))
        {
            continue;
        }

        if (n) {
            weir_buf_append_char(out, ',');
        }

        ngx_http_weir_admin_append_key(out, key, ngx_time());
        n++;
    }

    if (more) {
        weir_buf_printf(out, "],\"next\":%zu}", cursor);

    } else {
        weir_buf_append_z(out, "],\"next\":null}");
    }

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_weir_admin_number(ngx_http_weir_admin_ctx_t *actx, const char *name,
    ngx_int_t absent, ngx_int_t max, ngx_int_t *out)
{
    ngx_str_t  value;

    if (ngx_http_arg(actx->request, (u_char *) name, ngx_strlen(name), &value)
        != NGX_OK)
    {
        *out = absent;
        return NGX_OK;
    }

    *out = ngx_atoi(value.data, value.len);

    return (*out == NGX_ERROR || *out > max) ? NGX_ERROR : NGX_OK;
}


static ngx_int_t
ngx_http_weir_admin_key(ngx_http_weir_admin_ctx_t *actx)
{
    const weir_api_key_t   *key;
    const weir_registry_t  *registry;

    registry = actx->wamcf->registry->registry();

    if (registry == NULL) {
        return ngx_http_weir_admin_no_registry(actx);
    }

    key = weir_registry_find_key(registry,
                                 weir_str((char *) actx->id.data,
                                          actx->id.len));
    if (key == NULL) {
        return ngx_http_weir_admin_error(actx, NGX_HTTP_NOT_FOUND,
                                         "unknown_key",
                                         "No key has this id.", NULL);
    }

    ngx_http_weir_admin_append_key(&actx->answer, key, ngx_time());

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_weir_admin_policy(ngx_http_weir_admin_ctx_t *actx)
{
    weir_error_t            err;
    const weir_registry_t  *registry;

    registry = actx->wamcf->registry->registry();

    if (registry == NULL) {
        return ngx_http_weir_admin_no_registry(actx);
    }

    if (weir_registry_explain(registry, weir_str((char *) actx->id.data,
                                                 actx->id.len),
                              &actx->answer, &err)
        != WEIR_OK)
    {
        return ngx_http_weir_admin_failed(actx, &err);
    }

    return ngx_http_weir_admin_answer(actx, NGX_HTTP_OK);
}


static ngx_int_t
ngx_http_weir_admin_no_registry(ngx_http_weir_admin_ctx_t *actx)
{
    return ngx_http_weir_admin_error(actx, NGX_HTTP_CONFLICT, "no_documents",
                                     "The gateway has no documents: set "
                                     "\"weir_tenants\".", NULL);
}
