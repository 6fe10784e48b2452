#include "lua-free-filters/pipeline.h"

#include <stdio.h>

#include "lua-free-filters/chaos.h"
#include "lua-free-filters/include_usage.h"
#include "t/support/tap.h"

/* --- filters for the tests --- */

/* Asks for the scan, as any filter may. */
static weir_status_t feed_watch(void *self, weir_item_t *item, weir_sink_t *sink)
{
    (void)self;
    if (item->kind == WEIR_ITEM_EVENT || item->kind == WEIR_ITEM_DOCUMENT) {
        const weir_json_doc_t *doc = weir_item_json(sink, item);
        if (doc != NULL && (doc->len != item->data.len || doc->nodes[0].next != doc->count)) {
            ok(false, "the scan is not that of the item");
        }
    }
    return weir_sink_pass(sink, item);
}

static const weir_filter_table_t watch = {
    .name = "watch", .flags = WEIR_FILTER_WATCHES, .feed = feed_watch};

/* Puts other events, which are scanned behind it, between scan and use of its own. */
static weir_status_t feed_busy(void *self, weir_item_t *item, weir_sink_t *sink)
{
    static const char *const others[] = {"[1,2,3,4,5,6,7,8]", "{\"a\":[[[]]]}", "7"};
    weir_json_node_t nodes[64];
    weir_item_t late = {.kind = WEIR_ITEM_EVENT, .data = WEIR_STR("{\"late\":[1,2,3]}")};

    (void)self;
    if (item->kind != WEIR_ITEM_EVENT) {
        return weir_sink_pass(sink, item);
    }
    const weir_json_doc_t *doc = weir_item_json(sink, item);
    size_t n = doc == NULL || doc->count > 64 ? 0 : doc->count * sizeof(nodes[0]);
    memcpy(nodes, doc == NULL ? nodes : doc->nodes, n);
    weir_sink_pass(sink, &late); /* scanned behind, not here */
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        weir_sink_event(sink, WEIR_STR("o"), weir_str(others[i], strlen(others[i])));
    }
    const weir_json_doc_t *again = weir_item_json(sink, &late);
    if (again == NULL || again->count != 6 || again->nodes[2].size != 3) {
        ok(false, "a scan made behind the filter was taken for one of its own");
    }
    if (n > 0 && memcmp(nodes, doc->nodes, n) != 0) {
        ok(false, "the scan of an item changed while other items passed");
    }
    return weir_sink_pass(sink, item);
}

static const weir_filter_table_t busy = {.name = "busy", .feed = feed_busy};

/* Replaces the data of every event by itself in upper case. */
static weir_status_t feed_upper(void *self, weir_item_t *item, weir_sink_t *sink)
{
    (void)self;
    if (item->kind == WEIR_ITEM_EVENT || item->kind == WEIR_ITEM_DOCUMENT) {
        char *copy = weir_arena_alloc(weir_sink_arena(sink), item->data.len);
        for (size_t i = 0; i < item->data.len; i++) {
            char c = item->data.data[i];
            copy[i] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        }
        weir_item_replace(item, weir_str(copy, item->data.len));
    }
    return weir_sink_pass(sink, item);
}

static const weir_filter_table_t upper = {
    .name = "upper", .flags = WEIR_FILTER_MUST_SEE, .feed = feed_upper};

/* Holds one event back, and doubles each; what is held at a stop or cut is told as "held". */
typedef struct {
    weir_arena_t *arena;
    weir_str_t held;
    bool busy;
} doubler_t;

static weir_status_t release(doubler_t *d, weir_sink_t *sink)
{
    weir_status_t rc = WEIR_OK;

    if (d->held.len > 0) {
        rc = weir_sink_event(sink, WEIR_STR("twice"), d->held);
        rc = rc == WEIR_OK ? weir_sink_event(sink, WEIR_STR("twice"), d->held) : rc;
        d->held.len = 0;
    }
    return rc;
}

static weir_status_t feed_doubler(void *self, weir_item_t *item, weir_sink_t *sink)
{
    doubler_t *d = self;

    if (item->kind == WEIR_ITEM_COMMENT) {
        return weir_sink_pass(sink, item);
    }
    weir_status_t rc = release(d, sink);
    if (item->kind == WEIR_ITEM_EVENT) {
        d->held.data = weir_arena_strndup(d->arena, item->data.data, item->data.len);
        d->held.len = item->data.len;
        return rc;
    }
    return rc == WEIR_OK ? weir_sink_pass(sink, item) : rc;
}

