/* Chat completions to Anthropic messages: every member of a request, and of the message (or event)
 * that comes back. */
#include "lua-free-filters/translate/fields.h"

#define BREAKPOINT IGNORE("prompt_cache_breakpoint", "a hint about money and speed")

static const weir_translate_row_t request[] = {
    MAP("model", "`model`, or the name that the gateway's route gives"),
    MAP("messages", "`messages` and `system`"),
    MAP("max_completion_tokens", "`max_tokens`; without it the route's default"),
    MAP("max_tokens", "`max_tokens`"),
    MAP("stop", "`stop_sequences`; sequences of white space only are dropped: Anthropic refuses "
                "them"),
    NEAR("temperature", "`temperature`, at most 1 (dropped where the route says that the model "
                        "takes none)"),
    MAP("top_p", "`top_p` (the same)"),
    MAP("top_k", "`top_k` (an extension; the same)"),
    MAP("stream", "`stream`"),
    MAP("stream_options", "see below"),
    MAP("tools", "`tools`"),
    MAP("tool_choice", "`tool_choice`"),
    MAP("parallel_tool_calls", "`tool_choice.disable_parallel_tool_use` with the opposite value"),
    NEAR("response_format", "`output_config.format`"),
    NEAR("reasoning_effort", "`thinking` and `output_config.effort`, or `thinking.budget_tokens`"),
    NEAR("user", "`metadata.user_id`"),
    NEAR("safety_identifier", "`metadata.user_id`, before `user`"),
    NEAR("service_tier", "`auto` stays, `default` becomes `standard_only`, others are dropped"),
    IGNORE("prediction", "makes OpenAI faster, not different"),
    IGNORE("prompt_cache_key", "a hint about money and speed"),
    IGNORE("prompt_cache_options", "a hint about money and speed"),
    IGNORE("prompt_cache_retention", "a hint about money and speed"),
    IGNORE("top_logprobs", "says nothing without `logprobs`"),
    DROP("store", "Anthropic stores no answers"),
    DROP("metadata", "tags of stored answers"),
    DROP("frequency_penalty", "Anthropic has none"),
    DROP("presence_penalty", "Anthropic has none"),
    DROP("logit_bias", "Anthropic has none, and other tokens"),
    DROP("seed", "Anthropic has none"),
    DROP("verbosity", "Anthropic has none"),
    NEAR("n", "1; a larger number is refused: Anthropic gives one answer"),
    NEAR("modalities", "`[\"text\"]`; audio is refused"),
    REFUSE("logprobs", "Anthropic gives no log probabilities"),
    REFUSE("audio", "Anthropic gives no audio"),
    REFUSE("functions", "deprecated since 2023; send tools"),
    REFUSE("function_call", "deprecated since 2023; send tool_choice"),
    REFUSE("web_search_options", "the upstream's search has another form; offer a tool"),
    REFUSE("moderation", "the upstream does not moderate; use the gateway's guardrails"),
};
const weir_translate_object_t weir_c_request = {"request", ROWS(request)};

static const weir_translate_row_t messages[] = {
    NEAR("system", "a block of the top-level `system`; where only such messages are sent, the last "
                   "becomes a `user` message, which Anthropic needs"),
    NEAR("developer", "the same"),
    MAP("user", "a `user` message; following `user` and `tool` messages are joined"),
    MAP("assistant", "an `assistant` message"),
    MAP("tool", "a `tool_result` block of a `user` message"),
    REFUSE("function", "deprecated since 2023; send role tool"),
};
const weir_translate_object_t weir_c_messages = {"messages", ROWS(messages)};

static const weir_translate_row_t message[] = {
    MAP("role", "see above"),
    MAP("content", "blocks; empty texts are left out: Anthropic refuses them"),
    DROP("name", "Anthropic's messages have no name"),
};
const weir_translate_object_t weir_c_message = {"messages.*", ROWS(message)};

static const weir_translate_row_t assistant[] = {
    MAP("role", "see above"),
    MAP("content", "a `text` block for each"),
    MAP("tool_calls", "`tool_use` blocks"),
    NEAR("refusal", "a `text` block"),
    MAP("thinking_blocks", "an extension (LiteLLM's and ours): `thinking` and `redacted_thinking` "
                           "blocks, first in the message"),
    DROP("reasoning_content", "without a signature Anthropic takes no thinking; it is in "
                              "`thinking_blocks`"),
    DROP("reasoning", "the same"),
    DROP("name", "Anthropic's messages have no name"),
    REFUSE("audio", "it lies at OpenAI"),
    REFUSE("function_call", "deprecated since 2023; send tool_calls"),
};
const weir_translate_object_t weir_c_assistant = {"messages.assistant", ROWS(assistant)};

