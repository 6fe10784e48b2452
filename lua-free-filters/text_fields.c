#include "lua-free-filters/text_fields.h"

#include <stdio.h>

#include "lua-free-filters/json_numbers.h"

typedef struct {
    const weir_json_doc_t *doc;
    weir_arena_t *arena;
    weir_text_list_t *out;
    uint8_t *seen; /* per node: it is accounted for */
    uint32_t field_cap;
    uint32_t end_cap;
    uint32_t logprob_cap;
    uint32_t whole; /* counts whole texts, for distinct keys */
    bool failed;
} walk_t;

static bool room(walk_t *w, void **items, uint32_t count, uint32_t *cap, size_t size)
{
    if (count < *cap)
        return true;
    uint32_t wide = *cap == 0 ? 8 : *cap * 2;
    void *more = weir_arena_alloc(w->arena, wide * size);
    if (more == NULL) {
        w->failed = true;
        return false;
    }
    if (count > 0)
        memcpy(more, *items, count * size);
    *items = more;
    *cap = wide;
    return true;
}

static bool is_string(const walk_t *w, uint32_t node)
{
    return node != WEIR_JSON_NONE && weir_json_type(w->doc, node) == WEIR_JSON_STRING;
}

static bool is_number(const walk_t *w, uint32_t node)
{
    return node != WEIR_JSON_NONE && weir_json_type(w->doc, node) == WEIR_JSON_NUMBER &&
           weir_json_number_is_text(weir_json_raw(w->doc, node));
}

/* The node and all in it need no second look. */
static void account(walk_t *w, uint32_t node)
{
    if (node == WEIR_JSON_NONE)
        return;
    memset(w->seen + node, 1, w->doc->nodes[node].next - node);
}

static void add_field(walk_t *w, weir_text_field_t field)
{
    if ((!is_string(w, field.node) && !is_number(w, field.node)) || w->seen[field.node] != 0)
        return;
    void *items = w->out->fields;
    if (!room(w, &items, w->out->count, &w->field_cap, sizeof *w->out->fields))
        return;
    w->out->fields = items;
    w->out->fields[w->out->count++] = field;
    account(w, field.node);
}

static void add(walk_t *w, uint32_t node, weir_text_kind_t kind, uint32_t choice, uint32_t part,
                bool delta)
{
    add_field(w, (weir_text_field_t){
                     .node = node, .kind = kind, .choice = choice, .part = part, .delta = delta});
}

static void add_end_of(walk_t *w, weir_text_end_t end)
{
    void *items = w->out->ends;
    if (!room(w, &items, w->out->end_count, &w->end_cap, sizeof *w->out->ends))
        return;
    w->out->ends = items;
    w->out->ends[w->out->end_count++] = end;
}

static void add_end(walk_t *w, uint32_t choice, uint32_t part, uint32_t kind)
{
    add_end_of(w, (weir_text_end_t){.choice = choice, .part = part, .kind = kind});
}

static void add_logprobs(walk_t *w, uint32_t node)
{
    if (node == WEIR_JSON_NONE || w->seen[node] != 0)
        return;
    account(w, node);
    if (weir_json_type(w->doc, node) == WEIR_JSON_NULL)
        return;
    void *items = w->out->logprobs;
    if (!room(w, &items, w->out->logprob_count, &w->logprob_cap, sizeof *w->out->logprobs))
        return;
    w->out->logprobs = items;
    w->out->logprobs[w->out->logprob_count++] = node;
}

static uint32_t index_of(const walk_t *w, uint32_t object, const char *key, uint32_t otherwise)
{
    int64_t value;
    uint32_t node = weir_json_get(w->doc, object, key);
    if (node == WEIR_JSON_NONE || !weir_json_int64(w->doc, node, &value) || value < 0 ||
        value >= UINT32_MAX)
        return otherwise;
    return (uint32_t)value;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): i and node are names that the loop declares. */
