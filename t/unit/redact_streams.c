/*
 * Many texts in one stream: choices, channels and tool calls that take turns, in every protocol,
 * ended by every event that ends texts, cut off, or left. Each text leaves as if it had been alone.
 */
#include "lua-free-filters/redact.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/base/json.h"
#include "lua-free-filters/pipeline.h"
#include "t/support/guard_rules.h"
#include "t/support/tap.h"

#define COUNT(a)  (sizeof(a) / sizeof *(a))
#define MAX_TEXTS 8

static weir_guard_rules_t *streaming;
static weir_guard_rules_t *all_rules;
static weir_guard_scratch_t *guard_scratch;
static weir_scratch_t *scratch;
static weir_placeholders_t *names; /* PERSON_1, with quotes in it, but not PERSON_2 */

typedef struct {
    weir_text_kind_t kind;
    unsigned choice;
    unsigned part;
    weir_str_t text;
    size_t sent;
    weir_buf_t got;
} text_t;

typedef struct {
    weir_protocol_t protocol;
    text_t texts[MAX_TEXTS];
    unsigned count;
    weir_buf_t events;
    int sequence;
} stream_t;

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *f, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    (void)f;
    (void)value;
    if (!repeat)
        ++*(unsigned *)ctx;
    *replacement = WEIR_STR("<X>");
    return WEIR_REDACT_REPLACE;
}

