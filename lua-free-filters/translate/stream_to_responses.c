/*
 * A stream of chat completions as events of OpenAI's responses API. The events that end an item and
 * the response repeat their whole text, so all of it is held, up to the options' max_held.
 */
#include "lua-free-filters/translate/response_out.h"
#include "lua-free-filters/translate/stream.h"

typedef enum { ITEM_REASONING, ITEM_TEXT, ITEM_REFUSAL, ITEM_CALL, ITEM_CUSTOM } kind_t;

typedef struct {
    kind_t kind;
    int64_t call;       /* call: the upstream's index */
    weir_str_t id;      /* the item's, a JSON string; empty: not added yet */
    weir_str_t call_id; /* JSON strings, copied */
    weir_str_t name;
    weir_buf_t text; /* inside of a JSON string: all of it */
    weir_balance_t balance;
    size_t sent; /* call: bytes of text that the client has got */
    bool closed;
} entry_t;

typedef struct {
    weir_translation_t *tr;
    entry_t *items;
    uint32_t n;
    uint32_t cap;
    size_t held;
    int64_t sequence;
    weir_response_t response;
    weir_tokens_t tokens;
    bool begun;
    bool done;
    bool finished; /* a finish reason was told */
} state_t;

void *weir_stream_to_responses(weir_translation_t *tr)
{
    state_t *s = weir_arena_calloc(tr->arena, 1, sizeof(*s));
    if (s != NULL) {
        s->tr = tr;
    }
    return s;
}

static weir_status_t begin_calls(state_t *s, bool all, weir_buf_t *out, weir_sink_t *sink);

/* --- events --- */

static void open_event(state_t *s, const char *type, weir_buf_t *out)
{
    out->len = 0;
    jo_open(out, '{');
    jo_kstring(out, "type", weir_str(type, strlen(type)));
    jo_kint(out, "sequence_number", s->sequence++);
}

static weir_status_t close_event(const char *type, weir_buf_t *out, weir_sink_t *sink)
{
    jo_close(out, '}');
    return weir_emit(sink, type, out);
}

static uint32_t position(const state_t *s, const entry_t *e)
{
    return (uint32_t)(e - s->items);
}

/* item_id, output_index, and for texts content_index. */
static void where(const state_t *s, const entry_t *e, weir_buf_t *out)
{
    jo_kraw(out, "item_id", e->id);
    jo_kint(out, "output_index", position(s, e));
    if (e->kind == ITEM_REASONING || e->kind == ITEM_TEXT || e->kind == ITEM_REFUSAL) {
        jo_kint(out, "content_index", 0);
    }
}

static void quoted(weir_buf_t *out, const char *key, const weir_buf_t *inner)
{
    jo_key(out, key);
    jo_begin_string(out);
    if (inner != NULL && inner->len > 0) {
        weir_buf_append(out, inner->data, inner->len);
    }
    jo_end_string(out);
}

/* The content part of a text, empty or whole. */
static void write_part(const entry_t *e, bool whole, weir_buf_t *out)
{
    const weir_buf_t *text = whole ? &e->text : NULL;
    jo_open(out, '{');
    if (e->kind == ITEM_REASONING) {
        jo_kz(out, "type", "\"reasoning_text\"");
        quoted(out, "text", text);
    } else if (e->kind == ITEM_REFUSAL) {
        jo_kz(out, "type", "\"refusal\"");
        quoted(out, "refusal", text);
    } else {
        jo_kz(out, "type", "\"output_text\"");
        jo_kz(out, "annotations", "[]");
        jo_kz(out, "logprobs", "[]");
        quoted(out, "text", text);
    }
    jo_close(out, '}');
}

