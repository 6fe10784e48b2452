/* From a parsed request to token ids. */
#include "engine/api/fields.h"

#include <stdio.h>

static weir_status_t too_long(const weir_api_request_t *req, const weir_api_model_t *model,
                              size_t tokens, weir_error_t *err)
{
    const char *field = req->kind == WEIR_API_CHAT ? "messages" : "prompt";
    if (tokens > 0) {
        return weir_error_at(err, WEIR_ERR_INVALID, field, "context_length_exceeded",
                             "context_length_exceeded: this model's context is %u tokens, but "
                             "\"%s\" has %zu, which leaves no room for an answer; make it shorter",
                             (unsigned)model->context, field, tokens);
    }
    return weir_error_at(err, WEIR_ERR_INVALID, field, "context_length_exceeded",
                         "context_length_exceeded: this model's context is %u tokens, but \"%s\" "
                         "has more; make it shorter",
                         (unsigned)model->context, field);
}

/* Whether a prompt of n tokens fits; scoring alone needs no room for an answer. */
static bool fits(const weir_api_request_t *req, const weir_api_model_t *model, size_t n)
{
    return req->generate.no_generate ? n <= model->context : n < model->context;
}

static weir_status_t encode_text(const weir_api_request_t *req, const weir_api_model_t *model,
                                 const weir_prompt_t *text, bool add_bos, weir_arena_t *arena,
                                 weir_api_prompt_t *out, weir_error_t *err)
{
    int32_t *ids;
    weir_status_t rc =
        weir_tokenizer_encode(model->tokenizer, text->text, text->spans, text->n_spans, add_bos,
                              (size_t)model->context + 1, arena, &ids, &out->n_ids, err);
    if (rc == WEIR_ERR_LIMIT) {
        return too_long(req, model, 0, err);
    }
    if (rc != WEIR_OK) {
        return rc;
    }
    out->ids = ids;
    return fits(req, model, out->n_ids) ? WEIR_OK : too_long(req, model, out->n_ids, err);
}

static weir_status_t encode_chat(weir_api_request_t *req, const weir_api_model_t *model, time_t now,
                                 weir_arena_t *arena, weir_error_t *err)
{
    weir_chat_request_t chat = {.doc = &req->doc,
                                .messages = req->messages,
                                .tools = req->tools,
                                .kwargs = req->kwargs,
                                .add_generation_prompt = req->add_generation_prompt,
                                .now = now};
    weir_prompt_t prompt;
    if (model->chat_template == NULL) {
        return weir_error_at(err, WEIR_ERR_UNSUPPORTED, "messages", "unsupported_parameter",
                             "messages: this model's file has no chat template; use "
                             "/v1/completions");
    }
    weir_status_t rc = weir_chat_render(model->chat_template, &chat, arena, &prompt, err);
    if (rc == WEIR_ERR_LIMIT) {
        return weir_error_at(err, WEIR_ERR_INVALID, "messages", "context_length_exceeded",
                             "context_length_exceeded: \"messages\" are too long for the chat "
                             "template; make them shorter");
    }
    if (rc != WEIR_OK) {
        return rc;
    }
    /* The template writes the bos token itself, if the model wants one. */
    return encode_text(req, model, &prompt, false, arena, &req->prompts[0], err);
}

static weir_status_t encode_ids(const weir_fields_t *f, weir_api_request_t *req,
                                const weir_api_model_t *model, uint32_t node,
                                weir_api_prompt_t *out)
{
    int32_t *ids;
    weir_status_t rc;
    if (!fits(req, model, f->doc->nodes[node].size)) {
        return too_long(req, model, f->doc->nodes[node].size, f->err);
    }
    rc = weir_field_ids(f, node, "prompt", weir_tokenizer_vocab_size(model->tokenizer),
                        model->context, &ids, &out->n_ids);
    if (rc != WEIR_OK) {
        return rc;
    }
    out->ids = ids;
    if (req->echo) {
        weir_buf_t text;
        weir_buf_init(&text, f->arena);
        rc = weir_tokenizer_decode(model->tokenizer, ids, out->n_ids, true, &text);
        if (rc != WEIR_OK || text.failed) {
            return weir_error(f->err, WEIR_ERR_NOMEM, "out of memory for the echoed prompt");
        }
        out->text = weir_str(text.data, text.len);
    }
    return WEIR_OK;
}

