/* Anthropic messages to chat completions: every member of a request, and of the chat answer that
 * comes back. */
#include "lua-free-filters/translate/fields.h"

#define CACHE                                                                  \
    IGNORE("cache_control", "a hint about money and speed; OpenAI-compatible " \
                            "servers find common prefixes by themselves")

static const weir_translate_row_t request[] = {
    MAP("model", "`model`, or the name that the gateway's route gives"),
    MAP("max_tokens", "`max_completion_tokens` (`max_tokens` for old upstreams)"),
    MAP("messages", "`messages`"),
    MAP("system", "a first message with the role `system`"),
    MAP("stream", "`stream`, with `stream_options.include_usage`"),
    MAP("stop_sequences", "`stop`; OpenAI itself takes four"),
    MAP("temperature", "`temperature`"),
    MAP("top_p", "`top_p`"),
    NEAR("top_k", "`top_k`, which OpenAI-compatible servers have and OpenAI has not (left out "
                  "and counted for a strict upstream)"),
    MAP("tools", "`tools`"),
    MAP("tool_choice", "`tool_choice` and `parallel_tool_calls`, where there are tools"),
    NEAR("thinking",
         "`reasoning_effort`, by the budget, where `output_config.effort` is not given"),
    MAP("output_config", "`reasoning_effort` and `response_format`"),
    NEAR("output_format", "`response_format` (the beta's older name)"),
    NEAR("metadata", "`user`"),
    NEAR("service_tier", "`service_tier`: `auto` stays, `standard_only` becomes `default`"),
    CACHE,
    IGNORE("diagnostics", "asks for an explanation of cache misses, which the upstream has not"),
    IGNORE("betas", "the SDK sends it as a header"),
    IGNORE("workspace_id", "names a workspace at Anthropic"),
    IGNORE("user_profile_id", "names a profile at Anthropic"),
    DROP("speed", "the upstream has one speed"),
    DROP("context_management", "the upstream keeps the whole context"),
    REFUSE("inference_geo", "the upstream cannot promise where it computes"),
    REFUSE("container", "the upstream runs no code; send the skills' work as custom tools"),
    REFUSE("mcp_servers", "the upstream calls no MCP servers; call them in the client"),
};
const weir_translate_object_t weir_m_request = {"request", ROWS(request)};

static const weir_translate_row_t messages[] = {
    MAP("user", "a `user` message; each `tool_result` in it becomes a `tool` message before it"),
    MAP("assistant",
        "an `assistant` message; as the last one it is counted: Anthropic's older models "
        "go on with it, most chat servers begin a new message"),
    MAP("system", "a `system` message at the same place"),
};
const weir_translate_object_t weir_m_messages = {"messages", ROWS(messages)};

static const weir_translate_row_t user[] = {
    MAP("role", "`role`"),
    MAP("content", "`content`: a string for one text, else an array of parts"),
};
const weir_translate_object_t weir_m_user = {"messages.user", ROWS(user)};

static const weir_translate_row_t assistant[] = {
    MAP("role", "`role`"),
    MAP("content", "`content` (texts joined), `reasoning_content` and `tool_calls`"),
};
const weir_translate_object_t weir_m_assistant = {"messages.assistant", ROWS(assistant)};
const weir_translate_object_t weir_m_system = {"messages.system", ROWS(user)};

static const weir_translate_row_t content[] = {
    MAP("text", "a text part"),
    MAP("image", "an `image_url` part"),
    NEAR("document", "a `file` part for a PDF (few upstreams read it), text parts for text"),
    NEAR("search_result", "a text part with title, source and text"),
    NEAR("thinking", "`reasoning_content` without its signature (left out for a strict upstream)"),
    MAP("tool_use", "an element of `tool_calls`"),
    MAP("tool_result", "a `tool` message"),
    DROP("redacted_thinking", "only Anthropic can read it"),
    DROP("server_tool_use", "a call that Anthropic's servers ran"),
    DROP("web_search_tool_result", "a result of Anthropic's servers, partly encrypted"),
    DROP("web_fetch_tool_result", "a result of Anthropic's servers"),
    DROP("code_execution_tool_result", "a result of Anthropic's servers"),
    DROP("bash_code_execution_tool_result", "a result of Anthropic's servers"),
    DROP("text_editor_code_execution_tool_result", "a result of Anthropic's servers"),
    DROP("tool_search_tool_result", "a result of Anthropic's servers"),
    DROP("mcp_tool_use", "a call that Anthropic's servers ran"),
    DROP("mcp_tool_result", "a result of Anthropic's servers"),
    DROP("tool_reference", "names a tool found by Anthropic's tool search"),
    DROP("compaction", "a summary that only Anthropic can read"),
    REFUSE("browser_state", "the upstream has no browser tool"),
    REFUSE("container_upload", "the upstream has no containers or stored files"),
};
const weir_translate_object_t weir_m_content = {"content", ROWS(content)};

