
/*
 * Weir's guard: what the workers count together, and its Prometheus text.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard.h"


static ngx_int_t ngx_http_weir_guard_text(ngx_http_request_t *r,
    ngx_str_t *out);
static ngx_uint_t ngx_http_weir_guard_is(ngx_http_weir_guard_series_t *s,
    const char *type, ngx_uint_t action, ngx_uint_t direction,
    ngx_uint_t shadow);


const ngx_http_weir_counters_t  ngx_http_weir_guard_counters = {
    NGX_HTTP_WEIR_COUNTERS_ABI,
    sizeof(ngx_http_weir_counters_t),
    ngx_http_weir_guard_text
};


static const char  *ngx_http_weir_guard_failures[] = {
    "scan", "tier2", "timeout", "unreadable"
};

static const char  *ngx_http_weir_guard_answers[] = {
    "pass", "flagged", "failed"
};

static const char  *ngx_http_weir_guard_directions[] = {
    "input", "output"
};


/* counters outlive a reload; another layout is another size, hence new */

ngx_int_t
ngx_http_weir_guard_init_zone(ngx_shm_zone_t *zone, void *data)
{
    ngx_http_weir_guard_main_conf_t *old = data;

    ngx_slab_pool_t                  *shpool;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = zone->data;

    if (old) {
        wgmcf->sh = old->sh;
        return NGX_OK;
    }

    shpool = (ngx_slab_pool_t *) zone->shm.addr;

    if (zone->shm.exists) {
        wgmcf->sh = shpool->data;
        return NGX_OK;
    }

    wgmcf->sh = ngx_slab_calloc(shpool, sizeof(ngx_http_weir_guard_shm_t));
    if (wgmcf->sh == NULL) {
        return NGX_ERROR;
    }

    shpool->data = wgmcf->sh;

    return NGX_OK;
}


/* the gateway that goes on with its old document shows that it does */

void
ngx_http_weir_guard_blame(ngx_cycle_t *old)
{
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = ngx_http_weir_zone_data(old, &ngx_http_weir_guard_module);

    if (wgmcf && wgmcf->sh) {
        wgmcf->sh->bad = 1;
    }
}


/* series: NULL: there was no room for it */

void
ngx_http_weir_guard_count(ngx_http_weir_guard_main_conf_t *wgmcf,
    ngx_http_weir_guard_series_t *series)
{
    if (series) {
        (void) ngx_atomic_fetch_add(&series->count, 1);

    } else if (wgmcf->sh) {
        (void) ngx_atomic_fetch_add(&wgmcf->sh->overflowed, 1);
    }
}


