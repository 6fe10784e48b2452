
/*
 * Weir: what the files of the admin module share.
 */


#ifndef _NGX_HTTP_WEIR_ADMIN_H_INCLUDED_
#define _NGX_HTTP_WEIR_ADMIN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif

#include "ngx_http_weir.h"
#include "ngx_http_weir_registry.h"

#include "policies/admins.h"
#include "policies/registry.h"


/* most bytes of a request's body */

#define NGX_HTTP_WEIR_ADMIN_BODY   16384

#define NGX_HTTP_WEIR_ADMIN_LABEL  256


typedef struct {
    const ngx_http_weir_registry_api_t *registry;

    ngx_open_file_t               *log;
    ngx_uint_t                     used;

#if (NGX_THREADS)
    ngx_thread_pool_t             *threads;
#endif
} ngx_http_weir_admin_main_conf_t;


typedef struct {
    ngx_str_t                      file;
    weir_admins_t                 *admins;
    weir_arena_t                   arena;
} ngx_http_weir_admin_loc_conf_t;


typedef struct ngx_http_weir_admin_ctx_s  ngx_http_weir_admin_ctx_t;

typedef ngx_int_t (*ngx_http_weir_admin_handler_pt)(
    ngx_http_weir_admin_ctx_t *actx);


/* what can be asked for, and who may */

typedef struct {
    ngx_str_t                      name;        /* for the log */
    ngx_uint_t                     method;
    ngx_str_t                      path;        /* "keys/:/disable" */
    weir_admin_role_t              role;
    unsigned                       body:1;      /* takes one */
    unsigned                       change:1;    /* is written to the log */
    ngx_http_weir_admin_handler_pt handler;
} ngx_http_weir_admin_verb_t;


struct ngx_http_weir_admin_ctx_s {
    ngx_http_request_t            *request;
    ngx_http_weir_admin_main_conf_t *wamcf;
    const weir_admin_t            *admin;
    const ngx_http_weir_admin_verb_t *verb;
    ngx_str_t                      id;          /* what ":" stands for */
    ngx_uint_t                     methods;     /* of the path, for a 405 */

    weir_arena_t                   arena;
    weir_buf_t                     answer;
    weir_json_doc_t                body;        /* an object, maybe empty */

    /* a change */

    weir_change_t                  change;
    uint64_t                       seq;
    weir_status_t                  status;
    weir_error_t                   err;
    char                           key[WEIR_KEY_LEN + 1];
    ngx_uint_t                     tries;
    ngx_event_t                    retry;
};


/* routing and access: ngx_http_weir_admin_module.c */

extern ngx_module_t  ngx_http_weir_admin_module;

/* what is asked for, and reading: ngx_http_weir_admin_verb.c */

ngx_int_t ngx_http_weir_admin_find_verb(ngx_http_request_t *r,
    ngx_http_weir_admin_ctx_t *actx, ngx_int_t *rc);

/* changes: ngx_http_weir_admin_change.c */

ngx_int_t ngx_http_weir_admin_create(ngx_http_weir_admin_ctx_t *actx);
ngx_int_t ngx_http_weir_admin_rotate(ngx_http_weir_admin_ctx_t *actx);
ngx_int_t ngx_http_weir_admin_switch(ngx_http_weir_admin_ctx_t *actx);
ngx_int_t ngx_http_weir_admin_reload(ngx_http_weir_admin_ctx_t *actx);
ngx_int_t ngx_http_weir_admin_compact(ngx_http_weir_admin_ctx_t *actx);

/* answers and the log: ngx_http_weir_admin_answer.c */

void ngx_http_weir_admin_append_key(weir_buf_t *out,
    const weir_api_key_t *key, time_t now);
void ngx_http_weir_admin_append_member(weir_buf_t *out, const char *name,
    weir_str_t value);
void ngx_http_weir_admin_append_time(weir_buf_t *out, const char *name,
    int64_t seconds);
ngx_int_t ngx_http_weir_admin_answer(ngx_http_weir_admin_ctx_t *actx,
    ngx_uint_t status);
ngx_int_t ngx_http_weir_admin_error(ngx_http_weir_admin_ctx_t *actx,
    ngx_uint_t status, const char *code, const char *message,
    const char *field);
ngx_int_t ngx_http_weir_admin_failed(ngx_http_weir_admin_ctx_t *actx,
    weir_error_t *err);
void ngx_http_weir_admin_log(ngx_http_weir_admin_ctx_t *actx,
    ngx_uint_t status, const char *result);


#endif /* _NGX_HTTP_WEIR_ADMIN_H_INCLUDED_ */
