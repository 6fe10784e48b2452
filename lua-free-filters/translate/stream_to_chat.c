/* A stream of Anthropic's events as chunks of chat completions. */
#include "lua-free-filters/translate/stream.h"

typedef enum { BLOCK_OTHER, BLOCK_TEXT, BLOCK_THINKING, BLOCK_TOOL } kind_t;

typedef struct {
    uint8_t kind;      /* kind_t */
    bool sent;         /* tool: arguments have been sent */
    uint16_t position; /* among the tool calls, or among the thinking blocks */
} block_t;

typedef struct {
    weir_translation_t *tr;
    block_t *blocks; /* WEIR_MAX_TOOLS, by Anthropic's index */
    uint16_t n_tools;
    uint16_t n_thinking;
    weir_str_t id; /* JSON strings, copied */
    weir_str_t model;
    bool begun;
    bool done;
    const char *finish;  /* JSON, or NULL while not told */
    weir_buf_t sequence; /* JSON strings; empty: none */
    weir_buf_t refusal;
    weir_tokens_t tokens;
    bool has_usage;
} state_t;

void *weir_stream_to_chat(weir_translation_t *tr)
{
    state_t *s = weir_arena_calloc(tr->arena, 1, sizeof(*s));
    if (s != NULL) {
        s->tr = tr;
        weir_buf_init(&s->sequence, tr->arena);
        weir_buf_init(&s->refusal, tr->arena);
        s->blocks = weir_arena_calloc(tr->arena, WEIR_MAX_TOOLS, sizeof(*s->blocks));
    }
    return s == NULL || s->blocks == NULL ? NULL : s;
}

/* Opens a chunk up to the inside of delta. */
static void open_chunk(state_t *s, weir_buf_t *out)
{
    out->len = 0;
    jo_open(out, '{');
    jo_kraw(out, "id", s->id);
    jo_kz(out, "object", "\"chat.completion.chunk\"");
    jo_kint(out, "created", s->tr->options.now);
    jo_kraw(out, "model", s->model);
    jo_kopen(out, "choices", '[');
    jo_open(out, '{');
    jo_kint(out, "index", 0);
    jo_kopen(out, "delta", '{');
}

static weir_status_t close_chunk(state_t *s, const char *finish, weir_buf_t *out, weir_sink_t *sink)
{
    jo_close(out, '}');
    jo_kz(out, "logprobs", "null");
    jo_kz(out, "finish_reason", finish != NULL ? finish : "null");
    if (finish != NULL && s->sequence.len > 0) {
        jo_kraw(out, "stop_reason", weir_str(s->sequence.data, s->sequence.len));
    }
    jo_close(out, '}');
    jo_close(out, ']');
    if (s->tr->include_usage) {
        jo_kz(out, "usage", "null");
    }
    jo_close(out, '}');
    return weir_emit(sink, "", out);
}

static void read_usage(state_t *s, const weir_json_doc_t *doc, uint32_t usage)
{
    s->has_usage = weir_tokens_read(&s->tokens, doc, usage) || s->has_usage;
}

static weir_status_t message_start(state_t *s, const weir_tctx_t *c, weir_sink_t *sink)
{
    uint32_t message = weir_member(c->doc, 0, "message");
    if (s->begun) {
        return WEIR_OK;
    }
    s->begun = true;
    weir_write_id(c, weir_member(c->doc, message, "id"), "chatcmpl-");
    s->id = weir_keep(s->tr, weir_str(c->out->data, c->out->len));
    s->model = weir_keep(s->tr, weir_model_of(c, weir_member(c->doc, message, "model")));
    if (s->id.len == 0 || s->model.len == 0) {
        return WEIR_ERR_NOMEM;
    }
    read_usage(s, c->doc, weir_member(c->doc, message, "usage"));
    open_chunk(s, c->out);
    jo_kz(c->out, "role", "\"assistant\"");
    jo_kz(c->out, "content", "\"\"");
    return close_chunk(s, NULL, c->out, sink);
}

/* The block of the event's index; NULL when it is over what is remembered. */
static block_t *block_of(const state_t *s, const weir_json_doc_t *doc)
{
    int64_t index;
    if (!weir_json_int64(doc, weir_member(doc, 0, "index"), &index) || index < 0 ||
        index >= WEIR_MAX_TOOLS) {
        return NULL;
    }
    return &s->blocks[index];
}

