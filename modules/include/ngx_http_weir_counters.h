
/*
 * Weir: counters of other modules on the metrics page.
 *
 * A module that counts has a pointer to this table as the first member of its
 * main configuration; the metrics module finds it by name and appends its
 * text.
 */


#ifndef _NGX_HTTP_WEIR_COUNTERS_H_INCLUDED_
#define _NGX_HTTP_WEIR_COUNTERS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir.h"


#define NGX_HTTP_WEIR_COUNTERS_ABI  1

#define NGX_HTTP_WEIR_GUARD         "ngx_http_weir_guard_module"


typedef struct {
    ngx_uint_t                     abi;
    size_t                         size;

    /*
     * Families of Prometheus text 0.0.4, in the request's pool.  NGX_OK;
     * NGX_DECLINED: nothing is counted in this configuration; NGX_ERROR.
     */
    ngx_int_t                    (*text)(ngx_http_request_t *r,
                                       ngx_str_t *out);
} ngx_http_weir_counters_t;


/* NULL when the module is not there or of another release */

static ngx_inline const ngx_http_weir_counters_t *
ngx_http_weir_find_counters(ngx_conf_t *cf, const char *name)
{
    const ngx_http_weir_counters_t  *table;

    table = ngx_http_weir_find_module(cf, name);

    if (table == NULL
        || table->abi != NGX_HTTP_WEIR_COUNTERS_ABI
        || table->size < sizeof(ngx_http_weir_counters_t))
    {
        return NULL;
    }

    return table;
}


#endif /* _NGX_HTTP_WEIR_COUNTERS_H_INCLUDED_ */
