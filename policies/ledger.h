/*
 * The usage ledger: one JSON object a line, one line a request. This writes the line; where it goes
 * is the caller's. Field names are a public interface: docs/usage-ledger.md.
 */
#ifndef WEIR_POLICIES_LEDGER_H
#define WEIR_POLICIES_LEDGER_H

#include "engine/base/arena.h"

typedef enum {
    WEIR_USAGE_NONE,     /* the answer carried no tokens (an error, or not a model call) */
    WEIR_USAGE_REPORTED, /* the upstream's own final usage object */
    WEIR_USAGE_COUNTED,  /* counted from the stream because it ended before its usage came */
    WEIR_USAGE_ESTIMATED /* from the bytes of text: the upstream told nothing */
} weir_usage_source_t;

typedef struct {
    int64_t ts_ms; /* Unix time of the request's arrival, milliseconds */
    weir_str_t request_id;
    weir_str_t tenant;
    weir_str_t team; /* not written when empty, as the user */
    weir_str_t user;
    weir_str_t key_id;
    weir_str_t model; /* as the answer named it; empty when unknown */
    weir_str_t path;  /* without the query */
    bool stream;
    bool aborted;        /* the client went away before the end */
    bool upstream_error; /* an answer that the upstream broke off or told an error in; not written
                            when false */
    uint64_t prompt_tokens; /* cached ones included */
    uint64_t cached_tokens;
    uint64_t cache_write_tokens; /* not written when 0, as the reasoning */
    uint64_t completion_tokens;  /* reasoning included */
    uint64_t reasoning_tokens;
    weir_usage_source_t source;
    uint32_t status;    /* HTTP status sent, 499 when the client left before the headers */
    int64_t latency_ms; /* arrival to end */
    int64_t ttft_ms;    /* arrival to the first piece of the answer's text; -1: none */
} weir_ledger_row_t;

/* Appends the line with its newline to out (one write of it is one row). An empty string member is
 * written as null, ttft_ms -1 as null; what few requests have is left out where it is not. */
void weir_ledger_write(weir_buf_t *out, const weir_ledger_row_t *row);

/* Longest line for strings of at most 256 bytes each; a caller with longer ones cuts them. */
#define WEIR_LEDGER_MAX_LINE 12288

#endif
