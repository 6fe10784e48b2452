#include "lua-free-filters/pipeline.h"
#include "lua-free-filters/translate/translate.h"

#include <stdio.h>

#include "t/support/tap.h"

/* One answer's way through a pipeline with the translator in it. */
typedef struct {
    weir_protocol_t client;
    weir_protocol_t upstream;
    const char *request;
    weir_translate_options_t options;
    bool json;
    unsigned status; /* 0: not told */
    weir_end_t why;
    size_t piece; /* 0: at once */
    rng_t *rng;   /* pieces of random sizes */
} way_t;

static rng_t seeded;

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

static weir_translation_t *open(weir_arena_t *arena, const way_t *way)
{
    weir_json_doc_t doc;
    weir_buf_t body;
    weir_error_t err;
    weir_translation_t *tr = NULL;
    weir_buf_init(&body, arena);
    if (weir_json_parse(way->request, strlen(way->request), NULL, arena, &doc, &err) != WEIR_OK ||
        weir_translate_request(way->client, way->upstream, &doc, &way->options, arena, &body, &tr,
                               &err) != WEIR_OK) {
        ok(false, "the test's request is translated: %s", err.message);
    }
    return tr;
}

static void feed(weir_pipeline_t *pipeline, const way_t *way, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        size_t n = way->rng != NULL  ? 1 + rng_below(way->rng, 60)
                   : way->piece != 0 ? way->piece
                                     : len;
        n = n < len - at ? n : len - at;
        weir_pipeline_feed(pipeline, text + at, n);
        at += n;
    }
}

/* What the client gets for text; *result (may be NULL) keeps the translation. */
static weir_str_t run(weir_arena_t *arena, const way_t *way, const char *text,
                      weir_translation_t **result)
{
    weir_buf_t out;
    weir_pipeline_t *pipeline;
    weir_scratch_t *scratch = weir_scratch_new();
    weir_translation_t *tr = open(arena, way);
    weir_body_t kind = way->json ? WEIR_BODY_JSON : WEIR_BODY_SSE;
    weir_pipeline_config_t config = {.protocol = way->client,
                                     .upstream = way->upstream,
                                     .in = kind,
                                     .out = kind,
                                     .request_id = "r",
                                     .now = 17,
                                     .write = take,
                                     .write_ctx = &out};
    weir_buf_init(&out, arena);
    if (tr == NULL) {
        return WEIR_STR("");
    }
    if (way->status != 0) {
        weir_translation_answered(tr, way->status);
    }
    weir_filter_t filter = weir_translate_filter(tr);
    if (weir_pipeline_open(arena, scratch, &config, &filter, 1, &pipeline) == WEIR_OK) {
        feed(pipeline, way, text);
        weir_pipeline_finish(pipeline, way->why);
    }
    weir_scratch_free(scratch);
    if (result != NULL) {
        *result = tr;
    }
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

/* The output, and that it does not depend on how the input is cut. */
static void gives(way_t way, const char *text, const char *want, const char *name)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    weir_str_t whole = run(&arena, &way, text, NULL);
    is_str(whole.data, whole.len, want, "%s", name);
    bool same = true;
    for (way.piece = 1; way.piece < 40; way.piece += way.piece < 8 ? 1 : 7) {
        same = same && weir_str_eq(whole, run(&arena, &way, text, NULL));
    }
    way.rng = &seeded;
    for (int i = 0; i < 20; i++) {
        same = same && weir_str_eq(whole, run(&arena, &way, text, NULL));
    }
    ok(same, "%s: whatever the pieces", name);
    weir_arena_free(&arena);
}

static bool contains(weir_str_t text, const char *needle)
{
    return memmem(text.data, text.len, needle, strlen(needle)) != NULL;
}

#define MESSAGES                                                                                \
    {                                                                                           \
        .client = WEIR_PROTOCOL_MESSAGES, .upstream = WEIR_PROTOCOL_CHAT,                       \
        .request = "{\"model\":\"q\",\"max_tokens\":5,\"stream\":true,\"messages\":[{\"role\":" \
                   "\"user\",\"content\":\"x\"}]}"                                              \
    }