#define each(w, array, i, node)                                                            \
    for (uint32_t i = 0, node = (array) == WEIR_JSON_NONE ||                               \
                                        weir_json_type((w)->doc, array) != WEIR_JSON_ARRAY \
                                    ? 0                                                    \
                                    : (array) + 1;                                         \
         node != 0 && i < (w)->doc->nodes[array].size; i++, node = (w)->doc->nodes[node].next)
/* NOLINTEND(bugprone-macro-parentheses) */

/* What a tool is given as an object: every string of it, and every name. */
static void add_input(walk_t *w, uint32_t value)
{
    if (value == WEIR_JSON_NONE)
        return;
    for (uint32_t i = value; i < w->doc->nodes[value].next; i++)
        add(w, i, WEIR_TEXT_INPUT, i, 0, false);
}

/* --- members of a delta that are not known --- */

static bool is_structure(weir_protocol_t protocol, weir_str_t key);
static bool is_request_echo(weir_protocol_t protocol, weir_str_t key);

/* What stands around a string of a delta, from the delta's brace on. */
typedef struct {
    weir_str_t open;
    weir_str_t close;
} path_t;

/* path with a member of this name behind it, whose value begins and ends so. */
static path_t longer(walk_t *w, const path_t *path, weir_str_t name, const char *begin,
                     const char *end)
{
    weir_buf_t open;
    weir_buf_t close;
    weir_buf_init(&open, w->arena);
    weir_buf_init(&close, w->arena);
    weir_buf_append_str(&open, path->open);
    weir_json_write_string(&open, name);
    weir_buf_printf(&open, ":%s", begin);
    weir_buf_append_z(&close, end);
    weir_buf_append_str(&close, path->close);
    w->failed = w->failed || open.failed || close.failed;
    return (path_t){weir_str(open.data, open.len), weir_str(close.data, close.len)};
}

/* Strings of these members are whole in each event. */
static bool is_whole(const walk_t *w, weir_str_t name, bool inner)
{
    return is_structure(w->out->shape, name) || is_request_echo(w->out->shape, name) ||
           weir_str_is(name, "tool_calls") || weir_str_is(name, "logprobs") ||
           (inner && weir_str_is(name, "data")); /* audio.data */
}

/*
 * What a server adds to a delta is taken to go on over events, as the texts beside it do: a string
 * of the delta or of an object in it. In a list only an element that tells its index goes on, as
 * others are whole (annotations). Recursion: at most as deep as the scanner lets JSON be.
 */
static void delta_members(walk_t *w, uint32_t object, uint32_t choice, const path_t *path)
{
    uint32_t key = object + 1;
    uint32_t count =
        weir_json_type(w->doc, object) == WEIR_JSON_OBJECT ? w->doc->nodes[object].size : 0;
    for (uint32_t m = 0; m < count && !w->failed; m++, key = w->doc->nodes[key + 1].next) {
        uint32_t value = key + 1;
        weir_json_type_t type = weir_json_type(w->doc, value);
        weir_str_t name;
        if ((type != WEIR_JSON_STRING && type != WEIR_JSON_OBJECT && type != WEIR_JSON_ARRAY) ||
            w->seen[value] != 0)
            continue;
        if (weir_json_string(w->doc, key, w->arena, &name) != WEIR_OK) {
            w->failed = true;
            return;
        }
        if (is_whole(w, name, path->open.len > 0))
            continue;
        if (type == WEIR_JSON_STRING) {
            path_t at = longer(w, path, name, "", "");
            add_field(w, (weir_text_field_t){.node = value,
                                             .kind = weir_str_is(name, "thinking")
                                                         ? WEIR_TEXT_REASONING
                                                         : WEIR_TEXT_OTHER,
                                             .choice = choice,
                                             .delta = true,
                                             .open = at.open,
                                             .close = at.close});
            continue;
        }
        uint32_t before = w->out->count;
        if (type == WEIR_JSON_OBJECT) {
            path_t at = longer(w, path, name, "{", "}");
            delta_members(w, value, choice, &at);
        }
        each(w, value, i, item)
        {
            char begin[40];
            uint32_t index = index_of(w, item, "index", UINT32_MAX);
            if (index == UINT32_MAX)
                continue;
            snprintf(begin, sizeof begin, "[{\"index\":%u,", index);
            path_t at = longer(w, path, name, begin, "}]");
            delta_members(w, item, choice, &at);
        }
        if (w->out->count > before)
            w->out->bare = false;
    }
}

