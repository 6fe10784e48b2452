
/*
 * Weir's core: requests whose client left before the upstream could tell what
 * they used.  The upstream is asked; until it has answered NGINX keeps the
 * request, as it does for file operations under way, so that its end, with
 * the one usage line, comes when the numbers are there.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"
#include "ngx_http_weir_client.h"


#define NGX_HTTP_WEIR_QUESTION_BODY  4096


struct ngx_http_weir_question_s {
    const ngx_http_weir_client_api_t  *client;
    ngx_http_weir_client_target_t     *target;
    ngx_msec_t                         timeout;
    ngx_uint_t                         max;
};


static void ngx_http_weir_cancelled(void *data);
static ngx_uint_t ngx_http_weir_is_worth_asking(ngx_http_weir_core_ctx_t *ctx);
static void ngx_http_weir_told(const ngx_http_weir_client_answer_t *answer,
    void *data);
static ngx_int_t ngx_http_weir_take_answer(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_client_answer_t *answer);
static ngx_int_t ngx_http_weir_take_number(weir_json_doc_t *doc, char *name,
    uint64_t *value);
static void ngx_http_weir_estimate(ngx_http_weir_core_ctx_t *ctx);


/* once for each governed request, where any location asks */

ngx_int_t
ngx_http_weir_expect_cancel(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_cleanup_t  *cln;

    cln = ngx_http_cleanup_add(ctx->request, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_cancelled;
    cln->data = ctx;

    return NGX_OK;
}


/*
 * The request is being terminated, or freed: only the first can be put off.
 * NGINX frees a request when nothing refers to it any more.
 */

static void
ngx_http_weir_cancelled(void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ngx_http_request_t              *r;
    ngx_http_weir_question_t        *question;
    ngx_http_weir_client_call_t     *call;
    ngx_http_weir_client_header_t    scope;
    ngx_http_weir_client_request_t   rq;
    ngx_http_weir_core_loc_conf_t   *wlcf;

    r = ctx->request;

    if (r->count == 0) {
        return;
    }

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_core_module);
    question = wlcf->question;

    if (question == NULL || !ngx_http_weir_is_worth_asking(ctx)) {
        return;
    }

    /* what is written if there is no answer, for whatever reason */

    ngx_http_weir_estimate(ctx);

    if (ctx->wmcf->questions >= question->max) {
        return;
    }

    ngx_memzero(&rq, sizeof(ngx_http_weir_client_request_t));

    ngx_str_set(&scope.name, "X-Weir-Cache-Scope");
    scope.value = ctx->public.tenant;

    rq.target = question->target;
    rq.suffix = ctx->public.request_id;
    rq.headers = &scope;
    rq.nheaders = 1;
    rq.deadline = question->timeout;
    rq.max_body = NGX_HTTP_WEIR_QUESTION_BODY;

    call = question->client->start(&rq, ngx_http_weir_told, ctx);

    if (call == NULL) {
        return;
    }

    ctx->public.latency = ngx_http_weir_elapsed(r);
    ctx->asked = 1;
    ctx->wmcf->questions++;

    r->blocked++;
    r->read_event_handler = ngx_http_block_reading;
}


/*
 * The client has left, the upstream has the whole request, and what is known
 * of its usage is nothing or a guess.
 */

static ngx_uint_t
ngx_http_weir_is_worth_asking(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_request_t   *r;
    ngx_http_weir_ctx_t  *public;

    r = ctx->request;
    public = &ctx->public;

    if (!r->connection->error
        || ctx->asked
        || public->settled
        || !public->admitted
        || public->responded
        || r->upstream == NULL
        || !r->upstream->request_body_sent)
    {
        return 0;
    }

    ngx_http_weir_read_usage(ctx);

    switch (public->usage) {

    case NGX_HTTP_WEIR_USAGE_REPORTED:
        return 0;

    case NGX_HTTP_WEIR_USAGE_COUNTED:

        /* of a whole answer no pieces can be counted */

        return !public->stream;

    default:
        return 1;
    }
}


static void
ngx_http_weir_told(const ngx_http_weir_client_answer_t *answer, void *data)
{
    ngx_http_weir_core_ctx_t *ctx = data;

    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    ctx->wmcf->questions--;

    if (ngx_http_weir_take_answer(ctx, answer) != NGX_OK) {

        ngx_log_error(NGX_LOG_WARN, c->log, 0,
                      "the usage of the cancelled request \"%V\" is not "
                      "known: %V%s", &ctx->public.request_id, &answer->text,
                      answer->error ? "" : "the upstream did not tell it");
    }

    /* goes on with the end of the request: it may be gone then */

    r->blocked--;
    r->write_event_handler(r);

    ngx_http_run_posted_requests(c);
}