static weir_status_t end_doubler(void *self, weir_end_t why, weir_sink_t *sink)
{
    doubler_t *d = self;

    if (d->busy) {
        return WEIR_ERR_BUSY;
    }
    if (why != WEIR_END_COMPLETE && d->held.len > 0) {
        d->held.len = 0;
        return weir_sink_event(sink, WEIR_STR(""), WEIR_STR("\"held\""));
    }
    return release(d, sink);
}

static weir_status_t wake_doubler(void *self, weir_sink_t *sink)
{
    doubler_t *d = self;

    d->busy = false;
    return release(d, sink);
}

static const weir_filter_table_t doubler = {
    .name = "doubler", .feed = feed_doubler, .end = end_doubler, .wake = wake_doubler};

/* Stops at an event with the word; passes the events in front of it. */
static weir_status_t feed_stopper(void *self, weir_item_t *item, weir_sink_t *sink)
{
    if (item->data.len > 0 && memmem(item->data.data, item->data.len, "STOP", 4) != NULL) {
        weir_sink_stop(sink, self);
        if (item->kind == WEIR_ITEM_DOCUMENT) {
            return WEIR_OK;
        }
        return weir_sink_event(sink, WEIR_STR(""), WEIR_STR("{\"last\":1}"));
    }
    return weir_sink_pass(sink, item);
}

static const weir_filter_table_t stopper = {
    .name = "stopper", .flags = WEIR_FILTER_MUST_SEE, .feed = feed_stopper};

/* --- running --- */

typedef struct {
    weir_buf_t out;
    const char *input;
    size_t input_len;
    bool good; /* stable pieces lie in the input */
    size_t copied;
} sink_t;

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    sink_t *s = ctx;
    bool inside = data >= s->input && data + len <= s->input + s->input_len;

    s->good = s->good && len > 0 && stable == inside;
    s->copied += stable ? 0 : len;
    weir_buf_append(&s->out, data, len);
    return s->out.failed ? WEIR_ERR_NOMEM : WEIR_OK;
}

typedef struct {
    weir_str_t out;
    weir_usage_t usage;
    bool ended;
    bool broken;
    bool stopped;
    bool cut;
    size_t copied;
} result_t;

typedef struct {
    weir_pipeline_config_t config;
    const char
        *filters; /* u usage, h include_usage, w watch, b busy, U upper, d doubler, s stopper */
    weir_stop_t stop;
    weir_end_t why;
} setup_t;

static uint32_t make_filters(weir_arena_t *arena, const setup_t *setup, weir_filter_t *filters,
                             weir_usage_reader_t **reader)
{
    uint32_t n = 0;

    for (const char *f = setup->filters; *f != '\0'; f++, n++) {
        doubler_t *d = weir_arena_calloc(arena, 1, sizeof(*d));
        d->arena = arena;
        switch (*f) {
        case 'u':
            filters[n] = weir_usage_filter(*reader);
            break;
        case 'h':
            filters[n] = weir_include_usage_filter();
            break;
        case 'w':
            filters[n] = (weir_filter_t){&watch, NULL};
            break;
        case 'b':
            filters[n] = (weir_filter_t){&busy, NULL};
            break;
        case 'U':
            filters[n] = (weir_filter_t){&upper, NULL};
            break;
        case 'd':
            filters[n] = (weir_filter_t){&doubler, d};
            break;
        default:
            filters[n] = (weir_filter_t){&stopper, (void *)&setup->stop};
            break;
        }
    }
    return n;
}

