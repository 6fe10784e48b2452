
/*
 * Weir: what the files of the engine module share.
 */


#ifndef _NGX_HTTP_WEIR_ENGINE_H_INCLUDED_
#define _NGX_HTTP_WEIR_ENGINE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "engine/api/answer.h"
#include "engine/api/errors.h"
#include "engine/api/metrics.h"
#include "engine/api/request.h"
#include "engine/llm/engine.h"


/* engine events moved at once */

#define NGX_HTTP_WEIR_ENGINE_EVENTS   128

/* prompts of one request that are in the engine at the same time */

#define NGX_HTTP_WEIR_ENGINE_WINDOW   8

#define NGX_HTTP_WEIR_ENGINE_BUCKETS  256


typedef enum {
    NGX_HTTP_WEIR_ENGINE_MODELS = 0,
    NGX_HTTP_WEIR_ENGINE_MODEL,
    NGX_HTTP_WEIR_ENGINE_CHAT,
    NGX_HTTP_WEIR_ENGINE_COMPLETIONS,
    NGX_HTTP_WEIR_ENGINE_GENERATE,
    NGX_HTTP_WEIR_ENGINE_TOKENIZE,
    NGX_HTTP_WEIR_ENGINE_DETOKENIZE,
    NGX_HTTP_WEIR_ENGINE_HEALTH,
    NGX_HTTP_WEIR_ENGINE_METRICS,
    NGX_HTTP_WEIR_ENGINE_USAGE,
    NGX_HTTP_WEIR_ENGINE_OTHER,
    NGX_HTTP_WEIR_ENGINE_ROUTES
} ngx_http_weir_engine_route_e;


/* statuses that are counted by number; the last counter is for the rest */

#define NGX_HTTP_WEIR_ENGINE_STATUSES  11


/* what the worker counts; the engine's own counters are in its statistics */

typedef struct {
    uint64_t                        requests[NGX_HTTP_WEIR_ENGINE_ROUTES]
                                            [NGX_HTTP_WEIR_ENGINE_STATUSES];
    uint64_t                        disconnects;
    uint64_t                        slow_clients;

    /* by operation: chat, text_completion */

    weir_histogram_t                first_token[2];
    weir_histogram_t                output_token[2];
    weir_histogram_t                duration[2];
} ngx_http_weir_engine_metrics_t;


/* what a request has used that has ended or is being cancelled */

typedef struct {
    uint64_t                        number;      /* counts requests, from 1 */
    uint64_t                        scope;
    uint64_t                        prompt_tokens;
    uint64_t                        cached_tokens;
    uint64_t                        completion_tokens;
    uint32_t                        open;        /* choices still to end */
    uint32_t                        asked;
    size_t                          len;
    u_char                          id[128];
} ngx_http_weir_engine_spent_t;


typedef struct {
    ngx_str_t                       path;
    ngx_str_t                       id;
    ngx_array_t                     aliases;     /* of weir_str_t */
    weir_api_names_t                names;
    weir_engine_options_t           options;
    ngx_fd_t                        fd;
    time_t                          created;
    size_t                          request_memory;
    ngx_uint_t                      used;        /* unsigned  used:1; */

    /* of the worker that runs the engine */

    weir_engine_t                  *engine;
    weir_error_t                    failure;
    ngx_connection_t               *notify;
    weir_event_t                   *events;
    weir_arena_t                    scratch;
    ngx_queue_t                    *buckets;     /* of generations */
    ngx_queue_t                     touched;     /* of contexts */
    u_char                          fingerprint[24];
    ngx_http_weir_engine_metrics_t  metrics;
    ngx_http_weir_engine_spent_t   *spent;       /* a ring */
    uint64_t                        nspent;
    ngx_queue_t                     live;        /* of contexts */
    ngx_queue_t                     orphans;
    ngx_queue_t                     askers;
    ngx_event_t                     told;
    uint64_t                        seen_errors;
    time_t                          last_error;
} ngx_http_weir_engine_main_conf_t;


typedef struct {
    ngx_uint_t                      api;         /* unsigned  api:1; */
} ngx_http_weir_engine_loc_conf_t;


typedef struct ngx_http_weir_engine_ctx_s  ngx_http_weir_engine_ctx_t;


/* one prompt in the engine */

typedef struct {
    ngx_queue_t                     queue;       /* must be first */
    uint64_t                        id;
    uint32_t                        prompt;
    uint32_t                        open;        /* choices not finished */
    uint32_t                        cached;      /* tokens of the prompt */
    unsigned                        begun:1;
    ngx_http_weir_engine_ctx_t     *ctx;
} ngx_http_weir_engine_gen_t;


struct ngx_http_weir_engine_ctx_s {
    ngx_queue_t                        touched;  /* must be first */
    ngx_queue_t                        live;     /* while generating */
    ngx_http_weir_engine_main_conf_t  *wmcf;
    ngx_http_request_t                *request;
    ngx_http_weir_engine_route_e       route;
    ngx_str_t                          request_id;
    ngx_msec_t                         start;

