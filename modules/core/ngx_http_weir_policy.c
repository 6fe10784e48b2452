
/*
 * Weir's core: the effective policy of the one who asks, applied to the call:
 * endpoints, models and aliases, caps, tools.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"

#include "policies/policy.h"


static ngx_int_t ngx_http_weir_policy_admit(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
static ngx_uint_t ngx_http_weir_policy_wants(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
static ngx_int_t ngx_http_weir_policy_request(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, void *data);
static ngx_int_t ngx_http_weir_policy_model(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, weir_str_t *runs);
static ngx_int_t ngx_http_weir_policy_caps(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, weir_str_t model);
static ngx_int_t ngx_http_weir_policy_max_tokens(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, const weir_policy_caps_t *caps);
static ngx_int_t ngx_http_weir_policy_default_max(ngx_http_weir_ctx_t *ctx,
    int64_t max);
static ngx_int_t ngx_http_weir_policy_n(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, const weir_policy_caps_t *caps);
static ngx_int_t ngx_http_weir_policy_lower(ngx_http_weir_ctx_t *ctx,
    uint32_t node, int64_t max);
static ngx_int_t ngx_http_weir_policy_write(ngx_http_weir_ctx_t *ctx,
    uint32_t node, int64_t max);


static const ngx_http_weir_refusal_t  ngx_http_weir_endpoint_denied =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "endpoint_not_allowed",
                          "The policy of this API key does not allow this "
                          "kind of call.",
                          "endpoint_denied");


static const ngx_http_weir_refusal_t  ngx_http_weir_model_denied =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "model_not_allowed",
                          "The request names no model, and the policy of "
                          "this API key allows certain models only.",
                          "model_denied");


static const ngx_http_weir_refusal_t  ngx_http_weir_model_unknown =
    ngx_http_weir_refusal(NGX_HTTP_NOT_FOUND, "invalid_request_error",
                          "model_not_found", "", "model_denied");


static const ngx_http_weir_refusal_t  ngx_http_weir_model_in_path =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "model_alias_in_path",
                          "A model alias cannot be used in the path: name "
                          "the model in the body.",
                          "model_denied");


const ngx_http_weir_refusal_t  ngx_http_weir_over_cap =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "max_tokens_too_large", "", "over_cap");


static const ngx_http_weir_refusal_t  ngx_http_weir_over_context =
    ngx_http_weir_refusal(NGX_HTTP_BAD_REQUEST, "invalid_request_error",
                          "context_length_exceeded", "", "over_context");


static const ngx_http_weir_refusal_t  ngx_http_weir_no_caps =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "endpoint_not_allowed",
                          "The limits of this API key cannot be applied to "
                          "this kind of call.",
                          "endpoint_denied");


const ngx_http_weir_plugin_t  ngx_http_weir_policy_plugin = {
    ngx_string("policy"),                  /* name */
    NGX_HTTP_WEIR_STAGE_POLICY,            /* stage */
    NGX_HTTP_WEIR_NEEDS_VIEW
    |NGX_HTTP_WEIR_NEEDS_RESPONSE,         /* needs */
    0,                                     /* max_body */
    0,                                     /* timeout */
    NGX_HTTP_WEIR_FAIL_CLOSED,             /* on_failure */
    NULL,                                  /* data */
    ngx_http_weir_policy_wants,            /* wants */
    ngx_http_weir_policy_admit,            /* admit */
    ngx_http_weir_policy_request,          /* request */
    NULL,                                  /* route */
    NULL,                                  /* response headers */
    ngx_http_weir_policy_open_filter,      /* open filter */
    NULL,                                  /* cancel */
    NULL                                   /* settled */
};


/* after all of IDENTITY; admits nobody by itself */

static ngx_int_t
ngx_http_weir_policy_admit(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    int                     bit;
    const char             *name;
    weir_str_t              runs;
    const weir_policy_t    *policy;
    weir_endpoint_info_t   *call;

    policy = ctx->policy;
    call = &ctx->endpoint;

    if (policy == NULL || call->why != WEIR_UNDERSTOOD) {
        return NGX_DECLINED;
    }

    name = weir_endpoint_name(call->endpoint);
    bit = weir_policy_endpoint(weir_str(name, ngx_strlen(name)));

    if (!weir_policy_endpoint_allowed(policy, bit)) {
        ctx->refusal = &ngx_http_weir_endpoint_denied;
        return NGX_ABORT;
    }

    if (call->endpoint == WEIR_ENDPOINT_MODEL
        && !weir_policy_model(policy, call->model, &runs))
    {
        return ngx_http_weir_deny(ctx, &ngx_http_weir_model_unknown,
                                  "The model \"%*s\" does not exist or is not "
                                  "allowed for this API key.",
                                  call->model.len, call->model.data);
    }

    return NGX_DECLINED;
}


/*
 * A call that is not read may pass where the location or the policy says so;
 * but when the policy limits what is in bodies, only where it does itself.
 */

