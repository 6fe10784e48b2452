
/*
 * Weir: what the files of the core share.
 */


#ifndef _NGX_HTTP_WEIR_CORE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CORE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#if (NGX_THREADS)
#include <ngx_thread_pool.h>
#endif

#include "ngx_http_weir.h"

#include "engine/base/arena.h"
#include "lua-free-filters/pipeline.h"
#include "lua-free-filters/usage.h"

#include "policies/policy.h"


/* drawn for many request ids at once: one draw is 6,000 instructions */

#define NGX_HTTP_WEIR_RANDOM          4096

/* longest request id that is taken from a client */

#define NGX_HTTP_WEIR_MAX_REQUEST_ID  128

#define NGX_HTTP_WEIR_MAX_PATH        256

/* a model's name in the path, decoded */

#define NGX_HTTP_WEIR_MAX_PATH_MODEL  512

/* longest path and content type whose meaning a worker remembers */

#define NGX_HTTP_WEIR_RECENT          64

/*
 * Bodies up to so many bytes are scanned, edited and translated in the event
 * loop: what is slowest, many small values, takes a millisecond.
 */

#define NGX_HTTP_WEIR_LARGE           (128 * 1024)

/* in r->buffered; the image filter's, which has no business with events */

#define NGX_HTTP_WEIR_BUFFERED        0x08

/* memory of a request that a thread frees */

#define NGX_HTTP_WEIR_FREE            (512 * 1024)


typedef struct ngx_http_weir_question_s        ngx_http_weir_question_t;
typedef struct ngx_http_weir_foreign_s         ngx_http_weir_foreign_t;
typedef struct ngx_http_weir_foreign_worker_s  ngx_http_weir_foreign_worker_t;
typedef struct ngx_http_weir_core_ctx_s        ngx_http_weir_core_ctx_t;


/* the last call that was understood: as a rule the next one is the same */

typedef struct {
    ngx_str_t                       prefix;
    size_t                          path_len;   /* 0: none yet */
    size_t                          type_len;
    size_t                          suffix;     /* its offset in the path */
    u_char                          path[NGX_HTTP_WEIR_RECENT];
    u_char                          type[NGX_HTTP_WEIR_RECENT];
    weir_endpoint_info_t            info;
} ngx_http_weir_recent_t;


typedef struct {
    const ngx_http_weir_api_t      *api;        /* must be first */

    /* const ngx_http_weir_plugin_t *, by stage and name after init */

    ngx_array_t                     plugins;

    ngx_open_file_t                *usage_log;
    time_t                          usage_log_failed;
    size_t                          max_event;
    size_t                          max_document;
    ngx_uint_t                      refusal_level;

    ngx_flag_t                      used;

    /* of cancelled requests: ngx_http_weir_deferred.c */

    ngx_uint_t                      asks;
    ngx_uint_t                      questions;      /* of this worker */

    /* of pointers to those of weir_plugin.h: ngx_http_weir_plugin.h */

    ngx_array_t                    *foreign;
    ngx_http_weir_foreign_worker_t *foreign_worker;

    /* of this worker: empty in the master, so that no two get the same */

    u_char                          random[NGX_HTTP_WEIR_RANDOM];
    size_t                          random_left;

    ngx_http_weir_recent_t          recent;     /* of this worker */

    /* what the pipelines of this worker share */

    weir_scratch_t                 *scratch;

    /* governed requests of this worker that are not settled yet */

    ngx_queue_t                     live;

    ngx_http_weir_core_ctx_t       *spare;
    ngx_uint_t                      spares;

    ngx_flag_t                      upstream_keys;  /* some location has one */

    /* answers' part of each turn of the event loop, of this worker */

    int64_t                         turn_ends;  /* microseconds; 0: nobody
                                                 * has asked yet */
    size_t                          turn_bytes;
    ngx_event_t                     turn;
    ngx_event_t                     turn_next;
    ngx_queue_t                     turn_waiting;
    ngx_uint_t                      turn_serves;

#if (NGX_THREADS)
    ngx_thread_pool_t              *threads;
    ngx_uint_t                      bodies;     /* some location reads them */
#endif
} ngx_http_weir_core_main_conf_t;


