#include "lua-free-filters/sse_from_json.h"

#include "lua-free-filters/include_usage.h"
#include "lua-free-filters/pipeline.h"
#include "t/support/tap.h"

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

/* Checks every event: JSON with the name that its type says. */
static weir_status_t check(void *self, weir_item_t *item, weir_sink_t *sink)
{
    bool *good = self;

    if (item->kind == WEIR_ITEM_EVENT) {
        const weir_json_doc_t *doc = weir_item_json(sink, item);
        *good = *good && doc != NULL;
        if (doc != NULL && item->name.len > 0) {
            weir_str_t type = weir_members_text(doc, weir_item_members(item)->type);
            *good = *good && weir_str_eq(type, item->name);
        }
    }
    return weir_sink_pass(sink, item);
}

static const weir_filter_table_t checker = {
    .name = "check", .flags = WEIR_FILTER_WATCHES, .feed = check};

static weir_usage_t usage;

static weir_str_t stream(weir_arena_t *arena, weir_protocol_t protocol, weir_str_t in, size_t piece,
                         bool hide)
{
    weir_scratch_t *scratch = weir_scratch_new();
    weir_buf_t *out = weir_arena_alloc(arena, sizeof(*out));
    weir_usage_reader_t *reader;
    weir_pipeline_t *p;
    bool good = true;

    weir_buf_init(out, arena);
    weir_usage_open(arena, &reader);
    weir_filter_t filters[] = {
        weir_usage_filter(reader), {&checker, &good}, weir_include_usage_filter()};
    weir_pipeline_config_t config = {.protocol = protocol,
                                     .upstream = protocol,
                                     .in = WEIR_BODY_JSON,
                                     .out = WEIR_BODY_SSE,
                                     .request_id = "r",
                                     .write = take,
                                     .write_ctx = out};
    weir_pipeline_open(arena, scratch, &config, filters, hide ? 3 : 2, &p);
    for (size_t at = 0; at < in.len; at += piece) {
        weir_pipeline_feed(p, in.data + at, piece < in.len - at ? piece : in.len - at);
    }
    weir_pipeline_finish(p, WEIR_END_COMPLETE);
    if (!good || !weir_pipeline_ended(p)) {
        ok(false, "an event is no JSON or has another name than type, or there is no end: %.*s",
           (int)in.len, in.data);
    }
    usage = *weir_usage_of(reader);
    weir_scratch_free(scratch);
    return weir_str(out->data, out->len);
}

static void expect(weir_arena_t *arena, weir_protocol_t protocol, const char *in, const char *want,
                   const char *name)
{
    weir_str_t text = weir_str(in, strlen(in));
    weir_str_t whole = stream(arena, protocol, text, text.len + 1, false);
    bool same = true;

    is_str(whole.data, whole.len, want, "%s", name);
    for (size_t piece = 1; piece <= text.len; piece += 7) {
        weir_str_t cut = stream(arena, protocol, text, piece, false);
        same = same && weir_str_eq(whole, cut);
    }
    ok(same, "%s: however it is cut", name);
}

#define HEAD \
    "\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\",\"x\":0.70,"

static void test_chat(weir_arena_t *arena)
{
    static const char answer[] =
        "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"m\",\"x\":0.70,"
        "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"
        "\"refusal\":null,\"reasoning_content\":\"h\\u00e9\",\"tool_calls\":[{\"id\":\"t1\","
        "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"t2\"}]"
        "}"
        ",\"logprobs\":null,\"finish_reason\":\"tool_calls\"},{\"index\":1,\"message\":{\"role\":"
        "\"assistant\",\"content\":\"Hi\"},\"logprobs\":{\"content\":[]},\"finish_reason\":null}],"
        "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";

    expect(arena, WEIR_PROTOCOL_CHAT, answer,
           "data: {" HEAD "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":"
           "null,\"reasoning_content\":\"h\\u00e9\",\"tool_calls\":[{\"index\":0,\"id\":\"t1\","
           "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"index\":1,"
           "\"id\":\"t2\"}]},\"logprobs\":null,\"finish_reason\":null}]}\n\n"
           "data: {" HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
           "\"finish_reason\":\"tool_calls\"}]}\n\n"
           "data: {" HEAD "\"choices\":[{\"index\":1,\"delta\":{\"role\":\"assistant\",\"content\":"
           "\"Hi\"},\"logprobs\":{\"content\":[]},\"finish_reason\":null}]}\n\n"
           "data: {" HEAD "\"choices\":[{\"index\":1,\"delta\":{},\"logprobs\":null,"
           "\"finish_reason\":\"stop\"}]}\n\n"
           "data: {" HEAD "\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}"
           "\n\ndata: [DONE]\n\n",
           "chat");
    ok(usage.has_usage && usage.tokens.completion_tokens == 2 && usage.content_deltas == 0 &&
           usage.text.ascii == 1 + 2 + 2 && usage.text.other == 1,
       "its usage is read once");
    weir_str_t hidden =
        stream(arena, WEIR_PROTOCOL_CHAT, weir_str(answer, sizeof(answer) - 1), 50, true);
    ok(memmem(hidden.data, hidden.len, "usage", 5) == NULL, "and hidden when nobody asked for it");

    expect(
        arena, WEIR_PROTOCOL_COMPLETIONS,
        "{\"id\":\"x\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"a\\n\","
        "\"logprobs\":null,\"finish_reason\":\"length\"}]}",
        "data: {\"id\":\"x\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":"
        "\"a\\n\",\"logprobs\":null,\"finish_reason\":null}]}\n\n"
        "data: {\"id\":\"x\",\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":"
        "\"\",\"logprobs\":null,\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n",
        "completions");
}

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define DELTA(i, type, rest) \
    EVENT("content_block_delta", ",\"index\":" i ",\"delta\":{\"type\":\"" type "\"," rest "}")
