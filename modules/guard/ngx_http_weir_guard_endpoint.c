
/*
 * Weir's guard as an endpoint: POST /v1/moderations in OpenAI's shape, and
 * POST /v1/guard/scan, which tells all that is found.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard_endpoint.h"


#define NGX_HTTP_WEIR_GUARD_SCAN  "/guard/scan"


static void ngx_http_weir_guard_body(ngx_http_request_t *r);
static void ngx_http_weir_guard_call_work(void *data);
static void ngx_http_weir_guard_call_worked(void *data);
static ngx_int_t ngx_http_weir_guard_call_part(
    ngx_http_weir_guard_call_t *call, weir_guard_scratch_t *scratch,
    weir_guard_fold_t *fold);
static void ngx_http_weir_guard_finish(ngx_http_weir_guard_call_t *call);
static ngx_int_t ngx_http_weir_guard_read_call(
    ngx_http_weir_guard_call_t *call);
static ngx_int_t ngx_http_weir_guard_bad_call(
    ngx_http_weir_guard_call_t *call, const char *message);
static ngx_int_t ngx_http_weir_guard_read_input(
    ngx_http_weir_guard_call_t *call, uint32_t input);
static ngx_int_t ngx_http_weir_guard_read_parts(
    ngx_http_weir_guard_call_t *call, uint32_t array);
static void ngx_http_weir_guard_add_text(ngx_http_weir_guard_call_t *call,
    uint32_t node, uint32_t result);
static ngx_int_t ngx_http_weir_guard_open_call(
    ngx_http_weir_guard_call_t *call);
static void ngx_http_weir_guard_step(ngx_event_t *ev);
static weir_request_action_t ngx_http_weir_guard_hit(void *data,
    const weir_guard_finding_t *f, weir_str_t value, weir_request_part_t part,
    uint32_t text, weir_str_t *replacement);
static bool ngx_http_weir_guard_take_scores(void *data,
    const weir_scores_t *scores, weir_str_t slice, weir_request_part_t part,
    uint32_t text);
static ngx_int_t ngx_http_weir_guard_refuse_call(
    ngx_http_weir_guard_call_t *call);
static ngx_int_t ngx_http_weir_guard_send(ngx_http_request_t *r,
    weir_buf_t *buf);
static void ngx_http_weir_guard_end_call(void *data);


static const ngx_http_weir_refusal_t  ngx_http_weir_guard_not_post =
    ngx_http_weir_refusal(NGX_HTTP_NOT_ALLOWED, "invalid_request_error",
                          "method_not_allowed",
                          "This path takes POST.", "method");


static const ngx_http_weir_refusal_t  ngx_http_weir_guard_not_here =
    ngx_http_weir_refusal(NGX_HTTP_NOT_FOUND, "invalid_request_error",
                          "unknown_path",
                          "Here are only /v1/moderations and "
                          "/v1/guard/scan.",
                          "unknown_path");


ngx_int_t
ngx_http_weir_guard_endpoint(ngx_http_request_t *r)
{
    ngx_int_t                         rc;
    ngx_pool_cleanup_t               *cln;
    ngx_http_weir_ctx_t              *ctx;
    ngx_http_weir_guard_call_t       *call;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    static ngx_str_t  allow = ngx_string("Allow");
    static ngx_str_t  post = ngx_string("POST");

    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }

    wgmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_guard_module);

    ctx = wgmcf->weir->get_ctx(r);

    if (ctx == NULL || ngx_http_weir_guard_worker(wgmcf) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->method != NGX_HTTP_POST) {

        /* the core knows the methods of the API's own path */

        if (ctx->endpoint.allow == NULL
            && wgmcf->weir->add_header(r, &allow, &post) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        return wgmcf->weir->refuse(r, &ngx_http_weir_guard_not_post);
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_guard_call_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    call = cln->data;
    ngx_memzero(call, sizeof(ngx_http_weir_guard_call_t));

    call->request = r;
    call->wgmcf = wgmcf;
    call->ctx = ctx;

    call->arena = wgmcf->weir->arena(ctx);

    cln->handler = ngx_http_weir_guard_end_call;

    if (r->uri.len >= sizeof("/moderations") - 1
        && ngx_strncmp(r->uri.data + r->uri.len
                       - (sizeof("/moderations") - 1), "/moderations",
                       sizeof("/moderations") - 1)
           == 0)
    {
        call->moderation = 1;

    } else if (r->uri.len < sizeof(NGX_HTTP_WEIR_GUARD_SCAN) - 1
               || ngx_strncmp(r->uri.data + r->uri.len
                              - (sizeof(NGX_HTTP_WEIR_GUARD_SCAN) - 1),
                              NGX_HTTP_WEIR_GUARD_SCAN,
                              sizeof(NGX_HTTP_WEIR_GUARD_SCAN) - 1)
                  != 0)
    {
        return wgmcf->weir->refuse(r, &ngx_http_weir_guard_not_here);
    }

    if (wgmcf->guards) {
        call->policy = weir_guards_find(wgmcf->guards,
                                        weir_str((char *) ctx->tenant.data,
                                                 ctx->tenant.len),
                                        weir_str((char *) ctx->team.data,
                                                 ctx->team.len),
                                        weir_str((char *) ctx->key_id.data,
                                                 ctx->key_id.len));
    }

    ngx_http_set_ctx(r, call, ngx_http_weir_guard_module);

    rc = ngx_http_read_client_request_body(r, ngx_http_weir_guard_body);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


static void
ngx_http_weir_guard_body(ngx_http_request_t *r)
{
    ngx_chain_t                 *cl;
    ngx_http_weir_guard_call_t  *call;

    call = ngx_http_get_module_ctx(r, ngx_http_weir_guard_module);

    for (cl = r->request_body ? r->request_body->bufs : NULL;
         cl;
         cl = cl->next)
    {
        call->len += ngx_buf_size(cl->buf);
    }

    if (call->len > NGX_HTTP_WEIR_GUARD_LARGE
        && call->wgmcf->weir->work(call->ctx, ngx_http_weir_guard_call_work,
                                   ngx_http_weir_guard_call_worked, call)
           == NGX_AGAIN)
    {
        return;
    }

    call->spare = call->wgmcf->spare;
    call->event.handler = ngx_http_weir_guard_step;
    call->event.data = call;
    call->event.log = r->connection->log;

    ngx_post_event(&call->event, &ngx_posted_next_events);
}


/* on a thread: all of it */

static void
ngx_http_weir_guard_call_work(void *data)
{
    ngx_http_weir_guard_call_t *call = data;

    weir_guard_fold_t      fold;
    weir_guard_scratch_t  *scratch;

    call->rc = NGX_ERROR;

    ngx_memzero(&fold, sizeof(weir_guard_fold_t));

    scratch = weir_guard_scratch_create();
    call->spare = weir_guard_scratch_create();

    if (scratch && call->spare) {
        do {
            call->rc = ngx_http_weir_guard_call_part(call, scratch, &fold);

        } while (call->rc == NGX_AGAIN && !call->ctx->unwanted);
    }

    weir_guard_fold_free(&fold);
    weir_guard_scratch_free(scratch);
    weir_guard_scratch_free(call->spare);
}


static void
ngx_http_weir_guard_call_worked(void *data)
{
    ngx_http_weir_guard_finish(data);
}


/* in the event loop: parts, as many as this turn has room for */

static void
ngx_http_weir_guard_step(ngx_event_t *ev)
{
    uint64_t                          before;
    ngx_http_weir_guard_call_t       *call;
    ngx_http_weir_guard_main_conf_t  *wgmcf;

    call = ev->data;
    wgmcf = call->wgmcf;

    do {
        before = call->scan ? weir_request_guard_scanned(call->scan) : 0;

        if (!ngx_http_weir_guard_turn(wgmcf, ev, call->len)) {
            return;
        }

        call->rc = ngx_http_weir_guard_call_part(call, wgmcf->scratch,
                                                 &wgmcf->fold);

        if (call->scan) {
            ngx_http_weir_guard_did(wgmcf,
                                    weir_request_guard_scanned(call->scan)
                                    - before);
        }

    } while (call->rc == NGX_AGAIN);

    ngx_http_weir_guard_finish(call);
}


/*
 * NGX_AGAIN: there are more parts; NGX_OK: call->out is the answer; NGX_ABORT:
 * call->wrong says why there is none; NGX_ERROR.
 */

static ngx_int_t
ngx_http_weir_guard_call_part(ngx_http_weir_guard_call_t *call,
    weir_guard_scratch_t *scratch, weir_guard_fold_t *fold)
{
    ngx_int_t  rc;

    if (call->scan == NULL) {
        rc = ngx_http_weir_guard_read_call(call);

        if (rc == NGX_OK) {
            rc = ngx_http_weir_guard_open_call(call);
        }

        return (rc == NGX_OK) ? NGX_AGAIN : rc;
    }

    switch (weir_request_guard_step(call->scan, scratch, fold,
                                    NGX_HTTP_WEIR_GUARD_STEP, NULL))
    {
    case WEIR_ERR_BUSY:
        return NGX_AGAIN;

    case WEIR_OK:
        weir_buf_init(&call->out, call->arena);
        ngx_http_weir_guard_write(call, &call->out);
        return NGX_OK;

    default:
        return NGX_ERROR;
    }
}


static void
ngx_http_weir_guard_finish(ngx_http_weir_guard_call_t *call)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = call->request->connection;

    switch (call->rc) {

    case NGX_OK:
        call->ctx->responded = 1;
        rc = ngx_http_weir_guard_send(call->request, &call->out);
        break;

    case NGX_ABORT:
        rc = ngx_http_weir_guard_refuse_call(call);
        break;

    default:
        rc = NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_finalize_request(call->request, rc);
    ngx_http_run_posted_requests(c);
}


/* NGX_OK: the texts are known; NGX_ABORT: call->wrong says why not */

static ngx_int_t
ngx_http_weir_guard_read_call(ngx_http_weir_guard_call_t *call)
{
    u_char              *p, *text;
    ssize_t              n;
    uint32_t             input;
    weir_error_t         err;
    ngx_chain_t         *cl;
    ngx_http_request_t  *r;

    r = call->request;

    text = weir_arena_alloc(call->arena, call->len + 1);
    if (text == NULL) {
        return NGX_ERROR;
    }

    p = text;

    for (cl = call->len ? r->request_body->bufs : NULL; cl; cl = cl->next) {

        if (!cl->buf->in_file) {
            p = ngx_cpymem(p, cl->buf->pos, ngx_buf_size(cl->buf));
            continue;
        }

        n = ngx_read_file(cl->buf->file, p, ngx_buf_size(cl->buf),
                          cl->buf->file_pos);

        if (n != (ssize_t) ngx_buf_size(cl->buf)) {
            return NGX_ERROR;
        }

        p += n;
    }

    if (weir_json_parse((char *) text, call->len, NULL, call->arena,
                        &call->doc, &err)
        != WEIR_OK)
    {
        return ngx_http_weir_guard_bad_call(call, err.message);
    }

    input = weir_json_get(&call->doc, 0, call->moderation ? "input" : "text");

    if (input == WEIR_JSON_NONE && !call->moderation) {
        input = weir_json_get(&call->doc, 0, "texts");
    }

    if (input == WEIR_JSON_NONE) {
        return ngx_http_weir_guard_bad_call(call, call->moderation
                                            ? "\"input\" is missing"
                                            : "\"text\" is missing");
    }

    return ngx_http_weir_guard_read_input(call, input);
}


static ngx_int_t
ngx_http_weir_guard_bad_call(ngx_http_weir_guard_call_t *call,
    const char *message)
{
    call->wrong.len = ngx_strlen(message);
    call->wrong.data = (u_char *) weir_arena_strndup(call->arena, message,
                                                     call->wrong.len);

    return (call->wrong.data == NULL) ? NGX_ERROR : NGX_ABORT;
}


static ngx_int_t
ngx_http_weir_guard_refuse_call(ngx_http_weir_guard_call_t *call)
{
    ngx_http_weir_refusal_t  *why;

    static const ngx_http_weir_refusal_t  invalid =
        ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                              "invalid_request", "", "invalid_request");

    why = weir_arena_alloc(call->arena, sizeof(ngx_http_weir_refusal_t));
    if (why == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *why = invalid;
    why->message = call->wrong;

    return call->wgmcf->weir->refuse(call->request, why);
}


/* a string; strings, each with a result; or parts, which have one together */

static ngx_int_t
ngx_http_weir_guard_read_input(ngx_http_weir_guard_call_t *call,
    uint32_t input)
{
    uint32_t          i, n, node;
    weir_json_type_t  type;

    type = weir_json_type(&call->doc, input);
    n = (type == WEIR_JSON_ARRAY) ? call->doc.nodes[input].size : 1;

    if (n == 0) {
        return ngx_http_weir_guard_bad_call(call, "there is no text");
    }

    call->list = (type == WEIR_JSON_ARRAY);

    call->texts = weir_arena_calloc(call->arena, n,
                                    sizeof(weir_request_text_t));
    call->result_of = weir_arena_calloc(call->arena, n, sizeof(uint32_t));
    call->results = weir_arena_calloc(call->arena, n,
                                      sizeof(ngx_http_weir_guard_result_t));

    if (call->texts == NULL || call->result_of == NULL
        || call->results == NULL)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        call->results[i].last = &call->results[i].hits;
    }

    if (type == WEIR_JSON_STRING) {
        call->nresults = 1;
        ngx_http_weir_guard_add_text(call, input, 0);
        return NGX_OK;
    }

    if (type != WEIR_JSON_ARRAY) {
        return ngx_http_weir_guard_bad_call(call,
                                            "expected a string or an array");
    }

    node = input + 1;

    if (call->moderation
        && weir_json_type(&call->doc, node) == WEIR_JSON_OBJECT)
    {
        return ngx_http_weir_guard_read_parts(call, input);
    }

    for (i = 0; i < n; i++) {

        if (weir_json_type(&call->doc, node) != WEIR_JSON_STRING) {
            return ngx_http_weir_guard_bad_call(call,
                                                "expected only strings");
        }

        ngx_http_weir_guard_add_text(call, node, i);
        node = call->doc.nodes[node].next;
    }

    call->nresults = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_guard_read_parts(ngx_http_weir_guard_call_t *call,
    uint32_t array)
{
    uint32_t  i, node, type, text;

    node = array + 1;
    call->nresults = 1;

    for (i = 0; i < call->doc.nodes[array].size; i++) {
        type = weir_json_get(&call->doc, node, "type");
        text = weir_json_get(&call->doc, node, "text");

        if (type != WEIR_JSON_NONE
            && weir_json_string_is(&call->doc, type, "image_url"))
        {
            call->results[0].images = 1;

        } else if (text != WEIR_JSON_NONE
                   && weir_json_type(&call->doc, text) == WEIR_JSON_STRING)
        {
            ngx_http_weir_guard_add_text(call, text, 0);

        } else {
            return ngx_http_weir_guard_bad_call(call,
                                                "expected parts of the type "
                                                "text or image_url");
        }

        node = call->doc.nodes[node].next;
    }

    return NGX_OK;
}


static void
ngx_http_weir_guard_add_text(ngx_http_weir_guard_call_t *call, uint32_t node,
    uint32_t result)
{
    call->texts[call->count].node = node;
    call->texts[call->count].part = WEIR_PART_USER;
    call->result_of[call->count] = result;
    call->results[result].texts = 1;
    call->count++;
}


static ngx_int_t
ngx_http_weir_guard_open_call(ngx_http_weir_guard_call_t *call)
{
    weir_request_guard_options_t  options;

    ngx_memzero(&options, sizeof(weir_request_guard_options_t));

    if (!call->moderation) {
        options.rules = call->policy ? call->policy->rules[WEIR_GUARD_INPUT]
                                     : call->wgmcf->rules;
    }

    options.model = &call->wgmcf->model;
    options.parts = 1u << WEIR_PART_USER;
    options.decide = ngx_http_weir_guard_hit;
    options.scored = ngx_http_weir_guard_take_scores;
    options.ctx = call;

    if (weir_request_guard_open(call->arena, &call->doc, call->texts,
                                call->count, &options, &call->scan)
        != WEIR_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static weir_request_action_t
ngx_http_weir_guard_hit(void *data, const weir_guard_finding_t *f,
    weir_str_t value, weir_request_part_t part, uint32_t text,
    weir_str_t *replacement)
{
    ngx_http_weir_guard_call_t *call = data;

    ngx_http_weir_guard_hit_t     *hit;
    ngx_http_weir_guard_result_t  *result;

    result = &call->results[call->result_of[text]];

    hit = weir_arena_alloc(call->arena, sizeof(ngx_http_weir_guard_hit_t));
    if (hit == NULL) {
        return WEIR_REQUEST_STOP;
    }

    hit->finding = *f;
    hit->next = NULL;

    /* without a policy as weir-guard does: it redacts */

    hit->action = call->policy
                  ? weir_guard_policy_judge(call->policy, WEIR_GUARD_INPUT,
                                            f, value, call->spare,
                                            replacement)
                  : WEIR_GUARD_REDACT;

    if (hit->action == WEIR_GUARD_ALLOW) {
        return WEIR_REQUEST_KEEP;
    }

    result->action = ngx_max(result->action, hit->action);

    *result->last = hit;
    result->last = &hit->next;

    return WEIR_REQUEST_KEEP;
}


static bool
ngx_http_weir_guard_take_scores(void *data, const weir_scores_t *scores,
    weir_str_t slice, weir_request_part_t part, uint32_t text)
{
    ngx_http_weir_guard_call_t *call = data;

    float                          block;
    ngx_uint_t                     i;
    weir_guard_action_t            action;
    ngx_http_weir_guard_result_t  *result;

    result = &call->results[call->result_of[text]];

    for (i = 0; i < WEIR_HEADS; i++) {
        result->scores.p[i] = ngx_max(result->scores.p[i], scores->p[i]);

        action = WEIR_GUARD_BLOCK;
        block = call->wgmcf->model.head[i].block;

        if (call->policy) {

            if (!call->policy->head[i].on) {
                continue;
            }

            action = call->policy->head[i].action;
            block = call->policy->head[i].block;
        }

        if (scores->p[i] >= block) {
            result->action = ngx_max(result->action, action);
        }
    }

    return 1;
}


static ngx_int_t
ngx_http_weir_guard_send(ngx_http_request_t *r, weir_buf_t *buf)
{
    ngx_int_t    rc;
    ngx_buf_t   *b;
    ngx_chain_t  out;

    if (buf->failed) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = (u_char *) buf->data;
    b->last = b->pos + buf->len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = buf->len;
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    return ngx_http_output_filter(r, &out);
}


static void
ngx_http_weir_guard_end_call(void *data)
{
    ngx_http_weir_guard_call_t *call = data;

    if (call->event.posted) {
        ngx_delete_posted_event(&call->event);
    }
}
