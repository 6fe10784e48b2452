
/*
 * Weir's core: foreign plugins (weir_plugin.h) as plugins of the core.
 */


#ifndef _NGX_HTTP_WEIR_PLUGIN_H_INCLUDED_
#define _NGX_HTTP_WEIR_PLUGIN_H_INCLUDED_


#include <pthread.h>

#include "ngx_http_weir_core.h"
#include "weir_plugin.h"


#define NGX_HTTP_WEIR_HOLDS  256


/* a shared object that "weir_plugin" has opened; lives as long as the cycle */

struct ngx_http_weir_foreign_s {
    ngx_http_weir_plugin_t           plugin;     /* what the core sees */
    weir_plugin_host_t               host;       /* what the plugin sees */

    ngx_http_weir_core_main_conf_t  *wmcf;
    ngx_str_t                        file;
    void                            *handle;
    const weir_plugin_t             *table;
    void                            *self;
    weir_plugin_needs_t              needs;

    unsigned                         opened:1;
    unsigned                         started:1;  /* in this worker */
};


/* an item of an answer that waits behind one that is held, or is it */

typedef struct {
    ngx_queue_t                      queue;
    weir_item_t                      item;
    size_t                           size;
} ngx_http_weir_kept_t;


/* what a foreign plugin gets as a request; lives in the request's arena */

struct weir_plugin_request {
    ngx_http_weir_foreign_t         *foreign;
    ngx_http_weir_core_ctx_t        *ctx;
    void                            *state;

    /* a hold, of the request or of an item of its answer; id 0: none */

    ngx_queue_t                      queue;
    uint64_t                         hold;

    /* the answer: ngx_http_weir_plugin_filter.c */

    ngx_queue_t                      kept;
    size_t                           kept_size;
    ngx_event_t                      timer;
    weir_plugin_verdict_t            verdict;
    weir_plugin_decision_t           decision;

    unsigned                         item:1;     /* the hold is of an item */
    unsigned                         ready:1;    /* its verdict is there */
    unsigned                         stopped:1;
    unsigned                         ended:1;
    unsigned                         routing:1;
    unsigned                         heading:1;  /* in response_headers() */
};


/* what a plugin's thread has said; from malloc() */

typedef struct ngx_http_weir_said_s  ngx_http_weir_said_t;

struct ngx_http_weir_said_s {
    ngx_http_weir_said_t            *next;
    uint64_t                         hold;
    weir_plugin_verdict_t            verdict;
    weir_plugin_decision_t           decision;
};


/* of this worker; from malloc(), because threads use it */

struct ngx_http_weir_foreign_worker_s {
    pthread_mutex_t                  lock;       /* of "said" only */
    ngx_http_weir_said_t            *said;
    ngx_http_weir_said_t           **last;
    int                              fd;
    ngx_connection_t                *notify;
    uint64_t                         holds;      /* so far */
    ngx_queue_t                      held[NGX_HTTP_WEIR_HOLDS];
};


/* ngx_http_weir_plugin_host.c */

void ngx_http_weir_foreign_host(weir_plugin_host_t *host);
void ngx_http_weir_foreign_unhold(weir_plugin_request_t *rq);

/* ngx_http_weir_plugin_hooks.c */

void ngx_http_weir_foreign_hooks(ngx_http_weir_foreign_t *foreign);
weir_plugin_request_t *ngx_http_weir_foreign_request(
    ngx_http_weir_foreign_t *foreign, ngx_http_weir_ctx_t *public);
ngx_int_t ngx_http_weir_foreign_decide(weir_plugin_request_t *rq,
    weir_plugin_verdict_t verdict, const weir_plugin_decision_t *decision);
void ngx_http_weir_foreign_cancelled(weir_plugin_request_t *rq);
char *ngx_http_weir_foreign_copy(weir_arena_t *arena, const char *text,
    char *otherwise);

/* ngx_http_weir_plugin_filter.c */

ngx_int_t ngx_http_weir_foreign_filter(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, weir_filter_t *filter, void *data);
void ngx_http_weir_foreign_item_said(weir_plugin_request_t *rq,
    weir_plugin_verdict_t verdict, const weir_plugin_decision_t *decision);
void ngx_http_weir_foreign_drop(weir_plugin_request_t *rq);


#endif /* _NGX_HTTP_WEIR_PLUGIN_H_INCLUDED_ */
