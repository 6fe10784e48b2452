/* What the translators of streams share. */
#include "lua-free-filters/translate/stream.h"

void weir_balance_feed(weir_balance_t *b, weir_str_t text)
{
    for (size_t i = 0; i < text.len && !b->complete; i++) {
        char c = text.data[i];
        if (b->in_string) {
            bool ends = c == '"' && !b->escaped;
            b->escaped = c == '\\' && !b->escaped;
            b->in_string = !ends;
        } else if (c == '"') {
            b->in_string = true;
        } else if (c == '{' || c == '[') {
            b->depth++;
            b->begun = true;
        } else if ((c == '}' || c == ']') && b->depth > 0) {
            b->depth--;
            b->complete = b->depth == 0;
        }
    }
}

weir_status_t weir_emit(weir_sink_t *sink, const char *name, const weir_buf_t *data)
{
    if (data->failed) {
        return WEIR_ERR_NOMEM;
    }
    return weir_sink_event(sink, weir_str(name, strlen(name)), weir_str(data->data, data->len));
}

/* The document of an answer with an error's status. */
static weir_status_t feed_error(const weir_translation_t *tr, weir_item_t *item, weir_sink_t *sink)
{
    weir_buf_t out;
    weir_buf_init(&out, weir_sink_arena(sink));
    weir_translate_error(tr->client, tr->status, item->data, tr->options.request_id,
                         weir_sink_arena(sink), &out);
    if (out.failed) {
        return WEIR_ERR_NOMEM;
    }
    weir_item_replace(item, weir_str(out.data, out.len));
    return weir_sink_pass(sink, item);
}

weir_status_t weir_feed_document(weir_translation_t *tr, weir_item_t *item, weir_sink_t *sink)
{
    weir_error_t err;
    weir_buf_t out;
    if (tr->status >= 400) {
        return feed_error(tr, item, sink);
    }
    const weir_json_doc_t *doc = weir_item_json(sink, item);
    weir_buf_init(&out, weir_sink_arena(sink));
    weir_status_t s = doc == NULL ? WEIR_ERR_INVALID : weir_translate_answer(tr, doc, &out, &err);
    if (s == WEIR_ERR_NOMEM) {
        return s;
    }
    if (s != WEIR_OK) {
        weir_stop_with(sink, "the upstream's answer could not be understood");
        return WEIR_OK;
    }
    weir_item_replace(item, weir_str(out.data, out.len));
    return weir_sink_pass(sink, item);
}

weir_status_t weir_feed_common(weir_translation_t *tr, weir_item_t *item, weir_sink_t *sink,
                               const weir_json_doc_t **doc)
{
    uint32_t error;
    *doc = NULL;
    switch (item->kind) {
    case WEIR_ITEM_COMMENT:
        return weir_sink_pass(sink, item);
    case WEIR_ITEM_DOCUMENT:
        return weir_feed_document(tr, item, sink);
    case WEIR_ITEM_OVERSIZED:
        weir_stop_with(sink, "an event of the upstream is too large");
        return WEIR_OK;
    case WEIR_ITEM_DONE:
        return WEIR_OK;
    case WEIR_ITEM_EVENT:
        break;
    }
    const weir_json_doc_t *event = weir_item_json(sink, item);
    if (event == NULL || !weir_is(event, 0, WEIR_JSON_OBJECT)) {
        weir_stop_with(sink, "the upstream sent an event that is no JSON object");
        return WEIR_OK;
    }
    if (weir_is_error(event, &error)) {
        return weir_stop_with_error(tr, event, error, sink);
    }
    *doc = event;
    return WEIR_OK;
}

weir_tctx_t weir_event_context(weir_translation_t *tr, const weir_json_doc_t *doc,
                               weir_sink_t *sink, weir_buf_t *out)
{
    weir_buf_init(out, weir_sink_arena(sink));
    return (weir_tctx_t){tr, doc, weir_sink_arena(sink), out, NULL};
}

weir_call_delta_t weir_read_call_delta(const weir_json_doc_t *doc, uint32_t call, uint32_t at)
{
    weir_call_delta_t delta = {.index = at};
    uint32_t function = weir_member(doc, call, "function");
    uint32_t id = weir_member(doc, call, "id");
    uint32_t name = weir_member(doc, function, "name");
    uint32_t arguments = weir_member(doc, function, "arguments");
    weir_json_int64(doc, weir_member(doc, call, "index"), &delta.index);
    delta.id = weir_has_text(doc, id) ? id : WEIR_JSON_NONE;
    delta.name = weir_has_text(doc, name) ? name : WEIR_JSON_NONE;
    delta.arguments = weir_has_text(doc, arguments) ? arguments : WEIR_JSON_NONE;
    return delta;
}

weir_status_t weir_chunks_feed(const weir_chunk_reader_t *reader, void *self,
                               weir_translation_t *tr, weir_chunk_progress_t progress,
                               weir_item_t *item, weir_sink_t *sink)
{
    const weir_json_doc_t *doc;
    weir_buf_t out;

    if (progress.done) {
        return WEIR_OK;
    }
    weir_status_t status = weir_feed_common(tr, item, sink, &doc);
    if (status != WEIR_OK || (doc == NULL && item->kind != WEIR_ITEM_DONE)) {
        return status;
    }
    if (doc != NULL) {
        return reader->chunk(self, doc, sink);
    }
    if (!progress.finished) {
        weir_stop_with(sink, "the upstream's answer ended without a finish reason");
        return WEIR_OK;
    }
    weir_buf_init(&out, weir_sink_arena(sink));
    return reader->finish(self, &out, sink);
}

weir_status_t weir_chunks_end(const weir_chunk_reader_t *reader, void *self,
                              weir_chunk_progress_t progress, weir_end_t why, weir_sink_t *sink)
{
    weir_buf_t out;

    if (why != WEIR_END_COMPLETE || progress.done || !progress.finished) {
        return WEIR_OK; /* the pipeline writes the error that is due */
    }
    weir_buf_init(&out, weir_sink_arena(sink));
    return reader->finish(self, &out, sink);
}

weir_status_t weir_first_choices(const weir_tctx_t *c, uint32_t choices,
                                 weir_status_t (*choice)(void *self, const weir_tctx_t *c,
                                                         uint32_t node, weir_sink_t *sink),
                                 void *self, weir_sink_t *sink)
{
    weir_status_t status = WEIR_OK;
    uint32_t node = choices + 1;

    for (uint32_t i = 0; status == WEIR_OK && i < c->doc->nodes[choices].size; i++) {
        int64_t index = 0;
        weir_json_int64(c->doc, weir_member(c->doc, node, "index"), &index);
        if (index == 0) {
            status = choice(self, c, node, sink);
        }
        node = c->doc->nodes[node].next;
    }
    return status;
}
