#include "lua-free-filters/ending_text.h"

#define CUT_MESSAGE \
    "The upstream broke off before the answer was complete; what has arrived is not all of it."

static void write_id(const weir_ending_t *e, const char *prefix, weir_buf_t *out)
{
    weir_buf_append_z(out, "\"id\":");
    if (e->id.len > 0) {
        weir_json_write_string(out, e->id);
        return;
    }
    weir_buf_append_char(out, '"');
    weir_buf_append_z(out, prefix);
    for (const char *p = e->request_id; p != NULL && *p != '\0'; p++) {
        bool plain = (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
                     (*p >= 'A' && *p <= 'Z') || *p == '-' || *p == '_';
        if (plain) {
            weir_buf_append_char(out, *p);
        }
    }
    weir_buf_append_char(out, '"');
}

static void write_z(weir_buf_t *out, const char *z)
{
    weir_json_write_string(out, weir_str(z, strlen(z)));
}

static void write_head(const weir_ending_t *e, const char *object, weir_buf_t *out)
{
    bool chat = e->protocol == WEIR_PROTOCOL_CHAT;

    weir_buf_append_char(out, '{');
    write_id(e, chat ? "chatcmpl-" : "cmpl-", out);
    weir_buf_printf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object,
                    (long long)e->created);
    weir_json_write_string(out, e->model);
    weir_buf_append_char(out, ',');
}

void weir_ending_chunk_head(const weir_ending_t *e, weir_buf_t *out)
{
    write_head(e, e->protocol == WEIR_PROTOCOL_CHAT ? "chat.completion.chunk" : "text_completion",
               out);
}

void weir_ending_usage(const weir_tokens_t *t, uint64_t completion, weir_buf_t *out)
{
    weir_buf_printf(out,
                    "{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,"
                    "\"prompt_tokens_details\":{\"cached_tokens\":%llu},"
                    "\"completion_tokens_details\":{\"reasoning_tokens\":%llu}}",
                    (unsigned long long)t->prompt_tokens, (unsigned long long)completion,
                    (unsigned long long)t->prompt_tokens + completion,
                    (unsigned long long)t->cached_tokens, (unsigned long long)t->reasoning_tokens);
}

void weir_ending_message(const weir_ending_t *e, const char *stop_reason, uint64_t input,
                         uint64_t output, weir_buf_t *out)
{
    weir_buf_append_char(out, '{');
    write_id(e, "msg_", out);
    weir_buf_append_z(out, ",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],"
                           "\"model\":");
    weir_json_write_string(out, e->model);
    weir_buf_append_z(out, ",\"stop_reason\":");
    if (stop_reason == NULL) {
        weir_buf_append_z(out, "null");
    } else {
        write_z(out, stop_reason);
    }
    weir_buf_printf(out,
                    ",\"stop_sequence\":null,\"usage\":{\"input_tokens\":%llu,"
                    "\"output_tokens\":%llu}}",
                    (unsigned long long)input, (unsigned long long)output);
}

static const char *message_of(const weir_stop_t *stop)
{
    return stop->message == NULL ? CUT_MESSAGE : stop->message;
}

void weir_ending_response(const weir_ending_t *e, const weir_stop_t *stop, weir_buf_t *out)
{
    const char *status = "in_progress";

    if (stop != NULL) {
        status = stop->reason == WEIR_STOP_ERROR ? "failed" : "incomplete";
    }
    weir_buf_append_char(out, '{');
    write_id(e, "resp_", out);
    weir_buf_printf(out,
                    ",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\",\"error\":",
                    (long long)e->created, status);
    if (stop != NULL && stop->reason == WEIR_STOP_ERROR) {
        weir_buf_append_z(out, "{\"code\":");
        write_z(out, stop->code == NULL ? "server_error" : stop->code);
        weir_buf_append_z(out, ",\"message\":");
        write_z(out, message_of(stop));
        weir_buf_append_char(out, '}');
    } else {
        weir_buf_append_z(out, "null");
    }
    weir_buf_append_z(out, ",\"incomplete_details\":");
    if (stop != NULL && stop->reason != WEIR_STOP_ERROR) {
        weir_buf_printf(out, "{\"reason\":\"%s\"}",
                        stop->reason == WEIR_STOP_LENGTH ? "max_output_tokens" : "content_filter");
    } else {
        weir_buf_append_z(out, "null");
    }
    weir_buf_append_z(out, ",\"instructions\":null,\"metadata\":{},\"model\":");
    weir_json_write_string(out, e->model);
    weir_buf_append_z(out, ",\"output\":[],\"parallel_tool_calls\":true,\"temperature\":null,"
                           "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"usage\":null}");
}

