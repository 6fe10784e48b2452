/*
 * Chat prompts: the template that the model file carries, rendered over messages with provenance,
 * so that text of the caller's never becomes a special token.
 */
#ifndef WEIR_LLM_CHAT_H
#define WEIR_LLM_CHAT_H

#include <time.h>

#include "engine/base/json.h"
#include "engine/llm/tokenizer.h"

typedef struct weir_chat_template weir_chat_template_t;

/*
 * Compiles the template. bos and eos are the literal texts that templates use as bos_token and
 * eos_token. Errors: INVALID with line and column, UNSUPPORTED naming the construct, LIMIT, NOMEM.
 * The result is immutable and may be shared among threads; close frees it.
 */
weir_status_t weir_chat_template_open(weir_str_t source, weir_str_t bos, weir_str_t eos,
                                      weir_chat_template_t **out, weir_error_t *err);

/* From tokenizer.chat_template of the file; NOT_FOUND when it has none. */
weir_status_t weir_chat_template_from_gguf(const weir_gguf_t *gguf, const weir_tokenizer_t *tok,
                                           weir_chat_template_t **out, weir_error_t *err);
void weir_chat_template_close(weir_chat_template_t *tmpl);

typedef struct {
    const weir_json_doc_t *doc; /* the request; node indices below refer to it */
    uint32_t messages;          /* array node */
    uint32_t tools;             /* array node or WEIR_JSON_NONE */
    uint32_t kwargs;            /* object node of further variables or WEIR_JSON_NONE */
    bool add_generation_prompt;
    time_t now; /* for strftime_now, UTC */
} weir_chat_request_t;

typedef struct {
    weir_str_t text;
    const weir_text_span_t *spans; /* trusted: written by the template; else from the request */
    size_t n_spans;
} weir_prompt_t;

/*
 * Renders. Content given as an array of {"type":"text","text":...} parts is handed to the template
 * as one joined string unless the template itself iterates over content parts. Errors: INVALID
 * (a raise_exception's text, or a run-time error, with field "messages"), LIMIT (steps or output
 * bytes), NOMEM. Everything lies in arena.
 */
weir_status_t weir_chat_render(const weir_chat_template_t *tmpl, const weir_chat_request_t *req,
                               weir_arena_t *arena, weir_prompt_t *out, weir_error_t *err);

#endif
