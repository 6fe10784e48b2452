
/*
 * Weir: the counters as Prometheus text, version 0.0.4.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_metrics.h"


/* longest line: both labels escaped, at most two bytes for each of theirs */

#define NGX_HTTP_WEIR_METRICS_LINE                                            \
    (256 + 2 * (NGX_HTTP_WEIR_METRICS_TENANT + NGX_HTTP_WEIR_METRICS_MODEL))

#define NGX_HTTP_WEIR_METRICS_BUFFER  16384


typedef struct {
    ngx_pool_t                  *pool;
    ngx_chain_t                 *first;
    ngx_chain_t                **last;
    ngx_buf_t                   *buf;
    off_t                        size;
    ngx_uint_t                   failed;
} ngx_http_weir_metrics_out_t;


typedef struct {
    ngx_str_t                    tenant;
    ngx_str_t                    model;
} ngx_http_weir_metrics_labels_t;


static void ngx_http_weir_metrics_line(ngx_http_weir_metrics_out_t *out,
    const char *fmt, ...);
static ngx_int_t ngx_http_weir_metrics_room(
    ngx_http_weir_metrics_out_t *out);
static void ngx_http_weir_metrics_family(ngx_http_weir_metrics_out_t *out,
    const char *name, const char *type, const char *help);
static void ngx_http_weir_metrics_all(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_shm_t *sh,
    void (*print)(ngx_http_weir_metrics_out_t *out,
        ngx_http_weir_metrics_series_t *s,
        ngx_http_weir_metrics_labels_t *labels));
static void ngx_http_weir_metrics_requests(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_series_t *s,
    ngx_http_weir_metrics_labels_t *labels);
static void ngx_http_weir_metrics_tokens(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_series_t *s,
    ngx_http_weir_metrics_labels_t *labels);
static void ngx_http_weir_metrics_aborted(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_series_t *s,
    ngx_http_weir_metrics_labels_t *labels);
static void ngx_http_weir_metrics_histogram(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_histogram_t *h, const ngx_msec_t *bounds,
    const char *name, const char *help);
static void ngx_http_weir_metrics_losses(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_shm_t *sh);
static void ngx_http_weir_metrics_documents(ngx_http_weir_metrics_out_t *out,
    const ngx_http_weir_documents_t *documents);
static size_t ngx_http_weir_metrics_escape(u_char *dst, u_char *src,
    size_t len);