/* A custom tool's input out of its arguments {"input": "..."}, as the inside of a JSON string. */
static weir_status_t write_input(const entry_t *e, const char *key, bool whole, weir_buf_t *out)
{
    weir_json_doc_t outer;
    weir_json_doc_t inner;
    weir_str_t text = {"", 0};
    weir_json_limits_t limits = {.allow_duplicate_keys = true};
    weir_buf_t string;
    if (!whole || e->text.len == 0) {
        jo_kz(out, key, "\"\"");
        return WEIR_OK;
    }
    weir_buf_init(&string, out->arena);
    quoted(&string, "x", &e->text); /* "x":"..." */
    const char *value = string.data == NULL ? NULL : string.data + 4;
    if (string.failed || value == NULL) {
        return WEIR_ERR_NOMEM;
    }
    if (weir_json_parse(value, string.len - 4, &limits, out->arena, &outer, NULL) != WEIR_OK ||
        weir_json_string(&outer, 0, out->arena, &text) != WEIR_OK) {
        return WEIR_ERR_NOMEM;
    }
    if (weir_json_parse(text.data, text.len, &limits, out->arena, &inner, NULL) == WEIR_OK &&
        weir_is(&inner, weir_member(&inner, 0, "input"), WEIR_JSON_STRING)) {
        jo_kraw(out, key, weir_json_raw(&inner, weir_member(&inner, 0, "input")));
    } else {
        jo_kstring(out, key, text);
    }
    return WEIR_OK;
}

/* An output item; whole false: as it is when it begins. */
static weir_status_t write_item(const state_t *s, const entry_t *e, bool whole, weir_buf_t *out)
{
    bool cut = whole && s->response.incomplete != NULL;
    const char *status = !whole ? "\"in_progress\"" : cut ? "\"incomplete\"" : "\"completed\"";
    weir_status_t result = WEIR_OK;
    jo_open(out, '{');
    jo_kraw(out, "id", e->id);
    if (e->kind == ITEM_CALL || e->kind == ITEM_CUSTOM) {
        bool custom = e->kind == ITEM_CUSTOM;
        jo_kz(out, "type", custom ? "\"custom_tool_call\"" : "\"function_call\"");
        jo_kz(out, "status", status);
        jo_kraw(out, "call_id", e->call_id);
        jo_kraw(out, "name", e->name);
        if (custom) {
            result = write_input(e, "input", whole, out);
        } else {
            quoted(out, "arguments", whole ? &e->text : NULL);
        }
        jo_close(out, '}');
        return result;
    }
    jo_kz(out, "type", e->kind == ITEM_REASONING ? "\"reasoning\"" : "\"message\"");
    jo_kz(out, "status", status);
    if (e->kind == ITEM_REASONING) {
        jo_kz(out, "summary", "[]");
    } else {
        jo_kz(out, "role", "\"assistant\"");
    }
    jo_kopen(out, "content", '[');
    if (whole) {
        write_part(e, true, out);
    }
    jo_close(out, ']');
    jo_close(out, '}');
    return result;
}

static weir_status_t write_response(state_t *s, const char *type, weir_buf_t *out,
                                    weir_sink_t *sink)
{
    weir_status_t status = WEIR_OK;
    open_event(s, type, out);
    jo_key(out, "response");
    weir_response_begin(s->tr, &s->response, out);
    jo_kopen(out, "output", '[');
    for (uint32_t i = 0; status == WEIR_OK && s->done && i < s->n; i++) {
        if (s->items[i].id.len > 0) {
            status = write_item(s, &s->items[i], true, out);
        }
    }
    jo_close(out, ']');
    jo_close(out, '}');
    return status == WEIR_OK ? close_event(type, out, sink) : status;
}

/* --- items --- */

static weir_status_t item_event(state_t *s, const entry_t *e, bool done, weir_buf_t *out,
                                weir_sink_t *sink)
{
    const char *type = done ? "response.output_item.done" : "response.output_item.added";
    open_event(s, type, out);
    jo_kint(out, "output_index", position(s, e));
    jo_key(out, "item");
    weir_status_t status = write_item(s, e, done, out);
    return status == WEIR_OK ? close_event(type, out, sink) : status;
}

