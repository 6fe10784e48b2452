
/*
 * Weir's core: the request's context.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"

#include <openssl/rand.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif


/* plugins and the usage line take one piece of this size as a rule */

#define NGX_HTTP_WEIR_ARENA     2048

/* contexts that a worker keeps for requests to come */

#define NGX_HTTP_WEIR_SPARES    64


static void ngx_http_weir_cleanup(void *data);
static void ngx_http_weir_see_headers(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_table_elt_t **request_id);
static ngx_int_t ngx_http_weir_set_request_id(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_valid_request_id(ngx_str_t *id);
static ngx_uint_t ngx_http_weir_upgrades(ngx_http_request_t *r);
static void ngx_http_weir_drop_offer(ngx_http_request_t *r);
static void ngx_http_weir_hex(u_char *dst, const u_char *src);
static ngx_uint_t ngx_http_weir_recall(ngx_http_weir_recent_t *recent,
    const weir_endpoint_request_t *request, weir_endpoint_info_t *info);
static void ngx_http_weir_remember(ngx_http_weir_recent_t *recent,
    const weir_endpoint_request_t *request, const weir_endpoint_info_t *info);
static void ngx_http_weir_random(ngx_http_request_t *r,
    ngx_http_weir_core_main_conf_t *wmcf, u_char *bytes, size_t len);


/*
 * Internal redirects and named locations zero all module contexts; the pool's
 * cleanup record still knows ours.
 */

ngx_http_weir_core_ctx_t *
ngx_http_weir_find_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_weir_core_ctx_t  *ctx;

    r = r->main;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_core_module);
    if (ctx) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_weir_cleanup) {
            ngx_http_set_ctx(r, cln->data, ngx_http_weir_core_module);
            return cln->data;
        }
    }

    return NULL;
}


ngx_http_weir_core_ctx_t *
ngx_http_weir_core_get_ctx(ngx_http_request_t *r)
{
    size_t                           size, slots;
    ngx_pool_cleanup_t              *cln;
    ngx_http_weir_core_ctx_t        *ctx;
    ngx_http_weir_core_main_conf_t  *wmcf;

    ctx = ngx_http_weir_find_ctx(r);
    if (ctx) {
        return ctx;
    }

    r = r->main;

    wmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_core_module);

    size = ngx_align(sizeof(ngx_http_weir_core_ctx_t), NGX_ALIGNMENT);
    slots = wmcf->plugins.nelts * sizeof(ngx_http_weir_slot_t);

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    /* not from the pool, which would take another block for it */

    ctx = wmcf->spare;

    if (ctx) {
        wmcf->spare = ctx->spare;
        wmcf->spares--;

    } else {
        ctx = ngx_alloc(size + slots, r->connection->log);
        if (ctx == NULL) {
            return NULL;
        }
    }

    ngx_memzero(ctx, size + slots);

    ctx->wmcf = wmcf;
    ctx->request = r;
    ctx->public.ttft = -1;

    if (ngx_http_weir_set_request_id(r, ctx) != NGX_OK) {
        ngx_free(ctx);
        return NULL;
    }

    weir_arena_init(&ctx->arena, NGX_HTTP_WEIR_ARENA, 0);
    weir_edit_init(&ctx->edits, &ctx->arena);

    ctx->slots = (ngx_http_weir_slot_t *) ((u_char *) ctx + size);

    cln->handler = ngx_http_weir_cleanup;
    cln->data = ctx;
    ngx_http_set_ctx(r, ctx, ngx_http_weir_core_module);

    return ctx;
}


ngx_http_weir_ctx_t *
ngx_http_weir_get_ctx(ngx_http_request_t *r)
{
    ngx_http_weir_core_ctx_t  *ctx;

    ctx = ngx_http_weir_core_get_ctx(r);

    return (ctx == NULL) ? NULL : &ctx->public;
}


static void
ngx_http_weir_cleanup(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ngx_http_weir_core_main_conf_t  *wmcf;

    ngx_http_weir_settle(ctx);

    ngx_http_weir_free_memory(ctx);

    wmcf = ctx->wmcf;

    if (wmcf->spares == NGX_HTTP_WEIR_SPARES) {
        ngx_free(ctx);
        return;
    }

    ctx->spare = wmcf->spare;
    wmcf->spare = ctx;
    wmcf->spares++;
}


/* one walk for all headers that the core looks at */