static const weir_translate_row_t text[] = {
    MAP("type", "`type`"),
    MAP("text", "`text`"),
    CACHE,
    DROP("citations", "of an earlier answer; chat completions have no place for them"),
};
const weir_translate_object_t weir_m_text = {"content.text", ROWS(text)};

static const weir_translate_row_t image[] = {
    MAP("type", "`image_url`"),
    MAP("source", "`image_url.url`"),
    CACHE,
    DROP("transformations", "the upstream decides what it does with large images"),
};
const weir_translate_object_t weir_m_image = {"content.image", ROWS(image)};

static const weir_translate_row_t image_source[] = {
    MAP("base64", "a `data:` URL"),
    MAP("url", "the address"),
    REFUSE("file", "the file lies at Anthropic: send its bytes as base64"),
};
const weir_translate_object_t weir_m_image_source = {"content.image.source", ROWS(image_source)};

static const weir_translate_row_t base64[] = {
    MAP("type", "`data:`"),
    MAP("media_type", "the type in the `data:` URL"),
    MAP("data", "the bytes in the `data:` URL"),
};
static const weir_translate_object_t image_base64 = {"content.image.source.base64", ROWS(base64)};
static const weir_translate_object_t document_base64 = {"content.document.source.base64",
                                                        ROWS(base64)};

static const weir_translate_row_t url[] = {
    MAP("type", "-"),
    MAP("url", "`image_url.url`"),
};
static const weir_translate_object_t image_url = {"content.image.source.url", ROWS(url)};

static const weir_translate_row_t document[] = {
    MAP("type", "`file` or `text`"),
    NEAR("source", "see below"),
    NEAR("title", "`file.filename`; for text, a line before it"),
    NEAR("context", "a text part before it"),
    CACHE,
    DROP("citations", "the upstream cites nothing"),
};
const weir_translate_object_t weir_m_document = {"content.document", ROWS(document)};

static const weir_translate_row_t document_source[] = {
    NEAR("base64", "`file.file_data`, a `data:` URL"),
    NEAR("text", "a text part"),
    NEAR("content", "its texts and images as parts"),
    REFUSE("url", "chat completions take no address of a file: send its bytes as base64"),
    REFUSE("file", "the file lies at Anthropic: send its bytes as base64"),
};
const weir_translate_object_t weir_m_document_source = {"content.document.source",
                                                        ROWS(document_source)};

static const weir_translate_row_t plain_source[] = {
    MAP("type", "-"),
    MAP("media_type", "-"),
    MAP("data", "`text`"),
};
static const weir_translate_object_t document_text = {"content.document.source.text",
                                                      ROWS(plain_source)};

static const weir_translate_row_t content_source[] = {
    MAP("type", "-"),
    MAP("content", "parts"),
};
static const weir_translate_object_t document_content = {"content.document.source.content",
                                                         ROWS(content_source)};

static const weir_translate_row_t search_result[] = {
    MAP("type", "`text`"),
    NEAR("title", "a line of the text"),
    NEAR("source", "a line of the text"),
    NEAR("content", "the text"),
    CACHE,
    DROP("citations", "the upstream cites nothing"),
};
const weir_translate_object_t weir_m_search_result = {"content.search_result", ROWS(search_result)};

static const weir_translate_row_t thinking[] = {
    MAP("type", "-"),
    NEAR("thinking", "`reasoning_content`"),
    IGNORE("signature", "only Anthropic can check it; of our own translation it is empty"),
};
const weir_translate_object_t weir_m_thinking = {"content.thinking", ROWS(thinking)};

static const weir_translate_row_t tool_use[] = {
    MAP("type", "`function`"),
    MAP("id", "`id`"),
    MAP("name", "`function.name`"),
    MAP("input", "`function.arguments`, as it stands in the request"),
    CACHE,
    IGNORE("caller", "who called it at Anthropic"),
    DROP("toolset_name", "the upstream has no toolsets"),
};
const weir_translate_object_t weir_m_tool_use = {"content.tool_use", ROWS(tool_use)};

static const weir_translate_row_t tool_result[] = {
    MAP("type", "`role` `tool`"),
    MAP("tool_use_id", "`tool_call_id`"),
    NEAR("content", "`content`; images follow in a `user` message"),
    NEAR("is_error", "the text `Error: ` in front"),
    CACHE,
    DROP("toolset_name", "the upstream has no toolsets"),
};
const weir_translate_object_t weir_m_tool_result = {"content.tool_result", ROWS(tool_result)};

