#include "lua-free-filters/usage.h"

#include "lua-free-filters/pipeline.h"
#include "t/support/tap.h"

static weir_status_t nowhere(void *ctx, const char *data, size_t len, bool stable)
{
    (void)ctx;
    (void)data;
    (void)len;
    (void)stable;
    return WEIR_OK;
}

static weir_usage_t read_cut(weir_arena_t *arena, weir_scratch_t *scratch, weir_body_t body,
                             weir_str_t in, size_t piece)
{
    weir_usage_reader_t *reader;
    weir_pipeline_t *p;
    weir_pipeline_config_t config = {.in = body, .out = body, .tap = true, .write = nowhere};

    weir_usage_open(arena, &reader);
    weir_filter_t filter = weir_usage_filter(reader);
    if (weir_pipeline_open(arena, scratch, &config, &filter, 1, &p) != WEIR_OK) {
        ok(false, "open failed");
    }
    for (size_t at = 0; at < in.len; at += piece) {
        size_t n = piece < in.len - at ? piece : in.len - at;
        char *copy = weir_arena_alloc(arena, n);
        memcpy(copy, in.data + at, n);
        weir_pipeline_feed(p, copy, n);
    }
    weir_pipeline_finish(p, WEIR_END_COMPLETE);
    return *weir_usage_of(reader);
}

static bool same(const weir_usage_t *a, const weir_usage_t *b)
{
    return weir_tokens_eq(&a->tokens, &b->tokens) && a->text.ascii == b->text.ascii &&
           a->text.other == b->text.other && a->content_deltas == b->content_deltas &&
           a->tool_uses == b->tool_uses && weir_str_eq(a->model, b->model) &&
           weir_str_eq(a->id, b->id) && a->finish == b->finish &&
           a->finish_mask == b->finish_mask && a->has_usage == b->has_usage &&
           a->first_content == b->first_content && a->done == b->done && a->error == b->error &&
           a->background == b->background && a->skipped == b->skipped;
}

/* Reads it whole and in pieces of every size. */
static weir_usage_t read_usage(weir_arena_t *arena, weir_body_t body, const char *text)
{
    weir_scratch_t *scratch = weir_scratch_new();
    weir_str_t in = weir_str(text, strlen(text));
    weir_usage_t whole = read_cut(arena, scratch, body, in, in.len + 1);
    size_t bad = 0;

    for (size_t piece = 1; piece <= in.len && bad == 0; piece++) {
        weir_usage_t cut = read_cut(arena, scratch, body, in, piece);
        bad = same(&whole, &cut) ? 0 : piece;
    }
    if (bad != 0) {
        ok(false, "pieces of %zu give another result: %s", bad, text);
    }
    weir_scratch_free(scratch);
    return whole;
}

static bool counts(const weir_usage_t *u, uint64_t prompt, uint64_t cached, uint64_t written,
                   uint64_t completion, uint64_t reasoning)
{
    const weir_tokens_t *t = &u->tokens;
    bool good = u->has_usage && t->prompt_tokens == prompt && t->cached_tokens == cached &&
                t->cache_write_tokens == written && t->completion_tokens == completion &&
                t->reasoning_tokens == reasoning;
    if (!good) {
        diag("told %d: prompt %llu cached %llu written %llu completion %llu reasoning %llu",
             u->has_usage, (unsigned long long)t->prompt_tokens,
             (unsigned long long)t->cached_tokens, (unsigned long long)t->cache_write_tokens,
             (unsigned long long)t->completion_tokens, (unsigned long long)t->reasoning_tokens);
    }
    return good;
}

