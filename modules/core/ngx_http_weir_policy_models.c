
/*
 * Weir's core: model policies where models are listed or named by the path.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "ngx_http_weir_core.h"

#include "policies/policy.h"


typedef struct {
    const weir_policy_t           *policy;
    weir_arena_t                  *arena;
} ngx_http_weir_models_t;


static weir_status_t ngx_http_weir_models_feed(void *self, weir_item_t *item,
    weir_sink_t *sink);
static ngx_int_t ngx_http_weir_models_list(ngx_http_weir_models_t *models,
    const weir_json_doc_t *doc, uint32_t data, weir_edit_t *edit);
static ngx_uint_t ngx_http_weir_models_id(ngx_http_weir_models_t *models,
    const weir_json_doc_t *doc, uint32_t node, weir_str_t *name);
static uint32_t ngx_http_weir_models_find(ngx_http_weir_models_t *models,
    const weir_json_doc_t *doc, uint32_t data, weir_str_t id);
static void ngx_http_weir_models_alias(const weir_json_doc_t *doc,
    uint32_t node, weir_str_t name, weir_buf_t *out);
static ngx_int_t ngx_http_weir_models_end(const weir_json_doc_t *doc,
    const char *member, weir_str_t name, weir_edit_t *edit);


static const weir_filter_table_t  ngx_http_weir_models_table = {
    .name = "models",
    .flags = WEIR_FILTER_MUST_SEE,
    .feed = ngx_http_weir_models_feed
};


/* models/ALIAS asks for the model that it stands for */

ngx_int_t
ngx_http_weir_policy_path(ngx_http_request_t *r, ngx_http_weir_ctx_t *ctx,
    const weir_policy_t *policy)
{
    size_t       head;
    u_char      *p;
    uintptr_t    escape;
    weir_str_t   runs;
    weir_str_t  *name;

    name = &ctx->endpoint.model;

    if (!weir_policy_model(policy, *name, &runs)
        || weir_str_eq(runs, *name)
        || r->uri.len <= name->len
        || ngx_memcmp(r->uri.data + r->uri.len - name->len, name->data,
                      name->len)
           != 0)
    {
        return NGX_DECLINED;
    }

    head = r->uri.len - name->len;

    escape = 2 * ngx_escape_uri(NULL, (u_char *) runs.data, runs.len,
                                NGX_ESCAPE_URI_COMPONENT);

    p = ngx_pnalloc(r->pool, head + runs.len + escape);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, r->uri.data, head);

    (void) ngx_escape_uri(p + head, (u_char *) runs.data, runs.len,
                          NGX_ESCAPE_URI_COMPONENT);

    /* as "rewrite" does it; escaped here, as the model's "/" must be */

    r->uri.data = p;
    r->uri.len = head + runs.len + escape;
    r->quoted_uri = 0;
    r->valid_unparsed_uri = 0;

    return NGX_OK;
}


/* a list of models names what the key may use */

ngx_int_t
ngx_http_weir_policy_open_filter(ngx_http_request_t *r,
    ngx_http_weir_ctx_t *ctx, weir_filter_t *filter, void *data)
{
    ngx_http_weir_models_t  *models;

    if (ctx->endpoint.endpoint != WEIR_ENDPOINT_MODELS) {
        return NGX_DECLINED;
    }

    models = weir_arena_alloc(ngx_http_weir_arena(ctx),
                              sizeof(ngx_http_weir_models_t));
    if (models == NULL) {
        return NGX_ERROR;
    }

    models->policy = ctx->policy;
    models->arena = ngx_http_weir_arena(ctx);

    filter->table = &ngx_http_weir_models_table;
    filter->self = models;

    return NGX_OK;
}


static weir_status_t
ngx_http_weir_models_feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    ngx_http_weir_models_t *models = self;

    char                   *text;
    size_t                  length;
    uint32_t                data;
    weir_edit_t             edit;
    const weir_json_doc_t  *doc;

    if (item->kind != WEIR_ITEM_DOCUMENT) {
        return weir_sink_pass(sink, item);
    }

    doc = weir_item_json(sink, item);
    data = doc ? weir_json_get(doc, 0, "data") : WEIR_JSON_NONE;

    if (data == WEIR_JSON_NONE
        || weir_json_type(doc, data) != WEIR_JSON_ARRAY)
    {
        weir_item_replace(item, WEIR_STR("{\"object\":\"list\",\"data\":[]}"));
        return weir_sink_pass(sink, item);
    }

    weir_edit_init(&edit, models->arena);

    if (ngx_http_weir_models_list(models, doc, data, &edit) != NGX_OK) {
        return WEIR_ERR_NOMEM;
    }

    length = weir_edit_length(&edit, doc->len);
    text = weir_arena_alloc(models->arena, length);

    if (text == NULL) {
        return WEIR_ERR_NOMEM;
    }

    weir_edit_apply(&edit, doc->text, doc->len, text);
    weir_item_replace(item, weir_str(text, length));

    return weir_sink_pass(sink, item);
}


