
/*
 * Weir's core: the walk of a request through the plugins, holds and their
 * ends.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


#define NGX_HTTP_WEIR_HOLD  1000


static ngx_int_t ngx_http_weir_advance(ngx_http_weir_core_ctx_t *ctx,
    ngx_uint_t last);
static ngx_http_weir_hook_pt ngx_http_weir_hook(
    ngx_http_weir_core_ctx_t *ctx, const ngx_http_weir_plugin_t *plugin);
static ngx_int_t ngx_http_weir_prepare(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin);
static ngx_int_t ngx_http_weir_failed(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin,
    const ngx_http_weir_refusal_t *why);
static ngx_int_t ngx_http_weir_refused(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_refusal_t *why);
static ngx_int_t ngx_http_weir_check_call(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_http_weir_core_loc_conf_t *wlcf);
static ngx_int_t ngx_http_weir_answer_now(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static void ngx_http_weir_hold(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin);


static const ngx_http_weir_refusal_t  ngx_http_weir_nobody =
    ngx_http_weir_final_refusal(NGX_HTTP_INTERNAL_SERVER_ERROR,
                                "server_error", "internal_error",
                                "The gateway could not check this request, "
                                "so it was not forwarded.",
                                "internal_error");


static const ngx_http_weir_refusal_t  ngx_http_weir_too_late =
    ngx_http_weir_refusal(NGX_HTTP_GATEWAY_TIME_OUT, "server_error",
                          "check_timeout",
                          "A check of the gateway did not end in time, so "
                          "the request was not forwarded. Try again.",
                          "check_timeout");


static const ngx_http_weir_refusal_t  ngx_http_weir_too_long =
    ngx_http_weir_refusal(NGX_HTTP_REQUEST_ENTITY_TOO_LARGE,
                          "invalid_request_error", "request_too_large",
                          "The request body is larger than a check of the "
                          "gateway can read.",
                          "body_too_large");


/* by weir_endpoint_why_t */

static const ngx_http_weir_refusal_t  ngx_http_weir_strange[] = {

    ngx_http_weir_refusal(NGX_HTTP_INTERNAL_SERVER_ERROR, "server_error",
                          "internal_error", "", "internal_error"),

    ngx_http_weir_refusal(NGX_HTTP_NOT_FOUND, "invalid_request_error",
                          "unknown_path",
                          "The gateway does not serve this path.",
                          "unknown_path"),

    ngx_http_weir_refusal(NGX_HTTP_NOT_FOUND, "invalid_request_error",
                          "unknown_path",
                          "The gateway does not serve this path: write it "
                          "in lower case, with single slashes, without a "
                          "slash at its end.",
                          "odd_path"),

    ngx_http_weir_refusal(NGX_HTTP_NOT_ALLOWED, "invalid_request_error",
                          "method_not_allowed",
                          "This path does not take this method.",
                          "method"),

    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "upgrade_not_supported",
                          "The gateway does not serve WebSockets or other "
                          "upgrades on this path.",
                          "upgrade"),

    ngx_http_weir_refusal(NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "invalid_request_error",
                          "multipart_not_supported",
                          "The gateway does not take forms on this path.",
                          "multipart"),

    ngx_http_weir_refusal(NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "invalid_request_error", "unsupported_media_type",
                          "The request body must be of the type "
                          "application/json.",
                          "content_type"),

    ngx_http_weir_refusal(NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "invalid_request_error",
                          "unsupported_content_encoding",
                          "The gateway does not take compressed request "
                          "bodies.",
                          "content_encoding"),

    ngx_http_weir_refusal(NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
                          "invalid_request_error", "unsupported_charset",
                          "The request body must be in UTF-8.",
                          "charset"),

    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "body_not_allowed",
                          "This call takes no body.",
                          "body")
};


/*
 * The handler of both phases.  NGX_OK would silently switch off the built-in
 * handlers of the phase.  Later phases and "satisfy" cannot undo a refusal,
 * but a request that got to precontent by a way that skipped preaccess must
 * not pass either.
 */

