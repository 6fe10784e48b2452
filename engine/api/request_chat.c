/* What only chat requests have: messages, tools and the choice among them. */
#include "engine/api/fields.h"

#include <stdio.h>

static bool is_object(const weir_fields_t *f, uint32_t node)
{
    return node != WEIR_JSON_NONE && weir_json_type(f->doc, node) == WEIR_JSON_OBJECT;
}

static bool is_string(const weir_fields_t *f, uint32_t node)
{
    return node != WEIR_JSON_NONE && weir_json_type(f->doc, node) == WEIR_JSON_STRING;
}

static bool is_array(const weir_fields_t *f, uint32_t node)
{
    return node != WEIR_JSON_NONE && weir_json_type(f->doc, node) == WEIR_JSON_ARRAY;
}

/* A content part; only text reaches a text model. */
static weir_status_t check_part(const weir_fields_t *f, uint32_t part, uint32_t message, uint32_t i)
{
    char field[64];
    snprintf(field, sizeof(field), "messages[%u].content[%u]", (unsigned)message, (unsigned)i);
    if (!is_object(f, part)) {
        return weir_field_error(f, field, "must be an object with a \"type\"");
    }
    uint32_t type = weir_field(f, part, "type");
    if (!is_string(f, type)) {
        return weir_field_error(f, field, "must have a \"type\", such as \"text\"");
    }
    if (!weir_json_string_is(f->doc, type, "text")) {
        return weir_field_unsupported(f, field, true, "a content part other than text");
    }
    if (!is_string(f, weir_field(f, part, "text"))) {
        return weir_field_error(f, field, "must have a string \"text\"");
    }
    return WEIR_OK;
}

static weir_status_t check_tool_calls(const weir_fields_t *f, uint32_t calls, uint32_t message)
{
    char field[64];
    snprintf(field, sizeof(field), "messages[%u].tool_calls", (unsigned)message);
    if (!is_array(f, calls)) {
        return weir_field_error(f, field, "must be an array");
    }
    uint32_t call = calls + 1;
    for (uint32_t i = 0; i < f->doc->nodes[calls].size; i++, call = f->doc->nodes[call].next) {
        uint32_t function = is_object(f, call) ? weir_field(f, call, "function") : WEIR_JSON_NONE;
        if (!is_object(f, function) || !is_string(f, weir_field(f, function, "name"))) {
            return weir_field_error(f, field,
                                    "[%u] must be an object with a function that has a "
                                    "name",
                                    (unsigned)i);
        }
    }
    return WEIR_OK;
}

static weir_status_t check_content(const weir_fields_t *f, uint32_t message, uint32_t index,
                                   bool may_lack)
{
    char field[64];
    uint32_t content = weir_field(f, message, "content");
    snprintf(field, sizeof(field), "messages[%u].content", (unsigned)index);
    if (content == WEIR_JSON_NONE) {
        return may_lack ? WEIR_OK : weir_field_error(f, field, "is required");
    }
    if (is_string(f, content)) {
        return WEIR_OK;
    }
    if (!is_array(f, content)) {
        return weir_field_error(f, field, "must be a string or an array of content parts");
    }
    uint32_t part = content + 1;
    for (uint32_t i = 0; i < f->doc->nodes[content].size; i++, part = f->doc->nodes[part].next) {
        weir_status_t rc = check_part(f, part, index, i);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    return WEIR_OK;
}

static weir_status_t check_message(const weir_fields_t *f, uint32_t message, uint32_t index)
{
    static const char *const roles[] = {"system",    "developer", "user",
                                        "assistant", "tool",      "function"};
    char field[64];
    bool known = false;
    weir_status_t rc;

    snprintf(field, sizeof(field), "messages[%u]", (unsigned)index);
    if (!is_object(f, message)) {
        return weir_field_error(f, field, "must be an object");
    }
    uint32_t role = weir_field(f, message, "role");
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]) && role != WEIR_JSON_NONE; i++) {
        known = known || weir_json_string_is(f->doc, role, roles[i]);
    }
    if (!known) {
        snprintf(field, sizeof(field), "messages[%u].role", (unsigned)index);
        return weir_field_error(f, field,
                                "must be one of system, developer, user, assistant, tool, "
                                "function");
    }
    uint32_t calls = weir_field(f, message, "tool_calls");
    if (calls != WEIR_JSON_NONE && (rc = check_tool_calls(f, calls, index)) != WEIR_OK) {
        return rc;
    }
    bool may_lack =
        weir_json_string_is(f->doc, role, "assistant") &&
        (calls != WEIR_JSON_NONE || weir_field(f, message, "function_call") != WEIR_JSON_NONE);
    return check_content(f, message, index, may_lack);
}

