/* Inside lua-free-filters/translate only: what the translators of streams share. */
#ifndef WEIR_FILTERS_TRANSLATE_STREAM_H
#define WEIR_FILTERS_TRANSLATE_STREAM_H

#include "lua-free-filters/translate/translation.h"

/* Follows a JSON object that comes in pieces, to know when it is complete. */
typedef struct {
    uint32_t depth;
    bool in_string;
    bool escaped;
    bool begun;
    bool complete;
} weir_balance_t;

void weir_balance_feed(weir_balance_t *b, weir_str_t text);

/* Hands on an event; fails when the buffer has. */
weir_status_t weir_emit(weir_sink_t *sink, const char *name, const weir_buf_t *data);

/* A whole answer inside the filter: replaces the item's data and passes it on. */
weir_status_t weir_feed_document(weir_translation_t *tr, weir_item_t *item, weir_sink_t *sink);

/*
 * What every translator does first. *doc is set for an event that is to be translated; otherwise
 * the item has been dealt with (comment passed, document translated, error or nonsense stopped the
 * stream) and *doc is NULL. [DONE] is the caller's.
 */
weir_status_t weir_feed_common(weir_translation_t *tr, weir_item_t *item, weir_sink_t *sink,
                               const weir_json_doc_t **doc);

/* The context for an event: scratch lives with the item. */
weir_tctx_t weir_event_context(weir_translation_t *tr, const weir_json_doc_t *doc,
                               weir_sink_t *sink, weir_buf_t *out);

/* One element of a chat delta's tool_calls. Nodes are NONE when absent. */
typedef struct {
    int64_t index;
    uint32_t id;
    uint32_t name;
    uint32_t arguments;
} weir_call_delta_t;

weir_call_delta_t weir_read_call_delta(const weir_json_doc_t *doc, uint32_t call, uint32_t at);

#endif