ngx_chain_t *
ngx_http_weir_metrics_text(ngx_pool_t *pool, ngx_http_weir_metrics_shm_t *sh,
    const ngx_http_weir_documents_t *documents, off_t *size)
{
    ngx_str_t                        name;
    ngx_uint_t                       i;
    ngx_http_weir_metrics_out_t      out;
    ngx_http_weir_metrics_reason_t  *reason;

    static const char  *sources[] = { "none", "reported", "counted",
                                      "estimated" };

    ngx_memzero(&out, sizeof(ngx_http_weir_metrics_out_t));
    out.pool = pool;
    out.last = &out.first;

    ngx_http_weir_metrics_family(&out, "weir_build_info", "gauge",
                                 "The gateway's version.");
    ngx_http_weir_metrics_line(&out,
                               "weir_build_info{version=\"%s\",nginx=\"%s\"} 1",
                               NGX_HTTP_WEIR_VERSION, NGINX_VERSION);

    if (documents) {
        ngx_http_weir_metrics_documents(&out, documents);
    }

    ngx_http_weir_metrics_family(&out, "weir_requests_total", "counter",
                                 "Requests that have ended.");
    ngx_http_weir_metrics_all(&out, sh, ngx_http_weir_metrics_requests);

    ngx_http_weir_metrics_family(&out, "weir_aborted_requests_total",
                                 "counter",
                                 "Requests whose client left before the end.");
    ngx_http_weir_metrics_all(&out, sh, ngx_http_weir_metrics_aborted);

    ngx_http_weir_metrics_family(&out, "weir_tokens_total", "counter",
                                 "Tokens; prompt includes cached.");
    ngx_http_weir_metrics_all(&out, sh, ngx_http_weir_metrics_tokens);

    ngx_http_weir_metrics_family(&out, "weir_refused_requests_total",
                                 "counter",
                                 "Requests that the gateway refused.");

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_REASONS; i++) {
        reason = &sh->reasons[i];

        if (!reason->used) {
            break;
        }

        name.data = reason->name;
        name.len = reason->len;

        ngx_http_weir_metrics_line(&out,
                                   "weir_refused_requests_total"
                                   "{reason=\"%V\"} %uA", &name,
                                   reason->count);
    }

    if (sh->other_reasons) {
        ngx_http_weir_metrics_line(&out,
                                   "weir_refused_requests_total"
                                   "{reason=\"other\"} %uA",
                                   sh->other_reasons);
    }

    ngx_http_weir_metrics_losses(&out, sh);

    ngx_http_weir_metrics_family(&out, "weir_usage_total", "counter",
                                 "Requests by where their token counts come "
                                 "from.");

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_SOURCES; i++) {
        ngx_http_weir_metrics_line(&out, "weir_usage_total{source=\"%s\"} %uA",
                                   sources[i], sh->sources[i]);
    }

    ngx_http_weir_metrics_family(&out, "weir_truncated_answers_total",
                                 "counter",
                                 "Answers that the upstream broke off.");
    ngx_http_weir_metrics_line(&out, "weir_truncated_answers_total %uA",
                               sh->truncated);

    ngx_http_weir_metrics_family(&out, "weir_upstream_errors_total",
                                 "counter",
                                 "Errors told inside an answer whose status "
                                 "was that of a success.");
    ngx_http_weir_metrics_line(&out, "weir_upstream_errors_total %uA",
                               sh->upstream_errors);

    ngx_http_weir_metrics_family(&out, "weir_usage_log_errors_total",
                                 "counter",
                                 "Usage lines that could not be written.");
    ngx_http_weir_metrics_line(&out, "weir_usage_log_errors_total %uA",
                               sh->unrecorded);

    ngx_http_weir_metrics_family(&out, "weir_metrics_overflows_total",
                                 "counter",
                                 "Requests counted as tenant and model "
                                 "\"other\" for want of room.");
    ngx_http_weir_metrics_line(&out, "weir_metrics_overflows_total %uA",
                               sh->overflowed);

    ngx_http_weir_metrics_histogram(&out, &sh->duration,
                                    ngx_http_weir_metrics_duration_bounds,
                                    "weir_request_duration_seconds",
                                    "Arrival to end, refusals left out.");
    ngx_http_weir_metrics_histogram(&out, &sh->ttft,
                                    ngx_http_weir_metrics_ttft_bounds,
                                    "weir_time_to_first_token_seconds",
                                    "Arrival to the first piece of text.");

    /* the names that dashboards for OpenTelemetry's conventions ask for */

    ngx_http_weir_metrics_histogram(&out, &sh->duration,
                                    ngx_http_weir_metrics_duration_bounds,
                                    "gen_ai_server_request_duration_seconds",
                                    "The same, under its name in the GenAI "
                                    "conventions.");
    ngx_http_weir_metrics_histogram(&out, &sh->ttft,
                                    ngx_http_weir_metrics_ttft_bounds,
                                    "gen_ai_server_time_to_first_token_seconds",
                                    "The same, under its name in the GenAI "
                                    "conventions.");

    if (out.failed) {
        return NULL;
    }

    *size = out.size;

    return out.first;
}


static void
ngx_http_weir_metrics_line(ngx_http_weir_metrics_out_t *out, const char *fmt,
    ...)
{
    u_char   *p;
    va_list   args;

    if (ngx_http_weir_metrics_room(out) != NGX_OK) {
        return;
    }

    va_start(args, fmt);
    p = ngx_vslprintf(out->buf->last, out->buf->end - 1, fmt, args);
    va_end(args);

    *p++ = LF;

    out->size += p - out->buf->last;
    out->buf->last = p;
}


