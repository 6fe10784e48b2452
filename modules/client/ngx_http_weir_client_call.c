
/*
 * Weir: a call's life.  It begins from the event loop, a moment after
 * start(), so that its handler is never called from within start(); it ends
 * once, by its answer, an error, its deadline or cancel().
 */


#include "ngx_http_weir_client_module.h"


static ngx_int_t ngx_http_weir_client_prepare(
    ngx_http_weir_client_call_t *call,
    const ngx_http_weir_client_request_t *rq);
static ngx_int_t ngx_http_weir_client_set_url(
    ngx_http_weir_client_call_t *call,
    const ngx_http_weir_client_request_t *rq);
static ngx_int_t ngx_http_weir_client_set_key(
    ngx_http_weir_client_call_t *call);
static void ngx_http_weir_client_reject(ngx_http_weir_client_call_t *call,
    ngx_http_weir_client_error_e error, const char *text);
static void ngx_http_weir_client_timer_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_weir_client_answer(
    ngx_http_weir_client_call_t *call, ngx_http_weir_client_answer_t *answer);
static void ngx_http_weir_client_end(ngx_http_weir_client_call_t *call,
    ngx_http_weir_client_answer_t *answer);
static void ngx_http_weir_client_detach(ngx_http_weir_client_call_t *call,
    ngx_uint_t keep);
static void ngx_http_weir_client_free(ngx_http_weir_client_call_t *call);


static ngx_str_t  ngx_http_weir_client_error_names[] = {
    ngx_string("ok"),
    ngx_string("invalid"),
    ngx_string("forbidden"),
    ngx_string("busy"),
    ngx_string("resolve"),
    ngx_string("connect"),
    ngx_string("tls"),
    ngx_string("timeout"),
    ngx_string("too_large"),
    ngx_string("protocol"),
    ngx_string("closed"),
    ngx_string("memory")
};


static char  *ngx_http_weir_client_states[] = {
    "waiting to start",
    "looking up the name",
    "connecting",
    "in the TLS handshake",
    "sending the request",
    "waiting for the answer"
};


