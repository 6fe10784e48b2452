
/*
 * Weir's core: the core's hooks, answered by a foreign plugin's functions.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_plugin.h"


#define NGX_HTTP_WEIR_PIECE  65536


static ngx_uint_t ngx_http_weir_foreign_wants(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data);
static ngx_int_t ngx_http_weir_foreign_admit(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data);
static ngx_int_t ngx_http_weir_foreign_body(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data);
static ngx_int_t ngx_http_weir_foreign_route(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data);
static ngx_int_t ngx_http_weir_foreign_heading(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data);
static ngx_int_t ngx_http_weir_foreign_replace(weir_plugin_request_t *rq,
    const weir_plugin_decision_t *decision);
static ngx_int_t ngx_http_weir_foreign_deny(weir_plugin_request_t *rq,
    const weir_plugin_decision_t *decision);
static void ngx_http_weir_foreign_cancel(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data);
static void ngx_http_weir_foreign_settled(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data);


/* only what the plugin has functions for costs anything */

void
ngx_http_weir_foreign_hooks(ngx_http_weir_foreign_t *foreign)
{
    weir_plugin_needs_t     *needs;
    const weir_plugin_t     *table;
    ngx_http_weir_plugin_t  *plugin;

    table = foreign->table;
    needs = &foreign->needs;
    plugin = &foreign->plugin;

    plugin->stage = NGX_HTTP_WEIR_STAGE_CUSTOM;
    plugin->max_body = needs->max_body;
    plugin->timeout = needs->timeout_ms ? needs->timeout_ms : 1000;
    plugin->on_failure = (needs->on_failure == WEIR_PLUGIN_OPEN)
                         ? NGX_HTTP_WEIR_FAIL_OPEN
                         : NGX_HTTP_WEIR_FAIL_CLOSED;
    plugin->data = foreign;
    plugin->cancel = ngx_http_weir_foreign_cancel;
    plugin->settled = ngx_http_weir_foreign_settled;

    if (table->request_headers) {
        plugin->admit = ngx_http_weir_foreign_admit;
    }

    if (table->request_body && needs->body != WEIR_PLUGIN_NO_BODY) {
        plugin->needs |= NGX_HTTP_WEIR_NEEDS_BODY|NGX_HTTP_WEIR_NEEDS_EDITED;
        plugin->request = ngx_http_weir_foreign_body;
    }

    if (table->route) {
        plugin->route = ngx_http_weir_foreign_route;
    }

    if (table->response_headers) {
        plugin->response_headers = ngx_http_weir_foreign_heading;
    }

    if (table->response_item && needs->response) {
        plugin->needs |= NGX_HTTP_WEIR_NEEDS_RESPONSE;
        plugin->open_filter = ngx_http_weir_foreign_filter;
    }

    plugin->wants = ngx_http_weir_foreign_wants;
}


/* a body that the gateway does not understand is shown as it came */

static ngx_uint_t
ngx_http_weir_foreign_wants(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data)
{
    if (public->endpoint.reads_body
        && public->endpoint.why == WEIR_UNDERSTOOD)
    {
        return NGX_HTTP_WEIR_NEEDS_BODY|NGX_HTTP_WEIR_NEEDS_EDITED
               |NGX_HTTP_WEIR_NEEDS_RESPONSE;
    }

    return NGX_HTTP_WEIR_NEEDS_BODY|NGX_HTTP_WEIR_NEEDS_RESPONSE;
}


/* NULL when out of memory */

weir_plugin_request_t *
ngx_http_weir_foreign_request(ngx_http_weir_foreign_t *foreign,
    ngx_http_weir_ctx_t *public)
{
    void                   **slot;
    weir_plugin_request_t   *rq;

    slot = ngx_http_weir_slot(public, &foreign->plugin);

    rq = *slot;

    if (rq) {
        return rq;
    }

    rq = weir_arena_calloc(ngx_http_weir_arena(public), 1,
                           sizeof(weir_plugin_request_t));
    if (rq == NULL) {
        return NULL;
    }

    rq->foreign = foreign;
    rq->ctx = (ngx_http_weir_core_ctx_t *) public;

    ngx_queue_init(&rq->kept);

    *slot = rq;

    return rq;
}


static ngx_int_t
ngx_http_weir_foreign_admit(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data)
{
    weir_plugin_verdict_t     verdict;
    weir_plugin_request_t    *rq;
    weir_plugin_decision_t    decision;
    ngx_http_weir_foreign_t  *foreign = data;

    /* nobody has vouched for the caller: the core refuses the request */

    if (!public->admitted) {
        return NGX_DECLINED;
    }

    rq = ngx_http_weir_foreign_request(foreign, public);

    if (rq == NULL || !foreign->started) {
        return NGX_ERROR;
    }

    ngx_memzero(&decision, sizeof(weir_plugin_decision_t));

    verdict = foreign->table->request_headers(foreign->self, rq, &decision);

    if (verdict == WEIR_PLUGIN_REPLACE) {
        verdict = WEIR_PLUGIN_FAIL;
    }

    return ngx_http_weir_foreign_decide(rq, verdict, &decision);
}