static ngx_int_t
ngx_http_weir_metrics_room(ngx_http_weir_metrics_out_t *out)
{
    ngx_chain_t  *cl;

    if (out->failed) {
        return NGX_ERROR;
    }

    if (out->buf
        && out->buf->end - out->buf->last >= NGX_HTTP_WEIR_METRICS_LINE)
    {
        return NGX_OK;
    }

    cl = ngx_alloc_chain_link(out->pool);
    if (cl == NULL) {
        goto failed;
    }

    cl->buf = ngx_create_temp_buf(out->pool, NGX_HTTP_WEIR_METRICS_BUFFER);
    if (cl->buf == NULL) {
        goto failed;
    }

    cl->next = NULL;
    *out->last = cl;
    out->last = &cl->next;
    out->buf = cl->buf;

    return NGX_OK;

failed:

    out->failed = 1;

    return NGX_ERROR;
}


static void
ngx_http_weir_metrics_family(ngx_http_weir_metrics_out_t *out,
    const char *name, const char *type, const char *help)
{
    ngx_http_weir_metrics_line(out, "# HELP %s %s", name, help);
    ngx_http_weir_metrics_line(out, "# TYPE %s %s", name, type);
}


static void
ngx_http_weir_metrics_all(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_shm_t *sh,
    void (*print)(ngx_http_weir_metrics_out_t *out,
        ngx_http_weir_metrics_series_t *s,
        ngx_http_weir_metrics_labels_t *labels))
{
    u_char                           tenant[2 * NGX_HTTP_WEIR_METRICS_TENANT];
    u_char                           model[2 * NGX_HTTP_WEIR_METRICS_MODEL];
    ngx_uint_t                       i;
    ngx_http_weir_metrics_labels_t   labels;
    ngx_http_weir_metrics_series_t  *s;

    labels.tenant.data = tenant;
    labels.model.data = model;

    for (i = 0; i < sh->nseries; i++) {
        s = &sh->series[i];

        if (!s->used) {
            continue;
        }

        ngx_memory_barrier();

        labels.tenant.len = ngx_http_weir_metrics_escape(tenant, s->tenant,
                                                         s->tenant_len);
        labels.model.len = ngx_http_weir_metrics_escape(model, s->model,
                                                        s->model_len);
        print(out, s, &labels);
    }

    if (sh->overflowed) {
        ngx_str_set(&labels.tenant, "other");
        ngx_str_set(&labels.model, "other");
        print(out, &sh->other, &labels);
    }
}


static void
ngx_http_weir_metrics_requests(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_series_t *s, ngx_http_weir_metrics_labels_t *labels)
{
    ngx_uint_t  i;

    static const char  *classes[] = {
        "other", "1xx", "2xx", "3xx", "4xx", "5xx"
    };

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_CLASSES; i++) {
        if (s->requests[i] == 0) {
            continue;
        }

        ngx_http_weir_metrics_line(out,
                                   "weir_requests_total{tenant=\"%V\","
                                   "model=\"%V\",status=\"%s\"} %uA",
                                   &labels->tenant, &labels->model,
                                   classes[i], s->requests[i]);
    }
}


static void
ngx_http_weir_metrics_tokens(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_series_t *s, ngx_http_weir_metrics_labels_t *labels)
{
    ngx_uint_t  i;

    static const char  *types[] = { "prompt", "cached", "completion" };

    if (s->tokens[NGX_HTTP_WEIR_METRICS_PROMPT] == 0
        && s->tokens[NGX_HTTP_WEIR_METRICS_COMPLETION] == 0)
    {
        return;
    }

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_TOKENS; i++) {
        ngx_http_weir_metrics_line(out,
                                   "weir_tokens_total{tenant=\"%V\","
                                   "model=\"%V\",type=\"%s\"} %uA",
                                   &labels->tenant, &labels->model,
                                   types[i], s->tokens[i]);
    }
}