#define CHAT                                                                                       \
    {                                                                                              \
        .client = WEIR_PROTOCOL_CHAT, .upstream = WEIR_PROTOCOL_MESSAGES,                          \
        .request = "{\"model\":\"q\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," \
                   "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",                        \
        .options = {                                                                               \
            .now = 17                                                                              \
        }                                                                                          \
    }
#define RESPONSES                                                          \
    {                                                                      \
        .client = WEIR_PROTOCOL_RESPONSES, .upstream = WEIR_PROTOCOL_CHAT, \
        .request = "{\"model\":\"q\",\"stream\":true,\"input\":\"x\"}"     \
    }

/* A chunk of a chat upstream with this delta, or with this last part. */
#define CHUNK(delta)                                                                           \
    "data: {\"id\":\"chatcmpl-1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{" delta \
    "}}]}\n\n"
#define FINISH(reason)                                                                        \
    "data: "                                                                                  \
    "{\"id\":\"chatcmpl-1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_" \
    "reason\":\"" reason "\"}]}\n\n"
#define USAGE                                                                                 \
    "data: "                                                                                  \
    "{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"prompt_tokens_" \
    "details\":{\"cached_tokens\":3}}}\n\n"
#define DONE "data: [DONE]\n\n"

/* Events of a messages client. */
#define EVENT(name, rest) "event: " name "\ndata: {\"type\":\"" name "\"" rest "}\n\n"
#define M_START                                                                                   \
    EVENT("message_start",                                                                        \
          ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":" \
          "\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_"  \
          "tokens\":0,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_"  \
          "tokens\":0}}")
#define M_TEXT(i)                \
    EVENT("content_block_start", \
          ",\"index\":" i ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
#define M_THINKING(i)            \
    EVENT("content_block_start", \
          ",\"index\":" i        \
          ",\"content_block\":{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}")
#define M_TOOL(i, id, f)                                                           \
    EVENT("content_block_start",                                                   \
          ",\"index\":" i ",\"content_block\":{\"type\":\"tool_use\",\"id\":\"" id \
          "\",\"name\":\"" f "\",\"input\":{}}")
#define M_DELTA(i, delta)     EVENT("content_block_delta", ",\"index\":" i ",\"delta\":{" delta "}")
#define M_TEXT_DELTA(i, text) M_DELTA(i, "\"type\":\"text_delta\",\"text\":\"" text "\"")
#define M_JSON_DELTA(i, text) \
    M_DELTA(i, "\"type\":\"input_json_delta\",\"partial_json\":\"" text "\"")
#define M_STOP(i) EVENT("content_block_stop", ",\"index\":" i)
#define M_END(reason, usage)                                                   \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason             \
                           "\",\"stop_sequence\":null},\"usage\":{" usage "}") \
    EVENT("message_stop", "")
#define M_USAGE                                                                                    \
    "\"input_tokens\":6,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":3,\"output_" \
    "tokens\":4"
#define M_NO_USAGE                                                                                 \
    "\"input_tokens\":0,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_" \
    "tokens\":0"
#define CUT_TEXT \
    "The upstream broke off before the answer was complete; what has arrived is not all of it."
#define M_CODE(code) ",\"details\":{\"error_code\":\"" code "\"}"
#define M_CUT                                                                       \
    "event: error\ndata: "                                                          \
    "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"" CUT_TEXT \
    "\"" M_CODE("upstream_error") "},\"request_id\":\"r\"}\n\n"

#define CALL(i, id, f)                                                                     \
    "{\"index\":" i ",\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"" f \
    "\",\"arguments\":\"\"}}"
#define PIECE(i, text) "{\"index\":" i ",\"function\":{\"arguments\":\"" text "\"}}"

