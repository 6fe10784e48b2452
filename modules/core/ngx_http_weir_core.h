
/*
 * Weir: what the files of the core share.
 */


#ifndef _NGX_HTTP_WEIR_CORE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir.h"

#include "engine/base/arena.h"
#include "lua-free-filters/usage_tap.h"


/* drawn for many request ids at once: one draw is 6,000 instructions */

#define NGX_HTTP_WEIR_RANDOM          1024

/* longest request id that is taken from a client */

#define NGX_HTTP_WEIR_MAX_REQUEST_ID  128


typedef struct {
    ngx_http_weir_hook_pt          handler;
    void                          *data;
} ngx_http_weir_hook_t;


typedef struct {
    const ngx_http_weir_api_t     *api;         /* must be first */

    ngx_array_t                    hooks[NGX_HTTP_WEIR_HOOKS];

    ngx_open_file_t               *usage_log;
    time_t                         usage_log_failed;
    size_t                         max_event;
    ngx_uint_t                     refusal_level;

    ngx_flag_t                     used;

    /* of this worker: empty in the master, so that no two get the same */

    u_char                         random[NGX_HTTP_WEIR_RANDOM];
    size_t                         random_left;

    /* governed requests of this worker that are not settled yet */

    ngx_queue_t                    live;
} ngx_http_weir_core_main_conf_t;


typedef struct {
    ngx_flag_t                     enable;
} ngx_http_weir_core_loc_conf_t;


typedef struct {
    ngx_http_weir_ctx_t            public;      /* must be first */

    ngx_http_weir_core_main_conf_t *wmcf;
    ngx_http_request_t            *request;
    ngx_queue_t                    queue;

    /* the tap, the model's name and the usage line */

    weir_arena_t                   arena;
    weir_usage_tap_t              *tap;

    ngx_str_t                      path;
    ngx_str_t                      error;

    unsigned                       refusing:1;
    unsigned                       replace:1;
    unsigned                       replaced:1;
    unsigned                       hinted:1;
} ngx_http_weir_core_ctx_t;


/* the request's context and its end: ngx_http_weir_request.c */

ngx_http_weir_core_ctx_t *ngx_http_weir_find_ctx(ngx_http_request_t *r);
ngx_http_weir_core_ctx_t *ngx_http_weir_core_get_ctx(ngx_http_request_t *r);
ngx_http_weir_ctx_t *ngx_http_weir_get_ctx(ngx_http_request_t *r);
void ngx_http_weir_govern(ngx_http_weir_core_ctx_t *ctx);
ngx_msec_int_t ngx_http_weir_elapsed(ngx_http_request_t *r);
void ngx_http_weir_read_tap(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_settle(ngx_http_weir_core_ctx_t *ctx);
ngx_int_t ngx_http_weir_add_variables(ngx_conf_t *cf);

/* error bodies: ngx_http_weir_error.c */

ngx_int_t ngx_http_weir_refuse(ngx_http_request_t *r,
    const ngx_http_weir_refusal_t *why);
ngx_int_t ngx_http_weir_status_body(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *body);

/* the response: ngx_http_weir_filter.c */

void ngx_http_weir_filter_init(void);


extern ngx_module_t  ngx_http_weir_core_module;


#endif /* _NGX_HTTP_WEIR_CORE_H_INCLUDED_ */
