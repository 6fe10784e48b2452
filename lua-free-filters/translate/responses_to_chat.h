/* Inside lua-free-filters/translate only: the parts of a responses request's translation. */
#ifndef WEIR_FILTERS_RESPONSES_TO_CHAT_H
#define WEIR_FILTERS_RESPONSES_TO_CHAT_H

#include "lua-free-filters/translate/chat_to_messages.h"

/* The elements of messages that input stands for. */
weir_status_t weir_responses_input(const weir_tctx_t *c);

#endif
