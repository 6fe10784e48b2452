
/*
 * Weir: which path is meant, reading the body, and the answers that need no
 * token from the model.
 */


#include "ngx_http_weir_engine.h"

#include <sys/random.h>


typedef struct {
    ngx_str_t                      path;
    ngx_uint_t                     methods;
    ngx_str_t                      allow;
    ngx_http_weir_engine_route_e   route;
} ngx_http_weir_engine_path_t;


static ngx_int_t ngx_http_weir_engine_route(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_engine_under(ngx_http_request_t *r,
    ngx_http_weir_engine_path_t *path);
static ngx_int_t ngx_http_weir_engine_request_id(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx);
static ngx_int_t ngx_http_weir_engine_check_type(ngx_http_request_t *r);
static void ngx_http_weir_engine_free_arena(void *data);
static void ngx_http_weir_engine_body_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_engine_body(ngx_http_request_t *r,
    weir_str_t *body);
static ngx_int_t ngx_http_weir_engine_convert(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, weir_str_t body);
static ngx_int_t ngx_http_weir_engine_models(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx);


static ngx_http_weir_engine_path_t  ngx_http_weir_engine_paths[] = {

    { ngx_string("/v1/chat/completions"), NGX_HTTP_POST, ngx_string("POST"),
      NGX_HTTP_WEIR_ENGINE_CHAT },

    { ngx_string("/v1/completions"), NGX_HTTP_POST, ngx_string("POST"),
      NGX_HTTP_WEIR_ENGINE_COMPLETIONS },

    { ngx_string("/generate"), NGX_HTTP_POST, ngx_string("POST"),
      NGX_HTTP_WEIR_ENGINE_GENERATE },

    { ngx_string("/tokenize"), NGX_HTTP_POST, ngx_string("POST"),
      NGX_HTTP_WEIR_ENGINE_TOKENIZE },

    { ngx_string("/detokenize"), NGX_HTTP_POST, ngx_string("POST"),
      NGX_HTTP_WEIR_ENGINE_DETOKENIZE },

    { ngx_string("/v1/models"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      ngx_string("GET, HEAD"), NGX_HTTP_WEIR_ENGINE_MODELS },

    { ngx_string("/health"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      ngx_string("GET, HEAD"), NGX_HTTP_WEIR_ENGINE_HEALTH },

    { ngx_string("/metrics"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      ngx_string("GET, HEAD"), NGX_HTTP_WEIR_ENGINE_METRICS },

    { ngx_null_string, 0, ngx_null_string, NGX_HTTP_WEIR_ENGINE_OTHER }
};


static ngx_http_weir_engine_path_t  ngx_http_weir_engine_model_path =

    { ngx_string("/v1/models/"), NGX_HTTP_GET|NGX_HTTP_HEAD,
      ngx_string("GET, HEAD"), NGX_HTTP_WEIR_ENGINE_MODEL };


/* of a gateway, about requests that it has cancelled */

static ngx_http_weir_engine_path_t  ngx_http_weir_engine_usage_path =

    { ngx_string("/usage/"), NGX_HTTP_GET, ngx_string("GET"),
      NGX_HTTP_WEIR_ENGINE_USAGE };


ngx_int_t
ngx_http_weir_engine_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    ngx_str_t                   *prefix, id;
    ngx_pool_cleanup_t          *cln;
    ngx_http_weir_engine_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_HTTP_NOT_FOUND;
    }

    /* zeroed by pcalloc: all flags, chains and counters */

    ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_engine_ctx_t));
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cln = ngx_pool_cleanup_add(r->pool, 0);
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx->wmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_engine_module);
    ctx->request = r;
    ctx->start = ngx_current_msec;
    ctx->route = NGX_HTTP_WEIR_ENGINE_OTHER;

    weir_arena_init(&ctx->arena, 16 * 1024, ctx->wmcf->request_memory);

    cln->handler = ngx_http_weir_engine_free_arena;
    cln->data = ctx;

    ngx_http_set_ctx(r, ctx, ngx_http_weir_engine_module);

    if (ngx_http_weir_engine_request_id(r, ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_weir_engine_route(r, ctx);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (ctx->route == NGX_HTTP_WEIR_ENGINE_MODELS
        || ctx->route == NGX_HTTP_WEIR_ENGINE_MODEL
        || ctx->route == NGX_HTTP_WEIR_ENGINE_HEALTH
        || ctx->route == NGX_HTTP_WEIR_ENGINE_METRICS
        || ctx->route == NGX_HTTP_WEIR_ENGINE_USAGE)
    {
        rc = ngx_http_discard_request_body(r);

        if (rc != NGX_OK) {
            return rc;
        }

        if (ctx->route == NGX_HTTP_WEIR_ENGINE_USAGE) {
            prefix = &ngx_http_weir_engine_usage_path.path;

            id.data = r->uri.data + prefix->len;
            id.len = r->uri.len - prefix->len;

            return ngx_http_weir_engine_usage(r, ctx, &id);
        }

        if (ctx->route == NGX_HTTP_WEIR_ENGINE_HEALTH) {
            return ngx_http_weir_engine_health(r, ctx);
        }

        if (ctx->route == NGX_HTTP_WEIR_ENGINE_METRICS) {
            return ngx_http_weir_engine_metrics(r, ctx);
        }

        return ngx_http_weir_engine_models(r, ctx);
    }

    rc = ngx_http_weir_engine_check_type(r);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    r->request_body_in_single_buf = 1;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_weir_engine_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    return NGX_DONE;
}


/* NGX_DECLINED: ctx->route is known and takes the method; else answered */

static ngx_int_t
ngx_http_weir_engine_route(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_http_weir_engine_path_t  *path;

    if (ngx_http_weir_engine_under(r, &ngx_http_weir_engine_model_path)) {
        path = &ngx_http_weir_engine_model_path;

    } else if (ngx_http_weir_engine_under(r,
                                          &ngx_http_weir_engine_usage_path))
    {
        path = &ngx_http_weir_engine_usage_path;

    } else {
        for (path = ngx_http_weir_engine_paths; path->path.len; path++) {

            if (r->uri.len == path->path.len
                && ngx_strncmp(r->uri.data, path->path.data, r->uri.len) == 0)
            {
                break;
            }
        }
    }

    ctx->route = path->route;

    if (r->method & path->methods) {
        return NGX_DECLINED;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    if (path->path.len == 0) {
        return ngx_http_weir_engine_send_status(r, NGX_HTTP_NOT_FOUND,
                   "Unknown path: this engine serves /v1/models, "
                   "/v1/chat/completions, /v1/completions, /generate, "
                   "/tokenize, /detokenize, /health and /metrics",
                   "unknown_url");
    }

    if (ngx_http_weir_engine_add_header(r, "Allow", &path->allow) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_weir_engine_send_status(r, NGX_HTTP_NOT_ALLOWED,
               "This path does not take this method: see the header Allow",
               "method_not_allowed");
}


static ngx_uint_t
ngx_http_weir_engine_under(ngx_http_request_t *r,
    ngx_http_weir_engine_path_t *path)
{
    return r->uri.len > path->path.len
           && ngx_strncmp(r->uri.data, path->path.data, path->path.len) == 0;
}


/* the caller's if it is harmless in logs and headers, else a fresh one */

static ngx_int_t
ngx_http_weir_engine_request_id(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx)
{
    u_char      c, random[16];
    size_t      i;
    ngx_str_t  *value;

    value = ngx_http_weir_engine_find_header(r, "x-request-id",
                                             sizeof("x-request-id") - 1);

    if (value && value->len > 0 && value->len <= 128) {

        for (i = 0; i < value->len; i++) {
            c = value->data[i];

            if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
                  || (c >= '0' && c <= '9')
                  || c == '-' || c == '_' || c == '.' || c == ':'))
            {
                break;
            }
        }

        if (i == value->len) {
            ctx->request_id = *value;
            goto done;
        }
    }

    if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, ngx_errno,
                      "getrandom() failed");
        return NGX_ERROR;
    }

    ctx->request_id.data = ngx_pnalloc(r->pool, 2 * sizeof(random));
    if (ctx->request_id.data == NULL) {
        return NGX_ERROR;
    }

    (void) ngx_hex_dump(ctx->request_id.data, random, sizeof(random));
    ctx->request_id.len = 2 * sizeof(random);

