#include "lua-free-filters/usage_tap.h"

#include <stdio.h>

#include "t/support/tap.h"

/* Feeds text cut at the given places (bytes per piece; 0: all at once). */
static weir_tap_result_t run(weir_arena_t *arena, weir_tap_kind_t kind, const char *text,
                             size_t len, size_t max_event, size_t piece, rng_t *rng)
{
    weir_usage_tap_t *tap;
    weir_usage_tap_open(arena, kind, max_event, &tap);
    for (size_t at = 0; at < len;) {
        size_t n = rng != NULL ? 1 + rng_below(rng, 40) : piece == 0 ? len : piece;
        n = n > len - at ? len - at : n;
        weir_usage_tap_feed(tap, text + at, n);
        at += n;
    }
    weir_usage_tap_finish(tap);
    return *weir_usage_tap_result(tap);
}

static bool same(const weir_tap_result_t *a, const weir_tap_result_t *b)
{
    return a->has_usage == b->has_usage && a->prompt_tokens == b->prompt_tokens &&
           a->cached_tokens == b->cached_tokens && a->completion_tokens == b->completion_tokens &&
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
    weir_tap_result_t whole = run(&arena, WEIR_TAP_SSE, stream, sizeof(stream) - 1, 0, 0, NULL);

    ok(whole.has_usage, "usage is seen");
    is_int((long long)whole.prompt_tokens, 12, "prompt tokens");
    is_int((long long)whole.cached_tokens, 8, "cached tokens");
    is_int((long long)whole.completion_tokens, 3, "completion tokens");
    is_int((long long)whole.content_deltas, 3,
           "pieces are counted, empty ones too, the role's and the last one's not");
    is_str(whole.model.data, whole.model.len, "m\xc3\xa9", "the model's name");
    ok(whole.done && whole.first_content && !whole.error && whole.skipped == 0, "the stream ended");

    bool every_cut = true;
    for (size_t piece = 1; piece < sizeof(stream); piece++) {
        weir_tap_result_t cut =
            run(&arena, WEIR_TAP_SSE, stream, sizeof(stream) - 1, 0, piece, NULL);
        every_cut = every_cut && same(&whole, &cut);
    }
    ok(every_cut, "pieces of every size give the same result");
    rng_init(&rng);
    for (int i = 0; i < 500; i++) {
        weir_tap_result_t cut = run(&arena, WEIR_TAP_SSE, stream, sizeof(stream) - 1, 0, 0, &rng);
        every_cut = every_cut && same(&whole, &cut);
    }
    ok(every_cut, "so do random pieces");
    weir_arena_free(&arena);
}

static weir_tap_result_t one(weir_arena_t *arena, weir_tap_kind_t kind, const char *text)
{
    return run(arena, kind, text, strlen(text), 4096, 0, NULL);
}

static void test_events(void)
{
    weir_arena_t arena;
    weir_tap_result_t r;
    weir_arena_init(&arena, 0, 0);

    r = one(&arena, WEIR_TAP_SSE,
            "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}\n\n"
            "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n");
    is_int((long long)r.content_deltas, 1, "completions: text counts, an empty last one does not");
    ok(!r.done && !r.has_usage, "an open end is no end");

    r = one(&arena, WEIR_TAP_SSE,
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\","
            "\"content\":\"Hello\"}}]}\n\n");
    is_int((long long)r.content_deltas, 1, "content that comes with the role counts");

    r = one(&arena, WEIR_TAP_SSE,
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0}]}},"
            "{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n");
    is_int((long long)r.content_deltas, 2, "tool calls, reasoning and further choices count");

    r = one(&arena, WEIR_TAP_SSE,
            "data: {\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n");
    ok(r.has_usage && r.prompt_tokens == 0, "a reported zero is a value");

    r = one(&arena, WEIR_TAP_SSE, "data: {\"usage\":{}}\n\ndata: {\"usage\":{\"cost\":0}}\n\n");
    ok(!r.has_usage, "a usage object without counts reports nothing");

    r = one(&arena, WEIR_TAP_SSE,
            "data: {\"model\":\"\",\"choices\":[]}\n\ndata: {\"model\":\"m\",\"choices\":[]}\n\n");
    is_str(r.model.data, r.model.len, "m", "an empty model's name is none");

    r = one(&arena, WEIR_TAP_SSE,
            "data: {\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":1e99}}"
            "\n\ndata: {\"usage\":7}\n\ndata: [1]\n\ndata: nonsense\n\n");
    ok(r.prompt_tokens == 0 && r.completion_tokens == 0 && r.skipped == 2,
       "impossible counts are ignored, what is no object is skipped");

    r = one(&arena, WEIR_TAP_SSE, "data: {\"error\":{\"message\":\"late\"}}\n\n");
    ok(r.error, "an in-band error is seen");
    r = one(&arena, WEIR_TAP_SSE, "data: {\"error\":null}\n\n");
    ok(!r.error, "a null error is none");

    r = one(&arena, WEIR_TAP_SSE, "data: {" USAGE "}");
    ok(r.has_usage && r.prompt_tokens == 12, "a last event without its blank line counts");
    r = one(&arena, WEIR_TAP_SSE,
            "\xef\xbb\xbf"
            "data: {" USAGE "}\n\n");
    ok(r.has_usage, "a byte-order mark in front is passed over");
    weir_arena_free(&arena);
}

