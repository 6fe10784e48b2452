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

static weir_pipeline_t *open_tap(weir_arena_t *arena, weir_scratch_t *scratch, weir_body_t kind,
                                 size_t max_event, weir_usage_reader_t **reader)
{
    weir_pipeline_config_t config = {
        .in = kind, .out = kind, .tap = true, .max_event = max_event, .write = nowhere};
    weir_pipeline_t *p;

    weir_usage_open(arena, reader);
    weir_filter_t filter = weir_usage_filter(*reader);
    weir_pipeline_open(arena, scratch, &config, &filter, 1, &p);
    return p;
}

/* Feeds text cut at the given places (bytes per piece; 0: all at once). */
static weir_usage_t run(weir_arena_t *arena, weir_body_t kind, const char *text, size_t len,
                        size_t max_event, size_t piece, rng_t *rng)
{
    weir_scratch_t *scratch = weir_scratch_new();
    weir_usage_reader_t *reader;
    weir_pipeline_t *p = open_tap(arena, scratch, kind, max_event, &reader);

    for (size_t at = 0; at < len;) {
        size_t n = rng != NULL ? 1 + rng_below(rng, 40) : piece == 0 ? len : piece;
        n = n > len - at ? len - at : n;
        weir_pipeline_feed(p, text + at, n);
        at += n;
    }
    weir_pipeline_finish(p, WEIR_END_COMPLETE);
    weir_scratch_free(scratch);
    return *weir_usage_of(reader);
}

static bool same(const weir_usage_t *a, const weir_usage_t *b)
{
    return a->has_usage == b->has_usage && a->tokens.prompt_tokens == b->tokens.prompt_tokens &&
           a->tokens.cached_tokens == b->tokens.cached_tokens &&
           a->tokens.completion_tokens == b->tokens.completion_tokens &&
           a->content_deltas == b->content_deltas && weir_str_eq(a->model, b->model) &&
           a->first_content == b->first_content && a->done == b->done && a->error == b->error &&
           a->skipped == b->skipped;
}

#define USAGE                                                                      \
    "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":3,\"total_tokens\":15," \
    "\"prompt_tokens_details\":{\"cached_tokens\":8}}"

static const char stream[] =
    ": ping\r\n\r\n"
    "data: {\"model\":\"m\xc3\xa9\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
    "\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n"
    "data: {\"model\":\"m\xc3\xa9\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi "
    "\xf0\x9f\x98"
    "\x80\"},\"finish_reason\":null}],\"usage\":null}\r\n\r\n"
    "data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":null}]}\r\r"
    "data: {\"choices\":[{\"index\":0,\n"
    "data: \"delta\":{\"content\":\"x\"}}]}\n\n"
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "event: usage\ndata: {\"choices\":[]," USAGE "}\n\n"
    "data: [DONE]\n\n";

static void test_stream(void)
{
    weir_arena_t arena;
    rng_t rng;
    weir_arena_init(&arena, 0, 0);
    weir_usage_t whole = run(&arena, WEIR_BODY_SSE, stream, sizeof(stream) - 1, 0, 0, NULL);

    ok(whole.has_usage, "usage is seen");
    is_int((long long)whole.tokens.prompt_tokens, 12, "prompt tokens");
    is_int((long long)whole.tokens.cached_tokens, 8, "cached tokens");
    is_int((long long)whole.tokens.completion_tokens, 3, "completion tokens");
    is_int((long long)whole.content_deltas, 3,
           "pieces are counted, empty ones too, the role's and the last one's not");
    is_str(whole.model.data, whole.model.len, "m\xc3\xa9", "the model's name");
    ok(whole.done && whole.first_content && !whole.error && whole.skipped == 0, "the stream ended");

    bool every_cut = true;
    for (size_t piece = 1; piece < sizeof(stream); piece++) {
        weir_usage_t cut = run(&arena, WEIR_BODY_SSE, stream, sizeof(stream) - 1, 0, piece, NULL);
        every_cut = every_cut && same(&whole, &cut);
    }
    ok(every_cut, "pieces of every size give the same result");
    rng_init(&rng);
    for (int i = 0; i < 500; i++) {
        weir_usage_t cut = run(&arena, WEIR_BODY_SSE, stream, sizeof(stream) - 1, 0, 0, &rng);
        every_cut = every_cut && same(&whole, &cut);
    }
    ok(every_cut, "so do random pieces");
    weir_arena_free(&arena);
}

static weir_usage_t one(weir_arena_t *arena, weir_body_t kind, const char *text)
{
    return run(arena, kind, text, strlen(text), 4096, 0, NULL);
}

