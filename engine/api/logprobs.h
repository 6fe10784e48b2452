/* Log probabilities in the two shapes of OpenAI's API. Internal to engine/api. */
#ifndef WEIR_API_LOGPROBS_H
#define WEIR_API_LOGPROBS_H

#include "engine/llm/engine.h"

/* Chat: appends {"token","logprob","bytes","top_logprobs"} of a TOKEN event. */
void weir_logprobs_chat_item(weir_buf_t *out, const weir_tokenizer_t *tok,
                             const weir_event_t *event, uint32_t n_top);

/* Completions: four parallel lists, collected as text without brackets. */
typedef struct {
    weir_buf_t tokens;
    weir_buf_t token_logprobs;
    weir_buf_t top_logprobs;
    weir_buf_t text_offset;
    uint64_t offset; /* characters before the next token */
} weir_logprob_lists_t;

void weir_logprobs_init(weir_logprob_lists_t *lists, weir_arena_t *arena, uint64_t offset);

/* Adds one token; known false: a prompt's first token, which has no probability. */
void weir_logprobs_add(weir_logprob_lists_t *lists, const weir_tokenizer_t *tok,
                       const weir_event_t *event, uint32_t n_top, bool known);

/* Appends the object with the entries of a (may be NULL) and then of b (may be NULL). */
void weir_logprobs_write(weir_buf_t *out, const weir_logprob_lists_t *a,
                         const weir_logprob_lists_t *b);

/* Whether anything could not be kept. */
bool weir_logprobs_failed(const weir_logprob_lists_t *lists);

/* Characters of a text: bytes that begin one. */
uint64_t weir_count_chars(weir_str_t text);

#endif