static void test_streams(weir_arena_t *arena)
{
    weir_usage_t u = read_usage(
        arena, WEIR_BODY_SSE,
        "event: message_start\n"
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","
        "\"model\":\"claude\",\"content\":[],\"usage\":{\"input_tokens\":10,"
        "\"cache_creation_input_tokens\":100,\"cache_read_input_tokens\":1000,"
        "\"output_tokens\":1}}}\n\n"
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
        "event: ping\ndata: {\"type\":\"ping\"}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
        "\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,"
        "\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"a\\\"\"}}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null},"
        "\"usage\":{\"output_tokens\":7}}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
        "\"tool_use\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":15,"
        "\"output_tokens_details\":{\"thinking_tokens\":4},\"server_tool_use\":"
        "{\"web_search_requests\":2}}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    ok(counts(&u, 1110, 1000, 100, 15, 4),
       "messages: the cache is added to the input, the latest output counts");
    ok(u.finish == WEIR_FINISH_TOOL_CALLS && u.done && u.content_deltas == 2 && u.tool_uses == 2 &&
           weir_str_is(u.model, "claude") && weir_str_is(u.id, "msg_1"),
       "messages: reason, end, pieces, names");
    is_int((long long)u.text.ascii, 5 + 4, "messages: text and arguments are counted");

    u = read_usage(arena, WEIR_BODY_SSE,
                   "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,"
                   "\"cache_read_input_tokens\":5,\"output_tokens\":0}}}\n\n"
                   "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"input_tokens\":20,"
                   "\"output_tokens\":3}}\n\n");
    ok(counts(&u, 25, 5, 0, 3, 0), "messages: a later input replaces the first");
    u = read_usage(arena, WEIR_BODY_SSE,
                   "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":10,"
                   "\"output_tokens\":1}}}\n\n"
                   "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":3,"
                   "\"iterations\":[{\"type\":\"message\",\"input_tokens\":10,\"output_tokens\":3},"
                   "{\"type\":\"compaction\",\"input_tokens\":100,\"cache_read_input_tokens\":7,"
                   "\"output_tokens\":20},7]}}\n\n"
                   "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":4}}"
                   "\n\n");
    ok(counts(&u, 117, 0, 0, 24, 0), "messages: compactions are added to the totals, once");
    u = read_usage(arena, WEIR_BODY_SSE,
                   "data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":4}}"
                   "\n\n");
    ok(u.tokens.has_completion && !u.tokens.has_prompt, "messages: half of the usage");

    u = read_usage(
        arena, WEIR_BODY_SSE,
        "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,"
        "\"response\":{\"id\":\"resp_1\",\"model\":\"gpt\",\"status\":\"in_progress\","
        "\"background\":true,\"usage\":null}}\n\n"
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\","
        "\"delta\":\"Hi\",\"obfuscation\":\"xxxxxxxx\"}\n\n"
        "event: response.audio.delta\ndata: "
        "{\"type\":\"response.audio.delta\",\"delta\":\"AA\"}\n\n"
        "event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":"
        "\"resp_1\",\"status\":\"completed\",\"incomplete_details\":null,\"error\":null,"
        "\"tool_usage\":{\"web_search\":{\"n\":1},\"image_gen\":null},"
        "\"usage\":{\"input_tokens\":30,\"input_tokens_details\":{\"cached_tokens\":12,"
        "\"cache_write_tokens\":3},\"output_tokens\":9,\"output_tokens_details\":"
        "{\"reasoning_tokens\":6},\"total_tokens\":39}}}\n\n");
    ok(counts(&u, 30, 12, 3, 9, 6), "responses: the input includes the cache");
    ok(u.done && u.finish == WEIR_FINISH_STOP && u.background && u.content_deltas == 1 &&
           u.tool_uses == 1 && u.text.ascii == 2 && weir_str_is(u.id, "resp_1") && !u.error,
       "responses: end, background, pieces, tools");
    u = read_usage(
        arena, WEIR_BODY_SSE,
        "data: {\"type\":\"response.incomplete\",\"response\":{\"status\":"
        "\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"}}}\n\n");
    ok(u.finish == WEIR_FINISH_LENGTH && u.done && !u.has_usage, "responses: incomplete");
    u = read_usage(arena, WEIR_BODY_SSE,
                   "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\"}}\n\n"
                   "data: {\"type\":\"error\",\"message\":\"no\"}\n\n");
    ok(u.error && u.finish == WEIR_FINISH_ERROR, "responses: failed");

    u = read_usage(
        arena, WEIR_BODY_SSE,
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},"
        "\"finish_reason\":null},{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}]"
        ",\"usage\":null}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,"
        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":"
        "\"tool_calls\"}],\"obfuscation\":\"yyyyyyyy\"}\n\n"
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":0,"
        "\"prompt_tokens_details\":{\"cached_tokens\":2,\"cache_write_tokens\":1},"
        "\"completion_tokens_details\":{\"reasoning_tokens\":0}}}\n\ndata: [DONE]\n\n");
    ok(counts(&u, 7, 2, 1, 0, 0), "chat: a zero is a value, null before it is not");
    ok(u.finish_mask == (1u << WEIR_FINISH_LENGTH | 1u << WEIR_FINISH_TOOL_CALLS) &&
           u.text.ascii == 4 && u.content_deltas == 2,
       "chat: the reasons of all choices; obfuscation is no text");
    u = read_usage(arena, WEIR_BODY_SSE,
                   "data: {\"choices\":[{\"text\":\"a\"}],\"usage\":{\"prompt_tokens\":7,"
                   "\"completion_tokens\":1}}\n\n"
                   "data: {\"choices\":[{\"text\":\"b\"}],\"usage\":{\"prompt_tokens\":7,"
                   "\"completion_tokens\":2,\"prompt_cache_hit_tokens\":3}}\n\n");
    ok(counts(&u, 7, 3, 0, 2, 0), "usage in every chunk is cumulative: the latest counts");
}

