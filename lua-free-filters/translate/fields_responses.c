/* OpenAI responses to chat completions: every member of a request, and of the chat answer that
 * comes back. */
#include "lua-free-filters/translate/fields.h"

#define BREAKPOINT IGNORE("prompt_cache_breakpoint", "a hint about money and speed")
#define STATEFUL   "the upstream keeps no state: send the whole conversation in input"

static const weir_translate_row_t request[] = {
    MAP("model", "`model`, or the name that the gateway's route gives"),
    MAP("input", "`messages`"),
    MAP("instructions", "a first message with the role `system`"),
    MAP("max_output_tokens", "`max_completion_tokens` (`max_tokens` for old upstreams)"),
    MAP("temperature", "`temperature`"),
    MAP("top_p", "`top_p`"),
    MAP("top_logprobs", "`logprobs` and `top_logprobs`"),
    NEAR("include", "`message.output_text.logprobs` becomes `logprobs`, "
                    "`reasoning.encrypted_content` is ignored (nothing is stored that had to be "
                    "carried), others are dropped"),
    MAP("tools", "`tools`"),
    MAP("tool_choice", "`tool_choice`"),
    MAP("parallel_tool_calls", "`parallel_tool_calls`"),
    MAP("text", "`response_format` and `verbosity`"),
    MAP("reasoning", "`reasoning_effort`"),
    MAP("stream", "`stream`, with `stream_options.include_usage`"),
    MAP("stream_options", "see below"),
    MAP("user", "`user`"),
    MAP("safety_identifier", "`safety_identifier`"),
    NEAR("service_tier", "`service_tier`; `ultrafast` becomes `fast`"),
    MAP("prompt_cache_key", "`prompt_cache_key`"),
    IGNORE("prompt_cache_options", "a hint about money and speed"),
    IGNORE("prompt_cache_retention", "a hint about money and speed"),
    IGNORE("metadata", "repeated in the answer"),
    IGNORE("max_tool_calls", "counts calls of built-in tools, which are refused"),
    IGNORE("extra_headers", "of the SDK"),
    DROP("truncation", "`auto`: the upstream refuses what is too long instead of cutting it"),
    DROP("access_programs", "OpenAI's"),
    DROP("image", "the upstream decides what it does with images"),
    NEAR("store", "false; true is refused: the gateway stores no answers. Absent means false here"),
    REFUSE("background", "the answer cannot be fetched later: send background false"),
    REFUSE("previous_response_id", STATEFUL),
    REFUSE("conversation", STATEFUL),
    REFUSE("prompt", "the prompt lies at OpenAI: send its text"),
    REFUSE("context_management", "the upstream keeps the whole context"),
    REFUSE("moderation", "the upstream does not moderate; use the gateway's guardrails"),
};
const weir_translate_object_t weir_r_request = {"request", ROWS(request)};

#define SERVER "a call of a tool that OpenAI's servers run"
static const weir_translate_row_t input[] = {
    MAP("message", "a message (`type` may be absent where there is a `role`)"),
    MAP("function_call", "an element of `tool_calls` of the assistant message before it"),
    MAP("function_call_output", "a `tool` message; images follow in a `user` message"),
    NEAR("custom_tool_call", "a call of a function with the argument `input`"),
    NEAR("custom_tool_call_output", "a `tool` message"),
    NEAR("reasoning", "`reasoning_content` of the assistant message behind it (left out for a "
                      "strict upstream)"),
    DROP("web_search_call", SERVER),
    DROP("file_search_call", SERVER),
    DROP("code_interpreter_call", SERVER),
    DROP("image_generation_call", SERVER),
    DROP("mcp_list_tools", SERVER),
    DROP("mcp_call", SERVER),
    DROP("mcp_approval_request", SERVER),
    DROP("mcp_approval_response", SERVER),
    DROP("tool_search_call", SERVER),
    DROP("tool_search_output", SERVER),
    DROP("program", SERVER),
    DROP("program_output", SERVER),
    DROP("configuration_update", "send the settings with the request"),
    REFUSE("item_reference", STATEFUL),
    REFUSE("compaction", "only OpenAI can read it"),
    REFUSE("compaction_trigger", "the upstream does not compact"),
    REFUSE("computer_call", "the upstream's model knows no computer tool"),
    REFUSE("computer_call_output", "the upstream's model knows no computer tool"),
    REFUSE("local_shell_call", "the upstream's model knows no shell tool: offer a function"),
    REFUSE("local_shell_call_output", "the upstream's model knows no shell tool"),
    REFUSE("shell_call", "the upstream's model knows no shell tool: offer a function"),
    REFUSE("shell_call_output", "the upstream's model knows no shell tool"),
    REFUSE("apply_patch_call", "the upstream's model knows no patch tool: offer a function"),
    REFUSE("apply_patch_call_output", "the upstream's model knows no patch tool"),
    REFUSE("agent_message", "the upstream knows no agents"),
    REFUSE("multi_agent_call", "the upstream knows no agents"),
    REFUSE("multi_agent_call_output", "the upstream knows no agents"),
    REFUSE("additional_tools", "send the tools with the request"),
};
const weir_translate_object_t weir_r_input = {"input", ROWS(input)};

