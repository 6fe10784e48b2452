
/*
 * Weir: what the files of the client module share.
 */


#ifndef _NGX_HTTP_WEIR_CLIENT_MODULE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CLIENT_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_event_connect.h>

#include "ngx_http_weir_client.h"

#include "lua-free-filters/http_response.h"
#include "lua-free-filters/http_url.h"


#define NGX_HTTP_WEIR_CLIENT_BUFFER      16384
#define NGX_HTTP_WEIR_CLIENT_MAX_FIELDS  128
#define NGX_HTTP_WEIR_CLIENT_TEXT        512


typedef struct ngx_http_weir_client_connection_s
    ngx_http_weir_client_connection_t;


struct ngx_http_weir_client_profile_s {
    ngx_http_weir_client_options_t     options;
    ngx_ssl_t                          ssl;
};


typedef struct {
    const ngx_http_weir_client_api_t  *api;      /* must be first */

    ngx_http_weir_client_profile_t     profile;  /* what the directives say */
    ngx_array_t                        targets;  /* of pointers */
    ngx_array_t                        profiles; /* of pointers */
    ngx_array_t                       *allow;    /* of ngx_cidr_t */
    ngx_resolver_t                    *resolver;

    ngx_msec_t                         timeout;
    ngx_msec_t                         connect_timeout;
    ngx_msec_t                         keepalive_timeout;
    ngx_uint_t                         keepalive;
    ngx_uint_t                         max_calls;
    size_t                             max_body;
    size_t                             max_header;
    ngx_flag_t                         verify;

    /* how far reading the configuration has come */

    unsigned                           profiled:1;
    unsigned                           resolved:1;

    /* of this worker */

    ngx_queue_t                        calls;
    ngx_queue_t                        idle;     /* last used first */
    ngx_uint_t                         ncalls;
    ngx_uint_t                         nidle;
    u_char                            *buffer;
} ngx_http_weir_client_main_conf_t;


struct ngx_http_weir_client_target_s {
    ngx_str_t                          url;
    weir_http_url_t                    parsed;
    ngx_http_weir_client_profile_t    *profile;
    ngx_http_weir_client_main_conf_t  *wmcf;

    /* known before a call: a literal, a socket, or resolved at the start */

    ngx_addr_t                        *addrs;
    ngx_uint_t                         naddrs;

    ngx_str_t                          conf_file;
    ngx_uint_t                         conf_line;
};


/* a connection, with a call or idle; lives in the connection's pool */

struct ngx_http_weir_client_connection_s {
    ngx_queue_t                        queue;    /* in wmcf->idle */
    ngx_connection_t                  *connection;
    ngx_http_weir_client_main_conf_t  *wmcf;
    ngx_http_weir_client_call_t       *call;
    ngx_str_t                          key;
    ngx_sockaddr_t                     sockaddr;
    socklen_t                          socklen;
};


typedef enum {
    NGX_HTTP_WEIR_CLIENT_STARTING = 0,
    NGX_HTTP_WEIR_CLIENT_RESOLVING,
    NGX_HTTP_WEIR_CLIENT_CONNECTING,
    NGX_HTTP_WEIR_CLIENT_HANDSHAKING,
    NGX_HTTP_WEIR_CLIENT_SENDING,
    NGX_HTTP_WEIR_CLIENT_WAITING
} ngx_http_weir_client_state_e;


/* lives in its own pool */

struct ngx_http_weir_client_call_s {
    ngx_queue_t                        queue;    /* in wmcf->calls */
    ngx_pool_t                        *pool;
    ngx_http_weir_client_main_conf_t  *wmcf;
    ngx_http_weir_client_profile_t    *profile;
    ngx_http_weir_client_handler_pt    handler;
    void                              *data;

    weir_http_url_t                    url;
    ngx_str_t                          where;    /* for messages */
    ngx_str_t                          key;      /* of connections */
    ngx_buf_t                         *request;

