
/*
 * Weir's guard: answers, through the streaming redactor.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard.h"


static ngx_uint_t ngx_http_weir_guard_looks(ngx_http_weir_guard_ctx_t *gctx);
static ngx_uint_t ngx_http_weir_guard_type_is(ngx_http_request_t *r,
    const char *type, size_t len);
static bool ngx_http_weir_guard_slice(void *data, size_t size);
static void ngx_http_weir_guard_slice_handler(ngx_event_t *ev);
static weir_guard_scratch_t *ngx_http_weir_guard_answer_scratch(void *data,
    bool *elsewhere);
static void ngx_http_weir_guard_landed(void *data);
static void ngx_http_weir_guard_closed(void *data);
static ngx_int_t ngx_http_weir_guard_on_block(
    ngx_http_weir_guard_ctx_t *gctx, weir_stop_t *stop);
static uint32_t ngx_http_weir_guard_kinds(uint32_t parts);
static weir_redact_action_t ngx_http_weir_guard_decide_answer(void *data,
    const weir_guard_finding_t *f, weir_str_t value, bool repeat,
    weir_str_t *replacement);
static weir_check_t ngx_http_weir_guard_check(void *data, const char *text,
    size_t len, size_t fresh, bool last);
static weir_check_t ngx_http_weir_guard_ask_window(
    ngx_http_weir_guard_ctx_t *gctx, const char *text, size_t len,
    uint64_t hash);
static ngx_int_t ngx_http_weir_guard_start_ask(
    ngx_http_weir_guard_ctx_t *gctx, weir_buf_t *text, uint64_t hash);
static void ngx_http_weir_guard_window_said(ngx_http_weir_guard_ctx_t *gctx,
    ngx_int_t rc);


static const ngx_http_weir_refusal_t  ngx_http_weir_guard_opaque_answer =
    { NGX_HTTP_BAD_GATEWAY,
      ngx_string("server_error"),
      ngx_string("content_not_checkable"),
      ngx_string("The gateway cannot check the content of this answer: it is "
                 "neither JSON nor an event stream."),
      ngx_string("content_opaque"),
      ngx_null_string,
      NGX_HTTP_WEIR_RETRY_NO,
      0 };


ngx_int_t
ngx_http_weir_guard_headers(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = data;

    ngx_str_t                   text;
    ngx_http_weir_guard_ctx_t  *gctx;

    static ngx_str_t  name = ngx_string("X-Weir-Guard");

    gctx = *wgmcf->weir->slot(ctx, &wgmcf->plugin);

    if (gctx == NULL) {
        return NGX_DECLINED;
    }

    if (gctx->policy->explain) {
        switch (ngx_http_weir_guard_explain(gctx, &text)) {

        case NGX_OK:
            if (wgmcf->weir->add_header(r, &name, &text) != NGX_OK) {
                return NGX_ERROR;
            }

            break;

        case NGX_DECLINED:
            break;

        default:
            return NGX_ERROR;
        }
    }

    if (!ngx_http_weir_guard_looks(gctx)
        || ctx->responded
        || gctx->policy->shadow
        || gctx->policy->opaque[WEIR_GUARD_OUTPUT]
        || r->headers_out.status < NGX_HTTP_OK
        || r->headers_out.status >= NGX_HTTP_SPECIAL_RESPONSE
        || r->headers_out.status == NGX_HTTP_NO_CONTENT
        || r->header_only
        || r->method == NGX_HTTP_HEAD
        || r->headers_out.content_length_n == 0)
    {
        return NGX_OK;
    }

    if (ngx_http_weir_guard_type_is(r, "application/json",
                                    sizeof("application/json") - 1)
        || ngx_http_weir_guard_type_is(r, "text/event-stream",
                                       sizeof("text/event-stream") - 1))
    {
        return NGX_OK;
    }

    ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_UNREADABLE);

    ctx->refusal = &ngx_http_weir_guard_opaque_answer;

    return NGX_ABORT;
}


/* whether the policy has anything to do with answers */

static ngx_uint_t
ngx_http_weir_guard_looks(ngx_http_weir_guard_ctx_t *gctx)
{
    return gctx->policy->scope[WEIR_GUARD_OUTPUT] != 0
           && (gctx->policy->rules[WEIR_GUARD_OUTPUT] != NULL
               || gctx->policy->classifies[WEIR_GUARD_OUTPUT]);
}


