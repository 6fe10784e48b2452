/* Values that more than one direction writes: images, ids, reasons, usage. */
#include "lua-free-filters/translate/translation.h"

static bool starts(weir_str_t s, const char *z)
{
    size_t n = strlen(z);
    return s.len >= n && memcmp(s.data, z, n) == 0;
}

static weir_str_t behind(weir_str_t s, size_t n)
{
    return weir_str(s.data + n, s.len - n);
}

bool weir_write_source(weir_buf_t *out, weir_str_t url)
{
    static const char base64[] = ";base64,";
    if (starts(url, "http://") || starts(url, "https://")) {
        jo_open(out, '{');
        jo_kz(out, "type", "\"url\"");
        jo_kstring(out, "url", url);
        jo_close(out, '}');
        return true;
    }
    if (!starts(url, "data:")) {
        return false;
    }
    weir_str_t rest = behind(url, 5);
    const char *comma = memchr(rest.data, ',', rest.len);
    size_t head = comma == NULL ? 0 : (size_t)(comma - rest.data) + 1;
    size_t tail = sizeof(base64) - 1;
    if (head <= tail || memcmp(rest.data + head - tail, base64, tail) != 0) {
        return false;
    }
    weir_str_t type = weir_str(rest.data, head - tail);
    const char *parameter = memchr(type.data, ';', type.len);
    if (parameter != NULL) {
        type.len = (size_t)(parameter - type.data);
    }
    jo_open(out, '{');
    jo_kz(out, "type", "\"base64\"");
    jo_kstring(out, "media_type", type);
    jo_kstring(out, "data", behind(rest, head));
    jo_close(out, '}');
    return true;
}

void weir_write_id(const weir_tctx_t *c, uint32_t id, const char *prefix)
{
    static const char *const known[] = {"chatcmpl-", "msg_", "resp_", "gen-"};
    weir_str_t text = weir_text_of(c, id);
    const char *request_id = c->tr->options.request_id;
    weir_buf_t joined;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (starts(text, known[i])) {
            text = behind(text, strlen(known[i]));
            break;
        }
    }
    if (text.len == 0) {
        text = request_id == NULL ? WEIR_STR("0") : weir_str(request_id, strlen(request_id));
    }
    weir_buf_init(&joined, c->arena);
    weir_buf_append_z(&joined, prefix);
    weir_buf_append_str(&joined, text);
    weir_json_write_string(c->out, weir_str(joined.data, joined.len));
}

weir_str_t weir_model_of(const weir_tctx_t *c, uint32_t model)
{
    return weir_has_text(c->doc, model) ? weir_json_raw(c->doc, model) : c->tr->model_raw;
}

const char *weir_stop_reason_of(const weir_json_doc_t *doc, uint32_t finish, bool has_tools)
{
    if (weir_json_string_is(doc, finish, "length")) {
        return "\"max_tokens\"";
    }
    if (weir_json_string_is(doc, finish, "content_filter")) {
        return "\"refusal\"";
    }
    if (has_tools || weir_json_string_is(doc, finish, "tool_calls") ||
        weir_json_string_is(doc, finish, "function_call")) {
        return "\"tool_use\"";
    }
    return "\"end_turn\"";
}

const char *weir_finish_reason_of(const weir_json_doc_t *doc, uint32_t stop_reason)
{
    if (weir_json_string_is(doc, stop_reason, "max_tokens") ||
        weir_json_string_is(doc, stop_reason, "model_context_window_exceeded")) {
        return "\"length\"";
    }
    if (weir_json_string_is(doc, stop_reason, "tool_use")) {
        return "\"tool_calls\"";
    }
    return weir_json_string_is(doc, stop_reason, "refusal") ? "\"content_filter\"" : "\"stop\"";
}

uint32_t weir_reasoning_of(const weir_json_doc_t *doc, uint32_t message)
{
    uint32_t node = weir_member(doc, message, "reasoning_content");
    if (!weir_has_text(doc, node)) {
        node = weir_member(doc, message, "reasoning");
    }
    return weir_has_text(doc, node) ? node : WEIR_JSON_NONE;
}

static void usage_messages(const weir_tokens_t *t, weir_buf_t *out)
{
    uint64_t cached = t->cached_tokens + t->cache_write_tokens;
    uint64_t input = t->prompt_tokens > cached ? t->prompt_tokens - cached : 0;
    jo_kint(out, "input_tokens", (int64_t)input);
    jo_kint(out, "cache_creation_input_tokens", (int64_t)t->cache_write_tokens);
    jo_kint(out, "cache_read_input_tokens", (int64_t)t->cached_tokens);
    jo_kint(out, "output_tokens", (int64_t)t->completion_tokens);
    if (t->reasoning_tokens > 0) {
        jo_kopen(out, "output_tokens_details", '{');
        jo_kint(out, "thinking_tokens", (int64_t)t->reasoning_tokens);
        jo_close(out, '}');
    }
}

static void usage_openai(bool chat, const weir_tokens_t *t, weir_buf_t *out)
{
    jo_kint(out, chat ? "prompt_tokens" : "input_tokens", (int64_t)t->prompt_tokens);
    jo_kopen(out, chat ? "prompt_tokens_details" : "input_tokens_details", '{');
    jo_kint(out, "cached_tokens", (int64_t)t->cached_tokens);
    jo_kint(out, "cache_write_tokens", (int64_t)t->cache_write_tokens);
    jo_close(out, '}');
    jo_kint(out, chat ? "completion_tokens" : "output_tokens", (int64_t)t->completion_tokens);
    jo_kopen(out, chat ? "completion_tokens_details" : "output_tokens_details", '{');
    jo_kint(out, "reasoning_tokens", (int64_t)t->reasoning_tokens);
    jo_close(out, '}');
    jo_kint(out, "total_tokens", (int64_t)(t->prompt_tokens + t->completion_tokens));
}

void weir_write_usage(weir_protocol_t protocol, const weir_tokens_t *tokens, weir_buf_t *out)
{
    weir_buf_append_char(out, '{');
    if (protocol == WEIR_PROTOCOL_MESSAGES) {
        usage_messages(tokens, out);
    } else {
        usage_openai(protocol == WEIR_PROTOCOL_CHAT, tokens, out);
    }
    jo_close(out, '}');
}

bool weir_is_custom(const weir_translation_t *tr, weir_str_t name)
{
    for (uint32_t i = 0; i < tr->n_custom; i++) {
        if (weir_str_eq(tr->custom[i], name)) {
            return true;
        }
    }
    return false;
}