typedef enum {
    NGX_HTTP_WEIR_API_SAME = 0,
    NGX_HTTP_WEIR_API_OPENAI,
    NGX_HTTP_WEIR_API_CHAT,
    NGX_HTTP_WEIR_API_ANTHROPIC
} ngx_http_weir_api_e;


/* what a thread does of an answer */

typedef enum {
    NGX_HTTP_WEIR_ANSWER_FEED = 1,
    NGX_HTTP_WEIR_ANSWER_WAKE,
    NGX_HTTP_WEIR_ANSWER_ABORT
} ngx_http_weir_answer_task_e;


typedef enum {
    NGX_HTTP_WEIR_ANSWER_GOES_ON = 0,
    NGX_HTTP_WEIR_ANSWER_COMPLETE,
    NGX_HTTP_WEIR_ANSWER_CUT
} ngx_http_weir_answer_end_e;


typedef struct {
    ngx_flag_t                      enable;
    ngx_flag_t                      ask_usage;
    ngx_flag_t                      read_usage;
    ngx_str_t                       prefix;
    ngx_uint_t                      pass_through;   /* 2 << group */
    ngx_http_weir_question_t       *question;
    ngx_uint_t                      upstream_api;
    ngx_str_t                       upstream_bearer;   /* "Bearer KEY" */

    const weir_translate_options_t *translate;
} ngx_http_weir_core_loc_conf_t;


typedef enum {
    NGX_HTTP_WEIR_STEP_ADMIT = 0,
    NGX_HTTP_WEIR_STEP_REQUEST,
    NGX_HTTP_WEIR_STEP_ROUTE,
    NGX_HTTP_WEIR_STEP_PASSED
} ngx_http_weir_step_e;


/* what the core keeps of each plugin for one request */

typedef struct {
    void                           *data;
    ngx_uint_t                      wants;
} ngx_http_weir_slot_t;


typedef struct ngx_http_weir_waiter_s  ngx_http_weir_waiter_t;

struct ngx_http_weir_waiter_s {
    ngx_http_request_t             *request;
    ngx_http_weir_waiter_t         *next;
};


typedef struct ngx_http_weir_tag_s  ngx_http_weir_tag_t;

struct ngx_http_weir_tag_s {
    ngx_str_t                       name;
    ngx_str_t                       value;
    ngx_http_weir_tag_t            *next;
};


typedef struct {
    ngx_uint_t                      status;
    ngx_str_t                       type;
    ngx_str_t                       body;
} ngx_http_weir_response_t;


struct ngx_http_weir_core_ctx_s {
    ngx_http_weir_ctx_t             public;     /* must be first */

    ngx_http_weir_core_main_conf_t *wmcf;
    ngx_http_weir_core_ctx_t       *spare;       /* next of the list */
    ngx_http_request_t             *request;
    ngx_queue_t                     queue;

    /* what plugins and filters keep, the usage line */

    weir_arena_t                    arena;

    ngx_http_weir_slot_t           *slots;
    ngx_http_weir_tag_t            *tags;

    /* the walk through the plugins: ngx_http_weir_dispatch.c */

    ngx_uint_t                      step;
    ngx_uint_t                      next;
    const ngx_http_weir_plugin_t   *holder;
    ngx_http_weir_waiter_t         *waiters;
    ngx_http_weir_waiter_t          self;
    ngx_event_t                     deadline;
    ngx_http_weir_response_t        response;

    ngx_str_t                       content_encoding;

    /* the body: ngx_http_weir_body.c */

    weir_json_node_t               *nodes;
    size_t                          nodes_size;
    weir_json_doc_t                 doc;
    weir_request_view_t             view;
    weir_edit_t                     edits;

    /* by a thread: ngx_http_weir_work.c; no bits, which others may change */

    ngx_str_t                       made_body;
    ngx_uint_t                      made_scan;
    ngx_int_t                       made_rc;
    const ngx_http_weir_refusal_t  *stop_why;
    ngx_event_t                     still;
#if (NGX_THREADS)
    ngx_thread_task_t              *task;
#endif

    /* the answer: ngx_http_weir_answer.c */

