/*
 * Long texts slice by slice, with turns that come late and verdicts that are awaited, and on
 * another thread's scratch: what leaves is what leaves when all is looked at at once.
 */
#include "lua-free-filters/redact.h"

#include "engine/base/json.h"
#include "lua-free-filters/pipeline.h"
#include "t/support/guard_rules.h"
#include "t/support/tap.h"

#define SAY "Mail jane.doe@example.org, card 4111 1111 1111 1111, \\u00fcber. "

static weir_guard_rules_t *streaming;
static weir_guard_rules_t *all_rules;
static weir_guard_scratch_t *guard_scratch;
static weir_guard_scratch_t *other_scratch;
static weir_scratch_t *scratch;

typedef struct {
    rng_t rng;
    bool sliced;
    bool elsewhere; /* the next calls are another thread's */
    unsigned late;  /* one in so many turns comes at once; 0: all */
    unsigned wait;  /* the same of verdicts */
    size_t largest; /* slice */
    unsigned turns;
    unsigned entities;
    unsigned block_at;
    unsigned landed;
    bool asked;
} world_t;

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *f, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    world_t *w = ctx;
    (void)value;
    (void)repeat;
    w->entities++;
    *replacement = f->type[0] == 'E' ? WEIR_STR("<EMAIL_ADDRESS>") : WEIR_STR("<OTHER>");
    return w->entities == w->block_at ? WEIR_REDACT_STOP : WEIR_REDACT_REPLACE;
}

static weir_check_t check(void *ctx, const char *text, size_t len, size_t fresh, bool last)
{
    world_t *w = ctx;
    (void)fresh;
    (void)last;
    if (w->wait > 0 && !w->asked) {
        w->asked = rng_below(&w->rng, w->wait) == 0;
        if (w->asked)
            return WEIR_CHECK_WAIT;
    }
    w->asked = false;
    return memmem(text, len, "forbidden", 9) != NULL ? WEIR_CHECK_STOP : WEIR_CHECK_PASS;
}

static bool turn(void *ctx, size_t size)
{
    world_t *w = ctx;
    w->turns++;
    w->largest = size > w->largest ? size : w->largest;
    return w->elsewhere || w->late == 0 || rng_below(&w->rng, w->late) == 0;
}

static weir_guard_scratch_t *which(void *ctx, bool *elsewhere)
{
    world_t *w = ctx;
    *elsewhere = w->elsewhere;
    return w->elsewhere ? other_scratch : guard_scratch;
}

static void landed(void *ctx)
{
    world_t *w = ctx;
    w->landed++;
}