static void
ngx_http_weir_see_headers(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx, ngx_table_elt_t **request_id)
{
    ngx_uint_t        i, ids, types, encodings;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    ids = 0;
    types = 0;
    encodings = 0;

    part = &r->headers_in.headers.part;
    header = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            header = part->elts;
            i = 0;
        }

        switch (header[i].key.len) {

        case sizeof("x-request-id") - 1: /* content-type has as many */

            if (ngx_memcmp(header[i].lowcase_key, "x-request-id",
                           sizeof("x-request-id") - 1)
                == 0)
            {
                *request_id = &header[i];
                ids++;

            } else if (ngx_memcmp(header[i].lowcase_key, "content-type",
                                  sizeof("content-type") - 1)
                       == 0)
            {
                types++;
            }

            break;

        case sizeof("content-encoding") - 1:

            if (ngx_memcmp(header[i].lowcase_key, "content-encoding",
                           sizeof("content-encoding") - 1)
                == 0)
            {
                ctx->content_encoding = header[i].value;
                encodings++;
            }

            break;

        case sizeof("anthropic-version") - 1:

            if (ngx_memcmp(header[i].lowcase_key, "anthropic-version",
                           sizeof("anthropic-version") - 1)
                == 0)
            {
                ctx->anthropic_version = 1;

            } else if (ngx_memcmp(header[i].lowcase_key, "x-method-override",
                                  sizeof("x-method-override") - 1)
                       == 0)
            {
                ctx->other_method = 1;
            }

            break;

        case sizeof("x-http-method") - 1:
        case sizeof("x-http-method-override") - 1:

            /* some frameworks take its value for the method */

            if (ngx_memcmp(header[i].lowcase_key, "x-http-method-override",
                           header[i].key.len)
                == 0)
            {
                ctx->other_method = 1;
            }

            break;
        }
    }

    if (ids != 1) {
        *request_id = NULL;
    }

    ctx->strange_headers = (types > 1 || encodings > 1);
}


static ngx_int_t
ngx_http_weir_set_request_id(ngx_http_request_t *r,
    ngx_http_weir_core_ctx_t *ctx)
{
    u_char           *p;
    u_char            bytes[16];
    ngx_table_elt_t  *sent;

    sent = NULL;

    ngx_http_weir_see_headers(r, ctx, &sent);

    if (sent && ngx_http_weir_valid_request_id(&sent->value)) {
        ctx->public.request_id = sent->value;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, sizeof("req_") - 1 + 2 * sizeof(bytes));
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->public.request_id.data = p;
    ctx->public.request_id.len = sizeof("req_") - 1 + 2 * sizeof(bytes);

    ngx_http_weir_random(r, ctx->wmcf, bytes, sizeof(bytes));

    p = ngx_cpymem(p, "req_", sizeof("req_") - 1);
    ngx_http_weir_hex(p, bytes);

    return NGX_OK;
}


static ngx_uint_t
ngx_http_weir_valid_request_id(ngx_str_t *id)
{
    u_char   ch;
    size_t   i;

    if (id->len == 0 || id->len > NGX_HTTP_WEIR_MAX_REQUEST_ID) {
        return 0;
    }

    for (i = 0; i < id->len; i++) {
        ch = id->data[i];

        if ((ch >= '0' && ch <= '9')
            || (ch >= 'a' && ch <= 'z')
            || (ch >= 'A' && ch <= 'Z')
            || ch == '-' || ch == '_' || ch == '.' || ch == ':')
        {
            continue;
        }

        return 0;
    }

    return 1;
}


/* 16 bytes as ngx_hex_dump() writes them, which takes 200 instructions */

static void
ngx_http_weir_hex(u_char *dst, const u_char *src)
{
#ifdef __SSE2__

    __m128i  bytes, high, low, first, second, nine, letter, zero;

    bytes = _mm_loadu_si128((const __m128i *) (const void *) src);

    low = _mm_and_si128(bytes, _mm_set1_epi8(0x0f));
    high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));

    first = _mm_unpacklo_epi8(high, low);
    second = _mm_unpackhi_epi8(high, low);

    nine = _mm_set1_epi8(9);
    zero = _mm_set1_epi8('0');
    letter = _mm_set1_epi8('a' - '0' - 10);

    first = _mm_add_epi8(_mm_add_epi8(first, zero),
                         _mm_and_si128(_mm_cmpgt_epi8(first, nine), letter));
    second = _mm_add_epi8(_mm_add_epi8(second, zero),
                          _mm_and_si128(_mm_cmpgt_epi8(second, nine),
                                        letter));

    _mm_storeu_si128((__m128i *) (void *) dst, first);
    _mm_storeu_si128((__m128i *) (void *) (dst + 16), second);

#else

    (void) ngx_hex_dump(dst, (u_char *) src, 16);

#endif
}


