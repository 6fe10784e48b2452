/* Inside lua-free-filters/translate only: the parts of a messages request's translation. */
#ifndef WEIR_FILTERS_MESSAGES_TO_CHAT_H
#define WEIR_FILTERS_MESSAGES_TO_CHAT_H

#include "lua-free-filters/translate/translation.h"

weir_status_t weir_messages_tools(const weir_tctx_t *c);

/* Everything beside model, messages, tools and max_tokens. */
weir_status_t weir_messages_options(const weir_tctx_t *c);

#endif