static void test_messages(void)
{
    way_t way = MESSAGES;
    gives(way,
          CHUNK("\"role\":\"assistant\",\"content\":\"\"") ": ping\n\n" CHUNK(
              "\"reasoning_content\":\"th\"") CHUNK("\"reasoning\":\"ink\"")
              CHUNK("\"content\":\"a\\u00e9\\n\"") CHUNK("\"content\":\"\\/b\"") FINISH("stop")
                  USAGE DONE,
          M_START ": ping\n\n" M_THINKING("0")
              M_DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"th\"")
                  M_DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"ink\"") M_STOP("0")
                      M_TEXT("1") M_TEXT_DELTA("1", "a\\u00e9\\n") M_TEXT_DELTA("1", "\\/b")
                          M_STOP("1") M_END("end_turn", M_USAGE),
          "messages: thinking, text, usage");
    gives(way, CHUNK("\"content\":\"a\"") FINISH("length"),
          M_START M_TEXT("0") M_TEXT_DELTA("0", "a") M_STOP("0") M_END("max_tokens", M_NO_USAGE),
          "messages: an orderly end behind the finish reason is an end");
    gives(way,
          CHUNK("\"tool_calls\":[" CALL("0", "c", "f") "," CALL("1", "d", "g") "]")
              CHUNK("\"tool_calls\":[" PIECE("1", "{\\\"b\\\":\\\"}") "]")
                  CHUNK("\"tool_calls\":[" PIECE("0", "{\\\"a\\\":[") "]") CHUNK(
                      "\"tool_calls\":[" PIECE("0", "1]}") "," PIECE("1", "\\\\\\\"\\\"}") "]")
                      FINISH("tool_calls") DONE,
          M_START M_TOOL("0", "c", "f") M_JSON_DELTA("0", "{\\\"a\\\":[") M_JSON_DELTA("0", "1]}")
              M_STOP("0") M_TOOL("1", "d", "g") M_JSON_DELTA("1", "{\\\"b\\\":\\\"}")
                  M_JSON_DELTA("1", "\\\\\\\"\\\"}") M_STOP("1") M_END("tool_use", M_NO_USAGE),
          "messages: interleaved calls follow one another");
    gives(way,
          CHUNK("\"tool_calls\":[" CALL("0", "c", "f") "," CALL("1", "d", "g") "]")
              CHUNK("\"tool_calls\":[" PIECE("0", "{\\\"a\\\":\\\"\\\\\\\"}") "]")
                  CHUNK("\"tool_calls\":[" PIECE("1", "{}") "," PIECE("0", "\\\"}") "]")
                      FINISH("tool_calls") DONE,
          M_START M_TOOL("0", "c", "f") M_JSON_DELTA("0", "{\\\"a\\\":\\\"\\\\\\\"}")
              M_JSON_DELTA("0", "\\\"}") M_STOP("0") M_TOOL("1", "d", "g") M_JSON_DELTA("1", "{}")
                  M_STOP("1") M_END("tool_use", M_NO_USAGE),
          "messages: a bracket behind an escaped quote ends no object");
    gives(way,
          CHUNK("\"tool_calls\":[" CALL("0", "c", "f") "]")
              CHUNK("\"tool_calls\":[" CALL("0", "d", "g") "]") FINISH("stop") DONE,
          M_START M_TOOL("0", "c", "f") M_STOP("0") M_TOOL("1", "d", "g") M_STOP("1")
              M_END("tool_use", M_NO_USAGE),
          "messages: another id is another call, and tools end a turn with tool_use");
}

static void test_messages_broken(void)
{
    way_t way = MESSAGES;
    way.why = WEIR_END_CUT;
    gives(way, CHUNK("\"content\":\"a\"") "data: {\"choices\":[{\"ind",
          M_START M_TEXT("0") M_TEXT_DELTA("0", "a") M_CUT, "messages: a cut is an error");
    gives(way, CHUNK("\"content\":\"a\"") FINISH("stop"),
          M_START M_TEXT("0") M_TEXT_DELTA("0", "a") M_CUT,
          "messages: a cut behind the finish reason too");
    way.why = WEIR_END_COMPLETE;
    gives(way, CHUNK("\"content\":\"a\""), M_START M_TEXT("0") M_TEXT_DELTA("0", "a") M_CUT,
          "messages: an end without a finish reason is a cut");
    gives(way, CHUNK("\"content\":\"a\"") "data: nonsense\n\n" FINISH("stop") DONE,
          M_START M_TEXT("0") M_TEXT_DELTA(
              "0", "a") "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\","
                        "\"message\":\"the upstream sent an event that is no JSON object\"" M_CODE(
                            "upstream_error") "},"
                                              "\"request_id\":\"r\"}\n\n",
          "messages: an event that is no JSON ends it");
    gives(way,
          CHUNK("\"content\":\"a\"") "data: {\"error\":{\"message\":\"no more\",\"type\":"
                                     "\"overloaded_error\"}}\n\n" DONE,
          M_START M_TEXT("0")
              M_TEXT_DELTA("0", "a") "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":"
                                     "\"overloaded_error\",\"message\":\"no more\"" M_CODE(
                                         "overloaded") "},\"request_id\":\"r\"}\n\n",
          "messages: an error in the stream");
}