static weir_status_t check_messages(const weir_fields_t *f, weir_api_request_t *out)
{
    weir_status_t rc = weir_field_node(f, "messages", WEIR_JSON_ARRAY, &out->messages);
    if (rc != WEIR_OK) {
        return rc;
    }
    if (out->messages == WEIR_JSON_NONE || f->doc->nodes[out->messages].size == 0) {
        return weir_field_error(f, "messages", "is required: an array of at least one message");
    }
    uint32_t message = out->messages + 1;
    uint32_t n = f->doc->nodes[out->messages].size;
    for (uint32_t i = 0; i < n; i++, message = f->doc->nodes[message].next) {
        if ((rc = check_message(f, message, i)) != WEIR_OK) {
            return rc;
        }
    }
    return WEIR_OK;
}

static bool valid_function_name(weir_str_t name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-')) {
            return false;
        }
    }
    return name.len > 0 && name.len <= 64;
}

static weir_status_t check_tools(const weir_fields_t *f, weir_api_request_t *out)
{
    weir_status_t rc = weir_field_node(f, "tools", WEIR_JSON_ARRAY, &out->tools);
    if (rc != WEIR_OK || out->tools == WEIR_JSON_NONE) {
        return rc;
    }
    uint32_t n = f->doc->nodes[out->tools].size;
    uint32_t tool = out->tools + 1;
    for (uint32_t i = 0; i < n; i++, tool = f->doc->nodes[tool].next) {
        char field[64];
        weir_str_t name = {NULL, 0};
        snprintf(field, sizeof(field), "tools[%u]", (unsigned)i);
        if (!is_object(f, tool) || !is_string(f, weir_field(f, tool, "type"))) {
            return weir_field_error(f, field, "must be an object with type \"function\"");
        }
        if (!weir_json_string_is(f->doc, weir_field(f, tool, "type"), "function")) {
            return weir_field_unsupported(f, field, true, "a tool of a type other than function");
        }
        uint32_t function = weir_field(f, tool, "function");
        uint32_t node = is_object(f, function) ? weir_field(f, function, "name") : WEIR_JSON_NONE;
        if (node == WEIR_JSON_NONE || weir_json_string(f->doc, node, f->arena, &name) != WEIR_OK ||
            !valid_function_name(name)) {
            return weir_field_error(f, field,
                                    "function.name must be 1 to 64 of a-z, A-Z, 0-9, _ "
                                    "and -");
        }
    }
    if (n == 0) {
        out->tools = WEIR_JSON_NONE;
    }
    return WEIR_OK;
}

/* The template shows the tools to the model ("auto") or not ("none"); no decoder enforces a call.
 */
static weir_status_t check_tool_choice(const weir_fields_t *f, weir_api_request_t *out)
{
    uint32_t node = weir_field(f, 0, "tool_choice");
    if (node == WEIR_JSON_NONE || weir_json_string_is(f->doc, node, "auto")) {
        return WEIR_OK;
    }
    if (weir_json_string_is(f->doc, node, "none")) {
        out->tools = WEIR_JSON_NONE;
        return WEIR_OK;
    }
    if (weir_json_string_is(f->doc, node, "required") || is_object(f, node)) {
        return weir_field_unsupported(f, "tool_choice", true, "forcing a tool call");
    }
    return weir_field_error(f, "tool_choice",
                            "must be \"none\", \"auto\", \"required\" or an "
                            "object");
}