static void test_limits(void)
{
    weir_arena_t arena;
    weir_buf_t text;
    weir_tap_result_t r;

    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&text, &arena);
    weir_buf_append_z(&text, "data: {\"choices\":[{\"delta\":{\"content\":\"");
    for (int i = 0; i < 6000; i++) {
        weir_buf_append_char(&text, 'x');
    }
    weir_buf_append_z(&text, "\"}}]}\n\ndata: {" USAGE "}\n\ndata: [DONE]\n\n");
    for (size_t piece = 0; piece < 3; piece++) {
        r = run(&arena, WEIR_TAP_SSE, text.data, text.len, 4096, piece * 100, NULL);
        ok(r.skipped == 1 && r.has_usage && r.prompt_tokens == 12 && r.done,
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
        r = run(&arena, WEIR_TAP_SSE, text.data, text.len, 4096, piece * 100, NULL);
        ok(r.skipped == 0 && r.has_usage, "a long comment spoils nothing (pieces of %zu)",
           piece * 100);
    }
    weir_arena_free(&arena);

    weir_arena_init(&arena, 0, 65536);
    weir_usage_tap_t *tap;
    weir_usage_tap_open(&arena, WEIR_TAP_SSE, 4096, &tap);
    bool good = true;
    char line[1001];
    memset(line, 'y', sizeof(line));
    for (int i = 0; i < 20000; i++) {
        good = good && weir_usage_tap_feed(tap, line, sizeof(line)) == WEIR_OK;
    }
    for (int i = 0; i < 20000; i++) {
        static const char event[] =
            "data: {\"model\":\"\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
        good = good && weir_usage_tap_feed(tap, event, sizeof(event) - 1) == WEIR_OK;
    }
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
    weir_tap_result_t whole = one(&arena, WEIR_TAP_JSON, answer);
    bool every_cut = true;

    ok(whole.has_usage && whole.prompt_tokens == 12 && whole.cached_tokens == 8 &&
           whole.completion_tokens == 3 && whole.done && whole.first_content &&
           weir_str_is(whole.model, "m"),
       "a whole answer is read");
    for (size_t piece = 1; piece < sizeof(answer); piece++) {
        weir_tap_result_t cut =
            run(&arena, WEIR_TAP_JSON, answer, sizeof(answer) - 1, 4096, piece, NULL);
        every_cut = every_cut && same(&whole, &cut);
    }
    ok(every_cut, "however it is cut");
    weir_tap_result_t r = one(&arena, WEIR_TAP_JSON, "{\"choices\":[");
    ok(!r.has_usage && r.skipped == 1, "a torn one is skipped");
    r = one(&arena, WEIR_TAP_JSON, "");
    ok(!r.has_usage && r.skipped == 0, "an empty body is nothing");
    r = one(&arena, WEIR_TAP_JSON, "{\"error\":{\"message\":\"no\"}}");
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