/* --- chat and completions --- */

static void chat_tools(walk_t *w, uint32_t message, uint32_t choice, bool delta)
{
    each(w, weir_json_get(w->doc, message, "tool_calls"), i, call)
    {
        uint32_t part = index_of(w, call, "index", i);
        uint32_t function = weir_json_get(w->doc, call, "function");
        uint32_t custom = weir_json_get(w->doc, call, "custom");
        add(w, weir_json_get(w->doc, function, "arguments"), WEIR_TEXT_ARGUMENTS, choice, part,
            delta);
        add(w, weir_json_get(w->doc, custom, "input"), WEIR_TEXT_INPUT, choice, part, delta);
        w->out->bare = w->out->bare && weir_json_get(w->doc, call, "id") == WEIR_JSON_NONE &&
                       weir_json_get(w->doc, function, "name") == WEIR_JSON_NONE &&
                       weir_json_get(w->doc, custom, "name") == WEIR_JSON_NONE;
    }
    uint32_t old = weir_json_get(w->doc, message, "function_call");
    add(w, weir_json_get(w->doc, old, "arguments"), WEIR_TEXT_ARGUMENTS, choice, 0, delta);
    if (weir_json_get(w->doc, old, "name") != WEIR_JSON_NONE)
        w->out->bare = false;
}

static uint32_t element(const walk_t *w, uint32_t node, uint32_t number)
{
    return WEIR_TEXT_ELEMENT(index_of(w, node, "index", number));
}

/* The same texts again, or instead, in lists whose elements come in pieces as the texts do. */
static void chat_lists(walk_t *w, uint32_t message, uint32_t choice, bool delta)
{
    each(w, weir_json_get(w->doc, message, "thinking_blocks"), i, block)
        add(w, weir_json_get(w->doc, block, "thinking"), WEIR_TEXT_REASONING, choice,
            WEIR_TEXT_THINKING + element(w, block, i), delta);
    each(w, weir_json_get(w->doc, message, "reasoning_details"), k, detail)
    {
        uint32_t part = WEIR_TEXT_DETAILS + element(w, detail, k);
        add(w, weir_json_get(w->doc, detail, "text"), WEIR_TEXT_REASONING, choice, part, delta);
        add(w, weir_json_get(w->doc, detail, "summary"), WEIR_TEXT_REASONING, choice, part, delta);
    }
    each(w, weir_json_get(w->doc, message, "content"), n, block)
    {
        uint32_t part = WEIR_TEXT_PARTS + element(w, block, n);
        add(w, weir_json_get(w->doc, block, "text"), WEIR_TEXT_CONTENT, choice, part, delta);
        each(w, weir_json_get(w->doc, block, "thinking"), m, thought) add(
            w, weir_json_get(w->doc, thought, "text"), WEIR_TEXT_REASONING, choice, part, delta);
    }
}

static void chat_choice(walk_t *w, uint32_t node, uint32_t number)
{
    uint32_t choice = index_of(w, node, "index", number);
    uint32_t delta = weir_json_get(w->doc, node, "delta");
    bool goes_on = delta != WEIR_JSON_NONE;
    uint32_t message = goes_on ? delta : weir_json_get(w->doc, node, "message");
    add(w, weir_json_get(w->doc, message, "content"), WEIR_TEXT_CONTENT, choice, 0, goes_on);
    add(w, weir_json_get(w->doc, message, "reasoning_content"), WEIR_TEXT_REASONING, choice, 0,
        goes_on);
    add(w, weir_json_get(w->doc, message, "reasoning"), WEIR_TEXT_REASONING, choice, 1, goes_on);
    add(w, weir_json_get(w->doc, message, "refusal"), WEIR_TEXT_REFUSAL, choice, 0, goes_on);
    if (message != WEIR_JSON_NONE) {
        chat_tools(w, message, choice, goes_on);
        chat_lists(w, message, choice, goes_on);
    }
    if (goes_on)
        delta_members(w, delta, choice, &(path_t){weir_str("", 0), weir_str("", 0)});
    /* Completions' text belongs to a stream where the document is a chunk of one. */
    add(w, weir_json_get(w->doc, node, "text"), WEIR_TEXT_CONTENT, choice, 0, true);
    add_logprobs(w, weir_json_get(w->doc, node, "logprobs"));

    uint32_t reason = weir_json_get(w->doc, node, "finish_reason");
    bool finished = reason != WEIR_JSON_NONE && weir_json_type(w->doc, reason) != WEIR_JSON_NULL;
    /* Some servers say "" until it has one. */
    if (finished && !weir_json_string_is(w->doc, reason, ""))
        add_end(w, choice, WEIR_TEXT_ALL, WEIR_TEXT_ALL);
    uint32_t members = message == WEIR_JSON_NONE ? 0 : w->doc->nodes[message].size;
    if (finished || members > 1 || w->out->count != 1)
        w->out->bare = false;
}

