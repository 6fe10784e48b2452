
/*
 * Weir's core: the request's body, read and scanned once.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


/*
 * A JSON text has a value in 16 bytes or more, as a rule; 300,000 token ids,
 * the largest input that embeddings take, are below the limit.
 */

#define NGX_HTTP_WEIR_BYTES_PER_NODE  16
#define NGX_HTTP_WEIR_MIN_NODES       64
#define NGX_HTTP_WEIR_MAX_NODES       1048576
#define NGX_HTTP_WEIR_MAX_DEPTH       64

/* of one object: a member is looked up by going through all of them */

#define NGX_HTTP_WEIR_MAX_MEMBERS     65536


static ngx_uint_t ngx_http_weir_ask_needs(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static void ngx_http_weir_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_find_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static void ngx_http_weir_body_work(void *data);
static void ngx_http_weir_body_done(void *data);
static void ngx_http_weir_take_body(ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_collect_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_scan(ngx_http_weir_core_ctx_t *ctx,
    weir_error_t *err);
static ngx_int_t ngx_http_weir_bad_body(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_refusal_t *why, weir_error_t *err);


static const ngx_http_weir_refusal_t  ngx_http_weir_no_body =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "invalid_json",
                          "The request has no body: this path takes a JSON "
                          "object.",
                          "invalid_body");


static const ngx_http_weir_refusal_t  ngx_http_weir_invalid_json =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "invalid_json", "The request body is no JSON.",
                          "invalid_body");


static const ngx_http_weir_refusal_t  ngx_http_weir_invalid_request =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "invalid_request", "The request is not valid.",
                          "invalid_request");


static const ngx_http_weir_refusal_t  ngx_http_weir_two_models =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "conflicting_models",
                          "The path names one model and the body another.",
                          "invalid_request");


const ngx_http_weir_refusal_t  ngx_http_weir_body_unread =
    ngx_http_weir_refusal(NGX_HTTP_INTERNAL_SERVER_ERROR, "server_error",
                          "internal_error",
                          "The gateway could not read the request body, so "
                          "the request was not forwarded.",
                          "internal_error");


/*
 * NGX_OK: what the plugins need is there.  NGX_ABORT: refused.  NGX_DONE: the
 * body is being read, or was, and the phases go on by themselves.  Else a
 * status.
 */