static ngx_uint_t
ngx_http_weir_guard_type_is(ngx_http_request_t *r, const char *type,
    size_t len)
{
    u_char      ch;
    ngx_str_t  *value;

    value = &r->headers_out.content_type;

    if (value->len < len
        || ngx_strncasecmp(value->data, (u_char *) type, len) != 0)
    {
        return 0;
    }

    if (value->len == len) {
        return 1;
    }

    ch = value->data[len];

    return ch == ';' || ch == ' ' || ch == '\t';
}


ngx_int_t
ngx_http_weir_guard_open(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    weir_filter_t *filter, void *data)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = data;

    ngx_uint_t                  looks;
    weir_redact_options_t       options;
    const weir_guard_policy_t  *policy;
    ngx_http_weir_guard_ctx_t  *gctx;

    gctx = *wgmcf->weir->slot(ctx, &wgmcf->plugin);

    if (gctx == NULL || gctx->redact) {
        return NGX_DECLINED;
    }

    policy = gctx->policy;
    looks = ngx_http_weir_guard_looks(gctx);

    /* vectors hold no text */

    if ((!looks && gctx->names == NULL)
        || ctx->endpoint.endpoint == WEIR_ENDPOINT_EMBEDDINGS
        || ctx->endpoint.endpoint == WEIR_ENDPOINT_POOLING)
    {
        return NGX_DECLINED;
    }

    ngx_memzero(&options, sizeof(weir_redact_options_t));

    options.protocol = ctx->endpoint.protocol;
    options.text.scratch = wgmcf->scratch;
    options.text.max_held = policy->max_held;
    options.text.window = policy->window;
    options.text.ctx = gctx;
    options.text.decide = ngx_http_weir_guard_decide_answer;
    options.text.mode = WEIR_REDACT_HOLDBACK;
    options.max_queued = policy->max_held;

    if (looks) {
        options.text.rules = policy->rules[WEIR_GUARD_OUTPUT];
        options.skip_kinds = ~ngx_http_weir_guard_kinds(
                                            policy->scope[WEIR_GUARD_OUTPUT]);

        switch (policy->mode) {

        case WEIR_GUARD_HOLDBACK:
            break;

        case WEIR_GUARD_WINDOW:
            options.text.mode = WEIR_REDACT_WINDOW;
            break;

        case WEIR_GUARD_BUFFER:
            options.text.mode = WEIR_REDACT_BUFFER;
            break;

        case WEIR_GUARD_OBSERVE:
            options.text.mode = WEIR_REDACT_OBSERVE;
            break;
        }

        if (policy->shadow) {
            options.text.mode = WEIR_REDACT_OBSERVE;
        }

        gctx->slice.handler = ngx_http_weir_guard_slice_handler;
        gctx->slice.data = gctx;
        gctx->slice.log = r->connection->log;

        options.turn = ngx_http_weir_guard_slice;
        options.scratch = ngx_http_weir_guard_answer_scratch;
        options.landed = ngx_http_weir_guard_landed;
        options.closed = ngx_http_weir_guard_closed;

        weir_buf_init(&gctx->later, gctx->arena);

        if (policy->classifies[WEIR_GUARD_OUTPUT]) {
            options.text.check = ngx_http_weir_guard_check;
        }
    }

    if (gctx->names) {
        options.text.restore = gctx->names;
        options.restore_kinds = ngx_http_weir_guard_kinds(policy->restore);
    }

    if (ngx_http_weir_guard_on_block(gctx, &options.on_block) != NGX_OK) {
        return NGX_ERROR;
    }

    if (weir_redact_open(gctx->arena, &options, &gctx->redact) != WEIR_OK) {
        return NGX_ERROR;
    }

    *filter = weir_redact_filter(gctx->redact);

    return NGX_OK;
}


/* a slice of a long text */

static bool
ngx_http_weir_guard_slice(void *data, size_t size)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    if (gctx->ctx->on_thread) {
        return 1;
    }

    if (!ngx_http_weir_guard_turn(gctx->wgmcf, &gctx->slice, size)) {
        return 0;
    }

    ngx_http_weir_guard_did(gctx->wgmcf, size);

    return 1;
}


static void
ngx_http_weir_guard_slice_handler(ngx_event_t *ev)
{
    ngx_http_weir_guard_ctx_t *gctx = ev->data;

    gctx->wgmcf->weir->wake(gctx->ctx);
}


/* those of the worker are the event loop's */

static weir_guard_scratch_t *
ngx_http_weir_guard_answer_scratch(void *data, bool *elsewhere)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    *elsewhere = (gctx->ctx->on_thread != 0);

    if (!gctx->ctx->on_thread) {
        gctx->spare = gctx->wgmcf->spare;
        return gctx->wgmcf->scratch;
    }

    if (gctx->scratch == NULL) {
        gctx->scratch = weir_guard_scratch_create();
    }

    if (gctx->scratch_spare == NULL) {
        gctx->scratch_spare = weir_guard_scratch_create();
    }

    gctx->spare = gctx->scratch_spare;

    return gctx->scratch_spare ? gctx->scratch : NULL;
}