static const weir_translate_row_t message[] = {
    IGNORE("type", "`message`"),
    IGNORE("id", "of a stored item"),
    IGNORE("status", "of a stored item"),
    MAP("role", "`role`; `developer` becomes `system`, which all servers know"),
    MAP("content", "`content`"),
    IGNORE("phase", "a note of OpenAI's models to themselves"),
};
const weir_translate_object_t weir_r_message = {"input.message", ROWS(message)};

static const weir_translate_row_t content[] = {
    MAP("input_text", "a text part"),
    MAP("output_text", "a text part, or the text of an assistant message"),
    MAP("text", "the same"),
    MAP("refusal", "the text of an assistant message"),
    MAP("input_image", "an `image_url` part"),
    NEAR("input_file", "a `file` part"),
    REFUSE("input_audio", "the upstream's chat takes no audio this way"),
};
const weir_translate_object_t weir_r_content = {"content", ROWS(content)};

static const weir_translate_row_t text[] = {
    MAP("type", "`text`"),
    MAP("text", "`text`"),
    BREAKPOINT,
};
const weir_translate_object_t weir_r_text = {"content.input_text", ROWS(text)};

static const weir_translate_row_t output_text[] = {
    MAP("type", "`text`"),
    MAP("text", "`text`"),
    IGNORE("annotations", "of an earlier answer"),
    IGNORE("logprobs", "of an earlier answer"),
};
const weir_translate_object_t weir_r_output_text = {"content.output_text", ROWS(output_text)};

static const weir_translate_row_t refusal[] = {
    MAP("type", "`text`"),
    MAP("refusal", "text"),
};
const weir_translate_object_t weir_r_refusal = {"content.refusal", ROWS(refusal)};

static const weir_translate_row_t image[] = {
    MAP("type", "`image_url`"),
    MAP("image_url", "`image_url.url`"),
    MAP("detail", "`image_url.detail`"),
    BREAKPOINT,
    REFUSE("file_id", "the file lies at OpenAI: send image_url"),
};
const weir_translate_object_t weir_r_image = {"content.input_image", ROWS(image)};

static const weir_translate_row_t file[] = {
    MAP("type", "`file`"),
    MAP("file_data", "`file.file_data`"),
    MAP("filename", "`file.filename`"),
    DROP("detail", "chat completions have none for files"),
    BREAKPOINT,
    REFUSE("file_id", "the file lies at OpenAI: send file_data"),
    REFUSE("file_url", "chat completions take no address of a file: send file_data"),
};
const weir_translate_object_t weir_r_file = {"content.input_file", ROWS(file)};

static const weir_translate_row_t call[] = {
    MAP("type", "`function`"),
    MAP("call_id", "`id`"),
    MAP("name", "`function.name`"),
    MAP("arguments", "`function.arguments`"),
    IGNORE("id", "of a stored item"),
    IGNORE("status", "of a stored item"),
    IGNORE("caller", "always the model"),
    DROP("async", "the upstream waits for results"),
    DROP("namespace", "the upstream knows no namespaces"),
};
const weir_translate_object_t weir_r_call = {"input.function_call", ROWS(call)};

static const weir_translate_row_t call_output[] = {
    MAP("type", "`role` `tool`"),
    MAP("call_id", "`tool_call_id`"),
    NEAR("output", "`content`; images and files follow in a `user` message"),
    IGNORE("id", "of a stored item"),
    IGNORE("status", "of a stored item"),
    IGNORE("caller", "always the model"),
    IGNORE("name", "the id says it"),
    DROP("namespace", "the upstream knows no namespaces"),
};
const weir_translate_object_t weir_r_call_output = {"input.function_call_output",
                                                    ROWS(call_output)};