static ngx_int_t
ngx_http_weir_take_answer(ngx_http_weir_core_ctx_t *ctx,
    const ngx_http_weir_client_answer_t *answer)
{
    uint32_t              node;
    uint64_t              prompt, cached, completion;
    weir_str_t            model;
    weir_json_doc_t       doc;
    ngx_http_weir_ctx_t  *public;

    if (answer->error || answer->status != NGX_HTTP_OK
        || weir_json_parse((char *) answer->body.data, answer->body.len, NULL,
                           &ctx->arena, &doc, NULL)
           != WEIR_OK
        || ngx_http_weir_take_number(&doc, "prompt_tokens", &prompt) != NGX_OK
        || ngx_http_weir_take_number(&doc, "cached_tokens", &cached) != NGX_OK
        || ngx_http_weir_take_number(&doc, "completion_tokens", &completion)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    public = &ctx->public;

    public->prompt_tokens = prompt;
    public->cached_tokens = cached;
    public->completion_tokens = completion;
    public->usage = NGX_HTTP_WEIR_USAGE_REPORTED;

    ctx->told = 1;

    /* the text that the document refers to ends with the answer */

    node = weir_json_get(&doc, 0, "model");

    if (public->model.len == 0 && node != WEIR_JSON_NONE
        && weir_json_string(&doc, node, &ctx->arena, &model) == WEIR_OK
        && model.len && model.len <= 256)
    {
        public->model.data = (u_char *) weir_arena_strndup(&ctx->arena,
                                                           model.data,
                                                           model.len);
        public->model.len = public->model.data ? model.len : 0;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_take_number(weir_json_doc_t *doc, char *name, uint64_t *value)
{
    int64_t   n;
    uint32_t  node;

    node = weir_json_get(doc, 0, name);

    if (node == WEIR_JSON_NONE || !weir_json_int64(doc, node, &n) || n < 0) {
        return NGX_DECLINED;
    }

    *value = n;

    return NGX_OK;
}


/* the upstream has read the prompt at least: by its text, if that was read */

static void
ngx_http_weir_estimate(ngx_http_weir_core_ctx_t *ctx)
{
    ngx_http_weir_ctx_t  *public;

    public = &ctx->public;

    if (public->usage != NGX_HTTP_WEIR_USAGE_NONE) {
        return;
    }

    public->prompt_tokens = (ctx->view.text_bytes + 3) / 4
                            + ctx->view.token_ids;

    if (public->prompt_tokens) {
        public->usage = NGX_HTTP_WEIR_USAGE_ESTIMATED;
        ctx->told = 1;
    }
}


/* weir_cancelled_usage <url> [timeout=time] [max=number] | off */

char *
ngx_http_weir_cancelled_usage(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_core_loc_conf_t *wlcf = conf;

    ngx_int_t                        n;
    ngx_str_t                       *value, s;
    ngx_uint_t                       i;
    ngx_http_weir_question_t        *question;
    ngx_http_weir_core_main_conf_t  *wmcf;

    if (wlcf->question != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0 && cf->args->nelts == 2) {
        wlcf->question = NULL;
        return NGX_CONF_OK;
    }

    question = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_question_t));
    if (question == NULL) {
        return NGX_CONF_ERROR;
    }

    question->timeout = 2000;
    question->max = 256;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "timeout=", 8) == 0) {
            s.data = value[i].data + 8;
            s.len = value[i].len - 8;

            n = ngx_parse_time(&s, 0);

            if (n > 0) {
                question->timeout = n;
                continue;
            }

        } else if (ngx_strncmp(value[i].data, "max=", 4) == 0) {
            n = ngx_atoi(value[i].data + 4, value[i].len - 4);

            if (n > 0) {
                question->max = n;
                continue;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    question->client = ngx_http_weir_find_client(cf,
                                                 "\"weir_cancelled_usage\"");
    if (question->client == NULL) {
        return NGX_CONF_ERROR;
    }

    question->target = question->client->parse(cf, &value[1], NULL);
    if (question->target == NULL) {
        return NGX_CONF_ERROR;
    }

    wlcf->question = question;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_core_module);
    wmcf->asks = 1;

    return NGX_CONF_OK;
}