static void chat(walk_t *w)
{
    uint32_t choices = weir_json_get(w->doc, 0, "choices");
    w->out->id = weir_json_get(w->doc, 0, "id");
    w->out->created = weir_json_get(w->doc, 0, "created");
    w->out->model = weir_json_get(w->doc, 0, "model");
    uint32_t usage = weir_json_get(w->doc, 0, "usage");
    w->out->bare = choices != WEIR_JSON_NONE && w->doc->nodes[choices].size == 1 &&
                   (usage == WEIR_JSON_NONE || weir_json_type(w->doc, usage) == WEIR_JSON_NULL);
    each(w, choices, i, node) chat_choice(w, node, i);
    uint32_t error = weir_json_get(w->doc, 0, "error");
    if (error != WEIR_JSON_NONE && weir_json_type(w->doc, error) != WEIR_JSON_NULL)
        add_end(w, WEIR_TEXT_ALL, WEIR_TEXT_ALL, WEIR_TEXT_ALL);
}

/* --- messages --- */

static void message_blocks(walk_t *w, uint32_t content)
{
    each(w, content, i, block)
    {
        add(w, weir_json_get(w->doc, block, "text"), WEIR_TEXT_CONTENT, i, 0, false);
        add(w, weir_json_get(w->doc, block, "thinking"), WEIR_TEXT_REASONING, i, 0, false);
        add_input(w, weir_json_get(w->doc, block, "input"));
    }
}

/* A delta of a type that is not known. */
static void block_members(walk_t *w, uint32_t delta, uint32_t block)
{
    weir_str_t type;
    weir_buf_t open;
    uint32_t node = weir_json_get(w->doc, delta, "type");
    weir_buf_init(&open, w->arena);
    if (delta == WEIR_JSON_NONE)
        return;
    if (is_string(w, node) && weir_json_string(w->doc, node, w->arena, &type) == WEIR_OK) {
        weir_buf_append_z(&open, "\"type\":");
        weir_json_write_string(&open, type);
        weir_buf_append_char(&open, ',');
    }
    w->failed = w->failed || open.failed;
    delta_members(
        w, delta, block,
        &(path_t){weir_str(open.data == NULL ? "" : open.data, open.len), weir_str("", 0)});
}