ngx_int_t
ngx_http_weir_enforce(ngx_http_request_t *r, ngx_uint_t last)
{
    ngx_int_t                       rc;
    ngx_http_weir_core_ctx_t       *ctx;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);

    if (!wlcf->enable) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_weir_core_get_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->holder || ctx->working) {
        return ngx_http_weir_wait(r, ctx);
    }

    if (!ctx->public.governed) {
        ngx_http_weir_govern(ctx);
    }

    if (ctx->refused || ctx->public.responded) {
        return ngx_http_weir_answer_now(r, ctx);
    }

    rc = ngx_http_weir_advance(ctx, NGX_HTTP_WEIR_STEP_ADMIT);

    if (rc == NGX_AGAIN) {
        return ngx_http_weir_wait(r, ctx);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_weir_check_call(r, ctx, wlcf);
    }

    if (rc != NGX_OK) {
        return ngx_http_weir_answer_now(r, ctx);
    }

    if (last == NGX_HTTP_WEIR_STEP_ADMIT
        || (ctx->step == NGX_HTTP_WEIR_STEP_PASSED && !ctx->unfinished))
    {
        return NGX_DECLINED;
    }

    if (r != r->main) {

        /* auth_request and the like have no body, mirrored ones do */

        if (r->request_body && r->request_body->bufs) {
            return NGX_HTTP_FORBIDDEN;
        }

        return NGX_DECLINED;
    }

    if (!ctx->body_read) {
        rc = ngx_http_weir_read_body(r, ctx);

        if (rc == NGX_ABORT) {
            return ngx_http_weir_answer_now(r, ctx);
        }

        if (rc != NGX_OK) {
            return rc;
        }
    }

    rc = ngx_http_weir_advance(ctx, last);

    if (rc == NGX_AGAIN) {
        return ngx_http_weir_wait(r, ctx);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_weir_finish_body(ctx);

        ctx->unfinished = (rc == NGX_AGAIN);

        if (rc == NGX_AGAIN) {
            return ngx_http_weir_wait(r, ctx);
        }

        if (rc != NGX_OK) {
            rc = ngx_http_weir_refused(ctx, &ngx_http_weir_nobody);
        }
    }

    if (rc != NGX_OK) {
        return ngx_http_weir_answer_now(r, ctx);
    }

    return NGX_DECLINED;
}


/* NGX_OK: all steps up to and with the last one are behind the request */

static ngx_int_t
ngx_http_weir_advance(ngx_http_weir_core_ctx_t *ctx, ngx_uint_t last)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    ngx_array_t                    *plugins;
    ngx_http_weir_hook_pt           hook;
    const ngx_http_weir_plugin_t  **p;

    plugins = &ctx->wmcf->plugins;
    p = plugins->elts;

    while (ctx->step <= last) {

        for (i = ctx->next; i < plugins->nelts; i++) {

            hook = ngx_http_weir_hook(ctx, p[i]);

            if (hook == NULL) {
                continue;
            }

            ctx->next = i;

            rc = ngx_http_weir_prepare(ctx, p[i]);

            if (rc == NGX_DECLINED) {
                continue;
            }

            if (rc == NGX_OK) {
                rc = hook(ctx->request, &ctx->public, p[i]->data);
                rc = ngx_http_weir_verdict(ctx, p[i], rc);
            }

            if (rc != NGX_OK) {
                return rc;
            }
        }

        ctx->next = plugins->nelts;

        if (ctx->step == NGX_HTTP_WEIR_STEP_ADMIT) {
            ctx->public.decided = 1;

            if (!ctx->public.admitted) {
                return ngx_http_weir_refused(ctx, &ngx_http_weir_nobody);
            }
        }

        ctx->next = 0;
        ctx->step++;
    }

    return NGX_OK;
}


static ngx_http_weir_hook_pt
ngx_http_weir_hook(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin)
{
    switch (ctx->step) {

    case NGX_HTTP_WEIR_STEP_ADMIT:
        return plugin->admit;

    case NGX_HTTP_WEIR_STEP_REQUEST:
        return plugin->request;

    default: /* NGX_HTTP_WEIR_STEP_ROUTE */
        return plugin->route;
    }
}


/*
 * NGX_DECLINED: the hook is skipped, NGX_ABORT: the request is refused,
 * NGX_AGAIN: the body is being edited.
 */

static ngx_int_t
ngx_http_weir_prepare(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin)
{
    ngx_uint_t  wants;

    if (ctx->step != NGX_HTTP_WEIR_STEP_REQUEST) {
        return NGX_OK;
    }

    wants = ctx->slots[ctx->next].wants;

    if (plugin->max_body && ctx->public.body.len > plugin->max_body
        && wants & (NGX_HTTP_WEIR_NEEDS_BODY|NGX_HTTP_WEIR_NEEDS_VIEW
                    |NGX_HTTP_WEIR_NEEDS_EDITED))
    {
        if (ngx_http_weir_failed(ctx, plugin, &ngx_http_weir_too_long)
            == NGX_OK)
        {
            return NGX_DECLINED;
        }

        return NGX_ABORT;
    }

    if (wants & NGX_HTTP_WEIR_NEEDS_EDITED) {
        return ngx_http_weir_apply_edits(ctx, 1);
    }

    return NGX_OK;
}


