#include "lua-free-filters/sse_parser.h"

#include <stdio.h>

#include "t/support/tap.h"

/* Events as [name|data], comments as (raw), what is no event as <>, raw pieces as they come. */
static weir_status_t collect(void *ctx, const weir_sse_event_t *event)
{
    weir_buf_t *out = ctx;

    switch (event->kind) {
    case WEIR_SSE_EVENT:
        weir_buf_append_char(out, event->plain ? '[' : '{');
        weir_buf_append_str(out, event->name);
        weir_buf_append_char(out, '|');
        weir_buf_append_str(out, event->data);
        weir_buf_append_char(out, event->unended ? '~' : ']');
        break;
    case WEIR_SSE_COMMENT:
        weir_buf_append_char(out, '(');
        weir_buf_append_str(out, event->raw);
        weir_buf_append_char(out, ')');
        break;
    case WEIR_SSE_EMPTY:
        weir_buf_append_z(out, "<>");
        break;
    case WEIR_SSE_LINE_FEED:
        break;
    case WEIR_SSE_PIECE:
        weir_buf_append_str(out, event->raw);
        break;
    case WEIR_SSE_OVERSIZED:
        weir_buf_append_z(out, event->unended ? "!~" : "!");
        break;
    }
    return WEIR_OK;
}

/* All raw bytes that the parser tells, in their order. */
static weir_status_t collect_raw(void *ctx, const weir_sse_event_t *event)
{
    weir_buf_append_str(ctx, event->raw);
    return WEIR_OK;
}

static weir_str_t parse(weir_arena_t *arena, weir_sse_handler_pt handler, weir_str_t in,
                        size_t piece, rng_t *rng)
{
    weir_sse_parser_t parser;
    weir_buf_t *out = weir_arena_alloc(arena, sizeof(*out));

    weir_buf_init(out, arena);
    weir_sse_parser_init(&parser, arena, 64, handler, out);
    for (size_t at = 0; at < in.len;) {
        size_t n = rng != NULL ? 1 + rng_below(rng, 9) : piece;
        n = n < in.len - at ? n : in.len - at;
        /* A copy of its own size: a look behind its end is seen by the sanitizer. */
        char *copy = weir_arena_alloc(arena, n);
        memcpy(copy, in.data + at, n);
        if (weir_sse_parser_feed(&parser, copy, n) != WEIR_OK) {
            ok(false, "feed failed");
        }
        at += n;
    }
    weir_sse_parser_finish(&parser);
    return weir_str(out->data, out->len);
}

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10

