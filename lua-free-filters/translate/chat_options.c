/* A request of chat completions as one of Anthropic's messages API: tools and options. */
#include "lua-free-filters/translate/chat_to_messages.h"

bool weir_tool_allowed(const weir_tctx_t *c, uint32_t allowed, const char *path, uint32_t name)
{
    if (!weir_is(c->doc, allowed, WEIR_JSON_ARRAY)) {
        return true;
    }
    weir_str_t wanted = weir_text_of(c, name);
    uint32_t element = allowed + 1;
    for (uint32_t i = 0; i < c->doc->nodes[allowed].size; i++) {
        uint32_t holder = path == NULL ? element : weir_member(c->doc, element, path);
        uint32_t other = weir_member(c->doc, holder, "name");
        if (weir_is(c->doc, other, WEIR_JSON_STRING) &&
            weir_str_eq(wanted, weir_text_of(c, other))) {
            return true;
        }
        element = c->doc->nodes[element].next;
    }
    return false;
}

static weir_status_t write_tool(const weir_tctx_t *c, uint32_t tool, uint32_t allowed,
                                const weir_tpath_t *at)
{
    uint32_t function;
    uint32_t name;
    weir_status_t s;
    uint32_t type = weir_member(c->doc, tool, "type");
    if (weir_kind_of(c, type, &weir_c_tools, at, &s) == NULL) {
        return s;
    }
    weir_tpath_t here = {at, "function", -1};
    if ((s = weir_check_members(c, tool, &weir_c_tool, at)) != WEIR_OK ||
        (s = weir_need(c, tool, "function", WEIR_JSON_OBJECT, at, &function)) != WEIR_OK ||
        (s = weir_check_members(c, function, &weir_c_function, &here)) != WEIR_OK ||
        (s = weir_need(c, function, "name", WEIR_JSON_STRING, &here, &name)) != WEIR_OK) {
        return s;
    }
    if (!weir_tool_allowed(c, allowed, "function", name)) {
        return WEIR_OK;
    }
    jo_open(c->out, '{');
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    weir_copy_as(c, function, "description", "description");
    if (weir_is(c->doc, weir_member(c->doc, function, "parameters"), WEIR_JSON_OBJECT)) {
        weir_copy_as(c, function, "parameters", "input_schema");
    } else {
        jo_kz(c->out, "input_schema", "{\"type\":\"object\",\"properties\":{}}");
    }
    if (weir_is_true(c->doc, weir_member(c->doc, function, "strict"))) {
        jo_kz(c->out, "strict", "true");
    }
    jo_close(c->out, '}');
    return WEIR_OK;
}

/* tool_choice: its kind as Anthropic's type; *allowed and *name as nodes. */
static weir_status_t read_choice(const weir_tctx_t *c, const char **type, uint32_t *name,
                                 uint32_t *allowed)
{
    weir_status_t s;
    weir_tpath_t at = {NULL, "tool_choice", -1};
    uint32_t choice = weir_member(c->doc, 0, "tool_choice");
    *type = NULL;
    *name = *allowed = WEIR_JSON_NONE;
    if (choice == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    bool object = weir_is(c->doc, choice, WEIR_JSON_OBJECT);
    uint32_t kind = object ? weir_member(c->doc, choice, "type") : choice;
    if (weir_kind_of(c, kind, &weir_c_tool_choice, &at, &s) == NULL) {
        return s;
    }
    if (weir_json_string_is(c->doc, kind, "function")) {
        uint32_t function = weir_member(c->doc, choice, "function");
        *type = "\"tool\"";
        return weir_need(c, function, "name", WEIR_JSON_STRING, &at, name);
    }
    if (weir_json_string_is(c->doc, kind, "allowed_tools")) {
        uint32_t list = weir_member(c->doc, choice, "allowed_tools");
        kind = weir_member(c->doc, list, "mode");
        if ((s = weir_need(c, list, "tools", WEIR_JSON_ARRAY, &at, allowed)) != WEIR_OK) {
            return s;
        }
    }
    *type = weir_json_string_is(c->doc, kind, "none")       ? "\"none\""
            : weir_json_string_is(c->doc, kind, "required") ? "\"any\""
                                                            : "\"auto\"";
    return WEIR_OK;
}

weir_status_t weir_chat_tools(const weir_tctx_t *c)
{
    const char *type;
    uint32_t name;
    uint32_t allowed;
    weir_status_t s = read_choice(c, &type, &name, &allowed);
    uint32_t tools = weir_member(c->doc, 0, "tools");
    if (s != WEIR_OK || tools == WEIR_JSON_NONE) {
        return s;
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
        if ((s = write_tool(c, tool, allowed, &here)) != WEIR_OK) {
            return s;
        }
        tool = c->doc->nodes[tool].next;
    }
    jo_close(c->out, ']');
    uint32_t parallel = weir_member(c->doc, 0, "parallel_tool_calls");
    bool alone = weir_is(c->doc, parallel, WEIR_JSON_FALSE) &&
                 (type == NULL || strcmp(type, "\"none\"") != 0);
    if (type == NULL && !alone) {
        return WEIR_OK;
    }
    jo_kopen(c->out, "tool_choice", '{');
    jo_kz(c->out, "type", type == NULL ? "\"auto\"" : type);
    if (name != WEIR_JSON_NONE) {
        jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    }
    if (alone) {
        jo_kz(c->out, "disable_parallel_tool_use", "true");
    }
    jo_close(c->out, '}');
    return WEIR_OK;
}

static weir_status_t read_max_tokens(const weir_tctx_t *c, int64_t *max)
{
    const char *key = "max_completion_tokens";
    uint32_t node = weir_member(c->doc, 0, key);
    if (node == WEIR_JSON_NONE) {
        key = "max_tokens";
        node = weir_member(c->doc, 0, key);
    }
    *max = c->tr->options.default_max_tokens > 0 ? c->tr->options.default_max_tokens
                                                 : WEIR_DEFAULT_TOKENS;
    if (node != WEIR_JSON_NONE && (!weir_json_int64(c->doc, node, max) || *max < 1)) {
        return weir_malformed(c, NULL, key, "must be a positive integer");
    }
    return WEIR_OK;
}

/* Anthropic refuses sequences without a visible character. */
static bool visible(weir_str_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.data[i] > ' ') {
            return true;
        }
    }
    return false;
}