static ngx_int_t
ngx_http_weir_foreign_body(ngx_http_request_t *r, ngx_http_weir_ctx_t *public,
    void *data)
{
    int                       last;
    size_t                    at;
    weir_plugin_text_t        piece;
    weir_plugin_verdict_t     verdict;
    weir_plugin_request_t    *rq;
    weir_plugin_decision_t    decision;
    ngx_http_weir_foreign_t  *foreign = data;

    if (public->body.len == 0) {
        return NGX_DECLINED;
    }

    rq = ngx_http_weir_foreign_request(foreign, public);

    if (rq == NULL || !foreign->started) {
        return NGX_ERROR;
    }

    at = 0;

    do {
        piece.data = (char *) public->body.data + at;
        piece.len = public->body.len - at;

        if (foreign->needs.body == WEIR_PLUGIN_BODY_PIECES) {
            piece.len = ngx_min(piece.len, NGX_HTTP_WEIR_PIECE);
        }

        at += piece.len;
        last = (at == public->body.len);

        ngx_memzero(&decision, sizeof(weir_plugin_decision_t));

        verdict = foreign->table->request_body(foreign->self, rq, piece, last,
                                               &decision);

        if (!last && verdict != WEIR_PLUGIN_CONTINUE
            && verdict != WEIR_PLUGIN_DENY)
        {
            verdict = WEIR_PLUGIN_FAIL;
        }

    } while (!last && verdict == WEIR_PLUGIN_CONTINUE);

    return ngx_http_weir_foreign_decide(rq, verdict, &decision);
}


static ngx_int_t
ngx_http_weir_foreign_route(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data)
{
    weir_plugin_verdict_t     verdict;
    weir_plugin_request_t    *rq;
    weir_plugin_decision_t    decision;
    ngx_http_weir_foreign_t  *foreign = data;

    rq = ngx_http_weir_foreign_request(foreign, public);

    if (rq == NULL || !foreign->started) {
        return NGX_ERROR;
    }

    ngx_memzero(&decision, sizeof(weir_plugin_decision_t));

    rq->routing = 1;
    verdict = foreign->table->route(foreign->self, rq, &decision);
    rq->routing = 0;

    if (verdict == WEIR_PLUGIN_REPLACE) {
        verdict = WEIR_PLUGIN_FAIL;
    }

    return ngx_http_weir_foreign_decide(rq, verdict, &decision);
}


static ngx_int_t
ngx_http_weir_foreign_heading(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data)
{
    weir_plugin_verdict_t     verdict;
    weir_plugin_request_t    *rq;
    weir_plugin_decision_t    decision;
    ngx_http_weir_foreign_t  *foreign = data;

    rq = ngx_http_weir_foreign_request(foreign, public);

    if (rq == NULL || !foreign->started) {
        return NGX_ERROR;
    }

    ngx_memzero(&decision, sizeof(weir_plugin_decision_t));

    rq->heading = 1;
    verdict = foreign->table->response_headers(foreign->self, rq,
                                               r->headers_out.status,
                                               &decision);
    rq->heading = 0;

    if (verdict == WEIR_PLUGIN_REPLACE || verdict == WEIR_PLUGIN_HOLD) {
        verdict = WEIR_PLUGIN_FAIL;
    }

    return ngx_http_weir_foreign_decide(rq, verdict, &decision);
}


/* of a request, not of an item of its answer */

ngx_int_t
ngx_http_weir_foreign_decide(weir_plugin_request_t *rq,
    weir_plugin_verdict_t verdict, const weir_plugin_decision_t *decision)
{
    if (verdict == WEIR_PLUGIN_HOLD) {

        if (rq->hold == 0) {
            ngx_log_error(NGX_LOG_ERR, rq->ctx->request->connection->log, 0,
                          "plugin \"%V\" holds without a handle",
                          &rq->foreign->plugin.name);
            return NGX_ERROR;
        }

        rq->item = 0;

        return NGX_AGAIN;
    }

    ngx_http_weir_foreign_unhold(rq);

    switch (verdict) {

    case WEIR_PLUGIN_CONTINUE:
        return NGX_DECLINED;

    case WEIR_PLUGIN_REPLACE:
        return ngx_http_weir_foreign_replace(rq, decision);

    case WEIR_PLUGIN_DENY:
        return ngx_http_weir_foreign_deny(rq, decision);

    default: /* WEIR_PLUGIN_FAIL, and what is none */
        return NGX_ERROR;
    }
}


