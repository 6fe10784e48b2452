#include "lua-free-filters/usage.h"

#include "lua-free-filters/usage_reader.h"

weir_status_t weir_usage_open(weir_arena_t *arena, weir_usage_reader_t **out)
{
    weir_usage_reader_t *reader = weir_arena_calloc(arena, 1, sizeof(*reader));

    if (reader == NULL) {
        return WEIR_ERR_NOMEM;
    }
    reader->arena = arena;
    weir_buf_init(&reader->document.capture, arena);
    *out = reader;
    return WEIR_OK;
}

const weir_usage_t *weir_usage_of(const weir_usage_reader_t *reader)
{
    return &reader->usage;
}

weir_status_t weir_usage_keep(weir_usage_reader_t *reader, const weir_json_doc_t *doc,
                              uint32_t node, size_t max, weir_str_t *out)
{
    weir_str_t text;

    /* The raw form bounds the unescaped one, so nothing large is copied; an empty name, which some
     * servers repeat in each event, is none. */
    if (out->len > 0 || node == WEIR_JSON_NONE || weir_json_type(doc, node) != WEIR_JSON_STRING ||
        weir_json_raw(doc, node).len > max || weir_json_raw(doc, node).len <= 2) {
        return WEIR_OK;
    }
    if (weir_json_string(doc, node, reader->arena, &text) != WEIR_OK) {
        return WEIR_ERR_NOMEM;
    }
    const char *copy = weir_arena_strndup(reader->arena, text.data, text.len);
    if (copy == NULL) {
        return WEIR_ERR_NOMEM;
    }
    *out = weir_str(copy, text.len);
    return WEIR_OK;
}

void weir_usage_finish(weir_usage_t *usage, weir_finish_t finish)
{
    if (finish != WEIR_FINISH_NONE) {
        usage->finish = finish;
        usage->finish_mask |= 1u << finish;
    }
}

void weir_usage_tools(weir_usage_t *usage, const weir_json_doc_t *doc, uint32_t tools)
{
    int64_t count;

    if (tools == WEIR_JSON_NONE || weir_json_type(doc, tools) != WEIR_JSON_OBJECT) {
        return;
    }
    usage->tool_uses = 0;
    for (uint32_t i = doc->nodes[tools].size, at = tools + 1; i > 0; i--) {
        if (!weir_json_int64(doc, at + 1, &count)) {
            count = weir_json_type(doc, at + 1) == WEIR_JSON_NULL ? 0 : 1;
        }
        usage->tool_uses += count > 0 && count < INT32_MAX ? (uint64_t)count : 0;
        at = doc->nodes[at + 1].next;
    }
}

static void count_piece(weir_usage_t *usage, weir_str_t text)
{
    usage->content_deltas++;
    usage->first_content = true;
    weir_text_count(&usage->text, text);
}

/* --- OpenAI chunks --- */

/* The members of a delta that are text of the answer. */
static bool is_text_key(weir_str_t key)
{
    switch (key.len) {
    case 4:
        return memcmp(key.data, "text", 4) == 0;
    case 7:
        return memcmp(key.data, "content", 7) == 0 || memcmp(key.data, "refusal", 7) == 0;
    case 9:
        return memcmp(key.data, "reasoning", 9) == 0;
    case 17:
        return memcmp(key.data, "reasoning_content", 17) == 0;
    default:
        return false;
    }
}

static void read_tool_calls(weir_usage_t *usage, const weir_json_doc_t *doc, uint32_t calls)
{
    if (weir_json_type(doc, calls) != WEIR_JSON_ARRAY) {
        return;
    }
    for (uint32_t i = doc->nodes[calls].size, at = calls + 1; i > 0; i--) {
        uint32_t function = weir_json_get(doc, at, "function");
        weir_text_count(&usage->text, weir_members_text(doc, weir_json_get(doc, function, "name")));
        weir_text_count(&usage->text,
                        weir_members_text(doc, weir_json_get(doc, function, "arguments")));
        at = doc->nodes[at].next;
    }
}

/* What a choice or its delta says. */
typedef struct {
    bool text;     /* it holds a string of text */
    bool nonempty; /* one that is not empty */
    bool calls;    /* tool calls */
    bool role;
    uint32_t delta;
    uint32_t finish;
} choice_t;

