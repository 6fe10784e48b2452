#include "lua-free-filters/ending.h"

#include <stdio.h>

#include "lua-free-filters/pipeline.h"
#include "t/support/tap.h"

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

typedef struct {
    weir_protocol_t protocol;
    weir_end_t why;
    const weir_stop_t *stop; /* after the input */
    const weir_usage_t *usage;
    bool usage_asked;
    bool ended;
    bool broken;
} ending_t;

/* What is written behind the input. */
static weir_str_t end_of(weir_arena_t *arena, ending_t *t, weir_str_t in)
{
    weir_scratch_t *scratch = weir_scratch_new();
    weir_buf_t *out = weir_arena_alloc(arena, sizeof(*out));
    weir_pipeline_config_t config = {.protocol = t->protocol,
                                     .upstream = t->protocol,
                                     .in = WEIR_BODY_SSE,
                                     .out = WEIR_BODY_SSE,
                                     .request_id = "ab\"c-1",
                                     .now = 99,
                                     .usage = t->usage,
                                     .usage_asked = t->usage_asked,
                                     .write = take,
                                     .write_ctx = out};
    weir_pipeline_t *p;

    weir_buf_init(out, arena);
    if (weir_pipeline_open(arena, scratch, &config, NULL, 0, &p) != WEIR_OK ||
        weir_pipeline_feed(p, in.data, in.len) != WEIR_OK ||
        (t->stop != NULL && weir_pipeline_stop(p, t->stop) != WEIR_OK) ||
        weir_pipeline_finish(p, t->why) != WEIR_OK) {
        ok(false, "the pipeline failed");
    }
    t->ended = weir_pipeline_ended(p);
    t->broken = weir_pipeline_broken(p);
    weir_scratch_free(scratch);
    if (out->len < in.len || memcmp(out->data, in.data, in.len) != 0) {
        ok(false, "the input did not pass");
        return weir_str(NULL, 0);
    }
    return weir_str(out->data + in.len, out->len - in.len);
}

static void expect(weir_arena_t *arena, ending_t t, const char *in, const char *want,
                   const char *name)
{
    weir_str_t got = end_of(arena, &t, weir_str(in, strlen(in)));

    is_str(got.data, got.len, want, "%s", name);
    ok(t.ended && !t.broken, "%s: ended", name);
}

static const weir_stop_t filtered = {.reason = WEIR_STOP_CONTENT_FILTER};
static const weir_stop_t length = {.reason = WEIR_STOP_LENGTH};
static const weir_stop_t budget = {.reason = WEIR_STOP_ERROR,
                                   .status = 429,
                                   .type = "insufficient_quota",
                                   .code = "insufficient_quota",
                                   .message = "the \"budget\" is\nused up"};

#define CUT \
    "The upstream broke off before the answer was complete; what has arrived is not all of it."
#define CHUNK(choices)                                                                         \
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\"," \
    "\"choices\":[" choices "]}\n\n"
#define CHOICE(i, delta, finish) \
    "{\"index\":" i ",\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":" finish "}"
#define CUT_FRAME                                                                         \
    "data: {\"error\":{\"message\":\"" CUT "\",\"type\":\"server_error\",\"param\":null," \
    "\"code\":\"upstream_error\"}}\n\n"
#define DONE "data: [DONE]\n\n"

