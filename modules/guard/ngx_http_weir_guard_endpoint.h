
/*
 * Weir's guard: what the files of its endpoint share.
 */


#ifndef _NGX_HTTP_WEIR_GUARD_ENDPOINT_H_INCLUDED_
#define _NGX_HTTP_WEIR_GUARD_ENDPOINT_H_INCLUDED_


#include "ngx_http_weir_guard.h"


typedef struct ngx_http_weir_guard_hit_s  ngx_http_weir_guard_hit_t;

struct ngx_http_weir_guard_hit_s {
    weir_guard_finding_t                finding;
    weir_guard_action_t                 action;
    ngx_http_weir_guard_hit_t          *next;
};


/* one result: of one text, or of the parts of one input */

typedef struct {
    weir_scores_t                       scores;
    weir_guard_action_t                 action;
    ngx_uint_t                          texts;
    ngx_uint_t                          images;
    ngx_http_weir_guard_hit_t          *hits;
    ngx_http_weir_guard_hit_t         **last;
} ngx_http_weir_guard_result_t;


typedef struct {
    ngx_http_request_t                 *request;
    ngx_http_weir_guard_main_conf_t    *wgmcf;
    ngx_http_weir_ctx_t                *ctx;
    const weir_guard_policy_t          *policy;     /* NULL: none */
    weir_arena_t                       *arena;      /* the request's */
    weir_json_doc_t                     doc;
    weir_request_text_t                *texts;
    uint32_t                           *result_of;  /* each text's result */
    uint32_t                            count;
    ngx_http_weir_guard_result_t       *results;
    uint32_t                            nresults;
    size_t                              len;        /* of the body */
    weir_request_guard_t               *scan;
    weir_guard_scratch_t               *spare;
    ngx_event_t                         event;
    ngx_int_t                           rc;
    weir_buf_t                          out;        /* the answer */
    ngx_str_t                           wrong;      /* with the call */
    unsigned                            moderation:1;
    unsigned                            list:1;     /* results as an array */
} ngx_http_weir_guard_call_t;


/* ngx_http_weir_guard_result.c: the answer, in call->arena */

void ngx_http_weir_guard_write(ngx_http_weir_guard_call_t *call,
    weir_buf_t *buf);


#endif /* _NGX_HTTP_WEIR_GUARD_ENDPOINT_H_INCLUDED_ */