/* piece 0: cut by the chaos filter. */
static result_t run(weir_arena_t *arena, weir_scratch_t *scratch, const setup_t *setup,
                    weir_str_t in, size_t piece, uint64_t seed)
{
    sink_t sink = {.good = true};
    weir_pipeline_config_t config = setup->config;
    weir_filter_t filters[8];
    weir_pipeline_t *p;
    weir_usage_reader_t *reader;
    weir_chaos_t chaos;
    uint32_t delay;

    weir_buf_init(&sink.out, arena);
    weir_chaos_init(&chaos, seed, 40, 0);
    weir_usage_open(arena, &reader);
    uint32_t n = make_filters(arena, setup, filters, &reader);
    config.write = take;
    config.write_ctx = &sink;
    config.usage = weir_usage_of(reader);
    if (weir_pipeline_open(arena, scratch, &config, filters, n, &p) != WEIR_OK) {
        ok(false, "open failed");
        return (result_t){0};
    }
    for (size_t at = 0; at < in.len;) {
        size_t len = piece == 0 ? weir_chaos_next(&chaos, in.len - at, &delay) : piece;
        len = len < in.len - at ? len : in.len - at;
        char *copy = weir_arena_alloc(arena, len);
        memcpy(copy, in.data + at, len);
        sink.input = copy;
        sink.input_len = len;
        if (config.tap && !weir_pipeline_ended(p)) {
            weir_buf_append(&sink.out, copy, len);
        }
        if (weir_pipeline_feed(p, copy, len) != WEIR_OK) {
            ok(false, "feed failed");
        }
        memset(copy, '#', len); /* nothing may look at it any more */
        at += len;
    }
    if (weir_pipeline_finish(p, setup->why) != WEIR_OK || !sink.good) {
        ok(false, "finish failed or a piece was misnamed");
    }
    return (result_t){weir_str(sink.out.data, sink.out.len),
                      *weir_usage_of(reader),
                      weir_pipeline_ended(p),
                      weir_pipeline_broken(p),
                      weir_pipeline_stopped(p) != NULL,
                      weir_pipeline_cut(p),
                      sink.copied};
}

static bool same_usage(const weir_usage_t *a, const weir_usage_t *b)
{
    return weir_tokens_eq(&a->tokens, &b->tokens) && a->text.ascii == b->text.ascii &&
           a->text.other == b->text.other && a->content_deltas == b->content_deltas &&
           a->finish == b->finish && a->finish_mask == b->finish_mask && a->done == b->done &&
           a->error == b->error && a->skipped == b->skipped && a->has_usage == b->has_usage &&
           weir_str_eq(a->model, b->model) && weir_str_eq(a->id, b->id);
}

/* Every piece size and many random cuts give the same; returns the result of the whole. */
static result_t invariant(weir_arena_t *arena, const setup_t *setup, weir_str_t in,
                          const char *name)
{
    weir_scratch_t *scratch = weir_scratch_new();
    weir_arena_t scrap;
    rng_t rng;
    result_t whole = run(arena, scratch, setup, in, in.len + 1, 0);
    bool same = true;
    size_t random = in.len < 4000 ? 100 : 20;

    rng_init(&rng);
    weir_arena_init(&scrap, 0, 0);
    for (size_t i = 1; i <= in.len + random && same; i++) {
        if (in.len > 4000 && i > 40 && i <= in.len) {
            continue;
        }
        uint64_t seed = rng_u64(&rng);
        result_t cut = run(&scrap, scratch, setup, in, i <= in.len ? i : 0, seed);
        same = weir_str_eq(whole.out, cut.out) &&
               (whole.stopped || same_usage(&whole.usage, &cut.usage)) &&
               whole.ended == cut.ended && whole.broken == cut.broken &&
               whole.stopped == cut.stopped;
        if (!same) {
            diag("pieces of %zu, seed %llu: got", i, (unsigned long long)seed);
            diag("%.*s", (int)cut.out.len, cut.out.len > 0 ? cut.out.data : "");
            diag("want\n%.*s", (int)whole.out.len, whole.out.len > 0 ? whole.out.data : "");
        }
        weir_arena_reset(&scrap);
    }
    ok(same, "%s: the same however it is cut", name);
    weir_arena_free(&scrap);
    weir_scratch_free(scratch);
    return whole;
}

#define CHUNK(delta, finish)                                                                \
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":"    \
    "\"m\",\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}]," \
    "\"usage\":null}\n\n"
#define BARE(delta, finish)                                                              \
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":" \
    "\"m\",\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}]}\n\n"
#define ROLE "\"role\":\"assistant\",\"content\":\"\""
#define TEXT "\"content\":\"Gr\xc3\xbc\xc3\x9f dich\""
#define USAGE                                                                                  \
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\"" \
    ":3,\"total_tokens\":12}}\n\n"
#define DONE "data: [DONE]\n\n"
#define CUT_ERROR                                                                             \
    "data: {\"error\":{\"message\":\"The upstream broke off before the answer was complete; " \
    "what has arrived is not all of it.\",\"type\":\"server_error\",\"param\":null,"          \
    "\"code\":\"upstream_error\"}}\n\n"