static void test_chat(weir_arena_t *arena)
{
    ending_t t = {.protocol = WEIR_PROTOCOL_CHAT};
    const char *two = CHUNK(CHOICE("0", "\"content\":\"a\"", "null"))
        CHUNK(CHOICE("1", "\"content\":\"b\"", "null"));
    const char *half =
        CHUNK(CHOICE("0", "", "\"stop\"") "," CHOICE("1", "\"content\":\"b\"", "null"));
    const char *whole = CHUNK(CHOICE("0", "", "\"stop\""));

    expect(arena, t, whole, DONE, "chat: a clean end without [DONE] gets it");
    expect(arena, t, half, CUT_FRAME, "chat: one open choice is a cut");
    expect(arena, t,
           CHUNK(CHOICE("0", "\"content\":\"a\"", "null")) CHUNK(CHOICE("0", "", "\"stop\"")), DONE,
           "chat: a choice that was open and is finished");
    t.why = WEIR_END_CUT;
    expect(arena, t, whole, CUT_FRAME, "chat: broken off behind the finish reason");
    t.stop = &filtered;
    expect(arena, t, two,
           CHUNK(CHOICE("0", "", "\"content_filter\"")) CHUNK(CHOICE("1", "", "\"content_filter\""))
               DONE,
           "chat: a stop finishes every choice");
    t.stop = &length;
    expect(arena, t, half, CHUNK(CHOICE("1", "", "\"length\"")) DONE, "chat: only open ones");
    expect(arena, t, whole, DONE, "chat: a stop behind the finish reason");
    expect(arena, t, "",
           "data: {\"id\":\"chatcmpl-abc-1\",\"object\":\"chat.completion.chunk\",\"created\":99,"
           "\"model\":\"\",\"choices\":[" CHOICE("0", "\"role\":\"assistant\",\"content\":\"\"",
                                                 "\"length\"") "]}\n\n" DONE,
           "chat: a stop before anything came");
    t.stop = &budget;
    expect(arena, t, two,
           "data: {\"error\":{\"message\":\"the \\\"budget\\\" is\\nused up\",\"type\":"
           "\"insufficient_quota\",\"param\":null,\"code\":\"insufficient_quota\"}}\n\n",
           "chat: an error, and no [DONE] behind it");
    t.stop = &filtered;
    weir_usage_t usage = {.tokens = {.has_prompt = true, .prompt_tokens = 5, .cached_tokens = 1},
                          .text = {.ascii = 8}};
    t.usage = &usage;
    t.usage_asked = true;
    expect(
        arena, t, half,
        CHUNK(CHOICE("1", "", "\"content_filter\"")) "data: "
                                                     "{\"id\":\"c1\",\"object\":\"chat.completion."
                                                     "chunk\",\"created\":7,\"model\":\"m\","
                                                     "\"choices\":[],\"usage\":{\"prompt_tokens\":"
                                                     "5,\"completion_tokens\":2,"
                                                     "\"total_tokens\":7,\"prompt_tokens_details\":"
                                                     "{\"cached_tokens\":1},"
                                                     "\"completion_tokens_details\":{\"reasoning_"
                                                     "tokens\":0}}}\n\n" DONE,
        "chat: with the usage that was asked for");

    t = (ending_t){.protocol = WEIR_PROTOCOL_COMPLETIONS, .stop = &filtered};
    expect(arena, t,
           "data: {\"id\":\"x\",\"created\":3,\"model\":\"m\",\"choices\":[{\"text\":\"a\"}]}\n\n",
           "data: {\"id\":\"x\",\"object\":\"text_completion\",\"created\":3,\"model\":\"m\","
           "\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":"
           "\"content_filter\"}]}\n\n" DONE,
           "completions: a stop");
}

#define EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define START                                                                              \
    EVENT("message_start", ",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":" \
                           "\"assistant\",\"model\":\"claude\",\"content\":[],\"usage\":{}}")
#define BLOCK(i)                 \
    EVENT("content_block_start", \
          ",\"index\":" i ",\"content_block\":{\"type\":\"text\",\"text\":\"\"}")
#define BLOCK_STOP(i) EVENT("content_block_stop", ",\"index\":" i "")
#define MESSAGE_DELTA(reason, n)                                   \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason \
                           "\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":" n "}")
#define MESSAGE_STOP EVENT("message_stop", "")
#define MESSAGE_ERROR(type, text, code)                                                            \
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"" type "\",\"message\":\"" text \
    "\",\"details\":{\"error_code\":\"" code "\"}},\"request_id\":\"ab\\\"c-1\"}\n\n"