static weir_status_t part_event(state_t *s, const entry_t *e, bool done, weir_buf_t *out,
                                weir_sink_t *sink)
{
    const char *type = done ? "response.content_part.done" : "response.content_part.added";
    open_event(s, type, out);
    where(s, e, out);
    jo_key(out, "part");
    write_part(e, done, out);
    return close_event(type, out, sink);
}

static weir_status_t add_item(state_t *s, entry_t *e, weir_buf_t *out, weir_sink_t *sink)
{
    static const char *const prefixes[] = {"rs_", "msg_", "msg_", "fc_", "ctc_"};
    if (e->kind == ITEM_CALL &&
        weir_is_custom(s->tr, weir_str(e->name.data + 1, e->name.len - 2))) {
        e->kind = ITEM_CUSTOM;
    }
    out->len = 0;
    weir_item_id(s->response.id, prefixes[e->kind], position(s, e), out);
    e->id = weir_keep(s->tr, weir_str(out->data, out->len));
    if ((e->kind == ITEM_CALL || e->kind == ITEM_CUSTOM) && e->call_id.len == 0) {
        out->len = 0;
        weir_item_id(s->response.id, "call_", position(s, e), out);
        e->call_id = weir_keep(s->tr, weir_str(out->data, out->len));
    }
    if (e->id.len == 0) {
        return WEIR_ERR_NOMEM;
    }
    weir_status_t status = item_event(s, e, false, out, sink);
    if (status == WEIR_OK && e->kind <= ITEM_REFUSAL) {
        status = part_event(s, e, false, out, sink);
    }
    return status;
}

/* The whole text, in the event that ends it. */
static weir_status_t text_done(state_t *s, const entry_t *e, weir_buf_t *out, weir_sink_t *sink)
{
    static const char *const types[] = {
        "response.reasoning_text.done", "response.output_text.done", "response.refusal.done",
        "response.function_call_arguments.done", "response.custom_tool_call_input.done"};
    static const char *const keys[] = {"text", "text", "refusal", "arguments", "input"};
    weir_status_t status = WEIR_OK;
    open_event(s, types[e->kind], out);
    where(s, e, out);
    if (e->kind == ITEM_CUSTOM) {
        status = write_input(e, keys[e->kind], true, out);
    } else {
        quoted(out, keys[e->kind], &e->text);
    }
    if (e->kind == ITEM_TEXT) {
        jo_kz(out, "logprobs", "[]");
    } else if (e->kind == ITEM_CALL) {
        jo_kraw(out, "name", e->name);
    }
    return status == WEIR_OK ? close_event(types[e->kind], out, sink) : status;
}

static weir_status_t close_item(state_t *s, entry_t *e, weir_buf_t *out, weir_sink_t *sink)
{
    weir_status_t status = WEIR_OK;
    if (e->closed || e->id.len == 0) {
        return WEIR_OK;
    }
    e->closed = true;
    if (e->kind == ITEM_CUSTOM) {
        open_event(s, "response.custom_tool_call_input.delta", out);
        where(s, e, out);
        status = write_input(e, "delta", true, out);
        status = status == WEIR_OK ? close_event("response.custom_tool_call_input.delta", out, sink)
                                   : status;
    }
    if (status == WEIR_OK) {
        status = text_done(s, e, out, sink);
    }
    if (status == WEIR_OK && e->kind <= ITEM_REFUSAL) {
        status = part_event(s, e, true, out, sink);
    }
    return status == WEIR_OK ? item_event(s, e, true, out, sink) : status;
}

/* Ends what is complete when another item begins. */
static weir_status_t close_others(state_t *s, const entry_t *but, weir_buf_t *out,
                                  weir_sink_t *sink)
{
    weir_status_t status = WEIR_OK;
    for (uint32_t i = 0; status == WEIR_OK && i < s->n; i++) {
        entry_t *e = &s->items[i];
        bool call = e->kind == ITEM_CALL || e->kind == ITEM_CUSTOM;
        if (e != but && (!call || e->balance.complete)) {
            status = close_item(s, e, out, sink);
        }
    }
    return status;
}

