#include "engine/api/request.h"

#include "engine/api/errors.h"
#include "t/support/tap.h"

#define MSG             "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define CHAT_WITH(more) "{" MSG "," more "}"
#define TEXT_WITH(more) "{\"model\":\"m\",\"prompt\":\"hi\"," more "}"

static const weir_str_t aliases[] = {{"other", 5}};
static const weir_api_names_t names = {{"m", 1}, aliases, 1};

static weir_status_t parse(weir_api_kind_t kind, const char *body, weir_arena_t *arena,
                           weir_api_request_t *req, weir_error_t *err)
{
    memset(err, 0, sizeof(*err));
    return weir_api_parse(kind, weir_str(body, strlen(body)), &names, arena, req, err);
}

typedef struct {
    const char *body;
    const char *field;
    const char *code;
    weir_api_kind_t kind;
    int http;
} refusal_t;

static const refusal_t refusals[] = {
    {"", "", "", WEIR_API_CHAT, 400},
    {"{", "", "invalid_json", WEIR_API_CHAT, 400},
    {"[]", "", "", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"model\":\"m\"}", "", "invalid_json", WEIR_API_CHAT, 400},
    {"{\"messages\":[]}", "model", "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":null,\"messages\":[]}", "model", "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":7}", "model", "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"gpt-4\"}", "model", "model_not_found", WEIR_API_CHAT, 404},
    {"{\"model\":\"m\"}", "messages", "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[]}", "messages", "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":\"hi\"}", "messages", "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[1]}", "messages[0]", "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"robot\",\"content\":\"\"}]}", "messages[0].role",
     "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[{\"content\":\"\"}]}", "messages[0].role", "invalid_value",
     WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\"}]}", "messages[0].content", "invalid_value",
     WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":7}]}", "messages[0].content",
     "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
     "\"image_url\":{\"url\":\"x\"}}]}]}",
     "messages[0].content[0]", "unsupported_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
     "messages[0].content[0]", "invalid_value", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}]"
     "}",
     "messages[0].tool_calls", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"temperature\":-0.1"), "temperature", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"temperature\":2.1"), "temperature", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"temperature\":1e400"), "temperature", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"temperature\":\"0\""), "temperature", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"temperature\":true"), "temperature", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"top_p\":1.01"), "top_p", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"min_p\":-1"), "min_p", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"top_k\":-2"), "top_k", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"top_k\":1.5"), "top_k", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"repetition_penalty\":0"), "repetition_penalty", "invalid_value", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"frequency_penalty\":3"), "frequency_penalty", "invalid_value", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"presence_penalty\":-3"), "presence_penalty", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"seed\":1.5"), "seed", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"seed\":9223372036854775808"), "seed", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"max_tokens\":0"), "max_tokens", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"max_tokens\":-1"), "max_tokens", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"max_tokens\":2.5"), "max_tokens", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"max_tokens\":\"16\""), "max_tokens", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"max_completion_tokens\":0"), "max_completion_tokens", "invalid_value",
     WEIR_API_CHAT, 400},
    {CHAT_WITH("\"n\":0"), "n", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"n\":17"), "n", "unsupported_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"n\":129"), "n", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"stop\":7"), "stop", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"stop\":[\"a\",7]"), "stop", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]"), "stop", "invalid_value", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"stop_token_ids\":[1,2,3,4,5]"), "stop_token_ids", "array_above_max_length",
     WEIR_API_CHAT, 400},
    {CHAT_WITH("\"stop_token_ids\":[-1]"), "stop_token_ids[0]", "invalid_value", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"stream\":\"true\""), "stream", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"stream_options\":7"), "stream_options", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"stream_options\":{\"include_usage\":1}"), "stream_options.include_usage",
     "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"user\":7"), "user", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"logit_bias\":[]"), "logit_bias", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"logit_bias\":{\"x\":1}"), "logit_bias", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"logit_bias\":{\"01\":1}"), "logit_bias", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"logit_bias\":{\"9999999999\":1}"), "logit_bias", "invalid_value", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"logit_bias\":{\"1\":101}"), "logit_bias", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"logprobs\":5"), "logprobs", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"logprobs\":true,\"top_logprobs\":21"), "top_logprobs", "invalid_value",
     WEIR_API_CHAT, 400},
    {CHAT_WITH("\"top_logprobs\":2"), "top_logprobs", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"response_format\":{\"type\":\"json_object\"}"), "response_format",
     "unsupported_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"response_format\":{\"type\":\"json_schema\"}"), "response_format",
     "unsupported_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"response_format\":{\"type\":\"xml\"}"), "response_format", "invalid_value",
     WEIR_API_CHAT, 400},
    {CHAT_WITH("\"response_format\":\"text\""), "response_format", "invalid_value", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"tool_choice\":\"required\""), "tool_choice", "unsupported_value", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"),
     "tool_choice", "unsupported_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"tool_choice\":\"any\""), "tool_choice", "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"tools\":[{\"type\":\"custom\"}]"), "tools[0]", "unsupported_value", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a b\"}}]"), "tools[0]",
     "invalid_value", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"functions\":[{\"name\":\"f\"}]"), "functions", "unsupported_parameter",
     WEIR_API_CHAT, 400},
    {CHAT_WITH("\"modalities\":[\"text\",\"audio\"]"), "modalities", "unsupported_value",
     WEIR_API_CHAT, 400},
    {CHAT_WITH("\"chat_template_kwargs\":[]"), "chat_template_kwargs", "invalid_value",
     WEIR_API_CHAT, 400},
    {CHAT_WITH("\"continue_final_message\":true"), "continue_final_message",
     "unsupported_parameter", WEIR_API_CHAT, 400},
    {CHAT_WITH("\"guided_json\":{\"a\":1}"), "guided_json", "unsupported_parameter", WEIR_API_CHAT,
     400},
    {CHAT_WITH("\"min_tokens\":3"), "min_tokens", "unsupported_parameter", WEIR_API_CHAT, 400},
    {"{\"model\":\"m\"}", "prompt", "invalid_value", WEIR_API_COMPLETION, 400},
    {"{\"model\":\"m\",\"prompt\":{}}", "prompt", "invalid_value", WEIR_API_COMPLETION, 400},
    {"{\"model\":\"m\",\"prompt\":[]}", "prompt", "invalid_value", WEIR_API_COMPLETION, 400},
    {"{\"model\":\"m\",\"prompt\":[\"a\",[1]]}", "prompt", "invalid_value", WEIR_API_COMPLETION,
     400},
    {"{\"model\":\"m\",\"prompt\":[[]]}", "prompt", "invalid_value", WEIR_API_COMPLETION, 400},
    {"{\"model\":\"m\",\"prompt\":[true]}", "prompt", "invalid_value", WEIR_API_COMPLETION, 400},
    {TEXT_WITH("\"max_tokens\":0"), "max_tokens", "invalid_value", WEIR_API_COMPLETION, 400},
    {TEXT_WITH("\"logprobs\":6"), "logprobs", "invalid_value", WEIR_API_COMPLETION, 400},
    {TEXT_WITH("\"logprobs\":true"), "logprobs", "invalid_value", WEIR_API_COMPLETION, 400},
    {TEXT_WITH("\"echo\":1"), "echo", "invalid_value", WEIR_API_COMPLETION, 400},
    {TEXT_WITH("\"best_of\":2"), "best_of", "unsupported_value", WEIR_API_COMPLETION, 400},
    {TEXT_WITH("\"n\":3,\"best_of\":2"), "best_of", "invalid_value", WEIR_API_COMPLETION, 400},
    {TEXT_WITH("\"suffix\":\"end\""), "suffix", "unsupported_parameter", WEIR_API_COMPLETION, 400},
    {TEXT_WITH("\"n\":2"), "n", "unsupported_value", WEIR_API_GENERATE, 400},
    {TEXT_WITH("\"logprobs\":1"), "logprobs", "unsupported_parameter", WEIR_API_GENERATE, 400},
    {"{\"prompt\":[\"a\",\"b\"]}", "prompt", "unsupported_value", WEIR_API_GENERATE, 400},
    {"{\"prompt\":\"a\",\"model\":\"x\"}", "model", "model_not_found", WEIR_API_GENERATE, 404},
};

