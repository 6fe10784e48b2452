/*
 * Bytes in, cut anywhere; filters; bytes out. The output does not depend on how the input was cut,
 * except for where its own pieces end.
 *
 *   upstream's bytes -> event-stream parser or document collector -> [document to events]
 *                    -> filters, in their order -> ending -> writer -> out()
 *
 * An item that no filter changed leaves as the bytes that it came as, as a slice of the input
 * where it lay there whole. The writer never emits an event without data, nor, in a stream of a
 * known protocol, `id:` or `retry:` fields, nor a byte-order mark, and adds a missing last blank
 * line. What is incomplete is held: when the upstream breaks off inside an event, that part of an
 * event is dropped and the protocol's error ending takes its place.
 */
#ifndef WEIR_FILTERS_PIPELINE_H
#define WEIR_FILTERS_PIPELINE_H

#include "lua-free-filters/filter.h"
#include "lua-free-filters/usage.h"

/*
 * Scratch memory that pipelines share, one after the other: one per worker (or thread). Between two
 * calls nothing in it is needed, so that an idle stream costs none of it.
 */
typedef struct weir_scratch weir_scratch_t;

weir_scratch_t *weir_scratch_new(void); /* NULL when out of memory */
void weir_scratch_free(weir_scratch_t *scratch);

typedef enum {
    WEIR_BODY_JSON, /* one JSON document */
    WEIR_BODY_SSE   /* text/event-stream */
} weir_body_t;

/*
 * Takes output. stable: data lies in the buffer that was passed to weir_pipeline_feed(); otherwise
 * it must be copied now. Must not call the pipeline, nor any other with the same scratch. An error
 * breaks off the feed and is returned from it.
 */
typedef weir_status_t (*weir_out_pt)(void *ctx, const char *data, size_t len, bool stable);

typedef struct {
    weir_protocol_t protocol; /* of the answer as the client gets it: decides the ending */
    weir_protocol_t upstream; /* of the answer as it comes in; differs when a filter translates */
    weir_body_t in;
    weir_body_t out;        /* SSE with in == JSON: the document is turned into the stream that
                               it stands for, before the first filter. JSON with in == SSE is
                               WEIR_ERR_UNSUPPORTED */
    bool tap;               /* only watching filters, and the caller sends the body itself: out() is
                               called for endings alone, behind the bytes fed. An event that was cut
                               cannot be taken back then: see weir_pipeline_broken() */
    bool anthropic;         /* errors of DOCUMENT and OTHER have Anthropic's shape */
    size_t max_event;       /* bytes of one event, raw [1 MiB] */
    size_t max_document;    /* bytes of a JSON body that is collected [16 MiB] */
    uint32_t max_nodes;     /* JSON values in one item that weir_item_json() scans [256 Ki] */
    const char *request_id; /* for the ids of what the gateway itself writes; copied */
    int64_t now;            /* seconds, for the same; 0 when unknown */
    /* What has been read of usage so far (weir_usage_of), or NULL; an ending of ours tells it where
     * the protocol has a place for it, in an OpenAI stream only when the client asked. */
    const weir_usage_t *usage;
    bool usage_asked;
    weir_out_pt write;
    void *write_ctx;
} weir_pipeline_config_t;

typedef struct weir_pipeline weir_pipeline_t;

/* Makes a pipeline of n filters (their tables and states must outlive it) in arena. The scratch may
 * be shared with others. Errors: NOMEM, UNSUPPORTED, INVALID (tap with a filter that changes). */
weir_status_t weir_pipeline_open(weir_arena_t *arena, weir_scratch_t *scratch,
                                 const weir_pipeline_config_t *config, const weir_filter_t *filters,
                                 uint32_t n, weir_pipeline_t **out);

/* The next bytes. Errors: NOMEM, or what write() returned: the answer is lost, break the
 * connection. */
weir_status_t weir_pipeline_feed(weir_pipeline_t *p, const char *data, size_t len);

/*
 * The end of the input (why is never STOPPED). Writes what was held and, where the upstream has not
 * done so, the protocol's ending. WEIR_ERR_BUSY: a filter awaits a verdict; call
 * weir_pipeline_wake() when it is there. Calling it again does nothing.
 */
weir_status_t weir_pipeline_finish(weir_pipeline_t *p, weir_end_t why);

/* Stops the answer from outside (budget used up, key revoked, guard's verdict). */
weir_status_t weir_pipeline_stop(weir_pipeline_t *p, const weir_stop_t *stop);

/* Wakes filters that hold back; goes on with a finish that was BUSY. */
weir_status_t weir_pipeline_wake(weir_pipeline_t *p);

/*
 * The last byte of the answer has been written ([DONE], message_stop, response.completed, an ending
 * of ours, the end of the document): end the body in the same write; what follows is ignored.
 */
bool weir_pipeline_ended(const weir_pipeline_t *p);

/* The stream was stopped by a filter or the caller: close the upstream. NULL when it was not. */
const weir_stop_t *weir_pipeline_stopped(const weir_pipeline_t *p);

/* The answer cannot be brought to an end that the client would notice (tap only, cut inside an
 * event; or a protocol without endings): break the connection instead of ending the body. */
bool weir_pipeline_broken(const weir_pipeline_t *p);

/* The upstream broke the answer off: also in good order, but before the protocol's last event. Not
 * when the stream was stopped, or the upstream has told an error of its own before. */
bool weir_pipeline_cut(const weir_pipeline_t *p);

/* Bytes of input that are held back now, by the pipeline itself. */
size_t weir_pipeline_held(const weir_pipeline_t *p);

/*
 * Bytes that the next call may have to go through beside those it is fed: what the pipeline holds
 * and what its filters do. A document is gone through at its end only. finish: it is the next call.
 */
size_t weir_pipeline_load(const weir_pipeline_t *p, bool finish);

/* A filter waits to be woken: what is fed now is kept in memory. */
bool weir_pipeline_waiting(const weir_pipeline_t *p);

/* Whether all filters may be called on another thread. */
bool weir_pipeline_movable(const weir_pipeline_t *p);

/* The calls that follow, maybe on another thread, use this scratch. */
void weir_pipeline_move(weir_pipeline_t *p, weir_scratch_t *scratch);

/* Back on the thread that it was opened on: filters do what they could not do elsewhere. */
void weir_pipeline_landed(weir_pipeline_t *p);

/* A comment that keeps a connection alive; false when the protocol's stream takes none now (inside
 * a tapped event, after the end). Write WEIR_KEEP_ALIVE then. */
bool weir_pipeline_may_ping(const weir_pipeline_t *p);

#define WEIR_KEEP_ALIVE ": keep-alive\n\n"

#endif
