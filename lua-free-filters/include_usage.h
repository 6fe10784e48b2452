/*
 * The gateway always asks the upstream for usage (stream_options.include_usage). This filter takes
 * it out again when the client did not: of chat and completion chunks it drops the one with empty
 * choices and usage, and cuts the member "usage" out of the others, leaving their other bytes as
 * they are.
 */
#ifndef WEIR_FILTERS_INCLUDE_USAGE_H
#define WEIR_FILTERS_INCLUDE_USAGE_H

#include "lua-free-filters/filter.h"

/* Has no state. Use it for WEIR_PROTOCOL_CHAT and WEIR_PROTOCOL_COMPLETIONS streams, behind the
 * usage filter. */
weir_filter_t weir_include_usage_filter(void);

#endif
