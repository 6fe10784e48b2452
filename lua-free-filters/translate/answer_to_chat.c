/* A whole answer of Anthropic's messages API as one of chat completions. */
#include "lua-free-filters/translate/translation.h"

static bool is_block(const weir_tctx_t *c, uint32_t block, const char *type)
{
    return weir_json_string_is(c->doc, weir_member(c->doc, block, "type"), type);
}

/* The joined texts of blocks of a type (whose member has the same name), as a string; or null. */
static void joined(const weir_tctx_t *c, uint32_t content, const char *type, const char *key,
                   bool or_null)
{
    size_t start = c->out->len;
    uint32_t block = content + 1;
    jo_key(c->out, key);
    jo_begin_string(c->out);
    size_t mark = c->out->len;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        uint32_t text = weir_member(c->doc, block, type);
        if (is_block(c, block, type) && weir_is(c->doc, text, WEIR_JSON_STRING)) {
            weir_buf_append_str(c->out, jo_inner(c->doc, text));
        }
        block = c->doc->nodes[block].next;
    }
    if (c->out->len > mark) {
        jo_end_string(c->out);
        return;
    }
    jo_rewind(c->out, start);
    if (or_null) {
        jo_kz(c->out, key, "null");
    }
}

static uint32_t count(const weir_tctx_t *c, uint32_t content, const char *type)
{
    uint32_t n = 0;
    uint32_t block = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        n += is_block(c, block, type);
        block = c->doc->nodes[block].next;
    }
    return n;
}

static void thinking_blocks(const weir_tctx_t *c, uint32_t content)
{
    uint32_t block = content + 1;
    if (c->tr->options.no_thinking_blocks ||
        count(c, content, "thinking") + count(c, content, "redacted_thinking") == 0) {
        return;
    }
    jo_kopen(c->out, "thinking_blocks", '[');
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        if (is_block(c, block, "thinking") || is_block(c, block, "redacted_thinking")) {
            jo_raw(c->out, weir_json_raw(c->doc, block));
        }
        block = c->doc->nodes[block].next;
    }
    jo_close(c->out, ']');
}

static void tool_call(const weir_tctx_t *c, uint32_t block)
{
    uint32_t id = weir_member(c->doc, block, "id");
    uint32_t name = weir_member(c->doc, block, "name");
    uint32_t input = weir_member(c->doc, block, "input");
    weir_str_t empty = WEIR_STR("\"\"");
    jo_open(c->out, '{');
    jo_kraw(c->out, "id",
            weir_is(c->doc, id, WEIR_JSON_STRING) ? weir_json_raw(c->doc, id) : empty);
    jo_kz(c->out, "type", "\"function\"");
    jo_kopen(c->out, "function", '{');
    jo_kraw(c->out, "name",
            weir_is(c->doc, name, WEIR_JSON_STRING) ? weir_json_raw(c->doc, name) : empty);
    jo_kstring(c->out, "arguments",
               input == WEIR_JSON_NONE ? WEIR_STR("{}") : weir_json_raw(c->doc, input));
    jo_close(c->out, '}');
    jo_close(c->out, '}');
}

static void tool_calls(const weir_tctx_t *c, uint32_t content)
{
    uint32_t block = content + 1;
    if (count(c, content, "tool_use") == 0) {
        return;
    }
    jo_kopen(c->out, "tool_calls", '[');
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        if (is_block(c, block, "tool_use")) {
            tool_call(c, block);
        }
        block = c->doc->nodes[block].next;
    }
    jo_close(c->out, ']');
}

/* Counts blocks and members that have no place. */
static void note_blocks(const weir_tctx_t *c, uint32_t content)
{
    uint32_t block = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        uint32_t type = weir_member(c->doc, block, "type");
        bool known = false;
        for (uint32_t k = 0; k < weir_ma_content.n; k++) {
            if (weir_json_string_is(c->doc, type, weir_ma_content.rows[k].name)) {
                known = true;
                if (weir_ma_content.rows[k].fate == WEIR_FATE_DROPPED) {
                    weir_loss(c->tr, weir_ma_content.name, weir_ma_content.rows[k].name);
                }
            }
        }
        if (!known) {
            weir_loss(c->tr, weir_ma_content.name, "(unknown)");
        }
        if (is_block(c, block, "text")) {
            weir_note_members(c, block, &weir_ma_text);
        }
        block = c->doc->nodes[block].next;
    }
}

static void write_message(const weir_tctx_t *c, uint32_t content)
{
    const char *field = c->tr->options.reasoning_field;
    uint32_t details = weir_member(c->doc, 0, "stop_details");
    uint32_t explanation = weir_member(c->doc, details, "explanation");
    jo_kopen(c->out, "message", '{');
    jo_kz(c->out, "role", "\"assistant\"");
    joined(c, content, "text", "content", true);
    jo_kraw(c->out, "refusal",
            weir_has_text(c->doc, explanation) ? weir_json_raw(c->doc, explanation)
                                               : WEIR_STR("null"));
    joined(c, content, "thinking", field != NULL ? field : "reasoning_content", false);
    thinking_blocks(c, content);
    tool_calls(c, content);
    jo_close(c->out, '}');
}

weir_status_t weir_answer_to_chat(weir_tctx_t *c)
{
    const weir_json_doc_t *doc = c->doc;
    weir_tokens_t tokens = {0};
    uint32_t content = weir_member(doc, 0, "content");
    if (!weir_json_string_is(doc, weir_member(doc, 0, "type"), "message") ||
        !weir_is(doc, content, WEIR_JSON_ARRAY)) {
        return weir_error(c->err, WEIR_ERR_INVALID,
                          "the upstream's answer is no Anthropic message: content is missing");
    }
    note_blocks(c, content);
    jo_open(c->out, '{');
    jo_key(c->out, "id");
    weir_write_id(c, weir_member(doc, 0, "id"), "chatcmpl-");
    jo_kz(c->out, "object", "\"chat.completion\"");
    jo_kint(c->out, "created", c->tr->options.now);
    jo_kraw(c->out, "model", weir_model_of(c, weir_member(doc, 0, "model")));
    jo_kopen(c->out, "choices", '[');
    jo_open(c->out, '{');
    jo_kint(c->out, "index", 0);
    write_message(c, content);
    jo_kz(c->out, "logprobs", "null");
    jo_kz(c->out, "finish_reason", weir_finish_reason_of(doc, weir_member(doc, 0, "stop_reason")));
    uint32_t sequence = weir_member(doc, 0, "stop_sequence");
    if (weir_is(doc, sequence, WEIR_JSON_STRING)) {
        jo_kraw(c->out, "stop_reason", weir_json_raw(doc, sequence));
    }
    jo_close(c->out, '}');
    jo_close(c->out, ']');
    if (weir_tokens_read(&tokens, doc, weir_member(doc, 0, "usage"))) {
        jo_key(c->out, "usage");
        weir_write_usage(WEIR_PROTOCOL_CHAT, &tokens, c->out);
    } else {
        weir_loss(c->tr, "answer", "usage");
    }
    jo_close(c->out, '}');
    return WEIR_OK;
}