static ngx_int_t
ngx_http_weir_foreign_replace(weir_plugin_request_t *rq,
    const weir_plugin_decision_t *decision)
{
    ngx_str_t                  body, before;
    ngx_http_weir_ctx_t       *public;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = rq->ctx;
    public = &ctx->public;

    if (ctx->step != NGX_HTTP_WEIR_STEP_REQUEST || decision->text.len == 0) {
        return NGX_ERROR;
    }

    body.len = decision->text.len;
    body.data = ngx_pnalloc(ctx->request->pool, body.len);

    if (body.data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(body.data, decision->text.data, body.len);

    before = public->body;

    if (ngx_http_weir_replace_body(public, &body) != NGX_OK) {
        return NGX_ERROR;
    }

    if (public->view == NULL
        || ngx_http_weir_apply_edits_now(ctx) == NGX_OK)
    {
        return NGX_OK;
    }

    /* it was a valid call before */

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "plugin \"%V\" made an invalid request: %V",
                  &rq->foreign->plugin.name, &public->refusal->message);

    ctx->refused = 0;
    public->refusal = NULL;

    if (ngx_http_weir_replace_body(public, &before) == NGX_OK
        && ngx_http_weir_apply_edits_now(ctx) != NGX_OK)
    {
        return NGX_ABORT;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_foreign_deny(weir_plugin_request_t *rq,
    const weir_plugin_decision_t *decision)
{
    weir_arena_t             *arena;
    ngx_str_t                 message;
    ngx_http_weir_refusal_t   refusal;

    arena = &rq->ctx->arena;

    ngx_memzero(&refusal, sizeof(ngx_http_weir_refusal_t));

    refusal.status = (decision->status >= 400 && decision->status <= 599)
                     ? decision->status : NGX_HTTP_FORBIDDEN;

    refusal.type.data = (u_char *) ngx_http_weir_foreign_copy(arena,
                                       decision->type,
                                       "invalid_request_error");
    refusal.type.len = ngx_strlen(refusal.type.data);

    refusal.code.data = (u_char *) ngx_http_weir_foreign_copy(arena,
                                       decision->code, "denied_by_plugin");
    refusal.code.len = ngx_strlen(refusal.code.data);

    ngx_str_set(&refusal.reason, "plugin");

    message.data = (u_char *) decision->message.data;
    message.len = ngx_min(decision->message.len, 1024);

    if (message.len == 0) {
        ngx_str_set(&message, "A plugin of the gateway has refused this "
                              "request.");
    }

    return ngx_http_weir_deny(&rq->ctx->public, &refusal, "%V", &message);
}


/* at most 64 bytes; without memory the constant has to do */

char *
ngx_http_weir_foreign_copy(weir_arena_t *arena, const char *text,
    char *otherwise)
{
    char    *copy;
    size_t   len;

    if (text == NULL || text[0] == '\0') {
        return otherwise;
    }

    len = ngx_strlen(text);
    copy = weir_arena_strndup(arena, text, ngx_min(len, 64));

    return copy ? copy : otherwise;
}


/* a hold ends without resume() */

void
ngx_http_weir_foreign_cancelled(weir_plugin_request_t *rq)
{
    uint64_t                  hold;
    ngx_http_weir_foreign_t  *foreign;

    hold = rq->hold;
    foreign = rq->foreign;

    if (hold == 0) {
        return;
    }

    ngx_http_weir_foreign_unhold(rq);

    if (foreign->table->cancelled) {
        foreign->table->cancelled(foreign->self, rq, hold);
    }
}


static void
ngx_http_weir_foreign_cancel(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data)
{
    weir_plugin_request_t    *rq;
    ngx_http_weir_foreign_t  *foreign = data;

    rq = *ngx_http_weir_slot(public, &foreign->plugin);

    if (rq) {
        ngx_http_weir_foreign_cancelled(rq);
    }
}


static void
ngx_http_weir_foreign_settled(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *public, void *data)
{
    weir_plugin_usage_t       usage;
    weir_plugin_request_t    *rq;
    ngx_http_weir_foreign_t  *foreign = data;

    rq = *ngx_http_weir_slot(public, &foreign->plugin);

    /* none of its functions was called */

    if (rq == NULL) {
        return;
    }

    ngx_http_weir_foreign_cancelled(rq);
    ngx_http_weir_foreign_drop(rq);

    if (foreign->table->log == NULL || !foreign->started) {
        return;
    }

    ngx_memzero(&usage, sizeof(weir_plugin_usage_t));

    usage.model.data = public->model.len ? (char *) public->model.data : "";
    usage.model.len = public->model.len;
    usage.prompt_tokens = public->prompt_tokens;
    usage.cached_tokens = public->cached_tokens;
    usage.completion_tokens = public->completion_tokens;
    usage.estimated = (public->usage == NGX_HTTP_WEIR_USAGE_ESTIMATED);
    usage.status = (unsigned) public->status;
    usage.stream = public->stream;
    usage.aborted = public->aborted;
    usage.latency_ms = public->latency;
    usage.ttft_ms = public->ttft;

    foreign->table->log(foreign->self, rq, &usage);
}