/* by the thread that has used it: it may be megabytes */

static void
ngx_http_weir_guard_closed(void *data)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    gctx->spare = gctx->wgmcf->spare;

    weir_guard_fold_free(&gctx->fold);
    weir_guard_scratch_free(gctx->scratch);
    weir_guard_scratch_free(gctx->scratch_spare);

    gctx->scratch = NULL;
    gctx->scratch_spare = NULL;
}


/* what a thread could not ask is asked now */

static void
ngx_http_weir_guard_landed(void *data)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    if (gctx->later.len == 0) {
        return;
    }

    if (ngx_http_weir_guard_start_ask(gctx, &gctx->later, gctx->later_hash)
        != NGX_OK)
    {
        /* as if it had been answered */

        gctx->asked = gctx->later_hash;
        gctx->verdict = 1;
        gctx->stop = !gctx->policy->tier2.open;

        ngx_post_event(&gctx->slice, &ngx_posted_next_events);
    }

    weir_buf_init(&gctx->later, gctx->arena);
}


static ngx_int_t
ngx_http_weir_guard_on_block(ngx_http_weir_guard_ctx_t *gctx,
    weir_stop_t *stop)
{
    const weir_guard_policy_t  *policy;

    policy = gctx->policy;

    stop->reason = policy->block_in_band ? WEIR_STOP_ERROR
                                         : WEIR_STOP_CONTENT_FILTER;
    stop->status = policy->block_status;
    stop->type = "invalid_request_error";
    stop->code = "content_policy_violation";
    stop->message = weir_arena_strndup(gctx->arena,
                                       policy->block_message.data,
                                       policy->block_message.len);

    return (stop->message == NULL) ? NGX_ERROR : NGX_OK;
}


/* kinds of texts, as bits, from parts of answers */

static uint32_t
ngx_http_weir_guard_kinds(uint32_t parts)
{
    uint32_t  kinds;

    kinds = 0;

    if (parts & WEIR_GUARD_CONTENT) {
        kinds |= 1u << WEIR_TEXT_CONTENT | 1u << WEIR_TEXT_REFUSAL
                 | 1u << WEIR_TEXT_OTHER;
    }

    if (parts & WEIR_GUARD_REASONING) {
        kinds |= 1u << WEIR_TEXT_REASONING;
    }

    if (parts & WEIR_GUARD_TOOL_ARGUMENTS) {
        kinds |= 1u << WEIR_TEXT_ARGUMENTS | 1u << WEIR_TEXT_INPUT;
    }

    return kinds;
}


static weir_redact_action_t
ngx_http_weir_guard_decide_answer(void *data, const weir_guard_finding_t *f,
    weir_str_t value, bool repeat, weir_str_t *replacement)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    switch (ngx_http_weir_guard_judge(gctx, WEIR_GUARD_OUTPUT, f, value,
                                      repeat, replacement))
    {
    case WEIR_GUARD_ALLOW:
    case WEIR_GUARD_FLAG:
    case WEIR_GUARD_ROUTE:
        return WEIR_REDACT_KEEP;

    case WEIR_GUARD_BLOCK:
        gctx->blocked = 1;
        return WEIR_REDACT_STOP;

    default: /* redact, replace, mask */
        return WEIR_REDACT_REPLACE;
    }
}


/* text that is about to leave: classifiers, and the second opinion */

static weir_check_t
ngx_http_weir_guard_check(void *data, const char *text, size_t len,
    size_t fresh, bool last)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    size_t                            i;
    uint64_t                          hash;
    ngx_uint_t                        grey;
    weir_scores_t                     scores;
    weir_guard_fold_t                *fold;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    wgmcf = gctx->wgmcf;

    if (len == 0) {
        return WEIR_CHECK_PASS;
    }

    hash = 0xcbf29ce484222325u;

    for (i = 0; gctx->asked && i < len; i++) {
        hash = (hash ^ (u_char) text[i]) * 0x100000001b3u;
    }

    /* the same text again: its verdict has been waited for */

    if (gctx->asked && gctx->asked == hash) {

        if (!gctx->verdict) {
            return WEIR_CHECK_WAIT;
        }

        gctx->asked = 0;
        gctx->blocked |= gctx->stop;

        return gctx->stop ? WEIR_CHECK_STOP : WEIR_CHECK_PASS;
    }

    fold = gctx->ctx->on_thread ? &gctx->fold : &wgmcf->fold;

    if (weir_classify_text(&wgmcf->model, fold, text, len, &scores, NULL)
        != WEIR_OK)
    {
        ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_SCAN);
        return WEIR_CHECK_STOP;
    }

    gctx->grey_score = 0;

    if (ngx_http_weir_guard_judge_scores(gctx, WEIR_GUARD_OUTPUT, &scores,
                                         &grey)
        == WEIR_GUARD_BLOCK)
    {
        gctx->blocked = 1;
        return WEIR_CHECK_STOP;
    }

    if (!grey) {
        return WEIR_CHECK_PASS;
    }

    hash = 0xcbf29ce484222325u;

    for (i = 0; i < len; i++) {
        hash = (hash ^ (u_char) text[i]) * 0x100000001b3u;
    }

    return ngx_http_weir_guard_ask_window(gctx, text, len, hash);
}


