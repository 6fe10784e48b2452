
/*
 * Weir: counting in shared memory.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_metrics.h"


static ngx_http_weir_metrics_series_t *ngx_http_weir_metrics_series(
    ngx_http_weir_metrics_shm_t *sh, ngx_str_t *tenant, ngx_str_t *model);
static ngx_uint_t ngx_http_weir_metrics_same(
    ngx_http_weir_metrics_series_t *s, ngx_str_t *tenant, ngx_str_t *model);
static void ngx_http_weir_metrics_reason(ngx_http_weir_metrics_shm_t *sh,
    const ngx_str_t *name);
static void ngx_http_weir_metrics_loss(ngx_http_weir_metrics_shm_t *sh,
    const weir_translate_loss_t *loss);
static void ngx_http_weir_metrics_observe(
    ngx_http_weir_metrics_histogram_t *h, const ngx_msec_t *bounds,
    ngx_msec_int_t value);
static size_t ngx_http_weir_metrics_cut(ngx_str_t *s, size_t max);


const ngx_msec_t  ngx_http_weir_metrics_duration_bounds[] = {
    10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10240, 20480, 40960,
    81920, 0
};


const ngx_msec_t  ngx_http_weir_metrics_ttft_bounds[] = {
    1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1000, 2500, 5000, 7500,
    10000, 30000, 60000, 0
};


ngx_int_t
ngx_http_weir_metrics_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                        room, size;
    ngx_uint_t                    n;
    ngx_slab_pool_t              *shpool;
    ngx_http_weir_metrics_shm_t  *sh;

    if (data) {

        /* a reload: the counters go on */

        shm_zone->data = data;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (shm_zone->shm.exists) {
        shm_zone->data = shpool->data;
        return NGX_OK;
    }

    room = shpool->pfree * ngx_pagesize;
    size = sizeof(ngx_http_weir_metrics_shm_t);

    if (room < size) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "\"weir_metrics_zone\" is too small");
        return NGX_ERROR;
    }

    n = 1 + (room - size) / sizeof(ngx_http_weir_metrics_series_t);
    size += (n - 1) * sizeof(ngx_http_weir_metrics_series_t);

    sh = ngx_slab_calloc(shpool, size);
    if (sh == NULL) {
        return NGX_ERROR;
    }

    sh->size = size;
    sh->nseries = n;
    sh->shpool = shpool;

    shpool->data = sh;
    shm_zone->data = sh;

    return NGX_OK;
}


/* called when the core has settled the request */

void
ngx_http_weir_metrics_count(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_shm_zone_t *shm_zone = data;

    ngx_uint_t                       i, class;
    ngx_http_weir_metrics_shm_t     *sh;
    ngx_http_weir_metrics_series_t  *s;

    sh = shm_zone->data;

    s = ngx_http_weir_metrics_series(sh, &ctx->tenant, &ctx->model);

    class = ctx->status / 100;

    if (class >= NGX_HTTP_WEIR_METRICS_CLASSES) {
        class = 0;
    }

    (void) ngx_atomic_fetch_add(&s->requests[class], 1);

    if (ctx->prompt_tokens + ctx->completion_tokens) {
        (void) ngx_atomic_fetch_add(&s->tokens[NGX_HTTP_WEIR_METRICS_PROMPT],
                                    ctx->prompt_tokens);
        (void) ngx_atomic_fetch_add(&s->tokens[NGX_HTTP_WEIR_METRICS_CACHED],
                                    ctx->cached_tokens);
        (void) ngx_atomic_fetch_add(
                                  &s->tokens[NGX_HTTP_WEIR_METRICS_COMPLETION],
                                  ctx->completion_tokens);
    }

    if (ctx->aborted) {
        (void) ngx_atomic_fetch_add(&s->aborted, 1);

    } else if (ctx->cut) {
        (void) ngx_atomic_fetch_add(&sh->truncated, 1);
    }

    if (ctx->upstream_error) {
        (void) ngx_atomic_fetch_add(&sh->upstream_errors, 1);
    }

    if (ctx->usage < NGX_HTTP_WEIR_METRICS_SOURCES) {
        (void) ngx_atomic_fetch_add(&sh->sources[ctx->usage], 1);
    }

    if (ctx->unrecorded) {
        (void) ngx_atomic_fetch_add(&sh->unrecorded, 1);
    }

    for (i = 0; i < ctx->nlosses; i++) {
        ngx_http_weir_metrics_loss(sh, &ctx->losses[i]);
    }

    if (ctx->refusal) {
        ngx_http_weir_metrics_reason(sh, &ctx->refusal->reason);
        return;
    }

    ngx_http_weir_metrics_observe(&sh->duration,
                                  ngx_http_weir_metrics_duration_bounds,
                                  ctx->latency);

    if (ctx->ttft >= 0) {
        ngx_http_weir_metrics_observe(&sh->ttft,
                                      ngx_http_weir_metrics_ttft_bounds,
                                      ctx->ttft);
    }
}


