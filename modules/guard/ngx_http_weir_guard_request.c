
/*
 * Weir's guard: requests.  Texts are scanned in slices; between them other
 * requests have their turn.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>


static ngx_int_t ngx_http_weir_guard_begin(ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_read(ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_unreadable(
    ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_go(ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_rewrite(ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_open_names(
    ngx_http_weir_guard_ctx_t *gctx);
static void ngx_http_weir_guard_handler(ngx_event_t *ev);
static void ngx_http_weir_guard_said(ngx_http_weir_guard_ctx_t *gctx,
    ngx_int_t rc);
static ngx_int_t ngx_http_weir_guard_consider(ngx_http_weir_guard_ctx_t *gctx,
    ngx_int_t rc);
static ngx_int_t ngx_http_weir_guard_block(ngx_http_weir_guard_ctx_t *gctx);
static weir_request_action_t ngx_http_weir_guard_decide(void *data,
    const weir_guard_finding_t *f, weir_str_t value, weir_request_part_t part,
    uint32_t text, weir_str_t *replacement);
static bool ngx_http_weir_guard_scored(void *data,
    const weir_scores_t *scores, weir_str_t slice, weir_request_part_t part,
    uint32_t text);
static void ngx_http_weir_guard_reason(ngx_http_weir_guard_ctx_t *gctx,
    const char *type, const char *part);


static const ngx_http_weir_refusal_t  ngx_http_weir_guard_violation =
    { NGX_HTTP_BAD_REQUEST,
      ngx_string("invalid_request_error"),
      ngx_string("content_policy_violation"),
      ngx_null_string,
      ngx_string("content_policy"),
      ngx_null_string,
      NGX_HTTP_WEIR_RETRY_NO,
      0 };


static const ngx_http_weir_refusal_t  ngx_http_weir_guard_opaque =
    { NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
      ngx_string("invalid_request_error"),
      ngx_string("content_not_checkable"),
      ngx_string("The gateway cannot check the content of this request: it "
                 "takes JSON on this path."),
      ngx_string("content_opaque"),
      ngx_null_string,
      NGX_HTTP_WEIR_RETRY_NO,
      0 };


static const ngx_http_weir_refusal_t  ngx_http_weir_guard_unavailable =
    { NGX_HTTP_SERVICE_UNAVAILABLE,
      ngx_string("server_error"),
      ngx_string("guard_unavailable"),
      ngx_string("A content check could not be made, so the request was not "
                 "forwarded. Try again."),
      ngx_string("guard_unavailable"),
      ngx_null_string,
      NGX_HTTP_WEIR_RETRY_YES,
      0 };


ngx_int_t
ngx_http_weir_guard_request(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = data;

    ngx_int_t                    rc;
    ngx_uint_t                   i;
    weir_arena_t                *arena;
    const weir_guard_policy_t   *policy;
    ngx_http_weir_guard_ctx_t  **slot, *gctx;

    policy = ngx_http_weir_guard_policy(r, ctx, wgmcf);

    if (policy == NULL) {
        return NGX_DECLINED;
    }

    if (ngx_http_weir_guard_worker(wgmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    arena = wgmcf->weir->arena(ctx);

    gctx = weir_arena_calloc(arena, 1, sizeof(ngx_http_weir_guard_ctx_t));
    if (gctx == NULL) {
        return NGX_ERROR;
    }

    gctx->wgmcf = wgmcf;
    gctx->request = r;
    gctx->ctx = ctx;
    gctx->arena = arena;
    gctx->policy = policy;
    gctx->last = &gctx->notes;

    for (i = 0; i < weir_guards_count(wgmcf->guards); i++) {
        if (weir_guards_at(wgmcf->guards, i) == policy) {
            gctx->tier2 = &wgmcf->tier2[i];
        }
    }

    gctx->event.handler = ngx_http_weir_guard_handler;
    gctx->event.data = gctx;
    gctx->event.log = r->connection->log;

    weir_buf_init(&gctx->grey, arena);

    slot = (ngx_http_weir_guard_ctx_t **)
           wgmcf->weir->slot(ctx, &wgmcf->plugin);
    *slot = gctx;

    rc = ngx_http_weir_guard_begin(gctx);

    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_weir_guard_go(gctx);

    if (rc == NGX_AGAIN) {
        gctx->held = 1;

        if (!gctx->asking) {
            ngx_post_event(&gctx->event, &ngx_posted_next_events);
        }
    }

    return rc;
}


/* NGX_OK: gctx->scan is open; NGX_DECLINED: there is nothing to scan */

