
/*
 * Weir's core: edits of the request's body, and the body that goes upstream.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


static ngx_int_t ngx_http_weir_begin_edits(ngx_http_weir_core_ctx_t *ctx,
    ngx_uint_t scan);
static void ngx_http_weir_edit_work(void *data);
static void ngx_http_weir_edit_done(void *data);
static ngx_int_t ngx_http_weir_take_edits(ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_ask_usage(ngx_http_weir_core_ctx_t *ctx);
static ngx_int_t ngx_http_weir_install_body(ngx_http_request_t *r,
    ngx_str_t *body);
static ngx_int_t ngx_http_weir_set_content_length(ngx_http_request_t *r,
    size_t len);


/*
 * Puts the edits so far into the text; with scan the nodes and the view are
 * those of the new text.  NGX_ABORT: refused; NGX_AGAIN: a thread does it, and
 * the phases are run again.
 */

ngx_int_t
ngx_http_weir_apply_edits(ngx_http_weir_core_ctx_t *ctx, ngx_uint_t scan)
{
    ngx_int_t  rc;

    rc = ngx_http_weir_begin_edits(ctx, scan);

    if (rc != NGX_AGAIN) {
        return rc;
    }

    if (ctx->made_body.len > NGX_HTTP_WEIR_LARGE
        && ngx_http_weir_work(&ctx->public, ngx_http_weir_edit_work,
                              ngx_http_weir_edit_done, ctx)
           == NGX_AGAIN)
    {
        return NGX_AGAIN;
    }

    ngx_http_weir_edit_work(ctx);

    return ngx_http_weir_take_edits(ctx);
}


/* the same where nobody can wait */

ngx_int_t
ngx_http_weir_apply_edits_now(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_weir_begin_edits(ctx, 1);

    if (rc != NGX_AGAIN) {
        return rc;
    }

    ngx_http_weir_edit_work(ctx);

    return ngx_http_weir_take_edits(ctx);
}


/* NGX_OK: there is nothing to do; NGX_AGAIN: there is; NGX_ABORT: refused */

static ngx_int_t
ngx_http_weir_begin_edits(ngx_http_weir_core_ctx_t *ctx, ngx_uint_t scan)
{
    ngx_str_t  *made;

    made = &ctx->made_body;
    *made = ctx->public.body;

    ctx->made_scan = (scan && (ctx->stale || ctx->edits.count));

    if (ctx->edits.count) {

        made->len = weir_edit_length(&ctx->edits, made->len);

        made->data = weir_arena_alloc(&ctx->arena, made->len);
        if (made->data == NULL) {
            ctx->public.refusal = &ngx_http_weir_body_unread;
            ctx->refused = 1;
            return NGX_ABORT;
        }

    } else if (!ctx->made_scan) {
        return NGX_OK;
    }

    return NGX_AGAIN;
}


/* on a thread, when the body is large */

static void
ngx_http_weir_edit_work(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ngx_str_t  *body;

    body = &ctx->public.body;

    if (ctx->edits.count) {
        weir_edit_apply(&ctx->edits, (const char *) body->data, body->len,
                        (char *) ctx->made_body.data);
    }

    *body = ctx->made_body;

    ctx->made_rc = ctx->made_scan ? ngx_http_weir_read_view(ctx) : NGX_OK;
}


static void
ngx_http_weir_edit_done(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    (void) ngx_http_weir_take_edits(ctx);

    ngx_http_weir_go_on(ctx);
}


static ngx_int_t
ngx_http_weir_take_edits(ngx_http_weir_core_ctx_t *ctx)
{
    if (ctx->edits.count) {
        weir_edit_init(&ctx->edits, &ctx->arena);

        ctx->body_changed = 1;
        ctx->stale = 1;
    }

    if (ctx->made_scan) {
        ctx->stale = 0;
    }

    if (ctx->made_rc != NGX_OK) {
        ctx->refused = 1;
        return NGX_ABORT;
    }

    return NGX_OK;
}


/*
 * All hooks have run: what goes upstream is settled.  NGX_AGAIN: as from
 * ngx_http_weir_apply_edits().
 */

