#include "lua-free-filters/include_usage.h"

static weir_status_t feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    const weir_json_doc_t *doc;
    const weir_members_t *m;
    weir_status_t rc = WEIR_OK;

    (void)self;
    if (item->kind != WEIR_ITEM_EVENT || (doc = weir_item_json(sink, item)) == NULL) {
        return weir_sink_pass(sink, item);
    }
    m = weir_item_members(item);
    if (m->usage != WEIR_JSON_NONE) {
        /* The chunk that was asked for on top; and what would be left without any member. */
        bool extra = weir_members_is(doc, m->choices, WEIR_JSON_ARRAY) &&
                     doc->nodes[m->choices].size == 0 &&
                     weir_members_is(doc, m->usage, WEIR_JSON_OBJECT);
        if (extra || doc->nodes[0].size == 1) {
            return WEIR_OK;
        }
        rc = weir_item_cut_member(sink, item, m->usage);
    }
    return rc == WEIR_OK ? weir_sink_pass(sink, item) : rc;
}

weir_filter_t weir_include_usage_filter(void)
{
    static const weir_filter_table_t table = {.name = "include_usage", .feed = feed};
    return (weir_filter_t){&table, NULL};
}