/* Chunks of a chat client, and events of an Anthropic upstream. */
#define C_CHUNK(delta, finish)                                                                    \
    "data: "                                                                                      \
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":17,\"model\":\"m\"," \
    "\"choices\":[{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":" finish \
    "}],\"usage\":null}\n\n"
#define C_USAGE                                                                                   \
    "data: "                                                                                      \
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":17,\"model\":\"m\"," \
    "\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":" \
    "3,\"cache_write_tokens\":1},\"completion_tokens\":7,\"completion_tokens_details\":{"         \
    "\"reasoning_tokens\":0},\"total_tokens\":16}}\n\n"
#define C_ROLE C_CHUNK("\"role\":\"assistant\",\"content\":\"\"", "null")
#define C_CUT                                   \
    "data: {\"error\":{\"message\":\"" CUT_TEXT \
    "\",\"type\":\"server_error\",\"param\":null,\"code\":\"upstream_error\"}}\n\n"
#define A_START                                                                                   \
    EVENT("message_start",                                                                        \
          ",\"message\":{\"id\":\"msg_1\",\"model\":\"m\",\"usage\":{\"input_tokens\":5,\"cache_" \
          "read_input_tokens\":3,\"cache_creation_input_tokens\":1,\"output_tokens\":1}}")
#define A_END(reason)                                                                    \
    EVENT("message_delta",                                                               \
          ",\"delta\":{\"stop_reason\":\"" reason "\"},\"usage\":{\"output_tokens\":7}") \
    EVENT("message_stop", "")

static void test_chat(void)
{
    way_t way = CHAT;
    gives(way,
          A_START EVENT("ping", "") M_THINKING("0")
              M_DELTA("0", "\"type\":\"thinking_delta\",\"thinking\":\"t\"")
                  M_DELTA("0", "\"type\":\"signature_delta\",\"signature\":\"s\"") M_STOP("0")
                      M_TEXT("1") M_TEXT_DELTA("1", "a\\u00e9") M_STOP("1") A_END("end_turn"),
          C_ROLE ": ping\n\n" C_CHUNK(
              "\"reasoning_content\":\"t\",\"thinking_blocks\":[{\"index\":0,\"type\":"
              "\"thinking\",\"thinking\":\"t\"}]",
              "null")
              C_CHUNK("\"thinking_blocks\":[{\"index\":0,\"type\":\"thinking\",\"signature\":"
                      "\"s\"}]",
                      "null") C_CHUNK("\"content\":\"a\\u00e9\"", "null") C_CHUNK("", "\"stop\"")
                  C_USAGE DONE,
          "chat: thinking with its signature, text, usage");
    gives(way,
          A_START M_TOOL("0", "c", "f") M_TOOL("1", "d", "g") M_JSON_DELTA("1", "{\\\"b\\\":")
              M_JSON_DELTA("0", "{}") M_STOP("0") M_JSON_DELTA("1", "1}") M_STOP("1")
                  M_TOOL("2", "e", "h") M_STOP("2") A_END("tool_use"),
          C_ROLE C_CHUNK("\"tool_calls\":[" CALL("0", "c", "f") "]", "null")
              C_CHUNK("\"tool_calls\":[" CALL("1", "d", "g") "]", "null")
                  C_CHUNK("\"tool_calls\":[" PIECE("1", "{\\\"b\\\":") "]", "null")
                      C_CHUNK("\"tool_calls\":[" PIECE("0", "{}") "]", "null")
                          C_CHUNK("\"tool_calls\":[" PIECE("1", "1}") "]", "null")
                              C_CHUNK("\"tool_calls\":[" CALL("2", "e", "h") "]", "null")
                                  C_CHUNK("\"tool_calls\":[" PIECE("2", "{}") "]", "null")
                                      C_CHUNK("", "\"tool_calls\"") C_USAGE DONE,
          "chat: interleaved calls keep their index; one without arguments gets {}");
    way.why = WEIR_END_CUT;
    gives(way, A_START M_TEXT("0") M_TEXT_DELTA("0", "a"),
          C_ROLE C_CHUNK("\"content\":\"a\"", "null") C_CUT, "chat: a cut is an error");
    way.why = WEIR_END_COMPLETE;
    gives(
        way, A_START M_TEXT("0") M_TEXT_DELTA("0", "a") M_STOP("0") EVENT("message_stop", ""),
        C_ROLE C_CHUNK("\"content\":\"a\"", "null") "data: {\"error\":{\"message\":\"the "
                                                    "upstream's answer ended without a stop "
                                                    "reason\",\"type\":\"server_error\",\"param\":"
                                                    "null,\"code\":\"upstream_error\"}}\n\n",
        "chat: no stop reason is an error");
}