static weir_status_t send_text(state_t *s, const weir_tctx_t *c, const char *key, uint32_t text,
                               weir_sink_t *sink)
{
    if (!weir_has_text(c->doc, text)) {
        return WEIR_OK;
    }
    open_chunk(s, c->out);
    jo_kraw(c->out, key, weir_json_raw(c->doc, text));
    return close_chunk(s, NULL, c->out, sink);
}

/* An element of thinking_blocks; key NULL: it has the type only. */
static void thinking_element(const block_t *b, const char *type, const char *key, weir_str_t raw,
                             weir_buf_t *out)
{
    jo_kopen(out, "thinking_blocks", '[');
    jo_open(out, '{');
    jo_kint(out, "index", b->position);
    jo_kz(out, "type", type);
    jo_kraw(out, key, raw);
    jo_close(out, '}');
    jo_close(out, ']');
}

static weir_status_t send_thinking(state_t *s, const weir_tctx_t *c, const block_t *b,
                                   const char *key, uint32_t text, weir_sink_t *sink)
{
    const char *field = s->tr->options.reasoning_field;
    bool is_text = strcmp(key, "thinking") == 0;
    bool redacted = strcmp(key, "data") == 0;
    if (!weir_has_text(c->doc, text) || (!is_text && s->tr->options.no_thinking_blocks)) {
        return WEIR_OK;
    }
    open_chunk(s, c->out);
    if (is_text) {
        jo_kraw(c->out, field != NULL ? field : "reasoning_content", weir_json_raw(c->doc, text));
    }
    if (!s->tr->options.no_thinking_blocks) {
        thinking_element(b, redacted ? "\"redacted_thinking\"" : "\"thinking\"", key,
                         weir_json_raw(c->doc, text), c->out);
    }
    return close_chunk(s, NULL, c->out, sink);
}

static weir_status_t send_arguments(state_t *s, const weir_tctx_t *c, block_t *b, weir_str_t raw,
                                    weir_sink_t *sink)
{
    b->sent = true;
    open_chunk(s, c->out);
    jo_kopen(c->out, "tool_calls", '[');
    jo_open(c->out, '{');
    jo_kint(c->out, "index", b->position);
    jo_kopen(c->out, "function", '{');
    jo_kraw(c->out, "arguments", raw);
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    jo_close(c->out, ']');
    return close_chunk(s, NULL, c->out, sink);
}

static weir_status_t tool_start(state_t *s, const weir_tctx_t *c, block_t *b, uint32_t content,
                                weir_sink_t *sink)
{
    uint32_t id = weir_member(c->doc, content, "id");
    uint32_t name = weir_member(c->doc, content, "name");
    uint32_t input = weir_member(c->doc, content, "input");
    b->position = s->n_tools++;
    open_chunk(s, c->out);
    jo_kopen(c->out, "tool_calls", '[');
    jo_open(c->out, '{');
    jo_kint(c->out, "index", b->position);
    jo_kraw(c->out, "id",
            weir_is(c->doc, id, WEIR_JSON_STRING) ? weir_json_raw(c->doc, id) : WEIR_STR("\"\""));
    jo_kz(c->out, "type", "\"function\"");
    jo_kopen(c->out, "function", '{');
    jo_kraw(c->out, "name",
            weir_is(c->doc, name, WEIR_JSON_STRING) ? weir_json_raw(c->doc, name)
                                                    : WEIR_STR("\"\""));
    jo_kz(c->out, "arguments", "\"\"");
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    jo_close(c->out, ']');
    weir_status_t status = close_chunk(s, NULL, c->out, sink);
    if (status == WEIR_OK && weir_is(c->doc, input, WEIR_JSON_OBJECT) &&
        c->doc->nodes[input].size > 0) {
        weir_buf_t text;
        weir_buf_init(&text, c->arena);
        weir_json_write_string(&text, weir_json_raw(c->doc, input));
        status = text.failed ? WEIR_ERR_NOMEM
                             : send_arguments(s, c, b, weir_str(text.data, text.len), sink);
    }
    return status;
}