ngx_http_weir_client_call_t *
ngx_http_weir_client_start(const ngx_http_weir_client_request_t *rq,
    ngx_http_weir_client_handler_pt handler, void *data)
{
    ngx_pool_t                        *pool;
    ngx_http_weir_client_call_t       *call;
    ngx_http_weir_client_main_conf_t  *wmcf;

    wmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_weir_client_module);

    if (rq->target) {
        wmcf = rq->target->wmcf;
    }

    if (wmcf == NULL) {
        return NULL;
    }

    pool = ngx_create_pool(2048, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    call = ngx_pcalloc(pool, sizeof(ngx_http_weir_client_call_t));
    if (call == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    call->pool = pool;
    call->wmcf = wmcf;
    call->handler = handler;
    call->data = data;
    call->begun = ngx_current_msec;
    call->deadline = rq->deadline ? rq->deadline : wmcf->timeout;
    call->once = rq->once;
    call->background = rq->background;

    weir_arena_init(&call->arena, 4096, 0);

    if (ngx_http_weir_client_prepare(call, rq) != NGX_OK) {
        weir_arena_free(&call->arena);
        ngx_destroy_pool(pool);
        return NULL;
    }

    ngx_queue_insert_tail(&wmcf->calls, &call->queue);
    wmcf->ncalls++;

    call->timer.handler = ngx_http_weir_client_timer_handler;
    call->timer.data = call;
    call->timer.log = ngx_cycle->log;
    call->timer.cancelable = call->background;

    ngx_add_timer(&call->timer, 0);

    return call;
}


/* NGX_ERROR is for want of memory only */

static ngx_int_t
ngx_http_weir_client_prepare(ngx_http_weir_client_call_t *call,
    const ngx_http_weir_client_request_t *rq)
{
    ngx_int_t                          rc;
    const char                        *wrong;
    ngx_http_weir_client_main_conf_t  *wmcf;

    wmcf = call->wmcf;

    ngx_str_set(&call->where, "an outgoing call");

    wrong = ngx_http_weir_client_check(rq);

    if (wrong) {
        ngx_http_weir_client_reject(call, NGX_HTTP_WEIR_CLIENT_INVALID,
                                    wrong);
        return NGX_OK;
    }

    rc = ngx_http_weir_client_set_url(call, rq);

    if (rc != NGX_OK) {
        return (rc == NGX_DECLINED) ? NGX_OK : NGX_ERROR;
    }

    if (ngx_http_weir_client_set_key(call) != NGX_OK) {
        return NGX_ERROR;
    }

    if (wmcf->ncalls >= wmcf->max_calls) {
        ngx_http_weir_client_reject(call, NGX_HTTP_WEIR_CLIENT_BUSY,
                                    "too many calls are under way "
                                    "(weir_client_max_calls)");
        return NGX_OK;
    }

    call->limits.max_header = wmcf->max_header;
    call->limits.max_fields = NGX_HTTP_WEIR_CLIENT_MAX_FIELDS;
    call->limits.max_body = rq->max_body ? rq->max_body : wmcf->max_body;
    call->limits.head = rq->method.len == 4
                        && ngx_strncmp(rq->method.data, "HEAD", 4) == 0;

    call->request = ngx_http_weir_client_write(call, rq);

    return (call->request == NULL) ? NGX_ERROR : NGX_OK;
}


/* NGX_DECLINED: the call is rejected */

static ngx_int_t
ngx_http_weir_client_set_url(ngx_http_weir_client_call_t *call,
    const ngx_http_weir_client_request_t *rq)
{
    u_char        *url;
    ngx_int_t      n;
    weir_error_t   err;

    if (rq->target) {
        call->url = rq->target->parsed;
        call->profile = rq->target->profile;
        call->addrs = rq->target->addrs;
        call->naddrs = rq->target->naddrs;

        return NGX_OK;
    }

    url = ngx_pnalloc(call->pool, rq->url.len + 1);
    if (url == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_cpymem(url, rq->url.data, rq->url.len);

    if (weir_http_url_parse(weir_str((char *) url, rq->url.len), &call->url,
                            &err)
        != WEIR_OK)
    {
        ngx_http_weir_client_reject(call, NGX_HTTP_WEIR_CLIENT_INVALID,
                                    err.message);
        return NGX_DECLINED;
    }

    call->profile = rq->profile ? rq->profile : &call->wmcf->profile;
    call->guarded = !rq->trusted;

    n = ngx_http_weir_client_literal(call->pool, &call->url, &call->addrs);

    if (n == NGX_ERROR) {
        ngx_http_weir_client_reject(call, NGX_HTTP_WEIR_CLIENT_INVALID,
                                    "the URL's address is not valid");
        return NGX_DECLINED;
    }

    call->naddrs = n;

    return NGX_OK;
}


/* connections are for one scheme, host, port and set of TLS settings */

static ngx_int_t
ngx_http_weir_client_set_key(ngx_http_weir_client_call_t *call)
{
    u_char           *p;
    size_t            size;
    ngx_str_t         name;
    weir_http_url_t  *url;

    url = &call->url;

    name.data = (u_char *) (url->socket.len ? url->socket.data
                                            : url->host.data);
    name.len = url->socket.len ? url->socket.len : url->host.len;

    size = sizeof("https://unix:[]:65535") + name.len;

    p = ngx_pnalloc(call->pool, 2 * size + 32);
    if (p == NULL) {
        return NGX_ERROR;
    }

    call->where.data = p;

    p = ngx_sprintf(p, "http%s://%s%s%V%s", url->tls ? "s" : "",
                    url->socket.len ? "unix:" : "", url->ipv6 ? "[" : "",
                    &name, url->ipv6 ? "]" : "");

    if (url->port) {
        p = ngx_sprintf(p, ":%ui", (ngx_uint_t) url->port);
    }

    call->where.len = p - call->where.data;

    call->key.data = p;
    p = ngx_sprintf(p, "%p ", call->profile);
    ngx_strlow(p, call->where.data, call->where.len);
    call->key.len = p + call->where.len - call->key.data;

    return NGX_OK;
}


static void
ngx_http_weir_client_reject(ngx_http_weir_client_call_t *call,
    ngx_http_weir_client_error_e error, const char *text)
{
    call->error = error;
    call->text_len = ngx_snprintf(call->text, NGX_HTTP_WEIR_CLIENT_TEXT,
                                  "%V: %s", &call->where, text)
                     - call->text;
}


static void
ngx_http_weir_client_timer_handler(ngx_event_t *ev)
{
    ngx_msec_t                      passed;
    ngx_http_weir_client_call_t    *call;
    ngx_http_weir_client_answer_t   answer;

    call = ev->data;

    if (call->error) {
        ngx_memzero(&answer, sizeof(ngx_http_weir_client_answer_t));

        answer.error = call->error;
        answer.text.data = call->text;
        answer.text.len = call->text_len;

        ngx_http_weir_client_end(call, &answer);
        return;
    }

    passed = ngx_current_msec - call->begun;

    if (call->state == NGX_HTTP_WEIR_CLIENT_STARTING
        && passed < call->deadline)
    {
        ngx_add_timer(&call->timer, call->deadline - passed);
        ngx_http_weir_client_begin(call);
        return;
    }

    ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_TIMEOUT,
                              "no answer within %M ms (%s)", call->deadline,
                              ngx_http_weir_client_states[call->state]);
}


void
ngx_http_weir_client_finish(ngx_http_weir_client_call_t *call)
{
    ngx_uint_t                     keep;
    ngx_http_weir_client_answer_t  answer;

    /* an answer that came before all was sent is one, but the last */

    keep = call->response.keep_alive
           && call->request->pos == call->request->last;

    if (ngx_http_weir_client_answer(call, &answer) != NGX_OK) {
        ngx_http_weir_client_fail(call, NGX_HTTP_WEIR_CLIENT_MEMORY,
                                  "no memory for the answer");
        return;
    }

    ngx_http_weir_client_detach(call, keep);
    ngx_http_weir_client_end(call, &answer);
}


static ngx_int_t
ngx_http_weir_client_answer(ngx_http_weir_client_call_t *call,
    ngx_http_weir_client_answer_t *answer)
{
    ngx_uint_t                      i;
    weir_http_response_t           *response;
    ngx_http_weir_client_header_t  *h;

    response = &call->response;

    h = ngx_palloc(call->pool, (response->n_fields + 1)
                               * sizeof(ngx_http_weir_client_header_t));
    if (h == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < response->n_fields; i++) {
        h[i].name.data = (u_char *) response->fields[i].name.data;
        h[i].name.len = response->fields[i].name.len;
        h[i].value.data = (u_char *) response->fields[i].value.data;
        h[i].value.len = response->fields[i].value.len;
    }

    ngx_memzero(answer, sizeof(ngx_http_weir_client_answer_t));

    answer->error = NGX_HTTP_WEIR_CLIENT_OK;
    answer->status = response->status;
    answer->headers = h;
    answer->nheaders = response->n_fields;
    answer->body.data = (u_char *) response->body.data;
    answer->body.len = response->body.len;

    return NGX_OK;
}


void ngx_cdecl
ngx_http_weir_client_fail(ngx_http_weir_client_call_t *call,
    ngx_http_weir_client_error_e error, const char *fmt, ...)
{
    u_char                         *p, *last;
    va_list                         args;
    ngx_http_weir_client_answer_t   answer;

    ngx_memzero(&answer, sizeof(ngx_http_weir_client_answer_t));

    last = call->text + NGX_HTTP_WEIR_CLIENT_TEXT;

    p = ngx_slprintf(call->text, last, "%V: ", &call->where);

    va_start(args, fmt);
    p = ngx_vslprintf(p, last, fmt, args);
    va_end(args);

    answer.error = error;
    answer.text.data = call->text;
    answer.text.len = p - call->text;

    ngx_http_weir_client_detach(call, 0);
    ngx_http_weir_client_end(call, &answer);
}


static void
ngx_http_weir_client_end(ngx_http_weir_client_call_t *call,
    ngx_http_weir_client_answer_t *answer)
{
    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    call->ended = 1;

    ngx_queue_remove(&call->queue);
    call->wmcf->ncalls--;

    answer->name = ngx_http_weir_client_error_names[answer->error];
    answer->elapsed = ngx_current_msec - call->begun;
    answer->reused = call->reused;

    if (answer->error) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0, "weir client: %V",
                      &answer->text);
    }

    call->handler(answer, call->data);

    ngx_http_weir_client_free(call);
}