/*
 * NGX_OK: go on.  NGX_AGAIN: held.  NGX_ABORT: refused.  NGX_DONE: answered by
 * the plugin.
 */

ngx_int_t
ngx_http_weir_verdict(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin, ngx_int_t rc)
{
    switch (rc) {

    case NGX_OK:

        if (ctx->step == NGX_HTTP_WEIR_STEP_ADMIT) {
            ctx->public.admitted = 1;
        }

        return NGX_OK;

    case NGX_DECLINED:
        return NGX_OK;

    case NGX_AGAIN:
        ngx_http_weir_hold(ctx, plugin);
        return NGX_AGAIN;

    case NGX_ABORT:

        if (ctx->public.refusal) {
            return ngx_http_weir_refused(ctx, ctx->public.refusal);
        }

        break;

    case NGX_DONE:

        if (ctx->public.responded) {
            return NGX_DONE;
        }

        break;
    }

    return ngx_http_weir_failed(ctx, plugin, &ngx_http_weir_nobody);
}


static ngx_int_t
ngx_http_weir_failed(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin, const ngx_http_weir_refusal_t *why)
{
    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "plugin \"%V\" failed (%V) for request \"%V\", which %s",
                  &plugin->name, &why->reason, &ctx->public.request_id,
                  plugin->on_failure == NGX_HTTP_WEIR_FAIL_OPEN
                      ? "goes on without it" : "is refused");

    if (plugin->on_failure != NGX_HTTP_WEIR_FAIL_OPEN) {
        return ngx_http_weir_refused(ctx, why);
    }

    ctx->public.failed_open = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_refused(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_refusal_t *why)
{
    ctx->public.decided = 1;
    ctx->public.admitted = 0;
    ctx->public.refusal = why;
    ctx->refused = 1;

    return NGX_ABORT;
}


static ngx_int_t
ngx_http_weir_check_call(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    ngx_http_weir_core_loc_conf_t *wlcf)
{
    ngx_uint_t             allowed;
    weir_endpoint_info_t  *call, own;

    call = &ctx->public.endpoint;

    if (r != r->main) {
        ngx_http_weir_classify(r, ctx, &own);
        call = &own;
    }

    if (call->why == WEIR_UNDERSTOOD) {
        return NGX_OK;
    }

    allowed = (wlcf->pass_through & ((ngx_uint_t) 2 << call->group)) != 0;

    if (r == r->main) {
        allowed = ngx_http_weir_policy_passes(&ctx->public, allowed);
    }

    if (allowed) {

        if (r == r->main) {
            ctx->public.passed_through = 1;
        }

        return NGX_OK;
    }

    return ngx_http_weir_refused(ctx, &ngx_http_weir_strange[call->why]);
}


