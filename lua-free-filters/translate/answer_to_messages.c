/* A whole answer of chat completions as one of Anthropic's messages API. */
#include "lua-free-filters/translate/translation.h"

static void thinking_block(const weir_tctx_t *c, uint32_t message)
{
    uint32_t text = weir_reasoning_of(c->doc, message);
    if (text == WEIR_JSON_NONE) {
        return;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"thinking\"");
    jo_kraw(c->out, "thinking", weir_json_raw(c->doc, text));
    jo_kz(c->out, "signature", "\"\"");
    jo_close(c->out, '}');
}

static void text_block(const weir_tctx_t *c, uint32_t text)
{
    if (!weir_has_text(c->doc, text)) {
        return;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"text\"");
    jo_kraw(c->out, "text", weir_json_raw(c->doc, text));
    jo_close(c->out, '}');
}

/* content is a string; some servers send parts. */
static void text_blocks(const weir_tctx_t *c, uint32_t content)
{
    if (!weir_is(c->doc, content, WEIR_JSON_ARRAY)) {
        text_block(c, content);
        return;
    }
    uint32_t part = content + 1;
    for (uint32_t i = 0; i < c->doc->nodes[content].size; i++) {
        text_block(c, weir_member(c->doc, part, "text"));
        part = c->doc->nodes[part].next;
    }
}

static void tool_block(const weir_tctx_t *c, uint32_t call)
{
    weir_str_t input;
    uint32_t function = weir_member(c->doc, call, "function");
    uint32_t id = weir_member(c->doc, call, "id");
    uint32_t name = weir_member(c->doc, function, "name");
    uint32_t arguments = weir_member(c->doc, function, "arguments");
    if (!weir_is(c->doc, name, WEIR_JSON_STRING)) {
        weir_loss(c->tr, "answer.choices.message", "tool_calls");
        return;
    }
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"tool_use\"");
    jo_key(c->out, "id");
    if (weir_has_text(c->doc, id)) {
        weir_buf_append_str(c->out, weir_json_raw(c->doc, id));
    } else {
        weir_write_id(c, WEIR_JSON_NONE, "toolu_");
    }
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    if (weir_is(c->doc, arguments, WEIR_JSON_OBJECT)) {
        jo_kraw(c->out, "input", weir_json_raw(c->doc, arguments));
    } else if (weir_arguments_object(c, weir_text_of(c, arguments), &input)) {
        jo_kraw(c->out, "input", input);
    } else {
        weir_loss(c->tr, "answer.choices.message", "tool_calls");
        jo_kopen(c->out, "input", '{');
        jo_kraw(c->out, "invalid_arguments", weir_json_raw(c->doc, arguments));
        jo_close(c->out, '}');
    }
    jo_close(c->out, '}');
}

static bool tool_blocks(const weir_tctx_t *c, uint32_t message)
{
    uint32_t calls = weir_member(c->doc, message, "tool_calls");
    if (!weir_is(c->doc, calls, WEIR_JSON_ARRAY) || c->doc->nodes[calls].size == 0) {
        return false;
    }
    uint32_t call = calls + 1;
    for (uint32_t i = 0; i < c->doc->nodes[calls].size; i++) {
        tool_block(c, call);
        call = c->doc->nodes[call].next;
    }
    return true;
}

weir_status_t weir_answer_to_messages(weir_tctx_t *c)
{
    const weir_json_doc_t *doc = c->doc;
    weir_tokens_t tokens = {0};
    uint32_t choices = weir_member(doc, 0, "choices");
    uint32_t choice = weir_json_at(doc, choices, 0);
    uint32_t message = weir_member(doc, choice, "message");
    if (!weir_is(doc, message, WEIR_JSON_OBJECT)) {
        return weir_error(c->err, WEIR_ERR_INVALID,
                          "the upstream's answer is no chat completion: choices[0].message is "
                          "missing");
    }
    weir_note_members(c, 0, &weir_ca_answer);
    weir_note_members(c, choice, &weir_ca_choice);
    weir_note_members(c, message, &weir_ca_message);
    jo_open(c->out, '{');
    jo_key(c->out, "id");
    weir_write_id(c, weir_member(doc, 0, "id"), "msg_");
    jo_kz(c->out, "type", "\"message\"");
    jo_kz(c->out, "role", "\"assistant\"");
    jo_kraw(c->out, "model", weir_model_of(c, weir_member(doc, 0, "model")));
    jo_kopen(c->out, "content", '[');
    uint32_t refusal = weir_member(doc, message, "refusal");
    thinking_block(c, message);
    text_blocks(c, weir_member(doc, message, "content"));
    text_block(c, refusal);
    bool tools = tool_blocks(c, message);
    jo_close(c->out, ']');
    uint32_t sequence = weir_member(doc, choice, "stop_reason");
    bool stopped = weir_is(doc, sequence, WEIR_JSON_STRING);
    const char *reason = weir_stop_reason_of(doc, weir_member(doc, choice, "finish_reason"), tools);
    if (weir_has_text(doc, refusal)) {
        reason = "\"refusal\"";
    } else if (stopped && strcmp(reason, "\"end_turn\"") == 0) {
        reason = "\"stop_sequence\"";
    }
    jo_kz(c->out, "stop_reason", reason);
    jo_kraw(c->out, "stop_sequence",
            strcmp(reason, "\"stop_sequence\"") == 0 ? weir_json_raw(doc, sequence)
                                                     : WEIR_STR("null"));
    if (!weir_tokens_read(&tokens, doc, weir_member(doc, 0, "usage"))) {
        weir_loss(c->tr, "answer", "usage");
    }
    jo_key(c->out, "usage");
    weir_write_usage(WEIR_PROTOCOL_MESSAGES, &tokens, c->out);
    jo_close(c->out, '}');
    return WEIR_OK;
}
