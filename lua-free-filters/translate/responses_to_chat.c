/* A request of OpenAI's responses API as one of chat completions: the input items. */
#include "lua-free-filters/translate/responses_to_chat.h"

/* Items that make one assistant message: reasoning, a message, calls. */
typedef struct {
    uint32_t first; /* node of the first item */
    uint32_t n;     /* items */
    uint32_t reasoning;
    uint32_t messages;
    uint32_t calls;
} run_t;

static bool is_type(const weir_tctx_t *c, uint32_t item, const char *type)
{
    return weir_json_string_is(c->doc, weir_member(c->doc, item, "type"), type);
}

/* An item without a type but with a role is a message. */
static bool is_message(const weir_tctx_t *c, uint32_t item)
{
    uint32_t type = weir_member(c->doc, item, "type");
    return type == WEIR_JSON_NONE ? weir_member(c->doc, item, "role") != WEIR_JSON_NONE
                                  : weir_json_string_is(c->doc, type, "message");
}

static bool is_assistant(const weir_tctx_t *c, uint32_t item)
{
    return is_message(c, item) &&
           weir_json_string_is(c->doc, weir_member(c->doc, item, "role"), "assistant");
}

static bool is_call(const weir_tctx_t *c, uint32_t item)
{
    return is_type(c, item, "function_call") || is_type(c, item, "custom_tool_call");
}

static weir_status_t image_part(const weir_tctx_t *c, uint32_t part, const weir_tpath_t *at)
{
    uint32_t url;
    weir_status_t s = weir_check_members(c, part, &weir_r_image, at);
    if (s != WEIR_OK ||
        (s = weir_need(c, part, "image_url", WEIR_JSON_STRING, at, &url)) != WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"image_url\"");
    jo_kopen(c->out, "image_url", '{');
    jo_kraw(c->out, "url", weir_json_raw(c->doc, url));
    weir_copy_as(c, part, "detail", "detail");
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

static weir_status_t file_part(const weir_tctx_t *c, uint32_t part, const weir_tpath_t *at)
{
    uint32_t data;
    weir_status_t s = weir_check_members(c, part, &weir_r_file, at);
    if (s != WEIR_OK ||
        (s = weir_need(c, part, "file_data", WEIR_JSON_STRING, at, &data)) != WEIR_OK) {
        return s;
    }
    weir_loss(c->tr, "content", "input_file");
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"file\"");
    jo_kopen(c->out, "file", '{');
    weir_copy_as(c, part, "filename", "filename");
    jo_kraw(c->out, "file_data", weir_json_raw(c->doc, data));
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

/* The string node of a text-like part, NONE for others; checks the part. */
static weir_status_t part_text(const weir_tctx_t *c, uint32_t part, const weir_tpath_t *at,
                               uint32_t *text)
{
    weir_status_t s;
    uint32_t type = weir_member(c->doc, part, "type");
    *text = WEIR_JSON_NONE;
    if (weir_kind_of(c, type, &weir_r_content, at, &s) == NULL) {
        return s;
    }
    if (weir_json_string_is(c->doc, type, "refusal")) {
        return weir_need(c, part, "refusal", WEIR_JSON_STRING, at, text);
    }
    if (weir_json_string_is(c->doc, type, "input_image") ||
        weir_json_string_is(c->doc, type, "input_file")) {
        return WEIR_OK;
    }
    s = weir_check_members(c, part, &weir_r_output_text, at);
    return s == WEIR_OK ? weir_need(c, part, "text", WEIR_JSON_STRING, at, text) : s;
}

/* Parts that are not text. */
static weir_status_t other_part(const weir_tctx_t *c, uint32_t part, const weir_tpath_t *at)
{
    return is_type(c, part, "input_image") ? image_part(c, part, at) : file_part(c, part, at);
}

static void text_part(const weir_tctx_t *c, uint32_t text)
{
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"text\"");
    jo_kraw(c->out, "text", weir_json_raw(c->doc, text));
    jo_close(c->out, '}');
}