static void read_choice_members(weir_usage_t *usage, const weir_json_doc_t *doc, uint32_t object,
                                choice_t *c)
{
    if (weir_json_type(doc, object) != WEIR_JSON_OBJECT) {
        return;
    }
    for (uint32_t i = doc->nodes[object].size, at = object + 1; i > 0; i--) {
        weir_str_t key = weir_members_text(doc, at);
        uint32_t value = at + 1;
        if (is_text_key(key) && weir_json_type(doc, value) == WEIR_JSON_STRING) {
            weir_str_t text = weir_members_text(doc, value);
            c->text = true;
            c->nonempty = c->nonempty || text.len > 0;
            weir_text_count(&usage->text, text);
        } else if (key.len == 4 && memcmp(key.data, "role", 4) == 0) {
            c->role = true;
        } else if (key.len == 5 && memcmp(key.data, "delta", 5) == 0) {
            c->delta = value;
        } else if (key.len == 10 && memcmp(key.data, "tool_calls", 10) == 0) {
            c->calls = doc->nodes[value].size > 0;
            read_tool_calls(usage, doc, value);
        } else if (key.len == 13 && memcmp(key.data, "finish_reason", 13) == 0) {
            c->finish = value;
        }
        at = doc->nodes[value].next;
    }
}

/*
 * Whether a streamed choice carries a piece of the answer. An empty string counts (a token whose
 * characters are not complete yet) unless it merely accompanies the role or the finish reason.
 */
static void read_choice(weir_usage_t *usage, const weir_json_doc_t *doc, uint32_t node)
{
    choice_t c = {.delta = WEIR_JSON_NONE, .finish = WEIR_JSON_NONE};

    read_choice_members(usage, doc, node, &c);
    if (c.delta != WEIR_JSON_NONE) {
        read_choice_members(usage, doc, c.delta, &c);
    }
    weir_str_t finish = weir_members_text(doc, c.finish);
    bool finished = c.finish != WEIR_JSON_NONE && weir_json_type(doc, c.finish) != WEIR_JSON_NULL;
    weir_usage_finish(usage, weir_finish_of(finish));
    if (c.nonempty || c.calls || (c.text && !c.role && !finished)) {
        usage->content_deltas++;
        usage->first_content = true;
    }
}

static void read_choices(weir_usage_t *usage, const weir_json_doc_t *doc, uint32_t choices)
{
    if (weir_json_type(doc, choices) != WEIR_JSON_ARRAY) {
        return;
    }
    for (uint32_t i = doc->nodes[choices].size, at = choices + 1; i > 0; i--) {
        read_choice(usage, doc, at);
        at = doc->nodes[at].next;
    }
}

/* --- Anthropic and Responses events --- */

static weir_status_t read_names(weir_usage_reader_t *reader, const weir_json_doc_t *doc,
                                const weir_members_t *m)
{
    weir_usage_t *u = &reader->usage;
    weir_status_t rc = weir_usage_keep(reader, doc, m->model, WEIR_USAGE_MAX_MODEL, &u->model);

    return rc == WEIR_OK ? weir_usage_keep(reader, doc, m->id, WEIR_USAGE_MAX_ID, &u->id) : rc;
}

static void read_usage(weir_usage_t *u, const weir_json_doc_t *doc, uint32_t usage)
{
    if (usage != WEIR_JSON_NONE && weir_tokens_read(&u->tokens, doc, usage)) {
        u->has_usage = true;
        u->told_early = true;
        u->counted = u->text;
        weir_usage_tools(u, doc, weir_json_get(doc, usage, "server_tool_use"));
    }
}

static void read_message_event(weir_usage_t *u, const weir_json_doc_t *doc, weir_str_t type,
                               const weir_members_t *m)
{
    static const char *const texts[] = {"text", "partial_json", "thinking"};

    if (weir_str_is(type, "content_block_delta")) {
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
            uint32_t text = weir_json_get(doc, m->delta, texts[i]);
            if (text != WEIR_JSON_NONE && weir_json_type(doc, text) == WEIR_JSON_STRING) {
                count_piece(u, weir_members_text(doc, text));
            }
        }
    } else if (weir_str_is(type, "message_delta")) {
        weir_usage_finish(
            u, weir_finish_of(weir_members_text(doc, weir_json_get(doc, m->delta, "stop_reason"))));
    } else if (weir_str_is(type, "message_stop")) {
        u->done = true;
    }
}