static const setup_t chat = {
    .config = {.protocol = WEIR_PROTOCOL_CHAT,
               .upstream = WEIR_PROTOCOL_CHAT,
               .in = WEIR_BODY_SSE,
               .out = WEIR_BODY_SSE,
               .request_id = "r1",
               .now = 5},
    .filters = "uw",
};

static void expect(weir_arena_t *arena, const setup_t *setup, const char *in, const char *out,
                   const char *name)
{
    result_t r = invariant(arena, setup, weir_str(in, strlen(in)), name);
    is_str(r.out.data, r.out.len, out, "%s: the output", name);
}

static void test_passing(weir_arena_t *arena)
{
    static const char stream[] =
        ": ping\n\n" CHUNK(ROLE, "null") CHUNK(TEXT, "null") CHUNK("", "\"stop\"") USAGE DONE;
    result_t r = invariant(arena, &chat, weir_str(stream, sizeof(stream) - 1), "unchanged");

    is_str(r.out.data, r.out.len, stream, "a stream that nobody changes leaves as it came");
    ok(r.ended && !r.broken && r.copied == 0, "it has ended, and nothing was copied");
    ok(r.usage.has_usage && r.usage.tokens.prompt_tokens == 9 && r.usage.done &&
           r.usage.finish == WEIR_FINISH_STOP && weir_str_is(r.usage.id, "c1"),
       "its usage was read");

    setup_t hide = chat;
    hide.filters = "uhw";
    expect(arena, &hide, stream,
           ": ping\n\n" BARE(ROLE, "null") BARE(TEXT, "null") BARE("", "\"stop\"") DONE,
           "hidden usage");

    expect(arena, &chat,
           "\xef\xbb\xbf" CHUNK(ROLE, "null") "id: 7\nretry: 3\n\nid: 8\n" CHUNK(
               TEXT, "null") "event: x\n\ndata:\n\ndata\r\n\r\n" CHUNK("", "\"stop\"") DONE
           "data: late\n\n",
           CHUNK(ROLE, "null") CHUNK(TEXT, "null") CHUNK("", "\"stop\"") DONE,
           "what clients choke on is left out");
    expect(arena, &chat,
           CHUNK("", "\"stop\"") "data: {\"a\":\ndata: 1}\r\n\r\n: c\r\n\r\ndata: [DONE]\r\n\r\n",
           CHUNK("", "\"stop\"") "data: {\"a\":\ndata: 1}\r\n\r\n: c\r\n\r\n" DONE,
           "CRLF and several lines");
    expect(arena, &chat, CHUNK("", "\"stop\"") "data: [DONE]", CHUNK("", "\"stop\"") DONE,
           "a missing last blank line");
    expect(arena, &chat, CHUNK("", "\"stop\""), CHUNK("", "\"stop\"") DONE, "a missing [DONE]");
    expect(arena, &chat, CHUNK(TEXT, "null"), CHUNK(TEXT, "null") CUT_ERROR,
           "an end without a finish reason");
    expect(arena, &chat, CHUNK(TEXT, "null") "data: {\"id\":\"c1\",\"choi",
           CHUNK(TEXT, "null") CUT_ERROR, "an end inside an event");
    expect(arena, &chat, "", CUT_ERROR, "an empty body");
    expect(arena, &chat, CHUNK("", "\"stop\"") ": torn comm", CHUNK("", "\"stop\"") DONE,
           "an end inside a comment");
    expect(arena, &chat, CHUNK("", "\"stop\"") "event: x\n", CHUNK("", "\"stop\"") DONE,
           "an end inside an event without data");
    setup_t tap = chat;
    tap.config.tap = true;
    tap.filters = "u";
    expect(arena, &tap, CHUNK("", "\"stop\"") ": torn comm",
           CHUNK("", "\"stop\"") ": torn comm\n" DONE, "tapped, an end inside a comment");
    expect(arena, &tap, CHUNK("", "\"stop\"") "data: [DONE]", CHUNK("", "\"stop\"") DONE,
           "tapped, a missing last blank line");
    expect(arena, &tap, CHUNK(TEXT, "null"), CHUNK(TEXT, "null") CUT_ERROR, "tapped, a cut");
    result_t torn = invariant(arena, &tap, WEIR_STR("event: x\n"), "tapped, a torn event");
    ok(torn.broken && !torn.ended, "it breaks the connection");
    expect(arena, &chat, CHUNK(TEXT, "null") "data: {\"error\":{\"message\":\"no\"}}\n\n",
           CHUNK(TEXT, "null") "data: {\"error\":{\"message\":\"no\"}}\n\n",
           "an error of the upstream is an end");
}

