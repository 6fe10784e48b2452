/*
 * What every transform of an answer in flight has in common. A filter is a table of functions and
 * a state; it is fed items (events of a stream, or one whole document) and hands items on to its
 * sink: the same item, another one in its place, several, or none. Usage counting, hiding,
 * redaction, translation, replay and the chaos filter are all written against this one contract;
 * pipeline.h strings them together.
 *
 * Items and their strings live until the feed() that they were passed to returns. A filter that
 * wants to keep something copies it. Nothing here is thread-safe: one pipeline, one thread at a
 * time; between two calls it may be moved to another, unless a filter forbids it.
 */
#ifndef WEIR_FILTERS_FILTER_H
#define WEIR_FILTERS_FILTER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/base/json.h"
#include "lua-free-filters/filter_members.h"

/* Whose shape an answer has. */
typedef enum {
    WEIR_PROTOCOL_OTHER,       /* passes; no ending of ours can be written */
    WEIR_PROTOCOL_CHAT,        /* OpenAI chat completions */
    WEIR_PROTOCOL_COMPLETIONS, /* OpenAI completions */
    WEIR_PROTOCOL_RESPONSES,   /* OpenAI responses */
    WEIR_PROTOCOL_MESSAGES,    /* Anthropic messages */
    WEIR_PROTOCOL_DOCUMENT     /* never streamed: embeddings, moderations, rerank, counts */
} weir_protocol_t;

typedef enum {
    WEIR_ITEM_EVENT,    /* an event of a stream, never without data */
    WEIR_ITEM_COMMENT,  /* a comment line (a keep-alive) or a stray blank line: raw only */
    WEIR_ITEM_DONE,     /* an event whose data is [DONE] */
    WEIR_ITEM_DOCUMENT, /* a whole JSON body */
    WEIR_ITEM_OVERSIZED /* tells that an event or document over the limit passed unseen: no data,
                           nothing is written for it; only filters that watch get it */
} weir_item_kind_t;

typedef enum { WEIR_SCAN_NOT_TRIED, WEIR_SCAN_OK, WEIR_SCAN_BAD } weir_scan_state_t;

typedef struct {
    weir_item_kind_t kind;
    weir_str_t raw;  /* the bytes as they came, line ends included. Empty: a filter made or changed
                        the item, and the writer frames name and data */
    weir_str_t name; /* the event field; empty when absent. No line ends in it */
    weir_str_t data; /* data lines joined by LF, or the document */
    weir_str_t fields; /* of an event of a stream that is not known: its lines id and retry */
    /* The shared scan; read it through weir_item_json(). */
    weir_scan_state_t scan;
    bool found; /* members are those of the scan */
    weir_json_doc_t doc;
    weir_members_t members;
} weir_item_t;

/* How the input of a pipeline ended. */
typedef enum {
    WEIR_END_COMPLETE, /* the upstream's body ended in order */
    WEIR_END_CUT,      /* the upstream broke off */
    WEIR_END_ABORT,    /* the client left: what is sent now is lost */
    WEIR_END_STOPPED   /* a filter or the caller stopped the stream */
} weir_end_t;

typedef enum {
    WEIR_STOP_NONE,
    WEIR_STOP_CONTENT_FILTER, /* finish_reason content_filter, stop_reason refusal, ... */
    WEIR_STOP_LENGTH,         /* finish_reason length, stop_reason max_tokens, ... */
    WEIR_STOP_ERROR           /* an in-band error */
} weir_stop_reason_t;

/* The strings are constants or live as long as the pipeline; type, code and message matter for
 * WEIR_STOP_ERROR only (NULL: "server_error", "upstream_error", a general sentence). type and code
 * are OpenAI's names; the Anthropic type follows from the status. */
typedef struct {
    weir_stop_reason_t reason;
    unsigned status; /* for an answer whose header is not sent yet; 0: 502 */
    const char *type;
    const char *code;
    const char *message;
} weir_stop_t;

typedef struct weir_sink weir_sink_t; /* where a filter's output goes; see pipeline.h */