static weir_check_t
ngx_http_weir_guard_ask_window(ngx_http_weir_guard_ctx_t *gctx,
    const char *text, size_t len, uint64_t hash)
{
    weir_buf_t  buf;

    if (gctx->call || gctx->later.len) {
        return WEIR_CHECK_WAIT;
    }

    weir_buf_init(&buf, gctx->arena);
    weir_json_write_string(&buf, weir_str(text, len));

    if (gctx->ctx->on_thread && !buf.failed) {
        gctx->later = buf;
        gctx->later_hash = hash;
        return WEIR_CHECK_WAIT;
    }

    if (ngx_http_weir_guard_start_ask(gctx, &buf, hash) != NGX_OK) {
        return gctx->policy->tier2.open ? WEIR_CHECK_PASS : WEIR_CHECK_STOP;
    }

    return WEIR_CHECK_WAIT;
}


static ngx_int_t
ngx_http_weir_guard_start_ask(ngx_http_weir_guard_ctx_t *gctx,
    weir_buf_t *text, uint64_t hash)
{
    if (text->failed
        || ngx_http_weir_guard_ask(gctx, weir_str(text->data, text->len), 1,
                                   ngx_http_weir_guard_window_said)
           != NGX_OK)
    {
        ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_TIER2);
        return NGX_ERROR;
    }

    gctx->asked = hash;
    gctx->verdict = 0;
    gctx->stop = 0;

    return NGX_OK;
}


static void
ngx_http_weir_guard_window_said(ngx_http_weir_guard_ctx_t *gctx, ngx_int_t rc)
{
    weir_guard_action_t  action;

    /* a thread looks at what is left of an answer whose client has gone */

    if (gctx->ctx->on_thread) {
        return;
    }

    gctx->verdict = 1;

    if (rc == NGX_ABORT) {
        action = gctx->policy->head[gctx->grey_head].action;

        if (action == WEIR_GUARD_ROUTE) {
            action = WEIR_GUARD_FLAG;
        }

        ngx_http_weir_guard_note(gctx, WEIR_GUARD_OUTPUT,
                                 weir_head_name(gctx->grey_head), "tier2",
                                 action, gctx->grey_score, weir_str("", 0));

        gctx->stop = (action == WEIR_GUARD_BLOCK);
    }

    if (rc == NGX_ERROR) {
        ngx_http_weir_guard_failed(gctx, NGX_HTTP_WEIR_GUARD_FAILED_TIER2);
        gctx->stop = !gctx->policy->tier2.open;
    }

    /* the request may be gone behind this */

    gctx->wgmcf->weir->wake(gctx->ctx);
}


/* verdicts of what never left are recorded as well */

void
ngx_http_weir_guard_settled(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_http_weir_guard_main_conf_t *wgmcf = data;

    const weir_redact_stats_t  *stats;
    ngx_http_weir_guard_ctx_t  *gctx;

    gctx = *wgmcf->weir->slot(ctx, &wgmcf->plugin);

    if (gctx == NULL) {
        return;
    }

    if (gctx->event.posted) {
        ngx_delete_posted_event(&gctx->event);
    }

    if (gctx->slice.posted) {
        ngx_delete_posted_event(&gctx->slice);
    }

    if (gctx->call) {
        wgmcf->client->cancel(gctx->call);
        gctx->call = NULL;
    }

    if (gctx->redact) {
        weir_redact_close(gctx->redact);

        stats = weir_redact_stats(gctx->redact);

        (void) ngx_atomic_fetch_add(&wgmcf->sh->scanned[WEIR_GUARD_OUTPUT],
                                    stats->scanned);
        (void) ngx_atomic_fetch_add(&wgmcf->sh->restored, stats->restored);
    }

    ngx_http_weir_guard_log(gctx);
}