/* the models that are allowed, then the aliases of those that are listed */

static ngx_int_t
ngx_http_weir_models_list(ngx_http_weir_models_t *models,
    const weir_json_doc_t *doc, uint32_t data, weir_edit_t *edit)
{
    size_t       i;
    uint32_t     k, node;
    weir_buf_t   out;
    weir_str_t   name, runs, first, last;

    weir_buf_init(&out, models->arena);
    weir_buf_append_char(&out, '[');

    first = weir_str(NULL, 0);
    last = first;

    node = data + 1;

    for (k = 0; k < doc->nodes[data].size; k++) {

        if (ngx_http_weir_models_id(models, doc, node, &name)
            && weir_policy_model(models->policy, name, &runs)
            && weir_str_eq(name, runs))
        {
            if (first.data == NULL) {
                first = name;

            } else {
                weir_buf_append_char(&out, ',');
            }

            last = name;
            weir_buf_append_str(&out, weir_json_raw(doc, node));
        }

        node = doc->nodes[node].next;
    }

    for (i = 0; weir_policy_alias_at(models->policy, i, &name, &runs); i++) {

        if (!weir_policy_model(models->policy, name, &runs)) {
            continue;
        }

        node = ngx_http_weir_models_find(models, doc, data, runs);

        if (node != WEIR_JSON_NONE) {
            if (first.data) {
                weir_buf_append_char(&out, ',');
            }

            ngx_http_weir_models_alias(doc, node, name, &out);
        }
    }

    weir_buf_append_char(&out, ']');

    if (out.failed
        || weir_edit_value(edit, doc, data, weir_str(out.data, out.len), NULL)
           != WEIR_OK
        || ngx_http_weir_models_end(doc, "first_id", first, edit) != NGX_OK
        || ngx_http_weir_models_end(doc, "last_id", last, edit) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_http_weir_models_id(ngx_http_weir_models_t *models,
    const weir_json_doc_t *doc, uint32_t node, weir_str_t *name)
{
    uint32_t  id;

    id = weir_json_get(doc, node, "id");

    return id != WEIR_JSON_NONE
           && weir_json_string(doc, id, models->arena, name) == WEIR_OK
           && name->len;
}


static uint32_t
ngx_http_weir_models_find(ngx_http_weir_models_t *models,
    const weir_json_doc_t *doc, uint32_t data, weir_str_t id)
{
    uint32_t    k, node;
    weir_str_t  name;

    node = data + 1;

    for (k = 0; k < doc->nodes[data].size; k++) {

        if (ngx_http_weir_models_id(models, doc, node, &name)
            && weir_str_eq(name, id))
        {
            return node;
        }

        node = doc->nodes[node].next;
    }

    return WEIR_JSON_NONE;
}


/* the model under the other name, all else as it is */

static void
ngx_http_weir_models_alias(const weir_json_doc_t *doc, uint32_t node,
    weir_str_t name, weir_buf_t *out)
{
    const weir_json_node_t  *id, *model;

    model = &doc->nodes[node];
    id = &doc->nodes[weir_json_get(doc, node, "id")];

    weir_buf_append(out, doc->text + model->start, id->start - model->start);
    weir_json_write_string(out, name);
    weir_buf_append(out, doc->text + id->end, model->end - id->end);
}


/* where Anthropic's clients ask for the next page; it is no hidden model */

static ngx_int_t
ngx_http_weir_models_end(const weir_json_doc_t *doc, const char *member,
    weir_str_t name, weir_edit_t *edit)
{
    uint32_t  node;

    node = weir_json_get(doc, 0, member);

    if (node == WEIR_JSON_NONE) {
        return NGX_OK;
    }

    if (name.data == NULL) {
        return weir_edit_value(edit, doc, node, WEIR_STR("null"), NULL)
               == WEIR_OK ? NGX_OK : NGX_ERROR;
    }

    return weir_edit_string(edit, doc, node, name, NULL)
           == WEIR_OK ? NGX_OK : NGX_ERROR;
}
