#include "engine/api/answer.h"

#include <stdlib.h>

#include "engine/api/metrics.h"
#include "t/support/tap.h"
#include "t/support/tiny_model.h"

/* The tiny vocabulary: byte b is token 3 + b. */
#define BYTE(b) (TINY_MODEL_SPECIALS + (int)(uint8_t)(b))

static weir_tokenizer_t *tok;
static const weir_api_names_t names = {{"m", 1}, NULL, 0};

static void open_tokenizer(void)
{
    tiny_model_t spec;
    weir_arena_t arena;
    weir_buf_t file;
    weir_error_t err;
    weir_gguf_t *gguf;
    tiny_model_defaults(&spec);
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&file, &arena);
    void *copy = NULL;
    if (tiny_model_build(&spec, &file, &err) != WEIR_OK ||
        posix_memalign(&copy, 64, file.len) != 0) {
        abort();
    }
    memcpy(copy, file.data, file.len);
    if (weir_gguf_open_memory(copy, file.len, &gguf, &err) != WEIR_OK ||
        weir_tokenizer_open(gguf, &tok, &err) != WEIR_OK) {
        diag("%s", err.message);
        abort();
    }
    weir_gguf_close(gguf);
    free(copy);
    weir_arena_free(&arena);
}

typedef struct {
    weir_arena_t arena;
    weir_api_request_t req;
    weir_api_answer_t *answer;
    weir_buf_t out;
} fixture_t;

/* An answer to a request whose prompts have two tokens each, "AB". */
static void begin(fixture_t *f, weir_api_kind_t kind, const char *body)
{
    static const int32_t ids[] = {BYTE('A'), BYTE('B')};
    weir_error_t err = {0};
    weir_arena_init(&f->arena, 0, 0);
    weir_buf_init(&f->out, &f->arena);
    if (weir_api_parse(kind, weir_str(body, strlen(body)), &names, &f->arena, &f->req, &err) !=
        WEIR_OK) {
        diag("%s", err.message);
        abort();
    }
    f->req.prompts = weir_arena_calloc(&f->arena, f->req.n_prompts, sizeof(*f->req.prompts));
    for (uint32_t p = 0; p < f->req.n_prompts; p++) {
        f->req.prompts[p] = (weir_api_prompt_t){ids, 2, WEIR_STR("AB")};
    }
    weir_api_identity_t who = {WEIR_STR("1"), WEIR_STR("m"), WEIR_STR("fp"), 5, tok};
    if (weir_api_answer_open(&f->req, &who, &f->arena, &f->answer) != WEIR_OK) {
        abort();
    }
}

static void feed(fixture_t *f, uint32_t prompt, weir_event_t event)
{
    if (weir_api_answer_event(f->answer, prompt, &event, &f->out) != WEIR_OK) {
        abort();
    }
}

static weir_event_t token(uint32_t choice, int32_t id, const char *text, uint32_t so_far)
{
    weir_event_t e = {.type = WEIR_EVENT_TOKEN, .choice = choice, .token = id, .logprob = -0.5F};
    e.completion_tokens = so_far;
    e.text_len = (uint32_t)strlen(text);
    memcpy(e.text, text, e.text_len);
    e.n_top = 2;
    e.top[0] = (weir_logprob_t){id, -0.5F};
    e.top[1] = (weir_logprob_t){BYTE(0xC3), -1.5F};
    return e;
}

static weir_event_t started(uint32_t cached)
{
    return (weir_event_t){.type = WEIR_EVENT_STARTED, .prompt_tokens = 2, .cached_tokens = cached};
}

static weir_event_t finish(uint32_t choice, weir_finish_t why, uint32_t tokens, const char *rest)
{
    weir_event_t e = {.type = WEIR_EVENT_FINISH, .choice = choice, .finish = why};
    e.prompt_tokens = 2;
    e.completion_tokens = tokens;
    e.text_len = (uint32_t)strlen(rest);
    memcpy(e.text, rest, e.text_len);
    return e;
}