done:

    return ngx_http_weir_engine_add_header(r, "x-request-id",
                                           &ctx->request_id);
}


/* a body that is not plain UTF-8 would be misread: NGX_DECLINED if it is */

static ngx_int_t
ngx_http_weir_engine_check_type(ngx_http_request_t *r)
{
    u_char     *p, *last;
    ngx_int_t   rc;
    ngx_str_t  *value;

    value = ngx_http_weir_engine_find_header(r, "content-encoding",
                                             sizeof("content-encoding") - 1);

    if (value && value->len
        && !(value->len == 8
             && ngx_strncasecmp(value->data, (u_char *) "identity", 8) == 0))
    {
        goto refuse;
    }

    if (r->headers_in.content_type == NULL
        || r->headers_in.content_type->value.len < sizeof("charset=utf-8") - 1)
    {
        return NGX_DECLINED;
    }

    value = &r->headers_in.content_type->value;
    last = value->data + value->len;

    p = ngx_strlcasestrn(value->data, last, (u_char *) "charset=", 8 - 1);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    p += 8;

    if (p < last && *p == '"') {
        p++;
    }

    if (last - p >= 5 && ngx_strncasecmp(p, (u_char *) "utf-8", 5) == 0) {
        return NGX_DECLINED;
    }

refuse:

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    return ngx_http_weir_engine_send_status(r,
               NGX_HTTP_UNSUPPORTED_MEDIA_TYPE,
               "The body must be plain JSON in UTF-8, without "
               "Content-Encoding", "unsupported_media_type");
}


