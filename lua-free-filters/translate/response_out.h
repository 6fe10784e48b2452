/* Inside lua-free-filters/translate only: parts of a response object that whole answers and streams
 * write alike. */
#ifndef WEIR_FILTERS_RESPONSE_OUT_H
#define WEIR_FILTERS_RESPONSE_OUT_H

#include "lua-free-filters/translate/translation.h"

/* What a response object says of itself; all strings are JSON. */
typedef struct {
    weir_str_t id;
    weir_str_t model;
    weir_str_t service_tier; /* empty: null */
    int64_t created;
    const char *status;          /* "in_progress", "completed", "incomplete" */
    const char *incomplete;      /* reason, or NULL */
    const weir_tokens_t *tokens; /* NULL: usage null */
} weir_response_t;

/* Everything of the object but output, from '{' on; the caller adds "output" and '}'. */
void weir_response_begin(const weir_translation_t *tr, const weir_response_t *r, weir_buf_t *out);

/* The status and reason that a chat finish reason stands for. */
void weir_response_status(const weir_json_doc_t *doc, uint32_t finish, weir_response_t *r);

/* An item's id: prefix, the response's id less its prefix, '_', index. */
void weir_item_id(weir_str_t response_id, const char *prefix, uint32_t index, weir_buf_t *out);

/* The logprobs of chat (an array of items), as responses have them. */
void weir_write_logprobs(const weir_json_doc_t *doc, uint32_t logprobs, weir_buf_t *out);

#endif
