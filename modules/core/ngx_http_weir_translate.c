
/*
 * Weir's core: a client that speaks one API is served by an upstream that
 * speaks another.  The last of the plugins that change a request, the first to
 * see its answer.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"

#include "lua-free-filters/translate/translate.h"


#define NGX_HTTP_WEIR_ANTHROPIC_VERSION  "2023-06-01"

/* of a large body, on a thread that is shared */

#define NGX_HTTP_WEIR_TRANSLATE_TIMEOUT  10000


typedef struct {
    ngx_http_weir_ctx_t            *ctx;
    weir_protocol_t                 target;
    weir_translate_options_t        options;
    weir_buf_t                      out;
    weir_translation_t             *translation;    /* none of a count */
    const char                     *path;
    weir_error_t                    err;
    weir_status_t                   rc;
} ngx_http_weir_translate_job_t;


static ngx_int_t ngx_http_weir_translate_option(
    weir_translate_options_t *options, ngx_str_t *value);
static ngx_uint_t ngx_http_weir_translate_wants(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
static weir_protocol_t ngx_http_weir_translate_counted(
    ngx_http_weir_ctx_t *ctx);
static ngx_int_t ngx_http_weir_translate_expect_count(
    ngx_http_weir_ctx_t *ctx);
static weir_translation_t *ngx_http_weir_translation(ngx_http_weir_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_translate_azure(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);
static ngx_int_t ngx_http_weir_translate_path(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);
static weir_protocol_t ngx_http_weir_translate_target(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);
static ngx_int_t ngx_http_weir_translate_request(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
static void ngx_http_weir_translate_work(void *data);
static void ngx_http_weir_translate_done(void *data);
static ngx_int_t ngx_http_weir_translate_take(
    ngx_http_weir_translate_job_t *job);
static ngx_int_t ngx_http_weir_translate_refuse(ngx_http_weir_ctx_t *ctx,
    weir_error_t *err);
static ngx_int_t ngx_http_weir_translate_count(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx);
static ngx_int_t ngx_http_weir_translate_uri(ngx_http_request_t *r,
    const char *path);
static ngx_int_t ngx_http_weir_translate_version(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_translate_open_filter(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, weir_filter_t *filter, void *data);
static void ngx_http_weir_translate_settled(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);


static const ngx_http_weir_refusal_t  ngx_http_weir_untranslatable =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "not_translatable", "", "not_translatable");


static const ngx_http_weir_refusal_t  ngx_http_weir_other_api =
    ngx_http_weir_refusal(NGX_HTTP_NOT_FOUND, "invalid_request_error",
                          "endpoint_not_supported",
                          "The model server behind this path speaks another "
                          "API, which has no such call.",
                          "not_translatable");


const ngx_http_weir_plugin_t  ngx_http_weir_translate_plugin = {
    ngx_string("translate"),               /* name */
    NGX_HTTP_WEIR_STAGE_TRANSLATE,         /* stage */
    NGX_HTTP_WEIR_NEEDS_EDITED
    |NGX_HTTP_WEIR_NEEDS_RESPONSE,         /* needs */
    0,                                     /* max_body */
    NGX_HTTP_WEIR_TRANSLATE_TIMEOUT,       /* timeout */
    NGX_HTTP_WEIR_FAIL_CLOSED,             /* on_failure */
    NULL,                                  /* data */
    ngx_http_weir_translate_wants,         /* wants */
    NULL,                                  /* admit */
    ngx_http_weir_translate_request,       /* request */
    NULL,                                  /* route */
    NULL,                                  /* response headers */
    ngx_http_weir_translate_open_filter,   /* open filter */
    NULL,                                  /* cancel */
    ngx_http_weir_translate_settled        /* settled */
};


/* where the location says nothing */

const weir_translate_options_t  ngx_http_weir_translate_defaults;


char *
ngx_http_weir_translate_options(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_core_loc_conf_t *wlcf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 i;
    weir_translate_options_t  *options;

    if (wlcf->translate != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    options = ngx_pcalloc(cf->pool, sizeof(weir_translate_options_t));
    if (options == NULL) {
        return NGX_CONF_ERROR;
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_weir_translate_option(options, &value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown option or bad value \"%V\" in "
                               "\"weir_translate_options\": see "
                               "docs/translation.md", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    wlcf->translate = options;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_translate_option(weir_translate_options_t *options,
    ngx_str_t *value)
{
    ngx_int_t   n;
    ngx_uint_t  i;

    static const struct {
        const char  *name;
        size_t       offset;
    } flags[] = {
        { "strict_openai", offsetof(weir_translate_options_t, strict_openai) },
        { "legacy_max_tokens",
          offsetof(weir_translate_options_t, legacy_max_tokens) },
        { "no_sampling", offsetof(weir_translate_options_t, no_sampling) },
        { "no_thinking_blocks",
          offsetof(weir_translate_options_t, no_thinking_blocks) },
        { "ask_count", offsetof(weir_translate_options_t, ask_count) }
    };

    for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (ngx_strcmp(value->data, flags[i].name) == 0) {
            *(bool *) ((u_char *) options + flags[i].offset) = true;
            return NGX_OK;
        }
    }

    if (ngx_strcmp(value->data, "thinking=adaptive") == 0) {
        options->thinking = WEIR_THINKING_ADAPTIVE;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "thinking=budget") == 0) {
        options->thinking = WEIR_THINKING_BUDGET;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "reasoning=reasoning_content") == 0
        || ngx_strcmp(value->data, "reasoning=reasoning") == 0)
    {
        options->reasoning_field = (char *) value->data
                                   + sizeof("reasoning=") - 1;
        return NGX_OK;
    }

    if (ngx_strncmp(value->data, "max_tokens=", sizeof("max_tokens=") - 1)
        == 0)
    {
        n = ngx_atoi(value->data + sizeof("max_tokens=") - 1,
                     value->len - (sizeof("max_tokens=") - 1));

        if (n > 0) {
            options->default_max_tokens = n;
            return NGX_OK;
        }
    }

    return NGX_ERROR;
}


static ngx_uint_t
ngx_http_weir_translate_wants(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data)
{
    if (ngx_http_weir_translate_target(r, ctx) == WEIR_PROTOCOL_OTHER) {
        return ngx_http_weir_translate_azure(r, ctx)
                   ? NGX_HTTP_WEIR_NEEDS_EDITED : 0;
    }

    return NGX_HTTP_WEIR_NEEDS_EDITED|NGX_HTTP_WEIR_NEEDS_RESPONSE;
}


/* a path of Azure's before an upstream of OpenAI's own API */

static ngx_uint_t
ngx_http_weir_translate_azure(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx)
{
    ngx_http_weir_core_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);

    return ctx->endpoint.azure
           && ctx->endpoint.why == WEIR_UNDERSTOOD
           && ctx->endpoint.reads_body
           && (wlcf->upstream_api == NGX_HTTP_WEIR_API_OPENAI
               || wlcf->upstream_api == NGX_HTTP_WEIR_API_CHAT);
}


/* the model, which the path names, goes into the body */

static ngx_int_t
ngx_http_weir_translate_path(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx)
{
    u_char          *p, *last;
    weir_buf_t       model, path;
    weir_str_t       tail;

    weir_buf_init(&model, ngx_http_weir_arena(ctx));
    weir_buf_init(&path, ngx_http_weir_arena(ctx));

    if (ctx->view->model_node == WEIR_JSON_NONE) {
        weir_json_write_string(&model, ctx->endpoint.model);

        if (model.failed
            || weir_edit_member(ngx_http_weir_edit(ctx), ctx->view->doc, 0,
                                "model", weir_str(model.data, model.len),
                                NULL)
               != WEIR_OK)
        {
            return NGX_ERROR;
        }
    }

    /* openai/deployments/MODEL/... */

    tail = ctx->endpoint.suffix;
    p = (u_char *) tail.data + sizeof("openai/deployments/") - 1;
    last = (u_char *) tail.data + tail.len;

    p = ngx_strlchr(p, last, '/');

    if (p == NULL) {
        return NGX_ERROR;
    }

    weir_buf_append_z(&path, "/v1");
    weir_buf_append(&path, (char *) p, last - p);
    weir_buf_append_char(&path, '\0');

    if (path.failed || ngx_http_weir_translate_uri(r, path.data) != NGX_OK) {
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* WEIR_PROTOCOL_OTHER: the upstream speaks what the client does */

static weir_protocol_t
ngx_http_weir_translate_target(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx)
{
    weir_protocol_t                 client;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);

    if (wlcf->upstream_api == NGX_HTTP_WEIR_API_SAME
        || ctx->endpoint.why != WEIR_UNDERSTOOD)
    {
        return WEIR_PROTOCOL_OTHER;
    }

    client = ctx->endpoint.protocol;

    switch (ctx->endpoint.endpoint) {

    case WEIR_ENDPOINT_COUNT_TOKENS:
        client = WEIR_PROTOCOL_MESSAGES;
        break;

    case WEIR_ENDPOINT_INPUT_TOKENS:
        client = WEIR_PROTOCOL_RESPONSES;
        break;

    default:
        break;
    }

    if (wlcf->upstream_api == NGX_HTTP_WEIR_API_ANTHROPIC) {
        return (client == WEIR_PROTOCOL_CHAT
                || client == WEIR_PROTOCOL_RESPONSES)
                   ? WEIR_PROTOCOL_MESSAGES : WEIR_PROTOCOL_OTHER;
    }

    if (client == WEIR_PROTOCOL_MESSAGES
        || (client == WEIR_PROTOCOL_RESPONSES
            && wlcf->upstream_api == NGX_HTTP_WEIR_API_CHAT))
    {
        return WEIR_PROTOCOL_CHAT;
    }

    return WEIR_PROTOCOL_OTHER;
}


static ngx_int_t
ngx_http_weir_translate_request(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data)
{
    weir_arena_t                   *arena;
    weir_protocol_t                 target;
    ngx_http_weir_core_loc_conf_t  *wlcf;
    ngx_http_weir_translate_job_t  *job;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);
    target = ngx_http_weir_translate_target(r, ctx);

    if (ctx->view == NULL) {
        return NGX_DECLINED;
    }

    if (target == WEIR_PROTOCOL_OTHER) {
        return ngx_http_weir_translate_azure(r, ctx)
                   ? ngx_http_weir_translate_path(r, ctx) : NGX_DECLINED;
    }

    if (ctx->endpoint.protocol == WEIR_PROTOCOL_DOCUMENT) {

        if (!wlcf->translate->ask_count) {
            return ngx_http_weir_translate_count(r, ctx);
        }

    } else if (!weir_translate_supported(ctx->endpoint.protocol, target)) {
        ctx->refusal = &ngx_http_weir_other_api;
        return NGX_ABORT;
    }

    arena = ngx_http_weir_arena(ctx);

    job = weir_arena_calloc(arena, 1, sizeof(ngx_http_weir_translate_job_t));
    if (job == NULL) {
        return NGX_ERROR;
    }

    job->ctx = ctx;
    job->target = target;
    job->options = *wlcf->translate;
    job->options.now = ngx_time();

    if (ctx->view->model_node == WEIR_JSON_NONE) {
        job->options.model = ctx->endpoint.model;   /* Azure's */
    }

    job->options.request_id = weir_arena_strndup(arena,
                                                (char *) ctx->request_id.data,
                                                ctx->request_id.len);

    weir_buf_init(&job->out, arena);

    if (ctx->body.len > NGX_HTTP_WEIR_LARGE
        && ngx_http_weir_work(ctx, ngx_http_weir_translate_work,
                              ngx_http_weir_translate_done, job)
           == NGX_AGAIN)
    {
        return NGX_AGAIN;
    }

    ngx_http_weir_translate_work(job);

    return ngx_http_weir_translate_take(job);
}


/* on a thread, when the body is large */

static void
ngx_http_weir_translate_work(void *data)
{
    ngx_http_weir_translate_job_t *job = data;

    if (job->ctx->endpoint.protocol == WEIR_PROTOCOL_DOCUMENT) {
        job->rc = weir_translate_count_request(
                      ngx_http_weir_translate_counted(job->ctx), job->target,
                      job->ctx->view->doc, &job->options,
                      ngx_http_weir_arena(job->ctx), &job->out, &job->path,
                      &job->err);
        return;
    }

    job->path = weir_translate_path(job->target);
    job->rc = weir_translate_request(job->ctx->endpoint.protocol, job->target,
                                     job->ctx->view->doc, &job->options,
                                     ngx_http_weir_arena(job->ctx), &job->out,
                                     &job->translation, &job->err);
}


static void
ngx_http_weir_translate_done(void *data)
{
    ngx_http_weir_translate_job_t *job = data;

    ngx_http_weir_resume(job->ctx, ngx_http_weir_translate_take(job));
}


static ngx_int_t
ngx_http_weir_translate_take(ngx_http_weir_translate_job_t *job)
{
    ngx_str_t             body;
    ngx_http_request_t   *r;
    ngx_http_weir_ctx_t  *ctx;

    ctx = job->ctx;
    r = ((ngx_http_weir_core_ctx_t *) ctx)->request;

    switch (job->rc) {

    case WEIR_OK:
        break;

    case WEIR_ERR_INVALID:
    case WEIR_ERR_UNSUPPORTED:
        return ngx_http_weir_translate_refuse(ctx, &job->err);

    default:
        return NGX_ERROR;
    }

    body.data = (u_char *) job->out.data;
    body.len = job->out.len;

    if (job->out.failed
        || ngx_http_weir_replace_body(ctx, &body) != NGX_OK
        || ngx_http_weir_translate_uri(r, job->path) != NGX_OK
        || (job->target == WEIR_PROTOCOL_MESSAGES
            && ngx_http_weir_translate_version(r) != NGX_OK))
    {
        return NGX_ERROR;
    }

    if (job->translation == NULL) {
        return ngx_http_weir_translate_expect_count(ctx);
    }

    ctx->upstream = job->target;

    *ngx_http_weir_slot(ctx, &ngx_http_weir_translate_plugin)
        = job->translation;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_translate_refuse(ngx_http_weir_ctx_t *ctx, weir_error_t *err)
{
    weir_arena_t             *arena;
    ngx_http_weir_refusal_t   why;

    why = ngx_http_weir_untranslatable;
    arena = ngx_http_weir_arena(ctx);

    why.param.len = ngx_strlen(err->field);
    why.param.data = (u_char *) weir_arena_strndup(arena, err->field,
                                                   why.param.len);

    if (err->code[0]) {
        why.code.len = ngx_strlen(err->code);
        why.code.data = (u_char *) weir_arena_strndup(arena, err->code,
                                                      why.code.len);
    }

    if (why.param.data == NULL || why.code.data == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_weir_deny(ctx, &why, "%s", err->message);
}


/* whose call that counts tokens */

static weir_protocol_t
ngx_http_weir_translate_counted(ngx_http_weir_ctx_t *ctx)
{
    return (ctx->endpoint.endpoint == WEIR_ENDPOINT_COUNT_TOKENS)
               ? WEIR_PROTOCOL_MESSAGES : WEIR_PROTOCOL_RESPONSES;
}


/* the answer is the upstream's; errors pass as they are, or in shape */

static ngx_int_t
ngx_http_weir_translate_expect_count(ngx_http_weir_ctx_t *ctx)
{
    weir_arena_t   *arena;
    weir_filter_t  *filter;

    arena = ngx_http_weir_arena(ctx);

    filter = weir_arena_alloc(arena, sizeof(weir_filter_t));

    if (filter == NULL
        || weir_translate_count_filter(ngx_http_weir_translate_counted(ctx),
                                       arena, filter)
           != WEIR_OK)
    {
        return NGX_ERROR;
    }

    *ngx_http_weir_slot(ctx, &ngx_http_weir_translate_plugin) = filter;

    return NGX_OK;
}


/* NULL for a count, whose slot has the answer's filter */

static weir_translation_t *
ngx_http_weir_translation(ngx_http_weir_ctx_t *ctx)
{
    if (ctx->endpoint.protocol == WEIR_PROTOCOL_DOCUMENT) {
        return NULL;
    }

    return *ngx_http_weir_slot(ctx, &ngx_http_weir_translate_plugin);
}


/*
 * Servers of the other API have no call that counts, as a rule: the gateway
 * answers with its own estimate, about four bytes a token.
 */

static ngx_int_t
ngx_http_weir_translate_count(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx)
{
    ngx_str_t        body;
    weir_buf_t       out;
    weir_protocol_t  client;

    static ngx_str_t  json = ngx_string("application/json");

    client = ngx_http_weir_translate_counted(ctx);

    weir_buf_init(&out, ngx_http_weir_arena(ctx));

    weir_translate_count_write(client,
                               (int64_t) (ctx->view->text_bytes + 3) / 4,
                               &out);
    if (out.failed) {
        return NGX_ERROR;
    }

    body.data = (u_char *) out.data;
    body.len = out.len;

    return ngx_http_weir_respond(ctx, NGX_HTTP_OK, &json, &body);
}


/* as "rewrite" does it: proxy_pass sends the new path, not what came in */

static ngx_int_t
ngx_http_weir_translate_uri(ngx_http_request_t *r, const char *path)
{
    size_t                          len;
    u_char                         *p;
    ngx_str_t                       prefix;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_weir_core_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);
    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    len = ngx_strlen(path);
    prefix = wlcf->prefix;

    /* "rewrite" may have taken it off */

    if (r->uri.len < prefix.len
        || ngx_strncmp(r->uri.data, prefix.data, prefix.len) != 0)
    {
        prefix.len = 0;
    }

    p = ngx_pnalloc(r->pool, prefix.len + len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    r->uri.data = p;
    r->uri.len = prefix.len + len;

    p = ngx_cpymem(p, prefix.data, prefix.len);
    ngx_memcpy(p, path, len);

    /* a proxy_pass with a path of its own puts it in the location's place */

    if (r->uri.len < clcf->name.len
        || ngx_strncmp(r->uri.data, clcf->name.data, clcf->name.len) != 0)
    {
        r->valid_location = 0;
    }

    r->valid_unparsed_uri = 0;
    r->args.len = 0;

    return NGX_OK;
}


/* Anthropic refuses requests that do not name a version */

static ngx_int_t
ngx_http_weir_translate_version(ngx_http_request_t *r)
{
    ngx_table_elt_t  *h;

    static ngx_str_t  name = ngx_string("anthropic-version");

    if (ngx_http_weir_find_header(&r->headers_in.headers, &name)) {
        return NGX_OK;
    }

    h = ngx_list_push(&r->headers_in.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = ngx_hash_key_lc(name.data, name.len);
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif
    h->key = name;
    h->lowcase_key = name.data;
    ngx_str_set(&h->value, NGX_HTTP_WEIR_ANTHROPIC_VERSION);

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_translate_open_filter(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, weir_filter_t *filter, void *data)
{
    void                **state;
    weir_translation_t   *translation;

    state = ngx_http_weir_slot(ctx, &ngx_http_weir_translate_plugin);

    if (*state == NULL) {
        return NGX_DECLINED;
    }

    translation = ngx_http_weir_translation(ctx);

    if (translation == NULL) {

        if (r->headers_out.status >= NGX_HTTP_BAD_REQUEST) {
            return NGX_DECLINED;
        }

        *filter = *(weir_filter_t *) *state;
        return NGX_OK;
    }

    ngx_http_weir_translate_status(r, ctx);

    *filter = weir_translate_filter(translation);

    return NGX_OK;
}


/* a status that only the upstream's API has becomes the client's */

void
ngx_http_weir_translate_status(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx)
{
    ngx_uint_t           status;
    weir_translation_t  *translation;

    translation = ngx_http_weir_translation(ctx);

    if (translation == NULL) {
        return;
    }

    status = weir_translation_answered(translation,
                                       (unsigned) r->headers_out.status);

    if (status != r->headers_out.status) {
        r->headers_out.status = status;
        r->headers_out.status_line.len = 0;
    }
}


/* what could not be translated, by the table's names, never the client's */

static void
ngx_http_weir_translate_settled(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data)
{
    uint32_t                      i, n;
    weir_translation_t           *translation;
    const weir_translate_loss_t  *losses;

    translation = ngx_http_weir_translation(ctx);

    if (translation == NULL) {
        return;
    }

    losses = weir_translation_losses(translation, &n);

    ctx->losses = losses;
    ctx->nlosses = n;

    for (i = 0; i < n; i++) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                      "weir: lost in translation: \"%s.%s\" %uD",
                      losses[i].object, losses[i].field, losses[i].count);
    }
}