static weir_status_t read_response_event(weir_usage_reader_t *reader, const weir_json_doc_t *doc,
                                         weir_str_t type, const weir_members_t *m)
{
    weir_usage_t *u = &reader->usage;
    weir_members_t r;

    if (type.len > 6 && memcmp(type.data + type.len - 6, ".delta", 6) == 0) {
        if (m->delta != WEIR_JSON_NONE && weir_json_type(doc, m->delta) == WEIR_JSON_STRING &&
            memmem(type.data, type.len, "audio.", 6) == NULL) {
            count_piece(u, weir_members_text(doc, m->delta));
        }
        return WEIR_OK;
    }
    if (m->response == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    weir_members_find(doc, m->response, &r);
    read_usage(u, doc, r.usage);
    u->background = u->background || weir_members_is(doc, r.background, WEIR_JSON_TRUE);
    if (weir_str_is(type, "response.completed") || weir_str_is(type, "response.incomplete") ||
        weir_str_is(type, "response.failed") || weir_str_is(type, "response.cancelled")) {
        uint32_t reason = weir_json_get(doc, r.incomplete_details, "reason");
        weir_str_t name = weir_members_text(doc, reason);
        weir_usage_finish(u,
                          weir_finish_of(name.len > 0 ? name : weir_members_text(doc, r.status)));
        u->done = true;
        u->error = u->error || weir_str_is(type, "response.failed");
        weir_usage_tools(u, doc, r.tool_usage);
    }
    return read_names(reader, doc, &r);
}

weir_status_t weir_usage_read_event(weir_usage_reader_t *reader, const weir_json_doc_t *doc,
                                    const weir_members_t *m)
{
    weir_usage_t *u = &reader->usage;
    weir_status_t rc;

    if (doc == NULL || !weir_members_is(doc, 0, WEIR_JSON_OBJECT)) {
        u->skipped++;
        return WEIR_OK;
    }
    weir_str_t type = weir_members_text(doc, m->type);
    if (weir_members_set(doc, m->error) || weir_str_is(type, "error")) {
        u->error = true;
        weir_usage_finish(u, WEIR_FINISH_ERROR);
    }
    if (type.len > 9 && memcmp(type.data, "response.", 9) == 0) {
        return read_response_event(reader, doc, type, m);
    }
    if (m->choices != WEIR_JSON_NONE) {
        read_choices(u, doc, m->choices);
    } else if (type.len > 0) {
        read_message_event(u, doc, type, m);
    }
    if (m->message != WEIR_JSON_NONE && weir_str_is(type, "message_start")) {
        weir_members_t message;
        weir_members_find(doc, m->message, &message);
        read_usage(u, doc, message.usage);
        rc = read_names(reader, doc, &message);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    read_usage(u, doc, m->usage);
    return read_names(reader, doc, m);
}

/* --- the filter --- */

static weir_status_t feed(void *self, weir_item_t *item, weir_sink_t *sink)
{
    weir_usage_reader_t *reader = self;
    weir_status_t rc = WEIR_OK;

    if (reader->document.root) {
        /* The stream stands for a document that has been read already. */
        return weir_sink_pass(sink, item);
    }
    if (item->kind == WEIR_ITEM_EVENT) {
        const weir_json_doc_t *doc = weir_item_json(sink, item);
        rc = weir_usage_read_event(reader, doc, doc == NULL ? NULL : weir_item_members(item));
    } else if (item->kind == WEIR_ITEM_DONE) {
        reader->usage.done = true;
    } else if (item->kind == WEIR_ITEM_OVERSIZED) {
        reader->usage.skipped++;
    }
    return rc == WEIR_OK ? weir_sink_pass(sink, item) : rc;
}

static weir_status_t end(void *self, weir_end_t why, weir_sink_t *sink)
{
    weir_usage_reader_t *reader = self;

    (void)why;
    (void)sink;
    return reader->document.root ? weir_usage_document_end(reader) : WEIR_OK;
}

static weir_status_t piece(void *self, const char *data, size_t len)
{
    return weir_usage_document_feed(self, data, len);
}

weir_filter_t weir_usage_filter(weir_usage_reader_t *reader)
{
    static const weir_filter_table_t table = {
        .name = "usage",
        .flags = WEIR_FILTER_WATCHES,
        .feed = feed,
        .end = end,
        .piece = piece,
    };
    return (weir_filter_t){&table, reader};
}