    weir_usage_reader_t            *usage;
    weir_pipeline_t                *pipeline;
    ngx_chain_t                    *in;
    ngx_chain_t                    *out;
    ngx_chain_t                    *out_last;
    ngx_chain_t                    *busy;
    ngx_chain_t                    *free;
    size_t                          made;
    ngx_str_t                       error;
    ngx_str_t                       judged;     /* the first bytes of a document
                                                 * that passes */

    /* it on a thread, or waiting: ngx_http_weir_answer_work.c */

    ngx_event_t                     turn;
    ngx_uint_t                      answering;  /* a thread is: its task */
    ngx_chain_t                    *taken;      /* input that it reads, */
    ngx_chain_t                    *taken_left; /* and what it did not */
    ngx_uint_t                      taken_end;
    weir_status_t                   answered;
    weir_scratch_t                 *scratch;
    ngx_queue_t                     made_blocks;
    ngx_queue_t                     blocks;
    weir_stop_reason_t              stop_how;

    unsigned                        needs:8;
    unsigned                        working:1;      /* a thread is */
    unsigned                        unfinished:1;   /* the last edits */
    unsigned                        watched:1;
    unsigned                        gone:1;         /* the client, */
    unsigned                        late:1;         /* or the deadline is
                                                     * past, meanwhile */
    unsigned                        refused:1;
    unsigned                        body_read:1;
    unsigned                        body_changed:1;
    unsigned                        stale:1;        /* nodes are of an older
                                                     * text */
    unsigned                        ask_usage:1;
    unsigned                        hide_usage:1;
    unsigned                        strange_headers:1;
    unsigned                        other_method:1; /* in a header */
    unsigned                        anthropic_version:1;
    unsigned                        refusing:1;
    unsigned                        replace:1;
    unsigned                        replaced:1;
    unsigned                        hinted:1;
    unsigned                        watching:1;     /* NGINX's own buffers
                                                     * pass */
    unsigned                        header_held:1;  /* until a document is
                                                     * known */
    unsigned                        judging:1;      /* held until it is known
                                                     * not to be an error */
    unsigned                        told_error:1;   /* it is one */
    unsigned                        good:1;         /* by its status */
    unsigned                        collects:1;     /* a document, whole */
    unsigned                        threadless:1;   /* the event loop does all
                                                     * of it */
    unsigned                        woken:1;        /* while a thread had
                                                     * it */
    unsigned                        finishing:1;
    unsigned                        ended:1;
    unsigned                        cut:1;
    unsigned                        broken:1;
    unsigned                        asked:1;        /* for its usage */
    unsigned                        told:1;         /* its usage */
};


/* the request's context: ngx_http_weir_request.c */