static weir_status_t encode_prompt(const weir_fields_t *f, weir_api_request_t *req,
                                   const weir_api_model_t *model, uint32_t node,
                                   weir_api_prompt_t *out)
{
    weir_prompt_t prompt = {0};
    if (weir_json_type(f->doc, node) == WEIR_JSON_ARRAY) {
        return encode_ids(f, req, model, node, out);
    }
    if (weir_json_string(f->doc, node, f->arena, &prompt.text) != WEIR_OK) {
        return weir_error(f->err, WEIR_ERR_NOMEM, "out of memory for \"prompt\"");
    }
    weir_status_t rc = encode_text(req, model, &prompt, true, f->arena, out, f->err);
    if (rc == WEIR_OK && out->n_ids == 0) {
        return weir_field_error(f, "prompt", "is empty, and this model has no token to begin with");
    }
    out->text = prompt.text;
    return rc;
}

static weir_status_t check_ids(const weir_fields_t *f, const weir_generate_t *g, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < g->sampling.n_bias; i++) {
        if ((uint32_t)g->sampling.bias[i].token >= n_vocab) {
            return weir_field_error(f, "logit_bias", "%d is no token id: the vocabulary has %u",
                                    (int)g->sampling.bias[i].token, (unsigned)n_vocab);
        }
    }
    for (uint32_t i = 0; i < g->n_stop_tokens; i++) {
        if ((uint32_t)g->stop_tokens[i] >= n_vocab) {
            return weir_field_error(f, "stop_token_ids", "%d is no token id: the vocabulary has %u",
                                    (int)g->stop_tokens[i], (unsigned)n_vocab);
        }
    }
    return WEIR_OK;
}

static weir_status_t encode(weir_api_request_t *req, const weir_api_model_t *model, time_t now,
                            weir_arena_t *arena, weir_error_t *err)
{
    weir_fields_t f = {.doc = &req->doc, .arena = arena, .err = err};
    weir_status_t rc = check_ids(&f, &req->generate, weir_tokenizer_vocab_size(model->tokenizer));
    if (rc != WEIR_OK) {
        return rc;
    }
    req->prompts = weir_arena_calloc(arena, req->n_prompts, sizeof(*req->prompts));
    if (req->prompts == NULL) {
        return weir_error(err, WEIR_ERR_NOMEM, "out of memory for the prompts");
    }
    if (req->kind == WEIR_API_CHAT) {
        rc = encode_chat(req, model, now, arena, err);
        if (rc == WEIR_OK && req->prompts[0].n_ids == 0) {
            rc = weir_field_error(&f, "messages", "the chat template made an empty prompt of them");
        }
        return rc;
    }
    uint32_t node = req->prompt;
    bool array = weir_json_type(&req->doc, node) == WEIR_JSON_ARRAY;
    if (array && weir_json_type(&req->doc, node + 1) != WEIR_JSON_NUMBER) {
        node++; /* the first of several prompts */
    }
    for (uint32_t i = 0; i < req->n_prompts; i++, node = req->doc.nodes[node].next) {
        rc = encode_prompt(&f, req, model, node, &req->prompts[i]);
        if (rc != WEIR_OK) {
            return rc;
        }
    }
    return WEIR_OK;
}

weir_status_t weir_api_encode(weir_api_request_t *req, const weir_api_model_t *model, time_t now,
                              weir_arena_t *arena, weir_error_t *err)
{
    return weir_request_memory(encode(req, model, now, arena, err), arena, err);
}
