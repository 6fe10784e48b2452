
/*
 * Weir's core: the plugins and their order.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


static int ngx_libc_cdecl ngx_http_weir_cmp_plugins(const void *one,
    const void *two);


ngx_int_t
ngx_http_weir_add_plugin(ngx_conf_t *cf, const ngx_http_weir_plugin_t *plugin)
{
    ngx_uint_t                       i;
    const ngx_http_weir_plugin_t   **p;
    ngx_http_weir_core_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_core_module);

    if (plugin->name.len == 0 || plugin->stage == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "a Weir plugin needs a name and a stage");
        return NGX_ERROR;
    }

    p = wmcf->plugins.elts;

    for (i = 0; i < wmcf->plugins.nelts; i++) {
        if (p[i]->name.len == plugin->name.len
            && ngx_strncmp(p[i]->name.data, plugin->name.data,
                           plugin->name.len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "two Weir plugins are named \"%V\"",
                               &plugin->name);
            return NGX_ERROR;
        }
    }

    p = ngx_array_push(&wmcf->plugins);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *p = plugin;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_sort_plugins(ngx_conf_t *cf,
    ngx_http_weir_core_main_conf_t *wmcf)
{
    ngx_uint_t                      i;
    const ngx_http_weir_plugin_t  **p;

    p = wmcf->plugins.elts;

    ngx_qsort(p, wmcf->plugins.nelts, sizeof(ngx_http_weir_plugin_t *),
              ngx_http_weir_cmp_plugins);

    for (i = 0; i < wmcf->plugins.nelts; i++) {
        if (p[i]->admit && p[i] != &ngx_http_weir_policy_plugin) {
            return NGX_OK;
        }
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"weir on\" needs a module that knows who asks: load "
                  "ngx_http_weir_auth_module and set \"weir_tenants\"");
    return NGX_ERROR;
}


static int ngx_libc_cdecl
ngx_http_weir_cmp_plugins(const void *one, const void *two)
{
    ngx_int_t                      n;
    const ngx_http_weir_plugin_t  *a, *b;

    a = *(const ngx_http_weir_plugin_t **) one;
    b = *(const ngx_http_weir_plugin_t **) two;

    if (a->stage != b->stage) {
        return (a->stage < b->stage) ? -1 : 1;
    }

    n = ngx_memn2cmp(a->name.data, b->name.data, a->name.len, b->name.len);

    return (n < 0) ? -1 : (n > 0);
}