#define BLOCK(i, block) EVENT("content_block_start", ",\"index\":" i ",\"content_block\":" block)
#define STOP(i)         EVENT("content_block_stop", ",\"index\":" i "")

static void test_messages(weir_arena_t *arena)
{
    expect(
        arena, WEIR_PROTOCOL_MESSAGES,
        "{\"id\":\"msg\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\",\"content\":["
        "{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},"
        "{\"type\":\"text\",\"text\":\"a\\u00e9\",\"citations\":[{\"n\":1},{\"n\":2}]},"
        "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"k\" : \"v\\\"\"}},"
        "{\"type\":\"redacted_thinking\",\"data\":\"zz\"},7],"
        "\"stop_reason\":\"tool_use\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,"
        "\"output_tokens\":4}}",
        EVENT("message_start",
              ",\"message\":{\"id\":\"msg\",\"type\":\"message\",\"role\":\"assistant\",\"model\":"
              "\"c\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":"
              "{\"input_tokens\":3,\"output_tokens\":4}}") BLOCK("0",
                                                                 "{\"type\":\"thinking\","
                                                                 "\"thinking\":\"\",\"signature\":"
                                                                 "\"\"}")
            DELTA("0", "thinking_delta", "\"thinking\":\"hm\"") DELTA("0", "signature_delta",
                                                                      "\"signature\":\"s\"")
                STOP("0") BLOCK("1", "{\"type\":\"text\",\"text\":\"\",\"citations\":[]}") DELTA(
                    "1", "text_delta", "\"text\":\"a\\u00e9\"") DELTA("1", "citations_delta",
                                                                      "\"citation\":{\"n\":1}")
                    DELTA("1", "citations_delta", "\"citation\":{\"n\":2}") STOP("1") BLOCK(
                        "2", "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}")
                        DELTA("2", "input_json_delta",
                              "\"partial_json\":\"{\\\"k\\\" : \\\"v\\\\\\\"\\\"}\"") STOP("2")
                            BLOCK("3", "{\"type\":\"redacted_thinking\",\"data\":\"zz\"}") STOP("3")
                                EVENT("message_delta",
                                      ",\"delta\":{\"stop_reason\":\"tool_use\",\"stop_sequence\":"
                                      "null},\"usage\":{\"input_tokens\":3,\"output_tokens\":4}")
                                    EVENT("message_stop", ""),
        "messages");
}

#define NUMBERED(type, n, rest) EVENT(type, ",\"sequence_number\":" n "," rest)
#define PART(n)                 "\"item_id\":\"i\",\"output_index\":0,\"content_index\":" n ","

