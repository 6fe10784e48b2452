/*
 * A stream of chat completions as Anthropic's events. Anthropic's blocks come one after the other,
 * so what arrives for a later block while an earlier one is unfinished is held: a block is finished
 * when something else begins and, for a tool call, its JSON object is complete.
 */
#include "lua-free-filters/translate/stream.h"

typedef enum { BLOCK_TEXT, BLOCK_THINKING, BLOCK_TOOL } kind_t;

typedef struct {
    kind_t kind;
    int64_t call;  /* tool: the upstream's index */
    weir_str_t id; /* tool: JSON strings; empty until known */
    weir_str_t name;
    weir_balance_t balance;
    weir_buf_t held; /* inside of JSON strings, not yet sent */
    bool started;
} block_t;

typedef struct {
    weir_translation_t *tr;
    block_t *blocks; /* those before head are closed */
    uint32_t n;
    uint32_t cap;
    uint32_t head;
    uint32_t index; /* of the next content block for the client */
    size_t held;
    bool begun; /* message_start has been sent */
    bool done;
    bool tools;
    bool refused;
    const char *reason;  /* JSON, or NULL while not told */
    weir_buf_t sequence; /* a JSON string; empty: none */
    weir_tokens_t tokens;
    bool has_usage;
} state_t;

void *weir_stream_to_messages(weir_translation_t *tr)
{
    state_t *s = weir_arena_calloc(tr->arena, 1, sizeof(*s));
    if (s != NULL) {
        s->tr = tr;
        weir_buf_init(&s->sequence, tr->arena);
    }
    return s;
}

static weir_status_t begin(state_t *s, const weir_tctx_t *c, weir_sink_t *sink)
{
    weir_buf_t *out = c->out;
    if (s->begun) {
        return WEIR_OK;
    }
    s->begun = true;
    out->len = 0;
    jo_open(out, '{');
    jo_kz(out, "type", "\"message_start\"");
    jo_kopen(out, "message", '{');
    jo_key(out, "id");
    weir_write_id(c, weir_member(c->doc, 0, "id"), "msg_");
    jo_kz(out, "type", "\"message\"");
    jo_kz(out, "role", "\"assistant\"");
    jo_kraw(out, "model", weir_model_of(c, weir_member(c->doc, 0, "model")));
    jo_kz(out, "content", "[]");
    jo_kz(out, "stop_reason", "null");
    jo_kz(out, "stop_sequence", "null");
    jo_key(out, "usage");
    weir_write_usage(WEIR_PROTOCOL_MESSAGES, &s->tokens, out);
    jo_close(out, '}');
    jo_close(out, '}');
    return weir_emit(sink, "message_start", out);
}

static weir_status_t start_block(state_t *s, block_t *b, weir_buf_t *out, weir_sink_t *sink)
{
    b->started = true;
    out->len = 0;
    jo_open(out, '{');
    jo_kz(out, "type", "\"content_block_start\"");
    jo_kint(out, "index", s->index);
    jo_kopen(out, "content_block", '{');
    if (b->kind == BLOCK_TEXT) {
        jo_kz(out, "type", "\"text\"");
        jo_kz(out, "text", "\"\"");
    } else if (b->kind == BLOCK_THINKING) {
        jo_kz(out, "type", "\"thinking\"");
        jo_kz(out, "thinking", "\"\"");
        jo_kz(out, "signature", "\"\"");
    } else {
        jo_kz(out, "type", "\"tool_use\"");
        jo_key(out, "id");
        if (b->id.len > 0) {
            weir_buf_append_str(out, b->id);
        } else {
            weir_buf_printf(out, "\"toolu_%u\"", s->index);
        }
        jo_kraw(out, "name", b->name);
        jo_kz(out, "input", "{}");
    }
    jo_close(out, '}');
    jo_close(out, '}');
    return weir_emit(sink, "content_block_start", out);
}

