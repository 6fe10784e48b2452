/*
 * Bodies of all endpoints: parsed, encoded with a tiny tokenizer and a chat template, and answered.
 * What is accepted must be within the engine's limits; what is refused must say why; every answer
 * must be JSON that our own scanner accepts. The first byte chooses the endpoint, the second the
 * events.
 */
#include <stdlib.h>

#include "engine/api/answer.h"
#include "engine/api/errors.h"
#include "t/unit/tokenizer_vocabulary.h"

#define CONTEXT 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static weir_api_model_t model;
static const weir_api_names_t names = {{"m", 1}, NULL, 0};

static void require(bool cond)
{
    if (!cond) {
        abort();
    }
}

static void open_model(void)
{
    static const char source[] =
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    static test_vocabulary_t v;
    weir_chat_template_t *chat;
    weir_tokenizer_t *tok;
    weir_arena_t arena;
    weir_error_t err;
    weir_arena_init(&arena, 0, 0);
    test_vocabulary_init(&v, &arena);
    v.vocab.bos = test_add_token(&v, WEIR_STR("<|im_start|>"), WEIR_TOKEN_CONTROL);
    v.vocab.eos = test_add_token(&v, WEIR_STR("<|im_end|>"), WEIR_TOKEN_CONTROL);
    v.vocab.add_bos = true;
    test_add_merge(&v, WEIR_STR("h"), WEIR_STR("e"));
    test_add_merge(&v, WEIR_STR("l"), WEIR_STR("l"));
    require(weir_tokenizer_build(&v.vocab, &tok, &err) == WEIR_OK);
    require(weir_chat_template_open(WEIR_STR(source), WEIR_STR("<|im_start|>"),
                                    WEIR_STR("<|im_end|>"), &chat, &err) == WEIR_OK);
    weir_arena_free(&arena);
    model = (weir_api_model_t){tok, chat, CONTEXT};
}

/* A refusal can be written as an envelope and has a reason. */
static void check_error(const weir_error_t *err, weir_arena_t *arena)
{
    weir_json_doc_t doc;
    weir_buf_t out;
    require(err->status != WEIR_OK && err->message[0] != '\0');
    weir_buf_init(&out, arena);
    weir_api_write_error(&out, err);
    require(weir_json_parse(out.data, out.len, NULL, arena, &doc, NULL) == WEIR_OK);
}

static void check_request(const weir_api_request_t *req)
{
    const weir_generate_t *g = &req->generate;
    require(g->n >= 1 && g->n <= WEIR_ENGINE_MAX_CHOICES && g->n_stops <= WEIR_ENGINE_MAX_STOPS);
    require(g->n_stop_tokens <= WEIR_ENGINE_MAX_STOPS);
    require(g->top_logprobs <= WEIR_ENGINE_MAX_TOP_LOGPROBS);
    require(g->sampling.n_bias <= WEIR_ENGINE_MAX_BIAS);
    require(g->sampling.temperature >= 0 && g->sampling.temperature <= 2);
    require(g->sampling.top_p >= 0 && g->sampling.top_p <= 1 && g->sampling.top_k >= 0);
    for (uint32_t p = 0; p < req->n_prompts; p++) {
        require(req->prompts[p].n_ids >= 1 && req->prompts[p].n_ids <= CONTEXT);
        for (size_t i = 0; i < req->prompts[p].n_ids; i++) {
            require((uint32_t)req->prompts[p].ids[i] < weir_tokenizer_vocab_size(model.tokenizer));
        }
    }
}

/* Every line of a stream is empty or a frame of JSON or [DONE]; a whole answer is JSON. */
static void check_answer(const weir_api_request_t *req, weir_str_t text, weir_arena_t *arena)
{
    weir_json_doc_t doc;
    if (!req->stream) {
        require(weir_json_parse(text.data, text.len, NULL, arena, &doc, NULL) == WEIR_OK);
        return;
    }
    while (text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        if (end == NULL || end[1] != '\n') {
            abort();
        }
        size_t len = (size_t)(end - text.data);
        require(len > 6 && memcmp(text.data, "data: ", 6) == 0);
        require(memcmp(text.data + 6, "[DONE]", 6) == 0 ||
                weir_json_parse(text.data + 6, len - 6, NULL, arena, &doc, NULL) == WEIR_OK);
        text = weir_str(text.data + len + 2, text.len - len - 2);
    }
}

static void answer(const weir_api_request_t *req, uint8_t seed, weir_arena_t *arena)
{
    static const char *const texts[] = {"", "a", "\n\r\xE2\x80\xA9", "\xF0\x9F\x98\x80\""};
    weir_api_identity_t who = {WEIR_STR("1"), WEIR_STR("m"), WEIR_STR("fp"), 5, model.tokenizer};
    weir_api_answer_t *a;
    weir_buf_t out;
    require(weir_api_answer_open(req, &who, arena, &a) == WEIR_OK);
    weir_buf_init(&out, arena);
    for (uint32_t i = 0; i < req->n_prompts * req->generate.n; i++) {
        weir_event_t e = {.type = WEIR_EVENT_STARTED, .choice = i % req->generate.n};
        for (uint32_t k = 0; k < 4; k++) {
            require(weir_api_answer_event(a, i / req->generate.n, &e, &out) == WEIR_OK);
            seed = (uint8_t)(seed * 37 + 11);
            e.type = k == 2 ? WEIR_EVENT_FINISH
                            : (seed & 1 ? WEIR_EVENT_TOKEN : WEIR_EVENT_PROMPT_TOKEN);
            e.finish = k == 2 ? WEIR_FINISH_STOP : WEIR_FINISH_NONE;
            e.token = seed;
            e.n_top = 1;
            e.top[0] = (weir_logprob_t){seed / 2, -1};
            e.text_len = (uint32_t)strlen(texts[seed % 4]);
            memcpy(e.text, texts[seed % 4], e.text_len);
        }
    }
    require(weir_api_answer_end(a, &out) == WEIR_OK);
    check_answer(req, weir_str(out.data, out.len), arena);
}

static void convert(uint8_t which, weir_str_t body, weir_arena_t *arena)
{
    weir_error_t err = {0};
    weir_json_doc_t doc;
    weir_buf_t out;
    weir_buf_init(&out, arena);
    weir_status_t rc = which == 3 ? weir_api_tokenize(body, &names, &model, arena, &out, &err)
                                  : weir_api_detokenize(body, &names, &model, arena, &out, &err);
    if (rc != WEIR_OK) {
        check_error(&err, arena);
    } else {
        require(weir_json_parse(out.data, out.len, NULL, arena, &doc, NULL) == WEIR_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (model.tokenizer == NULL) {
        open_model();
    }
    if (size < 2) {
        return 0;
    }
    weir_arena_t arena;
    weir_arena_init(&arena, 0, (size_t)64 << 20);
    weir_str_t body = weir_str((const char *)data + 2, size - 2);
    uint8_t which = data[0] % 5;
    if (which > WEIR_API_GENERATE) {
        convert(which, body, &arena);
    } else {
        weir_api_request_t req;
        weir_error_t err = {0};
        if (weir_api_parse((weir_api_kind_t)which, body, &names, &arena, &req, &err) != WEIR_OK ||
            weir_api_encode(&req, &model, 0, &arena, &err) != WEIR_OK) {
            check_error(&err, &arena);
        } else {
            check_request(&req);
            answer(&req, data[1], &arena);
        }
    }
    weir_arena_free(&arena);
    return 0;
}
