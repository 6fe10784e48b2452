#include "engine/api/request.h"

#include "engine/api/fields.h"

#include <stdio.h>

#define DEFAULT_COMPLETION_TOKENS 16 /* OpenAI's */
#define DEFAULT_GENERATE_TOKENS   128

enum {
    CHAT = 1 << WEIR_API_CHAT,
    COMPLETION = 1 << WEIR_API_COMPLETION,
    GENERATE = 1 << WEIR_API_GENERATE
};
#define ALL (CHAT | COMPLETION | GENERATE)

/* Members that would change the answer. Absent, null, false, 0, "", [] and {} ask for nothing. */
static const struct {
    const char *name;
    const char *what;
    unsigned kinds;
} refused[] = {
    {"functions", "the deprecated form of \"tools\"", CHAT},
    {"audio", "audio output", CHAT},
    {"web_search_options", "web search", CHAT},
    {"continue_final_message", "continuing the last message", CHAT},
    {"chat_template", "a template from the request", CHAT},
    {"documents", "passing documents to the template", CHAT},
    {"suffix", "inserting before a suffix", COMPLETION | GENERATE},
    {"logprobs", "asking for log probabilities here", GENERATE},
    {"top_logprobs", "asking for log probabilities here", COMPLETION | GENERATE},
    {"prompt_logprobs", "log probabilities of the prompt by this name", ALL},
    {"echo", "repeating the prompt here", CHAT | GENERATE},
    {"best_of", "choosing among hidden answers", CHAT | GENERATE},
    {"use_beam_search", "beam search", ALL},
    {"min_tokens", "a least length", ALL},
    {"bad_words", "forbidding words", ALL},
    {"allowed_token_ids", "restricting the vocabulary", ALL},
    {"truncate_prompt_tokens", "cutting the prompt", ALL},
    {"include_stop_str_in_output", "returning the stop string", ALL},
    {"return_token_ids", "returning token ids", ALL},
    {"return_tokens_as_token_ids", "returning token ids", ALL},
    {"structured_outputs", "constrained output", ALL},
    {"guided_json", "constrained output", ALL},
    {"guided_regex", "constrained output", ALL},
    {"guided_choice", "constrained output", ALL},
    {"guided_grammar", "constrained output", ALL},
    {"grammar", "constrained output", ALL},
    {"json_schema", "constrained output", ALL},
};

/* Whether a member asks for anything at all. */
static bool asks(const weir_fields_t *f, uint32_t node)
{
    double value;
    switch (weir_json_type(f->doc, node)) {
    case WEIR_JSON_NULL:
    case WEIR_JSON_FALSE:
        return false;
    case WEIR_JSON_NUMBER:
        return !weir_json_double(f->doc, node, &value) || value != 0;
    case WEIR_JSON_STRING:
        return weir_json_raw(f->doc, node).len > 2;
    case WEIR_JSON_ARRAY:
    case WEIR_JSON_OBJECT:
        return f->doc->nodes[node].size > 0;
    case WEIR_JSON_TRUE:
        break;
    }
    return true;
}

static weir_status_t check_response_format(const weir_fields_t *f)
{
    uint32_t format;
    weir_status_t rc = weir_field_node(f, "response_format", WEIR_JSON_OBJECT, &format);
    if (rc != WEIR_OK || format == WEIR_JSON_NONE) {
        return rc;
    }
    uint32_t type = weir_field(f, format, "type");
    if (type == WEIR_JSON_NONE || weir_json_type(f->doc, type) != WEIR_JSON_STRING) {
        return weir_field_error(f, "response_format", "must have a string \"type\"");
    }
    if (weir_json_string_is(f->doc, type, "text")) {
        return WEIR_OK;
    }
    if (weir_json_string_is(f->doc, type, "json_object") ||
        weir_json_string_is(f->doc, type, "json_schema")) {
        return weir_field_unsupported(f, "response_format", true, "a type other than text");
    }
    return weir_field_error(f, "response_format", "type must be text, json_object or json_schema");
}