static void test_cases(void)
{
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"data: a\n\n", "[|a]"},
        {"data:a\n\ndata:  b\n\n", "[|a][| b]"},
        {"event: e\ndata: a\ndata: b\n\n", "[e|a\nb]"},
        {"data: a\r\ndata: b\r\n\r\n", "[|a\nb]"},
        {"data: a\rdata: b\r\r", "[|a\nb]"},
        {"data: a\n\r\ndata: b\r\n\ndata: c\r\rdata: d\n\r", "[|a][|b][|c][|d]"},
        {"data\n\n", "<>"},
        {"data:\n\n", "<>"},
        {"data:\ndata:\n\n", "[|\n]"},
        {"event: e\n\ndata: a\n\n", "<>[|a]"},
        {"event: e\nevent: f\ndata: a\n\n", "[f|a]"},
        {"event: e\nevent:\ndata: a\n\n", "[|a]"},
        {": comment\n\n:\n\n", "(: comment\n)(\n)(:\n)(\n)"},
        {": c\r\n\r\ndata: a\r\n\r\n", "(: c\r)(\r)[|a]"},
        {"data: a\n: c\ndata: b\n\n", "[|a\nb]"},
        {"id: 1\nretry: 5\ndata: x\nfoo: bar\n\n", "{|x]"},
        {"id: 1\n\n", "<>"},
        {"data: a", "{|a~"},
        {"data: a\n", "{|a~"},
        {"event: a\n", "<>"},
        {": a", "(: a)"},
        {"\n\n", "(\n)(\n)"},
        {"dat: a\ndataa: b\n\n", "<>"},
        {"data: a:b: c\n\n", "[|a:b: c]"},
        {"\xef\xbb\xbf"
         "data: a\n\n\xef\xbb\xbf"
         "data: b\n\n",
         "[|a]<>"},
        {"\xef\xbb\xbf: a\n", "(: a\n)"},
        {"\xef\xbb\xbf\n", "(\n)"},
        /* The limit is 64 bytes. */
        {"data: " X10 X10 X10 X10 X10 "xxxxxx\n\n", "[|" X10 X10 X10 X10 X10 "xxxxxx]"},
        {"data: " X60 "\n\ndata: b\n\n", "data: " X60 "\n\n![|b]"},
        {"event: e\r\ndata: " X60 "\r\n\r\ndata: b\n\n", "event: e\r\ndata: " X60 "\r\n\r![|b]"},
        {"data: " X10 X10 X10 "\ndata: " X10 X10 "\n\ndata: b\n\n",
         "data: " X10 X10 X10 "\ndata: " X10 X10 "\n\n![|b]"},
        {"data: " X10 X10 X10 X10 X10 X10 "\ndata: a\ndata: b\n\n: c\n",
         "data: " X60 "\ndata: a\ndata: b\n\n!(: c\n)"},
        {": " X60 X60 "\ndata: b\n\n", ": " X60 X60 "\n[|b]"},
        {"\xef\xbb\xbf: " X60 X60 "\r\ndata: b\n\n", ": " X60 X60 "\r[|b]"},
        {"data: " X60 X60, "data: " X60 X60 "!~"},
    };
    weir_arena_t arena;
    rng_t rng;

    rng_init(&rng);
    weir_arena_init(&arena, 0, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_str_t in = weir_str(cases[i].in, strlen(cases[i].in));
        bool good = true;
        weir_str_t got = {0};
        for (size_t piece = 1; piece <= in.len + 200 && good; piece++) {
            got = parse(&arena, collect, in, piece, piece > in.len ? &rng : NULL);
            good = weir_str_is(got, cases[i].out);
        }
        if (!is_str(got.data, got.len, cases[i].out, "case %zu, however it is cut", i)) {
            diag("%s", cases[i].in);
        }
        weir_arena_reset(&arena);
    }
    weir_arena_free(&arena);
}

/* Whatever comes, the raw bytes together are the input, but for a byte-order mark. */
static void test_raw(void)
{
    static const char *const bits[] = {
        "data:", "data: x", "\r",   "\n", "\r\n", "\n\n", "event: e", ": c",
        "id: 1", "",        "data", "y",  X60,    "\r\r", "\xc3\xa9", "\xef\xbb\xbf"};
    weir_arena_t arena;
    rng_t rng;
    bool raw_same = true;
    bool same = true;

    rng_init(&rng);
    weir_arena_init(&arena, 0, 0);
    for (int round = 0; round < 5000; round++) {
        weir_buf_t text;
        weir_buf_init(&text, &arena);
        weir_buf_append_char(&text, ' ');
        for (uint32_t n = rng_below(&rng, 24); n > 0; n--) {
            weir_buf_append_z(&text, bits[rng_below(&rng, sizeof(bits) / sizeof(bits[0]))]);
        }
        weir_str_t in = weir_str(text.data, text.len);
        weir_str_t raw = parse(&arena, collect_raw, in, 1, &rng);
        weir_str_t a = parse(&arena, collect, in, in.len, NULL);
        weir_str_t b = parse(&arena, collect, in, 1, &rng);
        raw_same = raw_same && weir_str_eq(raw, in);
        same = same && weir_str_eq(a, b);
        weir_arena_reset(&arena);
    }
    ok(raw_same, "no byte is lost or added");
    ok(same, "random streams mean the same however they are cut");
    weir_arena_free(&arena);
}

int main(void)
{
    test_cases();
    test_raw();
    return done_testing();
}
