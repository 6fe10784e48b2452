/* A request of OpenAI's responses API as one of chat completions: tools and options, and what the
 * answer repeats of the request. */
#include "lua-free-filters/translate/responses_to_chat.h"

static weir_status_t add_custom(const weir_tctx_t *c, uint32_t name)
{
    weir_translation_t *tr = c->tr;
    if (tr->custom == NULL) {
        tr->custom = weir_arena_calloc(tr->arena, WEIR_MAX_TOOLS, sizeof(*tr->custom));
    }
    if (tr->custom == NULL) {
        return weir_error(c->err, WEIR_ERR_NOMEM, "out of memory");
    }
    if (tr->n_custom == WEIR_MAX_TOOLS) {
        return weir_error_at(c->err, WEIR_ERR_INVALID, "tools", "invalid_request",
                             "tools: more than %d custom tools", WEIR_MAX_TOOLS);
    }
    tr->custom[tr->n_custom++] = weir_keep(tr, weir_text_of(c, name));
    return WEIR_OK;
}

static weir_status_t write_tool(const weir_tctx_t *c, uint32_t tool, uint32_t allowed,
                                const weir_tpath_t *at)
{
    weir_status_t s;
    uint32_t name;
    uint32_t type = weir_member(c->doc, tool, "type");
    if (weir_kind_of(c, type, &weir_r_tools, at, &s) == NULL) {
        return s;
    }
    bool custom = weir_json_string_is(c->doc, type, "custom");
    s = weir_check_members(c, tool, custom ? &weir_r_custom : &weir_r_function, at);
    if (s != WEIR_OK || (s = weir_need(c, tool, "name", WEIR_JSON_STRING, at, &name)) != WEIR_OK ||
        (custom && (s = add_custom(c, name)) != WEIR_OK)) {
        return s;
    }
    if (!weir_tool_allowed(c, allowed, NULL, name)) {
        return WEIR_OK;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"function\"");
    jo_kopen(c->out, "function", '{');
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    weir_copy_as(c, tool, "description", "description");
    if (custom) {
        jo_kz(c->out, "parameters",
              "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
              "\"required\":[\"input\"],\"additionalProperties\":false}");
    } else {
        weir_copy_as(c, tool, "parameters", "parameters");
        weir_copy_as(c, tool, "strict", "strict");
    }
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

static weir_status_t write_tools(const weir_tctx_t *c, uint32_t allowed)
{
    uint32_t tools = weir_member(c->doc, 0, "tools");
    if (tools == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    if (!weir_is(c->doc, tools, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, NULL, "tools", "must be an array");
    }
    size_t start = c->out->len;
    jo_kopen(c->out, "tools", '[');
    size_t empty = c->out->len;
    uint32_t tool = tools + 1;
    for (uint32_t i = 0; i < c->doc->nodes[tools].size; i++) {
        weir_tpath_t here = {NULL, "tools", i};
        weir_status_t s = write_tool(c, tool, allowed, &here);
        if (s != WEIR_OK) {
            return s;
        }
        tool = c->doc->nodes[tool].next;
    }
    if (c->out->len == empty) {
        jo_rewind(c->out, start);
    } else {
        jo_close(c->out, ']');
        weir_copy_as(c, 0, "parallel_tool_calls", "parallel_tool_calls");
    }
    return WEIR_OK;
}

static weir_status_t write_tool_choice(const weir_tctx_t *c, uint32_t *allowed)
{
    weir_status_t s;
    weir_tpath_t at = {NULL, "tool_choice", -1};
    uint32_t choice = weir_member(c->doc, 0, "tool_choice");
    *allowed = WEIR_JSON_NONE;
    if (choice == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    bool object = weir_is(c->doc, choice, WEIR_JSON_OBJECT);
    uint32_t kind = object ? weir_member(c->doc, choice, "type") : choice;
    if (weir_kind_of(c, kind, &weir_r_tool_choice, &at, &s) == NULL) {
        return s;
    }
    if (!object) {
        jo_kraw(c->out, "tool_choice", weir_json_raw(c->doc, choice));
        return WEIR_OK;
    }
    if (weir_json_string_is(c->doc, kind, "allowed_tools")) {
        uint32_t mode = weir_member(c->doc, choice, "mode");
        bool required = weir_json_string_is(c->doc, mode, "required");
        jo_kz(c->out, "tool_choice", required ? "\"required\"" : "\"auto\"");
        return weir_need(c, choice, "tools", WEIR_JSON_ARRAY, &at, allowed);
    }
    uint32_t name;
    if ((s = weir_need(c, choice, "name", WEIR_JSON_STRING, &at, &name)) != WEIR_OK) {
        return s;
    }
    jo_kopen(c->out, "tool_choice", '{');
    jo_kz(c->out, "type", "\"function\"");
    jo_kopen(c->out, "function", '{');
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

static weir_status_t write_format(const weir_tctx_t *c, uint32_t format, const weir_tpath_t *at)
{
    weir_status_t s;
    uint32_t name;
    uint32_t schema;
    uint32_t type = weir_member(c->doc, format, "type");
    if (weir_kind_of(c, type, &weir_r_format, at, &s) == NULL ||
        (s = weir_check_members(c, format, &weir_r_json_schema, at)) != WEIR_OK ||
        weir_json_string_is(c->doc, type, "text")) {
        return s;
    }
    if (weir_json_string_is(c->doc, type, "json_object")) {
        jo_kz(c->out, "response_format", "{\"type\":\"json_object\"}");
        return WEIR_OK;
    }
    if ((s = weir_need(c, format, "name", WEIR_JSON_STRING, at, &name)) != WEIR_OK ||
        (s = weir_need(c, format, "schema", WEIR_JSON_OBJECT, at, &schema)) != WEIR_OK) {
        return s;
    }
    jo_kopen(c->out, "response_format", '{');
    jo_kz(c->out, "type", "\"json_schema\"");
    jo_kopen(c->out, "json_schema", '{');
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    weir_copy_as(c, format, "description", "description");
    weir_copy_as(c, format, "strict", "strict");
    jo_kraw(c->out, "schema", weir_json_raw(c->doc, schema));
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

static weir_status_t write_text(const weir_tctx_t *c)
{
    uint32_t text = weir_member(c->doc, 0, "text");
    uint32_t reasoning = weir_member(c->doc, 0, "reasoning");
    weir_status_t s = WEIR_OK;
    if (reasoning != WEIR_JSON_NONE) {
        weir_tpath_t at = {NULL, "reasoning", -1};
        if ((s = weir_check_members(c, reasoning, &weir_r_reasoning, &at)) != WEIR_OK) {
            return s;
        }
        weir_copy_as(c, reasoning, "effort", "reasoning_effort");
    }
    if (text == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    weir_tpath_t at = {NULL, "text", -1};
    if ((s = weir_check_members(c, text, &weir_r_text_config, &at)) != WEIR_OK) {
        return s;
    }
    weir_copy_as(c, text, "verbosity", "verbosity");
    uint32_t format = weir_member(c->doc, text, "format");
    weir_tpath_t here = {&at, "format", -1};
    return format == WEIR_JSON_NONE ? WEIR_OK : write_format(c, format, &here);
}

static weir_status_t write_logprobs(const weir_tctx_t *c)
{
    uint32_t include = weir_member(c->doc, 0, "include");
    bool wanted = weir_member(c->doc, 0, "top_logprobs") != WEIR_JSON_NONE;
    if (include != WEIR_JSON_NONE && !weir_is(c->doc, include, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, NULL, "include", "must be an array of strings");
    }
    uint32_t node = include + 1;
    for (uint32_t i = 0; include != WEIR_JSON_NONE && i < c->doc->nodes[include].size; i++) {
        if (weir_json_string_is(c->doc, node, "message.output_text.logprobs")) {
            wanted = true;
        } else if (!weir_json_string_is(c->doc, node, "reasoning.encrypted_content")) {
            weir_loss(c->tr, "request", "include");
        }
        node = c->doc->nodes[node].next;
    }
    if (wanted) {
        jo_kz(c->out, "logprobs", "true");
        weir_copy_as(c, 0, "top_logprobs", "top_logprobs");
    }
    return WEIR_OK;
}

/* --- what the answer repeats --- */

static void echo(const weir_tctx_t *c, weir_buf_t *out, const char *key, const char *otherwise)
{
    uint32_t node = weir_member(c->doc, 0, key);
    if (node != WEIR_JSON_NONE) {
        jo_kraw(out, key, weir_json_raw(c->doc, node));
    } else {
        jo_kz(out, key, otherwise);
    }
}

/* The members of the response object that repeat the request, without braces. */
static weir_status_t keep_echo(const weir_tctx_t *c)
{
    static const struct {
        const char *key;
        const char *otherwise;
    } members[] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"max_tool_calls", "null"},
        {"metadata", "{}"},
        {"parallel_tool_calls", "true"},
        {"reasoning", "{\"effort\":null,\"summary\":null}"},
        {"temperature", "1"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_logprobs", "0"},
        {"top_p", "1"},
        {"truncation", "\"disabled\""},
        {"user", "null"},
    };
    weir_buf_t buf;
    weir_buf_init(&buf, c->tr->arena);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        echo(c, &buf, members[i].key, members[i].otherwise);
    }
    weir_buf_append_z(&buf, ",\"background\":false,\"previous_response_id\":null,\"store\":false");
    c->tr->echo = weir_str(buf.data, buf.len);
    return buf.failed ? weir_error(c->err, WEIR_ERR_NOMEM, "out of memory") : WEIR_OK;
}

static weir_status_t check_values(const weir_tctx_t *c)
{
    weir_status_t s = weir_check_members(c, 0, &weir_r_request, NULL);
    uint32_t options = weir_member(c->doc, 0, "stream_options");
    if (s == WEIR_OK && weir_is_true(c->doc, weir_member(c->doc, 0, "store"))) {
        s = weir_refuse(c, NULL, "store",
                        "the gateway stores no answers for this upstream: send store false");
    }
    if (s == WEIR_OK && options != WEIR_JSON_NONE) {
        weir_tpath_t at = {NULL, "stream_options", -1};
        s = weir_check_members(c, options, &weir_r_stream_options, &at);
    }
    return s;
}

static weir_status_t write_messages(const weir_tctx_t *c)
{
    uint32_t instructions = weir_member(c->doc, 0, "instructions");
    jo_kopen(c->out, "messages", '[');
    if (instructions != WEIR_JSON_NONE) {
        if (!weir_is(c->doc, instructions, WEIR_JSON_STRING)) {
            return weir_malformed(c, NULL, "instructions", "must be a string");
        }
        jo_open(c->out, '{');
        jo_kz(c->out, "role", "\"system\"");
        jo_kraw(c->out, "content", weir_json_raw(c->doc, instructions));
        jo_close(c->out, '}');
    }
    weir_status_t s = weir_responses_input(c);
    jo_close(c->out, ']');
    return s;
}

static void write_small(const weir_tctx_t *c)
{
    static const char *const same[] = {"temperature", "top_p", "user", "safety_identifier",
                                       "prompt_cache_key"};
    bool legacy = c->tr->options.legacy_max_tokens;
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        weir_copy_as(c, 0, same[i], same[i]);
    }
    uint32_t tier = weir_member(c->doc, 0, "service_tier");
    if (weir_json_string_is(c->doc, tier, "ultrafast")) {
        weir_loss(c->tr, "request", "service_tier");
        jo_kz(c->out, "service_tier", "\"fast\"");
    } else {
        weir_copy_as(c, 0, "service_tier", "service_tier");
    }
    weir_copy_as(c, 0, "max_output_tokens", legacy ? "max_tokens" : "max_completion_tokens");
    if (c->tr->stream) {
        jo_kz(c->out, "stream", "true");
        jo_kz(c->out, "stream_options", "{\"include_usage\":true}");
    }
}

weir_status_t weir_responses_to_chat(weir_tctx_t *c)
{
    uint32_t allowed = WEIR_JSON_NONE;
    weir_status_t s = check_values(c);
    if (s != WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kraw(c->out, "model", c->tr->model_raw);
    if ((s = write_messages(c)) != WEIR_OK || (s = write_tool_choice(c, &allowed)) != WEIR_OK ||
        (s = write_tools(c, allowed)) != WEIR_OK) {
        return s;
    }
    if (c->tr->asked_count) {
        jo_kz(c->out, "add_generation_prompt", "true");
        jo_close(c->out, '}');
        return WEIR_OK;
    }
    if ((s = write_text(c)) != WEIR_OK || (s = write_logprobs(c)) != WEIR_OK ||
        (s = keep_echo(c)) != WEIR_OK) {
        return s;
    }
    write_small(c);
    jo_close(c->out, '}');
    return WEIR_OK;
}