static void test_documents(weir_arena_t *arena)
{
    static const struct {
        const char *name;
        const char *text;
        uint64_t n[5]; /* prompt, cached, written, completion, reasoning */
        weir_finish_t finish;
        const char *model;
        uint64_t ascii;
    } cases[] = {
        {"chat",
         "{ \"id\" : \"c\" , \"model\":\"m\\u00e9\", \"choices\":[{\"finish_reason\":\"stop\","
         "\"message\":{\"role\":\"assistant\",\"content\":\"a\\n\\\"b\\u0041\",\"refusal\":null,"
         "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}}]}}],"
         "\"usage\" : { \"prompt_tokens\" : 5 , \"completion_tokens\":6,"
         "\"completion_tokens_details\":{\"reasoning_tokens\":2}} , \"error\" : null }",
         {5, 0, 0, 6, 2},
         WEIR_FINISH_STOP,
         "m\xc3\xa9",
         5 + 7},
        {"messages",
         "{\"id\":\"msg\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\","
         "\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"sig\"},"
         "{\"type\":\"text\",\"text\":\"abc\"}],\"stop_reason\":\"refusal\",\"stop_sequence\":null,"
         "\"usage\":{\"input_tokens\":1,\"cache_creation_input_tokens\":2,"
         "\"cache_read_input_tokens\":4,\"output_tokens\":8}}",
         {7, 4, 2, 8, 0},
         WEIR_FINISH_CONTENT_FILTER,
         "claude",
         5},
        {"responses",
         "{\"id\":\"resp\",\"object\":\"response\",\"status\":\"incomplete\",\"error\":null,"
         "\"incomplete_details\":{\"reason\":\"content_filter\"},\"model\":\"gpt\",\"output\":[{"
         "\"type\":\"message\",\"id\":\"i\",\"content\":[{\"type\":\"output_text\",\"text\":\"xy\"}"
         "]"
         "}],\"usage\":{\"input_tokens\":3,\"input_tokens_details\":{\"cached_tokens\":1},"
         "\"output_tokens\":2,\"output_tokens_details\":{\"reasoning_tokens\":1}}}",
         {3, 1, 0, 2, 1},
         WEIR_FINISH_CONTENT_FILTER,
         "gpt",
         2},
        {"embeddings",
         "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
         "[0.1,-2e-3,4]},{\"embedding\":\"AAAA\\\\\"}],\"model\":\"e\",\"usage\":"
         "{\"prompt_tokens\":8,\"total_tokens\":8}}",
         {8, 0, 0, 0, 0},
         WEIR_FINISH_NONE,
         "e",
         0},
        {"rerank",
         "{\"model\":\"r\",\"results\":[{\"index\":0,\"relevance_score\":0.5}],"
         "\"usage\":{\"total_tokens\":11}}",
         {11, 0, 0, 0, 0},
         WEIR_FINISH_NONE,
         "r",
         0},
        {"rerank of another kind",
         "{\"model\":\"r\",\"results\":[],\"meta\":{\"api_version\":{\"version\":\"2\"},"
         "\"tokens\":{\"input_tokens\":12,\"output_tokens\":0}}}",
         {12, 0, 0, 0, 0},
         WEIR_FINISH_NONE,
         "r",
         0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_usage_t u = read_usage(arena, WEIR_BODY_JSON, cases[i].text);
        ok(counts(&u, cases[i].n[0], cases[i].n[1], cases[i].n[2], cases[i].n[3], cases[i].n[4]),
           "%s: tokens", cases[i].name);
        is_str(u.model.data, u.model.len, cases[i].model, "%s: model", cases[i].name);
        ok(u.finish == cases[i].finish && u.done && !u.error && u.skipped == 0, "%s: reason, end",
           cases[i].name);
        is_int((long long)u.text.ascii, (long long)cases[i].ascii, "%s: text", cases[i].name);
    }

    weir_usage_t u = read_usage(arena, WEIR_BODY_JSON, "{\"error\":{\"message\":\"no\"}}");
    ok(u.error && !u.has_usage, "an error is seen");
    u = read_usage(arena, WEIR_BODY_JSON, "{\"error\" : null , \"a\":\"usage\"}");
    ok(!u.error && !u.has_usage, "a null error is none");
    u = read_usage(arena, WEIR_BODY_JSON,
                   "{\"a\":{\"usage\":{\"prompt_tokens\":1},\"model\":\"x\"},\"usage\":null,"
                   "\"choices\":[{\"message\":{\"model\":\"y\",\"finish_reason\":\"stop\"}}],"
                   "\"data\":[{\"finish_reason\":\"length\"}]}");
    ok(!u.has_usage && u.model.len == 0 && u.finish == WEIR_FINISH_NONE,
       "only members in their place count");
    u = read_usage(arena, WEIR_BODY_JSON,
                   "{\"id\":\"resp\",\"status\":\"queued\",\"background\":true}");
    ok(u.background && u.finish == WEIR_FINISH_NONE, "a queued response is not finished");
    /* Of the last, the second of two equal pieces is a document by itself. */
    const char *const bad[] = {"{\"a\":[}",
                               "]",
                               "{\"usage\":{",
                               "[[[[",
                               "{\"a\":\"b",
                               ("}                            "
                                "{\"usage\":{\"prompt_tokens\":1}}")};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        u = read_usage(arena, WEIR_BODY_JSON, bad[i]);
        ok(!u.done && !u.has_usage, "what is torn or no JSON is no answer (%zu)", i);
    }
}