static void test_refusals(void)
{
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const refusal_t *want = &refusals[i];
        weir_api_request_t req;
        weir_arena_t arena;
        weir_error_t err;
        weir_arena_init(&arena, 0, 0);
        weir_status_t rc = parse(want->kind, want->body, &arena, &req, &err);
        bool right = rc != WEIR_OK && weir_api_error_status(&err) == want->http &&
                     strcmp(err.field, want->field) == 0 && strcmp(err.code, want->code) == 0 &&
                     strstr(err.message, want->field) != NULL;
        if (!ok(right, "refused: %.120s", want->body)) {
            diag("status %d field \"%s\" code \"%s\" message \"%s\"", rc, err.field, err.code,
                 err.message);
        }
        weir_arena_free(&arena);
    }
}

/* Requests that must be taken as they are: null is absent, unknown fields do not matter. */
static const struct {
    weir_api_kind_t kind;
    const char *body;
} taken[] = {
    {WEIR_API_CHAT, "{" MSG "}"},
    {WEIR_API_CHAT, "{\"model\":\"other\",\"messages\":[{\"role\":\"tool\",\"content\":\"x\","
                    "\"tool_call_id\":\"1\"}]}"},
    {WEIR_API_CHAT, CHAT_WITH("\"temperature\":null,\"top_p\":null,\"n\":null,\"stop\":null,"
                              "\"max_tokens\":null,\"seed\":null,\"stream\":null,"
                              "\"stream_options\":null,\"tools\":null,\"tool_choice\":null,"
                              "\"response_format\":null,\"logit_bias\":null,\"user\":null,"
                              "\"logprobs\":null,\"top_logprobs\":null,\"suffix\":null,"
                              "\"guided_json\":null,\"modalities\":null,\"audio\":null")},
    {WEIR_API_CHAT, CHAT_WITH("\"reasoning_effort\":\"low\",\"store\":true,\"metadata\":{\"a\":1},"
                              "\"service_tier\":\"auto\",\"verbosity\":\"low\",\"whatever\":[1],"
                              "\"parallel_tool_calls\":true,\"prediction\":{\"type\":\"content\"},"
                              "\"safety_identifier\":\"u\",\"cache_prompt\":true")},
    {WEIR_API_CHAT, CHAT_WITH("\"response_format\":{\"type\":\"text\"},\"modalities\":[\"text\"],"
                              "\"functions\":[],\"stop\":[],\"guided_json\":{},\"min_tokens\":0,"
                              "\"continue_final_message\":false,\"tool_choice\":\"auto\"")},
    {WEIR_API_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":null,"
                    "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":"
                    "\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"user\",\"content\":[]}]}"},
    {WEIR_API_COMPLETION, TEXT_WITH("\"best_of\":1,\"suffix\":\"\",\"echo\":false")},
    {WEIR_API_COMPLETION, TEXT_WITH("\"n\":2,\"best_of\":2")},
    {WEIR_API_GENERATE, "{\"prompt\":[1,2,3]}"},
};