static weir_status_t check_modalities(const weir_fields_t *f)
{
    uint32_t node;
    weir_status_t rc = weir_field_node(f, "modalities", WEIR_JSON_ARRAY, &node);
    if (rc != WEIR_OK || node == WEIR_JSON_NONE) {
        return rc;
    }
    uint32_t n = f->doc->nodes[node].size;
    node++;
    for (uint32_t i = 0; i < n; i++, node = f->doc->nodes[node].next) {
        if (!weir_json_string_is(f->doc, node, "text")) {
            return weir_field_unsupported(f, "modalities", true, "an output other than text");
        }
    }
    return WEIR_OK;
}

static weir_status_t parse_logprobs(const weir_fields_t *f, weir_api_request_t *out)
{
    int64_t top = 0;
    weir_status_t rc = weir_field_bool(f, 0, "logprobs", &out->logprobs);
    if (rc == WEIR_OK) {
        rc = weir_field_int(f, "top_logprobs", 0, WEIR_ENGINE_MAX_TOP_LOGPROBS, false, &top);
    }
    if (rc == WEIR_OK && top > 0 && !out->logprobs) {
        return weir_field_error(f, "top_logprobs", "needs \"logprobs\": true");
    }
    out->generate.logprobs = out->logprobs;
    out->generate.top_logprobs = (uint32_t)top;
    return rc;
}

weir_status_t weir_parse_chat(const weir_fields_t *f, weir_api_request_t *out)
{
    weir_status_t rc;
    int64_t max_tokens = 0;

    out->add_generation_prompt = true;
    if ((rc = check_messages(f, out)) != WEIR_OK || (rc = check_tools(f, out)) != WEIR_OK ||
        (rc = check_tool_choice(f, out)) != WEIR_OK || (rc = check_modalities(f)) != WEIR_OK ||
        (rc = parse_logprobs(f, out)) != WEIR_OK ||
        (rc = weir_field_node(f, "chat_template_kwargs", WEIR_JSON_OBJECT, &out->kwargs)) !=
            WEIR_OK ||
        (rc = weir_field_bool(f, 0, "add_generation_prompt", &out->add_generation_prompt)) !=
            WEIR_OK ||
        (rc = weir_field_int(f, "max_tokens", 1, UINT32_MAX, true, &max_tokens)) != WEIR_OK ||
        (rc = weir_field_int(f, "max_completion_tokens", 1, UINT32_MAX, true, &max_tokens)) !=
            WEIR_OK) {
        return rc;
    }
    out->generate.max_tokens = (uint32_t)max_tokens;
    return WEIR_OK;
}

weir_status_t weir_rewrite_roles(const weir_fields_t *f, weir_str_t body, weir_str_t *out)
{
    uint32_t messages = weir_field(f, 0, "messages");
    size_t done = 0; /* bytes of body copied so far */
    weir_buf_t text;

    *out = body;
    if (!is_array(f, messages)) {
        return WEIR_OK;
    }
    weir_buf_init(&text, f->arena);
    uint32_t message = messages + 1;
    uint32_t n = f->doc->nodes[messages].size;
    for (uint32_t i = 0; i < n; i++, message = f->doc->nodes[message].next) {
        uint32_t role = is_object(f, message) ? weir_field(f, message, "role") : WEIR_JSON_NONE;
        if (role != WEIR_JSON_NONE && weir_json_string_is(f->doc, role, "developer")) {
            weir_buf_append(&text, body.data + done, f->doc->nodes[role].start - done);
            weir_buf_append_z(&text, "\"system\"");
            done = f->doc->nodes[role].end;
        }
    }
    if (done == 0) {
        return WEIR_OK;
    }
    weir_buf_append(&text, body.data + done, body.len - done);
    if (text.failed) {
        return weir_error(f->err, WEIR_ERR_NOMEM, "out of memory for the request");
    }
    *out = weir_str(text.data, text.len);
    return WEIR_OK;
}
