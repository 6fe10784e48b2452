/*
 * Server-sent events (WHATWG HTML, 9.2.6) from pieces cut anywhere: inside UTF-8, inside CRLF,
 * several events at once. Lines end with LF, CR or CRLF.
 */
#ifndef WEIR_FILTERS_SSE_PARSER_H
#define WEIR_FILTERS_SSE_PARSER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct {
    weir_str_t name; /* the event field, empty when absent; at most 64 bytes are kept */
    weir_str_t data; /* data lines joined by LF; never without at least one data line */
    bool oversized;  /* the data passed the limit; data is empty */
} weir_sse_event_t;

/* Called during feed and finish; the event's strings end with the call. */
typedef void (*weir_sse_handler_pt)(void *ctx, const weir_sse_event_t *event);

typedef struct {
    weir_sse_handler_pt handler;
    void *ctx;
    size_t max_data;
    weir_buf_t line; /* an unfinished line of an earlier piece */
    weir_buf_t data;
    char name[64];
    size_t name_len;
    bool has_data;
    bool oversized;
    bool skip_lf; /* the last piece ended in CR: an LF right after belongs to it */
    bool started; /* a first line has been seen, so a byte-order mark is no longer skipped */
} weir_sse_parser_t;

/* max_data: bytes of data in one event. Two buffers grow inside arena by doubling, and an arena
 * gives nothing back: at most about eight times max_data, the most when an event of that size comes
 * in many small pieces. */
void weir_sse_parser_init(weir_sse_parser_t *p, weir_arena_t *arena, size_t max_data,
                          weir_sse_handler_pt handler, void *ctx);

/* Errors: NOMEM only. */
weir_status_t weir_sse_parser_feed(weir_sse_parser_t *p, const char *data, size_t len);

/* The end of the body: unlike the standard, an event without its blank line is delivered, because
 * servers forget it and its usage would be lost. */
weir_status_t weir_sse_parser_finish(weir_sse_parser_t *p);

#endif