/* The names of the events in order, and what the last one holds. */
static void test_responses(void)
{
    weir_arena_t arena;
    way_t way = RESPONSES;
    weir_arena_init(&arena, 0, 0);
    static const char text[] = CHUNK("\"content\":\"a\"") CHUNK("\"content\":\"b\\u00e9\"")
        CHUNK("\"tool_calls\":[" CALL("0", "c", "f") "," CALL("1", "d", "g") "]")
            CHUNK("\"tool_calls\":[" PIECE("1", "{\\\"b\\\":1}") "," PIECE("0", "{}") "]")
                FINISH("tool_calls") USAGE DONE;
    static const char *const order[] = {
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    };
    weir_str_t out = run(&arena, &way, text, NULL);
    size_t at = 0;
    bool right = true;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        char line[80];
        snprintf(line, sizeof(line), "event: %s\n", order[i]);
        right =
            right && out.len - at > strlen(line) && memcmp(out.data + at, line, strlen(line)) == 0;
        const char *end = memmem(out.data + at, out.len - at, "\n\n", 2);
        at = end == NULL ? out.len : (size_t)(end - out.data) + 2;
    }
    ok(right && at == out.len, "responses: the events in order");
    ok(contains(out, "\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":"
                     "\"ab\\u00e9\"}]},{\"id\":\"fc_1_1\",\"type\":\"function_call\",\"status\":"
                     "\"completed\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},"
                     "{\"id\":\"fc_1_2\",\"type\":\"function_call\",\"status\":\"completed\","
                     "\"call_id\":\"d\",\"name\":\"g\",\"arguments\":\"{\\\"b\\\":1}\"}]}}\n\n"),
       "responses: the last event holds all items");
    ok(contains(out, "\"usage\":{\"input_tokens\":9,\"input_tokens_details\":{\"cached_tokens\":3,"
                     "\"cache_write_tokens\":0},\"output_tokens\":4,\"output_tokens_details\":"
                     "{\"reasoning_tokens\":0},\"total_tokens\":13}"),
       "responses: usage");
    gives(way, text, arena.head != NULL ? weir_arena_strndup(&arena, out.data, out.len) : "",
          "responses: the same again");
    way.why = WEIR_END_CUT;
    out = run(&arena, &way, CHUNK("\"content\":\"a\""), NULL);
    ok(contains(out, "event: response.failed\n") && contains(out, CUT_TEXT) &&
           !contains(out, "response.completed"),
       "responses: a cut fails");
    weir_arena_free(&arena);
}

