/*
 * Server-sent events (WHATWG HTML, 9.2.6) from pieces cut anywhere: inside UTF-8, inside CRLF,
 * several events at once. Lines end with LF, CR or CRLF. Beside an event's meaning the parser tells
 * the bytes that it came as, so that what nobody changes can leave unchanged; an event that lies
 * whole in the piece at hand is not copied.
 */
#ifndef WEIR_FILTERS_SSE_PARSER_H
#define WEIR_FILTERS_SSE_PARSER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef enum {
    WEIR_SSE_EVENT,     /* with data */
    WEIR_SSE_COMMENT,   /* a comment outside of an event, or a stray blank line */
    WEIR_SSE_EMPTY,     /* a block without data, which is no event */
    WEIR_SSE_LINE_FEED, /* the LF of a CRLF whose CR ended the item before: belongs to its raw */
    WEIR_SSE_PIECE,     /* raw bytes of something longer than the limit */
    WEIR_SSE_OVERSIZED  /* the end of an event over the limit, or (unended) of a body inside such a
                           thing; nothing but the kind */
} weir_sse_kind_t;

/* The strings end with the handler's call. */
typedef struct {
    weir_sse_kind_t kind;
    weir_str_t
        raw; /* up to and with the first byte of the last line end; without a byte-order mark */
    weir_str_t name;   /* the event field, empty when absent */
    weir_str_t data;   /* data lines joined by LF */
    weir_str_t fields; /* the lines id and retry, in their order, each as "NAME: VALUE" and an LF */
    bool plain;        /* raw holds nothing but event, data and comment lines and is terminated */
    bool standard;     /* or id and retry lines as well */
    bool unended;      /* the body ended before the event's blank line */
} weir_sse_event_t;

/* Called during feed and finish. Another result than WEIR_OK ends the feed with it. */
typedef weir_status_t (*weir_sse_handler_pt)(void *ctx, const weir_sse_event_t *event);

typedef struct {
    weir_sse_handler_pt handler;
    void *ctx;
    size_t max_event;
    weir_buf_t held;   /* the start of an event, from earlier pieces */
    weir_buf_t joined; /* data of several lines */
    weir_buf_t fields; /* id and retry lines */
    /* Offsets into the event's bytes. */
    size_t line; /* where the line at hand starts */
    size_t mark; /* 3 behind a byte-order mark */
    size_t data_at;
    size_t data_len;
    size_t name_at;
    size_t name_len;
    uint32_t data_lines;
    bool other;     /* fields that are not passed on: unknown ones */
    bool skip_lf;   /* the last byte was a CR: an LF right after belongs to it */
    bool started;   /* a first line has been seen: a byte-order mark is none any more */
    bool oversized; /* in something over the limit */
    bool comment;   /* oversized: it is a comment and ends with its line */
    bool blank;     /* oversized: nothing yet on the line at hand */
} weir_sse_parser_t;

/*
 * max_event: bytes of one event with its names and line ends, at least 64. Two buffers grow inside
 * arena by doubling, and an arena gives nothing back: at most about four times max_event each.
 */
void weir_sse_parser_init(weir_sse_parser_t *p, weir_arena_t *arena, size_t max_event,
                          weir_sse_handler_pt handler, void *ctx);

/* Errors: NOMEM and what the handler returns; the parser is of no use then. */
weir_status_t weir_sse_parser_feed(weir_sse_parser_t *p, const char *data, size_t len);

/* The end of the body: unlike the standard, an event without its blank line is delivered, marked,
 * because servers forget it and its usage would be lost. */
weir_status_t weir_sse_parser_finish(weir_sse_parser_t *p);

/* Bytes that are held because their event is not complete. */
static inline size_t weir_sse_parser_held(const weir_sse_parser_t *p)
{
    return p->held.len;
}

/* Whether the last byte fed ended an event or comment. */
static inline bool weir_sse_parser_between(const weir_sse_parser_t *p)
{
    return p->held.len == 0 && !p->oversized;
}

#endif