static void test_messages(weir_arena_t *arena)
{
    ending_t t = {.protocol = WEIR_PROTOCOL_MESSAGES};

    expect(arena, t, START BLOCK("0") BLOCK_STOP("0") MESSAGE_DELTA("end_turn", "3"), MESSAGE_STOP,
           "messages: a clean end without message_stop gets it");
    expect(arena, t, START BLOCK("0") BLOCK_STOP("0"),
           MESSAGE_ERROR("api_error", CUT, "upstream_error"),
           "messages: an end without a stop reason is a cut");
    expect(arena, t, START EVENT("error", ",\"error\":{}"), "",
           "messages: an error of the upstream is an end");
    t.why = WEIR_END_CUT;
    expect(arena, t, START MESSAGE_DELTA("end_turn", "3"),
           MESSAGE_ERROR("api_error", CUT, "upstream_error"), "messages: broken off");
    t.stop = &filtered;
    expect(arena, t, START BLOCK("0") BLOCK_STOP("0") BLOCK("1"),
           BLOCK_STOP("1") MESSAGE_DELTA("refusal", "0") MESSAGE_STOP,
           "messages: a stop closes the open block first");
    weir_usage_t usage = {.text = {.ascii = 12}};
    t.usage = &usage;
    t.stop = &length;
    expect(arena, t, START EVENT("ping", ""), MESSAGE_DELTA("max_tokens", "3") MESSAGE_STOP,
           "messages: with an estimate of the output");
    expect(arena, t, "",
           EVENT("message_start",
                 ",\"message\":{\"id\":\"msg_abc-1\",\"type\":\"message\",\"role\":\"assistant\","
                 "\"content\":[],\"model\":\"\",\"stop_reason\":null,\"stop_sequence\":null,"
                 "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}")
               MESSAGE_DELTA("max_tokens", "3") MESSAGE_STOP,
           "messages: a stop before anything came");
    t.stop = &budget;
    expect(
        arena, t, START BLOCK("0"),
        MESSAGE_ERROR("rate_limit_error", "the \\\"budget\\\" is\\nused up", "insufficient_quota"),
        "messages: an error has the type of its status");
}

#define RESPONSE(id, created, status, error, details, model)                                     \
    "{\"id\":\"" id "\",\"object\":\"response\",\"created_at\":" created ",\"status\":\"" status \
    "\",\"error\":" error ",\"incomplete_details\":" details                                     \
    ",\"instructions\":null,\"metadata\":{},\"model\":\"" model                                  \
    "\",\"output\":[],\"parallel_tool_calls\":true,\"temperature\":null,"                        \
    "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":null,\"usage\":null}"
#define NUMBERED(type, n, rest) EVENT(type, ",\"sequence_number\":" n rest)

static void test_responses(weir_arena_t *arena)
{
    ending_t t = {.protocol = WEIR_PROTOCOL_RESPONSES};
    const char *in = NUMBERED("response.created", "0",
                              ",\"response\":{\"id\":\"resp_1\",\"created_at\":4,\"model\":\"g\"}")
        NUMBERED("response.output_text.delta", "6", ",\"delta\":\"x\"");

    expect(arena, t, in,
           NUMBERED("response.failed", "7",
                    ",\"response\":" RESPONSE("resp_1", "4", "failed",
                                              "{\"code\":\"server_error\",\"message\":\"" CUT "\"}",
                                              "null", "g")),
           "responses: a cut");
    t.stop = &filtered;
    expect(arena, t, in,
           NUMBERED("response.incomplete", "7",
                    ",\"response\":" RESPONSE("resp_1", "4", "incomplete", "null",
                                              "{\"reason\":\"content_filter\"}", "g")),
           "responses: a stop");
    t.stop = &length;
    expect(
        arena, t, "",
        NUMBERED("response.created", "0",
                 ",\"response\":" RESPONSE("resp_abc-1", "99", "in_progress", "null", "null", ""))
            NUMBERED("response.incomplete", "1",
                     ",\"response\":" RESPONSE("resp_abc-1", "99", "incomplete", "null",
                                               "{\"reason\":\"max_output_tokens\"}", "")),
        "responses: a stop before anything came");
    t.stop = NULL;
    t.why = WEIR_END_CUT;
    const char *const last[] = {"response.completed", "response.incomplete", "response.failed"};
    for (size_t i = 0; i < 3; i++) {
        char text[200];
        snprintf(text, sizeof(text),
                 "event: %s\ndata: {\"type\":\"%s\",\"response\":{\"status\":\"x\"}}\n\n", last[i],
                 last[i]);
        expect(arena, t, text, "", "responses: nothing follows the last event");
    }
    expect(arena, t, "data: {\"type\":\"error\",\"message\":\"no\"}\n\n", "",
           "responses: an error of the upstream is an end");
}