static weir_event_t prompt_token(int32_t id)
{
    weir_event_t e = token(0, id, "", 0);
    e.type = WEIR_EVENT_PROMPT_TOKEN;
    return e;
}

/* Compares what has been written since the last time. */
static void wrote(fixture_t *f, const char *want, const char *name)
{
    is_str(f->out.data == NULL ? "" : f->out.data, f->out.len, want, "%s", name);
    f->out.len = 0;
}

#define CHUNK                                                                                    \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":" \
    "\"m\",\"system_fingerprint\":\"fp\",\"choices\":["
#define ROLE(i)                                                                                    \
    CHUNK "{\"index\":" i ",\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}," \
          "\"logprobs\":null,\"finish_reason\":null}]"

static void test_chat_stream(void)
{
    fixture_t f;
    begin(&f, WEIR_API_CHAT,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"n\":2,"
          "\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    feed(&f, 0, started(1));
    wrote(&f, ROLE("0") ",\"usage\":null}\n\n" ROLE("1") ",\"usage\":null}\n\n",
          "a role for each choice at the start");
    feed(&f, 0, token(1, BYTE('a'), "a\n\xE2\x80\xA8", 1));
    wrote(&f,
          CHUNK "{\"index\":1,\"delta\":{\"content\":\"a\\n\\u2028\"},\"logprobs\":null,"
                "\"finish_reason\":null}],\"usage\":null}\n\n",
          "text of the model makes no new line");
    feed(&f, 0, token(0, BYTE(0xC3), "", 1));
    wrote(&f,
          CHUNK "{\"index\":0,\"delta\":{\"content\":\"\"},\"logprobs\":null,"
                "\"finish_reason\":null}],\"usage\":null}\n\n",
          "a token without text yet is a frame");
    feed(&f, 0, finish(0, WEIR_FINISH_LENGTH, 1, "\xEF\xBF\xBD"));
    wrote(&f,
          CHUNK "{\"index\":0,\"delta\":{\"content\":\"\xEF\xBF\xBD\"},\"logprobs\":null,"
                "\"finish_reason\":null}],\"usage\":null}\n\n" CHUNK
                "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}],"
                "\"usage\":null}\n\n",
          "the rest, then the finish reason with an empty delta");
    ok(!weir_api_answer_complete(f.answer) && weir_api_answer_end(f.answer, &f.out) != WEIR_OK,
       "not complete while a choice is open");
    feed(&f, 0, finish(1, WEIR_FINISH_STOP, 2, ""));
    f.out.len = 0;
    feed(&f, 0, token(1, BYTE('z'), "z", 3));
    wrote(&f, "", "nothing after a choice's end");
    ok(weir_api_answer_complete(f.answer), "complete");
    weir_api_answer_end(f.answer, &f.out);
    wrote(&f,
          CHUNK "],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3,\"total_tokens\":5,"
                "\"prompt_tokens_details\":{\"cached_tokens\":1}}}\n\ndata: [DONE]\n\n",
          "usage in one frame with empty choices, then [DONE]");
    weir_arena_free(&f.arena);

    begin(&f, WEIR_API_CHAT,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stream\":true}");
    feed(&f, 0, finish(0, WEIR_FINISH_STOP, 1, ""));
    weir_api_answer_end(f.answer, &f.out);
    wrote(&f,
          ROLE("0") "}\n\n" CHUNK "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":"
                    "\"stop\"}]}\n\ndata: [DONE]\n\n",
          "without include_usage nothing says usage; an empty answer has its role, too");
    weir_arena_free(&f.arena);
}

static void test_chat_whole(void)
{
    fixture_t f;
    begin(&f, WEIR_API_CHAT,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"logprobs\":true,"
          "\"top_logprobs\":1}");
    feed(&f, 0, started(0));
    feed(&f, 0, token(0, BYTE('a'), "a", 1));
    feed(&f, 0, token(0, -1, "rest", 1));
    feed(&f, 0, finish(0, WEIR_FINISH_STOP, 2, ""));
    weir_api_answer_end(f.answer, &f.out);
    wrote(&f,
          "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":5,\"model\":\"m\","
          "\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
          "\"assistant\",\"content\":\"arest\",\"refusal\":null},\"logprobs\":{\"content\":["
          "{\"token\":\"a\",\"logprob\":-0.5,\"bytes\":[97],\"top_logprobs\":[{\"token\":\"a\","
          "\"logprob\":-0.5,\"bytes\":[97]}]}],\"refusal\":null},\"finish_reason\":\"stop\"}],"
          "\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":2,\"total_tokens\":4,"
          "\"prompt_tokens_details\":{\"cached_tokens\":0}}}",
          "a whole chat answer with logprobs");
    weir_arena_free(&f.arena);

    begin(&f, WEIR_API_CHAT,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"stop\":[\"a\","
          "\"\\\"b\"]}");
    weir_event_t stopped = finish(0, WEIR_FINISH_STOP, 2, "");
    stopped.stop = 2;
    feed(&f, 0, stopped);
    weir_api_answer_end(f.answer, &f.out);
    ok(f.out.len > 0 &&
           memmem(f.out.data, f.out.len, "\"finish_reason\":\"stop\",\"stop_reason\":\"\\\"b\"}]",
                  43) != NULL,
       "a stop string that ended it is named");
    weir_arena_free(&f.arena);
}

static void test_completions(void)
{
    fixture_t f;
    begin(&f, WEIR_API_COMPLETION,
          "{\"model\":\"m\",\"prompt\":[\"AB\",\"AB\"],\"logprobs\":2,\"echo\":true,\"n\":1}");
    feed(&f, 0, prompt_token(BYTE('A')));
    feed(&f, 0, prompt_token(BYTE('B')));
    feed(&f, 0, token(0, BYTE(0xC3), "", 1));
    feed(&f, 0, token(0, BYTE(0xA9), "\xC3\xA9", 2));
    feed(&f, 0, finish(0, WEIR_FINISH_LENGTH, 2, ""));
    feed(&f, 1, finish(0, WEIR_FINISH_STOP, 1, ""));
    weir_api_answer_end(f.answer, &f.out);
    wrote(&f,
          "{\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":5,\"model\":\"m\","
          "\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"text\":\"AB\xC3\xA9\","
          "\"logprobs\":{\"tokens\":[\"A\",\"B\",\"bytes:\\\\xc3\",\"bytes:\\\\xa9\"],"
          "\"token_logprobs\":[null,-0.5,-0.5,-0.5],\"top_logprobs\":[null,{\"B\":-0.5,"
          "\"bytes:\\\\xc3\":-1.5},{\"bytes:\\\\xc3\":-0.5},{\"bytes:\\\\xa9\":-0.5,"
          "\"bytes:\\\\xc3\":-1.5}],\"text_offset\":[0,1,2,3]},\"finish_reason\":\"length\"},"
          "{\"index\":1,\"text\":\"AB\",\"logprobs\":{\"tokens\":[],\"token_logprobs\":[],"
          "\"top_logprobs\":[],\"text_offset\":[]},\"finish_reason\":\"stop\"}],"
          "\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":3,\"total_tokens\":7,"
          "\"prompt_tokens_details\":{\"cached_tokens\":0}}}",
          "two prompts, echo, logprobs, partial characters");
    weir_arena_free(&f.arena);
}

#define TEXT_CHUNK                                                                           \
    "data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":5,\"model\":\"m\"," \
    "\"system_fingerprint\":\"fp\",\"choices\":[{\"index\":0,\"text\":"

static void test_completion_stream(void)
{
    fixture_t f;
    begin(&f, WEIR_API_COMPLETION,
          "{\"model\":\"m\",\"prompt\":\"AB\",\"echo\":true,\"logprobs\":0,\"stream\":true}");
    feed(&f, 0, started(0));
    feed(&f, 0, prompt_token(BYTE('A')));
    feed(&f, 0, prompt_token(BYTE('B')));
    wrote(&f, "", "the echo waits for the first token, so that frames count tokens");
    feed(&f, 0, token(0, BYTE('c'), "c", 1));
    wrote(&f,
          TEXT_CHUNK "\"ABc\",\"logprobs\":{\"tokens\":[\"A\",\"B\",\"c\"],\"token_logprobs\":"
                     "[null,-0.5,-0.5],\"top_logprobs\":[null,null,null],\"text_offset\":[0,1,2]},"
                     "\"finish_reason\":null}]}\n\n",
          "prompt and first token in one frame");
    feed(&f, 0, token(0, BYTE('d'), "d", 2));
    wrote(&f,
          TEXT_CHUNK "\"d\",\"logprobs\":{\"tokens\":[\"d\"],\"token_logprobs\":[-0.5],"
                     "\"top_logprobs\":[null],\"text_offset\":[3]},\"finish_reason\":null}]}\n\n",
          "offsets go on");
    weir_arena_free(&f.arena);

    begin(&f, WEIR_API_COMPLETION,
          "{\"model\":\"m\",\"prompt\":\"AB\",\"echo\":true,\"max_tokens\":0,\"stream\":true}");
    feed(&f, 0, finish(0, WEIR_FINISH_LENGTH, 0, ""));
    wrote(&f,
          TEXT_CHUNK "\"AB\",\"logprobs\":null,\"finish_reason\":null}]}\n\n" TEXT_CHUNK
                     "\"\",\"logprobs\":null,\"finish_reason\":\"length\"}]}\n\n",
          "an echo of the prompt alone");
    weir_arena_free(&f.arena);
}

static void test_generate(void)
{
    fixture_t f;
    begin(&f, WEIR_API_GENERATE, "{\"prompt\":\"AB\"}");
    feed(&f, 0, token(0, BYTE('a'), "a", 1));
    feed(&f, 0, finish(0, WEIR_FINISH_LENGTH, 1, ""));
    weir_api_answer_end(f.answer, &f.out);
    wrote(&f,
          "{\"id\":\"gen-1\",\"object\":\"generation\",\"created\":5,\"model\":\"m\","
          "\"system_fingerprint\":\"fp\",\"text\":\"a\",\"finish_reason\":\"length\",\"usage\":{"
          "\"prompt_tokens\":2,\"completion_tokens\":1,\"total_tokens\":3,"
          "\"prompt_tokens_details\":{\"cached_tokens\":0}}}",
          "/generate: text out");
    weir_arena_free(&f.arena);
}

static void test_failures(void)
{
    fixture_t f;
    weir_error_t err;
    begin(&f, WEIR_API_GENERATE, "{\"prompt\":\"AB\",\"stream\":true}");
    feed(&f, 0, finish(0, WEIR_FINISH_ERROR, 0, ""));
    ok(weir_api_answer_failed(f.answer) && weir_api_answer_end(f.answer, &f.out) != WEIR_OK,
       "a failed choice fails the answer");
    wrote(&f, "", "and writes no finish reason");
    weir_error(&err, WEIR_ERR_INTERNAL, "broken");
    weir_api_answer_error(&err, &f.out);
    wrote(&f,
          "data: {\"error\":{\"message\":\"broken\",\"type\":\"server_error\",\"param\":null,"
          "\"code\":\"internal_error\"}}\n\n",
          "an error in a stream");
    feed(&f, 7, token(0, BYTE('a'), "a", 1));
    feed(&f, 0, token(9, BYTE('a'), "a", 1));
    wrote(&f, "", "prompts and choices out of range are ignored");
    weir_arena_free(&f.arena);

    weir_arena_t small;
    weir_api_answer_t *answer;
    begin(&f, WEIR_API_GENERATE, "{\"prompt\":\"AB\"}");
    weir_api_identity_t who = {WEIR_STR("1"), WEIR_STR("m"), WEIR_STR("fp"), 5, tok};
    weir_arena_init(&small, 4096, 16384);
    ok(weir_api_answer_open(&f.req, &who, &small, &answer) == WEIR_OK, "opens in a small arena");
    weir_status_t rc = WEIR_OK;
    for (int i = 0; i < 1000 && rc == WEIR_OK; i++) {
        weir_event_t e = token(0, BYTE('a'), "0123456789012345678901234567890123456789", 1);
        rc = weir_api_answer_event(answer, 0, &e, NULL);
    }
    ok(rc == WEIR_ERR_NOMEM, "the arena's limit bounds a whole answer");
    weir_arena_free(&small);
    weir_arena_free(&f.arena);
}

static void test_models(void)
{
    static const weir_str_t aliases[] = {{"org/alias", 9}};
    static const weir_api_names_t two = {{"m", 1}, aliases, 1};
    weir_str_t wanted = WEIR_STR("org/alias");
    weir_str_t missing = WEIR_STR("x");
    weir_arena_t arena;
    weir_buf_t out;
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&out, &arena);
    weir_api_write_models(&two, NULL, 9, 0, &out);
    is_str(out.data, out.len,
           "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"object\":\"model\",\"created\":9,"
           "\"owned_by\":\"weir\",\"type\":\"model\",\"display_name\":\"m\",\"created_at\":"
           "\"1970-01-01T00:00:09Z\"},{\"id\":\"org/alias\",\"object\":\"model\",\"created\":9,"
           "\"owned_by\":\"weir\",\"type\":\"model\",\"display_name\":\"org/alias\",\"created_at\":"
           "\"1970-01-01T00:00:09Z\"}],\"has_more\":false,\"first_id\":\"m\",\"last_id\":"
           "\"org/alias\"}",
           "the list");
    out.len = 0;
    ok(weir_api_write_models(&two, &wanted, 9, 512, &out), "one by its alias");
    is_str(out.data, out.len,
           "{\"id\":\"org/alias\",\"object\":\"model\",\"created\":9,\"owned_by\":\"weir\","
           "\"max_model_len\":512,\"type\":\"model\",\"display_name\":\"org/alias\","
           "\"created_at\":\"1970-01-01T00:00:09Z\"}",
           "one");
    ok(!weir_api_write_models(&two, &missing, 9, 512, &out), "none of that name");
    weir_arena_free(&arena);
}

