/*
 * An HTTP/1.1 response (RFC 9112) from pieces cut anywhere, read by a client that asked once:
 * status, fields and a body kept whole in memory. Strict where leniency has let responses be
 * smuggled.
 */
#ifndef WEIR_FILTERS_HTTP_RESPONSE_H
#define WEIR_FILTERS_HTTP_RESPONSE_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct {
    size_t max_header;   /* bytes of status lines, fields and trailers, 1xx responses included */
    uint32_t max_fields; /* of the final response */
    size_t max_body;     /* bytes of content, without the framing of chunks */
    bool head;           /* the request was HEAD: no content follows */
} weir_http_limits_t;

typedef struct {
    weir_str_t name;  /* as sent */
    weir_str_t value; /* without blanks around it; a folded line is joined by blanks */
} weir_http_field_t;

typedef enum {
    WEIR_HTTP_HEADER = 0,
    WEIR_HTTP_BY_LENGTH,
    WEIR_HTTP_TO_CLOSE,
    WEIR_HTTP_CHUNK_SIZE,
    WEIR_HTTP_CHUNK_EXTENSION,
    WEIR_HTTP_CHUNK_DATA,
    WEIR_HTTP_CHUNK_CR,
    WEIR_HTTP_CHUNK_LF,
    WEIR_HTTP_TRAILER,
    WEIR_HTTP_DONE,
    WEIR_HTTP_FAILED
} weir_http_state_t;

typedef struct {
    /* Valid from the end of the header (state past WEIR_HTTP_HEADER); they live in the arena. */
    uint32_t status;
    weir_http_field_t *fields;
    uint32_t n_fields;
    weir_buf_t body;

    bool complete;
    bool keep_alive; /* with complete: the connection may carry another request */
    bool started;    /* at least one byte has come */

    weir_http_state_t state;
    weir_http_limits_t limits;
    weir_arena_t *arena;
    weir_buf_t head;      /* the header so far */
    size_t header_bytes;  /* counted against max_header */
    size_t line;          /* bytes in the line being read, without its end */
    uint64_t remaining;   /* of the length or the chunk */
    uint32_t size_digits; /* of a chunk's size */
    bool last_cr;         /* the byte before was CR, in a size line or a trailer */
    bool http10;
} weir_http_response_t;

void weir_http_response_init(weir_http_response_t *r, weir_arena_t *arena,
                             const weir_http_limits_t *limits);

/*
 * Takes all bytes; those after the end of the response make keep_alive false and are dropped.
 * Errors: INVALID (not HTTP/1.x, or framed ambiguously), UNSUPPORTED (a transfer coding, a protocol
 * switch), LIMIT, NOMEM; after one, the same comes again. Messages hold nothing of what was sent.
 */
weir_status_t weir_http_response_feed(weir_http_response_t *r, const void *data, size_t len,
                                      weir_error_t *err);

/* The connection was closed: ends a body without length. INVALID when the response is not whole. */
weir_status_t weir_http_response_eof(weir_http_response_t *r, weir_error_t *err);

#endif