static const char *anthropic_type(unsigned status)
{
    switch (status) {
    case 400:
    case 422:
        return "invalid_request_error";
    case 401:
        return "authentication_error";
    case 402:
        return "billing_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 409:
        return "conflict_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 504:
        return "timeout_error";
    case 503:
    case 529:
        return "overloaded_error";
    default:
        return "api_error";
    }
}

void weir_ending_error(weir_protocol_t protocol, const weir_stop_t *stop, const char *request_id,
                       weir_buf_t *out)
{
    if (protocol == WEIR_PROTOCOL_MESSAGES) {
        weir_buf_append_z(out, "{\"type\":\"error\",\"error\":{\"type\":");
        write_z(out, anthropic_type(stop->status));
        weir_buf_append_z(out, ",\"message\":");
        write_z(out, message_of(stop));
        weir_buf_append_z(out, ",\"details\":{\"error_code\":");
        write_z(out, stop->code == NULL ? "upstream_error" : stop->code);
        weir_buf_append_z(out, "}},\"request_id\":");
        write_z(out, request_id == NULL ? "" : request_id);
        weir_buf_append_char(out, '}');
        return;
    }
    weir_buf_append_z(out, "{\"error\":{\"message\":");
    write_z(out, message_of(stop));
    weir_buf_append_z(out, ",\"type\":");
    write_z(out, stop->type == NULL ? "server_error" : stop->type);
    weir_buf_append_z(out, ",\"param\":null,\"code\":");
    write_z(out, stop->code == NULL ? "upstream_error" : stop->code);
    weir_buf_append_z(out, "}}");
}

void weir_ending_document(weir_protocol_t protocol, const weir_stop_t *stop, weir_str_t model,
                          const char *request_id, int64_t now, bool anthropic, weir_buf_t *out)
{
    weir_ending_t e = {
        .protocol = protocol, .model = model, .request_id = request_id, .now = now, .created = now};
    bool named = protocol != WEIR_PROTOCOL_OTHER && protocol != WEIR_PROTOCOL_DOCUMENT;
    weir_protocol_t errors = anthropic && !named ? WEIR_PROTOCOL_MESSAGES : protocol;
    bool length = stop->reason == WEIR_STOP_LENGTH;
    const char *reason = length ? "length" : "content_filter";

    if (stop->reason == WEIR_STOP_ERROR) {
        weir_ending_error(errors, stop, request_id, out);
        return;
    }
    switch (protocol) {
    case WEIR_PROTOCOL_CHAT:
        write_head(&e, "chat.completion", out);
        weir_buf_printf(out,
                        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                        "\"content\":\"\",\"refusal\":null},\"logprobs\":null,"
                        "\"finish_reason\":\"%s\"}]}",
                        reason);
        return;
    case WEIR_PROTOCOL_COMPLETIONS:
        write_head(&e, "text_completion", out);
        weir_buf_printf(out,
                        "\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null,"
                        "\"finish_reason\":\"%s\"}]}",
                        reason);
        return;
    case WEIR_PROTOCOL_MESSAGES:
        weir_ending_message(&e, length ? "max_tokens" : "refusal", 0, 0, out);
        return;
    case WEIR_PROTOCOL_RESPONSES:
        weir_ending_response(&e, stop, out);
        return;
    case WEIR_PROTOCOL_OTHER:
    case WEIR_PROTOCOL_DOCUMENT: {
        weir_stop_t error = {.reason = WEIR_STOP_ERROR,
                             .status = stop->status,
                             .type = "invalid_request_error",
                             .code = reason,
                             .message = stop->message != NULL
                                            ? stop->message
                                            : "The gateway's policy stopped this answer."};
        weir_ending_error(errors, &error, request_id, out);
        return;
    }
    }
}
