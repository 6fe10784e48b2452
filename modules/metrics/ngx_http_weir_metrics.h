
/*
 * Weir: what the workers count together, in shared memory.
 */


#ifndef _NGX_HTTP_WEIR_METRICS_H_INCLUDED_
#define _NGX_HTTP_WEIR_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir.h"
#include "ngx_http_weir_registry.h"


#define NGX_HTTP_WEIR_METRICS_TENANT    64
#define NGX_HTTP_WEIR_METRICS_MODEL     128
#define NGX_HTTP_WEIR_METRICS_REASON    32
#define NGX_HTTP_WEIR_METRICS_REASONS   64
#define NGX_HTTP_WEIR_METRICS_LOSS      80
#define NGX_HTTP_WEIR_METRICS_LOSSES    128
#define NGX_HTTP_WEIR_METRICS_CLASSES   6
#define NGX_HTTP_WEIR_METRICS_BUCKETS   20
#define NGX_HTTP_WEIR_METRICS_SOURCES   4


typedef enum {
    NGX_HTTP_WEIR_METRICS_PROMPT = 0,
    NGX_HTTP_WEIR_METRICS_CACHED,
    NGX_HTTP_WEIR_METRICS_COMPLETION,
    NGX_HTTP_WEIR_METRICS_TOKENS
} ngx_http_weir_metrics_tokens_e;


/*
 * A name is written once, under the zone's lock, before "used" is set, and
 * never changes; all counters are atomic.
 */

typedef struct {
    ngx_atomic_t                 used;
    ngx_uint_t                   tenant_len;
    ngx_uint_t                   model_len;
    u_char                       tenant[NGX_HTTP_WEIR_METRICS_TENANT];
    u_char                       model[NGX_HTTP_WEIR_METRICS_MODEL];

    ngx_atomic_t                 requests[NGX_HTTP_WEIR_METRICS_CLASSES];
    ngx_atomic_t                 tokens[NGX_HTTP_WEIR_METRICS_TOKENS];
    ngx_atomic_t                 aborted;
} ngx_http_weir_metrics_series_t;


typedef struct {
    ngx_atomic_t                 used;
    ngx_uint_t                   len;
    u_char                       name[NGX_HTTP_WEIR_METRICS_REASON];
    ngx_atomic_t                 count;
} ngx_http_weir_metrics_reason_t;


/* a member that translation has lost: "object.field" of its table */

typedef struct {
    ngx_atomic_t                 used;
    ngx_uint_t                   len;
    u_char                       name[NGX_HTTP_WEIR_METRICS_LOSS];
    ngx_atomic_t                 count;
} ngx_http_weir_metrics_loss_t;


/* buckets are not cumulative; the last one has no upper bound */

typedef struct {
    ngx_atomic_t                 buckets[NGX_HTTP_WEIR_METRICS_BUCKETS + 1];
    ngx_atomic_t                 sum;                        /* milliseconds */
} ngx_http_weir_metrics_histogram_t;


typedef struct {
    ngx_uint_t                         size;
    ngx_uint_t                         nseries;
    ngx_uint_t                         taken;
    ngx_slab_pool_t                   *shpool;

    ngx_atomic_t                       unrecorded;
    ngx_atomic_t                       truncated;
    ngx_atomic_t                       upstream_errors;
    ngx_atomic_t                       overflowed;
    ngx_atomic_t                       sources[NGX_HTTP_WEIR_METRICS_SOURCES];

    ngx_http_weir_metrics_histogram_t  duration;
    ngx_http_weir_metrics_histogram_t  ttft;

    ngx_http_weir_metrics_reason_t     reasons[NGX_HTTP_WEIR_METRICS_REASONS];

    ngx_http_weir_metrics_loss_t       losses[NGX_HTTP_WEIR_METRICS_LOSSES];
    ngx_atomic_t                       other_losses;
    ngx_atomic_t                       other_reasons;

    /* for all that found no place of its own */
    ngx_http_weir_metrics_series_t     other;

    ngx_http_weir_metrics_series_t     series[1];
} ngx_http_weir_metrics_shm_t;


/* upper bounds of the buckets in milliseconds, ended by 0 */

extern const ngx_msec_t  ngx_http_weir_metrics_duration_bounds[];
extern const ngx_msec_t  ngx_http_weir_metrics_ttft_bounds[];


ngx_int_t ngx_http_weir_metrics_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
void ngx_http_weir_metrics_count(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);

/* documents: NULL when no module has any */

ngx_chain_t *ngx_http_weir_metrics_text(ngx_pool_t *pool,
    ngx_http_weir_metrics_shm_t *sh,
    const ngx_http_weir_documents_t *documents, off_t *size);


#endif /* _NGX_HTTP_WEIR_METRICS_H_INCLUDED_ */