ngx_uint_t
ngx_http_weir_policy_passes(const ngx_http_weir_ctx_t *ctx,
    ngx_uint_t location)
{
    int                   bit;
    const char           *name;
    const weir_policy_t  *policy;

    policy = ctx->policy;

    if (policy == NULL) {
        return location;
    }

    name = weir_endpoint_group_name(ctx->endpoint.group);
    bit = weir_policy_group(weir_str(name, ngx_strlen(name)));

    if (weir_policy_group_allowed(policy, bit)) {
        return 1;
    }

    return policy->needs_body ? 0 : location;
}


static ngx_uint_t
ngx_http_weir_policy_wants(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    weir_str_t            name, target;
    const weir_policy_t  *policy;

    policy = ctx->policy;

    if (policy == NULL) {
        return 0;
    }

    if (ctx->endpoint.endpoint == WEIR_ENDPOINT_MODELS) {
        return (policy->limits_models
                || weir_policy_alias_at(policy, 0, &name, &target))
                   ? NGX_HTTP_WEIR_NEEDS_RESPONSE : 0;
    }

    return policy->needs_body ? NGX_HTTP_WEIR_NEEDS_VIEW : 0;
}


static ngx_int_t
ngx_http_weir_policy_request(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    void *data)
{
    ngx_int_t             rc;
    weir_str_t            runs;
    const weir_policy_t  *policy;

    policy = ctx->policy;

    if (policy && ctx->endpoint.endpoint == WEIR_ENDPOINT_MODEL
        && ctx->endpoint.why == WEIR_UNDERSTOOD)
    {
        return ngx_http_weir_policy_path(r, ctx, policy);
    }

    if (policy == NULL || ctx->view == NULL || !policy->needs_body) {
        return NGX_DECLINED;
    }

    rc = ngx_http_weir_policy_model(ctx, policy, &runs);

    if (rc == NGX_OK && policy->limits_caps) {
        rc = ngx_http_weir_policy_caps(ctx, policy, runs);
    }

    if (rc == NGX_OK && (policy->limits_tools || policy->tools_max >= 0)) {
        rc = ngx_http_weir_policy_tools(ctx, policy);
    }

    return rc;
}