    weir_arena_t                       arena;
    weir_api_request_t                 req;
    weir_api_answer_t                 *answer;
    weir_error_t                       err;

    ngx_http_weir_engine_gen_t        *gens;     /* req.n_prompts */
    uint32_t                           next;     /* prompt to submit */
    uint32_t                           active;   /* prompts in the engine */
    uint32_t                           retry_ms; /* with a full queue */

    ngx_event_t                        timer;
    ngx_msec_t                         last_sent;
    ngx_msec_t                         first;    /* token of the request */
    ngx_msec_t                        *firsts;   /* of each choice */
    uint32_t                          *counts;

    ngx_chain_t                       *out;
    ngx_chain_t                       *tail;
    ngx_chain_t                       *busy;
    ngx_chain_t                       *free;
    size_t                             pending;

    ngx_buf_t                         *replacement;

    unsigned                           own:1;
    unsigned                           generating:1;
    unsigned                           started:1;
    unsigned                           failed:1;
    unsigned                           done:1;
    unsigned                           queued:1; /* in wmcf->touched */
    unsigned                           replaced:1;
};


/* ngx_http_weir_engine_module.c */

extern ngx_module_t  ngx_http_weir_engine_module;


/* ngx_http_weir_engine_worker.c: the engine's life and its events */

ngx_int_t ngx_http_weir_engine_start(ngx_cycle_t *cycle,
    ngx_http_weir_engine_main_conf_t *wmcf);
void ngx_http_weir_engine_stop(ngx_http_weir_engine_main_conf_t *wmcf);
void ngx_http_weir_engine_track(ngx_http_weir_engine_gen_t *gen);


/* ngx_http_weir_engine_request.c: routes, bodies, small answers */

ngx_int_t ngx_http_weir_engine_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_weir_engine_send(ngx_http_request_t *r, ngx_uint_t status,
    weir_buf_t *body);
ngx_int_t ngx_http_weir_engine_send_error(ngx_http_request_t *r,
    weir_error_t *err, uint32_t retry_ms);
ngx_int_t ngx_http_weir_engine_send_status(ngx_http_request_t *r,
    ngx_uint_t status, char *message, char *code);
ngx_int_t ngx_http_weir_engine_add_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value);
ngx_int_t ngx_http_weir_engine_add_number(ngx_http_request_t *r, char *name,
    uint64_t number);
ngx_int_t ngx_http_weir_engine_ready(
    ngx_http_weir_engine_main_conf_t *wmcf, weir_error_t *err,
    uint32_t *retry_ms);
void ngx_http_weir_engine_model(ngx_http_weir_engine_main_conf_t *wmcf,
    weir_api_model_t *model);
ngx_str_t *ngx_http_weir_engine_find_header(ngx_http_request_t *r,
    char *name, size_t len);


/* ngx_http_weir_engine_generate.c: from a parsed request to its answer */

void ngx_http_weir_engine_generate(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, weir_str_t body);
void ngx_http_weir_engine_deliver(ngx_http_weir_engine_gen_t *gen,
    const weir_event_t *event);
void ngx_http_weir_engine_advance(ngx_http_weir_engine_ctx_t *ctx);


uint64_t ngx_http_weir_engine_scope(ngx_http_request_t *r);


/* ngx_http_weir_engine_usage.c: what requests have used */

ngx_int_t ngx_http_weir_engine_usage_init(ngx_cycle_t *cycle,
    ngx_http_weir_engine_main_conf_t *wmcf);
void ngx_http_weir_engine_usage_free(ngx_http_weir_engine_main_conf_t *wmcf);
void ngx_http_weir_engine_remember(ngx_http_weir_engine_ctx_t *ctx);
void ngx_http_weir_engine_orphan_event(ngx_http_weir_engine_main_conf_t *wmcf,
    const weir_event_t *event);
ngx_int_t ngx_http_weir_engine_usage(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, ngx_str_t *id);


/* ngx_http_weir_engine_output.c: bytes to the client, and a client that goes */

void ngx_http_weir_engine_watch(ngx_http_request_t *r);
ngx_int_t ngx_http_weir_engine_append(ngx_http_weir_engine_ctx_t *ctx,
    weir_buf_t *bytes);
ngx_int_t ngx_http_weir_engine_flush(ngx_http_weir_engine_ctx_t *ctx,
    ngx_uint_t last);


/* ngx_http_weir_engine_status.c: health and metrics */

ngx_int_t ngx_http_weir_engine_health(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx);
ngx_int_t ngx_http_weir_engine_metrics(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx);
void ngx_http_weir_engine_metrics_init(ngx_http_weir_engine_metrics_t *m);
void ngx_http_weir_engine_count(ngx_http_weir_engine_ctx_t *ctx,
    ngx_uint_t status);


/* ngx_http_weir_engine_filter.c: NGINX's own error pages in OpenAI's shape */

void ngx_http_weir_engine_filter_init(ngx_conf_t *cf);


#endif /* _NGX_HTTP_WEIR_ENGINE_H_INCLUDED_ */
