#include "lua-free-filters/sse_from_json.h"

#include <stdio.h>

#include "lua-free-filters/ending.h"

typedef struct {
    const weir_json_doc_t *doc;
    weir_sink_t *sink;
    weir_arena_t *arena;
    weir_buf_t out;   /* the event at hand */
    int64_t sequence; /* responses */
} stream_t;

/* --- pieces of JSON --- */

static weir_str_t raw_of(const stream_t *s, uint32_t object, const char *name, const char *absent)
{
    uint32_t node = weir_json_get(s->doc, object, name);
    return node == WEIR_JSON_NONE ? weir_str(absent, strlen(absent)) : weir_json_raw(s->doc, node);
}

static bool is_type(const stream_t *s, uint32_t node, weir_json_type_t type)
{
    return node != WEIR_JSON_NONE && weir_json_type(s->doc, node) == type;
}

/* The value of a string member without escapes; empty for anything else. */
static weir_str_t word_of(const stream_t *s, uint32_t object, const char *name)
{
    uint32_t node = weir_json_get(s->doc, object, name);

    if (!is_type(s, node, WEIR_JSON_STRING) || s->doc->nodes[node].escaped) {
        return weir_str(NULL, 0);
    }
    weir_str_t raw = weir_json_raw(s->doc, node);
    return weir_str(raw.data + 1, raw.len - 2);
}

static void put(stream_t *s, const char *z)
{
    weir_buf_append_z(&s->out, z);
}

static void put_raw(stream_t *s, weir_str_t raw)
{
    weir_buf_append_str(&s->out, raw);
}

/* A member in place of another: value NULL leaves it out. */
typedef struct {
    const char *name;
    const char *value;
} change_t;

/* The members of an object without its braces, some of them changed. */
static void put_members(stream_t *s, uint32_t object, const change_t *changes, size_t n)
{
    bool first = true;

    if (!is_type(s, object, WEIR_JSON_OBJECT)) {
        return;
    }
    for (uint32_t i = s->doc->nodes[object].size, at = object + 1; i > 0; i--) {
        const change_t *change = NULL;
        for (size_t c = 0; c < n && change == NULL; c++) {
            change = weir_json_string_is(s->doc, at, changes[c].name) ? &changes[c] : NULL;
        }
        if (change == NULL || change->value != NULL) {
            put(s, first ? "" : ",");
            put_raw(s, weir_json_raw(s->doc, at));
            put(s, ":");
            first = false;
            if (change != NULL) {
                put(s, change->value);
            } else {
                put_raw(s, weir_json_raw(s->doc, at + 1));
            }
        }
        at = s->doc->nodes[at + 1].next;
    }
}

static weir_status_t send(stream_t *s, const char *name)
{
    if (s->out.failed) {
        return WEIR_ERR_NOMEM;
    }
    weir_status_t rc =
        weir_sink_event(s->sink, weir_str(name, strlen(name)), weir_str(s->out.data, s->out.len));
    s->out.len = 0;
    return rc;
}

static uint32_t array_of(const stream_t *s, uint32_t object, const char *name, uint32_t *size)
{
    uint32_t node = weir_json_get(s->doc, object, name);

    *size = is_type(s, node, WEIR_JSON_ARRAY) ? s->doc->nodes[node].size : 0;
    return node;
}

/* --- chat and completions --- */

static void begin_chunk(stream_t *s, bool chat)
{
    const change_t changes[] = {
        {"choices", NULL}, {"usage", NULL}, {"object", chat ? "\"chat.completion.chunk\"" : NULL}};

    put(s, "{");
    put_members(s, 0, changes, chat ? 3 : 2);
    put(s, s->out.len > 1 ? "," : "");
}

/* A message as a delta: tool calls get their index, and what is null is no piece of it. */
static void put_delta(stream_t *s, uint32_t message)
{
    bool first = true;

    put(s, "{");
    for (uint32_t i = s->doc->nodes[message].size, at = message + 1; i > 0; i--) {
        uint32_t value = at + 1;
        if (!is_type(s, value, WEIR_JSON_NULL) || weir_json_string_is(s->doc, at, "content")) {
            put(s, first ? "" : ",");
            first = false;
            put_raw(s, weir_json_raw(s->doc, at));
            put(s, ":");
            if (weir_json_string_is(s->doc, at, "tool_calls") &&
                is_type(s, value, WEIR_JSON_ARRAY)) {
                uint32_t call = value + 1;
                for (uint32_t k = 0; k < s->doc->nodes[value].size; k++) {
                    static const change_t index[] = {{"index", NULL}};
                    weir_buf_printf(&s->out, "%s{\"index\":%u", k == 0 ? "[" : ",", k);
                    if (is_type(s, call, WEIR_JSON_OBJECT)) {
                        put(s, s->doc->nodes[call].size > 0 ? "," : "");
                        put_members(s, call, index, 1);
                    }
                    put(s, "}");
                    call = s->doc->nodes[call].next;
                }
                put(s, s->doc->nodes[value].size == 0 ? "[]" : "]");
            } else {
                put_raw(s, weir_json_raw(s->doc, value));
            }
        }
        at = s->doc->nodes[value].next;
    }
    put(s, "}");
}

