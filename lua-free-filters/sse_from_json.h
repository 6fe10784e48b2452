/*
 * `stream: true` answered by one JSON document: turns the document into the stream that it stands
 * for, as an upstream of that protocol would have sent it, with one delta per part. An error
 * document becomes the protocol's error event. What is not understood is an error event as well:
 * a client that asked for a stream can read nothing else.
 */
#ifndef WEIR_FILTERS_SSE_FROM_JSON_H
#define WEIR_FILTERS_SSE_FROM_JSON_H

#include "lua-free-filters/filter.h"

/* Passes the events of the document to the sink. Errors: NOMEM. */
weir_status_t weir_sse_from_json(weir_protocol_t protocol, weir_item_t *document,
                                 const char *request_id, weir_sink_t *sink);

#endif