static void messages(walk_t *w)
{
    uint32_t type = weir_json_get(w->doc, 0, "type");
    uint32_t block = index_of(w, 0, "index", 0);
    if (type == WEIR_JSON_NONE)
        return;
    if (weir_json_string_is(w->doc, type, "message")) {
        message_blocks(w, weir_json_get(w->doc, 0, "content"));
    } else if (weir_json_string_is(w->doc, type, "content_block_delta")) {
        uint32_t delta = weir_json_get(w->doc, 0, "delta");
        add(w, weir_json_get(w->doc, delta, "text"), WEIR_TEXT_CONTENT, block, 0, true);
        add(w, weir_json_get(w->doc, delta, "thinking"), WEIR_TEXT_REASONING, block, 0, true);
        add(w, weir_json_get(w->doc, delta, "partial_json"), WEIR_TEXT_ARGUMENTS, block, 0, true);
        block_members(w, delta, block);
        w->out->bare = w->out->count == 1;
    } else if (weir_json_string_is(w->doc, type, "content_block_start")) {
        uint32_t start = weir_json_get(w->doc, 0, "content_block");
        add(w, weir_json_get(w->doc, start, "text"), WEIR_TEXT_CONTENT, block, 0, true);
        add(w, weir_json_get(w->doc, start, "thinking"), WEIR_TEXT_REASONING, block, 0, true);
        add_input(w, weir_json_get(w->doc, start, "input"));
    } else if (weir_json_string_is(w->doc, type, "content_block_stop")) {
        add_end(w, block, WEIR_TEXT_ALL, WEIR_TEXT_ALL);
    } else if (weir_json_string_is(w->doc, type, "message_delta") ||
               weir_json_string_is(w->doc, type, "message_stop") ||
               weir_json_string_is(w->doc, type, "error")) {
        add_end(w, WEIR_TEXT_ALL, WEIR_TEXT_ALL, WEIR_TEXT_ALL);
    }
}

/* --- responses --- */

static const struct {
    const char *event; /* without ".delta" or ".done" */
    weir_text_kind_t kind;
    const char *whole; /* member of the .done event */
} response_texts[] = {
    {"response.output_text", WEIR_TEXT_CONTENT, "text"},
    {"response.refusal", WEIR_TEXT_REFUSAL, "refusal"},
    {"response.reasoning_text", WEIR_TEXT_REASONING, "text"},
    {"response.reasoning_summary_text", WEIR_TEXT_REASONING, "text"},
    {"response.function_call_arguments", WEIR_TEXT_ARGUMENTS, "arguments"},
    {"response.mcp_call_arguments", WEIR_TEXT_ARGUMENTS, "arguments"},
    {"response.custom_tool_call_input", WEIR_TEXT_INPUT, "input"},
    {"response.code_interpreter_call_code", WEIR_TEXT_INPUT, "code"},
};

static bool begins(weir_str_t s, const char *z, weir_str_t *rest)
{
    size_t n = strlen(z);
    if (s.len < n || memcmp(s.data, z, n) != 0)
        return false;
    *rest = weir_str(s.data + n, s.len - n);
    return true;
}

static bool ends_with(weir_str_t s, const char *z)
{
    size_t n = strlen(z);
    return s.len >= n && memcmp(s.data + s.len - n, z, n) == 0;
}

/* A content part, whole: output_text, refusal, reasoning_text, summary_text. */
static void response_part(walk_t *w, uint32_t part, weir_text_kind_t kind)
{
    weir_str_t type;
    uint32_t node = weir_json_get(w->doc, part, "type");
    if (is_string(w, node) && weir_json_string(w->doc, node, w->arena, &type) == WEIR_OK &&
        (weir_str_is(type, "reasoning_text") || weir_str_is(type, "summary_text")))
        kind = WEIR_TEXT_REASONING;
    add(w, weir_json_get(w->doc, part, "text"), kind, part, 0, false);
    add(w, weir_json_get(w->doc, part, "refusal"), WEIR_TEXT_REFUSAL, part, 0, false);
}

/* An output item, whole. */
static void response_item(walk_t *w, uint32_t item)
{
    weir_str_t type;
    uint32_t node = weir_json_get(w->doc, item, "type");
    if (!is_string(w, node) || weir_json_string(w->doc, node, w->arena, &type) != WEIR_OK)
        return;
    weir_text_kind_t kind =
        weir_str_is(type, "reasoning") ? WEIR_TEXT_REASONING : WEIR_TEXT_CONTENT;
    each(w, weir_json_get(w->doc, item, "content"), i, part) response_part(w, part, kind);
    each(w, weir_json_get(w->doc, item, "summary"), k, part) response_part(w, part, kind);
    if (!ends_with(type, "_call"))
        return;
    add(w, weir_json_get(w->doc, item, "arguments"), WEIR_TEXT_ARGUMENTS, item, 0, false);
    static const char *const given[] = {"arguments", "input", "code", "action", "operation"};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        add_input(w, weir_json_get(w->doc, item, given[i]));
}

