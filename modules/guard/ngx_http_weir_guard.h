
/*
 * Weir: what the files of the guard module share.
 */


#ifndef _NGX_HTTP_WEIR_GUARD_H_INCLUDED_
#define _NGX_HTTP_WEIR_GUARD_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir.h"
#include "ngx_http_weir_client.h"
#include "ngx_http_weir_counters.h"

#include "engine/base/arena.h"
#include "engine/base/json.h"
#include "guardrails/classifier/text.h"
#include "guardrails/guardrails.h"
#include "guardrails/placeholder.h"
#include "lua-free-filters/redact.h"
#include "lua-free-filters/request_guard.h"
#include "lua-free-filters/request_texts.h"
#include "policies/guards.h"


/* bytes scanned in one turn of the event loop: a millisecond at most */

#define NGX_HTTP_WEIR_GUARD_STEP      8192

/* bodies that are longer are a thread's */

#define NGX_HTTP_WEIR_GUARD_LARGE     16384

#define NGX_HTTP_WEIR_GUARD_TYPE      48
#define NGX_HTTP_WEIR_GUARD_SERIES    512

/* texts in the grey zone that are asked about, together */

#define NGX_HTTP_WEIR_GUARD_GREY      (1024 * 1024)


typedef enum {
    NGX_HTTP_WEIR_GUARD_FAILED_SCAN = 0,
    NGX_HTTP_WEIR_GUARD_FAILED_TIER2,
    NGX_HTTP_WEIR_GUARD_FAILED_TIMEOUT,
    NGX_HTTP_WEIR_GUARD_FAILED_UNREADABLE,
    NGX_HTTP_WEIR_GUARD_FAILURES
} ngx_http_weir_guard_failure_e;


typedef enum {
    NGX_HTTP_WEIR_GUARD_SAID_PASS = 0,
    NGX_HTTP_WEIR_GUARD_SAID_FLAGGED,
    NGX_HTTP_WEIR_GUARD_SAID_NOTHING,
    NGX_HTTP_WEIR_GUARD_SAID
} ngx_http_weir_guard_said_e;


/* a name is written once, under the zone's lock, before "used" is set */

typedef struct {
    ngx_atomic_t                  used;
    u_char                        type[NGX_HTTP_WEIR_GUARD_TYPE];
    ngx_uint_t                    action;
    ngx_uint_t                    direction;
    ngx_uint_t                    shadow;
    ngx_atomic_t                  count;
} ngx_http_weir_guard_series_t;


typedef struct {
    ngx_atomic_t                  failures[NGX_HTTP_WEIR_GUARD_FAILURES];
    ngx_atomic_t                  said[NGX_HTTP_WEIR_GUARD_SAID];
    ngx_atomic_t                  scanned[WEIR_GUARD_DIRECTIONS];
    ngx_atomic_t                  restored;
    ngx_atomic_t                  overflowed;
    ngx_atomic_t                  longest;      /* turn, in bytes */
    ngx_atomic_t                  bad;          /* the newest document is */
    ngx_atomic_t                  loaded;       /* when the one in force was */
    ngx_http_weir_guard_series_t  series[NGX_HTTP_WEIR_GUARD_SERIES];
} ngx_http_weir_guard_shm_t;


/* where a policy's second opinion comes from */

typedef struct {
    ngx_http_weir_client_target_t  *target;     /* NULL: from nowhere */
    ngx_str_t                       authorization;
} ngx_http_weir_guard_tier2_t;