/* A cut at every byte: never a normal end, never a torn event. */
static void test_cut(weir_arena_t *arena)
{
    static const char stream[] = CHUNK(ROLE, "null") CHUNK(TEXT, "null") CHUNK("", "\"stop\"") DONE;
    weir_scratch_t *scratch = weir_scratch_new();
    setup_t setup = chat;
    size_t len = sizeof(stream) - 1;
    bool good = true;

    setup.why = WEIR_END_CUT;
    for (size_t at = 0; at < len - 1; at++) {
        result_t r = run(arena, scratch, &setup, weir_str(stream, at), 7, 0);
        /* A [DONE] whose blank line alone is missing is one. */
        bool done = at >= len - 2;
        const char *want = done ? DONE : CUT_ERROR;
        size_t n = strlen(want);
        good = good && r.ended && r.cut == !done && r.out.len >= n &&
               memcmp(r.out.data + r.out.len - n, want, n) == 0 &&
               (r.out.len == n || memcmp(r.out.data, stream, r.out.len - n) == 0) &&
               (r.out.len == n || memcmp(r.out.data + r.out.len - n - 2, "\n\n", 2) == 0);
    }
    ok(good, "cut at any byte the stream ends in an error behind a whole event");

    setup.config.tap = true;
    setup.filters = "u";
    size_t ended = 0;
    good = true;
    for (size_t at = 0; at < len - 2; at++) {
        result_t r = run(arena, scratch, &setup, weir_str(stream, at), 7, 0);
        good = good && r.ended == !r.broken && r.cut;
        ended += r.ended;
    }
    ok(good && ended > 3, "tapped, it does so between events and breaks inside");

    setup.why = WEIR_END_ABORT;
    setup.config.tap = false;
    setup.filters = "ud";
    result_t r = run(arena, scratch, &setup, weir_str(stream, len - 14), 7, 0);
    ok(!r.ended && memmem(r.out.data, r.out.len, "error", 5) == NULL,
       "nothing is written to a client that has left");
    weir_scratch_free(scratch);
}

static void test_changing(weir_arena_t *arena)
{
    setup_t setup = chat;

    setup.config.protocol = WEIR_PROTOCOL_OTHER;
    setup.config.upstream = WEIR_PROTOCOL_OTHER;
    setup.filters = "wUw";
    expect(arena, &setup, "event: e\ndata: a\ndata: b\n\n: c\n\ndata: {\"x\":1}\r\n\r\n",
           "event: e\ndata: A\ndata: B\n\n: c\n\ndata: {\"X\":1}\n\n", "replaced events");
    setup.filters = "wdUwd";
    expect(arena, &setup, "data: a\n\n: c\n\ndata: b\n\ndata: c",
           ": c\n\n"
           "event: twice\ndata: A\n\nevent: twice\ndata: A\n\n"
           "event: twice\ndata: A\n\nevent: twice\ndata: A\n\n"
           "event: twice\ndata: B\n\nevent: twice\ndata: B\n\n"
           "event: twice\ndata: B\n\nevent: twice\ndata: B\n\n"
           "event: twice\ndata: C\n\nevent: twice\ndata: C\n\n"
           "event: twice\ndata: C\n\nevent: twice\ndata: C\n\n",
           "held and inserted events");
    setup.filters = "wbwb";
    result_t r = invariant(arena, &setup, WEIR_STR("data: {\"x\":[1,{\"y\":2}]}\n\ndata: z\n\n"),
                           "scans on top of each other");
    ok(memmem(r.out.data, r.out.len, "[[[]]]", 6) != NULL, "all inserted events leave");
    setup.filters = "";
    expect(arena, &setup, "data: a\n\ndata: b\r\r", "data: a\n\ndata: b\r\r", "no filters");
}