    ngx_http_weir_client_state_e       state;
    ngx_event_t                        timer;
    ngx_msec_t                         begun;
    ngx_msec_t                         deadline;

    ngx_resolver_ctx_t                *resolving;
    ngx_addr_t                        *addrs;
    ngx_uint_t                         naddrs;
    ngx_uint_t                         next_addr;

    ngx_http_weir_client_connection_t *connection;

    weir_arena_t                       arena;
    weir_http_limits_t                 limits;
    weir_http_response_t               response;

    /* why it failed before it began */

    ngx_uint_t                         error;
    u_char                             text[NGX_HTTP_WEIR_CLIENT_TEXT];
    size_t                             text_len;

    unsigned                           guarded:1; /* public addresses only */
    unsigned                           once:1;
    unsigned                           background:1;
    unsigned                           reused:1;
    unsigned                           repeated:1;
    unsigned                           ended:1;
};


extern ngx_module_t  ngx_http_weir_client_module;


/* targets and profiles: ngx_http_weir_client_target.c */

ngx_http_weir_client_profile_t *ngx_http_weir_client_profile(ngx_conf_t *cf,
    const ngx_http_weir_client_options_t *options);
ngx_http_weir_client_target_t *ngx_http_weir_client_parse(ngx_conf_t *cf,
    ngx_str_t *url, ngx_http_weir_client_profile_t *profile);
ngx_int_t ngx_http_weir_client_init_profiles(ngx_conf_t *cf,
    ngx_http_weir_client_main_conf_t *wmcf);
ngx_int_t ngx_http_weir_client_resolve_targets(ngx_conf_t *cf,
    ngx_http_weir_client_main_conf_t *wmcf);
ngx_int_t ngx_http_weir_client_literal(ngx_pool_t *pool,
    weir_http_url_t *url, ngx_addr_t **addrs);
ngx_uint_t ngx_http_weir_client_is_allowed(
    ngx_http_weir_client_main_conf_t *wmcf, struct sockaddr *sockaddr);

/* a call from its start to its end: ngx_http_weir_client_call.c */

ngx_http_weir_client_call_t *ngx_http_weir_client_start(
    const ngx_http_weir_client_request_t *rq,
    ngx_http_weir_client_handler_pt handler, void *data);
void ngx_http_weir_client_cancel(ngx_http_weir_client_call_t *call);
void ngx_http_weir_client_finish(ngx_http_weir_client_call_t *call);
void ngx_cdecl ngx_http_weir_client_fail(ngx_http_weir_client_call_t *call,
    ngx_http_weir_client_error_e error, const char *fmt, ...);
void ngx_http_weir_client_exit(ngx_http_weir_client_main_conf_t *wmcf);

/* the request's bytes: ngx_http_weir_client_request.c */

const char *ngx_http_weir_client_check(
    const ngx_http_weir_client_request_t *rq);
ngx_buf_t *ngx_http_weir_client_write(ngx_http_weir_client_call_t *call,
    const ngx_http_weir_client_request_t *rq);

/* bytes on a connection: ngx_http_weir_client_io.c */

void ngx_http_weir_client_begin(ngx_http_weir_client_call_t *call);
void ngx_http_weir_client_connect(ngx_http_weir_client_call_t *call);

/* connections, kept or not: ngx_http_weir_client_pool.c */

ngx_int_t ngx_http_weir_client_open(ngx_http_weir_client_call_t *call,
    ngx_addr_t *addr);
ngx_int_t ngx_http_weir_client_reuse(ngx_http_weir_client_call_t *call);
void ngx_http_weir_client_keep(ngx_http_weir_client_connection_t *kc);
void ngx_http_weir_client_close(ngx_http_weir_client_connection_t *kc);
void ngx_http_weir_client_empty_handler(ngx_event_t *ev);


#endif /* _NGX_HTTP_WEIR_CLIENT_MODULE_H_INCLUDED_ */