typedef struct {
    const ngx_http_weir_counters_t     *counters;   /* must be first */

    const ngx_http_weir_api_t          *weir;
    const ngx_http_weir_client_api_t   *client;
    ngx_http_weir_plugin_t              plugin;

    ngx_str_t                           file;
    weir_arena_t                        arena;
    weir_guards_t                      *guards;
    ngx_http_weir_guard_tier2_t        *tier2;      /* of each policy */
    weir_classifier_t                   model;
    weir_guard_rules_t                 *rules;      /* of the endpoint, for
                                                     * who has no policy */
    ngx_msec_t                          timeout;
    ngx_flag_t                          endpoint;

    ngx_shm_zone_t                     *zone;
    ngx_http_weir_guard_shm_t          *sh;

    /* for hashes in the log: of this configuration */

    u_char                              salt[32];

    /* of this worker, made when needed */

    weir_guard_scratch_t               *scratch;
    weir_guard_scratch_t               *spare;      /* for allowed values */
    weir_guard_fold_t                   fold;

    /* its share of each turn of the event loop */

    ngx_event_t                         turn;
    ngx_queue_t                         waiting;    /* posted events */
    size_t                              used;
    size_t                              scanned;    /* in fact, so far */
    ngx_uint_t                          serving;    /* those that wait */
} ngx_http_weir_guard_main_conf_t;


typedef struct {
    ngx_flag_t                          enable;
    ngx_flag_t                          endpoint;
} ngx_http_weir_guard_loc_conf_t;


/* what was found, by type, action and direction */

typedef struct ngx_http_weir_guard_note_s  ngx_http_weir_guard_note_t;

struct ngx_http_weir_guard_note_s {
    ngx_str_t                           type;
    ngx_str_t                           rule;       /* the first one's */
    ngx_uint_t                          action;
    ngx_uint_t                          direction;
    ngx_uint_t                          count;
    float                               score;      /* of a classifier, else
                                                     * negative */
    u_char                              hash[9];    /* of the first value */
    ngx_http_weir_guard_series_t       *series;
    ngx_http_weir_guard_note_t         *next;
};


typedef struct ngx_http_weir_guard_word_s  ngx_http_weir_guard_word_t;

struct ngx_http_weir_guard_word_s {
    ngx_int_t                           topic;
    ngx_uint_t                          direction;
    uint64_t                            hash;
    ngx_http_weir_guard_word_t         *next;
};


typedef struct ngx_http_weir_guard_ctx_s  ngx_http_weir_guard_ctx_t;

/* NGX_OK (nothing is wrong), NGX_ABORT (flagged) or NGX_ERROR (no answer) */

typedef void (*ngx_http_weir_guard_said_pt)(ngx_http_weir_guard_ctx_t *gctx,
    ngx_int_t rc);


struct ngx_http_weir_guard_ctx_s {
    ngx_http_weir_guard_main_conf_t    *wgmcf;
    ngx_http_request_t                 *request;
    ngx_http_weir_ctx_t                *ctx;
    weir_arena_t                       *arena;
    const weir_guard_policy_t          *policy;
    ngx_http_weir_guard_tier2_t        *tier2;

    /* the record: ngx_http_weir_guard_record.c */

    ngx_http_weir_guard_note_t         *notes;
    ngx_http_weir_guard_note_t        **last;
    ngx_http_weir_guard_word_t         *words;
    weir_guard_scratch_t               *spare;

    /* the request: ngx_http_weir_guard_request.c */

    weir_json_doc_t                     doc;
    weir_edit_t                         edits;      /* of a body that the
                                                     * core does not read */
    weir_request_guard_t               *scan;
    weir_placeholders_t                *names;
    ngx_event_t                         event;
    ngx_int_t                           rc;         /* of a thread's work */
    ngx_str_t                           made;       /* the edited body */
    weir_buf_t                          grey;       /* JSON strings, */
    uint32_t                            ngrey;      /* so many */
    float                               grey_score;
    ngx_uint_t                          grey_head;
    ngx_str_t                           why;        /* it is refused */
    const ngx_http_weir_refusal_t      *uncheckable;

    /* the answer: ngx_http_weir_guard_answer.c */

    weir_redact_t                      *redact;
    ngx_event_t                         slice;
    weir_guard_scratch_t               *scratch;    /* for threads */
    weir_guard_scratch_t               *scratch_spare;
    weir_guard_fold_t                   fold;
    weir_buf_t                          later;      /* a JSON string that a
                                                     * thread wants to ask
                                                     * about, */
    uint64_t                            later_hash; /* and its hash */

    /* the second opinion: ngx_http_weir_guard_tier2.c */

    ngx_http_weir_client_call_t        *call;
    ngx_http_weir_guard_said_pt         said;
    uint32_t                            nasked;     /* texts of tier 2 */
    uint64_t                            asked;      /* hash of the text */

