#include "lua-free-filters/redact.h"

#include <stdio.h>

#include "engine/base/json.h"
#include "lua-free-filters/pipeline.h"
#include "t/support/tap.h"

#define EMAIL "jane.doe@example.org"
#define CARD  "4111 1111 1111 1111"

static weir_guard_rules_t *rules;
static weir_guard_scratch_t *guard_scratch;
static weir_scratch_t *scratch;

typedef struct {
    unsigned entities;
    unsigned repeats;
    unsigned block_at;
    bool keep;
    int wait; /* how often the check answers WAIT */
    unsigned checks;
} verdicts_t;

static weir_redact_action_t decide(void *ctx, const weir_guard_finding_t *f, weir_str_t value,
                                   bool repeat, weir_str_t *replacement)
{
    verdicts_t *v = ctx;
    (void)value;
    if (repeat)
        v->repeats++;
    else
        v->entities++;
    *replacement = f->type[0] == 'E' ? WEIR_STR("<EMAIL_ADDRESS>") : WEIR_STR("<OTHER>");
    if (v->block_at != 0 && v->entities == v->block_at)
        return WEIR_REDACT_STOP;
    return v->keep ? WEIR_REDACT_KEEP : WEIR_REDACT_REPLACE;
}

static weir_check_t check(void *ctx, const char *text, size_t len, size_t fresh, bool last)
{
    verdicts_t *v = ctx;
    (void)fresh;
    (void)last;
    v->checks++;
    if (v->wait > 0) {
        v->wait--;
        return WEIR_CHECK_WAIT;
    }
    return memmem(text, len, "forbidden", 9) != NULL ? WEIR_CHECK_STOP : WEIR_CHECK_PASS;
}

