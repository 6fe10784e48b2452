/* What chat.c and chat_values.c share. */
#ifndef WEIR_LLM_CHAT_INTERNAL_H
#define WEIR_LLM_CHAT_INTERNAL_H

#include "engine/jinja/jinja.h"
#include "engine/llm/chat.h"

/* How a template wants its messages. */
typedef struct {
    bool takes_parts;       /* it walks over content parts itself */
    bool takes_json_string; /* it writes tool_calls[].function.arguments as a string */
    bool takes_no_null;     /* it joins content to text, which null cannot be */
} weir_chat_shape_t;

/* Sets the variables of a chat request. */
weir_status_t weir_chat_set_values(weir_jinja_t *in, const weir_chat_request_t *req,
                                   const weir_chat_shape_t *shape, weir_error_t *err);

#endif