weir_status_t weir_refuse_unsupported(const weir_fields_t *f, weir_api_kind_t kind)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        uint32_t node = weir_field(f, 0, refused[i].name);
        if ((refused[i].kinds & (1U << kind)) != 0 && node != WEIR_JSON_NONE && asks(f, node)) {
            return weir_field_unsupported(f, refused[i].name, false, refused[i].what);
        }
    }
    return check_response_format(f);
}

static weir_status_t parse_stream(const weir_fields_t *f, weir_api_request_t *out)
{
    uint32_t options;
    bool obfuscation = false; /* padding against length analysis; not done, costs nothing to skip */
    weir_status_t rc;
    if ((rc = weir_field_bool(f, 0, "stream", &out->stream)) != WEIR_OK ||
        (rc = weir_field_node(f, "stream_options", WEIR_JSON_OBJECT, &options)) != WEIR_OK ||
        options == WEIR_JSON_NONE) {
        return rc;
    }
    if (weir_field_bool(f, options, "include_usage", &out->include_usage) != WEIR_OK) {
        return weir_field_error(f, "stream_options.include_usage", "must be true or false");
    }
    if (weir_field_bool(f, options, "include_obfuscation", &obfuscation) != WEIR_OK) {
        return weir_field_error(f, "stream_options.include_obfuscation", "must be true or false");
    }
    return WEIR_OK;
}

static bool is_ids(const weir_fields_t *f, uint32_t array)
{
    return f->doc->nodes[array].size > 0 && weir_json_type(f->doc, array + 1) == WEIR_JSON_NUMBER;
}

/* "prompt": a string, strings, ids, or arrays of ids; counts the prompts. */
static weir_status_t parse_prompt(const weir_fields_t *f, weir_api_request_t *out)
{
    uint32_t node = weir_field(f, 0, "prompt");
    out->prompt = node;
    out->n_prompts = 1;
    if (node == WEIR_JSON_NONE) {
        return weir_field_error(f, "prompt", "is required");
    }
    if (weir_json_type(f->doc, node) == WEIR_JSON_STRING) {
        return WEIR_OK;
    }
    if (weir_json_type(f->doc, node) != WEIR_JSON_ARRAY || f->doc->nodes[node].size == 0) {
        return weir_field_error(f, "prompt",
                                "must be a string, or a non-empty array of strings, "
                                "of token ids, or of arrays of token ids");
    }
    if (is_ids(f, node)) {
        return WEIR_OK;
    }
    uint32_t n = f->doc->nodes[node].size;
    if (out->kind == WEIR_API_GENERATE && n > 1) {
        return weir_field_unsupported(f, "prompt", true, "several prompts in one request here");
    }
    if (n > WEIR_API_MAX_PROMPTS) {
        return weir_field_error(f, "prompt", "has %u prompts, at most %d are taken", (unsigned)n,
                                WEIR_API_MAX_PROMPTS);
    }
    weir_json_type_t type = weir_json_type(f->doc, node + 1);
    uint32_t element = node + 1;
    for (uint32_t i = 0; i < n; i++, element = f->doc->nodes[element].next) {
        weir_json_type_t t = weir_json_type(f->doc, element);
        if (t != type || (t != WEIR_JSON_STRING && (t != WEIR_JSON_ARRAY || !is_ids(f, element)))) {
            return weir_field_error(f, "prompt",
                                    "[%u] must be a string or an array of token ids, "
                                    "as the elements before it",
                                    (unsigned)i);
        }
    }
    out->n_prompts = n;
    return WEIR_OK;
}

static weir_status_t parse_best_of(const weir_fields_t *f, uint32_t n)
{
    int64_t best_of = n;
    weir_status_t rc = weir_field_int(f, "best_of", 1, 128, false, &best_of);
    if (rc != WEIR_OK) {
        return rc;
    }
    if (best_of < (int64_t)n) {
        return weir_field_error(f, "best_of", "must be at least \"n\"");
    }
    return best_of > (int64_t)n ? weir_field_unsupported(f, "best_of", true, "more than \"n\"")
                                : WEIR_OK;
}