/* content of a user or system message: a string, or parts; one text becomes a string. */
static weir_status_t write_content(const weir_tctx_t *c, uint32_t content, const weir_tpath_t *at)
{
    if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
        jo_kraw(c->out, "content", weir_json_raw(c->doc, content));
        return WEIR_OK;
    }
    if (!weir_is(c->doc, content, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, at, "content", "must be a string or an array of parts");
    }
    size_t mark = c->out->len;
    uint32_t n = c->doc->nodes[content].size;
    uint32_t part = content + 1;
    uint32_t text = WEIR_JSON_NONE;
    jo_kopen(c->out, "content", '[');
    for (uint32_t i = 0; i < n; i++) {
        weir_tpath_t here = {at, "content", i};
        weir_status_t s = part_text(c, part, &here, &text);
        if (s == WEIR_OK && text != WEIR_JSON_NONE) {
            text_part(c, text);
        } else if (s == WEIR_OK) {
            s = other_part(c, part, &here);
        }
        if (s != WEIR_OK) {
            return s;
        }
        part = c->doc->nodes[part].next;
    }
    jo_close(c->out, ']');
    if (n == 1 && text != WEIR_JSON_NONE) {
        jo_rewind(c->out, mark);
        jo_kraw(c->out, "content", weir_json_raw(c->doc, text));
    }
    return WEIR_OK;
}

static weir_status_t plain_message(const weir_tctx_t *c, uint32_t item, const weir_tpath_t *at)
{
    uint32_t role;
    weir_status_t s = weir_check_members(c, item, &weir_r_message, at);
    if (s != WEIR_OK || (s = weir_need(c, item, "role", WEIR_JSON_STRING, at, &role)) != WEIR_OK) {
        return s;
    }
    bool user = weir_json_string_is(c->doc, role, "user");
    if (!user && !weir_json_string_is(c->doc, role, "system") &&
        !weir_json_string_is(c->doc, role, "developer")) {
        return weir_malformed(c, at, "role", "must be user, assistant, system or developer");
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "role", user ? "\"user\"" : "\"system\"");
    s = write_content(c, weir_member(c->doc, item, "content"), at);
    jo_close(c->out, '}');
    return s;
}

/* --- results of calls --- */

/* The texts of an output list as one string; *others: parts that are no text. */
static weir_status_t output_text(const weir_tctx_t *c, uint32_t output, const weir_tpath_t *at,
                                 uint32_t *others)
{
    uint32_t part = output + 1;
    bool first = true;
    *others = 0;
    jo_begin_string(c->out);
    for (uint32_t i = 0; i < c->doc->nodes[output].size; i++) {
        uint32_t text;
        weir_tpath_t here = {at, "output", i};
        weir_status_t s = part_text(c, part, &here, &text);
        if (s != WEIR_OK) {
            return s;
        }
        if (text != WEIR_JSON_NONE) {
            weir_buf_append_z(c->out, first ? "" : "\\n");
            weir_buf_append_str(c->out, jo_inner(c->doc, text));
            first = false;
        } else {
            ++*others;
        }
        part = c->doc->nodes[part].next;
    }
    jo_end_string(c->out);
    return WEIR_OK;
}

/* A user message with what a tool message cannot hold. */
static weir_status_t output_extras(const weir_tctx_t *c, uint32_t output, uint32_t call_id,
                                   const weir_tpath_t *at)
{
    weir_status_t s = WEIR_OK;
    uint32_t part = output + 1;
    weir_loss(c->tr, "input.function_call_output", "output");
    jo_open(c->out, '{');
    jo_kz(c->out, "role", "\"user\"");
    jo_kopen(c->out, "content", '[');
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"text\"");
    jo_key(c->out, "text");
    jo_begin_string(c->out);
    weir_buf_append_z(c->out, "From the result of tool call ");
    weir_buf_append_str(c->out, jo_inner(c->doc, call_id));
    weir_buf_append_z(c->out, ":");
    jo_end_string(c->out);
    jo_close(c->out, '}');
    for (uint32_t i = 0; s == WEIR_OK && i < c->doc->nodes[output].size; i++) {
        weir_tpath_t here = {at, "output", i};
        if (is_type(c, part, "input_image") || is_type(c, part, "input_file")) {
            s = other_part(c, part, &here);
        }
        part = c->doc->nodes[part].next;
    }
    jo_close(c->out, ']');
    jo_close(c->out, '}');
    return s;
}

