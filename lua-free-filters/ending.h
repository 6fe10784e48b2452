/*
 * How an answer ends in its protocol: follows the events that the client gets and writes, when the
 * upstream broke off or the gateway stopped the stream, the events that are missing, so that no
 * answer looks complete that is not. The pipeline holds one; translators may use the texts.
 */
#ifndef WEIR_FILTERS_ENDING_H
#define WEIR_FILTERS_ENDING_H

#include "lua-free-filters/filter.h"
#include "lua-free-filters/usage.h"

typedef struct {
    weir_protocol_t protocol;
    weir_arena_t *arena;
    const char *request_id;
    int64_t now;
    weir_str_t id; /* of the answer; empty until seen */
    weir_str_t model;
    int64_t created;
    int64_t sequence; /* responses: the next sequence number */
    /* Bits of the first 64 choices (chat, completions: without a finish reason yet) or content
     * blocks (messages: open). */
    uint64_t open;
    uint32_t next; /* messages: index of the next block */
    bool started;  /* an event of the answer has been sent (message_start, response.created) */
    bool finished; /* a finish or stop reason has been sent */
    bool errored;  /* an error has been sent */
    bool cut;      /* the ending had to say that the upstream broke off */
    bool done;     /* the protocol's last event has been sent: nothing may follow */
} weir_ending_t;

void weir_ending_init(weir_ending_t *ending, weir_protocol_t protocol, weir_arena_t *arena,
                      const char *request_id, int64_t now);

/* Follows an item on its way to the client. Errors: NOMEM. */
weir_status_t weir_ending_follow(weir_ending_t *ending, weir_item_t *item, weir_sink_t *sink);

/*
 * Appends the events, framed, that end the stream for this reason to out; nothing when it has ended
 * already. A stream that came to its end and lacks only the last event gets it; one without a
 * finish reason was cut. usage (may be NULL) fills the usage members. Returns false when the
 * protocol has no ending that a client would notice: then break the connection.
 */
bool weir_ending_write(weir_ending_t *ending, weir_end_t why, const weir_stop_t *stop,
                       const weir_usage_t *usage, bool usage_asked, weir_buf_t *out);

/* Appends the whole JSON answer that stands for a stop: an answer without text and with the finish
 * reason, or the error envelope. anthropic: that of protocols without a shape of their own is
 * Anthropic's. */
void weir_ending_document(weir_protocol_t protocol, const weir_stop_t *stop, weir_str_t model,
                          const char *request_id, int64_t now, bool anthropic, weir_buf_t *out);

/* Appends an error envelope in the protocol's shape. */
void weir_ending_error(weir_protocol_t protocol, const weir_stop_t *stop, const char *request_id,
                       weir_buf_t *out);

#endif
