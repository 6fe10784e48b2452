/*
 * The streaming redactor: what leaves does not depend on how the input was cut, in any protocol and
 * mode, and of a text on its own in any mode what leaves is the text with the entities replaced
 * that the whole of it has. The first byte chooses protocol and body, the second the mode and how
 * the stream ends. Texts of tool arguments and the restorer of placeholders get the same cuts.
 */
#include <stdlib.h>

#include "engine/base/utf8.h"
#include "lua-free-filters/chaos.h"
#include "lua-free-filters/pipeline.h"
#include "lua-free-filters/redact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_guard_rules_t *rules; /* for streams */
static weir_guard_rules_t *all_rules;
static weir_guard_scratch_t *guard_scratch;
static weir_guard_scratch_t *second_scratch;
static weir_scratch_t *scratch;

static void require(bool cond)
{
    if (!cond) {
        abort();
    }
}

static void begin(void)
{
    weir_guard_options_t options = {.pii = true, .secrets = true, .streaming = true};
    if (rules == NULL) {
        require(weir_guard_rules_compile(&options, &rules, NULL) == WEIR_OK);
        options.streaming = false;
        require(weir_guard_rules_compile(&options, &all_rules, NULL) == WEIR_OK);
        guard_scratch = weir_guard_scratch_create();
        second_scratch = weir_guard_scratch_create();
        scratch = weir_scratch_new();
        require(guard_scratch != NULL && second_scratch != NULL && scratch != NULL);
    }
}

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *f, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    (void)ctx;
    (void)repeat;
    require(f->end > f->start && value.len == f->end - f->start);
    *replacement = WEIR_STR("<X>");
    return WEIR_REDACT_REPLACE;
}

static const weir_guard_rules_t *rules_of(weir_redact_mode_t mode)
{
    return mode == WEIR_REDACT_HOLDBACK ? rules : all_rules;
}

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

typedef struct {
    weir_protocol_t protocol;
    weir_body_t body;
    weir_redact_mode_t mode;
    weir_end_t why;
} setup_t;

static weir_str_t run(weir_arena_t *arena, const setup_t *s, weir_str_t input, uint64_t seed)
{
    weir_redact_options_t options = {.text = {.rules = rules_of(s->mode),
                                              .scratch = guard_scratch,
                                              .mode = s->mode,
                                              .window = 64,
                                              .decide = decide},
                                     .protocol = s->protocol};
    weir_redact_t *redact;
    weir_pipeline_t *p;
    weir_chaos_t chaos;
    weir_buf_t out;
    uint32_t delay;
    require(weir_redact_open(arena, &options, &redact) == WEIR_OK);
    weir_filter_t filter = weir_redact_filter(redact);
    weir_buf_init(&out, arena);
    weir_pipeline_config_t config = {.protocol = s->protocol,
                                     .upstream = s->protocol,
                                     .in = s->body,
                                     .out = s->body,
                                     .request_id = "r",
                                     .write = take,
                                     .write_ctx = &out};
    weir_chaos_init(&chaos, seed, 16, 0);
    if (weir_pipeline_open(arena, scratch, &config, &filter, 1, &p) != WEIR_OK) {
        weir_redact_close(redact);
        return weir_str(NULL, 0);
    }
    for (size_t at = 0; at < input.len;) {
        size_t piece = seed == 0 ? input.len : weir_chaos_next(&chaos, input.len - at, &delay);
        require(weir_pipeline_feed(p, input.data + at, piece) == WEIR_OK);
        at += piece;
    }
    require(weir_pipeline_finish(p, s->why) == WEIR_OK);
    weir_redact_close(redact);
    return weir_str(out.data, out.len);
}

/* One text in pieces of whole characters; seed 0: in one. */
static weir_str_t feed(weir_arena_t *arena, weir_redact_mode_t mode, bool json, weir_str_t text,
                       uint64_t seed)
{
    weir_redact_rules_t shared = {.rules = rules_of(mode),
                                  .scratch = guard_scratch,
                                  .mode = mode,
                                  .window = seed % 2 == 0 ? 512 : 64,
                                  .decide = decide};
    weir_redact_text_t t;
    weir_chaos_t chaos;
    weir_buf_t out;
    uint32_t delay;
    weir_buf_init(&out, arena);
    weir_chaos_init(&chaos, seed, seed % 3 == 0 ? 1000 : 16, 0);
    weir_redact_text_init(&t, &shared, json, false);
    for (size_t at = 0; at < text.len;) {
        size_t piece = seed == 0 ? text.len : weir_chaos_next(&chaos, text.len - at, &delay);
        while (at + piece < text.len && ((unsigned char)text.data[at + piece] & 0xc0) == 0x80) {
            piece++;
        }
        require(weir_redact_text_feed(&t, text.data + at, piece, false, &out) == WEIR_OK);
        at += piece;
    }
    require(weir_redact_text_feed(&t, "", 0, true, &out) == WEIR_OK);
    weir_redact_text_free(&t);
    return weir_str(out.data, out.len);
}

