/*
 * Protocol translation on any request and any upstream. The first byte chooses the pair and the
 * options, the second seeds the cuts; then come the request, a NUL and the upstream's answer (a
 * request that cannot be translated is replaced by a plain one for the answer's sake). A
 * translated body is JSON; an answer does not depend on how it is cut; what the client gets is made
 * of events whose data is JSON; no answer looks complete when the upstream was cut.
 */
#include <stdlib.h>

#include "lua-free-filters/pipeline.h"
#include "lua-free-filters/translate/translate.h"

static const struct {
    weir_protocol_t client;
    weir_protocol_t upstream;
    const char *request;
    const char *complete; /* what ends a whole answer */
} pairs[] = {
    {WEIR_PROTOCOL_MESSAGES, WEIR_PROTOCOL_CHAT,
     "{\"model\":\"m\",\"max_tokens\":1,\"messages\":[],\"stream\":true}", "event: message_stop\n"},
    {WEIR_PROTOCOL_CHAT, WEIR_PROTOCOL_MESSAGES,
     "{\"model\":\"m\",\"messages\":[],\"stream\":true,\"stream_options\":{\"include_usage\":true}"
     "}",
     "data: [DONE]\n"},
    {WEIR_PROTOCOL_RESPONSES, WEIR_PROTOCOL_CHAT,
     "{\"model\":\"m\",\"input\":[],\"stream\":true,\"tools\":[{\"type\":\"custom\",\"name\":"
     "\"p\"}]}",
     "event: response.completed\n"},
};

typedef struct {
    unsigned pair;
    bool json;
    bool cut;
    weir_translate_options_t options;
    weir_str_t request;
    weir_str_t answer;
} fuzz_case_t;

static bool is_json(weir_str_t text, weir_arena_t *arena)
{
    weir_json_doc_t doc;
    weir_json_limits_t limits = {.max_depth = 200, .allow_duplicate_keys = true};
    return weir_json_parse(text.data, text.len, &limits, arena, &doc, NULL) == WEIR_OK;
}

static weir_translation_t *request(const fuzz_case_t *f, weir_str_t text, weir_arena_t *arena)
{
    weir_json_doc_t doc;
    weir_error_t err;
    weir_buf_t out;
    weir_translation_t *tr;
    weir_buf_init(&out, arena);
    if (weir_json_parse(text.data, text.len, NULL, arena, &doc, NULL) != WEIR_OK) {
        return NULL;
    }
    if (weir_translate_request(pairs[f->pair].client, pairs[f->pair].upstream, &doc, &f->options,
                               arena, &out, &tr, &err) != WEIR_OK) {
        if (err.message[0] == '\0') {
            abort();
        }
        return NULL;
    }
    if (!is_json(weir_str(out.data, out.len), arena)) {
        abort();
    }
    const char *path;
    weir_buf_t count;
    weir_buf_init(&count, arena);
    if (weir_translate_count_request(pairs[f->pair].client, pairs[f->pair].upstream, &doc,
                                     &f->options, arena, &count, &path, &err) == WEIR_OK &&
        !is_json(weir_str(count.data, count.len), arena)) {
        abort();
    }
    return tr;
}

static weir_status_t take(void *ctx, const char *data, size_t len, bool stable)
{
    (void)stable;
    weir_buf_append(ctx, data, len);
    return WEIR_OK;
}

static weir_str_t answer(const fuzz_case_t *f, weir_scratch_t *scratch, weir_arena_t *arena,
                         unsigned seed)
{
    weir_buf_t out;
    weir_pipeline_t *pipeline;
    weir_translation_t *tr = request(f, f->request, arena);
    const char *plain = pairs[f->pair].request;
    if (tr == NULL) {
        tr = request(f, weir_str(plain, strlen(plain)), arena);
    }
    weir_body_t kind = f->json ? WEIR_BODY_JSON : WEIR_BODY_SSE;
    weir_pipeline_config_t config = {.protocol = pairs[f->pair].client,
                                     .upstream = pairs[f->pair].upstream,
                                     .in = kind,
                                     .out = kind,
                                     .max_event = 65536,
                                     .max_document = 65536,
                                     .request_id = "r",
                                     .write = take,
                                     .write_ctx = &out};
    weir_filter_t filter = weir_translate_filter(tr);
    weir_buf_init(&out, arena);
    if (weir_pipeline_open(arena, scratch, &config, &filter, 1, &pipeline) != WEIR_OK) {
        abort();
    }
    for (size_t at = 0; at < f->answer.len;) {
        size_t n = f->answer.len;
        if (seed != 0) {
            seed = seed * 1103515245u + 12345u;
            n = 1 + (seed >> 16) % 24;
        }
        n = n < f->answer.len - at ? n : f->answer.len - at;
        weir_pipeline_feed(pipeline, f->answer.data + at, n);
        at += n;
    }
    weir_pipeline_finish(pipeline, f->cut ? WEIR_END_CUT : WEIR_END_COMPLETE);
    return weir_str(out.data == NULL ? "" : out.data, out.len);
}

/* Every line of data is JSON or [DONE]. */
static void check_events(weir_str_t out, weir_arena_t *arena)
{
    const char *end = out.data + out.len;
    for (const char *p = out.data; p < end;) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t n = lf == NULL ? (size_t)(end - p) : (size_t)(lf - p);
        if (n > 6 && memcmp(p, "data: ", 6) == 0 &&
            memcmp(p + 6, "[DONE]", n < 12 ? n - 6 : 6) != 0 &&
            !is_json(weir_str(p + 6, n - 6), arena)) {
            abort();
        }
        p = lf == NULL ? end : lf + 1;
    }
}

static bool finished(const fuzz_case_t *f)
{
    static const char *const told[] = {"finish_reason", "[DONE]", "message_stop", "stop_reason",
                                       "\\u"};
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        if (memmem(f->answer.data, f->answer.len, told[i], strlen(told[i])) != NULL) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3) {
        return 0;
    }
    const char *text = (const char *)data + 2;
    const char *split = memchr(text, '\0', size - 2);
    size_t first = split == NULL ? size - 2 : (size_t)(split - text);
    size_t second = split == NULL ? 0 : size - 2 - first - 1;
    fuzz_case_t f = {.pair = (data[0] & 3u) % 3u,
                     .json = (data[0] & 4u) != 0,
                     .cut = (data[0] & 8u) != 0,
                     .options = {.strict_openai = (data[0] & 16u) != 0,
                                 .thinking = (data[0] & 32u) != 0,
                                 .no_thinking_blocks = (data[0] & 64u) != 0,
                                 .max_held = (data[0] & 128u) != 0 ? 64 : 0},
                     .request = weir_str(text, first),
                     .answer = weir_str(second > 0 ? split + 1 : text, second)};
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    weir_scratch_t *scratch = weir_scratch_new();
    weir_str_t whole = answer(&f, scratch, &arena, 0);
    weir_str_t cut = answer(&f, scratch, &arena, data[1] + 1u);
    if (!weir_str_eq(whole, cut)) {
        abort();
    }
    if (!f.json) {
        check_events(whole, &arena);
        const char *last = pairs[f.pair].complete;
        if (!finished(&f) && memmem(whole.data, whole.len, last, strlen(last)) != NULL) {
            abort();
        }
    }
    weir_buf_t out;
    weir_buf_init(&out, &arena);
    weir_translate_error(pairs[f.pair].client, 400u + data[1], f.answer, "r", &arena, &out);
    if (!is_json(weir_str(out.data, out.len), &arena)) {
        abort();
    }
    weir_scratch_free(scratch);
    weir_arena_free(&arena);
    return 0;
}