static void
ngx_http_weir_engine_free_arena(void *data)
{
    ngx_http_weir_engine_ctx_t *ctx = data;

    weir_arena_free(&ctx->arena);
}


static void
ngx_http_weir_engine_body_handler(ngx_http_request_t *r)
{
    ngx_int_t                    rc;
    weir_str_t                   body;
    ngx_http_weir_engine_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_engine_module);

    rc = ngx_http_weir_engine_body(r, &body);

    if (rc != NGX_OK) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    if (ctx->route == NGX_HTTP_WEIR_ENGINE_TOKENIZE
        || ctx->route == NGX_HTTP_WEIR_ENGINE_DETOKENIZE)
    {
        ngx_http_finalize_request(r,
                                  ngx_http_weir_engine_convert(r, ctx, body));
        return;
    }

    ngx_http_weir_engine_generate(r, ctx, body);
}


/* the body in one piece; merging the location has kept it out of files */

static ngx_int_t
ngx_http_weir_engine_body(ngx_http_request_t *r, weir_str_t *body)
{
    u_char       *p;
    size_t        len;
    ngx_chain_t  *cl;

    *body = weir_str("", 0);

    if (r->request_body == NULL || r->request_body->bufs == NULL) {
        return NGX_OK;
    }

    if (r->request_body->temp_file) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "request body was written to a file");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    cl = r->request_body->bufs;

    if (cl->next == NULL) {
        *body = weir_str((char *) cl->buf->pos, cl->buf->last - cl->buf->pos);
        return NGX_OK;
    }

    len = 0;

    for ( /* void */ ; cl; cl = cl->next) {
        len += cl->buf->last - cl->buf->pos;
    }

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    *body = weir_str((char *) p, len);

    for (cl = r->request_body->bufs; cl; cl = cl->next) {
        p = ngx_cpymem(p, cl->buf->pos, cl->buf->last - cl->buf->pos);
    }

    return NGX_OK;
}


/* /tokenize and /detokenize */