static void test_limits(void)
{
    weir_arena_t arena;
    weir_translation_t *tr = NULL;
    uint32_t n;
    way_t way = MESSAGES;
    way_t responses = RESPONSES;
    weir_arena_init(&arena, 0, 0);
    way.options.max_held = 8;
    responses.options.max_held = 8;
    weir_str_t out = run(&arena, &way,
                         CHUNK("\"tool_calls\":[" CALL("0", "c", "f") "," CALL("1", "d", "g") "]")
                             CHUNK("\"tool_calls\":[" PIECE("1", "{\\\"long\\\":1}") "]") DONE,
                         NULL);
    ok(contains(out, "event: error") && !contains(out, "message_stop"),
       "more than may be held stops the stream");
    out = run(&arena, &responses, CHUNK("\"content\":\"123456789\"") FINISH("stop") DONE, NULL);
    ok(contains(out, "response.failed") && !contains(out, "response.completed"),
       "so it does for responses");
    way_t chat = CHAT;
    out = run(&arena, &chat,
              A_START EVENT("content_block_start", ",\"index\":9999,\"content_block\":{\"type\":"
                                                   "\"text\",\"text\":\"\"}") A_END("end_turn"),
              NULL);
    ok(contains(out, "\"error\"") && !contains(out, "[DONE]"), "an index over the limit too");
    out = run(&arena, &chat,
              A_START M_TEXT("0") M_DELTA("0", "\"type\":\"citations_delta\",\"citation\":{}")
                  M_STOP("0") EVENT("new_event", "") A_END("end_turn"),
              &tr);
    ok(contains(out, "[DONE]"), "what is not known does not break the stream");
    const weir_translate_loss_t *losses = weir_translation_losses(tr, &n);
    is_int(n, 2, "but is counted");
    ok(n == 2 && strcmp(losses[0].field, "citations_delta") == 0 &&
           strcmp(losses[1].object, "event") == 0,
       "by its name");
    weir_arena_free(&arena);
}

