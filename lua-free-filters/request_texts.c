#include "lua-free-filters/request_texts.h"

#include "lua-free-filters/json_numbers.h"

/* A part of the protocol is short; what is longer is read as text whatever its name. */
#define MAX_STRUCTURE 256

typedef struct {
    const weir_json_doc_t *doc;
    weir_arena_t *arena;
    weir_request_text_t *texts;
    uint32_t count;
    uint32_t cap;
    bool failed;
} walk_t;

const char *weir_request_part_name(weir_request_part_t part)
{
    static const char *const names[WEIR_PARTS] = {
        "system", "user", "assistant", "tool_arguments", "tool_results", "tool_definitions"};
    return names[part];
}

static void add(walk_t *w, uint32_t node, weir_request_part_t part, bool json)
{
    if (w->doc->nodes[node].end - w->doc->nodes[node].start <= 2)
        return;
    if (w->count == w->cap) {
        uint32_t cap = w->cap == 0 ? 32 : w->cap * 2;
        weir_request_text_t *more = weir_arena_alloc(w->arena, cap * sizeof *more);
        if (more == NULL) {
            w->failed = true;
            return;
        }
        if (w->count > 0)
            memcpy(more, w->texts, w->count * sizeof *more);
        w->texts = more;
        w->cap = cap;
    }
    w->texts[w->count++] = (weir_request_text_t){node, part, json};
}

static bool is_one_of(const weir_json_doc_t *doc, uint32_t node, const char *const *names)
{
    for (; *names != NULL; names++)
        if (weir_json_string_is(doc, node, *names))
            return true;
    return false;
}

static bool is_string(const walk_t *w, uint32_t node)
{
    return node != WEIR_JSON_NONE && weir_json_type(w->doc, node) == WEIR_JSON_STRING;
}

static uint32_t length(const walk_t *w, uint32_t node)
{
    return w->doc->nodes[node].end - w->doc->nodes[node].start;
}

static bool has_text(const walk_t *w, uint32_t node, const char *what, bool at_end)
{
    weir_str_t raw = weir_json_raw(w->doc, node);
    size_t n = strlen(what);
    return raw.len >= n + 2 && memcmp(raw.data + (at_end ? raw.len - 1 - n : 1), what, n) == 0;
}

/* --- anything --- */

/* A coordinate in a tool's arguments says where somebody is; vectors elsewhere say nothing. */
static bool is_number(const walk_t *w, uint32_t node, weir_request_part_t part)
{
    weir_str_t raw = weir_json_raw(w->doc, node);
    return part == WEIR_PART_TOOL_ARGUMENTS ? raw.len >= WEIR_JSON_NUMBER_DIGITS
                                            : weir_json_number_is_text(raw);
}

static void walk_free(walk_t *w, uint32_t value, weir_request_part_t part)
{
    const weir_json_doc_t *doc = w->doc;
    /* All nodes below a value lie behind it; keys are strings like others. */
    for (uint32_t i = value; i < doc->nodes[value].next; i++) {
        weir_json_type_t type = weir_json_type(doc, i);
        if (type == WEIR_JSON_STRING || (type == WEIR_JSON_NUMBER && is_number(w, i, part)))
            add(w, i, part, false);
    }
}

/* --- messages and what is in them --- */

/* Strings of these names are the protocol's, as long as they are short. */
static bool is_structure(const walk_t *w, uint32_t key, weir_request_part_t part)
{
    static const char *const names[] = {
        "type",        "role",         "id",          "call_id",      "tool_call_id",
        "tool_use_id", "status",       "detail",      "object",       "media_type",
        "mime_type",   "format",       "file_id",     "item_id",      "phase",
        "ttl",         "server_label", "environment", "container_id", "approval_request_id",
        NULL};
    static const char *const sealed[] = {"signature", "encrypted_content", "encrypted_index", NULL};
    if (is_one_of(w->doc, key, sealed))
        return true;
    if (length(w, key + 1) > MAX_STRUCTURE)
        return false;
    return is_one_of(w->doc, key, names) ||
           (part == WEIR_PART_TOOL_ARGUMENTS && weir_json_string_is(w->doc, key, "name"));
}

/* Bytes that no model reads as text. */
static bool is_data(const walk_t *w, uint32_t object, uint32_t key)
{
    static const char *const urls[] = {"url", "image_url", "file_data", "file_url", NULL};
    uint32_t type = weir_json_get(w->doc, object, "type");
    if (weir_json_string_is(w->doc, key, "data"))
        return (type != WEIR_JSON_NONE && weir_json_string_is(w->doc, type, "base64")) ||
               (type == WEIR_JSON_NONE &&
                weir_json_get(w->doc, object, "format") != WEIR_JSON_NONE);
    if (weir_json_string_is(w->doc, key, "b64_json"))
        return true;
    if (!is_one_of(w->doc, key, urls) || !has_text(w, key + 1, "data:", false))
        return false;
    weir_str_t raw = weir_json_raw(w->doc, key + 1);
    const char *comma = memchr(raw.data, ',', raw.len < 256 ? raw.len : 256);
    return comma != NULL && comma - raw.data > 8 && memcmp(comma - 7, ";base64", 7) == 0;
}