static const weir_translate_row_t tool_message[] = {
    MAP("role", "`tool_result`"),
    MAP("content", "`content`"),
    MAP("tool_call_id", "`tool_use_id`"),
    DROP("name", "the id says it"),
};
const weir_translate_object_t weir_c_tool_message = {"messages.tool", ROWS(tool_message)};

static const weir_translate_row_t content[] = {
    MAP("text", "a `text` block"),
    MAP("image_url", "an `image` block"),
    NEAR("file", "a `document` block, for PDF and plain text in `file_data`"),
    NEAR("refusal", "a `text` block"),
    REFUSE("input_audio", "Anthropic takes no audio"),
};
const weir_translate_object_t weir_c_content = {"content", ROWS(content)};

static const weir_translate_row_t text[] = {
    MAP("type", "`text`"),
    MAP("text", "`text`"),
    BREAKPOINT,
};
const weir_translate_object_t weir_c_text = {"content.text", ROWS(text)};

static const weir_translate_row_t image[] = {
    MAP("type", "`image`"),
    MAP("image_url", "`source`"),
    BREAKPOINT,
};
const weir_translate_object_t weir_c_image = {"content.image_url", ROWS(image)};

static const weir_translate_row_t image_url[] = {
    MAP("url", "`source` `base64` for a `data:` URL, `url` for `http(s):`; others are refused"),
    DROP("detail", "Anthropic has none"),
};
const weir_translate_object_t weir_c_image_url = {"content.image_url.image_url", ROWS(image_url)};

static const weir_translate_row_t file_part[] = {
    MAP("type", "`document`"),
    MAP("file", "`source`, `title`"),
    BREAKPOINT,
};
const weir_translate_object_t weir_c_file_part = {"content.file", ROWS(file_part)};

static const weir_translate_row_t file[] = {
    NEAR("file_data", "`source` `base64`: a `data:` URL of `application/pdf`; others are refused"),
    MAP("filename", "`title`"),
    REFUSE("file_id", "the file lies at OpenAI: send its bytes as file_data"),
};
const weir_translate_object_t weir_c_file = {"content.file.file", ROWS(file)};

static const weir_translate_row_t refusal[] = {
    MAP("type", "`text`"),
    NEAR("refusal", "`text`"),
};
const weir_translate_object_t weir_c_refusal = {"content.refusal", ROWS(refusal)};

static const weir_translate_row_t tool_calls[] = {
    MAP("function", "a `tool_use` block"),
    REFUSE("custom", "Anthropic's tools take JSON; send a function"),
};
const weir_translate_object_t weir_c_tool_calls = {"tool_calls", ROWS(tool_calls)};

static const weir_translate_row_t tool_call[] = {
    MAP("id", "`id`"),
    MAP("type", "`tool_use`"),
    MAP("function", "`name`, `input`"),
    IGNORE("index", "of a stream"),
};
const weir_translate_object_t weir_c_tool_call = {"tool_calls.function", ROWS(tool_call)};

static const weir_translate_row_t call_function[] = {
    MAP("name", "`name`"),
    MAP("arguments", "`input`, as it stands; what is no JSON object is refused"),
};
const weir_translate_object_t weir_c_call_function = {"tool_calls.function.function",
                                                      ROWS(call_function)};

static const weir_translate_row_t tools[] = {
    MAP("function", "a custom tool"),
    REFUSE("custom", "Anthropic's tools take JSON; send a function"),
};
const weir_translate_object_t weir_c_tools = {"tools", ROWS(tools)};

static const weir_translate_row_t tool[] = {
    MAP("type", "-"),
    MAP("function", "the tool"),
};
const weir_translate_object_t weir_c_tool = {"tools.function", ROWS(tool)};

static const weir_translate_row_t function[] = {
    MAP("name", "`name`"),
    MAP("description", "`description`"),
    MAP("parameters", "`input_schema`, as it stands; without it an object without members"),
    MAP("strict", "`strict`"),
};
const weir_translate_object_t weir_c_function = {"tools.function.function", ROWS(function)};

