
/*
 * Weir's guard: requests.  What is large is scanned on a thread; else in
 * slices, between which other requests have their turn.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard.h"


static ngx_int_t ngx_http_weir_guard_begin(ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_read(ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_uncheckable(
    ngx_http_weir_guard_ctx_t *gctx, const ngx_http_weir_refusal_t *why);
static ngx_int_t ngx_http_weir_guard_stage(ngx_http_weir_guard_ctx_t *gctx);
static void ngx_http_weir_guard_work(void *data);
static void ngx_http_weir_guard_worked(void *data);
static ngx_int_t ngx_http_weir_guard_go(ngx_http_weir_guard_ctx_t *gctx);
static ngx_int_t ngx_http_weir_guard_part(ngx_http_weir_guard_ctx_t *gctx,
    weir_guard_scratch_t *scratch, weir_guard_fold_t *fold);
static ngx_int_t ngx_http_weir_guard_scan(ngx_http_weir_guard_ctx_t *gctx,
    weir_guard_scratch_t *scratch, weir_guard_fold_t *fold);
static ngx_int_t ngx_http_weir_guard_next(ngx_http_weir_guard_ctx_t *gctx,
    ngx_int_t rc);
static ngx_int_t ngx_http_weir_guard_edit(ngx_http_weir_guard_ctx_t *gctx);
static void ngx_http_weir_guard_handler(ngx_event_t *ev);
static void ngx_http_weir_guard_resume(ngx_http_weir_guard_ctx_t *gctx,
    ngx_int_t rc);
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


static const ngx_http_weir_refusal_t  ngx_http_weir_guard_undecoded =
    { NGX_HTTP_BAD_REQUEST,
      ngx_string("invalid_request_error"),
      ngx_string("content_not_checkable"),
      ngx_string("The gateway cannot check the content of this request: it "
                 "holds more encoded text than is decoded, or more values "
                 "than are listed."),
      ngx_string("content_opaque"),
      ngx_null_string,
      NGX_HTTP_WEIR_RETRY_NO,
      0 };


static const ngx_http_weir_refusal_t  ngx_http_weir_guard_tokens =
    { NGX_HTTP_BAD_REQUEST,
      ngx_string("invalid_request_error"),
      ngx_string("content_not_checkable"),
      ngx_string("The gateway cannot check the content of this request: it "
                 "holds token ids. Send text."),
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
    gctx->spare = wgmcf->spare;

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

    if (policy->rules[WEIR_GUARD_INPUT] == NULL
        && !policy->classifies[WEIR_GUARD_INPUT])
    {
        return NGX_DECLINED;
    }

    /* before a thread has the bits of gctx for itself */

    gctx->held = 1;

    rc = ngx_http_weir_guard_stage(gctx);

    if (rc != NGX_AGAIN) {
        gctx->held = 0;
    }

    return rc;
}


/*
 * A stage begins: the scan, or the edits.  NGX_AGAIN: it goes on by itself;
 * else what the hook returns.
 */

static ngx_int_t
ngx_http_weir_guard_stage(ngx_http_weir_guard_ctx_t *gctx)
{
    if (gctx->ctx->body.len > NGX_HTTP_WEIR_GUARD_LARGE
        && gctx->wgmcf->weir->work(gctx->ctx, ngx_http_weir_guard_work,
                                   ngx_http_weir_guard_worked, gctx)
           == NGX_AGAIN)
    {
        return NGX_AGAIN;
    }

    return ngx_http_weir_guard_go(gctx);
}


/* on a thread: all parts of the stage */

static void
ngx_http_weir_guard_work(void *data)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    weir_guard_fold_t      fold;
    weir_guard_scratch_t  *scratch, *spare;

    gctx->rc = NGX_ERROR;

    ngx_memzero(&fold, sizeof(weir_guard_fold_t));

    /* those of the worker are the event loop's */

    scratch = weir_guard_scratch_create();
    spare = weir_guard_scratch_create();

    gctx->spare = spare;

    if (scratch && spare) {
        do {
            gctx->rc = ngx_http_weir_guard_part(gctx, scratch, &fold);

        } while (gctx->rc == NGX_AGAIN && !gctx->ctx->unwanted);
    }

    gctx->spare = gctx->wgmcf->spare;

    weir_guard_fold_free(&fold);
    weir_guard_scratch_free(scratch);
    weir_guard_scratch_free(spare);
}