static ngx_int_t
ngx_http_weir_engine_convert(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx, weir_str_t body)
{
    uint32_t          retry_ms;
    weir_buf_t        out;
    weir_error_t      err;
    weir_status_t     status;
    weir_api_model_t  model;

    ngx_memzero(&err, sizeof(weir_error_t));

    if (ngx_http_weir_engine_ready(ctx->wmcf, &err, &retry_ms) != NGX_OK) {
        return ngx_http_weir_engine_send_error(r, &err, retry_ms);
    }

    ngx_http_weir_engine_model(ctx->wmcf, &model);
    weir_buf_init(&out, &ctx->arena);

    if (ctx->route == NGX_HTTP_WEIR_ENGINE_TOKENIZE) {
        status = weir_api_tokenize(body, &ctx->wmcf->names, &model,
                                   &ctx->arena, &out, &err);
    } else {
        status = weir_api_detokenize(body, &ctx->wmcf->names, &model,
                                     &ctx->arena, &out, &err);
    }

    if (status != WEIR_OK) {
        return ngx_http_weir_engine_send_error(r, &err, 0);
    }

    return ngx_http_weir_engine_send(r, NGX_HTTP_OK, &out);
}


static ngx_int_t
ngx_http_weir_engine_models(ngx_http_request_t *r,
    ngx_http_weir_engine_ctx_t *ctx)
{
    u_char                            *p, *last;
    uint32_t                           context;
    weir_buf_t                         out;
    weir_str_t                         raw, id, *single;
    weir_error_t                       err;
    ngx_str_t                         *prefix;
    ngx_http_weir_engine_main_conf_t  *wmcf;

    wmcf = ctx->wmcf;
    single = NULL;
    id = weir_str("", 0);

    if (ctx->route == NGX_HTTP_WEIR_ENGINE_MODEL) {

        /*
         * The id as the client sent it, decoded once: in r->uri an encoded
         * slash or dot has already been taken for a path's.
         */

        prefix = &ngx_http_weir_engine_model_path.path;
        p = r->unparsed_uri.data;
        last = p + r->unparsed_uri.len;

        if (r->unparsed_uri.len > prefix->len
            && ngx_strncmp(p, prefix->data, prefix->len) == 0)
        {
            p += prefix->len;
            raw.data = (char *) p;

            while (p < last && *p != '?' && *p != '#') {
                p++;
            }

            raw.len = p - (u_char *) raw.data;

        } else {
            raw = weir_str((char *) r->uri.data + prefix->len,
                           r->uri.len - prefix->len);
        }

        if (!weir_api_decode_segment(raw, &ctx->arena, &id)) {
            return ngx_http_weir_engine_send_status(r, NGX_HTTP_BAD_REQUEST,
                       "The model's id is not percent-encoded UTF-8",
                       "invalid_value");
        }

        single = &id;
    }

    context = 0;

    if (wmcf->engine && weir_engine_state(wmcf->engine, NULL)
                        == WEIR_ENGINE_READY)
    {
        context = weir_engine_context(wmcf->engine);
    }

    weir_buf_init(&out, &ctx->arena);

    if (!weir_api_write_models(&wmcf->names, single, wmcf->created, context,
                               &out))
    {
        weir_error_at(&err, WEIR_ERR_NOT_FOUND, "model", "model_not_found",
                      "The model \"%.*s\" does not exist here; \"%.*s\" is "
                      "served", (int) ngx_min(id.len, 64), id.data,
                      (int) wmcf->names.id.len, wmcf->names.id.data);

        return ngx_http_weir_engine_send_error(r, &err, 0);
    }

    return ngx_http_weir_engine_send(r, NGX_HTTP_OK, &out);
}


/* a whole JSON answer; body must live as long as the request */

