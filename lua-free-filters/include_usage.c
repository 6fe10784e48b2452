#include "lua-free-filters/include_usage.h"

/*
 * The bytes of member key_node (a key of the root object), with one comma: the one behind it, or
 * for the last member the one in front of it.
 */
static void member_span(const weir_json_doc_t *doc, uint32_t key_node, size_t *start, size_t *end)
{
    const char *text = doc->text;

    *start = doc->nodes[key_node].start;
    *end = doc->nodes[key_node + 1].end;
    size_t at = *end;
    while (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r') {
        at++;
    }
    if (text[at] == ',') {
        *end = at + 1;
        return;
    }
    at = *start;
    while (text[at - 1] == ' ' || text[at - 1] == '\t' || text[at - 1] == '\n' ||
           text[at - 1] == '\r') {
        at--;
    }
    *start = text[at - 1] == ',' ? at - 1 : *start;
}

/* The key's node of the root object's member "usage", or WEIR_JSON_NONE. */
static uint32_t find_usage(const weir_json_doc_t *doc)
{
    uint32_t value = weir_json_get(doc, 0, "usage");
    return value == WEIR_JSON_NONE ? WEIR_JSON_NONE : value - 1;
}

/* The chunk that was asked for on top: no choices, and usage. */
static bool is_extra(const weir_json_doc_t *doc, uint32_t usage_key)
{
    uint32_t choices = weir_json_get(doc, 0, "choices");

    return choices != WEIR_JSON_NONE && weir_json_type(doc, choices) == WEIR_JSON_ARRAY &&
           doc->nodes[choices].size == 0 && weir_json_type(doc, usage_key + 1) == WEIR_JSON_OBJECT;
}

static weir_status_t feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    const weir_json_doc_t *doc;
    uint32_t key;
    size_t start;
    size_t end;

    (void)self;
    if (item->kind != WEIR_ITEM_EVENT || (doc = weir_item_json(sink, item)) == NULL ||
        (key = find_usage(doc)) == WEIR_JSON_NONE) {
        return weir_sink_pass(sink, item);
    }
    if (is_extra(doc, key) || doc->nodes[0].size == 1) {
        return WEIR_OK;
    }
    member_span(doc, key, &start, &end);
    char *text = weir_arena_alloc(weir_sink_arena(sink), item->data.len);
    if (text == NULL) {
        return WEIR_ERR_NOMEM;
    }
    memcpy(text, item->data.data, start);
    memcpy(text + start, item->data.data + end, item->data.len - end);
    weir_item_replace(item, weir_str(text, item->data.len - (end - start)));
    return weir_sink_pass(sink, item);
}

weir_filter_t weir_include_usage_filter(void)
{
    static const weir_filter_table_t table = {.name = "include_usage", .feed = feed};
    return (weir_filter_t){&table, NULL};
}
