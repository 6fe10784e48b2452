/* A whole answer of chat completions as one of OpenAI's responses API. */
#include "lua-free-filters/translate/response_out.h"

void weir_response_begin(const weir_translation_t *tr, const weir_response_t *r, weir_buf_t *out)
{
    jo_open(out, '{');
    jo_kraw(out, "id", r->id);
    jo_kz(out, "object", "\"response\"");
    jo_kint(out, "created_at", r->created);
    jo_kz(out, "status", r->status);
    jo_kz(out, "error", "null");
    jo_key(out, "incomplete_details");
    if (r->incomplete != NULL) {
        jo_open(out, '{');
        jo_kz(out, "reason", r->incomplete);
        jo_close(out, '}');
    } else {
        weir_buf_append_z(out, "null");
    }
    jo_kraw(out, "model", r->model);
    if (tr->echo.len > 0) {
        jo_raw(out, tr->echo);
    }
    jo_kraw(out, "service_tier", r->service_tier.len > 0 ? r->service_tier : WEIR_STR("null"));
    jo_key(out, "usage");
    if (r->tokens != NULL) {
        weir_write_usage(WEIR_PROTOCOL_RESPONSES, r->tokens, out);
    } else {
        weir_buf_append_z(out, "null");
    }
}

void weir_response_status(const weir_json_doc_t *doc, uint32_t finish, weir_response_t *r)
{
    bool length = weir_json_string_is(doc, finish, "length");
    bool filtered = weir_json_string_is(doc, finish, "content_filter");
    r->status = length || filtered ? "\"incomplete\"" : "\"completed\"";
    r->incomplete = length ? "\"max_output_tokens\"" : filtered ? "\"content_filter\"" : NULL;
}

void weir_item_id(weir_str_t response_id, const char *prefix, uint32_t index, weir_buf_t *out)
{
    static const char resp[] = "\"resp_";
    weir_str_t id = response_id;
    size_t skip = id.len > sizeof(resp) && memcmp(id.data, resp, sizeof(resp) - 1) == 0
                      ? sizeof(resp) - 1
                      : 1;
    jo_begin_string(out);
    weir_buf_append_z(out, prefix);
    weir_buf_append(out, id.data + skip, id.len - skip - 1);
    weir_buf_append_char(out, '_');
    weir_json_write_int64(out, index);
    jo_end_string(out);
}

void weir_write_logprobs(const weir_json_doc_t *doc, uint32_t logprobs, weir_buf_t *out)
{
    uint32_t list = weir_member(doc, logprobs, "content");
    weir_buf_append_char(out, '[');
    if (weir_is(doc, list, WEIR_JSON_ARRAY)) {
        uint32_t item = list + 1;
        for (uint32_t i = 0; i < doc->nodes[list].size; i++) {
            /* The same members; chat's bytes may be null, which no reader minds. */
            jo_raw(out, weir_json_raw(doc, item));
            item = doc->nodes[item].next;
        }
    }
    jo_close(out, ']');
}

static void reasoning_item(const weir_tctx_t *c, weir_str_t id, uint32_t message, uint32_t *index)
{
    uint32_t text = weir_reasoning_of(c->doc, message);
    if (text == WEIR_JSON_NONE) {
        return;
    }
    jo_open(c->out, '{');
    jo_key(c->out, "id");
    weir_item_id(id, "rs_", (*index)++, c->out);
    jo_kz(c->out, "type", "\"reasoning\"");
    jo_kz(c->out, "status", "\"completed\"");
    jo_kz(c->out, "summary", "[]");
    jo_kopen(c->out, "content", '[');
    jo_open(c->out, '{');
    jo_kz(c->out, "type", "\"reasoning_text\"");
    jo_kraw(c->out, "text", weir_json_raw(c->doc, text));
    jo_close(c->out, '}');
    jo_close(c->out, ']');
    jo_close(c->out, '}');
}

static void text_item(const weir_tctx_t *c, weir_str_t id, uint32_t choice, uint32_t text,
                      const weir_response_t *r, bool refusal, uint32_t *index)
{
    jo_open(c->out, '{');
    jo_key(c->out, "id");
    weir_item_id(id, "msg_", (*index)++, c->out);
    jo_kz(c->out, "type", "\"message\"");
    jo_kz(c->out, "status", r->status);
    jo_kz(c->out, "role", "\"assistant\"");
    jo_kopen(c->out, "content", '[');
    jo_open(c->out, '{');
    if (refusal) {
        jo_kz(c->out, "type", "\"refusal\"");
        jo_kraw(c->out, "refusal", weir_json_raw(c->doc, text));
    } else {
        jo_kz(c->out, "type", "\"output_text\"");
        jo_kz(c->out, "annotations", "[]");
        jo_key(c->out, "logprobs");
        weir_write_logprobs(c->doc, weir_member(c->doc, choice, "logprobs"), c->out);
        jo_kraw(c->out, "text", weir_json_raw(c->doc, text));
    }
    jo_close(c->out, '}');
    jo_close(c->out, ']');
    jo_close(c->out, '}');
}

/* {"input": "..."} of a function that stands for a custom tool; the whole text when it is not so.
 */
