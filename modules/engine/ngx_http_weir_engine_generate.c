
/*
 * Weir: from a parsed request to its answer.  The events of all prompts and
 * choices meet in one weir_api_answer_t; this file submits, delivers, and
 * decides when what goes to the client.
 */


#include "ngx_http_weir_engine.h"

#include <sys/random.h>

#include <ngx_md5.h>


#define NGX_HTTP_WEIR_ENGINE_KEEPALIVE  15000
#define NGX_HTTP_WEIR_ENGINE_RETRY      50


static ngx_int_t ngx_http_weir_engine_prepare(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, weir_str_t body);
static weir_status_t ngx_http_weir_engine_open_answer(
    ngx_http_weir_engine_ctx_t *ctx);
static ngx_int_t ngx_http_weir_engine_submit(ngx_http_weir_engine_ctx_t *ctx);
static void ngx_http_weir_engine_cancel(ngx_http_weir_engine_ctx_t *ctx);
static void ngx_http_weir_engine_cleanup(void *data);
static void ngx_http_weir_engine_touch(ngx_http_weir_engine_ctx_t *ctx);
static void ngx_http_weir_engine_measure(ngx_http_weir_engine_ctx_t *ctx,
    uint32_t choice, const weir_event_t *event);
static void ngx_http_weir_engine_fail(ngx_http_weir_engine_ctx_t *ctx);
static ngx_int_t ngx_http_weir_engine_send_headers(
    ngx_http_weir_engine_ctx_t *ctx);
static void ngx_http_weir_engine_finish_stream(
    ngx_http_weir_engine_ctx_t *ctx);
static void ngx_http_weir_engine_finish_whole(
    ngx_http_weir_engine_ctx_t *ctx);
static void ngx_http_weir_engine_timer_handler(ngx_event_t *ev);


/* takes over the request: it is finalized here or later */