static void
ngx_http_weir_guard_worked(void *data)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    ngx_http_weir_guard_resume(gctx,
                               ngx_http_weir_guard_next(gctx, gctx->rc));
}


/*
 * In the event loop: parts of the stage, until the worker's share of the
 * loop's turn is used up; the rest in later turns.
 */

static ngx_int_t
ngx_http_weir_guard_go(ngx_http_weir_guard_ctx_t *gctx)
{
    uint64_t   before;
    ngx_int_t  rc;

    do {
        before = gctx->scan ? weir_request_guard_scanned(gctx->scan) : 0;

        if (!ngx_http_weir_guard_turn(gctx->wgmcf, &gctx->event,
                                      gctx->ctx->body.len)) {
            return NGX_AGAIN;
        }

        rc = ngx_http_weir_guard_part(gctx, gctx->wgmcf->scratch,
                                      &gctx->wgmcf->fold);

        if (gctx->scan) {
            ngx_http_weir_guard_did(gctx->wgmcf,
                                    weir_request_guard_scanned(gctx->scan)
                                    - before);
        }

    } while (rc == NGX_AGAIN);

    return ngx_http_weir_guard_next(gctx, rc);
}


/*
 * NGX_AGAIN: there are more parts; NGX_OK: it was the last; NGX_DECLINED:
 * there is nothing to guard; NGX_ABORT: the request is to be refused;
 * NGX_ERROR.
 */

static ngx_int_t
ngx_http_weir_guard_part(ngx_http_weir_guard_ctx_t *gctx,
    weir_guard_scratch_t *scratch, weir_guard_fold_t *fold)
{
    if (gctx->naming) {
        return ngx_http_weir_guard_rewrite(gctx);
    }

    if (gctx->scan == NULL) {
        return ngx_http_weir_guard_begin(gctx);
    }

    return ngx_http_weir_guard_scan(gctx, scratch, fold);
}


/* NGX_AGAIN: gctx->scan is open; else what ngx_http_weir_guard_part() does */

static ngx_int_t
ngx_http_weir_guard_begin(ngx_http_weir_guard_ctx_t *gctx)
{
    uint32_t                       count;
    ngx_int_t                      rc;
    weir_request_text_t           *texts;
    const weir_guard_policy_t     *policy;
    weir_request_guard_options_t   options;

    policy = gctx->policy;

    rc = ngx_http_weir_guard_read(gctx);

    if (rc != NGX_OK) {
        return rc;
    }

    if ((policy->scope[WEIR_GUARD_INPUT] & (1 << WEIR_PART_USER))
        && weir_request_has_token_ids(&gctx->doc)
        && ngx_http_weir_guard_uncheckable(gctx, &ngx_http_weir_guard_tokens)
           == NGX_ABORT)
    {
        return NGX_ABORT;
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

    return NGX_AGAIN;
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
        return ngx_http_weir_guard_uncheckable(gctx,
                                               &ngx_http_weir_guard_opaque);
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
        return ngx_http_weir_guard_uncheckable(gctx,
                                               &ngx_http_weir_guard_opaque);
    }

    gctx->own_body = 1;

    weir_edit_init(&gctx->edits, gctx->arena);

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_guard_uncheckable(ngx_http_weir_guard_ctx_t *gctx,
    const ngx_http_weir_refusal_t *why)
{
    ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_UNREADABLE);

    if (gctx->policy->shadow || gctx->policy->opaque[WEIR_GUARD_INPUT]) {
        return NGX_DECLINED;
    }

    gctx->uncheckable = why;

    return NGX_ABORT;
}