static void
ngx_http_weir_metrics_aborted(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_series_t *s, ngx_http_weir_metrics_labels_t *labels)
{
    if (s->aborted == 0) {
        return;
    }

    ngx_http_weir_metrics_line(out,
                               "weir_aborted_requests_total{tenant=\"%V\","
                               "model=\"%V\"} %uA",
                               &labels->tenant, &labels->model, s->aborted);
}


static void
ngx_http_weir_metrics_histogram(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_histogram_t *h, const ngx_msec_t *bounds,
    const char *name, const char *help)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  count, sum;

    ngx_http_weir_metrics_family(out, name, "histogram", help);

    count = 0;

    for (i = 0; bounds[i]; i++) {
        count += h->buckets[i];

        ngx_http_weir_metrics_line(out, "%s_bucket{le=\"%M.%03M\"} %uA", name,
                                   bounds[i] / 1000, bounds[i] % 1000, count);
    }

    count += h->buckets[i];
    sum = h->sum;

    ngx_http_weir_metrics_line(out, "%s_bucket{le=\"+Inf\"} %uA", name, count);
    ngx_http_weir_metrics_line(out, "%s_sum %uA.%03uA", name, sum / 1000,
                               sum % 1000);
    ngx_http_weir_metrics_line(out, "%s_count %uA", name, count);
}


static void
ngx_http_weir_metrics_losses(ngx_http_weir_metrics_out_t *out,
    ngx_http_weir_metrics_shm_t *sh)
{
    ngx_str_t                      name;
    ngx_uint_t                     i;
    ngx_http_weir_metrics_loss_t  *loss;

    ngx_http_weir_metrics_family(out, "weir_translation_lossy_total",
                                 "counter",
                                 "Members that translation has dropped or "
                                 "sent as something near.");

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_LOSSES; i++) {
        loss = &sh->losses[i];

        if (!loss->used) {
            break;
        }

        ngx_memory_barrier();

        name.data = loss->name;
        name.len = loss->len;

        ngx_http_weir_metrics_line(out,
                                   "weir_translation_lossy_total"
                                   "{field=\"%V\"} %uA", &name, loss->count);
    }

    if (sh->other_losses) {
        ngx_http_weir_metrics_line(out,
                                   "weir_translation_lossy_total"
                                   "{field=\"other\"} %uA",
                                   sh->other_losses);
    }
}


/* older documents stay in force when newer ones are bad: an alert's input */

static void
ngx_http_weir_metrics_documents(ngx_http_weir_metrics_out_t *out,
    const ngx_http_weir_documents_t *documents)
{
    ngx_http_weir_metrics_family(out, "weir_documents_ok", "gauge",
                                 "Whether documents and journal could be read "
                                 "when it was last tried.");
    ngx_http_weir_metrics_line(out, "weir_documents_ok %ui", documents->ok);

    ngx_http_weir_metrics_family(out,
                                 "weir_documents_loaded_timestamp_seconds",
                                 "gauge",
                                 "When the documents in force were read.");
    ngx_http_weir_metrics_line(out,
                               "weir_documents_loaded_timestamp_seconds %T",
                               documents->loaded);

    ngx_http_weir_metrics_family(out, "weir_documents_failures_total",
                                 "counter",
                                 "Attempts to read documents or journal that "
                                 "failed.");
    ngx_http_weir_metrics_line(out, "weir_documents_failures_total %ui",
                               documents->failures);
}


static size_t
ngx_http_weir_metrics_escape(u_char *dst, u_char *src, size_t len)
{
    u_char  *p, *last;

    p = dst;
    last = src + len;

    for ( /* void */ ; src < last; src++) {

        switch (*src) {

        case '\\':
        case '"':
            *p++ = '\\';
            *p++ = *src;
            break;

        case LF:
            *p++ = '\\';
            *p++ = 'n';
            break;

        default:
            *p++ = *src;
        }
    }

    return p - dst;
}