static weir_status_t stream_choice(stream_t *s, uint32_t choice, uint32_t i, bool chat)
{
    char index[16];
    uint32_t message = weir_json_get(s->doc, choice, "message");
    weir_str_t number = raw_of(s, choice, "index", "");

    if (number.len == 0 || number.len >= sizeof(index)) {
        weir_buf_t text;
        weir_buf_init(&text, s->arena);
        weir_buf_printf(&text, "%u", i);
        number = weir_str(text.data, text.len);
    }
    begin_chunk(s, chat);
    put(s, "\"choices\":[{\"index\":");
    put_raw(s, number);
    if (chat) {
        put(s, ",\"delta\":");
        if (is_type(s, message, WEIR_JSON_OBJECT)) {
            put_delta(s, message);
        } else {
            put(s, "{\"role\":\"assistant\",\"content\":\"\"}");
        }
    } else {
        put(s, ",\"text\":");
        put_raw(s, raw_of(s, choice, "text", "\"\""));
    }
    put(s, ",\"logprobs\":");
    put_raw(s, raw_of(s, choice, "logprobs", "null"));
    put(s, ",\"finish_reason\":null}]}");
    weir_status_t rc = send(s, "");

    begin_chunk(s, chat);
    put(s, "\"choices\":[{\"index\":");
    put_raw(s, number);
    put(s, chat ? ",\"delta\":{}" : ",\"text\":\"\"");
    put(s, ",\"logprobs\":null,\"finish_reason\":");
    weir_str_t reason = raw_of(s, choice, "finish_reason", "null");
    put_raw(s, weir_str_is(reason, "null") ? WEIR_STR("\"stop\"") : reason);
    put(s, "}]}");
    return rc == WEIR_OK ? send(s, "") : rc;
}

static weir_status_t stream_chunks(stream_t *s, bool chat)
{
    uint32_t size;
    uint32_t at = array_of(s, 0, "choices", &size) + 1;
    uint32_t usage = weir_json_get(s->doc, 0, "usage");
    weir_status_t rc = WEIR_OK;

    for (uint32_t i = 0; i < size && rc == WEIR_OK; i++) {
        rc = stream_choice(s, at, i, chat);
        at = s->doc->nodes[at].next;
    }
    if (rc == WEIR_OK && is_type(s, usage, WEIR_JSON_OBJECT)) {
        begin_chunk(s, chat);
        put(s, "\"choices\":[],\"usage\":");
        put_raw(s, weir_json_raw(s->doc, usage));
        put(s, "}");
        rc = send(s, "");
    }
    put(s, "[DONE]");
    return rc == WEIR_OK ? send(s, "") : rc;
}

/* --- Anthropic messages --- */

static weir_status_t block_delta(stream_t *s, uint32_t index, const char *type, const char *member,
                                 weir_str_t raw)
{
    weir_buf_printf(&s->out,
                    "{\"type\":\"content_block_delta\",\"index\":%u,\"delta\":{\"type\":\"%s\","
                    "\"%s\":",
                    index, type, member);
    put_raw(s, raw);
    put(s, "}}");
    return send(s, "content_block_delta");
}

/* The block as it starts, empty; what fills it follows as deltas. */
static void put_block_start(stream_t *s, uint32_t block, uint32_t index)
{
    static const change_t empty[] = {
        {"text", "\"\""},      {"input", "{}"},     {"thinking", "\"\""},
        {"signature", "\"\""}, {"citations", "[]"},
    };
    weir_str_t type = word_of(s, block, "type");
    bool pieces = weir_str_is(type, "text") || weir_str_is(type, "thinking") ||
                  (type.len >= 8 && memcmp(type.data + type.len - 8, "tool_use", 8) == 0);

    weir_buf_printf(&s->out,
                    "{\"type\":\"content_block_start\",\"index\":%u,\"content_block\":", index);
    if (pieces) {
        put(s, "{");
        put_members(s, block, empty, sizeof(empty) / sizeof(empty[0]));
        put(s, "}");
    } else {
        put_raw(s, weir_json_raw(s->doc, block));
    }
    put(s, "}");
}

