/* Inside lua-free-filters/translate only: the parts of a chat request's translation. */
#ifndef WEIR_FILTERS_CHAT_TO_MESSAGES_H
#define WEIR_FILTERS_CHAT_TO_MESSAGES_H

#include "lua-free-filters/translate/translation.h"

/* tools and tool_choice. */
weir_status_t weir_chat_tools(const weir_tctx_t *c);

/* Everything else beside model and messages. */
weir_status_t weir_chat_options(const weir_tctx_t *c);

/* True when the name may be called: tool_choice has no list of allowed tools, or it is on it. path:
 * how an element of the list holds its name ("function" or NULL for the element itself). */
bool weir_tool_allowed(const weir_tctx_t *c, uint32_t allowed, const char *path, uint32_t name);

#endif
