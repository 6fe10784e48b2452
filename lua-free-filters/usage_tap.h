/*
 * Usage, model and progress of an answer (usage.h) without a pipeline around it: watches a body,
 * whole or streamed, however it is cut into pieces. Never changes a byte, never fails the answer:
 * what it cannot understand it skips and counts.
 */
#ifndef WEIR_FILTERS_USAGE_TAP_H
#define WEIR_FILTERS_USAGE_TAP_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef enum {
    WEIR_TAP_JSON, /* one JSON document */
    WEIR_TAP_SSE   /* text/event-stream */
} weir_tap_kind_t;

typedef struct weir_usage_tap weir_usage_tap_t;

typedef struct {
    bool has_usage; /* a usage object with a count was seen; a reported zero is a value */
    uint64_t prompt_tokens;
    uint64_t cached_tokens;
    uint64_t completion_tokens;
    uint64_t content_deltas; /* streamed pieces of text or tool arguments, one a token for our own
                                engine: the fallback when a stream ends before its usage */
    weir_str_t model;        /* lives in the tap's arena; empty when not seen; at most 256 bytes */
    bool first_content;      /* a piece of the answer's text has passed */
    bool done;               /* [DONE] or the JSON document's end was seen */
    bool error;              /* an in-band error object was seen */
    uint32_t skipped;        /* events that were no JSON or over the size limit */
} weir_tap_result_t;

/*
 * Makes a tap in arena. max_event bounds the bytes held for one event (0: 4 MiB); a larger one is
 * skipped, its usage lost and counted as skipped. Of a JSON document only a few members are held.
 */
weir_status_t weir_usage_tap_open(weir_arena_t *arena, weir_tap_kind_t kind, size_t max_event,
                                  weir_usage_tap_t **out);

/* Reads the next piece. The result may be looked at after any feed. Errors: NOMEM only. */
weir_status_t weir_usage_tap_feed(weir_usage_tap_t *tap, const char *data, size_t len);

/* The end of the body: an event without its blank line counts. */
weir_status_t weir_usage_tap_finish(weir_usage_tap_t *tap);

const weir_tap_result_t *weir_usage_tap_result(const weir_usage_tap_t *tap);

#endif