static weir_status_t stream_block_deltas(stream_t *s, uint32_t block, uint32_t index)
{
    weir_str_t type = word_of(s, block, "type");
    uint32_t size;
    weir_status_t rc = WEIR_OK;

    if (weir_str_is(type, "text")) {
        rc = block_delta(s, index, "text_delta", "text", raw_of(s, block, "text", "\"\""));
        uint32_t at = array_of(s, block, "citations", &size) + 1;
        for (uint32_t i = 0; i < size && rc == WEIR_OK; i++) {
            rc = block_delta(s, index, "citations_delta", "citation", weir_json_raw(s->doc, at));
            at = s->doc->nodes[at].next;
        }
    } else if (weir_str_is(type, "thinking")) {
        rc = block_delta(s, index, "thinking_delta", "thinking",
                         raw_of(s, block, "thinking", "\"\""));
        if (rc == WEIR_OK && weir_json_get(s->doc, block, "signature") != WEIR_JSON_NONE) {
            rc = block_delta(s, index, "signature_delta", "signature",
                             raw_of(s, block, "signature", "\"\""));
        }
    } else if (type.len >= 8 && memcmp(type.data + type.len - 8, "tool_use", 8) == 0) {
        weir_buf_t json;
        weir_buf_init(&json, s->arena);
        weir_json_write_string(&json, raw_of(s, block, "input", "{}"));
        if (json.failed) {
            return WEIR_ERR_NOMEM;
        }
        rc = block_delta(s, index, "input_json_delta", "partial_json",
                         weir_str(json.data, json.len));
    }
    return rc;
}

static weir_status_t stream_block(stream_t *s, uint32_t block, uint32_t index)
{
    put_block_start(s, block, index);
    weir_status_t rc = send(s, "content_block_start");
    if (rc == WEIR_OK) {
        rc = stream_block_deltas(s, block, index);
    }
    weir_buf_printf(&s->out, "{\"type\":\"content_block_stop\",\"index\":%u}", index);
    return rc == WEIR_OK ? send(s, "content_block_stop") : rc;
}

static weir_status_t stream_message(stream_t *s)
{
    static const change_t start[] = {
        {"content", "[]"}, {"stop_reason", "null"}, {"stop_sequence", "null"}};
    uint32_t size;

    put(s, "{\"type\":\"message_start\",\"message\":{");
    put_members(s, 0, start, sizeof(start) / sizeof(start[0]));
    put(s, "}}");
    weir_status_t rc = send(s, "message_start");
    uint32_t at = array_of(s, 0, "content", &size) + 1;
    for (uint32_t i = 0, index = 0; i < size && rc == WEIR_OK; i++) {
        if (is_type(s, at, WEIR_JSON_OBJECT)) {
            rc = stream_block(s, at, index++);
        }
        at = s->doc->nodes[at].next;
    }
    put(s, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":");
    weir_str_t reason = raw_of(s, 0, "stop_reason", "null");
    put_raw(s, weir_str_is(reason, "null") ? WEIR_STR("\"end_turn\"") : reason);
    put(s, ",\"stop_sequence\":");
    put_raw(s, raw_of(s, 0, "stop_sequence", "null"));
    put(s, "},\"usage\":");
    put_raw(s, raw_of(s, 0, "usage", "{\"output_tokens\":0}"));
    put(s, "}");
    if (rc == WEIR_OK) {
        rc = send(s, "message_delta");
    }
    put(s, "{\"type\":\"message_stop\"}");
    return rc == WEIR_OK ? send(s, "message_stop") : rc;
}

/* --- Responses --- */

static void begin_response_event(stream_t *s, const char *type)
{
    weir_buf_printf(&s->out, "{\"type\":\"%s\",\"sequence_number\":%lld,", type,
                    (long long)s->sequence++);
}

static weir_status_t response_event(stream_t *s, const char *type, const change_t *changes,
                                    size_t n)
{
    begin_response_event(s, type);
    put(s, "\"response\":{");
    put_members(s, 0, changes, n);
    put(s, "}}");
    return send(s, type);
}

/* Where a part stands. */
static void put_place(stream_t *s, uint32_t item, uint32_t output, int64_t content)
{
    put(s, "\"item_id\":");
    put_raw(s, raw_of(s, item, "id", "\"\""));
    weir_buf_printf(&s->out, ",\"output_index\":%u,", output);
    if (content >= 0) {
        weir_buf_printf(&s->out, "\"content_index\":%lld,", (long long)content);
    }
}