static ngx_http_weir_metrics_series_t *
ngx_http_weir_metrics_series(ngx_http_weir_metrics_shm_t *sh,
    ngx_str_t *tenant, ngx_str_t *model)
{
    uint32_t                         hash;
    ngx_str_t                        t, m;
    ngx_uint_t                       i, n;
    ngx_http_weir_metrics_series_t  *s;

    /* memcpy() and memcmp() take no NULL, not even for no bytes */

    t.data = tenant->len ? tenant->data : (u_char *) "";
    t.len = ngx_http_weir_metrics_cut(tenant, NGX_HTTP_WEIR_METRICS_TENANT);

    m.data = model->len ? model->data : (u_char *) "";
    m.len = ngx_http_weir_metrics_cut(model, NGX_HTTP_WEIR_METRICS_MODEL);

    ngx_crc32_init(hash);
    ngx_crc32_update(&hash, t.data, t.len);
    ngx_crc32_update(&hash, (u_char *) "", 1);
    ngx_crc32_update(&hash, m.data, m.len);
    ngx_crc32_final(hash);

    i = hash % sh->nseries;

    for (n = 0; n < sh->nseries; n++) {
        s = &sh->series[(i + n) % sh->nseries];

        if (!s->used) {
            break;
        }

        if (ngx_http_weir_metrics_same(s, &t, &m)) {
            return s;
        }
    }

    ngx_shmtx_lock(&sh->shpool->mutex);

    /* a quarter stays free, so that searches stay short */

    if (sh->taken >= sh->nseries - sh->nseries / 4) {
        ngx_shmtx_unlock(&sh->shpool->mutex);

        (void) ngx_atomic_fetch_add(&sh->overflowed, 1);
        return &sh->other;
    }

    for ( ;; n++) {
        s = &sh->series[(i + n) % sh->nseries];

        if (!s->used) {
            break;
        }

        /* another worker was faster */

        if (ngx_http_weir_metrics_same(s, &t, &m)) {
            ngx_shmtx_unlock(&sh->shpool->mutex);
            return s;
        }
    }

    ngx_memcpy(s->tenant, t.data, t.len);
    s->tenant_len = t.len;

    ngx_memcpy(s->model, m.data, m.len);
    s->model_len = m.len;

    ngx_memory_barrier();

    s->used = 1;
    sh->taken++;

    ngx_shmtx_unlock(&sh->shpool->mutex);

    return s;
}


static ngx_uint_t
ngx_http_weir_metrics_same(ngx_http_weir_metrics_series_t *s,
    ngx_str_t *tenant, ngx_str_t *model)
{
    return s->tenant_len == tenant->len
           && s->model_len == model->len
           && ngx_memcmp(s->tenant, tenant->data, tenant->len) == 0
           && ngx_memcmp(s->model, model->data, model->len) == 0;
}


/* reasons are constants of modules, about 45 */

static void
ngx_http_weir_metrics_reason(ngx_http_weir_metrics_shm_t *sh,
    const ngx_str_t *name)
{
    size_t                           len;
    ngx_uint_t                       i;
    ngx_http_weir_metrics_reason_t  *reason;

    len = ngx_min(name->len, NGX_HTTP_WEIR_METRICS_REASON);

    ngx_shmtx_lock(&sh->shpool->mutex);

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_REASONS; i++) {
        reason = &sh->reasons[i];

        if (!reason->used) {
            ngx_memcpy(reason->name, name->data, len);
            reason->len = len;
            ngx_memory_barrier();
            reason->used = 1;
        }

        if (reason->len == len
            && ngx_memcmp(reason->name, name->data, len) == 0)
        {
            (void) ngx_atomic_fetch_add(&reason->count, 1);
            break;
        }
    }

    if (i == NGX_HTTP_WEIR_METRICS_REASONS) {
        (void) ngx_atomic_fetch_add(&sh->other_reasons, 1);
    }

    ngx_shmtx_unlock(&sh->shpool->mutex);
}


/* names are of the translator's tables, never the client's */

static void
ngx_http_weir_metrics_loss(ngx_http_weir_metrics_shm_t *sh,
    const weir_translate_loss_t *loss)
{
    size_t                         len;
    u_char                         name[NGX_HTTP_WEIR_METRICS_LOSS];
    ngx_uint_t                     i;
    ngx_http_weir_metrics_loss_t  *l;

    len = ngx_snprintf(name, sizeof(name), "%s.%s", loss->object, loss->field)
          - name;

    ngx_shmtx_lock(&sh->shpool->mutex);

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_LOSSES; i++) {
        l = &sh->losses[i];

        if (!l->used) {
            ngx_memcpy(l->name, name, len);
            l->len = len;
            ngx_memory_barrier();
            l->used = 1;
        }

        if (l->len == len && ngx_memcmp(l->name, name, len) == 0) {
            (void) ngx_atomic_fetch_add(&l->count, loss->count);
            break;
        }
    }

    if (i == NGX_HTTP_WEIR_METRICS_LOSSES) {
        (void) ngx_atomic_fetch_add(&sh->other_losses, loss->count);
    }

    ngx_shmtx_unlock(&sh->shpool->mutex);
}


static void
ngx_http_weir_metrics_observe(ngx_http_weir_metrics_histogram_t *h,
    const ngx_msec_t *bounds, ngx_msec_int_t value)
{
    ngx_uint_t  i;

    for (i = 0; bounds[i]; i++) {
        if ((ngx_msec_t) value <= bounds[i]) {
            break;
        }
    }

    (void) ngx_atomic_fetch_add(&h->buckets[i], 1);
    (void) ngx_atomic_fetch_add(&h->sum, value);
}


/* never within a UTF-8 character */

static size_t
ngx_http_weir_metrics_cut(ngx_str_t *s, size_t max)
{
    size_t  len;

    if (s->len <= max) {
        return s->len;
    }

    len = max;

    while (len && (s->data[len] & 0xc0) == 0x80) {
        len--;
    }

    return len;
}
