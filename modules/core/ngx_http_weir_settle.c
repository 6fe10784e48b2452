
/*
 * Weir's core: the end of a request and its usage line.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"

#include "policies/ledger.h"


static ngx_uint_t ngx_http_weir_broke_off(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_final_status(ngx_http_request_t *r);
static void ngx_http_weir_write_usage(ngx_http_weir_core_ctx_t *ctx);
static weir_str_t ngx_http_weir_cut(ngx_str_t *s, size_t max);


ngx_msec_int_t
ngx_http_weir_elapsed(ngx_http_request_t *r)
{
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t)
             ((tp->sec - r->start_sec) * 1000 + (tp->msec - r->start_msec));

    return ngx_max(ms, 0);
}


void
ngx_http_weir_read_usage(ngx_http_weir_core_ctx_t *ctx)
{
    bool                  estimated;
    ngx_http_weir_ctx_t  *public;
    const weir_usage_t   *usage;

    public = &ctx->public;

    if (ctx->usage == NULL || ctx->told) {
        return;
    }

    usage = weir_usage_of(ctx->usage);

    public->model.data = (u_char *) usage->model.data;
    public->model.len = usage->model.len;

    if (usage->has_usage) {
        public->usage = NGX_HTTP_WEIR_USAGE_REPORTED;
        public->prompt_tokens = usage->tokens.prompt_tokens;
        public->cached_tokens = usage->tokens.cached_tokens;
        public->cache_write_tokens = usage->tokens.cache_write_tokens;
        public->reasoning_tokens = usage->tokens.reasoning_tokens;
        public->completion_tokens = weir_usage_completion(usage, &estimated);

        if (estimated && public->completion_tokens) {
            public->usage = NGX_HTTP_WEIR_USAGE_ESTIMATED;
        }

        return;
    }

    /* our engine has told the prompt's, and sends a piece for each token */

    if (ctx->hinted) {
        public->usage = NGX_HTTP_WEIR_USAGE_COUNTED;
        public->completion_tokens = usage->content_deltas;
        return;
    }

    if (usage->first_content) {
        public->usage = NGX_HTTP_WEIR_USAGE_ESTIMATED;
        public->completion_tokens = weir_usage_completion(usage, &estimated);
        public->prompt_tokens = (ctx->view.text_bytes + 3) / 4
                                + ctx->view.token_ids;
    }
}


/*
 * Exactly once: in the log phase, or with the request's pool, or when the
 * worker exits, whichever comes first.  r->pool may be gone already.
 */

void
ngx_http_weir_settle(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_uint_t                      i;
    ngx_http_request_t             *r;
    ngx_http_weir_ctx_t            *public;
    const ngx_http_weir_plugin_t  **p;

    public = &ctx->public;

    if (!public->governed || public->settled) {
        return;
    }

    public->settled = 1;
    ngx_queue_remove(&ctx->queue);

    if (ctx->turn.posted) {
        ngx_delete_posted_event(&ctx->turn);
    }

    r = ctx->request;

    ngx_http_weir_release(ctx);
    ngx_http_weir_read_usage(ctx);

    if (!ctx->asked) {
        public->latency = ngx_http_weir_elapsed(r);
    }

    public->status = ngx_http_weir_final_status(r);

    /* NGINX leaves the status at 200 when the client goes in mid-stream */

    public->aborted = !r->request_complete;

    /* clients close at [DONE] without waiting for the end of the body */

    if (public->stream && ctx->usage && weir_usage_of(ctx->usage)->done) {
        public->aborted = 0;
    }

    public->upstream_error = ctx->told_error
                             || (ctx->good && ctx->usage
                                 && weir_usage_of(ctx->usage)->error);
    public->cut = ngx_http_weir_broke_off(r, ctx);

    ngx_http_weir_write_usage(ctx);

    p = ctx->wmcf->plugins.elts;

    for (i = 0; i < ctx->wmcf->plugins.nelts; i++) {
        if (p[i]->settled) {
            p[i]->settled(r, public, p[i]->data);
        }
    }
}


/* not where it was the client, a guard or an operator that ended the answer */