static ngx_int_t
ngx_http_weir_answer_now(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_weir_response_t  *response;

    ngx_http_weir_free_body(ctx);

    if (r != r->main) {
        return ctx->refused ? (ngx_int_t) ctx->public.refusal->status
                            : NGX_HTTP_FORBIDDEN;
    }

    if (ctx->refused) {
        rc = ngx_http_weir_refuse(r, ctx->public.refusal);

    } else {
        response = &ctx->response;
        rc = ngx_http_weir_send(r, response->status, &response->type,
                                &response->body);
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


/* r, the main request or a subrequest, stays in its phase until the resume */

ngx_int_t
ngx_http_weir_wait(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_waiter_t  *w;

    for (w = ctx->waiters; w; w = w->next) {
        if (w->request == r) {
            return NGX_AGAIN;
        }
    }

    /* for the main request there is always room */

    w = (r == r->main) ? &ctx->self
                       : ngx_palloc(r->pool, sizeof(ngx_http_weir_waiter_t));
    if (w == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    w->request = r;
    w->next = ctx->waiters;
    ctx->waiters = w;

    if (r == r->main) {
        r->read_event_handler = ngx_http_test_reading;
    }

    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


static void
ngx_http_weir_hold(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_plugin_t *plugin)
{
    ctx->holder = plugin;

    ctx->deadline.handler = ngx_http_weir_deadline;
    ctx->deadline.data = ctx;
    ctx->deadline.log = ctx->request->connection->log;

    ngx_add_timer(&ctx->deadline,
                  plugin->timeout ? plugin->timeout : NGX_HTTP_WEIR_HOLD);
}


void
ngx_http_weir_deadline(ngx_event_t *ev)
{
    ngx_http_weir_core_ctx_t       *ctx;
    const ngx_http_weir_plugin_t   *plugin;

    ctx = ev->data;

    if (ctx->working) {
        ctx->late = 1;
        ctx->public.unwanted = 1;
        return;
    }

    ctx->late = 0;
    plugin = ctx->holder;

    ngx_http_weir_release(ctx);

    if (ngx_http_weir_failed(ctx, plugin, &ngx_http_weir_too_late)
        == NGX_OK)
    {
        ctx->next++;
    }

    ngx_http_weir_go_on(ctx);
}


/* the hold ends without its plugin: the deadline, or the request's end */

void
ngx_http_weir_release(ngx_http_weir_core_ctx_t *ctx)
{
    const ngx_http_weir_plugin_t  *plugin;

    if (ctx->deadline.timer_set) {
        ngx_del_timer(&ctx->deadline);
    }

    plugin = ctx->holder;

    if (plugin == NULL) {
        return;
    }

    ctx->holder = NULL;

    if (plugin->cancel) {
        plugin->cancel(ctx->request, &ctx->public, plugin->data);
    }
}


void
ngx_http_weir_resume(ngx_http_weir_ctx_t *public, ngx_int_t rc)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    const ngx_http_weir_plugin_t  *plugin;

    plugin = ctx->holder;

    if (plugin == NULL) {
        ngx_log_error(NGX_LOG_ALERT, ctx->request->connection->log, 0,
                      "request \"%V\" is not held", &public->request_id);
        return;
    }

    ctx->holder = NULL;

    if (ctx->deadline.timer_set) {
        ngx_del_timer(&ctx->deadline);
    }

    rc = ngx_http_weir_verdict(ctx, plugin, rc);

    if (rc == NGX_AGAIN) {
        return;
    }

    if (rc == NGX_OK) {
        ctx->next++;
    }

    ngx_http_weir_go_on(ctx);
}


/* runs the phases of the waiting again: the main request's may free it */

void
ngx_http_weir_go_on(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_connection_t        *c;
    ngx_http_request_t      *r;
    ngx_http_weir_waiter_t  *w;

    c = ctx->request->connection;
    w = ctx->waiters;

    ctx->waiters = NULL;

    for (r = NULL; w; w = w->next) {

        w->request->write_event_handler = ngx_http_core_run_phases;

        if (w->request == w->request->main) {
            r = w->request;
            continue;
        }

        (void) ngx_http_post_request(w->request, NULL);
    }

    if (r) {
        r->read_event_handler = ngx_http_block_reading;
        ngx_http_core_run_phases(r);
    }

    ngx_http_run_posted_requests(c);
}


ngx_int_t
ngx_http_weir_respond(ngx_http_weir_ctx_t *public, ngx_uint_t status,
    ngx_str_t *type, ngx_str_t *body)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    if (ctx->step != NGX_HTTP_WEIR_STEP_REQUEST
        && ctx->step != NGX_HTTP_WEIR_STEP_ROUTE)
    {
        return NGX_ERROR;
    }

    ctx->response.status = status;
    ctx->response.type = *type;
    ctx->response.body = *body;

    public->responded = 1;

    return NGX_DONE;
}


/* NGX_ABORT: the answer is to be replaced by ctx->public.refusal */

ngx_int_t
ngx_http_weir_response_hooks(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_int_t                       rc;
    ngx_uint_t                      i;
    const ngx_http_weir_plugin_t  **p;

    p = ctx->wmcf->plugins.elts;

    for (i = 0; i < ctx->wmcf->plugins.nelts; i++) {

        if (p[i]->response_headers == NULL) {
            continue;
        }

        rc = p[i]->response_headers(ctx->request, &ctx->public, p[i]->data);

        if (rc == NGX_OK || rc == NGX_DECLINED) {
            continue;
        }

        if (rc == NGX_ABORT && ctx->public.refusal) {
            return ngx_http_weir_refused(ctx, ctx->public.refusal);
        }

        rc = ngx_http_weir_failed(ctx, p[i], &ngx_http_weir_nobody);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    return NGX_OK;
}