static void test_taken(void)
{
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
        weir_api_request_t req;
        weir_arena_t arena;
        weir_error_t err;
        weir_arena_init(&arena, 0, 0);
        ok(parse(taken[i].kind, taken[i].body, &arena, &req, &err) == WEIR_OK, "taken: %.60s: %s",
           taken[i].body, err.message);
        weir_arena_free(&arena);
    }
}

static void test_values(weir_arena_t *arena)
{
    weir_api_request_t r;
    weir_error_t err;
    const weir_sampling_t *s = &r.generate.sampling;

    ok(parse(WEIR_API_CHAT, "{" MSG "}", arena, &r, &err) == WEIR_OK, "defaults parse");
    ok(s->temperature == 1 && s->top_p == 1 && s->top_k == 0 && s->min_p == 0 &&
           s->repetition_penalty == 1 && !s->has_seed && r.generate.n == 1 &&
           r.generate.max_tokens == 0 && r.add_generation_prompt && !r.stream && !r.logprobs,
       "defaults of chat");
    parse(WEIR_API_CHAT,
          CHAT_WITH("\"temperature\":0.5,\"top_p\":0.9,\"top_k\":40,\"min_p\":0.05,"
                    "\"repetition_penalty\":1.1,\"frequency_penalty\":-1.5,"
                    "\"presence_penalty\":2,\"seed\":-3,\"max_tokens\":5,"
                    "\"max_completion_tokens\":7,\"n\":3,\"stop\":[\"a\",\"\",\"\\u00e9\"],"
                    "\"stop_token_ids\":[4,5],\"ignore_eos\":true,\"stream\":true,"
                    "\"stream_options\":{\"include_usage\":true,\"include_obfuscation\":true},"
                    "\"logprobs\":true,\"top_logprobs\":20,\"user\":\"u\\n\","
                    "\"logit_bias\":{\"7\":-100,\"0\":1.5},\"chat_template_kwargs\":{\"k\":1},"
                    "\"add_generation_prompt\":false"),
          arena, &r, &err);
    ok(s->temperature == 0.5F && s->top_p == 0.9F && s->top_k == 40 && s->min_p == 0.05F &&
           s->repetition_penalty == 1.1F && s->frequency_penalty == -1.5F &&
           s->presence_penalty == 2,
       "sampling numbers arrive");
    ok(s->has_seed && s->seed == (uint64_t)-3, "a negative seed is a seed");
    is_int(r.generate.max_tokens, 7, "max_completion_tokens goes before max_tokens");
    is_int(r.generate.n, 3, "n");
    ok(r.generate.n_stops == 2 && weir_str_is(r.generate.stops[0], "a") &&
           weir_str_is(r.generate.stops[1], "\xC3\xA9"),
       "stops, unescaped, the empty one left out");
    ok(r.generate.n_stop_tokens == 2 && r.generate.stop_tokens[1] == 5, "stop_token_ids");
    ok(r.generate.ignore_eos && r.stream && r.include_usage && !r.add_generation_prompt, "flags");
    ok(r.logprobs && r.generate.logprobs && r.generate.top_logprobs == 20, "logprobs");
    ok(s->n_bias == 2 && s->bias[0].token == 7 && s->bias[0].bias == -100 && s->bias[1].token == 0,
       "logit_bias");
    ok(weir_str_is(r.user, "u\n") && r.kwargs != WEIR_JSON_NONE, "user, chat_template_kwargs");

    parse(WEIR_API_CHAT, CHAT_WITH("\"max_tokens\":1e15,\"top_k\":-1,\"n\":2.0"), arena, &r, &err);
    ok(r.generate.max_tokens == UINT32_MAX && s->top_k == 0 && r.generate.n == 2,
       "a huge max_tokens means the context, top_k -1 is off, 2.0 is 2");

    parse(WEIR_API_CHAT,
          CHAT_WITH("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"), arena, &r,
          &err);
    ok(r.tools != WEIR_JSON_NONE, "tools go to the template");
    parse(WEIR_API_CHAT,
          CHAT_WITH("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
                    "\"tool_choice\":\"none\""),
          arena, &r, &err);
    ok(r.tools == WEIR_JSON_NONE, "tool_choice none hides them");
}