static weir_status_t parse_completion(const weir_fields_t *f, weir_api_request_t *out)
{
    weir_generate_t *g = &out->generate;
    int64_t max_tokens = DEFAULT_COMPLETION_TOKENS;
    int64_t logprobs = -1;
    weir_status_t rc;

    if ((rc = parse_prompt(f, out)) != WEIR_OK ||
        (rc = weir_field_bool(f, 0, "echo", &out->echo)) != WEIR_OK ||
        (rc = weir_field_int(f, "max_tokens", 0, UINT32_MAX, true, &max_tokens)) != WEIR_OK ||
        (rc = weir_field_int(f, "logprobs", 0, 5, false, &logprobs)) != WEIR_OK ||
        (rc = parse_best_of(f, g->n)) != WEIR_OK) {
        return rc;
    }
    if (max_tokens == 0 && !out->echo) {
        return weir_field_error(f, "max_tokens",
                                "must be at least 1 (0 only with \"echo\": true, "
                                "to score the prompt)");
    }
    out->logprobs = logprobs >= 0;
    g->max_tokens = (uint32_t)max_tokens;
    g->logprobs = out->logprobs;
    g->top_logprobs = out->logprobs ? (uint32_t)logprobs : 0;
    g->no_generate = max_tokens == 0;
    g->prompt_logprobs = out->echo && (out->logprobs || g->no_generate);
    return WEIR_OK;
}

static weir_status_t parse_generate(const weir_fields_t *f, weir_api_request_t *out)
{
    int64_t max_tokens = DEFAULT_GENERATE_TOKENS;
    weir_status_t rc = parse_prompt(f, out);
    if (rc != WEIR_OK ||
        (rc = weir_field_int(f, "max_tokens", 1, UINT32_MAX, true, &max_tokens)) != WEIR_OK) {
        return rc;
    }
    out->generate.max_tokens = (uint32_t)max_tokens;
    return out->generate.n > 1
               ? weir_field_unsupported(f, "n", true, "more than one answer to a prompt here")
               : WEIR_OK;
}

static weir_status_t parse(weir_api_kind_t kind, weir_str_t body, const weir_api_names_t *names,
                           weir_arena_t *arena, weir_api_request_t *out, weir_error_t *err)
{
    weir_fields_t f = {.arena = arena, .err = err};
    weir_status_t rc;

    memset(out, 0, sizeof(*out));
    out->kind = kind;
    out->messages = out->tools = out->kwargs = out->prompt = WEIR_JSON_NONE;
    out->n_prompts = 1;
    rc = weir_fields_open(&f, body, names, kind != WEIR_API_GENERATE, &out->doc);
    if (rc == WEIR_OK && kind == WEIR_API_CHAT) {
        weir_str_t text;
        rc = weir_rewrite_roles(&f, body, &text);
        if (rc == WEIR_OK && text.data != body.data) {
            rc = weir_fields_scan(&f, text, &out->doc);
        }
    }
    if (rc != WEIR_OK || (rc = weir_refuse_unsupported(&f, kind)) != WEIR_OK ||
        (rc = weir_parse_sampling(&f, &out->generate)) != WEIR_OK ||
        (rc = parse_stream(&f, out)) != WEIR_OK ||
        (rc = weir_field_string(&f, "user", &out->user)) != WEIR_OK) {
        return rc;
    }
    switch (kind) {
    case WEIR_API_CHAT:
        return weir_parse_chat(&f, out);
    case WEIR_API_COMPLETION:
        return parse_completion(&f, out);
    case WEIR_API_GENERATE:
        return parse_generate(&f, out);
    }
    return weir_error(err, WEIR_ERR_INTERNAL, "unknown kind of request");
}

weir_status_t weir_api_parse(weir_api_kind_t kind, weir_str_t body, const weir_api_names_t *names,
                             weir_arena_t *arena, weir_api_request_t *out, weir_error_t *err)
{
    return weir_request_memory(parse(kind, body, names, arena, out, err), arena, err);
}
