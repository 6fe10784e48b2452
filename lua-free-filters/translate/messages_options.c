/* A request of Anthropic's messages API as one of chat completions: tools and options. */
#include "lua-free-filters/translate/messages_to_chat.h"

#define EFFORT_MEDIUM 4096 /* budget_tokens from which an effort is medium, and high */
#define EFFORT_HIGH   16384

static weir_status_t write_tool(const weir_tctx_t *c, uint32_t tool, const weir_tpath_t *at)
{
    uint32_t name;
    uint32_t schema;
    weir_status_t s;
    uint32_t type = weir_member(c->doc, tool, "type");
    if (type != WEIR_JSON_NONE && weir_kind_of(c, type, &weir_m_tools, at, &s) == NULL) {
        return s;
    }
    if ((s = weir_check_members(c, tool, &weir_m_tool, at)) != WEIR_OK ||
        (s = weir_need(c, tool, "name", WEIR_JSON_STRING, at, &name)) != WEIR_OK ||
        (s = weir_need(c, tool, "input_schema", WEIR_JSON_OBJECT, at, &schema)) != WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"function\"");
    jo_kopen(c->out, "function", '{');
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    weir_copy_as(c, tool, "description", "description");
    jo_kraw(c->out, "parameters", weir_json_raw(c->doc, schema));
    weir_copy_as(c, tool, "strict", "strict");
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

weir_status_t weir_messages_tools(const weir_tctx_t *c)
{
    uint32_t tools = weir_member(c->doc, 0, "tools");
    if (tools == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    if (!weir_is(c->doc, tools, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, NULL, "tools", "must be an array");
    }
    if (c->doc->nodes[tools].size == 0) {
        return WEIR_OK;
    }
    jo_kopen(c->out, "tools", '[');
    uint32_t tool = tools + 1;
    for (uint32_t i = 0; i < c->doc->nodes[tools].size; i++) {
        weir_tpath_t here = {NULL, "tools", i};
        weir_status_t s = write_tool(c, tool, &here);
        if (s != WEIR_OK) {
            return s;
        }
        tool = c->doc->nodes[tool].next;
    }
    jo_close(c->out, ']');
    return WEIR_OK;
}

static weir_status_t write_tool_choice(const weir_tctx_t *c)
{
    uint32_t choice = weir_member(c->doc, 0, "tool_choice");
    uint32_t tools = weir_member(c->doc, 0, "tools");
    if (choice == WEIR_JSON_NONE || tools == WEIR_JSON_NONE || c->doc->nodes[tools].size == 0) {
        return WEIR_OK; /* chat servers refuse a choice without tools */
    }
    weir_tpath_t at = {NULL, "tool_choice", -1};
    weir_status_t s = weir_check_members(c, choice, &weir_m_choice, &at);
    if (s != WEIR_OK) {
        return s;
    }
    uint32_t type = weir_member(c->doc, choice, "type");
    if (weir_kind_of(c, type, &weir_m_tool_choice, &at, &s) == NULL) {
        return s;
    }
    if (weir_json_string_is(c->doc, type, "tool")) {
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
    } else {
        bool any = weir_json_string_is(c->doc, type, "any");
        bool none = weir_json_string_is(c->doc, type, "none");
        jo_kz(c->out, "tool_choice", any ? "\"required\"" : none ? "\"none\"" : "\"auto\"");
    }
    if (weir_is_true(c->doc, weir_member(c->doc, choice, "disable_parallel_tool_use"))) {
        jo_kz(c->out, "parallel_tool_calls", "false");
    }
    return WEIR_OK;
}

static weir_status_t write_thinking(const weir_tctx_t *c, bool has_effort)
{
    uint32_t thinking = weir_member(c->doc, 0, "thinking");
    int64_t budget = 0;
    if (thinking == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    weir_tpath_t at = {NULL, "thinking", -1};
    weir_status_t s = weir_check_members(c, thinking, &weir_m_thinking_config, &at);
    uint32_t type = weir_member(c->doc, thinking, "type");
    if (s != WEIR_OK || has_effort || weir_json_string_is(c->doc, type, "disabled")) {
        return s;
    }
    weir_loss(c->tr, "request", "thinking");
    if (weir_json_string_is(c->doc, type, "enabled")) {
        if (!weir_json_int64(c->doc, weir_member(c->doc, thinking, "budget_tokens"), &budget)) {
            return weir_malformed(c, &at, "budget_tokens", "must be an integer");
        }
        jo_kz(c->out, "reasoning_effort",
              budget < EFFORT_MEDIUM ? "\"low\""
              : budget < EFFORT_HIGH ? "\"medium\""
                                     : "\"high\"");
    }
    return WEIR_OK;
}

static weir_status_t write_format(const weir_tctx_t *c, uint32_t format)
{
    uint32_t schema;
    weir_tpath_t at = {NULL, "output_config.format", -1};
    weir_status_t s = weir_check_members(c, format, &weir_m_format, &at);
    if (s != WEIR_OK ||
        (s = weir_need(c, format, "schema", WEIR_JSON_OBJECT, &at, &schema)) != WEIR_OK) {
        return s;
    }
    jo_kopen(c->out, "response_format", '{');
    jo_kz(c->out, "type", "\"json_schema\"");
    jo_kopen(c->out, "json_schema", '{');
    jo_kz(c->out, "name", "\"output\"");
    jo_kz(c->out, "strict", "true");
    jo_kraw(c->out, "schema", weir_json_raw(c->doc, schema));
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

static weir_status_t write_output_config(const weir_tctx_t *c)
{
    uint32_t config = weir_member(c->doc, 0, "output_config");
    uint32_t format = weir_member(c->doc, 0, "output_format");
    bool has_effort = false;
    weir_status_t s = WEIR_OK;
    if (config != WEIR_JSON_NONE) {
        weir_tpath_t at = {NULL, "output_config", -1};
        if ((s = weir_check_members(c, config, &weir_m_output_config, &at)) != WEIR_OK) {
            return s;
        }
        has_effort = weir_member(c->doc, config, "effort") != WEIR_JSON_NONE;
        weir_copy_as(c, config, "effort", "reasoning_effort");
        uint32_t inner = weir_member(c->doc, config, "format");
        format = inner != WEIR_JSON_NONE ? inner : format;
    }
    if (format != WEIR_JSON_NONE) {
        s = write_format(c, format);
    }
    return s == WEIR_OK ? write_thinking(c, has_effort) : s;
}

static weir_status_t write_sampling(const weir_tctx_t *c)
{
    uint32_t stop = weir_member(c->doc, 0, "stop_sequences");
    weir_copy_as(c, 0, "temperature", "temperature");
    weir_copy_as(c, 0, "top_p", "top_p");
    if (!c->tr->options.strict_openai) {
        weir_copy_as(c, 0, "top_k", "top_k");
    } else if (weir_member(c->doc, 0, "top_k") != WEIR_JSON_NONE) {
        weir_loss(c->tr, "request", "top_k");
    }
    if (stop != WEIR_JSON_NONE && !weir_is(c->doc, stop, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, NULL, "stop_sequences", "must be an array of strings");
    }
    if (stop != WEIR_JSON_NONE && c->doc->nodes[stop].size > 0) {
        jo_kraw(c->out, "stop", weir_json_raw(c->doc, stop));
    }
    return WEIR_OK;
}

static weir_status_t write_small(const weir_tctx_t *c)
{
    uint32_t metadata = weir_member(c->doc, 0, "metadata");
    uint32_t tier = weir_member(c->doc, 0, "service_tier");
    if (metadata != WEIR_JSON_NONE) {
        weir_tpath_t at = {NULL, "metadata", -1};
        weir_status_t s = weir_check_members(c, metadata, &weir_m_metadata, &at);
        if (s != WEIR_OK) {
            return s;
        }
        weir_copy_as(c, metadata, "user_id", "user");
    }
    if (tier != WEIR_JSON_NONE) {
        bool standard = weir_json_string_is(c->doc, tier, "standard_only");
        jo_kz(c->out, "service_tier", standard ? "\"default\"" : "\"auto\"");
    }
    return WEIR_OK;
}

weir_status_t weir_messages_options(const weir_tctx_t *c)
{
    weir_status_t s = write_tool_choice(c);
    if (s != WEIR_OK || (s = write_output_config(c)) != WEIR_OK ||
        (s = write_sampling(c)) != WEIR_OK) {
        return s;
    }
    return write_small(c);
}
