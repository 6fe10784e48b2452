
/*
 * Weir's core: answers that are ended, or go on, from outside.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


static void ngx_http_weir_stop_early(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_refusal_t *why);
static char *ngx_http_weir_cstring(ngx_http_weir_core_ctx_t *ctx,
    const ngx_str_t *s);
static void ngx_http_weir_abandon_upstream(ngx_http_request_t *r);
static void ngx_http_weir_upstream_handler(ngx_event_t *ev);


void
ngx_http_weir_stop(ngx_http_weir_ctx_t *public, weir_stop_reason_t how,
    const ngx_http_weir_refusal_t *why)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    if (public->settled || public->stopped || ctx->ended || ctx->replace) {
        return;
    }

    public->stopped = 1;

    ngx_log_error(ctx->wmcf->refusal_level, c->log, 0,
                  "request \"%V\" of key \"%V\" stopped: %V",
                  &public->request_id, &public->key_id, &why->reason);

    if (!r->header_sent && !ctx->header_held) {
        ngx_http_weir_stop_early(ctx, why);
        return;
    }

    if (ctx->pipeline == NULL) {

        /* nothing that the client would understand can be said */

        ngx_http_finalize_request(r, NGX_ERROR);
        ngx_http_run_posted_requests(c);
        return;
    }

    if (ctx->answering) {
        ctx->stop_how = how;
        ctx->stop_why = why;
        return;
    }

    ngx_http_weir_stop_answer(ctx, how, why);
}


void
ngx_http_weir_stop_answer(ngx_http_weir_core_ctx_t *ctx,
    weir_stop_reason_t how, const ngx_http_weir_refusal_t *why)
{
    ngx_int_t            rc;
    weir_stop_t          stop;
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    stop.reason = how;
    stop.status = why->status;
    stop.type = ngx_http_weir_cstring(ctx, &why->type);
    stop.code = ngx_http_weir_cstring(ctx, &why->code);
    stop.message = ngx_http_weir_cstring(ctx, &why->message);

    rc = NGX_ERROR;

    if (weir_pipeline_stop(ctx->pipeline, &stop) == WEIR_OK) {
        rc = ngx_http_weir_pump(r, ctx);
    }

    if (rc == NGX_ERROR) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }

    ngx_http_run_posted_requests(c);
}


static void
ngx_http_weir_stop_early(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_refusal_t *why)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    if (ctx->working) {
        ctx->stop_why = why;
        ctx->public.unwanted = 1;
        return;
    }

    ctx->public.refusal = why;
    ctx->public.admitted = 0;
    ctx->refused = 1;

    if (ctx->holder) {
        ngx_http_weir_release(ctx);
        ngx_http_weir_go_on(ctx);
        return;
    }

    /* in another phase, or reading the body: refused in the next of ours */

    if (r->upstream == NULL || r->upstream->cleanup == NULL) {
        return;
    }

    ngx_http_weir_abandon_upstream(r);

    ngx_http_finalize_request(r, ngx_http_weir_refuse(r, why));
    ngx_http_run_posted_requests(c);
}


static char *
ngx_http_weir_cstring(ngx_http_weir_core_ctx_t *ctx, const ngx_str_t *s)
{
    return (s->len == 0) ? NULL
                         : weir_arena_strndup(&ctx->arena, (char *) s->data,
                                              s->len);
}


void
ngx_http_weir_wake(ngx_http_weir_ctx_t *public)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    ngx_int_t  rc;

    if (ctx->pipeline == NULL || ctx->ended || public->settled) {
        return;
    }

    if (ctx->answering) {
        ctx->woken = 1;
        return;
    }

    if (ngx_http_weir_answer_on_thread(ctx, NGX_HTTP_WEIR_ANSWER_WAKE)
        == NGX_AGAIN)
    {
        return;
    }

    switch (weir_pipeline_wake(ctx->pipeline)) {

    case WEIR_OK:
    case WEIR_ERR_BUSY:
        rc = NGX_OK;
        break;

    default:
        rc = NGX_ERROR;
    }

    ngx_http_weir_go_on_answer(ctx, rc);
}


/*
 * The answer has ended, its upstream may not have.  As a rule the end of the
 * body comes right after its last event, and the connection can be kept.
 */

void
ngx_http_weir_end_upstream(ngx_http_weir_core_ctx_t *ctx, ngx_msec_t after)
{
    ngx_event_t  *ev;

    ev = &ctx->deadline;

    if (ev->timer_set) {
        return;
    }

    ev->handler = ngx_http_weir_upstream_handler;
    ev->data = ctx;
    ev->log = ctx->request->connection->log;

    ngx_add_timer(ev, after);
}


static void
ngx_http_weir_upstream_handler(ngx_event_t *ev)
{
    ngx_int_t                  rc;
    ngx_connection_t          *c;
    ngx_http_request_t        *r;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    if (r->upstream == NULL || r->upstream->cleanup == NULL) {
        return;
    }

    ngx_http_weir_abandon_upstream(r);

    rc = ctx->broken ? NGX_ERROR : NGX_OK;

    /* our own answer takes the place of one that has not come yet */

    if (ctx->replace && !ctx->replaced) {
        rc = ngx_http_weir_send_replacement(r, ctx, NULL);
    }

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}


/* the reference is the one that the upstream's own end takes away */

static void
ngx_http_weir_abandon_upstream(ngx_http_request_t *r)
{
    r->main->count++;

    (*r->upstream->cleanup)(r);
}