static void test_documents(void)
{
    way_t way = MESSAGES;
    way_t chat = CHAT;
    way.json = chat.json = true;
    gives(way,
          "{\"id\":\"chatcmpl-1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
          "\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":\"function\","
          "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1.0}\"}},{\"id\":\"d\","
          "\"function\":{\"name\":\"g\",\"arguments\":\"{oops\"}}]},\"finish_reason\":\"stop\"}]}",
          "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
          "\"content\":[{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":{\"a\": 1.0}}"
          ",{\"type\":\"tool_use\",\"id\":\"d\",\"name\":\"g\",\"input\":{\"invalid_arguments\":"
          "\"{oops\"}}],\"stop_reason\":\"tool_use\",\"stop_sequence\":null,\"usage\":{" M_NO_USAGE
          "}}",
          "messages: a whole answer, one call without valid JSON");
    gives(way,
          "{\"id\":\"chatcmpl-1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
          "\"assistant\",\"content\":\"a\",\"refusal\":null},\"finish_reason\":\"stop\","
          "\"stop_reason\":\"END\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,"
          "\"prompt_tokens_details\":{\"cached_tokens\":3}}}",
          "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
          "\"content\":[{\"type\":\"text\",\"text\":\"a\"}],\"stop_reason\":\"stop_sequence\","
          "\"stop_sequence\":\"END\",\"usage\":{" M_USAGE "}}",
          "messages: the sequence that stopped it");
    gives(chat,
          "{\"id\":\"msg_1\",\"type\":\"message\",\"model\":\"m\",\"content\":[{\"type\":\"text\","
          "\"text\":\"a\"}],\"stop_reason\":\"refusal\",\"stop_details\":{\"type\":\"refusal\","
          "\"explanation\":\"no\"},\"usage\":{\"input_tokens\":5,\"cache_read_input_tokens\":3,"
          "\"cache_creation_input_tokens\":1,\"output_tokens\":7}}",
          "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":17,\"model\":\"m\","
          "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"a\","
          "\"refusal\":\"no\"},\"logprobs\":null,\"finish_reason\":\"content_filter\"}],\"usage\":"
          "{\"prompt_tokens\":9,\"prompt_tokens_details\":{\"cached_tokens\":3,"
          "\"cache_write_tokens\":1},\"completion_tokens\":7,\"completion_tokens_details\":"
          "{\"reasoning_tokens\":0},\"total_tokens\":16}}",
          "chat: a refusal");
    gives(chat, "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"m?\"}}",
          "{\"error\":{\"message\":\"m?\",\"type\":\"not_found_error\",\"param\":null,\"code\":"
          "\"not_found\"}}",
          "chat: an error that came as an answer");
}

static void test_statuses(void)
{
    way_t way = MESSAGES;
    way_t chat = CHAT;
    way.json = chat.json = true;
    way.status = 404;
    gives(way,
          "{\"error\":{\"message\":\"no m\",\"type\":\"NotFoundError\",\"param\":null,\"code\":404}"
          "}",
          "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"no m\"" M_CODE(
              "not_found") "}}",
          "messages: the status names the error");
    way.status = 502;
    gives(way, "<html>bad</html>",
          "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"the upstream "
          "answered with status 502\"" M_CODE("server_error") "}}",
          "messages: a page becomes an error");
    chat.status = 529;
    gives(chat,
          "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}",
          "{\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"param\":null,\"code\":"
          "\"overloaded\"}}",
          "chat: overloaded");
}

static void test_errors(void)
{
    weir_arena_t arena;
    weir_buf_t out;
    static const char *const bodies[] = {
        "",     "<html>bad gateway</html>", "[1]", "{}", "{\"error\":", "{\"detail\":[1]}", "null",
        "\"x\""};
    weir_arena_init(&arena, 0, 0);
    bool whole = true;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        weir_json_doc_t doc;
        weir_buf_init(&out, &arena);
        unsigned status = weir_translate_error(
            WEIR_PROTOCOL_CHAT, 502, weir_str(bodies[i], strlen(bodies[i])), "r", &arena, &out);
        whole = whole && status == 502 &&
                weir_json_parse(out.data, out.len, NULL, &arena, &doc, NULL) == WEIR_OK &&
                weir_json_get(&doc, weir_json_get(&doc, 0, "error"), "message") != WEIR_JSON_NONE;
    }
    ok(whole, "every body of an error becomes an envelope");
    weir_buf_init(&out, &arena);
    is_int(weir_translate_error(WEIR_PROTOCOL_MESSAGES, 200, WEIR_STR("{}"), NULL, &arena, &out),
           502, "a status that is no error is 502");
    weir_buf_init(&out, &arena);
    weir_translate_error(WEIR_PROTOCOL_MESSAGES, 429, WEIR_STR("{\"error\":\"slow \\\"down\\\"\"}"),
                         "r", &arena, &out);
    is_str(out.data, out.len,
           "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"slow "
           "\\\"down\\\"\"" M_CODE("rate_limit_exceeded") "},\"request_id\":\"r\"}",
           "an error that is a string");
    weir_buf_init(&out, &arena);
    weir_translate_error(WEIR_PROTOCOL_MESSAGES, 404,
                         WEIR_STR("{\"error\":{\"message\":\"m\",\"code\":\"its_own\"}}"), NULL,
                         &arena, &out);
    is_str(out.data, out.len,
           "{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\",\"message\":\"m\","
           "\"details\":{\"error_code\":\"its_own\"}}}",
           "the upstream's code becomes a detail");
    weir_buf_init(&out, &arena);
    weir_translate_error(WEIR_PROTOCOL_CHAT, 400,
                         WEIR_STR("{\"type\":\"error\",\"error\":{\"type\":\"x\",\"message\":\"m\","
                                  "\"details\":{\"error_code\":\"its_own\"}}}"),
                         NULL, &arena, &out);
    is_str(out.data, out.len,
           "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,"
           "\"code\":\"its_own\"}}",
           "and a detail the code");
    weir_arena_free(&arena);
}

int main(void)
{
    rng_init(&seeded);
    test_messages();
    test_messages_broken();
    test_chat();
    test_responses();
    test_limits();
    test_documents();
    test_statuses();
    test_errors();
    return done_testing();
}