static const weir_translate_row_t custom_call[] = {
    MAP("type", "`function`"),
    MAP("call_id", "`id`"),
    MAP("name", "`function.name`"),
    NEAR("input", "`function.arguments` `{\"input\": ...}`"),
    IGNORE("id", "of a stored item"),
    IGNORE("status", "of a stored item"),
    IGNORE("caller", "always the model"),
    DROP("async", "the upstream waits for results"),
    DROP("namespace", "the upstream knows no namespaces"),
};
const weir_translate_object_t weir_r_custom_call = {"input.custom_tool_call", ROWS(custom_call)};
const weir_translate_object_t weir_r_custom_output = {"input.custom_tool_call_output",
                                                      ROWS(call_output)};

static const weir_translate_row_t reasoning_item[] = {
    MAP("type", "-"),
    IGNORE("id", "of a stored item"),
    IGNORE("status", "of a stored item"),
    NEAR("content", "`reasoning_content`"),
    NEAR("summary", "`reasoning_content`, where there is no `content`"),
    DROP("encrypted_content", "only OpenAI can read it"),
};
const weir_translate_object_t weir_r_reasoning_item = {"input.reasoning", ROWS(reasoning_item)};

static const weir_translate_row_t reasoning_text[] = {
    MAP("type", "-"),
    MAP("text", "`reasoning_content`"),
};
static const weir_translate_object_t reasoning_content = {"input.reasoning.content.*",
                                                          ROWS(reasoning_text)};
static const weir_translate_object_t reasoning_summary = {"input.reasoning.summary.*",
                                                          ROWS(reasoning_text)};
static const weir_translate_row_t reasoning_kinds[] = {
    NEAR("reasoning_text", "`reasoning_content`"),
    NEAR("summary_text", "`reasoning_content`"),
};
static const weir_translate_object_t reasoning_content_kinds = {"input.reasoning.content",
                                                                ROWS(reasoning_kinds)};
static const weir_translate_object_t reasoning_summary_kinds = {"input.reasoning.summary",
                                                                ROWS(reasoning_kinds)};

#define BUILT_IN "OpenAI's servers run it: offer a function of your own"
static const weir_translate_row_t tools[] = {
    MAP("function", "a `function` tool"),
    NEAR("custom", "a function with one string, `input`; its calls come back as custom tool calls"),
    REFUSE("file_search", BUILT_IN),
    REFUSE("web_search*", BUILT_IN),
    REFUSE("code_interpreter", BUILT_IN),
    REFUSE("image_generation", BUILT_IN),
    REFUSE("mcp", "OpenAI's servers call it: call MCP servers in the client"),
    REFUSE("programmatic_tool_calling", BUILT_IN),
    REFUSE("tool_search", BUILT_IN),
    REFUSE("computer*",
           "the upstream's model knows no such tool without a schema: offer a function"),
    REFUSE("local_shell", "the upstream's model knows no such tool: offer a function"),
    REFUSE("shell", "the upstream's model knows no such tool: offer a function"),
    REFUSE("apply_patch", "the upstream's model knows no such tool: offer a function"),
    REFUSE("namespace", "the upstream knows no namespaces: offer the functions themselves"),
};
const weir_translate_object_t weir_r_tools = {"tools", ROWS(tools)};

static const weir_translate_row_t function[] = {
    MAP("type", "`function`"),
    MAP("name", "`function.name`"),
    MAP("description", "`function.description`"),
    MAP("parameters", "`function.parameters`, as it stands"),
    MAP("strict", "`function.strict`"),
    DROP("async", "the upstream waits for results"),
    DROP("allowed_callers", "the upstream's model calls all tools directly"),
    DROP("defer_loading", "the upstream sees all tools at once"),
    DROP("output_schema", "chat completions have none"),
};
const weir_translate_object_t weir_r_function = {"tools.function", ROWS(function)};