static weir_status_t collect(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

typedef struct {
    weir_redact_mode_t mode;
    bool document;
    bool with_check;
    bool moves; /* now and then to another thread */
} setup_t;

static void move(weir_pipeline_t *p, const setup_t *s, world_t *w, weir_scratch_t *other)
{
    if (!s->moves)
        return;
    bool away = rng_below(&w->rng, 2) == 0;
    if (w->elsewhere && !away)
        weir_pipeline_landed(p);
    w->elsewhere = away;
    weir_pipeline_move(p, away ? other : scratch);
}

static weir_str_t run(weir_arena_t *arena, const setup_t *s, world_t *w, weir_str_t input)
{
    weir_redact_options_t options = {
        .text = {.rules = s->mode == WEIR_REDACT_HOLDBACK ? streaming : all_rules,
                 .scratch = guard_scratch,
                 .mode = s->mode,
                 .max_held = (size_t)4 << 20,
                 .decide = decide,
                 .check = s->with_check ? check : NULL,
                 .ctx = w},
        .protocol = WEIR_PROTOCOL_CHAT,
        .max_queued = (size_t)4 << 20,
        .turn = w->sliced ? turn : NULL,
        .scratch = w->sliced ? which : NULL,
        .landed = landed,
        .on_block = {.reason = WEIR_STOP_CONTENT_FILTER}};
    weir_redact_t *r;
    weir_redact_open(arena, &options, &r);
    weir_filter_t filter = weir_redact_filter(r);
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_body_t body = s->document ? WEIR_BODY_JSON : WEIR_BODY_SSE;
    weir_pipeline_config_t config = {.protocol = WEIR_PROTOCOL_CHAT,
                                     .upstream = WEIR_PROTOCOL_CHAT,
                                     .in = body,
                                     .out = body,
                                     .request_id = "r",
                                     .write = collect,
                                     .write_ctx = &out};
    weir_pipeline_t *p;
    weir_scratch_t *other = weir_scratch_new();
    weir_pipeline_open(arena, scratch, &config, &filter, 1, &p);
    for (size_t at = 0; at < input.len;) {
        size_t n = 1 + rng_below(&w->rng, 9000);
        n = n > input.len - at ? input.len - at : n;
        move(p, s, w, other);
        weir_pipeline_feed(p, input.data + at, n);
        at += n;
        while (weir_pipeline_waiting(p)) {
            move(p, s, w, other);
            weir_pipeline_wake(p);
        }
    }
    move(p, s, w, other);
    weir_status_t rc = weir_pipeline_finish(p, WEIR_END_COMPLETE);
    while (rc == WEIR_ERR_BUSY) {
        move(p, s, w, other);
        rc = weir_pipeline_wake(p);
    }
    w->elsewhere = false;
    weir_redact_close(r);
    weir_scratch_free(other);
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

/* text is JSON already, without its quotes. */
static weir_str_t make(weir_arena_t *arena, const char *text, size_t len, size_t piece,
                       bool document)
{
    weir_buf_t b;
    weir_buf_init(&b, arena);
    for (size_t at = 0; at < len;) {
        size_t n = document || piece > len - at ? len - at : piece;
        while (at + n < len && text[at + n - 1] != ' ')
            n++;
        weir_buf_append_z(&b, document
                                  ? "{\"choices\":[{\"index\":0,\"message\":{\"content\":\""
                                  : "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
        weir_buf_append(&b, text + at, n);
        weir_buf_append_z(&b, document ? "\"}}]}" : "\"}}]}\n\n");
        at += n;
    }
    if (!document)
        weir_buf_append_z(&b, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
                              "\"stop\"}]}\n\ndata: [DONE]\n\n");
    return weir_str(b.data, b.len);
}

static weir_str_t long_text(weir_arena_t *arena, unsigned times, const char *end)
{
    weir_buf_t b;
    weir_buf_init(&b, arena);
    for (unsigned i = 0; i < times; i++)
        weir_buf_append_z(&b, i % 7 == 3 ? SAY : "The quick brown fox jumps over the lazy dog. ");
    weir_buf_append_z(&b, end);
    return weir_str(b.data, b.len);
}

/* What all pieces say, still JSON: where a verdict was awaited they are cut otherwise. */
static weir_str_t said(weir_arena_t *arena, weir_str_t out)
{
    static const char open[] = "\"content\":\"";
    weir_buf_t b;
    weir_buf_init(&b, arena);
    const char *at = out.data;
    const char *end = out.data + out.len;
    while ((at = memmem(at, (size_t)(end - at), open, sizeof open - 1)) != NULL) {
        at += sizeof open - 1;
        const char *stop = at;
        while (*stop != '"')
            stop += *stop == '\\' ? 2 : 1;
        weir_buf_append(&b, at, (size_t)(stop - at));
        at = stop;
    }
    weir_buf_append_z(&b, memmem(out.data, out.len, "[DONE]", 6) != NULL ? "" : "no end");
    return weir_str(b.data, b.len);
}

static void test_same(weir_arena_t *arena, const setup_t *s, const char *name)
{
    static const size_t pieces[] = {40, 3000, 20000, 1000000};
    unsigned wrong = 0;
    unsigned turns = 0;
    unsigned came = 0;
    size_t largest = 0;
    for (unsigned round = 0; round < 12; round++) {
        weir_arena_reset(arena);
        weir_str_t text = long_text(arena, round % 2 == 0 ? 2500 : 900, "");
        weir_str_t input = make(arena, text.data, text.len, pieces[round % 4], s->document);
        world_t plain = {.sliced = false};
        world_t sliced = {.sliced = true, .late = 4, .wait = s->with_check ? 3 : 0};
        rng_init(&plain.rng);
        rng_init(&sliced.rng);
        weir_str_t want = run(arena, s, &plain, input);
        weir_str_t got = run(arena, s, &sliced, input);
        if (s->with_check && !s->document) {
            want = said(arena, want);
            got = said(arena, got);
        }
        if (!weir_str_eq(want, got) || plain.entities != sliced.entities || want.len == 0 ||
            memmem(want.data, want.len, "jane.doe", 8) != NULL) {
            wrong++;
            diag("%zu and %zu bytes, %u and %u entities", want.len, got.len, plain.entities,
                 sliced.entities);
        }
        turns += sliced.turns;
        came += sliced.landed;
        largest = sliced.largest > largest ? sliced.largest : largest;
    }
    is_int(wrong, 0, "%s: the same bytes in slices as at once", name);
    ok((turns > 0 || s->moves) && largest <= WEIR_REDACT_SLICE + 4,
       "%s: %u turns, the largest of %zu bytes", name, turns, largest);
    ok(!s->moves || came > 0, "%s: back from another thread %u times", name, came);
}

/* Held until its end: what is blocked there lets nothing out, whatever came before it. */
static void test_blocks(weir_arena_t *arena)
{
    for (unsigned i = 0; i < 4; i++) {
        setup_t s = {.mode = WEIR_REDACT_BUFFER, .document = i % 2 == 1, .with_check = true};
        weir_arena_reset(arena);
        weir_str_t text = long_text(arena, 2000, i < 2 ? "this is forbidden. " : "");
        world_t w = {.sliced = true, .late = 3, .block_at = i < 2 ? 0 : 200};
        rng_init(&w.rng);
        weir_str_t got = run(arena, &s, &w, make(arena, text.data, text.len, 50, s.document));
        ok(memmem(got.data, got.len, "fox", 3) == NULL &&
               memmem(got.data, got.len, "content_filter", 14) != NULL,
           "buffer: %s blocked by %s: nothing of it leaves", s.document ? "a document" : "a stream",
           i < 2 ? "the check" : "an entity");
    }
}

static void test_load(weir_arena_t *arena)
{
    weir_arena_reset(arena);
    weir_redact_options_t options = {.text = {.rules = all_rules,
                                              .scratch = guard_scratch,
                                              .mode = WEIR_REDACT_BUFFER,
                                              .decide = decide},
                                     .protocol = WEIR_PROTOCOL_CHAT};
    world_t w = {0};
    options.text.ctx = &w;
    weir_redact_t *r;
    weir_redact_open(arena, &options, &r);
    weir_filter_t filter = weir_redact_filter(r);
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_pipeline_config_t config = {.protocol = WEIR_PROTOCOL_CHAT,
                                     .upstream = WEIR_PROTOCOL_CHAT,
                                     .in = WEIR_BODY_SSE,
                                     .out = WEIR_BODY_SSE,
                                     .write = collect,
                                     .write_ctx = &out};
    weir_pipeline_t *p;
    weir_pipeline_open(arena, scratch, &config, &filter, 1, &p);
    weir_str_t text = long_text(arena, 400, "");
    weir_str_t input = make(arena, text.data, text.len, 40, false);
    is_int((long)weir_pipeline_load(p, false), 0, "the load of nothing");
    weir_pipeline_feed(p, input.data, input.len / 2);
    ok(weir_pipeline_load(p, false) > text.len / 3, "the load is what is held: %zu",
       weir_pipeline_load(p, false));
    ok(!weir_pipeline_waiting(p) && weir_pipeline_movable(p), "nobody waits");
    weir_pipeline_feed(p, input.data + input.len / 2, input.len - input.len / 2);
    weir_pipeline_finish(p, WEIR_END_COMPLETE);
    is_int((long)weir_pipeline_load(p, true), 0, "no load is left at the end");
    weir_redact_close(r);
}

int main(void)
{
    static const struct {
        const char *name;
        setup_t setup;
    } cases[] = {
        {"hold-back", {.mode = WEIR_REDACT_HOLDBACK}},
        {"hold-back, a document", {.mode = WEIR_REDACT_HOLDBACK, .document = true}},
        {"window", {.mode = WEIR_REDACT_WINDOW, .with_check = true}},
        {"window, a document", {.mode = WEIR_REDACT_WINDOW, .document = true, .with_check = true}},
        {"buffer", {.mode = WEIR_REDACT_BUFFER, .with_check = true}},
        {"buffer, a document", {.mode = WEIR_REDACT_BUFFER, .document = true, .with_check = true}},
        {"buffer, moved", {.mode = WEIR_REDACT_BUFFER, .with_check = true, .moves = true}},
        {"buffer, a document, moved",
         {.mode = WEIR_REDACT_BUFFER, .document = true, .moves = true}},
        {"hold-back, moved", {.mode = WEIR_REDACT_HOLDBACK, .moves = true}},
        {"window, moved", {.mode = WEIR_REDACT_WINDOW, .with_check = true, .moves = true}},
    };
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    if (!guard_rules_open(&streaming, &all_rules))
        return 1;
    guard_scratch = weir_guard_scratch_create();
    other_scratch = weir_guard_scratch_create();
    scratch = weir_scratch_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        test_same(&arena, &cases[i].setup, cases[i].name);
    test_blocks(&arena);
    test_load(&arena);
    weir_scratch_free(scratch);
    weir_guard_scratch_free(guard_scratch);
    weir_guard_scratch_free(other_scratch);
    weir_guard_rules_free(streaming);
    weir_guard_rules_free(all_rules);
    weir_arena_free(&arena);
    return done_testing();
}