static entry_t *new_item(state_t *s, kind_t kind, int64_t call)
{
    if (s->items == NULL || s->n == s->cap) {
        uint32_t cap = s->cap == 0 ? 4 : s->cap * 2;
        entry_t *grown =
            cap > WEIR_MAX_TOOLS ? NULL : weir_arena_calloc(s->tr->arena, cap, sizeof(*grown));
        if (grown == NULL) {
            return NULL;
        }
        if (s->items != NULL) {
            memcpy(grown, s->items, s->n * sizeof(*grown));
        }
        s->items = grown;
        s->cap = cap;
    }
    entry_t *e = &s->items[s->n++];
    e->kind = kind;
    e->call = call;
    weir_buf_init(&e->text, s->tr->arena);
    return e;
}

static weir_status_t too_many(weir_sink_t *sink)
{
    weir_stop_with(sink, "the upstream's answer has too many parts");
    return WEIR_OK;
}

/* Adds to an item's text; false when the stream was stopped for it or memory is out. */
static bool keep_text(state_t *s, entry_t *e, weir_str_t piece, weir_sink_t *sink)
{
    s->held += piece.len;
    if (s->held > s->tr->options.max_held) {
        weir_stop_with(sink, "the upstream's answer is too long to be held");
        return false;
    }
    weir_buf_append_str(&e->text, piece);
    return !e->text.failed;
}

static weir_status_t put_text(state_t *s, const weir_tctx_t *c, uint32_t choice, uint32_t node,
                              kind_t kind, weir_sink_t *sink)
{
    static const char *const types[] = {"response.reasoning_text.delta",
                                        "response.output_text.delta", "response.refusal.delta"};
    weir_status_t status = WEIR_OK;
    if (!weir_has_text(c->doc, node)) {
        return WEIR_OK;
    }
    entry_t *e = s->n > 0 ? &s->items[s->n - 1] : NULL;
    if (e == NULL || e->kind != kind || e->closed) {
        e = new_item(s, kind, -1);
        if (e == NULL) {
            return too_many(sink);
        }
        status = begin_calls(s, true, c->out, sink);
        status = status == WEIR_OK ? close_others(s, e, c->out, sink) : status;
        status = status == WEIR_OK ? add_item(s, e, c->out, sink) : status;
    }
    if (status != WEIR_OK) {
        return status;
    }
    if (!keep_text(s, e, jo_inner(c->doc, node), sink)) {
        return e->text.failed ? WEIR_ERR_NOMEM : WEIR_OK;
    }
    open_event(s, types[kind], c->out);
    where(s, e, c->out);
    jo_kraw(c->out, "delta", weir_json_raw(c->doc, node));
    if (kind == ITEM_TEXT) {
        jo_key(c->out, "logprobs");
        weir_write_logprobs(c->doc, weir_member(c->doc, choice, "logprobs"), c->out);
    }
    return close_event(types[kind], c->out, sink);
}

/* Sends what the client has not got of a call's arguments. */
static weir_status_t send_arguments(state_t *s, entry_t *e, weir_buf_t *out, weir_sink_t *sink)
{
    if (e->kind == ITEM_CUSTOM || e->id.len == 0 || e->sent == e->text.len) {
        return WEIR_OK;
    }
    open_event(s, "response.function_call_arguments.delta", out);
    where(s, e, out);
    jo_key(out, "delta");
    jo_begin_string(out);
    weir_buf_append(out, e->text.data + e->sent, e->text.len - e->sent);
    jo_end_string(out);
    e->sent = e->text.len;
    return close_event("response.function_call_arguments.delta", out, sink);
}