/* delta and done of a string that is a part of an item. */
static weir_status_t response_string(stream_t *s, const char *kind, uint32_t item, uint32_t output,
                                     int64_t content, const char *member, weir_str_t raw)
{
    char type[64];
    weir_status_t rc;

    snprintf(type, sizeof(type), "response.%s.delta", kind);
    begin_response_event(s, type);
    put_place(s, item, output, content);
    put(s, "\"delta\":");
    put_raw(s, raw);
    put(s, content >= 0 ? ",\"logprobs\":[]}" : "}");
    rc = send(s, type);

    snprintf(type, sizeof(type), "response.%s.done", kind);
    begin_response_event(s, type);
    put_place(s, item, output, content);
    if (content < 0) {
        put(s, "\"name\":");
        put_raw(s, raw_of(s, item, "name", "\"\""));
        put(s, ",");
    }
    weir_buf_printf(&s->out, "\"%s\":", member);
    put_raw(s, raw);
    put(s, content >= 0 ? ",\"logprobs\":[]}" : "}");
    return rc == WEIR_OK ? send(s, type) : rc;
}

static weir_status_t response_part(stream_t *s, uint32_t item, uint32_t output, uint32_t part,
                                   uint32_t index)
{
    static const change_t empty[] = {
        {"text", "\"\""}, {"refusal", "\"\""}, {"annotations", "[]"}, {"logprobs", "[]"}};
    weir_str_t type = word_of(s, part, "type");

    begin_response_event(s, "response.content_part.added");
    put_place(s, item, output, index);
    put(s, "\"part\":{");
    put_members(s, part, empty, sizeof(empty) / sizeof(empty[0]));
    put(s, "}}");
    weir_status_t rc = send(s, "response.content_part.added");
    if (rc == WEIR_OK && weir_str_is(type, "output_text")) {
        rc = response_string(s, "output_text", item, output, index, "text",
                             raw_of(s, part, "text", "\"\""));
    } else if (rc == WEIR_OK && weir_str_is(type, "refusal")) {
        rc = response_string(s, "refusal", item, output, index, "refusal",
                             raw_of(s, part, "refusal", "\"\""));
    }
    begin_response_event(s, "response.content_part.done");
    put_place(s, item, output, index);
    put(s, "\"part\":");
    put_raw(s, weir_json_raw(s->doc, part));
    put(s, "}");
    return rc == WEIR_OK ? send(s, "response.content_part.done") : rc;
}

static weir_status_t response_item(stream_t *s, uint32_t item, uint32_t output)
{
    static const change_t message[] = {{"status", "\"in_progress\""}, {"content", "[]"}};
    static const change_t call[] = {{"status", "\"in_progress\""}, {"arguments", "\"\""}};
    weir_str_t type = word_of(s, item, "type");
    bool is_message = weir_str_is(type, "message");
    bool is_call = weir_str_is(type, "function_call");
    weir_status_t rc;
    uint32_t size;

    begin_response_event(s, "response.output_item.added");
    weir_buf_printf(&s->out, "\"output_index\":%u,\"item\":{", output);
    put_members(s, item, is_call ? call : message, is_message || is_call ? 2 : 0);
    put(s, "}}");
    rc = send(s, "response.output_item.added");
    if (is_message) {
        uint32_t at = array_of(s, item, "content", &size) + 1;
        for (uint32_t i = 0; i < size && rc == WEIR_OK; i++) {
            if (is_type(s, at, WEIR_JSON_OBJECT)) {
                rc = response_part(s, item, output, at, i);
            }
            at = s->doc->nodes[at].next;
        }
    } else if (is_call && rc == WEIR_OK) {
        rc = response_string(s, "function_call_arguments", item, output, -1, "arguments",
                             raw_of(s, item, "arguments", "\"\""));
    }
    begin_response_event(s, "response.output_item.done");
    weir_buf_printf(&s->out, "\"output_index\":%u,\"item\":", output);
    put_raw(s, weir_json_raw(s->doc, item));
    put(s, "}");
    return rc == WEIR_OK ? send(s, "response.output_item.done") : rc;
}