static void
ngx_http_weir_client_detach(ngx_http_weir_client_call_t *call, ngx_uint_t keep)
{
    ngx_http_weir_client_connection_t  *kc;

    if (call->resolving) {
        ngx_resolve_name_done(call->resolving);
        call->resolving = NULL;
    }

    kc = call->connection;

    if (kc == NULL) {
        return;
    }

    call->connection = NULL;

    if (keep) {
        ngx_http_weir_client_keep(kc);
        return;
    }

    kc->call = NULL;
    ngx_http_weir_client_close(kc);
}


static void
ngx_http_weir_client_free(ngx_http_weir_client_call_t *call)
{
    weir_arena_free(&call->arena);
    ngx_destroy_pool(call->pool);
}


void
ngx_http_weir_client_cancel(ngx_http_weir_client_call_t *call)
{
    /* from within its own handler: there is nothing left to do */

    if (call->ended) {
        return;
    }

    if (call->timer.timer_set) {
        ngx_del_timer(&call->timer);
    }

    ngx_queue_remove(&call->queue);
    call->wmcf->ncalls--;

    ngx_http_weir_client_detach(call, 0);
    ngx_http_weir_client_free(call);
}


/* the worker ends: no handler is called any more */

void
ngx_http_weir_client_exit(ngx_http_weir_client_main_conf_t *wmcf)
{
    ngx_queue_t                        *q;
    ngx_http_weir_client_call_t        *call;
    ngx_http_weir_client_connection_t  *kc;

    while (!ngx_queue_empty(&wmcf->calls)) {
        q = ngx_queue_head(&wmcf->calls);
        call = ngx_queue_data(q, ngx_http_weir_client_call_t, queue);

        ngx_http_weir_client_cancel(call);
    }

    while (!ngx_queue_empty(&wmcf->idle)) {
        q = ngx_queue_head(&wmcf->idle);
        kc = ngx_queue_data(q, ngx_http_weir_client_connection_t, queue);

        ngx_queue_remove(q);
        wmcf->nidle--;

        ngx_http_weir_client_close(kc);
    }
}