    unsigned                            own_body:1;
    unsigned                            held:1;
    unsigned                            naming:1;
    unsigned                            too_grey:1;
    unsigned                            routed:1;
    unsigned                            blocked:1;
    unsigned                            verdict:1;  /* of "asked": it is
                                                     * there, */
    unsigned                            stop:1;     /* and says stop */
};


/* ngx_http_weir_guard_module.c */

ngx_int_t ngx_http_weir_guard_worker(ngx_http_weir_guard_main_conf_t *wgmcf);
ngx_uint_t ngx_http_weir_guard_turn(ngx_http_weir_guard_main_conf_t *wgmcf,
    ngx_event_t *ev, size_t size);
void ngx_http_weir_guard_did(ngx_http_weir_guard_main_conf_t *wgmcf,
    size_t size);
const weir_guard_policy_t *ngx_http_weir_guard_policy(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, ngx_http_weir_guard_main_conf_t *wgmcf);

/* ngx_http_weir_guard_request.c */

ngx_int_t ngx_http_weir_guard_request(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
ngx_int_t ngx_http_weir_guard_route(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
void ngx_http_weir_guard_cancel(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);

/* ngx_http_weir_guard_rewrite.c */

ngx_int_t ngx_http_weir_guard_rewrite(ngx_http_weir_guard_ctx_t *gctx);

/* ngx_http_weir_guard_answer.c */

ngx_int_t ngx_http_weir_guard_headers(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
ngx_int_t ngx_http_weir_guard_open(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, weir_filter_t *filter, void *data);
void ngx_http_weir_guard_settled(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);

/* ngx_http_weir_guard_tier2.c */

ngx_int_t ngx_http_weir_guard_find_tier2(ngx_conf_t *cf,
    ngx_http_weir_guard_main_conf_t *wgmcf);
ngx_int_t ngx_http_weir_guard_ask(ngx_http_weir_guard_ctx_t *gctx,
    weir_str_t texts, uint32_t count, ngx_http_weir_guard_said_pt handler);

/* ngx_http_weir_guard_record.c */

weir_guard_action_t ngx_http_weir_guard_judge(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t direction, const weir_guard_finding_t *f, weir_str_t value,
    ngx_uint_t repeat, weir_str_t *replacement);
weir_guard_action_t ngx_http_weir_guard_judge_scores(
    ngx_http_weir_guard_ctx_t *gctx, ngx_uint_t direction,
    const weir_scores_t *scores, ngx_uint_t *grey);
void ngx_http_weir_guard_note(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t direction, const char *type, const char *rule,
    weir_guard_action_t action, float score, weir_str_t value);
void ngx_http_weir_guard_failed(ngx_http_weir_guard_ctx_t *gctx,
    ngx_uint_t failure);
ngx_int_t ngx_http_weir_guard_explain(ngx_http_weir_guard_ctx_t *gctx,
    ngx_str_t *text);
void ngx_http_weir_guard_log(ngx_http_weir_guard_ctx_t *gctx);

/* ngx_http_weir_guard_counters.c */

ngx_int_t ngx_http_weir_guard_init_zone(ngx_shm_zone_t *zone, void *data);
void ngx_http_weir_guard_blame(ngx_cycle_t *old);
ngx_http_weir_guard_series_t *ngx_http_weir_guard_series(
    ngx_http_weir_guard_main_conf_t *wgmcf, const char *type,
    ngx_uint_t action, ngx_uint_t direction, ngx_uint_t shadow);
void ngx_http_weir_guard_count(ngx_http_weir_guard_main_conf_t *wgmcf,
    ngx_http_weir_guard_series_t *series);

extern const ngx_http_weir_counters_t  ngx_http_weir_guard_counters;

/* ngx_http_weir_guard_endpoint.c */

ngx_int_t ngx_http_weir_guard_endpoint(ngx_http_request_t *r);

extern ngx_module_t  ngx_http_weir_guard_module;


#endif /* _NGX_HTTP_WEIR_GUARD_H_INCLUDED_ */