static void test_others(weir_arena_t *arena)
{
    ending_t t = {.protocol = WEIR_PROTOCOL_OTHER};

    expect(arena, t, "data: x\n\n", "", "a stream of another kind ends as it ends");
    t.why = WEIR_END_CUT;
    end_of(arena, &t, WEIR_STR("data: x\n\n"));
    ok(t.broken && !t.ended, "cut, it breaks the connection");
    t.why = WEIR_END_COMPLETE;
    t.stop = &filtered;
    end_of(arena, &t, WEIR_STR("data: x\n\n"));
    ok(t.broken, "stopped, it does so too");
}

static void test_documents(weir_arena_t *arena)
{
    static const weir_protocol_t protocols[] = {WEIR_PROTOCOL_CHAT,      WEIR_PROTOCOL_COMPLETIONS,
                                                WEIR_PROTOCOL_RESPONSES, WEIR_PROTOCOL_MESSAGES,
                                                WEIR_PROTOCOL_DOCUMENT,  WEIR_PROTOCOL_OTHER};
    static const char *const reasons[][2] = {
        {"\"finish_reason\":\"content_filter\"", "\"finish_reason\":\"length\""},
        {"\"finish_reason\":\"content_filter\"", "\"finish_reason\":\"length\""},
        {"\"reason\":\"content_filter\"", "\"reason\":\"max_output_tokens\""},
        {"\"stop_reason\":\"refusal\"", "\"stop_reason\":\"max_tokens\""},
        {"code\":\"content_filter\"}", "code\":\"length\"}"},
        {"code\":\"content_filter\"}", "code\":\"length\"}"}};

    for (size_t i = 0; i < 6; i++) {
        const weir_stop_t *stops[] = {&filtered, &length, &budget};
        for (size_t k = 0; k < 3; k++) {
            weir_buf_t out;
            weir_json_doc_t doc;
            weir_buf_init(&out, arena);
            bool anthropic = (i + k) % 2 == 0;
            weir_ending_document(protocols[i], stops[k], WEIR_STR("m\"\n"), "r", 1, anthropic,
                                 &out);
            const char *want = k < 2 ? reasons[i][k] : "\"message\":\"the \\\"budget\\\" is\\n";
            ok(weir_json_parse(out.data, out.len, NULL, arena, &doc, NULL) == WEIR_OK &&
                   memmem(out.data, out.len, want, strlen(want)) != NULL &&
                   (i < 4 || (memmem(out.data, out.len, "\"details\"", 9) != NULL) == anthropic),
               "protocol %zu, stop %zu: a document that says so", i, k);
        }
    }
}

int main(void)
{
    weir_arena_t arena;

    weir_arena_init(&arena, 0, 0);
    test_chat(&arena);
    test_messages(&arena);
    test_responses(&arena);
    test_others(&arena);
    test_documents(&arena);
    weir_arena_free(&arena);
    return done_testing();
}