static weir_status_t block_start(state_t *s, const weir_tctx_t *c, weir_sink_t *sink)
{
    block_t *b = block_of(s, c->doc);
    uint32_t content = weir_member(c->doc, 0, "content_block");
    uint32_t type = weir_member(c->doc, content, "type");
    if (b == NULL) {
        weir_stop_with(sink, "the upstream's answer has too many parts");
        return WEIR_OK;
    }
    *b = (block_t){.kind = BLOCK_OTHER};
    if (weir_json_string_is(c->doc, type, "text")) {
        b->kind = BLOCK_TEXT;
        return send_text(s, c, "content", weir_member(c->doc, content, "text"), sink);
    }
    if (weir_json_string_is(c->doc, type, "tool_use")) {
        b->kind = BLOCK_TOOL;
        return tool_start(s, c, b, content, sink);
    }
    if (weir_json_string_is(c->doc, type, "thinking")) {
        b->kind = BLOCK_THINKING;
        b->position = s->n_thinking++;
        weir_status_t status =
            send_thinking(s, c, b, "thinking", weir_member(c->doc, content, "thinking"), sink);
        return status != WEIR_OK ? status
                                 : send_thinking(s, c, b, "signature",
                                                 weir_member(c->doc, content, "signature"), sink);
    }
    if (weir_json_string_is(c->doc, type, "redacted_thinking")) {
        b->position = s->n_thinking++;
        return send_thinking(s, c, b, "data", weir_member(c->doc, content, "data"), sink);
    }
    weir_loss(s->tr, "answer.content", "(other)");
    return WEIR_OK;
}

static weir_status_t block_delta(state_t *s, const weir_tctx_t *c, weir_sink_t *sink)
{
    block_t *b = block_of(s, c->doc);
    uint32_t delta = weir_member(c->doc, 0, "delta");
    uint32_t type = weir_member(c->doc, delta, "type");
    if (b == NULL || b->kind == BLOCK_OTHER) {
        return WEIR_OK;
    }
    if (weir_json_string_is(c->doc, type, "text_delta")) {
        return send_text(s, c, "content", weir_member(c->doc, delta, "text"), sink);
    }
    if (weir_json_string_is(c->doc, type, "input_json_delta")) {
        uint32_t piece = weir_member(c->doc, delta, "partial_json");
        return b->kind == BLOCK_TOOL && weir_has_text(c->doc, piece)
                   ? send_arguments(s, c, b, weir_json_raw(c->doc, piece), sink)
                   : WEIR_OK;
    }
    if (weir_json_string_is(c->doc, type, "thinking_delta")) {
        return send_thinking(s, c, b, "thinking", weir_member(c->doc, delta, "thinking"), sink);
    }
    if (weir_json_string_is(c->doc, type, "signature_delta")) {
        return send_thinking(s, c, b, "signature", weir_member(c->doc, delta, "signature"), sink);
    }
    bool citations = weir_json_string_is(c->doc, type, "citations_delta");
    weir_loss(s->tr, weir_ma_delta.name, citations ? "citations_delta" : "(unknown)");
    return WEIR_OK;
}

/* A call without arguments has no deltas, but readers parse what they have got. */
static weir_status_t block_stop(state_t *s, const weir_tctx_t *c, weir_sink_t *sink)
{
    block_t *b = block_of(s, c->doc);
    if (b == NULL || b->kind != BLOCK_TOOL || b->sent) {
        return WEIR_OK;
    }
    return send_arguments(s, c, b, WEIR_STR("\"{}\""), sink);
}

/* Events may repeat themselves: the room is used again. */
static void set(weir_buf_t *buf, weir_str_t value)
{
    buf->len = 0;
    weir_buf_append_str(buf, value);
}

static void message_delta(state_t *s, const weir_json_doc_t *doc)
{
    uint32_t delta = weir_member(doc, 0, "delta");
    uint32_t reason = weir_member(doc, delta, "stop_reason");
    uint32_t sequence = weir_member(doc, delta, "stop_sequence");
    uint32_t details = weir_member(doc, delta, "stop_details");
    uint32_t explanation = weir_member(doc, details, "explanation");
    if (weir_has_text(doc, reason)) {
        s->finish = weir_finish_reason_of(doc, reason);
    }
    if (weir_is(doc, sequence, WEIR_JSON_STRING)) {
        set(&s->sequence, weir_json_raw(doc, sequence));
    }
    if (weir_has_text(doc, explanation)) {
        set(&s->refusal, weir_json_raw(doc, explanation));
    }
    read_usage(s, doc, weir_member(doc, 0, "usage"));
}

