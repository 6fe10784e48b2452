
/*
 * Weir's core: the request context, its settlement and its variables.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"

#include "policies/ledger.h"

#include <openssl/rand.h>


#define NGX_HTTP_WEIR_MAX_PATH  256

/* the tap and the usage line take one piece of this size as a rule */

#define NGX_HTTP_WEIR_ARENA     2048


typedef struct {
    ngx_str_t                      name;
    ngx_http_get_variable_pt       handler;
    uintptr_t                      data;
} ngx_http_weir_variable_t;


static void ngx_http_weir_cleanup(void *data);
static ngx_int_t ngx_http_weir_set_request_id(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_valid_request_id(ngx_str_t *id);
static void ngx_http_weir_random(ngx_http_request_t *r,
    ngx_http_weir_core_main_conf_t *wmcf, u_char *bytes, size_t len);
static ngx_uint_t ngx_http_weir_final_status(ngx_http_request_t *r);
static void ngx_http_weir_write_usage(ngx_http_weir_core_ctx_t *ctx);
static weir_str_t ngx_http_weir_cut(ngx_str_t *s, size_t max);
static ngx_int_t ngx_http_weir_request_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_tokens_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_ttft_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_http_weir_variable_t  ngx_http_weir_variables[] = {

    { ngx_string("weir_request_id"),
      ngx_http_weir_request_id_variable, 0 },

    { ngx_string("weir_tenant"),
      ngx_http_weir_string_variable,
      offsetof(ngx_http_weir_ctx_t, tenant) },

    { ngx_string("weir_key_id"),
      ngx_http_weir_string_variable,
      offsetof(ngx_http_weir_ctx_t, key_id) },

    { ngx_string("weir_model"),
      ngx_http_weir_string_variable,
      offsetof(ngx_http_weir_ctx_t, model) },

    { ngx_string("weir_prompt_tokens"),
      ngx_http_weir_tokens_variable,
      offsetof(ngx_http_weir_ctx_t, prompt_tokens) },

    { ngx_string("weir_cached_tokens"),
      ngx_http_weir_tokens_variable,
      offsetof(ngx_http_weir_ctx_t, cached_tokens) },

    { ngx_string("weir_completion_tokens"),
      ngx_http_weir_tokens_variable,
      offsetof(ngx_http_weir_ctx_t, completion_tokens) },

    { ngx_string("weir_ttft_ms"),
      ngx_http_weir_ttft_variable, 0 },

    { ngx_null_string, NULL, 0 }
};


/*
 * Internal redirects and named locations zero all module contexts; the pool's
 * cleanup record still knows ours.
 */

ngx_http_weir_core_ctx_t *
ngx_http_weir_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_weir_core_ctx_t  *ctx;

    r = r->main;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_core_module);
    if (ctx) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_weir_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_weir_core_module);
            return cln->data;
        }
    }

    return NULL;
}


ngx_http_weir_core_ctx_t *
ngx_http_weir_core_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);
    if (ctx) {
        return ctx;
    }

    r = r->main;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_core_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_core_ctx_t));

    ctx->wmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_core_module);
    ctx->request = r;
    ctx->public.ttft = -1;

    if (ngx_http_weir_set_request_id(r, ctx) != NGX_OK) {
        return NULL;
    }

    weir_arena_init(&ctx->arena, NGX_HTTP_WEIR_ARENA, 0);

    cln->handler = ngx_http_weir_cleanup;
    ngx_http_set_ctx(r, ctx, ngx_http_weir_core_module);

    return ctx;
}


ngx_http_weir_ctx_t *
ngx_http_weir_get_ctx(ngx_http_request_t *r)
{
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_core_get_ctx(r);

    return (ctx == NULL) ? NULL : &ctx->public;
}


static void
ngx_http_weir_cleanup(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ngx_http_weir_settle(ctx);

    weir_arena_free(&ctx->arena);
}


static ngx_int_t
ngx_http_weir_set_request_id(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    u_char           *p;
    u_char            bytes[16];
    ngx_uint_t        i, found;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header, *sent;

    sent = NULL;
    found = 0;

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        if (header[i].key.len == sizeof("x-request-id") - 1
            && ngx_strncmp(header[i].lowcase_key, "x-request-id",
                           sizeof("x-request-id") - 1)
               == 0)
        {
            sent = &header[i];
            found++;
        }
    }

    if (found == 1 && ngx_http_weir_valid_request_id(&sent->value)) {
        ctx->public.request_id = sent->value;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("req_") - 1 + 2 * sizeof(bytes));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->public.request_id.data = p;
    ctx->public.request_id.len = sizeof("req_") - 1 + 2 * sizeof(bytes);

    ngx_http_weir_random(r, ctx->wmcf, bytes, sizeof(bytes));

    p = ngx_cpymem(p, "req_", sizeof("req_") - 1);
    (void) ngx_hex_dump(p, bytes, sizeof(bytes));

    return NGX_OK;
}


static ngx_uint_t
ngx_http_weir_valid_request_id(ngx_str_t *id)
{
    u_char   ch;
    size_t   i;

    if (id->len == 0 || id->len > NGX_HTTP_WEIR_MAX_REQUEST_ID) {
        return 0;
    }

    for (i = 0; i < id->len; i++) {
        ch = id->data[i];

        if ((ch >= '0' && ch <= '9')
            || (ch >= 'a' && ch <= 'z')
            || (ch >= 'A' && ch <= 'Z')
            || ch == '-' || ch == '_' || ch == '.' || ch == ':')
        {
            continue;
        }

        return 0;
    }

    return 1;
}