/* A piece: the inside of a JSON string. */
static weir_status_t send_piece(state_t *s, const block_t *b, weir_str_t piece, weir_buf_t *out,
                                weir_sink_t *sink)
{
    static const char *const types[] = {"\"text_delta\"", "\"thinking_delta\"",
                                        "\"input_json_delta\""};
    static const char *const keys[] = {"text", "thinking", "partial_json"};
    out->len = 0;
    jo_open(out, '{');
    jo_kz(out, "type", "\"content_block_delta\"");
    jo_kint(out, "index", s->index);
    jo_kopen(out, "delta", '{');
    jo_kz(out, "type", types[b->kind]);
    jo_key(out, keys[b->kind]);
    jo_begin_string(out);
    weir_buf_append_str(out, piece);
    jo_end_string(out);
    jo_close(out, '}');
    jo_close(out, '}');
    return weir_emit(sink, "content_block_delta", out);
}

/* Sends what the head holds, as far as its name is known. */
static weir_status_t flush(state_t *s, weir_buf_t *out, weir_sink_t *sink)
{
    block_t *b = &s->blocks[s->head];
    weir_status_t status = WEIR_OK;
    if (b->kind == BLOCK_TOOL && b->name.len == 0) {
        return WEIR_OK;
    }
    if (!b->started) {
        status = start_block(s, b, out, sink);
    }
    if (status == WEIR_OK && b->held.len > 0) {
        s->held -= b->held.len;
        status = send_piece(s, b, weir_str(b->held.data, b->held.len), out, sink);
        b->held.len = 0;
    }
    return status;
}

static weir_status_t close_head(state_t *s, weir_buf_t *out, weir_sink_t *sink)
{
    weir_status_t status = flush(s, out, sink);
    const block_t *b = &s->blocks[s->head++];
    if (status != WEIR_OK) {
        return status;
    }
    if (!b->started) {
        /* A call that never got a name. */
        weir_loss(s->tr, "chunk.choices.delta", "tool_calls");
        s->held -= b->held.len;
        return WEIR_OK;
    }
    out->len = 0;
    jo_open(out, '{');
    jo_kz(out, "type", "\"content_block_stop\"");
    jo_kint(out, "index", s->index++);
    jo_close(out, '}');
    return weir_emit(sink, "content_block_stop", out);
}

/* Goes on to the next block while the first is finished and another waits. */
static weir_status_t advance(state_t *s, weir_buf_t *out, weir_sink_t *sink)
{
    weir_status_t status = flush(s, out, sink);
    while (status == WEIR_OK && s->head + 1 < s->n) {
        const block_t *b = &s->blocks[s->head];
        if (b->kind == BLOCK_TOOL && !b->balance.complete) {
            break;
        }
        status = close_head(s, out, sink);
        if (status == WEIR_OK) {
            status = flush(s, out, sink);
        }
    }
    return status;
}