/* A text of a type that is not known (a transcript of what is said, ...). Sound is none. */
static void response_text(walk_t *w, weir_str_t type, uint32_t item, uint32_t part)
{
    weir_str_t rest;
    bool done = ends_with(type, ".done");
    if (!begins(type, "response.", &rest) || ends_with(type, "audio.delta") ||
        (!done && !ends_with(type, ".delta")))
        return;
    if (done) {
        weir_buf_t delta;
        weir_buf_init(&delta, w->arena);
        weir_buf_append(&delta, type.data, type.len - 4);
        weir_buf_append_z(&delta, "delta");
        w->failed = w->failed || delta.failed;
        add_end_of(w,
                   (weir_text_end_t){item, part, WEIR_TEXT_OTHER, weir_str(delta.data, delta.len)});
        return;
    }
    add_field(w, (weir_text_field_t){.node = weir_json_get(w->doc, 0, "delta"),
                                     .kind = WEIR_TEXT_OTHER,
                                     .choice = item,
                                     .part = part,
                                     .delta = true,
                                     .open = type});
    w->out->bare = w->out->count == 1;
}

static void responses(walk_t *w)
{
    uint32_t part_node = weir_json_get(w->doc, 0, "part");
    uint32_t response = weir_json_get(w->doc, 0, "response");
    response = response == WEIR_JSON_NONE ? 0 : response;
    response_item(w, weir_json_get(w->doc, 0, "item"));
    if (part_node != WEIR_JSON_NONE)
        response_part(w, part_node, WEIR_TEXT_CONTENT);
    each(w, weir_json_get(w->doc, response, "output"), k, output) response_item(w, output);
    weir_str_t type;
    weir_str_t rest;
    uint32_t node = weir_json_get(w->doc, 0, "type");
    w->out->sequence = weir_json_get(w->doc, 0, "sequence_number");
    w->out->item_id = weir_json_get(w->doc, 0, "item_id");
    if (!is_string(w, node) || weir_json_string(w->doc, node, w->arena, &type) != WEIR_OK)
        return;
    uint32_t item = index_of(w, 0, "output_index", 0);
    uint32_t part = index_of(w, 0, "content_index", index_of(w, 0, "summary_index", 0));
    for (size_t i = 0; i < sizeof response_texts / sizeof *response_texts; i++) {
        if (!begins(type, response_texts[i].event, &rest))
            continue;
        weir_text_kind_t kind = response_texts[i].kind;
        if (weir_str_is(rest, ".delta")) {
            add(w, weir_json_get(w->doc, 0, "delta"), kind, item, part, true);
            add_logprobs(w, weir_json_get(w->doc, 0, "logprobs"));
            w->out->bare = w->out->count == 1;
            return;
        }
        if (weir_str_is(rest, ".done")) {
            add_end(w, item, part, kind);
            add(w, weir_json_get(w->doc, 0, response_texts[i].whole), kind, item, part, false);
            add_logprobs(w, weir_json_get(w->doc, 0, "logprobs"));
            return;
        }
    }
    response_text(w, type, item, part);
    if (weir_str_is(type, "response.output_item.done"))
        add_end(w, item, WEIR_TEXT_ALL, WEIR_TEXT_ALL);
    if (weir_str_is(type, "response.completed") || weir_str_is(type, "response.incomplete") ||
        weir_str_is(type, "response.failed") || weir_str_is(type, "error"))
        add_end(w, WEIR_TEXT_ALL, WEIR_TEXT_ALL, WEIR_TEXT_ALL);
}

/* --- the rest --- */

/* Names whose strings are the protocol's own. Of a protocol that is not known only what cannot be
 * text is left alone. */