static const weir_translate_row_t custom[] = {
    MAP("type", "`function`"),
    MAP("name", "`function.name`"),
    MAP("description", "`function.description`"),
    DROP("format", "a grammar of the input; the upstream writes what it likes"),
    DROP("async", "the upstream waits for results"),
    DROP("allowed_callers", "the upstream's model calls all tools directly"),
    DROP("defer_loading", "the upstream sees all tools at once"),
};
const weir_translate_object_t weir_r_custom = {"tools.custom", ROWS(custom)};

static const weir_translate_row_t tool_choice[] = {
    MAP("none", "`none`"),
    MAP("auto", "`auto`"),
    MAP("required", "`required`"),
    MAP("function", "`{type: function, function: {name}}`"),
    NEAR("custom", "the same"),
    MAP("allowed_tools", "`auto` or `required`, and only the allowed tools are sent"),
    REFUSE("file_search", BUILT_IN),
    REFUSE("web_search_preview*", BUILT_IN),
    REFUSE("computer*", BUILT_IN),
    REFUSE("image_generation", BUILT_IN),
    REFUSE("code_interpreter", BUILT_IN),
    REFUSE("mcp", BUILT_IN),
    REFUSE("programmatic_tool_calling", BUILT_IN),
    REFUSE("apply_patch", BUILT_IN),
    REFUSE("shell", BUILT_IN),
};
const weir_translate_object_t weir_r_tool_choice = {"tool_choice", ROWS(tool_choice)};

static const weir_translate_row_t choice[] = {
    MAP("type", "see above"),
    MAP("name", "`function.name`"),
    MAP("mode", "of `allowed_tools`: `auto` or `required`"),
    MAP("tools", "of `allowed_tools`: the others are left out of `tools`"),
};
const weir_translate_object_t weir_r_named_choice = {"tool_choice.*", ROWS(choice)};

static const weir_translate_row_t reasoning[] = {
    MAP("effort", "`reasoning_effort`"),
    IGNORE("summary", "reasoning arrives as the upstream writes it"),
    IGNORE("generate_summary", "the same"),
    DROP("context", "the upstream's template decides what it shows the model again"),
    DROP("mode", "the upstream has one"),
};
const weir_translate_object_t weir_r_reasoning = {"reasoning", ROWS(reasoning)};

static const weir_translate_row_t text_config[] = {
    MAP("format", "`response_format`"),
    MAP("verbosity", "`verbosity`"),
};
const weir_translate_object_t weir_r_text_config = {"text", ROWS(text_config)};

static const weir_translate_row_t format[] = {
    MAP("text", "nothing"),
    MAP("json_object", "`{type: json_object}`"),
    MAP("json_schema", "`{type: json_schema, json_schema: {...}}`"),
};
const weir_translate_object_t weir_r_format = {"text.format", ROWS(format)};

static const weir_translate_row_t json_schema[] = {
    MAP("type", "`type`"),
    MAP("name", "`json_schema.name`"),
    MAP("schema", "`json_schema.schema`, as it stands"),
    MAP("description", "`json_schema.description`"),
    MAP("strict", "`json_schema.strict`"),
};
const weir_translate_object_t weir_r_json_schema = {"text.format.*", ROWS(json_schema)};

static const weir_translate_row_t stream_options[] = {
    IGNORE("include_obfuscation", "padding"),
};
const weir_translate_object_t weir_r_stream_options = {"stream_options", ROWS(stream_options)};

static const weir_translate_object_t *const request_objects[] = {
    &weir_r_request,
    &weir_r_input,
    &weir_r_message,
    &weir_r_content,
    &weir_r_text,
    &weir_r_output_text,
    &weir_r_refusal,
    &weir_r_image,
    &weir_r_file,
    &weir_r_call,
    &weir_r_call_output,
    &weir_r_custom_call,
    &weir_r_custom_output,
    &weir_r_reasoning_item,
    &reasoning_content_kinds,
    &reasoning_content,
    &reasoning_summary_kinds,
    &reasoning_summary,
    &weir_r_tools,
    &weir_r_function,
    &weir_r_custom,
    &weir_r_tool_choice,
    &weir_r_named_choice,
    &weir_r_reasoning,
    &weir_r_text_config,
    &weir_r_format,
    &weir_r_json_schema,
    &weir_r_stream_options,
};
const weir_translate_list_t weir_responses_request_list = {ROWS(request_objects)};

/* --- the chat answer, for a responses client --- */