static void
ngx_http_weir_random(ngx_http_request_t *r,
    ngx_http_weir_core_main_conf_t *wmcf, u_char *bytes, size_t len)
{
    size_t  i;

    if (wmcf->random_left < len) {

        if (RAND_bytes(wmcf->random, NGX_HTTP_WEIR_RANDOM) != 1) {
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "RAND_bytes() failed");

            for (i = 0; i < NGX_HTTP_WEIR_RANDOM; i++) {
                wmcf->random[i] = (u_char) ngx_random();
            }
        }

        wmcf->random_left = NGX_HTTP_WEIR_RANDOM;
    }

    wmcf->random_left -= len;
    ngx_memcpy(bytes, wmcf->random + wmcf->random_left, len);
}


void
ngx_http_weir_govern(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_recognise(ctx);

    if (!ngx_http_weir_upgrades(ctx->request)) {
        ngx_http_weir_drop_offer(ctx->request);
    }

    ctx->public.upstream = ctx->public.endpoint.protocol;
    ctx->public.governed = 1;

    ngx_queue_insert_tail(&ctx->wmcf->live, &ctx->queue);

    if (ctx->wmcf->asks) {
        (void) ngx_http_weir_expect_cancel(ctx);
    }
}


static ngx_uint_t
ngx_http_weir_upgrades(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    h = r->headers_in.upgrade;

    return h != NULL
           && (h->value.len != 3
               || ngx_strncasecmp(h->value.data, (u_char *) "h2c", 3) != 0);
}


/*
 * The upstream must not take what the gateway has not: where a location hands
 * on "Upgrade" for WebSockets, an answer of 101 would open a tunnel.
 */

static void
ngx_http_weir_drop_offer(ngx_http_request_t *r)
{
    if (r->headers_in.upgrade == NULL) {
        return;
    }

    ngx_str_set(&r->headers_in.upgrade->value, "");
    r->headers_in.upgrade = NULL;
}


/* also of a request that NGINX refuses before it is governed: by its shape */

void
ngx_http_weir_recognise(ngx_http_weir_core_ctx_t *ctx)
{
    u_char     *p;
    ngx_str_t  *uri;

    uri = &ctx->request->unparsed_uri;

    ctx->public.path = *uri;

    if (uri->len) {
        p = memchr(uri->data, '?', uri->len);

        if (p) {
            ctx->public.path.len = p - uri->data;
        }
    }

    ngx_http_weir_classify(ctx->request, ctx, &ctx->public.endpoint);
}


/* of a subrequest the path counts that it was made with */

void
ngx_http_weir_classify(ngx_http_request_t *r, ngx_http_weir_core_ctx_t *ctx,
    weir_endpoint_info_t *info)
{
    char                            room[NGX_HTTP_WEIR_MAX_PATH_MODEL];
    ngx_str_t                      *s;
    weir_endpoint_request_t         request;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);

    ngx_memzero(&request, sizeof(weir_endpoint_request_t));

    request.method = weir_str((char *) r->method_name.data,
                              r->method_name.len);
    request.prefix = weir_str((char *) wlcf->prefix.data, wlcf->prefix.len);

    s = (r == r->main) ? &ctx->public.path : &r->uri;

    request.path = weir_str((char *) s->data, s->len);

    if (r->headers_in.content_type) {
        s = &r->headers_in.content_type->value;
        request.content_type = weir_str((char *) s->data, s->len);
    }

    s = &ctx->content_encoding;

    request.content_encoding = weir_str((char *) s->data, s->len);
    request.anthropic_version = ctx->anthropic_version;

    /* an offer of HTTP/2 comes with ordinary requests, and is not taken */

    request.upgrade = ngx_http_weir_upgrades(r);

    request.has_body = (r->headers_in.content_length_n > 0
                        || r->headers_in.chunked
#if (NGX_HTTP_V2)
                        || (r->stream && !r->stream->in_closed)
#endif
                        );

    if (!ngx_http_weir_recall(&ctx->wmcf->recent, &request, info)) {
        weir_endpoint_classify(&request, room, sizeof(room), info);
        ngx_http_weir_remember(&ctx->wmcf->recent, &request, info);
    }

    if (info->model.len && info->model.data == room) {
        info->model.data = weir_arena_strndup(&ctx->arena, room,
                                              info->model.len);
        if (info->model.data == NULL) {
            info->why = WEIR_NOT_PATH;
            info->model.len = 0;
        }
    }

    if (ctx->other_method && info->why == WEIR_UNDERSTOOD) {
        info->why = WEIR_NOT_METHOD;
    }

    if (ctx->strange_headers && info->why == WEIR_UNDERSTOOD
        && info->reads_body)
    {
        info->why = WEIR_NOT_TYPE;
    }
}