static ngx_uint_t
ngx_http_weir_broke_off(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    if (ctx->public.aborted || ctx->public.stopped) {
        return 0;
    }

    if (ctx->pipeline) {
        return (ctx->replace && ctx->cut) || weir_pipeline_cut(ctx->pipeline);
    }

    return !ctx->public.complete && !r->header_only
           && ctx->public.status < NGX_HTTP_BAD_REQUEST;
}


static ngx_uint_t
ngx_http_weir_final_status(ngx_http_request_t *r)
{
    if (r->err_status) {
        return r->err_status;
    }

    if (r->headers_out.status) {
        return r->headers_out.status;
    }

    /* the worker exits before an answer has begun */

    return NGX_HTTP_SERVICE_UNAVAILABLE;
}


static void
ngx_http_weir_write_usage(ngx_http_weir_core_ctx_t *ctx)
{
    time_t                           now;
    ssize_t                          n;
    ngx_err_t                        err;
    weir_buf_t                       line;
    weir_ledger_row_t                row;
    ngx_http_request_t              *r;
    ngx_http_weir_ctx_t             *public;
    ngx_http_weir_core_main_conf_t  *wmcf;

    r = ctx->request;
    wmcf = ctx->wmcf;
    public = &ctx->public;

    if (wmcf->usage_log == NULL) {
        return;
    }

    ngx_memzero(&row, sizeof(weir_ledger_row_t));

    row.ts_ms = (int64_t) r->start_sec * 1000 + r->start_msec;
    row.request_id = ngx_http_weir_cut(&public->request_id, 256);
    row.tenant = ngx_http_weir_cut(&public->tenant, 256);
    row.team = ngx_http_weir_cut(&public->team, 256);
    row.user = ngx_http_weir_cut(&public->user, 256);
    row.key_id = ngx_http_weir_cut(&public->key_id, 256);
    row.model = ngx_http_weir_cut(&public->model, 256);
    row.path = ngx_http_weir_cut(&public->path, NGX_HTTP_WEIR_MAX_PATH);
    row.stream = public->stream;
    row.aborted = public->aborted;
    row.upstream_error = public->upstream_error || public->cut;
    row.prompt_tokens = public->prompt_tokens;
    row.cached_tokens = public->cached_tokens;
    row.cache_write_tokens = public->cache_write_tokens;
    row.completion_tokens = public->completion_tokens;
    row.reasoning_tokens = public->reasoning_tokens;
    row.status = (uint32_t) public->status;
    row.latency_ms = public->latency;
    row.ttft_ms = public->ttft;

    switch (public->usage) {

    case NGX_HTTP_WEIR_USAGE_REPORTED:
        row.source = WEIR_USAGE_REPORTED;
        break;

    case NGX_HTTP_WEIR_USAGE_COUNTED:
        row.source = WEIR_USAGE_COUNTED;
        break;

    case NGX_HTTP_WEIR_USAGE_ESTIMATED:
        row.source = WEIR_USAGE_ESTIMATED;
        break;

    default:
        row.source = WEIR_USAGE_NONE;
    }

    weir_buf_init(&line, &ctx->arena);
    weir_ledger_write(&line, &row);

    if (line.failed) {
        public->unrecorded = 1;
        ngx_log_error(NGX_LOG_CRIT, r->connection->log, 0,
                      "no memory for the usage line of request \"%V\"",
                      &public->request_id);
        return;
    }

    n = ngx_write_fd(wmcf->usage_log->fd, line.data, line.len);

    if (n == (ssize_t) line.len) {
        return;
    }

    err = (n == -1) ? ngx_errno : 0;

    public->unrecorded = 1;

    /* a full disk must not fill the error log as well */

    now = ngx_time();

    if (now - wmcf->usage_log_failed < 60) {
        return;
    }

    wmcf->usage_log_failed = now;

    if (n == -1) {
        ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, err,
                      ngx_write_fd_n " to usage log \"%V\" failed",
                      &wmcf->usage_log->name);
        return;
    }

    ngx_log_error(NGX_LOG_CRIT, ngx_cycle->log, 0,
                  ngx_write_fd_n " to usage log \"%V\" was incomplete: "
                  "%z of %uz", &wmcf->usage_log->name, n, line.len);
}


static weir_str_t
ngx_http_weir_cut(ngx_str_t *s, size_t max)
{
    return weir_str((const char *) s->data, ngx_min(s->len, max));
}