void
ngx_http_weir_engine_generate(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, weir_str_t body)
{
    ngx_http_cleanup_t  *cln;

    if (ngx_http_weir_engine_prepare(r, ctx, body) != NGX_OK) {
        ngx_http_finalize_request(r,
            ngx_http_weir_engine_send_error(r, &ctx->err, ctx->retry_ms));
        return;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    cln->handler = ngx_http_weir_engine_cleanup;
    cln->data = ctx;

    ctx->generating = 1;
    ngx_queue_insert_tail(&ctx->wmcf->live, &ctx->live);

    if (ngx_http_weir_engine_submit(ctx) != NGX_OK) {
        ctx->done = 1;
        ngx_http_finalize_request(r,
            ngx_http_weir_engine_send_error(r, &ctx->err, ctx->retry_ms));
        return;
    }

    /* not cancelable: a worker that shuts down waits for this request */

    ctx->timer.handler = ngx_http_weir_engine_timer_handler;
    ctx->timer.data = ctx;
    ctx->timer.log = r->connection->log;

    ngx_add_timer(&ctx->timer,
                  ctx->next < ctx->req.n_prompts
                  ? NGX_HTTP_WEIR_ENGINE_RETRY
                  : NGX_HTTP_WEIR_ENGINE_KEEPALIVE);

    ngx_http_weir_engine_watch(r);
}


/* on failure ctx->err and, for a state that passes, ctx->retry_ms are set */

static ngx_int_t
ngx_http_weir_engine_prepare(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, weir_str_t body)
{
    uint32_t          choices;
    weir_status_t     status;
    weir_api_kind_t   kind;
    weir_api_model_t  model;

    switch (ctx->route) {

    case NGX_HTTP_WEIR_ENGINE_CHAT:
        kind = WEIR_API_CHAT;
        break;

    case NGX_HTTP_WEIR_ENGINE_COMPLETIONS:
        kind = WEIR_API_COMPLETION;
        break;

    default:
        kind = WEIR_API_GENERATE;
    }

    if (weir_api_parse(kind, body, &ctx->wmcf->names, &ctx->arena, &ctx->req,
                       &ctx->err)
        != WEIR_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_weir_engine_ready(ctx->wmcf, &ctx->err, &ctx->retry_ms)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_weir_engine_model(ctx->wmcf, &model);

    if (weir_api_encode(&ctx->req, &model, ngx_time(), &ctx->arena, &ctx->err)
        != WEIR_OK)
    {
        return NGX_ERROR;
    }

    ctx->req.generate.cache_scope = ngx_http_weir_engine_scope(r);

    choices = ctx->req.n_prompts * ctx->req.generate.n;

    status = ngx_http_weir_engine_open_answer(ctx);

    ctx->gens = weir_arena_calloc(&ctx->arena, ctx->req.n_prompts,
                                  sizeof(ngx_http_weir_engine_gen_t));
    ctx->firsts = weir_arena_calloc(&ctx->arena, choices, sizeof(ngx_msec_t));
    ctx->counts = weir_arena_calloc(&ctx->arena, choices, sizeof(uint32_t));

    if (status != WEIR_OK || ctx->gens == NULL || ctx->firsts == NULL
        || ctx->counts == NULL)
    {
        weir_error(&ctx->err, WEIR_ERR_NOMEM, "no memory for the request");
        return NGX_ERROR;
    }

    return NGX_OK;
}


static weir_status_t
ngx_http_weir_engine_open_answer(ngx_http_weir_engine_ctx_t *ctx)
{
    u_char               random[12], id[2 * sizeof(random)];
    weir_api_identity_t  who;

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        return WEIR_ERR_IO;
    }

    (void) ngx_hex_dump(id, random, sizeof(random));

    who.id = weir_str((char *) id, sizeof(id));
    who.model = ctx->wmcf->names.id;
    who.fingerprint = weir_str((char *) ctx->wmcf->fingerprint,
                               ngx_strlen(ctx->wmcf->fingerprint));
    who.created = ngx_time();
    who.tokenizer = weir_engine_tokenizer(ctx->wmcf->engine);

    return weir_api_answer_open(&ctx->req, &who, &ctx->arena, &ctx->answer);
}


/* prefixes are shared only among requests of one scope; none is scope 0 */

uint64_t
ngx_http_weir_engine_scope(ngx_http_request_t *r)
{
    u_char      digest[16];
    uint64_t    scope;
    ngx_md5_t   md5;
    ngx_str_t  *value;

    value = ngx_http_weir_engine_find_header(r, "x-weir-cache-scope",
                                             sizeof("x-weir-cache-scope") - 1);

    if (value == NULL || value->len == 0) {
        return 0;
    }

    ngx_md5_init(&md5);
    ngx_md5_update(&md5, value->data, value->len);
    ngx_md5_final(digest, &md5);

    ngx_memcpy(&scope, digest, sizeof(scope));

    return scope;
}


/*
 * Hands as many prompts to the engine as the window allows.  A full queue is
 * the client's business only while nothing has been submitted; later the
 * timer tries again.
 */

static ngx_int_t
ngx_http_weir_engine_submit(ngx_http_weir_engine_ctx_t *ctx)
{
    weir_status_t                status;
    weir_generate_t             *generate;
    ngx_http_weir_engine_gen_t  *gen;

    generate = &ctx->req.generate;

    while (ctx->next < ctx->req.n_prompts
           && ctx->active < NGX_HTTP_WEIR_ENGINE_WINDOW)
    {
        gen = &ctx->gens[ctx->next];

        generate->prompt = ctx->req.prompts[ctx->next].ids;
        generate->n_prompt = ctx->req.prompts[ctx->next].n_ids;

        status = weir_engine_submit(ctx->wmcf->engine, generate, &gen->id,
                                    &ctx->retry_ms, &ctx->err);

        if (status == WEIR_ERR_BUSY && ctx->next > 0) {
            return NGX_OK;
        }

        if (status != WEIR_OK) {
            return NGX_ERROR;
        }

        gen->ctx = ctx;
        gen->prompt = ctx->next;
        gen->open = generate->n;

        ngx_http_weir_engine_track(gen);

        ctx->next++;
        ctx->active++;
    }

    return NGX_OK;
}


static void
ngx_http_weir_engine_cancel(ngx_http_weir_engine_ctx_t *ctx)
{
    uint32_t                     i;
    ngx_http_weir_engine_gen_t  *gen;

    for (i = 0; i < ctx->next; i++) {
        gen = &ctx->gens[i];

        if (gen->open) {
            gen->open = 0;
            ngx_queue_remove(&gen->queue);
            weir_engine_cancel(ctx->wmcf->engine, gen->id);
        }
    }

    ctx->active = 0;
}


/* the request ends, for whatever reason */

static void
ngx_http_weir_engine_cleanup(void *data)
{
    ngx_http_weir_engine_ctx_t *ctx = data;

    if (ctx->timer.timer_set) {
        ngx_del_timer(&ctx->timer);
    }

    if (ctx->queued) {
        ngx_queue_remove(&ctx->touched);
        ctx->queued = 0;
    }

    if (!ctx->done && !ctx->failed) {
        ctx->wmcf->metrics.disconnects++;
    }

    ngx_queue_remove(&ctx->live);

    ngx_http_weir_engine_remember(ctx);
    ngx_http_weir_engine_cancel(ctx);
}


static void
ngx_http_weir_engine_touch(ngx_http_weir_engine_ctx_t *ctx)
{
    if (!ctx->queued) {
        ngx_queue_insert_tail(&ctx->wmcf->touched, &ctx->touched);
        ctx->queued = 1;
    }
}


/* one event of one prompt; nothing is sent here, and the request stays */

void
ngx_http_weir_engine_deliver(ngx_http_weir_engine_gen_t *gen,
    const weir_event_t *event)
{
    weir_buf_t                         frames;
    weir_status_t                      status;
    ngx_http_weir_engine_ctx_t        *ctx;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    ctx = gen->ctx;
    wmcf = ctx->wmcf;

    ctx->started = 1;

    if (event->type == WEIR_EVENT_STARTED) {
        gen->begun = 1;
        gen->cached = event->cached_tokens;
    }

    if (event->choice < ctx->req.generate.n) {
        ngx_http_weir_engine_measure(ctx,
            gen->prompt * ctx->req.generate.n + event->choice, event);
    }

    if (event->type == WEIR_EVENT_FINISH && gen->open && --gen->open == 0) {
        ngx_queue_remove(&gen->queue);
        ctx->active--;
    }

    weir_arena_reset(&wmcf->scratch);
    weir_buf_init(&frames, &wmcf->scratch);

    status = weir_api_answer_event(ctx->answer, gen->prompt, event, &frames);

    if (status == WEIR_OK && frames.len
        && ngx_http_weir_engine_append(ctx, &frames) != NGX_OK)
    {
        status = WEIR_ERR_NOMEM;
    }

    if (status != WEIR_OK && !ctx->failed) {
        weir_error(&ctx->err, WEIR_ERR_NOMEM,
                   "The answer needs more memory than request_memory allows; "
                   "ask for fewer tokens, choices or log probabilities");
        ctx->failed = 1;
    }

    if (weir_api_answer_failed(ctx->answer) && !ctx->failed) {
        weir_error(&ctx->err, WEIR_ERR_INTERNAL,
                   "The engine could not complete the answer");
        ctx->failed = 1;
    }

    ngx_http_weir_engine_touch(ctx);
}


static void
ngx_http_weir_engine_measure(ngx_http_weir_engine_ctx_t *ctx, uint32_t choice,
    const weir_event_t *event)
{
    ngx_msec_t                       now;
    ngx_uint_t                       op;
    ngx_http_weir_engine_metrics_t  *m;

    m = &ctx->wmcf->metrics;
    op = (ctx->req.kind == WEIR_API_CHAT) ? 0 : 1;
    now = ngx_current_msec;

    if (event->completion_tokens > ctx->counts[choice]) {
        ctx->counts[choice] = event->completion_tokens;
    }

    if (event->type == WEIR_EVENT_TOKEN && ctx->firsts[choice] == 0) {
        ctx->firsts[choice] = now ? now : 1;

        if (ctx->first == 0) {
            ctx->first = ctx->firsts[choice];
            weir_histogram_add(&m->first_token[op],
                               (double) (now - ctx->start) / 1000);
        }
    }

    if (event->type == WEIR_EVENT_FINISH && ctx->firsts[choice]
        && ctx->counts[choice] > 1)
    {
        weir_histogram_add(&m->output_token[op],
                           (double) (now - ctx->firsts[choice]) / 1000
                           / (ctx->counts[choice] - 1));
    }
}


/* sends what can be sent; the request may be gone afterwards */

void
ngx_http_weir_engine_advance(ngx_http_weir_engine_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->done) {
        return;
    }

    if (!ctx->failed && ngx_http_weir_engine_submit(ctx) != NGX_OK) {
        ctx->failed = 1;
    }

    if (ctx->failed) {
        ngx_http_weir_engine_fail(ctx);
        return;
    }

    if (!ctx->req.stream) {
        if (weir_api_answer_complete(ctx->answer)) {
            ngx_http_weir_engine_finish_whole(ctx);
        }

        return;
    }

    if (!ctx->started) {
        return;
    }

    if (!r->header_sent) {
        rc = ngx_http_weir_engine_send_headers(ctx);

        if (rc == NGX_ERROR || rc > NGX_OK) {
            ngx_http_finalize_request(r, rc);
            return;
        }
    }

    if (weir_api_answer_complete(ctx->answer)) {
        ngx_http_weir_engine_finish_stream(ctx);
        return;
    }

    (void) ngx_http_weir_engine_flush(ctx, 0);
}