ngx_int_t
ngx_http_weir_finish_body(ngx_http_weir_core_ctx_t *ctx)
{
    if (ctx->ask_usage && !ctx->stale
        && ngx_http_weir_ask_usage(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    switch (ngx_http_weir_apply_edits(ctx, 0)) {

    case NGX_OK:
        break;

    case NGX_AGAIN:
        return NGX_AGAIN;

    default:
        return NGX_ERROR;
    }

    if (ctx->body_changed
        && ngx_http_weir_install_body(ctx->request, &ctx->public.body)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ctx->body_changed = 0;

    ngx_http_weir_free_body(ctx);

    return NGX_OK;
}


/*
 * A stream's usage is asked for even where the client does not want it; the
 * answer's pipeline hides it again.
 */

static ngx_int_t
ngx_http_weir_ask_usage(ngx_http_weir_core_ctx_t *ctx)
{
    uint32_t              node;
    weir_status_t         rc;
    weir_request_view_t  *view;

    view = &ctx->view;

    if (ctx->public.view == NULL || !view->stream || view->include_usage
        || ctx->public.upstream != ctx->public.endpoint.protocol)
    {
        return NGX_OK;
    }

    node = view->stream_options_node;

    if (view->include_usage_node != WEIR_JSON_NONE) {
        rc = weir_edit_value(&ctx->edits, view->doc, view->include_usage_node,
                             WEIR_STR("true"), NULL);

    } else if (node != WEIR_JSON_NONE) {
        rc = weir_edit_member(&ctx->edits, view->doc, node, "include_usage",
                              WEIR_STR("true"), NULL);

    } else if ((node = weir_json_get(view->doc, 0, "stream_options"))
               != WEIR_JSON_NONE)
    {
        rc = weir_edit_value(&ctx->edits, view->doc, node,
                             WEIR_STR("{\"include_usage\":true}"), NULL);

    } else {
        rc = weir_edit_member(&ctx->edits, view->doc, 0, "stream_options",
                              WEIR_STR("{\"include_usage\":true}"), NULL);
    }

    /* a plugin has an edit of its own there, which counts */

    if (rc == WEIR_ERR_INVALID) {
        return NGX_OK;
    }

    if (rc != WEIR_OK) {
        return NGX_ERROR;
    }

    ctx->hide_usage = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_install_body(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_buf_t                *b;
    ngx_chain_t              *cl;
    ngx_http_request_body_t  *rb;

    rb = r->request_body;

    if (rb == NULL) {
        rb = ngx_pcalloc(r->pool, sizeof(ngx_http_request_body_t));
        if (rb == NULL) {
            return NGX_ERROR;
        }

        r->request_body = rb;
    }

    b = ngx_calloc_buf(r->pool);
    cl = ngx_alloc_chain_link(r->pool);

    if (b == NULL || cl == NULL) {
        return NGX_ERROR;
    }

    b->start = body->data;
    b->pos = body->data;
    b->last = body->data + body->len;
    b->end = b->last;
    b->memory = 1;
    b->last_buf = 1;

    cl->buf = b;
    cl->next = NULL;

    /* the file's descriptor is closed with the pool */

    rb->temp_file = NULL;
    rb->bufs = cl;
    rb->buf = b;

    return ngx_http_weir_set_content_length(r, body->len);
}


static ngx_int_t
ngx_http_weir_set_content_length(ngx_http_request_t *r, size_t len)
{
    u_char           *p;
    ngx_table_elt_t  *h;

    r->headers_in.content_length_n = len;
    r->headers_in.chunked = 0;

    /*
     * The header Transfer-Encoding stays in the list: the proxy knows by its
     * hash that it is not to be passed on.
     */

    r->headers_in.transfer_encoding = NULL;

    p = ngx_pnalloc(r->pool, NGX_SIZE_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    h = r->headers_in.content_length;

    if (h == NULL) {
        h = ngx_list_push(&r->headers_in.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }

        h->hash = ngx_hash_key_lc((u_char *) "content-length",
                                  sizeof("content-length") - 1);
#if (nginx_version >= 1023000)
        h->next = NULL;
#endif
        ngx_str_set(&h->key, "Content-Length");
        h->lowcase_key = (u_char *) "content-length";

        r->headers_in.content_length = h;
    }

    h->value.data = p;
    h->value.len = ngx_sprintf(p, "%uz", len) - p;

    return NGX_OK;
}


weir_edit_t *
ngx_http_weir_edit(ngx_http_weir_ctx_t *public)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    if (public->view == NULL || ctx->nodes == NULL || ctx->stale) {
        return NULL;
    }

    return &ctx->edits;
}


ngx_int_t
ngx_http_weir_replace_body(ngx_http_weir_ctx_t *public, ngx_str_t *body)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    if (ctx->step == NGX_HTTP_WEIR_STEP_PASSED) {
        return NGX_ERROR;
    }

    weir_edit_init(&ctx->edits, &ctx->arena);

    public->body = *body;

    ctx->body_changed = 1;
    ctx->stale = 1;

    return NGX_OK;
}