static weir_str_t custom_input(const weir_tctx_t *c, weir_str_t arguments)
{
    weir_json_doc_t doc;
    weir_json_limits_t limits = {.allow_duplicate_keys = true};
    weir_str_t input;
    if (weir_json_parse(arguments.data, arguments.len, &limits, c->arena, &doc, NULL) == WEIR_OK &&
        weir_json_string(&doc, weir_member(&doc, 0, "input"), c->arena, &input) == WEIR_OK) {
        return input;
    }
    return arguments;
}

static void call_item(const weir_tctx_t *c, weir_str_t id, uint32_t call, uint32_t *index)
{
    uint32_t function = weir_member(c->doc, call, "function");
    uint32_t name = weir_member(c->doc, function, "name");
    uint32_t call_id = weir_member(c->doc, call, "id");
    uint32_t arguments = weir_member(c->doc, function, "arguments");
    if (!weir_is(c->doc, name, WEIR_JSON_STRING)) {
        weir_loss(c->tr, "answer.choices.message", "tool_calls");
        return;
    }
    bool custom = weir_is_custom(c->tr, weir_text_of(c, name));
    jo_open(c->out, '{');
    jo_key(c->out, "id");
    weir_item_id(id, custom ? "ctc_" : "fc_", *index, c->out);
    jo_kz(c->out, "type", custom ? "\"custom_tool_call\"" : "\"function_call\"");
    jo_kz(c->out, "status", "\"completed\"");
    jo_key(c->out, "call_id");
    if (weir_has_text(c->doc, call_id)) {
        weir_buf_append_str(c->out, weir_json_raw(c->doc, call_id));
    } else {
        weir_item_id(id, "call_", *index, c->out);
    }
    jo_kraw(c->out, "name", weir_json_raw(c->doc, name));
    if (custom) {
        jo_kstring(c->out, "input", custom_input(c, weir_text_of(c, arguments)));
    } else if (weir_is(c->doc, arguments, WEIR_JSON_OBJECT)) {
        jo_kstring(c->out, "arguments", weir_json_raw(c->doc, arguments));
    } else {
        jo_kraw(c->out, "arguments",
                weir_is(c->doc, arguments, WEIR_JSON_STRING) ? weir_json_raw(c->doc, arguments)
                                                             : WEIR_STR("\"{}\""));
    }
    jo_close(c->out, '}');
    ++*index;
}

static void write_output(const weir_tctx_t *c, const weir_response_t *r, uint32_t choice,
                         uint32_t message)
{
    uint32_t index = 0;
    uint32_t content = weir_member(c->doc, message, "content");
    uint32_t refusal = weir_member(c->doc, message, "refusal");
    uint32_t calls = weir_member(c->doc, message, "tool_calls");
    jo_kopen(c->out, "output", '[');
    reasoning_item(c, r->id, message, &index);
    if (weir_has_text(c->doc, content)) {
        text_item(c, r->id, choice, content, r, false, &index);
    }
    if (weir_has_text(c->doc, refusal)) {
        text_item(c, r->id, choice, refusal, r, true, &index);
    }
    if (weir_is(c->doc, calls, WEIR_JSON_ARRAY)) {
        uint32_t call = calls + 1;
        for (uint32_t i = 0; i < c->doc->nodes[calls].size; i++) {
            call_item(c, r->id, call, &index);
            call = c->doc->nodes[call].next;
        }
    }
    jo_close(c->out, ']');
}

weir_status_t weir_answer_to_responses(weir_tctx_t *c)
{
    const weir_json_doc_t *doc = c->doc;
    weir_tokens_t tokens = {0};
    uint32_t choice = weir_json_at(doc, weir_member(doc, 0, "choices"), 0);
    uint32_t message = weir_member(doc, choice, "message");
    if (!weir_is(doc, message, WEIR_JSON_OBJECT)) {
        return weir_error(c->err, WEIR_ERR_INVALID,
                          "the upstream's answer is no chat completion: choices[0].message is "
                          "missing");
    }
    weir_note_members(c, 0, &weir_ra_answer);
    weir_note_members(c, message, &weir_ra_message);
    weir_buf_t id;
    weir_buf_init(&id, c->arena);
    weir_tctx_t named = *c;
    named.out = &id;
    weir_write_id(&named, weir_member(doc, 0, "id"), "resp_");
    uint32_t tier = weir_member(doc, 0, "service_tier");
    weir_response_t r = {.id = weir_str(id.data, id.len),
                         .model = weir_model_of(c, weir_member(doc, 0, "model")),
                         .created = c->tr->options.now};
    if (id.failed) {
        return weir_error(c->err, WEIR_ERR_NOMEM, "out of memory");
    }
    if (weir_is(doc, tier, WEIR_JSON_STRING)) {
        r.service_tier = weir_json_raw(doc, tier);
    }
    weir_json_int64(doc, weir_member(doc, 0, "created"), &r.created);
    weir_response_status(doc, weir_member(doc, choice, "finish_reason"), &r);
    if (weir_tokens_read(&tokens, doc, weir_member(doc, 0, "usage"))) {
        r.tokens = &tokens;
    } else {
        weir_loss(c->tr, "answer", "usage");
    }
    weir_response_begin(c->tr, &r, c->out);
    write_output(c, &r, choice, message);
    jo_close(c->out, '}');
    return WEIR_OK;
}
