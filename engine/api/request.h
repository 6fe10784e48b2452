/*
 * OpenAI-shaped requests: reads a body into what the engine needs. Two steps: parse looks at the
 * JSON only, encode needs the tokenizer and the chat template. Nothing that changes the meaning of
 * a request is ignored: what is not done is refused by name (field in weir_error_t.field, code
 * unsupported_parameter or unsupported_value); unknown fields and null are as if absent.
 */
#ifndef WEIR_API_REQUEST_H
#define WEIR_API_REQUEST_H

#include "engine/llm/engine.h"

/* Most prompts in one completions request. */
#define WEIR_API_MAX_PROMPTS 128

/* Most tokens that /tokenize writes and /detokenize reads, whatever the context. */
#define WEIR_API_MAX_TOKENIZE 65536

typedef enum {
    WEIR_API_CHAT,       /* POST /v1/chat/completions */
    WEIR_API_COMPLETION, /* POST /v1/completions */
    WEIR_API_GENERATE    /* POST /generate */
} weir_api_kind_t;

/* The names under which one model is served. */
typedef struct {
    weir_str_t id;
    const weir_str_t *aliases;
    size_t n_aliases;
} weir_api_names_t;

/* What encode needs of a loaded model. */
typedef struct {
    const weir_tokenizer_t *tokenizer;
    const weir_chat_template_t *chat_template; /* NULL: the file has none */
    uint32_t context;                          /* longest sequence in tokens */
} weir_api_model_t;

typedef struct {
    const int32_t *ids;
    size_t n_ids;
    weir_str_t text; /* echo only: the prompt as text */
} weir_api_prompt_t;

typedef struct {
    weir_api_kind_t kind;
    weir_json_doc_t doc;
    bool stream;
    bool include_usage; /* stream_options.include_usage */
    bool echo;          /* completions: the prompt comes before the answer */
    bool logprobs;      /* the answer carries log probabilities */
    weir_str_t user;    /* as sent, or empty */

    uint32_t messages; /* chat: node indices of doc; WEIR_JSON_NONE when absent */
    uint32_t tools;
    uint32_t kwargs;
    bool add_generation_prompt;

    uint32_t prompt; /* completions, generate: node index */
    uint32_t n_prompts;
    weir_api_prompt_t *prompts; /* n_prompts, filled by encode */

    /* All but prompt and n_prompt, which differ from prompt to prompt. Choice c of prompt p is
     * choices[p * n + c] of the answer. */
    weir_generate_t generate;
} weir_api_request_t;

/*
 * Reads the body of a request of this kind. names decides about "model", which chat and completions
 * require. Everything in *out lives in arena or in body, which must outlive it. Errors: INVALID
 * (malformed JSON, wrong type or range), UNSUPPORTED, LIMIT, NOT_FOUND (model, code
 * model_not_found), NOMEM. In a bounded arena memory that runs out is LIMIT, here and in the calls
 * below, with code request_memory_exceeded. Thread-safe.
 */
weir_status_t weir_api_parse(weir_api_kind_t kind, weir_str_t body, const weir_api_names_t *names,
                             weir_arena_t *arena, weir_api_request_t *out, weir_error_t *err);

/*
 * Renders and tokenizes the prompts. now is Unix time for templates that ask for it. Errors:
 * INVALID (field at fault; code context_length_exceeded when a prompt leaves no room for an
 * answer), UNSUPPORTED (no chat template), NOMEM. The work is bounded by the context.
 */
weir_status_t weir_api_encode(weir_api_request_t *req, const weir_api_model_t *model, time_t now,
                              weir_arena_t *arena, weir_error_t *err);

/* POST /tokenize: {"prompt", "add_special_tokens", "parse_special"} to {"tokens", "count",
 * "max_model_len"}, appended to out. Errors as above. */
weir_status_t weir_api_tokenize(weir_str_t body, const weir_api_names_t *names,
                                const weir_api_model_t *model, weir_arena_t *arena, weir_buf_t *out,
                                weir_error_t *err);

/* POST /detokenize: {"tokens", "skip_special_tokens"} to {"prompt"}. */
weir_status_t weir_api_detokenize(weir_str_t body, const weir_api_names_t *names,
                                  const weir_api_model_t *model, weir_arena_t *arena,
                                  weir_buf_t *out, weir_error_t *err);

/* Decodes %XX of one path segment, once ("org%2Fname"); false for a malformed escape, a NUL or
 * invalid UTF-8. *out lies in arena. */
bool weir_api_decode_segment(weir_str_t raw, weir_arena_t *arena, weir_str_t *out);

#endif