ngx_http_weir_core_ctx_t *ngx_http_weir_find_ctx(ngx_http_request_t *r);
ngx_http_weir_core_ctx_t *ngx_http_weir_core_get_ctx(ngx_http_request_t *r);
ngx_http_weir_ctx_t *ngx_http_weir_get_ctx(ngx_http_request_t *r);
void ngx_http_weir_govern(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_recognise(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_classify(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, weir_endpoint_info_t *info);
void **ngx_http_weir_slot(ngx_http_weir_ctx_t *public,
    const ngx_http_weir_plugin_t *plugin);
weir_arena_t *ngx_http_weir_arena(ngx_http_weir_ctx_t *public);
void ngx_http_weir_walk(ngx_http_weir_notice_pt visitor, void *data);
ngx_int_t ngx_http_weir_tag(ngx_http_weir_ctx_t *public, ngx_str_t *name,
    ngx_str_t *value);

/* its end and its usage line: ngx_http_weir_settle.c */

ngx_msec_int_t ngx_http_weir_elapsed(ngx_http_request_t *r);
void ngx_http_weir_read_usage(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_settle(ngx_http_weir_core_ctx_t *ctx);

/* a client that left too early: ngx_http_weir_deferred.c */

ngx_int_t ngx_http_weir_expect_cancel(ngx_http_weir_core_ctx_t *ctx);
char *ngx_http_weir_cancelled_usage(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* foreign plugins: ngx_http_weir_plugin.c */

char *ngx_http_weir_foreign_plugin(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_weir_foreign_start(ngx_cycle_t *cycle);
void ngx_http_weir_foreign_stop(ngx_http_weir_core_main_conf_t *wmcf);

/* ngx_http_weir_variable.c */

ngx_int_t ngx_http_weir_add_variables(ngx_conf_t *cf);

/* the upstream's key: ngx_http_weir_upstream_key.c */

char *ngx_http_weir_upstream_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_weir_add_key_variables(ngx_conf_t *cf);

/* the plugins and their order: ngx_http_weir_order.c */

ngx_int_t ngx_http_weir_add_plugin(ngx_conf_t *cf,
    const ngx_http_weir_plugin_t *plugin);
ngx_int_t ngx_http_weir_sort_plugins(ngx_conf_t *cf,
    ngx_http_weir_core_main_conf_t *wmcf);

/* the walk through the plugins: ngx_http_weir_dispatch.c */

ngx_int_t ngx_http_weir_enforce(ngx_http_request_t *r, ngx_uint_t last);
ngx_int_t ngx_http_weir_verdict(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin, ngx_int_t rc);
void ngx_http_weir_go_on(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_release(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_resume(ngx_http_weir_ctx_t *public, ngx_int_t rc);
ngx_int_t ngx_http_weir_respond(ngx_http_weir_ctx_t *public,
    ngx_uint_t status, ngx_str_t *type, ngx_str_t *body);
ngx_int_t ngx_http_weir_response_hooks(ngx_http_weir_core_ctx_t *ctx);

ngx_int_t ngx_http_weir_wait(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_deadline(ngx_event_t *ev);

/* work for threads: ngx_http_weir_work.c */

ngx_int_t ngx_http_weir_add_threads(ngx_conf_t *cf,
    ngx_http_weir_core_main_conf_t *wmcf);
ngx_int_t ngx_http_weir_work(ngx_http_weir_ctx_t *public,
    ngx_http_weir_work_pt work, ngx_http_weir_work_pt done, void *data);
void ngx_http_weir_free_body(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_free_memory(ngx_http_weir_core_ctx_t *ctx);

/* the request's body: ngx_http_weir_body.c */

extern const ngx_http_weir_refusal_t  ngx_http_weir_body_unread;

ngx_int_t ngx_http_weir_read_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
ngx_int_t ngx_http_weir_read_view(ngx_http_weir_core_ctx_t *ctx);

/* its edits: ngx_http_weir_body_edit.c */

ngx_int_t ngx_http_weir_apply_edits(ngx_http_weir_core_ctx_t *ctx,
    ngx_uint_t scan);
ngx_int_t ngx_http_weir_apply_edits_now(ngx_http_weir_core_ctx_t *ctx);
ngx_int_t ngx_http_weir_finish_body(ngx_http_weir_core_ctx_t *ctx);
weir_edit_t *ngx_http_weir_edit(ngx_http_weir_ctx_t *public);
ngx_int_t ngx_http_weir_replace_body(ngx_http_weir_ctx_t *public,
    ngx_str_t *body);

/* error bodies: ngx_http_weir_error.c */

ngx_int_t ngx_http_weir_refuse(ngx_http_request_t *r,
    const ngx_http_weir_refusal_t *why);
ngx_int_t ngx_http_weir_deny(ngx_http_weir_ctx_t *public,
    const ngx_http_weir_refusal_t *why, const char *fmt, ...);
ngx_int_t ngx_http_weir_send(ngx_http_request_t *r, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body);
ngx_int_t ngx_http_weir_status_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_uint_t status, ngx_str_t *body);
ngx_int_t ngx_http_weir_retry_headers(ngx_http_request_t *r,
    const ngx_http_weir_refusal_t *why);
ngx_table_elt_t *ngx_http_weir_find_header(ngx_list_t *headers,
    ngx_str_t *name);
ngx_uint_t ngx_http_weir_name_is(const ngx_str_t *name,
    const ngx_str_t *other);
ngx_int_t ngx_http_weir_add_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value);

/* the answer: ngx_http_weir_filter.c */

void ngx_http_weir_filter_init(void);
ngx_int_t ngx_http_weir_next_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in);
ngx_int_t ngx_http_weir_send_held_header(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
ngx_int_t ngx_http_weir_send_replacement(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in);
ngx_int_t ngx_http_weir_send_cut(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in);

/* what its status does not say: ngx_http_weir_judge.c */

ngx_int_t ngx_http_weir_judge(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t **in);
ngx_uint_t ngx_http_weir_is_error(ngx_http_weir_core_ctx_t *ctx);
ngx_int_t ngx_http_weir_check_unasked(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
ngx_uint_t ngx_http_weir_type_is(ngx_http_request_t *r, ngx_str_t *type);

/* an upstream's header: ngx_http_weir_upstream.c */

ngx_int_t ngx_http_weir_check_upstream(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
ngx_int_t ngx_http_weir_check_readable(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_uint_t readable);
void ngx_http_weir_drop_headers(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);

/* what leaves: ngx_http_weir_output.c */

weir_status_t ngx_http_weir_write(void *data, const char *text, size_t len,
    bool stable);
void ngx_http_weir_append(ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *cl);
ngx_int_t ngx_http_weir_send_out(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);

/* its body: ngx_http_weir_answer.c */

ngx_int_t ngx_http_weir_open_answer(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_uint_t sse, ngx_uint_t error);
ngx_int_t ngx_http_weir_must_see(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
ngx_int_t ngx_http_weir_answer_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_chain_t *in);
ngx_int_t ngx_http_weir_pump(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_look(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
ngx_uint_t ngx_http_weir_over(ngx_http_weir_core_ctx_t *ctx);
ngx_uint_t ngx_http_weir_was_cut(ngx_http_request_t *r, ngx_buf_t *b);

/* what takes long of it: ngx_http_weir_answer_work.c */

ngx_uint_t ngx_http_weir_turn(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_next_turn(ngx_http_weir_core_ctx_t *ctx);
ngx_uint_t ngx_http_weir_in_time(ngx_http_weir_core_ctx_t *ctx);
ngx_int_t ngx_http_weir_answer_on_thread(ngx_http_weir_core_ctx_t *ctx,
    ngx_uint_t task);
ngx_int_t ngx_http_weir_abort_answer(ngx_http_weir_core_ctx_t *ctx);
void ngx_http_weir_go_on_answer(ngx_http_weir_core_ctx_t *ctx, ngx_int_t rc);
void ngx_http_weir_turn_answer(ngx_event_t *ev);
weir_status_t ngx_http_weir_write_block(ngx_http_weir_core_ctx_t *ctx,
    const char *text, size_t len);
void ngx_http_weir_free_blocks(ngx_http_weir_core_ctx_t *ctx, ngx_uint_t all);

/* ends from outside: ngx_http_weir_stop.c */

void ngx_http_weir_stop_answer(ngx_http_weir_core_ctx_t *ctx,
    weir_stop_reason_t how, const ngx_http_weir_refusal_t *why);

void ngx_http_weir_stop(ngx_http_weir_ctx_t *public, weir_stop_reason_t how,
    const ngx_http_weir_refusal_t *why);
void ngx_http_weir_wake(ngx_http_weir_ctx_t *public);
void ngx_http_weir_end_upstream(ngx_http_weir_core_ctx_t *ctx,
    ngx_msec_t after);


/* what the core does as plugins: ngx_http_weir_policy.c, _translate.c */

extern const ngx_http_weir_refusal_t  ngx_http_weir_over_cap;

ngx_int_t ngx_http_weir_policy_tools(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy);
ngx_int_t ngx_http_weir_policy_path(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, const weir_policy_t *policy);
ngx_int_t ngx_http_weir_policy_open_filter(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, weir_filter_t *filter, void *data);
ngx_uint_t ngx_http_weir_policy_passes(const ngx_http_weir_ctx_t *ctx,
    ngx_uint_t location);

extern const ngx_http_weir_plugin_t  ngx_http_weir_policy_plugin;
extern const ngx_http_weir_plugin_t  ngx_http_weir_translate_plugin;

char *ngx_http_weir_translate_options(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_weir_translate_status(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);

extern const weir_translate_options_t  ngx_http_weir_translate_defaults;


extern ngx_module_t  ngx_http_weir_core_module;


#endif /* _NGX_HTTP_WEIR_CORE_H_INCLUDED_ */
