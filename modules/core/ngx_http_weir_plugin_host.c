
/*
 * Weir's core: what foreign plugins may ask of the gateway.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_plugin.h"


static weir_plugin_text_t ngx_http_weir_host_get(weir_plugin_request_t *rq,
    weir_plugin_fact_t fact);
static weir_plugin_text_t ngx_http_weir_host_text(ngx_str_t *s);
static weir_plugin_text_t ngx_http_weir_host_header(
    weir_plugin_request_t *rq, const char *name, unsigned n);
static weir_plugin_text_t ngx_http_weir_host_response_header(
    weir_plugin_request_t *rq, const char *name, unsigned n);
static ngx_table_elt_t *ngx_http_weir_host_find(ngx_list_t *headers,
    const char *name, unsigned n);
static int ngx_http_weir_host_set_response_header(weir_plugin_request_t *rq,
    const char *name, weir_plugin_text_t value);
static ngx_uint_t ngx_http_weir_host_is_one_of(const char *name,
    const char *const *names);
static int ngx_http_weir_host_tag(weir_plugin_request_t *rq, const char *name,
    weir_plugin_text_t value);
static int ngx_http_weir_host_set_route(weir_plugin_request_t *rq,
    weir_plugin_text_t route);
static void **ngx_http_weir_host_state(weir_plugin_request_t *rq);
static void *ngx_http_weir_host_alloc(weir_plugin_request_t *rq, size_t size);
static uint64_t ngx_http_weir_host_hold(weir_plugin_request_t *rq);
static void ngx_http_weir_host_resume(const weir_plugin_host_t *host,
    uint64_t handle, weir_plugin_verdict_t verdict,
    const weir_plugin_decision_t *decision);
static size_t ngx_http_weir_host_size(const char *text);
static const char *ngx_http_weir_host_put(char **p, const char *text,
    size_t len);
static void ngx_http_weir_host_log(const weir_plugin_host_t *host,
    weir_plugin_request_t *rq, weir_plugin_level_t level, const char *text);


static const char *const  ngx_http_weir_host_secret[] = {
    "authorization", "x-api-key", "api-key", "proxy-authorization", NULL
};


static const char *const  ngx_http_weir_host_own[] = {
    "content-length", "transfer-encoding", "connection", "content-type",
    "date", "server", "x-request-id", NULL
};


void
ngx_http_weir_foreign_host(weir_plugin_host_t *host)
{
    host->abi = WEIR_PLUGIN_ABI;
    host->size = sizeof(weir_plugin_host_t);
    host->get = ngx_http_weir_host_get;
    host->header = ngx_http_weir_host_header;
    host->response_header = ngx_http_weir_host_response_header;
    host->set_response_header = ngx_http_weir_host_set_response_header;
    host->tag = ngx_http_weir_host_tag;
    host->set_route = ngx_http_weir_host_set_route;
    host->state = ngx_http_weir_host_state;
    host->alloc = ngx_http_weir_host_alloc;
    host->hold = ngx_http_weir_host_hold;
    host->resume = ngx_http_weir_host_resume;
    host->log = ngx_http_weir_host_log;
}


static weir_plugin_text_t
ngx_http_weir_host_get(weir_plugin_request_t *rq, weir_plugin_fact_t fact)
{
    const char           *name;
    ngx_http_request_t   *r;
    weir_plugin_text_t    text;
    ngx_http_weir_ctx_t  *public;

    public = &rq->ctx->public;
    r = rq->ctx->request;

    switch (fact) {

    case WEIR_PLUGIN_REQUEST_ID:
        return ngx_http_weir_host_text(&public->request_id);

    case WEIR_PLUGIN_METHOD:
        return ngx_http_weir_host_text(&r->method_name);

    case WEIR_PLUGIN_PATH:
        return ngx_http_weir_host_text(&public->path);

    case WEIR_PLUGIN_QUERY:
        return ngx_http_weir_host_text(&r->args);

    case WEIR_PLUGIN_CLIENT:
        return ngx_http_weir_host_text(&r->connection->addr_text);

    case WEIR_PLUGIN_ENDPOINT:
        name = weir_endpoint_name(public->endpoint.endpoint);
        text.data = name;
        text.len = ngx_strlen(name);
        return text;

    case WEIR_PLUGIN_TENANT:
        return ngx_http_weir_host_text(&public->tenant);

    case WEIR_PLUGIN_TEAM:
        return ngx_http_weir_host_text(&public->team);

    case WEIR_PLUGIN_USER:
        return ngx_http_weir_host_text(&public->user);

    case WEIR_PLUGIN_KEY_ID:
        return ngx_http_weir_host_text(&public->key_id);

    case WEIR_PLUGIN_MODEL:
        return ngx_http_weir_host_text(&public->model_asked);

    case WEIR_PLUGIN_ROUTE:
        return ngx_http_weir_host_text(&public->route);
    }

    text.data = "";
    text.len = 0;

    return text;
}


static weir_plugin_text_t
ngx_http_weir_host_text(ngx_str_t *s)
{
    weir_plugin_text_t  text;

    text.data = s->len ? (char *) s->data : "";
    text.len = s->len;

    return text;
}


static weir_plugin_text_t
ngx_http_weir_host_header(weir_plugin_request_t *rq, const char *name,
    unsigned n)
{
    ngx_table_elt_t     *h;
    weir_plugin_text_t   text;

    text.data = NULL;
    text.len = 0;

    if (ngx_http_weir_host_is_one_of(name, ngx_http_weir_host_secret)) {
        return text;
    }

    h = ngx_http_weir_host_find(&rq->ctx->request->headers_in.headers, name,
                                n);

    return h ? ngx_http_weir_host_text(&h->value) : text;
}


static weir_plugin_text_t
ngx_http_weir_host_response_header(weir_plugin_request_t *rq,
    const char *name, unsigned n)
{
    ngx_table_elt_t     *h;
    weir_plugin_text_t   text;

    text.data = NULL;
    text.len = 0;

    if (!rq->heading) {
        return text;
    }

    h = ngx_http_weir_host_find(&rq->ctx->request->headers_out.headers, name,
                                n);

    return h ? ngx_http_weir_host_text(&h->value) : text;
}


static ngx_table_elt_t *
ngx_http_weir_host_find(ngx_list_t *headers, const char *name, unsigned n)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    for (part = &headers->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].hash == 0
                || h[i].key.len != len
                || ngx_strncasecmp(h[i].key.data, (u_char *) name, len) != 0)
            {
                continue;
            }

            if (n-- == 0) {
                return &h[i];
            }
        }
    }

    return NULL;
}


static int
ngx_http_weir_host_set_response_header(weir_plugin_request_t *rq,
    const char *name, weir_plugin_text_t value)
{
    size_t               i;
    ngx_str_t            key, text;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    r = rq->ctx->request;

    key.len = ngx_strlen(name);

    if (!rq->heading || key.len == 0
        || ngx_http_weir_host_is_one_of(name, ngx_http_weir_host_own))
    {
        return -1;
    }

    for (i = 0; i < key.len; i++) {
        if ((name[i] < 'a' || name[i] > 'z') && (name[i] < 'A' || name[i] > 'Z')
            && (name[i] < '0' || name[i] > '9') && name[i] != '-'
            && name[i] != '_')
        {
            return -1;
        }
    }

    for (i = 0; i < value.len; i++) {
        if ((u_char) value.data[i] < ' ' || value.data[i] == 0x7f) {
            return -1;
        }
    }

    key.data = ngx_pnalloc(r->pool, key.len + 1);
    text.data = ngx_pnalloc(r->pool, value.len + 1);

    if (key.data == NULL || text.data == NULL) {
        return -1;
    }

    ngx_memcpy(key.data, name, key.len);
    ngx_memcpy(text.data, value.data ? value.data : "", value.len);
    text.len = value.len;

    while ((h = ngx_http_weir_host_find(&r->headers_out.headers, name, 0))
           != NULL)
    {
        h->hash = 0;
    }

    return ngx_http_weir_add_header(r, &key, &text) == NGX_OK ? 0 : -1;
}


static ngx_uint_t
ngx_http_weir_host_is_one_of(const char *name, const char *const *names)
{
    for ( /* void */ ; *names; names++) {
        if (ngx_strcasecmp((u_char *) name, (u_char *) *names) == 0) {
            return 1;
        }
    }

    return 0;
}