static void test_events(void)
{
    weir_arena_t arena;
    weir_usage_t r;
    weir_arena_init(&arena, 0, 0);

    r = one(&arena, WEIR_BODY_SSE,
            "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}\n\n"
            "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n");
    is_int((long long)r.content_deltas, 1, "completions: text counts, an empty last one does not");
    ok(!r.done && !r.has_usage, "an open end is no end");

    r = one(&arena, WEIR_BODY_SSE,
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\","
            "\"content\":\"Hello\"}}]}\n\n");
    is_int((long long)r.content_deltas, 1, "content that comes with the role counts");

    r = one(&arena, WEIR_BODY_SSE,
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}},"
            "{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n");
    is_int((long long)r.content_deltas, 2, "tool calls, reasoning and further choices count");

    r = one(&arena, WEIR_BODY_SSE,
            "data: {\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n");
    ok(r.has_usage && r.tokens.prompt_tokens == 0, "a reported zero is a value");

    r = one(&arena, WEIR_BODY_SSE, "data: {\"usage\":{}}\n\ndata: {\"usage\":{\"cost\":0}}\n\n");
    ok(!r.has_usage, "a usage object without counts reports nothing");

    r = one(&arena, WEIR_BODY_SSE,
            "data: {\"model\":\"\",\"choices\":[]}\n\ndata: {\"model\":\"m\",\"choices\":[]}\n\n");
    is_str(r.model.data, r.model.len, "m", "an empty model's name is none");

    r = one(&arena, WEIR_BODY_SSE,
            "data: {\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":1e99}}"
            "\n\ndata: {\"usage\":7}\n\ndata: [1]\n\ndata: nonsense\n\n");
    ok(r.tokens.prompt_tokens == 0 && r.tokens.completion_tokens == 0 && r.skipped == 2,
       "impossible counts are ignored, what is no object is skipped");

    r = one(&arena, WEIR_BODY_SSE, "data: {\"error\":{\"message\":\"late\"}}\n\n");
    ok(r.error, "an in-band error is seen");
    r = one(&arena, WEIR_BODY_SSE, "data: {\"error\":null}\n\n");
    ok(!r.error, "a null error is none");

    r = one(&arena, WEIR_BODY_SSE, "data: {" USAGE "}");
    ok(r.has_usage && r.tokens.prompt_tokens == 12, "a last event without its blank line counts");
    r = one(&arena, WEIR_BODY_SSE,
            "\xef\xbb\xbf"
            "data: {" USAGE "}\n\n");
    ok(r.has_usage, "a byte-order mark in front is passed over");
    weir_arena_free(&arena);
}

static void test_limits(void)
{
    weir_arena_t arena;
    weir_buf_t text;
    weir_usage_t r;

    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&text, &arena);
    weir_buf_append_z(&text, "data: {\"choices\":[{\"delta\":{\"content\":\"");
    for (int i = 0; i < 6000; i++) {
        weir_buf_append_char(&text, 'x');
    }
    weir_buf_append_z(&text, "\"}}]}\n\ndata: {" USAGE "}\n\ndata: [DONE]\n\n");
    for (size_t piece = 0; piece < 3; piece++) {
        r = run(&arena, WEIR_BODY_SSE, text.data, text.len, 4096, piece * 100, NULL);
        ok(r.skipped == 1 && r.has_usage && r.tokens.prompt_tokens == 12 && r.done,
           "an event over the limit is skipped, the next is read (pieces of %zu)", piece * 100);
    }
    weir_arena_free(&arena);

    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&text, &arena);
    weir_buf_append_char(&text, ':');
    for (int i = 0; i < 6000; i++) {
        weir_buf_append_char(&text, 'x');
    }
    weir_buf_append_z(&text, "\ndata: {" USAGE "}\n\n");
    for (size_t piece = 0; piece < 3; piece++) {
        r = run(&arena, WEIR_BODY_SSE, text.data, text.len, 4096, piece * 100, NULL);
        ok(r.skipped == 0 && r.has_usage, "a long comment spoils nothing (pieces of %zu)",
           piece * 100);
    }
    weir_arena_free(&arena);

    weir_arena_init(&arena, 0, 65536);
    weir_scratch_t *scratch = weir_scratch_new();
    weir_usage_reader_t *reader;
    weir_pipeline_t *p = open_tap(&arena, scratch, WEIR_BODY_SSE, 4096, &reader);
    bool good = true;
    char line[1001];
    memset(line, 'y', sizeof(line));
    for (int i = 0; i < 20000; i++) {
        good = good && weir_pipeline_feed(p, line, sizeof(line)) == WEIR_OK;
    }
    for (int i = 0; i < 20000; i++) {
        static const char event[] =
            "data: {\"model\":\"\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
        good = good && weir_pipeline_feed(p, event, sizeof(event) - 1) == WEIR_OK;
    }
    weir_scratch_free(scratch);
    ok(good && arena.total <= 65536, "20 MB of one line and 20,000 events stay within 64 KiB");
    weir_arena_free(&arena);
}

static void test_json(void)
{
    static const char answer[] = "{\"id\":\"x\",\"model\":\"m\",\"choices\":[{\"message\":{"
                                 "\"role\":\"assistant\",\"content\":"
                                 "\"Hi\"},\"finish_reason\":\"stop\"}]," USAGE "}";
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    weir_usage_t whole = one(&arena, WEIR_BODY_JSON, answer);
    bool every_cut = true;

    ok(whole.has_usage && whole.tokens.prompt_tokens == 12 && whole.tokens.cached_tokens == 8 &&
           whole.tokens.completion_tokens == 3 && whole.done && whole.first_content &&
           weir_str_is(whole.model, "m"),
       "a whole answer is read");
    for (size_t piece = 1; piece < sizeof(answer); piece++) {
        weir_usage_t cut =
            run(&arena, WEIR_BODY_JSON, answer, sizeof(answer) - 1, 4096, piece, NULL);
        every_cut = every_cut && same(&whole, &cut);
    }
    ok(every_cut, "however it is cut");
    weir_usage_t r = one(&arena, WEIR_BODY_JSON, "{\"choices\":[");
    ok(!r.has_usage && r.skipped == 1, "a torn one is skipped");
    r = one(&arena, WEIR_BODY_JSON, "");
    ok(!r.has_usage && r.skipped == 0, "an empty body is nothing");
    r = one(&arena, WEIR_BODY_JSON, "{\"error\":{\"message\":\"no\"}}");
    ok(r.error, "an error body is seen");
    weir_arena_free(&arena);
}

int main(void)
{
    test_stream();
    test_events();
    test_limits();
    test_json();
    return done_testing();
}