enum {
    /* Only looks: passes every item on unchanged, at once. In front of nothing but such filters a
     * body is not held back. */
    WEIR_FILTER_WATCHES = 1,
    /* Must not miss anything: an event or document over the limit ends the answer with an error.
     * Without any such filter it passes as it is. */
    WEIR_FILTER_MUST_SEE = 2,
    /* Touches what only the event loop's thread may: no other thread calls it. */
    WEIR_FILTER_AT_HOME = 4
};

/* Every function returns WEIR_OK or WEIR_ERR_NOMEM, which breaks the answer off. Bad input is no
 * error: what a filter cannot understand it passes on, or it stops the stream. */
typedef struct {
    const char *name;
    unsigned flags;

    /* The next item. Required. */
    weir_status_t (*feed)(void *self, weir_item_t *item, weir_sink_t *sink);

    /*
     * The input has ended; hand on what is held. After CUT, ABORT and STOPPED a filter must not
     * make an answer look complete: the pipeline writes the protocol's ending. WEIR_ERR_BUSY: a
     * verdict is still awaited; end() is called again after weir_pipeline_wake(). NULL: nothing is
     * ever held.
     */
    weir_status_t (*end)(void *self, weir_end_t why, weir_sink_t *sink);

    /* A deadline has passed or an awaited verdict is there (weir_pipeline_wake). May be NULL. */
    weir_status_t (*wake)(void *self, weir_sink_t *sink);

    /* WATCHES only, may be NULL: a piece of a JSON body, cut anywhere. A filter with it is given no
     * WEIR_ITEM_DOCUMENT and the body need not be collected for its sake. */
    weir_status_t (*piece)(void *self, const char *data, size_t len);

    /* Bytes that it keeps and that its next call may go through. NULL: few. */
    size_t (*held)(void *self);

    /* It waits to be woken, and keeps what it is fed until then. NULL: never. */
    bool (*waiting)(void *self);

    /* Calls on another thread are over (weir_pipeline_landed). May be NULL. */
    void (*landed)(void *self);
} weir_filter_table_t;

typedef struct {
    const weir_filter_table_t *table;
    void *self;
} weir_filter_t;

/* --- for the functions of filters --- */

/* Hands an item to the next filter, or to the writer. After a stop it does nothing. */
weir_status_t weir_sink_pass(weir_sink_t *sink, weir_item_t *item);

/* Hands on a new event; an empty name means no event field. */
weir_status_t weir_sink_event(weir_sink_t *sink, weir_str_t name, weir_str_t data);

/*
 * Stops the answer. What the filter passes on before it returns still leaves; then the filters
 * behind it get end(WEIR_END_STOPPED), the protocol's own ending is written and nothing is read any
 * more. The first stop counts.
 */
void weir_sink_stop(weir_sink_t *sink, const weir_stop_t *stop);

/* Memory that lasts until the feed(), end() or wake() at hand returns to the pipeline's caller
 * or the next item is read. */
weir_arena_t *weir_sink_arena(weir_sink_t *sink);

/*
 * The item's data as JSON: scanned at most once for all filters. NULL when it is no valid JSON
 * (duplicate keys are allowed: the first counts), when it is over the limits of the pipeline, or
 * out of memory. The document ends with the item; a filter that has changed item->data calls
 * weir_item_replace() first.
 */
const weir_json_doc_t *weir_item_json(weir_sink_t *sink, weir_item_t *item);

/* The well-known members of the root object, found once for all filters. weir_item_json() must have
 * returned a document. */
static inline const weir_members_t *weir_item_members(weir_item_t *item)
{
    if (!item->found) {
        weir_members_find(&item->doc, 0, &item->members);
        item->found = true;
    }
    return &item->members;
}

/*
 * Cuts the root object's member that has this value out of the item, with one comma; all other
 * bytes stay, and so does the scan. weir_item_json() must have returned a document. Pointers into
 * the item's strings end. Errors: NOMEM.
 */
weir_status_t weir_item_cut_member(weir_sink_t *sink, weir_item_t *item, uint32_t value);

/* Gives the item other data (which must outlive its passing on); the raw bytes no longer count. */
static inline void weir_item_replace(weir_item_t *item, weir_str_t data)
{
    item->raw = weir_str(NULL, 0);
    item->data = data;
    item->scan = WEIR_SCAN_NOT_TRIED;
    item->found = false;
}

#endif