#define SERVER "Anthropic's servers run it: offer a custom tool of your own"
#define CLIENT "only Anthropic's models know it without a schema: send a custom tool"
static const weir_translate_row_t tools[] = {
    MAP("custom", "a `function` tool (`type` may be absent)"),
    REFUSE("bash_*", CLIENT),
    REFUSE("text_editor_*", CLIENT),
    REFUSE("computer_*", CLIENT),
    REFUSE("browser_*", CLIENT),
    REFUSE("memory_*", CLIENT),
    REFUSE("web_search_*", SERVER),
    REFUSE("web_fetch_*", SERVER),
    REFUSE("code_execution_*", SERVER),
    REFUSE("tool_search_*", SERVER),
    REFUSE("mcp_toolset", SERVER),
};
const weir_translate_object_t weir_m_tools = {"tools", ROWS(tools)};

static const weir_translate_row_t tool[] = {
    MAP("type", "`function`"),
    MAP("name", "`function.name`"),
    MAP("description", "`function.description`"),
    MAP("input_schema", "`function.parameters`, as it stands in the request"),
    MAP("strict", "`function.strict`"),
    CACHE,
    IGNORE("eager_input_streaming", "the upstream streams arguments as it likes"),
    DROP("input_examples", "chat completions have no place for them"),
    DROP("defer_loading", "the upstream sees all tools at once"),
    DROP("allowed_callers", "the upstream's model calls all tools directly"),
};
const weir_translate_object_t weir_m_tool = {"tools.custom", ROWS(tool)};

/* A schema is copied whole. */
static const weir_translate_row_t input_schema[] = {MAP("*", "as it stands")};
static const weir_translate_object_t schema = {"tools.custom.input_schema", ROWS(input_schema)};

static const weir_translate_row_t tool_choice[] = {
    MAP("auto", "`auto`"),
    MAP("any", "`required`"),
    MAP("tool", "`{type: function, function: {name}}`"),
    MAP("none", "`none`"),
};
const weir_translate_object_t weir_m_tool_choice = {"tool_choice", ROWS(tool_choice)};

static const weir_translate_row_t choice[] = {
    MAP("type", "see above"),
    MAP("name", "`function.name`"),
    MAP("disable_parallel_tool_use", "`parallel_tool_calls` with the opposite value"),
};
const weir_translate_object_t weir_m_choice = {"tool_choice.*", ROWS(choice)};

static const weir_translate_row_t thinking_config[] = {
    NEAR("type", "`enabled`: an effort by the budget; `adaptive`, `disabled`: nothing is sent; "
                 "`between_tools`: nothing is sent"),
    NEAR("budget_tokens",
         "`reasoning_effort`: `low` under 4096, `medium` under 16384, else `high`"),
    DROP("display", "reasoning arrives as the upstream writes it"),
};
const weir_translate_object_t weir_m_thinking_config = {"thinking.*", ROWS(thinking_config)};

static const weir_translate_row_t thinking_kinds[] = {
    NEAR("enabled", "`reasoning_effort`"),
    NEAR("adaptive", "nothing: the upstream's own default"),
    NEAR("between_tools", "nothing: the upstream's own default"),
    IGNORE("disabled", "nothing: the upstream's own default"),
};
static const weir_translate_object_t thinking_union = {"thinking", ROWS(thinking_kinds)};

static const weir_translate_row_t metadata[] = {
    NEAR("user_id", "`user`"),
};
const weir_translate_object_t weir_m_metadata = {"metadata", ROWS(metadata)};

static const weir_translate_row_t output_config[] = {
    MAP("effort", "`reasoning_effort`"),
    MAP("format", "`response_format`"),
    DROP("task_budget", "the upstream knows no budgets"),
};
const weir_translate_object_t weir_m_output_config = {"output_config", ROWS(output_config)};

static const weir_translate_row_t format[] = {
    MAP("type", "`json_schema`"),
    MAP("schema", "`json_schema.schema`, as it stands; `strict` is set"),
};
const weir_translate_object_t weir_m_format = {"output_config.format", ROWS(format)};

static const weir_translate_object_t *const request_objects[] = {
    &weir_m_request,
    &weir_m_messages,
    &weir_m_user,
    &weir_m_assistant,
    &weir_m_system,
    &weir_m_content,
    &weir_m_text,
    &weir_m_image,
    &weir_m_image_source,
    &image_base64,
    &image_url,
    &weir_m_document,
    &weir_m_document_source,
    &document_base64,
    &document_text,
    &document_content,
    &weir_m_search_result,
    &weir_m_thinking,
    &weir_m_tool_use,
    &weir_m_tool_result,
    &weir_m_tools,
    &weir_m_tool,
    &schema,
    &weir_m_tool_choice,
    &weir_m_choice,
    &thinking_union,
    &weir_m_thinking_config,
    &weir_m_metadata,
    &weir_m_output_config,
    &weir_m_format,
};
const weir_translate_list_t weir_messages_request_list = {ROWS(request_objects)};

/* --- the chat answer, for a messages client --- */