static void test_responses(weir_arena_t *arena)
{
#define MESSAGE                                                                           \
    "{\"type\":\"message\",\"id\":\"i\",\"status\":\"completed\",\"role\":\"assistant\"," \
    "\"content\":[{\"type\":\"output_text\",\"text\":\"Hi\",\"annotations\":[1]}]}"
#define CALL                                                                                   \
    "{\"type\":\"function_call\",\"id\":\"f\",\"call_id\":\"x\",\"name\":\"g\",\"arguments\":" \
    "\"{}\",\"status\":\"completed\"}"
#define REASONING "{\"type\":\"reasoning\",\"id\":\"r\",\"summary\":[]}"
#define LAST                                                                                       \
    "{\"id\":\"resp\",\"object\":\"response\",\"status\":\"completed\",\"error\":null,\"output\":" \
    "[" MESSAGE "," CALL "," REASONING "],\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}"
#define FIRST                                                                                     \
    "\"response\":{\"id\":\"resp\",\"object\":\"response\",\"status\":\"in_progress\",\"error\":" \
    "null,"                                                                                       \
    "\"output\":[],\"usage\":null}"
    expect(
        arena, WEIR_PROTOCOL_RESPONSES, LAST,
        NUMBERED("response.created", "0", FIRST) NUMBERED("response.in_progress", "1", FIRST)
            NUMBERED("response.output_item.added", "2",
                     "\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"i\",\"status\":"
                     "\"in_progress\",\"role\":\"assistant\",\"content\":[]}")
                NUMBERED("response.content_part.added", "3",
                         PART("0") "\"part\":{\"type\":\"output_text\",\"text\":\"\","
                                   "\"annotations\":[]}")
                    NUMBERED("response.output_text.delta", "4",
                             PART("0") "\"delta\":\"Hi\",\"logprobs\":[]")
                        NUMBERED("response.output_text.done", "5",
                                 PART("0") "\"text\":\"Hi\",\"logprobs\":[]")
                            NUMBERED("response.content_part.done", "6",
                                     PART("0") "\"part\":{\"type\":\"output_text\",\"text\":"
                                               "\"Hi\",\"annotations\":[1]}")
                                NUMBERED("response.output_item.done", "7",
                                         "\"output_index\":0,\"item\":" MESSAGE)
                                    NUMBERED("response.output_item.added", "8",
                                             "\"output_index\":1,\"item\":{\"type\":\"function_"
                                             "call\",\"id\":\"f\",\"call_id\":"
                                             "\"x\",\"name\":\"g\",\"arguments\":\"\",\"status\":"
                                             "\"in_progress\"}")
                                        NUMBERED(
                                            "response.function_call_arguments.delta", "9",
                                            "\"item_id\":\"f\",\"output_index\":1,\"delta\":\"{}\"")
                                            NUMBERED("response.function_call_arguments.done", "10",
                                                     "\"item_id\":\"f\",\"output_index\":1,"
                                                     "\"name\":\"g\",\"arguments\":\"{}\"")
                                                NUMBERED("response.output_item.done", "11",
                                                         "\"output_index\":1,\"item\":" CALL)
                                                    NUMBERED(
                                                        "response.output_item.added", "12",
                                                        "\"output_index\":2,\"item\":" REASONING)
                                                        NUMBERED("response.output_item.done", "13",
                                                                 "\"output_index\":2,"
                                                                 "\"item\":" REASONING)
                                                            NUMBERED("response.completed", "14",
                                                                     "\"response\":" LAST),
        "responses");
    weir_str_t text = WEIR_STR("{\"id\":\"r\",\"status\":\"incomplete\",\"output\":[4]}");
    weir_str_t out = stream(arena, WEIR_PROTOCOL_RESPONSES, text, 9, false);
    ok(memmem(out.data, out.len, "event: response.incomplete\n", 27) != NULL,
       "responses: an incomplete one ends so");
}

static void test_errors(weir_arena_t *arena)
{
#define NO_ANSWER "the upstream answered a request for a stream with a document that is no answer"
    expect(arena, WEIR_PROTOCOL_CHAT,
           "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":null}}",
           "data: {\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":null}}\n\n",
           "an OpenAI error stays");
    expect(arena, WEIR_PROTOCOL_CHAT, "{\"error\":\"text\"}",
           "data: {\"error\":{\"message\":\"text\",\"type\":\"server_error\",\"param\":null,"
           "\"code\":\"upstream_error\"}}\n\n",
           "an error that is a text gets the shape");
    expect(arena, WEIR_PROTOCOL_COMPLETIONS, "not JSON",
           "data: {\"error\":{\"message\":\"" NO_ANSWER
           "\",\"type\":\"server_error\",\"param\":null,"
           "\"code\":\"upstream_error\"}}\n\n",
           "what is no JSON is an error");
    expect(arena, WEIR_PROTOCOL_MESSAGES,
           "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}",
           "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
           "\"message\":\"m\"}}\n\n",
           "an Anthropic error stays");
    expect(arena, WEIR_PROTOCOL_MESSAGES, "{\"error\":{\"message\":\"m\"}}",
           "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":"
           "\"m\",\"details\":{\"error_code\":\"upstream_error\"}},\"request_id\":\"r\"}\n\n",
           "another one gets its shape");
    expect(arena, WEIR_PROTOCOL_RESPONSES, "{\"error\":{\"message\":\"m\",\"code\":\"c\"}}",
           "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":\"c\","
           "\"message\":\"m\",\"param\":null}\n\n",
           "an error on the Responses API");
    expect(arena, WEIR_PROTOCOL_RESPONSES, "",
           "event: error\ndata: {\"type\":\"error\",\"sequence_number\":0,\"code\":null,"
           "\"message\":\"" NO_ANSWER "\",\"param\":null}\n\n",
           "an empty body");
}

int main(void)
{
    weir_arena_t arena;

    weir_arena_init(&arena, 0, 0);
    test_chat(&arena);
    test_messages(&arena);
    test_responses(&arena);
    test_errors(&arena);
    weir_arena_free(&arena);
    return done_testing();
}