static entry_t *call_of(state_t *s, const weir_tctx_t *c, const weir_call_delta_t *d)
{
    weir_str_t id = d->id == WEIR_JSON_NONE ? (weir_str_t){NULL, 0} : weir_json_raw(c->doc, d->id);
    for (uint32_t i = s->n; i-- > 0;) {
        entry_t *e = &s->items[i];
        if ((e->kind == ITEM_CALL || e->kind == ITEM_CUSTOM) && e->call == d->index) {
            bool other = id.len > 0 && e->call_id.len > 0 && !weir_str_eq(id, e->call_id);
            return other ? new_item(s, ITEM_CALL, d->index) : e;
        }
    }
    return new_item(s, ITEM_CALL, d->index);
}

static bool is_call(const entry_t *e)
{
    return e->kind == ITEM_CALL || e->kind == ITEM_CUSTOM;
}

/*
 * Items come one after the other, as OpenAI sends them, because clients add a piece to the item
 * that was added last: a call begins when those before it are complete, or all when nothing else
 * can come.
 */
static weir_status_t begin_calls(state_t *s, bool all, weir_buf_t *out, weir_sink_t *sink)
{
    weir_status_t status = WEIR_OK;
    for (uint32_t i = 0; status == WEIR_OK && i < s->n; i++) {
        entry_t *e = &s->items[i];
        if (!is_call(e) || e->closed) {
            continue;
        }
        if (e->id.len == 0 && e->name.len > 0) {
            status = close_others(s, e, out, sink);
            status = status == WEIR_OK ? add_item(s, e, out, sink) : status;
        }
        if (status == WEIR_OK) {
            status = send_arguments(s, e, out, sink);
        }
        if (!all && (e->name.len == 0 || !e->balance.complete)) {
            break;
        }
    }
    return status;
}

static weir_status_t put_call(state_t *s, const weir_tctx_t *c, uint32_t call, uint32_t at,
                              weir_sink_t *sink)
{
    weir_call_delta_t d = weir_read_call_delta(c->doc, call, at);
    entry_t *e = call_of(s, c, &d);
    if (e == NULL) {
        return too_many(sink);
    }
    if (e->closed) {
        weir_loss(s->tr, "chunk.choices.delta", "tool_calls");
        return WEIR_OK;
    }
    if (e->call_id.len == 0 && d.id != WEIR_JSON_NONE) {
        e->call_id = weir_keep(s->tr, weir_json_raw(c->doc, d.id));
        s->held += e->call_id.len;
    }
    if (e->name.len == 0 && d.name != WEIR_JSON_NONE) {
        e->name = weir_keep(s->tr, weir_json_raw(c->doc, d.name));
        s->held += e->name.len;
    }
    if (d.arguments != WEIR_JSON_NONE) {
        if (!keep_text(s, e, jo_inner(c->doc, d.arguments), sink)) {
            return e->text.failed ? WEIR_ERR_NOMEM : WEIR_OK;
        }
        weir_balance_feed(&e->balance, weir_text_of(c, d.arguments));
    }
    return begin_calls(s, false, c->out, sink);
}

/* --- the response --- */

static weir_status_t begin(state_t *s, const weir_tctx_t *c, weir_sink_t *sink)
{
    if (s->begun) {
        return WEIR_OK;
    }
    s->begun = true;
    c->out->len = 0;
    weir_write_id(c, weir_member(c->doc, 0, "id"), "resp_");
    s->response.id = weir_keep(s->tr, weir_str(c->out->data, c->out->len));
    s->response.model = weir_keep(s->tr, weir_model_of(c, weir_member(c->doc, 0, "model")));
    s->response.created = s->tr->options.now;
    weir_json_int64(c->doc, weir_member(c->doc, 0, "created"), &s->response.created);
    s->response.status = "\"in_progress\"";
    if (s->response.id.len == 0 || s->response.model.len == 0) {
        return WEIR_ERR_NOMEM;
    }
    weir_status_t status = write_response(s, "response.created", c->out, sink);
    return status == WEIR_OK ? write_response(s, "response.in_progress", c->out, sink) : status;
}