static ngx_int_t
ngx_http_weir_guard_begin(ngx_http_weir_guard_ctx_t *gctx)
{
    uint32_t                       count;
    ngx_int_t                      rc;
    weir_request_text_t           *texts;
    const weir_guard_policy_t     *policy;
    weir_request_guard_options_t   options;

    policy = gctx->policy;

    if (policy->rules[WEIR_GUARD_INPUT] == NULL
        && !policy->classifies[WEIR_GUARD_INPUT])
    {
        return NGX_DECLINED;
    }

    rc = ngx_http_weir_guard_read(gctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if (weir_request_texts(gctx->ctx->endpoint.endpoint, &gctx->doc,
                           gctx->arena, &texts, &count)
        != WEIR_OK)
    {
        return NGX_ERROR;
    }

    ngx_memzero(&options, sizeof(weir_request_guard_options_t));

    options.rules = policy->rules[WEIR_GUARD_INPUT];
    options.model = policy->classifies[WEIR_GUARD_INPUT]
                    ? &gctx->wgmcf->model : NULL;
    options.parts = policy->scope[WEIR_GUARD_INPUT];
    options.decide = ngx_http_weir_guard_decide;
    options.scored = ngx_http_weir_guard_scored;
    options.ctx = gctx;

    if (weir_request_guard_open(gctx->arena, &gctx->doc, texts, count,
                                &options, &gctx->scan)
        != WEIR_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* the body as JSON: the core's, or of a call that it does not understand */

static ngx_int_t
ngx_http_weir_guard_read(ngx_http_weir_guard_ctx_t *gctx)
{
    ngx_str_t           *body;
    weir_json_limits_t   limits;

    if (gctx->ctx->view && gctx->ctx->view->doc) {
        gctx->doc = *gctx->ctx->view->doc;
        return NGX_OK;
    }

    if (gctx->ctx->endpoint.why == WEIR_NOT_UPGRADE) {
        return ngx_http_weir_guard_unreadable(gctx);
    }

    body = &gctx->ctx->body;

    if (body->len == 0) {
        return NGX_DECLINED;
    }

    ngx_memzero(&limits, sizeof(weir_json_limits_t));
    limits.allow_duplicate_keys = 1;

    if (gctx->ctx->endpoint.why == WEIR_NOT_ENCODING
        || gctx->ctx->endpoint.why == WEIR_NOT_CHARSET
        || weir_json_parse((char *) body->data, body->len, &limits,
                           gctx->arena, &gctx->doc, NULL)
           != WEIR_OK)
    {
        return ngx_http_weir_guard_unreadable(gctx);
    }

    gctx->own_body = 1;

    weir_edit_init(&gctx->edits, gctx->arena);

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_guard_unreadable(ngx_http_weir_guard_ctx_t *gctx)
{
    ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_UNREADABLE);

    if (gctx->policy->shadow || gctx->policy->opaque[WEIR_GUARD_INPUT]) {
        return NGX_DECLINED;
    }

    gctx->ctx->refusal = &ngx_http_weir_guard_opaque;

    return NGX_ABORT;
}


/*
 * A part of the work.  NGX_AGAIN: there is more to do, or with gctx->asking
 * somebody else is asked; else what the hook returns.
 */

static ngx_int_t
ngx_http_weir_guard_go(ngx_http_weir_guard_ctx_t *gctx)
{
    uint64_t                          before;
    weir_error_t                      err;
    weir_status_t                     rc;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = gctx->wgmcf;

    if (gctx->naming) {
        return ngx_http_weir_guard_rewrite(gctx);
    }

    before = weir_request_guard_scanned(gctx->scan);

    err.message[0] = '\0';

    rc = weir_request_guard_step(gctx->scan, wgmcf->scratch, &wgmcf->fold,
                                 NGX_HTTP_WEIR_GUARD_STEP, &err);

    (void) ngx_atomic_fetch_add(&wgmcf->sh->scanned[WEIR_GUARD_INPUT],
                                weir_request_guard_scanned(gctx->scan)
                                - before);

    switch (rc) {

    case WEIR_OK:
        break;

    case WEIR_ERR_BUSY:
        return NGX_AGAIN;

    case WEIR_ERR_STATE:
        return ngx_http_weir_guard_block(gctx);

    default:
        ngx_log_error(NGX_LOG_ERR, gctx->request->connection->log, 0,
                      "guard: request \"%V\" could not be scanned: %s",
                      &gctx->ctx->request_id, err.message);
        ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_SCAN);
        return NGX_ERROR;
    }

    gctx->naming = 1;

    if (gctx->grey.failed || gctx->too_grey) {
        return ngx_http_weir_guard_consider(gctx, NGX_ERROR);
    }

    if (gctx->grey.len == 0) {
        return ngx_http_weir_guard_rewrite(gctx);
    }

    if (ngx_http_weir_guard_ask(gctx, weir_str(gctx->grey.data,
                                               gctx->grey.len),
                                ngx_http_weir_guard_said)
        != NGX_OK)
    {
        return ngx_http_weir_guard_consider(gctx, NGX_ERROR);
    }

    gctx->asking = 1;

    return NGX_AGAIN;
}


/* all is decided: what is found is replaced */

static ngx_int_t
ngx_http_weir_guard_rewrite(ngx_http_weir_guard_ctx_t *gctx)
{
    char                             *p;
    size_t                            len;
    ngx_str_t                         body;
    weir_edit_t                      *edit;
    weir_error_t                      err;
    weir_status_t                     rc;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = gctx->wgmcf;

    if (weir_request_guard_needs_names(gctx->scan)) {

        if (gctx->names == NULL
            && ngx_http_weir_guard_open_names(gctx) != NGX_OK)
        {
            return NGX_ERROR;
        }

        rc = weir_request_guard_names(gctx->scan, gctx->names,
                                      4 * NGX_HTTP_WEIR_GUARD_STEP);

        if (rc == WEIR_ERR_BUSY) {
            return NGX_AGAIN;
        }

        if (rc != WEIR_OK) {
            return NGX_ERROR;
        }
    }

    edit = gctx->own_body ? &gctx->edits : wgmcf->weir->edit(gctx->ctx);

    err.message[0] = '\0';

    rc = (edit == NULL) ? WEIR_ERR_STATE
         : weir_request_guard_edit(gctx->scan, gctx->names, edit,
                                   4 * NGX_HTTP_WEIR_GUARD_STEP, &err);

    if (rc == WEIR_ERR_BUSY) {
        return NGX_AGAIN;
    }

    if (rc != WEIR_OK) {
        ngx_log_error(NGX_LOG_ERR, gctx->request->connection->log, 0,
                      "guard: request \"%V\" could not be edited: %s",
                      &gctx->ctx->request_id, err.message);
        return NGX_ERROR;
    }

    if (!gctx->own_body || edit->count == 0) {
        return NGX_OK;
    }

    len = weir_edit_length(edit, gctx->ctx->body.len);

    p = weir_arena_alloc(gctx->arena, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    weir_edit_apply(edit, (char *) gctx->ctx->body.data, gctx->ctx->body.len,
                    p);

    body.data = (u_char *) p;
    body.len = len;

    return wgmcf->weir->replace_body(gctx->ctx, &body);
}


/* the key of a tenant's names is the policy's key, mixed with the tenant */

static ngx_int_t
ngx_http_weir_guard_open_names(ngx_http_weir_guard_ctx_t *gctx)
{
    u_char                     *key, digest[EVP_MAX_MD_SIZE];
    unsigned                    len;
    const weir_guard_policy_t  *policy;

    policy = gctx->policy;
    key = NULL;

    if (policy->names == WEIR_GUARD_NAMES_KEYED) {

        key = HMAC(EVP_sha256(), policy->key, sizeof(policy->key),
                   gctx->ctx->tenant.data, gctx->ctx->tenant.len, digest,
                   &len);

        if (key == NULL || len < WEIR_PLACEHOLDER_KEY_LEN) {
            return NGX_ERROR;
        }
    }

    if (weir_placeholders_open(gctx->arena, key, &gctx->names) != WEIR_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static void
ngx_http_weir_guard_handler(ngx_event_t *ev)
{
    ngx_int_t                   rc;
    ngx_http_weir_guard_ctx_t  *gctx;

    gctx = ev->data;

    rc = ngx_http_weir_guard_go(gctx);

    if (rc == NGX_AGAIN) {

        if (!gctx->asking) {
            ngx_post_event(ev, &ngx_posted_next_events);
        }

        return;
    }

    gctx->held = 0;

    gctx->wgmcf->weir->resume(gctx->ctx, rc);
}


/* the second opinion is there */

static void
ngx_http_weir_guard_said(ngx_http_weir_guard_ctx_t *gctx, ngx_int_t rc)
{
    gctx->asking = 0;

    rc = ngx_http_weir_guard_consider(gctx, rc);

    if (rc == NGX_AGAIN) {
        ngx_post_event(&gctx->event, &ngx_posted_next_events);
        return;
    }

    gctx->held = 0;

    gctx->wgmcf->weir->resume(gctx->ctx, rc);
}


static ngx_int_t
ngx_http_weir_guard_consider(ngx_http_weir_guard_ctx_t *gctx, ngx_int_t rc)
{
    const char           *name;
    weir_guard_action_t   action;

    if (rc == NGX_ERROR) {
        ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_TIER2);

        if (!gctx->policy->tier2.open) {
            gctx->ctx->refusal = &ngx_http_weir_guard_unavailable;
            return NGX_ABORT;
        }
    }

    if (rc == NGX_ABORT) {
        action = gctx->policy->head[gctx->grey_head].action;
        name = weir_head_name(gctx->grey_head);

        ngx_http_weir_guard_note(gctx, WEIR_GUARD_INPUT, name, "tier2",
                                 action, gctx->grey_score, weir_str("", 0));

        if (action == WEIR_GUARD_BLOCK) {
            ngx_http_weir_guard_reason(gctx, name, "request");
            return ngx_http_weir_guard_block(gctx);
        }

        if (action == WEIR_GUARD_ROUTE) {
            gctx->routed = 1;
        }
    }

    return ngx_http_weir_guard_rewrite(gctx);
}


static ngx_int_t
ngx_http_weir_guard_block(ngx_http_weir_guard_ctx_t *gctx)
{
    ngx_str_t                message;
    ngx_http_weir_refusal_t  why;

    why = ngx_http_weir_guard_violation;
    why.status = gctx->policy->block_status;

    message.data = (u_char *) gctx->policy->block_message.data;
    message.len = gctx->policy->block_message.len;

    gctx->blocked = 1;

    return gctx->wgmcf->weir->deny(gctx->ctx, &why, "%V (%V)", &message,
                                   &gctx->why);
}


static weir_request_action_t
ngx_http_weir_guard_decide(void *data, const weir_guard_finding_t *f,
    weir_str_t value, weir_request_part_t part, uint32_t text,
    weir_str_t *replacement)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    switch (ngx_http_weir_guard_judge(gctx, WEIR_GUARD_INPUT, f, value, 0,
                                      replacement))
    {
    case WEIR_GUARD_ALLOW:
    case WEIR_GUARD_FLAG:
        return WEIR_REQUEST_KEEP;

    case WEIR_GUARD_ROUTE:
        gctx->routed = 1;
        return WEIR_REQUEST_KEEP;

    case WEIR_GUARD_PLACEHOLDER:
        return WEIR_REQUEST_NAME;

    case WEIR_GUARD_BLOCK:
        ngx_http_weir_guard_reason(gctx, f->type,
                                   weir_request_part_name(part));
        return WEIR_REQUEST_STOP;

    default: /* redact, replace, mask */
        return WEIR_REQUEST_REPLACE;
    }
}


static bool
ngx_http_weir_guard_scored(void *data, const weir_scores_t *scores,
    weir_str_t slice, weir_request_part_t part, uint32_t text)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    ngx_uint_t  i, grey;

    switch (ngx_http_weir_guard_judge_scores(gctx, WEIR_GUARD_INPUT, scores,
                                             &grey))
    {
    case WEIR_GUARD_BLOCK:

        for (i = 0; i < WEIR_HEADS; i++) {
            if (gctx->policy->head[i].on
                && gctx->policy->head[i].action == WEIR_GUARD_BLOCK
                && scores->p[i] >= gctx->policy->head[i].block)
            {
                break;
            }
        }

        ngx_http_weir_guard_reason(gctx, weir_head_name(i),
                                   weir_request_part_name(part));
        return 0;

    case WEIR_GUARD_ROUTE:
        gctx->routed = 1;
        break;

    default:
        break;
    }

    if (!grey) {
        return 1;
    }

    if (gctx->grey.len + slice.len > NGX_HTTP_WEIR_GUARD_GREY) {
        gctx->too_grey = 1;
        return 1;
    }

    weir_buf_append_z(&gctx->grey, gctx->grey.len ? "," : "");
    weir_json_write_string(&gctx->grey, slice);

    return 1;
}


/* what the client is told: never the value */

static void
ngx_http_weir_guard_reason(ngx_http_weir_guard_ctx_t *gctx, const char *type,
    const char *part)
{
    weir_buf_t  buf;

    weir_buf_init(&buf, gctx->arena);
    weir_buf_printf(&buf, "%s in %s", type, part);

    if (!buf.failed) {
        gctx->why.data = (u_char *) buf.data;
        gctx->why.len = buf.len;
    }
}


ngx_int_t
ngx_http_weir_guard_route(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = data;

    ngx_http_weir_guard_ctx_t  *gctx;

    gctx = *wgmcf->weir->slot(ctx, &wgmcf->plugin);

    if (gctx == NULL || !gctx->routed
        || gctx->policy->route_target.len == 0)
    {
        return NGX_DECLINED;
    }

    ctx->route.data = (u_char *) gctx->policy->route_target.data;
    ctx->route.len = gctx->policy->route_target.len;

    return NGX_OK;
}


/* the hold ends without us: past its deadline, or the client has gone */

void
ngx_http_weir_guard_cancel(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = data;

    ngx_http_weir_guard_ctx_t  *gctx;

    gctx = *wgmcf->weir->slot(ctx, &wgmcf->plugin);

    if (gctx == NULL || !gctx->held) {
        return;
    }

    gctx->held = 0;

    if (!r->connection->error) {
        ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_TIMEOUT);
    }

    if (gctx->event.posted) {
        ngx_delete_posted_event(&gctx->event);
    }

    if (gctx->call) {
        wgmcf->client->cancel(gctx->call);
        gctx->call = NULL;
    }
}