ngx_int_t
ngx_http_weir_read_body(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_uint_t  needs;

    needs = ngx_http_weir_ask_needs(r, ctx);

    if (!ctx->public.endpoint.reads_body
        || ctx->public.endpoint.why != WEIR_UNDERSTOOD)
    {
        needs &= ~(NGX_HTTP_WEIR_NEEDS_VIEW|NGX_HTTP_WEIR_NEEDS_EDITED);
    }

    ctx->needs = needs;

    if (!(needs & (NGX_HTTP_WEIR_NEEDS_BODY|NGX_HTTP_WEIR_NEEDS_VIEW
                   |NGX_HTTP_WEIR_NEEDS_EDITED)))
    {
        ctx->body_read = 1;
        return NGX_OK;
    }

    rc = ngx_http_read_client_request_body(r, ngx_http_weir_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static ngx_uint_t
ngx_http_weir_ask_needs(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    ngx_uint_t                      i, needs;
    const ngx_http_weir_plugin_t  **p;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);

    needs = 0;

    if (wlcf->ask_usage && wlcf->read_usage) {

        switch (ctx->public.endpoint.protocol) {

        case WEIR_PROTOCOL_CHAT:
        case WEIR_PROTOCOL_COMPLETIONS:
            needs = NGX_HTTP_WEIR_NEEDS_VIEW;
            ctx->ask_usage = 1;
            break;

        case WEIR_PROTOCOL_MESSAGES:
        case WEIR_PROTOCOL_RESPONSES:

            /* these tell their usage unasked: was a stream asked for? */

            needs = NGX_HTTP_WEIR_NEEDS_VIEW;
            break;

        default:
            break;
        }
    }

    p = ctx->wmcf->plugins.elts;

    for (i = 0; i < ctx->wmcf->plugins.nelts; i++) {

        ctx->slots[i].wants = p[i]->needs;

        if (p[i]->needs && p[i]->wants) {
            ctx->slots[i].wants &= p[i]->wants(r, &ctx->public, p[i]->data);
        }

        needs |= ctx->slots[i].wants;
    }

    return needs;
}


/* may be called before ngx_http_read_client_request_body() returns */

static void
ngx_http_weir_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                  rc;
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_find_ctx(r);

    ctx->body_read = 1;

    /* the body stays for error_page and named locations */

    r->preserve_body = 1;

    ctx->made_scan = ctx->needs & (NGX_HTTP_WEIR_NEEDS_VIEW
                                   |NGX_HTTP_WEIR_NEEDS_EDITED);
    ctx->made_rc = ngx_http_weir_find_body(r, ctx);

    if (ctx->made_rc == NGX_OK) {

        rc = NGX_DECLINED;

        if (ctx->public.body.len > NGX_HTTP_WEIR_LARGE) {
            rc = ngx_http_weir_work(&ctx->public, ngx_http_weir_body_work,
                                    ngx_http_weir_body_done, ctx);
        }

        if (rc == NGX_AGAIN) {
            (void) ngx_http_weir_wait(r, ctx);
            return;
        }

        ngx_http_weir_body_work(ctx);
    }

    ngx_http_weir_take_body(ctx);

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


/* where the body is, or will be when it is collected */

static ngx_int_t
ngx_http_weir_find_body(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx)
{
    off_t         size;
    u_char       *p;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;
    b = cl->buf;

    if (cl->next == NULL && !b->in_file) {
        ctx->public.body.data = b->pos;
        ctx->public.body.len = b->last - b->pos;
        return NGX_OK;
    }

    size = 0;

    for ( /* void */ ; cl; cl = cl->next) {
        size += ngx_buf_size(cl->buf);
    }

    /* the arena's memory is freed by a thread when there is much of it */

    p = weir_arena_alloc(&ctx->arena, size);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->public.body.data = p;
    ctx->public.body.len = size;

    return NGX_OK;
}


/* on a thread, when the body is large */

static void
ngx_http_weir_body_work(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ctx->made_rc = ngx_http_weir_collect_body(ctx->request, ctx);

    if (ctx->made_rc == NGX_OK && ctx->made_scan) {
        ctx->made_rc = ngx_http_weir_read_view(ctx);
    }
}


static void
ngx_http_weir_body_done(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ngx_http_weir_take_body(ctx);
    ngx_http_weir_go_on(ctx);
}


static void
ngx_http_weir_take_body(ngx_http_weir_core_ctx_t *ctx)
{
    if (ctx->made_rc == NGX_OK || ctx->refused) {
        return;
    }

    if (ctx->made_rc == NGX_ERROR) {
        ctx->public.refusal = &ngx_http_weir_body_unread;
    }

    ctx->refused = 1;
}


static ngx_int_t
ngx_http_weir_collect_body(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    off_t         size;
    u_char       *p;
    ssize_t       n;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    cl = r->request_body->bufs;

    if (cl->next == NULL && !cl->buf->in_file) {
        return NGX_OK;
    }

    p = ctx->public.body.data;

    for ( /* void */ ; cl; cl = cl->next) {
        b = cl->buf;
        size = ngx_buf_size(b);

        /* a chunked body may end with a buffer of nothing */

        if (size == 0) {
            continue;
        }

        if (!b->in_file) {
            p = ngx_cpymem(p, b->pos, size);
            continue;
        }

        /* NGINX has just written it: it is in the page cache */

        n = ngx_read_file(b->file, p, size, b->file_pos);

        if (n != (ssize_t) size) {
            ngx_log_error(NGX_LOG_ALERT, r->connection->log, 0,
                          "temporary file of a request body: %z of %O bytes",
                          n, size);
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}


/* NGX_ABORT: ctx->public.refusal says why */

ngx_int_t
ngx_http_weir_read_view(ngx_http_weir_core_ctx_t *ctx)
{
    weir_error_t           err;
    ngx_http_weir_ctx_t   *public;
    weir_request_view_t   *view;

    public = &ctx->public;
    view = &ctx->view;

    if (public->body.len == 0) {
        public->refusal = &ngx_http_weir_no_body;
        return NGX_ABORT;
    }

    err.message[0] = '\0';
    err.field[0] = '\0';
    err.code[0] = '\0';

    switch (ngx_http_weir_scan(ctx, &err)) {

    case NGX_OK:
        break;

    case NGX_DECLINED:
        return ngx_http_weir_bad_body(ctx, &ngx_http_weir_invalid_json, &err);

    default: /* NGX_ERROR */
        public->refusal = &ngx_http_weir_body_unread;
        return NGX_ABORT;
    }

    switch (weir_request_read(public->endpoint.endpoint, &ctx->doc,
                              &ctx->arena, view, &err))
    {

    case WEIR_OK:
        break;

    case WEIR_ERR_NOMEM:
        public->refusal = &ngx_http_weir_body_unread;
        return NGX_ABORT;

    default:
        return ngx_http_weir_bad_body(ctx, &ngx_http_weir_invalid_request,
                                      &err);
    }

    if (public->endpoint.model.len) {

        if (view->model.len
            && !weir_str_eq(view->model, public->endpoint.model))
        {
            public->refusal = &ngx_http_weir_two_models;
            return NGX_ABORT;
        }

        view->model = public->endpoint.model;
    }

    if (public->view == NULL) {
        public->model_asked.data = (u_char *) view->model.data;
        public->model_asked.len = view->model.len;
    }

    public->view = view;

    return NGX_OK;
}


/* NGX_DECLINED: no JSON, or over a limit, as err says */

static ngx_int_t
ngx_http_weir_scan(ngx_http_weir_core_ctx_t *ctx, weir_error_t *err)
{
    size_t             nodes, most;
    weir_status_t      rc;
    weir_json_node_t  *p;

    static const weir_json_limits_t  limits = {
        NGX_HTTP_WEIR_MAX_DEPTH, 0, NGX_HTTP_WEIR_MAX_MEMBERS, 0
    };

    most = ctx->public.body.len / 2 + 1;
    most = ngx_min(most, NGX_HTTP_WEIR_MAX_NODES);

    nodes = ctx->public.body.len / NGX_HTTP_WEIR_BYTES_PER_NODE
            + NGX_HTTP_WEIR_MIN_NODES;

    for ( ;; ) {
        nodes = ngx_min(nodes, most);

        p = ngx_alloc(nodes * sizeof(weir_json_node_t),
                      ctx->request->connection->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        rc = weir_json_scan((const char *) ctx->public.body.data,
                            ctx->public.body.len, &limits, p, nodes,
                            &ctx->doc, err);

        if (rc == WEIR_OK) {
            /* of an older text; on a thread, maybe */

            if (ctx->nodes) {
                ngx_free(ctx->nodes);
            }

            ctx->nodes = p;
            ctx->nodes_size = nodes * sizeof(weir_json_node_t);
            return NGX_OK;
        }

        ngx_free(p);

        if (rc != WEIR_ERR_LIMIT || ngx_strcmp(err->field, "nodes") != 0
            || nodes == most)
        {
            return NGX_DECLINED;
        }

        nodes *= 4;
    }
}


static ngx_int_t
ngx_http_weir_bad_body(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_refusal_t *why, weir_error_t *err)
{
    size_t                   len;
    ngx_http_weir_refusal_t  refusal;

    refusal = *why;

    len = ngx_strlen(err->code);

    if (len) {
        refusal.code.data = (u_char *) weir_arena_strndup(&ctx->arena,
                                                          err->code, len);
        refusal.code.len = refusal.code.data ? len : 0;
    }

    len = ngx_strlen(err->field);

    if (len && ngx_strcmp(err->field, "nodes") != 0) {
        refusal.param.data = (u_char *) weir_arena_strndup(&ctx->arena,
                                                           err->field, len);
        refusal.param.len = refusal.param.data ? len : 0;
    }

    if (ngx_http_weir_deny(&ctx->public, &refusal, "%s", err->message)
        != NGX_ABORT)
    {
        ctx->public.refusal = &ngx_http_weir_body_unread;
    }

    return NGX_ABORT;
}