static weir_status_t choice_delta(void *self, const weir_tctx_t *c, uint32_t choice,
                                  weir_sink_t *sink)
{
    state_t *s = self;
    uint32_t delta = weir_member(c->doc, choice, "delta");
    uint32_t calls = weir_member(c->doc, delta, "tool_calls");
    uint32_t finish = weir_member(c->doc, choice, "finish_reason");
    weir_note_members(c, delta, &weir_ra_delta);
    weir_status_t status =
        put_text(s, c, choice, weir_reasoning_of(c->doc, delta), ITEM_REASONING, sink);
    if (status == WEIR_OK) {
        status = put_text(s, c, choice, weir_member(c->doc, delta, "content"), ITEM_TEXT, sink);
    }
    if (status == WEIR_OK) {
        status = put_text(s, c, choice, weir_member(c->doc, delta, "refusal"), ITEM_REFUSAL, sink);
    }
    if (weir_is(c->doc, calls, WEIR_JSON_ARRAY)) {
        uint32_t call = calls + 1;
        for (uint32_t i = 0; status == WEIR_OK && i < c->doc->nodes[calls].size; i++) {
            status = put_call(s, c, call, i, sink);
            call = c->doc->nodes[call].next;
        }
    }
    if (weir_has_text(c->doc, finish)) {
        s->finished = true;
        weir_response_status(c->doc, finish, &s->response);
    }
    return status;
}

static weir_status_t finish(void *self, weir_buf_t *out, weir_sink_t *sink)
{
    state_t *s = self;
    weir_status_t status = begin_calls(s, true, out, sink);
    for (uint32_t i = 0; status == WEIR_OK && i < s->n; i++) {
        if (s->items[i].id.len == 0) {
            weir_loss(s->tr, "chunk.choices.delta", "tool_calls");
        }
        status = close_item(s, &s->items[i], out, sink);
    }
    s->done = true;
    if (s->response.tokens == NULL) {
        weir_loss(s->tr, "answer", "usage");
    }
    if (status != WEIR_OK) {
        return status;
    }
    return write_response(
        s, s->response.incomplete != NULL ? "response.incomplete" : "response.completed", out,
        sink);
}

static weir_status_t feed_chunk(void *self, const weir_json_doc_t *doc, weir_sink_t *sink)
{
    state_t *s = self;
    weir_buf_t out;
    weir_status_t status;
    weir_tctx_t c = weir_event_context(s->tr, doc, sink, &out);
    uint32_t choices = weir_member(doc, 0, "choices");
    weir_note_members(&c, 0, &weir_ra_chunk);
    if (weir_tokens_read(&s->tokens, doc, weir_member(doc, 0, "usage"))) {
        s->response.tokens = &s->tokens;
    }
    if (!weir_is(doc, choices, WEIR_JSON_ARRAY) || doc->nodes[choices].size == 0) {
        return WEIR_OK;
    }
    status = begin(s, &c, sink);
    return status == WEIR_OK ? weir_first_choices(&c, choices, choice_delta, s, sink) : status;
}

static const weir_chunk_reader_t reader = {feed_chunk, finish};

static weir_chunk_progress_t progress(const state_t *s)
{
    return (weir_chunk_progress_t){.done = s->done, .finished = s->finished};
}

weir_status_t weir_stream_to_responses_feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    const state_t *s = self;
    return s == NULL ? WEIR_ERR_NOMEM
                     : weir_chunks_feed(&reader, self, s->tr, progress(s), item, sink);
}

weir_status_t weir_stream_to_responses_end(void *self, weir_end_t why, weir_sink_t *sink)
{
    return self == NULL ? WEIR_ERR_NOMEM
                        : weir_chunks_end(&reader, self, progress(self), why, sink);
}
