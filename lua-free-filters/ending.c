#include "lua-free-filters/ending.h"

#include "lua-free-filters/ending_text.h"

#define MAX_ID    128
#define MAX_MODEL 256

void weir_ending_init(weir_ending_t *e, weir_protocol_t protocol, weir_arena_t *arena,
                      const char *request_id, int64_t now)
{
    *e = (weir_ending_t){
        .protocol = protocol,
        .arena = arena,
        .request_id = request_id,
        .now = now,
        .created = now,
    };
}

/* --- following --- */

/* Keeps the first non-empty string. */
static weir_status_t keep_string(weir_ending_t *e, const weir_json_doc_t *doc, uint32_t node,
                                 size_t max, weir_str_t *out)
{
    weir_str_t text;

    if (out->len > 0 || !weir_members_is(doc, node, WEIR_JSON_STRING) ||
        weir_json_raw(doc, node).len > max) {
        return WEIR_OK;
    }
    if (weir_json_string(doc, node, e->arena, &text) != WEIR_OK) {
        return WEIR_ERR_NOMEM;
    }
    const char *copy = weir_arena_strndup(e->arena, text.data, text.len);
    if (copy == NULL) {
        return WEIR_ERR_NOMEM;
    }
    *out = weir_str(copy, text.len);
    return WEIR_OK;
}

static weir_status_t keep_names(weir_ending_t *e, const weir_json_doc_t *doc,
                                const weir_members_t *m, uint32_t created)
{
    weir_status_t rc = keep_string(e, doc, m->id, MAX_ID, &e->id);

    if (created != WEIR_JSON_NONE) {
        weir_json_int64(doc, created, &e->created);
    }
    return rc == WEIR_OK ? keep_string(e, doc, m->model, MAX_MODEL, &e->model) : rc;
}

static uint64_t index_bit(const weir_json_doc_t *doc, uint32_t node, int64_t *index)
{
    *index = 0;
    if (node != WEIR_JSON_NONE && !weir_json_int64(doc, node, index)) {
        *index = 0;
    }
    return *index < 0 || *index > 63 ? 0 : UINT64_C(1) << *index;
}

static void follow_choice(weir_ending_t *e, const weir_json_doc_t *doc, uint32_t choice)
{
    uint32_t finish = WEIR_JSON_NONE;
    uint32_t number = WEIR_JSON_NONE;
    int64_t index;

    if (!weir_members_is(doc, choice, WEIR_JSON_OBJECT)) {
        return;
    }
    for (uint32_t i = doc->nodes[choice].size, at = choice + 1; i > 0; i--) {
        weir_str_t key = weir_members_text(doc, at);
        if (key.len == 5 && memcmp(key.data, "index", 5) == 0) {
            number = at + 1;
        } else if (key.len == 13 && memcmp(key.data, "finish_reason", 13) == 0) {
            finish = at + 1;
        }
        at = doc->nodes[at + 1].next;
    }
    uint64_t bit = index_bit(doc, number, &index);
    if (weir_members_set(doc, finish)) {
        e->open &= ~bit;
        e->finished = true;
    } else {
        e->open |= bit;
    }
}

static weir_status_t follow_chunk(weir_ending_t *e, const weir_json_doc_t *doc,
                                  const weir_members_t *m)
{
    if (!weir_members_is(doc, m->choices, WEIR_JSON_ARRAY)) {
        e->errored = e->errored || weir_members_set(doc, m->error);
        return WEIR_OK;
    }
    for (uint32_t i = doc->nodes[m->choices].size, at = m->choices + 1; i > 0; i--) {
        follow_choice(e, doc, at);
        at = doc->nodes[at].next;
    }
    if (e->started) {
        return WEIR_OK;
    }
    e->started = true;
    return keep_names(e, doc, m, m->created);
}