static void test_stop(weir_arena_t *arena)
{
    static const char in[] = CHUNK(ROLE, "null") CHUNK(TEXT, "null")
        CHUNK("\"content\":\"STOP\"", "null") CHUNK("", "\"stop\"") DONE;
    setup_t setup = chat;

    setup.filters = "us";
    setup.stop = (weir_stop_t){.reason = WEIR_STOP_CONTENT_FILTER};
    expect(arena, &setup, in,
           CHUNK(ROLE, "null") CHUNK(
               TEXT,
               "null") "data: {\"last\":1}\n\n"
                       "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,"
                       "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
                       "\"finish_reason\":\"content_filter\"}]}\n\n" DONE,
           "stopped by a guard");
    setup.filters = "dsd";
    setup.stop = (weir_stop_t){.reason = WEIR_STOP_ERROR,
                               .status = 429,
                               .type = "rate_limit_error",
                               .code = "insufficient_quota",
                               .message = "the budget is used up"};
    setup.config.protocol = WEIR_PROTOCOL_CHAT;
    expect(arena, &setup, "data: {\"a\":1}\n\ndata: \"STOP\"\n\ndata: {\"b\":1}\n\n" DONE,
           "event: twice\ndata: {\"a\":1}\n\nevent: twice\ndata: {\"a\":1}\n\n"
           "event: twice\ndata: {\"a\":1}\n\nevent: twice\ndata: {\"a\":1}\n\n"
           "data: \"held\"\n\n"
           "data: {\"error\":{\"message\":\"the budget is used up\",\"type\":"
           "\"rate_limit_error\",\"param\":null,\"code\":\"insufficient_quota\"}}\n\n",
           "only filters behind the stop are flushed");
}

static void test_limits(weir_arena_t *arena)
{
    setup_t setup = chat;
    weir_buf_t in;

    weir_buf_init(&in, arena);
    weir_buf_append_z(&in, CHUNK(ROLE, "null") "data: {\"x\":\"");
    for (int i = 0; i < 300; i++) {
        weir_buf_append_z(&in, "0123456789");
    }
    weir_buf_append_z(&in, "\"}\r\n\r\n" CHUNK("", "\"stop\"") DONE);
    setup.config.max_event = 1024;
    result_t r = invariant(arena, &setup, weir_str(in.data, in.len), "an event over the limit");
    ok(weir_str_eq(r.out, weir_str(in.data, in.len)) && r.usage.skipped == 1 && r.ended,
       "it passes as it is and is counted");

    setup.filters = "us";
    r = invariant(arena, &setup, weir_str(in.data, in.len), "one that a filter must see");
    ok(r.stopped && r.out.len < 1000 &&
           memmem(r.out.data, r.out.len, "over the gateway's limit", 24),
       "it ends the stream with an error");

    weir_scratch_t *scratch = weir_scratch_new();
    setup.filters = "uw";
    setup.config.max_event = 0;
    weir_arena_t small;
    weir_arena_init(&small, 4096, 65536);
    weir_buf_t many;
    weir_buf_init(&many, arena);
    for (int i = 0; i < 20000; i++) {
        weir_buf_append_z(&many, BARE(TEXT, "null"));
    }
    weir_usage_reader_t *reader;
    weir_pipeline_t *p;
    sink_t sink = {.good = true};
    weir_pipeline_config_t config = setup.config;
    weir_buf_init(&sink.out, arena);
    config.write = take;
    config.write_ctx = &sink;
    weir_usage_open(&small, &reader);
    weir_filter_t filter = weir_usage_filter(reader);
    weir_pipeline_open(&small, scratch, &config, &filter, 1, &p);
    bool good = true;
    for (size_t at = 0; at < many.len; at += 1000) {
        size_t n = many.len - at < 1000 ? many.len - at : 1000;
        sink.input = many.data + at;
        sink.input_len = n;
        sink.out.len = 0;
        good = good && weir_pipeline_feed(p, many.data + at, n) == WEIR_OK;
    }
    ok(good && small.total <= 8192, "20,000 events cost a stream no more than %zu bytes",
       small.total);
    weir_arena_free(&small);
    weir_scratch_free(scratch);
}