/* before the headers a plain error, later an event and the end, no [DONE] */

static void
ngx_http_weir_engine_fail(ngx_http_weir_engine_ctx_t *ctx)
{
    weir_buf_t           frames;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_weir_engine_cancel(ctx);

    if (!r->header_sent) {
        ctx->done = 1;
        ngx_http_finalize_request(r,
            ngx_http_weir_engine_send_error(r, &ctx->err, ctx->retry_ms));
        return;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "weir engine: %s",
                  ctx->err.message);

    weir_arena_reset(&ctx->wmcf->scratch);
    weir_buf_init(&frames, &ctx->wmcf->scratch);
    weir_api_answer_error(&ctx->err, &frames);

    r->keepalive = 0;

    if (frames.failed
        || ngx_http_weir_engine_append(ctx, &frames) != NGX_OK)
    {
        ngx_http_finalize_request(r, NGX_ERROR);
        return;
    }

    (void) ngx_http_weir_engine_flush(ctx, 1);
}


static ngx_int_t
ngx_http_weir_engine_send_headers(ngx_http_weir_engine_ctx_t *ctx)
{
    ngx_str_t            value;
    ngx_http_request_t  *r;
    weir_api_usage_t     usage;

    r = ctx->request;
    usage = weir_api_answer_usage(ctx->answer);

    if (ngx_http_weir_engine_add_number(r, "X-Weir-Prompt-Tokens",
                                        usage.prompt_tokens)
        != NGX_OK
        || ngx_http_weir_engine_add_number(r, "X-Weir-Cached-Tokens",
                                           usage.cached_tokens)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ctx->req.stream) {
        return ngx_http_weir_engine_add_number(r, "openai-processing-ms",
                                               ngx_current_msec - ctx->start);
    }

    ngx_str_set(&value, "no-cache");

    if (ngx_http_weir_engine_add_header(r, "Cache-Control", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "no");

    if (ngx_http_weir_engine_add_header(r, "X-Accel-Buffering", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->own = 1;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;

    ngx_str_set(&r->headers_out.content_type, "text/event-stream");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_send_header(r);
}


/* [DONE] and the end of the body leave in one write */

static void
ngx_http_weir_engine_finish_stream(ngx_http_weir_engine_ctx_t *ctx)
{
    weir_buf_t  frames;

    weir_arena_reset(&ctx->wmcf->scratch);
    weir_buf_init(&frames, &ctx->wmcf->scratch);

    if (weir_api_answer_end(ctx->answer, &frames) != WEIR_OK
        || ngx_http_weir_engine_append(ctx, &frames) != NGX_OK)
    {
        ngx_http_finalize_request(ctx->request, NGX_ERROR);
        return;
    }

    (void) ngx_http_weir_engine_flush(ctx, 1);
}


static void
ngx_http_weir_engine_finish_whole(ngx_http_weir_engine_ctx_t *ctx)
{
    weir_buf_t           body;
    ngx_http_request_t  *r;

    r = ctx->request;

    weir_buf_init(&body, &ctx->arena);

    if (weir_api_answer_end(ctx->answer, &body) != WEIR_OK) {
        weir_error(&ctx->err, WEIR_ERR_NOMEM,
                   "The answer needs more memory than request_memory allows; "
                   "ask for fewer tokens, choices or log probabilities");
        ctx->failed = 1;
        ngx_http_weir_engine_fail(ctx);
        return;
    }

    ctx->done = 1;

    if (ngx_http_weir_engine_send_headers(ctx) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    ngx_http_finalize_request(r,
                              ngx_http_weir_engine_send(r, NGX_HTTP_OK, &body));
}


/* submits what waits for room, and keeps silent streams alive */

static void
ngx_http_weir_engine_timer_handler(ngx_event_t *ev)
{
    ngx_uint_t                   waits;
    weir_buf_t                   frames;
    ngx_connection_t            *c;
    ngx_http_request_t          *r;
    ngx_http_weir_engine_ctx_t  *ctx;

    ctx = ev->data;
    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    waits = (ctx->next < ctx->req.n_prompts);

    ngx_add_timer(ev, waits ? NGX_HTTP_WEIR_ENGINE_RETRY
                            : NGX_HTTP_WEIR_ENGINE_KEEPALIVE);

    if (r->header_sent && ctx->req.stream && !ctx->done && ctx->busy == NULL
        && ngx_current_msec - ctx->last_sent >= NGX_HTTP_WEIR_ENGINE_KEEPALIVE)
    {
        weir_arena_reset(&ctx->wmcf->scratch);
        weir_buf_init(&frames, &ctx->wmcf->scratch);
        weir_buf_append_z(&frames, ": keep-alive\n\n");

        if (ngx_http_weir_engine_append(ctx, &frames) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_ERROR);
            ngx_http_run_posted_requests(c);
            return;
        }

        waits = 1;
    }

    if (waits) {
        ngx_http_weir_engine_advance(ctx);
    }

    ngx_http_run_posted_requests(c);
}