/* The output is the text with its findings replaced. */
static void check_text(weir_arena_t *arena, weir_redact_mode_t mode, weir_str_t text, uint64_t seed)
{
    weir_guard_result_t found;
    weir_buf_t want;
    weir_error_t err;
    size_t done = 0;
    weir_buf_init(&want, arena);
    weir_str_t out = feed(arena, mode, false, text, seed);
    weir_guard_scan_options_t options = {.thorough = true};
    require(weir_guard_scan(rules_of(mode), second_scratch, text.data, text.len, &options, &found,
                            &err) == WEIR_OK);
    for (size_t i = 0; i < found.count; i++) {
        const weir_guard_finding_t *f = &found.findings[i];
        weir_buf_append(&want, text.data + done, f->start - done);
        weir_buf_append(&want, "<X>", 3);
        done = f->end;
    }
    weir_buf_append(&want, text.data + done, text.len - done);
    require(weir_str_eq(out, weir_str(want.data, want.len)));
    require(weir_str_eq(feed(arena, mode, true, text, 0), feed(arena, mode, true, text, seed)));
}

static void check_restorer(weir_arena_t *arena, weir_str_t text, uint64_t seed)
{
    weir_placeholders_t *map;
    weir_str_t name;
    weir_buf_t out[2];
    require(weir_placeholders_open(arena, NULL, &map) == WEIR_OK);
    require(weir_placeholders_name(map, "EMAIL_ADDRESS", WEIR_STR("a@b.org"), &name) == WEIR_OK);
    require(weir_placeholders_name(map, "PERSON", WEIR_STR("Jo"), &name) == WEIR_OK);
    for (unsigned round = 0; round < 2; round++) {
        weir_restorer_t restorer;
        weir_chaos_t chaos;
        uint32_t delay;
        weir_restorer_init(&restorer, map);
        weir_buf_init(&out[round], arena);
        weir_chaos_init(&chaos, seed, 16, 0);
        for (size_t at = 0; at < text.len;) {
            size_t piece = round == 0 ? text.len : weir_chaos_next(&chaos, text.len - at, &delay);
            require(weir_restorer_feed(&restorer, text.data + at, piece, false, &out[round], NULL,
                                       NULL) == WEIR_OK);
            at += piece;
        }
        require(weir_restorer_feed(&restorer, "", 0, true, &out[round], NULL, NULL) == WEIR_OK);
    }
    require(weir_str_eq(weir_str(out[0].data, out[0].len), weir_str(out[1].data, out[1].len)));
}

static bool whole_characters(weir_str_t text)
{
    for (size_t at = 0; at < text.len;) {
        uint32_t code;
        int n = weir_utf8_decode(text.data + at, text.len - at, &code);
        if (n <= 0) {
            return false;
        }
        at += (size_t)n;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    if (size < 3) {
        return 0;
    }
    begin();
    setup_t setup = {.protocol = (weir_protocol_t)(data[0] % 6),
                     .body = (data[0] & 0x40) != 0 ? WEIR_BODY_JSON : WEIR_BODY_SSE,
                     .mode = (weir_redact_mode_t)(data[1] % 4),
                     .why = (data[1] & 4) != 0 ? WEIR_END_CUT : WEIR_END_COMPLETE};
    weir_str_t text = weir_str((const char *)data + 3, size - 3);
    weir_arena_init(&arena, 0, 0);
    weir_str_t whole = run(&arena, &setup, text, 0);
    for (uint64_t i = 1; i < 3; i++) {
        require(weir_str_eq(whole, run(&arena, &setup, text, data[2] * 977u + i)));
        check_restorer(&arena, text, data[2] * 977u + i);
    }
    /* Broken UTF-8 never comes out of JSON. */
    if (whole_characters(text)) {
        for (unsigned mode = WEIR_REDACT_HOLDBACK; mode <= WEIR_REDACT_BUFFER; mode++) {
            check_text(&arena, (weir_redact_mode_t)mode, text, data[2] + 1u);
        }
    }
    weir_arena_free(&arena);
    return 0;
}