static const weir_translate_row_t tool_choice[] = {
    MAP("none", "`none`"),
    MAP("auto", "`auto`"),
    MAP("required", "`any`"),
    MAP("function", "`tool`"),
    MAP("allowed_tools", "`auto` or `any`, and only the allowed tools are sent"),
    REFUSE("custom", "Anthropic's tools take JSON; send a function"),
};
const weir_translate_object_t weir_c_tool_choice = {"tool_choice", ROWS(tool_choice)};

static const weir_translate_row_t named_choice[] = {
    MAP("type", "`tool`"),
    MAP("function", "`name`"),
};
const weir_translate_object_t weir_c_named_choice = {"tool_choice.function", ROWS(named_choice)};

static const weir_translate_row_t choice_function[] = {MAP("name", "`name`")};
static const weir_translate_object_t named_function = {"tool_choice.function.function",
                                                       ROWS(choice_function)};

static const weir_translate_row_t allowed_choice[] = {
    MAP("type", "-"),
    MAP("allowed_tools", "see below"),
};
const weir_translate_object_t weir_c_allowed_choice = {"tool_choice.allowed_tools",
                                                       ROWS(allowed_choice)};

static const weir_translate_row_t allowed[] = {
    MAP("mode", "`auto` or `any`"),
    MAP("tools", "the others are left out of `tools`"),
};
static const weir_translate_object_t allowed_tools = {"tool_choice.allowed_tools.allowed_tools",
                                                      ROWS(allowed)};

static const weir_translate_row_t response_format[] = {
    MAP("text", "nothing"),
    NEAR("json_object", "a sentence in `system` that asks for one JSON object"),
    NEAR("json_schema", "`output_config.format`"),
};
const weir_translate_object_t weir_c_response_format = {"response_format", ROWS(response_format)};

static const weir_translate_row_t schema_format[] = {
    MAP("type", "`json_schema`"),
    MAP("json_schema", "`schema`"),
};
const weir_translate_object_t weir_c_json_schema_format = {"response_format.*",
                                                           ROWS(schema_format)};

static const weir_translate_row_t json_schema[] = {
    MAP("schema", "`schema`, as it stands"),
    IGNORE("name", "Anthropic has none"),
    DROP("description", "Anthropic has none"),
    IGNORE("strict", "Anthropic always keeps to the schema"),
};
const weir_translate_object_t weir_c_json_schema = {"response_format.*.json_schema",
                                                    ROWS(json_schema)};

static const weir_translate_row_t stream_options[] = {
    MAP("include_usage", "the last chunk with `usage`, written from Anthropic's counts"),
    IGNORE("include_obfuscation", "padding"),
    IGNORE("continuous_usage_stats", "an extension"),
};
const weir_translate_object_t weir_c_stream_options = {"stream_options", ROWS(stream_options)};

static const weir_translate_object_t *const request_objects[] = {
    &weir_c_request,
    &weir_c_messages,
    &weir_c_message,
    &weir_c_assistant,
    &weir_c_tool_message,
    &weir_c_content,
    &weir_c_text,
    &weir_c_image,
    &weir_c_image_url,
    &weir_c_file_part,
    &weir_c_file,
    &weir_c_refusal,
    &weir_c_tool_calls,
    &weir_c_tool_call,
    &weir_c_call_function,
    &weir_c_tools,
    &weir_c_tool,
    &weir_c_function,
    &weir_c_tool_choice,
    &weir_c_named_choice,
    &named_function,
    &weir_c_allowed_choice,
    &allowed_tools,
    &weir_c_response_format,
    &weir_c_json_schema_format,
    &weir_c_json_schema,
    &weir_c_stream_options,
};
const weir_translate_list_t weir_chat_request_list = {ROWS(request_objects)};

/* --- the message, for a chat client --- */

static const weir_translate_row_t answer[] = {
    MAP("id", "`id` with `chatcmpl-` in front"),
    MAP("type", "`object` `chat.completion`"),
    MAP("role", "`message.role`"),
    MAP("model", "`model`"),
    MAP("content", "`message`"),
    MAP("stop_reason",
        "`finish_reason`: `end_turn` and `stop_sequence` -> `stop`, `max_tokens` and "
        "`model_context_window_exceeded` -> `length`, `tool_use` -> `tool_calls`, "
        "`refusal` -> `content_filter`, `pause_turn` and others -> `stop`"),
    NEAR("stop_sequence", "`stop_reason` of the choice, as vLLM has it"),
    NEAR("stop_details", "`explanation` as `message.refusal`"),
    MAP("usage", "`usage`: `prompt_tokens` with what was cached, `prompt_tokens_details` with "
                 "`cached_tokens` and `cache_write_tokens`, `completion_tokens`, "
                 "`completion_tokens_details.reasoning_tokens`, `total_tokens`"),
    MAP("error", "the error envelope"),
    IGNORE("container", "the request names none"),
    IGNORE("diagnostics", "the request asks for none"),
};
const weir_translate_object_t weir_ma_answer = {"answer", ROWS(answer)};

