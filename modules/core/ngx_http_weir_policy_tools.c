
/*
 * Weir's core: which tools a request may offer, and how many.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"


static ngx_int_t ngx_http_weir_policy_tool_list(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, uint32_t list);
static ngx_int_t ngx_http_weir_policy_tool(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, uint32_t tool);
static ngx_int_t ngx_http_weir_policy_tool_name(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, uint32_t node);


static const ngx_http_weir_refusal_t  ngx_http_weir_tool_denied =
    ngx_http_weir_refusal(NGX_HTTP_FORBIDDEN, "permission_error",
                          "tool_not_allowed",
                          "A tool of the request has no name that the "
                          "gateway can read.",
                          "tool_denied");


ngx_int_t
ngx_http_weir_policy_tools(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy)
{
    int64_t                     n;
    ngx_int_t                   rc;
    ngx_http_weir_refusal_t     why;
    const weir_json_node_t     *nodes;
    const weir_request_view_t  *view;

    view = ctx->view;
    nodes = view->doc->nodes;
    n = 0;

    if (view->tools_node != WEIR_JSON_NONE) {
        n += nodes[view->tools_node].size;
    }

    if (view->functions_node != WEIR_JSON_NONE) {
        n += nodes[view->functions_node].size;
    }

    if (policy->tools_max >= 0 && n > policy->tools_max) {
        why = ngx_http_weir_over_cap;
        ngx_str_set(&why.code, "too_many_tools");
        ngx_str_set(&why.param, "tools");

        return ngx_http_weir_deny(ctx, &why,
                                  "The request offers %L tools, more than "
                                  "the %L that are allowed for this API key.",
                                  n, policy->tools_max);
    }

    if (!policy->limits_tools) {
        return NGX_OK;
    }

    if (view->mcp_node != WEIR_JSON_NONE
        && !weir_policy_tool_allowed(policy, WEIR_STR("mcp")))
    {
        return ngx_http_weir_deny(ctx, &ngx_http_weir_tool_denied,
                                  "The tools of MCP servers are not allowed "
                                  "for this API key.");
    }

    rc = ngx_http_weir_policy_tool_list(ctx, policy, view->tools_node);

    return (rc == NGX_OK)
               ? ngx_http_weir_policy_tool_list(ctx, policy,
                                                view->functions_node)
               : rc;
}


static ngx_int_t
ngx_http_weir_policy_tool_list(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, uint32_t list)
{
    uint32_t                i, tool;
    ngx_int_t               rc;
    const weir_json_doc_t  *doc;

    if (list == WEIR_JSON_NONE) {
        return NGX_OK;
    }

    doc = ctx->view->doc;
    tool = list + 1;

    for (i = 0; i < doc->nodes[list].size; i++) {

        rc = ngx_http_weir_policy_tool(ctx, policy, tool);

        if (rc != NGX_OK) {
            return rc;
        }

        tool = doc->nodes[tool].next;
    }

    return NGX_OK;
}


/*
 * OpenAI's chat has {"type":"function","function":{"name":...}} and the same
 * with "custom", responses and Anthropic have the name beside the type;
 * a tool that runs at the provider has a type only, or one besides its name.
 * Which name counts is the server's business: all that are there must be
 * allowed, and one must be there.
 */

static ngx_int_t
ngx_http_weir_policy_tool(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, uint32_t tool)
{
    uint32_t                inner, node, type;
    ngx_int_t               rc;
    ngx_uint_t              i, n;
    const weir_json_doc_t  *doc;

    static const char        *kinds[] = { "function", "custom" };
    static const char *const  names[] = { "type", "name", "function",
                                          "custom", NULL };

    doc = ctx->view->doc;

    if (weir_json_type(doc, tool) != WEIR_JSON_OBJECT
        || weir_request_alias(doc, tool, names, ngx_http_weir_arena(ctx)))
    {
        ctx->refusal = &ngx_http_weir_tool_denied;
        return NGX_ABORT;
    }

    type = weir_json_get(doc, tool, "type");

    if (type != WEIR_JSON_NONE
        && !weir_json_string_is(doc, type, "function")
        && !weir_json_string_is(doc, type, "custom"))
    {
        return ngx_http_weir_policy_tool_name(ctx, policy, type);
    }

    n = 0;
    node = weir_json_get(doc, tool, "name");

    if (node != WEIR_JSON_NONE) {
        n++;
        rc = ngx_http_weir_policy_tool_name(ctx, policy, node);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    for (i = 0; i < 2; i++) {
        inner = weir_json_get(doc, tool, kinds[i]);

        if (inner != WEIR_JSON_NONE
            && weir_json_type(doc, inner) == WEIR_JSON_OBJECT
            && weir_request_alias(doc, inner, names, ngx_http_weir_arena(ctx)))
        {
            ctx->refusal = &ngx_http_weir_tool_denied;
            return NGX_ABORT;
        }

        node = (inner == WEIR_JSON_NONE) ? WEIR_JSON_NONE
                                         : weir_json_get(doc, inner, "name");
        if (node == WEIR_JSON_NONE) {
            continue;
        }

        n++;
        rc = ngx_http_weir_policy_tool_name(ctx, policy, node);

        if (rc != NGX_OK) {
            return rc;
        }
    }

    if (n == 0) {
        ctx->refusal = &ngx_http_weir_tool_denied;
        return NGX_ABORT;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_policy_tool_name(ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy, uint32_t node)
{
    weir_str_t  name;

    if (weir_json_string(ctx->view->doc, node, ngx_http_weir_arena(ctx), &name)
           != WEIR_OK
        || name.len == 0)
    {
        ctx->refusal = &ngx_http_weir_tool_denied;
        return NGX_ABORT;
    }

    if (!weir_policy_tool_allowed(policy, name)) {
        return ngx_http_weir_deny(ctx, &ngx_http_weir_tool_denied,
                                  "The tool \"%*s\" is not allowed for "
                                  "this API key.",
                                  ngx_min(name.len, 128), name.data);
    }

    return NGX_OK;
}