/*
 * What is not compared here is the same for all that are remembered.  Whether
 * there is a body does not matter to calls that read one.
 */

static ngx_uint_t
ngx_http_weir_recall(ngx_http_weir_recent_t *recent,
    const weir_endpoint_request_t *request, weir_endpoint_info_t *info)
{
    if (recent->path_len == 0
        || request->path.len != recent->path_len
        || request->content_type.len != recent->type_len
        || request->prefix.data != (char *) recent->prefix.data
        || request->prefix.len != recent->prefix.len
        || request->content_encoding.len
        || request->anthropic_version
        || request->upgrade
        || request->method.len != sizeof("POST") - 1
        || ngx_memcmp(request->method.data, "POST", sizeof("POST") - 1) != 0
        || ngx_memcmp(request->path.data, recent->path, recent->path_len) != 0
        || (recent->type_len
            && ngx_memcmp(request->content_type.data, recent->type,
                          recent->type_len)
               != 0))
    {
        return 0;
    }

    *info = recent->info;
    info->suffix.data = request->path.data + recent->suffix;

    return 1;
}


static void
ngx_http_weir_remember(ngx_http_weir_recent_t *recent,
    const weir_endpoint_request_t *request, const weir_endpoint_info_t *info)
{
    if (info->why != WEIR_UNDERSTOOD
        || !info->reads_body
        || info->model.len
        || request->path.len > NGX_HTTP_WEIR_RECENT
        || request->content_type.len > NGX_HTTP_WEIR_RECENT
        || request->content_encoding.len
        || request->anthropic_version
        || request->upgrade
        || request->method.len != sizeof("POST") - 1
        || ngx_memcmp(request->method.data, "POST", sizeof("POST") - 1) != 0)
    {
        return;
    }

    recent->prefix.data = (u_char *) request->prefix.data;
    recent->prefix.len = request->prefix.len;

    recent->path_len = request->path.len;
    ngx_memcpy(recent->path, request->path.data, request->path.len);

    recent->type_len = request->content_type.len;

    if (recent->type_len) {
        ngx_memcpy(recent->type, request->content_type.data,
                   recent->type_len);
    }

    recent->info = *info;
    recent->suffix = info->suffix.data - request->path.data;
}


void **
ngx_http_weir_slot(ngx_http_weir_ctx_t *public,
    const ngx_http_weir_plugin_t *plugin)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    ngx_uint_t                      i;
    const ngx_http_weir_plugin_t  **p;

    p = ctx->wmcf->plugins.elts;

    for (i = 0; p[i] != plugin; i++) { /* void */ }

    return &ctx->slots[i].data;
}


weir_arena_t *
ngx_http_weir_arena(ngx_http_weir_ctx_t *public)
{
    return &((ngx_http_weir_core_ctx_t *) public)->arena;
}


void
ngx_http_weir_walk(ngx_http_weir_notice_pt visitor, void *data)
{
    ngx_queue_t                     *q, *next;
    ngx_http_weir_core_ctx_t        *ctx;
    ngx_http_weir_core_main_conf_t  *wmcf;

    wmcf = ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_weir_core_module);

    for (q = ngx_queue_head(&wmcf->live);
         q != ngx_queue_sentinel(&wmcf->live);
         q = next)
    {
        next = ngx_queue_next(q);

        ctx = ngx_queue_data(q, ngx_http_weir_core_ctx_t, queue);

        visitor(ctx->request, &ctx->public, data);
    }
}


ngx_int_t
ngx_http_weir_tag(ngx_http_weir_ctx_t *public, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_http_weir_core_ctx_t *ctx = (ngx_http_weir_core_ctx_t *) public;

    ngx_http_weir_tag_t  *tag;

    tag = weir_arena_alloc(&ctx->arena, sizeof(ngx_http_weir_tag_t));
    if (tag == NULL) {
        return NGX_ERROR;
    }

    tag->name.len = name->len;
    tag->name.data = (u_char *) weir_arena_strndup(&ctx->arena,
                                    (const char *) name->data, name->len);

    tag->value.len = value->len;
    tag->value.data = (u_char *) weir_arena_strndup(&ctx->arena,
                                     (const char *) value->data, value->len);

    if (tag->name.data == NULL || tag->value.data == NULL) {
        return NGX_ERROR;
    }

    /* the newest first: it is the one that is found */

    tag->next = ctx->tags;
    ctx->tags = tag;

    return NGX_OK;
}
