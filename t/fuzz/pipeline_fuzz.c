/*
 * What leaves a pipeline does not depend on how its input was cut, and is well formed whatever came
 * in: no event without data, no field that clients choke on. The first bytes choose the pipeline.
 */
#include <stdlib.h>

#include "lua-free-filters/chaos.h"
#include "lua-free-filters/include_usage.h"
#include "lua-free-filters/pipeline.h"
#include "lua-free-filters/sse_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    weir_buf_t out;
    weir_usage_t usage;
    bool ended;
    bool broken;
    bool stopped;
} result_t;

typedef struct {
    weir_pipeline_config_t config;
    uint8_t filters; /* bit 0 usage, 1 hiding, 2 doubling, 3 stopping */
    weir_end_t why;
} setup_t;

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

/* Passes every event twice, the second time as new data. */
static weir_status_t feed_double(void *self, weir_item_t *item, weir_sink_t *sink)
{
    weir_str_t data = item->data;
    weir_str_t name = item->name;
    weir_status_t rc = weir_sink_pass(sink, item);

    (void)self;
    if (rc == WEIR_OK && item->kind == WEIR_ITEM_EVENT) {
        rc = weir_sink_event(sink, name, data);
    }
    return rc;
}

/* Stops at a '!'. */
static weir_status_t feed_stop(void *self, weir_item_t *item, weir_sink_t *sink)
{
    if (item->data.len > 0 && memchr(item->data.data, '!', item->data.len) != NULL) {
        weir_stop_t stop = {.reason = (weir_stop_reason_t)(1 + item->data.len % 3)};
        weir_sink_stop(sink, &stop);
        return WEIR_OK;
    }
    (void)self;
    return weir_sink_pass(sink, item);
}

static const weir_filter_table_t doubling = {.name = "double", .feed = feed_double};
static const weir_filter_table_t stopping = {
    .name = "stop", .flags = WEIR_FILTER_MUST_SEE, .feed = feed_stop};

static bool run(weir_arena_t *arena, weir_scratch_t *scratch, const setup_t *setup,
                const char *text, size_t len, uint64_t seed, result_t *result)
{
    weir_pipeline_config_t config = setup->config;
    weir_usage_reader_t *reader;
    weir_filter_t filters[4];
    weir_pipeline_t *p;
    weir_chaos_t chaos;
    uint32_t delay;
    uint32_t n = 0;

    weir_buf_init(&result->out, arena);
    weir_usage_open(arena, &reader);
    weir_chaos_init(&chaos, seed, 16, 0);
    if ((setup->filters & 1) != 0) {
        filters[n++] = weir_usage_filter(reader);
    }
    if ((setup->filters & 2) != 0) {
        filters[n++] = weir_include_usage_filter();
    }
    if ((setup->filters & 4) != 0) {
        filters[n++] = (weir_filter_t){&doubling, NULL};
    }
    if ((setup->filters & 8) != 0) {
        filters[n++] = (weir_filter_t){&stopping, NULL};
    }
    config.write = take;
    config.write_ctx = &result->out;
    config.usage = weir_usage_of(reader);
    if (weir_pipeline_open(arena, scratch, &config, filters, n, &p) != WEIR_OK) {
        return false;
    }
    for (size_t at = 0; at < len;) {
        size_t piece = seed == 0 ? len : weir_chaos_next(&chaos, len - at, &delay);
        /* Of its own size, and gone behind the call. */
        char *copy = malloc(piece);
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, text + at, piece);
        if (weir_pipeline_feed(p, copy, piece) != WEIR_OK) {
            abort();
        }
        free(copy);
        at += piece;
    }
    if (weir_pipeline_finish(p, setup->why) != WEIR_OK) {
        abort();
    }
    result->usage = *weir_usage_of(reader);
    result->ended = weir_pipeline_ended(p);
    result->broken = weir_pipeline_broken(p);
    result->stopped = weir_pipeline_stopped(p) != NULL;
    return true;
}

typedef struct {
    bool strict;
    bool fields; /* id and retry lines may be there */
    bool last_is_event;
} check_t;