/* Megabytes of embeddings cost no memory. */
static void test_memory(void)
{
    weir_arena_t arena;
    weir_scratch_t *scratch = weir_scratch_new();
    weir_usage_reader_t *reader;
    weir_pipeline_t *p;
    weir_pipeline_config_t config = {.in = WEIR_BODY_JSON, .out = WEIR_BODY_JSON, .write = nowhere};
    static const char floats[] = "-0.0123456789,0.987654321,1e-7,{\"k\":[\"\\\"\"]},";

    weir_arena_init(&arena, 1024, 16384);
    weir_usage_open(&arena, &reader);
    weir_filter_t filter = weir_usage_filter(reader);
    weir_pipeline_open(&arena, scratch, &config, &filter, 1, &p);
    bool good = weir_pipeline_feed(p, "{\"data\":[", 9) == WEIR_OK;
    for (int i = 0; i < 200000; i++) {
        good = good && weir_pipeline_feed(p, floats, sizeof(floats) - 1) == WEIR_OK;
    }
    static const char last[] = "0],\"usage\":{\"prompt_tokens\":77}}";
    good = good && weir_pipeline_feed(p, last, sizeof(last) - 1) == WEIR_OK &&
           weir_pipeline_finish(p, WEIR_END_COMPLETE) == WEIR_OK;
    ok(good && weir_usage_of(reader)->tokens.prompt_tokens == 77 && arena.total <= 8192,
       "nine megabytes of numbers in %zu bytes of memory", arena.total);
    weir_arena_free(&arena);
    weir_scratch_free(scratch);
}