static ngx_int_t
ngx_http_weir_policy_model(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, weir_str_t *runs)
{
    ngx_http_weir_refusal_t     why;
    const weir_request_view_t  *view;

    view = ctx->view;

    if (!weir_policy_model(policy, view->model, runs)) {

        if (view->model.len == 0) {
            ctx->refusal = &ngx_http_weir_model_denied;
            return NGX_ABORT;
        }

        why = ngx_http_weir_model_denied;
        ngx_str_set(&why.param, "model");

        return ngx_http_weir_deny(ctx, &why,
                                  "The model \"%*s\" is not allowed for this "
                                  "API key.",
                                  view->model.len, view->model.data);
    }

    if (weir_str_eq(*runs, view->model)) {
        return NGX_OK;
    }

    if (view->model_node == WEIR_JSON_NONE) {
        ctx->refusal = &ngx_http_weir_model_in_path;
        return NGX_ABORT;
    }

    return weir_edit_string(ngx_http_weir_edit(ctx), view->doc,
                            view->model_node, *runs, NULL)
           == WEIR_OK ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_policy_caps(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, weir_str_t model)
{
    int64_t                     tokens;
    ngx_int_t                   rc;
    const weir_policy_caps_t   *caps;
    const weir_request_view_t  *view;

    view = ctx->view;
    caps = weir_policy_caps(policy, model);

    if (caps->context_tokens >= 0) {
        tokens = (int64_t) (view->text_bytes / 4) + view->token_ids;

        if (tokens > caps->context_tokens) {
            return ngx_http_weir_deny(ctx, &ngx_http_weir_over_context,
                                      "context_length_exceeded: the request "
                                      "has about %L tokens of input, more "
                                      "than the %L that are allowed for this "
                                      "API key and model. Shorten it.",
                                      tokens, caps->context_tokens);
        }
    }

    switch (view->endpoint) {

    case WEIR_ENDPOINT_CHAT:
    case WEIR_ENDPOINT_COMPLETIONS:
    case WEIR_ENDPOINT_RESPONSES:
    case WEIR_ENDPOINT_MESSAGES:
        rc = ngx_http_weir_policy_max_tokens(ctx, policy, caps);
        break;

    case WEIR_ENDPOINT_GENERATE:

        /* servers differ in where they read the limit */

        if (caps->max_tokens >= 0 || caps->n >= 0) {
            ctx->refusal = &ngx_http_weir_no_caps;
            return NGX_ABORT;
        }

        return NGX_OK;

    default:
        return NGX_OK;
    }

    return (rc == NGX_OK) ? ngx_http_weir_policy_n(ctx, policy, caps) : rc;
}


static ngx_int_t
ngx_http_weir_policy_max_tokens(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, const weir_policy_caps_t *caps)
{
    int64_t                     max;
    ngx_int_t                   rc;
    ngx_http_weir_refusal_t     why;
    const weir_request_view_t  *view;

    view = ctx->view;
    max = caps->max_tokens;

    if (view->max_tokens_node == WEIR_JSON_NONE) {

        if (caps->default_max_tokens >= 0
            && (max < 0 || caps->default_max_tokens < max))
        {
            max = caps->default_max_tokens;
        }

        if (max < 0) {
            return NGX_OK;
        }

        rc = ngx_http_weir_policy_default_max(ctx, max);

        return (rc == NGX_OK)
                   ? ngx_http_weir_policy_write(ctx, view->no_limit_node, max)
                   : rc;
    }

    if (max < 0) {
        return NGX_OK;
    }

    /* servers that know both names may take the one that says "no limit" */

    rc = ngx_http_weir_policy_write(ctx, view->no_limit_node,
                                    ngx_min(view->max_tokens, max));

    if (rc != NGX_OK || view->max_tokens <= max) {
        return rc;
    }

    if (policy->over_cap == WEIR_OVER_CAP_REFUSE) {
        why = ngx_http_weir_over_cap;
        ngx_str_set(&why.param, "max_tokens");

        return ngx_http_weir_deny(ctx, &why,
                                  "The request asks for up to %L tokens, "
                                  "more than the %L that are allowed for "
                                  "this API key and model.",
                                  view->max_tokens, max);
    }

    rc = ngx_http_weir_policy_lower(ctx, view->max_tokens_node, max);

    if (rc == NGX_OK && view->max_tokens_node2 != WEIR_JSON_NONE) {
        rc = ngx_http_weir_policy_lower(ctx, view->max_tokens_node2, max);
    }

    return rc;
}


/* a member that is null is written over: two of one name are no JSON for all */

static ngx_int_t
ngx_http_weir_policy_default_max(ngx_http_weir_ctx_t *ctx, int64_t max)
{
    u_char                     *p;
    uint32_t                    node;
    weir_str_t                  value;
    const char                 *name;
    weir_edit_t                *edit;
    weir_status_t               rc;
    const weir_request_view_t  *view;

    view = ctx->view;
    edit = ngx_http_weir_edit(ctx);

    p = weir_arena_alloc(ngx_http_weir_arena(ctx), NGX_INT64_LEN);

    if (p == NULL || edit == NULL) {
        return NGX_ERROR;
    }

    value = weir_str((char *) p, ngx_sprintf(p, "%L", max) - p);

    name = (view->endpoint == WEIR_ENDPOINT_RESPONSES) ? "max_output_tokens"
                                                       : "max_tokens";

    node = weir_json_get(view->doc, 0, name);

    if (node != WEIR_JSON_NONE) {
        rc = weir_edit_value(edit, view->doc, node, value, NULL);

    } else {
        rc = weir_edit_member(edit, view->doc, 0, name, value, NULL);
    }

    return (rc == WEIR_OK) ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_policy_n(ngx_http_weir_ctx_t *ctx, const weir_policy_t *policy,
    const weir_policy_caps_t *caps)
{
    ngx_int_t                   rc;
    ngx_http_weir_refusal_t     why;
    const weir_request_view_t  *view;

    view = ctx->view;

    if (caps->n < 0 || view->n <= caps->n) {
        return NGX_OK;
    }

    if (policy->over_cap == WEIR_OVER_CAP_REFUSE) {
        why = ngx_http_weir_over_cap;
        ngx_str_set(&why.code, "n_too_large");
        ngx_str_set(&why.param, "n");

        return ngx_http_weir_deny(ctx, &why,
                                  "The request asks for %L answers, more "
                                  "than the %L that are allowed for this API "
                                  "key and model.",
                                  view->n, caps->n);
    }

    rc = ngx_http_weir_policy_lower(ctx, view->n_node, caps->n);

    return (rc == NGX_OK)
               ? ngx_http_weir_policy_lower(ctx, view->best_of_node, caps->n)
               : rc;
}


static ngx_int_t
ngx_http_weir_policy_lower(ngx_http_weir_ctx_t *ctx, uint32_t node,
    int64_t max)
{
    int64_t  n;

    if (node == WEIR_JSON_NONE
        || (weir_json_int64(ctx->view->doc, node, &n) && n <= max))
    {
        return NGX_OK;
    }

    return ngx_http_weir_policy_write(ctx, node, max);
}


static ngx_int_t
ngx_http_weir_policy_write(ngx_http_weir_ctx_t *ctx, uint32_t node,
    int64_t max)
{
    u_char       *p;
    weir_edit_t  *edit;

    if (node == WEIR_JSON_NONE) {
        return NGX_OK;
    }

    edit = ngx_http_weir_edit(ctx);
    p = weir_arena_alloc(ngx_http_weir_arena(ctx), NGX_INT64_LEN);

    if (p == NULL || edit == NULL) {
        return NGX_ERROR;
    }

    return weir_edit_value(edit, ctx->view->doc, node,
                           weir_str((char *) p, ngx_sprintf(p, "%L", max) - p),
                           NULL)
           == WEIR_OK ? NGX_OK : NGX_ERROR;
}