static int
ngx_http_weir_host_tag(weir_plugin_request_t *rq, const char *name,
    weir_plugin_text_t value)
{
    ngx_str_t  key, text;

    key.data = (u_char *) name;
    key.len = ngx_strlen(name);

    text.data = (u_char *) (value.data ? value.data : "");
    text.len = value.len;

    return ngx_http_weir_tag(&rq->ctx->public, &key, &text) == NGX_OK ? 0 : -1;
}


static int
ngx_http_weir_host_set_route(weir_plugin_request_t *rq,
    weir_plugin_text_t route)
{
    char  *p;

    if (!rq->routing) {
        return -1;
    }

    p = weir_arena_strndup(&rq->ctx->arena, route.data ? route.data : "",
                           route.len);
    if (p == NULL) {
        return -1;
    }

    rq->ctx->public.route.data = (u_char *) p;
    rq->ctx->public.route.len = route.len;

    return 0;
}


static void **
ngx_http_weir_host_state(weir_plugin_request_t *rq)
{
    return &rq->state;
}


static void *
ngx_http_weir_host_alloc(weir_plugin_request_t *rq, size_t size)
{
    return weir_arena_alloc(&rq->ctx->arena, size);
}


static uint64_t
ngx_http_weir_host_hold(weir_plugin_request_t *rq)
{
    ngx_http_weir_foreign_worker_t  *w;

    w = rq->foreign->wmcf->foreign_worker;

    if (w == NULL || rq->heading || rq->ctx->public.settled) {
        return 0;
    }

    ngx_http_weir_foreign_unhold(rq);

    rq->hold = ++w->holds;

    ngx_queue_insert_tail(&w->held[rq->hold % NGX_HTTP_WEIR_HOLDS],
                          &rq->queue);

    return rq->hold;
}


