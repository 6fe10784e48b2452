/*
 * Events of our own in a stream that is redacted: text that was held back, and that no event of the
 * upstream's carries any more, leaves in one of the protocol's own shape.
 */
#ifndef WEIR_FILTERS_REDACT_EVENTS_H
#define WEIR_FILTERS_REDACT_EVENTS_H

#include "lua-free-filters/redact.h"
#include "lua-free-filters/text_fields.h"

/* What all events of the stream say: JSON as the upstream wrote it, empty where it did not. */
typedef struct {
    weir_protocol_t shape; /* none is written for WEIR_PROTOCOL_OTHER */
    weir_str_t id;
    weir_str_t created;
    weir_str_t model;
} weir_redact_head_t;

/* Which text of the answer goes on. */
typedef struct {
    weir_text_kind_t kind;
    uint32_t choice;
    uint32_t part;
    weir_str_t item_id; /* responses: JSON of the item's id, or empty */
    const char *event;  /* responses: the name of the events that carry it, or NULL */
    weir_str_t open;    /* that of its field (text_fields.h), */
    weir_str_t close;   /* and its other half */
} weir_redact_place_t;

/*
 * Appends the data of an event with this text to out (out->failed: out of memory) and returns the
 * event's name, empty where the protocol has none; static, or place->event. *sequence: the next
 * sequence number of the responses API, counted up. Any thread.
 */
weir_str_t weir_redact_write_event(const weir_redact_head_t *head, const weir_redact_place_t *place,
                                   weir_str_t text, int64_t *sequence, weir_buf_t *out);

#endif