static void test_estimates(void)
{
    static const struct {
        const char *raw;
        uint64_t ascii;
        uint64_t other;
    } cases[] = {
        {"", 0, 0},
        {"four", 4, 0},
        {"twelve and more than eight", 26, 0},
        {"\xc3\xbc\xe4\xb8\xad\xf0\x9f\x98\x80 x", 2, 3},
        {"\\n\\\"\\\\\\u0041", 4, 0},
        {"\\u00fc\\u4e2d\\ud83d\\ude00", 0, 3},
        {"aaaaaaaaaaaaaaa\\naaaaaaaaaaaaaaaaaa\xc3\xbc", 34, 1},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_text_count_t count = {0};
        weir_text_count(&count, weir_str(cases[i].raw, strlen(cases[i].raw)));
        ok(count.ascii == cases[i].ascii && count.other == cases[i].other,
           "counting case %zu: %llu and %llu", i, (unsigned long long)count.ascii,
           (unsigned long long)count.other);
    }
    /* However long it is, and wherever something special stands in it. */
    unsigned wrong = 0;
    for (size_t len = 1; len <= 100; len++) {
        for (size_t at = 0; at < len; at++) {
            char raw[104];
            weir_text_count_t plain = {0};
            weir_text_count_t other = {0};
            weir_text_count_t escape = {0};
            memset(raw, 'a', sizeof(raw));
            weir_text_count(&plain, weir_str(raw, len));
            raw[at] = '\xc3';
            raw[at + 1] = '\xbc';
            weir_text_count(&other, weir_str(raw, len + 1));
            raw[at] = '\\';
            raw[at + 1] = 'n';
            weir_text_count(&escape, weir_str(raw, len + 1));
            wrong += plain.ascii != len || plain.other != 0 || other.ascii != len - 1 ||
                     other.other != 1 || escape.ascii != len || escape.other != 0;
        }
    }
    is_int(wrong, 0, "texts of all lengths are counted to their end and no further");
    weir_text_count_t some = {.ascii = 5, .other = 2};
    is_int((long long)weir_text_tokens(&some), 3, "(5 + 3 * 2 + 3) / 4");

    bool estimated;
    weir_usage_t u = {.text = {.ascii = 8}};
    ok(weir_usage_completion(&u, &estimated) == 2 && estimated, "not told: estimated");
    u.tokens.has_completion = true;
    ok(weir_usage_completion(&u, &estimated) == 0 && !estimated, "a told zero is no estimate");
}

/* A stream that is cut has told how it began, not what came then. */
static void test_told_early(weir_arena_t *arena)
{
#define START                                                                          \
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{" \
    "\"input_tokens\":7,\"output_tokens\":1}}}\n\n"
#define TEXT                                                                                      \
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{" \
    "\"type\":\"text_delta\",\"text\":\"twelve, and more than twelve\"}}\n\n"
#define TOLD(n)                                                                        \
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{" \
    "\"output_tokens\":" #n "}}\n\n"
#define STOP "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    static const struct {
        const char *in;
        uint64_t completion;
        bool estimated;
        const char *name;
    } cases[] = {
        {START, 1, false, "nothing behind the first count"},
        {START TEXT, 7, true, "text behind the first count"},
        {START TEXT TEXT, 14, true, "more text"},
        {START TEXT TOLD(5), 5, false, "told anew"},
        {START TEXT TOLD(5) TEXT, 12, true, "and text behind that"},
        {START TEXT TOLD(5) STOP, 5, false, "whole"},
        {START TEXT STOP, 1, false, "whole, and never told anew"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool estimated;
        weir_usage_t u = read_usage(arena, WEIR_BODY_SSE, cases[i].in);
        ok(weir_usage_completion(&u, &estimated) == cases[i].completion &&
               estimated == cases[i].estimated && u.tokens.prompt_tokens == 7,
           "told early: %s", cases[i].name);
    }
}

int main(void)
{
    weir_arena_t arena;

    weir_arena_init(&arena, 0, 0);
    test_streams(&arena);
    test_documents(&arena);
    test_memory();
    test_estimates();
    test_told_early(&arena);
    weir_arena_free(&arena);
    return done_testing();
}