void
ngx_http_weir_foreign_unhold(weir_plugin_request_t *rq)
{
    if (rq->hold) {
        ngx_queue_remove(&rq->queue);
        rq->hold = 0;
    }
}


/* any thread: nothing of NGINX's but the allocator, which is malloc() */

static void
ngx_http_weir_host_resume(const weir_plugin_host_t *host, uint64_t handle,
    weir_plugin_verdict_t verdict, const weir_plugin_decision_t *decision)
{
    char                            *p;
    size_t                           size;
    uint64_t                         one;
    weir_plugin_decision_t           none;
    ngx_http_weir_said_t            *said;
    ngx_http_weir_foreign_t         *foreign;
    ngx_http_weir_foreign_worker_t  *w;

    foreign = (ngx_http_weir_foreign_t *)
                  ((char *) host - offsetof(ngx_http_weir_foreign_t, host));

    w = foreign->wmcf->foreign_worker;

    if (w == NULL) {
        return;
    }

    if (decision == NULL) {
        ngx_memzero(&none, sizeof(weir_plugin_decision_t));
        decision = &none;
    }

    size = sizeof(ngx_http_weir_said_t) + decision->text.len + 1
           + decision->message.len + 1
           + ngx_http_weir_host_size(decision->type)
           + ngx_http_weir_host_size(decision->code);

    said = malloc(size);
    if (said == NULL) {
        return;                         /* the hold's deadline will come */
    }

    said->next = NULL;
    said->hold = handle;
    said->verdict = verdict;
    said->decision = *decision;

    p = (char *) said + sizeof(ngx_http_weir_said_t);

    said->decision.text.data = ngx_http_weir_host_put(&p, decision->text.data,
                                                      decision->text.len);
    said->decision.message.data = ngx_http_weir_host_put(&p,
                                                     decision->message.data,
                                                     decision->message.len);

    if (decision->type) {
        said->decision.type = ngx_http_weir_host_put(&p, decision->type,
                                                     strlen(decision->type));
    }

    if (decision->code) {
        said->decision.code = ngx_http_weir_host_put(&p, decision->code,
                                                     strlen(decision->code));
    }

    (void) pthread_mutex_lock(&w->lock);

    *w->last = said;
    w->last = &said->next;

    (void) pthread_mutex_unlock(&w->lock);

    one = 1;

    if (write(w->fd, &one, sizeof(one)) == -1) {
        /* full: it is readable */
        return;
    }
}


static size_t
ngx_http_weir_host_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}


static const char *
ngx_http_weir_host_put(char **p, const char *text, size_t len)
{
    char  *start;

    start = *p;

    if (len) {
        memcpy(start, text, len);
    }

    start[len] = '\0';
    *p = start + len + 1;

    return start;
}


static void
ngx_http_weir_host_log(const weir_plugin_host_t *host,
    weir_plugin_request_t *rq, weir_plugin_level_t level, const char *text)
{
    ngx_uint_t                at;
    ngx_log_t                *log;
    ngx_http_weir_foreign_t  *foreign;

    foreign = (ngx_http_weir_foreign_t *)
                  ((char *) host - offsetof(ngx_http_weir_foreign_t, host));

    at = (level == WEIR_PLUGIN_LOG_ERROR) ? NGX_LOG_ERR
         : (level == WEIR_PLUGIN_LOG_WARN) ? NGX_LOG_WARN : NGX_LOG_INFO;

    log = rq ? rq->ctx->request->connection->log : ngx_cycle->log;

    ngx_log_error(at, log, 0, "plugin \"%V\": %s", &foreign->plugin.name,
                  text);
}