static void test_developer_role(weir_arena_t *arena)
{
    weir_api_request_t r;
    weir_error_t err;
    parse(WEIR_API_CHAT,
          "{\"model\":\"m\",\"messages\":[{\"role\":\"developer\",\"content\":\"A\"},"
          "{\"content\":\"developer\",\"role\":\"user\"},{\"role\":\"dev\\u0065loper\","
          "\"content\":\"B\"}],\"seed\":4}",
          arena, &r, &err);
    uint32_t first = weir_json_at(&r.doc, r.messages, 0);
    uint32_t second = weir_json_at(&r.doc, r.messages, 1);
    uint32_t third = weir_json_at(&r.doc, r.messages, 2);
    ok(weir_json_string_is(&r.doc, weir_json_get(&r.doc, first, "role"), "system") &&
           weir_json_string_is(&r.doc, weir_json_get(&r.doc, third, "role"), "system"),
       "developer becomes system");
    ok(weir_json_string_is(&r.doc, weir_json_get(&r.doc, second, "content"), "developer") &&
           weir_json_string_is(&r.doc, weir_json_get(&r.doc, third, "content"), "B") &&
           r.generate.sampling.seed == 4,
       "and nothing else changes");
}

static void test_completions(weir_arena_t *arena)
{
    weir_api_request_t r;
    weir_error_t err;
    parse(WEIR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":\"hi\"}", arena, &r, &err);
    ok(r.n_prompts == 1 && r.generate.max_tokens == 16 && !r.logprobs, "defaults of completions");
    parse(WEIR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[1,2,3]}", arena, &r, &err);
    is_int(r.n_prompts, 1, "ids are one prompt");
    parse(WEIR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[[1,2],[3]]}", arena, &r, &err);
    is_int(r.n_prompts, 2, "arrays of ids are several");
    parse(WEIR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[\"a\",\"b\",\"\"]}", arena, &r, &err);
    is_int(r.n_prompts, 3, "strings are several");
    parse(WEIR_API_COMPLETION, TEXT_WITH("\"logprobs\":0"), arena, &r, &err);
    ok(r.logprobs && r.generate.top_logprobs == 0 && !r.generate.prompt_logprobs,
       "logprobs 0: the chosen tokens only");
    parse(WEIR_API_COMPLETION, TEXT_WITH("\"logprobs\":5,\"echo\":true,\"max_tokens\":0"), arena,
          &r, &err);
    ok(r.echo && r.generate.prompt_logprobs && r.generate.no_generate &&
           r.generate.top_logprobs == 5,
       "the scoring call");
    parse(WEIR_API_COMPLETION, TEXT_WITH("\"echo\":true"), arena, &r, &err);
    ok(r.echo && !r.generate.prompt_logprobs && !r.generate.no_generate,
       "echo alone needs no scores");
    parse(WEIR_API_GENERATE, "{\"prompt\":\"hi\"}", arena, &r, &err);
    is_int(r.generate.max_tokens, 128, "/generate needs no model and has its own default");
}

static void test_limits(void)
{
    weir_arena_t big;
    weir_buf_t body;
    weir_error_t err;
    weir_api_request_t r;
    weir_arena_init(&big, 0, 0);
    weir_buf_init(&body, &big);
    weir_buf_append_z(&body, "{\"model\":\"m\",\"prompt\":[");
    for (int i = 0; i <= WEIR_API_MAX_PROMPTS; i++) {
        weir_buf_append_z(&body, i == 0 ? "\"x\"" : ",\"x\"");
    }
    weir_buf_append(&body, "]}", 3);
    ok(parse(WEIR_API_COMPLETION, body.data, &big, &r, &err) == WEIR_ERR_INVALID &&
           strcmp(err.field, "prompt") == 0,
       "too many prompts");
    body.len = 0;
    weir_buf_append_z(&body, "{\"model\":\"m\",\"prompt\":\"x\",\"logit_bias\":{");
    for (int i = 0; i <= WEIR_ENGINE_MAX_BIAS; i++) {
        weir_buf_printf(&body, "%s\"%d\":1", i == 0 ? "" : ",", i);
    }
    weir_buf_append(&body, "}}", 3);
    ok(parse(WEIR_API_COMPLETION, body.data, &big, &r, &err) == WEIR_ERR_INVALID &&
           strcmp(err.field, "logit_bias") == 0,
       "too many biases");
    body.len = 0;
    weir_buf_append_z(&body, "{\"model\":\"m\",\"prompt\":\"x\"");
    for (int i = 0; i < 5000; i++) {
        weir_buf_printf(&body, ",\"%d\":0", i);
    }
    weir_buf_append(&body, "}", 2);
    ok(parse(WEIR_API_COMPLETION, body.data, &big, &r, &err) == WEIR_ERR_LIMIT &&
           weir_api_error_status(&err) == 400,
       "too many members: %s", err.message);
    body.len = 0;
    weir_buf_append_z(&body, "{\"model\":\"m\",\"prompt\":\"x\",\"stop\":\"");
    for (int i = 0; i <= WEIR_ENGINE_MAX_STOP_BYTES; i++) {
        weir_buf_append_z(&body, "s");
    }
    weir_buf_append(&body, "\"}", 3);
    ok(parse(WEIR_API_COMPLETION, body.data, &big, &r, &err) == WEIR_ERR_INVALID &&
           strcmp(err.field, "stop") == 0,
       "a stop string that is too long");

    weir_arena_t small;
    weir_arena_init(&small, 256, 512);
    ok(parse(WEIR_API_COMPLETION, "{\"model\":\"m\",\"prompt\":[1,2,3,4,5,6,7,8,9,10,11,12,13]}",
             &small, &r, &err) == WEIR_ERR_LIMIT &&
           weir_api_error_status(&err) == 400 && strcmp(err.code, "request_memory_exceeded") == 0,
       "a request over the arena's limit is the sender's error");
    weir_arena_free(&small);
    weir_arena_free(&big);
}

static void test_segments(weir_arena_t *arena)
{
    weir_str_t out;
    ok(weir_api_decode_segment(WEIR_STR("org%2Fname"), arena, &out) && weir_str_is(out, "org/name"),
       "an encoded slash");
    ok(weir_api_decode_segment(WEIR_STR("a%252Fb"), arena, &out) && weir_str_is(out, "a%2Fb"),
       "decoded once");
    ok(!weir_api_decode_segment(WEIR_STR("a%2"), arena, &out) &&
           !weir_api_decode_segment(WEIR_STR("a%zz"), arena, &out) &&
           !weir_api_decode_segment(WEIR_STR("a%00"), arena, &out) &&
           !weir_api_decode_segment(WEIR_STR("a%ff"), arena, &out),
       "malformed escapes, NUL and bad UTF-8 are refused");
}

static void test_errors(weir_arena_t *arena)
{
    weir_error_t err;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_error_at(&err, WEIR_ERR_INVALID, "n", "invalid_value", "say \"no\"");
    weir_api_write_error(&out, &err);
    is_str(out.data, out.len,
           "{\"error\":{\"message\":\"say \\\"no\\\"\",\"type\":\"invalid_request_error\","
           "\"param\":\"n\",\"code\":\"invalid_value\"}}",
           "the envelope");
    out.len = 0;
    weir_error(&err, WEIR_ERR_BUSY, "full");
    weir_api_write_error(&out, &err);
    is_str(out.data, out.len,
           "{\"error\":{\"message\":\"full\",\"type\":\"rate_limit_error\",\"param\":null,"
           "\"code\":\"rate_limit_exceeded\"}}",
           "param may be null, code is a name");
    err.status = WEIR_ERR_STATE;
    is_int(weir_api_error_status(&err), 503, "not ready is 503");
    err.status = WEIR_ERR_INTERNAL;
    is_int(weir_api_error_status(&err), 500, "a bug is 500");
}

int main(void)
{
    weir_arena_t arena;
    weir_arena_init(&arena, 0, 0);
    test_refusals();
    test_taken();
    test_values(&arena);
    test_developer_role(&arena);
    test_completions(&arena);
    test_limits();
    test_segments(&arena);
    test_errors(&arena);
    weir_arena_free(&arena);
    return done_testing();
}