static weir_status_t collect(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

static const char *const words[] = {"the",
                                    "river",
                                    "runs",
                                    "12",
                                    "of",
                                    "caf\xc3\xa9",
                                    "card",
                                    "write to",
                                    "my number",
                                    "\xf0\x9f\x98\x80",
                                    "jane.doe@example.org",
                                    "4111 1111 1111 1111",
                                    "+1 415 555 2671",
                                    "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5",
                                    "GB82 WEST 1234 5698 7654 32",
                                    "amFuZS5kb2VAZXhhbXBsZS5vcmcgd3JvdGU",
                                    "<PERSON_1>",
                                    "dear person_1,",
                                    "PERSON_2",
                                    "&lt;PERSON_2&gt;"};

static weir_str_t make_text(weir_arena_t *arena, rng_t *rng, bool json)
{
    weir_buf_t b;
    unsigned n = rng_below(rng, 14);
    weir_buf_init(&b, arena);
    weir_buf_append_z(&b, json ? "{\"a\": \"" : "");
    for (unsigned i = 0; i < n; i++) {
        weir_buf_append_z(&b, words[rng_below(rng, COUNT(words))]);
        weir_buf_append_z(&b, rng_below(rng, 8) != 0 ? " " : json ? "\\n" : "\n");
    }
    weir_buf_append_z(&b, json ? "\", \"n\": [1, 4111111111111111]}" : "");
    return weir_str(b.data == NULL ? "" : b.data, b.len);
}

/* --- what the upstream sends --- */

static void event(stream_t *s, const char *name)
{
    if (name != NULL && s->protocol != WEIR_PROTOCOL_CHAT &&
        s->protocol != WEIR_PROTOCOL_COMPLETIONS)
        weir_buf_printf(&s->events, "event: %s\n", name);
    weir_buf_append_z(&s->events, "data: ");
}

static const char *const response_names[] = {[WEIR_TEXT_CONTENT] = "response.output_text",
                                             [WEIR_TEXT_REASONING] = "response.reasoning_text",
                                             [WEIR_TEXT_REFUSAL] = "response.refusal",
                                             [WEIR_TEXT_ARGUMENTS] =
                                                 "response.function_call_arguments"};

static void send_piece(stream_t *s, text_t *t, size_t n)
{
    weir_buf_t *b = &s->events;
    weir_str_t piece = weir_str(t->text.data + t->sent, n);
    char name[80];
    t->sent += n;
    switch (s->protocol) {
    case WEIR_PROTOCOL_CHAT:
        event(s, NULL);
        weir_buf_printf(b, "{\"id\":\"c\",\"choices\":[{\"index\":%u,\"delta\":{", t->choice);
        if (t->kind == WEIR_TEXT_ARGUMENTS)
            weir_buf_printf(b,
                            "\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", t->part);
        else
            weir_buf_printf(b, "\"%s\":",
                            t->kind == WEIR_TEXT_REASONING ? "reasoning_content"
                            : t->kind == WEIR_TEXT_REFUSAL ? "refusal"
                                                           : "content");
        weir_json_write_string(b, piece);
        weir_buf_append_z(b, t->kind == WEIR_TEXT_ARGUMENTS ? "}}]" : "");
        weir_buf_append_z(b, "},\"finish_reason\":null}]}\n\n");
        return;
    case WEIR_PROTOCOL_COMPLETIONS:
        event(s, NULL);
        weir_buf_printf(b, "{\"id\":\"c\",\"choices\":[{\"index\":%u,\"text\":", t->choice);
        weir_json_write_string(b, piece);
        weir_buf_append_z(b, ",\"finish_reason\":null}]}\n\n");
        return;
    case WEIR_PROTOCOL_MESSAGES:
        event(s, "content_block_delta");
        weir_buf_printf(b, "{\"type\":\"content_block_delta\",\"index\":%u,\"delta\":{", t->choice);
        weir_buf_append_z(
            b, t->kind == WEIR_TEXT_ARGUMENTS   ? "\"type\":\"input_json_delta\",\"partial_json\":"
               : t->kind == WEIR_TEXT_REASONING ? "\"type\":\"thinking_delta\",\"thinking\":"
                                                : "\"type\":\"text_delta\",\"text\":");
        weir_json_write_string(b, piece);
        weir_buf_append_z(b, "}}\n\n");
        return;
    default:
        snprintf(name, sizeof name, "%s.delta", response_names[t->kind]);
        event(s, name);
        weir_buf_printf(b,
                        "{\"type\":\"%s\",\"sequence_number\":%d,\"item_id\":\"i%u\","
                        "\"output_index\":%u,\"content_index\":%u,\"delta\":",
                        name, s->sequence++, t->choice, t->choice, t->part);
        weir_json_write_string(b, piece);
        weir_buf_append_z(b, "}\n\n");
    }
}

/* The event that ends a text, in one of the ways in which its protocol does. */
static void send_end(stream_t *s, const text_t *t, rng_t *rng)
{
    weir_buf_t *b = &s->events;
    char name[80];
    if (s->protocol == WEIR_PROTOCOL_MESSAGES) {
        event(s, "content_block_stop");
        weir_buf_printf(b, "{\"type\":\"content_block_stop\",\"index\":%u}\n\n", t->choice);
    }
    if (s->protocol != WEIR_PROTOCOL_RESPONSES)
        return;
    if (rng_below(rng, 2) == 0) {
        event(s, "response.output_item.done");
        weir_buf_printf(b,
                        "{\"type\":\"response.output_item.done\",\"sequence_number\":%d,"
                        "\"output_index\":%u,\"item\":{\"type\":\"message\",\"content\":[]}}\n\n",
                        s->sequence++, t->choice);
        return;
    }
    snprintf(name, sizeof name, "%s.done", response_names[t->kind]);
    event(s, name);
    weir_buf_printf(
        b,
        "{\"type\":\"%s\",\"sequence_number\":%d,\"item_id\":\"i%u\",\"output_index\":%u,"
        "\"content_index\":%u,\"%s\":",
        name, s->sequence++, t->choice, t->choice, t->part,
        t->kind == WEIR_TEXT_ARGUMENTS ? "arguments"
        : t->kind == WEIR_TEXT_REFUSAL ? "refusal"
                                       : "text");
    weir_json_write_string(b, t->text);
    weir_buf_append_z(b, "}\n\n");
}

/* The end of all that is not ended yet. */
static void send_last(stream_t *s, rng_t *rng)
{
    static const char *const ends[] = {"completed", "incomplete", "failed"};
    weir_buf_t *b = &s->events;
    const char *how = ends[rng_below(rng, 3)];
    switch (s->protocol) {
    case WEIR_PROTOCOL_CHAT:
    case WEIR_PROTOCOL_COMPLETIONS:
        for (unsigned choice = 0; choice < 3 && rng_below(rng, 6) != 0; choice++)
            weir_buf_printf(b,
                            "data: {\"id\":\"c\",\"choices\":[{\"index\":%u,%s"
                            "\"finish_reason\":\"stop\"}]}\n\n",
                            choice,
                            s->protocol == WEIR_PROTOCOL_CHAT ? "\"delta\":{}," : "\"text\":\"\",");
        weir_buf_append_z(b, rng_below(rng, 6) != 0 ? "data: [DONE]\n\n" : "");
        return;
    case WEIR_PROTOCOL_MESSAGES:
        if (rng_below(rng, 4) != 0) {
            event(s, "message_delta");
            weir_buf_append_z(b, "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
                                 "\"end_turn\"}}\n\n");
        }
        if (rng_below(rng, 4) != 0) {
            event(s, "message_stop");
            weir_buf_append_z(b, "{\"type\":\"message_stop\"}\n\n");
        }
        return;
    default:
        if (rng_below(rng, 6) == 0)
            return;
        weir_buf_printf(
            b,
            "event: response.%s\ndata: {\"type\":\"response.%s\",\"sequence_number\":%d,"
            "\"response\":{\"id\":\"r\",\"status\":\"%s\",\"output\":[]}}\n\n",
            how, how, s->sequence++, how);
    }
}

/* Kinds of texts that a protocol has; in messages and responses each has an item of its own. */
static void make_texts(stream_t *s, weir_arena_t *arena, rng_t *rng)
{
    static const weir_text_kind_t kinds[] = {WEIR_TEXT_CONTENT, WEIR_TEXT_ARGUMENTS,
                                             WEIR_TEXT_REASONING, WEIR_TEXT_REFUSAL};
    unsigned n = 1 + rng_below(rng, MAX_TEXTS);
    for (unsigned i = 0; i < n; i++) {
        text_t t = {.kind = kinds[rng_below(rng, s->protocol == WEIR_PROTOCOL_COMPLETIONS ? 1
                                                 : s->protocol == WEIR_PROTOCOL_MESSAGES  ? 3
                                                                                          : 4)],
                    .choice = rng_below(rng, 3)};
        if (s->protocol == WEIR_PROTOCOL_MESSAGES || s->protocol == WEIR_PROTOCOL_RESPONSES)
            t.choice = i;
        else if (t.kind == WEIR_TEXT_ARGUMENTS)
            t.part = rng_below(rng, 3);
        bool there = false;
        for (unsigned k = 0; k < s->count; k++)
            there = there || (s->texts[k].kind == t.kind && s->texts[k].choice == t.choice &&
                              s->texts[k].part == t.part);
        if (there)
            continue;
        t.text = make_text(arena, rng, t.kind == WEIR_TEXT_ARGUMENTS);
        weir_buf_init(&t.got, arena);
        s->texts[s->count++] = t;
    }
}

static void make_stream(stream_t *s, weir_arena_t *arena, rng_t *rng)
{
    unsigned open = s->count;
    bool ended[MAX_TEXTS] = {false};
    weir_buf_init(&s->events, arena);
    while (open > 0) {
        unsigned i = rng_below(rng, s->count);
        text_t *t = &s->texts[i];
        if (ended[i])
            continue;
        size_t left = t->text.len - t->sent;
        size_t n = left == 0 ? 0 : 1 + rng_below(rng, (uint32_t)(left < 24 ? left : 24));
        while (n < left && ((unsigned char)t->text.data[t->sent + n] & 0xc0) == 0x80)
            n++;
        send_piece(s, t, n);
        if (t->sent == t->text.len) {
            ended[i] = true;
            open--;
            if (rng_below(rng, 3) != 0)
                send_end(s, t, rng);
        }
    }
}

/* --- what the client puts together --- */

static void take(stream_t *s, const weir_json_doc_t *doc, uint32_t node, weir_text_kind_t kind,
                 unsigned choice, unsigned part, weir_arena_t *arena)
{
    weir_str_t text;
    if (node == WEIR_JSON_NONE || weir_json_type(doc, node) != WEIR_JSON_STRING ||
        weir_json_string(doc, node, arena, &text) != WEIR_OK)
        return;
    for (unsigned i = 0; i < s->count; i++)
        if (s->texts[i].kind == kind && s->texts[i].choice == choice && s->texts[i].part == part)
            weir_buf_append_str(&s->texts[i].got, text);
}

static unsigned number_of(const weir_json_doc_t *doc, uint32_t object, const char *key)
{
    int64_t value = 0;
    uint32_t node = weir_json_get(doc, object, key);
    return node != WEIR_JSON_NONE && weir_json_int64(doc, node, &value) ? (unsigned)value : 0;
}

static void read_event(stream_t *s, const weir_json_doc_t *doc, weir_arena_t *arena)
{
    uint32_t choice = weir_json_at(doc, weir_json_get(doc, 0, "choices"), 0);
    uint32_t delta = weir_json_get(doc, choice, "delta");
    uint32_t type = weir_json_get(doc, 0, "type");
    if (choice != WEIR_JSON_NONE) {
        unsigned at = number_of(doc, choice, "index");
        uint32_t call = weir_json_at(doc, weir_json_get(doc, delta, "tool_calls"), 0);
        take(s, doc, weir_json_get(doc, delta, "content"), WEIR_TEXT_CONTENT, at, 0, arena);
        take(s, doc, weir_json_get(doc, choice, "text"), WEIR_TEXT_CONTENT, at, 0, arena);
        take(s, doc, weir_json_get(doc, delta, "reasoning_content"), WEIR_TEXT_REASONING, at, 0,
             arena);
        take(s, doc, weir_json_get(doc, delta, "refusal"), WEIR_TEXT_REFUSAL, at, 0, arena);
        if (call != WEIR_JSON_NONE)
            take(s, doc, weir_json_get(doc, weir_json_get(doc, call, "function"), "arguments"),
                 WEIR_TEXT_ARGUMENTS, at, number_of(doc, call, "index"), arena);
    } else if (type != WEIR_JSON_NONE && weir_json_string_is(doc, type, "content_block_delta")) {
        unsigned at = number_of(doc, 0, "index");
        uint32_t d = weir_json_get(doc, 0, "delta");
        take(s, doc, weir_json_get(doc, d, "text"), WEIR_TEXT_CONTENT, at, 0, arena);
        take(s, doc, weir_json_get(doc, d, "thinking"), WEIR_TEXT_REASONING, at, 0, arena);
        take(s, doc, weir_json_get(doc, d, "partial_json"), WEIR_TEXT_ARGUMENTS, at, 0, arena);
    } else if (type != WEIR_JSON_NONE) {
        for (unsigned k = 0; k < COUNT(response_names); k++) {
            char name[80];
            snprintf(name, sizeof name, "%s.delta",
                     response_names[k] == NULL ? "" : response_names[k]);
            if (weir_json_string_is(doc, type, name))
                take(s, doc, weir_json_get(doc, 0, "delta"), (weir_text_kind_t)k,
                     number_of(doc, 0, "output_index"), number_of(doc, 0, "content_index"), arena);
        }
    }
}

static void read_stream(stream_t *s, weir_str_t stream, weir_arena_t *arena)
{
    const char *end = stream.data + stream.len;
    for (const char *at = stream.data; at < end;) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        size_t len = line == NULL ? (size_t)(end - at) : (size_t)(line - at);
        weir_json_doc_t doc;
        if (len > 6 && memcmp(at, "data: {", 7) == 0 &&
            weir_json_parse(at + 6, len - 6, NULL, arena, &doc, NULL) == WEIR_OK)
            read_event(s, &doc, arena);
        at += len + 1;
    }
}