static weir_status_t check_event(void *ctx, const weir_sse_event_t *event)
{
    check_t *check = ctx;

    if (event->kind == WEIR_SSE_EMPTY ||
        (event->kind == WEIR_SSE_EVENT && check->strict &&
         (event->unended || !event->standard || (event->fields.len > 0 && !check->fields)))) {
        abort();
    }
    if (event->kind != WEIR_SSE_LINE_FEED) {
        check->last_is_event = event->kind == WEIR_SSE_EVENT;
    }
    return WEIR_OK;
}

/* Read again, the stream holds nothing but whole events, and where the protocol has an end, one of
 * them is the last. An error of the upstream may stand before the last one. */
static void check_stream(weir_arena_t *arena, const result_t *r, weir_protocol_t protocol)
{
    weir_sse_parser_t parser;
    check_t check = {.strict = r->ended, .fields = protocol == WEIR_PROTOCOL_OTHER};
    bool ends = protocol != WEIR_PROTOCOL_OTHER && protocol != WEIR_PROTOCOL_DOCUMENT;

    weir_sse_parser_init(&parser, arena, (size_t)1 << 20, check_event, &check);
    weir_sse_parser_feed(&parser, r->out.data, r->out.len);
    weir_sse_parser_finish(&parser);
    bool error = r->out.len > 0 && memmem(r->out.data, r->out.len, "error", 5) != NULL;
    if (r->ended && ends && !error && !check.last_is_event) {
        abort();
    }
}

static bool same(const result_t *a, const result_t *b)
{
    const weir_usage_t *u = &a->usage;
    const weir_usage_t *v = &b->usage;

    return weir_str_eq(weir_str(a->out.data, a->out.len), weir_str(b->out.data, b->out.len)) &&
           a->ended == b->ended && a->broken == b->broken && a->stopped == b->stopped &&
           (a->stopped ||
            (weir_tokens_eq(&u->tokens, &v->tokens) && u->text.ascii == v->text.ascii &&
             u->text.other == v->text.other && u->content_deltas == v->content_deltas &&
             u->finish_mask == v->finish_mask && u->done == v->done && u->error == v->error &&
             u->skipped == v->skipped && u->tool_uses == v->tool_uses &&
             weir_str_eq(u->model, v->model) && weir_str_eq(u->id, v->id)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static weir_scratch_t *scratch;
    weir_arena_t arena;
    result_t whole;
    result_t cut;

    if (size < 3) {
        return 0;
    }
    if (scratch == NULL && (scratch = weir_scratch_new()) == NULL) {
        abort();
    }
    weir_protocol_t protocol = (weir_protocol_t)(data[0] % 6);
    setup_t setup = {
        .config = {.protocol = protocol,
                   .upstream = protocol,
                   .in = (data[0] & 0x40) != 0 ? WEIR_BODY_JSON : WEIR_BODY_SSE,
                   .out = (data[0] & 0xc0) == 0x40 ? WEIR_BODY_JSON : WEIR_BODY_SSE,
                   .max_event = (data[1] & 0x10) != 0 ? 100 : 0,
                   .max_document = (data[1] & 0x20) != 0 ? 100 : 0,
                   .max_nodes = (data[1] & 0x40) != 0 ? 20 : 0,
                   .request_id = "r",
                   .usage_asked = (data[1] & 0x80) != 0},
        .filters = data[1] & 15,
        .why = (weir_end_t)((data[0] & 0x38) == 0x38 ? WEIR_END_CUT : WEIR_END_COMPLETE),
    };
    const char *text = (const char *)data + 3;
    weir_arena_init(&arena, 0, 0);
    if (run(&arena, scratch, &setup, text, size - 3, 0, &whole)) {
        for (uint64_t i = 1; i < 4; i++) {
            run(&arena, scratch, &setup, text, size - 3, data[2] * 977u + i, &cut);
            if (!same(&whole, &cut)) {
                abort();
            }
        }
        if (setup.config.out == WEIR_BODY_SSE && setup.config.max_event == 0) {
            check_stream(&arena, &whole, protocol);
        }
    }
    weir_arena_free(&arena);
    return 0;
}