static void test_wake(weir_arena_t *arena)
{
    weir_scratch_t *scratch = weir_scratch_new();
    weir_pipeline_config_t config = chat.config;
    doubler_t state = {.arena = arena, .busy = true};
    weir_filter_t filter = {&doubler, &state};
    sink_t sink = {.good = true};
    weir_pipeline_t *p;
    static const char in[] = CHUNK(TEXT, "\"stop\"");

    weir_buf_init(&sink.out, arena);
    config.write = take;
    config.write_ctx = &sink;
    weir_pipeline_open(arena, scratch, &config, &filter, 1, &p);
    weir_pipeline_feed(p, in, sizeof(in) - 1);
    ok(weir_pipeline_finish(p, WEIR_END_COMPLETE) == WEIR_ERR_BUSY && sink.out.len == 0,
       "a filter that awaits a verdict holds the end back");
    ok(weir_pipeline_may_ping(p) && !weir_pipeline_ended(p), "pings may be sent meanwhile");
    ok(weir_pipeline_wake(p) == WEIR_OK && weir_pipeline_ended(p), "woken, it ends");
    ok(sink.out.len > 14 && memcmp(sink.out.data + sink.out.len - 14, DONE, 14) == 0,
       "with what was held and the ending");
    ok(!weir_pipeline_may_ping(p), "no ping behind the end");

    weir_stop_t stop = {.reason = WEIR_STOP_LENGTH};
    sink.out.len = 0;
    weir_pipeline_open(arena, scratch, &config, NULL, 0, &p);
    sink.input = in;
    sink.input_len = sizeof(in);
    weir_pipeline_feed(p, CHUNK(ROLE, "null"), sizeof(CHUNK(ROLE, "null")) - 1);
    weir_pipeline_stop(p, &stop);
    ok(weir_pipeline_ended(p) && weir_pipeline_stopped(p)->reason == WEIR_STOP_LENGTH &&
           memmem(sink.out.data, sink.out.len, "\"finish_reason\":\"length\"", 24) != NULL,
       "stopped from outside");
    size_t len = sink.out.len;
    weir_pipeline_feed(p, in, sizeof(in) - 1);
    weir_pipeline_finish(p, WEIR_END_CUT);
    is_int((long long)sink.out.len, (long long)len, "nothing is written behind an end");
    weir_scratch_free(scratch);
}

static void test_documents(weir_arena_t *arena)
{
    static const char answer[] =
        "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"m\",\"choices\":"
        "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"logprobs\":null,"
        "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}";
    setup_t setup = chat;
    result_t r;

    setup.config.in = WEIR_BODY_JSON;
    setup.config.out = WEIR_BODY_JSON;
    setup.filters = "u";
    r = invariant(arena, &setup, weir_str(answer, sizeof(answer) - 1), "a watched document");
    ok(weir_str_is(r.out, answer) && r.copied == 0 && r.usage.has_usage && r.ended && !r.cut,
       "it passes uncopied, its usage is read");
    setup.filters = "uw";
    expect(arena, &setup, answer, answer, "a document that is scanned");
    setup.filters = "uU";
    expect(arena, &setup, "{\"a\":\"b\"}", "{\"A\":\"B\"}", "a changed document");
    setup.filters = "us";
    setup.stop = (weir_stop_t){.reason = WEIR_STOP_CONTENT_FILTER};
    r = invariant(arena, &setup, WEIR_STR("{\"model\":\"m\",\"x\":\"STOP\"}"),
                  "a stopped document");
    ok(r.stopped && !r.cut && memmem(r.out.data, r.out.len, "content_filter", 14) != NULL,
       "it is an answer with the finish reason");

    setup.why = WEIR_END_CUT;
    setup.filters = "uU";
    r = invariant(arena, &setup, WEIR_STR("{\"a\":"), "a torn document that was held");
    ok(r.ended && r.cut && memmem(r.out.data, r.out.len, "\"error\"", 7) != NULL,
       "becomes an error");
    setup.filters = "u";
    r = invariant(arena, &setup, WEIR_STR("{\"a\":"), "a torn document that has passed");
    ok(r.broken && !r.ended && r.cut, "breaks the connection");

    setup.why = WEIR_END_COMPLETE;
    setup.config.max_document = 20;
    setup.filters = "uh";
    r = invariant(arena, &setup, weir_str(answer, sizeof(answer) - 1), "a document over the limit");
    ok(weir_str_is(r.out, answer) && r.usage.has_usage, "passes");
    setup.filters = "uU";
    r = invariant(arena, &setup, weir_str(answer, sizeof(answer) - 1), "one that must be seen");
    ok(r.stopped && memmem(r.out.data, r.out.len, "upstream_too_large", 18), "is an error");
}

int main(void)
{
    weir_arena_t arena;

    weir_arena_init(&arena, 0, 0);
    test_passing(&arena);
    test_cut(&arena);
    test_changing(&arena);
    test_stop(&arena);
    test_limits(&arena);
    test_wake(&arena);
    test_documents(&arena);
    weir_arena_free(&arena);
    return done_testing();
}
