#include "lua-free-filters/include_usage.h"

#include "lua-free-filters/pipeline.h"
#include "t/support/tap.h"

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

/* Looks at the item behind the filter: is the scan that is left the one of its data? */
static weir_status_t check(void *self, weir_item_t *item, weir_sink_t *sink)
{
    bool *good = self;

    if (item->kind == WEIR_ITEM_EVENT) {
        weir_json_node_t nodes[64];
        weir_json_doc_t fresh;
        weir_json_limits_t limits = {.allow_duplicate_keys = true};
        const weir_json_doc_t *doc = weir_item_json(sink, item);
        weir_status_t rc =
            weir_json_scan(item->data.data, item->data.len, &limits, nodes, 64, &fresh, NULL);
        *good = *good && (doc != NULL) == (rc == WEIR_OK);
        if (doc != NULL && rc == WEIR_OK) {
            bool same = doc->count == fresh.count && doc->text == item->data.data &&
                        doc->len == item->data.len;
            for (uint32_t i = 0; same && i < doc->count; i++) {
                same = doc->nodes[i].start == nodes[i].start && doc->nodes[i].end == nodes[i].end &&
                       doc->nodes[i].next == nodes[i].next && doc->nodes[i].size == nodes[i].size &&
                       doc->nodes[i].type == nodes[i].type;
            }
            *good = *good && same && weir_item_members(item)->usage == WEIR_JSON_NONE;
        }
    }
    return weir_sink_pass(sink, item);
}

static const weir_filter_table_t checker = {
    .name = "check", .flags = WEIR_FILTER_WATCHES, .feed = check};

static weir_str_t hide(weir_arena_t *arena, const char *in, size_t piece, bool *good)
{
    weir_scratch_t *scratch = weir_scratch_new();
    weir_buf_t *out = weir_arena_alloc(arena, sizeof(*out));
    weir_filter_t filters[] = {weir_include_usage_filter(), {&checker, good}};
    weir_pipeline_config_t config = {
        .in = WEIR_BODY_SSE, .out = WEIR_BODY_SSE, .write = take, .write_ctx = out};
    weir_pipeline_t *p;
    size_t len = strlen(in);

    weir_buf_init(out, arena);
    weir_pipeline_open(arena, scratch, &config, filters, 2, &p);
    for (size_t at = 0; at < len; at += piece) {
        weir_pipeline_feed(p, in + at, piece < len - at ? piece : len - at);
    }
    weir_pipeline_finish(p, WEIR_END_COMPLETE);
    weir_scratch_free(scratch);
    return weir_str(out->data, out->len);
}

int main(void)
{
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        /* nothing to hide */
        {"data: {\"id\":\"c\",\"choices\":[]}\n\n", "data: {\"id\":\"c\",\"choices\":[]}\n\n"},
        {"data: {\"choices\":[],\"a\":{\"usage\":null}}\n\n",
         "data: {\"choices\":[],\"a\":{\"usage\":null}}\n\n"},
        {"data: nonsense \"usage\":null\n\n: usage\n\ndata: [DONE]\n\n",
         "data: nonsense \"usage\":null\n\n: usage\n\ndata: [DONE]\n\n"},
        {"data: [{\"usage\":null}]\n\n", "data: [{\"usage\":null}]\n\n"},
        /* the extra chunk */
        {"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n", ""},
        {"data: {\"usage\":null}\n\n", ""},
        /* a first chunk without choices and usage is none */
        {"data: {\"choices\":[],\"usage\":null,\"prompt_filter_results\":[]}\n\n",
         "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n"},
        /* in the middle, first, last, with spaces, numbers and escapes as they were */
        {"data: {\"a\":0.70,\"usage\":null,\"b\":\"\\u00e9\\/\"}\n\n",
         "data: {\"a\":0.70,\"b\":\"\\u00e9\\/\"}\n\n"},
        {"data: {\"usage\":null,\"choices\":[{\"index\":0}]}\n\n",
         "data: {\"choices\":[{\"index\":0}]}\n\n"},
        {"data: {\"choices\":[{\"index\":0}],\"usage\":null}\r\n\r\n",
         "data: {\"choices\":[{\"index\":0}]}\r\n\r\n"},
        {"data:{ \"choices\" : [ { } ] , \"usage\" : { \"n\" : [ 1 , 2 ] } }\n\n",
         "data:{ \"choices\" : [ { } ]  }\n\n"},
        {"data: { \"usage\" : null , \"choices\" : [ 1 , { \"x\" : 2 } ] , \"z\":3 }\n\n",
         "data: {  \"choices\" : [ 1 , { \"x\" : 2 } ] , \"z\":3 }\n\n"},
        {"event: e\n: c\ndata: {\"a\":1,\"usage\":null}\n\n", "event: e\n: c\ndata: {\"a\":1}\n\n"},
        {"data: {\"a\":1,\"usage\":null}\nevent: e\n\n", "data: {\"a\":1}\nevent: e\n\n"},
        /* several lines, and fields that do not pass */
        {"event: e\ndata: {\"a\":1,\ndata: \"usage\":\ndata: null,\"b\":2}\n\n",
         "event: e\ndata: {\"a\":1,\ndata: \"b\":2}\n\n"},
        {"id: 1\ndata: {\"a\":1,\"usage\":null}\n\n", "id: 1\ndata: {\"a\":1}\n\n"},
        {"data: {\"a\":1,\"usage\":null}", "data: {\"a\":1}\n\n"},
    };
    weir_arena_t arena;

    weir_arena_init(&arena, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].in);
        bool scans = true;
        weir_str_t out = hide(&arena, cases[i].in, len, &scans);
        is_str(out.data, out.len, cases[i].out, "case %zu", i);
        bool same = true;
        for (size_t piece = 1; piece < len; piece++) {
            weir_str_t cut = hide(&arena, cases[i].in, piece, &scans);
            same = same && weir_str_eq(out, cut);
        }
        ok(same, "case %zu, however it is cut", i);
        ok(scans, "case %zu, and the scan is that of what is left", i);
    }
    weir_arena_free(&arena);
    return done_testing();
}