static weir_status_t follow_message(weir_ending_t *e, weir_str_t type, const weir_json_doc_t *doc,
                                    const weir_members_t *m)
{
    weir_members_t message;
    int64_t index;

    if (weir_str_is(type, "content_block_delta") || weir_str_is(type, "ping")) {
        return WEIR_OK;
    }
    if (weir_str_is(type, "message_start")) {
        e->started = true;
        weir_members_find(doc, m->message, &message);
        return keep_names(e, doc, &message, WEIR_JSON_NONE);
    }
    if (weir_str_is(type, "content_block_start")) {
        e->open |= index_bit(doc, m->index, &index);
        e->next = index >= 0 && index < UINT32_MAX ? (uint32_t)index + 1 : e->next;
    } else if (weir_str_is(type, "content_block_stop")) {
        e->open &= ~index_bit(doc, m->index, &index);
    } else if (weir_str_is(type, "message_delta")) {
        uint32_t reason = m->delta == WEIR_JSON_NONE ? WEIR_JSON_NONE
                                                     : weir_json_get(doc, m->delta, "stop_reason");
        e->finished = e->finished || weir_members_set(doc, reason);
    } else if (weir_str_is(type, "message_stop")) {
        e->done = true;
    } else if (weir_str_is(type, "error")) {
        e->errored = true;
    }
    return WEIR_OK;
}

static weir_status_t follow_response(weir_ending_t *e, weir_str_t type, const weir_json_doc_t *doc,
                                     const weir_members_t *m)
{
    weir_members_t response;
    int64_t sequence;

    if (m->sequence_number != WEIR_JSON_NONE &&
        weir_json_int64(doc, m->sequence_number, &sequence) && sequence >= 0 &&
        sequence < INT64_MAX) {
        e->sequence = sequence + 1;
    }
    if (weir_str_is(type, "response.completed") || weir_str_is(type, "response.incomplete") ||
        weir_str_is(type, "response.failed") || weir_str_is(type, "response.cancelled")) {
        e->done = true;
    } else if (weir_str_is(type, "error") || weir_members_set(doc, m->error)) {
        e->errored = true;
    } else if (!e->started) {
        e->started = true;
        weir_members_find(doc, m->response, &response);
        return keep_names(e, doc, &response, response.created_at);
    }
    return WEIR_OK;
}

weir_status_t weir_ending_follow(weir_ending_t *e, weir_item_t *item, weir_sink_t *sink)
{
    const weir_json_doc_t *doc;

    if (item->kind == WEIR_ITEM_DONE) {
        /* The Anthropic and the Responses streams have none, and clients of these know none. */
        e->done = e->protocol == WEIR_PROTOCOL_CHAT || e->protocol == WEIR_PROTOCOL_COMPLETIONS;
        return WEIR_OK;
    }
    if (item->kind != WEIR_ITEM_EVENT || e->protocol == WEIR_PROTOCOL_OTHER ||
        e->protocol == WEIR_PROTOCOL_DOCUMENT || (doc = weir_item_json(sink, item)) == NULL) {
        return WEIR_OK;
    }
    const weir_members_t *m = weir_item_members(item);
    weir_str_t type = weir_members_text(doc, m->type);
    switch (e->protocol) {
    case WEIR_PROTOCOL_CHAT:
    case WEIR_PROTOCOL_COMPLETIONS:
        return follow_chunk(e, doc, m);
    case WEIR_PROTOCOL_MESSAGES:
        return follow_message(e, type.len > 0 ? type : item->name, doc, m);
    default:
        return follow_response(e, type.len > 0 ? type : item->name, doc, m);
    }
}

/* --- writing --- */

static void write_choice(weir_ending_t *e, const char *reason, unsigned index, weir_buf_t *out)
{
    bool chat = e->protocol == WEIR_PROTOCOL_CHAT;

    weir_buf_append_z(out, "data: ");
    weir_ending_chunk_head(e, out);
    weir_buf_printf(out, "\"choices\":[{\"index\":%u,", index);
    if (!chat) {
        weir_buf_append_z(out, "\"text\":\"\",");
    } else if (!e->started) {
        weir_buf_append_z(out, "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},");
    } else {
        weir_buf_append_z(out, "\"delta\":{},");
    }
    weir_buf_printf(out, "\"logprobs\":null,\"finish_reason\":\"%s\"}]}\n\n", reason);
}

static void write_chunks(weir_ending_t *e, const weir_stop_t *stop, const weir_usage_t *usage,
                         bool usage_asked, weir_buf_t *out)
{
    const char *reason = stop->reason == WEIR_STOP_LENGTH ? "length" : "content_filter";
    uint64_t open = e->open == 0 && !e->finished ? 1 : e->open;

    for (unsigned i = 0; i < 64; i++) {
        if ((open >> i & 1) != 0) {
            write_choice(e, reason, i, out);
        }
    }
    if (usage_asked && usage != NULL && usage->tokens.has_prompt) {
        bool estimated;
        uint64_t completion = weir_usage_completion(usage, &estimated);
        weir_buf_append_z(out, "data: ");
        weir_ending_chunk_head(e, out);
        weir_buf_append_z(out, "\"choices\":[],\"usage\":");
        weir_ending_usage(&usage->tokens, completion, out);
        weir_buf_append_z(out, "}\n\n");
    }
    weir_buf_append_z(out, "data: [DONE]\n\n");
}