static weir_request_part_t part_of_role(const walk_t *w, uint32_t object, weir_request_part_t part)
{
    static const char *const system[] = {"system", "developer", NULL};
    static const char *const tool[] = {"tool", "function", NULL};
    uint32_t role = weir_json_get(w->doc, object, "role");
    if (!is_string(w, role))
        return part;
    if (is_one_of(w->doc, role, system))
        return WEIR_PART_SYSTEM;
    if (is_one_of(w->doc, role, tool))
        return WEIR_PART_TOOL_RESULTS;
    if (weir_json_string_is(w->doc, role, "assistant") ||
        weir_json_string_is(w->doc, role, "model"))
        return WEIR_PART_ASSISTANT;
    return WEIR_PART_USER;
}

static weir_request_part_t part_of_type(const walk_t *w, uint32_t object, weir_request_part_t part)
{
    uint32_t type = weir_json_get(w->doc, object, "type");
    if (!is_string(w, type))
        return part;
    if (has_text(w, type, "_result", true) || has_text(w, type, "_output", true))
        return WEIR_PART_TOOL_RESULTS;
    if (has_text(w, type, "_call", true) || has_text(w, type, "tool_use", true))
        return WEIR_PART_TOOL_ARGUMENTS;
    if (weir_json_string_is(w->doc, type, "reasoning") ||
        weir_json_string_is(w->doc, type, "thinking"))
        return WEIR_PART_ASSISTANT;
    return part;
}

static void walk_item(walk_t *w, uint32_t value, weir_request_part_t part);

static void item_member(walk_t *w, uint32_t object, uint32_t key, weir_request_part_t part)
{
    static const char *const calls[] = {"tool_calls", "function_call", NULL};
    static const char *const given[] = {"arguments", "input", "action", "operation", NULL};
    static const char *const gives[] = {"output", "outputs", "results", NULL};
    uint32_t value = key + 1;
    bool string = is_string(w, value);
    if (is_one_of(w->doc, key, calls)) {
        walk_item(w, value, WEIR_PART_TOOL_ARGUMENTS);
    } else if (part == WEIR_PART_TOOL_ARGUMENTS && is_one_of(w->doc, key, given)) {
        if (string && weir_json_string_is(w->doc, key, "arguments"))
            add(w, value, part, true);
        else
            walk_free(w, value, part);
    } else if (part == WEIR_PART_TOOL_ARGUMENTS && is_one_of(w->doc, key, gives)) {
        walk_item(w, value, WEIR_PART_TOOL_RESULTS);
    } else if (string) {
        if (!is_structure(w, key, part) && !is_data(w, object, key))
            add(w, value, part, false);
    } else {
        walk_item(w, value, part);
    }
}

/* Recursion: at most as deep as the scanner lets JSON be. */
static void walk_item(walk_t *w, uint32_t value, weir_request_part_t part)
{
    const weir_json_doc_t *doc = w->doc;
    weir_json_type_t type = weir_json_type(doc, value);
    uint32_t child = value + 1;
    if (type == WEIR_JSON_STRING || (type == WEIR_JSON_NUMBER && is_number(w, value, part))) {
        add(w, value, part, false);
    } else if (type == WEIR_JSON_ARRAY) {
        for (uint32_t i = 0; i < doc->nodes[value].size; i++) {
            walk_item(w, child, part);
            child = doc->nodes[child].next;
        }
    } else if (type == WEIR_JSON_OBJECT) {
        part = part_of_type(w, value, part);
        for (uint32_t i = 0; i < doc->nodes[value].size; i++) {
            item_member(w, value, child, part);
            child = doc->nodes[child + 1].next;
        }
    }
}

/* A list whose objects have roles. */
static void walk_turns(walk_t *w, uint32_t value)
{
    const weir_json_doc_t *doc = w->doc;
    if (weir_json_type(doc, value) != WEIR_JSON_ARRAY) {
        walk_item(w, value, WEIR_PART_USER);
        return;
    }
    uint32_t child = value + 1;
    for (uint32_t i = 0; i < doc->nodes[value].size; i++) {
        weir_request_part_t part = WEIR_PART_USER;
        if (weir_json_type(doc, child) == WEIR_JSON_OBJECT)
            part = part_of_role(w, child, part);
        walk_item(w, child, part);
        child = doc->nodes[child].next;
    }
}

/* --- the request --- */