ngx_http_weir_guard_series_t *
ngx_http_weir_guard_series(ngx_http_weir_guard_main_conf_t *wgmcf,
    const char *type, ngx_uint_t action, ngx_uint_t direction,
    ngx_uint_t shadow)
{
    ngx_uint_t                     i;
    ngx_slab_pool_t               *shpool;
    ngx_http_weir_guard_series_t  *s;

    if (wgmcf->sh == NULL || ngx_strlen(type) >= NGX_HTTP_WEIR_GUARD_TYPE) {
        return NULL;
    }

    s = wgmcf->sh->series;

    for (i = 0; i < NGX_HTTP_WEIR_GUARD_SERIES && s[i].used; i++) {
        if (ngx_http_weir_guard_is(&s[i], type, action, direction, shadow)) {
            return &s[i];
        }
    }

    shpool = (ngx_slab_pool_t *) wgmcf->zone->shm.addr;

    ngx_shmtx_lock(&shpool->mutex);

    for ( /* void */ ; i < NGX_HTTP_WEIR_GUARD_SERIES; i++) {

        if (!s[i].used) {
            ngx_cpystrn(s[i].type, (u_char *) type, NGX_HTTP_WEIR_GUARD_TYPE);
            s[i].action = action;
            s[i].direction = direction;
            s[i].shadow = shadow;

            ngx_memory_barrier();
            s[i].used = 1;
            break;
        }

        if (ngx_http_weir_guard_is(&s[i], type, action, direction, shadow)) {
            break;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return (i < NGX_HTTP_WEIR_GUARD_SERIES) ? &s[i] : NULL;
}


static ngx_uint_t
ngx_http_weir_guard_is(ngx_http_weir_guard_series_t *s, const char *type,
    ngx_uint_t action, ngx_uint_t direction, ngx_uint_t shadow)
{
    return s->action == action && s->direction == direction
           && s->shadow == shadow && ngx_strcmp(s->type, type) == 0;
}


static ngx_int_t
ngx_http_weir_guard_text(ngx_http_request_t *r, ngx_str_t *out)
{
    u_char                           *p, *last;
    size_t                            size;
    ngx_uint_t                        i;
    ngx_http_weir_guard_shm_t        *sh;
    ngx_http_weir_guard_series_t     *s;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_guard_module);

    sh = wgmcf->sh;

    if (sh == NULL) {
        return NGX_DECLINED;
    }

    size = 4096;

    for (i = 0; i < NGX_HTTP_WEIR_GUARD_SERIES && sh->series[i].used; i++) {
        size += 192 + NGX_HTTP_WEIR_GUARD_TYPE;
    }

    out->data = ngx_pnalloc(r->pool, size);
    if (out->data == NULL) {
        return NGX_ERROR;
    }

    p = out->data;
    last = p + size;

    p = ngx_slprintf(p, last,
                     "# HELP weir_guard_findings_total What the guards have "
                     "found.\n"
                     "# TYPE weir_guard_findings_total counter\n");

    for (i = 0; i < NGX_HTTP_WEIR_GUARD_SERIES && sh->series[i].used; i++) {
        s = &sh->series[i];

        if (last - p < 192 + NGX_HTTP_WEIR_GUARD_TYPE) {
            break;
        }

        p = ngx_slprintf(p, last,
                         "weir_guard_findings_total{type=\"%s\","
                         "action=\"%s\",direction=\"%s\",shadow=\"%s\"} "
                         "%uA\n",
                         s->type, weir_guard_action_name(s->action),
                         ngx_http_weir_guard_directions[s->direction],
                         s->shadow ? "yes" : "no", s->count);
    }

    p = ngx_slprintf(p, last,
                     "# HELP weir_guard_failures_total Checks that failed.\n"
                     "# TYPE weir_guard_failures_total counter\n");

    for (i = 0; i < NGX_HTTP_WEIR_GUARD_FAILURES; i++) {
        p = ngx_slprintf(p, last,
                         "weir_guard_failures_total{reason=\"%s\"} %uA\n",
                         ngx_http_weir_guard_failures[i], sh->failures[i]);
    }

    p = ngx_slprintf(p, last,
                     "# HELP weir_guard_tier2_total Second opinions.\n"
                     "# TYPE weir_guard_tier2_total counter\n");

    for (i = 0; i < NGX_HTTP_WEIR_GUARD_SAID; i++) {
        p = ngx_slprintf(p, last,
                         "weir_guard_tier2_total{result=\"%s\"} %uA\n",
                         ngx_http_weir_guard_answers[i], sh->said[i]);
    }

    p = ngx_slprintf(p, last,
                     "# HELP weir_guard_scanned_bytes_total Bytes handed to "
                     "the scanner, those seen again included.\n"
                     "# TYPE weir_guard_scanned_bytes_total counter\n");

    for (i = 0; i < WEIR_GUARD_DIRECTIONS; i++) {
        p = ngx_slprintf(p, last,
                         "weir_guard_scanned_bytes_total{direction=\"%s\"} "
                         "%uA\n",
                         ngx_http_weir_guard_directions[i], sh->scanned[i]);
    }

    p = ngx_slprintf(p, last,
                     "# HELP weir_guard_restored_total Names of placeholders "
                     "put back.\n"
                     "# TYPE weir_guard_restored_total counter\n"
                     "weir_guard_restored_total %uA\n"
                     "# HELP weir_guard_overflows_total Findings counted "
                     "nowhere else for want of room.\n"
                     "# TYPE weir_guard_overflows_total counter\n"
                     "weir_guard_overflows_total %uA\n"
                     "# HELP weir_guard_longest_turn_bytes The most that was "
                     "scanned in one turn of an event loop.\n"
                     "# TYPE weir_guard_longest_turn_bytes gauge\n"
                     "weir_guard_longest_turn_bytes %uA\n",
                     sh->restored, sh->overflowed, sh->longest);

    if (wgmcf->guards) {
        p = ngx_slprintf(p, last,
                         "# HELP weir_guard_document_ok Whether the newest "
                         "guards document is in force.\n"
                         "# TYPE weir_guard_document_ok gauge\n"
                         "weir_guard_document_ok %ui\n"
                         "# HELP weir_guard_document_loaded_timestamp_seconds "
                         "When the one in force was read.\n"
                         "# TYPE weir_guard_document_loaded_timestamp_seconds "
                         "gauge\n"
                         "weir_guard_document_loaded_timestamp_seconds %uA\n",
                         (ngx_uint_t) (sh->bad ? 0 : 1), sh->loaded);
    }

    out->len = p - out->data;

    return NGX_OK;
}