static void
ngx_http_weir_random(ngx_http_request_t *r,
    ngx_http_weir_core_main_conf_t *wmcf, u_char *bytes, size_t len)
{
    size_t  i;

    if (wmcf->random_left < len) {

        if (RAND_bytes(wmcf->random, NGX_HTTP_WEIR_RANDOM) != 1) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "RAND_bytes() failed");

            for (i = 0; i < NGX_HTTP_WEIR_RANDOM; i++) {
                wmcf->random[i] = (u_char) ngx_random();
            }
        }

        wmcf->random_left = NGX_HTTP_WEIR_RANDOM;
    }

    wmcf->random_left -= len;
    ngx_memcpy(bytes, wmcf->random + wmcf->random_left, len);
}


void
ngx_http_weir_govern(ngx_http_weir_core_ctx_t *ctx)
{
    u_char     *p;
    ngx_str_t  *uri;

    if (ctx->public.governed) {
        return;
    }

    uri = &ctx->request->unparsed_uri;

    ctx->path = *uri;

    if (uri->len) {
        p = ngx_strlchr(uri->data, uri->data + uri->len, '?');

        if (p) {
            ctx->path.len = p - uri->data;
        }
    }

    ctx->public.governed = 1;

    ngx_queue_insert_tail(&ctx->wmcf->live, &ctx->queue);
}


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
ngx_http_weir_read_tap(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_ctx_t      *public;
    const weir_tap_result_t  *result;

    public = &ctx->public;

    if (ctx->tap == NULL) {
        return;
    }

    result = weir_usage_tap_result(ctx->tap);

    public->model.data = (u_char *) result->model.data;
    public->model.len = result->model.len;

    if (result->has_usage) {
        public->usage = NGX_HTTP_WEIR_USAGE_REPORTED;
        public->prompt_tokens = result->prompt_tokens;
        public->cached_tokens = result->cached_tokens;
        public->completion_tokens = result->completion_tokens;
        return;
    }

    if (result->content_deltas || ctx->hinted) {
        public->usage = NGX_HTTP_WEIR_USAGE_COUNTED;
        public->completion_tokens = result->content_deltas;
    }
}


/*
 * Exactly once: in the log phase, or with the request's pool, or when the
 * worker exits, whichever comes first.  r->pool may be gone already.
 */

void
ngx_http_weir_settle(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_uint_t             i;
    ngx_array_t           *hooks;
    ngx_http_request_t    *r;
    ngx_http_weir_ctx_t   *public;
    ngx_http_weir_hook_t  *hook;

    public = &ctx->public;

    if (!public->governed || public->settled) {
        return;
    }

    public->settled = 1;
    ngx_queue_remove(&ctx->queue);

    r = ctx->request;

    ngx_http_weir_read_tap(ctx);

    public->latency = ngx_http_weir_elapsed(r);
    public->status = ngx_http_weir_final_status(r);

    /* NGINX leaves the status at 200 when the client goes in mid-stream */

    public->aborted = !r->request_complete;

    /* clients close at [DONE] without waiting for the end of the body */

    if (public->stream && ctx->tap
        && weir_usage_tap_result(ctx->tap)->done)
    {
        public->aborted = 0;
    }

    ngx_http_weir_write_usage(ctx);

    hooks = &ctx->wmcf->hooks[NGX_HTTP_WEIR_SETTLED];
    hook = hooks->elts;

    for (i = 0; i < hooks->nelts; i++) {
        (void) hook[i].handler(r, public, hook[i].data);
    }
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
    row.key_id = ngx_http_weir_cut(&public->key_id, 256);
    row.model = ngx_http_weir_cut(&public->model, 256);
    row.path = ngx_http_weir_cut(&ctx->path, NGX_HTTP_WEIR_MAX_PATH);
    row.stream = public->stream;
    row.aborted = public->aborted;
    row.prompt_tokens = public->prompt_tokens;
    row.cached_tokens = public->cached_tokens;
    row.completion_tokens = public->completion_tokens;
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


static ngx_int_t
ngx_http_weir_request_id_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_core_get_ctx(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    v->len = ctx->public.request_id.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = ctx->public.request_id.data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_string_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_str_t                 *s;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);
    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_weir_read_tap(ctx);

    s = (ngx_str_t *) ((char *) &ctx->public + data);

    if (s->len == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->len = s->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = s->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_tokens_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *p;
    uint64_t                  *n;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);
    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    ngx_http_weir_read_tap(ctx);

    if (ctx->public.usage == NGX_HTTP_WEIR_USAGE_NONE) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    n = (uint64_t *) ((char *) &ctx->public + data);

    v->len = ngx_sprintf(p, "%uL", *n) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_ttft_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *p;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);

    if (ctx == NULL || ctx->public.ttft < 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_sprintf(p, "%M", (ngx_msec_t) ctx->public.ttft) - p;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = p;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t       *var;
    ngx_http_weir_variable_t  *v;

    for (v = ngx_http_weir_variables; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, NGX_HTTP_VAR_NOCACHEABLE);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->handler;
        var->data = v->data;
    }

    return NGX_OK;
}