static const weir_translate_row_t answer[] = {
    MAP("id", "`id` with `msg_` in front"),
    MAP("choices", "the first choice"),
    MAP("model", "`model`"),
    MAP("object", "`type` `message`"),
    MAP("usage", "`usage`: `input_tokens` without what was cached, `cache_read_input_tokens`, "
                 "`cache_creation_input_tokens`, `output_tokens`, "
                 "`output_tokens_details.thinking_tokens`"),
    MAP("error", "the error envelope (of a document), an error event (of a stream)"),
    IGNORE("created", "messages carry no time"),
    IGNORE("system_fingerprint", "messages have no such member"),
    IGNORE("service_tier", "means the upstream's tiers, not Anthropic's"),
    IGNORE("metadata", "messages have no such member"),
    DROP("moderation", "messages have no such member"),
};
const weir_translate_object_t weir_ca_answer = {"answer", ROWS(answer)};

static const weir_translate_row_t answer_choice[] = {
    MAP("index", "only choice 0 exists: the request asks for one"),
    MAP("message", "`content`"),
    MAP("finish_reason", "`stop_reason`: `stop` -> `end_turn` (`tool_use` when tools were called), "
                         "`length` -> `max_tokens`, `tool_calls` and `function_call` -> "
                         "`tool_use`, `content_filter` -> `refusal`, others -> `end_turn`"),
    NEAR("stop_reason",
         "an extension of vLLM and Weir's engine: a string is the `stop_sequence` that ended it, "
         "and `stop_reason` is `stop_sequence`. "
         "Other servers do not tell: their answer ends with `end_turn`"),
    DROP("logprobs", "messages have none; the request asks for none"),
};
const weir_translate_object_t weir_ca_choice = {"answer.choices", ROWS(answer_choice)};

static const weir_translate_row_t answer_message[] = {
    MAP("role", "`role`"),
    MAP("content", "a `text` block"),
    NEAR("refusal", "a `text` block, and `stop_reason` `refusal`"),
    NEAR("reasoning_content", "a `thinking` block with an empty signature"),
    NEAR("reasoning", "the same"),
    MAP("tool_calls", "`tool_use` blocks; arguments that are no JSON object become "
                      "`{\"invalid_arguments\": text}` and are counted"),
    DROP("annotations", "their offsets have no counterpart"),
    DROP("audio", "messages have no audio"),
    DROP("function_call", "the request offers tools only"),
};
const weir_translate_object_t weir_ca_message = {"answer.choices.message", ROWS(answer_message)};

static const weir_translate_row_t chunk[] = {
    MAP("id", "`message_start.message.id` with `msg_` in front"),
    MAP("choices", "the first choice"),
    MAP("model", "`message_start.message.model`"),
    MAP("object", "-"),
    MAP("usage", "`message_delta.usage`"),
    MAP("error", "stops the stream: `event: error`"),
    IGNORE("created", "messages carry no time"),
    IGNORE("system_fingerprint", "messages have no such member"),
    IGNORE("service_tier", "means the upstream's tiers"),
    IGNORE("obfuscation", "padding"),
    DROP("moderation", "messages have no such member"),
};
const weir_translate_object_t weir_ca_chunk = {"chunk", ROWS(chunk)};

static const weir_translate_row_t chunk_choice[] = {
    MAP("index", "only choice 0 exists"),
    MAP("delta", "content blocks"),
    MAP("finish_reason", "`message_delta.delta.stop_reason`"),
    NEAR("stop_reason", "`message_delta.delta.stop_sequence`"),
    DROP("logprobs", "messages have none"),
};
const weir_translate_object_t weir_ca_chunk_choice = {"chunk.choices", ROWS(chunk_choice)};

static const weir_translate_row_t delta[] = {
    IGNORE("role", "`message_start` says it"),
    MAP("content", "`text_delta`"),
    NEAR("refusal", "`text_delta`, and `stop_reason` `refusal`"),
    NEAR("reasoning_content", "`thinking_delta`"),
    NEAR("reasoning", "`thinking_delta`"),
    MAP("tool_calls",
        "`content_block_start` of a `tool_use` block, `input_json_delta`. Calls whose "
        "pieces come interleaved follow one after the other: the later ones are held "
        "until the earlier one's JSON is complete"),
    DROP("audio", "messages have no audio"),
    DROP("function_call", "the request offers tools only"),
};
const weir_translate_object_t weir_ca_delta = {"chunk.choices.delta", ROWS(delta)};

static const weir_translate_object_t *const answer_objects[] = {
    &weir_ca_answer, &weir_ca_choice,       &weir_ca_message,
    &weir_ca_chunk,  &weir_ca_chunk_choice, &weir_ca_delta,
};
const weir_translate_list_t weir_chat_answer_list = {ROWS(answer_objects)};