static weir_status_t finish(state_t *s, weir_buf_t *out, weir_sink_t *sink)
{
    weir_status_t status = WEIR_OK;
    s->done = true;
    if (!s->has_usage) {
        weir_loss(s->tr, "answer", "usage");
    }
    if (s->refusal.len > 0) {
        open_chunk(s, out);
        jo_kraw(out, "refusal", weir_str(s->refusal.data, s->refusal.len));
        status = close_chunk(s, NULL, out, sink);
    }
    if (status == WEIR_OK) {
        open_chunk(s, out);
        status = close_chunk(s, s->finish, out, sink);
    }
    if (status == WEIR_OK && s->tr->include_usage && s->has_usage) {
        out->len = 0;
        jo_open(out, '{');
        jo_kraw(out, "id", s->id);
        jo_kz(out, "object", "\"chat.completion.chunk\"");
        jo_kint(out, "created", s->tr->options.now);
        jo_kraw(out, "model", s->model);
        jo_kz(out, "choices", "[]");
        jo_key(out, "usage");
        weir_write_usage(WEIR_PROTOCOL_CHAT, &s->tokens, out);
        jo_close(out, '}');
        status = weir_emit(sink, "", out);
    }
    if (status != WEIR_OK) {
        return status;
    }
    weir_item_t done = {.kind = WEIR_ITEM_DONE, .data = WEIR_STR("[DONE]")};
    return weir_sink_pass(sink, &done);
}

static weir_status_t ping(weir_sink_t *sink)
{
    weir_item_t comment = {.kind = WEIR_ITEM_COMMENT, .raw = WEIR_STR(": ping\n\n")};
    return weir_sink_pass(sink, &comment);
}

static weir_status_t feed_event(state_t *s, const weir_json_doc_t *doc, weir_sink_t *sink)
{
    weir_buf_t out;
    weir_tctx_t c = weir_event_context(s->tr, doc, sink, &out);
    uint32_t type = weir_member(doc, 0, "type");
    if (weir_json_string_is(doc, type, "ping")) {
        return ping(sink);
    }
    if (weir_json_string_is(doc, type, "message_start")) {
        return message_start(s, &c, sink);
    }
    if (!s->begun) {
        weir_stop_with(sink, "the upstream's answer did not begin with message_start");
        return WEIR_OK;
    }
    if (weir_json_string_is(doc, type, "content_block_start")) {
        return block_start(s, &c, sink);
    }
    if (weir_json_string_is(doc, type, "content_block_delta")) {
        return block_delta(s, &c, sink);
    }
    if (weir_json_string_is(doc, type, "content_block_stop")) {
        return block_stop(s, &c, sink);
    }
    if (weir_json_string_is(doc, type, "message_delta")) {
        message_delta(s, doc);
    } else if (weir_json_string_is(doc, type, "message_stop")) {
        if (s->finish == NULL) {
            weir_stop_with(sink, "the upstream's answer ended without a stop reason");
            return WEIR_OK;
        }
        return finish(s, &out, sink);
    } else {
        weir_loss(s->tr, weir_ma_events.name, "(unknown)");
    }
    return WEIR_OK;
}

weir_status_t weir_stream_to_chat_feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    state_t *s = self;
    const weir_json_doc_t *doc;
    if (s == NULL) {
        return WEIR_ERR_NOMEM;
    }
    if (s->done) {
        return WEIR_OK;
    }
    weir_status_t status = weir_feed_common(s->tr, item, sink, &doc);
    return status != WEIR_OK || doc == NULL ? status : feed_event(s, doc, sink);
}

weir_status_t weir_stream_to_chat_end(void *self, weir_end_t why, weir_sink_t *sink)
{
    state_t *s = self;
    weir_buf_t out;
    if (s == NULL) {
        return WEIR_ERR_NOMEM;
    }
    if (why != WEIR_END_COMPLETE || s->done || s->finish == NULL) {
        return WEIR_OK; /* the pipeline writes the error that is due */
    }
    weir_buf_init(&out, weir_sink_arena(sink));
    return finish(s, &out, sink);
}