static bool is_setting(const walk_t *w, uint32_t key)
{
    static const char *const names[] = {"model",
                                        "object",
                                        "encoding_format",
                                        "service_tier",
                                        "reasoning",
                                        "reasoning_effort",
                                        "thinking",
                                        "verbosity",
                                        "truncation",
                                        "modalities",
                                        "audio",
                                        "include",
                                        "stream_options",
                                        "prompt_cache_retention",
                                        "prompt_cache_key",
                                        "previous_response_id",
                                        "conversation",
                                        "anthropic_version",
                                        "cache_control",
                                        NULL};
    /* One that holds more than a setting does is text. */
    return is_one_of(w->doc, key, names) && length(w, key + 1) <= MAX_STRUCTURE;
}

/* Numbers that an engine works with. */
static bool is_amount(const walk_t *w, uint32_t key)
{
    static const char *const names[] = {"seed", "max_tokens", "max_completion_tokens",
                                        "max_output_tokens", NULL};
    return weir_json_type(w->doc, key + 1) == WEIR_JSON_NUMBER && is_one_of(w->doc, key, names);
}

static bool is_definition(weir_endpoint_t endpoint, const weir_json_doc_t *doc, uint32_t key)
{
    static const char *const names[] = {
        "tools",       "functions",       "tool_choice",        "function_call",
        "mcp_servers", "response_format", "output_config",      "output_format",
        "guided_json", "guided_regex",    "guided_choice",      "guided_grammar",
        "json_schema", "grammar",         "structured_outputs", NULL};
    return is_one_of(doc, key, names) ||
           ((endpoint == WEIR_ENDPOINT_RESPONSES || endpoint == WEIR_ENDPOINT_INPUT_TOKENS) &&
            weir_json_string_is(doc, key, "text"));
}

static void root_member(walk_t *w, weir_endpoint_t endpoint, uint32_t key)
{
    static const char *const system[] = {"system", "instructions", "system_prompt",
                                         "system_instruction", NULL};
    static const char *const turns[] = {"messages", "input", "contents", NULL};
    static const char *const mine[] = {"prompt", "suffix", "query", "inputs", "text", NULL};
    uint32_t value = key + 1;
    if (is_setting(w, key) || (endpoint != WEIR_ENDPOINT_OTHER && is_amount(w, key)))
        return;
    if (is_definition(endpoint, w->doc, key))
        walk_free(w, value, WEIR_PART_TOOL_DEFINITIONS);
    else if (is_one_of(w->doc, key, system))
        walk_item(w, value, WEIR_PART_SYSTEM);
    else if (is_one_of(w->doc, key, turns))
        walk_turns(w, value);
    else if (is_one_of(w->doc, key, mine) && is_string(w, value))
        add(w, value, WEIR_PART_USER, false);
    else {
        if (endpoint == WEIR_ENDPOINT_OTHER)
            add(w, key, WEIR_PART_USER, false);
        walk_free(w, value, WEIR_PART_USER);
    }
}

weir_status_t weir_request_texts(weir_endpoint_t endpoint, const weir_json_doc_t *doc,
                                 weir_arena_t *arena, weir_request_text_t **texts, uint32_t *count)
{
    walk_t w = {.doc = doc, .arena = arena};
    if (doc->count > 0 && weir_json_type(doc, 0) == WEIR_JSON_OBJECT) {
        uint32_t key = 1;
        for (uint32_t i = 0; i < doc->nodes[0].size; i++) {
            root_member(&w, endpoint, key);
            key = doc->nodes[key + 1].next;
        }
    } else if (doc->count > 0) {
        walk_free(&w, 0, WEIR_PART_USER);
    }
    *texts = w.texts;
    *count = w.count;
    return w.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

/* An array with a number in it, or with such arrays. */
static bool has_numbers(const weir_json_doc_t *doc, uint32_t array, bool nested)
{
    uint32_t at = array + 1;
    if (weir_json_type(doc, array) != WEIR_JSON_ARRAY)
        return false;
    for (uint32_t i = 0; i < doc->nodes[array].size; i++) {
        if (weir_json_type(doc, at) == WEIR_JSON_NUMBER || (nested && has_numbers(doc, at, false)))
            return true;
        at = doc->nodes[at].next;
    }
    return false;
}

bool weir_request_has_token_ids(const weir_json_doc_t *doc)
{
    static const char *const members[] = {"prompt", "input",     "inputs",
                                          "suffix", "input_ids", "prompt_token_ids"};
    if (doc->count == 0 || weir_json_type(doc, 0) != WEIR_JSON_OBJECT)
        return false;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        uint32_t value = weir_json_get(doc, 0, members[i]);
        if (value != WEIR_JSON_NONE && has_numbers(doc, value, true))
            return true;
    }
    return false;
}