static ngx_int_t
ngx_http_weir_guard_scan(ngx_http_weir_guard_ctx_t *gctx,
    weir_guard_scratch_t *scratch, weir_guard_fold_t *fold)
{
    uint64_t                          before;
    weir_error_t                      err;
    weir_status_t                     rc;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = gctx->wgmcf;

    before = weir_request_guard_scanned(gctx->scan);

    err.message[0] = '\0';

    rc = weir_request_guard_step(gctx->scan, scratch, fold,
                                 NGX_HTTP_WEIR_GUARD_STEP, &err);

    (void) ngx_atomic_fetch_add(&wgmcf->sh->scanned[WEIR_GUARD_INPUT],
                                weir_request_guard_scanned(gctx->scan)
                                - before);

    switch (rc) {

    case WEIR_OK:

        if (weir_request_guard_truncated(gctx->scan)
            && ngx_http_weir_guard_uncheckable(gctx,
                                               &ngx_http_weir_guard_undecoded)
               == NGX_ABORT)
        {
            return NGX_ABORT;
        }

        return NGX_OK;

    case WEIR_ERR_BUSY:
        return NGX_AGAIN;

    case WEIR_ERR_STATE:
        return NGX_ABORT;

    default:
        ngx_log_error(NGX_LOG_ERR, gctx->request->connection->log, 0,
                      "guard: request \"%V\" could not be scanned: %s",
                      &gctx->ctx->request_id, err.message);
        ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_SCAN);
        return NGX_ERROR;
    }
}


/*
 * Behind a stage: NGX_AGAIN: the next one goes on by itself, or somebody else
 * is asked; else what the hook returns.
 */

static ngx_int_t
ngx_http_weir_guard_next(ngx_http_weir_guard_ctx_t *gctx, ngx_int_t rc)
{
    if (rc == NGX_ABORT) {

        if (gctx->uncheckable) {
            gctx->ctx->refusal = gctx->uncheckable;
            return NGX_ABORT;
        }

        return ngx_http_weir_guard_block(gctx);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    if (gctx->naming) {
        return gctx->made.len
               ? gctx->wgmcf->weir->replace_body(gctx->ctx, &gctx->made)
               : NGX_OK;
    }

    if (gctx->grey.failed || gctx->too_grey) {
        return ngx_http_weir_guard_consider(gctx, NGX_ERROR);
    }

    if (gctx->grey.len == 0) {
        return ngx_http_weir_guard_edit(gctx);
    }

    if (ngx_http_weir_guard_ask(gctx, weir_str(gctx->grey.data,
                                               gctx->grey.len),
                                gctx->ngrey, ngx_http_weir_guard_said)
        != NGX_OK)
    {
        return ngx_http_weir_guard_consider(gctx, NGX_ERROR);
    }

    return NGX_AGAIN;
}


/* all is decided: what is found is replaced */

static ngx_int_t
ngx_http_weir_guard_edit(ngx_http_weir_guard_ctx_t *gctx)
{
    gctx->naming = 1;

    if (!weir_request_guard_edits(gctx->scan)) {
        return NGX_OK;
    }

    return ngx_http_weir_guard_stage(gctx);
}


static void
ngx_http_weir_guard_handler(ngx_event_t *ev)
{
    ngx_http_weir_guard_ctx_t  *gctx;

    gctx = ev->data;

    ngx_http_weir_guard_resume(gctx, ngx_http_weir_guard_go(gctx));
}


/* the second opinion is there */

static void
ngx_http_weir_guard_said(ngx_http_weir_guard_ctx_t *gctx, ngx_int_t rc)
{
    ngx_http_weir_guard_resume(gctx, ngx_http_weir_guard_consider(gctx, rc));
}


static void
ngx_http_weir_guard_resume(ngx_http_weir_guard_ctx_t *gctx, ngx_int_t rc)
{
    if (rc == NGX_AGAIN) {
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

    return ngx_http_weir_guard_edit(gctx);
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

    weir_buf_append_z(&gctx->grey, gctx->ngrey ? "," : "");
    weir_json_write_string(&gctx->grey, slice);
    gctx->ngrey++;

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