static void test_metrics(void)
{
    static const double bounds[] = {0.5, 1, 2.5};
    weir_histogram_t h;
    weir_arena_t arena;
    weir_buf_t out;
    weir_arena_init(&arena, 0, 0);
    weir_buf_init(&out, &arena);
    weir_histogram_init(&h, bounds, 3);
    weir_histogram_add(&h, 0.5);
    weir_histogram_add(&h, 2);
    weir_histogram_add(&h, 9);
    weir_metrics_family(&out, "t_seconds", "histogram", "Time.");
    weir_metrics_histogram(&out, "t_seconds", "a=\"b\"", &h);
    is_str(out.data, out.len,
           "# HELP t_seconds Time.\n# TYPE t_seconds histogram\n"
           "t_seconds_bucket{a=\"b\",le=\"0.5\"} 1\nt_seconds_bucket{a=\"b\",le=\"1\"} 1\n"
           "t_seconds_bucket{a=\"b\",le=\"2.5\"} 2\nt_seconds_bucket{a=\"b\",le=\"+Inf\"} 3\n"
           "t_seconds_sum{a=\"b\"} 11.5\nt_seconds_count{a=\"b\"} 3\n",
           "buckets are cumulative");
    out.len = 0;
    weir_metrics_label(&out, "a", WEIR_STR("x\"y\\\nz"));
    weir_metrics_label(&out, "b", WEIR_STR("1"));
    is_str(out.data, out.len, "a=\"x\\\"y\\\\\\nz\",b=\"1\"", "labels are escaped");
    weir_arena_free(&arena);
}

int main(void)
{
    open_tokenizer();
    test_chat_stream();
    test_chat_whole();
    test_completions();
    test_completion_stream();
    test_generate();
    test_failures();
    test_models();
    test_metrics();
    weir_tokenizer_close(tok);
    return done_testing();
}