static weir_status_t stream_response(stream_t *s)
{
    static const change_t start[] = {
        {"status", "\"in_progress\""},  {"output", "[]"},  {"usage", "null"},
        {"incomplete_details", "null"}, {"error", "null"},
    };
    const size_t n = sizeof(start) / sizeof(start[0]);
    weir_str_t status = word_of(s, 0, "status");
    const char *last = "response.completed";
    uint32_t size;

    if (weir_str_is(status, "incomplete")) {
        last = "response.incomplete";
    } else if (weir_str_is(status, "failed") || weir_str_is(status, "cancelled")) {
        last = "response.failed";
    }
    weir_status_t rc = response_event(s, "response.created", start, n);
    if (rc == WEIR_OK) {
        rc = response_event(s, "response.in_progress", start, n);
    }
    uint32_t at = array_of(s, 0, "output", &size) + 1;
    for (uint32_t i = 0; i < size && rc == WEIR_OK; i++) {
        if (is_type(s, at, WEIR_JSON_OBJECT)) {
            rc = response_item(s, at, i);
        }
        at = s->doc->nodes[at].next;
    }
    return rc == WEIR_OK ? response_event(s, last, NULL, 0) : rc;
}

/* --- errors --- */

/* The upstream's own message, type and code in the error event of the protocol. */
static weir_status_t stream_error(stream_t *s, weir_protocol_t protocol, const char *request_id)
{
    weir_stop_t stop = {.reason = WEIR_STOP_ERROR,
                        .message = "the upstream answered a request for a stream with a document "
                                   "that is no answer"};
    uint32_t error = s->doc == NULL ? WEIR_JSON_NONE : weir_json_get(s->doc, 0, "error");
    weir_str_t text = weir_str(NULL, 0);

    if (protocol == WEIR_PROTOCOL_RESPONSES) {
        uint32_t message = s->doc == NULL ? error : weir_json_get(s->doc, error, "message");
        put(s, "{\"type\":\"error\",\"sequence_number\":0,\"code\":");
        put_raw(s, s->doc == NULL ? WEIR_STR("null") : raw_of(s, error, "code", "null"));
        put(s, ",\"message\":");
        if (is_type(s, message, WEIR_JSON_STRING)) {
            put_raw(s, weir_json_raw(s->doc, message));
        } else {
            weir_json_write_string(&s->out, weir_str(stop.message, strlen(stop.message)));
        }
        put(s, ",\"param\":null}");
        return send(s, "error");
    }
    bool openai = protocol == WEIR_PROTOCOL_CHAT || protocol == WEIR_PROTOCOL_COMPLETIONS;
    bool shaped = is_type(s, error, WEIR_JSON_OBJECT) &&
                  (openai || weir_str_is(word_of(s, 0, "type"), "error"));
    if (shaped) {
        put_raw(s, weir_json_raw(s->doc, 0));
    } else {
        uint32_t message =
            is_type(s, error, WEIR_JSON_OBJECT) ? weir_json_get(s->doc, error, "message") : error;
        if (is_type(s, message, WEIR_JSON_STRING) &&
            weir_json_string(s->doc, message, s->arena, &text) == WEIR_OK) {
            stop.message = weir_arena_strndup(s->arena, text.data, text.len);
        }
        weir_ending_error(protocol, &stop, request_id, &s->out);
    }
    return send(s, openai ? "" : "error");
}

/* Whether the document is an answer of the protocol. */
static bool is_answer(const stream_t *s, weir_protocol_t protocol)
{
    uint32_t size;

    if (s->doc == NULL || weir_json_type(s->doc, 0) != WEIR_JSON_OBJECT) {
        return false;
    }
    switch (protocol) {
    case WEIR_PROTOCOL_CHAT:
    case WEIR_PROTOCOL_COMPLETIONS:
        array_of(s, 0, "choices", &size);
        return size > 0;
    case WEIR_PROTOCOL_MESSAGES:
        return is_type(s, weir_json_get(s->doc, 0, "content"), WEIR_JSON_ARRAY);
    case WEIR_PROTOCOL_RESPONSES:
        return is_type(s, weir_json_get(s->doc, 0, "output"), WEIR_JSON_ARRAY);
    case WEIR_PROTOCOL_OTHER:
    case WEIR_PROTOCOL_DOCUMENT:
        break;
    }
    return false;
}

weir_status_t weir_sse_from_json(weir_protocol_t protocol, weir_item_t *document,
                                 const char *request_id, weir_sink_t *sink)
{
    stream_t s = {
        .doc = weir_item_json(sink, document), .sink = sink, .arena = weir_sink_arena(sink)};

    weir_buf_init(&s.out, s.arena);
    if (!is_answer(&s, protocol)) {
        return stream_error(&s, protocol, request_id);
    }
    switch (protocol) {
    case WEIR_PROTOCOL_MESSAGES:
        return stream_message(&s);
    case WEIR_PROTOCOL_RESPONSES:
        return stream_response(&s);
    default:
        return stream_chunks(&s, protocol == WEIR_PROTOCOL_CHAT);
    }
}