static const weir_translate_row_t answer_content[] = {
    MAP("text", "`message.content`, all texts joined"),
    NEAR("thinking", "`message.reasoning_content` and, with its signature, "
                     "`message.thinking_blocks`"),
    NEAR("redacted_thinking", "`message.thinking_blocks`"),
    MAP("tool_use", "`message.tool_calls`"),
    DROP("server_tool_use", "runs at Anthropic; the request offers none"),
    DROP("web_search_tool_result", "the request offers no such tool"),
    DROP("web_fetch_tool_result", "the request offers no such tool"),
    DROP("code_execution_tool_result", "the request offers no such tool"),
    DROP("bash_code_execution_tool_result", "the request offers no such tool"),
    DROP("text_editor_code_execution_tool_result", "the request offers no such tool"),
    DROP("tool_search_tool_result", "the request offers no such tool"),
    DROP("container_upload", "the request has no container"),
    DROP("mcp_tool_use", "the request offers no such tool"),
    DROP("mcp_tool_result", "the request offers no such tool"),
    DROP("compaction", "the request asks for none"),
};
const weir_translate_object_t weir_ma_content = {"answer.content", ROWS(answer_content)};

static const weir_translate_row_t answer_text[] = {
    MAP("type", "-"),
    MAP("text", "`message.content`"),
    DROP("citations", "chat annotations need offsets that Anthropic does not give"),
};
const weir_translate_object_t weir_ma_text = {"answer.content.text", ROWS(answer_text)};

static const weir_translate_row_t answer_thinking[] = {
    MAP("type", "-"),
    MAP("thinking", "`message.reasoning_content`"),
    MAP("signature", "`message.thinking_blocks[].signature`"),
    MAP("data", "`message.thinking_blocks[].data`"),
};
const weir_translate_object_t weir_ma_thinking = {"answer.content.*", ROWS(answer_thinking)};

static const weir_translate_row_t answer_tool[] = {
    MAP("type", "`function`"),
    MAP("id", "`id`"),
    MAP("name", "`function.name`"),
    MAP("input", "`function.arguments`, as it stands"),
    IGNORE("caller", "always the model"),
    IGNORE("toolset_name", "the request offers no toolsets"),
};
const weir_translate_object_t weir_ma_tool_use = {"answer.content.tool_use", ROWS(answer_tool)};

static const weir_translate_row_t events[] = {
    MAP("message_start", "the first chunk, with the role"),
    MAP("content_block_start", "for `tool_use` a chunk with the call's index, id and name; for "
                               "others nothing"),
    MAP("content_block_delta", "see below"),
    MAP("content_block_stop", "for a call without arguments the piece `{}`"),
    MAP("message_delta", "remembered: `finish_reason` and usage; the latest counts"),
    MAP("message_stop", "the chunk with `finish_reason`, the chunk with `usage` if it was asked "
                        "for, `[DONE]`"),
    MAP("ping", "a comment"),
    MAP("error", "stops the stream: a frame with `error`"),
};
const weir_translate_object_t weir_ma_events = {"event", ROWS(events)};

static const weir_translate_row_t delta[] = {
    MAP("text_delta", "`delta.content`"),
    MAP("input_json_delta", "`delta.tool_calls[].function.arguments`"),
    NEAR("thinking_delta", "`delta.reasoning_content` and `delta.thinking_blocks`"),
    NEAR("signature_delta", "`delta.thinking_blocks`"),
    DROP("citations_delta", "chat annotations need offsets that Anthropic does not give"),
    DROP("compaction_delta", "the request asks for none"),
};
const weir_translate_object_t weir_ma_delta = {"event.content_block_delta.delta", ROWS(delta)};

static const weir_translate_object_t *const answer_objects[] = {
    &weir_ma_answer,   &weir_ma_content, &weir_ma_text,  &weir_ma_thinking,
    &weir_ma_tool_use, &weir_ma_events,  &weir_ma_delta,
};
const weir_translate_list_t weir_messages_answer_list = {ROWS(answer_objects)};
