
/*
 * Weir: the interface between its NGINX modules.
 *
 * No module calls a symbol of another, because NGINX resolves every symbol
 * when it opens a file and the order of load_module lines is the operator's.
 * Instead a module finds the core by name during preconfiguration, with
 * ngx_http_weir_find_core(), and calls through the table that it gets.
 */


#ifndef _NGX_HTTP_WEIR_H_INCLUDED_
#define _NGX_HTTP_WEIR_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_WEIR_VERSION  "0.1.0"

/* changes with any change below that an older module cannot live with */

#define NGX_HTTP_WEIR_ABI   1

#define NGX_HTTP_WEIR_CORE  "ngx_http_weir_core_module"


typedef struct ngx_http_weir_ctx_s  ngx_http_weir_ctx_t;


/*
 * A refusal, always a constant of the module that refuses.  All strings are
 * plain ASCII without quotes, backslashes or control characters: they go into
 * JSON as they are.  The reason is a label of metrics.
 */

typedef struct {
    ngx_uint_t                     status;
    ngx_str_t                      type;
    ngx_str_t                      code;
    ngx_str_t                      message;
    ngx_str_t                      reason;
} ngx_http_weir_refusal_t;


typedef enum {

    /*
     * Who asks?  Once per main request, in the preaccess phase of the first
     * governed location that it or a subrequest of it enters, before the body
     * is read; the request passed is the main one.
     *
     *   NGX_OK        admitted: ctx->tenant and ctx->key_id are set and live
     *                 as long as the cycle or the request's pool
     *   NGX_DECLINED  not my business; a request that no hook admits is
     *                 refused
     *   NGX_ABORT     refused: ctx->refusal is set
     *   NGX_ERROR     failed: refused with status 500
     */
    NGX_HTTP_WEIR_ADMIT = 0,

    /*
     * The request has ended and its usage line is written: all fields of ctx
     * have their last value.  Exactly once per governed request, maybe while
     * its pool is being destroyed: nothing may be allocated from r->pool.
     * The return value is ignored.
     */
    NGX_HTTP_WEIR_SETTLED,

    NGX_HTTP_WEIR_HOOKS

} ngx_http_weir_hook_e;


typedef ngx_int_t (*ngx_http_weir_hook_pt)(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);


typedef enum {
    NGX_HTTP_WEIR_USAGE_NONE = 0,
    NGX_HTTP_WEIR_USAGE_REPORTED,
    NGX_HTTP_WEIR_USAGE_COUNTED
} ngx_http_weir_usage_e;


/* one per main request; survives internal redirects and named locations */

struct ngx_http_weir_ctx_s {
    ngx_str_t                      request_id;

    ngx_str_t                      tenant;
    ngx_str_t                      key_id;
    const ngx_http_weir_refusal_t *refusal;

    /* as the answer has told so far */

    ngx_str_t                      model;
    uint64_t                       prompt_tokens;
    uint64_t                       cached_tokens;
    uint64_t                       completion_tokens;
    ngx_uint_t                     usage;      /* ngx_http_weir_usage_e */

    /* milliseconds since the request's first byte; ttft is -1 without text */

    ngx_msec_int_t                 latency;
    ngx_msec_int_t                 ttft;

    ngx_uint_t                     status;

    unsigned                       governed:1;
    unsigned                       decided:1;
    unsigned                       admitted:1;
    unsigned                       stream:1;
    unsigned                       complete:1;
    unsigned                       aborted:1;
    unsigned                       unrecorded:1;
    unsigned                       settled:1;
};


typedef struct {
    ngx_uint_t                     abi;
    size_t                         size;

    /*
     * Registers a hook; only during preconfiguration or while directives are
     * read.  Hooks run in the order of registration.
     */
    ngx_int_t                    (*add_hook)(ngx_conf_t *cf,
                                             ngx_http_weir_hook_e point,
                                             ngx_http_weir_hook_pt handler,
                                             void *data);

    /*
     * The context of the request's main request, made when there is none;
     * NULL when out of memory.
     */
    ngx_http_weir_ctx_t         *(*get_ctx)(ngx_http_request_t *r);

    /*
     * Answers a main request with the refusal, in the error shape of the API
     * called.  A content handler returns the result; a phase handler passes
     * it to ngx_http_finalize_request() and returns NGX_DONE.  For a
     * subrequest the result is the status.
     */
    ngx_int_t                    (*refuse)(ngx_http_request_t *r,
                                           const ngx_http_weir_refusal_t *why);
} ngx_http_weir_api_t;


/*
 * The core's table, or NULL after a message that says what to do.  The first
 * member of the core's main configuration points to it.
 */

static ngx_inline const ngx_http_weir_api_t *
ngx_http_weir_find_core(ngx_conf_t *cf, const char *who)
{
    void                       **mcf;
    ngx_uint_t                   i;
    ngx_module_t                *module;
    ngx_http_conf_ctx_t         *ctx;
    const ngx_http_weir_api_t   *api;

    ctx = cf->ctx;

    for (i = 0; cf->cycle->modules[i]; i++) {
        module = cf->cycle->modules[i];

        if (module->type != NGX_HTTP_MODULE
            || ngx_strcmp(module->name, NGX_HTTP_WEIR_CORE) != 0)
        {
            continue;
        }

        mcf = ctx->main_conf[module->ctx_index];
        api = (mcf == NULL) ? NULL : *mcf;

        if (api == NULL
            || api->abi != NGX_HTTP_WEIR_ABI
            || api->size < sizeof(ngx_http_weir_api_t))
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "%s and " NGX_HTTP_WEIR_CORE " are of "
                               "different releases: install both from one",
                               who);
            return NULL;
        }

        return api;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "%s needs " NGX_HTTP_WEIR_CORE ": add "
                       "\"load_module modules/" NGX_HTTP_WEIR_CORE ".so;\"",
                       who);
    return NULL;
}


#endif /* _NGX_HTTP_WEIR_H_INCLUDED_ */