static weir_status_t call_output(const weir_tctx_t *c, uint32_t item, const weir_tpath_t *at)
{
    uint32_t id;
    uint32_t others = 0;
    weir_status_t s = weir_check_members(c, item, &weir_r_call_output, at);
    if (s != WEIR_OK || (s = weir_need(c, item, "call_id", WEIR_JSON_STRING, at, &id)) != WEIR_OK) {
        return s;
    }
    uint32_t output = weir_member(c->doc, item, "output");
    jo_open(c->out, '{');
    jo_kz(c->out, "role", "\"tool\"");
    jo_kraw(c->out, "tool_call_id", weir_json_raw(c->doc, id));
    jo_key(c->out, "content");
    if (weir_is(c->doc, output, WEIR_JSON_STRING)) {
        weir_buf_append_str(c->out, weir_json_raw(c->doc, output));
    } else if (weir_is(c->doc, output, WEIR_JSON_ARRAY)) {
        s = output_text(c, output, at, &others);
    } else {
        s = weir_malformed(c, at, "output", "must be a string or an array of parts");
    }
    jo_close(c->out, '}');
    return s == WEIR_OK && others > 0 ? output_extras(c, output, id, at) : s;
}

/* --- an assistant's turn --- */

/* Whether the item belongs to the run that has been collected so far. */
static bool joins(const weir_tctx_t *c, const run_t *run, uint32_t item)
{
    if (is_call(c, item)) {
        return true;
    }
    if (is_type(c, item, "reasoning")) {
        return run->messages == 0 && run->calls == 0;
    }
    return is_assistant(c, item) && run->messages == 0 && run->calls == 0;
}

static weir_status_t assistant_text(const weir_tctx_t *c, uint32_t item, const weir_tpath_t *at)
{
    uint32_t content = weir_member(c->doc, item, "content");
    weir_status_t s = weir_check_members(c, item, &weir_r_message, at);
    if (s != WEIR_OK) {
        return s;
    }
    if (weir_is(c->doc, content, WEIR_JSON_STRING)) {
        weir_buf_append_str(c->out, jo_inner(c->doc, content));
        return WEIR_OK;
    }
    if (!weir_is(c->doc, content, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, at, "content", "must be a string or an array of parts");
    }
    uint32_t part = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        uint32_t text;
        weir_tpath_t here = {at, "content", i};
        if ((s = part_text(c, part, &here, &text)) != WEIR_OK) {
            return s;
        }
        if (text == WEIR_JSON_NONE) {
            return weir_malformed(c, &here, NULL, "an assistant message holds text only");
        }
        weir_buf_append_str(c->out, jo_inner(c->doc, text));
        part = c->doc->nodes[part].next;
    }
    return WEIR_OK;
}

static weir_status_t reasoning_text(const weir_tctx_t *c, uint32_t item, const weir_tpath_t *at)
{
    weir_status_t s = weir_check_members(c, item, &weir_r_reasoning_item, at);
    uint32_t list = weir_member(c->doc, item, "content");
    if (!weir_is(c->doc, list, WEIR_JSON_ARRAY) || c->doc->nodes[list].size == 0) {
        list = weir_member(c->doc, item, "summary");
    }
    if (s != WEIR_OK || !weir_is(c->doc, list, WEIR_JSON_ARRAY)) {
        return s;
    }
    uint32_t part = list + 1;
    for (uint32_t i = 0; i < c->doc->nodes[list].size; i++) {
        uint32_t text = weir_member(c->doc, part, "text");
        if (weir_is(c->doc, text, WEIR_JSON_STRING)) {
            weir_buf_append_str(c->out, jo_inner(c->doc, text));
        }
        part = c->doc->nodes[part].next;
    }
    return WEIR_OK;
}

static weir_status_t write_call(const weir_tctx_t *c, uint32_t item, const weir_tpath_t *at)
{
    uint32_t id;
    uint32_t name;
    uint32_t text;
    bool custom = is_type(c, item, "custom_tool_call");
    weir_status_t s = weir_check_members(c, item, custom ? &weir_r_custom_call : &weir_r_call, at);
    if (s != WEIR_OK || (s = weir_need(c, item, "call_id", WEIR_JSON_STRING, at, &id)) != WEIR_OK ||
        (s = weir_need(c, item, "name", WEIR_JSON_STRING, at, &name)) != WEIR_OK ||
        (s = weir_need(c, item, custom ? "input" : "arguments", WEIR_JSON_STRING, at, &text)) !=
            WEIR_OK) {
        return s;
    }
    jo_open(c->out, '{');
    jo_kraw(c->out, "id", weir_json_raw(c->doc, id));
    jo_kz(c->out, "type", "\"function\"");
    jo_kopen(c->out, "function", '{');
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    if (custom) {
        weir_buf_t inner;
        weir_buf_init(&inner, c->arena);
        jo_open(&inner, '{');
        jo_kraw(&inner, "input", weir_json_raw(c->doc, text));
        jo_close(&inner, '}');
        jo_kstring(c->out, "arguments", weir_str(inner.data, inner.len));
    } else {
        jo_kraw(c->out, "arguments", weir_json_raw(c->doc, text));
    }
    jo_close(c->out, '}');
    jo_close(c->out, '}');
    return WEIR_OK;
}