static weir_status_t write_stop(const weir_tctx_t *c)
{
    uint32_t stop = weir_member(c->doc, 0, "stop");
    bool list = weir_is(c->doc, stop, WEIR_JSON_ARRAY);
    if (stop == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    uint32_t n = list ? c->doc->nodes[stop].size : 1;
    uint32_t node = list ? stop + 1 : stop;
    uint32_t kept = 0;
    size_t start = c->out->len;
    jo_kopen(c->out, "stop_sequences", '[');
    for (uint32_t i = 0; i < n; i++) {
        if (!weir_is(c->doc, node, WEIR_JSON_STRING)) {
            return weir_malformed(c, NULL, "stop", "must be a string or an array of strings");
        }
        if (visible(weir_text_of(c, node))) {
            jo_raw(c->out, weir_json_raw(c->doc, node));
            kept++;
        } else {
            weir_loss(c->tr, "request", "stop");
        }
        node = c->doc->nodes[node].next;
    }
    jo_close(c->out, ']');
    if (kept == 0) {
        jo_rewind(c->out, start);
    }
    return WEIR_OK;
}

/* Anthropic takes no sampling options beside thinking. */
static void write_sampling(const weir_tctx_t *c)
{
    static const char *const names[] = {"temperature", "top_p", "top_k"};
    double value;
    uint32_t effort = weir_member(c->doc, 0, "reasoning_effort");
    bool thinks = effort != WEIR_JSON_NONE && !weir_json_string_is(c->doc, effort, "none");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        uint32_t node = weir_member(c->doc, 0, names[i]);
        if (node == WEIR_JSON_NONE) {
            continue;
        }
        if (c->tr->options.no_sampling || thinks) {
            weir_loss(c->tr, "request", names[i]);
        } else if (i == 0 && weir_json_double(c->doc, node, &value) && value > 1) {
            weir_loss(c->tr, "request", names[i]);
            jo_kz(c->out, names[i], "1");
        } else {
            weir_copy_as(c, 0, names[i], names[i]);
        }
    }
}