static weir_status_t collect(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

typedef struct {
    weir_protocol_t protocol;
    weir_redact_mode_t mode;
    bool document;
    bool with_check;
    const weir_placeholders_t *names;
    uint32_t restore_kinds;
    weir_end_t end;
} setup_t;

/* The output for input cut into pieces (0: random lengths). */
static weir_str_t run(weir_arena_t *arena, const setup_t *s, verdicts_t *v, weir_str_t input,
                      size_t piece, rng_t *rng)
{
    weir_redact_options_t options = {.text = {.rules = rules,
                                              .scratch = guard_scratch,
                                              .mode = s->mode,
                                              .decide = decide,
                                              .check = s->with_check ? check : NULL,
                                              .ctx = v,
                                              .restore = s->names},
                                     .protocol = s->protocol,
                                     .restore_kinds = s->restore_kinds,
                                     .on_block = {.reason = WEIR_STOP_CONTENT_FILTER}};
    weir_redact_t *r;
    weir_redact_open(arena, &options, &r);
    weir_filter_t filter = weir_redact_filter(r);
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_pipeline_config_t config = {.protocol = s->protocol,
                                     .upstream = s->protocol,
                                     .in = s->document ? WEIR_BODY_JSON : WEIR_BODY_SSE,
                                     .out = s->document ? WEIR_BODY_JSON : WEIR_BODY_SSE,
                                     .write = collect,
                                     .write_ctx = &out};
    weir_pipeline_t *p;
    if (weir_pipeline_open(arena, scratch, &config, &filter, 1, &p) != WEIR_OK) {
        diag("the pipeline does not open");
        return weir_str("", 0);
    }
    for (size_t at = 0; at < input.len;) {
        size_t n = piece != 0 ? piece : 1 + rng_below(rng, 200);
        n = n > input.len - at ? input.len - at : n;
        weir_pipeline_feed(p, input.data + at, n);
        at += n;
    }
    weir_status_t rc = weir_pipeline_finish(p, s->end);
    while (rc == WEIR_ERR_BUSY)
        rc = weir_pipeline_wake(p);
    weir_redact_close(r);
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

static void json_text(weir_buf_t *out, const char *text, size_t len)
{
    weir_json_write_string(out, weir_str(text, len));
}

static size_t whole_chars(const char *text, size_t left, size_t n)
{
    while (n < left && ((unsigned char)text[n] & 0xc0) == 0x80)
        n++;
    return n < left ? n : left;
}

/* A stream of the protocol whose content is text and whose tool call has the arguments args. */
static weir_str_t make_stream(weir_arena_t *arena, weir_protocol_t protocol, const char *text,
                              const char *args, size_t step)
{
    weir_buf_t b;
    int number = 0;
    weir_buf_init(&b, arena);
    const char *sources[] = {text, args};
    if (protocol == WEIR_PROTOCOL_CHAT)
        weir_buf_append_z(&b,
                          "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,"
                          "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":"
                          "\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n");
    if (protocol == WEIR_PROTOCOL_MESSAGES)
        weir_buf_append_z(&b, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"
                              "{\"id\":\"m1\",\"role\":\"assistant\",\"content\":[]}}\n\n");
    if (protocol == WEIR_PROTOCOL_RESPONSES)
        weir_buf_printf(&b,
                        "event: response.created\ndata: {\"type\":\"response.created\","
                        "\"sequence_number\":%d,\"response\":{\"id\":\"r1\",\"output\":[]}}\n\n",
                        number++);
    for (int s = 0; s < 2; s++) {
        const char *source = sources[s];
        if (source == NULL)
            continue;
        size_t len = strlen(source);
        if (protocol == WEIR_PROTOCOL_MESSAGES)
            weir_buf_printf(&b,
                            "event: content_block_start\ndata: {\"type\":\"content_block_start\","
                            "\"index\":%d,\"content_block\":{\"type\":\"%s\"}}\n\n",
                            s, s == 0 ? "text" : "tool_use");
        for (size_t at = 0; at < len;) {
            size_t n = whole_chars(source + at, len - at, step);
            switch (protocol) {
            case WEIR_PROTOCOL_CHAT:
                weir_buf_append_z(&b, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\","
                                      "\"created\":7,\"model\":\"m\",\"choices\":[{\"index\":0,"
                                      "\"delta\":{");
                weir_buf_append_z(&b, s == 0 ? "\"content\":"
                                             : "\"tool_calls\":[{\"index\":0,\"function\":{"
                                               "\"arguments\":");
                json_text(&b, source + at, n);
                weir_buf_append_z(&b, s == 0 ? "}" : "}}]}");
                weir_buf_append_z(&b, ",\"finish_reason\":null}]}\n\n");
                break;
            case WEIR_PROTOCOL_COMPLETIONS:
                weir_buf_append_z(&b, "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"text\":");
                json_text(&b, source + at, n);
                weir_buf_append_z(&b, ",\"logprobs\":null,\"finish_reason\":null}]}\n\n");
                break;
            case WEIR_PROTOCOL_MESSAGES:
                weir_buf_printf(&b,
                                "event: content_block_delta\ndata: {\"type\":"
                                "\"content_block_delta\",\"index\":%d,\"delta\":{\"type\":\"%s\","
                                "\"%s\":",
                                s, s == 0 ? "text_delta" : "input_json_delta",
                                s == 0 ? "text" : "partial_json");
                json_text(&b, source + at, n);
                weir_buf_append_z(&b, "}}\n\n");
                break;
            default:
                weir_buf_printf(&b,
                                "event: response.%s.delta\ndata: {\"type\":\"response.%s.delta\","
                                "\"sequence_number\":%d,\"item_id\":\"i%d\",\"output_index\":%d,"
                                "\"content_index\":0,\"delta\":",
                                s == 0 ? "output_text" : "function_call_arguments",
                                s == 0 ? "output_text" : "function_call_arguments", number++, s, s);
                json_text(&b, source + at, n);
                weir_buf_append_z(&b, "}\n\n");
            }
            at += n;
        }
        if (protocol == WEIR_PROTOCOL_MESSAGES)
            weir_buf_printf(&b,
                            "event: content_block_stop\ndata: {\"type\":\"content_block_stop\","
                            "\"index\":%d}\n\n",
                            s);
        if (protocol == WEIR_PROTOCOL_RESPONSES) {
            weir_buf_printf(&b,
                            "event: x\ndata: {\"type\":\"response.%s.done\",\"sequence_number\":%d,"
                            "\"item_id\":\"i%d\",\"output_index\":%d,\"content_index\":0,\"%s\":",
                            s == 0 ? "output_text" : "function_call_arguments", number++, s, s,
                            s == 0 ? "text" : "arguments");
            json_text(&b, source, len);
            weir_buf_append_z(&b, "}\n\n");
        }
    }
    switch (protocol) {
    case WEIR_PROTOCOL_CHAT:
        weir_buf_append_z(&b,
                          "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":7,"
                          "\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},"
                          "\"finish_reason\":\"stop\"}]}\n\n"
                          "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,"
                          "\"completion_tokens\":5}}\n\ndata: [DONE]\n\n");
        break;
    case WEIR_PROTOCOL_COMPLETIONS:
        weir_buf_append_z(&b, "data: [DONE]\n\n");
        break;
    case WEIR_PROTOCOL_MESSAGES:
        weir_buf_append_z(&b, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{"
                              "\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\n"
                              "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        break;
    default:
        weir_buf_printf(&b,
                        "event: response.completed\ndata: {\"type\":\"response.completed\","
                        "\"sequence_number\":%d,\"response\":{\"id\":\"r1\",\"status\":"
                        "\"completed\",\"output\":[{\"type\":\"message\",\"content\":[{\"type\":"
                        "\"output_text\",\"text\":",
                        number++);
        json_text(&b, text, strlen(text));
        weir_buf_append_z(&b, "}]}]}}\n\n");
    }
    return weir_str(b.data, b.len);
}

/* What a client has put together. */
typedef struct {
    weir_buf_t content;
    weir_buf_t arguments;
    weir_buf_t finish;
    unsigned events;
    unsigned disorder; /* a text after its end, or sequence numbers with gaps */
    int64_t sequence;
    bool ended;
} client_t;

static void add_string(const weir_json_doc_t *doc, uint32_t node, weir_arena_t *arena,
                       weir_buf_t *out, client_t *c)
{
    weir_str_t s;
    if (node == WEIR_JSON_NONE || weir_json_type(doc, node) != WEIR_JSON_STRING ||
        weir_json_string(doc, node, arena, &s) != WEIR_OK)
        return;
    if (s.len > 0 && c->ended)
        c->disorder++;
    weir_buf_append_str(out, s);
}

static void read_event(client_t *c, const weir_json_doc_t *doc, weir_arena_t *arena)
{
    uint32_t choice = weir_json_at(doc, weir_json_get(doc, 0, "choices"), 0);
    uint32_t delta = weir_json_get(doc, choice, "delta");
    add_string(doc, weir_json_get(doc, delta, "content"), arena, &c->content, c);
    add_string(doc, weir_json_get(doc, choice, "text"), arena, &c->content, c);
    uint32_t call = weir_json_at(doc, weir_json_get(doc, delta, "tool_calls"), 0);
    add_string(doc, weir_json_get(doc, weir_json_get(doc, call, "function"), "arguments"), arena,
               &c->arguments, c);
    uint32_t reason = weir_json_get(doc, choice, "finish_reason");
    if (reason != WEIR_JSON_NONE && weir_json_type(doc, reason) == WEIR_JSON_STRING) {
        add_string(doc, reason, arena, &c->finish, c);
        c->ended = true;
    }
    uint32_t type = weir_json_get(doc, 0, "type");
    if (type == WEIR_JSON_NONE)
        return;
    if (weir_json_string_is(doc, type, "content_block_delta")) {
        uint32_t d = weir_json_get(doc, 0, "delta");
        add_string(doc, weir_json_get(doc, d, "text"), arena, &c->content, c);
        add_string(doc, weir_json_get(doc, d, "partial_json"), arena, &c->arguments, c);
    }
    if (weir_json_string_is(doc, type, "response.output_text.delta"))
        add_string(doc, weir_json_get(doc, 0, "delta"), arena, &c->content, c);
    if (weir_json_string_is(doc, type, "response.function_call_arguments.delta"))
        add_string(doc, weir_json_get(doc, 0, "delta"), arena, &c->arguments, c);
    int64_t number;
    uint32_t sequence = weir_json_get(doc, 0, "sequence_number");
    if (sequence != WEIR_JSON_NONE && weir_json_int64(doc, sequence, &number))
        c->disorder += number != c->sequence++;
    uint32_t stop = weir_json_get(doc, weir_json_get(doc, 0, "delta"), "stop_reason");
    if (stop != WEIR_JSON_NONE)
        add_string(doc, stop, arena, &c->finish, c);
}

static client_t read_stream(weir_arena_t *arena, weir_str_t stream)
{
    client_t c = {0};
    weir_buf_init(&c.content, arena);
    weir_buf_init(&c.arguments, arena);
    weir_buf_init(&c.finish, arena);
    const char *at = stream.data;
    const char *end = stream.data + stream.len;
    while (at < end) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        size_t len = line == NULL ? (size_t)(end - at) : (size_t)(line - at);
        if (len > 6 && memcmp(at, "data: ", 6) == 0 && at[6] == '{') {
            weir_json_doc_t doc;
            c.events++;
            if (weir_json_parse(at + 6, len - 6, NULL, arena, &doc, NULL) == WEIR_OK)
                read_event(&c, &doc, arena);
            else
                c.disorder += 100;
        }
        at += len + 1;
    }
    return c;
}

static const weir_protocol_t protocols[] = {WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_COMPLETIONS,
                                            WEIR_PROTOCOL_MESSAGES, WEIR_PROTOCOL_RESPONSES};
static const char *const protocol_names[] = {"chat", "completions", "messages", "responses"};

static bool holds(weir_str_t s, const char *z)
{
    return memmem(s.data, s.len, z, strlen(z)) != NULL;
}

static void test_streams(weir_arena_t *arena, rng_t *rng)
{
    static const char text[] =
        "Write to " EMAIL " or pay with " CARD ", please. caf\xc3\xa9 " EMAIL;
    static const char want[] = "Write to <EMAIL_ADDRESS> or pay with <OTHER>, please. caf\xc3\xa9 "
                               "<EMAIL_ADDRESS>";
    static const char args[] = "{\"to\": \"" EMAIL "\", \"n\": 1}";
    for (size_t p = 0; p < sizeof protocols / sizeof *protocols; p++) {
        const char *tool = protocols[p] == WEIR_PROTOCOL_COMPLETIONS ? NULL : args;
        for (size_t step = 1; step <= 64; step = step * 2 + 1) {
            weir_arena_reset(arena);
            weir_str_t in = make_stream(arena, protocols[p], text, tool, step);
            setup_t s = {.protocol = protocols[p], .mode = WEIR_REDACT_HOLDBACK};
            verdicts_t v = {0};
            weir_str_t whole = run(arena, &s, &v, in, in.len, NULL);
            client_t c = read_stream(arena, whole);
            is_str(c.content.data, c.content.len, want, "%s in steps of %zu: content",
                   protocol_names[p], step);
            if (tool != NULL)
                is_str(c.arguments.data, c.arguments.len, "{\"to\": \"<EMAIL_ADDRESS>\", \"n\": 1}",
                       "%s in steps of %zu: arguments", protocol_names[p], step);
            is_int(c.disorder, 0, "%s in steps of %zu: in order", protocol_names[p], step);
            ok(!holds(whole, "jane") && !holds(whole, "4111"), "%s in steps of %zu: no byte leaks",
               protocol_names[p], step);
            is_int(v.entities, tool == NULL ? 3 : 4, "%s in steps of %zu: each entity counts once",
                   protocol_names[p], step);
            verdicts_t ignored = {0};
            weir_str_t bytes = run(arena, &s, &ignored, in, 1, NULL);
            weir_str_t pieces = run(arena, &s, &ignored, in, 0, rng);
            ok(weir_str_eq(whole, bytes) && weir_str_eq(whole, pieces),
               "%s in steps of %zu: the same output however the bytes are cut", protocol_names[p],
               step);
        }
    }
}

static void test_untouched(weir_arena_t *arena)
{
    for (size_t p = 0; p < sizeof protocols / sizeof *protocols; p++) {
        weir_str_t in =
            make_stream(arena, protocols[p], "Plain words, twice. ",
                        protocols[p] == WEIR_PROTOCOL_COMPLETIONS ? NULL : "{\"a\": 1} ", 20);
        setup_t s = {.protocol = protocols[p], .mode = WEIR_REDACT_OBSERVE};
        verdicts_t v = {0};
        weir_str_t out = run(arena, &s, &v, in, in.len, NULL);
        if (!ok(weir_str_eq(in, out), "%s: an observed stream is not touched", protocol_names[p]))
            diag("got %.*s", (int)out.len, out.data);
    }
}

static void test_documents(weir_arena_t *arena)
{
    static const struct {
        weir_protocol_t protocol;
        const char *in;
        const char *want;
    } cases[] = {
        {WEIR_PROTOCOL_CHAT,
         "{\"id\":\"c\",\"n\":1.50,\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
         "\"content\":\"to " EMAIL "!\",\"reasoning_content\":\"" EMAIL
         "\",\"tool_calls\":[{\"id\":"
         "\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"to\\\":\\\"" EMAIL "\\\"}\"}}]},"
         "\"logprobs\":{\"content\":[{\"token\":\"jane\"}]},\"finish_reason\":\"stop\"}]}",
         "{\"id\":\"c\",\"n\":1.50,\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
         "\"content\":\"to <EMAIL_ADDRESS>!\",\"reasoning_content\":\"<EMAIL_ADDRESS>\","
         "\"tool_calls\":[{\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"to\\\":"
         "\\\"<EMAIL_ADDRESS>\\\"}\"}}]},\"logprobs\":null,\"finish_reason\":\"stop\"}]}"},
        {WEIR_PROTOCOL_MESSAGES,
         "{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"" EMAIL "\"},{\"type\":"
         "\"tool_use\",\"input\":{\"to\":\"" EMAIL "\"}}],\"unknown\":\"" EMAIL "\"}",
         "{\"type\":\"message\",\"content\":[{\"type\":\"text\",\"text\":\"<EMAIL_ADDRESS>\"},"
         "{\"type\":\"tool_use\",\"input\":{\"to\":\"<EMAIL_ADDRESS>\"}}],\"unknown\":"
         "\"<EMAIL_ADDRESS>\"}"},
        {WEIR_PROTOCOL_RESPONSES,
         "{\"id\":\"r\",\"output\":[{\"content\":[{\"type\":\"output_text\",\"text\":\"" EMAIL
         "\"}]},{\"type\":\"function_call\",\"arguments\":\"{\\\"a\\\":\\\"" EMAIL "\\\"}\"}]}",
         "{\"id\":\"r\",\"output\":[{\"content\":[{\"type\":\"output_text\",\"text\":"
         "\"<EMAIL_ADDRESS>\"}]},{\"type\":\"function_call\",\"arguments\":\"{\\\"a\\\":"
         "\\\"<EMAIL_ADDRESS>\\\"}\"}]}"},
        {WEIR_PROTOCOL_OTHER,
         "{\"" EMAIL "\":4111111111111111,\"b\":[4111111111111111.0,0.4111111111111111,12,"
         "1234567.25],\"usage\":{\"t\":4111111111111111}}",
         "{\"<EMAIL_ADDRESS>\":\"<OTHER>\",\"b\":[\"<OTHER>\",0.4111111111111111,12,"
         "1234567.25],\"usage\":{\"t\":4111111111111111}}"},
        {WEIR_PROTOCOL_OTHER, "4111111111111111", "\"<OTHER>\""},
        {WEIR_PROTOCOL_CHAT,
         "{\"created\":4111111111111111,\"choices\":[{\"index\":0,\"message\":{\"content\":"
         "4111111111111111}}],\"x\":{\"y\":4111111111111111.0}}",
         "{\"created\":4111111111111111,\"choices\":[{\"index\":0,\"message\":{\"content\":"
         "\"<OTHER>\"}}],\"x\":{\"y\":\"<OTHER>\"}}"},
        {WEIR_PROTOCOL_MESSAGES,
         "{\"type\":\"message\",\"content\":[{\"type\":\"tool_use\",\"input\":{\"n\":"
         "4111111111111111}}]}",
         "{\"type\":\"message\",\"content\":[{\"type\":\"tool_use\",\"input\":{\"n\":"
         "\"<OTHER>\"}}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup_t s = {.protocol = cases[i].protocol, .mode = WEIR_REDACT_HOLDBACK, .document = true};
        verdicts_t v = {0};
        weir_str_t out = run(arena, &s, &v, weir_str(cases[i].in, strlen(cases[i].in)), 7, NULL);
        is_str(out.data, out.len, cases[i].want, "a whole answer, %zu", i);
    }
}

static void test_endings(weir_arena_t *arena)
{
    static const char text[] = "One " EMAIL " two " EMAIL " three";
    for (size_t p = 0; p < sizeof protocols / sizeof *protocols; p++) {
        weir_str_t in = make_stream(arena, protocols[p], text, NULL, 5);
        setup_t s = {.protocol = protocols[p], .mode = WEIR_REDACT_HOLDBACK};
        verdicts_t v = {.block_at = 2};
        weir_str_t out = run(arena, &s, &v, in, in.len, NULL);
        client_t c = read_stream(arena, out);
        is_str(c.content.data, c.content.len, "One <EMAIL_ADDRESS> two ",
               "%s: what stood before the blocked entity has left", protocol_names[p]);
        ok(!holds(out, "jane") && !holds(out, "three"), "%s: nothing else", protocol_names[p]);
        ok(holds(out, protocols[p] == WEIR_PROTOCOL_MESSAGES ? "refusal" : "content_filter"),
           "%s: and the protocol's own ending says why", protocol_names[p]);

        /* Cut inside the entity. */
        const char *at = memmem(in.data, in.len, "e.org", 5);
        at = at != NULL ? at : memmem(in.data, in.len, "doe", 3);
        v = (verdicts_t){0};
        s.end = WEIR_END_CUT;
        weir_str_t cut = weir_str(in.data, at == NULL ? in.len / 2 : (size_t)(at - in.data));
        out = run(arena, &s, &v, cut, 3, NULL);
        ok(!holds(out, "jane.doe"), "%s: an entity that is cut off does not leave",
           protocol_names[p]);
    }
    setup_t s = {
        .protocol = WEIR_PROTOCOL_CHAT, .mode = WEIR_REDACT_HOLDBACK, .end = WEIR_END_ABORT};
    verdicts_t v = {0};
    weir_str_t in = WEIR_STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"to " EMAIL
                             "\"}}]}\n\n");
    run(arena, &s, &v, in, in.len, NULL);
    is_int(v.entities, 1, "the verdict on held text counts when the client goes");

    s.end = WEIR_END_COMPLETE;
    in = WEIR_STR("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\xff\"}}]}\n\n"
                  "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"more\"}}]}\n\n");
    weir_str_t out = run(arena, &s, &v, in, in.len, NULL);
    ok(!holds(out, "more"), "an event that cannot be read ends the stream");
}

static void test_waiting(weir_arena_t *arena)
{
    for (size_t p = 0; p < sizeof protocols / sizeof *protocols; p++) {
        for (int bad = 0; bad < 2; bad++) {
            const char *text = bad ? "forbidden fine and " EMAIL " too......."
                                   : "This is fine and " EMAIL " too.......";
            weir_str_t in = make_stream(arena, protocols[p], text, NULL, 6);
            setup_t s = {.protocol = protocols[p], .mode = WEIR_REDACT_BUFFER, .with_check = true};
            verdicts_t v = {.wait = 3};
            weir_str_t out = run(arena, &s, &v, in, 11, NULL);
            client_t c = read_stream(arena, out);
            if (bad) {
                is_int((long long)c.content.len, 0, "%s: a bad verdict lets nothing out",
                       protocol_names[p]);
                continue;
            }
            is_str(c.content.data, c.content.len, "This is fine and <EMAIL_ADDRESS> too.......",
                   "%s: a verdict that is awaited", protocol_names[p]);
            is_int(c.disorder, 0, "%s: order is kept meanwhile", protocol_names[p]);
            ok(v.checks >= 4, "%s: the check was asked again", protocol_names[p]);
        }
    }
}

static void test_restoring(weir_arena_t *arena)
{
    weir_placeholders_t *map;
    weir_str_t name;
    weir_placeholders_open(arena, NULL, &map);
    weir_placeholders_name(map, "EMAIL_ADDRESS", WEIR_STR("real@\"person\".org"), &name);
    for (size_t p = 0; p < sizeof protocols / sizeof *protocols; p++) {
        const char *tool =
            protocols[p] == WEIR_PROTOCOL_COMPLETIONS ? NULL : "{\"to\":\"<EMAIL_ADDRESS_1>\"}";
        for (int allowed = 0; allowed < 2; allowed++) {
            weir_str_t in =
                make_stream(arena, protocols[p],
                            "Dear EMAIL\\_ADDRESS\\_1, also <email_address_1>, not " EMAIL
                            " or EMAIL_ADDRESS_12.",
                            tool, 3);
            setup_t s = {.protocol = protocols[p],
                         .mode = WEIR_REDACT_HOLDBACK,
                         .names = map,
                         .restore_kinds = 1u << WEIR_TEXT_CONTENT | (uint32_t)allowed
                                                                        << WEIR_TEXT_ARGUMENTS};
            verdicts_t v = {0};
            client_t c = read_stream(arena, run(arena, &s, &v, in, 9, NULL));
            is_str(c.content.data, c.content.len,
                   "Dear real@\"person\".org, also real@\"person\".org, not <EMAIL_ADDRESS> or "
                   "EMAIL_ADDRESS_12.",
                   "%s: names are restored, new entities are not let out", protocol_names[p]);
            if (tool != NULL)
                is_str(c.arguments.data, c.arguments.len,
                       allowed ? "{\"to\":\"real@\\\"person\\\".org\"}" : tool,
                       "%s: into arguments only where that is allowed (%d)", protocol_names[p],
                       allowed);
        }
    }
}

/* Members and events of a delta that nobody knows go on over events as others do. */
static void test_unknown_channels(weir_arena_t *arena)
{
    static const struct {
        weir_protocol_t protocol;
        const char *piece; /* with %s for the text */
        const char *last;  /* the upstream's last event */
    } cases[] = {
        {WEIR_PROTOCOL_CHAT, "{\"choices\":[{\"index\":1,\"delta\":{\"thinking\":\"%s\"}}]}",
         "[DONE]"},
        {WEIR_PROTOCOL_CHAT,
         "{\"choices\":[{\"index\":0,\"delta\":{\"audio\":{\"id\":\"a\",\"transcript\":\"%s\"}}}]}",
         "[DONE]"},
        {WEIR_PROTOCOL_CHAT, "{\"choices\":[{\"index\":0,\"delta\":{\"so\\\"far\":\"%s\"}}]}",
         "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"},
        {WEIR_PROTOCOL_CHAT,
         "{\"choices\":[{\"index\":0,\"delta\":{\"notes\":[{\"index\":2,\"say\":\"%s\"}]}}]}",
         "[DONE]"},
        {WEIR_PROTOCOL_OTHER, "{\"choices\":[{\"index\":0,\"delta\":{\"data\":\"%s\"}}]}",
         "[DONE]"},
        {WEIR_PROTOCOL_MESSAGES,
         "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"x_delta\",\"x\":\"%"
         "s\"}}",
         "{\"type\":\"content_block_stop\",\"index\":0}"},
        {WEIR_PROTOCOL_RESPONSES,
         "{\"type\":\"response.audio.transcript.delta\",\"output_index\":0,\"delta\":\"%s\"}",
         "{\"type\":\"response.audio.transcript.done\",\"output_index\":0}"},
        {WEIR_PROTOCOL_RESPONSES,
         "{\"type\":\"response.output_audio_transcript.delta\",\"output_index\":0,\"delta\":\"%"
         "s\"}",
         "{\"type\":\"response.completed\",\"response\":{\"output\":[]}}"},
        {WEIR_PROTOCOL_RESPONSES,
         "{\"type\":\"response.new_thing.delta\",\"output_index\":3,\"delta\":\"%s\"}",
         "{\"type\":\"response.output_item.done\",\"output_index\":3}"},
    };
    static const char *const pieces[] = {"Ask joe@exa", "mple.org ok ", "or ann@exam", "ple.org"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        weir_buf_t in;
        weir_buf_t all;
        verdicts_t v = {0};
        setup_t s = {.protocol = cases[i].protocol, .mode = WEIR_REDACT_HOLDBACK};
        weir_buf_init(&in, arena);
        weir_buf_init(&all, arena);
        for (size_t k = 0; k < sizeof pieces / sizeof *pieces; k++) {
            const char *mark = strstr(cases[i].piece, "%s");
            weir_buf_printf(&in, "data: %.*s%s%s\n\n", (int)(mark - cases[i].piece), cases[i].piece,
                            pieces[k], mark + 2);
        }
        weir_buf_printf(&in, "data: %s\n\n", cases[i].last);
        weir_str_t out = run(arena, &s, &v, weir_str(in.data, in.len), 7, NULL);
        /* What the client reads, joined: each text stands behind what is in front of it. */
        const char *mark = strstr(cases[i].piece, "%s");
        const char *from = mark - 1;
        while (from[-1] != ',' && from[-1] != '{')
            from--;
        weir_str_t lead = weir_str(from, (size_t)(mark - from));
        const char *at = out.data;
        while ((at = memmem(at, (size_t)(out.data + out.len - at), lead.data, lead.len)) != NULL) {
            at += lead.len;
            const char *end = memchr(at, '"', (size_t)(out.data + out.len - at));
            weir_buf_append(&all, at, (size_t)(end - at));
            at = end;
        }
        is_str(all.data, all.len, "Ask <EMAIL_ADDRESS> ok or <EMAIL_ADDRESS>",
               "channel %zu: entities over two events, the last one held to the end", i);
        is_int(v.entities, 2, "channel %zu: two entities", i);
    }
}

/* Lines of events that are no text: on a path that nobody knows they stay. */
static void test_event_fields(weir_arena_t *arena)
{
    static const char in[] = "id: 1\nretry: 50\ndata: {\"a\":\"b\"}\n\n"
                             "event: e\nid:2\ndata: {\"a\":\"" EMAIL "\"}\n\n"
                             "id: " EMAIL "\ndata: {\"a\":\"c\"}\n\n"
                             "id: 4\r\nx: y\r\ndata: {\"a\":\"d\"}\r\n\r\n";
    static const char want[] = "id: 1\nretry: 50\ndata: {\"a\":\"b\"}\n\n"
                               "id: 2\nevent: e\ndata: {\"a\":\"<EMAIL_ADDRESS>\"}\n\n"
                               "data: {\"a\":\"c\"}\n\n"
                               "id: 4\ndata: {\"a\":\"d\"}\n\n";
    for (size_t piece = 1; piece < sizeof in; piece++) {
        for (int waits = 0; waits < 2; waits++) {
            verdicts_t v = {.wait = waits * 3};
            setup_t s = {.protocol = WEIR_PROTOCOL_OTHER,
                         .mode = waits ? WEIR_REDACT_BUFFER : WEIR_REDACT_HOLDBACK,
                         .with_check = waits != 0};
            weir_str_t out = run(arena, &s, &v, weir_str(in, sizeof in - 1), piece, NULL);
            if (out.len != sizeof want - 1 || memcmp(out.data, want, out.len) != 0) {
                is_str(out.data, out.len, want, "pieces of %zu, %d", piece, waits);
                return;
            }
        }
    }
    ok(true, "id and retry stay, but for what is an entity");
}

/* The text of a choice goes on behind an end that the upstream has told. */
static void test_behind_the_end(weir_arena_t *arena)
{
    static const struct {
        weir_protocol_t protocol;
        const char *piece; /* with %s for the text */
        const char *end;   /* an event behind the first piece, or NULL */
    } cases[] = {
        {WEIR_PROTOCOL_CHAT, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}]}",
         "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"},
        {WEIR_PROTOCOL_CHAT,
         "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"finish_reason\":\"stop\"}]}",
         NULL},
        {WEIR_PROTOCOL_CHAT,
         "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"finish_reason\":\"\"}]}",
         NULL},
        {WEIR_PROTOCOL_COMPLETIONS, "{\"choices\":[{\"index\":0,\"text\":\"%s\"}]}",
         "{\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"length\"}]}"},
        {WEIR_PROTOCOL_MESSAGES,
         "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
         "\"text\":\"%s\"}}",
         "{\"type\":\"content_block_stop\",\"index\":0}"},
        {WEIR_PROTOCOL_RESPONSES,
         "{\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,"
         "\"delta\":\"%s\"}",
         "{\"type\":\"response.output_item.done\",\"output_index\":0}"},
    };
    static const char *const texts[] = {"write to joe@example.org x", "card 4111 1111 1111 1111 ok",
                                        "plain words, nothing more in them"};
    static const char *const secret[] = {"joe@example.org", "4111 1111 1111 1111", ""};
    static const weir_redact_mode_t modes[] = {WEIR_REDACT_HOLDBACK, WEIR_REDACT_WINDOW,
                                               WEIR_REDACT_BUFFER};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned leaks = 0;
        unsigned changed = 0;
        for (size_t m = 0; m < 3 * sizeof texts / sizeof *texts; m++) {
            const char *text = texts[m / 3];
            const char *found = strstr(text, secret[m / 3]);
            for (size_t cut = 1; cut < strlen(text); cut++) {
                weir_buf_t in;
                verdicts_t v = {0};
                setup_t s = {.protocol = cases[i].protocol, .mode = modes[m % 3]};
                weir_buf_init(&in, arena);
                const char *mark = strstr(cases[i].piece, "%s");
                size_t ends[] = {0, cut, cut + 1 < strlen(text) ? cut + 1 : cut, strlen(text)};
                for (int k = 0; k < 3; k++) {
                    weir_buf_printf(&in, "data: %.*s%.*s%s\n\n", (int)(mark - cases[i].piece),
                                    cases[i].piece, (int)(ends[k + 1] - ends[k]), text + ends[k],
                                    mark + 2);
                    if (k == 0 && cases[i].end != NULL)
                        weir_buf_printf(&in, "data: %s\n\n", cases[i].end);
                }
                weir_str_t out = run(arena, &s, &v, weir_str(in.data, in.len), 50, NULL);
                client_t c = read_stream(arena, out);
                const char *rest = text + cut;
                size_t in_it = (size_t)(rest - found);
                /* What stands behind the end of an entity that was begun in front of it. */
                if (rest > found && in_it < strlen(secret[m / 3])) {
                    weir_str_t got = weir_str(c.content.data, c.content.len);
                    size_t most = got.len < cut ? got.len : cut;
                    weir_str_t late = weir_str(got.data + most, got.len - most);
                    char tail[3] = {secret[m / 3][strlen(secret[m / 3]) - 2],
                                    secret[m / 3][strlen(secret[m / 3]) - 1], 0};
                    if (in_it < strlen(secret[m / 3]) - 1 && holds(late, tail))
                        leaks++;
                }
                if (secret[m / 3][0] == 0 && (c.content.len != strlen(text) ||
                                              memcmp(c.content.data, text, strlen(text)) != 0))
                    changed++;
            }
        }
        is_int(leaks, 0, "case %zu: no second half leaves", i);
        is_int(changed, 0, "case %zu: what is no entity goes on", i);
    }
}

int main(void)
{
    weir_arena_t arena;
    rng_t rng;
    weir_error_t err;
    weir_guard_options_t options = {.pii = true, .secrets = true, .streaming = true};
    weir_arena_init(&arena, 0, 0);
    rng_init(&rng);
    if (weir_guard_rules_compile(&options, &rules, &err) != WEIR_OK) {
        diag("%s", err.message);
        return 1;
    }
    guard_scratch = weir_guard_scratch_create();
    scratch = weir_scratch_new();

    test_streams(&arena, &rng);
    test_untouched(&arena);
    test_documents(&arena);
    test_endings(&arena);
    test_waiting(&arena);
    test_restoring(&arena);
    test_unknown_channels(&arena);
    test_behind_the_end(&arena);
    test_event_fields(&arena);

    weir_scratch_free(scratch);
    weir_guard_scratch_free(guard_scratch);
    weir_guard_rules_free(rules);
    weir_arena_free(&arena);
    return done_testing();
}
