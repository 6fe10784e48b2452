#include "lua-free-filters/redact_events.h"

#include <string.h>

static bool is_call(const weir_redact_place_t *t)
{
    return t->kind == WEIR_TEXT_ARGUMENTS || t->kind == WEIR_TEXT_INPUT;
}

/* In front of the text, behind which the delta's end stands. */
static const char *open_delta(const weir_redact_place_t *t, weir_buf_t *out)
{
    unsigned n = WEIR_TEXT_ELEMENT(t->part);
    weir_buf_append_z(out, "\"delta\":{");
    if (t->open.len > 0) {
        weir_buf_append_str(out, t->open);
        return "}";
    }
    if (is_call(t)) {
        weir_buf_printf(out, "\"tool_calls\":[{\"index\":%u,%s", t->part,
                        t->kind == WEIR_TEXT_INPUT ? "\"custom\":{\"input\":"
                                                   : "\"function\":{\"arguments\":");
        return "}}]}";
    }
    switch (WEIR_TEXT_LIST(t->part)) {
    case WEIR_TEXT_THINKING:
        weir_buf_printf(out,
                        "\"thinking_blocks\":[{\"index\":%u,\"type\":\"thinking\","
                        "\"thinking\":",
                        n);
        return "}]}";
    case WEIR_TEXT_DETAILS:
        weir_buf_printf(
            out, "\"reasoning_details\":[{\"index\":%u,\"type\":\"reasoning.text\",\"text\":", n);
        return "}]}";
    case WEIR_TEXT_PARTS:
        if (t->kind == WEIR_TEXT_REASONING) {
            weir_buf_append_z(out, "\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":"
                                   "\"text\",\"text\":");
            return "}]}]}";
        }
        weir_buf_append_z(out, "\"content\":[{\"type\":\"text\",\"text\":");
        return "}]}";
    default:
        weir_buf_printf(out, "\"%s\":",
                        t->kind == WEIR_TEXT_REFUSAL     ? "refusal"
                        : t->kind != WEIR_TEXT_REASONING ? "content"
                        : t->part == 0                   ? "reasoning_content"
                                                         : "reasoning");
        return "}";
    }
}

static void write_chat(const weir_redact_head_t *r, const weir_redact_place_t *t, weir_str_t text,
                       weir_buf_t *out)
{
    bool chat = r->shape == WEIR_PROTOCOL_CHAT;
    const char *end = "";
    weir_buf_append_char(out, '{');
    if (r->id.len > 0)
        weir_buf_printf(out, "\"id\":%.*s,", (int)r->id.len, r->id.data);
    weir_buf_append_z(out, chat ? "\"object\":\"chat.completion.chunk\","
                                : "\"object\":\"text_completion\",");
    if (r->created.len > 0)
        weir_buf_printf(out, "\"created\":%.*s,", (int)r->created.len, r->created.data);
    if (r->model.len > 0)
        weir_buf_printf(out, "\"model\":%.*s,", (int)r->model.len, r->model.data);
    weir_buf_printf(out, "\"choices\":[{\"index\":%u,", t->choice);
    if (chat)
        end = open_delta(t, out);
    else
        weir_buf_append_z(out, "\"text\":");
    weir_json_write_string(out, text);
    weir_buf_append_str(out, t->close);
    weir_buf_append_z(out, end);
    weir_buf_append_z(out, ",\"logprobs\":null,\"finish_reason\":null}]}");
}

static void write_block(const weir_redact_place_t *t, weir_str_t text, weir_buf_t *out)
{
    weir_buf_printf(out, "{\"type\":\"content_block_delta\",\"index\":%u,\"delta\":{", t->choice);
    if (t->open.len > 0)
        weir_buf_append_str(out, t->open);
    else
        weir_buf_append_z(
            out, t->kind == WEIR_TEXT_ARGUMENTS ? "\"type\":\"input_json_delta\",\"partial_json\":"
                 : t->kind == WEIR_TEXT_REASONING ? "\"type\":\"thinking_delta\",\"thinking\":"
                                                  : "\"type\":\"text_delta\",\"text\":");
    weir_json_write_string(out, text);
    weir_buf_append_str(out, t->close);
    weir_buf_append_z(out, "}}");
}

static const char *response_event(const weir_redact_place_t *t)
{
    if (t->event != NULL)
        return t->event;
    return t->kind == WEIR_TEXT_ARGUMENTS   ? "response.function_call_arguments.delta"
           : t->kind == WEIR_TEXT_REASONING ? "response.reasoning_text.delta"
           : t->kind == WEIR_TEXT_REFUSAL   ? "response.refusal.delta"
                                            : "response.output_text.delta";
}

static void write_response(const weir_redact_place_t *t, weir_str_t text, int64_t sequence,
                           weir_buf_t *out)
{
    weir_buf_append_z(out, "{\"type\":");
    weir_json_write_string(
        out, t->open.len > 0 ? t->open : weir_str(response_event(t), strlen(response_event(t))));
    weir_buf_printf(out, ",\"sequence_number\":%lld,", (long long)sequence);
    if (t->item_id.len > 0)
        weir_buf_printf(out, "\"item_id\":%.*s,", (int)t->item_id.len, t->item_id.data);
    weir_buf_printf(out, "\"output_index\":%u,", t->choice);
    if (!is_call(t))
        weir_buf_printf(out, "\"%s\":%u,",
                        strstr(response_event(t), "summary") != NULL ? "summary_index"
                                                                     : "content_index",
                        t->part);
    if (t->kind == WEIR_TEXT_CONTENT)
        weir_buf_append_z(out, "\"logprobs\":[],");
    weir_buf_append_z(out, "\"delta\":");
    weir_json_write_string(out, text);
    weir_buf_append_char(out, '}');
}

weir_str_t weir_redact_write_event(const weir_redact_head_t *head, const weir_redact_place_t *place,
                                   weir_str_t text, int64_t *sequence, weir_buf_t *out)
{
    switch (head->shape) {
    case WEIR_PROTOCOL_MESSAGES:
        write_block(place, text, out);
        return WEIR_STR("content_block_delta");
    case WEIR_PROTOCOL_RESPONSES:
        write_response(place, text, (*sequence)++, out);
        if (place->open.len > 0 && place->event == NULL)
            return weir_str("", 0); /* as the upstream's */
        return weir_str(response_event(place), strlen(response_event(place)));
    default:
        write_chat(head, place, text, out);
        return weir_str("", 0);
    }
}