/* The schema node of response_format, or NONE. */
static weir_status_t read_format(const weir_tctx_t *c, uint32_t *schema)
{
    weir_status_t s;
    uint32_t inner;
    weir_tpath_t at = {NULL, "response_format", -1};
    weir_tpath_t here = {&at, "json_schema", -1};
    uint32_t format = weir_member(c->doc, 0, "response_format");
    *schema = WEIR_JSON_NONE;
    if (format == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    uint32_t type = weir_member(c->doc, format, "type");
    if (weir_kind_of(c, type, &weir_c_response_format, &at, &s) == NULL ||
        (s = weir_check_members(c, format, &weir_c_json_schema_format, &at)) != WEIR_OK ||
        !weir_json_string_is(c->doc, type, "json_schema")) {
        return s;
    }
    if ((s = weir_need(c, format, "json_schema", WEIR_JSON_OBJECT, &at, &inner)) != WEIR_OK ||
        (s = weir_check_members(c, inner, &weir_c_json_schema, &here)) != WEIR_OK) {
        return s;
    }
    return weir_need(c, inner, "schema", WEIR_JSON_OBJECT, &here, schema);
}

/* budget_tokens for an effort: Anthropic wants at least 1024, and less than max_tokens. */
static int64_t budget_of(const weir_tctx_t *c, uint32_t effort, int64_t max_tokens)
{
    int64_t budget =
        weir_json_string_is(c->doc, effort, "low") || weir_json_string_is(c->doc, effort, "minimal")
            ? 2048
        : weir_json_string_is(c->doc, effort, "medium") ? 8192
                                                        : 24576;
    return budget < max_tokens ? budget : max_tokens - 1;
}

/* thinking and output_config. */
static weir_status_t write_effort(const weir_tctx_t *c, int64_t max_tokens)
{
    uint32_t schema;
    weir_status_t s = read_format(c, &schema);
    uint32_t effort = weir_member(c->doc, 0, "reasoning_effort");
    if (s != WEIR_OK) {
        return s;
    }
    if (effort != WEIR_JSON_NONE && !weir_is(c->doc, effort, WEIR_JSON_STRING)) {
        return weir_malformed(c, NULL, "reasoning_effort", "must be a string");
    }
    bool none = weir_json_string_is(c->doc, effort, "none");
    bool budget = c->tr->options.thinking == WEIR_THINKING_BUDGET;
    bool adaptive = effort != WEIR_JSON_NONE && !none && !budget;
    if (none) {
        jo_kz(c->out, "thinking", "{\"type\":\"disabled\"}");
    } else if (adaptive) {
        jo_kz(c->out, "thinking", "{\"type\":\"adaptive\"}");
    } else if (effort != WEIR_JSON_NONE) {
        int64_t tokens = budget_of(c, effort, max_tokens);
        weir_loss(c->tr, "request", "reasoning_effort");
        if (tokens >= 1024) {
            jo_kopen(c->out, "thinking", '{');
            jo_kz(c->out, "type", "\"enabled\"");
            jo_kint(c->out, "budget_tokens", tokens);
            jo_close(c->out, '}');
        }
    }
    if (!adaptive && schema == WEIR_JSON_NONE) {
        return WEIR_OK;
    }
    jo_kopen(c->out, "output_config", '{');
    if (adaptive) {
        bool minimal = weir_json_string_is(c->doc, effort, "minimal");
        jo_kraw(c->out, "effort", minimal ? WEIR_STR("\"low\"") : weir_json_raw(c->doc, effort));
    }
    if (schema != WEIR_JSON_NONE) {
        jo_kopen(c->out, "format", '{');
        jo_kz(c->out, "type", "\"json_schema\"");
        jo_kraw(c->out, "schema", weir_json_raw(c->doc, schema));
        jo_close(c->out, '}');
    }
    jo_close(c->out, '}');
    return WEIR_OK;
}

/* Members whose values decide whether they can be served. */
static weir_status_t check_values(const weir_tctx_t *c)
{
    int64_t n;
    uint32_t node = weir_member(c->doc, 0, "n");
    if (node != WEIR_JSON_NONE && (!weir_json_int64(c->doc, node, &n) || n != 1)) {
        return weir_refuse(c, NULL, "n", "must be 1: the upstream gives one answer a request");
    }
    node = weir_member(c->doc, 0, "modalities");
    if (weir_is(c->doc, node, WEIR_JSON_ARRAY)) {
        uint32_t element = node + 1;
        for (uint32_t i = 0; i < c->doc->nodes[node].size; i++) {
            if (!weir_json_string_is(c->doc, element, "text")) {
                return weir_refuse(c, NULL, "modalities", "the upstream answers in text only");
            }
            element = c->doc->nodes[element].next;
        }
    }
    node = weir_member(c->doc, 0, "stream_options");
    if (node != WEIR_JSON_NONE) {
        weir_tpath_t at = {NULL, "stream_options", -1};
        return weir_check_members(c, node, &weir_c_stream_options, &at);
    }
    return WEIR_OK;
}

static void write_user(const weir_tctx_t *c)
{
    uint32_t user = weir_member(c->doc, 0, "safety_identifier");
    uint32_t tier = weir_member(c->doc, 0, "service_tier");
    if (!weir_has_text(c->doc, user)) {
        user = weir_member(c->doc, 0, "user");
    }
    if (weir_has_text(c->doc, user)) {
        jo_kopen(c->out, "metadata", '{');
        jo_kraw(c->out, "user_id", weir_json_raw(c->doc, user));
        jo_close(c->out, '}');
    }
    if (weir_json_string_is(c->doc, tier, "default")) {
        jo_kz(c->out, "service_tier", "\"standard_only\"");
    } else if (weir_json_string_is(c->doc, tier, "auto")) {
        jo_kz(c->out, "service_tier", "\"auto\"");
    } else if (tier != WEIR_JSON_NONE) {
        weir_loss(c->tr, "request", "service_tier");
    }
}

weir_status_t weir_chat_options(const weir_tctx_t *c)
{
    int64_t max_tokens;
    weir_status_t s = check_values(c);
    if (s != WEIR_OK || (s = read_max_tokens(c, &max_tokens)) != WEIR_OK ||
        (s = write_effort(c, max_tokens)) != WEIR_OK) {
        return s;
    }
    if (c->tr->asked_count) {
        return WEIR_OK;
    }
    if ((s = write_stop(c)) != WEIR_OK) {
        return s;
    }
    jo_kint(c->out, "max_tokens", max_tokens);
    write_sampling(c);
    write_user(c);
    if (c->tr->stream) {
        jo_kz(c->out, "stream", "true");
    }
    return WEIR_OK;
}