ngx_int_t
ngx_http_weir_engine_send(ngx_http_request_t *r, ngx_uint_t status,
    weir_buf_t *body)
{
    ngx_int_t                    rc;
    ngx_buf_t                   *b;
    ngx_chain_t                  out;
    ngx_http_weir_engine_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_engine_module);
    ctx->own = 1;

    if (body->failed || body->len == 0) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "no memory for the answer");
        ctx->own = 0;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->headers_out.status = status;
    r->headers_out.content_length_n = body->len;

    if (r->headers_out.content_type.len == 0) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        r->headers_out.content_type_len = r->headers_out.content_type.len;
        r->headers_out.content_type_lowcase = NULL;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = (u_char *) body->data;
    b->last = b->pos + body->len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_weir_engine_send_error(ngx_http_request_t *r, weir_error_t *err,
    uint32_t retry_ms)
{
    ngx_str_t                    text;
    ngx_uint_t                   status;
    weir_buf_t                   out;
    ngx_http_weir_engine_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_engine_module);

    status = weir_api_error_status(err);

    if (status == NGX_HTTP_INTERNAL_SERVER_ERROR) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "weir engine: %s",
                      err->message);
    }

    if (status == NGX_HTTP_TOO_MANY_REQUESTS
        || status == NGX_HTTP_SERVICE_UNAVAILABLE)
    {
        if (retry_ms == 0) {
            retry_ms = 1000;
        }

        if (ngx_http_weir_engine_add_number(r, "Retry-After",
                                            (retry_ms + 999) / 1000)
            != NGX_OK
            || ngx_http_weir_engine_add_number(r, "retry-after-ms", retry_ms)
               != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    /* the request's memory may be what has run out */

    weir_arena_reset(&ctx->wmcf->scratch);
    weir_buf_init(&out, &ctx->wmcf->scratch);
    weir_api_write_error(&out, err);

    if (!out.failed) {
        text.len = out.len;
        text.data = (u_char *) out.data;

        out.data = (char *) ngx_pstrdup(r->pool, &text);
        out.failed = (out.data == NULL);
    }

    return ngx_http_weir_engine_send(r, status, &out);
}


ngx_int_t
ngx_http_weir_engine_send_status(ngx_http_request_t *r, ngx_uint_t status,
    char *message, char *code)
{
    weir_buf_t                   out;
    ngx_http_weir_engine_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_engine_module);

    weir_buf_init(&out, &ctx->arena);
    weir_api_write_error_text(&out, (int) status, message, NULL, code);

    return ngx_http_weir_engine_send(r, status, &out);
}


/* value must live as long as the request */

ngx_int_t
ngx_http_weir_engine_add_header(ngx_http_request_t *r, char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value = *value;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_engine_add_number(ngx_http_request_t *r, char *name,
    uint64_t number)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%uL", number) - value.data;

    return ngx_http_weir_engine_add_header(r, name, &value);
}


/* name in lower case; the first header of that name, or NULL */

ngx_str_t *
ngx_http_weir_engine_find_header(ngx_http_request_t *r, char *name, size_t len)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                return NULL;
            }

            part = part->next;
            h = part->elts;
            i = 0;
        }

        if (h[i].key.len == len
            && ngx_strncasecmp(h[i].key.data, (u_char *) name, len) == 0)
        {
            return &h[i].value;
        }
    }
}


ngx_int_t
ngx_http_weir_engine_ready(ngx_http_weir_engine_main_conf_t *wmcf,
    weir_error_t *err, uint32_t *retry_ms)
{
    weir_engine_state_t  state;

    *retry_ms = 1000;

    state = wmcf->engine ? weir_engine_state(wmcf->engine, err)
                         : WEIR_ENGINE_FAILED;

    if (state == WEIR_ENGINE_READY) {
        return NGX_OK;
    }

    if (state == WEIR_ENGINE_LOADING) {
        weir_error_at(err, WEIR_ERR_STATE, NULL, "model_loading",
                      "The model is being loaded (%d %%); try again soon",
                      (int) (weir_engine_load_progress(wmcf->engine) * 100));
        return NGX_ERROR;
    }

    /* the reason is in the log and in /health, which no client reaches */

    *retry_ms = 30000;

    weir_error_at(err, WEIR_ERR_STATE, NULL, "model_failed",
                  "The model could not be loaded; see /health and the "
                  "engine's error log");

    return NGX_ERROR;
}


/* the engine must be ready */

void
ngx_http_weir_engine_model(ngx_http_weir_engine_main_conf_t *wmcf,
    weir_api_model_t *model)
{
    model->tokenizer = weir_engine_tokenizer(wmcf->engine);
    model->chat_template = weir_engine_chat_template(wmcf->engine);
    model->context = weir_engine_context(wmcf->engine);
}