/* Numbers of these names are the protocol's, where that is known. */
static bool is_amount(weir_protocol_t shape, weir_str_t key)
{
    static const char *const names[] = {"created", "created_at", "completed_at", "expires_at",
                                        "seed"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (shape != WEIR_PROTOCOL_OTHER && weir_str_is(key, names[i]))
            return true;
    return false;
}

static bool is_structure(weir_protocol_t protocol, weir_str_t key)
{
    static const char *const sealed[] = {"b64_json", "encrypted_content", "signature"};
    if (protocol == WEIR_PROTOCOL_OTHER || protocol == WEIR_PROTOCOL_DOCUMENT) {
        for (size_t i = 0; i < sizeof sealed / sizeof *sealed; i++)
            if (weir_str_is(key, sealed[i]))
                return true;
        return false;
    }
    static const char *const names[] = {"id",
                                        "object",
                                        "type",
                                        "role",
                                        "model",
                                        "name",
                                        "finish_reason",
                                        "stop_reason",
                                        "stop_sequence",
                                        "status",
                                        "item_id",
                                        "call_id",
                                        "tool_use_id",
                                        "response_id",
                                        "system_fingerprint",
                                        "service_tier",
                                        "obfuscation",
                                        "signature",
                                        "encrypted_content",
                                        "format",
                                        "effort",
                                        "previous_response_id",
                                        "truncation",
                                        "tool_choice",
                                        "verbosity",
                                        "b64_json",
                                        "mime_type",
                                        "media_type",
                                        "phase",
                                        "created_at",
                                        "parallel_tool_calls",
                                        "code",
                                        "param",
                                        "index",
                                        "matched_stop",
                                        "request_id",
                                        "namespace",
                                        "strict",
                                        "event_id",
                                        "safety_identifier",
                                        "prompt_cache_key",
                                        "user",
                                        "description",
                                        "instructions",
                                        "caller"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (weir_str_is(key, names[i]))
            return true;
    return false;
}

/* What a response says of its request is not of the model's making. */
static bool is_request_echo(weir_protocol_t protocol, weir_str_t key)
{
    if (protocol == WEIR_PROTOCOL_OTHER || protocol == WEIR_PROTOCOL_DOCUMENT)
        return weir_str_is(key, "usage");
    return weir_str_is(key, "tools") || weir_str_is(key, "metadata") || weir_str_is(key, "usage");
}

static void remaining(walk_t *w, weir_protocol_t protocol)
{
    const weir_json_doc_t *doc = w->doc;
    uint32_t i = 0;
    while (i < doc->count) {
        if (weir_json_type(doc, i) != WEIR_JSON_OBJECT) {
            if ((is_string(w, i) || is_number(w, i)) && w->seen[i] == 0)
                add(w, i, WEIR_TEXT_OTHER, w->whole++, 0, false);
            i++;
            continue;
        }
        uint32_t key = i + 1;
        for (uint32_t m = 0; m < doc->nodes[i].size; m++) {
            uint32_t value = key + 1;
            weir_str_t name;
            /* Where nothing is known, names are text as well. */
            if (protocol == WEIR_PROTOCOL_OTHER)
                add(w, key, WEIR_TEXT_OTHER, w->whole++, 0, false);
            w->seen[key] = 1;
            if (weir_json_string(doc, key, w->arena, &name) != WEIR_OK)
                w->failed = true;
            else if (is_request_echo(protocol, name) ||
                     (weir_json_type(doc, value) == WEIR_JSON_NUMBER &&
                      is_amount(w->out->shape, name)) ||
                     ((weir_json_type(doc, value) == WEIR_JSON_STRING ||
                       weir_json_type(doc, value) == WEIR_JSON_NUMBER) &&
                      is_structure(protocol, name)))
                account(w, value);
            else if (weir_str_is(name, "logprobs"))
                add_logprobs(w, value);
            else if (weir_str_is(name, "arguments"))
                weir_json_type(doc, value) == WEIR_JSON_STRING
                    ? add(w, value, WEIR_TEXT_ARGUMENTS, w->whole++, 0, false)
                    : add_input(w, value);
            key = doc->nodes[value].next;
        }
        i++;
    }
}

/*
 * The engines' own streams: llama.cpp's {"content", "stop"} and text-generation-inference's
 * {"token": {"text"}, "generated_text"}. Others repeat the whole text in each event.
 */
static void engines(walk_t *w)
{
    uint32_t stop = weir_json_get(w->doc, 0, "stop");
    uint32_t token = weir_json_get(w->doc, 0, "token");
    uint32_t whole = weir_json_get(w->doc, 0, "generated_text");
    bool last = false;
    if (stop != WEIR_JSON_NONE && (weir_json_type(w->doc, stop) == WEIR_JSON_FALSE ||
                                   weir_json_type(w->doc, stop) == WEIR_JSON_TRUE)) {
        add(w, weir_json_get(w->doc, 0, "content"), WEIR_TEXT_CONTENT, 0, 0, true);
        last = weir_json_type(w->doc, stop) == WEIR_JSON_TRUE;
    } else if (token != WEIR_JSON_NONE && whole != WEIR_JSON_NONE) {
        add(w, weir_json_get(w->doc, token, "text"), WEIR_TEXT_CONTENT, 0, 0, true);
        last = weir_json_type(w->doc, whole) != WEIR_JSON_NULL;
    }
    if (last)
        add_end(w, WEIR_TEXT_ALL, WEIR_TEXT_ALL, WEIR_TEXT_ALL);
}

/* On a path that nobody knows an item may still have a known shape: its texts go on over events. */
static weir_protocol_t shape_of(const walk_t *w)
{
    weir_str_t type;
    weir_str_t rest;
    uint32_t choices = weir_json_get(w->doc, 0, "choices");
    uint32_t node = weir_json_get(w->doc, 0, "type");
    if (choices != WEIR_JSON_NONE && weir_json_type(w->doc, choices) == WEIR_JSON_ARRAY) {
        uint32_t first = weir_json_at(w->doc, choices, 0);
        return first != WEIR_JSON_NONE && weir_json_get(w->doc, first, "text") != WEIR_JSON_NONE
                   ? WEIR_PROTOCOL_COMPLETIONS
                   : WEIR_PROTOCOL_CHAT;
    }
    if (!is_string(w, node) || weir_json_string(w->doc, node, w->arena, &type) != WEIR_OK)
        return WEIR_PROTOCOL_OTHER;
    if (begins(type, "response.", &rest))
        return WEIR_PROTOCOL_RESPONSES;
    return begins(type, "content_block_", &rest) || begins(type, "message", &rest)
               ? WEIR_PROTOCOL_MESSAGES
               : WEIR_PROTOCOL_OTHER;
}

weir_status_t weir_text_fields(weir_protocol_t protocol, const weir_item_t *item,
                               const weir_json_doc_t *doc, weir_arena_t *arena,
                               weir_text_list_t *out)
{
    walk_t w = {.doc = doc, .arena = arena, .out = out};
    memset(out, 0, sizeof *out);
    out->sequence = out->item_id = WEIR_JSON_NONE;
    out->id = out->created = out->model = WEIR_JSON_NONE;
    if (doc->count == 0 || weir_json_type(doc, 0) == WEIR_JSON_NULL)
        return WEIR_OK;
    w.seen = weir_arena_calloc(arena, doc->count, 1);
    if (w.seen == NULL)
        return WEIR_ERR_NOMEM;
    out->shape = protocol;
    if (weir_json_type(doc, 0) == WEIR_JSON_OBJECT) {
        if (protocol == WEIR_PROTOCOL_OTHER)
            out->shape = shape_of(&w);
        switch (out->shape) {
        case WEIR_PROTOCOL_CHAT:
        case WEIR_PROTOCOL_COMPLETIONS:
            chat(&w);
            break;
        case WEIR_PROTOCOL_MESSAGES:
            messages(&w);
            break;
        case WEIR_PROTOCOL_RESPONSES:
            responses(&w);
            break;
        case WEIR_PROTOCOL_OTHER:
            engines(&w);
            break;
        default:
            break;
        }
    }
    uint32_t known = out->count;
    remaining(&w, protocol);
    if (out->count > known)
        out->bare = false;
    /* A whole answer's texts are whole. */
    for (uint32_t i = 0; item->kind == WEIR_ITEM_DOCUMENT && i < out->count; i++)
        out->fields[i].delta = false;
    return w.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}