/* --- runs --- */

static const weir_guard_rules_t *rules_of(weir_redact_mode_t mode)
{
    return mode == WEIR_REDACT_HOLDBACK ? streaming : all_rules;
}

static weir_str_t redact(weir_arena_t *arena, const stream_t *s, weir_redact_mode_t mode,
                         uint32_t restored, weir_end_t why, size_t len, rng_t *rng,
                         unsigned *entities)
{
    weir_redact_options_t options = {.text = {.rules = rules_of(mode),
                                              .scratch = guard_scratch,
                                              .mode = mode,
                                              .window = 64,
                                              .decide = decide,
                                              .restore = names,
                                              .ctx = entities},
                                     .restore_kinds = restored,
                                     .protocol = s->protocol};
    weir_redact_t *r;
    weir_pipeline_t *p;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_redact_open(arena, &options, &r);
    weir_filter_t filter = weir_redact_filter(r);
    weir_pipeline_config_t config = {.protocol = s->protocol,
                                     .upstream = s->protocol,
                                     .in = WEIR_BODY_SSE,
                                     .out = WEIR_BODY_SSE,
                                     .write = collect,
                                     .write_ctx = &out};
    if (weir_pipeline_open(arena, scratch, &config, &filter, 1, &p) != WEIR_OK)
        return weir_str("", 0);
    for (size_t at = 0; at < len;) {
        size_t n = 1 + rng_below(rng, 300);
        n = n > len - at ? len - at : n;
        weir_pipeline_feed(p, s->events.data + at, n);
        at += n;
    }
    weir_pipeline_finish(p, why);
    weir_redact_close(r);
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

/* The text alone, in one piece. */
static weir_str_t alone(weir_arena_t *arena, const text_t *t, weir_redact_mode_t mode,
                        bool restored, unsigned *entities)
{
    weir_redact_rules_t shared = {.rules = rules_of(mode),
                                  .scratch = guard_scratch,
                                  .mode = mode,
                                  .window = 64,
                                  .decide = decide,
                                  .restore = names,
                                  .ctx = entities};
    weir_redact_text_t text;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_redact_text_init(&text, &shared, t->kind == WEIR_TEXT_ARGUMENTS, restored);
    weir_redact_text_feed(&text, t->text.data, t->text.len, true, &out);
    weir_redact_text_free(&text);
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

static const char *const protocol_names[] = {[WEIR_PROTOCOL_CHAT] = "chat",
                                             [WEIR_PROTOCOL_COMPLETIONS] = "completions",
                                             [WEIR_PROTOCOL_MESSAGES] = "messages",
                                             [WEIR_PROTOCOL_RESPONSES] = "responses"};

static bool begins(weir_str_t whole, weir_str_t part)
{
    return part.len <= whole.len && (part.len == 0 || memcmp(whole.data, part.data, part.len) == 0);
}

static void test_protocol(weir_arena_t *arena, rng_t *rng, weir_protocol_t protocol)
{
    unsigned wrong = 0;
    unsigned verdicts = 0;
    unsigned texts = 0;
    unsigned put_back = 0;
    unsigned forbidden = 0;
    for (unsigned round = 0; round < 250 && wrong < 3; round++) {
        weir_arena_reset(arena);
        stream_t s = {.protocol = protocol};
        weir_redact_mode_t mode = (weir_redact_mode_t)rng_below(rng, 3);
        unsigned entities = 0;
        unsigned want_entities = 0;
        make_texts(&s, arena, rng);
        make_stream(&s, arena, rng);
        size_t unended = s.events.len;
        send_last(&s, rng);
        bool cut = rng_below(rng, 4) == 0;
        weir_end_t why = !cut                     ? WEIR_END_COMPLETE
                         : rng_below(rng, 2) == 0 ? WEIR_END_CUT
                                                  : WEIR_END_ABORT;
        uint32_t restored = rng_below(rng, 1u << WEIR_TEXT_KINDS);
        weir_str_t out =
            redact(arena, &s, mode, restored, why, cut ? unended : s.events.len, rng, &entities);
        read_stream(&s, out, arena);
        for (unsigned i = 0; i < s.count; i++, texts++) {
            text_t *t = &s.texts[i];
            weir_str_t got = weir_str(t->got.data == NULL ? "" : t->got.data, t->got.len);
            bool allowed = (restored >> t->kind & 1) != 0;
            weir_str_t want = alone(arena, t, mode, allowed, &want_entities);
            bool back = got.len > 0 && memmem(got.data, got.len, "Ann", 3) != NULL;
            put_back += back && allowed;
            forbidden += back && !allowed;
            if (cut ? !begins(want, got) : !weir_str_eq(want, got)) {
                if (wrong++ < 3)
                    diag("%s, mode %d, end %d, kind %d of %u.%u:\n  want %.*s\n  got  %.*s",
                         protocol_names[protocol], (int)mode, (int)why, (int)t->kind, t->choice,
                         t->part, (int)want.len, want.data, (int)got.len, got.data);
            }
        }
        verdicts += entities != want_entities;
    }
    is_int(wrong, 0, "%s: %u texts that take turns leave as if each were alone",
           protocol_names[protocol], texts);
    is_int(verdicts, 0, "%s: every entity is decided once, also of what was cut off or left",
           protocol_names[protocol]);
    ok(put_back > 20 && forbidden == 0,
       "%s: names are put back in %u texts, and in none of the others", protocol_names[protocol],
       put_back);
}

int main(void)
{
    static const weir_protocol_t protocols[] = {WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_COMPLETIONS,
                                                WEIR_PROTOCOL_MESSAGES, WEIR_PROTOCOL_RESPONSES};
    weir_arena_t arena;
    weir_arena_t kept;
    rng_t rng;
    weir_str_t name;
    weir_arena_init(&arena, 0, 0);
    weir_arena_init(&kept, 0, 0);
    weir_placeholders_open(&kept, NULL, &names);
    weir_placeholders_name(names, "PERSON", WEIR_STR("Ann \"Q\" Lee"), &name);
    rng_init(&rng);
    if (!guard_rules_open(&streaming, &all_rules))
        return 1;
    guard_scratch = weir_guard_scratch_create();
    scratch = weir_scratch_new();
    for (size_t p = 0; p < COUNT(protocols); p++)
        test_protocol(&arena, &rng, protocols[p]);
    weir_scratch_free(scratch);
    weir_guard_scratch_free(guard_scratch);
    weir_guard_rules_free(streaming);
    weir_guard_rules_free(all_rules);
    weir_arena_free(&arena);
    weir_arena_free(&kept);
    return done_testing();
}
