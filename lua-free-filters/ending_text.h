/* Texts that endings are made of; private to ending*.c. */
#ifndef WEIR_FILTERS_ENDING_TEXT_H
#define WEIR_FILTERS_ENDING_TEXT_H

#include "lua-free-filters/ending.h"

/* '{"id":...,"object":...,"created":...,"model":...,' of a chunk. */
void weir_ending_chunk_head(const weir_ending_t *e, weir_buf_t *out);

/* An OpenAI usage object. */
void weir_ending_usage(const weir_tokens_t *tokens, uint64_t completion, weir_buf_t *out);

/* An Anthropic message without content; stop_reason NULL: null. */
void weir_ending_message(const weir_ending_t *e, const char *stop_reason, uint64_t input,
                         uint64_t output, weir_buf_t *out);

/* A response without output: in progress (stop NULL), incomplete, or failed. */
void weir_ending_response(const weir_ending_t *e, const weir_stop_t *stop, weir_buf_t *out);

#endif