typedef weir_status_t (*item_pt)(const weir_tctx_t *c, uint32_t item, const weir_tpath_t *at);
typedef bool (*test_pt)(const weir_tctx_t *c, uint32_t item);

static bool is_reasoning(const weir_tctx_t *c, uint32_t item)
{
    return is_type(c, item, "reasoning");
}

static weir_status_t each(const weir_tctx_t *c, const run_t *run, uint32_t index, test_pt test,
                          item_pt write)
{
    uint32_t item = run->first;
    for (uint32_t i = 0; i < run->n; i++) {
        weir_tpath_t here = {NULL, "input", (int64_t)index + i};
        if (test(c, item)) {
            weir_status_t s = write(c, item, &here);
            if (s != WEIR_OK) {
                return s;
            }
        }
        item = c->doc->nodes[item].next;
    }
    return WEIR_OK;
}

/* Writes the run as one message; index: of its first item. */
static weir_status_t assistant_message(const weir_tctx_t *c, const run_t *run, uint32_t index)
{
    weir_status_t s = WEIR_OK;
    if (run->messages == 0 && run->calls == 0) {
        weir_loss(c->tr, "input", "reasoning");
        return WEIR_OK;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "role", "\"assistant\"");
    if (run->messages > 0) {
        jo_key(c->out, "content");
        jo_begin_string(c->out);
        s = each(c, run, index, is_assistant, assistant_text);
        jo_end_string(c->out);
    } else {
        jo_kz(c->out, "content", "null");
    }
    if (s == WEIR_OK && run->reasoning > 0) {
        if (c->tr->options.strict_openai) {
            weir_loss(c->tr, "input", "reasoning");
        } else {
            jo_key(c->out, "reasoning_content");
            jo_begin_string(c->out);
            s = each(c, run, index, is_reasoning, reasoning_text);
            jo_end_string(c->out);
        }
    }
    if (s == WEIR_OK && run->calls > 0) {
        jo_kopen(c->out, "tool_calls", '[');
        s = each(c, run, index, is_call, write_call);
        jo_close(c->out, ']');
    }
    jo_close(c->out, '}');
    return s;
}

/* Collects the items from node on that make one assistant message. */
static run_t collect(const weir_tctx_t *c, uint32_t node, uint32_t left)
{
    run_t run = {.first = node};
    while (run.n < left && joins(c, &run, node)) {
        run.reasoning += is_reasoning(c, node);
        run.messages += is_assistant(c, node);
        run.calls += is_call(c, node);
        run.n++;
        node = c->doc->nodes[node].next;
    }
    return run;
}

static weir_status_t other_item(const weir_tctx_t *c, uint32_t item, const weir_tpath_t *at)
{
    weir_status_t s;
    if (is_message(c, item)) {
        return plain_message(c, item, at);
    }
    if (weir_kind_of(c, weir_member(c->doc, item, "type"), &weir_r_input, at, &s) == NULL) {
        return s;
    }
    return call_output(c, item, at);
}

weir_status_t weir_responses_input(const weir_tctx_t *c)
{
    uint32_t input = weir_member(c->doc, 0, "input");
    weir_status_t s = WEIR_OK;
    if (weir_is(c->doc, input, WEIR_JSON_STRING)) {
        jo_open(c->out, '{');
        jo_kz(c->out, "role", "\"user\"");
        jo_kraw(c->out, "content", weir_json_raw(c->doc, input));
        jo_close(c->out, '}');
        return WEIR_OK;
    }
    if (!weir_is(c->doc, input, WEIR_JSON_ARRAY)) {
        return weir_malformed(c, NULL, "input", "must be a string or an array of items");
    }
    uint32_t n = c->doc->nodes[input].size;
    uint32_t item = input + 1;
    for (uint32_t i = 0; s == WEIR_OK && i < n;) {
        run_t run = collect(c, item, n - i);
        if (run.n > 0) {
            s = assistant_message(c, &run, i);
            for (uint32_t k = 0; k < run.n; k++) {
                item = c->doc->nodes[item].next;
            }
            i += run.n;
            continue;
        }
        weir_tpath_t here = {NULL, "input", i};
        s = other_item(c, item, &here);
        item = c->doc->nodes[item].next;
        i++;
    }
    return s;
}