static block_t *add_block(state_t *s, kind_t kind, int64_t call)
{
    if (s->blocks == NULL || s->n == s->cap) {
        uint32_t cap = s->cap == 0 ? 4 : s->cap * 2;
        block_t *grown =
            cap > WEIR_MAX_TOOLS ? NULL : weir_arena_calloc(s->tr->arena, cap, sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        if (s->blocks != NULL) {
            memcpy(grown, s->blocks, s->n * sizeof(*grown));
        }
        s->blocks = grown;
        s->cap = cap;
    }
    block_t *b = &s->blocks[s->n++];
    b->kind = kind;
    b->call = call;
    weir_buf_init(&b->held, s->tr->arena);
    return b;
}

/* Text and thinking go on in the last block when it is of their kind. */
static block_t *text_block(state_t *s, kind_t kind)
{
    block_t *last = s->n > s->head ? &s->blocks[s->n - 1] : NULL;
    return last != NULL && last->kind == kind ? last : add_block(s, kind, -1);
}

/* The latest call of that index; another id begins another call: some servers number none. */
static block_t *tool_block(state_t *s, const weir_tctx_t *c, const weir_call_delta_t *d)
{
    weir_str_t id = d->id == WEIR_JSON_NONE ? (weir_str_t){NULL, 0} : weir_json_raw(c->doc, d->id);
    for (uint32_t i = s->n; i-- > 0;) {
        block_t *b = &s->blocks[i];
        if (b->kind == BLOCK_TOOL && b->call == d->index) {
            bool other = id.len > 0 && b->id.len > 0 && !weir_str_eq(id, b->id);
            return other ? add_block(s, BLOCK_TOOL, d->index) : b;
        }
    }
    return add_block(s, BLOCK_TOOL, d->index);
}

/* Appends a piece to a block: sent at once when it is the head's, else held. */
static weir_status_t put(state_t *s, block_t *b, weir_str_t piece, weir_buf_t *out,
                         weir_sink_t *sink)
{
    if (b == NULL) {
        weir_stop_with(sink, "the upstream's answer has too many parts");
        return WEIR_OK;
    }
    if (b < &s->blocks[s->head]) {
        /* Something behind a complete JSON object. */
        weir_loss(s->tr, "chunk.choices.delta", "tool_calls");
        return WEIR_OK;
    }
    bool ready = b == &s->blocks[s->head] && (b->kind != BLOCK_TOOL || b->name.len > 0);
    if (ready && b->started && b->held.len == 0) {
        weir_status_t status = piece.len > 0 ? send_piece(s, b, piece, out, sink) : WEIR_OK;
        return status == WEIR_OK ? advance(s, out, sink) : status;
    }
    s->held += piece.len;
    if (s->held > s->tr->options.max_held) {
        weir_stop_with(sink, "too much of the upstream's answer had to be held");
        return WEIR_OK;
    }
    weir_buf_append_str(&b->held, piece);
    return b->held.failed ? WEIR_ERR_NOMEM : advance(s, out, sink);
}

static weir_status_t put_text(state_t *s, const weir_tctx_t *c, uint32_t node, kind_t kind,
                              weir_sink_t *sink)
{
    if (!weir_has_text(c->doc, node)) {
        return WEIR_OK;
    }
    return put(s, text_block(s, kind), jo_inner(c->doc, node), c->out, sink);
}

static weir_status_t put_call(state_t *s, const weir_tctx_t *c, uint32_t call, uint32_t at,
                              weir_sink_t *sink)
{
    weir_call_delta_t d = weir_read_call_delta(c->doc, call, at);
    block_t *b = tool_block(s, c, &d);
    s->tools = true;
    if (b != NULL && b->id.len == 0 && d.id != WEIR_JSON_NONE) {
        b->id = weir_keep(s->tr, weir_json_raw(c->doc, d.id));
        s->held += b->id.len;
    }
    if (b != NULL && b->name.len == 0 && d.name != WEIR_JSON_NONE) {
        b->name = weir_keep(s->tr, weir_json_raw(c->doc, d.name));
        s->held += b->name.len;
    }
    weir_str_t piece = {"", 0};
    if (d.arguments != WEIR_JSON_NONE) {
        piece = jo_inner(c->doc, d.arguments);
        if (b != NULL) {
            weir_balance_feed(&b->balance, weir_text_of(c, d.arguments));
        }
    }
    return put(s, b, piece, c->out, sink);
}

static weir_status_t put_calls(state_t *s, const weir_tctx_t *c, uint32_t calls, weir_sink_t *sink)
{
    weir_status_t status = WEIR_OK;
    if (!weir_is(c->doc, calls, WEIR_JSON_ARRAY)) {
        return WEIR_OK;
    }
    uint32_t call = calls + 1;
    for (uint32_t i = 0; status == WEIR_OK && i < c->doc->nodes[calls].size; i++) {
        status = put_call(s, c, call, i, sink);
        call = c->doc->nodes[call].next;
    }
    return status;
}

static weir_status_t choice_delta(void *self, const weir_tctx_t *c, uint32_t choice,
                                  weir_sink_t *sink)
{
    state_t *s = self;
    uint32_t delta = weir_member(c->doc, choice, "delta");
    weir_note_members(c, choice, &weir_ca_chunk_choice);
    weir_note_members(c, delta, &weir_ca_delta);
    uint32_t refusal = weir_member(c->doc, delta, "refusal");
    s->refused = s->refused || weir_has_text(c->doc, refusal);
    weir_status_t status = put_text(s, c, weir_reasoning_of(c->doc, delta), BLOCK_THINKING, sink);
    if (status == WEIR_OK) {
        status = put_text(s, c, weir_member(c->doc, delta, "content"), BLOCK_TEXT, sink);
    }
    if (status == WEIR_OK) {
        status = put_text(s, c, refusal, BLOCK_TEXT, sink);
    }
    if (status == WEIR_OK) {
        status = put_calls(s, c, weir_member(c->doc, delta, "tool_calls"), sink);
    }
    uint32_t finish = weir_member(c->doc, choice, "finish_reason");
    if (weir_has_text(c->doc, finish)) {
        uint32_t sequence = weir_member(c->doc, choice, "stop_reason");
        s->reason = weir_stop_reason_of(c->doc, finish, s->tools);
        if (weir_is(c->doc, sequence, WEIR_JSON_STRING) && strcmp(s->reason, "\"end_turn\"") == 0) {
            s->reason = "\"stop_sequence\"";
            s->sequence.len = 0;
            weir_buf_append_str(&s->sequence, weir_json_raw(c->doc, sequence));
        }
    }
    return status;
}

/* The end of a complete answer. */
static weir_status_t finish(void *self, weir_buf_t *out, weir_sink_t *sink)
{
    state_t *s = self;
    weir_status_t status = WEIR_OK;
    s->done = true;
    if (!s->has_usage) {
        weir_loss(s->tr, "answer", "usage");
    }
    while (status == WEIR_OK && s->head < s->n) {
        status = close_head(s, out, sink);
    }
    if (status != WEIR_OK) {
        return status;
    }
    out->len = 0;
    jo_open(out, '{');
    jo_kz(out, "type", "\"message_delta\"");
    jo_kopen(out, "delta", '{');
    jo_kz(out, "stop_reason", s->refused ? "\"refusal\"" : s->reason);
    jo_kraw(out, "stop_sequence",
            s->sequence.len > 0 ? weir_str(s->sequence.data, s->sequence.len) : WEIR_STR("null"));
    jo_close(out, '}');
    jo_key(out, "usage");
    weir_write_usage(WEIR_PROTOCOL_MESSAGES, &s->tokens, out);
    jo_close(out, '}');
    status = weir_emit(sink, "message_delta", out);
    if (status != WEIR_OK) {
        return status;
    }
    out->len = 0;
    weir_buf_append_z(out, "{\"type\":\"message_stop\"}");
    return weir_emit(sink, "message_stop", out);
}

static weir_status_t feed_chunk(void *self, const weir_json_doc_t *doc, weir_sink_t *sink)
{
    state_t *s = self;
    weir_buf_t out;
    weir_status_t status = WEIR_OK;
    weir_tctx_t c = weir_event_context(s->tr, doc, sink, &out);
    uint32_t choices = weir_member(doc, 0, "choices");
    weir_note_members(&c, 0, &weir_ca_chunk);
    s->has_usage = weir_tokens_read(&s->tokens, doc, weir_member(doc, 0, "usage")) || s->has_usage;
    if (!weir_is(doc, choices, WEIR_JSON_ARRAY) || doc->nodes[choices].size == 0) {
        return WEIR_OK;
    }
    status = begin(s, &c, sink);
    return status == WEIR_OK ? weir_first_choices(&c, choices, choice_delta, s, sink) : status;
}

static const weir_chunk_reader_t reader = {feed_chunk, finish};

static weir_chunk_progress_t progress(const state_t *s)
{
    return (weir_chunk_progress_t){.done = s->done, .finished = s->reason != NULL};
}

weir_status_t weir_stream_to_messages_feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    const state_t *s = self;
    return s == NULL ? WEIR_ERR_NOMEM
                     : weir_chunks_feed(&reader, self, s->tr, progress(s), item, sink);
}

weir_status_t weir_stream_to_messages_end(void *self, weir_end_t why, weir_sink_t *sink)
{
    return self == NULL ? WEIR_ERR_NOMEM
                        : weir_chunks_end(&reader, self, progress(self), why, sink);
}
