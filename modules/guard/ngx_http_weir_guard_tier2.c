
/*
 * Weir's guard: the second opinion, from an endpoint that speaks as OpenAI's
 * /v1/moderations does.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_guard.h"


#define NGX_HTTP_WEIR_GUARD_ANSWER  (256 * 1024)


static void ngx_http_weir_guard_answered(
    const ngx_http_weir_client_answer_t *answer, void *data);
static ngx_int_t ngx_http_weir_guard_read_answer(
    ngx_http_weir_guard_ctx_t *gctx,
    const ngx_http_weir_client_answer_t *answer);


ngx_int_t
ngx_http_weir_guard_find_tier2(ngx_conf_t *cf,
    ngx_http_weir_guard_main_conf_t *wgmcf)
{
    u_char                       *p;
    size_t                        i, n;
    ngx_str_t                     url, *value;
    const weir_guard_tier2_t     *tier2;
    ngx_http_weir_guard_tier2_t  *to;

    n = weir_guards_count(wgmcf->guards);

    wgmcf->tier2 = ngx_pcalloc(cf->pool,
                               n * sizeof(ngx_http_weir_guard_tier2_t));
    if (wgmcf->tier2 == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        to = &wgmcf->tier2[i];
        tier2 = &weir_guards_at(wgmcf->guards, i)->tier2;

        if (tier2->url.len == 0) {
            continue;
        }

        if (wgmcf->client == NULL) {
            wgmcf->client = ngx_http_weir_find_client(cf,
                                               "\"tier2\" in weir_guards");
            if (wgmcf->client == NULL) {
                return NGX_ERROR;
            }
        }

        url.data = (u_char *) tier2->url.data;
        url.len = tier2->url.len;

        to->target = wgmcf->client->parse(cf, &url, NULL);
        if (to->target == NULL) {
            return NGX_ERROR;
        }

        if (tier2->api_key.len == 0) {
            continue;
        }

        value = &to->authorization;

        value->len = sizeof("Bearer ") - 1 + tier2->api_key.len;
        value->data = ngx_pnalloc(cf->pool, value->len);
        if (value->data == NULL) {
            return NGX_ERROR;
        }

        p = ngx_cpymem(value->data, "Bearer ", sizeof("Bearer ") - 1);
        ngx_memcpy(p, tier2->api_key.data, tier2->api_key.len);
    }

    return NGX_OK;
}


/* texts: JSON strings, so many, with commas between them */

ngx_int_t
ngx_http_weir_guard_ask(ngx_http_weir_guard_ctx_t *gctx, weir_str_t texts,
    uint32_t count, ngx_http_weir_guard_said_pt handler)
{
    weir_buf_t                       body;
    const weir_guard_tier2_t        *tier2;
    ngx_http_weir_client_header_t    headers[2];
    ngx_http_weir_client_request_t   call;

    tier2 = &gctx->policy->tier2;

    weir_buf_init(&body, gctx->arena);

    weir_buf_append_char(&body, '{');

    if (tier2->model.len) {
        weir_buf_append_z(&body, "\"model\":");
        weir_json_write_string(&body, tier2->model);
        weir_buf_append_char(&body, ',');
    }

    weir_buf_append_z(&body, "\"input\":[");
    weir_buf_append_str(&body, texts);
    weir_buf_append_z(&body, "]}");

    if (body.failed) {
        return NGX_ERROR;
    }

    ngx_memzero(&call, sizeof(ngx_http_weir_client_request_t));

    ngx_str_set(&headers[0].name, "Content-Type");
    ngx_str_set(&headers[0].value, "application/json");
    call.nheaders = 1;

    if (gctx->tier2->authorization.len) {
        ngx_str_set(&headers[1].name, "Authorization");
        headers[1].value = gctx->tier2->authorization;
        call.nheaders = 2;
    }

    call.target = gctx->tier2->target;
    ngx_str_set(&call.method, "POST");
    call.headers = headers;
    call.body.data = (u_char *) body.data;
    call.body.len = body.len;
    call.deadline = tier2->timeout_ms;
    call.max_body = NGX_HTTP_WEIR_GUARD_ANSWER;

    gctx->nasked = count;
    gctx->said = handler;
    gctx->call = gctx->wgmcf->client->start(&call,
                                            ngx_http_weir_guard_answered,
                                            gctx);

    return (gctx->call == NULL) ? NGX_ERROR : NGX_OK;
}


static void
ngx_http_weir_guard_answered(const ngx_http_weir_client_answer_t *answer,
    void *data)
{
    ngx_http_weir_guard_ctx_t *gctx = data;

    ngx_int_t   rc;
    ngx_uint_t  said;

    gctx->call = NULL;

    rc = ngx_http_weir_guard_read_answer(gctx, answer);

    said = (rc == NGX_OK) ? NGX_HTTP_WEIR_GUARD_SAID_PASS
           : (rc == NGX_ABORT) ? NGX_HTTP_WEIR_GUARD_SAID_FLAGGED
                               : NGX_HTTP_WEIR_GUARD_SAID_NOTHING;

    (void) ngx_atomic_fetch_add(&gctx->wgmcf->sh->said[said], 1);

    gctx->said(gctx, rc);
}


/* NGX_OK, NGX_ABORT: flagged, NGX_ERROR: this is no answer */

static ngx_int_t
ngx_http_weir_guard_read_answer(ngx_http_weir_guard_ctx_t *gctx,
    const ngx_http_weir_client_answer_t *answer)
{
    uint32_t         i, results, node, flagged;
    weir_arena_t     arena;
    weir_status_t    rc;
    weir_json_doc_t  doc;

    if (answer->error != NGX_HTTP_WEIR_CLIENT_OK) {
        ngx_log_error(NGX_LOG_ERR, gctx->request->connection->log, 0,
                      "guard: tier 2 of policy \"%*s\": %V",
                      gctx->policy->name.len, gctx->policy->name.data,
                      &answer->text);
        return NGX_ERROR;
    }

    weir_arena_init(&arena, 0, 0);

    rc = weir_json_parse((char *) answer->body.data, answer->body.len, NULL,
                         &arena, &doc, NULL);

    results = (rc == WEIR_OK && answer->status == NGX_HTTP_OK)
              ? weir_json_get(&doc, 0, "results") : WEIR_JSON_NONE;

    /* a text without a verdict is not clean */

    if (results == WEIR_JSON_NONE
        || weir_json_type(&doc, results) != WEIR_JSON_ARRAY
        || doc.nodes[results].size == 0
        || doc.nodes[results].size != gctx->nasked)
    {
        goto broken;
    }

    flagged = 0;
    node = results + 1;

    for (i = 0; i < doc.nodes[results].size; i++) {
        uint32_t  value;

        value = weir_json_get(&doc, node, "flagged");

        if (value == WEIR_JSON_NONE
            || (weir_json_type(&doc, value) != WEIR_JSON_TRUE
                && weir_json_type(&doc, value) != WEIR_JSON_FALSE))
        {
            goto broken;
        }

        flagged |= (weir_json_type(&doc, value) == WEIR_JSON_TRUE);
        node = doc.nodes[node].next;
    }

    weir_arena_free(&arena);

    return flagged ? NGX_ABORT : NGX_OK;

broken:

    weir_arena_free(&arena);

    ngx_log_error(NGX_LOG_ERR, gctx->request->connection->log, 0,
                  "guard: tier 2 of policy \"%*s\" answered status %ui and no "
                  "moderation results",
                  gctx->policy->name.len, gctx->policy->name.data,
                  answer->status);

    return NGX_ERROR;
}
