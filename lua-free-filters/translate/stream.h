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

/* What a translator of chat's chunks does with one, and at the end. */
typedef struct {
    weir_status_t (*chunk)(void *self, const weir_json_doc_t *doc, weir_sink_t *sink);
    weir_status_t (*finish)(void *self, weir_buf_t *out, weir_sink_t *sink);
} weir_chunk_reader_t;

/* How far it is. */
typedef struct {
    bool done;     /* its last event has left */
    bool finished; /* a finish reason has come */
} weir_chunk_progress_t;

/* feed() of such a translator: chunks one by one, finish() at [DONE]. */
weir_status_t weir_chunks_feed(const weir_chunk_reader_t *reader, void *self,
                               weir_translation_t *tr, weir_chunk_progress_t progress,
                               weir_item_t *item, weir_sink_t *sink);

/* end() of such a translator: finish() where the upstream has sent no [DONE]. */
weir_status_t weir_chunks_end(const weir_chunk_reader_t *reader, void *self,
                              weir_chunk_progress_t progress, weir_end_t why, weir_sink_t *sink);

/* Calls the function for the choices of a chunk whose index is 0, as long as it returns OK. */
weir_status_t weir_first_choices(const weir_tctx_t *c, uint32_t choices,
                                 weir_status_t (*choice)(void *self, const weir_tctx_t *c,
                                                         uint32_t node, weir_sink_t *sink),
                                 void *self, weir_sink_t *sink);

/* One element of a chat delta's tool_calls. Nodes are NONE when absent. */
typedef struct {
    int64_t index;
    uint32_t id;
    uint32_t name;
    uint32_t arguments;
} weir_call_delta_t;

weir_call_delta_t weir_read_call_delta(const weir_json_doc_t *doc, uint32_t call, uint32_t at);

#endif