static const weir_translate_row_t answer[] = {
    MAP("id", "`id` with `resp_` in front"),
    MAP("choices", "`output`, of the first choice"),
    MAP("created", "`created_at`"),
    MAP("model", "`model`"),
    MAP("object", "`object` `response`"),
    MAP("usage", "`usage`: `input_tokens` with `cached_tokens` and `cache_write_tokens`, "
                 "`output_tokens` with `reasoning_tokens`, `total_tokens`"),
    MAP("service_tier", "`service_tier`"),
    MAP("error", "the error envelope (of a document), `response.failed` (of a stream)"),
    IGNORE("system_fingerprint", "responses have no such member"),
    IGNORE("metadata", "the request's is repeated"),
    DROP("moderation", "the request asks for none"),
};
const weir_translate_object_t weir_ra_answer = {"answer", ROWS(answer)};

static const weir_translate_row_t answer_choice[] = {
    MAP("index", "only choice 0 exists"),
    MAP("message", "output items: `reasoning`, `message`, `function_call`"),
    MAP("finish_reason", "`status` `completed`; `length` -> `incomplete` with "
                         "`max_output_tokens`, `content_filter` -> `incomplete` with "
                         "`content_filter`"),
    MAP("logprobs", "`logprobs` of the `output_text`"),
    IGNORE("stop_reason", "an extension"),
};
const weir_translate_object_t weir_ra_choice = {"answer.choices", ROWS(answer_choice)};

static const weir_translate_row_t answer_message[] = {
    MAP("role", "`role`"),
    MAP("content", "a `message` item with `output_text`"),
    MAP("refusal", "a `message` item with `refusal`"),
    NEAR("reasoning_content", "a `reasoning` item with `reasoning_text`"),
    NEAR("reasoning", "the same"),
    MAP("tool_calls", "`function_call` items, `custom_tool_call` for custom tools"),
    DROP("annotations", "of another form"),
    DROP("audio", "the request asks for none"),
    DROP("function_call", "the request offers tools only"),
};
const weir_translate_object_t weir_ra_message = {"answer.choices.message", ROWS(answer_message)};

static const weir_translate_row_t chunk[] = {
    MAP("id", "`response.id` with `resp_` in front"),
    MAP("choices", "the first choice"),
    MAP("created", "`response.created_at`"),
    MAP("model", "`response.model`"),
    MAP("object", "-"),
    MAP("usage", "`response.usage` of the last event"),
    MAP("error", "stops the stream: `response.failed`"),
    IGNORE("system_fingerprint", "responses have no such member"),
    IGNORE("service_tier", "of a stream: not repeated"),
    IGNORE("obfuscation", "padding"),
    DROP("moderation", "the request asks for none"),
};
const weir_translate_object_t weir_ra_chunk = {"chunk", ROWS(chunk)};

static const weir_translate_row_t chunk_choice[] = {
    MAP("index", "only choice 0 exists"),
    MAP("delta", "see below"),
    MAP("finish_reason", "the last event: `response.completed` or `response.incomplete`"),
    NEAR("logprobs", "`logprobs` of the `response.output_text.delta`; the `done` events repeat "
                     "none"),
    IGNORE("stop_reason", "an extension"),
};
const weir_translate_object_t weir_ra_chunk_choice = {"chunk.choices", ROWS(chunk_choice)};

static const weir_translate_row_t delta[] = {
    IGNORE("role", "the items say it"),
    MAP("content", "`response.output_text.delta`"),
    MAP("refusal", "`response.refusal.delta`"),
    NEAR("reasoning_content", "`response.reasoning_text.delta`"),
    NEAR("reasoning", "the same"),
    MAP("tool_calls", "`response.output_item.added` and "
                      "`response.function_call_arguments.delta`; a custom tool's input comes in "
                      "one `response.custom_tool_call_input.delta`"),
    DROP("audio", "the request asks for none"),
    DROP("function_call", "the request offers tools only"),
};
const weir_translate_object_t weir_ra_delta = {"chunk.choices.delta", ROWS(delta)};

static const weir_translate_object_t *const answer_objects[] = {
    &weir_ra_answer, &weir_ra_choice,       &weir_ra_message,
    &weir_ra_chunk,  &weir_ra_chunk_choice, &weir_ra_delta,
};
const weir_translate_list_t weir_responses_answer_list = {ROWS(answer_objects)};