static void write_error_frame(weir_ending_t *e, const weir_stop_t *stop, weir_buf_t *out)
{
    weir_buf_append_z(out,
                      e->protocol == WEIR_PROTOCOL_MESSAGES ? "event: error\ndata: " : "data: ");
    weir_ending_error(e->protocol, stop, e->request_id, out);
    weir_buf_append_z(out, "\n\n");
}

static void write_message_end(weir_ending_t *e, const weir_stop_t *stop, const weir_usage_t *usage,
                              weir_buf_t *out)
{
    bool estimated;
    uint64_t completion = usage == NULL ? 0 : weir_usage_completion(usage, &estimated);

    if (!e->started) {
        weir_buf_append_z(out, "event: message_start\ndata: "
                               "{\"type\":\"message_start\",\"message\":");
        weir_ending_message(e, NULL, usage == NULL ? 0 : usage->tokens.prompt_tokens, 0, out);
        weir_buf_append_z(out, "}\n\n");
    }
    for (unsigned i = 0; i < 64; i++) {
        if ((e->open >> i & 1) != 0) {
            weir_buf_printf(out,
                            "event: content_block_stop\n"
                            "data: {\"type\":\"content_block_stop\",\"index\":%u}\n\n",
                            i);
        }
    }
    if (!e->finished) {
        weir_buf_printf(out,
                        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"
                        "{\"stop_reason\":\"%s\",\"stop_sequence\":null},"
                        "\"usage\":{\"output_tokens\":%llu}}\n\n",
                        stop != NULL && stop->reason == WEIR_STOP_LENGTH ? "max_tokens" : "refusal",
                        (unsigned long long)completion);
    }
    weir_buf_append_z(out, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

static void write_response_end(weir_ending_t *e, const weir_stop_t *stop, weir_buf_t *out)
{
    const char *type = stop->reason == WEIR_STOP_ERROR ? "response.failed" : "response.incomplete";

    if (!e->started) {
        weir_buf_printf(out,
                        "event: response.created\ndata: {\"type\":\"response.created\","
                        "\"sequence_number\":%lld,\"response\":",
                        (long long)e->sequence);
        weir_ending_response(e, NULL, out);
        weir_buf_append_z(out, "}\n\n");
        e->sequence++;
    }
    weir_buf_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%lld,\"response\":",
                    type, type, (long long)e->sequence);
    weir_ending_response(e, stop, out);
    weir_buf_append_z(out, "}\n\n");
}

/* A stream that lacks nothing but its last event. */
static bool lacks_last(const weir_ending_t *e, weir_end_t why)
{
    return why == WEIR_END_COMPLETE && e->started && e->finished &&
           (e->open == 0 || e->protocol == WEIR_PROTOCOL_MESSAGES);
}

bool weir_ending_write(weir_ending_t *e, weir_end_t why, const weir_stop_t *stop,
                       const weir_usage_t *usage, bool usage_asked, weir_buf_t *out)
{
    static const weir_stop_t cut = {.reason = WEIR_STOP_ERROR};

    if (e->done) {
        return true;
    }
    if (e->protocol == WEIR_PROTOCOL_OTHER || e->protocol == WEIR_PROTOCOL_DOCUMENT) {
        return why == WEIR_END_COMPLETE && stop == NULL;
    }
    e->done = true;
    if (e->errored) {
        return true;
    }
    if (stop == NULL && !lacks_last(e, why)) {
        stop = &cut;
        e->cut = true;
    }
    if (e->protocol == WEIR_PROTOCOL_RESPONSES) {
        write_response_end(e, stop == NULL ? &cut : stop, out);
    } else if (stop != NULL && stop->reason == WEIR_STOP_ERROR) {
        write_error_frame(e, stop, out);
    } else if (e->protocol == WEIR_PROTOCOL_MESSAGES) {
        write_message_end(e, stop, usage, out);
    } else if (stop == NULL) {
        weir_buf_append_z(out, "data: [DONE]\n\n");
    } else {
        write_chunks(e, stop, usage, usage_asked, out);
    }
    return true;
}
